/* SPDX-License-Identifier: Apache-2.0 */
/* Handshakes with a client of GnuTLS' own over a socket pair, in one thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gnutls/abstract.h>

#include "certificate.h"
#include "length.h"
#include "web_tls.h"

static struct identity rsa, ecdsa, authority, client_of_it, stranger;

static int make_identities(void **state)
{
	(void)state;
	rsa = make_identity("localhost", GNUTLS_PK_RSA, NULL);
	ecdsa = make_identity("localhost", GNUTLS_PK_ECDSA, NULL);
	authority = make_identity("authority", GNUTLS_PK_ECDSA, NULL);
	client_of_it = make_identity("scraper", GNUTLS_PK_ECDSA, &authority);
	stranger = make_identity("scraper", GNUTLS_PK_ECDSA, NULL);
	return 0;
}

static int free_identities(void **state)
{
	(void)state;
	identity_free(&rsa);
	identity_free(&ecdsa);
	identity_free(&authority);
	identity_free(&client_of_it);
	identity_free(&stranger);
	return 0;
}

static struct config_web_tls config_with(const struct identity *identity)
{
	return (struct config_web_tls){
	    .cert = identity->cert,
	    .key = identity->key,
	    .min_version = CONFIG_TLS12,
	    .max_version = CONFIG_TLS13,
	    .prefer_server_cipher_suites = true,
	};
}

static struct web_tls *create(const struct config_web_tls *config)
{
	char error[CONFIG_ERROR_LEN] = "";
	struct web_tls *tls = NULL;

	if (web_tls_create(config, &tls, error))
		fail_msg("%s", error);
	return tls;
}

static void assert_refused(const struct config_web_tls *config, const char *expected)
{
	char error[CONFIG_ERROR_LEN] = "";
	struct web_tls *tls = NULL;

	assert_int_not_equal(web_tls_create(config, &tls, error), 0);
	assert_null(tls);
	assert_string_equal(error, expected);
}

/* --- a handshake --------------------------------------------------------------- */

struct ends {
	gnutls_session_t server, client;
	gnutls_certificate_credentials_t credentials;
	int fds[2];
};

static const struct identity *shown; /* by the client; NULL: none */

/* Whomever the server says that it trusts. */
static int show(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
		gnutls_pcert_st **ret_certs, unsigned int *ret_count,
		gnutls_ocsp_data_st **ret_ocsp, unsigned int *ret_ocsp_count,
		gnutls_privkey_t *ret_key, unsigned int *ret_flags)
{
	gnutls_datum_t cert, key;

	(void)session;
	(void)info;
	*ret_count = *ret_ocsp_count = 0;
	*ret_ocsp = NULL;
	if (!shown)
		return 0;
	cert = pem_datum(shown->cert);
	key = pem_datum(shown->key);
	*ret_certs = gnutls_malloc(sizeof(**ret_certs));
	assert_int_equal(
	    gnutls_pcert_import_x509_raw(*ret_certs, &cert, GNUTLS_X509_FMT_PEM, 0), 0);
	assert_int_equal(gnutls_privkey_init(ret_key), 0);
	assert_int_equal(gnutls_privkey_import_x509_raw(*ret_key, &key,
							GNUTLS_X509_FMT_PEM, NULL, 0),
			 0);
	*ret_count = 1;
	*ret_flags = GNUTLS_CERT_RETR_DEINIT_ALL;
	return 0;
}

