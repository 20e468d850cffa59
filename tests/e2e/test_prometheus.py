# SPDX-License-Identifier: Apache-2.0
"""Debian's Prometheus as the receiver: it knows 1.0 and native histograms. 2.0 it
takes for an empty request, and says nothing of what was written."""

from delivery import DeliveryTestCase
from delivery_prometheus import PrometheusEndpoint, shown
from harness import wait_until

NATIVE = "  send_native_histograms: true\n"
V2 = "  protobuf_message: io.prometheus.write.v2.Request\n"


class PrometheusTestCase(DeliveryTestCase):
    OPTIONS = ("--enable-feature=native-histograms",)
    BINARY = "prometheus"

    def setUp(self):
        super().setUp()
        self.reference.settings = NATIVE
        self.others = [PrometheusEndpoint(self, name, NATIVE + settings, self.OPTIONS,
                                          self.BINARY)
                       for name, settings in (("as-1.0", ""), ("as-2.0", V2))]

    def wait_counted(self, requests):
        """PromQL finds the requests in the native histogram."""
        count = ("histogram_count(sum(http_server_request_duration_seconds"
                 f'{{server_port="{self.nginx.port}"}}))')
        for each in self.others:
            wait_until(lambda each=each: each.server.query(count) ==
                       [({}, float(requests))], f"{requests} requests at {each.name}")

    def assert_shown(self):
        self.assert_sound()
        wanted = shown(self.reference.entries())
        self.assertTrue([each for each in wanted if each[2].startswith("[")])
        for each in self.others:
            found = each.shown()
            with self.subTest(each.name):
                self.assertEqual(sorted(map(repr, wanted - found))[:3], [], "lost")
                self.assertEqual(sorted(map(repr, found - wanted))[:3], [], "made up")

    def hold_what_is_sent(self):
        self.push()
        self.traffic()
        self.wait_counted(20)
        self.traffic()
        self.wait_counted(40)
        self.finish()
        self.assert_shown()

    def hold_what_is_sent_around_an_outage(self):
        self.push()
        self.traffic()
        self.wait_counted(20)
        for each in self.others:
            each.stop()
        self.traffic()
        self.reference.wait_collections(5)
        for each in self.others:
            each.start()
        self.wait_counted(40)
        self.finish()
        self.assert_shown()


class Debian(PrometheusTestCase):
    def test_it_has_every_sample_and_each_native_histogram(self):
        self.hold_what_is_sent()

    def test_it_loses_none_while_it_is_down(self):
        self.hold_what_is_sent_around_an_outage()
