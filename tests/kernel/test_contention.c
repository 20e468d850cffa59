/* SPDX-License-Identifier: Apache-2.0 */
/* One row of the series map, and as many threads that count into it at once as
 * there are connections: every increment must be there, by `==`. */
#include "talk.h"

#include <pthread.h>
#include <sched.h>

#define CONNECTIONS 64
#define SHARERS 3
#define RUN_NS 2000000000ull
#define REQUEST "GET /one HTTP/1.1\r\nHost: example.com\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define ANY_CPU -1

/* One end of one connection, in a thread of its own. */
struct worker {
	int fd;
	int cpu;
	uint64_t until_ns;
	uint64_t requests; /* out, of clients */
	pthread_t thread;
};

static void worker_pin(const struct worker *worker)
{
	cpu_set_t set;

	if (worker->cpu == ANY_CPU)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned int)worker->cpu, &set);
	REQUIRE(!sched_setaffinity(0, sizeof(set), &set));
}

/* Asks as long as it may, then says so by closing its direction. */
static void *ask(void *context)
{
	struct worker *worker = context;

	while (now_ns() < worker->until_ns) {
		put_text(worker->fd, REQUEST);
		take_text(worker->fd, RESPONSE);
		worker->requests++;
	}
	REQUIRE(!shutdown(worker->fd, SHUT_WR));
	return NULL;
}

/* One read is one request: the client waits for the answer before the next. */
static void *answer(void *context)
{
	struct worker *worker = context;
	char buf[sizeof(REQUEST)];
	ssize_t got;

	worker_pin(worker);
	while ((got = read(worker->fd, buf, sizeof(buf))) > 0) {
		REQUIRE(got == sizeof(REQUEST) - 1);
		put_text(worker->fd, RESPONSE);
	}
	REQUIRE(got == 0);
	return NULL;
}

/* The processor number `turn` of those this process may use, in turn. */
static int allowed_cpu(const cpu_set_t *allowed, int turn)
{
	int left = turn % CPU_COUNT(allowed);

	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET((unsigned int)cpu, allowed) && left-- == 0)
			return cpu;
	return ANY_CPU;
}

enum setting { ANYWHERE, SERVERS_PINNED, MARKS_SHARED };

/* The number of the next thread is that of the turn, of those with one rest: what
 * programs note for a thread where they may be preempted (mark.h) is then noted in one
 * place for all. */
static void number_next_thread(int turn)
{
	const int rest = 1000, step = 8192;
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	char text[16];

	snprintf(text, sizeof(text), "%d", (turn + 1) * step + rest - 1);
	REQUIRE(fd >= 0);
	put_text(fd, text);
	close(fd);
}

/* Returns the requests made. */
static uint64_t hammer(const struct endpoint *endpoint, enum setting setting)
{
	const int connections = setting == MARKS_SHARED ? SHARERS : CONNECTIONS;
	struct worker clients[CONNECTIONS] = {0}, servers[CONNECTIONS] = {0};
	struct pair pairs[CONNECTIONS];
	uint64_t requests = 0;
	cpu_set_t allowed;

	REQUIRE(!sched_getaffinity(0, sizeof(allowed), &allowed));
	for (int i = 0; i < connections; i++) {
		pairs[i] = pair_open(endpoint);
		clients[i].fd = pairs[i].fd[CLIENT];
		servers[i].fd = pairs[i].fd[SERVER];
		servers[i].cpu =
		    setting == SERVERS_PINNED ? allowed_cpu(&allowed, i) : ANY_CPU;
		clients[i].until_ns = now_ns() + RUN_NS;
	}
	for (int i = 0; i < connections; i++) {
		REQUIRE(!pthread_create(&servers[i].thread, NULL, answer, &servers[i]));
		if (setting == MARKS_SHARED)
			number_next_thread(i);
		REQUIRE(!pthread_create(&clients[i].thread, NULL, ask, &clients[i]));
	}
	for (int i = 0; i < connections; i++) {
		REQUIRE(!pthread_join(clients[i].thread, NULL));
		REQUIRE(!pthread_join(servers[i].thread, NULL));
		requests += clients[i].requests;
		pair_close(&pairs[i]);
	}
	return requests;
}

static void assert_exact(struct scene *scene, enum transport transport,
			 enum setting setting)
{
	struct endpoint *endpoint = endpoint_open(scene, transport);
	struct expected rows[2] = {
	    {.method = TALLY_METHOD_GET, .status = 200, .route = "/one"}};
	uint64_t requests;

