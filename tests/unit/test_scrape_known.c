/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scrape_case.h"
#include "scrape_known.h"

static void count(void *context, struct scrape_known *known)
{
	size_t *counts = context;

	counts[0]++;
	counts[1] += known->users;
}

static void a_series_is_known_once_for_as_long_as_it_is_used(void **state)
{
	const struct label labels[] = {{"__name__", "a"}, {"b", "c"}, {"d", "e"}};
	const struct label other[] = {{"__name__", "ab"}, {"c", ""}};
	const struct label_set sets[] = {
	    {labels, 1}, {labels, 2}, {labels, 3}, {other, 1}, {other, 2}};
	struct scrape_known *known[LENGTH(sets)], *again;
	struct registry_keys keys;
	struct scrape_labels *maker;
	struct scrape_known_set *set;
	size_t counts[2] = {0};

	(void)state;
	registry_keys_init(&keys);
	assert_int_equal(scrape_labels_create(&plain, &maker), 0);
	assert_int_equal(scrape_known_create(&keys, maker, &set), 0);
	for (size_t i = 0; i < LENGTH(sets); i++) {
		assert_int_equal(scrape_known_find(set, &sets[i], &known[i]), 0);
		assert_int_equal(known[i]->label_count, sets[i].count);
		assert_ptr_not_equal(known[i]->labels[0].name, labels[0].name);
		assert_string_equal(known[i]->labels[sets[i].count - 1].value,
				    sets[i].labels[sets[i].count - 1].value);
		assert_int_equal(known[i]->last.time_ms, INT64_MIN);
		assert_false(known[i]->is_report);
		known[i]->users = i;
	}
	for (size_t i = 0; i < LENGTH(sets); i++) {
		assert_int_equal(scrape_known_find(set, &sets[i], &again), 0);
		assert_ptr_equal(again, known[i]);
	}
	scrape_known_each(set, count, counts);
	assert_int_equal(counts[0], LENGTH(sets));
	scrape_known_forget(set);
	memset(counts, 0, sizeof(counts));
	scrape_known_each(set, count, counts);
	assert_int_equal(counts[0], LENGTH(sets) - 1);
	assert_int_equal(counts[1], 1 + 2 + 3 + 4);
	scrape_known_free(&set);
	assert_null(set);
	scrape_known_free(&set);
	scrape_labels_free(&maker);
}

/* A target that says "up" itself: not two values at one time, and ours is what is so.
 * With a label more it is another series. */
static void what_the_target_says_of_its_scrape_is_not_taken(void **state)
{
	struct config_label items[] = {{"job", "j"}};
	const struct config_labels labels = {items, 1};
	const struct scrape_series_config config = {
	    .labels = &labels,
	    .honor_timestamps = true,
	};
	struct scene scene;

	(void)state;
	create(&scene, &config);
	assert_text(&scene,
		    "up 0\nup{x=\"y\"} 0\nscrape_samples_scraped 7 100000000\na 1\n", 0,
		    "a{job=j} 1 @0\nup{job=j}{x=y} 0 @0");
	assert_counts(&scene, 4, 4, 4);
	assert_int_equal(scene.result.duplicates, 2);
	assert_text(&scene, "a 1\n", 1000,
		    "a{job=j} 1 @1000\nup{job=j}{x=y} stale @1000");
	destroy(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_series_is_known_once_for_as_long_as_it_is_used),
	    cmocka_unit_test(what_the_target_says_of_its_scrape_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
