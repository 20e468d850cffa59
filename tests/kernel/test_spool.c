/* SPDX-License-Identifier: Apache-2.0 */
/* The spool on disks that are full and read-only for real, and without the
 * capabilities that the daemon gives up. Each test is a process of its own, in a mount
 * namespace of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "privileges.h"
#include "spool.h"

#define MOUNT "/tmp/test_spool.mnt"
#define DIRECTORY MOUNT "/spool"
#define NOW_MS INT64_C(1700000000000)
#define LEN 40000

static struct spool *spool;
static struct spool_lane *lane;

/* In the child: what fails is said there, and ends it. */
#define CHECK(condition)                                                               \
	do {                                                                           \
		if (!(condition)) {                                                    \
			print_error("%s:%d: %s\n", __FILE__, __LINE__, #condition);    \
			_exit(1);                                                      \
		}                                                                      \
	} while (0)

static void in_namespace(void (*test)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		mkdir(MOUNT, 0700);
		CHECK(!unshare(CLONE_NEWNS));
		CHECK(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
		CHECK(!mount("spool", MOUNT, "tmpfs", 0, "size=1m,mode=0700"));
		test();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rmdir(MOUNT);
	assert_int_equal(status, 0);
}

static void open_spool(void)
{
	static char error[SPOOL_ERROR_LEN];
	const struct spool_config config = {
	    .directory = DIRECTORY,
	    .bytes_max = 64 << 20,
	    .memory_bytes_max = 64 << 20,
	    .age_max_ms = 3600 * 1000,
	};

	if (spool_open(&config, NOW_MS, &spool, error))
		print_error("%s\n", error);
	CHECK(spool && !spool_lane(spool, "a", &lane));
}

static void put(unsigned int number)
{
	struct wire_batch *batch = calloc(1, sizeof(*batch) + LEN);

	CHECK(batch);
	batch->references = 1;
	batch->samples = 1;
	batch->time_ms = NOW_MS + number;
	batch->len = LEN;
	memset(batch->bytes, (int)(number & 0xff), LEN);
	spool_begin(spool, NOW_MS);
	spool_put(lane, batch);
	spool_commit(spool, false);
}

static void expect(unsigned int number)
{
	const struct spool_batch *batch = spool_take(lane);

	CHECK(batch && batch->batch->time_ms == NOW_MS + number);
	CHECK(batch->batch->len == LEN && batch->batch->bytes[LEN - 1] == number);
	spool_acknowledge(lane, batch->id);
}

static uint64_t samples(void)
{
	struct spool_waiting waiting;

	spool_waiting(lane, &waiting);
	for (size_t i = 0; i < SPOOL_REASONS; i++)
		CHECK(!waiting.dropped[i]);
	return waiting.samples;
}

/* 1 MB holds some of a hundred batches; what does not fit is in memory. */
static void fill_disk(void)
{
	open_spool();
	for (unsigned int i = 0; i < 100; i++)
		put(i);
	CHECK(samples() == 100);
	for (unsigned int i = 0; i < 60; i++)
		expect(i);
	/* Acknowledgements are written with the next collection, where there is room:
	 * SQLite itself needs some to free any. */
	CHECK(!mount(NULL, MOUNT, NULL, MS_REMOUNT, "size=16m"));
	put(100);
	spool_close(&spool);
	open_spool();
	CHECK(samples() == 41);
	for (unsigned int i = 60; i <= 100; i++)
		expect(i);
	CHECK(!spool_take(lane));
	spool_close(&spool);
}

static void a_full_disk_loses_nothing(void **state)
{
	(void)state;
	in_namespace(fill_disk);
}

static void fill_by_others(void)
{
	int fd;
	char page[4096] = "other people's";

	open_spool();
	put(0);
	put(1);
	fd = open(MOUNT "/other", O_CREAT | O_WRONLY, 0600);
	while (write(fd, page, sizeof(page)) > 0)
		;
	close(fd);
	spool_close(&spool);
	open_spool(); /* on a disk that is full */
	CHECK(samples() == 2 || samples() == 0);
	put(2);
	unlink(MOUNT "/other");
	put(3);
	CHECK(samples() == 4);
	for (unsigned int i = 0; i < 4; i++)
		expect(i);
	spool_close(&spool);
}

static void it_starts_on_a_full_disk(void **state)
{
	(void)state;
	in_namespace(fill_by_others);
}

static void remount(unsigned long flags)
{
	CHECK(!mount(NULL, MOUNT, NULL, MS_REMOUNT | flags, "size=1m"));
}

/* A file system that became read-only under open files refuses the writes only. A
 * tmpfs cannot while there are such; so it is read-only when the spool is opened. */
static void start_read_only(void)
{
	open_spool();
	put(0);
	put(1);
	spool_close(&spool);
	remount(MS_RDONLY);
	open_spool();
	put(2);
	CHECK(!access(DIRECTORY "/spool.db", F_OK));
	remount(0);
	put(3);
	CHECK(samples() == 4);
	for (unsigned int i = 0; i < 4; i++)
		expect(i);
	spool_close(&spool);
}

static void it_starts_on_a_read_only_disk(void **state)
{
	(void)state;
	in_namespace(start_read_only);
}

static void damage_file(void)
{
	static const char garbage[4096] = "garbage";
	int fd = open(DIRECTORY "/spool.db", O_WRONLY);

	CHECK(fd >= 0);
	for (off_t offset = 0; offset < 400000; offset += 4096)
		CHECK(pwrite(fd, garbage, 4096, offset) == 4096);
	close(fd);
}

static void set_aside_without_privileges(void)
{
	unsigned int aside = 0;

	CHECK(!mount(NULL, MOUNT, NULL, MS_REMOUNT, "size=16m"));
	open_spool();
	for (unsigned int i = 0; i < 10; i++)
		put(i);
	spool_close(&spool);
	open_spool();
	CHECK(!privileges_drop());
	damage_file();
	CHECK(!spool_take(lane));
	put(10);
	expect(10);
	for (int64_t time_ms = NOW_MS; time_ms < NOW_MS + 3; time_ms++) {
		char path[128];

		snprintf(path, sizeof(path), DIRECTORY "/spool.db.corrupt-%lld",
			 (long long)time_ms);
		aside += !access(path, F_OK);
	}
	CHECK(aside == 1);
	put(11);
	spool_close(&spool);
	open_spool();
	expect(11);
	spool_close(&spool);
}

static void damage_is_set_aside_without_privileges(void **state)
{
	(void)state;
	in_namespace(set_aside_without_privileges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_full_disk_loses_nothing),
	    cmocka_unit_test(it_starts_on_a_full_disk),
	    cmocka_unit_test(it_starts_on_a_read_only_disk),
	    cmocka_unit_test(damage_is_set_aside_without_privileges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
