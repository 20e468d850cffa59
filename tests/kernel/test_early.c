/* SPDX-License-Identifier: Apache-2.0 */
/* Responses that are read before the send of their request was told: the client has
 * one thread that writes and one that reads. */
#include "stall.h"
#include "talk.h"
#include "workspaces.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/sendfile.h>

#define GET "GET /early HTTP/1.1\r\nHost: x\r\n\r\n"
#define HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define TIMEOUT "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
#define LEN(text) (sizeof(text) - 1)

static struct gate gate;
static unsigned int sends; /* of the client, that returned */

/* --- one client of two threads, and its server ------------------------------------ */

struct exchange {
	const char *request;
	const char *response;
	struct expected row;
};

struct duo {
	struct pair pair;
	enum gate_place place; /* where a send is held */
	const struct exchange *exchange;
	int count;
	bool held;    /* each send, until its response has been read */
	bool stalled; /* the client's threads stand still again and again */
	void (*ask)(int fd, const char *request);
	void (*hear)(int fd, const char *response);
	sem_t room; /* requests that the client may send */
};

/* The sender on the first processor, the others on the last: who is held keeps its
 * processor. */
static void stay_on(bool is_sender)
{
	cpu_set_t allowed, one;
	int cpu = is_sender ? 0 : CPU_SETSIZE - 1;

	REQUIRE(!sched_getaffinity(0, sizeof(allowed), &allowed));
	while (!CPU_ISSET(cpu, &allowed))
		cpu += is_sender ? 1 : -1;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	REQUIRE(!sched_setaffinity(0, sizeof(one), &one));
}

static void *client_writes(void *context)
{
	struct duo *duo = context;
	const int stall = duo->stalled ? stall_me() : -1;

	stay_on(true);
	for (int i = 0; i < duo->count; i++) {
		REQUIRE(!sem_wait(&duo->room));
		if (duo->held)
			gate_hold_me(&gate, duo->place);
		duo->ask(duo->pair.fd[CLIENT], duo->exchange->request);
		__atomic_add_fetch(&sends, 1, __ATOMIC_RELEASE);
	}
	close(stall);
	return NULL;
}

static void *client_reads(void *context)
{
	struct duo *duo = context;
	const int stall = duo->stalled ? stall_me() : -1;

	stay_on(false);
	for (int i = 0; i < duo->count; i++) {
		duo->hear(duo->pair.fd[CLIENT], duo->exchange->response);
		gate_let_go(&gate);
		REQUIRE(!sem_post(&duo->room));
	}
	close(stall);
	return NULL;
}

/* Never asleep in a read: it would not be woken while the send is held. */
static void *server_answers(void *context)
{
	struct duo *duo = context;
	const int fd = duo->pair.fd[SERVER];
	const ssize_t len = (ssize_t)strlen(duo->exchange->request);
	char buf[256];

	REQUIRE((size_t)len <= sizeof(buf));
	stay_on(false);
	for (int i = 0; i < duo->count; i++) {
		while (recv(fd, buf, (size_t)len, MSG_PEEK | MSG_DONTWAIT) != len)
			REQUIRE(!sched_yield());
		take_text(fd, duo->exchange->request);
		put_text(fd, duo->exchange->response);
	}
	return NULL;
}

static void duo_run(struct duo *duo, const struct exchange *exchange, int count)
{
	void *(*const run[])(void *) = {server_answers, client_reads, client_writes};
	pthread_t threads[3];

	duo->exchange = exchange;
	duo->count = count;
	REQUIRE(!sem_init(&duo->room, 0, 1));
	for (int i = 0; i < 3; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, run[i], duo));
	for (int i = 0; i < 3; i++)
		REQUIRE(!pthread_join(threads[i], NULL));
}

static void duo_run_held(struct duo *duo, const struct exchange *exchange, int count)
{
	duo->held = true;
	duo_run(duo, exchange, count);
	duo->held = false;
}

#define FIRST ROW(GET, 204, "/first", 0, 0)

