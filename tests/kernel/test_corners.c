/* SPDX-License-Identifier: Apache-2.0 */
/* Corners in which a count is easily off by one: the end of a stream that comes
 * with its last bytes, answers that arrive early, late or not in HTTP. */
#include "call.h"

#include <sys/ioctl.h>

#define REQUEST "GET /life HTTP/1.1\r\nHost: x\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define UNTIL_CLOSE "HTTP/1.0 200 OK\r\n\r\n"
#define LEN(text) (sizeof(text) - 1)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIVES(count)                                                                   \
	{                                                                              \
		.method = TALLY_METHOD_GET, .status = 200, .route = "/life",           \
		.requests = (count), .response_bytes = 5 * (count)                     \
	}

static const struct delivery whole;

static void exchange(const struct pair *pair)
{
	put_text(pair->fd[CLIENT], REQUEST);
	take_text(pair->fd[SERVER], REQUEST);
	put_text(pair->fd[SERVER], RESPONSE);
	take_text(pair->fd[CLIENT], RESPONSE);
}

static void await_bytes(int fd, int len)
{
	uint64_t start_ns = now_ns();
	int queued = 0;

	REQUIRE(!ioctl(fd, FIONREAD, &queued));
	while (queued < len) {
		REQUIRE(keep_waiting(start_ns));
		REQUIRE(!ioctl(fd, FIONREAD, &queued));
	}
}

static void await_hangup(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLRDHUP};

	REQUIRE(poll(&wait, 1, DEADLINE_NS / 1000000) == 1);
}

/* --- conservation on Unix sockets ------------------------------------------- */

struct census {
	uint64_t in_flight[TALLY_ROLE_CLIENT + 1];
	uint64_t unix_in_flight;
};

static void see_connections(void *context, const struct tally_connections_key *key,
			    const struct tally_connections *sum)
{
	struct census *census = context;

	census->in_flight[key->role % (TALLY_ROLE_CLIENT + 1)] += sum->in_flight;
	if (key->protocol & TALLY_CONNECTION_UNIX)
		census->unix_in_flight += sum->in_flight;
}

static struct census take_census(const struct scene *scene)
{
	struct census census = {0};

	REQUIRE(!probes_count_connections(scene->probes, see_connections, &census));
	return census;
}

/* Requests that began, have not ended, and are in flight nowhere. */
static uint64_t vanished(const struct scene *scene)
{
	const volatile struct tally_unix_balance *balance =
	    &probes_counters(scene->probes)->unix_balance;

	return balance->begun - balance->ended - take_census(scene).unix_in_flight;
}

/* As ASSERT_TALKS, `runs` times on one connection; nothing vanishes either. */
static void assert_balanced_talks(struct scene *scene, const struct talk *talks,
				  size_t count, const struct delivery *deliveries,
				  size_t runs)
{
	unsigned int failures = 0;

	for (size_t i = 0; i < count; i++)
		for (enum transport transport = 0; transport < TRANSPORTS;
		     transport++) {
			uint64_t before = vanished(scene);

			failures +=
			    !talk_check(scene, transport, &talks[i], deliveries, runs);
			assert_int_equal(vanished(scene) - before, 0);
		}
	assert_int_equal(failures, 0);
}

/* --- the end of the stream, read with its last bytes ------------------------ */

struct ending {
	const char *name;
	const struct turn *before;
	struct turn last; /* then its side sends no more */
	const struct turn *after;
	const struct expected *rows;
};

/* A corked socket sends its last bytes and its FIN in one segment. */
static void send_last(int fd, const struct turn *last, enum transport transport,
		      int cork)
{
	if (transport != UNIX)
		REQUIRE(!setsockopt(fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof(cork)));
	put(fd, last->bytes, last->len);
	REQUIRE(!shutdown(fd, SHUT_WR));
}

static unsigned int check_ending(struct scene *scene, enum transport transport,
				 const struct ending *ending, int cork)
{
	struct endpoint *endpoint = endpoint_open(scene, transport);
	struct pair pair = pair_open(endpoint);
	const int receiver = pair.fd[!ending->last.side];
	char name[128];
	bool equal;

	snprintf(name, sizeof(name), "%s over %s%s", ending->name,
		 transport_name(transport), cork ? ", corked" : "");
	scene_mark(scene);
	take_turns(&pair, ending->before, &whole);
	send_last(pair.fd[ending->last.side], &ending->last, transport, cork);
	await_hangup(receiver);
	take(receiver, ending->last.bytes, ending->last.len, 0);
	take_end(receiver);
	take_turns(&pair, ending->after, &whole);
	pair_close(&pair);
	equal = check_rows(scene, endpoint, name, ending->rows, 1);
	assert_missed(scene, name, nothing_missed);
	return !equal;
}

