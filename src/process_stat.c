/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process costs three files: stat, limits (0444, where prlimit(2) wants the same
 * user or CAP_SYS_RESOURCE), and the status of fd, whose size is the number of
 * descriptors since Linux 6.2 (commit f1f1f2569901). They are found through the
 * directory /proc/PID, opened once: of a process that ended they are gone, also when
 * its pid has another.
 */
#include "process_stat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"

#define STAT_LEN 1024   /* 52 numbers and a name of 15 bytes; 64 of a kernel thread */
#define LIMITS_LEN 1024 /* a head and 16 lines of 79; the wanted one is the eighth */
#define LIMIT_NAME "\nMax open files "
#define NAME_LEN 16
#define DECIMAL 10

struct process_reader {
	int root_fd;
	bool sizes_are_counts; /* of the directory fd */
	double ticks_per_s;
	uint64_t page_bytes;
	double boot_s; /* since the epoch; 0: not known */
};

/* --- once ---------------------------------------------------------------------- */

static double read_boot_s(int root_fd)
{
	int fd = openat(root_fd, "stat", O_RDONLY | O_CLOEXEC);
	AUTO_FCLOSE FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	AUTO_FREE char *line = NULL;
	unsigned long long seconds = 0;
	size_t room = 0;

	if (!file && fd >= 0)
		close(fd);
	while (file && getline(&line, &room, file) > 0) {
		if (sscanf(line, "btime %llu", &seconds) == 1)
			return (double)seconds;
	}
	return 0;
}

/* This process has one open, the root. */
static bool sizes_are_counts(int root_fd)
{
	struct statfs filesystem;
	struct stat status;

	return !fstatfs(root_fd, &filesystem) &&
	       filesystem.f_type == PROC_SUPER_MAGIC &&
	       !fstatat(root_fd, "self/fd", &status, 0) && status.st_size > 0;
}

int process_reader_create(const char *root, struct process_reader **ret_reader)
{
	CLEANUP(process_reader_free)
	struct process_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	reader->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (reader->root_fd < 0)
		return -errno;
	reader->sizes_are_counts = sizes_are_counts(reader->root_fd);
	reader->ticks_per_s = (double)sysconf(_SC_CLK_TCK);
	reader->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	reader->boot_s = read_boot_s(reader->root_fd);
	*ret_reader = TAKE(reader);
	return 0;
}

void process_reader_free(struct process_reader **reader)
{
	if (!*reader)
		return;
	if ((*reader)->root_fd >= 0)
		close((*reader)->root_fd);
	free(*reader);
	*reader = NULL;
}

double process_ticks_s(const struct process_reader *reader, uint64_t ticks)
{
	return (double)ticks / reader->ticks_per_s;
}

double process_start_s(const struct process_reader *reader, uint64_t start_ticks)
{
	if (reader->boot_s <= 0)
		return 0;
	return process_ticks_s(reader, start_ticks) + reader->boot_s;
}

/* --- stat ---------------------------------------------------------------------- */

/* procfs gives it whole in one read. Returns 0 or -errno. */
static int read_text(int dir_fd, const char *name, char *ret_text, size_t size)
{
	AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -errno;
	do
		len = read(fd, ret_text, size - 1);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	ret_text[len] = '\0';
	return 0;
}

/* proc(5) numbers them from 1; the name is the second. */
enum {
	FIELD_STATE = 3,
	FIELD_USER = 14,
	FIELD_SYSTEM = 15,
	FIELD_THREADS = 20,
	FIELD_START = 22,
	FIELD_VIRTUAL = 23,
	FIELD_RESIDENT = 24,
	FIELDS,
};

/* The name may itself hold parentheses and blanks: counted from the last one. Each
 * number must have an end, so that none is taken that was cut. */
static bool split_stat(const char *text, char *ret_state, uint64_t fields[FIELDS])
{
	const char *at = strrchr(text, ')');

	if (!at || at[1] != ' ' || !at[2] || at[3] != ' ')
		return false;
	*ret_state = at[2];
	at += 3;
	for (int i = FIELD_STATE + 1; i < FIELDS; i++) {
		char *end;

		fields[i] = strtoull(at, &end, DECIMAL);
		if (end == at || (*end != ' ' && *end != '\n'))
			return false;
		at = end;
	}
	return true;
}

