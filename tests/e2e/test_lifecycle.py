# SPDX-License-Identifier: Apache-2.0
"""The daemon from start to end: it leaves nothing behind, sleeps while nobody
asks, and its memory and series are bounded whatever a stranger sends."""

import http.client
import os
import pathlib
import signal
import socket
import threading
import time

from harness import (BPFTALLY, ROOT, SCRATCH, Loading, Process, TestCase, bpf_before,
                     bpf_objects, bpf_objects_of, free_port, load, run, wait_until)
from servers import PYTHON, Script, hello_nginx

QUIET_S = 3
GREETING_S = 2.5  # the start is over by then: it may say that it sees no HTTP
END_S = 8  # below the ten seconds that an idle connection may stay
PATHS = 100_000
MAX_ROUTES = 256


def letters(number):
    """A different word for each number: no digit, and no hexadecimal one."""
    word = ""
    for _ in range(5):
        number, rest = divmod(number, 20)
        word += "ghijklmnopqrstuvwxyz"[rest]
    return word


def wake_ups(pid):
    """Times that any thread was scheduled, willingly or not, since it started."""
    total = 0
    for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text(encoding="utf-8").splitlines():
            if "voluntary_ctxt_switches" in line:
                total += int(line.split()[1])
    return total


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0])


class End(TestCase):
    def setUp(self):
        super().setUp()
        self.nginx = hello_nginx()
        self.start(self.nginx, self.nginx.port)
        self.before = bpf_before()
        self.daemon = self.bpftally()
        self.programs = bpf_objects_of(self.daemon.pid)
        self.assertGreater(len(self.programs), 0, "it holds its programs")

    def assert_gone(self):
        wait_until(lambda: not self.programs & bpf_objects("prog"),
                   "the kernel to free the programs", 10)
        self.assert_nothing_left(self.before)

    def check_signal(self, number, during_load):
        load(self.nginx.port, "/hello", 50)
        if during_load:
            loading = self.begin_load()
        os.kill(self.daemon.pid, number)
        status = self.daemon.process.wait(END_S)
        if during_load:
            self.assertTrue(loading.alive(), "requests go on when it has ended")
            loading.account()
        if number == signal.SIGKILL:
            self.assertEqual(status, -signal.SIGKILL)
        else:
            self.assertEqual(status, 0)
            self.assertNotIn("error", self.daemon.log())
            self.assertEqual(self.daemon.log().splitlines()[-1],
                             f"bpftally: info: ending on {number.name}")
        self.assert_gone()
        load(self.nginx.port, "/hello", 10)

    def begin_load(self):
        """More of it than an ending may take, and its first requests are counted."""
        loading = Loading(self.nginx.port, "/hello", 2000 * (END_S + 2), 8,
                          "--rate", 2000)
        self.start(loading)
        wait_until(lambda: self.daemon.metrics().total(
            "http_server_request_duration_seconds_count",
            server_port=self.nginx.port) > 500, "the load to have begun")
        return loading

    def test_sigterm(self):
        self.check_signal(signal.SIGTERM, False)

    def test_sigterm_under_load(self):
        self.check_signal(signal.SIGTERM, True)

    def test_sigint(self):
        self.check_signal(signal.SIGINT, False)

    def test_sighup(self):
        self.check_signal(signal.SIGHUP, False)

    def test_signals_that_mean_nothing_do_not_end_it(self):
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
                       signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR,
                       signal.SIGPIPE, signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH,
                       signal.SIGRTMIN, signal.SIGRTMAX):
            os.kill(self.daemon.pid, number)
            self.assertEqual(self.daemon.get("/-/healthy").status, 200, number)
        self.assertEqual(self.daemon.terminate()[0], 0)

    def test_sigkill_under_load_leaves_nothing(self):
        self.check_signal(signal.SIGKILL, True)

    def test_sigkill_under_load_and_a_new_start_counts_on(self):
        with KeepAlive(self.nginx.port) as keep:
            self.assertEqual(keep.ask(5), 5)
            self.check_signal(signal.SIGKILL, True)
            again = self.bpftally("--port", self.nginx.port)
            self.assertEqual(keep.ask(37), 37)
        load(self.nginx.port, "/hello", 63, 4)
        for role in ("server", "client"):
            self.assert_requests(again, role, {("GET", "200", "/hello"): 100},
                                 server_port=self.nginx.port)
        self.assert_nothing_missed(again)

    def test_sigterm_while_scrapers_hold_on(self):
        with socket.create_connection(("127.0.0.1", self.daemon.port)) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n")
            status, _ = self.daemon.terminate(END_S)
        self.assertEqual(status, 0)
        self.assert_gone()

    def test_starts_again_on_the_same_port_at_once(self):
        self.daemon.terminate()
        again = self.bpftally("--listen", f"127.0.0.1:{self.daemon.port}", listen=False,
                              wait=False)
        again.port = self.daemon.port
        again.wait_ready()
        load(self.nginx.port, "/hello", 6)
        self.assert_requests(again, "server", {("GET", "200", "/hello"): 6},
                             server_port=self.nginx.port)


