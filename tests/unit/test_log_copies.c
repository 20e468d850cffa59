/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log_case.h"

/* Its a.log.1 is renamed, and another one written, when it is opened next. */
static struct log_case *raced;

int open(const char *path, int flags, ...)
{
	struct log_case *test = raced;
	mode_t mode;
	va_list more;

	va_start(more, flags);
	mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
	va_end(more);
	if (test && !strcmp(path, log_case_path(test, "a.log.1"))) {
		raced = NULL;
		log_case_rename(test, "a.log.1", "a.log.2");
		log_case_write(test, "a.log.1", "another\n");
	}
	return openat(AT_FDCWD, path, flags, mode);
}

static void start(struct log_case *test, const char *pattern)
{
	log_case_glob(test, pattern);
	log_case_start(test);
}

static void the_unread_rest_of_an_emptied_file_is_in_its_copy(void **state)
{
	static const char *const patterns[] = {"*.log", "*.log*"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const bool is_dead = i >= 2;
		struct log_case *test;
		void *fresh;

		assert_int_equal(log_case_set_up(&fresh), 0);
		test = fresh;
		log_case_write(test, "a.log", "one\n");
		start(test, patterns[i % 2]);
		log_case_expect(test, "a.log:one\n");
		if (is_dead)
			log_case_end_life(test);
		log_case_append(test, "a.log", "two\n");
		log_case_copy(test, "a.log", "a.log.1");
		log_case_empty(test, "a.log");
		log_case_append(test, "a.log", "three\n");
		if (is_dead)
			log_case_start(test);
		log_case_expect(test, "a.log:two\na.log:three\n");
		log_case_wait(test, 20000);
		log_case_expect(test, "");
		log_case_start(test);
		log_case_wait(test, 20000);
		log_case_expect(test, "");
		log_case_tear_down(&fresh);
	}
}

/* Of a file that was emptied once, too. */
static void what_was_read_and_not_noted_yet_is_not_read_again_in_a_copy(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_empty(test, "a.log");
	log_case_expect(test, "");
	usleep(150000);
	log_case_append(test, "a.log", "two\n");
	log_case_turn(test);
	log_case_copy(test, "a.log", "a.log.1");
	log_case_empty(test, "a.log");
	log_case_expect(test, "a.log:two\n");
}

static void a_copy_is_not_read_before_its_original_is_emptied(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log*");
	log_case_expect(test, "a.log:one\n");
	log_case_copy(test, "a.log", "a.log.1");
	log_case_expect(test, "");
	assert_int_equal(log_files_sums(test->files).copies, 1);
	log_case_wait(test, 5000);
	log_case_append(test, "a.log", "lost between copying and emptying\n");
	log_case_empty(test, "a.log");
	log_case_append(test, "a.log", "two\n");
	log_case_expect(test, "a.log:two\n");
	log_case_wait(test, 20000);
	log_case_expect(test, "");
	assert_int_equal(log_files_sums(test->files).copies, 0);
}

static void a_copy_of_another_kind_goes_on_where_it_is_one(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log*");
	log_case_expect(test, "a.log:one\n");
	log_case_copy(test, "a.log", "a.log.bak");
	log_case_wait(test, LOG_COPY_MS + 500);
	log_case_expect(test, "");
	log_case_append(test, "a.log.bak", "its own\n");
	log_case_expect(test, "a.log.bak:its own\n");
	log_case_append(test, "a.log", "two\n");
	log_case_expect(test, "a.log:two\n");
}

/* Its first event opens it, whatever it turns out to be. */
static void a_copy_that_is_open_is_counted_once(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log*");
	log_case_expect(test, "a.log:one\n");
	log_case_copy(test, "a.log", "a.log.bak");
	log_case_expect(test, "");
	log_files_written(test->files, test->directory, "a.log.bak");
	assert_int_equal(log_files_sums(test->files).open, 2);
	log_case_wait(test, LOG_COPY_MS + 500);
	log_case_expect(test, "");
	assert_int_equal(log_files_sums(test->files).open, 2);
}

static void a_file_that_only_begins_alike_is_read_from_its_beginning(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "started\n");
	start(test, "*.log*");
	log_case_expect(test, "a.log:started\n");
	log_case_append(test, "a.log", "of a\n");
	log_case_write(test, "a.log.err", "started\nbut another one\n");
	log_case_wait(test, LOG_COPY_MS + 500);
	log_case_expect(test,
			"a.log:of a\na.log.err:started\na.log.err:but another one\n");
}

