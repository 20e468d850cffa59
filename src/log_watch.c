/* SPDX-License-Identifier: Apache-2.0 */
#include "log_watch.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "log_identity.h"

#define EVENTS_BYTES 16384
#define NAMES_MASK                                                                     \
	(IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF |        \
	 IN_MOVE_SELF | IN_ATTRIB | IN_ONLYDIR)
#define FILES_MASK (NAMES_MASK | IN_MODIFY)
/* Not in linux/magic.h. */
#define CIFS_MAGIC 0xff534d42
#define CEPH_MAGIC 0x00c36400
#define LUSTRE_MAGIC 0x0bd00bd0
#define GPFS_MAGIC 0x47504653
#define VBOX_MAGIC 0x786f4256

struct directory {
	char *path;
	int descriptor; /* of inotify; -1: none */
	bool has_files; /* in this round, or the one before */
	bool is_wanted;
	bool is_blind;
	struct log_stamp stamp; /* of one that is */
};

struct log_watch {
	int fd;
	int trouble;
	struct directory *items; /* by path, in byte order */
	size_t count, room;
};

int log_watch_create(struct log_watch **ret_watch)
{
	struct log_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd < 0) {
		int err = -errno;

		free(watch);
		return err;
	}
	*ret_watch = watch;
	return 0;
}

void log_watch_free(struct log_watch **watch)
{
	if (!*watch)
		return;
	for (size_t i = 0; i < (*watch)->count; i++)
		free((*watch)->items[i].path);
	free((*watch)->items);
	close((*watch)->fd);
	free(*watch);
	*watch = NULL;
}

int log_watch_fd(const struct log_watch *watch)
{
	return watch->fd;
}

int log_watch_trouble(const struct log_watch *watch)
{
	return watch->trouble;
}

/* --- directories -------------------------------------------------------------- */