static const struct exchange first = {"GET /first HTTP/1.1\r\n\r\n",
				      "HTTP/1.1 204 No Content\r\n\r\n", FIRST};
static const struct exchange get = {GET, HELLO, ROW(GET, 200, "/early", 0, 5)};
static const struct exchange head = {"HEAD /early HTTP/1.1\r\n\r\n",
				     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
				     ROW(HEAD, 200, "/early", 0, 0)};

/* In one thread: an early first response of a connection is a limit. */
static void pair_exchange(const struct pair *pair, const struct exchange *exchange)
{
	put_text(pair->fd[CLIENT], exchange->request);
	take_text(pair->fd[SERVER], exchange->request);
	put_text(pair->fd[SERVER], exchange->response);
	take_text(pair->fd[CLIENT], exchange->response);
}

/* A connection whose client was heard of. */
static struct endpoint *duo_meet_over(struct scene *scene, struct duo *duo,
				      enum transport transport)
{
	struct endpoint *endpoint = endpoint_open(scene, transport);

	*duo = (struct duo){
	    .pair = pair_open(endpoint), .ask = put_text, .hear = take_text};
	scene_mark(scene);
	pair_exchange(&duo->pair, &first);
	return endpoint;
}

static struct endpoint *duo_meet(struct scene *scene, struct duo *duo)
{
	return duo_meet_over(scene, duo, UNIX);
}

static struct expected times(struct expected row, uint64_t count)
{
	row.requests *= count;
	row.request_bytes *= count;
	row.response_bytes *= count;
	return row;
}

static struct expected at(struct expected row, uint8_t role)
{
	row.role = role;
	return row;
}

static void judge(struct scene *scene, struct endpoint *endpoint, const char *name,
		  const struct expected *rows, const struct miss *missed)
{
	assert_rows(scene, endpoint, name, rows);
	assert_missed(scene, name, missed);
}

static uint64_t unix_in_flight(const struct scene *scene)
{
	const volatile struct tally_unix_balance *balance =
	    &probes_counters(scene->probes)->unix_balance;

	return balance->begun - balance->ended;
}

/* Whether every send since then was held until its response had been read. */
static bool were_held(uint64_t expired_before)
{
	return gate_works(&gate) && gate.state->expired == expired_before;
}

/* --- pairs ------------------------------------------------------------------------ */

#define EACH 10
#define STALLED 300

/* Of a Unix socket some kernels tell the wake alone; of TCP, some only the end. */
static const struct where {
	const char *name;
	enum transport transport;
	enum gate_place place;
} wheres[] = {{"Unix, before the wake", UNIX, GATE_WAKE},
	      {"Unix, at the end", UNIX, GATE_SENT},
	      {"IPv4, at the end", IPV4, GATE_SENT},
	      {"IPv6, at the end", IPV6, GATE_SENT}};
#define WHERES (sizeof(wheres) / sizeof(wheres[0]))

static void assert_early(struct scene *scene, const struct where *where,
			 const struct exchange *exchange)
{
	struct duo duo;
	struct endpoint *endpoint = duo_meet_over(scene, &duo, where->transport);
	uint64_t in_flight = unix_in_flight(scene);

	duo.place = where->place;
	duo_run_held(&duo, exchange, EACH);
	pair_close(&duo.pair);
	judge(scene, endpoint, where->name, ROWS(FIRST, times(exchange->row, EACH)),
	      nothing_missed);
	assert_int_equal(unix_in_flight(scene), in_flight);
}

static void a_response_read_before_its_request_is_told_is_counted(void **state)
{
	static const struct exchange exchanges[] = {
	    {GET, HELLO, ROW(GET, 200, "/early", 0, 5)},
	    {"POST /early HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", HELLO,
	     ROW(POST, 200, "/early", 4, 5)},
	    {"POST /early HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "2\r\nab\r\n0\r\n\r\n",
	     HELLO, ROW(POST, 200, "/early", 2, 5)},
	    {GET, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
	     ROW(GET, 404, "/early", 0, 0)},
	    {GET,
	     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "3\r\nabc\r\n0\r\n\r\n",
	     ROW(GET, 200, "/early", 0, 3)},
	};

	for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++)
		for (size_t where = 0; where < WHERES; where++)
			assert_early(*state, &wheres[where], &exchanges[i]);
}

