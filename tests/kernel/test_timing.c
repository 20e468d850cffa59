/* SPDX-License-Identifier: Apache-2.0 */
/* Durations against brackets taken around the same calls with the same clock:
 * what is reported lies between the shortest and the longest time that is
 * possible, so there is no tolerance, and none could hide an error. */
#include "talk.h"

#include <pthread.h>

#define REQUEST "GET /timed HTTP/1.1\r\nHost: x\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define LEN(text) (sizeof(text) - 1)
#define MS 1000000ull

/* When a call began and when it was over. */
struct span {
	uint64_t begin_ns, end_ns;
};

struct times {
	struct span client_write, server_ready; /* ready: from the write to poll */
	struct span server_read, server_last_read;
	struct span server_write, server_last_write;
	struct span client_read, client_last_read;
};

struct bracket {
	uint64_t inner_ns, outer_ns;
};

/* From somewhere in one call to somewhere in a later one. */
static struct bracket between(struct span from, struct span to)
{
	return (struct bracket){to.begin_ns > from.end_ns ? to.begin_ns - from.end_ns
							  : 0,
				to.end_ns - from.begin_ns};
}

static struct span put_timed(int fd, const char *bytes, size_t len)
{
	struct span span = {now_ns(), 0};

	put(fd, bytes, len);
	span.end_ns = now_ns();
	return span;
}

/* What is read is there already, so the call itself is short. */
static struct span take_timed(int fd, const char *bytes, size_t len)
{
	struct span span;

	for (int there = 0; (size_t)there < len;) {
		char buf[4096];

		await_readable(fd);
		there = (int)recv(fd, buf, len, MSG_PEEK | MSG_DONTWAIT);
	}
	span.begin_ns = now_ns();
	take(fd, bytes, len, 0);
	span.end_ns = now_ns();
	return span;
}

/* --- judging ---------------------------------------------------------------- */

static void assert_within(const char *what, uint64_t value_ns, struct bracket bracket)
{
	if (value_ns < bracket.inner_ns || value_ns > bracket.outer_ns)
		fail_msg("%s: %lu ns is not in %lu .. %lu", what, value_ns,
			 bracket.inner_ns, bracket.outer_ns);
}

/* The single value of a histogram is in the bucket that its sum names. The bound
 * is searched for from below here, by halves in the kernel. */
static void assert_bucket(const __u64 *buckets, const __u64 *bounds,
			  uint32_t bound_count, uint64_t value)
{
	uint32_t expected = 0;

	while (expected < bound_count && bounds[expected] < value)
		expected++;
	for (uint32_t i = 0; i <= bound_count; i++)
		assert_int_equal(buckets[i], i == expected);
}

static void assert_timed(const char *what, const __u64 buckets[DURATION_BUCKETS],
			 uint64_t sum_ns, struct bracket bracket)
{
	assert_within(what, sum_ns, bracket);
	assert_bucket(buckets, duration_bounds_ns, DURATION_BOUNDS, sum_ns);
}

static void assert_server(const struct row *row, const struct times *times)
{
	const struct tally_series *sum = &row->sum;

	assert_timed("server duration", sum->duration, sum->duration_sum_ns,
		     between(times->server_read, times->server_last_write));
	assert_timed("server first byte", sum->first_byte, sum->first_byte_sum_ns,
		     between(times->server_read, times->server_write));
	assert_timed("queue", sum->queue, sum->queue_sum_ns,
		     between(times->server_ready, times->server_read));
	assert_bucket(sum->native, native_bounds_ns, NATIVE_BUCKETS - 1,
		      sum->duration_sum_ns);
}

static void assert_client(const struct row *row, const struct times *times)
{
	const struct tally_series *sum = &row->sum;

	assert_timed("client duration", sum->duration, sum->duration_sum_ns,
		     between(times->client_write, times->client_last_read));
	assert_timed("client first byte", sum->first_byte, sum->first_byte_sum_ns,
		     between(times->client_write, times->client_read));
	assert_int_equal(sum->queue_sum_ns, 0);
	assert_bucket(sum->native, native_bounds_ns, NATIVE_BUCKETS - 1,
		      sum->duration_sum_ns);
}

