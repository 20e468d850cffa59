# SPDX-License-Identifier: Apache-2.0
"""OTLP, as a receiver that is strict about it sees it: the numbers are those of the
requests that were made, and translated they are what /metrics shows."""

import tempfile

import otlp_receiver
from exposer import Exposer
from harness import SCRATCH, Metrics, TestCase, free_port, load, wait_until
from servers import hello_nginx

DURATION = "http.server.request.duration"
LABELS_AS_NUMBERS = ("le", "quantile")


def http_series(metrics):
    """/metrics as prometheus_series() has it, as far as it is about requests."""
    table = {}
    for name, labels, value in metrics.samples:
        if name.startswith("http_"):
            labels = {key: float(text) if key in LABELS_AS_NUMBERS else text
                      for key, text in labels.items()}
            table[(name, frozenset(labels.items()))] = value
    return table


def partial_success(rejected, message):
    text = b"\x08" + bytes([rejected]) + b"\x12" + bytes([len(message)]) + message
    return b"\x0a" + bytes([len(text)]) + text


class Otlp(TestCase):
    def setUp(self):
        super().setUp()
        self.observed = hello_nginx()
        self.start(self.observed, self.observed.port)
        self.state = tempfile.mkdtemp(prefix="state-", dir=SCRATCH)

    def receive(self, *answers, port=None):
        receiver = otlp_receiver.Receiver(port or free_port(), answers)
        self.addCleanup(receiver.stop)
        return receiver

    def send(self, receiver, *arguments, more=""):
        return self.bpftally(
            "--port", self.observed.port, "--scrape-interval", "500ms", "--state-dir",
            self.state, *arguments, config=f"""
global: {{external_labels: {{zone: eu}}}}
otlp:
  endpoint: http://127.0.0.1:{receiver.port}/otlp
  retry_on_failure: {{initial_interval: 50ms, max_interval: 200ms}}
  {more}
""")

    def assert_total(self, receiver, expected):
        wait_until(lambda: receiver.total(DURATION) >= expected, f"{expected} requests")
        self.assertEqual(receiver.total(DURATION), expected)

    def test_exact_counts_arrive_under_the_names_of_the_conventions(self):
        receiver = self.receive()
        daemon = self.send(receiver)
        load(self.observed.port, "/hello", 321, 4)
        self.assert_total(receiver, 321)
        load(self.observed.port, "/hello", 79, 4)
        self.assert_total(receiver, 400)
        (point,) = receiver.latest(DURATION)
        self.assertEqual(point.unit, "s")
        self.assertEqual(point.attributes, {
            "http.request.method": "GET", "http.response.status_code": 200,
            "http.route": "/hello", "server.address": "127.0.0.1",
            "server.port": self.observed.port, "url.scheme": "http"})
        self.assertEqual(point.resource["service.name"], "nginx")
        self.assertEqual(point.resource["os.type"], "linux")
        self.assertEqual(point.resource["zone"], "eu")
        self.assertTrue(point.resource["host.name"])
        self.assertTrue(point.resource["service.instance.id"])
        self.assertLess(0, point.start)
        self.assertEqual({path for path, _, _ in receiver.requests},
                         {"/otlp/v1/metrics"})
        self.assertEqual({headers["Content-Encoding"]
                          for _, headers, _ in receiver.requests}, {"gzip"})
        self.assertEqual(receiver.violations, [])
        self.assertTrue(daemon.alive())

    def test_translated_it_is_what_metrics_shows(self):
        receiver = self.receive()
        daemon = self.send(receiver, "--summaries", more="compression: none")
        load(self.observed.port, "/hello", 50, 2)
        load(self.observed.port, "/missing", 7, 1)
        self.assert_total(receiver, 57)
        wanted = http_series(daemon.metrics())
        self.assertLess(100, len(wanted))

        def got():
            return {key: value for key, value in
                    otlp_receiver.prometheus_series(receiver.latest()).items()
                    if key[0].startswith("http_")}
        # open connections settle a collection later
        wait_until(lambda: got() == http_series(daemon.metrics()), "the same numbers")
        self.assertEqual(set(got()), set(wanted))
        agent = [point for point in receiver.latest() if point.name == "bpftally_missed"]
        self.assertEqual({point.resource["service.name"] for point in agent},
                         {"bpftally"})
        self.assertEqual(receiver.violations, [])

    def test_exponential_histograms_have_the_same_count(self):
        receiver = self.receive()
        self.send(receiver, more="histograms: exponential")
        load(self.observed.port, "/hello", 120, 4)
        self.assert_total(receiver, 120)
        (point,) = receiver.latest(DURATION)
        self.assertEqual(point.kind, "exponential")
        self.assertEqual(point.raw["scale"], 3)
        self.assertEqual({point.kind for point in
                          receiver.latest("http.server.request.body.size")},
                         {"histogram"})
        self.assertEqual(receiver.violations, [])

    def test_an_outage_loses_nothing(self):
        down = (503, {"Retry-After": "0"}, b"")
        receiver = self.receive(*[down] * 6)
        self.send(receiver)
        load(self.observed.port, "/hello", 200, 4)
        self.assert_total(receiver, 200)
        self.assertEqual([status for _, _, status in receiver.requests[:7]],
                         [503] * 6 + [200])
        self.assertEqual(receiver.violations, [])

    def test_a_killed_daemon_leaves_what_the_next_one_sends(self):
        receiver = self.receive()
        receiver.stop()
        daemon = self.send(receiver)
        load(self.observed.port, "/hello", 40, 2)
        wait_until(lambda: daemon.metrics().total(
            "bpftally_otlp_data_points_pending") > 0 and daemon.metrics().total(
            "http_server_request_duration_seconds_count") == 40, "something to wait")
        pending = daemon.metrics().total("bpftally_otlp_data_points_pending")
        wait_until(lambda: daemon.metrics().total(
            "bpftally_otlp_data_points_pending") > pending, "another collection")
        daemon.process.kill()
        receiver = self.receive(port=receiver.port)
        self.send(receiver)
        wait_until(lambda: any(point.value == 40 for point in receiver.points
                               if point.name == DURATION), "what the first one counted")
        self.assertEqual(receiver.violations, [])

    def test_what_was_rejected_is_counted(self):
        receiver = self.receive((200, {"Content-Type": "application/x-protobuf"},
                                 partial_success(3, b"out of order")))
        daemon = self.send(receiver)
        wait_until(lambda: daemon.metrics().total(
            "bpftally_otlp_data_points_failed_total"), "a failure")
        self.assertEqual(daemon.metrics().total(
            "bpftally_otlp_data_points_failed_total"), 3)
        self.assertIn("out of order", daemon.log())
        self.assertEqual(daemon.metrics().total(
            "bpftally_otlp_data_points_retried_total"), 0)

    def test_every_series_ends_with_the_daemon(self):
        receiver = self.receive()
        daemon = self.send(receiver)
        load(self.observed.port, "/hello", 30, 2)
        self.assert_total(receiver, 30)
        self.assertEqual(daemon.terminate()[0], 0)
        self.assertEqual(receiver.latest(), [])
        ended = [point for point in receiver.points if point.ended]
        self.assertEqual(len({point.identity for point in ended}), len(ended))
        self.assertIn(DURATION, {point.name for point in ended})
        self.assertEqual(receiver.violations, [])