static struct ends connect_ends(struct web_tls *tls, const char *priority,
				const struct identity *identity)
{
	struct ends ends;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.fds),
			 0);
	assert_int_equal(gnutls_init(&ends.server, GNUTLS_SERVER | GNUTLS_NONBLOCK), 0);
	assert_int_equal(web_tls_begin(tls, ends.server), 0);
	gnutls_transport_set_int(ends.server, ends.fds[0]);
	assert_int_equal(gnutls_init(&ends.client, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
	assert_int_equal(gnutls_priority_set_direct(ends.client, priority, NULL), 0);
	assert_int_equal(gnutls_certificate_allocate_credentials(&ends.credentials), 0);
	shown = identity;
	gnutls_certificate_set_retrieve_function3(ends.credentials, show);
	assert_int_equal(gnutls_credentials_set(ends.client, GNUTLS_CRD_CERTIFICATE,
						ends.credentials),
			 0);
	gnutls_transport_set_int(ends.client, ends.fds[1]);
	return ends;
}

static void end(struct ends *ends)
{
	gnutls_deinit(ends->server);
	gnutls_deinit(ends->client);
	gnutls_certificate_free_credentials(ends->credentials);
	close(ends->fds[0]);
	close(ends->fds[1]);
}

/* Until both are done or one gives up: 0, or the server's error, or the client's. */
static int shake_hands(struct ends *ends)
{
	int server = GNUTLS_E_AGAIN, client = GNUTLS_E_AGAIN;

	for (int turn = 0; turn < 100 && (server || client); turn++) {
		if (client)
			client = gnutls_handshake(ends->client);
		if (server)
			server = gnutls_handshake(ends->server);
		if (gnutls_error_is_fatal(server))
			return server;
		if (gnutls_error_is_fatal(client))
			return client;
	}
	return server ? server : client;
}

static int meet(struct web_tls *tls, const char *priority,
		const struct identity *identity)
{
	struct ends ends = connect_ends(tls, priority, identity);
	int result = shake_hands(&ends);

	end(&ends);
	return result;
}

/* "TLS1.3 AES-256-GCM ECDHE-RSA"; empty: no handshake. */
static const char *negotiated(struct web_tls *tls, const char *priority)
{
	struct ends ends = connect_ends(tls, priority, NULL);
	static char text[100];

	text[0] = '\0';
	if (!shake_hands(&ends))
		snprintf(
		    text, sizeof(text), "%s %s %s",
		    gnutls_protocol_get_name(gnutls_protocol_get_version(ends.server)),
		    gnutls_cipher_get_name(gnutls_cipher_get(ends.server)),
		    gnutls_kx_get_name(gnutls_kx_get(ends.server)));
	end(&ends);
	return text;
}

/* --- what is refused ------------------------------------------------------------- */

/* What comes behind it is GnuTLS', of whatever version. */
static void assert_unusable(const struct config_web_tls *config)
{
	static const char beginning[] = "certificate and key cannot be used: ";
	char error[CONFIG_ERROR_LEN] = "";
	struct web_tls *tls = NULL;

	assert_int_not_equal(web_tls_create(config, &tls, error), 0);
	assert_null(tls);
	assert_memory_equal(error, beginning, strlen(beginning));
}

static void a_certificate_needs_its_own_key(void **state)
{
	struct config_web_tls config = config_with(&rsa);

	(void)state;
	config.key = ecdsa.key;
	assert_unusable(&config);
	config.key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
	assert_unusable(&config);
	config.key = "nothing";
	assert_unusable(&config);
	config = config_with(&rsa);
	config.cert = "nothing";
	assert_unusable(&config);
	config.cert = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	assert_unusable(&config);
}

static void what_files_hold_is_read_where_they_are_named(void **state)
{
	struct config_web_tls config = config_with(&rsa);
	char path[] = "/tmp/test_web_tls.XXXXXX";
	int fd = mkstemp(path);
	struct web_tls *tls;
	char expected[200];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, rsa.cert, strlen(rsa.cert)), strlen(rsa.cert));
	config.cert = NULL;
	config.cert_file = path;
	tls = create(&config);
	assert_int_equal(meet(tls, "NORMAL", NULL), 0);
	web_tls_put(&tls);
	assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
	snprintf(expected, sizeof(expected),
		 "'cert_file' '%s' cannot be read: File too large", path);
	assert_refused(&config, expected);
	close(fd);
	unlink(path);
	snprintf(expected, sizeof(expected),
		 "'cert_file' '%s' cannot be read: No such file or directory", path);
	assert_refused(&config, expected);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(expected, sizeof(expected),
		 "'cert_file' '%s' cannot be read: File too large", path);
	assert_refused(&config, expected);
	unlink(path);
}

static void a_client_ca_holds_a_certificate(void **state)
{
	struct config_web_tls config = config_with(&rsa);

	(void)state;
	config.client_auth = CONFIG_REQUIRE_AND_VERIFY_CLIENT_CERT;
	config.client_ca = "nothing";
	assert_refused(&config, "the client CA holds no certificate");
}

/* --- versions, suites, curves --------------------------------------------------------
 */

