/* SPDX-License-Identifier: Apache-2.0 */
/* Every way into and out of a stream socket: which call moved the bytes, and how
 * it was told where they are, changes nothing in the counts. */
#include "call.h"

#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define REQUEST "POST /call HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
#define RESPONSE "HTTP/1.1 200 OK\r\nServer: y\r\nContent-Length: 5\r\n\r\nhello"
#define LEN(text) (sizeof(text) - 1)

static struct expected calls(uint64_t count)
{
	return (struct expected){.method = TALLY_METHOD_POST,
				 .status = 200,
				 .route = "/call",
				 .requests = count,
				 .request_bytes = count * 3,
				 .response_bytes = count * 5};
}

/* What one case sets up, and judges. */
struct stage {
	struct scene *scene;
	struct endpoint *endpoint;
	struct pair pair;
};

static struct stage stage_open(struct scene *scene, enum transport transport)
{
	struct stage stage = {scene, endpoint_open(scene, transport), {{-1, -1}}};

	scene_mark(scene);
	stage.pair = pair_open(stage.endpoint);
	return stage;
}

static void stage_judge(struct stage *stage, const char *name,
			const struct expected *rows, const struct miss *missed)
{
	char text[128];

	snprintf(text, sizeof(text), "%s over %s", name,
		 transport_name(stage->endpoint->transport));
	assert_rows(stage->scene, stage->endpoint, text, rows);
	pair_close(&stage->pair);
	assert_missed(stage->scene, text, missed);
}

static void exchange_by(struct pair *pair, enum sender sender, enum receiver receiver,
			struct slicing slicing)
{
	put_by(sender, pair->fd[CLIENT], REQUEST, LEN(REQUEST), slicing);
	take_by(receiver, pair->fd[SERVER], REQUEST, LEN(REQUEST), slicing);
	put_by(sender, pair->fd[SERVER], RESPONSE, LEN(RESPONSE), slicing);
	take_by(receiver, pair->fd[CLIENT], RESPONSE, LEN(RESPONSE), slicing);
}

static void assert_calls(struct scene *scene, struct slicing slicing)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		for (enum sender sender = 0; sender < SENDERS; sender++)
			for (enum receiver receiver = 0; receiver < RECEIVERS;
			     receiver++) {
				struct stage stage = stage_open(scene, transport);
				char name[64];

				snprintf(name, sizeof(name),
					 "sender %u receiver %u slices of %zu", sender,
					 receiver, slicing.size);
				for (int i = 0; i < 3; i++)
					exchange_by(&stage.pair, sender, receiver,
						    slicing);
				stage_judge(&stage, name, ROWS(calls(3)),
					    nothing_missed);
			}
}

static void every_sender_with_every_receiver_is_exact(void **state)
{
	assert_calls(*state, (struct slicing){0});
}

static void messages_and_vectors_of_ten_bytes_are_exact(void **state)
{
	assert_calls(*state, (struct slicing){.size = 10});
}

/* --- vectors ---------------------------------------------------------------- */

static void assert_sliced(struct scene *scene, enum sender sender,
			  enum receiver receiver, struct slicing slicing)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(scene, transport);
		char name[64];

		snprintf(name, sizeof(name), "%u empty then slices of %zu, calls %u %u",
			 slicing.empty, slicing.size, sender, receiver);
		for (int i = 0; i < 2; i++)
			exchange_by(&stage.pair, sender, receiver, slicing);
		stage_judge(&stage, name, ROWS(calls(2)), nothing_missed);
	}
}

/* sizeof(REQUEST) is below 64, so slices of one byte are at most 64 entries. */
static void vectors_that_start_empty_or_split_anywhere_are_exact(void **state)
{
	static const unsigned int empties[] = {0, 1, 2, 3, 7, 8};
	static const size_t sizes[] = {0, 1, 2, 3, 5, 7, 16, 31, 50};

	_Static_assert(LEN(REQUEST) <= 56 && LEN(RESPONSE) <= 56, "see above");
	for (size_t i = 0; i < sizeof(empties) / sizeof(empties[0]); i++)
		for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
			const struct slicing slicing = {empties[i], sizes[j]};

			assert_sliced(*state, BY_WRITEV, BY_READV, slicing);
			assert_sliced(*state, BY_SENDMSG, BY_RECVMSG, slicing);
			assert_sliced(*state, BY_PWRITEV2, BY_PREADV2, slicing);
		}
}

