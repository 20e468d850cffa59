/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - makes HTTP/1.1 requests whose number is known beforehand, and says
 * what became of each: sent, completed, by status, errors. It exists because
 * tests compare counts with ==: a request is never repeated, a response only
 * completes when its last byte was read, and completed + errors is always what
 * was asked for.
 *
 * One thread, one epoll. With --pipeline D a connection writes D requests at
 * once and writes the next D when all are answered. Requests behind a response
 * that closes the connection are errors: nobody can know whether they ran.
 *
 * With --rate requests are due at fixed times, whether or not earlier ones were
 * answered, and a latency counts from then: a server that pauses shows in all the
 * requests that waited for it. Else it loads as fast as the answers come.
 *
 * Not here: TLS, HTTP/2.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

#define CONNECTIONS_MAX 28000 /* as many as one address has ports */
#define CONNECTING_MAX 128    /* at once, so that no backlog is full */
#define PIPELINE_MAX 64
#define REQUESTS_MAX 1000000000u
#define RATE_MAX 10000000u
#define SPIN_NS 100000 /* a sleep may last that much longer than asked for */
#define BATCH_BYTES_MAX (64u << 20) /* what one connection has to write at once */
#define PATHS_BYTES_MAX (64u << 20)
#define HEAD_BYTES 256 /* a request head, less path, host and method */
#define LINE_MAX_BYTES 1024
#define READ_BYTES (64u << 10)
#define EVENTS 64
#define STATUS_MIN 100
#define STATUS_MAX 599

/* Log-linear: 128 steps an octave, so a percentile is at most 0.8 % too high. */
#define STEP_BITS 7
#define STEPS (1u << STEP_BITS)
#define LATENCY_BUCKETS ((64 - STEP_BITS + 1) * STEPS)

enum part {
	PART_STATUS,
	PART_HEADER,
	PART_BODY,
	PART_CHUNK_SIZE,
	PART_CHUNK_DATA,
	PART_CHUNK_END,
	PART_TRAILER,
	PART_UNTIL_CLOSE,
};

struct options {
	uint32_t connections;
	uint32_t requests;
	uint32_t pipeline;
	uint32_t body_bytes;
	uint32_t timeout_s;
	uint32_t rate; /* requests a second; 0: as fast as answers come */
	bool close_each;
	bool hold;
	const char *method;
	const char *host; /* of the Host header */
	char **paths;
	size_t path_count;
	char *paths_text; /* what paths point into, when from a file */
	struct sockaddr_storage address;
	socklen_t address_len;
};

struct response {
	enum part part;
	int status;
	bool chunked;
	bool has_length;
	bool closes;
	uint64_t left; /* of the body or chunk */
	size_t line_len;
	char line[LINE_MAX_BYTES]; /* what is longer is cut: no header we read is */
};

struct connection {
	int fd;
	uint32_t events;      /* what epoll was asked for */
	uint32_t batch;       /* requests in `out` */
	uint32_t unanswered;  /* of them */
	uint32_t handed_over; /* of them, wholly written */
	bool connecting;
	bool rests; /* is among the resting */
	uint64_t started_ns;
	uint64_t due_ns; /* with --rate */
	size_t out_len;
	size_t out_sent;
	size_t ends[PIPELINE_MAX]; /* offset in `out` behind each request */
	char *out;
	struct response response;
};

