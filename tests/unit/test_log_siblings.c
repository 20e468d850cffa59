/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>

#include "log_case.h"
#include "log_siblings.h"

#define MANY 40

/* In place of the C library's. */
static unsigned int listings;

DIR *opendir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	listings++;
	return fd < 0 ? NULL : fdopendir(fd);
}

/* --- the set ------------------------------------------------------------------ */

static void name_of(char *ret_name, int i, const char *suffix)
{
	sprintf(ret_name, "f%02d.log%s", i, suffix);
}

static void follow_many(struct log_case *test)
{
	char name[32];

	test->open_max = MANY;
	for (int i = 0; i < MANY; i++) {
		name_of(name, i, "");
		log_case_write(test, name, "one\n");
	}
	log_case_glob(test, "*.log");
	log_case_start(test);
	log_case_run(test);
	log_case_scan(test, false); /* what is rotated unseen came since one */
	test->read_len = 0;
}

static void expect_once_each(struct log_case *test, const char *line)
{
	char expected[64];

	log_case_run(test);
	assert_int_equal(test->read_len, MANY * (strlen("f00.log:\n") + strlen(line)));
	for (int i = 0; i < MANY; i++) {
		sprintf(expected, "f%02d.log:%s\n", i, line);
		assert_non_null(strstr(test->read, expected));
	}
}

static void a_scan_reads_a_directory_once_for_all_that_were_renamed(void **state)
{
	struct log_case *test = *state;
	char from[32], to[32];

	follow_many(test);
	for (int i = 0; i < MANY; i++) {
		name_of(from, i, "");
		name_of(to, i, ".1");
		log_case_append(test, from, "two\n");
		log_case_rename(test, from, to);
		log_case_write(test, from, "");
	}
	listings = 0;
	log_case_scan(test, false);
	assert_int_equal(listings, 2); /* and once for the pattern */
	expect_once_each(test, "two");
	assert_int_equal(log_files_sums(test->files).files, 2 * MANY);
}

static void a_scan_reads_a_directory_once_for_all_that_were_deleted(void **state)
{
	struct log_case *test = *state;
	char name[32];

	follow_many(test);
	for (int i = 0; i < MANY; i++) {
		name_of(name, i, "");
		log_case_unlink(test, name);
	}
	listings = 0;
	log_case_scan(test, false);
	assert_int_equal(listings, 2);
}

/* Once for their copies, and once for what was rotated unseen. */
static void a_turn_reads_a_directory_twice_for_all_that_were_emptied(void **state)
{
	struct log_case *test = *state;
	struct log_sink sink;
	char from[32], to[32];

	follow_many(test);
	for (int i = 0; i < MANY; i++) {
		name_of(from, i, "");
		name_of(to, i, ".1");
		log_case_append(test, from, "two\n");
		log_case_copy(test, from, to);
		log_case_empty(test, from);
	}
	log_files_look_at_all(test->files);
	listings = 0;
	sink = log_case_sink(test);
	log_files_turn(test->files, &sink);
	assert_int_equal(listings, 2);
	expect_once_each(test, "two");
}

/* --- names -------------------------------------------------------------------- */

static const char *const names[] = {
    "a",
    "a.1",
    "a.log",
    "a.log.1",
    "a.log.log",
    "a.1.log",
    "a-2024.log",
    "a-b.log",
    "a-2024.log.1",
    "a-2024T01Z.log",
    "a.log-2024",
    "a.log~",
    "a.logger",
    ".log",
    ".log.1",
    "..log",
    "a-b-2024.log",
    "a-b.log_1.2",
    "b",
    "a.log.1.log",
    "a-2024-1.log",
    "a-2024-1.log.1",
    "a-2024-Jan-01_10h.log",
    "a.log.2024-Jan-01_10h",
};

#define NAMES (sizeof(names) / sizeof(names[0]))

struct told {
	struct log_sought *sought;
	unsigned int times[NAMES][NAMES]; /* of each name, for each file */
};

