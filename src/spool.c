/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch is in one place at a time: fresh (of the collection being put), on disk,
 * waiting (in memory, because the disk does not take it or there is none), under way.
 * Ids count up over all lanes and restarts; they are the order, wherever a batch is.
 * Both counters start at the wall clock's milliseconds at least: ahead of those in a
 * file that cannot be read, or is lost.
 */
#include "spool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"
#include "spool_internal.h"

/* What two clocks may differ in without having been set. */
#define STEP_MIN_MS 60000

/* --- opening ------------------------------------------------------------------ */

static int open_directory(struct spool *spool, char error[SPOOL_ERROR_LEN])
{
	int err = spool_directory_open(spool->config.directory, &spool->directory,
				       error, SPOOL_ERROR_LEN);

	if (err)
		return err;
	err = spool_disk_open(spool);
	if (err) {
		snprintf(error, SPOOL_ERROR_LEN, "\"%.200s\": %s",
			 spool_directory_file(spool->directory), spool->error);
		spool_directory_close(&spool->directory);
	}
	return err;
}

int spool_open(const struct spool_config *config, int64_t now_ms,
	       struct spool **ret_spool, char error[SPOOL_ERROR_LEN])
{
	CLEANUP(spool_close) struct spool *spool = calloc(1, sizeof(*spool));
	int err = 0;

	if (!spool) {
		snprintf(error, SPOOL_ERROR_LEN, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	spool->config = *config;
	spool->now_ms = now_ms;
	spool->collection = now_ms;
	spool->next_id = now_ms;
	/* Or what comes back from memory would be too much for the disk. */
	if (spool->config.memory_bytes_max > spool->config.bytes_max &&
	    config->directory)
		spool->config.memory_bytes_max = spool->config.bytes_max;
	if (config->directory)
		err = open_directory(spool, error);
	if (!err)
		*ret_spool = TAKE(spool);
	return err;
}

static void free_lanes(struct spool *spool)
{
	for (struct spool_lane *lane = spool->lanes, *next; lane; lane = next) {
		next = lane->next;
		backlog_clear(&lane->fresh);
		backlog_clear(&lane->waiting);
		backlog_clear(&lane->under_way);
		free(lane);
	}
}

static void free_numbers(struct spool *spool)
{
	for (struct spool_number *number = spool->numbers, *next; number;
	     number = next) {
		next = number->next;
		free(number);
	}
}

void spool_close(struct spool **spool)
{
	if (!*spool)
		return;
	if ((*spool)->directory)
		spool_disk_close(*spool);
	spool_directory_close(&(*spool)->directory);
	free_lanes(*spool);
	free_numbers(*spool);
	spool_notes_free(*spool);
	free((*spool)->acknowledged);
	free(*spool);
	*spool = NULL;
}

/* --- lanes -------------------------------------------------------------------- */

struct spool_lane *spool_make_lane(struct spool *spool, const char *name)
{
	size_t size = strlen(name) + 1;
	struct spool_lane *lane = calloc(1, sizeof(*lane) + size),
			  **end = &spool->lanes;

	if (!lane)
		return NULL;
	memcpy(lane->name, name, size);
	lane->spool = spool;
	lane->age_max_ms = spool->config.age_max_ms;
	while (*end)
		end = &(*end)->next;
	*end = lane;
	return lane;
}

int spool_lane(struct spool *spool, const char *name, struct spool_lane **ret_lane)
{
	struct spool_lane *lane = spool->lanes;

	while (lane && (lane->is_nameless || strcmp(lane->name, name) != 0))
		lane = lane->next;
	if (!lane)
		lane = spool_make_lane(spool, name);
	if (!lane)
		return -ENOMEM;
	lane->is_wanted = true;
	*ret_lane = lane;
	return 0;
}

void spool_set_age(struct spool_lane *lane, uint64_t age_max_ms)
{
	lane->age_max_ms = age_max_ms;
}

void spool_set_limit(struct spool_lane *lane, uint64_t bytes_max)
{
	lane->limit_bytes = bytes_max;
}

void spool_orphans(const struct spool *spool, spool_orphan orphan, void *context)
{
	for (const struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		if (!lane->is_wanted && lane->stored.batches)
			orphan(context, lane->name, lane->stored.samples);
	}
}

void spool_waiting(const struct spool_lane *lane, struct spool_waiting *ret_waiting)
{
	struct spool_waiting waiting = {
	    .samples =
		lane->stored.samples + lane->waiting.samples + lane->fresh.samples,
	    .bytes = lane->stored.bytes + lane->waiting.bytes + lane->fresh.bytes,
	};

	for (const struct backlog_item *item = lane->under_way.first; item;
	     item = item->next) {
		if (item->is_on_disk)
			continue;
		waiting.samples += backlog_item_samples(item);
		waiting.bytes += backlog_item_bytes(item);
	}
	memcpy(waiting.dropped, lane->dropped, sizeof(waiting.dropped));
	*ret_waiting = waiting;
}

/* --- what waits in memory ----------------------------------------------------- */

static void drop_oldest(struct spool_lane *lane, enum spool_reason reason)
{
	lane->dropped[reason] += backlog_drop_oldest(&lane->waiting);
}

static bool may_fall(const struct spool_lane *lane, int64_t spared)
{
	return lane->waiting.first && lane->waiting.first->public.collection < spared;
}

static void drop_old(struct spool *spool)
{
	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		const struct backlog_item *first;

		while ((first = lane->waiting.first) &&
		       first->collected_ms < spool_age_limit(lane, first->row))
			drop_oldest(lane, SPOOL_TOO_OLD);
	}
}

static void drop_beyond(struct spool *spool, int64_t spared)
{
	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		while (lane->limit_bytes && lane->waiting.bytes > lane->limit_bytes &&
		       may_fall(lane, spared))
			drop_oldest(lane, SPOOL_FULL);
	}
}

