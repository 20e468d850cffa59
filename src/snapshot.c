/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Straight from the kernel, so zeroed, and given back to it: a scrape of a full
 * table must not leave the daemon with a heap of that size. */
#define BLOCK_BYTES ((size_t)256 << 10)
#define CAPACITY_MIN 256
#define ALIGNMENT 8

struct arena_block {
	struct arena_block *next;
	size_t bytes; /* mapped, this header included */
	size_t used;
};

const char *family_suffix(const struct family *family)
{
	if (family->order == FAMILY_SCRAPED)
		return "";
	if (family->type == METRIC_COUNTER)
		return "_total";
	return family->type == METRIC_INFO ? "_info" : "";
}

void snapshot_init(struct snapshot *snapshot, int64_t time_ms)
{
	*snapshot = (struct snapshot){.time_ms = time_ms};
}

void snapshot_free(struct snapshot *snapshot)
{
	struct arena_block *block = snapshot->arena;

	while (block) {
		struct arena_block *next = block->next;

		munmap(block, block->bytes);
		block = next;
	}
	free(snapshot->metrics);
	*snapshot = (struct snapshot){0};
}

/* Who has filled one fills the next: its pages all at once take less time than one by
 * one, a twentieth of a large scrape. */
static struct arena_block *add_block(struct snapshot *snapshot, size_t bytes)
{
	size_t whole = sizeof(struct arena_block) + bytes;
	const int populate = snapshot->arena ? MAP_POPULATE : 0;
	struct arena_block *block;

	if (whole < BLOCK_BYTES)
		whole = BLOCK_BYTES;
	block = mmap(NULL, whole, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | populate, -1, 0);
	if (block == MAP_FAILED)
		return NULL;
	block->bytes = whole;
	block->used = sizeof(*block);
	block->next = snapshot->arena;
	snapshot->arena = block;
	return block;
}

void *snapshot_alloc(struct snapshot *snapshot, size_t bytes)
{
	struct arena_block *block = snapshot->arena;
	void *memory;

	if (snapshot->error)
		return NULL;
	if (bytes > SIZE_MAX / 2) {
		snapshot->error = -ENOMEM;
		return NULL;
	}
	bytes = (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (!block || bytes > block->bytes - block->used)
		block = add_block(snapshot, bytes);
	if (!block) {
		snapshot->error = -ENOMEM;
		return NULL;
	}
	memory = (char *)block + block->used;
	block->used += bytes;
	return memory;
}

/* Insertion: a set has a dozen labels at most and is usually nearly sorted. */
static void insert_by_name(struct label *sorted, size_t count, struct label label)
{
	size_t i = count;

	for (; i && strcmp(sorted[i - 1].name, label.name) > 0; i--)
		sorted[i] = sorted[i - 1];
	sorted[i] = label;
}

const char *snapshot_text(struct snapshot *snapshot, const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *copy = snapshot_alloc(snapshot, bytes);

	return copy ? memcpy(copy, text, bytes) : "";
}

struct label_set snapshot_labels(struct snapshot *snapshot, const struct label *labels,
				 size_t count)
{
	struct label *sorted = snapshot_alloc(snapshot, count * sizeof(*sorted));
	struct label_set set = {.labels = sorted};

	if (!sorted)
		return (struct label_set){0};
	for (size_t i = 0; i < count; i++)
		if (labels[i].value && *labels[i].value)
			insert_by_name(sorted, set.count++, labels[i]);
	return set;
}

static struct metric *add_metric(struct snapshot *snapshot)
{
	size_t capacity = snapshot->capacity ? snapshot->capacity * 2 : CAPACITY_MIN;
	struct metric *metrics;

	if (snapshot->error)
		return NULL;
	if (snapshot->count < snapshot->capacity)
		return &snapshot->metrics[snapshot->count++];
	if (snapshot->count >= SNAPSHOT_METRICS_MAX) {
		snapshot->error = -E2BIG;
		return NULL;
	}
	metrics = reallocarray(snapshot->metrics, capacity, sizeof(*metrics));
	if (!metrics) {
		snapshot->error = -ENOMEM;
		return NULL;
	}
	snapshot->metrics = metrics;
	snapshot->capacity = capacity;
	return &snapshot->metrics[snapshot->count++];
}

void snapshot_counter_since(struct snapshot *snapshot, const struct family *family,
			    struct label_set labels, double value, int64_t start_ms)
{
	struct metric *metric = add_metric(snapshot);

	if (metric)
		*metric = (struct metric){
		    .family = family,
		    .labels = labels,
		    .value = value,
		    .start_ms = start_ms,
		};
}

void snapshot_value(struct snapshot *snapshot, const struct family *family,
		    struct label_set labels, double value)
{
	snapshot_counter_since(snapshot, family, labels, value, 0);
}

void snapshot_histogram(struct snapshot *snapshot, const struct family *family,
			struct label_set labels, const struct histogram *histogram)
{
	struct metric *metric = add_metric(snapshot);

	if (metric)
		*metric = (struct metric){
		    .family = family,
		    .labels = labels,
		    .histogram = *histogram,
		};
}

void snapshot_summary(struct snapshot *snapshot, const struct family *family,
		      struct label_set labels, const struct summary *summary)
{
	struct metric *metric = add_metric(snapshot);

	if (metric)
		*metric = (struct metric){
		    .family = family,
		    .labels = labels,
		    .summary = *summary,
		};
}

/* Most names and many values are the same constant or interned string. */
static int compare_strings(const char *a, const char *b)
{
	return a == b ? 0 : strcmp(a, b);
}

int label_set_compare(const struct label_set *a, const struct label_set *b)
{
	size_t count = a->count < b->count ? a->count : b->count;

	if (a->labels == b->labels && a->count == b->count)
		return 0;
	for (size_t i = 0; i < count; i++) {
		int order = compare_strings(a->labels[i].name, b->labels[i].name);

		if (!order)
			order = compare_strings(a->labels[i].value, b->labels[i].value);
		if (order)
			return order;
	}
	return (a->count > b->count) - (a->count < b->count);
}

/* Two families of one order number stay apart by their names. */
static int compare_metrics(const void *left, const void *right)
{
	const struct metric *a = left, *b = right;
	int order;

	if (a->family == b->family)
		return label_set_compare(&a->labels, &b->labels);
	order = (a->family->order > b->family->order) -
		(a->family->order < b->family->order);
	if (!order)
		order = strcmp(a->family->name, b->family->name);
	return order ? order : label_set_compare(&a->labels, &b->labels);
}

int snapshot_finish(struct snapshot *snapshot)
{
	if (snapshot->count)
		qsort(snapshot->metrics, snapshot->count, sizeof(*snapshot->metrics),
		      compare_metrics);
	return snapshot->error;
}