static void send_cut(struct stage *stage, const char *bytes, size_t len, size_t cut,
		     enum side side)
{
	const struct iovec out[] = {{NULL, 0},
				    {(void *)(uintptr_t)bytes, cut},
				    {NULL, 0},
				    {NULL, 0},
				    {(void *)(uintptr_t)(bytes + cut), len - cut}};
	char buf[256];
	const struct iovec in[] = {
	    {NULL, 0}, {buf, cut}, {NULL, 0}, {buf + cut, sizeof(buf) - cut}};

	REQUIRE(writev(stage->pair.fd[side], out, 5) == (ssize_t)len);
	REQUIRE(readv(stage->pair.fd[!side], in, 4) == (ssize_t)len);
	REQUIRE(!memcmp(buf, bytes, len));
}

static void vectors_cut_at_every_byte_with_holes_are_exact(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);

		for (size_t cut = 0; cut <= LEN(REQUEST); cut++) {
			send_cut(&stage, REQUEST, LEN(REQUEST), cut, CLIENT);
			send_cut(&stage, RESPONSE, LEN(RESPONSE),
				 cut < LEN(RESPONSE) ? cut : LEN(RESPONSE), SERVER);
		}
		stage_judge(&stage, "vectors with holes", ROWS(calls(LEN(REQUEST) + 1)),
			    nothing_missed);
	}
}

/* More entries than can be walked may not be counted, but then say so: what is
 * in no row is in the ledger. */
static void beyond_any_bound_of_a_vector_nothing_vanishes(void **state)
{
	char request[1000];
	size_t len =
	    (size_t)snprintf(request, sizeof(request),
			     "GET /call HTTP/1.1\r\nCookie: %0700d\r\n\r\n", 0);

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		const struct slicing bytes = {.size = 1};
		struct rows *rows;
		uint64_t missed = 0;

		put_by(BY_WRITEV, stage.pair.fd[CLIENT], request, len, bytes);
		take_by(BY_READV, stage.pair.fd[SERVER], request, len, bytes);
		put(stage.pair.fd[SERVER], RESPONSE, LEN(RESPONSE));
		take(stage.pair.fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
		rows = rows_read(*state, stage.endpoint);
		stage.endpoint->requests = rows_requests(rows);
		for (enum tally_missed i = 0; i < TALLY_MISSED_COUNT; i++)
			missed += missed_since(*state, i);
		assert_int_equal(rows_requests(rows) + missed, 2);
		pair_close(&stage.pair);
		free(rows);
	}
}

/* --- several messages in one call --------------------------------------------- */

/* One or two HTTP messages, as the entries of one call: 'W' is a whole one, 'H' its
 * head, 'B' its body, 'h' ten bytes of its head and 't' what is left of it, '0'
 * nothing. */
static unsigned int entries_of(struct mmsghdr ret_entries[SLICES_MAX],
			       struct iovec ret_slices[SLICES_MAX], char *bytes,
			       size_t len, size_t body, const char *pattern)
{
	int count = (int)strlen(pattern);

	for (int i = 0; i < count; i++) {
		const char kind = pattern[i];
		size_t size = kind == 'W'   ? len
			      : kind == 'H' ? len - body
			      : kind == 'B' ? body
			      : kind == 'h' ? 10
			      : kind == 't' ? len - 10
					    : 0;

		ret_slices[i] = (struct iovec){bytes, size};
		bytes += size;
	}
	return messages_of(ret_entries, ret_slices, count);
}

