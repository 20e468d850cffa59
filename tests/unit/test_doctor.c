/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"

#define BIT(capability) (1ull << (capability))
#define NEEDED_CAPABILITIES                                                            \
	(BIT(CAP_BPF) | BIT(CAP_PERFMON) | BIT(CAP_SYS_PTRACE) |                       \
	 BIT(CAP_DAC_READ_SEARCH))

/* A machine on which everything is right. */
static struct doctor_facts good_facts(void)
{
	struct doctor_facts facts = {
	    .release = "6.18.1",
	    .machine = "x86_64",
	    .capture = {.btf = true,
			.helpers = true,
			.tracing = CAPTURE_YES,
			.functions = CAPTURE_YES,
			.reads = CAPTURE_YES},
	    .capabilities = NEEDED_CAPABILITIES,
	    .sk_storage = CAPTURE_YES,
	    .ringbuf = CAPTURE_YES,
	    .unprivileged_bpf_disabled = 2,
	    .bpf_jit_enable = 1,
	    .memory_limit_bytes = UINT64_MAX,
	    .uprobes = true,
	};

	memset(facts.capture.hooks, true, sizeof(facts.capture.hooks));
	return facts;
}

/* The report has exactly this line, with this mark. */
static void expect_line(const struct doctor_facts *facts, enum doctor_mark mark,
			const char *text)
{
	struct doctor_report report;

	doctor_judge(facts, &report);
	for (size_t i = 0; i < report.count; i++) {
		if (strcmp(report.lines[i].text, text))
			continue;
		assert_int_equal(report.lines[i].mark, mark);
		return;
	}
	for (size_t i = 0; i < report.count; i++)
		print_message("%s\n", report.lines[i].text);
	fail_msg("no line \"%s\"", text);
}

static void expect_no_line(const struct doctor_facts *facts, const char *text)
{
	struct doctor_report report;

	doctor_judge(facts, &report);
	for (size_t i = 0; i < report.count; i++)
		assert_string_not_equal(report.lines[i].text, text);
}

/* The only lines with "no" are these, NULL for none, and so is the verdict. */
static void expect_failures(const struct doctor_facts *facts, const char *first,
			    const char *second)
{
	const char *expected[] = {first, second, NULL};
	struct doctor_report report;
	size_t found = 0;

	doctor_judge(facts, &report);
	for (size_t i = 0; i < report.count; i++) {
		if (report.lines[i].mark != DOCTOR_MARK_NO)
			continue;
		assert_true(found < 2);
		assert_non_null(expected[found]);
		assert_string_equal(report.lines[i].text, expected[found]);
		found++;
	}
	assert_null(expected[found]);
	assert_int_equal(doctor_can_run(&report), !first);
}

static void machine_with_everything_can_run(void **state)
{
	struct doctor_facts facts = good_facts();
	static const char *const lines[] = {
	    "kernel 6.18.1 on x86_64",
	    "kernel type information (BTF)",
	    "tracepoint inet_sock_set_state",
	    "tracepoint tcp_destroy_sock",
	    "tracepoint tcp_rcv_space_adjust",
	    "tracepoint sched_process_exec",
	    "tracepoint sched_process_fork",
	    "tracepoint sched_process_exit",
	    "capture by tracepoints",
	    "capture by functions (fentry)",
	    "capture: tracepoint",
	    "lockdown: none that matters",
	    "privileges to load BPF programs",
	    "privileges to read /proc of all users",
	    "pid namespace of the host",
	    "tracing programs",
	    "socket storage",
	    "ring buffer",
	    "function metrics",
	};
	struct doctor_report report;

	(void)state;
	expect_failures(&facts, NULL, NULL);
	doctor_judge(&facts, &report);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_string_equal(report.lines[i].text, lines[i]);
		assert_int_equal(report.lines[i].mark, DOCTOR_MARK_OK);
	}
	assert_int_equal(report.count, sizeof(lines) / sizeof(lines[0]) + 4);
}

static void kernel_without_btf_cannot_run(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	facts.capture.btf = false;
	facts.capture.tracing = CAPTURE_UNKNOWN;
	memset(facts.capture.hooks, false, sizeof(facts.capture.hooks));
	expect_failures(
	    &facts,
	    "kernel type information (BTF): /sys/kernel/btf/vmlinux cannot be read; "
	    "use "
	    "a kernel built with CONFIG_DEBUG_INFO_BTF=y (mount /sys if it has that)",
	    NULL);
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "tracepoint tcp_destroy_sock: unknown without BTF");
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "tracing programs: cannot be told without the lines above");
}

