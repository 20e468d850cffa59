/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One transaction: what was acknowledged goes, what is too old, what there is no room
 * for; then what is in memory comes in. All of it or nothing: sums are put back, and
 * what fell out is counted, when it is known which.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "spool_internal.h"

/* --- what falls out ----------------------------------------------------------- */

static bool is_under_way(const struct spool_lane *lane, int64_t id)
{
	const struct backlog_item *item = lane->under_way.first;

	while (item && !(item->is_on_disk && item->row == id))
		item = item->next;
	return item != NULL;
}

int spool_next_idle(struct spool_lane *lane, struct store_row *row)
{
	int err;

	do
		err = store_next(lane->spool->store, lane->number, row->id,
				 lane->number, row);
	while (!err && is_under_way(lane, row->id));
	return err;
}

/* What is on disk up to the cursor is under way. -ENOENT: nothing may fall out. A
 * collection that is yet to come is a damaged row's, and spared by nobody. */
static int find_oldest(struct spool_lane *lane, int64_t spared,
		       struct store_row *ret_row)
{
	struct store_row row = {.id = lane->cursor};
	int err = lane->number && lane->stored.batches ? spool_next_idle(lane, &row)
						       : -ENOENT;

	if (err)
		return err;
	if (row.collection >= spared && row.collection <= lane->spool->collection)
		return -ENOENT;
	*ret_row = row;
	return 0;
}

static int drop_collection(struct spool_lane *lane, struct store_row row,
			   enum spool_reason reason)
{
	const int64_t collection = row.collection;
	int err = 0;

	while (!err && row.collection == collection) {
		err = store_delete(lane->spool->store, row.lane, row.id);
		if (err)
			return err;
		spool_sums_subtract(&lane->stored, row.samples, row.len);
		lane->falling[reason] += row.samples;
		err = spool_next_idle(lane, &row);
	}
	return err == -ENOENT ? 0 : err;
}

static int drop_old(struct spool *spool)
{
	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		struct store_row row;
		int err;

		while (!(err = find_oldest(lane, INT64_MAX, &row)) &&
		       row.collected_ms < spool_age_limit(lane, row.id)) {
			err = drop_collection(lane, row, SPOOL_TOO_OLD);
			if (err)
				return err;
		}
		if (err && err != -ENOENT)
			return err;
	}
	return 0;
}

/* What lanes have a bound of their own for. */
static int drop_beyond(struct spool *spool, int64_t spared)
{
	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		struct store_row row;
		int err = 0;

		while (!err && lane->limit_bytes &&
		       lane->stored.bytes > lane->limit_bytes) {
			err = find_oldest(lane, spared, &row);
			if (!err)
				err = drop_collection(lane, row, SPOOL_FULL);
		}
		if (err && err != -ENOENT)
			return err;
	}
	return 0;
}

/* Whether one gives way before the other: nobody waits for it, or it has more. */
static bool is_fuller(const struct spool_lane *lane, const struct spool_lane *other)
{
	if (!other || lane->is_wanted != other->is_wanted)
		return !other || !lane->is_wanted;
	return lane->stored.bytes > other->stored.bytes;
}

static struct spool_lane *fullest(struct spool *spool)
{
	struct spool_lane *found = NULL;

	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		if (lane->stored.batches && !lane->is_exhausted &&
		    is_fuller(lane, found))
			found = lane;
	}
	return found;
}

static int make_room(struct spool *spool, int64_t spared, uint64_t bytes)
{
	struct spool_lane *lane;
	struct store_row row;

	while (store_used_bytes(spool->store) + bytes > spool->config.bytes_max &&
	       (lane = fullest(spool))) {
		int err = find_oldest(lane, spared, &row);

		if (err == -ENOENT)
			lane->is_exhausted = true;
		else if (!err)
			err = drop_collection(lane, row, SPOOL_FULL);
		if (err && err != -ENOENT)
			return err;
	}
	return 0;
}

/* --- one transaction ---------------------------------------------------------- */

static int write_lane(struct spool_lane *lane)
{
	struct spool *spool = lane->spool;

	if (lane->is_stored)
		return 0;
	if (!lane->number) {
		if (spool->last_lane >= STORE_LANE_MAX)
			return -ENOSPC;
		lane->number = ++spool->last_lane;
	}
	return store_put_lane(spool->store, lane->number, lane->name);
}

