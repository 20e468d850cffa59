# SPDX-License-Identifier: Apache-2.0
"""instrumented.py PORT: what the official client library says of its own process."""

import sys
import time

import prometheus_client

prometheus_client.start_http_server(int(sys.argv[1]), addr="127.0.0.1")
while True:
    time.sleep(3600)
