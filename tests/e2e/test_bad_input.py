# SPDX-License-Identifier: Apache-2.0
"""Whatever is wrong: one line that says what, where and what to do, exit status
1 or 2, and nothing left in the kernel."""

import os
import re
import shutil
import socket
import subprocess

from harness import (BPFTALLY, SCRATCH, TestCase, bpf_before, free_port,
                     is_listening, run, table, wait_until, write_file)

URL = "http://127.0.0.1:9/api/v1/push"


def unused_pid():
    """Of a process that was there and has ended."""
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


class Refusal(TestCase):
    def refuse(self, arguments, env=None, nobody=False, program=BPFTALLY):
        """The line, after everything around it was judged."""
        before = bpf_before()
        result = run([program, *arguments], env=env, check=False, nobody=nobody,
                     deadline_s=20)
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 1, f"one line on stderr: {result.stderr}")
        self.assertIn(result.returncode, (1, 2), lines)
        self.assertEqual(result.stdout, "")
        self.assertRegex(lines[0], "^bpftally: error: [^ ]")
        self.assertLess(len(lines[0]), 300)
        self.assert_nothing_left(before)
        return lines[0]

    def assert_says(self, line, fragments):
        for fragment in fragments:
            self.assertRegex(line, fragment)


# Each: the arguments, and what the line must say.
@table({
    "unknown_option": (["--bogus"], ["--bogus", "--help"]),
    "misspelt_option": (["--lisen", ":1"], ["--lisen", "did you mean.*--listen"]),
    "argument_that_is_no_option": (["4242"], ["4242", "--help"]),
    "option_without_value": (["--pid"], ["--pid", "value"]),
    "pid_that_is_no_number": (["--pid", "nginx"], ["--pid", "nginx", "number"]),
    "pid_zero": (["--pid", "0"], ["--pid", "'0'", "from 1"]),
    "pid_negative": (["--pid", "-1"], ["--pid", "-1"]),
    "port_zero": (["--port", "0"], ["--port", "'0'", "65535"]),
    "port_too_large": (["--port", "65536"], ["--port", "65536", "65535"]),
    "too_many_ports": ([word for port in range(1, 18) for word in
                        ("--port", str(port))], ["--port", "16"]),
    "service_empty": (["--service", ""], ["--service"]),
    "service_not_utf8": (["--service", "\udcff\udcfe"], ["--service", "UTF-8"]),
    "listen_without_port": (["--listen", "localhost"], ["--listen", "localhost",
                                                        "ADDR:PORT"]),
    "listen_port_too_large": (["--listen", "127.0.0.1:99999"],
                              ["--listen", "99999", "ADDR:PORT"]),
    "listen_no_address": (["--listen", "300.1.1.1:80"], ["--listen", "300.1.1.1"]),
    "listen_address_of_another_machine": (["--listen", "192.0.2.7:9965"],
                                          ["--listen", "192.0.2.7"]),
    "interval_without_unit": (["--scrape-interval", "15"],
                              ["--scrape-interval", "'15'", "duration"]),
    "interval_too_short": (["--scrape-interval", "1ms"], ["--scrape-interval", "1ms"]),
    "series_zero": (["--max-series", "0"], ["--max-series", "'0'"]),
    "remote_write_no_url": (["--remote-write", "not a url"],
                            ["--remote-write", "http"]),
    "remote_write_other_scheme": (["--remote-write", "ftp://example.org/"],
                                  ["--remote-write", "http"]),
    "remote_write_without_host": (["--remote-write", "http:///push"],
                                  ["--remote-write", "host"]),
    "tenant_without_remote_write": (["--tenant", "a"], ["--tenant", "--remote-write"]),
    "token_without_remote_write": (["--token-file", "/dev/null"],
                                   ["--token-file", "--remote-write"]),
    "token_file_absent": (["--remote-write", URL, "--token-file", "/no/such/token"],
                          ["--token-file", "/no/such/token", "No such file"]),
    "token_file_is_a_directory": (["--remote-write", URL, "--token-file", "/etc"],
                                  ["--token-file", "/etc"]),
    "function_without_name": (["--function", "/bin/true"],
                              ["--function", "/bin/true", "EXE:NAME"]),
    "probe_without_check": (["--probe"], ["--probe", "--check-config"]),
    "config_absent": (["--config", "/no/such/file.yaml"],
                      ["/no/such/file.yaml", "No such file"]),
    "config_is_a_directory": (["--config", "/etc"], ["/etc", "not a regular file"]),
    "config_is_a_device": (["--config", "/dev/zero"],
                           ["/dev/zero", "not a regular file"]),
    "config_is_the_kernels_log": (["--config", "/proc/kmsg"], ["/proc/kmsg"]),
    "config_is_not_text": (["--config", "/bin/true"], ["/bin/true"]),
    "check_without_file": (["--check-config"], ["--check-config", "file"]),
    "check_absent_file": (["--check-config", "/no/such/file.yaml"],
                          ["/no/such/file.yaml", "No such file"]),
})
class CommandLine(Refusal):
    def check(self, row):
        arguments, fragments = row
        self.assert_says(self.refuse(arguments), fragments)


