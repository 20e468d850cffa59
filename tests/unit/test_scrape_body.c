/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scrape_body.h"
#include "scrape_case.h"

static void a_bad_series_fails_the_scrape(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\n\nb{c=\"1\",c=\"2\"} 1\nd 1\n", 0, "");
	assert_false(scene.result.is_up);
	assert_string_equal(scene.result.reason, "line 3: label c twice in a series");
	assert_counts(&scene, 2, 1, 1);
	assert_text(&scene, "b{c=\"1\",c=\"2\"} 1", 0, "");
	assert_string_equal(scene.result.reason, "line 1: label c twice in a series");
	destroy(&scene);
}

static void times_of_their_own_are_ignored_where_they_are_not_honored(void **state)
{
	const struct scrape_series_config config = {.honor_timestamps = false};
	struct scene scene;

	(void)state;
	create(&scene, &config);
	assert_text(&scene, "a 1 5\n", 0, "a 1 @0");
	assert_text(&scene, "b 1\n", 1000, "a stale @1000\nb 1 @1000");
	destroy(&scene);
}

static void beyond_the_limit_the_scrape_fails(void **state)
{
	const struct scrape_series_config config = {
	    .honor_timestamps = true,
	    .sample_limit = 3,
	};
	struct scene scene;

	(void)state;
	create(&scene, &config);
	assert_text(&scene, "a 1\nb 1\nc 1\n", 0, "a 1 @0\nb 1 @0\nc 1 @0");
	assert_text(&scene, "a 1\nd 1\ne 1\nf 1\ng 1\n", 1000,
		    "a stale @1000\nb stale @1000\nc stale @1000");
	assert_string_equal(scene.result.reason, "sample_limit exceeded (5 samples)");
	assert_counts(&scene, 5, 5, 2);
	destroy(&scene);
}

static void what_rules_drop_is_scraped_and_nothing_else(void **state)
{
	struct config_relabel rules[] = {drop_rule("drop.*")};
	const struct scrape_series_config config = {
	    .honor_timestamps = true,
	    .relabels = rules,
	    .relabel_count = 1,
	    .sample_limit = 1,
	};
	struct scene scene;

	(void)state;
	create(&scene, &config);
	for (int64_t i = 0; i < 3; i++) {
		char expected[32];

		sprintf(expected, "a 1 @%lld", (long long)i * 1000);
		assert_text(&scene, "dropped 1\na 1\ndropped_too 1\n", i * 1000,
			    expected);
		assert_counts(&scene, 3, 1, i == 0);
	}
	assert_int_equal(scrape_series_count(scene.series), 3);
	assert_int_equal(scrape_series_unrelabelled(scene.series), 0);
	destroy(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_bad_series_fails_the_scrape),
	    cmocka_unit_test(times_of_their_own_are_ignored_where_they_are_not_honored),
	    cmocka_unit_test(beyond_the_limit_the_scrape_fails),
	    cmocka_unit_test(what_rules_drop_is_scraped_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
