/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push.c against real sockets: a server with scripted answers that runs on the
 * same loop and keeps every request byte for byte, and tests/e2e/receiver.py,
 * which is strict about content and shares no library with us.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

#include "push.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define DEADLINE_MS 20000
#define REQUESTS_MAX 64
#define CONNECTIONS_MAX 64
#define REQUEST_SIZE 65536
#define HANG "" /* the answer that never comes */
#define CLOSE "close"
#define DATED "dated" /* 503 with a Retry-After DATE_AHEAD_S from then */
#define DATE_AHEAD_S 3
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
	} * connections[CONNECTIONS_MAX];
	unsigned int connection_count;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void record(struct connection *connection, size_t head_len, size_t body_len)
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
	assert_int_equal(snappy_uncompressed_length(connection->data + head_len,
						    body_len, &request->body_len),
			 SNAPPY_OK);
	request->body = malloc(request->body_len);
	assert_int_equal(snappy_uncompress(connection->data + head_len, body_len,
					   request->body, &request->body_len),
			 SNAPPY_OK);
	server->count++;
}

static void hang_up(struct connection *connection)
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

static void answer(struct connection *connection)
{
	const char *const *answers = connection->server->answers;
	const char *text = *answers;

	if (answers[1])
		connection->server->answers++;
	if (!strcmp(text, CLOSE)) {
		hang_up(connection);
		return;
	}
	if (!strcmp(text, DATED))
		text = dated_answer(connection->server);
	/* What is too long for the socket is cut: the client closes anyway. */
	assert_true(send(connection->fd, text, strlen(text), MSG_NOSIGNAL) >= 0);
}

static void on_request(void *context, uint32_t events)
{
	struct connection *connection = context;
	ssize_t got = recv(connection->fd, connection->data + connection->len,
			   sizeof(connection->data) - 1 - connection->len, 0);
	char *end, *length;
	size_t head_len, body_len;

	(void)events;
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
	assert_true(length && length < end);
	head_len = (size_t)(end - connection->data) + 4;
	body_len = strtoul(length + strlen("\r\nContent-Length: "), NULL, 10);
	assert_true(head_len + body_len < sizeof(connection->data));
	if (connection->len < head_len + body_len)
		return;
	assert_int_equal(connection->len, head_len + body_len);
	record(connection, head_len, body_len);
	connection->len = 0;
	answer(connection);
}

static void on_connection(void *context, uint32_t events)
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
static struct server *server_create(struct loop *loop, const char *const *answers)
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

static void server_listen(struct server *server)
{
	assert_int_equal(listen(server->fd, 16), 0);
	assert_int_equal(
	    loop_watch(server->loop, server->fd, EPOLLIN, on_connection, server), 0);
}

static void server_free(struct server *server)
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

static bool has_header(const struct request *request, const char *header)
{
	char line[512];

	snprintf(line, sizeof(line), "\r\n%s\r\n", header);
	return strstr(request->head, line);
}

static bool has_header_named(const struct request *request, const char *name)
{
	char line[128];

	snprintf(line, sizeof(line), "\r\n%s:", name);
	return strcasestr(request->head, line);
}

static bool body_has(const struct request *request, const char *text)
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

static void set_endpoint(struct scene *scene, size_t i, const char *name)
{
	snprintf(scene->urls[i], sizeof(scene->urls[i]), "http://127.0.0.1:%u/push",
		 scene->servers[i]->port);
	scene->endpoints[i] = (struct config_remote_write){
	    .name = (char *)name,
	    .url = scene->urls[i],
	    .remote_timeout_ms = 10000,
	    .queue = {.capacity = 1000,
		      .max_samples_per_send = 100,
		      .min_backoff_ms = 2,
		      .max_backoff_ms = 10},
	};
}

static int set_up(void **state)
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
	scene->time_ms = 1700000000000;
	scene->log_fd = memfd_create("log", MFD_CLOEXEC);
	scene->real_stderr = dup(STDERR_FILENO);
	dup2(scene->log_fd, STDERR_FILENO);
	snprintf(scene->token_path, sizeof(scene->token_path),
		 "/tmp/test_push.%d.token", getpid());
	*state = scene;
	return 0;
}

static int tear_down(void **state)
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

static void start(struct scene *scene, const char *const *answers)
{
	scene->servers[0]->answers = answers;
	server_listen(scene->servers[0]);
	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
}

/* A collection of `count` samples, recognised by "<mark>." in the body. */
static void collect_many(struct scene *scene, const char *mark, unsigned int count)
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

static double metric_of(const struct scene *scene, const char *endpoint,
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
			    !strcmp(metric->family->name + strlen("bpftally_remote_"
								  "write_"),
				    name))
				value = metric->value;
		}
	}
	snapshot_free(&snapshot);
	return value;
}

static void expect_metric(const struct scene *scene, const char *name, double value)
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

static size_t occurrences(const char *text, const char *part)
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

static void on_look(void *context)
{
	struct wait *wait = context;

	if (now_ms() > wait->end_ms || wait->condition(wait->scene, wait->argument))
		loop_stop(wait->scene->loop);
}

static void run_until(struct scene *scene, bool (*condition)(struct scene *, size_t),
		      size_t argument)
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

