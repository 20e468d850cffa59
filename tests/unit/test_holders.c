/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "holders.h"
#include "length.h"
#include "listening.h"
#include "proc.h"

#define OF_ANOTHER 99 /* a socket of a process that is not looked at */

static struct {
	uint32_t pid; /* 0: none */
	uint64_t start_ticks;
	const char *service;
	uint64_t inodes[4]; /* by descriptor; 0: something else */
	unsigned int portions;
} processes[8];

static struct holders *holders;
static uint64_t sockets[8];
static char read_pids[256], held[256];
static int read_error;

int listening_read(const char *root, struct listening *ret_listening)
{
	struct listening listening = {
	    calloc(LENGTH(sockets), sizeof(*listening.sockets)), 0};

	(void)root;
	assert_non_null(listening.sockets);
	for (size_t i = 0; i < LENGTH(sockets); i++) {
		if (sockets[i])
			listening.sockets[listening.count++].inode = sockets[i];
	}
	*ret_listening = listening;
	return 0;
}

void listening_free(struct listening *listening)
{
	free(listening->sockets);
	*listening = (struct listening){0};
}

static size_t find(uint32_t pid)
{
	for (size_t i = 0; i < LENGTH(processes); i++) {
		if (processes[i].pid == pid)
			return i;
	}
	fail();
	return 0;
}

int listening_some(const struct listening *listening, const char *root, uint32_t pid,
		   long *position, listening_visit visit, void *context)
{
	size_t at = find(pid);

	(void)root;
	sprintf(read_pids + strlen(read_pids), "%u ", pid);
	if (read_error)
		return read_error;
	if (++*position < (long)processes[at].portions)
		return 1;
	for (unsigned int fd = 0; fd < 4; fd++) {
		for (size_t i = 0; i < listening->count; i++) {
			const struct listening_socket *socket = &listening->sockets[i];

			if (socket->inode == processes[at].inodes[fd] &&
			    !visit(context, socket, fd))
				return 0;
		}
	}
	return 0;
}

bool listening_has(const char *root, uint32_t pid, unsigned int fd, uint64_t inode)
{
	(void)root;
	return processes[find(pid)].inodes[fd] == inode;
}

uint64_t proc_start_ticks(const char *root, uint32_t pid)
{
	(void)root;
	return processes[find(pid)].start_ticks;
}

static void note(void *context, const struct listening_socket *socket,
		 const struct holder *holder)
{
	(void)context;
	sprintf(held + strlen(held), "%u=%s/%u ", (unsigned int)socket->inode,
		holder->service, holder->pid);
}

/* A look: which pids were read, a portion each, and who has what. */
static void assert_look(const char *want_read, const char *want_held)
{
	*read_pids = *held = 0;
	assert_int_equal(holders_begin(holders), 0);
	for (size_t i = 0; i < LENGTH(processes); i++) {
		if (processes[i].pid)
			holders_add(holders, processes[i].pid, processes[i].service);
	}
	for (size_t before = 0; holders_go_on(holders); before = strlen(read_pids))
		assert_true(strlen(read_pids) - before <= 2);
	holders_each(holders, note, NULL);
	assert_string_equal(read_pids, want_read);
	assert_string_equal(held, want_held);
}

static void add(uint32_t pid, uint64_t start_ticks, const char *service, uint64_t inode)
{
	size_t i = find(0);

	processes[i].pid = pid;
	processes[i].start_ticks = start_ticks;
	processes[i].service = service;
	processes[i].inodes[1] = inode;
}

static int build(void **state)
{
	(void)state;
	memset(processes, 0, sizeof(processes));
	memset(sockets, 0, sizeof(sockets));
	sockets[0] = 11;
	sockets[1] = OF_ANOTHER;
	read_error = 0;
	return holders_create("/proc", &holders);
}

static int destroy(void **state)
{
	(void)state;
	holders_free(&holders);
	return 0;
}