SCRAPED = """\
# HELP jobs_total Jobs.
# TYPE jobs_total counter
jobs_total{queue="mail"} 17
# TYPE depth gauge
depth 2.5
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.5"} 2
wait_seconds_bucket{le="+Inf"} 5
wait_seconds_sum 4.25
wait_seconds_count 5
# TYPE size_bytes summary
size_bytes{quantile="0.5"} 100
size_bytes_sum 300
size_bytes_count 3
"""


class Scraped(TestCase):
    """What was scraped, as a receiver of OTLP has it."""

    def setUp(self):
        super().setUp()
        self.receiver = otlp_receiver.Receiver(free_port())
        self.addCleanup(self.receiver.stop)
        self.exposer = Exposer(metrics=SCRAPED)
        self.addCleanup(self.exposer.stop)
        self.address = self.exposer.address

    def scrape(self):
        return self.bpftally("--no-bpf", config=f"""
global: {{scrape_interval: 1s}}
otlp: {{endpoint: 'http://127.0.0.1:{self.receiver.port}/otlp'}}
scrape_configs: [{{job_name: web, static_configs: [{{targets: ['{self.address}']}}]}}]
""")

    def points(self):
        return [point for point in self.receiver.latest()
                if point.resource.get("service.instance.id") == self.address]

    def test_it_is_of_its_target_and_translates_back_to_what_was_scraped(self):
        self.scrape()
        wait_until(lambda: len(self.points()) == 9, "four metrics and five reports")
        self.assertEqual({point.resource["service.name"] for point in self.points()},
                         {"web"})
        found = {(name, labels - {("service_name", "web")}): value for (name, labels), value
                 in otlp_receiver.prometheus_series(self.points()).items()}
        wanted = {}
        for name, labels, value in Metrics(SCRAPED).samples:
            labels = {key: float(text) if key in LABELS_AS_NUMBERS else text
                      for key, text in labels.items()}
            wanted[(name, frozenset(labels.items()))] = value
        self.assertEqual({key: found.get(key) for key in wanted}, wanted)
        self.assertEqual(found[("up", frozenset())], 1)
        self.assertEqual(len(found), len(wanted) + 5)
        self.assertEqual(self.receiver.violations, [])

    def test_what_went_has_ended(self):
        self.scrape()
        wait_until(lambda: len(self.points()) == 9, "four metrics and five reports")
        self.exposer.put("metrics", "depth 1\n")
        wait_until(lambda: len(self.points()) == 6, "three metrics to end")
        self.assertEqual({point.name for point in self.receiver.points if point.ended},
                         {"jobs", "wait_seconds", "size_bytes"})
        self.assertEqual(self.receiver.violations, [])
