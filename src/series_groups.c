/* SPDX-License-Identifier: Apache-2.0 */
#include "series_groups.h"

#include <string.h>

#include "groups.h"
#include "probes.h"
#include "series_addresses.h"
#include "series_collection.h"
#include "series_owners.h"
#include "series_retired.h"
#include "series_routes.h"
#include "snapshot.h"

/* The rows for what found no room are there from the start; nothing was lost
 * until they hold something, and then they would only be noise. */
static bool is_unused_overflow(const struct series_row *row)
{
	static const struct tally_series nothing;

	return row->owner->service == TALLY_SERVICE_OTHER &&
	       !memcmp(&row->value, &nothing, sizeof(nothing));
}

void series_groups_add_rows(struct series_collection *collection)
{
	for (struct series_row *row = collection->rows; row; row = row->next) {
		const struct series_owner *owner = row->owner;
		struct requests_names names = {
		    .service = owner->name,
		    .name_space = owner->name_space,
		};

		if (row->gone || owner->state != SERIES_SHOWN ||
		    is_unused_overflow(row))
			continue;
		names.route = series_route_shown(collection, row);
		names.address = series_address_text(collection, row->key.address);
		groups_add(collection->groups, &names, series_owner_is_target(owner),
			   &row->key, &row->value);
	}
}

/* Copied: the snapshot may live on when the retired row does not. */
void series_groups_add_retired(struct series_collection *collection)
{
	struct series *series = collection->series;

	for (uint32_t i = 0; i < series->retired_count; i++) {
		const struct series_retired *retired = series->retired[i];
		const struct series_owner *owner =
		    series_owner_of_service(collection, retired->key.service);
		struct tally_series *value =
		    snapshot_alloc(collection->snapshot, sizeof(*value));
		struct requests_names names;

		if (!owner || !value)
			return;
		if (owner->state != SERIES_SHOWN)
			continue;
		*value = retired->value;
		names = (struct requests_names){
		    .service = owner->name,
		    .name_space = owner->name_space,
		    .route = snapshot_text(collection->snapshot, retired->route),
		    .address = snapshot_text(collection->snapshot, retired->address),
		};
		groups_add(collection->groups, &names, series_owner_is_target(owner),
			   &retired->key, value);
	}
}

static void see_connections(void *context, const struct tally_connections_key *key,
			    const struct tally_connections *sum)
{
	struct series_collection *collection = context;
	struct series_owner *owner = series_owner_get(collection, key->service);
	struct requests_names names;

	if (!owner)
		return;
	owner->connected = true;
	if (owner->state != SERIES_SHOWN || owner->expired)
		return;
	names = (struct requests_names){
	    .service = owner->name,
	    .name_space = owner->name_space,
	};
	groups_add_connections(collection->groups, &names,
			       series_owner_is_target(owner), key->role, sum);
}

int series_groups_add_connections(struct series_collection *collection)
{
	return probes_count_connections(collection->probes, see_connections,
					collection);
}