static bool nothing_pends(struct scene *scene, size_t argument)
{
	(void)argument;
	return metric_of(scene, "first", "samples_pending") == 0;
}

static bool has_retried(struct scene *scene, size_t samples)
{
	return metric_of(scene, "first", "samples_retried") >= (double)samples;
}

static bool second_has_retried(struct scene *scene, size_t samples)
{
	return metric_of(scene, "second", "samples_retried") >= (double)samples;
}

static void deliver(struct scene *scene)
{
	run_until(scene, nothing_pends, 0);
}

static struct request *first_request(struct scene *scene, size_t i)
{
	assert_true(i < scene->servers[0]->count);
	return &scene->servers[0]->requests[i];
}

/* --- tests: what is sent --------------------------------------------------------- */

static void a_request_has_the_headers_of_the_specification(void **state)
{
	static const char *const expected[] = {
	    "Content-Encoding: snappy",
	    "Content-Type: application/x-protobuf",
	    "X-Prometheus-Remote-Write-Version: 0.1.0",
	    "User-Agent: bpftally/" BPFTALLY_VERSION,
	    "X-Scope-OrgID: team-a",
	    "Authorization: Bearer s3cret",
	};
	struct config_label header = {(char *)"X-Scope-OrgID", (char *)"team-a"};
	struct scene *scene = *state;
	struct request *request;
	char host[256] = "";

	scene->endpoints[0].headers = (struct config_labels){&header, 1};
	scene->endpoints[0].authorization.type = (char *)"Bearer";
	scene->endpoints[0].authorization.credentials = (char *)"s3cret";
	start(scene, accept_all);
	collect_many(scene, "a", 3);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 1);
	request = first_request(scene, 0);
	assert_int_equal(strncmp(request->head, "POST /push HTTP/1.1\r\n", 21), 0);
	for (size_t i = 0; i < LENGTH(expected); i++) {
		if (!has_header(request, expected[i]))
			fail_msg("no '%s' in %s", expected[i], request->head);
	}
	assert_false(has_header_named(request, "Expect"));
	assert_false(has_header_named(request, "Retry-Attempt"));
	assert_false(has_header_named(request, "Transfer-Encoding"));
	gethostname(host, sizeof(host) - 1);
	assert_true(body_has(request, "bpftally"));
	assert_true(body_has(request, "instance"));
	assert_true(body_has(request, host));
	expect_metric(scene, "samples", 3);
	expect_metric(scene, "highest_sent_timestamp_seconds", 1700000001);
	assert_string_equal(log_text(scene), "");
}

static void a_host_name_of_any_bytes_is_an_instance(void **state)
{
	struct scene *scene = *state;

	host_name = "caf\xe9-1";
	start(scene, accept_all);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_true(body_has(first_request(scene, 0), "caf_-1"));
}

static void job_and_instance_of_the_config_stay(void **state)
{
	struct config_label external[] = {
	    {(char *)"job", (char *)"my-job"},
	    {(char *)"instance", (char *)"my-instance"},
	    {(char *)"region", (char *)"eu"},
	};
	struct scene *scene = *state;

	scene->config.external_labels = (struct config_labels){external, 3};
	start(scene, accept_all);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_true(body_has(first_request(scene, 0), "my-job"));
	assert_true(body_has(first_request(scene, 0), "my-instance"));
	assert_true(body_has(first_request(scene, 0), "region"));
	assert_false(body_has(first_request(scene, 0), "bpftally"));
}

static void basic_auth_is_sent_at_once(void **state)
{
	static const struct {
		const char *username, *password, *header;
	} cases[] = {
	    {"user", "pass", "Authorization: Basic dXNlcjpwYXNz"},
	    {"user", "passw", "Authorization: Basic dXNlcjpwYXNzdw=="},
	    {"user", "passwo", "Authorization: Basic dXNlcjpwYXNzd28="},
	    {"user", NULL, "Authorization: Basic dXNlcjo="},
	    {"\xc3\xa4", ">?~", "Authorization: Basic w6Q6Pj9+"},
	};
	struct scene *scene = *state;

	start(scene, accept_all);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		scene->endpoints[0].basic_auth = (struct config_basic_auth){
		    .username = (char *)cases[i].username,
		    .password = (char *)cases[i].password,
		};
		collect_many(scene, "a", 1);
		deliver(scene);
		assert_true(has_header(first_request(scene, i), cases[i].header));
	}
}

static void batches_go_in_order_over_one_connection(void **state)
{
	static const char *const marks[] = {"b1", "b2", "b3", "b4", "b5"};
	struct scene *scene = *state;

	start(scene, accept_all);
	for (size_t i = 0; i < LENGTH(marks); i++)
		collect_many(scene, marks[i], 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, LENGTH(marks));
	for (size_t i = 0; i < LENGTH(marks); i++) {
		assert_true(body_has(first_request(scene, i), marks[i]));
		if (i + 1 < LENGTH(marks))
			assert_false(body_has(first_request(scene, i), marks[i + 1]));
	}
	assert_int_equal(scene->servers[0]->connection_count, 1);
}

/* --- tests: retries -------------------------------------------------------------- */