/* What is empty at the end waits for more when it is received. */
static void move_entries(const struct pair *pair, enum side side, const char *text,
			 size_t len, size_t body, const char *pattern)
{
	static struct mmsghdr entries[SLICES_MAX];
	static struct iovec slices[SLICES_MAX];
	char out[256], in[256] = "";
	unsigned int count;
	ssize_t size;

	REQUIRE(2 * len <= sizeof(out));
	memcpy(out, text, len);
	memcpy(out + len, text, len);
	count = entries_of(entries, slices, out, len, body, pattern);
	REQUIRE(sendmmsg(pair->fd[side], entries, count, 0) == (int)count);
	size = sum_of_lengths(entries, (int)count);
	count = entries_of(entries, slices, in, len, body, pattern);
	while (!slices[count - 1].iov_len)
		count--;
	REQUIRE(recvmmsg(pair->fd[!side], entries, count, MSG_WAITALL, NULL) ==
		(int)count);
	REQUIRE(sum_of_lengths(entries, (int)count) == size);
	REQUIRE(!memcmp(in, out, (size_t)size));
}

static void empty_messages_and_bodies_in_one_call_are_exact(void **state)
{
	static const struct {
		const char *pattern;
		unsigned int messages;
	} cases[] = {{"0W", 1},  {"W0", 1},     {"00W", 1},       {"0W0W", 2},
		     {"W0W", 2}, {"W000W0", 2}, {"0h0t", 1},      {"h00t0ht", 2},
		     {"HB", 1},  {"HBHB", 2},   {"0H0B00H0B", 2}, {"HBW", 2}};

	for (enum transport transport = 0; transport < TRANSPORTS; transport++)
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct stage stage = stage_open(*state, transport);
			const char *pattern = cases[i].pattern;

			for (int turn = 0; turn < 3; turn++) {
				move_entries(&stage.pair, CLIENT, REQUEST, LEN(REQUEST),
					     3, pattern);
				move_entries(&stage.pair, SERVER, RESPONSE,
					     LEN(RESPONSE), 5, pattern);
			}
			stage_judge(&stage, pattern, ROWS(calls(3 * cases[i].messages)),
				    nothing_missed);
		}
}

/* One message an entry, each with a route of its own and of another length. */
#define BATCH_MAX 4

struct batch {
	struct mmsghdr entries[BATCH_MAX];
	struct iovec slices[BATCH_MAX];
	char in[BATCH_MAX][64];
};

