/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buckets.h"
#include "text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CEILING ((size_t)1 << 20)

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
static const double bytes[] = {0, 65536, 1048576, 134217728};

static void fill(struct snapshot *snapshot)
{
	static const uint64_t latencies[] = {1, 2, 0, 3, 4};
	static const uint64_t nothing[5];
	const struct histogram durations = {.bounds = seconds,
					    .bound_count = 4,
					    .buckets = latencies,
					    .sum = 12.345678901};
	const struct histogram empty = {
	    .bounds = bytes, .bound_count = 4, .buckets = nothing};
	const struct label hostile = {"service_name", "a\\b\"c\nd\xc3\xa9"};
	const struct label method[] = {{"service_name", "x"}, {"method", "GET"}};
	const struct label reason = {"reason", "tls"};

	snapshot_init(snapshot, 0);
	snapshot_value(snapshot, &open_now, (struct label_set){0}, 3);
	snapshot_value(snapshot, &open_now, snapshot_labels(snapshot, &reason, 1), 0.5);
	snapshot_value(snapshot, &missed, snapshot_labels(snapshot, &reason, 1), 7);
	snapshot_histogram(snapshot, &sizes, (struct label_set){0}, &empty);
	snapshot_histogram(snapshot, &latency, snapshot_labels(snapshot, method, 2),
			   &durations);
	snapshot_value(snapshot, &target, snapshot_labels(snapshot, &hostile, 1), 1);
	assert_int_equal(snapshot_finish(snapshot), 0);
}

/* What both formats share, but for the heads of the families. */
#define SAMPLES_TARGET "target_info{service_name=\"a\\\\b\\\"c\\nd\xc3\xa9\"} 1\n"
#define SAMPLES_LATENCY                                                                \
	"request_duration_seconds_bucket{method=\"GET\",service_name=\"x\",le=\"0."    \
	"0001\"} 1\n"                                                                  \
	"request_duration_seconds_bucket{method=\"GET\",service_name=\"x\",le=\"0."    \
	"005\"} 3\n"                                                                   \
	"request_duration_seconds_bucket{method=\"GET\",service_name=\"x\",le=\"1."    \
	"0\"} 3\n"                                                                     \
	"request_duration_seconds_bucket{method=\"GET\",service_name=\"x\",le=\"10."   \
	"0\"} 6\n"                                                                     \
	"request_duration_seconds_bucket{method=\"GET\",service_name=\"x\",le=\"+"     \
	"Inf\"} 10\n"                                                                  \
	"request_duration_seconds_count{method=\"GET\",service_name=\"x\"} 10\n"       \
	"request_duration_seconds_sum{method=\"GET\",service_name=\"x\"} "             \
	"12.345678901\n"
#define SAMPLES_SIZES                                                                  \
	"body_size_bytes_bucket{le=\"0.0\"} 0\n"                                       \
	"body_size_bytes_bucket{le=\"65536.0\"} 0\n"                                   \
	"body_size_bytes_bucket{le=\"1.048576e+06\"} 0\n"                              \
	"body_size_bytes_bucket{le=\"1.34217728e+08\"} 0\n"                            \
	"body_size_bytes_bucket{le=\"+Inf\"} 0\n"                                      \
	"body_size_bytes_count 0\n"                                                    \
	"body_size_bytes_sum 0\n"
#define SAMPLES_MISSED "missed_total{reason=\"tls\"} 7\n"
#define SAMPLES_OPEN                                                                   \
	"open 3\n"                                                                     \
	"open{reason=\"tls\"} 0.5\n"

static const char prometheus_text[] =
    "# TYPE target_info gauge\n"
    "# HELP target_info About.\n" SAMPLES_TARGET
    "# TYPE request_duration_seconds histogram\n"
    "# HELP request_duration_seconds How \"long\"\\\\\\nit took.\n" SAMPLES_LATENCY
    "# TYPE body_size_bytes histogram\n"
    "# HELP body_size_bytes How big.\n" SAMPLES_SIZES "# TYPE missed_total counter\n"
    "# HELP missed_total Lost.\n" SAMPLES_MISSED "# TYPE open gauge\n"
    "# HELP open Open.\n" SAMPLES_OPEN;

