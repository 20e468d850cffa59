/* SPDX-License-Identifier: Apache-2.0 */
/* The real server in a forked process with its own loop; clients over loopback.
 * Its clocks are the test's: time can run faster there, or stand still until the
 * test moves it (struct control). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
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
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "httpd.h"

#define PATIENCE_MS 20000 /* for what must happen; CI machines are slow */

/* Shared with the server's process. */
struct control {
	unsigned int speed; /* seconds of the server in one of ours */
	bool is_frozen;     /* only advance() moves its clock */
	uint64_t frozen_ms;
	volatile unsigned int turns; /* of the server's loop, asked for by SIGUSR1 */
	size_t body_bytes;           /* at least; /metrics grows in steps of 66 kB */
	bool is_random;              /* a body that does not compress */
	bool is_unwritable;          /* its last metric */
	int error;                   /* returned by the page writers */
	bool ready;
	unsigned int metrics_calls;
	const char *web_config; /* of the web server; NULL: none */
};

struct server {
	pid_t pid;
	unsigned int port;
	int stderr_fd;
	struct control *control;
};

struct reply {
	char head[8192];
	int status;
	char *body;
	size_t body_len;
};

/* --- time ------------------------------------------------------------------ */

static struct control *clock_control;

static unsigned int speed(void)
{
	return clock_control ? clock_control->speed : 1;
}

/* Found before libc's by httpd.c and by libmicrohttpd. */
int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	long status = syscall(SYS_clock_gettime, clock, ret_time);
	__int128 ns;

	if (!status && clock != CLOCK_REALTIME && clock_control &&
	    clock_control->is_frozen)
		*ret_time = (struct timespec){
		    .tv_sec = (time_t)(clock_control->frozen_ms / 1000),
		    .tv_nsec = (long)(clock_control->frozen_ms % 1000 * 1000000),
		};
	if (status || speed() == 1 || clock == CLOCK_REALTIME)
		return (int)status;
	ns = ((__int128)ret_time->tv_sec * 1000000000 + ret_time->tv_nsec) * speed();
	ret_time->tv_sec = (time_t)(ns / 1000000000);
	ret_time->tv_nsec = (long)(ns % 1000000000);
	return 0;
}

static int timer_fd = -1; /* of the server, which has one */

int timerfd_settime(int fd, int flags, const struct itimerspec *when,
		    struct itimerspec *ret_before)
{
	struct itimerspec scaled = *when;
	int64_t ns =
	    (int64_t)when->it_value.tv_sec * 1000000000 + when->it_value.tv_nsec;

	timer_fd = fd;
	ns = (ns + speed() - 1) / speed();
	scaled.it_value.tv_sec = ns / 1000000000;
	scaled.it_value.tv_nsec = ns % 1000000000;
	return (int)syscall(SYS_timerfd_settime, fd, flags, &scaled, ret_before);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- the server ------------------------------------------------------------ */

#define BUCKETS 60
#define LABEL_BYTES 1000

static const struct family one = {
    .name = "one", .help = "One.", .unit = "", .type = METRIC_GAUGE, .order = 0};
static const struct family many = {
    .name = "many", .help = "Many.", .unit = "", .type = METRIC_HISTOGRAM, .order = 1};

#define TEXT_BODY "# TYPE one gauge\n# HELP one One.\none 1\n"
#define OPENMETRICS_BODY TEXT_BODY "# EOF\n"

static struct label_set long_label(struct snapshot *snapshot, size_t bytes)
{
	char *value = snapshot_alloc(snapshot, bytes + 1);
	struct label label = {"a", value};

