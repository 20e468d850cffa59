/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/prctl.h>

#include "length.h"
#include "log_case.h"

static void start(struct log_case *test, const char *pattern)
{
	log_case_glob(test, pattern);
	log_case_start(test);
}

static void a_renamed_file_is_read_to_its_end(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_append(test, "a.log", "two\n");
	log_case_rename(test, "a.log", "a.log.1");
	log_case_append(test, "a.log.1", "three\n");
	log_case_write(test, "a.log", "four\n");
	log_case_expect(test, "a.log:two\na.log:three\na.log:four\n");
	/* Who has it open writes on for a while. */
	log_case_append(test, "a.log.1", "five\n");
	log_case_expect(test, "a.log:five\n");
	log_case_wait(test, 120000);
	log_case_append(test, "a.log.1", "six\n");
	log_case_expect(test, "a.log:six\n");
}

static void a_renamed_file_is_not_read_twice_where_the_glob_has_both(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log*");
	log_case_expect(test, "a.log:one\n");
	log_case_append(test, "a.log", "two\n");
	log_case_rename(test, "a.log", "a.log.1");
	log_case_write(test, "a.log", "three\n");
	log_case_expect(test, "a.log:two\na.log:three\n");
	log_case_start(test);
	log_case_expect(test, "");
}

/* Also where it is seen before anything says that either was written. */
static void a_renamed_file_comes_before_its_successor(void **state)
{
	static const char *const patterns[] = {"*.log", "*.log*"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct log_case *test;
		void *fresh;

		assert_int_equal(log_case_set_up(&fresh), 0);
		test = fresh;
		log_case_write(test, "a.log", "one\n");
		start(test, patterns[i]);
		log_case_expect(test, "a.log:one\n");
		log_case_rename(test, "a.log", "a.log.1");
		log_case_append(test, "a.log.1", "two\n");
		log_case_write(test, "a.log", "three\n");
		log_case_scan(test, false);
		log_case_expect(test, "a.log:two\na.log:three\n");
		log_case_tear_down(&fresh);
	}
}

static void a_file_moved_to_another_directory_is_read_to_its_end(void **state)
{
	struct log_case *test = *state;

	assert_int_equal(mkdir(log_case_path(test, "old"), 0755), 0);
	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_rename(test, "a.log", "old/a.log.1");
	log_case_append(test, "old/a.log.1", "two\n");
	log_case_write(test, "a.log", "three\n");
	log_case_expect(test, "a.log:two\na.log:three\n");
	log_case_append(test, "old/a.log.1", "four\n");
	log_case_expect(test, "a.log:four\n");
	log_case_end_life(test);
	log_case_append(test, "old/a.log.1", "five\n");
	log_case_start(test);
	log_case_expect(test, "a.log:five\n");
}

static void a_file_renamed_while_nobody_was_there_is_found(void **state)
{
	static const char *const patterns[] = {"*.log", "*.log*"};

	for (size_t i = 0; i < 2; i++) {
		struct log_case *test;
		void *fresh;

		(void)state;
		assert_int_equal(log_case_set_up(&fresh), 0);
		test = fresh;
		log_case_write(test, "a.log", "one\n");
		start(test, patterns[i]);
		log_case_expect(test, "a.log:one\n");
		log_case_end_life(test);
		log_case_append(test, "a.log", "two\n");
		log_case_rename(test, "a.log", "a.log.2");
		log_case_write(test, "a.log", "three\n");
		log_case_start(test);
		log_case_expect(test, "a.log:two\na.log:three\n");
		log_case_tear_down(&fresh);
	}
}

static void what_is_compressed_is_not_read(void **state)
{
	static const char *const names[] = {"a.log.1.gz", "a.log.xz", "a.bz2.bz2",
					    "b.zst"};
	struct log_case *test = *state;

	for (size_t i = 0; i < 4; i++)
		log_case_write(test, names[i], "\x1f\x8b not for reading\n");
	start(test, "*");
	log_case_expect(test, "");
	assert_int_equal(log_files_sums(test->files).files, 0);
}

