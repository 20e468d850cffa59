# SPDX-License-Identifier: Apache-2.0
"""What is served over HTTP, judged by programs that nobody here wrote."""

import gzip
import http.client
import socket

from prometheus_client import parser as text_parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from harness import Metrics, TestCase, exchange, load, run, wait_until
from servers import Prometheus, PythonServer, Script, hello_nginx

TEXT = "text/plain; version=0.0.4; charset=utf-8"
PROTOBUF = ("application/vnd.google.protobuf; "
            "proto=io.prometheus.client.MetricFamily; encoding=delimited")
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
ASK_OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
PROMETHEUS_ASKS = ("application/openmetrics-text;version=1.0.0,"
                   "application/openmetrics-text;version=0.0.1;q=0.75,"
                   "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
WITH_HISTOGRAMS = (PROTOBUF.replace(" ", "") + ",application/openmetrics-text;"
                   "version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;"
                   "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
HOSTILE = 'shop "<script>alert(1)</script>" \\ &amp; {a="b"}'


class Exposition(TestCase):
    """One busy daemon for each test: several services, statuses, families."""

    def setUp(self):
        super().setUp()
        # not nginx: it writes its title over its environment
        self.node = Script("node", "hello.js", env={"OTEL_SERVICE_NAME": HOSTILE})
        self.start(self.node, self.node.port)
        self.python = PythonServer()
        self.start(self.python, self.python.port)
        self.daemon = self.bpftally("--summaries")
        load(self.node.port, "/hello", 30, 3)
        load(self.node.port, "/missing", 4)
        self.assert_requests(self.daemon, "server", {
            ("GET", "200", "/hello"): 30, ("GET", "404", "/missing"): 4},
            server_port=self.node.port)

    # --- formats

    def test_promtool_finds_nothing_to_say_about_the_text_format(self):
        text = self.daemon.get("/metrics").body.decode()
        verdict = run(["promtool", "check", "metrics"], stdin=text, check=False)
        self.assertEqual((verdict.returncode, verdict.stdout, verdict.stderr),
                         (0, "", ""))

    def samples(self, families):
        """{(name, labels): value} of what requests alone can change: the daemon's
        own metrics differ from one scrape to the next."""
        return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
                for family in families for sample in family.samples
                if sample.labels.get("server_port") == str(self.node.port)}

    def test_openmetrics_passes_the_strict_parser_and_says_the_same(self):
        response = self.daemon.get("/metrics", headers=ASK_OPENMETRICS)
        self.assertEqual(response.getheader("Content-Type"), OPENMETRICS)
        body = response.body.decode()
        self.assertTrue(body.endswith("# EOF\n"))
        strict = self.samples(openmetrics_parser.text_string_to_metric_families(body))
        text = self.samples(text_parser.text_string_to_metric_families(
            self.daemon.get("/metrics").body.decode()))
        self.assertEqual(strict, text)
        count = "http_server_request_duration_seconds_count"
        have = {labels: value for (name, labels), value in strict.items()
                if name == count}
        self.assertEqual(sorted(have.values()), [4, 30])
        for labels in have:
            self.assertEqual(dict(labels)["service_name"], HOSTILE)

    def test_openmetrics_families_have_type_help_and_unit(self):
        body = self.daemon.get("/metrics", headers=ASK_OPENMETRICS).body.decode()
        for family in openmetrics_parser.text_string_to_metric_families(body):
            self.assertTrue(family.documentation, family.name)
            self.assertNotEqual(family.type, "unknown", family.name)
            if family.name.endswith(("_seconds", "_bytes")):
                self.assertEqual(family.unit, family.name.rsplit("_", 1)[1],
                                 family.name)

    def test_histograms_are_consistent(self):
        metrics = self.daemon.metrics()
        families = {name.removesuffix("_bucket") for name in metrics.names()
                    if name.endswith("_bucket")}
        self.assertIn("http_server_request_duration_seconds", families)
        self.assertIn("http_client_response_body_size_bytes", families)
        for family in families:
            counts = {self.key(labels): value for labels, value
                      in metrics.select(f"{family}_count")}
            series = {}
            for labels, value in metrics.select(f"{family}_bucket"):
                series.setdefault(self.key(labels), []).append(
                    (float(labels["le"]), value))
            self.assertEqual(counts.keys(), series.keys(), family)
            for key, buckets in series.items():
                self.assertEqual(buckets, sorted(buckets), family)
                values = [value for _, value in buckets]
                self.assertEqual(values, sorted(values), family)
                self.assertEqual(buckets[-1], (float("inf"), counts[key]), family)

    @staticmethod
    def key(labels):
        return tuple(sorted(item for item in labels.items() if item[0] != "le"))

    def test_bounds_of_durations_are_the_documented_ones(self):
        bounds = [labels["le"] for labels, _ in self.daemon.metrics().select(
            "http_server_request_duration_seconds_bucket",
            server_port=self.node.port, http_route="/hello")]
        self.assertEqual(
            bounds, "0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.075 "
            "0.1 0.25 0.5 0.75 1.0 2.5 5.0 7.5 10.0 +Inf".split())

    def test_every_service_is_described_once_in_target_info(self):
        info = self.daemon.metrics().select("target_info", service_name=HOSTILE)
        self.assertEqual([value for _, value in info], [1.0])

    # --- negotiation

    def test_format_by_accept(self):
        cases = {
            None: TEXT, "*/*": TEXT, "text/html": TEXT, "text/plain": TEXT,
            "text/plain;version=0.0.4": TEXT, PROMETHEUS_ASKS: OPENMETRICS,
            "application/openmetrics-text": OPENMETRICS,
            "application/openmetrics-text;q=0, text/plain": TEXT,
            "application/openmetrics-text;q=0.3, text/plain;q=0.9": TEXT,
            "nonsense;;;===": TEXT, WITH_HISTOGRAMS: PROTOBUF, PROTOBUF: PROTOBUF,
            "application/vnd.google.protobuf": TEXT,
        }
        have = {accept: self.daemon.get(
            "/metrics", headers={"Accept": accept} if accept else {}).getheader(
                "Content-Type") for accept in cases}
        self.assertEqual(have, cases)

    def test_gzip_only_for_who_asks(self):
        cases = {None: None, "gzip": "gzip", "gzip, deflate, br": "gzip",
                 "gzip;q=0": None, "identity": None, "deflate": None}
        have = {}
        for accept in cases:
            response = self.daemon.get(
                "/metrics", headers={"Accept-Encoding": accept} if accept else {})
            have[accept] = response.getheader("Content-Encoding")
            # harness.get has decompressed it by the standard library
            table = Metrics(response.body.decode()).requests(
                "server", server_port=self.node.port)
            self.assertEqual(sum(table.values()), 34, accept)
        self.assertEqual(have, cases)

    def test_gzip_is_smaller(self):
        plain = len(self.daemon.get("/metrics").body)
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port)
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        body = connection.getresponse().read()
        connection.close()
        self.assertLess(len(body) * 3, plain)
        gzip.decompress(body)

    # --- the HTTP surface

    def test_status_codes(self):
        cases = {
            ("GET", "/metrics"): 200, ("HEAD", "/metrics"): 200,
            ("GET", "/metrics?x=1"): 200, ("GET", "/"): 200, ("HEAD", "/"): 200,
            ("GET", "/-/healthy"): 200, ("HEAD", "/-/healthy"): 200,
            ("GET", "/-/ready"): 200, ("HEAD", "/-/ready"): 200,
            ("GET", "/metric"): 404, ("GET", "/metrics/"): 404,
            ("GET", "/../etc/passwd"): 404, ("HEAD", "/nope"): 404,
            ("POST", "/metrics"): 405, ("DELETE", "/"): 405, ("PUT", "/-/ready"): 405,
        }
        have = {case: self.daemon.get(case[1], case[0]).status for case in cases}
        self.assertEqual(have, cases)

    def test_405_says_what_is_allowed(self):
        allow = self.daemon.get("/metrics", "POST").getheader("Allow")
        self.assertEqual({word.strip() for word in allow.split(",")}, {"GET", "HEAD"})

    def test_head_has_the_headers_of_get_and_no_body(self):
        for path in ("/metrics", "/", "/-/healthy"):
            get, head = (self.daemon.get(path, method) for method in ("GET", "HEAD"))
            self.assertEqual(head.body, b"", path)
            self.assertEqual(head.getheader("Content-Type"),
                             get.getheader("Content-Type"), path)
            # on the wire as well: nothing but the next answer may follow
            request = (f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"
                       "GET /-/healthy HTTP/1.1\r\nHost: x\r\n"
                       "Connection: close\r\n\r\n").encode()
            answer = exchange(self.daemon.port, request)
            behind = answer.partition(b"\r\n\r\n")[2]
            self.assertTrue(behind.startswith(b"HTTP/1.1 200"), path)

    def test_status_page_shows_services_escaped(self):
        response = self.daemon.get("/")
        page = response.body.decode()
        self.assertEqual(response.getheader("Content-Type"), "text/html; charset=utf-8")
        self.assertNotIn("<script", page)
        self.assertIn("&lt;script&gt;alert(1)&lt;/script&gt;", page)
        for word in ("p50", "p95", "p99", "/metrics", "load"):
            self.assertIn(word, page)

    def test_hostile_paths_are_labels_like_any_other(self):
        nasty = [b"/a\"b\\c", b"/%0a%00", b"/" + b"\xff\xfe" * 9, b"/{x=\"y\"}",
                 b"/\xe2\x82\xac", b"/a\x01b\x7f"]
        for path in nasty:
            exchange(self.python.port, b"GET " + path + b" HTTP/1.0\r\n\r\n")
        wait_until(lambda: sum(self.daemon.metrics().requests(
            "server", server_port=self.python.port).values()) == len(nasty),
            "the hostile requests")
        for headers in ({}, ASK_OPENMETRICS):
            body = self.daemon.get("/metrics", headers=headers).body
            body.decode("utf-8")
        list(openmetrics_parser.text_string_to_metric_families(body.decode()))
        self.test_promtool_finds_nothing_to_say_about_the_text_format()

    # --- scrapers that misbehave

    def test_silent_and_rude_scrapers_do_not_keep_others_waiting(self):
        silent = [socket.create_connection(("127.0.0.1", self.daemon.port))
                  for _ in range(30)]
        try:
            for connection in silent[:10]:
                connection.sendall(b"GET /metrics HT")
            for _ in range(10):  # asks, and is gone before the answer
                rude = socket.create_connection(("127.0.0.1", self.daemon.port))
                rude.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                b"\1\0\0\0\0\0\0\0")
                rude.close()
            for _ in range(5):
                self.assertEqual(self.daemon.get("/metrics", deadline_s=2).status, 200)
        finally:
            for connection in silent:
                connection.close()

    def test_oversized_and_malformed_requests_are_refused(self):
        port = self.daemon.port
        for request in (b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 64000 + b"\r\n\r\n",
                        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"\r\n\r\n\r\n",
                        b"GET /metrics HTTP/9.9\r\nHost: x\r\n\r\n",
                        b"GET  HTTP/1.1\r\n\r\n", b"\0" * 1000):
            answer = exchange(port, request, 0.5, half_close=True)
            self.assertFalse(answer.startswith(b"HTTP/1.1 200"), request[:40])
        self.assertEqual(self.daemon.get("/metrics").status, 200)


