# SPDX-License-Identifier: Apache-2.0
"""--web.config.file: TLS, client certificates, passwords and headers, judged by
curl, Python's ssl (OpenSSL), a real Prometheus, and promtool."""

import base64
import contextlib
import os
import pathlib
import resource
import shutil
import socket
import ssl
import tempfile
import threading
import time

from harness import (BPFTALLY, SCRATCH, Bpftally, TestCase, free_port, run, table,
                     wait_until, write_file)
from servers import Prometheus

# "open sesame" at cost 4
HASH = "$2y$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy"
PASSWORD = ("ann", "open sesame")


class Certificates:
    """Made once, by openssl: a server's, another of its, an authority's for
    clients, one of its clients', and a stranger's."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
        for name in ("server", "renewed", "stranger", "authority"):
            self.sign_itself(name)
        self.make("client", "-CA", self / "authority.crt", "-CAkey",
                  self / "authority.key", "-addext",
                  "subjectAltName=DNS:scraper.example")

    def __truediv__(self, name):
        return self.directory / name

    def make(self, name, *arguments):
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", f"/CN={name}", "-keyout", self / f"{name}.key",
             "-out", self / f"{name}.crt", *arguments])

    def sign_itself(self, name):
        self.make(name, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")


class WebTest(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.certificates = Certificates()

    def setUp(self):
        super().setUp()
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
        for name in ("server", "client", "authority"):
            for ending in ("crt", "key"):
                self.copy(f"{name}.{ending}", f"{name}.{ending}")
        self.file = self.directory / "web.yml"

    def copy(self, name, to):
        """As renewals do it: the old file is replaced, not written to."""
        temporary = self.directory / "new"
        shutil.copy(self.certificates / name, temporary)
        temporary.rename(self.directory / to)

    def write(self, text):
        temporary = self.directory / "new"
        temporary.write_text(text)
        temporary.rename(self.file)

    def start_with(self, text, *arguments):
        self.write(text)
        daemon = SecureBpftally("--web.config.file", self.file, "--port", free_port(),
                                *arguments)
        self.daemons.append(daemon)
        self.addCleanup(daemon.stop)
        daemon.wait_greeting()
        return daemon

    def context(self, identity=None, ca="server", **settings):
        context = ssl.create_default_context(cafile=self.certificates / f"{ca}.crt")
        if identity:
            context.load_cert_chain(self.certificates / f"{identity}.crt",
                                    self.certificates / f"{identity}.key")
        for name, value in settings.items():
            setattr(context, name, value)
        return context


class SecureBpftally(Bpftally):
    """/-/ready needs TLS or a password there: the greeting must do."""

    def __init__(self, *arguments):
        super().__init__(*arguments, wait=False)

    def wait_greeting(self):
        def greeted():
            if not self.process.alive():
                raise AssertionError(f"bpftally ended: {self.log()}")
            return "/metrics" in self.log()
        wait_until(greeted, "the greeting", 20)

    def describe(self):
        return f"--- bpftally (status {self.process.child.poll()})\n{self.log()}"

    def connect(self, context=None):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        if context:
            connection = context.wrap_socket(connection, server_hostname="localhost")
        return connection

    def ask(self, context=None, path="/-/healthy", password=None):
        """Status and head of an answer; None where the handshake or connection
        ended without one."""
        field = ""
        if password:
            word = base64.b64encode(":".join(password).encode()).decode()
            field = f"Authorization: Basic {word}\r\n"
        try:
            with self.connect(context) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{field}"
                                   "Connection: close\r\n\r\n".encode())
                answer = b""
                while chunk := connection.recv(65536):
                    answer += chunk
        except (ssl.SSLError, ConnectionError):
            return None
        head = answer.partition(b"\r\n\r\n")[0].decode()
        return (int(head.split()[1]), head) if head else None

    def status(self, *arguments, **keywords):
        answer = self.ask(*arguments, **keywords)
        return answer and answer[0]


TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key%s}\n"
USERS = f"basic_auth_users: {{ann: {HASH}}}\n"


class Served(WebTest):
    def test_curl_trusts_it_and_needs_the_password(self):
        daemon = self.start_with(TLS % "" + USERS)
        url = f"https://localhost:{daemon.port}/metrics"
        self.assertIn(f"https://127.0.0.1:{daemon.port}/metrics", daemon.log())

        def curl(*arguments):
            return run(["curl", "-sS", "--noproxy", "*", "-o", "/dev/null",
                        "-w", "%{http_code}", "--cacert",
                        self.certificates / "server.crt", *arguments, url]).stdout
        self.assertEqual(curl(), "401")
        self.assertEqual(curl("-u", "ann:open sesame"), "200")
        self.assertEqual(curl("-u", "ann:open sesame", "--http2"), "200")
        self.assertEqual(curl("-u", "ann:open sesam"), "401")
        self.assertEqual(curl("-u", "nobody:open sesame"), "401")
        for word in ("open sesame", HASH, "b3BlbiBzZXNhbWU"):
            self.assertNotIn(word, daemon.log())

    def test_a_real_prometheus_scrapes_it(self):
        daemon = self.start_with(TLS % "" + USERS)
        prometheus = Prometheus(scrape=daemon.port, job=f"""
  scheme: https
  basic_auth: {{username: ann, password: open sesame}}
  tls_config: {{ca_file: {self.certificates / 'server.crt'}, server_name: localhost}}
