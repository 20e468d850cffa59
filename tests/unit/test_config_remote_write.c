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

#define PEM "/proc/self/fd/100"                 /* of make_pem_file */
#define URL "remote_write:\n- url: http://a/\n" /* two lines */

static int make_pem_file(void **state)
{
	static const char text[] = "-----BEGIN CERTIFICATE-----\n";
	int fd = memfd_create("pem", MFD_CLOEXEC);

	(void)state;
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return -1;
	return dup2(fd, 100) == 100 ? close(fd) : -1;
}

static void a_url_alone_has_prometheus_defaults(void **state)
{
	struct loaded loaded;
	const struct config_remote_write *endpoint;

	(void)state;
	load_text("remote_write: [{url: 'https://a:9/api/v1/push?x=1'}]\n", &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.remote_write_count, 1);
	endpoint = loaded.config.remote_writes;
	assert_string_equal(endpoint->http.url, "https://a:9/api/v1/push?x=1");
	assert_string_equal(endpoint->name, "https://a:9/api/v1/push");
	assert_int_equal(endpoint->http.timeout_ms, 30000);
	assert_int_equal(endpoint->http.headers.count, 0);
	assert_null(endpoint->http.authorization.type);
	assert_null(endpoint->http.basic_auth.username);
	assert_null(endpoint->http.tls.ca_file);
	assert_false(endpoint->http.tls.insecure_skip_verify);
	assert_int_equal(endpoint->queue.max_shards, 50);
	assert_int_equal(endpoint->queue.max_samples_per_send, 2000);
	assert_int_equal(endpoint->queue.min_backoff_ms, 30);
	assert_int_equal(endpoint->queue.max_backoff_ms, 5000);
	assert_false(endpoint->queue.retry_on_http_429);
	assert_false(endpoint->is_v2);
	assert_false(endpoint->send_native_histograms);
	assert_false(endpoint->send_exemplars);
	assert_true(endpoint->send_metadata);
	assert_int_equal(endpoint->metadata_interval_ms, 60000);
	assert_true(endpoint->http.follow_redirects);
	assert_false(endpoint->http.proxy_from_environment);
	assert_null(endpoint->http.proxy_url);
	config_free(&loaded.config);
}

