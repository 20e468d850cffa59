/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor.h"

#include <inttypes.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "cleanup.h"
#include "return_probes.h"
#include "slice.h"

#define SMALL_FILE_BYTES 8192
#define PATH_BYTES 4096
/* PROC_PID_INIT_INO of the kernel's include/linux/proc_ns.h (uapi/linux/nsfs.h
 * since 6.17): the inode of the initial pid namespace never changes. */
#define INITIAL_PID_NAMESPACE 0xEFFFFFFCu
/* cgroup v1 writes its largest number, rounded to pages, for "no limit". */
#define MEMORY_UNLIMITED_BYTES (1ull << 62)

/* ---- judging ---- */

__attribute__((format(printf, 3, 4))) static void
add(struct doctor_report *report, enum doctor_mark mark, const char *format, ...)
{
	va_list arguments;

	if (report->count == DOCTOR_LINES_MAX)
		return;
	report->lines[report->count].mark = mark;
	va_start(arguments, format);
	vsnprintf(report->lines[report->count].text,
		  sizeof(report->lines[report->count].text), format, arguments);
	va_end(arguments);
	report->count++;
}

static bool has(const struct doctor_facts *facts, unsigned int capability)
{
	return facts->capabilities >> capability & 1;
}

/* CAP_SYS_ADMIN stands in for both (bpf_capable(), perfmon_capable()). */
static bool can_load(const struct doctor_facts *facts)
{
	return !facts->user_namespace &&
	       (has(facts, CAP_SYS_ADMIN) ||
		(has(facts, CAP_BPF) && has(facts, CAP_PERFMON)));
}

static void judge_kernel(const struct doctor_facts *facts, struct doctor_report *report)
{
	if (!strcmp(facts->machine, "x86_64"))
		add(report, DOCTOR_MARK_OK, "kernel %s on x86_64", facts->release);
	else
		add(report, DOCTOR_MARK_NO,
		    "kernel %s on %s: only x86_64 is supported; run it on such a "
		    "machine",
		    facts->release, facts->machine);
}

static void judge_btf(const struct doctor_facts *facts, struct doctor_report *report)
{
	if (facts->capture.btf)
		add(report, DOCTOR_MARK_OK, "kernel type information (BTF)");
	else
		add(report, DOCTOR_MARK_NO,
		    "kernel type information (BTF): /sys/kernel/btf/vmlinux cannot be "
		    "read; use a kernel built with CONFIG_DEBUG_INFO_BTF=y (mount "
		    "/sys if it has that)");
}

/* What both ways of capture need. */
static void judge_hooks(const struct doctor_facts *facts, struct doctor_report *report)
{
	const struct capture_hook *hook;

	if (facts->capture.btf && !facts->capture.helpers)
		add(report, DOCTOR_MARK_NO,
		    "BPF helpers: kernel %s is too old; use Linux 5.15 or newer",
		    facts->release);
	for (size_t i = 0; (hook = capture_hook(i)); i++) {
		if (hook->way != CAPTURE_AUTO || hook->optional)
			continue;
		if (!facts->capture.btf)
			add(report, DOCTOR_MARK_NOTE,
			    "tracepoint %s: unknown without BTF", hook->target);
		else if (facts->capture.hooks[i])
			add(report, DOCTOR_MARK_OK, "tracepoint %s", hook->target);
		else
			add(report, DOCTOR_MARK_NO,
			    "tracepoint %s: not in this kernel (%s); use Linux %s or "
			    "newer",
			    hook->target, facts->release, hook->since);
	}
}

static void judge_way(const struct doctor_facts *facts, enum capture way,
		      const char *what, struct doctor_report *report)
{
	const struct capture_hook *lacks = capture_lacks(&facts->capture, way);

	if (capture_can(&facts->capture, way))
		add(report, DOCTOR_MARK_OK, "%s", what);
	else if (lacks)
		add(report, DOCTOR_MARK_NOTE,
		    "%s: this kernel has no %s that we know (Linux %s)", what,
		    lacks->target, lacks->since);
	else if (way == CAPTURE_FENTRY && facts->capture.functions_off)
		add(report, DOCTOR_MARK_NOTE,
		    "%s: kernel.ftrace_enabled = 0, so no function is hooked", what);
	else if (way == CAPTURE_FENTRY && facts->capture.functions == CAPTURE_NO)
		add(report, DOCTOR_MARK_NOTE,
		    "%s: this kernel lets no program attach to a function "
		    "(CONFIG_FUNCTION_TRACER)",
		    what);
	else
		add(report, DOCTOR_MARK_NOTE, "%s: cannot be told here", what);
}

