# SPDX-License-Identifier: Apache-2.0
"""VictoriaLogs as a receiver of Loki's pushes: first made by hand, then by bpftally."""

import calendar
import collections
import pathlib
import tempfile
import time

from harness import SCRATCH, TestCase, wait_until
from victoria_logs import VictoriaLogs

LINES = 100_000
BATCH = 5_000


def nanoseconds(text):
    """Of 2026-11-29T22:59:00.123456789Z, whose zeros at the end may be missing."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return (calendar.timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S")) * 10 ** 9 +
            int(fraction.ljust(9, "0")))


class LokiTestCase(TestCase):
    def setUp(self):
        super().setUp()
        self.port = self.directory = None
        self.start_logs()

    def start_logs(self):
        self.logs = VictoriaLogs(self.port, self.directory)
        self.port, self.directory = self.logs.port, self.logs.directory
        self.start(self.logs, self.port)

    def assert_each_once(self, wanted):
        """`wanted` are the lines: each is there once, and no other."""
        found = collections.Counter(row["_msg"] for row in self.logs.rows())
        wanted = collections.Counter(wanted)
        self.assertEqual(sorted((wanted - found).elements())[:3], [], "lost")
        self.assertEqual(sorted((found - wanted).elements())[:3], [],
                         "made up, or twice")

    def assert_repeats_are_the_same(self, wanted):
        """What came again has the timestamp that it had."""
        rows = collections.Counter((row["_msg"], row["_time"]) for row in self.logs.rows())
        self.assertEqual(sorted(line for line, _ in rows), sorted(wanted))

    def wait_lines(self, count, deadline_s=60):
        wait_until(lambda: self.logs.count() >= count, f"{count} lines", deadline_s, 0.2)


class ByHand(LokiTestCase):
    """That the receiver and the ways to ask it are to be relied on."""

    def push(self, first, count):
        now = time.time_ns()
        lines = [f"line {first + index}" for index in range(count)]
        self.assertEqual(self.logs.push({'{job="by hand", host="here"}': [
            (now + index, line) for index, line in enumerate(lines)]}), 204)
        return lines

    def test_it_has_every_line_once(self):
        wanted = []
        for first in range(0, LINES, BATCH):
            wanted += self.push(first, BATCH)
        self.wait_lines(LINES)
        self.assert_each_once(wanted)

    def test_it_keeps_them_when_it_is_started_again(self):
        wanted = self.push(0, 10)
        self.logs.stop()
        self.start_logs()
        wanted += self.push(10, 10)
        self.wait_lines(20)
        self.assert_each_once(wanted)

    def test_it_keeps_what_came_twice(self):
        """As a repeat is to be seen: with its timestamp and text."""
        now = time.time_ns()
        for _ in range(2):
            self.logs.push({'{job="x"}': [(now, "again")]})
        self.wait_lines(2)
        with self.assertRaisesRegex(AssertionError, "twice"):
            self.assert_each_once(["again"])

    def test_labels_times_and_texts_are_what_they_were(self):
        now = time.time_ns()
        texts = ["", "ümläut\t\"quoted\"", "{\"json\": 1}", " spaces ", "x" * 100_000]
        self.logs.push({'{job="a\\"b", path="/x"}': [
            (now + index, text) for index, text in enumerate(texts)]})
        self.wait_lines(len(texts))
        self.assert_each_once(texts)
        for row in self.logs.rows():
            self.assertEqual((row["job"], row["path"]), ('a"b', "/x"))
            self.assertEqual(nanoseconds(row["_time"]) - now, texts.index(row["_msg"]))


class Shipped(LokiTestCase):
    """What bpftally follows arrives, each line once."""

    def setUp(self):
        super().setUp()
        self.directory_of_logs = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
        self.path = self.directory_of_logs / "app.log"
        self.state = tempfile.mkdtemp(prefix="state-", dir=SCRATCH)
        self.written = []

    def ship(self):
        self.daemon = self.bpftally("--no-bpf", "--state-dir", self.state, config=f"""
logs:
- job: numbers
  paths: ["{self.directory_of_logs}/*.log"]
loki_write:
- url: {self.logs.url}
  queue_config: {{min_backoff: 50ms, max_backoff: 200ms}}
""")

    def write(self, count):
        """So many more lines, numbered on."""
        first = len(self.written)
        lines = [f"line {first + index} of {'x' * (index % 100)}" for index in range(count)]
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))
        self.written += lines

    def rotate(self):
        for number in range(9, 0, -1):
            older = self.directory_of_logs / f"app.log.{number}"
            if older.exists():
                older.rename(self.directory_of_logs / f"app.log.{number + 1}")
        self.path.rename(self.directory_of_logs / "app.log.1")

    def finish(self):
        self.wait_lines(len(self.written))
        self.assertEqual(self.daemon.terminate(20)[0], 0)

    def test_every_line_arrives_once_over_rotations(self):
        self.ship()
        for _ in range(10):
            self.write(1)
            self.wait_lines(len(self.written))  # it has the file, not what comes now
            self.write(LINES // 10 - 1)
            self.rotate()
        self.finish()
        self.assert_each_once(self.written)
        self.assertEqual({row["job"] for row in self.logs.rows()}, {"numbers"})

    def test_an_outage_of_it_loses_none(self):
        self.ship()
        self.write(LINES // 10)
        self.wait_lines(len(self.written))
        self.logs.stop()
        self.write(LINES // 10)
        self.rotate()
        self.write(LINES // 10)
        self.start_logs()
        self.finish()
        self.assert_each_once(self.written)

    def test_a_kill_repeats_what_was_under_way_at_most(self):
        self.ship()
        for _ in range(5):
            self.write(LINES // 10)
            self.daemon.process.kill()
            self.write(10)
            self.ship()
        self.finish()
        self.assert_repeats_are_the_same(self.written)
