/* SPDX-License-Identifier: Apache-2.0 */
#include "series_retired.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "drain.h"
#include "probes.h"
#include "series_addresses.h"
#include "series_collection.h"
#include "series_owners.h"
#include "series_routes.h"
#include "snapshot.h"
#include "targets.h"

void series_retired_drop(struct series *series, uint32_t service)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < series->retired_count; i++) {
		if (series->retired[i]->key.service == service)
			free(series->retired[i]);
		else
			series->retired[kept++] = series->retired[i];
	}
	series->retired_count = kept;
}

static bool same_retired(const void *item, const void *wanted)
{
	return !memcmp(&((const struct series_retired *)item)->key, wanted,
		       sizeof(struct tally_series_key));
}

static uint64_t hash_key(const struct series_collection *collection,
			 const struct tally_series_key *key)
{
	return series_hash(collection, key, sizeof(*key));
}

static void index_retired(struct series_collection *collection)
{
	struct series *series = collection->series;

	for (uint32_t i = 0; i < series->retired_count; i++)
		table_add(&collection->retired,
			  hash_key(collection, &series->retired[i]->key),
			  series->retired[i], collection->snapshot);
}

/* The row's value moves into an entry of its own. */
static int retire_into_new(struct series_collection *collection,
			   const struct series_row *row,
			   const struct tally_series_key *key)
{
	struct series *series = collection->series;
	AUTO_FREE struct series_retired *retired = calloc(1, sizeof(*retired));
	int err;

	if (!retired)
		return -ENOMEM;
	retired->key = *key;
	/* Both lookups leave their failure in the collection. */
	snprintf(retired->route, sizeof(retired->route), "%s",
		 series_route_text(collection, key->route));
	snprintf(retired->address, sizeof(retired->address), "%s",
		 series_address_text(collection, key->address));
	if (series_has_failed(collection))
		return 0;
	err = drain_take_series(probes_series(collection->probes), &row->key,
				&retired->value);
	if (err)
		return err;
	/* A failure here only means that the next row of these labels gets an
	 * entry of its own: groups are added up all the same. */
	table_add(&collection->retired, hash_key(collection, key), retired,
		  collection->snapshot);
	series->retired[series->retired_count++] = TAKE(retired);
	return 0;
}

static int retire_into(struct series_collection *collection,
		       const struct series_row *row, struct series_retired *retired)
{
	struct tally_series last;
	int err =
	    drain_take_series(probes_series(collection->probes), &row->key, &last);

	if (!err)
		drain_add(&retired->value, &last);
	return err;
}

/* On any failure the row stays where it is and is shown from there. */
static int retire_row(struct series_collection *collection, struct series_row *row)
{
	struct series *series = collection->series;
	struct tally_series_key key = row->key;
	struct series_retired *retired;
	bool kept;
	int err;

	key.service = row->owner->service;
	err = series_route_keep(collection, key.service, key.route, &kept);
	if (err || series_has_failed(collection))
		return err;
	if (!kept)
		key.route = TALLY_ROUTE_OTHER;
	retired = table_find(&collection->retired, hash_key(collection, &key),
			     same_retired, &key);
	if (!retired && series->retired_count >= series->retired_max)
		return 0;
	err = retired ? retire_into(collection, row, retired)
		      : retire_into_new(collection, row, &key);
	if (err || series_has_failed(collection))
		return err;
	series_row_left(row);
	return 0;
}

static uint64_t count_requests(const struct tally_series *value)
{
	uint64_t count = 0;

	for (size_t i = 0; i < DURATION_BUCKETS; i++)
		count += value->duration[i];
	return count;
}

/* What is certainly not selected is nobody's loss. */
static int drop_row(struct series_collection *collection, struct series_row *row)
{
	struct tally_series last;
	int err;

	if (!targets_unjudged(collection->targets, row->owner->id))
		return series_row_delete(collection, row);
	err = drain_take_series(probes_series(collection->probes), &row->key, &last);
	if (err)
		return err;
	collection->series->unjudged += count_requests(&last);
	series_row_left(row);
	return 0;
}

void series_retire(struct series_collection *collection)
{
	index_retired(collection);
	for (struct series_row *row = collection->rows; row; row = row->next) {
		if (series_has_failed(collection))
			return;
		if (row->gone || !row->owner->settled)
			continue;
		if (row->owner->state == SERIES_SHOWN)
			series_note(collection, retire_row(collection, row));
		else
			series_note(collection, drop_row(collection, row));
	}
}
