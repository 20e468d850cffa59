/* SPDX-License-Identifier: Apache-2.0 */
/* What was encoded is read back by a decoder of its own: libsnappy, then the
 * protobuf wire format by hand, nothing of protobuf-c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define STALE 0x7ff0000000000002ull
#define SERIES_MAX 4096
#define BATCHES_MAX 512

/* name{label="value",...} as they came, then bits and time. */
struct series {
	char *text;
	uint64_t bits;
	int64_t time_ms;
};

struct received {
	struct wire_encoder *encoder;
	struct series series[SERIES_MAX];
	size_t count;
	uint32_t batch_samples[BATCHES_MAX];
	int64_t batch_time_ms;
	size_t largest_batch_bytes; /* uncompressed */
	size_t batch_count;
};

static const struct family requests = {"requests", "Requests.", "", METRIC_COUNTER, 1};
static const struct family open_files = {"open_files", "Files.", "", METRIC_GAUGE, 2};
static const struct family target = {"target", "Target.", "", METRIC_INFO, 3};
static const struct family duration = {"duration_seconds", "Duration.", "seconds",
				       METRIC_HISTOGRAM, 4};
static const struct family waits = {"wait_seconds", "Waits.", "seconds", METRIC_SUMMARY,
				    6};

static const struct family bare = {"bare", "No labels.", "", METRIC_GAUGE, 5};

/* --- the decoder -------------------------------------------------------------- */

struct bytes {
	const unsigned char *at, *end;
};

static uint64_t take_varint(struct bytes *bytes)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		assert_true(bytes->at < bytes->end);
		value |= (uint64_t)(*bytes->at & 0x7f) << shift;
		if (!(*bytes->at++ & 0x80))
			return value;
	}
	fail_msg("varint of more than ten bytes");
	return 0;
}

static uint64_t take_fixed64(struct bytes *bytes)
{
	uint64_t value = 0;

	assert_true(bytes->end - bytes->at >= 8);
	for (int i = 7; i >= 0; i--)
		value = value << 8 | bytes->at[i];
	bytes->at += 8;
	return value;
}

static struct bytes take_message(struct bytes *bytes)
{
	uint64_t len = take_varint(bytes);
	struct bytes message = {bytes->at, bytes->at + len};

	assert_true(len <= (uint64_t)(bytes->end - bytes->at));
	bytes->at = message.end;
	return message;
}

/* field << 3 | wire type */
enum { FIRST_MESSAGE = 1 << 3 | 2, SECOND_MESSAGE = 2 << 3 | 2 };
enum { FIRST_DOUBLE = 1 << 3 | 1, SECOND_VARINT = 2 << 3 | 0 };

static void read_label(struct bytes label, FILE *text, bool *is_first)
{
	struct bytes name = {0}, value = {0};

	while (label.at < label.end) {
		uint64_t tag = take_varint(&label);

		assert_true(tag == FIRST_MESSAGE || tag == SECOND_MESSAGE);
		*(tag == FIRST_MESSAGE ? &name : &value) = take_message(&label);
	}
	assert_true(name.at < name.end);
	assert_true(value.at < value.end);
	fprintf(text, "%s%.*s=%.*s", *is_first ? "" : " ", (int)(name.end - name.at),
		name.at, (int)(value.end - value.at), value.at);
	*is_first = false;
}

static void read_sample(struct bytes sample, struct series *series)
{
	while (sample.at < sample.end) {
		uint64_t tag = take_varint(&sample);

		assert_true(tag == FIRST_DOUBLE || tag == SECOND_VARINT);
		if (tag == FIRST_DOUBLE)
			series->bits = take_fixed64(&sample);
		else
			series->time_ms = (int64_t)take_varint(&sample);
	}
}

