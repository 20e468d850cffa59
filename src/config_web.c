/* SPDX-License-Identifier: Apache-2.0 */
#include "config_web.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_internal.h"
#include "config_value.h"
#include "length.h"
#include "secret.h"

#define BCRYPT_LEN 60
#define BCRYPT_SALT_AT 7 /* behind "$2b$10$" */

/* What cannot be given together. */
enum { CHOICE_CERT = 1, CHOICE_KEY, CHOICE_CLIENT_CA };

/* A word and what it stands for. */
struct word {
	const char *text;
	int value;
};

static const struct word client_auths[] = {
    {"NoClientCert", CONFIG_NO_CLIENT_CERT},
    {"RequestClientCert", CONFIG_REQUEST_CLIENT_CERT},
    {"RequireAnyClientCert", CONFIG_REQUIRE_ANY_CLIENT_CERT},
    {"VerifyClientCertIfGiven", CONFIG_VERIFY_CLIENT_CERT_IF_GIVEN},
    {"RequireAndVerifyClientCert", CONFIG_REQUIRE_AND_VERIFY_CLIENT_CERT},
    {"RequireClientCert", CONFIG_REQUIRE_ANY_CLIENT_CERT}, /* of old files */
};

static const struct word versions[] = {
    {"TLS10", CONFIG_TLS10},
    {"TLS11", CONFIG_TLS11},
    {"TLS12", CONFIG_TLS12},
    {"TLS13", CONFIG_TLS13},
};

static const struct word curves[] = {
    {"CurveP256", CONFIG_P256},
    {"CurveP384", CONFIG_P384},
    {"CurveP521", CONFIG_P521},
    {"X25519", CONFIG_X25519},
};

/* Those that Go calls secure, and the last two that it did until 1.22. */
static const struct config_suite suites[] = {
    {"TLS_AES_128_GCM_SHA256", CONFIG_ANY_EXCHANGE, CONFIG_AES_128_GCM},
    {"TLS_AES_256_GCM_SHA384", CONFIG_ANY_EXCHANGE, CONFIG_AES_256_GCM},
    {"TLS_CHACHA20_POLY1305_SHA256", CONFIG_ANY_EXCHANGE, CONFIG_CHACHA20_POLY1305},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", CONFIG_ECDHE_ECDSA, CONFIG_AES_128_CBC},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", CONFIG_ECDHE_ECDSA, CONFIG_AES_256_CBC},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", CONFIG_ECDHE_RSA, CONFIG_AES_128_CBC},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", CONFIG_ECDHE_RSA, CONFIG_AES_256_CBC},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", CONFIG_ECDHE_ECDSA, CONFIG_AES_128_GCM},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CONFIG_ECDHE_ECDSA, CONFIG_AES_256_GCM},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CONFIG_ECDHE_RSA, CONFIG_AES_128_GCM},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CONFIG_ECDHE_RSA, CONFIG_AES_256_GCM},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", CONFIG_ECDHE_RSA,
     CONFIG_CHACHA20_POLY1305},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", CONFIG_ECDHE_ECDSA,
     CONFIG_CHACHA20_POLY1305},
    {"TLS_RSA_WITH_AES_128_CBC_SHA", CONFIG_RSA, CONFIG_AES_128_CBC},
    {"TLS_RSA_WITH_AES_256_CBC_SHA", CONFIG_RSA, CONFIG_AES_256_CBC},
    {"TLS_RSA_WITH_AES_128_GCM_SHA256", CONFIG_RSA, CONFIG_AES_128_GCM},
    {"TLS_RSA_WITH_AES_256_GCM_SHA384", CONFIG_RSA, CONFIG_AES_256_GCM},
};

/* --- tls_server_config -------------------------------------------------------- */

static int read_word(struct config_reader *reader, const struct config_node *node,
		     const char *key, const struct word *words, size_t count,
		     const char *must, int *ret_value)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, key, &text);

	if (err)
		return err;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, words[i].text) != 0)
			continue;
		*ret_value = words[i].value;
		return 0;
	}
	return config_fail_value(reader, node, key, must);
}

static int read_client_auth(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *target)
{
	int value = 0;
	int err =
	    read_word(reader, node, field->key, client_auths, LENGTH(client_auths),
		      "NoClientCert, RequestClientCert, RequireAnyClientCert, "
		      "VerifyClientCertIfGiven or RequireAndVerifyClientCert",
		      &value);

	if (!err)
		*(enum config_client_auth *)target = (enum config_client_auth)value;
	return err;
}

static int read_version(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	int value = 0;
	int err = read_word(reader, node, field->key, versions, LENGTH(versions),
			    "TLS10, TLS11, TLS12 or TLS13", &value);

	if (!err)
		*(enum config_tls_version *)target = (enum config_tls_version)value;
	return err;
}

static int add_curve(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	struct config_web_tls *tls = target;
	int value = 0;
	int err = read_word(reader, node, field->key, curves, LENGTH(curves),
			    "CurveP256, CurveP384, CurveP521 or X25519", &value);

	if (!err)
		tls->curves[tls->curve_count++] = (enum config_curve)value;
	return err;
}

