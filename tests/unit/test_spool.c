/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "spool_case.h"

/* --- order -------------------------------------------------------------------- */

static void batches_come_out_as_they_went_in(void **state)
{
	struct spool_case *test = *state;

	case_open(test);
	assert_null(spool_take(test->lane));
	for (uint32_t i = 1; i <= 3; i++)
		put_one(test, i);
	assert_int_equal(waiting(test->lane).samples, 300);
	assert_int_equal(waiting(test->lane).bytes, 3000);
	for (uint32_t i = 1; i <= 3; i++)
		expect_and_acknowledge(test, i);
	assert_null(spool_take(test->lane));
	assert_int_equal(waiting(test->lane).samples, 0);
	assert_int_equal(waiting(test->lane).bytes, 0);
}

static void what_a_batch_is_survives(void **state)
{
	struct spool_case *test = *state;
	struct wire_batch *batch = batch_of(7, 3, 40000);
	const struct spool_batch *taken;
	unsigned char bytes[40000];

	memcpy(bytes, batch->bytes, sizeof(bytes));
	batch->message = WIRE_V2;
	batch->is_metadata = true;
	batch->histograms = 5;
	case_open(test);
	spool_begin(test->spool, NOW_MS);
	spool_put(test->lane, batch);
	spool_put(test->lane, batch_of(8, 0, 0));
	spool_commit(test->spool, false);
	case_reopen(test);
	assert_int_equal(waiting(test->lane).samples, 8);
	taken = spool_take(test->lane);
	assert_non_null(taken);
	assert_int_equal(taken->batch->message, WIRE_V2);
	assert_true(taken->batch->is_metadata);
	assert_int_equal(taken->batch->samples, 3);
	assert_int_equal(taken->batch->histograms, 5);
	assert_int_equal(taken->batch->time_ms, NOW_MS + 7);
	assert_int_equal(taken->batch->len, 40000);
	assert_memory_equal(taken->batch->bytes, bytes, 40000);
	taken = spool_take(test->lane);
	assert_true(is_batch(taken->batch, 8, 0, 0));
}

static void batches_of_one_collection_are_under_way_together(void **state)
{
	struct spool_case *test = *state;
	const struct spool_batch *first, *second, *third;

	case_open(test);
	spool_begin(test->spool, NOW_MS);
	for (uint32_t i = 1; i <= 3; i++)
		spool_put(test->lane, batch_of(i, 100, 1000));
	spool_commit(test->spool, false);
	put_one(test, 4);
	first = expect_next_of(test->lane, 1);
	second = expect_next_of(test->lane, 2);
	third = expect_next_of(test->lane, 3);
	assert_int_equal(first->collection, third->collection);
	assert_null(spool_take(test->lane));
	spool_acknowledge(test->lane, second->id);
	spool_acknowledge(test->lane, third->id);
	assert_null(spool_take(test->lane));
	spool_acknowledge(test->lane, first->id);
	expect_and_acknowledge(test, 4);
}

static void what_is_under_way_is_counted_until_acknowledged(void **state)
{
	struct spool_case *test = *state;
	const struct spool_batch *batch;

	case_open(test);
	put_one(test, 1);
	batch = expect_next_of(test->lane, 1);
	assert_int_equal(waiting(test->lane).samples, 100);
	spool_acknowledge(test->lane, batch->id + 1); /* nobody's */
	assert_int_equal(waiting(test->lane).samples, 100);
	spool_acknowledge(test->lane, batch->id);
	assert_int_equal(waiting(test->lane).samples, 0);
}

static void lanes_do_not_wait_for_each_other(void **state)
{
	struct spool_case *test = *state;
	struct spool_lane *other;

	case_open(test);
	assert_int_equal(spool_lane(test->spool, "b", &other), 0);
	put_one(test, 1);
	put_one_at(other, test->spool, 2, NOW_MS);
	put_one(test, 3);
	expect_next_of(test->lane, 1);
	assert_null(spool_take(test->lane));
	spool_acknowledge(other, expect_next_of(other, 2)->id);
	assert_null(spool_take(other));
}

static void a_lane_is_found_by_its_name(void **state)
{
	struct spool_case *test = *state;
	struct spool_lane *same, *other;

	case_open(test);
	assert_int_equal(spool_lane(test->spool, "a", &same), 0);
	assert_int_equal(spool_lane(test->spool, "A", &other), 0);
	assert_ptr_equal(same, test->lane);
	assert_ptr_not_equal(other, test->lane);
}

/* --- restarts ----------------------------------------------------------------- */

static void what_was_not_acknowledged_is_there_after_a_restart(void **state)
{
	struct spool_case *test = *state;

	case_open(test);
	for (uint32_t i = 1; i <= 4; i++)
		put_one(test, i);
	expect_and_acknowledge(test, 1);
	expect_next_of(test->lane, 2); /* under way at the end */
	case_reopen(test);
	assert_int_equal(waiting(test->lane).samples, 300);
	for (uint32_t i = 2; i <= 4; i++)
		expect_and_acknowledge(test, i);
	case_reopen(test);
	assert_null(spool_take(test->lane));
}

