/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/resource.h>
#include <sys/socket.h>

#include "fake_proc.h"
#include "length.h"
#include "listening.h"

#define HEAD                                                                           \
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"  \
	"   uid  timeout inode\n"
#define REST "00000000:00000000 00:00000000 00000000     0        0"

static char root[FAKE_ROOT_LEN];
static char visited[512];

static void make_directory(const char *name)
{
	char path[FAKE_ROOT_LEN + 64];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void make_link(const char *name, const char *target)
{
	char path[FAKE_ROOT_LEN + 64];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(symlink(target, path), 0);
}

static void make_file(const char *name, const char *text)
{
	char path[FAKE_ROOT_LEN + 64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void remove_entry(const char *name)
{
	char path[FAKE_ROOT_LEN + 64];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(unlink(path), 0);
}

static int build(void **state)
{
	static const char *const directories[] = {
	    "self", "self/net", "self/ns", "7", "7/ns", "7/fd", "8", "8/ns", "8/fd"};

	(void)state;
	fake_proc_create(root);
	for (size_t i = 0; i < LENGTH(directories); i++)
		make_directory(directories[i]);
	make_link("self/ns/net", "net:[1]");
	make_link("7/ns/net", "net:[1]");
	make_link("8/ns/net", "net:[2]");
	return 0;
}

static int destroy(void **state)
{
	(void)state;
	fake_proc_remove(root);
	return 0;
}

static bool visit(void *context, const struct listening_socket *socket, unsigned int fd)
{
	const unsigned int *enough = context;

	(void)fd;
	strcat(strcat(visited, socket->address), " ");
	return !enough || fd != *enough;
}

static void assert_visited(uint32_t pid, const char *want)
{
	struct listening listening = {0};
	long position = 0;

	*visited = 0;
	assert_int_equal(listening_read(root, &listening), 0);
	assert_int_equal(listening_some(&listening, root, pid, &position, visit, NULL),
			 0);
	assert_string_equal(visited, want);
	listening_free(&listening);
}

static void a_process_has_the_sockets_that_it_has_open(void **state)
{
	(void)state;
	make_file("self/net/tcp",
		  HEAD "   0: 00000000:1F90 00000000:0000 0A " REST " 11 1 x\n"
		       "   1: 0200000A:0050 00000000:0000 0A " REST " 12 1 x\n"
		       "   2: 0100007F:0051 00000000:0000 0A " REST " 13 1 x\n");
	make_link("7/fd/0", "/dev/null");
	make_link("7/fd/1", "socket:[11]");
	assert_visited(7, "127.0.0.1:8080 ");
}

static void addresses_are_those_to_connect_to(void **state)
{
	static const char *const cases[][2] = {
	    {"socket:[12]", "10.0.0.2:80 "},
	    {"socket:[13]", "[::1]:81 "},
	    {"socket:[14]", "[2001:db8::1]:82 "},
	};

	(void)state;
	make_file("self/net/tcp",
		  HEAD "   0: 0200000A:0050 00000000:0000 0A " REST " 12 1 x\n");
	make_file("self/net/tcp6",
		  HEAD "   0: 00000000000000000000000000000000:0051 "
		       "00000000000000000000000000000000:0000 0A " REST " 13 1 x\n"
		       "   1: B80D0120000000000000000001000000:0052 "
		       "00000000000000000000000000000000:0000 0A " REST " 14 1 x\n");
	for (size_t i = 0; i < LENGTH(cases); i++) {
		make_link("7/fd/3", cases[i][0]);
		assert_visited(7, cases[i][1]);
		remove_entry("7/fd/3");
	}
}

static void connections_are_not_listened_on(void **state)
{
	(void)state;
	make_file("self/net/tcp",
		  HEAD "   0: 00000000:1F90 0100007F:1234 01 " REST " 11 1 x\n"
		       "   1: 00000000:1F90 00000000:0000 06 " REST " 0 1 x\n"
		       "garbage\n");
	make_link("7/fd/1", "socket:[11]");
	make_link("7/fd/2", "socket:[0]");
	assert_visited(7, "");
}

static void behind_the_first_connection_nothing_is_read(void **state)
{
	(void)state;
	make_file("self/net/tcp",
		  HEAD "   0: 00000000:1F90 00000000:0000 0A " REST " 11 1 x\n"
		       "   1: 00000000:1F90 0100007F:1234 01 " REST " 12 1 x\n"
		       "   2: 00000000:1F91 00000000:0000 0A " REST " 13 1 x\n");
	make_link("7/fd/1", "socket:[11]");
	make_link("7/fd/2", "socket:[13]");
	assert_visited(7, "127.0.0.1:8080 ");
}

static void a_visitor_may_have_enough(void **state)
{
	struct listening listening = {0};
	unsigned int enough = 1;
	long position = 0;

	(void)state;
	make_file("self/net/tcp",
		  HEAD "   0: 00000000:1F90 00000000:0000 0A " REST " 11 1 x\n");
	make_link("7/fd/1", "socket:[11]");
	*visited = 0;
	assert_int_equal(listening_read(root, &listening), 0);
	assert_int_equal(listening_some(&listening, root, 7, &position, visit, &enough),
			 0);
	assert_string_equal(visited, "127.0.0.1:8080 ");
	assert_int_equal(position, 0);
	listening_free(&listening);
}

/* Of ourselves, with the kernel's order and positions. */
static void many_descriptors_are_read_in_portions(void **state)
{
	struct rlimit limit = {LISTENING_PORTION + 512, LISTENING_PORTION + 512};
	int fds[LISTENING_PORTION + 1], listener = socket(AF_INET, SOCK_STREAM, 0);
	struct listening listening = {0};
	long position = 0;

	(void)state;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(listen(listener, 1), 0);
	for (size_t i = 0; i < LENGTH(fds); i++)
		assert_true((fds[i] = open("/dev/null", O_RDONLY)) >= 0);
	assert_int_equal(dup2(listener, fds[LISTENING_PORTION]),
			 fds[LISTENING_PORTION]);
	close(listener);
	*visited = 0;
	assert_int_equal(listening_read("/proc", &listening), 0);
	assert_int_equal(listening_some(&listening, "/proc", (uint32_t)getpid(),
					&position, visit, NULL),
			 1);
	assert_string_equal(visited, "");
	assert_int_equal(listening_some(&listening, "/proc", (uint32_t)getpid(),
					&position, visit, NULL),
			 0);
	assert_memory_equal(visited, "127.0.0.1:", 10);
	listening_free(&listening);
	for (size_t i = 0; i < LENGTH(fds); i++)
		close(fds[i]);
}

static void a_descriptor_is_of_one_socket(void **state)
{
	(void)state;
	make_link("7/fd/1", "socket:[11]");
	make_link("7/fd/2", "/dev/null");
	assert_true(listening_has(root, 7, 1, 11));
	assert_false(listening_has(root, 7, 1, 1));
	assert_false(listening_has(root, 7, 2, 11));
	assert_false(listening_has(root, 7, 3, 11));
	assert_false(listening_has(root, 9, 1, 11));
}

static void another_namespace_cannot_be_reached(void **state)
{
	(void)state;
	make_file("self/net/tcp",
		  HEAD "   0: 00000000:1F90 00000000:0000 0A " REST " 11 1 x\n");
	make_link("8/fd/1", "socket:[11]");
	assert_visited(8, "");
}

static void what_is_not_there_has_none(void **state)
{
	(void)state;
	assert_visited(7, "");
	assert_visited(9, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_process_has_the_sockets_that_it_has_open,
					    build, destroy),
	    cmocka_unit_test_setup_teardown(addresses_are_those_to_connect_to, build,
					    destroy),
	    cmocka_unit_test_setup_teardown(connections_are_not_listened_on, build,
					    destroy),
	    cmocka_unit_test_setup_teardown(behind_the_first_connection_nothing_is_read,
					    build, destroy),
	    cmocka_unit_test_setup_teardown(a_visitor_may_have_enough, build, destroy),
	    cmocka_unit_test_setup_teardown(many_descriptors_are_read_in_portions,
					    build, destroy),
	    cmocka_unit_test_setup_teardown(a_descriptor_is_of_one_socket, build,
					    destroy),
	    cmocka_unit_test_setup_teardown(another_namespace_cannot_be_reached, build,
					    destroy),
	    cmocka_unit_test_setup_teardown(what_is_not_there_has_none, build, destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