static void read_series(struct bytes message, struct series *series)
{
	size_t size, samples = 0;
	FILE *text = open_memstream(&series->text, &size);
	bool is_first = true;

	assert_non_null(text);
	while (message.at < message.end) {
		uint64_t tag = take_varint(&message);

		assert_true(tag == FIRST_MESSAGE || tag == SECOND_MESSAGE);
		if (tag == FIRST_MESSAGE) {
			read_label(take_message(&message), text, &is_first);
			continue;
		}
		read_sample(take_message(&message), series);
		samples++;
	}
	fclose(text);
	assert_int_equal(samples, 1);
}

static void on_batch(void *context, struct wire_batch *batch)
{
	struct received *received = context;
	size_t len, before = received->count;
	struct bytes request;
	char *packed;

	assert_int_equal(
	    snappy_uncompressed_length((const char *)batch->bytes, batch->len, &len),
	    SNAPPY_OK);
	packed = malloc(len);
	assert_int_equal(
	    snappy_uncompress((const char *)batch->bytes, batch->len, packed, &len),
	    SNAPPY_OK);
	request =
	    (struct bytes){(unsigned char *)packed, (unsigned char *)packed + len};
	while (request.at < request.end) {
		assert_int_equal(take_varint(&request), FIRST_MESSAGE);
		assert_true(received->count < SERIES_MAX);
		read_series(take_message(&request),
			    &received->series[received->count++]);
	}
	free(packed);
	if (len > received->largest_batch_bytes)
		received->largest_batch_bytes = len;
	assert_int_equal(batch->samples, received->count - before);
	assert_true(received->batch_count < BATCHES_MAX);
	received->batch_samples[received->batch_count++] = batch->samples;
	received->batch_time_ms = batch->time_ms;
	assert_int_equal(batch->references, 1);
	wire_batch_put(&batch);
	assert_null(batch);
}

/* --- scenes ------------------------------------------------------------------- */

static void forget_received(struct received *received)
{
	for (size_t i = 0; i < received->count; i++)
		free(received->series[i].text);
	memset(received->series, 0, received->count * sizeof(*received->series));
	received->count = 0;
	received->batch_count = 0;
}

static struct received *receive(const struct config_labels *external,
				uint32_t samples_max)
{
	struct received *received = calloc(1, sizeof(*received));

	assert_non_null(received);
	assert_int_equal(wire_encoder_create(external, samples_max, &received->encoder),
			 0);
	return received;
}

static void end(struct received *received)
{
	forget_received(received);
	wire_encoder_free(&received->encoder);
	assert_null(received->encoder);
	wire_encoder_free(&received->encoder);
	free(received);
}

/* Replaces what was received; frees the snapshot. */
static int encode(struct received *received, struct snapshot *snapshot)
{
	int err;

	forget_received(received);
	snapshot_finish(snapshot);
	err = wire_encode(received->encoder, snapshot, on_batch, received);
	snapshot_free(snapshot);
	return err;
}

static void add(struct snapshot *snapshot, const struct family *family,
		const char *name, const char *value, double number)
{
	const struct label label = {name, value};

	snapshot_value(snapshot, family, snapshot_labels(snapshot, &label, 1), number);
}

static void add_histogram(struct snapshot *snapshot, const double *bounds,
			  size_t bound_count, const uint64_t *buckets, double sum)
{
	const struct label label = {"code", "200"};
	const struct histogram histogram = {
	    .bounds = bounds,
	    .bound_count = bound_count,
	    .buckets = buckets,
	    .sum = sum,
	};

	snapshot_histogram(snapshot, &duration, snapshot_labels(snapshot, &label, 1),
			   &histogram);
}

static void add_summary(struct snapshot *snapshot, const struct summary *summary)
{
	const struct label label = {"code", "200"};

	snapshot_summary(snapshot, &waits, snapshot_labels(snapshot, &label, 1),
			 summary);
}

static uint64_t bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static void expect(const struct received *received, size_t i, const char *text,
		   uint64_t bits, int64_t time_ms)
{
	assert_true(i < received->count);
	assert_string_equal(received->series[i].text, text);
	assert_int_equal(received->series[i].bits, bits);
	assert_int_equal(received->series[i].time_ms, time_ms);
}