static void the_end_of_a_stream_is_no_byte_of_it(void **state)
{
	const struct turn nothing[] = {{0}};
	const struct ending endings[] = {
	    {"the third response",
	     TURNS(C(REQUEST), S(RESPONSE), C(REQUEST), S(RESPONSE), C(REQUEST)),
	     S(RESPONSE), nothing, ROWS(LIVES(3))},
	    {"the second request", TURNS(C(REQUEST), S(RESPONSE)), C(REQUEST),
	     TURNS(S(RESPONSE)), ROWS(LIVES(2))},
	    {"the rest of a body until close",
	     TURNS(C(REQUEST), S(UNTIL_CLOSE "12345")), S("67890"), nothing,
	     ROWS(ROW(GET, 200, "/life", 0, 10))},
	    {"a body until close", TURNS(C(REQUEST), S(UNTIL_CLOSE)), S("67890"),
	     nothing, ROWS(LIVES(1))},
	};
	unsigned int failures = 0;

	for (size_t i = 0; i < COUNT(endings); i++)
		for (enum transport transport = 0; transport < TRANSPORTS; transport++)
			for (int cork = 0; cork < 2; cork++)
				failures +=
				    check_ending(*state, transport, &endings[i], cork);
	assert_int_equal(failures, 0);
}

/* A read of no bytes is no end of file, though the peer has closed. */
static void a_read_of_nothing_is_no_end(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair pair = pair_open(endpoint);
		char nothing[1];

		scene_mark(*state);
		put_text(pair.fd[CLIENT], REQUEST);
		take_text(pair.fd[SERVER], REQUEST);
		put_text(pair.fd[SERVER], RESPONSE);
		pair_close_side(&pair, SERVER);
		await_hangup(pair.fd[CLIENT]);
		REQUIRE(recv(pair.fd[CLIENT], nothing, 0, 0) == 0);
		take_text(pair.fd[CLIENT], RESPONSE);
		pair_close(&pair);
		assert_rows(*state, endpoint, transport_name(transport),
			    ROWS(ROW(GET, 200, "/life", 0, 5)));
		assert_missed(*state, "a read of nothing", nothing_missed);
	}
}

static size_t splice_until_end(int fd)
{
	char sink[4096];
	size_t sum = 0;
	ssize_t got;
	int ends[2];

	REQUIRE(!pipe2(ends, O_CLOEXEC));
	while ((got = splice(fd, NULL, ends[1], NULL, sizeof(sink), 0)) > 0) {
		REQUIRE(read(ends[0], sink, sizeof(sink)) == got);
		sum += (size_t)got;
	}
	REQUIRE(got == 0);
	close(ends[0]);
	close(ends[1]);
	return sum;
}

/* What a Unix socket splices out shows nowhere: TCP alone has positions. */
static void a_body_until_close_that_is_spliced_out_is_exact(void **state)
{
	static const char body[1000];
	const struct turn last = {SERVER, SAYS, body, sizeof(body)};

	for (enum transport transport = 0; transport < UNIX; transport++)
		for (int cork = 0; cork < 2; cork++) {
			struct endpoint *endpoint = endpoint_open(*state, transport);
			struct pair pair = pair_open(endpoint);

			scene_mark(*state);
			take_turns(&pair, TURNS(C(REQUEST), S(UNTIL_CLOSE)), &whole);
			send_last(pair.fd[SERVER], &last, transport, cork);
			await_hangup(pair.fd[CLIENT]);
			assert_int_equal(splice_until_end(pair.fd[CLIENT]),
					 sizeof(body));
			pair_close(&pair);
			assert_rows(*state, endpoint, transport_name(transport),
				    ROWS(ROW(GET, 200, "/life", 0, sizeof(body))));
			assert_missed(*state, "spliced out", nothing_missed);
		}
}

/* --- a Unix server that is gone before its answer is read ------------------- */

static void an_unread_answer_of_a_closed_unix_server_is_in_flight(void **state)
{
	struct endpoint *endpoint = endpoint_open(*state, UNIX);
	struct pair pair = pair_open(endpoint);
	uint64_t before = vanished(*state);
	struct census census;

	scene_mark(*state);
	put_text(pair.fd[CLIENT], REQUEST);
	take_text(pair.fd[SERVER], REQUEST);
	put_text(pair.fd[SERVER], RESPONSE);
	pair_close_side(&pair, SERVER);
	census = take_census(*state);
	assert_int_equal(census.in_flight[TALLY_ROLE_SERVER], 0);
	assert_int_equal(census.in_flight[TALLY_ROLE_CLIENT], 1);
	assert_int_equal(vanished(*state) - before, 0);
	take_text(pair.fd[CLIENT], RESPONSE);
	assert_int_equal(take_census(*state).in_flight[TALLY_ROLE_CLIENT], 0);
	pair_close(&pair);
	assert_int_equal(vanished(*state) - before, 0);
	assert_rows(*state, endpoint, "closed server", ROWS(LIVES(1)));
	assert_missed(*state, "closed server", nothing_missed);
}

