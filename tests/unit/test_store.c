/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/wait.h>

#include "fault_vfs.h"
#include "spool_case.h"
#include "store.h"

struct stored {
	struct spool_case *files;
	struct store *store;
};

static void reopen(struct stored *test)
{
	char error[256] = "";

	store_close(&test->store, false);
	assert_int_equal(
	    store_open(test->files->file, &test->store, error, sizeof(error)), 0);
}

static int set_up(void **state)
{
	struct stored *test = calloc(1, sizeof(*test));
	void *files;
	int fd;

	if (!test || case_set_up(&files))
		return -1;
	test->files = files;
	fd = open(test->files->file, O_CREAT | O_RDWR, 0600);
	close(fd);
	reopen(test);
	*state = test;
	return 0;
}

static int tear_down(void **state)
{
	struct stored *test = *state;
	void *files = test->files;

	fault_end();
	store_close(&test->store, false);
	store_close(&test->store, false); /* accepts NULL */
	free(test);
	return case_tear_down(&files);
}

static int put_len(struct stored *test, uint32_t lane, int64_t id, size_t len)
{
	const struct store_row row = {
	    .lane = lane, .id = id, .collection = 7, .collected_ms = 8};
	struct wire_batch *batch = batch_of((uint32_t)id, 100, len);
	int err = store_put(test->store, &row, "name", batch);

	wire_batch_put(&batch);
	return err;
}

static void put(struct stored *test, uint32_t lane, int64_t id)
{
	assert_int_equal(put_len(test, lane, id, 1000), 0);
}

static void expect_row(struct stored *test, uint32_t lane, int64_t after,
		       uint32_t lane_last, uint32_t found_lane, int64_t found_id)
{
	struct store_row row = {0};

	assert_int_equal(store_next(test->store, lane, after, lane_last, &row), 0);
	assert_int_equal(row.lane, found_lane);
	assert_int_equal(row.id, found_id);
	assert_int_equal(row.collection, 7);
	assert_int_equal(row.collected_ms, 8);
	assert_int_equal(row.samples, 100);
	assert_int_equal(row.len, 1000);
}

static void expect_none(struct stored *test, uint32_t lane, int64_t after,
			uint32_t lane_last)
{
	struct store_row row;

	assert_int_equal(store_next(test->store, lane, after, lane_last, &row),
			 -ENOENT);
}

static void rows_are_walked_by_lane_and_id(void **state)
{
	const int64_t id_last = ((int64_t)1 << STORE_ID_BITS) - 1;
	struct stored *test = *state;

	expect_none(test, 1, 0, STORE_LANE_MAX);
	put(test, 2, 5);
	put(test, 1, id_last);
	put(test, 2, 9);
	put(test, STORE_LANE_MAX, id_last);
	put(test, 1, 6);
	expect_row(test, 1, 0, 1, 1, 6);
	expect_row(test, 1, 6, 1, 1, id_last);
	expect_none(test, 1, id_last, 1);
	expect_row(test, 1, id_last, 2, 2, 5);
	expect_row(test, 2, 5, 2, 2, 9);
	expect_none(test, 2, 9, 2);
	expect_row(test, 2, 9, STORE_LANE_MAX, STORE_LANE_MAX, id_last);
	expect_none(test, STORE_LANE_MAX, id_last, STORE_LANE_MAX);
}

static void a_row_is_read_by_its_lanes_name_only(void **state)
{
	static const char *const others[] = {"", "nam", "names", "Name"};
	struct stored *test = *state;
	const struct store_row row = {.lane = 1, .id = 5};
	struct wire_batch *batch = NULL;

	put(test, 1, 5);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(store_read(test->store, &row, others[i], &batch),
				 -EBADMSG);
	assert_null(batch);
	assert_int_equal(store_read(test->store, &row, "name", &batch), 0);
	assert_true(is_batch(batch, 5, 100, 1000));
	wire_batch_put(&batch);
}

static void batches_of_any_length_come_back(void **state)
{
	static const size_t lengths[] = {0,      1,       400,     489,     2000,
					 3980,   3981,    4000,    4061,    4062,
					 100000, 1000000, 5000000, 20000000};
	struct stored *test = *state;

	for (uint32_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		const struct store_row row = {.lane = 1, .id = i + 1};
		struct wire_batch *batch;

		assert_int_equal(put_len(test, 1, row.id, lengths[i]), 0);
		assert_int_equal(store_read(test->store, &row, "name", &batch), 0);
		assert_true(is_batch(batch, i + 1, 100, lengths[i]));
		wire_batch_put(&batch);
		assert_int_equal(store_delete(test->store, 1, row.id), 0);
	}
}

