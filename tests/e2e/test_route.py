# SPDX-License-Identifier: Apache-2.0
"""The way to a receiver: redirects, proxies, certificates and tokens that change.
What goes another way is the same; who is not meant to see it, does not."""

import pathlib
import tempfile

from delivery import DeliveryTestCase, Endpoint
from harness import SCRATCH, run, wait_until, write_file

TOKEN = "T0ken-of-this-test"
AUTHORIZED = f"  authorization: {{credentials: {TOKEN}}}\n"


class Redirects(DeliveryTestCase):
    def setUp(self):
        super().setUp()
        self.others = []

    def redirecting(self, status, *, host="127.0.0.1", to=None, settings=AUTHORIZED):
        """(who sends on, where to)."""
        target = to or Endpoint(self, f"target-{status}-{host}")
        source = Endpoint(self, f"source-{status}-{host}", settings)
        if to is None:
            target.start(address=host)
        source.start(f"{status}:Location=http://{host}:{target.port}/moved")
        self.others.append(source)
        return source, target

    def run_daemon(self, targets):
        self.push()
        self.traffic()
        self.reference.wait_collections(3)
        newest = self.reference.newest_ms()
        for each in targets:
            each.wait_newer(newest)
        self.assertEqual(self.daemon.terminate(20)[0], 0)
        for each in (self.reference, *targets):
            self.assertEqual(each.update().wrong, [], each.name)

    def test_each_kind_is_followed_as_a_post_with_its_body(self):
        pairs = [self.redirecting(status) for status in (301, 302, 307, 308)]
        self.run_daemon([target for _, target in pairs])
        for source, target in pairs:
            with self.subTest(source.name):
                self.assert_same(target)
                self.assertEqual({record["path"] for record in target.records},
                                 {"/moved"})
                self.assertEqual(target.repeated, [])

    def test_another_host_gets_the_samples_and_not_the_token(self):
        source, target = self.redirecting(307, host="127.0.0.2")
        self.run_daemon([target])
        self.assert_same(target)
        self.assertEqual({record["headers"].get("Authorization")
                          for record in source.update().records}, {f"Bearer {TOKEN}"})
        for record in target.records:
            self.assertNotIn(TOKEN, str(record["headers"]))

    def test_it_can_be_forbidden(self):
        source, target = self.redirecting(307, settings="  follow_redirects: false\n")
        self.push()
        source.wait_requests(5)
        wait_until(lambda: self.total("samples_failed_total", source), "the count")
        self.assertEqual(target.update().records, [])


class Tls(DeliveryTestCase):
    def certificate(self, name):
        """(certificate, key), of an authority of its own."""
        directory = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
        paths = directory / f"{name}.pem", directory / f"{name}.key"
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2, "-subj",
             "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", paths[1], "-out", paths[0]])
        return paths

    def test_an_authority_that_changes_is_read_again(self):
        old, new = self.certificate("old"), self.certificate("new")
        trusted = write_file("trusted.pem", old[0].read_text(encoding="ascii"))
        self.faulty.url = self.faulty.url.replace("http:", "https:")
        self.faulty.settings = f"  tls_config: {{ca_file: {trusted}}}\n"
        self.faulty.start("204", "--tls", *old)
        self.push()
        self.faulty.wait_collections(2)
        self.faulty.stop()
        self.faulty.start("204", "--tls", *new)
        self.reference.wait_collections(8)
        before = len(self.faulty.update().records)
        self.reference.wait_collections(3)
        self.assertEqual(len(self.faulty.update().records), before, "not trusted yet")
        trusted.write_text(new[0].read_text(encoding="ascii"), encoding="ascii")
        self.finish()
        self.assert_delivered()

    def test_a_redirect_from_https_to_http_is_not_followed(self):
        pair = self.certificate("one")
        target = Endpoint(self, "target")
        target.start()
        self.faulty.url = self.faulty.url.replace("http:", "https:")
        self.faulty.settings = f"  tls_config: {{ca_file: {pair[0]}}}\n"
        self.faulty.start(f"307:Location={target.url}", "--tls", *pair)
        self.push()
        self.faulty.wait_requests(5)
        wait_until(lambda: self.total("samples_failed_total") or
                   self.total("samples_retried_total"), "the count")
        self.assertEqual(target.update().records, [])


class Proxies(DeliveryTestCase):
    """A strict receiver in the place of a proxy: it is asked for another's URL."""

    def setUp(self):
        super().setUp()
        named = Endpoint(self, "named")
        named.settings = f"  proxy_url: http://user:pass-word@127.0.0.1:{named.port}\n"
        environment = Endpoint(self, "environment", "  proxy_from_environment: true\n")
        excepted = Endpoint(self, "excepted", "  proxy_url: http://127.0.0.1:1\n"
                            "  no_proxy: 127.0.0.0/8\n")
        self.others = [named, environment, excepted]
        self.env = {"HTTP_PROXY": f"http://127.0.0.1:{environment.port}",
                    "http_proxy": f"http://127.0.0.1:{environment.port}"}
        for each in self.others:
            each.start()
        for each in self.others[:2]:
            each.url = f"http://{each.name}.test/push"

    def test_what_goes_through_a_proxy_is_the_same(self):
        self.push(env=self.env)
        self.traffic()
        self.reference.wait_collections(3)
        self.finish()
        self.assert_delivered()
        named, environment, excepted = self.others
        for each, path in ((named, "http://named.test/push"),
                           (environment, "http://environment.test/push"),
                           (excepted, "/api/v1/push")):
            self.assertEqual({record["path"] for record in each.records}, {path})
        self.assertEqual({record["headers"].get("Proxy-Authorization")
                          for record in named.records}, {"Basic dXNlcjpwYXNzLXdvcmQ="})
        self.assertNotIn("pass-word", self.daemon.log())


class Tokens(DeliveryTestCase):
    def test_a_token_that_changes_is_read_again(self):
        token = write_file("token", "old\n", 0o600)
        self.faulty.settings = f"  authorization: {{credentials_file: {token}}}\n"
        self.faulty.start("204", "--require", "Authorization=Bearer old")
        self.push()
        self.faulty.wait_collections(2)
        self.faulty.stop()
        token.write_text("new\n", encoding="ascii")
        self.faulty.start("204", "--require", "Authorization=Bearer new")
        self.faulty.wait_collections(2)
        self.finish()
        self.assert_delivered()
