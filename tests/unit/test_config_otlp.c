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

#define PEM "/proc/self/fd/100"                  /* of make_pem_file */
#define ENDPOINT "otlp:\n  endpoint: http://a\n" /* two lines */

static int make_pem_file(void **state)
{
	static const char text[] = "-----BEGIN CERTIFICATE-----\n";
	int fd = memfd_create("pem", MFD_CLOEXEC);

	(void)state;
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return -1;
	return dup2(fd, 100) == 100 ? close(fd) : -1;
}

static void an_endpoint_alone_has_the_collectors_defaults(void **state)
{
	const struct config_otlp *otlp;
	struct loaded loaded;

	(void)state;
	load_text("otlp: {endpoint: 'https://a:4318'}\n", &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.otlp_count, 1);
	assert_int_equal(loaded.config.remote_write_count, 0);
	otlp = loaded.config.otlps;
	assert_string_equal(otlp->http.url, "https://a:4318/v1/metrics");
	assert_string_equal(otlp->name, "https://a:4318/v1/metrics");
	assert_int_equal(otlp->http.timeout_ms, 30000);
	assert_false(otlp->http.follow_redirects);
	assert_int_equal(otlp->http.headers.count, 0);
	assert_null(otlp->http.authorization.type);
	assert_null(otlp->http.basic_auth.username);
	assert_null(otlp->http.tls.ca_file);
	assert_null(otlp->http.proxy_url);
	assert_true(otlp->gzip);
	assert_false(otlp->exponential);
	assert_int_equal(otlp->queue.min_backoff_ms, 5000);
	assert_int_equal(otlp->queue.max_backoff_ms, 30000);
	assert_int_equal(otlp->queue.max_samples_per_send, 2000);
	assert_int_equal(otlp->queue.max_shards, 50);
	config_free(&loaded.config);
}

static void every_key_is_read(void **state)
{
	static const char yaml[] =
	    "otlp:\n"
	    "  metrics_endpoint: http://a/m?x=1\n"
	    "  name: n\n"
	    "  headers: {api-key: k, Authorization: Bearer t}\n"
	    "  compression: none\n"
	    "  timeout: 3s\n"
	    "  tls: {ca_file: " PEM ", cert_file: " PEM ", key_file: " PEM ",\n"
	    "        server_name_override: b, insecure_skip_verify: true,\n"
	    "        insecure: false}\n"
	    "  proxy_url: http://p\n"
	    "  no_proxy: c\n"
	    "  proxy_from_environment: false\n"
	    "  retry_on_failure: {initial_interval: 1s, max_interval: 2s}\n"
	    "  histograms: exponential\n";
	const struct config_otlp *otlp;
	struct loaded loaded;

	(void)state;
	load_text(yaml, &loaded);
	assert_string_equal(loaded.error, "");
	otlp = loaded.config.otlps;
	assert_string_equal(otlp->http.url, "http://a/m?x=1");
	assert_string_equal(otlp->name, "n");
	assert_int_equal(otlp->http.headers.count, 2);
	assert_string_equal(otlp->http.headers.items[1].name, "Authorization");
	assert_string_equal(otlp->http.headers.items[1].value, "Bearer t");
	assert_false(otlp->gzip);
	assert_true(otlp->exponential);
	assert_int_equal(otlp->http.timeout_ms, 3000);
	assert_string_equal(otlp->http.tls.ca_file, PEM);
	assert_string_equal(otlp->http.tls.cert_file, PEM);
	assert_string_equal(otlp->http.tls.key_file, PEM);
	assert_string_equal(otlp->http.tls.server_name, "b");
	assert_true(otlp->http.tls.insecure_skip_verify);
	assert_string_equal(otlp->http.proxy_url, "http://p");
	assert_string_equal(otlp->http.no_proxy, "c");
	assert_int_equal(otlp->queue.min_backoff_ms, 1000);
	assert_int_equal(otlp->queue.max_backoff_ms, 2000);
	config_free(&loaded.config);
}

