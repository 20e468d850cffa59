/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_auto.h"

static char root[64];
static char found[1024];

static void on_log(void *context, const char *path, const char *name,
		   const char *service)
{
	(void)context;
	assert_string_equal(service, "s");
	assert_string_equal(path, name);
	if (!strncmp(path, root, strlen(root)))
		sprintf(found + strlen(found), "%s ", path + strlen(root));
}

static int open_at(const char *name, int flags)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s%s", root, name);
	fd = open(path, O_CREAT | flags, 0644);
	assert_true(fd >= 0);
	return fd;
}

/* How many turns it took. */
static unsigned int walk_through(uint32_t pid)
{
	struct log_auto *walk = NULL;
	unsigned int turns = 1;

	*found = 0;
	assert_int_equal(log_auto_create("/proc", &walk), 0);
	assert_true(log_auto_is_idle(walk));
	log_auto_add(walk, pid, "s");
	assert_false(log_auto_is_idle(walk));
	while (log_auto_go_on(walk, on_log, NULL))
		turns++;
	assert_true(log_auto_is_idle(walk));
	log_auto_free(&walk);
	return turns;
}

static void make_root(void)
{
	strcpy(root, "/tmp/test_auto.XXXXXX");
	assert_non_null(mkdtemp(root));
}

static void remove_root(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

static void files_that_this_process_writes_are_found(void **state)
{
	int fds[8];
	char path[128];

	(void)state;
	make_root();
	fds[0] = open_at("/appended", O_WRONLY | O_APPEND);
	fds[1] = open_at("/named.log", O_RDWR);
	fds[2] = open_at("/read.log", O_RDONLY);
	fds[3] = open_at("/written", O_WRONLY);
	fds[4] = open_at("/store.db-wal", O_WRONLY | O_APPEND);
	fds[5] = open_at("/deleted.log", O_WRONLY | O_APPEND);
	snprintf(path, sizeof(path), "%s/deleted.log", root);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/pipe.log", root);
	assert_int_equal(mkfifo(path, 0644), 0);
	fds[6] = open(path, O_RDWR | O_APPEND);
	assert_int_equal(walk_through((uint32_t)getpid()), 1);
	assert_string_equal(found, "/appended /named.log ");
	for (int i = 0; i < 7; i++)
		close(fds[i]);
	remove_root();
}

/* Those of the standard streams and of the runtime are a few. */
static void a_turn_looks_at_so_many_descriptors(void **state)
{
	struct rlimit limit = {6000, 6000};
	int first;

	(void)state;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	make_root();
	first = open_at("/first.log", O_WRONLY);
	for (int i = 0; i < 2 * LOG_AUTO_PORTION; i++)
		assert_true(dup(0) >= 0);
	open_at("/last.log", O_WRONLY);
	assert_int_equal(walk_through((uint32_t)getpid()), 3);
	assert_string_equal(found, "/first.log /last.log ");
	while (dup(0) >= 0) {
	}
	close(first + 1); /* one to read with */
	assert_int_equal(walk_through((uint32_t)getpid()), 8);
	close_range((unsigned int)first, ~0u, 0);
	remove_root();
}

static void processes_wait_for_one_another(void **state)
{
	struct log_auto *walk = NULL;

	(void)state;
	assert_int_equal(log_auto_create("/proc", &walk), 0);
	assert_false(log_auto_go_on(walk, on_log, NULL));
	for (unsigned int i = 0; i < 100; i++)
		log_auto_add(walk, 4194304, "s");
	for (unsigned int i = 0; i < 98; i++)
		assert_true(log_auto_go_on(walk, on_log, NULL));
	log_auto_add(walk, 4194304, "s");
	assert_true(log_auto_go_on(walk, on_log, NULL));
	assert_true(log_auto_go_on(walk, on_log, NULL));
	assert_false(log_auto_go_on(walk, on_log, NULL));
	log_auto_add(walk, 4194304, "s"); /* freed with it */
	log_auto_free(&walk);
}

static void a_process_that_is_gone_has_none(void **state)
{
	(void)state;
	assert_int_equal(walk_through(4194304), 1);
	assert_string_equal(found, "");
}

static void logs_are_told_by_their_names(void **state)
{
	static const struct {
		const char *name;
		bool appends, is_log;
	} cases[] = {
	    {"/a/b.log", false, true},    {"/a/b.out", false, true},
	    {"/a/b.err", false, true},    {"/var/log/messages", false, true},
	    {"/srv/logs/x", false, true}, {"/a/b", false, false},
	    {"/a/b", true, true},         {"/a/appendonly.aof", true, false},
	    {"/a/log/x.db", true, false}, {"/a/x.sqlite-journal", true, false},
	    {"pipe:[1234]", true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(log_auto_is_log(cases[i].name, cases[i].appends),
				 cases[i].is_log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(files_that_this_process_writes_are_found),
	    cmocka_unit_test(processes_wait_for_one_another),
	    cmocka_unit_test(a_turn_looks_at_so_many_descriptors),
	    cmocka_unit_test(a_process_that_is_gone_has_none),
	    cmocka_unit_test(logs_are_told_by_their_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
