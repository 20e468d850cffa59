/* SPDX-License-Identifier: Apache-2.0 */
/* What one collection shows: rows with equal labels added up, the gauges of each
 * service, and what each service is. It lives as long as the snapshot that it
 * goes into, reads no map and knows no id: names are given. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi.h"
#include "requests.h"
#include "snapshot.h"
#include "summaries.h"

/* Families of other files come after these. */
#define GROUPS_ORDER_LAST (REQUESTS_ORDER_LAST + 1)

struct groups;

/* seed: of hashes over labels, which strangers choose. NULL when memory ran out,
 * which the snapshot remembers, like all functions here. */
struct groups *groups_create(struct snapshot *snapshot, uint64_t seed);
/* names: as in requests.h. is_target: names->service is a service's name, so
 * target_info describes it. value: the groups' own from now on. */
void groups_add(struct groups *groups, const struct requests_names *names,
		bool is_target, const struct tally_series_key *key,
		struct tally_series *value);
/* Only the service of names is looked at. tally_role: of all of them. */
void groups_add_connections(struct groups *groups, const struct requests_names *names,
			    bool is_target, uint8_t tally_role,
			    const struct tally_connections *sum);
/* Into the snapshot. are_connections_known: all were added; if not, there are no
 * gauges. */
void groups_emit(const struct groups *groups, bool are_connections_known);
/* The summaries of the rows, too; a collection of theirs as a whole. */
void groups_summarize(const struct groups *groups, struct summaries *summaries,
		      int64_t now_ms);
