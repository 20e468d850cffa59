/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spool_directory.h"

#define NOBODY 65534

static char root[32];
static char error[512];
static struct spool_directory *directory;

static int set_up(void **state)
{
	(void)state;
	strcpy(root, "/tmp/test_directory.XXXXXX");
	return mkdtemp(root) && !chdir(root) ? 0 : -1;
}

static void remove_all(const char *path)
{
	DIR *listing = opendir(path);
	char name[PATH_MAX];

	for (struct dirent *entry; listing && (entry = readdir(listing));) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (unlink(name))
			remove_all(name);
	}
	if (listing)
		closedir(listing);
	rmdir(path);
}

static int tear_down(void **state)
{
	(void)state;
	spool_directory_close(&directory);
	spool_directory_close(&directory); /* accepts NULL */
	remove_all(root);
	return chdir("/");
}

/* "" below the test's own. */
static const char *below(const char *rest)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", root, rest);
	return path;
}

static int try_path(const char *path)
{
	*error = 0;
	return spool_directory_open(path, &directory, error, sizeof(error));
}

static void expect_opened(const char *path, const char *file)
{
	int err = try_path(path);

	if (err)
		print_error("%s\n", error);
	assert_int_equal(err, 0);
	assert_string_equal(spool_directory_file(directory), below(file));
	spool_directory_close(&directory);
}

static void expect_refused(const char *path, int err, const char *where,
			   const char *why)
{
	char said[PATH_MAX];

	snprintf(said, sizeof(said), "\"%s\" %s", where, why);
	assert_int_equal(try_path(path), err);
	assert_string_equal(error, said);
	assert_null(directory);
}

static void the_last_component_is_made(void **state)
{
	struct stat stat_of;

	(void)state;
	expect_opened(below("/spool"), "/spool/spool.db");
	assert_int_equal(stat("spool", &stat_of), 0);
	assert_int_equal(stat_of.st_mode, S_IFDIR | 0700);
	expect_opened(below("/spool"), "/spool/spool.db");
	expect_refused("no/spool", -ENOENT, below("/no"), "No such file or directory");
}

static void paths_may_be_written_in_many_ways(void **state)
{
	(void)state;
	assert_int_equal(mkdir("a", 0755), 0);
	expect_opened("spool", "/spool/spool.db");
	expect_opened("./a/../spool//", "/spool/spool.db");
	expect_opened("a/./b", "/a/b/spool.db");
	expect_opened(below("/a///b/."), "/a/b/spool.db");
}

static void symlinks_are_followed_where_only_we_make_them(void **state)
{
	(void)state;
	assert_int_equal(mkdir("a", 0755), 0);
	assert_int_equal(mkdir("a/b", 0700), 0);
	assert_int_equal(symlink("a/b", "relative"), 0);
	assert_int_equal(symlink(below("/a/b"), "absolute"), 0);
	assert_int_equal(symlink("absolute/../b", "twice"), 0);
	assert_int_equal(symlink("loop", "loop"), 0);
	expect_opened("relative", "/a/b/spool.db");
	expect_opened("absolute", "/a/b/spool.db");
	expect_opened("twice/new", "/a/b/new/spool.db");
	expect_refused("loop", -ELOOP, below("/loop"),
		       "Too many levels of symbolic links");
}

static void what_others_can_change_is_refused(void **state)
{
	(void)state;
	assert_int_equal(mkdir("open", 0755), 0);
	assert_int_equal(mkdir("open/spool", 0700), 0);
	assert_int_equal(symlink("open/spool", "link"), 0);
	assert_int_equal(chmod("open", 0757), 0);
	expect_refused("open", -EPERM, below("/open"), "can be changed by other users");
	expect_refused("open/spool", -EPERM, below("/open"),
		       "can be changed by other users");
	expect_refused("link", -EPERM, below("/open"), "can be changed by other users");
	assert_int_equal(chmod("open", 01777), 0); /* as /tmp */
	expect_opened("open/spool", "/open/spool/spool.db");
	expect_refused("open", -EPERM, below("/open"), "can be changed by other users");
}

