/* SPDX-License-Identifier: Apache-2.0 */
/* Remote-Write requests read back by a decoder of its own: libsnappy, then
 * protobuf_reader.h. A field that is not in the protocol is a failure. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protobuf_reader.h"
#include "wire_batch.h"

#define SERIES_MAX 8192
#define BATCHES_MAX 512

/* counts[i] of bucket FIRST_BUCKET + i. */
#define FIRST_BUCKET (-200)
#define BUCKETS 300

struct histogram_read {
	bool has_count, has_zero_count;
	uint64_t count, zero_count, sum_bits;
	int64_t schema;
	double zero_threshold;
	size_t span_count, bucket_count;
	uint64_t counts[BUCKETS];
};

struct series {
	char *text; /* name=value name=value as they came */
	bool is_native;
	uint64_t bits;
	int64_t time_ms, start_ms;
	struct histogram_read *histogram;
	char *example; /* labels, the bits and the time of its exemplar; NULL: none */
	uint64_t type; /* 2.0 */
	char *help, *unit;
};

struct family_read {
	uint64_t type;
	char *name, *help, *unit;
};

struct wire_writer;

struct received {
	struct wire_writer *writer;
	enum wire_message message;
	struct series series[SERIES_MAX];
	size_t count;
	struct family_read families[SERIES_MAX];
	size_t family_count;
	struct {
		uint32_t samples, histograms;
		size_t families;
		int64_t time_ms;
		size_t bytes, unpacked_bytes;
	} batches[BATCHES_MAX];
	size_t batch_count;
	struct wire_batch *kept; /* the last one, where asked for */
	bool keeps;
	/* of the last request of 2.0 */
	char *symbols[SERIES_MAX];
	bool is_used[SERIES_MAX];
	size_t symbol_count;
};

/* --- the decoder -------------------------------------------------------------- */

static inline int64_t take_zigzag(struct bytes *bytes)
{
	return zigzag(take_varint(bytes));
}

static inline char *take_string(struct bytes *bytes)
{
	return text_of(take_message(bytes));
}

static inline void write_label(FILE *text, const char *name, const char *value)
{
	assert_true(*name && *value);
	fprintf(text, "%s%s=%s", ftell(text) ? " " : "", name, value);
}

static inline void read_label(struct bytes label, FILE *text)
{
	char *name = NULL, *value = NULL;

	while (label.at < label.end) {
		switch (take_varint(&label)) {
		case FIELD(1, MESSAGE):
			name = take_string(&label);
			break;
		case FIELD(2, MESSAGE):
			value = take_string(&label);
			break;
		default:
			fail();
		}
	}
	assert_non_null(name);
	assert_non_null(value);
	write_label(text, name, value);
	free(name);
	free(value);
}

static inline void read_sample(struct bytes sample, struct series *series)
{
	while (sample.at < sample.end) {
		switch (take_varint(&sample)) {
		case FIELD(1, FIXED64):
			series->bits = take_fixed64(&sample);
			break;
		case FIELD(2, VARINT):
			series->time_ms = (int64_t)take_varint(&sample);
			break;
		case FIELD(3, VARINT):
			series->start_ms = (int64_t)take_varint(&sample);
			break;
		default:
			fail();
		}
	}
}

struct span_read {
	int64_t offset;
	uint64_t length;
};

static inline struct span_read read_span(struct bytes span)
{
	struct span_read read = {0};

	while (span.at < span.end) {
		switch (take_varint(&span)) {
		case FIELD(1, VARINT):
			read.offset = take_zigzag(&span);
			break;
		case FIELD(2, VARINT):
			read.length = take_varint(&span);
			break;
		default:
			fail();
		}
	}
	assert_true(read.length > 0);
	return read;
}

static inline void read_buckets(struct histogram_read *histogram,
				const struct span_read *spans, struct bytes deltas)
{
	int64_t bucket = 0, count = 0;

	for (size_t i = 0; i < histogram->span_count; i++) {
		assert_true(!i || spans[i].offset > 2);
		bucket += spans[i].offset;
		for (uint64_t j = 0; j < spans[i].length; j++, bucket++) {
			count += take_zigzag(&deltas);
			assert_true(count >= 0);
			assert_in_range(bucket - FIRST_BUCKET, 0, BUCKETS - 1);
			histogram->counts[bucket - FIRST_BUCKET] = (uint64_t)count;
			histogram->bucket_count++;
		}
	}
	assert_ptr_equal(deltas.at, deltas.end);
}

