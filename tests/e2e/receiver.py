#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A strict receiver of Remote-Write 1.0 and 2.0. Prometheus' own is lenient: it
takes unsorted labels, empty values, series without a name and wrong headers. This
one answers 400 to the first thing that the specifications forbid, and decodes
snappy and protobuf by itself, sharing no library with the sender.

    receiver.py [--port N] [--address A] [--output FILE] [--script SCRIPT]
                [--require NAME=VALUE]... [--tls CERT KEY] [--only-v1[=STATUS]]

Prints the port once it listens. Writes a JSON line for every request, before it
is answered:
    n, time (monotonic, of its arrival), connection, path, bytes (of the body),
    status, headers, message ("1.0" or "2.0"), violations,
    repeats, conflicts, disorder (samples: receiver_rules.py says what they are),
    taken (samples and histograms: all, or the first of each that were),
    samples: labels, value (a string where JSON has no number), bits, timestamp, start
    histograms: labels, count, sum, sum_bits, schema, zero_count, negative, positive
        ({index: count}), timestamp, start
    exemplars: labels (of the series), exemplar (its own), value, timestamp
    metadata: name (of the family; with 2.0 of the series), type, help, unit

SCRIPT is a list of answers, the last one for good (default: 204):
    503*3,429:Retry-After=2,204
    STATUS[:NAME=VALUE[;NAME=VALUE]...][*TIMES]
    VALUE @N is the HTTP date N seconds from now; NAME Body is the answer's text,
    and of the body "echo" the request's own headers; Delay=N answers after N
    seconds. Written=none leaves out the headers that say what 2.0 wrote,
    Written=N[/N] says that many samples and histograms, and of a 4xx takes the
    first that many.
    hang  reads the request and never answers; close  ends the connection;
    cut  ends it when half of the body was read; endless  answers 200 and a body
    without an end; half  answers 200 and half of a body; lost  ends the connection.
    The last three have taken the request, as a 2xx has.
A request with violations gets its 400 and takes no answer of the script.

--only-v1 is a receiver of 1.0 that skips unknown fields: a request of 2.0 is an
empty one to it, 204. With =STATUS it refuses 2.0 so.

