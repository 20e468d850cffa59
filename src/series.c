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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "address.h"
#include "cleanup.h"
#include "drain.h"
#include "groups.h"
#include "summaries.h"
#include "table.h"

#define UNNAMED_MS 5000
/* Ours, never the kernel's: provisional ids count up from 0x80000001. */
#define SERIES_UNKNOWN UINT32_MAX

/* A row that left the kernel; its key has the service's own id. */
struct series_retired {
	struct tally_series_key key;
	struct tally_series value;
	char route[TALLY_ROUTE_LEN + 4];
	char address[ADDRESS_TEXT_LEN];
};

/* An id with rows, or routes, and without a name. */
struct series_stranger {
	uint32_t id;
	bool shown; /* as "unknown" */
	int64_t since_ms;
};

struct series {
	uint64_t seed;
	uint64_t unjudged; /* see series.h */
	uint32_t retired_max;
	uint32_t retired_count;
	struct series_retired **retired;
	struct series_stranger *strangers; /* sorted by id */
	size_t stranger_count;
	struct summaries *summaries; /* NULL: not asked for */
};

/* --- what a collection works on ---------------------------------------------- */

enum series_owner_state {
	SERIES_SHOWN,
	SERIES_WAITING, /* for its name */
	SERIES_IGNORED, /* not selected */
};

struct series_owner {
	uint32_t id;      /* in the kernel */
	uint32_t service; /* its own id, TALLY_SERVICE_OTHER or SERIES_UNKNOWN */
	enum series_owner_state state;
	const char *name;
	const char *name_space;
	int64_t since_ms; /* without a name */
	bool live;        /* a process has this id */
	bool connected;   /* a connection has */
	bool settled;     /* see is_settled */
	bool expired;
	uint32_t rows;   /* in the kernel */
	uint32_t routes; /* in the kernel, under this very id */
	struct series_owner *next;
};

struct series_row {
	struct tally_series_key key;
	struct tally_series value;
	struct series_owner *owner;
	bool gone; /* from the kernel: expired, retired, ignored */
	struct series_row *next;
};

struct series_route {
	struct tally_route_key key;
	struct tally_route value;
	struct series_route *next;
};

struct series_address {
	uint64_t hash;
	char text[ADDRESS_TEXT_LEN];
};

struct series_collection {
	struct series *series;
	const struct probes *probes;
	struct targets *targets;
	int64_t now_ms;
	struct snapshot *snapshot;
	int err; /* the first; the rest of the collection goes on */
	uint32_t row_count;
	struct series_row *rows;
	struct series_owner *all_owners;
	struct series_route *all_routes;
	struct groups *groups;
	struct table owners, routes, own_routes, addresses, retired;
};

static void series_note(struct series_collection *collection, int err)
{
	if (err && !collection->err)
		collection->err = err;
}

static bool series_has_failed(const struct series_collection *collection)
{
	return collection->err || collection->snapshot->error;
}

static uint64_t series_hash(const struct series_collection *collection,
			    const void *data, size_t len)
{
	return table_hash(collection->series->seed, data, len);
}

/* --- owners ------------------------------------------------------------------ */

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

static struct series_owner *series_owner_find(struct series_collection *collection,
					      uint32_t id)
{
	return table_find(&collection->owners, series_hash(collection, &id, sizeof(id)),
			  same_owner, &id);
}

/* NULL only when memory ran out, which the snapshot remembers. */
static struct series_owner *series_owner_get(struct series_collection *collection,
					     uint32_t id)
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

