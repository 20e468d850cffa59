/* SPDX-License-Identifier: Apache-2.0 */
/* Between src/spool.c (lanes, what waits in memory) and src/spool_disk.c,
 * spool_write.c and spool_file.c (what is on disk). Nobody else includes it. */
#pragma once

#include "backlog.h"
#include "spool.h"
#include "spool_directory.h"
#include "store.h"

struct sums {
	uint64_t batches;
	uint64_t samples;
	uint64_t bytes;
};

struct spool_lane {
	struct spool *spool;
	struct spool_lane *next;
	bool is_wanted;   /* asked for by its name */
	bool is_nameless; /* its row on disk is lost or damaged: nobody finds it */
	bool is_stored;   /* its row is on disk */
	uint64_t age_max_ms;
	uint64_t limit_bytes;   /* 0: none of its own */
	uint32_t number;        /* of that row; 0: none yet */
	int64_t cursor;         /* what is on disk up to this id was taken */
	struct sums stored;     /* on disk, under way among them */
	struct backlog fresh;   /* of the collection that is being put */
	struct backlog waiting; /* in memory only */
	struct backlog under_way;
	uint64_t dropped[SPOOL_REASONS];
	/* Of the transaction that is being made: it may fail. */
	struct sums stored_before;
	uint64_t falling[SPOOL_REASONS];
	bool is_exhausted; /* has nothing more that may fall out */
	char name[];
};

struct spool_number {
	struct spool_number *next;
	int64_t number;
	bool is_stored;
	char key[];
};

struct spool_note {
	bool is_stored; /* as it is now */
	bool is_gone;   /* what is stored is to be deleted */
	size_t len;
	unsigned char bytes[];
};

/* By their numbers; NULL: none. */
struct spool_notes {
	struct spool_note **items;
	uint32_t count, room;
	uint32_t unstored;
	uint32_t free_from; /* no number below is free */
};

/* An acknowledgement that could not be written. */
struct spool_acknowledged {
	struct spool_lane *lane;
	int64_t id;
};

struct spool {
	struct spool_config config;
	struct spool_directory *directory; /* NULL: in memory only */
	struct store *store;               /* NULL: could not be opened */
	bool is_collecting;                /* between begin and commit */
	bool has_put;                      /* anything in this collection */
	bool is_troubled;                  /* the disk is, and that was told */
	bool is_damage_told;
	bool is_unreadable; /* lanes wait for what is in the file, */
	int64_t unreadable_since_ms;
	int64_t now_ms;     /* as last told */
	int64_t ahead_ms;   /* the wall clock, of the boot clock; 0: not told yet */
	int64_t collection; /* the newest's */
	int64_t next_id;
	int64_t stored_collection; /* what the file said of both when it was opened */
	int64_t stored_id;
	uint64_t collection_bytes; /* of the newest one, on disk */
	uint32_t last_lane;        /* number on disk */
	struct spool_lane *lanes;
	struct spool_number *numbers;
	struct spool_notes notes;
	struct spool_acknowledged *acknowledged;
	size_t acknowledged_count, acknowledged_room;
	char error[SPOOL_ERROR_LEN / 2];
};

/* src/spool.c: */
struct spool_lane *spool_make_lane(struct spool *spool, const char *name);
struct spool_number *spool_number(const struct spool *spool, const char *key);
int spool_set_key(struct spool *spool, const char *key, int64_t number);

/* src/spool_file.c: */
#define KEY_COLLECTION ".collection"
#define KEY_ID ".id"
#define KEY_TIME ".time_ms"
/* How far the wall clock was set since what is below this id was put. */
#define KEY_STEP ".step_ms"
#define KEY_STEP_BELOW ".step_below"

const char *spool_path(const struct spool *spool);
/* Opens it, or a fresh one in the place of one that is damaged, and learns what is in
 * it. -errno, in words in spool->error. */
int spool_file_open(struct spool *spool);
/* It is damaged, spool->error says how: closes and renames it, and counts what is
 * lost with it. Afterwards there is none. */
int spool_file_set_aside(struct spool *spool);
/* Log, once each. */
void spool_file_trouble(struct spool *spool);
void spool_file_works(struct spool *spool);

void spool_sums_add(struct sums *sums, uint64_t samples, uint64_t bytes);
void spool_sums_subtract(struct sums *sums, uint64_t samples, uint64_t bytes);
/* What of the lane is on disk and under way. */
struct sums spool_sums_under_way(const struct spool_lane *lane);
uint64_t spool_less(uint64_t from, uint64_t number);
/* What was collected before is too old, of a batch with this id. */
int64_t spool_age_limit(const struct spool_lane *lane, int64_t id);

/* src/spool_notes.c: */
int spool_notes_load(struct spool *spool);
/* In a transaction; settled when it was committed. */
int spool_notes_write(struct spool *spool);
void spool_notes_settle(struct spool *spool);
/* There is no file: all of them are to be written. */
void spool_notes_unstore(struct spool *spool);
void spool_notes_free(struct spool *spool);

/* src/spool_write.c: */
/* Puts on disk what is in memory only, after what is too old or too much fell out:
 * of collections before `spared`. On failure all is as it was. */
int spool_transact(struct spool *spool, int64_t spared, bool is_durable);
/* The lane's next row that is not under way, behind the id that is in row. -ENOENT */
int spool_next_idle(struct spool_lane *lane, struct store_row *row);

/* src/spool_disk.c, where there is a directory: */
/* -EBUSY, -EPERM, -EACCES and -ENOMEM, in words in spool->error; after others the
 * spool goes on in memory. */
int spool_disk_open(struct spool *spool);
/* What it cannot put there stays as it is. */
void spool_disk_write(struct spool *spool, int64_t spared);
/* The lane's next batch, of any collection if `only` is 0. -ENOENT: none on disk,
 * -EAGAIN: another collection's, or it cannot be read now; -ENOMEM. */
int spool_disk_take(struct spool_lane *lane, int64_t only,
		    struct backlog_item **ret_item);
/* After a collection: a file that could not be read for too long, or until memory is
 * full, is set aside. */
void spool_disk_give_up(struct spool *spool, int64_t spared);
/* The batch is on disk: deletes it, or remembers to. */
void spool_disk_acknowledge(struct spool_lane *lane, const struct backlog_item *item);
void spool_disk_set(struct spool *spool, struct spool_number *number);
void spool_disk_close(struct spool *spool);