static void what_is_deleted_is_gone_and_must_have_been_there(void **state)
{
	struct stored *test = *state;

	put(test, 1, 5);
	assert_int_equal(store_delete(test->store, 1, 5), 0);
	expect_none(test, 1, 0, 1);
	assert_int_equal(store_delete(test->store, 1, 5), -EUCLEAN);
}

static void a_number_twice_is_damage(void **state)
{
	struct stored *test = *state;

	put(test, 1, 5);
	assert_int_equal(put_len(test, 1, 5, 1000), -EUCLEAN);
	assert_non_null(strstr(store_error(test->store), "UNIQUE"));
}

static void what_is_rolled_back_was_never_there(void **state)
{
	struct stored *test = *state;

	put(test, 1, 1);
	assert_int_equal(store_begin(test->store, true), 0);
	put(test, 1, 2);
	assert_int_equal(store_delete(test->store, 1, 1), 0);
	store_rollback(test->store);
	store_rollback(test->store); /* nothing to do */
	expect_row(test, 1, 0, 1, 1, 1);
	expect_none(test, 1, 1, 1);
	assert_int_equal(store_begin(test->store, true), 0);
	put(test, 1, 3);
	assert_int_equal(store_commit(test->store), 0);
	reopen(test);
	expect_row(test, 1, 1, 1, 1, 3);
}

/* --- what is lasting ---------------------------------------------------------- */

static void a_collection_is_one_sync_and_an_acknowledgement_none(void **state)
{
	struct stored *test = *state;
	unsigned int syncs;

	put(test, 1, 1);
	syncs = fault_syncs;
	assert_int_equal(store_begin(test->store, true), 0);
	for (int64_t id = 2; id < 7; id++)
		assert_int_equal(put_len(test, 1, id, 40000), 0);
	assert_int_equal(store_commit(test->store), 0);
	assert_int_equal(fault_syncs, syncs + 1);
	assert_int_equal(store_delete(test->store, 1, 3), 0);
	assert_int_equal(store_set(test->store, "key", 1), 0);
	assert_int_equal(fault_syncs, syncs + 1);
}

static int on_lane(void *context, uint32_t lane, const char *name)
{
	char *text = context;

	sprintf(text + strlen(text), "%u=%s ", lane, name);
	return 0;
}

static int on_number(void *context, const char *key, int64_t number)
{
	char *text = context;

	sprintf(text + strlen(text), "%s=%lld ", key, (long long)number);
	return 0;
}

static int refuse_number(void *context, const char *key, int64_t number)
{
	(void)context;
	(void)key;
	(void)number;
	return -ENOMEM;
}

static void lanes_and_numbers_come_back(void **state)
{
	struct stored *test = *state;
	char lanes[64] = "", numbers[128] = "";

	assert_int_equal(store_put_lane(test->store, 1, "a"), 0);
	assert_int_equal(store_put_lane(test->store, 2, ""), 0);
	assert_int_equal(store_set(test->store, "one", 1), 0);
	assert_int_equal(store_set(test->store, "max", INT64_MAX), 0);
	assert_int_equal(store_set(test->store, "one", -1), 0);
	reopen(test);
	assert_int_equal(store_lanes(test->store, on_lane, lanes), 0);
	assert_string_equal(lanes, "1=a 2= ");
	assert_int_equal(store_numbers(test->store, on_number, numbers), 0);
	assert_string_equal(numbers, "max=9223372036854775807 one=-1 ");
	assert_int_equal(store_numbers(test->store, refuse_number, NULL), -ENOMEM);
}

/* --- errors ------------------------------------------------------------------- */

static void errors_have_a_number_and_words(void **state)
{
	static const int errors[] = {ENOSPC, EIO, EROFS, EDQUOT};
	struct stored *test = *state;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fault_set(errors[i], 0);
		assert_int_equal(put_len(test, 1, 1, 1000), -errors[i]);
		fault_end();
		assert_non_null(
		    strstr(store_error(test->store), strerrorname_np(errors[i])));
	}
	put(test, 1, 1);
	expect_row(test, 1, 0, 1, 1, 1);
}

