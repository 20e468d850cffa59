# SPDX-License-Identifier: Apache-2.0
"""What was delivered, sample by sample: two receivers of the same daemon, one that
is always there and one that a test maltreats, and the comparison of what they hold.

How exact that is. A collection goes to both in one piece, so whatever one holds and
the other does not was lost, or made up. A collection that neither has (the daemon
was killed before it had kept it) cannot be seen so; `gaps` sees it: collections are
an interval apart, within a life."""

import json
import os
import pathlib
import random
import tempfile

from harness import (SCRATCH, Process, TestCase, free_port, load, wait_listening,
                     wait_until)
from servers import PYTHON, hello_nginx

RECEIVER = pathlib.Path(__file__).resolve().parent / "receiver.py"
SEED = int(os.environ.get("E2E_SEED", str(random.randrange(1 << 32))))  # of all chance
STALE = "7ff0000000000002"
GAP_MS = 2000  # with two cores for all of it, a collection can be late
REQUESTS_MAX = 8  # under way at a time
SAMPLES_MAX = 100  # of a request: some requests a collection


def key_of(labels):
    return tuple(labels.items())  # sorted: the receiver saw to that


def entries_of(record):
    """[(series, timestamp, what it was then)] of all that a request had; a start is
    none of it, since 1.0 has none."""
    numbers = [(key_of(each["labels"]), each["timestamp"], each["bits"])
               for each in record["samples"]]
    histograms = [(key_of(each["labels"]), each["timestamp"], json.dumps(
        [each[name] for name in ("count", "sum_bits", "schema", "zero_count",
                                 "negative", "positive")], sort_keys=True))
                  for each in record["histograms"]]
    return numbers, histograms


class Endpoint:
    """A receiver that can be stopped and started again; its records are of all its
    lives."""

    def __init__(self, test, name, settings=""):
        self.test = test
        self.name = name
        self.settings = settings  # lines of its entry in remote_write
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api/v1/push"
        self.forget()

    def forget(self):
        """As if it were a new one, on the old port."""
        self.path = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH)) / self.name
        self.path.touch()
        self.read = 0
        self.records = []
        self.held = {}  # {(series, timestamp): what it was then}
        self.newest = {}
        self.repeated = []  # records of which all samples were there already
        self.wrong = []

    def start(self, script="204", *arguments, address="127.0.0.1"):
        self.process = self.test.start(Process(
            [PYTHON, RECEIVER, "--port", self.port, "--address", address, "--output",
             self.path, "--script", script, *arguments], name=self.name))
        wait_listening(self.process, (address, self.port))

    def stop(self):
        self.process.stop()

    # --- what came

    def update(self):
        with open(self.path, "rb") as lines:
            lines.seek(self.read)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self.read += len(line)
                self.add(json.loads(line))
        return self

    def add(self, record):
        self.records.append(record)
        if record["violations"]:
            self.wrong.append(record["violations"][0])
        numbers, histograms = entries_of(record)
        taken = numbers[:record["taken"][0]] + histograms[:record["taken"][1]]
        repeats = [self.hold(*entry) for entry in taken]
        if any(repeats):
            self.repeated.append(record)
            if not all(repeats):
                self.wrong.append(f"request {record['n']} is a repeat in part")

    def hold(self, series, timestamp, what):
        """Is it a repeat? Order is of all lives, a receiver knows only its own."""
        newest = self.newest.get(series, 0)
        self.newest[series] = max(newest, timestamp)
        before = self.held.setdefault((series, timestamp), what)
        if timestamp < newest or before != what:
            self.wrong.append(f"{what} at {timestamp} after {newest}, {before}: {series}")
        return timestamp == newest

    def entries(self):
        return {(series, at, what) for (series, at), what in self.held.items()}

    def times(self):
        """Of the collections, in order."""
        return sorted({at for _, at in self.held})

    def newest_ms(self):
        return max(self.update().newest.values(), default=0)

    def with_status(self, status):
        return [record for record in self.update().records if record["status"] == status]

    def messages(self):
        return [record["headers"]["Content-Type"].rpartition("=")[2]
                for record in self.update().records]

    # --- waiting

    def wait_requests(self, count, deadline_s=20):
        wait_until(lambda: len(self.update().records) >= count,
                   f"{count} requests to {self.name}", deadline_s)

    def wait_collections(self, count, deadline_s=20):
        """So many more than there are now."""
        before = self.newest_ms()
        wait_until(lambda: len([at for at in self.update().times() if at > before]) >=
                   count, f"{count} collections at {self.name}", deadline_s)

    def wait_newer(self, time_ms, deadline_s=30):
        wait_until(lambda: self.newest_ms() >= time_ms,
                   f"{self.name} to have what is of {time_ms}", deadline_s)


