/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process costs is opening files of /proc: one, its stat. Descriptors are
 * counted by the size of the directory fd, since Linux 6.2 (commit f1f1f2569901). Their
 * limit is had by prlimit(2) of processes of our own user, else (it wants
 * CAP_SYS_RESOURCE, which is more than to read) by the file limits, which is dear: the
 * caller says how often.
 *
 * Files are found through the directory /proc/PID, opened once, so that a pid which
 * goes to another process gives an error instead of a mixture; where the process is
 * known, that it is the same one afterwards says as much, without opening.
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"

#define STAT_LEN 1024   /* 52 numbers and a name of 15 bytes; 64 of a kernel thread */
#define LIMITS_LEN 1024 /* a head and 16 lines of 79; the wanted one is the eighth */
#define LIMIT_NAME "\nMax open files "
#define NAME_LEN 16
#define PATH_LEN (NAME_LEN + 8)
#define DECIMAL 10

struct process_reader {
	int root_fd;
	bool is_ours;          /* the pids there are those of our own namespace */
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

static bool is_ours(int root_fd)
{
	char self[NAME_LEN], own[NAME_LEN];
	struct statfs filesystem;
	ssize_t len = readlinkat(root_fd, "self", self, sizeof(self) - 1);

	if (len < 0 || fstatfs(root_fd, &filesystem) ||
	    filesystem.f_type != PROC_SUPER_MAGIC)
		return false;
	self[len] = '\0';
	snprintf(own, sizeof(own), "%d", (int)getpid());
	return !strcmp(self, own);
}

/* This process has one open, the root. */
static bool sizes_are_counts(int root_fd)
{
	struct stat status;

	return !fstatat(root_fd, "self/fd", &status, 0) && status.st_size > 0;
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
	reader->is_ours = is_ours(reader->root_fd);
	reader->sizes_are_counts = reader->is_ours && sizes_are_counts(reader->root_fd);
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

/* Where the files of a process are: in its directory, or by names from the root. */
struct place {
	int dir_fd;
	uint32_t pid;
	bool is_root;
};

static const char *path_in(const struct place *place, const char *name,
			   char path[PATH_LEN])
{
	if (!place->is_root)
		return name;
	snprintf(path, PATH_LEN, "%" PRIu32 "/%s", place->pid, name);
	return path;
}

static int open_in(const struct place *place, const char *name, int flags)
{
	char path[PATH_LEN];

	return openat(place->dir_fd, path_in(place, name, path),
		      O_RDONLY | O_CLOEXEC | flags);
}

/* procfs gives it whole in one read. Returns 0 or -errno. */
static int read_text(const struct place *place, const char *name, char *ret_text,
		     size_t size)
{
	AUTO_CLOSE int fd = open_in(place, name, 0);
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
static int read_stat(const struct process_reader *reader, const struct place *place,
		     struct process_stat *ret_stat)
{
	uint64_t fields[FIELDS] = {0};
	char text[STAT_LEN], state;
	int err = read_text(place, "stat", text, sizeof(text));

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
static bool read_limits(const struct place *place, uint64_t *ret_max_fds)
{
	static const char unlimited[] = "unlimited ";
	char text[LIMITS_LEN], *end;
	const char *at;
	uint64_t max_fds;

	if (read_text(place, "limits", text, sizeof(text)))
		return false;
	at = strstr(text, LIMIT_NAME);
	if (!at)
		return false;
	at += strlen(LIMIT_NAME);
	at += strspn(at, " ");
	max_fds = strtoull(at, &end, DECIMAL);
	if (!strncmp(at, unlimited, strlen(unlimited)))
		max_fds = UINT64_MAX;
	else if (end == at || *end != ' ')
		return false;
	*ret_max_fds = max_fds;
	return true;
}

static void read_max_fds(const struct process_reader *reader, uint32_t pid,
			 struct process_stat *stat)
{
	struct rlimit limit;

	if (!reader->is_ours || prlimit((pid_t)pid, RLIMIT_NOFILE, NULL, &limit))
		return;
	stat->max_fds = limit.rlim_cur;
	stat->has_max_fds = true;
}

static void close_directory(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

/* Less the one that the directory itself is read through, where it is ours. */
static void count_entries(const struct place *place, struct process_stat *stat)
{
	int fd = open_in(place, "fd", O_DIRECTORY);
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
	if (place->pid == (uint32_t)getpid() && stat->open_fds)
		stat->open_fds--;
}

static void read_open_fds(const struct process_reader *reader,
			  const struct place *place, struct process_stat *stat)
{
	bool is_self = place->pid == (uint32_t)getpid();
	char path[PATH_LEN];
	struct stat status;

	if (!reader->sizes_are_counts) {
		count_entries(place, stat);
	} else if (!fstatat(place->dir_fd, path_in(place, "fd", path), &status, 0)) {
		stat->open_fds = (uint64_t)status.st_size;
		stat->has_open_fds = true;
	}
	/* and less the one of /proc/PID: both are of the reading alone */
	if (is_self && !place->is_root && stat->open_fds)
		stat->open_fds--;
}

/* --- all of it ------------------------------------------------------------------ */

/* Descriptors first: a process that has memory afterwards had them all then, where
 * one that is ending would seem to have none. */
static int read_at(const struct process_reader *reader, const struct place *place,
		   struct process_stat *ret_stat)
{
	struct process_stat stat, fds = {0};
	int err;

	read_open_fds(reader, place, &fds);
	read_max_fds(reader, place->pid, &fds);
	err = read_stat(reader, place, &stat);
	if (err)
		return err;
	stat.open_fds = fds.open_fds;
	stat.has_open_fds = fds.has_open_fds && stat.has_memory;
	stat.max_fds = fds.max_fds;
	stat.has_max_fds = fds.has_max_fds;
	*ret_stat = stat;
	return 0;
}

static int open_place(const struct process_reader *reader, uint32_t pid)
{
	char name[NAME_LEN];
	int fd;

	snprintf(name, sizeof(name), "%" PRIu32, pid);
	fd = openat(reader->root_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

int process_read(const struct process_reader *reader, uint32_t pid,
		 uint64_t start_ticks, struct process_stat *ret_stat)
{
	struct place place = {reader->root_fd, pid, true};
	AUTO_CLOSE int dir_fd = -1;
	struct process_stat stat;

	if (start_ticks && !read_at(reader, &place, &stat) &&
	    stat.start_ticks == start_ticks) {
		*ret_stat = stat;
		return 0;
	}
	dir_fd = open_place(reader, pid);
	if (dir_fd < 0)
		return dir_fd;
	place = (struct place){dir_fd, pid, false};
	return read_at(reader, &place, ret_stat);
}

bool process_read_limit(const struct process_reader *reader, uint32_t pid,
			uint64_t *ret_max_fds)
{
	const struct place place = {reader->root_fd, pid, true};

	return read_limits(&place, ret_max_fds);
}