static void an_unread_answer_of_half_closed_unix_ends_is_in_flight(void **state)
{
	struct endpoint *endpoint = endpoint_open(*state, UNIX);
	struct pair pair = pair_open(endpoint);
	uint64_t before = vanished(*state);

	scene_mark(*state);
	put_text(pair.fd[CLIENT], REQUEST);
	REQUIRE(!shutdown(pair.fd[CLIENT], SHUT_WR));
	take_text(pair.fd[SERVER], REQUEST);
	take_end(pair.fd[SERVER]);
	put_text(pair.fd[SERVER], UNTIL_CLOSE "hello");
	REQUIRE(!shutdown(pair.fd[SERVER], SHUT_WR));
	assert_int_equal(take_census(*state).in_flight[TALLY_ROLE_CLIENT], 1);
	assert_int_equal(vanished(*state) - before, 0);
	take_text(pair.fd[CLIENT], UNTIL_CLOSE "hello");
	take_end(pair.fd[CLIENT]);
	pair_close(&pair);
	assert_int_equal(vanished(*state) - before, 0);
	assert_rows(*state, endpoint, "half closed", ROWS(LIVES(1)));
	assert_missed(*state, "half closed", nothing_missed);
}

/* --- answers that are early, short or not in HTTP --------------------------- */

/* Looks like a request until the answer shows that it was none: forgotten, and
 * tried again, more often than there are slots for requests in flight. */
static void requests_whose_answers_are_not_http_leave_no_trace(void **state)
{
	static const struct delivery deliveries[80];
	const struct talk talk =
	    TALK("ICY", TURNS(C(REQUEST), S("ICY 200 OK\r\n\r\n")), NO_ROWS);

	assert_balanced_talks(*state, &talk, 1, deliveries, COUNT(deliveries));
}

/* The timeout answers what came of the next request, not the one before. */
static void a_timeout_inside_a_request_line_has_no_route(void **state)
{
	const struct talk talks[] = {
	    TALK("half a request line",
		 TURNS(C(REQUEST), S(RESPONSE), C("POST /seco"),
		       S("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
		       S_CLOSES),
		 ROWS(LIVES(1), ROW(OTHER, 408, "", 0, 0)), .once = true)};

	assert_balanced_talks(*state, talks, COUNT(talks), &whole, 1);
}

static void requests_behind_a_change_of_protocol_are_lost_sync(void **state)
{
	const struct talk talks[] = {
	    TALK("two behind it",
		 TURNS(C(REQUEST REQUEST REQUEST),
		       S("HTTP/1.1 101 Switching Protocols\r\n\r\n"), C_CLOSES),
		 ROWS(ROW(GET, 101, "/life", 0, 0)),
		 .missed = MISSES({TALLY_MISSED_LOST_SYNC, 4}), .once = true)};

	assert_balanced_talks(*state, talks, COUNT(talks), &whole, 1);
}

/* The client learns of the refusal by a failed send, then reads it. */
static void a_refusal_that_waits_behind_a_broken_pipe_is_counted(void **state)
{
	static const char head[] =
	    "POST /life HTTP/1.1\r\nContent-Length: 5000\r\n\r\n";
	static const char refusal[] = "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n";
	static const char body[5000];
	struct endpoint *endpoint = endpoint_open(*state, UNIX);
	struct pair pair = pair_open(endpoint);
	uint64_t before = vanished(*state);

	scene_mark(*state);
	put_text(pair.fd[CLIENT], head);
	take_text(pair.fd[SERVER], head);
	put_text(pair.fd[SERVER], refusal);
	pair_close_side(&pair, SERVER);
	REQUIRE(send(pair.fd[CLIENT], body, sizeof(body), MSG_NOSIGNAL) == -1 &&
		errno == EPIPE);
	take_text(pair.fd[CLIENT], refusal);
	pair_close(&pair);
	assert_int_equal(vanished(*state) - before, 0);
	assert_rows(*state, endpoint, "EPIPE", ROWS(ROW(POST, 413, "/life", 0, 0)));
	assert_missed(*state, "EPIPE", nothing_missed);
}

/* --- more than is walked ---------------------------------------------------- */

#define CHUNKS 2500
#define CHUNK "1\r\na\r\n"

static size_t chunked_request(char *ret_text, size_t size)
{
	size_t len = (size_t)snprintf(
	    ret_text, size,
	    "POST /life HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");

	for (int i = 0; i < CHUNKS; i++, len += LEN(CHUNK))
		strcpy(ret_text + len, CHUNK);
	strcpy(ret_text + len, "0\r\n\r\n");
	return len + LEN("0\r\n\r\n");
}

/* Its answer ends a request whose chunks were not followed to the last. */
static void a_body_of_more_chunks_than_are_walked_is_counted_once(void **state)
{
	char text[LEN(CHUNK) * CHUNKS + 128], arrived[sizeof(text)];
	size_t len = chunked_request(text, sizeof(text));

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair pair = pair_open(endpoint);

		scene_mark(*state);
		REQUIRE(write(pair.fd[CLIENT], text, len) == (ssize_t)len);
		await_bytes(pair.fd[SERVER], (int)len);
		REQUIRE(read(pair.fd[SERVER], arrived, len) == (ssize_t)len);
		put_text(pair.fd[SERVER], RESPONSE);
		take_text(pair.fd[CLIENT], RESPONSE);
		exchange(&pair);
		pair_close(&pair);
		assert_rows(*state, endpoint, transport_name(transport),
			    ROWS(ROW(POST, 200, "/life", ANY_BYTES, 5), LIVES(1)));
		assert_missed(*state, "chunks", nothing_missed);
	}
}

