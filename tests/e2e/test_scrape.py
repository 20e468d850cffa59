# SPDX-License-Identifier: Apache-2.0
"""Scraping: what a strict receiver holds of it. The judge of labels and values is
Debian's Prometheus, which scrapes the same targets with the same job."""

import json
import math
import os
import pathlib
import tempfile
import time

from delivery import STALE, Endpoint
from exposer import OPENMETRICS, Exposer, Page
from harness import (SCRATCH, BPFTALLY, Process, TestCase, free_port, load, run,
                     wait_until, write_file)
from receiver_wire import double
from servers import PYTHON, Prometheus, hello_nginx

REPORT = ("up", "scrape_duration_seconds", "scrape_samples_scraped",
          "scrape_samples_post_metric_relabeling", "scrape_series_added")
PROGRAM = pathlib.Path(__file__).resolve().parent / "programs" / "exposing.py"


def text_of(value):
    return "NaN" if math.isnan(value) else repr(value)


class ScrapeTestCase(TestCase):
    interval = "300ms"

    def setUp(self):
        super().setUp()
        self.receiver = Endpoint(self, "receiver", "")
        self.receiver.start()

    def expose(self, **pages):
        exposer = Exposer(**pages)
        self.addCleanup(exposer.stop)
        return exposer

    def scrape(self, jobs, *arguments, more="", **keywords):
        """The daemon with these jobs, and nothing else to do."""
        config = f"""
global: {{scrape_interval: {self.interval}}}
remote_write: [{{url: '{self.receiver.url}'}}]
{more}
scrape_configs:
{jobs}"""
        self.daemon = self.bpftally("--no-bpf", *arguments, config=config, **keywords)
        return self.daemon

    def job(self, *addresses, name="job", settings=""):
        return f"""
- job_name: {name}
  static_configs: [{{targets: [{", ".join(f"'{each}'" for each in addresses)}]}}]
{settings}"""

    # --- what came

    def series(self, name, **labels):
        """{labels: [(time, bits)]} of the scraped series of that name."""
        found = {}
        for (key, at), what in sorted(self.receiver.update().held.items(),
                                      key=lambda entry: entry[0][1]):
            have = dict(key)
            if have["__name__"] == name and have.get("job") != "bpftally" and \
                    all(have.get(k) == v for k, v in labels.items()):
                found.setdefault(key, []).append((at, what))
        return found

    def values(self, name, **labels):
        """Of the only such series, in the order of time; a marker is "stale"."""
        found = list(self.series(name, **labels).values())
        self.assertLessEqual(len(found), 1, name)
        return ["stale" if what == STALE else double(int(what, 16))
                for _, what in (found[0] if found else [])]

    def wait_values(self, name, condition, **labels):
        return wait_until(lambda: (values := self.values(name, **labels)) and
                          condition(values) and values, f"values of {name}")

    def wait_up(self, times=1, **labels):
        self.wait_values("up", lambda values: values.count(1.0) >= times, **labels)

    def wait_down(self, **labels):
        self.wait_values("up", lambda values: values[-1] == 0.0, **labels)

    def last(self, **labels):
        """{labels: value} of each series' last sample, markers left out."""
        found = {}
        for (key, at), what in sorted(self.receiver.update().held.items(),
                                      key=lambda entry: entry[0][1]):
            have = dict(key)
            if have.get("job") == "bpftally" or \
                    any(have.get(k) != v for k, v in labels.items()):
                continue
            found.pop(frozenset(key), None)
            if what != STALE:
                found[frozenset(key)] = text_of(double(int(what, 16)))
        return found

    def assert_sound(self):
        self.assertEqual(self.receiver.update().wrong[:3], [])

    def end(self):
        status, _ = self.daemon.terminate(20)
        self.assertEqual(status, 0)
        self.assert_sound()


# --- beside a real Prometheus -----------------------------------------------------