static void a_number_that_is_used_again_is_another_file(void **state)
{
	struct log_case *test = *state;
	struct stat before, after;

	for (int i = 0; i < 20; i++) {
		log_case_write(test, "a.log", "started\n");
		if (!i)
			start(test, "*.log");
		stat(log_case_path(test, "a.log"), &before);
		log_case_start(test);
		log_case_expect(test, "a.log:started\n");
		log_case_end_life(test);
		log_case_unlink(test, "a.log");
		usleep(11000); /* or the file system's clock has not moved on */
		log_case_write(test, "a.log", "started\n");
		stat(log_case_path(test, "a.log"), &after);
		log_case_start(test);
		log_case_expect(test, "a.log:started\n");
		log_case_end_life(test);
		log_case_unlink(test, "a.log");
		if (before.st_ino == after.st_ino)
			return;
	}
	print_message("no inode number was used again here\n");
}

static void a_file_that_an_editor_wrote_anew_goes_on(void **state)
{
	struct log_case *test = *state;
	char line[301];

	memset(line, 'x', 299);
	strcpy(line + 299, "\n");
	log_case_write(test, "a.log", line);
	start(test, "*.log");
	log_case_run(test);
	test->read_len = 0;
	log_case_copy(test, "a.log", ".a.log.swp");
	log_case_append(test, ".a.log.swp", "two\n");
	log_case_rename(test, ".a.log.swp", "a.log");
	log_case_expect(test, "a.log:two\n");
}

static void a_file_with_two_names_is_read_once(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	assert_int_equal(
	    symlink(log_case_path(test, "a.log"), log_case_path(test, "b.log")), 0);
	assert_int_equal(
	    link(log_case_path(test, "a.log"), log_case_path(test, "c.log")), 0);
	start(test, "[ab].log");
	log_case_glob(test, "c.log");
	log_case_run(test);
	assert_int_equal(test->read_len, strlen("a.log:one\n"));
	test->read_len = 0;
	log_case_append(test, "a.log", "two\n");
	log_case_run(test);
	assert_int_equal(test->read_len, strlen("a.log:two\n"));
}

static void a_link_is_followed_and_its_target_watched(void **state)
{
	struct log_case *test = *state;

	assert_int_equal(mkdir(log_case_path(test, "far"), 0755), 0);
	log_case_write(test, "far/target", "one\n");
	assert_int_equal(symlink("far/target", log_case_path(test, "a.log")), 0);
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_append(test, "far/target", "two\n");
	log_case_expect(test, "a.log:two\n");
	/* It leads elsewhere. */
	log_case_write(test, "far/other", "three\n");
	log_case_unlink(test, "a.log");
	assert_int_equal(symlink("far/other", log_case_path(test, "a.log")), 0);
	log_case_expect(test, "a.log:three\n");
}

/* As `..data` of a volume, and `current` of what logs by date. */
static void lead(const struct log_case *test, const char *link, const char *to)
{
	assert_int_equal(symlink(to, log_case_path(test, ".link")), 0);
	log_case_rename(test, ".link", link);
}

static void make_directory(const struct log_case *test, const char *name)
{
	assert_int_equal(mkdir(log_case_path(test, name), 0755), 0);
}

/* Nothing is open: what is found is found by where the link led. */
static void what_a_link_led_to_is_read_to_its_end(void **state)
{
	struct log_case *test = *state;

	test->open_max = 0;
	make_directory(test, "far");
	log_case_write(test, "far/one", "one\n");
	lead(test, "a.log", "far/one");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_append(test, "far/one", "two\n");
	log_case_write(test, "far/other", "three\n");
	lead(test, "a.log", "far/other");
	log_case_expect(test, "a.log:two\na.log:three\n");
	log_case_append(test, "far/one", "four\n");
	log_case_append(test, "far/other", "five\n");
	log_case_expect(test, "a.log:four\na.log:five\n");
	log_case_end_life(test);
	log_case_append(test, "far/other", "six\n");
	log_case_write(test, "far/third", "seven\n");
	lead(test, "a.log", "far/third");
	log_case_start(test);
	log_case_expect(test, "a.log:six\na.log:seven\n");
}

