/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "buckets.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIMBS 8 /* of 64 bits: T^8 * 2^160 takes 448 */

struct big {
	uint64_t limbs[LIMBS]; /* least first */
};

static void multiply(struct big *number, uint64_t factor)
{
	unsigned __int128 carry = 0;

	for (size_t i = 0; i < LIMBS; i++) {
		carry += (unsigned __int128)number->limbs[i] * factor;
		number->limbs[i] = (uint64_t)carry;
		carry >>= 64;
	}
	assert_true(carry == 0);
}

static struct big power(uint64_t base, unsigned int exponent)
{
	struct big number = {{1}};

	while (exponent--)
		multiply(&number, base);
	return number;
}

static void scale(struct big *number, unsigned int powers_of_2)
{
	while (powers_of_2--)
		multiply(number, 2);
}

static int compare(const struct big *a, const struct big *b)
{
	for (size_t i = LIMBS; i-- > 0;)
		if (a->limbs[i] != b->limbs[i])
			return a->limbs[i] > b->limbs[i] ? 1 : -1;
	return 0;
}

/* t compared with 10^9 * 2^(i/8), by their eighth powers. */
static int compare_with_bound(uint64_t t, int i)
{
	struct big left = power(t, 8), right = power(1000000000, 8);

	scale(i < 0 ? &left : &right, (unsigned int)(i < 0 ? -i : i));
	return compare(&left, &right);
}

static void every_native_bound_is_the_floor_of_its_power(void **state)
{
	(void)state;
	assert_int_equal(COUNT(native_bounds_ns), NATIVE_LAST - (NATIVE_FIRST - 1) + 1);
	for (int i = NATIVE_FIRST - 1; i <= NATIVE_LAST; i++) {
		uint64_t bound = native_bounds_ns[i - (NATIVE_FIRST - 1)];

		assert_true(compare_with_bound(bound, i) <= 0);
		assert_true(compare_with_bound(bound + 1, i) > 0);
	}
	assert_int_equal(native_bounds_ns[0], NATIVE_ZERO_NS);
	assert_true((uint64_t)(1e9 * NATIVE_ZERO_S) == NATIVE_ZERO_NS);
	assert_int_equal(native_bounds_ns[NATIVE_LAST - (NATIVE_FIRST - 1)],
			 64000000000);
	assert_int_equal(native_bounds_ns[0 - (NATIVE_FIRST - 1)], 1000000000);
}

/* t compared with 2^(i/8), by their eighth powers. */
static int compare_with_power(uint64_t t, unsigned int i)
{
	struct big left = power(t, 8), right = {{1}};

	scale(&right, i);
	return compare(&left, &right);
}

static void every_mantissa_is_the_floor_of_its_power(void **state)
{
	(void)state;
	assert_int_equal(COUNT(value_mantissas), 8);
	for (unsigned int i = 0; i < COUNT(value_mantissas); i++) {
		assert_true(compare_with_power(value_mantissas[i], 8 * 63 + i) <= 0);
		assert_true(compare_with_power(value_mantissas[i] + 1, 8 * 63 + i) > 0);
	}
}

static void every_value_bound_is_the_floor_of_its_power(void **state)
{
	(void)state;
	assert_int_equal(value_bound(0), 0);
	for (unsigned int i = 1; i < VALUE_BUCKETS - 1; i++) {
		assert_true(compare_with_power(value_bound(i), i) <= 0);
		assert_true(compare_with_power(value_bound(i) + 1, i) > 0);
	}
	assert_int_equal(value_bound(VALUE_BUCKETS - 2), 1ull << 47);
}

static uint32_t linear_value_bucket(uint64_t v)
{
	uint32_t i = 0;

	while (i < VALUE_BUCKETS - 1 && v > value_bound(i))
		i++;
	return i;
}

static void a_value_has_the_first_bucket_whose_bound_is_not_below_it(void **state)
{
	static const uint64_t above[] = {(1ull << 47) + 1, 1ull << 48, 1ull << 63,
					 UINT64_MAX};

	(void)state;
	for (uint32_t i = 0; i < VALUE_BUCKETS - 1; i++) {
		uint64_t bound = value_bound(i);

		assert_int_equal(value_bucket(bound), linear_value_bucket(bound));
		assert_int_equal(value_bucket(bound + 1),
				 linear_value_bucket(bound + 1));
		/* Where they are apart: its own edges. */
		if (!i || value_bound(i - 1) < bound)
			assert_int_equal(value_bucket(bound), i);
	}
	for (uint64_t v = 0; v < 100000; v++)
		assert_int_equal(value_bucket(v), linear_value_bucket(v));
	for (size_t i = 0; i < COUNT(above); i++)
		assert_int_equal(value_bucket(above[i]), VALUE_BUCKETS - 1);
}

