/* SPDX-License-Identifier: Apache-2.0 */
#include "log_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"
#include "log_files_internal.h"
#include "log_glob.h"

#define TURN_BYTES ((size_t)1 << 20)   /* of one turn of the loop */
#define FILE_BYTES ((size_t)256 << 10) /* of one file in it */
#define FILE_COST 4096 /* what looking at one without finding anything counts */
_Static_assert(TURN_BYTES / FILE_COST <= LOG_TURN_FILES, "a turn's files have room");
#define POLL_MIN_MS 250
#define POLL_MAX_MS 4000
#define TICK_MS 250
#define STAMP_TICK_MS 2500 /* FAT's 2 s, and what clocks are behind */

int log_files_create(const struct log_files_config *config,
		     struct log_files **ret_files)
{
	CLEANUP(log_files_free) struct log_files *files = calloc(1, sizeof(*files));

	if (!files)
		return -ENOMEM;
	files->config = *config;
	files->buf = malloc(LOG_FILE_BUF);
	if (!files->buf)
		return -ENOMEM;
	*ret_files = TAKE(files);
	return 0;
}

void log_files_free(struct log_files **files)
{
	struct log_files *freed = *files;

	if (!freed)
		return;
	for (uint32_t i = 0; i < freed->count; i++)
		log_file_free(&freed->items[i]);
	for (size_t i = 0; i < freed->source_count; i++) {
		free(freed->sources[i].pattern);
		free(freed->sources[i].name);
		free(freed->sources[i].service);
	}
	log_index_free(&freed->by_inode);
	log_index_free(&freed->by_name);
	log_index_free(&freed->by_path);
	log_index_free(&freed->by_target);
	free(freed->sources);
	free(freed->items);
	free(freed->buf);
	free(freed);
	*files = NULL;
}

/* --- the set ------------------------------------------------------------------ */

static int make_room(struct log_files *files)
{
	uint32_t room = files->room ? files->room * 2 : 64;
	struct log_file **items;

	if (files->count < files->room)
		return 0;
	items = reallocarray(files->items, room, sizeof(struct log_file *));
	if (!items)
		return -ENOMEM;
	files->items = items;
	files->room = room;
	return 0;
}

static int add_to_indexes(struct log_files *files, struct log_file *file)
{
	int err =
	    log_index_add(&files->by_inode, &file->by_inode, file,
			  log_index_inode(file->identity.device, file->identity.inode));

	if (!err)
		err = log_index_add(&files->by_name, &file->by_name, file,
				    log_index_text(file->name));
	if (!err && file->path)
		err = log_index_add(&files->by_path, &file->by_path, file,
				    log_index_text(file->path));
	if (!err && file->is_linked)
		err = log_index_add(&files->by_target, &file->by_target, file,
				    log_index_text(file->target));
	return err;
}

static void remove_from_indexes(struct log_files *files, struct log_file *file)
{
	log_index_remove(&files->by_inode, &file->by_inode);
	log_index_remove(&files->by_name, &file->by_name);
	log_index_remove(&files->by_path, &file->by_path);
	log_index_remove(&files->by_target, &file->by_target);
}

int log_files_add(struct log_files *files, struct log_file *file)
{
	int err = make_room(files);

	if (!err)
		err = add_to_indexes(files, file);
	if (err) {
		remove_from_indexes(files, file);
		log_file_free(&file);
		return err;
	}
	file->index = files->count;
	files->items[files->count++] = file;
	return 0;
}

static void remove_from_due(struct log_files *files, struct log_file *file)
{
	struct log_file **at = &files->due_first, *last = NULL;

	if (!file->is_due)
		return;
	while (*at != file) {
		last = *at;
		at = &(*at)->due_next;
	}
	*at = file->due_next;
	if (files->due_last == file)
		files->due_last = last;
	file->is_due = false;
}

void log_files_retire(struct log_files *files, struct log_file *file)
{
	log_copies_release(files, file);
	log_files_close(files, file);
	remove_from_due(files, file);
	remove_from_indexes(files, file);
	if (file->note != LOG_NO_NOTE) {
		spool_note_remove(files->config.spool, file->note);
		files->is_dirty = true; /* that is to be written */
	}
	files->items[file->index] = files->items[--files->count];
	files->items[file->index]->index = file->index;
	log_file_free(&file);
}

