/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clients.h"

#define CONNECTION ((struct MHD_Connection *)1)

/* Our end of a client's socket; the server's is in the client. */
static int join(struct clients *clients, uint64_t now_ms, struct client **ret_client)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	*ret_client = clients_take(clients, CONNECTION, fds[1], now_ms);
	return fds[0];
}

static bool is_cut(int fd)
{
	char byte;

	return !recv(fd, &byte, 1, MSG_DONTWAIT);
}

static void end(struct clients *clients, struct client *client, int fd)
{
	close(client->fd);
	close(fd);
	clients_leave(clients, client);
}

struct house {
	struct clients clients;
	struct client *all[CLIENTS_MAX];
	int fds[CLIENTS_MAX];
};

static void fill(struct house *house)
{
	memset(house, 0, sizeof(*house));
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		house->fds[i] = join(&house->clients, i, &house->all[i]);
		assert_non_null(house->all[i]);
	}
}

static void empty(struct house *house)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		end(&house->clients, house->all[i], house->fds[i]);
	assert_int_equal(house->clients.count, 0);
}

static size_t who_is_cut(const struct house *house)
{
	size_t who = SIZE_MAX;

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (!is_cut(house->fds[i]))
			continue;
		assert_true(who == SIZE_MAX); /* one at most */
		who = i;
	}
	return who;
}

static void a_place_is_free_again_when_its_client_left(void **state)
{
	struct client *one_more;
	struct house house;

	(void)state;
	fill(&house);
	assert_int_equal(house.clients.count, CLIENTS_MAX);
	assert_null(clients_take(&house.clients, CONNECTION, -1, 0));
	end(&house.clients, house.all[7], house.fds[7]);
	house.fds[7] = join(&house.clients, 100, &one_more);
	assert_ptr_equal(one_more, house.all[7]);
	empty(&house);
}

static void a_request_has_20_seconds_and_a_response_60(void **state)
{
	struct clients clients = {0};
	struct client *client;
	int fd;

	(void)state;
	assert_true(clients_deadline_ms(&clients) == UINT64_MAX);
	fd = join(&clients, 1000, &client);
	assert_int_equal(clients_deadline_ms(&clients), 21000);
	clients_asked(client, 5000);
	assert_int_equal(clients_deadline_ms(&clients), 65000);
	clients_answered(&clients, client, 7000);
	assert_int_equal(clients_deadline_ms(&clients), 27000);
	clients_cut_off_late(&clients, 26999);
	assert_false(is_cut(fd));
	clients_cut_off_late(&clients, 27000);
	assert_true(is_cut(fd));
	assert_true(clients_deadline_ms(&clients) == UINT64_MAX);
	end(&clients, client, fd);
}

static void the_earliest_deadline_is_that_of_all(void **state)
{
	struct clients clients = {0};
	struct client *first, *second;
	int fds[2];

	(void)state;
	fds[0] = join(&clients, 100, &first);
	fds[1] = join(&clients, 50, &second);
	assert_int_equal(clients_deadline_ms(&clients), 20050);
	clients_asked(second, 60);
	assert_int_equal(clients_deadline_ms(&clients), 20100);
	end(&clients, first, fds[0]);
	assert_int_equal(clients_deadline_ms(&clients), 60060);
	end(&clients, second, fds[1]);
}

static void nobody_goes_while_there_is_room(void **state)
{
	struct house house;

	(void)state;
	fill(&house);
	end(&house.clients, house.all[64], house.fds[64]);
	assert_true(clients_make_room(&house.clients, 1000) == UINT64_MAX);
	for (size_t i = 0; i < 64; i++)
		assert_false(is_cut(house.fds[i]));
	house.fds[64] = join(&house.clients, 0, &house.all[64]);
	empty(&house);
}

static void the_oldest_that_never_asked_goes_and_only_one(void **state)
{
	struct house house;

	(void)state;
	fill(&house);
	clients_asked(house.all[0], 100);
	clients_answered(&house.clients, house.all[0], 100);
	assert_true(clients_make_room(&house.clients, 1000) == UINT64_MAX);
	assert_int_equal(who_is_cut(&house), 1);
	assert_true(clients_make_room(&house.clients, 1000) ==
		    UINT64_MAX); /* it has not left yet */
	assert_int_equal(who_is_cut(&house), 1);
	empty(&house);
}

static void when_all_have_asked_the_one_idle_longest_goes(void **state)
{
	struct house house;

	(void)state;
	fill(&house);
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		size_t next = (i + 30) % CLIENTS_MAX;

		clients_asked(house.all[next], 100);
		clients_answered(&house.clients, house.all[next], 100);
	}
	assert_true(clients_make_room(&house.clients, 1000) == UINT64_MAX);
	assert_int_equal(who_is_cut(&house), 30);
	empty(&house);
}

static void who_is_being_answered_stays(void **state)
{
	struct house house;

	(void)state;
	fill(&house);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		clients_asked(house.all[i], 100);
	assert_true(clients_make_room(&house.clients, 1000) == UINT64_MAX);
	assert_true(who_is_cut(&house) == SIZE_MAX);
	empty(&house);
}

/* The last one has had no time to ask. */
static void the_newcomer_itself_does_not_go(void **state)
{
	struct house house;

	(void)state;
	fill(&house);
	for (size_t i = 0; i < CLIENTS_MAX - 1; i++)
		clients_asked(house.all[i], 100);
	assert_true(clients_make_room(&house.clients, 1000) == UINT64_MAX);
	assert_true(who_is_cut(&house) == SIZE_MAX);
	empty(&house);
}

static void who_may_stay_a_while_does(void **state)
{
	struct house house;

	(void)state;
	fill(&house);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		house.all[i]->stays_until_ms = 2000 + i;
	assert_int_equal(clients_make_room(&house.clients, 1999), 2000);
	assert_true(who_is_cut(&house) == SIZE_MAX);
	house.all[0]->stays_until_ms = 3000;
	assert_int_equal(clients_make_room(&house.clients, 2000), 2001);
	assert_true(clients_make_room(&house.clients, 2002) == UINT64_MAX);
	assert_int_equal(who_is_cut(&house), 1);
	empty(&house);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_place_is_free_again_when_its_client_left),
	    cmocka_unit_test(a_request_has_20_seconds_and_a_response_60),
	    cmocka_unit_test(the_earliest_deadline_is_that_of_all),
	    cmocka_unit_test(nobody_goes_while_there_is_room),
	    cmocka_unit_test(the_oldest_that_never_asked_goes_and_only_one),
	    cmocka_unit_test(when_all_have_asked_the_one_idle_longest_goes),
	    cmocka_unit_test(who_is_being_answered_stays),
	    cmocka_unit_test(the_newcomer_itself_does_not_go),
	    cmocka_unit_test(who_may_stay_a_while_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
