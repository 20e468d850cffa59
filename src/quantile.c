/* SPDX-License-Identifier: Apache-2.0 */
#include "quantile.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buckets.h"

_Static_assert(QUANTILE_BUCKETS_MAX >= NATIVE_BUCKETS, "durations fit");
_Static_assert(QUANTILE_BUCKETS_MAX >= VALUE_BUCKETS, "values fit");

static uint64_t duration_bound(uint32_t bucket)
{
	return native_bounds_ns[bucket];
}

static uint64_t bound_of_values(uint32_t bucket)
{
	return value_bound(bucket);
}

const struct quantile_scale quantile_durations = {NATIVE_BUCKETS, duration_bound};
const struct quantile_scale quantile_values = {VALUE_BUCKETS, bound_of_values};

/* --- quantiles ---------------------------------------------------------------- */

/* Observations are whole numbers: the smallest of a bucket is one more than the
 * bound below it. */
static double middle(const struct quantile_scale *scale, uint32_t bucket)
{
	if (!bucket)
		return (double)scale->bound(0);
	if (bucket == scale->buckets - 1)
		return (double)scale->bound(bucket - 1);
	return sqrt((double)(scale->bound(bucket - 1) + 1) *
		    (double)scale->bound(bucket));
}

double quantile_of(const struct quantile_scale *scale, const uint64_t *counts, double q)
{
	uint64_t count = 0, below = 0;
	uint32_t bucket = 0;
	double rank;

	for (uint32_t i = 0; i < scale->buckets; i++)
		count += counts[i];
	if (!count)
		return NAN;
	rank = fmax(ceil(q * (double)count), 1);
	while (bucket < scale->buckets - 1 && (double)(below += counts[bucket]) < rank)
		bucket++;
	return middle(scale, bucket);
}

/* --- the window --------------------------------------------------------------- */

/* What the counters were, from the first that was not 0 to the last. */
struct moment {
	int64_t time_ms;
	uint32_t first, len;
	uint64_t counts[];
};

struct quantile_window {
	const struct quantile_scale *scale;
	int64_t max_age_ms, apart_ms;
	uint32_t capacity, len;
	struct moment *moments[]; /* oldest first */
};

int quantile_window_create(const struct quantile_scale *scale, uint64_t max_age_ms,
			   uint32_t age_buckets, struct quantile_window **ret_window)
{
	struct quantile_window *window =
	    calloc(1, sizeof(*window) + age_buckets * sizeof(struct moment *));

	if (!window)
		return -ENOMEM;
	window->scale = scale;
	window->max_age_ms = (int64_t)max_age_ms;
	window->apart_ms = (int64_t)(max_age_ms / age_buckets);
	window->capacity = age_buckets;
	*ret_window = window;
	return 0;
}

static void forget_oldest(struct quantile_window *window)
{
	free(window->moments[0]);
	window->len--;
	memmove(&window->moments[0], &window->moments[1],
		window->len * sizeof(struct moment *));
}

void quantile_window_free(struct quantile_window **window)
{
	if (!*window)
		return;
	while ((*window)->len)
		forget_oldest(*window);
	free(*window);
	*window = NULL;
}

static const struct moment *newest(const struct quantile_window *window)
{
	return window->moments[window->len - 1];
}

static bool have_shrunk(const struct quantile_window *window, const uint64_t *counts)
{
	const struct moment *last = newest(window);

	for (uint32_t i = 0; i < last->len; i++)
		if (counts[last->first + i] < last->counts[i])
			return true;
	return false;
}

/* Of the buckets from the first to the last that is not empty. */
static struct moment *make_moment(const uint64_t *counts, uint32_t buckets,
				  int64_t now_ms)
{
	uint32_t first = 0, end = buckets;
	struct moment *moment;

	while (end && !counts[end - 1])
		end--;
	while (first < end && !counts[first])
		first++;
	moment = malloc(sizeof(*moment) + (end - first) * sizeof(*counts));
	if (!moment)
		return NULL;
	*moment = (struct moment){now_ms, first, end - first};
	memcpy(moment->counts, counts + first, moment->len * sizeof(*counts));
	return moment;
}

static void remember(struct quantile_window *window, const uint64_t *counts,
		     uint32_t buckets, int64_t now_ms)
{
	struct moment *moment = make_moment(counts, buckets, now_ms);

	if (!moment)
		return;
	if (window->len == window->capacity)
		forget_oldest(window);
	window->moments[window->len++] = moment;
}

/* The oldest that is young enough, else the newest. */
static const struct moment *beginning(const struct quantile_window *window,
				      int64_t now_ms)
{
	uint32_t i = 0;

	while (i < window->len - 1 &&
	       now_ms - window->moments[i]->time_ms > window->max_age_ms)
		i++;
	return window->moments[i];
}

void quantile_window_recent(struct quantile_window *window, const uint64_t *counts,
			    int64_t now_ms, uint64_t *ret_recent)
{
	const struct moment *from;
	uint32_t buckets = window->scale->buckets;

	while (window->len && have_shrunk(window, counts))
		forget_oldest(window);
	if (!window->len)
		remember(window, counts, 0, now_ms);
	memcpy(ret_recent, counts, buckets * sizeof(*counts));
	if (!window->len)
		return;
	from = beginning(window, now_ms);
	for (uint32_t i = 0; i < from->len; i++)
		ret_recent[from->first + i] -= from->counts[i];
	if (now_ms - newest(window)->time_ms >= window->apart_ms)
		remember(window, counts, buckets, now_ms);
}
