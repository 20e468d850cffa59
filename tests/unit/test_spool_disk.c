/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "fault_vfs.h"
#include "spool_case.h"

/* --- a disk that takes nothing ------------------------------------------------ */

static void what_a_full_disk_does_not_take_waits_behind_what_is_on_it(void **state)
{
	struct spool_case *test = *state;
	const struct spool_batch *sent;
	static struct said said;

	case_open(test);
	for (uint32_t i = 1; i <= 3; i++)
		put_one(test, i);
	sent = expect_next_of(test->lane, 1);
	case_listen(&said);
	fault_set(ENOSPC, 0);
	for (uint32_t i = 4; i <= 6; i++)
		put_one(test, i);
	case_said(&said);
	assert_int_equal(count_of(said.text, "\n"), 1);
	assert_non_null(strstr(said.text, "error: spool \""));
	assert_non_null(strstr(said.text, "(ENOSPC)"));
	assert_int_equal(waiting(test->lane).samples, 600);
	spool_acknowledge(test->lane, sent->id);
	for (uint32_t i = 2; i <= 5; i++)
		expect_and_acknowledge(test, i);
	assert_int_equal(waiting(test->lane).samples, 100);
	case_listen(&said);
	fault_end();
	put_one(test, 7);
	put_one(test, 8);
	case_said(&said);
	assert_int_equal(count_of(said.text, "\n"), 1);
	assert_non_null(strstr(said.text, "works again"));
	case_reopen(test);
	for (uint32_t i = 6; i <= 8; i++)
		expect_and_acknowledge(test, i);
	assert_null(spool_take(test->lane));
}

static void what_is_acknowledged_on_a_full_disk_is_not_sent_again(void **state)
{
	struct spool_case *test = *state;
	static struct said said;

	case_open(test);
	for (uint32_t i = 1; i <= 200; i++)
		put_one(test, i);
	case_listen(&said);
	fault_set(ENOSPC, 0);
	for (uint32_t i = 1; i <= 150; i++)
		expect_and_acknowledge(test, i);
	case_said(&said);
	assert_int_equal(count_of(said.text, "\n"), 1);
	fault_end();
	case_reopen(test); /* its end writes them */
	for (uint32_t i = 151; i <= 200; i++)
		expect_and_acknowledge(test, i);
	assert_null(spool_take(test->lane));
}

static void what_is_under_way_from_memory_is_put_on_disk_too(void **state)
{
	struct spool_case *test = *state;

	case_open(test);
	fault_set(EIO, 0);
	put_one(test, 1);
	expect_next_of(test->lane, 1);
	fault_end();
	put_one(test, 2);
	assert_null(spool_take(test->lane));
	case_reopen(test);
	expect_and_acknowledge(test, 1);
	expect_and_acknowledge(test, 2);
}

static void memory_is_bounded_while_the_disk_takes_nothing(void **state)
{
	struct spool_case *test = *state;

	test->config.memory_bytes_max = 4 * 1000;
	case_open(test);
	put_one(test, 1);
	fault_set(EROFS, 0);
	for (uint32_t i = 2; i <= 10; i++)
		put_one(test, i);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_FULL], 600);
	expect_and_acknowledge(test, 1);
	for (uint32_t i = 8; i <= 10; i++)
		expect_and_acknowledge(test, i);
	fault_end();
}

static void numbers_set_meanwhile_are_written_later(void **state)
{
	struct spool_case *test = *state;
	int64_t number = 0;

	case_open(test);
	fault_set(ENOSPC, 0);
	assert_int_equal(spool_set(test->spool, NULL, "key", 5), 0);
	assert_true(spool_get(test->spool, NULL, "key", &number));
	assert_int_equal(number, 5);
	fault_end();
	case_reopen(test);
	number = 0;
	assert_true(spool_get(test->spool, NULL, "key", &number));
	assert_int_equal(number, 5);
}

