# SPDX-License-Identifier: Apache-2.0
"""The OpenTelemetry Collector as a scraper: its receiver is Prometheus' own."""

import otlp_receiver
import receivers
from collector_process import Collector
from examples import DIRECTORY, example
from harness import TestCase, load, run, wait_until
from servers import hello_nginx
from test_otlp import http_series

EXAMPLE = "collector-prometheus.yaml"


def held(collector):
    """The series of requests. Which service they are of their own labels say: the
    resource is of the job."""
    table = {}
    for point in collector.latest():
        service = {"service_name": point.attributes.get("service_name")}
        for name, labels, value in otlp_receiver.point_series(point):
            if name.startswith("http_"):
                table[(name, frozenset((labels | service).items()))] = value
    return table


class Scraping(TestCase):
    def test_it_takes_the_example(self):
        run([receivers.collector_scraping(), "validate",
             f"--config={DIRECTORY / EXAMPLE}"], env={"OTLP_TOKEN": "token"})

    def test_it_has_what_metrics_shows(self):
        observed = hello_nginx()
        self.start(observed, observed.port)
        daemon = self.bpftally("--port", observed.port, "--summaries")
        collector = self.start(Collector(EXAMPLE, {
            "localhost:9965": f"127.0.0.1:{daemon.port}",
            "scrape_interval: 15s": "scrape_interval: 500ms"},
            binary=receivers.collector_scraping()))
        load(observed.port, "/hello", 50, 4)
        load(observed.port, "/missing", 7, 1)

        wait_until(lambda: held(collector) == http_series(daemon.metrics()),
                   "the same series and numbers", 60)
        self.assertLess(100, len(held(collector)))
        self.assertEqual({point.kind for point in collector.latest()},
                         {"gauge", "sum", "histogram", "summary"})
        self.assertEqual([point.resource for point in collector.latest()
                          if "service_name" in point.resource], [])