SIGTERM: answers what it has taken, takes nothing more, and ends."""

import argparse
import http.server
import json
import math
import os
import signal
import socket
import ssl
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
from receiver_rules import (History, buckets, header_violations,  # noqa: E402
                            is_v2, request_violations)
from receiver_script import Answer, Script  # noqa: E402
from receiver_wire import (V2, Malformed, Request, decode_as_old,  # noqa: E402
                           decode_v1, decode_v2, double)

WRITTEN = "X-Prometheus-Remote-Write-{}-Written"


# --- a request as JSON ------------------------------------------------------

def printable(value):
    return value if math.isfinite(value) else str(value)


def samples_of(request):
    for series in request.series:
        for sample in series.samples:
            yield {"labels": dict(series.labels), "value": printable(double(sample.bits)),
                   "bits": f"{sample.bits:016x}", "timestamp": sample.timestamp,
                   "start": sample.start}


def sound_buckets(spans):
    """None where a violation says why there are none."""
    try:
        return buckets(spans)
    except StopIteration:
        return None


def histograms_of(request):
    for series in request.series:
        for each in series.histograms:
            yield {"labels": dict(series.labels), "count": each.count or 0,
                   "sum": printable(double(each.sum_bits)),
                   "sum_bits": f"{each.sum_bits:016x}", "schema": each.schema,
                   "zero_count": each.zero_count or 0,
                   "negative": sound_buckets(each.negative),
                   "positive": sound_buckets(each.positive),
                   "timestamp": each.timestamp, "start": each.start}


def exemplars_of(request):
    for series in request.series:
        for each in series.exemplars:
            yield {"labels": dict(series.labels), "exemplar": dict(each.labels),
                   "value": printable(double(each.bits)), "timestamp": each.timestamp}


def metadata_of(request):
    found = [each._asdict() for each in request.metadata]
    for series in request.series:
        if series.metadata:
            found.append({**series.metadata._asdict(),
                          "name": dict(series.labels).get("__name__", "")})
    return [dict(each) for each in dict.fromkeys(tuple(each.items()) for each in found)]


def count_of(request):
    return (sum(len(series.samples) for series in request.series),
            sum(len(series.histograms) for series in request.series))


def leading(request, samples, histograms):
    """The request with its first samples and histograms only, as many as these."""
    kept = []
    for series in request.series:
        kept.append(series._replace(samples=series.samples[:samples],
                                    histograms=series.histograms[:histograms]))
        samples -= len(kept[-1].samples)
        histograms -= len(kept[-1].histograms)
    return request._replace(series=kept)


NOTHING = Request("", [], [])


# --- the judge --------------------------------------------------------------

class Verdict:
    """Of one request: the answer, and what goes into its line."""

    def __init__(self, answer, request=NOTHING, violations=(), account=None):
        self.answer = answer
        self.request = request
        self.violations = list(violations)
        self.account = account
        self.taken = (0, 0)

    def written_headers(self):
        if self.request.message != V2 or self.answer.written == "none":
            return
        numbers = self.answer.written_numbers() or self.taken
        for name, number in zip(("Samples", "Histograms", "Exemplars"), (*numbers, 0)):
            yield WRITTEN.format(name), str(number)

    def record(self):
        account = self.account
        return {
            "status": self.answer.status or self.answer.action,
            "message": self.request.message, "violations": self.violations,
            "repeats": account.repeats if account else 0,
            "conflicts": len(account.conflicts) if account else 0,
            "disorder": len(account.disorder) if account else 0,
            "taken": self.taken, "samples": list(samples_of(self.request)),
            "histograms": list(histograms_of(self.request)),
            "exemplars": list(exemplars_of(self.request)),
            "metadata": metadata_of(self.request),
        }


class Judge:
    """Knows what was taken before; asked about one request at a time."""

    def __init__(self, script="204", required=(), only_v1=None):
        self.script = Script(script)
        self.required = list(required)
        self.only_v1 = only_v1  # the status for 2.0; None: it is known
        self.history = History()

    def judge(self, headers, body):
        for name, value in self.required:
            if headers.get(name) != value:
                return Verdict(Answer("401:Body=unauthorized"))
        violations = list(header_violations(headers))
        if self.only_v1 is not None and is_v2(headers):
            return self.judge_as_old(body, violations)
        try:
            request = (decode_v2 if is_v2(headers) else decode_v1)(body)
        except Malformed as error:
            return Verdict(Answer("400"), NOTHING, [*violations, str(error)])
        return self.judge_request(request, violations)

    def judge_as_old(self, body, violations):
        try:
            request = decode_as_old(body)
        except Malformed as error:
            violations.append(str(error))
        if violations or request.series:
            return Verdict(Answer("400"), NOTHING, violations or ["both 1.0 and 2.0"])
        return Verdict(Answer(str(self.only_v1)))

    def judge_request(self, request, violations):
        account = self.history.account(request)
        violations += [*request_violations(request), *account.conflicts,
                       *account.disorder]
        if violations:
            return Verdict(Answer("400"), request, violations, account)
        verdict = Verdict(self.script.next(), request, [], account)
        verdict.taken = self.take(verdict.answer, request)
        return verdict

    def take(self, answer, request):
        partly = answer.written_numbers() if 400 <= answer.status < 500 else None
        if not answer.is_success() and partly is None:
            return (0, 0)
        taken = request if partly is None else leading(request, *partly)
        self.history.accept(taken)
        return count_of(taken)


# --- the server -------------------------------------------------------------

class Receiver(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, options):
        super().__init__((options.address, options.port), Handler)
        self.lock = threading.Condition()
        self.judge = Judge(options.script, [each.partition("=")[::2]
                                            for each in options.require],
                           options.only_v1)
        self.output = open(options.output, "a") if options.output else sys.stdout
        self.count = 0
        self.unanswered = 0
        self.is_ending = False
        if options.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*options.tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request, client_address):
        """A client that went away is no error of ours."""

    def end(self):
        with self.lock:
            self.is_ending = True
            self.lock.wait_for(lambda: self.unanswered == 0, 5)
        os._exit(0)

    def write(self, handler, body, verdict):
        self.count += 1
        json.dump({"n": self.count, "time": handler.arrived,
                   "connection": handler.client_address[1], "path": handler.path,
                   "bytes": len(body), "headers": dict(handler.headers.items()),
                   **verdict.record()}, self.output)
        self.output.write("\n")
        self.output.flush()

    def receive(self, handler, body):
        """None when it is too late for that."""
        with self.lock:
            if self.is_ending:
                return None
            verdict = self.judge.judge(handler.headers, body)
            self.write(handler, body, verdict)
            self.unanswered += verdict.answer.action is None
            return verdict

    def answered(self, verdict):
        with self.lock:
            self.unanswered -= verdict.answer.action is None
            self.lock.notify_all()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version = "receiver"
    sys_version = ""

    def log_message(self, *arguments):
        """Quiet: the output says it all."""

    def do_POST(self):
        self.arrived = time.monotonic()
        length = int(self.headers.get("Content-Length", 0))
        cut = self.server.judge.script.next_if("cut")
        if cut:
            self.cut(length // 2, cut)
            return
        body = self.rfile.read(length)
        verdict = self.server.receive(self, body) if len(body) == length else None
        if verdict is None:
            self.close_connection = True
            return
        try:
            self.answer(verdict)
        finally:
            self.server.answered(verdict)

    def cut(self, length, answer):
        body = self.rfile.read(length)
        with self.server.lock:
            self.server.write(self, body, Verdict(answer))
        # a reset, as of a machine that is gone: what is unread is lost
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   struct.pack("ii", 1, 0))
        self.close_connection = True

    def answer(self, verdict):
        action = verdict.answer.action
        time.sleep(verdict.answer.delay_s)
        if action == "hang":
            self.rfile.read(1)
        if action in ("hang", "close", "lost"):
            self.close_connection = True
        elif action == "endless":
            self.answer_without_end()
        elif action == "half":
            self.answer_with(200, [], "half", 8)
            self.close_connection = True
        else:
            text = "; ".join(verdict.violations) or verdict.answer.body(self.headers)
            self.answer_with(verdict.answer.status, [*verdict.answer.headers(),
                                                     *verdict.written_headers()], text)

    def answer_with(self, status, headers, text, length=None):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length or len(text.encode())))
        self.end_headers()
        if status != 204:
            self.wfile.write(text.encode())

    def answer_without_end(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 4096)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--output", metavar="FILE")
    parser.add_argument("--script", default="204")
    parser.add_argument("--require", metavar="NAME=VALUE", action="append", default=[])
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--only-v1", nargs="?", type=int, const=204, metavar="STATUS")
    receiver = Receiver(parser.parse_args())
    ending = threading.Thread(target=receiver.end, daemon=True)
    signal.signal(signal.SIGTERM, lambda *_: ending.ident or ending.start())
    print(receiver.server_address[1], flush=True)
    receiver.serve_forever()


if __name__ == "__main__":
    main()