static void lose_hook(struct doctor_facts *facts, const char *program)
{
	for (size_t i = 0; capture_hook(i); i++)
		if (!strcmp(capture_hook(i)->program, program))
			facts->capture.hooks[i] = false;
}

static void missing_tracepoint_names_the_kernel_that_has_it(void **state)
{
	static const struct {
		const char *tracepoint, *line;
	} cases[] = {
	    {"inet_sock_set_state", "tracepoint inet_sock_set_state: not in this "
				    "kernel (6.1.0); use Linux 4.16 or newer"},
	    {"sched_process_exec", "tracepoint sched_process_exec: not in this "
				   "kernel (6.1.0); use Linux 3.4 or newer"},
	    {"sched_process_fork", "tracepoint sched_process_fork: not in this "
				   "kernel (6.1.0); use Linux 2.6.32 or newer"},
	    {"sched_process_exit", "tracepoint sched_process_exit: not in this "
				   "kernel (6.1.0); use Linux 2.6.32 or newer"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct doctor_facts facts = good_facts();

		strcpy(facts.release, "6.1.0");
		lose_hook(&facts, cases[i].tracepoint);
		expect_failures(&facts, cases[i].line, NULL);
	}
}

static void kernel_below_the_floor_gets_one_line(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	strcpy(facts.release, "5.10.0");
	facts.capture.helpers = false;
	lose_hook(&facts, "sock_recv_length");
	expect_failures(
	    &facts, "BPF helpers: kernel 5.10.0 is too old; use Linux 5.15 or newer",
	    NULL);
}

static void one_way_of_capture_is_enough(void **state)
{
	static const char *const tracepoints[] = {"sock_recv_length",
						  "sock_send_length", "sk_data_ready"};

	(void)state;
	for (size_t i = 0; i < sizeof(tracepoints) / sizeof(tracepoints[0]); i++) {
		struct doctor_facts facts = good_facts();
		char line[128];

		snprintf(line, sizeof(line),
			 "capture by tracepoints: this kernel has no %s that we know "
			 "(Linux 6.3)",
			 tracepoints[i]);
		lose_hook(&facts, tracepoints[i]);
		expect_failures(&facts, NULL, NULL);
		expect_line(&facts, DOCTOR_MARK_NOTE, line);
		expect_line(&facts, DOCTOR_MARK_OK, "capture: fentry");
		facts.capture.functions = CAPTURE_NO;
		expect_failures(&facts,
				"capture: no way in this kernel (6.18.1); use Linux "
				"6.3 or newer, or 5.15 or newer built with "
				"CONFIG_FUNCTION_TRACER=y",
				NULL);
	}
}

static void functions_that_cannot_be_hooked_are_a_note(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	facts.capture.functions = CAPTURE_NO;
	expect_failures(&facts, NULL, NULL);
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "capture by functions (fentry): this kernel lets no program attach "
		    "to a function (CONFIG_FUNCTION_TRACER)");
	expect_line(&facts, DOCTOR_MARK_OK, "capture: tracepoint");
	lose_hook(&facts, "tcp_sendmsg_locked");
	expect_failures(&facts, NULL, NULL);
	expect_line(&facts, DOCTOR_MARK_OK,
		    "capture: tracepoint; durations of client requests begin late, "
		    "when the send ends: Linux 6.16, or CONFIG_FUNCTION_TRACER=y, "
		    "tells when it began");
}

static void functions_switched_off_are_said_to_be(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	facts.capture.functions = CAPTURE_NO;
	facts.capture.functions_off = true;
	expect_failures(&facts, NULL, NULL);
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "capture by functions (fentry): kernel.ftrace_enabled = 0, so no "
		    "function is hooked");
	lose_hook(&facts, "tcp_sendmsg_locked");
	expect_line(&facts, DOCTOR_MARK_OK,
		    "capture: tracepoint; durations of client requests begin late, "
		    "when the send ends: Linux 6.16, or kernel.ftrace_enabled=1, tells "
		    "when it began");
	lose_hook(&facts, "sock_recv_length");
	expect_failures(
	    &facts,
	    "capture: this kernel (6.18.1) has functions only, and they are "
	    "switched off; run sysctl -w kernel.ftrace_enabled=1, or use "
	    "Linux 6.3 or newer",
	    NULL);
	lose_hook(&facts, "tcp_recvmsg_exit");
	expect_failures(&facts,
			"capture: no way in this kernel (6.18.1); use Linux 6.3 or "
			"newer, or 5.15 or newer built with CONFIG_FUNCTION_TRACER=y",
			NULL);
}