static void a_link_may_lead_back(void **state)
{
	struct log_case *test = *state;

	test->open_max = 0;
	make_directory(test, "1");
	make_directory(test, "2");
	log_case_write(test, "1/a", "one\n");
	log_case_write(test, "2/a", "two\n");
	lead(test, "a.log", "1/a");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	lead(test, "a.log", "2/a");
	log_case_expect(test, "a.log:two\n");
	lead(test, "a.log", "1/a");
	log_case_expect(test, "");
	log_case_append(test, "1/a", "three\n");
	log_case_expect(test, "a.log:three\n");
	log_case_append(test, "2/a", "four\n");
	log_case_expect(test, "a.log:four\n");
	log_case_append(test, "1/a", "no line yet");
	log_case_wait(test, 60000); /* as it has its name */
	log_case_expect(test, "");
}

static void so_is_what_is_behind_a_link_to_a_directory(void **state)
{
	static const char *const patterns[] = {"current/*.log", "c*/*.log"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct log_case *test;
		void *fresh;

		assert_int_equal(log_case_set_up(&fresh), 0);
		test = fresh;
		test->open_max = 0;
		make_directory(test, "1");
		make_directory(test, "2");
		log_case_write(test, "1/a.log", "one\n");
		log_case_write(test, "2/a.log", "three\n");
		lead(test, "current", "1");
		start(test, patterns[i]);
		log_case_expect(test, "current/a.log:one\n");
		log_case_append(test, "1/a.log", "two\n");
		lead(test, "current", "2");
		log_case_expect(test, "current/a.log:two\ncurrent/a.log:three\n");
		log_case_append(test, "1/a.log", "four\n");
		log_case_expect(test, "current/a.log:four\n");
		log_case_tear_down(&fresh);
	}
}

static void a_target_is_watched_in_the_next_life_too(void **state)
{
	struct log_case *test = *state;

	make_directory(test, "far");
	log_case_write(test, "far/one", "one\n");
	lead(test, "a.log", "far/one");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_start(test);
	log_case_expect(test, "");
	log_case_append(test, "far/one", "two\n");
	log_case_expect(test, "a.log:two\n");
}

/* As containers' logs are; whether anybody is there or not. */
static void a_target_may_be_rotated(void **state)
{
	(void)state;
	for (int was_away = 0; was_away < 2; was_away++) {
		struct log_case *test;
		void *fresh;

		assert_int_equal(log_case_set_up(&fresh), 0);
		test = fresh;
		test->open_max = 0;
		make_directory(test, "pod");
		log_case_write(test, "pod/0.log", "one\n");
		lead(test, "a.log", "pod/0.log");
		start(test, "*.log");
		log_case_expect(test, "a.log:one\n");
		log_case_scan(test, false);
		if (was_away)
			log_case_end_life(test);
		usleep(150000); /* what was there before is no news */
		log_case_append(test, "pod/0.log", "two\n");
		log_case_rename(test, "pod/0.log", "pod/0.log.20240101-100000");
		log_case_write(test, "pod/0.log", "three\n");
		log_case_rename(test, "pod/0.log", "pod/0.log.20240101-110000");
		log_case_write(test, "pod/0.log", "four\n");
		if (was_away)
			log_case_start(test);
		log_case_expect(test, "a.log:two\na.log:four\na.log:three\n");
		log_case_append(test, "pod/0.log", "five\n");
		log_case_append(test, "pod/0.log.20240101-110000", "six\n");
		log_case_run(test);
		assert_int_equal(test->read_len, strlen("a.log:five\na.log:six\n"));
		log_case_tear_down(&fresh);
	}
}

static void what_is_no_file_is_not_opened(void **state)
{
	struct log_case *test = *state;

	assert_int_equal(mkfifo(log_case_path(test, "pipe.log"), 0644), 0);
	assert_int_equal(mkdir(log_case_path(test, "directory.log"), 0755), 0);
	assert_int_equal(symlink("/dev/zero", log_case_path(test, "zero.log")), 0);
	assert_int_equal(symlink("nowhere", log_case_path(test, "nothing.log")), 0);
	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	assert_int_equal(log_files_sums(test->files).files, 1);
}

