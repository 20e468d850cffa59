/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds a connection, and how it ends: threads, children, processes that are
 * handed a socket, ends that go away in the middle. */
#include "talk.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>

#define REQUEST "GET /life HTTP/1.1\r\nHost: x\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define LEN(text) (sizeof(text) - 1)

static struct expected lives(uint64_t count)
{
	return (struct expected){.method = TALLY_METHOD_GET,
				 .status = 200,
				 .route = "/life",
				 .requests = count,
				 .response_bytes = count * 5};
}

static void ask(int fd, unsigned int count)
{
	while (count--) {
		put(fd, REQUEST, LEN(REQUEST));
		take(fd, RESPONSE, LEN(RESPONSE), 0);
	}
}

static void answer(int fd, unsigned int count)
{
	while (count--) {
		take(fd, REQUEST, LEN(REQUEST), 0);
		put(fd, RESPONSE, LEN(RESPONSE));
	}
}

static void judge(struct scene *scene, struct endpoint *endpoint, uint64_t count)
{
	assert_rows(scene, endpoint, transport_name(endpoint->transport),
		    ROWS(lives(count)));
	assert_missed(scene, transport_name(endpoint->transport), nothing_missed);
}

/* --- short connections ------------------------------------------------------ */

static const struct delivery whole;

static void a_thousand_short_connections_are_a_thousand_requests(void **state)
{
	static const struct delivery deliveries[1000];
	const struct talk talks[] = {
	    TALK("the server closes", TURNS(C(REQUEST), S(RESPONSE), S_CLOSES),
		 ROWS(lives(1)), .once = true),
	    TALK("the client closes", TURNS(C(REQUEST), S(RESPONSE), C_CLOSES),
		 ROWS(lives(1)), .once = true)};

	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		for (int i = 0; i < 2; i++)
			assert_true(
			    talk_check(*state, transport, &talks[i], deliveries, 1000));
}

static void reset_after_the_answer_changes_nothing(void **state)
{
	const struct talk talks[] = {
	    TALK("the client resets", TURNS(C(REQUEST), S(RESPONSE), C_RESETS),
		 ROWS(lives(1)), .once = true),
	    TALK("the server resets", TURNS(C(REQUEST), S(RESPONSE), S_RESETS),
		 ROWS(lives(1)), .once = true),
	    TALK("after two",
		 TURNS(C(REQUEST), S(RESPONSE), C(REQUEST), S(RESPONSE), S_RESETS),
		 ROWS(lives(2)), .once = true)};

	ASSERT_TALKS(*state, talks);
}

/* --- ends in the middle, TCP ------------------------------------------------ */

#define BOTH_BROKEN(status, request_size, response_size)                               \
	ROWS(BROKEN(BOTH_ROLES, GET, status, "/life", request_size, response_size))