static void programs_that_are_preempted_are_a_note(void **state)
{
	static const char functions[] =
	    "capture: this kernel preempts programs on functions and skips them "
	    "meanwhile, so under load a few requests may be lost "
	    "(bpftally_probe_skipped_total); use Linux 6.3 or newer";
	static const char send_begin[] =
	    "capture: this kernel preempts programs on functions and skips them "
	    "meanwhile, so under load a few client durations may begin late "
	    "(bpftally_probe_skipped_total); use Linux 6.16 or newer";
	struct doctor_facts facts = good_facts();

	(void)state;
	expect_no_line(&facts, functions);
	facts.capture.preempts_functions = true;
	expect_no_line(&facts, functions);
	expect_no_line(&facts, send_begin);
	lose_hook(&facts, "tcp_sendmsg_locked");
	expect_line(&facts, DOCTOR_MARK_NOTE, send_begin);
	lose_hook(&facts, "sock_recv_length");
	expect_line(&facts, DOCTOR_MARK_NOTE, functions);
	expect_failures(&facts, NULL, NULL);
}

static void lockdown_confidentiality_cannot_run(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	strcpy(facts.lockdown, "integrity");
	expect_failures(&facts, NULL, NULL);
	expect_line(&facts, DOCTOR_MARK_OK, "lockdown integrity");
	strcpy(facts.lockdown, "confidentiality");
	expect_failures(&facts,
			"lockdown confidentiality: it forbids BPF programs to read "
			"kernel memory; boot with lockdown=integrity or none",
			NULL);
}

static void lockdown_without_its_file_is_told_by_a_trial(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	facts.capture.reads = CAPTURE_NO;
	expect_failures(&facts,
			"lockdown: BPF programs may not read kernel memory, as under "
			"confidentiality; boot with lockdown=integrity or none",
			NULL);
	facts.capture.reads = CAPTURE_UNKNOWN;
	expect_failures(&facts, NULL, NULL);
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "lockdown: /sys/kernel/security/lockdown cannot be read");
}

static void loading_needs_bpf_and_perfmon_or_admin(void **state)
{
	static const struct {
		uint64_t capabilities;
		const char *missing; /* NULL: enough */
	} cases[] = {
	    {BIT(CAP_BPF) | BIT(CAP_PERFMON), NULL},
	    {BIT(CAP_SYS_ADMIN), NULL},
	    {BIT(CAP_BPF), "CAP_PERFMON"},
	    {BIT(CAP_PERFMON), "CAP_BPF"},
	    {BIT(CAP_SYS_PTRACE), "CAP_BPF and CAP_PERFMON"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct doctor_facts facts = good_facts();
		char line[256];

		snprintf(line, sizeof(line),
			 "privileges to load BPF programs: %s missing; run as root "
			 "(sudo), or with these capabilities",
			 cases[i].missing ? cases[i].missing : "nothing");
		facts.capabilities = cases[i].capabilities;
		expect_failures(&facts, cases[i].missing ? line : NULL, NULL);
	}
}

static void without_privileges_features_are_not_blamed(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	facts.capabilities = 0;
	facts.capture.tracing = facts.sk_storage = facts.ringbuf = CAPTURE_UNKNOWN;
	expect_failures(&facts,
			"privileges to load BPF programs: CAP_BPF and CAP_PERFMON "
			"missing; run as root (sudo), or with these capabilities",
			NULL);
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "socket storage: cannot be told without the privileges to load BPF "
		    "programs");
}

static void capabilities_of_a_user_namespace_do_not_count(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	facts.capabilities = UINT64_MAX;
	facts.user_namespace = true;
	expect_failures(&facts,
			"privileges to load BPF programs: capabilities of a user "
			"namespace do not count; run outside of it (not in a rootless "
			"container)",
			NULL);
}

