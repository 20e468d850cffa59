/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watches.h - whether files that function rules name may have come, and whether files
 * with probes are written to: one inotify over the directories in which the rules look
 * and over the files themselves. It opens no file, and knows nothing of probes.
 */
#pragma once

#include <stdbool.h>

#include "config.h"
#include "subjects.h"

struct watches {
	int fd; /* readable when something changed; -1: not open */
	const struct config_function *rules;
	const struct subjects *subjects;
};

/* What is given must outlive it. -errno. */
int watches_open(const struct config_function *rules, const struct subjects *subjects,
		 struct watches *ret_watches);
void watches_close(struct watches *watches);
/* Directories come and go: to be called before each look for files. */
void watches_look(const struct watches *watches);
/* By its inode: whatever path it is written by. A number for watches_take; what cannot
 * be watched has one that never comes. */
int watches_add_file(const struct watches *watches, int file_fd);
/* Forgets what happened; calls for each file that was written to. True: files that
 * rules name may have come, or be complete. */
typedef void (*watches_written)(void *context, int watch);
bool watches_take(const struct watches *watches, watches_written written,
		  void *context);