/* Only root can give files away. */
static void what_belongs_to_others_is_refused(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(mkdir("theirs", 0700), 0);
	assert_int_equal(mkdir("theirs/spool", 0700), 0);
	assert_int_equal(mkdir("open", 0755), 0);
	assert_int_equal(chmod("open", 01777), 0);
	assert_int_equal(symlink("../theirs/spool", "open/link"), 0);
	assert_int_equal(lchown("theirs", NOBODY, NOBODY), 0);
	expect_refused("theirs", -EPERM, below("/theirs"), "belongs to another user");
	expect_refused("theirs/spool", -EPERM, below("/theirs"),
		       "belongs to another user");
	assert_int_equal(lchown("theirs", 0, 0), 0);
	expect_opened("open/link", "/theirs/spool/spool.db");
	assert_int_equal(lchown("open/link", NOBODY, NOBODY), 0);
	expect_refused("open/link", -EPERM, below("/open/link"),
		       "belongs to another user");
	assert_int_equal(chown("theirs", 0, NOBODY), 0);
	assert_int_equal(chmod("theirs", 0770), 0);
	expect_refused("theirs/spool", -EPERM, below("/theirs"),
		       "can be changed by other users");
}

static void what_is_no_directory_is_refused(void **state)
{
	(void)state;
	close(open("file", O_CREAT | O_RDWR, 0600));
	expect_refused("file", -ENOTDIR, below("/file"), "Not a directory");
	expect_refused("file/spool", -ENOTDIR, below("/file"), "Not a directory");
}

static void names_and_paths_that_are_too_long_are_refused(void **state)
{
	char name[PATH_MAX + 10];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[NAME_MAX + 1] = 0;
	assert_int_equal(try_path(name), -ENAMETOOLONG);
	name[NAME_MAX + 1] = 'x';
	name[sizeof(name) - 1] = 0;
	assert_int_equal(try_path(name), -ENAMETOOLONG);
	name[NAME_MAX] = 0;
	assert_int_equal(try_path(name), 0);
}

static void one_at_a_time_has_it(void **state)
{
	struct spool_directory *second = NULL;

	(void)state;
	assert_int_equal(try_path("spool"), 0);
	assert_int_equal(spool_directory_open("spool", &second, error, sizeof(error)),
			 -EBUSY);
	assert_null(second);
	assert_non_null(strstr(error, "is in use by another process"));
	spool_directory_close(&directory);
	assert_int_equal(try_path("spool"), 0);
}

/* --- files -------------------------------------------------------------------- */

