/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serving.h"

static void a_body_is_thrown_away_and_the_next_request_answered(void **state)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	char text[40000];

	(void)state;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		int fd = dial(&server), status = i ? 405 : 200;
		struct reply reply;

		snprintf(text, sizeof(text),
			 "%s /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 30000"
			 "\r\n\r\n%030000d"
			 "%s /metrics HTTP/1.1\r\nHost: x\r\n"
			 "Transfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n"
			 "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n",
			 methods[i], 0, methods[i]);
		send_string(fd, text);
		for (int j = 0; j < 2; j++) {
			read_reply(fd, true, &reply);
			assert_int_equal(reply.status, status);
			free_reply(&reply);
		}
		read_reply(fd, true, &reply);
		assert_body(&reply, "bpftally is healthy.\n");
		free_reply(&reply);
		close(fd);
	}
	stop_server(&server);
}

/* Bytes until the server stopped taking them. */
static size_t upload_until_refused(int fd)
{
	static char chunk[4096];
	size_t sent = 0;
	ssize_t len;

	while ((len = send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL)) > 0)
		sent += (size_t)len;
	return sent;
}

static void a_body_without_end_ends_the_connection(void **state)
{
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	int fd = dial(&server), small = 16384;

	(void)state;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	send_string(fd, "POST /metrics HTTP/1.1\r\nHost: x\r\n"
			"Content-Length: 10000000000\r\n\r\n");
	/* 64 kB are read; the rest sat in the two sockets' buffers. */
	assert_true(upload_until_refused(fd) < 16 * 1024 * 1024);
	close(fd);
	assert_true(is_answering(&server));
	stop_server(&server);
}

static void a_body_that_cannot_be_finished_is_cut_and_logged_once(void **state)
{
	struct server server =
	    start_server("127.0.0.1:0",
			 (struct control){.body_bytes = 200000, .is_unwritable = true});

	(void)state;
	for (int i = 0; i < 2; i++) {
		int fd = dial(&server);
		struct reply reply;

		send_string(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
		read_head(fd, &reply);
		assert_int_equal(reply.status, 200);
		assert_false(read_chunks(fd, &reply));
		free_reply(&reply);
		close(fd);
	}
	stop_server_that_said(&server,
			      "bpftally: error: cannot serve \"/metrics\": E2BIG\n");
}

static unsigned long peak_kb(pid_t pid)
{
	unsigned long peak = 0;
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "VmHWM: %lu kB", &peak);
	fclose(file);
	return peak;
}

/* The body is ten times as long as the memory that may be taken. */
static void a_body_of_any_length_is_sent_in_little_memory(void **state)
{
	static const char *const fields[] = {"", "Accept-Encoding: gzip\r\n"};
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	unsigned long before;

	(void)state;
	assert_true(is_answering(&server));
	before = peak_kb(server.pid);
	server.control->body_bytes = (size_t)257 << 20;
	for (size_t i = 0; i < 2; i++) {
		struct reply reply = request(&server, "GET", "/metrics", fields[i]);

		assert_int_equal(reply.status, 200);
		assert_true(i || reply.body_len >= server.control->body_bytes);
		free_reply(&reply);
	}
	assert_true(peak_kb(server.pid) - before < 25 << 10);
	stop_server(&server);
}

static int status_of(const struct server *server, const char *path)
{
	struct reply reply = request(server, "GET", path, "");

	if (reply.status == 503)
		assert_body(&reply, "too many pages are being sent to others\n");
	free_reply(&reply);
	return reply.status;
}

