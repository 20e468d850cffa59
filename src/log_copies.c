/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copytruncate: the file is copied, then emptied; the copy is named after it. It
 * begins with the same bytes, and what of the original was not read when it was emptied
 * stands in the copy behind the same position. A copy is not read until that has
 * happened. Where it does not, it was a copy of another kind, and goes on from its end;
 * or it only began with the same bytes, and is read from its beginning.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "log_files_internal.h"
#include "log_siblings.h"

/* --- names -------------------------------------------------------------------- */

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool may_be_copy(const char *path, const struct log_file *file)
{
	const char *base = base_of(file->name);
	size_t directory_len = (size_t)(base - file->name);

	return !strncmp(path, file->name, directory_len) &&
	       !strchr(path + directory_len, '/') &&
	       log_siblings_is_named_after(path + directory_len, base);
}

/* --- contents ----------------------------------------------------------------- */

static int open_regular(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct log_stat found;
	int regular;

	if (fd < 0 || log_stat(fd, "", &found) || !found.is_regular)
		return -1;
	regular = fd;
	fd = -1;
	return regular;
}

/* Up to where that was read. */
static bool has_content_of(int fd, const struct log_file *file)
{
	return file->identity.head.len && log_head_is(fd, file->identity.head) &&
	       log_before_is(fd, file->read_end, file->tail);
}

/* One that is being made is shorter yet. */
static bool begins_like(int fd, uint64_t size, const struct log_file *file)
{
	struct log_print head = file->identity.head;

	if (!head.len || size < head.len)
		return false;
	return log_head_is(fd, head) &&
	       (size < file->read_end || log_before_is(fd, file->read_end, file->tail));
}

struct log_file *log_copies_origin(const struct log_files *files, const char *path,
				   const struct log_stat *found)
{
	for (uint32_t i = 0; i < files->count; i++) {
		struct log_file *file = files->items[i];
		AUTO_CLOSE int fd = -1;

		if (file->origin || !file->identity.head.len ||
		    !may_be_copy(path, file))
			continue;
		fd = open_regular(path);
		if (fd >= 0 && begins_like(fd, found->size, file))
			return file;
	}
	return NULL;
}

/* --- what the original was not read to ---------------------------------------- */

/* Its lines are told of the original: nothing says that they are in a copy. Without
 * memory it keeps its own name. */
static void take_name(struct log_file *copy, const struct log_file *file)
{
	char *name = strdup(file->name), *labels = strdup(file->labels);

	if (!name || !labels) {
		free(name);
		free(labels);
		return;
	}
	free(copy->name);
	free(copy->labels);
	copy->name = name;
	copy->labels = labels;
	copy->place = (struct log_batch_place){0};
}

static void go_on(struct log_files *files, struct log_file *copy,
		  const struct log_file *file)
{
	copy->origin = NULL;
	take_name(copy, file);
	copy->identity.head = file->identity.head;
	log_file_restart(copy, file->offset, (struct log_print){0});
	/* What was read and is in no entry yet is read again. */
	if (file->offset == file->read_end)
		copy->tail = file->tail;
	copy->is_rotated = true;
	copy->growth_ms = files->now_ms;
	log_files_make_dirty(files, copy);
	log_files_make_due(files, copy);
	log_debug("\"%s\" goes on in \"%s\"", file->name, copy->path);
}

/* NULL: no memory. */
static struct log_file *follow(struct log_files *files, const struct log_file *file,
			       const char *path, const struct log_stat *found)
{
	struct log_file *other = log_file_create(&found->identity, file->rule, path,
						 file->name, file->service, 0);

	if (!other)
		return NULL;
	other->size = found->size;
	other->scan = files->scan;
	other->is_rotated = true;
	other->growth_ms = files->now_ms;
	log_files_make_dirty(files, other);
	return log_files_add(files, other) ? NULL : other;
}

static bool adopt(struct log_files *files, const struct log_file *file,
		  const char *path)
{
	AUTO_CLOSE int fd = open_regular(path);
	struct log_file *copy;
	struct log_stat found;

	if (fd < 0 || log_stat(fd, "", &found) || !has_content_of(fd, file))
		return false;
	copy = log_files_at_inode(files, &found.identity);
	if (copy && copy->origin != file)
		return false;
	if (!copy)
		copy = follow(files, file, path, &found);
	if (copy)
		go_on(files, copy, file);
	return copy;
}

