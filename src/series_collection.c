/* SPDX-License-Identifier: Apache-2.0 */
#include "series_collection.h"

#include "drain.h"
#include "probes.h"
#include "series_owners.h"
#include "series_routes.h"
#include "targets.h"

void series_note(struct series_collection *collection, int err)
{
	if (err && !collection->err)
		collection->err = err;
}

bool series_has_failed(const struct series_collection *collection)
{
	return collection->err || collection->snapshot->error;
}

uint64_t series_hash(const struct series_collection *collection, const void *data,
		     size_t len)
{
	return table_hash(collection->series->seed, data, len);
}

static void see_process(void *context, uint32_t pid,
			const struct tally_process *process)
{
	struct series_collection *collection = context;
	struct series_owner *owner;

	(void)pid;
	if (process->flags & TALLY_PROCESS_IGNORED)
		return;
	targets_live_seen(collection->targets, process->service);
	owner = series_owner_get(collection, process->service);
	if (owner)
		owner->live = true;
}

static void see_row(void *context, const struct tally_series_key *key,
		    const struct tally_series *value)
{
	struct series_collection *collection = context;
	struct series_row *row = snapshot_alloc(collection->snapshot, sizeof(*row));

	if (!row)
		return;
	row->owner = series_owner_get(collection, key->service);
	if (!row->owner)
		return;
	row->key = *key;
	row->value = *value;
	row->owner->rows++;
	row->next = collection->rows;
	collection->rows = row;
	collection->row_count++;
}

/* Processes first: an id is settled only if no process had it before its rows
 * were read. Rows before routes: a row's route was there when it was written. */
int series_read(struct series_collection *collection)
{
	int err;

	targets_live_begin(collection->targets);
	err = drain_processes(probes_map_fd(collection->probes, PROBES_PROCESSES),
			      see_process, collection);
	if (err)
		return err;
	targets_live_end(collection->targets, collection->now_ms);
	err = drain_series(probes_series(collection->probes), see_row, collection);
	if (err)
		return err;
	return drain_routes(probes_map_fd(collection->probes, PROBES_ROUTES),
			    series_route_see, collection);
}

void series_row_left(struct series_row *row)
{
	row->gone = true;
	row->owner->rows--;
}

int series_row_delete(struct series_collection *collection, struct series_row *row)
{
	int err = drain_delete_series(probes_series(collection->probes), &row->key);

	if (!err)
		series_row_left(row);
	return err;
}