static void files_of_other_names_are_no_copies(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "started\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:started\n");
	log_case_write(test, "b.log", "started\n");
	log_case_write(test, "a-worker.log", "started\n");
	log_case_run(test);
	assert_int_equal(log_files_sums(test->files).copies, 0);
	log_case_write(test, "a-20240101.log", "started\n");
	log_case_run(test);
	assert_int_equal(log_files_sums(test->files).copies, 1);
}

static void what_came_and_was_rotated_unseen_is_found_by_its_name(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_end_life(test);
	usleep(150000); /* what was there before is no news */
	log_case_append(test, "a.log", "two\n");
	log_case_rename(test, "a.log", "a.log.2");
	log_case_write(test, "a.log", "three\n");
	log_case_rename(test, "a.log", "a.log.1");
	log_case_write(test, "a.log", "four\n");
	log_case_write(test, "a.log.3.gz", "compressed\n");
	log_case_write(test, "b.txt", "of nobody\n");
	log_case_start(test);
	log_case_expect(test, "a.log:two\na.log:four\na.log:three\n");
	log_case_start(test);
	log_case_expect(test, "");
}

static void so_is_what_is_dated_with_letters_but_no_other_log(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_end_life(test);
	usleep(150000); /* what was there before is no news */
	log_case_rename(test, "a.log", "a.log.2024-Jan-01_10h");
	log_case_write(test, "a.log", "two\n");
	log_case_rename(test, "a.log", "a.log.2024-Jan-01_11h");
	log_case_write(test, "a.log", "three\n");
	log_case_write(test, "a.log.err", "another\n");
	log_case_start(test);
	log_case_expect(test, "a.log:three\na.log:two\n");
}

static void a_copy_may_be_beside_what_a_link_leads_to(void **state)
{
	(void)state;
	for (int is_found = 0; is_found < 2; is_found++) {
		struct log_case *test;
		void *fresh;

		assert_int_equal(log_case_set_up(&fresh), 0);
		test = fresh;
		assert_int_equal(mkdir(log_case_path(test, "far"), 0755), 0);
		log_case_write(test, "far/b", "one\n");
		assert_int_equal(symlink("far/b", log_case_path(test, "a.log")), 0);
		log_case_glob(test, "*.log");
		if (is_found)
			log_case_glob(test, "far/*");
		log_case_start(test);
		log_case_expect(test, "a.log:one\n");
		log_case_append(test, "far/b", "two\n");
		log_case_copy(test, "far/b", "far/b.1");
		if (is_found)
			log_case_scan(test, false);
		log_case_empty(test, "far/b");
		log_case_append(test, "far/b", "three\n");
		log_case_expect(test, "a.log:two\na.log:three\n");
		log_case_tear_down(&fresh);
	}
}

static void what_was_always_beside_it_is_no_news(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	log_case_write(test, "a.log.old", "never wanted\n");
	usleep(150000);
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_rename(test, "a.log", "a.log.1");
	log_case_write(test, "a.log", "two\n");
	log_case_expect(test, "a.log:two\n");
}

/* What was before the position is there again, and so is its length. */
static void lines_that_end_alike_are_not_what_was_there(void **state)
{
	static const char end[] =
	    "-----------------------------------------------------------------------";
	struct log_case *test = *state;
	char text[512];

	start(test, "*.log");
	for (int i = 0; i < 3; i++) {
		sprintf(text, "%d%s\n%d%s\n", i, end, i + 1, end);
		log_case_write(test, "a.log", text);
		log_case_run(test);
		assert_int_equal(test->read_len, strlen(text) + 2 * strlen("a.log:"));
		test->read_len = 0;
	}
}

