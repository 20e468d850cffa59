/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "length.h"
#include "timeline.h"

#define HOUR 3600000ll
#define DAY 1700000000000ll

/* Both clocks, and the time that is given out. */
struct tick {
	int64_t wall_ms, boot_ms, time_ms;
};

static void expect_times(const struct tick *ticks, size_t count)
{
	struct timeline timeline = {0};

	for (size_t i = 0; i < count; i++)
		assert_int_equal(
		    timeline_next(&timeline, ticks[i].wall_ms, ticks[i].boot_ms),
		    ticks[i].time_ms);
}

static void times_are_the_wall_clocks_while_it_goes_forward(void **state)
{
	static const struct tick ticks[] = {
	    {DAY, 1000, DAY},
	    {DAY + 15000, 16000, DAY + 15000},
	    {DAY + 30000 - 1875, 31000, DAY + 30000 - 1875}, /* slewed by an eighth */
	    {DAY + 40 * HOUR, 46000, DAY + 40 * HOUR},       /* put forward */
	    {DAY + 40 * HOUR + 15000, 61000, DAY + 40 * HOUR + 15000},
	};

	(void)state;
	expect_times(ticks, LENGTH(ticks));
}

static void a_clock_put_back_is_waited_for_at_seven_eighths_of_the_speed(void **state)
{
	static const struct tick ticks[] = {
	    {DAY, 1000, DAY},
	    {DAY - 5000, 17000, DAY + 14000},  /* by 21 s, in 16 s */
	    {DAY + 11000, 33000, DAY + 28000}, /* 17 behind, and so on */
	    {DAY + 75000, 97000, DAY + 84000}, /* 9 */
	    {DAY + 139000, 161000, DAY + 140000},
	    {DAY + 155000, 177000, DAY + 155000}, /* caught up */
	    {DAY + 171000, 193000, DAY + 171000},
	};

	(void)state;
	expect_times(ticks, LENGTH(ticks));
}

static void a_clock_put_back_by_less_than_an_interval_is_waited_for_too(void **state)
{
	static const struct tick ticks[] = {
	    {DAY, 1000, DAY},
	    {DAY + 6000, 17000, DAY + 14000}, /* by 10 s; not backwards, but wrong */
	    {DAY + 22000, 33000, DAY + 28000},
	    {DAY + 102000, 113000, DAY + 102000},
	};

	(void)state;
	expect_times(ticks, LENGTH(ticks));
}

