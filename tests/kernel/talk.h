/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation as a table of turns, played by one thread over both ends of
 * one connection: nothing is left to chance, so a case that fails fails always.
 * Every byte that arrives is compared with what was sent. */
#pragma once

#include "rows.h"

#include <poll.h>
#include <sys/mman.h>

enum act { DONE, SAYS, CLOSES, RESETS, SHUTS };

struct turn {
	enum side side;
	enum act act;
	const char *bytes;
	size_t len;
};

#define C(text)                                                                        \
	{                                                                              \
		CLIENT, SAYS, text, sizeof(text) - 1                                   \
	}
#define S(text)                                                                        \
	{                                                                              \
		SERVER, SAYS, text, sizeof(text) - 1                                   \
	}
#define C_CLOSES                                                                       \
	{                                                                              \
		CLIENT, CLOSES, NULL, 0                                                \
	}
#define S_CLOSES                                                                       \
	{                                                                              \
		SERVER, CLOSES, NULL, 0                                                \
	}
#define C_RESETS                                                                       \
	{                                                                              \
		CLIENT, RESETS, NULL, 0                                                \
	}
#define S_RESETS                                                                       \
	{                                                                              \
		SERVER, RESETS, NULL, 0                                                \
	}
#define C_SHUTS                                                                        \
	{                                                                              \
		CLIENT, SHUTS, NULL, 0                                                 \
	}
#define TURNS(...)                                                                     \
	(const struct turn[])                                                          \
	{                                                                              \
		__VA_ARGS__,                                                           \
		{                                                                      \
			0                                                              \
		}                                                                      \
	}
#define ROWS(...)                                                                      \
	(const struct expected[])                                                      \
	{                                                                              \
		__VA_ARGS__,                                                           \
		{                                                                      \
			0                                                              \
		}                                                                      \
	}
#define NO_ROWS ((const struct expected[]){{0}})
#define MISSES(...)                                                                    \
	(const struct miss[])                                                          \
	{                                                                              \
		__VA_ARGS__,                                                           \
		{                                                                      \
			0                                                              \
		}                                                                      \
	}

struct talk {
	const char *name;
	const struct turn *turns;
	const struct expected *rows;
	const struct miss *missed; /* of one run; NULL: nothing */
	bool once;                 /* the connection serves no second run */
};

#define TALK(title, turn_table, row_table, ...)                                        \
	{                                                                              \
		.name = (title), .turns = (turn_table), .rows = (row_table),           \
		__VA_ARGS__                                                            \
	}

/* How the bytes of all turns reach the other end. */
struct delivery {
	size_t cut;       /* a write ends after that many bytes in all; 0: nowhere */
	size_t write_max; /* bytes a write; 0: as many as there are */
	size_t read_max;  /* bytes a read */
	bool late;        /* read what was cut in one go */
};

/* --- bytes ------------------------------------------------------------------ */

static inline void put(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t sent = write(fd, bytes, len);

		REQUIRE(sent > 0);
		bytes += sent;
		len -= (size_t)sent;
	}
}

/* Reads exactly `len` bytes and compares them. */
static inline void take(int fd, const char *bytes, size_t len, size_t read_max)
{
	char buf[16384];

	while (len) {
		size_t wanted = read_max && read_max < len ? read_max : len;
		ssize_t got =
		    read(fd, buf, wanted < sizeof(buf) ? wanted : sizeof(buf));

		REQUIRE(got > 0);
		REQUIRE(!memcmp(buf, bytes, (size_t)got));
		bytes += got;
		len -= (size_t)got;
	}
}

static inline void put_text(int fd, const char *text)
{
	put(fd, text, strlen(text));
}

static inline void take_text(int fd, const char *text)
{
	take(fd, text, strlen(text), 0);
}

static inline void take_end(int fd)
{
	char byte;

	REQUIRE(read(fd, &byte, 1) == 0);
}

static inline void await_readable(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	REQUIRE(poll(&wait, 1, DEADLINE_NS / 1000000) == 1);
}

/* --- turns ------------------------------------------------------------------ */

static inline size_t next_piece(const struct delivery *delivery, size_t offset,
				size_t len)
{
	if (delivery->write_max && delivery->write_max < len)
		len = delivery->write_max;
	if (delivery->cut > offset && delivery->cut < offset + len)
		len = delivery->cut - offset;
	return len;
}

static inline void say(const struct pair *pair, const struct turn *turn,
		       const struct delivery *delivery, size_t offset)
{
	size_t len;

	for (size_t done = 0; done < turn->len; done += len) {
		len = next_piece(delivery, offset + done, turn->len - done);
		put(pair->fd[turn->side], turn->bytes + done, len);
		if (!delivery->late)
			take(pair->fd[!turn->side], turn->bytes + done, len,
			     delivery->read_max);
	}
	if (delivery->late)
		take(pair->fd[!turn->side], turn->bytes, turn->len, delivery->read_max);
}

static inline void reset(struct pair *pair, enum side side)
{
	const struct linger at_once = {.l_onoff = 1};

	REQUIRE(!setsockopt(pair->fd[side], SOL_SOCKET, SO_LINGER, &at_once,
			    sizeof(at_once)));
	pair_close_side(pair, side);
}

static inline void take_turn(struct pair *pair, const struct turn *turn,
			     const struct delivery *delivery, size_t offset)
{
	switch (turn->act) {
	case SAYS:
		say(pair, turn, delivery, offset);
		break;
	case CLOSES:
		pair_close_side(pair, turn->side);
		if (pair->fd[!turn->side] >= 0)
			take_end(pair->fd[!turn->side]);
		break;
	case RESETS:
		reset(pair, turn->side);
		break;
	default:
		REQUIRE(!shutdown(pair->fd[turn->side], SHUT_WR));
		take_end(pair->fd[!turn->side]);
	}
}

