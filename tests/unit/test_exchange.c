/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.c against real sockets: one request, and its answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/resource.h>

#include "getting.h"

#define NO_GZIP "the body is not whole gzip, as its Content-Encoding says"

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
	scene->endpoints[0].http.timeout_ms = 200;
	start(scene, answers);
	for (int i = 0; i < 3; i++) {
		collect_many(scene, "a", 1);
		deliver(scene);
	}
	assert_int_equal(scene->servers[0]->count, 3);
	expect_metric(scene, "samples", 3);
	expect_metric(scene, "samples_retried", 0);
}

static void a_get_has_headers_and_no_body(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
	    "Content-Length: 4\r\n\r\na 1\n",
	    NULL};
	struct scene *scene = *state;
	const struct request *request;
	struct get get;

	scene->endpoints[0].http.authorization.credentials = (char *)"s3cret";
	get_create(&get, scene, answers);
	get_run(&get, 100);
	assert_int_equal(get.status, 200);
	assert_string_equal(get.body, "a 1\n");
	assert_int_equal(get.body_len, 4);
	assert_string_equal(get.type, "text/plain; version=0.0.4");
	request = first_request(scene, 0);
	assert_int_equal(strncmp(request->head, "GET /push HTTP/1.1\r\n", 20), 0);
	assert_true(has_header(request, "Accept: text/plain;q=0.5"));
	assert_true(has_header(request, "Accept-Encoding: gzip"));
	assert_true(has_header(request, "Authorization: Bearer s3cret"));
	assert_false(has_header_named(request, "Content-Length"));
	assert_false(has_header_named(request, "Content-Type"));
	get_free(&get);
}

/* What curl adds to a body of its own accord would be in the way of the next. */
static void an_exchange_gets_and_posts_in_turn(void **state)
{
	static const char *const answers[] = {GZIPPED "one", OK, GZIPPED "three", NULL};
	struct scene *scene = *state;
	struct client_answer answer;
	struct get get;

	get_create(&get, scene, answers);
	get_run(&get, 100);
	assert_int_equal(exchange_post(get.exchange, NULL, 0, "two", 3, &answer), 0);
	assert_int_equal(loop_run(scene->loop), 0);
	get_run(&get, 100);
	assert_string_equal(get.body, "three");
	assert_int_equal(scene->servers[0]->count, 3);
	assert_true(body_has(first_request(scene, 1), "two"));
	assert_int_equal(strncmp(first_request(scene, 1)->head, "POST ", 5), 0);
	assert_false(has_header_named(first_request(scene, 1), "Accept-Encoding"));
	assert_int_equal(strncmp(first_request(scene, 2)->head, "GET ", 4), 0);
	assert_int_equal(first_request(scene, 2)->body_len, 0);
	get_free(&get);
}

static void a_gzipped_body_arrives_decoded(void **state)
{
	static char answer[60000] = GZIPPED;
	const char *answers[] = {answer, NULL};
	size_t len = sizeof(answer) - 1 - strlen(GZIPPED);
	struct get get;

	memset(answer + strlen(GZIPPED), 'a', len);
	get_create(&get, *state, answers);
	get_run(&get, len);
	assert_int_equal(get.status, 200);
	assert_int_equal(get.body_len, len);
	assert_string_equal(get.body, answer + strlen(GZIPPED));
	get_free(&get);
}

/* However small it was on its way. */
static void a_body_is_never_longer_than_it_may_be(void **state)
{
	static char gzipped[60000] = GZIPPED, plain[60000] = "HTTP/1.1 200 OK\r\n"
							     "\r\n";
	const char *answers[] = {gzipped, plain, GZIPPED "short", NULL};
	struct get get;

	memset(gzipped + strlen(GZIPPED), 'a', sizeof(gzipped) - 1 - strlen(GZIPPED));
	memset(plain + strlen(plain), 'a', 50000);
	get_create(&get, *state, answers);
	for (int i = 0; i < 2; i++) {
		get_run(&get, 49999);
		assert_int_equal(get.status, 0);
		assert_string_equal(get.text, "the body is longer than 49999 bytes");
		assert_true(get.body_len <= 49999);
	}
	get_run(&get, 5);
	assert_int_equal(get.status, 200);
	assert_string_equal(get.body, "short");
	get_free(&get);
}

/* Of one client there is one here, so that its own body is all there is; what it had
 * is given back for the next. */
static void bodies_share_what_room_the_client_has(void **state)
{
	static char plain[60000] = "HTTP/1.1 200 OK\r\n\r\n";
	const char *answers[] = {plain, GZIPPED "short", GZIPPED "again", NULL};
	struct get get;

	memset(plain + strlen(plain), 'a', 50000);
	get_create(&get, *state, answers);
	client_limit(get.client, 4, 5);
	get_run(&get, 100000);
	assert_int_equal(get.status, 0);
	assert_string_equal(get.text, "other bodies take all the room");
	get_run(&get, 100000);
	assert_string_equal(get.body, "short");
	get_run(&get, 100000);
	assert_string_equal(get.body, "again");
	get_free(&get);
}

static void a_body_may_be_as_long_as_it_likes(void **state)
{
	struct get get;

	get_create(&get, *state, (const char *const[]){GZIPPED "short", NULL});
	get_run(&get, SIZE_MAX);
	assert_string_equal(get.body, "short");
	get_free(&get);
}

