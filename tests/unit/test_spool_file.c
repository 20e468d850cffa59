/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>

#include "spool_case.h"

static void execute(const struct spool_case *test, const char *statement)
{
	sqlite3 *db;
	int code;

	assert_int_equal(sqlite3_open(test->file, &db), SQLITE_OK);
	code = sqlite3_exec(db, statement, NULL, NULL, NULL);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(code, SQLITE_OK);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void count_set_aside(const char *path, void *context)
{
	unsigned int *count = context;

	*count += strstr(path, "/spool.db.corrupt-") != NULL;
}

static unsigned int set_aside(const struct spool_case *test)
{
	unsigned int count = 0;

	case_each_file(test, count_set_aside, &count);
	return count;
}

/* The case is closed, its file wrong: a fresh one takes its place. */
static void expect_replaced(struct spool_case *test, const char *why)
{
	static struct said said;

	case_listen(&said);
	case_open(test);
	case_said(&said);
	assert_int_equal(count_of(said.text, "\n"), 1);
	assert_non_null(strstr(said.text, why));
	assert_non_null(strstr(said.text, test->file));
	assert_true(set_aside(test) > 0);
	assert_null(spool_take(test->lane));
	put_one(test, 90);
	case_reopen(test);
	expect_and_acknowledge(test, 90);
	spool_close(&test->spool);
	assert_int_equal(unlink(test->file), 0);
}

/* --- what is no spool --------------------------------------------------------- */

static void what_is_no_database_is_set_aside(void **state)
{
	struct spool_case *test = *state;
	char path[128], text[64] = "";
	int fd;

	write_file(test->file, "My notes, which nobody may delete.");
	expect_replaced(test, "not a database");
	snprintf(path, sizeof(path), "%s.corrupt-%lld", test->file, (long long)NOW_MS);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_string_equal(text, "My notes, which nobody may delete.");
}

static void another_database_is_set_aside(void **state)
{
	static const struct {
		const char *change;
		const char *why;
	} cases[] = {
	    {"PRAGMA application_id=1", "not a spool"},
	    {"PRAGMA user_version=3", "a spool of another version"},
	    {"CREATE TABLE more(x)", "not a spool's tables"},
	    {"DROP TABLE number", "not a spool's tables"},
	    {"CREATE TRIGGER more AFTER DELETE ON batch BEGIN SELECT 1; END",
	     "not a spool's tables"},
	    {"ALTER TABLE batch RENAME COLUMN bytes TO content",
	     "not a spool's tables"},
	};
	struct spool_case *test = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		case_each_file(test, case_unlink, NULL);
		case_open(test);
		put_one(test, 1);
		spool_close(&test->spool);
		execute(test, cases[i].change);
		expect_replaced(test, cases[i].why);
	}
}

static void a_log_without_its_file_is_set_aside(void **state)
{
	struct spool_case *test = *state;
	char path[96];

	snprintf(path, sizeof(path), "%s-wal", test->file);
	write_file(path, "what a log may look like");
	expect_replaced(test, "empty, but its log is not");
	assert_int_equal(set_aside(test), 2); /* the empty file beside its log */
}

static void what_was_begun_is_finished(void **state)
{
	struct spool_case *test = *state;

	execute(test, "PRAGMA journal_mode=WAL");
	case_open(test);
	put_one(test, 1);
	expect_and_acknowledge(test, 1);
	assert_int_equal(set_aside(test), 0);
}

static void three_that_were_set_aside_are_kept(void **state)
{
	struct spool_case *test = *state;
	char path[128];
	static struct said said;

	case_listen(&said);
	for (int i = 0; i < 5; i++) {
		write_file(test->file, "no database");
		case_open_at(test, NOW_MS + i * 1000);
		spool_close(&test->spool);
	}
	case_said(&said);
	assert_int_equal(set_aside(test), 3);
	for (int i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s.corrupt-%lld", test->file,
			 (long long)NOW_MS + i * 1000);
		assert_int_equal(access(path, F_OK), i < 2 ? -1 : 0);
	}
}

/* --- what is in it ------------------------------------------------------------ */

