/* SPDX-License-Identifier: Apache-2.0 */
/* What cannot be counted is in the miss ledger, under its own reason, once for
 * each end that lost it; and the next request is counted again. */
#include "call.h"
#include "ring.h"

#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>

#define REQUEST "GET /kept HTTP/1.1\r\nHost: x\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define LOST "GET /lost HTTP/1.1\r\nHost: x\r\n\r\n"
#define LEN(text) (sizeof(text) - 1)
#define KEPT ROW(GET, 200, "/kept", 0, 5)
#define TWO_KEPT                                                                       \
	{                                                                              \
		.method = TALLY_METHOD_GET, .status = 200, .route = "/kept",           \
		.requests = 2, .response_bytes = 10                                    \
	}
#define BOTH_LOST ROW(GET, 200, "/lost", 0, 5)
#define CLIENT_LOST ROW_OF(CLIENT, GET, 200, "/lost", 0, 5)
#define SERVER_LOST ROW_OF(SERVER, GET, 200, "/lost", 0, 5)

/* One connection, and what was in the ledger before it. */
struct stage {
	struct scene *scene;
	struct endpoint *endpoint;
	struct pair pair;
};

static struct stage stage_open(struct scene *scene, enum transport transport)
{
	struct stage stage = {scene, endpoint_open(scene, transport), {{-1, -1}}};

	stage.pair = pair_open(stage.endpoint);
	scene_mark(scene);
	return stage;
}