static void four_pages_are_sent_at_a_time(void **state)
{
	struct server server = start_server(
	    "127.0.0.1:0", (struct control){.body_bytes = (size_t)32 << 20});
	uint64_t deadline_ms = now_ms() + PATIENCE_MS;
	int stalled[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		stalled[i] = dial(&server);
		send_string(stalled[i], "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
		assert_true(is_readable_within(stalled[i], PATIENCE_MS));
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(status_of(&server, "/metrics"), 503);
		assert_int_equal(status_of(&server, "/"), 503);
	}
	assert_int_equal(server.control->metrics_calls, 4);
	assert_int_equal(status_of(&server, "/-/healthy"), 200);
	close(stalled[0]);
	while (status_of(&server, "/metrics") != 200)
		assert_true(now_ms() < deadline_ms);
	for (size_t i = 1; i < 4; i++)
		close(stalled[i]);
	stop_server(&server);
}

static void a_client_of_http_1_0_reads_to_the_end_of_the_connection(void **state)
{
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	char body[sizeof(TEXT_BODY) + 1] = "";
	int fd = dial(&server);
	struct reply reply;

	(void)state;
	send_string(fd, "GET /metrics HTTP/1.0\r\n\r\n");
	read_head(fd, &reply);
	assert_field(&reply, "Transfer-Encoding", NULL);
	assert_int_equal(read_bytes(fd, body, sizeof(body)), strlen(TEXT_BODY));
	assert_string_equal(body, TEXT_BODY);
	close(fd);
	stop_server(&server);
}

static void a_kept_connection_answers_pipelined_requests_in_order(void **state)
{
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	struct reply reply;
	int fd = dial(&server);
	char text[8192] = "";

	(void)state;
	for (int i = 0; i < 50; i++)
		strcat(text, i % 2 ? "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
				   : "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	send_string(fd, text);
	for (int i = 0; i < 50; i++) {
		read_reply(fd, true, &reply);
		assert_body(&reply, i % 2 ? "<!doctype html><title>status</title>\n"
					  : TEXT_BODY);
		free_reply(&reply);
	}
	close(fd);
	assert_int_equal(server.control->metrics_calls, 25);
	stop_server(&server);
}

static void a_request_cut_at_every_byte_is_answered(void **state)
{
	static const char text[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	struct reply reply;
	int fd = dial(&server), on = 1;

	(void)state;
	setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on));
	for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
		assert_int_equal(send(fd, text, cut, 0), cut);
		send_string(fd, text + cut);
		read_reply(fd, true, &reply);
		assert_body(&reply, TEXT_BODY);
		free_reply(&reply);
	}
	close(fd);
	stop_server(&server);
}

/* Sends a head of that many bytes; the status, or 0 if the server hung up. */
static int status_of_head(const struct server *server, size_t bytes, bool in_path)
{
	char *text = calloc(1, bytes + 200), head[64] = "";
	int fd = dial(server), status = 0;
	size_t len = 0;

	assert_non_null(text);
	memset(text, 'a', bytes);
	memcpy(text,
	       in_path ? "GET /" : "GET /metrics HTTP/1.1\r\nX: ", in_path ? 5 : 26);
	strcpy(text + bytes,
	       in_path ? " HTTP/1.1\r\nHost: x\r\n\r\n" : "\r\nHost: x\r\n\r\n");
	send(fd, text, strlen(text), MSG_NOSIGNAL);
	while (len < 12) {
		ssize_t got = recv(fd, head + len, 12 - len, 0);

		if (got <= 0)
			break;
		len += (size_t)got;
	}
	sscanf(head, "HTTP/1.1 %d", &status);
	close(fd);
	free(text);
	return status;
}

static void heads_up_to_16_kb_are_read_and_giant_ones_refused(void **state)
{
	struct server server = start_server("127.0.0.1:0", (struct control){0});

	(void)state;
	assert_int_equal(status_of_head(&server, 16000, false), 200);
	assert_int_equal(status_of_head(&server, 16000, true), 404);
	assert_int_equal(status_of_head(&server, 17000, false), 431);
	assert_int_equal(status_of_head(&server, 17000, true), 431);
	assert_int_equal(status_of_head(&server, 66000, false), 431);
	assert_int_equal(status_of_head(&server, 66000, true), 414);
	for (size_t bytes = 100000; bytes <= 10000000; bytes *= 10) {
		int status = status_of_head(&server, bytes, false);

		/* The answer may be lost: the client was still sending. */
		assert_true(status == 431 || status == 0);
	}
	assert_true(is_answering(&server));
	stop_server(&server);
}

/* libmicrohttpd overlooks the end of a stream that came together with half a
 * request, and holds the place until the idle limit: hence the speed. */
