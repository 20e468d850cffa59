/* SPDX-License-Identifier: Apache-2.0 */
/* What a row of the tally says, as metrics: the http_* families, their labels
 * and their order. It reads no map and knows no service: names are given. */
#pragma once

#include "abi.h"
#include "snapshot.h"
#include "summaries.h"

enum requests_role { REQUESTS_SERVER, REQUESTS_CLIENT, REQUESTS_ROLES };

/* Families of other files come before the first or after the last of these. */
#define REQUESTS_ORDER_FIRST 1u
#define REQUESTS_ORDER_LAST 32u

/* Texts of the ids in a key; "" where there is none. They live as long as the
 * snapshot. */
struct requests_names {
	const char *service;
	const char *name_space;
	const char *route;
	const char *address;
};

enum requests_role requests_role(uint8_t tally_role);
struct label_set requests_labels(struct snapshot *snapshot,
				 const struct requests_names *names,
				 const struct tally_series_key *key);

/* The bounds of buckets.h in seconds and bytes, once for a snapshot; NULL when
 * memory ran out, which the snapshot remembers. */
struct requests_bounds;
const struct requests_bounds *requests_bounds(struct snapshot *snapshot);

/* Every histogram of the role. value lives as long as the snapshot. */
void requests_emit(struct snapshot *snapshot, const struct requests_bounds *bounds,
		   enum requests_role role, struct label_set labels,
		   const struct tally_series *value);
/* The summary of durations, into the collection that summaries are in. */
void requests_summarize(struct summaries *summaries, enum requests_role role,
			struct label_set labels, const struct tally_series *value);
/* The gauges of one service. */
void requests_emit_gauges(struct snapshot *snapshot, enum requests_role role,
			  struct label_set labels, uint64_t in_flight, uint64_t open);
