/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_targets.h"
#include "file_sd.h"
#include "log.h"

#define PATIENCE_MS 10000 /* of a test; nothing waits that long */

static char directory[] = "/tmp/bpftally-file-sd-XXXXXX";
static struct loop *loop;
static struct loop_timer *deadline;
static struct config_file_sd config;
static char patterns[2][128];
static char *items[2] = {patterns[0], patterns[1]};
static struct file_sd *files;
static unsigned int changes;
static char found[512];

static void on_deadline(void *context)
{
	(void)context;
	loop_stop(loop);
}

static void on_changed(void *context)
{
	(void)context;
	changes++;
	loop_stop(loop);
}

static char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void rename_file(const char *from, const char *to)
{
	char old[256];

	strcpy(old, path_of(from));
	assert_int_equal(rename(old, path_of(to)), 0);
}

static int remove_entry(const char *path, const struct stat *status, int type,
			struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

static int build(void **state)
{
	(void)state;
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	if (!mkdtemp(directory) || loop_create(&loop) ||
	    loop_timer_create(loop, on_deadline, NULL, &deadline))
		return -1;
	changes = 0;
	config = (struct config_file_sd){.files = {items, 1}, .refresh_ms = 3600000};
	snprintf(patterns[0], sizeof(patterns[0]), "%s/t*.json", directory);
	return file_sd_create(loop, on_changed, NULL, &files);
}

static int destroy(void **state)
{
	(void)state;
	file_sd_free(&files);
	loop_timer_free(&deadline);
	loop_free(&loop);
	return nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* "NAME:TARGET,TARGET;" of each file. */
static void write_down(void *context, const char *path,
		       const struct config_groups *groups)
{
	(void)context;
	strcat(strcat(found, strrchr(path, '/') + 1), ":");
	for (size_t i = 0; i < groups->count; i++) {
		for (size_t j = 0; j < groups->items[i].targets.count; j++)
			strcat(strcat(found, groups->items[i].targets.items[j]), ",");
	}
	strcat(found, ";");
}

static void assert_found(const char *want)
{
	*found = 0;
	file_sd_each(files, &config, write_down, NULL);
	assert_string_equal(found, want);
}

static void await_change(void)
{
	unsigned int before = changes;

	assert_int_equal(loop_timer_arm(deadline, PATIENCE_MS, 0), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(changes, before + 1);
}

/* A change to another file comes, and with it all there was to come before. */
static void assert_unchanged_until(const char *name, const char *text)
{
	write_file(name, text);
	await_change();
}

static void what_is_there_is_read_at_once(void **state)
{
	(void)state;
	write_file("t2.json", "[{\"targets\":[\"c\"]}]");
	write_file("t1.json", "[{\"targets\":[\"a\",\"b\"]}]");
	write_file("other.json", "[{\"targets\":[\"x\"]}]");
	assert_int_equal(file_sd_add(files, &config), 0);
	assert_found("t1.json:a,b,;t2.json:c,;");
	assert_int_equal(changes, 0);
}

static void a_file_that_is_written_to_is_read_again(void **state)
{
	(void)state;
	write_file("t1.json", "[{\"targets\":[\"a\"]}]");
	assert_int_equal(file_sd_add(files, &config), 0);
	write_file("t1.json", "[{\"targets\":[\"a\",\"b\"]}]");
	await_change();
	assert_found("t1.json:a,b,;");
}

static void a_file_is_replaced_by_a_rename(void **state)
{
	(void)state;
	write_file("t1.json", "[{\"targets\":[\"a\"]}]");
	assert_int_equal(file_sd_add(files, &config), 0);
	write_file("new", "[{\"targets\":[\"b\"]}]");
	rename_file("new", "t1.json");
	await_change();
	assert_found("t1.json:b,;");
}

static void files_come_and_go(void **state)
{
	(void)state;
	assert_int_equal(file_sd_add(files, &config), 0);
	assert_found("");
	write_file("t1.json", "[{\"targets\":[\"a\"]}]");
	await_change();
	assert_found("t1.json:a,;");
	assert_int_equal(unlink(path_of("t1.json")), 0);
	await_change();
	assert_found("");
}

static void a_broken_file_keeps_the_targets_it_had(void **state)
{
	(void)state;
	write_file("t1.json", "[{\"targets\":[\"a\"]}]");
	assert_int_equal(file_sd_add(files, &config), 0);
	write_file("t1.json", "[{\"targets\":[\"b\"");
	assert_unchanged_until("t2.json", "[{\"targets\":[\"c\"]}]");
	assert_found("t1.json:a,;t2.json:c,;");
	assert_int_equal(file_sd_broken(files), 1);
	write_file("t1.json", "[{\"targets\":[\"d\"]}]");
	await_change();
	assert_found("t1.json:d,;t2.json:c,;");
	assert_int_equal(file_sd_broken(files), 0);
}

static void a_link_that_is_swapped_leads_to_other_targets(void **state)
{
	(void)state;
	assert_int_equal(mkdir(path_of("v1"), 0700), 0);
	assert_int_equal(mkdir(path_of("v2"), 0700), 0);
	write_file("v1/t", "[{\"targets\":[\"a\"]}]");
	write_file("v2/t", "[{\"targets\":[\"b\"]}]");
	assert_int_equal(symlink("v1", path_of("..data")), 0);
	assert_int_equal(symlink("..data/t", path_of("t1.json")), 0);
	assert_int_equal(file_sd_add(files, &config), 0);
	assert_found("t1.json:a,;");
	assert_int_equal(symlink("v2", path_of("..new")), 0);
	rename_file("..new", "..data");
	await_change();
	assert_found("t1.json:b,;");
}

static void a_directory_that_comes_later_is_found_by_the_refresh(void **state)
{
	(void)state;
	snprintf(patterns[0], sizeof(patterns[0]), "%s/later/t.yml", directory);
	config.refresh_ms = 20;
	assert_int_equal(file_sd_add(files, &config), 0);
	assert_found("");
	assert_int_equal(mkdir(path_of("later"), 0700), 0);
	write_file("later/t.yml", "- targets: [a]\n");
	await_change();
	assert_found("t.yml:a,;");
}

static void two_patterns_of_one_file_are_one_file(void **state)
{
	(void)state;
	config.files.count = 2;
	snprintf(patterns[1], sizeof(patterns[1]), "%s/t1.json", directory);
	write_file("t1.json", "[{\"targets\":[\"a\"]}]");
	assert_int_equal(file_sd_add(files, &config), 0);
	assert_found("t1.json:a,;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_is_there_is_read_at_once, build,
					    destroy),
	    cmocka_unit_test_setup_teardown(a_file_that_is_written_to_is_read_again,
					    build, destroy),
	    cmocka_unit_test_setup_teardown(a_file_is_replaced_by_a_rename, build,
					    destroy),
	    cmocka_unit_test_setup_teardown(files_come_and_go, build, destroy),
	    cmocka_unit_test_setup_teardown(a_broken_file_keeps_the_targets_it_had,
					    build, destroy),
	    cmocka_unit_test_setup_teardown(
		a_link_that_is_swapped_leads_to_other_targets, build, destroy),
	    cmocka_unit_test_setup_teardown(
		a_directory_that_comes_later_is_found_by_the_refresh, build, destroy),
	    cmocka_unit_test_setup_teardown(two_patterns_of_one_file_are_one_file,
					    build, destroy),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