struct load {
	const struct options *options;
	int epoll_fd;
	uint32_t opened; /* connections that had their turn */
	uint32_t connecting;
	uint32_t unstarted;
	uint64_t started_ns;
	uint64_t next_path;
	uint64_t sent;
	uint64_t completed;
	uint64_t errors;
	bool error_was_told;
	uint64_t status[STATUS_MAX + 1];
	uint64_t latency[LATENCY_BUCKETS];
	size_t out_size;
	struct connection *connections;
	struct connection **resting; /* a ring: all shall be used */
	uint32_t resting_first;
	uint32_t resting_count;
	char input[READ_BYTES];
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- latencies ------------------------------------------------------------ */

static uint32_t latency_bucket(uint64_t ns)
{
	uint32_t shift;

	if (ns < STEPS)
		return (uint32_t)ns;
	shift = 63 - (uint32_t)__builtin_clzll(ns) - STEP_BITS;
	return (shift + 1) * STEPS + (uint32_t)(ns >> shift) - STEPS;
}

static uint64_t latency_bucket_end(uint32_t bucket)
{
	uint32_t shift;

	if (bucket < STEPS)
		return bucket;
	shift = bucket / STEPS - 1;
	return ((uint64_t)(STEPS + bucket % STEPS + 1) << shift) - 1;
}

static uint64_t latency_percentile(const struct load *load, uint32_t per_mille)
{
	uint64_t rank = (load->completed * per_mille + 999) / 1000;
	uint64_t seen = 0;

	for (uint32_t i = 0; i < LATENCY_BUCKETS && rank; i++) {
		seen += load->latency[i];
		if (seen >= rank)
			return latency_bucket_end(i);
	}
	return 0;
}

/* --- responses ------------------------------------------------------------ */

static void response_begin(struct response *response)
{
	response->part = PART_STATUS;
	response->status = 0;
	response->chunked = false;
	response->has_length = false;
	response->closes = false;
	response->left = 0;
	response->line_len = 0;
}

static int response_status_line(struct response *response)
{
	int minor, status;

	if (sscanf(response->line, "HTTP/1.%1d %3d", &minor, &status) != 2 ||
	    status < STATUS_MIN || status > STATUS_MAX)
		return -EPROTO;
	response->status = status;
	response->closes = minor == 0;
	response->part = PART_HEADER;
	return 0;
}

static int parse_length(const char *text, int base, uint64_t *ret_length)
{
	char *end;
	unsigned long long length;

	if (!strchr(base == 16 ? "0123456789abcdefABCDEF" : "0123456789", *text) ||
	    !*text)
		return -EPROTO;
	errno = 0;
	length = strtoull(text, &end, base);
	if (errno || (*end && !strchr(" \t;", *end)))
		return -EPROTO;
	*ret_length = length;
	return 0;
}

static const char *header_value(const char *line, const char *name)
{
	size_t len = strlen(name);

	if (strncasecmp(line, name, len) || line[len] != ':')
		return NULL;
	return line + len + 1 + strspn(line + len + 1, " \t");
}

static int response_header_line(struct response *response)
{
	const char *value;

	if ((value = header_value(response->line, "Content-Length"))) {
		response->has_length = true;
		return parse_length(value, 10, &response->left);
	}
	if ((value = header_value(response->line, "Transfer-Encoding")))
		response->chunked = strcasestr(value, "chunked");
	if ((value = header_value(response->line, "Connection"))) {
		if (strcasestr(value, "close"))
			response->closes = true;
		else if (strcasestr(value, "keep-alive"))
			response->closes = false;
	}
	return 0;
}

static bool response_has_no_body(const struct response *response, bool is_head)
{
	return is_head || response->status == 204 || response->status == 304 ||
	       response->status == 101;
}

/* The empty line: what follows? RFC 9112 6.3. Returns whether nothing does. */
static bool response_headers_end(struct response *response, bool is_head)
{
	if (response->status < 200 && response->status != 101) {
		response_begin(response);
		return false;
	}
	if (response->status == 101)
		response->closes = true;
	if (response_has_no_body(response, is_head))
		return true;
	if (response->chunked) {
		response->part = PART_CHUNK_SIZE;
		return false;
	}
	if (response->has_length) {
		response->part = PART_BODY;
		return response->left == 0;
	}
	response->part = PART_UNTIL_CLOSE;
	response->closes = true;
	return false;
}

static int response_chunk_line(struct response *response)
{
	int err = parse_length(response->line, 16, &response->left);

	if (err)
		return err;
	response->part = response->left ? PART_CHUNK_DATA : PART_TRAILER;
	return 0;
}

/* One whole line. 1: the response is complete, 0: not yet, negative: broken. */
static int response_line(struct response *response, bool is_head)
{
	bool is_empty = response->line[0] == '\0';

	switch (response->part) {
	case PART_STATUS:
		return response_status_line(response);
	case PART_HEADER:
		if (is_empty)
			return response_headers_end(response, is_head);
		return response_header_line(response);
	case PART_CHUNK_SIZE:
		return response_chunk_line(response);
	case PART_CHUNK_END:
		response->part = PART_CHUNK_SIZE;
		return is_empty ? 0 : -EPROTO;
	case PART_TRAILER:
		return is_empty;
	default:
		return -EPROTO;
	}
}

/* Gathers bytes up to the end of a line; true when it is there, without CR LF. */
static bool response_take_line(struct response *response, const char **data,
			       size_t *len)
{
	const char *end = memchr(*data, '\n', *len);
	size_t taken = end ? (size_t)(end - *data) + 1 : *len;
	size_t room = sizeof(response->line) - 1 - response->line_len;
	size_t kept = taken < room ? taken : room;

	memcpy(response->line + response->line_len, *data, kept);
	response->line_len += kept;
	*data += taken;
	*len -= taken;
	if (!end)
		return false;
	while (response->line_len &&
	       strchr("\r\n", response->line[response->line_len - 1]))
		response->line_len--;
	response->line[response->line_len] = '\0';
	response->line_len = 0;
	return true;
}

/* Body bytes by their number. Returns whether that completes the response. */
static bool response_take_body(struct response *response, const char **data,
			       size_t *len)
{
	size_t taken = *len;

	if (response->part != PART_UNTIL_CLOSE) {
		if (taken > response->left)
			taken = (size_t)response->left;
		response->left -= taken;
	}
	*data += taken;
	*len -= taken;
	if (response->part == PART_UNTIL_CLOSE || response->left)
		return false;
	if (response->part == PART_BODY)
		return true;
	response->part = PART_CHUNK_END;
	return false;
}

/* Takes bytes up to the end of one response: 1 complete, 0 more needed. */
static int response_feed(struct response *response, bool is_head, const char **data,
			 size_t *len)
{
	int done = 0;

	while (*len && !done) {
		switch (response->part) {
		case PART_BODY:
		case PART_CHUNK_DATA:
		case PART_UNTIL_CLOSE:
			done = response_take_body(response, data, len);
			break;
		default:
			if (response_take_line(response, data, len))
				done = response_line(response, is_head);
		}
	}
	return done;
}

/* --- connections ---------------------------------------------------------- */

/* Only the first is told: they come in thousands, and the sum is in the result. */
static void load_tell_error(struct load *load, const char *what, int err)
{
	if (load->error_was_told)
		return;
	load->error_was_told = true;
	fprintf(stderr, "load: first error: %s: %s\n", what, strerror(err));
}

static void connection_render(struct load *load, struct connection *connection)
{
	const struct options *options = load->options;
	size_t len = 0;

	for (uint32_t i = 0; i < connection->batch; i++) {
		const char *path =
		    options->paths[load->next_path++ % options->path_count];

		len += (size_t)snprintf(
		    connection->out + len, load->out_size - len,
		    "%s %s HTTP/1.1\r\nHost: %s\r\n%s", options->method, path,
		    options->host, options->close_each ? "Connection: close\r\n" : "");
		if (options->body_bytes)
			len += (size_t)snprintf(
			    connection->out + len, load->out_size - len,
			    "Content-Length: %u\r\n", options->body_bytes);
		memcpy(connection->out + len, "\r\n", 2);
		len += 2;
		memset(connection->out + len, 'x', options->body_bytes);
		len += options->body_bytes;
		connection->ends[i] = len;
	}
	connection->out_len = len;
	connection->out_sent = 0;
}

/* When the next request has to be made: at once, without a rate. */
static uint64_t load_due_ns(const struct load *load)
{
	uint64_t index = load->options->requests - load->unstarted;

	if (!load->options->rate)
		return 0;
	return load->started_ns + index * UINT64_C(1000000000) / load->options->rate;
}

/* Takes the next requests to make; false when all were taken, or none is due. */
static bool connection_take_batch(struct load *load, struct connection *connection)
{
	uint32_t batch = load->options->pipeline;

	if (batch > load->unstarted)
		batch = load->unstarted;
	if (!batch || (load->options->hold && connection->batch))
		return false;
	connection->due_ns = load_due_ns(load);
	if (connection->due_ns > now_ns())
		return false;
	load->unstarted -= batch;
	connection->batch = batch;
	connection->unanswered = batch;
	connection->handed_over = 0;
	connection->started_ns = 0;
	connection_render(load, connection);
	response_begin(&connection->response);
	return true;
}

static void connection_close(struct load *load, struct connection *connection)
{
	load->errors += connection->unanswered;
	connection->unanswered = 0;
	load->connecting -= connection->connecting;
	connection->connecting = false;
	if (connection->fd >= 0)
		close(connection->fd);
	connection->fd = -1;
}

static int connection_watch(struct load *load, struct connection *connection,
			    uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = connection};
	int op = connection->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (connection->events == events)
		return 0;
	if (epoll_ctl(load->epoll_fd, op, connection->fd, &event))
		return -errno;
	connection->events = events;
	return 0;
}

