/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "wire_case.h"
#include "wire_native.h"

static void expect_native(const struct series *series, const uint64_t *native,
			  double sum)
{
	const struct histogram_read *histogram = series->histogram;
	uint64_t count = 0;

	assert_non_null(histogram);
	assert_int_equal(series->time_ms, TIME);
	assert_string_equal(series->text, "__name__=duration_seconds code=200");
	for (size_t i = 0; i < NATIVE_BUCKETS; i++)
		count += native[i];
	assert_true(histogram->has_count && histogram->has_zero_count);
	assert_int_equal(histogram->count, count);
	assert_int_equal(histogram->sum_bits, bits_of(sum));
	assert_int_equal(histogram->schema, 3);
	assert_true(histogram->zero_threshold == ldexp(1, -20));
	assert_int_equal(histogram->zero_count, native[0]);
	for (int i = 0; i < BUCKETS; i++) {
		int bucket = FIRST_BUCKET + i, place = bucket - NATIVE_FIRST + 1;
		bool is_ours = place >= 1 && place < NATIVE_BUCKETS;

		assert_int_equal(histogram->counts[i], is_ours ? native[place] : 0);
	}
}

/* Prometheus: bucket i of schema 3 ends at 2^(i/8), inclusive. */
static void each_bucket_has_the_index_of_its_bound(void **state)
{
	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, true, 1000);

		for (size_t i = 0; i < NATIVE_BUCKETS; i++) {
			uint64_t native[NATIVE_BUCKETS] = {0};

			native[i] = 1 + i;
			assert_int_equal(add_histogram(received, native, 0.5), 0);
		}
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->batches[0].histograms, NATIVE_BUCKETS);
		assert_int_equal(received->batches[0].samples, 0);
		for (size_t i = 0; i < NATIVE_BUCKETS; i++) {
			const struct series *series = &received->series[i];
			uint64_t native[NATIVE_BUCKETS] = {0};
			double ns;

			native[i] = 1 + i;
			expect_native(series, native, 0.5);
			if (!i || i == NATIVE_BUCKETS - 1)
				continue;
			ns = (double)native_bounds_ns[i];
			for (int j = 0; j < BUCKETS; j++)
				if (series->histogram->counts[j])
					assert_true(
					    ns == floor(1e9 * exp2((FIRST_BUCKET + j) /
								   8.0)));
		}
		end(received);
	}
}

/* Of all densities: none filled, few, all. */
static void any_counts_are_read_back(void **state)
{
	enum { ROUNDS = 200 };

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, true, ROUNDS);
		uint64_t(*natives)[NATIVE_BUCKETS] = calloc(ROUNDS, sizeof(*natives));
		unsigned int seed = 20240301;

		print_message("seed %u\n", seed);
		for (unsigned int i = 0; i < ROUNDS; i++) {
			for (size_t j = 0; j < NATIVE_BUCKETS; j++)
				if (next_random(&seed) % ROUNDS < i)
					natives[i][j] = (uint64_t)next_random(&seed)
							<< next_random(&seed) % 40;
			assert_int_equal(add_histogram(received, natives[i], i), 0);
		}
		assert_int_equal(received->batch_count, 1);
		for (unsigned int i = 0; i < ROUNDS; i++)
			expect_native(&received->series[i], natives[i], i);
		free(natives);
		end(received);
	}
}

static void short_gaps_are_bridged_and_long_ones_are_not(void **state)
{
	/* Apart by: 1, 2, 3, 4. */
	static const uint64_t native[NATIVE_BUCKETS] = {
	    [10] = 1, [11] = 1, [13] = 1, [16] = 1, [20] = 1,
	};
	struct received *received = receive(WIRE_V2, true, 10);

	(void)state;
	add_histogram(received, native, 1);
	assert_int_equal(wire_finish(received->writer), 0);
	expect_native(&received->series[0], native, 1);
	assert_int_equal(received->series[0].histogram->span_count, 2);
	assert_int_equal(received->series[0].histogram->bucket_count, 8);
	end(received);
}

static void a_stale_histogram_is_one_with_the_marker_as_its_sum(void **state)
{
	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, true, 100);
		const struct series *series = received->series;

		add_histogram(received, NULL, 0);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->count, 1);
		assert_int_equal(series->histogram->sum_bits, STALE);
		assert_true(series->histogram->has_count);
		assert_int_equal(series->histogram->count, 0);
		assert_int_equal(series->histogram->span_count, 0);
		assert_int_equal(series->time_ms, TIME);
		end(received);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_bucket_has_the_index_of_its_bound),
	    cmocka_unit_test(any_counts_are_read_back),
	    cmocka_unit_test(short_gaps_are_bridged_and_long_ones_are_not),
	    cmocka_unit_test(a_stale_histogram_is_one_with_the_marker_as_its_sum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