static void judge_capture(const struct doctor_facts *facts,
			  struct doctor_report *report)
{
	const struct capture_facts *capture = &facts->capture;
	enum capture way = capture_choose(capture, CAPTURE_AUTO);

	if (!capture->btf || !capture->helpers)
		return;
	judge_way(facts, CAPTURE_TRACEPOINT, "capture by tracepoints", report);
	judge_way(facts, CAPTURE_FENTRY, "capture by functions (fentry)", report);
	if (way == CAPTURE_AUTO && capture->functions == CAPTURE_UNKNOWN)
		return;
	if (way == CAPTURE_AUTO && capture->functions_off &&
	    !capture_lacks(capture, CAPTURE_FENTRY))
		add(report, DOCTOR_MARK_NO,
		    "capture: this kernel (%s) has functions only, and they are "
		    "switched "
		    "off; run sysctl -w kernel.ftrace_enabled=1, or use Linux 6.3 or "
		    "newer",
		    facts->release);
	else if (way == CAPTURE_AUTO)
		add(report, DOCTOR_MARK_NO,
		    "capture: no way in this kernel (%s); use Linux 6.3 or newer, or "
		    "5.15 or newer built with CONFIG_FUNCTION_TRACER=y",
		    facts->release);
	else if (capture_sees_send_begin(capture, way))
		add(report, DOCTOR_MARK_OK, "capture: %s", capture_name(way));
	else
		add(report, DOCTOR_MARK_OK,
		    "capture: %s; durations of client requests begin late, when the "
		    "send ends: %s, tells when it began",
		    capture_name(way), capture_send_begin_needs(capture));
}

/* Others stand in for a program that is skipped: what remains is little, not nothing.
 */
static void judge_preemption(const struct doctor_facts *facts,
			     struct doctor_report *report)
{
	const struct capture_facts *capture = &facts->capture;
	enum capture way = capture_choose(capture, CAPTURE_AUTO);

	if (!capture->preempts_functions)
		return;
	if (way == CAPTURE_FENTRY)
		add(report, DOCTOR_MARK_NOTE,
		    "capture: this kernel preempts programs on functions and skips "
		    "them meanwhile, so under load a few requests may be lost "
		    "(bpftally_probe_skipped_total); use Linux 6.3 or newer");
	else if (capture_takes(capture, way, "tcp_sendmsg_entry"))
		add(report, DOCTOR_MARK_NOTE,
		    "capture: this kernel preempts programs on functions and skips "
		    "them meanwhile, so under load a few client durations may begin "
		    "late (bpftally_probe_skipped_total); use Linux 6.16 or newer");
}

static void judge_loading(const struct doctor_facts *facts,
			  struct doctor_report *report)
{
	if (can_load(facts))
		add(report, DOCTOR_MARK_OK, "privileges to load BPF programs");
	else if (facts->user_namespace)
		add(report, DOCTOR_MARK_NO,
		    "privileges to load BPF programs: capabilities of a user namespace "
		    "do not count; run outside of it (not in a rootless container)");
	else
		add(report, DOCTOR_MARK_NO,
		    "privileges to load BPF programs: %s%s%s missing; run as root "
		    "(sudo), or with these capabilities",
		    has(facts, CAP_BPF) ? "" : "CAP_BPF",
		    has(facts, CAP_BPF) || has(facts, CAP_PERFMON) ? "" : " and ",
		    has(facts, CAP_PERFMON) ? "" : "CAP_PERFMON");
}

/* /proc/PID/{exe,environ} of others ask for both, cgroup and cmdline for none. */
static void judge_reading(const struct doctor_facts *facts,
			  struct doctor_report *report)
{
	bool ptrace = has(facts, CAP_SYS_PTRACE);
	bool search = has(facts, CAP_DAC_READ_SEARCH) || has(facts, CAP_DAC_OVERRIDE);

	if (ptrace && search && !facts->user_namespace)
		add(report, DOCTOR_MARK_OK, "privileges to read /proc of all users");
	else
		add(report, DOCTOR_MARK_NOTE,
		    "privileges to read /proc of all users: %s; --exe misses "
		    "processes of others and OTEL_SERVICE_NAME does not name them",
		    facts->user_namespace ? "in a user namespace"
		    : !ptrace             ? "CAP_SYS_PTRACE missing"
					  : "CAP_DAC_READ_SEARCH missing");
}

static void judge_pid_namespace(const struct doctor_facts *facts,
				struct doctor_report *report)
{
	if (facts->pid_namespace)
		add(report, DOCTOR_MARK_NOTE,
		    "pid namespace: not the host's, so its pids mean other processes "
		    "here and names are wrong; run with the host's (docker run "
		    "--pid=host, hostPID: true)");
	else
		add(report, DOCTOR_MARK_OK, "pid namespace of the host");
}