	memset(value, 'a', bytes);
	return snapshot_labels(snapshot, &label, 1);
}

/* The snapshot is a thousandth of its text: every line repeats the label. */
static void add_many(struct snapshot *snapshot, size_t bytes)
{
	static const uint64_t buckets[BUCKETS + 1];
	static double bounds[BUCKETS];
	struct label_set labels = long_label(snapshot, LABEL_BYTES);
	const struct histogram histogram = {
	    .bounds = bounds, .bound_count = BUCKETS, .buckets = buckets};

	for (size_t i = 0; i < BUCKETS; i++)
		bounds[i] = (double)i;
	for (size_t len = 0; len < bytes; len += (BUCKETS + 3) * LABEL_BYTES)
		snapshot_histogram(snapshot, &many, labels, &histogram);
}

static void add_random(struct snapshot *snapshot, size_t bytes)
{
	unsigned int seed = 1;

	for (size_t len = 0; len < bytes; len += strlen("one 0.12345\n"))
		snapshot_value(snapshot, &one, (struct label_set){0},
			       rand_r(&seed) / 2147483648.0);
}

static int collect_metrics(void *context, struct snapshot *ret_snapshot)
{
	struct control *control = context;

	control->metrics_calls++;
	snapshot_init(ret_snapshot, 0);
	snapshot_value(ret_snapshot, &one, (struct label_set){0}, 1);
	if (control->is_random)
		add_random(ret_snapshot, control->body_bytes);
	else if (control->body_bytes)
		add_many(ret_snapshot, control->body_bytes);
	if (control->is_unwritable)
		snapshot_value(ret_snapshot, &one,
			       long_label(ret_snapshot, (size_t)2 << 20), 1);
	return control->error;
}

static int write_status(void *context, struct buf *ret_html)
{
	struct control *control = context;
	unsigned int seed = 1;

	buf_string(ret_html, "<!doctype html><title>status</title>\n");
	while (ret_html->len < control->body_bytes && !ret_html->error) {
		if (control->is_random)
			buf_printf(ret_html, "%d\n", rand_r(&seed));
		else
			buf_string(ret_html, "line\n");
	}
	return control->error;
}

static bool is_ready(void *context)
{
	return ((struct control *)context)->ready;
}

struct serving {
	struct control *control;
	struct loop *loop;
	int signals;
};

/* SIGTERM, or SIGUSR1 for a clock that may have moved: the timer goes off, due or
 * not. */
static void on_signal(void *context, uint32_t events)
{
	const struct itimerspec at_once = {.it_value.tv_nsec = 1};
	struct serving *serving = context;
	struct signalfd_siginfo info;

	(void)events;
	assert_int_equal(read(serving->signals, &info, sizeof(info)), sizeof(info));
	if (info.ssi_signo == SIGTERM) {
		loop_stop(serving->loop);
		return;
	}
	syscall(SYS_timerfd_settime, timer_fd, 0, &at_once, NULL);
	serving->control->turns++;
}

/* Exit status 0: started, ran, stopped, and (LeakSanitizer) left nothing. */
static int serve(const char *listen_address, struct control *control, int port_pipe)
{
	const struct answer_pages pages = {collect_metrics, write_status, is_ready,
					   control};
	struct serving serving = {.control = control};
	char error[CONFIG_ERROR_LEN];
	struct httpd *httpd = NULL;
	struct web *web = NULL;
	unsigned int port;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	serving.signals = signalfd(-1, &mask, SFD_CLOEXEC);
	if (loop_create(&serving.loop) ||
	    loop_watch(serving.loop, serving.signals, EPOLLIN, on_signal, &serving) ||
	    (control->web_config && web_open(control->web_config, &web, error)) ||
	    httpd_start(serving.loop, listen_address, web, &pages, &httpd))
		return 1;
	port = httpd_port(httpd);
	if (write(port_pipe, &port, sizeof(port)) != sizeof(port) ||
	    loop_run(serving.loop))
		return 1;
	httpd_stop(&httpd);
	web_free(&web);
	loop_free(&serving.loop);
	close(serving.signals);
	return httpd || serving.loop;
}

static struct server start_server(const char *listen_address, struct control control)
{
	struct server server;
	int port_pipe[2];

