/* SPDX-License-Identifier: Apache-2.0 */
/* The whole in a real loop, up to the lanes of two receivers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "logs.h"
#include "loki_decoder.h"
#include "spool_case.h"

/* In place of the C library's: no watch is left, and it is later than it is. */
static bool has_no_watches;
static time_t later_s;

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	if (!has_no_watches)
		return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
	errno = ENOSPC;
	return -1;
}

int clock_gettime(clockid_t clock, struct timespec *ret_now)
{
	int err = (int)syscall(SYS_clock_gettime, clock, ret_now);

	ret_now->tv_sec += later_s;
	return err;
}

struct scene {
	struct spool_case *files; /* the state directory; logs are in it, too */
	struct spool_lane *lanes[2];
	struct loop *loop;
	struct loop_timer *timeout;
	struct logs *logs;
	struct config config;
	struct config_log log;
	struct config_loki_write writes[2];
	char *path;
	char directory[64];
	int begun, committed;
};

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	void *files;

	if (!scene || case_set_up(&files))
		return -1;
	scene->files = files;
	strcpy(scene->directory, "/tmp/test_logs.XXXXXX");
	if (!mkdtemp(scene->directory) ||
	    asprintf(&scene->path, "%s/a.log", scene->directory) < 0)
		return -1;
	scene->writes[0].name = (char *)"first";
	scene->writes[1].name = (char *)"second";
	scene->log = (struct config_log){
	    .job = (char *)"j",
	    .paths = {&scene->path, 1},
	    .max_lines = 1,
	    .max_line_bytes = 1000,
	};
	scene->config = (struct config){
	    .logs = &scene->log,
	    .log_count = 1,
	    .loki_writes = scene->writes,
	    .loki_write_count = 2,
	    .spool = {.directory = scene->files->directory, .bytes_max = 64 * MIB},
	};
	*state = scene;
	return loop_create(&scene->loop);
}

static int tear_down(void **state)
{
	struct scene *scene = *state;
	void *files = scene->files;

	has_no_watches = false;
	loop_timer_free(&scene->timeout);
	logs_free(&scene->logs);
	loop_free(&scene->loop);
	unlink(scene->path);
	rmdir(scene->directory);
	free(scene->path);
	free(scene);
	return case_tear_down(&files);
}

static void on_begin(void *context)
{
	((struct scene *)context)->begun++;
}

static void on_committed(void *context)
{
	struct scene *scene = context;

	scene->committed++;
	loop_stop(scene->loop);
}

static void on_timeout(void *context)
{
	loop_stop(context);
}

static void start(struct scene *scene)
{
	const struct logs_config config = {
	    .config = &scene->config,
	    .begin = on_begin,
	    .committed = on_committed,
	    .context = scene,
	};
	struct logs_config with_spool = config;

	if (!scene->files->spool)
		case_open(scene->files);
	with_spool.spool = scene->files->spool;
	assert_int_equal(logs_create(scene->loop, &with_spool, &scene->logs), 0);
	assert_int_equal(
	    spool_lane(scene->files->spool, "loki:first", &scene->lanes[0]), 0);
	assert_int_equal(
	    spool_lane(scene->files->spool, "loki:second", &scene->lanes[1]), 0);
}

static void put_to(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0644);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void put(const struct scene *scene, const char *text)
{
	put_to(scene->path, text);
}

/* Until a commit, for so long at most. */
static void run(struct scene *scene, uint64_t ms)
{
	if (!scene->timeout)
		assert_int_equal(loop_timer_create(scene->loop, on_timeout, scene->loop,
						   &scene->timeout),
				 0);
	loop_timer_arm(scene->timeout, ms, 0);
	assert_int_equal(loop_run(scene->loop), 0);
	loop_timer_disarm(scene->timeout);
}

/* Entries of the next batch, without their times; times only go up. */
static void expect(struct spool_lane *lane, const char *expected)
{
	static int64_t last_ns;
	const struct spool_batch *batch = spool_take(lane);
	char found[1024] = "", *text, *line, *rest;

	assert_non_null(batch);
	text = loki_text(batch->batch);
	for (line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		long long time_ns;
		int len = 0;

		if (*line == '{' || sscanf(line, "%lld %n", &time_ns, &len) != 1)
			continue;
		if (!strcmp(expected, "") || strstr(expected, line + len))
			sprintf(found + strlen(found), "%s ", line + len);
		assert_true(time_ns > 0);
		last_ns = time_ns;
	}
	assert_true(last_ns > 0);
	free(text);
	assert_string_equal(found, expected);
	spool_acknowledge(lane, batch->id);
}

