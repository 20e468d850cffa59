# SPDX-License-Identifier: Apache-2.0
"""A daemon that does not run for a minute, though nobody told its targets: the
kernel counts on, the events of new processes fill their buffer and overflow."""

import os
import signal
import time

from harness import LOAD, Loading, TestCase, free_port, load, run, wait_until
from servers import PythonServer, hello_nginx

STOP_S = 60
LOAD_S = STOP_S + 8  # some pass before it is stopped
RATE = 500  # requests a second, all that time
STRANGERS = 1000  # more processes than the buffer of events holds (some 880)
EACH = 3  # requests of each
LATE = 3  # processes of which no event was written, but that live on


class Stopped(TestCase):
    def setUp(self):
        super().setUp()
        self.nginx = hello_nginx()
        self.start(self.nginx, self.nginx.port)
        self.late_port = free_port()
        self.daemon = self.bpftally("--port", self.nginx.port, "--port", self.late_port)

    def stop_under_load(self):
        """The load that keeps on for more than a minute from now."""
        loading = Loading(self.nginx.port, "/hello", RATE * LOAD_S, 8,
                          "--rate", RATE, "--timeout", 2 * LOAD_S)
        self.start(loading)
        wait_until(lambda: self.daemon.metrics().requests("server"), "the load",
                   LOAD_S - STOP_S)
        os.kill(self.daemon.pid, signal.SIGSTOP)
        return loading

    def strangers_come_and_go(self):
        """A process each, so fast that a test's own children would be too slow."""
        run(["sh", "-ec", f"i=0; while [ $i -lt {STRANGERS} ]; do i=$((i + 1)); "
             f"{LOAD} -n {EACH} --path /hello 127.0.0.1:{self.nginx.port} >/dev/null; "
             "done"], deadline_s=2 * STOP_S)

    def late_ones_stay(self):
        """Clients that hold their connection, and a server."""
        server = PythonServer(port=self.late_port,
                              env={"OTEL_SERVICE_NAME": "late-server"})
        self.start(server, server.port)
        load(server.port, "/hello.txt", 11, 1, "--close")
        for number in range(LATE):
            client = Loading(self.nginx.port, "/hello", 1, 1, "--hold",
                             env={"OTEL_SERVICE_NAME": f"late-{number}"})
            self.start(client)
            wait_until(client.output, "its answer")

    def test_a_minute_of_it_under_load_loses_nothing(self):
        loading = self.stop_under_load()
        begun = time.monotonic()
        self.strangers_come_and_go()
        self.late_ones_stay()
        loading.account(2 * STOP_S)
        self.assertGreater(time.monotonic() - begun, STOP_S)
        os.kill(self.daemon.pid, signal.SIGCONT)
        total = RATE * LOAD_S + STRANGERS * EACH + LATE
        for role in ("server", "client"):
            self.assert_requests(self.daemon, role, {("GET", "200", "/hello"): total},
                                 server_port=self.nginx.port)
            self.assert_requests(self.daemon, role, {("GET", "200", "/hello.txt"): 11},
                                 server_port=self.late_port)
        self.check_names(total)

    def check_names(self, total):
        """Who lives has its name; of who is gone, those whose event was written."""
        late = [f"late-{number}" for number in range(LATE)]
        missed = self.daemon.metrics().missed()
        self.assertEqual(list(missed), ["event_full"])
        # the late server and the client that asked it are among them
        nameless = EACH * (missed["event_full"] - LATE - 2) + 11
        counts = {"load": total - LATE - nameless + 11, "unknown": nameless,
                  **{name: 1 for name in late}}
        for service, count in counts.items():
            self.assertEqual(sum(self.daemon.metrics().requests(
                "client", service_name=service).values()), count, service)
        self.assertEqual(self.daemon.metrics().requests(
            "server", service_name="late-server"), {("GET", "200", "/hello.txt"): 11})
        self.assertGreater(nameless, 11, "more came than there was room for")
