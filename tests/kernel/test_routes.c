/* SPDX-License-Identifier: Apache-2.0 */
/* From request target to route: what strangers write becomes a bounded text of
 * printable characters, the same at both ends, wherever the bytes were cut. */
#include "talk.h"

#define LEN(text) (sizeof(text) - 1)
#define TEN(x) x x x x x x x x x x

struct normal {
	const char *target;
	const char *route;
};

static const struct normal normals[] = {
    {"/", "/"},
    {"/?q=1", "/"},
    {"/#top", "/"},
    {"/users", "/users"},
    {"/users/", "/users/"},
    {"/users?id=42", "/users"},
    {"/users#id42", "/users"},
    {"/users/42", "/users/*"},
    {"/users/42/", "/users/*/"},
    {"/users/42/posts", "/users/*/posts"},
    {"/users/42/posts/7?page=2", "/users/*/posts/*"},
    {"/users/a1b", "/users/*"},
    {"/v1", "/v1"},
    {"/v1/users/7", "/v1/users/*"},
    {"/api/v2/items", "/api/v2/items"},
    {"/v10/x", "/v10/x"},
    {"/v1x/x", "/*/x"},
    {"/v", "/v"},
    {"/vv1", "/*"},
    {"/9v", "/*"},
    {"/item-abc", "/item-abc"},
    {"/f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "/*"},
    {"/hash/abcdefabcdefabcdefabcdef", "/hash/*"}, /* 24 hex letters */
    {"/hash/ABCDEFabcdefABCDEFabcdef", "/hash/*"},
    {"/hash/abcdefabcdefabcdefabcde", "/hash/abcdefabcdefabcdefabcde"}, /* 23 */
    {"/hash/abcdefabcdefabcdefabcdeg", "/hash/abcdefabcdefabcdefabcdeg"},
    {"/caf\xc3\xa9/menu", "/*/menu"},
    {"/tab\there", "/*"},
    {"/del\x7f", "/*"},
    {"/a%20b", "/*"},
    {"/a%2Fb", "/*"},
    {"/a.b-c_d~e!$&'()*+,;=:@", "/a.b-c_d~e!$&'()*+,;=:@"},
    {"/quote\"back\\slash", "/quote\"back\\slash"},
    {"//", "//"},
    {"//a//b", "//a//b"},
    {"/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f/g/h"},
    {"/a/b/c/d/e/f/g/h/i", "/a/b/c/d/e/f/g/h/**"},
    {"/a/b/c/d/e/f/g/h/i/j/k/l", "/a/b/c/d/e/f/g/h/**"},
    {"/a/b/c/d/e/f/g/h?x=/i", "/a/b/c/d/e/f/g/h"},
    {"/1/2/3/4/5/6/7/8/9", "/*/*/*/*/*/*/*/*/**"},
    {"http://example.com/abs/7?x", "/abs/*"},
    {"http://example.com", "/"},
    {"http://example.com:8080?x", "/"},
    {"https://u:p@example.com/a#b", "/a"},
};

static bool route_is(struct scene *scene, enum transport transport, const char *target,
		     const char *route, const struct delivery *deliveries, size_t count)
{
	static char request[4096];
	size_t len = (size_t)snprintf(request, sizeof(request),
				      "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target);
	const struct turn turns[] = {{CLIENT, SAYS, request, len},
				     S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
				     {0}};
	const struct talk talk = TALK(target, turns, ROWS(ROW(GET, 200, route, 0, 0)));

	REQUIRE(len < sizeof(request));
	return talk_check(scene, transport, &talk, deliveries, count);
}

static void targets_become_routes(void **state)
{
	static const struct delivery deliveries[] = {
	    {0}, {.write_max = 1}, {.read_max = 1}, {.write_max = 5}, {.read_max = 8}};
	unsigned int failures = 0;

	for (size_t i = 0; i < sizeof(normals) / sizeof(normals[0]); i++)
		for (enum transport transport = 0; transport < TRANSPORTS; transport++)
			failures += !route_is(*state, transport, normals[i].target,
					      normals[i].route, deliveries, 5);
	assert_int_equal(failures, 0);
}

/* Over two segments, cut at every byte of the request line. */
static void a_target_cut_at_every_byte_is_one_route(void **state)
{
	static const char target[] = "/api/v1/users/42/abcdefabcdefabcdefabcdef/x?y=1";
	struct delivery cuts[LEN(target) + 20];

	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++)
		cuts[i] = (struct delivery){.cut = i + 1};
	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		assert_true(route_is(*state, transport, target, "/api/v1/users/*/*/x",
				     cuts, sizeof(cuts) / sizeof(cuts[0])));
}

/* The text has TALLY_ROUTE_LEN bytes, the mark of what was cut included: what is
 * longer ends at the last segment that leaves room for it. */
static void what_is_too_long_is_cut_at_a_segment(void **state)
{
	static const struct normal longs[] = {
	    {"/" TEN("zzzzzzzzz") "/b", "/" TEN("zzzzzzzzz") "/b"},
	    {"/" TEN("zzzzzzzzz") "zzz/b", "/" TEN("zzzzzzzzz") "zzz/b"}, /* 96 */
	    {"/" TEN("zzzzzzzzz") "zzz/bb", "/**"},                       /* 97 */
	    {"/" TEN("zzzzzzzzz") "zz/bb/c", "/" TEN("zzzzzzzzz") "zz/**"},
	    {"/" TEN("zzzzzzzzz") "/bb/ccc/dddd", "/" TEN("zzzzzzzzz") "/**"},
	    {"/x/" TEN("zzzzzzzzzzzzzzzzzzzz"), "/x/**"},
	    {"/" TEN("zzzzzzzzzzzzzzzzzzzz"), "/**"},
	    {"/users/" TEN("12345678") "/posts", "/users/*/posts"},
	    /* beyond what is kept of a request line nothing more is known */
	    {"/users/" TEN(TEN("abcdefghi7")) "/posts", "/users/**"},
	    {"/users?" TEN(TEN("abcdefghij")), "/users"},
	};
	static const struct delivery deliveries[] = {{0},
						     {.write_max = 1},
						     {.read_max = 1},
						     {.write_max = 64},
						     {.read_max = 100}};
	unsigned int failures = 0;

	for (size_t i = 0; i < sizeof(longs) / sizeof(longs[0]); i++)
		for (enum transport transport = 0; transport < TRANSPORTS; transport++)
			failures += !route_is(*state, transport, longs[i].target,
					      longs[i].route, deliveries, 5);
	assert_int_equal(failures, 0);
}

/* Whatever its length, a route is a route: never cut inside, never unprintable. */
static void every_length_of_a_segment_has_its_route(void **state)
{
	unsigned int failures = 0;

	for (size_t len = 80; len < 140; len++) {
		char target[200] = "/", route[200];
		static const struct delivery deliveries[] = {
		    {0}, {.write_max = 33}, {.read_max = 7}};

		memset(target + 1, 'z', len - 1);
		target[len] = '\0';
		snprintf(route, sizeof(route), "%s",
			 len <= TALLY_ROUTE_LEN ? target : "/**");
		failures +=
		    !route_is(*state, len % TRANSPORTS, target, route, deliveries, 3);
	}
	assert_int_equal(failures, 0);
}

static void request_lines_of_kilobytes_are_counted(void **state)
{
	static char target[3000] = "/search/it?q=";
	static const struct delivery deliveries[] = {
	    {0}, {.write_max = 1}, {.read_max = 1}, {.write_max = 300}, {.cut = 128}};

	memset(target + LEN("/search/it?q="), 'q', sizeof(target) - 20);
	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		assert_true(
		    route_is(*state, transport, target, "/search/it", deliveries, 5));
}

static void methods_are_told_apart(void **state)
{
	static const struct {
		const char *name;
		uint8_t method;
	} methods[] = {
	    {"GET", TALLY_METHOD_GET},
	    {"POST", TALLY_METHOD_POST},
	    {"PUT", TALLY_METHOD_PUT},
	    {"DELETE", TALLY_METHOD_DELETE},
	    {"OPTIONS", TALLY_METHOD_OPTIONS},
	    {"TRACE", TALLY_METHOD_TRACE},
	    {"PATCH", TALLY_METHOD_PATCH},
	    {"PROPFIND", TALLY_METHOD_OTHER},
	    {"M-SEARCH", TALLY_METHOD_OTHER},
	    {"GETS", TALLY_METHOD_OTHER},
	    {"PURGE", TALLY_METHOD_OTHER},
	    {"PATCHES", TALLY_METHOD_OTHER},
	    {"BASELINE-CONTROL", TALLY_METHOD_OTHER},
	};
	static const struct delivery deliveries[] = {
	    {0}, {.write_max = 1}, {.cut = 2}, {.cut = 4}};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		char request[100];
		size_t len =
		    (size_t)sprintf(request, "%s /m HTTP/1.1\r\n\r\n", methods[i].name);
		const struct turn turns[] = {
		    {CLIENT, SAYS, request, len},
		    S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		    {0}};
		const struct talk talk = TALK(methods[i].name, turns,
					      ROWS({.method = methods[i].method,
						    .status = 200,
						    .route = "/m",
						    .requests = 1}));

		for (enum transport transport = 0; transport < TRANSPORTS; transport++)
			assert_true(
			    talk_check(*state, transport, &talk, deliveries, 4));
	}
}

/* Methods are case-sensitive (RFC 9110, 9.1): this one is nobody's. */
static void a_method_in_lower_case_is_not_that_method(void **state)
{
	static const struct delivery whole;
	const struct talk talk =
	    TALK("lower case",
		 TURNS(C("GET /m HTTP/1.1\r\n\r\n"),
		       S("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		       C("get /m HTTP/1.1\r\n\r\n"),
		       S("HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n")),
		 ROWS(ROW(GET, 200, "/m", 0, 0), ROW(OTHER, 501, "/m", 0, 0)));

	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		assert_true(talk_check(*state, transport, &talk, &whole, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(targets_become_routes),
	    cmocka_unit_test(a_target_cut_at_every_byte_is_one_route),
	    cmocka_unit_test(what_is_too_long_is_cut_at_a_segment),
	    cmocka_unit_test(every_length_of_a_segment_has_its_route),
	    cmocka_unit_test(request_lines_of_kilobytes_are_counted),
	    cmocka_unit_test(methods_are_told_apart),
	    cmocka_unit_test(a_method_in_lower_case_is_not_that_method),
	    cmocka_unit_test(no_case_is_counted_again_later),
	};

	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
