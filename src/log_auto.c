/* SPDX-License-Identifier: Apache-2.0 */
#include "log_auto.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "log_identity.h"
#include "slice.h"

#define FDS_MAX 4096 /* of one process */

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

static void look_at(const char *root, uint32_t pid, const char *fd, log_auto_call call,
		    void *context)
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
		call(context, path, name);
}

void log_auto_each(const char *root, uint32_t pid, log_auto_call call, void *context)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	unsigned int count = 0;
	DIR *listing;

	snprintf(path, sizeof(path), "%s/%u/fd", root, pid);
	listing = opendir(path);
	while (listing && count++ < FDS_MAX && (entry = readdir(listing))) {
		if (*entry->d_name != '.')
			look_at(root, pid, entry->d_name, call, context);
	}
	if (listing)
		closedir(listing);
}
