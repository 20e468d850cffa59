/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

/* Stderr is a datagram socket while a capture lasts, so that what arrives
 * together was one write. */
struct capture {
	int reader;
	int saved_stderr;
};

static struct capture capture_begin(void)
{
	struct capture capture;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
	fflush(stderr);
	capture.reader = fds[0];
	capture.saved_stderr = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	return capture;
}

/* One write as a string; "" when there was none. */
static void capture_next(const struct capture *capture, char ret_text[8192])
{
	ssize_t len = recv(capture->reader, ret_text, 8191, 0);

	ret_text[len > 0 ? len : 0] = '\0';
}

static void capture_end(const struct capture *capture)
{
	dup2(capture->saved_stderr, STDERR_FILENO);
	close(capture->saved_stderr);
	close(capture->reader);
}

static void capture_string(const char *string, char ret_line[8192])
{
	struct capture capture = capture_begin();

	log_error("%s", string);
	capture_next(&capture, ret_line);
	capture_end(&capture);
}

static void a_message_is_one_write_of_one_line(void **state)
{
	struct capture capture = capture_begin();
	char line[8192], nothing[8192];

	(void)state;
	log_error("port %d: %s", 80, "in use");
	capture_next(&capture, line);
	capture_next(&capture, nothing);
	capture_end(&capture);
	assert_string_equal(line, "bpftally: error: port 80: in use\n");
	assert_string_equal(nothing, "");
}

static void each_level_is_named_and_shown_up_to_the_one_that_is_set(void **state)
{
	static const char *const lines[] = {
	    "bpftally: error: a\n",
	    "bpftally: warning: b\n",
	    "bpftally: info: c\n",
	    "bpftally: debug: d\n",
	};
	char shown[4][8192];

	(void)state;
	for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		struct capture capture = capture_begin();

		log_set_level((enum log_level)level);
		log_error("a");
		log_warning("b");
		log_info("c");
		log_debug("d");
		for (int i = 0; i < 4; i++)
			capture_next(&capture, shown[i]);
		capture_end(&capture);
		for (int i = 0; i < 4; i++)
			assert_string_equal(shown[i], i <= level ? lines[i] : "");
	}
	log_set_level(LOG_LEVEL_INFO);
}

static void what_a_terminal_would_obey_is_escaped(void **state)
{
	static const struct {
		const char *text, *line;
	} cases[] = {
	    {"a\nbpftally: error: forged", "a\\x0abpftally: error: forged"},
	    {"\r\t\x1b[2J\x7f", "\\x0d\\x09\\x1b[2J\\x7f"},
	    {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9d",
	     "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9d"},
	    {"\xc2\x9b"
	     "2J", /* C1: CSI */
	     "\\xc2\\x9b2J"},
	    {"\xc2\xa0", "\xc2\xa0"},
	    {"\x9b\xff", "\\x9b\\xff"},
	    {"\xc0\x8a", "\\xc0\\x8a"},                   /* overlong \n */
	    {"\xe0\x80\x8a", "\\xe0\\x80\\x8a"},          /* overlong \n */
	    {"\xf0\x80\x80\x8a", "\\xf0\\x80\\x80\\x8a"}, /* overlong \n */
	    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* surrogate */
	    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
	    {"\xe2\x82", "\\xe2\\x82"},                   /* cut */
	    {"\xe2\x82\n", "\\xe2\\x82\\x0a"},
	    {"100%n", "100%n"},
	    {"", ""},
	};
	char line[8192], expected[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		capture_string(cases[i].text, line);
		snprintf(expected, sizeof(expected), "bpftally: error: %s\n",
			 cases[i].line);
		assert_string_equal(line, expected);
	}
}

static void a_line_never_exceeds_what_a_pipe_takes_whole(void **state)
{
	static const char fills[] = {'x', '\n', '\xc3'};
	char text[20000], line[8192];

	(void)state;
	for (size_t i = 0; i < sizeof(fills); i++) {
		for (size_t len = 1000; len <= sizeof(text); len += 19) {
			memset(text, fills[i], len - 1);
			text[len - 1] = '\0';
			capture_string(text, line);
			assert_true(strlen(line) <= PIPE_BUF);
			assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
		}
		assert_string_equal(line + strlen(line) - 4, "...\n");
	}
}

static void errno_survives_and_is_what_percent_m_prints(void **state)
{
	struct capture capture = capture_begin();
	char line[8192];
	int after;

	(void)state;
	errno = EADDRINUSE;
	log_warning("bind: %m");
	after = errno;
	capture_next(&capture, line);
	capture_end(&capture);
	assert_int_equal(after, EADDRINUSE);
	assert_string_equal(line, "bpftally: warning: bind: Address already in use\n");
}

static void a_closed_stderr_is_survived(void **state)
{
	int saved = dup(STDERR_FILENO);

	(void)state;
	close(STDERR_FILENO);
	errno = 0;
	log_error("nobody hears this");
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_int_equal(errno, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_message_is_one_write_of_one_line),
	    cmocka_unit_test(each_level_is_named_and_shown_up_to_the_one_that_is_set),
	    cmocka_unit_test(what_a_terminal_would_obey_is_escaped),
	    cmocka_unit_test(a_line_never_exceeds_what_a_pipe_takes_whole),
	    cmocka_unit_test(errno_survives_and_is_what_percent_m_prints),
	    cmocka_unit_test(a_closed_stderr_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
