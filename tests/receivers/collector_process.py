# SPDX-License-Identifier: Apache-2.0
"""An OpenTelemetry Collector as a receiver: it runs on the very file of docs/examples,
but for its addresses, and writes what came into a file of OTLP in JSON. That is
taken apart here into what otlp_receiver has of protobuf, and held to the same rules."""

import json
import pathlib
import tempfile

import receivers
from examples import example
from harness import SCRATCH, Process, write_file
from otlp_receiver import DOUBLE, MESSAGES, STRING, Malformed, points_of

# JSON has the protocol's own names, otlp_receiver shorter ones
NAMES = {
    "resourceMetrics": "resource_metrics", "scopeMetrics": "scope_metrics",
    "schemaUrl": "schema_url", "stringValue": "string", "boolValue": "bool",
    "intValue": "int", "doubleValue": "double", "dataPoints": "points",
    "exponentialHistogram": "exponential", "aggregationTemporality": "temporality",
    "isMonotonic": "monotonic", "startTimeUnixNano": "start", "timeUnixNano": "time",
    "asDouble": "double", "asInt": "int", "bucketCounts": "counts",
    "explicitBounds": "bounds", "zeroCount": "zero_count",
    "zeroThreshold": "zero_threshold", "quantileValues": "quantiles",
}


def value_of(kind, value):
    if kind in MESSAGES:
        return message_of(kind, value)
    if kind == DOUBLE:
        return float(value)  # "NaN", "Infinity"
    return value if kind == STRING or isinstance(value, bool) else int(value)


def message_of(message, data):
    """As unpack() of otlp_receiver has it."""
    fields = {name: (kind, repeated) for name, kind, repeated in MESSAGES[message].values()}
    found = {}
    for key, value in data.items():
        if (message, key) == ("Metric", "metadata"):
            continue  # where a scraper notes the type that it found
        name = NAMES.get(key, key)
        if name not in fields:
            raise Malformed(f"{message} has no field {key}")
        kind, repeated = fields[name]
        if value == {}:
            continue  # it writes what is not there, too
        found[name] = ([value_of(kind, each) for each in value] if repeated
                       else value_of(kind, value))
    return found


def told(value):
    """Without what a message need not say, and comparable: NaN equals itself."""
    if isinstance(value, dict):
        return tuple(sorted((key, told(each)) for key, each in value.items()
                            if each not in (0, "", []) or key in ("double", "int", "sum")))
    if isinstance(value, (list, tuple)):
        return tuple(told(each) for each in value)
    return value.hex() if isinstance(value, float) else value


def entry_of(point):
    """All that there is to a point. Attributes are compared with their types."""
    return (point.identity, point.kind, point.unit, point.help, point.monotonic,
            told({key: value for key, value in point.raw.items() if key != "attributes"}))


class Collector(Process):
    """On an example and a file that outlives it."""

    def __init__(self, name, replace, path=None, binary=None):
        self.path = path or pathlib.Path(tempfile.mkdtemp(dir=SCRATCH)) / "metrics.json"
        files = (write_file("collector.yaml", example(name, replace)),
                 write_file("here.yaml", f"""
exporters: {{file: {{path: {self.path}, append: true, flush_interval: 50ms}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{metrics: {{exporters: [file]}}}}
"""))
        super().__init__([binary or receivers.collector(),
                          *[f"--config={each}" for each in files]], name="collector",
                         env={"OTLP_TOKEN": "token"})

    def requests(self):
        """Those that came, in order; what is still being written is not there."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        return [message_of("Request", json.loads(line)) for line in lines]

    def points(self, violations):
        return [point for request in self.requests()
                for point in points_of(request, violations)]

    def latest(self):
        """The newest point of each series that has not ended."""
        newest = {point.identity: point for point in self.points([])}
        return [point for point in newest.values() if not point.ended]
