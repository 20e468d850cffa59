/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three things can happen to the file. It cannot be written (full, an I/O error,
 * read-only): what is put stays in memory, what is acknowledged is remembered, and
 * each collection tries again. It is damaged: it is replaced. Or a row is: then that
 * row is lost.
 *
 * And it may be there but not be read for a while. Then a lane that has rows in it
 * waits: its receiver would refuse them once it had newer ones. It does not wait longer
 * than rows may, nor until memory is full: then the file is the oldest there is, and
 * goes first, as if it were damaged.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "spool_internal.h"

/* An empty file of less is left as it is: it will be that large again. */
#define SHRINK_BYTES ((uint64_t)4 << 20)
#define SHRINK_COLLECTIONS 4
#define ACKNOWLEDGED_MIN 64

/* Not what a disk does that is full or broken. */
static bool is_refusal(int err)
{
	return err == -EBUSY || err == -EPERM || err == -EACCES || err == -ENOMEM;
}

/* What is there goes by today's bounds, but for the newest collection. */
int spool_disk_open(struct spool *spool)
{
	int err = spool_file_open(spool);

	if (!err)
		err = spool_transact(spool, spool->stored_collection, false);
	if (err == -EUCLEAN)
		err = spool_file_set_aside(spool) ?: spool_file_open(spool);
	if (is_refusal(err)) {
		store_close(&spool->store, true);
		return err;
	}
	if (err)
		spool_file_trouble(spool);
	return 0;
}

static int write(struct spool *spool, int64_t spared)
{
	int err = spool->store ? 0 : spool_file_open(spool);

	if (err)
		return err;
	/* What is put into a file without a name is gone at the end. */
	if (!spool_directory_has_file(spool->directory)) {
		snprintf(spool->error, sizeof(spool->error), "somebody took it away");
		return -EUCLEAN;
	}
	return spool_transact(spool, spared, true);
}

void spool_disk_write(struct spool *spool, int64_t spared)
{
	int err = write(spool, spared);

	if (err == -EUCLEAN && spool->store)
		err = spool_file_set_aside(spool) ?: write(spool, spared);
	if (err)
		spool_file_trouble(spool);
	else
		spool_file_works(spool);
}

/* After a failure outside of a collection. -ENOENT: rows that were put there, or
 * counted when it was opened, are not there. */
static void give_way(struct spool *spool, int err)
{
	snprintf(spool->error, sizeof(spool->error), "%s",
		 err == -ENOENT ? "rows are missing" : store_error(spool->store));
	if (err == -EUCLEAN || err == -ENOENT)
		err = spool_file_set_aside(spool) ?: spool_file_open(spool);
	if (err)
		spool_file_trouble(spool);
}

static bool has_idle_rows(const struct spool_lane *lane)
{
	return lane->stored.batches > spool_sums_under_way(lane).batches;
}

/* Returns what to answer who wanted a batch. */
static int fail_to_read(struct spool_lane *lane, int err)
{
	struct spool *spool = lane->spool;

	give_way(spool, err);
	if (!has_idle_rows(lane)) /* set aside */
		return -ENOENT;
	if (!spool->is_unreadable)
		spool->unreadable_since_ms = spool->now_ms;
	spool->is_unreadable = true;
	return -EAGAIN;
}

static uint64_t bytes_in_memory(const struct spool *spool)
{
	uint64_t bytes = 0;

	for (const struct spool_lane *lane = spool->lanes; lane; lane = lane->next)
		bytes += lane->waiting.bytes;
	return bytes;
}

static void remember(struct spool *spool, struct spool_lane *lane, int64_t id)
{
	size_t room = spool->acknowledged_room;

	if (spool->acknowledged_count == room) {
		struct spool_acknowledged *more;

		room = room ? room * 2 : ACKNOWLEDGED_MIN;
		more = reallocarray(spool->acknowledged, room, sizeof(*more));
		if (!more)
			return; /* it is sent again after a restart */
		spool->acknowledged = more;
		spool->acknowledged_room = room;
	}
	spool->acknowledged[spool->acknowledged_count++] =
	    (struct spool_acknowledged){lane, id};
}

static bool is_acknowledged(const struct spool *spool, const struct spool_lane *lane,
			    int64_t id)
{
	for (size_t i = spool->acknowledged_count; i > 0; i--) {
		if (spool->acknowledged[i - 1].id == id &&
		    spool->acknowledged[i - 1].lane == lane)
			return true;
	}
	return false;
}

static void delete_row(struct spool_lane *lane, int64_t id)
{
	struct spool *spool = lane->spool;
	int err;

	if (spool->is_troubled) {
		remember(spool, lane, id);
		return;
	}
	err = store_delete(spool->store, lane->number, id);
	if (!err)
		return;
	if (err != -EUCLEAN)
		remember(spool, lane, id);
	give_way(spool, err);
}

/* The cursor stays where it is: the row's id may be as wrong as the rest. */
static void lose_row(struct spool_lane *lane, const struct store_row *row)
{
	struct spool *spool = lane->spool;

	if (!spool->is_damage_told)
		log_error("spool \"%s\": a batch of %" PRIu32 " sample%s for \"%s\" is "
			  "damaged and dropped; others that are will be counted only",
			  spool_path(spool), row->samples, row->samples == 1 ? "" : "s",
			  lane->name);
	spool->is_damage_told = true;
	lane->dropped[SPOOL_CORRUPT] += row->samples;
	spool_sums_subtract(&lane->stored, row->samples, row->len);
	delete_row(lane, row->id);
}

