/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buckets.h"
#include "length.h"
#include "otlp_case.h"
#include "otlp_point.h"

static void a_counter_is_a_monotonic_cumulative_sum(void **state)
{
	static const struct label reason = {"reason", "tls"};
	const struct metric metric = value_of(&missed, &reason, 1, 7);

	(void)state;
	check_only(&metric, false, &plain,
		   "bpftally_missed [] sum 2 monotonic: reason=tls" TIMES " value=7");
}

static void zero_is_a_value(void **state)
{
	const struct metric metric = value_of(&cpu, NULL, 0, 0);

	(void)state;
	check_only(&metric, false, &plain,
		   "process_cpu_seconds [s] sum 2 monotonic:" TIMES " value=0");
}

static void a_gauge_has_no_start(void **state)
{
	const struct metric metric = value_of(&memory, NULL, 0, 1.5e7);

	(void)state;
	check_only(&metric, false, &plain,
		   "process_resident_memory_bytes [By] gauge 0:"
		   " time=1700000000123000000 value=15000000");
}

static void active_requests_are_a_sum_that_may_fall(void **state)
{
	const struct metric metric = value_of(&active, service, 2, 3);

	(void)state;
	check_only(&metric, false, &plain,
		   "http.server.active_requests [{request}] sum 2:" TIMES " value=3");
}

static void an_info_is_a_sum_that_is_one(void **state)
{
	static const struct label version = {"version", "1"};
	const struct metric metric = value_of(&build, &version, 1, 1);

	(void)state;
	check_only(&metric, false, &plain,
		   "bpftally_build_info [] sum 2: version=1" TIMES " value=1");
}

static void no_number_looks_like_a_stale_marker(void **state)
{
	struct metric metric = value_of(&memory, NULL, 0, 0);
	uint64_t stale = SAMPLE_STALE, bits;
	struct received received;

	(void)state;
	memcpy(&metric.value, &stale, sizeof(stale));
	start(&received, &plain, &external);
	add(&received, &metric, false);
	finish(&received);
	memcpy(&bits, &received.points[0].value, sizeof(bits));
	assert_true(isnan(received.points[0].value));
	assert_int_equal(bits, 0x7ff8000000000000ull);
	end(&received);
}

static void a_histogram_has_counts_of_single_buckets(void **state)
{
	const struct metric metric = {
	    .family = &duration,
	    .labels = {request, LENGTH(request)},
	    .histogram = {two_bounds, 2, three_counts, 9.5, NULL},
	};

	(void)state;
	check_only(
	    &metric, false, &plain,
	    "http.server.request.duration [s] histogram 2:"
	    " http.response.status_code=#200 http.route=/cart/* server.port=#80" TIMES
	    " count=6 sum=9.5 counts=4,0,2"
	    " bounds=0.10000000000000001,1");
}

static void a_summary_has_quantiles(void **state)
{
	static const double which[] = {0.5, 0.99}, values[] = {0.25, 4};
	const struct metric metric = {
	    .family = &quantiles,
	    .labels = {service, 2},
	    .summary = {which, values, 2, 11, 5.5},
	};

	(void)state;
	check_only(&metric, false, &plain,
		   "http.server.request.duration.quantiles [s] summary 0:" TIMES
		   " count=11 sum=5.5 quantiles=0.5,0.98999999999999999"
		   " values=0.25,4");
}

static const struct otlp_format exponential = {
    .exponential = true,
    .points_max = OTLP_POINTS_MAX,
    .bytes_max = (size_t)4 << 20,
};

static struct metric native_metric(const uint64_t *native)
{
	return (struct metric){
	    .family = &duration,
	    .labels = {service, 2},
	    .histogram = {two_bounds, 2, three_counts, 9.5, native},
	};
}

static void native_counts_are_an_exponential_histogram(void **state)
{
	uint64_t native[NATIVE_BUCKETS] = {[0] = 5, [3] = 1, [6] = 2};
	const struct metric metric = native_metric(native);

	(void)state;
	check_only(&metric, false, &exponential,
		   "http.server.request.duration [s] exponential 2:" TIMES
		   " count=8 sum=9.5 scale=3 zero=5 threshold=0x1p-20 offset=-158"
		   " counts=1,0,0,2");
}

static void native_counts_of_zero_only_have_no_bucket(void **state)
{
	uint64_t native[NATIVE_BUCKETS] = {[0] = 5};
	const struct metric metric = native_metric(native);

	(void)state;
	check_only(&metric, false, &exponential,
		   "http.server.request.duration [s] exponential 2:" TIMES
		   " count=5 sum=9.5 scale=3 zero=5 threshold=0x1p-20 offset=0");
}

