# SPDX-License-Identifier: Apache-2.0
"""What every end-to-end test needs: a place for files, ports, children that die
with us, waiting for conditions, and bpftally itself with its metrics as data.

It knows nothing of the programs that are observed (servers.py). Everything that
a test starts is ended by the end of that test; when the tests are killed, the
children get SIGTERM from the kernel.
"""

import atexit
import collections
import ctypes
import gzip
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
BUILD = ROOT / "build" / "tests" / "e2e"
BPFTALLY = os.environ.get("BPFTALLY", str(ROOT / "build" / "bpftally"))
LOAD = os.environ.get("LOAD", str(ROOT / "build" / "tools" / "load"))
BPFTOOL = os.environ.get("BPFTOOL") or shutil.which(
    "bpftool", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

DEADLINE_S = float(os.environ.get("E2E_DEADLINE_S", "15"))  # of one condition
LOG_TAIL_LINES = 60
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def wait_until(condition, what, deadline_s=DEADLINE_S, every_s=0.02):
    """The first true value of condition(); fails after deadline_s."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s} s for {what}")
        time.sleep(every_s)


# --- ports and files --------------------------------------------------------

def _port_numbers():
    """Below the range that connections take theirs from: what is free now is
    still free when the server binds it. Tests side by side have ports of their own."""
    first, last = map(int, os.environ.get("E2E_PORTS", "15000-32000").split("-"))
    port = random.randrange(first, last)
    while True:
        port = port + 1 if port < last else first
        yield port


_ports = _port_numbers()


def free_port():
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return None


def _make_scratch():
    path = tempfile.mkdtemp(prefix="bpftally-e2e-")
    os.chmod(path, 0o755)  # workers of nginx are not root
    atexit.register(shutil.rmtree, path, True)
    return pathlib.Path(path)


SCRATCH = _make_scratch()


# --- children ---------------------------------------------------------------

def _cgroup_root():
    """Where cgroup v2 is mounted, None without it."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] == "cgroup2":
                return pathlib.Path(fields[1])
    return None


def make_cgroup(name):
    """A cgroup for children, gone at exit. None where there can be none."""
    root = _cgroup_root()
    if root is None:
        return None
    path = root / name
    try:
        path.mkdir()
    except OSError:
        return None
    atexit.register(_remove_cgroup, path)
    return path


def _remove_cgroup(path):
    try:
        (path / "cgroup.kill").write_text("1", encoding="utf-8")
    except OSError:
        pass
    for _ in range(200):
        try:
            path.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)


# A unit or a container that the tests run in would be the name of every service
# they start: children live in a cgroup whose name means nothing.
CGROUP = make_cgroup(f"bpftally-e2e-{os.getpid()}")


