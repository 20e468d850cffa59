/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One collection is a pipeline over memory of the snapshot's arena:
 *
 *   processes -> owners      whose service id is still in use by a process?
 *   series map -> rows       each under its owner: the service of its id
 *   expire                   services long gone: rows, routes and names removed
 *   retire                   rows of settled aliases taken out of the kernel
 *   rows, retired -> groups  all that has the same labels, added up
 *   groups -> metrics
 *
 * Owners. A row's service id is the daemon's, or a provisional one that the
 * kernel gave to a process before the daemon named it: then it is an alias. A
 * row of an id without a name waits; the process's event is on its way. After
 * UNNAMED_MS it is shown as service "unknown" and stays that, even when a name
 * comes later: otherwise the counters of "unknown" would fall. Its process
 * counts under the name from then on.
 *
 * Retirement. An alias is settled when it is SERIES_SETTLE_MS old and no process
 * has its id: nobody writes to its rows any more. Each is taken out in one step
 * of the kernel and kept here, under the service's own id. When the table of
 * retired rows is full the rest stays in the kernel, which is as true and as
 * bounded; folding them into "other" would make a visible counter fall.
 *
 * Routes are found by hash alone: the text of a hash is the same for every
 * service, and a request that was under way when its process was named has its
 * route under the alias but its row under the service. For the same reason the
 * routes of a settled alias move to its service, as far as that has room.
 */
#include "series.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "cleanup.h"
#include "drain.h"
#include "groups.h"
#include "series_collection.h"
#include "series_groups.h"
#include "series_owners.h"
#include "series_retired.h"
#include "series_routes.h"
#include "summaries.h"

static int expire_service(struct series_collection *collection, uint32_t service)
{
	int err;

	for (struct series_row *row = collection->rows; row; row = row->next) {
		if (row->gone || !series_owner_is_of(row->owner, service))
			continue;
		err = series_row_delete(collection, row);
		if (err)
			return err;
	}
	for (struct series_owner *owner = collection->all_owners; owner;
	     owner = owner->next) {
		if (!series_owner_is_of(owner, service))
			continue;
		owner->expired = true;
		if (series_owner_is_alias(collection, owner))
			targets_drop_alias(collection->targets, owner->id);
	}
	series_retired_drop(collection->series, service);
	targets_drop_service(collection->targets, service);
	return 0;
}

/* A service whose rows cannot be deleted stays, and is tried again next time. */
static void expire(struct series_collection *collection)
{
	const struct service *service;
	int err = 0;

	while (!err) {
		service = targets_expired(collection->targets, collection->now_ms);
		if (!service)
			return;
		err = expire_service(collection, service->id);
	}
	series_note(collection, err);
}

static const struct family series_rows = {
    .name = "bpftally_series",
    .help = "Rows of the kernel's series table in use.",
    .unit = "",
    .type = METRIC_GAUGE,
    .order = GROUPS_ORDER_LAST + 1,
};

static const struct family series_limit = {
    .name = "bpftally_series_limit",
    .help = "Rows that the kernel's series table can hold; above it requests are "
	    "counted as service other.",
    .unit = "",
    .type = METRIC_GAUGE,
    .order = GROUPS_ORDER_LAST + 2,
};

static void emit_table_use(struct series_collection *collection)
{
	struct label_set none = {0};
	uint32_t rows;
	int err =
	    drain_capacity(probes_map_fd(collection->probes, PROBES_SERIES), &rows);

	snapshot_value(collection->snapshot, &series_rows, none,
		       (double)collection->row_count);
	if (!err)
		snapshot_value(collection->snapshot, &series_limit, none, (double)rows);
	series_note(collection, err);
}

void series_free(struct series **series)
{
	if (!*series)
		return;
	for (uint32_t i = 0; i < (*series)->retired_count; i++)
		free((*series)->retired[i]);
	free((*series)->retired);
	free((*series)->strangers);
	summaries_free(&(*series)->summaries);
	free(*series);
	*series = NULL;
}

int series_create(uint32_t retired_max, bool has_summaries, struct series **ret_series)
{
	CLEANUP(series_free) struct series *series = calloc(1, sizeof(*series));
	int err = 0;

	if (!series)
		return -ENOMEM;
	series->retired =
	    calloc(retired_max ? retired_max : 1, sizeof(*series->retired));
	if (!series->retired)
		return -ENOMEM;
	series->retired_max = retired_max;
	/* Short only before the kernel's generator is ready, early at boot; then
	 * the hash is merely one that could be guessed. */
	(void)!getrandom(&series->seed, sizeof(series->seed), GRND_NONBLOCK);
	if (has_summaries)
		err = summaries_create(series->seed, &series->summaries);
	if (err)
		return err;
	*ret_series = TAKE(series);
	return 0;
}

int series_collect(struct series *series, const struct probes *probes,
		   struct targets *targets, int64_t now_ms, struct snapshot *snapshot)
{
	struct series_collection collection = {
	    .series = series,
	    .probes = probes,
	    .targets = targets,
	    .now_ms = now_ms,
	    .snapshot = snapshot,
	    .groups = groups_create(snapshot, series->seed),
	};
	int err = series_read(&collection);

	if (err || snapshot->error)
		return err ? err : snapshot->error;
	series_owners_settle(&collection);
	expire(&collection);
	series_retire(&collection);
	series_routes_clean(&collection);
	series_groups_add_rows(&collection);
	series_groups_add_retired(&collection);
	err = series_groups_add_connections(&collection);
	groups_emit(collection.groups, !err);
	if (series->summaries)
		groups_summarize(collection.groups, series->summaries, now_ms);
	if (!err) {
		series_routes_clean_counts(&collection);
		series_owners_drop_aliases(&collection);
	}
	emit_table_use(&collection);
	series_owners_remember(&collection);
	series_note(&collection, err);
	return collection.err ? collection.err : snapshot->error;
}

uint64_t series_unjudged(const struct series *series)
{
	return series->unjudged;
}