static void a_request_without_its_answer_is_an_error_at_both_ends(void **state)
{
	const struct talk talks[] = {
	    TALK("the client leaves before the answer",
		 TURNS(C(REQUEST), C_CLOSES, S_CLOSES), BOTH_BROKEN(0, 0, 0),
		 .once = true),
	    TALK("the client resets before the answer",
		 TURNS(C(REQUEST), C_RESETS, S_CLOSES), BOTH_BROKEN(0, 0, 0),
		 .once = true),
	    TALK("the server leaves without an answer",
		 TURNS(C(REQUEST), S_CLOSES, C_CLOSES), BOTH_BROKEN(0, 0, 0),
		 .once = true),
	    TALK("the server resets without an answer",
		 TURNS(C(REQUEST), S_RESETS, C_CLOSES), BOTH_BROKEN(0, 0, 0),
		 .once = true),
	    TALK("the server leaves inside a body",
		 TURNS(C(REQUEST),
		       S("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
		       S_CLOSES, C_CLOSES),
		 BOTH_BROKEN(200, 0, 4), .once = true),
	    TALK("the server resets inside a body",
		 TURNS(C(REQUEST),
		       S("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
		       S_RESETS, C_CLOSES),
		 BOTH_BROKEN(200, 0, 4), .once = true),
	    TALK("the client leaves inside a body",
		 TURNS(C(REQUEST),
		       S("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
		       C_CLOSES, S_CLOSES),
		 BOTH_BROKEN(200, 0, 4), .once = true),
	    TALK("the server leaves before the last chunk",
		 TURNS(C(REQUEST),
		       S("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "4\r\nhalf\r\n"),
		       S_CLOSES, C_CLOSES),
		 BOTH_BROKEN(200, 0, 4), .once = true),
	    TALK("the server leaves after an interim response",
		 TURNS(C(REQUEST), S("HTTP/1.1 100 Continue\r\n\r\n"), S_CLOSES,
		       C_CLOSES),
		 BOTH_BROKEN(0, 0, 0), .once = true),
	    TALK("the client leaves inside its own body",
		 TURNS(C("POST /life HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello"),
		       C_CLOSES, S_CLOSES),
		 ROWS(BROKEN(BOTH_ROLES, POST, 0, "/life", 5, 0)), .once = true),
	    TALK("one of three pipelined requests is answered",
		 TURNS(C(REQUEST REQUEST REQUEST), S(RESPONSE), S_CLOSES, C_CLOSES),
		 ROWS(lives(1), {.method = TALLY_METHOD_GET,
				 .error = TALLY_ERROR_CLOSED,
				 .route = "/life",
				 .requests = 2}),
		 .once = true),
	};
	unsigned int failures = 0;

	for (size_t i = 0; i < sizeof(talks) / sizeof(talks[0]); i++)
		for (enum transport transport = 0; transport < UNIX; transport++)
			failures +=
			    !talk_check(*state, transport, &talks[i], &whole, 1);
	assert_int_equal(failures, 0);
}

/* Less than a head is no request yet; it has no method or route to count under. */
static void half_a_head_is_no_request(void **state)
{
	const struct talk talks[] = {
	    TALK("the client leaves inside the request line",
		 TURNS(C("GET /li"), C_CLOSES, S_CLOSES), NO_ROWS, .once = true),
	    TALK("the client resets inside the request line",
		 TURNS(C("GET /life HTT"), C_RESETS, S_CLOSES), NO_ROWS, .once = true),
	    TALK("nobody says anything", TURNS(C_CLOSES, S_CLOSES), NO_ROWS,
		 .once = true)};

	ASSERT_TALKS(*state, talks);
}

static void an_answer_to_a_client_that_left_is_still_the_servers(void **state)
{
	static const struct expected rows[] = {
	    ROW_OF(SERVER, GET, 200, "/life", 0, 5),
	    BROKEN(TALLY_ROLE_CLIENT, GET, 0, "/life", 0, 0),
	    {0}};

	for (enum transport transport = 0; transport < UNIX; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair pair = pair_open(endpoint);

		scene_mark(*state);
		put(pair.fd[CLIENT], REQUEST, LEN(REQUEST));
		take(pair.fd[SERVER], REQUEST, LEN(REQUEST), 0);
		pair_close_side(&pair, CLIENT);
		put(pair.fd[SERVER], RESPONSE, LEN(RESPONSE));
		pair_close(&pair);
		assert_rows(*state, endpoint, transport_name(transport), rows);
		assert_missed(*state, "answer to nobody", nothing_missed);
	}
}

/* The application never read it, so for the server it did not happen. */
static void a_request_that_is_never_read_is_the_clients_alone(void **state)
{
	static const struct expected rows[] = {
	    BROKEN(TALLY_ROLE_CLIENT, GET, 0, "/life", 0, 0), {0}};

	for (enum transport transport = 0; transport < UNIX; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair pair = pair_open(endpoint);

		scene_mark(*state);
		put(pair.fd[CLIENT], REQUEST, LEN(REQUEST));
		await_readable(pair.fd[SERVER]);
		pair_close_side(&pair, SERVER);
		pair_close(&pair);
		assert_rows(*state, endpoint, transport_name(transport), rows);
		assert_missed(*state, "never read", nothing_missed);
	}
}

/* --- ends in the middle, Unix ----------------------------------------------- */

struct census {
	uint64_t connections[TALLY_ROLE_CLIENT + 1];
	uint64_t in_flight;
};

static void see_connections(void *context, const struct tally_connections_key *key,
			    const struct tally_connections *sum)
{
	struct census *census = context;

	census->connections[key->role % (TALLY_ROLE_CLIENT + 1)] += sum->open;
	census->in_flight += sum->in_flight;
}

static struct census take_census(const struct scene *scene)
{
	struct census census = {0};

	REQUIRE(!probes_count_connections(scene->probes, see_connections, &census));
	return census;
}

static bool census_is(const struct scene *scene, uint64_t servers, uint64_t clients,
		      uint64_t in_flight)
{
	struct census census = take_census(scene);

	return census.connections[TALLY_ROLE_SERVER] == servers &&
	       census.connections[TALLY_ROLE_CLIENT] == clients &&
	       census.in_flight == in_flight;
}

static void assert_census(const struct scene *scene, uint64_t servers, uint64_t clients,
			  uint64_t in_flight)
{
	uint64_t start_ns = now_ns();
	struct census census;

	while (!census_is(scene, servers, clients, in_flight) && keep_waiting(start_ns))
		;
	census = take_census(scene);
	assert_int_equal(census.connections[TALLY_ROLE_SERVER], servers);
	assert_int_equal(census.connections[TALLY_ROLE_CLIENT], clients);
	assert_int_equal(census.in_flight, in_flight);
}

static struct tally_unix_balance balance_now(const struct scene *scene)
{
	const volatile struct tally_unix_balance *balance =
	    &probes_counters(scene->probes)->unix_balance;

	return (struct tally_unix_balance){balance->begun, balance->ended};
}

static void assert_unix_ends(struct scene *scene, const struct talk *talk,
			     uint64_t begun, uint64_t ended)
{
	struct tally_unix_balance before = balance_now(scene), after;
	bool as_told = talk_check(scene, UNIX, talk, &whole, 1);

	after = balance_now(scene);
	assert_true(as_told);
	assert_int_equal(after.begun - before.begun, begun);
	assert_int_equal(after.ended - before.ended, ended);
	assert_census(scene, 0, 0, 0);
}

/* A Unix socket closes without a hook: what began at both ends and ended at
 * neither is the balance that the daemon reports as unseen. */
static void a_unix_socket_that_just_closes_shows_in_the_balance(void **state)
{
	const struct talk talks[] = {
	    TALK("nobody answers", TURNS(C(REQUEST), C_CLOSES, S_CLOSES), NO_ROWS,
		 .once = true),
	    TALK("one of three is answered",
		 TURNS(C(REQUEST REQUEST REQUEST), S(RESPONSE), C_CLOSES, S_CLOSES),
		 ROWS(lives(1)), .once = true),
	    TALK("all are answered",
		 TURNS(C(REQUEST), S(RESPONSE), C(REQUEST), S(RESPONSE), C_CLOSES),
		 ROWS(lives(2)), .once = true),
	};

	assert_unix_ends(*state, &talks[0], 2, 0);
	assert_unix_ends(*state, &talks[1], 6, 2);
	assert_unix_ends(*state, &talks[2], 4, 4);
}

/* The end that reads the other's end does see it. */
static void a_unix_client_that_reads_the_end_counts_an_error(void **state)
{
	const struct talk talks[] = {
	    TALK("the server leaves without an answer",
		 TURNS(C(REQUEST), S_CLOSES, C_CLOSES),
		 ROWS(BROKEN(TALLY_ROLE_CLIENT, GET, 0, "/life", 0, 0)), .once = true),
	    TALK("the server leaves inside a body",
		 TURNS(C(REQUEST),
		       S("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
		       S_CLOSES, C_CLOSES),
		 ROWS(BROKEN(TALLY_ROLE_CLIENT, GET, 200, "/life", 0, 4)),
		 .once = true),
	};

	assert_unix_ends(*state, &talks[0], 2, 1);
	assert_unix_ends(*state, &talks[1], 2, 1);
}

static void open_connections_and_their_requests_in_flight_are_listed(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair idle, busy, fresh;

		assert_census(*state, 0, 0, 0);
		fresh = pair_open(endpoint);
		idle = pair_open(endpoint);
		put(idle.fd[CLIENT], REQUEST, LEN(REQUEST));
		take(idle.fd[SERVER], REQUEST, LEN(REQUEST), 0);
		put(idle.fd[SERVER], RESPONSE, LEN(RESPONSE));
		take(idle.fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
		assert_census(*state, 1, 1, 0);
		busy = pair_open(endpoint);
		put(busy.fd[CLIENT], REQUEST REQUEST, 2 * LEN(REQUEST));
		assert_census(*state, 1, 2, 2);
		take(busy.fd[SERVER], REQUEST REQUEST, 2 * LEN(REQUEST), 0);
		assert_census(*state, 2, 2, 4);
		put(busy.fd[SERVER], RESPONSE, LEN(RESPONSE));
		assert_census(*state, 2, 2, 3);
		take(busy.fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
		assert_census(*state, 2, 2, 2);
		put(busy.fd[SERVER], RESPONSE, LEN(RESPONSE));
		take(busy.fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
		pair_close(&fresh);
		pair_close(&idle);
		pair_close(&busy);
		assert_census(*state, 0, 0, 0);
		judge(*state, endpoint, 3);
	}
}

/* --- processes -------------------------------------------------------------- */

static void await_child(pid_t child)
{
	int status;

	REQUIRE(waitpid(child, &status, 0) == child);
	REQUIRE(status == 0);
}

static void a_connection_accepted_here_and_served_by_a_child_is_exact(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair pair = pair_open(endpoint);
		pid_t child = fork();

		if (child == 0) {
			answer(pair.fd[SERVER], 5);
			_exit(0);
		}
		scene_mark(*state);
		pair_close_side(&pair, SERVER);
		ask(pair.fd[CLIENT], 5);
		await_child(child);
		pair_close(&pair);
		judge(*state, endpoint, 5);
	}
}

/* Prefork: several children accept from one listener. */
static void children_that_accept_themselves_are_exact(void **state)
{
	enum { CHILDREN = 4, EACH = 5 };

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		pid_t children[CHILDREN];

		scene_mark(*state);
		for (int i = 0; i < CHILDREN; i++) {
			children[i] = fork();
			if (children[i] == 0) {
				int fd = endpoint_accept(endpoint);

				answer(fd, EACH);
				_exit(0);
			}
		}
		for (int i = 0; i < CHILDREN; i++) {
			int fd = endpoint_connect(endpoint);

			ask(fd, EACH);
			close(fd);
		}
		for (int i = 0; i < CHILDREN; i++)
			await_child(children[i]);
		judge(*state, endpoint, CHILDREN * EACH);
	}
}

static void hand_over(int control, int fd)
{
	char byte = 0;
	struct iovec one = {&byte, 1};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} rights = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
			       .cmsg_level = SOL_SOCKET,
			       .cmsg_type = SCM_RIGHTS}};
	struct msghdr message = {.msg_iov = &one,
				 .msg_iovlen = 1,
				 .msg_control = &rights,
				 .msg_controllen = sizeof(rights)};

	memcpy(CMSG_DATA(&rights.header), &fd, sizeof(fd));
	REQUIRE(sendmsg(control, &message, 0) == 1);
}

static int take_over(int control)
{
	char byte;
	struct iovec one = {&byte, 1};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} rights;
	struct msghdr message = {.msg_iov = &one,
				 .msg_iovlen = 1,
				 .msg_control = &rights,
				 .msg_controllen = sizeof(rights)};
	int fd;

	REQUIRE(recvmsg(control, &message, 0) == 1);
	REQUIRE(message.msg_controllen >= CMSG_LEN(sizeof(int)));
	memcpy(&fd, CMSG_DATA(&rights.header), sizeof(fd));
	return fd;
}

/* The child reads what the parent left of the request, and answers. */
static void serve_handed_over(int control, size_t connections)
{
	for (size_t i = 0; i < connections; i++) {
		int fd = take_over(control);

		take(fd, REQUEST + i, LEN(REQUEST) - i, 0);
		put(fd, RESPONSE, LEN(RESPONSE));
		answer(fd, 1);
		close(fd);
	}
}

static void a_socket_handed_over_at_any_byte_of_a_request_is_exact(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		int control[2];
		pid_t child;

		scene_mark(*state);
		REQUIRE(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control));
		child = fork();
		if (child == 0) {
			serve_handed_over(control[1], LEN(REQUEST));
			_exit(0);
		}
		for (size_t i = 0; i < LEN(REQUEST); i++) {
			struct pair pair = pair_open(endpoint);

			put(pair.fd[CLIENT], REQUEST, LEN(REQUEST));
			take(pair.fd[SERVER], REQUEST, i, 0);
			hand_over(control[0], pair.fd[SERVER]);
			pair_close_side(&pair, SERVER);
			take(pair.fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
			ask(pair.fd[CLIENT], 1);
			pair_close(&pair);
		}
		await_child(child);
		close(control[0]);
		close(control[1]);
		judge(*state, endpoint, 2 * LEN(REQUEST));
	}
}

