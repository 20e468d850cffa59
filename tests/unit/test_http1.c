/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stream.h"

struct message {
	const char *name;
	bool responses;
	uint8_t request_method;
	const char *bytes;
	const char *expected;
};

#define GET TALLY_METHOD_GET
#define HEAD TALLY_METHOD_HEAD
#define CONNECT TALLY_METHOD_CONNECT
#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

/* method numbers are enum tally_method: 0 other, 1 GET, 2 HEAD, 3 POST ... */
static const struct message messages[] = {
    {"simple", 0, 0, "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
     "method 1 route /\nhead none\nend 0\n"},
    {"http/1.0", 0, 0, "HEAD /a/b HTTP/1.0\r\n\r\n",
     "method 2 route /a/b\nhead none\nend 0\n"},
    {"every method", 0, 0,
     "PUT /a HTTP/1.1\r\n\r\nDELETE /a HTTP/1.1\r\n\r\nOPTIONS * HTTP/1.1\r\n\r\n"
     "TRACE /a HTTP/1.1\r\n\r\nPATCH /a HTTP/1.1\r\n\r\nPROPFIND /a HTTP/1.1\r\n\r\n"
     "GETS /a HTTP/1.1\r\n\r\nGE /a HTTP/1.1\r\n\r\nget /a HTTP/1.1\r\n\r\n",
     "method 4 route /a\nhead none\nend 0\nmethod 5 route /a\nhead none\nend 0\n"
     "method 7 route *\nhead none\nend 0\nmethod 8 route /a\nhead none\nend 0\n"
     "method 9 route /a\nhead none\nend 0\nmethod 0 route /a\nhead none\nend 0\n"
     "method 0 route /a\nhead none\nend 0\nmethod 0 route /a\nhead none\nend 0\n"
     "method 0 route /a\nhead none\nend 0\n"},
    {"pipelined", 0, 0, "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
     "method 1 route /a\nhead none\nend 0\nmethod 1 route /b\nhead none\nend 0\n"},
    {"empty lines before a request", 0, 0, "\r\n\n\r\nGET / HTTP/1.1\r\n\r\n",
     "method 1 route /\nhead none\nend 0\n"},
    {"bare line feeds", 0, 0, "GET / HTTP/1.1\nHost: x\n\n",
     "method 1 route /\nhead none\nend 0\n"},
    {"body that looks like a request", 0, 0,
     "POST /p HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n"
     "GET /q HTTP/1.1\r\n\r\n",
     "method 3 route /p\nhead body\nend 18\nmethod 1 route /q\nhead none\nend 0\n"},
    {"length: case, blanks, twice the same", 0, 0,
     "POST / HTTP/1.1\r\ncOnTeNt-LeNgTh:\t 3 \t\r\nContent-Length:3\r\n\r\nabc",
     "method 3 route /\nhead body\nend 3\n"},
    {"length zero", 0, 0, "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
     "method 3 route /\nhead none\nend 0\n"},
    {"length: nearly its name", 0, 0,
     "GET / HTTP/1.1\r\nContent-Lengths: 5\r\nX-Content-Length: 5\r\n"
     "Content-Lengt: 5\r\nContent-Length : 5\r\n\r\n",
     "method 1 route /\nhead none\nend 0\n"},
    {"length twice, different", 0, 0,
     "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
     "method 3 route /\ninvalid\n"},
    {"length negative", 0, 0, "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
     "method 3 route /\ninvalid\n"},
    {"length list of one value", 0, 0,
     "POST / HTTP/1.1\r\nContent-Length: 3, 3 ,3\r\n\r\nabc",
     "method 3 route /\nhead body\nend 3\n"},
    {"length list of two values", 0, 0,
     "POST / HTTP/1.1\r\nContent-Length: 3, 4\r\n\r\n", "method 3 route /\ninvalid\n"},
    {"length list without an end", 0, 0,
     "POST / HTTP/1.1\r\nContent-Length: 3,\r\n\r\n", "method 3 route /\ninvalid\n"},
    {"length and a word", 0, 0, "POST / HTTP/1.1\r\nContent-Length: 3 b\r\n\r\n",
     "method 3 route /\ninvalid\n"},
    {"length empty", 0, 0, "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
     "method 3 route /\ninvalid\n"},
    {"length of 19 digits", 0, 0,
     "POST / HTTP/1.1\r\nContent-Length: 1234567890123456789\r\n\r\n",
     "method 3 route /\ninvalid\n"},
    {"chunked, extension, trailer", 0, 0,
     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
     "5;a=\"b\"\r\nhello\r\n1A \r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nT: 1\r\n\r\n"
     "GET / HTTP/1.1\r\n\r\n",
     "method 3 route /\nhead body\nend 31\nmethod 1 route /\nhead none\nend 0\n"},
    {"chunked wins over length", 0, 0,
     "POST / HTTP/1.1\r\nContent-Length: 99\r\nTransfer-Encoding: Chunked\r\n\r\n"
     "0\r\n\r\n",
     "method 3 route /\nhead body\nend 0\n"},
    {"last coding is chunked", 0, 0,
     "POST / HTTP/1.1\r\nTransfer-Encoding: gzip , chunked \r\n\r\n0\r\n\r\n",
     "method 3 route /\nhead body\nend 0\n"},
    {"long chunk extension", 0, 0,
     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=" HUNDRED HUNDRED HUNDRED
     "\r\nhello\r\n0\r\n\r\n",
     "method 3 route /\nhead body\nend 5\n"},
    {"chunk that is no number", 0, 0,
     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
     "method 3 route /\nhead body\ninvalid\n"},
    {"chunk with something behind it", 0, 0,
     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
     "method 3 route /\nhead body\ninvalid\n"},
    {"chunk of 16 digits", 0, 0,
     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1234567890123456\r\n",
     "method 3 route /\nhead body\ninvalid\n"},
    {"cut target", 0, 0,
     "GET /a/b/" HUNDRED "/c HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
     "method 1 route /a/b/**\nhead body\nend 2\n"},
    {"cut target, exactly at the limit", 0, 0,
     /* 120 bytes of line */
     "GET /abc?" HUNDRED "x HTTP/1.1\r\n\r\n",
     "method 1 route /abc\nhead none\nend 0\n"},
    {"long header lines", 0, 0,
     "GET / HTTP/1.1\r\nCookie: " HUNDRED HUNDRED HUNDRED "\r\nA: " HUNDRED HUNDRED
     "\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
     "method 1 route /\nhead none\nend 0\nmethod 1 route /b\nhead none\nend 0\n"},
    {"absolute form", 0, 0,
     "GET http://host:80/x/1?y HTTP/1.1\r\n\r\nGET https://h/z HTTP/1.1\r\n\r\n",
     "method 1 route /x/*\nhead none\nend 0\nmethod 1 route /z\nhead none\nend 0\n"},
    {"absolute form without a path", 0, 0,
     "GET http://h?a=/b HTTP/1.1\r\n\r\nGET http://h#/b HTTP/1.1\r\n\r\n"
     "GET http://h HTTP/1.1\r\n\r\n",
     "method 1 route \nhead none\nend 0\nmethod 1 route \nhead none\nend 0\n"
     "method 1 route \nhead none\nend 0\n"},
    {"absolute form of any scheme", 0, 0,
     "GET ftp://u:p@h/p/q HTTP/1.1\r\n\r\nGET a:/b HTTP/1.1\r\n\r\n",
     "method 1 route /p/q\nhead none\nend 0\nmethod 1 route a:/b\nhead none\nend 0\n"},
    {"garbage", 0, 0, "hello world\r\n", "invalid\n"},
    {"no version", 0, 0, "GET /\r\n", "invalid\n"},
    {"HTTP/2 version", 0, 0, "GET / HTTP/2.0\r\n", "invalid\n"},
    {"method too long", 0, 0, "ABCDEFGHIJKLMNOPQRSTUVWXY / HTTP/1.1\r\n", "invalid\n"},

    {"response with length", 1, GET,
     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 404 Not Found\r\n"
     "Content-Length: 0\r\n\r\n",
     "status 200\nhead body\nend 5\nstatus 404\nhead none\nend 0\n"},
    {"no reason", 1, GET, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
     "status 200\nhead none\nend 0\n"},
    {"until close", 1, GET, "HTTP/1.0 200 OK\r\n\r\nbody HTTP/1.1 200 OK\r\n\r\n",
     "status 200\nhead body\n"},
    {"no body to HEAD", 1, HEAD,
     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
     "status 200\nhead none\nend 0\nstatus 200\nhead none\nend 0\n"},
    {"204 and 304 have none", 1, GET,
     "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\n",
     "status 204\nhead none\nend 0\nstatus 304\nhead none\nend 0\n"},
    {"interim", 1, GET,
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
     "status 100\nhead interim\nstatus 103\nhead interim\n"
     "status 200\nhead body\nend 1\n"},
    {"upgrade", 1, GET,
     "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\n",
     "status 101\nhead tunnel\n"},
    {"tunnel", 1, CONNECT, "HTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1\r\n",
     "status 200\nhead tunnel\n"},
    {"tunnel refused", 1, CONNECT, "HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\nx",
     "status 407\nhead body\nend 1\n"},
    {"response in another coding", 1, GET,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxxx",
     "status 200\nhead body\n"},
    {"identity is no coding", 1, GET,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nx",
     "status 200\nhead body\nend 1\n"},
    {"response that is none", 1, GET, "ICY 200 OK\r\n", "invalid\n"},
    {"status of two digits", 1, GET, "HTTP/1.1 20 OK\r\n", "invalid\n"},
    {"status of four digits", 1, GET, "HTTP/1.1 2000 OK\r\n", "invalid\n"},
    {"long reason", 1, GET,
     "HTTP/1.1 200 " HUNDRED HUNDRED "\r\nContent-Length: 1\r\n\r\nx",
     "status 200\nhead body\nend 1\n"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct stream stream;

static void begin(const struct message *m)
{
	static struct window *window;

	if (!window)
		window = stream_window();
	stream_init(&stream, window, m->responses);
	stream.request_method = m->request_method;
}

static void check(const struct message *m, const char *how, size_t at)
{
	if (stream.log_len == strlen(m->expected) && !strcmp(stream.log, m->expected))
		return;
	fail_msg("%s, %s %zu: said\n%s", m->name, how, at, stream.log);
}

static void each_message_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		begin(&messages[i]);
		stream_feed(&stream, messages[i].bytes, strlen(messages[i].bytes));
		check(&messages[i], "whole", 0);
	}
}

