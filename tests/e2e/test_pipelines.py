# SPDX-License-Identifier: Apache-2.0
"""The pipelines of docs/pipelines.md, each with the very file that it shows, as far as
Debian has the program: tests/receivers has the others."""

import json
import re

import examples
import loki_receiver
from delivery_prometheus import held_by
from harness import ROOT, TestCase, load, run, wait_until, write_file
from servers import Nginx, Prometheus, hello_nginx

COUNT = "sum(http_server_request_duration_seconds_count)"
WRITTEN_ON = {"cluster": "production", "region": "eu-west-1"}
BLOCK = re.compile(r"\]\(examples/([\w.-]+)\)[^\n]*\n\n((?:    .*\n|\n)+)")


class Pages(TestCase):
    def test_what_the_page_shows_is_the_file(self):
        text = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
        shown = BLOCK.findall(text)
        self.assertEqual(len(shown), text.count("](examples/"))
        for name, block in shown:
            with self.subTest(name):
                block = re.sub("(?m)^    ", "", block).strip("\n") + "\n"
                wanted = re.sub(r"\A((#|//).*\n)+", "", examples.example(name))
                self.assertEqual(block, wanted)


class Files(TestCase):
    def test_promtool_takes_those_of_prometheus(self):
        paths = {"/etc/prometheus/token": examples.token_file()}
        for name, replace in (("prometheus.yml", {}),
                              ("prometheus-remote-write.yml", paths)):
            with self.subTest(name):
                path = write_file("prometheus.yml", examples.example(name, replace))
                run(["promtool", "check", "config", path])


class Scraped(TestCase):
    def setUp(self):
        super().setUp()
        self.observed = hello_nginx()
        self.start(self.observed, self.observed.port)
        self.daemon = self.bpftally("--port", self.observed.port)

    def prometheus(self, name, **replace):
        """On one of the examples."""
        config = examples.example(name, {
            "scrape_interval: 15s": "scrape_interval: 500ms",
            "localhost:9965": f"127.0.0.1:{self.daemon.port}", **replace})
        server = Prometheus(config=config)
        return self.start(server, server.port)

    def requests(self, count, server):
        load(self.observed.port, "/hello", 50, 4)
        wait_until(lambda: server.query(COUNT) == [({}, float(count))],
                   f"{count} requests", 30)

    def shown(self):
        return {(name, frozenset(labels.items())): value for name, labels, value
                in self.daemon.metrics().samples if name.startswith("http_")}

    def stored(self, server):
        """As `shown`, less what Prometheus adds."""
        found = {}
        for labels, value in server.query('{__name__=~"http_.*"}'):
            self.assertEqual(labels.pop("job"), "bpftally")
            self.assertEqual(labels.pop("instance"), f"127.0.0.1:{self.daemon.port}")
            found[labels.pop("__name__"), frozenset(labels.items())] = value
        return found

    def test_prometheus_stores_what_metrics_shows(self):
        server = self.prometheus("prometheus.yml")
        self.requests(50, server)
        self.assertLess(100, len(self.shown()))
        wait_until(lambda: self.stored(server) == self.shown(), "the same series", 30)

    def test_what_it_writes_on_is_what_it_stores(self):
        """Every sample: those of other series, `up` and the like, as well."""
        second = Prometheus()
        self.start(second, second.port)
        first = self.prometheus("prometheus-remote-write.yml", **{
            "https://metrics.example.com/api/v1/push":
                f"http://127.0.0.1:{second.port}/api/v1/write",
            "/etc/prometheus/token": examples.token_file()})
        self.requests(50, second)
        self.requests(100, second)
        newest = max(at for _, at, _ in held_by(first))

        def until(server, more=frozenset()):
            return {(series | more, at, text) for series, at, text in held_by(server)
                    if at <= newest}
        wanted = until(first, frozenset(WRITTEN_ON.items()))
        self.assertLess(1000, len(wanted))
        wait_until(lambda: wanted <= until(second), "every sample", 30)
        self.assertEqual(until(second) - wanted, set(), "made up")


def served(path, text):
    """A target of its own kind."""
    return Nginx("server { listen 127.0.0.1:{port}; location = %s { return 200 '%s\\n'; } "
                 "location / { return 404; } }" % (path, text))


class InsteadOfAlloy(TestCase):
    """bpftally without BPF: two targets and a log file on the one side, a Prometheus
    and a strict receiver of logs on the other."""

    def setUp(self):
        super().setUp()
        self.node = served("/metrics", "node_load1 0.5")
        self.shop = served("/internal/metrics", "shop_orders_total 42")
        self.server = Prometheus()
        for each in (self.node, self.shop, self.server):
            self.start(each, each.port)
        self.loki = loki_receiver.Receiver(headers={
            "Authorization": f"Bearer {examples.TOKEN}", "X-Scope-OrgID": "my-tenant"})
        self.addCleanup(self.loki.stop)
        self.targets = write_file("shop.json", json.dumps(
            [{"targets": [f"127.0.0.1:{self.shop.port}"], "labels": {"tier": "web"}}]))
        self.log = write_file("shop.log", "".join(f"line {i}\n" for i in range(1000)))

    def config(self):
        return examples.example("instead-of-alloy.yaml", {
            "scrape_interval: 15s": "scrape_interval: 500ms",
            "localhost:9100": f"127.0.0.1:{self.node.port}",
            "/etc/bpftally/targets": self.targets.parent,
            "/etc/bpftally/token": examples.token_file(),
            "/var/log/shop": self.log.parent,
            "https://metrics.example.com/api/v1/push":
                f"http://127.0.0.1:{self.server.port}/api/v1/write",
            "https://logs.example.com/loki/api/v1/push": self.loki.url})

    def test_metrics_and_logs_arrive(self):
        self.bpftally("--no-bpf", config=self.config())
        for name, value, target, labels in (
                ("node_load1", 0.5, self.node, {"job": "node"}),
                ("shop_orders_total", 42.0, self.shop, {"job": "shop", "tier": "web"})):
            wanted = {"__name__": name, "instance": f"127.0.0.1:{target.port}",
                      **labels, **WRITTEN_ON}
            wait_until(lambda name=name, value=value, wanted=wanted:
                       self.server.query(name) == [(wanted, value)], name, 30)
        wait_until(lambda: self.loki.count() >= 1000, "the lines", 30)
        self.assertEqual(self.loki.lines(job="shop", tier="web",
                                         filename=str(self.log), **WRITTEN_ON),
                         self.log.read_text(encoding="utf-8").splitlines())
        self.assertEqual(self.loki.violations, [])
