/* SPDX-License-Identifier: Apache-2.0 */
/* A directory plays /proc; then the real one, on this program and its children. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "fake_stat.h"
#include "process_stat.h"

#define PID 4242

struct scene {
	char root[FAKE_ROOT_LEN];
	struct process_reader *reader;
};

static const struct fake_stat usual = {
    .user_ticks = 120,
    .system_ticks = 34,
    .threads = 5,
    .start_ticks = 6789,
    .virtual_bytes = 1 << 20,
    .resident_pages = 7,
    .soft_limit = "1024",
    .open_fds = 3,
};

static int open_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	fake_proc_create(scene->root);
	fake_stat_boot(scene->root, 1700000000);
	assert_int_equal(process_reader_create(scene->root, &scene->reader), 0);
	*state = scene;
	return 0;
}

static int close_scene(void **state)
{
	struct scene *scene = *state;

	process_reader_free(&scene->reader);
	assert_null(scene->reader);
	process_reader_free(&scene->reader);
	fake_proc_remove(scene->root);
	free(scene);
	return 0;
}

static struct process_stat read_fake(struct scene *scene, const struct fake_stat *fake)
{
	struct process_stat stat;

	fake_stat_add(scene->root, PID, fake);
	assert_int_equal(process_read(scene->reader, PID, 0, &stat), 0);
	return stat;
}

/* --- numbers --------------------------------------------------------------------- */

static void every_number_is_of_its_field(void **state)
{
	struct scene *scene = *state;
	struct process_stat stat = read_fake(scene, &usual);

	assert_int_equal(stat.cpu_ticks, 154);
	assert_int_equal(stat.threads, 5);
	assert_int_equal(stat.start_ticks, 6789);
	assert_int_equal(stat.virtual_bytes, 1 << 20);
	assert_int_equal(stat.resident_bytes, 7 * sysconf(_SC_PAGESIZE));
	assert_int_equal(stat.open_fds, 3);
	assert_true(stat.has_memory && stat.has_open_fds);
}

static void ticks_are_seconds_by_the_clock_of_the_machine(void **state)
{
	struct scene *scene = *state;
	double ticks_per_s = (double)sysconf(_SC_CLK_TCK);

	assert_true(process_ticks_s(scene->reader, 250) == 250 / ticks_per_s);
	assert_true(process_start_s(scene->reader, 250) ==
		    250 / ticks_per_s + 1700000000);
}

static void without_a_time_of_boot_there_is_no_start(void **state)
{
	struct process_reader *reader = NULL;
	struct scene *scene = *state;
	char path[FAKE_ROOT_LEN + 32];

	snprintf(path, sizeof(path), "%s/stat", scene->root);
	unlink(path);
	assert_int_equal(process_reader_create(scene->root, &reader), 0);
	assert_true(process_start_s(reader, 250) == 0);
	process_reader_free(&reader);
}

static void a_name_may_look_like_the_rest_of_the_line(void **state)
{
	static const char *const names[] = {") Z 1 1", "a b", "(((", ")", "))) R 9 9"};
	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct fake_stat fake = usual;

		fake.name = names[i];
		assert_int_equal(read_fake(scene, &fake).start_ticks, 6789);
	}
}

static uint64_t limit_of(struct scene *scene, const char *soft_limit)
{
	struct fake_stat fake = usual;
	uint64_t max_fds;

	fake.soft_limit = soft_limit;
	fake_stat_add(scene->root, PID, &fake);
	assert_true(process_read_limit(scene->reader, PID, &max_fds));
	return max_fds;
}

static void a_limit_is_the_soft_one(void **state)
{
	assert_true(limit_of(*state, "1024") == 1024);
	assert_true(limit_of(*state, "1048576") == 1048576);
	assert_true(limit_of(*state, "0") == 0);
	assert_true(limit_of(*state, "unlimited") == UINT64_MAX);
}

/* Known or not, the same numbers; and of another one that has its pid, its own. */
static void who_is_known_is_read_alike(void **state)
{
	static const uint64_t starts[] = {0, 6789, 5};
	struct scene *scene = *state;

	fake_stat_add(scene->root, PID, &usual);
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct process_stat stat;

		assert_int_equal(process_read(scene->reader, PID, starts[i], &stat), 0);
		assert_int_equal(stat.start_ticks, 6789);
		assert_int_equal(stat.cpu_ticks, 154);
		assert_int_equal(stat.open_fds, 3);
	}
	fake_proc_end(scene->root, PID);
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct process_stat stat;

		assert_int_equal(process_read(scene->reader, PID, starts[i], &stat),
				 -ESRCH);
	}
}

/* --- what cannot be had ------------------------------------------------------------
 */