/* --- threads ---------------------------------------------------------------- */

#define THREADED 1000
#define WINDOW 16

struct duplex {
	struct pair pair;
	sem_t asked; /* requests that the server may answer */
	sem_t room;  /* requests that the client may send */
	pthread_mutex_t turn;
	unsigned int left;
};

static void *client_writes(void *context)
{
	struct duplex *duplex = context;

	for (int i = 0; i < THREADED; i++) {
		REQUIRE(!sem_wait(&duplex->room));
		put(duplex->pair.fd[CLIENT], REQUEST, LEN(REQUEST));
	}
	return NULL;
}

static void *client_reads(void *context)
{
	struct duplex *duplex = context;

	for (int i = 0; i < THREADED; i++) {
		take(duplex->pair.fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
		REQUIRE(!sem_post(&duplex->room));
	}
	return NULL;
}

static void *server_reads(void *context)
{
	struct duplex *duplex = context;

	for (int i = 0; i < THREADED; i++) {
		take(duplex->pair.fd[SERVER], REQUEST, LEN(REQUEST), 0);
		REQUIRE(!sem_post(&duplex->asked));
	}
	return NULL;
}

static void *server_writes(void *context)
{
	struct duplex *duplex = context;

	for (int i = 0; i < THREADED; i++) {
		REQUIRE(!sem_wait(&duplex->asked));
		put(duplex->pair.fd[SERVER], RESPONSE, LEN(RESPONSE));
	}
	return NULL;
}

static void *serve_in_turn(void *context)
{
	struct duplex *duplex = context;
	bool more = true;

	while (more) {
		REQUIRE(!pthread_mutex_lock(&duplex->turn));
		more = duplex->left > 0;
		if (more) {
			answer(duplex->pair.fd[SERVER], 1);
			duplex->left--;
		}
		REQUIRE(!pthread_mutex_unlock(&duplex->turn));
	}
	return NULL;
}

static void *ask_alone(void *context)
{
	ask(((struct duplex *)context)->pair.fd[CLIENT], THREADED);
	return NULL;
}

static void run_threads(struct scene *scene, enum transport transport,
			void *(*const *run)(void *), size_t count)
{
	struct endpoint *endpoint = endpoint_open(scene, transport);
	struct duplex duplex = {.pair = pair_open(endpoint),
				.turn = PTHREAD_MUTEX_INITIALIZER,
				.left = THREADED};
	pthread_t threads[4];

	scene_mark(scene);
	REQUIRE(!sem_init(&duplex.asked, 0, 0) && !sem_init(&duplex.room, 0, WINDOW));
	for (size_t i = 0; i < count; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, run[i], &duplex));
	for (size_t i = 0; i < count; i++)
		REQUIRE(!pthread_join(threads[i], NULL));
	pair_close(&duplex.pair);
	judge(scene, endpoint, THREADED);
}