class Beside(ScrapeTestCase):
    """The same bodies under the same jobs: a page is asked for by both."""

    def beside(self, jobs):
        prometheus = Prometheus(config=f"""
global: {{scrape_interval: {self.interval}, scrape_timeout: {self.interval}}}
scrape_configs:
{jobs}""")
        self.start(prometheus, prometheus.port)
        return prometheus

    def held_by(self, prometheus):
        data = prometheus.api("query", query='{__name__=~".+"}')
        return {frozenset(each["metric"].items()): text_of(float(each["value"][1]))
                for each in (data or {"result": []})["result"]}

    @staticmethod
    def steady(held):
        """Without what differs from scrape to scrape; its series, by name."""
        moving = ("scrape_duration_seconds",)
        return {key: "*" if dict(key)["__name__"] in moving else value
                for key, value in held.items()}

    def compare(self, jobs, ups, checks=lambda held: None):
        prometheus = self.beside(jobs)
        self.scrape(jobs)
        count = f"count_over_time((sum(up) == {ups})[1m:{self.interval}]) >= 3"
        wait_until(lambda: prometheus.query(count), f"{ups} targets at Prometheus")

        def same():
            wanted, found = (self.steady(self.held_by(prometheus)),
                             self.steady(self.last()))
            return wanted and wanted == found and wanted
        try:
            held = wait_until(same, "the same samples", 10)
        except AssertionError:
            wanted, found = (self.steady(self.held_by(prometheus)),
                             self.steady(self.last()))
            self.assertEqual({k: wanted.get(k) for k in wanted if wanted[k] != found.get(k)},
                             {k: found.get(k) for k in found if found[k] != wanted.get(k)})
            raise
        checks(held)
        self.end()
        return held


TYPES = """# HELP c_total A counter.
# TYPE c_total counter
c_total{a="b"} 1.5
c_total{a="back\\\\slash \\"quoted\\" line\\nend"} 2
# TYPE g gauge
g NaN
g{x="inf"} +Inf
g{x="minus"} -Inf
g{x="small"} 4.9e-324
g{x="wide",  y="",z="1"} 0.1
# TYPE h histogram
h_bucket{le="1"} 1
h_bucket{le="2.5"} 2
h_bucket{le="+Inf"} 3
h_sum 4.5
h_count 3
# TYPE s summary
s{quantile="0.5"} 7
s_sum 8
s_count 9
no_type{job="own",instance="mine",exported_job="older"} 10
"""

OPEN = """# HELP c A counter.
# TYPE c counter
# UNIT c_seconds seconds
c_total{a="b"} 1.5 # {trace_id="t"} 0.5 1700000000.123
c_created{a="b"} 1700000000.5
# TYPE h histogram
h_bucket{le="1.0"} 1 # {trace_id="u"} 0.5
h_bucket{le="+Inf"} 3
h_sum 4.5
h_count 3
# TYPE gh gaugehistogram
gh_bucket{le="+Inf"} 3
gh_gsum 4.5
gh_gcount 3
# TYPE i info
i_info{version="1"} 1
# TYPE st stateset
st{st="on"} 1
st{st="off"} 0
# TYPE u unknown
u 7
# EOF
"""


