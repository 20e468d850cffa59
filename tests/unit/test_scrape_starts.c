/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scrape_case.h"
#include "scrape_starts.h"

/* The start that a sample leads to. */
static struct scrape_start *find(struct scrape_starts *starts, const char *line,
				 bool *ret_is_created)
{
	struct scrape_start *start;
	struct textparse parser;
	struct textparse_entry entry;

	textparse_init(&parser, TEXT, line, strlen(line));
	assert_int_equal(textparse_next(&parser, &entry), TEXTPARSE_SAMPLE);
	assert_int_equal(scrape_starts_find(starts, &entry, &start, ret_is_created), 0);
	return start;
}

static void parts_of_a_metric_have_one_start(void **state)
{
	static const char *const parts[] = {
	    "a_total{x=\"1\",y=\"2\"} 1\n",
	    "a_count{y=\"2\",x=\"1\"} 1\n",
	    "a_sum{x=\"1\",y=\"2\"} 1\n",
	    "a_bucket{x=\"1\",y=\"2\",le=\"5\"} 1\n",
	    "a_created{x=\"1\",quantile=\"0.5\",y=\"2\"} 1\n",
	};
	static const char *const others[] = {
	    "a_total{x=\"1\"} 1\n",
	    "a_total{x=\"1\",y=\"3\"} 1\n",
	    "b_total{x=\"1\",y=\"2\"} 1\n",
	};
	static const char *const without[] = {"a{x=\"1\",y=\"2\"} 1\n", "a_info 1\n",
					      "a_gcount 1\n", "a_gsum 1\n"};
	struct registry_keys keys;
	struct scrape_starts *starts;
	struct scrape_start *start;
	bool is_created;

	(void)state;
	registry_keys_init(&keys);
	assert_int_equal(scrape_starts_create(&keys, &starts), 0);
	start = find(starts, parts[0], &is_created);
	assert_non_null(start);
	for (size_t i = 0; i < LENGTH(parts); i++) {
		assert_ptr_equal(find(starts, parts[i], &is_created), start);
		assert_int_equal(is_created, i == LENGTH(parts) - 1);
	}
	for (size_t i = 0; i < LENGTH(others); i++)
		assert_ptr_not_equal(find(starts, others[i], &is_created), start);
	for (size_t i = 0; i < LENGTH(without); i++) {
		assert_null(find(starts, without[i], &is_created));
		assert_false(is_created);
	}
	scrape_starts_free(&starts);
	assert_null(starts);
	scrape_starts_free(&starts);
}

/* Whatever the keys. */
static void values_that_change_places_make_another_metric(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		struct registry_keys keys;
		struct scrape_starts *starts;
		struct scrape_start *start;
		bool is_created;

		registry_keys_init(&keys);
		assert_int_equal(scrape_starts_create(&keys, &starts), 0);
		start = find(starts, "a_total{from=\"x\",to=\"y\"} 1\n", &is_created);
		assert_ptr_not_equal(
		    find(starts, "a_total{from=\"y\",to=\"x\"} 1\n", &is_created),
		    start);
		scrape_starts_free(&starts);
	}
}

