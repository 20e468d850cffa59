/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool's file: opened, understood, and given up. Whatever it says is checked for
 * being possible here, and for being ours when a batch is read. One that is damaged
 * is set aside, a fresh one begun, and what was in it counted as lost, but for what
 * is under way: that is in memory, and goes into the fresh one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "spool_internal.h"

#define NAME_LEN 64

const char *spool_path(const struct spool *spool)
{
	return spool_directory_file(spool->directory);
}

/* --- sums --------------------------------------------------------------------- */

void spool_sums_add(struct sums *sums, uint64_t samples, uint64_t bytes)
{
	sums->batches++;
	sums->samples += samples;
	sums->bytes += bytes;
}

uint64_t spool_less(uint64_t from, uint64_t number)
{
	return from > number ? from - number : 0;
}

/* A damaged row may claim what it was not counted with. */
void spool_sums_subtract(struct sums *sums, uint64_t samples, uint64_t bytes)
{
	sums->batches = spool_less(sums->batches, 1);
	sums->samples = spool_less(sums->samples, samples);
	sums->bytes = spool_less(sums->bytes, bytes);
}

/* What of the lane is on disk and under way. */
struct sums spool_sums_under_way(const struct spool_lane *lane)
{
	struct sums sums = {0};

	for (const struct backlog_item *item = lane->under_way.first; item;
	     item = item->next) {
		if (item->is_on_disk)
			spool_sums_add(&sums, backlog_item_samples(item),
				       item->public.batch->len);
	}
	return sums;
}

/* --- trouble ------------------------------------------------------------------ */

void spool_file_trouble(struct spool *spool)
{
	if (!spool->is_troubled)
		log_error("spool \"%s\" cannot be used: %s; what is collected waits in "
			  "memory",
			  spool_path(spool), spool->error);
	spool->is_troubled = true;
}

void spool_file_works(struct spool *spool)
{
	if (spool->is_troubled)
		log_info("spool \"%s\" works again", spool_path(spool));
	spool->is_troubled = false;
}

/* Returns how many samples are lost with the file. */
static uint64_t count_lost(struct spool *spool)
{
	uint64_t all_lost = 0;

	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		uint64_t lost = spool_less(lane->stored.samples,
					   spool_sums_under_way(lane).samples);

		lane->dropped[SPOOL_CORRUPT] += lost;
		all_lost += lost;
	}
	return all_lost;
}

/* There is no file: nothing is in it, and what memory has is to be written. */
static void forget_disk(struct spool *spool)
{
	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		for (struct backlog_item *item = lane->under_way.first; item;
		     item = item->next)
			item->is_on_disk = false;
		lane->stored = (struct sums){0};
		lane->is_stored = false;
		lane->number = 0;
		lane->cursor = 0;
	}
	for (struct spool_number *number = spool->numbers; number;
	     number = number->next)
		number->is_stored = false;
	spool_notes_unstore(spool);
	spool->acknowledged_count = 0;
	spool->last_lane = 0;
}

/* What cannot be set aside is not lost, as far as anybody knows. */
int spool_file_set_aside(struct spool *spool)
{
	char name[NAME_LEN] = "";
	uint64_t lost;
	int err;

	store_close(&spool->store, true);
	err = spool_directory_set_aside(spool->directory, spool->now_ms,
					spool->config.bytes_max, name, sizeof(name));
	lost = *name ? count_lost(spool) : 0;
	if (*name)
		log_error("spool \"%s\" is damaged: %s; set aside as \"%s\", with "
			  "%" PRIu64 " sample%s that %s known of",
			  spool_path(spool), spool->error, name, lost,
			  lost == 1 ? "" : "s", lost == 1 ? "is" : "are");
	else
		snprintf(spool->error, sizeof(spool->error),
			 "damaged, and cannot be set aside: %s", strerror(-err));
	forget_disk(spool);
	return *name ? 0 : err;
}

/* --- opening ------------------------------------------------------------------ */

static int on_lane(void *context, uint32_t number, const char *name)
{
	struct spool *spool = context;
	struct spool_lane *lane = spool->lanes;

	if (!number || number > STORE_LANE_MAX)
		return 0;
	while (lane && (lane->number || strcmp(lane->name, name) != 0))
		lane = lane->next;
	if (!lane)
		lane = spool_make_lane(spool, name);
	if (!lane)
		return -ENOMEM;
	/* Of two with one name, the first is the one that is found by it. */
	for (const struct spool_lane *other = spool->lanes; other; other = other->next)
		lane->is_nameless |= other != lane && !strcmp(other->name, name);
	lane->number = number;
	lane->is_stored = true;
	if (number > spool->last_lane)
		spool->last_lane = number;
	return 0;
}