class Installed(TestCase):
    """What `make install` brings: systemd itself is not asked."""

    def setUp(self):
        super().setUp()
        root = SCRATCH / "installed"
        run(["make", "-C", ROOT, "install", f"DESTDIR={root}", "PREFIX=/usr"])
        unit = (root / "usr/lib/systemd/system/bpftally.service").read_text()
        self.settings = dict(line.split("=", 1) for line in unit.splitlines()
                             if "=" in line and not line.startswith("#"))
        command = self.settings["ExecStart"].split()
        self.assertEqual(command[0], "/usr/sbin/bpftally")
        self.command = [f"{root}{command[0]}"] + command[1:]

    def expanded(self, options):
        return [word for given in self.command for word in
                (options if given == "$BPFTALLY_OPTIONS" else [given])]

    def test_the_unit_starts_on_a_machine_without_any_configuration(self):
        port = free_port()
        daemon = Process(self.expanded(["--listen", f"127.0.0.1:{port}"]))
        self.start(daemon, port)

    def test_the_unit_is_not_started_again_for_a_configuration_that_is_wrong(self):
        status = run(self.expanded(["--nonsense"]), check=False).returncode
        self.assertEqual(self.settings["RestartPreventExitStatus"], str(status))


class Names(TestCase):
    """Where they are wrong, its log says so: it counts all the same."""

    def log_of(self, *wrapper):
        daemon = Process([*wrapper, BPFTALLY, "--exe", "*",
                          "--listen", f"127.0.0.1:{free_port()}"])
        self.start(daemon)
        wait_until(lambda: "observing" in daemon.output(), "the start")
        return daemon.output()

    @staticmethod
    def warnings(log):
        return [line for line in log.splitlines() if ": warning: " in line]

    def test_another_pid_namespace_is_a_warning(self):
        warning, = self.warnings(self.log_of("unshare", "--pid", "--fork",
                                             "--kill-child"))
        self.assertRegex(warning, "pid namespace.*names are wrong.*--pid=host")

    def test_processes_that_cannot_be_read_are_a_warning(self):
        warning, = self.warnings(self.log_of("setpriv", "--bounding-set",
                                             "-sys_ptrace"))
        self.assertRegex(warning, "CAP_SYS_PTRACE missing.*--exe")

    def test_there_is_no_warning_where_all_is_right(self):
        self.assertEqual(self.warnings(self.log_of()), [])


