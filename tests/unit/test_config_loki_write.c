/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "config_case.h"
#include "config_internal.h"
#include "length.h"

#define PEM "/proc/self/fd/100"              /* of make_pem_file */
#define URL "loki_write:\n- url: http://a\n" /* two lines */

static int make_pem_file(void **state)
{
	static const char text[] = "-----BEGIN CERTIFICATE-----\n";
	int fd = memfd_create("pem", MFD_CLOEXEC);

	(void)state;
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return -1;
	return dup2(fd, 100) == 100 ? close(fd) : -1;
}

static void a_url_alone_has_the_defaults_of_lokis_clients(void **state)
{
	const struct config_loki_write *loki;
	struct loaded loaded;

	(void)state;
	load_text("loki_write:\n- url: https://a/loki/api/v1/push\n", &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.loki_write_count, 1);
	loki = loaded.config.loki_writes;
	assert_string_equal(loki->http.url, "https://a/loki/api/v1/push");
	assert_string_equal(loki->name, "https://a/loki/api/v1/push");
	assert_int_equal(loki->http.timeout_ms, 10000);
	assert_true(loki->http.follow_redirects);
	assert_int_equal(loki->http.headers.count, 0);
	assert_null(loki->http.authorization.type);
	assert_int_equal(loki->queue.min_backoff_ms, 500);
	assert_int_equal(loki->queue.max_backoff_ms, 300000);
	config_free(&loaded.config);
}

static void every_key_is_read(void **state)
{
	static const char yaml[] =
	    "loki_write:\n"
	    "- url: http://a/api/v1/logs/push?x=1\n"
	    "  name: n\n"
	    "  remote_timeout: 3s\n"
	    "  headers: {X-Scope-OrgID: t}\n"
	    "  authorization: {type: Key, credentials: c}\n"
	    "  tls_config: {ca_file: " PEM ", cert_file: " PEM ", key_file: " PEM ",\n"
	    "               server_name: b, insecure_skip_verify: true}\n"
	    "  queue_config: {min_backoff: 1s, max_backoff: 2s}\n"
	    "  follow_redirects: false\n"
	    "  enable_http2: false\n"
	    "  proxy_url: http://p\n"
	    "  no_proxy: c\n"
	    "  proxy_from_environment: false\n";
	const struct config_loki_write *loki;
	struct loaded loaded;

	(void)state;
	load_text(yaml, &loaded);
	assert_string_equal(loaded.error, "");
	loki = loaded.config.loki_writes;
	assert_string_equal(loki->http.url, "http://a/api/v1/logs/push?x=1");
	assert_string_equal(loki->name, "n");
	assert_int_equal(loki->http.timeout_ms, 3000);
	assert_string_equal(loki->http.headers.items[0].name, "X-Scope-OrgID");
	assert_string_equal(loki->http.headers.items[0].value, "t");
	assert_string_equal(loki->http.authorization.type, "Key");
	assert_string_equal(loki->http.authorization.credentials, "c");
	assert_string_equal(loki->http.tls.ca_file, PEM);
	assert_string_equal(loki->http.tls.cert_file, PEM);
	assert_string_equal(loki->http.tls.key_file, PEM);
	assert_string_equal(loki->http.tls.server_name, "b");
	assert_true(loki->http.tls.insecure_skip_verify);
	assert_int_equal(loki->queue.min_backoff_ms, 1000);
	assert_int_equal(loki->queue.max_backoff_ms, 2000);
	assert_false(loki->http.follow_redirects);
	assert_string_equal(loki->http.proxy_url, "http://p");
	assert_string_equal(loki->http.no_proxy, "c");
	config_free(&loaded.config);
}

static void older_spellings_and_basic_auth_are_read(void **state)
{
	struct loaded loaded;

	(void)state;
	load_text("loki_write:\n"
		  "- {url: http://a, bearer_token: t}\n"
		  "- {url: http://b, bearer_token_file: /proc/self/stat}\n"
		  "- {url: http://c, basic_auth: {username: u, password: p}}\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	assert_string_equal(loaded.config.loki_writes[0].http.authorization.credentials,
			    "t");
	assert_string_equal(
	    loaded.config.loki_writes[1].http.authorization.credentials_file,
	    "/proc/self/stat");
	assert_string_equal(loaded.config.loki_writes[2].http.basic_auth.username, "u");
	config_free(&loaded.config);
}