/* Its file is in securityfs, which containers do not have: the trial tells. */
static void judge_lockdown(const struct doctor_facts *facts,
			   struct doctor_report *report)
{
	if (!strcmp(facts->lockdown, "confidentiality"))
		add(report, DOCTOR_MARK_NO,
		    "lockdown confidentiality: it forbids BPF programs to read kernel "
		    "memory; boot with lockdown=integrity or none");
	else if (facts->capture.tracing == CAPTURE_YES &&
		 facts->capture.reads == CAPTURE_NO)
		add(report, DOCTOR_MARK_NO,
		    "lockdown: BPF programs may not read kernel memory, as under "
		    "confidentiality; boot with lockdown=integrity or none");
	else if (*facts->lockdown)
		add(report, DOCTOR_MARK_OK, "lockdown %s", facts->lockdown);
	else if (facts->capture.reads == CAPTURE_YES)
		add(report, DOCTOR_MARK_OK, "lockdown: none that matters");
	else
		add(report, DOCTOR_MARK_NOTE,
		    "lockdown: /sys/kernel/security/lockdown cannot be read");
}

static void judge_feature(const struct doctor_facts *facts, const char *what,
			  enum capture_answer answer, const char *since,
			  struct doctor_report *report)
{
	if (answer == CAPTURE_YES)
		add(report, DOCTOR_MARK_OK, "%s", what);
	else if (answer == CAPTURE_UNKNOWN)
		add(report, DOCTOR_MARK_NOTE, "%s: cannot be told without %s", what,
		    can_load(facts) ? "the lines above"
				    : "the privileges to load BPF programs");
	else
		add(report, DOCTOR_MARK_NO,
		    "%s: refused by this kernel (%s); use Linux %s or newer, and "
		    "allow bpf(2) where a container's seccomp profile forbids it",
		    what, facts->release, since);
}

static void note_setting(const char *name, int value, const char *meaning,
			 struct doctor_report *report)
{
	if (value < 0)
		add(report, DOCTOR_MARK_NOTE, "%s: cannot be read", name);
	else
		add(report, DOCTOR_MARK_NOTE, "%s = %d: %s", name, value, meaning);
}

static void note_settings(const struct doctor_facts *facts,
			  struct doctor_report *report)
{
	note_setting(
	    "net.core.bpf_jit_enable", facts->bpf_jit_enable,
	    facts->bpf_jit_enable
		? "programs run compiled"
		: "programs run interpreted, several times slower; set it to 1",
	    report);
	note_setting("kernel.unprivileged_bpf_disabled",
		     facts->unprivileged_bpf_disabled,
		     facts->unprivileged_bpf_disabled
			 ? "only the privileged load programs"
			 : "users without privileges may load some; 2 is safer",
		     report);
	note_setting("kernel.bpf_stats_enabled", facts->bpf_stats_enabled,
		     facts->bpf_stats_enabled
			 ? "the time in programs is measured, at some cost"
			 : "the time in programs is not measured",
		     report);
	if (facts->memory_limit_bytes == UINT64_MAX)
		add(report, DOCTOR_MARK_NOTE, "memory limit of this cgroup: none");
	else
		add(report, DOCTOR_MARK_NOTE,
		    "memory limit of this cgroup: %" PRIu64
		    " MiB; BPF maps count towards it",
		    facts->memory_limit_bytes >> 20);
}

/* Nothing else depends on it. */
static void judge_functions(const struct doctor_facts *facts,
			    struct doctor_report *report)
{
	const char *danger = return_probes_danger(facts->release, facts->shadow_stacks);

	if (!facts->uprobes)
		add(report, DOCTOR_MARK_NOTE,
		    "function metrics: this kernel has no uprobes "
		    "(CONFIG_UPROBE_EVENTS), rules of functions cannot be had");
	else if (danger)
		add(report, DOCTOR_MARK_NOTE,
		    "function metrics: %s; returns are found in the code", danger);
	else
		add(report, DOCTOR_MARK_OK, "function metrics");
}

/* In the order of what to mend first: nothing below a missing kernel feature
 * helps, and sudo does not bring one. */
