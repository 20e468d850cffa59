/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_client.h"
#include "fake_push.h"
#include "length.h"
#include "scrape_slots.h"

#define MANY (SCRAPE_SLOTS_MAX + 44)

static struct config_scrape job = {.accept = (char *)"Accept: text/plain",
				   .enable_compression = true};
static struct scrape_target targets[MANY];
static char urls[MANY][32];
static struct scraped all[MANY];
static struct loop *loop;
static struct loop_timer *turn;
static struct scrape_slots *slots;
static size_t ended;
static char last[512]; /* of what ended: "URL result error body" */

static void on_done(void *context, struct scraped *scraped,
		    const struct scraped_answer *answer)
{
	(void)context;
	ended++;
	assert_int_equal(scraped->turn.state, SCRAPED_IDLE);
	snprintf(last, sizeof(last), "%s %d %s %.*s", scraped->target->url,
		 answer->result, answer->error ? answer->error : "-", (int)answer->len,
		 answer->body ? answer->body : "");
	scraped->last_ms = answer->time_ms;
}

static void on_turn(void *context)
{
	(void)context;
	loop_stop(loop);
}

/* What is due at once was done. */
static void run(void)
{
	for (int i = 0; i < 2; i++) {
		assert_int_equal(loop_timer_arm(turn, 0, 0), 0);
		assert_int_equal(loop_run(loop), 0);
	}
}

static int build(void **state)
{
	(void)state;
	job.limits.body_bytes = 0;
	job.enable_compression = true;
	fake_now_ms = 1000;
	fake_refuses = false;
	ended = fake_made = 0;
	for (size_t i = 0; i < MANY; i++) {
		snprintf(urls[i], sizeof(urls[i]), "http://a:%zu/", i + 1);
		targets[i] = (struct scrape_target){.url = urls[i], .timeout_ms = 1500};
		all[i] = (struct scraped){.config = &job, .target = &targets[i]};
	}
	if (loop_create(&loop) || loop_timer_create(loop, on_turn, NULL, &turn))
		return -1;
	return scrape_slots_create(loop, NULL, on_done, NULL, &slots);
}

static int destroy(void **state)
{
	(void)state;
	scrape_slots_free(&slots);
	loop_timer_free(&turn);
	loop_free(&loop);
	return 0;
}

static void a_request_says_what_it_takes_and_how_long(void **state)
{
	const struct exchange *request;

	(void)state;
	scrape_slots_add(slots, &all[0]);
	run();
	request = fake_find("http://a:1/");
	assert_non_null(request);
	assert_string_equal(request->headers,
			    "Accept: text/plain\n"
			    "X-Prometheus-Scrape-Timeout-Seconds: 1.5\n");
	assert_int_equal(request->body_max, SCRAPE_BODY_BYTES_MAX);
	assert_int_equal(request->config->timeout_ms, 1500);
}

static void a_job_may_not_want_compression_nor_much(void **state)
{
	const struct exchange *request;

	(void)state;
	job.enable_compression = false;
	job.limits.body_bytes = 77;
	scrape_slots_add(slots, &all[0]);
	run();
	request = fake_find("http://a:1/");
	assert_string_equal(request->headers,
			    "Accept: text/plain\n"
			    "X-Prometheus-Scrape-Timeout-Seconds: 1.5\n"
			    "Accept-Encoding: identity\n");
	assert_int_equal(request->body_max, 77);
}

static void what_came_is_told(void **state)
{
	static const struct {
		long status;
		const char *body;
		const char *told;
	} cases[] = {
	    {200, "a 1\n", "http://a:1/ 0 - a 1\n"},
	    {404, "secret page", "http://a:1/ 2 HTTP status 404 "},
	    {204, "", "http://a:1/ 2 HTTP status 204 "},
	    {0, "timed out", "http://a:1/ 1 timed out "},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		scrape_slots_add(slots, &all[0]);
		run();
		fake_answer(fake_find("http://a:1/"), cases[i].status, "text/plain",
			    cases[i].body);
		assert_string_equal(last, cases[i].told);
	}
	assert_int_equal(fake_made, 1);
}

static void one_that_cannot_be_asked_is_told_too(void **state)
{
	(void)state;
	fake_refuses = true;
	scrape_slots_add(slots, &all[0]);
	run();
	assert_string_equal(last, "http://a:1/ 4 no token ");
	fake_refuses = false;
	scrape_slots_add(slots, &all[0]);
	run();
	assert_non_null(fake_find("http://a:1/"));
}

