# SPDX-License-Identifier: Apache-2.0
"""A strict receiver of Loki's push requests, for tests in the same process. It decodes
snappy and protobuf by hand, shares no library with the sender, keeps Loki's limits and
more: a stream is once in a request, its labels are sorted, its entries come strictly
later one after another, in all requests that were taken. What it finds wrong is in
`violations`. What comes again must be what it was: same time, same line (`repeats`)."""

import bisect
import http.server
import re
import threading
import time

from receiver_script import Script
from receiver_wire import Malformed, integer, message, text, unsnap

LABELS_MAX, NAME_MAX, VALUE_MAX = 15, 1024, 2048
LINE_MAX = 256 << 10
BODY_MAX = 100 << 20
PAST_S, FUTURE_S = 7 * 86400, 600
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\x00-\x1f\x7f]|\\.)*)"(, |$)')
_ESCAPE = re.compile(r'\\(x[0-9a-f]{2}|["\\])')


def _unquote(value):
    if _ESCAPE.sub("", value).count("\\"):
        raise Malformed(f"a label's value is quoted wrongly: {value!r}")
    return _ESCAPE.sub(lambda found: found[1] if len(found[1]) == 1
                       else chr(int(found[1][1:], 16)), value)


def labels_of(selector):
    """{name: value} of `{name="value", ...}`."""
    if selector[:1] != "{" or selector[-1:] != "}":
        raise Malformed(f"labels without braces: {selector!r}")
    labels, at, inside = [], 0, selector[1:-1]
    while at < len(inside):
        found = _LABEL.match(inside, at)
        if not found or (found[3] and found.end() == len(inside)):
            raise Malformed(f"labels: {selector!r}")
        labels.append((found[1], _unquote(found[2])))
        at = found.end()
    names = [name for name, _ in labels]
    if names != sorted(set(names)):
        raise Malformed(f"labels not sorted, or twice: {selector!r}")
    if not 1 <= len(names) <= LABELS_MAX:
        raise Malformed(f"{len(names)} labels")
    for name, value in labels:
        if not value or len(name) > NAME_MAX or len(value.encode()) > VALUE_MAX:
            raise Malformed(f"label {name} has {len(value)} characters")
    return dict(labels)


def _entry(body):
    fields = message(body, {1: 2, 2: 2}, "Entry")
    if len(fields[1]) != 1:
        raise Malformed("an entry without its time")
    stamp = message(fields[1][0], {1: 0, 2: 0}, "Timestamp")
    nanos = integer(stamp[2])
    if not 0 <= nanos < 1000000000:
        raise Malformed(f"{nanos} ns in a second")
    line = text(fields[2], "line")
    if len(line.encode()) > LINE_MAX or "\0" in line:
        raise Malformed(f"a line of {len(line)} characters, or with NUL")
    return integer(stamp[1]) * 1000000000 + nanos, line


def decode(body):
    """{labels as they were spelled: [(ns, line)]}"""
    if len(body) > BODY_MAX:
        raise Malformed("body too long")
    streams = {}
    for each in message(unsnap(body), {1: 2}, "PushRequest")[1]:
        fields = message(each, {1: 2, 2: 2}, "Stream")
        labels = text(fields[1], "labels")
        labels_of(labels)
        if labels in streams:
            raise Malformed(f"stream {labels} twice in a request")
        if not fields[2]:
            raise Malformed(f"stream {labels} is empty")
        streams[labels] = [_entry(entry) for entry in fields[2]]
    if not streams:
        raise Malformed("no streams")
    return streams


class Stream:
    def __init__(self, labels):
        self.labels = labels
        self.times = []
        self.lines = []

    def judge(self, entries):
        """(new ones, repeats, what is wrong)"""
        new, repeats, last = [], 0, self.times[-1] if self.times else 0
        now = time.time()
        for stamp, line in entries:
            if stamp > last:
                last = stamp
                new.append((stamp, line))
            elif self.has(stamp, line):
                repeats += 1
            else:
                return new, repeats, f"{self.labels}: {stamp} {line[:60]!r} is not later"
            if not now - PAST_S < stamp / 1e9 < now + FUTURE_S:
                return new, repeats, f"{stamp} is too old, or of the future"
        return new, repeats, None

    def has(self, stamp, line):
        at = bisect.bisect_left(self.times, stamp)
        return at < len(self.times) and self.times[at] == stamp and self.lines[at] == line

    def take(self, entries):
        for stamp, line in entries:
            self.times.append(stamp)
            self.lines.append(line)


class Receiver:
    """Serves at `url` from the beginning; stop() and start() are an outage."""

    def __init__(self, script="204", path="/loki/api/v1/push", headers=None, port=0):
        self.script = Script(script)
        self.path = path
        self.headers = headers or {}
        self.lock = threading.Condition()
        self.streams = {}
        self.violations = []
        self.requests = []  # (time, status, lines)
        self.repeats = 0
        self.port = port
        self.server = None
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}{self.path}"

    def start(self):
        self.server = _Server(("127.0.0.1", self.port), _Handler)
        self.server.receiver = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            self.server = None

    def answer_with(self, script):
        self.script = Script(script)

    def lines(self, **labels):
        """Of the streams that have these labels, in order."""
        with self.lock:
            return [line for name, stream in self.streams.items()
                    if labels.items() <= labels_of(name).items()
                    for line in stream.lines]

    def count(self):
        with self.lock:
            return sum(len(stream.lines) for stream in self.streams.values())

    def statuses(self):
        with self.lock:
            return [status for _, status, _ in self.requests]

    # --- of the handler

    def _head_problems(self, handler):
        headers = handler.headers
        if handler.path != self.path:
            yield f"path {handler.path}"
        if headers.get("Content-Type") != "application/x-protobuf":
            yield f"Content-Type {headers.get('Content-Type')}"
        if headers.get("Content-Encoding") not in (None, "snappy"):
            yield f"Content-Encoding {headers.get('Content-Encoding')}"
        for name, value in self.headers.items():
            if headers.get(name) != value:
                yield f"{name}: {headers.get(name)}"

    def judge(self, handler, body):
        """(answer or None for the script's, lines)"""
        problems = list(self._head_problems(handler))
        streams = {}
        try:
            streams = decode(body)
        except Malformed as error:
            problems.append(str(error))
        with self.lock:
            if not problems:
                problems = self._judge_streams(streams)
            if problems:
                self.violations += problems
                return None
            answer = self.script.next()
            lines = sum(map(len, streams.values()))
            self.requests.append((time.monotonic(), answer.status or answer.action,
                                  lines))
            if answer.is_success() and answer.status != 260:
                self._take(streams)
            return answer

    def _judge_streams(self, streams):
        return [wrong for labels, entries in streams.items()
                for _, _, wrong in [self.streams.get(labels, Stream(labels))
                                    .judge(entries)] if wrong]

    def _take(self, streams):
        for labels, entries in streams.items():
            stream = self.streams.setdefault(labels, Stream(labels))
            new, repeats, _ = stream.judge(entries)
            stream.take(new)
            self.repeats += repeats


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        """A client that was killed is no error of ours."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """Quiet."""

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        receiver = self.server.receiver
        if len(body) != length or receiver.server is not self.server:
            self.close_connection = True
            return
        answer = receiver.judge(self, body)
        if answer is None:
            self.reply(400, [], "violation")
            return
        time.sleep(answer.delay_s)
        if answer.action:
            self.close_connection = True
        else:
            self.reply(answer.status, answer.headers(), answer.body(self.headers))

    def reply(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        if status != 204:
            self.wfile.write(body.encode())
