/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "constants.h"

static void they_are_a_set_that_needs_nothing_of_the_configuration(void **state)
{
	char zone[] = "zone", eu[] = "eu", empty[] = "empty", nothing[] = "",
	     cell[] = "cell", seven[] = "7";
	struct config_label items[] = {{zone, eu}, {empty, nothing}, {cell, seven}};
	const struct config_labels labels = {items, 3};
	struct snapshot arena = {0};
	struct label_set set = {0};

	(void)state;
	assert_int_equal(constants_copy(&labels, &arena, &set), 0);
	memset(zone, 'x', strlen(zone));
	memset(eu, 'x', strlen(eu));
	memset(items, 0, sizeof(items));
	assert_int_equal(set.count, 2);
	assert_string_equal(set.labels[0].name, "cell");
	assert_string_equal(set.labels[0].value, "7");
	assert_string_equal(set.labels[1].name, "zone");
	assert_string_equal(set.labels[1].value, "eu");
	snapshot_free(&arena);
}

static void none_are_an_empty_set(void **state)
{
	const struct config_labels labels = {0};
	struct snapshot arena = {0};
	struct label_set set = {.count = 7};

	(void)state;
	assert_int_equal(constants_copy(&labels, &arena, &set), 0);
	assert_int_equal(set.count, 0);
	set.count = 7;
	assert_int_equal(constants_copy(NULL, &arena, &set), 0);
	assert_int_equal(set.count, 0);
	snapshot_free(&arena);
}

static void an_arena_that_has_failed_gives_none(void **state)
{
	char name[] = "a", value[] = "b";
	struct config_label items[] = {{name, value}};
	const struct config_labels labels = {items, 1};
	struct snapshot arena = {.error = -E2BIG};
	struct label_set set = {.count = 7};

	(void)state;
	assert_int_equal(constants_copy(&labels, &arena, &set), -E2BIG);
	assert_int_equal(set.count, 7);
	snapshot_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(they_are_a_set_that_needs_nothing_of_the_configuration),
	    cmocka_unit_test(none_are_an_empty_set),
	    cmocka_unit_test(an_arena_that_has_failed_gives_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
