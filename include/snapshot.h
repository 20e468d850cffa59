/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - what one collection found: metric families, their labelled
 * metrics, their values. The drain side appends, the text and wire writers
 * read; a response keeps one while it is sent (body.h), nothing else does. It
 * does not know BPF, HTTP or any format.
 *
 * All strings of a metric live in the snapshot's arena or are constants, so a
 * snapshot is freed as a whole. Metrics of one family are contiguous once
 * snapshot_finish has sorted them (by family registration order, then labels).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric_type {
	METRIC_COUNTER,
	METRIC_GAUGE,
	METRIC_HISTOGRAM,
	METRIC_SUMMARY,
	METRIC_INFO,
	/* Of samples that were scraped; no snapshot has metrics of these. */
	METRIC_UNKNOWN,
	METRIC_GAUGE_HISTOGRAM,
	METRIC_STATE_SET,
};

/* Static description; `name` is the name of the family without suffixes
 * (`bpftally_missed`, not `..._total`; `target`, not `target_info`); of one that was
 * scraped, what it is called there. */
struct family {
	const char *name;
	const char *help;
	const char *unit; /* "seconds", "bytes" or "" */
	enum metric_type type;
	unsigned int order; /* position in the output, or FAMILY_SCRAPED */
};

/* Of a family that is in no output of ours, only on its way through. */
#define FAMILY_SCRAPED (~0u)

/* Of its samples' names, histograms and summaries aside: "_total", "_info" or "". */
const char *family_suffix(const struct family *family);

struct label {
	const char *name;
	const char *value; /* valid UTF-8; never empty: empty labels are left out */
};

/* Sorted by name, unique, no empty values. */
struct label_set {
	const struct label *labels;
	size_t count;
};

/* Not cumulative; bucket i holds bounds[i-1] < v <= bounds[i], the last one
 * what is above every bound. Units of bounds and sum are the family's. */
struct histogram {
	const double *bounds; /* constant, ascending */
	size_t bound_count;
	const uint64_t *buckets; /* bound_count + 1 */
	double sum;
	const uint64_t *native; /* NATIVE_BUCKETS (buckets.h), or NULL */
};

/* values[i] is the quantiles[i] of a recent while, NaN where nothing was observed
 * in it; observations and sum are of all time. Units as of a histogram. */
struct summary {
	const double *quantiles; /* ascending, 0 to 1 */
	const double *values;
	size_t count;
	uint64_t observations;
	double sum;
};

struct metric {
	const struct family *family;
	struct label_set labels;
	double value;     /* counter, gauge; 1 for info */
	int64_t start_ms; /* when this counter was 0; 0: as all of the snapshot */
	union {
		struct histogram histogram;
		struct summary summary;
	};
};

struct snapshot {
	struct metric *metrics;
	size_t count;
	size_t capacity;
	int error;        /* first failure sticks: -ENOMEM, -E2BIG */
	int64_t time_ms;  /* wall clock of the collection */
	int64_t boot_ms;  /* CLOCK_BOOTTIME then; 0: unknown. The maker sets it, */
	int64_t start_ms; /* and since when (wall clock) it counts; 0: unknown */
	struct arena_block *arena;
};

/* More metrics than this in one snapshot is -E2BIG. */
#define SNAPSHOT_METRICS_MAX (1u << 20)

void snapshot_init(struct snapshot *snapshot, int64_t time_ms);
void snapshot_free(struct snapshot *snapshot);
/* Zeroed, 8-byte aligned memory that lives as long as the snapshot; NULL and
 * the sticky error when there is none. */
void *snapshot_alloc(struct snapshot *snapshot, size_t bytes);
/* A copy, or "" and the sticky error. */
const char *snapshot_text(struct snapshot *snapshot, const char *text);
/* Copies the labels (not the strings), sorts them by name, drops empty ones. */
struct label_set snapshot_labels(struct snapshot *snapshot, const struct label *labels,
				 size_t count);
void snapshot_value(struct snapshot *snapshot, const struct family *family,
		    struct label_set labels, double value);
/* A counter that began at a time of its own (wall clock, ms; 0: not known). */
void snapshot_counter_since(struct snapshot *snapshot, const struct family *family,
			    struct label_set labels, double value, int64_t start_ms);
void snapshot_histogram(struct snapshot *snapshot, const struct family *family,
			struct label_set labels, const struct histogram *histogram);
void snapshot_summary(struct snapshot *snapshot, const struct family *family,
		      struct label_set labels, const struct summary *summary);
/* Sorts; after it no two metrics have equal family and labels unless a caller
 * added them twice. Returns the sticky error. */
int snapshot_finish(struct snapshot *snapshot);
int label_set_compare(const struct label_set *a, const struct label_set *b);