static void what_failed_is_sent_again_before_what_is_newer(void **state)
{
	static const char *const answers[] = {
	    UNAVAILABLE,
	    STATUS("500 Internal Server Error"),
	    /* On a connection that was in use before, curl tries once more itself. */
	    "HTTP/1.1 529 Overloaded\r\nConnection: close\r\nContent-Length: "
	    "0\r\n\r\n",
	    CLOSE,
	    OK,
	    UNAVAILABLE,
	    OK,
	    NULL,
	};
	static const struct {
		const char *mark, *attempt;
	} expected[] = {
	    {"old", NULL},
	    {"old", "Retry-Attempt: 1"},
	    {"old", "Retry-Attempt: 2"},
	    {"old", "Retry-Attempt: 3"},
	    {"old", "Retry-Attempt: 4"},
	    {"new", NULL},
	    {"new", "Retry-Attempt: 1"},
	};
	const size_t first_new = 5;
	struct scene *scene = *state;

	start(scene, answers);
	collect_many(scene, "old", 3);
	collect_many(scene, "new", 2);
	expect_metric(scene, "samples_pending", 8); /* with three stale markers */
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, LENGTH(expected));
	for (size_t i = 0; i < LENGTH(expected); i++) {
		struct request *request = first_request(scene, i);

		assert_true(body_has(request, expected[i].mark));
		assert_int_equal(body_has(request, "new"), i >= first_new);
		if (expected[i].attempt)
			assert_true(has_header(request, expected[i].attempt));
		else
			assert_false(has_header_named(request, "Retry-Attempt"));
	}
	expect_metric(scene, "samples", 8);
	expect_metric(scene, "samples_retried", 4 * 3 + 5);
	expect_metric(scene, "samples_failed", 0);
	expect_metric(scene, "samples_dropped", 0);
}

static void a_kept_connection_that_has_died_is_replaced_at_once(void **state)
{
	static const char *const answers[] = {OK, CLOSE, OK, NULL};
	struct scene *scene = *state;

	/* A backoff would outlast the test. */
	scene->endpoints[0].queue.min_backoff_ms = 3600000;
	scene->endpoints[0].queue.max_backoff_ms = 3600000;
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->connection_count, 2);
	expect_metric(scene, "samples", 2);
	expect_metric(scene, "samples_retried", 0);
}

static void a_refused_connection_is_retried(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
	collect_many(scene, "a", 1);
	run_until(scene, has_retried, 3);
	assert_int_equal(scene->servers[0]->count, 0);
	server_listen(scene->servers[0]);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 1);
	assert_true(has_header_named(first_request(scene, 0), "Retry-Attempt"));
	expect_metric(scene, "samples", 1);
}

static void a_request_without_answer_is_retried_after_the_timeout(void **state)
{
	static const char *const answers[] = {HANG, OK, NULL};
	struct scene *scene = *state;
	uint64_t waited_ms;

	scene->endpoints[0].remote_timeout_ms = 60;
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 2);
	waited_ms = first_request(scene, 1)->time_ms - first_request(scene, 0)->time_ms;
	assert_in_range(waited_ms, 50, DEADLINE_MS);
	assert_true(has_header(first_request(scene, 1), "Retry-Attempt: 1"));
	expect_metric(scene, "samples_retried", 1);
}

/* A backoff would outlast the test. */
static void retry_after_replaces_the_backoff(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
	    DATED,
	    OK,
	    NULL,
	};
	struct scene *scene = *state;

	scene->endpoints[0].queue.min_backoff_ms = 3600000;
	scene->endpoints[0].queue.max_backoff_ms = 3600000;
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 3);
	assert_true(
	    first_request(scene, 1)->time_ms - first_request(scene, 0)->time_ms >= 999);
	assert_true(first_request(scene, 2)->time_s >= scene->servers[0]->date);
}

/* Any wait but the backoff's would outlast the test. */
static void a_retry_after_that_says_nothing_leaves_the_backoff(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 503 No\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 503 No\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 503 No\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
	    "Content-Length: 0\r\n\r\n",
	    OK,
	    NULL,
	};
	struct scene *scene = *state;

	scene->endpoints[0].queue.min_backoff_ms = 20;
	scene->endpoints[0].queue.max_backoff_ms = 20;
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 4);
	for (size_t i = 1; i < 4; i++)
		assert_true(first_request(scene, i)->time_ms -
				first_request(scene, i - 1)->time_ms >=
			    19);
}

static void backoff_grows_to_its_maximum_and_never_shrinks(void **state)
{
	static const char *const answers[] = {
	    UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, OK, NULL};
	/* Waits of 20, 40, 80, 80, 80 ms, each stretched by the same jitter. */
	static const uint64_t least_ms[] = {20, 40, 80, 80, 80};
	struct scene *scene = *state;

	scene->endpoints[0].queue.min_backoff_ms = 20;
	scene->endpoints[0].queue.max_backoff_ms = 80;
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 6);
	for (size_t i = 0; i < LENGTH(least_ms); i++)
		assert_in_range(first_request(scene, i + 1)->time_ms -
				    first_request(scene, i)->time_ms,
				least_ms[i] - 1, DEADLINE_MS);
}

