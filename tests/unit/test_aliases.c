/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "aliases.h"

static int set_up(void **state)
{
	struct aliases *aliases = NULL;

	assert_int_equal(aliases_create(&aliases), 0);
	*state = aliases;
	return 0;
}

static int tear_down(void **state)
{
	struct aliases *aliases = *state;

	aliases_free(&aliases);
	assert_null(aliases);
	aliases_free(&aliases);
	return 0;
}

static void put(struct aliases *aliases, uint32_t id, uint32_t service)
{
	const struct alias alias = {.id = id, .service = service, .since_ms = id};

	assert_int_equal(aliases_put(aliases, &alias), 0);
}

static void what_was_put_is_found_until_dropped(void **state)
{
	const struct alias alias = {7, 3, true, 1000, true};
	struct aliases *aliases = *state;
	const struct alias *found;

	assert_null(aliases_find(aliases, 7));
	assert_int_equal(aliases_put(aliases, &alias), 0);
	found = aliases_find(aliases, 7);
	assert_non_null(found);
	assert_int_equal(found->id, 7);
	assert_int_equal(found->service, 3);
	assert_true(found->ignored);
	assert_true(found->unjudged);
	assert_int_equal(found->since_ms, 1000);
	assert_null(aliases_find(aliases, 6));
	assert_null(aliases_find(aliases, 8));
	aliases_drop(aliases, 7);
	aliases_drop(aliases, 7);
	aliases_drop(aliases, 8);
	assert_null(aliases_find(aliases, 7));
}

static void another_one_replaces_that_of_the_id(void **state)
{
	struct aliases *aliases = *state;

	put(aliases, 7, 1);
	put(aliases, 7, 2);
	assert_int_equal(aliases_find(aliases, 7)->service, 2);
	assert_int_equal(aliases_after(aliases, 7), 0);
}

static void they_are_walked_in_order_while_they_are_dropped(void **state)
{
	static const uint32_t ids[] = {3, 1, UINT32_MAX, 2, 9};
	struct aliases *aliases = *state;
	uint32_t id = 0;

	assert_int_equal(aliases_after(aliases, 0), 0);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		put(aliases, ids[i], 1);
	aliases_drop(aliases, 2);
	id = aliases_after(aliases, id);
	assert_int_equal(id, 1);
	aliases_drop(aliases, id);
	id = aliases_after(aliases, id);
	assert_int_equal(id, 3);
	aliases_drop(aliases, id);
	id = aliases_after(aliases, id);
	assert_int_equal(id, 9);
	id = aliases_after(aliases, id);
	assert_int_equal(id, UINT32_MAX);
	assert_int_equal(aliases_after(aliases, id), 0);
}

/* In any order of coming and going; a plain table is the judge. */
static void they_are_found_after_any_history(void **state)
{
	enum { IDS = 300 };
	struct aliases *aliases = *state;
	bool known[IDS] = {false};
	uint32_t random = 1;

	for (int round = 0; round < 3000; round++) {
		uint32_t id;

		random = random * 1664525 + 1013904223;
		id = (random >> 8) % IDS;
		if (random >> 31)
			put(aliases, id, 1);
		else
			aliases_drop(aliases, id);
		known[id] = random >> 31;
		for (uint32_t i = 0; i < IDS; i++)
			assert_int_equal(!!aliases_find(aliases, i), known[i]);
	}
}

static void those_of_a_service_go_together(void **state)
{
	const struct alias of_none = {5, 1, true, 0, false};
	struct aliases *aliases = *state;

	for (uint32_t id = 1; id <= 4; id++)
		put(aliases, id, id % 2);
	assert_int_equal(aliases_put(aliases, &of_none), 0);
	aliases_drop_service(aliases, 1);
	assert_null(aliases_find(aliases, 1));
	assert_null(aliases_find(aliases, 3));
	assert_non_null(aliases_find(aliases, 2));
	assert_non_null(aliases_find(aliases, 4));
	assert_non_null(aliases_find(aliases, 5));
}

static void beyond_the_bound_none_is_kept(void **state)
{
	const struct alias late = {.id = ALIASES_MAX + 1};
	struct aliases *aliases = *state;

	for (uint32_t id = 1; id <= ALIASES_MAX; id++)
		put(aliases, id, 1);
	assert_int_equal(aliases_put(aliases, &late), -ENOMEM);
	assert_null(aliases_find(aliases, late.id));
	aliases_drop(aliases, 5);
	assert_int_equal(aliases_put(aliases, &late), 0);
	assert_non_null(aliases_find(aliases, late.id));
	assert_null(aliases_find(aliases, 5));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_was_put_is_found_until_dropped),
	    TEST(another_one_replaces_that_of_the_id),
	    TEST(they_are_walked_in_order_while_they_are_dropped),
	    TEST(they_are_found_after_any_history),
	    TEST(those_of_a_service_go_together),
	    TEST(beyond_the_bound_none_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
