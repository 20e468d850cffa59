/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scan looks at all paths that are wanted: what is new there is followed; what is
 * known has its name. A file that no path leads to any more was renamed (then it is in
 * the same directory, under the same inode), deleted, or moved away.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "log_files_internal.h"
#include "log_glob.h"

/* A file of other contents under the name of one that is gone, if what they begin with
 * is so long, and equal up to the position, is that file written anew (by an editor).
 */
#define REWRITTEN_BYTES 256
#define POLL_FIRST_MS 250
/* Of paths that processes write. Where nothing is in so many scans, nobody looks any
 * more. */
#define SOURCES_MAX 1000
#define MISSING_SCANS 10

void log_find_directory(const char *path, char *ret_directory, size_t size)
{
	const char *end = strrchr(path, '/');
	size_t len = end && end > path ? (size_t)(end - path) : 1;

	snprintf(ret_directory, size, "%.*s", (int)(len < size ? len : size - 1), path);
}

static bool is_at(const struct log_file *file, const char *path)
{
	struct log_stat found;

	return !log_stat(-1, path, &found) &&
	       log_identity_is(&file->identity, &found.identity);
}

/* --- what is new -------------------------------------------------------------- */

static void watch_directory(struct log_files *files, const char *path, bool has_files)
{
	log_watch_add(files->config.watch, path, has_files);
}

/* Of a path that has a link in it, wherever: it may lead elsewhere at any time. What is
 * below /proc/PID/root has none that we could follow. */
static void find_target(struct log_files *files, struct log_file *file)
{
	AUTO_FREE char *target = realpath(file->path, NULL);
	const bool is_linked =
	    target && strcmp(target, file->path) != 0 && is_at(file, target);

	if (is_linked || file->target)
		log_files_set_target(files, file, is_linked ? TAKE(target) : NULL);
}

static void watch_target(struct log_files *files, struct log_file *file)
{
	char directory[PATH_MAX];

	if (!file->is_linked)
		return;
	log_find_directory(file->target, directory, sizeof(directory));
	watch_directory(files, directory, true);
}

/* Also where it is by now is to be watched: who has it open may write on. */
static void watch_place(struct log_files *files, const struct log_file *file)
{
	char directory[PATH_MAX];

	log_find_directory(file->path, directory, sizeof(directory));
	watch_directory(files, directory, true);
}

static bool is_ours(const struct log_files *files, const char *path)
{
	const char *own = files->config.own_path;
	size_t len = own ? strlen(own) : 0;

	return own && !strncmp(path, own, len) && (path[len] == '/' || !path[len]);
}

static void on_other_name(void *context, struct log_sought *sought, const char *path)
{
	(void)context;
	sought->is_found |= is_at(sought->file, path);
}

/* Its name is another's now, and it has no other. */
static bool was_replaced(struct log_file *file, const char *path)
{
	const struct log_siblings_visitor visitor = {.numbered = on_other_name};
	struct log_sought sought = {.file = file, .wants_numbered = true};
	struct log_stat found;

	if (!file->path || strcmp(file->path, path) != 0)
		return false;
	if (file->fd >= 0)
		return !log_stat(file->fd, "", &found) && found.is_deleted;
	return !log_siblings_visit(&sought, 1, &visitor) && !sought.is_found;
}

static bool goes_on(const struct log_file *file, const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	return fd >= 0 && log_head_is(fd, file->identity.head) &&
	       log_before_is(fd, file->read_end, file->tail);
}

/* One that is at this path again: it was nowhere, and has another device number, as
 * after the machine was started again; or it was written anew by an editor. */
static struct log_file *find_returned(const struct log_files *files, const char *path,
				      const struct log_stat *found)
{
	for (uint32_t i = 0; i < files->count; i++) {
		struct log_file *file = files->items[i];
		struct log_identity identity = file->identity;

		if (!identity.head.len || found->size < file->read_end ||
		    strcmp(file->name, path) != 0 ||
		    !(file->absent_ms || was_replaced(file, path)))
			continue;
		identity.device = found->identity.device;
		if ((log_identity_is(&identity, &found->identity) ||
		     identity.head.len >= REWRITTEN_BYTES) &&
		    goes_on(file, path))
			return file;
	}
	return NULL;
}

