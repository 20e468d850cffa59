/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_web.h"
#include "length.h"

#define HASH "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
#define HASH_OF_COST(cost)                                                             \
	"$2y$" cost "$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
#define TLS "tls_server_config:\n  cert_file: a.pem\n  key_file: a.pem\n"

static char directory[] = "/tmp/test_config_web.XXXXXX";
static char path[64];

static void write_file(const char *name, const char *text)
{
	char file_path[128];
	FILE *file;

	snprintf(file_path, sizeof(file_path), "%s/%s", directory, name);
	file = fopen(file_path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int make_directory(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/web.yml", directory);
	write_file("a.pem", "-----BEGIN CERTIFICATE-----\n");
	write_file("empty.pem", "");
	return 0;
}

static int remove_directory(void **state)
{
	static const char *const names[] = {"web.yml", "a.pem", "empty.pem"};

	(void)state;
	assert_int_equal(chdir(directory), 0);
	for (size_t i = 0; i < LENGTH(names); i++)
		unlink(names[i]);
	return rmdir(directory);
}

static struct config_web read_good(const char *text)
{
	char error[CONFIG_ERROR_LEN] = "";
	struct config_web web;

	write_file("web.yml", text);
	if (config_web_read(path, &web, error))
		fail_msg("%s: %s", text, error);
	return web;
}

static void nothing_is_plain_http_for_everybody(void **state)
{
	static const char *const texts[] = {
	    "",
	    "# nothing\n",
	    "{}",
	    "tls_server_config: {}\nbasic_auth_users: {}\nhttp_server_config: {}\n",
	    "tls_server_config:\nbasic_auth_users:\nhttp_server_config:\n",
	    "tls_server_config: {min_version: TLS12}",
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(texts); i++) {
		struct config_web web = read_good(texts[i]);

		assert_false(config_web_has_tls(&web));
		assert_int_equal(web.users.count, 0);
		assert_int_equal(web.headers.count, 0);
		assert_int_equal(web.tls.min_version, CONFIG_TLS12);
		assert_int_equal(web.tls.max_version, CONFIG_TLS13);
		assert_true(web.tls.prefer_server_cipher_suites);
		config_web_free(&web);
	}
}

static void every_key_is_read(void **state)
{
	struct config_web web =
	    read_good("tls_server_config:\n"
		      "  cert: |\n"
		      "    -----BEGIN CERTIFICATE-----\n"
		      "    x\n"
		      "  key: k\n"
		      "  client_ca: c\n"
		      "  client_auth_type: RequireAndVerifyClientCert\n"
		      "  client_allowed_sans: [a, b]\n"
		      "  min_version: TLS11\n"
		      "  max_version: TLS12\n"
		      "  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA, "
		      "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n"
		      "  prefer_server_cipher_suites: false\n"
		      "  curve_preferences: [X25519, CurveP256]\n"
		      "http_server_config:\n"
		      "  http2: false\n"
		      "  headers:\n"
		      "    Strict-Transport-Security: max-age=31536000\n"
		      "    X-Content-Type-Options: nosniff\n"
		      "    X-Frame-Options: sameorigin\n"
		      "    X-XSS-Protection: 1; mode=block\n"
		      "    Content-Security-Policy: default-src 'self'\n"
		      "basic_auth_users:\n"
		      "  ann: " HASH "\n"
		      "  'b o b': " HASH_OF_COST("04") "\n");

	(void)state;
	assert_true(config_web_has_tls(&web));
	assert_string_equal(web.tls.cert, "-----BEGIN CERTIFICATE-----\nx\n");
	assert_string_equal(web.tls.key, "k");
	assert_string_equal(web.tls.client_ca, "c");
	assert_null(web.tls.cert_file);
	assert_int_equal(web.tls.client_auth, CONFIG_REQUIRE_AND_VERIFY_CLIENT_CERT);
	assert_int_equal(web.tls.client_allowed_sans.count, 2);
	assert_string_equal(web.tls.client_allowed_sans.items[1], "b");
	assert_int_equal(web.tls.min_version, CONFIG_TLS11);
	assert_int_equal(web.tls.max_version, CONFIG_TLS12);
	assert_int_equal(web.tls.suite_count, 2);
	assert_int_equal(web.tls.suites[0]->exchange, CONFIG_RSA);
	assert_int_equal(web.tls.suites[0]->cipher, CONFIG_AES_128_CBC);
	assert_string_equal(web.tls.suites[1]->name,
			    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA");
	assert_false(web.tls.prefer_server_cipher_suites);
	assert_int_equal(web.tls.curve_count, 2);
	assert_int_equal(web.tls.curves[0], CONFIG_X25519);
	assert_int_equal(web.tls.curves[1], CONFIG_P256);
	assert_false(web.http2);
	assert_int_equal(web.headers.count, 5);
	assert_string_equal(web.headers.items[3].value, "1; mode=block");
	assert_int_equal(web.users.count, 2);
	assert_string_equal(web.users.items[0].name, "ann");
	assert_string_equal(web.users.items[0].value, HASH);
	config_web_free(&web);
	assert_null(web.users.items);
}

static void paths_are_relative_to_the_file(void **state)
{
	struct config_web web =
	    read_good(TLS "  client_ca_file: ./a.pem\n"
			  "  client_auth_type: RequestClientCert\n");
	char expected[128];

	(void)state;
	snprintf(expected, sizeof(expected), "%s/a.pem", directory);
	assert_string_equal(web.tls.cert_file, expected);
	assert_string_equal(web.tls.key_file, expected);
	assert_non_null(web.tls.client_ca_file);
	config_web_free(&web);
}

static void each_way_to_ask_a_client_has_its_word(void **state)
{
	static const struct {
		const char *word;
		enum config_client_auth auth;
	} cases[] = {
	    {"NoClientCert", CONFIG_NO_CLIENT_CERT},
	    {"RequestClientCert", CONFIG_REQUEST_CLIENT_CERT},
	    {"RequireAnyClientCert", CONFIG_REQUIRE_ANY_CLIENT_CERT},
	    {"RequireClientCert", CONFIG_REQUIRE_ANY_CLIENT_CERT},
	    {"VerifyClientCertIfGiven", CONFIG_VERIFY_CLIENT_CERT_IF_GIVEN},
	    {"RequireAndVerifyClientCert", CONFIG_REQUIRE_AND_VERIFY_CLIENT_CERT},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct config_web web;
		char text[200];

		snprintf(text, sizeof(text), TLS "  client_auth_type: %s\n",
			 cases[i].word);
		web = read_good(text);
		assert_int_equal(web.tls.client_auth, cases[i].auth);
		config_web_free(&web);
	}
}

static const struct {
	const char *text, *error;
} wrong[] = {
    {"tls_config: {}", "1: unknown key 'tls_config' in the file"},
    {TLS "  cert_files: a\n",
     "4: unknown key 'cert_files' in tls_server_config (did you mean "
     "'cert_file'?)"},
    {TLS "  cert: x\n", "4: 'cert_file' and 'cert' exclude each other"},
    {"tls_server_config:\n  cert_file: a.pem\n",
     "2: 'tls_server_config' needs 'key' or 'key_file'"},
    {"tls_server_config:\n  key_file: a.pem\n",
     "2: 'tls_server_config' needs 'cert' or 'cert_file'"},
    {"tls_server_config:\n  min_version: TLS13\n",
     "2: 'tls_server_config' needs 'cert' or 'cert_file'"},
    {"tls_server_config:\n  client_auth_type: NoClientCert\n",
     "2: 'tls_server_config' needs 'cert' or 'cert_file'"},
    {TLS "  client_auth_type: requireandverifyclientcert\n",
     "4: 'client_auth_type' must be NoClientCert, RequestClientCert, "
     "RequireAnyClientCert, VerifyClientCertIfGiven or "
     "RequireAndVerifyClientCert, not 'requireandverifyclientcert'"},
    {TLS "  client_ca_file: a.pem\n",
     "2: a client CA is given, but 'client_auth_type' asks for no certificate"},
    {TLS "  client_allowed_sans: [a]\n  client_auth_type: "
	 "VerifyClientCertIfGiven\n",
     "2: 'client_allowed_sans' needs 'client_auth_type' RequireAnyClientCert "
     "or "
     "RequireAndVerifyClientCert"},
    {TLS "  min_version: TLS1.2\n",
     "4: 'min_version' must be TLS10, TLS11, TLS12 or TLS13, not 'TLS1.2'"},
    {TLS "  min_version: TLS13\n  max_version: TLS12\n",
     "2: 'min_version' is above 'max_version'"},
    {TLS "  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n",
     "4: 'cipher_suites' must be Go's name of a secure suite, like "
     "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, not 'TLS_RSA_WITH_RC4_128_SHA'"},
    {TLS "  cipher_suites: TLS_AES_128_GCM_SHA256\n",
     "4: 'cipher_suites' must be a list, not 'TLS_AES_128_GCM_SHA256'"},
    {TLS "  curve_preferences: [CurveP255]\n",
     "4: 'curve_preferences' must be CurveP256, CurveP384, CurveP521 or "
     "X25519, "
     "not 'CurveP255'"},
    {"http_server_config: {headers: {Server: x}}",
     "1: 'Server' in headers cannot be set: Strict-Transport-Security, "
     "X-Content-Type-Options, X-Frame-Options, X-XSS-Protection and "
     "Content-Security-Policy can"},
    {"http_server_config: {headers: {X-Frame-Options: DENY}}",
     "1: 'X-Frame-Options' in headers must be 'deny' or 'sameorigin'"},
    {"http_server_config: {headers: {X-Content-Type-Options: sniff}}",
     "1: 'X-Content-Type-Options' in headers must be 'nosniff'"},
    {"http_server_config: {headers: {X-XSS-Protection: \"1\\r\\nX: y\"}}",
     "1: 'X-XSS-Protection' in headers holds what a header cannot carry"},
    {"http_server_config: {http2: maybe}",
     "1: 'http2' must be true or false, not 'maybe'"},
    {"basic_auth_users: {'a:b': " HASH "}",
     "1: 'a:b' in basic_auth_users has a ':', which ends the name where it is "
     "sent"},
    {"basic_auth_users: {ann: secret}",
     "1: 'ann' in basic_auth_users has no bcrypt hash ($2a$, $2b$ or $2y$): "
     "htpasswd -nBC 10 makes one"},
    {"basic_auth_users: {ann: " HASH_OF_COST("03") "}",
     "1: 'ann' in basic_auth_users has a bcrypt cost below 4"},
    {"basic_auth_users: {ann: " HASH_OF_COST("13") "}",
     "1: 'ann' in basic_auth_users has a bcrypt cost above 12: it would take "
     "seconds to check"},
    {"basic_auth_users: {ann: " HASH ", ann: " HASH "}", "1: key 'ann' is given twice"},
    {"basic_auth_users: [ann]",
     "1: basic_auth_users must be a mapping (key: value), not a list"},
    {"rate_limit: {interval: 1s, burst: 20}",
     "1: 'rate_limit' is not supported; the number of connections and their "
     "time are limited always"},
};

static void what_is_wrong_is_said_with_its_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(wrong); i++) {
		char error[CONFIG_ERROR_LEN] = "", expected[CONFIG_ERROR_LEN];
		struct config_web web;

		write_file("web.yml", wrong[i].text);
		snprintf(expected, sizeof(expected), "%s:%s", path, wrong[i].error);
		assert_int_not_equal(config_web_read(path, &web, error), 0);
		assert_string_equal(error, expected);
		config_web_free(&web);
	}
}

static void hashes_that_are_none_are_refused(void **state)
{
	static const char *const hashes[] = {
	    "$2x$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi",
	    "$2y$1a$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi",
	    "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeS",
	    "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSii",
	    "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV_LDeSi",
	    "$2$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSii",
	    "$1$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSii",
	    "$6$abc$def",
	    "x!x"}; /* not in the name of a folder, either */

	(void)state;
	for (size_t i = 0; i < LENGTH(hashes); i++) {
		char error[CONFIG_ERROR_LEN] = "", text[200];
		struct config_web web;

		snprintf(text, sizeof(text), "basic_auth_users: {ann: '%s'}",
			 hashes[i]);
		write_file("web.yml", text);
		if (!config_web_read(path, &web, error))
			fail_msg("%s", hashes[i]);
		assert_null(strstr(error, hashes[i])); /* nor told to the log */
		config_web_free(&web);
	}
}

static void files_that_hold_no_pem_are_refused(void **state)
{
	static const char *const names[] = {"empty.pem", "web.yml", "nothing.pem", "."};

	(void)state;
	for (size_t i = 0; i < LENGTH(names); i++) {
		char error[CONFIG_ERROR_LEN] = "", text[200];
		struct config_web web;

		snprintf(text, sizeof(text),
			 "tls_server_config: {cert_file: %s, key_file: a.pem}",
			 names[i]);
		write_file("web.yml", text);
		assert_int_not_equal(config_web_read(path, &web, error), 0);
		assert_non_null(strstr(error, "'cert_file'"));
		config_web_free(&web);
	}
}

/* The tests run in the root of the repository. */
static void the_example_can_be_used(void **state)
{
	char error[CONFIG_ERROR_LEN] = "";
	struct config_web web;

	(void)state;
	assert_int_equal(config_web_read("docs/examples/web.yml", &web, error), 0);
	assert_int_equal(web.users.count, 1);
	assert_int_equal(web.headers.count, 1);
	config_web_free(&web);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_plain_http_for_everybody),
	    cmocka_unit_test(every_key_is_read),
	    cmocka_unit_test(paths_are_relative_to_the_file),
	    cmocka_unit_test(each_way_to_ask_a_client_has_its_word),
	    cmocka_unit_test(what_is_wrong_is_said_with_its_line),
	    cmocka_unit_test(hashes_that_are_none_are_refused),
	    cmocka_unit_test(files_that_hold_no_pem_are_refused),
	    cmocka_unit_test(the_example_can_be_used),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