void log_files_move(struct log_files *files, struct log_file *file, const char *path)
{
	char *copy = path ? strdup(path) : NULL;

	if (path && !copy)
		return;
	log_index_remove(&files->by_path, &file->by_path);
	/* That it had a target tells where what is named after it may be. */
	log_index_remove(&files->by_target, &file->by_target);
	file->is_linked = false;
	free(file->path);
	file->path = copy;
	if (copy &&
	    log_index_add(&files->by_path, &file->by_path, file, log_index_text(copy)))
		log_files_look_at_all(files);
	if (copy)
		file->absent_ms = 0;
	log_files_make_dirty(files, file);
}

void log_files_set_target(struct log_files *files, struct log_file *file, char *target)
{
	log_index_remove(&files->by_target, &file->by_target);
	free(file->target);
	file->target = target;
	file->is_linked = target;
	if (target && log_index_add(&files->by_target, &file->by_target, file,
				    log_index_text(target)))
		log_files_look_at_all(files);
	log_files_make_dirty(files, file);
}

void log_files_make_due(struct log_files *files, struct log_file *file)
{
	if (file->is_due || file->origin)
		return;
	file->is_due = true;
	file->due_next = NULL;
	if (files->due_last)
		files->due_last->due_next = file;
	else
		files->due_first = file;
	files->due_last = file;
}

void log_files_make_due_first(struct log_files *files, struct log_file *file)
{
	remove_from_due(files, file);
	if (file->origin)
		return;
	file->is_due = true;
	file->due_next = files->due_first;
	files->due_first = file;
	if (!files->due_last)
		files->due_last = file;
}

static struct log_file *take_due(struct log_files *files)
{
	struct log_file *file = files->due_first;

	if (!file)
		return NULL;
	files->due_first = file->due_next;
	if (!files->due_first)
		files->due_last = NULL;
	file->is_due = false;
	return file;
}

struct log_file *log_files_at_path(const struct log_files *files, const char *path)
{
	struct log_node *node = log_index_first(&files->by_path, log_index_text(path));

	while (node && strcmp(node->file->path, path) != 0)
		node = log_index_next(node);
	return node ? node->file : NULL;
}

struct log_file *log_files_at_inode(const struct log_files *files,
				    const struct log_identity *identity)
{
	struct log_node *node = log_index_first(
	    &files->by_inode, log_index_inode(identity->device, identity->inode));

	while (node && !log_identity_is(&node->file->identity, identity))
		node = log_index_next(node);
	return node ? node->file : NULL;
}

/* --- notes -------------------------------------------------------------------- */

void log_files_make_dirty(struct log_files *files, struct log_file *file)
{
	file->is_dirty = true;
	files->is_dirty = true;
}

bool log_files_is_dirty(const struct log_files *files)
{
	return files->is_dirty;
}

static int note(struct log_files *files, struct log_file *file)
{
	const struct log_position position = log_file_position(file);
	unsigned char bytes[LOG_POSITION_BYTES_MAX];
	size_t len;
	int err = log_position_encode(&position, bytes, &len);

	if (err)
		return err;
	if (file->note == LOG_NO_NOTE)
		return spool_note_add(files->config.spool, bytes, len, &file->note);
	return spool_note_change(files->config.spool, file->note, bytes, len);
}

void log_files_note(struct log_files *files)
{
	for (uint32_t i = 0; i < files->count; i++) {
		struct log_file *file = files->items[i];
		int err;

		/* A copy that may be one is found to be one again. */
		if (!file->is_dirty || file->origin)
			continue;
		err = note(files, file);
		if (err)
			log_debug("cannot note the position in \"%s\": %s", file->name,
				  strerror(-err));
		file->is_dirty = false;
	}
	files->is_dirty = false;
}

/* The rule whose paths it was found by. */
static struct log_rule *rule_of(const struct log_files *files,
				const struct log_position *position)
{
	for (size_t i = 0; i < files->config.rule_count; i++) {
		struct log_rule *rule = &files->config.rules[i];
		const struct config_strings *paths = &rule->config->paths;

		if (*position->service && rule->config->is_auto)
			return rule;
		for (size_t j = 0; !*position->service && j < paths->count; j++) {
			if (log_glob_matches(paths->items[j], position->name))
				return rule;
		}
	}
	return NULL;
}