static const char *const batch_texts[BATCH_MAX] = {
    "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "GET /bb HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /ccc HTTP/1.1\r\nHost: x\r\n\r\n", "GET /dddd HTTP/1.1\r\nHost: x\r\n\r\n"};

/* The lengths that the kernel wrote stay in the entries, as they do in programs. */
static void batch_fill(struct batch *batch, bool sends)
{
	for (int i = 0; i < BATCH_MAX; i++) {
		const char *text = batch_texts[i];

		batch->slices[i] = (struct iovec){
		    sends ? (void *)(uintptr_t)text : batch->in[i], strlen(text)};
		batch->entries[i].msg_hdr =
		    (struct msghdr){.msg_iov = &batch->slices[i], .msg_iovlen = 1};
	}
}

static void answer_batch(struct pair *pair, int count)
{
	for (int i = 0; i < count; i++)
		put(pair->fd[SERVER], RESPONSE, LEN(RESPONSE));
	for (int i = 0; i < count; i++)
		take(pair->fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
}

static struct expected batch_row(const char *route, uint64_t count)
{
	return (struct expected){.method = TALLY_METHOD_GET,
				 .status = 200,
				 .route = route,
				 .requests = count,
				 .response_bytes = 5 * count};
}

/* Nothing tells one call from the next but that the last one had all its entries. */
static void calls_of_more_and_more_messages_in_one_array_are_exact(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		struct batch out = {0}, in = {0};

		batch_fill(&out, true);
		batch_fill(&in, false);
		for (unsigned int count = 1; count <= BATCH_MAX; count++) {
			REQUIRE(sendmmsg(stage.pair.fd[CLIENT], out.entries, count,
					 0) == (int)count);
			REQUIRE(recvmmsg(stage.pair.fd[SERVER], in.entries, count,
					 MSG_WAITALL, NULL) == (int)count);
			answer_batch(&stage.pair, (int)count);
		}
		stage_judge(&stage, "calls of more and more messages",
			    ROWS(batch_row("/a", 4), batch_row("/bb", 3),
				 batch_row("/ccc", 2), batch_row("/dddd", 1)),
			    nothing_missed);
	}
}

/* Some more than a socket's buffer takes: what is left fits in once that was read. */
#define PART_BODY 300000
#define PART_LENGTH "300000"

/* What was sent of an entry in part ends its call; the next one has the rest of it. */
static void a_message_sent_in_part_ends_its_call(void **state)
{
	static char text[PART_BODY + 128], in[sizeof(text)];
	int head =
	    snprintf(text, sizeof(text),
		     "POST /call HTTP/1.1\r\nContent-Length: " PART_LENGTH "\r\n\r\n");
	size_t len = (size_t)head + PART_BODY;
	struct stage stage = stage_open(*state, UNIX);
	struct batch out = {0};
	ssize_t part, rest = (ssize_t)strlen(batch_texts[1]);
	struct expected row = calls(1);

	memset(text + head, 'x', PART_BODY);
	batch_fill(&out, true);
	out.slices[0] = (struct iovec){text, len};
	REQUIRE(sendmmsg(stage.pair.fd[CLIENT], out.entries, 2, MSG_DONTWAIT) == 1);
	part = out.entries[0].msg_len;
	REQUIRE(part > head && part < (ssize_t)len);
	REQUIRE(recv(stage.pair.fd[SERVER], in, (size_t)part, MSG_WAITALL) == part);
	out.slices[0] = (struct iovec){text + part, len - (size_t)part};
	REQUIRE(sendmmsg(stage.pair.fd[CLIENT], out.entries, 2, MSG_DONTWAIT) == 2);
	rest += (ssize_t)len - part;
	REQUIRE(recv(stage.pair.fd[SERVER], in, (size_t)rest, MSG_WAITALL) == rest);
	answer_batch(&stage.pair, 2);
	row.request_bytes = PART_BODY;
	stage_judge(&stage, "a message sent in part", ROWS(row, batch_row("/bb", 1)),
		    nothing_missed);
}

static void *receive_two(void *context)
{
	const struct pair *pair = context;
	struct batch in = {0};

	batch_fill(&in, false);
	REQUIRE(recvmmsg(pair->fd[SERVER], in.entries, 2, MSG_WAITALL, NULL) == 2);
	return NULL;
}

static void await_taken(int fd)
{
	uint64_t start_ns = now_ns();
	int there = 1;

	while (!ioctl(fd, FIONREAD, &there) && there)
		REQUIRE(keep_waiting(start_ns));
	take_time(20000000); /* until that is told */
}

/* While a thread is between two messages of its call. */
static void calls_of_other_threads_do_not_end_one_of_several_messages(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		int client = stage.pair.fd[CLIENT], server = stage.pair.fd[SERVER];
		struct slicing whole = {0};
		pthread_t thread;
		char byte;

		REQUIRE(!pthread_create(&thread, NULL, receive_two, &stage.pair));
		put(client, batch_texts[0], strlen(batch_texts[0]));
		await_taken(server);
		REQUIRE(recv(server, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
		put_by(BY_SENDMMSG, server, RESPONSE, LEN(RESPONSE), whole);
		take(client, RESPONSE, LEN(RESPONSE), 0);
		put(client, batch_texts[1], strlen(batch_texts[1]));
		REQUIRE(!pthread_join(thread, NULL));
		answer_batch(&stage.pair, 1);
		stage_judge(&stage, "calls beside one of several messages",
			    ROWS(batch_row("/a", 1), batch_row("/bb", 1)),
			    nothing_missed);
	}
}

/* A recvmmsg that ends by its timeout fires no event of its end, so nobody knows
 * which entry the next one fills: what it reads is in the ledger, each once. */
static void a_recvmmsg_with_a_timeout_is_named(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		char bufs[4][256];
		struct iovec slices[4];
		struct mmsghdr messages[4];
		struct expected row = calls(5);

		for (int i = 0; i < 4; i++)
			slices[i] = (struct iovec){bufs[i], sizeof(bufs[i])};
		messages_of(messages, slices, 4);
		for (int i = 0; i < 5; i++) {
			struct timespec at_once = {0, 1};

			memset(bufs, 0, sizeof(bufs));
			put(stage.pair.fd[CLIENT], REQUEST, LEN(REQUEST));
			REQUIRE(recvmmsg(stage.pair.fd[SERVER], messages, 4, 0,
					 &at_once) == 1);
			REQUIRE(messages[0].msg_len == LEN(REQUEST));
			put(stage.pair.fd[SERVER], RESPONSE, LEN(RESPONSE));
			take(stage.pair.fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
		}
		/* functions are told where each message went */
		if (probes_capture(stage.scene->probes) == CAPTURE_FENTRY) {
			stage_judge(&stage, "recvmmsg with a timeout", ROWS(row),
				    nothing_missed);
			continue;
		}
		row.role = TALLY_ROLE_CLIENT;
		stage_judge(&stage, "recvmmsg with a timeout", ROWS(row),
			    MISSES({TALLY_MISSED_JOINED_MIDWAY, 1},
				   {TALLY_MISSED_NO_WINDOW, 4}));
	}
}

/* --- flags ------------------------------------------------------------------ */

static void peek(int fd, const char *bytes, size_t len)
{
	char buf[256];

	REQUIRE(recv(fd, buf, len, MSG_PEEK) == (ssize_t)len);
	REQUIRE(!memcmp(buf, bytes, len));
}

static void a_peek_before_the_read_is_not_a_second_request(void **state)
{
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		int *fd = stage.pair.fd;

		for (size_t i = 1; i <= LEN(REQUEST); i++) {
			put(fd[CLIENT], REQUEST, LEN(REQUEST));
			peek(fd[SERVER], REQUEST, LEN(REQUEST));
			peek(fd[SERVER], REQUEST, i);
			take(fd[SERVER], REQUEST, i, 0);
			if (i < LEN(REQUEST))
				peek(fd[SERVER], REQUEST + i, LEN(REQUEST) - i);
			take(fd[SERVER], REQUEST + i, LEN(REQUEST) - i, 0);
			put(fd[SERVER], RESPONSE, LEN(RESPONSE));
			peek(fd[CLIENT], RESPONSE, 7);
			take(fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
		}
		stage_judge(&stage, "peeks", ROWS(calls(LEN(REQUEST))), nothing_missed);
	}
}

static void waiting_for_all_of_a_read_in_parts_is_exact(void **state)
{
	char buf[256];

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		int *fd = stage.pair.fd;

		for (size_t i = 1; i < LEN(REQUEST); i++) {
			put(fd[CLIENT], REQUEST, i);
			put(fd[CLIENT], REQUEST + i, LEN(REQUEST) - i);
			REQUIRE(recv(fd[SERVER], buf, LEN(REQUEST), MSG_WAITALL) ==
				(ssize_t)LEN(REQUEST));
			put(fd[SERVER], RESPONSE, LEN(RESPONSE));
			take(fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
		}
		stage_judge(&stage, "MSG_WAITALL", ROWS(calls(LEN(REQUEST) - 1)),
			    nothing_missed);
	}
}

/* A call that fails, or finds nothing, changes no state. */
static void calls_that_move_nothing_change_nothing(void **state)
{
	char buf[256], *volatile nowhere = NULL;

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		int *fd = stage.pair.fd;

		for (int i = 0; i < 3; i++) {
			REQUIRE(recv(fd[SERVER], buf, sizeof(buf), MSG_DONTWAIT) < 0);
			put(fd[CLIENT], REQUEST, 20);
			take(fd[SERVER], REQUEST, 20, 0);
			REQUIRE(recv(fd[SERVER], buf, sizeof(buf), MSG_DONTWAIT) < 0);
			REQUIRE(recv(fd[SERVER], buf, 0, MSG_DONTWAIT) <= 0);
			REQUIRE(recv(fd[CLIENT], buf, sizeof(buf), MSG_DONTWAIT) < 0);
			REQUIRE(write(fd[CLIENT], nowhere, 10) < 0);
			put(fd[CLIENT], REQUEST + 20, LEN(REQUEST) - 20);
			REQUIRE(read(fd[SERVER], nowhere, 10) < 0);
			take(fd[SERVER], REQUEST + 20, LEN(REQUEST) - 20, 0);
			put(fd[SERVER], RESPONSE, LEN(RESPONSE));
			take(fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
		}
		stage_judge(&stage, "failing calls", ROWS(calls(3)), nothing_missed);
	}
}

/* A send that is accepted in parts, as a full socket buffer makes it. */
static void sends_that_are_accepted_in_parts_are_exact(void **state)
{
	enum { BODY = 4000000 };
	static char body[BODY];
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n";
	static const struct expected row = ROW(POST, 200, "/call", 3, BODY);

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		int *fd = stage.pair.fd;
		size_t sent = 0, got = 0;

		put(fd[CLIENT], REQUEST, LEN(REQUEST));
		take(fd[SERVER], REQUEST, LEN(REQUEST), 0);
		put(fd[SERVER], head, LEN(head));
		take(fd[CLIENT], head, LEN(head), 0);
		while (got < BODY) {
			ssize_t n =
			    send(fd[SERVER], body + sent, BODY - sent, MSG_DONTWAIT);

			sent += n > 0 ? (size_t)n : 0;
			n = recv(fd[CLIENT], body, 300000, MSG_DONTWAIT);
			got += n > 0 ? (size_t)n : 0;
		}
		stage_judge(&stage, "parts", ROWS(row), nothing_missed);
	}
}

/* --- files ------------------------------------------------------------------ */

#define FILE_BYTES 104857600 /* 100 MB, sparse */
#define FILE_LENGTH "104857600"

enum way_out { SENDFILE, SPLICE };
enum way_in { READ_IN, SPLICE_IN };

struct transfer {
	struct stage *stage;
	enum way_out way_out;
	enum way_in way_in;
	enum side from;
	int file;
};

static void sendfile_all(const struct transfer *transfer)
{
	int fd = transfer->stage->pair.fd[transfer->from];
	size_t left = FILE_BYTES;

	while (left) {
		ssize_t sent = sendfile(fd, transfer->file, NULL, left);

		REQUIRE(sent > 0);
		left -= (size_t)sent;
	}
}

static void splice_to(int fd, int pipe_end, size_t len)
{
	while (len) {
		ssize_t moved = splice(pipe_end, NULL, fd, NULL, len, SPLICE_F_MORE);

		REQUIRE(moved > 0);
		len -= (size_t)moved;
	}
}

static void splice_all(int from, int to, size_t left)
{
	int ends[2];

	REQUIRE(!pipe2(ends, O_CLOEXEC));
	REQUIRE(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) > 0);
	while (left) {
		ssize_t got = splice(from, NULL, ends[1], NULL,
				     left < 1 << 20 ? left : 1 << 20, SPLICE_F_MOVE);

		REQUIRE(got > 0);
		splice_to(to, ends[0], (size_t)got);
		left -= (size_t)got;
	}
	close(ends[0]);
	close(ends[1]);
}

