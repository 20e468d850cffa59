/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receiving.h - what delivery is tested against: a server with scripted answers that
 * runs on the same loop and keeps every request byte for byte, and
 * tests/e2e/receiver.py, which is strict about content and shares no library with us.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <signal.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "length.h"
#include "push.h"

#define DEADLINE_MS 20000
#define REQUESTS_MAX 64
#define CONNECTIONS_MAX 64
#define REQUEST_SIZE 65536
#define HANG "" /* the answer that never comes */
#define CLOSE "close"
#define DATED "dated" /* 503 with a Retry-After DATE_AHEAD_S from then */
#define DATE_AHEAD_S 3
#define GZIPPED "gzip:" /* 200, and what follows as a compressed body */
#define GZIP_CUT "cut:" /* the same, without the last byte of it */
#define RECEIVER "tests/e2e/receiver.py"

#define STATUS(line) "HTTP/1.1 " line "\r\nContent-Length: 0\r\n\r\n"
#define OK "HTTP/1.1 204 No Content\r\n\r\n"
#define UNAVAILABLE STATUS("503 Service Unavailable")

/* --- the server ----------------------------------------------------------------- */

struct request {
	char head[4096]; /* up to the empty line */
	char *body;      /* uncompressed */
	size_t body_len;
	unsigned int connection;
	uint64_t time_ms;
	time_t time_s; /* of the wall clock */
};

struct server {
	struct loop *loop;
	int fd;
	uint16_t port;
	const char *const *answers; /* ends with NULL; the last one stays */
	time_t date;                /* of the last DATED answer */
	struct request requests[REQUESTS_MAX];
	size_t count;
	struct connection {
		struct server *server;
		int fd;
		char data[REQUEST_SIZE];
		size_t len;
		const char *rest; /* of the answer, when there is room; or NULL */
	} * connections[CONNECTIONS_MAX];
	unsigned int connection_count;
};

static inline uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline bool has_header(const struct request *request, const char *header)
{
	char line[512];

	snprintf(line, sizeof(line), "\r\n%s\r\n", header);
	return strstr(request->head, line);
}

static inline void inflate_body(struct request *request, const char *bytes, size_t len)
{
	z_stream stream = {.next_in = (unsigned char *)bytes,
			   .avail_in = (unsigned int)len,
			   .avail_out = REQUEST_SIZE};

	request->body = malloc(REQUEST_SIZE);
	stream.next_out = (unsigned char *)request->body;
	assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	inflateEnd(&stream);
	request->body_len = stream.total_out;
}

static inline void read_body(struct request *request, const char *bytes, size_t len)
{
	if (has_header(request, "Content-Encoding: gzip")) {
		inflate_body(request, bytes, len);
		return;
	}
	if (!has_header(request, "Content-Encoding: snappy")) {
		request->body = malloc(len + 1);
		memcpy(request->body, bytes, len);
		request->body_len = len;
		return;
	}
	assert_int_equal(snappy_uncompressed_length(bytes, len, &request->body_len),
			 SNAPPY_OK);
	request->body = malloc(request->body_len);
	assert_int_equal(
	    snappy_uncompress(bytes, len, request->body, &request->body_len),
	    SNAPPY_OK);
}

static inline void record(struct connection *connection, size_t head_len,
			  size_t body_len)
{
	struct server *server = connection->server;
	struct request *request = &server->requests[server->count];

	assert_true(server->count < REQUESTS_MAX);
	assert_true(head_len < sizeof(request->head));
	memcpy(request->head, connection->data, head_len);
	request->time_ms = now_ms();
	request->time_s = time(NULL);
	while (server->connections[request->connection] != connection)
		request->connection++;
	read_body(request, connection->data + head_len, body_len);
	server->count++;
}

static inline void hang_up(struct connection *connection)
{
	loop_unwatch(connection->server->loop, connection->fd);
	close(connection->fd);
	connection->fd = -1;
}

static const char *dated_answer(struct server *server)
{
	static char text[256];
	char date[64];

	server->date = time(NULL) + DATE_AHEAD_S;
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT",
		 gmtime(&server->date));
	snprintf(text, sizeof(text),
		 "HTTP/1.1 503 No\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n",
		 date);
	return text;
}