static inline void take_turns(struct pair *pair, const struct turn *turns,
			      const struct delivery *delivery)
{
	size_t offset = 0;

	for (; turns->act != DONE; turns++) {
		take_turn(pair, turns, delivery, offset);
		offset += turns->len;
	}
}

static inline size_t talk_bytes(const struct talk *talk)
{
	size_t len = 0;

	for (const struct turn *turn = talk->turns; turn->act != DONE; turn++)
		len += turn->len;
	return len;
}

/* --- runs ------------------------------------------------------------------- */

/* Plays every delivery of the list, on one connection if the talk allows. */
static inline void talk_play(const struct endpoint *endpoint, const struct talk *talk,
			     const struct delivery *deliveries, size_t count)
{
	struct pair pair = {{-1, -1}};

	for (size_t i = 0; i < count; i++) {
		if (pair.fd[CLIENT] < 0)
			pair = pair_open(endpoint);
		take_turns(&pair, talk->turns, &deliveries[i]);
		if (talk->once || i + 1 == count)
			pair_close(&pair);
	}
}

/* After a failure: which deliveries fail alone, each on its own endpoint. */
static inline void talk_blame(struct scene *scene, enum transport transport,
			      const struct talk *talk,
			      const struct delivery *deliveries, size_t count)
{
	unsigned int blamed = 0;

	for (size_t i = 0; i < count && blamed < 3; i++) {
		struct endpoint *endpoint = endpoint_open(scene, transport);
		struct rows *rows;
		char name[128];

		talk_play(endpoint, talk, &deliveries[i], 1);
		snprintf(name, sizeof(name), "  %s alone, cut %zu write %zu read %zu%s",
			 talk->name, deliveries[i].cut, deliveries[i].write_max,
			 deliveries[i].read_max, deliveries[i].late ? " late" : "");
		rows = rows_read(scene, endpoint);
		endpoint->requests = rows_requests(rows);
		if (!rows_equal(rows, talk->rows, 1)) {
			rows_print(name, rows, talk->rows, 1);
			blamed++;
		}
		free(rows);
	}
}

static inline void miss_times(struct miss ret_table[TALLY_MISSED_COUNT + 1],
			      const struct miss *table, uint64_t runs)
{
	memset(ret_table, 0, sizeof(*ret_table) * (TALLY_MISSED_COUNT + 1));
	for (; table && table->count; table++)
		*ret_table++ = (struct miss){table->reason, table->count * runs};
}

static inline bool talk_check(struct scene *scene, enum transport transport,
			      const struct talk *talk,
			      const struct delivery *deliveries, size_t count)
{
	struct endpoint *endpoint = endpoint_open(scene, transport);
	struct miss missed[TALLY_MISSED_COUNT + 1];
	char name[128];

	snprintf(name, sizeof(name), "%s over %s", talk->name,
		 transport_name(transport));
	miss_times(missed, talk->missed, count);
	scene_mark(scene);
	talk_play(endpoint, talk, deliveries, count);
	if (check_rows(scene, endpoint, name, talk->rows, count) &&
	    missed_as_expected(scene, missed))
		return true;
	for (enum tally_missed reason = 0; reason < TALLY_MISSED_COUNT; reason++)
		if (missed_since(scene, reason) != miss_expected(missed, reason))
			print_error("%s: missed %s: expected %lu, observed %lu\n", name,
				    ledger_reason(reason),
				    miss_expected(missed, reason),
				    missed_since(scene, reason));
	if (count > 1)
		talk_blame(scene, transport, talk, deliveries, count);
	return false;
}

/* Each talk of a table over each transport, whole. All are tried; one failure is
 * enough to fail. */
static inline void assert_talks(struct scene *scene, const struct talk *talks,
				size_t count)
{
	static const struct delivery whole;
	unsigned int failures = 0;

	for (size_t i = 0; i < count; i++)
		for (enum transport transport = 0; transport < TRANSPORTS; transport++)
			failures += !talk_check(scene, transport, &talks[i], &whole, 1);
	assert_int_equal(failures, 0);
}

#define ASSERT_TALKS(scene, talks)                                                     \
	assert_talks(scene, talks, sizeof(talks) / sizeof((talks)[0]))

/* Both take bytes out of a socket by a way that tells no length. */
static inline void splice_away(int fd, size_t len)
{
	int ends[2];

	REQUIRE(!pipe2(ends, O_CLOEXEC));
	while (len) {
		ssize_t moved = splice(fd, NULL, ends[1], NULL, len, 0);

		REQUIRE(moved > 0);
		len -= (size_t)moved;
	}
	close(ends[0]);
	close(ends[1]);
}

/* It takes what is there and never waits. Less than a page is copied even so. glibc's
 * struct has no such place (2.36). */
static inline void zerocopy_away(int fd, size_t len)
{
	const size_t page_bytes = 4096;
	char copy[64];
	struct {
		uint64_t address;
		uint32_t length, hint, unread;
		int32_t error;
		uint64_t copy;
		int32_t copy_len;
		uint32_t flags;
	} receive = {
	    .length = page_bytes, .copy = (uintptr_t)copy, .copy_len = sizeof(copy)};
	socklen_t size = sizeof(receive);
	void *page = mmap(NULL, page_bytes, PROT_READ, MAP_SHARED, fd, 0);

	REQUIRE(page != MAP_FAILED);
	receive.address = (uintptr_t)page;
	await_readable(fd);
	REQUIRE(!getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &receive, &size));
	REQUIRE(receive.copy_len == (int32_t)len);
	REQUIRE(!munmap(page, page_bytes));
}
