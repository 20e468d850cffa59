/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "scrape_case.h"

static void a_body_is_its_samples(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\nb{c=\"d\"} 2\n", 0, "a 1 @0\nb{c=d} 2 @0");
	assert_true(scene.result.is_up);
	assert_string_equal(scene.result.reason, "");
	assert_counts(&scene, 2, 2, 2);
	assert_text(&scene, "a 3\nb{c=\"d\"} 4\n", 1000, "a 3 @1000\nb{c=d} 4 @1000");
	assert_counts(&scene, 2, 2, 0);
	assert_int_equal(scene.result.stale, 0);
	destroy(&scene);
}

static void a_scrape_that_fails_makes_all_stale(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	assert_failed(&scene, 0, "");
	assert_text(&scene, "a 1\nb 2\n", 1000, "a 1 @1000\nb 2 @1000");
	assert_failed(&scene, 2000, "a stale @2000\nb stale @2000");
	assert_counts(&scene, 0, 0, 0);
	assert_failed(&scene, 3000, "");
	/* They are no new series: the last good scrape had them. */
	assert_text(&scene, "a 1\nb 2\n", 4000, "a 1 @4000\nb 2 @4000");
	assert_counts(&scene, 2, 2, 0);
	destroy(&scene);
}

static void of_a_bad_body_nothing_goes_out(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\nb 2\n", 0, "a 1 @0\nb 2 @0");
	assert_text(&scene, "# HELP a x\na 1\nc 1\nb x\n", 1000,
		    "a stale @1000\nb stale @1000");
	assert_false(scene.result.is_up);
	assert_string_equal(scene.result.reason, "line 4: not a number");
	/* What was read until then. */
	assert_counts(&scene, 2, 2, 1);
	assert_text(&scene, "a 1\nb 2\nc 3\n", 2000, "a 1 @2000\nb 2 @2000\nc 3 @2000");
	assert_counts(&scene, 3, 3, 0);
	destroy(&scene);
}

static void an_empty_body_is_good(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "a 1\n", 0, "a 1 @0");
	assert_text(&scene, "", 1000, "a stale @1000");
	assert_true(scene.result.is_up);
	assert_text(&scene, "a 1\n", 2000, "a 1 @2000");
	assert_counts(&scene, 1, 1, 0);
	assert_body(&scene, OPEN, "", 3000, "a stale @3000");
	assert_string_equal(scene.result.reason, "line 1: no # EOF at the end");
	destroy(&scene);
}

static void old_families_stay_for_the_samples_that_have_them(void **state)
{
	struct scene scene;
	const struct family *old;

	(void)state;
	create(&scene, &plain);
	assert_text(&scene, "# HELP a one\na 1\n", 0, "a 1 @0");
	old = scene.receiver.family;
	assert_text(&scene, "# HELP a two\na 1\n", 1, "a 1 @1");
	assert_string_equal(scene.receiver.family->help, "two");
	assert_string_equal(old->help, "one");
	assert_text(&scene, "a 1\n", 2, "a 1 @2");
	assert_string_equal(old->help, "one");
	destroy(&scene);
}

static void the_scrape_itself_is_five_series(void **state)
{
	struct config_label items[] = {{"job", "j"}};
	const struct config_labels labels = {items, 1};
	const struct scrape_series_config config = {
	    .labels = &labels,
	    .honor_timestamps = true,
	};
	struct scene scene;
	const struct scrape_series_sink sink = {receive, receive_again,
						&scene.receiver};

	(void)state;
	create(&scene, &config);
	assert_text(&scene, "a 1\nb 1\n", 0, "a{job=j} 1 @0\nb{job=j} 1 @0");
	assert_int_equal(
	    scrape_series_report(scene.series, &scene.result, 0.25, NOW, &sink), 0);
	assert_string_equal(show(&scene.receiver),
			    "scrape_duration_seconds{job=j} 0.25 @0\n"
			    "scrape_samples_post_metric_relabeling{job=j} 2 @0\n"
			    "scrape_samples_scraped{job=j} 2 @0\n"
			    "scrape_series_added{job=j} 2 @0\n"
			    "up{job=j} 1 @0");
	assert_int_equal(scrape_series_end(scene.series, NOW + 1000, &sink), 0);
	assert_string_equal(show(&scene.receiver),
			    "a{job=j} stale @1000\n"
			    "b{job=j} stale @1000\n"
			    "scrape_duration_seconds{job=j} stale @1000\n"
			    "scrape_samples_post_metric_relabeling{job=j} stale @1000\n"
			    "scrape_samples_scraped{job=j} stale @1000\n"
			    "scrape_series_added{job=j} stale @1000\n"
			    "up{job=j} stale @1000");
	assert_int_equal(scrape_series_end(scene.series, NOW + 2000, &sink), 0);
	assert_string_equal(show(&scene.receiver), "");
	destroy(&scene);
}

/* --- any order of scrapes ------------------------------------------------------ */