static void make(const char *path, off_t size)
{
	int fd = open(path, O_CREAT | O_RDWR, 0644);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static void the_file_is_made_once_and_private(void **state)
{
	struct stat stat_of;

	(void)state;
	assert_int_equal(try_path("spool"), 0);
	assert_int_equal(spool_directory_make_file(directory), 0);
	assert_int_equal(stat("spool/spool.db", &stat_of), 0);
	assert_int_equal(stat_of.st_mode, S_IFREG | 0600);
	assert_int_equal(chmod("spool/spool.db", 0644), 0);
	assert_int_equal(truncate("spool/spool.db", 100), 0);
	assert_int_equal(spool_directory_make_file(directory), 0);
	assert_int_equal(stat("spool/spool.db", &stat_of), 0);
	assert_int_equal(stat_of.st_mode, S_IFREG | 0600);
	assert_int_equal(stat_of.st_size, 100);
	assert_int_equal(link("spool/spool.db", "elsewhere"), 0);
	assert_int_equal(spool_directory_make_file(directory), -EPERM);
}

static void a_file_is_known_again(void **state)
{
	(void)state;
	assert_int_equal(try_path("spool"), 0);
	assert_false(spool_directory_has_file(directory));
	assert_int_equal(spool_directory_make_file(directory), 0);
	assert_true(spool_directory_has_file(directory));
	assert_int_equal(rename("spool/spool.db", "spool/away"), 0);
	assert_false(spool_directory_has_file(directory));
	make("spool/spool.db", 0);
	assert_false(spool_directory_has_file(directory));
	assert_int_equal(spool_directory_make_file(directory), 0);
	assert_true(spool_directory_has_file(directory));
}

static void an_empty_file_beside_a_log_is_damaged(void **state)
{
	(void)state;
	assert_int_equal(try_path("spool"), 0);
	make("spool/spool.db-wal", 0);
	assert_int_equal(spool_directory_make_file(directory), 0);
	make("spool/spool.db-wal", 1);
	assert_int_equal(spool_directory_make_file(directory), -EUCLEAN);
}

static void expect_set_aside(int64_t now_ms, uint64_t bytes_max, const char *name)
{
	char found[64] = "";

	assert_int_equal(spool_directory_set_aside(directory, now_ms, bytes_max, found,
						   sizeof(found)),
			 0);
	assert_string_equal(found, name);
}

static bool exists(const char *path)
{
	return !access(path, F_OK);
}

static void a_file_is_set_aside_with_its_log(void **state)
{
	(void)state;
	assert_int_equal(try_path("spool"), 0);
	make("spool/spool.db", 10);
	make("spool/spool.db-wal", 20);
	expect_set_aside(1000, 1000, "spool.db.corrupt-1000");
	assert_false(exists("spool/spool.db"));
	assert_false(exists("spool/spool.db-wal"));
	assert_true(exists("spool/spool.db.corrupt-1000"));
	assert_true(exists("spool/spool.db.corrupt-1000-wal"));
	make("spool/spool.db", 10);
	expect_set_aside(1000, 1000, "spool.db.corrupt-1001");
}

static void what_was_set_aside_is_bounded_in_bytes(void **state)
{
	(void)state;
	assert_int_equal(try_path("spool"), 0);
	make("spool/spool.db.corrupt-5-wal.mine", 100000); /* nobody's business */
	make("spool/spool.db.corrupt-0-wal", 100);         /* whose file is gone */
	make("spool/spool.db", 10);
	make("spool/spool.db-wal", 20);
	expect_set_aside(1, 50, "spool.db.corrupt-1");
	assert_false(exists("spool/spool.db.corrupt-0-wal"));
	make("spool/spool.db", 20);
	expect_set_aside(2, 50, "spool.db.corrupt-2");
	assert_true(exists("spool/spool.db.corrupt-1"));
	make("spool/spool.db", 1);
	expect_set_aside(3, 50, "spool.db.corrupt-3");
	assert_false(exists("spool/spool.db.corrupt-1"));
	assert_false(exists("spool/spool.db.corrupt-1-wal"));
	assert_true(exists("spool/spool.db.corrupt-2"));
	make("spool/spool.db", 51);
	expect_set_aside(4, 50, "spool.db.corrupt-4");
	for (int i = 2; i <= 4; i++) {
		char path[64];

		snprintf(path, sizeof(path), "spool/spool.db.corrupt-%d", i);
		assert_false(exists(path));
	}
	assert_true(exists("spool/spool.db.corrupt-5-wal.mine"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(the_last_component_is_made),
	    TEST(paths_may_be_written_in_many_ways),
	    TEST(symlinks_are_followed_where_only_we_make_them),
	    TEST(what_others_can_change_is_refused),
	    TEST(what_belongs_to_others_is_refused),
	    TEST(what_is_no_directory_is_refused),
	    TEST(names_and_paths_that_are_too_long_are_refused),
	    TEST(one_at_a_time_has_it),
	    TEST(the_file_is_made_once_and_private),
	    TEST(a_file_is_known_again),
	    TEST(an_empty_file_beside_a_log_is_damaged),
	    TEST(a_file_is_set_aside_with_its_log),
	    TEST(what_was_set_aside_is_bounded_in_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