static void two_processes_cannot_have_one_file(void **state)
{
	struct stored *test = *state;
	int status;
	pid_t pid;

	put(test, 1, 1);
	pid = fork();
	if (!pid) {
		struct store *store = NULL;
		char error[256];

		_exit(store_open(test->files->file, &store, error, sizeof(error)) ==
			      -EBUSY
			  ? 0
			  : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_damaged_file_is_closed_as_it_is(void **state)
{
	struct stored *test = *state;
	struct stat before, after;
	char log[96];

	snprintf(log, sizeof(log), "%s-wal", test->files->file);
	put(test, 1, 1);
	assert_int_equal(stat(log, &before), 0);
	store_close(&test->store, true);
	assert_int_equal(stat(log, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	reopen(test);
	store_close(&test->store, false);
	assert_int_not_equal(access(log, F_OK), 0);
}

/* --- size --------------------------------------------------------------------- */

/* For what costs hold, and that they are not far off: 1.3, or a page a row. */
static void costs_are_not_exceeded(void **state)
{
	static const size_t lengths[] = {
	    0,    50,   300,   1000,  1900,  2100,  3000,  4000,   4100,  5000,
	    8000, 8200, 12000, 20000, 30000, 40000, 41000, 100000, 400000};
	struct stored *test = *state;
	int64_t id = 0;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		const int64_t count = 100, first = id;
		uint64_t before = store_used_bytes(test->store), used;

		assert_int_equal(store_begin(test->store, false), 0);
		while (id < first + count)
			assert_int_equal(put_len(test, 1, ++id, lengths[i]), 0);
		used = store_used_bytes(test->store) - before;
		/* The tree above the rows, and a page begun. */
		assert_in_range(used, 0, 100 * store_cost(lengths[i]) + 3 * 4096);
		assert_in_range(100 * store_cost(lengths[i]), 0,
				used * 13 / 10 + 100 * 4096);
		store_rollback(test->store);
	}
}

static void free_pages_are_used_again(void **state)
{
	struct stored *test = *state;
	uint64_t size = 0;

	for (int64_t id = 1; id <= 500; id++) {
		assert_int_equal(put_len(test, 1, id, 40000), 0);
		if (id > 20)
			assert_int_equal(store_delete(test->store, 1, id - 20), 0);
		if (id == 25)
			size = store_file_bytes(test->store);
	}
	assert_int_equal(store_file_bytes(test->store), size);
	assert_in_range(store_used_bytes(test->store), 20 * 40000, size);
}

static void shrinking_gives_back_what_is_free(void **state)
{
	struct stored *test = *state;
	struct stat stat_of;

	for (int64_t id = 1; id <= 100; id++)
		assert_int_equal(put_len(test, 1, id, 40000), 0);
	for (int64_t id = 2; id <= 100; id++)
		assert_int_equal(store_delete(test->store, 1, id), 0);
	assert_in_range(store_file_bytes(test->store), 4000000, 5000000);
	assert_int_equal(store_shrink(test->store), 0);
	assert_int_equal(store_file_bytes(test->store), store_used_bytes(test->store));
	assert_int_equal(stat(test->files->file, &stat_of), 0);
	assert_in_range(stat_of.st_size, 40000, 70000);
	reopen(test);
	assert_int_equal(store_file_bytes(test->store), stat_of.st_size);
}

static void the_log_does_not_grow(void **state)
{
	struct stored *test = *state;
	struct stat stat_of;
	char log[96];

	snprintf(log, sizeof(log), "%s-wal", test->files->file);
	for (int64_t id = 1; id <= 1000; id++) {
		assert_int_equal(put_len(test, 1, id, 40000), 0);
		assert_int_equal(store_delete(test->store, 1, id), 0);
	}
	assert_int_equal(stat(log, &stat_of), 0);
	assert_in_range(stat_of.st_size, 1, 5 << 20);
	assert_in_range(store_file_bytes(test->store), 1, 100000);
}

static void an_acknowledgement_writes_little(void **state)
{
	struct stored *test = *state;
	struct stat stat_of;
	char log[96];

	snprintf(log, sizeof(log), "%s-wal", test->files->file);
	assert_int_equal(put_len(test, 1, 1, 4000000), 0);
	reopen(test);
	assert_int_equal(store_delete(test->store, 1, 1), 0);
	assert_int_equal(stat(log, &stat_of), 0);
	assert_in_range(stat_of.st_size, 1, 4000000 / 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(rows_are_walked_by_lane_and_id),
	    TEST(a_row_is_read_by_its_lanes_name_only),
	    TEST(batches_of_any_length_come_back),
	    TEST(what_is_deleted_is_gone_and_must_have_been_there),
	    TEST(a_number_twice_is_damage),
	    TEST(what_is_rolled_back_was_never_there),
	    TEST(a_collection_is_one_sync_and_an_acknowledgement_none),
	    TEST(lanes_and_numbers_come_back),
	    TEST(errors_have_a_number_and_words),
	    TEST(two_processes_cannot_have_one_file),
	    TEST(a_damaged_file_is_closed_as_it_is),
	    TEST(costs_are_not_exceeded),
	    TEST(free_pages_are_used_again),
	    TEST(shrinking_gives_back_what_is_free),
	    TEST(the_log_does_not_grow),
	    TEST(an_acknowledgement_writes_little),
	};

	return cmocka_run_group_tests(tests, fault_install, NULL);
}