static int add_suite(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	struct config_web_tls *tls = target;
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	for (size_t i = 0; i < LENGTH(suites); i++) {
		if (strcmp(text, suites[i].name) != 0)
			continue;
		tls->suites[tls->suite_count++] = &suites[i];
		return 0;
	}
	return config_fail_value(reader, node, field->key,
				 "Go's name of a secure suite, like "
				 "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
}

static int add_san(struct config_reader *reader, const struct config_node *node,
		   const struct config_field *field, void *target)
{
	struct config_web_tls *tls = target;
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (!err && !config_add_string(&tls->client_allowed_sans, &text))
		err = config_fail(reader, node, "out of memory");
	return err;
}

static int read_list(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, config_read *add, void *target)
{
	if (!config_is_list(node))
		return config_fail_value(reader, node, field->key, "a list");
	return config_read_items(reader, node, field, field->max, add, target);
}

static int read_curves(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	return read_list(reader, node, field, add_curve, target);
}

static int read_suites(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	return read_list(reader, node, field, add_suite, target);
}

static int read_sans(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	return read_list(reader, node, field, add_san, target);
}

static bool requires_certificate(enum config_client_auth auth)
{
	return auth == CONFIG_REQUIRE_ANY_CLIENT_CERT ||
	       auth == CONFIG_REQUIRE_AND_VERIFY_CLIENT_CERT;
}

static const char *tls_problem(const struct config_web_tls *tls)
{
	if (!tls->cert && !tls->cert_file)
		return "'tls_server_config' needs 'cert' or 'cert_file'";
	if (!tls->key && !tls->key_file)
		return "'tls_server_config' needs 'key' or 'key_file'";
	if (tls->min_version > tls->max_version)
		return "'min_version' is above 'max_version'";
	if ((tls->client_ca || tls->client_ca_file) &&
	    tls->client_auth <= CONFIG_NO_CLIENT_CERT)
		return "a client CA is given, but 'client_auth_type' asks for no "
		       "certificate";
	/* Else who shows none, which is allowed then, could not be judged. */
	if (tls->client_allowed_sans.count && !requires_certificate(tls->client_auth))
		return "'client_allowed_sans' needs 'client_auth_type' "
		       "RequireAnyClientCert or RequireAndVerifyClientCert";
	return NULL;
}

/* Such a file asks for no TLS. */
static bool says_nothing(const struct config_web_tls *tls)
{
	return !tls->cert && !tls->cert_file && !tls->key && !tls->key_file &&
	       !tls->client_ca && !tls->client_ca_file && !tls->client_auth &&
	       !tls->client_allowed_sans.count && !tls->suite_count &&
	       !tls->curve_count && tls->min_version == CONFIG_TLS12 &&
	       tls->max_version == CONFIG_TLS13 && tls->prefer_server_cipher_suites;
}

static int check_tls(struct config_reader *reader, const struct config_node *node,
		     void *target)
{
	const char *problem = says_nothing(target) ? NULL : tls_problem(target);

	return problem ? config_fail(reader, node, "%s", problem) : 0;
}

#define FIELD(member) .offset = offsetof(struct config_web_tls, member)

static const struct config_field tls_fields[] = {
    {"cert", config_read_text, FIELD(cert), .choice = CHOICE_CERT},
    {"cert_file", config_read_pem_path, FIELD(cert_file), .choice = CHOICE_CERT},
    {"key", config_read_text, FIELD(key), .choice = CHOICE_KEY},
    {"key_file", config_read_pem_path, FIELD(key_file), .choice = CHOICE_KEY},
    {"client_ca", config_read_text, FIELD(client_ca), .choice = CHOICE_CLIENT_CA},
    {"client_ca_file", config_read_pem_path, FIELD(client_ca_file),
     .choice = CHOICE_CLIENT_CA},
    {"client_auth_type", read_client_auth, FIELD(client_auth)},
    {"client_allowed_sans", read_sans, .max = CONFIG_LIST_MAX},
    {"min_version", read_version, FIELD(min_version)},
    {"max_version", read_version, FIELD(max_version)},
    {"cipher_suites", read_suites, .max = CONFIG_WEB_SUITES_MAX},
    {"prefer_server_cipher_suites", config_read_flag,
     FIELD(prefer_server_cipher_suites)},
    {"curve_preferences", read_curves, .max = CONFIG_WEB_CURVES_MAX},
};
static const struct config_section tls_section = {"tls_server_config", tls_fields,
						  LENGTH(tls_fields), check_tls};

/* --- http_server_config --------------------------------------------------------- */

/* The toolkit's five; words: what it checks of the value. */
static const struct {
	const char *name;
	const char *words[2];
	const char *problem;
} headers[] = {
    {"Strict-Transport-Security", {NULL}, NULL},
    {"X-Content-Type-Options", {"nosniff"}, "must be 'nosniff'"},
    {"X-Frame-Options", {"deny", "sameorigin"}, "must be 'deny' or 'sameorigin'"},
    {"X-XSS-Protection", {NULL}, NULL},
    {"Content-Security-Policy", {NULL}, NULL},
};

static const char *header_problem(const char *name, const char *value)
{
	size_t i = 0;

	while (i < LENGTH(headers) && strcmp(name, headers[i].name) != 0)
		i++;
	if (i == LENGTH(headers))
		return "cannot be set: Strict-Transport-Security, "
		       "X-Content-Type-Options, X-Frame-Options, X-XSS-Protection and "
		       "Content-Security-Policy can";
	if (!value_is_header_value(value))
		return "holds what a header cannot carry";
	for (size_t j = 0; j < 2; j++) {
		const char *word = headers[i].words[j];

		if (word && !strcmp(value, word))
			return NULL;
	}
	return headers[i].problem;
}

static int read_headers(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	return config_read_pairs(reader, node, field->key, header_problem, target);
}

static const struct config_field http_fields[] = {
    {"http2", config_read_flag, .offset = offsetof(struct config_web, http2)},
    {"headers", read_headers, .offset = offsetof(struct config_web, headers)},
};
static const struct config_section http_section = {"http_server_config", http_fields,
						   LENGTH(http_fields), NULL};

/* --- basic_auth_users ------------------------------------------------------------- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* $2b$10$, then 22 characters of salt and 31 of the hash. */
static bool is_bcrypt(const char *hash)
{
	static const char alphabet[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "abcdefghijklmnopqrstuvwxyz0123456789";

	return strlen(hash) == BCRYPT_LEN && !strncmp(hash, "$2", 2) &&
	       strchr("aby", hash[2]) && hash[3] == '$' && is_digit(hash[4]) &&
	       is_digit(hash[5]) && hash[6] == '$' &&
	       strspn(hash + BCRYPT_SALT_AT, alphabet) == BCRYPT_LEN - BCRYPT_SALT_AT;
}

static const char *user_problem(const char *name, const char *hash)
{
	int cost;

	if (strchr(name, ':'))
		return "has a ':', which ends the name where it is sent";
	if (!is_bcrypt(hash))
		return "has no bcrypt hash ($2a$, $2b$ or $2y$): htpasswd -nBC 10 "
		       "makes one";
	cost = atoi(hash + 4);
	if (cost < 4)
		return "has a bcrypt cost below 4";
	if (cost > CONFIG_WEB_COST_MAX)
		return "has a bcrypt cost above 12: it would take seconds to check";
	return NULL;
}

static int add_user(struct config_reader *reader, const struct config_node *key,
		    const char *name, const struct config_node *value, void *target)
{
	AUTO_WIPE char *hash = NULL;
	char quoted[VALUE_QUOTE_LEN];
	const char *problem;
	int err;

	value_quote(name, quoted);
	err = config_scalar(reader, value, quoted, &hash);
	if (err)
		return err;
	problem = user_problem(name, hash);
	if (problem)
		return config_fail(reader, key, "'%s' in basic_auth_users %s", quoted,
				   problem);
	if (!config_add_label(target, name, hash))
		return config_fail(reader, key, "out of memory");
	return 0;
}

static int read_users(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *target)
{
	return config_read_each(reader, node, field->key, CONFIG_WEB_USERS_MAX,
				add_user, target);
}

/* --- the file ----------------------------------------------------------------------
 */

static const struct config_field web_fields[] = {
    {"tls_server_config", config_read_section,
     .offset = offsetof(struct config_web, tls), .section = &tls_section},
    {"http_server_config", config_read_section, .section = &http_section},
    {"basic_auth_users", read_users, .offset = offsetof(struct config_web, users)},
    {"rate_limit", config_read_unsupported,
     .hint = "the number of connections and their time are limited always"},
};
static const struct config_section web_section = {"the file", web_fields,
						  LENGTH(web_fields), NULL};

bool config_web_has_tls(const struct config_web *web)
{
	return web->tls.cert || web->tls.cert_file;
}

int config_web_read(const char *path, struct config_web *ret_web,
		    char ret_error[CONFIG_ERROR_LEN])
{
	*ret_web = (struct config_web){
	    .tls.min_version = CONFIG_TLS12,
	    .tls.max_version = CONFIG_TLS13,
	    .tls.prefer_server_cipher_suites = true,
	    .http2 = true,
	};
	return config_read_file(path, &web_section, ret_web, ret_error);
}

void config_web_free(struct config_web *web)
{
	free(web->tls.cert);
	secret_wipe(&web->tls.key);
	free(web->tls.client_ca);
	free(web->tls.cert_file);
	free(web->tls.key_file);
	free(web->tls.client_ca_file);
	config_free_strings(&web->tls.client_allowed_sans);
	config_free_labels(&web->headers);
	config_free_labels(&web->users);
	*web = (struct config_web){0};
}
