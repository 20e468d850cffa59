/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "snapshot.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct family first = {
    .name = "zebra", .help = "h", .unit = "", .type = METRIC_GAUGE, .order = 1};
static const struct family second = {
    .name = "ape", .help = "h", .unit = "", .type = METRIC_COUNTER, .order = 2};
static const struct family also_second = {
    .name = "bear", .help = "h", .unit = "", .type = METRIC_COUNTER, .order = 2};

static struct label_set one_label(struct snapshot *snapshot, const char *value)
{
	struct label label = {"a", value};

	return snapshot_labels(snapshot, &label, 1);
}

static void counters_and_infos_have_a_suffix(void **state)
{
	static const char *const suffixes[] = {
	    [METRIC_COUNTER] = "_total", [METRIC_GAUGE] = "",
	    [METRIC_HISTOGRAM] = "",     [METRIC_SUMMARY] = "",
	    [METRIC_INFO] = "_info",
	};

	(void)state;
	for (enum metric_type type = 0; type < COUNT(suffixes); type++)
		assert_string_equal(family_suffix(&(struct family){.type = type}),
				    suffixes[type]);
}

static void a_summary_is_kept_as_it_was_given(void **state)
{
	static const struct family waits = {
	    .name = "w", .help = "h", .unit = "", .type = METRIC_SUMMARY, .order = 1};
	static const double quantiles[] = {0.5, 0.99}, values[] = {1, 2};
	const struct summary given = {quantiles, values, 2, 7, 9.5};
	const struct summary *kept;
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	snapshot_summary(&snapshot, &waits, one_label(&snapshot, "x"), &given);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	assert_int_equal(snapshot.count, 1);
	assert_ptr_equal(snapshot.metrics[0].family, &waits);
	assert_string_equal(snapshot.metrics[0].labels.labels[0].value, "x");
	kept = &snapshot.metrics[0].summary;
	assert_ptr_equal(kept->quantiles, quantiles);
	assert_ptr_equal(kept->values, values);
	assert_int_equal(kept->count, 2);
	assert_int_equal(kept->observations, 7);
	assert_true(kept->sum == 9.5);
	snapshot_free(&snapshot);
}

static void a_new_snapshot_is_empty_and_knows_its_time(void **state)
{
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1234567890123);
	assert_int_equal(snapshot.time_ms, 1234567890123);
	assert_int_equal(snapshot.count, 0);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	snapshot_free(&snapshot);
}

static void metrics_come_by_family_order_then_by_labels(void **state)
{
	static const struct {
		const struct family *family;
		const char *value;
	} wanted[] = {
	    {&first, "x"},  {&first, "y"},       {&second, "a"},
	    {&second, "b"}, {&also_second, "a"}, {&also_second, "b"},
	};
	static const size_t added[] = {5, 2, 1, 3, 4, 0};
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	for (size_t i = 0; i < COUNT(added); i++)
		snapshot_value(&snapshot, wanted[added[i]].family,
			       one_label(&snapshot, wanted[added[i]].value),
			       (double)added[i]);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	assert_int_equal(snapshot.count, COUNT(wanted));
	for (size_t i = 0; i < COUNT(wanted); i++) {
		assert_ptr_equal(snapshot.metrics[i].family, wanted[i].family);
		assert_string_equal(snapshot.metrics[i].labels.labels[0].value,
				    wanted[i].value);
		assert_true(snapshot.metrics[i].value == (double)i);
	}
	snapshot_free(&snapshot);
}

static void labels_are_sorted_and_empty_ones_left_out(void **state)
{
	static const char value[] = "kept, not copied";
	const struct label labels[] = {
	    {"le", "1"},  {"zone", ""}, {"Upper", "2"},
	    {"_x", NULL}, {"a", value}, {"b", "3"},
	};
	struct snapshot snapshot;
	struct label_set set;

	(void)state;
	snapshot_init(&snapshot, 0);
	set = snapshot_labels(&snapshot, labels, COUNT(labels));
	assert_int_equal(set.count, 4);
	assert_string_equal(set.labels[0].name, "Upper"); /* byte order */
	assert_string_equal(set.labels[1].name, "a");
	assert_ptr_equal(set.labels[1].value, value);
	assert_string_equal(set.labels[2].name, "b");
	assert_string_equal(set.labels[3].name, "le");
	assert_int_equal(snapshot_labels(&snapshot, NULL, 0).count, 0);
	snapshot_free(&snapshot);
}

