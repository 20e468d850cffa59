/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "series_case.h"
#include "series_routes.h"

static void routes_without_a_text_are_other(void **state)
{
	static const uint64_t hashes[] = {TALLY_ROUTE_OTHER, 4711};
	struct tally_series_key key = server_key(1);
	struct scene *scene = *state;

	for (size_t i = 0; i < COUNT(hashes); i++) {
		key.route = hashes[i];
		count(&key, 2);
	}
	collect_well(scene, NOW);
	check_line(scene,
		   "http_server_request_duration_seconds_count{"
		   "http_request_method=\"GET\",http_response_status_code=\"200\","
		   "http_route=\"other\"," WEB ",url_scheme=\"http\"} 4");
}

/* It began before its process was named and ended after. */
static void a_route_is_found_under_the_alias_it_was_put_under(void **state)
{
	struct tally_series_key key = server_key(1);
	struct scene *scene = *state;
	static const char line[] =
	    "http_server_request_duration_seconds_count{"
	    "http_request_method=\"GET\",http_response_status_code=\"200\","
	    "http_route=\"/a\"," WEB ",url_scheme=\"http\"} 1";

	name_alias(scene, PROVISIONAL(1), 1, NOW);
	put_route(77, PROVISIONAL(1), "/a");
	put_route_count(PROVISIONAL(1));
	put_route_count(1);
	key.route = 77;
	count(&key, 1);
	collect_well(scene, NOW);
	check_line(scene, line);
	assert_true(has_route(77, PROVISIONAL(1)));
	assert_true(has_route_count(PROVISIONAL(1)));
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	assert_false(has_route_count(PROVISIONAL(1)));
	assert_true(has_route_count(1));
	assert_int_equal(scene->targets.alias_count, 0);
	assert_false(has_route(77, PROVISIONAL(1)));
	assert_true(has_route(77, 1));
	collect_well(scene, NOW + SERIES_SETTLE_MS + 1);
	check_line(scene, line);
}

/* Many short-lived processes with a path each: the service's share is a bound. */
static void routes_of_aliases_beyond_the_services_share_are_other(void **state)
{
	struct scene *scene = *state;
	const uint32_t more = 3;
	char path[16];

	for (uint32_t i = 0; i < ROUTES_MAX + more; i++) {
		struct tally_series_key key = server_key(PROVISIONAL(i + 1));

		snprintf(path, sizeof(path), "/%u", i);
		key.route = 70 + i;
		name_alias(scene, PROVISIONAL(i + 1), 1, NOW);
		put_route(key.route, PROVISIONAL(i + 1), path);
		count(&key, 1);
	}
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	assert_int_equal(kernel_rows(), 0);
	assert_int_equal(fake_maps[PROBES_ROUTES].count, ROUTES_MAX);
	check_line(scene,
		   "http_server_request_duration_seconds_count{"
		   "http_request_method=\"GET\",http_response_status_code=\"200\","
		   "http_route=\"other\"," WEB ",url_scheme=\"http\"} 3");
}

/* Beyond the share it is other from the start, or the counter of the route would
 * fall when one of two aliases retires before the other. */
static void a_route_beyond_the_share_is_other_before_its_alias_retires(void **state)
{
	static const char line[] =
	    "http_server_request_duration_seconds_count{"
	    "http_request_method=\"GET\",http_response_status_code=\"200\","
	    "http_route=\"other\"," WEB ",url_scheme=\"http\"} 2";
	struct scene *scene = *state;
	char path[16];

	for (uint32_t i = 0; i < ROUTES_MAX; i++) {
		snprintf(path, sizeof(path), "/%u", i);
		put_route(100 + i, 1, path);
	}
	for (uint32_t i = 1; i <= 2; i++) {
		struct tally_series_key key = server_key(PROVISIONAL(i));

		key.route = 77;
		name_alias(scene, PROVISIONAL(i), 1,
			   i == 1 ? NOW : NOW + SERIES_SETTLE_MS - 1);
		put_route(77, PROVISIONAL(i), "/b");
		count(&key, 1);
	}
	collect_well(scene, NOW);
	check_line(scene, line);
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	assert_int_equal(kernel_rows(), 1);
	check_line(scene, line);
	check_absent(scene, "/b");
}

/* Its event was lost and it died before a request of it was over. */
static void routes_of_an_id_without_rows_or_name_go(void **state)
{
	struct scene *scene = *state;

	put_route(77, PROVISIONAL(1), "/a");
	put_route_count(PROVISIONAL(1));
	collect_well(scene, NOW);
	assert_true(has_route(77, PROVISIONAL(1)));
	collect_well(scene, NOW + 5001);
	assert_false(has_route(77, PROVISIONAL(1)));
	assert_false(has_route_count(PROVISIONAL(1)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(routes_without_a_text_are_other),
	    TEST(a_route_is_found_under_the_alias_it_was_put_under),
	    TEST(routes_of_aliases_beyond_the_services_share_are_other),
	    TEST(a_route_beyond_the_share_is_other_before_its_alias_retires),
	    TEST(routes_of_an_id_without_rows_or_name_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
