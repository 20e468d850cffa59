/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "symbols.h"

static void numbers_are_given_in_order_and_again_for_the_same(void **state)
{
	struct symbols symbols;
	char other[] = "code";

	(void)state;
	symbols_init(&symbols, 1);
	assert_int_equal(symbols_add(&symbols, "code"), 1);
	assert_int_equal(symbols_add(&symbols, "200"), 2);
	assert_int_equal(symbols_add(&symbols, other), 1);
	other[0] = 'n'; /* it was copied */
	assert_int_equal(symbols_add(&symbols, other), 3);
	assert_int_equal(symbols.count, 4);
	assert_string_equal(symbols.strings[1], "code");
	assert_string_equal(symbols.strings[2], "200");
	assert_string_equal(symbols.strings[3], "node");
	symbols_clear(&symbols);
}

static void the_empty_string_is_there_first_and_is_number_0(void **state)
{
	struct symbols symbols;

	(void)state;
	symbols_init(&symbols, 1);
	assert_int_equal(symbols_add(&symbols, ""), 0);
	assert_int_equal(symbols.count, 1);
	assert_string_equal(symbols.strings[0], "");
	assert_int_equal(symbols_add(&symbols, "a"), 1);
	assert_int_equal(symbols_add(&symbols, ""), 0);
	assert_int_equal(symbols.error, 0);
	symbols_clear(&symbols);
}

/* Through many growths, and whatever the seed; so many that some share a hash. */
static void many_strings_keep_their_numbers(void **state)
{
	enum { STRINGS = 200000 };
	static const uint64_t seeds[] = {0, 0x9e3779b97f4a7c15};
	char string[64];

	(void)state;
	for (size_t s = 0; s < sizeof(seeds) / sizeof(seeds[0]); s++) {
		struct symbols symbols;

		symbols_init(&symbols, seeds[s]);
		for (int round = 0; round < 2; round++) {
			for (unsigned int i = 1; i <= STRINGS; i++) {
				snprintf(string, sizeof(string), "%.*s%u",
					 (int)(i % 30),
					 "/api/v1/resource/{id}/detail/x", i);
				assert_int_equal(symbols_add(&symbols, string), i);
				assert_string_equal(symbols.strings[i], string);
			}
		}
		assert_int_equal(symbols.count, STRINGS + 1);
		symbols_clear(&symbols);
	}
}

/* At both sides of each word of the hash; a prefix is another string. */
static void every_prefix_is_a_string_of_its_own(void **state)
{
	struct symbols symbols;
	char string[41];

	(void)state;
	symbols_init(&symbols, 7);
	for (int round = 0; round < 2; round++) {
		for (uint32_t len = 1; len <= 40; len++) {
			memset(string, 'x', len);
			string[len] = 0;
			assert_int_equal(symbols_add(&symbols, string), len);
		}
	}
	symbols_clear(&symbols);
}

static void after_clear_it_is_as_new(void **state)
{
	struct symbols symbols;

	(void)state;
	symbols_init(&symbols, 5);
	symbols_add(&symbols, "a");
	symbols_clear(&symbols);
	assert_int_equal(symbols.count, 0);
	assert_int_equal(symbols.seed, 5);
	assert_int_equal(symbols_add(&symbols, "b"), 1);
	assert_int_equal(symbols_add(&symbols, "a"), 2);
	symbols_clear(&symbols);
	symbols_clear(&symbols);
}

static void a_failure_sticks_until_clear(void **state)
{
	struct symbols symbols;

	(void)state;
	symbols_init(&symbols, 5);
	symbols_add(&symbols, "a");
	symbols.storage.error = -12; /* as after an allocation that failed */
	assert_int_equal(symbols_add(&symbols, "a"), 1);
	assert_int_equal(symbols_add(&symbols, "b"), 0);
	assert_int_equal(symbols.error, -12);
	symbols.storage.error = 0;
	assert_int_equal(symbols_add(&symbols, "a"), 0);
	symbols_clear(&symbols);
	assert_int_equal(symbols_add(&symbols, "a"), 1);
	assert_int_equal(symbols.error, 0);
	symbols_clear(&symbols);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_are_given_in_order_and_again_for_the_same),
	    cmocka_unit_test(the_empty_string_is_there_first_and_is_number_0),
	    cmocka_unit_test(many_strings_keep_their_numbers),
	    cmocka_unit_test(every_prefix_is_a_string_of_its_own),
	    cmocka_unit_test(after_clear_it_is_as_new),
	    cmocka_unit_test(a_failure_sticks_until_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