static void lines_go_to_every_receiver_with_their_positions(void **state)
{
	struct scene *scene = *state;

	put(scene, "one\ntwo\n");
	start(scene);
	run(scene, 10000);
	assert_int_equal(scene->committed, 1);
	assert_int_equal(scene->begun, 1);
	expect(scene->lanes[0], "one two ");
	expect(scene->lanes[1], "one two ");
	put(scene, "three\n");
	run(scene, 10000);
	expect(scene->lanes[0], "three ");
	expect(scene->lanes[1], "three ");
	/* Another life goes on. */
	logs_free(&scene->logs);
	spool_close(&scene->files->spool);
	put(scene, "four\n");
	start(scene);
	run(scene, 10000);
	expect(scene->lanes[0], "four ");
	assert_null(spool_take(scene->lanes[0]));
}

static void an_end_commits_what_was_read(void **state)
{
	struct scene *scene = *state;

	put(scene, "one\n");
	start(scene);
	run(scene, 300); /* read, and not due to be sent */
	assert_int_equal(scene->committed, 0);
	logs_stop(scene->logs);
	assert_int_equal(scene->committed, 1);
	expect(scene->lanes[0], "one ");
	put(scene, "two\n");
	run(scene, 1500);
	assert_int_equal(scene->committed, 1);
	logs_stop(scene->logs);
}

/* Lines of 1000 bytes, that no compression makes much smaller. */
static void put_random(const struct scene *scene, int count)
{
	static uint32_t random = 1;
	char line[1001];

	for (int i = 0; i < count; i++) {
		for (int j = 0; j < 999; j++)
			line[j] = (char)(' ' + random_number(&random) % 90);
		strcpy(line + 999, "\n");
		put(scene, line);
	}
}

static void nothing_is_read_while_too_much_waits(void **state)
{
	struct scene *scene = *state;
	struct said said;
	struct spool_waiting before;

	scene->config.spool.bytes_max = 400000; /* 50,000 for each */
	put_random(scene, 200);
	case_listen(&said);
	start(scene);
	run(scene, 10000);
	assert_int_equal(scene->committed, 1);
	put(scene, "more\n");
	run(scene, 1500);
	assert_int_equal(scene->committed, 1);
	spool_acknowledge(scene->lanes[0], spool_take(scene->lanes[0])->id);
	run(scene, 1500); /* the other one is as slow as it was */
	assert_int_equal(scene->committed, 1);
	spool_waiting(scene->lanes[1], &before);
	assert_int_equal(before.samples, 200);
	spool_acknowledge(scene->lanes[1], spool_take(scene->lanes[1])->id);
	run(scene, 10000);
	assert_int_equal(scene->committed, 2);
	case_said(&said);
	assert_int_equal(count_of(said.text, "receivers of logs are behind"), 1);
	assert_int_equal(count_of(said.text, "no longer behind"), 1);
	expect(scene->lanes[0], "more ");
}

static void acknowledge(struct spool_lane *lane)
{
	spool_acknowledge(lane, spool_take(lane)->id);
}

/* It takes a batch as often as there is another. */
static void of_a_receiver_that_is_slow_is_told_once(void **state)
{
	struct scene *scene = *state;
	struct said said;

	scene->config.loki_write_count = 1;
	scene->config.spool.bytes_max = 200000; /* 50,000 */
	case_listen(&said);
	start(scene);
	for (int i = 0; i < 4; i++) {
		put_random(scene, 35);
		run(scene, 300);
		if (i >= 2) /* too much waits; then less does, but not much less */
			acknowledge(scene->lanes[0]);
		run(scene, 10000);
		assert_int_equal(scene->committed, i + 1);
	}
	acknowledge(scene->lanes[0]);
	acknowledge(scene->lanes[0]);
	run(scene, 300);
	case_said(&said);
	assert_int_equal(count_of(said.text, "receivers of logs are behind"), 1);
	assert_int_equal(count_of(said.text, "no longer behind"), 1);
}

