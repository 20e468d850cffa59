# SPDX-License-Identifier: Apache-2.0
"""VictoriaLogs as a receiver of Loki's pushes."""

import calendar
import collections
import time

from harness import TestCase, wait_until
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