static void each_message_cut_at_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		const char *bytes = messages[i].bytes;
		size_t len = strlen(bytes);

		for (size_t cut = 0; cut <= len; cut++) {
			begin(&messages[i]);
			stream_feed(&stream, bytes, cut);
			stream_feed(&stream, bytes + cut, len - cut);
			check(&messages[i], "cut at", cut);
		}
	}
}

static void each_message_in_pieces_of_every_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		const char *bytes = messages[i].bytes;
		size_t len = strlen(bytes);

		for (size_t piece = 1; piece <= 40; piece++) {
			begin(&messages[i]);
			for (size_t at = 0; at < len; at += piece)
				stream_feed(&stream, bytes + at,
					    at + piece < len ? piece : len - at);
			check(&messages[i], "in pieces of", piece);
		}
	}
}

/* What a prefix says is a prefix of what the whole says: never a wrong answer. */
static void each_prefix_needs_more(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++)
		for (size_t len = 0; len < strlen(messages[i].bytes); len++) {
			begin(&messages[i]);
			stream_feed(&stream, messages[i].bytes, len);
			if (strncmp(stream.log, messages[i].expected, stream.log_len))
				fail_msg("%s, first %zu bytes: said\n%s",
					 messages[i].name, len, stream.log);
		}
}

/* The line ends at byte HTTP1_LINE_MAX or one beyond, with CR LF or LF, and every
 * cut decides the same. */
