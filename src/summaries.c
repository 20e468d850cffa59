/* SPDX-License-Identifier: Apache-2.0 */
#include "summaries.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "table.h"

struct kept {
	const struct summary_kind *kind;
	struct quantile_window *window;
	uint64_t hash;
	bool is_seen; /* in this collection */
	struct kept *next;
	struct label_set labels; /* of what follows: labels, then their strings */
	struct label memory[];
};

struct summaries {
	uint64_t seed;
	struct kept *all;
	/* Of the collection under way. */
	struct snapshot *snapshot;
	int64_t now_ms;
	struct table by_labels;
};

int summaries_create(uint64_t seed, struct summaries **ret_summaries)
{
	struct summaries *summaries = calloc(1, sizeof(*summaries));

	if (!summaries)
		return -ENOMEM;
	summaries->seed = seed;
	*ret_summaries = summaries;
	return 0;
}

static void kept_free(struct kept **kept)
{
	if (!*kept)
		return;
	quantile_window_free(&(*kept)->window);
	free(*kept);
	*kept = NULL;
}

/* All, or all but those of this collection. */
static void forget(struct summaries *summaries, bool keep_seen)
{
	struct kept **at = &summaries->all;

	while (*at) {
		struct kept *kept = *at;

		if (keep_seen && kept->is_seen) {
			at = &kept->next;
			continue;
		}
		*at = kept->next;
		kept_free(&kept);
	}
}

void summaries_free(struct summaries **summaries)
{
	if (!*summaries)
		return;
	forget(*summaries, false);
	free(*summaries);
	*summaries = NULL;
}

/* --- what is kept ------------------------------------------------------------- */

static size_t string_bytes(const struct label_set *set)
{
	size_t bytes = 0;

	for (size_t i = 0; i < set->count; i++)
		bytes += strlen(set->labels[i].name) + strlen(set->labels[i].value) + 2;
	return bytes;
}

static void copy_labels(struct kept *kept, const struct label_set *set)
{
	char *at = (char *)&kept->memory[set->count];

	for (size_t i = 0; i < set->count; i++) {
		kept->memory[i].name = at;
		at = stpcpy(at, set->labels[i].name) + 1;
		kept->memory[i].value = at;
		at = stpcpy(at, set->labels[i].value) + 1;
	}
	kept->labels = (struct label_set){kept->memory, set->count};
}

/* NULL when memory ran out. */
static struct kept *make_kept(struct summaries *summaries,
			      const struct summary_kind *kind,
			      const struct label_set *labels, uint64_t hash)
{
	CLEANUP(kept_free)
	struct kept *kept =
	    malloc(sizeof(*kept) + labels->count * sizeof(struct label) +
		   string_bytes(labels));

	if (!kept)
		return NULL;
	*kept = (struct kept){.kind = kind, .hash = hash};
	copy_labels(kept, labels);
	if (quantile_window_create(kind->scale, kind->max_age_ms, kind->age_buckets,
				   &kept->window) ||
	    !table_add(&summaries->by_labels, hash, kept, summaries->snapshot))
		return NULL;
	kept->next = summaries->all;
	summaries->all = kept;
	return TAKE(kept);
}

static bool same_kept(const void *item, const void *wanted)
{
	const struct kept *a = item, *b = wanted;

	return a->kind == b->kind && !label_set_compare(&a->labels, &b->labels);
}

static struct kept *get_kept(struct summaries *summaries,
			     const struct summary_kind *kind, struct label_set labels)
{
	const struct kept wanted = {.kind = kind, .labels = labels};
	uint64_t hash = table_hash_labels(summaries->seed, &labels);
	struct kept *kept = table_find(&summaries->by_labels, hash, same_kept, &wanted);

	return kept ? kept : make_kept(summaries, kind, &labels, hash);
}

/* --- a collection ------------------------------------------------------------- */

void summaries_begin(struct summaries *summaries, struct snapshot *snapshot,
		     int64_t now_ms)
{
	summaries->snapshot = snapshot;
	summaries->now_ms = now_ms;
	for (struct kept *kept = summaries->all; kept; kept = kept->next) {
		kept->is_seen = false;
		table_add(&summaries->by_labels, kept->hash, kept, snapshot);
	}
}

static void fill_values(const struct summaries *summaries, struct kept *kept,
			const uint64_t *counts, double *values)
{
	const struct summary_kind *kind = kept->kind;
	uint64_t recent[QUANTILE_BUCKETS_MAX];

	kept->is_seen = true;
	quantile_window_recent(kept->window, counts, summaries->now_ms, recent);
	for (size_t i = 0; i < kind->quantile_count; i++)
		values[i] =
		    quantile_of(kind->scale, recent, kind->quantiles[i]) / kind->unit;
}

void summaries_add(struct summaries *summaries, const struct summary_kind *kind,
		   struct label_set labels, const uint64_t *counts, double sum)
{
	struct snapshot *snapshot = summaries->snapshot;
	size_t count = kind->quantile_count;
	double *values = snapshot_alloc(snapshot, count * sizeof(*values));
	struct kept *kept = values ? get_kept(summaries, kind, labels) : NULL;
	struct summary summary = {kind->quantiles, values, count, 0, sum};

	if (!values)
		return;
	for (uint32_t i = 0; i < kind->scale->buckets; i++)
		summary.observations += counts[i];
	if (kept)
		fill_values(summaries, kept, counts, values);
	else
		for (size_t i = 0; i < count; i++)
			values[i] = NAN;
	snapshot_summary(snapshot, kind->family, labels, &summary);
}

void summaries_end(struct summaries *summaries)
{
	if (!summaries->snapshot->error)
		forget(summaries, true);
	summaries->snapshot = NULL;
	summaries->by_labels = (struct table){0};
}