static void drop_excess(struct spool *spool, int64_t spared)
{
	for (;;) {
		struct spool_lane *fullest = NULL;
		uint64_t bytes = 0;

		for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
			bytes += lane->waiting.bytes;
			if (may_fall(lane, spared) &&
			    (!fullest || lane->waiting.bytes > fullest->waiting.bytes))
				fullest = lane;
		}
		if (bytes <= spool->config.memory_bytes_max || !fullest)
			return;
		drop_oldest(fullest, SPOOL_FULL);
	}
}

/* --- time ----------------------------------------------------------------------- */

static int64_t number_of(const struct spool *spool, const char *key)
{
	const struct spool_number *number = spool_number(spool, key);

	return number ? number->number : 0;
}

int64_t spool_age_limit(const struct spool_lane *lane, int64_t id)
{
	const struct spool *spool = lane->spool;
	int64_t limit_ms = spool->now_ms - (int64_t)lane->age_max_ms;

	if (id < number_of(spool, KEY_STEP_BELOW))
		limit_ms -= number_of(spool, KEY_STEP);
	return limit_ms;
}

void spool_see_clocks(struct spool *spool, int64_t now_ms, int64_t boot_ms)
{
	int64_t ahead_ms = now_ms - boot_ms, step_ms = ahead_ms - spool->ahead_ms;
	bool is_first = !spool->ahead_ms;

	spool->ahead_ms = ahead_ms;
	if (is_first || (step_ms < STEP_MIN_MS && step_ms > -STEP_MIN_MS))
		return;
	if (step_ms > 0)
		log_warning("the wall clock went forward by %" PRId64
			    " s: what waits for receivers is no older for it",
			    step_ms / 1000);
	/* Without memory the clock is believed. */
	spool_set(spool, NULL, KEY_STEP, number_of(spool, KEY_STEP) + step_ms);
	spool_set(spool, NULL, KEY_STEP_BELOW, spool->next_id);
}

/* --- collections -------------------------------------------------------------- */

void spool_begin(struct spool *spool, int64_t now_ms)
{
	spool->now_ms = now_ms;
	if (spool->has_put)
		spool->collection++;
	spool->has_put = false;
	spool->is_collecting = true;
}

void spool_put(struct spool_lane *lane, struct wire_batch *batch)
{
	struct spool *spool = lane->spool;
	uint32_t samples = batch->samples + batch->histograms;
	struct backlog_item *item = NULL;

	if (batch->len <= STORE_BATCH_BYTES_MAX)
		item = backlog_make(batch);
	else
		wire_batch_put(&batch);
	if (!item) {
		lane->dropped[SPOOL_FULL] += samples;
		return;
	}
	item->public.id = item->row = spool->next_id++;
	item->public.collection = spool->collection;
	item->collected_ms = spool->now_ms;
	backlog_append(&lane->fresh, item);
	spool->has_put = true;
}

