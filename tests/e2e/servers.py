# SPDX-License-Identifier: Apache-2.0
"""The unmodified programs: how each is started. They know nothing of bpftally,
and the tests know nothing of their configuration."""

import fcntl
import json
import os
import pathlib
import shutil
import tempfile
import urllib.parse
import urllib.request

from harness import BUILD, PROGRAMS, SCRATCH, Process, free_port, run, write_file

PYTHON = "/usr/bin/python3"

_NGINX = """
daemon off;
master_process on;
worker_processes {workers};
pid {directory}/nginx.pid;
error_log stderr warn;
{user}
events {{ worker_connections 1024; }}
http {{
	log_format counted '$status $request_method $uri';
	access_log {directory}/access.log counted;
	default_type text/plain;
	sendfile on;
	keepalive_requests 10000000;
	client_max_body_size 0;
	client_body_temp_path {directory}/t1;
	proxy_temp_path {directory}/t2;
	fastcgi_temp_path {directory}/t3;
	uwsgi_temp_path {directory}/t4;
	scgi_temp_path {directory}/t5;
	root {directory}/www;
	{http}
	{servers}
}}
"""


class Nginx(Process):
    """`servers` is nginx configuration; {port} stands for a free port each."""

    def __init__(self, servers, *, http="", workers=1, env=None, port=None,
                 name="nginx"):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="nginx-", dir=SCRATCH))
        self.directory.chmod(0o755)
        (self.directory / "www").mkdir()
        self.access_path = self.directory / "access.log"
        self.port = port or free_port()
        config = self.directory / "nginx.conf"
        config.write_text(_NGINX.format(
            workers=workers, directory=self.directory, http=http,
            servers=servers.replace("{port}", str(self.port)),
            user="user root;" if os.geteuid() == 0 else ""), encoding="utf-8")
        super().__init__(["nginx", "-p", self.directory, "-c", config], env=env,
                         name=name)

    def put(self, name, data):
        path = self.directory / "www" / name
        path.write_bytes(data)
        path.chmod(0o644)

    def access_lines(self):
        """["STATUS METHOD PATH"] of every request it says it has served."""
        return self.access_path.read_text(encoding="utf-8",
                                          errors="replace").splitlines()


def hello_nginx(**keywords):
    """nginx that answers /hello, and 404 to all else without a word in its log."""
    return Nginx("server { listen 127.0.0.1:{port}; location / { return 404; } "
                 "location = /hello { return 200 'hello world\\n'; } "
                 "location = /status { stub_status; access_log off; } }",
                 **keywords)


class PythonServer(Process):
    """python3 -m http.server over a directory that holds hello.txt."""

    def __init__(self, *, env=None, port=None):
        self.port = port or free_port()
        self.directory = write_file("hello.txt", "hello world\n").parent
        super().__init__([PYTHON, "-m", "http.server", self.port, "--bind",
                          "127.0.0.1", "--directory", self.directory],
                         env=env, name="python")


class Gunicorn(Process):
    def __init__(self, *options, workers=3, env=None):
        self.port = free_port()
        super().__init__(["gunicorn", "-b", f"127.0.0.1:{self.port}", "-w", workers,
                          "--worker-tmp-dir", SCRATCH, *options, "wsgi:app"],
                         cwd=PROGRAMS, env={"PYTHONDONTWRITEBYTECODE": "1",
                                            **(env or {})})


class Script(Process):
    """INTERPRETER programs/NAME PORT ..."""

    def __init__(self, interpreter, script, *arguments, env=None, port=None):
        self.port = port or free_port()
        super().__init__([interpreter, PROGRAMS / script, self.port, *arguments],
                         env=env, name=script)


GO = {"GO111MODULE": "off", "GOFLAGS": "", "GOPROXY": "off", "GOTOOLCHAIN": "local",
      "CGO_ENABLED": "0", "GOCACHE": str(BUILD / "go-cache"),
      "GOPATH": str(BUILD / "go")}


def built(name, source, *argv, env=None):
    """What the compiler makes of programs/SOURCE, once: tests beside wait for it."""
    path, source = BUILD / name, PROGRAMS / source
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / f"{name}.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists() or path.stat().st_mtime < source.stat().st_mtime:
            made = path.with_suffix(".new")
            run([*argv, "-o", made, source], deadline_s=300, env=env)
            made.rename(path)
    return path


def copied(*binaries, name=None):
    """Under a path that only we have, which a test may select by: that of the first."""
    directory = pathlib.Path(tempfile.mkdtemp(dir=SCRATCH))
    directory.chmod(0o755)
    for binary in binaries:
        shutil.copy(binary, directory / (name or binary.name))
    return directory / (name or binaries[0].name)


def gopher(name):
    """The Go program under this name, built once: the standard library takes
    longer to compile than all tests to run."""
    return copied(built("gopher", "gopher.go", "go", "build", env=GO), name=name)


class Gopher(Process):
    def __init__(self, binary, *, env=None, port=None):
        self.port = port or free_port()
        super().__init__([binary, "serve", self.port], env=env)


# --- Prometheus -------------------------------------------------------------

class Prometheus(Process):
    """Debian's, on a port and a database that outlive it: the same arguments
    start it again. With `scrape`, a port that it scrapes twice a second;
    `features` are those that it is to be started with, `job` is more of that
    port's configuration. With `config`, that is all of its configuration."""

    def __init__(self, *options, directory=None, port=None, scrape=None, features=None,
                 job="", config=None, binary="prometheus"):
        self.port = port or free_port()
        self.directory = directory or tempfile.mkdtemp(prefix="tsdb-", dir=SCRATCH)
        jobs = "" if scrape is None else f"""
scrape_configs:
- job_name: bpftally
  static_configs: [{{targets: ['127.0.0.1:{scrape}']}}]
{job}"""
        path = write_file("prometheus.yml", config or "global: {scrape_interval: "
                          "500ms, scrape_timeout: 500ms}\n" + jobs)
        super().__init__([binary, f"--config.file={path}",
                          f"--storage.tsdb.path={self.directory}",
                          f"--web.listen-address=127.0.0.1:{self.port}",
                          "--web.enable-remote-write-receiver", *options,
                          *([f"--enable-feature={features}"] if features else [])])

    def api(self, path, **parameters):
        """`data` of the answer; None while it is not there to answer."""
        url = (f"http://127.0.0.1:{self.port}/api/v1/{path}?"
               f"{urllib.parse.urlencode(parameters)}")
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return json.load(response)["data"]
        except OSError:
            return None

    def query(self, expression):
        """[(labels, value)] of an instant query."""
        data = self.api("query", query=expression)
        return [(each["metric"], float(each["value"][1]))
                for each in (data or {}).get("result", [])]

    def history(self, expression):
        """{time: value} of the only series of a range vector."""
        data = self.api("query", query=expression)
        results = (data or {}).get("result", [])
        if len(results) != 1:
            raise AssertionError(f"{expression}: {len(results)} series")
        return {time: float(value) for time, value in results[0]["values"]}
