/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outage.h"

#define NOW 1000000

static const struct config_queue queue = {.min_backoff_ms = 100, .max_backoff_ms = 500};

/* What the next attempt waits, when it is made at once. */
static uint64_t fail_once(struct outage *outage, int64_t told_ms)
{
	uint64_t wait_ms = 0;

	outage_stop_waiting(outage);
	assert_true(outage_wait(outage, &queue, told_ms, NOW, &wait_ms));
	assert_true(outage->is_failing && outage->is_waiting);
	assert_int_equal(outage->retry_at_ms, NOW + wait_ms);
	return wait_ms;
}

static void waits_double_up_to_the_longest(void **state)
{
	static const uint64_t waits[] = {100, 200, 400, 500, 500};
	struct outage outage = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		assert_int_equal(fail_once(&outage, -1), waits[i]);
	outage_end(&outage, 0);
	assert_false(outage.is_failing);
	assert_int_equal(fail_once(&outage, -1), 100);
}

static void each_wait_of_an_outage_has_the_same_jitter(void **state)
{
	struct outage outage = {.jitter = UINT32_MAX};

	(void)state;
	assert_int_equal(fail_once(&outage, -1), 119);
	assert_int_equal(fail_once(&outage, -1), 239);
	outage_end(&outage, 1u << 31);
	assert_int_equal(fail_once(&outage, -1), 110);
}

static void requests_that_fail_side_by_side_are_one_failure(void **state)
{
	struct outage outage = {0};
	uint64_t wait_ms = 7;

	(void)state;
	assert_int_equal(fail_once(&outage, -1), 100);
	assert_false(outage_wait(&outage, &queue, -1, NOW, &wait_ms));
	assert_int_equal(wait_ms, 7);
	/* A millisecond later it ends a millisecond later. */
	assert_true(outage_wait(&outage, &queue, -1, NOW + 1, &wait_ms));
	assert_int_equal(wait_ms, 100);
	assert_int_equal(outage.retry_at_ms, NOW + 101);
	assert_int_equal(fail_once(&outage, -1), 200);
}

static void retry_after_replaces_one_wait(void **state)
{
	struct outage outage = {0};

	(void)state;
	assert_int_equal(fail_once(&outage, 7), 7);
	assert_true(outage.is_told_to_wait);
	assert_int_equal(fail_once(&outage, -1), 200);
	assert_false(outage.is_told_to_wait);
	/* A long one counts as slept, as far as one may. */
	assert_int_equal(fail_once(&outage, 10000), 10000);
	assert_int_equal(fail_once(&outage, 0), 500);
}

static void of_two_waits_the_later_one_holds(void **state)
{
	struct outage outage = {0};
	uint64_t wait_ms = 0;

	(void)state;
	assert_int_equal(fail_once(&outage, 5000), 5000);
	assert_false(outage_wait(&outage, &queue, -1, NOW, &wait_ms));
	assert_true(outage.is_told_to_wait);
	assert_true(outage_wait(&outage, &queue, 6000, NOW, &wait_ms));
	assert_int_equal(wait_ms, 6000);
	outage_stop_waiting(&outage);
	assert_false(outage.is_waiting || outage.is_told_to_wait);
	assert_true(outage.is_failing);
}

static void trouble_is_told_at_once_then_once_a_minute(void **state)
{
	struct outage outage = {0};
	uint64_t failures = 0;

	(void)state;
	assert_true(outage_may_tell(&outage, 503, NOW));
	assert_false(outage_may_tell(&outage, 503, NOW));
	assert_false(outage_may_tell(&outage, 503, NOW + 59999));
	assert_true(outage_may_tell(&outage, 503, NOW + 60000));
	assert_true(outage_is_over(&outage, &failures));
	assert_int_equal(failures, 4);
	assert_false(outage_is_over(&outage, &failures));
	assert_int_equal(failures, 0);
	/* One that comes and goes is told no more often. */
	assert_false(outage_may_tell(&outage, 503, NOW + 60001));
	assert_false(outage_is_over(&outage, &failures));
	assert_int_equal(failures, 1);
	assert_true(outage_may_tell(&outage, 503, NOW + 120000));
}

static void another_status_is_told_at_once(void **state)
{
	struct outage outage = {0};
	uint64_t failures = 0;

	(void)state;
	assert_true(outage_may_tell(&outage, 413, NOW));
	assert_true(outage_may_tell(&outage, 401, NOW + 1));
	assert_true(outage_may_tell(&outage, 0, NOW + 2));
	assert_false(outage_may_tell(&outage, 413, NOW + 59999));
	assert_false(outage_may_tell(&outage, 401, NOW + 60000));
	assert_true(outage_may_tell(&outage, 413, NOW + 60000));
	assert_true(outage_may_tell(&outage, 401, NOW + 60001));
	assert_false(outage_may_tell(&outage, 0, NOW + 60001));
	assert_true(outage_is_over(&outage, &failures));
	assert_int_equal(failures, 8);
}

static void statuses_that_take_turns_are_told_four_times_a_minute(void **state)
{
	struct outage outage = {0};
	unsigned int told = 0;

	(void)state;
	for (uint64_t i = 0; i < 600; i++)
		told += outage_may_tell(&outage, 500 + (long)(i % 7), NOW + 200 * i);
	assert_int_equal(told, 8); /* in two minutes */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(waits_double_up_to_the_longest),
	    cmocka_unit_test(each_wait_of_an_outage_has_the_same_jitter),
	    cmocka_unit_test(requests_that_fail_side_by_side_are_one_failure),
	    cmocka_unit_test(retry_after_replaces_one_wait),
	    cmocka_unit_test(of_two_waits_the_later_one_holds),
	    cmocka_unit_test(trouble_is_told_at_once_then_once_a_minute),
	    cmocka_unit_test(another_status_is_told_at_once),
	    cmocka_unit_test(statuses_that_take_turns_are_told_four_times_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
