/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_watch.h - tells when something happens in directories: inotify, one watch a
 * directory however many files are in it. Where the file system has no events for what
 * others do to it (NFS, FUSE, ...), or there are no watches left, it says so: those are
 * to be looked at again and again.
 */
#pragma once

#include <stdbool.h>

struct log_watch;

enum log_event {
	LOG_EVENT_WRITTEN, /* a file in it was written, or emptied */
	LOG_EVENT_NAMES,   /* names came or went, or who may read them changed */
	LOG_EVENT_LOST,    /* so much happened that nobody knows what: no directory */
};

/* -ENOMEM, -errno: there is no inotify. */
int log_watch_create(struct log_watch **ret_watch);
void log_watch_free(struct log_watch **watch);
int log_watch_fd(const struct log_watch *watch);

/* From begin to end, each directory that is wanted is added; others go at the end.
 * has_files: also writes are told, not only names. */
void log_watch_begin(struct log_watch *watch);
void log_watch_add(struct log_watch *watch, const char *directory, bool has_files);
void log_watch_end(struct log_watch *watch);
/* Whether that directory, which was added, has no events. */
bool log_watch_is_blind(const struct log_watch *watch, const char *directory);
/* Whether any is such. */
bool log_watch_has_blind(const struct log_watch *watch);
/* Looks at those: whether names came or went there since the last look, or since they
 * were added. Not what happens within one tick of the file system's clock. */
bool log_watch_look(struct log_watch *watch);
/* Why there are no watches, as errno says; 0: there are. */
int log_watch_trouble(const struct log_watch *watch);

typedef void (*log_watch_call)(void *context, enum log_event event,
			       const char *directory, const char *name);
/* All that is there. Returns how many were told. */
unsigned int log_watch_read(struct log_watch *watch, log_watch_call call,
			    void *context);