void spool_commit(struct spool *spool, bool is_end)
{
	int64_t spared = spool->collection - (is_end ? 1 : 0);

	spool->is_collecting = false;
	if (spool->directory)
		spool_disk_write(spool, spared);
	else
		spool_notes_settle(spool);
	spared = spool->collection - (is_end ? 1 : 0); /* it may have been renumbered */
	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next)
		backlog_move(&lane->waiting, &lane->fresh);
	if (spool->directory)
		spool_disk_give_up(spool, spared);
	drop_old(spool);
	drop_beyond(spool, spared);
	drop_excess(spool, spared);
}

/* --- sending ------------------------------------------------------------------ */

static struct backlog_item *take_waiting(struct spool_lane *lane, int64_t only)
{
	struct backlog_item *item = lane->waiting.first;

	if (!item || (only && item->public.collection != only))
		return NULL;
	backlog_remove(&lane->waiting, item);
	return item;
}

const struct spool_batch *spool_take(struct spool_lane *lane)
{
	const struct backlog_item *sent = lane->under_way.first;
	int64_t only = sent ? sent->public.collection : 0;
	struct backlog_item *item = NULL;
	int err = -ENOENT;

	if (lane->spool->directory)
		err = spool_disk_take(lane, only, &item);
	if (err == -ENOENT)
		item = take_waiting(lane, only);
	if (!item)
		return NULL;
	backlog_append(&lane->under_way, item);
	return &item->public;
}

void spool_acknowledge(struct spool_lane *lane, int64_t id)
{
	struct backlog_item *item = backlog_find(&lane->under_way, id);

	if (!item)
		return;
	backlog_remove(&lane->under_way, item);
	if (item->is_on_disk)
		spool_disk_acknowledge(lane, item);
	backlog_item_free(&item);
}

bool spool_give_up(struct spool_lane *lane, int64_t id)
{
	const struct backlog_item *item = backlog_find(&lane->under_way, id);

	if (!item || item->public.batch->time_ms >= spool_age_limit(lane, item->row))
		return false;
	lane->dropped[SPOOL_TOO_OLD] += backlog_item_samples(item);
	spool_acknowledge(lane, id);
	return true;
}

void spool_discard(struct spool_lane *lane, int64_t id)
{
	const struct backlog_item *item = backlog_find(&lane->under_way, id);

	if (!item)
		return;
	lane->dropped[SPOOL_CORRUPT] += backlog_item_samples(item);
	spool_acknowledge(lane, id);
}

/* --- numbers ------------------------------------------------------------------ */

struct spool_number *spool_number(const struct spool *spool, const char *key)
{
	struct spool_number *number = spool->numbers;

	while (number && strcmp(number->key, key) != 0)
		number = number->next;
	return number;
}

int spool_set_key(struct spool *spool, const char *key, int64_t value)
{
	struct spool_number *number = spool_number(spool, key);
	size_t size = strlen(key) + 1;

	if (!number) {
		number = calloc(1, sizeof(*number) + size);
		if (!number)
			return -ENOMEM;
		memcpy(number->key, key, size);
		number->next = spool->numbers;
		spool->numbers = number;
	} else if (number->number == value) {
		return 0;
	}
	number->number = value;
	number->is_stored = false;
	return 0;
}

/* Keys have no space in them. */
static char *full_key(const struct spool_lane *lane, const char *key)
{
	char *full;

	if (asprintf(&full, "%s%s%s", key, lane ? " " : "", lane ? lane->name : "") < 0)
		return NULL;
	return full;
}

int spool_set(struct spool *spool, const struct spool_lane *lane, const char *key,
	      int64_t value)
{
	AUTO_FREE char *full = full_key(lane, key);
	int err = full ? spool_set_key(spool, full, value) : -ENOMEM;

	if (!err && spool->directory && !spool->is_collecting)
		spool_disk_set(spool, spool_number(spool, full));
	return err;
}

bool spool_get(const struct spool *spool, const struct spool_lane *lane,
	       const char *key, int64_t *ret_value)
{
	AUTO_FREE char *full = full_key(lane, key);
	const struct spool_number *number = full ? spool_number(spool, full) : NULL;

	if (!number)
		return false;
	*ret_value = number->number;
	return true;
}

void spool_set_time(struct spool *spool, int64_t time_ms)
{
	/* Only the first time needs memory. */
	if (spool_set_key(spool, KEY_TIME, time_ms))
		log_warning("no memory to remember the time of the last samples");
}

int64_t spool_last_time_ms(const struct spool *spool)
{
	return number_of(spool, KEY_TIME);
}
