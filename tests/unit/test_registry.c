/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "registry.h"

#define ITEMS 5000

static bool is_same(const void *item, const void *wanted)
{
	return *(const unsigned int *)item == *(const unsigned int *)wanted;
}

/* Few hashes, so that items stand in each other's way. */
static uint64_t hash_of(unsigned int number)
{
	return number % 7 * 0x100000001ull + number % 512;
}

static unsigned int *find(const struct registry *registry, unsigned int number)
{
	return registry_find(registry, hash_of(number), is_same, &number);
}

static void fill(struct registry *registry, unsigned int *numbers)
{
	for (unsigned int i = 0; i < ITEMS; i++) {
		numbers[i] = i;
		assert_null(find(registry, i));
		assert_int_equal(registry_add(registry, hash_of(i), &numbers[i]), 0);
	}
	assert_int_equal(registry->count, ITEMS);
}

static bool is_multiple(void *item, void *context)
{
	return *(unsigned int *)item % *(unsigned int *)context == 0;
}

static void an_empty_one_has_nothing(void **state)
{
	struct registry registry = {0};
	unsigned int one = 1;

	(void)state;
	assert_null(find(&registry, 1));
	registry_sweep(&registry, is_multiple, &one);
	registry_free(&registry);
}

static void each_item_is_found(void **state)
{
	static unsigned int numbers[ITEMS];
	struct registry registry = {0};

	(void)state;
	fill(&registry, numbers);
	for (unsigned int i = 0; i < ITEMS; i++)
		assert_ptr_equal(find(&registry, i), &numbers[i]);
	registry_free(&registry);
	assert_int_equal(registry.count, 0);
}

static void what_is_swept_out_is_gone_and_the_rest_is_found(void **state)
{
	static unsigned int numbers[ITEMS];
	unsigned int divisors[] = {1, 2, 3, ITEMS * 2};
	struct registry registry = {0};
	unsigned int product = 1;

	(void)state;
	fill(&registry, numbers);
	for (size_t round = 0; round < 4; round++) {
		size_t left = 0;

		product *= divisors[round];
		registry_sweep(&registry, is_multiple, &divisors[round]);
		for (unsigned int i = 0; i < ITEMS; i++) {
			bool stays = i % product == 0;

			left += stays;
			assert_ptr_equal(find(&registry, i),
					 stays ? &numbers[i] : NULL);
		}
		assert_int_equal(registry.count, left);
	}
	registry_free(&registry);
}

static void the_hash_is_of_every_byte_and_the_length(void **state)
{
	static struct registry_keys keys, others;
	static char text[2000];
	uint64_t hash;

	(void)state;
	registry_keys_init(&keys);
	registry_keys_init(&others);
	for (size_t len = 0; len < sizeof(text); len += 7) {
		hash = registry_hash(&keys, text, len);
		assert_int_equal(hash, registry_hash(&keys, text, len));
		assert_int_not_equal(hash, registry_hash(&others, text, len));
		assert_int_not_equal(hash, registry_hash(&keys, text, len + 1));
		for (size_t i = 0; i < len; i += 13) {
			text[i] = 1;
			assert_int_not_equal(hash, registry_hash(&keys, text, len));
			text[i] = 0;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_empty_one_has_nothing),
	    cmocka_unit_test(each_item_is_found),
	    cmocka_unit_test(what_is_swept_out_is_gone_and_the_rest_is_found),
	    cmocka_unit_test(the_hash_is_of_every_byte_and_the_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