/* A Unix socket with a full backlog refuses a non-blocking connect with EAGAIN
 * and tells nobody when there is room: that one connects blocking. */
static int connection_connect(struct load *load, struct connection *connection)
{
	const struct options *options = load->options;
	bool is_unix = options->address.ss_family == AF_UNIX;
	int flags = SOCK_STREAM | SOCK_CLOEXEC | (is_unix ? 0 : SOCK_NONBLOCK);
	int on = 1;

	connection->events = 0;
	connection->fd = socket(options->address.ss_family, flags, 0);
	if (connection->fd < 0)
		return -errno;
	if (!is_unix)
		setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(connection->fd, (const struct sockaddr *)&options->address,
		    options->address_len) &&
	    errno != EINPROGRESS)
		return -errno;
	connection->connecting = true;
	load->connecting++;
	return connection_watch(load, connection, EPOLLIN | EPOLLOUT);
}

static int connection_write(struct load *load, struct connection *connection)
{
	load->connecting -= connection->connecting;
	connection->connecting = false;
	if (!connection->started_ns)
		connection->started_ns = now_ns();
	while (connection->out_sent < connection->out_len) {
		ssize_t sent =
		    send(connection->fd, connection->out + connection->out_sent,
			 connection->out_len - connection->out_sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EAGAIN)
			return connection_watch(load, connection, EPOLLIN | EPOLLOUT);
		if (sent < 0)
			return -errno;
		connection->out_sent += (size_t)sent;
		while (connection->handed_over < connection->batch &&
		       connection->ends[connection->handed_over] <=
			   connection->out_sent) {
			connection->handed_over++;
			load->sent++;
		}
	}
	return connection_watch(load, connection, EPOLLIN);
}