/* In whatever order the directory has them. */
static void a_copy_is_one_though_it_is_listed_before_its_original(void **state)
{
	static const char *const names[] = {"a.log", "b.log", "c.log", "d.log"};
	struct log_case *test = *state;
	char copy[16], text[16];

	for (int i = 0; i < 4; i++) {
		sprintf(copy, "%s.1", names[i]);
		sprintf(text, "of %d\n", i);
		log_case_write(test, i & 1 ? copy : names[i], text);
		log_case_write(test, i & 1 ? names[i] : copy, text);
	}
	start(test, "*.log*");
	log_case_run(test);
	assert_int_equal(test->read_len, 4 * strlen("a.log:of 0\n"));
	assert_null(strstr(test->read, ".log.1:"));
	log_case_wait(test, 2 * LOG_COPY_MS);
	assert_int_equal(test->read_len, 4 * strlen("a.log:of 0\n"));
}

static void another_log_beside_it_is_not_what_was_missed(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_rename(test, "a.log", "a.log.1");
	log_case_write(test, "a.log.err", "never wanted\n");
	log_case_write(test, "a.log", "two\n");
	log_case_expect(test, "a.log:two\n");
	log_case_write(test, "a.log.debug", "never wanted\n");
	log_case_empty(test, "a.log");
	log_case_append(test, "a.log", "three\n");
	log_case_expect(test, "a.log:three\n");
}

/* --- while it is rotated, and between two lives -------------------------------- */

static const char *const patterns[] = {"*.log", "*.log*"};

/* Each with a case of its own, begun with one line that is read. */
static struct log_case *begin(size_t i)
{
	struct log_case *test;
	void *fresh;

	assert_int_equal(log_case_set_up(&fresh), 0);
	test = fresh;
	log_case_write(test, "a.log", "one\n");
	start(test, patterns[i]);
	log_case_expect(test, "a.log:one\n");
	return test;
}

/* Nothing comes twice, also not later, or in another life. */
static void end(struct log_case *test)
{
	void *fresh = test;

	log_case_wait(test, 20000);
	log_case_expect(test, "");
	log_case_start(test);
	log_case_wait(test, 20000);
	log_case_expect(test, "");
	log_case_tear_down(&fresh);
}

static void copy_and_empty(const struct log_case *test, const char *copy)
{
	log_case_copy(test, "a.log", copy);
	log_case_empty(test, "a.log");
}

static void what_is_noted_after_a_file_was_written_anew_is_what_was_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct log_case *test = begin(i);

		log_case_append(test, "a.log", "two\nthr");
		log_case_turn(test);
		log_case_append(test, "a.log", "ee\n");
		copy_and_empty(test, "a.log.1");
		log_case_append(test, "a.log", "what is longer than that\n");
		log_case_commit(test);
		log_case_start(test);
		log_case_expect(
		    test, "a.log:two\na.log:three\na.log:what is longer than that\n");
		end(test);
	}
}

/* It has the original's name by then. */
static void a_copy_of_what_goes_on_in_a_copy_waits(void **state)
{
	struct log_case *test = begin(1);

	(void)state;
	log_case_append(test, "a.log", "two\n");
	copy_and_empty(test, "a.log.1");
	log_case_append(test, "a.log", "three\n");
	log_case_expect(test, "a.log:two\na.log:three\n");
	log_case_copy(test, "a.log.1", "a.log.2");
	log_case_expect(test, "");
	log_case_wait(test, 2 * LOG_COPY_MS);
	log_case_expect(test, "");
	end(test);
}

static void a_copy_that_is_still_empty_waits(void **state)
{
	struct log_case *test = begin(1);

	(void)state;
	log_case_write(test, "a.log.1", "");
	log_case_expect(test, "");
	log_case_write(test, "a.log.1", "o");
	log_case_wait(test, 500);
	log_case_expect(test, "");
	log_case_write(test, "a.log.1", "one\n");
	log_case_empty(test, "a.log");
	log_case_append(test, "a.log", "two\n");
	log_case_expect(test, "a.log:two\n");
	end(test);
}

static void what_only_is_named_so_waits_for_its_first_bytes(void **state)
{
	struct log_case *test = begin(1);

	(void)state;
	log_case_write(test, "a.log.err", "");
	log_case_expect(test, "");
	log_case_append(test, "a.log.err", "its own\n");
	log_case_wait(test, 250);
	log_case_expect(test, "a.log.err:its own\n");
	end(test);
}