/* Sends the head before it lets itself be held. */
static void ask_body_apart(int fd, const char *request)
{
	const char *body = strstr(request, "\r\n\r\n") + LEN("\r\n\r\n");

	gate_let_go(&gate);
	put(fd, request, (size_t)(body - request));
	gate_hold_me(&gate, GATE_SENT);
	put_text(fd, body);
}

/* The request is known when its response is read, but not all of its body. Before the
 * wake nothing tells of a send on a Unix socket: that is a limit. */
static void a_body_that_is_told_after_the_response_is_counted(void **state)
{
	static const struct exchange exchanges[] = {
	    {"POST /early HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", HELLO,
	     ROW(POST, 200, "/early", 4, 5)},
	    {"PUT /early HTTP/1.1\r\nContent-Length: 2\r\n\r\nab",
	     "HTTP/1.1 204 No Content\r\n\r\n", ROW(PUT, 204, "/early", 2, 0)},
	};

	for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++)
		for (size_t where = 1; where < WHERES; where++) {
			struct duo duo;
			struct endpoint *endpoint =
			    duo_meet_over(*state, &duo, wheres[where].transport);

			duo.place = wheres[where].place;
			duo.ask = ask_body_apart;
			duo_run_held(&duo, &exchanges[i], EACH);
			pair_close(&duo.pair);
			judge(*state, endpoint, wheres[where].name,
			      ROWS(FIRST, times(exchanges[i].row, EACH)),
			      nothing_missed);
		}
}

/* The refused body never comes: what comes is the next request. */
static void a_refusal_read_before_its_request_is_told_is_one(void **state)
{
	static const struct exchange refused = {
	    "PUT /early HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
	    "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n",
	    ROW(PUT, 417, "/early", 0, 0)};

	for (size_t where = 0; where < WHERES; where++) {
		struct duo duo;
		struct endpoint *endpoint =
		    duo_meet_over(*state, &duo, wheres[where].transport);

		duo.place = wheres[where].place;
		for (int i = 0; i < EACH; i++) {
			duo_run_held(&duo, &refused, 1);
			duo_run_held(&duo, &get, 1);
		}
		pair_close(&duo.pair);
		judge(*state, endpoint, wheres[where].name,
		      ROWS(FIRST, times(refused.row, EACH), times(get.row, EACH)),
		      nothing_missed);
	}
}

#define MUCH 5000000
#define REFUSAL "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"

/* Until the connection ends: nobody reads all of it. */
static void *send_much(void *context)
{
	static char much[MUCH];

	REQUIRE(send(*(int *)context, much, MUCH, MSG_NOSIGNAL) < MUCH);
	return NULL;
}

static void await_full(int fd)
{
	struct pollfd room = {.fd = fd, .events = POLLOUT};
	const uint64_t start_ns = now_ns();

	while (poll(&room, 1, 0) > 0 && keep_waiting(start_ns))
		;
}

/* Not when the send is over, which may be never. */
static void a_refusal_while_the_body_is_stuck_is_counted_at_once(void **state)
{
	static const char head[] =
	    "POST /early HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n";

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct duo duo;
		struct endpoint *endpoint = duo_meet_over(*state, &duo, transport);
		pthread_t sender;

		put_text(duo.pair.fd[CLIENT], head);
		take_text(duo.pair.fd[SERVER], head);
		REQUIRE(
		    !pthread_create(&sender, NULL, send_much, &duo.pair.fd[CLIENT]));
		await_full(duo.pair.fd[CLIENT]);
		put_text(duo.pair.fd[SERVER], REFUSAL);
		take_text(duo.pair.fd[CLIENT], REFUSAL);
		judge(*state, endpoint, transport_name(transport),
		      ROWS(FIRST, ROW(POST, 413, "/early", 0, 0)), nothing_missed);
		pair_close_side(&duo.pair, SERVER);
		REQUIRE(!pthread_join(sender, NULL));
		pair_close(&duo.pair);
	}
}