""", features="native-histograms")
        self.start(prometheus, prometheus.port)
        wait_until(lambda: prometheus.query("up") and
                   prometheus.query("up")[0][1] == 1.0, "a good scrape", 20)
        target, = prometheus.api("targets")["activeTargets"]
        self.assertEqual((target["health"], target["lastError"]), ("up", ""))
        self.assertEqual(len(prometheus.query("bpftally_build_info")), 1)

    def test_large_pages_arrive_whole(self):
        daemon = self.start_with(TLS % "")
        with daemon.connect(self.context()) as connection:
            for _ in range(3):  # one connection
                connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = b""
                while not answer.endswith(b"\r\n0\r\n\r\n"):
                    answer += connection.recv(65536)
                self.assertIn(b"bpftally_build_info", answer)

    def test_plain_http_finds_no_answer_there(self):
        daemon = self.start_with(TLS % "")
        self.assertIsNone(daemon.ask())
        self.assertEqual(daemon.status(self.context()), 200)

    def test_versions(self):
        daemon = self.start_with(TLS % ", min_version: TLS13")
        old = self.context(maximum_version=ssl.TLSVersion.TLSv1_2)
        self.assertIsNone(daemon.ask(old))
        with daemon.connect(self.context()) as connection:
            self.assertEqual(connection.version(), "TLSv1.3")
        self.write(TLS % ", max_version: TLS12")
        with daemon.connect(self.context()) as connection:
            self.assertEqual(connection.version(), "TLSv1.2")

    def test_suites(self):
        daemon = self.start_with(
            TLS % ", cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]")
        context = self.context(maximum_version=ssl.TLSVersion.TLSv1_2)
        with daemon.connect(context) as connection:
            self.assertEqual(connection.cipher()[0], "ECDHE-ECDSA-AES256-GCM-SHA384")
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        self.assertIsNone(daemon.ask(context))

    def test_headers_come_with_every_answer(self):
        daemon = self.start_with("http_server_config: {headers: {X-Frame-Options: "
                                 "deny, Strict-Transport-Security: max-age=9}}\n" +
                                 USERS)
        for password, status in ((PASSWORD, 200), (None, 401)):
            answer = daemon.ask(password=password)
            self.assertEqual(answer[0], status)
            self.assertIn("X-Frame-Options: deny", answer[1])
            self.assertIn("Strict-Transport-Security: max-age=9", answer[1])


class Renewed(WebTest):
    def test_a_new_certificate_is_used_by_the_next_connection(self):
        daemon = self.start_with(TLS % "")
        kept = daemon.connect(self.context())
        self.copy("renewed.crt", "server.crt")
        # its key is not there yet: the old pair goes on
        self.assertEqual(daemon.status(self.context()), 200)
        self.copy("renewed.key", "server.key")
        self.assertIsNone(daemon.ask(self.context()))
        self.assertEqual(daemon.status(self.context(ca="renewed")), 200)
        kept.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(kept.recv(100).startswith(b"HTTP/1.1 200"))
        kept.close()
        self.assertEqual(daemon.log().count("going on with what it said before"), 1)
        self.assertEqual(daemon.log().count("was read again"), 1)

    def test_users_change_without_a_restart(self):
        daemon = self.start_with(USERS)
        self.assertEqual(daemon.status(password=PASSWORD), 200)
        self.write(USERS.replace("ann", "eve"))
        self.assertEqual(daemon.status(password=PASSWORD), 401)
        self.assertEqual(daemon.status(password=("eve", PASSWORD[1])), 200)

    def test_a_broken_version_changes_nothing_and_is_one_line(self):
        daemon = self.start_with(TLS % "" + USERS)
        for broken in ("tls_server_config: {cert_file: nothing.crt}", "{", ""):
            self.write(broken)
            for _ in range(5):
                self.assertEqual(daemon.status(self.context(), password=PASSWORD), 200)
                self.assertEqual(daemon.status(self.context()), 401)
        self.file.unlink()
        self.assertEqual(daemon.status(self.context(), password=PASSWORD), 200)
        self.assertEqual(daemon.log().count("going on with what it said before"), 4)
        self.write(TLS % "")
        self.assertEqual(daemon.status(self.context()), 200)


@table({name: (name, *row) for name, row in {
    # who gets in: nobody's certificate, a stranger's, one of the authority's
    "NoClientCert": (200, 200, 200),
    "RequestClientCert": (200, 200, 200),
    "RequireAnyClientCert": (None, 200, 200),
    "VerifyClientCertIfGiven": (200, None, 200),
    "RequireAndVerifyClientCert": (None, None, 200),
}.items()})
class ClientCertificates(WebTest):
    def check(self, row):
        policy, *expected = row
        ca = "" if policy == "NoClientCert" else ", client_ca_file: authority.crt"
        daemon = self.start_with(TLS % f", client_auth_type: {policy}{ca}")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            have = [daemon.status(self.context(identity, maximum_version=version))
                    for identity in (None, "stranger", "client")]
            self.assertEqual(have, expected, version)


class ClientNames(WebTest):
    def test_only_allowed_names_get_in(self):
        text = (", client_auth_type: RequireAndVerifyClientCert, client_ca_file: "
                "authority.crt, client_allowed_sans: [%s]")
        daemon = self.start_with(TLS % text % "scraper.example")
        self.assertEqual(daemon.status(self.context("client")), 200)
        self.write(TLS % text % "other.example, client")  # CN is no name
        self.assertIsNone(daemon.ask(self.context("client")))


class RudeClients(WebTest):
    """The limits of plain HTTP hold within TLS and for handshakes."""

    def scrape_in_time(self, daemon, seconds=3):
        begun = time.monotonic()
        self.assertEqual(daemon.status(self.context(), password=PASSWORD), 200)
        self.assertLess(time.monotonic() - begun, seconds)

    @staticmethod
    def rss_kb(daemon):
        text = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0])

    def hello(self):
        """The first flight of a handshake, as bytes."""
        outgoing = ssl.MemoryBIO()
        client = self.context().wrap_bio(ssl.MemoryBIO(), outgoing,
                                         server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        return outgoing.read()

    def test_handshakes_that_stall_do_not_keep_scrapers_out(self):
        daemon = self.start_with(TLS % "" + USERS)
        hello = self.hello()
        with contextlib.ExitStack() as stack:
            for cut in (0, 1, 5, len(hello) // 2, len(hello) - 1, len(hello)):
                for _ in range(40):
                    connection = stack.enter_context(daemon.connect())
                    connection.sendall(hello[:cut])
                self.scrape_in_time(daemon)

    def test_a_handshake_that_trickles_is_cut_off_after_ten_seconds(self):
        daemon = self.start_with(TLS % "")
        hello, begun = self.hello(), time.monotonic()
        with daemon.connect() as connection:
            with self.assertRaises(ConnectionError):
                for byte in hello * 2:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.2)
                    if time.monotonic() - begun > 40:
                        break
        self.assertTrue(9 < time.monotonic() - begun < 20)

    def test_a_request_that_trickles_within_tls_is_cut_off_after_twenty(self):
        daemon = self.start_with(TLS % "")
        begun = time.monotonic()
        with daemon.connect(self.context()) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
            with self.assertRaises(OSError):
                while time.monotonic() - begun < 40:
                    connection.sendall(b"y")
                    time.sleep(0.5)
        self.assertTrue(19 < time.monotonic() - begun < 25)

    def test_ten_thousand_connections_are_bounded_in_memory(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        daemon = self.start_with(TLS % "" + USERS)
        self.scrape_in_time(daemon)
        before, hello = self.rss_kb(daemon), self.hello()
        held = []
        try:
            for i in range(10000):
                connection = socket.socket()
                connection.setblocking(False)
                connection.connect_ex(("127.0.0.1", daemon.port))
                held.append(connection)
                if i % 500 == 499:
                    for one in held[-500:]:
                        with contextlib.suppress(OSError):
                            one.send(hello)
                    self.scrape_in_time(daemon, 10)
        finally:
            for connection in held:
                connection.close()
        self.assertLess(self.rss_kb(daemon) - before, 16 << 10)
        self.scrape_in_time(daemon)

    def test_giant_heads_and_garbage_inside_tls_are_refused(self):
        daemon = self.start_with(TLS % "" + USERS)
        before = self.rss_kb(daemon)
        for request in (b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 300000 + b"\r\n\r\n",
                        os.urandom(100000), b"\0" * 100000, b"\r\n" * 5000,
                        b"GET /metrics HTTP/1.1\r\nAuthorization: Basic " +
                        b"QUFB" * 3000 + b"\r\n\r\n"):
            answer = b""
            with contextlib.suppress(OSError), daemon.connect(self.context()) as rude:
                rude.settimeout(5)
                rude.sendall(request)
                answer = rude.recv(1000)
            self.assertFalse(answer.startswith(b"HTTP/1.1 200"), request[:40])
        for garbage in (b"\x16\x03\x01\xff\xff" + os.urandom(70000), os.urandom(70000),
                        b"\x16\x03\x01\x40\x00\x01\x00\xff\xff" + bytes(70000)):
            for _ in range(100):
                with contextlib.suppress(OSError), daemon.connect() as rude:
                    rude.sendall(garbage)
        self.scrape_in_time(daemon)
        self.assertLess(self.rss_kb(daemon) - before, 16 << 10)

    def test_who_guesses_does_not_keep_a_known_scraper_waiting(self):
        costly = run(["python3", "-W", "ignore", "-c", "import crypt; print(crypt."
                      "crypt('open sesame', '$2b$12$abcdefghijklmnopqrstuu'))"]).stdout
        daemon = self.start_with(TLS % "" + USERS.replace(HASH, costly.strip()))
        self.assertEqual(daemon.status(self.context(), password=PASSWORD), 200)
        stop = threading.Event()

        def guess():
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    daemon.status(self.context(), password=("ann", "guess"))
        guessers = [threading.Thread(target=guess) for _ in range(20)]
        for guesser in guessers:
            guesser.start()
        try:
            for _ in range(10):
                self.scrape_in_time(daemon, 5)
        finally:
            stop.set()
            for guesser in guessers:
                guesser.join()


def inline(certificates, name):
    text = (certificates / name).read_text()
    return "".join(f"\n    {line}" for line in text.splitlines())


class Judged(WebTest):
    """The same verdict as promtool's, or a stricter one for a reason."""

    GOOD = {
        "nothing": "",
        "comments": "# nothing\n",
        "empty sections": "tls_server_config: {}\nhttp_server_config: {}\n"
                          "basic_auth_users: {}\n",
        "a certificate": TLS % "",
        "absolute paths": "tls_server_config: {cert_file: DIR/server.crt, "
                          "key_file: DIR/server.key}\n",
        "users": USERS,
        "several users": f"basic_auth_users:\n  a: {HASH}\n  b: "
                         f"{HASH.replace('2y', '2a')}\n  c: "
                         f"{HASH.replace('2y', '2b')}\n",
        "every policy": TLS % ", client_auth_type: RequireAnyClientCert",
        "an authority": TLS % (", client_auth_type: RequireAndVerifyClientCert, "
                               "client_ca_file: authority.crt"),
        "versions": TLS % ", min_version: TLS10, max_version: TLS13",
        "suites": TLS % (", cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "
                         "TLS_AES_128_GCM_SHA256], prefer_server_cipher_suites: no"),
        "curves": TLS % ", curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]",
        "no HTTP/2": TLS % "" + "http_server_config: {http2: false}\n",
        "headers": "http_server_config:\n  headers:\n"
                   "    Content-Security-Policy: default-src 'self'\n"
                   "    X-Frame-Options: sameorigin\n"
                   "    X-Content-Type-Options: nosniff\n"
                   "    X-XSS-Protection: 1; mode=block\n"
                   "    Strict-Transport-Security: max-age=31536000\n",
    }
    BAD = {
        "no mapping": "x",
        "no YAML": "tls_server_config: [",
        "an unknown key": "tls_config: {}\n",
        "an unknown key inside": TLS % ", ca_file: authority.crt",
        "no key": "tls_server_config: {cert_file: server.crt}\n",
        "no certificate": "tls_server_config: {key_file: server.key}\n",
        "a policy alone": "tls_server_config: {client_auth_type: NoClientCert}\n",
        "a certificate that is not there": TLS.replace("server.crt", "no.crt") % "",
        "a key that is not there": TLS.replace("server.key", "no.key") % "",
        "a key for a certificate": TLS.replace("server.crt", "server.key") % "",
        "another's key": TLS.replace("server.key", "client.key") % "",
        "an authority that is not there": TLS % (
            ", client_auth_type: RequestClientCert, client_ca_file: no.crt"),
        "an authority without a policy": TLS % ", client_ca_file: authority.crt",
        "an invented policy": TLS % ", client_auth_type: PleaseClientCert",
        "an invented version": TLS % ", min_version: TLS14",
        "an invented suite": TLS % ", cipher_suites: [TLS_NULL]",
        "an insecure suite": TLS % ", cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]",
        "an invented curve": TLS % ", curve_preferences: [CurveP255]",
        "suites that are no list": TLS % ", cipher_suites: {}",
        "another header": "http_server_config: {headers: {Server: x}}\n",
        "a header in other case": "http_server_config: {headers: "
                                  "{x-frame-options: deny}}\n",
        "another value": "http_server_config: {headers: {X-Frame-Options: DENY}}\n",
        "no boolean": "http_server_config: {http2: perhaps}\n",
        "a password": "basic_auth_users: {ann: secret}\n",
        "another hash": "basic_auth_users: {ann: $6$abc$def}\n",
        "users that are a list": "basic_auth_users: [ann]\n",
        "a cost of 3": USERS.replace("$04$", "$03$"),
        "a user twice": USERS.replace("}", f", ann: {HASH}}}"),
    }
    STRICTER = {
        "an authority without a certificate": TLS % (
            ", client_auth_type: RequestClientCert, client_ca_file: server.key"),
        "an empty path": TLS % ", client_ca_file: ''",
        "settings without a certificate": "tls_server_config: {min_version: TLS13}\n",
        "versions the wrong way round": TLS % ", min_version: TLS13, max_version: TLS12",
        "a cost of 13": USERS.replace("$04$", "$13$"),
        "a name that ends early": USERS.replace("ann", "'a:b'"),
        "a line end in a header": 'http_server_config: {headers: {X-XSS-Protection: '
                                  '"0\\nX: y"}}\n',
    }
    # promtool of 2.42 does not know these keys
    NEWER = {
        "names": TLS % (", client_auth_type: RequireAndVerifyClientCert, "
                        "client_ca_file: authority.crt, client_allowed_sans: [a, b]"),
        "a certificate inside": "tls_server_config:\n  cert: |CRT\n  key: |KEY\n",
    }

    def setUp(self):
        super().setUp()
        self.empty = write_file("bpftally.yaml", "")

    def judge(self, program, text):
        text = text.replace("DIR", str(self.directory))
        for word, name in (("CRT", "server.crt"), ("KEY", "server.key")):
            text = text.replace(word, inline(self.certificates, name))
        self.write(text)
        return run([*program, self.file], check=False)

    def bpftally_takes(self, text):
        verdict = self.judge([BPFTALLY, "--check-config", self.empty,
                              "--web.config.file"], text)
        self.assertIn(verdict.returncode, (0, 2), verdict.stderr)
        self.assertEqual(verdict.stderr.count("\n"), int(verdict.returncode != 0))
        return verdict.returncode == 0

    def promtool_takes(self, text):
        return self.judge(["promtool", "check", "web-config"], text).returncode == 0

    def test_verdicts_are_promtools(self):
        for name, text in self.GOOD.items():
            self.assertEqual((self.bpftally_takes(text), self.promtool_takes(text)),
                             (True, True), name)
        for name, text in self.BAD.items():
            self.assertEqual((self.bpftally_takes(text), self.promtool_takes(text)),
                             (False, False), name)

    def test_what_is_judged_more_strictly(self):
        for name, text in self.STRICTER.items():
            self.assertEqual((self.bpftally_takes(text), self.promtool_takes(text)),
                             (False, True), name)

    def test_what_newer_ones_have(self):
        for name, text in self.NEWER.items():
            self.assertEqual((self.bpftally_takes(text), self.promtool_takes(text)),
                             (True, False), name)

    def test_the_start_is_refused_with_the_same_line(self):
        self.write("basic_auth_users: {ann: secret}\n")
        verdict = run([BPFTALLY, "--listen", f"127.0.0.1:{free_port()}",
                       "--web.config.file", self.file], check=False)
        self.assertEqual(verdict.returncode, 1)
        self.assertIn("'ann' in basic_auth_users has no bcrypt hash", verdict.stderr)
        self.assertNotIn("secret", verdict.stderr)
