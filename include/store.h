/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - the only file that knows SQLite: batches, the names of lanes,
 * numbers, and notes, in one file. Statements and transactions; it keeps nothing in
 * memory but SQLite's cache, decides nothing, logs nothing. Each row has a checksum
 * over all of it and its lane's name: what is handed out is what was put in.
 *
 * Errors: -EUCLEAN the file is damaged or not ours, -EBUSY another process has it,
 * -ENOSPC, -EIO, -EROFS, -ENOMEM, ...; store_error says it in words.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire_batch.h"

/* Bits of a batch's number; above them is its lane's, which counts from 1. */
#define STORE_ID_BITS 48
#define STORE_LANE_MAX ((1u << 15) - 1)
#define STORE_BATCH_BYTES_MAX ((size_t)64 << 20)

struct store;

/* A batch but its content. Unverified until store_read. */
struct store_row {
	uint32_t lane;
	int64_t id;
	int64_t collection;
	int64_t collected_ms;
	uint32_t samples; /* native histograms among them */
	size_t len;
};

/* The file is there, or empty. Otherwise it must be one that this made: -EUCLEAN.
 * ret_error: words, where there is no store yet. */
int store_open(const char *path, struct store **ret_store, char *ret_error,
	       size_t error_len);
/* is_damaged: the file and its log stay as they are, to be looked at. */
void store_close(struct store **store, bool is_damaged);
const char *store_error(const struct store *store);

/* is_durable: what is committed survives a power loss, not only a kill. Outside of
 * transactions each call below commits alone, not durable. */
int store_begin(struct store *store, bool is_durable);
int store_commit(struct store *store);
void store_rollback(struct store *store);

int store_put_lane(struct store *store, uint32_t lane, const char *name);
int store_put(struct store *store, const struct store_row *row, const char *lane_name,
	      const struct wire_batch *batch);
int store_delete(struct store *store, uint32_t lane, int64_t id);
int store_set(struct store *store, const char *key, int64_t number);

/* The first row behind (lane, after); lane_last: in the lanes up to this one.
 * -ENOENT: none. */
int store_next(struct store *store, uint32_t lane, int64_t after, uint32_t lane_last,
	       struct store_row *ret_row);
/* -EBADMSG: it is not what was put there. */
int store_read(struct store *store, const struct store_row *row, const char *lane_name,
	       struct wire_batch **ret_batch);
/* All of them; numbers that are damaged are left out. */
int store_lanes(struct store *store,
		int (*lane)(void *context, uint32_t lane, const char *name),
		void *context);
int store_numbers(struct store *store,
		  int (*number)(void *context, const char *key, int64_t number),
		  void *context);

/* Bytes under a number, in the place of those before. */
int store_put_note(struct store *store, uint32_t id, const void *bytes, size_t len);
/* Also where there is none. */
int store_delete_note(struct store *store, uint32_t id);
/* All of them, but those that are damaged. */
typedef int (*store_note)(void *context, uint32_t id, const void *bytes, size_t len);
int store_notes(struct store *store, store_note note, void *context);

/* Bytes of the file that are in use (what is not is used again), of all of it, and
 * at most that a batch of this length will need. 0: cannot be read. */
uint64_t store_used_bytes(struct store *store);
uint64_t store_file_bytes(struct store *store);
uint64_t store_cost(size_t len);
/* Gives what is unused back to the file system. Copies what is used. */
int store_shrink(struct store *store);