static void a_line_is_cut_by_its_length_alone(void **state)
{
	(void)state;
	for (int fill = HTTP1_LINE_MAX - 30; fill < HTTP1_LINE_MAX + 10; fill++)
		for (int crlf = 0; crlf < 2; crlf++) {
			char bytes[512], whole[STREAM_LOG];
			const struct message m = {.name = "edge", .expected = whole};
			int len =
			    snprintf(bytes, sizeof(bytes), "GET /a/%0*d HTTP/1.1%s%s",
				     fill, 0, crlf ? "\r\n" : "\n", "\r\n");

			begin(&m);
			stream_feed(&stream, bytes, (size_t)len);
			strcpy(whole, stream.log);
			assert_non_null(strstr(whole, "end 0"));
			for (int cut = 0; cut <= len; cut++) {
				begin(&m);
				stream_feed(&stream, bytes, (size_t)cut);
				stream_feed(&stream, bytes + cut, (size_t)(len - cut));
				check(&m, crlf ? "CR LF, cut at" : "LF, cut at",
				      (size_t)cut);
			}
		}
}

/* --- header lines that frame nothing are passed over, several at once ------------- */

#define FRAMED "POST / HTTP/1.1\r\n"
#define FRAMED_SAYS "method 3 route /\nhead body\nend 3\n"

static void feed_cut(const struct message *m, const char *bytes, size_t len, size_t cut)
{
	begin(m);
	stream_feed(&stream, bytes, cut);
	stream_feed(&stream, bytes + cut, len - cut);
	check(m, "cut at", cut);
}

