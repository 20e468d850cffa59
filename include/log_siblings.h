/* SPDX-License-Identifier: Apache-2.0 */
/* What is beside files: names after theirs, and names of their inodes' numbers. Each
 * directory is read once for all that are sought in it. It opens none of them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct log_file;

struct log_sought {
	struct log_file *file;
	bool wants_named;    /* what is named after its name, or target, beside that */
	bool wants_numbered; /* its inode's number, where its path leads */
	bool is_found;       /* the caller's */
};

/* They may take back what is wanted, and change the file's path, but not its name. */
typedef void (*log_sibling_call)(void *context, struct log_sought *sought,
				 const char *path);
struct log_siblings_visitor {
	log_sibling_call named;    /* but for what the file's rule excludes */
	log_sibling_call numbered; /* of any file system */
	void *context;
};

/* app.log: app.log.1, app.log-20240101; app-20240101.log, app.1.log; also app.log.x,
 * as a copy may be called. */
bool log_siblings_is_named_after(const char *name, const char *original);
/* Each path, or name, that this one may be named after, once, until true is returned.
 */
typedef bool (*log_siblings_original)(void *context, const char *original);
void log_siblings_each_original(const char *path, log_siblings_original call,
				void *context);
/* But for app.log.x, which is another log, unless it is app.log.old, app.log.bak, or x
 * is a date: app.log.2024-Jan-01_10h. */
bool log_siblings_is_rotated(const char *name, const char *original);
/* A directory that cannot be read has nothing. -ENOMEM: not all were visited. */
int log_siblings_visit(struct log_sought *sought, size_t count,
		       const struct log_siblings_visitor *visitor);
