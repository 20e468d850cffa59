/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"

static void a_port_of_the_kernels_choice_is_told(void **state)
{
	unsigned int port = 0, again = 0;
	char address[32];
	int fd = -1, other = -1;

	(void)state;
	assert_int_equal(listener_open("127.0.0.1:0", &fd), 0);
	assert_int_equal(listener_port(fd, &port), 0);
	assert_in_range(port, 1, 65535);
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_int_equal(listener_open(address, &other), -EADDRINUSE);
	assert_int_equal(other, -1);
	close(fd);
	assert_int_equal(listener_open(address, &fd), 0);
	assert_int_equal(listener_port(fd, &again), 0);
	assert_int_equal(again, port);
	close(fd);
}

static void it_listens_and_does_not_block_or_outlive_an_exec(void **state)
{
	socklen_t len = sizeof(int);
	int fd = -1, listens = 0;

	(void)state;
	assert_int_equal(listener_open("[::1]:0", &fd), 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len), 0);
	assert_int_equal(listens, 1);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const wrong[] = {
	    "", "9965", "127.0.0.1", "localhost:x", "127.0.0.1:65536", "[::1:80"};
	int fd = -1;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(listener_open(wrong[i], &fd), -EINVAL);
	assert_int_equal(listener_open("192.0.2.1:0", &fd), -EADDRNOTAVAIL);
	assert_int_equal(fd, -1);
}

static void what_is_no_socket_has_no_port(void **state)
{
	unsigned int port = 7;
	int fd = open("/dev/null", O_RDONLY);

	(void)state;
	assert_int_equal(listener_port(fd, &port), -ENOTSOCK);
	assert_int_equal(port, 7);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_port_of_the_kernels_choice_is_told),
	    cmocka_unit_test(it_listens_and_does_not_block_or_outlive_an_exec),
	    cmocka_unit_test(what_is_no_address_is_refused),
	    cmocka_unit_test(what_is_no_socket_has_no_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
