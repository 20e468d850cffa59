/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buckets.h"
#include "exposition.h"
#include "exposition.pb-c.h"
#include "protobuf_reader.h"

#define CEILING ((size_t)64 << 20)
#define FAMILIES_MAX 16

typedef Exposition__MetricFamily family_message;
typedef Exposition__Metric metric_message;
typedef Exposition__Histogram histogram_message;

static const struct family target = {
    .name = "target", .help = "About.", .unit = "", .type = METRIC_INFO, .order = 0};
static const struct family latency = {.name = "request_duration_seconds",
				      .help = "How \"long\"\\\nit took.",
				      .unit = "seconds",
				      .type = METRIC_HISTOGRAM,
				      .order = 1};
static const struct family sizes = {.name = "body_size_bytes",
				    .help = "How big.",
				    .unit = "bytes",
				    .type = METRIC_HISTOGRAM,
				    .order = 2};
static const struct family missed = {
    .name = "missed", .help = "Lost.", .unit = "", .type = METRIC_COUNTER, .order = 3};
static const struct family open_now = {
    .name = "open", .help = "Open.", .unit = "", .type = METRIC_GAUGE, .order = 4};
static const struct family waits = {.name = "wait_seconds",
				    .help = "Waits.",
				    .unit = "seconds",
				    .type = METRIC_SUMMARY,
				    .order = 5};

static const double seconds[] = {0.0001, 0.005, 1, 10};
static const uint64_t latencies[] = {1, 2, 0, 3, 4};

/* --- the other end ------------------------------------------------------------- */

struct decoded {
	family_message *families[FAMILIES_MAX];
	size_t count;
};

/* All of the bytes, or the test fails. */
static struct decoded decode(const struct buf *bytes)
{
	const unsigned char *data = (const unsigned char *)bytes->data;
	struct bytes left = {data, data + bytes->len};
	struct decoded decoded = {0};

	while (left.at < left.end) {
		struct bytes message = take_message(&left);
		family_message *family = exposition__metric_family__unpack(
		    NULL, (size_t)(message.end - message.at), message.at);

		assert_non_null(family);
		assert_true(decoded.count < FAMILIES_MAX);
		decoded.families[decoded.count++] = family;
	}
	return decoded;
}

static void decoded_free(struct decoded *decoded)
{
	for (size_t i = 0; i < decoded->count; i++)
		exposition__metric_family__free_unpacked(decoded->families[i], NULL);
}

/* By pieces of so many bytes; the error of the last one. */
static int write_by(const struct snapshot *snapshot, size_t enough, struct buf *ret_all)
{
	struct buf piece = BUF_INIT(CEILING);
	struct exposition_writer *writer = NULL;
	bool more;
	int err;

	assert_int_equal(exposition_writer_create(snapshot, &writer), 0);
	do {
		buf_clear(&piece);
		more = exposition_writer_next(writer, &piece, enough);
		buf_append(ret_all, piece.data, piece.len);
		err = piece.error;
	} while (more && !err);
	exposition_writer_free(&writer);
	assert_null(writer);
	exposition_writer_free(&writer);
	buf_free(&piece);
	return err;
}

static struct decoded written(struct snapshot *snapshot)
{
	struct buf bytes = BUF_INIT(CEILING);
	struct decoded decoded;

	assert_int_equal(snapshot_finish(snapshot), 0);
	assert_int_equal(write_by(snapshot, SIZE_MAX, &bytes), 0);
	decoded = decode(&bytes);
	buf_free(&bytes);
	return decoded;
}

static void assert_label(const metric_message *metric, size_t i, const char *name,
			 const char *value)
{
	assert_true(i < metric->n_label);
	assert_string_equal(metric->label[i]->name, name);
	assert_string_equal(metric->label[i]->value, value);
}

/* --- each type ------------------------------------------------------------------- */