/* It is not what was read of that file: that was emptied since. */
static void a_copy_of_what_nobody_has_read_yet_waits(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct log_case *test = begin(i / 2);

		if (i % 2)
			log_case_end_life(test);
		log_case_append(test, "a.log", "two\n");
		copy_and_empty(test, "a.log.2");
		log_case_append(test, "a.log", "three\n");
		log_case_copy(test, "a.log", "a.log.1");
		if (i % 2)
			log_case_start(test);
		log_case_expect(test, "a.log:two\na.log:three\n");
		log_case_empty(test, "a.log");
		log_case_append(test, "a.log", "four\n");
		log_case_expect(test, "a.log:four\n");
		end(test);
	}
}

/* Nothing tells that it had changed: it was empty, and is read from its beginning. */
static void what_was_copied_while_nothing_of_it_was_read_is_missed(void **state)
{
	static const char *const expected[] = {"a.log:three\na.log:two\n",
					       "a.log:three\na.log.1:two\n",
					       "a.log:three\na.log.1:two\n"};
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct log_case *test = begin(i / 2);

		log_case_empty(test, "a.log");
		log_case_expect(test, "");
		if (i % 2)
			log_case_end_life(test);
		log_case_append(test, "a.log", "two\n");
		copy_and_empty(test, "a.log.1");
		log_case_append(test, "a.log", "three\n");
		if (i % 2)
			log_case_start(test);
		log_case_expect(test, expected[i / 2]);
		end(test);
	}
}

/* It is not read to its end when that life is over. */
static void so_it_is_beside_a_long_file(void **state)
{
	struct log_case *test = begin(0);
	struct log_sink sink = log_case_sink(test);
	char text[2 << 20];

	(void)state;
	memset(text, '\n', sizeof(text));
	log_case_empty(test, "a.log");
	log_case_expect(test, "");
	log_case_append(test, "a.log", "two\n");
	copy_and_empty(test, "a.log.1");
	log_case_put(test, "a.log", O_APPEND, text, sizeof(text));
	log_watch_read(test->watch, log_case_event, test);
	assert_true(log_files_turn(test->files, &sink));
	log_case_commit(test);
	log_case_start(test);
	log_case_run(test);
	assert_non_null(strstr(test->read, "a.log:two\n"));
	log_case_tear_down((void *)&test);
}

/* Scans go on while nothing is read. */
static void what_was_missed_long_ago_is_found_when_reading_goes_on(void **state)
{
	struct log_case *test = begin(0);

	(void)state;
	log_case_append(test, "a.log", "two\n");
	copy_and_empty(test, "a.log.2");
	log_case_append(test, "a.log", "three\n");
	copy_and_empty(test, "a.log.1");
	log_case_append(test, "a.log", "four\n");
	log_watch_read(test->watch, log_case_event, test);
	for (int i = 0; i < 3; i++) {
		usleep(150000);
		log_case_scan(test, false);
	}
	log_case_expect(test, "a.log:two\na.log:four\na.log:three\n");
	end(test);
}

/* Each scan finds something that was written since the last turn. */
static void what_is_old_is_no_news_while_lines_come_all_the_time(void **state)
{
	struct log_case *test = begin(0);

	(void)state;
	log_case_write(test, "a.log.old", "never wanted\n");
	for (int i = 0; i < 3; i++) {
		usleep(150000);
		log_case_append(test, "a.log", "more\n");
		log_watch_read(test->watch, log_case_event, test);
		assert_true(log_files_is_due(test->files));
		log_case_scan(test, false);
		log_case_expect(test, "a.log:more\n");
	}
	log_case_rename(test, "a.log", "a.log.1");
	log_case_write(test, "a.log", "two\n");
	log_case_expect(test, "a.log:two\n");
	end(test);
}

/* Whether its predecessor is known to have been rotated, or not. */
static void what_was_rotated_before_anybody_saw_it_is_missed(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		const bool is_dead = i & 1, has_successor = i & 2, is_known = i & 4;
		struct log_case *test = begin(0);

		log_case_rename(test, "a.log", "a.log.1");
		if (is_known)
			log_case_expect(test, "");
		if (is_dead)
			log_case_end_life(test);
		log_case_write(test, "a.log", "two\n");
		log_case_unlink(test, "a.log.1"); /* its number is free */
		log_case_rename(test, "a.log", "a.log.1");
		if (has_successor)
			log_case_write(test, "a.log", "three\n");
		if (is_dead)
			log_case_start(test);
		log_case_expect(test, has_successor ? "a.log:three\na.log:two\n"
						    : "a.log:two\n");
		end(test);
	}
}