/* More than is in SQLite's cache, and no way to read it. */
static void fill_unreadable_disk(struct spool_case *test)
{
	case_open(test);
	for (uint32_t i = 1; i <= 10; i++) {
		spool_begin(test->spool, NOW_MS);
		spool_put(test->lane, batch_of(i, 100, 100000));
		spool_commit(test->spool, false);
	}
	fault_set(EIO, 0);
	fault.reads = true;
}

static void expect_large(struct spool_case *test, uint32_t number)
{
	const struct spool_batch *batch = spool_take(test->lane);

	assert_non_null(batch);
	assert_true(is_batch(batch->batch, number, 100, 100000));
	spool_acknowledge(test->lane, batch->id);
}

static void nothing_newer_goes_before_what_cannot_be_read(void **state)
{
	struct spool_case *test = *state;

	fill_unreadable_disk(test);
	put_one(test, 11);
	assert_null(spool_take(test->lane));
	put_one(test, 12);
	assert_null(spool_take(test->lane));
	assert_int_equal(waiting(test->lane).samples, 1200);
	fault_end();
	for (uint32_t i = 1; i <= 10; i++)
		expect_large(test, i);
	expect_and_acknowledge(test, 11);
	expect_and_acknowledge(test, 12);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_CORRUPT], 0);
	case_reopen(test);
	assert_null(spool_take(test->lane));
}

/* In the middle: what came before was delivered. */
static void what_can_be_read_goes_on_until_it_cannot(void **state)
{
	struct spool_case *test = *state;

	fill_unreadable_disk(test);
	fault_end();
	for (uint32_t i = 1; i <= 4; i++)
		expect_large(test, i);
	fault_set(EIO, 0);
	fault.reads = true;
	put_one(test, 11);
	assert_null(spool_take(test->lane));
	fault_end();
	for (uint32_t i = 5; i <= 10; i++)
		expect_large(test, i);
	expect_and_acknowledge(test, 11);
}

static void who_has_nothing_on_a_disk_does_not_wait_for_it(void **state)
{
	struct spool_case *test = *state;
	struct spool_lane *other;

	fill_unreadable_disk(test);
	assert_int_equal(spool_lane(test->spool, "b", &other), 0);
	put_one_at(other, test->spool, 20, NOW_MS);
	assert_null(spool_take(test->lane));
	expect_next_of(other, 20);
	fault_end();
}

static void what_cannot_be_read_for_too_long_is_given_up(void **state)
{
	struct spool_case *test = *state;
	int64_t late_ms = NOW_MS + (int64_t)test->config.age_max_ms;
	static struct said said;

	fill_unreadable_disk(test);
	put_one(test, 11);
	assert_null(spool_take(test->lane));
	put_one_at(test->lane, test->spool, 12, late_ms);
	assert_null(spool_take(test->lane));
	case_listen(&said);
	put_one_at(test->lane, test->spool, 13, late_ms + 1);
	case_said(&said);
	assert_int_equal(count_of(said.text, "set aside"), 1);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_CORRUPT], 1000);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 100);
	expect_and_acknowledge(test, 12);
	expect_and_acknowledge(test, 13);
	fault_end();
	put_one_at(test->lane, test->spool, 14, late_ms + 2);
	case_reopen(test);
	expect_and_acknowledge(test, 14);
	assert_null(spool_take(test->lane));
}

/* Its receiver was away, so that nobody asked whether it can be read again. */
static void what_can_be_read_again_is_not_given_up(void **state)
{
	struct spool_case *test = *state;
	int64_t late_ms = NOW_MS + (int64_t)test->config.age_max_ms;

	fill_unreadable_disk(test);
	put_one(test, 11);
	assert_null(spool_take(test->lane));
	fault_end();
	put_one_at(test->lane, test->spool, 12, late_ms);
	put_one_at(test->lane, test->spool, 13, late_ms + 1);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_CORRUPT], 0);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_TOO_OLD], 1100);
	expect_and_acknowledge(test, 12);
	expect_and_acknowledge(test, 13);
}

