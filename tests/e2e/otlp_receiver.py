# SPDX-License-Identifier: Apache-2.0
"""A strict receiver of OTLP/HTTP metrics, for tests in the same process. It decodes
protobuf by hand, shares no library with the sender, and takes nothing that the
protocol lacks: what it finds wrong is in `violations`.

decode(body) gives the request as it was packed, in dicts; Receiver serves, keeps the
points of every request that it accepted, and what they break over time;
prometheus_series(points) is what a Prometheus makes of them."""

import gzip
import http.server
import math
import re
import struct
import threading

BODY_MAX = 4 << 20
NO_RECORDED_VALUE = 1
CUMULATIVE = 2


class Malformed(Exception):
    """The bytes are not what they say they are."""


# --- protobuf, by hand ------------------------------------------------------

STRING, INT, SINT, BOOL, FIXED, SFIXED, DOUBLE = "string int sint bool fixed sfixed double".split()

# message: {field number: (name, kind or message, repeated)}
MESSAGES = {
    "Request": {1: ("resource_metrics", "ResourceMetrics", True)},
    "ResourceMetrics": {1: ("resource", "Resource", False),
                        2: ("scope_metrics", "ScopeMetrics", True),
                        3: ("schema_url", STRING, False)},
    "Resource": {1: ("attributes", "KeyValue", True)},
    "ScopeMetrics": {1: ("scope", "Scope", False), 2: ("metrics", "Metric", True),
                     3: ("schema_url", STRING, False)},
    "Scope": {1: ("name", STRING, False), 2: ("version", STRING, False)},
    "KeyValue": {1: ("key", STRING, False), 2: ("value", "AnyValue", False)},
    "AnyValue": {1: ("string", STRING, False), 2: ("bool", BOOL, False),
                 3: ("int", INT, False), 4: ("double", DOUBLE, False)},
    "Metric": {1: ("name", STRING, False), 2: ("description", STRING, False),
               3: ("unit", STRING, False), 5: ("gauge", "Gauge", False),
               7: ("sum", "Sum", False), 9: ("histogram", "Histogram", False),
               10: ("exponential", "Exponential", False),
               11: ("summary", "Summary", False)},
    "Gauge": {1: ("points", "Number", True)},
    "Sum": {1: ("points", "Number", True), 2: ("temporality", INT, False),
            3: ("monotonic", BOOL, False)},
    "Histogram": {1: ("points", "HistogramPoint", True), 2: ("temporality", INT, False)},
    "Exponential": {1: ("points", "ExponentialPoint", True),
                    2: ("temporality", INT, False)},
    "Summary": {1: ("points", "SummaryPoint", True)},
    "Number": {2: ("start", FIXED, False), 3: ("time", FIXED, False),
               4: ("double", DOUBLE, False), 6: ("int", SFIXED, False),
               7: ("attributes", "KeyValue", True), 8: ("flags", INT, False)},
    "HistogramPoint": {2: ("start", FIXED, False), 3: ("time", FIXED, False),
                       4: ("count", FIXED, False), 5: ("sum", DOUBLE, False),
                       6: ("counts", FIXED, True), 7: ("bounds", DOUBLE, True),
                       9: ("attributes", "KeyValue", True), 10: ("flags", INT, False)},
    "ExponentialPoint": {1: ("attributes", "KeyValue", True), 2: ("start", FIXED, False),
                         3: ("time", FIXED, False), 4: ("count", FIXED, False),
                         5: ("sum", DOUBLE, False), 6: ("scale", SINT, False),
                         7: ("zero_count", FIXED, False), 8: ("positive", "Buckets", False),
                         9: ("negative", "Buckets", False), 10: ("flags", INT, False),
                         14: ("zero_threshold", DOUBLE, False)},
    "Buckets": {1: ("offset", SINT, False), 2: ("counts", INT, True)},
    "SummaryPoint": {2: ("start", FIXED, False), 3: ("time", FIXED, False),
                     4: ("count", FIXED, False), 5: ("sum", DOUBLE, False),
                     6: ("quantiles", "Quantile", True),
                     7: ("attributes", "KeyValue", True), 8: ("flags", INT, False)},
    "Quantile": {1: ("quantile", DOUBLE, False), 2: ("value", DOUBLE, False)},
}
FIXED_FORMS = {FIXED: "<Q", SFIXED: "<q", DOUBLE: "<d"}


