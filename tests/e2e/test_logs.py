# SPDX-License-Identifier: Apache-2.0
"""Log files to a strict receiver of Loki's protocol (loki_receiver.py): through
rotation in each way, kills, and a receiver in trouble.

LOG_LINES and LOG_KILLS are how much of it there is (default 60000 and 6)."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import harness
from harness import TestCase, wait_until
from loki_receiver import Receiver

LINES = int(os.environ.get("LOG_LINES", "60000"))
KILLS = int(os.environ.get("LOG_KILLS", "6"))
VERBOSE = ["--verbose"] if os.environ.get("LOG_VERBOSE") else []
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1 << 30)


class LogsTestCase(TestCase):
    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=harness.SCRATCH))
        self.state = tempfile.mkdtemp(prefix="state-", dir=harness.SCRATCH)
        self.receiver = None
        self.agent = None

    def receive(self, **keywords):
        receiver = Receiver(**keywords)
        self.addCleanup(lambda: receiver.server and receiver.stop())
        self.receiver = self.receiver or receiver
        return receiver

    def follow(self, logs=None, *arguments, receivers=None, more="", state=None,
               bpf=False):
        """The daemon; `logs` are lines of one entry."""
        writes = "".join(f"- url: {each.url}\n  queue_config: {{min_backoff: 30ms}}\n"
                         f"  name: r{index}\n"
                         for index, each in enumerate(receivers or [self.receiver]))
        entry = logs or f"job: test\n  paths: '{self.directory}/*.log'"
        config = f"loki_write:\n{writes}logs:\n- {entry}\n{more}"
        if not bpf:
            arguments = ("--no-bpf", *VERBOSE, *arguments)
        self.agent = self.bpftally(*arguments, "--state-dir", state or self.state,
                                   config=config)
        self.agent.wait_ready()
        return self.agent

    def kill(self):
        os.kill(self.agent.pid, signal.SIGKILL)
        self.agent.process.child.wait()

    def write(self, name, text, mode="a"):
        data = text if isinstance(text, bytes) else text.encode()
        with open(self.directory / name, mode + "b") as file:
            file.write(data)

    def expect(self, lines, receiver=None, deadline_s=15, **labels):
        receiver = receiver or self.receiver
        wait_until(lambda: len(receiver.lines(**labels)) >= len(lines),
                   f"{len(lines)} lines of {labels}", deadline_s)
        time.sleep(0.1)
        self.assertEqual(receiver.lines(**labels), lines)
        self.assertEqual(receiver.violations, [])

    def metric(self, name, **labels):
        return self.agent.metrics().total(f"bpftally_log_{name}", **labels)


# --- what is sent -----------------------------------------------------------

class Lines(LogsTestCase):
    def test_a_stream_has_labels_and_lines_are_text(self):
        self.receive(path="/api/v1/logs/push", headers={"X-Scope-OrgID": "t"})
        self.write("a.log", b"one\r\ntwo \xff\0x\n\n" + "drei \u20ac\n".encode())
        config = (f"global: {{external_labels: {{cluster: c}}}}\n"
                  f"loki_write:\n- url: {self.receiver.url}\n"
                  f"  headers: {{X-Scope-OrgID: t}}\n"
                  f"logs:\n- labels: {{job: pasted, env: 'a\"b', "
                  f"__path__: '{self.directory}/*.log'}}\n")
        self.agent = self.bpftally("--no-bpf", "--state-dir", self.state, config=config)
        self.agent.wait_ready()
        self.expect(["one", "two \ufffd\ufffdx", "", "drei \u20ac"], job="pasted",
                    env='a"b', cluster="c", filename=f"{self.directory}/a.log")

    def test_long_lines_are_cut_and_counted(self):
        self.receive()
        self.follow()
        self.write("a.log", "x" * (256 << 10) + "\n" + "y" * (1 << 20) + "\nshort\n")
        self.expect(["x" * (256 << 10), "y" * (256 << 10), "short"])
        self.assertEqual(self.metric("truncated_lines_total"), 1)
        self.assertEqual(self.metric("lines_total", job="test"), 3)
        self.assertEqual(self.metric("bytes_total"), (512 << 10) + 5)

    def test_entries_of_many_lines_are_filtered_and_counted(self):
        self.receive()
        self.follow(f"""job: j
  paths: '{self.directory}/*.log'
  multiline: {{firstline: '^\\S'}}
  drop: ['healthz']
  keep: ['^(GET|ERROR)']
  metrics: [{{name: answers, regex: '^GET \\S+ (?P<status>\\d+)'}}]""")
        self.write("a.log", "GET /a 200\nGET /healthz 200\nERROR\n at x\n at y\n"
                            "other\nGET /b 500\n")
        self.expect(["GET /a 200", "ERROR\n at x\n at y", "GET /b 500"])
        metrics = self.agent.metrics()
        self.assertEqual(metrics.total("answers_total", status="200"), 2)
        self.assertEqual(metrics.total("answers_total", status="500"), 1)
        self.assertEqual(metrics.total("bpftally_log_dropped_lines_total"), 2)

    def test_files_that_come_later_are_found(self):
        self.receive()
        self.follow(f"job: test\n  paths: '{self.directory}/x/**/*.log'")
        (self.directory / "x" / "y").mkdir(parents=True)
        self.write("x/y/a.log", "one\n")
        self.expect(["one"])
        self.write("x/secret.log", "two\n")
        self.expect(["one", "two"])
        (self.directory / "x/y/b").mkdir()
        os.symlink(self.directory / "x/secret.log", self.directory / "x/y/b/c.log")
        self.write("x/secret.log", "three\n")
        self.expect(["one", "two", "three"])

    def test_many_files_need_few_descriptors(self):
        files = 10000
        self.receive()
        for number in range(files):
            self.write(f"{number}.log", f"{number} one\n")
        self.follow()
        wait_until(lambda: self.receiver.count() == files, "a line of each file", 30)
        for number in range(files):
            self.write(f"{number}.log", f"{number} two\n")
        wait_until(lambda: self.receiver.count() == 2 * files, "two lines of each file", 30)
        self.assertEqual(self.receiver.violations, [])
        self.assertEqual(self.metric("files"), files)
        self.assertLessEqual(self.metric("open_files"), 512)
        self.assertLessEqual(len(os.listdir(f"/proc/{self.agent.pid}/fd")), 600)

    def test_it_sleeps_while_nothing_is_written(self):
        self.receive()
        self.write("a.log", "one\n")
        self.follow()
        self.expect(["one"])
        time.sleep(2)

        def switches():
            text = pathlib.Path(f"/proc/{self.agent.pid}/status").read_text()
            return int(text.split("voluntary_ctxt_switches:")[1].split()[0])
        before = switches()
        time.sleep(3)
        self.assertLessEqual(switches() - before, 1)

    def test_logs_of_observed_processes_are_followed(self):
        self.receive()
        program = harness.write_file("server.py", f"""