static void take_over(struct log_files *files, struct log_file *file, const char *path,
		      const struct log_stat *found)
{
	struct log_print head = file->identity.head;

	log_files_close(files, file);
	log_index_remove(&files->by_inode, &file->by_inode);
	file->identity = found->identity;
	file->identity.head = head;
	if (log_index_add(
		&files->by_inode, &file->by_inode, file,
		log_index_inode(found->identity.device, found->identity.inode)))
		files->wants_scan = true;
	log_files_move(files, file, path);
	find_target(files, file);
	file->is_rotated = false;
	file->scan = files->scan;
	log_files_make_due(files, file);
}

/* Of what cannot be read yet: its last byte tells, when that can be, whether a line
 * ended there. */
static void begin_before_last_byte(struct log_file *file)
{
	if (!file->size)
		return;
	file->offset = file->read_end = file->size - 1;
	file->lines.is_discarded = true;
}

/* Not in the middle of a line. */
static void begin_at_end(struct log_file *file)
{
	char last = '\n';

	if (log_file_open(file) != LOG_READ_END)
		return begin_before_last_byte(file);
	if (!file->size)
		return;
	if (pread(file->fd, &last, 1, (off_t)file->size - 1) == 1 && last != '\n')
		file->lines.is_discarded = true;
	file->offset = file->read_end = file->size;
	file->tail = log_print_before(file->fd, file->size);
	file->identity.head = log_print_head(file->fd, file->size);
	log_file_close(file);
}

static bool is_text(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	char bytes[512];
	ssize_t len = fd < 0 ? 0 : pread(fd, bytes, sizeof(bytes), 0);

	return len <= 0 || !memchr(bytes, 0, (size_t)len);
}

/* Paths that nobody has looked at before: what is there is not what came since. */
static bool is_first_look(const struct log_files *files, const struct log_rule *rule)
{
	return files->is_first_scan && rule->is_new;
}

static void follow(struct log_files *files, const struct log_source *source,
		   const char *path, const struct log_stat *found)
{
	struct log_file *origin = log_copies_origin(files, path);
	struct log_file *file = log_file_create(&found->identity, source->rule, path,
						source->name, source->service, 0);

	if (!file)
		return;
	if (!is_at(file, path)) {
		/* Renamed meanwhile: another one may have been taken for it. */
		log_file_free(&file);
		files->wants_scan = true;
		return;
	}
	file->size = found->size;
	file->scan = files->scan;
	file->found_scan = files->scan;
	file->growth_ms = files->now_ms;
	file->origin = origin;
	/* Others may have had that name in between. */
	file->is_anew = !is_first_look(files, source->rule);
	if (!origin && is_first_look(files, source->rule) &&
	    source->rule->config->from_end)
		begin_at_end(file);
	/* Or another life would take it for one that was always there. */
	log_files_make_dirty(files, file);
	if (log_files_add(files, file))
		return;
	find_target(files, file);
	watch_target(files, file);
	log_files_make_due(files, file);
	log_debug("following \"%s\"%s", path, origin ? ", a copy" : "");
}

/* --- what is known ------------------------------------------------------------ */

/* Versions before noted none. */
static bool is_target_stale(const struct log_files *files, const struct log_file *file)
{
	return file->is_linked ? !is_at(file, file->target)
			       : files->is_first_scan && !file->target;
}

/* Of two names the one it had stays, while it has it; but the one that it was found by
 * is taken again: a link may have led elsewhere for a while. */
static bool is_better(const struct log_file *file, const char *path)
{
	return !file->path || (strcmp(file->path, path) != 0 &&
			       (!strcmp(file->name, path) || !is_at(file, file->path)));
}

static void has_name(struct log_files *files, struct log_file *file, const char *path)
{
	if (file->scan == files->scan && strcmp(file->name, path) != 0)
		return;
	file->scan = files->scan;
	if (is_better(file, path)) {
		log_files_move(files, file, path);
		file->is_rotated = strcmp(file->name, path) != 0;
		file->growth_ms = files->now_ms;
		log_files_make_due_first(files, file);
		find_target(files, file);
	} else if (is_target_stale(files, file)) {
		find_target(files, file);
	}
	if (file->is_refused)
		log_files_make_due(files, file);
	watch_target(files, file);
	watch_place(files, file);
}

