/* SPDX-License-Identifier: Apache-2.0 */
/* A message like the last one is known again and not parsed (bpf/repeat.bpf.h). Talk at
 * random is seen by two sets of programs at once, one of which parses every head: both
 * must count the same. What that is does not matter here, so the talk may be nonsense.
 * One thread plays both ends and each choice comes from a seed: one that fails fails
 * always.
 *   BPFTALLY_SEED=N    only the conversation of this seed */
#include "call.h"

#include <sys/ioctl.h>

#define SEEDS 200
#define SERVICES 2
#define SAID_MAX 8192
#define MESSAGES_MAX 8
#define LENGTH_OF(table) (sizeof(table) / sizeof((table)[0]))
#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

enum view { SHORTCUTS, NO_SHORTCUTS, VIEWS };

/* --- what is said ------------------------------------------------------------- */

struct message {
	const char *head, *body;
};

/* Heads below, at and above the sizes that are kept (window.h), plain and not. */
static const struct message usual[2][10] = {
    [CLIENT] = {{"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"GET /b HTTP/1.1\r\nHost: y\r\n\r\n", ""},
		{"GET / HTTP/1.1\n\n", ""},
		{"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "hello"},
		{"POST /0 HTTP/1.1\r\nContent-Length: 0\r\n\r\n", ""},
		{"PUT /l HTTP/1.1\r\nContent-Length: 300\r\n\r\n",
		 HUNDRED HUNDRED HUNDRED},
		{"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
		 "3\r\nabc\r\n0\r\n\r\n"},
		{"GET /x HTTP/1.1\r\nX: " HUNDRED TEN TEN TEN "123456\r\n\r\n", ""},
		{"GET /y HTTP/1.1\r\nX: " HUNDRED TEN TEN TEN "1234567\r\n\r\n", ""}},
    [SERVER] = {
	{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "ok"},
	{"HTTP/1.1 201 OK\r\nContent-Length: 2\r\n\r\n", "ok"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
	{"HTTP/1.1 204\n\n", ""},
	{"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", ""},
	{"HTTP/1.1 404 Not Found\r\nContent-Length: 300\r\n\r\n",
	 HUNDRED HUNDRED HUNDRED},
	{"HTTP/1.1 500 E\r\nTransfer-Encoding: chunked\r\n\r\n",
	 "3\r\nabc\r\n0\r\n\r\n"},
	{"HTTP/1.1 100 Continue\r\n\r\n", ""},
	{"HTTP/1.1 100 Continue\r\n\r\n"
	 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
	 "ok"},
	{"HTTP/1.1 200 OK\r\nX: " HUNDRED "\r\nContent-Length: 0\r\n\r\n", ""}}};

/* What ends a conversation, or puts both ends out of step. */
static const struct message odd[2][6] = {
    [CLIENT] = {{"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"POST /e HTTP/1.1\r\nContent-Length: 4\r\n"
		 "Expect: 100-continue\r\n\r\n",
		 "body"},
		{"POST /e HTTP/1.1\r\nContent-Length: 4\r\n"
		 "Expect: 100-continue\r\n\r\n",
		 ""},
		{"\r\nGET /line HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\n", ""},
		{"garbage that is no request at all\r\n\r\n", ""}},
    [SERVER] = {{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", ""},
		{"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", ""},
		{"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", ""},
		{"HTTP/1.1 200 OK\r\n\r\n", "to the end"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", ""},
		{"garbage of the server\r\n\r\n", ""}}};

struct said {
	char bytes[SAID_MAX];
	size_t len;
	size_t body; /* where that of the last message begins */
};

/* --- chance ------------------------------------------------------------------- */

struct chat {
	struct scene **scenes;
	struct pair pair;
	size_t unread[2]; /* sent to a side and not taken yet */
	uint64_t random;
	const struct message *habit[2]; /* what each side mostly says */
	bool orderly;                   /* they take turns, and nothing odd is said */
	bool restless;                  /* the process changes meanwhile */
	bool asked_head;
	struct said last[2]; /* of each side */
	unsigned int changes;
};

/* xorshift */
static unsigned int below(struct chat *chat, size_t limit)
{
	chat->random ^= chat->random << 13;
	chat->random ^= chat->random >> 7;
	chat->random ^= chat->random << 17;
	return (unsigned int)((chat->random >> 11) % limit);
}

static bool one_in(struct chat *chat, unsigned int count)
{
	return below(chat, count) == 0;
}

static const struct message *any_usual(struct chat *chat, enum side side)
{
	return &usual[side][below(chat, LENGTH_OF(usual[side]))];
}

static const struct message *next_message(struct chat *chat, enum side side)
{
	if (!chat->orderly && one_in(chat, 10))
		return &odd[side][below(chat, LENGTH_OF(odd[side]))];
	if (one_in(chat, 10))
		chat->habit[side] = any_usual(chat, side);
	return one_in(chat, 5) ? any_usual(chat, side) : chat->habit[side];
}

/* --- talk --------------------------------------------------------------------- */

static void add(struct said *said, const char *text)
{
	size_t len = strlen(text);

	REQUIRE(said->len + len <= sizeof(said->bytes));
	memcpy(said->bytes + said->len, text, len);
	said->len += len;
}

/* One message, or some at once. A HEAD is mostly answered without a body. */
static void compose(struct chat *chat, enum side side, struct said *ret_said)
{
	unsigned int count = one_in(chat, 6) ? 1 + below(chat, MESSAGES_MAX) : 1;

	ret_said->len = 0;
	while (count--) {
		const struct message *message = next_message(chat, side);
		bool bare = side == SERVER && chat->asked_head && !one_in(chat, 8);

		if (side == CLIENT)
			chat->asked_head = !strncmp(message->head, "HEAD", 4);
		add(ret_said, message->head);
		ret_said->body = ret_said->len;
		if (!bare)
			add(ret_said, message->body);
	}
	if (!chat->orderly && one_in(chat, 40)) /* the next one is inside of it */
		ret_said->len -= below(chat, ret_said->len);
}

/* How a buffer is cut for a call that takes slices. Of messages none is empty: those
 * are in test_syscalls. */
static struct slicing any_slicing(struct chat *chat, size_t len, bool are_messages)
{
	struct slicing slicing = {0};

	if (!are_messages)
		slicing.empty = below(chat, 2);
	if (one_in(chat, 3))
		slicing.size = 1 + len / 16;
	return slicing;
}

/* What was sent is there at once, but when the machine is busy. */
static void await_bytes(int fd, size_t len)
{
	uint64_t start_ns = now_ns();
	int there = 0;

	while (!ioctl(fd, FIONREAD, &there) && (size_t)there < len)
		REQUIRE(keep_waiting(start_ns));
	REQUIRE((size_t)there == len);
}

/* All that has come, or a part; or a look that takes nothing. */
static void listen_to(struct chat *chat, enum side side, bool all)
{
	enum receiver receiver = below(chat, RECEIVERS);
	int fd = chat->pair.fd[side];
	char buf[16384];
	size_t len = sizeof(buf);
	ssize_t taken;

	if (!chat->unread[side])
		return;
	await_bytes(fd, chat->unread[side]);
	if (!all)
		len = 1 + below(chat, chat->unread[side]);
	if (!all && one_in(chat, 8)) {
		REQUIRE(recv(fd, buf, len, MSG_PEEK) > 0);
		return;
	}
	taken = receive_by(receiver, fd, buf, len,
			   any_slicing(chat, len, receiver == BY_RECVMMSG));
	REQUIRE(taken >= 0);
	chat->unread[side] -= (size_t)taken;
}

enum pieces { WHOLE, CUT_AT_BODY, CUT_ANYWHERE, PIECES };

static size_t piece_len(struct chat *chat, const struct said *said, size_t done,
			enum pieces pieces)
{
	if (pieces == CUT_AT_BODY && done < said->body && said->body < said->len)
		return said->body - done;
	if (pieces == CUT_ANYWHERE)
		return 1 + below(chat, said->len - done);
	return said->len - done;
}

static void speak(struct chat *chat, enum side side)
{
	enum pieces pieces = one_in(chat, 2) ? WHOLE : below(chat, PIECES);
	struct said *said = &chat->last[side];
	size_t len;

	if (!said->len || !one_in(chat, 3)) /* else all of it again */
		compose(chat, side, said);
	for (size_t done = 0; done < said->len; done += len) {
		enum sender sender = one_in(chat, 4) ? below(chat, SENDERS) : BY_WRITE;

		len = piece_len(chat, said, done, pieces);
		put_by(sender, chat->pair.fd[side], said->bytes + done, len,
		       any_slicing(chat, len, sender == BY_SENDMMSG));
		chat->unread[!side] += len;
		if (one_in(chat, 2))
			listen_to(chat, !side, one_in(chat, 2));
	}
}

static void set_process(const struct chat *chat, const struct tally_process *process)
{
	for (enum view view = 0; view < VIEWS; view++)
		REQUIRE(!probes_set_process(chat->scenes[view]->probes,
					    (uint32_t)getpid(), process));
}

/* Another service, or none: it is not observed for a while. */
static void change_process(struct chat *chat)
{
	struct tally_process self = {.service =
					 SCENE_SERVICE + ++chat->changes % SERVICES};

	if (one_in(chat, 3))
		self.flags = TALLY_PROCESS_IGNORED;
	set_process(chat, &self);
}

static void converse(struct chat *chat)
{
	unsigned int turns = 20 + below(chat, 40);
	enum side side = CLIENT;

	for (enum side end = 0; end < 2; end++)
		chat->habit[end] = any_usual(chat, end);
	for (; turns; turns--, side = !side) {
		if (!chat->orderly && one_in(chat, 6))
			side = !side;
		if (chat->restless && one_in(chat, 8))
			change_process(chat);
		speak(chat, side);
		if (!one_in(chat, 8))
			listen_to(chat, !side, true);
	}
	pair_close_side(&chat->pair, below(chat, 2));
	pair_close(&chat->pair);
}

/* --- what was counted --------------------------------------------------------- */

struct counted {
	struct rows *of_service[SERVICES];
};

static void count_row(void *context, const struct tally_series_key *key,
		      const struct tally_series *value)
{
	struct counted *counted = context;

	if (key->service >= SCENE_SERVICE && key->service < SCENE_SERVICE + SERVICES)
		rows_add(counted->of_service[key->service - SCENE_SERVICE], key, value);
}

static void counted_read(const struct scene *scene, struct counted *ret_counted)
{
	for (int i = 0; i < SERVICES; i++) {
		struct rows *rows = calloc(1, sizeof(*rows));

		REQUIRE(rows);
		rows->scene = scene;
		ret_counted->of_service[i] = rows;
	}
	REQUIRE(!drain_series(probes_series(scene->probes), count_row, ret_counted));
}

static void counted_free(struct counted *counted)
{
	for (int i = 0; i < SERVICES; i++)
		free(counted->of_service[i]);
}

static bool is_row_like(const struct row *row, const struct row *other)
{
	return row->role == other->role && row->method == other->method &&
	       row->error == other->error && row->status == other->status &&
	       row->route_hash == other->route_hash &&
	       !strcmp(row->route, other->route) && row->requests == other->requests &&
	       row->sum.request_bytes == other->sum.request_bytes &&
	       row->sum.response_bytes == other->sum.response_bytes &&
	       SUM(row->sum.first_byte) == SUM(other->sum.first_byte);
}

static bool have_like(const struct rows *rows, const struct row *wanted)
{
	for (unsigned int i = 0; i < rows->count; i++)
		if (is_row_like(&rows->row[i], wanted))
			return true;
	return false;
}

static bool are_alike(const struct rows *rows, const struct rows *others)
{
	for (unsigned int i = 0; i < rows->count; i++)
		if (!have_like(others, &rows->row[i]))
			return false;
	return rows->count == others->count;
}

static bool missed_alike(struct scene **scenes)
{
	for (enum tally_missed reason = 0; reason < TALLY_MISSED_COUNT; reason++)
		if (missed_since(scenes[SHORTCUTS], reason) !=
		    missed_since(scenes[NO_SHORTCUTS], reason))
			return false;
	return true;
}

static void print_view(const char *name, const struct scene *scene,
		       const struct counted *counted)
{
	char title[64];

	for (int i = 0; i < SERVICES; i++) {
		snprintf(title, sizeof(title), "%s, service %d", name, i);
		rows_print(title, counted->of_service[i], NO_ROWS, 1);
	}
	misses_print(name, scene);
}

/* Since the start: what was the same before and is not now differs by the last one. */
static bool counted_alike(struct scene **scenes, bool print)
{
	struct counted counted[VIEWS];
	bool alike = missed_alike(scenes);

	for (enum view view = 0; view < VIEWS; view++)
		counted_read(scenes[view], &counted[view]);
	for (int i = 0; i < SERVICES; i++)
		alike = alike && are_alike(counted[SHORTCUTS].of_service[i],
					   counted[NO_SHORTCUTS].of_service[i]);
	if (print && !alike) {
		print_view("with shortcuts", scenes[SHORTCUTS], &counted[SHORTCUTS]);
		print_view("without", scenes[NO_SHORTCUTS], &counted[NO_SHORTCUTS]);
	}
	for (enum view view = 0; view < VIEWS; view++)
		counted_free(&counted[view]);
	return alike;
}

/* The end of a TCP connection may be seen by one when it is read of the other. */
static bool await_alike(struct scene **scenes)
{
	uint64_t start_ns = now_ns();

	while (!counted_alike(scenes, false))
		if (!keep_waiting(start_ns))
			return counted_alike(scenes, true);
	return true;
}

/* --- tests -------------------------------------------------------------------- */

/* One in four is restless, every other one over Unix, and one in three a mess. */
static void talk_at_random(struct scene **scenes, struct endpoint *const *endpoints,
			   uint64_t seed)
{
	const struct tally_process usual_process = {.service = SCENE_SERVICE};
	struct chat chat = {
	    .scenes = scenes,
	    .pair = pair_open(endpoints[seed % 2]),
	    .random = seed * 0x9e3779b97f4a7c15ull,
	    .restless = seed / 2 % 4 == 0,
	    .orderly = seed % 3 != 0,
	};

	set_process(&chat, &usual_process);
	converse(&chat);
	if (!await_alike(scenes))
		fail_msg("seed %lu: BPFTALLY_SEED=%lu plays it alone", seed, seed);
}

static void what_is_spared_by_knowing_a_message_again_changes_nothing(void **state)
{
	struct scene **scenes = *state;
	struct endpoint *const endpoints[] = {endpoint_open(scenes[0], IPV4),
					      endpoint_open(scenes[0], UNIX)};
	const char *chosen = getenv("BPFTALLY_SEED");
	struct rows *rows;

	if (chosen) {
		talk_at_random(scenes, endpoints, strtoull(chosen, NULL, 0));
		return;
	}
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		talk_at_random(scenes, endpoints, seed);
	rows = rows_read(scenes[SHORTCUTS], NULL);
	assert_int_not_equal(rows_requests(rows), 0);
	free(rows);
	for (enum view view = 0; view < VIEWS; view++)
		assert_none_skipped(scenes[view]);
}

static int set_up(void **state)
{
	struct tally_config config = scene_config();
	struct scene **scenes = calloc(VIEWS, sizeof(struct scene *));

	REQUIRE(scenes);
	for (enum view view = 0; view < VIEWS; view++) {
		scenes[view] = scene_new();
		config.no_shortcuts = view == NO_SHORTCUTS;
		scene_attach(scenes[view], &config);
	}
	*state = scenes;
	return 0;
}

static int tear_down(void **state)
{
	struct scene **scenes = *state;

	for (enum view view = 0; view < VIEWS; view++)
		scene_free(&scenes[view]);
	free(scenes);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_spared_by_knowing_a_message_again_changes_nothing),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
