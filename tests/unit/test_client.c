/* SPDX-License-Identifier: Apache-2.0 */
/* client.c against real sockets, as push uses it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "receiving.h"

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
		scene->endpoints[0].http.basic_auth = (struct config_basic_auth){
		    .username = (char *)cases[i].username,
		    .password = (char *)cases[i].password,
		};
		collect_many(scene, "a", 1);
		deliver(scene);
		assert_true(has_header(first_request(scene, i), cases[i].header));
	}
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

	scene->endpoints[0].http.authorization.type = (char *)"Bearer";
	scene->endpoints[0].http.authorization.credentials_file = scene->token_path;
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

	scene->endpoints[0].http.basic_auth.username = (char *)"user";
	scene->endpoints[0].http.basic_auth.password_file = scene->token_path;
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
		scene->endpoints[0].http.authorization.credentials_file =
		    scene->token_path;
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
	    "POST /push?apikey=url-0123456789abcdef is not allowed",
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
		scene->endpoints[0].http.headers = (struct config_labels){&header, 1};
		scene->endpoints[0].http.authorization.credentials = (char *)secret;
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

/* The thread that curl asks from cannot be stopped; waiting for it would stop
 * the daemon. */
static void a_name_server_that_is_down_stops_nobody(void **state)
{
	struct scene *scene = *state;

	sem_init(&resolver.may_answer, 0, 0);
	sem_init(&resolver.has_answered, 0, 0);
	scene->endpoints[0].http.url = "http://" SLOW_HOST "/push";
	scene->endpoints[0].http.timeout_ms = 20;
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

/* --- other ways to the receiver -----------------------------------------------------
 */

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

static void copy_file(const char *from, const char *to)
{
	run_program((char *[]){"/bin/cp", (char *)from, (char *)to, NULL});
}

/* An authority that comes later lets the next request through, without a restart. */
static void an_authority_is_read_again_when_its_file_changes(void **state)
{
	struct scene *scene = *state;
	struct child child, other;
	char cert[64], wrong[64], ca[128];

	receiver_start(&child, "204", true);
	receiver_start(&other, "204", true);
	snprintf(cert, sizeof(cert), "%s/cert.pem", child.directory);
	snprintf(wrong, sizeof(wrong), "%s/cert.pem", other.directory);
	snprintf(ca, sizeof(ca), "%s.ca", scene->token_path);
	copy_file(wrong, ca);
	snprintf(scene->urls[0], sizeof(scene->urls[0]), "https://127.0.0.1:%u/push",
		 child.port);
	scene->endpoints[0].http.tls =
	    (struct config_tls){.ca_file = ca, .server_name = (char *)"push.test"};
	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
	collect_many(scene, "a", 1);
	run_until(scene, has_retried, 2);
	copy_file(cert, ca);
	deliver(scene);
	expect_metric(scene, "samples", 1);
	/* And the other way round: a connection made under the old one is not used. */
	copy_file(wrong, ca);
	collect_many(scene, "a", 1);
	run_until(scene, has_retried,
		  (size_t)metric_of(scene, "first", "samples_retried") + 2);
	expect_metric(scene, "samples", 1);
	unlink(ca);
	receiver_end(&child);
	receiver_end(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(basic_auth_is_sent_at_once),
	    TEST(a_kept_connection_that_has_died_is_replaced_at_once),
	    TEST(a_status_counts_though_its_body_was_cut_or_never_ends),
	    TEST(the_token_file_is_read_for_every_request),
	    TEST(a_password_file_is_read_for_every_request),
	    TEST(without_a_usable_token_nothing_is_sent_until_there_is_one),
	    TEST(a_receiver_that_quotes_the_secret_does_not_get_it_logged),
	    TEST(a_name_server_that_is_down_stops_nobody),
	    TEST(an_endpoint_is_named_without_its_secrets),
	    TEST(a_server_is_verified_by_the_configured_name_and_authority),
	    TEST(a_redirect_is_followed_as_a_post_with_its_body),
	    TEST(a_redirect_to_another_host_takes_no_credentials_along),
	    TEST(a_redirect_to_who_does_not_answer_is_tried_again),
	    TEST(redirects_in_a_circle_are_a_refusal),
	    TEST(a_proxy_is_asked_for_the_whole_url),
	    TEST(the_environment_names_a_proxy_only_where_the_file_says_so),
	    TEST(an_authority_is_read_again_when_its_file_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