/* Proves that the connection is in sync: this exchange is in the rows. */
static void exchange(const struct pair *pair)
{
	put(pair->fd[CLIENT], REQUEST, LEN(REQUEST));
	take(pair->fd[SERVER], REQUEST, LEN(REQUEST), 0);
	put(pair->fd[SERVER], RESPONSE, LEN(RESPONSE));
	take(pair->fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
}

static void respond(const struct pair *pair)
{
	put(pair->fd[SERVER], RESPONSE, LEN(RESPONSE));
	take(pair->fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
}

static void stage_judge(struct stage *stage, const char *name,
			const struct expected *rows, const struct miss *missed)
{
	char text[128];

	snprintf(text, sizeof(text), "%s over %s", name,
		 transport_name(stage->endpoint->transport));
	if (!check_rows(stage->scene, stage->endpoint, text, rows, 1)) {
		assert_missed(stage->scene, text, missed);
		fail();
	}
	assert_missed(stage->scene, text, missed);
	pair_close(&stage->pair);
	assert_missed(stage->scene, text, missed);
}

/* --- what the bytes say ----------------------------------------------------- */

#define POST_WITH(headers, body) "POST /lost HTTP/1.1\r\n" headers "\r\n\r\n" body
#define OK_WITH(headers, body) "HTTP/1.1 200 OK\r\n" headers "\r\n\r\n" body

struct bad {
	const char *name;
	const char *text;
};

static const struct bad bad_requests[] = {
    {"two lengths", POST_WITH("Content-Length: 5\r\nContent-Length: 6", "hello")},
    {"a list of two lengths", POST_WITH("Content-Length: 5, 6", "hello")},
    {"a length and a letter", POST_WITH("Content-Length: 5x", "hello")},
    {"a length with a plus", POST_WITH("Content-Length: +5", "hello")},
    {"a length below zero", POST_WITH("Content-Length: -5", "hello")},
    {"an empty length", POST_WITH("Content-Length:", "hello")},
    {"a length beyond 64 bits",
     POST_WITH("Content-Length: 99999999999999999999", "hello")},
};

/* Found out only after the head, when the request is in flight already. */
static const struct bad bad_bodies[] = {
    {"a last coding that is not chunked",
     POST_WITH("Transfer-Encoding: gzip", "hello")},
    {"a chunk size that is no number",
     POST_WITH("Transfer-Encoding: chunked", "xyz\r\nhello\r\n")},
    {"a chunk longer than it says",
     POST_WITH("Transfer-Encoding: chunked", "3\r\nhello\r\n0\r\n\r\n")},
    {"a chunk size beyond 64 bits",
     POST_WITH("Transfer-Encoding: chunked", "fffffffffffffffff\r\nhello\r\n")},
};

static const struct bad bad_responses[] = {
    {"two lengths in a response",
     OK_WITH("Content-Length: 5\r\nContent-Length: 6", "hello")},
    {"a list of two lengths in a response", OK_WITH("Content-Length: 5, 6", "hello")},
    {"a length in words", OK_WITH("Content-Length: five", "hello")},
    {"a chunk size below zero", OK_WITH("Transfer-Encoding: chunked", "-1\r\nhello")},
    {"a chunk of a response longer than it says",
     OK_WITH("Transfer-Encoding: chunked", "3\r\nhello\r\n0\r\n\r\n")},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BAD_REQUEST "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

static unsigned int refuse_all(struct scene *scene, const struct bad *requests,
			       size_t count)
{
	static const struct delivery whole;
	unsigned int failures = 0;

	for (size_t i = 0; i < count; i++) {
		const struct turn turns[] = {
		    C(REQUEST),
		    S(RESPONSE),
		    {CLIENT, SAYS, requests[i].text, strlen(requests[i].text)},
		    S(BAD_REQUEST),
		    S_CLOSES,
		    {0}};
		const struct talk talk = TALK(
		    requests[i].name, turns,
		    ROWS(KEPT, ROW(POST, 400, "/lost", ANY_BYTES, 0)), .once = true);

		for (enum transport transport = 0; transport < TRANSPORTS; transport++)
			failures += !talk_check(scene, transport, &talk, &whole, 1);
	}
	return failures;
}

/* What the server refuses is a request with that status. */
static void a_malformed_request_that_is_refused_is_counted_as_refused(void **state)
{
	unsigned int failures = refuse_all(*state, bad_requests, COUNT(bad_requests));

	failures += refuse_all(*state, bad_bodies, COUNT(bad_bodies));
	assert_int_equal(failures, 0);
}

/* Unanswered, it is in the ledger or, where its head was right, in the rows as
 * cut off: once for each end, never in both. */
static void a_malformed_request_without_answer_is_told_once(void **state)
{
	unsigned int failures = 0;

	for (size_t i = 0; i < COUNT(bad_requests) + COUNT(bad_bodies); i++)
		for (enum transport transport = 0; transport < UNIX; transport++) {
			struct stage stage = stage_open(*state, transport);
			const struct bad *bad =
			    i < COUNT(bad_requests)
				? &bad_requests[i]
				: &bad_bodies[i - COUNT(bad_requests)];
			uint64_t start_ns = now_ns(), told;

			put_text(stage.pair.fd[CLIENT], bad->text);
			take_text(stage.pair.fd[SERVER], bad->text);
			pair_close(&stage.pair);
			do {
				struct rows *rows = rows_read(*state, stage.endpoint);

				stage.endpoint->requests = rows_requests(rows);
				told = rows_requests(rows) +
				       missed_since(*state, TALLY_MISSED_MALFORMED);
				free(rows);
			} while (told < 2 && keep_waiting(start_ns));
			if (told != 2 ||
			    (i < COUNT(bad_requests) && stage.endpoint->requests)) {
				print_error("%s: told %lu times, %lu in rows\n",
					    bad->name, told, stage.endpoint->requests);
				failures++;
			}
		}
	assert_int_equal(failures, 0);
}

static void a_malformed_response_is_named_at_both_ends(void **state)
{
	static const struct delivery whole;
	unsigned int failures = 0;

	for (size_t i = 0; i < COUNT(bad_responses); i++) {
		const struct turn turns[] = {C(LOST),
					     {SERVER, SAYS, bad_responses[i].text,
					      strlen(bad_responses[i].text)},
					     S_CLOSES,
					     {0}};
		const struct talk talk =
		    TALK(bad_responses[i].name, turns, NO_ROWS,
			 .missed = MISSES({TALLY_MISSED_MALFORMED, 2}), .once = true);

		for (enum transport transport = 0; transport < TRANSPORTS; transport++)
			failures += !talk_check(*state, transport, &talk, &whole, 1);
	}
	assert_int_equal(failures, 0);
}

static void encrypted_connections_are_named_once_for_each_end(void **state)
{
	const struct talk talks[] = {
	    TALK("TLS 1.2",
		 TURNS(C("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 random"),
		       S("\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03 random"),
		       C("\x17\x03\x03\x00\x05hello"), S("\x17\x03\x03\x00\x05hello"),
		       C(LOST)),
		 NO_ROWS, .missed = MISSES({TALLY_MISSED_TLS, 2}), .once = true),
	    TALK("TLS 1.3",
		 TURNS(C("\x16\x03\x03\x02\x00\x01\x00\x01\xfc\x03\x03 random"),
		       S("\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03 random")),
		 NO_ROWS, .missed = MISSES({TALLY_MISSED_TLS, 2}), .once = true)};

	ASSERT_TALKS(*state, talks);
}

static void http2_is_named_once_for_each_end(void **state)
{
	const struct talk talks[] = {
	    TALK("the preface",
		 TURNS(C("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
		       S("\0\0\0\4\0\0\0\0\0"), C("\0\0\0\4\1\0\0\0\0")),
		 NO_ROWS, .missed = MISSES({TALLY_MISSED_HTTP2, 2}), .once = true)};

	ASSERT_TALKS(*state, talks);
}

static void a_response_that_nobody_asked_for_is_named(void **state)
{
	const struct talk talks[] = {
	    TALK("a timeout between requests",
		 TURNS(C(REQUEST), S(RESPONSE),
		       S("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n"
			 "Connection: close\r\n\r\n"),
		       S_CLOSES),
		 ROWS(KEPT), .missed = MISSES({TALLY_MISSED_NO_REQUEST, 2}),
		 .once = true),
	    TALK("one answer too many",
		 TURNS(C(REQUEST), S(RESPONSE RESPONSE), C(REQUEST), S(RESPONSE)),
		 ROWS(TWO_KEPT), .missed = MISSES({TALLY_MISSED_NO_REQUEST, 2}),
		 .once = true)};

	ASSERT_TALKS(*state, talks);
}

/* As proxies do with an idle connection: of its requests we have seen none. */
static void a_timeout_before_any_request_is_named(void **state)
{
	const struct talk talks[] = {TALK(
	    "a timeout before any request",
	    TURNS(S("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n"
		    "Connection: close\r\n\r\n"),
		  S_CLOSES),
	    NO_ROWS, .missed = MISSES({TALLY_MISSED_JOINED_MIDWAY, 2}), .once = true)};

	ASSERT_TALKS(*state, talks);
}

/* --- bounds ----------------------------------------------------------------- */

/* As many as the state of a connection holds (docs/metrics.md). */
#define PIPELINE_DEPTH 68

static void play_pipeline(struct stage *stage, unsigned int depth)
{
	for (unsigned int i = 0; i < depth; i++)
		put(stage->pair.fd[CLIENT], REQUEST, LEN(REQUEST));
	for (unsigned int i = 0; i < depth; i++)
		take(stage->pair.fd[SERVER], REQUEST, LEN(REQUEST), 0);
	for (unsigned int i = 0; i < depth; i++)
		respond(&stage->pair);
}

static void requests_in_flight_beyond_the_pipeline_are_named_one_by_one(void **state)
{
	static const unsigned int depths[] = {PIPELINE_DEPTH, PIPELINE_DEPTH + 1,
					      PIPELINE_DEPTH + 40};

	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		for (int i = 0; i < 3; i++) {
			struct stage stage = stage_open(*state, transport);
			uint64_t beyond = depths[i] - PIPELINE_DEPTH;
			struct expected row = KEPT;

			play_pipeline(&stage, depths[i]);
			play_pipeline(&stage, PIPELINE_DEPTH);
			row.requests = 2 * PIPELINE_DEPTH;
			row.response_bytes = row.requests * 5;
			stage_judge(&stage, "a deep pipeline", ROWS(row),
				    MISSES({TALLY_MISSED_PIPELINE_FULL, 2 * beyond}));
		}
}

/* A body in more chunks, all in one call, than one event walks. */
static void more_pieces_in_one_call_than_are_walked_are_named(void **state)
{
	enum { CHUNKS = 4000 };
	static char text[CHUNKS * 6 + 100], buf[sizeof(text)];
	char *end = text + sprintf(text, OK_WITH("Transfer-Encoding: chunked", ""));

	for (int i = 0; i < CHUNKS; i++)
		end += sprintf(end, "1\r\nx\r\n");
	end += sprintf(end, "0\r\n\r\n");
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		ssize_t len = end - text;

		put(stage.pair.fd[CLIENT], LOST, LEN(LOST));
		take(stage.pair.fd[SERVER], LOST, LEN(LOST), 0);
		put(stage.pair.fd[SERVER], text, (size_t)len);
		REQUIRE(recv(stage.pair.fd[CLIENT], buf, (size_t)len, MSG_WAITALL) ==
			len);
		exchange(&stage.pair);
		stage_judge(&stage, "many chunks at once", ROWS(KEPT),
			    MISSES({TALLY_MISSED_WORK_LIMIT, 2}));
	}
}

/* More header lines than pieces are walked, as those that frame nothing are passed
 * over many at a time. */
static void header_lines_of_one_call_count_by_the_window(void **state)
{
	enum { LINES = 10000 };
	static char text[LINES * 4 + 100], buf[sizeof(text)];
	char *end = stpcpy(text, "HTTP/1.1 200 OK\r\n");

	for (int i = 0; i < LINES; i++)
		end = stpcpy(end, "a:\r\n");
	end = stpcpy(end, "Content-Length: 5\r\n\r\nhello");
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		ssize_t len = end - text;

		put(stage.pair.fd[CLIENT], REQUEST, LEN(REQUEST));
		take(stage.pair.fd[SERVER], REQUEST, LEN(REQUEST), 0);
		put(stage.pair.fd[SERVER], text, (size_t)len);
		REQUIRE(recv(stage.pair.fd[CLIENT], buf, (size_t)len, MSG_WAITALL) ==
			len);
		stage_judge(&stage, "many header lines at once", ROWS(KEPT),
			    nothing_missed);
	}
}

/* --- where the bytes are ---------------------------------------------------- */

/* A message start that leaves the socket without a user buffer. */
static void a_head_that_is_discarded_unread_is_named(void **state)
{
	for (enum transport transport = 0; transport < UNIX; transport++) {
		struct stage stage = stage_open(*state, transport);
		int *fd = stage.pair.fd;

		exchange(&stage.pair);
		put(fd[CLIENT], LOST, LEN(LOST));
		await_readable(fd[SERVER]);
		REQUIRE(recv(fd[SERVER], NULL, LEN(LOST), MSG_TRUNC) == LEN(LOST));
		respond(&stage.pair);
		exchange(&stage.pair);
		stage_judge(&stage, "MSG_TRUNC", ROWS(CLIENT_LOST, TWO_KEPT),
			    MISSES({TALLY_MISSED_NO_WINDOW, 1}));
	}
}

/* Splicing out of a socket fires no event at all: the position alone tells. */
static void a_request_that_is_spliced_away_is_lost_sync(void **state)
{
	for (enum transport transport = 0; transport < UNIX; transport++) {
		struct stage stage = stage_open(*state, transport);

		exchange(&stage.pair);
		put(stage.pair.fd[CLIENT], LOST, LEN(LOST));
		splice_away(stage.pair.fd[SERVER], LEN(LOST));
		respond(&stage.pair);
		exchange(&stage.pair);
		stage_judge(&stage, "a spliced request", ROWS(CLIENT_LOST, TWO_KEPT),
			    MISSES({TALLY_MISSED_LOST_SYNC, 1}));
	}
}

static void half_a_head_that_is_spliced_away_is_lost_sync(void **state)
{
	for (enum transport transport = 0; transport < UNIX; transport++) {
		struct stage stage = stage_open(*state, transport);

		exchange(&stage.pair);
		put(stage.pair.fd[CLIENT], LOST, LEN(LOST));
		splice_away(stage.pair.fd[SERVER], 10);
		take(stage.pair.fd[SERVER], LOST + 10, LEN(LOST) - 10, 0);
		respond(&stage.pair);
		exchange(&stage.pair);
		stage_judge(&stage, "half a spliced head", ROWS(CLIENT_LOST, TWO_KEPT),
			    MISSES({TALLY_MISSED_LOST_SYNC, 1}));
	}
}

/* Answers come in order, so those before the one that went by unseen have theirs. */
static void requests_before_the_lost_one_keep_their_answers(void **state)
{
	for (enum transport transport = 0; transport < UNIX; transport++) {
		struct stage stage = stage_open(*state, transport);
		struct expected sent = CLIENT_LOST, read = SERVER_LOST;

		exchange(&stage.pair);
		for (int i = 0; i < 2; i++) {
			put(stage.pair.fd[CLIENT], LOST, LEN(LOST));
			take(stage.pair.fd[SERVER], LOST, LEN(LOST), 0);
		}
		put(stage.pair.fd[CLIENT], LOST, LEN(LOST));
		splice_away(stage.pair.fd[SERVER], LEN(LOST));
		for (int i = 0; i < 3; i++)
			respond(&stage.pair);
		exchange(&stage.pair);
		sent.requests = 3;
		sent.response_bytes = 15;
		read.requests = 2;
		read.response_bytes = 10;
		stage_judge(&stage, "three in flight", ROWS(sent, read, TWO_KEPT),
			    MISSES({TALLY_MISSED_LOST_SYNC, 1}));
	}
}

/* The whole response comes from a file: its head has no user buffer at the
 * sender; the receiver reads it as any other. */
static void a_response_head_from_a_file_is_named_at_the_sender(void **state)
{
	int file = memfd_create("response", MFD_CLOEXEC);

	REQUIRE(file >= 0);
	put(file, RESPONSE, LEN(RESPONSE));
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		off_t start = 0;

		exchange(&stage.pair);
		put(stage.pair.fd[CLIENT], LOST, LEN(LOST));
		take(stage.pair.fd[SERVER], LOST, LEN(LOST), 0);
		REQUIRE(sendfile(stage.pair.fd[SERVER], file, &start, LEN(RESPONSE)) ==
			LEN(RESPONSE));
		take(stage.pair.fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
		exchange(&stage.pair);
		stage_judge(&stage, "a head from a file", ROWS(CLIENT_LOST, TWO_KEPT),
			    MISSES({TALLY_MISSED_NO_WINDOW, 1}));
	}
	close(file);
}

/* Functions are told where the bytes are, whoever calls; tracepoints are not. */
static void judge_unless_told(struct stage *stage, const char *name,
			      const struct expected *otherwise,
			      enum tally_missed reason)
{
	const struct miss missed[] = {{reason, 1}, {0, 0}};

	if (probes_capture(stage->scene->probes) == CAPTURE_FENTRY)
		stage_judge(stage, name, ROWS(BOTH_LOST, TWO_KEPT), nothing_missed);
	else
		stage_judge(stage, name, otherwise, missed);
}

/* --- who calls -------------------------------------------------------------- */

static long call_32_bit(long number, long first, const void *second, long third)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(first), "c"(second), "d"(third)
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

#define READ_32_BIT 3
#define WRITE_32_BIT 4

/* The registers of a 32-bit call mean something else: they are not read. */
static void a_request_read_by_a_32_bit_call_is_named(void **state)
{
	char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	REQUIRE(low != MAP_FAILED);
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);

		exchange(&stage.pair);
		put(stage.pair.fd[CLIENT], LOST, LEN(LOST));
		REQUIRE(call_32_bit(READ_32_BIT, stage.pair.fd[SERVER], low, 4096) ==
			LEN(LOST));
		respond(&stage.pair);
		exchange(&stage.pair);
		judge_unless_told(&stage, "a 32-bit read", ROWS(CLIENT_LOST, TWO_KEPT),
				  TALLY_MISSED_COMPAT);
	}
	munmap(low, 4096);
}

