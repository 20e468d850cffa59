/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scrape_case.h"
#include "scrape_exemplar.h"
#include "scrape_last.h"

static void what_follows_is_later_and_not_far_from_its_scrape(void **state)
{
	static const struct {
		int64_t time_ms; /* since NOW */
		uint64_t bits;
		enum scrape_last_verdict verdict;
	} cases[] = {
	    {0, 5, SCRAPE_LAST_SAME},
	    {0, 6, SCRAPE_LAST_DUPLICATE},
	    {1, 5, SCRAPE_LAST_FOLLOWS},
	    {-1, 5, SCRAPE_LAST_OLDER},
	    {10 * MINUTE, 5, SCRAPE_LAST_FOLLOWS},
	    {10 * MINUTE + 1, 5, SCRAPE_LAST_FAR},
	    {-60 * MINUTE, 5, SCRAPE_LAST_OLDER},
	    {-60 * MINUTE - 1, 5, SCRAPE_LAST_FAR},
	};
	const struct scrape_last last = {.time_ms = NOW, .bits = 5};
	struct scrape_last none;

	(void)state;
	scrape_last_init(&none);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const bool is_far = cases[i].verdict == SCRAPE_LAST_FAR;
		const int64_t time_ms = NOW + cases[i].time_ms;

		assert_int_equal(scrape_last_judge(&last, time_ms, cases[i].bits, NOW),
				 cases[i].verdict);
		assert_int_equal(scrape_last_judge(&none, time_ms, cases[i].bits, NOW),
				 is_far ? SCRAPE_LAST_FAR : SCRAPE_LAST_FOLLOWS);
	}
}

static void what_is_ahead_of_any_sample_is_forgotten(void **state)
{
	struct scrape_last last = {.time_ms = NOW + 10 * MINUTE};

	(void)state;
	scrape_last_exemplar(&last)->is_set = true;
	scrape_last_forget_future(&last, NOW);
	assert_int_equal(last.time_ms, NOW + 10 * MINUTE);
	assert_true(scrape_last_exemplar(&last)->is_set);
	scrape_last_forget_future(&last, NOW - 1);
	assert_int_equal(last.time_ms, INT64_MIN);
	assert_false(scrape_last_exemplar(&last)->is_set);
	scrape_last_free(&last);
	assert_null(last.exemplar);
	scrape_last_free(&last);
}

static void times_of_their_own_are_kept(void **state)
{
	struct scene scene;
	char body[128];

	(void)state;
	create(&scene, &plain);
	sprintf(body, "a 1 %lld\nb 1\n", NOW - 5000);
	assert_text(&scene, body, 0, "a 1 @-5000\nb 1 @0");
	/* The same once more: nothing new. */
	assert_text(&scene, body, 1000, "b 1 @1000");
	assert_int_equal(scene.result.duplicates, 0);
	sprintf(body, "a 2 %lld\nb 1\n", NOW - 5000);
	assert_text(&scene, body, 2000, "b 1 @2000");
	assert_int_equal(scene.result.duplicates, 1);
	sprintf(body, "a 2 %lld\nb 1\n", NOW - 5001);
	assert_text(&scene, body, 3000, "b 1 @3000");
	assert_int_equal(scene.result.out_of_order, 1);
	/* It is not stale when it goes. */
	assert_text(&scene, "b 1\n", 4000, "b 1 @4000");
	destroy(&scene);
}

static void times_far_from_now_are_not_taken(void **state)
{
	struct scene scene;
	char body[256];

	(void)state;
	create(&scene, &plain);
	sprintf(body, "a 1 %lld\nb 1 %lld\nc 1 %lld\nd 1 %lld\n", NOW - 60 * MINUTE,
		NOW - 60 * MINUTE - 1, NOW + 10 * MINUTE, NOW + 10 * MINUTE + 1);
	assert_text(&scene, body, 0, "a 1 @-3600000\nc 1 @600000");
	assert_int_equal(scene.result.out_of_bounds, 2);
	assert_counts(&scene, 4, 4, 2);
	destroy(&scene);
}

static void where_times_went_back_series_begin_anew(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	assert_body(&scene, OPEN, "a_total 1 # {x=\"1\"} 1\nb 1\n# EOF\n",
		    10 * MINUTE + 1, "a_total 1 @600001 #1\nb 1 @600001");
	assert_body(&scene, OPEN, "a_total 2 # {x=\"2\"} 1\n# EOF\n", 0,
		    "a_total 2 @0 #2\nb stale @0");
	assert_int_equal(scene.result.out_of_order, 0);
	destroy(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_follows_is_later_and_not_far_from_its_scrape),
	    cmocka_unit_test(what_is_ahead_of_any_sample_is_forgotten),
	    cmocka_unit_test(times_of_their_own_are_kept),
	    cmocka_unit_test(times_far_from_now_are_not_taken),
	    cmocka_unit_test(where_times_went_back_series_begin_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