struct scan {
	struct log_files *files;
	const struct log_source *source;
};

static void on_directory(void *context, const char *path, bool has_files)
{
	const struct scan *scan = context;

	watch_directory(scan->files, path, has_files);
}

/* While it is open, nobody else gets its inode's number. */
static bool is_still(const struct log_file *file, uint64_t inode)
{
	return file && inode && file->identity.inode == inode && file->fd >= 0 &&
	       !file->is_linked;
}

static void look_at(struct log_files *files, const struct log_source *source,
		    const char *path)
{
	struct log_file *known;
	struct log_stat found;

	if (log_stat(-1, path, &found) || !found.is_regular)
		return;
	known = log_files_at_inode(files, &found.identity);
	if (known) {
		has_name(files, known, path);
		return;
	}
	known = find_returned(files, path, &found);
	if (known)
		take_over(files, known, path, &found);
	else if (!source->service || is_text(path))
		follow(files, source, path, &found);
}

static void on_file(void *context, const char *path, uint64_t inode)
{
	const struct scan *scan = context;
	struct log_files *files = scan->files;
	struct log_file *file = log_files_at_path(files, path);

	if (is_still(file, inode)) {
		file->scan = files->scan;
		if (file->is_refused)
			log_files_make_due(files, file);
		return;
	}
	if (!log_rule_excludes(scan->source->rule, path) && !is_ours(files, path))
		look_at(files, scan->source, path);
}

/* --- what has lost its name --------------------------------------------------- */

/* In another directory: the kernel knows the name of what is open. */
static bool find_moved(const struct log_file *file, char *ret_path, size_t size)
{
	char link[32];
	ssize_t len;

	if (file->fd < 0)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
	len = readlink(link, ret_path, size - 1);
	if (len <= 0 || *ret_path != '/')
		return false;
	ret_path[len] = 0;
	return is_at(file, ret_path);
}

static void has_moved(struct log_files *files, struct log_file *file, const char *path)
{
	log_debug("\"%s\" is \"%s\" now", file->path, path);
	log_files_move(files, file, path);
	watch_place(files, file);
}

static void on_new_name(void *context, struct log_sought *sought, const char *path)
{
	if (!is_at(sought->file, path))
		return;
	has_moved(context, sought->file, path);
	sought->is_found = true;
	sought->wants_numbered = false;
}

static void lose_name(struct log_files *files, struct log_file *file)
{
	log_files_make_due_first(files, file);
	file->is_rotated = true;
	file->growth_ms = files->now_ms;
}

static struct log_sought begin_search(struct log_files *files, struct log_file *file)
{
	const struct log_sought sought = {
	    .file = file,
	    .wants_named = !file->is_rotated || !log_files_at_path(files, file->name),
	    .wants_numbered = true,
	};

	lose_name(files, file);
	return sought;
}

static void has_left(struct log_files *files, struct log_file *file)
{
	char path[PATH_MAX];

	if (find_moved(file, path, sizeof(path))) {
		has_moved(files, file, path);
		return;
	}
	log_files_move(files, file, NULL);
	if (file->fd < 0)
		file->absent_ms = files->now_ms;
}

/* Of all files, those that are not where they were. Without memory they are looked
 * for in the next scan. */
static size_t collect_lost(struct log_files *files, struct log_sought **ret_lost)
{
	struct log_sought *lost = NULL;
	size_t count = 0;

	for (uint32_t i = 0; i < files->count; i++) {
		struct log_file *file = files->items[i];

		if (!file->path || file->scan == files->scan)
			continue;
		if (is_at(file, file->path)) {
			watch_place(files, file);
			watch_target(files, file);
			continue;
		}
		/* The link leads elsewhere: it did not move. */
		if (file->is_linked && is_at(file, file->target)) {
			lose_name(files, file);
			has_moved(files, file, file->target);
			continue;
		}
		if (!lost)
			lost = calloc(files->count, sizeof(*lost));
		if (lost)
			lost[count++] = begin_search(files, file);
	}
	*ret_lost = lost;
	return count;
}