REMOTE = "remote_write:\n- url: http://127.0.0.1:9/push\n"
JOB = "remote_write: [{url: 'http://127.0.0.1:9/push'}]\nscrape_configs:\n- job_name: j\n"
PEM = write_file("some.pem", "-----BEGIN CERTIFICATE-----\n")


# Each: the file, the line that is wrong, and what must be said about it.
@table({
    "unknown_key": ("service: a\nlisten: ':1'\nservcie: b\n", 3,
                    ["servcie", "service"]),
    "unknown_key_inside": ("global:\n  external_lables: {a: b}\n", 2,
                           ["external_lables", "external_labels"]),
    "key_twice": ("service: a\nservice: b\n", 2, ["service", "twice"]),
    "wrong_type_list": ("service: a\nlisten: [1, 2]\n", 2, ["listen"]),
    "wrong_type_mapping": ("port: {a: b}\n", 1, ["port"]),
    "wrong_type_number": ("port: eighty\n", 1, ["port", "eighty", "65535"]),
    "wrong_type_of_section": ("global: 5\n", 1, ["global", "mapping"]),
    "wrong_type_of_remote_write": ("remote_write: yes\n", 1, ["remote_write", "list"]),
    "not_yaml": ("service: a\n  listen: [\n", None, []),
    "tab": ("global:\n\texternal_labels: {}\n", 2, []),
    "not_a_mapping": ("- a\n- b\n", 1, ["mapping"]),
    "no_address": ("listen: nonsense\n", 1, ["listen", "nonsense", "ADDR:PORT"]),
    "empty_list_of_ports": ("port: []\n", 1, ["port", "empty"]),
    "no_duration": ("global: {scrape_interval: soon}\n", 1,
                    ["scrape_interval", "soon"]),
    "label_name": ("global:\n  external_labels:\n    9lives: x\n", 3, ["9lives"]),
    "function_without_binary": ("functions:\n- metric: a\n  function: f\n", 2,
                                ["exe", "lib", "pid"]),
    "function_of_unknown_value": ("functions:\n- metric: a\n  exe: /a\n"
                                  "  function: f\n  value: time\n", 5,
                                  ["value", "time", "latency"]),
    "url_missing": ("remote_write:\n- name: a\n", 2, ["url"]),
    "url_bad": ("remote_write:\n- url: localhost/push\n", 2, ["url", "http://"]),
    "url_port": ("remote_write:\n- url: http://localhost:0/push\n", 2, ["url", "port"]),
    "url_with_password": ("remote_write:\n- url: http://me:S3CRET@localhost/\n", 2,
                          ["url", "basic_auth"]),
    "variable_unset": (f"{REMOTE}  bearer_token: ${{env:E2E_UNSET}}\n", 3,
                       ["E2E_UNSET", "not set|unset"]),
    "variable_malformed": (f"{REMOTE}  bearer_token: ${{env:S3CRET\n", 3,
                           ["bearer_token", r"\$\{env:"]),
    "reserved_header": (f"{REMOTE}  headers: {{Content-Type: text/plain}}\n", 3,
                        ["Content-Type", "reserved"]),
    "authorization_as_header": (f"{REMOTE}  headers: {{Authorization: S3CRET}}\n", 3,
                                ["Authorization", "authorization or basic_auth"]),
    "header_with_line_end": (f'{REMOTE}  headers: {{X-A: "S3CRET\\r\\nX-B: c"}}\n', 3,
                             ["X-A"]),
    "two_ways_to_authenticate": (
        f"{REMOTE}  basic_auth: {{username: a, password: S3CRET}}\n"
        "  authorization: {credentials: S3CRET}\n", 4,
        ["basic_auth", "authorization"]),
    "two_credentials": (
        f"{REMOTE}  authorization:\n    credentials: S3CRET\n"
        "    credentials_file: /etc/hostname\n", 5,
        ["credentials", "credentials_file"]),
    "half_a_certificate": (f"{REMOTE}  tls_config: {{cert_file: {PEM}}}\n", 3,
                           ["cert_file", "key_file"]),
    "authority_absent": (f"{REMOTE}  tls_config: {{ca_file: no/such.pem}}\n", 3,
                         ["ca_file", "no/such.pem", "No such file"]),
    "authority_is_no_certificate": (
        f"{REMOTE}  tls_config: {{ca_file: /etc/passwd}}\n", 3,
        ["ca_file", "/etc/passwd", "PEM"]),
    "credentials_absent": (
        f"{REMOTE}  authorization:\n    credentials_file: /no/such/token\n", 4,
        ["credentials_file", "/no/such/token", "No such file"]),
    "password_is_a_directory": (
        f"{REMOTE}  basic_auth: {{username: a, password_file: /etc}}\n", 3,
        ["password_file", "/etc", "regular file"]),
    "what_we_cannot_do_yet": (f"{REMOTE}  oauth2: {{client_id: S3CRET}}\n", 3,
                              ["oauth2", "not supported"]),
    "backoff_upside_down": (
        f"{REMOTE}  queue_config: {{min_backoff: 5s, max_backoff: 1s}}\n", 3,
        ["min_backoff", "max_backoff"]),
    "job_without_name": (JOB.replace("job_name: j", "scheme: http"), 3, ["job_name"]),
    "job_twice": (JOB + "- job_name: j\n", 4, ["same.*job_name"]),
    "job_key_misspelt": (JOB + "  static_config: []\n", 4,
                         ["static_config", "did you mean.*static_configs"]),
    "job_of_a_discovery_we_lack": (JOB + "  kubernetes_sd_configs: [{role: pod}]\n", 4,
                                   ["_sd_configs", "not supported", "file_sd_configs"]),
    "job_timeout_above_its_interval": (JOB + "  scrape_timeout: 20s\n", 3,
                                       ["scrape_timeout.*20000ms", "scrape_interval"]),
    "job_target_that_is_a_url": (
        JOB + "  static_configs: [{targets: ['http://a:1/m']}]\n", 3,
        ["http://a:1/m", "without scheme"]),
    "job_secret_is_not_shown": (JOB + "  bearer_token: \"S3CRET\\x01\"\n", 4,
                                ["bearer_token"]),
    "job_without_receiver": ("scrape_configs: [{job_name: j}]\n", 1, ["remote_write"]),
})
class File(Refusal):
    def check(self, row):
        text, number, fragments = row
        path = write_file("bad.yaml", text)
        for option in ("--config", "--check-config"):
            line = self.refuse([option, path])
            self.assertIn(f"{path}:{number or ''}", line)
            self.assert_says(line, fragments)
            self.assertNotIn("S3CRET", line)