static const char openmetrics_text[] =
    "# TYPE target info\n"
    "# HELP target About.\n" SAMPLES_TARGET
    "# TYPE request_duration_seconds histogram\n"
    "# UNIT request_duration_seconds seconds\n"
    "# HELP request_duration_seconds How \\\"long\\\"\\\\\\nit took.\n" SAMPLES_LATENCY
    "# TYPE body_size_bytes histogram\n"
    "# UNIT body_size_bytes bytes\n"
    "# HELP body_size_bytes How big.\n" SAMPLES_SIZES "# TYPE missed counter\n"
    "# HELP missed Lost.\n" SAMPLES_MISSED "# TYPE open gauge\n"
    "# HELP open Open.\n" SAMPLES_OPEN "# EOF\n";

static void check_written(const struct snapshot *snapshot, enum text_format format,
			  const char *wanted)
{
	struct buf out = BUF_INIT(CEILING);

	text_write(&out, snapshot, format);
	buf_append(&out, "", 1);
	assert_int_equal(out.error, 0);
	assert_string_equal(out.data, wanted);
	buf_free(&out);
}

static void prometheus_text_is_exact(void **state)
{
	struct snapshot snapshot;

	(void)state;
	fill(&snapshot);
	check_written(&snapshot, TEXT_PROMETHEUS_0_0_4, prometheus_text);
	snapshot_free(&snapshot);
}

static void openmetrics_text_is_exact(void **state)
{
	struct snapshot snapshot;

	(void)state;
	fill(&snapshot);
	check_written(&snapshot, TEXT_OPENMETRICS_1_0, openmetrics_text);
	snapshot_free(&snapshot);
}

static void nothing_is_nothing_but_the_end_of_openmetrics(void **state)
{
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	check_written(&snapshot, TEXT_PROMETHEUS_0_0_4, "");
	check_written(&snapshot, TEXT_OPENMETRICS_1_0, "# EOF\n");
	snapshot_free(&snapshot);
}

static void pieces_of_every_size_are_the_whole(void **state)
{
	struct snapshot snapshot;

	(void)state;
	fill(&snapshot);
	for (size_t enough = 1; enough <= strlen(openmetrics_text) + 1; enough++) {
		struct buf out = BUF_INIT(CEILING), piece = BUF_INIT(CEILING);
		struct text_writer *writer = NULL;
		bool more = true;

		assert_int_equal(
		    text_writer_create(&snapshot, TEXT_OPENMETRICS_1_0, &writer), 0);
		while (more) {
			buf_clear(&piece);
			more = text_writer_next(writer, &piece, enough);
			assert_true(!more || piece.len >= enough);
			buf_append(&out, piece.data, piece.len);
		}
		assert_int_equal(out.len, strlen(openmetrics_text));
		assert_memory_equal(out.data, openmetrics_text, out.len);
		text_writer_free(&writer);
		assert_null(writer);
		buf_free(&piece);
		buf_free(&out);
	}
	snapshot_free(&snapshot);
}

#define SAMPLES_WAITS                                                                  \
	"wait_seconds{quantile=\"0.5\"} NaN\n"                                         \
	"wait_seconds{quantile=\"0.99\"} NaN\n"                                        \
	"wait_seconds_count 3\n"                                                       \
	"wait_seconds_sum 0.25\n"                                                      \
	"wait_seconds{method=\"GET\",quantile=\"0.0\"} 0.001\n"                        \
	"wait_seconds{method=\"GET\",quantile=\"0.5\"} 0.05\n"                         \
	"wait_seconds{method=\"GET\",quantile=\"1.0\"} 2\n"                            \
	"wait_seconds_count{method=\"GET\"} 9007199254740993\n"                        \
	"wait_seconds_sum{method=\"GET\"} 12.5\n"                                      \
	"wait_seconds_count{method=\"PUT\"} 0\n"                                       \
	"wait_seconds_sum{method=\"PUT\"} NaN\n"