/* It is the oldest there is: memory need not lose what is newer. */
static void what_cannot_be_read_gives_way_to_what_memory_has_no_room_for(void **state)
{
	struct spool_case *test = *state;
	uint32_t last = 10;

	test->config.memory_bytes_max = 20 * 1000;
	fill_unreadable_disk(test);
	while (!waiting(test->lane).dropped[SPOOL_CORRUPT]) {
		put_one(test, ++last);
		if (!waiting(test->lane).dropped[SPOOL_CORRUPT])
			assert_null(spool_take(test->lane));
		assert_true(last < 100);
	}
	assert_true(last > 20);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_CORRUPT], 1000);
	/* the one that was too much for memory as well */
	assert_true(waiting(test->lane).dropped[SPOOL_FULL] <= 100);
	for (uint32_t i = 11 + (waiting(test->lane).dropped[SPOOL_FULL] != 0);
	     i <= last; i++)
		expect_and_acknowledge(test, i);
	fault_end();
}

static void a_disk_that_cannot_be_opened_is_opened_later(void **state)
{
	struct spool_case *test = *state;
	int64_t first, number = 0;
	static struct said said;

	case_open(test);
	put_one(test, 1);
	put_one(test, 2);
	assert_int_equal(spool_set(test->spool, test->lane, "old", 1), 0);
	first = expect_next_of(test->lane, 1)->collection;
	spool_close(&test->spool);
	case_listen(&said);
	fault_set(EIO, 0);
	fault.opens = true;
	case_open_at(test, NOW_MS + 1000);
	put_one_at(test->lane, test->spool, 3, NOW_MS + 1000);
	case_said(&said);
	assert_int_equal(count_of(said.text, "\n"), 1);
	assert_true(expect_next_of(test->lane, 3)->collection > first + 1);
	fault_end();
	put_one_at(test->lane, test->spool, 4, NOW_MS + 2000);
	assert_true(spool_get(test->spool, test->lane, "old", &number));
	assert_int_equal(waiting(test->lane).samples, 400);
	assert_null(spool_take(test->lane)); /* 3 is under way */
	case_reopen(test);
	for (uint32_t i = 1; i <= 4; i++)
		expect_and_acknowledge(test, i);
	assert_null(spool_take(test->lane));
}

/* Started twice within a millisecond, or with a clock that went back. */
static void what_waited_for_the_disk_comes_after_what_is_on_it(void **state)
{
	struct spool_case *test = *state;
	const struct spool_batch *sent;
	int64_t id, newest;

	case_open(test);
	for (uint32_t i = 1; i <= 3; i++)
		put_one(test, i);
	spool_close(&test->spool);
	fault_set(EIO, 0);
	fault.opens = true;
	case_open_at(test, NOW_MS - 1);
	for (uint32_t i = 4; i <= 6; i++)
		put_one(test, i);
	sent = expect_next_of(test->lane, 4);
	id = sent->id;
	fault_end();
	put_one(test, 7);
	assert_int_equal(waiting(test->lane).samples, 700);
	assert_int_equal(sent->id, id);
	spool_acknowledge(test->lane, id);
	for (uint32_t i = 1; i <= 3; i++)
		expect_and_acknowledge(test, i);
	newest = expect_next_of(test->lane, 5)->collection;
	case_reopen(test);
	expect_and_acknowledge(test, 5);
	expect_and_acknowledge(test, 6);
	assert_int_equal(expect_next_of(test->lane, 7)->collection, newest + 2);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_CORRUPT], 0);
}

/* --- an error at each operation ----------------------------------------------- */

#define COLLECTIONS 4
#define BATCHES 3

static uint32_t batch_number(uint32_t collection, uint32_t i)
{
	return collection * 10 + i;
}