static void garbage_does_not_stop_the_server(void **state)
{
	struct server server =
	    start_server("127.0.0.1:0", (struct control){.speed = 20});
	unsigned int seed = 20260802;

	(void)state;
	print_message("seed %u\n", seed);
	for (int i = 0; i < 300; i++) {
		char bytes[300];
		int fd = dial(&server);

		for (size_t j = 0; j < sizeof(bytes); j++)
			bytes[j] = (char)rand_r(&seed);
		if (i % 2)
			memcpy(bytes, "GET /metrics HTTP/1.1\r\n", 23);
		send(fd, bytes, (size_t)rand_r(&seed) % sizeof(bytes), MSG_NOSIGNAL);
		close(fd);
	}
	assert_true(is_answering(&server));
	stop_server(&server);
}

/* All leave in one go: no timer is left to wake the server, so it must look at
 * its listening socket again by itself. */
static void after_a_full_house_has_left_newcomers_are_answered(void **state)
{
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	unsigned int before = open_descriptors(server.pid);
	int fds[64];

	(void)state;
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 64; i++)
			fds[i] = dial(&server);
		assert_true(
		    has_descriptors_within(server.pid, before + 64, PATIENCE_MS));
		kill(server.pid, SIGSTOP);
		for (int i = 0; i < 64; i++)
			close(fds[i]);
		kill(server.pid, SIGCONT);
		assert_true(is_answering(&server));
	}
	stop_server(&server);
}