static void summaries_say_nan_where_nothing_was_seen(void **state)
{
	static const double some[] = {0.5, 0.99}, nothing[] = {NAN, NAN};
	static const double edges[] = {0, 0.5, 1}, values[] = {0.001, 0.05, 2};
	const struct label get = {"method", "GET"}, put = {"method", "PUT"};
	const struct summary idle = {some, nothing, 2, 3, 0.25};
	const struct summary full = {edges, values, 3, 9007199254740993u, 12.5};
	const struct summary without = {.sum = NAN};
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	snapshot_summary(&snapshot, &waits, (struct label_set){0}, &idle);
	snapshot_summary(&snapshot, &waits, snapshot_labels(&snapshot, &get, 1), &full);
	snapshot_summary(&snapshot, &waits, snapshot_labels(&snapshot, &put, 1),
			 &without);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	check_written(&snapshot, TEXT_PROMETHEUS_0_0_4,
		      "# TYPE wait_seconds summary\n"
		      "# HELP wait_seconds Waits.\n" SAMPLES_WAITS);
	check_written(&snapshot, TEXT_OPENMETRICS_1_0,
		      "# TYPE wait_seconds summary\n"
		      "# UNIT wait_seconds seconds\n"
		      "# HELP wait_seconds Waits.\n" SAMPLES_WAITS "# EOF\n");
	snapshot_free(&snapshot);
}