static inline void answer_gzipped(struct connection *connection, const char *text,
				  size_t left_out)
{
	unsigned char body[REQUEST_SIZE];
	char head[128];
	z_stream stream = {.next_in = (unsigned char *)text,
			   .avail_in = (unsigned int)strlen(text),
			   .next_out = body,
			   .avail_out = sizeof(body)};

	assert_int_equal(
	    deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 9, Z_DEFAULT_STRATEGY),
	    Z_OK);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	deflateEnd(&stream);
	stream.total_out -= left_out;
	snprintf(head, sizeof(head),
		 "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
		 "Content-Length: %lu\r\n\r\n",
		 stream.total_out);
	assert_true(send(connection->fd, head, strlen(head), MSG_NOSIGNAL) >= 0);
	assert_true(send(connection->fd, body, stream.total_out, MSG_NOSIGNAL) >= 0);
}

static inline void on_request(void *context, uint32_t events);

static inline void send_rest(struct connection *connection)
{
	ssize_t sent = send(connection->fd, connection->rest, strlen(connection->rest),
			    MSG_NOSIGNAL);

	/* Else the client has closed, or takes no more for now. */
	if (sent > 0)
		connection->rest += sent;
	if (!*connection->rest)
		connection->rest = NULL;
	loop_watch(connection->server->loop, connection->fd,
		   connection->rest ? EPOLLIN | EPOLLOUT : EPOLLIN, on_request,
		   connection);
}

static inline void answer(struct connection *connection)
{
	const char *const *answers = connection->server->answers;
	const char *text = *answers;

	if (answers[1])
		connection->server->answers++;
	if (!strcmp(text, CLOSE)) {
		hang_up(connection);
		return;
	}
	if (!strncmp(text, GZIPPED, strlen(GZIPPED))) {
		answer_gzipped(connection, text + strlen(GZIPPED), 0);
		return;
	}
	if (!strncmp(text, GZIP_CUT, strlen(GZIP_CUT))) {
		answer_gzipped(connection, text + strlen(GZIP_CUT), 1);
		return;
	}
	if (!strcmp(text, DATED))
		text = dated_answer(connection->server);
	connection->rest = text;
	send_rest(connection);
}

static inline void on_request(void *context, uint32_t events)
{
	struct connection *connection = context;
	char *end, *length;
	size_t head_len, body_len;
	ssize_t got;

	if (connection->rest && events == EPOLLOUT) {
		send_rest(connection);
		return;
	}
	got = recv(connection->fd, connection->data + connection->len,
		   sizeof(connection->data) - 1 - connection->len, 0);
	if (got <= 0) {
		hang_up(connection);
		return;
	}
	connection->len += (size_t)got;
	connection->data[connection->len] = 0;
	end = strstr(connection->data, "\r\n\r\n");
	if (!end)
		return;
	length = strcasestr(connection->data, "\r\nContent-Length: ");
	head_len = (size_t)(end - connection->data) + 4;
	body_len = 0; /* of a GET */
	if (length && length < end)
		body_len = strtoul(length + strlen("\r\nContent-Length: "), NULL, 10);
	else
		assert_int_equal(strncmp(connection->data, "GET ", 4), 0);
	assert_true(head_len + body_len < sizeof(connection->data));
	if (connection->len < head_len + body_len)
		return;
	assert_int_equal(connection->len, head_len + body_len);
	record(connection, head_len, body_len);
	connection->len = 0;
	answer(connection);
}

static inline void on_connection(void *context, uint32_t events)
{
	struct server *server = context;
	struct connection *connection = calloc(1, sizeof(*connection));

	(void)events;
	assert_true(server->connection_count < CONNECTIONS_MAX);
	server->connections[server->connection_count++] = connection;
	connection->server = server;
	connection->fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(connection->fd >= 0);
	assert_int_equal(
	    loop_watch(server->loop, connection->fd, EPOLLIN, on_request, connection),
	    0);
}

