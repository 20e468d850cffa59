/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scrape_case.h"
#include "scrape_texts.h"

static void of_a_series_twice_in_a_body_the_first_counts(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\na 2\na 1\n", 0, "a 1 @0");
	assert_counts(&scene, 3, 3, 1);
	assert_int_equal(scene.result.duplicates, 1);
	/* Another text of it is another series to the count, as Prometheus has it. */
	assert_text(&scene, "b{x=\"1\",y=\"2\"} 1\nb{y=\"2\",x=\"1\"} 2\n", 1000,
		    "a stale @1000\nb{x=1}{y=2} 1 @1000");
	assert_counts(&scene, 2, 2, 2);
	assert_text(&scene, "b{y=\"2\",x=\"1\"} 2\n", 2000, "b{x=1}{y=2} 2 @2000");
	assert_text(&scene, "b{x=\"1\",y=\"2\"} 3\n", 3000, "b{x=1}{y=2} 3 @3000");
	assert_counts(&scene, 1, 1, 1);
	destroy(&scene);
}

static void what_was_not_in_a_good_scrape_is_forgotten(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\nb{c=\"1\"} 1\n", 0, "a 1 @0\nb{c=1} 1 @0");
	assert_int_equal(scrape_series_count(scene.series), 2);
	assert_text(&scene, "b{c=\"2\"} 1\na 1\n", 1000,
		    "a 1 @1000\nb{c=1} stale @1000\nb{c=2} 1 @1000");
	assert_int_equal(scrape_series_count(scene.series), 2);
	assert_text(&scene, "b{c=\"2\"} 2\na 2\n", 2000, "a 2 @2000\nb{c=2} 2 @2000");
	assert_text(&scene, "\n", 3000, "a stale @3000\nb{c=2} stale @3000");
	assert_int_equal(scrape_series_count(scene.series), 0);
	destroy(&scene);
}

static void bad_bodies_leave_a_bounded_number_behind(void **state)
{
	struct scene scene;
	char body[64];
	size_t most = 0;

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\n", 0, "a 1 @0");
	for (int i = 0; i < 3000; i++) {
		sprintf(body, "b%d 1\nx\n", i);
		assert_int_equal(try_body(&scene, TEXT, body, 1000 + i), 0);
		if (scrape_series_count(scene.series) > most)
			most = scrape_series_count(scene.series);
	}
	assert_int_equal(most, 1002);
	assert_text(&scene, "a 1\n", 9000, "a 1 @9000");
	destroy(&scene);
}

static void a_known_text_is_no_other_ones_beginning(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\nb 1\n", 0, "a 1 @0\nb 1 @0");
	assert_text(&scene, "a {c=\"d\"} 2\nbb 2\nb\t3\na-1\n", 1000,
		    "a -1 @1000\na{c=d} 2 @1000\nb 3 @1000\nbb 2 @1000");
	/* Blanks are good in one format alone. */
	assert_body(&scene, OPEN, "a {c=\"d\"} 2\n# EOF\n", 2000,
		    "a stale @2000\na{c=d} stale @2000\nb stale @2000\n"
		    "bb stale @2000");
	assert_string_equal(scene.result.reason, "line 1: not a number");
	destroy(&scene);
}

static void the_order_of_a_body_does_not_matter(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\nb 1\nc 1\nd 1\n", 0,
		    "a 1 @0\nb 1 @0\nc 1 @0\nd 1 @0");
	assert_text(&scene, "d 2\nc 2\nb 2\na 2\n", 1,
		    "a 2 @1\nb 2 @1\nc 2 @1\nd 2 @1");
	assert_text(&scene, "c 3\ne 3\n\n# x\na 3\n", 2,
		    "a 3 @2\nb stale @2\nc 3 @2\nd stale @2\ne 3 @2");
	assert_text(&scene, "c 4\nc 5\ne 4\na 4\n", 3, "a 4 @3\nc 4 @3\ne 4 @3");
	assert_text(&scene, "c 5\ne 5\na 5\n", 4, "a 5 @4\nc 5 @4\ne 5 @4");
	destroy(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(of_a_series_twice_in_a_body_the_first_counts),
	    cmocka_unit_test(what_was_not_in_a_good_scrape_is_forgotten),
	    cmocka_unit_test(bad_bodies_leave_a_bounded_number_behind),
	    cmocka_unit_test(a_known_text_is_no_other_ones_beginning),
	    cmocka_unit_test(the_order_of_a_body_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
