/* SPDX-License-Identifier: Apache-2.0 */
/* A spool in a directory of its own, and batches whose bytes follow from a number. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "spool.h"

#define NOW_MS INT64_C(1700000000000)
#define MIB (UINT64_C(1) << 20)

/* What is said on stderr from case_listen to case_said. */
struct said {
	int saved;
	int fd;
	char text[8192]; /* the end of it */
};

static struct said *heard; /* NULL: not listening */

static inline void case_listen(struct said *said)
{
	fflush(stderr);
	said->fd = memfd_create("stderr", MFD_CLOEXEC);
	said->saved = dup(STDERR_FILENO);
	dup2(said->fd, STDERR_FILENO);
	heard = said;
}

static inline const char *case_said(struct said *said)
{
	off_t size = lseek(said->fd, 0, SEEK_END);
	off_t from =
	    size < (off_t)sizeof(said->text) ? 0 : size - (off_t)sizeof(said->text) + 1;
	ssize_t len = pread(said->fd, said->text, sizeof(said->text) - 1, from);

	said->text[len > 0 ? len : 0] = 0;
	dup2(said->saved, STDERR_FILENO);
	close(said->saved);
	close(said->fd);
	heard = NULL;
	return said->text;
}

struct spool_case {
	char directory[64];
	char file[80];
	char error[SPOOL_ERROR_LEN];
	struct spool_config config;
	struct spool *spool;
	struct spool_lane *lane; /* "a" */
};

static int case_set_up(void **state)
{
	struct spool_case *test = calloc(1, sizeof(*test));

	if (!test)
		return -1;
	/* In memory where that is possible: what is synced there costs nothing. */
	strcpy(test->directory, "/dev/shm/test_spool.XXXXXX");
	if (!mkdtemp(test->directory)) {
		strcpy(test->directory, "/tmp/test_spool.XXXXXX");
		if (!mkdtemp(test->directory))
			return -1;
	}
	snprintf(test->file, sizeof(test->file), "%s/spool.db", test->directory);
	test->config = (struct spool_config){
	    .directory = test->directory,
	    .bytes_max = 64 * MIB,
	    .memory_bytes_max = 4 * MIB,
	    .age_max_ms = 3600 * 1000,
	};
	*state = test;
	return 0;
}

/* Calls back with each file of the directory. */
static inline void case_each_file(const struct spool_case *test,
				  void (*call)(const char *path, void *context),
				  void *context)
{
	DIR *listing = opendir(test->directory);
	char path[512];

	assert_non_null(listing);
	for (struct dirent *entry; (entry = readdir(listing));) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", test->directory, entry->d_name);
		call(path, context);
	}
	closedir(listing);
}

/* To the directory `context`, under the same name. */
static inline void case_copy(const char *path, void *context)
{
	char to[512], buf[65536];
	int from_fd = open(path, O_RDONLY), to_fd;
	ssize_t len;

	snprintf(to, sizeof(to), "%s%s", (const char *)context, strrchr(path, '/'));
	to_fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(from_fd >= 0 && to_fd >= 0);
	while ((len = read(from_fd, buf, sizeof(buf))) > 0)
		assert_int_equal(write(to_fd, buf, (size_t)len), len);
	close(from_fd);
	close(to_fd);
}

static inline unsigned int count_of(const char *text, const char *part)
{
	unsigned int count = 0;

	while ((text = strstr(text, part))) {
		text += strlen(part);
		count++;
	}
	return count;
}

static inline uint32_t random_number(uint32_t *random)
{
	*random = *random * 1664525 + 1013904223;
	return *random >> 8;
}

/* Said, and another one each time; SEED=... gives one again. */
static inline uint32_t random_seed(void)
{
	const char *given = getenv("SEED");
	uint32_t seed = given ? (uint32_t)strtoul(given, NULL, 10)
			      : (uint32_t)time(NULL) ^ (uint32_t)getpid();

	print_message("seed %u\n", seed);
	return seed;
}