/* TCP names the sender's buffer itself, whoever calls. */
static void a_request_sent_by_a_32_bit_call_is_exact_on_tcp(void **state)
{
	char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	REQUIRE(low != MAP_FAILED);
	memcpy(low, REQUEST, LEN(REQUEST));
	for (enum transport transport = 0; transport < UNIX; transport++) {
		struct stage stage = stage_open(*state, transport);

		REQUIRE(call_32_bit(WRITE_32_BIT, stage.pair.fd[CLIENT], low,
				    LEN(REQUEST)) == LEN(REQUEST));
		take(stage.pair.fd[SERVER], REQUEST, LEN(REQUEST), 0);
		respond(&stage.pair);
		stage_judge(&stage, "a 32-bit write", ROWS(KEPT), nothing_missed);
	}
	munmap(low, 4096);
}

/* --- io_uring --------------------------------------------------------------- */

static void receive_by_ring(struct stage *stage, struct ring *ring, uint8_t code,
			    uint8_t flags)
{
	char buf[256];

	exchange(&stage->pair);
	put(stage->pair.fd[CLIENT], LOST, LEN(LOST));
	await_readable(stage->pair.fd[SERVER]);
	REQUIRE(ring_do(ring, code, stage->pair.fd[SERVER], buf, sizeof(buf), flags) ==
		LEN(LOST));
	REQUIRE(!memcmp(buf, LOST, LEN(LOST)));
	respond(&stage->pair);
	exchange(&stage->pair);
	judge_unless_told(stage, "a receive by io_uring", ROWS(CLIENT_LOST, TWO_KEPT),
			  TALLY_MISSED_IO_URING);
}