/* Has a port at once, but refuses connections until it listens. */
static inline struct server *server_create(struct loop *loop,
					   const char *const *answers)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct server *server = calloc(1, sizeof(*server));
	socklen_t len = sizeof(address);

	server->loop = loop;
	server->answers = answers;
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &len), 0);
	server->port = ntohs(address.sin_port);
	return server;
}

static inline void server_listen(struct server *server)
{
	assert_int_equal(listen(server->fd, 16), 0);
	assert_int_equal(
	    loop_watch(server->loop, server->fd, EPOLLIN, on_connection, server), 0);
}

static inline void server_free(struct server *server)
{
	for (unsigned int i = 0; i < server->connection_count; i++) {
		if (server->connections[i]->fd >= 0)
			hang_up(server->connections[i]);
		free(server->connections[i]);
	}
	for (size_t i = 0; i < server->count; i++)
		free(server->requests[i].body);
	loop_unwatch(server->loop, server->fd);
	close(server->fd);
	free(server);
}

static inline bool has_header_named(const struct request *request, const char *name)
{
	char line[128];

	snprintf(line, sizeof(line), "\r\n%s:", name);
	return strcasestr(request->head, line);
}

static inline bool body_has(const struct request *request, const char *text)
{
	return memmem(request->body, request->body_len, text, strlen(text));
}

static const char *host_name;

/* Wins over the C library's. */
int gethostname(char *name, size_t size)
{
	snprintf(name, size, "%s", host_name);
	return 0;
}

/* --- the resolver ------------------------------------------------------------- */

#define SLOW_HOST "slow.invalid"

static struct {
	sem_t may_answer;
	sem_t has_answered;
	int err; /* ETIMEDOUT: nobody said that it may answer */
} resolver;

/* Wins over the C library's. A name server that is down is asked for up to
 * DEADLINE_MS; every other name is an address here. */
int getaddrinfo(const char *restrict node, const char *restrict service,
		const struct addrinfo *restrict hints,
		struct addrinfo **restrict ret_list)
{
	struct timespec end;

	(void)node;
	(void)service;
	(void)hints;
	(void)ret_list;
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += DEADLINE_MS / 1000;
	resolver.err = sem_timedwait(&resolver.may_answer, &end) ? errno : 0;
	sem_post(&resolver.has_answered);
	return EAI_AGAIN;
}

/* --- scenes --------------------------------------------------------------------- */

#define SERVERS 2

/* What one test needs; set_up makes two servers that listen and the config of an
 * endpoint for the first. */
struct scene {
	struct loop *loop;
	struct server *servers[SERVERS];
	struct config config;
	struct config_remote_write endpoints[SERVERS];
	struct config_otlp otlp; /* of the first server, where a test says so */
	char urls[SERVERS][128];
	struct push *push;
	int64_t time_ms;
	int log_fd;
	int real_stderr;
	char log[65536];
	char token_path[64];
};

static const struct family counted = {"sent", "Sent.", "", METRIC_COUNTER, 1};
static const char *const accept_all[] = {OK, NULL};

static inline void set_endpoint(struct scene *scene, size_t i, const char *name)
{
	snprintf(scene->urls[i], sizeof(scene->urls[i]), "http://127.0.0.1:%u/push",
		 scene->servers[i]->port);
	scene->endpoints[i] = (struct config_remote_write){
	    .name = (char *)name,
	    .http = {.url = scene->urls[i],
		     .timeout_ms = 10000,
		     .follow_redirects = true},
	    .queue = {.max_shards = 50,
		      .max_samples_per_send = 100,
		      .min_backoff_ms = 2,
		      .max_backoff_ms = 10},
	};
}

static inline int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	host_name = "host-1";
	assert_int_equal(loop_create(&scene->loop), 0);
	for (size_t i = 0; i < SERVERS; i++) {
		scene->servers[i] = server_create(scene->loop, accept_all);
		set_endpoint(scene, i, i ? "second" : "first");
	}
	scene->config.remote_writes = scene->endpoints;
	scene->config.remote_write_count = 1;
	scene->config.spool = (struct config_spool){
	    .bytes_max = 64 << 20,
	    .age_max_ms = 365ull * 86400000 * 100, /* times here are of long ago */
	};
	scene->time_ms = 1700000000000;
	scene->log_fd = memfd_create("log", MFD_CLOEXEC);
	scene->real_stderr = dup(STDERR_FILENO);
	dup2(scene->log_fd, STDERR_FILENO);
	snprintf(scene->token_path, sizeof(scene->token_path),
		 "/tmp/test_push.%d.token", getpid());
	*state = scene;
	return 0;
}