/* There is nothing for it to do now: waits for its turn, or has had its last. */
static void connection_rest(struct load *load, struct connection *connection)
{
	uint32_t end = load->resting_first + load->resting_count;

	if (!load->options->hold && !load->unstarted)
		connection_close(load, connection);
	if (connection->rests || !load->unstarted || load->options->hold)
		return;
	connection->rests = true;
	load->resting[end % load->options->connections] = connection;
	load->resting_count++;
}

/* The next requests, over the connection there is or a new one. */
static void connection_go_on(struct load *load, struct connection *connection)
{
	while (connection_take_batch(load, connection)) {
		bool is_open = connection->fd >= 0;
		int err = is_open ? connection_write(load, connection)
				  : connection_connect(load, connection);

		if (!err)
			return;
		load_tell_error(load, is_open ? "send" : "connect", -err);
		connection_close(load, connection);
	}
	connection_rest(load, connection);
}

static void connection_fail(struct load *load, struct connection *connection,
			    const char *what, int err)
{
	load_tell_error(load, what, err);
	connection_close(load, connection);
	connection_go_on(load, connection);
}

static void connection_count(struct load *load, struct connection *connection)
{
	uint64_t from_ns =
	    connection->due_ns ? connection->due_ns : connection->started_ns;
	uint64_t ns = now_ns() - from_ns;

	load->latency[latency_bucket(ns)]++;
	load->status[connection->response.status]++;
	load->completed++;
	connection->unanswered--;
}

