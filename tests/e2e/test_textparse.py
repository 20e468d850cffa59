# SPDX-License-Identifier: Apache-2.0
"""The parser of scraped bodies against two others: Debian's Prometheus, which scrapes
the same bodies (what it stores is right), and prometheus_client.

Bodies are generated; E2E_SEED and E2E_BODIES in the environment choose which and how many. The
seed is part of every message, and printed."""

import collections
import http.server
import math
import os
import random
import re
import struct
import subprocess
import threading
import time
import unittest

from prometheus_client.openmetrics.parser import \
    text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from harness import ROOT, wait_until
from servers import Prometheus

PARSE = os.environ.get("PARSE", str(ROOT / "build" / "tools" / "parse"))
SEED = int(os.environ.get("E2E_SEED", str(random.randrange(1 << 32))))
CASES = int(os.environ.get("E2E_BODIES", "300"))
TEXT, OPEN = "prometheus", "openmetrics"
CONTENT = {TEXT: "text/plain; version=0.0.4; charset=utf-8",
           OPEN: "application/openmetrics-text; version=1.0.0; charset=utf-8"}
END = b"# EOF\n"


# --- what we make of bodies ---------------------------------------------------

class Sample:
    def __init__(self, words):
        self.bits = int(words[1], 16)
        self.value = struct.unpack("<d", struct.pack("<Q", self.bits))[0]
        self.time = None if words[2] == "-" else int(words[2])
        self.name = unhex(words[3])
        self.labels = pairs(words[4:])
        self.exemplar = None


def unhex(word):
    return bytes.fromhex(word).decode()


def pairs(words):
    return [tuple(unhex(part) for part in word.split("=")) for word in words]


class Parsed:
    """samples, and whether all of it was good."""

    def __init__(self, lines):
        self.samples = []
        for words in lines:
            if words[0] == "sample":
                self.samples.append(Sample(words))
            elif words[0] == "exemplar":
                self.samples[-1].exemplar = Sample(["", *words[1:3], "", *words[3:]])
        self.reason = " ".join(lines[-1][1:])
        self.is_good = lines[-1][0] == "end"


def parse(bodies):
    """Parsed of each (format, body)."""
    text = b"".join(f"{kind} {len(body)}\n".encode() + body for kind, body in bodies)
    found, lines = [], []
    output = subprocess.run([PARSE], input=text, stdout=subprocess.PIPE, check=True,
                            timeout=60).stdout
    for line in output.decode().splitlines():
        lines.append(line.split(" "))
        if lines[-1][0] in ("end", "invalid"):
            found.append(Parsed(lines))
            lines = []
    return found


# --- bodies -------------------------------------------------------------------

NAMES = ["a", "b_total", "c_seconds", "d:e", "_f", "G9", "h_bucket", "process_cpu"]
LABELS = ["l", "le", "quantile", "_m", "code", "Z", "exported_l"]
VALUES = ["", "x", "+Inf", "0.5", "a b", "\\\\", "\\n", "\\\"", "\\t", "ä", "€", "\U0001f600",
          "{}", "# ", "}", ",", "x=\\\"y\\\""]
NUMBERS = ["0", "1", "-1", "+3", "1.5", ".5", "5.", "1e3", "1E-7", "NaN", "nan", "+Inf",
           "-inf", "Infinity", "12345678901234567890", "0.30000000000000004",
           "1.7976931348623157e308", "4.9e-324", "9007199254740993", "1e-999", "-0"]
JUNK = [" ", "  ", "\t", "\n", "\"", "\\", "{", "}", ",", "=", "#", "# ", "1", "a", "_",
        ":", "-", "+", ".", "e", "x", "ä", "\r", "1_0", "0x1", "NaN", "EOF", "# EOF\n",
        "HELP", "TYPE"]


