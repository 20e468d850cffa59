/* SPDX-License-Identifier: Apache-2.0 */
#include "series_routes.h"

#include <errno.h>
#include <string.h>

#include "drain.h"
#include "probes.h"
#include "series_collection.h"
#include "series_owners.h"
#include "snapshot.h"
#include "targets.h"

static bool same_route(const void *item, const void *wanted)
{
	return ((const struct series_route *)item)->key.hash ==
	       *(const uint64_t *)wanted;
}

static bool same_own_route(const void *item, const void *wanted)
{
	return !memcmp(&((const struct series_route *)item)->key, wanted,
		       sizeof(struct tally_route_key));
}

void series_route_see(void *context, const struct tally_route_key *key,
		      const struct tally_route *value)
{
	struct series_collection *collection = context;
	uint64_t hash = series_hash(collection, &key->hash, sizeof(key->hash));
	struct series_route *route =
	    snapshot_alloc(collection->snapshot, sizeof(*route));
	struct series_owner *owner = series_owner_get(collection, key->service);

	if (!route || !owner)
		return;
	owner->routes++;
	route->key = *key;
	route->value = *value;
	route->value.text[sizeof(route->value.text) - 1] = 0;
	route->next = collection->all_routes;
	collection->all_routes = route;
	table_add(&collection->own_routes, series_hash(collection, key, sizeof(*key)),
		  route, collection->snapshot);
	if (!table_find(&collection->routes, hash, same_route, &key->hash))
		table_add(&collection->routes, hash, route, collection->snapshot);
}

const char *series_route_text(const struct series_collection *collection,
			      uint64_t route)
{
	const struct series_route *found;

	if (route == TALLY_ROUTE_NONE)
		return "";
	found = table_find(&collection->routes,
			   series_hash(collection, &route, sizeof(route)), same_route,
			   &route);
	return found && *found->value.text ? found->value.text : "other";
}

int series_route_keep(struct series_collection *collection, uint32_t service,
		      uint64_t hash, bool *ret_kept)
{
	struct tally_route_key key = {.hash = hash, .service = service};
	uint64_t own_hash = series_hash(collection, &key, sizeof(key));
	struct series_owner *owner = series_owner_get(collection, service);
	const struct series_route *text =
	    table_find(&collection->routes,
		       series_hash(collection, &hash, sizeof(hash)), same_route, &hash);
	struct series_route *route;
	int err;

	*ret_kept = hash <= TALLY_ROUTE_OTHER ||
		    table_find(&collection->own_routes, own_hash, same_own_route, &key);
	if (*ret_kept || !owner || !text ||
	    owner->routes >= targets_routes_max(collection->targets))
		return 0;
	route = snapshot_alloc(collection->snapshot, sizeof(*route));
	if (!route)
		return 0;
	*route = (struct series_route){.key = key, .value = text->value};
	err = drain_put_route(probes_map_fd(collection->probes, PROBES_ROUTES), &key,
			      &route->value);
	if (err)
		return err == -E2BIG ? 0 : err;
	owner->routes++;
	table_add(&collection->own_routes, own_hash, route, collection->snapshot);
	*ret_kept = true;
	return 0;
}

const char *series_route_shown(struct series_collection *collection,
			       const struct series_row *row)
{
	const struct series_owner *owner = row->owner;
	bool kept = true;

	if (owner->service != owner->id && owner->service != SERIES_UNKNOWN)
		series_note(collection, series_route_keep(collection, owner->service,
							  row->key.route, &kept));
	return kept ? series_route_text(collection, row->key.route) : "other";
}

/* Those of an alias go over to its service first: a request may still be under way
 * that has its route under the alias, and will have its row under the service. */
static int clean_route(struct series_collection *collection,
		       const struct series_route *route,
		       const struct series_owner *owner)
{
	bool kept;
	int err = 0;

	if (!owner->expired && owner->state == SERIES_SHOWN &&
	    owner->service != SERIES_UNKNOWN)
		err = series_route_keep(collection, owner->service, route->key.hash,
					&kept);
	if (err)
		return err;
	return drain_delete_route(probes_map_fd(collection->probes, PROBES_ROUTES),
				  &route->key);
}

void series_routes_clean(struct series_collection *collection)
{
	for (struct series_route *route = collection->all_routes; route;
	     route = route->next) {
		const struct series_owner *owner =
		    series_owner_find(collection, route->key.service);

		if (owner && series_owner_is_finished(owner))
			series_note(collection, clean_route(collection, route, owner));
	}
}

void series_routes_clean_counts(struct series_collection *collection)
{
	int map_fd = probes_map_fd(collection->probes, PROBES_ROUTE_COUNTS);

	for (struct series_owner *owner = collection->all_owners; owner;
	     owner = owner->next)
		if (series_owner_is_finished(owner))
			series_note(collection,
				    drain_delete_route_count(map_fd, owner->id));
}