static void privileges_to_read_proc_are_a_note(void **state)
{
	static const struct {
		uint64_t dropped;
		const char *line;
	} cases[] = {
	    {BIT(CAP_SYS_PTRACE),
	     "privileges to read /proc of all users: CAP_SYS_PTRACE missing; --exe "
	     "misses processes of others and OTEL_SERVICE_NAME does not name them"},
	    {BIT(CAP_DAC_READ_SEARCH),
	     "privileges to read /proc of all users: CAP_DAC_READ_SEARCH missing; "
	     "--exe "
	     "misses processes of others and OTEL_SERVICE_NAME does not name them"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct doctor_facts facts = good_facts();

		facts.capabilities &= ~cases[i].dropped;
		expect_failures(&facts, NULL, NULL);
		expect_line(&facts, DOCTOR_MARK_NOTE, cases[i].line);
	}
}

static void foreign_pid_namespace_is_a_note(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	facts.pid_namespace = true;
	expect_failures(&facts, NULL, NULL);
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "pid namespace: not the host's, so its pids mean other processes "
		    "here and names are wrong; run with the host's (docker run "
		    "--pid=host, hostPID: true)");
}

static void names_are_judged_by_two_lines(void **state)
{
	struct doctor_facts facts = good_facts();
	struct doctor_report report;

	(void)state;
	doctor_judge_names(&facts, &report);
	assert_int_equal(report.count, 2);
	assert_int_equal(report.lines[0].mark, DOCTOR_MARK_OK);
	assert_int_equal(report.lines[1].mark, DOCTOR_MARK_OK);
	facts.pid_namespace = true;
	facts.capabilities &= ~BIT(CAP_SYS_PTRACE);
	doctor_judge_names(&facts, &report);
	assert_int_equal(report.count, 2);
	for (size_t i = 0; i < report.count; i++) {
		assert_int_equal(report.lines[i].mark, DOCTOR_MARK_NOTE);
		expect_line(&facts, DOCTOR_MARK_NOTE, report.lines[i].text);
	}
}

static void other_machines_cannot_run(void **state)
{
	static const char *const machines[] = {"aarch64", "i686", ""};

	(void)state;
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		struct doctor_facts facts = good_facts();
		char line[256];

		snprintf(
		    line, sizeof(line),
		    "kernel 6.18.1 on %s: only x86_64 is supported; run it on such "
		    "a machine",
		    machines[i]);
		strcpy(facts.machine, machines[i]);
		expect_failures(&facts, line, NULL);
	}
}

static void refused_features_are_failures_in_order(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	facts.capture.tracing = CAPTURE_NO;
	facts.ringbuf = CAPTURE_NO;
	expect_failures(
	    &facts,
	    "tracing programs: refused by this kernel (6.18.1); use Linux "
	    "5.5 or newer, and allow bpf(2) where a container's seccomp "
	    "profile forbids it",
	    "ring buffer: refused by this kernel (6.18.1); use Linux 5.8 or "
	    "newer, and allow bpf(2) where a container's seccomp profile "
	    "forbids it");
}

static void settings_are_notes(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "net.core.bpf_jit_enable = 1: programs run compiled");
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "kernel.unprivileged_bpf_disabled = 2: only the privileged load "
		    "programs");
	expect_line(
	    &facts, DOCTOR_MARK_NOTE,
	    "kernel.bpf_stats_enabled = 0: the time in programs is not measured");
	expect_line(&facts, DOCTOR_MARK_NOTE, "memory limit of this cgroup: none");
	facts.bpf_jit_enable = 0;
	facts.unprivileged_bpf_disabled = 0;
	facts.bpf_stats_enabled = -1;
	facts.memory_limit_bytes = 64 << 20;
	expect_failures(&facts, NULL, NULL);
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "net.core.bpf_jit_enable = 0: programs run interpreted, several "
		    "times slower; set it to 1");
	expect_line(
	    &facts, DOCTOR_MARK_NOTE,
	    "kernel.unprivileged_bpf_disabled = 0: users without privileges may "
	    "load some; 2 is safer");
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "kernel.bpf_stats_enabled: cannot be read");
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "memory limit of this cgroup: 64 MiB; BPF maps count towards it");
}

/* ---- files ---- */

