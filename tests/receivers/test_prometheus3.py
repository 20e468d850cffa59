# SPDX-License-Identifier: Apache-2.0
"""Prometheus 3 as the receiver: it knows Remote-Write 2.0, says what it wrote, and
takes OTLP."""

import receivers
import test_prometheus
from delivery_prometheus import PrometheusEndpoint, shown
from harness import TestCase, load, wait_until
from servers import Prometheus, hello_nginx
from test_otlp import http_series


class Prometheus3(test_prometheus.PrometheusTestCase):
    OPTIONS = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.BINARY = receivers.prometheus()

    def finish(self):
        super().finish()
        self.assertNotIn("does not take Remote-Write 2.0", self.daemon.log())

    def test_it_has_every_sample_and_each_native_histogram(self):
        self.hold_what_is_sent()

    def test_it_loses_none_while_it_is_down(self):
        self.hold_what_is_sent_around_an_outage()

    def test_it_knows_when_a_counter_was_zero(self):
        """Asked to, it writes a zero where 2.0 says that a series began."""
        zeros = PrometheusEndpoint(self, "zeros", test_prometheus.V2, (
            "--enable-feature=created-timestamp-zero-ingestion",), self.BINARY)
        self.others = [zeros]
        self.push()
        self.traffic()
        self.wait_counted(20)
        self.finish()
        wanted, found = shown(self.reference.entries()), zeros.shown()
        self.assertEqual(wanted - found, set())
        first = {}
        for series, at, _ in wanted:
            first[series] = min(at, first.get(series, at))
        names = set()
        for series, at, text in found - wanted:
            self.assertLess(at, first[series])
            self.assertIn(text, ("0.0", '[0, "0.0", 0, []]'))
            names.add(dict(series)["__name__"])
        for name in ("http_server_request_duration_seconds_count",
                     "http_server_request_duration_seconds"):
            self.assertIn(name, names)
        self.assertNotIn("up", names)


class Otlp(TestCase):
    """Its other way in. It translates names and puts what says which service into
    `job` and `instance`."""

    def setUp(self):
        super().setUp()
        self.observed = hello_nginx()
        self.start(self.observed, self.observed.port)
        self.server = Prometheus("--web.enable-otlp-receiver",
                                 binary=receivers.prometheus())
        self.start(self.server, self.server.port)

    def send(self, more=""):
        return self.bpftally(
            "--port", self.observed.port, "--scrape-interval", "500ms", "--summaries",
            config=f"""
otlp:
  metrics_endpoint: http://127.0.0.1:{self.server.port}/api/v1/otlp/v1/metrics
  retry_on_failure: {{initial_interval: 50ms, max_interval: 200ms}}
  {more}
""")

    def held(self):
        """As http_series() has /metrics, less what Prometheus adds."""
        found = {}
        for labels, value in self.server.query('{__name__=~"http_.*"}'):
            self.assertTrue(labels.pop("instance"))
            labels["service_name"] = labels.pop("job")
            for key in ("le", "quantile"):
                if key in labels:
                    labels[key] = float(labels[key])
            found[labels.pop("__name__"), frozenset(labels.items())] = value
        return found

    def test_translated_by_it_it_is_what_metrics_shows(self):
        daemon = self.send()
        load(self.observed.port, "/hello", 50, 4)
        load(self.observed.port, "/missing", 7, 1)
        wait_until(lambda: self.held() == http_series(daemon.metrics()),
                   "the same series and numbers", 30)
        self.assertLess(100, len(self.held()))

    def test_exponential_histograms_become_native_ones(self):
        self.send("histograms: exponential")
        load(self.observed.port, "/hello", 120, 4)
        count = ("histogram_count(sum(http_server_request_duration_seconds"
                 '{job="nginx"}))')
        wait_until(lambda: self.server.query(count) == [({}, 120.0)],
                   "120 requests", 30)
