/* SPDX-License-Identifier: Apache-2.0 */
/* What is chosen, and how it looks on the wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "answer.h"
#include "body.h"
#include "length.h"
#include "serving.h"

static const struct family memory = {"memory_bytes", "Memory.", "bytes", METRIC_GAUGE,
				     0};

struct scene {
	int metrics_err, status_err;
	bool is_ready;
	struct answers answers;
};

static int collect_metrics(void *context, struct snapshot *ret_snapshot)
{
	const struct scene *scene = context;

	if (scene->metrics_err)
		return scene->metrics_err;
	snapshot_init(ret_snapshot, 0);
	snapshot_value(ret_snapshot, &memory, (struct label_set){0}, 1);
	return snapshot_finish(ret_snapshot);
}

static int write_status(void *context, struct buf *ret_html)
{
	const struct scene *scene = context;

	buf_string(ret_html, "<html>");
	return scene->status_err;
}

static bool is_ready(void *context)
{
	return ((const struct scene *)context)->is_ready;
}

static void start(struct scene *scene)
{
	const struct answer_pages pages = {collect_metrics, write_status, is_ready,
					   scene};

	*scene = (struct scene){0};
	answers_init(&scene->answers, &pages);
}

static const char *header_of(const struct answer *answer, const char *name)
{
	for (size_t i = 0; i < answer->header_count; i++)
		if (!strcmp(answer->headers[i].name, name))
			return answer->headers[i].value;
	return "";
}

/* Its body's bytes. */
static size_t read_all(struct answer *answer)
{
	char bytes[256];
	size_t size = 0;
	ssize_t len;

	while ((len = body_read(answer->body, bytes, sizeof(bytes))) > 0)
		size += (size_t)len;
	assert_int_equal(len, 0);
	return size;
}

static void check_text(const struct answer *answer, unsigned int status,
		       const char *text)
{
	assert_int_equal(answer->status, status);
	assert_string_equal(answer->text, text);
	assert_null(answer->body);
	assert_string_equal(header_of(answer, "Content-Type"),
			    "text/plain; charset=utf-8");
}

static void a_target_is_a_path_or_a_url(void **state)
{
	static const struct {
		const char *target;
		unsigned int status;
	} cases[] = {
	    {"/metrics", 200},
	    {"/", 200},
	    {"/-/healthy", 200},
	    {"/-/ready", 503},
	    {"http://a:1/metrics", 200},
	    {"HTTPS://a/-/ready", 503},
	    {"http://a", 200},
	    {"ftp://a/metrics", 404},
	    {"", 404},
	    {"*", 404},
	    {"/metrics/", 404},
	    {"/metric", 404},
	    {"//metrics", 404},
	    {"/Metrics", 404},
	};
	struct scene scene;

	(void)state;
	start(&scene);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct answer_request request = {
		    .target = cases[i].target,
		    .method = "GET",
		};
		struct answer answer;

		answers_choose(&scene.answers, &request, &answer);
		assert_int_equal(answer.status, cases[i].status);
		answer_free(&answer);
	}
}

static void pages_are_read_and_nothing_else(void **state)
{
	static const char *const methods[] = {"POST", "PUT", "DELETE", "get", ""};
	struct scene scene;

	(void)state;
	start(&scene);
	for (size_t i = 0; i < LENGTH(methods); i++) {
		const struct answer_request request = {
		    .target = "/metrics",
		    .method = methods[i],
		    .is_busy = true,
		};
		struct answer answer;

		answers_choose(&scene.answers, &request, &answer);
		check_text(&answer, 405, "method not allowed\n");
		assert_string_equal(header_of(&answer, "Allow"), "GET, HEAD");
		answer_free(&answer);
	}
}

static void only_pages_are_busy(void **state)
{
	static const struct {
		const char *target;
		bool is_busy;
	} cases[] = {
	    {"/metrics", true},
	    {"/", true},
	    {"/-/healthy", false},
	    {"/-/ready", false},
	};
	struct scene scene;

	(void)state;
	start(&scene);
	scene.is_ready = true;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct answer_request request = {
		    .target = cases[i].target,
		    .method = "GET",
		    .is_busy = true,
		};
		struct answer answer;

		answers_choose(&scene.answers, &request, &answer);
		if (cases[i].is_busy)
			check_text(&answer, 503,
				   "too many pages are being sent to others\n");
		else
			assert_int_equal(answer.status, 200);
		answer_free(&answer);
	}
}