/* Its length is of no body, as is known when it is told that it answers a HEAD. */
static void a_response_to_head_among_others_is_counted(void **state)
{
	for (size_t where = 0; where < WHERES; where++) {
		struct duo duo;
		struct endpoint *endpoint =
		    duo_meet_over(*state, &duo, wheres[where].transport);

		duo.place = wheres[where].place;
		for (int i = 0; i < EACH; i++) {
			duo_run_held(&duo, &head, 2);
			duo_run_held(&duo, &get, 1);
		}
		pair_close(&duo.pair);
		judge(*state, endpoint, wheres[where].name,
		      ROWS(FIRST, times(head.row, 2 * EACH), times(get.row, EACH)),
		      nothing_missed);
	}
}

/* Wherever in our programs a thread stands still: in the midst of being told of a
 * request to HEAD, of its response. */
static void a_response_to_head_is_counted_however_threads_stand_still(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct duo duo;
		struct endpoint *endpoint = duo_meet_over(*state, &duo, transport);

		duo.stalled = true;
		duo_run(&duo, &head, STALLED);
		pair_close(&duo.pair);
		judge(*state, endpoint, transport_name(transport),
		      ROWS(FIRST, times(head.row, STALLED)), nothing_missed);
	}
}

/* The thread that sends cannot complete the pair: the next response does. */
static void take_text_and_workspaces(int fd, const char *text)
{
	take_text(fd, text);
	workspaces_take();
}

static void a_pair_without_a_workspace_is_counted_later(void **state)
{
	if (!gate_works(&gate))
		skip();
	if (scene_config().no_shortcuts) /* the request itself would need one */
		skip();
	for (size_t where = 0; where < WHERES; where++) {
		struct duo duo;
		struct endpoint *endpoint =
		    duo_meet_over(*state, &duo, wheres[where].transport);

		duo.place = wheres[where].place;
		for (int i = 0; i < 3; i++) /* then its head needs no workspace */
			pair_exchange(&duo.pair, &get);
		duo.hear = take_text_and_workspaces;
		duo_run_held(&duo, &get, 1);
		workspaces_give();
		pair_exchange(&duo.pair, &get);
		pair_close(&duo.pair);
		judge(*state, endpoint, wheres[where].name,
		      ROWS(FIRST, times(get.row, 5)), nothing_missed);
	}
}

/* What is known of its beginning is that the response was there before. */
static void a_request_that_is_told_after_its_response_took_no_time(void **state)
{
	struct duo duo;
	struct endpoint *endpoint = duo_meet(*state, &duo);
	uint64_t expired = gate.state->expired;
	struct rows *rows;

	duo_run_held(&duo, &get, EACH);
	pair_close(&duo.pair);
	judge(*state, endpoint, "time", ROWS(FIRST, times(get.row, EACH)),
	      nothing_missed);
	if (!were_held(expired) ||
	    probes_capture(((struct scene *)*state)->probes) == CAPTURE_FENTRY)
		return;
	rows = rows_read(*state, endpoint);
	for (unsigned int i = 0; i < rows->count; i++) {
		const struct row *row = &rows->row[i];

		if (row->role != TALLY_ROLE_CLIENT || strcmp(row->route, "/early") != 0)
			continue;
		assert_int_equal(row->sum.duration[0], EACH);
		assert_int_equal(row->sum.duration_sum_ns, 0);
		assert_int_equal(row->sum.first_byte_sum_ns, 0);
	}
	free(rows);
}

/* --- messages that are lost ------------------------------------------------------- */

static void ask_from_file(int fd, const char *request)
{
	int file = memfd_create("request", MFD_CLOEXEC);
	const size_t len = strlen(request);
	off_t start = 0;

	REQUIRE(file >= 0);
	put(file, request, len);
	REQUIRE(sendfile(fd, file, &start, len) == (ssize_t)len);
	close(file);
}