class Generator:
    def __init__(self, seed, blanks=(" ", " ", "\t", "  ")):
        self.random = random.Random(seed)
        self.now = int(time.time())
        self.blanks = blanks

    def one(self, items):
        return self.random.choice(items)

    def often(self, share):
        return self.random.random() < share

    def number(self):
        if self.often(0.5):
            return self.one(NUMBERS)
        return repr(self.random.uniform(-1, 1) * 10 ** self.random.randrange(-20, 20))

    def label(self, name):
        return f'{name}="{"".join(self.one(VALUES) for _ in range(self.one((0, 1, 1, 3))))}"'

    def labels(self, names=(), separators=(",",)):
        chosen = self.random.sample(LABELS, self.random.randrange(4))
        return self.one(separators).join(self.label(name) for name in [*names, *chosen])

    def text(self):
        """0.0.4, with all that it lets pass."""
        lines = []
        for name in self.random.sample(NAMES, self.random.randrange(1, 5)):
            if self.often(0.5):
                lines.append(f"# HELP {name} {self.one(VALUES)}")
            if self.often(0.5):
                # prometheus_client would add it to the names of samples
                kind = "counter" if name.endswith("_total") else "gauge"
                lines.append(f"# TYPE {name} {self.one((kind, 'untyped'))}")
            lines += [self.text_sample(name) for _ in range(self.random.randrange(1, 4))]
            if self.often(0.2):
                lines.append(self.one(("", "# a comment", "#", "  ")))
        return "\n".join(lines) + "\n"

    def text_sample(self, name):
        blank = self.one(("", "", " "))
        braces = self.labels(separators=(",", ", "))
        if braces or self.often(0.1):
            name += f"{blank}{{{braces}{self.one(('', ',')) if braces else ''}}}"
        line = f"{name}{self.one(self.blanks)}{self.number()}"
        if self.often(0.2):
            line += f" {self.now * 1000 - self.random.randrange(1, 60000)}"
        return line + self.one(("", "", " "))

    def open(self):
        """OpenMetrics as its specification has it: prometheus_client is strict."""
        lines = []
        for name in self.random.sample(["a", "b", "c_seconds", "d", "e"],
                                       self.random.randrange(1, 4)):
            lines += self.open_family(name)
        return "\n".join([*lines, "# EOF"]) + self.one(("\n", "\n", ""))

    def open_family(self, name):
        kind = self.one(("counter", "gauge", "unknown"))
        yield f"# TYPE {name} {kind}"
        if name.endswith("_seconds"):
            yield f"# UNIT {name} seconds"
        if self.often(0.5):
            yield f"# HELP {name} {self.one(VALUES)}"
        has_time = self.often(0.3)
        for i in range(self.random.randrange(1, 4)):
            labels = f'{{i="{i}"' + "".join(
                f",{self.label(each)}" for each in self.random.sample(LABELS, 2)) + "}"
            number = str(self.random.randrange(1 << 40)) if kind == "counter" \
                else self.number()
            at = f" {self.now - self.random.randrange(1, 60)}.{i}" if has_time else ""
            suffix = "_total" if kind == "counter" else ""
            yield f"{name}{suffix}{labels} {number}{at}{self.exemplar(kind)}"

    def exemplar(self, kind):
        if kind != "counter" or self.often(0.5):
            return ""
        at = self.one(("", f" {self.now}.5"))
        # prometheus_client takes braces in them for those of the exemplar
        label = re.sub("[{}]", "", self.label("trace"))
        return f" # {{{label}}} {self.random.randrange(99)}{at}"

    def spoilt(self, body):
        """With something wrong in it, most likely."""
        for _ in range(self.random.randrange(1, 4)):
            at = self.random.randrange(len(body) + 1)
            gone = self.random.randrange(3)
            body = body[:at] + self.one(("", self.one(JUNK))) + body[at + gone:]
        return body

    def bodies(self, count, spoil):
        for i in range(count):
            kind = self.one((TEXT, OPEN))
            body = self.text() if kind == TEXT else self.open()
            yield kind, (self.spoilt(body) if i % 2 and spoil else body).encode()


# --- Prometheus ---------------------------------------------------------------

