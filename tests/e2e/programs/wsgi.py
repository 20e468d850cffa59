# SPDX-License-Identifier: Apache-2.0
"""The smallest application for gunicorn."""


def app(environ, start_response):
    found = environ["PATH_INFO"] != "/missing"
    body = b"hello world\n"
    start_response("200 OK" if found else "404 Not Found",
                   [("Content-Type", "text/plain"),
                    ("Content-Length", str(len(body)))])
    return [body]
