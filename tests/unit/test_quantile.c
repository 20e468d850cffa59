/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buckets.h"
#include "quantile.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MINUTE_MS 60000

static uint32_t duration_bucket(uint64_t ns)
{
	return bucket_index(native_bounds_ns, NATIVE_BUCKETS - 1, ns);
}

static uint32_t bucket_of_value(uint64_t value)
{
	return value_bucket(value);
}

/* Each scale with the values that the error is promised for. */
static const struct scale {
	const struct quantile_scale *scale;
	uint32_t (*bucket)(uint64_t value);
	uint64_t smallest, largest;
} scales[] = {
    {&quantile_durations, duration_bucket, NATIVE_ZERO_NS + 1, 64000000000},
    {&quantile_values, bucket_of_value, 0, 1ull << 47},
};

/* --- one value ---------------------------------------------------------------- */

static void nothing_counted_is_not_a_number(void **state)
{
	static const uint64_t counts[QUANTILE_BUCKETS_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(scales); i++)
		assert_true(isnan(quantile_of(scales[i].scale, counts, 0.5)));
}

static void assert_near(double got, double exact)
{
	const double most = pow(2, 1.0 / 16);

	if (exact == 0)
		assert_true(got == 0);
	else if (!(got / exact < most && exact / got < most))
		fail_msg("%.17g is too far from %.17g", got, exact);
}

/* In every bucket that has two ends and holds a whole number, at both of them. */
static void a_quantile_is_wrong_by_less_than_half_a_bucket(void **state)
{
	(void)state;
	for (size_t s = 0; s < COUNT(scales); s++) {
		const struct quantile_scale *scale = scales[s].scale;

		for (uint32_t i = 1; i < scale->buckets - 1; i++) {
			uint64_t counts[QUANTILE_BUCKETS_MAX] = {0};
			double got;

			if (scale->bound(i - 1) == scale->bound(i))
				continue;
			counts[i] = 1;
			got = quantile_of(scale, counts, 0.5);
			assert_near(got, (double)(scale->bound(i - 1) + 1));
			assert_near(got, (double)scale->bound(i));
		}
	}
}

static void a_bucket_of_one_number_is_that_number(void **state)
{
	(void)state;
	for (uint64_t value = 0; value <= 11; value++) {
		uint64_t counts[VALUE_BUCKETS] = {0};

		counts[value_bucket(value)] = 3;
		assert_true(quantile_of(&quantile_values, counts, 1) == (double)value);
	}
}

static void the_outer_buckets_are_their_only_bound(void **state)
{
	(void)state;
	for (size_t s = 0; s < COUNT(scales); s++) {
		const struct quantile_scale *scale = scales[s].scale;
		uint64_t first[QUANTILE_BUCKETS_MAX] = {5};
		uint64_t last[QUANTILE_BUCKETS_MAX] = {0};

		last[scale->buckets - 1] = 5;
		assert_true(quantile_of(scale, first, 0.99) == (s ? 0 : 953));
		assert_true(quantile_of(scale, last, 0.01) ==
			    (double)scales[s].largest);
	}
}

static void a_quantile_is_the_value_of_its_rank(void **state)
{
	static const struct {
		double q;
		uint64_t wanted_ns;
	} cases[] = {
	    {0, 1000000},        {0.5, 1000000},    {0.9, 1000000},
	    {0.9005, 20000000},  {0.901, 20000000}, {0.99, 20000000},
	    {0.991, 3000000000}, {1, 3000000000},
	};
	uint64_t counts[NATIVE_BUCKETS] = {0};

	(void)state;
	counts[duration_bucket(1000000)] = 900;
	counts[duration_bucket(20000000)] = 90;
	counts[duration_bucket(3000000000)] = 10;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_near(quantile_of(&quantile_durations, counts, cases[i].q),
			    (double)cases[i].wanted_ns);
}

/* --- many values -------------------------------------------------------------- */

static uint64_t seed;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Above 0, at most 1. */
static double next_part(void)
{
	return (double)((next_random() >> 11) + 1) / 0x1p53;
}

static double one_value(double size)
{
	return size;
}

static double even(double size)
{
	return size * next_part();
}

static double exponential(double size)
{
	return -size * log(next_part());
}

static double lognormal(double size)
{
	double normal = sqrt(-2 * log(next_part())) * cos(2 * M_PI * next_part());

	return size * exp(1.5 * normal);
}

static double pareto(double size)
{
	return size * pow(next_part(), -1.2);
}

static double two_humps(double size)
{
	return next_part() < 0.7 ? size + even(size / 8) : 40 * size + even(size);
}

/* The largest and the smallest of a bucket, where a middle is worst. */
static double edges(double size)
{
	double power = floor(8 * log2(size) * next_part());

	return floor(exp2(power / 8)) + (double)(next_random() & 1);
}

static double (*const distributions[])(double size) = {
    one_value, even, exponential, lognormal, pareto, two_humps, edges,
};