bool log_files_recall(struct log_files *files, uint32_t note_id,
		      const struct log_position *position, int64_t now_ms)
{
	struct log_rule *rule = rule_of(files, position);
	struct log_file *file;

	if (!rule || log_files_at_inode(files, &position->identity))
		return false;
	file = log_file_create(&position->identity, rule, position->path,
			       position->name, position->service, position->offset);
	if (!file)
		return false;
	file->tail = position->tail;
	file->note = note_id;
	file->growth_ms = now_ms;
	file->is_rotated = strcmp(position->name, position->path) != 0;
	file->is_anew = position->is_anew;
	file->lines.is_discarded = position->is_inside;
	file->target = *position->target ? strdup(position->target) : NULL;
	file->is_linked = file->target && !file->is_rotated;
	if (log_files_add(files, file))
		return false;
	if (*position->path) {
		log_files_make_due(files, file);
	} else {
		log_files_move(files, file, NULL);
		file->absent_ms = now_ms;
	}
	return true;
}

/* --- descriptors -------------------------------------------------------------- */

void log_files_close(struct log_files *files, struct log_file *file)
{
	if (file->fd >= 0)
		files->open--;
	log_file_close(file);
}

static bool may_be_closed(const struct log_file *file, bool is_rotated)
{
	return file->fd >= 0 && file->path && !file->is_due &&
	       file->is_rotated == is_rotated && !log_file_is_pending(file);
}

static bool close_next(struct log_files *files, bool is_rotated)
{
	for (uint32_t i = 0; i < files->count; i++) {
		struct log_file *file;

		files->hand = (files->hand + 1) % files->count;
		file = files->items[files->hand];
		if (may_be_closed(file, is_rotated)) {
			log_files_close(files, file);
			return true;
		}
	}
	return false;
}

/* Of those that have a name and nothing to be read, the next one. Those that were
 * rotated come last: they are deleted sooner. */
static void close_one(struct log_files *files)
{
	if (!close_next(files, false))
		close_next(files, true);
}

static void count_open(struct log_files *files, bool was_open,
		       const struct log_file *file)
{
	if (was_open || file->fd < 0)
		return;
	files->open++;
	if (files->open > files->config.open_max)
		close_one(files);
}

/* --- events ------------------------------------------------------------------- */

static void was_written(struct log_files *files, struct log_file *file)
{
	bool was_open = file->fd >= 0;

	log_files_make_due(files, file);
	/* At once: it may be deleted before its turn comes. */
	if (!was_open && files->open < files->config.open_max &&
	    log_file_open(file) == LOG_READ_CHANGED)
		log_file_close(file); /* its turn will find that again */
	count_open(files, was_open, file);
}

void log_files_written(struct log_files *files, const char *directory, const char *name)
{
	AUTO_FREE char *path = NULL;
	struct log_node *node;
	struct log_file *file;

	if (asprintf(&path, "%s/%s", strcmp(directory, "/") ? directory : "", name) < 0)
		path = NULL;
	if (!path)
		return log_files_look_at_all(files);
	file = log_files_at_path(files, path);
	if (file)
		was_written(files, file);
	node = log_index_first(&files->by_target, log_index_text(path));
	for (; node; node = log_index_next(node)) {
		if (!strcmp(node->file->target, path))
			was_written(files, node->file);
	}
}

void log_files_look_at_all(struct log_files *files)
{
	files->wants_scan = true;
	for (uint32_t i = 0; i < files->count; i++)
		log_files_make_due(files, files->items[i]);
}

void log_files_set_time(struct log_files *files, int64_t wall_ns)
{
	/* What waits to be read since the last scan may have been emptied before it;
	 * what is written all the time waits again by now. */
	if (!files->since_ns)
		files->since_ns = wall_ns;
	else if (files->was_all_read || !files->due_first)
		files->since_ns = files->scan_ns;
	files->scan_ns = wall_ns;
	files->was_all_read = false;
}

int64_t log_files_since(const struct log_files *files)
{
	return files->since_ns;
}

void log_files_want_scan(struct log_files *files)
{
	files->wants_scan = true;
}

bool log_files_is_due(const struct log_files *files)
{
	return files->due_first;
}

/* Filled to the size it had. What is written in the tick of a stamp has the same one:
 * so where no event tells of that, the file is read once more when the tick is over.
 * That is judged by our clock, as the stamp's may be another machine's. */
static bool may_be_rewritten(struct log_files *files, struct log_file *file,
			     struct log_stamp found)
{
	if (!log_stamp_is(file->stamp, found)) {
		log_file_set_stamp(file, found);
		file->stamp_ms = files->now_ms;
		return true;
	}
	if (file->is_settled || !file->poll_ms)
		return false;
	if (!file->stamp_ms)
		file->stamp_ms = files->now_ms;
	file->is_settled = files->now_ms - file->stamp_ms >= STAMP_TICK_MS;
	return file->is_settled;
}