static void fill(struct snapshot *snapshot)
{
	static const double quantiles[] = {0.5, 0.99}, values[] = {0.25, NAN};
	const struct histogram durations = {.bounds = seconds,
					    .bound_count = 4,
					    .buckets = latencies,
					    .sum = 12.345678901};
	const struct summary wait = {quantiles, values, 2, 41, 7.5};
	const struct label hostile = {"service_name", "a\\b\"c\nd\xc3\xa9"};
	const struct label labels[] = {{"service_name", "x"}, {"method", "GET"}};
	const struct label reason = {"reason", "tls"};

	snapshot_init(snapshot, 0);
	snapshot_value(snapshot, &open_now, (struct label_set){0}, 0);
	snapshot_value(snapshot, &open_now, snapshot_labels(snapshot, &reason, 1), 0.5);
	snapshot_value(snapshot, &missed, snapshot_labels(snapshot, &reason, 1), 0);
	snapshot_summary(snapshot, &waits, (struct label_set){0}, &wait);
	snapshot_histogram(snapshot, &latency, snapshot_labels(snapshot, labels, 2),
			   &durations);
	snapshot_value(snapshot, &target, snapshot_labels(snapshot, &hostile, 1), 1);
	assert_int_equal(snapshot_finish(snapshot), 0);
}

static void assert_family(const family_message *family, const char *name,
			  Exposition__MetricType type, const char *help,
			  const char *unit, size_t count)
{
	assert_string_equal(family->name, name);
	assert_true(family->has_type);
	assert_int_equal(family->type, type);
	assert_string_equal(family->help, help);
	if (unit)
		assert_string_equal(family->unit, unit);
	else
		assert_null(family->unit);
	assert_int_equal(family->n_metric, count);
}

static void families_have_the_names_and_types_of_the_text_format(void **state)
{
	struct snapshot snapshot;
	struct decoded decoded;

	(void)state;
	fill(&snapshot);
	decoded = written(&snapshot);
	assert_int_equal(decoded.count, 5);
	assert_family(decoded.families[0], "target_info",
		      EXPOSITION__METRIC_TYPE__GAUGE, "About.", NULL, 1);
	assert_family(decoded.families[1], "request_duration_seconds",
		      EXPOSITION__METRIC_TYPE__HISTOGRAM, "How \"long\"\\\nit took.",
		      "seconds", 1);
	assert_family(decoded.families[2], "missed_total",
		      EXPOSITION__METRIC_TYPE__COUNTER, "Lost.", NULL, 1);
	assert_family(decoded.families[3], "open", EXPOSITION__METRIC_TYPE__GAUGE,
		      "Open.", NULL, 2);
	assert_family(decoded.families[4], "wait_seconds",
		      EXPOSITION__METRIC_TYPE__SUMMARY, "Waits.", "seconds", 1);
	decoded_free(&decoded);
	snapshot_free(&snapshot);
}

static void labels_are_told_as_they_are(void **state)
{
	const metric_message *metric;
	struct snapshot snapshot;
	struct decoded decoded;

	(void)state;
	fill(&snapshot);
	decoded = written(&snapshot);
	assert_label(decoded.families[0]->metric[0], 0, "service_name",
		     "a\\b\"c\nd\xc3\xa9");
	metric = decoded.families[1]->metric[0];
	assert_int_equal(metric->n_label, 2);
	assert_label(metric, 0, "method", "GET");
	assert_label(metric, 1, "service_name", "x");
	assert_int_equal(decoded.families[3]->metric[0]->n_label, 0);
	assert_label(decoded.families[3]->metric[1], 0, "reason", "tls");
	decoded_free(&decoded);
	snapshot_free(&snapshot);
}

static void a_value_of_zero_has_its_message_and_its_field(void **state)
{
	const metric_message *counter, *gauge;
	struct snapshot snapshot;
	struct decoded decoded;

	(void)state;
	fill(&snapshot);
	decoded = written(&snapshot);
	counter = decoded.families[2]->metric[0];
	assert_non_null(counter->counter);
	assert_true(counter->counter->has_value);
	assert_true(counter->counter->value == 0);
	assert_null(counter->gauge);
	gauge = decoded.families[3]->metric[0];
	assert_non_null(gauge->gauge);
	assert_true(gauge->gauge->has_value);
	assert_true(gauge->gauge->value == 0);
	assert_null(gauge->counter);
	assert_true(decoded.families[3]->metric[1]->gauge->value == 0.5);
	assert_true(decoded.families[0]->metric[0]->gauge->value == 1);
	decoded_free(&decoded);
	snapshot_free(&snapshot);
}

