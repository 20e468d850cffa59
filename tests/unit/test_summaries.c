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

#include "buckets.h"
#include "summaries.h"

#define MINUTE_MS 60000
#define MANY 1000

static const struct family sizes = {
    .name = "size", .help = "h", .unit = "", .type = METRIC_SUMMARY, .order = 1};
static const struct family halves = {
    .name = "half", .help = "h", .unit = "", .type = METRIC_SUMMARY, .order = 2};
static const double median[] = {0.5}, ends[] = {0, 1};

static const struct summary_kind size_kind = {
    .family = &sizes,
    .scale = &quantile_values,
    .unit = 1,
    .quantiles = median,
    .quantile_count = 1,
    .max_age_ms = 10 * MINUTE_MS,
    .age_buckets = 5,
};
static const struct summary_kind half_kind = {
    .family = &halves,
    .scale = &quantile_values,
    .unit = 2,
    .quantiles = ends,
    .quantile_count = 2,
    .max_age_ms = 10 * MINUTE_MS,
    .age_buckets = 5,
};

/* What a collection adds: observations of one value under one label. */
struct seen {
	const struct summary_kind *kind;
	const char *label;
	uint64_t value, count;
};

struct scene {
	struct summaries *summaries;
	struct snapshot snapshot;
};

static int open_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	assert_int_equal(summaries_create(4711, &scene->summaries), 0);
	*state = scene;
	return 0;
}

static int close_scene(void **state)
{
	struct scene *scene = *state;

	snapshot_free(&scene->snapshot);
	summaries_free(&scene->summaries);
	assert_null(scene->summaries);
	summaries_free(&scene->summaries);
	free(scene);
	return 0;
}

static void begin(struct scene *scene, int64_t now_ms)
{
	snapshot_free(&scene->snapshot);
	snapshot_init(&scene->snapshot, 0);
	summaries_begin(scene->summaries, &scene->snapshot, now_ms);
}

/* Labels and counters live as long as the snapshot. */
static void add(struct scene *scene, const struct seen *seen)
{
	char *copy = snapshot_alloc(&scene->snapshot, 32);
	uint64_t *counts =
	    snapshot_alloc(&scene->snapshot, VALUE_BUCKETS * sizeof(*counts));
	struct label label = {"a", copy};

	snprintf(copy, 32, "%s", seen->label);
	counts[value_bucket(seen->value)] = seen->count;
	summaries_add(scene->summaries, seen->kind,
		      snapshot_labels(&scene->snapshot, &label, 1), counts,
		      (double)(seen->value * seen->count));
}

static void collect(struct scene *scene, int64_t now_ms, const struct seen *seen,
		    size_t count)
{
	begin(scene, now_ms);
	for (size_t i = 0; i < count; i++)
		add(scene, &seen[i]);
	summaries_end(scene->summaries);
	assert_int_equal(snapshot_finish(&scene->snapshot), 0);
	assert_int_equal(scene->snapshot.count, count);
}

static const struct summary *summary(const struct scene *scene, size_t i)
{
	return &scene->snapshot.metrics[i].summary;
}

static void a_summary_has_the_quantiles_and_unit_of_its_kind(void **state)
{
	static const struct seen seen[] = {
	    {&size_kind, "x", 7, 3},
	    {&half_kind, "x", 9, 5},
	};
	struct scene *scene = *state;

	collect(scene, 0, seen, 2);
	assert_ptr_equal(scene->snapshot.metrics[0].family, &sizes);
	assert_string_equal(scene->snapshot.metrics[0].labels.labels[0].value, "x");
	assert_int_equal(summary(scene, 0)->count, 1);
	assert_ptr_equal(summary(scene, 0)->quantiles, median);
	assert_true(summary(scene, 0)->values[0] == 7);
	assert_int_equal(summary(scene, 0)->observations, 3);
	assert_true(summary(scene, 0)->sum == 21);
	assert_ptr_equal(scene->snapshot.metrics[1].family, &halves);
	assert_int_equal(summary(scene, 1)->count, 2);
	assert_true(summary(scene, 1)->values[0] == 4.5);
	assert_true(summary(scene, 1)->values[1] == 4.5);
	assert_true(summary(scene, 1)->sum == 45);
}

