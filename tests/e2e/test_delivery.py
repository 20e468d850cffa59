# SPDX-License-Identifier: Apache-2.0
"""What was collected is delivered, whatever happens to the receiver, the network,
the clock or the daemon; test_spool.py has the disk. Each test compares what a
receiver in trouble holds in the end with what one that was always there does:
delivery.py."""

import os
import pathlib
import random
import re
import socket
import time

from delivery import GAP_MS, SEED, STALE, DeliveryTestCase, Endpoint, entries_of
from harness import wait_until, write_file
from receiver_script import Script

KILLS = int(os.environ.get("E2E_KILLS", "8"))
V2 = "protobuf_message: io.prometheus.write.v2.Request"
NATIVE = "  send_native_histograms: true\n"


# --- the receiver -----------------------------------------------------------

class Outage(DeliveryTestCase):
    def test_a_receiver_that_is_down_gets_it_all_later(self):
        self.faulty.start()
        self.push()
        self.faulty.wait_collections(2)
        self.faulty.stop()
        self.traffic()
        self.reference.wait_collections(10)
        self.faulty.start()
        self.finish()
        self.assert_delivered()

    def test_a_receiver_that_comes_late_too_with_no_state_directory(self):
        self.state = "off"
        self.push()
        self.traffic()
        self.reference.wait_collections(10)
        self.faulty.start()
        self.finish()
        self.assert_delivered()

    def test_a_kill_in_the_outage_loses_nothing(self):
        self.push()
        self.traffic()
        self.reference.wait_collections(10)
        self.kill()
        self.push()
        self.reference.wait_collections(5)
        self.faulty.start()
        self.finish()
        self.assert_delivered(kills=1)
        self.assertEqual(self.faulty.repeated, [], "it was down")

    def test_kills_at_any_time_lose_nothing(self):
        """The receiver is slower than collections come: each kill finds some that
        wait and some under way, which it has taken and not said so."""
        print(f"E2E_SEED={SEED} E2E_KILLS={KILLS}")
        chance = random.Random(SEED)
        self.faulty.start("204:Delay=0.3")
        begun = time.monotonic()
        self.push()
        longest = time.monotonic() - begun + 1
        for _ in range(KILLS):
            time.sleep(chance.uniform(0, longest))
            self.assertTrue(self.daemon.alive(), self.daemon.log())
            self.kill()
            self.push(wait=False)
        self.reference.wait_collections(3)
        self.faulty.stop()
        self.faulty.start()
        self.finish()
        self.assert_delivered(KILLS)


class Failing(DeliveryTestCase):
    """Sent again until it is taken. What a receiver took without saying so comes
    twice, and only that."""

    interval_ms = 400  # there are many to decode what is sent
    # name: script, settings, requests that come twice
    ROWS = {
        "answers-503-for-a-while": ("204*5,503*15,204", "", 0),
        "answers-200-and-202": ("200*3,202*3,200", "", 0),
        "answers-500-now-and-then": (",".join(["204*4,500"] * 4 + ["204"]), "", 0),
        "never-answers-some": ("204*5,hang,204*5,hang,204", "remote_timeout: 1s", 0),
        "answers-some-after-the-timeout": (
            "204*5,204:Delay=1.6*2,204:Delay=0.3*6,204", "remote_timeout: 1s", 2),
        "cuts-the-connection-in-mid-body": ("204*5,cut*3,204*5,cut,204", "", 0),
        "ends-the-connection-unanswered": ("204*5,close*3,204", "", 0),
        "loses-its-answers": ("204*5,lost*3,204*3,lost,204", "", 4),
        "answers-429-with-a-time": (
            "204*5,429:Retry-After=1,204*8,429:Retry-After=1,204", "", 0),
    }

    def setUp(self):
        super().setUp()
        self.others = [Endpoint(self, name, f"  {settings}\n" if settings else "")
                       for name, (_, settings, _) in self.ROWS.items()]
        for each in self.others:
            each.start(self.ROWS[each.name][0])

    def test_each_gets_it_all_and_none_waits_for_another(self):
        self.push()
        for each in self.others:
            each.wait_requests(len(Script(self.ROWS[each.name][0]).answers) + 5)
        self.finish()
        self.assert_sound()
        for each in self.others:
            with self.subTest(each.name):
                self.assert_same(each)
                self.check_repeated(each, self.ROWS[each.name][2])
        self.check_pause(next(each for each in self.others if "429" in each.name))

    def check_repeated(self, endpoint, requests):
        self.assertEqual(len(endpoint.repeated), requests, "requests that came twice")
        for record in endpoint.repeated:
            self.assertEqual(record["repeats"], sum(record["taken"]))

    def check_pause(self, endpoint):
        refused = endpoint.with_status(429)
        self.assertEqual(len(refused), 2)
        for record in refused:
            again = [each["time"] for each in endpoint.records
                     if each["samples"] == record["samples"] and each["n"] > record["n"]]
            self.assertEqual(len(again), 1)
            self.assertGreaterEqual(again[0] - record["time"], 1.0)


