/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copytruncate: the file is copied, then emptied; the copy is named after it. It
 * begins with the same bytes, and what of the original was not read when it was emptied
 * stands in the copy behind the same position. A copy is not read until that has
 * happened. Where it does not, it was a copy of another kind, and goes on from its end;
 * or it only began with the same bytes, and is read from its beginning.
 *
 * That may happen again at any time, between any two system calls. So a file is known
 * by prints of what was read of it; only a new copy is compared with what stands there
 * now, too, as nobody may have read that yet. Copies that nobody saw being made are
 * looked for when the file was read again: then it is known which are of what stands
 * there.
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

typedef bool is_after_call(const char *name, const char *original);

static bool is_beside(const char *path, const char *original, is_after_call *is_after)
{
	const char *base = base_of(original);
	const size_t directory_len = (size_t)(base - original);

	return !strncmp(path, original, directory_len) &&
	       !strchr(path + directory_len, '/') &&
	       is_after(path + directory_len, base);
}

/* After its name, or what a link of that name leads to. */
static bool is_named_so(const char *path, const struct log_file *file,
			is_after_call *is_after)
{
	return is_beside(path, file->name, is_after) ||
	       (file->target && is_beside(path, file->target, is_after));
}

/* --- contents ----------------------------------------------------------------- */

static int open_regular(const char *path, struct log_stat *ret_found)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	int regular;

	if (fd < 0 || log_stat(fd, "", ret_found) || !ret_found->is_regular)
		return -1;
	regular = fd;
	fd = -1;
	return regular;
}

/* -1: also when it is not at its path any more. */
static int open_file(const struct log_file *file, struct log_stat *ret_found)
{
	int fd = file->path ? open_regular(file->path, ret_found) : -1;

	if (fd < 0 || log_identity_is(&file->identity, &ret_found->identity))
		return fd;
	close(fd);
	return -1;
}

/* Up to where that was read. */
static bool has_content_of(int fd, const struct log_file *file)
{
	return file->identity.head.len && log_head_is(fd, file->identity.head) &&
	       log_before_is(fd, file->read_end, file->tail);
}

/* As what stands there now, as far as it goes: one that is being made may have nothing
 * yet. */
static bool begins_as_now(int fd, const struct log_file *file)
{
	char bytes[LOG_HEAD_BYTES], others[LOG_HEAD_BYTES];
	ssize_t len = pread(fd, bytes, sizeof(bytes), 0);
	struct log_stat found;
	AUTO_CLOSE int other = open_file(file, &found);

	return len >= 0 && other >= 0 && pread(other, others, (size_t)len, 0) == len &&
	       !memcmp(bytes, others, (size_t)len);
}

/* In that order: where the file has another content by now, its copy has all of it. */
static bool begins_like(int fd, const struct log_file *file)
{
	return begins_as_now(fd, file) || has_content_of(fd, file);
}

struct search {
	const struct log_files *files;
	const char *path; /* of what may be a copy, */
	int fd;           /* and that */
	struct log_file *origin;
};

static void find_among(struct search *search, struct log_node *node)
{
	for (; node && !search->origin; node = log_index_next(node)) {
		struct log_file *file = node->file;

		if (!file->origin &&
		    is_named_so(search->path, file, log_siblings_is_named_after) &&
		    begins_like(search->fd, file))
			search->origin = file;
	}
}

static bool find_origin(void *context, const char *name)
{
	struct search *search = context;
	const uint64_t hash = log_index_text(name);

	find_among(search, log_index_first(&search->files->by_name, hash));
	find_among(search, log_index_first(&search->files->by_target, hash));
	return search->origin;
}

static struct log_file *origin_of(const struct log_files *files, const char *path,
				  int fd)
{
	struct search search = {files, path, fd, NULL};

	log_siblings_each_original(path, find_origin, &search);
	return search.origin;
}

struct log_file *log_copies_origin(const struct log_files *files, const char *path)
{
	struct log_stat found;
	AUTO_CLOSE int fd = open_regular(path, &found);

	return fd < 0 ? NULL : origin_of(files, path, fd);
}

