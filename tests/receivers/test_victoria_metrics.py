# SPDX-License-Identifier: Apache-2.0
"""VictoriaMetrics as the receiver, of Remote-Write and of OTLP."""

from delivery import DeliveryTestCase
from harness import TestCase, load, wait_until
from servers import hello_nginx
from test_otlp import LABELS_AS_NUMBERS, http_series
from victoria_metrics import VictoriaEndpoint, VictoriaMetrics, rounded, told

ADDED = ("host_", "os_", "scope_", "service_instance_", "telemetry_")


class RemoteWrite(DeliveryTestCase):
    def setUp(self):
        super().setUp()
        self.others = [VictoriaEndpoint(self, "victoria")]

    def assert_each_once(self):
        self.assert_sound()
        (victoria,) = self.others
        wanted, found = told(self.reference.entries()), victoria.counted()
        self.assertTrue([each for each in wanted if each[2] == "stale"])
        self.assertEqual(sorted(map(repr, wanted - set(found)))[:3], [], "lost")
        self.assertEqual(sorted(map(repr, set(found) - wanted))[:3], [], "made up")
        self.assertEqual([each for each in found.items() if each[1] > 1][:3], [], "twice")

    def test_it_has_every_sample_once(self):
        self.push()
        self.traffic()
        self.reference.wait_collections(5)
        self.finish()
        self.assert_each_once()

    def test_it_loses_none_while_it_is_down(self):
        (victoria,) = self.others
        self.push()
        self.traffic()
        self.reference.wait_collections(3)
        victoria.stop()
        self.traffic()
        self.reference.wait_collections(5)
        victoria.start()
        self.traffic()
        self.reference.wait_collections(3)
        self.finish()
        self.assert_each_once()


class Otlp(TestCase):
    def test_translated_by_it_it_is_what_metrics_shows(self):
        observed = hello_nginx()
        self.start(observed, observed.port)
        server = VictoriaMetrics()
        self.start(server, server.port)
        # without --summaries: it cuts the last digits of what is no round number
        daemon = self.bpftally(
            "--port", observed.port, "--scrape-interval", "500ms", config=f"""
otlp: {{metrics_endpoint: "http://127.0.0.1:{server.port}/opentelemetry/v1/metrics"}}
""")
        load(observed.port, "/hello", 50, 4)
        load(observed.port, "/missing", 7, 1)

        def held():
            """As http_series() has it. What is of the resource it adds to each."""
            newest = {}
            for labels, at, value in server.samples('{__name__=~"http_.*"}'):
                labels = {key: float(text) if key in LABELS_AS_NUMBERS else text
                          for key, text in labels.items() if not key.startswith(ADDED)}
                key = labels.pop("__name__"), frozenset(labels.items())
                newest[key] = max(newest.get(key, (0, "")), (at, rounded(value)))
            return {key: value for key, (_, value) in newest.items()}

        def wanted():
            return {key: rounded(value) for key, value
                    in http_series(daemon.metrics()).items()}
        wait_until(lambda: held() == wanted(), "the same series and numbers", 30)
        self.assertLess(100, len(held()))