static int compare_values(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

static uint64_t draw(const struct scale *scale, double (*distribution)(double),
		     double size)
{
	double value = distribution(size);

	if (value < (double)scale->smallest)
		return scale->smallest;
	if (value > (double)scale->largest)
		return scale->largest;
	return (uint64_t)value;
}

static uint64_t of_rank(const uint64_t *sorted, size_t count, double q)
{
	return sorted[(size_t)fmax(ceil(q * (double)count), 1) - 1];
}

static void check_sample(const struct scale *scale, double (*distribution)(double),
			 double size)
{
	static const double quantiles[] = {0,   0.01, 0.25,  0.5, 0.75,
					   0.9, 0.95, 0.999, 1};
	uint64_t counts[QUANTILE_BUCKETS_MAX] = {0}, values[2000];
	size_t count = 1 + next_random() % COUNT(values);

	for (size_t i = 0; i < count; i++) {
		values[i] = draw(scale, distribution, size);
		counts[scale->bucket(values[i])]++;
	}
	qsort(values, count, sizeof(values[0]), compare_values);
	for (size_t i = 0; i < COUNT(quantiles); i++)
		assert_near(quantile_of(scale->scale, counts, quantiles[i]),
			    (double)of_rank(values, count, quantiles[i]));
}

static void random_values_have_their_exact_quantiles_within_4_5_percent(void **state)
{
	static const double sizes[] = {3, 2000, 5e4, 5e6, 2e9, 1e13};

	(void)state;
	assert_true(pow(2, 1.0 / 16) < 1.045);
	seed = (uint64_t)time(NULL) | 1;
	printf("seed %llu\n", (unsigned long long)seed);
	for (size_t s = 0; s < COUNT(scales); s++)
		for (size_t d = 0; d < COUNT(distributions); d++)
			for (size_t i = 0; i < COUNT(sizes); i++)
				for (int round = 0; round < 5; round++)
					check_sample(&scales[s], distributions[d],
						     sizes[i]);
}

/* --- the window --------------------------------------------------------------- */

struct scene {
	struct quantile_window *window;
	uint64_t counts[NATIVE_BUCKETS]; /* cumulative */
	uint64_t recent[NATIVE_BUCKETS];
};

static int open_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	assert_int_equal(quantile_window_create(&quantile_durations, 10 * MINUTE_MS, 5,
						&scene->window),
			 0);
	*state = scene;
	return 0;
}

static int close_scene(void **state)
{
	struct scene *scene = *state;

	quantile_window_free(&scene->window);
	assert_null(scene->window);
	quantile_window_free(&scene->window);
	free(scene);
	return 0;
}

static void look(struct scene *scene, int64_t now_ms)
{
	quantile_window_recent(scene->window, scene->counts, now_ms, scene->recent);
}

static void what_is_there_first_is_recent(void **state)
{
	struct scene *scene = *state;

	scene->counts[0] = 1;
	scene->counts[50] = 7;
	scene->counts[NATIVE_BUCKETS - 1] = 2;
	look(scene, 1000);
	assert_memory_equal(scene->recent, scene->counts, sizeof(scene->recent));
	look(scene, 1000 + 10 * MINUTE_MS);
	assert_memory_equal(scene->recent, scene->counts, sizeof(scene->recent));
}

static void what_is_older_than_the_window_is_not_recent(void **state)
{
	static const uint64_t nothing[NATIVE_BUCKETS];
	struct scene *scene = *state;

	for (int64_t now_ms = 0; now_ms <= 30 * MINUTE_MS; now_ms += 15000) {
		scene->counts[10] = now_ms >= 3 * MINUTE_MS ? 5 : 0;
		scene->counts[90] = now_ms >= 9 * MINUTE_MS ? 6 : 0;
		look(scene, now_ms);
		/* It is seen 3 min after the start, in the part from 2 to 4 min. */
		assert_int_equal(
		    scene->recent[10],
		    now_ms >= 3 * MINUTE_MS && now_ms <= 12 * MINUTE_MS ? 5 : 0);
		assert_int_equal(
		    scene->recent[90],
		    now_ms >= 9 * MINUTE_MS && now_ms <= 18 * MINUTE_MS ? 6 : 0);
	}
	assert_memory_equal(scene->recent, nothing, sizeof(nothing));
	assert_true(isnan(quantile_of(&quantile_durations, scene->recent, 0.5)));
}

/* Counted one after the other at random times, in random buckets, looked at in
 * random intervals of less than a fifth of the window. */
static void a_window_spans_four_to_five_fifths_of_its_age_or_all(void **state)
{
	enum { STEPS = 2000 };
	struct scene *scene = *state;
	static uint32_t buckets[STEPS];
	static int64_t times_ms[STEPS];
	int64_t now_ms = 0;

	seed = (uint64_t)time(NULL) | 1;
	printf("seed %llu\n", (unsigned long long)seed);
	for (size_t step = 0; step < STEPS; step++) {
		uint64_t sum = 0, least = 0, most = 0;

		now_ms += (int64_t)(next_random() % (uint64_t)(MINUTE_MS / 2));
		times_ms[step] = now_ms;
		buckets[step] = (uint32_t)(next_random() % NATIVE_BUCKETS);
		scene->counts[buckets[step]]++;
		look(scene, now_ms);
		for (size_t i = 0; i <= step; i++) {
			least += now_ms - times_ms[i] <= 15 * MINUTE_MS / 2;
			most += now_ms - times_ms[i] <= 10 * MINUTE_MS;
		}
		for (uint32_t i = 0; i < NATIVE_BUCKETS; i++)
			sum += scene->recent[i];
		assert_true(sum >= least && sum <= most);
		/* The youngest of all there were, each in its bucket. */
		for (uint64_t i = 0; i < sum; i++) {
			assert_true(scene->recent[buckets[step - i]] > 0);
			scene->recent[buckets[step - i]]--;
		}
	}
}