static void look_for_lost(struct log_files *files)
{
	const struct log_siblings_visitor visitor = {log_copies_on_missed, on_new_name,
						     files};
	AUTO_FREE struct log_sought *lost = NULL;
	size_t count = collect_lost(files, &lost);

	if (!count || log_siblings_visit(lost, count, &visitor))
		return;
	for (size_t i = 0; i < count; i++) {
		if (!lost[i].is_found)
			has_left(files, lost[i].file);
	}
}

/* How often it has to be looked at. */
static void set_poll(struct log_files *files, struct log_file *file)
{
	char directory[PATH_MAX];
	bool is_blind = false;

	if (file->path) {
		log_find_directory(log_file_place(file), directory, sizeof(directory));
		is_blind = log_watch_is_blind(files->config.watch, directory);
	}
	if (!is_blind)
		file->poll_ms = 0;
	else if (!file->poll_ms)
		file->poll_ms = POLL_FIRST_MS;
}

/* --- scanning ----------------------------------------------------------------- */

static void scan_pattern(struct log_files *files, const struct log_source *source,
			 const char *pattern)
{
	struct scan scan = {files, source};
	const struct log_glob_visitor visitor = {on_directory, on_file, &scan};

	log_glob_walk(pattern, &visitor);
}

static void scan_rule(struct log_files *files, struct log_rule *rule)
{
	const struct log_source source = {.rule = rule};

	for (size_t i = 0; i < rule->config->paths.count; i++)
		scan_pattern(files, &source, rule->config->paths.items[i]);
}

/* Its path is one file's, whatever characters are in it. */
static void scan_source(struct log_files *files, struct log_source *source)
{
	struct scan scan = {files, source};
	char directory[PATH_MAX];
	struct log_stat found;

	log_find_directory(source->pattern, directory, sizeof(directory));
	on_directory(&scan, directory, true);
	on_file(&scan, source->pattern, 0);
	source->missing =
	    log_stat(-1, source->pattern, &found) ? source->missing + 1 : 0;
}

static void free_source(struct log_source *source)
{
	free(source->pattern);
	free(source->name);
	free(source->service);
}

static void scan_sources(struct log_files *files)
{
	for (size_t i = 0; i < files->source_count;) {
		scan_source(files, &files->sources[i]);
		if (files->sources[i].missing < MISSING_SCANS) {
			i++;
			continue;
		}
		free_source(&files->sources[i]);
		files->sources[i] = files->sources[--files->source_count];
	}
}

void log_files_scan(struct log_files *files, int64_t now_ms, bool is_first)
{
	files->now_ms = now_ms;
	files->is_first_scan = is_first;
	files->is_dirty |= is_first; /* when it was is to be known, also of no files */
	files->scan++;
	log_watch_begin(files->config.watch);
	for (size_t i = 0; i < files->config.rule_count; i++)
		scan_rule(files, &files->config.rules[i]);
	scan_sources(files);
	log_copies_claim(files);
	look_for_lost(files);
	for (uint32_t i = 0; i < files->count; i++)
		set_poll(files, files->items[i]);
	log_watch_end(files->config.watch);
	files->is_first_scan = false;
}

/* --- paths that processes write ----------------------------------------------- */

static bool is_wanted(const struct log_files *files, const char *path)
{
	for (size_t i = 0; i < files->source_count; i++) {
		if (!strcmp(files->sources[i].pattern, path))
			return true;
	}
	return false;
}

static int add_source(struct log_files *files, const struct log_source *source)
{
	struct log_source *sources = files->sources;

	if (files->source_count == files->source_room) {
		size_t room = files->source_room ? files->source_room * 2 : 16;

		sources = reallocarray(sources, room, sizeof(*sources));
		if (!sources)
			return -ENOMEM;
		files->sources = sources;
		files->source_room = room;
	}
	sources[files->source_count++] = *source;
	return 0;
}

bool log_files_want(struct log_files *files, struct log_rule *rule, const char *path,
		    const char *name, const char *service)
{
	struct log_source source = {.rule = rule};

	if (files->source_count >= SOURCES_MAX || is_wanted(files, path))
		return false;
	source.pattern = strdup(path);
	source.name = name ? strdup(name) : NULL;
	source.service = service ? strdup(service) : NULL;
	if (source.pattern && (!name || source.name) && (!service || source.service) &&
	    !add_source(files, &source))
		return true;
	free_source(&source);
	return false;
}