static inline void read_histogram(struct bytes message, struct series *series)
{
	struct histogram_read *histogram = calloc(1, sizeof(*histogram));
	struct span_read spans[BUCKETS];
	struct bytes deltas = {0};

	while (message.at < message.end) {
		switch (take_varint(&message)) {
		case FIELD(1, VARINT):
			histogram->has_count = true;
			histogram->count = take_varint(&message);
			break;
		case FIELD(3, FIXED64):
			histogram->sum_bits = take_fixed64(&message);
			break;
		case FIELD(4, VARINT):
			histogram->schema = take_zigzag(&message);
			break;
		case FIELD(5, FIXED64):
			histogram->zero_threshold = double_of(take_fixed64(&message));
			break;
		case FIELD(6, VARINT):
			histogram->has_zero_count = true;
			histogram->zero_count = take_varint(&message);
			break;
		case FIELD(11, MESSAGE):
			spans[histogram->span_count++] =
			    read_span(take_message(&message));
			break;
		case FIELD(12, MESSAGE):
			deltas = take_message(&message);
			break;
		case FIELD(15, VARINT):
			series->time_ms = (int64_t)take_varint(&message);
			break;
		case FIELD(17, VARINT):
			series->start_ms = (int64_t)take_varint(&message);
			break;
		default:
			fail();
		}
	}
	read_buckets(histogram, spans, deltas);
	series->is_native = true;
	series->histogram = histogram;
}

/* Labels or references: what a TimeSeries of this message has, too. */
static inline void read_example(struct bytes message, struct received *received,
				struct series *series);

static inline void read_series_v1(struct bytes message, struct series *series)
{
	size_t size, values = 0;
	FILE *text = open_memstream(&series->text, &size);

	while (message.at < message.end) {
		switch (take_varint(&message)) {
		case FIELD(1, MESSAGE):
			read_label(take_message(&message), text);
			break;
		case FIELD(2, MESSAGE):
			read_sample(take_message(&message), series);
			values++;
			break;
		case FIELD(3, MESSAGE):
			read_example(take_message(&message), NULL, series);
			break;
		case FIELD(4, MESSAGE):
			read_histogram(take_message(&message), series);
			values++;
			break;
		default:
			fail();
		}
	}
	fclose(text);
	assert_int_equal(values, 1);
	assert_int_equal(series->start_ms, 0);
}

static inline void read_family(struct bytes message, struct family_read *family)
{
	while (message.at < message.end) {
		switch (take_varint(&message)) {
		case FIELD(1, VARINT):
			family->type = take_varint(&message);
			break;
		case FIELD(2, MESSAGE):
			family->name = take_string(&message);
			break;
		case FIELD(4, MESSAGE):
			family->help = take_string(&message);
			break;
		case FIELD(5, MESSAGE):
			family->unit = take_string(&message);
			break;
		default:
			fail();
		}
	}
}

static inline void read_v1(struct received *received, struct bytes request)
{
	while (request.at < request.end) {
		switch (take_varint(&request)) {
		case FIELD(1, MESSAGE):
			assert_true(received->count < SERIES_MAX);
			read_series_v1(take_message(&request),
				       &received->series[received->count++]);
			break;
		case FIELD(3, MESSAGE):
			assert_true(received->family_count < SERIES_MAX);
			read_family(take_message(&request),
				    &received->families[received->family_count++]);
			break;
		default:
			fail();
		}
	}
}

static const char *symbol(struct received *received, uint64_t ref)
{
	assert_true(ref < received->symbol_count);
	received->is_used[ref] = true;
	return received->symbols[ref];
}

static inline void read_metadata(struct received *received, struct bytes message,
				 struct series *series)
{
	uint64_t help = 0, unit = 0;

	while (message.at < message.end) {
		switch (take_varint(&message)) {
		case FIELD(1, VARINT):
			series->type = take_varint(&message);
			break;
		case FIELD(3, VARINT):
			help = take_varint(&message);
			break;
		case FIELD(4, VARINT):
			unit = take_varint(&message);
			break;
		default:
			fail();
		}
	}
	series->help = strdup(symbol(received, help));
	series->unit = strdup(symbol(received, unit));
}

static inline void read_refs(struct received *received, struct bytes refs, FILE *text)
{
	while (refs.at < refs.end) {
		const char *name = symbol(received, take_varint(&refs));

		write_label(text, name, symbol(received, take_varint(&refs)));
	}
}

static inline void read_example(struct bytes message, struct received *received,
				struct series *series)
{
	uint64_t bits = 0, time_ms = 0;
	size_t size;
	FILE *text = open_memstream(&series->example, &size);

	while (message.at < message.end) {
		switch (take_varint(&message)) {
		case FIELD(1, MESSAGE):
			if (received)
				read_refs(received, take_message(&message), text);
			else
				read_label(take_message(&message), text);
			break;
		case FIELD(2, FIXED64):
			bits = take_fixed64(&message);
			break;
		case FIELD(3, VARINT):
			time_ms = take_varint(&message);
			break;
		default:
			fail();
		}
	}
	fprintf(text, " %#llx @%lld", (unsigned long long)bits, (long long)time_ms);
	fclose(text);
}