static const char *in(const char *directory, const char *name)
{
	static char paths[8][128];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

/* What is committed before has no lines. */
static void expect_soon(struct scene *scene, const char *expected)
{
	for (int i = 0; i < 100 && !waiting(scene->lanes[0]).samples; i++)
		run(scene, 100);
	expect(scene->lanes[0], expected);
}

/* However busy it is meanwhile. What has no event here is that a link leads elsewhere
 * which is on the way to others. */
static void once_a_minute_everything_is_looked_at(void **state)
{
	struct scene *scene = *state;
	char away[] = "/tmp/test_logs.XXXXXX", far[128], *paths[] = {scene->path, far};

	assert_non_null(mkdtemp(away));
	assert_int_equal(mkdir(in(away, "one"), 0755), 0);
	assert_int_equal(mkdir(in(away, "two"), 0755), 0);
	assert_int_equal(symlink("one", in(away, "link")), 0);
	assert_int_equal(symlink(in(away, "link"), in(away, "one/far")), 0);
	snprintf(far, sizeof(far), "%s", in(away, "one/far/*.log"));
	scene->log.paths = (struct config_strings){paths, 2};
	put(scene, "one\n");
	start(scene);
	expect_soon(scene, "one ");
	assert_int_equal(symlink("two", in(away, "new")), 0);
	assert_int_equal(rename(in(away, "new"), in(away, "link")), 0);
	put_to(in(away, "two/b.log"), "two\n");
	later_s += 60;
	put(scene, "no line yet");
	expect_soon(scene, "two ");
	unlink(in(away, "two/b.log"));
	unlink(in(away, "one/far"));
	unlink(in(away, "link"));
	rmdir(in(away, "two"));
	rmdir(in(away, "one"));
	rmdir(away);
}

static void what_comes_to_a_directory_without_events_is_found(void **state)
{
	struct scene *scene = *state;
	char pattern[96], *paths[] = {pattern};

	has_no_watches = true;
	snprintf(pattern, sizeof(pattern), "%s", in(scene->directory, "*.log"));
	scene->log.paths = (struct config_strings){paths, 1};
	start(scene);
	run(scene, 1000);
	put(scene, "one\n");
	later_s += 4;
	expect_soon(scene, "one ");
	usleep(11000); /* or the file system's clock has not moved on */
	put_to(in(scene->directory, "b.log"), "two\n");
	later_s += 4;
	expect_soon(scene, "two ");
	unlink(in(scene->directory, "b.log"));
}

static void what_it_does_is_described(void **state)
{
	struct scene *scene = *state;
	struct snapshot snapshot;
	char found[1024] = "";

	put(scene, "one\ntwo\npart");
	start(scene);
	run(scene, 10000);
	snapshot_init(&snapshot, 0);
	logs_describe(scene->logs, &snapshot);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	for (size_t i = 0; i < snapshot.count; i++) {
		/* Behind what loki_write says, before what scraping does. */
		assert_in_range(snapshot.metrics[i].family->order, 1060, 1079);
		sprintf(found + strlen(found), "%s %g\n",
			snapshot.metrics[i].family->name, snapshot.metrics[i].value);
	}
	snapshot_free(&snapshot);
	assert_string_equal(found, "bpftally_log_lines 2\n"
				   "bpftally_log_bytes 6\n"
				   "bpftally_log_truncated_lines 0\n"
				   "bpftally_log_dropped_lines 0\n"
				   "bpftally_log_regex_failures 0\n"
				   "bpftally_log_files 1\n"
				   "bpftally_log_open_files 1\n"
				   "bpftally_log_lag_bytes 4\n"
				   "bpftally_log_blocked 0\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(lines_go_to_every_receiver_with_their_positions),
	    TEST(an_end_commits_what_was_read),
	    TEST(nothing_is_read_while_too_much_waits),
	    TEST(of_a_receiver_that_is_slow_is_told_once),
	    TEST(once_a_minute_everything_is_looked_at),
	    TEST(what_comes_to_a_directory_without_events_is_found),
	    TEST(what_it_does_is_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
