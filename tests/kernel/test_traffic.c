/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes over TCP by process, as TCP counts them: compared with what the test wrote. */
#include "call.h"

#include <bpf/bpf.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SOME 100000
#define MORE 3000001

static char bytes[MORE];

static void nobody(void *context, const struct tally_connections_key *key,
		   const struct tally_connections *sum)
{
	(void)context;
	(void)key;
	(void)sum;
}

/* What the map has of the process, after a pass over all sockets. */
static struct tally_traffic traffic_of(const struct scene *scene, pid_t pid)
{
	int map_fd = probes_map_fd(scene->probes, PROBES_TRAFFIC);
	struct tally_traffic traffic = {0};
	uint32_t key = (uint32_t)pid;

	REQUIRE(!probes_count_connections(scene->probes, nobody, NULL));
	if (bpf_map_lookup_elem(map_fd, &key, &traffic))
		return (struct tally_traffic){0};
	return traffic;
}

/* Segments are still under way when the call that wrote them is over. */
static void assert_traffic(const struct scene *scene, pid_t pid, uint64_t received,
			   uint64_t sent)
{
	uint64_t start_ns = now_ns();
	struct tally_traffic traffic;

	do
		traffic = traffic_of(scene, pid);
	while ((traffic.received != received || traffic.sent != sent) &&
	       keep_waiting(start_ns));
	assert_int_equal(traffic.received, received);
	assert_int_equal(traffic.sent, sent);
	assert_int_equal(traffic.service, sent + received ? SCENE_SERVICE : 0);
}

static void send_all(int fd, size_t len)
{
	REQUIRE(send(fd, bytes, len, 0) == (ssize_t)len);
}

static void receive_all(int fd, size_t len)
{
	static char there[MORE];

	REQUIRE(recv(fd, there, len, MSG_WAITALL) == (ssize_t)len);
}

static void await_child(pid_t child)
{
	int status;

	REQUIRE(waitpid(child, &status, 0) == child);
	REQUIRE(status == 0);
}

/* Accepts, reads and answers, then waits for the end of the stream. */
static pid_t answer_in_child(const struct endpoint *endpoint, size_t asked,
			     size_t answered)
{
	pid_t child = fork();
	int fd;

	REQUIRE(child >= 0);
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = endpoint_accept(endpoint);
	receive_all(fd, asked);
	send_all(fd, answered);
	REQUIRE(recv(fd, bytes, 1, 0) == 0);
	_exit(0); /* and closes it */
}

/* --- what is counted ------------------------------------------------------------ */

static void each_end_has_what_it_received_and_sent(void **state)
{
	for (enum transport transport = 0; transport < UNIX; transport++) {
		struct scene *scene = *state;
		struct endpoint *endpoint = endpoint_open(scene, transport);
		struct tally_traffic before = traffic_of(scene, getpid());
		pid_t child = answer_in_child(endpoint, SOME, MORE);
		int fd = endpoint_connect(endpoint);

		send_all(fd, SOME);
		receive_all(fd, MORE);
		assert_traffic(scene, child, SOME, MORE);
		assert_traffic(scene, getpid(), before.received + MORE,
			       before.sent + SOME);
		close(fd);
		await_child(child);
		/* it has ended, and so have both ends of the connection */
		assert_traffic(scene, child, SOME, MORE);
		assert_traffic(scene, getpid(), before.received + MORE,
			       before.sent + SOME);
	}
}

/* By the end alone: no pass saw them open. */
static void connections_between_two_passes_are_counted(void **state)
{
	struct scene *scene = *state;
	struct tally_traffic before = traffic_of(scene, getpid());
	struct endpoint *endpoint = endpoint_open(scene, IPV4);

	for (int i = 0; i < 100; i++) {
		struct pair pair = pair_open(endpoint);

		send_all(pair.fd[CLIENT], 10);
		receive_all(pair.fd[SERVER], 10);
		send_all(pair.fd[SERVER], 1000);
		receive_all(pair.fd[CLIENT], 1000);
		pair_close(&pair);
	}
	assert_traffic(scene, getpid(), before.received + 101000, before.sent + 101000);
}

static void a_pass_counts_only_what_is_new(void **state)
{
	struct scene *scene = *state;
	struct tally_traffic before = traffic_of(scene, getpid());
	struct pair pair = pair_open(endpoint_open(scene, IPV4));

	for (uint64_t i = 1; i <= 10; i++) {
		send_all(pair.fd[CLIENT], 7);
		receive_all(pair.fd[SERVER], 7);
		assert_traffic(scene, getpid(), before.received + 7 * i,
			       before.sent + 7 * i);
		traffic_of(scene, getpid());
	}
	pair_close(&pair);
	assert_traffic(scene, getpid(), before.received + 70, before.sent + 70);
}

