/* SPDX-License-Identifier: Apache-2.0 */
/* A writer of Remote-Write, samples for it, and what it handed over, as wire_decoder.h
 * has read it. */
#pragma once

#include "buckets.h"
#include "length.h"
#include "wire.h"
#include "wire_decoder.h"

#define STALE 0x7ff0000000000002ull
#define TIME 1700000000123ll
#define START 1699999999000ll

static const struct family requests = {"requests", "Requests.", "", METRIC_COUNTER, 1};
static const struct family open_files = {"open_files", "Files.", "", METRIC_GAUGE, 2};
static const struct family target = {"target", "Target.", "", METRIC_INFO, 3};
static const struct family duration = {"duration_seconds", "Duration.", "seconds",
				       METRIC_HISTOGRAM, 4};
static const struct family waits = {"wait_seconds", "Waits.", "seconds", METRIC_SUMMARY,
				    5};

static const struct family unknown = {"what", "What.", "", METRIC_UNKNOWN,
				      FAMILY_SCRAPED};
static const struct family sizes = {"sizes", "Sizes.", "", METRIC_GAUGE_HISTOGRAM,
				    FAMILY_SCRAPED};
static const struct family modes = {"mode", "Mode.", "", METRIC_STATE_SET,
				    FAMILY_SCRAPED};
static const struct family scraped = {"scraped", "Scraped.", "", METRIC_COUNTER,
				      FAMILY_SCRAPED};

static const struct label example_labels[] = {{"span_id", "s1"}, {"trace_id", "t1"}};

/* STALE arrives as it is, too. */
static const struct exemplar example = {example_labels, 2, TIME - 5, STALE};
#define EXAMPLE "span_id=s1 trace_id=t1 0x7ff0000000000002 @1700000000118"

static inline struct received *receive(enum wire_message message, bool native,
				       uint32_t samples_max)
{
	const struct wire_format format = {message, native, samples_max, true};
	struct received *received = calloc(1, sizeof(*received));

	assert_non_null(received);
	received->message = message;
	assert_int_equal(
	    wire_writer_create(&format, on_batch, received, &received->writer), 0);
	return received;
}

static inline void end(struct received *received)
{
	forget_received(received);
	wire_batch_put(&received->kept);
	wire_writer_free(&received->writer);
	assert_null(received->writer);
	wire_writer_free(&received->writer);
	free(received);
}

static inline uint64_t bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* A series of two labels. */
static inline int add(struct received *received, const struct family *family,
		      const char *name, const char *code, uint64_t bits)
{
	const struct label labels[] = {{"__name__", name}, {"code", code}};
	const struct sample sample = {
	    .labels = labels,
	    .label_count = LENGTH(labels),
	    .family = family,
	    .time_ms = TIME,
	    .start_ms = START,
	    .bits = bits,
	};

	return wire_add(received->writer, &sample);
}

static inline int add_histogram(struct received *received, const uint64_t *native,
				double sum)
{
	const struct label labels[] = {{"__name__", "duration_seconds"},
				       {"code", "200"}};
	const struct sample sample = {
	    .labels = labels,
	    .label_count = LENGTH(labels),
	    .family = &duration,
	    .time_ms = TIME,
	    .start_ms = START,
	    .bits = native ? bits_of(sum) : STALE,
	    .is_native = true,
	    .native = native,
	    .sum = sum,
	};

	return wire_add(received->writer, &sample);
}

static inline void add_with_example(struct received *received, const char *code,
				    bool native, const struct exemplar *exemplar)
{
	static const uint64_t buckets[NATIVE_BUCKETS] = {1};
	const struct label labels[] = {{"__name__", "requests_total"}, {"code", code}};
	const struct sample sample = {
	    .labels = labels,
	    .label_count = LENGTH(labels),
	    .family = native ? &duration : &requests,
	    .time_ms = TIME,
	    .bits = bits_of(1),
	    .is_native = native,
	    .native = buckets,
	    .exemplar = exemplar,
	};

	assert_int_equal(wire_add(received->writer, &sample), 0);
}

static inline unsigned int next_random(unsigned int *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}