static void assert_times(struct scene *scene, struct endpoint *endpoint,
			 const struct times *times)
{
	struct rows *rows = rows_await(scene, endpoint, 2);
	struct row server = row_of(rows, TALLY_ROLE_SERVER);
	struct row client = row_of(rows, TALLY_ROLE_CLIENT);

	endpoint->requests = 2;
	assert_int_equal(rows_requests(rows), 2);
	assert_server(&server, times);
	assert_client(&client, times);
	free(rows);
}

/* --- cases ------------------------------------------------------------------ */

static void send_request(const struct pair *pair, struct times *times)
{
	times->client_write = put_timed(pair->fd[CLIENT], REQUEST, LEN(REQUEST));
	await_readable(pair->fd[SERVER]);
	times->server_ready = (struct span){times->client_write.begin_ns, now_ns()};
}

static void read_request(const struct pair *pair, struct times *times)
{
	times->server_read = take_timed(pair->fd[SERVER], REQUEST, LEN(REQUEST));
	times->server_last_read = times->server_read;
}

static void respond_at_once(const struct pair *pair, struct times *times)
{
	times->server_write = put_timed(pair->fd[SERVER], RESPONSE, LEN(RESPONSE));
	times->server_last_write = times->server_write;
	times->client_read = take_timed(pair->fd[CLIENT], RESPONSE, LEN(RESPONSE));
	times->client_last_read = times->client_read;
}

static void assert_sleeper(struct scene *scene, enum transport transport,
			   uint64_t queue_ns, uint64_t sleep_ns)
{
	struct endpoint *endpoint = endpoint_open(scene, transport);
	struct pair pair = pair_open(endpoint);
	struct times times;

	scene_mark(scene);
	send_request(&pair, &times);
	take_time(queue_ns);
	read_request(&pair, &times);
	take_time(sleep_ns);
	respond_at_once(&pair, &times);
	assert_times(scene, endpoint, &times);
	pair_close(&pair);
	assert_missed(scene, "timing", nothing_missed);
}

static void a_server_that_sleeps_is_timed_at_both_ends(void **state)
{
	static const uint64_t sleeps_ms[] = {0, 1, 5, 50, 200};

	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		for (size_t i = 0; i < sizeof(sleeps_ms) / sizeof(sleeps_ms[0]); i++)
			assert_sleeper(*state, transport, 0, sleeps_ms[i] * MS);
}

static void a_request_that_waits_in_the_queue_waits_there_alone(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		assert_sleeper(*state, transport, 20 * MS, 0);
		assert_sleeper(*state, transport, 3 * MS, 5 * MS);
	}
}

/* A keep-alive connection rests between requests: the rest is in no duration. */
static void time_between_requests_is_in_no_duration(void **state)
{
	static const struct expected first = ROW(GET, 200, "/timed", 0, 5);

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair pair = pair_open(endpoint);
		struct bracket server = {0}, client = {0}, queue = {0};
		struct rows *rows;
		struct row row;

		for (int i = 0; i < 3; i++) {
			struct times times;
			struct bracket each;

			send_request(&pair, &times);
			read_request(&pair, &times);
			respond_at_once(&pair, &times);
			each = between(times.server_read, times.server_last_write);
			server.inner_ns += each.inner_ns;
			server.outer_ns += each.outer_ns;
			each = between(times.client_write, times.client_last_read);
			client.inner_ns += each.inner_ns;
			client.outer_ns += each.outer_ns;
			each = between(times.server_ready, times.server_read);
			queue.inner_ns += each.inner_ns;
			queue.outer_ns += each.outer_ns;
			take_time(20 * MS);
		}
		rows = rows_await(*state, endpoint, 6);
		endpoint->requests = rows_requests(rows);
		assert_int_equal(rows->count, 2);
		assert_string_equal(rows->row[0].route, first.route);
		row = row_of(rows, TALLY_ROLE_SERVER);
		assert_within("server sum", row.sum.duration_sum_ns, server);
		assert_within("queue sum", row.sum.queue_sum_ns, queue);
		row = row_of(rows, TALLY_ROLE_CLIENT);
		assert_within("client sum", row.sum.duration_sum_ns, client);
		pair_close(&pair);
		free(rows);
	}
}