static void versions_are_those_from_min_to_max(void **state)
{
	static const struct {
		enum config_tls_version min, max;
		const char *offered, *expected;
	} cases[] = {
	    {CONFIG_TLS12, CONFIG_TLS13, "+VERS-TLS1.3:+VERS-TLS1.2", "TLS1.3"},
	    {CONFIG_TLS12, CONFIG_TLS13, "+VERS-TLS1.2", "TLS1.2"},
	    {CONFIG_TLS12, CONFIG_TLS13, "+VERS-TLS1.1", ""},
	    {CONFIG_TLS12, CONFIG_TLS12, "+VERS-TLS1.3:+VERS-TLS1.2", "TLS1.2"},
	    {CONFIG_TLS13, CONFIG_TLS13, "+VERS-TLS1.2", ""},
	    {CONFIG_TLS13, CONFIG_TLS13, "+VERS-TLS1.3", "TLS1.3"},
	    {CONFIG_TLS10, CONFIG_TLS12, "+VERS-TLS1.0", "TLS1.0"},
	    {CONFIG_TLS11, CONFIG_TLS11, "+VERS-TLS1.2:+VERS-TLS1.1", "TLS1.1"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct config_web_tls config = config_with(&rsa);
		struct web_tls *tls;
		char priority[100];
		const char *found;

		config.min_version = cases[i].min;
		config.max_version = cases[i].max;
		tls = create(&config);
		snprintf(priority, sizeof(priority), "NORMAL:-VERS-ALL:%s",
			 cases[i].offered);
		found = negotiated(tls, priority);
		if (strncmp(found, cases[i].expected, strlen(cases[i].expected)) != 0 ||
		    !*found != !*cases[i].expected)
			fail_msg("%zu: %s, not %s", i, found, cases[i].expected);
		web_tls_put(&tls);
	}
}

static const struct config_suite ecdhe_rsa_gcm = {
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CONFIG_ECDHE_RSA, CONFIG_AES_128_GCM};
static const struct config_suite ecdhe_rsa_cbc = {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
						  CONFIG_ECDHE_RSA, CONFIG_AES_256_CBC};
static const struct config_suite ecdhe_ecdsa_chacha = {
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", CONFIG_ECDHE_ECDSA,
    CONFIG_CHACHA20_POLY1305};
static const struct config_suite rsa_gcm = {"TLS_RSA_WITH_AES_256_GCM_SHA384",
					    CONFIG_RSA, CONFIG_AES_256_GCM};
static const struct config_suite of_tls13 = {"TLS_AES_128_GCM_SHA256",
					     CONFIG_ANY_EXCHANGE, CONFIG_AES_128_GCM};

#define ONLY_TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"

static struct web_tls *with_suites(const struct identity *identity,
				   const struct config_suite *first,
				   const struct config_suite *second)
{
	struct config_web_tls config = config_with(identity);

	config.suites[config.suite_count++] = first;
	if (second)
		config.suites[config.suite_count++] = second;
	return create(&config);
}

static void only_the_listed_suites_are_offered(void **state)
{
	struct web_tls *tls = with_suites(&rsa, &ecdhe_rsa_gcm, &ecdhe_ecdsa_chacha);

	(void)state;
	assert_string_equal(negotiated(tls, ONLY_TLS12),
			    "TLS1.2 AES-128-GCM ECDHE-RSA");
	assert_string_equal(negotiated(tls, ONLY_TLS12 ":-AES-128-GCM"), "");
	assert_string_equal(negotiated(tls, ONLY_TLS12 ":-ECDHE-RSA:+RSA"), "");
	web_tls_put(&tls);
	tls = with_suites(&rsa, &ecdhe_rsa_cbc, NULL);
	assert_string_equal(negotiated(tls, "NORMAL"), "TLS1.2 AES-256-CBC ECDHE-RSA");
	web_tls_put(&tls);
	tls = with_suites(&ecdsa, &ecdhe_rsa_gcm, &ecdhe_ecdsa_chacha);
	assert_string_equal(negotiated(tls, ONLY_TLS12),
			    "TLS1.2 CHACHA20-POLY1305 ECDHE-ECDSA");
	web_tls_put(&tls);
}

#define GCM_FIRST ONLY_TLS12 ":-CIPHER-ALL:+AES-128-GCM:+AES-256-CBC"

static void the_servers_order_decides_unless_it_is_not_to(void **state)
{
	struct config_web_tls config = config_with(&rsa);
	struct web_tls *tls;

	(void)state;
	config.suites[config.suite_count++] = &ecdhe_rsa_cbc;
	config.suites[config.suite_count++] = &ecdhe_rsa_gcm;
	tls = create(&config);
	assert_string_equal(negotiated(tls, GCM_FIRST), "TLS1.2 AES-256-CBC ECDHE-RSA");
	web_tls_put(&tls);
	config.prefer_server_cipher_suites = false;
	tls = create(&config);
	assert_string_equal(negotiated(tls, GCM_FIRST), "TLS1.2 AES-128-GCM ECDHE-RSA");
	web_tls_put(&tls);
}

static void without_a_list_there_is_no_exchange_that_keeps_no_secret(void **state)
{
	struct config_web_tls config = config_with(&rsa);
	struct web_tls *tls = create(&config);

	(void)state;
	assert_string_equal(negotiated(tls, ONLY_TLS12 ":-KX-ALL:+RSA:+DHE-RSA"), "");
	web_tls_put(&tls);
	tls = with_suites(&rsa, &rsa_gcm, NULL);
	assert_string_equal(negotiated(tls, ONLY_TLS12 ":-KX-ALL:+RSA"),
			    "TLS1.2 AES-256-GCM RSA");
	web_tls_put(&tls);
}

static void a_list_of_tls_1_3_alone_is_tls_1_3(void **state)
{
	struct web_tls *tls = with_suites(&rsa, &of_tls13, NULL);
	struct config_web_tls config = config_with(&rsa);

	(void)state;
	assert_string_equal(negotiated(tls, ONLY_TLS12), "");
	assert_int_equal(strncmp(negotiated(tls, "NORMAL"), "TLS1.3 ", 7), 0);
	web_tls_put(&tls);
	config.max_version = CONFIG_TLS12;
	config.suites[config.suite_count++] = &ecdhe_ecdsa_chacha;
	assert_refused(&config,
		       "'cipher_suites' has none for this certificate's RSA key");
}

static void a_list_that_gnutls_cannot_offer_exactly_is_refused(void **state)
{
	struct config_web_tls config = config_with(&rsa);

	(void)state;
	config.suites[config.suite_count++] = &ecdhe_rsa_gcm;
	config.suites[config.suite_count++] = &rsa_gcm;
	assert_refused(&config,
		       "'cipher_suites' cannot be offered: GnuTLS has no "
		       "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 and "
		       "TLS_RSA_WITH_AES_256_GCM_SHA384 without the suite of ECDHE-RSA "
		       "with AES-256-GCM");
}

static void only_the_listed_curves_are_offered(void **state)
{
	struct config_web_tls config = config_with(&rsa);
	struct web_tls *tls;

	(void)state;
	config.curves[config.curve_count++] = CONFIG_P384;
	config.curves[config.curve_count++] = CONFIG_X25519;
	tls = create(&config);
	assert_int_equal(meet(tls, "NORMAL:-GROUP-ALL:+GROUP-X25519", NULL), 0);
	assert_int_equal(meet(tls, "NORMAL:-GROUP-ALL:+GROUP-SECP384R1", NULL), 0);
	assert_int_not_equal(meet(tls, "NORMAL:-GROUP-ALL:+GROUP-SECP256R1", NULL), 0);
	web_tls_put(&tls);
}

/* --- clients
 * -------------------------------------------------------------------------- */

static void each_policy_lets_in_whom_it_says(void **state)
{
	static const struct {
		enum config_client_auth auth;
		bool nobody, stranger, known;
	} cases[] = {
	    {CONFIG_CLIENT_CERT_UNSAID, true, true, true},
	    {CONFIG_NO_CLIENT_CERT, true, true, true},
	    {CONFIG_REQUEST_CLIENT_CERT, true, true, true},
	    {CONFIG_REQUIRE_ANY_CLIENT_CERT, false, true, true},
	    {CONFIG_VERIFY_CLIENT_CERT_IF_GIVEN, true, false, true},
	    {CONFIG_REQUIRE_AND_VERIFY_CLIENT_CERT, false, false, true},
	};
	static const char *const priorities[] = {"NORMAL", ONLY_TLS12};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases) * 2; i++) {
		struct config_web_tls config = config_with(&rsa);
		const char *priority = priorities[i % 2];
		struct web_tls *tls;

		config.client_auth = cases[i / 2].auth;
		if (config.client_auth > CONFIG_NO_CLIENT_CERT)
			config.client_ca = authority.cert;
		tls = create(&config);
		assert_int_equal(!meet(tls, priority, NULL), cases[i / 2].nobody);
		assert_int_equal(!meet(tls, priority, &stranger),
				 cases[i / 2].stranger);
		assert_int_equal(!meet(tls, priority, &client_of_it),
				 cases[i / 2].known);
		web_tls_put(&tls);
	}
}