class Bodies(http.server.ThreadingHTTPServer):
    """/N is the N-th body."""

    request_queue_size = 1024
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Prometheus may hang up at its end."""

    def __init__(self, bodies):
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies = bodies
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        number = int(self.path[1:])
        kind, body = self.server.bodies[number]
        self.send_response(200)
        self.send_header("Content-Type", CONTENT[kind])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


OWN = {"case", "job", "instance"}
REPORTS = re.compile("up|scrape_.*")


class Judge:
    """What Prometheus says and stores of each body."""

    def __init__(self, bodies):
        self.server = Bodies(bodies)
        port = self.server.server_address[1]
        targets = "".join(
            f"  - targets: ['127.0.0.1:{port}']\n"
            f"    labels: {{__metrics_path__: /{i}, case: '{i}'}}\n"
            for i in range(len(bodies)))
        self.prometheus = Prometheus(config=(
            "global: {scrape_interval: 2s, scrape_timeout: 2s}\n"
            f"scrape_configs:\n- job_name: bodies\n  static_configs:\n{targets}"))
        try:
            wait_until(self.is_done, "every body to be scraped", 60, 0.2)
            self.ask()
        finally:
            self.prometheus.stop()
            self.server.shutdown()
            self.server.server_close()

    def targets(self):
        found = self.prometheus.api("targets", state="active") or {}
        return found.get("activeTargets", [])

    def is_done(self):
        """A scrape's samples become visible with what is said of the scrape."""
        count = len(self.server.bodies)
        known = [each for each in self.targets() if each["health"] != "unknown"]
        return len(known) == count and \
            self.prometheus.query("count(up)") == [({}, float(count))]

    def ask(self):
        self.health = {int(each["labels"]["case"]): each["lastError"]
                       for each in self.targets()}
        self.stored = collections.defaultdict(dict)
        data = self.prometheus.api("query", query='{case!=""}[1h]')
        for each in data["result"]:
            labels = each["metric"]
            if REPORTS.fullmatch(labels["__name__"]):
                continue
            key = frozenset(item for item in labels.items() if item[0] not in OWN)
            self.stored[int(labels["case"])][key] = \
                {round(at * 1000): text for at, text in each["values"]}


def final_labels(sample):
    """None: some label is there twice, which fails a scrape."""
    labels = [("__name__", sample.name), *sample.labels]
    empty = {name for name, value in labels if not value}
    labels = [each for each in labels if each[0] not in empty]
    return frozenset(labels) if len(dict(labels)) == len(labels) else None


def series_of(parsed):
    """{labels: [sample]}; None where the scrape fails."""
    found = collections.defaultdict(list)
    for sample in parsed.samples:
        labels = final_labels(sample)
        if labels is None:
            return None
        found[labels].append(sample)
    return found if parsed.is_good else None


def is_same_value(sample, text):
    value = float(text)
    return math.isnan(value) if math.isnan(sample.value) else \
        struct.pack("<d", value) == struct.pack("<d", sample.value)


# What version 3 of Prometheus takes, and so do we.
QUOTED_NAME = re.compile(rb'[{,]\s*"|# (HELP|TYPE|UNIT)\s+"')
LAST_COMMA = re.compile(rb",}")
ODD_EXEMPLAR = re.compile(rb"^(?![^{ ]*(_total|_bucket)[{ ]).* # {", re.MULTILINE)


def is_of_version_3(kind, body):
    return bool(QUOTED_NAME.search(body)) or kind == OPEN and \
        bool(LAST_COMMA.search(body) or ODD_EXEMPLAR.search(body))


def difference(kind, body, parsed, error, stored):
    """None, or what is not the same."""
    series = series_of(parsed)
    if series is None:
        return None if error else f"Prometheus takes it; we: {parsed.reason}"
    if error:
        return None if is_of_version_3(kind, body) else f"Prometheus: {error}"
    for labels, samples in series.items():
        times = [sample.time for sample in samples]
        if len(set(times)) > 1:
            continue  # which ones are stored depends on when they were scraped
        found = stored.get(labels, {})
        if times[0] is not None:
            found = {at: text for at, text in found.items() if at == times[0]}
            if abs(times[0] - time.time() * 1000) > 30 * 60 * 1000:
                continue
        if not found or not all(is_same_value(samples[0], text)
                                for text in found.values()):
            return f"{sorted(labels)}: {found}, not {samples[0].value!r}"
    unknown = stored.keys() - series.keys()
    return f"stored, not found: {sorted(map(sorted, unknown))}" if unknown else None