static void *send_file(void *context)
{
	const struct transfer *transfer = context;

	REQUIRE(lseek(transfer->file, 0, SEEK_SET) == 0);
	if (transfer->way_out == SENDFILE)
		sendfile_all(transfer);
	else
		splice_all(transfer->file, transfer->stage->pair.fd[transfer->from],
			   FILE_BYTES);
	return NULL;
}

static void receive_file(const struct transfer *transfer)
{
	static char buf[1 << 18];
	int fd = transfer->stage->pair.fd[!transfer->from];
	size_t left = FILE_BYTES;

	if (transfer->way_in == SPLICE_IN) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		splice_all(fd, null, left);
		close(null);
		return;
	}
	while (left) {
		ssize_t got = read(fd, buf, left < sizeof(buf) ? left : sizeof(buf));

		REQUIRE(got > 0);
		left -= (size_t)got;
	}
}

static void move_file(struct transfer *transfer)
{
	pthread_t thread;

	REQUIRE(!pthread_create(&thread, NULL, send_file, transfer));
	receive_file(transfer);
	REQUIRE(!pthread_join(thread, NULL));
}

static void download(struct transfer *transfer)
{
	int *fd = transfer->stage->pair.fd;
	static const char head[] =
	    "HTTP/1.1 200 OK\r\nContent-Length: " FILE_LENGTH "\r\n\r\n";

	put(fd[CLIENT], REQUEST, LEN(REQUEST));
	take(fd[SERVER], REQUEST, LEN(REQUEST), 0);
	put(fd[SERVER], head, LEN(head));
	take(fd[CLIENT], head, LEN(head), 0);
	transfer->from = SERVER;
	move_file(transfer);
}