class Values(Beside):
    def test_a_text_of_each_type_is_what_prometheus_stores(self):
        target = self.expose(metrics=TYPES)
        held = self.compare(self.job(target.address), 1)
        self.assertEqual(len(held), 16 + len(REPORT))
        self.assertIn("1", {dict(key).get("le") for key in held})

    def test_openmetrics_is_what_prometheus_stores(self):
        target = self.expose(metrics=Page(OPEN, OPENMETRICS))
        held = self.compare(self.job(target.address), 1)
        self.assertEqual(len(held), 13 + len(REPORT))

    def test_labels_of_the_target_may_be_honoured(self):
        target = self.expose(metrics=TYPES)
        held = self.compare(self.job(target.address, settings="  honor_labels: true"), 1)
        self.assertIn(("job", "own"), {pair for key in held for pair in key})

    def test_rules_rewrite_targets_and_what_they_say(self):
        target = self.expose(probe=TYPES, metrics="other 1\n")
        held = self.compare(f"""
- job_name: rules
  metrics_path: /probe
  params: {{module: [a, b]}}
  static_configs:
  - targets: ['http://example.com/x', dropped]
    labels: {{zone: z, __meta_gone: g}}
  relabel_configs:
  - {{source_labels: [__address__], regex: dropped, action: drop}}
  - {{source_labels: [__address__], target_label: __param_target}}
  - {{source_labels: [__param_target], target_label: instance}}
  - {{target_label: __address__, replacement: '{target.address}'}}
  - {{source_labels: [__meta_gone, __scheme__, __scrape_timeout__], target_label: seen}}
  metric_relabel_configs:
  - {{source_labels: [__name__], regex: 'h_.*', action: drop}}
  - {{source_labels: [x], regex: '(i.*)', target_label: kept, replacement: 'is-$1'}}
  - {{regex: z, action: labeldrop}}
""", 1)
        self.assertIn(("kept", "is-inf"), {pair for key in held for pair in key})
        queries = {each["query"] for each in target.requests("/probe")}
        self.assertEqual(queries, {"module=a&module=b&target=http%3A%2F%2Fexample.com%2Fx"})

    def test_what_is_wrong_is_down_and_nothing_else(self):
        """Each beside one that is good."""
        target = self.expose(good="good 1\n", broken="good 1\nbroken{\n",
                             many="a 1\nb 2\nc 3\n", missing=Page("good 1\n", status=404),
                             long='a{name="' + "v" * 50 + '"} 1\n',
                             large="a 1\n" + "# " + "x" * 3000 + "\n",
                             unended=Page("a 1\n", OPENMETRICS))
        jobs = "".join(f"""
- job_name: {name}
  metrics_path: /{name}
  static_configs: [{{targets: ['{target.address}']}}]
{settings}""" for name, settings in (
    ("good", ""), ("broken", ""), ("missing", ""), ("unended", ""),
    ("many", "  sample_limit: 2\n"), ("long", "  label_value_length_limit: 20\n"),
    ("large", "  body_size_limit: 2KB\n")))
        held = self.compare(jobs, 1)
        self.assertEqual(len(held), 1 + 7 * len(REPORT))

    def test_a_limit_on_labels_counts_those_of_the_target(self):
        target = self.expose(metrics='a{b="c"} 1\n')
        held = self.compare(self.job(target.address, name="three", settings="  label_limit: 4\n") +
                            self.job(target.address, name="two", settings="  label_limit: 3\n"), 1)
        self.assertEqual(len(held), 1 + 2 * len(REPORT))

    def test_an_unknown_type_is_text(self):
        target = self.expose(metrics=Page("a 1\n", "text/html"), none=Page("a 1\n", None))
        self.compare(self.job(target.address) + self.job(
            target.address, name="none", settings="  metrics_path: /none\n"), 2)

    def test_times_of_the_target_are_taken_or_not(self):
        now = int(time.time() * 1000) - 5000
        target = self.expose(metrics=f"a 1 {now}\nb 2\n")
        self.compare(self.job(target.address), 1)
        self.assertEqual([at for at, _ in next(iter(self.series("a").values()))], [now])

    def test_times_of_the_target_are_left_out_where_they_are_not_honoured(self):
        target = self.expose(metrics=f"a 1 {int(time.time() * 1000) - 5000}\n")
        self.compare(self.job(target.address, settings="  honor_timestamps: false\n"), 1)
        self.assertGreater(len(next(iter(self.series("a").values()))), 2)


class Frozen(Beside):
    """Unmodified programs; their body is taken once, so that both find the same."""

    def frozen(self, port):
        body = run(["curl", "-sS", "--noproxy", "*", "-H",
                    f"Accept: {OPENMETRICS.partition(';')[0]}; version=1.0.0",
                    "-D", "/dev/stderr", f"http://127.0.0.1:{port}/metrics"])
        kind = [line.partition(": ")[2] for line in body.stderr.splitlines()
                if line.lower().startswith("content-type")][0]
        return self.expose(metrics=Page(body.stdout, kind))


class Programs(Frozen):
    def test_node_exporter(self):
        port = free_port()
        self.start(Process(["prometheus-node-exporter",
                            f"--web.listen-address=127.0.0.1:{port}"]), port)
        held = self.compare(self.job(self.frozen(port).address), 1)
        self.assertGreater(len(held), 300)

    def test_a_program_with_pythons_client(self):
        port = free_port()
        self.start(Process([PYTHON, PROGRAM, port]), port)
        held = self.compare(self.job(self.frozen(port).address), 1)
        names = {dict(key)["__name__"] for key in held}
        self.assertLessEqual({"shop_orders_total", "shop_orders_created", "shop_open",
                              "shop_wait_seconds_bucket", "shop_size_bytes_sum",
                              "process_open_fds"}, names)