static void a_summary_has_its_quantiles(void **state)
{
	const Exposition__Summary *summary;
	struct snapshot snapshot;
	struct decoded decoded;

	(void)state;
	fill(&snapshot);
	decoded = written(&snapshot);
	summary = decoded.families[4]->metric[0]->summary;
	assert_non_null(summary);
	assert_int_equal(summary->sample_count, 41);
	assert_true(summary->sample_sum == 7.5);
	assert_int_equal(summary->n_quantile, 2);
	assert_true(summary->quantile[0]->quantile == 0.5);
	assert_true(summary->quantile[0]->value == 0.25);
	assert_true(summary->quantile[1]->quantile == 0.99);
	assert_true(isnan(summary->quantile[1]->value));
	decoded_free(&decoded);
	snapshot_free(&snapshot);
}

static void classic_buckets_are_cumulative_and_infinity_is_the_count(void **state)
{
	static const uint64_t cumulative[] = {1, 3, 3, 6};
	const histogram_message *histogram;
	struct snapshot snapshot;
	struct decoded decoded;

	(void)state;
	fill(&snapshot);
	decoded = written(&snapshot);
	histogram = decoded.families[1]->metric[0]->histogram;
	assert_non_null(histogram);
	assert_int_equal(histogram->sample_count, 10);
	assert_true(histogram->sample_sum == 12.345678901);
	assert_int_equal(histogram->n_bucket, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(histogram->bucket[i]->cumulative_count, cumulative[i]);
		assert_true(histogram->bucket[i]->upper_bound == seconds[i]);
	}
	assert_false(histogram->has_schema);
	assert_false(histogram->has_zero_threshold);
	assert_int_equal(histogram->n_positive_span, 0);
	decoded_free(&decoded);
	snapshot_free(&snapshot);
}

static void assert_start(const Exposition__Timestamp *start, int64_t seconds_wanted,
			 int32_t nanos)
{
	assert_non_null(start);
	assert_int_equal(start->seconds, seconds_wanted);
	assert_int_equal(start->nanos, nanos);
}

static void add_counter_since(struct snapshot *snapshot, const char *value,
			      int64_t start_ms)
{
	static const struct family family = {
	    .name = "things", .help = "Things.", .unit = "", .type = METRIC_COUNTER};
	const struct label label = {"of", value};

	snapshot_counter_since(snapshot, &family, snapshot_labels(snapshot, &label, 1),
			       1, start_ms);
}

static void counters_say_since_when_where_the_snapshot_knows(void **state)
{
	struct snapshot snapshot;
	struct decoded decoded;

	(void)state;
	fill(&snapshot);
	decoded = written(&snapshot);
	assert_null(decoded.families[1]->metric[0]->histogram->start_timestamp);
	assert_null(decoded.families[2]->metric[0]->counter->start_timestamp);
	assert_null(decoded.families[4]->metric[0]->summary->start_timestamp);
	decoded_free(&decoded);
	snapshot.start_ms = 1785715200042;
	decoded = written(&snapshot);
	assert_start(decoded.families[1]->metric[0]->histogram->start_timestamp,
		     1785715200, 42000000);
	assert_start(decoded.families[2]->metric[0]->counter->start_timestamp,
		     1785715200, 42000000);
	assert_start(decoded.families[4]->metric[0]->summary->start_timestamp,
		     1785715200, 42000000);
	decoded_free(&decoded);
	snapshot_free(&snapshot);
}

static void a_counter_may_say_its_own_start(void **state)
{
	struct snapshot snapshot;
	struct decoded decoded;

	(void)state;
	snapshot_init(&snapshot, 0);
	snapshot.start_ms = 1785715200042;
	add_counter_since(&snapshot, "a", 1785700000007);
	add_counter_since(&snapshot, "b", 0);
	snapshot_finish(&snapshot);
	decoded = written(&snapshot);
	assert_start(decoded.families[0]->metric[0]->counter->start_timestamp,
		     1785700000, 7000000);
	assert_start(decoded.families[0]->metric[1]->counter->start_timestamp,
		     1785715200, 42000000);
	decoded_free(&decoded);
	snapshot_free(&snapshot);
}

/* --- native histograms ------------------------------------------------------------ */

/* The counts by the index that the format gives a bucket. */
struct unrolled {
	uint64_t finite[NATIVE_LAST - NATIVE_FIRST + 1];
	uint64_t infinite;
};