static const struct config_labels none = {NULL, 0};

/* --- tests -------------------------------------------------------------------- */

static void each_type_has_its_names_and_its_value(void **state)
{
	struct received *received = receive(&none, 100);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1700000000123);
	add(&snapshot, &requests, "code", "200", 9007199254740991.0);
	add(&snapshot, &open_files, "pid", "1", 0);
	add(&snapshot, &target, "version", "1.2", 1);
	snapshot_value(&snapshot, &bare, snapshot_labels(&snapshot, NULL, 0), 0.1);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, 4);
	expect(received, 3, "__name__=bare", bits_of(0.1), 1700000000123);
	expect(received, 0, "__name__=requests_total code=200",
	       bits_of(9007199254740991.0), 1700000000123);
	expect(received, 1, "__name__=open_files pid=1", 0, 1700000000123);
	expect(received, 2, "__name__=target_info version=1.2", bits_of(1),
	       1700000000123);
	assert_int_equal(received->batch_count, 1);
	assert_int_equal(received->batch_time_ms, 1700000000123);
	end(received);
}

static void buckets_are_cumulative_with_canonical_bounds(void **state)
{
	static const double bounds[] = {0.005, 1, 10, 1000000};
	static const uint64_t buckets[] = {3, 0, 4, 5, 6};
	static const struct {
		const char *text;
		double value;
	} expected[] = {
	    {"__name__=duration_seconds_bucket code=200 le=0.005", 3},
	    {"__name__=duration_seconds_bucket code=200 le=1.0", 3},
	    {"__name__=duration_seconds_bucket code=200 le=10.0", 7},
	    {"__name__=duration_seconds_bucket code=200 le=1e+06", 12},
	    {"__name__=duration_seconds_bucket code=200 le=+Inf", 18},
	    {"__name__=duration_seconds_sum code=200", 6.25},
	    {"__name__=duration_seconds_count code=200", 18},
	};
	struct received *received = receive(&none, 100);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1000);
	add_histogram(&snapshot, bounds, LENGTH(bounds), buckets, 6.25);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, LENGTH(expected));
	for (size_t i = 0; i < LENGTH(expected); i++)
		expect(received, i, expected[i].text, bits_of(expected[i].value), 1000);
	end(received);
}

static const char *const waits_series[] = {
    "__name__=wait_seconds code=200 quantile=0.5",
    "__name__=wait_seconds code=200 quantile=1.0",
    "__name__=wait_seconds_sum code=200",
    "__name__=wait_seconds_count code=200",
};

static void a_summary_is_a_series_per_quantile_a_sum_and_a_count(void **state)
{
	static const double quantiles[] = {0.5, 1}, values[] = {0.25, NAN};
	const struct summary summary = {quantiles, values, 2, 18, 6.25};
	const struct summary without = {.observations = 1, .sum = 2};
	struct received *received = receive(&none, 100);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1000);
	add_summary(&snapshot, &summary);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, LENGTH(waits_series));
	expect(received, 0, waits_series[0], bits_of(0.25), 1000);
	expect(received, 1, waits_series[1], 0x7ff8000000000001, 1000);
	expect(received, 2, waits_series[2], bits_of(6.25), 1000);
	expect(received, 3, waits_series[3], bits_of(18), 1000);

	snapshot_init(&snapshot, 2000);
	snapshot_summary(&snapshot, &waits, (struct label_set){0}, &without);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, 2 + LENGTH(waits_series));
	expect(received, 0, "__name__=wait_seconds_sum", bits_of(2), 2000);
	expect(received, 1, "__name__=wait_seconds_count", bits_of(1), 2000);
	for (size_t i = 0; i < LENGTH(waits_series); i++)
		expect(received, 2 + i, waits_series[i], STALE, 2000);
	end(received);
}