# Each of them is odd in its own way. Accepted or not, Prometheus says.
ODD = [(TEXT, body.encode("latin-1")) for body in (
    "", "\n", " \n", "\r\n", "a 1", " a 1\n", "\ta 1\n", "a\t1 \n", "a 1\r\n", "a{} 1\n",
    "a { b = \"c\" , } 1\n", "a{b=\"c\",,} 1\n", "a{,} 1\n", "a{b=\"c\" d=\"e\"} 1\n",
    "a{b=\"c\"d=\"e\"} 1\n", "a{b=\"x\ny\"} 1\n", "a{b=\"x\\ny\\t\"} 1\n", "a{b=\"\xff\"} 1\n",
    "a{b=\"\"} 1\n", "a{b=\"1\",b=\"2\"} 1\n", "a{b=\"\",b=\"2\"} 1\n", "a{__name__=\"x\"} 1\n",
    "a 1\0\n", "a 1\n\0b 2\n", "a\0 1\n", "#x\0\na 1\n", "# x\0\na 1\n", "# \0\na 1\n",
    "a-1\n", "a+1 \n", "a 1{\n", "a 1 x\n", "a 1 1.5\n", "a 1 -1\n", "a 1 1 1\n", "a\n", "a \n",
    "a 1 99999999999999999999\n", "1a 1\n", "a:b 1\n", "a{b:c=\"1\"} 1\n", "a{_=\"1\"} 1\n",
    "#\n", "# \n", "# HELP\na 1\n", "# HELP \n", "# HELP a\n", "# HELP a \t\n", "# HELP 1\n",
    "# HELP a{b} c\n", "# TYPE a counter \n", "# TYPE a  counter\n", "# TYPE a\tgauge\n",
    "# TYPE a\n", "# TYPE a info\n", "# TYPEX a\n", "  # TYPE a x\n", "# HELP a \xff\n",
    "# HELP ", "# HELP a", "# TYPE a gauge", "a{b=\"c\"}1\n", "a{b=\"c\\", "a{b=\"\\\n\"} 1\n",
    "a{b=\"c\"} 1\na{b=\"c\"} 2\n", "a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 2\n", "a -0\n",
    "a{b=\"x\"}{c=\"y\"} 1\n", "\xef\xbb\xbfa 1\n", "a 0x1p4\n", "a 1_0\n", "a nan(1)\n",
    "a +nan\n", "a infi\n", "a 1e999\n", "a 1e-999\n", "a .\n", "a 1e+\n", "a 017\n")]
ODD += [(OPEN, body.encode("latin-1") + END) for body in (
    "", "\n", "a 1\n", "a 1\n\n", " a 1\n", "a  1\n", "a 1 \n", "a\t1\n", "a 1\r\n", "a{} 1\n",
    "a {} 1\n", "a{b=\"c\" } 1\n", "a{b=\"c\", d=\"e\"} 1\n", "a{b=\"x\ny\"} 1\n",
    "a 1 1.5e9\n", "a 1 NaN\n", "a 1 x\n", "a 1 1e300\n", "# hello\n", "#\n", "# HELP a\n",
    "# HELP a \n", "# HELP  a x\n", "# TYPE a counter \n", "# TYPE a untyped\n",
    "# UNIT a b\n", "# UNIT a_b b\n", "# UNIT b b\n", "# UNIT a_b \n", "a_total 1 # {} 1\n",
    "a_total 1 # {t=\"x\"}\n", "a_total 1 # {t=\"x\"} 1 1 1\n", "a_total 1 #{t=\"x\"} 1\n",
    "a_total 1 # {t=\"x\"} 1 NaN\n", "a_total 1 # {t=\"\xff\"} 1\n", "a 1\0\n", "\0a 1\n")]
ODD += [(OPEN, b"a 1\n"), (OPEN, b""), (OPEN, b"# EOF"), (OPEN, b"# EOF\n\n"),
        (OPEN, b"# EOF \n"), (OPEN, b"# EOF\na 1\n"), (OPEN, b"a 1# EOF\n")]


class Textparse(unittest.TestCase):
    def setUp(self):
        print(f"E2E_SEED={SEED} E2E_BODIES={CASES}", flush=True)

    def judge(self, bodies):
        judge = Judge(bodies)
        refused = 0
        for i, (ours, (kind, body)) in enumerate(zip(parse(bodies), bodies)):
            refused += bool(judge.health[i])
            wrong = difference(kind, body, ours, judge.health[i], judge.stored[i])
            self.assertIsNone(wrong, f"{kind} {body!r} (E2E_SEED={SEED})")
        return refused

    def test_it_takes_what_prometheus_takes(self):
        bodies = list(Generator(SEED).bodies(CASES, True))
        refused = self.judge(bodies)
        # The generator is worth something.
        self.assertTrue(CASES / 10 < refused < CASES, f"{refused} refused")

    def test_it_is_as_odd_as_prometheus(self):
        self.judge(ODD)

    def test_version_3_takes_more(self):
        bodies = [(TEXT, b'{"a.b"} 1\n'), (TEXT, b'{"a.b","c d"="e"} 1\n'),
                  (OPEN, b'a{b="c",} 1\n# EOF\n'), (OPEN, b'a 1 # {b="c"} 1\n# EOF\n'),
                  (TEXT, b'# HELP "a.b" c\n')]
        self.assertEqual(self.judge(bodies), len(bodies))
        self.assertTrue(all(each.is_good for each in parse(bodies)))


