# SPDX-License-Identifier: Apache-2.0
"""Forwarding, as a hosted receiver sees it: a real Prometheus behind an nginx
that refuses a wrong token or tenant and maps the path. What its query API
answers is the number of requests that were made."""

import base64
import json
import pathlib
import re
import secrets
import time

from harness import (SCRATCH, Process, TestCase, exchange, free_port, load, run,
                     wait_until, write_file)
from servers import PYTHON, Nginx, Prometheus, PythonServer, hello_nginx

HERE = pathlib.Path(__file__).resolve().parent
TENANT = "tenant-a"
PUSH = "POST /api/v1/push"
INTERVAL = ("--scrape-interval", "1s")


def make_front(receiver_port, token, *, listen="{port}", tls="", refusal="", port=None):
    return Nginx(
        f"server {{ listen 127.0.0.1:{listen}; {tls}"
        "  location = /api/v1/push {"
        f"    if ($allowed = 0) {{ return 401 '{refusal}'; }}"
        f"    proxy_pass http://127.0.0.1:{receiver_port}/api/v1/write; }}"
        "  location = /basic {"
        f"    if ($basic = 0) {{ return 401; }}"
        f"    proxy_pass http://127.0.0.1:{receiver_port}/api/v1/write; }} }}",
        http="map_hash_bucket_size 256;"
             'map "$http_authorization|$http_x_scope_orgid" $allowed { default 0; '
             f'"Bearer {token}|{TENANT}" 1; }}'
             'map $http_authorization $basic { default 0; '
             f'"Basic {base64.b64encode(f"writer:{token}".encode()).decode()}" 1; }}',
        port=port, name="front")