static void only_so_many_run_at_a_time(void **state)
{
	(void)state;
	for (size_t i = 0; i < MANY; i++)
		scrape_slots_add(slots, &all[i]);
	run();
	assert_int_equal(fake_sending(), SCRAPE_SLOTS_MAX);
	assert_null(fake_find(urls[SCRAPE_SLOTS_MAX]));
	fake_answer(fake_find(urls[7]), 200, NULL, "");
	run();
	assert_int_equal(fake_sending(), SCRAPE_SLOTS_MAX);
	assert_non_null(fake_find(urls[SCRAPE_SLOTS_MAX]));
	assert_int_equal(ended, 1);
}

static void those_that_were_slow_leave_room_for_the_others(void **state)
{
	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		all[i].outcome.is_slow = i > 0;
		if (i)
			scrape_slots_add(slots, &all[i]);
	}
	run();
	assert_int_equal(fake_sending(), SCRAPE_SLOW_SLOTS_MAX);
	scrape_slots_add(slots, &all[0]);
	run();
	assert_non_null(fake_find(urls[0]));
	assert_int_equal(fake_sending(), SCRAPE_SLOW_SLOTS_MAX + 1);
}

static void one_that_is_due_while_it_runs_follows_at_once(void **state)
{
	(void)state;
	scrape_slots_add(slots, &all[0]);
	run();
	scrape_slots_add(slots, &all[0]);
	scrape_slots_add(slots, &all[0]);
	run();
	assert_int_equal(fake_sending(), 1);
	fake_answer(fake_find(urls[0]), 200, NULL, "");
	run();
	assert_int_equal(fake_sending(), 1);
	fake_answer(fake_find(urls[0]), 200, NULL, "");
	run();
	assert_int_equal(fake_sending(), 0);
	assert_int_equal(ended, 2);
}

static void one_that_waits_waits_once(void **state)
{
	(void)state;
	scrape_slots_add(slots, &all[0]);
	scrape_slots_add(slots, &all[0]);
	run();
	fake_answer(fake_find(urls[0]), 200, NULL, "");
	run();
	assert_int_equal(fake_sending(), 0);
}

static void one_that_goes_is_given_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++)
		scrape_slots_add(slots, &all[i]);
	/* Waiting: the last, the first, one between. */
	scrape_slots_remove(slots, &all[3]);
	scrape_slots_remove(slots, &all[0]);
	scrape_slots_add(slots, &all[0]);
	run();
	assert_int_equal(fake_sending(), 3);
	assert_null(fake_find(urls[3]));
	scrape_slots_remove(slots, &all[1]);
	assert_int_equal(fake_sending(), 2);
	assert_int_equal(all[1].turn.state, SCRAPED_IDLE);
	scrape_slots_remove(slots, &all[1]);
	assert_int_equal(ended, 0);
	scrape_slots_add(slots, &all[1]);
	run();
	assert_int_equal(fake_sending(), 3);
}

static void a_place_is_made_for_a_job_with_other_options(void **state)
{
	static struct config_scrape other = {.accept = (char *)"Accept: x",
					     .enable_compression = true};

	(void)state;
	for (size_t i = 0; i < SCRAPE_SLOTS_MAX; i++)
		scrape_slots_add(slots, &all[i]);
	run();
	for (size_t i = 0; i < SCRAPE_SLOTS_MAX; i++)
		fake_answer(fake_find(urls[i]), 200, NULL, "");
	all[0].config = &other;
	scrape_slots_add(slots, &all[0]);
	scrape_slots_add(slots, &all[1]);
	run();
	assert_int_equal(fake_made, SCRAPE_SLOTS_MAX + 1);
	assert_string_equal(fake_find(urls[0])->headers,
			    "Accept: x\nX-Prometheus-Scrape-Timeout-Seconds: 1.5\n");
}

static void a_scrape_is_later_than_the_one_before(void **state)
{
	(void)state;
	for (int64_t i = 0; i < 3; i++) {
		scrape_slots_add(slots, &all[0]);
		run();
		fake_answer(fake_find(urls[0]), 200, NULL, "");
		assert_int_equal(all[0].last_ms, 1000 + i);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, build, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_request_says_what_it_takes_and_how_long),
	    TEST(a_job_may_not_want_compression_nor_much),
	    TEST(what_came_is_told),
	    TEST(one_that_cannot_be_asked_is_told_too),
	    TEST(only_so_many_run_at_a_time),
	    TEST(those_that_were_slow_leave_room_for_the_others),
	    TEST(one_that_is_due_while_it_runs_follows_at_once),
	    TEST(one_that_waits_waits_once),
	    TEST(one_that_goes_is_given_up),
	    TEST(a_place_is_made_for_a_job_with_other_options),
	    TEST(a_scrape_is_later_than_the_one_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
