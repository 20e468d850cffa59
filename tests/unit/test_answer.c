/* SPDX-License-Identifier: Apache-2.0 */
/* What is chosen; how it looks on the wire is test_httpd.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "answer.h"
#include "body.h"
#include "length.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