	if (!control.speed)
		control.speed = 1;
	control.frozen_ms = now_ms();
	server.control = mmap(NULL, sizeof(control), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(server.control != MAP_FAILED);
	*server.control = control;
	server.stderr_fd = memfd_create("stderr", MFD_CLOEXEC);
	assert_int_equal(pipe(port_pipe), 0);
	server.pid = fork();
	assert_true(server.pid >= 0);
	if (!server.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(port_pipe[0]);
		dup2(server.stderr_fd, STDERR_FILENO);
		clock_control = server.control;
		exit(serve(listen_address, server.control, port_pipe[1]));
	}
	close(port_pipe[1]);
	assert_int_equal(read(port_pipe[0], &server.port, sizeof(server.port)),
			 sizeof(server.port));
	close(port_pipe[0]);
	return server;
}

static void stop_server_that_said(struct server *server, const char *expected)
{
	char text[8192];
	ssize_t len;
	int status;

	kill(server->pid, SIGTERM);
	assert_int_equal(waitpid(server->pid, &status, 0), server->pid);
	len = pread(server->stderr_fd, text, sizeof(text) - 1, 0);
	text[len > 0 ? len : 0] = '\0';
	assert_string_equal(text, expected);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(server->stderr_fd);
	munmap(server->control, sizeof(*server->control));
}

static void stop_server(struct server *server)
{
	stop_server_that_said(server, "");
}

/* --- the client ------------------------------------------------------------ */

static int dial(const struct server *server)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET,
	    .sin_port = htons((in_port_t)server->port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void send_string(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

static bool is_readable_within(int fd, int timeout_ms)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};

	return poll(&poller, 1, timeout_ms) == 1;
}

/* The value of a header field, or NULL. */
static const char *field(const struct reply *reply, const char *name)
{
	static char value[512];
	size_t len = strlen(name);

	for (const char *line = reply->head; line; line = strstr(line, "\r\n")) {
		if (line != reply->head)
			line += 2;
		if (strncasecmp(line, name, len) || strncmp(line + len, ": ", 2))
			continue;
		snprintf(value, sizeof(value), "%.*s",
			 (int)strcspn(line + len + 2, "\r"), line + len + 2);
		return value;
	}
	return NULL;
}

static void assert_field(const struct reply *reply, const char *name,
			 const char *expected)
{
	const char *value = field(reply, name);

	if (!expected && !value)
		return;
	if (!expected || !value || strcmp(value, expected))
		fail_msg("%s: %s, not %s", name, value, expected);
}

/* Reads one head, byte by byte, so as not to take what follows it. */
static void read_head(int fd, struct reply *ret_reply)
{
	size_t len = 0;

	memset(ret_reply, 0, sizeof(*ret_reply));
	while (len < 4 || memcmp(ret_reply->head + len - 4, "\r\n\r\n", 4)) {
		assert_true(len < sizeof(ret_reply->head) - 1);
		assert_int_equal(recv(fd, ret_reply->head + len, 1, 0), 1);
		len++;
	}
	assert_int_equal(sscanf(ret_reply->head, "HTTP/1.1 %d", &ret_reply->status), 1);
}

/* Bytes that came: fewer than asked for when the connection ended. */
static size_t read_bytes(int fd, char *ret_bytes, size_t len)
{
	size_t have = 0;
	ssize_t got = 1;

	while (have < len && got > 0) {
		got = recv(fd, ret_bytes + have, len - have, 0);
		have += got > 0 ? (size_t)got : 0;
	}
	return have;
}

/* False when the connection ended instead. */
static bool read_chunk_size(int fd, size_t *ret_size)
{
	char line[20] = "";
	size_t len = 0;

	while (len < 2 || memcmp(line + len - 2, "\r\n", 2)) {
		assert_true(len < sizeof(line) - 1);
		if (!read_bytes(fd, line + len++, 1))
			return false;
	}
	*ret_size = strtoul(line, NULL, 16);
	return true;
}

/* False when it ended before its last chunk. */
static bool read_chunks(int fd, struct reply *reply)
{
	size_t size = 0, room = 0;
	char end[2];

	while (read_chunk_size(fd, &size)) {
		if (reply->body_len + size >= room) {
			room = 2 * (reply->body_len + size) + 1;
			reply->body = realloc(reply->body, room);
			assert_non_null(reply->body);
		}
		assert_int_equal(read_bytes(fd, reply->body + reply->body_len, size),
				 size);
		reply->body_len += size;
		reply->body[reply->body_len] = '\0';
		assert_int_equal(read_bytes(fd, end, 2), 2);
		assert_memory_equal(end, "\r\n", 2);
		if (!size)
			return true;
	}
	return false;
}

static void read_counted(int fd, struct reply *reply)
{
	const char *length = field(reply, "Content-Length");
	size_t len;

	assert_non_null(length);
	len = strtoul(length, NULL, 10);
	reply->body = calloc(1, len + 1);
	assert_non_null(reply->body);
	reply->body_len = read_bytes(fd, reply->body, len);
	assert_int_equal(reply->body_len, len);
}

static void read_reply(int fd, bool has_body, struct reply *ret_reply)
{
	read_head(fd, ret_reply);
	if (!has_body)
		return;
	if (field(ret_reply, "Transfer-Encoding"))
		assert_true(read_chunks(fd, ret_reply));
	else
		read_counted(fd, ret_reply);
}

/* One request on a connection of its own; nothing may follow the reply. */
static struct reply request(const struct server *server, const char *method,
			    const char *path, const char *fields)
{
	struct reply reply;
	int fd = dial(server);
	char text[4096], extra;

	snprintf(text, sizeof(text),
		 "%s %s HTTP/1.1\r\nHost: x\r\n%sConnection: close"
		 "\r\n\r\n",
		 method, path, fields);
	send_string(fd, text);
	read_reply(fd, strcmp(method, "HEAD"), &reply);
	assert_int_equal(recv(fd, &extra, 1, 0), 0);
	close(fd);
	return reply;
}

static void free_reply(struct reply *reply)
{
	free(reply->body);
	reply->body = NULL;
}

static void assert_body(const struct reply *reply, const char *expected)
{
	assert_int_equal(reply->body_len, strlen(expected));
	assert_string_equal(reply->body, expected);
}

static bool is_answering(const struct server *server)
{
	struct reply reply = request(server, "GET", "/-/healthy", "");
	bool answer = reply.status == 200;

	free_reply(&reply);
	return answer;
}

/* --- the tests ------------------------------------------------------------- */

static void every_path_has_its_answer(void **state)
{
	static const struct {
		const char *path;
		int status;
		const char *content_type, *body, *vary, *policy;
	} cases[] = {
	    {"/metrics", 200, "text/plain; version=0.0.4; charset=utf-8", TEXT_BODY,
	     "Accept, Accept-Encoding", NULL},
	    {"/metrics?name=x", 200, "text/plain; version=0.0.4; charset=utf-8",
	     TEXT_BODY, "Accept, Accept-Encoding", NULL},
	    {"/", 200, "text/html; charset=utf-8",
	     "<!doctype html><title>status</title>\n", "Accept-Encoding",
	     "default-src 'none'; style-src 'unsafe-inline'"},
	    {"/-/healthy", 200, "text/plain; charset=utf-8", "bpftally is healthy.\n",
	     NULL, NULL},
	    {"/-/ready", 503, "text/plain; charset=utf-8", "bpftally is not ready.\n",
	     NULL, NULL},
	    {"/metrics/", 404, "text/plain; charset=utf-8", "not found\n", NULL, NULL},
	    {"/favicon.ico", 404, "text/plain; charset=utf-8", "not found\n", NULL,
	     NULL},
	    {"//", 404, "text/plain; charset=utf-8", "not found\n", NULL, NULL},
	    {"/../metrics", 404, "text/plain; charset=utf-8", "not found\n", NULL,
	     NULL},
	    {"/-%2Fhealthy", 200, "text/plain; charset=utf-8", "bpftally is healthy.\n",
	     NULL, NULL},
	    {"/-/healthy%00x", 404, "text/plain; charset=utf-8", "not found\n", NULL,
	     NULL},
	    {"/-/healthy%00", 404, "text/plain; charset=utf-8", "not found\n", NULL,
	     NULL},
	    {"/-/healthy?x=%00", 200, "text/plain; charset=utf-8",
	     "bpftally is healthy.\n", NULL, NULL},
	    {"http://h/-/healthy", 200, "text/plain; charset=utf-8",
	     "bpftally is healthy.\n", NULL, NULL},
	    {"HTTPS://h:1/-/healthy?x", 200, "text/plain; charset=utf-8",
	     "bpftally is healthy.\n", NULL, NULL},
	    {"http://h", 200, "text/html; charset=utf-8",
	     "<!doctype html><title>status</title>\n", "Accept-Encoding",
	     "default-src 'none'; style-src 'unsafe-inline'"},
	    {"ftp://h/-/healthy", 404, "text/plain; charset=utf-8", "not found\n", NULL,
	     NULL},
	};
	struct server server = start_server("127.0.0.1:0", (struct control){0});

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reply reply = request(&server, "GET", cases[i].path, "");

		assert_int_equal(reply.status, cases[i].status);
		assert_field(&reply, "Content-Type", cases[i].content_type);
		assert_field(&reply, "Vary", cases[i].vary);
		assert_field(&reply, "Content-Security-Policy", cases[i].policy);
		assert_field(&reply, "X-Content-Type-Options", "nosniff");
		assert_field(&reply, "Content-Encoding", NULL);
		assert_field(&reply, "Allow", NULL);
		assert_body(&reply, cases[i].body);
		free_reply(&reply);
	}
	stop_server(&server);
}

static void ready_follows_the_callback(void **state)
{
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	struct reply reply;

	(void)state;
	server.control->ready = true;
	reply = request(&server, "GET", "/-/ready", "");
	assert_int_equal(reply.status, 200);
	assert_body(&reply, "bpftally is ready.\n");
	free_reply(&reply);
	server.control->ready = false;
	reply = request(&server, "GET", "/-/ready", "");
	assert_int_equal(reply.status, 503);
	free_reply(&reply);
	stop_server(&server);
}

static void accept_chooses_format_and_content_type(void **state)
{
	static const struct {
		const char *fields, *content_type, *body;
	} cases[] = {
	    {"Accept: application/openmetrics-text;version=1.0.0\r\n",
	     "application/openmetrics-text; version=1.0.0; charset=utf-8",
	     OPENMETRICS_BODY},
	    {"accept: text/plain;q=0.5\r\nAccept: application/openmetrics-text\r\n",
	     "application/openmetrics-text; version=1.0.0; charset=utf-8",
	     OPENMETRICS_BODY},
	    {"Accept: \r\n", "text/plain; version=0.0.4; charset=utf-8", TEXT_BODY},
	};
	struct server server = start_server("127.0.0.1:0", (struct control){0});

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reply reply =
		    request(&server, "GET", "/metrics", cases[i].fields);

		assert_field(&reply, "Content-Type", cases[i].content_type);
		assert_body(&reply, cases[i].body);
		free_reply(&reply);
	}
	stop_server(&server);
}