/* The client gives up: its time is over when it closes, whatever the peer does then
 * (it may be dead, and acknowledge nothing for a long time). */
static void a_client_that_gives_up_is_timed_to_its_close(void **state)
{
	for (enum transport transport = 0; transport < UNIX; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair pair = pair_open(endpoint);
		struct span closing;
		struct times times;
		struct rows *rows;
		struct row row;

		send_request(&pair, &times);
		read_request(&pair, &times);
		take_time(5 * MS);
		closing.begin_ns = now_ns();
		pair_close_side(&pair, CLIENT);
		closing.end_ns = now_ns();
		/* the server has not closed yet: it is counted all the same */
		rows = rows_await(*state, endpoint, 1);
		assert_int_equal(rows_requests(rows), 1);
		row = row_of(rows, TALLY_ROLE_CLIENT);
		assert_int_equal(row.error, TALLY_ERROR_CLOSED);
		assert_timed("duration", row.sum.duration, row.sum.duration_sum_ns,
			     between(times.client_write, closing));
		free(rows);
		pair_close(&pair);
		rows = rows_await(*state, endpoint, 2);
		endpoint->requests = rows_requests(rows);
		assert_int_equal(endpoint->requests, 2);
		free(rows);
	}
}

/* What empties the socket without a length: the next request waits from its own
 * arrival. */
static void assert_no_wait_is_left(struct scene *scene, void (*take_away)(int, size_t))
{
	static const char upload[] = "POST /up HTTP/1.1\r\nContent-Length: 10\r\n\r\n";
	static const char body[] = "0123456789";

	for (enum transport transport = 0; transport < UNIX; transport++) {
		struct endpoint *endpoint = endpoint_open(scene, transport);
		struct pair pair = pair_open(endpoint);
		struct times times;
		struct rows *rows;

		put(pair.fd[CLIENT], upload, LEN(upload));
		take(pair.fd[SERVER], upload, LEN(upload), 0);
		put(pair.fd[CLIENT], body, LEN(body));
		take_away(pair.fd[SERVER], LEN(body));
		put(pair.fd[SERVER], RESPONSE, LEN(RESPONSE));
		take(pair.fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
		take_time(50 * MS);
		send_request(&pair, &times);
		read_request(&pair, &times);
		respond_at_once(&pair, &times);
		rows = rows_await(scene, endpoint, 4);
		endpoint->requests = rows_requests(rows);
		assert_int_equal(endpoint->requests, 4);
		for (unsigned int i = 0; i < rows->count; i++)
			if (rows->row[i].role == TALLY_ROLE_SERVER &&
			    !strcmp(rows->row[i].route, "/timed"))
				assert_within(
				    "queue", rows->row[i].sum.queue_sum_ns,
				    between(times.server_ready, times.server_read));
		pair_close(&pair);
		free(rows);
	}
}

static void a_spliced_body_leaves_no_wait_to_the_next_request(void **state)
{
	assert_no_wait_is_left(*state, splice_away);
}

static void a_zero_copy_body_leaves_no_wait_to_the_next_request(void **state)
{
	assert_no_wait_is_left(*state, zerocopy_away);
}

/* Body in ten pieces, 100 ms apart; one loop serves all transports at once. */
static void a_body_that_trickles_for_a_second_ends_with_its_last_byte(void **state)
{
	static const char head[] =
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	static const char piece[] = "4\r\nbody\r\n", last[] = "0\r\n\r\n";
	struct endpoint *endpoint[TRANSPORTS];
	struct pair pair[TRANSPORTS];
	struct times times[TRANSPORTS];

	for (int i = 0; i < TRANSPORTS; i++) {
		endpoint[i] = endpoint_open(*state, i);
		pair[i] = pair_open(endpoint[i]);
		send_request(&pair[i], &times[i]);
		read_request(&pair[i], &times[i]);
		times[i].server_write = put_timed(pair[i].fd[SERVER], head, LEN(head));
		times[i].client_read = take_timed(pair[i].fd[CLIENT], head, LEN(head));
	}
	for (int turn = 0; turn <= 10; turn++) {
		const char *text = turn < 10 ? piece : last;

		take_time(100 * MS);
		for (int i = 0; i < TRANSPORTS; i++) {
			times[i].server_last_write =
			    put_timed(pair[i].fd[SERVER], text, strlen(text));
			times[i].client_last_read =
			    take_timed(pair[i].fd[CLIENT], text, strlen(text));
		}
	}
	for (int i = 0; i < TRANSPORTS; i++) {
		assert_times(*state, endpoint[i], &times[i]);
		pair_close(&pair[i]);
	}
}

/* The request trickles: the server's time begins with its first byte read, the
 * client's with the first byte sent. */
static void a_request_that_trickles_begins_with_its_first_byte(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair pair = pair_open(endpoint);
		struct times times;

		for (size_t i = 0; i < LEN(REQUEST); i++) {
			struct span sent, read;

			sent = put_timed(pair.fd[CLIENT], REQUEST + i, 1);
			await_readable(pair.fd[SERVER]);
			if (i == 0) {
				times.client_write = sent;
				times.server_ready =
				    (struct span){sent.begin_ns, now_ns()};
			}
			read = take_timed(pair.fd[SERVER], REQUEST + i, 1);
			if (i == 0)
				times.server_read = read;
			take_time(MS / 2);
		}
		respond_at_once(&pair, &times);
		assert_times(*state, endpoint, &times);
		pair_close(&pair);
	}
}

