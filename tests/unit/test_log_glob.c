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

#include "config_internal.h"
#include "log_glob.h"

static void patterns_match_as_shippers_spell_them(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool matches;
	} cases[] = {
	    {"/a/b", "/a/b", true},
	    {"/a/b", "/a/b/c", false},
	    {"/a/b", "/a", false},
	    {"/a/*", "/a/b", true},
	    {"/a/*", "/a/.b", true},
	    {"/a/*", "/a/b/c", false},
	    {"/a/*.log", "/a/.log", true},
	    {"/a/[bc]?", "/a/cx", true},
	    {"/a/[!bc]?", "/a/cx", false},
	    {"/a/\\*", "/a/*", true},
	    {"/a/\\*", "/a/b", false},
	    {"/a/**/c", "/a/c", true},
	    {"/a/**/c", "/a/b/b/c", true},
	    {"/a/**/c", "/a/b/b/d", false},
	    {"/a/**", "/a/b/c", true},
	    {"/a/**", "/b/c", false},
	    {"/**/b/*.log", "/a/b/b/x.log", true},
	    {"/**/b/*.log", "/b/a/x.log", false},
	    {"/**/a/**/b", "/x/a/y/a/b", true},
	    {"/**/a/**/b", "/x/y/b", false},
	    {"/**/x/**/x/**/x", "/x/x/a", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (log_glob_matches(cases[i].pattern, cases[i].path) !=
		    cases[i].matches)
			fail_msg("%s, %s", cases[i].pattern, cases[i].path);
}

static void matching_takes_no_time_that_grows_with_a_power(void **state)
{
	char pattern[3000] = "", path[3000] = "";

	(void)state;
	for (int i = 0; i < 200; i++) {
		strcat(pattern, "/**/a");
		strcat(path, "/a/a");
	}
	strcat(pattern, "/b");
	assert_false(log_glob_matches(pattern, path));
}

static void expect_expanded(const char *pattern, const char *expected)
{
	struct config_strings strings = {0};
	char found[512] = "";

	assert_int_equal(log_glob_expand(pattern, 8, &strings), 0);
	for (size_t i = 0; i < strings.count; i++)
		sprintf(found + strlen(found), "%s ", strings.items[i]);
	config_free_strings(&strings);
	assert_string_equal(found, expected);
}

static void braces_are_each_choice(void **state)
{
	struct config_strings strings = {0};

	(void)state;
	expect_expanded("/a", "/a ");
	expect_expanded("/{a,b}/c", "/a/c /b/c ");
	expect_expanded("/{a,b}{c,d}", "/ac /ad /bc /bd ");
	expect_expanded("/{a,b{c,d}}e", "/ae /bce /bde ");
	expect_expanded("/a{,.1}", "/a /a.1 ");
	expect_expanded("/{a", "/{a ");
	expect_expanded("/a}b", "/a}b ");
	assert_int_equal(log_glob_expand("/{a,b}{a,b}{a,b}{a,b}", 8, &strings), -E2BIG);
	config_free_strings(&strings);
}

/* --- walking ------------------------------------------------------------------ */

static char root[64];
static char seen[4096];

static void touch(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	assert_true(fd >= 0);
	close(fd);
}

static void make(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(root, "/tmp/test_glob.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	make("a");
	make("a/b");
	make("a/b/c");
	make("directory.log");
	touch("x.log");
	touch("a/y.log");
	touch("a/b/z.log");
	touch("a/b/c/w.log");
	touch("a/b/c/w.txt");
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static void on_directory(void *context, const char *path, bool has_files)
{
	(void)context;
	if (!strncmp(path, root, strlen(root)))
		sprintf(seen + strlen(seen), "%s%s ", has_files ? "+" : "-",
			path[strlen(root)] ? path + strlen(root) : "/");
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *files[64];
static size_t file_count;

static void on_file(void *context, const char *path, uint64_t inode)
{
	struct stat stat_of;

	(void)context;
	if (inode && !lstat(path, &stat_of))
		assert_int_equal(stat_of.st_ino, inode);
	files[file_count++] = strdup(path + strlen(root));
}

static void expect_walk(const char *pattern, const char *directories, const char *found)
{
	const struct log_glob_visitor visitor = {on_directory, on_file, NULL};
	char full[256], text[1024] = "";

	snprintf(full, sizeof(full), "%s/%s", root, pattern);
	*seen = 0;
	file_count = 0;
	log_glob_walk(full, &visitor);
	qsort(files, file_count, sizeof(*files), compare);
	for (size_t i = 0; i < file_count; i++) {
		sprintf(text + strlen(text), "%s ", files[i]);
		free(files[i]);
	}
	assert_string_equal(text, found);
	assert_string_equal(seen, directories);
}

static void a_walk_meets_what_matches(void **state)
{
	(void)state;
	expect_walk("x.log", "+/ ", "/x.log ");
	expect_walk("nothing.log", "+/ ", "");
	expect_walk("*.log", "+/ ", "/x.log ");
	expect_walk("a/*.log", "+/a ", "/a/y.log ");
	expect_walk("[a]/*.log", "-/ +/a ", "/a/y.log ");
}

static void two_stars_are_any_directories(void **state)
{
	(void)state;
	expect_walk("a/**/*.log", "+/a -/a +/a/b -/a/b +/a/b/c -/a/b/c ",
		    "/a/b/c/w.log /a/b/z.log /a/y.log ");
	expect_walk("a/**/c/w.*", "-/a -/a +/a/b/c -/a/b -/a/b/c -/a/b/c ",
		    "/a/b/c/w.log /a/b/c/w.txt ");
	expect_walk("a/b/**", "+/a/b -/a/b +/a/b/c -/a/b/c ",
		    "/a/b/c/w.log /a/b/c/w.txt /a/b/z.log ");
}

static void what_is_not_there_is_awaited_where_it_will_be(void **state)
{
	(void)state;
	expect_walk("new/deep/*.log", "-/ ", "");
	expect_walk("a/new/x.log", "-/a ", "");
}

static void links_are_followed_but_by_two_stars(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/a/b/loop", root);
	assert_int_equal(symlink(root, path), 0);
	snprintf(path, sizeof(path), "%s/link", root);
	assert_int_equal(symlink("a", path), 0);
	expect_walk("link/*.log", "-/ +/link ", "/link/y.log ");
	expect_walk("l*/*.log", "-/ +/link ", "/link/y.log ");
	expect_walk("a/b/**/*.log", "+/a/b -/a/b +/a/b/c -/a/b/c ",
		    "/a/b/c/w.log /a/b/z.log ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(patterns_match_as_shippers_spell_them),
	    cmocka_unit_test(matching_takes_no_time_that_grows_with_a_power),
	    cmocka_unit_test(braces_are_each_choice),
	    cmocka_unit_test_setup_teardown(a_walk_meets_what_matches, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(two_stars_are_any_directories, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(
		what_is_not_there_is_awaited_where_it_will_be, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(links_are_followed_but_by_two_stars, set_up,
					    tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
