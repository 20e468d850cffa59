/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_route.c against real sockets: where requests arrive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "getting.h"

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
		scene->endpoints[0].http.url = (char *)cases[i].url;
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
		assert_int_equal(found, 12);
		snapshot_free(&snapshot);
		if (i + 1 < LENGTH(cases))
			tear_down(state);
	}
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
	scene->endpoints[0].http.tls.ca_file = cert;
	scene->endpoints[0].http.tls.server_name = (char *)"push.test";
	scene->config.remote_write_count = 2;
	scene->endpoints[1].http.tls = (struct config_tls){.ca_file = cert};
	only_the_first_delivers(scene);
	scene->endpoints[1].http.tls.server_name = (char *)"other.test";
	only_the_first_delivers(scene);
	scene->endpoints[1].http.tls =
	    (struct config_tls){.server_name = (char *)"push.test"};
	only_the_first_delivers(scene);
	/* Without any verification. */
	scene->endpoints[0].http.tls =
	    (struct config_tls){.insecure_skip_verify = true};
	only_the_first_delivers(scene);
	output = receiver_end(&child);
	assert_int_equal(occurrences(output, "\n"), 4);
	assert_int_equal(occurrences(output, "\"Host\": \"127.0.0.1:"), 4);
	assert_int_equal(occurrences(output, "\"violations\": []"), 4);
}

static void a_redirect_is_followed_as_a_post_with_its_body(void **state)
{
	static const char *const statuses[] = {"301", "302", "303", "307", "308"};

	for (size_t i = 0; i < LENGTH(statuses); i++) {
		char redirect[128];
		const char *answers[] = {redirect, OK, NULL};
		struct scene *scene;

		if (i)
			set_up(state);
		scene = *state;
		snprintf(redirect, sizeof(redirect),
			 "HTTP/1.1 %s No\r\nLocation: /elsewhere\r\n"
			 "Content-Length: 0\r\n\r\n",
			 statuses[i]);
		scene->endpoints[0].http.authorization.credentials = (char *)"s3cret";
		start(scene, answers);
		collect_many(scene, "a", 3);
		deliver(scene);
		assert_int_equal(scene->servers[0]->count, 2);
		assert_int_equal(strncmp(first_request(scene, 1)->head,
					 "POST /elsewhere HTTP/1.1\r\n", 26),
				 0);
		assert_true(body_has(first_request(scene, 1), "a.2"));
		assert_true(has_header(first_request(scene, 1),
				       "Authorization: Bearer s3cret"));
		expect_metric(scene, "samples", 3);
		if (i + 1 < LENGTH(statuses))
			tear_down(state);
	}
}

static void a_redirect_to_another_host_takes_no_credentials_along(void **state)
{
	char redirect[128];
	const char *answers[] = {redirect, NULL};
	struct scene *scene = *state;

	snprintf(redirect, sizeof(redirect),
		 "HTTP/1.1 307 No\r\nLocation: http://127.0.0.1:%u/there\r\n"
		 "Content-Length: 0\r\n\r\n",
		 scene->servers[1]->port);
	scene->endpoints[0].http.authorization.credentials = (char *)"s3cret";
	server_listen(scene->servers[1]);
	start(scene, answers);
	collect_many(scene, "a", 3);
	deliver(scene);
	assert_int_equal(scene->servers[1]->count, 1);
	assert_false(
	    has_header_named(&scene->servers[1]->requests[0], "Authorization"));
	assert_true(body_has(&scene->servers[1]->requests[0], "a.2"));
	expect_metric(scene, "samples", 3);
}

/* The first host is well, the one it points to is not: an outage like any other. */
static void a_redirect_to_who_does_not_answer_is_tried_again(void **state)
{
	char redirect[128];
	const char *answers[] = {redirect, NULL};
	struct scene *scene = *state;

	snprintf(redirect, sizeof(redirect),
		 "HTTP/1.1 307 No\r\nLocation: http://127.0.0.1:%u/there\r\n"
		 "Content-Length: 0\r\n\r\n",
		 scene->servers[1]->port);
	start(scene, answers);
	collect_many(scene, "a", 3);
	run_until(scene, has_retried, 6);
	server_listen(scene->servers[1]);
	deliver(scene);
	expect_metric(scene, "samples", 3);
	expect_metric(scene, "samples_failed", 0);
}

static void redirects_in_a_circle_are_a_refusal(void **state)
{
	static const char *const circle[] = {
	    "HTTP/1.1 307 No\r\nLocation: /push\r\nContent-Length: 0\r\n\r\n", NULL};
	struct scene *scene = *state;

	start(scene, circle);
	collect_many(scene, "a", 3);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 11);
	expect_metric(scene, "samples_failed", 3);
}