/* 0: go on, 1: the batch is answered, negative: broken. */
static int connection_feed(struct load *load, struct connection *connection,
			   const char *data, size_t len)
{
	bool is_head = !strcmp(load->options->method, "HEAD");

	while (len) {
		int done;

		if (!connection->unanswered)
			return -EPROTO;
		done = response_feed(&connection->response, is_head, &data, &len);
		if (done < 0)
			return done;
		if (!done)
			continue;
		connection_count(load, connection);
		if (connection->response.closes)
			return connection->unanswered ? -ECONNRESET : 1;
		if (connection->unanswered)
			response_begin(&connection->response);
	}
	return !connection->unanswered;
}

static int connection_end_of_file(struct load *load, struct connection *connection)
{
	if (connection->response.part != PART_UNTIL_CLOSE)
		return -ECONNRESET;
	connection_count(load, connection);
	return connection->unanswered ? -ECONNRESET : 1;
}

static int connection_read(struct load *load, struct connection *connection)
{
	ssize_t len =
	    recv(connection->fd, load->input, sizeof(load->input), MSG_DONTWAIT);

	if (len < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (len == 0)
		return connection_end_of_file(load, connection);
	return connection_feed(load, connection, load->input, (size_t)len);
}

static void connection_next(struct load *load, struct connection *connection)
{
	if (load->options->close_each || connection->response.closes)
		connection_close(load, connection);
	connection_go_on(load, connection);
}

static int connection_socket_error(const struct connection *connection)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		return errno;
	return err;
}