static void every_key_with_an_effect_arrives(void **state)
{
	struct loaded loaded;
	const struct config_remote_write *endpoint;

	(void)state;
	load_text("remote_write:\n"
		  "- url: http://a/\n"
		  "  name: first\n"
		  "  remote_timeout: 1m\n"
		  "  headers: {X-Scope-OrgID: 7, X-Other: a b}\n"
		  "  basic_auth: {username: u, password_file: " PEM "}\n"
		  "  tls_config: {ca_file: " PEM ", cert_file: " PEM ",\n"
		  "    key_file: " PEM ",\n"
		  "    server_name: s, insecure_skip_verify: true}\n"
		  "  protobuf_message: io.prometheus.write.v2.Request\n"
		  "  send_native_histograms: true\n"
		  "  send_exemplars: true\n"
		  "  metadata_config: {send: false, send_interval: 2m}\n"
		  "  follow_redirects: false\n"
		  "  proxy_url: http://u:p@proxy:3128\n"
		  "  no_proxy: localhost\n"
		  "  queue_config: {max_shards: 3,\n"
		  "    max_samples_per_send: 300, batch_send_deadline: 1s,\n"
		  "    min_backoff: 1s, max_backoff: 1s, retry_on_http_429: true}\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	endpoint = loaded.config.remote_writes;
	assert_string_equal(endpoint->name, "first");
	assert_int_equal(endpoint->http.timeout_ms, 60000);
	assert_int_equal(endpoint->http.headers.count, 2);
	assert_string_equal(endpoint->http.headers.items[0].name, "X-Scope-OrgID");
	assert_string_equal(endpoint->http.headers.items[0].value, "7");
	assert_string_equal(endpoint->http.headers.items[1].value, "a b");
	assert_string_equal(endpoint->http.basic_auth.username, "u");
	assert_string_equal(endpoint->http.basic_auth.password_file, PEM);
	assert_null(endpoint->http.basic_auth.password);
	assert_null(endpoint->http.authorization.type);
	assert_string_equal(endpoint->http.tls.ca_file, PEM);
	assert_string_equal(endpoint->http.tls.cert_file, PEM);
	assert_string_equal(endpoint->http.tls.key_file, PEM);
	assert_string_equal(endpoint->http.tls.server_name, "s");
	assert_true(endpoint->http.tls.insecure_skip_verify);
	assert_true(endpoint->is_v2);
	assert_true(endpoint->send_native_histograms);
	assert_true(endpoint->send_exemplars);
	assert_false(endpoint->send_metadata);
	assert_int_equal(endpoint->metadata_interval_ms, 120000);
	assert_false(endpoint->http.follow_redirects);
	assert_string_equal(endpoint->http.proxy_url, "http://u:p@proxy:3128");
	assert_string_equal(endpoint->http.no_proxy, "localhost");
	assert_int_equal(endpoint->queue.max_shards, 3);
	assert_int_equal(endpoint->queue.max_samples_per_send, 300);
	assert_int_equal(endpoint->queue.min_backoff_ms, 1000);
	assert_int_equal(endpoint->queue.max_backoff_ms, 1000);
	assert_true(endpoint->queue.retry_on_http_429);
	config_free(&loaded.config);
}

static void bearer_tokens_have_two_spellings(void **state)
{
	static const struct {
		const char *yaml, *type, *credentials, *file;
	} cases[] = {
	    {"  authorization: {credentials: t}\n", "Bearer", "t", NULL},
	    {"  authorization: {credentials_file: " PEM "}\n", "Bearer", NULL, PEM},
	    {"  authorization: {type: Token, credentials: t}\n", "Token", "t", NULL},
	    {"  bearer_token: t\n", "Bearer", "t", NULL},
	    {"  bearer_token_file: " PEM "\n", "Bearer", NULL, PEM},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct config_authorization *authorization;
		struct loaded loaded;
		char yaml[256];

		snprintf(yaml, sizeof(yaml), URL "%s", cases[i].yaml);
		load_text(yaml, &loaded);
		assert_string_equal(loaded.error, "");
		authorization = &loaded.config.remote_writes->http.authorization;
		assert_string_equal(authorization->type, cases[i].type);
		assert_int_equal(!authorization->credentials, !cases[i].credentials);
		if (cases[i].credentials)
			assert_string_equal(authorization->credentials, "t");
		assert_int_equal(!authorization->credentials_file, !cases[i].file);
		if (cases[i].file)
			assert_string_equal(authorization->credentials_file, PEM);
		config_free(&loaded.config);
	}
}

/* What Prometheus knows and we cannot do: none is silently left out. */
static void keys_we_cannot_honour_are_refused_by_name(void **state)
{
	static const struct {
		const char *yaml, *error;
	} cases[] = {
	    {"sigv4: {region: x}", "'sigv4' is not supported; use authorization or "
				   "basic_auth"},
	    {"sigv4:", "'sigv4' is not supported; use authorization or basic_auth"},
	    {"azuread: {cloud: x}", "'azuread' is not supported; use authorization or "
				    "basic_auth"},
	    {"google_iam: {}", "'google_iam' is not supported; use authorization or "
			       "basic_auth"},
	    {"oauth2: {client_id: x}",
	     "'oauth2' is not supported; use authorization or "
	     "basic_auth"},
	    {"proxy_connect_header: {a: [b]}",
	     "'proxy_connect_header' is not supported"},
	    {"http_headers: {a: {values: [b]}}", "'http_headers' is not supported; use "
						 "headers"},
	    {"failed_request_logging: true",
	     "'failed_request_logging' is not supported"},
	    {"round_robin_dns: true", "'round_robin_dns: true' is not supported"},
	    {"enable_http2: true", "'enable_http2: true' is not supported"},
	    {"protobuf_message: x",
	     "'protobuf_message' must be prometheus.WriteRequest or "
	     "io.prometheus.write.v2.Request, not 'x'"},
	    {"basic_auth: {username_file: x}", "'username_file' is not supported; use "
					       "username"},
	    {"tls_config: {ca: x}", "'ca' is not supported; use ca_file"},
	    {"tls_config: {cert: x}", "'cert' is not supported; use cert_file"},
	    {"tls_config: {key: x}", "'key' is not supported; use key_file"},
	    {"tls_config: {min_version: TLS12}", "'min_version' is not supported"},
	    {"tls_config: {max_version: TLS12}", "'max_version' is not supported"},
	    {"queue_config: {sample_age_limit: 1h}",
	     "'sample_age_limit' other than 0s is not supported"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char yaml[256], error[256];

		snprintf(yaml, sizeof(yaml), URL "  %s\n", cases[i].yaml);
		snprintf(error, sizeof(error), "3: %s", cases[i].error);
		assert_refused(yaml, error);
	}
}

static void every_key_is_documented(void **state)
{
	static const char *const keys[] = {"url",
					   "name",
					   "remote_timeout",
					   "headers",
					   "type",
					   "credentials",
					   "credentials_file",
					   "bearer_token",
					   "bearer_token_file",
					   "username",
					   "username_file",
					   "password",
					   "password_file",
					   "ca",
					   "cert",
					   "key",
					   "ca_file",
					   "cert_file",
					   "key_file",
					   "server_name",
					   "insecure_skip_verify",
					   "min_version",
					   "max_version",
					   "capacity",
					   "max_shards",
					   "min_shards",
					   "max_samples_per_send",
					   "batch_send_deadline",
					   "min_backoff",
					   "max_backoff",
					   "retry_on_http_429",
					   "sample_age_limit",
					   "send",
					   "send_interval",
					   "protobuf_message",
					   "follow_redirects",
					   "enable_http2",
					   "send_exemplars",
					   "send_native_histograms",
					   "round_robin_dns",
					   "proxy_from_environment",
					   "write_relabel_configs",
					   "proxy_url",
					   "no_proxy",
					   "proxy_connect_header",
					   "http_headers",
					   "oauth2",
					   "sigv4",
					   "azuread",
					   "google_iam",
					   "failed_request_logging"};

	(void)state;
	for (size_t i = 0; i < LENGTH(keys); i++)
		assert_documented(keys[i]);
}

static void keys_at_their_default_are_taken(void **state)
{
	(void)state;
	assert_accepted(URL "  protobuf_message: prometheus.WriteRequest\n"
			    "  write_relabel_configs: []\n"
			    "  send_exemplars: false\n"
			    "  send_native_histograms: false\n"
			    "  round_robin_dns: false\n"
			    "  follow_redirects: true\n"
			    "  enable_http2: false\n"
			    "  proxy_from_environment: false\n"
			    "  metadata_config: {send: true, send_interval: 1m,\n"
			    "    max_samples_per_send: 2000}\n"
			    "  queue_config: {capacity: 10000, min_shards: 1,\n"
			    "    sample_age_limit: 0s}\n"
			    "  tls_config:\n"
			    "  headers:\n");
}

static const struct {
	const char *yaml, *error;
} contradictions[] = {
    {"remote_write: http://a\n", "1: 'remote_write' must be a list, not 'http://a'"},
    {"remote_write: {url: http://a}\n",
     "1: 'remote_write' must be a list, not a mapping"},
    {"remote_write: [http://a]\n", "1: a remote_write entry must be a mapping "
				   "(key: value), not a single value"},
    {"remote_write:\n-\n", "2: a remote_write entry needs 'url'"},
    {"remote_write:\n- name: a\n", "2: a remote_write entry needs 'url'"},
    {"remote_write:\n- url:\n", "2: 'url' has no value"},
    {"remote_write:\n- url: a/push\n", "2: 'url' must begin with http:// or https://"},
    {"remote_write:\n- uri: http://a\n",
     "2: unknown key 'uri' in a remote_write entry (did you mean 'url'?)"},
    {URL "  remote_timeout: 0s\n", "3: 'remote_timeout' must be a duration from "
				   "1ms to 1h (like 1m30s), not '0s'"},
    {URL "  authorization: {credentials: a}\n  basic_auth: {username: u}\n",
     "4: 'authorization' and 'basic_auth' exclude each other"},
    {URL "  bearer_token: a\n  bearer_token_file: " PEM "\n",
     "4: 'bearer_token' and 'bearer_token_file' exclude each other"},
    {URL "  bearer_token: a\n  authorization: {credentials: a}\n",
     "4: 'bearer_token' and 'authorization' exclude each other"},
    {URL "  authorization:\n    credentials: a\n    credentials_file: " PEM "\n",
     "5: 'credentials' and 'credentials_file' exclude each other"},
    {URL "  authorization: {type: Bearer}\n",
     "3: 'authorization' needs 'credentials' or 'credentials_file'"},
    {URL "  authorization:\n",
     "3: 'authorization' needs 'credentials' or 'credentials_file'"},
    {URL "  authorization: {type: basic, credentials: a}\n",
     "3: 'type' cannot be Basic; use basic_auth"},
    {URL "  authorization: {type: a b, credentials: a}\n",
     "3: 'type' must be one word, like Bearer"},
    {URL "  basic_auth: {password: a}\n", "3: basic_auth needs 'username'"},
    {URL "  basic_auth: {username: 'a:b'}\n", "3: 'username' must not hold ':'"},
    {URL "  basic_auth: {username: a, password: b, password_file: " PEM "}\n",
     "3: 'password' and 'password_file' exclude each other"},
    {URL "  tls_config: {cert_file: " PEM "}\n",
     "3: 'tls_config' has 'cert_file' without 'key_file'"},
    {URL "  tls_config: {key_file: " PEM "}\n",
     "3: 'tls_config' has 'key_file' without 'cert_file'"},
    {URL "  tls_config:\n    ca_file: /nonexistent/ca\n",
     "4: 'ca_file' '/nonexistent/ca' cannot be read: No such file or directory"},
    {URL "  tls_config: {ca_file: /etc/passwd}\n",
     "3: 'ca_file' '/etc/passwd' cannot be read: no PEM file"},
    {URL "  tls_config: {cert_file: /etc/passwd}\n",
     "3: 'cert_file' '/etc/passwd' cannot be read: no PEM file"},
    {URL "  tls_config: {key_file: /}\n",
     "3: 'key_file' '/' cannot be read: not a regular file"},
    {URL "  authorization:\n    credentials_file: /nonexistent/a\n",
     "4: 'credentials_file' '/nonexistent/a' cannot be read: No such file or "
     "directory"},
    {URL "  bearer_token_file: /dev/null\n",
     "3: 'bearer_token_file' '/dev/null' cannot be read: not a regular file"},
    {URL "  basic_auth:\n    username: a\n    password_file: /nonexistent/a\n",
     "5: 'password_file' '/nonexistent/a' cannot be read: No such file or "
     "directory"},
    {URL "  tls_config: {server_name: 'a b'}\n",
     "3: 'server_name' must be a host name or an address"},
    {URL "  tls_config: {server_name: 'a:443'}\n",
     "3: 'server_name' must be a host name or an address"},
    {URL "  queue_config: {max_shards: 0}\n",
     "3: 'max_shards' must be a whole number from 1 to 10000, not '0'"},
    {URL "  proxy_url: ftp://p\n",
     "3: 'proxy_url' must be a http, https or socks5 URL"},
    {URL "  proxy_url: http://p\n  proxy_from_environment: true\n",
     "2: 'proxy_url' and 'proxy_from_environment' exclude each other"},
    {URL "  no_proxy: a\n", "2: 'no_proxy' needs 'proxy_url'"},
    {URL "  name: otlp:a\n", "2: 'name' must not begin with otlp:"},
    {URL "  name: loki:a\n", "2: 'name' must not begin with loki:"},
    {URL "  queue_config: {min_backoff: 6s}\n",
     "3: 'min_backoff' (6000ms) is above 'max_backoff' (5000ms)"},
    {"remote_write:\n- {url: 'http://a', name: x}\n- {url: 'http://b', name: "
     "x}\n",
     "3: two remote_write entries have the same 'name'"},
};

static void what_contradicts_itself_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(contradictions); i++)
		assert_refused(contradictions[i].yaml, contradictions[i].error);
}