static void bounds_and_quantiles_of_equal_values_keep_their_labels(void **state)
{
	static const double parts[] = {0.5, 1};
	static const uint64_t buckets[] = {1, 1, 1};
	const struct summary summary = {parts, parts, 2, 1, 1};
	struct received *received = receive(&none, 100);

	(void)state;
	for (int64_t time_ms = 1000; time_ms <= 2000; time_ms += 1000) {
		struct snapshot snapshot;

		snapshot_init(&snapshot, time_ms);
		if (time_ms == 1000) {
			add_histogram(&snapshot, parts, 2, buckets, 3);
			add_summary(&snapshot, &summary);
		}
		assert_int_equal(encode(received, &snapshot), 0);
		assert_int_equal(received->count, 5 + LENGTH(waits_series));
		assert_string_equal(received->series[0].text,
				    "__name__=duration_seconds_bucket code=200 le=0.5");
		for (size_t i = 0; i < LENGTH(waits_series); i++)
			assert_string_equal(received->series[5 + i].text,
					    waits_series[i]);
	}
	end(received);
}

static void labels_are_sorted_by_byte_and_external_ones_fill_gaps(void **state)
{
	static const struct config_label labels[] = {
	    {"job", "external"},  {"Zone", "z"},        {"empty", ""},
	    {"code", "external"}, {"_x", "underscore"}, {"zz", "last"},
	    {"__name__", "no"},   {"le", "no"},
	};
	const struct config_labels external = {(struct config_label *)labels,
					       LENGTH(labels)};
	static const double bounds[] = {1};
	static const uint64_t buckets[] = {1, 0};
	struct received *received = receive(&external, 100);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1000);
	add(&snapshot, &requests, "code", "own", 1);
	add_histogram(&snapshot, bounds, LENGTH(bounds), buckets, 0.5);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, 5);
	expect(received, 0,
	       "Zone=z __name__=requests_total _x=underscore code=own job=external "
	       "le=no zz=last",
	       bits_of(1), 1000);
	expect(received, 1,
	       "Zone=z __name__=duration_seconds_bucket _x=underscore code=200 "
	       "job=external le=1.0 zz=last",
	       bits_of(1), 1000);
	expect(received, 3,
	       "Zone=z __name__=duration_seconds_sum _x=underscore code=200 "
	       "job=external zz=last",
	       bits_of(0.5), 1000);
	end(received);
}

static void a_series_that_vanished_is_marked_stale_once(void **state)
{
	struct received *received = receive(&none, 100);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1000);
	add(&snapshot, &requests, "code", "200", 1);
	add(&snapshot, &requests, "code", "404", 2);
	add(&snapshot, &requests, "code", "500", 3);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, 3);

	snapshot_init(&snapshot, 2000);
	add(&snapshot, &requests, "code", "200", 1);
	add(&snapshot, &requests, "code", "301", 1);
	add(&snapshot, &requests, "code", "500", 4);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, 4);
	expect(received, 0, "__name__=requests_total code=200", bits_of(1), 2000);
	expect(received, 1, "__name__=requests_total code=301", bits_of(1), 2000);
	expect(received, 2, "__name__=requests_total code=404", STALE, 2000);
	expect(received, 3, "__name__=requests_total code=500", bits_of(4), 2000);

	snapshot_init(&snapshot, 3000);
	add(&snapshot, &requests, "code", "404", 5); /* it came back */
	add(&snapshot, &requests, "code", "500", 5);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, 4);
	expect(received, 0, "__name__=requests_total code=200", STALE, 3000);
	expect(received, 1, "__name__=requests_total code=301", STALE, 3000);
	expect(received, 2, "__name__=requests_total code=404", bits_of(5), 3000);
	expect(received, 3, "__name__=requests_total code=500", bits_of(5), 3000);
	end(received);
}

