/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "fake_push.h"
#include "length.h"
#include "scraped.h"

#define REPORT(up, scraped, relabeled, added, time)                                    \
	"up{job=j} " up "@" time " "                                                   \
	"scrape_duration_seconds{job=j} 0.5@" time " "                                 \
	"scrape_samples_scraped{job=j} " scraped "@" time " "                          \
	"scrape_samples_post_metric_relabeling{job=j} " relabeled "@" time " "         \
	"scrape_series_added{job=j} " added "@" time " "

static const struct config_scrape job = {.job_name = (char *)"j",
					 .honor_timestamps = true};
static struct scraped *scraped;
static struct scraped_counters counters;

static int build(void **state)
{
	struct scrape_target *target = calloc(1, sizeof(*target));
	char *job_name = strdup("j");

	(void)state;
	counters = (struct scraped_counters){0};
	fake_push_forget();
	fake_is_open = false;
	fake_collection = 0;
	fake_now_ms = 1000;
	target->url = strdup("http://a/metrics?key=secret");
	target->labels.items = calloc(1, sizeof(*target->labels.items));
	target->labels.items[0] = (struct config_label){strdup("job"), job_name};
	target->labels.count = 1;
	return scraped_create(&job, NULL, &target, &scraped) || target ? -1 : 0;
}

static int destroy(void **state)
{
	(void)state;
	scraped_free(&scraped);
	return 0;
}

static void take_late(enum scraped_result result, const char *type, const char *body,
		      double duration_s)
{
	const struct scraped_answer answer = {
	    .result = result,
	    .error = result == SCRAPED_OK ? NULL : body,
	    .content_type = type,
	    .body = body,
	    .len = result == SCRAPED_OK ? strlen(body) : 0,
	    .duration_s = duration_s,
	    .time_ms = scraped_time_ms(scraped, NULL),
	};

	fake_push_forget();
	scraped_take(scraped, &answer, NULL, &counters);
}

static void take(enum scraped_result result, const char *type, const char *body)
{
	take_late(result, type, body, 0.5);
}

/* A value that the rule's regex gives up on: sent as it is, it would show what the rule
 * hides. */
static void what_cannot_be_relabelled_is_counted_and_not_sent(void **state)
{
	static struct config_relabel hide = {
	    .where = (char *)"f:1",
	    .action = CONFIG_DROP,
	    .separator = (char *)";",
	    .regex = (char *)"(a|a)*b",
	    .replacement = (char *)"$1",
	};
	char *source[] = {(char *)"x"};
	char body[256] = "m{x=\"", *end = body + strlen(body);

	(void)state;
	hide.source_labels = (struct config_strings){source, 1};
	scraped->series_config.relabels = &hide;
	scraped->series_config.relabel_count = 1;
	scrape_series_free(&scraped->series);
	assert_int_equal(
	    scrape_series_create(&scraped->series_config, &scraped->series), 0);
	memset(end, 'a', 64);
	strcpy(end + 64, "bc\"} 1\nn 2\n");
	take(SCRAPED_OK, NULL, body);
	take(SCRAPED_OK, NULL, body);
	assert_int_equal(counters.unrelabelled, 1);
	assert_int_equal(counters.samples, 2 * (1 + 5));
}

static void a_scrape_is_its_samples_and_a_report(void **state)
{
	(void)state;
	take(SCRAPED_OK, "text/plain", "a 1\nb{c=\"d\"} 2\n");
	assert_string_equal(fake_pushed, "a{job=j} 1@1000 b{c=d,job=j} 2@1000 " REPORT(
					     "1", "2", "2", "2", "1000"));
	assert_true(scraped->outcome.is_up && scraped->outcome.was_asked &&
		    !scraped->outcome.is_slow);
	assert_string_equal(scraped->outcome.error, "");
	assert_int_equal(counters.samples, 7);
	assert_int_equal(counters.results[SCRAPED_OK], 1);
	assert_int_equal(counters.body_bytes, 15);
}

static void two_scrapes_are_never_in_one_collection(void **state)
{
	(void)state;
	take(SCRAPED_OK, NULL, "a 1\n");
	fake_now_ms = 2000;
	take(SCRAPED_OK, NULL, "a 2\n");
	assert_string_equal(fake_pushed,
			    "|a{job=j} 2@2000 " REPORT("1", "1", "1", "0", "2000"));
	/* One that somebody else committed needs no end. */
	push_commit(NULL);
	fake_now_ms = 3000;
	take(SCRAPED_OK, NULL, "a 3\n");
	assert_string_equal(fake_pushed,
			    "a{job=j} 3@3000 " REPORT("1", "1", "1", "0", "3000"));
}

/* push says so where the clock was ahead by hours, as before the first NTP answer. */
static void where_times_go_back_by_hours_they_are_followed(void **state)
{
	(void)state;
	fake_now_ms = 400000000;
	take(SCRAPED_OK, NULL, "a 1\n");
	fake_now_ms -= 1; /* no step: another one is under way */
	take(SCRAPED_OK, NULL, "a 2\n");
	assert_string_equal(fake_pushed, "|a{job=j} 2@400000001 " REPORT(
					     "1", "1", "1", "0", "400000001"));
	fake_now_ms = 5000;
	take(SCRAPED_OK, NULL, "a 3\n");
	assert_string_equal(fake_pushed,
			    "|a{job=j} 3@5000 " REPORT("1", "1", "1", "0", "5000"));
	fake_now_ms = 6000;
	take(SCRAPED_OK, NULL, "b 4\n");
	assert_string_equal(fake_pushed, "|b{job=j} 4@6000 a{job=j} stale@6000 " REPORT(
					     "1", "1", "1", "1", "6000"));
}