/* Reset by the peer, with bytes that nobody read: they were received. */
static void a_reset_loses_nothing(void **state)
{
	const struct linger at_once = {.l_onoff = 1};
	struct scene *scene = *state;
	struct tally_traffic before = traffic_of(scene, getpid());
	struct pair pair = pair_open(endpoint_open(scene, IPV6));

	send_all(pair.fd[CLIENT], SOME);
	receive_all(pair.fd[SERVER], SOME / 2);
	assert_traffic(scene, getpid(), before.received + SOME, before.sent + SOME);
	REQUIRE(!setsockopt(pair.fd[CLIENT], SOL_SOCKET, SO_LINGER, &at_once,
			    sizeof(at_once)));
	pair_close(&pair);
	assert_traffic(scene, getpid(), before.received + SOME, before.sent + SOME);
}

static void files_that_are_sent_are_counted(void **state)
{
	struct scene *scene = *state;
	struct tally_traffic before = traffic_of(scene, getpid());
	struct pair pair = pair_open(endpoint_open(scene, IPV4));
	FILE *file = tmpfile();
	off_t offset = 0;

	REQUIRE(file && fwrite(bytes, 1, SOME, file) == SOME && !fflush(file));
	REQUIRE(sendfile(pair.fd[CLIENT], fileno(file), &offset, SOME) == SOME);
	receive_all(pair.fd[SERVER], SOME);
	fclose(file);
	assert_traffic(scene, getpid(), before.received + SOME, before.sent + SOME);
	pair_close(&pair);
	assert_traffic(scene, getpid(), before.received + SOME, before.sent + SOME);
}

/* What is not HTTP has bytes all the same. */
static void what_is_encrypted_is_counted(void **state)
{
	static const char hello[] =
	    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 random";
	struct scene *scene = *state;
	struct tally_traffic before = traffic_of(scene, getpid());
	struct pair pair = pair_open(endpoint_open(scene, IPV4));

	put(pair.fd[CLIENT], hello, sizeof(hello));
	take(pair.fd[SERVER], hello, sizeof(hello), 0);
	send_all(pair.fd[CLIENT], SOME);
	receive_all(pair.fd[SERVER], SOME);
	pair_close(&pair);
	assert_traffic(scene, getpid(), before.received + SOME + sizeof(hello),
		       before.sent + SOME + sizeof(hello));
}

/* What it moved the first time is counted before the kernel forgets it. */
static void a_socket_that_connects_anew_goes_on(void **state)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct scene *scene = *state;
	struct tally_traffic before = traffic_of(scene, getpid());
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	struct pair pair = pair_open(endpoint);

	for (int i = 0; i < 2; i++) {
		send_all(pair.fd[CLIENT], SOME);
		receive_all(pair.fd[SERVER], SOME);
		send_all(pair.fd[SERVER], 5);
		receive_all(pair.fd[CLIENT], 5);
		pair_close_side(&pair, SERVER);
		REQUIRE(!connect(pair.fd[CLIENT], &none, sizeof(none)));
		traffic_of(scene, getpid());
		if (i)
			break;
		REQUIRE(!connect(pair.fd[CLIENT], &endpoint->address.any,
				 endpoint->address_len));
		pair.fd[SERVER] = endpoint_accept(endpoint);
	}
	pair_close(&pair);
	assert_traffic(scene, getpid(), before.received + 2 * SOME + 10,
		       before.sent + 2 * SOME + 10);
}

/* --- what is not ------------------------------------------------------------------ */

static void unix_sockets_are_no_network(void **state)
{
	struct scene *scene = *state;
	struct tally_traffic before = traffic_of(scene, getpid());
	struct pair pair = pair_open(endpoint_open(scene, UNIX));

	send_all(pair.fd[CLIENT], 1000);
	receive_all(pair.fd[SERVER], 1000);
	pair_close(&pair);
	assert_traffic(scene, getpid(), before.received, before.sent);
}

static void a_process_that_is_not_selected_has_no_row(void **state)
{
	const struct tally_process ignored = {.flags = TALLY_PROCESS_IGNORED};
	struct scene *scene = *state;
	struct endpoint *endpoint = endpoint_open(scene, IPV4);
	pid_t child = answer_in_child(endpoint, SOME, SOME);
	int fd;

	REQUIRE(!probes_set_process(scene->probes, (uint32_t)child, &ignored));
	fd = endpoint_connect(endpoint);
	send_all(fd, SOME);
	receive_all(fd, SOME);
	assert_traffic(scene, child, 0, 0);
	close(fd);
	await_child(child);
	assert_traffic(scene, child, 0, 0);
}

/* --- whose they are ----------------------------------------------------------------
 */

