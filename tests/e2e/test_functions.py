# SPDX-License-Identifier: Apache-2.0
"""Functions as metrics: programs that call theirs an exact number of times, in every
language, in every way that a call can end, and that are as they were afterwards."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

from harness import (BPFTALLY, PROGRAMS, Process, TestCase, bpf_before, free_port, load,
                     run, wait_until, write_file)
from servers import GO, PYTHON, Gopher, built, copied, gopher

C = ("gcc", "-O2", "-pthread")
LIBRARY = "liblend.so.1"
# Upper bounds of calls that do nothing and of those that sleep for half a second; far
# apart, for machines that do other things meanwhile.
QUICK, SLEEP_MS, SLOW = 0.25, 500, 10


# --- programs ---------------------------------------------------------------

def lend_library():
    return built(LIBRARY, "lend.c", "gcc", "-O2", "-shared", "-fPIC",
                 f"-Wl,-soname,{LIBRARY}")


def calls_binary():
    return built("calls", "calls.c", *C)


def go_binary(*options):
    name = "shop-go" + "".join(options).replace("=", "").replace(" ", "")
    return built(name, "shop.go", "go", "build", *options, env=GO)


class Target(Process):
    """A program that answers each line of its input with one line, "= ..."."""

    def __init__(self, *argv, **keywords):
        super().__init__(argv, stdin=subprocess.PIPE, **keywords)
        self.asked = 0

    def send(self, line):
        self.child.stdin.write(f"{line}\n".encode())
        self.child.stdin.flush()
        self.asked += 1

    def answers(self):
        return re.findall(r"^= (.*)\n", self.output(), re.M)

    def answer(self, deadline_s=30):
        """The numbers of the answer to the last line that was sent."""
        def answered():
            if not self.alive() and len(self.answers()) < self.asked:
                raise AssertionError(f"{self.name} ended with {self.child.returncode}")
            return len(self.answers()) >= self.asked
        wait_until(answered, f"{self.name} to answer", deadline_s, every_s=0.005)
        numbers = [int(word) for word in self.answers()[self.asked - 1].split()]
        return numbers[0] if len(numbers) == 1 else numbers

    def ask(self, line):
        self.send(line)
        return self.answer()


# --- rules ------------------------------------------------------------------

def rule(metric, function, exe=None, **keys):
    """An entry of `functions`, in YAML's flow style."""
    keys = {"metric": metric, "function": function, "exe": exe, **keys}
    return "- {" + ", ".join(
        f"{key}: {_flow(value)}" for key, value in keys.items()
        if value is not None) + "}"