/* Whole, and cut at every byte. */
static void feed_every_way(const struct message *m, const char *bytes, size_t len)
{
	for (size_t cut = 0; cut <= len; cut++)
		feed_cut(m, bytes, len, cut);
}

/* Names that begin as one that frames does, end before it does, or are none. */
static void what_is_nearly_a_framing_header_is_passed_over(void **state)
{
	static const char *const lines[] = {
	    "c",
	    "Cont",
	    "Content-",
	    "Content-Type: text/plain",
	    "Content-Lengthy: 5",
	    "Content-Lengt: 5",
	    "Content-Length",
	    "Content-Length\t: 5",
	    "Tran",
	    "Transfer",
	    "Transfer-Encoding",
	    "Transfer-Encodin: chunked",
	    "Transfer-Encodings: chunked",
	    "Trailer: Content-Length: 5",
	    "Expec",
	    "Expected: 100-continue",
	    "Cookie: Content-Length: 5\tTransfer-Encoding: chunked",
	    " Content-Length: 5",
	    "\tContent-Length: 5",
	    "\rContent-Length: 5",
	    "\r",
	    "X-\xc3\xa9: \x8b\x90\xbf\xff\tContent-Length: 5",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++)
		for (int crlf = 0; crlf < 2; crlf++) {
			const struct message m = {.name = lines[i],
						  .expected = FRAMED_SAYS};
			char bytes[256];
			int len = snprintf(bytes, sizeof(bytes),
					   FRAMED "%s%s"
						  "Content-Length: 3\r\n%s%s\r\nabc",
					   lines[i], crlf ? "\r\n" : "\n", lines[i],
					   crlf ? "\r\n" : "\n");

			if (!strcmp(lines[i], "\r") && !crlf)
				continue; /* that is the empty line */
			feed_every_way(&m, bytes, (size_t)len);
		}
}

/* A header that frames, and the body that it does. */
static const struct {
	const char *header;
	const char *body;
} framings[] = {
    {"Content-Length: 3\r\n", "abc"},
    {"content-length:3\n", "abc"},
    {"CONTENT-LENGTH:\t3, 3\r\n", "abc"},
    {"Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"},
    {"TRANSFER-ENCODING:gzip,chunked\n", "3\r\nabc\r\n0\r\n\r\n"},
};

/* Wherever in the window such a header begins, and wherever the window ends in it. */
static void a_framing_header_is_found_at_every_offset(void **state)
{
	static const char *const fills[] = {"x", "\t", "\x90", "Content-Length: 5 "};
	const struct message m = {.name = "offset", .expected = FRAMED_SAYS};

	(void)state;
	for (size_t i = 0; i < COUNT(framings) * COUNT(fills); i++)
		for (size_t fill = 0; fill < 2 * WINDOW_BYTES + 40; fill++) {
			char bytes[4 * WINDOW_BYTES] = FRAMED "X: ";
			const char *of = fills[i / COUNT(framings)];
			size_t len = strlen(bytes), which = i % COUNT(framings);

			for (size_t j = 0; j < fill; j++)
				bytes[len++] = of[j % strlen(of)];
			len += (size_t)sprintf(bytes + len, "\r\n%sY: z\r\n\r\n%s",
					       framings[which].header,
					       framings[which].body);
			begin(&m);
			stream_feed(&stream, bytes, len);
			check(&m, "filled by", fill);
		}
}

static void that_a_request_waits_for_continue_is_seen_however_it_is_cut(void **state)
{
	static const char bytes[] = FRAMED "X: y\r\neXpect: 100-continue\r\nX: y\r\n"
					   "Content-Length: 3\r\n\r\n";
	const struct message m = {.name = "expect",
				  .expected = "method 3 route /\nhead body\n"};

	(void)state;
	for (size_t cut = 0; cut < sizeof(bytes); cut++) {
		feed_cut(&m, bytes, sizeof(bytes) - 1, cut);
		assert_true(http1_awaits_continue(&stream.http1));
	}
}

