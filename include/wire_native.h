/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_native.h - native histograms as Remote-Write sends them: of schema 3, their zero
 * bucket ends at 2^-20. What is longer than the last bucket of buckets.h is in the one
 * after it: its lower end (64 s) is true, its upper end (69.8 s) is not; count, sum and
 * all below are. Count is the sum of the buckets. A stale one has the marker as its
 * sum, and no bucket.
 */
#pragma once

#include "buckets.h"
#include "wire_series.h"

/* A histogram and all that it points to: stays where it was filled. */
struct wire_native {
	Prometheus__Histogram message;
	Prometheus__BucketSpan *spans[NATIVE_BUCKETS];
	Prometheus__BucketSpan span_storage[NATIVE_BUCKETS];
	int64_t deltas[NATIVE_BUCKETS];
	uint64_t last; /* what the last delta led to */
};

/* Of a sample that is one. start_ms: 0: none is sent. */
void wire_native_fill(struct wire_native *native, const struct sample *sample,
		      int64_t start_ms);
