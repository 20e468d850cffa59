/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/inotify.h>
#include <sys/syscall.h>

#include "log_case.h"

/* In place of the C library's: as file systems are that tell of nothing, or whose clock
 * stands still. */
static bool has_no_watches;
static int64_t still_s;       /* 0: it goes */
static unsigned int openings; /* that were judged */

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	if (!has_no_watches)
		return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
	errno = ENOSPC;
	return -1;
}

int statx(int fd, const char *path, int flags, unsigned int mask, struct statx *ret)
{
	int err = (int)syscall(SYS_statx, fd, path, flags, mask, ret);

	openings += fd >= 0;
	if (!err && still_s) {
		ret->stx_mtime = ret->stx_ctime =
		    (struct statx_timestamp){.tv_sec = still_s};
		ret->stx_mask &= ~STATX_BTIME;
	}
	return err;
}

static void start(struct log_case *test, const char *pattern)
{
	log_case_glob(test, pattern);
	log_case_start(test);
}

/* --- reading ------------------------------------------------------------------ */

static void lines_are_read_as_they_are_written(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\ntwo\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\na.log:two\n");
	log_case_append(test, "a.log", "three\n");
	log_case_write(test, "b.log", "first\n");
	log_case_expect(test, "a.log:three\nb.log:first\n");
	log_case_wait(test, 10000);
	log_case_expect(test, "");
}

static void an_incomplete_line_waits_for_its_end(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\ntw");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_wait(test, 60000);
	log_case_expect(test, "");
	log_case_append(test, "a.log", "o\n");
	log_case_expect(test, "a.log:two\n");
}

static void a_restart_goes_on_behind_the_last_complete_line(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\ntw");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_start(test);
	log_case_expect(test, "");
	log_case_append(test, "a.log", "o\nthree\n");
	log_case_start(test);
	log_case_expect(test, "a.log:two\na.log:three\n");
}

static void what_was_not_noted_is_read_again(void **state)
{
	struct log_case *test = *state;
	const struct log_sink sink = log_case_sink(test);

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_append(test, "a.log", "two\n");
	log_files_look_at_all(test->files);
	log_files_turn(test->files, &sink);
	assert_string_equal(test->read, "a.log:two\n");
	log_case_start(test); /* killed before the commit */
	log_case_expect(test, "a.log:two\na.log:two\n");
}

static void many_files_need_few_descriptors(void **state)
{
	struct log_case *test = *state;
	char name[32];

	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "%03d.log", i);
		log_case_write(test, name, "line\n");
	}
	start(test, "*.log");
	log_case_run(test);
	assert_int_equal(test->read_len, 500 * strlen("000.log:line\n"));
	assert_int_equal(log_files_sums(test->files).files, 500);
	assert_in_range(log_files_sums(test->files).open, 1, test->open_max);
	test->read_len = 0;
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "%03d.log", i);
		log_case_append(test, name, "more\n");
	}
	log_case_run(test);
	assert_int_equal(test->read_len, 500 * strlen("000.log:more\n"));
	assert_in_range(log_files_sums(test->files).open, 1, test->open_max);
	assert_int_equal(log_files_sums(test->files).lag_bytes, 0);
}

static void so_do_many_that_were_rotated(void **state)
{
	struct log_case *test = *state;
	char name[32], rotated[32];

	start(test, "*.log");
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%03d.log", i);
		snprintf(rotated, sizeof(rotated), "%03d.log.1", i);
		log_case_write(test, name, "one\n");
		log_case_run(test);
		log_case_rename(test, name, rotated);
		log_case_write(test, name, "two\n");
		log_case_run(test);
	}
	assert_int_equal(test->read_len, 200 * strlen("000.log:one\n"));
	assert_int_equal(log_files_sums(test->files).files, 200);
	assert_in_range(log_files_sums(test->files).open, 1, test->open_max);
	test->read_len = 0;
	log_case_append(test, "000.log.1", "three\n");
	log_case_expect(test, "000.log:three\n");
}

