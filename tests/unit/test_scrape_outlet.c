/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scrape_case.h"
#include "scrape_outlet.h"

static void a_series_that_goes_is_stale_once(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\nb 2\n", 0, "a 1 @0\nb 2 @0");
	assert_text(&scene, "a 1\n", 1000, "a 1 @1000\nb stale @1000");
	assert_int_equal(scene.result.stale, 1);
	assert_counts(&scene, 1, 1, 0);
	assert_text(&scene, "a 1\n", 2000, "a 1 @2000");
	/* It is new when it comes back. */
	assert_text(&scene, "a 1\nb 3\n", 3000, "a 1 @3000\nb 3 @3000");
	assert_counts(&scene, 2, 2, 1);
	destroy(&scene);
}

static void staleness_may_be_tracked_in_spite_of_times(void **state)
{
	const struct scrape_series_config config = {
	    .honor_timestamps = true,
	    .track_timestamps_staleness = true,
	};
	struct scene scene;
	char body[64];

	(void)state;
	create(&scene, &config);
	sprintf(body, "a 1 %lld\n", NOW - 5000);
	assert_text(&scene, body, 0, "a 1 @-5000");
	assert_text(&scene, body, 1000, "");
	assert_text(&scene, "b 1\n", 2000, "a stale @2000\nb 1 @2000");
	destroy(&scene);
}

static void a_series_that_begins_to_have_times_is_stale(void **state)
{
	struct scene scene;
	char body[64];

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\n", 0, "a 1 @0");
	sprintf(body, "a 2 %lld\n", NOW + 500);
	assert_text(&scene, body, 1000, "a 2 @500\n~\na stale @1000");
	sprintf(body, "a 3 %lld\n", NOW + 900);
	assert_text(&scene, body, 2000, "");
	assert_int_equal(scene.result.out_of_order, 1);
	destroy(&scene);
}

static void a_marker_is_not_older_than_what_it_follows(void **state)
{
	struct scene scene;
	char body[64];

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\n", 0, "a 1 @0");
	sprintf(body, "a 2 %lld\n", NOW + 5000);
	assert_text(&scene, body, 1000, "a 2 @5000");
	assert_int_equal(scene.result.stale, 0);
	destroy(&scene);
}

static void a_series_with_several_times_is_handed_out_in_turns(void **state)
{
	struct scene scene;
	char body[256];

	(void)state;
	create(&scene, &plain);
	sprintf(body, "a 1 %lld\nb 1 %lld\na 2 %lld\nb 2 %lld\na 3 %lld\n", NOW - 3000,
		NOW - 3000, NOW - 2000, NOW - 4000, NOW - 1000);
	assert_text(&scene, body, 0,
		    "a 1 @-3000\nb 1 @-3000\n~\na 2 @-2000\n~\n"
		    "a 3 @-1000");
	assert_counts(&scene, 5, 5, 2);
	assert_int_equal(scene.result.out_of_order, 1);
	destroy(&scene);
}

static void samples_have_the_family_that_the_body_says(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	scene.receiver.shows_families = true;
	assert_text(&scene, "h_sum 1\n# TYPE h histogram\nh_count 1\n", 0,
		    "h_count 1 @0 of h\nh_sum 1 @0 of h");
	assert_text(&scene, "h_sum 1\n# TYPE h gauge\nx 1\n", 1,
		    "h_count stale @1 of h\nh_sum 1 @1 of \nx 1 @1 of ");
	assert_text(&scene, "{\"x\"} 1\n# HELP x y\n", 2,
		    "h_sum stale @2 of \nx 1 @2 of x");
	assert_string_equal(scene.receiver.family->name, "");
	destroy(&scene);
}

static void exemplars_go_with_their_samples(void **state)
{
	struct scene scene;
	const char *body = "a_total 5 # {t=\"x\"} 1\nb_total 5 # {t=\"y\"} 1\n# EOF\n";

	(void)state;
	create(&scene, &plain);
	assert_body(&scene, OPEN, body, 0, "a_total 5 @0 #x\nb_total 5 @0 #y");
	assert_body(&scene, OPEN, body, 1, "a_total 5 @1\nb_total 5 @1");
	assert_body(&scene, OPEN, "a_total 5 # {t=\"z\"} 1\n# EOF", 2,
		    "a_total 5 @2 #z\nb_total stale @2");
	destroy(&scene);
}

static void what_a_sink_did_not_take_is_not_lost_to_staleness(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\nb 1\nc 1\n", 0, "a 1 @0\nb 1 @0\nc 1 @0");
	scene.receiver.fail_at = 2;
	assert_int_equal(try_body(&scene, TEXT, "a 1\nb 1\n", 1000), -ENOMEM);
	assert_string_equal(show(&scene.receiver), "a 1 @1000");
	scene.receiver.fail_at = 0;
	assert_text(&scene, "a 1\n", 2000, "a 1 @2000\nb stale @2000\nc stale @2000");
	/* The second marker is not taken. */
	assert_text(&scene, "a 1\nb 1\nc 1\n", 3000, "a 1 @3000\nb 1 @3000\nc 1 @3000");
	scene.receiver.fail_at = 3;
	assert_int_equal(try_body(&scene, TEXT, "a 1\n", 4000), -ENOMEM);
	scene.receiver.fail_at = 0;
	assert_int_equal(try_body(&scene, TEXT, "a 1\n", 5000), 0);
	assert_int_equal(scene.result.stale, 1);
	destroy(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_series_that_goes_is_stale_once),
	    cmocka_unit_test(staleness_may_be_tracked_in_spite_of_times),
	    cmocka_unit_test(a_series_that_begins_to_have_times_is_stale),
	    cmocka_unit_test(a_marker_is_not_older_than_what_it_follows),
	    cmocka_unit_test(a_series_with_several_times_is_handed_out_in_turns),
	    cmocka_unit_test(samples_have_the_family_that_the_body_says),
	    cmocka_unit_test(exemplars_go_with_their_samples),
	    cmocka_unit_test(what_a_sink_did_not_take_is_not_lost_to_staleness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