static void one_of_the_names_must_be_allowed(void **state)
{
	static const struct {
		const char *san;
		bool allowed;
	} cases[] = {
	    {"scraper", true},    {"127.0.0.1", true}, {"spiffe://a/b", true},
	    {"scrape", false},    {"scraper2", false}, {"SCRAPER", false},
	    {"127.0.0.2", false}, {"*", false},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct config_web_tls config = config_with(&rsa);
		char *sans[] = {"other.example", (char *)cases[i].san};
		struct web_tls *tls;

		config.client_auth = CONFIG_REQUIRE_AND_VERIFY_CLIENT_CERT;
		config.client_ca = authority.cert;
		config.client_allowed_sans = (struct config_strings){sans, 2};
		tls = create(&config);
		if (!meet(tls, "NORMAL", &client_of_it) != cases[i].allowed)
			fail_msg("%s", cases[i].san);
		assert_int_not_equal(meet(tls, "NORMAL", &stranger), 0);
		web_tls_put(&tls);
	}
}

static void a_session_lives_on_what_it_began_with(void **state)
{
	struct config_web_tls config = config_with(&rsa);
	struct web_tls *tls = create(&config), *kept = web_tls_get(tls);
	struct ends ends = connect_ends(kept, "NORMAL", NULL);

	(void)state;
	web_tls_put(&tls);
	assert_null(tls);
	assert_int_equal(shake_hands(&ends), 0);
	end(&ends);
	web_tls_put(&kept);
	web_tls_put(&kept);
}

