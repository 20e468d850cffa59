/* SPDX-License-Identifier: Apache-2.0 */
/*
 * summaries.h - summaries of counters in log buckets. From one collection to the
 * next it keeps a window (quantile.h) for each family and label set, and nothing
 * of one that a collection did not have. So there are at most as many windows as
 * metrics were added in one collection, each with 0.2 kB and its labels besides.
 */
#pragma once

#include "quantile.h"
#include "snapshot.h"

/* A constant: what the summaries of one family are made of and like. */
struct summary_kind {
	const struct family *family;
	const struct quantile_scale *scale;
	double unit; /* the family's, in that of the scale: 1e9 ns are a second */
	const double *quantiles;
	size_t quantile_count;
	uint64_t max_age_ms;
	uint32_t age_buckets;
};

struct summaries;

/* seed: of hashes over labels, which strangers choose. -ENOMEM. */
int summaries_create(uint64_t seed, struct summaries **ret_summaries);
void summaries_free(struct summaries **summaries);

/* A collection is begin, add for each metric once, end; the snapshot lives until
 * then, and remembers when memory ran out: windows stay then. */
void summaries_begin(struct summaries *summaries, struct snapshot *snapshot,
		     int64_t now_ms);
/* counts: the counters as they are, cumulative in time, of kind->scale. sum: of all
 * observations, in the family's unit. Without memory for a new window, its
 * quantiles are NaN. */
void summaries_add(struct summaries *summaries, const struct summary_kind *kind,
		   struct label_set labels, const uint64_t *counts, double sum);
void summaries_end(struct summaries *summaries);