static uint64_t bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static void a_start_is_of_one_scrape_and_earlier_than_what_it_is_for(void **state)
{
	struct registry_keys keys;
	struct scrape_starts *starts;
	struct scrape_start *start;
	bool is_created;

	(void)state;
	registry_keys_init(&keys);
	assert_int_equal(scrape_starts_create(&keys, &starts), 0);
	start = find(starts, "a_created 1\n", &is_created);
	scrape_start_use(start);
	assert_int_equal(scrape_start_ms(start, 2000, 1), 0);
	scrape_start_note(start, bits_of(1.5), 2000, 1);
	assert_int_equal(scrape_start_ms(start, 2000, 1), 1500);
	assert_int_equal(scrape_start_ms(start, 1500, 1), 0);
	assert_int_equal(scrape_start_ms(start, 2000, 2), 0);
	scrape_start_note(start, bits_of(2.001), 2000, 2);
	scrape_start_note(start, bits_of(-1), 2000, 2);
	scrape_start_note(start, 0x7ff8000000000001, 2000, 2);
	assert_int_equal(scrape_start_ms(start, 2000, 2), 0);
	/* Used by one text, so it stays, with what it said. */
	scrape_starts_forget(starts);
	assert_ptr_equal(find(starts, "a_total 1\n", &is_created), start);
	assert_int_equal(scrape_start_ms(start, 2000, 1), 1500);
	scrape_start_leave(start);
	scrape_starts_forget(starts);
	assert_int_equal(
	    scrape_start_ms(find(starts, "a_total 1\n", &is_created), 2000, 1), 0);
	scrape_start_use(NULL);
	scrape_start_leave(NULL);
	scrape_starts_free(&starts);
}

static void created_lines_are_series_and_starts(void **state)
{
	struct scene scene;
	const char *body = "# TYPE a counter\n"
			   "a_total{b=\"1\"} 5\n"
			   "a_created{b=\"1\"} 99999.5\n"
			   "a_total{b=\"2\"} 6\n"
			   "# TYPE h histogram\n"
			   "h_created 99998\n"
			   "h_bucket{le=\"+Inf\"} 1\n"
			   "h_count 1\n"
			   "h_sum 1\n"
			   "# TYPE g gauge\n"
			   "g_created 99998\n"
			   "g_total 1\n"
			   "# TYPE w counter\n"
			   "w_total 1\n"
			   "w_created 100001\n"
			   "# EOF\n";

	(void)state;
	create(&scene, &plain);
	assert_body(&scene, OPEN, body, 0,
		    "a_created{b=1} 99999.5 @0\n"
		    "a_total{b=1} 5 @0 since -500\n"
		    "a_total{b=2} 6 @0\n"
		    "g_created 99998 @0\n"
		    "g_total 1 @0\n"
		    "h_bucket{le=+Inf} 1 @0 since -2000\n"
		    "h_count 1 @0 since -2000\n"
		    "h_created 99998 @0\n"
		    "h_sum 1 @0 since -2000\n"
		    "w_created 100001 @0\n"
		    "w_total 1 @0");
	assert_body(&scene, OPEN, "# TYPE h histogram\nh_sum 2\n# EOF\n", 1,
		    "a_created{b=1} stale @1\n"
		    "a_total{b=1} stale @1\n"
		    "a_total{b=2} stale @1\n"
		    "g_created stale @1\n"
		    "g_total stale @1\n"
		    "h_bucket{le=+Inf} stale @1\n"
		    "h_count stale @1\n"
		    "h_created stale @1\n"
		    "h_sum 2 @1\n"
		    "w_created stale @1\n"
		    "w_total stale @1");
	destroy(&scene);
}

static void a_start_is_known_even_where_its_series_is_dropped(void **state)
{
	struct config_relabel rules[] = {drop_rule(".*_created")};
	const struct scrape_series_config config = {
	    .honor_timestamps = true,
	    .relabels = rules,
	    .relabel_count = 1,
	};
	struct scene scene;
	const char *body = "# TYPE a_total counter\na_total 5\n"
			   "# TYPE a_created gauge\na_created 99999\n";

	(void)state;
	create(&scene, &config);
	assert_text(&scene, body, 0, "a_total 5 @0 since -1000");
	assert_text(&scene, body, 1, "a_total 5 @1 since -1000");
	destroy(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parts_of_a_metric_have_one_start),
	    cmocka_unit_test(values_that_change_places_make_another_metric),
	    cmocka_unit_test(a_start_is_of_one_scrape_and_earlier_than_what_it_is_for),
	    cmocka_unit_test(created_lines_are_series_and_starts),
	    cmocka_unit_test(a_start_is_known_even_where_its_series_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