class RemoteWrite(TestCase):
    def setUp(self):
        super().setUp()
        self.token = secrets.token_hex(16)
        self.observed = hello_nginx()
        self.start(self.observed, self.observed.port)
        self.receiver = Prometheus()
        self.start(self.receiver, self.receiver.port)
        self.front = make_front(self.receiver.port, self.token)
        self.start(self.front, self.front.port)
        self.url = f"http://127.0.0.1:{self.front.port}/api/v1/push"
        self.token_file = write_file("token", self.token + "\n", 0o600)
        self.selector = ("http_server_request_duration_seconds_count"
                         f'{{server_port="{self.observed.port}"}}')

    def push(self, *arguments, **keywords):
        return self.bpftally("--port", self.observed.port, *INTERVAL, *arguments,
                             **keywords)

    def push_by_options(self):
        return self.push("--remote-write", self.url, "--tenant", TENANT,
                         "--token-file", self.token_file)

    def value(self):
        found = self.receiver.query(f"sum({self.selector})")
        return found[0][1] if found else 0

    def assert_value(self, expected, deadline_s=20):
        try:
            wait_until(lambda: self.value() >= expected, "the value", deadline_s)
        except AssertionError:
            pass  # the comparison below says it better
        self.assertEqual(self.value(), expected)

    def assert_secret_unseen(self, daemon, secret=None, environ=True):
        secret = secret or self.token
        forms = [secret, base64.b64encode(secret.encode()).decode().rstrip("=")]
        places = {"log": daemon.log(),
                  "/metrics": daemon.get("/metrics").body.decode(),
                  "/": daemon.get("/").body.decode()}
        for name in ("cmdline", "environ") if environ else ("cmdline",):
            places[name] = pathlib.Path(f"/proc/{daemon.pid}/{name}").read_text(
                encoding="utf-8", errors="replace")
        for place, text in places.items():
            for form in forms:
                self.assertNotIn(form, text, place)

    def nothing_stored(self):
        return self.receiver.query('count({__name__=~".+"})') == []

    # --- delivery

    def test_one_line_of_options_delivers_the_exact_value(self):
        daemon = self.push_by_options()
        load(self.observed.port, "/hello", 321, 4)
        self.assert_value(321)
        load(self.observed.port, "/hello", 79, 4)
        self.assert_value(400)
        (labels, _), = self.receiver.query(self.selector)
        self.assertEqual(labels["service_name"], "nginx")
        self.assertEqual(labels["http_route"], "/hello")
        self.assertTrue(labels["job"] and labels["instance"], labels)
        for suffix, expected in (('bucket', 400), ('count', 400)):
            found = self.receiver.query(
                f"http_server_request_duration_seconds_{suffix}"
                f'{{server_port="{self.observed.port}",le=~"[+]Inf|"}}')
            self.assertEqual([value for _, value in found], [expected], suffix)
        self.assert_secret_unseen(daemon)

    def test_receiver_that_restarts_loses_nothing(self):
        self.push_by_options()
        load(self.observed.port, "/hello", 100, 2)
        self.assert_value(100)
        self.receiver.stop()
        down = time.time()
        load(self.observed.port, "/hello", 50, 2)
        wait_until(lambda: time.time() > down + 3.2 and any(
            line.startswith("502") for line in self.front.access_lines()),
            "three collections without a receiver")
        up = time.time()
        self.receiver = Prometheus(directory=self.receiver.directory,
                                   port=self.receiver.port)
        self.start(self.receiver, self.receiver.port)
        load(self.observed.port, "/hello", 25, 2)
        self.assert_value(175)
        history = self.receiver.history(f"{self.selector}[5m]")
        meanwhile = [value for at, value in history.items() if down < at < up]
        self.assertGreaterEqual(len(meanwhile), 3, "collections of the outage")
        self.assertEqual(meanwhile[-1], 150)

    def test_front_that_is_gone_and_comes_back_loses_nothing(self):
        self.push_by_options()
        load(self.observed.port, "/hello", 10)
        self.assert_value(10)
        self.front.stop()
        load(self.observed.port, "/hello", 20)
        down = time.time()
        wait_until(lambda: time.time() > down + 2.2, "two collections")
        self.front = make_front(self.receiver.port, self.token, port=self.front.port)
        self.start(self.front, self.front.port)
        self.assert_value(30)

    def test_receiver_that_starts_after_us(self):
        self.receiver.stop()
        daemon = self.push_by_options()
        load(self.observed.port, "/hello", 60, 2)
        wait_until(lambda: any(line.startswith("502")
                               for line in self.front.access_lines()), "a refusal")
        self.receiver = Prometheus(directory=self.receiver.directory,
                                   port=self.receiver.port)
        self.start(self.receiver, self.receiver.port)
        self.assert_value(60)
        self.assertTrue(daemon.alive())

    def test_configuration_file_with_variables_and_external_labels(self):
        env = {"E2E_TOKEN": self.token, "E2E_TENANT": TENANT}
        daemon = self.push(env=env, config=f"""
global:
  external_labels:
    cluster: e2e-${{env:E2E_TENANT}}
    service_name: never
remote_write:
- url: {self.url}
  remote_timeout: 5s
  authorization:
    type: Bearer
    credentials: ${{env:E2E_TOKEN}}
  headers:
    X-Scope-OrgID: ${{env:E2E_TENANT}}
  queue_config:
    max_samples_per_send: 50
    max_backoff: 200ms
""")
        load(self.observed.port, "/hello", 77, 2)
        self.assert_value(77)
        (labels, _), = self.receiver.query(self.selector)
        self.assertEqual(labels["cluster"], f"e2e-{TENANT}")
        self.assertEqual(labels["service_name"], "nginx", "added only where absent")
        self.assert_secret_unseen(daemon, environ=False)

    def test_several_receivers_each_in_its_own_way(self):
        other = Prometheus()
        self.start(other, other.port)
        other_front = make_front(other.port, self.token)
        self.start(other_front, other_front.port)
        password = write_file("password", self.token, 0o600)
        daemon = self.push(config=f"""
remote_write:
- url: http://127.0.0.1:{free_port()}/nobody/is/there
- url: {self.url}
  authorization: {{credentials_file: {self.token_file}}}
  headers: {{X-Scope-OrgID: {TENANT}}}
- url: http://127.0.0.1:{other_front.port}/basic
  name: other
  basic_auth: {{username: writer, password_file: {password}}}
""")
        load(self.observed.port, "/hello", 42)
        self.assert_value(42)
        self.receiver = other
        self.assert_value(42)
        self.assert_secret_unseen(daemon)
        self.assert_secret_unseen(daemon, f"writer:{self.token}")

    def test_tls_with_a_private_authority(self):
        certificate, key = SCRATCH / "front.pem", SCRATCH / "front.key"
        run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2,
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", key, "-out", certificate])
        front = make_front(self.receiver.port, self.token, listen="{port} ssl",
                           tls=f"ssl_certificate {certificate};"
                               f"ssl_certificate_key {key};")
        self.start(front, front.port)
        config = f"""
remote_write:
- url: https://localhost:{front.port}/api/v1/push
  authorization: {{credentials_file: {self.token_file}}}
  headers: {{X-Scope-OrgID: {TENANT}}}
"""
        load(self.observed.port, "/hello", 5)
        untrusting = self.push(config=config)
        wait_until(lambda: re.search("(?i)certificate", untrusting.log()),
                   "a line about the certificate")
        self.assertTrue(self.nothing_stored())
        untrusting.stop()
        self.push(config=config + f"  tls_config: {{ca_file: {certificate}}}\n")
        load(self.observed.port, "/hello", 33)
        self.assert_value(33)

    # --- refusal

    def check_refused(self, *arguments):
        daemon = self.push("--remote-write", self.url, *arguments)
        load(self.observed.port, "/hello", 9)
        wait_until(lambda: f"401 {PUSH}" in self.front.access_lines(), "a 401")
        line = wait_until(lambda: re.search(r"bpftally: (?:error|warning): .*401.*",
                                            daemon.log()), "the line about it").group()
        self.assertIn(f"127.0.0.1:{self.front.port}", line, "which receiver")
        # later collections are refused as well and not said again each time
        wait_until(lambda: self.front.access_lines().count(f"401 {PUSH}") >= 3,
                   "two more refusals")
        self.assertEqual(len(re.findall(r"bpftally: (?:error|warning): .*401",
                                        daemon.log())), 1)
        self.assertTrue(self.nothing_stored())
        self.assertGreater(daemon.metrics().total(
            "bpftally_remote_write_samples_failed_total"), 0, "the loss is counted")
        return daemon

    def test_wrong_token(self):
        wrong = secrets.token_hex(16)
        daemon = self.check_refused("--tenant", TENANT, "--token-file",
                                    write_file("token", wrong, 0o600), "--verbose")
        self.assert_secret_unseen(daemon, wrong)

    def test_wrong_tenant(self):
        daemon = self.check_refused("--tenant", "tenant-b", "--token-file",
                                    self.token_file, "--verbose")
        self.assert_secret_unseen(daemon)

    def test_secret_that_the_receiver_repeats_is_not_logged(self):
        self.front.stop()
        self.front = make_front(self.receiver.port, "another", port=self.front.port,
                                refusal="I do not know $http_authorization")
        self.start(self.front, self.front.port)
        daemon = self.check_refused("--tenant", TENANT, "--token-file",
                                    self.token_file, "--verbose")
        self.assertIn(self.token.encode(), exchange(self.front.port, (
            "POST /api/v1/push HTTP/1.0\r\n"
            f"Authorization: Bearer {self.token}\r\n\r\n").encode()))
        self.assert_secret_unseen(daemon)

    def test_token_is_read_again_for_every_request(self):
        path = write_file("token", "expired", 0o600)
        self.push("--remote-write", self.url, "--tenant", TENANT,
                  "--token-file", path)
        load(self.observed.port, "/hello", 15)
        wait_until(lambda: f"401 {PUSH}" in self.front.access_lines(), "a 401")
        path.write_text(self.token, encoding="utf-8")
        self.assert_value(15)

    # --- ends

    def test_sigterm_delivers_the_last_requests_and_ends_the_series(self):
        daemon = self.push("--remote-write", self.url, "--tenant", TENANT,
                           "--token-file", self.token_file, "--scrape-interval", "1h")
        load(self.observed.port, "/hello", 64, 4)
        self.assert_requests(daemon, "server", {("GET", "200", "/hello"): 64})
        status, seconds = daemon.terminate()
        self.assertEqual(status, 0)
        self.assertLess(seconds, 5, "the flush was not waited out")
        self.assertEqual(list(self.receiver.history(f"{self.selector}[5m]").values()),
                         [64])
        self.assertEqual(self.receiver.query(self.selector), [], "a stale marker")

    def test_series_of_an_ended_daemon_are_all_stale(self):
        daemon = self.push_by_options()
        load(self.observed.port, "/hello", 3)
        self.assert_value(3)
        daemon.terminate()
        wait_until(self.nothing_stored, "every series to be stale", 5)

    def test_sigterm_while_the_receiver_is_gone_ends_in_time_and_says_so(self):
        self.front.stop()
        daemon = self.push_by_options()
        load(self.observed.port, "/hello", 3)
        status, seconds = daemon.terminate(15)
        self.assertEqual(status, 0)
        self.assertLess(seconds, 8)
        self.assertRegex(daemon.log(), r"bpftally: (error|warning): .*"
                         f"127.0.0.1:{self.front.port}")


