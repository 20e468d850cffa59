/* SPDX-License-Identifier: Apache-2.0 */
/* Between src/log_files.c (the set, turns), src/log_find.c (scans) and
 * src/log_copies.c. Nobody else includes it. */
#pragma once

#include "log_files.h"
#include "log_index.h"
#include "log_siblings.h"

/* That one turn looks at. */
#define LOG_TURN_FILES 256

/* Where files are looked for. */
struct log_source {
	struct log_rule *rule;
	char *pattern;
	char *name;       /* NULL: the path */
	char *service;    /* NULL: none */
	uint32_t missing; /* scans that found nothing there */
};

struct log_files {
	struct log_files_config config;
	struct log_file **items;
	uint32_t count, room;
	struct log_index by_inode, by_name, by_path, by_target;
	struct log_source *sources;
	size_t source_count, source_room;
	struct log_file *due_first, *due_last;
	struct log_sought changed[LOG_TURN_FILES]; /* in this turn */
	size_t changed_count;
	struct log_sought anew[LOG_TURN_FILES]; /* in this turn */
	size_t anew_count;
	uint32_t open;
	uint32_t hand; /* where closing goes on */
	uint32_t scan;
	bool is_dirty; /* some note is not what it should be */
	bool wants_scan;
	bool is_first_scan;
	bool was_all_read; /* at some time since the last scan began */
	int64_t now_ms;
	int64_t look_next_ms;      /* at directories that have no events */
	int64_t scan_ns, since_ns; /* wall clock: of this scan; log_files_since */
	char *buf;
};

/* src/log_files.c: */
/* Takes the file over, also where it fails: -ENOMEM. */
int log_files_add(struct log_files *files, struct log_file *file);
/* It is no more, and neither is its note. */
void log_files_retire(struct log_files *files, struct log_file *file);
/* path NULL: it has none. Without memory it keeps what it has. */
void log_files_move(struct log_files *files, struct log_file *file, const char *path);
/* Its path is a link, and leads there; NULL: it is none. Takes that over. */
void log_files_set_target(struct log_files *files, struct log_file *file, char *target);
void log_files_make_due(struct log_files *files, struct log_file *file);
/* Before all others, also if it was due: what succeeds it may be among them. */
void log_files_make_due_first(struct log_files *files, struct log_file *file);
void log_files_make_dirty(struct log_files *files, struct log_file *file);
void log_files_close(struct log_files *files, struct log_file *file);
struct log_file *log_files_at_path(const struct log_files *files, const char *path);
struct log_file *log_files_at_inode(const struct log_files *files,
				    const struct log_identity *identity);

/* src/log_find.c: */
/* The directory that a path is in, or is watched in: "/a" of "/a/b". */
void log_find_directory(const char *path, char *ret_directory, size_t size);

/* src/log_copies.c: */
/* A file that is new at this path: whose copy it is. NULL: nobody's. */
struct log_file *log_copies_origin(const struct log_files *files, const char *path);
/* Of the files that this scan was the first to find: which are copies of others that it
 * found after them. */
void log_copies_claim(struct log_files *files);
/* Files that were emptied or written anew: what of them was not read is read from
 * their copies. is_found: there is one. */
void log_copies_adopt(struct log_files *files, struct log_sought *changed,
		      size_t count);
/* Of files that were rotated, or emptied: follows those named after them that nobody
 * knows, and that came since then (log_files_since). */
void log_copies_find_missed(struct log_files *files, struct log_sought *changed,
			    size_t count);
/* The same, of one of those names: log_siblings_visit calls it. */
void log_copies_on_missed(void *context, struct log_sought *sought, const char *path);
/* Of a file that is not read because it may be a copy: judges it again. */
void log_copies_judge(struct log_files *files, struct log_file *copy);
/* The file goes: those that wait for it go on where it was. */
void log_copies_release(struct log_files *files, const struct log_file *file);