static void a_scrape_that_fails_ends_what_was_there(void **state)
{
	(void)state;
	take(SCRAPED_OK, NULL, "a 1\n");
	fake_now_ms = 2000;
	take(SCRAPED_BAD_STATUS, NULL, "HTTP status 500");
	assert_string_equal(fake_pushed,
			    "|a{job=j} stale@2000 " REPORT("0", "0", "0", "0", "2000"));
	assert_false(scraped->outcome.is_up);
	assert_string_equal(scraped->outcome.error, "HTTP status 500");
	assert_int_equal(counters.results[SCRAPED_BAD_STATUS], 1);
}

static void a_body_that_does_not_parse_says_why(void **state)
{
	(void)state;
	take(SCRAPED_OK, NULL, "a 1\nb x\n");
	assert_non_null(strstr(fake_pushed, "up{job=j} 0@1000"));
	assert_null(strstr(fake_pushed, "a{"));
	assert_string_equal(scraped->outcome.error, "line 2: not a number");
	assert_int_equal(counters.results[SCRAPED_OK], 0);
	assert_int_equal(counters.results[SCRAPED_BAD_BODY], 1);
}

static void only_no_answer_or_a_late_one_is_slow(void **state)
{
	(void)state;
	take(SCRAPED_NO_ANSWER, NULL, "timed out");
	assert_true(scraped->outcome.is_slow);
	take(SCRAPED_BAD_STATUS, NULL, "HTTP status 500");
	assert_false(scraped->outcome.is_slow);
	take_late(SCRAPED_OK, NULL, "a 1\n", 1.5);
	assert_true(scraped->outcome.is_slow);
	take_late(SCRAPED_OK, NULL, "a 1\n", 1);
	assert_false(scraped->outcome.is_slow);
}

static void a_type_says_how_a_body_is_read(void **state)
{
	static const struct {
		const char *type;
		enum textparse_format text, openmetrics; /* by fallback */
	} cases[] = {
	    {"application/openmetrics-text; version=1.0.0; charset=utf-8",
	     TEXTPARSE_OPENMETRICS, TEXTPARSE_OPENMETRICS},
	    {"Application/OpenMetrics-Text", TEXTPARSE_OPENMETRICS,
	     TEXTPARSE_OPENMETRICS},
	    {"text/plain; version=0.0.4", TEXTPARSE_PROMETHEUS, TEXTPARSE_PROMETHEUS},
	    {"text/plain", TEXTPARSE_PROMETHEUS, TEXTPARSE_PROMETHEUS},
	    {NULL, TEXTPARSE_PROMETHEUS, TEXTPARSE_OPENMETRICS},
	    {"text/html", TEXTPARSE_PROMETHEUS, TEXTPARSE_OPENMETRICS},
	    {"text/plainer", TEXTPARSE_PROMETHEUS, TEXTPARSE_OPENMETRICS},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct config_scrape config = {.fallback = CONFIG_EXPOSITION_TEXT};

		assert_int_equal(scraped_format(&config, cases[i].type), cases[i].text);
		config.fallback = CONFIG_EXPOSITION_OPENMETRICS;
		assert_int_equal(scraped_format(&config, cases[i].type),
				 cases[i].openmetrics);
	}
}

static void a_target_that_goes_leaves_nothing(void **state)
{
	(void)state;
	take(SCRAPED_OK, NULL, "a 1\n");
	fake_push_forget();
	/* In the same millisecond: a marker is later than what it ends. */
	scraped_end(scraped, NULL, &counters);
	assert_string_equal(fake_pushed,
			    "|a{job=j} stale@1001 up{job=j} stale@1001 "
			    "scrape_duration_seconds{job=j} stale@1001 "
			    "scrape_samples_scraped{job=j} stale@1001 "
			    "scrape_samples_post_metric_relabeling{job=j} stale@1001 "
			    "scrape_series_added{job=j} stale@1001 ");
}

static void one_that_was_never_asked_leaves_nothing_either(void **state)
{
	(void)state;
	scraped_end(scraped, NULL, &counters);
	assert_string_equal(fake_pushed, "");
}

#define REPORTED(stale)                                                                \
	"<up 1" stale "> <scrape_duration_seconds 1" stale "> "                        \
	"<scrape_samples_scraped 1" stale "> "                                         \
	"<scrape_samples_post_metric_relabeling 1" stale "> "                          \
	"<scrape_series_added 1" stale "> "

static void metrics_go_to_those_that_take_them_whole(void **state)
{
	const char *body = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\n"
			   "h_count 1\n";

	(void)state;
	fake_wants_metrics = true;
	take(SCRAPED_OK, NULL, body);
	fake_wants_metrics = false;
	assert_string_equal(strchr(fake_pushed, '<'), "<h 1> " REPORTED(""));
	assert_int_equal(counters.samples, 8);
	fake_push_forget();
	scraped_end(scraped, NULL, &counters);
	assert_string_equal(strchr(fake_pushed, '<'),
			    "<h 1 stale> " REPORTED(" stale"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, build, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_cannot_be_relabelled_is_counted_and_not_sent),
	    TEST(a_scrape_is_its_samples_and_a_report),
	    TEST(metrics_go_to_those_that_take_them_whole),
	    TEST(two_scrapes_are_never_in_one_collection),
	    TEST(where_times_go_back_by_hours_they_are_followed),
	    TEST(a_scrape_that_fails_ends_what_was_there),
	    TEST(a_body_that_does_not_parse_says_why),
	    TEST(only_no_answer_or_a_late_one_is_slow),
	    TEST(a_type_says_how_a_body_is_read),
	    TEST(a_target_that_goes_leaves_nothing),
	    TEST(one_that_was_never_asked_leaves_nothing_either),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