/* Renamed, or copied and emptied. */
static void what_had_the_name_before_the_first_look_is_missed(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		const bool is_dead = i & 1, is_copied = i & 2;
		struct log_case *test;
		void *fresh;

		assert_int_equal(log_case_set_up(&fresh), 0);
		test = fresh;
		start(test, "*.log");
		log_case_expect(test, "");
		if (is_dead)
			log_case_end_life(test);
		log_case_write(test, "a.log", "one\n");
		if (is_copied)
			copy_and_empty(test, "a.log.1");
		else
			log_case_rename(test, "a.log", "a.log.1");
		log_case_append(test, "a.log", "two\n");
		if (is_dead)
			log_case_start(test);
		log_case_expect(test, "a.log:two\na.log:one\n");
		end(test);
	}
}

/* Its note, of a life in which it had that number. */
static void note_predecessor(struct log_case *test, const char *name)
{
	const char *path = log_case_path(test, name);
	struct log_position position = {
	    .name = log_case_path(test, "a.log"), .path = path, .service = ""};
	unsigned char bytes[LOG_POSITION_BYTES_MAX];
	struct log_stat found;
	uint32_t note;
	size_t len;

	assert_int_equal(log_stat(-1, path, &found), 0);
	assert_true(found.identity.birth_ns != 0);
	position.identity = found.identity;
	position.identity.birth_ns -= 1000000000;
	assert_int_equal(log_position_encode(&position, bytes, &len), 0);
	spool_begin(test->spool, 1);
	assert_int_equal(spool_note_add(test->spool, bytes, len, &note), 0);
	spool_commit(test->spool, false);
}

static void a_copy_may_have_the_number_of_what_was_deleted(void **state)
{
	static const char *const expected[] = {"a.log:two\na.log:three\n",
					       "a.log.1:three\na.log:two\n"};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct log_case *test = begin(i);

		log_case_end_life(test);
		log_case_append(test, "a.log", "two\n");
		copy_and_empty(test, "a.log.2");
		log_case_append(test, "a.log", "three\n");
		copy_and_empty(test, "a.log.1");
		note_predecessor(test, "a.log.1");
		note_predecessor(test, "a.log.2");
		log_case_start(test);
		log_case_expect(test, expected[i]);
		end(test);
	}
}

/* A tick comes before the scan that finds its new name. */
static void a_copy_that_is_renamed_still_waits(void **state)
{
	struct log_case *test = begin(1);
	struct log_sink sink = log_case_sink(test);

	(void)state;
	log_case_copy(test, "a.log", "a.log.1");
	log_case_expect(test, "");
	log_case_rename(test, "a.log.1", "a.log.2");
	log_files_tick(test->files, &sink);
	log_case_write(test, "a.log.1", "another\n");
	log_files_tick(test->files, &sink);
	log_case_expect(test, "a.log.1:another\n");
	log_case_append(test, "a.log", "two\n");
	log_case_expect(test, "a.log:two\n");
	end(test);
}

static void so_it_does_while_it_is_looked_at(void **state)
{
	struct log_case *test = begin(1);

	(void)state;
	log_case_copy(test, "a.log", "a.log.1");
	raced = test;
	log_case_expect(test, "a.log.1:another\n");
	log_case_append(test, "a.log", "two\n");
	log_case_expect(test, "a.log:two\n");
	end(test);
}

/* Receivers are behind. Or its original is renamed. */
static void so_it_does_after_a_long_time(void **state)
{
	static const char *const renamed[] = {"a.log.1", "a.log"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct log_case *test = begin(1);
		struct log_sink sink = log_case_sink(test);

		log_case_append(test, "a.log", "two\n");
		log_case_copy(test, "a.log", "a.log.1");
		log_case_scan(test, false);
		sink.now_ms = test->now_ms += 2 * LOG_COPY_MS;
		log_files_tick(test->files, &sink);
		log_case_rename(test, renamed[i], "a.log.2");
		log_files_tick(test->files, &sink);
		log_case_expect(test, "a.log:two\n");
		end(test);
	}
}

