/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc.c - reads what /proc shows of one process. All of it was written by
 * somebody else: every read has a ceiling, what the ceiling cut in two is left
 * out rather than used, and a name is made a label (slice.h) before it is kept.
 *
 * The directory /proc/PID is opened once and the files through it: when the pid
 * goes to another process in between, the reads fail instead of mixing the two.
 */
#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"
#include "cleanup.h"
#include "program.h"
#include "slice.h"

#define ENVIRON_MAX_BYTES (128 * 1024)
/* Class paths of 10 kB before the main class are usual (Kafka, Hadoop). */
#define CMDLINE_MAX_BYTES (32 * 1024)
#define CGROUP_MAX_BYTES (16 * 1024)
#define STAT_MAX_BYTES 1024
#define COMM_MAX_BYTES 64 /* of kernel threads; 16 of all others */
/* PF_EXITING of linux/sched.h, set before any hook of its end runs (kernel/exit.c) */
#define FLAG_EXITING 0x4
#define ATTRIBUTE_MAX_BYTES (4 * PROC_NAME_LEN)

static void close_directory(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

static int open_process(const char *root, uint32_t pid)
{
	AUTO_FREE char *path = NULL;

	if (asprintf(&path, "%s/%u", root, pid) < 0) {
		path = NULL; /* it is undefined then */
		return -1;
	}
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* At most size - 1 bytes and a NUL; a last piece that the ceiling cut off from
 * its separator is left out. Returns the length or -errno. */
static ssize_t read_file(int dir_fd, const char *name, char separator, char *ret_data,
			 size_t size)
{
	AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return -errno;
	while (len < size - 1) {
		ssize_t got = read(fd, ret_data + len, size - 1 - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		len += (size_t)got;
	}
	if (len == size - 1) {
		while (len && ret_data[len - 1] != separator)
			len--;
	}
	ret_data[len] = '\0';
	return (ssize_t)len;
}

/* The same into memory of its own; NULL when there is nothing to read. */
static char *read_whole(int dir_fd, const char *name, char separator, size_t max_bytes,
			struct slice *ret_text)
{
	AUTO_FREE char *data = malloc(max_bytes + 1);
	ssize_t len;

	if (!data)
		return NULL;
	len = read_file(dir_fd, name, separator, data, max_bytes + 1);
	if (len <= 0)
		return NULL;
	*ret_text = (struct slice){.text = data, .len = (size_t)len};
	return TAKE(data);
}

static void read_exe(int dir_fd, const char *name, char ret_exe[PROC_EXE_LEN])
{
	ssize_t got = readlinkat(dir_fd, name, ret_exe, PROC_EXE_LEN - 1);
	struct slice exe = {.text = ret_exe, .len = got > 0 ? (size_t)got : 0};

	slice_strip_suffix(&exe, " (deleted)");
	ret_exe[exe.len] = '\0';
}

struct stat_fields {
	char state;
	uint32_t parent;
	unsigned int flags;
	unsigned long long start_ticks; /* 0 where a test leaves it out */
};

/* Of /proc/PID/stat, from the third on. The name before them may itself hold
 * parentheses and spaces: count from the last one (proc(5)). */
static bool read_stat(const char *root, uint32_t pid, struct stat_fields *ret_fields)
{
	AUTO_CLOSE int dir_fd = open_process(root, pid);
	struct stat_fields fields = {0};
	char stat[STAT_MAX_BYTES];
	const char *name_end;

	if (dir_fd < 0 || read_file(dir_fd, "stat", ' ', stat, sizeof(stat)) < 0)
		return false;
	name_end = strrchr(stat, ')');
	if (!name_end || sscanf(name_end + 1,
				" %c %u %*s %*s %*s %*s %u %*s %*s %*s %*s %*s %*s "
				"%*s %*s %*s %*s %*s %*s %llu",
				&fields.state, &fields.parent, &fields.flags,
				&fields.start_ticks) < 2)
		return false;
	*ret_fields = fields;
	return true;
}

/* What getenv(3) of the process would find; false if unset or empty, which
 * OpenTelemetry treats alike. */
static bool environment_value(struct slice environment, const char *name,
			      struct slice *ret_value)
{
	while (environment.len) {
		struct slice value = slice_split(&environment, '\0');

		if (!slice_is(slice_split(&value, '='), name))
			continue;
		*ret_value = value;
		return value.len > 0;
	}
	return false;
}

/* False on a broken escape. What does not fit is left out: names are shorter. */
static bool percent_decode(struct slice in, char ret_text[ATTRIBUTE_MAX_BYTES],
			   struct slice *ret_decoded)
{
	size_t len = 0;

	while (in.len && len < ATTRIBUTE_MAX_BYTES) {
		size_t step = *in.text == '%' ? 3 : 1;
		int byte = (unsigned char)*in.text;

		if (step == 3)
			byte = slice_hex_byte((struct slice){in.text + 1, in.len - 1});
		if (byte < 0)
			return false;
		ret_text[len++] = (char)byte;
		in.text += step;
		in.len -= step;
	}
	*ret_decoded = (struct slice){.text = ret_text, .len = len};
	return true;
}

/* One `key=value` of the list: into ret_name if the key is the wanted one. */
static void read_attribute(struct slice item, const char *wanted,
			   char ret_name[PROC_NAME_LEN])
{
	char text[ATTRIBUTE_MAX_BYTES];
	struct slice value = item, key = slice_split(&value, '='), decoded;

	if (!percent_decode(slice_trimmed(key), text, &decoded) ||
	    !slice_is(decoded, wanted))
		return;
	if (percent_decode(slice_trimmed(value), text, &decoded))
		slice_to_label(decoded, ret_name, PROC_NAME_LEN);
}

/* OTEL_RESOURCE_ATTRIBUTES: W3C baggage without properties (OpenTelemetry
 * resource SDK, "Specifying resource information via an environment variable").
 * The last of equal keys wins; a broken item is skipped alone, as the SDKs for
 * Go and Python do, so that it does not cost the service its name. */
static void read_attributes(struct slice list, const char *wanted,
			    char ret_name[PROC_NAME_LEN])
{
	while (list.len)
		read_attribute(slice_split(&list, ','), wanted, ret_name);
}

static void name_from_environment(int dir_fd, struct proc_facts *facts)
{
	struct slice environment, value;
	AUTO_FREE char *data =
	    read_whole(dir_fd, "environ", '\0', ENVIRON_MAX_BYTES, &environment);

	if (!data)
		return;
	if (environment_value(environment, "OTEL_RESOURCE_ATTRIBUTES", &value)) {
		read_attributes(value, "service.name", facts->name);
		read_attributes(value, "service.namespace", facts->name_space);
	}
	if (environment_value(environment, "OTEL_SERVICE_NAME", &value))
		slice_to_label(value, facts->name, PROC_NAME_LEN);
}

static void name_from_cgroup(int dir_fd, struct proc_facts *facts)
{
	struct slice cgroup;
	AUTO_FREE char *data =
	    read_whole(dir_fd, "cgroup", '\n', CGROUP_MAX_BYTES, &cgroup);

	if (data)
		cgroup_name(cgroup, facts->name, PROC_NAME_LEN);
}

/* The command line as the event caught it; what its room cut off is left out. */
static struct slice event_args(const struct tally_process_event *event)
{
	struct slice args = {.text = event->args, .len = event->args_len};

	if (args.len >= TALLY_ARGS_LEN) {
		args.len = TALLY_ARGS_LEN;
		while (args.len && args.text[args.len - 1])
			args.len--;
	}
	return args;
}

static void read_comm(int dir_fd, const struct tally_process_event *event,
		      char ret_comm[COMM_MAX_BYTES])
{
	if (read_file(dir_fd, "comm", '\n', ret_comm, COMM_MAX_BYTES) >= 0)
		ret_comm[strcspn(ret_comm, "\n")] = '\0';
	else
		snprintf(ret_comm, COMM_MAX_BYTES, "%.*s", TALLY_COMM_LEN,
			 event ? event->comm : "");
}

static void name_from_program(int dir_fd, const struct tally_process_event *event,
			      struct proc_facts *facts)
{
	struct slice args = {.text = "", .len = 0};
	char comm[COMM_MAX_BYTES];
	AUTO_FREE char *data =
	    read_whole(dir_fd, "cmdline", '\0', CMDLINE_MAX_BYTES, &args);

	/* Of a zombie it can be read, but is empty. */
	if (!data && event)
		args = event_args(event);
	read_comm(dir_fd, event, comm);
	program_name(facts->exe, args, comm, facts->name, PROC_NAME_LEN);
}

void proc_read(const char *root, uint32_t pid, const struct tally_process_event *event,
	       struct proc_facts *ret_facts)
{
	AUTO_CLOSE int dir_fd = open_process(root, pid);

	memset(ret_facts, 0, sizeof(*ret_facts));
	ret_facts->alive = dir_fd >= 0;
	if (dir_fd >= 0) {
		read_exe(dir_fd, "exe", ret_facts->exe);
		name_from_environment(dir_fd, ret_facts);
		if (!*ret_facts->name)
			name_from_cgroup(dir_fd, ret_facts);
	}
	if (!*ret_facts->name)
		name_from_program(dir_fd, event, ret_facts);
}

void proc_read_exe(const char *root, uint32_t pid, char ret_exe[PROC_EXE_LEN])
{
	AUTO_FREE char *path = NULL;

	*ret_exe = '\0';
	if (asprintf(&path, "%s/%u/exe", root, pid) < 0)
		path = NULL; /* it is undefined then */
	else
		read_exe(AT_FDCWD, path, ret_exe);
}

bool proc_alive(const char *root, uint32_t pid)
{
	struct stat_fields fields;

	return read_stat(root, pid, &fields) && !strchr("ZXx", fields.state) &&
	       !(fields.flags & FLAG_EXITING);
}

uint32_t proc_parent(const char *root, uint32_t pid)
{
	struct stat_fields fields;

	return read_stat(root, pid, &fields) ? fields.parent : 0;
}

uint64_t proc_start_ticks(const char *root, uint32_t pid)
{
	struct stat_fields fields;

	return read_stat(root, pid, &fields) ? fields.start_ticks : 0;
}

/* Pid of a directory entry, 0 if it is something else. */
static uint32_t entry_pid(const char *name)
{
	unsigned long pid;

	if (!*name || name[strspn(name, "0123456789")])
		return 0;
	errno = 0;
	pid = strtoul(name, NULL, 10);
	return errno || pid > UINT32_MAX ? 0 : (uint32_t)pid;
}

void proc_each(const char *root, void (*visit)(void *context, uint32_t pid),
	       void *context)
{
	CLEANUP(close_directory) DIR *directory = opendir(root);
	const struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		uint32_t pid = entry_pid(entry->d_name);

		if (pid)
			visit(context, pid);
	}
}