static void case_unlink(const char *path, void *context)
{
	(void)context;
	if (unlink(path))
		rmdir(path);
}

static int case_tear_down(void **state)
{
	struct spool_case *test = *state;

	if (heard) /* the test failed: cmocka's words are there, too */
		fputs(case_said(heard), stderr);
	spool_close(&test->spool);
	case_each_file(test, case_unlink, NULL);
	rmdir(test->directory);
	free(test);
	return 0;
}

static inline void case_open_at(struct spool_case *test, int64_t now_ms)
{
	int err = spool_open(&test->config, now_ms, &test->spool, test->error);

	if (err)
		print_error("cannot open: %s\n", test->error);
	assert_int_equal(err, 0);
	assert_int_equal(spool_lane(test->spool, "a", &test->lane), 0);
}

static inline void case_open(struct spool_case *test)
{
	case_open_at(test, NOW_MS);
}

static inline void case_reopen(struct spool_case *test)
{
	spool_close(&test->spool);
	case_open(test);
}

static inline struct wire_batch *batch_of(uint32_t number, uint32_t samples, size_t len)
{
	struct wire_batch *batch = calloc(1, sizeof(*batch) + len);
	uint32_t random = number * 2654435761u + 1;

	assert_non_null(batch);
	batch->references = 1;
	batch->samples = samples;
	batch->time_ms = NOW_MS + number;
	batch->len = len;
	for (size_t i = 0; i < len; i++) {
		random = random * 1664525 + 1013904223;
		batch->bytes[i] = (unsigned char)(random >> 24);
	}
	return batch;
}

static inline bool is_batch(const struct wire_batch *batch, uint32_t number,
			    uint32_t samples, size_t len)
{
	struct wire_batch *expected = batch_of(number, samples, len);
	bool is = batch->references == 1 && batch->samples == samples &&
		  !batch->histograms && batch->message == WIRE_V1 &&
		  !batch->is_metadata && batch->time_ms == expected->time_ms &&
		  batch->len == len && !memcmp(batch->bytes, expected->bytes, len);

	free(expected);
	return is;
}

/* A collection of one batch of 100 samples and 1000 bytes in one lane. */
static inline void put_one_at(struct spool_lane *lane, struct spool *spool,
			      uint32_t number, int64_t now_ms)
{
	spool_begin(spool, now_ms);
	spool_put(lane, batch_of(number, 100, 1000));
	spool_set_time(spool, NOW_MS + number);
	spool_commit(spool, false);
}

static inline void put_one(struct spool_case *test, uint32_t number)
{
	put_one_at(test->lane, test->spool, number, NOW_MS);
}

static inline const struct spool_batch *expect_next_of(struct spool_lane *lane,
						       uint32_t number)
{
	const struct spool_batch *batch = spool_take(lane);

	assert_non_null(batch);
	assert_int_equal(batch->batch->time_ms, NOW_MS + number);
	assert_true(is_batch(batch->batch, number, 100, 1000));
	return batch;
}

static inline void expect_and_acknowledge(struct spool_case *test, uint32_t number)
{
	spool_acknowledge(test->lane, expect_next_of(test->lane, number)->id);
}

/* A collection of `count` batches of 100 samples and 100,000 bytes. */
static inline void put_large(struct spool_case *test, struct spool_lane *lane,
			     uint32_t number, size_t count)
{
	spool_begin(test->spool, NOW_MS);
	for (size_t i = 0; i < count; i++)
		spool_put(lane, batch_of(number, 100, 100000));
	spool_commit(test->spool, false);
}

static inline off_t case_file_size(const struct spool_case *test)
{
	struct stat stat_of;

	assert_int_equal(stat(test->file, &stat_of), 0);
	return stat_of.st_size;
}

static inline struct spool_waiting waiting(const struct spool_lane *lane)
{
	struct spool_waiting waiting;

	spool_waiting(lane, &waiting);
	return waiting;
}