def take_varint(data, at):
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("varint cut off or too long")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def take_bytes(data, at, length):
    if at + length > len(data):
        raise Malformed("cut off")
    return data[at:at + length], at + length


def scalar(kind, data, at):
    if kind in FIXED_FORMS:
        piece, at = take_bytes(data, at, 8)
        return struct.unpack(FIXED_FORMS[kind], piece)[0], at
    value, at = take_varint(data, at)
    if kind == SINT:
        value = (value >> 1) ^ -(value & 1)
    return bool(value) if kind == BOOL else value, at


def packed(kind, data):
    at, values = 0, []
    while at < len(data):
        value, at = scalar(kind, data, at)
        values.append(value)
    return values


def wire_type(kind, repeated):
    if kind == STRING or kind in MESSAGES or repeated:
        return 2
    return 1 if kind in FIXED_FORMS else 0


def take_value(kind, repeated, data, at):
    """What one field holds: a list where it is packed."""
    if wire_type(kind, repeated) != 2:
        return scalar(kind, data, at)
    length, at = take_varint(data, at)
    piece, at = take_bytes(data, at, length)
    if kind in MESSAGES:
        return unpack(kind, piece), at
    return (piece.decode("utf-8") if kind == STRING else packed(kind, piece)), at


def unpack(message, data):
    fields, at, found = MESSAGES[message], 0, {}
    while at < len(data):
        tag, at = take_varint(data, at)
        if tag >> 3 not in fields:
            raise Malformed(f"{message} has no field {tag >> 3}")
        name, kind, repeated = fields[tag >> 3]
        if tag & 7 != wire_type(kind, repeated):
            raise Malformed(f"{message}.{name} is of wire type {tag & 7}")
        value, at = take_value(kind, repeated, data, at)
        if repeated and kind in MESSAGES:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise Malformed(f"{message}.{name} twice")
        else:
            found[name] = value
    return found


def decode(body):
    return unpack("Request", body)


# --- rules ------------------------------------------------------------------

def attributes_of(pairs, violations):
    """{key: value}; a key is there once, its value is one of the four."""
    table = {}
    for pair in pairs:
        key, value = pair.get("key", ""), pair.get("value", {})
        if not key or key in table:
            violations.append(f"attribute {key!r} empty or twice")
        if len(value) != 1:
            violations.append(f"attribute {key!r} has {len(value)} values")
        table[key] = next(iter(value.values()), None)
    return table


def histogram_violations(point, ended):
    counts, bounds = point.get("counts", []), point.get("bounds", [])
    if len(counts) != len(bounds) + 1:
        yield f"{len(counts)} counts for {len(bounds)} bounds"
    if sum(counts) != point.get("count", 0):
        yield "count is not the sum of the buckets"
    if bounds != sorted(set(bounds)):
        yield "bounds do not ascend"
    if "sum" not in point:
        yield "no sum"
    if ended and any(counts):
        yield "ended, with counts"


def exponential_violations(point, ended):
    positive = point.get("positive", {})
    total = sum(positive.get("counts", [])) + point.get("zero_count", 0)
    if total != point.get("count", 0):
        yield "count is not the sum of the buckets"
    if not -10 <= point.get("scale", 0) <= 20:
        yield f"scale {point.get('scale')}"
    if "sum" not in point:
        yield "no sum"
    if "negative" in point:
        yield "negative durations"
    if ended and total:
        yield "ended, with counts"


def number_violations(point, ended):
    values = ("double" in point) + ("int" in point)
    if values != (not ended):
        yield f"{values} values, ended: {ended}"