static inline int tear_down(void **state)
{
	struct scene *scene = *state;

	push_free(&scene->push);
	for (size_t i = 0; i < SERVERS; i++)
		server_free(scene->servers[i]);
	loop_free(&scene->loop);
	dup2(scene->real_stderr, STDERR_FILENO);
	close(scene->real_stderr);
	close(scene->log_fd);
	unlink(scene->token_path);
	free(scene);
	return 0;
}

static inline void forget_log(struct scene *scene)
{
	assert_int_equal(ftruncate(scene->log_fd, 0), 0);
	lseek(scene->log_fd, 0, SEEK_SET);
}

static inline void start(struct scene *scene, const char *const *answers)
{
	scene->servers[0]->answers = answers;
	server_listen(scene->servers[0]);
	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
	/* Where the spool is, it has said. */
	if (!scene->config.spool.directory)
		forget_log(scene);
}

/* A collection of `count` samples, recognised by "<mark>." in the body. */
static inline void collect_many(struct scene *scene, const char *mark,
				unsigned int count)
{
	struct snapshot snapshot;

	scene->time_ms += 1000;
	snapshot_init(&snapshot, scene->time_ms);
	for (unsigned int i = 0; i < count; i++) {
		char *value = snapshot_alloc(&snapshot, 32);
		struct label label = {"mark", value};

		snprintf(value, 32, "%s.%u", mark, i);
		snapshot_value(&snapshot, &counted,
			       snapshot_labels(&snapshot, &label, 1), i);
	}
	assert_int_equal(snapshot_finish(&snapshot), 0);
	assert_int_equal(push_collect(scene->push, &snapshot), 0);
	snapshot_free(&snapshot);
}

/* "samples", or "data_points" where it is of OTLP. */
static inline bool is_named(const char *family, const char *name)
{
	static const char *const prefixes[] = {"bpftally_remote_write_",
					       "bpftally_otlp_"};

	for (size_t i = 0; i < LENGTH(prefixes); i++) {
		size_t len = strlen(prefixes[i]);

		if (!strncmp(family, prefixes[i], len) && !strcmp(family + len, name))
			return true;
	}
	return false;
}

static inline double metric_of(const struct scene *scene, const char *endpoint,
			       const char *name)
{
	struct snapshot snapshot;
	double value = -1;

	snapshot_init(&snapshot, 0);
	push_describe(scene->push, &snapshot);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	for (size_t i = 0; i < snapshot.count; i++) {
		const struct metric *metric = &snapshot.metrics[i];
		const struct label *labels = metric->labels.labels;

		for (size_t j = 0; j < metric->labels.count; j++) {
			if (!strcmp(labels[j].name, "remote_name") &&
			    !strcmp(labels[j].value, endpoint) &&
			    is_named(metric->family->name, name))
				value = (value < 0 ? 0 : value) + metric->value;
		}
	}
	snapshot_free(&snapshot);
	return value;
}

static inline void expect_metric(const struct scene *scene, const char *name,
				 double value)
{
	double found = metric_of(scene, "first", name);

	if (found != value)
		fail_msg("%s is %g, not %g", name, found, value);
}

static const char *log_text(struct scene *scene)
{
	ssize_t len = pread(scene->log_fd, scene->log, sizeof(scene->log) - 1, 0);

	scene->log[len > 0 ? len : 0] = 0;
	return scene->log;
}

static inline size_t occurrences(const char *text, const char *part)
{
	size_t count = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		count++;
	return count;
}

/* --- running until --------------------------------------------------------------- */

struct wait {
	struct scene *scene;
	bool (*condition)(struct scene *scene, size_t argument);
	size_t argument;
	uint64_t end_ms;
};

static inline void on_look(void *context)
{
	struct wait *wait = context;

	if (now_ms() > wait->end_ms || wait->condition(wait->scene, wait->argument))
		loop_stop(wait->scene->loop);
}