static void a_page_says_what_it_is_and_what_it_varies_by(void **state)
{
	static const struct {
		struct answer_request request;
		const char *type, *vary, *encoding;
	} cases[] = {
	    {{"/metrics", "GET", NULL, NULL, false},
	     "text/plain; version=0.0.4; charset=utf-8",
	     "Accept, Accept-Encoding",
	     ""},
	    {{"/metrics", "GET", "application/openmetrics-text; version=1.0.0", "gzip",
	      false},
	     "application/openmetrics-text; version=1.0.0; charset=utf-8",
	     "Accept, Accept-Encoding",
	     "gzip"},
	    {{"/", "GET", "application/openmetrics-text", "gzip;q=0", false},
	     "text/html; charset=utf-8",
	     "Accept-Encoding",
	     ""},
	    {{"/", "GET", NULL, "*", false},
	     "text/html; charset=utf-8",
	     "Accept-Encoding",
	     "gzip"},
	};
	struct scene scene;

	(void)state;
	start(&scene);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct answer answer;

		answers_choose(&scene.answers, &cases[i].request, &answer);
		assert_int_equal(answer.status, 200);
		assert_string_equal(header_of(&answer, "Content-Type"), cases[i].type);
		assert_string_equal(header_of(&answer, "Vary"), cases[i].vary);
		assert_string_equal(header_of(&answer, "Content-Encoding"),
				    cases[i].encoding);
		assert_true(answer.size == ANSWER_SIZE_UNKNOWN);
		assert_true(read_all(&answer) > 0);
		answer_free(&answer);
		assert_null(answer.body);
	}
}

static void a_head_is_told_the_length_of_a_get(void **state)
{
	static const char *const targets[] = {"/metrics", "/"};
	struct scene scene;

	(void)state;
	start(&scene);
	for (size_t i = 0; i < LENGTH(targets); i++) {
		struct answer_request request = {.target = targets[i], .method = "GET"};
		struct answer get, head;

		answers_choose(&scene.answers, &request, &get);
		request.method = "HEAD";
		answers_choose(&scene.answers, &request, &head);
		assert_int_equal(head.size, read_all(&get));
		assert_int_equal(head.header_count, get.header_count);
		answer_free(&get);
		answer_free(&head);
	}
}

/* Each page has a trouble of its own, which is over when it works. */
static void a_page_that_fails_says_why(void **state)
{
	struct answer_request request = {.target = "/metrics", .method = "GET"};
	struct answer answer;
	struct scene scene;

	(void)state;
	start(&scene);
	scene.metrics_err = -EIO;
	answers_choose(&scene.answers, &request, &answer);
	check_text(&answer, 500, "failed: EIO\n");
	assert_int_equal(answer.header_count, 1);
	assert_int_equal(scene.answers.metrics.told, -EIO);
	assert_int_equal(scene.answers.status.told, 0);
	scene.metrics_err = 0;
	answers_choose(&scene.answers, &request, &answer);
	assert_int_equal(answer.status, 200);
	assert_ptr_equal(answer.trouble, &scene.answers.metrics);
	answer_tell(answer.trouble, 0);
	assert_int_equal(scene.answers.metrics.told, 0);
	answer_free(&answer);
	scene.status_err = -12345;
	request.target = "/";
	answers_choose(&scene.answers, &request, &answer);
	check_text(&answer, 500, "failed: unknown error\n");
	assert_int_equal(scene.answers.status.told, -12345);
}

static void who_is_not_known_is_asked_for_a_password(void **state)
{
	struct answer answer;

	(void)state;
	answer_text(&answer, 401, "Unauthorized\n");
	check_text(&answer, 401, "Unauthorized\n");
	assert_string_equal(header_of(&answer, "WWW-Authenticate"), "Basic");
	answer_text(&answer, 503, "later\n");
	assert_int_equal(answer.header_count, 1);
}

/* --- over the wire ----------------------------------------------------------- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_target_is_a_path_or_a_url),
	    cmocka_unit_test(pages_are_read_and_nothing_else),
	    cmocka_unit_test(only_pages_are_busy),
	    cmocka_unit_test(a_page_says_what_it_is_and_what_it_varies_by),
	    cmocka_unit_test(a_head_is_told_the_length_of_a_get),
	    cmocka_unit_test(a_page_that_fails_says_why),
	    cmocka_unit_test(who_is_not_known_is_asked_for_a_password),
	    cmocka_unit_test(every_path_has_its_answer),
	    cmocka_unit_test(ready_follows_the_callback),
	    cmocka_unit_test(accept_chooses_format_and_content_type),
	    cmocka_unit_test(who_asks_for_protobuf_gets_delimited_messages),
	    cmocka_unit_test(gzip_holds_the_same_bytes_at_every_size),
	    cmocka_unit_test(what_did_not_ask_for_gzip_does_not_get_it),
	    cmocka_unit_test(head_has_the_fields_of_get_and_no_body),
	    cmocka_unit_test(other_methods_are_405_and_name_the_two_that_are_allowed),
	    cmocka_unit_test(a_page_that_fails_is_a_500_with_the_name_of_the_error),
	    cmocka_unit_test(a_status_page_above_its_ceiling_is_a_500_that_says_so),
	};

	alarm(300); /* a server that never answers is a failure too */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
