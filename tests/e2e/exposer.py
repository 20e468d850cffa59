# SPDX-License-Identifier: Apache-2.0
"""A target whose every byte a test says: pages by path, each the same for whoever
asks, and a list of who asked what."""

import gzip
import http.server
import threading

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Page:
    """What is answered; hang: nothing, until it is taken away."""

    def __init__(self, body, content_type=TEXT, *, status=200, hang=False,
                 headers=()):
        self.body = body if isinstance(body, bytes) else body.encode()
        self.content_type = content_type
        self.status = status
        self.hang = hang
        self.headers = dict(headers)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """Quiet: the list of requests says it all."""

    def do_GET(self):
        exposer = self.server.exposer
        path, _, query = self.path.partition("?")
        with exposer.changed:
            exposer.asked.append({"path": path, "query": query,
                                  "connection": self.client_address[1],
                                  "headers": dict(self.headers.items())})
            page = exposer.pages.get(path)
            while page is not None and page.hang and not exposer.ended:
                exposer.changed.wait()
                page = exposer.pages.get(path)
        self.answer(page or Page("not found", status=404))

    def answer(self, page):
        body = page.body
        self.send_response(page.status)
        if page.content_type:
            self.send_header("Content-Type", page.content_type)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A client that went away is no error of ours."""


class Exposer:
    def __init__(self, **pages):
        self.pages = {f"/{name}": page if isinstance(page, Page) else Page(page)
                      for name, page in pages.items()}
        self.asked = []
        self.changed = threading.Condition()
        self.ended = False
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.exposer = self
        self.port = self.server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def put(self, name, page):
        with self.changed:
            self.pages[f"/{name}"] = page if isinstance(page, Page) else Page(page)
            self.changed.notify_all()

    def requests(self, path):
        with self.changed:
            return [each for each in self.asked if each["path"] == path]

    def stop(self):
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        self.server.shutdown()
        self.server.server_close()