static void put_three(struct spool_case *test, uint32_t collection)
{
	spool_begin(test->spool, NOW_MS);
	for (uint32_t i = 0; i < BATCHES; i++)
		spool_put(test->lane, batch_of(batch_number(collection, i), 100, 1000));
	spool_commit(test->spool, false);
}

/* What would be there after a kill at this point: collections are there whole, from
 * `first` on, without gaps. Returns how many. */
static uint32_t collections_on_disk(const struct spool_case *test, uint32_t first)
{
	struct spool_case *copied;
	uint32_t count = 0;
	void *state;

	assert_int_equal(case_set_up(&state), 0);
	copied = state;
	case_each_file(test, case_copy, copied->directory);
	case_open(copied);
	for (;; count++) {
		for (uint32_t i = 0; i < BATCHES; i++) {
			const struct spool_batch *batch = spool_take(copied->lane);

			if (!batch && !i)
				goto end;
			assert_non_null(batch);
			assert_true(is_batch(
			    batch->batch, batch_number(first + count, i), 100, 1000));
			spool_acknowledge(copied->lane, batch->id);
		}
	}
end:
	case_tear_down(&state);
	return count;
}

static void take_three(struct spool_case *test, uint32_t collection)
{
	for (uint32_t i = 0; i < BATCHES; i++)
		expect_and_acknowledge(test, batch_number(collection, i));
}

/* Returns whether there was such an operation. */
static bool try_fault_at(struct spool_case *test, int operation, int err, bool reads)
{
	bool hit;

	case_open(test);
	put_three(test, 0);
	put_three(test, 1);
	assert_int_equal(collections_on_disk(test, 0), 2);
	fault_set(err, operation);
	fault.once = true;
	fault.reads = reads;
	put_three(test, 2);
	take_three(test, 0);
	hit = fault.after < 0;
	fault_end();
	put_three(test, 3);
	assert_int_equal(waiting(test->lane).samples, 900);
	assert_int_equal(collections_on_disk(test, 1), 3);
	for (uint32_t i = 1; i < 4; i++)
		take_three(test, i);
	assert_null(spool_take(test->lane));
	assert_int_equal(waiting(test->lane).dropped[SPOOL_CORRUPT], 0);
	spool_close(&test->spool);
	case_each_file(test, case_unlink, NULL);
	return hit;
}

static void an_error_at_any_operation_loses_and_repeats_nothing(void **state)
{
	static const int errors[] = {ENOSPC, EIO};
	static struct said said;

	case_listen(&said);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		int operation = 0;

		while (try_fault_at(*state, operation, errors[i], false))
			operation++;
		assert_true(operation > 10);
	}
	case_said(&said);
}

/* But where the sync alone failed: then all of it is, for who reads it before the next
 * collection is written in its place. */
static void nothing_of_a_collection_that_failed_is_on_disk(void **state)
{
	struct spool_case *test = *state;
	static struct said said;

	case_listen(&said);
	for (int operation = 0;; operation++) {
		case_open(test);
		put_three(test, 0);
		fault_set(EIO, operation);
		put_three(test, 1);
		fault_end();
		assert_int_equal(collections_on_disk(test, 0),
				 fault.failed && !fault.synced ? 1 : 2);
		spool_close(&test->spool);
		case_each_file(test, case_unlink, NULL);
		if (!fault.failed)
			break;
		assert_true(operation < 100);
	}
	case_said(&said);
}

/* --- damage ------------------------------------------------------------------- */

/* Changes the file behind its owner's back. */
static void change_file(const struct spool_case *test, off_t from, off_t to)
{
	static const unsigned char garbage[4096] = "garbage";
	int fd = open(test->file, O_WRONLY);

	assert_true(fd >= 0);
	for (off_t offset = from; offset < to; offset += sizeof(garbage))
		assert_int_equal(pwrite(fd, garbage, sizeof(garbage), offset),
				 sizeof(garbage));
	close(fd);
}