static void a_thread_that_reads_and_one_that_writes_share_a_socket(void **state)
{
	static void *(*const run[])(void *) = {client_reads, server_writes,
					       server_reads, client_writes};

	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		run_threads(*state, transport, run, 4);
}

static void threads_that_take_turns_share_a_socket(void **state)
{
	static void *(*const run[])(void *) = {serve_in_turn, serve_in_turn,
					       serve_in_turn, ask_alone};

	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		run_threads(*state, transport, run, 4);
}

/* --- an answer before the end of the request -------------------------------- */

#define TOO_LARGE                                                                      \
	"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig"
#define UPLOAD "POST /life HTTP/1.1\r\nContent-Length: 50000000\r\n\r\n"

static void *upload_until_told(void *context)
{
	static const char zeros[65536];
	const struct duplex *duplex = context;

	put(duplex->pair.fd[CLIENT], UPLOAD, LEN(UPLOAD));
	while (!__atomic_load_n(&duplex->left, __ATOMIC_ACQUIRE))
		put(duplex->pair.fd[CLIENT], zeros, sizeof(zeros) / 64);
	return NULL;
}

static void *refuse(void *context)
{
	const struct duplex *duplex = context;
	int fd = duplex->pair.fd[SERVER];
	char buf[65536];

	take(fd, UPLOAD, LEN(UPLOAD), 0);
	REQUIRE(read(fd, buf, sizeof(buf)) > 0);
	put(fd, TOO_LARGE, LEN(TOO_LARGE));
	REQUIRE(!shutdown(fd, SHUT_WR));
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	return NULL;
}

