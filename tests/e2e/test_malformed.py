# SPDX-License-Identifier: Apache-2.0
"""Bytes that no well-behaved program sends, through real sockets: bpftally stays
up and counts the good request that follows each, exactly."""

import collections
import pathlib
import random

from harness import TestCase, exchange, run, wait_until, write_file
from servers import PYTHON, PythonServer, Script, hello_nginx

GOOD = b"GET /good HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SEED = 20261122  # of the random part; every run sends the same bytes
RANDOM_CASES = 80

WORDS = {
    "GOOD": GOOD,
    "HEAD": b"GET /x HTTP/1.1\r\nHost: x\r\n",
    "POST": b"POST /x HTTP/1.1\r\nHost: x\r\n",
    "OK": b"HTTP/1.1 200 OK\r\n",
}
CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def read_corpus(name):
    """One case a line, an expression of bytes."""
    lines = (CORPUS / name).read_text(encoding="ascii").splitlines()
    return [eval(line, {"__builtins__": {}, "bytes": bytes, "range": range}, WORDS)
            for line in lines if line and not line.startswith("#")]


REQUESTS = read_corpus("requests")
LIBERAL = read_corpus("liberal")
RESPONSES = read_corpus("responses")


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
        cases = REQUESTS + LIBERAL + mutations(REQUESTS, RANDOM_CASES)
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

    def test_requests_to_nginx(self):
        self.check_server(hello_nginx(), "404")

    def test_nginx_and_we_agree_on_what_was_a_request(self):
        nginx = hello_nginx()
        self.start(nginx, nginx.port)
        daemon = self.bpftally("--port", nginx.port)
        for case in REQUESTS:
            exchange(nginx.port, case, 0.2, half_close=True)

        def tables():
            """By status; without 400, nginx's word for what it could not read, and
            without those that went away."""
            served = collections.Counter(line.split()[0]
                                         for line in nginx.access_lines())
            counted = collections.Counter()
            for (_, status, _), count in daemon.metrics().requests("server").items():
                counted[status] += count
            for table in (served, counted):
                for status in ("400", "000", "connection_closed"):
                    table.pop(status, None)
            return counted, served
        wait_until(lambda: sum(tables()[0].values()) >= sum(tables()[1].values()),
                   f"the counts, they are {tables()}")
        counted, served = tables()
        self.assertEqual(counted, served)
        self.assertGreater(sum(served.values()), 50)

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
