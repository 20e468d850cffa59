# SPDX-License-Identifier: Apache-2.0
"""process_* of programs as they are: equal to what /proc, the client library and the
bytes on the wire say."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile

from prometheus_client import parser as text_parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from harness import (BPFTOOL, SCRATCH, Process, TestCase, bpf_objects_of, exchange, load,
                     run, wait_until)
from servers import PYTHON, Gunicorn, PythonServer, Script, hello_nginx

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
GAUGES = ("process_resident_memory_bytes", "process_virtual_memory_bytes",
          "process_open_fds", "process_max_fds", "process_threads",
          "process_start_time_seconds")
COUNTERS = ("process_cpu_seconds_total", "process_network_receive_bytes_total",
            "process_network_transmit_bytes_total")
PROVISIONAL, IGNORED = 1 << 31, 1  # include/abi.h
ASK_OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def boot_s():
    return next(int(line.split()[1]) for line in text_of("/proc/stat").splitlines()
                if line.startswith("btime "))


def proc(pid):
    """What /proc says, under the names of the metrics."""
    stat = text_of(f"/proc/{pid}/stat").rsplit(") ", 1)[1].split()
    limit = next(line for line in text_of(f"/proc/{pid}/limits").splitlines()
                 if line.startswith("Max open files"))
    return {
        "process_cpu_seconds_total": (int(stat[11]) + int(stat[12])) / TICKS_PER_S,
        "process_threads": int(stat[17]),
        "process_start_time_seconds": int(stat[19]) / TICKS_PER_S + boot_s(),
        "process_virtual_memory_bytes": int(stat[20]),
        "process_resident_memory_bytes": int(stat[21]) * PAGE,
        "process_open_fds": len(os.listdir(f"/proc/{pid}/fd")),
        "process_max_fds": int(limit.split()[3]),
    }


def of_pid(metrics, pid):
    return {name: metrics.select(name, pid=pid)[0][1] for name in (*GAUGES, *COUNTERS)
            if metrics.select(name, pid=pid)}


def words(of):
    return bytes(int(byte, 16) for byte in of)


def entries_of(daemon):
    """Pids that the kernel's process map has as named and selected."""
    for number in bpf_objects_of(daemon.pid, "map"):
        if json.loads(run([BPFTOOL, "-j", "map", "show", "id", number]).stdout)["name"] \
                != "processes":
            continue
        dump = json.loads(run([BPFTOOL, "-j", "map", "dump", "id", number]).stdout)
        rows = [(int.from_bytes(words(entry["key"]), "little"),
                 *struct.unpack("<II", words(entry["value"]))) for entry in dump]
        return {pid for pid, service, flags in rows
                if not service & PROVISIONAL and not flags & IGNORED}
    raise AssertionError("there is no process map")