def _in_child(cgroup, user):
    if cgroup is not None:
        try:
            (cgroup / "cgroup.procs").write_text("0", encoding="utf-8")
        except OSError:
            pass
    if user:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    # after setuid: changing credentials clears it
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def environment(extra=None):
    """Ours, less what would name the services of children."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith("OTEL_")}
    env["PATH"] = env.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    env["LC_ALL"] = "C"
    env.update(extra or {})
    return env


class Process:
    """A child with its output in a file, in a session of its own."""

    def __init__(self, argv, *, env=None, cwd=None, cgroup=None, name=None,
                 stdin=subprocess.DEVNULL, nobody=False):
        self.argv = [str(word) for word in argv]
        self.name = name or os.path.basename(self.argv[0])
        handle, path = tempfile.mkstemp(prefix=self.name + "-", suffix=".out",
                                        dir=SCRATCH)
        self.output_path = pathlib.Path(path)
        group = cgroup or CGROUP
        with os.fdopen(handle, "wb") as output:
            self.child = subprocess.Popen(
                self.argv, stdin=stdin, stdout=output, stderr=subprocess.STDOUT,
                env=environment(env), cwd=cwd or SCRATCH, start_new_session=True,
                preexec_fn=lambda: _in_child(group, nobody))

    @property
    def pid(self):
        return self.child.pid

    def output(self):
        return self.output_path.read_text(encoding="utf-8", errors="replace")

    def alive(self):
        return self.child.poll() is None

    def wait(self, deadline_s=DEADLINE_S):
        return self.child.wait(deadline_s)

    def stop(self, deadline_s=5):
        """SIGTERM, then SIGKILL to what is left of its session."""
        if self.alive():
            self.child.terminate()
            try:
                self.child.wait(deadline_s)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def kill(self):
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()
        if self.child.stdin:
            self.child.stdin.close()


def run(argv, *, env=None, cwd=None, deadline_s=60, stdin=None, check=True,
        nobody=False):
    """A command to its end: CompletedProcess with text output."""
    result = subprocess.run(
        [str(word) for word in argv], input=stdin, capture_output=True,
        env=environment(env), cwd=cwd or SCRATCH, timeout=deadline_s, text=True,
        errors="replace", check=False,
        preexec_fn=lambda: _in_child(CGROUP, nobody))
    if check and result.returncode != 0:
        raise AssertionError(f"{argv} ended with {result.returncode}: "
                             f"{result.stderr or result.stdout}")
    return result


def is_listening(address):
    """A connection without a byte on it: no server counts that as a request."""
    if isinstance(address, int):
        address = ("127.0.0.1", address)
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address)
        except OSError:
            return False
    return True


def wait_listening(process, address, deadline_s=DEADLINE_S):
    def up():
        if not process.alive():
            raise AssertionError(f"{process.name} ended: {process.output()}")
        return is_listening(address)
    wait_until(up, f"{process.name} to listen on {address}", deadline_s)


# --- metrics as data --------------------------------------------------------

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')
_ESCAPES = {r"\n": "\n", r"\"": '"', r"\\": "\\"}


def _unescape(value):
    return re.sub(r'\\[n"\\]', lambda match: _ESCAPES[match.group()], value)


class Metrics:
    """Samples of the text format. This parser is strict about what it takes
    apart and judges nothing else: promtool and prometheus_client do that."""

    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                self.samples.append(self._sample(line))

    @staticmethod
    def _sample(line):
        match = _SAMPLE.match(line)
        if not match:
            raise AssertionError(f"not a sample: {line!r}")
        name, labels, value = match.groups()
        pairs = _LABEL.findall(labels or "")
        if labels and sum(len(k) + len(v) + 4 for k, v in pairs) - 1 != len(labels):
            raise AssertionError(f"not labels: {line!r}")
        return name, {k: _unescape(v) for k, v in pairs}, float(value)

    def select(self, name, **labels):
        """[(labels, value)] of the series that have these labels. A label given
        as "" is one the series must not have, as in PromQL."""
        return [(have, value) for sample, have, value in self.samples
                if sample == name and
                all(have.get(k, "") == str(v) for k, v in labels.items())]

    def total(self, name, **labels):
        return sum(value for _, value in self.select(name, **labels))

    def requests(self, role, **labels):
        """{(method, status, route): count}; the status of a request that got no
        answer is its error_type."""
        table = collections.Counter()
        name = f"http_{role}_request_duration_seconds_count"
        for have, value in self.select(name, **labels):
            if value:
                status = have.get("http_response_status_code",
                                  have.get("error_type", ""))
                table[(have.get("http_request_method", ""), status,
                       have.get("http_route", ""))] += int(value)
        return dict(table)

    def buckets(self, family, **labels):
        """{le: cumulative count} of a histogram."""
        table = collections.Counter()
        for have, value in self.select(f"{family}_bucket", **labels):
            table[float(have["le"])] += int(value)
        return dict(table)

    def missed(self):
        return {have["reason"]: int(value) for have, value
                in self.select("bpftally_missed_total") if value}

    def names(self):
        return {name for name, _, _ in self.samples}


# --- bpftally ---------------------------------------------------------------

class Bpftally:
    """The daemon as a user runs it. Extra arguments are its command line; `under`
    is a command that becomes it."""

    def __init__(self, *arguments, listen=True, env=None, wait=True, config=None,
                 nobody=False, under=()):
        self.port = free_port() if listen else None
        argv = [*under, BPFTALLY]
        if listen:
            argv += ["--listen", f"127.0.0.1:{self.port}"]
        if config is not None:
            argv += ["--config", write_file("bpftally.yaml", config)]
        argv += [str(argument) for argument in arguments]
        if not nobody and "--state-dir" not in arguments \
                and "state_dir:" not in (config or ""):
            # What one daemon leaves behind is not for the next one to send.
            argv += ["--state-dir", tempfile.mkdtemp(prefix="state-", dir=SCRATCH)]
        self.process = Process(argv, env=env, name="bpftally", nobody=nobody)
        self.started = time.monotonic()
        if wait:
            self.wait_ready()

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self):
        def ready():
            if not self.process.alive():
                raise AssertionError(f"bpftally ended: {self.log()}")
            try:
                return self.get("/-/ready").status == 200
            except OSError:
                return False
        wait_until(ready, "/-/ready", 20)
        wait_until(lambda: "/metrics" in self.log(), "the line that says where")
        self.started = time.monotonic()

    def log(self):
        return self.process.output()

    def get(self, path, method="GET", headers=None, deadline_s=10):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=deadline_s)
        try:
            connection.request(method, path,
                               headers={"Connection": "close", **(headers or {})})
            response = connection.getresponse()
            response.body = response.read()
            if response.getheader("Content-Encoding") == "gzip":
                response.body = gzip.decompress(response.body)
            return response
        finally:
            connection.close()

    def metrics(self):
        response = self.get("/metrics")
        if response.status != 200:
            raise AssertionError(f"/metrics: {response.status} {response.body!r}")
        return Metrics(response.body.decode())

    def alive(self):
        return self.process.alive()

    def terminate(self, deadline_s=10):
        """SIGTERM; the exit status and how long it took."""
        begun = time.monotonic()
        self.process.child.terminate()
        status = self.process.wait(deadline_s)
        return status, time.monotonic() - begun

    def stop(self):
        self.process.stop()

    def describe(self):
        lines = [f"--- {' '.join(self.process.argv)} (pid {self.pid}, "
                 f"status {self.process.child.poll()})"]
        lines += self.log().splitlines()[-LOG_TAIL_LINES:]
        if self.alive() and self.port:
            try:
                lines += ["--- its metrics"] + [
                    line for line in self.get("/metrics").body.decode().splitlines()
                    if re.match(r"http_\w+_duration_seconds_count|bpftally_", line)
                    and not line.endswith(" 0")][:LOG_TAIL_LINES]
            except OSError as error:
                lines.append(f"no metrics: {error}")
        return "\n".join(lines)


def write_file(name, text, mode=0o644):
    """A file in a directory of its own: its path."""
    path = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH)) / name
    path.parent.chmod(0o755)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


# --- what is in the kernel --------------------------------------------------

_LEAVINGS = {kind: re.compile(rf"^{kind}_id:\t(\d+)$", re.M)
             for kind in ("prog", "link", "map")}


def bpf_objects(kind):
    """Ids of every BPF program, link or map there is."""
    listed = json.loads(run([BPFTOOL, "-j", kind, "list"]).stdout or "[]")
    return {each["id"] for each in listed}


def _ids_in(info, kind):
    try:
        return {int(number) for number in _LEAVINGS[kind].findall(info.read_text())}
    except OSError:
        return set()  # the descriptor was closed meanwhile


def _held_by_processes(kind):
    held = set()
    for directory in pathlib.Path("/proc").glob("[0-9]*/fdinfo"):
        try:
            for info in directory.iterdir():
                held |= _ids_in(info, kind)
        except OSError:
            continue  # the process is gone
    return held


def bpf_orphans(before):
    """Programs, links and maps that were not there before and that no process
    holds: what somebody left behind. Those of a running daemon do not count."""
    found = []
    for kind in _LEAVINGS:
        new = bpf_objects(kind) - before[kind]
        found += [f"{kind} {number}" for number in new - _held_by_processes(kind)]
    return found


def bpf_before():
    return {kind: bpf_objects(kind) for kind in _LEAVINGS}


def bpf_objects_of(pid, kind="prog"):
    """Ids of what this process holds by descriptor."""
    return set().union(*(_ids_in(info, kind) for info
                         in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir()))


# --- clients ----------------------------------------------------------------

class Loading(Process):
    """tools/load in the background. The test that starts it asks for account()."""

    def __init__(self, target, path, requests, connections, *options, env=None):
        self.requests = requests
        super().__init__([LOAD, "--requests", requests, "--connections", connections,
                          "--path", path, *options, f"127.0.0.1:{target}"], env=env)

    def account(self, deadline_s=60):
        """Once it has ended; every request got its 200, or the test fails."""
        self.wait(deadline_s)
        account = json.loads(self.output().splitlines()[-1])
        if account["status"] != {"200": self.requests} or account["errors"]:
            raise AssertionError(f"load: {self.output()}")
        return account


def load(target, path="/", requests=1, connections=1, *options, env=None,
         deadline_s=60):
    """tools/load: requests of which every one is answered, or the test fails.
    Returns its account, a dict."""
    if isinstance(target, int):
        target = f"127.0.0.1:{target}"
    if "--paths" not in options:
        options = ("--path", path, *options)
    result = run([LOAD, "--requests", requests, "--connections", connections, *options,
                  target], env=env, deadline_s=deadline_s)
    account = json.loads(result.stdout)
    if account["completed"] != requests or account["errors"]:
        raise AssertionError(f"load: {account}")
    return account


def curl(*arguments, env=None, deadline_s=60):
    """Body and status line of curl's, one process."""
    return run(["curl", "-sS", "--noproxy", "*", *arguments], env=env,
               deadline_s=deadline_s).stdout


