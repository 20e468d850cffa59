# SPDX-License-Identifier: Apache-2.0
"""VictoriaLogs, which takes what Loki takes and drops no repeats: what came twice is
there twice. `push_request` packs a push of Loki's by hand, to be compared with."""

import json
import tempfile
import urllib.parse
import urllib.request

import receivers
from harness import SCRATCH, Process, free_port

PUSH = "/insert/loki/api/v1/push"


# --- a push, by hand --------------------------------------------------------

def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def snappy(data):
    """A block of it, all literals of 64 KiB at most."""
    out = varint(len(data))
    for at in range(0, len(data), 65536):
        piece = data[at:at + 65536]
        out += b"\xf4" + (len(piece) - 1).to_bytes(2, "little") + piece
    return out


def push_request(streams):
    """{labels as Loki writes them: [(nanoseconds, line)]}"""
    def entry(at, line):
        seconds, nanos = divmod(at, 10 ** 9)
        return field(1, field(1, seconds) + field(2, nanos)) + field(2, line)
    return snappy(b"".join(
        field(1, field(1, labels) + b"".join(field(2, entry(*each)) for each in entries))
        for labels, entries in streams.items()))


# --- the program ------------------------------------------------------------

class VictoriaLogs(Process):
    """On a port and a directory that outlive it. Lines of JSON stay as they are."""

    def __init__(self, port=None, directory=None):
        self.port = port or free_port()
        self.directory = directory or tempfile.mkdtemp(prefix="logs-", dir=SCRATCH)
        self.url = f"http://127.0.0.1:{self.port}{PUSH}"
        super().__init__([receivers.victoria_logs(),
                          f"-httpListenAddr=127.0.0.1:{self.port}",
                          f"-storageDataPath={self.directory}", "-retentionPeriod=100y",
                          "-loki.disableMessageParsing", "-defaultMsgValue="], name="victoria-logs")

    def push(self, streams):
        """The answer's status."""
        request = urllib.request.Request(
            self.url, push_request(streams), {"Content-Type": "application/x-protobuf"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status

    def rows(self, query="*"):
        """All that it holds: [{field: text}], in no order."""
        base = f"http://127.0.0.1:{self.port}"
        urllib.request.urlopen(f"{base}/internal/force_flush", timeout=30).close()
        asked = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"{base}/select/logsql/query?{asked}",
                                    timeout=60) as answer:
            return [{"_msg": "", **json.loads(line)} for line in answer]

    def count(self):
        rows = self.rows("* | stats count() as lines")
        return int(rows[0]["lines"]) if rows else 0