static void reserved_headers_are_refused_in_any_case(void **state)
{
	static const char *const reserved[] = {"host",
					       "content-encoding",
					       "content-length",
					       "content-type",
					       "user-agent",
					       "connection",
					       "keep-alive",
					       "proxy-authenticate",
					       "proxy-authorization",
					       "www-authenticate",
					       "accept-encoding",
					       "x-prometheus-remote-write-version",
					       "x-prometheus-remote-read-version",
					       "x-amz-date",
					       "x-amz-security-token",
					       "x-amz-content-sha256",
					       "retry-attempt",
					       "transfer-encoding",
					       "Content-TYPE"};

	(void)state;
	for (size_t i = 0; i < LENGTH(reserved); i++) {
		char yaml[256], error[256];

		snprintf(yaml, sizeof(yaml), URL "  headers: {%s: geheim}\n",
			 reserved[i]);
		snprintf(error, sizeof(error),
			 "3: '%s' in headers is reserved: bpftally sets it itself",
			 reserved[i]);
		assert_refused(yaml, error);
	}
	assert_refused(
	    URL "  headers:\n    Authorization: Bearer geheim\n",
	    "4: 'Authorization' in headers is not set here; use authorization "
	    "or basic_auth");
}

static void headers_that_http_cannot_carry_are_refused(void **state)
{
	(void)state;
	assert_refused(URL "  headers: {'a b': c}\n",
		       "3: 'a b' in headers is not a header name");
	assert_refused(URL "  headers: {'': c}\n",
		       "3: '' in headers is not a header name");
	assert_refused(URL "  headers: {a: }\n", "3: 'a' has no value");
	assert_refused(URL "  headers: {a: [b]}\n",
		       "3: 'a' must be a single value, not a list");
	assert_refused(
	    URL "  headers: {a: \"x\\r\\nb: c\"}\n",
	    "3: 'a' in headers has a control character, or a blank at an end, "
	    "in its value");
	assert_refused(URL "  headers: {X-A: b, x-a: c}\n",
		       "3: header 'X-A' is given twice");
}

