/* SPDX-License-Identifier: Apache-2.0 */
/* Batches in memory, in the order of their numbers: a list that knows what it
 * holds. Its bounds are the owner's business. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "spool.h"

struct backlog_item {
	struct spool_batch public;
	int64_t collected_ms;
	int64_t row; /* its id on disk, not always the public one */
	bool is_on_disk;
	struct backlog_item *next;
};

struct backlog {
	struct backlog_item *first, *last;
	uint64_t count;
	uint64_t samples;
	uint64_t bytes; /* with what keeping them takes */
};

/* Takes the batch over, also where it returns NULL: no memory. */
struct backlog_item *backlog_make(struct wire_batch *batch);
void backlog_item_free(struct backlog_item **item);
/* Native histograms among them. */
uint32_t backlog_item_samples(const struct backlog_item *item);
/* What it takes in memory, some more than its content. */
uint64_t backlog_item_bytes(const struct backlog_item *item);

void backlog_append(struct backlog *backlog, struct backlog_item *item);
/* Appends all of `more`, and leaves it empty. */
void backlog_move(struct backlog *backlog, struct backlog *more);
struct backlog_item *backlog_find(const struct backlog *backlog, int64_t id);
/* The item is in it; the caller's from then on. */
void backlog_remove(struct backlog *backlog, struct backlog_item *item);
/* All of one collection, which is the first's. Returns its samples. */
uint64_t backlog_drop_oldest(struct backlog *backlog);
/* Forgets everything. */
void backlog_clear(struct backlog *backlog);
