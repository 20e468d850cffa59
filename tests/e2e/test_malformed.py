# SPDX-License-Identifier: Apache-2.0
"""Bytes that no well-behaved program sends, through real sockets: bpftally stays
up and counts the good request that follows each, exactly."""

import random

from harness import TestCase, exchange, run, wait_until, write_file
from servers import PYTHON, PythonServer, Script, hello_nginx

GOOD = b"GET /good HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SEED = 20261122  # of the random part; every run sends the same bytes
RANDOM_CASES = 80

_HEAD = b"GET /x HTTP/1.1\r\nHost: x\r\n"
_POST = b"POST /x HTTP/1.1\r\nHost: x\r\n"
_OK = b"HTTP/1.1 200 OK\r\n"

REQUESTS = [
    # no request at all
    b"", b"\r\n", b"\n", b"\0", b"\0" * 300, b" ", b"\xff" * 300, b"\r" * 300,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 32, b"SSH-2.0-OpenSSH_9.2\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n", b"EHLO x\r\n", b"\x05\x01\x00",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hello world\n" * 40,
    # request lines
    b"G", b"GE", b"GET", b"GET ", b"GET /", b"GET / ", b"GET / H", b"GET / HTTP/1.1",
    b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n\r",
    b"GET\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n", b"GET /x\r\n\r\n", b"GET /x HTTP\r\n\r\n",
    b"GET /x HTTP/\r\n\r\n", b"GET /x HTTP/1\r\n\r\n", b"GET /x HTTP/1.\r\n\r\n",
    b"GET /x HTTP/1.2\r\n\r\n", b"GET /x HTTP/0.9\r\n\r\n", b"GET /x HTTP/9.9\r\n\r\n",
    b"GET /x HTTP/1.11\r\n\r\n", b"GET /x HTTP/11.1\r\n\r\n", b"GET /x HTTP/-1.1\r\n\r\n",
    b"GET /x http/1.1\r\n\r\n", b"get /x HTTP/1.1\r\n\r\n", b"GeT /x HTTP/1.1\r\n\r\n",
    b"GETT /x HTTP/1.1\r\n\r\n", b"G\0T /x HTTP/1.1\r\n\r\n",
    b"GET\t/x\tHTTP/1.1\r\n\r\n", b"GET /x  HTTP/1.1\r\n\r\n",
    b"GET  /x HTTP/1.1\r\n\r\n", b" GET /x HTTP/1.1\r\n\r\n",
    b"GET /x HTTP/1.1 \r\n\r\n", b"GET /x y HTTP/1.1\r\n\r\n",
    b"GET x HTTP/1.1\r\nHost: x\r\n\r\n", b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x/y HTTP/1.1\r\nHost: x\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n",
    b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n" + b"\x16\x03\x01" * 20,
    b"GET /" + b"a" * 300 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a/" * 400 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"%00" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\r/x HTTP/1.1\r\n\r\n", b"GET /x\n HTTP/1.1\n\n", b"A" * 70000,
    b"GETGETGETGET" * 100, b"M" * 300 + b" /x HTTP/1.1\r\n\r\n",
    b"GET ? HTTP/1.1\r\nHost: x\r\n\r\n", b"GET # HTTP/1.1\r\nHost: x\r\n\r\n",
    # line ends
    b"GET /x HTTP/1.1\nHost: x\n\n", b"GET /x HTTP/1.1\rHost: x\r\r",
    b"GET /x HTTP/1.1\r\nHost: x\n\n", b"GET /x HTTP/1.1\n\r\nHost: x\r\n\r\n",
    b"\r\n" * 50 + _HEAD + b"\r\n", b"\n" + _HEAD + b"\r\n", _HEAD + b"\n",
    _HEAD + b"\r\r\n\r\n", _HEAD + b"X: a\rb\r\n\r\n",
    # headers
    _HEAD + b"\0: x\r\n\r\n", _HEAD + b": x\r\n\r\n", _HEAD + b"X\r\n\r\n",
    _HEAD + b"X : y\r\n\r\n", _HEAD + b" X: y\r\n\r\n", _HEAD + b"X: a\r\n b\r\n\r\n",
    b"GET /x HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n", _HEAD + b"X: \0\r\n\r\n",
    _HEAD + b"X" * 300 + b": y\r\n\r\n", _HEAD + b"X: " + b"y" * 9000 + b"\r\n\r\n",
    _HEAD + b"".join(b"X-%d: y\r\n" % i for i in range(150)) + b"\r\n",
    b"GET /x HTTP/1.1\r\n\r\n", _HEAD + b"Host: y\r\n\r\n", _HEAD + b"\xff\xff: y\r\n\r\n",
    # lengths
    _POST + b"Content-Length: 5\r\n\r\n", _POST + b"Content-Length: 5\r\n\r\nhel",
    _POST + b"Content-Length: 0\r\n\r\nextra", _POST + b"Content-Length: -1\r\n\r\n",
    _POST + b"Content-Length: +5\r\n\r\nhello", _POST + b"Content-Length: 0x5\r\n\r\nhello",
    _POST + b"Content-Length: 5 5\r\n\r\nhello", _POST + b"Content-Length: 5,5\r\n\r\nhello",
    _POST + b"Content-Length: 5, 6\r\n\r\nhello", _POST + b"Content-Length:\r\n\r\n",
    _POST + b"Content-Length: \r\n\r\nhello", _POST + b"Content-Length: five\r\n\r\nhello",
    _POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    _POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    _POST + b"Content-Length: 18446744073709551615\r\n\r\nhello",
    _POST + b"Content-Length: 18446744073709551616\r\n\r\nhello",
    _POST + b"Content-Length: 99999999999999999999999999999\r\n\r\nhello",
    _POST + b"Content-Length: 4294967296\r\n\r\nhello",
    _POST + b"Content-Length: 2147483648\r\n\r\nhello",
    _POST + b"Content-Length: 00000000000000000000000000000005\r\n\r\nhello",
    _POST + b"content-LENGTH:5\r\n\r\nhello", _POST + b"Content-Length : 5\r\n\r\nhello",
    _POST + b"Content-Length: 5\0\r\n\r\nhello", _POST + b"Content-Length: 1e1\r\n\r\nhello",
    _POST + b"Content-Length:\t5\t\r\n\r\nhello", _HEAD + b"Content-Length: 5\r\n\r\nhello",
    # chunks
    _POST + b"Transfer-Encoding: chunked\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0;c\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\ng\r\nhello\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nhello\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFF0\r\nhello\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 300 + b"5\r\nhello\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: x\r\n" * 500 + b"\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + GOOD[:30],
    _POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 3000 + b"0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    _POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: xchunked\r\n\r\nhello",
    _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: identity\r\n\r\n",
    _POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: CHUNKED\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    # what follows, what is asked for
    _HEAD + b"Expect: 100-continue\r\n\r\n", _POST + b"Expect: 100-continue\r\n"
    b"Content-Length: 5\r\n\r\nhello", _POST + b"Expect: nonsense\r\n\r\n",
    _HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
    _HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    _HEAD + b"Connection: close, keep-alive\r\n\r\n", _HEAD + b"Connection: \r\n\r\n",
    (_HEAD + b"\r\n") * 20, (_HEAD + b"\r\n") * 3 + b"GET /tr", _HEAD + b"\r\n" + b"\0" * 50,
    _HEAD + b"\r\nHTTP/1.1 200 OK\r\n\r\n", b"HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n" * 5,
    _POST + b"Content-Length: 40\r\n\r\n" + GOOD[:40],
    b"TRACE /x HTTP/1.1\r\nHost: x\r\n\r\n", b"DELETE /x HTTP/1.1\r\nHost: x\r\n\r\n",
]