static void put_count(struct unrolled *unrolled, int32_t bucket, int64_t count)
{
	assert_true(count >= 0);
	if (bucket == 8193) {
		unrolled->infinite = (uint64_t)count;
		return;
	}
	assert_in_range(bucket - NATIVE_FIRST, 0, NATIVE_LAST - NATIVE_FIRST);
	unrolled->finite[bucket - NATIVE_FIRST] = (uint64_t)count;
}

static struct unrolled unroll(const histogram_message *histogram)
{
	struct unrolled unrolled = {0};
	int32_t bucket = 0;
	int64_t count = 0;
	size_t delta = 0;

	for (size_t i = 0; i < histogram->n_positive_span; i++) {
		const Exposition__BucketSpan *span = histogram->positive_span[i];

		assert_true(span->has_offset && span->has_length && span->length);
		assert_true(!i || span->offset > 0);
		bucket += span->offset;
		for (uint32_t j = 0; j < span->length; j++) {
			assert_true(delta < histogram->n_positive_delta);
			count += histogram->positive_delta[delta++];
			put_count(&unrolled, bucket++, count);
		}
	}
	assert_int_equal(delta, histogram->n_positive_delta);
	return unrolled;
}

static uint64_t sum_of(const uint64_t *counts, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += counts[i];
	return sum;
}

static struct decoded native_written(const uint64_t *native)
{
	const struct histogram histogram = {.bounds = seconds,
					    .bound_count = 4,
					    .buckets = latencies,
					    .native = native};
	struct snapshot snapshot;
	struct decoded decoded;

	snapshot_init(&snapshot, 0);
	snapshot_histogram(&snapshot, &latency, (struct label_set){0}, &histogram);
	decoded = written(&snapshot);
	snapshot_free(&snapshot);
	return decoded;
}

static void assert_native(const uint64_t *native)
{
	struct decoded decoded = native_written(native);
	const histogram_message *histogram = decoded.families[0]->metric[0]->histogram;
	struct unrolled unrolled = unroll(histogram);

	assert_true(histogram->has_schema && histogram->schema == 3);
	assert_true(histogram->has_zero_threshold);
	assert_true(histogram->zero_threshold == ldexp(1, -20));
	assert_true(histogram->has_zero_count);
	assert_int_equal(histogram->zero_count, native[0]);
	assert_memory_equal(unrolled.finite, native + 1, sizeof(unrolled.finite));
	assert_int_equal(unrolled.infinite, native[NATIVE_BUCKETS - 1]);
	assert_int_equal(histogram->sample_count, sum_of(native, NATIVE_BUCKETS));
	decoded_free(&decoded);
}

static void native_buckets_read_back(void **state)
{
	static uint64_t native[NATIVE_BUCKETS];
	unsigned int seed = 20260803;

	(void)state;
	print_message("seed %u\n", seed);
	assert_native(native); /* nothing observed: a native histogram all the same */
	for (size_t i = 0; i < NATIVE_BUCKETS; i++) {
		native[i] = UINT32_MAX + i;
		assert_native(native);
		native[i] = 0;
	}
	for (int i = 0; i < 2000; i++) {
		int one_in = 1 + rand_r(&seed) % 8;

		for (size_t j = 0; j < NATIVE_BUCKETS; j++)
			native[j] = rand_r(&seed) % one_in
					? 0
					: (uint64_t)rand_r(&seed) >> rand_r(&seed) % 31;
		assert_native(native);
	}
}

/* Every fourth: as many spans as there can be. */
static void spans_go_over_gaps_of_two(void **state)
{
	uint64_t native[NATIVE_BUCKETS] = {0};
	const histogram_message *histogram;
	struct decoded decoded;

	(void)state;
	for (size_t i = 1; i < NATIVE_BUCKETS; i += 4)
		native[i] = i;
	assert_native(native);
	decoded = native_written(native);
	histogram = decoded.families[0]->metric[0]->histogram;
	assert_int_equal(histogram->n_positive_span, 53);
	assert_int_equal(histogram->positive_span[0]->offset, -159);
	assert_int_equal(histogram->positive_span[1]->offset, 3);
	decoded_free(&decoded);
	memset(native, 0, sizeof(native));
	native[1] = native[4] = 5;
	decoded = native_written(native);
	histogram = decoded.families[0]->metric[0]->histogram;
	assert_int_equal(histogram->n_positive_span, 1);
	assert_int_equal(histogram->positive_span[0]->length, 4);
	assert_int_equal(histogram->n_positive_delta, 4);
	decoded_free(&decoded);
}