def summary_violations(point, _):
    quantiles = [each.get("quantile", 0) for each in point.get("quantiles", [])]
    if quantiles != sorted(set(quantiles)) or not all(0 <= q <= 1 for q in quantiles):
        yield f"quantiles {quantiles}"


POINT_RULES = {"gauge": number_violations, "sum": number_violations,
               "histogram": histogram_violations,
               "exponential": exponential_violations, "summary": summary_violations}


def point_violations(kind, point):
    flags, start = point.get("flags", 0), point.get("start", 0)
    if flags not in (0, NO_RECORDED_VALUE):
        yield f"flags {flags}"
    if not point.get("time"):
        yield "no time"
    if start >= point.get("time", 0) and start:
        yield f"starts at {start}, after its time"
    yield from POINT_RULES[kind](point, flags == NO_RECORDED_VALUE)


class Point:
    """A data point with all that it is a point of."""

    def __init__(self, resource, metric, kind, data, raw, violations):
        self.resource = resource
        self.name = metric.get("name", "")
        self.unit = metric.get("unit", "")
        self.help = metric.get("description", "")
        self.kind = kind
        self.monotonic = data.get("monotonic", False)
        self.raw = raw
        self.attributes = attributes_of(raw.get("attributes", []), violations)
        self.time = raw.get("time", 0)
        self.start = raw.get("start", 0)
        self.ended = raw.get("flags", 0) == NO_RECORDED_VALUE
        violations += [f"{self.name}{self.attributes}: {each}"
                       for each in point_violations(kind, raw)]

    @property
    def value(self):
        """Of what counts observations, their number."""
        return self.raw.get("double", self.raw.get("int", self.raw.get("count", 0)))

    @property
    def identity(self):
        return (tuple(sorted(self.resource.items())), self.name,
                tuple(sorted(self.attributes.items(), key=str)))


def metric_points(resource, metric, violations):
    kinds = [kind for kind in POINT_RULES if kind in metric]
    name = metric.get("name", "")
    if not name or len(kinds) != 1:
        violations.append(f"metric {name!r} is {kinds}")
        return
    data = metric[kinds[0]]
    wanted = None if kinds[0] in ("gauge", "summary") else CUMULATIVE
    if data.get("temporality") != wanted:
        violations.append(f"{name} has temporality {data.get('temporality')}")
    if not data.get("points"):
        violations.append(f"{name} has no point")
    for raw in data.get("points", []):
        yield Point(resource, metric, kinds[0], data, raw, violations)


def points_of(request, violations):
    """Every point of a request; a resource, a metric of it, a series are there once."""
    seen = set()

    def once(what):
        if what in seen:
            violations.append(f"twice: {what}")
        seen.add(what)

    if not request.get("resource_metrics"):
        violations.append("an empty request")
    for group in request.get("resource_metrics", []):
        resource = attributes_of(group.get("resource", {}).get("attributes", []),
                                 violations)
        once(tuple(sorted(resource.items())))
        if not resource.get("service.name"):
            violations.append(f"no service.name: {resource}")
        for scope in group.get("scope_metrics", []):
            if scope.get("scope", {}).get("name") != "bpftally":
                violations.append(f"scope {scope.get('scope')}")
            for metric in scope.get("metrics", []):
                once((tuple(sorted(resource.items())), metric.get("name")))
                for point in metric_points(resource, metric, violations):
                    once(point.identity)
                    yield point


class History:
    """What holds from one request to the next."""

    def __init__(self):
        self.last = {}

    def add(self, point, violations):
        before = self.last.get(point.identity)
        self.last[point.identity] = point
        if before is None:
            return
        if point.time <= before.time:
            violations.append(f"{point.name}: {point.time} after {before.time}")
        if before.ended or point.ended or point.start != before.start:
            return
        counts = point.monotonic or point.kind in ("histogram", "exponential")
        if counts and point.value < before.value:
            violations.append(f"{point.name}{point.attributes} fell from "
                              f"{before.value} to {point.value}")


# --- as Prometheus has it ---------------------------------------------------

WORDS = {"s": "seconds", "By": "bytes"}


