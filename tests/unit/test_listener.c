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
#include "serving.h"

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

/* --- of the real server ------------------------------------------------------ */

static void what_cannot_be_listened_on_is_the_error_of_bind(void **state)
{
	struct server server = start_server(":0", (struct control){0});
	unsigned int port = 0;
	char taken[2][64];

	(void)state;
	snprintf(taken[0], sizeof(taken[0]), ":%u", server.port);
	snprintf(taken[1], sizeof(taken[1]), "127.0.0.1:%u", server.port);
	assert_int_equal(start_and_stop(taken[0], &port), -EADDRINUSE);
	assert_int_equal(start_and_stop(taken[1], &port), -EADDRINUSE);
	assert_int_equal(start_and_stop("192.0.2.1:0", &port), -EADDRNOTAVAIL);
	assert_int_equal(start_and_stop("9965", &port), -EINVAL);
	assert_int_equal(start_and_stop("localhost:9965", &port), -EINVAL);
	stop_server(&server);
}

static void a_port_can_be_listened_on_again_at_once(void **state)
{
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	unsigned int again = 0, port = server.port;
	char address[64];

	(void)state;
	assert_true(is_answering(&server)); /* leaves a TIME_WAIT behind */
	stop_server(&server);
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_int_equal(start_and_stop(address, &again), 0);
	assert_int_equal(again, port);
}

static bool is_reachable_by_ipv6(const struct server *server)
{
	struct sockaddr_in6 address = {
	    .sin6_family = AF_INET6,
	    .sin6_port = htons((in_port_t)server->port),
	    .sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct reply reply;
	bool reachable;

	reachable = !connect(fd, (const struct sockaddr *)&address, sizeof(address));
	if (reachable) {
		send_string(fd, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n");
		read_reply(fd, true, &reply);
		assert_int_equal(reply.status, 200);
		free_reply(&reply);
	}
	close(fd);
	return reachable;
}

static void a_port_alone_is_every_address_of_both_families(void **state)
{
	struct server server = start_server(":0", (struct control){0});

	(void)state;
	assert_true(is_answering(&server));
	assert_true(is_reachable_by_ipv6(&server));
	stop_server(&server);
	server = start_server("127.0.0.1:0", (struct control){0});
	assert_false(is_reachable_by_ipv6(&server));
	stop_server(&server);
	server = start_server("[::1]:0", (struct control){0});
	assert_true(is_reachable_by_ipv6(&server));
	stop_server(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_port_of_the_kernels_choice_is_told),
	    cmocka_unit_test(it_listens_and_does_not_block_or_outlive_an_exec),
	    cmocka_unit_test(what_is_no_address_is_refused),
	    cmocka_unit_test(what_is_no_socket_has_no_port),
	    cmocka_unit_test(what_cannot_be_listened_on_is_the_error_of_bind),
	    cmocka_unit_test(a_port_can_be_listened_on_again_at_once),
	    cmocka_unit_test(a_port_alone_is_every_address_of_both_families),
	};

	alarm(300); /* a server that never answers is a failure too */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