static void who_looks_rarely_sees_what_came_since(void **state)
{
	struct scene *scene = *state;

	look(scene, 0);
	for (uint64_t i = 1; i <= 20; i++) {
		scene->counts[i] = i;
		scene->counts[100] += 2;
		look(scene, (int64_t)i * 30 * MINUTE_MS);
		assert_int_equal(scene->recent[i], i);
		assert_int_equal(scene->recent[i - 1], 0);
		assert_int_equal(scene->recent[100], 2);
	}
}

static void two_who_look_see_the_same(void **state)
{
	struct scene *scene = *state;

	for (int64_t now_ms = 0; now_ms <= 30 * MINUTE_MS; now_ms += 15000) {
		uint64_t first[NATIVE_BUCKETS];

		scene->counts[20] += 3;
		look(scene, now_ms);
		memcpy(first, scene->recent, sizeof(first));
		look(scene, now_ms);
		if (now_ms % (2 * MINUTE_MS)) /* at those the window moves on */
			assert_memory_equal(first, scene->recent, sizeof(first));
	}
}

static void counters_that_shrink_began_anew(void **state)
{
	struct scene *scene = *state;

	for (int64_t now_ms = 0; now_ms < 20 * MINUTE_MS; now_ms += MINUTE_MS) {
		scene->counts[30] += 100;
		scene->counts[40] += 1;
		look(scene, now_ms);
	}
	memset(scene->counts, 0, sizeof(scene->counts));
	scene->counts[30] = 4;
	scene->counts[40] = 50;
	scene->counts[50] = 6;
	look(scene, 20 * MINUTE_MS);
	assert_memory_equal(scene->recent, scene->counts, sizeof(scene->recent));
	look(scene, 30 * MINUTE_MS);
	assert_memory_equal(scene->recent, scene->counts, sizeof(scene->recent));
	scene->counts[60] = 1;
	look(scene, 31 * MINUTE_MS);
	assert_int_equal(scene->recent[30], 0);
	assert_int_equal(scene->recent[60], 1);
}

static void counts_above_2_to_32_are_whole(void **state)
{
	struct scene *scene = *state;

	scene->counts[7] = UINT64_MAX - 5000000000;
	look(scene, 0);
	scene->counts[7] = UINT64_MAX;
	look(scene, 60 * MINUTE_MS);
	assert_true(scene->recent[7] == UINT64_MAX);
	look(scene, 61 * MINUTE_MS);
	assert_int_equal(scene->recent[7], 0);
}

/* Five parts are a lot for a short window; one is the least there is. */
static void a_window_of_one_part_is_emptied_at_once(void **state)
{
	uint64_t counts[VALUE_BUCKETS] = {0}, recent[VALUE_BUCKETS];
	struct quantile_window *window;

	(void)state;
	assert_int_equal(quantile_window_create(&quantile_values, 1000, 1, &window), 0);
	for (int64_t now_ms = 0; now_ms <= 2500; now_ms += 500) {
		counts[VALUE_BUCKETS - 1]++;
		quantile_window_recent(window, counts, now_ms, recent);
		assert_int_equal(recent[VALUE_BUCKETS - 1], now_ms <= 1000
								? now_ms / 500 + 1
							    : now_ms % 1000 ? 1
									    : 2);
	}
	quantile_window_free(&window);
}

#define ON_SCENE(test) cmocka_unit_test_setup_teardown(test, open_scene, close_scene)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_counted_is_not_a_number),
	    cmocka_unit_test(a_quantile_is_wrong_by_less_than_half_a_bucket),
	    cmocka_unit_test(a_bucket_of_one_number_is_that_number),
	    cmocka_unit_test(the_outer_buckets_are_their_only_bound),
	    cmocka_unit_test(a_quantile_is_the_value_of_its_rank),
	    cmocka_unit_test(
		random_values_have_their_exact_quantiles_within_4_5_percent),
	    ON_SCENE(what_is_there_first_is_recent),
	    ON_SCENE(what_is_older_than_the_window_is_not_recent),
	    ON_SCENE(a_window_spans_four_to_five_fifths_of_its_age_or_all),
	    ON_SCENE(who_looks_rarely_sees_what_came_since),
	    ON_SCENE(two_who_look_see_the_same),
	    ON_SCENE(counters_that_shrink_began_anew),
	    ON_SCENE(counts_above_2_to_32_are_whole),
	    cmocka_unit_test(a_window_of_one_part_is_emptied_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