def prometheus_name(point):
    """UnderscoreEscapingWithSuffixes, as far as it is needed."""
    parts = [part for part in re.split("[^a-zA-Z0-9:]+", point.name) if part]
    word = WORDS.get(point.unit, "")
    if word and word not in parts:
        parts.append(word)
    if point.monotonic:
        parts = [part for part in parts if part != "total"] + ["total"]
    return "_".join(parts)


def prometheus_labels(point):
    """With what says which service, as labels; without job and instance."""
    labels = {key.replace(".", "_"): str(value)
              for key, value in point.attributes.items()}
    for key in ("service.name", "service.namespace"):
        if key in point.resource:
            labels[key.replace(".", "_")] = point.resource[key]
    return labels


def histogram_series(point, name, labels):
    total = 0
    for bound, count in zip(point.raw.get("bounds", []) + [math.inf],
                            point.raw["counts"]):
        total += count
        yield name + "_bucket", {**labels, "le": bound}, float(total)


def point_series(point):
    name, labels = prometheus_name(point), prometheus_labels(point)
    if point.kind in ("gauge", "sum"):
        yield name, labels, float(point.value)
        return
    if point.kind == "histogram":
        yield from histogram_series(point, name, labels)
    for each in point.raw.get("quantiles", []):
        yield (name, {**labels, "quantile": each.get("quantile", 0.0)},
               each.get("value", 0.0))
    yield name + "_sum", labels, point.raw.get("sum", 0.0)
    yield name + "_count", labels, float(point.raw.get("count", 0))


def prometheus_series(points):
    """{(name, labels): value}; bounds and quantiles as numbers."""
    return {(name, frozenset(labels.items())): value for point in points
            for name, labels, value in point_series(point)}


# --- the server -------------------------------------------------------------

def header_violations(headers, length):
    wanted = {"Content-Type": "application/x-protobuf", "Content-Length": str(length)}
    for name, value in wanted.items():
        if headers.get(name) != value:
            yield f"{name}: {headers.get(name)}"
    if not headers.get("User-Agent", "").startswith("bpftally/"):
        yield f"User-Agent: {headers.get('User-Agent')}"
    if headers.get("Content-Encoding") not in (None, "gzip"):
        yield f"Content-Encoding: {headers.get('Content-Encoding')}"
    for name in headers:
        if name.lower().startswith(("x-prometheus", "retry-attempt")):
            yield f"{name} is not of OTLP"


class Receiver:
    """On a port of its own. `answers`: (status, headers, body) for the next requests,
    then 200. What a 2xx answered is taken, but for what `rejects` says."""

    def __init__(self, port, answers=()):
        self.port = port
        self.answers = list(answers)
        self.lock = threading.Lock()
        self.requests = []  # (path, headers, status)
        self.points = []    # taken, in order
        self.violations = []
        self.history = History()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.handle(self)

            def log_message(self, format, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def handle(self, handler):
        length = int(handler.headers.get("Content-Length", 0))
        body = handler.rfile.read(length)
        with self.lock:
            status, headers, answer = (self.answers.pop(0) if self.answers
                                       else (200, {}, b""))
            self.requests.append((handler.path, dict(handler.headers), status))
            self.violations += header_violations(handler.headers, length)
            self.take(handler.headers, body, 200 <= status < 300)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def take(self, headers, body, accepted):
        found = []
        try:
            if headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if len(body) > BODY_MAX:
                self.violations.append(f"{len(body)} bytes")
            found = list(points_of(decode(body), self.violations))
        except (Malformed, UnicodeDecodeError, EOFError, OSError) as error:
            self.violations.append(f"{error}")
        if not accepted:
            return
        for point in found:
            self.history.add(point, self.violations)
        self.points += found

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def latest(self, name=None):
        """The newest point of each series that has not ended."""
        with self.lock:
            return [point for point in self.history.last.values()
                    if not point.ended and name in (None, point.name)]

    def total(self, name):
        return sum(point.value for point in self.latest(name))
