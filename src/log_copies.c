/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copytruncate: the file is copied, then emptied; the copy is named after it. It
 * begins with the same bytes, and what of the original was not read when it was emptied
 * stands in the copy behind the same position. A copy is not read until that has
 * happened. Where it does not, it was a copy of another kind, and goes on from its end;
 * or it only began with the same bytes, and is read from its beginning.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "log_files_internal.h"

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

static void on_copy(void *context, struct log_sought *sought, const char *path)
{
	if (!adopt(context, sought->file, path))
		return;
	sought->is_found = true;
	sought->wants_named = false;
}

void log_copies_adopt(struct log_files *files, struct log_sought *changed, size_t count)
{
	const struct log_siblings_visitor visitor = {.named = on_copy,
						     .context = files};

	for (size_t i = 0; i < count; i++)
		changed[i].wants_named = changed[i].file->identity.head.len;
	log_siblings_visit(changed, count, &visitor);
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

void log_copies_on_missed(void *context, struct log_sought *sought, const char *path)
{
	const struct log_file *file = sought->file;
	struct log_files *files = context;
	struct log_file *missed;
	struct log_stat found;

	if (!is_missed(files, file, path, &found))
		return;
	missed = follow(files, file, path, &found);
	if (missed) {
		log_files_make_due(files, missed);
		log_debug("\"%s\" was \"%s\"", path, file->name);
	}
}

void log_copies_find_missed(struct log_files *files, struct log_sought *changed,
			    size_t count)
{
	const struct log_siblings_visitor visitor = {.named = log_copies_on_missed,
						     .context = files};

	for (size_t i = 0; i < count; i++)
		changed[i].wants_named = true;
	if (files->since_ns)
		log_siblings_visit(changed, count, &visitor);
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
