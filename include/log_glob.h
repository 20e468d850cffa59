/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_glob.h - paths with wildcards, as log shippers spell them: `*`, `?` and `[...]`
 * within a name, `**` for any number of directories, `{a,b}` for either. A name that
 * begins with a dot is like any other. Links are followed, but not by `**`.
 */
#pragma once

#include <stdbool.h>

#include "config.h"

#define LOG_GLOB_DEPTH_MAX 32 /* directories that `**` goes down */

bool log_glob_matches(const char *pattern, const char *path);
/* One without braces for each way to choose; -ENOMEM, -E2BIG: more than `max`. */
int log_glob_expand(const char *pattern, size_t max, struct config_strings *ret);

/* What a walk meets. A directory that is listed for the names in it has files, one on
 * the way to others, or with a link that is, does not; one that is not there yet has
 * its nearest ancestor told. inode: as the directory says, 0: unknown. */
struct log_glob_visitor {
	void (*directory)(void *context, const char *path, bool has_files);
	void (*file)(void *context, const char *path, uint64_t inode);
	void *context;
};
/* pattern without braces. */
void log_glob_walk(const char *pattern, const struct log_glob_visitor *visitor);