/* A process whose first thread has ended is a zombie in its own stat as long as
 * others run; it has times and threads, but neither memory nor descriptors there. */
static int read_stat(const struct process_reader *reader, int dir_fd,
		     struct process_stat *ret_stat)
{
	uint64_t fields[FIELDS] = {0};
	char text[STAT_LEN], state;
	int err = read_text(dir_fd, "stat", text, sizeof(text));

	if (err)
		return err == -ENOENT ? -ESRCH : err;
	if (!split_stat(text, &state, fields))
		return -EPROTO;
	if (strchr("ZXx", state) && fields[FIELD_THREADS] <= 1)
		return -ESRCH;
	*ret_stat = (struct process_stat){
	    .start_ticks = fields[FIELD_START],
	    .cpu_ticks = fields[FIELD_USER] + fields[FIELD_SYSTEM],
	    .threads = fields[FIELD_THREADS],
	    .virtual_bytes = fields[FIELD_VIRTUAL],
	    .resident_bytes = fields[FIELD_RESIDENT] * reader->page_bytes,
	    .has_memory = fields[FIELD_VIRTUAL] != 0,
	};
	return 0;
}

/* --- descriptors ---------------------------------------------------------------- */

/* The soft limit: the first of two. */
static void read_max_fds(int dir_fd, struct process_stat *stat)
{
	char text[LIMITS_LEN], *end;
	const char *at;

	if (read_text(dir_fd, "limits", text, sizeof(text)))
		return;
	at = strstr(text, LIMIT_NAME);
	if (!at)
		return;
	at += strlen(LIMIT_NAME);
	at += strspn(at, " ");
	stat->max_fds = UINT64_MAX;
	if (!strncmp(at, "unlimited ", strlen("unlimited "))) {
		stat->has_max_fds = true;
		return;
	}
	stat->max_fds = strtoull(at, &end, DECIMAL);
	stat->has_max_fds = end != at && *end == ' ';
}

static void close_directory(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

/* Less the one that the directory itself is read through, where it is ours. */
static void count_entries(int dir_fd, bool is_self, struct process_stat *stat)
{
	int fd = openat(dir_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_directory) DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	if (!directory) {
		if (fd >= 0)
			close(fd);
		return;
	}
	errno = 0;
	while ((entry = readdir(directory)))
		stat->open_fds += entry->d_name[0] != '.';
	stat->has_open_fds = !errno;
	if (is_self && stat->open_fds)
		stat->open_fds--;
}

static void read_open_fds(const struct process_reader *reader, int dir_fd, bool is_self,
			  struct process_stat *stat)
{
	struct stat status;

	if (!reader->sizes_are_counts) {
		count_entries(dir_fd, is_self, stat);
	} else if (!fstatat(dir_fd, "fd", &status, 0)) {
		stat->open_fds = (uint64_t)status.st_size;
		stat->has_open_fds = true;
	}
	/* and less the one of /proc/PID: both are of the reading alone */
	if (is_self && stat->open_fds)
		stat->open_fds--;
}

/* --- all of it ------------------------------------------------------------------ */

/* Descriptors first: a process that has memory afterwards had them all then, where
 * one that is ending would seem to have none. */
int process_read(const struct process_reader *reader, uint32_t pid,
		 struct process_stat *ret_stat)
{
	struct process_stat stat, fds = {0};
	AUTO_CLOSE int dir_fd = -1;
	char name[NAME_LEN];
	int err;

	snprintf(name, sizeof(name), "%" PRIu32, pid);
	dir_fd = openat(reader->root_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	read_open_fds(reader, dir_fd, pid == (uint32_t)getpid(), &fds);
	read_max_fds(dir_fd, &fds);
	err = read_stat(reader, dir_fd, &stat);
	if (err)
		return err;
	stat.open_fds = fds.open_fds;
	stat.has_open_fds = fds.has_open_fds && stat.has_memory;
	stat.max_fds = fds.max_fds;
	stat.has_max_fds = fds.has_max_fds;
	*ret_stat = stat;
	return 0;
}