/* The interim response is not the first byte of the answer. */
static void an_interim_response_is_not_the_first_byte(void **state)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair pair = pair_open(endpoint);
		struct times times;

		send_request(&pair, &times);
		read_request(&pair, &times);
		put(pair.fd[SERVER], interim, LEN(interim));
		take(pair.fd[CLIENT], interim, LEN(interim), 0);
		take_time(5 * MS);
		respond_at_once(&pair, &times);
		assert_times(*state, endpoint, &times);
		pair_close(&pair);
	}
}

/* A response until close ends when the client has read the end, and for the
 * server with the last byte that it wrote. */
static void a_response_until_close_ends_with_the_end(void **state)
{
	static const char response[] = "HTTP/1.0 200 OK\r\n\r\nhello";

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair pair = pair_open(endpoint);
		struct times times;

		send_request(&pair, &times);
		read_request(&pair, &times);
		times.server_write =
		    put_timed(pair.fd[SERVER], response, LEN(response));
		times.client_read =
		    take_timed(pair.fd[CLIENT], response, LEN(response));
		take_time(5 * MS);
		/* The end of the body is the close: until then more may come. */
		times.server_last_write.begin_ns = times.server_write.begin_ns;
		pair_close_side(&pair, SERVER);
		times.server_last_write.end_ns = now_ns();
		await_readable(pair.fd[CLIENT]);
		times.client_last_read.begin_ns = now_ns();
		take_end(pair.fd[CLIENT]);
		times.client_last_read.end_ns = now_ns();
		assert_times(*state, endpoint, &times);
		pair_close(&pair);
	}
}

/* Sends until the socket takes no more, then lets the other end read a piece:
 * the last call of each side that moved bytes is the one that counts. */
static void push_through(const struct pair *pair, char *body, size_t len,
			 struct times *times)
{
	size_t sent = 0, got = 0;
	unsigned int refusals = 0;

	while (got < len) {
		struct span span = {now_ns(), 0};
		ssize_t n = sent < len ? send(pair->fd[SERVER], body + sent, len - sent,
					      MSG_DONTWAIT)
				       : -1;

		span.end_ns = now_ns();
		if (n > 0) {
			sent += (size_t)n;
			times->server_last_write = span;
			continue;
		}
		if (sent < len && refusals++ == 0)
			take_time(20 * MS);
		await_readable(pair->fd[CLIENT]);
		span.begin_ns = now_ns();
		n = recv(pair->fd[CLIENT], body, 1000000, 0);
		span.end_ns = now_ns();
		REQUIRE(n > 0);
		got += (size_t)n;
		times->client_last_read = span;
	}
	assert_int_not_equal(refusals, 0);
}