static void a_refusal_is_never_retried(void **state)
{
	static const char *const refusals[] = {
	    STATUS("400 Bad Request"),
	    STATUS("401 Unauthorized"),
	    STATUS("403 Forbidden"),
	    STATUS("404 Not Found"),
	    STATUS("413 Too Large"),
	    STATUS("429 Too Many Requests"),
	    "HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 307 No\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 301 No\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
	    OK,
	    NULL,
	};
	const size_t count = LENGTH(refusals) - 2;
	struct scene *scene = *state;

	start(scene, refusals);
	for (size_t i = 0; i < count; i++) {
		collect_many(scene, "a", 2);
		deliver(scene);
		assert_int_equal(scene->servers[0]->count, i + 1);
		expect_metric(scene, "samples_failed", 2 * (double)(i + 1));
	}
	collect_many(scene, "a", 2);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, count + 1);
	for (size_t i = 0; i <= count; i++) {
		assert_false(
		    has_header_named(first_request(scene, i), "Retry-Attempt"));
		assert_int_equal(
		    strncmp(first_request(scene, i)->head, "POST /push ", 11), 0);
	}
	expect_metric(scene, "samples", 2);
	expect_metric(scene, "samples_retried", 0);
	expect_metric(scene, "samples_failed", 2 * (double)count);
}

static void too_many_requests_is_retried_where_asked(void **state)
{
	static const char *const answers[] = {
	    STATUS("429 Too Many Requests"),
	    "HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
	    OK,
	    NULL,
	};
	struct scene *scene = *state;

	scene->endpoints[0].queue.retry_on_http_429 = true;
	start(scene, answers);
	collect_many(scene, "a", 2);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 3);
	assert_in_range(first_request(scene, 2)->time_ms -
			    first_request(scene, 1)->time_ms,
			999, DEADLINE_MS);
	expect_metric(scene, "samples", 2);
	expect_metric(scene, "samples_retried", 4);
	expect_metric(scene, "samples_failed", 0);
}

static void a_status_counts_though_its_body_was_cut_or_never_ends(void **state)
{
	static char endless[200000] = "HTTP/1.1 200 OK\r\n\r\n";
	const char *answers[] = {
	    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
	    endless,
	    OK,
	    NULL,
	};
	struct scene *scene = *state;

	memset(endless + strlen(endless), 'x', sizeof(endless) - 1 - strlen(endless));
	scene->endpoints[0].remote_timeout_ms = 200;
	start(scene, answers);
	for (int i = 0; i < 3; i++) {
		collect_many(scene, "a", 1);
		deliver(scene);
	}
	assert_int_equal(scene->servers[0]->count, 3);
	expect_metric(scene, "samples", 3);
	expect_metric(scene, "samples_retried", 0);
}

/* --- tests: secrets -------------------------------------------------------------- */

static void write_token(const struct scene *scene, const char *data, size_t len)
{
	FILE *file = fopen(scene->token_path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void the_token_file_is_read_for_every_request(void **state)
{
	static const struct {
		const char *content, *header;
	} cases[] = {
	    {"first", "Authorization: Bearer first"},
	    {"second\n", "Authorization: Bearer second"},
	    {" third\r\n\n", "Authorization: Bearer third"},
	};
	struct scene *scene = *state;

	scene->endpoints[0].authorization.type = (char *)"Bearer";
	scene->endpoints[0].authorization.credentials_file = scene->token_path;
	start(scene, accept_all);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		write_token(scene, cases[i].content, strlen(cases[i].content));
		collect_many(scene, "a", 1);
		deliver(scene);
		assert_true(has_header(first_request(scene, i), cases[i].header));
	}
}

static void a_password_file_is_read_for_every_request(void **state)
{
	struct scene *scene = *state;

	scene->endpoints[0].basic_auth.username = (char *)"user";
	scene->endpoints[0].basic_auth.password_file = scene->token_path;
	start(scene, accept_all);
	write_token(scene, "pass\n", 5);
	collect_many(scene, "a", 1);
	deliver(scene);
	write_token(scene, "passw", 5);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_true(
	    has_header(first_request(scene, 0), "Authorization: Basic dXNlcjpwYXNz"));
	assert_true(has_header(first_request(scene, 1),
			       "Authorization: Basic dXNlcjpwYXNzdw=="));
}

static void without_a_usable_token_nothing_is_sent_until_there_is_one(void **state)
{
	static char long_token[65537];
	static const struct {
		const char *data;
		size_t len;
		const char *said;
	} cases[] = {
	    {NULL, 0, "No such file or directory"},
	    {"", 0, "empty, or with a control character"},
	    {"\n\n", 2, "empty, or with a control character"},
	    {"a\r\nX-Evil: 1", 12, "empty, or with a control character"},
	    {"a\0b", 3, "empty, or with a control character"},
	    {long_token, 65537, "File too large"},
	};

	memset(long_token, 't', sizeof(long_token));
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct scene *scene;

		if (i)
			set_up(state);
		scene = *state;
		scene->endpoints[0].authorization.credentials_file = scene->token_path;
		if (cases[i].data)
			write_token(scene, cases[i].data, cases[i].len);
		start(scene, accept_all);
		collect_many(scene, "a", 1);
		run_until(scene, has_retried, 2);
		assert_int_equal(scene->servers[0]->count, 0);
		assert_non_null(strstr(log_text(scene), cases[i].said));
		assert_null(strstr(log_text(scene), "X-Evil"));
		write_token(scene, "good", 4);
		deliver(scene);
		assert_int_equal(scene->servers[0]->count, 1);
		assert_true(
		    has_header(first_request(scene, 0), "Authorization: Bearer good"));
		if (i + 1 < LENGTH(cases))
			tear_down(state);
	}
}