static void a_limit_that_is_no_number_is_none(void **state)
{
	static const char *const limits[] = {"x", "12x", "unlimitedly", NULL};
	struct scene *scene = *state;
	uint64_t max_fds = 77;

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct fake_stat fake = usual;

		fake.soft_limit = limits[i];
		fake_stat_add(scene->root, PID, &fake);
		assert_false(process_read_limit(scene->reader, PID, &max_fds));
	}
	assert_int_equal(max_fds, 77);
}

static void descriptors_that_may_not_be_listed_are_left_out(void **state)
{
	struct process_stat stat = read_fake(*state, &usual);
	struct scene *scene = *state;
	char path[FAKE_ROOT_LEN + 32];

	snprintf(path, sizeof(path), "%s/%u/fd", scene->root, PID);
	fake_proc_remove(path);
	assert_int_equal(process_read(scene->reader, PID, 0, &stat), 0);
	assert_false(stat.has_open_fds);
	assert_true(stat.has_memory);
}

/* A stat that ends early says nothing, wherever it ends. */
static void a_stat_that_was_cut_is_no_stat(void **state)
{
	struct scene *scene = *state;
	struct process_stat stat;
	char path[FAKE_ROOT_LEN + 32], text[512];
	const char *last;
	size_t len;
	FILE *file;

	read_fake(scene, &usual);
	snprintf(path, sizeof(path), "%s/%u/stat", scene->root, PID);
	file = fopen(path, "re");
	assert_non_null(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = 0;
	last = strstr(text, " 7 18446744073709551615");
	assert_non_null(last);
	for (size_t cut = 0; cut < len; cut++) {
		fake_proc_write(scene->root, PID, "stat", text, cut);
		assert_int_equal(process_read(scene->reader, PID, 0, &stat),
				 cut <= (size_t)(last + 2 - text) ? -EPROTO : 0);
	}
}

static void who_is_not_there_is_not_found(void **state)
{
	struct process_stat stat = {.threads = 77};
	struct scene *scene = *state;

	assert_int_equal(process_read(scene->reader, PID, 0, &stat), -ESRCH);
	assert_int_equal(stat.threads, 77);
}

static void a_zombie_is_no_process(void **state)
{
	struct fake_stat fake = {.state = 'Z', .threads = 1, .start_ticks = 1};
	struct scene *scene = *state;
	struct process_stat stat;

	for (const char *letter = "ZXx"; *letter; letter++) {
		fake.state = *letter;
		fake_stat_add(scene->root, PID, &fake);
		assert_int_equal(process_read(scene->reader, PID, 0, &stat), -ESRCH);
	}
}

/* Its memory and descriptors are in no file of that thread. */
static void without_its_first_thread_times_are_left(void **state)
{
	struct fake_stat fake = {.state = 'Z', .threads = 3, .user_ticks = 9};
	struct process_stat stat = read_fake(*state, &fake);

	assert_int_equal(stat.cpu_ticks, 9);
	assert_int_equal(stat.threads, 3);
	assert_false(stat.has_memory || stat.has_open_fds);
}

/* Through links from a root that is no procfs: kernels before 6.2 list them, too. */
static void our_own_descriptors_are_counted_without_the_reader_s(void **state)
{
	struct scene *scene = *state;
	char link[FAKE_ROOT_LEN + 32], target[32];
	uint64_t open_fds = 0;
	struct process_stat stat;

	snprintf(link, sizeof(link), "%s/%d", scene->root, (int)getpid());
	snprintf(target, sizeof(target), "/proc/%d", (int)getpid());
	assert_int_equal(symlink(target, link), 0);
	for (int fd = 0; fd < 65536; fd++)
		open_fds += fcntl(fd, F_GETFD) >= 0;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(process_read(scene->reader, (uint32_t)getpid(),
					      i ? stat.start_ticks : 0, &stat),
				 0);
		assert_true(stat.has_open_fds);
		assert_int_equal(stat.open_fds, open_fds);
	}
}

/* --- the real one -------------------------------------------------------------------
 */

static int open_real(void **state)
{
	struct process_reader *reader = NULL;

	assert_int_equal(process_reader_create("/proc", &reader), 0);
	*state = reader;
	return 0;
}

static int close_real(void **state)
{
	struct process_reader *reader = *state;

	process_reader_free(&reader);
	return 0;
}

static struct process_stat read_self(const struct process_reader *reader)
{
	struct process_stat stat;

	assert_int_equal(process_read(reader, (uint32_t)getpid(), 0, &stat), 0);
	return stat;
}

static void an_open_descriptor_is_counted(void **state)
{
	uint64_t before = read_self(*state).open_fds, open_fds = 0;
	struct process_stat stat;
	int fd;

	for (fd = 0; fd < 65536; fd++)
		open_fds += fcntl(fd, F_GETFD) >= 0;
	assert_int_equal(before, open_fds);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(read_self(*state).open_fds, before + 1);
	assert_int_equal(process_read(*state, (uint32_t)getpid(),
				      read_self(*state).start_ticks, &stat),
			 0);
	assert_int_equal(stat.open_fds, before + 1);
	close(fd);
	assert_int_equal(read_self(*state).open_fds, before);
}

