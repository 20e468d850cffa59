/* SPDX-License-Identifier: Apache-2.0 */
/* A file of our own, which needs no privileges, and a child that writes to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lease.h"

#define DEADLINE_MS 10000

struct scene {
	char path[32];
	int fd, calls_fd;
};

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	*scene = (struct scene){.path = "/tmp/bpftally-lease-XXXXXX"};
	close(mkstemp(scene->path));
	scene->fd = open(scene->path, O_RDONLY | O_CLOEXEC);
	scene->calls_fd = lease_calls();
	assert_true(scene->fd >= 0 && scene->calls_fd >= 0);
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	close(scene->fd);
	close(scene->calls_fd);
	unlink(scene->path);
	free(scene);
	return 0;
}

static bool is_called(const struct scene *scene, int timeout_ms)
{
	struct pollfd poll_fd = {.fd = scene->calls_fd, .events = POLLIN};

	return poll(&poll_fd, 1, timeout_ms) == 1;
}

static void who_writes_waits_for_the_lease(void **state)
{
	struct scene *scene = *state;
	int pid, status;

	assert_int_equal(lease_take(scene->fd), 0);
	assert_false(lease_is_wanted(scene->fd));
	pid = fork();
	if (!pid)
		_exit(open(scene->path, O_WRONLY | O_CLOEXEC) < 0);
	assert_true(is_called(scene, DEADLINE_MS));
	lease_forget_calls(scene->calls_fd);
	assert_false(is_called(scene, 0));
	assert_true(lease_is_wanted(scene->fd));
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0); /* it waits */
	lease_give(scene->fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(lease_take(scene->fd), 0); /* it is closed again */
}

static void a_file_that_is_written_to_has_none(void **state)
{
	struct scene *scene = *state;
	int writer = open(scene->path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(lease_take(scene->fd), -EAGAIN);
	close(writer);
	assert_int_equal(lease_take(scene->fd), 0);
}

static void who_reads_does_not_wait(void **state)
{
	struct scene *scene = *state;
	int reader;

	assert_int_equal(lease_take(scene->fd), 0);
	reader = open(scene->path, O_RDONLY | O_CLOEXEC);
	assert_true(reader >= 0);
	close(reader);
	assert_false(lease_is_wanted(scene->fd));
	assert_false(is_called(scene, 0));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(who_writes_waits_for_the_lease),
	    TEST(a_file_that_is_written_to_has_none),
	    TEST(who_reads_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