class Together(TestCase):
    def test_two_daemons_are_each_right(self):
        nginx = hello_nginx()
        self.start(nginx, nginx.port)
        first = self.bpftally("--port", nginx.port)
        load(nginx.port, "/hello", 100, 4)
        second = self.bpftally()
        load(nginx.port, "/hello", 2000, 8)
        for daemon, count in ((first, 2100), (second, 2000)):
            for role in ("server", "client"):
                self.assert_requests(daemon, role, {("GET", "200", "/hello"): count},
                                     server_port=nginx.port)
        self.assert_nothing_missed(first)
        first.stop()
        load(nginx.port, "/hello", 11)
        self.assert_requests(second, "server", {("GET", "200", "/hello"): 2011},
                             server_port=nginx.port)

    def check_killed(self, victim):
        """Two daemons under load, one is killed: the other counts every request."""
        nginx = hello_nginx()
        self.start(nginx, nginx.port)
        daemons = [self.bpftally("--port", nginx.port) for _ in range(2)]
        loading = Loading(nginx.port, "/hello", 20000, 8, "--rate", 10000)
        self.start(loading)
        wait_until(lambda: daemons[victim].metrics().requests("server"),
                   "the load to have begun")
        daemons[victim].process.kill()
        self.assertTrue(loading.alive(), "requests go on")
        loading.account()
        for role in ("server", "client"):
            self.assert_requests(daemons[1 - victim], role,
                                 {("GET", "200", "/hello"): 20000})
        self.assert_nothing_missed(daemons[1 - victim])

    def test_the_first_of_two_is_killed_and_the_second_is_right(self):
        self.check_killed(0)

    def test_the_second_of_two_is_killed_and_the_first_is_right(self):
        self.check_killed(1)

    def test_a_daemon_observes_the_other(self):
        first = self.bpftally("--exe", "/no/such/program")
        second = self.bpftally()
        for _ in range(13):
            self.assertEqual(first.get("/-/healthy").status, 200)
        self.assert_requests(second, "server", {("GET", "200", "/-/healthy"): 13},
                             service_name="bpftally", server_port=first.port)
        self.assertEqual(second.metrics().requests(
            "server", server_port=second.port), {}, "itself it never observes")


class Idle(TestCase):
    """Selected by pid: whoever else begins to speak HTTP on this machine in the
    meantime is nothing that it must be told of."""

    def check_quiet(self, daemon, during=lambda: None):
        """No thread of it runs, neither waiting for nothing nor woken by what is
        observed; one scrape later the counts are there."""
        begun = daemon.started + GREETING_S
        wait_until(lambda: time.monotonic() > begun, "the start to be over")
        during()
        before = self.settled(daemon)
        end = time.monotonic() + QUIET_S
        while time.monotonic() < end:
            during()
            time.sleep(0.1)
        self.assertEqual(wake_ups(daemon.pid) - before, 0,
                         f"wake-ups in {QUIET_S} s")

    @staticmethod
    def settled(daemon):
        """Its wake-ups once it is done with what came before."""
        last = [-1]

        def same():
            last.append(wake_ups(daemon.pid))
            return last[-1] == last[-2]
        wait_until(same, "it to fall asleep", every_s=0.2)
        return last[-1]

    def test_sleeps_while_nothing_happens(self):
        self.check_quiet(self.bpftally("--pid", os.getpid()))

    def test_sleeps_while_it_counts(self):
        nginx = hello_nginx()
        self.start(nginx, nginx.port)
        daemon = self.bpftally("--pid", nginx.pid)
        count = 0

        def during():
            nonlocal count
            count += 200
            self.assertEqual(keep.ask(200), 200)
        with KeepAlive(nginx.port) as keep:
            self.check_quiet(daemon, during)
        self.assert_requests(daemon, "server", {("GET", "200", "/hello"): count},
                             server_port=nginx.port)

    def test_sleeps_again_after_scrapes(self):
        nginx = hello_nginx()
        self.start(nginx, nginx.port)
        daemon = self.bpftally("--pid", nginx.pid)
        load(nginx.port, "/hello", 100, 4)
        for path in ("/metrics", "/", "/nope") * 3:
            daemon.get(path)
        self.check_quiet(daemon)


class KeepAlive:
    """One connection of this process: no process starts, none is unnamed."""

    def __init__(self, port):
        self.port = port

    def __enter__(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port)
        return self

    def __exit__(self, *_):
        self.connection.close()

    def ask(self, times):
        good = 0
        for _ in range(times):
            self.connection.request("GET", "/hello")
            response = self.connection.getresponse()
            response.read()
            good += response.status == 200
        return good


