/* SPDX-License-Identifier: Apache-2.0 */
#include "file_sd.h"

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "config_targets.h"
#include "log.h"

/* Editors and tools touch a file several times while they write it. */
#define SETTLE_MS 50
#define FILES_MAX 10000 /* of one entry */

struct file {
	char *path;
	struct stat status; /* when it was read */
	struct config_groups groups;
	bool is_broken;
	bool is_there; /* while all are looked for */
};

/* One entry of `file_sd_configs`. */
struct entry {
	const struct config_file_sd *config;
	int64_t due_ms;
	bool is_dirty; /* something happened where its files are */
	struct file *files;
	size_t count;
};

struct file_sd {
	struct loop *loop;
	struct loop_timer *timer;
	int fd; /* inotify */
	file_sd_changed changed;
	void *context;
	struct entry *entries;
	size_t count;
};

/* --- one file --------------------------------------------------------------------- */

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* True: its groups are others. One that went in between is missing the next time. */
static bool read_file(struct file *file)
{
	char error[CONFIG_ERROR_LEN];
	struct config_groups groups = {0};
	struct stat status = {0};

	file->is_there = true;
	if (!stat(file->path, &status) && is_same(&status, &file->status))
		return false;
	file->status = status;
	if (config_read_groups_file(file->path, &groups, error)) {
		if (!file->is_broken)
			log_warning("%s; targets that it had stay", error);
		file->is_broken = true;
		return false;
	}
	if (file->is_broken)
		log_info("\"%s\" can be read again", file->path);
	file->is_broken = false;
	config_free_groups(&file->groups);
	file->groups = groups;
	return true;
}

static void free_file(struct file *file)
{
	free(file->path);
	config_free_groups(&file->groups);
}

/* --- those of one entry ----------------------------------------------------------- */

static struct file *find_file(struct entry *entry, const char *path)
{
	for (size_t i = 0; i < entry->count; i++) {
		if (!strcmp(entry->files[i].path, path))
			return &entry->files[i];
	}
	return NULL;
}

static struct file *add_file(struct entry *entry, const char *path)
{
	struct file *files;

	if (entry->count == FILES_MAX)
		return NULL;
	files = reallocarray(entry->files, entry->count + 1, sizeof(*files));
	if (!files)
		return NULL;
	entry->files = files;
	files[entry->count] = (struct file){.path = strdup(path)};
	return files[entry->count].path ? &files[entry->count++] : NULL;
}

static bool read_pattern(struct entry *entry, const char *pattern)
{
	CLEANUP(globfree) glob_t found = {};
	bool changed = false;

	if (glob(pattern, 0, NULL, &found))
		return false;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct file *file = find_file(entry, found.gl_pathv[i]);

		if (!file)
			file = add_file(entry, found.gl_pathv[i]);
		if (!file)
			log_error("cannot read \"%s\": too many files of targets",
				  found.gl_pathv[i]);
		else if (!file->is_there)
			changed |= read_file(file);
	}
	return changed;
}