# --- prometheus_client --------------------------------------------------------

def theirs(kind, body):
    """[(name, labels, value, time, exemplar)]; None: refused."""
    parser = parse_text if kind == TEXT else parse_open_metrics
    try:
        families = list(parser(body.decode()))
    except (ValueError, KeyError, IndexError, AttributeError):
        return None
    return [(each.name, dict(each.labels), value_text(each.value), time_text(each.timestamp),
             each.exemplar and (dict(each.exemplar.labels), value_text(each.exemplar.value),
                                time_text(each.exemplar.timestamp)))
            for family in families for each in family.samples]


def value_text(value):
    """-0 is 0 to it where it reads integers: Prometheus has seen the sign."""
    return "NaN" if math.isnan(value) else repr(float(value) + 0.0)


def time_text(at):
    """To the millisecond, as we have it."""
    return None if at is None else round(float(at) * 1000)


def unescaped(value):
    return re.sub(r'\\([n"\\])', lambda match: {"n": "\n"}.get(match[1], match[1]), value)


def ours(parsed):
    def exemplar(sample):
        # Prometheus stores the escapes, so we have them.
        return sample and ({name: unescaped(value) for name, value in sample.labels},
                           value_text(sample.value), sample.time)
    return [(each.name, dict(each.labels), value_text(each.value), each.time,
             exemplar(each.exemplar)) for each in parsed.samples] \
        if parsed.is_good else None


# (format, body, we take it, it takes it): Prometheus is right.
KNOWN = [
    (TEXT, b" a 1\n", False, True),
    (TEXT, b"a 1\r\n", False, True),
    (TEXT, b"a 1_000\n", False, True),
    (TEXT, b"a +nan\n", False, True),
    (TEXT, b"a 1e999\n", False, True),
    (OPEN, b"# TYPE a counter\na 1\n# EOF\n", True, False),
    (OPEN, b"# TYPE a counter\na_total -1\n# EOF\n", True, False),
    (OPEN, b"# UNIT a_b b\n# UNIT a_b b\n# EOF\n", True, False),
    (OPEN, b"# TYPE a gauge\n# TYPE a gauge\n# EOF\n", True, False),
    (OPEN, b'# TYPE a counter\na_total 1 # {t="{}}"} 1\n# EOF\n', True, False),
    (OPEN, b"a 1 0x1\n# EOF\n", False, False),
]


class PrometheusClient(unittest.TestCase):
    def test_it_finds_what_prometheus_client_finds(self):
        print(f"E2E_SEED={SEED} E2E_BODIES={CASES}", flush=True)
        # A tab behind a name is part of it there.
        bodies = list(Generator(SEED, (" ", "  ")).bodies(CASES * 10, False))
        count = 0
        for parsed, (kind, body) in zip(parse(bodies), bodies):
            wanted = theirs(kind, body)
            self.assertIsNotNone(wanted, f"{kind} {body!r} (E2E_SEED={SEED})")
            self.assertEqual(ours(parsed), wanted, f"{kind} {body!r} (E2E_SEED={SEED})")
            count += len(wanted)
        self.assertGreater(count, CASES * 10)

    def test_where_it_differs_prometheus_is_right(self):
        for (kind, body, we, it), parsed in zip(KNOWN, parse([each[:2] for each in KNOWN])):
            with self.subTest(body):
                self.assertEqual((parsed.is_good, theirs(kind, body) is not None), (we, it))
        judge = Judge([each[:2] for each in KNOWN])
        self.assertEqual([not judge.health[i] for i in range(len(KNOWN))],
                         [each[2] for each in KNOWN])