void doctor_judge(const struct doctor_facts *facts, struct doctor_report *ret_report)
{
	ret_report->count = 0;
	judge_kernel(facts, ret_report);
	judge_btf(facts, ret_report);
	judge_hooks(facts, ret_report);
	judge_capture(facts, ret_report);
	judge_preemption(facts, ret_report);
	judge_lockdown(facts, ret_report);
	judge_loading(facts, ret_report);
	judge_reading(facts, ret_report);
	judge_pid_namespace(facts, ret_report);
	judge_feature(facts, "tracing programs", facts->capture.tracing, "5.5",
		      ret_report);
	judge_feature(facts, "socket storage", facts->sk_storage, "5.2", ret_report);
	judge_feature(facts, "ring buffer", facts->ringbuf, "5.8", ret_report);
	judge_functions(facts, ret_report);
	note_settings(facts, ret_report);
}

void doctor_judge_names(const struct doctor_facts *facts,
			struct doctor_report *ret_report)
{
	ret_report->count = 0;
	judge_reading(facts, ret_report);
	judge_pid_namespace(facts, ret_report);
}

bool doctor_can_run(const struct doctor_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		if (report->lines[i].mark == DOCTOR_MARK_NO)
			return false;
	}
	return true;
}

/* ---- asking: files ---- */

__attribute__((format(printf, 3, 4))) static bool read_text(char *ret_text, size_t size,
							    const char *format, ...)
{
	AUTO_FCLOSE FILE *file = NULL;
	char path[PATH_BYTES];
	va_list arguments;
	int len;

	va_start(arguments, format);
	len = vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	if (len < 0 || (size_t)len >= sizeof(path))
		return false;
	file = fopen(path, "re");
	if (!file)
		return false;
	ret_text[fread(ret_text, 1, size - 1, file)] = '\0';
	return !ferror(file);
}

static int read_setting(const char *root, const char *name)
{
	char text[32], *end;
	long value;

	if (!read_text(text, sizeof(text), "%s/proc/sys/%s", root, name))
		return -1;
	value = strtol(text, &end, 10);
	return end == text || value < 0 || value > 1000 ? -1 : (int)value;
}

/* CapEff of /proc/self/status, hexadecimal. */
static uint64_t read_capabilities(const char *root)
{
	char status[SMALL_FILE_BYTES];
	const char *line;

	if (!read_text(status, sizeof(status), "%s/proc/self/status", root))
		return 0;
	line = strstr(status, "\nCapEff:");
	return line ? strtoull(line + strlen("\nCapEff:"), NULL, 16) : 0;
}

/* The initial one maps every id to itself (user_namespaces(7)). */
static bool in_user_namespace(const char *root)
{
	unsigned int inside, outside, count;
	char map[256];

	if (!read_text(map, sizeof(map), "%s/proc/self/uid_map", root))
		return false;
	return sscanf(map, "%u %u %u", &inside, &outside, &count) != 3 || inside ||
	       outside || count != UINT32_MAX;
}

/* The level in brackets of "none [integrity] confidentiality". */
static void read_lockdown(const char *root, char *ret_level, size_t size)
{
	char text[128];
	struct slice level;

	*ret_level = '\0';
	if (!read_text(text, sizeof(text), "%s/sys/kernel/security/lockdown", root))
		return;
	level = slice_of(text);
	slice_split(&level, '[');
	if (level.len)
		slice_to_label(slice_split(&level, ']'), ret_level, size);
}

/* The lowest limit on the way from the cgroup at path up to the mount. */
static uint64_t lowest_limit(const char *root, const char *mount, struct slice path,
			     const char *file)
{
	uint64_t lowest = UINT64_MAX;
	char text[32], *end;

	while (path.len) {
		while (path.len && path.text[path.len - 1] == '/')
			path.len--;
		if (read_text(text, sizeof(text), "%s/sys/fs/cgroup%s%.*s/%s", root,
			      mount, (int)path.len, path.text, file)) {
			uint64_t limit = strtoull(text, &end, 10);

			if (end != text && limit < MEMORY_UNLIMITED_BYTES &&
			    limit < lowest)
				lowest = limit;
		}
		while (path.len && path.text[path.len - 1] != '/')
			path.len--;
	}
	return lowest;
}

static bool is_memory_controller(struct slice controllers)
{
	while (controllers.len) {
		if (slice_is(slice_split(&controllers, ','), "memory"))
			return true;
	}
	return false;
}

/* Mounted beside those of version 1 it is in a directory of its own (systemd's
 * "hybrid"). */
static uint64_t limit_of_version_2(const char *root, struct slice path)
{
	uint64_t limit = lowest_limit(root, "", path, "memory.max");
	uint64_t hybrid = lowest_limit(root, "/unified", path, "memory.max");

	return hybrid < limit ? hybrid : limit;
}