/* In the caller (0) and in a worker thread of the kernel (IOSQE_ASYNC). */
static void a_request_read_by_io_uring_is_named(void **state)
{
	static const uint8_t codes[] = {IORING_OP_RECV, IORING_OP_READ};
	struct ring ring = ring_open(0);

	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		for (int i = 0; i < 2; i++)
			for (int async = 0; async < 2; async++) {
				struct stage stage = stage_open(*state, transport);

				receive_by_ring(&stage, &ring, codes[i],
						async ? IOSQE_ASYNC : 0);
			}
	ring_close(&ring);
}

/* A kernel thread polls the queue: there is no caller at all. */
static void a_request_read_by_a_polling_kernel_thread_is_named(void **state)
{
	struct ring ring = ring_open(IORING_SETUP_SQPOLL);

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);

		receive_by_ring(&stage, &ring, IORING_OP_RECV, 0);
	}
	ring_close(&ring);
}

/* Waits for the test's thread to sleep in a call, then lets the receive complete
 * there, then ends the call. */
struct interruption {
	int socket, pipe;
};

static bool is_asleep(pid_t thread)
{
	char path[64], text[512] = "", *after;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	REQUIRE(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	after = strrchr(text, ')');
	REQUIRE(after);
	return after[2] == 'S';
}

static void *interrupt_a_read(void *context)
{
	const struct interruption *interruption = context;
	uint64_t start_ns = now_ns();

	while (!is_asleep(test_thread))
		REQUIRE(keep_waiting(start_ns));
	put(interruption->socket, LOST, LEN(LOST));
	take_time(20000000);
	put(interruption->pipe, "x", 1);
	return NULL;
}

/* The receive completes while its thread is inside a read of something else,
 * whose registers name a buffer with a request in it that nobody sent here. */
static void a_receive_that_completes_inside_another_call_is_not_misread(void **state)
{
	static const char decoy[] = "GET /fake HTTP/1.1\r\nHost: x\r\n\r\n";

	_Static_assert(sizeof(decoy) == sizeof(LOST), "same length as what comes");
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		struct ring ring = ring_open(0);
		char buf[256], other[256];
		const struct io_uring_sqe receive = ring_operation(
		    IORING_OP_RECV, stage.pair.fd[SERVER], buf, sizeof(buf), 0);
		int ends[2];
		struct interruption interruption;
		pthread_t thread;

		REQUIRE(!pipe2(ends, O_CLOEXEC));
		interruption = (struct interruption){stage.pair.fd[CLIENT], ends[1]};
		memcpy(other, decoy, sizeof(decoy));
		exchange(&stage.pair);
		ring_submit(&ring, &receive, 0);
		REQUIRE(
		    !pthread_create(&thread, NULL, interrupt_a_read, &interruption));
		REQUIRE(read(ends[0], other, sizeof(other)) == 1);
		REQUIRE(!pthread_join(thread, NULL));
		REQUIRE(ring_result(&ring) == LEN(LOST));
		REQUIRE(!memcmp(buf, LOST, LEN(LOST)));
		respond(&stage.pair);
		exchange(&stage.pair);
		close(ends[0]);
		close(ends[1]);
		ring_close(&ring);
		judge_unless_told(&stage, "a completion inside another call",
				  ROWS(CLIENT_LOST, TWO_KEPT), TALLY_MISSED_IO_URING);
	}
}