# --- what happens over time ---------------------------------------------------------


class Semantics(ScrapeTestCase):
    def test_a_request_says_who_asks_and_what_for(self):
        target = self.expose(metrics="a 1\n")
        self.scrape(self.job(target.address, settings="  authorization: {credentials: t0ken}\n"
                             "  headers: {X-Tenant: me}\n"))
        self.wait_up(3)
        asked = target.requests("/metrics")
        headers = asked[0]["headers"]
        self.assertEqual(headers["Accept"], "application/openmetrics-text;version=1.0.0,"
                         "application/openmetrics-text;version=0.0.1;q=0.75,"
                         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
        self.assertEqual(headers["X-Prometheus-Scrape-Timeout-Seconds"], "0.3")
        self.assertIn("gzip", headers["Accept-Encoding"])
        self.assertEqual(headers["Authorization"], "Bearer t0ken")
        self.assertEqual(headers["X-Tenant"], "me")
        self.assertTrue(headers["User-Agent"].startswith("bpftally/"))
        self.assertEqual(len({each["connection"] for each in asked}), 1)
        self.end()
        self.assertNotIn("t0ken", self.daemon.log())

    def test_compression_may_not_be_wanted(self):
        target = self.expose(metrics="a 1\n")
        self.scrape(self.job(target.address, settings="  enable_compression: false\n"))
        self.wait_up(2)
        self.assertNotIn("gzip", target.requests("/metrics")[0]["headers"]["Accept-Encoding"])
        self.end()

    def test_a_series_that_goes_is_stale_and_one_that_returns_is_not(self):
        target = self.expose(metrics="a 1\nb 2\n")
        self.scrape(self.job(target.address))
        self.wait_values("b", lambda values: 2.0 in values)
        target.put("metrics", "a 1\n")
        self.wait_values("b", lambda values: values[-1] == "stale")
        target.put("metrics", "a 1\nb 3\n")
        values = self.wait_values("b", lambda values: values[-1] == 3.0)
        self.assertEqual([value for i, value in enumerate(values)
                          if not i or value != values[i - 1]], [2.0, "stale", 3.0])
        self.assertNotIn("stale", self.values("a"))
        self.end()

    def test_a_target_that_does_not_answer_is_down_and_its_series_stale(self):
        target = self.expose(metrics="a 1\n")
        self.scrape(self.job(target.address))
        self.wait_up(2)
        target.put("metrics", Page("", hang=True))
        self.wait_down()
        self.assertEqual(self.values("a")[-1], "stale")
        self.assertEqual(self.values("a").count("stale"), 1)
        target.put("metrics", "a 2\n")
        self.wait_values("a", lambda values: values[-1] == 2.0)
        self.end()

    def test_targets_that_hang_delay_nobody(self):
        target = self.expose(metrics="a 1\n", hanging=Page("", hang=True))
        hanging = "".join(self.job(target.address, name=f"hanging{i}",
                                   settings="  metrics_path: /hanging\n") for i in range(20))
        self.scrape(hanging + self.job(target.address))
        self.wait_values("up", lambda values: len(values) >= 10, job="job")
        times = [at for at, _ in next(iter(self.series("up", job="job").values()))]
        self.assertLess(max(after - before for before, after in zip(times, times[1:])), 600)
        self.wait_down(job="hanging7")
        self.end()

    def test_targets_of_a_file_come_and_go(self):
        target = self.expose(metrics="a 1\n", other="b 2\n")
        directory = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
        path = directory / "targets.json"

        def put(*groups):
            (directory / "new").write_text(json.dumps(groups))
            os.replace(directory / "new", path)
        one = {"targets": [target.address], "labels": {"zone": "z"}}
        two = {"targets": [target.address], "labels": {"__metrics_path__": "/other"}}
        put(one)
        self.scrape(f"""
- job_name: files
  file_sd_configs: [{{files: ['{directory}/*.json']}}]
""")
        self.wait_up(2, zone="z")
        put(one, two)
        self.wait_values("b", lambda values: 2.0 in values)
        put(two)
        self.wait_values("a", lambda values: values[-1] == "stale", zone="z")
        for name in REPORT:
            self.wait_values(name, lambda values: values[-1] == "stale", zone="z")
        path.write_text('[{"targets": ["x')
        wait_until(lambda: "targets that it had stay" in self.daemon.log(), "the message")
        before = len(self.values("b"))
        self.wait_values("b", lambda values: len(values) > before + 2)
        self.assertNotIn("stale", self.values("b"))
        path.unlink()
        self.wait_values("b", lambda values: values[-1] == "stale")
        self.assertEqual(self.daemon.log().count("targets that it had stay"), 1)
        self.end()

    def test_what_is_pending_is_delivered_at_the_end_and_nothing_is_stale(self):
        target = self.expose(metrics="a 1\n")
        self.scrape(self.job(target.address))
        self.wait_up(2)
        self.end()
        # the last one may have been on its way
        asked = len(target.requests("/metrics"))
        self.assertIn(len(self.values("a")), (asked, asked - 1))
        self.assertNotIn("stale", self.values("a") + self.values("up"))

    def test_it_needs_no_privileges(self):
        target = self.expose(metrics="a 1\n")
        directory = tempfile.mkdtemp(dir=SCRATCH)
        os.chown(directory, 65534, 65534)
        self.scrape(self.job(target.address), "--state-dir", "off", nobody=True)
        self.wait_up(2)
        self.end()

    def test_no_target_is_asked_above_the_limit(self):
        target = self.expose(metrics="a 1\n")
        self.scrape(self.job(target.address, f"localhost:{target.port}",
                             settings="  target_limit: 1\n"))
        for instance in (target.address, f"localhost:{target.port}"):
            self.wait_down(instance=instance)
        self.assertEqual(target.asked, [])
        self.assertEqual(self.daemon.log().count("target_limit"), 1)
        self.end()

    def test_the_page_and_the_metrics_say_how_it_goes(self):
        target = self.expose(metrics="a 1\n", missing=Page("", status=503))
        self.scrape(self.job(target.address, settings="  params: {key: [s3cret]}\n") +
                    self.job(target.address, name="bad", settings="  metrics_path: /missing\n"))
        self.wait_up(1, job="job")
        self.wait_down(job="bad")
        metrics = self.daemon.metrics()
        self.assertEqual(metrics.total("bpftally_scrape_targets", scrape_job="job", state="up"), 1)
        self.assertEqual(metrics.total("bpftally_scrape_targets", scrape_job="bad", state="down"),
                         1)
        self.assertGreaterEqual(metrics.total("bpftally_scrapes_total", result="ok"), 1)
        self.assertGreaterEqual(metrics.total("bpftally_scrapes_total", result="bad_status"), 1)
        self.assertEqual(metrics.names() & {"a", "up"}, set())
        page = self.daemon.get("/").body.decode()
        self.assertIn(f"<td>http://{target.address}/metrics</td><td>up</td>", page)
        self.assertIn("<td>HTTP status 503</td>", page)
        self.assertNotIn("s3cret", page)
        self.end()


class Observed(ScrapeTestCase):
    """Found without being named."""

    def test_a_process_that_serves_metrics_is_a_target(self):
        nginx = hello_nginx()
        self.start(nginx, nginx.port)
        port = free_port()
        self.start(Process([PYTHON, PROGRAM, port], env={"OTEL_SERVICE_NAME": "exposing"}), port)
        config = f"""
global: {{scrape_interval: {self.interval}}}
remote_write: [{{url: '{self.receiver.url}'}}]
scrape_configs: [{{job_name: auto, observed_processes: {{}}}}]
"""
        self.daemon = self.bpftally(config=config)
        load(port, "/", 3)
        load(nginx.port, "/hello", 3)
        wanted = {"job": "auto", "service_name": "exposing",
                  "instance": f"{os.uname().nodename}:{port}"}
        self.wait_values("up", lambda values: values.count(1.0) >= 2, **wanted)
        self.assertEqual(len(self.series("shop_open", **wanted)), 1)
        asked = [line for line in nginx.access_lines() if "/metrics" in line]
        self.assertEqual(len(asked), 1)
        self.end()