static void a_crowd_beyond_the_backlog_leaves_the_server_working(void **state)
{
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	unsigned int before = open_descriptors(server.pid);
	struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_port = htons((in_port_t)server.port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fds[500];

	(void)state;
	for (int i = 0; i < 500; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		assert_true(fds[i] >= 0);
		connect(fds[i], (const struct sockaddr *)&address, sizeof(address));
	}
	assert_true(has_descriptors_within(server.pid, before + 64, PATIENCE_MS));
	for (int i = 0; i < 500; i++)
		close(fds[i]);
	assert_true(is_answering(&server));
	assert_true(has_descriptors_within(server.pid, before, PATIENCE_MS));
	stop_server(&server);
}

/* --- passwords and headers ------------------------------------------------------ */

/* "open sesame" at costs 4 and 11, which takes a tenth of a second and more */
#define CHEAP "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy"
#define DEAR "$2b$11$abcdefghijklmnopqrstuu74xmB/NJkGNKfoNHO3z5FV3/sM3pMe."
#define SESAME "Authorization: Basic YW5uOm9wZW4gc2VzYW1l\r\n"      /* ann */
#define BOBS "Authorization: Basic Ym9iOm9wZW4gc2VzYW1l\r\n"        /* bob */
#define GUESS "Authorization: Basic YW5uOmd1ZXNz\r\n"               /* ann:guess */
#define NOBODYS "Authorization: Basic bm9ib2R5Om9wZW4gc2VzYW1l\r\n" /* nobody */

static char web_file[] = "/tmp/test_httpd.XXXXXX";

static void write_web_config(const char *text)
{
	int fd = open(web_file, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static struct server start_with_web_config(const char *text)
{
	strcpy(web_file + strlen(web_file) - 6, "XXXXXX");
	close(mkstemp(web_file));
	write_web_config(text);
	return start_server("127.0.0.1:0", (struct control){.web_config = web_file});
}

static void stop_with_web_config(struct server *server, const char *expected)
{
	unlink(web_file);
	stop_server_that_said(server, expected);
}

static int status_with(const struct server *server, const char *fields)
{
	struct reply reply = request(server, "GET", "/metrics", fields);

	free_reply(&reply);
	return reply.status;
}

static void every_path_asks_for_a_password(void **state)
{
	static const char *const paths[] = {"/metrics", "/", "/-/healthy", "/-/ready",
					    "/nothing"};
	struct server server =
	    start_with_web_config("basic_auth_users: {ann: " CHEAP "}");

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct reply reply = request(&server, "GET", paths[i], "");

		assert_int_equal(reply.status, 401);
		assert_field(&reply, "WWW-Authenticate", "Basic");
		assert_body(&reply, "Unauthorized\n");
		free_reply(&reply);
		reply =
		    request(&server, "POST", paths[i], "Content-Length: 0\r\n" GUESS);
		assert_int_equal(reply.status, 401);
		free_reply(&reply);
		reply = request(&server, "GET", paths[i], SESAME);
		assert_int_not_equal(reply.status, 401);
		assert_field(&reply, "WWW-Authenticate", NULL);
		free_reply(&reply);
	}
	assert_int_equal(status_with(&server, NOBODYS), 401);
	assert_int_equal(server.control->metrics_calls, 1);
	stop_with_web_config(&server, "");
}

static void a_kept_connection_is_asked_with_each_request(void **state)
{
	static const struct {
		const char *field;
		int status;
	} cases[] = {{SESAME, 200}, {GUESS, 401},   {"", 401},
		     {SESAME, 200}, {NOBODYS, 401}, {SESAME, 200}};
	struct server server =
	    start_with_web_config("basic_auth_users: {ann: " CHEAP "}");
	int fd = dial(&server);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reply reply;
		char text[200];

		snprintf(text, sizeof(text),
			 "GET /-/healthy HTTP/1.1\r\nHost: x\r\n%s\r\n",
			 cases[i].field);
		send_string(fd, text);
		read_reply(fd, true, &reply);
		assert_int_equal(reply.status, cases[i].status);
		free_reply(&reply);
	}
	close(fd);
	stop_with_web_config(&server, "");
}

static void new_users_and_headers_hold_from_the_next_request_on(void **state)
{
	struct server server =
	    start_with_web_config("basic_auth_users: {ann: " CHEAP "}");
	char expected[256];
	struct reply reply;

	(void)state;
	assert_int_equal(status_with(&server, SESAME), 200);
	assert_int_equal(status_with(&server, BOBS), 401);
	write_web_config("basic_auth_users: {bob: " CHEAP "}\n"
			 "http_server_config: {headers: {X-Frame-Options: deny}}");
	assert_int_equal(status_with(&server, SESAME), 401);
	reply = request(&server, "GET", "/metrics", BOBS);
	assert_int_equal(reply.status, 200);
	assert_field(&reply, "X-Frame-Options", "deny");
	free_reply(&reply);
	write_web_config("{}");
	assert_int_equal(status_with(&server, ""), 200);
	snprintf(
	    expected, sizeof(expected),
	    "bpftally: info: %s was read again\nbpftally: info: %s was read again\n",
	    web_file, web_file);
	stop_with_web_config(&server, expected);
}

/* Ours stay where the file says nothing. */
static void headers_of_the_file_replace_ours(void **state)
{
	struct server server = start_with_web_config(
	    "http_server_config: {headers: {Content-Security-Policy: 'x y', "
	    "X-Content-Type-Options: nosniff, X-XSS-Protection: '0'}}");
	struct reply reply = request(&server, "GET", "/", "");
	const char *first;

	(void)state;
	assert_field(&reply, "Content-Security-Policy", "x y");
	assert_field(&reply, "X-XSS-Protection", "0");
	first = strstr(reply.head, "X-Content-Type-Options");
	assert_non_null(first);
	assert_null(strstr(first + 1, "X-Content-Type-Options"));
	assert_null(strstr(reply.head, "unsafe-inline"));
	free_reply(&reply);
	reply = request(&server, "GET", "/nothing", "");
	assert_int_equal(reply.status, 404);
	assert_field(&reply, "X-XSS-Protection", "0");
	free_reply(&reply);
	stop_with_web_config(&server, "");
}

#define GUESSERS 60

/* Each with a guess that has to be hashed: eight wait at a time, more are told that
 * it is too much. */
static void who_is_known_is_answered_among_those_who_guess(void **state)
{
	struct server server =
	    start_with_web_config("basic_auth_users: {ann: " DEAR "}");
	int fds[GUESSERS], refused = 0, busy = 0;

	(void)state;
	assert_int_equal(status_with(&server, SESAME), 200);
	for (int i = 0; i < GUESSERS; i++) {
		fds[i] = dial(&server);
		send_string(fds[i],
			    "GET /metrics HTTP/1.1\r\nHost: x\r\n" GUESS "\r\n");
	}
	for (int i = 0; i < 5; i++)
		assert_int_equal(status_with(&server, SESAME), 200);
	for (int i = 0; i < GUESSERS; i++) {
		struct reply reply;

		read_reply(fds[i], true, &reply);
		refused += reply.status == 401;
		busy += reply.status == 503;
		free_reply(&reply);
		close(fds[i]);
	}
	/* one more for each that was hashed before the last one came */
	assert_in_range(refused, 8, GUESSERS - 1);
	assert_int_equal(refused + busy, GUESSERS);
	stop_with_web_config(&server, "");
}

/* LeakSanitizer sees what is left, libmicrohttpd who is suspended. */
static void stopping_while_passwords_are_checked_leaves_nothing(void **state)
{
	struct server server =
	    start_with_web_config("basic_auth_users: {ann: " DEAR "}");
	int fds[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		fds[i] = dial(&server);
		send_string(fds[i],
			    "GET /metrics HTTP/1.1\r\nHost: x\r\n" GUESS "\r\n");
	}
	assert_int_equal(status_with(&server, ""), 401); /* it has had its turn */
	close(fds[0]);
	stop_with_web_config(&server, "");
	for (int i = 1; i < 4; i++)
		close(fds[i]);
}

/* --- time limits ------------------------------------------------------------- */

/* libmicrohttpd counts an idle connection out when its limit is over. */
static void a_connection_is_closed_after_ten_idle_seconds(void **state)
{
	struct server server = start_server("127.0.0.1:0", frozen);
	int fd = dial_accepted(&server);
	struct reply reply;

	(void)state;
	advance(&server, 9900);
	assert_open(fd);
	advance(&server, 200);
	assert_closed(fd);
	fd = dial(&server);
	send_string(fd, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n");
	read_reply(fd, true, &reply);
	free_reply(&reply);
	advance(&server, 9900);
	assert_open(fd);
	advance(&server, 200);
	assert_closed(fd);
	stop_server(&server);
}

/* --- sleep ------------------------------------------------------------------ */

static unsigned long wakeups(pid_t pid)
{
	unsigned long count = 0;
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "voluntary_ctxt_switches: %lu", &count);
	fclose(file);
	return count;
}

#define FAST 50

/* With its seconds at 20 ms, where a forgotten timer would show. */
static void a_server_without_connections_does_not_wake(void **state)
{
	struct server server =
	    start_server("127.0.0.1:0", (struct control){.speed = FAST});
	unsigned int descriptors = open_descriptors(server.pid);
	unsigned long before;

	(void)state;
	assert_true(is_answering(&server));
	assert_true(has_descriptors_within(server.pid, descriptors, PATIENCE_MS));
	poll(NULL, 0, 50); /* to the end of the turn that closed it */
	before = wakeups(server.pid);
	poll(NULL, 0, 500);
	assert_int_equal(wakeups(server.pid), before);
	stop_server(&server);
}

static void a_kept_connection_wakes_the_server_only_to_be_closed(void **state)
{
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	unsigned long before;
	struct reply reply;
	int fd = dial(&server);

	(void)state;
	send_string(fd, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n");
	read_reply(fd, true, &reply);
	free_reply(&reply);
	poll(NULL, 0, 50);
	before = wakeups(server.pid);
	poll(NULL, 0, 300);
	assert_int_equal(wakeups(server.pid), before);
	close(fd);
	stop_server(&server);
}

/* --- descriptors ------------------------------------------------------------- */

static void every_descriptor_that_start_opened_is_closed_on_any_failure(void **state)
{
	unsigned int before = open_descriptors(getpid()), port;
	int first_free = dup(STDIN_FILENO);
	struct rlimit limit, original;

	(void)state;
	close(first_free);
	getrlimit(RLIMIT_NOFILE, &original);
	limit = original;
	/* The loop's own, then: listening socket, timer, libmicrohttpd's epoll. */
	for (int room = 0; room <= 3; room++) {
		int err;

		limit.rlim_cur = (rlim_t)(first_free + 1 + room);
		setrlimit(RLIMIT_NOFILE, &limit);
		err = start_and_stop("127.0.0.1:0", &port);
		setrlimit(RLIMIT_NOFILE, &original);
		assert_int_equal(err, room == 3 ? 0 : -EMFILE);
		assert_int_equal(open_descriptors(getpid()), before);
	}
}

static void set_descriptor_limit(const struct server *server, rlim_t count)
{
	struct rlimit limit;

	assert_int_equal(prlimit(server->pid, RLIMIT_NOFILE, NULL, &limit), 0);
	limit.rlim_cur = count;
	assert_int_equal(prlimit(server->pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

static void descriptors_that_ran_out_are_told_once(void **state)
{
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	uint64_t deadline_ms = now_ms() + PATIENCE_MS;
	struct rlimit original;
	char byte;
	int waiting;

	(void)state;
	assert_int_equal(prlimit(server.pid, RLIMIT_NOFILE, NULL, &original), 0);
	set_descriptor_limit(&server, 0);
	waiting = dial(&server);
	while (pread(server.stderr_fd, &byte, 1, 0) < 1) {
		assert_true(now_ms() < deadline_ms);
		sched_yield();
	}
	set_descriptor_limit(&server, original.rlim_cur);
	assert_true(is_answering(&server));
	close(waiting);
	stop_server_that_said(&server,
			      "bpftally: warning: the HTTP server cannot take a "
			      "connection: no descriptor or memory is left\n");
}

static void stopping_with_connections_and_bodies_open_leaves_nothing(void **state)
{
	struct server server = start_server(
	    "127.0.0.1:0", (struct control){.body_bytes = (size_t)16 << 20});
	int idle = dial(&server), stalled = dial(&server), half = dial(&server);

	(void)state;
	send_string(half, "GET /met");
	send_string(stalled, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(is_readable_within(stalled, PATIENCE_MS));
	stop_server(&server);
	close(idle);
	close(stalled);
	close(half);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_body_is_thrown_away_and_the_next_request_answered),
	    cmocka_unit_test(a_body_without_end_ends_the_connection),
	    cmocka_unit_test(a_body_that_cannot_be_finished_is_cut_and_logged_once),
	    cmocka_unit_test(a_body_of_any_length_is_sent_in_little_memory),
	    cmocka_unit_test(four_pages_are_sent_at_a_time),
	    cmocka_unit_test(a_client_of_http_1_0_reads_to_the_end_of_the_connection),
	    cmocka_unit_test(a_kept_connection_answers_pipelined_requests_in_order),
	    cmocka_unit_test(a_request_cut_at_every_byte_is_answered),
	    cmocka_unit_test(heads_up_to_16_kb_are_read_and_giant_ones_refused),
	    cmocka_unit_test(garbage_does_not_stop_the_server),
	    cmocka_unit_test(after_a_full_house_has_left_newcomers_are_answered),
	    cmocka_unit_test(a_crowd_beyond_the_backlog_leaves_the_server_working),
	    cmocka_unit_test(every_path_asks_for_a_password),
	    cmocka_unit_test(a_kept_connection_is_asked_with_each_request),
	    cmocka_unit_test(new_users_and_headers_hold_from_the_next_request_on),
	    cmocka_unit_test(headers_of_the_file_replace_ours),
	    cmocka_unit_test(who_is_known_is_answered_among_those_who_guess),
	    cmocka_unit_test(stopping_while_passwords_are_checked_leaves_nothing),
	    cmocka_unit_test(a_connection_is_closed_after_ten_idle_seconds),
	    cmocka_unit_test(a_server_without_connections_does_not_wake),
	    cmocka_unit_test(a_kept_connection_wakes_the_server_only_to_be_closed),
	    cmocka_unit_test(
		every_descriptor_that_start_opened_is_closed_on_any_failure),
	    cmocka_unit_test(descriptors_that_ran_out_are_told_once),
	    cmocka_unit_test(stopping_with_connections_and_bodies_open_leaves_nothing),
	};

	alarm(300); /* a server that never answers is a failure too */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