static void connection_handle(struct load *load, struct connection *connection,
			      uint32_t events)
{
	int err;

	if (connection->fd < 0)
		return;
	if (!connection->unanswered) { /* the server closes what rests */
		connection_close(load, connection);
		return;
	}
	/* Behind an error of an established connection may be a whole response,
	 * which reading gives first. */
	if ((events & EPOLLERR) && !connection->started_ns) {
		err = connection_socket_error(connection);
		connection_fail(load, connection, "connect", err ? err : EIO);
		return;
	}
	if ((events & EPOLLOUT) && !(events & EPOLLERR)) {
		err = connection_write(load, connection);
		if (err) {
			connection_fail(load, connection, "send", -err);
			return;
		}
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	err = connection_read(load, connection);
	if (err < 0)
		connection_fail(load, connection, "response", -err);
	else if (err)
		connection_next(load, connection);
}

/* --- the run -------------------------------------------------------------- */

static bool load_is_done(const struct load *load)
{
	return load->completed + load->errors == load->options->requests;
}

/* What is not answered by the deadline is an error, so that this ends. */
static void load_give_up(struct load *load)
{
	load_tell_error(load, "waiting for answers", ETIMEDOUT);
	load->errors += load->unstarted;
	load->unstarted = 0;
	for (uint32_t i = 0; i < load->options->connections; i++)
		connection_close(load, &load->connections[i]);
}

/* Gives connections their first turn, and those that rest what is due. */
static void load_go_on(struct load *load)
{
	while (load->opened < load->options->connections &&
	       load->connecting < CONNECTING_MAX)
		connection_go_on(load, &load->connections[load->opened++]);
	while (load->resting_count && load->unstarted &&
	       load_due_ns(load) <= now_ns()) {
		struct connection *connection = load->resting[load->resting_first];

		load->resting_first =
		    (load->resting_first + 1) % load->options->connections;
		load->resting_count--;
		connection->rests = false;
		connection_go_on(load, connection);
	}
}

/* Until the next request is due, if a connection is free for it, or the end. Less
 * than a sleep can be relied on for is spent awake. */
static struct timespec load_patience(const struct load *load, uint64_t deadline_ns)
{
	uint64_t now = now_ns();
	uint64_t until = deadline_ns;
	uint64_t left;

	if (load->options->rate && load->resting_count && load->unstarted &&
	    load_due_ns(load) < until)
		until = load_due_ns(load) - SPIN_NS;
	left = until > now ? until - now : 0;
	return (struct timespec){.tv_sec = (time_t)(left / 1000000000),
				 .tv_nsec = (long)(left % 1000000000)};
}

static int load_run(struct load *load)
{
	struct epoll_event events[EVENTS];
	uint64_t deadline_ns;

	load->started_ns = now_ns();
	deadline_ns =
	    load->started_ns + load->options->timeout_s * UINT64_C(1000000000);
	while (!load_is_done(load)) {
		struct timespec patience;
		int count;

		if (now_ns() >= deadline_ns) {
			load_give_up(load);
			break;
		}
		load_go_on(load);
		patience = load_patience(load, deadline_ns);
		count = epoll_pwait2(load->epoll_fd, events, EVENTS, &patience, NULL);
		if (count < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < count; i++)
			connection_handle(load, events[i].data.ptr, events[i].events);
	}
	return 0;
}

static size_t longest_path(const struct options *options)
{
	size_t longest = 0;

	for (size_t i = 0; i < options->path_count; i++) {
		size_t len = strlen(options->paths[i]);

		longest = len > longest ? len : longest;
	}
	return longest;
}

static int load_prepare(struct load *load)
{
	const struct options *options = load->options;

	load->unstarted = options->requests;
	load->out_size = options->pipeline *
			 (HEAD_BYTES + longest_path(options) + strlen(options->host) +
			  strlen(options->method) + options->body_bytes);
	if (load->out_size > BATCH_BYTES_MAX)
		return -E2BIG;
	load->connections = calloc(options->connections, sizeof(*load->connections));
	load->resting = calloc(options->connections, sizeof(struct connection *));
	if (!load->connections || !load->resting)
		return -ENOMEM;
	for (uint32_t i = 0; i < options->connections; i++)
		load->connections[i].fd = -1;
	for (uint32_t i = 0; i < options->connections; i++) {
		load->connections[i].out = malloc(load->out_size);
		if (!load->connections[i].out)
			return -ENOMEM;
	}
	load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return load->epoll_fd < 0 ? -errno : 0;
}

static void load_free(struct load **load)
{
	if (!*load)
		return;
	for (uint32_t i = 0; (*load)->connections && i < (*load)->options->connections;
	     i++) {
		if ((*load)->connections[i].fd >= 0)
			close((*load)->connections[i].fd);
		free((*load)->connections[i].out);
	}
	free((*load)->connections);
	free((*load)->resting);
	if ((*load)->epoll_fd >= 0)
		close((*load)->epoll_fd);
	free(*load);
	*load = NULL;
}

static void load_print(const struct load *load, uint64_t elapsed_ns)
{
	const char *separator = "";

	printf("{\"sent\": %" PRIu64 ", \"completed\": %" PRIu64
	       ", \"errors\": %" PRIu64 ", \"status\": {",
	       load->sent, load->completed, load->errors);
	for (int i = STATUS_MIN; i <= STATUS_MAX; i++) {
		if (!load->status[i])
			continue;
		printf("%s\"%d\": %" PRIu64, separator, i, load->status[i]);
		separator = ", ";
	}
	printf("}, \"seconds\": %.6f, \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64
	       ", \"p999_ns\": %" PRIu64 "}\n",
	       (double)elapsed_ns / 1e9, latency_percentile(load, 500),
	       latency_percentile(load, 990), latency_percentile(load, 999));
	fflush(stdout);
}

/* --- command line --------------------------------------------------------- */

static const char usage[] =
    "Usage: load [options] HOST:PORT | unix:PATH\n"
    "  -n, --requests N     how many in all (1)\n"
    "  -c, --connections N  at the same time (1)\n"
    "      --path PATH      what to ask for (/)\n"
    "      --paths FILE     one path a line, asked for in turn\n"
    "      --method NAME    (GET)\n"
    "      --body BYTES     length of each request's body (0)\n"
    "      --pipeline N     requests written at once on a connection (1)\n"
    "      --keep-alive     many requests on a connection (the default)\n"
    "      --close          one request on a connection\n"
    "      --rate N         requests a second, due at fixed times; latencies count\n"
    "                       from then (as fast as answers come, from the send)\n"
    "      --hold           one request on each connection, which stay open until\n"
    "                       this is killed\n"
    "      --timeout S      give up then; the rest counts as errors (60)\n"
    "Prints one JSON object. Exit status: 0 all completed, 1 not all, 2 usage.\n"
    "p50_ns, p99_ns and p999_ns are at most 0.8 % too high.\n";

static int parse_number(const char *text, uint32_t max, uint32_t *ret_number)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || number > max)
		return -EINVAL;
	*ret_number = (uint32_t)number;
	return 0;
}

