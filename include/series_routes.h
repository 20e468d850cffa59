/* SPDX-License-Identifier: Apache-2.0 */
/*
 * series_routes.h - the texts of routes, by the hashes that rows have; where those are
 * put down in the kernel, moved and deleted. The text of a hash is the same for every
 * service; which service it is put down for is what its share of the table is reckoned
 * by.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi.h"

struct series_collection;
struct series_row;

struct series_route {
	struct tally_route_key key;
	struct tally_route value;
	struct series_route *next;
};

/* A visitor of drain_routes; context: the collection. */
void series_route_see(void *context, const struct tally_route_key *key,
		      const struct tally_route *value);
/* "" of none, "other" of one without a text. */
const char *series_route_text(const struct series_collection *collection,
			      uint64_t route);
/* The route goes over to the service while that has no more than its share; the
 * kernel counts those that it puts down itself, so both together have two. ret_kept:
 * it has it. -errno. */
int series_route_keep(struct series_collection *collection, uint32_t service,
		      uint64_t hash, bool *ret_kept);
/* A row of an alias shows the route that it will retire under: what is shown once
 * may not become other later. */
const char *series_route_shown(struct series_collection *collection,
			       const struct series_row *row);
/* Those of owners that are finished. */
void series_routes_clean(struct series_collection *collection);
/* The count of an id whose routes are gone; its routes went before. */
void series_routes_clean_counts(struct series_collection *collection);
