#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A strict Remote-Write 1.0 receiver. Prometheus' own is lenient: it takes
unsorted labels, empty values, series without a name and wrong headers. This one
answers 400 to the first thing that the specification forbids, and decodes snappy
and protobuf by itself, sharing no library with the sender.

    receiver.py [--port N] [--output FILE] [--script SCRIPT]
                [--require NAME=VALUE]... [--tls CERT KEY]

Prints the port once it listens. Writes a JSON line for every request:
    n, connection, path, status, headers, violations, samples
and for every sample: labels, value (a string where JSON has no number), bits,
timestamp. A request is written before it is answered.

SCRIPT is a list of answers, the last one for good (default: 204):
    503*3,429:Retry-After=2,204
    STATUS[:NAME=VALUE[;NAME=VALUE]...][*TIMES]
    VALUE @N is the HTTP date N seconds from now; NAME Body is the answer's text,
    and of the body "echo" the request's own headers.
    hang  reads the request and never answers; close  ends the connection;
    endless  answers 200 and a body without an end.
A request with violations gets its 400 and takes no answer of the script.
"""

import argparse
import email.utils
import http.server
import json
import math
import re
import ssl
import struct
import sys
import threading
import time

STALE = 0x7FF0000000000002
NORMAL_NAN = 0x7FF8000000000001
UNCOMPRESSED_MAX = 32 << 20
METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
PRODUCT = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FIXED_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


class Malformed(Exception):
    """The bytes are not what they say they are."""


# --- snappy, block format ---------------------------------------------------

def varint(data, at):
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("varint cut off or too long")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def literal(data, at, tag):
    length = tag >> 2
    if length >= 60:
        extra = length - 59
        length = int.from_bytes(data[at:at + extra], "little")
        at += extra
    end = at + length + 1
    if end > len(data):
        raise Malformed("snappy literal beyond the end")
    return data[at:end], end


def copy(data, at, tag):
    """(length, offset, where it goes on) of a copy element."""
    kind = tag & 3
    size = {1: 1, 2: 2, 3: 4}[kind]
    if at + size > len(data):
        raise Malformed("snappy copy beyond the end")
    offset = int.from_bytes(data[at:at + size], "little")
    if kind == 1:
        return ((tag >> 2) & 7) + 4, offset | (tag >> 5) << 8, at + size
    return (tag >> 2) + 1, offset, at + size


def unsnap(data):
    if data[:10] == b"\xff\x06\x00\x00sNaPpY":
        raise Malformed("snappy is framed; the block format is required")
    size, at = varint(data, 0)
    if size > UNCOMPRESSED_MAX:
        raise Malformed(f"{size} bytes uncompressed")
    out = bytearray()
    while at < len(data):
        tag = data[at]
        if tag & 3 == 0:
            chunk, at = literal(data, at + 1, tag)
            out += chunk
            continue
        length, offset, at = copy(data, at + 1, tag)
        if not 0 < offset <= len(out):
            raise Malformed("snappy copy from before the start")
        for _ in range(length):
            out.append(out[-offset])
    if len(out) != size:
        raise Malformed(f"snappy says {size} bytes, has {len(out)}")
    return bytes(out)


# --- protobuf ---------------------------------------------------------------

def fields(data):
    """(number, wire type, value) of each field."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind in (1, 5):
            end = at + (8 if kind == 1 else 4)
            value, at = data[at:end], end
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            raise Malformed(f"wire type {kind}")
        if at > len(data):
            raise Malformed("field beyond the end of its message")
        yield number, kind, value


def message(data, shape, what):
    """Values by field number; lists, as every field may be repeated."""
    found = {number: [] for number in shape}
    for number, kind, value in fields(data):
        if shape.get(number) != kind:
            raise Malformed(f"{what} has field {number} of wire type {kind}")
        found[number].append(value)
    return found


def text(values, what):
    if len(values) > 1:
        raise Malformed(f"{what} given {len(values)} times")
    try:
        return values[0].decode("utf-8") if values else ""
    except UnicodeDecodeError as error:
        raise Malformed(f"{what} is not UTF-8") from error


def decode_label(data):
    found = message(data, {1: 2, 2: 2}, "Label")
    return text(found[1], "label name"), text(found[2], "label value")


def decode_sample(data):
    found = message(data, {1: 1, 2: 0}, "Sample")
    bits = struct.unpack("<Q", found[1][-1])[0] if found[1] else 0
    timestamp = found[2][-1] if found[2] else 0
    return bits, timestamp - (1 << 64) if timestamp >> 63 else timestamp


def decode_request(body):
    """[(labels, samples)] with the labels in the order they came in."""
    series = []
    for data in message(unsnap(body), {1: 2}, "WriteRequest")[1]:
        found = message(data, {1: 2, 2: 2}, "TimeSeries")
        series.append(([decode_label(label) for label in found[1]],
                       [decode_sample(sample) for sample in found[2]]))
    return series


# --- the rules --------------------------------------------------------------

def header_violations(headers):
    for name, wanted in FIXED_HEADERS.items():
        if headers.get_all(name) != [wanted]:
            yield f"{name} is {headers.get_all(name)}, not {wanted}"
    if not PRODUCT.match(headers.get("User-Agent", "")):
        yield f"User-Agent is {headers.get('User-Agent')!r}, not name/version"
    attempt = headers.get("Retry-Attempt")
    if attempt is not None and not re.match(r"[1-9][0-9]*\Z", attempt):
        yield f"Retry-Attempt is {attempt!r}"