/* The next one that is neither under way nor acknowledged. */
static int next_row(struct spool_lane *lane, struct store_row *ret_row)
{
	struct store_row row = {.id = lane->cursor};
	int err;

	do
		err = spool_next_idle(lane, &row);
	while (!err && is_acknowledged(lane->spool, lane, row.id));
	if (!err)
		*ret_row = row;
	return err;
}

static int read_row(struct spool_lane *lane, const struct store_row *row,
		    struct backlog_item **ret_item)
{
	struct wire_batch *batch;
	struct backlog_item *item;
	int err = store_read(lane->spool->store, row, lane->name, &batch);

	if (err)
		return err;
	item = backlog_make(batch);
	if (!item)
		return -ENOMEM;
	item->public.id = item->row = row->id;
	item->public.collection = row->collection;
	item->collected_ms = row->collected_ms;
	item->is_on_disk = true;
	lane->cursor = row->id;
	lane->spool->is_unreadable = false;
	*ret_item = item;
	return 0;
}

/* Of what nobody asked for meanwhile, too: its receiver may be away. */
static bool can_be_read(struct spool_lane *lane)
{
	struct wire_batch *batch = NULL;
	struct store_row row;
	int err = next_row(lane, &row);

	if (!err)
		err = store_read(lane->spool->store, &row, lane->name, &batch);
	wire_batch_put(&batch);
	return !err || err == -EBADMSG; /* that row is lost, not the file */
}

static bool is_still_unreadable(struct spool *spool)
{
	for (struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		if (has_idle_rows(lane) && !can_be_read(lane))
			return true;
	}
	return false;
}

void spool_disk_give_up(struct spool *spool, int64_t spared)
{
	int64_t for_ms = spool->now_ms - spool->unreadable_since_ms;
	int err;

	if (!spool->is_unreadable ||
	    (for_ms <= (int64_t)spool->config.age_max_ms &&
	     bytes_in_memory(spool) <= spool->config.memory_bytes_max))
		return;
	spool->is_unreadable = false;
	if (!is_still_unreadable(spool))
		return;
	snprintf(spool->error, sizeof(spool->error), "it cannot be read");
	err = spool_file_set_aside(spool) ?: write(spool, spared);
	if (err)
		spool_file_trouble(spool);
}

int spool_disk_take(struct spool_lane *lane, int64_t only,
		    struct backlog_item **ret_item)
{
	struct spool *spool = lane->spool;
	struct store_row row;
	int err;

	while (spool->store && lane->number) {
		err = next_row(lane, &row);
		if (err == -ENOENT && !has_idle_rows(lane))
			return err;
		if (!err && only && row.collection != only)
			return -EAGAIN;
		if (!err)
			err = read_row(lane, &row, ret_item);
		if (!err || err == -ENOMEM)
			return err;
		if (err != -EBADMSG)
			return fail_to_read(lane, err);
		lose_row(lane, &row);
	}
	return -ENOENT;
}

static void shrink_if_empty(struct spool *spool)
{
	uint64_t bytes;
	int err;

	for (const struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		if (lane->stored.batches)
			return;
	}
	bytes = store_file_bytes(spool->store);
	if (bytes < SHRINK_BYTES ||
	    bytes < SHRINK_COLLECTIONS * spool->collection_bytes)
		return;
	err = store_shrink(spool->store);
	if (err)
		give_way(spool, err);
}

void spool_disk_acknowledge(struct spool_lane *lane, const struct backlog_item *item)
{
	struct spool *spool = lane->spool;

	spool_sums_subtract(&lane->stored, backlog_item_samples(item),
			    item->public.batch->len);
	delete_row(lane, item->row);
	if (spool->store && !spool->is_troubled)
		shrink_if_empty(spool);
}

void spool_disk_set(struct spool *spool, struct spool_number *number)
{
	int err;

	if (number->is_stored || !spool->store || spool->is_troubled)
		return;
	err = store_set(spool->store, number->key, number->number);
	if (err)
		give_way(spool, err);
	else
		number->is_stored = true;
}

/* Whether memory has anything that the file has not. */
static bool is_behind(const struct spool *spool)
{
	for (const struct spool_lane *lane = spool->lanes; lane; lane = lane->next) {
		if (lane->waiting.first || lane->fresh.first ||
		    lane->under_way.count > spool_sums_under_way(lane).batches)
			return true;
	}
	for (const struct spool_number *number = spool->numbers; number;
	     number = number->next) {
		if (!number->is_stored)
			return true;
	}
	return spool->acknowledged_count != 0 || spool->notes.unstored;
}

static uint64_t samples_in_memory(const struct spool *spool)
{
	uint64_t samples = 0;

	for (const struct spool_lane *lane = spool->lanes; lane; lane = lane->next)
		samples += lane->waiting.samples + lane->fresh.samples +
			   lane->under_way.samples - spool_sums_under_way(lane).samples;
	return samples;
}

void spool_disk_close(struct spool *spool)
{
	uint64_t lost;

	if (!spool->directory || !spool->lanes)
		return store_close(&spool->store, false);
	if (is_behind(spool))
		spool_disk_write(spool, spool->collection);
	lost = samples_in_memory(spool);
	if (lost)
		log_warning("spool \"%s\": %" PRIu64 " sample%s could not be put there "
			    "before the end",
			    spool_path(spool), lost, lost == 1 ? "" : "s");
	store_close(&spool->store, spool->is_troubled);
}
