/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_file.h - one file that is followed: opened if it is still the one it was, read
 * from where it was read to, and made entries of. What was read and is not an entry yet
 * (the last line, lines that others may belong to) is in no position: it would be read
 * again. It does not look for files, and knows neither batches nor notes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "log_batch.h"
#include "log_identity.h"
#include "log_lines.h"
#include "log_multiline.h"
#include "log_rule.h"
#include "slice.h"

#define LOG_NO_NOTE UINT32_MAX

/* Where a file is found by something of it; log_index.h. */
struct log_node {
	struct log_node *next;
	struct log_file *file;
	uint64_t hash;
};

struct log_file {
	struct log_identity identity;
	struct log_rule *rule;
	char *name;    /* what its lines are told of: its first path */
	char *path;    /* where it is now; NULL: it has no name that we know */
	char *target;  /* where its path led while that was a link; NULL: it was none */
	char *service; /* NULL: none */
	char *labels;
	int fd;                 /* -1: closed */
	uint64_t offset;        /* what stands before it was handed out */
	uint64_t read_end;      /* what stands before it was read */
	uint64_t size;          /* as last seen */
	struct log_print tail;  /* before read_end */
	struct log_stamp stamp; /* from before it was last read */
	struct log_print mark;  /* before mark_offset; of none: it was not seen */
	uint64_t mark_offset;
	struct slice chunk; /* what ends at read_end, while lines are taken out of it */
	struct log_lines lines;
	struct log_multiline multiline;
	int64_t line_ms;   /* when the last line came */
	int64_t growth_ms; /* when it was last seen to grow, or to be there */
	struct log_batch_place place;
	/* The rest is the set's (log_files.h). */
	struct log_node by_inode, by_name, by_path, by_target;
	struct log_file *due_next;
	struct log_file *origin; /* whose copy it may be: it is not read then */
	uint32_t note;           /* LOG_NO_NOTE: none */
	uint32_t found_scan;     /* the first one that found it; 0: none did */
	uint32_t scan;           /* the last one */
	uint32_t index;
	uint32_t poll_ms; /* how often it is looked at; 0: it is watched */
	int64_t poll_next_ms;
	int64_t stamp_ms;  /* when that stamp was found by a look; 0: it was not yet */
	int64_t absent_ms; /* since when it is nowhere; 0: it is somewhere */
	bool is_linked;    /* its path is a link, to target */
	bool is_settled;   /* what is written since it was read has another stamp */
	bool is_due;
	bool is_dirty;   /* its note is not what it should be */
	bool is_anew;    /* nothing was read since it was emptied, or took its name */
	bool is_rotated; /* it lost its name: what it ends with is a line */
	bool is_refused; /* it cannot be opened, and that was told */
};

/* Takes each entry; the offset is moved behind it when this returns. */
typedef void (*log_entry_call)(void *context, struct log_file *file,
			       const struct log_entry *entry);
struct log_sink {
	log_entry_call entry;
	void *context;
	int64_t now_ms; /* any clock that does not go back */
};

enum log_read {
	LOG_READ_MORE,    /* there is more */
	LOG_READ_END,     /* there is no more now */
	LOG_READ_CHANGED, /* what stands there is not what was read: it begins anew */
	LOG_READ_GONE,    /* it is not at its path any more */
	LOG_READ_FAILED,  /* errno says why */
};

/* At offset, with nothing read beyond. NULL: no memory. path is copied, and is the
 * name, too, if that is NULL. */
struct log_file *log_file_create(const struct log_identity *identity,
				 struct log_rule *rule, const char *path,
				 const char *name, const char *service,
				 uint64_t offset);
void log_file_free(struct log_file **file);
void log_file_close(struct log_file *file);
/* What is written from now on is not read yet. */
void log_file_set_stamp(struct log_file *file, struct log_stamp stamp);
/* Opens it, if it is closed, and knows its size then. LOG_READ_END: it is. */
enum log_read log_file_open(struct log_file *file);
/* Reads some more of it; `buf` has LOG_FILE_BUF bytes. ret_len: what that was. */
#define LOG_FILE_CHUNK ((size_t)64 << 10)
#define LOG_FILE_BUF (LOG_TAIL_BYTES + LOG_FILE_CHUNK)
enum log_read log_file_read(struct log_file *file, char *buf,
			    const struct log_sink *sink, size_t *ret_len);
/* Lines wait for others: nothing belongs to them any more. */
void log_file_end_entry(struct log_file *file, const struct log_sink *sink);
/* So does the last line for its end: there will be none. */
void log_file_end(struct log_file *file, const struct log_sink *sink);
/* Where it is, without links; NULL: nowhere. */
const char *log_file_place(const struct log_file *file);
/* Whether anything was read that is not handed out. */
bool log_file_is_pending(const struct log_file *file);
/* It has other content now, or is to be read again from the offset. */
void log_file_restart(struct log_file *file, uint64_t offset, struct log_print tail);
/* Where it is to go on after a restart; strings are the file's. The print of its head
 * grows. */
struct log_position log_file_position(struct log_file *file);