class Refusing(DeliveryTestCase):
    """What a receiver refuses for good is lost, and nothing else; it is counted."""

    ROWS = {"every-tenth": (",".join(["204*9,400"] * 4 + ["204"]), "", 4),
            "a-part": ("204*9,400:Written=7/0,204*9,400:Written=0,204",
                       f"  {V2}\n", 2)}

    def refused(self, endpoint, requests):
        """What was in those that got a 400 and was not taken."""
        records = endpoint.with_status(400)
        self.assertEqual(len(records), requests)
        found = set()
        for record in records:
            numbers, histograms = entries_of(record)
            found.update(numbers[record["taken"][0]:])
            found.update(histograms[record["taken"][1]:])
        return found

    def check_counts(self, endpoint, refused):
        wait_until(lambda: self.total("samples_failed_total", endpoint) >= len(refused),
                   "the count")
        self.assertEqual(self.total("samples_failed_total", endpoint), len(refused))
        self.assertEqual(self.total("samples_retried_total", endpoint), 0)
        self.assertEqual(self.total("samples_dropped_total", endpoint), 0)

    def test_400_loses_what_was_refused_and_counts_it(self):
        self.reference.settings = NATIVE
        self.others = [Endpoint(self, name, NATIVE + settings)
                       for name, (_, settings, _) in self.ROWS.items()]
        for each in self.others:
            each.start(self.ROWS[each.name][0])
        self.push()
        self.traffic()
        refused = {}
        for each in self.others:
            each.wait_requests(len(Script(self.ROWS[each.name][0]).answers) + 5)
            refused[each] = self.refused(each, self.ROWS[each.name][2])
            self.check_counts(each, refused[each])
        self.finish()
        self.assert_sound()
        for each in self.others:
            with self.subTest(each.name):
                self.assertEqual(self.lost(each), refused[each])
                self.assertEqual(self.made_up(each), set())
                self.assertEqual(each.repeated, [])


class Miscounting(DeliveryTestCase):
    """2.0 says what it wrote. One that cannot count is believed, and not asked again."""

    ROWS = {"too-few": "204*3,204:Written=3/0*2,204",
            "too-many": "204:Written=1000000/1000000"}

    def test_a_number_that_is_wrong_loses_and_repeats_nothing(self):
        self.reference.settings = NATIVE
        self.others = [Endpoint(self, name, f"  {V2}\n") for name in self.ROWS]
        for each in self.others:
            each.start(self.ROWS[each.name])
        self.push()
        self.traffic()
        few, many = self.others
        few.wait_requests(10)
        many.wait_requests(10)
        said = sum(len(record["samples"]) + len(record["histograms"]) - 3
                   for record in few.records[3:5])
        wait_until(lambda: self.total("samples_failed_total", few) >= said, "the count")
        self.assertEqual(self.total("samples_failed_total", few), said)
        self.assertEqual(self.total("samples_failed_total", many), 0)
        self.finish()
        self.assert_delivered()


# --- the message ------------------------------------------------------------

OLD, NEW = "application/x-protobuf", "io.prometheus.write.v2.Request"