static void a_change_of_any_column_is_found(void **state)
{
	static const char *const changes[] = {
	    "key = key + 1000",
	    "key = key + (1 << 47)",
	    "collection = collection + 1",
	    "collected_ms = collected_ms + 1",
	    "time_ms = time_ms - 1",
	    "samples = samples + 1",
	    "samples = -1",
	    "samples = 1 << 40",
	    "samples = 'many'",
	    "histograms = 1",
	    "message = 1",
	    "message = 99",
	    "metadata = 1",
	    "checksum = checksum + 1",
	    "checksum = NULL",
	    "bytes = zeroblob(1000)",
	    "bytes = zeroblob(0)",
	    "bytes = NULL",
	    "bytes = 5",
	};
	struct spool_case *test = *state;
	static struct said said;

	case_listen(&said);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		char statement[128];

		case_open(test);
		put_one(test, 1);
		spool_close(&test->spool);
		snprintf(statement, sizeof(statement), "UPDATE batch SET %s",
			 changes[i]);
		execute(test, statement);
		case_open(test);
		assert_null(spool_take(test->lane));
		assert_int_equal(waiting(test->lane).samples, 0);
		put_one(test, 2);
		expect_and_acknowledge(test, 2);
		spool_close(&test->spool);
	}
	case_said(&said);
}

static void batches_are_not_sent_to_who_has_another_name(void **state)
{
	struct spool_case *test = *state;
	struct spool_lane *other;
	static struct said said;

	case_open(test);
	assert_int_equal(spool_lane(test->spool, "b", &other), 0);
	put_one(test, 1);
	put_one_at(other, test->spool, 2, NOW_MS);
	spool_close(&test->spool);
	execute(test, "UPDATE lane SET name = 'a'");
	case_listen(&said);
	case_open(test);
	expect_and_acknowledge(test, 1);
	assert_null(spool_take(test->lane));
	assert_int_equal(spool_lane(test->spool, "b", &other), 0);
	assert_null(spool_take(other));
	spool_close(&test->spool);
	execute(test, "UPDATE lane SET name = 'b'");
	put_one((case_open(test), test), 3);
	assert_int_equal(spool_lane(test->spool, "b", &other), 0);
	assert_null(spool_take(other));
	expect_and_acknowledge(test, 3);
	case_said(&said);
}

struct orphans {
	unsigned int count;
	uint64_t samples;
};

static void on_orphan(void *context, const char *name, uint64_t samples)
{
	struct orphans *orphans = context;

	assert_string_equal(name, "");
	orphans->count++;
	orphans->samples += samples;
}

static void rows_of_no_lane_go_by_age(void **state)
{
	struct spool_case *test = *state;
	struct orphans orphans = {0};

	case_open(test);
	put_one(test, 1);
	put_one(test, 2);
	spool_close(&test->spool);
	execute(test, "DELETE FROM lane");
	case_open(test);
	assert_null(spool_take(test->lane));
	spool_orphans(test->spool, on_orphan, &orphans);
	assert_int_equal(orphans.count, 1);
	assert_int_equal(orphans.samples, 200);
	put_one_at(test->lane, test->spool, 3, NOW_MS + 2 * 3600 * 1000);
	expect_and_acknowledge(test, 3);
	orphans.count = 0;
	spool_orphans(test->spool, on_orphan, &orphans);
	assert_int_equal(orphans.count, 0);
}

static void damaged_numbers_are_none(void **state)
{
	struct spool_case *test = *state;
	int64_t number;

	case_open(test);
	put_one(test, 1);
	assert_int_equal(spool_set(test->spool, NULL, "good", 1), 0);
	assert_int_equal(spool_set(test->spool, NULL, "bad", 1), 0);
	spool_close(&test->spool);
	execute(test, "UPDATE number SET number = 4611686018427387904 "
		      "WHERE key != 'good'");
	case_open(test);
	assert_true(spool_get(test->spool, NULL, "good", &number));
	assert_false(spool_get(test->spool, NULL, "bad", &number));
	assert_int_equal(spool_last_time_ms(test->spool), 0);
	spool_close(&test->spool);
	case_open_at(test, NOW_MS + 1000); /* the counters go on from the clock */
	put_one(test, 2);
	expect_and_acknowledge(test, 1);
	expect_and_acknowledge(test, 2);
}

/* --- damage anywhere ---------------------------------------------------------- */

#define PLACES 100
#define NEWEST 61

static size_t length_of(uint32_t number)
{
	return number * 7919 % 40000;
}

/* Batches, acknowledgements and numbers, some in the file and some in the log, as a
 * kill leaves them in `copy`. */