static void who_asks_for_protobuf_gets_delimited_messages(void **state)
{
	static const char family[] = "\x1a"
				     "\n\3one"
				     "\x12\4One."
				     "\x18\1"                             /* a gauge */
				     "\"\xb\x12\t\t\0\0\0\0\0\0\xf0\x3f"; /* 1.0 */
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	struct reply reply =
	    request(&server, "GET", "/metrics",
		    "Accept: application/vnd.google.protobuf;"
		    "proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n");

	(void)state;
	assert_field(&reply, "Content-Type",
		     "application/vnd.google.protobuf; "
		     "proto=io.prometheus.client.MetricFamily; encoding=delimited");
	assert_int_equal(reply.body_len, sizeof(family) - 1);
	assert_memory_equal(reply.body, family, sizeof(family) - 1);
	free_reply(&reply);
	stop_server(&server);
}

static char *gunzip(const struct reply *reply, size_t ret_room)
{
	char *text = calloc(1, ret_room + 1);
	z_stream stream = {
	    .next_in = (unsigned char *)reply->body,
	    .avail_in = (unsigned int)reply->body_len,
	    .next_out = (unsigned char *)text,
	    .avail_out = (unsigned int)ret_room,
	};

	assert_non_null(text);
	assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.avail_in, 0);
	text[stream.total_out] = '\0';
	inflateEnd(&stream);
	return text;
}