static void upload(struct transfer *transfer)
{
	int *fd = transfer->stage->pair.fd;
	static const char head[] =
	    "PUT /up HTTP/1.1\r\nContent-Length: " FILE_LENGTH "\r\n\r\n";

	put(fd[CLIENT], head, LEN(head));
	take(fd[SERVER], head, LEN(head), 0);
	transfer->from = CLIENT;
	move_file(transfer);
	put(fd[SERVER], RESPONSE, LEN(RESPONSE));
	take(fd[CLIENT], RESPONSE, LEN(RESPONSE), 0);
}

static void assert_files(struct scene *scene, enum way_out way_out, enum way_in way_in,
			 enum transport transports)
{
	static const struct expected rows[] = {ROW(POST, 200, "/call", 3, FILE_BYTES),
					       ROW(PUT, 200, "/up", FILE_BYTES, 5),
					       {0}};
	int file = memfd_create("body", MFD_CLOEXEC);

	REQUIRE(file >= 0 && !ftruncate(file, FILE_BYTES));
	for (enum transport transport = 0; transport < transports; transport++) {
		struct stage stage = stage_open(scene, transport);
		struct transfer transfer = {&stage, way_out, way_in, 0, file};

		download(&transfer);
		upload(&transfer);
		stage_judge(&stage, "files", rows, nothing_missed);
	}
	close(file);
}