/* Every place where a secret may stand, with every mistake around it. */
static void no_error_shows_a_secret(void **state)
{
	static const char *const cases[] = {
	    URL "  authorization: {credentials: [geheim]}\n",
	    URL "  authorization: {credentials: {geheim: x}}\n",
	    URL "  authorization: {credentials: !x geheim}\n",
	    URL "  authorization: {credentials: \"geheim\\n\"}\n",
	    URL "  authorization: {credentials: \"geheim\\0\"}\n",
	    URL "  authorization: {credentials: '${env:BPFTALLY_TEST_LINE}'}\n",
	    URL "  authorization: {credentials: 'geheim${env:'}\n",
	    URL "  authorization: geheim\n",
	    URL "  authorization: [geheim]\n",
	    URL "  authorization: {type: Basic geheim, credentials: x}\n",
	    URL "  authorization: {type: 'x y geheim', credentials: x}\n",
	    URL "  bearer_token: [geheim]\n",
	    URL "  bearer_token: ' geheim'\n",
	    URL "  basic_auth: geheim\n",
	    URL "  basic_auth: {password: geheim}\n",
	    URL "  basic_auth: {username: u, password: [geheim]}\n",
	    URL "  basic_auth: {username: 'u:geheim'}\n",
	    URL "  headers: {Authorization: geheim}\n",
	    URL "  headers: {X-Key: [geheim]}\n",
	    URL "  headers: {X-Key: \"geheim\\n\"}\n",
	    URL "  headers: [geheim]\n",
	    URL "  headers: geheim\n",
	    URL "  oauth2: {client_secret: geheim}\n",
	    URL "  sigv4: {secret_key: geheim}\n",
	    URL "  tls_config: {key: geheim}\n",
	    URL "  proxy_url: x://u:geheim@p\n",
	    "remote_write:\n- url: http://u:geheim@a/\n",
	    "remote_write:\n- url: ftp://geheim\n",
	    "remote_write:\n- url: http://a/?token=geheim#x\n",
	    "remote_write:\n- url: [http://a/?token=geheim]\n",
	    "port: ${env:BPFTALLY_TEST_LINE}\n",
	    "listen: ${env:BPFTALLY_TEST_LINE}\n",
	    "global: {scrape_interval: '${env:BPFTALLY_TEST_LINE}'}\n",
	};

	(void)state;
	setenv("BPFTALLY_TEST_LINE", "geheim\n", 1);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct loaded loaded;

		load_text(cases[i], &loaded);
		if (loaded.err != -EINVAL || strstr(loaded.error, "geheim"))
			fail_msg("\n%s\n gave %d '%s'", cases[i], loaded.err,
				 loaded.error);
		config_free(&loaded.config);
	}
}