static void label_sets_compare_by_names_then_values_then_length(void **state)
{
	static const struct label ab[] = {{"a", "1"}, {"b", "2"}};
	static const struct label ab_again[] = {{"a", "1"}, {"b", "2"}};
	static const struct label ab3[] = {{"a", "1"}, {"b", "3"}};
	static const struct label ac[] = {{"a", "1"}, {"c", "0"}};
	static const struct {
		struct label_set left, right;
		int order;
	} cases[] = {
	    {{ab, 2}, {ab, 2}, 0},        {{ab, 2}, {ab_again, 2}, 0},
	    {{ab, 2}, {ab3, 2}, -1},      {{ab3, 2}, {ac, 2}, -1},
	    {{ab, 1}, {ab_again, 2}, -1}, {{NULL, 0}, {ab, 1}, -1},
	    {{NULL, 0}, {NULL, 0}, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int there = label_set_compare(&cases[i].left, &cases[i].right);
		int back = label_set_compare(&cases[i].right, &cases[i].left);

		assert_int_equal((there > 0) - (there < 0), cases[i].order);
		assert_int_equal((back > 0) - (back < 0), -cases[i].order);
	}
}

static void memory_is_zeroed_aligned_and_apart(void **state)
{
	struct snapshot snapshot;
	unsigned char *pieces[2000];

	(void)state;
	snapshot_init(&snapshot, 0);
	for (size_t i = 0; i < COUNT(pieces); i++) {
		size_t bytes = i % 700 + 1;

		pieces[i] = snapshot_alloc(&snapshot, bytes);
		assert_non_null(pieces[i]);
		assert_int_equal((uintptr_t)pieces[i] % 8, 0);
		for (size_t j = 0; j < bytes; j++) {
			assert_int_equal(pieces[i][j], 0);
			pieces[i][j] = (unsigned char)i;
		}
	}
	for (size_t i = 0; i < COUNT(pieces); i++)
		for (size_t j = 0; j < i % 700 + 1; j++)
			assert_int_equal(pieces[i][j], (unsigned char)i);
	snapshot_free(&snapshot);
}

static void a_piece_may_be_larger_than_a_block(void **state)
{
	size_t bytes = (size_t)3 << 20;
	struct snapshot snapshot;
	unsigned char *piece;

	(void)state;
	snapshot_init(&snapshot, 0);
	piece = snapshot_alloc(&snapshot, bytes);
	assert_non_null(piece);
	piece[0] = piece[bytes - 1] = 1;
	assert_non_null(snapshot_alloc(&snapshot, 1));
	snapshot_free(&snapshot);
}

static void the_first_failure_sticks(void **state)
{
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	snapshot_value(&snapshot, &first, (struct label_set){0}, 1);
	assert_null(snapshot_alloc(&snapshot, SIZE_MAX));
	assert_int_equal(snapshot.error, -ENOMEM);
	assert_null(snapshot_alloc(&snapshot, 1));
	assert_int_equal(one_label(&snapshot, "x").count, 0);
	snapshot_value(&snapshot, &first, (struct label_set){0}, 2);
	assert_int_equal(snapshot.count, 1);
	assert_int_equal(snapshot_finish(&snapshot), -ENOMEM);
	snapshot_free(&snapshot);
	assert_int_equal(snapshot.error, 0);
}

static void a_text_is_copied_whole_or_is_empty(void **state)
{
	char text[] = "text";
	struct snapshot snapshot;
	const char *copy;

	(void)state;
	snapshot_init(&snapshot, 0);
	copy = snapshot_text(&snapshot, text);
	text[0] = 'n';
	assert_string_equal(copy, "text");
	assert_string_equal(snapshot_text(&snapshot, ""), "");
	assert_int_equal(snapshot.error, 0);
	snapshot.error = -ENOMEM;
	assert_string_equal(snapshot_text(&snapshot, text), "");
	snapshot_free(&snapshot);
}

static void there_is_a_most_of_metrics(void **state)
{
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	for (size_t i = 0; i < SNAPSHOT_METRICS_MAX; i++)
		snapshot_value(&snapshot, &first, (struct label_set){0}, 1);
	assert_int_equal(snapshot.error, 0);
	snapshot_value(&snapshot, &first, (struct label_set){0}, 1);
	assert_int_equal(snapshot.error, -E2BIG);
	assert_int_equal(snapshot.count, SNAPSHOT_METRICS_MAX);
	snapshot_free(&snapshot);
}

static void histograms_are_kept_as_given(void **state)
{
	static const double bounds[] = {1, 2};
	static const uint64_t buckets[] = {1, 2, 3};
	const struct histogram histogram = {
	    .bounds = bounds, .bound_count = 2, .buckets = buckets, .sum = 11};
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	snapshot_histogram(&snapshot, &first, one_label(&snapshot, "x"), &histogram);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	assert_ptr_equal(snapshot.metrics[0].histogram.buckets, buckets);
	assert_ptr_equal(snapshot.metrics[0].histogram.bounds, bounds);
	assert_true(snapshot.metrics[0].histogram.sum == 11);
	assert_null(snapshot.metrics[0].histogram.native);
	snapshot_free(&snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(counters_and_infos_have_a_suffix),
	    cmocka_unit_test(a_summary_is_kept_as_it_was_given),
	    cmocka_unit_test(a_new_snapshot_is_empty_and_knows_its_time),
	    cmocka_unit_test(metrics_come_by_family_order_then_by_labels),
	    cmocka_unit_test(labels_are_sorted_and_empty_ones_left_out),
	    cmocka_unit_test(label_sets_compare_by_names_then_values_then_length),
	    cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
	    cmocka_unit_test(a_piece_may_be_larger_than_a_block),
	    cmocka_unit_test(the_first_failure_sticks),
	    cmocka_unit_test(a_text_is_copied_whole_or_is_empty),
	    cmocka_unit_test(there_is_a_most_of_metrics),
	    cmocka_unit_test(histograms_are_kept_as_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