/* 40 batches, by two, in the file (not the log) and too large for SQLite's cache. */
static void fill(struct spool_case *test)
{
	case_open(test);
	for (uint32_t i = 1; i <= 40; i += 2) {
		spool_begin(test->spool, NOW_MS);
		spool_put(test->lane, batch_of(i, 100, 100000));
		spool_put(test->lane, batch_of(i + 1, 100, 100000));
		spool_commit(test->spool, false);
	}
	case_reopen(test);
}

static void damage_that_shows_later_costs_what_is_on_disk(void **state)
{
	struct spool_case *test = *state;
	const struct spool_batch *sent;
	static struct said said;

	fill(test);
	sent = spool_take(test->lane);
	assert_true(is_batch(sent->batch, 1, 100, 100000));
	change_file(test, 8192, case_file_size(test));
	case_listen(&said);
	assert_null(spool_take(test->lane));
	put_one(test, 41);
	case_said(&said);
	assert_int_equal(count_of(said.text, "\n"), 1);
	assert_non_null(strstr(said.text, "set aside as \"spool.db.corrupt-"));
	assert_non_null(strstr(said.text, "3900 samples"));
	assert_int_equal(waiting(test->lane).dropped[SPOOL_CORRUPT], 3900);
	assert_int_equal(waiting(test->lane).samples, 200);
	assert_null(spool_take(test->lane)); /* the first is under way */
	case_reopen(test);
	sent = spool_take(test->lane);
	assert_true(is_batch(sent->batch, 1, 100, 100000));
	spool_acknowledge(test->lane, sent->id);
	expect_and_acknowledge(test, 41);
	assert_null(spool_take(test->lane));
}

static void a_file_that_was_taken_away_is_made_again(void **state)
{
	struct spool_case *test = *state;
	static struct said said;

	case_open(test);
	put_one(test, 1);
	put_one(test, 2);
	expect_next_of(test->lane, 1);
	assert_int_equal(unlink(test->file), 0);
	case_listen(&said);
	put_one(test, 3);
	case_said(&said);
	assert_int_equal(count_of(said.text, "\n"), 1);
	assert_non_null(strstr(said.text, "somebody took it away"));
	assert_int_equal(waiting(test->lane).dropped[SPOOL_CORRUPT], 100);
	case_reopen(test);
	expect_and_acknowledge(test, 1);
	expect_and_acknowledge(test, 3);
}

static void what_is_remembered_outlives_damage(void **state)
{
	struct spool_case *test = *state;
	static struct said said;
	int64_t number = 0;

	fill(test);
	assert_int_equal(spool_set(test->spool, test->lane, "message", 7), 0);
	put_one(test, 41);
	case_listen(&said);
	change_file(test, 4096, case_file_size(test));
	assert_null(spool_take(test->lane));
	put_one(test, 42);
	case_said(&said);
	case_reopen(test);
	expect_and_acknowledge(test, 42);
	assert_true(spool_get(test->spool, test->lane, "message", &number));
	assert_int_equal(number, 7);
	assert_int_equal(spool_last_time_ms(test->spool), NOW_MS + 42);
}

