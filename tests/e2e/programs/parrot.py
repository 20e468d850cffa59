# SPDX-License-Identifier: Apache-2.0
"""parrot.py PORT FILE: answers request n with line n of FILE (a Python literal
of bytes) as it is and closes; a request for /good gets a good answer."""

import ast
import socket
import sys

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ngood\n"

with open(sys.argv[2], encoding="ascii") as lines:
    answers = iter([ast.literal_eval(line) for line in lines])
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
while True:
    connection, _ = server.accept()
    with connection:
        try:
            request = connection.recv(4096)
            if request:
                connection.sendall(GOOD if b" /good" in request else
                                   next(answers, b""))
        except OSError:
            pass  # a client that does not like the answer may reset
