/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool.h - encoded batches wait here until their receiver has taken them: on disk
 * before they are sent, gone when acknowledged, in order per lane. A lane is one
 * receiver, found again by its name after a restart. What the disk does not take
 * waits in memory, behind what is on disk, and goes there when that works again; disk
 * trouble is logged at its beginning and at its end, and stops nothing, but that a lane
 * waits for what it has on a disk that cannot be read: up to age_max_ms, or until
 * memory is full. It reads no clock, has no timer, and decides nothing about sending.
 *
 * kill -9 loses nothing that was committed and repeats nothing acknowledged; a power
 * loss may repeat what was acknowledged last, bytes and all, and so may a kill while
 * the disk is in trouble.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire_batch.h"

#define SPOOL_ERROR_LEN 512

struct spool;
struct spool_lane;

struct spool_config {
	const char *directory;     /* NULL: in memory only */
	uint64_t bytes_max;        /* of the file in it, see docs/configuration.md */
	uint64_t memory_bytes_max; /* of what waits in memory, all lanes together */
	uint64_t age_max_ms;
};

/* Why samples fell out before they were sent. */
enum spool_reason { SPOOL_TOO_OLD, SPOOL_FULL, SPOOL_CORRUPT, SPOOL_REASONS };

struct spool_waiting {
	uint64_t samples; /* waiting or under way, on disk and in memory */
	uint64_t bytes;
	uint64_t dropped[SPOOL_REASONS]; /* samples since the start */
};

/* Under way: taken and not acknowledged yet. */
struct spool_batch {
	int64_t id;
	int64_t collection; /* counts up, over restarts too */
	struct wire_batch *batch;
};

/* Copies config. What is on disk already and too old goes. A spool that cannot be
 * read is set aside (logged), a disk that takes nothing is logged. Refused, with a
 * line of text: -ENOENT (no such path), -EPERM (others could change it), -ENOTDIR,
 * -EBUSY (another process has it), -errno. */
int spool_open(const struct spool_config *config, int64_t now_ms,
	       struct spool **ret_spool, char error[SPOOL_ERROR_LEN]);
/* What is in memory only is put on disk once more, or lost and logged. */
void spool_close(struct spool **spool);

/* The lane of this name, the spool's own, as long as it. -ENOMEM. */
int spool_lane(struct spool *spool, const char *name, struct spool_lane **ret_lane);
/* What is in this lane is too old after so long, not after age_max_ms. */
void spool_set_age(struct spool_lane *lane, uint64_t age_max_ms);
/* Beyond so many bytes the lane's oldest collections fall out with each commit, as
 * SPOOL_FULL, but for what is under way and the newest. 0: no such bound. */
void spool_set_limit(struct spool_lane *lane, uint64_t bytes_max);
/* Calls back for each lane with batches that nobody asked for by its name. */
typedef void (*spool_orphan)(void *context, const char *name, uint64_t samples);
void spool_orphans(const struct spool *spool, spool_orphan orphan, void *context);

/* What the clocks say, before spool_begin; boot_ms of CLOCK_BOOTTIME. Where the wall
 * clock was set, by more than a minute, what waits grows no older for it, and no
 * younger, in later lives neither; set forward, that is logged. */
void spool_see_clocks(struct spool *spool, int64_t now_ms, int64_t boot_ms);
/* One collection is one transaction. Between begin and commit: puts (they take the
 * batch over, also where there is no memory: then it is counted as SPOOL_FULL),
 * spool_set and spool_set_time. now_ms: wall clock. */
void spool_begin(struct spool *spool, int64_t now_ms);
void spool_put(struct spool_lane *lane, struct wire_batch *batch);
/* On disk when it returns, or in memory; then what is too much or too old falls out,
 * collection by collection, the oldest first, of who has most; never what is under
 * way, nor the newest collection, nor (is_end: these are the last markers) the one
 * before it. */
void spool_commit(struct spool *spool, bool is_end);

/* The oldest batch that is not under way. NULL: none; or another collection of this
 * lane is under way still; or it cannot be read now; or no memory. Until acknowledged
 * it stays as it is, and only its receiver's. */
const struct spool_batch *spool_take(struct spool_lane *lane);
/* Delivered or given up; on disk at once (a kill forgets it no more), without fsync. */
void spool_acknowledge(struct spool_lane *lane, int64_t id);
/* It failed, and would be tried again: if it is older than age_max_ms, as of the last
 * spool_begin, it is given up, counted as SPOOL_TOO_OLD, and this is true. */
bool spool_give_up(struct spool_lane *lane, int64_t id);
/* It is under way, and cannot ever be sent: gone, counted as SPOOL_CORRUPT. */
void spool_discard(struct spool_lane *lane, int64_t id);
void spool_waiting(const struct spool_lane *lane, struct spool_waiting *ret_waiting);

/* Numbers that survive, of a lane or (NULL) of the spool. Written with the collection
 * inside begin and commit, else at once without fsync. -ENOMEM. */
int spool_set(struct spool *spool, const struct spool_lane *lane, const char *key,
	      int64_t number);
bool spool_get(const struct spool *spool, const struct spool_lane *lane,
	       const char *key, int64_t *ret_number);
/* Notes survive too: bytes under a number of the spool's choice, written inside begin
 * and commit, with the collection. -ENOMEM, -ENOSPC: there are SPOOL_NOTES_MAX. */
#define SPOOL_NOTES_MAX (1u << 20)
int spool_note_add(struct spool *spool, const void *bytes, size_t len,
		   uint32_t *ret_id);
/* The note is there. */
int spool_note_change(struct spool *spool, uint32_t id, const void *bytes, size_t len);
void spool_note_remove(struct spool *spool, uint32_t id);
typedef void (*spool_note_call)(void *context, uint32_t id, const void *bytes,
				size_t len);
void spool_each_note(const struct spool *spool, spool_note_call call, void *context);
/* How far times have got, in this life or one before; set between begin and commit.
 * 0: never set. */
void spool_set_time(struct spool *spool, int64_t time_ms);
int64_t spool_last_time_ms(const struct spool *spool);