	scene_mark(scene);
	requests = hammer(endpoint, setting);
	rows[0].requests = requests;
	rows[0].response_bytes = 2 * requests;
	print_message("measured: %lu requests into one series over %s%s\n", requests,
		      transport_name(transport),
		      setting == SERVERS_PINNED ? ", servers pinned" : "");
	assert_rows(scene, endpoint, transport_name(transport), rows);
	assert_missed(scene, transport_name(transport), nothing_missed);
	assert_none_skipped(scene);
}

static void sixty_four_connections_into_one_series_are_exact(void **state)
{
	assert_exact(*state, IPV4, ANYWHERE);
}

static void servers_pinned_to_every_processor_are_exact(void **state)
{
	assert_exact(*state, IPV4, SERVERS_PINNED);
}

static void unix_sockets_into_one_series_are_exact(void **state)
{
	assert_exact(*state, UNIX, SERVERS_PINNED);
}

static void add_skipped(void *context, const struct objects_program *program)
{
	uint64_t *skipped = context;

	*skipped += program->skipped;
}

/* A Unix socket has no position that would show what is told twice. Where the kernel
 * skips programs, threads of one place lose some of it, and that is said. */
static void threads_whose_marks_share_a_place_count_nothing_twice(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, UNIX);
	uint64_t requests = hammer(endpoint, MARKS_SHARED), skipped = 0, counted;
	struct rows *rows = rows_await(scene, endpoint, 2 * requests);

	endpoint->requests = rows_requests(rows);
	probes_each_program(scene->probes, add_skipped, &skipped);
	print_message(
	    "measured: %lu requests, marks in one place; %lu events skipped\n",
	    requests, skipped);
	for (int role = TALLY_ROLE_SERVER; role <= TALLY_ROLE_CLIENT; role++) {
		counted = rows_requests_of(rows, (__u32)role);
		if (skipped)
			assert_in_range(counted, 0, requests);
		else
			assert_int_equal(counted, requests);
	}
	free(rows);
}

/* --- an end that comes while a response is sent --------------------------------- */

#define RACES 2000

struct ending {
	int fd;
	pthread_barrier_t *start;
};

static void *shut_down(void *context)
{
	const struct ending *ending = context;

	pthread_barrier_wait(ending->start);
	shutdown(ending->fd, SHUT_RDWR);
	return NULL;
}

/* Twice in peace, so that the third response repeats the last one; then its send and
 * the end of its connection at once. */
static void race(const struct endpoint *endpoint, pthread_barrier_t *start)
{
	struct pair pair = pair_open(endpoint);
	struct ending ending = {pair.fd[SERVER], start};
	pthread_t thread;

	for (int i = 0; i < 3; i++) {
		put_text(pair.fd[CLIENT], REQUEST);
		take_text(pair.fd[SERVER], REQUEST);
		if (i == 2)
			break;
		put_text(pair.fd[SERVER], RESPONSE);
		take_text(pair.fd[CLIENT], RESPONSE);
	}
	REQUIRE(!pthread_create(&thread, NULL, shut_down, &ending));
	pthread_barrier_wait(start);
	send(pair.fd[SERVER], RESPONSE, sizeof(RESPONSE) - 1, MSG_NOSIGNAL);
	REQUIRE(!pthread_join(thread, NULL));
	pair_close(&pair);
}

static void an_end_beside_a_response_counts_its_request_once(void **state)
{
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	pthread_barrier_t start;
	struct rows *rows;

	scene_mark(scene);
	REQUIRE(!pthread_barrier_init(&start, NULL, 2));
	for (int i = 0; i < RACES; i++)
		race(endpoint, &start);
	pthread_barrier_destroy(&start);
	rows = rows_await(scene, endpoint, 6 * RACES);
	endpoint->requests = rows_requests(rows);
	assert_int_equal(rows_requests_of(rows, TALLY_ROLE_SERVER), 3 * RACES);
	assert_int_equal(rows_requests_of(rows, TALLY_ROLE_CLIENT), 3 * RACES);
	for (unsigned int i = 0; i < rows->count; i++) {
		const struct row *row = &rows->row[i];

		print_message("measured: role %u: %lu of status %u, error %u\n",
			      row->role, row->requests, row->status, row->error);
		/* whole and answered, or broken off: nothing between */
		assert_true(row->status == 200 || row->error == TALLY_ERROR_CLOSED);
		assert_true(is_consistent(row));
	}
	free(rows);
	assert_missed(scene, "an end beside a response", nothing_missed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sixty_four_connections_into_one_series_are_exact),
	    cmocka_unit_test(servers_pinned_to_every_processor_are_exact),
	    cmocka_unit_test(unix_sockets_into_one_series_are_exact),
	    cmocka_unit_test(threads_whose_marks_share_a_place_count_nothing_twice),
	    cmocka_unit_test(an_end_beside_a_response_counts_its_request_once),
	    cmocka_unit_test(no_case_is_counted_again_later),
	};

	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