/* A bucket of OTLP ends at 2^((index + 1) / 8), inclusive: that is the bound of the
 * same bucket in buckets.h, rounded down to nanoseconds, for each of them. */
static void every_bucket_ends_where_the_kernel_had_it_end(void **state)
{
	(void)state;
	for (size_t i = 1; i < NATIVE_BUCKETS; i++) {
		uint64_t native[NATIVE_BUCKETS] = {[0] = 0};
		const struct metric metric = native_metric(native);
		struct received received;
		const struct point *point;

		native[i] = 3;
		start(&received, &exponential, &external);
		add(&received, &metric, false);
		finish(&received);
		point = &received.points[0];
		assert_int_equal(point->counts.count, 1);
		assert_int_equal(point->counts.items[0], 3);
		assert_int_equal(floor(1e9 * exp2((double)point->offset / 8) + 1e-6),
				 native_bounds_ns[i - 1]);
		if (i < NATIVE_BUCKETS - 1)
			assert_int_equal(
			    floor(1e9 * exp2((double)(point->offset + 1) / 8) + 1e-6),
			    native_bounds_ns[i]);
		end(&received);
	}
}

static void a_histogram_without_native_counts_stays_explicit(void **state)
{
	const struct metric metric = native_metric(NULL);

	(void)state;
	check_only(&metric, false, &exponential,
		   "http.server.request.duration [s] histogram 2:" TIMES
		   " count=6 sum=9.5 counts=4,0,2 bounds=0.10000000000000001,1");
}

#define ENDED TIMES " flags=1"

static void an_ended_counter_has_no_value(void **state)
{
	const struct metric metric = value_of(&missed, NULL, 0, 0);

	(void)state;
	check_only(&metric, true, &plain, "bpftally_missed [] sum 2 monotonic:" ENDED);
}

/* Prometheus ends the series of each bound, and _sum where there is one. */
static void an_ended_histogram_has_its_bounds_and_a_sum(void **state)
{
	const struct metric metric = {
	    .family = &duration,
	    .labels = {service, 2},
	    .histogram = {two_bounds, 2, NULL, 0, NULL},
	};

	(void)state;
	check_only(&metric, true, &plain,
		   "http.server.request.duration [s] histogram 2:" ENDED
		   " count=0 sum=0 counts=0,0,0 bounds=0.10000000000000001,1");
}

static void an_ended_exponential_stays_exponential(void **state)
{
	const struct metric metric = {
	    .family = &duration,
	    .labels = {service, 2},
	    .histogram = {two_bounds, 2, NULL, 0, NULL},
	};
	const struct sample_metric item = {
	    .metric = &metric,
	    .time_ms = TIME_MS,
	    .is_stale = true,
	    .has_native = true,
	};
	struct received received;

	(void)state;
	start(&received, &exponential, &external);
	assert_int_equal(otlp_add(received.writer, &item), 0);
	finish(&received);
	check_point(&received, 0,
		    "http.server.request.duration [s] exponential 2:"
		    " time=1700000000123000000 flags=1 count=0 sum=0 scale=3 zero=0"
		    " threshold=0x1p-20 offset=0");
	end(&received);
}

static void an_ended_summary_has_its_quantiles(void **state)
{
	static const double which[] = {0.5};
	const struct metric metric = {
	    .family = &quantiles,
	    .labels = {service, 2},
	    .summary = {which, NULL, 1, 0, 0},
	};

	(void)state;
	check_only(&metric, true, &plain,
		   "http.server.request.duration.quantiles [s] summary 0:" ENDED
		   " count=0 sum=0 quantiles=0.5 values=0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_counter_is_a_monotonic_cumulative_sum),
	    cmocka_unit_test(zero_is_a_value),
	    cmocka_unit_test(a_gauge_has_no_start),
	    cmocka_unit_test(active_requests_are_a_sum_that_may_fall),
	    cmocka_unit_test(an_info_is_a_sum_that_is_one),
	    cmocka_unit_test(no_number_looks_like_a_stale_marker),
	    cmocka_unit_test(a_histogram_has_counts_of_single_buckets),
	    cmocka_unit_test(a_summary_has_quantiles),
	    cmocka_unit_test(native_counts_are_an_exponential_histogram),
	    cmocka_unit_test(native_counts_of_zero_only_have_no_bucket),
	    cmocka_unit_test(every_bucket_ends_where_the_kernel_had_it_end),
	    cmocka_unit_test(a_histogram_without_native_counts_stays_explicit),
	    cmocka_unit_test(an_ended_counter_has_no_value),
	    cmocka_unit_test(an_ended_histogram_has_its_bounds_and_a_sum),
	    cmocka_unit_test(an_ended_exponential_stays_exponential),
	    cmocka_unit_test(an_ended_summary_has_its_quantiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