static void a_receiver_that_quotes_the_secret_does_not_get_it_logged(void **state)
{
	static const char secret[] = "tok-0123456789abcdef";
	/* Whole, the header's value, and cut off where the log's part ends. */
	static const char *const bodies[] = {
	    "invalid token tok-0123456789abcdef, Bearer tok-0123456789abcdef",
	    "api key key-0123456789abcdef is unknown",
	};
	struct config_label header = {(char *)"X-Api-Key",
				      (char *)"key-0123456789abcdef"};

	for (size_t i = 0; i <= LENGTH(bodies); i++) {
		char answer[2048], body[1200];
		const char *answers[] = {answer, NULL};
		struct scene *scene;

		if (i)
			set_up(state);
		scene = *state;
		memset(body, '-', sizeof(body));
		memcpy(body + 1024 - 12, secret, sizeof(secret));
		snprintf(answer, sizeof(answer),
			 "HTTP/1.1 400 No\r\nContent-Length: %zu\r\n\r\n%s",
			 strlen(i < LENGTH(bodies) ? bodies[i] : body),
			 i < LENGTH(bodies) ? bodies[i] : body);
		scene->endpoints[0].headers = (struct config_labels){&header, 1};
		scene->endpoints[0].authorization.credentials = (char *)secret;
		strcat(scene->urls[0], "?apikey=url-0123456789abcdef");
		start(scene, answers);
		collect_many(scene, "a", 1);
		deliver(scene);
		assert_int_equal(
		    strncmp(first_request(scene, 0)->head,
			    "POST /push?apikey=url-0123456789abcdef HTTP/1.1", 47),
		    0);
		assert_int_equal(occurrences(log_text(scene), "\n"), 1);
		assert_non_null(strstr(scene->log, "status 400: "));
		assert_non_null(strstr(scene->log, "******"));
		assert_null(strstr(scene->log, "0123"));
		assert_null(strstr(scene->log, "tok-"));
		if (i < LENGTH(bodies))
			tear_down(state);
	}
}

static void a_refusal_is_logged_up_to_1024_bytes_on_one_line(void **state)
{
	static char answer[5000] = "HTTP/1.1 400 No\r\nContent-Length: 4000\r\n\r\n";
	const char *answers[] = {answer, NULL};
	struct scene *scene = *state;
	size_t start_of_body = strlen(answer);

	memset(answer + start_of_body, 'x', 4000);
	memcpy(answer + start_of_body, "a\nbpftally: error: forged", 24);
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(occurrences(log_text(scene), "\n"), 1);
	assert_int_equal(occurrences(scene->log, "x"), 1024 - 24 + 1); /* and \x0a */
}

static void an_outage_and_its_end_are_logged_once(void **state)
{
	static const char *const answers[] = {UNAVAILABLE, UNAVAILABLE, UNAVAILABLE,
					      UNAVAILABLE, OK,          NULL};
	struct scene *scene = *state;

	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_string_equal(
	    log_text(scene),
	    "bpftally: warning: remote_write \"first\": cannot send, will retry: "
	    "status 503\n"
	    "bpftally: info: remote_write \"first\": works again, after 4 failed "
	    "requests\n");
}

/* --- tests: queues and ends ------------------------------------------------------ */

static bool second_is_done(struct scene *scene, size_t argument)
{
	(void)argument;
	return metric_of(scene, "second", "samples_pending") == 0;
}

static void a_dead_endpoint_delays_no_other(void **state)
{
	static const char *const never[] = {HANG, NULL};
	struct scene *scene = *state;
	uint64_t start_ms = now_ms();

	scene->config.remote_write_count = 2;
	server_listen(scene->servers[1]);
	start(scene, never);
	for (int i = 0; i < 10; i++) {
		collect_many(scene, "a", 5);
		run_until(scene, second_is_done, 0);
	}
	/* The first one's only request is still waiting for its answer. */
	assert_in_range(now_ms() - start_ms, 0, 9000);
	assert_int_equal(scene->servers[0]->count, 1);
	assert_int_equal(scene->servers[1]->count, 10);
	assert_int_equal(metric_of(scene, "second", "samples"), 50);
	expect_metric(scene, "samples", 0);
	expect_metric(scene, "samples_pending", 50);
}

static void a_full_queue_drops_the_oldest_and_counts_them(void **state)
{
	struct scene *scene = *state;

	scene->endpoints[0].queue.capacity = 10;
	scene->endpoints[0].queue.max_samples_per_send = 10;
	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
	for (int i = 0; i < 15; i++)
		collect_many(scene, "a", 2);
	expect_metric(scene, "samples_pending", 10);
	expect_metric(scene, "samples_dropped", 20);
	run_until(scene, has_retried, 2);
	server_listen(scene->servers[0]);
	deliver(scene);
	/* The one that was on its way, and the newest four. */
	assert_int_equal(scene->servers[0]->count, 5);
	expect_metric(scene, "samples", 10);
	expect_metric(scene, "samples_dropped", 20);
	expect_metric(scene, "samples_failed", 0);
	expect_metric(scene, "highest_sent_timestamp_seconds", 1700000015);
}