/* TCP names the sender's buffer itself; on Unix sockets no hook does. */
static void a_request_sent_by_io_uring_is_exact_on_tcp(void **state)
{
	struct ring ring = ring_open(0);

	for (enum transport transport = 0; transport < UNIX; transport++)
		for (int async = 0; async < 2; async++) {
			struct stage stage = stage_open(*state, transport);

			REQUIRE(ring_do(&ring, IORING_OP_SEND, stage.pair.fd[CLIENT],
					REQUEST, LEN(REQUEST),
					async ? IOSQE_ASYNC : 0) == LEN(REQUEST));
			take(stage.pair.fd[SERVER], REQUEST, LEN(REQUEST), 0);
			respond(&stage.pair);
			stage_judge(&stage, "a send by io_uring", ROWS(KEPT),
				    nothing_missed);
		}
	ring_close(&ring);
}

static void send_on_unix_by_ring(struct scene *scene, bool known)
{
	struct ring ring = ring_open(0);

	for (int async = 0; async < 2; async++) {
		struct stage stage = stage_open(scene, UNIX);

		if (known)
			exchange(&stage.pair);
		REQUIRE(ring_do(&ring, IORING_OP_SEND, stage.pair.fd[CLIENT], LOST,
				LEN(LOST), async ? IOSQE_ASYNC : 0) == LEN(LOST));
		take(stage.pair.fd[SERVER], LOST, LEN(LOST), 0);
		respond(&stage.pair);
		exchange(&stage.pair);
		if (probes_capture(scene->probes) == CAPTURE_FENTRY)
			stage_judge(&stage, "a send by io_uring",
				    known ? ROWS(BOTH_LOST, TWO_KEPT)
					  : ROWS(BOTH_LOST, KEPT),
				    nothing_missed);
		else
			stage_judge(&stage, "a send by io_uring",
				    known ? ROWS(SERVER_LOST, TWO_KEPT)
					  : ROWS(SERVER_LOST, KEPT),
				    MISSES({TALLY_MISSED_IO_URING, 1}));
	}
	ring_close(&ring);
}