static void collections_count_up_over_restarts_and_clocks(void **state)
{
	struct spool_case *test = *state;
	int64_t last = 0;

	case_open(test);
	for (uint32_t i = 1; i <= 6; i++) {
		const struct spool_batch *batch;

		put_one(test, i);
		batch = expect_next_of(test->lane, i);
		assert_true(batch->collection > last);
		last = batch->collection;
		spool_acknowledge(test->lane, batch->id);
		spool_close(&test->spool);
		case_open_at(test, NOW_MS - i * 1000000);
	}
}

static void an_empty_collection_needs_no_number(void **state)
{
	struct spool_case *test = *state;
	int64_t first;

	case_open(test);
	put_one(test, 1);
	for (int i = 0; i < 3; i++) {
		spool_begin(test->spool, NOW_MS);
		spool_commit(test->spool, false);
	}
	put_one(test, 2);
	first = expect_next_of(test->lane, 1)->collection;
	case_reopen(test);
	expect_and_acknowledge(test, 1);
	assert_int_equal(expect_next_of(test->lane, 2)->collection, first + 1);
}

struct orphans {
	unsigned int count;
	uint64_t samples;
	char name[16];
};

static void on_orphan(void *context, const char *name, uint64_t samples)
{
	struct orphans *orphans = context;

	orphans->count++;
	orphans->samples = samples;
	snprintf(orphans->name, sizeof(orphans->name), "%s", name);
}

static void lanes_that_nobody_asks_for_are_reported(void **state)
{
	struct spool_case *test = *state;
	struct spool_lane *other;
	struct orphans orphans = {0};

	case_open(test);
	assert_int_equal(spool_lane(test->spool, "gone", &other), 0);
	put_one(test, 1);
	put_one_at(other, test->spool, 2, NOW_MS);
	put_one_at(other, test->spool, 3, NOW_MS);
	case_reopen(test);
	spool_orphans(test->spool, on_orphan, &orphans);
	assert_int_equal(orphans.count, 1);
	assert_int_equal(orphans.samples, 200);
	assert_string_equal(orphans.name, "gone");
	assert_int_equal(spool_lane(test->spool, "gone", &other), 0);
	orphans.count = 0;
	spool_orphans(test->spool, on_orphan, &orphans);
	assert_int_equal(orphans.count, 0);
	expect_next_of(other, 2);
}

static void numbers_survive(void **state)
{
	struct spool_case *test = *state;
	int64_t number = -1;

	case_open(test);
	assert_false(spool_get(test->spool, test->lane, "message", &number));
	assert_int_equal(spool_set(test->spool, test->lane, "message", 1), 0);
	assert_int_equal(spool_set(test->spool, NULL, "message", INT64_MIN), 0);
	assert_int_equal(spool_set(test->spool, test->lane, "message", 2), 0);
	spool_begin(test->spool, NOW_MS);
	assert_int_equal(spool_set(test->spool, NULL, "other", 5), 0);
	spool_commit(test->spool, false);
	case_reopen(test);
	assert_true(spool_get(test->spool, test->lane, "message", &number));
	assert_int_equal(number, 2);
	assert_true(spool_get(test->spool, NULL, "message", &number));
	assert_int_equal(number, INT64_MIN);
	assert_true(spool_get(test->spool, NULL, "other", &number));
	assert_int_equal(number, 5);
	assert_false(spool_get(test->spool, test->lane, "other", &number));
}

static void the_time_that_samples_have_got_to_survives(void **state)
{
	struct spool_case *test = *state;

	case_open(test);
	assert_int_equal(spool_last_time_ms(test->spool), 0);
	spool_begin(test->spool, NOW_MS);
	spool_put(test->lane, batch_of(9, 100, 10));
	spool_set_time(test->spool, NOW_MS + 9);
	spool_commit(test->spool, false);
	assert_int_equal(spool_last_time_ms(test->spool), NOW_MS + 9);
	case_reopen(test);
	assert_int_equal(spool_last_time_ms(test->spool), NOW_MS + 9);
	put_one(test, 5); /* a step back that was followed */
	case_reopen(test);
	assert_int_equal(spool_last_time_ms(test->spool), NOW_MS + 5);
}

/* --- size -------------------------------------------------------------------- */

static void an_emptied_file_is_given_back(void **state)
{
	struct spool_case *test = *state;

	case_open(test);
	for (uint32_t i = 0; i < 10; i++)
		put_large(test, test->lane, i, 10);
	for (int i = 0; i < 100; i++)
		spool_acknowledge(test->lane, spool_take(test->lane)->id);
	assert_true(case_file_size(test) < 100000);
	put_one(test, 1);
	case_reopen(test);
	expect_and_acknowledge(test, 1);
}

/* --- in memory ---------------------------------------------------------------- */

