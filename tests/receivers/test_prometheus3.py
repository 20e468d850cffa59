# SPDX-License-Identifier: Apache-2.0
"""Prometheus 3 as the receiver: it knows Remote-Write 2.0, and says what it wrote."""

import receivers
import test_prometheus
from delivery_prometheus import PrometheusEndpoint, shown


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
        self.push()
        self.traffic()
        self.wait_counted(20)
        self.traffic()
        self.wait_counted(40)
        self.finish()
        self.assert_shown()

    def test_it_loses_none_while_it_is_down(self):
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