static void an_empty_snapshot_marks_everything_stale_once(void **state)
{
	static const uint64_t buckets[] = {1, 2, 3};
	static const char *const expected[] = {
	    "__name__=requests_total code=200",
	    "__name__=target_info version=1",
	    "__name__=duration_seconds_bucket code=200 le=0.1",
	    "__name__=duration_seconds_bucket code=200 le=2.5",
	    "__name__=duration_seconds_bucket code=200 le=+Inf",
	    "__name__=duration_seconds_sum code=200",
	    "__name__=duration_seconds_count code=200",
	};
	struct received *received = receive(&none, 4);
	struct snapshot snapshot;
	double *bounds;

	(void)state;
	snapshot_init(&snapshot, 1000);
	/* Gone with the snapshot: the encoder has to keep its own. */
	bounds = snapshot_alloc(&snapshot, 2 * sizeof(*bounds));
	bounds[0] = 0.1;
	bounds[1] = 2.5;
	add(&snapshot, &requests, "code", "200", 1);
	add(&snapshot, &target, "version", "1", 1);
	add_histogram(&snapshot, bounds, 2, buckets, 1);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, LENGTH(expected));

	snapshot_init(&snapshot, 2000);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, LENGTH(expected));
	for (size_t i = 0; i < LENGTH(expected); i++)
		expect(received, i, expected[i], STALE, 2000);

	snapshot_init(&snapshot, 3000);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->batch_count, 0);
	end(received);
}

static void no_value_looks_like_a_stale_marker(void **state)
{
	static const uint64_t patterns[] = {STALE, 0x7ff8000000000002,
					    0xfff8000000000000};
	struct received *received = receive(&none, 100);
	struct snapshot snapshot;

	(void)state;
	for (size_t i = 0; i < LENGTH(patterns); i++) {
		double value;

		memcpy(&value, &patterns[i], sizeof(value));
		snapshot_init(&snapshot, 1000 + (int64_t)i);
		add(&snapshot, &open_files, "pid", "1", value);
		assert_int_equal(encode(received, &snapshot), 0);
		assert_int_equal(received->count, 1);
		assert_int_equal(received->series[0].bits, 0x7ff8000000000001);
	}
	snapshot_init(&snapshot, 2000);
	add(&snapshot, &open_files, "pid", "1", -INFINITY);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->series[0].bits, 0xfff0000000000000);
	end(received);
}

