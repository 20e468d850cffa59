/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_starts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "scrape_families.h"

struct scrape_start {
	uint64_t hash; /* of its name and labels; enough to tell them apart */
	size_t users;  /* texts */
	uint32_t scrape;
	int64_t start_ms; /* in that scrape */
};

struct scrape_starts {
	const struct registry_keys *keys;
	struct registry all;
};

int scrape_starts_create(const struct registry_keys *keys,
			 struct scrape_starts **ret_starts)
{
	struct scrape_starts *starts = calloc(1, sizeof(*starts));

	if (!starts)
		return -ENOMEM;
	starts->keys = keys;
	*ret_starts = starts;
	return 0;
}

static bool free_start(void *item, void *context)
{
	(void)context;
	free(item);
	return false;
}

void scrape_starts_free(struct scrape_starts **starts)
{
	if (!*starts)
		return;
	registry_sweep(&(*starts)->all, free_start, NULL);
	registry_free(&(*starts)->all);
	free(*starts);
	*starts = NULL;
}

static bool is_start(const void *item, const void *wanted)
{
	return ((const struct scrape_start *)item)->hash == *(const uint64_t *)wanted;
}

/* Of the metric's name without a suffix and its labels, in any order, but for those
 * that tell its parts apart. The registry's hash is a sum: unmixed, labels whose values
 * change places would add up to the same. */
static uint64_t hash_metric(const struct registry_keys *keys,
			    const struct textparse_entry *entry, struct slice base)
{
	uint64_t hash = registry_hash(keys, base.text, base.len);

	for (size_t i = 0; i < entry->label_count; i++) {
		const struct textparse_label *label = &entry->labels[i];
		const uint64_t parts[] = {
		    registry_hash(keys, label->name.text, label->name.len),
		    registry_hash(keys, label->value.text, label->value.len)};

		if (!slice_is(label->name, "le") && !slice_is(label->name, "quantile"))
			hash += hash_key(registry_hash(keys, parts, sizeof(parts)), 0);
	}
	return hash;
}

static int find(struct scrape_starts *starts, uint64_t hash,
		struct scrape_start **ret_start)
{
	struct scrape_start *start = registry_find(&starts->all, hash, is_start, &hash);

	if (!start) {
		start = calloc(1, sizeof(*start));
		if (!start)
			return -ENOMEM;
		start->hash = hash;
		if (registry_add(&starts->all, hash, start)) {
			free(start);
			return -ENOMEM;
		}
	}
	*ret_start = start;
	return 0;
}

int scrape_starts_find(struct scrape_starts *starts,
		       const struct textparse_entry *entry,
		       struct scrape_start **ret_start, bool *ret_is_created)
{
	struct slice base = entry->name;
	const char *suffix = scrape_families_strip(&base);

	*ret_start = NULL;
	*ret_is_created = !strcmp(suffix, "_created");
	if (!*suffix || !strcmp(suffix, "_info") || suffix[1] == 'g')
		return 0;
	return find(starts, hash_metric(starts->keys, entry, base), ret_start);
}

void scrape_start_use(struct scrape_start *start)
{
	if (start)
		start->users++;
}

void scrape_start_leave(struct scrape_start *start)
{
	if (start)
		start->users--;
}

static bool is_used(void *item, void *context)
{
	return ((const struct scrape_start *)item)->users || free_start(item, context);
}

void scrape_starts_forget(struct scrape_starts *starts)
{
	registry_sweep(&starts->all, is_used, NULL);
}

void scrape_start_note(struct scrape_start *start, uint64_t bits, int64_t time_ms,
		       uint32_t scrape)
{
	double seconds;

	memcpy(&seconds, &bits, sizeof(seconds));
	if (!(seconds > 0 && seconds * 1000 <= (double)time_ms))
		return;
	start->start_ms = (int64_t)(seconds * 1000);
	start->scrape = scrape;
}

int64_t scrape_start_ms(const struct scrape_start *start, int64_t time_ms,
			uint32_t scrape)
{
	return start->scrape == scrape && start->start_ms < time_ms ? start->start_ms
								    : 0;
}
