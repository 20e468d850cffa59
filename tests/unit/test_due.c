/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "due.h"
#include "length.h"

#define MANY 1000

static void add(struct due *due, struct due_entry *entry, int64_t at_ms)
{
	entry->index = DUE_NOT_IN;
	assert_int_equal(due_add(due, entry, at_ms), 0);
}

static void an_empty_one_has_no_first(void **state)
{
	struct due due = {0};
	struct due_entry entry = {.index = DUE_NOT_IN};

	(void)state;
	assert_null(due_first(&due));
	due_remove(&due, &entry);
	assert_null(due_first(&due));
	due_free(&due);
}

static void entries_come_in_the_order_of_their_times(void **state)
{
	struct due_entry entries[MANY];
	struct due due = {0};
	int64_t last = INT64_MIN;
	unsigned int seed = 7;

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		add(&due, &entries[i], rand_r(&seed) % 500);
	for (size_t i = 0; i < MANY; i++) {
		struct due_entry *first = due_first(&due);

		assert_true(first->at_ms >= last);
		last = first->at_ms;
		due_remove(&due, first);
		assert_int_equal(first->index, DUE_NOT_IN);
	}
	assert_null(due_first(&due));
	due_free(&due);
}

static void any_entry_can_be_taken_out(void **state)
{
	struct due_entry entries[MANY];
	struct due due = {0};
	int64_t last = INT64_MIN;
	unsigned int seed = 8;
	size_t left = 0;

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		add(&due, &entries[i], rand_r(&seed) % 500);
	for (size_t i = 0; i < MANY; i += 2)
		due_remove(&due, &entries[i]);
	for (struct due_entry *first; (first = due_first(&due)); left++) {
		assert_int_equal((first - entries) % 2, 1);
		assert_true(first->at_ms >= last);
		last = first->at_ms;
		due_remove(&due, first);
	}
	assert_int_equal(left, MANY / 2);
	due_free(&due);
}

static void moments_are_the_same_after_a_restart(void **state)
{
	static const int64_t starts[] = {1700000000123, 1700000007999, 1700003600000};

	(void)state;
	for (size_t i = 0; i < LENGTH(starts); i++) {
		uint64_t delay = due_delay_ms(starts[i], 15000, 123456789, true);

		assert_true(delay < 15000);
		assert_int_equal((starts[i] + (int64_t)delay) % 15000,
				 123456789 % 15000);
	}
}

static void a_first_moment_may_be_now(void **state)
{
	(void)state;
	assert_int_equal(due_delay_ms(15000 * 7 + 42, 15000, 42, true), 0);
}

static void the_next_is_a_period_later(void **state)
{
	(void)state;
	assert_int_equal(due_delay_ms(15042, 15000, 42, false), 15000);
	/* A little early, a little late, so late that one is left out. */
	assert_int_equal(due_delay_ms(15040, 15000, 42, false), 15002);
	assert_int_equal(due_delay_ms(16042, 15000, 42, false), 14000);
	assert_int_equal(due_delay_ms(15042 + 11250, 15000, 42, false), 3750);
	assert_int_equal(due_delay_ms(15042 + 11251, 15000, 42, false), 18749);
}

static void hashes_spread_over_the_period(void **state)
{
	size_t counts[10] = {0};

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		counts[due_delay_ms(0, 10000, i * 0x9e3779b97f4a7c15ull, true) /
		       1000]++;
	for (size_t i = 0; i < LENGTH(counts); i++)
		assert_in_range(counts[i], 80, 120);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_empty_one_has_no_first),
	    cmocka_unit_test(entries_come_in_the_order_of_their_times),
	    cmocka_unit_test(any_entry_can_be_taken_out),
	    cmocka_unit_test(moments_are_the_same_after_a_restart),
	    cmocka_unit_test(a_first_moment_may_be_now),
	    cmocka_unit_test(the_next_is_a_period_later),
	    cmocka_unit_test(hashes_spread_over_the_period),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
