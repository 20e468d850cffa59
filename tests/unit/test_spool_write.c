/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spool_case.h"

/* --- bounds ------------------------------------------------------------------- */

static void what_is_too_old_falls_out(void **state)
{
	struct spool_case *test = *state;
	const int64_t age_ms = (int64_t)test->config.age_max_ms;

	case_open(test);
	put_one_at(test->lane, test->spool, 1, NOW_MS);
	put_one_at(test->lane, test->spool, 2, NOW_MS + 1);
	put_one_at(test->lane, test->spool, 3, NOW_MS + age_ms);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 0);
	put_one_at(test->lane, test->spool, 4, NOW_MS + age_ms + 1);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 100);
	assert_int_equal(waiting(test->lane).samples, 300);
	expect_and_acknowledge(test, 2);
	spool_close(&test->spool);
	case_open_at(test, NOW_MS + 2 * age_ms + 1);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 100);
	expect_and_acknowledge(test, 4);
	assert_null(spool_take(test->lane));
}

/* A collection at a time of both clocks. */
static void put_at(struct spool_case *test, uint32_t number, int64_t now_ms,
		   int64_t boot_ms)
{
	spool_see_clocks(test->spool, now_ms, boot_ms);
	put_one_at(test->lane, test->spool, number, now_ms);
}

/* On disk and in memory: the age is the time that passed, in the next life too. */
static void a_clock_that_is_set_makes_nothing_older(void **state)
{
	const int64_t jump_ms = 30ll * 86400000;

	for (int on_disk = 0; on_disk <= 1; on_disk++) {
		struct spool_case *test = *state;
		const int64_t age_ms = (int64_t)test->config.age_max_ms;
		const int64_t set_ms = NOW_MS + jump_ms;
		struct said said;

		test->config.directory = on_disk ? test->directory : NULL;
		case_open(test);
		put_at(test, 1, NOW_MS, 1000);
		case_listen(&said);
		put_at(test, 2, set_ms + 1000, 2000);
		assert_non_null(strstr(case_said(&said),
				       "the wall clock went forward by 2592000 s: what "
				       "waits for receivers is no older for it"));
		put_at(test, 3, set_ms + age_ms, 1000 + age_ms);
		assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 0);
		put_at(test, 4, set_ms + age_ms + 1, 1000 + age_ms + 1);
		assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 100);
		/* And back: what came between is no younger. */
		put_at(test, 5, NOW_MS + age_ms + 1002, age_ms + 2002);
		assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 100);
		spool_close(&test->spool);
	}
}

static void a_clock_that_was_set_is_remembered(void **state)
{
	struct spool_case *test = *state;
	const int64_t age_ms = (int64_t)test->config.age_max_ms, jump_ms = 10 * age_ms;
	struct said said;

	case_open(test);
	put_at(test, 1, NOW_MS, 1000);
	case_listen(&said);
	put_at(test, 2, NOW_MS + jump_ms, 1000);
	case_said(&said);
	spool_close(&test->spool);
	case_open_at(test, NOW_MS + jump_ms + age_ms);
	/* Another boot. */
	put_at(test, 3, NOW_MS + jump_ms + age_ms, 500);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 0);
	put_at(test, 4, NOW_MS + jump_ms + age_ms + 1, 501);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 200);
	expect_and_acknowledge(test, 3);
}

static void clocks_that_drift_were_not_set(void **state)
{
	struct spool_case *test = *state;
	const int64_t age_ms = (int64_t)test->config.age_max_ms;
	struct said said;

	case_open(test);
	case_listen(&said);
	put_at(test, 1, NOW_MS, 1000);
	for (int64_t i = 1; i * 59999 <= age_ms; i++)
		put_at(test, 1 + (uint32_t)i, NOW_MS + i * 59999, 1000);
	assert_string_equal(case_said(&said), "");
	put_at(test, 999, NOW_MS + age_ms + 1, 1000);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 100);
}

static void what_is_under_way_is_never_too_old(void **state)
{
	struct spool_case *test = *state;

	case_open(test);
	spool_begin(test->spool, NOW_MS);
	spool_put(test->lane, batch_of(1, 100, 1000));
	spool_put(test->lane, batch_of(2, 100, 1000));
	spool_commit(test->spool, false);
	expect_next_of(test->lane, 1);
	put_one_at(test->lane, test->spool, 3, NOW_MS + 2 * 3600 * 1000);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 100);
	assert_int_equal(waiting(test->lane).samples, 200);
}

/* Unless it has failed: then it would keep all that comes after it. */
static void what_is_under_way_and_too_old_can_be_given_up(void **state)
{
	struct spool_case *test = *state;
	const struct spool_batch *taken;

	case_open(test);
	put_one_at(test->lane, test->spool, 1, NOW_MS);
	taken = spool_take(test->lane);
	assert_false(spool_give_up(test->lane, taken->id));
	put_one_at(test->lane, test->spool, 2, NOW_MS + 2 * 3600 * 1000);
	assert_true(spool_give_up(test->lane, taken->id));
	assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 100);
	assert_int_equal(waiting(test->lane).samples, 100);
	expect_next_of(test->lane, 2);
}