static void a_request_sent_by_io_uring_on_unix_is_named_by_the_sender(void **state)
{
	send_on_unix_by_ring(*state, true);
}

static void so_is_the_first_request_of_a_unix_connection(void **state)
{
	send_on_unix_by_ring(*state, false);
}

/* Bodies have a length; who moves them does not matter. */
static void bodies_moved_by_io_uring_are_exact(void **state)
{
	static const char head[] = OK_WITH("Content-Length: 5", "");
	static const char request[] =
	    "POST /kept HTTP/1.1\r\nContent-Length: 3\r\n\r\n";
	struct ring ring = ring_open(0);

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		int *fd = stage.pair.fd;
		char buf[8];

		put(fd[CLIENT], request, LEN(request));
		take(fd[SERVER], request, LEN(request), 0);
		REQUIRE(ring_do(&ring, IORING_OP_SEND, fd[CLIENT], "abc", 3, 0) == 3);
		REQUIRE(ring_do(&ring, IORING_OP_RECV, fd[SERVER], buf, 8, 0) == 3);
		put(fd[SERVER], head, LEN(head));
		take(fd[CLIENT], head, LEN(head), 0);
		REQUIRE(ring_do(&ring, IORING_OP_SEND, fd[SERVER], "hello", 5, 0) == 5);
		REQUIRE(ring_do(&ring, IORING_OP_RECV, fd[CLIENT], buf, 8, 0) == 5);
		exchange(&stage.pair);
		stage_judge(&stage, "bodies by io_uring",
			    ROWS(ROW(POST, 200, "/kept", 3, 5), KEPT), nothing_missed);
	}
	ring_close(&ring);
}

