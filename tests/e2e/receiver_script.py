# SPDX-License-Identifier: Apache-2.0
"""What the receiver answers, as a list that is written in one line."""

import email.utils
import threading
import time

ACTIONS = ("hang", "close", "endless", "cut", "lost", "half")
TAKING = ("endless", "lost", "half")  # of those, what a sender cannot know of
OPTIONS = ("Body", "Delay", "Written")  # all others are headers


class Answer:
    def __init__(self, item):
        item, _, times = item.partition("*")
        status, _, options = item.partition(":")
        self.times = int(times or 1)
        self.action = None if status.isdigit() else status
        self.status = int(status) if status.isdigit() else 0
        self.options = [option.partition("=")[::2]
                        for option in options.split(";") if option]
        self.delay_s = float(self.option("Delay", 0))
        self.written = self.option("Written")
        if self.action not in (None, *ACTIONS):
            raise ValueError(f"unknown answer {status!r}")

    def option(self, name, default=None):
        return dict(self.options).get(name, default)

    def is_success(self):
        return 200 <= self.status < 300 or self.action in TAKING

    def written_numbers(self):
        """(samples, histograms) that the script has; None where it says nothing."""
        if self.written in (None, "none"):
            return None
        samples, _, histograms = self.written.partition("/")
        return int(samples), int(histograms or 0)

    def headers(self):
        for name, value in self.options:
            if value.startswith("@"):
                value = email.utils.formatdate(time.time() + float(value[1:]),
                                               usegmt=True)
            if name not in OPTIONS:
                yield name, value

    def body(self, headers):
        value = self.option("Body", "")
        return str(headers) if value == "echo" else value


class Script:
    def __init__(self, script):
        self.lock = threading.Lock()
        self.answers = [answer for answer in map(Answer, script.split(","))
                        for _ in range(answer.times)]

    def _next(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def next(self):
        with self.lock:
            return self._next()

    def next_if(self, action):
        """The next answer, if it is this action: then it is used up."""
        with self.lock:
            return self._next() if self.answers[0].action == action else None