import http.server, os
log = os.open({str(self.directory / "server.out")!r},
              os.O_WRONLY | os.O_APPEND | os.O_CREAT)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        os.write(log, b"asked " + self.path.encode() + b"\\n")
        self.send_response(204)
        self.end_headers()
    def log_message(self, *arguments):
        pass
import sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
""")
        port = harness.free_port()
        self.start(harness.Process(["python3", program, port],
                                   env={"OTEL_SERVICE_NAME": "shop"}), port)
        self.follow("job: found\n  auto: true", bpf=True, more=f"port: {port}\n")
        harness.run(["curl", "-s", f"http://127.0.0.1:{port}/a"])
        self.expect(["asked /a"], deadline_s=25, job="found", service_name="shop")
        harness.run(["curl", "-s", f"http://127.0.0.1:{port}/b"])
        self.expect(["asked /a", "asked /b"])


# --- receivers in trouble ---------------------------------------------------

class Receivers(LogsTestCase):
    def test_what_is_refused_for_now_is_sent_again_in_order(self):
        self.receive(script="500*2,429:Retry-After=1,503,204")
        self.write("a.log", "".join(f"{i}\n" for i in range(1000)))
        self.follow()
        self.expect([str(i) for i in range(1000)])
        self.assertEqual(self.receiver.statuses()[:5], [500, 500, 429, 503, 204])
        times = [when for when, _, _ in self.receiver.requests]
        self.assertGreaterEqual(times[3] - times[2], 0.95)
        self.assertEqual(self.receiver.repeats, 0)

    def test_what_is_refused_for_good_is_counted_and_gone(self):
        for status in (400, 260):
            with self.subTest(status=status):
                self.receiver = None
                self.receive(script=f"{status},204")
                state = tempfile.mkdtemp(dir=harness.SCRATCH)
                self.write("a.log", "one\ntwo\n", mode="w")
                self.follow(state=state)
                wait_until(lambda: self.receiver.statuses() == [status], "a refusal")
                self.write("a.log", "three\n")
                self.expect(["three"])
                self.assertEqual(self.agent.metrics().total(
                    "bpftally_loki_write_entries_failed_total"), 2)
                self.agent.stop()

    def test_an_outage_loses_nothing_and_files_are_the_buffer(self):
        receiver = self.receive()
        receiver.stop()
        self.follow(more="spool: {max_bytes: 4MB}\n")
        made = random.Random(SEED)
        lines = [f"{i} {made.getrandbits(4000):x}" for i in range(8000)]
        self.write("a.log", "\n".join(lines) + "\n")
        wait_until(lambda: self.metric("blocked") == 1, "reading to stop")
        time.sleep(1)
        self.assertGreater(self.metric("lag_bytes"), 4 << 20)
        self.assertEqual(self.agent.log().count("receivers of logs are behind"), 1)
        self.kill()
        self.follow(more="spool: {max_bytes: 4MB}\n")
        receiver.start()
        self.expect(lines, deadline_s=60)
        self.assertEqual(self.metric("lag_bytes"), 0)

    def test_each_receiver_gets_everything(self):
        first, second = self.receive(), self.receive(script="503*5,204")
        self.write("a.log", "one\ntwo\n")
        self.follow(receivers=[first, second])
        for receiver in (first, second):
            self.expect(["one", "two"], receiver)

    def test_without_a_state_directory_positions_are_in_memory(self):
        self.receive()
        self.write("a.log", "one\n")
        self.follow(state="off")
        self.expect(["one"])
        self.assertEqual(self.agent.log().count("positions in log files"), 1)
        self.assertIn("positions in log files are in memory", self.agent.log())

    def test_a_state_directory_that_is_lost_means_the_beginning(self):
        self.receive()
        self.write("a.log", "one\n")
        unknown = "no positions in log files are known"
        self.assertIn(unknown, self.follow().log())
        self.expect(["one"])
        self.agent.terminate()
        self.assertNotIn(unknown, self.follow().log())
        self.agent.terminate()
        shutil.rmtree(self.state)
        os.mkdir(self.state, 0o700)
        self.write("a.log", "two\n")
        self.assertIn(unknown, self.follow().log())
        self.expect(["one", "one", "two"])
        self.agent.terminate()
        pathlib.Path(self.state, "spool.db").write_bytes(b"damaged " * 1000)
        log = self.follow().log()
        self.assertRegex(log, r"spool .* is damaged: .*; set aside as ")
        self.assertIn(unknown, log)
        self.expect(["one", "one", "two", "one", "two"])

    def test_what_is_copied_and_emptied_goes_on_in_the_copy(self):
        self.receive()
        self.follow()
        expected = []
        for round_ in range(3):
            expected += [f"first {round_}", f"second {round_}"]
            self.write("a.log", f"first {round_}\n")
            self.expect(expected[:-1])
            self.write("a.log", f"second {round_}\n")
            shutil.copyfile(f"{self.directory}/a.log", f"{self.directory}/a.log.{round_}")
            os.truncate(f"{self.directory}/a.log", 0)
            self.expect(expected)

    def test_an_orderly_end_sends_what_was_read(self):
        self.receive()
        self.follow()
        self.write("a.log", "one\n")
        wait_until(lambda: self.metric("lines_total") == 1, "the line to be read")
        status, _ = self.agent.terminate()
        self.assertEqual(status, 0)
        self.expect(["one"])
        self.follow()
        self.write("a.log", "two\n")
        self.expect(["one", "two"])


# --- everything at once -----------------------------------------------------

class Writer(threading.Thread):
    """Writes numbered lines into a file that it rotates in one way, until `lines` are
    written: in pieces that end in the middle of lines. What would be lost by any
    reader (a deleted file that nobody had open) is not deleted before `is_read`."""

    def __init__(self, path, way, lines, is_read, seed):
        super().__init__(daemon=True)
        self.path, self.way, self.lines = path, way, lines
        self.is_read = is_read
        self.random = random.Random(seed)
        self.written = 0
        self.rotations = 0
        self.error = None

    def line(self, number):
        fill = "x" * self.random.randrange(0, 60)
        return f"{self.way} {number} {fill}\n".encode()

    def run(self):
        try:
            self.write_all()
        except BaseException as error:  # pylint: disable=broad-except
            self.error = error

    def write_all(self):
        fd = self.open()
        # of a file that was never seen under its name, nothing could be known
        os.write(fd, self.line(0))
        self.written = 1
        self.wait_read()
        every = max(self.lines // 12, 1)
        while self.written < self.lines:
            until = min(self.written + self.random.randrange(1, 200), self.lines,
                        (self.written // every + 1) * every)
            data = b"".join(self.line(i) for i in range(self.written, until))
            cut = self.random.randrange(len(data))
            os.write(fd, data[:cut])
            time.sleep(0.0005)
            os.write(fd, data[cut:])
            self.written = until
            if until % every == 0 and until < self.lines:
                fd = getattr(self, self.way)(fd)
                self.rotations += 1
        os.close(fd)

    def open(self):
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def shift(self):
        """app.log.1 is app.log.2 from now on, and so on; the oldest goes."""
        oldest = f"{self.path}.5"
        if os.path.exists(oldest):
            self.wait_read()
            os.unlink(oldest)
        for number in range(4, 0, -1):
            if os.path.exists(f"{self.path}.{number}"):
                os.rename(f"{self.path}.{number}", f"{self.path}.{number + 1}")

    def wait_read(self):
        wait_until(lambda: self.is_read(self.way, self.written),
                   f"{self.written} lines of {self.way} to be read", 30 + LINES / 2000)

    def rename(self, fd):
        self.shift()
        os.rename(self.path, f"{self.path}.1")
        # who has it open writes on for a while
        until = min(self.written + 50, self.lines)
        for number in range(self.written, until):
            os.write(fd, self.line(number))
        self.written = until
        os.close(fd)
        return self.open()

    def copytruncate(self, fd):
        self.shift()
        shutil.copyfile(self.path, f"{self.path}.1")
        os.ftruncate(fd, 0)
        return fd

    def compress(self, fd):
        os.rename(self.path, f"{self.path}.1")
        os.close(fd)
        fd = self.open()
        self.wait_read()
        subprocess.run(["gzip", "-f", "-S", f".{self.rotations}.gz",
                        f"{self.path}.1"], check=True)
        return fd

    def recreate(self, fd):
        self.wait_read()
        os.unlink(self.path)
        os.close(fd)
        return self.open()

    def truncate(self, fd):
        self.wait_read()
        os.ftruncate(fd, 0)
        return fd

    def dated(self, fd):
        """logrotate's dateext, with extension."""
        os.rename(self.path, f"{self.path[:-4]}-2024{self.rotations:04}.log")
        os.close(fd)
        return self.open()