static void a_name_may_be_of_no_file_for_a_while(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a.log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
	log_case_append(test, "a.log", "two\n");
	log_case_unlink(test, "a.log");
	make_directory(test, "a.log");
	log_case_write(test, "a.log/b.log", "of nobody\n");
	log_case_expect(test, "a.log:two\n");
	log_case_unlink(test, "a.log/b.log");
	assert_int_equal(rmdir(log_case_path(test, "a.log")), 0);
	assert_int_equal(mkfifo(log_case_path(test, "a.log"), 0644), 0);
	log_case_expect(test, "");
	log_case_unlink(test, "a.log");
	assert_int_equal(symlink("a.log", log_case_path(test, "a.log")), 0);
	log_case_expect(test, "");
	log_case_unlink(test, "a.log");
	log_case_write(test, "a.log", "three\n");
	log_case_expect(test, "a.log:three\n");
	log_case_wait(test, 10000);
	assert_int_equal(log_files_sums(test->files).files, 1);
}

static void a_name_may_have_any_byte(void **state)
{
	struct log_case *test = *state;

	log_case_write(test, "a\n\t[*].log", "one\n");
	start(test, "*.log");
	log_case_expect(test, "a\n\t[*].log:one\n");
	log_case_append(test, "a\n\t[*].log", "two\n");
	log_case_rename(test, "a\n\t[*].log", "a\n\t[*].log.1");
	log_case_write(test, "a\n\t[*].log", "three\n");
	log_case_expect(test, "a\n\t[*].log:two\na\n\t[*].log:three\n");
	log_case_start(test);
	log_case_append(test, "a\n\t[*].log", "four\n");
	log_case_expect(test, "a\n\t[*].log:four\n");
}

static void a_directory_may_come_later(void **state)
{
	struct log_case *test = *state;

	start(test, "x/**/*.log");
	log_case_expect(test, "");
	assert_int_equal(mkdir(log_case_path(test, "x"), 0755), 0);
	log_case_run(test);
	assert_int_equal(mkdir(log_case_path(test, "x/y"), 0755), 0);
	log_case_run(test);
	log_case_write(test, "x/y/a.log", "one\n");
	log_case_expect(test, "x/y/a.log:one\n");
	log_case_append(test, "x/y/a.log", "two\n");
	log_case_write(test, "x/b.log", "three\n");
	log_case_expect(test, "x/y/a.log:two\nx/b.log:three\n");
}

static void what_is_there_at_first_may_be_left_out(void **state)
{
	struct log_case *test = *state;

	test->configs[0].from_end = true;
	log_case_write(test, "a.log", "old\nhalf a li");
	log_case_write(test, "b.log", "old\n");
	start(test, "*.log");
	log_case_expect(test, "");
	log_case_append(test, "a.log", "ne\nnew\n");
	log_case_write(test, "c.log", "of later\n");
	log_case_expect(test, "a.log:new\nc.log:of later\n");
	log_case_append(test, "b.log", "new\n");
	log_case_write(test, "d.log", "of another life\n");
	log_case_start(test);
	log_case_expect(test, "b.log:new\nd.log:of another life\n");
}

/* Root may read everything. */
static void become(uid_t user)
{
	assert_int_equal(seteuid(user), 0);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* for the sanitizer's last look */
}