static inline void read_series_v2(struct received *received, struct bytes message,
				  struct series *series)
{
	size_t size, values = 0;
	FILE *text = open_memstream(&series->text, &size);

	while (message.at < message.end) {
		switch (take_varint(&message)) {
		case FIELD(1, MESSAGE):
			read_refs(received, take_message(&message), text);
			break;
		case FIELD(2, MESSAGE):
			read_sample(take_message(&message), series);
			values++;
			break;
		case FIELD(3, MESSAGE):
			read_histogram(take_message(&message), series);
			values++;
			break;
		case FIELD(4, MESSAGE):
			read_example(take_message(&message), received, series);
			break;
		case FIELD(5, MESSAGE):
			read_metadata(received, take_message(&message), series);
			break;
		default:
			fail();
		}
	}
	fclose(text);
	assert_int_equal(values, 1);
	assert_non_null(series->help);
}

static inline void forget_symbols(struct received *received)
{
	for (size_t i = 0; i < received->symbol_count; i++)
		free(received->symbols[i]);
	received->symbol_count = 0;
	memset(received->is_used, 0, sizeof(received->is_used));
}

/* All symbols, before all series: a reader may look them up while it reads. */
static inline void read_v2(struct received *received, struct bytes request)
{
	size_t before = received->count;

	forget_symbols(received);
	while (request.at < request.end) {
		switch (take_varint(&request)) {
		case FIELD(4, MESSAGE):
			assert_int_equal(received->count, before);
			assert_true(received->symbol_count < SERIES_MAX);
			received->symbols[received->symbol_count++] =
			    take_string(&request);
			break;
		case FIELD(5, MESSAGE):
			assert_true(received->count < SERIES_MAX);
			read_series_v2(received, take_message(&request),
				       &received->series[received->count++]);
			break;
		default:
			fail();
		}
	}
	assert_true(received->symbol_count > 0);
	assert_string_equal(received->symbols[0], "");
	for (size_t i = 1; i < received->symbol_count; i++)
		assert_true(received->is_used[i]);
}

static inline char *decompress(const struct wire_batch *batch, size_t *ret_len)
{
	const char *bytes = (const char *)batch->bytes;
	char *packed;

	assert_int_equal(snappy_uncompressed_length(bytes, batch->len, ret_len),
			 SNAPPY_OK);
	packed = malloc(*ret_len + 1);
	assert_int_equal(snappy_uncompress(bytes, batch->len, packed, ret_len),
			 SNAPPY_OK);
	return packed;
}

static inline void on_batch(void *context, struct wire_batch *batch)
{
	struct received *received = context;
	size_t len, before = received->count, families = received->family_count;
	size_t natives = 0, i = received->batch_count++;
	char *packed = decompress(batch, &len);
	struct bytes request = {(unsigned char *)packed, (unsigned char *)packed + len};

	assert_true(i < BATCHES_MAX);
	assert_int_equal(batch->message, received->message);
	if (batch->message == WIRE_V1)
		read_v1(received, request);
	else
		read_v2(received, request);
	free(packed);
	for (size_t j = before; j < received->count; j++)
		natives += received->series[j].is_native;
	assert_int_equal(batch->histograms, natives);
	assert_int_equal(batch->samples, received->count - before - natives);
	assert_int_equal(batch->is_metadata, received->family_count > families);
	assert_true(!batch->is_metadata || received->count == before);
	received->batches[i].samples = batch->samples;
	received->batches[i].histograms = batch->histograms;
	received->batches[i].families = received->family_count - families;
	received->batches[i].time_ms = batch->time_ms;
	received->batches[i].bytes = batch->len;
	received->batches[i].unpacked_bytes = len;
	assert_int_equal(batch->references, 1);
	if (received->keeps) {
		wire_batch_put(&received->kept);
		received->kept = wire_batch_get(batch);
		assert_int_equal(batch->references, 2);
	}
	wire_batch_put(&batch);
	assert_null(batch);
}

static inline void forget_received(struct received *received)
{
	for (size_t i = 0; i < received->count; i++) {
		free(received->series[i].text);
		free(received->series[i].histogram);
		free(received->series[i].example);
		free(received->series[i].help);
		free(received->series[i].unit);
	}
	for (size_t i = 0; i < received->family_count; i++) {
		free(received->families[i].name);
		free(received->families[i].help);
		free(received->families[i].unit);
	}
	memset(received->series, 0, received->count * sizeof(*received->series));
	memset(received->families, 0,
	       received->family_count * sizeof(*received->families));
	forget_symbols(received);
	received->count = 0;
	received->family_count = 0;
	received->batch_count = 0;
}
