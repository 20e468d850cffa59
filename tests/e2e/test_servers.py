# SPDX-License-Identifier: Apache-2.0
"""Unmodified servers and clients: a request that happened is counted exactly
once at each end that is observed, with its own status, route and service."""

import json
import os
import re
import socket

from harness import (LOAD, PROGRAMS, SCRATCH, Process, TestCase, curl, exchange,
                     free_port, load, make_cgroup, run, wait_until, write_file)
from servers import (PYTHON, Gopher, Gunicorn, Nginx, PythonServer, Script, gopher,
                     hello_nginx)

SOME_ROUTE = "/hello"
TCP_CLOSE_WAIT = 8  # include/net/tcp_states.h


def get(count, route=SOME_ROUTE, status="200"):
    return {("GET", status, route): count}


class NginxServer(TestCase):
    def test_keep_alive_on_two_workers(self):
        nginx = hello_nginx(workers=2)
        self.start(nginx, nginx.port)
        daemon = self.bpftally("--port", nginx.port)
        load(nginx.port, "/hello", 4000, 16)
        self.assert_requests(daemon, "server", get(4000), service_name="nginx",
                             server_port=nginx.port, server_address="127.0.0.1",
                             url_scheme="http")
        self.assert_requests(daemon, "client", get(4000), service_name="load",
                             server_port=nginx.port, server_address="127.0.0.1")
        self.assert_nothing_missed(daemon)

    def test_a_connection_for_each_request(self):
        nginx = hello_nginx()
        self.start(nginx, nginx.port)
        daemon = self.bpftally("--port", nginx.port)
        load(nginx.port, "/hello", 1000, 8, "--close")
        self.assert_requests(daemon, "server", get(1000), server_port=nginx.port)
        self.assert_requests(daemon, "client", get(1000), server_port=nginx.port)
        self.assert_nothing_missed(daemon)

    def test_sixteen_pipelined_at_a_time(self):
        nginx = hello_nginx()
        self.start(nginx, nginx.port)
        daemon = self.bpftally("--port", nginx.port)
        load(nginx.port, "/hello", 3200, 4, "--pipeline", 16)
        self.assert_requests(daemon, "server", get(3200), server_port=nginx.port)
        self.assert_requests(daemon, "client", get(3200), server_port=nginx.port)
        self.assert_nothing_missed(daemon)

    def test_a_file_by_sendfile_with_its_exact_size(self):
        nginx = self.start(Nginx("server { listen 127.0.0.1:{port}; }"))
        size = 3_000_017
        nginx.put("big.bin", os.urandom(size))
        daemon = self.bpftally("--port", nginx.port)
        load(nginx.port, "/big.bin", 40, 4)
        self.assert_requests(daemon, "server", get(40, "/big.bin"),
                             server_port=nginx.port)
        metrics = daemon.metrics()
        for role in ("server", "client"):
            name = f"http_{role}_response_body_size_bytes"
            self.assertEqual(metrics.total(f"{name}_sum", server_port=nginx.port),
                             40 * size, role)
            buckets = metrics.buckets(name, server_port=nginx.port)
            self.assertEqual((buckets[1048576], buckets[16777216]), (0, 40), role)
        self.assert_nothing_missed(daemon)

    def test_statuses_and_methods_apart(self):
        nginx = Nginx("server { listen 127.0.0.1:{port};"
                      " location = /hello { return 200 'hello'; }"
                      " location = /moved { return 302 /hello; }"
                      " location = /broken { return 503; }"
                      " location = /empty { return 204; } }")
        self.start(nginx, nginx.port)
        daemon = self.bpftally("--port", nginx.port)
        base = f"http://127.0.0.1:{nginx.port}"
        curl("-o", "/dev/null", f"{base}/missing?[1-3]")
        curl("-o", "/dev/null", f"{base}/moved?[1-5]")
        curl("-o", "/dev/null", f"{base}/broken?[1-7]")
        curl("-o", "/dev/null", f"{base}/empty?[1-11]")
        curl("-o", "/dev/null", "--head", f"{base}/hello?[1-13]")
        curl("-o", "/dev/null", "-d", "a=b", f"{base}/hello?[1-17]")
        curl("-o", "/dev/null", "-X", "PROPFIND", f"{base}/hello?[1-19]")
        expected = {("GET", "404", "/missing"): 3, ("GET", "302", "/moved"): 5,
                    ("GET", "503", "/broken"): 7, ("GET", "204", "/empty"): 11,
                    ("HEAD", "200", "/hello"): 13, ("POST", "200", "/hello"): 17,
                    ("_OTHER", "200", "/hello"): 19}
        self.assert_requests(daemon, "server", expected, server_port=nginx.port)
        self.assert_requests(daemon, "client", expected, service_name="curl",
                             server_port=nginx.port)
        metrics = daemon.metrics()
        for role, errors in (("server", {"503": 7}), ("client", {"404": 3, "503": 7})):
            have = {}
            name = f"http_{role}_request_duration_seconds_count"
            for labels, value in metrics.select(name, server_port=nginx.port):
                if "error_type" in labels:
                    have[labels["error_type"]] = value
            self.assertEqual(have, errors, role)
        self.assert_nothing_missed(daemon)

    def test_upload_with_its_exact_size(self):
        nginx = Nginx("server { listen 127.0.0.1:{port};"
                      " location = /up { proxy_pass http://127.0.0.1:{port}/sink; }"
                      " location = /sink { return 200 'ok'; } }")
        self.start(nginx, nginx.port)
        # above a megabyte curl asks first: Expect: 100-continue
        body = write_file("body", "x" * 1_500_001)
        daemon = self.bpftally("--port", nginx.port)
        url = f"http://127.0.0.1:{nginx.port}/up"
        curl("-o", "/dev/null", "--data-binary", f"@{body}", url, url, url)
        curl("-o", "/dev/null", "-H", "Transfer-Encoding: chunked",
             "--data-binary", f"@{body}", url, url)
        self.assert_requests(daemon, "client", {("POST", "200", "/up"): 5},
                             service_name="curl")
        self.assert_requests(daemon, "server", {("POST", "200", "/up"): 5,
                                                ("POST", "200", "/sink"): 5},
                             server_port=nginx.port)
        metrics = daemon.metrics()
        for role, labels in (("client", {"service_name": "curl"}),
                             ("server", {"http_route": "/up"})):
            self.assertEqual(metrics.total(
                f"http_{role}_request_body_size_bytes_sum",
                server_port=nginx.port, **labels), 5 * 1_500_001, role)
        self.assert_nothing_missed(daemon)

    def test_ipv6(self):
        nginx = Nginx("server { listen [::1]:{port};"
                      " location = /hello { return 200 'hello'; } }")
        self.start(nginx)
        wait_until(lambda: nginx.access_path.exists(), "nginx")
        daemon = self.bpftally("--port", nginx.port)
        wait_until(lambda: run(["bash", "-c", f"</dev/tcp/::1/{nginx.port}"],
                               check=False).returncode == 0, "nginx on ::1")
        load(f"[::1]:{nginx.port}", "/hello", 50)
        for role in ("server", "client"):
            self.assert_requests(daemon, role, get(50), server_port=nginx.port,
                                 server_address="::1")


