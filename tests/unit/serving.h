/* SPDX-License-Identifier: Apache-2.0 */
/* The real HTTP server in a forked process with its own loop; clients over loopback.
 * Its clocks are the test's: time can run faster there, or stand still until the
 * test moves it (struct control). */
#pragma once

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

static inline unsigned int speed(void)
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

static inline uint64_t now_ms(void)
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

static inline struct label_set long_label(struct snapshot *snapshot, size_t bytes)
{
	char *value = snapshot_alloc(snapshot, bytes + 1);
	struct label label = {"a", value};

	memset(value, 'a', bytes);
	return snapshot_labels(snapshot, &label, 1);
}

/* The snapshot is a thousandth of its text: every line repeats the label. */
static inline void add_many(struct snapshot *snapshot, size_t bytes)
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

static inline void add_random(struct snapshot *snapshot, size_t bytes)
{
	unsigned int seed = 1;

	for (size_t len = 0; len < bytes; len += strlen("one 0.12345\n"))
		snapshot_value(snapshot, &one, (struct label_set){0},
			       rand_r(&seed) / 2147483648.0);
}

static inline int page_metrics(void *context, struct snapshot *ret_snapshot)
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

static inline int page_status(void *context, struct buf *ret_html)
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

static inline bool page_ready(void *context)
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
static inline void on_signal(void *context, uint32_t events)
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
static inline int serve(const char *listen_address, struct control *control,
			int port_pipe)
{
	const struct answer_pages pages = {page_metrics, page_status, page_ready,
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

static inline struct server start_server(const char *listen_address,
					 struct control control)
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

static inline void stop_server_that_said(struct server *server, const char *expected)
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

static inline void stop_server(struct server *server)
{
	stop_server_that_said(server, "");
}

/* --- the client ------------------------------------------------------------ */

static inline int dial(const struct server *server)
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

static inline void send_string(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

static inline bool is_readable_within(int fd, int timeout_ms)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};

	return poll(&poller, 1, timeout_ms) == 1;
}

/* The value of a header field, or NULL. */
static inline const char *field(const struct reply *reply, const char *name)
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

static inline void assert_field(const struct reply *reply, const char *name,
				const char *expected)
{
	const char *value = field(reply, name);

	if (!expected && !value)
		return;
	if (!expected || !value || strcmp(value, expected))
		fail_msg("%s: %s, not %s", name, value ? value : "none",
			 expected ? expected : "none");
}

/* Reads one head, byte by byte, so as not to take what follows it. */
static inline void read_head(int fd, struct reply *ret_reply)
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
static inline size_t read_bytes(int fd, char *ret_bytes, size_t len)
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
static inline bool read_chunk_size(int fd, size_t *ret_size)
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
static inline bool read_chunks(int fd, struct reply *reply)
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

static inline void read_counted(int fd, struct reply *reply)
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

static inline void read_reply(int fd, bool has_body, struct reply *ret_reply)
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
static inline struct reply request(const struct server *server, const char *method,
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

static inline void free_reply(struct reply *reply)
{
	free(reply->body);
	reply->body = NULL;
}

static inline void assert_body(const struct reply *reply, const char *expected)
{
	assert_int_equal(reply->body_len, strlen(expected));
	assert_string_equal(reply->body, expected);
}

static inline bool is_answering(const struct server *server)
{
	struct reply reply = request(server, "GET", "/-/healthy", "");
	bool answer = reply.status == 200;

	free_reply(&reply);
	return answer;
}

/* --- what becomes of its connections, and when ----------------------------- */

static inline unsigned int open_descriptors(pid_t pid)
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

static inline bool has_descriptors_within(pid_t pid, unsigned int count,
					  uint64_t timeout_ms)
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

static inline int start_and_stop(const char *listen_address, unsigned int *ret_port)
{
	const struct answer_pages pages = {page_metrics, page_status, page_ready, NULL};
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

/* The server is done with what came before. */
static inline void wait_for_a_turn(const struct server *server)
{
	unsigned int turns = server->control->turns;
	uint64_t deadline_ms = now_ms() + PATIENCE_MS;

	kill(server->pid, SIGUSR1);
	while (server->control->turns == turns) {
		assert_true(now_ms() < deadline_ms);
		poll(NULL, 0, 1);
	}
}

static inline void advance(const struct server *server, uint64_t ms)
{
	wait_for_a_turn(server);
	server->control->frozen_ms += ms;
	wait_for_a_turn(server);
}

static inline void assert_open(int fd)
{
	assert_false(is_readable_within(fd, 50));
}

static inline void assert_closed(int fd)
{
	char byte;

	assert_true(is_readable_within(fd, PATIENCE_MS));
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	close(fd);
}

/* Once the server has it: its time begins then. */
static inline int dial_accepted(const struct server *server)
{
	unsigned int before = open_descriptors(server->pid);
	int fd = dial(server);

	assert_true(has_descriptors_within(server->pid, before + 1, PATIENCE_MS));
	return fd;
}