class DeliveryTestCase(TestCase):
    """self.reference is there all the time; self.faulty is not started yet."""

    interval_ms = 200

    def setUp(self):
        super().setUp()
        self.nginx = hello_nginx()
        self.start(self.nginx, self.nginx.port)
        self.reference = Endpoint(self, "reference")
        self.reference.start()
        self.faulty = Endpoint(self, "faulty")
        self.others = [self.faulty]  # all but the reference
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="state-", dir=SCRATCH))
        self.lives = []  # newest time at the reference when one ended

    def endpoints(self):
        return [self.reference, *self.others]

    def config(self):
        return "remote_write:" + "".join(f"""
- url: {each.url}
  name: {each.name}
  queue_config: {{max_samples_per_send: {SAMPLES_MAX}, max_backoff: 200ms,
                 retry_on_http_429: true}}
{each.settings}""" for each in self.endpoints())

    def push(self, *arguments, **keywords):
        self.daemon = self.bpftally(
            "--port", self.nginx.port, "--scrape-interval", f"{self.interval_ms}ms",
            "--state-dir", self.state, *arguments, config=self.config(), **keywords)
        return self.daemon

    def kill(self):
        """No word to anybody: kill -9."""
        self.daemon.process.kill()
        self.lives.append(self.reference.newest_ms())

    def traffic(self):
        load(self.nginx.port, "/hello", 20, 2)

    def finish(self, deadline_s=30):
        """All that was collected is delivered, then the daemon ends."""
        newest = self.reference.newest_ms()
        for each in self.others:
            each.wait_newer(newest, deadline_s)
        status, _ = self.daemon.terminate(20)
        self.assertEqual(status, 0, "its end")
        for each in self.endpoints():
            each.update()

    # --- judgement

    def assert_sound(self):
        """Nobody got what breaks a rule, and collections came in time."""
        for each in self.endpoints():
            self.assertEqual(each.update().wrong[:3], [], each.name)
        self.assertGreater(len(self.reference.held), 100)
        self.assertEqual(self.gaps(), [], "collections that nobody has")

    def gaps(self):
        """[(from, to)] where collections should have been, within a life. What was
        under way when it ended came a little later."""
        times = self.reference.times()
        return [(before, after) for before, after in zip(times, times[1:])
                if after - before > GAP_MS and
                not any(before - GAP_MS < end < after for end in self.lives)]

    def lost(self, endpoint):
        return self.reference.entries() - endpoint.entries()

    def made_up(self, endpoint):
        return endpoint.entries() - self.reference.entries()

    def assert_same(self, endpoint=None):
        """What the reference has, all of it and nothing else."""
        endpoint = endpoint or self.faulty
        self.assertEqual(self.describe(self.lost(endpoint)), "",
                         f"lost for {endpoint.name}")
        self.assertEqual(self.describe(self.made_up(endpoint)), "",
                         f"made up for {endpoint.name}")

    def assert_delivered(self, kills=0):
        """Lost 0, made up 0, twice 0; only a kill may let what was under way come
        again, as it was."""
        self.assert_sound()
        for each in self.others:
            self.assert_same(each)
        for each in self.endpoints():
            self.assertLessEqual(len(each.repeated), kills * REQUESTS_MAX, each.name)

    def describe(self, entries):
        if not entries:
            return ""
        times = sorted({at for _, at, _ in entries})
        first = self.reference.times()[0]
        return (f"{len(entries)} samples of {len(times)} collections, "
                f"{[at - first for at in times[:8]]} ms after the first, "
                f"as {dict(next(iter(entries))[0])}")

    def total(self, name, endpoint=None, **labels):
        """Of the daemon's own count."""
        return self.daemon.metrics().total(
            f"bpftally_remote_write_{name}",
            remote_name=(endpoint or self.faulty).name, **labels)