static void so_may_what_cannot_be_read_at_first(void **state)
{
	const uid_t user = geteuid(), stranger = user ? user : 65534;
	struct log_case *test = *state;

	test->configs[0].from_end = true;
	log_case_write(test, "a.log", "old\nhalf");
	log_case_write(test, "b.log", "old\n");
	assert_int_equal(chmod(log_case_path(test, "a.log"), 0), 0);
	assert_int_equal(chmod(log_case_path(test, "b.log"), 0), 0);
	assert_int_equal(chmod(test->directory, 0755), 0);
	become(stranger);
	start(test, "*.log");
	log_case_expect(test, "");
	become(user);
	assert_int_equal(chmod(log_case_path(test, "a.log"), 0644), 0);
	assert_int_equal(chmod(log_case_path(test, "b.log"), 0644), 0);
	become(stranger);
	log_case_expect(test, "");
	become(user);
	log_case_append(test, "a.log", " a line\nnew\n");
	become(stranger);
	log_case_expect(test, "a.log:new\n");
	become(user);
	log_case_append(test, "b.log", "new\n");
	become(stranger);
	log_case_expect(test, "b.log:new\n");
	become(user);
}

/* Whether it could be read then or not. */
static void what_is_left_out_is_so_in_the_next_life_too(void **state)
{
	static const char *const unreadable[] = {"b.log", "c.log", "d.log"};
	const uid_t user = geteuid(), stranger = user ? user : 65534;
	struct log_case *test = *state;

	test->configs[0].from_end = true;
	log_case_write(test, "a.log", "old\nhalf");
	log_case_write(test, "b.log", "old\nhalf");
	log_case_write(test, "c.log", "old\n");
	log_case_write(test, "d.log", "h");
	for (size_t i = 0; i < LENGTH(unreadable); i++)
		assert_int_equal(chmod(log_case_path(test, unreadable[i]), 0), 0);
	assert_int_equal(chmod(test->directory, 0755), 0);
	become(stranger);
	start(test, "*.log");
	log_case_expect(test, "");
	become(user);
	for (size_t i = 0; i < LENGTH(unreadable); i++)
		assert_int_equal(chmod(log_case_path(test, unreadable[i]), 0644), 0);
	log_case_start(test);
	log_case_append(test, "a.log", " a line\nnew\n");
	log_case_expect(test, "a.log:new\n");
	log_case_append(test, "b.log", " a line\nnew\n");
	log_case_expect(test, "b.log:new\n");
	log_case_append(test, "c.log", "new\n");
	log_case_expect(test, "c.log:new\n");
	log_case_append(test, "d.log", "alf a line\nnew\n");
	log_case_expect(test, "d.log:new\n");
}

static void what_is_excluded_is_not_followed(void **state)
{
	struct log_case *test = *state;

	log_case_add(&test->configs[0].excludes, test, "b*");
	log_case_write(test, "a.log", "one\n");
	log_case_write(test, "b.log", "two\n");
	start(test, "*.log");
	log_case_expect(test, "a.log:one\n");
}

int main(void)
{
#define TEST(name)                                                                     \
	cmocka_unit_test_setup_teardown(name, log_case_set_up, log_case_tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_renamed_file_is_read_to_its_end),
	    TEST(a_renamed_file_is_not_read_twice_where_the_glob_has_both),
	    TEST(a_renamed_file_comes_before_its_successor),
	    TEST(a_file_moved_to_another_directory_is_read_to_its_end),
	    TEST(a_file_renamed_while_nobody_was_there_is_found),
	    TEST(what_is_compressed_is_not_read),
	    TEST(a_number_that_is_used_again_is_another_file),
	    TEST(a_file_that_an_editor_wrote_anew_goes_on),
	    TEST(a_file_with_two_names_is_read_once),
	    TEST(a_link_is_followed_and_its_target_watched),
	    TEST(what_a_link_led_to_is_read_to_its_end),
	    TEST(so_is_what_is_behind_a_link_to_a_directory),
	    TEST(a_link_may_lead_back),
	    TEST(a_target_is_watched_in_the_next_life_too),
	    TEST(a_target_may_be_rotated),
	    TEST(what_is_no_file_is_not_opened),
	    TEST(a_name_may_be_of_no_file_for_a_while),
	    TEST(a_name_may_have_any_byte),
	    TEST(a_directory_may_come_later),
	    TEST(what_is_there_at_first_may_be_left_out),
	    TEST(so_may_what_cannot_be_read_at_first),
	    TEST(what_is_left_out_is_so_in_the_next_life_too),
	    TEST(what_is_excluded_is_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