/* More than the queue holds, to a receiver that takes everything: the values,
 * those of the next collection, and at the end its markers. */
static void a_collection_never_pushes_itself_out(void **state)
{
	struct scene *scene = *state;

	scene->endpoints[0].queue.capacity = 10;
	scene->endpoints[0].queue.max_samples_per_send = 4;
	start(scene, accept_all);
	for (int i = 1; i <= 2; i++) {
		collect_many(scene, "a", 30);
		expect_metric(scene, "samples_pending", 30);
		deliver(scene);
		expect_metric(scene, "samples", 30 * i);
	}
	collect_many(scene, "a", 30);
	push_flush(scene->push, DEADLINE_MS);
	expect_metric(scene, "samples", 4 * 30);
	expect_metric(scene, "samples_dropped", 0);
	assert_int_equal(scene->servers[0]->count, 8 + 8 + 16);
	assert_string_equal(log_text(scene), "");
}

static void endpoints_share_the_smallest_batch_size(void **state)
{
	struct scene *scene = *state;

	scene->config.remote_write_count = 2;
	scene->endpoints[1].queue.max_samples_per_send = 4;
	server_listen(scene->servers[1]);
	start(scene, accept_all);
	collect_many(scene, "a", 10);
	deliver(scene);
	run_until(scene, second_is_done, 0);
	assert_int_equal(scene->servers[0]->count, 3);
	assert_int_equal(scene->servers[1]->count, 3);
	expect_metric(scene, "samples", 10);
}

static bool body_has_marker(const struct request *request)
{
	static const unsigned char stale[] = {0x09, 0x02, 0, 0, 0, 0, 0, 0xf0, 0x7f};

	return memmem(request->body, request->body_len, stale, sizeof(stale));
}

static void a_flush_ends_every_series_and_sends_what_waits(void **state)
{
	static const char *const answers[] = {UNAVAILABLE, OK, NULL};
	struct scene *scene = *state;
	uint64_t start_ms = now_ms();

	/* A backoff is cut short, or it would outlast the deadline. */
	scene->endpoints[0].queue.min_backoff_ms = 3600000;
	scene->endpoints[0].queue.max_backoff_ms = 3600000;
	start(scene, answers);
	collect_many(scene, "a", 3);
	run_until(scene, has_retried, 3);
	push_flush(scene->push, 10000);
	assert_in_range(now_ms() - start_ms, 0, 9000);
	assert_int_equal(scene->servers[0]->count, 3);
	assert_false(body_has_marker(first_request(scene, 1)));
	assert_true(body_has_marker(first_request(scene, 2)));
	expect_metric(scene, "samples", 6);
	expect_metric(scene, "samples_pending", 0);
	assert_null(strstr(log_text(scene), "not sent"));
	push_flush(scene->push, 10000); /* nothing is left to say */
	assert_int_equal(scene->servers[0]->count, 3);
}

static void a_flush_gives_up_at_its_deadline_and_says_what_remains(void **state)
{
	static const char *const never[] = {HANG, NULL};
	struct scene *scene = *state;
	uint64_t start_ms = now_ms();

	start(scene, never);
	collect_many(scene, "a", 3);
	push_flush(scene->push, 100);
	assert_in_range(now_ms() - start_ms, 99, 9000);
	assert_string_equal(log_text(scene),
			    "bpftally: warning: remote_write \"first\": 6 samples "
			    "were not sent before the end\n");
}

/* The other endpoint is still served. */
static void a_flush_does_not_wait_for_who_asked_for_a_longer_pause(void **state)
{
	static const char *const later[] = {
	    "HTTP/1.1 503 No\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n", NULL};
	struct scene *scene = *state;
	uint64_t start_ms;

	scene->config.remote_write_count = 2;
	server_listen(scene->servers[1]);
	start(scene, later);
	collect_many(scene, "a", 3);
	run_until(scene, has_retried, 3);
	start_ms = now_ms();
	push_flush(scene->push, 2 * DEADLINE_MS);
	assert_true(now_ms() - start_ms < DEADLINE_MS);
	assert_int_equal(scene->servers[0]->count, 1);
	assert_int_equal(metric_of(scene, "second", "samples"), 6);
	assert_non_null(strstr(log_text(scene), "\"first\": 6 samples were not sent"));
}

struct late {
	struct scene *scene;
	bool is_over;
};

static void on_late_collection(void *context)
{
	struct late *late = context;

	collect_many(late->scene, "late", 1);
	late->is_over = true;
}

/* A series that came back after its marker would stay for five minutes. */
static void a_collection_during_the_flush_is_not_taken(void **state)
{
	static const char *const never[] = {HANG, NULL};
	struct scene *scene = *state;
	struct late late = {scene, false};
	struct loop_timer *timer;

	start(scene, never);
	collect_many(scene, "a", 3);
	assert_int_equal(
	    loop_timer_create(scene->loop, on_late_collection, &late, &timer), 0);
	assert_int_equal(loop_timer_arm(timer, 10, 0), 0);
	push_flush(scene->push, 200);
	loop_timer_free(&timer);
	assert_true(late.is_over);
	expect_metric(scene, "samples_pending", 6);
}