static void without_a_directory_it_is_in_memory(void **state)
{
	struct spool_case *test = *state;
	int64_t number;

	test->config.directory = NULL;
	case_open(test);
	put_one(test, 1);
	put_one(test, 2);
	assert_int_equal(waiting(test->lane).samples, 200);
	expect_next_of(test->lane, 1);
	assert_null(spool_take(test->lane));
	assert_int_equal(waiting(test->lane).samples, 200);
	assert_int_equal(spool_set(test->spool, NULL, "key", 3), 0);
	assert_true(spool_get(test->spool, NULL, "key", &number));
	assert_int_equal(spool_last_time_ms(test->spool), NOW_MS + 2);
	assert_int_not_equal(access(test->file, F_OK), 0);
}

static void a_lane_with_a_limit_of_its_own_keeps_it_in_memory(void **state)
{
	struct spool_case *test = *state;
	struct spool_lane *other;

	test->config.directory = NULL;
	case_open(test);
	assert_int_equal(spool_lane(test->spool, "b", &other), 0);
	spool_set_limit(test->lane, 700000);
	for (uint32_t i = 1; i <= 4; i++) {
		put_large(test, test->lane, i, 3);
		put_large(test, other, i, 3);
	}
	assert_int_equal(waiting(test->lane).samples, 2 * 300);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL], 2 * 300);
	assert_int_equal(spool_take(test->lane)->batch->time_ms, NOW_MS + 3);
	assert_int_equal(waiting(other).dropped[SPOOL_FULL], 0);
}

static void memory_is_bounded_like_the_disk(void **state)
{
	struct spool_case *test = *state;
	struct spool_lane *other;

	test->config.directory = NULL;
	test->config.memory_bytes_max = 1 * MIB;
	case_open(test);
	assert_int_equal(spool_lane(test->spool, "b", &other), 0);
	put_large(test, other, 1, 2);
	put_large(test, test->lane, 2, 3);
	put_large(test, test->lane, 3, 3);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL], 0);
	put_large(test, test->lane, 4, 3);
	assert_int_equal(waiting(other).dropped[SPOOL_FULL], 0);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL], 300);
	put_large(test, test->lane, 5, 30);
	assert_int_equal(waiting(other).dropped[SPOOL_FULL], 200);
	assert_int_equal(waiting(test->lane).samples, 3000);
	put_one_at(other, test->spool, 6, NOW_MS + 2 * 3600 * 1000);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 3000);
}

/* --- who may ------------------------------------------------------------------ */

static void two_cannot_have_one_directory(void **state)
{
	struct spool_case *test = *state;
	struct spool *second = NULL;

	case_open(test);
	assert_int_equal(spool_open(&test->config, NOW_MS, &second, test->error),
			 -EBUSY);
	assert_null(second);
	assert_non_null(strstr(test->error, "is in use by another process"));
	spool_close(&test->spool);
	case_open(test);
}

static void its_file_must_be_a_file_of_its_own(void **state)
{
	struct spool_case *test = *state;

	assert_int_equal(symlink("/etc/passwd", test->file), 0);
	assert_int_equal(spool_open(&test->config, NOW_MS, &test->spool, test->error),
			 -EPERM);
	assert_non_null(strstr(test->error, test->file));
	assert_int_equal(unlink(test->file), 0);
	assert_int_equal(mkfifo(test->file, 0600), 0);
	assert_int_equal(spool_open(&test->config, NOW_MS, &test->spool, test->error),
			 -EPERM);
	assert_int_equal(unlink(test->file), 0);
}

static void expect_private(const char *path, void *context)
{
	unsigned int *count = context;
	struct stat stat_of;

	assert_int_equal(stat(path, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 07777, 0600);
	(*count)++;
}

static void its_files_are_nobody_elses_to_read(void **state)
{
	struct spool_case *test = *state;
	mode_t mask = umask(0);
	unsigned int count = 0;

	case_open(test);
	put_one(test, 1);
	case_each_file(test, expect_private, &count);
	assert_int_equal(count, 2); /* spool.db, spool.db-wal */
	case_reopen(test);
	umask(mask);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, case_set_up, case_tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(batches_come_out_as_they_went_in),
	    TEST(what_a_batch_is_survives),
	    TEST(batches_of_one_collection_are_under_way_together),
	    TEST(what_is_under_way_is_counted_until_acknowledged),
	    TEST(lanes_do_not_wait_for_each_other),
	    TEST(a_lane_is_found_by_its_name),
	    TEST(what_was_not_acknowledged_is_there_after_a_restart),
	    TEST(collections_count_up_over_restarts_and_clocks),
	    TEST(an_empty_collection_needs_no_number),
	    TEST(lanes_that_nobody_asks_for_are_reported),
	    TEST(numbers_survive),
	    TEST(the_time_that_samples_have_got_to_survives),
	    TEST(an_emptied_file_is_given_back),
	    TEST(without_a_directory_it_is_in_memory),
	    TEST(a_lane_with_a_limit_of_its_own_keeps_it_in_memory),
	    TEST(memory_is_bounded_like_the_disk),
	    TEST(two_cannot_have_one_directory),
	    TEST(its_file_must_be_a_file_of_its_own),
	    TEST(its_files_are_nobody_elses_to_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
