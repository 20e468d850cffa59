# SPDX-License-Identifier: Apache-2.0
"""exposing.py PORT: a program with Python's official client library, and a metric of
each type."""

import sys
import threading

from prometheus_client import Counter, Gauge, Histogram, Info, Summary, start_http_server

ORDERS = Counter("shop_orders", "Orders, by kind.", ["kind"])
OPEN = Gauge("shop_open", "Whether it is open.")
WAIT = Histogram("shop_wait_seconds", "How long a customer waits.", buckets=(0.1, 1, 10))
SIZE = Summary("shop_size_bytes", "Of an order.")
BUILD = Info("shop_build", "Which one it is.")

ORDERS.labels('with "quotes" and \\').inc(3)
ORDERS.labels("plain").inc(1.5)
OPEN.set(1)
for seconds in (0.05, 0.5, 5, 50):
    WAIT.observe(seconds)
SIZE.observe(123)
BUILD.info({"version": "1.2"})
start_http_server(int(sys.argv[1]), "127.0.0.1")
threading.Event().wait()