/* The bounds of schema 3 are 2^(i/8) s: of all our buckets, whole nanoseconds. */
static void a_bucket_has_the_index_that_its_bound_means(void **state)
{
	(void)state;
	for (int32_t i = NATIVE_FIRST - 1; i <= NATIVE_LAST; i++) {
		double bound_ns =
		    1e9 * exp2(i / 8.0); /* never near a whole number but at one */
		uint64_t whole = native_bounds_ns[i - NATIVE_FIRST + 1];

		assert_true(fabs(floor(bound_ns + 1e-3) - (double)whole) < 0.5);
	}
	assert_int_equal(native_bounds_ns[0], NATIVE_ZERO_NS);
}

/* Read while the kernel counts: a request may be in one of the two. */
static void classic_buckets_never_exceed_the_native_count(void **state)
{
	static const uint64_t held[] = {1, 3, 3, 5}; /* 6 is one more than there are */
	uint64_t native[NATIVE_BUCKETS] = {0};
	const histogram_message *histogram;
	struct decoded decoded;

	(void)state;
	native[100] = 5;
	decoded = native_written(native);
	histogram = decoded.families[0]->metric[0]->histogram;
	assert_int_equal(histogram->sample_count, 5);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(histogram->bucket[i]->cumulative_count, held[i]);
	decoded_free(&decoded);
}

/* --- the stream --------------------------------------------------------------------
 */

static void fill_large(struct snapshot *snapshot, size_t count)
{
	static uint64_t native[NATIVE_BUCKETS];
	const struct histogram histogram = {.bounds = seconds,
					    .bound_count = 4,
					    .buckets = latencies,
					    .native = native};

	for (size_t i = 0; i < NATIVE_BUCKETS; i += 9)
		native[i] = i;
	snapshot_init(snapshot, 0);
	for (size_t i = 0; i < count; i++) {
		char *text = snapshot_alloc(snapshot, 24);
		struct label label = {"i", text};

		snprintf(text, 24, "%zu", i);
		snapshot_histogram(snapshot, i % 2 ? &latency : &sizes,
				   snapshot_labels(snapshot, &label, 1), &histogram);
	}
	assert_int_equal(snapshot_finish(snapshot), 0);
}

static void pieces_of_any_size_are_the_same_bytes(void **state)
{
	static const size_t sizes_of_pieces[] = {1, 300, 65536};
	struct buf whole = BUF_INIT(CEILING);
	struct snapshot snapshot;
	struct decoded decoded;

	(void)state;
	fill_large(&snapshot, 3000);
	assert_int_equal(write_by(&snapshot, SIZE_MAX, &whole), 0);
	for (size_t i = 0; i < 3; i++) {
		struct buf bytes = BUF_INIT(CEILING);

		assert_int_equal(write_by(&snapshot, sizes_of_pieces[i], &bytes), 0);
		assert_int_equal(bytes.len, whole.len);
		assert_memory_equal(bytes.data, whole.data, whole.len);
		buf_free(&bytes);
	}
	decoded = decode(&whole);
	assert_int_equal(decoded.count, 2);
	assert_int_equal(decoded.families[0]->n_metric, 1500);
	assert_int_equal(decoded.families[1]->n_metric, 1500);
	decoded_free(&decoded);
	buf_free(&whole);
	snapshot_free(&snapshot);
}

static void a_piece_holds_one_metric_more_than_was_asked_for(void **state)
{
	struct exposition_writer *writer = NULL;
	struct buf piece = BUF_INIT(CEILING);
	struct snapshot snapshot;
	bool more = true;

	(void)state;
	fill_large(&snapshot, 20000);
	assert_int_equal(exposition_writer_create(&snapshot, &writer), 0);
	while (more) {
		buf_clear(&piece);
		more = exposition_writer_next(writer, &piece, 10000);
		assert_int_equal(piece.error, 0);
		assert_true(piece.len < 11000);
	}
	exposition_writer_free(&writer);
	buf_free(&piece);
	snapshot_free(&snapshot);
}