class RealPrometheus(TestCase):
    def test_scrapes_without_error_and_has_the_exact_value(self):
        nginx = hello_nginx()
        self.start(nginx, nginx.port)
        daemon = self.bpftally()
        prometheus = Prometheus(scrape=daemon.port)
        self.start(prometheus, prometheus.port)
        load(nginx.port, "/hello", 1234, 8)
        series = "http_server_request_duration_seconds"
        labels = f'{{server_port="{nginx.port}"}}'
        query = ("sum by (service_name, http_route, http_response_status_code) "
                 f"({series}_count{labels})")

        def answer():
            found = prometheus.query(query)
            return found if found and found[0][1] >= 1234 else None
        self.assertEqual(wait_until(answer, "the value in Prometheus", 20), [
            ({"service_name": "nginx", "http_route": "/hello",
              "http_response_status_code": "200"}, 1234.0)])
        target, = prometheus.api("targets")["activeTargets"]
        self.assertEqual((target["health"], target["lastError"]), ("up", ""))
        # what is scraped together is stored together: the quantile has an answer
        quantile = prometheus.query(
            f"histogram_quantile(0.99, sum by (le) ({series}_bucket{labels}))")
        self.assertTrue(0 < quantile[0][1] < 10, quantile)
        log = prometheus.output()
        for trouble in ("duplicate timestamp", "out of order", "level=error"):
            self.assertNotIn(trouble, log)

    def test_scrapes_native_histograms_that_agree_with_the_classic_ones(self):
        nginx = hello_nginx()
        self.start(nginx, nginx.port)
        daemon = self.bpftally()
        native = Prometheus(scrape=daemon.port, features="native-histograms")
        self.start(native, native.port)
        load(nginx.port, "/hello", 1234, 8)
        load(nginx.port, "/missing", 21)
        selector = f'{{server_port="{nginx.port}"}}'
        series = f"http_server_request_duration_seconds{selector}"

        def counts():
            found = {labels["http_route"]: value for labels, value
                     in native.query(f"histogram_count({series})")}
            return found if sum(found.values()) >= 1255 else None
        self.assertEqual(wait_until(counts, "the native histogram", 20),
                         {"/hello": 1234.0, "/missing": 21.0})
        target, = native.api("targets")["activeTargets"]
        self.assertEqual((target["health"], target["lastError"]), ("up", ""))
        # the daemon counts the classic buckets apart from these
        metrics = daemon.metrics()
        for labels, total in native.query(f"histogram_sum({series})"):
            self.assertEqual(total, metrics.total(
                "http_server_request_duration_seconds_sum",
                server_port=nginx.port, http_route=labels["http_route"]))
        for bound in (0.001, 0.01, 0.1):
            (_, fraction), = native.query(
                f"histogram_fraction(0, {bound}, sum({series}))")
            below = sum(value for _, value in metrics.select(
                "http_server_request_duration_seconds_bucket",
                server_port=nginx.port, le=str(bound)))
            # a bucket of schema 3 that a bound divides is interpolated
            around = [native.query(f"histogram_fraction(0, {bound * 2 ** step}, "
                                   f"sum({series}))")[0][1] for step in (-1/8, 1/8)]
            self.assertTrue(around[0] - 1e-9 <= below / 1255 <= around[1] + 1e-9,
                            (bound, around, below))
            self.assertTrue(around[0] <= fraction <= around[1])
        (_, p99), = native.query(f"histogram_quantile(0.99, sum({series}))")
        self.assertTrue(1e-6 < p99 < 10, p99)
        # families without a native part are what they were
        size = "http_server_response_body_size_bytes"
        self.assertEqual(
            {labels["le"]: value for labels, value in native.query(
                f'sum by (le) ({size}_bucket{selector})')},
            {labels["le"]: value for labels, value in self.sums(
                metrics, f"{size}_bucket", nginx.port)})
        self.assertNotIn("level=error", native.output())

    @staticmethod
    def sums(metrics, name, port):
        sums = {}
        for labels, value in metrics.select(name, server_port=port):
            sums[labels["le"]] = sums.get(labels["le"], 0) + value
        return [({"le": bound}, value) for bound, value in sums.items()]