/* Lets the send go, and waits until it is told. */
static void let_be_told(void)
{
	const unsigned int before = __atomic_load_n(&sends, __ATOMIC_ACQUIRE);
	const uint64_t start_ns = now_ns();

	if (!gate_works(&gate)) /* it was not held, and may be over */
		return;
	gate_let_go(&gate);
	while (__atomic_load_n(&sends, __ATOMIC_ACQUIRE) == before &&
	       keep_waiting(start_ns))
		;
}

/* The ledger has it, so its response is no other request's. */
static void the_response_to_a_request_that_is_lost_is_of_no_other(void **state)
{
	static const struct exchange lost = {
	    GET, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
	    ROW_OF(SERVER, GET, 500, "/early", 0, 0)};
	struct duo duo;
	struct endpoint *endpoint = duo_meet(*state, &duo);
	uint64_t in_flight = unix_in_flight(*state);

	duo.ask = ask_from_file;
	duo_run_held(&duo, &lost, 1);
	duo.ask = put_text;
	duo_run(&duo, &get, EACH);
	pair_close(&duo.pair);
	judge(*state, endpoint, "lost request",
	      ROWS(FIRST, lost.row, times(get.row, EACH)),
	      MISSES({TALLY_MISSED_NO_WINDOW, 1}));
	assert_int_equal(unix_in_flight(*state), in_flight);
}

#define OOPS "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\n"

static void hear_in_two(int fd, const char *response)
{
	take(fd, response, LEN(OOPS), 0);
	let_be_told();
	take_text(fd, response + LEN(OOPS));
}

/* That it is lost is told in the midst of its response. */
static void
the_half_read_response_to_a_request_that_is_lost_is_of_no_other(void **state)
{
	static const struct exchange lost = {GET, OOPS "hello",
					     ROW_OF(SERVER, GET, 500, "/early", 0, 5)};
	struct duo duo;
	struct endpoint *endpoint = duo_meet(*state, &duo);
	uint64_t in_flight = unix_in_flight(*state);

	duo.place = GATE_SENT;
	duo.ask = ask_from_file;
	duo.hear = hear_in_two;
	duo_run_held(&duo, &lost, 1);
	duo.ask = put_text;
	duo.hear = take_text;
	duo_run(&duo, &get, EACH);
	pair_close(&duo.pair);
	judge(*state, endpoint, "lost request, half a response",
	      ROWS(FIRST, lost.row, times(get.row, EACH)),
	      MISSES({TALLY_MISSED_NO_WINDOW, 1}));
	assert_int_equal(unix_in_flight(*state), in_flight);
}