/* Calls back with each file that is named after this one, until that returns true. */
typedef bool (*relative_call)(struct log_files *files, const struct log_file *file,
			      const char *path);

static bool each_relative(struct log_files *files, const struct log_file *file,
			  relative_call call)
{
	const char *base = base_of(file->name);
	const size_t directory_len = (size_t)(base - file->name);
	bool is_done = false;
	char path[PATH_MAX];
	const struct dirent *entry;
	DIR *listing;

	snprintf(path, sizeof(path), "%.*s", (int)directory_len, file->name);
	listing = opendir(path);
	while (!is_done && listing && (entry = readdir(listing))) {
		if (log_siblings_is_named_after(entry->d_name, base) &&
		    snprintf(path, sizeof(path), "%.*s%s", (int)directory_len,
			     file->name, entry->d_name) < (int)sizeof(path) &&
		    !log_rule_excludes(file->rule, path))
			is_done = call(files, file, path);
	}
	if (listing)
		closedir(listing);
	return is_done;
}

bool log_copies_adopt(struct log_files *files, const struct log_file *file)
{
	return file->identity.head.len && each_relative(files, file, adopt);
}

/* --- what came and went between two scans ------------------------------------- */

#define BIRTH_SLACK_NS 100000000 /* the clock of file systems is behind */

static bool is_missed(const struct log_files *files, const struct log_file *file,
		      const char *path, struct log_stat *ret_found)
{
	AUTO_CLOSE int fd = open_regular(path);

	return fd >= 0 && !log_stat(fd, "", ret_found) &&
	       !log_files_at_inode(files, &ret_found->identity) &&
	       ret_found->identity.birth_ns > files->since_ns - BIRTH_SLACK_NS &&
	       !has_content_of(fd, file);
}

static bool follow_missed(struct log_files *files, const struct log_file *file,
			  const char *path)
{
	struct log_stat found;
	struct log_file *missed;

	if (!is_missed(files, file, path, &found))
		return false;
	missed = follow(files, file, path, &found);
	if (missed) {
		log_files_make_due(files, missed);
		log_debug("\"%s\" was \"%s\"", path, file->name);
	}
	return false;
}

void log_copies_find_missed(struct log_files *files, struct log_file *file)
{
	if (files->since_ns)
		each_relative(files, file, follow_missed);
}

/* --- copies of another kind --------------------------------------------------- */

/* Whether it is a copy of all that the original has up to the copy's size. */
static bool is_copy(const struct log_file *copy, const struct log_file *origin,
		    uint64_t size)
{
	AUTO_CLOSE int copy_fd = open_regular(copy->path);
	AUTO_CLOSE int origin_fd = origin->path ? open_regular(origin->path) : -1;

	return copy_fd >= 0 && origin_fd >= 0 &&
	       log_before_is(origin_fd, size, log_print_before(copy_fd, size));
}

static void go_on_at(struct log_files *files, struct log_file *copy, uint64_t offset)
{
	const bool was_open = copy->fd >= 0; /* something was written to it */

	copy->origin = NULL;
	if (offset && log_file_open(copy) == LOG_READ_END) {
		files->open += !was_open;
		log_file_restart(copy, offset, log_print_before(copy->fd, offset));
		copy->identity.head = log_print_head(copy->fd, offset);
	}
	log_files_make_dirty(files, copy);
	log_files_make_due(files, copy);
}

void log_copies_judge(struct log_files *files, struct log_file *copy)
{
	struct log_stat found;

	if (!copy->path || log_stat(-1, copy->path, &found)) {
		copy->origin = NULL;
		return;
	}
	if (found.size != copy->size)
		copy->growth_ms = files->now_ms;
	copy->size = found.size;
	if (files->now_ms - copy->growth_ms < LOG_COPY_MS)
		return;
	if (!is_copy(copy, copy->origin, found.size))
		go_on_at(files, copy, 0);
	else if (copy->origin->offset >= found.size)
		go_on_at(files, copy, found.size);
}

void log_copies_release(struct log_files *files, const struct log_file *file)
{
	for (uint32_t i = 0; i < files->count; i++) {
		struct log_file *copy = files->items[i];
		AUTO_CLOSE int fd = -1;

		if (copy->origin != file)
			continue;
		fd = copy->path ? open_regular(copy->path) : -1;
		if (fd >= 0 && has_content_of(fd, file))
			go_on(files, copy, file);
		else
			go_on_at(files, copy, 0);
	}
}