static bool is_as_it_was(struct log_files *files, struct log_file *file)
{
	struct log_stat found;

	return file->path && !file->is_refused && !log_stat(-1, file->path, &found) &&
	       found.size == file->read_end &&
	       log_identity_is(&file->identity, &found.identity) &&
	       !may_be_rewritten(files, file, found.stamp);
}

void log_files_check(struct log_files *files)
{
	files->wants_scan = true;
	for (uint32_t i = 0; i < files->count; i++) {
		struct log_file *file = files->items[i];

		if (!file->absent_ms && !is_as_it_was(files, file))
			log_files_make_due(files, file);
	}
}

bool log_files_wants_scan(struct log_files *files)
{
	bool wants = files->wants_scan;

	files->wants_scan = false;
	return wants;
}

/* --- turns -------------------------------------------------------------------- */

/* Looked after when all that is due was read, for all at once: their copies were made
 * before. */
static void has_changed(struct log_files *files, struct log_file *file)
{
	files->changed[files->changed_count++] = (struct log_sought){.file = file};
}

/* Files that were read to their end for the first time since they were emptied: from
 * now on it is known what stands there, and what stood there before is in copies. */
static void find_missed(struct log_files *files)
{
	log_copies_find_missed(files, files->anew, files->anew_count);
	for (size_t i = 0; i < files->anew_count; i++)
		files->anew[i].file->is_anew = !files->anew[i].file->read_end;
	files->anew_count = 0;
}

/* The unread rest of what stood there is in its copy, if there is one; else what was
 * read of it is all there is. False: no file has changed. */
static bool begin_anew(struct log_files *files, const struct log_sink *sink)
{
	const size_t count = files->changed_count;

	if (!count)
		return false;
	files->changed_count = 0;
	log_copies_adopt(files, files->changed, count);
	for (size_t i = 0; i < count; i++) {
		if (!files->changed[i].is_found)
			log_file_end(files->changed[i].file, sink);
	}
	for (size_t i = 0; i < count; i++) {
		struct log_file *file = files->changed[i].file;

		log_file_restart(file, 0, (struct log_print){0});
		file->is_anew = true;
		log_files_make_dirty(files, file);
		log_files_make_due(files, file);
		log_debug("\"%s\" begins anew", file->name);
	}
	return true;
}

static void tell_refused(struct log_file *file, int err)
{
	if (!file->is_refused)
		log_warning("cannot read the log file \"%s\": %s; tried again",
			    file->path ? file->path : file->name, strerror(err));
	file->is_refused = true;
}

static void after_read(struct log_files *files, struct log_file *file,
		       enum log_read result)
{
	const int err = errno;

	switch (result) {
	case LOG_READ_MORE:
		log_files_make_due(files, file);
		break;
	case LOG_READ_CHANGED:
		has_changed(files, file);
		break;
	case LOG_READ_GONE:
		files->wants_scan = true;
		break;
	case LOG_READ_FAILED:
		tell_refused(file, err);
		break;
	case LOG_READ_END:
		file->is_refused = false;
		if (files->open > files->config.open_max)
			close_one(files);
		break;
	}
}

static size_t read_some(struct log_files *files, struct log_file *file,
			const struct log_sink *sink)
{
	const bool was_open = file->fd >= 0;
	enum log_read result;
	size_t done = 0;

	do {
		size_t len;

		result = log_file_read(file, files->buf, sink, &len);
		done += len;
	} while (result == LOG_READ_MORE && done < FILE_BYTES);
	count_open(files, was_open, file);
	files->is_dirty |= file->is_dirty;
	if (done && file->poll_ms) {
		file->poll_ms = POLL_MIN_MS;
		file->poll_next_ms = files->now_ms + POLL_MIN_MS;
	}
	if (file->is_anew && result == LOG_READ_END)
		files->anew[files->anew_count++] = (struct log_sought){.file = file};
	after_read(files, file, result);
	return done + FILE_COST;
}

bool log_files_turn(struct log_files *files, const struct log_sink *sink)
{
	size_t done = 0;
	struct log_file *file;

	files->now_ms = sink->now_ms;
	/* What begins anew is read at once: while nothing of it is known, it could be
	 * emptied again without a trace. */
	do {
		while (done < TURN_BYTES && (file = take_due(files))) {
			if (!file->origin) /* as was found since it became due */
				done += read_some(files, file, sink);
		}
		find_missed(files);
	} while (begin_anew(files, sink));
	files->was_all_read |= !files->due_first;
	return files->due_first;
}

/* --- time --------------------------------------------------------------------- */