static int write_items(struct spool_lane *lane, const struct backlog *backlog)
{
	int err = 0;

	for (const struct backlog_item *item = backlog->first; !err && item;
	     item = item->next) {
		const struct wire_batch *batch = item->public.batch;
		const struct store_row row = {
		    .lane = lane->number,
		    .id = item->row,
		    .collection = item->public.collection,
		    .collected_ms = item->collected_ms,
		};

		if (item->is_on_disk)
			continue;
		err = store_put(lane->spool->store, &row, lane->name, batch);
		if (!err)
			spool_sums_add(&lane->stored, backlog_item_samples(item),
				       batch->len);
	}
	return err;
}

static int write_lanes(struct spool *spool)
{
	int err = 0;

	for (struct spool_lane *lane = spool->lanes; !err && lane; lane = lane->next) {
		if (!lane->is_wanted)
			continue;
		err = write_lane(lane);
		if (!err)
			err = write_items(lane, &lane->under_way);
		if (!err)
			err = write_items(lane, &lane->waiting);
		if (!err)
			err = write_items(lane, &lane->fresh);
	}
	return err;
}

static int write_numbers(struct spool *spool)
{
	int err = spool_set_key(spool, KEY_COLLECTION, spool->collection);

	if (!err)
		err = spool_set_key(spool, KEY_ID, spool->next_id - 1);

	for (struct spool_number *number = spool->numbers; !err && number;
	     number = number->next) {
		if (!number->is_stored)
			err = store_set(spool->store, number->key, number->number);
	}
	return err;
}

static int write_acknowledged(struct spool *spool)
{
	int err = 0;

	for (size_t i = 0; !err && i < spool->acknowledged_count; i++)
		err = store_delete(spool->store, spool->acknowledged[i].lane->number,
				   spool->acknowledged[i].id);
	return err;
}

static uint64_t cost_of(const struct backlog *backlog)
{
	uint64_t cost = 0;

	for (const struct backlog_item *item = backlog->first; item;
	     item = item->next) {
		if (!item->is_on_disk)
			cost += store_cost(item->public.batch->len);
	}
	return cost;
}

/* Of all that is to be written; notes the newest collection's part of it. */
static uint64_t cost(struct spool *spool)
{
	uint64_t fresh = 0, older = 0;

	for (const struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		fresh += cost_of(&lane->fresh);
		older += cost_of(&lane->waiting) + cost_of(&lane->under_way);
	}
	if (fresh)
		spool->collection_bytes = fresh;
	return fresh + older;
}

static int fill(struct spool *spool, int64_t spared)
{
	int err = write_acknowledged(spool);

	if (!err)
		err = drop_old(spool);
	if (!err)
		err = drop_beyond(spool, spared);
	if (!err)
		err = make_room(spool, spared, cost(spool));
	if (!err)
		err = write_lanes(spool);
	if (!err)
		err = write_numbers(spool);
	if (!err)
		err = spool_notes_write(spool);
	return err ? err : store_commit(spool->store);
}

static void prepare(struct spool *spool)
{
	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		lane->stored_before = lane->stored;
		memset(lane->falling, 0, sizeof(lane->falling));
		lane->is_exhausted = false;
	}
}

static void undo(struct spool *spool)
{
	store_rollback(spool->store);
	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next)
		lane->stored = lane->stored_before;
}

static void settle(struct spool *spool)
{
	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		for (struct backlog_item *item = lane->under_way.first; item;
		     item = item->next)
			item->is_on_disk = true;
		for (size_t i = 0; i < SPOOL_REASONS; i++)
			lane->dropped[i] += lane->falling[i];
		if (!lane->is_wanted)
			continue;
		lane->is_stored = true;
		backlog_clear(&lane->waiting);
		backlog_clear(&lane->fresh);
	}
	for (struct spool_number *number = spool->numbers; number;
	     number = number->next)
		number->is_stored = true;
	spool_notes_settle(spool);
	spool->acknowledged_count = 0;
}

int spool_transact(struct spool *spool, int64_t spared, bool is_durable)
{
	int err = store_begin(spool->store, is_durable);

	prepare(spool);
	if (!err)
		err = fill(spool, spared);
	if (!err) {
		settle(spool);
		return 0;
	}
	undo(spool);
	snprintf(spool->error, sizeof(spool->error), "%s",
		 err == -ENOMEM ? strerror(ENOMEM) : store_error(spool->store));
	return err;
}