static void the_path_of_metrics_is_appended_once(void **state)
{
	static const char *const cases[][2] = {
	    {"endpoint: http://a", "http://a/v1/metrics"},
	    {"endpoint: http://a/", "http://a/v1/metrics"},
	    {"endpoint: http://a/otlp", "http://a/otlp/v1/metrics"},
	    {"endpoint: http://a/otlp//", "http://a/otlp/v1/metrics"},
	    {"endpoint: http://a/v1", "http://a/v1/v1/metrics"},
	    {"metrics_endpoint: http://a/v1/metrics", "http://a/v1/metrics"},
	    {"metrics_endpoint: http://a/", "http://a/"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char yaml[128];
		struct loaded loaded;

		snprintf(yaml, sizeof(yaml), "otlp: {%s}\n", cases[i][0]);
		load_text(yaml, &loaded);
		assert_string_equal(loaded.error, "");
		assert_string_equal(loaded.config.otlps[0].http.url, cases[i][1]);
		config_free(&loaded.config);
	}
}

static void there_may_be_several(void **state)
{
	struct loaded loaded;

	(void)state;
	load_text("otlp:\n- endpoint: http://a\n- {endpoint: http://a, name: b}\n"
		  "- metrics_endpoint: http://c\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.otlp_count, 3);
	assert_string_equal(loaded.config.otlps[0].name, "http://a/v1/metrics");
	assert_string_equal(loaded.config.otlps[1].name, "b");
	assert_string_equal(loaded.config.otlps[2].http.url, "http://c");
	config_free(&loaded.config);
}

static void no_value_is_none(void **state)
{
	struct loaded loaded;

	(void)state;
	load_text("otlp:\n", &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.otlp_count, 0);
	config_free(&loaded.config);
}

static const struct {
	const char *yaml, *error;
} refused[] = {
    {"otlp: http://a\n", "1: otlp must be a mapping (key: value), not a single value"},
    {"otlp: []\n", "1: 'otlp' is an empty list"},
    {"otlp: {name: a}\n", "1: otlp needs 'endpoint' or 'metrics_endpoint'"},
    {"otlp:\n  endpoint: http://a\n  metrics_endpoint: http://b\n",
     "3: 'endpoint' and 'metrics_endpoint' exclude each other"},
    {"otlp: {endpoint: 'a:4318'}\n",
     "1: 'endpoint' must begin with http:// or https://"},
    {"otlp: {endpoint: http://a/v1/metrics}\n",
     "1: 'endpoint' ends in /v1/metrics, which is appended to it: use "
     "metrics_endpoint"},
    {"otlp: {endpoint: http://a/v1/metrics/}\n",
     "1: 'endpoint' ends in /v1/metrics, which is appended to it: use "
     "metrics_endpoint"},
    {"otlp: {endpoint: 'http://a?k=v'}\n",
     "1: 'endpoint' has a query: use metrics_endpoint"},
    {ENDPOINT "  compression: zstd\n",
     "3: 'compression' must be gzip or none, not 'zstd'"},
    {ENDPOINT "  histograms: native\n",
     "3: 'histograms' must be explicit or exponential, not 'native'"},
    {ENDPOINT "  timeout: 0s\n",
     "3: 'timeout' must be a duration from 1ms to 1h (like 1m30s), not '0s'"},
    {ENDPOINT "  tls: {cert_file: " PEM "}\n",
     "3: 'tls' has 'cert_file' without 'key_file'"},
    {ENDPOINT "  tls: {server_name_override: 'a b'}\n",
     "3: 'server_name_override' must be a host name or an address"},
    {ENDPOINT "  tls: {ca_file: /etc/passwd}\n",
     "3: 'ca_file' '/etc/passwd' cannot be read: no PEM file"},
    {ENDPOINT "  retry_on_failure: {initial_interval: 1m}\n",
     "3: 'initial_interval' (60000ms) is above 'max_interval' (30000ms)"},
    {ENDPOINT "  remote_timeout: 1s\n", "3: unknown key 'remote_timeout' in otlp"},
    {ENDPOINT "  headers: {Content-Type: a}\n",
     "3: 'Content-Type' in headers is reserved: bpftally sets it itself"},
    {ENDPOINT "  headers: {authorization: a}\n  basic_auth: {username: a}\n",
     "2: 'headers' has Authorization, beside authorization or basic_auth"},
    {ENDPOINT "  headers: {authorization: a}\n  authorization: {credentials: a}\n",
     "2: 'headers' has Authorization, beside authorization or basic_auth"},
    {ENDPOINT "  authorization: {credentials: a}\n  basic_auth: {username: a}\n",
     "4: 'authorization' and 'basic_auth' exclude each other"},
    {"otlp:\n- endpoint: http://a\n- endpoint: http://a/\n",
     "3: two otlp entries have the same 'name' (without one, the URL)"},
    {"otlp:\n- {endpoint: http://a, name: n}\n- {endpoint: http://b, name: n}\n",
     "3: two otlp entries have the same 'name' (without one, the URL)"},
};

static void what_contradicts_itself_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(refused); i++)
		assert_refused(refused[i].yaml, refused[i].error);
}