static void gzip_holds_the_same_bytes_at_every_size(void **state)
{
	static const size_t sizes[] = {0, 1000, 16384, 1000000, 4000000};
	static const char *const paths[] = {"/metrics", "/"};
	struct server server = start_server("127.0.0.1:0", (struct control){0});

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) * 4; i++) {
		const char *path = paths[i % 2];
		struct reply plain, packed;
		char *text;

		server.control->body_bytes = sizes[i / 4];
		server.control->is_random = i / 2 % 2;
		plain = request(&server, "GET", path, "");
		packed = request(&server, "GET", path, "Accept-Encoding: gzip\r\n");
		assert_field(&plain, "Content-Encoding", NULL);
		assert_field(&packed, "Content-Encoding", "gzip");
		assert_true(plain.body_len >= sizes[i / 4]);
		text = gunzip(&packed, plain.body_len);
		assert_string_equal(text, plain.body);
		if (sizes[i / 4] >= 1000)
			assert_true(packed.body_len < plain.body_len);
		free(text);
		free_reply(&plain);
		free_reply(&packed);
	}
	stop_server(&server);
}

static void what_did_not_ask_for_gzip_does_not_get_it(void **state)
{
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	struct reply reply;

	(void)state;
	reply = request(&server, "GET", "/metrics", "Accept-Encoding: gzip;q=0\r\n");
	assert_field(&reply, "Content-Encoding", NULL);
	assert_body(&reply, TEXT_BODY);
	free_reply(&reply);
	reply = request(&server, "GET", "/-/healthy", "Accept-Encoding: gzip\r\n");
	assert_field(&reply, "Content-Encoding", NULL);
	free_reply(&reply);
	stop_server(&server);
}

static void blank(struct reply *reply, const char *name)
{
	char *line = strstr(reply->head, name);

	if (line)
		memset(line, '-', strcspn(line, "\r"));
}

/* The head, with the body's length where chunks carried it. */
static const char *with_length(const struct reply *reply)
{
	const char *chunked = strstr(reply->head, "Transfer-Encoding: chunked");
	static char head[8192];

	if (!chunked)
		return reply->head;
	snprintf(head, sizeof(head), "%.*sContent-Length: %zu%s",
		 (int)(chunked - reply->head), reply->head, reply->body_len,
		 chunked + strlen("Transfer-Encoding: chunked"));
	return head;
}

static void head_has_the_fields_of_get_and_no_body(void **state)
{
	static const char *const paths[] = {"/metrics", "/", "/-/healthy", "/-/ready",
					    "/nothing"};
	static const char *const fields[] = {"", "Accept-Encoding: gzip\r\n"};
	struct server server =
	    start_server("127.0.0.1:0", (struct control){.body_bytes = 100000});

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(paths) / sizeof(paths[0]); i++) {
		struct reply get = request(&server, "GET", paths[i / 2], fields[i % 2]);
		struct reply head =
		    request(&server, "HEAD", paths[i / 2], fields[i % 2]);

		blank(&get, "Date: ");
		blank(&head, "Date: ");
		assert_string_equal(head.head, with_length(&get));
		assert_true(get.body_len > 0);
		assert_int_equal(head.body_len, 0);
		free_reply(&get);
		free_reply(&head);
	}
	stop_server(&server);
}

static void other_methods_are_405_and_name_the_two_that_are_allowed(void **state)
{
	static const char *const methods[] = {"POST",  "PUT",     "DELETE",
					      "PATCH", "OPTIONS", "TRACE",
					      "get",   "HEADS",   "PROPFIND"};
	struct server server = start_server("127.0.0.1:0", (struct control){0});

	(void)state;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		struct reply reply = request(&server, methods[i], "/metrics", "");

		assert_int_equal(reply.status, 405);
		assert_field(&reply, "Allow", "GET, HEAD");
		free_reply(&reply);
		reply = request(&server, methods[i], "/nothing", "");
		assert_int_equal(reply.status, 404);
		free_reply(&reply);
	}
	assert_int_equal(server.control->metrics_calls, 0);
	stop_server(&server);
}

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

static void assert_failure(const struct server *server, const char *path)
{
	struct reply reply = request(server, "GET", path, "Accept-Encoding: gzip\r\n");

	assert_int_equal(reply.status, 500);
	assert_field(&reply, "Content-Encoding", NULL);
	assert_field(&reply, "Content-Type", "text/plain; charset=utf-8");
	assert_body(&reply, "failed: EPERM\n");
	free_reply(&reply);
}