static void who_moves_the_bytes_has_them(void **state)
{
	struct scene *scene = *state;
	struct tally_traffic before = traffic_of(scene, getpid());
	struct pair pair = pair_open(endpoint_open(scene, IPV4));
	pid_t child;

	send_all(pair.fd[CLIENT], SOME);
	receive_all(pair.fd[SERVER], SOME);
	assert_traffic(scene, getpid(), before.received + SOME, before.sent + SOME);
	child = fork();
	REQUIRE(child >= 0);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		send_all(pair.fd[SERVER], 50);
		_exit(0);
	}
	receive_all(pair.fd[CLIENT], 50);
	await_child(child);
	pair_close(&pair);
	assert_traffic(scene, child, 0, 50);
	assert_traffic(scene, getpid(), before.received + SOME + 50,
		       before.sent + SOME);
}

static void a_connection_older_than_us_counts_from_when_it_is_seen(void **state)
{
	struct tally_config config = scene_config();
	struct scene *scene = scene_new();
	struct pair pairs[2];

	(void)state;
	config.counts_traffic = 1;
	for (int i = 0; i < 2; i++) {
		pairs[i] = pair_open(endpoint_open(scene, (enum transport)i));
		send_all(pairs[i].fd[CLIENT], SOME);
		receive_all(pairs[i].fd[SERVER], SOME);
		send_all(pairs[i].fd[SERVER], SOME);
		receive_all(pairs[i].fd[CLIENT], SOME);
	}
	scene_attach(scene, &config);
	assert_traffic(scene, getpid(), 0, 0);
	for (int i = 0; i < 2; i++) {
		send_all(pairs[i].fd[CLIENT], 11);
		receive_all(pairs[i].fd[SERVER], 11);
		send_all(pairs[i].fd[SERVER], 13);
		receive_all(pairs[i].fd[CLIENT], 13);
		pair_close(&pairs[i]);
	}
	assert_traffic(scene, getpid(), 48, 48);
	scene_free(&scene);
}

/* --- bounds ------------------------------------------------------------------------
 */

static void fill(int map_fd, bool is_there)
{
	const struct tally_traffic none = {0};

	for (uint32_t i = 0; i < TALLY_PROCESS_ROWS; i++) {
		uint32_t pid = 0x70000000 + i; /* of no process */

		if (is_there)
			bpf_map_update_elem(map_fd, &pid, &none, BPF_NOEXIST);
		else
			bpf_map_delete_elem(map_fd, &pid);
	}
}

static void without_a_row_an_open_connection_waits(void **state)
{
	struct tally_config config = scene_config();
	struct scene *scene = scene_new();
	struct pair pair;
	int map_fd;

	(void)state;
	config.counts_traffic = 1;
	scene_attach(scene, &config);
	map_fd = probes_map_fd(scene->probes, PROBES_TRAFFIC);
	pair = pair_open(endpoint_open(scene, IPV4));
	fill(map_fd, true);
	send_all(pair.fd[CLIENT], SOME);
	receive_all(pair.fd[SERVER], SOME);
	assert_traffic(scene, getpid(), 0, 0);
	fill(map_fd, false);
	assert_traffic(scene, getpid(), SOME, SOME);
	pair_close(&pair);
	scene_free(&scene);
}

static void what_is_off_has_no_rows(void **state)
{
	const struct tally_config config = scene_config();
	struct scene *scene = scene_new();
	struct pair pair;

	(void)state;
	scene_attach(scene, &config);
	pair = pair_open(endpoint_open(scene, IPV4));
	send_all(pair.fd[CLIENT], SOME);
	receive_all(pair.fd[SERVER], SOME);
	pair_close(&pair);
	assert_traffic(scene, getpid(), 0, 0);
	scene_free(&scene);
}

static int set_up(void **state)
{
	struct tally_config config = scene_config();
	struct scene *scene = scene_new();

	config.counts_traffic = 1;
	scene_attach(scene, &config);
	*state = scene;
	return 0;
}

static int see_that_none_is_skipped(void **state)
{
	assert_none_skipped(*state);
	return scene_tear_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_end_has_what_it_received_and_sent),
	    cmocka_unit_test(connections_between_two_passes_are_counted),
	    cmocka_unit_test(a_pass_counts_only_what_is_new),
	    cmocka_unit_test(a_reset_loses_nothing),
	    cmocka_unit_test(files_that_are_sent_are_counted),
	    cmocka_unit_test(what_is_encrypted_is_counted),
	    cmocka_unit_test(a_socket_that_connects_anew_goes_on),
	    cmocka_unit_test(unix_sockets_are_no_network),
	    cmocka_unit_test(a_process_that_is_not_selected_has_no_row),
	    cmocka_unit_test(who_moves_the_bytes_has_them),
	    cmocka_unit_test(a_connection_older_than_us_counts_from_when_it_is_seen),
	    cmocka_unit_test(without_a_row_an_open_connection_waits),
	    cmocka_unit_test(what_is_off_has_no_rows),
	};

	return cmocka_run_group_tests(tests, set_up, see_that_none_is_skipped);
}