static void sendfile_bodies_of_100_megabytes_are_exact(void **state)
{
	assert_files(*state, SENDFILE, READ_IN, TRANSPORTS);
}

static void spliced_bodies_of_100_megabytes_are_exact(void **state)
{
	assert_files(*state, SPLICE, READ_IN, TRANSPORTS);
}

/* What a Unix socket splices out shows nowhere: TCP alone has positions. */
static void bodies_spliced_out_of_a_tcp_socket_are_exact(void **state)
{
	assert_files(*state, SPLICE, SPLICE_IN, UNIX);
}

/* MSG_TRUNC drops bytes unseen: inside a body, TCP's position still tells. */
static void a_body_that_is_discarded_unread_is_exact_on_tcp(void **state)
{
	for (enum transport transport = 0; transport < UNIX; transport++) {
		struct stage stage = stage_open(*state, transport);
		int *fd = stage.pair.fd;

		for (int i = 0; i < 5; i++) {
			put(fd[CLIENT], REQUEST, LEN(REQUEST));
			take(fd[SERVER], REQUEST, LEN(REQUEST) - 3, 0);
			REQUIRE(recv(fd[SERVER], NULL, 3, MSG_TRUNC) == 3);
			put(fd[SERVER], RESPONSE, LEN(RESPONSE));
			take(fd[CLIENT], RESPONSE, LEN(RESPONSE) - 5, 0);
			REQUIRE(recv(fd[CLIENT], NULL, 5, MSG_TRUNC) == 5);
		}
		stage_judge(&stage, "MSG_TRUNC", ROWS(calls(5)), nothing_missed);
	}
}

/* --- memory ----------------------------------------------------------------- */