static void a_clock_put_back_is_told_once_and_its_end_once(void **state)
{
	int log_fd = memfd_create("log", MFD_CLOEXEC), real_stderr = dup(STDERR_FILENO);
	char text[1024] = "";

	dup2(log_fd, STDERR_FILENO);
	a_clock_put_back_is_waited_for_at_seven_eighths_of_the_speed(state);
	times_are_the_wall_clocks_while_it_goes_forward(state);
	dup2(real_stderr, STDERR_FILENO);
	assert_true(pread(log_fd, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(
	    text,
	    "bpftally: warning: the wall clock went back: times of samples are ahead "
	    "by "
	    "19000 ms, and go slower until it has caught up\n"
	    "bpftally: info: times of samples are those of the wall clock again\n");
	close(real_stderr);
	close(log_fd);
}

/* Two hours are a daylight saving that somebody did by hand, and one more. */
static void only_a_step_of_more_than_two_hours_is_followed(void **state)
{
	static const struct tick waited[] = {
	    {DAY, 1000, DAY},
	    {DAY + 8000 - 2 * HOUR, 9000, DAY + 7000},
	    {DAY + 16000 - 2 * HOUR, 17000, DAY + 14000},
	};
	static const struct tick followed[] = {
	    {DAY, 1000, DAY},
	    {DAY + 7999 - 2 * HOUR, 9000, DAY + 7999 - 2 * HOUR},
	    {DAY + 15999 - 2 * HOUR, 17000, DAY + 15999 - 2 * HOUR},
	};

	(void)state;
	expect_times(waited, LENGTH(waited));
	expect_times(followed, LENGTH(followed));
}

/* Receivers that refuse what is older would not say why. */
static void a_step_that_is_followed_is_told(void **state)
{
	static const struct tick ticks[] = {
	    {DAY, 1000, DAY},
	    {DAY - 3 * HOUR, 9000, DAY - 3 * HOUR},
	};
	int log_fd = memfd_create("log", MFD_CLOEXEC), real_stderr = dup(STDERR_FILENO);
	char text[1024] = "";

	(void)state;
	dup2(log_fd, STDERR_FILENO);
	expect_times(ticks, LENGTH(ticks));
	dup2(real_stderr, STDERR_FILENO);
	assert_true(pread(log_fd, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text,
			    "bpftally: warning: the wall clock went back by 10800 s: "
			    "the times of samples follow it, receivers may refuse them "
			    "as too old\n");
	close(real_stderr);
	close(log_fd);
}

static void times_in_one_millisecond_are_equal(void **state)
{
	static const struct tick ticks[] = {
	    {DAY, 1000, DAY},
	    {DAY, 1000, DAY},
	    {DAY - 1, 1000, DAY},
	    {DAY + 1, 1001, DAY + 1},
	};

	(void)state;
	expect_times(ticks, LENGTH(ticks));
}

static void an_earlier_life_is_not_gone_behind(void **state)
{
	struct timeline timeline = {0};

	(void)state;
	timeline_continue(&timeline, DAY + 60000);
	assert_int_equal(timeline_next(&timeline, DAY, 1000), DAY + 60000);
	assert_int_equal(timeline_next(&timeline, DAY + 8000, 9000), DAY + 67000);
}

static void expect_later(const struct tick *ticks, size_t count, int64_t last_ms)
{
	struct timeline timeline = {0};

	if (last_ms)
		timeline_continue(&timeline, last_ms);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(
		    timeline_after(&timeline, ticks[i].wall_ms, ticks[i].boot_ms),
		    ticks[i].time_ms);
}

static void those_that_must_differ_are_a_millisecond_apart(void **state)
{
	static const struct tick ticks[] = {
	    {DAY, 0, DAY},         {DAY, 0, DAY + 1},
	    {DAY, 0, DAY + 2},     {DAY - 9000, 0, DAY + 3},
	    {DAY + 4, 0, DAY + 4}, {DAY + 5, 1000, DAY + 5},
	};

	(void)state;
	expect_later(ticks, LENGTH(ticks), 0);
}

static void those_that_must_differ_go_on_after_an_earlier_life(void **state)
{
	static const struct tick forward[] = {
	    {DAY, 5000, DAY},
	    {DAY + 1000, 6000, DAY + 1000},
	};
	static const struct tick back[] = {
	    {DAY, 1000, DAY + 60001},
	    {DAY + 8000, 9000, DAY + 67001},
	};
	static const struct tick far_back[] = {{DAY, 1000, DAY}};

	(void)state;
	expect_later(forward, LENGTH(forward), DAY - 1);
	expect_later(back, LENGTH(back), DAY + 60000);
	expect_later(far_back, LENGTH(far_back), DAY + 2 * HOUR + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(times_are_the_wall_clocks_while_it_goes_forward),
	    cmocka_unit_test(
		a_clock_put_back_is_waited_for_at_seven_eighths_of_the_speed),
	    cmocka_unit_test(
		a_clock_put_back_by_less_than_an_interval_is_waited_for_too),
	    cmocka_unit_test(a_clock_put_back_is_told_once_and_its_end_once),
	    cmocka_unit_test(only_a_step_of_more_than_two_hours_is_followed),
	    cmocka_unit_test(a_step_that_is_followed_is_told),
	    cmocka_unit_test(times_in_one_millisecond_are_equal),
	    cmocka_unit_test(an_earlier_life_is_not_gone_behind),
	    cmocka_unit_test(those_that_must_differ_are_a_millisecond_apart),
	    cmocka_unit_test(those_that_must_differ_go_on_after_an_earlier_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
