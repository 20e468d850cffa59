/* SPDX-License-Identifier: Apache-2.0 */
/* Files in a directory of their own, followed by a set whose clock is the test's, and
 * what was read of them. A life ends with a restart: all that remains is the spool. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config_internal.h"
#include "log_files.h"

#define LOG_CASE_RULES 3

struct log_case {
	char directory[64];
	struct config_log configs[LOG_CASE_RULES];
	struct config_labels external;
	struct log_rule rules[LOG_CASE_RULES];
	size_t rule_count;
	struct spool *spool;
	struct spool_lane *lane;
	struct log_watch *watch;
	struct log_files *files;
	int64_t now_ms;
	int64_t since_ns; /* as it was noted; by the clock of file systems */
	unsigned int open_max;
	bool was_started;
	char *read; /* "name:line\n" of each entry, names without the directory */
	size_t read_len, read_room;
	unsigned int cut;
};

static inline const char *log_case_path(const struct log_case *test, const char *name)
{
	static char paths[8][256];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", test->directory, name);
	return path;
}

static int log_case_set_up(void **state)
{
	struct log_case *test = calloc(1, sizeof(*test));

	if (!test)
		return -1;
	strcpy(test->directory, "/tmp/test_logs.XXXXXX");
	if (!mkdtemp(test->directory))
		return -1;
	test->now_ms = 1000000;
	test->open_max = 8;
	for (size_t i = 0; i < LOG_CASE_RULES; i++)
		test->configs[i] = (struct config_log){
		    .job = (char *)"test",
		    .max_wait_ms = 3000,
		    .max_lines = 128,
		    .max_line_bytes = 1024,
		};
	*state = test;
	return 0;
}

static inline void log_case_free_strings(struct config_strings *strings)
{
	for (size_t i = 0; i < strings->count; i++)
		free(strings->items[i]);
	free(strings->items);
}

static inline int log_case_remove(const char *path, const struct stat *stat_of,
				  int flag, struct FTW *walk)
{
	(void)stat_of;
	(void)flag;
	(void)walk;
	return remove(path);
}

static inline void log_case_end_life(struct log_case *test)
{
	log_files_free(&test->files);
	log_watch_free(&test->watch);
}

static int log_case_tear_down(void **state)
{
	struct log_case *test = *state;

	log_case_end_life(test);
	for (size_t i = 0; i < test->rule_count; i++)
		log_rule_clear(&test->rules[i]);
	for (size_t i = 0; i < LOG_CASE_RULES; i++) {
		log_case_free_strings(&test->configs[i].paths);
		log_case_free_strings(&test->configs[i].excludes);
	}
	spool_close(&test->spool);
	nftw(test->directory, log_case_remove, 16, FTW_DEPTH | FTW_PHYS);
	free(test->read);
	free(test);
	return 0;
}

static inline void log_case_add(struct config_strings *strings,
				const struct log_case *test, const char *name)
{
	char *path = strdup(log_case_path(test, name));

	assert_true(config_add_string(strings, &path));
}

/* Names below the directory. */
static inline void log_case_glob(struct log_case *test, const char *pattern)
{
	log_case_add(&test->configs[test->rule_count ? test->rule_count - 1 : 0].paths,
		     test, pattern);
	if (!test->rule_count)
		test->rule_count = 1;
}

static inline void log_case_recall(void *context, uint32_t id, const void *bytes,
				   size_t len)
{
	struct log_case *test = context;
	struct log_position position;

	assert_int_equal(log_position_decode(bytes, len, &position), 0);
	if (!log_files_recall(test->files, id, &position, test->now_ms))
		spool_note_remove(test->spool, id);
}

static inline void log_case_make_rules(struct log_case *test)
{
	const struct spool_config config = {
	    .bytes_max = 64 << 20, .memory_bytes_max = 64 << 20, .age_max_ms = 3600000};
	char error[SPOOL_ERROR_LEN];

	assert_int_equal(spool_open(&config, 1, &test->spool, error), 0);
	for (size_t i = 0; i < test->rule_count; i++) {
		assert_int_equal(log_rule_init(&test->rules[i], &test->configs[i],
					       &test->external, 1),
				 0);
		test->rules[i].is_new = true;
	}
}

static inline void log_case_scan(struct log_case *test, bool is_first)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	log_files_set_time(test->files, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
	log_files_scan(test->files, test->now_ms, is_first);
}