class Closing(TestCase):
    """The end of a stream takes a sequence number of its own, and can be read in
    the same call as the last bytes before it."""

    TIMES = 150

    def setUp(self):
        super().setUp()
        self.nginx = Nginx(
            "server { listen 127.0.0.1:{port}; keepalive_timeout 0;"
            " location = /hello { return 200 'hello'; } }")
        self.start(self.nginx, self.nginx.port)
        self.daemon = self.bpftally("--port", self.nginx.port)

    def check(self):
        for role in ("server", "client"):
            self.assert_requests(self.daemon, role, get(self.TIMES))
        self.assert_nothing_missed(self.daemon)

    def test_client_that_closes_its_side_behind_a_head_of_two_reads(self):
        # nginx reads 1 KiB first
        head = (b"GET /hello HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 1400 +
                b"\r\n\r\n")
        for _ in range(self.TIMES):
            self.assertIn(b"200 OK", exchange(self.nginx.port, head, half_close=True))
        self.check()

    def test_client_that_reads_a_closed_response_in_small_pieces(self):
        for _ in range(self.TIMES):
            with socket.create_connection(("127.0.0.1", self.nginx.port)) as connection:
                connection.sendall(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
                wait_until(lambda connection=connection: has_ended(connection),
                           "nginx to close", every_s=0.0005)
                while connection.recv(40):
                    pass
        self.check()


def has_ended(connection):
    """Whether the peer's end has arrived, without reading what came before it."""
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state == TCP_CLOSE_WAIT


class NginxProxy(TestCase):
    """All three ends of one request: front server, its client, back server."""

    def check_proxy(self, location, upstream=""):
        back = hello_nginx()
        self.start(back, back.port)
        front = Nginx(f"{upstream.replace('BACK', f'127.0.0.1:{back.port}')}"
                      "server { listen 127.0.0.1:{port}; location / { "
                      f"{location.replace('BACK', f'127.0.0.1:{back.port}')} }} }}",
                      workers=2)
        self.start(front, front.port)
        daemon = self.bpftally("--port", front.port, "--port", back.port)
        load(front.port, "/hello", 1500, 8)
        load(front.port, "/missing", 100, 2)
        expected = {**get(1500), **get(100, "/missing", "404")}
        for role, port in (("server", front.port), ("client", back.port),
                           ("server", back.port)):
            self.assert_requests(daemon, role, expected, service_name="nginx",
                                 server_port=port)
        self.assert_nothing_missed(daemon)

    def test_a_connection_for_each_upstream_request(self):
        self.check_proxy("proxy_pass http://BACK;")

    def test_upstream_connections_kept_alive(self):
        self.check_proxy("proxy_pass http://back; proxy_http_version 1.1; "
                         'proxy_set_header Connection "";',
                         "upstream back { server BACK; keepalive 8; }")

    def check_unix(self, location, upstream=""):
        path = str(SCRATCH / f"back-{free_port()}.sock")
        back = Nginx(f"server {{ listen unix:{path};"
                     " location = /hello { return 200 'hello'; } }")
        self.start(back, path)
        front = Nginx(f"{upstream.replace('BACK', f'unix:{path}')}"
                      "server { listen 127.0.0.1:{port}; location / { "
                      f"{location.replace('BACK', f'unix:{path}')} }} }}")
        self.start(front, front.port)
        daemon = self.bpftally("--pid", front.pid, "--pid", back.pid)
        load(front.port, "/hello", 1200, 4)
        self.assert_requests(daemon, "server", get(1200), service_name="nginx",
                             server_port=front.port)
        for role in ("client", "server"):
            self.assert_requests(daemon, role, get(1200), service_name="nginx",
                                 server_address=path)
        self.assert_nothing_missed(daemon)

    def test_unix_socket_for_each_request(self):
        self.check_unix("proxy_pass http://BACK:/;".replace(":/;", ":$uri;"))

    def test_unix_sockets_kept_alive(self):
        self.check_unix("proxy_pass http://back; proxy_http_version 1.1; "
                        'proxy_set_header Connection "";',
                        "upstream back { server BACK; keepalive 4; }")

    def test_client_on_a_unix_socket(self):
        path = str(SCRATCH / f"front-{free_port()}.sock")
        nginx = Nginx(f"server {{ listen unix:{path};"
                      " location = /hello { return 200 'hello'; } }")
        self.start(nginx, path)
        daemon = self.bpftally("--pid", nginx.pid, "--pid", os.getpid())
        load(f"unix:{path}", "/hello", 500, 4)
        for role in ("server", "client"):
            self.assert_requests(daemon, role, get(500), server_address=path)


class Runtimes(TestCase):
    """Each server under its own name, whatever the language."""

    def check_server(self, server, service, count=200, connections=4, route="/hello",
                     options=()):
        self.start(server, server.port)
        daemon = self.bpftally("--port", server.port)
        load(server.port, route, count, connections, *options)
        self.assert_requests(daemon, "server", get(count, route),
                             service_name=service, server_port=server.port,
                             server_address="127.0.0.1")
        self.assert_requests(daemon, "client", get(count, route),
                             service_name="load", server_port=server.port)
        self.assert_nothing_missed(daemon)
        return daemon

    def test_python_http_server(self):
        # HTTP/1.0: a connection each
        daemon = self.check_server(PythonServer(), "http.server", 60, 2,
                                   "/hello.txt", ["--close"])
        port = self.processes[0].port
        curl("-o", "/dev/null", f"http://127.0.0.1:{port}/missing?[1-4]")
        curl("-o", "/dev/null", "--head", f"http://127.0.0.1:{port}/hello.txt?[1-3]")
        self.assert_requests(daemon, "server", {
            **get(60, "/hello.txt"), **get(4, "/missing", "404"),
            ("HEAD", "200", "/hello.txt"): 3}, server_port=port)

    def test_gunicorn_with_prefork_workers(self):
        self.check_server(Gunicorn(), "gunicorn", options=["--close"])

    def test_gunicorn_with_threads_and_keep_alive(self):
        self.check_server(Gunicorn("-k", "gthread", "--threads", 2), "gunicorn")

    def test_node(self):
        self.check_server(Script("node", "hello.js"), "hello", 1000)

    def test_go(self):
        self.check_server(Gopher(gopher("gopherd")), "gopherd", 2000)

    def test_java_source_file(self):
        self.check_server(Script("java", "Greeter.java"), "Greeter")

    def test_java_chunked(self):
        self.check_server(Script("java", "Greeter.java"), "Greeter", route="/stream")

    def test_python_forking_for_each_connection(self):
        self.check_server(Script(PYTHON, "sleeper.py", "fork"), "sleeper", 40, 2,
                          "/hello", ["--close"])


class Clients(TestCase):
    """Each client under its own name; nginx's own log is the judge of both."""

    def setUp(self):
        super().setUp()
        self.nginx = hello_nginx()
        self.start(self.nginx, self.nginx.port)
        self.url = f"http://127.0.0.1:{self.nginx.port}/hello"
        self.daemon = self.bpftally("--port", self.nginx.port)

    def check_client(self, count, service):
        self.assertEqual(self.nginx.access_lines().count("200 GET /hello"), count)
        self.assert_requests(self.daemon, "client", get(count), service_name=service,
                             server_port=self.nginx.port)
        self.assert_requests(self.daemon, "server", get(count), service_name="nginx",
                             server_port=self.nginx.port)
        self.assert_nothing_missed(self.daemon)

    def test_many_curls_that_end_at_once(self):
        for _ in range(40):
            curl("-o", "/dev/null", self.url)
        self.check_client(40, "curl")

    def test_one_curl_in_parallel(self):
        curl("-o", "/dev/null", "--parallel", f"{self.url}?[1-200]")
        self.check_client(200, "curl")

    def test_go(self):
        run([gopher("gopher-caller"), "get", self.url, 800, 4])
        self.check_client(800, "gopher-caller")

    def test_node(self):
        run(["node", PROGRAMS / "caller.js", self.url, 300])
        self.check_client(300, "caller")

    def test_java(self):
        # asks for an upgrade to HTTP/2 on its connection, and is not answered
        run(["java", PROGRAMS / "Caller.java", self.url, 50])
        self.check_client(50, "Caller")

    def test_python(self):
        script = write_file("fetch.py", "import sys, urllib.request\n"
                            "for _ in range(30):\n"
                            "    urllib.request.urlopen(sys.argv[1]).read()\n")
        run([PYTHON, script, self.url])
        self.check_client(30, "fetch")

    def test_wrk_against_its_own_report(self):
        report = run(["wrk", "-t", 2, "-c", 32, "-d", "2s", self.url]).stdout
        completed = int(re.search(r"(\d+) requests in", report).group(1))
        # what wrk left in flight: nginx has answered it, or never read it
        wait_until(lambda: re.search("Active connections: 1 ", curl(
            self.url.replace("/hello", "/status"))), "wrk's connections to close")
        served = self.nginx.access_lines().count("200 GET /hello")
        self.assertGreaterEqual(served, completed)
        self.assert_total("client", completed, service_name="wrk")
        self.assert_all("server", served)
        self.assert_nothing_missed(self.daemon)

    def assert_total(self, role, count, **labels):
        table = self.daemon.metrics().requests(role, server_port=self.nginx.port,
                                               **labels)
        self.assertEqual(table.get(("GET", "200", "/hello"), 0), count, table)

    def assert_all(self, role, count):
        """Answered and not: nginx logs also what it could not deliver."""
        table = self.daemon.metrics().requests(role, server_port=self.nginx.port,
                                               http_route="/hello")
        self.assertEqual(sum(table.values()), count, table)


class Names(TestCase):
    """Where the service's name comes from, first to last."""

    def check_name(self, service, daemon_arguments=(), namespace="", env=None,
                   cgroup=None):
        port = free_port()
        script = write_file("shop.py", "import http.server\nhttp.server.HTTPServer("
                            f"('127.0.0.1', {port}), "
                            "http.server.SimpleHTTPRequestHandler).serve_forever()\n")
        self.start(Process([PYTHON, script], env=env, cgroup=cgroup), port)
        daemon = self.bpftally(*daemon_arguments)
        load(port, "/nothing-here", 5, 1, "--close")
        self.assert_requests(daemon, "server", get(5, "/nothing-here", "404"),
                             service_name=service, service_namespace=namespace,
                             server_port=port)

    def test_script(self):
        self.check_name("shop")

    def test_otel_service_name(self):
        self.check_name("café \"1\"", env={"OTEL_SERVICE_NAME": "café \"1\""})

    def test_otel_resource_attributes(self):
        self.check_name("cart", namespace="eu", env={
            "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=eu,service.name=cart"})

    def test_otel_service_name_over_resource_attributes(self):
        self.check_name("basket", env={
            "OTEL_SERVICE_NAME": "basket",
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=cart"})

    def test_systemd_unit(self):
        unit = f"e2e-orders-{os.getpid()}"
        group = make_cgroup(f"{unit}.service")
        self.assertIsNotNone(group, "no cgroup v2 to make a unit's cgroup in")
        self.check_name(unit, cgroup=group)

    def test_container(self):
        container = os.urandom(32).hex()
        group = make_cgroup(f"docker-{container}.scope")
        self.assertIsNotNone(group, "no cgroup v2 to make a container's cgroup in")
        self.check_name(container[:12], cgroup=group)

    def test_option_over_all(self):
        self.check_name("mine", ["--service", "mine"],
                        env={"OTEL_SERVICE_NAME": "theirs"})


class Accounts(TestCase):
    def test_load_generator_says_what_nginx_says(self):
        """The judge of all above, judged."""
        nginx = hello_nginx()
        self.start(nginx, nginx.port)
        account = json.loads(run([LOAD, "-n", 500, "-c", 5, "--path", "/hello",
                                  f"127.0.0.1:{nginx.port}"]).stdout)
        self.assertEqual(account["completed"], 500)
        # nginx writes a line when it has answered
        wait_until(lambda: len(nginx.access_lines()) >= 500, "the last line")
        self.assertEqual(nginx.access_lines(), ["200 GET /hello"] * 500)
