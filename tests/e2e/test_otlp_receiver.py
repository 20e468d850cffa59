# SPDX-License-Identifier: Apache-2.0
"""That the strict receiver of OTLP finds what it is there to find: a good request,
then the same with one thing wrong at a time."""

import struct

import otlp_receiver as otlp
from harness import TestCase


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def fixed(field, value):
    return varint(field << 3 | 1) + struct.pack("<Q", value)


def double(field, value):
    return varint(field << 3 | 1) + struct.pack("<d", value)


def data(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def packed(field, form, *values):
    return data(field, b"".join(struct.pack(form, value) for value in values))


def attribute(field, key, value="v"):
    return data(field, data(1, key) + data(2, data(1, value)))


TIMES = fixed(2, 5) + fixed(3, 9)
POINT = TIMES + double(4, 1.0) + attribute(7, "a")
HISTOGRAM = (TIMES + fixed(4, 3) + double(5, 0.5) + packed(6, "<Q", 1, 2) +
             packed(7, "<d", 0.1))
BUCKETS = data(8, number(1, 3) + data(2, varint(1) + varint(2)))
EXPONENTIAL = TIMES + fixed(4, 4) + double(5, 0.5) + number(6, 6) + fixed(7, 1) + BUCKETS
SUMMARY = TIMES + fixed(4, 1) + data(6, double(1, 0.5)) + data(6, double(1, 0.9))
RESOURCE = data(1, attribute(1, "service.name"))
SCOPE = data(1, data(1, "bpftally"))


def metric(kind, *points, name="m", extra=number(2, 2)):
    return data(2, data(1, name) + data(kind, b"".join(
        data(1, point) for point in points) + extra))


def request(*metrics, resource=RESOURCE, scope=SCOPE):
    return data(1, resource + data(2, scope + b"".join(metrics)))


GOOD = {
    "gauge": request(metric(5, POINT, extra=b"")),
    "sum": request(metric(7, POINT)),
    "histogram": request(metric(9, HISTOGRAM)),
    "exponential": request(metric(10, EXPONENTIAL)),
    "summary": request(metric(11, SUMMARY, extra=b"")),
    "ended": request(metric(7, TIMES + number(8, 1))),
    "without a start": request(metric(7, fixed(3, 9) + double(4, 1.0))),
}
BAD = {
    "empty": b"",
    "no service.name": request(metric(7, POINT), resource=data(1, b"")),
    "resource twice": request(metric(7, POINT)) * 2,
    "attribute twice": request(metric(7, POINT + attribute(7, "a"))),
    "no attribute's name": request(metric(7, POINT + attribute(7, ""))),
    "scope": request(metric(7, POINT), scope=data(1, data(1, "x"))),
    "metric twice": request(metric(7, POINT), metric(7, POINT)),
    "series twice": request(metric(7, POINT, POINT)),
    "no name": request(metric(7, POINT, name="")),
    "no data": request(data(2, data(1, "m"))),
    "no point": request(metric(7)),
    "delta": request(metric(7, POINT, extra=number(2, 1))),
    "no temporality": request(metric(9, HISTOGRAM, extra=b"")),
    "no time": request(metric(7, double(4, 1.0))),
    "start at its time": request(metric(7, fixed(2, 9) + fixed(3, 9) + double(4, 1.0))),
    "flags": request(metric(7, POINT + number(8, 2))),
    "no value": request(metric(7, TIMES)),
    "ended with a value": request(metric(7, POINT + number(8, 1))),
    "count": request(metric(9, HISTOGRAM.replace(fixed(4, 3), fixed(4, 4)))),
    "bounds": request(metric(9, TIMES + fixed(4, 3) + double(5, 1) +
                             packed(6, "<Q", 1, 2))),
    "order of bounds": request(metric(9, TIMES + double(5, 1) + packed(6, "<Q", 0, 0, 0) +
                                      packed(7, "<d", 1, 0))),
    "no sum": request(metric(9, HISTOGRAM.replace(double(5, 0.5), b""))),
    "ended with counts": request(metric(9, HISTOGRAM + number(10, 1))),
    "exponential count": request(metric(10, EXPONENTIAL.replace(fixed(7, 1), b""))),
    "scale": request(metric(10, EXPONENTIAL.replace(number(6, 6), number(6, 60)))),
    "quantiles": request(metric(11, SUMMARY + data(6, double(1, 0.1)), extra=b"")),
}
MALFORMED = {
    "field": number(2, 1),
    "wire type": number(1, 1),
    "gauge with temporality": request(metric(5, POINT)),
    "cut off": GOOD["sum"][:-1],
    "field twice": request(metric(7, POINT + double(4, 1.0))),
    "varint": b"\x0a" + b"\xff" * 11,
}


def judge(body):
    violations = []
    points = list(otlp.points_of(otlp.decode(body), violations))
    return points, violations


class OtlpReceiver(TestCase):
    def test_what_is_right_is_taken(self):
        for name, body in GOOD.items():
            points, violations = judge(body)
            self.assertEqual((len(points), violations), (1, []), name)

    def test_what_is_wrong_is_found(self):
        for name, body in BAD.items():
            self.assertEqual(len(judge(body)[1]) > 0, True, name)

    def test_what_is_no_message_is_not_read(self):
        for name, body in MALFORMED.items():
            with self.assertRaises(otlp.Malformed, msg=name):
                judge(body)

    def test_what_goes_back_in_time_or_falls_is_found(self):
        def later(time, value, start=5):
            body = request(metric(7, fixed(2, start) + fixed(3, time) + double(4, value),
                                  extra=number(2, 2) + number(3, 1)))
            return judge(body)[0][0]
        for points, found in (((later(9, 1), later(10, 1)), 0),
                              ((later(9, 1), later(9, 1)), 1),
                              ((later(9, 2), later(10, 1)), 1),
                              ((later(9, 2), later(10, 1, start=9)), 0)):
            history, violations = otlp.History(), []
            for point in points:
                history.add(point, violations)
            self.assertEqual(len(violations), found, violations)

    def test_what_is_no_header_of_otlp_is_found(self):
        good = {"Content-Type": "application/x-protobuf", "Content-Length": "3",
                "User-Agent": "bpftally/1", "Content-Encoding": "gzip"}
        self.assertEqual(list(otlp.header_violations(good, 3)), [])
        for name, value in (("Content-Type", "application/x-protobuf; charset=utf-8"),
                            ("Content-Length", "4"), ("User-Agent", "curl"),
                            ("Content-Encoding", "snappy"), ("Retry-Attempt", "1"),
                            ("X-Prometheus-Remote-Write-Version", "0.1.0")):
            self.assertEqual(len(list(otlp.header_violations({**good, name: value}, 3))),
                             1, name)