/* The thread that curl asks from cannot be stopped; waiting for it would stop
 * the daemon. */
static void a_name_server_that_is_down_stops_nobody(void **state)
{
	struct scene *scene = *state;

	sem_init(&resolver.may_answer, 0, 0);
	sem_init(&resolver.has_answered, 0, 0);
	scene->endpoints[0].url = "http://" SLOW_HOST "/push";
	scene->endpoints[0].remote_timeout_ms = 20;
	scene->endpoints[0].queue.min_backoff_ms = 3600000;
	scene->endpoints[0].queue.max_backoff_ms = 3600000;
	start(scene, accept_all);
	collect_many(scene, "a", 3);
	run_until(scene, has_retried, 3);
	push_free(&scene->push);
	sem_post(&resolver.may_answer);
	sem_wait(&resolver.has_answered);
	assert_int_equal(resolver.err, 0);
}

static void without_endpoints_it_does_nothing(void **state)
{
	struct scene *scene = *state;
	struct snapshot snapshot;

	scene->config.remote_write_count = 0;
	start(scene, accept_all);
	collect_many(scene, "a", 1);
	snapshot_init(&snapshot, 0);
	push_describe(scene->push, &snapshot);
	assert_int_equal(snapshot.count, 0);
	snapshot_free(&snapshot);
	push_flush(scene->push, 10000);
	assert_int_equal(scene->servers[0]->count, 0);
}

static bool never(struct scene *scene, size_t argument)
{
	(void)scene;
	(void)argument;
	return false;
}

static void nothing_wakes_while_nothing_waits(void **state)
{
	struct scene *scene = *state;
	struct wait wait = {scene, never, 0, 0};
	struct loop_timer *timer;
	struct rusage before, after;

	start(scene, accept_all);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(loop_timer_create(scene->loop, on_look, &wait, &timer), 0);
	/* What is left of the request: the loop asleep for the first time. */
	loop_timer_arm(timer, 50, 0);
	loop_run(scene->loop);
	loop_timer_arm(timer, 500, 0);
	getrusage(RUSAGE_SELF, &before);
	loop_run(scene->loop);
	getrusage(RUSAGE_SELF, &after);
	loop_timer_free(&timer);
	assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 0, 1);
}

static void an_endpoint_is_named_without_its_secrets(void **state)
{
	static const struct {
		const char *url, *shown;
	} cases[] = {
	    {"http://h/push?key=secret", "http://h/push"},
	    {"https://user:secret@h:8443/push#secret", "https://h:8443/push"},
	    {"http://secret@[::1]:9/api/v1/push?a=b#c", "http://[::1]:9/api/v1/push"},
	    {"http://h", "http://h/"},
	};

	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct scene *scene;
		struct snapshot snapshot;
		size_t found = 0;

		if (i)
			set_up(state);
		scene = *state;
		scene->endpoints[0].url = (char *)cases[i].url;
		start(scene, accept_all);
		snapshot_init(&snapshot, 0);
		push_describe(scene->push, &snapshot);
		for (size_t j = 0; j < snapshot.count; j++) {
			const struct label_set *set = &snapshot.metrics[j].labels;
			const struct label *url = &set->labels[set->count - 1];

			assert_string_equal(url->name, "url");
			assert_string_equal(url->value, cases[i].shown);
			found++;
		}
		assert_int_equal(found, 8);
		snapshot_free(&snapshot);
		if (i + 1 < LENGTH(cases))
			tear_down(state);
	}
}

/* --- tests: the strict receiver -------------------------------------------------- */

struct child {
	pid_t pid;
	char directory[32];
	char output[64];
	uint16_t port;
};

static void run_program(char *const argv[])
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

static void receiver_start(struct child *child, const char *script, bool tls)
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

static char *receiver_end(struct child *child)
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

static void collect_histogram(struct scene *scene)
{
	static const struct family duration = {"took_seconds", "Took.", "seconds",
					       METRIC_HISTOGRAM, 2};
	static const double bounds[] = {0.005, 1, 10};
	static const uint64_t buckets[] = {1, 2, 0, 4};
	const struct histogram histogram = {
	    .bounds = bounds,
	    .bound_count = LENGTH(bounds),
	    .buckets = buckets,
	    .sum = 5.5,
	};
	const struct label label = {"Upper", "gr\xc3\xbc\xc3\x9f"};
	struct snapshot snapshot;

	scene->time_ms += 1000;
	snapshot_init(&snapshot, scene->time_ms);
	snapshot_histogram(&snapshot, &duration, snapshot_labels(&snapshot, &label, 1),
			   &histogram);
	push_describe(scene->push, &snapshot);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	assert_int_equal(push_collect(scene->push, &snapshot), 0);
	snapshot_free(&snapshot);
}