RESPONSES = [
    b"", b"\r\n", b"\0" * 300, b"\xff" * 300, b"hello\n", b"H", b"HTTP", b"HTTP/1.1",
    b"HTTP/1.1 ", b"HTTP/1.1 2", b"HTTP/1.1 20", b"HTTP/1.1 200", b"HTTP/1.1 200\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 000 OK\r\n\r\n", b"HTTP/1.1 999 OK\r\n\r\n",
    b"HTTP/1.1 -20 OK\r\n\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/1.1  200 OK\r\n\r\n",
    b"HTTP/2 200\r\n\r\n", b"HTTP/0.9 200 OK\r\n\r\n", b"http/1.1 200 OK\r\n\r\n",
    b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\n\nhi", _OK + b"\r\n", _OK + b"\r\nbody",
    _OK + b"Content-Length: 5\r\n\r\n", _OK + b"Content-Length: 5\r\n\r\nhel",
    _OK + b"Content-Length: 5\r\n\r\nhello and more",
    _OK + b"Content-Length: 5\r\n\r\nhello" + _OK + b"Content-Length: 0\r\n\r\n",
    _OK + b"Content-Length: 18446744073709551616\r\n\r\nx",
    _OK + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
    _OK + b"Transfer-Encoding: chunked\r\n\r\n", _OK + b"Transfer-Encoding: chunked\r\n\r\n5",
    _OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    _OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    _OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    _OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 30,
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _OK + b"Content-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + b"\x81\x05hello" * 50,
    b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 " + b"O" * 9000 + b"K\r\n\r\n", _OK + b"X: " + b"y" * 20000 + b"\r\n\r\n",
    _OK + b"X: y\r\n" * 1000 + b"Content-Length: 0\r\n\r\n", _OK + b"\0\r\n\r\n",
    GOOD, b"GET / HTTP/1.1\r\n\r\n" + _OK + b"\r\n", b"<html>" * 500,
]


