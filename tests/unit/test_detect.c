/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stream.h"

#define BYTES(text) text, sizeof(text) - 1
#define FIFTY "01234567890123456789012345678901234567890123456789"

static const struct {
	const char *bytes;
	size_t len;
	int result;
} openings[] = {
    {BYTES("GET / HTTP/1.1\r\n"), DETECT_REQUEST},
    {BYTES("GET / HTTP/1.1\n"), DETECT_REQUEST},
    {BYTES("PROPFIND /x HTTP/1.1\r\nHost: x\r\n\r\n"), DETECT_REQUEST},
    {BYTES("OPTIONS * HTTP/1.0\r\n"), DETECT_REQUEST},
    {BYTES("CONNECT host:443 HTTP/1.1\r\n"), DETECT_REQUEST},
    {BYTES("GET http://h/ HTTP/1.1\r\n"), DETECT_REQUEST},
    {BYTES("GET /" FIFTY FIFTY FIFTY), DETECT_REQUEST}, /* version not in sight */
    {BYTES("SELECT something FROM " FIFTY FIFTY FIFTY), DETECT_NONE},
    {BYTES("HTTP/1.1 200 OK\r\n"), DETECT_RESPONSE},
    {BYTES("HTTP/1.0 404\r\n"), DETECT_RESPONSE},
    {BYTES("HTTP/1.1 20x OK\r\n"), DETECT_NONE},
    {BYTES("HTTP/2.0 200 OK\r\n"), DETECT_NONE},
    {BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), DETECT_HTTP2},
    {BYTES("\x16\x03\x01\x02\x00\x01"), DETECT_TLS},
    {BYTES("\x16\x03\x04"), DETECT_TLS},
    {BYTES("\x16\x03\x05"), DETECT_NONE},
    {BYTES("\x16\x04\x01"), DETECT_NONE},
    {BYTES("*1\r\n$4\r\nPING\r\n"), DETECT_NONE},
    {BYTES("PING\r\n"), DETECT_NONE},
    {BYTES("GET key\r\n"), DETECT_NONE},
    {BYTES("get key\r\n"), DETECT_NONE},
    {BYTES("EHLO mail.example.com\r\n"), DETECT_NONE},
    {BYTES("220 mail ESMTP\r\n"), DETECT_NONE},
    {BYTES("SSH-2.0-OpenSSH_9.2\r\n"), DETECT_NONE},
    {BYTES("USER anonymous\r\n"), DETECT_NONE},
    {BYTES("GET  HTTP/1.1\r\n"), DETECT_NONE},
    {BYTES("\x00\x00\x00\x08\x04\xd2\x16\x2f"), DETECT_NONE},
    {BYTES("REGISTER sip:x SIP/2.0\r\n"), DETECT_NONE},
    {BYTES("DESCRIBE rtsp://x RTSP/1.0\r\n"), DETECT_NONE},
    {BYTES(" GET / HTTP/1.1\r\n"), DETECT_NONE},
    {BYTES("\r\n"), DETECT_NONE},
    {BYTES("G"), DETECT_MORE},
    {BYTES("GET"), DETECT_MORE},
    {BYTES("GET "), DETECT_MORE},
    {BYTES("GET /"), DETECT_MORE},
    {BYTES("GET / HTTP/1.1"), DETECT_MORE},
    {BYTES("H"), DETECT_MORE},
    {BYTES("HTTP/1."), DETECT_MORE},
    {BYTES("HTTP/1.1 20"), DETECT_MORE},
    {BYTES("\x16"), DETECT_MORE},
    {BYTES("\x16\x03"), DETECT_MORE},
    {BYTES(""), DETECT_NONE},
};

static struct window *window;

static int look(const char *bytes, size_t len)
{
	struct http1 http1 = {};

	memset(window, 0, sizeof(*window));
	memcpy(window->bytes, bytes, len);
	window->len = (uint32_t)len;
	return detect(window, &http1);
}

static void openings_are_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++) {
		int result = look(openings[i].bytes, openings[i].len);

		if (result != openings[i].result)
			fail_msg("opening %zu (%s): %d", i, openings[i].bytes, result);
	}
}

/* On the way to its answer, an opening may only be undecided. */
static void a_prefix_never_decides_otherwise(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++)
		for (size_t len = 1; len < openings[i].len; len++) {
			int result = look(openings[i].bytes, len);

			if (openings[i].result != DETECT_NONE &&
			    result != DETECT_MORE && result != openings[i].result)
				fail_msg("opening %zu, first %zu bytes: %d", i, len,
					 result);
		}
}

static void nothing_is_consumed(void **state)
{
	(void)state;
	look("GET / HTTP/1.1\r\n\r\n", 18);
	assert_int_equal(window->pos, 0);
	assert_int_equal(window->len, 18);
}

#define V2 "\r\n\r\n\0\r\nQUIT\n\x21\x11"

static void a_proxys_preamble_is_skipped_where_it_is_whole(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		uint32_t pos; /* afterwards */
	} cases[] = {
	    {BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /"), 36},
	    {BYTES("PROXY UNKNOWN\r\nG"), 15},
	    {BYTES("PROXY TCP4 192.0.2.1"), 0}, /* cut */
	    {BYTES("PROXYTCP4 192.0.2.1\r\n"), 0},
	    {BYTES(V2 "\0\0"
		      "GET /"),
	     16},
	    {BYTES(V2 "\0\x0c"
		      "aaaabbbbccdd"
		      "GET /"),
	     28},
	    {BYTES(V2 "\0\x0c"
		      "aaaabbbbccd"),
	     0},
	    {BYTES(V2 "\xff\xff"
		      "aaaabbbbccdd"),
	     0},
	    {BYTES("GET / HTTP/1.1\r\n\r\n"), 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		look(cases[i].bytes, cases[i].len);
		detect_skip_proxy(window);
		assert_int_equal(window->pos, cases[i].pos);
		window->pos = 0;
	}
}

static int make_window(void **state)
{
	(void)state;
	window = stream_window();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(openings_are_told_apart),
	    cmocka_unit_test(a_prefix_never_decides_otherwise),
	    cmocka_unit_test(nothing_is_consumed),
	    cmocka_unit_test(a_proxys_preamble_is_skipped_where_it_is_whole),
	};

	return cmocka_run_group_tests(tests, make_window, NULL);
}