static void the_limit_of_descriptors_is_the_soft_one(void **state)
{
	struct rlimit limit;
	uint64_t by_file;

	getrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(read_self(*state).max_fds, limit.rlim_cur);
	assert_true(process_read_limit(*state, (uint32_t)getpid(), &by_file));
	assert_int_equal(by_file, limit.rlim_cur);
}

/* This program started since the machine did, and less than a minute ago. */
static void the_start_is_in_unix_time(void **state)
{
	double now_s = (double)time(NULL);
	double start_s = process_start_s(*state, read_self(*state).start_ticks);

	assert_true(start_s <= now_s + 1);
	assert_true(start_s > now_s - 60);
}

static void memory_is_what_the_kernel_says(void **state)
{
	unsigned long virtual_pages, resident_pages;
	FILE *file = fopen("/proc/self/statm", "re");
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct process_stat stat;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu %lu", &virtual_pages, &resident_pages), 2);
	fclose(file);
	stat = read_self(*state);
	/* the kernel counts pages of a few threads' lag apart */
	assert_in_range(stat.resident_bytes, resident_pages * page - (8 << 20),
			resident_pages * page + (8 << 20));
	assert_in_range(stat.virtual_bytes, virtual_pages * page - (64 << 20),
			virtual_pages * page + (64 << 20));
}

static void cpu_time_grows_as_it_is_used(void **state)
{
	uint64_t before = read_self(*state).cpu_ticks;
	clock_t until = clock() + CLOCKS_PER_SEC / 10;

	while (clock() < until)
		;
	assert_true(process_ticks_s(*state, read_self(*state).cpu_ticks - before) >=
		    0.08);
}

static void *wait_at(void *barrier)
{
	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	return NULL;
}

static void threads_are_those_of_the_process(void **state)
{
	pthread_barrier_t barrier;
	pthread_t threads[3];

	pthread_barrier_init(&barrier, NULL, 4);
	assert_int_equal(read_self(*state).threads, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, wait_at, &barrier),
				 0);
	pthread_barrier_wait(&barrier);
	assert_int_equal(read_self(*state).threads, 4);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
}

static void a_child_that_nobody_waited_for_is_no_process(void **state)
{
	struct process_stat stat;
	pid_t child = fork();
	siginfo_t info;

	assert_true(child >= 0);
	if (!child)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(process_read(*state, (uint32_t)child, 0, &stat), -ESRCH);
	waitpid(child, NULL, 0);
	assert_int_equal(process_read(*state, (uint32_t)child, 0, &stat), -ESRCH);
}

/* Children end while they are read: what is shown of one is whole. */
static void a_child_that_ends_meanwhile_is_whole_or_gone(void **state)
{
	struct process_stat stat;

	for (int i = 0; i < 200; i++) {
		pid_t child = fork();

		assert_true(child >= 0);
		if (!child)
			_exit(0);
		while (!process_read(*state, (uint32_t)child, 0, &stat)) {
			assert_true(stat.threads == 1);
			assert_true(!stat.has_open_fds || stat.open_fds > 0);
			assert_true(!stat.has_memory || stat.virtual_bytes > 0);
		}
		waitpid(child, NULL, 0);
	}
}

int main(void)
{
#define FAKE(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
#define REAL(name) cmocka_unit_test_setup_teardown(name, open_real, close_real)
	const struct CMUnitTest tests[] = {
	    FAKE(every_number_is_of_its_field),
	    FAKE(ticks_are_seconds_by_the_clock_of_the_machine),
	    FAKE(without_a_time_of_boot_there_is_no_start),
	    FAKE(a_name_may_look_like_the_rest_of_the_line),
	    FAKE(a_limit_is_the_soft_one),
	    FAKE(who_is_known_is_read_alike),
	    FAKE(a_limit_that_is_no_number_is_none),
	    FAKE(descriptors_that_may_not_be_listed_are_left_out),
	    FAKE(a_stat_that_was_cut_is_no_stat),
	    FAKE(who_is_not_there_is_not_found),
	    FAKE(a_zombie_is_no_process),
	    FAKE(without_its_first_thread_times_are_left),
	    FAKE(our_own_descriptors_are_counted_without_the_reader_s),
	    REAL(an_open_descriptor_is_counted),
	    REAL(the_limit_of_descriptors_is_the_soft_one),
	    REAL(the_start_is_in_unix_time),
	    REAL(memory_is_what_the_kernel_says),
	    REAL(cpu_time_grows_as_it_is_used),
	    REAL(threads_are_those_of_the_process),
	    REAL(a_child_that_nobody_waited_for_is_no_process),
	    REAL(a_child_that_ends_meanwhile_is_whole_or_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