static int address_unix(const char *path, struct options *options)
{
	struct sockaddr_un *address = (struct sockaddr_un *)&options->address;

	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, strlen(path) + 1);
	options->address_len = sizeof(*address);
	options->host = "localhost";
	return 0;
}

static int address_tcp(const char *target, struct options *options)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	const char *colon = strrchr(target, ':');
	AUTO_FREE char *host = NULL;
	size_t len;

	if (!colon)
		return -EINVAL;
	len = (size_t)(colon - target);
	if (len >= 2 && target[0] == '[' && target[len - 1] == ']')
		host = strndup(target + 1, len - 2);
	else
		host = strndup(target, len);
	if (!host)
		return -ENOMEM;
	if (getaddrinfo(host, colon + 1, &hints, &found))
		return -EHOSTUNREACH;
	memcpy(&options->address, found->ai_addr, found->ai_addrlen);
	options->address_len = found->ai_addrlen;
	freeaddrinfo(found);
	options->host = target;
	return 0;
}

static int address_parse(const char *target, struct options *options)
{
	if (!strncmp(target, "unix:", 5))
		return address_unix(target + 5, options);
	return address_tcp(target, options);
}

static int read_file(const char *name, char **ret_text)
{
	AUTO_FCLOSE FILE *file = fopen(name, "re");
	AUTO_FREE char *text = NULL;
	size_t len;

	if (!file)
		return -errno;
	text = malloc(PATHS_BYTES_MAX + 1);
	if (!text)
		return -ENOMEM;
	len = fread(text, 1, PATHS_BYTES_MAX + 1, file);
	if (ferror(file))
		return -EIO;
	if (len > PATHS_BYTES_MAX)
		return -EFBIG;
	text[len] = '\0';
	*ret_text = TAKE(text);
	return 0;
}

