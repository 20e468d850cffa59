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
#include "serving.h"

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

/* --- of the real server ------------------------------------------------------ */

#define HEALTHY "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"

static void ask(int fd)
{
	struct reply reply;

	send_string(fd, HEALTHY);
	read_reply(fd, true, &reply);
	assert_int_equal(reply.status, 200);
	free_reply(&reply);
}

static void assert_made_way(int fd)
{
	char byte;

	assert_true(is_readable_within(fd, PATIENCE_MS));
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

static void dial_until_full(const struct server *server, int *fds, size_t first)
{
	unsigned int before = open_descriptors(server->pid);

	for (size_t i = first; i < 64; i++)
		fds[i] = dial(server);
	assert_true(has_descriptors_within(
	    server->pid, before + (unsigned int)(64 - first), PATIENCE_MS));
}

static void for_a_newcomer_the_oldest_that_never_asked_goes(void **state)
{
	struct server server = start_server("127.0.0.1:0", frozen);
	int fds[64], more[64];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		fds[i] = dial(&server);
		ask(fds[i]);
	}
	dial_until_full(&server, fds, 2);
	send_string(fds[3], "GET /metr"); /* says something, asks for nothing */
	for (size_t i = 2; i < 64; i++) {
		more[i] = dial(&server);
		ask(more[i]);
		assert_made_way(fds[i]);
	}
	/* All have asked: the one that did so longest ago. */
	ask(fds[0]);
	more[0] = dial(&server);
	ask(more[0]);
	assert_made_way(fds[1]);
	ask(fds[0]);
	for (size_t i = 2; i < 64; i++)
		close(more[i]);
	close(more[0]);
	close(fds[0]);
	stop_server(&server);
}

/* Ten times as many as there are places, none of which leaves by itself. */
static void scrapers_are_answered_while_600_connections_are_held(void **state)
{
	struct server server = start_server("127.0.0.1:0", frozen);
	unsigned int before = open_descriptors(server.pid);
	int fds[600];

	(void)state;
	for (size_t i = 0; i < 600; i++) {
		fds[i] = dial(&server);
		if (i % 100 == 50)
			assert_true(is_answering(&server));
	}
	assert_true(has_descriptors_within(server.pid, before + 64, PATIENCE_MS));
	assert_true(is_answering(&server));
	for (size_t i = 0; i < 600; i++)
		close(fds[i]);
	assert_true(has_descriptors_within(server.pid, before, PATIENCE_MS));
	stop_server(&server);
}

static void a_page_on_its_way_makes_no_room(void **state)
{
	struct control control = {.body_bytes = (size_t)16 << 20};
	struct server server = start_server("127.0.0.1:0", control);
	int fd = dial(&server), silent[200];
	struct reply reply;

	(void)state;
	send_string(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(is_readable_within(fd, PATIENCE_MS));
	for (size_t i = 0; i < 200; i++)
		silent[i] = dial(&server);
	assert_true(is_answering(&server));
	read_reply(fd, true, &reply);
	assert_int_equal(reply.status, 200);
	assert_true(reply.body_len >= control.body_bytes);
	free_reply(&reply);
	for (size_t i = 0; i < 200; i++)
		close(silent[i]);
	close(fd);
	stop_server(&server);
}

/* One byte a second keeps idle limits away for ever. */
static void trickle_until_cut_off(const struct server *server, int fd)
{
	send_string(fd, "GET /metrics HTTP/1.1\r\nX: ");
	for (int second = 1; second < 20; second++) {
		advance(server, 1000);
		assert_open(fd);
		send_string(fd, "a");
	}
	advance(server, 999);
	assert_open(fd);
	advance(server, 1);
	assert_closed(fd);
}

static void a_request_that_trickles_is_cut_off_after_twenty_seconds(void **state)
{
	struct server server = start_server("127.0.0.1:0", frozen);
	struct reply reply;
	int fd;

	(void)state;
	trickle_until_cut_off(&server, dial_accepted(&server));
	fd = dial(&server);
	send_string(fd, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n");
	read_reply(fd, true, &reply);
	free_reply(&reply);
	trickle_until_cut_off(&server, fd);
	stop_server(&server);
}

#define SIP_BYTES 262144

/* False at the end of the stream. */
static bool sip(int fd)
{
	static char bytes[SIP_BYTES];

	return read_bytes(fd, bytes, sizeof(bytes)) == sizeof(bytes);
}

/* With each sip the server makes some progress. What it had sent when it was cut
 * off, up to what sockets hold, is still read. */
static void a_response_that_is_sipped_is_cut_off_after_sixty_seconds(void **state)
{
	struct control control = {.is_frozen = true, .body_bytes = (size_t)100 << 20};
	struct server server = start_server("127.0.0.1:0", control);
	size_t sips = 0;
	int fd = dial(&server);

	(void)state;
	send_string(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	for (; sips < 120; sips++) {
		assert_true(sip(fd));
		advance(&server, sips < 119 ? 500 : 499);
	}
	advance(&server, 1);
	while (sip(fd))
		sips++;
	assert_true(sips < control.body_bytes / SIP_BYTES);
	close(fd);
	assert_true(is_answering(&server));
	stop_server(&server);
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
	    cmocka_unit_test(for_a_newcomer_the_oldest_that_never_asked_goes),
	    cmocka_unit_test(scrapers_are_answered_while_600_connections_are_held),
	    cmocka_unit_test(a_page_on_its_way_makes_no_room),
	    cmocka_unit_test(a_request_that_trickles_is_cut_off_after_twenty_seconds),
	    cmocka_unit_test(a_response_that_is_sipped_is_cut_off_after_sixty_seconds),
	};

	alarm(300); /* a server that never answers is a failure too */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