static void a_copy_that_is_deleted_is_not_read(void **state)
{
	struct log_case *test = begin(1);

	(void)state;
	log_case_copy(test, "a.log", "a.log.1");
	log_case_expect(test, "");
	log_files_written(test->files, test->directory, "a.log.1"); /* opens it */
	log_case_unlink(test, "a.log.1");
	log_case_wait(test, LOG_COPY_MS + 1000);
	log_case_expect(test, "");
	assert_int_equal(log_files_sums(test->files).files, 1);
	end(test);
}

/* It is known whose when it has something, or when that was emptied. */
static void a_copy_that_is_empty_may_be_anybodys(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct log_case *test = begin(1);

		log_case_rename(test, "a.log", "a.log.1");
		log_case_write(test, "a.log", "two\n");
		log_case_expect(test, "a.log:two\n");
		log_case_write(test, "a.log.0", "");
		log_case_expect(test, "");
		log_case_write(test, "a.log.0", "two\n");
		if (i)
			log_case_wait(test, 500);
		log_case_expect(test, "");
		log_case_empty(test, "a.log");
		log_case_append(test, "a.log", "three\n");
		log_case_expect(test, "a.log:three\n");
		end(test);
	}
}

/* Receivers are behind: time goes by, and nothing is read. */
static void a_copy_waits_until_it_is_known_that_its_original_was_emptied(void **state)
{
	struct log_case *test = begin(1);
	struct log_sink sink = log_case_sink(test);

	(void)state;
	log_case_copy(test, "a.log", "a.log.1");
	log_case_expect(test, "");
	log_case_empty(test, "a.log");
	log_case_append(test, "a.log", "two\n");
	sink.now_ms = test->now_ms += 2 * LOG_COPY_MS;
	log_files_tick(test->files, &sink);
	log_case_expect(test, "a.log:two\n");
	end(test);
}

int main(void)
{
#define TEST(name)                                                                     \
	cmocka_unit_test_setup_teardown(name, log_case_set_up, log_case_tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(the_unread_rest_of_an_emptied_file_is_in_its_copy),
	    TEST(what_was_read_and_not_noted_yet_is_not_read_again_in_a_copy),
	    TEST(a_copy_is_not_read_before_its_original_is_emptied),
	    TEST(a_copy_of_another_kind_goes_on_where_it_is_one),
	    TEST(a_copy_that_is_open_is_counted_once),
	    TEST(a_file_that_only_begins_alike_is_read_from_its_beginning),
	    TEST(files_of_other_names_are_no_copies),
	    TEST(what_came_and_was_rotated_unseen_is_found_by_its_name),
	    TEST(so_is_what_is_dated_with_letters_but_no_other_log),
	    TEST(a_copy_may_be_beside_what_a_link_leads_to),
	    TEST(what_was_always_beside_it_is_no_news),
	    TEST(lines_that_end_alike_are_not_what_was_there),
	    TEST(a_copy_is_one_though_it_is_listed_before_its_original),
	    TEST(another_log_beside_it_is_not_what_was_missed),
	    cmocka_unit_test(what_had_the_name_before_the_first_look_is_missed),
	    TEST(what_is_noted_after_a_file_was_written_anew_is_what_was_read),
	    TEST(a_copy_that_is_still_empty_waits),
	    TEST(a_copy_of_what_goes_on_in_a_copy_waits),
	    TEST(what_only_is_named_so_waits_for_its_first_bytes),
	    TEST(a_copy_of_what_nobody_has_read_yet_waits),
	    TEST(what_was_copied_while_nothing_of_it_was_read_is_missed),
	    TEST(so_it_is_beside_a_long_file),
	    TEST(what_was_missed_long_ago_is_found_when_reading_goes_on),
	    TEST(what_is_old_is_no_news_while_lines_come_all_the_time),
	    TEST(what_was_rotated_before_anybody_saw_it_is_missed),
	    TEST(a_copy_may_have_the_number_of_what_was_deleted),
	    TEST(a_copy_that_is_renamed_still_waits),
	    TEST(so_it_does_while_it_is_looked_at),
	    TEST(so_it_does_after_a_long_time),
	    TEST(a_copy_that_is_deleted_is_not_read),
	    TEST(a_copy_that_is_empty_may_be_anybodys),
	    TEST(a_copy_waits_until_it_is_known_that_its_original_was_emptied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