static void half_a_body_is_none(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
	    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
	    "Content-Length: 4\r\n\r\nhalf",
	    NULL,
	};
	struct scene *scene = *state;
	struct get get;

	scene->endpoints[0].http.timeout_ms = 50;
	get_create(&get, scene, answers);
	get_run(&get, 100);
	assert_int_equal(get.status, 0);
	assert_non_null(strstr(get.text, "timed out"));
	get_run(&get, 100);
	assert_int_equal(get.status, 0);
	assert_string_equal(get.text, NO_GZIP);
	get_free(&get);
}

/* Though all that Content-Length said came: a file that was being written. */
static void gzip_without_its_end_is_none(void **state)
{
	static const char *const answers[] = {
	    GZIP_CUT "a 1\n",
	    "HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\n"
	    "Content-Length: 2\r\n\r\n\x1f\x8b",
	    "HTTP/1.1 200 OK\r\nContent-Encoding: x-gzip\r\n"
	    "Content-Length: 0\r\n\r\n",
	    GZIPPED "",
	    NULL,
	};
	struct get get;

	get_create(&get, *state, answers);
	for (int i = 0; i < 3; i++) {
		get_run(&get, 100);
		assert_int_equal(get.status, 0);
		assert_string_equal(get.text, NO_GZIP);
	}
	get_run(&get, 100);
	assert_int_equal(get.status, 200);
	assert_int_equal(get.body_len, 0);
	get_free(&get);
}

static void a_status_of_refusal_needs_no_gzip(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 404 Not Found\r\nContent-Encoding: gzip\r\n"
	    "Content-Length: 4\r\n\r\nhalf",
	    NULL,
	};
	struct get get;

	get_create(&get, *state, answers);
	get_run(&get, 100);
	assert_int_equal(get.status, 404);
	get_free(&get);
}

/* Its status counts, whatever became of its body. */
static void a_refusal_is_told_with_its_text_and_no_secret(void **state)
{
	static char endless[60000] = "HTTP/1.1 503 No\r\n\r\nwait";
	const char *answers[] = {"HTTP/1.1 401 No\r\nContent-Length: 17\r\n\r\n"
				 "s3cret-0 is wrong",
				 endless, NULL};
	struct scene *scene = *state;
	struct get get;

	memset(endless + strlen(endless), '-', 50000);
	scene->endpoints[0].http.authorization.credentials = (char *)"s3cret-0";
	get_create(&get, scene, answers);
	get_run(&get, 1000);
	assert_int_equal(get.status, 401);
	assert_string_equal(get.text, "******** is wrong");
	get_run(&get, 1000);
	assert_int_equal(get.status, 503);
	get_free(&get);
}

/* A label value may well be what a header holds. */
static void a_body_that_was_asked_for_is_not_changed(void **state)
{
	struct config_label header = {(char *)"X-Scope-OrgID", (char *)"tenant-1"};
	struct scene *scene = *state;
	struct get get;

	scene->endpoints[0].http.headers = (struct config_labels){&header, 1};
	get_create(&get, scene,
		   (const char *const[]){GZIPPED "a{t=\"tenant-1\"}", NULL});
	get_run(&get, 100);
	assert_string_equal(get.body, "a{t=\"tenant-1\"}");
	assert_string_equal(get.text, "a{t=\"********\"}");
	get_free(&get);
}

static void a_refused_connection_says_so(void **state)
{
	struct scene *scene = *state;
	struct get get;

	/* Bound, and nobody listens. */
	scene->endpoints[0].http.url = scene->urls[1];
	snprintf(scene->urls[1], sizeof(scene->urls[1]), "http://127.0.0.1:%u/",
		 scene->servers[1]->port);
	get_create(&get, scene, accept_all);
	get_run(&get, 100);
	assert_int_equal(get.status, 0);
	assert_int_equal(get.body_len, 0);
	assert_non_null(strstr(get.text, "connect"));
	get_free(&get);
}

static void descriptors_that_ran_out_are_the_reason(void **state)
{
	static const char *const answers[] = {GZIPPED "one", NULL};
	struct rlimit limit, original;
	struct scene *scene = *state;
	struct get get;

	get_create(&get, scene, answers);
	getrlimit(RLIMIT_NOFILE, &original);
	limit = (struct rlimit){.rlim_cur = 0, .rlim_max = original.rlim_max};
	setrlimit(RLIMIT_NOFILE, &limit);
	get_run(&get, 100);
	setrlimit(RLIMIT_NOFILE, &original);
	assert_int_equal(get.status, 0);
	assert_string_equal(get.text, "cannot open a socket: Too many open files");
	get_run(&get, 100);
	assert_int_equal(get.status, 200);
	get_free(&get);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_status_counts_though_its_body_was_cut_or_never_ends),
	    TEST(a_get_has_headers_and_no_body),
	    TEST(an_exchange_gets_and_posts_in_turn),
	    TEST(a_gzipped_body_arrives_decoded),
	    TEST(a_body_is_never_longer_than_it_may_be),
	    TEST(bodies_share_what_room_the_client_has),
	    TEST(a_body_may_be_as_long_as_it_likes),
	    TEST(half_a_body_is_none),
	    TEST(gzip_without_its_end_is_none),
	    TEST(a_status_of_refusal_needs_no_gzip),
	    TEST(a_refusal_is_told_with_its_text_and_no_secret),
	    TEST(a_body_that_was_asked_for_is_not_changed),
	    TEST(a_refused_connection_says_so),
	    TEST(descriptors_that_ran_out_are_the_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
