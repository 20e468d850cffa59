/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stream.h"

#define TEXT_30 "abcdefghijklmnopqrstuvwxyz-abc"

static const struct {
	const char *target;
	const char *route;
} routes[] = {
    {"/", "/"},
    {"*", "*"},
    {"/a", "/a"},
    {"a1/b", "*/b"},
    {"/a/", "/a/"},
    {"//a//b", "//a//b"},
    {"/a?b=1", "/a"},
    {"/a#b", "/a"},
    {"/?x", "/"},
    {"/users/12345", "/users/*"},
    {"/users/12345/", "/users/*/"},
    {"/users/u1/orders/7", "/users/*/orders/*"},
    {"/api/v1/users", "/api/v1/users"},
    {"/api/V12/users", "/api/V12/users"},
    {"/v1", "/v1"},
    {"/v1a", "/*"},
    {"/1v", "/*"},
    {"/v", "/v"},
    {"/v1.2", "/*"},
    {"/api/v1/users/12345/orders/98765?x=1", "/api/v1/users/*/orders/*"},
    {"/x/deadbeefdeadbeefdeadbeef/y", "/x/*/y"}, /* 24 hexadecimal letters */
    {"/x/deadbeefdeadbeefdeadbee/y", "/x/deadbeefdeadbeefdeadbee/y"},
    {"/x/deadbeefdeadbeefdeadbeeg/y", "/x/deadbeefdeadbeefdeadbeeg/y"},
    {"/c/550e8400-e29b-41d4-a716-446655440000", "/c/*"},
    {"/caf\xc3\xa9/x", "/*/x"},
    {"/a\x01z/x", "/*/x"},
    {"/a b/x", "/*/x"},
    {"/a%20b", "/*"},
    {"/index.html", "/index.html"},
    /* ends and marks at the ends of words of eight bytes */
    {"/abcdefg/abcdefgh/abcdefghi", "/abcdefg/abcdefgh/abcdefghi"},
    {"/abcdefgh?1", "/abcdefgh"},
    {"/abcdefgh#1/2", "/abcdefgh"},
    {"/abcdefg1/abcdefgh1/1abcdefgh", "/*/*/*"},
    {"/abcdefg\xff/abcdefgh\x7f/abcdefgh/", "/*/*/abcdefgh/"},
    {"/v1234567/v12345678/v1234567a/v12345678a", "/v1234567/v12345678/*/*"},
    {"/x/AbcdefABcdefABCdefABCDef", "/x/*"},
    {"/x/abcdefabcdefabcdefabcdefabcdefag", "/x/abcdefabcdefabcdefabcdefabcdefag"},
    {"/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f/g/h"},
    {"/a/b/c/d/e/f/g/h/i", "/a/b/c/d/e/f/g/h/**"},
    {"/a/b/c/d/e/f/g/h/i/j/k", "/a/b/c/d/e/f/g/h/**"},
    {"/1/2/3/4/5/6/7/8/9", "/*/*/*/*/*/*/*/*/**"},
    {"/" TEXT_30 "/" TEXT_30 "/" TEXT_30, "/" TEXT_30 "/" TEXT_30 "/" TEXT_30},
    {"/" TEXT_30 "/" TEXT_30 "/" TEXT_30 "xyz",
     "/" TEXT_30 "/" TEXT_30 "/" TEXT_30 "xyz"},
    {"/" TEXT_30 "/" TEXT_30 "/" TEXT_30 "xyzw", "/" TEXT_30 "/" TEXT_30 "/**"},
    {"/" TEXT_30 TEXT_30 TEXT_30 "abcdef", "/**"},
    /* a wild segment may be long: it is one star in the end */
    {"/x/1" TEXT_30 TEXT_30 "/y", "/x/*/y"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct window *window;

static uint32_t normalise(const char *target, uint32_t cut)
{
	uint32_t len = (uint32_t)strlen(target);
	struct route route;

	memset(window, 0, sizeof(*window));
	memcpy(window->bytes, "GET ", 4);
	memcpy(window->bytes + 4, target, len);
	memcpy(window->bytes + 4 + len, " HTTP/1.1\r\n", 11);
	window->len = 4 + len + 11;
	window->pos = window->len;
	return route_normalise(window, &route, 4, 4 + len, cut);
}

static void targets_become_routes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(routes); i++) {
		uint32_t len = normalise(routes[i].target, 0);

		if (len != strlen(routes[i].route) ||
		    memcmp(window->bytes, routes[i].route, len))
			fail_msg("%s became %.*s", routes[i].target, (int)len,
				 (char *)window->bytes);
	}
}