static void execute(const struct spool_case *test, const char *statement)
{
	sqlite3 *db;

	assert_int_equal(
	    sqlite3_open_v2(test->file, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, statement, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_damaged_batch_is_dropped_and_the_walk_goes_on(void **state)
{
	struct spool_case *test = *state;
	static struct said said;

	case_open(test);
	for (uint32_t i = 1; i <= 5; i++)
		put_one(test, i);
	spool_close(&test->spool);
	execute(test,
		"UPDATE batch SET bytes = zeroblob(1000) WHERE time_ms % 10 IN (2, 3)");
	case_open(test);
	case_listen(&said);
	expect_and_acknowledge(test, 1);
	expect_and_acknowledge(test, 4);
	expect_and_acknowledge(test, 5);
	case_said(&said);
	assert_int_equal(count_of(said.text, "\n"), 1);
	assert_int_equal(waiting(test->lane).dropped[SPOOL_CORRUPT], 200);
	assert_int_equal(waiting(test->lane).samples, 0);
	case_reopen(test);
	assert_int_equal(waiting(test->lane).samples, 0);
}

/* --- kill --------------------------------------------------------------------- */

#define KILLS 50
#define LANES 2
#define TOLD_MAX 100000

/* What the child says of a batch: before its acknowledgement 'a', after that 'A', and
 * after its commit, of all lanes, 'C'. */
struct told {
	char what;
	unsigned char lane;
	uint32_t number;
};

static void tell(int fd, char what, unsigned int lane, uint32_t number)
{
	const struct told told = {what, (unsigned char)lane, number};

	if (write(fd, &told, sizeof(told)) != sizeof(told))
		_exit(1);
}

static size_t length_of(uint32_t number)
{
	return number * 7919 % 60000;
}

static void open_lanes(struct spool_case *test, struct spool_lane *lanes[LANES])
{
	case_open(test);
	lanes[0] = test->lane;
	assert_int_equal(spool_lane(test->spool, "b", &lanes[1]), 0);
}

static void put_some(struct spool_case *test, struct spool_lane *lanes[LANES], int fd,
		     uint32_t *random, uint32_t *next)
{
	uint32_t first = *next;

	spool_begin(test->spool, NOW_MS);
	for (uint32_t count = 1 + random_number(random) % 4; count; count--, ++*next)
		for (unsigned int lane = 0; lane < LANES; lane++)
			spool_put(lanes[lane], batch_of(*next, 100, length_of(*next)));
	spool_commit(test->spool, false);
	for (uint32_t number = first; number < *next; number++)
		tell(fd, 'C', 0, number);
}

static void acknowledge_some(struct spool_lane *lanes[LANES], int fd, uint32_t *random)
{
	for (unsigned int lane = 0; lane < LANES; lane++) {
		for (uint32_t count = random_number(random) % 6; count; count--) {
			const struct spool_batch *batch = spool_take(lanes[lane]);
			uint32_t number;

			if (!batch)
				break;
			number = (uint32_t)(batch->batch->time_ms - NOW_MS);
			tell(fd, 'a', lane, number);
			spool_acknowledge(lanes[lane], batch->id);
			tell(fd, 'A', lane, number);
		}
	}
}

static void live(struct spool_case *test, int fd, uint32_t random, uint32_t next)
{
	struct spool_lane *lanes[LANES];

	open_lanes(test, lanes);
	tell(fd, 'O', 0, 0);
	for (;;) {
		put_some(test, lanes, fd, &random, &next);
		acknowledge_some(lanes, fd, &random);
	}
}

/* What must be, by what was told; `next` is the first number not told of. */
struct ledger {
	uint32_t next;
	bool may_be[LANES][TOLD_MAX], must_be[LANES][TOLD_MAX];
};

static void note(struct ledger *ledger, const struct told *told)
{
	uint32_t number = told->number;

	assert_true(number < TOLD_MAX);
	if (told->what == 'C') {
		for (unsigned int lane = 0; lane < LANES; lane++) {
			ledger->may_be[lane][number] = true;
			ledger->must_be[lane][number] = true;
		}
		ledger->next = number + 1;
	} else if (told->what == 'a') {
		ledger->must_be[told->lane][number] = false;
	} else if (told->what == 'A') {
		ledger->may_be[told->lane][number] = false;
	}
}

/* Lets a child live for so long after it has opened the spool. */
static void live_and_die(struct spool_case *test, struct ledger *ledger,
			 uint32_t random, uint32_t next, long live_ns)
{
	const struct timespec rest = {.tv_nsec = live_ns};
	struct told told;
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fds[0]);
		live(test, fds[1], random, next);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &told, sizeof(told)), sizeof(told));
	nanosleep(&rest, NULL);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	while (read(fds[0], &told, sizeof(told)) == sizeof(told))
		note(ledger, &told);
	close(fds[0]);
}