static size_t count_lines(const char *text)
{
	size_t lines = 1;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* Empty lines are passed over; a path starts with a slash or is "*". */
static int paths_read(const char *name, struct options *options)
{
	char *rest = NULL;
	char *line;
	size_t count = 0;
	int err = read_file(name, &options->paths_text);

	if (err)
		return err;
	options->paths =
	    calloc(count_lines(options->paths_text), sizeof(*options->paths));
	if (!options->paths)
		return -ENOMEM;
	for (line = strtok_r(options->paths_text, "\r\n", &rest); line;
	     line = strtok_r(NULL, "\r\n", &rest)) {
		if (*line != '/' && strcmp(line, "*"))
			return -EINVAL;
		options->paths[count++] = line;
	}
	options->path_count = count;
	return count ? 0 : -ENODATA;
}

static int paths_one(const char *path, struct options *options)
{
	options->paths = calloc(1, sizeof(*options->paths));
	if (!options->paths)
		return -ENOMEM;
	options->paths_text = strdup(path);
	if (!options->paths_text)
		return -ENOMEM;
	options->paths[0] = options->paths_text;
	options->path_count = 1;
	return 0;
}

enum {
	OPTION_PATH = 256,
	OPTION_PATHS,
	OPTION_METHOD,
	OPTION_BODY,
	OPTION_PIPELINE,
	OPTION_KEEP_ALIVE,
	OPTION_CLOSE,
	OPTION_RATE,
	OPTION_HOLD,
	OPTION_TIMEOUT
};

static const struct option long_options[] = {
    {"requests", required_argument, NULL, 'n'},
    {"connections", required_argument, NULL, 'c'},
    {"path", required_argument, NULL, OPTION_PATH},
    {"paths", required_argument, NULL, OPTION_PATHS},
    {"method", required_argument, NULL, OPTION_METHOD},
    {"body", required_argument, NULL, OPTION_BODY},
    {"pipeline", required_argument, NULL, OPTION_PIPELINE},
    {"keep-alive", no_argument, NULL, OPTION_KEEP_ALIVE},
    {"close", no_argument, NULL, OPTION_CLOSE},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"hold", no_argument, NULL, OPTION_HOLD},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int option_paths(int option, const char *value, struct options *options)
{
	if (options->paths)
		return -EINVAL;
	if (option == OPTION_PATHS)
		return paths_read(value, options);
	return paths_one(value, options);
}

static int option_take(int option, const char *value, struct options *options)
{
	switch (option) {
	case 'n':
		return parse_number(value, REQUESTS_MAX, &options->requests);
	case 'c':
		return parse_number(value, CONNECTIONS_MAX, &options->connections);
	case OPTION_PATH:
	case OPTION_PATHS:
		return option_paths(option, value, options);
	case OPTION_METHOD:
		options->method = value;
		return *value ? 0 : -EINVAL;
	case OPTION_BODY:
		return parse_number(value, BATCH_BYTES_MAX, &options->body_bytes);
	case OPTION_PIPELINE:
		return parse_number(value, PIPELINE_MAX, &options->pipeline);
	case OPTION_KEEP_ALIVE:
		options->close_each = false;
		return 0;
	case OPTION_CLOSE:
		options->close_each = true;
		return 0;
	case OPTION_RATE:
		return parse_number(value, RATE_MAX, &options->rate);
	case OPTION_HOLD:
		options->hold = true;
		return 0;
	case OPTION_TIMEOUT:
		return parse_number(value, 86400, &options->timeout_s);
	default:
		return -EINVAL;
	}
}

/* 0, or -EINVAL after one line that says what is wrong. */
static int options_parse(int argc, char **argv, struct options *options)
{
	int option, err;

	while ((option = getopt_long(argc, argv, "n:c:", long_options, NULL)) != -1) {
		if (option == '?')
			return -EINVAL;
		err = option_take(option, optarg, options);
		if (err) {
			fprintf(stderr, "load: '%s': %s\n", optarg, strerror(-err));
			return -EINVAL;
		}
	}
	if (optind + 1 != argc || !options->connections || !options->pipeline ||
	    (options->pipeline > 1 &&
	     (options->close_each || options->rate || options->hold)) ||
	    (options->hold && options->close_each)) {
		fprintf(stderr,
			"load: need one target, at least one connection, no --pipeline "
			"with --close, --rate or --hold, no --hold with --close "
			"(--help)\n");
		return -EINVAL;
	}
	if (options->hold)
		options->requests = options->connections;
	err = options->paths ? 0 : paths_one("/", options);
	if (!err)
		err = address_parse(argv[optind], options);
	if (err)
		fprintf(stderr, "load: '%s': %s\n", argv[optind], strerror(-err));
	return err ? -EINVAL : 0;
}

static void options_free(struct options *options)
{
	free(options->paths);
	free(options->paths_text);
}

static void allow_many_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int load_make(const struct options *options)
{
	CLEANUP(load_free) struct load *load = calloc(1, sizeof(*load));
	uint64_t started_ns = now_ns();
	int err;

	if (!load)
		return -ENOMEM;
	load->options = options;
	load->epoll_fd = -1;
	err = load_prepare(load);
	if (!err)
		err = load_run(load);
	if (err)
		return err;
	load_print(load, now_ns() - started_ns);
	while (options->hold)
		pause();
	return load->errors ? 1 : 0;
}

int main(int argc, char **argv)
{
	CLEANUP(options_free)
	struct options options = {
	    .connections = 1,
	    .requests = 1,
	    .pipeline = 1,
	    .timeout_s = 60,
	    .method = "GET",
	};
	int result;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (options_parse(argc, argv, &options))
		return 2;
	allow_many_files();
	result = load_make(&options);
	if (result < 0)
		fprintf(stderr, "load: %s\n", strerror(-result));
	return result ? 1 : 0;
}