static bool forget_missing(struct entry *entry)
{
	size_t kept = 0, count = entry->count;

	for (size_t i = 0; i < count; i++) {
		if (entry->files[i].is_there)
			entry->files[kept++] = entry->files[i];
		else
			free_file(&entry->files[i]);
	}
	entry->count = kept;
	return kept < count;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

/* Where a directory is not there yet, the next refresh finds it. */
static void watch(int fd, const char *pattern)
{
	const char *slash = strrchr(pattern, '/');
	AUTO_FREE char *directory =
	    slash ? strndup(pattern, (size_t)(slash - pattern) + 1) : strdup(".");

	if (directory &&
	    inotify_add_watch(fd, directory,
			      IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
				  IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |
				  IN_ONLYDIR) < 0)
		log_debug("cannot watch \"%s\": %s", directory, strerror(errno));
}

/* Watched before it is read: what comes in between is read once more. */
static bool look(const struct file_sd *files, struct entry *entry)
{
	const struct config_strings *patterns = &entry->config->files;
	bool changed = false;

	for (size_t i = 0; i < entry->count; i++)
		entry->files[i].is_there = false;
	for (size_t i = 0; i < patterns->count; i++) {
		watch(files->fd, patterns->items[i]);
		changed |= read_pattern(entry, patterns->items[i]);
	}
	changed |= forget_missing(entry);
	if (entry->count)
		qsort(entry->files, entry->count, sizeof(*entry->files), by_path);
	entry->is_dirty = false;
	entry->due_ms = clock_ms(CLOCK_MONOTONIC) + (int64_t)entry->config->refresh_ms;
	return changed;
}

/* --- when they are looked at ------------------------------------------------------ */

static void arm(const struct file_sd *files)
{
	int64_t now = clock_ms(CLOCK_MONOTONIC), first = INT64_MAX;

	for (size_t i = 0; i < files->count; i++) {
		const struct entry *entry = &files->entries[i];
		int64_t due = entry->is_dirty ? now + SETTLE_MS : entry->due_ms;

		first = due < first ? due : first;
	}
	if (files->count)
		loop_timer_arm(files->timer, first > now ? (uint64_t)(first - now) : 0,
			       0);
}

static void on_timer(void *context)
{
	struct file_sd *files = context;
	bool changed = false;
	int64_t now = clock_ms(CLOCK_MONOTONIC);

	for (size_t i = 0; i < files->count; i++) {
		struct entry *entry = &files->entries[i];

		if (entry->is_dirty || entry->due_ms <= now)
			changed |= look(files, entry);
	}
	arm(files);
	if (changed)
		files->changed(files->context);
}

/* The name of a file, or one that leads to it: Kubernetes swaps a link "..data". */
static bool concerns(const struct entry *entry, const struct inotify_event *event)
{
	const struct config_strings *patterns = &entry->config->files;

	if (!event->len || !strncmp(event->name, "..", 2))
		return true;
	for (size_t i = 0; i < patterns->count; i++) {
		const char *slash = strrchr(patterns->items[i], '/');

		if (!fnmatch(slash ? slash + 1 : patterns->items[i], event->name, 0))
			return true;
	}
	return false;
}

static bool mark(struct file_sd *files, const struct inotify_event *event)
{
	bool marked = false;

	for (size_t i = 0; i < files->count; i++) {
		if (!files->entries[i].is_dirty && concerns(&files->entries[i], event))
			marked = files->entries[i].is_dirty = true;
	}
	return marked;
}

static void on_events(void *context, uint32_t mask)
{
	_Alignas(struct inotify_event) char events[4096];
	struct file_sd *files = context;
	bool marked = false;
	ssize_t len;

	(void)mask;
	while ((len = read(files->fd, events, sizeof(events))) > 0) {
		const struct inotify_event *event;

		for (char *at = events; at < events + len;
		     at += sizeof(*event) + event->len) {
			event = (const struct inotify_event *)at;
			marked |= mark(files, event);
		}
	}
	if (marked)
		arm(files);
}

/* --- from outside ----------------------------------------------------------------- */

int file_sd_add(struct file_sd *files, const struct config_file_sd *config)
{
	struct entry *entries =
	    reallocarray(files->entries, files->count + 1, sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	files->entries = entries;
	entries += files->count++;
	*entries = (struct entry){.config = config};
	look(files, entries);
	arm(files);
	return 0;
}

void file_sd_each(const struct file_sd *files, const struct config_file_sd *config,
		  file_sd_visit visit, void *context)
{
	for (size_t i = 0; i < files->count; i++) {
		const struct entry *entry = &files->entries[i];

		for (size_t j = 0; entry->config == config && j < entry->count; j++)
			visit(context, entry->files[j].path, &entry->files[j].groups);
	}
}

size_t file_sd_broken(const struct file_sd *files)
{
	size_t broken = 0;

	for (size_t i = 0; i < files->count; i++) {
		for (size_t j = 0; j < files->entries[i].count; j++)
			broken += files->entries[i].files[j].is_broken;
	}
	return broken;
}

int file_sd_create(struct loop *loop, file_sd_changed changed, void *context,
		   struct file_sd **ret_files)
{
	CLEANUP(file_sd_free) struct file_sd *files = calloc(1, sizeof(*files));
	int err;

	if (!files)
		return -ENOMEM;
	*files = (struct file_sd){
	    .loop = loop,
	    .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
	    .changed = changed,
	    .context = context,
	};
	if (files->fd < 0)
		return -errno;
	err = loop_timer_create(loop, on_timer, files, &files->timer);
	if (!err)
		err = loop_watch(loop, files->fd, EPOLLIN, on_events, files);
	if (err)
		return err;
	*ret_files = TAKE(files);
	return 0;
}

void file_sd_free(struct file_sd **files)
{
	if (!*files)
		return;
	for (size_t i = 0; i < (*files)->count; i++) {
		struct entry *entry = &(*files)->entries[i];

		for (size_t j = 0; j < entry->count; j++)
			free_file(&entry->files[j]);
		free(entry->files);
	}
	free((*files)->entries);
	loop_timer_free(&(*files)->timer);
	if ((*files)->fd >= 0) {
		loop_unwatch((*files)->loop, (*files)->fd);
		close((*files)->fd);
	}
	free(*files);
	*files = NULL;
}