/* The last collection may be there untold: whole, or not at all. Returns the first
 * number that is new to the spool. */
static uint32_t compare(struct spool_case *test, struct ledger *ledger)
{
	struct spool_lane *lanes[LANES];
	uint32_t next = ledger->next, untold[LANES] = {0};

	open_lanes(test, lanes);
	for (unsigned int lane = 0; lane < LANES; lane++) {
		const struct spool_batch *batch;
		uint32_t expected = 0;

		while ((batch = spool_take(lanes[lane]))) {
			uint32_t number = (uint32_t)(batch->batch->time_ms - NOW_MS);

			assert_true(
			    is_batch(batch->batch, number, 100, length_of(number)));
			for (; expected < number; expected++)
				assert_false(ledger->must_be[lane][expected]);
			assert_int_equal(expected++, number);
			if (number < ledger->next)
				assert_true(ledger->may_be[lane][number]);
			else
				untold[lane]++;
			ledger->may_be[lane][number] = false;
			ledger->must_be[lane][number] = false;
			if (number >= next)
				next = number + 1;
			spool_acknowledge(lanes[lane], batch->id);
		}
		for (; expected < TOLD_MAX; expected++)
			assert_false(ledger->must_be[lane][expected]);
		assert_int_equal(waiting(lanes[lane]).dropped[SPOOL_CORRUPT], 0);
	}
	assert_int_equal(untold[0], untold[1]);
	assert_true(untold[0] <= 4);
	spool_close(&test->spool);
	return next;
}

static void a_kill_loses_nothing_and_repeats_nothing(void **state)
{
	struct spool_case *test = *state;
	static struct ledger ledger;
	uint32_t random = random_seed(), next = 0;

	for (int i = 0; i < KILLS; i++) {
		live_and_die(test, &ledger, random, next,
			     random_number(&random) % 1000 * 100000L);
		next = compare(test, &ledger);
		ledger.next = next;
	}
	print_message("measured: %u batches in %d lives\n", next * LANES, KILLS);
	assert_true(next > KILLS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, case_set_up, case_tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(what_a_full_disk_does_not_take_waits_behind_what_is_on_it),
	    TEST(what_is_acknowledged_on_a_full_disk_is_not_sent_again),
	    TEST(what_is_under_way_from_memory_is_put_on_disk_too),
	    TEST(memory_is_bounded_while_the_disk_takes_nothing),
	    TEST(numbers_set_meanwhile_are_written_later),
	    TEST(nothing_newer_goes_before_what_cannot_be_read),
	    TEST(what_can_be_read_goes_on_until_it_cannot),
	    TEST(who_has_nothing_on_a_disk_does_not_wait_for_it),
	    TEST(what_cannot_be_read_for_too_long_is_given_up),
	    TEST(what_can_be_read_again_is_not_given_up),
	    TEST(what_cannot_be_read_gives_way_to_what_memory_has_no_room_for),
	    TEST(a_disk_that_cannot_be_opened_is_opened_later),
	    TEST(what_waited_for_the_disk_comes_after_what_is_on_it),
	    TEST(an_error_at_any_operation_loses_and_repeats_nothing),
	    TEST(nothing_of_a_collection_that_failed_is_on_disk),
	    TEST(damage_that_shows_later_costs_what_is_on_disk),
	    TEST(a_file_that_was_taken_away_is_made_again),
	    TEST(what_is_remembered_outlives_damage),
	    TEST(a_damaged_batch_is_dropped_and_the_walk_goes_on),
	    TEST(a_kill_loses_nothing_and_repeats_nothing),
	};

	return cmocka_run_group_tests(tests, fault_install, NULL);
}