#define ROUNDS 3000
#define LINES 12

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Of a few series, some of which have several texts; now and then one that is bad. */
static void write_body(char *body, uint32_t *seed)
{
	static const char *const series[LINES] = {
	    "a",
	    "ab",
	    "a{b=\"1\"}",
	    "a{b=\"1\",}",
	    "a {b=\"1\"}",
	    "a{b=\"1\",c=\"2\"}",
	    "a{c=\"2\",b=\"1\"}",
	    "dropped",
	    "dropped{b=\"1\"}",
	    "{\"q u\"}",
	    "a{b=\"\"}",
	    "a{b=\"2\",b=\"3\"}",
	};
	const uint32_t start = next_random(seed), step = 1 + next_random(seed) % 2;
	const uint32_t good = next_random(seed) % 8 ? LINES - 1 : LINES;

	*body = '\0';
	for (uint32_t i = 0; i < LINES; i++) {
		/* Mostly in the same order, and mostly all of them. */
		const uint32_t line = (step == 1 ? i : start + i * 5) % good;

		if (next_random(seed) % 6)
			body += sprintf(body, "%s %u\n", series[line],
					next_random(seed) % 3);
	}
	if (next_random(seed) % 10 == 0)
		strcpy(body, "bad");
}

/* Those that are in it but not in the other, each with a new end. */
static size_t subtract(char (*lines)[128], size_t count, char (*other)[128],
		       size_t other_count, const char *end, char (*ret_lines)[128])
{
	size_t left = 0;

	for (size_t i = 0; i < count; i++) {
		const size_t len = strrchr(lines[i], ' ') - lines[i];
		bool is_there = false;

		for (size_t j = 0; j < other_count && !is_there; j++)
			is_there = !strncmp(lines[i], other[j], len) &&
				   strrchr(other[j], ' ') == other[j] + len;
		if (!is_there)
			sprintf(ret_lines[left++], "%.*s%s", (int)len, lines[i], end);
	}
	return left;
}

/* Lines without value and time, of samples or of markers. */
static size_t names(struct receiver *receiver, bool are_stale, char (*ret_lines)[128])
{
	size_t count = 0;

	for (size_t i = 0; i < receiver->count; i++) {
		char *line = receiver->lines[i];

		if ((strstr(line, " stale ") != NULL) != are_stale)
			continue;
		*strrchr(line, '@') = '\0';
		snprintf(ret_lines[count++], sizeof(*ret_lines), "%.*s",
			 (int)strlen(line) - 1, line);
	}
	qsort(ret_lines, count, sizeof(*ret_lines), compare_lines);
	return count;
}

/* What is remembered changes nothing but markers, and these are what went. */
static void what_is_remembered_shows_in_markers_alone(void **state)
{
	static char live[64][128], alone[64][128], before[64][128], gone[64][128],
	    stale[64][128];
	struct config_relabel rules[] = {drop_rule("dropped")};
	const struct scrape_series_config config = {
	    .honor_timestamps = true,
	    .relabels = rules,
	    .relabel_count = 1,
	};
	const char *given = getenv("SEED");
	uint32_t seed =
	    given ? (uint32_t)strtoul(given, NULL, 0) : (uint32_t)time(NULL);
	struct scene scene;
	size_t live_count, before_count = 0;

	(void)state;
	print_message("SEED=%u\n", seed);
	create(&scene, &config);
	for (int64_t i = 0; i < ROUNDS; i++) {
		struct scene fresh;
		char body[1024];

		write_body(body, &seed);
		create(&fresh, &config);
		assert_int_equal(try_body(&fresh, TEXT, body, i), 0);
		assert_int_equal(try_body(&scene, TEXT, body, i), 0);
		assert_int_equal(scene.result.is_up, fresh.result.is_up);
		assert_int_equal(scene.result.scraped, fresh.result.scraped);
		assert_int_equal(scene.result.relabeled, fresh.result.relabeled);
		assert_string_equal(scene.result.reason, fresh.result.reason);
		const size_t stale_count = names(&scene.receiver, true, stale);

		live_count = names(&scene.receiver, false, live);
		assert_int_equal(names(&fresh.receiver, false, alone), live_count);
		for (size_t j = 0; j < live_count; j++)
			assert_string_equal(live[j], alone[j]);
		const size_t gone_count =
		    subtract(before, before_count, live, live_count, " stale", gone);
		qsort(gone, gone_count, sizeof(*gone), compare_lines);
		assert_int_equal(stale_count, gone_count);
		for (size_t j = 0; j < gone_count; j++)
			assert_string_equal(stale[j], gone[j]);
		memcpy(before, live, sizeof(live));
		before_count = live_count;
		destroy(&fresh);
	}
	destroy(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_body_is_its_samples),
	    cmocka_unit_test(a_scrape_that_fails_makes_all_stale),
	    cmocka_unit_test(of_a_bad_body_nothing_goes_out),
	    cmocka_unit_test(an_empty_body_is_good),
	    cmocka_unit_test(old_families_stay_for_the_samples_that_have_them),
	    cmocka_unit_test(the_scrape_itself_is_five_series),
	    cmocka_unit_test(what_is_remembered_shows_in_markers_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
