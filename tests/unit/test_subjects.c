/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "subjects.h"

static char *shop[] = {(char *)"/bin/shop", (char *)"/bin/pay"};
static char *pay[] = {(char *)"/bin/pay"};

static void rules_that_name_the_same_files_are_together(void **state)
{
	const struct config_function rules[] = {
	    {.exes = {shop, 1}}, {.exes = {pay, 1}},  {.exes = {shop, 1}},
	    {.exes = {shop, 2}}, {.exes = {shop, 1}}, {.exes = {&shop[1], 1}},
	};
	static const uint32_t first[] = {0, 2, 4}, second[] = {1, 5};
	struct subjects subjects = {};

	(void)state;
	assert_int_equal(subjects_create(rules, 6, &subjects), 0);
	assert_int_equal(subjects.count, 3);
	assert_int_equal(subjects.items[0].count, 3);
	assert_memory_equal(subjects.items[0].rules, first, sizeof(first));
	assert_int_equal(subjects.items[1].count, 2);
	assert_memory_equal(subjects.items[1].rules, second, sizeof(second));
	assert_int_equal(subjects.items[2].count, 1);
	assert_int_equal(subjects.items[2].rules[0], 3);
	assert_ptr_equal(subjects_of_rule(&subjects, 4), &subjects.items[0]);
	assert_ptr_equal(subjects_of_rule(&subjects, 3), &subjects.items[2]);
	subjects_free(&subjects);
	assert_null(subjects.items);
	subjects_free(&subjects);
}

static void what_differs_in_one_selector_is_apart(void **state)
{
	const struct config_function rules[] = {
	    {.exes = {shop, 1}},
	    {.libs = {shop, 1}},
	    {.exes = {shop, 1}, .libs = {shop, 1}},
	    {.exes = {shop, 1}, .pids = {10}, .pid_count = 1},
	    {.exes = {shop, 1}, .pids = {11}, .pid_count = 1},
	    {.exes = {shop, 1}, .pids = {10, 11}, .pid_count = 2},
	    {.exes = {shop, 1}, .services = {shop, 1}},
	    {.exes = {shop, 1}, .services = {pay, 1}},
	};
	struct subjects subjects = {};

	(void)state;
	assert_int_equal(subjects_create(rules, 8, &subjects), 0);
	assert_int_equal(subjects.count, 8);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(subjects.items[i].rules[0], i);
	subjects_free(&subjects);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rules_that_name_the_same_files_are_together),
	    cmocka_unit_test(what_differs_in_one_selector_is_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