static void a_refusal_before_the_whole_upload_is_counted_once(void **state)
{
	static const struct expected rows[] = {ROW(POST, 413, "/life", ANY_BYTES, 3),
					       {0}};

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct duplex duplex = {.pair = pair_open(endpoint)};
		pthread_t uploader, server;

		scene_mark(*state);
		REQUIRE(!pthread_create(&server, NULL, refuse, &duplex));
		REQUIRE(!pthread_create(&uploader, NULL, upload_until_told, &duplex));
		take(duplex.pair.fd[CLIENT], TOO_LARGE, LEN(TOO_LARGE), 0);
		take_end(duplex.pair.fd[CLIENT]);
		__atomic_store_n(&duplex.left, 1, __ATOMIC_RELEASE);
		REQUIRE(!pthread_join(uploader, NULL));
		pair_close_side(&duplex.pair, CLIENT);
		REQUIRE(!pthread_join(server, NULL));
		pair_close(&duplex.pair);
		assert_rows(*state, endpoint, transport_name(transport), rows);
		assert_missed(*state, "refusal", nothing_missed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_thousand_short_connections_are_a_thousand_requests),
	    cmocka_unit_test(reset_after_the_answer_changes_nothing),
	    cmocka_unit_test(a_request_without_its_answer_is_an_error_at_both_ends),
	    cmocka_unit_test(half_a_head_is_no_request),
	    cmocka_unit_test(an_answer_to_a_client_that_left_is_still_the_servers),
	    cmocka_unit_test(a_request_that_is_never_read_is_the_clients_alone),
	    cmocka_unit_test(a_unix_socket_that_just_closes_shows_in_the_balance),
	    cmocka_unit_test(a_unix_client_that_reads_the_end_counts_an_error),
	    cmocka_unit_test(open_connections_and_their_requests_in_flight_are_listed),
	    cmocka_unit_test(a_connection_accepted_here_and_served_by_a_child_is_exact),
	    cmocka_unit_test(children_that_accept_themselves_are_exact),
	    cmocka_unit_test(a_socket_handed_over_at_any_byte_of_a_request_is_exact),
	    cmocka_unit_test(a_thread_that_reads_and_one_that_writes_share_a_socket),
	    cmocka_unit_test(threads_that_take_turns_share_a_socket),
	    cmocka_unit_test(a_refusal_before_the_whole_upload_is_counted_once),
	    cmocka_unit_test(no_case_is_counted_again_later),
	};

	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