def _flow(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(each) for each in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else f'"{value}"'


def counter(metric, function, exe=None, **keys):
    return rule(metric, function, exe, type="counter", **keys)


def latency(metric, function, exe=None, **keys):
    """In three buckets: hardly any time, half a second, and what no call takes."""
    return rule(metric, function, exe, **{"buckets": [QUICK, SLOW], **keys})


class FunctionCase(TestCase):
    def observe(self, *rules, wait=None):
        """bpftally with these rules; `wait`: {metric: functions} to have probes."""
        daemon = self.bpftally(config="functions:\n" + "\n".join(rules) + "\n",
                               listen=True)
        if wait:
            self.wait_probed(daemon, wait)
        return daemon

    def wait_probed(self, daemon, wanted):
        wait_until(lambda: all(self.probed(daemon, metric) == count
                               for metric, count in wanted.items()),
                   f"probes in {wanted}")

    @staticmethod
    def address(exe, function):
        listed = run(["nm", exe]).stdout
        return int(re.search(rf"^(\w+) \w {function}$", listed, re.M)[1], 16)

    @staticmethod
    def probed(daemon, metric):
        return int(daemon.metrics().total("bpftally_function_probed", metric=metric))

    def target(self, *argv, **keywords):
        return self.start(Target(*argv, **keywords))

    def assert_ledger(self, daemon, **expected):
        missed = {have["reason"]: int(value) for have, value in
                  daemon.metrics().select("bpftally_function_missed_total") if value}
        self.assertEqual(missed, expected, "the ledger of function metrics")

    def assert_total(self, daemon, metric, expected, **labels):
        self.assertEqual(daemon.metrics().total(metric, **labels), expected, metric)

    def assert_series(self, daemon, metric, label, expected):
        have = {labels[label]: value
                for labels, value in daemon.metrics().select(metric)}
        self.assertEqual(have, expected, metric)

    def assert_latency(self, daemon, metric, buckets):
        """{le: calls}, not cumulative; the rest of the buckets are empty."""
        below, have = 0, {}
        for bound, count in sorted(daemon.metrics().buckets(metric).items()):
            if count > below:
                have[bound] = count - below
            below = count
        self.assertEqual(have, buckets, metric)


# --- C ----------------------------------------------------------------------

class Calls(FunctionCase):
    """What a call adds."""

    def setUp(self):
        super().setUp()
        self.exe = copied(calls_binary())

    def test_calls_and_sums_of_arguments_from_threads(self):
        daemon = self.observe(
            counter("calls_total", "work", self.exe),
            counter("numbers_total", "work", self.exe, value="arg1"),
            counter("kinds_total", "work", self.exe, value="(arg1 - arg3)",
                    value_type="int"),
            rule("last_number", "work", self.exe, type="gauge", value="arg1"),
            rule("sizes", "work", self.exe, value="arg1", buckets=[1, 10, 100]))
        target = self.target(self.exe)
        target.ask("work 8 1000")
        self.assert_total(daemon, "calls_total", 8000)
        self.assert_total(daemon, "numbers_total", 8 * 500500)
        # kinds are -1, 0, 1, 2 in turn; 1 - 2 is nothing that a counter takes
        self.assert_total(daemon, "kinds_total", 8 * 500500 - 2 * 2 * 1000 + 2)
        self.assert_ledger(daemon, negative=2)
        self.assert_total(daemon, "last_number", 1000)
        self.assert_latency(daemon, "sizes",
                            {1: 8, 10: 72, 100: 720, float("inf"): 7200})
        self.assert_total(daemon, "sizes_sum", 8 * 500500)

    def test_labels_of_strings_integers_and_results(self):
        daemon = self.observe(
            counter("names_total", "work", self.exe,
                    labels={"name": {"arg": 2, "type": "string"}}),
            counter("kinds_total", "work", self.exe,
                    labels={"kind": {"arg": 3, "values": {-1: "none", 0: "one"}}}),
            counter("ends_total", "work", self.exe, labels={
                "end": {"return": True, "type": "long", "values": {0: "zero"}}}))
        self.target(self.exe).ask("work 4 1000")
        self.assertEqual(
            sorted((have.get("name", ""), value) for have, value
                   in daemon.metrics().select("names_total")),
            [("", 1000), ("gold", 1000), ("silver", 1000), ("tin", 1000)])
        self.assert_series(daemon, "kinds_total", "kind",
                           {"none": 1000, "one": 1000, "other": 2000})
        self.assert_series(daemon, "ends_total", "end", {"zero": 800, "other": 3200})
        self.assert_ledger(daemon)

    def test_labels_beyond_their_cap_are_other_and_totals_exact(self):
        daemon = self.observe(counter(
            "capped_total", "work", self.exe,
            labels={"number": {"arg": 1, "type": "long", "max_values": 10}}))
        target = self.target(self.exe)
        # Of threads that bring the last label at once, one takes its place, and others
        # may find neither that nor room (docs/metrics.md).
        target.ask("work 1 10")
        target.ask("work 4 100")
        series = daemon.metrics().select("capped_total")
        self.assertEqual(len(series), 11)
        self.assertEqual(sum(value for _, value in series), 410)
        self.assert_total(daemon, "capped_total", 360, number="other")
        self.assert_ledger(daemon, labels_full=360)

    def test_only_calls_that_return_so(self):
        daemon = self.observe(
            counter("negative_total", "work", self.exe, returns="negative",
                    returns_type="long"),
            counter("null_total", "work", self.exe, returns="NULL"),
            counter("more_total", "work", self.exe, returns="non-zero"),
            counter("gained_total", "work", self.exe, value="(return - arg1)",
                    value_type="long", returns="NULL"),
            counter("returned_total", "hop", self.exe, value="return",
                    value_type="long"))
        target = self.target(self.exe)
        target.ask("work 4 1000")
        self.assert_total(daemon, "negative_total", 800)
        self.assert_total(daemon, "null_total", 800)
        self.assert_total(daemon, "more_total", 3200)
        self.assert_ledger(daemon, negative=800)  # 0 - arg1, which no counter takes

    def test_latency_of_a_known_sleep_in_its_bucket(self):
        daemon = self.observe(latency("doze_seconds", "doze", self.exe))
        target = self.target(self.exe)
        outside_ns = target.ask(f"doze 18 1 {SLEEP_MS}")
        inside_ns = target.ask("slept")
        self.assert_latency(daemon, "doze_seconds", {SLOW: 18})
        self.assert_total(daemon, "doze_seconds_count", 18)
        seconds = daemon.metrics().total("doze_seconds_sum")
        self.assertLess(inside_ns, seconds * 1e9)
        self.assertLess(seconds * 1e9, outside_ns)
        self.assert_ledger(daemon)

    def test_quantiles_of_a_summary(self):
        daemon = self.observe(
            rule("doze_seconds", "doze", self.exe, type="summary"),
            rule("numbers", "work", self.exe, type="summary", value="arg1",
                 quantiles=[0.1, 0.5, 1]))
        target = self.target(self.exe)
        target.ask(f"doze 10 1 {SLEEP_MS}")
        target.ask("work 4 1000")
        metrics = daemon.metrics()
        self.assertEqual(metrics.total("doze_seconds_count"), 10)
        self.assertEqual(metrics.total("numbers_sum"), 4 * 500500)
        self.assertGreater(metrics.total("doze_seconds", quantile="0.5"),
                           SLEEP_MS / 1000 * 0.955)
        for quantile in (0.1, 0.5, 1):
            [(_, value)] = [(have, value) for have, value in metrics.select("numbers")
                            if float(have["quantile"]) == quantile]
            self.assertLess(abs(value - 1000 * quantile), 45 * quantile, quantile)

    def test_calls_in_progress(self):
        daemon = self.observe(rule("held", "hold", self.exe, type="gauge",
                                   value="in_progress"))
        target = self.target(self.exe)
        target.ask("hold 5")
        wait_until(lambda: daemon.metrics().total("held") == 5, "five calls")
        target.send("release 5")
        target.answer()
        self.assert_total(daemon, "held", 0)
        self.assert_ledger(daemon)

    def test_calls_in_progress_end_with_their_process(self):
        daemon = self.observe(rule("held", "hold", self.exe, type="gauge",
                                   value="in_progress"))
        target = self.target(self.exe)
        target.ask("hold 3")
        wait_until(lambda: daemon.metrics().total("held") == 3, "three calls")
        target.kill()
        wait_until(lambda: daemon.metrics().total("held") == 0, "no calls")
        wait_until(lambda: daemon.metrics().total(
            "bpftally_function_missed_total", reason="abandoned") == 3, "the ledger")

    def test_two_functions_feed_one_metric(self):
        daemon = self.observe(
            counter("both_total", "work", self.exe, labels={"of": "work"}),
            counter("both_total", "hop", self.exe, labels={"of": "hop"}))
        self.target(self.exe).ask("plain 100")
        self.assert_series(daemon, "both_total", "of", {"work": 200, "hop": 100})

    def test_on_the_command_line(self):
        daemon = self.bpftally("--function", f"{self.exe}:doze")
        self.target(self.exe).ask("doze 1 3 1")
        self.assert_total(daemon, "doze_duration_seconds_count", 3)

    def test_a_function_by_its_address(self):
        daemon = self.observe(counter("calls_total", hex(self.address(self.exe, "work")),
                                      self.exe))
        self.target(self.exe).ask("work 2 30")
        self.assert_total(daemon, "calls_total", 60)

    def test_programs_at_a_fixed_address_and_with_all_libraries_inside(self):
        exes = [copied(built(f"calls{option}", "calls.c", *C, "-w", option))
                for option in ("-no-pie", "-static", "-static-pie")]
        daemon = self.observe(latency("work_seconds", "work", exes),
                              counter("calls_total", "hop", exes))
        for exe in exes:
            self.target(exe).ask("plain 100")
        self.assert_total(daemon, "work_seconds_count", 3 * 200)
        self.assert_total(daemon, "calls_total", 3 * 100)

    def test_pid_selects(self):
        one, two = (self.target(self.exe) for _ in range(2))
        daemon = self.observe(counter("calls_total", "work", pid=two.pid))
        one.ask("work 2 30")
        two.ask("work 2 40")
        self.assert_total(daemon, "calls_total", 80)


class Services(FunctionCase):
    """Processes by the names of their services: of one program, some."""

    def setUp(self):
        super().setUp()
        self.exe = copied(calls_binary())

    def named(self, name):
        return self.target("env", f"OTEL_SERVICE_NAME={name}", self.exe)

    @staticmethod
    def await_member(daemon, target):
        def counts():
            before = daemon.metrics().total("calls_total")
            target.ask("work 1 1")
            return daemon.metrics().total("calls_total") > before
        wait_until(counts, f"calls of {target.name} to count")

    def test_processes_that_run_already_and_that_come(self):
        shop, till = self.named("shop-eu"), self.named("till")
        daemon = self.observe(
            counter("calls_total", "work", service="shop-*"),
            counter("named_total", "work", self.exe, service=["till", "none"]))
        shop.ask("work 2 30")
        till.ask("work 2 40")
        self.assert_total(daemon, "calls_total", 60)
        self.assert_total(daemon, "named_total", 80)
        second, other = self.named("shop-us"), self.named("shop")
        self.await_member(daemon, second)
        before = daemon.metrics().total("calls_total")
        other.ask("work 2 50")
        second.ask("work 2 60")
        self.assert_total(daemon, "calls_total", before + 120)
        self.assert_total(daemon, "named_total", 80)
        self.assert_ledger(daemon)

    def test_children_are_of_their_parent_s_service(self):
        shop = self.named("shop")
        daemon = self.observe(counter("calls_total", "work", service="shop"),
                              counter("all_total", "work", self.exe))
        self.assertEqual(shop.ask("fork 20"), 20)
        self.assert_total(daemon, "calls_total", 20)
        self.assert_total(daemon, "all_total", 20)

    def test_a_library_of_a_service_only(self):
        library = copied(lend_library())
        shop, other = self.named("shop"), self.named("other")
        daemon = self.observe(counter("lent_total", "lend", lib=library, service="shop"))
        for target, calls in ((shop, 30), (other, 50)):
            target.ask(f"load {library} {calls}")
        self.assert_total(daemon, "lent_total", 30)

    def test_the_option_names_all(self):
        shop = self.target(self.exe)
        daemon = self.bpftally("--service", "mine", listen=True, config="functions:\n" +
                               counter("calls_total", "work", self.exe, service="mine") + "\n")
        shop.ask("work 2 30")
        self.assert_total(daemon, "calls_total", 60)

    def test_a_check_says_that_there_is_none(self):
        config = write_file("services.yaml", "functions:\n" + counter(
            "calls_total", "work", service="no-such-service") + "\n")
        checked = run([BPFTALLY, "--check-config", config, "--probe"], check=False)
        self.assertEqual(checked.returncode, 1, checked.stderr)
        self.assertIn('metric "calls": no process is of such a service', checked.stderr)


class WaysOut(FunctionCase):
    """However a call ends: no wrong latency, and what is lost is in the ledger."""

    def setUp(self):
        super().setUp()
        self.exe = copied(calls_binary())

    def test_a_tail_call_out_is_a_return(self):
        daemon = self.observe(latency("hop_seconds", "hop", self.exe),
                              latency("work_seconds", "work", self.exe))
        self.target(self.exe).ask("hop 4 500")
        self.assert_latency(daemon, "hop_seconds", {QUICK: 2000})
        self.assert_latency(daemon, "work_seconds", {QUICK: 2000})
        self.assert_ledger(daemon)

    def test_recursion(self):
        daemon = self.observe(latency("dive_seconds", "dive", self.exe),
                              latency("doze_seconds", "doze", self.exe))
        self.assertEqual(self.target(self.exe).ask(f"dive 6 1 {SLEEP_MS}"), 6 * 136)
        # the call at depth 8 sleeps, and those above it wait for it
        self.assert_latency(daemon, "dive_seconds", {QUICK: 6 * 7, SLOW: 6 * 9})
        self.assert_latency(daemon, "doze_seconds", {SLOW: 6})
        self.assert_ledger(daemon)

    def test_recursion_deeper_than_is_followed(self):
        daemon = self.observe(latency("dive_seconds", "dive", self.exe),
                              counter("dives_total", "dive", self.exe))
        target = self.target(self.exe)
        self.assertEqual(target.ask("plunge 3 100"), 3 * 5050)
        self.assert_total(daemon, "dives_total", 300)
        self.assert_latency(daemon, "dive_seconds", {QUICK: 3 * 24})
        self.assert_ledger(daemon, too_deep=3 * 76)
        self.assertEqual(target.ask("plunge 3 10"), 3 * 55)
        self.assert_latency(daemon, "dive_seconds", {QUICK: 3 * 34})

    def test_longjmp(self):
        daemon = self.observe(latency("jump_seconds", "jump", self.exe),
                              latency("pass_seconds", "pass", self.exe))
        self.assertEqual(self.target(self.exe).ask("jump 2 100"), 100)
        self.assert_latency(daemon, "jump_seconds", {QUICK: 100})
        self.assert_latency(daemon, "pass_seconds", {QUICK: 100})
        self.wait_ledger(daemon, abandoned=200)

    def wait_ledger(self, daemon, **expected):
        """What is lost with a thread is there once the kernel has ended it."""
        def complete():
            return all(daemon.metrics().total("bpftally_function_missed_total",
                                              reason=reason) >= count
                       for reason, count in expected.items())
        wait_until(complete, f"the ledger to have {expected}")
        self.assert_ledger(daemon, **expected)

    def test_pthread_exit_and_cancellation(self):
        daemon = self.observe(latency("leave_seconds", "leave", self.exe))
        target = self.target(self.exe)
        self.assertEqual(target.ask("leave 20 1"), 20, "clean-up handlers")
        self.assertEqual(target.ask("leave 20 2"), 40, "clean-up handlers")
        self.assert_latency(daemon, "leave_seconds", {QUICK: 40})
        self.wait_ledger(daemon, abandoned=40)

    def test_fork(self):
        daemon = self.observe(latency("split_seconds", "split", self.exe),
                              counter("calls_total", "work", self.exe))
        self.assertEqual(self.target(self.exe).ask("fork 20"), 20)
        self.assert_latency(daemon, "split_seconds", {QUICK: 20})
        self.assert_total(daemon, "calls_total", 20)
        # the child returns from a call that its parent made
        self.wait_ledger(daemon, unentered=20)

    def test_exec(self):
        daemon = self.observe(latency("become_seconds", "become", self.exe),
                              counter("calls_total", "work", self.exe))
        target = self.target(self.exe)
        target.ask("hold 3")
        for in_a_thread in (0, 1):
            self.assertEqual(target.ask(f"exec {in_a_thread}"), 0)
        target.ask("work 2 10")
        self.assert_total(daemon, "calls_total", 20)
        self.assert_latency(daemon, "become_seconds", {})
        self.wait_ledger(daemon, abandoned=2)

    def test_the_end_of_the_process(self):
        daemon = self.observe(
            latency("hold_seconds", "hold", self.exe),
            rule("held", "hold", self.exe, type="gauge", value="in_progress"))
        target = self.target(self.exe)
        target.ask("hold 4")
        wait_until(lambda: daemon.metrics().total("held") == 4, "four calls")
        target.child.stdin.close()
        self.assertEqual(target.wait(), 0)
        self.assert_latency(daemon, "hold_seconds", {})
        self.wait_ledger(daemon, abandoned=8)

    def test_a_stack_that_is_changed_inside(self):
        exe = copied(built("weave", "weave.c", "gcc", "-O2"))
        daemon = self.observe(latency("step_seconds", "step", exe),
                              counter("numbers_total", "step", exe, value="arg1"))
        self.assertEqual(self.target(exe).ask(100), [9900, -9801])
        # the right side's last call is never returned to
        self.assert_latency(daemon, "step_seconds", {QUICK: 199})
        self.assert_total(daemon, "numbers_total", 9900)
        self.assert_ledger(daemon)

    def test_a_process_that_may_only_read_and_write(self):
        for strict in (0, 1):
            with self.subTest(strict=strict):
                daemon = self.observe(latency("work_seconds", "work", self.exe),
                                      latency("hop_seconds", "hop", self.exe))
                target = self.target(self.exe)
                target.ask(f"confine {strict}")
                self.assertEqual(target.ask("plain 1000"), target.ask("plain 1000"))
                self.assert_total(daemon, "work_seconds_count", 4000)
                self.assert_total(daemon, "hop_seconds_count", 2000)
                daemon.stop()
                target.ask("plain 1000")


# --- C++, Rust --------------------------------------------------------------

class Unwinding(FunctionCase):
    """Exceptions and panics through probed functions: the program must not notice."""

    def setUp(self):
        super().setUp()
        library = lend_library()
        self.exe = copied(built(
            "shop-cpp", "shop.cpp", "g++", "-O2", "-pthread", "-Wl,-rpath,$ORIGIN",
            f"-Wl,--no-as-needed,{library}"), library)
        self.library = self.exe.with_name(LIBRARY)

    def test_exceptions_thrown_in_and_through_functions(self):
        daemon = self.observe(
            latency("checkout_seconds", "shop::checkout", self.exe,
                    labels={"tier": {"arg": 2, "type": "string"}}),
            latency("order_seconds", "shop::order(int)", self.exe))
        target = self.target(self.exe)
        self.assertEqual(target.ask("order 4 300"), [400, 1200])
        self.assert_latency(daemon, "checkout_seconds", {QUICK: 800})
        self.assert_latency(daemon, "order_seconds", {QUICK: 800})
        self.assert_total(daemon, "checkout_seconds_count", 800, tier="gold")
        # a call at the place of one that never came back, or the end of its thread
        wait_until(lambda: daemon.metrics().total(
            "bpftally_function_missed_total", reason="abandoned") >= 800, "the ledger")
        self.assert_ledger(daemon, abandoned=800)

    def test_an_exception_through_a_library_of_c(self):
        daemon = self.observe(latency("visit_seconds", "visit", lib=self.library))
        target = self.target(self.exe)
        self.assertEqual(target.ask("visit 0 100"), [50, 150])
        self.assert_latency(daemon, "visit_seconds", {QUICK: 50})
        # the last one's place is not called at any more
        self.assertEqual(target.ask("visit 0 1"), [0, 1])
        self.assert_ledger(daemon, abandoned=50)

    def test_pthread_exit_runs_destructors(self):
        daemon = self.observe(latency("leave_seconds", "shop::leave", self.exe))
        target = self.target(self.exe)
        self.assertEqual(target.ask("leave 0 5"), [1, 7])
        self.assert_latency(daemon, "leave_seconds", {QUICK: 5})

    def test_a_template_by_a_glob_and_by_its_name(self):
        daemon = self.observe(
            counter("adds_total", "shop::Basket<*>::add*", self.exe),
            counter("longs_total", "shop::Basket<long>::add", self.exe, value="arg2"))
        target = self.target(self.exe)
        self.assertEqual(target.ask("add 0 100"), [10100, 0])
        self.assert_total(daemon, "adds_total", 200)
        self.assert_total(daemon, "longs_total", 5050)

    def test_a_probe_of_libstdcxx(self):
        daemon = self.observe(counter("throws_total", "usdt:libstdcxx:throw",
                                      lib="libstdc++.so.6", exe=self.exe))
        target = self.target(self.exe)
        self.assertEqual(target.ask("order 4 300"), [400, 1200])
        self.assert_total(daemon, "throws_total", 400)


class Rust(FunctionCase):
    def setUp(self):
        super().setUp()
        self.exe = copied(built("shop-rust", "shop.rs", "rustc", "-C", "opt-level=2"))

    def test_panics_through_functions(self):
        daemon = self.observe(
            latency("checkout_seconds", "shop::market::checkout", self.exe),
            counter("baskets_total", "shop::market::checkout", self.exe,
                    value="arg1"))
        target = self.target(self.exe)
        self.assertEqual(target.ask("checkout 4 300 0"), 400)
        self.assert_latency(daemon, "checkout_seconds", {QUICK: 800})
        self.assert_total(daemon, "baskets_total", 4 * 45150)
        wait_until(lambda: daemon.metrics().total(
            "bpftally_function_missed_total", reason="abandoned") >= 400, "the ledger")
        self.assert_ledger(daemon, abandoned=400)

    def test_latency_and_methods(self):
        daemon = self.observe(
            latency("checkout_seconds", "shop::market::checkout", self.exe),
            counter("prices_total", "shop::market::Stall::sell", self.exe,
                    value="arg2"))
        target = self.target(self.exe)
        target.ask(f"checkout 6 1 {SLEEP_MS}")
        self.assertEqual(target.ask("sell 4 100 0"), 4 * 10100)
        self.assert_latency(daemon, "checkout_seconds", {SLOW: 6})
        self.assert_total(daemon, "prices_total", 4 * 5050)


# --- Go ---------------------------------------------------------------------

class Go(FunctionCase):
    """Goroutines change threads and stacks while a call is under way."""

    options = ()

    def setUp(self):
        super().setUp()
        self.exe = copied(go_binary(*self.options))

    def test_calls_arguments_strings_and_results(self):
        daemon = self.observe(
            counter("calls_total", "main.checkout", self.exe,
                    labels={"tier": {"arg": 2, "type": "string"}}),
            counter("baskets_total", "main.checkout", self.exe, value="arg1"),
            counter("last_total", "main.checkout", self.exe, value="arg4",
                    value_type="int", labels={"negative": "no"}),
            counter("refused_total", "main.checkout", self.exe, returns="negative",
                    returns_type="long"),
            counter("added_total", "main.(*Basket).Add", self.exe, value="arg2"))
        target = self.target(self.exe)
        target.ask("checkout 40 100")
        self.assertEqual(target.ask("add 0 100"), 4 * 5050)
        self.assertEqual(
            sorted((have.get("tier", ""), value) for have, value
                   in daemon.metrics().select("calls_total")),
            [("", 1000), ("gold", 1000), ("silver", 1000), ("tin", 1000)])
        self.assert_total(daemon, "baskets_total", 40 * 5050)
        self.assert_total(daemon, "last_total", 10 * 100 * (1 + 2))
        self.assert_total(daemon, "refused_total", 40 * 20)
        self.assert_total(daemon, "added_total", 4 * 5050)
        self.assert_ledger(daemon, negative=1000)

    def test_latency_of_goroutines_that_change_threads(self):
        daemon = self.observe(latency("wander_seconds", "main.wander", self.exe))
        target = self.target(self.exe)
        self.assertEqual(target.ask(f"wander 200 {SLEEP_MS}"), 200)
        self.assertGreater(target.ask("moved"), 0, "no goroutine changed its thread")
        self.assert_latency(daemon, "wander_seconds", {SLOW: 200})
        self.assert_ledger(daemon)

    def test_a_stack_that_grows_while_calls_are_under_way(self):
        daemon = self.observe(latency("grow_seconds", "main.grow", self.exe),
                              counter("deep_total", "main.deepen", self.exe))
        target = self.target(self.exe)
        self.assertEqual(target.ask("grow 20 2000"), 40000)
        self.assert_latency(daemon, "grow_seconds", {QUICK: 20})
        self.assert_total(daemon, "deep_total", 20 * 2001)
        self.assert_ledger(daemon)

    def test_panics_that_are_recovered(self):
        daemon = self.observe(latency("fail_seconds", "main.fail", self.exe),
                              latency("caught_seconds", "main.caught", self.exe))
        target = self.target(self.exe)
        self.assertEqual(target.ask("fail 8 300"), 800)
        # fail is left by a panic; caught, which recovers from it, returns
        self.assert_latency(daemon, "fail_seconds", {QUICK: 1600})
        self.assert_latency(daemon, "caught_seconds", {QUICK: 2400})


class StrippedGo(Go):
    """By the names that the runtime itself needs."""

    options = ("-ldflags=-s -w",)


# --- files ------------------------------------------------------------------

class Files(FunctionCase):
    """What a rule names is a file; files come, go, and have several names."""

    def setUp(self):
        super().setUp()
        self.exe = copied(calls_binary())

    def rules(self, exe=None):
        return (counter("calls_total", "work", exe or self.exe),
                latency("hop_seconds", "hop", exe or self.exe))

    def assert_calls(self, daemon, rounds, functions=1):
        """Of as many times `plain 100`."""
        self.assert_total(daemon, "calls_total", 200 * rounds)
        self.assert_total(daemon, "hop_seconds_count", 100 * rounds)
        self.assertEqual(self.probed(daemon, "calls"), functions)

    def test_a_process_that_starts_later_from_its_first_call(self):
        daemon = self.observe(*self.rules())
        for _ in range(10):
            run([self.exe, 100])
        self.assert_calls(daemon, 10)

    def test_a_file_that_comes_later(self):
        self.exe.unlink()
        daemon = self.observe(*self.rules())
        self.assertIn("no such file yet", daemon.log())
        shutil.copy(calls_binary(), self.exe)
        self.wait_probed(daemon, {"calls": 1, "hop_seconds": 1})
        run([self.exe, 100])
        self.assert_calls(daemon, 1)

    def shifted(self):
        """The same program with its functions at other places."""
        return copied(built("calls-shifted", "calls.c", *C, "-DSHIFTED"))

    def test_a_file_that_is_replaced(self):
        daemon = self.observe(*self.rules())
        old = self.target(self.exe)
        old.ask("plain 100")
        self.shifted().rename(self.exe)
        self.wait_probed(daemon, {"calls": 2, "hop_seconds": 2})
        run([self.exe, 100])
        old.ask("plain 100")
        self.assert_calls(daemon, 3, functions=2)

    def test_a_file_that_is_written_to(self):
        daemon = self.observe(*self.rules())
        run([self.exe, 100])
        for round_number, binary in ((2, self.shifted()), (3, calls_binary())):
            shutil.copy(binary, self.exe)
            wait_until(lambda n=round_number: daemon.log().count(
                'metric "hop_seconds": 1 function') == n, "new probes")
            self.assertEqual(run([self.exe, 100]).stdout, run([binary, 100]).stdout)
            self.assert_calls(daemon, round_number)

    def test_a_file_that_is_deleted(self):
        one = self.target(self.exe)
        one.ask("plain 100")
        self.exe.unlink()
        daemon = self.observe(*self.rules())
        one.ask("plain 100")
        self.assert_calls(daemon, 1)

    def test_several_names_of_one_file_are_one(self):
        linked, bound = self.exe.with_name("linked"), self.exe.with_name("bound")
        os.link(self.exe, linked)
        bound.touch()
        run(["mount", "--bind", self.exe, bound])
        self.addCleanup(run, ["umount", bound])
        daemon = self.observe(*self.rules([str(each) for each in
                                           (self.exe, linked, bound)]))
        for path in (self.exe, linked, bound):
            run([path, 100])
        self.assert_calls(daemon, 3)

    def test_namespaces_of_mounts_and_processes(self):
        hidden = self.exe.parent / "hidden"
        hidden.mkdir()
        daemon = self.observe(*self.rules(hidden / "calls"))
        target = self.target(
            "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
            "sh", "-c", f"mount -t tmpfs none {hidden} && cp {self.exe} {hidden} &&"
            f" exec {hidden}/calls")
        target.ask("slept")
        self.assertFalse((hidden / "calls").exists())
        self.wait_probed(daemon, {"calls": 1, "hop_seconds": 1})
        target.ask("plain 100")
        self.assert_calls(daemon, 1)
        target.kill()  # unshare waits for ever

    def test_a_library_that_is_loaded_later(self):
        library = copied(lend_library())
        daemon = self.observe(counter("lent_total", "lend", lib=library, value="arg1"))
        target = self.target(self.exe)
        target.ask("plain 10")
        self.assertEqual(target.ask(f"load {library} 100"), 3 * 5050)
        self.assert_total(daemon, "lent_total", 5050)

    def test_a_library_of_some_programs_only(self):
        library = copied(lend_library())
        other = copied(calls_binary(), name="other")
        daemon = self.observe(counter("lent_total", "lend", self.exe, lib=library))
        for exe, calls in ((self.exe, 30), (other, 50)):
            self.target(exe).ask(f"load {library} {calls}")
        self.assert_total(daemon, "lent_total", 30)


# --- coming and going -------------------------------------------------------

class Life(FunctionCase):
    def setUp(self):
        super().setUp()
        self.exe = copied(calls_binary())
        self.before = bpf_before()

    def rules(self):
        return (counter("calls_total", "work", self.exe),
                latency("hop_seconds", "hop", self.exe),
                rule("work_seconds", "work", self.exe, type="summary"))

    def counted(self, daemon, calls=20000):
        wait_until(lambda: daemon.metrics().total("calls_total") > calls and
                   daemon.metrics().total("hop_seconds_count") > calls / 10, "calls")

    def test_attached_and_detached_under_ten_million_calls(self):
        target = self.target(self.exe)
        code = target.ask("code")
        target.ask("spin 4")
        for _ in range(2):
            daemon = self.observe(*self.rules())
            self.counted(daemon)
            self.assertEqual(daemon.terminate()[0], 0)
            self.assert_nothing_left(self.before)
        self.assertGreaterEqual(target.ask("halt 4"), 10_000_000)
        self.assertEqual(target.ask("code"), code)

    def test_killed_under_load(self):
        target = self.target(self.exe)
        code = target.ask("code")
        target.ask("spin 4")
        daemon = self.observe(*self.rules())
        self.counted(daemon)
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.process.wait()
        self.assert_nothing_left(self.before)
        wait_until(lambda: target.ask("code") == code, "the code as it was", 10)
        self.assertGreaterEqual(target.ask("halt 4"), 10_000_000)

    def test_calls_under_way_as_it_comes_and_goes(self):
        target = self.target(self.exe)
        target.ask("hold 3")
        for _ in range(2):
            daemon = self.observe(latency("hold_seconds", "hold", self.exe))
            target.ask("work 1 1")
            self.assertEqual(daemon.terminate()[0], 0)
        target.send("release 3")
        self.assertEqual(target.answer(), 3)


# --- programs of the distribution -------------------------------------------

class RealPrograms(FunctionCase):
    def test_malloc_of_redis(self):
        port = free_port()
        redis = self.start(Process(["redis-server", "--port", port, "--save", ""]),
                           port)
        maps = pathlib.Path(f"/proc/{redis.pid}/maps").read_text(encoding="utf-8")
        library = "libjemalloc.so.2" if "libjemalloc.so.2" in maps else "libc.so.6"
        where = {"lib": library, "pid": redis.pid}
        daemon = self.observe(
            rule("malloc_bytes", "malloc", value="arg1", buckets=[4_000_000, 5_000_000], **where),
            latency("malloc_seconds", "malloc", **where),
            counter("mallocs_total", "malloc", **where))
        before = daemon.metrics().buckets("malloc_bytes")
        for i in range(20):
            run(["redis-cli", "-p", port, "setrange", f"key{i}", 4_500_000, "x"])
        metrics = daemon.metrics()
        sizes = metrics.buckets("malloc_bytes")
        self.assertEqual(before[5e6] - before[4e6], 0)
        self.assertEqual(sizes[5e6] - sizes[4e6], 20)
        self.assertEqual(metrics.total("mallocs_total"), sizes[float("inf")])
        self.assertEqual(metrics.total("malloc_seconds_count"),
                         metrics.total("mallocs_total"))
        self.assert_ledger(daemon)

    def python(self, code):
        """One that runs the code for each line of its input, which is `line`."""
        return self.target(PYTHON, "-c", "import gc, sys; gc.disable()\n"
                           f"for line in sys.stdin: {code}; print('= 0', flush=True)")

    def test_sqlite_in_python(self):
        python = self.python(
            "import sqlite3; c = sqlite3.connect(':memory:');"
            " [c.execute('values (1), (2), (3)').fetchall() for _ in range(50)]")
        where = {"lib": "libsqlite3.so.0", "pid": python.pid}
        daemon = self.observe(
            counter("steps_total", "sqlite3_step", labels={
                "result": {"return": True, "values": {100: "row", 101: "done"}}},
                **where),
            latency("step_seconds", "sqlite3_step", **where))
        python.ask("go")
        self.assert_series(daemon, "steps_total", "result", {"row": 150, "done": 50})
        self.assert_latency(daemon, "step_seconds", {QUICK: 200})
        self.assert_ledger(daemon)

    def test_handlers_of_a_go_server(self):
        exe = gopher("handlers")
        daemon = self.observe(
            latency("handler_seconds", "net/http.HandlerFunc.ServeHTTP", exe),
            latency("serve_seconds", "net/http.serverHandler.ServeHTTP", exe))
        server = self.start(Gopher(exe))
        wait_until(lambda: answers(server.port), "the server")
        load(server.port, "/hello", 2000, 8)
        self.assert_latency(daemon, "handler_seconds", {QUICK: 2001})
        self.assert_latency(daemon, "serve_seconds", {QUICK: 2001})
        self.assert_ledger(daemon)

    def test_a_probe_of_python(self):
        python = self.python("[gc.collect(i % 3) for i in range(int(line))]")
        daemon = self.observe(
            counter("collections_total", "usdt:python:gc__start", pid=python.pid,
                    labels={"generation": {"arg": 1}}),
            counter("collected_total", "usdt:python:gc__done", pid=python.pid,
                    value="arg1"))
        python.ask(30)
        self.assert_series(daemon, "collections_total", "generation",
                           {"0": 10, "1": 10, "2": 10})


def answers(port):
    return run(["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{port}/hello"],
               check=False).returncode == 0


# --- USDT -------------------------------------------------------------------

class Usdt(FunctionCase):
    def setUp(self):
        super().setUp()
        self.exe = copied(built("usdt", "usdt.c", "gcc", "-O2"))

    def test_arguments_of_every_form_and_a_semaphore(self):
        daemon = self.observe(
            counter("sold_total", "usdt:shop:sold", self.exe,
                    labels={"what": {"arg": 1, "type": "string"}}),
            counter("number_total", "usdt:shop:sold", self.exe, value="arg2"),
            counter("till_total", "usdt:shop:sold", self.exe, value="arg3"),
            counter("byte_total", "usdt:shop:sold", self.exe, value="arg4"))
        target = self.target(self.exe)
        self.assertEqual(target.ask(200), 200, "the semaphore is up")
        self.assert_series(daemon, "sold_total", "what", {"apple": 100, "pear": 100})
        self.assert_total(daemon, "number_total", 20100)
        self.assert_total(daemon, "till_total", 50 * (10 + 20 + 30 + 40))
        self.assert_total(daemon, "byte_total", 20100)
        daemon.terminate()
        self.assertEqual(target.ask(200), 0, "the semaphore is down")

    def test_a_probe_that_is_inlined_in_several_places(self):
        daemon = self.observe(
            rule("grams", "usdt:shop:weighed", self.exe, value="arg1", buckets=[0]),
            counter("sevens_total", "usdt:shop:weighed", self.exe, value="arg2"))
        target = self.target(self.exe)
        self.assertEqual(target.ask(100), 0)
        self.assert_latency(daemon, "grams", {0: 50, float("inf"): 50})
        self.assert_total(daemon, "grams_sum", 50)
        self.assert_total(daemon, "sevens_total", 700)

    def test_a_probe_that_could_not_be_attached_without_harm(self):
        """Since 6.18 a nop of five bytes is made a call, which writes to the stack."""
        daemon = self.observe(counter("kept_total", "usdt:shop:kept", self.exe),
                              counter("sold_total", "usdt:shop:sold", self.exe))
        target = self.target(self.exe)
        self.assertEqual(target.ask("k100000"), 0)
        self.assertEqual(target.ask(10), 10)
        self.assert_total(daemon, "sold_total", 10)

    def test_a_process_that_runs_already(self):
        target = self.target(self.exe)
        self.assertEqual(target.ask(10), 0)
        daemon = self.observe(counter("sold_total", "usdt:shop:sold", self.exe))
        self.assertEqual(target.ask(10), 10)
        self.assert_total(daemon, "sold_total", 10)


# --- rules that cannot be -----------------------------------------------------

class BadRules(FunctionCase):
    def test_a_bad_rule_says_why_in_one_line_and_stops_no_other(self):
        exe = copied(calls_binary())
        nothing = copied(PROGRAMS / "calls.c", name="text")
        daemon = self.observe(
            counter("missing_total", "wrok", exe),
            counter("text_total", "work", nothing),
            counter("probe_total", "usdt:shop:sold", exe),
            counter("empty_total", "no_*_such", exe),
            counter("within_total", hex(self.address(exe, "work") + 1), exe),
            counter("good_total", "work", exe))
        lines = [line for line in daemon.log().splitlines() if "warning" in line]
        lines.sort(key=lambda line: int(re.search(r"yaml:(\d+)", line)[1]))
        self.assertEqual(len(lines), 5, lines)
        self.assertRegex(lines[0], r'yaml:2: metric "missing": .*/calls: has no function'
                                   r' "wrok"; the nearest is "work"$')
        self.assertRegex(lines[1], r"text")
        self.assertRegex(lines[2], r'has no USDT probe "shop:sold"$')
        self.assertRegex(lines[3], r'has no function "no_\*_such"')
        self.assertRegex(lines[4], r"is no instruction that can be probed")
        self.target(exe).ask("work 2 50")
        self.assert_total(daemon, "good_total", 100)
        for metric in ("missing", "text", "probe", "empty"):
            self.assertEqual(self.probed(daemon, metric), 0)

    def test_a_check_resolves_every_rule_and_attaches_nothing(self):
        exe, before = copied(calls_binary()), bpf_before()
        good = counter("good_total", "work", exe)
        bad = counter("bad_total", "wrok", exe)
        for rules, status in (([good], 0), ([good, bad, good.replace("good", "too")], 1)):
            config = write_file("checked.yaml", "\n".join(["functions:", *rules, ""]))
            checked = run([BPFTALLY, "--check-config", config, "--probe"], check=False)
            self.assertEqual(checked.returncode, status, checked.stderr)
            self.assertEqual(checked.stderr.count("1 function of"), 1 + status)
            self.assertEqual(checked.stderr.count('the nearest is "work"'), status)
            self.assertEqual(run([BPFTALLY, "--check-config", config]).returncode, 0)
        self.assert_nothing_left(before)

    def test_what_can_be_probed_is_listed(self):
        def listed(*arguments):
            lines = run([BPFTALLY, "functions", *arguments]).stdout.splitlines()
            return [re.split("  +", line) for line in lines]
        calls = calls_binary()
        self.assertEqual([(line[0], *line[2:]) for line in listed(calls, "[jw]*[pk]")],
                         [("jump", "cheap", "return probe"),
                          ("work", "single-stepped", "return probe")])
        self.assertEqual(listed(copied(go_binary("-ldflags=-s -w")), "main.wander*")[0][2:],
                         ["cheap", "1 return site"])
        probes = [line[:2] for line in listed(built("usdt", "usdt.c", "gcc", "-O2"),
                                              "usdt:*")]
        self.assertEqual([name for name, _ in probes],
                         [f"usdt:shop:{name}" for name in
                          ("kept", "sold", "weighed", "weighed")])
        target = self.target(copied(calls))
        self.assertIn(["work", "79", "single-stepped", "return probe"],
                      listed(target.pid, "work"))