class Processes(TestCase):
    def start_server(self, server):
        return self.start(server, server.port)

    def children(self, pid):
        return [int(child) for child in
                text_of(f"/proc/{pid}/task/{pid}/children").split()]

    def settled(self, daemon, pid):
        """The metrics of a process, and what /proc said before and after, once
        nothing of it moves."""
        def look():
            before, own, after = proc(pid), of_pid(daemon.metrics(), pid), proc(pid)
            return (own, after) if before == after and own else None
        return wait_until(look, f"process {pid} to be at rest")

    def assert_as_in_proc(self, daemon, pid):
        own, expected = self.settled(daemon, pid)
        for name, value in expected.items():
            self.assertEqual(own[name], value, f"{name} of {pid}")

    def assert_bytes(self, daemon, received, sent, **labels):
        def have():
            metrics = daemon.metrics()
            return (metrics.total("process_network_receive_bytes_total", **labels),
                    metrics.total("process_network_transmit_bytes_total", **labels))
        try:
            wait_until(lambda: have() == (received, sent), "bytes to be counted", 5)
        except AssertionError:
            self.assertEqual(have(), (received, sent))

    # --- by process

    def test_nginx_and_its_worker_are_as_in_proc(self):
        server = self.start_server(hello_nginx())
        daemon = self.bpftally("--pid", server.pid)
        load(server.port, "/hello", 2000, 2)
        worker, = self.children(server.pid)
        for pid in (server.pid, worker):
            self.assert_as_in_proc(daemon, pid)
        self.assertGreater(
            of_pid(daemon.metrics(), worker)["process_cpu_seconds_total"], 0)

    def test_what_spoke_a_protocol_is_there_and_what_did_not_is_not(self):
        server = self.start_server(PythonServer())
        silent = self.start_server(PythonServer())
        daemon = self.bpftally()
        self.assertEqual(of_pid(daemon.metrics(), server.pid), {})
        load(server.port, "/hello.txt", 1)
        wait_until(lambda: of_pid(daemon.metrics(), server.pid), "the server")
        self.assert_as_in_proc(daemon, server.pid)
        self.assertEqual(of_pid(daemon.metrics(), silent.pid), {})
        server.stop()
        wait_until(lambda: not of_pid(daemon.metrics(), server.pid), "its end")

    def test_the_agent_itself_is_a_service(self):
        daemon = self.bpftally("--process-metrics", "off")
        metrics = daemon.metrics()
        have = metrics.select("process_start_time_seconds")
        self.assertEqual([labels for labels, _ in have],
                         [{"service_name": "bpftally", "pid": str(daemon.pid)}])
        expected = proc(daemon.pid)
        own = of_pid(metrics, daemon.pid)
        for name in ("process_max_fds", "process_threads", "process_start_time_seconds"):
            self.assertEqual(own[name], expected[name], name)
        # the scrape's connection was one more
        self.assertEqual(own["process_open_fds"], expected["process_open_fds"] + 1)

    def test_a_client_library_says_the_same_of_its_process(self):
        server = self.start_server(Script(PYTHON, "instrumented.py"))
        daemon = self.bpftally()
        load(server.port, "/metrics", 3)
        wait_until(lambda: of_pid(daemon.metrics(), server.pid), "the program")

        def theirs():
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("GET", "/metrics", headers={"Connection": "close"})
            text = connection.getresponse().read().decode()
            connection.close()
            return {sample.name: sample.value for family
                    in text_parser.text_string_to_metric_families(text)
                    for sample in family.samples if sample.name.startswith("process_")}

        first, own, last = theirs(), of_pid(daemon.metrics(), server.pid), theirs()
        self.assertGreaterEqual(set(own), set(first))
        for name in ("process_max_fds", "process_start_time_seconds"):
            self.assertEqual(own[name], first[name], name)
        self.assertLessEqual(first["process_cpu_seconds_total"] - 1e-9,
                             own["process_cpu_seconds_total"])
        self.assertLessEqual(own["process_cpu_seconds_total"],
                             last["process_cpu_seconds_total"] + 1e-9)
        for name in ("process_virtual_memory_bytes", "process_resident_memory_bytes"):
            # each answer is a thread of its own, with a stack
            self.assertAlmostEqual(own[name] / first[name], 1, delta=0.5, msg=name)
        # the connection of the one who asks, and the directory that is read
        self.assertIn(first["process_open_fds"] - own["process_open_fds"], range(4))

    # --- by executable, though it says nothing

    def quiet(self):
        """A shell of a name of its own: what it reads, it executes. Its path."""
        path = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH)) / "quiet"
        shutil.copy("/bin/sh", path)
        return path

    def start_quiet(self, path):
        return self.start(Process([path, "-c", "read name; exec $name 1000"],
                                  stdin=subprocess.PIPE))

    def test_what_exe_selects_and_starts_later_is_there_while_it_runs(self):
        path = self.quiet()
        daemon = self.bpftally("--exe", path, "--service", "till")
        other = self.start(Process(["sleep", "1000"]))
        silent = self.start_quiet(path)
        wait_until(lambda: of_pid(daemon.metrics(), silent.pid), "the silent process")
        self.assert_as_in_proc(daemon, silent.pid)
        metrics = daemon.metrics()
        self.assertEqual(metrics.select("process_threads", pid=silent.pid)[0][0]
                         ["service_name"], "till")
        self.assertEqual(of_pid(metrics, other.pid), {})
        silent.child.stdin.write(b"sleep\n")
        silent.child.stdin.flush()
        wait_until(lambda: not of_pid(daemon.metrics(), silent.pid), "another program")
        self.assertTrue(silent.alive())
        again = self.start_quiet(path)
        wait_until(lambda: of_pid(daemon.metrics(), again.pid), "the program again")
        again.stop()
        wait_until(lambda: not of_pid(daemon.metrics(), again.pid), "its end")

    def test_what_a_followed_process_executes_is_there_while_it_runs(self):
        for options in ([], ["--exe", "*/sleep"]):
            shell = self.start(Process(["sh", "-c", "read go; sleep 1000; true"],
                                       stdin=subprocess.PIPE))
            daemon = self.bpftally("--pid", shell.pid, *options)
            shell.child.stdin.write(b"go\n")
            shell.child.stdin.flush()
            child, = wait_until(lambda pid=shell.pid: self.children(pid), "a child")
            wait_until(lambda: of_pid(daemon.metrics(), child), "its metrics")
            self.assert_as_in_proc(daemon, child)
            self.assertEqual(bool(of_pid(daemon.metrics(), shell.pid)), not options)
            os.kill(child, signal.SIGKILL)
            wait_until(lambda: not of_pid(daemon.metrics(), child), "its end")

    def test_without_process_metrics_what_is_silent_has_no_entry(self):
        path = self.quiet()
        daemon = self.bpftally("--exe", path, "--process-metrics", "off")
        self.start_quiet(path)
        for _ in range(5):
            daemon.metrics()
        self.assertEqual(entries_of(daemon), set())

    def test_programs_that_end_or_change_meanwhile_leave_no_entry(self):
        path = self.quiet()
        daemon = self.bpftally("--exe", path)
        stays = self.start_quiet(path)
        for _ in range(20):
            many = self.start(Process(
                ["sh", "-c", f"for i in $(seq 20); do {path} -c : & {path} -c 'exec true' &"
                             " done; wait"]))
            while many.alive():
                daemon.metrics()
        wait_until(lambda: entries_of(daemon) == {stays.pid}, "one entry")

    # --- bytes

    def test_bytes_are_those_on_the_wire(self):
        server = self.start_server(hello_nginx())
        daemon = self.bpftally("--pid", server.pid)
        request = b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        sent = sum(len(exchange(("127.0.0.1", server.port), request))
                   for _ in range(20))
        worker, = self.children(server.pid)
        self.assert_bytes(daemon, 20 * len(request), sent, pid=worker)
        self.assert_bytes(daemon, 0, 0, pid=server.pid)

    def test_a_large_file_by_sendfile_is_counted_while_it_is_open(self):
        server = self.start_server(PythonServer())
        (server.directory / "large").write_bytes(b"x" * 30_000_000)
        daemon = self.bpftally("--pid", server.pid)
        request = b"GET /large HTTP/1.0\r\n\r\n"
        sent = len(exchange(("127.0.0.1", server.port), request))
        self.assertGreater(sent, 30_000_000)
        self.assert_bytes(daemon, len(request), sent, pid=server.pid)

    # --- by service

    def test_a_sum_outlives_its_processes(self):
        server = self.start_server(Gunicorn(workers=3))
        daemon = self.bpftally("--pid", server.pid, "--service", "shop",
                               "--process-metrics", "service")
        load(server.port, "/hello", 300, 3, "--close")
        metrics = daemon.metrics()
        self.assertEqual([labels for labels, _ in metrics.select("process_threads")
                          if labels["service_name"] == "shop"], [{"service_name": "shop"}])
        self.assertEqual(metrics.total("process_threads", service_name="shop"), 4)
        self.assertEqual(
            metrics.total("process_start_time_seconds", service_name="shop"),
            proc(server.pid)["process_start_time_seconds"])
        before = {name: metrics.total(name, service_name="shop") for name in COUNTERS}
        self.assertGreater(before["process_cpu_seconds_total"], 0)
        for _ in range(3):
            os.kill(self.children(server.pid)[0], signal.SIGKILL)
            for _ in range(5):
                metrics = daemon.metrics()
                after = {name: metrics.total(name, service_name="shop")
                         for name in COUNTERS}
                for name in COUNTERS:
                    self.assertGreaterEqual(after[name], before[name], name)
                before = after
        server.stop()
        wait_until(lambda: not daemon.metrics().select("process_threads",
                                                       service_name="shop"), "the end")
        metrics = daemon.metrics()
        for name in COUNTERS:
            self.assertGreaterEqual(metrics.total(name, service_name="shop"),
                                    before[name])

    def test_bytes_of_programs_that_end_at_once_are_in_the_sum(self):
        server = self.start_server(hello_nginx())
        daemon = self.bpftally("--process-metrics", "service", "--exe", "*/curl")
        for _ in range(10):
            run(["curl", "-s", "-o", "/dev/null", "-A", "a", "-H", "Accept: b",
                 f"http://127.0.0.1:{server.port}/hello"])
        request = (f"GET /hello HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                   "User-Agent: a\r\nAccept: b\r\n\r\n")
        answer = exchange(("127.0.0.1", server.port),
                          request.replace("b\r\n", "b\r\nConnection: close\r\n").encode())
        received = len(answer) - len("close") + len("keep-alive")
        self.assert_bytes(daemon, 10 * received, 10 * len(request), service_name="curl")

    # --- format

    def test_both_forms_please_promtool_and_the_strict_parser(self):
        server = self.start_server(hello_nginx(workers=2))
        for which in ("process", "service"):
            daemon = self.bpftally("--pid", server.pid, "--process-metrics", which)
            load(server.port, "/hello", 10, 2, "--close")
            text = daemon.get("/metrics").body.decode()
            verdict = run(["promtool", "check", "metrics"], stdin=text, check=False)
            self.assertEqual((verdict.returncode, verdict.stdout, verdict.stderr),
                             (0, "", ""))
            strict = daemon.get("/metrics", headers=ASK_OPENMETRICS).body.decode()
            labels = {(sample.name, frozenset(sample.labels)) for family
                      in openmetrics_parser.text_string_to_metric_families(strict)
                      for sample in family.samples if sample.name.startswith("process_")}
            # one set of labels in all families
            self.assertEqual(len({names for _, names in labels}), 1)
            daemon.stop()
