/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_files.h - the files that are followed: found, told apart, read in turns, and let
 * go when they are nowhere any more. What they are is log_identity.h's business, how
 * one is read log_file.h's. It reads no clock and has no timer.
 *
 * One that is renamed is read on under its new name, also when that happened while
 * nobody was there; its lines keep the name that it was found by. One that is emptied
 * after it was copied (copytruncate) is read on in the copy. What came and was rotated
 * between two scans is found by being named after one that is known. Copies, and second
 * names, are not read twice.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "log_file.h"
#include "log_rule.h"
#include "log_watch.h"
#include "spool.h"

/* A copy that is not followed by its original's being emptied within this time is a
 * file of its own, and goes on from where it is a copy to. */
#define LOG_COPY_MS 10000
/* What is deleted or renamed and does not grow for so long has ended. */
#define LOG_ENDED_MS 5000
/* What is nowhere, and does not grow, is not kept open for longer. */
#define LOG_LINGER_MS 60000
/* What is nowhere is forgotten after a day: a file system may be absent for a while. */
#define LOG_ABSENT_MS 86400000

struct log_files;

struct log_files_config {
	struct log_rule *rules;
	size_t rule_count;
	struct log_watch *watch;
	struct spool *spool;   /* of the notes */
	const char *own_path;  /* a directory whose files are ours, NULL: none */
	unsigned int open_max; /* descriptors, but for files that have no name */
};

/* What there is now. */
struct log_files_sums {
	uint64_t files;
	uint64_t open;
	uint64_t lag_bytes; /* written and not handed out */
	uint64_t copies;    /* that are not read */
};

/* All that is passed outlives it; config is copied. -ENOMEM. */
int log_files_create(const struct log_files_config *config,
		     struct log_files **ret_files);
void log_files_free(struct log_files **files);

/* Before the first scan: a file of an earlier life. False: nobody wants it. */
bool log_files_recall(struct log_files *files, uint32_t note,
		      const struct log_position *position, int64_t now_ms);
/* Also this path (no wildcards) from the next scan on; name NULL: as it is. Returns
 * whether it is new; false also without memory. */
bool log_files_want(struct log_files *files, struct log_rule *rule, const char *path,
		    const char *name, const char *service);
/* Looks at all paths. is_first: of rules that are new and begin at the end, what is
 * there is not read. */
void log_files_scan(struct log_files *files, int64_t now_ms, bool is_first);
/* wall_ns: when the next scan begins; before the first, log_files_since of the life
 * before. */
void log_files_set_time(struct log_files *files, int64_t wall_ns);
/* When the last scan but this began after which all was read: what came and was rotated
 * unseen came later. */
int64_t log_files_since(const struct log_files *files);
/* Whether a scan is due, which then is no more. */
bool log_files_wants_scan(struct log_files *files);
void log_files_want_scan(struct log_files *files);
/* Something may have been written to that file, or to any. */
void log_files_written(struct log_files *files, const char *directory,
		       const char *name);
void log_files_look_at_all(struct log_files *files);
/* Looks for what no event told of: sizes that are not what they were. A scan is due,
 * too. */
void log_files_check(struct log_files *files);
/* Whether any file waits to be read. */
bool log_files_is_due(const struct log_files *files);

/* Reads for a while, one file after another. Whether there is more to read. */
bool log_files_turn(struct log_files *files, const struct log_sink *sink);
/* What time alone does. Returns after how many ms it is to be called again at the
 * latest, 0: not before anything else happens. */
uint64_t log_files_tick(struct log_files *files, const struct log_sink *sink);

/* Whether any position is not noted yet; notes all (with the spool's next commit). */
bool log_files_is_dirty(const struct log_files *files);
void log_files_note(struct log_files *files);
struct log_files_sums log_files_sums(struct log_files *files);