static int remove_entry(const char *path, const struct stat *status, int type,
			struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

static int set_up(void **state)
{
	char *root = strdup("/tmp/bpftally-doctor-XXXXXX");

	assert_non_null(root);
	assert_non_null(mkdtemp(root));
	*state = root;
	return 0;
}

static int tear_down(void **state)
{
	char *root = *state;

	assert_int_equal(nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(root);
	return 0;
}

/* Writes below root, with the directories on the way. */
static void write_file(const char *root, const char *name, const char *text)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", root, name);
	for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/'));
	     slash++) {
		*slash = '\0';
		assert_true(!mkdir(path, 0700) || errno == EEXIST);
		*slash = '/';
	}
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static struct doctor_facts facts_of(const char *root)
{
	struct doctor_facts facts = {0};

	doctor_read_files(root, &facts);
	return facts;
}

static void files_say_what_they_mean(void **state)
{
	struct doctor_facts facts;

	write_file(*state, "/proc/self/status",
		   "Name:\tx\nCapInh:\t0000000000000001\nCapPrm:\t0000000000000002\n"
		   "CapEff:\t000000c000080004\nCapBnd:\t000001ffffffffff\n");
	write_file(*state, "/proc/self/uid_map", "         0          0 4294967295\n");
	write_file(*state, "/proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
	write_file(*state, "/proc/sys/net/core/bpf_jit_enable", "1\n");
	write_file(*state, "/proc/sys/kernel/bpf_stats_enabled", "0\n");
	facts = facts_of(*state);
	assert_int_equal(facts.capabilities, NEEDED_CAPABILITIES);
	assert_false(facts.user_namespace);
	assert_int_equal(facts.unprivileged_bpf_disabled, 2);
	assert_int_equal(facts.bpf_jit_enable, 1);
	assert_int_equal(facts.bpf_stats_enabled, 0);
	assert_string_equal(facts.lockdown, "");
	assert_true(facts.memory_limit_bytes == UINT64_MAX);
}

static void absent_files_are_unknown(void **state)
{
	struct doctor_facts facts = facts_of(*state);

	assert_int_equal(facts.capabilities, 0);
	assert_int_equal(facts.unprivileged_bpf_disabled, -1);
	assert_int_equal(facts.bpf_jit_enable, -1);
	assert_int_equal(facts.bpf_stats_enabled, -1);
	assert_string_equal(facts.lockdown, "");
	assert_true(facts.memory_limit_bytes == UINT64_MAX);
	write_file(*state, "/proc/sys/kernel/bpf_stats_enabled", "x\n");
	assert_int_equal(facts_of(*state).bpf_stats_enabled, -1);
}

static void lockdown_level_is_the_bracketed_one(void **state)
{
	static const char *const files[][2] = {
	    {"[none] integrity confidentiality\n", "none"},
	    {"none [integrity] confidentiality\n", "integrity"},
	    {"none integrity [confidentiality]\n", "confidentiality"},
	    {"none integrity confidentiality\n", ""},
	    {"", ""},
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		write_file(*state, "/sys/kernel/security/lockdown", files[i][0]);
		assert_string_equal(facts_of(*state).lockdown, files[i][1]);
	}
}

static void user_namespace_is_told_by_its_map(void **state)
{
	static const struct {
		const char *map;
		bool inside;
	} cases[] = {
	    {"0 0 4294967295\n", false},
	    {"0 1000 1\n", true},
	    {"0 0 65536\n", true},
	    {"0 100000 4294967295\n", true},
	    {"", true}, /* not mapped yet */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_file(*state, "/proc/self/uid_map", cases[i].map);
		assert_int_equal(facts_of(*state).user_namespace, cases[i].inside);
	}
}

static void memory_limit_is_the_lowest_on_the_way_up(void **state)
{
	write_file(*state, "/proc/self/cgroup", "0::/a.slice/b.service\n");
	write_file(*state, "/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
	assert_true(facts_of(*state).memory_limit_bytes == UINT64_MAX);
	write_file(*state, "/sys/fs/cgroup/a.slice/memory.max", "1000000\n");
	assert_int_equal(facts_of(*state).memory_limit_bytes, 1000000);
	write_file(*state, "/sys/fs/cgroup/a.slice/b.service/memory.max", "2000000\n");
	assert_int_equal(facts_of(*state).memory_limit_bytes, 1000000);
	write_file(*state, "/sys/fs/cgroup/memory.max", "500000\n");
	assert_int_equal(facts_of(*state).memory_limit_bytes, 500000);
	/* In a cgroup namespace the container's limit is at the mount itself. */
	write_file(*state, "/proc/self/cgroup", "0::/\n");
	assert_int_equal(facts_of(*state).memory_limit_bytes, 500000);
}

static void memory_limit_is_found_beside_version_1(void **state)
{
	write_file(*state, "/proc/self/cgroup", "1:name=systemd:/a\n0::/a/b\n");
	write_file(*state, "/sys/fs/cgroup/unified/a/memory.max", "1000000\n");
	assert_int_equal(facts_of(*state).memory_limit_bytes, 1000000);
}

static void memory_limit_of_version_1_counts_too(void **state)
{
	write_file(*state, "/proc/self/cgroup",
		   "5:cpu,cpuacct:/x\n4:hugetlb,memory:/a/b\n0::/\n");
	write_file(*state, "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
		   "9223372036854771712\n");
	assert_true(facts_of(*state).memory_limit_bytes == UINT64_MAX);
	write_file(*state, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
		   "67108864\n");
	assert_int_equal(facts_of(*state).memory_limit_bytes, 67108864);
}

/* ---- this machine ---- */

/* With or without root: the verdict follows from the lines, and the failure that
 * an error message would quote is the first of them. */
static void verdict_on_this_machine_follows_from_its_lines(void **state)
{
	char line[256] = "", *out = NULL, *first_no;
	size_t size = 0;
	FILE *file = open_memstream(&out, &size);
	bool can_run, failed;

	(void)state;
	assert_non_null(file);
	fputc('\n', file); /* so that every line has one before it */
	can_run = doctor_run(file);
	fclose(file);
	failed = doctor_first_failure(line, sizeof(line));
	first_no = strstr(out, "\nno  ");
	assert_int_equal(can_run, !first_no);
	assert_int_equal(can_run, !failed);
	assert_int_equal(can_run, !!strstr(out, "\nbpftally can run here\n"));
	if (first_no) {
		assert_memory_equal(first_no + 5, line, strlen(line));
		assert_int_equal(first_no[5 + strlen(line)], '\n');
	}
	free(out);
}

static void without_function_probes_the_rest_can_run(void **state)
{
	struct doctor_facts facts = good_facts();

	(void)state;
	facts.shadow_stacks = true;
	expect_line(&facts, DOCTOR_MARK_OK, "function metrics");
	strcpy(facts.release, "6.8.0-31-generic");
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "function metrics: Linux 6.6 to 6.10 break shadow stacks with "
		    "return probes; returns are found in the code");
	facts.uprobes = false;
	expect_line(&facts, DOCTOR_MARK_NOTE,
		    "function metrics: this kernel has no uprobes "
		    "(CONFIG_UPROBE_EVENTS), rules of functions cannot be had");
	expect_failures(&facts, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(machine_with_everything_can_run),
	    cmocka_unit_test(without_function_probes_the_rest_can_run),
	    cmocka_unit_test(kernel_without_btf_cannot_run),
	    cmocka_unit_test(missing_tracepoint_names_the_kernel_that_has_it),
	    cmocka_unit_test(kernel_below_the_floor_gets_one_line),
	    cmocka_unit_test(one_way_of_capture_is_enough),
	    cmocka_unit_test(functions_that_cannot_be_hooked_are_a_note),
	    cmocka_unit_test(functions_switched_off_are_said_to_be),
	    cmocka_unit_test(programs_that_are_preempted_are_a_note),
	    cmocka_unit_test(lockdown_confidentiality_cannot_run),
	    cmocka_unit_test(lockdown_without_its_file_is_told_by_a_trial),
	    cmocka_unit_test(loading_needs_bpf_and_perfmon_or_admin),
	    cmocka_unit_test(without_privileges_features_are_not_blamed),
	    cmocka_unit_test(capabilities_of_a_user_namespace_do_not_count),
	    cmocka_unit_test(privileges_to_read_proc_are_a_note),
	    cmocka_unit_test(foreign_pid_namespace_is_a_note),
	    cmocka_unit_test(names_are_judged_by_two_lines),
	    cmocka_unit_test(other_machines_cannot_run),
	    cmocka_unit_test(refused_features_are_failures_in_order),
	    cmocka_unit_test(settings_are_notes),
	    cmocka_unit_test_setup_teardown(files_say_what_they_mean, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(absent_files_are_unknown, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(lockdown_level_is_the_bracketed_one, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(user_namespace_is_told_by_its_map, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(memory_limit_is_the_lowest_on_the_way_up,
					    set_up, tear_down),
	    cmocka_unit_test_setup_teardown(memory_limit_is_found_beside_version_1,
					    set_up, tear_down),
	    cmocka_unit_test_setup_teardown(memory_limit_of_version_1_counts_too,
					    set_up, tear_down),
	    cmocka_unit_test(verdict_on_this_machine_follows_from_its_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