class Message(DeliveryTestCase):
    """The same daemon, with each way to say it: the reference is 1.0 with native
    histograms."""

    def setUp(self):
        super().setUp()
        self.reference.settings = NATIVE + "  metadata_config: {send_interval: 500ms}\n"
        self.new = Endpoint(self, "new", f"  {V2}\n")
        self.classic = Endpoint(self, "classic", "  metadata_config: {send: false}\n")
        self.others = [self.new, self.classic]
        for each in self.others:
            each.start()
        self.push()
        self.traffic()
        self.reference.wait_collections(5)
        wait_until(lambda: "target_info" in self.families(), "the latest metadata")

    def families(self):
        return {each["name"]: (each["type"], each["help"], each["unit"])
                for record in self.reference.update().records
                for each in record["metadata"]}

    def natives(self, endpoint):
        return {entry for record in endpoint.records for entry in entries_of(record)[1]}

    def test_2_0_has_what_1_0_has_and_classic_has_no_native_histograms(self):
        self.finish()
        self.assert_sound()
        self.assert_same(self.new)
        self.assertEqual(set(self.new.messages()), {NEW})
        self.assertEqual(set(self.reference.messages()), {OLD})
        self.assertEqual(self.made_up(self.classic), set())
        self.assertGreater(len(self.natives(self.reference)), 0)
        self.assertEqual(self.lost(self.classic), self.natives(self.reference))
        self.check_metadata()
        self.check_riding_along()

    def check_metadata(self):
        """Of 2.0 with each series, what 1.0 says of its family."""
        families = self.families()
        self.assertGreater(len(families), 20)
        for record in self.new.records:
            for each in record["metadata"]:
                name = each["name"]
                if name not in families:
                    name = re.sub(r"_(bucket|sum|count)$", "", name)
                self.assertEqual((each["type"], each["help"], each["unit"]),
                                 families.get(name), name)
        self.assertEqual([record["n"] for record in self.classic.records
                          if record["metadata"]], [])

    def check_riding_along(self):
        """up, and how many samples there were, with each collection."""
        own = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}
        values = {}
        for record in self.classic.records:
            for sample in record["samples"]:
                if sample["bits"] != STALE:
                    at = values.setdefault(sample["timestamp"], {})
                    at.setdefault(sample["labels"]["__name__"], []).append(
                        sample["value"])
        self.assertGreater(len(values), 5)
        for at, names in values.items():
            self.assertEqual(names.get("up"), [1], at)
            self.assertEqual(len(names.get("scrape_duration_seconds", [])), 1, at)
            self.assertEqual(names.get("scrape_samples_scraped"),
                             [sum(len(each) for name, each in names.items()
                                  if name not in own)], at)

    def test_2_0_says_since_when_what_counts_does(self):
        """A counter and a histogram since they began, a gauge not at all."""
        self.finish()
        self.assert_sound()
        types = {each["name"]: each["type"] for record in self.new.records
                 for each in record["metadata"]}
        first = self.reference.times()[0]
        for record in self.new.records:
            for sample in record["samples"] + record["histograms"]:
                name = sample["labels"]["__name__"]
                if STALE in (sample.get("bits"), sample.get("sum_bits")):
                    continue
                if types[name] in (1, 3, 5):
                    self.assertGreater(sample["start"], first - 60000, sample)
                    self.assertLessEqual(sample["start"], sample["timestamp"], sample)
                else:
                    self.assertEqual(sample["start"], 0, sample)