static void tell(void *context, struct log_sought *sought, const char *path)
{
	struct told *told = context;
	size_t i = 0;

	while (strcmp(names[i], strrchr(path, '/') + 1) != 0)
		i++;
	told->times[sought - told->sought][i]++;
}

/* As if each was compared with each. */
static void what_is_named_after_a_file_is_told_once(void **state)
{
	struct log_case *test = *state;
	struct log_sought sought[NAMES] = {0};
	struct told told = {.sought = sought};
	const struct log_siblings_visitor visitor = {.named = tell, .context = &told};
	const struct log_identity identity = {0};

	log_case_glob(test, "*");
	log_case_start(test);
	for (size_t i = 0; i < NAMES; i++) {
		log_case_write(test, names[i], "");
		sought[i].file =
		    log_file_create(&identity, &test->rules[0],
				    log_case_path(test, names[i]), NULL, NULL, 0);
		sought[i].wants_named = true;
	}
	listings = 0;
	assert_int_equal(log_siblings_visit(sought, NAMES, &visitor), 0);
	assert_int_equal(listings, 1);
	for (size_t i = 0; i < NAMES; i++) {
		for (size_t j = 0; j < NAMES; j++)
			assert_int_equal(told.times[i][j], log_siblings_is_named_after(
							       names[j], names[i]));
		log_file_free(&sought[i].file);
	}
}

/* It is gone before anybody could look at it. */
static void rename_once(void *context, struct log_sought *sought, const char *path)
{
	struct log_case *test = context;

	sought->is_found = !access(log_case_path(test, "a.log.2"), F_OK);
	if (!sought->is_found)
		log_case_rename(test, strrchr(path, '/') + 1, "a.log.2");
	else
		sought->wants_named = sought->wants_numbered = false;
}

static void what_is_renamed_meanwhile_is_looked_for_again(void **state)
{
	struct log_case *test = *state;
	const struct log_siblings_visitor visitor = {rename_once, rename_once, test};
	struct log_identity identity = {0};
	struct log_stat found;

	log_case_glob(test, "*");
	log_case_start(test);
	for (int is_numbered = 0; is_numbered < 2; is_numbered++) {
		struct log_sought sought = {.wants_named = !is_numbered,
					    .wants_numbered = is_numbered};

		log_case_write(test, "a.log.1", "");
		assert_int_equal(log_stat(-1, log_case_path(test, "a.log.1"), &found),
				 0);
		identity.inode = found.identity.inode;
		sought.file =
		    log_file_create(&identity, &test->rules[0],
				    log_case_path(test, "a.log"), NULL, NULL, 0);
		listings = 0;
		assert_int_equal(log_siblings_visit(&sought, 1, &visitor), 0);
		assert_true(sought.is_found);
		assert_int_equal(listings, 2);
		log_file_free(&sought.file);
		log_case_unlink(test, "a.log.2");
	}
}

static void a_name_is_after_another_by_a_mark_or_digits(void **state)
{
	static const struct {
		const char *name, *original;
		bool is_after;
	} cases[] = {
	    {"a.log.1", "a.log", true},
	    {"a.log-20240101", "a.log", true},
	    {"a-20240101.log", "a.log", true},
	    {"a.1.log", "a.log", true},
	    {"a.log~", "a.log", true},
	    {"a.log", "a.log", false},
	    {"a.logger", "a.log", false},
	    {"a-worker.log", "a.log", false},
	    {"ab.log", "a.log", false},
	    {"a1.log", "a.log", false},
	    {"a.1", "a", true},
	    {".log.1", ".log", true},
	    {"a-2024-Jan-01.log", "a.log", true},
	    {"a-2024-01-01T10:00:00Z.log", "a.log", true},
	    {"a-t1.log", "a.log", false},
	    {"a-20240101.txt", "a.log", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
		    log_siblings_is_named_after(cases[i].name, cases[i].original),
		    cases[i].is_after);
}

struct sought_name {
	const char *text;
	int times, calls;
};

static bool see_original(void *context, const char *original)
{
	struct sought_name *sought = context;

	sought->times += !strcmp(original, sought->text);
	return sought->calls && !--sought->calls;
}

static void all_that_a_name_may_be_after_are_told_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < NAMES; i++) {
		for (size_t j = 0; j < NAMES; j++) {
			char path[64], original[64];
			struct sought_name bare = {.text = names[j]},
					   beside = {.text = original};

			snprintf(path, sizeof(path), "/x.y-z/%s", names[i]);
			snprintf(original, sizeof(original), "/x.y-z/%s", names[j]);
			log_siblings_each_original(names[i], see_original, &bare);
			log_siblings_each_original(path, see_original, &beside);
			assert_int_equal(beside.times, bare.times);
			assert_in_range(bare.times,
					log_siblings_is_named_after(names[i], names[j]),
					1);
		}
	}
}