class Machine(Refusal):
    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", free_port())) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
            line = self.refuse(["--listen", address])
        self.assert_says(line, [re.escape(address), "--listen", "(?i)in use",
                                "another port"])

    def test_no_such_pid(self):
        pid = unused_pid()
        line = self.refuse(["--listen", f"127.0.0.1:{free_port()}", "--pid", str(pid)])
        self.assert_says(line, [f"\\b{pid}\\b", "--pid"])

    def test_one_of_two_pids_does_not_exist(self):
        pid = unused_pid()
        line = self.refuse(["--listen", f"127.0.0.1:{free_port()}", "--pid",
                            str(os.getpid()), "--pid", str(pid)])
        self.assert_says(line, [f"\\b{pid}\\b"])

    def test_config_that_nobody_may_read(self):
        path = write_file("secret.yaml", "service: a\n", 0o600)
        line = self.refuse(["--check-config", path], nobody=True,
                           program=self.binary_for_all())
        self.assert_says(line, [str(path), "(?i)permission denied"])

    @staticmethod
    def binary_for_all():
        """The build tree may be in a home that others cannot enter."""
        path = SCRATCH / "bpftally-for-all"
        if not path.exists():
            shutil.copy(BPFTALLY, path)
            path.chmod(0o755)
        return path

    def test_not_root(self):
        line = self.refuse(["--listen", f"127.0.0.1:{free_port()}"], nobody=True,
                           program=self.binary_for_all())
        self.assert_says(line, ["(?i)root|privilege|CAP_BPF", "sudo|CAP_BPF"])

    def test_doctor_says_what_a_user_lacks(self):
        result = run([self.binary_for_all(), "doctor"], nobody=True, check=False)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertRegex(result.stdout, "(?i)root|privilege|CAP_BPF")

    def test_token_file_that_goes_away_does_not_stop_us(self):
        path = write_file("token", "x", 0o600)
        daemon = self.bpftally("--remote-write", URL, "--token-file", path,
                               "--scrape-interval", "100ms")
        path.unlink()
        wait_until(lambda: re.search(
            f"{re.escape(str(path))}.*No such file", daemon.log()),
            "a line about the token file")
        self.assertTrue(daemon.alive())

    def test_glob_that_matches_nothing_runs_and_says_that_it_waits(self):
        daemon = self.bpftally("--exe", "/no/such/program-*")
        self.assertRegex(daemon.log(), r"bpftally: info: .*--exe.*wait")
        self.assertEqual(daemon.metrics().requests("server"), {})
        self.assertTrue(daemon.alive())