/* Directories are listed in any order. Nothing of what is new was read yet. */
void log_copies_claim(struct log_files *files)
{
	for (uint32_t i = 0; i < files->count; i++) {
		struct log_file *file = files->items[i];
		struct log_stat found;
		AUTO_CLOSE int fd = -1;

		if (file->found_scan != files->scan || file->origin || file->read_end)
			continue;
		fd = open_file(file, &found);
		if (fd >= 0)
			file->origin = origin_of(files, file->path, fd);
	}
}

/* --- what the original was not read to ---------------------------------------- */

/* Its lines are told of the original: nothing says that they are in a copy. Without
 * memory it keeps its own name. */
static void take_name(struct log_files *files, struct log_file *copy,
		      const struct log_file *file)
{
	char *name = strdup(file->name), *labels = strdup(file->labels);

	if (!name || !labels) {
		free(name);
		free(labels);
		return;
	}
	log_index_remove(&files->by_name, &copy->by_name);
	free(copy->name);
	free(copy->labels);
	copy->name = name;
	log_index_add(&files->by_name, &copy->by_name, copy, log_index_text(name));
	copy->labels = labels;
	copy->place = (struct log_batch_place){0};
}

static void go_on(struct log_files *files, struct log_file *copy,
		  const struct log_file *file)
{
	copy->origin = NULL;
	take_name(files, copy, file);
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
	struct log_stat found;
	AUTO_CLOSE int fd = open_regular(path, &found);
	struct log_file *copy;

	if (fd < 0 || !has_content_of(fd, file))
		return false;
	copy = log_files_at_inode(files, &found.identity);
	if (copy && !copy->origin)
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

static bool is_missed(const struct log_files *files, const char *path,
		      struct log_stat *ret_found)
{
	AUTO_CLOSE int fd = open_regular(path, ret_found);

	return fd >= 0 && !log_files_at_inode(files, &ret_found->identity) &&
	       ret_found->identity.birth_ns > files->since_ns - BIRTH_SLACK_NS &&
	       !origin_of(files, path, fd);
}

void log_copies_on_missed(void *context, struct log_sought *sought, const char *path)
{
	const struct log_file *file = sought->file;
	struct log_files *files = context;
	struct log_file *missed;
	struct log_stat found;

	if (!is_named_so(path, file, log_siblings_is_rotated) ||
	    !is_missed(files, path, &found))
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
	log_siblings_visit(changed, count, &visitor);
}

/* --- copies of another kind --------------------------------------------------- */

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

/* Of one that does not grow, and whose original is not emptied. */
static void judge_whole(struct log_files *files, struct log_file *copy, int fd,
			uint64_t size)
{
	const struct log_file *origin = copy->origin;
	struct log_stat found;
	AUTO_CLOSE int other = open_file(origin, &found);

	/* That it has changed, or where it is now, is to be found yet. */
	if (!has_content_of(other, origin) && has_content_of(fd, origin))
		return;
	if (!log_before_is(other, size, log_print_before(fd, size)))
		go_on_at(files, copy, 0);
	else if (origin->offset >= size)
		go_on_at(files, copy, size);
}

static bool is_quiet(const struct log_files *files, const struct log_file *copy)
{
	return files->now_ms - copy->growth_ms >= LOG_COPY_MS;
}

void log_copies_judge(struct log_files *files, struct log_file *copy)
{
	struct log_stat found;
	AUTO_CLOSE int fd = open_file(copy, &found);

	if (fd < 0) {
		/* It was renamed, which a scan finds, or is no more. */
		if (!copy->path && is_quiet(files, copy))
			copy->origin = NULL;
		return;
	}
	if (found.size != copy->size)
		copy->growth_ms = files->now_ms;
	copy->size = found.size;
	if (!begins_like(fd, copy->origin))
		copy->origin = origin_of(files, copy->path, fd);
	if (!copy->origin)
		go_on_at(files, copy, 0);
	else if (is_quiet(files, copy))
		judge_whole(files, copy, fd, found.size);
}

void log_copies_release(struct log_files *files, const struct log_file *file)
{
	for (uint32_t i = 0; i < files->count; i++) {
		struct log_file *copy = files->items[i];
		struct log_stat found;
		AUTO_CLOSE int fd = -1;

		if (copy->origin != file)
			continue;
		fd = open_file(copy, &found);
		if (fd >= 0 && has_content_of(fd, file))
			go_on(files, copy, file);
		else
			go_on_at(files, copy, 0);
	}
}
