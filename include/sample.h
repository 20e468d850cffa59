/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample.h - one sample of one series on its way out: what samples makes, relabel
 * changes and wire writes. Whoever makes one owns all that it points to, and keeps
 * it for the call that hands it over, no longer.
 */
#pragma once

#include "snapshot.h"

/* A signalling NaN: moved as an integer, never through a float register, which may
 * make it 0x7ff8000000000002. */
#define SAMPLE_STALE 0x7ff0000000000002ull

/* What a sample is an example of: OpenMetrics 1.0, Exemplars. */
struct exemplar {
	const struct label *labels; /* by name in byte order, unique, none empty */
	size_t label_count;
	int64_t time_ms; /* its own, or of the sample where it has none */
	uint64_t bits;   /* of the double */
};

struct sample {
	const struct label *labels; /* by name in byte order, unique, none empty */
	size_t label_count;
	const struct family *family; /* what its metadata is */
	int64_t time_ms;
	int64_t start_ms; /* when what is cumulative was zero; 0: unknown, or a gauge */
	uint64_t bits;    /* of the double; SAMPLE_STALE: the series ended */
	bool is_native;   /* a native histogram, where it is not stale: */
	const uint64_t *native;          /* NATIVE_BUCKETS (buckets.h) */
	double sum;                      /* in the family's unit */
	const struct exemplar *exemplar; /* NULL: none */
};

/* One metric, and what its samples have in common. Where it has ended, it has labels,
 * bounds and quantiles, but no values. */
struct sample_metric {
	const struct metric *metric;
	int64_t time_ms;
	int64_t start_ms; /* as of a sample; of a gauge too */
	bool is_stale;
	bool has_native;     /* one of its samples is a native histogram */
	size_t sample_count; /* they belong in one request */
};