static bool series_owner_is_alias(const struct series_collection *collection,
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

/* --- reading ----------------------------------------------------------------- */

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

static void series_route_see(void *context, const struct tally_route_key *key,
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

/* Processes first: an id is settled only if no process had it before its rows
 * were read. Rows before routes: a row's route was there when it was written. */
static int series_read(struct series_collection *collection)
{
	int err;

	targets_live_begin(collection->targets);
	err = drain_processes(probes_map_fd(collection->probes, PROBES_PROCESSES),
			      see_process, collection);
	if (err)
		return err;
	targets_live_end(collection->targets, collection->now_ms);
	err = drain_series(probes_map_fd(collection->probes, PROBES_SERIES), see_row,
			   collection);
	if (err)
		return err;
	return drain_routes(probes_map_fd(collection->probes, PROBES_ROUTES),
			    series_route_see, collection);
}

/* Aliases without rows come in here: to be dropped like the others. */
static void series_owners_settle(struct series_collection *collection)
{
	uint32_t alias = 0;

	while ((alias = targets_alias_after(collection->targets, alias)))
		series_owner_get(collection, alias);
	for (struct series_owner *owner = collection->all_owners; owner;
	     owner = owner->next)
		owner->settled = is_settled(collection, owner);
}

static const char *series_route_text(const struct series_collection *collection,
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

static bool same_address(const void *item, const void *wanted)
{
	return ((const struct series_address *)item)->hash == *(const uint64_t *)wanted;
}

/* "" when the table of addresses had no room for it, or there is none. */
static const char *series_address_text(struct series_collection *collection,
				       uint64_t hash)
{
	uint64_t table_hash = series_hash(collection, &hash, sizeof(hash));
	struct series_address *address =
	    table_find(&collection->addresses, table_hash, same_address, &hash);
	struct tally_address raw;
	int err;

	if (address || !hash)
		return address ? address->text : "";
	address = snapshot_alloc(collection->snapshot, sizeof(*address));
	if (!address)
		return "";
	address->hash = hash;
	err = drain_address(probes_map_fd(collection->probes, PROBES_ADDRESSES), hash,
			    &raw);
	if (!err)
		address_text(&raw, address->text);
	else if (err != -ENOENT)
		series_note(collection, err);
	table_add(&collection->addresses, table_hash, address, collection->snapshot);
	return address->text;
}

/* --- expiry ------------------------------------------------------------------ */

static void series_row_left(struct series_row *row)
{
	row->gone = true;
	row->owner->rows--;
}

static int series_row_delete(struct series_collection *collection,
			     struct series_row *row)
{
	int err = drain_delete_series(probes_map_fd(collection->probes, PROBES_SERIES),
				      &row->key);

	if (!err)
		series_row_left(row);
	return err;
}

static void series_retired_drop(struct series *series, uint32_t service)
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

static bool series_owner_is_of(const struct series_owner *owner, uint32_t service)
{
	return owner->state == SERIES_SHOWN && owner->service == service;
}

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

/* --- retirement -------------------------------------------------------------- */

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
	err = drain_take_series(probes_map_fd(collection->probes, PROBES_SERIES),
				&row->key, &retired->value);
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
	int err = drain_take_series(probes_map_fd(collection->probes, PROBES_SERIES),
				    &row->key, &last);

	if (!err)
		drain_add(&retired->value, &last);
	return err;
}

/* The route goes over to the service while that has no more than its share; the
 * kernel counts those that it puts down itself, so both together have two. */
static int series_route_keep(struct series_collection *collection, uint32_t service,
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
	err = drain_take_series(probes_map_fd(collection->probes, PROBES_SERIES),
				&row->key, &last);
	if (err)
		return err;
	collection->series->unjudged += count_requests(&last);
	series_row_left(row);
	return 0;
}

static void series_retire(struct series_collection *collection)
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

/* No rows, and none to come. */
static bool series_owner_is_finished(const struct series_owner *owner)
{
	return owner->expired || (!owner->rows && owner->settled);
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

static void series_routes_clean(struct series_collection *collection)
{
	for (struct series_route *route = collection->all_routes; route;
	     route = route->next) {
		const struct series_owner *owner =
		    series_owner_find(collection, route->key.service);

		if (owner && series_owner_is_finished(owner))
			series_note(collection, clean_route(collection, route, owner));
	}
}

/* The count of an id whose routes are gone; its routes went before. */
static void series_routes_clean_counts(struct series_collection *collection)
{
	int map_fd = probes_map_fd(collection->probes, PROBES_ROUTE_COUNTS);

	for (struct series_owner *owner = collection->all_owners; owner;
	     owner = owner->next)
		if (series_owner_is_finished(owner))
			series_note(collection,
				    drain_delete_route_count(map_fd, owner->id));
}

/* A connection that was idle since before its process was named still has the
 * old id, and is found under its service by the alias. */
static void series_owners_drop_aliases(struct series_collection *collection)
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
static void series_owners_remember(struct series_collection *collection)
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

/* --- adding up --------------------------------------------------------------- */

static bool series_owner_is_target(const struct series_owner *owner)
{
	return owner->service != TALLY_SERVICE_OTHER &&
	       owner->service != SERIES_UNKNOWN;
}

/* The rows for what found no room are there from the start; nothing was lost
 * until they hold something, and then they would only be noise. */
static bool is_unused_overflow(const struct series_row *row)
{
	static const struct tally_series nothing;

	return row->owner->service == TALLY_SERVICE_OTHER &&
	       !memcmp(&row->value, &nothing, sizeof(nothing));
}

/* A row of an alias shows the route that it will retire under: what is shown once
 * may not become other later. */
static const char *series_route_shown(struct series_collection *collection,
				      const struct series_row *row)
{
	const struct series_owner *owner = row->owner;
	bool kept = true;

	if (owner->service != owner->id && owner->service != SERIES_UNKNOWN)
		series_note(collection, series_route_keep(collection, owner->service,
							  row->key.route, &kept));
	return kept ? series_route_text(collection, row->key.route) : "other";
}

static void group_rows(struct series_collection *collection)
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

/* The owner of retired rows is the service itself. */
static struct series_owner *
series_owner_of_service(struct series_collection *collection, uint32_t service)
{
	struct series_owner *owner = series_owner_get(collection, service);

	if (owner && service == SERIES_UNKNOWN)
		show_owner(owner, SERIES_UNKNOWN, "unknown", "");
	return owner;
}

/* Copied: the snapshot may live on when the retired row does not. */
static void group_retired(struct series_collection *collection)
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

/* --- the table's use ---------------------------------------------------------- */

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

/* --- the module -------------------------------------------------------------- */

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
	group_rows(&collection);
	group_retired(&collection);
	err = probes_count_connections(probes, see_connections, &collection);
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