static void names_are_the_url_and_never_the_same(void **state)
{
	static const char *const want[] = {"http://a/#3", "http://a/#2", "http://a/",
					   "http://a/#4", "http://b/"};
	struct loaded loaded;

	(void)state;
	load_text("remote_write:\n"
		  "- {url: 'http://a/', name: 'http://a/#3'}\n"
		  "- {url: 'http://a/'}\n"
		  "- {url: 'http://a/', name: 'http://a/'}\n"
		  "- {url: 'http://a/?tenant=2'}\n"
		  "- {url: 'http://b/'}\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.remote_write_count, LENGTH(want));
	for (size_t i = 0; i < LENGTH(want); i++)
		assert_string_equal(loaded.config.remote_writes[i].name, want[i]);
	config_free(&loaded.config);
}

static void endpoints_end_at_their_bound(void **state)
{
	char yaml[2048] = "remote_write:\n";
	struct loaded loaded;

	(void)state;
	for (size_t i = 0; i < CONFIG_REMOTE_WRITES_MAX; i++)
		strcat(yaml, "- url: http://a/\n");
	load_text(yaml, &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.remote_write_count, CONFIG_REMOTE_WRITES_MAX);
	assert_string_equal(loaded.config.remote_writes[15].name, "http://a/#16");
	config_free(&loaded.config);
	strcat(yaml, "- url: http://a/\n");
	assert_refused(yaml, "2: 'remote_write' has 17 entries, at most 16 fit");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_url_alone_has_prometheus_defaults),
	    cmocka_unit_test(every_key_with_an_effect_arrives),
	    cmocka_unit_test(bearer_tokens_have_two_spellings),
	    cmocka_unit_test(keys_we_cannot_honour_are_refused_by_name),
	    cmocka_unit_test(every_key_is_documented),
	    cmocka_unit_test(keys_at_their_default_are_taken),
	    cmocka_unit_test(what_contradicts_itself_is_refused),
	    cmocka_unit_test(reserved_headers_are_refused_in_any_case),
	    cmocka_unit_test(headers_that_http_cannot_carry_are_refused),
	    cmocka_unit_test(no_error_shows_a_secret),
	    cmocka_unit_test(names_are_the_url_and_never_the_same),
	    cmocka_unit_test(endpoints_end_at_their_bound),
	};

	return cmocka_run_group_tests(tests, make_pem_file, NULL);
}