static void a_redirect_of_a_get_is_followed_as_a_get(void **state)
{
	static const char *const statuses[] = {"301", "302", "303", "307", "308"};
	struct scene *scene = *state;
	char redirect[128];
	const char *answers[] = {redirect, GZIPPED "there", NULL};
	struct get get;

	get_create(&get, scene, answers);
	for (size_t i = 0; i < LENGTH(statuses); i++) {
		const struct request *request;

		snprintf(redirect, sizeof(redirect),
			 "HTTP/1.1 %s No\r\nLocation: /elsewhere\r\n"
			 "Content-Length: 4\r\n\r\ngone",
			 statuses[i]);
		scene->servers[0]->answers = answers;
		get_run(&get, 100);
		assert_int_equal(get.status, 200);
		assert_string_equal(get.body, "there");
		request = first_request(scene, 2 * i + 1);
		assert_int_equal(
		    strncmp(request->head, "GET /elsewhere HTTP/1.1\r\n", 25), 0);
	}
	get_free(&get);
}

static void a_redirect_that_may_not_be_followed_is_the_answer(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 302 No\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
	    NULL};
	struct scene *scene = *state;
	struct get get;

	scene->endpoints[0].http.follow_redirects = false;
	get_create(&get, scene, answers);
	get_run(&get, 100);
	assert_int_equal(get.status, 302);
	assert_int_equal(scene->servers[0]->count, 1);
	get_free(&get);
}

static void a_proxy_is_asked_for_the_whole_url(void **state)
{
	struct scene *scene = *state;
	char proxy[64];

	snprintf(proxy, sizeof(proxy), "http://user:geheim@127.0.0.1:%u",
		 scene->servers[0]->port);
	scene->endpoints[0].http.url = (char *)"http://receiver.invalid/push";
	scene->endpoints[0].http.proxy_url = proxy;
	start(scene, accept_all);
	collect_many(scene, "a", 3);
	deliver(scene);
	assert_int_equal(strncmp(first_request(scene, 0)->head,
				 "POST http://receiver.invalid/push HTTP/1.1\r\n", 44),
			 0);
	assert_true(has_header(first_request(scene, 0), "Proxy-Authorization: Basic "
							"dXNlcjpnZWhlaW0="));
	expect_metric(scene, "samples", 3);
}

static void the_environment_names_a_proxy_only_where_the_file_says_so(void **state)
{
	struct scene *scene = *state;
	char proxy[64];

	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", scene->servers[1]->port);
	setenv("HTTP_PROXY", proxy, 1);
	server_listen(scene->servers[1]);
	start(scene, accept_all);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 1);
	push_free(&scene->push);
	scene->endpoints[0].http.proxy_from_environment = true;
	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 1);
	assert_int_equal(scene->servers[1]->count, 1);
	unsetenv("HTTP_PROXY");
}

static void an_exchange_may_be_told_where_to_go(void **state)
{
	struct scene *scene = *state;
	struct get get;
	char url[64];

	scene->endpoints[0].http.url = NULL;
	get_create(&get, scene, (const char *const[]){GZIPPED "a", NULL});
	for (int i = 0; i < 2; i++) {
		char line[32];

		snprintf(url, sizeof(url), "http://127.0.0.1:%u/%d?a=b",
			 scene->servers[0]->port, i);
		assert_int_equal(exchange_set_url(get.exchange, url), 0);
		snprintf(line, sizeof(line), "GET /%d?a=b HTTP/1.1\r\n", i);
		memset(url, '-', sizeof(url));
		get_run(&get, 100);
		assert_int_equal(get.status, 200);
		assert_int_equal(
		    strncmp(first_request(scene, (size_t)i)->head, line, strlen(line)),
		    0);
	}
	assert_int_equal(exchange_set_url(get.exchange, "http://[::1"), -EINVAL);
	get_free(&get);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(an_endpoint_is_named_without_its_secrets),
	    TEST(a_server_is_verified_by_the_configured_name_and_authority),
	    TEST(a_redirect_is_followed_as_a_post_with_its_body),
	    TEST(a_redirect_to_another_host_takes_no_credentials_along),
	    TEST(a_redirect_to_who_does_not_answer_is_tried_again),
	    TEST(redirects_in_a_circle_are_a_refusal),
	    TEST(a_redirect_of_a_get_is_followed_as_a_get),
	    TEST(a_redirect_that_may_not_be_followed_is_the_answer),
	    TEST(a_proxy_is_asked_for_the_whole_url),
	    TEST(the_environment_names_a_proxy_only_where_the_file_says_so),
	    TEST(an_exchange_may_be_told_where_to_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