static void a_lane_with_a_limit_of_its_own_keeps_it(void **state)
{
	struct spool_case *test = *state;
	struct spool_lane *other;

	case_open(test);
	assert_int_equal(spool_lane(test->spool, "b", &other), 0);
	spool_set_limit(test->lane, 700000);
	for (uint32_t i = 1; i <= 4; i++) {
		put_large(test, test->lane, i, 3); /* 307200 bytes in pages */
		put_large(test, other, i, 3);
	}
	assert_int_equal(waiting(test->lane).bytes, 2 * 300000);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL], 2 * 300);
	assert_int_equal(spool_take(test->lane)->batch->time_ms, NOW_MS + 3);
	assert_int_equal(waiting(other).bytes, 4 * 300000);
	assert_int_equal(waiting(other).dropped[SPOOL_FULL], 0);
}

static void the_oldest_collections_give_way_whole(void **state)
{
	struct spool_case *test = *state;
	const struct spool_batch *batch;

	test->config.bytes_max = 1 * MIB;
	case_open(test);
	for (uint32_t i = 1; i <= 3; i++)
		put_large(test, test->lane, i, 3); /* 307200 bytes in pages */
	assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL], 0);
	put_large(test, test->lane, 4, 3);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL], 300);
	assert_int_equal(waiting(test->lane).samples, 900);
	batch = spool_take(test->lane);
	assert_true(is_batch(batch->batch, 2, 100, 100000));
	for (uint32_t i = 5; i <= 40; i++)
		put_large(test, test->lane, i, 3);
	/* The rest of the collection that is under way, then those behind it. */
	assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL],
			 4000 * 3 - 100 - 600 - 300);
	spool_close(&test->spool);
	assert_true(case_file_size(test) <= (off_t)MIB);
}

static void the_newest_collection_stays_whatever_its_size(void **state)
{
	struct spool_case *test = *state;

	test->config.bytes_max = 1 * MIB;
	case_open(test);
	put_large(test, test->lane, 1, 1);
	put_large(test, test->lane, 2, 20);
	assert_int_equal(waiting(test->lane).samples, 2000);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL], 100);
	put_large(test, test->lane, 3, 1);
	assert_int_equal(waiting(test->lane).samples, 100);
}

static void markers_of_the_end_push_nothing_out_before_them(void **state)
{
	struct spool_case *test = *state;

	test->config.bytes_max = 1 * MIB;
	case_open(test);
	put_large(test, test->lane, 1, 5);
	put_large(test, test->lane, 2, 6);
	spool_begin(test->spool, NOW_MS);
	for (int i = 0; i < 6; i++)
		spool_put(test->lane, batch_of(3, 100, 100000));
	spool_commit(test->spool, true);
	assert_int_equal(waiting(test->lane).samples, 1200);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL], 500);
}

static void who_has_most_gives_way(void **state)
{
	struct spool_case *test = *state;
	struct spool_lane *other;

	test->config.bytes_max = 1 * MIB;
	case_open(test);
	assert_int_equal(spool_lane(test->spool, "b", &other), 0);
	put_large(test, other, 1, 2);
	for (uint32_t i = 2; i <= 9; i++)
		put_large(test, test->lane, i, 2);
	assert_int_equal(waiting(other).dropped[SPOOL_FULL], 0);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL], 800);
	assert_int_equal(waiting(test->lane).samples, 800);
}

static void who_nobody_asks_for_gives_way_first(void **state)
{
	struct spool_case *test = *state;
	struct spool_lane *other;

	test->config.bytes_max = 1 * MIB;
	case_open(test);
	assert_int_equal(spool_lane(test->spool, "b", &other), 0);
	put_large(test, other, 1, 2);
	put_large(test, test->lane, 2, 4);
	case_reopen(test);
	put_large(test, test->lane, 3, 5);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL], 0);
	assert_int_equal(spool_lane(test->spool, "b", &other), 0);
	assert_int_equal(waiting(other).dropped[SPOOL_FULL], 200);
	assert_int_equal(waiting(other).samples, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, case_set_up, case_tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(what_is_too_old_falls_out),
	    TEST(a_clock_that_is_set_makes_nothing_older),
	    TEST(a_clock_that_was_set_is_remembered),
	    TEST(clocks_that_drift_were_not_set),
	    TEST(what_is_under_way_is_never_too_old),
	    TEST(what_is_under_way_and_too_old_can_be_given_up),
	    TEST(a_lane_with_a_limit_of_its_own_keeps_it),
	    TEST(the_oldest_collections_give_way_whole),
	    TEST(the_newest_collection_stays_whatever_its_size),
	    TEST(markers_of_the_end_push_nothing_out_before_them),
	    TEST(who_has_most_gives_way),
	    TEST(who_nobody_asks_for_gives_way_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
