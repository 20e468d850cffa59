/* SPDX-License-Identifier: Apache-2.0 */
#include "watches.h"

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "binaries.h"
#include "cleanup.h"
#include "log.h"

/* --- directories ------------------------------------------------------------------ */

/* Any of a subject's: they name the same files. */
static const struct config_function *rule_of(const struct watches *watches,
					     size_t subject)
{
	return &watches->rules[watches->subjects->items[subject].rules[0]];
}

static void watch_directory(const struct watches *watches, const char *directory)
{
	if (inotify_add_watch(watches->fd, directory,
			      IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR) <
	    0)
		log_debug("cannot watch \"%s\": %s", directory, strerror(errno));
}

/* The directories that a file of that pattern may come into, as far as there are. */
static void watch_pattern(const struct watches *watches, const char *pattern)
{
	AUTO_FREE char *copy = strdup(pattern);
	CLEANUP(globfree) glob_t found = {};

	if (!copy || !strchr(pattern, '/') || glob(dirname(copy), 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		watch_directory(watches, found.gl_pathv[i]);
}

/* A soname is looked for where the loader does. */
static void watch_library(const struct watches *watches, const char *pattern)
{
	watch_pattern(watches, pattern);
	for (const char *const *directory = binaries_library_directories;
	     *directory && !strchr(pattern, '/'); directory++)
		watch_directory(watches, *directory);
}

void watches_look(const struct watches *watches)
{
	for (size_t i = 0; i < watches->subjects->count; i++) {
		const struct config_function *rule = rule_of(watches, i);

		for (size_t j = 0; j < rule->exes.count; j++)
			watch_pattern(watches, rule->exes.items[j]);
		for (size_t j = 0; j < rule->libs.count; j++)
			watch_library(watches, rule->libs.items[j]);
	}
}

static bool names_base(const struct config_strings *patterns, const char *name)
{
	for (size_t i = 0; i < patterns->count; i++) {
		const char *slash = strrchr(patterns->items[i], '/');

		if (slash && !fnmatch(slash + 1, name, 0))
			return true;
	}
	return false;
}

/* By its soname: "libpq.so.5" is a link, or the beginning of the file's own name. */
static bool names_library(const struct config_strings *patterns, const char *name)
{
	for (size_t i = 0; i < patterns->count; i++) {
		const char *pattern = patterns->items[i];
		const size_t len = strlen(pattern);

		if (!strchr(pattern, '/') &&
		    (!fnmatch(pattern, name, 0) ||
		     (!strncmp(name, pattern, len) && name[len] == '.')))
			return true;
	}
	return false;
}

static bool is_named(const struct watches *watches, const char *name)
{
	for (size_t i = 0; i < watches->subjects->count; i++) {
		const struct config_function *rule = rule_of(watches, i);

		if (names_base(&rule->exes, name) || names_base(&rule->libs, name) ||
		    names_library(&rule->libs, name))
			return true;
	}
	return false;
}

/* --- what happened ---------------------------------------------------------------- */

int watches_add_file(const struct watches *watches, int file_fd)
{
	char path[sizeof("/proc/self/fd/") + 10];
	int watch;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file_fd);
	watch = inotify_add_watch(watches->fd, path, IN_MODIFY | IN_CLOSE_WRITE);
	if (watch < 0)
		log_debug("cannot watch a file with probes: %s", strerror(errno));
	return watch;
}

static bool take_change(const struct watches *watches,
			const struct inotify_event *event, watches_written written,
			void *context)
{
	if (!event->len && event->mask & IN_MODIFY)
		written(context, event->wd);
	if (!event->len)
		return event->mask & (IN_Q_OVERFLOW | IN_CLOSE_WRITE);
	return is_named(watches, event->name);
}

/* Others in the directories may be written to all day. */
bool watches_take(const struct watches *watches, watches_written written, void *context)
{
	_Alignas(struct inotify_event) char events[4096];
	bool matters = false;
	ssize_t len;

	while ((len = read(watches->fd, events, sizeof(events))) > 0) {
		const struct inotify_event *event;

		for (char *at = events; at < events + len;
		     at += sizeof(*event) + event->len) {
			event = (const struct inotify_event *)at;
			matters |= take_change(watches, event, written, context);
		}
	}
	return matters;
}

/* --- life ------------------------------------------------------------------------- */

int watches_open(const struct config_function *rules, const struct subjects *subjects,
		 struct watches *ret_watches)
{
	struct watches watches = {
	    .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
	    .rules = rules,
	    .subjects = subjects,
	};

	if (watches.fd < 0)
		return -errno;
	watches_look(&watches);
	*ret_watches = watches;
	return 0;
}

void watches_close(struct watches *watches)
{
	if (watches->fd >= 0)
		close(watches->fd);
	watches->fd = -1;
}
