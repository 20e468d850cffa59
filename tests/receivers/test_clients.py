# SPDX-License-Identifier: Apache-2.0
"""Programs with the client libraries of Go and Node as targets: what a real Prometheus
stores of them is what arrives through us."""

import receivers
import test_scrape
from harness import Process, free_port


class Clients(test_scrape.Frozen):
    SHOP = {"shop_orders_total", "shop_open", "shop_wait_seconds_bucket",
            "shop_size_bytes", "shop_size_bytes_sum", "process_cpu_seconds_total"}

    def check(self, *program):
        port = free_port()
        self.start(Process([*program, port]), port)
        held = self.compare(self.job(self.frozen(port).address), 1)
        self.assertLessEqual(self.SHOP, {dict(key)["__name__"] for key in held})

    def test_go(self):
        self.check(receivers.exposing_go())

    def test_node(self):
        self.check("node", receivers.exposing_node())