static void nobody_is_read_again_without_a_reason(void **state)
{
	(void)state;
	add(7, 1, "s", 11);
	add(8, 2, "t", 0);
	assert_look("7 8 ", "11=s/7 ");
	assert_look("", "11=s/7 ");
	assert_look("", "11=s/7 ");
}

static void a_socket_of_several_is_the_oldest_ones(void **state)
{
	(void)state;
	add(9, 30, "younger", 11);
	add(7, 10, "older", 11);
	assert_look("7 9 ", "11=older/7 ");
	assert_look("", "11=older/7 ");
}

static void a_new_socket_is_searched_for_until_it_is_found(void **state)
{
	(void)state;
	add(7, 1, "s", 11);
	add(8, 2, "t", 0);
	add(9, 3, "u", 0);
	assert_look("7 8 9 ", "11=s/7 ");
	sockets[1] = 12;
	sockets[2] = OF_ANOTHER;
	processes[1].inodes[2] = 12;
	assert_look("7 8 ", "11=s/7 12=t/8 ");
}

static void a_new_process_is_read_alone(void **state)
{
	(void)state;
	add(7, 5, "s", 11);
	assert_look("7 ", "11=s/7 ");
	add(8, 6, "t", OF_ANOTHER);
	assert_look("8 ", "11=s/7 99=t/8 ");
	add(6, 4, "older", 11);
	assert_look("6 ", "11=older/6 99=t/8 ");
}

static void who_has_closed_it_or_gone_is_followed_by_another(void **state)
{
	(void)state;
	add(7, 1, "s", 11);
	add(8, 2, "t", 11);
	add(9, 3, "u", 11);
	assert_look("7 8 9 ", "11=s/7 ");
	processes[0].inodes[1] = 0;
	assert_look("7 8 ", "11=t/8 ");
	processes[1].pid = 0;
	assert_look("7 9 ", "11=u/9 ");
	processes[2].start_ticks = 4; /* another process by that number */
	processes[2].inodes[1] = 0;
	assert_look("7 9 ", "");
}

static void a_socket_that_is_gone_has_nobody(void **state)
{
	(void)state;
	add(7, 1, "s", 11);
	assert_look("7 ", "11=s/7 ");
	sockets[0] = 0;
	assert_look("", "");
}

static void a_name_is_that_of_the_last_look(void **state)
{
	(void)state;
	add(7, 1, "provisional", 11);
	assert_look("7 ", "11=provisional/7 ");
	processes[0].service = "s";
	assert_look("", "11=s/7 ");
}

static void portions_are_turns_and_have_an_end(void **state)
{
	(void)state;
	add(7, 1, "s", 11);
	processes[0].portions = 3;
	assert_look("7 7 7 ", "11=s/7 ");
	processes[0].portions = 65;
	processes[0].start_ticks = 2;
	*read_pids = 0;
	assert_int_equal(holders_begin(holders), 0);
	holders_add(holders, 7, "s");
	while (holders_go_on(holders)) {
	}
	assert_int_equal(strlen(read_pids), 2 * 64);
}

static void what_could_not_be_read_is_searched_again(void **state)
{
	(void)state;
	add(7, 1, "s", 11);
	read_error = -EMFILE;
	assert_look("7 ", "");
	read_error = 0;
	assert_look("7 ", "11=s/7 ");
	assert_look("", "11=s/7 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, build, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(nobody_is_read_again_without_a_reason),
	    TEST(a_socket_of_several_is_the_oldest_ones),
	    TEST(a_new_socket_is_searched_for_until_it_is_found),
	    TEST(a_new_process_is_read_alone),
	    TEST(who_has_closed_it_or_gone_is_followed_by_another),
	    TEST(a_socket_that_is_gone_has_nobody),
	    TEST(a_name_is_that_of_the_last_look),
	    TEST(portions_are_turns_and_have_an_end),
	    TEST(what_could_not_be_read_is_searched_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
