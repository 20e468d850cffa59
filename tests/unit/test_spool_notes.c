/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>

#include "fault_vfs.h"
#include "spool_case.h"

static void on_note(void *context, uint32_t id, const void *bytes, size_t len)
{
	char *text = context;

	sprintf(text + strlen(text), "%u=%.*s ", id, (int)len, (const char *)bytes);
}

static void expect_notes(struct spool_case *test, const char *expected)
{
	char text[512] = "";

	spool_each_note(test->spool, on_note, text);
	assert_string_equal(text, expected);
}

static uint32_t add(struct spool_case *test, const char *text)
{
	uint32_t id = UINT32_MAX;

	assert_int_equal(spool_note_add(test->spool, text, strlen(text), &id), 0);
	return id;
}

static void change(struct spool_case *test, uint32_t id, const char *text)
{
	assert_int_equal(spool_note_change(test->spool, id, text, strlen(text)), 0);
}

static void notes_come_back_with_their_collection(void **state)
{
	struct spool_case *test = *state;

	case_open(test);
	spool_begin(test->spool, NOW_MS);
	assert_int_equal(add(test, "one"), 0);
	assert_int_equal(add(test, "two"), 1);
	assert_int_equal(add(test, ""), 2);
	spool_put(test->lane, batch_of(1, 100, 1000));
	spool_commit(test->spool, false);
	case_reopen(test);
	expect_notes(test, "0=one 1=two 2= ");
	spool_begin(test->spool, NOW_MS);
	change(test, 1, "second");
	spool_note_remove(test->spool, 0);
	spool_commit(test->spool, false);
	expect_notes(test, "1=second 2= ");
	case_reopen(test);
	expect_notes(test, "1=second 2= ");
	expect_and_acknowledge(test, 1);
}

static void a_number_is_used_again_once_its_note_is_gone(void **state)
{
	struct spool_case *test = *state;

	case_open(test);
	spool_begin(test->spool, NOW_MS);
	add(test, "one");
	add(test, "two");
	spool_commit(test->spool, false);
	spool_begin(test->spool, NOW_MS);
	spool_note_remove(test->spool, 0);
	assert_int_equal(add(test, "three"), 2); /* its deletion is not written yet */
	spool_commit(test->spool, false);
	spool_begin(test->spool, NOW_MS);
	assert_int_equal(add(test, "four"), 0);
	spool_commit(test->spool, false);
	case_reopen(test);
	expect_notes(test, "0=four 1=two 2=three ");
}

static void many_notes_are_kept(void **state)
{
	struct spool_case *test = *state;
	char text[32];

	case_open(test);
	spool_begin(test->spool, NOW_MS);
	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "note %u", i);
		assert_int_equal(add(test, text), i);
	}
	spool_commit(test->spool, false);
	case_reopen(test);
	spool_begin(test->spool, NOW_MS);
	assert_int_equal(add(test, "one more"), 1000);
	spool_commit(test->spool, false);
}

static void notes_survive_the_file(void **state)
{
	static struct said said;
	struct spool_case *test = *state;

	case_open(test);
	spool_begin(test->spool, NOW_MS);
	add(test, "one");
	spool_commit(test->spool, false);
	assert_int_equal(unlink(test->file), 0);
	case_listen(&said);
	put_one(test, 1);
	assert_non_null(strstr(case_said(&said), "somebody took it away"));
	case_reopen(test);
	expect_notes(test, "0=one ");
}

static void notes_wait_for_the_disk_as_batches_do(void **state)
{
	static struct said said;
	struct spool_case *test = *state;

	case_open(test);
	case_listen(&said);
	fault = (struct fault){.err = ENOSPC};
	spool_begin(test->spool, NOW_MS);
	add(test, "one");
	spool_put(test->lane, batch_of(1, 100, 1000));
	spool_commit(test->spool, false);
	expect_notes(test, "0=one ");
	fault_end();
	put_one(test, 2);
	assert_non_null(strstr(case_said(&said), "works again"));
	case_reopen(test);
	expect_notes(test, "0=one ");
	expect_and_acknowledge(test, 1);
}

static void without_a_disk_they_are_in_memory(void **state)
{
	struct spool_case *test = *state;

	test->config.directory = NULL;
	case_open(test);
	spool_begin(test->spool, NOW_MS);
	add(test, "one");
	spool_commit(test->spool, false);
	expect_notes(test, "0=one ");
	case_reopen(test);
	expect_notes(test, "");
}