/* Sent from pages that nothing has touched: a program that may not fault finds
 * them absent before the kernel's own copy, and present after it. */
static void bytes_in_pages_not_yet_present_are_counted(void **state)
{
	long page = sysconf(_SC_PAGESIZE);

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		int *fd = stage.pair.fd;

		for (int i = 0; i < 4; i++) {
			int file = memfd_create("message", MFD_CLOEXEC);
			char *map;

			put(file, i & 1 ? RESPONSE : REQUEST, LEN(REQUEST));
			map = mmap(NULL, (size_t)page, PROT_READ, MAP_SHARED, file, 0);
			REQUIRE(map != MAP_FAILED);
			REQUIRE(write(fd[i & 1], map,
				      i & 1 ? LEN(RESPONSE) : LEN(REQUEST)) > 0);
			take_text(fd[!(i & 1)], i & 1 ? RESPONSE : REQUEST);
			munmap(map, (size_t)page);
			close(file);
		}
		stage_judge(&stage, "absent pages", ROWS(calls(2)), nothing_missed);
	}
}

static void receive_buffers_at_the_end_of_memory_are_read_no_further(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(map != MAP_FAILED && !mprotect(map + page, page, PROT_NONE));
	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct stage stage = stage_open(*state, transport);
		int *fd = stage.pair.fd;

		for (int i = 0; i < 3; i++) {
			char *end = map + page;

			memcpy(end - LEN(REQUEST), REQUEST, LEN(REQUEST));
			put(fd[CLIENT], end - LEN(REQUEST), LEN(REQUEST));
			REQUIRE(read(fd[SERVER], end - LEN(REQUEST), 1000) ==
				(ssize_t)LEN(REQUEST));
			memcpy(end - LEN(RESPONSE), RESPONSE, LEN(RESPONSE));
			put(fd[SERVER], end - LEN(RESPONSE), LEN(RESPONSE));
			REQUIRE(recv(fd[CLIENT], end - LEN(RESPONSE), 1000, 0) ==
				(ssize_t)LEN(RESPONSE));
		}
		stage_judge(&stage, "end of memory", ROWS(calls(3)), nothing_missed);
	}
	munmap(map, 2 * page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_sender_with_every_receiver_is_exact),
	    cmocka_unit_test(messages_and_vectors_of_ten_bytes_are_exact),
	    cmocka_unit_test(vectors_that_start_empty_or_split_anywhere_are_exact),
	    cmocka_unit_test(vectors_cut_at_every_byte_with_holes_are_exact),
	    cmocka_unit_test(beyond_any_bound_of_a_vector_nothing_vanishes),
	    cmocka_unit_test(empty_messages_and_bodies_in_one_call_are_exact),
	    cmocka_unit_test(calls_of_more_and_more_messages_in_one_array_are_exact),
	    cmocka_unit_test(a_message_sent_in_part_ends_its_call),
	    cmocka_unit_test(calls_of_other_threads_do_not_end_one_of_several_messages),
	    cmocka_unit_test(a_recvmmsg_with_a_timeout_is_named),
	    cmocka_unit_test(a_peek_before_the_read_is_not_a_second_request),
	    cmocka_unit_test(waiting_for_all_of_a_read_in_parts_is_exact),
	    cmocka_unit_test(calls_that_move_nothing_change_nothing),
	    cmocka_unit_test(sends_that_are_accepted_in_parts_are_exact),
	    cmocka_unit_test(sendfile_bodies_of_100_megabytes_are_exact),
	    cmocka_unit_test(spliced_bodies_of_100_megabytes_are_exact),
	    cmocka_unit_test(bodies_spliced_out_of_a_tcp_socket_are_exact),
	    cmocka_unit_test(a_body_that_is_discarded_unread_is_exact_on_tcp),
	    cmocka_unit_test(bytes_in_pages_not_yet_present_are_counted),
	    cmocka_unit_test(receive_buffers_at_the_end_of_memory_are_read_no_further),
	    cmocka_unit_test(no_case_is_counted_again_later),
	};

	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