class OldReceivers(DeliveryTestCase):
    """Those that know 1.0 only get 1.0, from the first sample on or from when they
    do, and are known after a restart."""

    ROWS = {"skips-unknown-fields": "--only-v1", "answers-415": "--only-v1=415",
            "answers-400": "--only-v1=400"}

    def setUp(self):
        super().setUp()
        self.reference.settings = NATIVE
        self.others = [Endpoint(self, name, f"{NATIVE}  {V2}\n") for name in self.ROWS]

    def test_they_get_all_of_it_as_1_0_and_are_remembered(self):
        for each in self.others:
            each.start("204", self.ROWS[each.name])
        self.push()
        self.traffic()
        for each in self.others:
            each.wait_collections(3)
            self.assertEqual(each.messages()[0], NEW)
        self.kill()
        before = {each: len(each.update().records) for each in self.others}
        self.push()
        for each in self.others:
            each.wait_collections(2)
        self.finish()
        self.assert_delivered(kills=1)
        for each in self.others:
            self.assertEqual(set(each.messages()[before[each]:]), {OLD}, each.name)

    def test_those_that_took_2_0_before_lose_nothing_either(self):
        self.others = self.others[:2]  # 400 says something else by then
        for each in self.others:
            each.start()
        self.push()
        self.traffic()
        for each in self.others:
            each.wait_collections(2)
            each.stop()
        self.reference.wait_collections(3)
        for each in self.others:
            each.start("204", self.ROWS[each.name])
            each.wait_collections(2)
        self.finish()
        self.assert_delivered()
        for each in self.others:
            self.assertEqual(set(each.messages()), {OLD, NEW})
            self.assertEqual(each.messages()[-1], OLD, each.name)


# --- the network ------------------------------------------------------------

class Names(DeliveryTestCase):
    """The daemon's own /etc/hosts, and a name server that says nothing."""

    NAMELESS = "127.0.0.1 localhost\n"
    UNDER = ("unshare", "-m", "sh", "-ec",
             'mount --bind "$1" /etc/hosts; mount --bind "$2" /etc/resolv.conf; '
             'mount --bind "$3" /etc/nsswitch.conf; shift 3; exec "$@"', "sh")

    def setUp(self):
        super().setUp()
        self.hosts = write_file("hosts", self.NAMELESS)
        self.silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.silent.close)
        self.silent.bind(("127.0.53.53", 53))
        self.under = (*self.UNDER, self.hosts,
                      write_file("resolv.conf", "nameserver 127.0.53.53\n"
                                 "options timeout:3 attempts:1\n"),
                      write_file("nsswitch.conf", "hosts: files dns\n"))
        self.faulty.url = self.faulty.url.replace("127.0.0.1", "receiver.test")

    def test_a_name_that_is_gone_delays_only_its_own_receiver(self):
        self.faulty.start()
        self.push(under=self.under)
        self.traffic()
        self.reference.wait_collections(15)
        self.assertEqual(self.faulty.update().records, [])
        self.assertTrue(self.silent.recv(512), "it was asked for")
        self.hosts.write_text(self.NAMELESS + "127.0.0.1 receiver.test\n")
        self.finish()
        self.assert_delivered()


# --- the clock --------------------------------------------------------------

class Clock(DeliveryTestCase):
    """libfaketime stands between the daemon and the wall clock, and leaves the other
    clocks alone."""

    def setUp(self):
        super().setUp()
        self.offset = write_file("clock", "+0\n")
        library, = pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self.env = {"LD_PRELOAD": str(library), "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_TIMESTAMP_FILE": str(self.offset),
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def test_an_hour_back_loses_nothing_and_repeats_nothing(self):
        self.faulty.start()
        self.push(env=self.env)
        self.traffic()
        self.reference.wait_collections(5)
        before = self.reference.newest_ms()
        self.offset.write_text("-3600\n")
        self.reference.wait_collections(10)
        self.assert_spacing(before)
        self.kill()
        self.traffic()
        self.push(env=self.env)
        self.reference.wait_collections(5)
        self.finish()
        self.assert_delivered(kills=1)
        self.assertGreaterEqual(len(re.findall("(?i)clock", self.daemons[0].log())), 1)

    def assert_spacing(self, before):
        """Forward, and as far as time went: within an eighth, and what a machine
        with much to do adds."""
        times = [at for at in self.reference.times() if at >= before]
        for earlier, later in zip(times, times[1:]):
            self.assertLess(later - earlier, GAP_MS)
        real = (len(times) - 1) * self.interval_ms
        self.assertGreater(times[-1] - times[0], real * 3 / 4)

    def test_a_day_back_is_followed(self):
        """Then it was the time before that was wrong; series go on from there."""
        self.push(env=self.env)
        self.reference.wait_collections(3)
        self.offset.write_text("-86400\n")
        wait_until(lambda: self.reference.update().records[-1]["disorder"],
                   "samples of yesterday")