static void a_cut_target_ends_at_a_whole_segment(void **state)
{
	(void)state;
	assert_int_equal(normalise("/abc/def", 1), strlen("/abc/**"));
	assert_memory_equal(window->bytes, "/abc/**", 7);
	assert_int_equal(normalise("/abc", 1), 3);
	assert_memory_equal(window->bytes, "/**", 3);
	/* the query is what was cut: the path is whole */
	assert_int_equal(normalise("/abc?q", 1), 4);
	assert_memory_equal(window->bytes, "/abc", 4);
}

/* In place: nothing beyond the target may change, whatever the target is. */
static void what_follows_the_target_is_left_alone(void **state)
{
	unsigned int seed = 20261122;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char target[128];
		size_t len = (size_t)(rand_r(&seed) % 110) + 1;

		for (size_t i = 0; i < len; i++)
			target[i] = "/ab1v?-"[rand_r(&seed) % 7];
		target[0] = '/';
		target[len] = 0;
		uint32_t out = normalise(target, 0);

		if (out > ROUTE_TEXT || out > len + 4 ||
		    memcmp(window->bytes + 4 + len, " HTTP/1.1\r\n", 11))
			fail_msg("seed 20261122, round %d: %s", round, target);
	}
}

static uint64_t hash_of(const char *text, uint64_t seed)
{
	memset(window->bytes, 0xee, sizeof(window->bytes));
	memcpy(window->bytes, text, strlen(text));
	return route_hash(window, (uint32_t)strlen(text), seed);
}

static void a_hash_depends_on_text_and_seed_alone(void **state)
{
	uint64_t first = hash_of("/users/*", 1);

	(void)state;
	memset(window->bytes, 0x11, sizeof(window->bytes));
	memcpy(window->bytes, "/users/*", 8);
	assert_true(route_hash(window, 8, 1) == first);
	assert_true(hash_of("/users/*", 2) != first);
	assert_true(hash_of("/users/+", 1) != first);
	assert_true(hash_of("/users/", 1) != hash_of("/users", 1));
	assert_true(hash_of("/users/*/orders", 1) != hash_of("/users/*/order", 1));
}

static void no_two_of_100000_routes_share_a_hash(void **state)
{
	uint64_t *table = calloc(1u << 18, sizeof(*table));

	(void)state;
	assert_non_null(table);
	for (int i = 0; i < 100000; i++) {
		char text[64];
		uint64_t hash;
		uint32_t at;

		snprintf(text, sizeof(text), "/path-%x/to/%x", i, i * 7);
		hash = hash_of(text, 0x1234567);
		assert_true(hash > TALLY_ROUTE_OTHER);
		for (at = (uint32_t)hash & 0x3ffff; table[at]; at = (at + 1) & 0x3ffff)
			assert_true(table[at] != hash);
		table[at] = hash;
	}
	free(table);
}

static int make_window(void **state)
{
	(void)state;
	window = stream_window();
	return 0;
}

/* A hash that only mixes by shift and multiplication has pairs that collide under
 * every seed: a bit in one word, and what it becomes in the next. */
static void no_two_flips_cancel_in_the_hash(void **state)
{
	const uint64_t seeds[] = {0, 1, 0x9e3779b97f4a7c15, UINT64_MAX};

	(void)state;
	memset(window->bytes, 'a', sizeof(window->bytes));
	for (size_t i = 0; i < 4; i++) {
		uint64_t hash = route_hash(window, 16, seeds[i]);

		for (uint32_t first = 0; first < 64; first++)
			for (uint32_t second = 64; second < 128; second++)
				for (uint32_t third = second; third < 128; third++) {
					uint8_t *bytes = window->bytes;

					bytes[first / 8] ^= (uint8_t)(1 << first % 8);
					bytes[second / 8] ^= (uint8_t)(1 << second % 8);
					if (third != second)
						bytes[third / 8] ^=
						    (uint8_t)(1 << third % 8);
					assert_true(route_hash(window, 16, seeds[i]) !=
						    hash);
					bytes[first / 8] ^= (uint8_t)(1 << first % 8);
					bytes[second / 8] ^= (uint8_t)(1 << second % 8);
					if (third != second)
						bytes[third / 8] ^=
						    (uint8_t)(1 << third % 8);
				}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_two_flips_cancel_in_the_hash),
	    cmocka_unit_test(targets_become_routes),
	    cmocka_unit_test(a_cut_target_ends_at_a_whole_segment),
	    cmocka_unit_test(what_follows_the_target_is_left_alone),
	    cmocka_unit_test(a_hash_depends_on_text_and_seed_alone),
	    cmocka_unit_test(no_two_of_100000_routes_share_a_hash),
	};

	return cmocka_run_group_tests(tests, make_window, NULL);
}