static void content_types_name_the_version(void **state)
{
	(void)state;
	assert_string_equal(text_content_type(TEXT_PROMETHEUS_0_0_4),
			    "text/plain; version=0.0.4; charset=utf-8");
	assert_string_equal(
	    text_content_type(TEXT_OPENMETRICS_1_0),
	    "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

static void counts_above_2_to_53_are_written_in_full(void **state)
{
	static const double bounds[] = {1};
	static const uint64_t buckets[] = {9007199254740993u,
					   UINT64_MAX - 9007199254740993u};
	const struct histogram histogram = {
	    .bounds = bounds, .bound_count = 1, .buckets = buckets};
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	snapshot_histogram(&snapshot, &sizes, (struct label_set){0}, &histogram);
	check_written(&snapshot, TEXT_PROMETHEUS_0_0_4,
		      "# TYPE body_size_bytes histogram\n"
		      "# HELP body_size_bytes How big.\n"
		      "body_size_bytes_bucket{le=\"1.0\"} 9007199254740993\n"
		      "body_size_bytes_bucket{le=\"+Inf\"} 18446744073709551615\n"
		      "body_size_bytes_count 18446744073709551615\n"
		      "body_size_bytes_sum 0\n");
	snapshot_free(&snapshot);
}

static void a_full_buffer_sticks(void **state)
{
	struct snapshot snapshot;

	(void)state;
	fill(&snapshot);
	for (size_t ceiling = 0; ceiling < strlen(prometheus_text); ceiling++) {
		struct buf out = BUF_INIT(ceiling);

		text_write(&out, &snapshot, TEXT_PROMETHEUS_0_0_4);
		assert_int_equal(out.error, -E2BIG);
		buf_free(&out);
	}
	snapshot_free(&snapshot);
}

static void labels_that_are_too_long_are_refused(void **state)
{
	size_t len = (size_t)1 << 20;
	struct buf out = BUF_INIT(4 * len);
	struct snapshot snapshot;
	struct label label;

	(void)state;
	snapshot_init(&snapshot, 0);
	label =
	    (struct label){"a", memset(snapshot_alloc(&snapshot, len + 1), 'x', len)};
	snapshot_value(&snapshot, &open_now, snapshot_labels(&snapshot, &label, 1), 1);
	text_write(&out, &snapshot, TEXT_PROMETHEUS_0_0_4);
	assert_int_equal(out.error, -E2BIG);
	buf_free(&out);
	snapshot_free(&snapshot);
}

static void too_many_bounds_are_refused(void **state)
{
	static double bounds[64];
	static const uint64_t buckets[65];
	struct histogram histogram = {.bounds = bounds, .buckets = buckets};

	(void)state;
	for (size_t i = 0; i < COUNT(bounds); i++)
		bounds[i] = (double)i;
	for (histogram.bound_count = 63; histogram.bound_count <= 64;
	     histogram.bound_count++) {
		struct buf out = BUF_INIT(CEILING);
		struct snapshot snapshot;

		snapshot_init(&snapshot, 0);
		snapshot_histogram(&snapshot, &sizes, (struct label_set){0},
				   &histogram);
		text_write(&out, &snapshot, TEXT_PROMETHEUS_0_0_4);
		assert_int_equal(out.error, histogram.bound_count == 63 ? 0 : -E2BIG);
		buf_free(&out);
		snapshot_free(&snapshot);
	}
}

static void numbers_are_written_like_this(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
	    {0, "0"},
	    {1, "1"},
	    {-1, "-1"},
	    {10, "10"},
	    {0.5, "0.5"},
	    {-0.5, "-0.5"},
	    {0.1, "0.1"},
	    {0.1 + 0.2, "0.30000000000000004"},
	    {1.0 / 3, "0.3333333333333333"},
	    {2.0 / 3, "0.6666666666666666"},
	    {1e-4, "0.0001"},
	    {1e-5, "1e-05"},
	    {0.000953, "0.000953"},
	    {123456.789012345, "123456.789012345"},
	    {999999.999999999, "999999.999999999"},
	    {1e6 + 0.5, "1000000.5"},
	    {1700000000.123, "1700000000.123"},
	    {1e15, "1000000000000000"},
	    {9007199254740991, "9007199254740991"},
	    {9007199254740992, "9007199254740992"},
	    {1e300, "1e+300"},
	    {DBL_MAX, "1.7976931348623157e+308"},
	    {DBL_MIN, "2.2250738585072014e-308"},
	    {INFINITY, "+Inf"},
	    {-INFINITY, "-Inf"},
	    {NAN, "NaN"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[32];

		text_number(text, cases[i].value);
		assert_string_equal(text, cases[i].text);
		if (!isnan(cases[i].value))
			assert_true(strtod(text, NULL) == cases[i].value);
	}
}

static void bounds_are_canonical(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
	    {0, "0.0"},
	    {1, "1.0"},
	    {10, "10.0"},
	    {2.5, "2.5"},
	    {0.00025, "0.00025"},
	    {0.0001, "0.0001"},
	    {0.00001, "1e-05"},
	    {100000, "100000.0"},
	    {1000000, "1e+06"},
	    {999999, "999999.0"},
	    {65536, "65536.0"},
	    {1048576, "1.048576e+06"},
	    {16777216, "1.6777216e+07"},
	    {134217728, "1.34217728e+08"},
	    {123456.75, "123456.75"},
	    {-2, "-2.0"},
	    {INFINITY, "+Inf"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[32];

		text_bound(text, cases[i].value);
		assert_string_equal(text, cases[i].text);
	}
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void every_number_reads_back(void **state)
{
	uint64_t seed = (uint64_t)time(NULL) | 1;

	(void)state;
	printf("seed %llu\n", (unsigned long long)seed);
	for (int i = 0; i < 200000; i++) {
		uint64_t bits = next_random(&seed);
		double value;
		char number[32], bound[32];

		memcpy(&value, &bits, sizeof(value));
		if (isnan(value))
			continue;
		text_number(number, value);
		assert_true(strtod(number, NULL) == value);
		text_bound(bound, value);
		assert_true(strtod(bound, NULL) == value);
	}
}

/* The short cut for them must not be seen. */
static void sums_of_nanoseconds_are_written_as_15_digits_are(void **state)
{
	uint64_t seed = (uint64_t)time(NULL) | 1;

	(void)state;
	printf("seed %llu\n", (unsigned long long)seed);
	for (int i = 0; i < 200000; i++) {
		uint64_t ns = next_random(&seed) >> (next_random(&seed) % 50 + 14);
		double value = (double)ns / 1e9;
		char text[32], wanted[32];

		snprintf(wanted, sizeof(wanted), "%.15g", value);
		text_number(text, value);
		if (ns < 1000000000000000)
			assert_string_equal(text, wanted);
		assert_true(strtod(text, NULL) == value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(prometheus_text_is_exact),
	    cmocka_unit_test(openmetrics_text_is_exact),
	    cmocka_unit_test(nothing_is_nothing_but_the_end_of_openmetrics),
	    cmocka_unit_test(pieces_of_every_size_are_the_whole),
	    cmocka_unit_test(summaries_say_nan_where_nothing_was_seen),
	    cmocka_unit_test(content_types_name_the_version),
	    cmocka_unit_test(counts_above_2_to_53_are_written_in_full),
	    cmocka_unit_test(a_full_buffer_sticks),
	    cmocka_unit_test(labels_that_are_too_long_are_refused),
	    cmocka_unit_test(too_many_bounds_are_refused),
	    cmocka_unit_test(numbers_are_written_like_this),
	    cmocka_unit_test(bounds_are_canonical),
	    cmocka_unit_test(every_number_reads_back),
	    cmocka_unit_test(sums_of_nanoseconds_are_written_as_15_digits_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