static void nothing_is_no_byte(void **state)
{
	struct buf bytes = BUF_INIT(CEILING);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	assert_int_equal(write_by(&snapshot, SIZE_MAX, &bytes), 0);
	assert_int_equal(bytes.len, 0);
	buf_free(&bytes);
	snapshot_free(&snapshot);
}

static void what_is_too_large_is_refused_before_its_family_begins(void **state)
{
	static const double many[64];
	static const uint64_t counts[65];
	const struct histogram bounds = {
	    .bounds = many, .bound_count = 64, .buckets = counts};
	const struct summary quantiles = {.quantiles = many, .values = many, 64, 0, 0};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct buf bytes = BUF_INIT(CEILING);
		struct snapshot snapshot;
		size_t len = (size_t)2 << 20;

		snapshot_init(&snapshot, 0);
		if (i == 0) {
			snapshot_histogram(&snapshot, &latency, (struct label_set){0},
					   &bounds);
		} else if (i == 1) {
			snapshot_summary(&snapshot, &waits, (struct label_set){0},
					 &quantiles);
		} else {
			char *text =
			    memset(snapshot_alloc(&snapshot, len + 1), 'x', len);
			struct label label = {"x", text};

			snapshot_value(&snapshot, &open_now, (struct label_set){0}, 1);
			snapshot_value(&snapshot, &open_now,
				       snapshot_labels(&snapshot, &label, 1), 1);
		}
		assert_int_equal(snapshot_finish(&snapshot), 0);
		assert_int_equal(write_by(&snapshot, 1, &bytes), -E2BIG);
		assert_int_equal(bytes.len, 0);
		buf_free(&bytes);
		snapshot_free(&snapshot);
	}
}

static void a_full_buffer_ends_it(void **state)
{
	struct exposition_writer *writer = NULL;
	struct buf piece = BUF_INIT(1000);
	struct snapshot snapshot;

	(void)state;
	fill_large(&snapshot, 100);
	assert_int_equal(exposition_writer_create(&snapshot, &writer), 0);
	assert_true(exposition_writer_next(writer, &piece, SIZE_MAX));
	assert_int_equal(piece.error, -E2BIG);
	exposition_writer_free(&writer);
	buf_free(&piece);
	snapshot_free(&snapshot);
}

static void content_types_are_those_of_the_specifications(void **state)
{
	(void)state;
	assert_string_equal(exposition_content_type(EXPOSITION_TEXT),
			    "text/plain; version=0.0.4; charset=utf-8");
	assert_string_equal(
	    exposition_content_type(EXPOSITION_OPENMETRICS),
	    "application/openmetrics-text; version=1.0.0; charset=utf-8");
	assert_string_equal(
	    exposition_content_type(EXPOSITION_PROTOBUF),
	    "application/vnd.google.protobuf; "
	    "proto=io.prometheus.client.MetricFamily; encoding=delimited");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(families_have_the_names_and_types_of_the_text_format),
	    cmocka_unit_test(labels_are_told_as_they_are),
	    cmocka_unit_test(a_value_of_zero_has_its_message_and_its_field),
	    cmocka_unit_test(a_summary_has_its_quantiles),
	    cmocka_unit_test(classic_buckets_are_cumulative_and_infinity_is_the_count),
	    cmocka_unit_test(counters_say_since_when_where_the_snapshot_knows),
	    cmocka_unit_test(a_counter_may_say_its_own_start),
	    cmocka_unit_test(native_buckets_read_back),
	    cmocka_unit_test(spans_go_over_gaps_of_two),
	    cmocka_unit_test(a_bucket_has_the_index_that_its_bound_means),
	    cmocka_unit_test(classic_buckets_never_exceed_the_native_count),
	    cmocka_unit_test(pieces_of_any_size_are_the_same_bytes),
	    cmocka_unit_test(a_piece_holds_one_metric_more_than_was_asked_for),
	    cmocka_unit_test(nothing_is_no_byte),
	    cmocka_unit_test(what_is_too_large_is_refused_before_its_family_begins),
	    cmocka_unit_test(a_full_buffer_ends_it),
	    cmocka_unit_test(content_types_are_those_of_the_specifications),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