static int on_number(void *context, const char *key, int64_t value)
{
	struct spool *spool = context;
	int err;

	if (!strcmp(key, KEY_COLLECTION))
		spool->stored_collection = value;
	else if (!strcmp(key, KEY_ID))
		spool->stored_id = value;
	if (spool_number(spool, key)) /* newer */
		return 0;
	err = spool_set_key(spool, key, value);
	if (!err)
		spool_number(spool, key)->is_stored = true;
	return err;
}

static struct spool_lane *lane_of_row(struct spool *spool, uint32_t number)
{
	struct spool_lane *lane = spool->lanes;

	while (lane && lane->number != number)
		lane = lane->next;
	if (lane)
		return lane;
	lane = spool_make_lane(spool, "");
	if (!lane)
		return NULL;
	lane->number = number;
	lane->is_nameless = true;
	lane->is_stored = true;
	if (number > spool->last_lane)
		spool->last_lane = number;
	return lane;
}

static int count_rows(struct spool *spool)
{
	struct spool_lane *lane = NULL;
	struct store_row row = {.lane = 1}; /* the first there can be */
	int err;

	for (;;) {
		err = store_next(spool->store, row.lane, row.id, STORE_LANE_MAX, &row);
		if (err)
			return err == -ENOENT ? 0 : err;
		if (!lane || lane->number != row.lane)
			lane = lane_of_row(spool, row.lane);
		if (!lane)
			return -ENOMEM;
		spool_sums_add(&lane->stored, row.samples, row.len);
	}
}

/* How far numbers from `first` on are to be moved to come after those in the file. */
static int64_t shift(int64_t first, int64_t stored)
{
	return stored >= first ? stored + 1 - first : 0;
}

static void renumber_items(struct backlog *backlog, int64_t ids, int64_t collections,
			   bool is_under_way)
{
	for (struct backlog_item *item = backlog->first; item; item = item->next) {
		item->row += ids;
		item->public.collection += collections;
		if (!is_under_way)
			item->public.id += ids;
	}
}

static void first_of(const struct backlog *backlog, int64_t *id, int64_t *collection)
{
	for (const struct backlog_item *item = backlog->first; item;
	     item = item->next) {
		if (item->row < *id)
			*id = item->row;
		if (item->public.collection < *collection)
			*collection = item->public.collection;
	}
}

/* What came to memory while the file could not be read comes after what is in it.
 * Mostly it does: the counters started at the clock. */
static void count_on(struct spool *spool)
{
	int64_t ids = spool->next_id, collections = spool->collection;

	for (const struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		first_of(&lane->under_way, &ids, &collections);
		first_of(&lane->waiting, &ids, &collections);
		first_of(&lane->fresh, &ids, &collections);
	}
	ids = shift(ids, spool->stored_id);
	collections = shift(collections, spool->stored_collection);
	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		renumber_items(&lane->under_way, ids, collections, true);
		renumber_items(&lane->waiting, ids, collections, false);
		renumber_items(&lane->fresh, ids, collections, false);
	}
	spool->next_id += ids;
	spool->collection += collections;
}

/* What the file says, beside what is in memory already. */
static int load(struct spool *spool)
{
	int err;

	spool->stored_collection = 0;
	spool->stored_id = 0;
	err = store_lanes(spool->store, on_lane, spool);
	if (!err)
		err = store_numbers(spool->store, on_number, spool);
	if (!err)
		err = spool_notes_load(spool);
	if (!err)
		err = count_rows(spool);
	if (!err)
		count_on(spool);
	return err;
}

static int open_and_load(struct spool *spool)
{
	int err = spool_directory_make_file(spool->directory);

	if (err) {
		snprintf(spool->error, sizeof(spool->error), "%s",
			 err == -EUCLEAN ? "empty, but its log is not"
			 : err == -EPERM ? "not a regular file that is ours alone"
					 : strerror(-err));
		return err;
	}
	err = store_open(spool_path(spool), &spool->store, spool->error,
			 sizeof(spool->error));
	if (err)
		return err;
	err = load(spool);
	if (err && spool->store)
		snprintf(spool->error, sizeof(spool->error), "%s",
			 store_error(spool->store));
	return err;
}

/* Opens it, or a fresh one in its place. */
int spool_file_open(struct spool *spool)
{
	int err = open_and_load(spool);

	if (err == -EUCLEAN)
		err = spool_file_set_aside(spool) ?: open_and_load(spool);
	if (err) {
		forget_disk(spool);
		store_close(&spool->store, true);
	}
	return err;
}