static void the_refusal_of_a_request_that_is_none_is_of_no_other(void **state)
{
	static const struct exchange refusal = {
	    "GET /early HTTP/1.1\r\nContent-Length: x\r\n\r\n",
	    "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
	    ROW(GET, 400, "/early", 0, 0)};
	struct duo duo;
	struct endpoint *endpoint = duo_meet(*state, &duo);
	uint64_t expired = gate.state->expired;

	duo_run_held(&duo, &refusal, 1);
	duo_run(&duo, &get, EACH);
	pair_close(&duo.pair);
	if (were_held(expired))
		judge(*state, endpoint, "refusal",
		      ROWS(FIRST, at(refusal.row, TALLY_ROLE_SERVER),
			   times(get.row, EACH)),
		      MISSES({TALLY_MISSED_MALFORMED, 1}));
	else
		judge(*state, endpoint, "refusal as usual",
		      ROWS(FIRST, refusal.row, times(get.row, EACH)), nothing_missed);
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHUNKS "3\r\nabc\r\n0\r\n\r\n"

static void hear_head_only(int fd, const char *response)
{
	const size_t rest = strlen(response) - LEN(CHUNKED);
	char buf[64];

	take(fd, response, LEN(CHUNKED), 0);
	REQUIRE(recv(fd, buf, rest, MSG_TRUNC | MSG_WAITALL) == (ssize_t)rest);
}

static void hear_head_then_lose(int fd, const char *response)
{
	const size_t rest = strlen(response) - LEN(CHUNKED);
	char buf[64];

	take(fd, response, LEN(CHUNKED), 0);
	let_be_told();
	REQUIRE(recv(fd, buf, rest, MSG_TRUNC | MSG_WAITALL) == (ssize_t)rest);
}

/* The first of these responses is lost, the others come, each as it is told. */
static void assert_lost_once(struct scene *scene, enum gate_place place,
			     void (*lose)(int, const char *),
			     void (*run)(struct duo *, const struct exchange *, int))
{
	static const struct exchange chunked = {GET, CHUNKED CHUNKS,
						ROW(GET, 200, "/early", 0, 3)};
	struct duo duo;
	struct endpoint *endpoint = duo_meet(scene, &duo);
	uint64_t in_flight = unix_in_flight(scene);

	duo.place = place;
	duo.hear = lose;
	duo_run_held(&duo, &chunked, 1);
	duo.hear = take_text;
	run(&duo, &chunked, EACH);
	pair_close(&duo.pair);
	judge(scene, endpoint, "lost response",
	      ROWS(FIRST, at(times(chunked.row, EACH + 1), TALLY_ROLE_SERVER),
		   at(times(chunked.row, EACH), TALLY_ROLE_CLIENT)),
	      MISSES({TALLY_MISSED_NO_WINDOW, 1}));
	assert_int_equal(unix_in_flight(scene), in_flight);
}

static void the_request_of_a_response_that_is_lost_is_in_the_ledger_once(void **state)
{
	assert_lost_once(*state, GATE_WAKE, hear_head_only, duo_run);
}

/* What was early of it is over then: the next early one is of no other request. */
static void
a_response_that_is_lost_when_its_request_is_told_is_in_the_ledger_once(void **state)
{
	assert_lost_once(*state, GATE_SENT, hear_head_then_lose, duo_run_held);
}

/* --- responses that nobody asked for ---------------------------------------------- */

static void *hear_timeout(void *context)
{
	take_text(*(int *)context, TIMEOUT);
	return NULL;
}

/* Not read by a thread that sends. */
static void time_out(struct duo *duo)
{
	pthread_t reader;

	put_text(duo->pair.fd[SERVER], TIMEOUT);
	REQUIRE(!pthread_create(&reader, NULL, hear_timeout, &duo->pair.fd[CLIENT]));
	REQUIRE(!pthread_join(reader, NULL));
}

/* At both ends. */
#define TIMEOUTS(count) MISSES({TALLY_MISSED_NO_REQUEST, 2 * (count)})

static void a_timeout_and_the_end_are_no_request(void **state)
{
	struct duo duo;
	struct endpoint *endpoint = duo_meet(*state, &duo);
	uint64_t in_flight = unix_in_flight(*state);

	time_out(&duo);
	pair_close_side(&duo.pair, SERVER);
	take_end(duo.pair.fd[CLIENT]);
	pair_close(&duo.pair);
	judge(*state, endpoint, "the server closes", ROWS(FIRST), TIMEOUTS(1));
	assert_int_equal(unix_in_flight(*state), in_flight);
}

static void two_timeouts_are_two(void **state)
{
	struct duo duo;
	struct endpoint *endpoint = duo_meet(*state, &duo);

	time_out(&duo);
	time_out(&duo);
	pair_close_side(&duo.pair, SERVER);
	take_end(duo.pair.fd[CLIENT]);
	pair_close(&duo.pair);
	judge(*state, endpoint, "two timeouts", ROWS(FIRST), TIMEOUTS(2));
}

/* No hook tells of its end: where late sends make a request be presumed, it is missing
 * from the balance, which the daemon names (unseen_close). */
static void a_timeout_and_an_end_that_nobody_tells_is_in_the_balance(void **state)
{
	struct duo duo;
	struct endpoint *endpoint = duo_meet(*state, &duo);
	uint64_t in_flight = unix_in_flight(*state);
	bool is_late =
	    probes_capture(((struct scene *)*state)->probes) == CAPTURE_TRACEPOINT;

	time_out(&duo);
	pair_close(&duo.pair);
	judge(*state, endpoint, "the client closes", ROWS(FIRST),
	      MISSES({TALLY_MISSED_NO_REQUEST, is_late ? 1 : 2}));
	assert_int_equal(unix_in_flight(*state), in_flight + is_late);
}

static void a_timeout_long_before_a_request_is_not_its_response(void **state)
{
	struct duo duo;
	struct endpoint *endpoint = duo_meet(*state, &duo);

	time_out(&duo);
	take_time(300000000); /* EARLY_MAX_NS and more */
	duo_run(&duo, &get, EACH);
	pair_close(&duo.pair);
	judge(*state, endpoint, "long before", ROWS(FIRST, times(get.row, EACH)),
	      TIMEOUTS(1));
}

static void *time_out_and_ask(void *context)
{
	struct duo *duo = context;

	hear_timeout(&duo->pair.fd[CLIENT]);
	put_text(duo->pair.fd[CLIENT], GET);
	return NULL;
}

static void a_timeout_read_by_who_sends_next_is_not_its_response(void **state)
{
	struct duo duo;
	struct endpoint *endpoint = duo_meet(*state, &duo);
	pthread_t client;

	put_text(duo.pair.fd[SERVER], TIMEOUT);
	REQUIRE(!pthread_create(&client, NULL, time_out_and_ask, &duo));
	take_text(duo.pair.fd[SERVER], GET);
	put_text(duo.pair.fd[SERVER], HELLO);
	REQUIRE(!pthread_join(client, NULL));
	take_text(duo.pair.fd[CLIENT], HELLO);
	pair_close(&duo.pair);
	judge(*state, endpoint, "who sends next", ROWS(FIRST, get.row), TIMEOUTS(1));
}

/* ---------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	gate = gate_open(); /* before ours */
	print_message("measured: sends can%s be held, threads can%s stand still\n",
		      gate_works(&gate) ? "" : "not", stall_works() ? "" : "not");
	return scene_set_up(state);
}