/* One receiver with several tenants. */
static void each_has_a_name_of_its_own(void **state)
{
	struct loaded loaded;

	(void)state;
	load_text("loki_write:\n- url: http://a/\n- url: http://a/\n- {url: http://b/, "
		  "name: http://a/}\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	assert_string_equal(loaded.config.loki_writes[2].name, "http://a/");
	assert_string_equal(loaded.config.loki_writes[0].name, "http://a/#2");
	assert_string_equal(loaded.config.loki_writes[1].name, "http://a/#3");
	config_free(&loaded.config);
}

static void no_value_is_none(void **state)
{
	static const char *const texts[] = {"loki_write:\n", "loki_write: []\n"};

	(void)state;
	for (size_t i = 0; i < LENGTH(texts); i++) {
		struct loaded loaded;

		load_text(texts[i], &loaded);
		assert_string_equal(loaded.error, "");
		assert_int_equal(loaded.config.loki_write_count, 0);
		config_free(&loaded.config);
	}
}

static const struct {
	const char *yaml, *error;
} refused[] = {
    {"loki_write: http://a\n", "1: 'loki_write' must be a list, not 'http://a'"},
    {"loki_write:\n- name: a\n", "2: a loki_write entry needs 'url'"},
    {"loki_write:\n- url: a:3100\n", "2: 'url' must begin with http:// or https://"},
    {"loki_write:\n- url: http://u:p@a\n",
     "2: 'url' must not hold user or password; use basic_auth"},
    {URL "  write_relabel_configs: []\n",
     "3: unknown key 'write_relabel_configs' in a loki_write entry"},
    {URL "  send_exemplars: false\n",
     "3: unknown key 'send_exemplars' in a loki_write entry"},
    {URL "  protobuf_message: prometheus.WriteRequest\n",
     "3: unknown key 'protobuf_message' in a loki_write entry"},
    {URL "  queue_config: {max_shards: 1}\n",
     "3: unknown key 'max_shards' in queue_config"},
    {URL "  queue_config: {min_backoff: 10m}\n",
     "3: 'min_backoff' (600000ms) is above 'max_backoff' (300000ms)"},
    {URL "  remote_timeout: 0s\n",
     "3: 'remote_timeout' must be a duration from 1ms to 1h (like 1m30s), not '0s'"},
    {URL "  headers: {Content-Encoding: a}\n",
     "3: 'Content-Encoding' in headers is reserved: bpftally sets it itself"},
    {URL "  authorization: {credentials: a}\n  bearer_token: a\n",
     "4: 'authorization' and 'bearer_token' exclude each other"},
    {URL "  tls_config: {cert_file: " PEM "}\n",
     "3: 'tls_config' has 'cert_file' without 'key_file'"},
    {URL "  enable_http2: true\n", "3: 'enable_http2: true' is not supported"},
    {URL "  oauth2: {client_id: x}\n",
     "3: 'oauth2' is not supported; use authorization or basic_auth"},
    {"loki_write:\n- {url: http://a, name: n}\n- {url: http://b, name: n}\n",
     "3: two loki_write entries have the same 'name'"},
};

static void what_contradicts_itself_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(refused); i++)
		assert_refused(refused[i].yaml, refused[i].error);
}

static void entries_end_at_their_bound(void **state)
{
	char yaml[2048] = "loki_write:\n";

	(void)state;
	for (int i = 0; i < CONFIG_LOKI_WRITES_MAX; i++)
		snprintf(yaml + strlen(yaml), sizeof(yaml) - strlen(yaml),
			 "- url: http://a%d\n", i);
	assert_accepted(yaml);
	strcat(yaml, "- url: http://b\n");
	assert_refused(yaml, "2: 'loki_write' has 17 entries, at most 16 fit");
}

static void no_error_shows_a_secret(void **state)
{
	static const char *const cases[] = {
	    "authorization: {credentials: \"geheim\\n\"}",
	    "proxy_url: ftp://u:geheim@p",
	    "bearer_token: geheim\n  authorization: {credentials: geheim}",
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char yaml[256];
		struct loaded loaded;

		snprintf(yaml, sizeof(yaml), URL "  %s\n", cases[i]);
		load_text(yaml, &loaded);
		assert_int_equal(loaded.err, -EINVAL);
		assert_null(strstr(loaded.error, "geheim"));
		config_free(&loaded.config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_url_alone_has_the_defaults_of_lokis_clients),
	    cmocka_unit_test(every_key_is_read),
	    cmocka_unit_test(older_spellings_and_basic_auth_are_read),
	    cmocka_unit_test(each_has_a_name_of_its_own),
	    cmocka_unit_test(no_value_is_none),
	    cmocka_unit_test(what_contradicts_itself_is_refused),
	    cmocka_unit_test(entries_end_at_their_bound),
	    cmocka_unit_test(no_error_shows_a_secret),
	};

	return cmocka_run_group_tests(tests, make_pem_file, NULL);
}