static void a_turn_ends_though_a_file_does_not(void **state)
{
	static char text[2 << 20];
	struct log_case *test = *state;
	const struct log_sink sink = log_case_sink(test);

	memset(text, 'x', sizeof(text));
	for (size_t i = 99; i < sizeof(text); i += 100)
		text[i] = '\n';
	log_case_put(test, "a.log", O_TRUNC, text, sizeof(text));
	log_case_write(test, "b.log", "line\n");
	start(test, "*.log");
	assert_true(log_files_turn(test->files, &sink));
	assert_in_range(log_files_sums(test->files).lag_bytes, 900000, 1300000);
	assert_non_null(strstr(test->read, "b.log:line\n"));
}

/* --- rotation by renaming ----------------------------------------------------- */

static void the_last_line_of_a_renamed_file_needs_no_end(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\ntw");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_rename(test, "a.log", "a.log.1");
	log_case_expect(test, "");
	log_case_wait(test, LOG_ENDED_MS - 250);
	log_case_expect(test, "");
	log_case_wait(test, 500);
	log_case_expect(test, "a.log:tw\n");
}

/* --- other ends --------------------------------------------------------------- */

static void an_emptied_file_is_read_from_its_beginning(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "a long first line\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:a long first line\n");
	log_case_write(test, "a.log", "short\n");
	log_case_expect(test, "a.log:short\n");
	/* Longer than before by the time anybody looks. */
	log_case_write(test, "a.log", "another line that is longer than the first\n");
	log_case_expect(test, "a.log:another line that is longer than the first\n");
	log_case_write(test, "a.log", "two lines\nof which the last has no en");
	log_case_expect(test, "a.log:two lines\n");
	log_case_write(test, "a.log", "x\n");
	log_case_expect(test, "a.log:of which the last has no en\na.log:x\n");
}

static void nothing_lags_behind_in_a_file_that_is_empty(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\ntwo\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\na.log:two\n");
	log_case_empty(test, "a.log");
	log_case_expect(test, "");
	assert_int_equal(log_files_sums(test->files).lag_bytes, 0);
	log_case_append(test, "a.log", "thr");
	log_case_expect(test, "");
	assert_int_equal(log_files_sums(test->files).lag_bytes, 3);
}

static void a_deleted_file_is_read_to_its_end(void **state)
{
	struct log_case *test = *state;
	int fd;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	fd = open(log_case_path(test, "a.log"), O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "two\n", 4), 4);
	log_case_unlink(test, "a.log");
	log_case_write(test, "a.log", "one\nof the next\n");
	assert_int_equal(write(fd, "three", 5), 5);
	log_case_expect(test, "a.log:two\na.log:one\na.log:of the next\n");
	log_case_wait(test, 1000);
	close(fd);
	log_case_wait(test, 10000);
	log_case_expect(test, "a.log:three\n");
	assert_int_equal(log_files_sums(test->files).files, 1);
	assert_int_equal(log_files_sums(test->files).open, 1);
}

static void a_hole_takes_no_time(void **state)
{
	struct log_case *test = *state;
	int fd;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	/* A writer that does not append goes on where it was. */
	fd = open(log_case_path(test, "a.log"), O_WRONLY);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, "two\n", 4, (off_t)1 << 40), 4);
	close(fd);
	log_case_expect(test, "a.log:two\n");
}

static void lines_of_one_entry_wait_for_the_next(void **state)
{
	struct log_case *test = *state;

	test->configs[0].first_line = (char *)"^[A-Z]";
	log_case_write(test, "a.log", "Error\n at x\n at y\nNext\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:Error\n at x\n at y\n");
	log_case_append(test, "a.log", " at z\n");
	log_case_wait(test, 2750);
	log_case_expect(test, "");
	log_case_start(test); /* nothing of it is lost by a restart */
	log_case_wait(test, 3250);
	log_case_expect(test, "a.log:Next\n at z\n");
	log_case_start(test);
	log_case_wait(test, 4000);
	log_case_expect(test, "");
}

static void what_is_gone_is_forgotten_after_a_day(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_end_life(test);
	log_case_rename(test, "a.log", "../test_logs.elsewhere");
	log_case_start(test);
	log_case_run(test);
	assert_int_equal(log_files_sums(test->files).files, 1);
	log_case_rename(test, "../test_logs.elsewhere", "a.log");
	log_case_append(test, "a.log", "two\n");
	log_case_expect(test, "a.log:two\n"); /* its file system was absent */
	log_case_end_life(test);
	log_case_unlink(test, "a.log");
	log_case_start(test);
	log_case_run(test);
	test->now_ms += LOG_ABSENT_MS;
	log_case_wait(test, 1000);
	assert_int_equal(log_files_sums(test->files).files, 0);
}

