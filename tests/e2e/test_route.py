# SPDX-License-Identifier: Apache-2.0
"""The way to a receiver: redirects, proxies, certificates and tokens that change.
What goes another way is the same; who is not meant to see it, does not."""

import pathlib
import tempfile

from delivery import DeliveryTestCase, Endpoint
from harness import SCRATCH, run, write_file

TOKEN = "T0ken-of-this-test"
AUTHORIZED = f"  authorization: {{credentials: {TOKEN}}}\n"


def certificate(name):
    """(certificate, key), an authority of its own."""
    directory = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2, "-subj",
         "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", paths[1], "-out", paths[0]])
    return paths


class Redirects(DeliveryTestCase):
    """self.others send on; each has its `target`."""

    def setUp(self):
        super().setUp()
        self.others = []

    def redirecting(self, name, status, *tls, host="127.0.0.1", settings=AUTHORIZED):
        source = Endpoint(self, name, settings)
        source.target = Endpoint(self, f"target-of-{name}")
        source.target.start(address=host)
        source.start(f"{status}:Location=http://{host}:{source.target.port}/moved", *tls)
        self.others.append(source)
        return source

    def test_they_are_followed_as_a_post_but_not_everywhere_nor_with_the_token(self):
        kinds = [self.redirecting(f"by-{status}", status)
                 for status in (301, 302, 307, 308)]
        abroad = self.redirecting("abroad", 307, host="127.0.0.2")
        forbidden = self.redirecting("forbidden", 307,
                                     settings="  follow_redirects: false\n")
        pair = certificate("one")
        unsafe = self.redirecting("unsafe", 307, "--tls", *pair, settings=AUTHORIZED +
                                  f"  tls_config: {{ca_file: {pair[0]}}}\n")
        unsafe.url = unsafe.url.replace("http:", "https:")
        self.push()
        self.traffic()
        self.reference.wait_collections(3)
        for each in (forbidden, unsafe):
            each.wait_requests(3)
        self.end_after(each.target for each in (*kinds, abroad))
        for each in (*kinds, abroad):
            with self.subTest(each.name):
                self.check_followed(each)
        for each in (forbidden, unsafe):
            self.assertEqual(each.target.update().records, [], each.name)
        for record in abroad.target.records:
            self.assertNotIn(TOKEN, str(record["headers"]))

    def end_after(self, targets):
        newest = self.reference.newest_ms()
        for each in targets:
            each.wait_newer(newest)
        self.assertEqual(self.daemon.terminate(20)[0], 0)
        self.reference.update()

    def check_followed(self, source):
        target = source.target.update()
        self.assertEqual((target.wrong, target.repeated), ([], []))
        self.assert_same(target)
        self.assertEqual({record["path"] for record in target.records}, {"/moved"})
        self.assertEqual({record["headers"].get("Authorization")
                          for record in source.update().records}, {f"Bearer {TOKEN}"})


class Changes(DeliveryTestCase):
    def setUp(self):
        super().setUp()
        self.old, self.new = certificate("old"), certificate("new")
        self.trusted = write_file("trusted.pem", self.old[0].read_text(encoding="ascii"))
        self.token = write_file("token", "old\n", 0o600)
        self.tls = Endpoint(self, "tls", f"  tls_config: {{ca_file: {self.trusted}}}\n")
        self.tls.url = self.tls.url.replace("http:", "https:")
        self.guarded = Endpoint(
            self, "guarded", f"  authorization: {{credentials_file: {self.token}}}\n")
        self.others = [self.tls, self.guarded]

    def start_all(self, pair, token):
        self.tls.start("204", "--tls", *pair)
        self.guarded.start("204", "--require", f"Authorization=Bearer {token}")

    def test_an_authority_and_a_token_that_change_are_read_again(self):
        self.start_all(self.old, "old")
        self.push()
        for each in self.others:
            each.wait_collections(2)
        for each in self.others:
            each.stop()
        self.token.write_text("new\n", encoding="ascii")
        self.start_all(self.new, "new")
        before = len(self.tls.update().records)
        self.guarded.wait_collections(5)
        self.assertEqual(len(self.tls.update().records), before, "not trusted yet")
        self.trusted.write_text(self.new[0].read_text(encoding="ascii"),
                                encoding="ascii")
        self.finish()
        self.assert_delivered()


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