def exchange(address, data, deadline_s=5, half_close=False):
    """Sends bytes on a connection of its own; all that comes back until the
    peer closes or the deadline passes."""
    if isinstance(address, int):
        address = ("127.0.0.1", address)
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    answer = b""
    with socket.socket(family) as connection:
        connection.settimeout(deadline_s)
        try:
            connection.connect(address)
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                answer += chunk
        except OSError:
            pass  # reset or silence: the caller judges what came
    return answer


# --- the base of all tests --------------------------------------------------

class TestCase(unittest.TestCase):
    """Ends what it started; a failure shows the log and metrics of bpftally."""

    maxDiff = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name, function in list(vars(cls).items()):
            if name.startswith("test") and callable(function):
                setattr(cls, name, _with_diagnosis(function))

    def setUp(self):
        self.daemons = []
        self.processes = []

    def start(self, process, address=None):
        """Hands the child over to this test; waits until it listens."""
        self.processes.append(process)
        self.addCleanup(process.stop)
        if address is not None:
            wait_listening(process, address)
        return process

    def bpftally(self, *arguments, **keywords):
        daemon = Bpftally(*arguments, **{**keywords, "wait": False})
        self.daemons.append(daemon)
        self.addCleanup(daemon.stop)
        if keywords.get("wait", True):
            daemon.wait_ready()
        return daemon

    def diagnosis(self):
        parts = [daemon.describe() for daemon in self.daemons]
        for process in self.processes:
            tail = process.output().splitlines()[-10:]
            parts.append("\n".join([f"--- {' '.join(process.argv)} (pid "
                                    f"{process.pid}, status "
                                    f"{process.child.poll()})"] + tail))
        return "\n".join(parts)

    def assert_requests(self, daemon, role, expected, deadline_s=DEADLINE_S,
                        **labels):
        """The whole table of requests under these labels, exactly. The last
        answer can reach its client before the server's send has returned, so
        the table is waited for; once full it must not grow."""
        def full():
            table = daemon.metrics().requests(role, **labels)
            return sum(table.values()) >= sum(expected.values())
        try:
            wait_until(full, "the counts", deadline_s)
        except AssertionError:
            pass  # the comparison below says it better
        self.assertEqual(daemon.metrics().requests(role, **labels), expected,
                         f"{role} requests under {labels}")

    def assert_nothing_missed(self, daemon):
        """Only for a daemon that observes what the test started: among all
        processes some other may well drive the ledger meanwhile."""
        self.assertEqual(daemon.metrics().missed(), {}, "the miss ledger")

    def assert_nothing_left(self, before):
        wait_until(lambda: not bpf_orphans(before),
                   f"programs, links and maps to go: {bpf_orphans(before)}", 5)


def _with_diagnosis(function):
    """Captures the state while the daemons are still there: cleanups come
    before the failure is printed."""
    def wrapped(self):
        try:
            function(self)
        except unittest.SkipTest:
            raise
        except Exception as error:
            error.add_note(self.diagnosis())
            raise
    wrapped.__name__ = function.__name__
    wrapped.__doc__ = function.__doc__
    return wrapped


def table(cases):
    """Class decorator: one test method a row. cases: {name: row}; the class has
    check(self, row)."""
    def decorate(cls):
        for name, row in cases.items():
            def test(self, row=row):
                self.check(row)
            test.__name__ = f"test_{name}"
            setattr(cls, test.__name__, _with_diagnosis(test))
        return cls
    return decorate