/* The log says it when it begins, not at every scrape. */
static void a_page_that_fails_is_a_500_with_the_name_of_the_error(void **state)
{
	static const char *const paths[] = {"/metrics", "/"};
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	struct reply reply;

	(void)state;
	for (int round = 0; round < 2; round++) {
		server.control->error = -EPERM;
		for (size_t i = 0; i < 6; i++)
			assert_failure(&server, paths[i % 2]);
		server.control->error = 0;
		reply = request(&server, "GET", "/metrics", "");
		assert_body(&reply, TEXT_BODY);
		free_reply(&reply);
	}
	stop_server_that_said(&server,
			      "bpftally: error: cannot serve \"/metrics\": EPERM\n"
			      "bpftally: error: cannot serve \"/\": EPERM\n"
			      "bpftally: error: cannot serve \"/metrics\": EPERM\n");
}

static void a_status_page_above_its_ceiling_is_a_500_that_says_so(void **state)
{
	struct server server = start_server(
	    "127.0.0.1:0", (struct control){.body_bytes = (size_t)5 << 20});
	struct reply reply = request(&server, "GET", "/", "");

	(void)state;
	assert_int_equal(reply.status, 500);
	assert_body(&reply, "failed: E2BIG\n");
	free_reply(&reply);
	stop_server_that_said(&server, "bpftally: error: cannot serve \"/\": E2BIG\n");
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

static unsigned int open_descriptors(pid_t pid)
{
	unsigned int count = 0;
	char path[64];
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	folder = opendir(path);
	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count - 2; /* . and .. */
}

static bool has_descriptors_within(pid_t pid, unsigned int count, uint64_t timeout_ms)
{
	uint64_t deadline_ms = now_ms() + timeout_ms;

	while (open_descriptors(pid) != count) {
		if (now_ms() > deadline_ms)
			return false;
		poll(NULL, 0, 1);
	}
	return true;
}

/* Nobody leaves for being idle. */
static const struct control frozen = {.is_frozen = true};

#define HEALTHY "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"

static void ask(int fd)
{
	struct reply reply;

	send_string(fd, HEALTHY);
	read_reply(fd, true, &reply);
	assert_int_equal(reply.status, 200);
	free_reply(&reply);
}

static void assert_made_way(int fd)
{
	char byte;

	assert_true(is_readable_within(fd, PATIENCE_MS));
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

static void dial_until_full(const struct server *server, int *fds, size_t first)
{
	unsigned int before = open_descriptors(server->pid);

	for (size_t i = first; i < 64; i++)
		fds[i] = dial(server);
	assert_true(has_descriptors_within(
	    server->pid, before + (unsigned int)(64 - first), PATIENCE_MS));
}

static void for_a_newcomer_the_oldest_that_never_asked_goes(void **state)
{
	struct server server = start_server("127.0.0.1:0", frozen);
	int fds[64], more[64];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		fds[i] = dial(&server);
		ask(fds[i]);
	}
	dial_until_full(&server, fds, 2);
	send_string(fds[3], "GET /metr"); /* says something, asks for nothing */
	for (size_t i = 2; i < 64; i++) {
		more[i] = dial(&server);
		ask(more[i]);
		assert_made_way(fds[i]);
	}
	/* All have asked: the one that did so longest ago. */
	ask(fds[0]);
	more[0] = dial(&server);
	ask(more[0]);
	assert_made_way(fds[1]);
	ask(fds[0]);
	for (size_t i = 2; i < 64; i++)
		close(more[i]);
	close(more[0]);
	close(fds[0]);
	stop_server(&server);
}

/* Ten times as many as there are places, none of which leaves by itself. */
static void scrapers_are_answered_while_600_connections_are_held(void **state)
{
	struct server server = start_server("127.0.0.1:0", frozen);
	unsigned int before = open_descriptors(server.pid);
	int fds[600];

	(void)state;
	for (size_t i = 0; i < 600; i++) {
		fds[i] = dial(&server);
		if (i % 100 == 50)
			assert_true(is_answering(&server));
	}
	assert_true(has_descriptors_within(server.pid, before + 64, PATIENCE_MS));
	assert_true(is_answering(&server));
	for (size_t i = 0; i < 600; i++)
		close(fds[i]);
	assert_true(has_descriptors_within(server.pid, before, PATIENCE_MS));
	stop_server(&server);
}

static void a_page_on_its_way_makes_no_room(void **state)
{
	struct control control = {.body_bytes = (size_t)16 << 20};
	struct server server = start_server("127.0.0.1:0", control);
	int fd = dial(&server), silent[200];
	struct reply reply;

	(void)state;
	send_string(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(is_readable_within(fd, PATIENCE_MS));
	for (size_t i = 0; i < 200; i++)
		silent[i] = dial(&server);
	assert_true(is_answering(&server));
	read_reply(fd, true, &reply);
	assert_int_equal(reply.status, 200);
	assert_true(reply.body_len >= control.body_bytes);
	free_reply(&reply);
	for (size_t i = 0; i < 200; i++)
		close(silent[i]);
	close(fd);
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

/* The server is done with what came before. */
static void wait_for_a_turn(const struct server *server)
{
	unsigned int turns = server->control->turns;
	uint64_t deadline_ms = now_ms() + PATIENCE_MS;

	kill(server->pid, SIGUSR1);
	while (server->control->turns == turns) {
		assert_true(now_ms() < deadline_ms);
		poll(NULL, 0, 1);
	}
}

static void advance(const struct server *server, uint64_t ms)
{
	wait_for_a_turn(server);
	server->control->frozen_ms += ms;
	wait_for_a_turn(server);
}

static void assert_open(int fd)
{
	assert_false(is_readable_within(fd, 50));
}

static void assert_closed(int fd)
{
	char byte;

	assert_true(is_readable_within(fd, PATIENCE_MS));
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	close(fd);
}

/* Once the server has it: its time begins then. */
static int dial_accepted(const struct server *server)
{
	unsigned int before = open_descriptors(server->pid);
	int fd = dial(server);

	assert_true(has_descriptors_within(server->pid, before + 1, PATIENCE_MS));
	return fd;
}

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

/* One byte a second keeps idle limits away for ever. */
static void trickle_until_cut_off(const struct server *server, int fd)
{
	send_string(fd, "GET /metrics HTTP/1.1\r\nX: ");
	for (int second = 1; second < 20; second++) {
		advance(server, 1000);
		assert_open(fd);
		send_string(fd, "a");
	}
	advance(server, 999);
	assert_open(fd);
	advance(server, 1);
	assert_closed(fd);
}

static void a_request_that_trickles_is_cut_off_after_twenty_seconds(void **state)
{
	struct server server = start_server("127.0.0.1:0", frozen);
	struct reply reply;
	int fd;

	(void)state;
	trickle_until_cut_off(&server, dial_accepted(&server));
	fd = dial(&server);
	send_string(fd, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n");
	read_reply(fd, true, &reply);
	free_reply(&reply);
	trickle_until_cut_off(&server, fd);
	stop_server(&server);
}

#define SIP_BYTES 262144

/* False at the end of the stream. */
static bool sip(int fd)
{
	static char bytes[SIP_BYTES];

	return read_bytes(fd, bytes, sizeof(bytes)) == sizeof(bytes);
}

/* With each sip the server makes some progress. What it had sent when it was cut
 * off, up to what sockets hold, is still read. */
static void a_response_that_is_sipped_is_cut_off_after_sixty_seconds(void **state)
{
	struct control control = {.is_frozen = true, .body_bytes = (size_t)100 << 20};
	struct server server = start_server("127.0.0.1:0", control);
	size_t sips = 0;
	int fd = dial(&server);

	(void)state;
	send_string(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	for (; sips < 120; sips++) {
		assert_true(sip(fd));
		advance(&server, sips < 119 ? 500 : 499);
	}
	advance(&server, 1);
	while (sip(fd))
		sips++;
	assert_true(sips < control.body_bytes / SIP_BYTES);
	close(fd);
	assert_true(is_answering(&server));
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

/* --- addresses -------------------------------------------------------------- */

static int start_and_stop(const char *listen_address, unsigned int *ret_port)
{
	const struct answer_pages pages = {collect_metrics, write_status, is_ready,
					   NULL};
	struct httpd *httpd = NULL;
	struct loop *loop = NULL;
	int err;

	assert_int_equal(loop_create(&loop), 0);
	err = httpd_start(loop, listen_address, NULL, &pages, &httpd);
	if (!err)
		*ret_port = httpd_port(httpd);
	else
		assert_null(httpd);
	httpd_stop(&httpd);
	assert_null(httpd);
	loop_free(&loop);
	return err;
}

static void what_cannot_be_listened_on_is_the_error_of_bind(void **state)
{
	struct server server = start_server(":0", (struct control){0});
	unsigned int port = 0;
	char taken[2][64];

	(void)state;
	snprintf(taken[0], sizeof(taken[0]), ":%u", server.port);
	snprintf(taken[1], sizeof(taken[1]), "127.0.0.1:%u", server.port);
	assert_int_equal(start_and_stop(taken[0], &port), -EADDRINUSE);
	assert_int_equal(start_and_stop(taken[1], &port), -EADDRINUSE);
	assert_int_equal(start_and_stop("192.0.2.1:0", &port), -EADDRNOTAVAIL);
	assert_int_equal(start_and_stop("9965", &port), -EINVAL);
	assert_int_equal(start_and_stop("localhost:9965", &port), -EINVAL);
	stop_server(&server);
}

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

static void a_port_can_be_listened_on_again_at_once(void **state)
{
	struct server server = start_server("127.0.0.1:0", (struct control){0});
	unsigned int again = 0, port = server.port;
	char address[64];

	(void)state;
	assert_true(is_answering(&server)); /* leaves a TIME_WAIT behind */
	stop_server(&server);
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_int_equal(start_and_stop(address, &again), 0);
	assert_int_equal(again, port);
}

static bool is_reachable_by_ipv6(const struct server *server)
{
	struct sockaddr_in6 address = {
	    .sin6_family = AF_INET6,
	    .sin6_port = htons((in_port_t)server->port),
	    .sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct reply reply;
	bool reachable;

	reachable = !connect(fd, (const struct sockaddr *)&address, sizeof(address));
	if (reachable) {
		send_string(fd, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n");
		read_reply(fd, true, &reply);
		assert_int_equal(reply.status, 200);
		free_reply(&reply);
	}
	close(fd);
	return reachable;
}

static void a_port_alone_is_every_address_of_both_families(void **state)
{
	struct server server = start_server(":0", (struct control){0});

	(void)state;
	assert_true(is_answering(&server));
	assert_true(is_reachable_by_ipv6(&server));
	stop_server(&server);
	server = start_server("127.0.0.1:0", (struct control){0});
	assert_false(is_reachable_by_ipv6(&server));
	stop_server(&server);
	server = start_server("[::1]:0", (struct control){0});
	assert_true(is_reachable_by_ipv6(&server));
	stop_server(&server);
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
	    cmocka_unit_test(every_path_has_its_answer),
	    cmocka_unit_test(ready_follows_the_callback),
	    cmocka_unit_test(accept_chooses_format_and_content_type),
	    cmocka_unit_test(who_asks_for_protobuf_gets_delimited_messages),
	    cmocka_unit_test(gzip_holds_the_same_bytes_at_every_size),
	    cmocka_unit_test(what_did_not_ask_for_gzip_does_not_get_it),
	    cmocka_unit_test(head_has_the_fields_of_get_and_no_body),
	    cmocka_unit_test(other_methods_are_405_and_name_the_two_that_are_allowed),
	    cmocka_unit_test(a_body_is_thrown_away_and_the_next_request_answered),
	    cmocka_unit_test(a_body_without_end_ends_the_connection),
	    cmocka_unit_test(a_page_that_fails_is_a_500_with_the_name_of_the_error),
	    cmocka_unit_test(a_status_page_above_its_ceiling_is_a_500_that_says_so),
	    cmocka_unit_test(a_body_that_cannot_be_finished_is_cut_and_logged_once),
	    cmocka_unit_test(a_body_of_any_length_is_sent_in_little_memory),
	    cmocka_unit_test(four_pages_are_sent_at_a_time),
	    cmocka_unit_test(a_client_of_http_1_0_reads_to_the_end_of_the_connection),
	    cmocka_unit_test(a_kept_connection_answers_pipelined_requests_in_order),
	    cmocka_unit_test(a_request_cut_at_every_byte_is_answered),
	    cmocka_unit_test(heads_up_to_16_kb_are_read_and_giant_ones_refused),
	    cmocka_unit_test(garbage_does_not_stop_the_server),
	    cmocka_unit_test(for_a_newcomer_the_oldest_that_never_asked_goes),
	    cmocka_unit_test(scrapers_are_answered_while_600_connections_are_held),
	    cmocka_unit_test(a_page_on_its_way_makes_no_room),
	    cmocka_unit_test(after_a_full_house_has_left_newcomers_are_answered),
	    cmocka_unit_test(a_crowd_beyond_the_backlog_leaves_the_server_working),
	    cmocka_unit_test(every_path_asks_for_a_password),
	    cmocka_unit_test(a_kept_connection_is_asked_with_each_request),
	    cmocka_unit_test(new_users_and_headers_hold_from_the_next_request_on),
	    cmocka_unit_test(headers_of_the_file_replace_ours),
	    cmocka_unit_test(who_is_known_is_answered_among_those_who_guess),
	    cmocka_unit_test(stopping_while_passwords_are_checked_leaves_nothing),
	    cmocka_unit_test(a_connection_is_closed_after_ten_idle_seconds),
	    cmocka_unit_test(a_request_that_trickles_is_cut_off_after_twenty_seconds),
	    cmocka_unit_test(a_response_that_is_sipped_is_cut_off_after_sixty_seconds),
	    cmocka_unit_test(a_server_without_connections_does_not_wake),
	    cmocka_unit_test(a_kept_connection_wakes_the_server_only_to_be_closed),
	    cmocka_unit_test(what_cannot_be_listened_on_is_the_error_of_bind),
	    cmocka_unit_test(
		every_descriptor_that_start_opened_is_closed_on_any_failure),
	    cmocka_unit_test(descriptors_that_ran_out_are_told_once),
	    cmocka_unit_test(a_port_can_be_listened_on_again_at_once),
	    cmocka_unit_test(a_port_alone_is_every_address_of_both_families),
	    cmocka_unit_test(stopping_with_connections_and_bodies_open_leaves_nothing),
	};

	alarm(300); /* a server that never answers is a failure too */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