class Good(TestCase):
    def test_check_config_of_a_good_file_starts_nothing_and_needs_no_root(self):
        path = write_file("good.yaml", f"""
listen: '127.0.0.1:{free_port()}'
exe: ['/usr/sbin/nginx', '*/node']
port: 80
service: shop
global:
  scrape_interval: 15s
  external_labels: {{cluster: a, region: "b"}}
remote_write:
- url: https://metrics.example.org/api/v1/push
  name: hosted
  remote_timeout: 30s
  authorization: {{type: Bearer, credentials_file: /etc/hostname}}
  headers: {{X-Scope-OrgID: tenant}}
  tls_config: {{insecure_skip_verify: false}}
  queue_config: {{capacity: 10000, max_shards: 50, max_samples_per_send: 2000}}
  write_relabel_configs:
  - {{source_labels: [__name__], regex: 'go_(.*)', action: drop}}
- url: http://[::1]:9090/api/v1/write
  basic_auth: {{username: a, password: b}}
""")
        before = bpf_before()
        for arguments in (["--check-config", path], [f"--check-config={path}"],
                          ["--check-config", "--config", path]):
            result = run([Machine.binary_for_all(), *arguments], nobody=True)
            self.assertEqual(result.stderr, "")
            self.assertEqual(len(result.stdout.splitlines()), 1)
        self.assert_nothing_left(before)

    def test_what_needs_observed_processes_warns_where_there_are_none(self):
        path = write_file("unobserved.yaml", f"""no_bpf: true
{REMOTE}loki_write: [{{url: 'http://127.0.0.1:9/push'}}]
scrape_configs:
- {{job_name: j, observed_processes: {{}}}}
- {{job_name: k, static_configs: [{{targets: ['127.0.0.1:9']}}]}}
logs:
- {{paths: /no/such/*.log}}
- {{auto: true}}
""")
        why = "finds nothing: no_bpf (--no-bpf) observes no process"
        warnings = [f"bpftally: warning: {path}:6: 'observed_processes' {why}",
                    f"bpftally: warning: {path}:10: 'auto' {why}"]
        judged = run([BPFTALLY, "--check-config", path])
        self.assertEqual(judged.stdout, "the configuration is good\n")
        self.assertEqual(judged.stderr.splitlines(), warnings)
        started = self.bpftally("--state-dir", "off", "--config", path)
        self.assertEqual([line for line in started.log().splitlines()
                          if ": warning: " in line], warnings)

    def test_version(self):
        result = run([BPFTALLY, "--version"])
        self.assertRegex(result.stdout, r"^bpftally \d+\.\d+\.\d+\n$")
        self.assertEqual(result.stderr, "")

    def test_text_that_cannot_be_written_is_a_failure(self):
        path = write_file("good.yaml", "port: 80\n")
        for arguments in (["--version"], ["--help"], ["doctor"],
                          ["--check-config", path]):
            with open("/dev/full", "wb") as full:
                result = subprocess.run([BPFTALLY, *arguments], stdout=full,
                                        stderr=subprocess.PIPE, check=False)
            self.assertEqual(result.returncode, 1, arguments)
            self.assertEqual(result.stderr.decode(), "bpftally: error: cannot write "
                             "to standard output: No space left on device\n")

    def test_help_names_every_option_in_eighty_columns(self):
        result = run([BPFTALLY, "--help"])
        self.assertEqual(result.stderr, "")
        for option in ("--pid", "--exe", "--port", "--service", "--listen", "--config",
                       "--check-config", "--remote-write", "--tenant", "--token-file",
                       "--scrape-interval", "--function", "--probe", "--version",
                       "--help", "doctor", ":9965"):
            self.assertIn(option, result.stdout)
        for line in result.stdout.splitlines():
            self.assertLessEqual(len(line.expandtabs()), 80, line)
        groups = re.findall(r"^[A-Z][^:]*:$", result.stdout, re.M)
        self.assertGreaterEqual(len(groups), 3, groups)

    def test_doctor_says_that_it_can_run_here(self):
        before = bpf_before()
        result = run([BPFTALLY, "doctor"])
        self.assertGreaterEqual(len(result.stdout.splitlines()), 4)
        self.assertEqual(result.stderr, "")
        self.assert_nothing_left(before)

    def test_listens_on_every_address_and_on_ipv6(self):
        for address in (":{}", "[::1]:{}", "0.0.0.0:{}"):
            port = free_port()
            daemon = self.bpftally("--listen", address.format(port), listen=False,
                                   wait=False)
            daemon.port = port
            host = "::1" if "::1" in address else "127.0.0.1"
            wait_until(lambda: self.reaches(host, port), f"{address} on {host}")
            if address == ":{}":
                self.assertTrue(self.reaches("::1", port))
            self.assertEqual(self.reaches("127.0.0.1", port), "::1" not in address)
            daemon.stop()
            self.assertFalse(is_listening(port))

    @staticmethod
    def reaches(host, port):
        try:
            with socket.create_connection((host, port), 1):
                return True
        except OSError:
            return False