static void make_original(struct spool_case *test, char *copy)
{
	case_open(test);
	for (uint32_t i = 1; i <= 60; i++) {
		spool_begin(test->spool, NOW_MS);
		spool_put(test->lane, batch_of(i, 100, length_of(i)));
		spool_commit(test->spool, false);
		if (i == 40)
			case_reopen(test);
		if (i % 3 == 0)
			spool_acknowledge(test->lane, spool_take(test->lane)->id);
	}
	case_each_file(test, case_copy, copy);
	spool_close(&test->spool);
	case_each_file(test, case_unlink, NULL);
}

static void flip(const char *path, uint32_t *random, unsigned int count)
{
	int fd = open(path, O_RDWR);
	off_t size = lseek(fd, 0, SEEK_END);

	assert_true(fd >= 0 && size > 4096);
	while (count--) {
		off_t place = (off_t)(random_number(random) % (uint32_t)size);
		unsigned char byte;

		assert_int_equal(pread(fd, &byte, 1, place), 1);
		byte ^= (unsigned char)(1 << random_number(random) % 8);
		assert_int_equal(pwrite(fd, &byte, 1, place), 1);
	}
	close(fd);
}

static void cut_off(const char *path, uint32_t *random)
{
	struct stat stat_of;

	assert_int_equal(stat(path, &stat_of), 0);
	assert_int_equal(
	    truncate(path, random_number(random) % (uint32_t)stat_of.st_size), 0);
}

/* Whatever comes out is what went in, in order. Whether the newest came. */
static bool drain(struct spool_case *test)
{
	const struct spool_batch *batch;
	uint32_t last = 0;

	while ((batch = spool_take(test->lane))) {
		uint32_t number = (uint32_t)(batch->batch->time_ms - NOW_MS);

		assert_true(number > last && number <= NEWEST);
		assert_true(is_batch(batch->batch, number, 100, length_of(number)));
		last = number;
		spool_acknowledge(test->lane, batch->id);
	}
	assert_int_equal(waiting(test->lane).samples, 0);
	return last == NEWEST;
}

/* A batch that is put comes out, or is counted, because that showed the damage. */
static void expect_working(struct spool_case *test)
{
	for (int i = 0; i < 3; i++) {
		uint64_t lost = waiting(test->lane).dropped[SPOOL_CORRUPT];

		spool_begin(test->spool, NOW_MS);
		spool_put(test->lane, batch_of(NEWEST, 100, length_of(NEWEST)));
		spool_commit(test->spool, false);
		if (drain(test))
			return;
		assert_true(waiting(test->lane).dropped[SPOOL_CORRUPT] >= lost + 100);
	}
	fail();
}

static void try_damage(struct spool_case *test, const char *original, const char *name,
		       uint32_t *random, unsigned int flips)
{
	struct spool_case from = {0};
	char path[96];

	snprintf(from.directory, sizeof(from.directory), "%s", original);
	case_each_file(&from, case_copy, test->directory);
	snprintf(path, sizeof(path), "%s/%s", test->directory, name);
	if (flips)
		flip(path, random, flips);
	else
		cut_off(path, random);
	case_open(test);
	drain(test);
	expect_working(test);
	case_reopen(test);
	drain(test);
	expect_working(test);
	spool_close(&test->spool);
	case_each_file(test, case_unlink, NULL);
}

static void damage_anywhere_hands_out_no_garbage(void **state)
{
	static const char *const names[] = {"spool.db", "spool.db-wal"};
	struct spool_case *test = *state, original = {0};
	uint32_t random = random_seed();
	static struct said said;

	strcpy(original.directory, "/tmp/test_spool.XXXXXX");
	assert_non_null(mkdtemp(original.directory));
	make_original(test, original.directory);
	case_listen(&said);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (int place = 0; place < PLACES; place++) {
			try_damage(test, original.directory, names[i], &random, 1);
			try_damage(test, original.directory, names[i], &random, 200);
			try_damage(test, original.directory, names[i], &random, 0);
		}
	}
	case_said(&said);
	case_each_file(&original, case_unlink, NULL);
	rmdir(original.directory);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, case_set_up, case_tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(what_is_no_database_is_set_aside),
	    TEST(another_database_is_set_aside),
	    TEST(a_log_without_its_file_is_set_aside),
	    TEST(what_was_begun_is_finished),
	    TEST(three_that_were_set_aside_are_kept),
	    TEST(a_change_of_any_column_is_found),
	    TEST(batches_are_not_sent_to_who_has_another_name),
	    TEST(rows_of_no_lane_go_by_age),
	    TEST(damaged_numbers_are_none),
	    TEST(damage_anywhere_hands_out_no_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
