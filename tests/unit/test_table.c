/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "table.h"

#define ITEMS 10000

static bool same_number(const void *item, const void *wanted)
{
	return *(const int *)item == *(const int *)wanted;
}

static void an_empty_table_has_nothing(void **state)
{
	const struct table table = {0};
	int wanted = 0;

	(void)state;
	assert_null(table_find(&table, 0, same_number, &wanted));
}

/* With every hash the same, with few hashes, and with many. */
static void every_item_is_found_whatever_its_hash(void **state)
{
	static const uint64_t spreads[] = {1, 7, UINT64_MAX};
	static int numbers[ITEMS];

	(void)state;
	for (size_t s = 0; s < sizeof(spreads) / sizeof(spreads[0]); s++) {
		struct table table = {0};
		struct snapshot snapshot;
		int count = spreads[s] == 1 ? 500 : ITEMS, absent = ITEMS;

		snapshot_init(&snapshot, 0);
		for (int i = 0; i < count; i++) {
			uint64_t hash = table_hash(1, &i, sizeof(i)) % spreads[s];

			numbers[i] = i;
			assert_null(table_find(&table, hash, same_number, &i));
			assert_true(table_add(&table, hash, &numbers[i], &snapshot));
		}
		assert_int_equal(table.count, count);
		for (int i = 0; i < count; i++)
			assert_ptr_equal(
			    table_find(&table,
				       table_hash(1, &i, sizeof(i)) % spreads[s],
				       same_number, &i),
			    &numbers[i]);
		assert_null(table_find(&table, 0, same_number, &absent));
		snapshot_free(&snapshot);
	}
}

static void labels_are_hashed_by_names_values_and_where_they_end(void **state)
{
	static const struct label sets[][2] = {
	    {{"a", "1"}, {"b", "2"}},
	    {{"a", "1"}, {"b", "3"}},
	    {{"a", "1b"}, {"", "2"}},
	    {{"b", "2"}, {"a", "1"}},
	};
	const struct label again[] = {{"a", "1"}, {"b", "2"}};
	uint64_t hashes[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		hashes[i] = table_hash_labels(7, &(struct label_set){sets[i], 2});
		for (size_t j = 0; j < i; j++)
			assert_true(hashes[i] != hashes[j]);
	}
	assert_true(table_hash_labels(7, &(struct label_set){again, 2}) == hashes[0]);
	assert_true(table_hash_labels(8, &(struct label_set){again, 2}) != hashes[0]);
	assert_true(table_hash_labels(7, &(struct label_set){again, 1}) != hashes[0]);
	assert_true(table_hash_labels(7, &(struct label_set){NULL, 0}) == 7);
}

static void without_memory_nothing_is_added(void **state)
{
	struct table table = {0};
	struct snapshot snapshot;
	int number = 1;

	(void)state;
	snapshot_init(&snapshot, 0);
	assert_null(snapshot_alloc(&snapshot, SIZE_MAX));
	assert_false(table_add(&table, 1, &number, &snapshot));
	assert_null(table_find(&table, 1, same_number, &number));
	snapshot_free(&snapshot);
}

static void a_hash_depends_on_its_start_and_can_be_chained(void **state)
{
	(void)state;
	assert_true(table_hash(1, "ab", 2) == table_hash(1, "ab", 2));
	assert_true(table_hash(1, "ab", 2) != table_hash(2, "ab", 2));
	assert_true(table_hash(table_hash(1, "a", 2), "b", 2) !=
		    table_hash(table_hash(1, "b", 2), "a", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_empty_table_has_nothing),
	    cmocka_unit_test(every_item_is_found_whatever_its_hash),
	    cmocka_unit_test(labels_are_hashed_by_names_values_and_where_they_end),
	    cmocka_unit_test(without_memory_nothing_is_added),
	    cmocka_unit_test(a_hash_depends_on_its_start_and_can_be_chained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