static void a_strict_receiver_accepts_every_request(void **state)
{
	struct scene *scene = *state;
	struct child child;
	char *output;

	receiver_start(&child, "204*2,503*2,hang,close,429:Retry-After=@1,200:Body=ok",
		       false);
	snprintf(scene->urls[0], sizeof(scene->urls[0]), "http://127.0.0.1:%u/push",
		 child.port);
	scene->endpoints[0].remote_timeout_ms = 300;
	scene->endpoints[0].queue.retry_on_http_429 = true;
	scene->endpoints[0].queue.max_samples_per_send = 6;
	start(scene, accept_all);
	for (int i = 0; i < 3; i++) {
		collect_many(scene, "a", 5);
		collect_histogram(scene);
		deliver(scene);
	}
	push_flush(scene->push, 10000);
	expect_metric(scene, "samples_pending", 0);
	expect_metric(scene, "samples_failed", 0);
	output = receiver_end(&child);
	assert_true(occurrences(output, "\n") > 12);
	assert_int_equal(occurrences(output, "\"violations\": []"),
			 occurrences(output, "\n"));
	assert_int_equal(occurrences(output, "\"status\": 503"), 2);
	assert_int_equal(occurrences(output, "\"status\": \"hang\""), 1);
	assert_int_equal(occurrences(output, "\"Retry-Attempt\": \"4\""), 1);
	assert_true(occurrences(output, "\"bits\": \"7ff0000000000002\"") > 0);
	assert_int_equal(occurrences(output, "\"bits\": \"7ff8"), 0);
	assert_true(occurrences(output, "\"le\": \"1.0\"") > 0);
}

/* The first endpoint delivers, the second never does. */
static void only_the_first_delivers(struct scene *scene)
{
	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
	collect_many(scene, "a", 1);
	deliver(scene);
	run_until(scene, second_has_retried, 2);
	expect_metric(scene, "samples", 1);
	assert_int_equal(metric_of(scene, "second", "samples"), 0);
	push_free(&scene->push);
}

static void a_server_is_verified_by_the_configured_name_and_authority(void **state)
{
	struct scene *scene = *state;
	struct child child;
	char cert[64], *output;

	receiver_start(&child, "204", true);
	snprintf(cert, sizeof(cert), "%s/cert.pem", child.directory);
	set_endpoint(scene, 1, "second");
	snprintf(scene->urls[0], sizeof(scene->urls[0]), "https://127.0.0.1:%u/push",
		 child.port);
	strcpy(scene->urls[1], scene->urls[0]);
	scene->endpoints[0].tls.ca_file = cert;
	scene->endpoints[0].tls.server_name = (char *)"push.test";
	scene->config.remote_write_count = 2;
	scene->endpoints[1].tls = (struct config_tls){.ca_file = cert};
	only_the_first_delivers(scene);
	scene->endpoints[1].tls.server_name = (char *)"other.test";
	only_the_first_delivers(scene);
	scene->endpoints[1].tls =
	    (struct config_tls){.server_name = (char *)"push.test"};
	only_the_first_delivers(scene);
	/* Without any verification. */
	scene->endpoints[0].tls = (struct config_tls){.insecure_skip_verify = true};
	only_the_first_delivers(scene);
	output = receiver_end(&child);
	assert_int_equal(occurrences(output, "\n"), 4);
	assert_int_equal(occurrences(output, "\"Host\": \"127.0.0.1:"), 4);
	assert_int_equal(occurrences(output, "\"violations\": []"), 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_request_has_the_headers_of_the_specification),
	    TEST(a_host_name_of_any_bytes_is_an_instance),
	    TEST(job_and_instance_of_the_config_stay),
	    TEST(basic_auth_is_sent_at_once),
	    TEST(batches_go_in_order_over_one_connection),
	    TEST(what_failed_is_sent_again_before_what_is_newer),
	    TEST(a_kept_connection_that_has_died_is_replaced_at_once),
	    TEST(a_refused_connection_is_retried),
	    TEST(a_request_without_answer_is_retried_after_the_timeout),
	    TEST(retry_after_replaces_the_backoff),
	    TEST(a_retry_after_that_says_nothing_leaves_the_backoff),
	    TEST(backoff_grows_to_its_maximum_and_never_shrinks),
	    TEST(a_refusal_is_never_retried),
	    TEST(too_many_requests_is_retried_where_asked),
	    TEST(a_status_counts_though_its_body_was_cut_or_never_ends),
	    TEST(the_token_file_is_read_for_every_request),
	    TEST(a_password_file_is_read_for_every_request),
	    TEST(without_a_usable_token_nothing_is_sent_until_there_is_one),
	    TEST(a_receiver_that_quotes_the_secret_does_not_get_it_logged),
	    TEST(a_refusal_is_logged_up_to_1024_bytes_on_one_line),
	    TEST(an_outage_and_its_end_are_logged_once),
	    TEST(a_dead_endpoint_delays_no_other),
	    TEST(a_full_queue_drops_the_oldest_and_counts_them),
	    TEST(a_collection_never_pushes_itself_out),
	    TEST(endpoints_share_the_smallest_batch_size),
	    TEST(a_flush_ends_every_series_and_sends_what_waits),
	    TEST(a_flush_gives_up_at_its_deadline_and_says_what_remains),
	    TEST(a_flush_does_not_wait_for_who_asked_for_a_longer_pause),
	    TEST(a_collection_during_the_flush_is_not_taken),
	    TEST(a_name_server_that_is_down_stops_nobody),
	    TEST(without_endpoints_it_does_nothing),
	    TEST(nothing_wakes_while_nothing_waits),
	    TEST(an_endpoint_is_named_without_its_secrets),
	    TEST(a_strict_receiver_accepts_every_request),
	    TEST(a_server_is_verified_by_the_configured_name_and_authority),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