/* --- where no event tells ------------------------------------------------------ */

static int start_unwatched(void **state)
{
	struct log_case *test;

	if (log_case_set_up(state))
		return -1;
	test = *state;
	has_no_watches = true;
	test->open_max = 0;
	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	openings = 0;
	return 0;
}

static int end_unwatched(void **state)
{
	has_no_watches = false;
	still_s = 0;
	return log_case_tear_down(state);
}

static void a_file_filled_to_the_size_it_had_is_read(void **state)
{
	struct log_case *test = *state;

	usleep(11000); /* or the file system's clock has not moved on */
	log_case_write(test, "a.log", "two\n");
	log_case_wait(test, 500);
	log_case_expect(test, "a.log:two\n");
	log_case_wait(test, 60000);
	usleep(11000);
	log_case_write(test, "a.log", "six\n");
	log_case_wait(test, 4000);
	log_case_expect(test, "a.log:six\n");
}

static void so_is_one_whose_time_was_set_back(void **state)
{
	struct log_case *test = *state;
	struct timespec times[2];
	struct stat before;

	log_case_wait(test, 60000);
	usleep(11000);
	assert_int_equal(stat(log_case_path(test, "a.log"), &before), 0);
	log_case_write(test, "a.log", "two\n");
	times[0] = before.st_atim;
	times[1] = before.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, log_case_path(test, "a.log"), times, 0),
			 0);
	log_case_wait(test, 4000);
	log_case_expect(test, "a.log:two\n");
}

static void so_is_one_filled_within_one_tick_of_its_clock(void **state)
{
	struct log_case *test = *state;

	still_s = 1000;
	log_case_wait(test, 1000);
	assert_int_equal(openings, 1); /* as the stamp is another one */
	log_case_write(test, "a.log", "two\n");
	log_case_wait(test, 1000);
	log_case_expect(test, "");
	log_case_wait(test, 4000);
	log_case_expect(test, "a.log:two\n");
}

static void one_that_is_not_written_is_not_read_again_and_again(void **state)
{
	struct log_case *test = *state;

	log_case_wait(test, 10000);
	assert_int_equal(openings, 1); /* when the tick of its clock was over */
	for (int i = 0; i < 10; i++) {
		log_case_wait(test, 60000);
		log_files_check(test->files);
	}
	assert_int_equal(openings, 1);
	assert_int_equal(chmod(log_case_path(test, "a.log"), 0600), 0);
	log_case_wait(test, 60000);
	assert_int_equal(openings, 3);
	log_case_expect(test, "");
}

int main(void)
{
#define TEST(name)                                                                     \
	cmocka_unit_test_setup_teardown(name, log_case_set_up, log_case_tear_down)
#define UNWATCHED(name)                                                                \
	cmocka_unit_test_setup_teardown(name, start_unwatched, end_unwatched)
	const struct CMUnitTest tests[] = {
	    TEST(lines_are_read_as_they_are_written),
	    TEST(an_incomplete_line_waits_for_its_end),
	    TEST(a_restart_goes_on_behind_the_last_complete_line),
	    TEST(what_was_not_noted_is_read_again),
	    TEST(many_files_need_few_descriptors),
	    TEST(so_do_many_that_were_rotated),
	    TEST(a_turn_ends_though_a_file_does_not),
	    TEST(the_last_line_of_a_renamed_file_needs_no_end),
	    TEST(an_emptied_file_is_read_from_its_beginning),
	    TEST(nothing_lags_behind_in_a_file_that_is_empty),
	    TEST(a_deleted_file_is_read_to_its_end),
	    TEST(a_hole_takes_no_time),
	    TEST(lines_of_one_entry_wait_for_the_next),
	    TEST(what_is_gone_is_forgotten_after_a_day),
	    UNWATCHED(a_file_filled_to_the_size_it_had_is_read),
	    UNWATCHED(so_is_one_whose_time_was_set_back),
	    UNWATCHED(so_is_one_filled_within_one_tick_of_its_clock),
	    UNWATCHED(one_that_is_not_written_is_not_read_again_and_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
