/* SPDX-License-Identifier: Apache-2.0 */
/* What is read alike in every section that sends requests; test_config_remote_write.c
 * has each mistake once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "config_case.h"
#include "length.h"

static const char *const sections[] = {
    "remote_write:\n- url: http://a\n",
    "otlp:\n- endpoint: http://a\n",
};

static const struct config_http *http_of(const struct loaded *loaded)
{
	assert_string_equal(loaded->error, "");
	return loaded->config.remote_write_count ? &loaded->config.remote_writes->http
						 : &loaded->config.otlps->http;
}

static void load_with(const char *section, const char *key, struct loaded *ret_loaded)
{
	char yaml[512];

	snprintf(yaml, sizeof(yaml), "%s  %s\n", section, key);
	load_text(yaml, ret_loaded);
}

static void credentials_are_of_type_bearer_unless_told(void **state)
{
	struct loaded loaded;

	(void)state;
	for (size_t i = 0; i < LENGTH(sections); i++) {
		load_with(sections[i], "authorization: {credentials: a}", &loaded);
		assert_string_equal(http_of(&loaded)->authorization.type, "Bearer");
		config_free(&loaded.config);
		load_with(sections[i], "authorization: {type: Key, credentials: a}",
			  &loaded);
		assert_string_equal(http_of(&loaded)->authorization.type, "Key");
		config_free(&loaded.config);
	}
}

static void basic_auth_has_a_name_and_a_password(void **state)
{
	struct loaded loaded;

	(void)state;
	for (size_t i = 0; i < LENGTH(sections); i++) {
		load_with(sections[i], "basic_auth: {username: u, password: p}",
			  &loaded);
		assert_string_equal(http_of(&loaded)->basic_auth.username, "u");
		assert_string_equal(http_of(&loaded)->basic_auth.password, "p");
		config_free(&loaded.config);
	}
}

static void headers_are_taken_in_order(void **state)
{
	struct loaded loaded;

	(void)state;
	for (size_t i = 0; i < LENGTH(sections); i++) {
		load_with(sections[i], "headers: {B: b, A: a}", &loaded);
		assert_int_equal(http_of(&loaded)->headers.count, 2);
		assert_string_equal(http_of(&loaded)->headers.items[0].name, "B");
		assert_string_equal(http_of(&loaded)->headers.items[1].value, "a");
		config_free(&loaded.config);
	}
}

static void mistakes_are_found_in_every_section(void **state)
{
	static const struct {
		const char *key, *error;
	} cases[] = {
	    {"headers: {Host: a}",
	     "3: 'Host' in headers is reserved: bpftally sets it itself"},
	    {"headers: {A: b, a: c}", "3: header 'A' is given twice"},
	    {"headers: {'a b': c}", "3: 'a b' in headers is not a header name"},
	    {"authorization: {type: A}",
	     "3: 'authorization' needs 'credentials' or 'credentials_file'"},
	    {"authorization: {credentials: \"a\\n\"}",
	     "3: 'credentials' has a control character, or a blank at an end"},
	    {"basic_auth: {username: 'a:b'}", "3: 'username' must not hold ':'"},
	    {"proxy_url: ftp://a",
	     "3: 'proxy_url' must be a http, https or socks5 URL"},
	    {"no_proxy: a", "2: 'no_proxy' needs 'proxy_url'"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		for (size_t j = 0; j < LENGTH(sections); j++) {
			char yaml[512];

			snprintf(yaml, sizeof(yaml), "%s  %s\n", sections[j],
				 cases[i].key);
			assert_refused(yaml, cases[i].error);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(credentials_are_of_type_bearer_unless_told),
	    cmocka_unit_test(basic_auth_has_a_name_and_a_password),
	    cmocka_unit_test(headers_are_taken_in_order),
	    cmocka_unit_test(mistakes_are_found_in_every_section),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