/* --- memory that is gone ---------------------------------------------------- */

/* A buffer of two pages; while the kernel's copy waits for the second, the first,
 * which it has filled, is taken away. A program may not fault it back in. */
struct vanishing {
	char *pages;
	size_t page;
	int fault_fd;
};

static struct vanishing vanishing_open(void)
{
	struct vanishing buffer = {.page = (size_t)sysconf(_SC_PAGESIZE)};
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};

	buffer.pages = mmap(NULL, 2 * buffer.page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(buffer.pages != MAP_FAILED);
	buffer.fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	REQUIRE(buffer.fault_fd >= 0 && !ioctl(buffer.fault_fd, UFFDIO_API, &api));
	range.range.start = (uintptr_t)buffer.pages + buffer.page;
	range.range.len = buffer.page;
	REQUIRE(!ioctl(buffer.fault_fd, UFFDIO_REGISTER, &range));
	return buffer;
}

static void *take_the_first_page(void *context)
{
	const struct vanishing *buffer = context;
	struct uffdio_zeropage fill = {
	    .range = {(uintptr_t)buffer->pages + buffer->page, buffer->page}};
	struct uffd_msg message;

	REQUIRE(read(buffer->fault_fd, &message, sizeof(message)) == sizeof(message));
	REQUIRE(message.event == UFFD_EVENT_PAGEFAULT);
	REQUIRE(!madvise(buffer->pages, buffer->page, MADV_DONTNEED));
	REQUIRE(!ioctl(buffer->fault_fd, UFFDIO_ZEROPAGE, &fill));
	return NULL;
}

static void read_as_it_vanishes(int fd, size_t head_len, size_t len)
{
	struct vanishing buffer = vanishing_open();
	pthread_t thread;

	memset(buffer.pages, 0, buffer.page);
	REQUIRE(!pthread_create(&thread, NULL, take_the_first_page, &buffer));
	REQUIRE(read(fd, buffer.pages + buffer.page - head_len, len) == (ssize_t)len);
	REQUIRE(!pthread_join(thread, NULL));
	close(buffer.fault_fd);
	munmap(buffer.pages, 2 * buffer.page);
}

static void a_buffer_that_vanishes_during_the_read_is_a_read_fault(void **state)
{
	static const char head[] = "POST /lost HTTP/1.1\r\nContent-Length: 3\r\n\r\n";

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);

		exchange(&stage.pair);
		put(stage.pair.fd[CLIENT], POST_WITH("Content-Length: 3", "abc"),
		    LEN(head) + 3);
		read_as_it_vanishes(stage.pair.fd[SERVER], LEN(head), LEN(head) + 3);
		respond(&stage.pair);
		exchange(&stage.pair);
		stage_judge(&stage, "a vanishing buffer",
			    ROWS(ROW_OF(CLIENT, POST, 200, "/lost", 3, 5), TWO_KEPT),
			    MISSES({TALLY_MISSED_READ_FAULT, 1}));
	}
}

/* --- two readers at once ---------------------------------------------------- */

struct crowd {
	int fd;
	unsigned int bytes; /* read by all */
};

static void *read_in_a_crowd(void *context)
{
	struct crowd *crowd = context;
	char buf[7];
	ssize_t got;

	while ((got = read(crowd->fd, buf, sizeof(buf))) > 0)
		__atomic_add_fetch(&crowd->bytes, (unsigned int)got, __ATOMIC_RELAXED);
	return NULL;
}

