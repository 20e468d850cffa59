/* SPDX-License-Identifier: Apache-2.0 */
/* client.c against real sockets, as push uses it; a GET as a scraper does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client.h"
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

/* --- GET ----------------------------------------------------------------------------
 */

struct get {
	struct client *client;
	struct exchange *exchange;
	struct scene *scene;
	unsigned int answers;
	long status;
	char text[CLIENT_TEXT_MAX + 1];
	char type[64];
	char *body;
	size_t body_len;
};

static void on_answer(void *context, const struct client_answer *answer)
{
	struct get *get = context;
	const char *type = exchange_content_type(get->exchange);
	const char *body = exchange_body(get->exchange, &get->body_len);

	get->answers++;
	get->status = answer->status;
	snprintf(get->text, sizeof(get->text), "%s", answer->text);
	snprintf(get->type, sizeof(get->type), "%s", type ? type : "none");
	free(get->body);
	get->body = malloc(get->body_len + 1);
	memcpy(get->body, body, get->body_len + 1);
	loop_stop(get->scene->loop);
}

static void get_create(struct get *get, struct scene *scene, const char *const *answers)
{
	scene->servers[0]->answers = answers;
	server_listen(scene->servers[0]);
	*get = (struct get){.scene = scene};
	assert_int_equal(client_create(scene->loop, &get->client), 0);
	assert_int_equal(exchange_create(get->client, &scene->endpoints[0].http,
					 on_answer, get, &get->exchange),
			 0);
}

static void get_free(struct get *get)
{
	exchange_free(&get->exchange);
	client_free(&get->client);
	free(get->body);
}

static void get_start(struct get *get, size_t body_max)
{
	static const char *const headers[] = {"Accept: text/plain;q=0.5"};
	struct client_answer answer;

	assert_int_equal(exchange_get(get->exchange, headers, 1, body_max, &answer), 0);
}

static void get_run(struct get *get, size_t body_max)
{
	unsigned int answers = get->answers;

	get_start(get, body_max);
	assert_int_equal(loop_run(get->scene->loop), 0);
	assert_int_equal(get->answers, answers + 1);
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
	assert_non_null(strstr(get.text, "content unencoding"));
	get_free(&get);
}

/* The one behind it is there at once. */
static void a_server_that_hangs_delays_nobody(void **state)
{
	struct scene *scene = *state;
	struct get hanging, other;
	char url[64];

	scene->endpoints[0].http.timeout_ms = 200;
	get_create(&hanging, scene, (const char *const[]){HANG, NULL});
	get_start(&hanging, 100);
	other = (struct get){.scene = scene};
	scene->servers[1]->answers = (const char *const[]){GZIPPED "b", NULL};
	server_listen(scene->servers[1]);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/m", scene->servers[1]->port);
	scene->endpoints[1].http.url = url;
	assert_int_equal(exchange_create(hanging.client, &scene->endpoints[1].http,
					 on_answer, &other, &other.exchange),
			 0);
	get_run(&other, 100);
	assert_int_equal(other.status, 200);
	assert_int_equal(hanging.answers, 0);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_int_equal(hanging.status, 0);
	assert_non_null(strstr(hanging.text, "timed out after 2"));
	exchange_free(&other.exchange);
	free(other.body);
	get_free(&hanging);
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

static void without_its_token_nothing_is_asked(void **state)
{
	struct scene *scene = *state;
	struct client_answer answer;
	struct get get;

	scene->endpoints[0].http.authorization.credentials_file =
	    (char *)"/nonexistent/token";
	get_create(&get, scene, accept_all);
	assert_int_equal(exchange_get(get.exchange, NULL, 0, 100, &answer), -ENOENT);
	assert_int_equal(answer.status, 0);
	assert_string_equal(answer.text, "cannot read credentials_file "
					 "\"/nonexistent/token\": "
					 "No such file or directory");
	assert_int_equal(get.answers, 0);
	get_free(&get);
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
	    TEST(a_get_has_headers_and_no_body),
	    TEST(an_exchange_gets_and_posts_in_turn),
	    TEST(a_gzipped_body_arrives_decoded),
	    TEST(a_body_is_never_longer_than_it_may_be),
	    TEST(a_body_may_be_as_long_as_it_likes),
	    TEST(half_a_body_is_none),
	    TEST(a_server_that_hangs_delays_nobody),
	    TEST(a_redirect_of_a_get_is_followed_as_a_get),
	    TEST(a_redirect_that_may_not_be_followed_is_the_answer),
	    TEST(a_refusal_is_told_with_its_text_and_no_secret),
	    TEST(a_body_that_was_asked_for_is_not_changed),
	    TEST(an_exchange_may_be_told_where_to_go),
	    TEST(a_refused_connection_says_so),
	    TEST(without_its_token_nothing_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