static bool has_ended(struct log_files *files, const struct log_file *file)
{
	const int64_t quiet_ms = files->now_ms - file->growth_ms;
	struct log_stat found;

	if (file->path || quiet_ms < LOG_ENDED_MS)
		return false;
	return file->fd < 0 || quiet_ms >= LOG_LINGER_MS ||
	       log_stat(file->fd, "", &found) || found.is_deleted;
}

/* It has no name: what remains of it is told, and then it is done with, but for one
 * that may come back. True: it is no more. */
static bool end_nameless(struct log_files *files, struct log_file *file,
			 const struct log_sink *sink)
{
	struct log_stat found;
	bool is_deleted =
	    file->fd >= 0 && !log_stat(file->fd, "", &found) && found.is_deleted;

	log_file_end(file, sink);
	log_files_close(files, file);
	if (!is_deleted && !file->absent_ms)
		file->absent_ms = files->now_ms;
	if (!is_deleted && files->now_ms - file->absent_ms < LOG_ABSENT_MS)
		return false;
	log_files_retire(files, file);
	return true;
}

static void poll(struct log_files *files, struct log_file *file)
{
	if (!file->poll_ms || files->now_ms < file->poll_next_ms)
		return;
	file->poll_ms =
	    file->poll_ms * 2 > POLL_MAX_MS ? POLL_MAX_MS : file->poll_ms * 2;
	file->poll_next_ms = files->now_ms + file->poll_ms;
	if (file->fd >= 0 || !is_as_it_was(files, file))
		log_files_make_due(files, file);
}

/* False: it is no more. */
static bool tick_file(struct log_files *files, struct log_file *file,
		      const struct log_sink *sink)
{
	const int64_t now_ms = files->now_ms;

	if (file->origin) {
		log_copies_judge(files, file);
		return true;
	}
	if (file->multiline.pending &&
	    now_ms - file->line_ms >= (int64_t)file->rule->config->max_wait_ms)
		log_file_end_entry(file, sink);
	if (file->is_rotated && log_file_is_pending(file) &&
	    now_ms - file->growth_ms >= LOG_ENDED_MS)
		log_file_end(file, sink);
	files->is_dirty |= file->is_dirty;
	if (has_ended(files, file))
		return !end_nameless(files, file, sink);
	if (file->fd >= 0 && !file->path && now_ms >= file->poll_next_ms) {
		file->poll_next_ms = now_ms + POLL_MIN_MS;
		log_files_make_due(files, file);
	}
	poll(files, file);
	return true;
}

/* What came to, or left, directories that have no events. Returns after how many ms to
 * look again; 0: there are none. */
static uint64_t look_at_directories(struct log_files *files)
{
	if (files->now_ms >= files->look_next_ms) {
		files->look_next_ms = files->now_ms + POLL_MAX_MS;
		files->wants_scan |= log_watch_look(files->config.watch);
	}
	return log_watch_has_blind(files->config.watch) ? POLL_MAX_MS : 0;
}

/* Whether anything about it depends on time. */
static bool needs_tick(const struct log_file *file)
{
	return file->origin || file->multiline.pending || file->poll_ms ||
	       (!file->path && !file->absent_ms) ||
	       (file->is_rotated && log_file_is_pending(file));
}

uint64_t log_files_tick(struct log_files *files, const struct log_sink *sink)
{
	bool is_needed = false;
	uint64_t look_ms;

	files->now_ms = sink->now_ms;
	for (uint32_t i = 0; i < files->count;) {
		struct log_file *file = files->items[i];

		if (!tick_file(files, file, sink))
			continue; /* another one is in its place */
		is_needed |= needs_tick(file);
		i++;
	}
	look_ms = look_at_directories(files);
	return is_needed ? TICK_MS : look_ms;
}

/* Of one that nobody looks at while receivers are behind. */
static void learn_size(struct log_file *file)
{
	struct log_stat found;

	if (file->fd >= 0 ? !log_stat(file->fd, "", &found)
			  : file->path && !log_stat(-1, file->path, &found))
		file->size = found.size;
}

struct log_files_sums log_files_sums(struct log_files *files)
{
	struct log_files_sums sums = {.files = files->count, .open = files->open};

	for (uint32_t i = 0; i < files->count; i++) {
		struct log_file *file = files->items[i];

		if (file->is_due)
			learn_size(file);
		if (file->origin)
			sums.copies++;
		else if (file->size > file->offset)
			sums.lag_bytes += file->size - file->offset;
	}
	return sums;
}