def label_violations(labels):
    names = [name for name, _ in labels]
    if [name.encode() for name in names] != sorted(name.encode() for name in names):
        yield f"labels are not sorted: {names}"
    if len(set(names)) != len(names):
        yield f"a label is repeated: {names}"
    for name, value in labels:
        if not LABEL_NAME.match(name):
            yield f"label name {name!r}"
        if not value:
            yield f"label {name!r} is empty"
    if not METRIC_NAME.match(dict(labels).get("__name__", "")):
        yield f"metric name {dict(labels).get('__name__')!r}"


def value_violations(bits):
    is_nan = bits & ~(1 << 63) > 0x7FF0000000000000
    if is_nan and bits not in (STALE, NORMAL_NAN):
        yield f"NaN with bits {bits:016x}: a stale marker that was quieted?"


class Series:
    """The newest timestamp of each series that was accepted."""

    def __init__(self):
        self.newest = {}

    def violations(self, request):
        newest = dict(self.newest)
        for labels, samples in request:
            key = tuple(labels)
            if not samples:
                yield f"no sample: {labels}"
            yield from label_violations(labels)
            for bits, timestamp in samples:
                yield from value_violations(bits)
                if timestamp <= newest.get(key, -math.inf):
                    yield (f"{timestamp} after {newest[key]}, which is not "
                           f"timestamp order: {labels}")
                newest[key] = timestamp

    def accept(self, request):
        for labels, samples in request:
            self.newest[tuple(labels)] = samples[-1][1]


# --- the script -------------------------------------------------------------

class Answer:
    def __init__(self, item):
        item, _, times = item.partition("*")
        status, _, options = item.partition(":")
        self.times = int(times or 1)
        self.action = None if status.isdigit() else status
        self.status = int(status) if status.isdigit() else 0
        self.options = [option.partition("=")[::2]
                        for option in options.split(";") if option]
        if self.action not in (None, "hang", "close", "endless"):
            raise ValueError(f"unknown answer {status!r}")

    def headers(self):
        for name, value in self.options:
            if value.startswith("@"):
                value = email.utils.formatdate(time.time() + float(value[1:]),
                                               usegmt=True)
            if name != "Body":
                yield name, value

    def body(self, headers):
        value = dict(self.options).get("Body", "")
        return str(headers) if value == "echo" else value


class Script:
    def __init__(self, script):
        self.answers = [answer for answer in map(Answer, script.split(","))
                        for _ in range(answer.times)]

    def next(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


# --- the server -------------------------------------------------------------

def printable(value):
    return value if math.isfinite(value) else str(value)


def samples_of(request):
    for labels, samples in request:
        for bits, timestamp in samples:
            value = struct.unpack("<d", struct.pack("<Q", bits))[0]
            yield {"labels": dict(labels), "value": printable(value),
                   "bits": f"{bits:016x}", "timestamp": timestamp}


class Receiver(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, options):
        super().__init__(("127.0.0.1", options.port), Handler)
        self.lock = threading.Lock()
        self.script = Script(options.script)
        self.required = [header.partition("=")[::2] for header in options.require]
        self.output = open(options.output, "a") if options.output else sys.stdout
        self.series = Series()
        self.count = 0
        if options.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*options.tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request, client_address):
        """A client that went away is no error of ours."""

    def judge(self, headers, body):
        """(answer, violations, decoded request); one request at a time."""
        for name, value in self.required:
            if headers.get(name) != value:
                return Answer("401:Body=unauthorized"), [], []
        violations, request = list(header_violations(headers)), []
        try:
            request = decode_request(body)
            violations += self.series.violations(request)
        except Malformed as error:
            violations.append(str(error))
        if violations:
            return Answer("400"), violations, request
        answer = self.script.next()
        if 200 <= answer.status < 300 or answer.action == "endless":
            self.series.accept(request)
        return answer, [], request

    def receive(self, handler, body):
        with self.lock:
            answer, violations, request = self.judge(handler.headers, body)
            self.count += 1
            json.dump({
                "n": self.count,
                "connection": handler.client_address[1],
                "path": handler.path,
                "status": answer.status or answer.action,
                "headers": dict(handler.headers.items()),
                "violations": violations,
                "samples": list(samples_of(request)),
            }, self.output)
            self.output.write("\n")
            self.output.flush()
        return answer, violations


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version = "receiver"
    sys_version = ""

    def log_message(self, *arguments):
        """Quiet: the output says it all."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer, violations = self.server.receive(self, body)
        if answer.action == "hang":
            self.rfile.read(1)
        if answer.action in ("hang", "close"):
            self.close_connection = True
            return
        if answer.action == "endless":
            self.answer_without_end()
            return
        text_body = "; ".join(violations) or answer.body(self.headers)
        self.send_response(answer.status)
        for name, value in answer.headers():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(text_body.encode())))
        self.end_headers()
        if answer.status != 204:
            self.wfile.write(text_body.encode())

    def answer_without_end(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 4096)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--output", metavar="FILE")
    parser.add_argument("--script", default="204")
    parser.add_argument("--require", metavar="NAME=VALUE", action="append", default=[])
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    receiver = Receiver(parser.parse_args())
    print(receiver.server_address[1], flush=True)
    receiver.serve_forever()


if __name__ == "__main__":
    main()
