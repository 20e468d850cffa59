/* SPDX-License-Identifier: Apache-2.0 */
/*
 * series_collection.h - one collection of series.h on its way: what was read of the
 * kernel's maps, in memory of the snapshot's arena, and what its steps share. Who has
 * an id is series_owners.h's, what hashes stand for is series_routes.h's and
 * series_addresses.h's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"
#include "table.h"

struct probes;
struct series_owner;
struct series_retired;
struct series_route;
struct series_stranger;
struct targets;

/* What stays from one collection to the next. */
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

struct series_row {
	struct tally_series_key key;
	struct tally_series value;
	struct series_owner *owner;
	bool gone; /* from the kernel: expired, retired, ignored */
	struct series_row *next;
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

/* The first error stays. */
void series_note(struct series_collection *collection, int err);
/* Also when memory ran out, which the snapshot remembers. */
bool series_has_failed(const struct series_collection *collection);
uint64_t series_hash(const struct series_collection *collection, const void *data,
		     size_t len);
/* -errno of the first map that could not be read; the rest is not read then. */
int series_read(struct series_collection *collection);
/* The kernel has it no more. */
void series_row_left(struct series_row *row);
/* Out of the kernel, whatever it holds. -errno. */
int series_row_delete(struct series_collection *collection, struct series_row *row);
