/* SPDX-License-Identifier: Apache-2.0 */
#include "log_auto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "log_identity.h"
#include "slice.h"

#define PORTIONS_MAX 8 /* of one process: 4,096 descriptors */

struct process {
	uint32_t pid;
	char *service;
};

struct log_auto {
	const char *root;
	struct process *processes; /* those before `first` are done */
	size_t first, count, capacity;
	long position; /* in the first one's */
	unsigned int portions;
};

/* --- a file ------------------------------------------------------------------- */

static bool has_suffix(struct slice name, const char *const *suffixes)
{
	for (; *suffixes; suffixes++) {
		if (slice_ends_with(name, *suffixes))
			return true;
	}
	return false;
}

/* They are appended to, and are no lines. */
static bool is_of_database(struct slice name)
{
	static const char *const suffixes[] = {
	    ".db",   ".db-wal", ".sqlite", ".sqlite3", "-wal",     "-journal",
	    ".wal",  ".aof",    ".rdb",    ".ibd",     ".ldb",     ".sst",
	    ".pack", ".idx",    ".bin",    ".dat",     ".journal", NULL};

	return has_suffix(name, suffixes);
}

bool log_auto_is_log(const char *name, bool appends)
{
	static const char *const suffixes[] = {".log", ".out", ".err", NULL};
	struct slice slice = slice_of(name);

	if (*name != '/' || is_of_database(slice))
		return false;
	return appends || has_suffix(slice, suffixes) || strstr(name, "/log/") ||
	       strstr(name, "/logs/");
}

/* The flags that it was opened with, of proc_pid_fdinfo(5); -1: unknown. */
static int flags_of(const char *root, uint32_t pid, const char *fd)
{
	char path[PATH_MAX], line[128];
	AUTO_FCLOSE FILE *info = NULL;

	snprintf(path, sizeof(path), "%s/%u/fdinfo/%s", root, pid, fd);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info)) {
		if (!strncmp(line, "flags:", 6))
			return (int)strtol(line + 6, NULL, 8);
	}
	return -1;
}

/* Whether the path leads to it here; else through the process's root, if that does. */
static bool find_path(const char *root, uint32_t pid, const char *name,
		      const struct log_stat *file, char *ret_path, size_t size)
{
	struct log_stat found;

	snprintf(ret_path, size, "%s", name);
	if (!log_stat(AT_FDCWD, ret_path, &found) &&
	    log_identity_is(&found.identity, &file->identity))
		return true;
	return snprintf(ret_path, size, "%s/%u/root%s", root, pid, name) < (int)size &&
	       !log_stat(AT_FDCWD, ret_path, &found) &&
	       log_identity_is(&found.identity, &file->identity);
}

static void look_at(const char *root, uint32_t pid, const char *fd, const char *service,
		    log_auto_call call, void *context)
{
	char link[PATH_MAX], name[PATH_MAX], path[PATH_MAX];
	struct log_stat found;
	ssize_t len;
	int flags;

	snprintf(link, sizeof(link), "%s/%u/fd/%s", root, pid, fd);
	len = readlink(link, name, sizeof(name) - 1);
	if (len <= 0 || *name != '/')
		return;
	name[len] = 0;
	if (!strncmp(name, "/dev/", 5) || !strncmp(name, "/proc/", 6))
		return;
	flags = flags_of(root, pid, fd);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY ||
	    !log_auto_is_log(name, flags & O_APPEND))
		return;
	if (log_stat(AT_FDCWD, link, &found) || !found.is_regular || found.is_deleted)
		return;
	if (find_path(root, pid, name, &found, path, sizeof(path)))
		call(context, path, name, service);
}

static void close_directory(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

/* Whether there may be more of the process. The kernel's position is a number of a
 * descriptor: good for another opening (fs/proc/fd.c, proc_readfd_common). */
static bool read_portion(struct log_auto *walk, const char *service, log_auto_call call,
			 void *context)
{
	uint32_t pid = walk->processes[walk->first].pid;
	CLEANUP(close_directory) DIR *listing = NULL;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%u/fd", walk->root, pid);
	listing = opendir(path);
	if (!listing)
		return false;
	if (walk->position)
		seekdir(listing, walk->position);
	for (unsigned int i = 0; i < LOG_AUTO_PORTION; i++) {
		const struct dirent *entry = readdir(listing);

		if (!entry)
			return false;
		if (*entry->d_name != '.')
			look_at(walk->root, pid, entry->d_name, service, call, context);
	}
	walk->position = telldir(listing);
	return ++walk->portions < PORTIONS_MAX;
}

/* --- the queue ---------------------------------------------------------------- */

static bool make_room(struct log_auto *walk)
{
	size_t capacity = walk->capacity ? 2 * walk->capacity : 64;
	struct process *processes;

	if (walk->count < walk->capacity)
		return true;
	if (walk->count == LOG_AUTO_PROCESSES_MAX)
		return false;
	processes = reallocarray(walk->processes, capacity, sizeof(*processes));
	if (!processes)
		return false;
	walk->processes = processes;
	walk->capacity = capacity;
	return true;
}

void log_auto_add(struct log_auto *walk, uint32_t pid, const char *service)
{
	char *copy = make_room(walk) ? strdup(service) : NULL;

	if (copy)
		walk->processes[walk->count++] = (struct process){pid, copy};
}

bool log_auto_is_idle(const struct log_auto *walk)
{
	return walk->first == walk->count;
}

bool log_auto_go_on(struct log_auto *walk, log_auto_call call, void *context)
{
	struct process *process = &walk->processes[walk->first];

	if (log_auto_is_idle(walk))
		return false;
	if (!read_portion(walk, process->service, call, context)) {
		free(process->service);
		walk->first++;
		walk->position = 0;
		walk->portions = 0;
	}
	if (!log_auto_is_idle(walk))
		return true;
	walk->first = walk->count = 0;
	return false;
}

int log_auto_create(const char *root, struct log_auto **ret_walk)
{
	struct log_auto *walk = calloc(1, sizeof(*walk));

	if (!walk)
		return -ENOMEM;
	walk->root = root;
	*ret_walk = walk;
	return 0;
}

void log_auto_free(struct log_auto **walk)
{
	if (!*walk)
		return;
	for (size_t i = (*walk)->first; i < (*walk)->count; i++)
		free((*walk)->processes[i].service);
	free((*walk)->processes);
	free(*walk);
	*walk = NULL;
}