static void without_a_disk_those_that_are_gone_take_no_room(void **state)
{
	struct spool_case *test = *state;

	test->config.directory = NULL;
	case_open(test);
	for (int i = 0; i < 3; i++) {
		spool_begin(test->spool, NOW_MS);
		assert_int_equal(add(test, "one"), 0);
		spool_commit(test->spool, false);
		spool_begin(test->spool, NOW_MS);
		spool_note_remove(test->spool, 0);
		spool_commit(test->spool, false);
	}
	expect_notes(test, "");
}

static void run(struct spool_case *test, const char *statement)
{
	sqlite3 *db;

	assert_int_equal(
	    sqlite3_open_v2(test->file, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, statement, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void a_damaged_note_is_left_out(void **state)
{
	struct spool_case *test = *state;

	case_open(test);
	spool_begin(test->spool, NOW_MS);
	add(test, "one");
	add(test, "two");
	spool_commit(test->spool, false);
	spool_close(&test->spool);
	run(test, "UPDATE note SET bytes = 'own' WHERE id = 0");
	case_open(test);
	expect_notes(test, "1=two ");
}

/* The first version had no table for them. */
static void an_older_file_is_taken_over(void **state)
{
	struct spool_case *test = *state;

	case_open(test);
	put_one(test, 7);
	spool_close(&test->spool);
	run(test, "DROP TABLE note; PRAGMA user_version=1");
	case_open(test);
	spool_begin(test->spool, NOW_MS);
	add(test, "one");
	spool_commit(test->spool, false);
	case_reopen(test);
	expect_notes(test, "0=one ");
	expect_and_acknowledge(test, 7);
}

/* --- what lanes of lines have of their own ------------------------------------ */

static void a_lane_with_a_limit_loses_its_oldest_beyond_it(void **state)
{
	struct spool_case *test = *state;

	for (int in_memory = 0; in_memory < 2; in_memory++) {
		if (in_memory)
			test->config.directory = NULL;
		case_open(test);
		spool_set_limit(test->lane, 5000);
		for (uint32_t i = 1; i <= 10; i++)
			put_one(test, i);
		/* The limit is kept before the newest comes in, where that is on disk;
		 * in memory each batch takes more than its content. */
		assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL],
				 in_memory ? 600 : 400);
		spool_set_limit(test->lane, 0);
		expect_and_acknowledge(test, in_memory ? 7 : 5);
		spool_close(&test->spool);
		case_each_file(test, case_unlink, NULL);
	}
}

static void a_lane_may_have_an_age_of_its_own(void **state)
{
	struct spool_case *test = *state;
	struct spool_lane *other;

	case_open(test);
	assert_int_equal(spool_lane(test->spool, "b", &other), 0);
	spool_set_age(test->lane, 7200 * 1000);
	put_one(test, 1);
	put_one_at(other, test->spool, 2, NOW_MS);
	put_one_at(other, test->spool, 3, NOW_MS + 3600 * 1000 + 1);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 0);
	assert_int_equal(waiting(other).dropped[SPOOL_TOO_OLD], 100);
}

static void lines_are_not_the_newest_samples(void **state)
{
	struct spool_case *test = *state;
	struct wire_batch *batch = batch_of(5, 100, 1000);

	case_open(test);
	batch->message = WIRE_LOKI;
	spool_begin(test->spool, NOW_MS);
	spool_put(test->lane, batch);
	spool_commit(test->spool, false);
	assert_int_equal(spool_last_time_ms(test->spool), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, case_set_up, case_tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(notes_come_back_with_their_collection),
	    TEST(a_number_is_used_again_once_its_note_is_gone),
	    TEST(many_notes_are_kept),
	    TEST(notes_survive_the_file),
	    TEST(notes_wait_for_the_disk_as_batches_do),
	    TEST(without_a_disk_they_are_in_memory),
	    TEST(without_a_disk_those_that_are_gone_take_no_room),
	    TEST(a_damaged_note_is_left_out),
	    TEST(an_older_file_is_taken_over),
	    TEST(a_lane_with_a_limit_loses_its_oldest_beyond_it),
	    TEST(a_lane_may_have_an_age_of_its_own),
	    TEST(lines_are_not_the_newest_samples),
	};

	return cmocka_run_group_tests(tests, fault_install, NULL);
}