static void there_is_a_bucket_below_and_above_the_native_ones(void **state)
{
	(void)state;
	assert_int_equal(NATIVE_BUCKETS, COUNT(native_bounds_ns) + 1);
	assert_int_equal(DURATION_BUCKETS, COUNT(duration_bounds_ns) + 1);
	assert_int_equal(SIZE_BUCKETS, COUNT(size_bounds) + 1);
}

/* Design, section 5: in seconds as people write them. */
static void duration_bounds_are_the_documented_ones(void **state)
{
	static const double documented_s[] = {
	    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075,
	    0.1,    0.25,    0.5,    0.75,  1,      2.5,   5,    7.5,   10,
	};

	(void)state;
	assert_int_equal(COUNT(documented_s), DURATION_BOUNDS);
	for (size_t i = 0; i < DURATION_BOUNDS; i++)
		assert_true((double)duration_bounds_ns[i] / 1e9 == documented_s[i]);
}

static uint32_t linear_index(const __u64 *bounds, uint32_t n, uint64_t v)
{
	uint32_t i = 0;

	while (i < n && v > bounds[i])
		i++;
	return i;
}

struct bucket_table {
	const __u64 *bounds;
	uint32_t count;
};

static const struct bucket_table tables[] = {
    {duration_bounds_ns, DURATION_BOUNDS},
    {size_bounds, SIZE_BOUNDS},
    {native_bounds_ns, NATIVE_BUCKETS - 1},
};

static void bounds_ascend(void **state)
{
	(void)state;
	for (size_t t = 0; t < COUNT(tables); t++)
		for (uint32_t i = 1; i < tables[t].count; i++)
			assert_true(tables[t].bounds[i - 1] < tables[t].bounds[i]);
}

static void every_edge_falls_below_and_one_more_above(void **state)
{
	(void)state;
	for (size_t t = 0; t < COUNT(tables); t++) {
		const __u64 *bounds = tables[t].bounds;
		uint32_t count = tables[t].count;

		for (uint32_t i = 0; i < count; i++) {
			assert_int_equal(bucket_index(bounds, count, bounds[i]), i);
			assert_int_equal(bucket_index(bounds, count, bounds[i] + 1),
					 i + 1);
			if (!bounds[i])
				continue;
			assert_int_equal(bucket_index(bounds, count, bounds[i] - 1),
					 linear_index(bounds, count, bounds[i] - 1));
		}
		assert_int_equal(bucket_index(bounds, count, 0), 0);
		assert_int_equal(bucket_index(bounds, count, UINT64_MAX), count);
	}
}

/* Every length the search may be given, so that its steps are right for each. */
static void the_search_is_right_for_every_length(void **state)
{
	__u64 bounds[255];

	(void)state;
	for (uint32_t i = 0; i < COUNT(bounds); i++)
		bounds[i] = 10 * (i + 1);
	for (uint32_t n = 0; n <= COUNT(bounds); n++)
		for (uint64_t v = 0; v <= 10 * (n + 1) + 1; v++)
			assert_int_equal(bucket_index(bounds, n, v),
					 linear_index(bounds, n, v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_native_bound_is_the_floor_of_its_power),
	    cmocka_unit_test(every_mantissa_is_the_floor_of_its_power),
	    cmocka_unit_test(every_value_bound_is_the_floor_of_its_power),
	    cmocka_unit_test(a_value_has_the_first_bucket_whose_bound_is_not_below_it),
	    cmocka_unit_test(there_is_a_bucket_below_and_above_the_native_ones),
	    cmocka_unit_test(duration_bounds_are_the_documented_ones),
	    cmocka_unit_test(bounds_ascend),
	    cmocka_unit_test(every_edge_falls_below_and_one_more_above),
	    cmocka_unit_test(the_search_is_right_for_every_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