static void expect_batches(const struct received *received, const uint32_t *sizes,
			   size_t count)
{
	assert_int_equal(received->batch_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(received->batch_samples[i], sizes[i]);
}

static void batches_hold_at_most_samples_max(void **state)
{
	static const char *const codes[] = {"200", "201", "202", "203", "204"};
	static const struct {
		uint32_t samples_max;
		uint32_t sizes[6];
		size_t count;
	} cases[] = {
	    {1, {1, 1, 1, 1, 1}, 5}, {2, {2, 2, 1}, 3}, {3, {3, 2}, 2},
	    {4, {4, 1}, 2},          {5, {5}, 1},       {6, {5}, 1},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct received *received = receive(&none, cases[i].samples_max);
		struct snapshot snapshot;

		snapshot_init(&snapshot, 1000);
		for (size_t j = 0; j < LENGTH(codes); j++)
			add(&snapshot, &requests, "code", codes[j], (double)j);
		assert_int_equal(encode(received, &snapshot), 0);
		expect_batches(received, cases[i].sizes, cases[i].count);
		for (size_t j = 0; j < LENGTH(codes); j++)
			assert_int_equal(received->series[j].bits, bits_of((double)j));
		/* Markers are cut the same way. */
		snapshot_init(&snapshot, 2000);
		assert_int_equal(encode(received, &snapshot), 0);
		expect_batches(received, cases[i].sizes, cases[i].count);
		end(received);
	}
}

static void a_histogram_is_cut_only_where_no_batch_can_hold_it(void **state)
{
	static const double bounds[] = {1, 2};
	static const uint64_t buckets[] = {1, 1, 1};
	static const struct {
		uint32_t samples_max;
		uint32_t sizes[9];
		size_t count;
	} cases[] = {
	    {1, {1, 1, 1, 1, 1, 1, 1}, 7},
	    {3, {2, 3, 2}, 3},
	    {4, {2, 4, 1}, 3},
	    {5, {2, 5}, 2},
	    {6, {2, 5}, 2},
	    {7, {7}, 1},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct received *received = receive(&none, cases[i].samples_max);
		struct snapshot snapshot;

		snapshot_init(&snapshot, 1000);
		add(&snapshot, &requests, "code", "200", 1);
		add(&snapshot, &requests, "code", "201", 1);
		add_histogram(&snapshot, bounds, LENGTH(bounds), buckets, 3);
		assert_int_equal(encode(received, &snapshot), 0);
		expect_batches(received, cases[i].sizes, cases[i].count);
		snapshot_init(&snapshot, 2000);
		assert_int_equal(encode(received, &snapshot), 0);
		expect_batches(received, cases[i].sizes, cases[i].count);
		for (size_t j = 0; j < received->count; j++)
			assert_int_equal(received->series[j].bits, STALE);
		end(received);
	}
}

static void a_summary_is_cut_only_where_no_batch_can_hold_it(void **state)
{
	static const double quantiles[] = {0.5, 1}, values[] = {1, 2};
	static const struct {
		uint32_t samples_max;
		uint32_t sizes[5];
		size_t count;
	} cases[] = {
	    {1, {1, 1, 1, 1, 1}, 5},
	    {3, {1, 3, 1}, 3},
	    {4, {1, 4}, 2},
	    {5, {5}, 1},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct summary summary = {quantiles, values, 2, 18, 6.25};
		struct received *received = receive(&none, cases[i].samples_max);
		struct snapshot snapshot;

		snapshot_init(&snapshot, 1000);
		add(&snapshot, &requests, "code", "200", 1);
		add_summary(&snapshot, &summary);
		assert_int_equal(encode(received, &snapshot), 0);
		expect_batches(received, cases[i].sizes, cases[i].count);
		snapshot_init(&snapshot, 2000);
		assert_int_equal(encode(received, &snapshot), 0);
		expect_batches(received, cases[i].sizes, cases[i].count);
		end(received);
	}
}

static void a_batch_stays_far_below_what_receivers_refuse(void **state)
{
	struct received *received = receive(&none, 50000);
	struct snapshot snapshot;
	char *value = malloc(65536);

	(void)state;
	memset(value, 'x', 65535);
	value[65535] = 0;
	snapshot_init(&snapshot, 1000);
	for (int i = 0; i < 300; i++) { /* 19 MB of labels */
		char *unique = snapshot_alloc(&snapshot, 65536);

		memcpy(unique, value, 65536);
		unique[snprintf(unique, 8, "%d", i)] = '-';
		add(&snapshot, &requests, "path", unique, i);
	}
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, 300);
	assert_int_equal(received->batch_count, 5);
	assert_true(received->largest_batch_bytes < (4 << 20) + (1 << 17));
	free(value);
	end(received);
}

static void a_series_never_goes_back_in_time(void **state)
{
	static const struct {
		int64_t clock_ms, sent_ms;
	} cases[] = {
	    {5000000, 5000000}, {5000000, 5000001}, /* twice in a millisecond */
	    {5000000, 5000002}, {4400003, 5000003}, /* ten minutes back, nearly */
	    {5000004, 5000004}, {4400003, 4400003}, /* more: the clock was wrong */
	    {4400010, 4400010},
	};
	struct received *received = receive(&none, 100);

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct snapshot snapshot;

		snapshot_init(&snapshot, cases[i].clock_ms);
		add(&snapshot, &requests, "code", "200", 1);
		assert_int_equal(encode(received, &snapshot), 0);
		assert_int_equal(received->series[0].time_ms, cases[i].sent_ms);
		assert_int_equal(received->batch_time_ms, cases[i].sent_ms);
	}
	end(received);
}