static void each_family_and_label_set_has_its_own_window(void **state)
{
	struct scene *scene = *state;

	for (int64_t minute = 0; minute <= 40; minute++) {
		const struct seen seen[] = {
		    {&size_kind, "x", 2, minute < 5 ? 1 : 2},
		    {&size_kind, "y", 4, minute < 20 ? 1 : 2},
		    {&half_kind, "x", 8, 1},
		};

		collect(scene, minute * MINUTE_MS, seen, 3);
		assert_true(isnan(summary(scene, 0)->values[0]) == (minute > 14));
		assert_true(isnan(summary(scene, 1)->values[0]) ==
			    ((minute > 10 && minute < 20) || minute > 28));
		assert_true(isnan(summary(scene, 2)->values[0]) == (minute > 10));
		assert_int_equal(summary(scene, 0)->observations, seen[0].count);
		assert_true(summary(scene, 1)->sum == (double)(4 * seen[1].count));
	}
}

static void what_ended_is_forgotten(void **state)
{
	static const struct seen both[] = {
	    {&size_kind, "x", 2, 1},
	    {&size_kind, "y", 2, 1},
	};
	struct scene *scene = *state;

	for (int64_t minute = 0; minute < 20; minute++)
		collect(scene, minute * MINUTE_MS, both, 2);
	assert_true(isnan(summary(scene, 0)->values[0]));
	assert_true(isnan(summary(scene, 1)->values[0]));
	collect(scene, 20 * MINUTE_MS, both, 1);
	collect(scene, 21 * MINUTE_MS, both, 2);
	assert_true(isnan(summary(scene, 0)->values[0]));
	assert_true(summary(scene, 1)->values[0] == 2); /* as good as new */
}

static void many_are_found_again(void **state)
{
	struct scene *scene = *state;

	for (int64_t minute = 0; minute <= 30; minute += 15) {
		begin(scene, minute * MINUTE_MS);
		for (uint64_t i = 0; i < MANY; i++) {
			char label[32];
			const struct seen seen = {&size_kind, label, i,
						  (uint64_t)minute + 1};

			snprintf(label, sizeof(label), "%04u", (unsigned int)i);
			add(scene, &seen);
		}
		summaries_end(scene->summaries);
		assert_int_equal(snapshot_finish(&scene->snapshot), 0);
		for (size_t i = 0; i < MANY; i++)
			assert_true(fabs(summary(scene, i)->values[0] / (double)i - 1) <
					0.045 ||
				    !i);
	}
}

/* An incomplete collection says nothing of what ended. */
static void without_memory_the_windows_stay(void **state)
{
	static const struct seen seen = {&size_kind, "x", 2, 1};
	struct scene *scene = *state;

	for (int64_t minute = 0; minute < 20; minute++)
		collect(scene, minute * MINUTE_MS, &seen, 1);
	begin(scene, 20 * MINUTE_MS);
	scene->snapshot.error = -ENOMEM;
	summaries_add(scene->summaries, &size_kind, (struct label_set){0},
		      (const uint64_t[VALUE_BUCKETS]){0}, 0);
	summaries_end(scene->summaries);
	assert_int_equal(scene->snapshot.count, 0);
	collect(scene, 21 * MINUTE_MS, &seen, 1);
	assert_true(isnan(summary(scene, 0)->values[0]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_summary_has_the_quantiles_and_unit_of_its_kind),
	    TEST(each_family_and_label_set_has_its_own_window),
	    TEST(what_ended_is_forgotten),
	    TEST(many_are_found_again),
	    TEST(without_memory_the_windows_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