/* A life begins; another one may have been before it. */
static inline void log_case_start(struct log_case *test)
{
	struct log_files_config config = {
	    .rules = test->rules,
	    .rule_count = test->rule_count,
	    .open_max = test->open_max,
	};

	log_case_end_life(test);
	if (!test->was_started)
		log_case_make_rules(test);
	assert_int_equal(log_watch_create(&test->watch), 0);
	config.watch = test->watch;
	config.spool = test->spool;
	assert_int_equal(log_files_create(&config, &test->files), 0);
	spool_each_note(test->spool, log_case_recall, test);
	log_files_set_time(test->files, test->since_ns);
	log_case_scan(test, true);
	for (size_t i = 0; i < test->rule_count; i++)
		test->rules[i].is_new = false;
	test->was_started = true;
}

static inline void log_case_entry(void *context, struct log_file *file,
				  const struct log_entry *entry)
{
	struct log_case *test = context;
	const char *name = file->name;
	size_t needed;

	if (!strncmp(name, test->directory, strlen(test->directory)))
		name += strlen(test->directory) + 1;
	needed = test->read_len + strlen(name) + entry->text.len + 3;
	if (needed > test->read_room) {
		test->read_room = needed * 2;
		test->read = realloc(test->read, test->read_room);
		assert_non_null(test->read);
	}
	test->read_len += (size_t)sprintf(test->read + test->read_len, "%s:%.*s\n",
					  name, (int)entry->text.len, entry->text.text);
	test->cut += entry->is_cut;
}

static inline struct log_sink log_case_sink(struct log_case *test)
{
	return (struct log_sink){log_case_entry, test, test->now_ms};
}

static inline void log_case_event(void *context, enum log_event event,
				  const char *directory, const char *name)
{
	struct log_case *test = context;

	if (event == LOG_EVENT_WRITTEN)
		log_files_written(test->files, directory, name);
	else
		log_files_want_scan(test->files);
}

/* What the loop would do: events, scans and turns. */
static inline void log_case_turn(struct log_case *test)
{
	const struct log_sink sink = log_case_sink(test);
	bool is_more = true;

	for (int i = 0; i < 100 && is_more; i++) {
		is_more = log_watch_read(test->watch, log_case_event, test);
		if (log_files_wants_scan(test->files)) {
			log_case_scan(test, false);
			is_more = true;
		}
		is_more |= log_files_turn(test->files, &sink);
	}
}

static inline void log_case_commit(struct log_case *test)
{
	spool_begin(test->spool, 1);
	log_files_note(test->files);
	test->since_ns = log_files_since(test->files);
	spool_commit(test->spool, false);
}

static inline void log_case_run(struct log_case *test)
{
	log_case_turn(test);
	log_case_commit(test);
}

/* Time goes by, in steps as the loop's. */
static inline void log_case_wait(struct log_case *test, int64_t ms)
{
	for (int64_t end_ms = test->now_ms + ms; test->now_ms < end_ms;) {
		struct log_sink sink;

		test->now_ms += 250;
		sink = log_case_sink(test);
		log_files_tick(test->files, &sink);
		log_case_run(test);
	}
}

static inline void log_case_expect(struct log_case *test, const char *expected)
{
	log_case_run(test);
	assert_string_equal(test->read ? test->read : "", expected);
	test->read_len = 0;
	if (test->read)
		*test->read = 0;
}

/* --- what happens to files ---------------------------------------------------- */

static inline void log_case_put(const struct log_case *test, const char *name,
				int flags, const char *text, size_t len)
{
	int fd = open(log_case_path(test, name), O_WRONLY | O_CREAT | flags, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static inline void log_case_write(const struct log_case *test, const char *name,
				  const char *text)
{
	log_case_put(test, name, O_TRUNC, text, strlen(text));
}

static inline void log_case_append(const struct log_case *test, const char *name,
				   const char *text)
{
	log_case_put(test, name, O_APPEND, text, strlen(text));
}

static inline void log_case_rename(const struct log_case *test, const char *from,
				   const char *to)
{
	assert_int_equal(rename(log_case_path(test, from), log_case_path(test, to)), 0);
}

static inline void log_case_unlink(const struct log_case *test, const char *name)
{
	assert_int_equal(unlink(log_case_path(test, name)), 0);
}

static inline void log_case_copy(const struct log_case *test, const char *from,
				 const char *to)
{
	int fd = open(log_case_path(test, from), O_RDONLY);
	char buf[65536];
	ssize_t len = read(fd, buf, sizeof(buf));

	assert_true(len >= 0);
	close(fd);
	log_case_put(test, to, O_TRUNC, buf, (size_t)len);
}

static inline void log_case_empty(const struct log_case *test, const char *name)
{
	assert_int_equal(truncate(log_case_path(test, name), 0), 0);
}
