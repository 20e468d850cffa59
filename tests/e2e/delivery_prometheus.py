# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus in the place of a strict receiver, asked by its API for all that
it holds. It does not show stale markers, nor what came twice, and of a float only
the value: what the reference holds is brought down to that."""

import json
import math
import time

from delivery import STALE, Endpoint
from receiver_wire import double
from servers import Prometheus

WINDOW_S = 600


def value_text(value):
    return "NaN" if math.isnan(value) else repr(float(value))


def number_text(bits):
    """None for a stale marker."""
    return None if bits == STALE else value_text(double(int(bits, 16)))


def histogram_text(what):
    """Of an entry of delivery.py; buckets by index, those that hold something."""
    count, sum_bits, schema, zero, negative, positive = json.loads(what)
    if sum_bits == STALE:
        return None
    filled = [(int(index), number) for index, number in positive.items() if number]
    return shape(count, double(int(sum_bits, 16)), zero, sorted(filled), schema)


def shape(count, total, zero, filled, schema):
    """Without the schema: the API does not say it. Bounds do: 2^(index / 2^schema)."""
    bounds = [(round(index / 2 ** schema, 9), number) for index, number in filled]
    return json.dumps([count, value_text(total), zero, bounds])


def shown(entries):
    """What Prometheus shows of these."""
    found = set()
    for series, at, what in entries:
        text = (histogram_text if what.startswith("[") else number_text)(what)
        if text is not None:
            found.add((frozenset(series), at, text))
    return found


def held_by(server):
    """All that this Prometheus shows of the last minutes."""
    data = server.api("query", query=f'{{__name__=~".+"}}[{WINDOW_S}s]',
                      time=time.time())
    found = set()
    for series in data["result"]:
        key = frozenset(series["metric"].items())
        for at, value in series.get("values", []):
            found.add((key, round(at * 1000), value_text(float(value))))
        for at, each in series.get("histograms", []):
            found.add((key, round(at * 1000), answered(each)))
    return found


def answered(each):
    """A histogram as the API has it."""
    filled, zero = [], 0.0
    for _, lower, upper, count in each.get("buckets", []):
        if float(lower) <= 0 <= float(upper):
            zero = float(count)
        else:
            filled.append((math.log2(float(upper)), round(float(count))))
    return shape(round(float(each["count"])), float(each["sum"]), round(zero),
                 sorted(filled), 0)


class PrometheusEndpoint:
    """As an Endpoint of delivery.py to its test."""

    def __init__(self, test, name, settings="", options=(), binary="prometheus"):
        self.test = test
        self.name = name
        self.settings = settings
        self.arguments = {"options": options, "binary": binary}
        self.directory = self.port = None
        self.wrong, self.repeated = [], []  # it does not say
        self.start()

    def start(self):
        self.server = Prometheus(*self.arguments["options"], port=self.port,
                                 directory=self.directory,
                                 binary=self.arguments["binary"])
        self.port, self.directory = self.server.port, self.server.directory
        self.url = f"http://127.0.0.1:{self.port}/api/v1/write"
        self.test.start(self.server, self.port)

    def stop(self):
        self.server.stop()

    def update(self):
        return self

    def newest_ms(self):
        found = self.server.query(f"max_over_time(timestamp(up)[{WINDOW_S}s:1s])")
        return max((round(value * 1000) for _, value in found), default=0)

    wait_newer = Endpoint.wait_newer

    def shown(self):
        return held_by(self.server)