/* Where it is, or would be. */
static size_t place_of(const struct log_watch *watch, const char *path)
{
	size_t low = 0, high = watch->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(watch->items[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct directory *find(const struct log_watch *watch, const char *path)
{
	size_t at = place_of(watch, path);

	return at < watch->count && !strcmp(watch->items[at].path, path)
		   ? &watch->items[at]
		   : NULL;
}

static struct directory *insert(struct log_watch *watch, const char *path)
{
	AUTO_FREE char *copy = strdup(path);
	size_t at = place_of(watch, path);
	struct directory *items = watch->items;

	if (!copy)
		return NULL;
	if (watch->count == watch->room) {
		size_t room = watch->room ? watch->room * 2 : 16;

		items = reallocarray(items, room, sizeof(*items));
		if (!items)
			return NULL;
		watch->items = items;
		watch->room = room;
	}
	memmove(items + at + 1, items + at, (watch->count - at) * sizeof(*items));
	items[at] = (struct directory){.path = TAKE(copy), .descriptor = -1};
	watch->count++;
	return &items[at];
}

/* What others do there the kernel here does not hear of. */
static bool has_no_events(const char *path)
{
	struct statfs found;

	if (statfs(path, &found))
		return false;
	switch ((uint32_t)found.f_type) {
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case CIFS_MAGIC:
	case FUSE_SUPER_MAGIC:
	case V9FS_MAGIC:
	case AFS_SUPER_MAGIC:
	case AFS_FS_MAGIC:
	case CODA_SUPER_MAGIC:
	case OCFS2_SUPER_MAGIC:
	case CEPH_MAGIC:
	case LUSTRE_MAGIC:
	case GPFS_MAGIC:
	case VBOX_MAGIC:
		return true;
	default:
		return false;
	}
}

/* Whether it is another one. */
static bool see_stamp(struct directory *directory)
{
	struct log_stamp before = directory->stamp;
	struct log_stat found;

	directory->stamp = (struct log_stamp){0};
	if (!log_stat(-1, directory->path, &found))
		directory->stamp = found.stamp;
	return !log_stamp_is(directory->stamp, before);
}

static void attach(struct log_watch *watch, struct directory *directory)
{
	directory->descriptor = inotify_add_watch(
	    watch->fd, directory->path, directory->has_files ? FILES_MASK : NAMES_MASK);
	directory->is_blind = directory->descriptor < 0;
	if (directory->is_blind && errno != ENOENT && errno != ENOTDIR)
		watch->trouble = errno;
	if (!directory->is_blind)
		directory->is_blind = has_no_events(directory->path);
	if (directory->is_blind) /* before it is listed */
		see_stamp(directory);
}

void log_watch_begin(struct log_watch *watch)
{
	watch->trouble = 0;
	for (size_t i = 0; i < watch->count; i++)
		watch->items[i].is_wanted = false;
}

/* Also one that has its watch: the path may be another directory's by now, for which
 * the kernel gives another number. */
void log_watch_add(struct log_watch *watch, const char *path, bool has_files)
{
	struct directory *directory = find(watch, path);

	if (!directory)
		directory = insert(watch, path);
	if (!directory)
		return;
	if (directory->is_wanted && (directory->has_files || !has_files))
		return;
	directory->has_files = has_files;
	directory->is_wanted = true;
	attach(watch, directory);
}

static bool is_used(const struct log_watch *watch, int descriptor)
{
	for (size_t i = 0; i < watch->count; i++) {
		if (watch->items[i].is_wanted &&
		    watch->items[i].descriptor == descriptor)
			return true;
	}
	return false;
}

void log_watch_end(struct log_watch *watch)
{
	size_t kept = 0;

	for (size_t i = 0; i < watch->count; i++) {
		struct directory *directory = &watch->items[i];

		if (directory->is_wanted)
			continue;
		if (directory->descriptor >= 0 &&
		    !is_used(watch, directory->descriptor))
			inotify_rm_watch(watch->fd, directory->descriptor);
	}
	for (size_t i = 0; i < watch->count; i++) {
		if (watch->items[i].is_wanted)
			watch->items[kept++] = watch->items[i];
		else
			free(watch->items[i].path);
	}
	watch->count = kept;
}

bool log_watch_is_blind(const struct log_watch *watch, const char *path)
{
	const struct directory *directory = find(watch, path);

	return !directory || directory->is_blind;
}

bool log_watch_has_blind(const struct log_watch *watch)
{
	for (size_t i = 0; i < watch->count; i++) {
		if (watch->items[i].is_blind)
			return true;
	}
	return false;
}

bool log_watch_look(struct log_watch *watch)
{
	bool has_changed = false;

	for (size_t i = 0; i < watch->count; i++) {
		if (watch->items[i].is_blind)
			has_changed |= see_stamp(&watch->items[i]);
	}
	return has_changed;
}

/* --- events ------------------------------------------------------------------- */

/* A directory may be wanted under two names. */
static unsigned int tell(const struct log_watch *watch,
			 const struct inotify_event *event, log_watch_call call,
			 void *context)
{
	const char *name = event->len ? event->name : "";
	unsigned int told = 0;

	if (event->mask & IN_Q_OVERFLOW) {
		call(context, LOG_EVENT_LOST, "", "");
		return 1;
	}
	for (size_t i = 0; i < watch->count; i++) {
		const struct directory *directory = &watch->items[i];

		if (directory->descriptor != event->wd || event->mask & IN_IGNORED)
			continue;
		call(context,
		     event->mask & IN_MODIFY ? LOG_EVENT_WRITTEN : LOG_EVENT_NAMES,
		     directory->path, name);
		told++;
	}
	return told;
}

unsigned int log_watch_read(struct log_watch *watch, log_watch_call call, void *context)
{
	_Alignas(struct inotify_event) char events[EVENTS_BYTES];
	unsigned int told = 0;
	ssize_t len;

	while ((len = read(watch->fd, events, sizeof(events))) > 0) {
		for (const char *at = events; at < events + len;) {
			const struct inotify_event *event =
			    (const struct inotify_event *)at;

			told += tell(watch, event, call, context);
			at += sizeof(*event) + event->len;
		}
	}
	return told;
}