/* More lines than are passed over in one call, in a head and in a trailer. */
static void any_number_of_lines_is_passed_over(void **state)
{
	static const char *const lines[] = {"a\n", "a:\r\n", "Cookie: 0123456789\r\n"};
	const struct message m = {.name = "many",
				  .expected = "method 3 route /\nhead body\nend 3\n"
					      "method 1 route /\nhead none\nend 0\n"};

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++)
		for (size_t count = 0; count < 3 * HTTP1_PASS_STEPS; count++) {
			char bytes[8192] = FRAMED "Transfer-Encoding: chunked\r\n";

			for (size_t j = 0; j < count; j++)
				strcat(bytes, lines[i]);
			strcat(bytes, "\r\n3\r\nabc\r\n0\r\n");
			for (size_t j = 0; j < count; j++)
				strcat(bytes, lines[i]);
			strcat(bytes, "\r\nGET / HTTP/1.1\r\n\r\n");
			for (size_t cut = 0; cut < strlen(bytes); cut += 7)
				feed_cut(&m, bytes, strlen(bytes), cut);
		}
}

/* As many as HTTP1_PASS_STEPS allows, and what the bound leaves is for the next. */
static void one_call_passes_over_a_bounded_number_of_lines(void **state)
{
	struct window *w = stream_window();
	struct http1 http1 = {.phase = HTTP1_HEADERS};

	(void)state;
	for (uint32_t i = 0; i < WINDOW_BYTES; i += 2)
		memcpy(w->bytes + i, "a\n", 2);
	w->len = WINDOW_BYTES;
	w->pos = 0;
	for (uint32_t calls = 1; w->pos < w->len; calls++) {
		assert_int_equal(http1_line(w, &http1), HTTP1_AGAIN);
		assert_true(w->pos <= calls * 2 * (HTTP1_PASS_STEPS + 1));
	}
	assert_int_equal(w->pos, WINDOW_BYTES);
}

/* The words must not be mistaken for one that shares eight of its bytes. */
static void framing_headers_that_do_not_fit_are_invalid(void **state)
{
	char bytes[512];
	int len;
	const struct message m = {.name = "x"};

	(void)state;
	len = snprintf(bytes, sizeof(bytes),
		       "POST / HTTP/1.1\r\nContent-Length:%*d\r\n\r\n", HTTP1_LINE_MAX,
		       5);
	begin(&m);
	stream_feed(&stream, bytes, (size_t)len);
	assert_string_equal(stream.log, "method 3 route /\ninvalid\n");
	len = snprintf(bytes, sizeof(bytes),
		       "POST / HTTP/1.1\r\nTransfer-Encoding:%*s\r\n\r\n",
		       HTTP1_LINE_MAX, "chunked");
	begin(&m);
	stream_feed(&stream, bytes, (size_t)len);
	assert_string_equal(stream.log, "method 3 route /\ninvalid\n");
}

static void a_body_that_waits_for_continue_is_known_until_it_begins(void **state)
{
	static const struct {
		uint8_t framing, phase;
		uint64_t length, remaining;
		bool awaits;
	} cases[] = {
	    {HTTP1_EXPECTS | HTTP1_HAS_LENGTH, HTTP1_BODY, 9, 9, true},
	    {HTTP1_EXPECTS | HTTP1_HAS_LENGTH, HTTP1_BODY, 9, 8, false},
	    {HTTP1_EXPECTS | HTTP1_CHUNKED, HTTP1_CHUNK_SIZE, 0, 0, true},
	    {HTTP1_EXPECTS | HTTP1_CHUNKED, HTTP1_CHUNK_DATA, 0, 5, false},
	    {HTTP1_EXPECTS, HTTP1_START, 0, 0, false},
	    {HTTP1_HAS_LENGTH, HTTP1_BODY, 9, 9, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct http1 http1 = {.framing = cases[i].framing,
					    .phase = cases[i].phase,
					    .length = cases[i].length,
					    .remaining = cases[i].remaining};

		assert_int_equal(http1_awaits_continue(&http1), cases[i].awaits);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_body_that_waits_for_continue_is_known_until_it_begins),
	    cmocka_unit_test(each_message_whole),
	    cmocka_unit_test(each_message_cut_at_every_byte),
	    cmocka_unit_test(each_message_in_pieces_of_every_size),
	    cmocka_unit_test(each_prefix_needs_more),
	    cmocka_unit_test(a_line_is_cut_by_its_length_alone),
	    cmocka_unit_test(what_is_nearly_a_framing_header_is_passed_over),
	    cmocka_unit_test(a_framing_header_is_found_at_every_offset),
	    cmocka_unit_test(
		that_a_request_waits_for_continue_is_seen_however_it_is_cut),
	    cmocka_unit_test(any_number_of_lines_is_passed_over),
	    cmocka_unit_test(one_call_passes_over_a_bounded_number_of_lines),
	    cmocka_unit_test(framing_headers_that_do_not_fit_are_invalid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
