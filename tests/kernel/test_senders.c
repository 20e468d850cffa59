/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads that send whole requests on one connection, a third reads the responses:
 * who of the two was first, nobody says. None counts twice. Over Unix sockets, told by
 * tracepoints, each is in a row or in the ledger, once; else one may be in the ledger
 * and in a row (early.bpf.h: two responses read before their requests are told). */
#include "talk.h"

#include <pthread.h>
#include <sched.h>
#include <sys/uio.h>

#define SENDERS 2
#define REQUESTS 5000 /* of each sender */
#define ALL (SENDERS * REQUESTS)
#define REQUEST "GET /one HTTP/1.1\r\nHost: example.com\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define LEN(text) (sizeof(text) - 1)

enum view { WAITING, NOT_WAITING, VIEWS };

static struct scene *scenes[VIEWS];

/* One connection, and how it is used. */
struct exchange {
	struct pair pair;
	int ahead_max; /* requests without their response */
	int ahead;
	bool in_vectors;
};

static void await_turn(struct exchange *exchange)
{
	while (__atomic_fetch_add(&exchange->ahead, 1, __ATOMIC_SEQ_CST) >=
	       exchange->ahead_max) {
		__atomic_fetch_sub(&exchange->ahead, 1, __ATOMIC_SEQ_CST);
		sched_yield();
	}
}

static void *ask(void *context)
{
	static const char request[] = REQUEST;
	const struct iovec pieces[] = {
	    {(void *)(uintptr_t)request, 10},
	    {(void *)(uintptr_t)(request + 10), LEN(REQUEST) - 10}};
	struct exchange *exchange = context;
	int fd = exchange->pair.fd[CLIENT];

	for (int i = 0; i < REQUESTS; i++) {
		await_turn(exchange);
		if (exchange->in_vectors)
			REQUIRE(writev(fd, pieces, 2) == (ssize_t)LEN(REQUEST));
		else
			REQUIRE(write(fd, request, LEN(REQUEST)) ==
				(ssize_t)LEN(REQUEST));
	}
	return NULL;
}

static void *answer(void *context)
{
	const struct exchange *exchange = context;

	for (int i = 0; i < ALL; i++) {
		take_text(exchange->pair.fd[SERVER], REQUEST);
		put_text(exchange->pair.fd[SERVER], RESPONSE);
	}
	return NULL;
}

static void *hear(void *context)
{
	struct exchange *exchange = context;

	for (int i = 0; i < ALL; i++) {
		take_text(exchange->pair.fd[CLIENT], RESPONSE);
		__atomic_fetch_sub(&exchange->ahead, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* The first request in peace: a response before any is of one we never saw. */
static void run(struct exchange *exchange)
{
	pthread_t threads[SENDERS + 2];

	put_text(exchange->pair.fd[CLIENT], REQUEST);
	take_text(exchange->pair.fd[SERVER], REQUEST);
	put_text(exchange->pair.fd[SERVER], RESPONSE);
	take_text(exchange->pair.fd[CLIENT], RESPONSE);
	for (int i = 0; i < SENDERS; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, ask, exchange));
	REQUIRE(!pthread_create(&threads[SENDERS], NULL, answer, exchange));
	REQUIRE(!pthread_create(&threads[SENDERS + 1], NULL, hear, exchange));
	for (int i = 0; i < SENDERS + 2; i++)
		REQUIRE(!pthread_join(threads[i], NULL));
	pair_close(&exchange->pair);
}

/* On closed Unix sockets: what began and never ended is what the daemon finds. */
static uint64_t unseen_closes(const struct scene *scene)
{
	const volatile struct tally_unix_balance *balance =
	    &probes_counters(scene->probes)->unix_balance;

	return balance->begun - balance->ended;
}

/* Other reasons are of what others on this machine do meanwhile, or of requests that
 * are in rows too (docs/metrics.md). */
static uint64_t all_missed(const struct scene *scene)
{
	static const enum tally_missed reasons[] = {
	    TALLY_MISSED_JOINED_MIDWAY, TALLY_MISSED_LOST_SYNC,
	    TALLY_MISSED_NO_REQUEST,    TALLY_MISSED_MALFORMED,
	    TALLY_MISSED_READ_FAULT,    TALLY_MISSED_PIPELINE_FULL,
	    TALLY_MISSED_CONCURRENT_IO,
	};
	uint64_t missed = 0;

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		missed += missed_since(scene, reasons[i]);
	return missed;
}

static void assert_adds_up(struct scene *scene, enum transport transport, int ahead_max,
			   bool in_vectors)
{
	struct endpoint *endpoint = endpoint_open(scene, transport);
	struct exchange exchange = {.pair = pair_open(endpoint),
				    .ahead_max = ahead_max,
				    .in_vectors = in_vectors};
	uint64_t unseen = unseen_closes(scene), counted, missed;
	struct rows *rows;

	scene_mark(scene);
	run(&exchange);
	rows = rows_await(scene, endpoint, 2 * (ALL + 1) - all_missed(scene));
	endpoint->requests = rows_requests(rows);
	counted = rows_requests_of(rows, TALLY_ROLE_CLIENT);
	missed = all_missed(scene) + unseen_closes(scene) - unseen;
	print_message("measured: two senders over %s, %d ahead: %lu counted, "
		      "%lu in the ledger\n",
		      transport_name(transport), ahead_max, counted, missed);
	if (counted + missed != ALL + 1)
		misses_print("  ", scene);
	assert_in_range(counted, ALL / 2, ALL + 1);
	if (probes_capture(scene->probes) != CAPTURE_FENTRY) {
		if (transport == UNIX)
			assert_int_equal(counted + missed, ALL + 1);
		else if (scene == scenes[WAITING])
			assert_in_range(counted + missed, ALL + 1, 2 * (ALL + 1));
	}
	assert_int_equal(rows_requests_of(rows, TALLY_ROLE_SERVER), ALL + 1);
	for (unsigned int i = 0; i < rows->count; i++)
		assert_true(is_consistent(&rows->row[i]));
	free(rows);
}

static void assert_all_add_up(struct scene *scene)
{
	static const int ahead[] = {4, 40};

	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++)
		for (enum transport transport = 0; transport < TRANSPORTS;
		     transport++) {
			assert_adds_up(scene, transport, ahead[i], false);
			assert_adds_up(scene, transport, ahead[i], true);
		}
	assert_none_skipped(scene);
}

static void requests_of_two_senders_are_counted_once_at_most(void **state)
{
	(void)state;
	assert_all_add_up(scenes[WAITING]);
}

/* As if the other thread's processor stood still each time. */
static void so_are_they_where_one_waits_for_the_other_in_vain(void **state)
{
	(void)state;
	assert_all_add_up(scenes[NOT_WAITING]);
}

static int set_up(void **state)
{
	struct tally_config config = scene_config();

	(void)state;
	for (enum view view = 0; view < VIEWS; view++) {
		scenes[view] = scene_new();
		config.no_waiting = view == NOT_WAITING;
		scene_attach(scenes[view], &config);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (enum view view = 0; view < VIEWS; view++)
		scene_free(&scenes[view]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_of_two_senders_are_counted_once_at_most),
	    cmocka_unit_test(so_are_they_where_one_waits_for_the_other_in_vain),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