# Selected by pid: with --exe the load generator's first requests would take rows
# too, until the daemon has read that it is not selected.
class Cardinality(TestCase):
    """A stranger's paths: totals exact, series few, memory flat."""

    def check(self, name, paths, *arguments):
        nginx = hello_nginx()
        self.start(nginx, nginx.port)
        daemon = self.bpftally("--pid", nginx.pid, "--port", nginx.port,
                               *arguments)
        load(nginx.port, "/hello", 10)
        daemon.metrics()
        before = resident_kib(daemon.pid)
        file = SCRATCH / f"paths-{name}"
        file.write_text("".join(f"{path}\n" for path in paths), encoding="ascii")
        load(nginx.port, "/", PATHS, 4, "--pipeline", 8, "--paths", file)
        # the last answer may be read before the send of it has returned
        wait_until(lambda: sum(daemon.metrics().requests("server").values()) >=
                   PATHS + 10, "the counts")
        metrics = daemon.metrics()
        # all there is: the row of what found no room has no port
        table = metrics.requests("server")
        self.assertEqual(sum(table.values()), PATHS + 10)
        self.assertEqual(table.pop(("GET", "200", "/hello")), 10)
        self.assertLess(resident_kib(daemon.pid) - before, 8 * 1024, "KiB more RSS")
        self.assertLess(resident_kib(daemon.pid), 32 * 1024, "KiB of RSS")
        self.assertTrue(daemon.alive())
        return daemon, metrics, {route: count for (_, status, route), count
                                 in table.items() if status == "404"}

    def test_digits_collapse_into_one_route(self):
        daemon, _, routes = self.check(
            "digits", (f"/users/{i}/orders/x{i:x}0" for i in range(PATHS)))
        self.assertEqual(routes, {"/users/*/orders/*": PATHS})
        self.assert_nothing_missed(daemon)

    def test_words_go_to_the_cap_and_then_to_other(self):
        _, metrics, routes = self.check(
            "words", (f"/page/{letters(number)}" for number in range(PATHS)))
        other = routes.pop("other")
        self.assertEqual(set(routes.values()), {1})
        # the cap counts /hello too
        self.assertEqual(len(routes) + 1, MAX_ROUTES)
        self.assertEqual(other, PATHS - len(routes))
        self.assertEqual(metrics.missed(), {"route_full": other})
        self.assertLess(len([1 for name, _, _ in metrics.samples if name ==
                             "http_server_request_duration_seconds_count"]), 300)

    def test_full_table_of_series_goes_to_one_other(self):
        _, metrics, _ = self.check(
            "rows", (f"/page/{letters(number)}" for number in range(PATHS)),
            "--max-series", 50)
        rows = metrics.select("http_server_request_duration_seconds_count")
        self.assertEqual(len(rows), 51)  # 50, and `other`
        other = metrics.total("http_server_request_duration_seconds_count",
                              service_name="other")
        self.assertEqual(other, PATHS - 49)  # /hello has a row too
        self.assertEqual(metrics.missed()["series_full"], other)


class Slow(TestCase):
    def test_client_that_leaves_before_the_answer_is_counted_with_an_error(self):
        server = Script(PYTHON, "sleeper.py")
        self.start(server, server.port)
        daemon = self.bpftally("--port", server.port)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"GET /slow?ms=300 HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until(lambda: daemon.metrics().total(
                "http_server_active_requests", service_name="sleeper") == 1,
                "the server to be at work")
        self.assert_requests(daemon, "client",
                             {("GET", "connection_closed", "/slow"): 1})
        wait_until(lambda: daemon.metrics().total(
            "http_server_active_requests", service_name="sleeper") == 0,
            "the server to be done")
        table = daemon.metrics().requests("server")
        self.assertEqual(sum(table.values()), 1, table)

    def test_gauges_of_requests_and_connections(self):
        server = Script(PYTHON, "sleeper.py")
        self.start(server, server.port)
        daemon = self.bpftally("--port", server.port)
        worker = threading.Thread(target=load, args=(server.port, "/slow?ms=900", 5, 5))
        worker.start()
        try:
            for role in ("server", "client"):
                for gauge in ("active_requests", "open_connections"):
                    wait_until(lambda role=role, gauge=gauge: daemon.metrics().total(
                        f"http_{role}_{gauge}") == 5, f"http_{role}_{gauge} of 5")
        finally:
            worker.join()
        for role in ("server", "client"):
            for gauge in ("active_requests", "open_connections"):
                wait_until(lambda role=role, gauge=gauge: daemon.metrics().total(
                    f"http_{role}_{gauge}") == 0, f"http_{role}_{gauge} of 0")
        self.assert_requests(daemon, "server", {("GET", "200", "/slow"): 5})