static void bytes_that_are_no_handshake_end_it(void **state)
{
	static const char garbage[][9] = {
	    "GET / HT", "\x16\x03\x01\xff\xff\x01\xff\xff", "\x80\x2e\x01\x03\x01",
	    "\x15\x03\x01\x00\x02\x02\x28"};
	struct config_web_tls config = config_with(&rsa);
	struct web_tls *tls = create(&config);

	(void)state;
	for (size_t i = 0; i < LENGTH(garbage); i++) {
		struct ends ends = connect_ends(tls, "NORMAL", NULL);

		assert_true(send(ends.fds[1], garbage[i], 9, 0) > 0);
		shutdown(ends.fds[1], SHUT_WR);
		assert_int_not_equal(gnutls_handshake(ends.server), 0);
		end(&ends);
	}
	web_tls_put(&tls);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_certificate_needs_its_own_key),
	    cmocka_unit_test(what_files_hold_is_read_where_they_are_named),
	    cmocka_unit_test(a_client_ca_holds_a_certificate),
	    cmocka_unit_test(versions_are_those_from_min_to_max),
	    cmocka_unit_test(only_the_listed_suites_are_offered),
	    cmocka_unit_test(the_servers_order_decides_unless_it_is_not_to),
	    cmocka_unit_test(without_a_list_there_is_no_exchange_that_keeps_no_secret),
	    cmocka_unit_test(a_list_of_tls_1_3_alone_is_tls_1_3),
	    cmocka_unit_test(a_list_that_gnutls_cannot_offer_exactly_is_refused),
	    cmocka_unit_test(only_the_listed_curves_are_offered),
	    cmocka_unit_test(each_policy_lets_in_whom_it_says),
	    cmocka_unit_test(one_of_the_names_must_be_allowed),
	    cmocka_unit_test(a_session_lives_on_what_it_began_with),
	    cmocka_unit_test(bytes_that_are_no_handshake_end_it),
	};

	return cmocka_run_group_tests(tests, make_identities, free_identities);
}