/* A large response is over for the server when the kernel has taken its last
 * byte, which a client that does not read delays. */
static void a_full_socket_buffer_is_part_of_the_servers_time(void **state)
{
	enum { BODY = 30000000 };
	static char body[BODY];
	static const char head[] =
	    "HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n";

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair pair = pair_open(endpoint);
		struct times times;

		send_request(&pair, &times);
		read_request(&pair, &times);
		times.server_write = put_timed(pair.fd[SERVER], head, LEN(head));
		times.client_read = take_timed(pair.fd[CLIENT], head, LEN(head));
		push_through(&pair, body, BODY, &times);
		assert_times(*state, endpoint, &times);
		pair_close(&pair);
	}
}

/* --- a send that blocks ----------------------------------------------------- */

#define UPLOAD_BYTES 30000000
#define UPLOAD_HEAD "GET /timed HTTP/1.1\r\nContent-Length: 30000000\r\n\r\n"

struct upload {
	int fd;
	struct times *times;
};

/* All of it in one call, which is not over before the server has read nearly
 * everything. */
static void *send_upload(void *context)
{
	static char message[LEN(UPLOAD_HEAD) + UPLOAD_BYTES];
	const struct upload *upload = context;

	/* not its initial value, or all of it would be in the executable */
	memcpy(message, UPLOAD_HEAD, LEN(UPLOAD_HEAD));
	upload->times->client_write.begin_ns = now_ns();
	REQUIRE(write(upload->fd, message, sizeof(message)) == sizeof(message));
	return NULL;
}

static void read_upload(int fd, size_t left)
{
	static char buf[1000000];

	while (left) {
		ssize_t got = read(fd, buf, left < sizeof(buf) ? left : sizeof(buf));

		REQUIRE(got > 0);
		left -= (size_t)got;
	}
}

/* The first byte was sent before it was read: whoever takes the time when the
 * send is over is 50 ms late. */
static void a_send_that_blocks_begins_with_its_first_byte(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(*state, transport);
		struct pair pair = pair_open(endpoint);
		struct times times;
		struct upload upload = {pair.fd[CLIENT], &times};
		pthread_t thread;

		REQUIRE(!pthread_create(&thread, NULL, send_upload, &upload));
		await_readable(pair.fd[SERVER]);
		times.server_ready.end_ns = now_ns();
		times.server_read =
		    take_timed(pair.fd[SERVER], UPLOAD_HEAD, LEN(UPLOAD_HEAD));
		times.client_write.end_ns = times.server_read.end_ns;
		take_time(50 * MS);
		read_upload(pair.fd[SERVER], UPLOAD_BYTES);
		REQUIRE(!pthread_join(thread, NULL));
		times.server_ready.begin_ns = times.client_write.begin_ns;
		respond_at_once(&pair, &times);
		assert_times(*state, endpoint, &times);
		pair_close(&pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_server_that_sleeps_is_timed_at_both_ends),
	    cmocka_unit_test(a_request_that_waits_in_the_queue_waits_there_alone),
	    cmocka_unit_test(time_between_requests_is_in_no_duration),
	    cmocka_unit_test(a_client_that_gives_up_is_timed_to_its_close),
	    cmocka_unit_test(a_spliced_body_leaves_no_wait_to_the_next_request),
	    cmocka_unit_test(a_zero_copy_body_leaves_no_wait_to_the_next_request),
	    cmocka_unit_test(a_body_that_trickles_for_a_second_ends_with_its_last_byte),
	    cmocka_unit_test(a_request_that_trickles_begins_with_its_first_byte),
	    cmocka_unit_test(an_interim_response_is_not_the_first_byte),
	    cmocka_unit_test(a_response_until_close_ends_with_the_end),
	    cmocka_unit_test(a_full_socket_buffer_is_part_of_the_servers_time),
	    cmocka_unit_test(a_send_that_blocks_begins_with_its_first_byte),
	    cmocka_unit_test(no_case_is_counted_again_later),
	};

	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
