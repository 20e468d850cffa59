# SPDX-License-Identifier: Apache-2.0
"""The OpenTelemetry Collector as a receiver of OTLP. A strict receiver beside it gets
the same; what the Collector has in the end is that, point by point and bit by bit."""

import collections
import tempfile

import otlp_receiver
import receivers
from collector_process import Collector, entry_of
from examples import DIRECTORY, example
from harness import SCRATCH, TestCase, free_port, load, run, wait_until
from servers import hello_nginx
from test_otlp import http_series

KINDS = {"gauge", "sum", "histogram", "summary"}
DURATION = "http.server.request.duration"


def held(collector):
    """The series of requests, as Prometheus has them."""
    series = otlp_receiver.prometheus_series(collector.latest())
    return {key: value for key, value in series.items() if key[0].startswith("http_")}


class Otlp(TestCase):
    def setUp(self):
        super().setUp()
        self.observed = hello_nginx()
        self.start(self.observed, self.observed.port)
        self.strict = otlp_receiver.Receiver(free_port())
        self.addCleanup(self.strict.stop)
        self.port, self.path = free_port(), None
        self.start_collector()

    def start_collector(self):
        self.collector = self.start(Collector(
            "collector-otlp.yaml", {"0.0.0.0:4318": f"127.0.0.1:{self.port}"},
            self.path), self.port)
        self.path = self.collector.path

    def send(self, settings):
        entries = "".join(f"""
- endpoint: http://127.0.0.1:{port}
  name: {name}
  retry_on_failure: {{initial_interval: 50ms, max_interval: 200ms}}
  {settings}""" for name, port in (("strict", self.strict.port),
                                   ("collector", self.port)))
        self.daemon = self.bpftally(
            "--port", self.observed.port, "--scrape-interval", "300ms", "--summaries",
            "--state-dir", tempfile.mkdtemp(prefix="state-", dir=SCRATCH),
            config=f"global: {{external_labels: {{zone: eu}}}}\notlp:{entries}")

    def traffic(self, expected):
        """Up to so many requests to /hello in all."""
        load(self.observed.port, "/hello", 50, 4)
        load(self.observed.port, "/missing", 7, 1)
        wait_until(lambda: sum(point.value for point in self.strict.latest(DURATION)
                               if point.attributes.get("http.route") == "/hello")
                   == expected, f"{expected} requests")

    def finish(self):
        """All that was collected is delivered, then both end."""
        newest = max(point.time for point in self.strict.latest())

        def there():
            return any(point.time >= newest for point in self.collector.points([]))
        wait_until(there, "the Collector to have the newest", 30)
        self.assertEqual(self.daemon.terminate(20)[0], 0)
        self.collector.stop()

    def assert_same(self, kinds):
        """Nothing lost, made up or twice; of every kind there was something."""
        violations = []
        found = collections.Counter(map(entry_of, self.collector.points(violations)))
        wanted = collections.Counter(map(entry_of, self.strict.points))
        self.assertEqual(list((wanted - found).elements())[:2], [], "lost")
        self.assertEqual(list((found - wanted).elements())[:2], [], "made up, or twice")
        self.assertEqual(violations + self.strict.violations, [])
        self.assertEqual({point.kind for point in self.strict.points}, kinds)
        self.assertTrue({point.resource.get("zone") for point in self.strict.points}
                        == {"eu"})
        self.assertTrue([point for point in self.strict.points if point.ended])

    def test_it_has_every_point_that_came_compressed(self):
        self.send("compression: gzip")
        self.traffic(50)
        self.traffic(100)
        self.finish()
        self.assert_same(KINDS)

    def test_it_has_every_point_that_came_as_it_is(self):
        self.send("compression: none")
        self.traffic(50)
        self.finish()
        self.assert_same(KINDS)

    def test_it_has_every_exponential_histogram(self):
        self.send("histograms: exponential")
        self.traffic(50)
        self.finish()
        self.assert_same(KINDS | {"exponential"})

    def test_an_outage_of_it_loses_nothing(self):
        self.send("compression: gzip")
        self.traffic(50)
        self.collector.stop()
        self.traffic(100)
        wait_until(lambda: self.daemon.metrics().total(
            "bpftally_otlp_data_points_retried_total", remote_name="collector") > 0,
            "what could not be sent")
        self.start_collector()
        self.traffic(150)
        self.finish()
        self.assert_same(KINDS)

    def test_what_it_has_is_what_metrics_shows(self):
        self.send("compression: gzip")
        self.traffic(50)
        self.assertLess(100, len(http_series(self.daemon.metrics())))
        wait_until(lambda: held(self.collector) == http_series(self.daemon.metrics()),
                   "the same series and numbers", 30)

    def test_the_examples_fit_together(self):
        daemon = self.bpftally("--port", self.observed.port, config=example(
            "otlp-collector.yaml", {"127.0.0.1:4318": f"127.0.0.1:{self.port}",
                                    "scrape_interval: 15s": "scrape_interval: 500ms"}))
        load(self.observed.port, "/hello", 50, 4)
        wait_until(lambda: held(self.collector) == http_series(daemon.metrics()),
                   "the same series and numbers", 30)
        self.assertEqual({point.resource["cluster"]
                          for point in self.collector.latest()}, {"production"})


class Examples(TestCase):
    def test_it_takes_the_example(self):
        run([receivers.collector(), "validate",
             f"--config={DIRECTORY / 'collector-otlp.yaml'}"],
            env={"OTLP_TOKEN": "token"})