static void entries_end_at_their_bound(void **state)
{
	char yaml[2048] = "otlp:\n";

	(void)state;
	for (int i = 0; i < CONFIG_OTLPS_MAX; i++)
		snprintf(yaml + strlen(yaml), sizeof(yaml) - strlen(yaml),
			 "- endpoint: http://a%d\n", i);
	assert_accepted(yaml);
	strcat(yaml, "- endpoint: http://b\n");
	assert_refused(yaml, "2: 'otlp' has 17 entries, at most 16 fit");
}

static void no_error_shows_a_secret(void **state)
{
	static const char *const cases[] = {
	    "headers: {Authorization: \"geheim\\n\"}",
	    "headers: {Authorization: geheim, authorization: geheim}",
	    "authorization: {credentials: \"geheim\\n\"}",
	    "proxy_url: ftp://u:geheim@p",
	    "headers: {Authorization: geheim}\n  authorization: {credentials: geheim}",
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char yaml[256];
		struct loaded loaded;

		snprintf(yaml, sizeof(yaml), ENDPOINT "  %s\n", cases[i]);
		load_text(yaml, &loaded);
		assert_int_equal(loaded.err, -EINVAL);
		assert_null(strstr(loaded.error, "geheim"));
		config_free(&loaded.config);
	}
}

static void every_key_is_documented(void **state)
{
	static const char *const keys[] = {
	    "otlp",
	    "endpoint",
	    "metrics_endpoint",
	    "name",
	    "headers",
	    "authorization",
	    "basic_auth",
	    "compression",
	    "timeout",
	    "ca_file",
	    "cert_file",
	    "key_file",
	    "server_name_override",
	    "insecure_skip_verify",
	    "insecure",
	    "proxy_url",
	    "no_proxy",
	    "proxy_from_environment",
	    "initial_interval",
	    "max_interval",
	    "histograms",
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(keys); i++)
		assert_documented(keys[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_endpoint_alone_has_the_collectors_defaults),
	    cmocka_unit_test(every_key_is_read),
	    cmocka_unit_test(the_path_of_metrics_is_appended_once),
	    cmocka_unit_test(there_may_be_several),
	    cmocka_unit_test(no_value_is_none),
	    cmocka_unit_test(what_contradicts_itself_is_refused),
	    cmocka_unit_test(entries_end_at_their_bound),
	    cmocka_unit_test(no_error_shows_a_secret),
	    cmocka_unit_test(every_key_is_documented),
	};

	return cmocka_run_group_tests(tests, make_pem_file, NULL);
}