class StrictReceiver(TestCase):
    """A receiver that takes the specification at its word; Prometheus forgives
    unsorted labels, empty values and wrong headers."""

    STALE = "7ff0000000000002"
    SAMPLES_MAX = 2000  # Prometheus' max_samples_per_send

    def setUp(self):
        super().setUp()
        self.nginx = hello_nginx()
        self.start(self.nginx, self.nginx.port)
        self.output = SCRATCH / f"strict-{self.nginx.port}.json"

    def receive(self, *arguments):
        """The URL of a receiver with these arguments."""
        port = free_port()
        self.start(Process([PYTHON, HERE / "receiver.py", "--port", port, "--output",
                            self.output, *arguments], name="receiver"), port)
        return f"http://127.0.0.1:{port}/api/v1/push"

    def records(self):
        lines = self.output.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def samples(self, name="http_server_request_duration_seconds_count"):
        """Of what was accepted, in order of arrival."""
        return [sample for record in self.records() if record["status"] == 204
                for sample in record["samples"]
                if sample["labels"]["__name__"] == name and
                sample["labels"].get("server_port") == str(self.nginx.port)]

    def total(self):
        """Sum of the newest value of each series that was not ended."""
        newest = {}
        for sample in self.samples():
            if sample["bits"] != self.STALE:
                newest[tuple(sample["labels"].items())] = sample["value"]
        return sum(newest.values())

    def assert_all_accepted(self, statuses=(204,)):
        for record in self.records():
            self.assertEqual(record["violations"], [])
            self.assertIn(record["status"], statuses)
            self.assertLessEqual(len(record["samples"]), self.SAMPLES_MAX)

    def test_takes_everything_from_the_first_sample_to_the_stale_markers(self):
        token = write_file("token", "T0ken\n", 0o600)
        url = self.receive("--require", "Authorization=Bearer T0ken",
                           "--require", f"X-Scope-OrgID={TENANT}")
        daemon = self.bpftally("--remote-write", url, "--tenant", TENANT,
                               "--token-file", token, *INTERVAL)
        for total in (40, 80, 120):
            load(self.nginx.port, "/hello", 40, 2)
            wait_until(lambda total=total: self.output.exists() and
                       self.total() == total, f"a total of {total}")
        self.assertEqual(daemon.terminate()[0], 0)
        self.assert_all_accepted()
        ends = {}
        for record in self.records():
            self.assertRegex(record["headers"]["User-Agent"], r"^bpftally/\d")
            for sample in record["samples"]:
                labels = sample["labels"]
                self.assertTrue(labels.get("job") and labels.get("instance"), labels)
                ends[tuple(sorted(labels.items()))] = sample["bits"]
        self.assertGreater(len(ends), 100)
        self.assertEqual(set(ends.values()), {self.STALE}, "each series has ended")

    def series_of(self, service, by_process=False):
        """{labels: [(timestamp, is a stale marker)]} of what was accepted: of the
        service, or of its processes, each of which ends with it."""
        series = {}
        for record in self.records():
            for sample in record["samples"]:
                if sample["labels"].get("service_name") == service \
                        and ("pid" in sample["labels"]) == by_process:
                    series.setdefault(tuple(sample["labels"].items()), []).append(
                        (sample["timestamp"], sample["bits"] == self.STALE))
        return series

    def ended(self, service):
        """When its series were marked stale; None while one of them is not."""
        last = [samples[-1] for samples in self.series_of(service).values()]
        return max(last)[0] if last and all(stale for _, stale in last) else None

    def test_a_service_that_ended_has_each_series_ended_once_after_its_grace(self):
        server = PythonServer()
        self.start(server, server.port)
        daemon = self.bpftally("--remote-write", self.receive(), "--grace", "2s",
                               "--exe", "*/nginx", "--exe", "*/python3*", *INTERVAL,
                               "--port", self.nginx.port, "--port", server.port)
        load(self.nginx.port, "/hello", 5)
        load(server.port, "/hello.txt", 7, 1, "--close")
        for service in ("nginx", "http.server"):
            wait_until(lambda service=service: self.output.exists() and
                       self.series_of(service), f"series of {service}")
        server.kill()
        killed = time.time() * 1000
        end = wait_until(lambda: self.ended("http.server"), "the stale markers")
        wait_until(lambda: max(samples[-1][0] for samples in
                               self.series_of("nginx").values()) > end + 2000,
                   "two collections more")
        self.assertGreater(end, killed + 2000, "not before the grace was over")
        for labels, samples in self.series_of("http.server").items():
            self.assertEqual([at for at, stale in samples if stale], [end], labels)
            self.assertEqual(samples[-1], (end, True), labels)
        for labels, samples in self.series_of("nginx").items():
            self.assertEqual([at for at, stale in samples if stale], [], labels)
        # the process itself has none
        ends = {at for samples in self.series_of("http.server", True).values()
                for at, stale in samples if stale}
        self.assertEqual(len(ends), 1)
        self.assertLess(ends.pop(), end)
        self.assert_all_accepted()
        self.assertTrue(daemon.alive())

    def test_many_series_go_in_batches(self):
        words = SCRATCH / "batch-paths"
        words.write_text("".join(f"/{'ghijk'[i % 5]}{'lmnop'[i // 5 % 5]}"
                                 f"{'qrstu'[i // 25]}\n" for i in range(125)),
                         encoding="ascii")
        daemon = self.bpftally("--remote-write", self.receive(), "--exe", "*/nginx",
                               "--port", self.nginx.port, *INTERVAL)
        load(self.nginx.port, "/", 1250, 2, "--paths", words)
        wait_until(lambda: self.output.exists() and self.total() == 1250, "the total")
        self.assertEqual(daemon.terminate()[0], 0)
        self.assert_all_accepted()
        self.assertEqual(len({sample["labels"]["http_route"]
                              for sample in self.samples()}), 125)
        self.assertGreater(len(self.records()), 5)

    def test_what_is_retried_and_what_is_not(self):
        url = self.receive("--script", "503*2,429,400,500,204")
        # One request at a time, or the order of the answers would be no order.
        daemon = self.bpftally("--exe", "*/nginx", "--port", self.nginx.port,
                               *INTERVAL, config=f"""
remote_write:
- url: {url}
  metadata_config: {{send: false}}
  queue_config: {{max_shards: 1}}
""")
        load(self.nginx.port, "/hello", 70, 2)
        wait_until(lambda: self.output.exists() and self.total() == 70, "the total")
        self.assertEqual(daemon.terminate()[0], 0)
        self.assert_all_accepted((503, 429, 400, 500, 204))
        records = self.records()[:6]
        self.assertEqual([record["status"] for record in records],
                         [503, 503, 429, 400, 500, 204])
        first = [min(sample["timestamp"] for sample in record["samples"])
                 for record in records]
        self.assertEqual(first[0], first[1], "503 is retried")
        self.assertEqual(first[1], first[2], "until it is something else")
        self.assertLess(first[2], first[3], "429 is not, unless it is asked for")
        self.assertLess(first[3], first[4], "400 is never")
        self.assertEqual(first[4], first[5], "500 is")