/* Which thread is told first of what it read is the scheduler's choice, and so is
 * whether the other one waits by then (else what it read is a gap). How often it shows
 * is not ours to say; that it shows or nothing is lost, and that it harms nothing, is.
 */
static uint64_t missed_between_readers(struct scene *scene)
{
	return missed_since(scene, TALLY_MISSED_CONCURRENT_IO) +
	       missed_since(scene, TALLY_MISSED_LOST_SYNC);
}

/* Of sent requests at both ends, none of which was answered. */
static void assert_none_lost(struct scene *scene, const struct rows *rows,
			     unsigned int sent)
{
	assert_int_equal(rows_requests(rows) +
			     missed_since(scene, TALLY_MISSED_PIPELINE_FULL),
			 2 * (uint64_t)sent);
}

static void threads_that_read_one_socket_at_once_are_named(void **state)
{
	struct stage stage = stage_open(*state, IPV4);
	struct crowd crowd = {.fd = stage.pair.fd[SERVER]};
	uint64_t start_ns = now_ns();
	struct rows *rows;
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, read_in_a_crowd, &crowd));
	while (!missed_between_readers(*state) && now_ns() - start_ns < DEADLINE_NS)
		for (int i = 0; i < 100; i++)
			put(stage.pair.fd[CLIENT], REQUEST, LEN(REQUEST));
	pair_close_side(&stage.pair, CLIENT);
	for (int i = 0; i < 4; i++)
		REQUIRE(!pthread_join(threads[i], NULL));
	pair_close(&stage.pair);
	rows = rows_read(*state, stage.endpoint);
	assert_int_equal(crowd.bytes % LEN(REQUEST), 0);
	if (!missed_between_readers(*state))
		assert_none_lost(*state, rows, crowd.bytes / LEN(REQUEST));
	assert_true(rows_requests_of(rows, TALLY_ROLE_SERVER) <=
		    crowd.bytes / LEN(REQUEST));
	stage.endpoint->requests = rows_requests(rows);
	free(rows);

	stage = stage_open(*state, IPV4);
	exchange(&stage.pair);
	stage_judge(&stage, "afterwards", ROWS(KEPT), nothing_missed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_malformed_request_that_is_refused_is_counted_as_refused),
	    cmocka_unit_test(a_malformed_request_without_answer_is_told_once),
	    cmocka_unit_test(a_malformed_response_is_named_at_both_ends),
	    cmocka_unit_test(encrypted_connections_are_named_once_for_each_end),
	    cmocka_unit_test(http2_is_named_once_for_each_end),
	    cmocka_unit_test(a_response_that_nobody_asked_for_is_named),
	    cmocka_unit_test(a_timeout_before_any_request_is_named),
	    cmocka_unit_test(
		requests_in_flight_beyond_the_pipeline_are_named_one_by_one),
	    cmocka_unit_test(more_pieces_in_one_call_than_are_walked_are_named),
	    cmocka_unit_test(header_lines_of_one_call_count_by_the_window),
	    cmocka_unit_test(a_head_that_is_discarded_unread_is_named),
	    cmocka_unit_test(a_request_that_is_spliced_away_is_lost_sync),
	    cmocka_unit_test(half_a_head_that_is_spliced_away_is_lost_sync),
	    cmocka_unit_test(requests_before_the_lost_one_keep_their_answers),
	    cmocka_unit_test(a_response_head_from_a_file_is_named_at_the_sender),
	    cmocka_unit_test(a_request_read_by_a_32_bit_call_is_named),
	    cmocka_unit_test(a_request_sent_by_a_32_bit_call_is_exact_on_tcp),
	    cmocka_unit_test(a_request_read_by_io_uring_is_named),
	    cmocka_unit_test(a_request_read_by_a_polling_kernel_thread_is_named),
	    cmocka_unit_test(
		a_receive_that_completes_inside_another_call_is_not_misread),
	    cmocka_unit_test(a_request_sent_by_io_uring_is_exact_on_tcp),
	    cmocka_unit_test(a_request_sent_by_io_uring_on_unix_is_named_by_the_sender),
	    cmocka_unit_test(so_is_the_first_request_of_a_unix_connection),
	    cmocka_unit_test(bodies_moved_by_io_uring_are_exact),
	    cmocka_unit_test(a_buffer_that_vanishes_during_the_read_is_a_read_fault),
	    cmocka_unit_test(threads_that_read_one_socket_at_once_are_named),
	    cmocka_unit_test(no_case_is_counted_again_later),
	};

	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
