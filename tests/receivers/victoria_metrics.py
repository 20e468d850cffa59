# SPDX-License-Identifier: Apache-2.0
"""VictoriaMetrics in the place of a strict receiver. It drops no repeats: what came
twice is there twice, and stale markers are there, without a value."""

import collections
import json
import tempfile
import time
import urllib.parse
import urllib.request

import receivers
from delivery import STALE, Endpoint
from harness import SCRATCH, Process, free_port
from receiver_wire import double


def rounded(value):
    """It keeps decimals: the last digits of a double may be others."""
    return "stale" if value is None else f"{float(value):.12g}"


def told(entries):
    """What it shows of entries of delivery.py."""
    return {(frozenset(series), at,
             rounded(None if bits == STALE else double(int(bits, 16))))
            for series, at, bits in entries}


class VictoriaMetrics(Process):
    """On a port and a directory that outlive it."""

    def __init__(self, port=None, directory=None):
        self.port = port or free_port()
        self.directory = directory or tempfile.mkdtemp(prefix="vm-", dir=SCRATCH)
        super().__init__([receivers.victoria_metrics(),
                          f"-httpListenAddr=127.0.0.1:{self.port}",
                          f"-storageDataPath={self.directory}", "-selfScrapeInterval=0",
                          "-opentelemetry.usePrometheusNaming"], name="victoria-metrics")

    def samples(self, match='{__name__!=""}'):
        """(labels, milliseconds, value) of all that it holds."""
        base = f"http://127.0.0.1:{self.port}"
        urllib.request.urlopen(f"{base}/internal/force_flush", timeout=30).close()
        # else it leaves out what is of this very second
        asked = urllib.parse.urlencode({"match[]": match, "end": int(time.time()) + 60})
        with urllib.request.urlopen(f"{base}/api/v1/export?{asked}", timeout=60) as answer:
            for line in answer:
                series = json.loads(line)
                for at, value in zip(series["timestamps"], series["values"]):
                    yield series["metric"], at, value


class VictoriaEndpoint:
    """As an Endpoint of delivery.py to its test."""

    def __init__(self, test, name, settings=""):
        self.test = test
        self.name = name
        self.settings = settings
        self.directory = self.port = None
        self.wrong, self.repeated = [], []  # counted() has it
        self.start()

    def start(self):
        self.server = VictoriaMetrics(self.port, self.directory)
        self.port, self.directory = self.server.port, self.server.directory
        self.url = f"http://127.0.0.1:{self.port}/api/v1/write"
        self.test.start(self.server, self.port)

    def stop(self):
        self.server.stop()

    def update(self):
        return self

    def newest_ms(self):
        return max((at for _, at, _ in self.server.samples("up")), default=0)

    wait_newer = Endpoint.wait_newer

    def counted(self):
        """{as `told` has it: how often it is there}"""
        return collections.Counter((frozenset(labels.items()), at, rounded(value))
                                   for labels, at, value in self.server.samples())