def ranges(numbers):
    """[(first, last)] of those that follow each other."""
    found = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found[:10]


WAYS = ("rename", "copytruncate", "compress", "recreate", "truncate", "dated")


class Everything(LogsTestCase):
    def is_read(self, way, count):
        with self.receiver.lock:
            return sum(len(stream.lines)
                       for labels, stream in self.receiver.streams.items()
                       if f'way="{way}"' in labels) >= count

    def numbers(self, way):
        return [int(line.split()[1]) for line in self.receiver.lines(way=way)]

    def run_with(self, pattern):
        self.receive()
        logs = "\n- ".join(f"labels: {{way: {way}}}\n"
                           f"  paths: '{self.directory}/{way}{pattern}'"
                           for way in WAYS)
        self.follow(logs)
        writers = [Writer(f"{self.directory}/{way}.log", way, LINES // len(WAYS),
                          self.is_read, SEED + index)
                   for index, way in enumerate(WAYS)]
        for writer in writers:
            writer.start()
        total = sum(writer.lines for writer in writers)
        for kill in range(KILLS):
            share = total * (kill + 1) // (KILLS + 1)
            wait_until(lambda: sum(writer.written for writer in writers) >= share
                       or any(writer.error for writer in writers),
                       f"{share} lines to be written", 1200)
            self.kill()
            time.sleep(random.random() * 0.3)
            self.follow(logs)
            time.sleep(random.random())  # it may be killed before its first batch
        for writer in writers:
            writer.join(1200)
            if writer.error:
                missing = set(range(writer.written)) - set(self.numbers(writer.way))
                self.fail(f"{writer.error}: {ranges(missing)}, seed {SEED}")
        wait_until(lambda: self.receiver.count() >= total, f"{total} lines", 120 + LINES / 2000)
        time.sleep(1.5)
        self.check(writers)

    def check(self, writers):
        self.assertEqual(self.receiver.violations, [])
        for writer in writers:
            numbers = self.numbers(writer.way)
            missing = sorted(set(range(writer.lines)) - set(numbers))
            twice = len(numbers) - len(set(numbers))
            self.assertEqual((missing[:5], len(missing), twice), ([], 0, 0),
                             f"{writer.way}, seed {SEED}")
        self.assertEqual(self.receiver.count(), sum(w.lines for w in writers))
        print(f"measured: {self.receiver.count()} lines, {KILLS} kills, "
              f"{sum(w.rotations for w in writers)} rotations, "
              f"{self.receiver.repeats} lines repeated in "
              f"{len(self.receiver.requests)} requests")

    def test_every_line_arrives_once_through_rotation_and_kills(self):
        self.run_with(".log")

    def test_so_it_does_where_the_glob_has_the_rotated_ones_too(self):
        self.run_with("*.log*")