/* By both hierarchies: one of them has the memory controller. */
static uint64_t read_memory_limit(const char *root)
{
	uint64_t lowest = UINT64_MAX;
	char text[SMALL_FILE_BYTES];
	struct slice lines;

	if (!read_text(text, sizeof(text), "%s/proc/self/cgroup", root))
		return lowest;
	lines = slice_of(text);
	while (lines.len) {
		struct slice path = slice_split(&lines, '\n'), controllers;
		uint64_t limit = UINT64_MAX;

		slice_split(&path, ':');
		controllers = slice_split(&path, ':');
		if (!controllers.len)
			limit = limit_of_version_2(root, path);
		else if (is_memory_controller(controllers))
			limit = lowest_limit(root, "/memory", path,
					     "memory.limit_in_bytes");
		if (limit < lowest)
			lowest = limit;
	}
	return lowest;
}

static bool has_file(const char *root, const char *path)
{
	char whole[PATH_BYTES];

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	return !access(whole, F_OK);
}

void doctor_read_files(const char *root, struct doctor_facts *facts)
{
	facts->capabilities = read_capabilities(root);
	facts->user_namespace = in_user_namespace(root);
	read_lockdown(root, facts->lockdown, sizeof(facts->lockdown));
	facts->unprivileged_bpf_disabled =
	    read_setting(root, "kernel/unprivileged_bpf_disabled");
	facts->bpf_jit_enable = read_setting(root, "net/core/bpf_jit_enable");
	facts->bpf_stats_enabled = read_setting(root, "kernel/bpf_stats_enabled");
	facts->memory_limit_bytes = read_memory_limit(root);
	facts->uprobes = has_file(root, "/sys/bus/event_source/devices/uprobe/type");
	facts->shadow_stacks = return_probes_shadow_stacks(root);
}

/* ---- asking: the kernel ---- */

static void read_uname(struct doctor_facts *facts)
{
	struct utsname name;

	if (uname(&name))
		return;
	snprintf(facts->release, sizeof(facts->release), "%s", name.release);
	snprintf(facts->machine, sizeof(facts->machine), "%s", name.machine);
}

static bool in_pid_namespace(void)
{
	struct stat status;

	return !stat("/proc/self/ns/pid", &status) &&
	       status.st_ino != INITIAL_PID_NAMESPACE;
}

static enum capture_answer probe_map(enum bpf_map_type type)
{
	int probed = libbpf_probe_bpf_map_type(type, NULL);

	if (probed < 0)
		return CAPTURE_UNKNOWN;
	return probed ? CAPTURE_YES : CAPTURE_NO;
}

static void ask_kernel(struct doctor_facts *facts)
{
	capture_ask(&facts->capture);
	/* Without privileges a refusal says nothing about the kernel. */
	if (!can_load(facts)) {
		facts->capture.tracing = facts->capture.functions = CAPTURE_UNKNOWN;
		facts->capture.reads = CAPTURE_UNKNOWN;
		return;
	}
	facts->sk_storage = probe_map(BPF_MAP_TYPE_SK_STORAGE);
	facts->ringbuf = probe_map(BPF_MAP_TYPE_RINGBUF);
}

static void examine(struct doctor_report *ret_report)
{
	/* What libbpf would print is said by our lines. */
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	struct doctor_facts facts = {0};

	read_uname(&facts);
	doctor_read_files("", &facts);
	facts.pid_namespace = in_pid_namespace();
	ask_kernel(&facts);
	libbpf_set_print(print);
	doctor_judge(&facts, ret_report);
}

bool doctor_run(FILE *out)
{
	static const char *const marks[] = {[DOCTOR_MARK_OK] = "ok",
					    [DOCTOR_MARK_NO] = "no",
					    [DOCTOR_MARK_NOTE] = "--"};
	struct doctor_report report;
	bool can_run;

	examine(&report);
	for (size_t i = 0; i < report.count; i++)
		fprintf(out, "%s  %s\n", marks[report.lines[i].mark],
			report.lines[i].text);
	can_run = doctor_can_run(&report);
	fprintf(out, "%s\n",
		can_run ? "bpftally can run here"
			: "bpftally cannot run here: mend the lines marked \"no\"");
	return can_run;
}

bool doctor_first_failure(char *ret_line, size_t size)
{
	struct doctor_report report;

	examine(&report);
	for (size_t i = 0; i < report.count; i++) {
		if (report.lines[i].mark != DOCTOR_MARK_NO)
			continue;
		snprintf(ret_line, size, "%s", report.lines[i].text);
		return true;
	}
	return false;
}

void doctor_examine_names(struct doctor_report *ret_report)
{
	struct doctor_facts facts = {0};

	doctor_read_files("", &facts);
	facts.pid_namespace = in_pid_namespace();
	doctor_judge_names(&facts, ret_report);
}