static void a_metric_that_was_added_twice_is_sent_once(void **state)
{
	struct received *received = receive(&none, 100);
	struct snapshot snapshot;

	(void)state;
	for (int64_t time_ms = 1000; time_ms <= 2000; time_ms += 1000) {
		snapshot_init(&snapshot, time_ms);
		add(&snapshot, &requests, "code", "200", 1);
		add(&snapshot, &requests, "code", "200", 1);
		add(&snapshot, &requests, "code", "201", 1);
		assert_int_equal(encode(received, &snapshot), 0);
		assert_int_equal(received->count, 2);
	}
	snapshot_init(&snapshot, 3000);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, 2);
	end(received);
}

static void a_broken_snapshot_ends_no_series(void **state)
{
	struct received *received = receive(&none, 100);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1000);
	add(&snapshot, &requests, "code", "200", 1);
	add(&snapshot, &requests, "code", "201", 1);
	assert_int_equal(encode(received, &snapshot), 0);

	snapshot_init(&snapshot, 2000);
	add(&snapshot, &requests, "code", "200", 1);
	snapshot.error = -ENOMEM;
	assert_int_equal(encode(received, &snapshot), -ENOMEM);
	assert_int_equal(received->batch_count, 0);

	snapshot_init(&snapshot, 3000);
	assert_int_equal(encode(received, &snapshot), 0);
	assert_int_equal(received->count, 2);
	end(received);
}

static unsigned int next_random(unsigned int *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

/* Every series that is not there now but was last time, and no other. */
static void markers_match_the_difference_of_random_snapshots(void **state)
{
	enum { SERIES = 40, ROUNDS = 60 };
	struct received *received = receive(&none, 7);
	unsigned int seed = 20240229;
	uint64_t was = 0;

	(void)state;
	print_message("seed %u\n", seed);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t is = 0;
		struct snapshot snapshot;
		size_t marked = 0, sent = 0;

		snapshot_init(&snapshot, 1000 + round);
		for (int i = 0; i < SERIES; i++) {
			char *name = snapshot_alloc(&snapshot, 16);

			snprintf(name, 16, "%d", i);
			if (next_random(&seed) % 3)
				continue;
			is |= 1ull << i;
			add(&snapshot, i % 2 ? &requests : &open_files, "i", name, 1);
		}
		assert_int_equal(encode(received, &snapshot), 0);
		for (size_t j = 0; j < received->count; j++) {
			int i = atoi(strrchr(received->series[j].text, '=') + 1);
			bool stale = received->series[j].bits == STALE;

			assert_true(stale ? was >> i & 1 && !(is >> i & 1)
					  : is >> i & 1);
			marked += stale;
			sent += !stale;
		}
		assert_int_equal(sent, __builtin_popcountll(is));
		assert_int_equal(marked, __builtin_popcountll(was & ~is));
		was = is;
	}
	end(received);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_type_has_its_names_and_its_value),
	    cmocka_unit_test(buckets_are_cumulative_with_canonical_bounds),
	    cmocka_unit_test(a_summary_is_a_series_per_quantile_a_sum_and_a_count),
	    cmocka_unit_test(bounds_and_quantiles_of_equal_values_keep_their_labels),
	    cmocka_unit_test(labels_are_sorted_by_byte_and_external_ones_fill_gaps),
	    cmocka_unit_test(a_series_that_vanished_is_marked_stale_once),
	    cmocka_unit_test(an_empty_snapshot_marks_everything_stale_once),
	    cmocka_unit_test(no_value_looks_like_a_stale_marker),
	    cmocka_unit_test(batches_hold_at_most_samples_max),
	    cmocka_unit_test(a_histogram_is_cut_only_where_no_batch_can_hold_it),
	    cmocka_unit_test(a_summary_is_cut_only_where_no_batch_can_hold_it),
	    cmocka_unit_test(a_batch_stays_far_below_what_receivers_refuse),
	    cmocka_unit_test(a_series_never_goes_back_in_time),
	    cmocka_unit_test(a_metric_that_was_added_twice_is_sent_once),
	    cmocka_unit_test(a_broken_snapshot_ends_no_series),
	    cmocka_unit_test(markers_match_the_difference_of_random_snapshots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
