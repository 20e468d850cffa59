/* SPDX-License-Identifier: Apache-2.0 */
#include "series_owners.h"

#include <errno.h>
#include <stdlib.h>

#include "series.h"
#include "series_collection.h"

#define UNNAMED_MS 5000

/* An id with rows, or routes, and without a name. */
struct series_stranger {
	uint32_t id;
	bool shown; /* as "unknown" */
	int64_t since_ms;
};

static int compare_strangers(const void *left, const void *right)
{
	const struct series_stranger *a = left, *b = right;

	return (a->id > b->id) - (a->id < b->id);
}

static const struct series_stranger *find_stranger(const struct series *series,
						   uint32_t id)
{
	struct series_stranger wanted = {.id = id};

	if (!series->stranger_count)
		return NULL;
	return bsearch(&wanted, series->strangers, series->stranger_count,
		       sizeof(wanted), compare_strangers);
}

static void show_owner(struct series_owner *owner, uint32_t service, const char *name,
		       const char *name_space)
{
	owner->state = SERIES_SHOWN;
	owner->service = service;
	owner->name = name;
	owner->name_space = name_space;
}

static void resolve_owner(struct series_collection *collection,
			  struct series_owner *owner)
{
	const struct series_stranger *stranger =
	    find_stranger(collection->series, owner->id);
	const struct service *service = targets_service(collection->targets, owner->id);

	owner->since_ms = stranger ? stranger->since_ms : collection->now_ms;
	if (owner->id == TALLY_SERVICE_OTHER)
		show_owner(owner, TALLY_SERVICE_OTHER, "other", "");
	else if (stranger && stranger->shown)
		show_owner(owner, SERIES_UNKNOWN, "unknown", "");
	else if (service)
		show_owner(owner, service->id,
			   snapshot_text(collection->snapshot, service->name),
			   snapshot_text(collection->snapshot, service->name_space));
	else if (targets_ignored(collection->targets, owner->id))
		owner->state = SERIES_IGNORED;
	else if (collection->now_ms - owner->since_ms > UNNAMED_MS)
		show_owner(owner, SERIES_UNKNOWN, "unknown", "");
	else
		owner->state = SERIES_WAITING;
}

static bool same_owner(const void *item, const void *wanted)
{
	return ((const struct series_owner *)item)->id == *(const uint32_t *)wanted;
}

struct series_owner *series_owner_find(struct series_collection *collection,
				       uint32_t id)
{
	return table_find(&collection->owners, series_hash(collection, &id, sizeof(id)),
			  same_owner, &id);
}

struct series_owner *series_owner_get(struct series_collection *collection, uint32_t id)
{
	struct series_owner *owner = series_owner_find(collection, id);

	if (owner)
		return owner;
	owner = snapshot_alloc(collection->snapshot, sizeof(*owner));
	if (!owner)
		return NULL;
	owner->id = id;
	resolve_owner(collection, owner);
	if (!table_add(&collection->owners, series_hash(collection, &id, sizeof(id)),
		       owner, collection->snapshot))
		return NULL;
	owner->next = collection->all_owners;
	collection->all_owners = owner;
	return owner;
}

struct series_owner *series_owner_of_service(struct series_collection *collection,
					     uint32_t service)
{
	struct series_owner *owner = series_owner_get(collection, service);

	if (owner && service == SERIES_UNKNOWN)
		show_owner(owner, SERIES_UNKNOWN, "unknown", "");
	return owner;
}

bool series_owner_is_alias(const struct series_collection *collection,
			   const struct series_owner *owner)
{
	return targets_alias_age_ms(collection->targets, owner->id,
				    collection->now_ms) >= 0;
}

/* Nobody writes to rows of this id any more, and it is not their service's own:
 * an alias, or one whose process never got a name. */
static bool is_settled(const struct series_collection *collection,
		       const struct series_owner *owner)
{
	int64_t age_ms =
	    targets_alias_age_ms(collection->targets, owner->id, collection->now_ms);

	if (owner->live || owner->id == TALLY_SERVICE_OTHER)
		return false;
	if (age_ms >= 0)
		return age_ms >= SERIES_SETTLE_MS;
	return owner->state == SERIES_SHOWN && owner->service == SERIES_UNKNOWN;
}

void series_owners_settle(struct series_collection *collection)
{
	uint32_t alias = 0;

	while ((alias = targets_alias_after(collection->targets, alias)))
		series_owner_get(collection, alias);
	for (struct series_owner *owner = collection->all_owners; owner;
	     owner = owner->next)
		owner->settled = is_settled(collection, owner);
}

bool series_owner_is_of(const struct series_owner *owner, uint32_t service)
{
	return owner->state == SERIES_SHOWN && owner->service == service;
}

bool series_owner_is_target(const struct series_owner *owner)
{
	return owner->service != TALLY_SERVICE_OTHER &&
	       owner->service != SERIES_UNKNOWN;
}

bool series_owner_is_finished(const struct series_owner *owner)
{
	return owner->expired || (!owner->rows && owner->settled);
}

void series_owners_drop_aliases(struct series_collection *collection)
{
	for (struct series_owner *owner = collection->all_owners; owner;
	     owner = owner->next)
		if (series_owner_is_finished(owner) && !owner->connected &&
		    series_owner_is_alias(collection, owner))
			targets_drop_alias(collection->targets, owner->id);
}

static bool is_stranger(const struct series_owner *owner)
{
	return (owner->rows || owner->routes) &&
	       (owner->state == SERIES_WAITING ||
		series_owner_is_of(owner, SERIES_UNKNOWN));
}

/* Bounded by the rows of the kernel's maps: only ids that have some are kept. */
void series_owners_remember(struct series_collection *collection)
{
	struct series *series = collection->series;
	struct series_stranger *strangers;
	size_t count = 0, i = 0;

	for (struct series_owner *owner = collection->all_owners; owner;
	     owner = owner->next)
		count += is_stranger(owner);
	strangers = reallocarray(series->strangers, count + 1, sizeof(*strangers));
	if (!strangers) {
		series_note(collection, -ENOMEM);
		return;
	}
	for (struct series_owner *owner = collection->all_owners; owner;
	     owner = owner->next)
		if (is_stranger(owner))
			strangers[i++] = (struct series_stranger){
			    .id = owner->id,
			    .shown = owner->state == SERIES_SHOWN,
			    .since_ms = owner->since_ms,
			};
	qsort(strangers, count, sizeof(*strangers), compare_strangers);
	series->strangers = strangers;
	series->stranger_count = count;
}
