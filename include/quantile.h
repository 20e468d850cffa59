/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quantile.h - quantiles of logarithmic buckets (buckets.h), of all that was
 * counted or of a sliding window over counters that only grow. It reads no clock.
 *
 * A quantile is the value of rank ceil(q * count), as Prometheus ranks in native
 * histograms, and is given as the geometric middle of the integers that its
 * bucket may hold: sqrt(smallest * largest) is wrong by a factor of less than
 * 2^(1/16), 4.5 %, for whatever was observed. (Interpolation, as Prometheus
 * does it, is right for even distributions only: at worst it is wrong by a whole
 * bucket, 9.1 %.) No such bound has the first bucket of durations, up to 953 ns,
 * nor the last one of each scale: they answer with the bound they have.
 */
#pragma once

#include <stdint.h>

struct quantile_scale {
	uint32_t buckets; /* the last is for what is above all bounds */
	uint64_t (*bound)(uint32_t bucket); /* of the others, inclusive; ascending */
};

extern const struct quantile_scale quantile_durations; /* native buckets, in ns */
extern const struct quantile_scale quantile_values;    /* value_bucket */

/* Large enough for the buckets of any scale. */
#define QUANTILE_BUCKETS_MAX 378

/* q from 0 to 1, in the unit of the scale. NAN when nothing was counted. */
double quantile_of(const struct quantile_scale *scale, const uint64_t *counts,
		   double q);

/* Remembers what the counters were at up to age_buckets moments, max_age /
 * age_buckets apart or more. A window takes 100 bytes and, for each moment, 32 and
 * 8 for each bucket between the first and the last that anything was counted in:
 * at most 8.7 kB of durations, 15.4 kB of values with 5 moments. */
struct quantile_window;

/* age_buckets: at least 1. -ENOMEM. */
int quantile_window_create(const struct quantile_scale *scale, uint64_t max_age_ms,
			   uint32_t age_buckets, struct quantile_window **ret_window);
void quantile_window_free(struct quantile_window **window);
/* counts: what the counters are now; ret_recent: how much of that is of the
 * window, both of scale->buckets. It begins at the oldest moment that is not older
 * than max_age, or at the last one. Moments are calls of this: one that comes often
 * gives windows of (age_buckets - 1) / age_buckets of max_age up to all of it, as
 * the client libraries do, one that comes less often than max_age what was counted
 * since the last call. All that was counted before the first call is of the window;
 * when any counter is less than it was, they began anew and so does the window.
 * Without memory for the next moment the window grows until there is some. */
void quantile_window_recent(struct quantile_window *window, const uint64_t *counts,
			    int64_t now_ms, uint64_t *ret_recent);