static inline void run_until(struct scene *scene,
			     bool (*condition)(struct scene *, size_t), size_t argument)
{
	struct wait wait = {scene, condition, argument, now_ms() + DEADLINE_MS};
	struct loop_timer *timer;

	assert_int_equal(loop_timer_create(scene->loop, on_look, &wait, &timer), 0);
	assert_int_equal(loop_timer_arm(timer, 0, 1), 0);
	assert_int_equal(loop_run(scene->loop), 0);
	loop_timer_free(&timer);
	if (!condition(scene, argument))
		fail_msg("waited %d ms; the log: %s", DEADLINE_MS, log_text(scene));
}

/* What must not happen has this long to happen. */
static inline void run_for(struct scene *scene, uint64_t ms)
{
	struct wait wait = {scene, NULL, 0, 0};
	struct loop_timer *timer;

	assert_int_equal(loop_timer_create(scene->loop, on_look, &wait, &timer), 0);
	assert_int_equal(loop_timer_arm(timer, ms, 0), 0);
	assert_int_equal(loop_run(scene->loop), 0);
	loop_timer_free(&timer);
}

static inline bool nothing_pends(struct scene *scene, size_t argument)
{
	(void)argument;
	return metric_of(scene, "first", "samples_pending") == 0;
}

static inline bool has_retried(struct scene *scene, size_t samples)
{
	return metric_of(scene, "first", "samples_retried") >= (double)samples;
}

static inline bool second_has_retried(struct scene *scene, size_t samples)
{
	return metric_of(scene, "second", "samples_retried") >= (double)samples;
}

static inline void deliver(struct scene *scene)
{
	run_until(scene, nothing_pends, 0);
}

static inline struct request *first_request(struct scene *scene, size_t i)
{
	assert_true(i < scene->servers[0]->count);
	return &scene->servers[0]->requests[i];
}

/* --- the strict receiver ------------------------------------------------------ */

struct child {
	pid_t pid;
	char directory[32];
	char output[64];
	uint16_t port;
};

static inline void run_program(char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execv(argv[0], argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static inline void receiver_start(struct child *child, const char *script, bool tls)
{
	char cert[64], key[64], line[32] = "";
	int port_pipe[2];
	ssize_t len;

	strcpy(child->directory, "/tmp/test_push.XXXXXX");
	assert_non_null(mkdtemp(child->directory));
	snprintf(child->output, sizeof(child->output), "%s/requests", child->directory);
	snprintf(cert, sizeof(cert), "%s/cert.pem", child->directory);
	snprintf(key, sizeof(key), "%s/key.pem", child->directory);
	if (tls)
		run_program((char *[]){"/usr/bin/openssl", "req", "-x509", "-newkey",
				       "rsa:2048", "-nodes", "-days", "2", "-subj",
				       "/CN=push.test", "-addext",
				       "subjectAltName=DNS:push.test", "-keyout", key,
				       "-out", cert, NULL});
	assert_int_equal(pipe(port_pipe), 0);
	child->pid = fork();
	if (!child->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(port_pipe[1], STDOUT_FILENO);
		execl("/usr/bin/python3", "python3", RECEIVER, "--script", script,
		      "--output", child->output, tls ? "--tls" : NULL, cert, key, NULL);
		_exit(127);
	}
	close(port_pipe[1]);
	len = read(port_pipe[0], line, sizeof(line) - 1); /* waits for the line */
	close(port_pipe[0]);
	if (len <= 0)
		fail_msg("cannot run " RECEIVER);
	child->port = (uint16_t)atoi(line);
}

static inline char *receiver_end(struct child *child)
{
	static char output[1 << 20];
	char path[64];
	int fd = open(child->output, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, output, sizeof(output) - 1);

	output[len > 0 ? len : 0] = 0;
	close(fd);
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	unlink(child->output);
	snprintf(path, sizeof(path), "%s/cert.pem", child->directory);
	unlink(path);
	snprintf(path, sizeof(path), "%s/key.pem", child->directory);
	unlink(path);
	rmdir(child->directory);
	return output;
}
