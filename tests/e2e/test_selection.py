# SPDX-License-Identifier: Apache-2.0
"""What is selected is counted from its first request; what is not, never."""

import os
import signal
import socket
import subprocess

from harness import (PROGRAMS, Process, TestCase, curl, free_port, is_listening, load,
                     run, wait_until)
from servers import (PYTHON, Gopher, Gunicorn, Nginx, PythonServer, Script, gopher,
                     hello_nginx)


def get(count, route="/hello"):
    return {("GET", "200", route): count}


class Selection(TestCase):
    def start_server(self, server):
        return self.start(server, server.port)

    def assert_only(self, daemon, role, port, expected):
        """These requests, and nothing under any other port or role."""
        self.assert_requests(daemon, role, expected, server_port=port)
        metrics = daemon.metrics()
        self.assertEqual(metrics.requests(role), expected)
        other = "client" if role == "server" else "server"
        self.assertEqual(metrics.requests(other), {})

    # --- by pid

    def test_pid_counts_that_process_only(self):
        chosen = self.start_server(PythonServer())
        other = self.start_server(PythonServer())
        daemon = self.bpftally("--pid", chosen.pid)
        for server in (chosen, other):
            load(server.port, "/hello.txt", 20, 1, "--close")
        self.assert_only(daemon, "server", chosen.port, get(20, "/hello.txt"))

    def test_two_pids(self):
        chosen = [self.start_server(PythonServer()) for _ in range(2)]
        other = self.start_server(PythonServer())
        daemon = self.bpftally("--pid", chosen[0].pid, "--pid", chosen[1].pid)
        for server in (*chosen, other):
            load(server.port, "/hello.txt", 20, 1, "--close")
        for server in chosen:
            self.assert_requests(daemon, "server", get(20, "/hello.txt"),
                                 server_port=server.port)
        self.assertEqual(daemon.metrics().requests("server"), get(40, "/hello.txt"))

    def test_pid_of_a_master_counts_its_workers_old_and_new(self):
        server = self.start_server(Gunicorn(workers=2))
        daemon = self.bpftally("--pid", server.pid)
        load(server.port, "/hello", 30, 2, "--close")
        self.assert_only(daemon, "server", server.port, get(30))
        before = server.output().count("Booting worker")
        os.kill(server.pid, signal.SIGHUP)  # replaces every worker
        wait_until(lambda: server.output().count("Booting worker") == before + 2
                   and server.output().count("Worker exiting") == 2,
                   "gunicorn's new workers")
        load(server.port, "/hello", 12, 2, "--close")
        self.assert_only(daemon, "server", server.port, get(42))

    def test_pid_counts_children_forked_for_each_connection(self):
        server = self.start_server(Script(PYTHON, "sleeper.py", "fork"))
        daemon = self.bpftally("--pid", server.pid)
        load(server.port, "/hello", 25, 2, "--close")
        self.assert_only(daemon, "server", server.port, get(25))

    def test_pid_follows_descendants_across_exec(self):
        server = self.start_server(hello_nginx())
        shell = self.start(Process(
            ["sh", "-c", f"read go; curl -s http://127.0.0.1:{server.port}/hello?[1-9];"
             " read end"], stdin=subprocess.PIPE))
        daemon = self.bpftally("--pid", shell.pid, "--service", "batch")
        load(server.port, "/hello", 5)
        shell.child.stdin.write(b"go\n")
        shell.child.stdin.flush()
        self.assert_requests(daemon, "client", get(9), service_name="batch",
                             server_port=server.port)
        self.assert_only(daemon, "client", server.port, get(9))

    def test_pid_follows_descendants_whose_parents_have_ended(self):
        server = self.start_server(hello_nginx())
        orphan = ("(while kill -0 $$; do :; done 2>&-;"
                  f" exec curl -s http://127.0.0.1:{server.port}/hello) & exit")
        for options in ([], ["--exe", "*/curl"]):
            shell = self.start(Process(
                ["sh", "-c", f"read go; for i in 1 2 3 4 5; do sh -c '{orphan}'; done;"
                 " read end"], stdin=subprocess.PIPE))
            daemon = self.bpftally("--pid", shell.pid, *options)
            shell.child.stdin.write(b"go\n")
            shell.child.stdin.flush()
            self.assert_requests(daemon, "client", get(5), service_name="curl",
                                 server_port=server.port)
            self.assert_only(daemon, "client", server.port, get(5))

    # --- by executable

    def test_exe_finds_what_starts_later_before_its_first_request(self):
        chosen, other = gopher("chosen-by-exe"), gopher("other")
        daemon = self.bpftally("--exe", chosen)
        self.assertRegex(daemon.log(), "wait", "it says that it waits")
        for round_number in range(1, 4):
            port = free_port()
            server = Process([chosen, "serve", port])
            self.addCleanup(server.stop)
            wait_until(lambda port=port: is_listening(port), "the server")
            load(port, "/hello", 1)
            self.assert_requests(daemon, "server", get(1), server_port=port,
                                 service_name="chosen-by-exe")
            self.assertEqual(daemon.metrics().requests("server"), get(round_number))
        unobserved = self.start_server(Gopher(other))
        load(unobserved.port, "/hello", 7)
        self.assertEqual(daemon.metrics().requests("server"), get(3))
        self.assertEqual(daemon.metrics().requests("client"), {})

    def test_exe_counts_a_client_that_lives_for_one_request(self):
        server = self.start_server(hello_nginx())
        client = gopher("one-shot")
        daemon = self.bpftally("--exe", str(client.parent / "*-shot"))
        for _ in range(10):
            run([client, "get", f"http://127.0.0.1:{server.port}/hello", 1, 1])
        curl("-o", "/dev/null", f"http://127.0.0.1:{server.port}/hello?[1-5]")
        self.assert_requests(daemon, "client", get(10), service_name="one-shot",
                             server_port=server.port)
        self.assert_only(daemon, "client", server.port, get(10))

    def test_exe_judges_those_that_ended_before_they_could_be_asked_or_says_so(self):
        server = self.start_server(hello_nginx())
        client, other = gopher("one"), gopher("other")
        folder = client.parent
        for glob, counted, unjudged in ((folder / "on?", 0, 100), ("*/on?", 100, 0),
                                        (folder / "one", 100, 0)):
            daemon = self.bpftally("--exe", glob, "--port", server.port)
            daemon.process.child.send_signal(signal.SIGSTOP)
            for binary, times in ((client, 100), (other, 20)):
                run(["sh", "-c", f"cd {binary.parent}; for i in $(seq {times}); do"
                     f" ./{binary.name} get http://127.0.0.1:{server.port}/hello 1 1 ||"
                     " exit; done"])
            daemon.process.child.send_signal(signal.SIGCONT)
            missed = {"unjudged": unjudged} if unjudged else {}
            wait_until(lambda daemon=daemon, missed=missed:
                       daemon.metrics().missed() == missed, "the ledger")
            self.assert_requests(daemon, "client", get(counted) if counted else {})
            self.assertEqual(daemon.metrics().missed(), missed)
            daemon.terminate()

    def test_exe_that_runs_already(self):
        binary = gopher("running")
        server = self.start_server(Gopher(binary))
        daemon = self.bpftally("--exe", binary)
        load(server.port, "/hello", 40, 4)
        self.assert_only(daemon, "server", server.port, get(40))

    def test_exe_glob_and_pid_combine(self):
        binary = gopher("twin")
        one, two = (self.start_server(Gopher(binary)) for _ in range(2))
        daemon = self.bpftally("--exe", binary, "--pid", two.pid)
        load(one.port, "/hello", 3)
        load(two.port, "/hello", 4)
        self.assert_only(daemon, "server", two.port, get(4))

    # --- by port

    def test_port_counts_its_server_and_who_calls_it(self):
        chosen = self.start_server(hello_nginx())
        other = self.start_server(hello_nginx())
        daemon = self.bpftally("--port", chosen.port)
        load(chosen.port, "/hello", 60, 3)
        load(other.port, "/hello", 50, 3)
        for role in ("server", "client"):
            self.assert_requests(daemon, role, get(60), server_port=chosen.port)
            self.assertEqual(daemon.metrics().requests(role), get(60))

    def test_port_and_exe_combine(self):
        servers = [self.start_server(hello_nginx()) for _ in range(2)]
        binary = gopher("port-caller")
        daemon = self.bpftally("--exe", binary, "--port", servers[0].port)
        for server in servers:
            load(server.port, "/hello", 3)
            run([binary, "get", f"http://127.0.0.1:{server.port}/hello", 6, 1])
        self.assert_only(daemon, "client", servers[0].port, get(6))

    def test_service_names_what_is_selected(self):
        server = self.start_server(hello_nginx())
        daemon = self.bpftally("--port", server.port, "--service", "front door")
        load(server.port, "/hello", 8)
        for role in ("server", "client"):
            self.assert_requests(daemon, role, get(8), service_name="front door")

    # --- from the file

    def test_selection_from_the_file_and_the_command_line_wins(self):
        chosen = self.start_server(hello_nginx())
        other = self.start_server(hello_nginx())
        daemon = self.bpftally(
            "--port", chosen.port, config=f"port: [{other.port}]\nservice: filed\n")
        load(chosen.port, "/hello", 4)
        load(other.port, "/hello", 6)
        self.assert_requests(daemon, "server", get(4), service_name="filed")
        self.assertEqual(daemon.metrics().requests("server"), get(4))

    # --- ends and restarts

    def test_counts_of_a_process_that_ended_stay_and_go_on(self):
        server = self.start_server(PythonServer())
        daemon = self.bpftally("--port", server.port)
        load(server.port, "/hello.txt", 7, 1, "--close")
        self.assert_requests(daemon, "server", get(7, "/hello.txt"),
                             service_name="http.server")
        server.kill()
        wait_until(lambda: not is_listening(server.port), "the server to be gone")
        self.assert_requests(daemon, "server", get(7, "/hello.txt"),
                             service_name="http.server")
        self.start_server(PythonServer(port=server.port))
        load(server.port, "/hello.txt", 5, 1, "--close")
        self.assert_requests(daemon, "server", get(12, "/hello.txt"),
                             service_name="http.server")

    def test_an_ended_service_goes_after_its_grace_period(self):
        server = self.start_server(PythonServer())
        daemon = self.bpftally("--port", server.port, "--grace", "1s")
        load(server.port, "/hello.txt", 7, 1, "--close")
        self.assert_requests(daemon, "server", get(7, "/hello.txt"),
                             service_name="http.server")
        server.kill()
        wait_until(lambda: not daemon.metrics().requests("server"),
                   "the counts of the ended server to go")

    def test_keep_alive_connection_from_before_attach_is_counted_from_then_on(self):
        server = self.start_server(hello_nginx())
        request = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            def ask(times):
                for _ in range(times):
                    connection.sendall(request)
                    self.assertIn(b"hello world", connection.recv(4096))
            ask(3)
            daemon = self.bpftally("--port", server.port)
            ask(11)
            for role in ("server", "client"):
                self.assert_requests(daemon, role, get(11), server_port=server.port)

    def test_process_that_calls_itself_is_both_ends(self):
        proxy = self.start_server(Nginx(
            "server { listen 127.0.0.1:{port};"
            " location /outer { proxy_pass http://127.0.0.1:{port}/inner; }"
            " location /inner { return 200 'inner'; } }"))
        daemon = self.bpftally("--exe", "*/nginx", "--port", proxy.port)
        load(proxy.port, "/outer", 30, 2)
        self.assert_requests(daemon, "server", {**get(30, "/outer"),
                                                **get(30, "/inner")})
        self.assert_requests(daemon, "client", get(30, "/inner"))

    def test_nothing_selects_everything(self):
        server = self.start_server(hello_nginx())
        node = self.start_server(Script("node", "hello.js"))
        daemon = self.bpftally()
        load(server.port, "/hello", 3)
        run(["node", PROGRAMS / "caller.js", f"http://127.0.0.1:{node.port}/hello", 4])
        for role, service, count in (("server", "nginx", 3), ("client", "load", 3),
                                     ("server", "hello", 4), ("client", "caller", 4)):
            port = server.port if count == 3 else node.port
            self.assert_requests(daemon, role, get(count), service_name=service,
                                 server_port=port)