static void no_more_are_told_than_wanted(void **state)
{
	struct sought_name sought = {.text = "a", .calls = 1};

	(void)state;
	log_siblings_each_original("a.log.1", see_original, &sought);
	assert_int_equal(sought.times, 1);
	sought = (struct sought_name){.text = "a.log", .calls = 1};
	log_siblings_each_original("a.log.1", see_original, &sought);
	assert_int_equal(sought.times, 0);
}

static void another_log_beside_it_is_not_a_rotated_one(void **state)
{
	static const struct {
		const char *name;
		bool is_rotated;
	} cases[] = {
	    {"a.log.1", true},
	    {"a.log-20240101", true},
	    {"a.log.2024-01-01T10:00:00Z", true},
	    {"a-20240101.log", true},
	    {"a.log.old", true},
	    {"a.log-bak", true},
	    {"a.log~", true},
	    {"a.log.2024-01-01_10h", true},
	    {"a.log-2024-01-01-10h30m00s", true},
	    {"a.log.20240101-10H", true},
	    {"a.log.240101T1000Z", true},
	    {"a-2024-01-01_10h.log", true},
	    {"a.log.2024-Jan-01", true},
	    {"a.log.01January2024", true},
	    {"a-01jan24.log", true},
	    {"a.log.2024-Sept", true},
	    {"a.log.Mon-2024-01-01", true},
	    {"a.log.2024-W05", true},
	    {"a.log.2024-01-01_10-00PM", true},
	    {"a.log.2024-01-01_10UTC", true},
	    {"a.log.20240101-100000+0100", true},
	    {"a.log.2024-01-01_10h.1", true},
	    {"a.log.err", false},
	    {"a.log.json", false},
	    {"a.log.gz", false},
	    {"a.log.20240101.gz", false},
	    {"a.log.20240101.err", false},
	    {"a-20240101-worker.log", false},
	    {"a.log.mar", false},
	    {"a-mon.log", false},
	    {"a.log.s3", false},
	    {"a.log.20240101.s3", false},
	    {"a-5m.log", false},
	    {"a.log.10h", false},
	    {"a.log.10-january-", false},
	    {"a.log.t1", false},
	    {"a.log.Z", false},
	    {"a.log.2024-01-01_10hh", false},
	    {"a.log.2024-ja-01-01", false},
	    {"a.log.2024-januaryx-01", false},
	    {"a.log.wf.1", false},
	    {"a.log-worker", false},
	    {"a.logger", false},
	    {"a.log", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(log_siblings_is_rotated(cases[i].name, "a.log"),
				 cases[i].is_rotated);
}

int main(void)
{
#define TEST(name)                                                                     \
	cmocka_unit_test_setup_teardown(name, log_case_set_up, log_case_tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_scan_reads_a_directory_once_for_all_that_were_renamed),
	    TEST(a_scan_reads_a_directory_once_for_all_that_were_deleted),
	    TEST(a_turn_reads_a_directory_twice_for_all_that_were_emptied),
	    TEST(what_is_named_after_a_file_is_told_once),
	    TEST(what_is_renamed_meanwhile_is_looked_for_again),
	    TEST(a_name_is_after_another_by_a_mark_or_digits),
	    TEST(another_log_beside_it_is_not_a_rotated_one),
	    TEST(all_that_a_name_may_be_after_are_told_once),
	    TEST(no_more_are_told_than_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