def mutations(cases, count):
    """Good messages with bytes changed, cut, doubled: the same on every run."""
    generator = random.Random(SEED)
    found = []
    while len(found) < count:
        data = bytearray(generator.choice(cases)[:2000])
        for _ in range(generator.randint(1, 8)):
            if not data:
                break
            at = generator.randrange(len(data))
            action = generator.randrange(3)
            if action == 0:
                data[at] = generator.randrange(256)
            elif action == 1:
                del data[at:at + generator.randint(1, 20)]
            else:
                data[at:at] = data[at:at + generator.randint(1, 40)]
        if b"/good" not in data:
            found.append(bytes(data))
    return found


class Malformed(TestCase):
    def check_server(self, server, status):
        self.start(server, server.port)
        daemon = self.bpftally("--port", server.port)
        cases = REQUESTS + mutations(REQUESTS, RANDOM_CASES)
        self.assertGreaterEqual(len(cases), 200)
        for case in cases:
            exchange(server.port, case, 0.2, half_close=True)
            answer = exchange(server.port, GOOD)
            self.assertIn(b" %s " % status.encode(), answer[:20],
                          f"the server itself, after {case[:60]!r}")
        for role in ("server", "client"):
            self.assert_requests(daemon, role, {("GET", status, "/good"): len(cases)},
                                 http_route="/good")
        self.assertTrue(daemon.alive())
        self.assertNotRegex(daemon.log(), "bpftally: error:")
        return daemon, cases

    def test_requests_to_nginx(self):
        daemon, _ = self.check_server(hello_nginx(), "404")
        nginx = self.processes[0]
        # every request with a status that nginx logged is counted or in the ledger
        served = [line for line in nginx.access_lines() if not line.startswith("400")]
        metrics = daemon.metrics()
        counted = sum(metrics.requests("server").values())
        self.assertGreaterEqual(counted + sum(metrics.missed().values()), len(served))

    def test_requests_to_python(self):
        self.check_server(PythonServer(), "404")

    def test_responses(self):
        cases = RESPONSES + mutations(RESPONSES, RANDOM_CASES)
        answers = write_file("answers", "".join(f"{case!r}\n" for case in cases))
        server = Script(PYTHON, "parrot.py", answers)
        self.start(server, server.port)
        daemon = self.bpftally("--port", server.port)
        for _ in cases:
            exchange(server.port, b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"good\n", exchange(server.port, GOOD))
        for role in ("server", "client"):
            self.assert_requests(daemon, role, {("GET", "200", "/good"): len(cases)},
                                 http_route="/good")
        self.assertTrue(daemon.alive())
        self.assertNotRegex(daemon.log(), "bpftally: error:")

    def test_curl_against_malformed_responses(self):
        cases = RESPONSES
        answers = write_file("answers", "".join(f"{case!r}\n" for case in cases))
        server = Script(PYTHON, "parrot.py", answers)
        self.start(server, server.port)
        daemon = self.bpftally("--port", server.port)
        base = f"http://127.0.0.1:{server.port}"
        # one curl: its connections and their states live side by side
        run(["curl", "-sS", "--max-time", 20, "-o", "/dev/null",
             f"{base}/bad?[1-{len(cases)}]"], check=False)
        run(["curl", "-sS", "-o", "/dev/null", f"{base}/good?[1-7]"])
        self.assert_requests(daemon, "client", {("GET", "200", "/good"): 7},
                             http_route="/good", service_name="curl")
        wait_until(daemon.alive, "bpftally to be alive")
