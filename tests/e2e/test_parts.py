# SPDX-License-Identifier: Apache-2.0
"""tests/vm/parts: what instructions are parts of, of a guest that is made up here."""

import pathlib
import subprocess
import tempfile
import unittest

from harness import ROOT

PARTS = ROOT / "tests" / "vm" / "parts"
TCP, READ, STORAGE, TIMER = 0x81000000, 0x81000100, 0x81000200, 0x81000300
PROGRAM, OTHER = 0xc0000000, 0xc0000100  # where the machine code of programs is
ROUNDS = 200

# of one round: how often the instruction ran at each address
EMPTY = {0: 50, TCP: 10, TCP + 4: 30, PROGRAM: 2, PROGRAM + 2: 2}
BOTH = {0: 50, TCP: 10, TCP + 4: 30,
        READ: 2, READ + 8: 40,
        STORAGE + 4: 12,
        TIMER: 3,
        PROGRAM: 2, PROGRAM + 4: 20, PROGRAM + 8: 6, OTHER: 2, OTHER + 4: 8}
COUNTS = {"nothing": {0: 50, TCP: 10, TCP + 4: 10},
          "empty": EMPTY, "both": BOTH, "idle": dict(BOTH)}
SYMBOLS = [(TCP, "tcp_sendmsg"), (READ, "bpf_probe_read_user"),
           (STORAGE, "bpf_sk_storage_get_tracing"), (TIMER, "run_timer")]
PLACES = ["vm: at {} bpf_prog_0123456789abcdef_sends", "vm: line {} a.h:7"]


def digits(address):
    return f"{address | 0xffffffff << 32 if address else 0:016x}"


def console(mode):
    lines = ["vm: up", f"vm: rounds {ROUNDS}"]
    if mode != "nothing":
        lines.append(PLACES[0].format(digits(PROGRAM)))
    if mode in ("both", "idle"):
        lines += [PLACES[1].format(digits(PROGRAM)),
                  f"vm: line {digits(PROGRAM + 8)} b.h:70",
                  f"vm: at {digits(OTHER)} bpf_prog_fedcba9876543210_helps"]
    return "\n".join(lines) + "\n"


def write_boots(folder):
    for mode, counts in COUNTS.items():
        (folder / f"{mode}.counts").write_text("".join(
            f"{digits(address)} {times * ROUNDS}\n" for address, times in counts.items()))
        (folder / f"{mode}.log").write_text(console(mode))
    (folder / "symbols").write_text("".join(
        f"{digits(address)} {name}\n" for address, name in SYMBOLS))
    (folder / "hooks.log").write_text("vm: hook sends 12.4\nvm: hook fork 0.6\n")


def print_parts(folder):
    return subprocess.run([PARTS, folder], capture_output=True, text=True, check=False)


class Parts(unittest.TestCase):
    def setUp(self):
        work = tempfile.TemporaryDirectory()
        self.addCleanup(work.cleanup)
        self.folder = pathlib.Path(work.name)
        write_boots(self.folder)

    def test_what_is_more_than_with_nothing_is_of_one_part_each(self):
        done = print_parts(self.folder)
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.stdout.split("\n\n")[0].splitlines()[2:], [
            "| the kernel calls our programs | 1 | 10 |",
            "| reads of user memory | 1 | 21 |",
            "| lookups of the socket's storage |  | 6 |",
            "| ours: `a.h` |  | 11 |",
            "| ours: without a line |  | 5 |",
            "| ours: `b.h` |  | 3 |",
            "| elsewhere, and what rounding leaves |  | 2 |",
            "| **together** | | **58** |"])

    def test_rows_add_up_to_what_was_counted(self):
        for table in print_parts(self.folder).stdout.split("\n\n")[:2]:
            numbers = [int(line.split("|")[3].strip(" *")) for line in table.splitlines()[2:]]
            self.assertEqual(sum(numbers[:-1]), numbers[-1], table)

    def test_a_hook_that_is_not_called_is_not_told(self):
        self.assertIn("a request and end: 12 at `sends`.\n", print_parts(self.folder).stdout)

    def test_a_boot_that_counted_nothing_is_an_error(self):
        (self.folder / "idle.counts").write_text("")
        done = print_parts(self.folder)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "tests/vm/parts: idle: not counted\n")
