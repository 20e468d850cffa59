/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_watch.h"

static char root[64];
static char told[4096];

static int set_up(void **state)
{
	strcpy(root, "/tmp/test_watch.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	return log_watch_create((struct log_watch **)state);
}

static int tear_down(void **state)
{
	char command[128];

	log_watch_free((struct log_watch **)state);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static const char *path_of(const char *name)
{
	static char path[2][256];
	static unsigned int next;

	next ^= 1;
	snprintf(path[next], sizeof(path[next]), "%s%s", root, name);
	return path[next];
}

static void put(const char *name, int flags, const char *text)
{
	int fd = open(path_of(name), O_WRONLY | flags, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void on_event(void *context, enum log_event event, const char *directory,
		     const char *name)
{
	static const char kinds[] = "wnl";
	char text[256];

	(void)context;
	snprintf(text, sizeof(text), "%c%s/%s ", kinds[event],
		 *directory ? directory + strlen(root) : "", name);
	if (!strstr(told, text))
		strcat(told, text);
}

static void expect(struct log_watch *watch, const char *expected)
{
	*told = 0;
	log_watch_read(watch, on_event, NULL);
	assert_string_equal(told, expected);
}

static void want(struct log_watch *watch, const char *name, bool has_files)
{
	log_watch_add(watch, path_of(name), has_files);
}

static void names_and_writes_are_told_where_they_are_wanted(void **state)
{
	struct log_watch *watch = *state;

	assert_int_equal(mkdir(path_of("/d"), 0755), 0);
	log_watch_begin(watch);
	want(watch, "", false);
	want(watch, "/d", true);
	log_watch_end(watch);
	put("/d/a", O_CREAT, "x");
	expect(watch, "n/d/a w/d/a ");
	put("/d/a", O_APPEND, "y");
	expect(watch, "w/d/a ");
	assert_int_equal(truncate(path_of("/d/a"), 0), 0);
	expect(watch, "w/d/a ");
	assert_int_equal(rename(path_of("/d/a"), path_of("/d/b")), 0);
	expect(watch, "n/d/a n/d/b ");
	assert_int_equal(chmod(path_of("/d/b"), 0600), 0);
	expect(watch, "n/d/b ");
	put("/c", O_CREAT, "x"); /* a directory on the way: names only */
	expect(watch, "n/c ");
	assert_int_equal(unlink(path_of("/d/b")), 0);
	expect(watch, "n/d/b ");
}

static void what_is_not_wanted_any_more_is_not_told(void **state)
{
	struct log_watch *watch = *state;

	assert_int_equal(mkdir(path_of("/d"), 0755), 0);
	log_watch_begin(watch);
	want(watch, "/d", true);
	log_watch_end(watch);
	assert_false(log_watch_is_blind(watch, path_of("/d")));
	log_watch_begin(watch);
	log_watch_end(watch);
	put("/d/a", O_CREAT, "x");
	expect(watch, "");
	assert_true(log_watch_is_blind(watch, path_of("/d")));
}

static void a_directory_that_was_replaced_is_watched_again(void **state)
{
	struct log_watch *watch = *state;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(mkdir(path_of("/d"), 0755), 0);
		log_watch_begin(watch);
		want(watch, "/d", true);
		log_watch_end(watch);
		put("/d/a", O_CREAT, "x");
		*told = 0;
		log_watch_read(watch, on_event, NULL);
		assert_non_null(strstr(told, "w/d/a "));
		assert_int_equal(unlink(path_of("/d/a")), 0);
		assert_int_equal(rmdir(path_of("/d")), 0);
	}
}

static void a_directory_with_two_names_is_told_under_both(void **state)
{
	struct log_watch *watch = *state;

	assert_int_equal(mkdir(path_of("/d"), 0755), 0);
	assert_int_equal(symlink("d", path_of("/e")), 0);
	log_watch_begin(watch);
	want(watch, "/d", true);
	want(watch, "/e", true);
	log_watch_end(watch);
	put("/d/a", O_CREAT, "x");
	expect(watch, "n/d/a n/e/a w/d/a w/e/a ");
}

static void what_is_not_there_is_blind_and_no_trouble(void **state)
{
	struct log_watch *watch = *state;

	log_watch_begin(watch);
	want(watch, "/nothing", true);
	log_watch_end(watch);
	assert_true(log_watch_is_blind(watch, path_of("/nothing")));
	assert_int_equal(log_watch_trouble(watch), 0);
}

static void too_many_events_are_told_as_lost(void **state)
{
	struct log_watch *watch = *state;
	char name[32];

	log_watch_begin(watch);
	want(watch, "", true);
	log_watch_end(watch);
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "/%d", i % 2);
		put(name, O_CREAT | O_APPEND, "x");
	}
	*told = 0;
	log_watch_read(watch, on_event, NULL);
	assert_non_null(strstr(told, "l"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(names_and_writes_are_told_where_they_are_wanted),
	    TEST(what_is_not_wanted_any_more_is_not_told),
	    TEST(a_directory_that_was_replaced_is_watched_again),
	    TEST(a_directory_with_two_names_is_told_under_both),
	    TEST(what_is_not_there_is_blind_and_no_trouble),
	    TEST(too_many_events_are_told_as_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
