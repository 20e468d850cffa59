/* SPDX-License-Identifier: Apache-2.0 */
/* request_head.c, as push and scrapers use it: what a server sees, and what the log
 * shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "getting.h"

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
	    TEST(the_token_file_is_read_for_every_request),
	    TEST(a_password_file_is_read_for_every_request),
	    TEST(without_a_usable_token_nothing_is_sent_until_there_is_one),
	    TEST(a_receiver_that_quotes_the_secret_does_not_get_it_logged),
	    TEST(without_its_token_nothing_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
