# SPDX-License-Identifier: Apache-2.0
"""sleeper.py PORT [fork|single]: answers after as many milliseconds as ?ms= says,
from a thread or a forked child for each connection, or one after the other."""

import http.server
import socketserver
import sys
import time
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        time.sleep(int(query.get("ms", ["0"])[0]) / 1000)
        status = int(query.get("status", ["200"])[0])
        body = b"slept\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        pass


class ForkingServer(socketserver.ForkingMixIn, http.server.HTTPServer):
    pass


KINDS = {"thread": http.server.ThreadingHTTPServer, "fork": ForkingServer,
         "single": http.server.HTTPServer}
kind = KINDS[sys.argv[2] if len(sys.argv) > 2 else "thread"]
kind.request_queue_size = 64
kind(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