static int tear_down(void **state)
{
	int err = scene_tear_down(state);

	print_message("measured: %lu sends held too long\n", gate.state->expired);
	gate_close(&gate);
	return err;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_response_read_before_its_request_is_told_is_counted),
	    cmocka_unit_test(a_body_that_is_told_after_the_response_is_counted),
	    cmocka_unit_test(a_refusal_read_before_its_request_is_told_is_one),
	    cmocka_unit_test(a_refusal_while_the_body_is_stuck_is_counted_at_once),
	    cmocka_unit_test(a_response_to_head_among_others_is_counted),
	    cmocka_unit_test(a_response_to_head_is_counted_however_threads_stand_still),
	    cmocka_unit_test(a_pair_without_a_workspace_is_counted_later),
	    cmocka_unit_test(a_request_that_is_told_after_its_response_took_no_time),
	    cmocka_unit_test(the_response_to_a_request_that_is_lost_is_of_no_other),
	    cmocka_unit_test(
		the_half_read_response_to_a_request_that_is_lost_is_of_no_other),
	    cmocka_unit_test(the_refusal_of_a_request_that_is_none_is_of_no_other),
	    cmocka_unit_test(
		the_request_of_a_response_that_is_lost_is_in_the_ledger_once),
	    cmocka_unit_test(
		a_response_that_is_lost_when_its_request_is_told_is_in_the_ledger_once),
	    cmocka_unit_test(a_timeout_and_the_end_are_no_request),
	    cmocka_unit_test(two_timeouts_are_two),
	    cmocka_unit_test(a_timeout_and_an_end_that_nobody_tells_is_in_the_balance),
	    cmocka_unit_test(a_timeout_long_before_a_request_is_not_its_response),
	    cmocka_unit_test(a_timeout_read_by_who_sends_next_is_not_its_response),
	    cmocka_unit_test(no_case_is_counted_again_later),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