/* --- addresses -------------------------------------------------------------- */

#define STRANGERS 4200

static void greet_from(const struct endpoint *endpoint, uint32_t address)
{
	const struct sockaddr_in source = {.sin_family = AF_INET,
					   .sin_addr.s_addr = htonl(address)};
	struct pair pair = {.fd = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)}};

	REQUIRE(pair.fd[CLIENT] >= 0);
	REQUIRE(
	    !bind(pair.fd[CLIENT], (const struct sockaddr *)&source, sizeof(source)));
	REQUIRE(
	    !connect(pair.fd[CLIENT], &endpoint->address.any, endpoint->address_len));
	pair.fd[SERVER] = endpoint_accept(endpoint);
	put_text(pair.fd[CLIENT], "hello\n");
	take_text(pair.fd[SERVER], "hello\n");
	pair_close(&pair);
}

/* As endpoint_open, at an address that no row has named yet. */
static struct endpoint *endpoint_open_at(struct scene *scene, uint32_t address)
{
	struct endpoint *endpoint = &scene->endpoints[scene->endpoint_count];

	REQUIRE(scene->endpoint_count < ENDPOINTS_MAX);
	scene->endpoint_count++;
	*endpoint = (struct endpoint){
	    .transport = IPV4,
	    .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    .address.ipv4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)},
	    .address_len = sizeof(endpoint->address.ipv4)};
	REQUIRE(endpoint->fd >= 0);
	REQUIRE(!bind(endpoint->fd, &endpoint->address.any, endpoint->address_len));
	REQUIRE(!listen(endpoint->fd, 16));
	REQUIRE(
	    !getsockname(endpoint->fd, &endpoint->address.any, &endpoint->address_len));
	endpoint->port = ntohs(endpoint->address.ipv4.sin_port);
	return endpoint;
}

static void clients_that_speak_no_http_use_up_no_addresses(void **state)
{
	struct endpoint *greeted = endpoint_open(*state, IPV4), *endpoint;
	struct pair pair;

	scene_mark(*state);
	for (uint32_t i = 0; i < STRANGERS; i++)
		greet_from(greeted, 0x7f010001 + i);
	endpoint = endpoint_open_at(*state, 0x7f090909);
	pair = pair_open(endpoint);
	exchange(&pair);
	pair_close(&pair);
	assert_rows(*state, greeted, "strangers", NO_ROWS);
	assert_rows(*state, endpoint, "a new address", ROWS(LIVES(1)));
	assert_missed(*state, "strangers", nothing_missed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_end_of_a_stream_is_no_byte_of_it),
	    cmocka_unit_test(a_read_of_nothing_is_no_end),
	    cmocka_unit_test(a_body_until_close_that_is_spliced_out_is_exact),
	    cmocka_unit_test(an_unread_answer_of_a_closed_unix_server_is_in_flight),
	    cmocka_unit_test(an_unread_answer_of_half_closed_unix_ends_is_in_flight),
	    cmocka_unit_test(requests_whose_answers_are_not_http_leave_no_trace),
	    cmocka_unit_test(a_timeout_inside_a_request_line_has_no_route),
	    cmocka_unit_test(requests_behind_a_change_of_protocol_are_lost_sync),
	    cmocka_unit_test(a_refusal_that_waits_behind_a_broken_pipe_is_counted),
	    cmocka_unit_test(a_body_of_more_chunks_than_are_walked_is_counted_once),
	    cmocka_unit_test(clients_that_speak_no_http_use_up_no_addresses),
	    cmocka_unit_test(no_case_is_counted_again_later),
	};

	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
