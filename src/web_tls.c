/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GnuTLS has no list of cipher suites but lists of key exchanges and of ciphers,
 * and offers every combination of the two. A list in Go's names that is no such
 * product is refused: to offer less or more than what was asked for, unsaid, would
 * be wrong either way. What the certificate's key cannot do does not count, nor do
 * the names of TLS 1.3, which Go ignores.
 */
#include "web_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "config_value.h"
#include "length.h"

#define PEM_BYTES_MAX ((size_t)1 << 20)
#define PRIORITY_BYTES_MAX 1024
#define SAN_BYTES_MAX 1024
/* Of a handshake's message: a client's chain of certificates is the largest. */
#define HANDSHAKE_BYTES_MAX ((size_t)32 << 10)

struct web_tls {
	unsigned int references;
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
	bool is_rsa; /* the certificate's key */
	enum config_client_auth client_auth;
	char **sans;
	size_t san_count; /* 0: any */
};

__attribute__((format(printf, 2, 3))) static int fail(char *error, const char *format,
						      ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, CONFIG_ERROR_LEN, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* --- what the files hold ------------------------------------------------------- */

/* PEM text; wiped, as it may be a key. */
struct pem {
	unsigned char *bytes;
	unsigned int len;
};

static void pem_free(struct pem *pem)
{
	if (pem->bytes)
		explicit_bzero(pem->bytes, pem->len);
	free(pem->bytes);
	*pem = (struct pem){0};
}

static gnutls_datum_t datum(const struct pem *pem)
{
	return (gnutls_datum_t){.data = pem->bytes, .size = pem->len};
}

static int copy_text(const char *text, struct pem *ret_pem)
{
	size_t len = strlen(text);

	ret_pem->bytes = (unsigned char *)strdup(text);
	ret_pem->len = (unsigned int)len;
	return ret_pem->bytes ? 0 : -ENOMEM;
}

static int read_fd(int fd, struct pem *ret_pem)
{
	struct stat status;
	size_t len = 0, size;
	ssize_t got;

	if (fstat(fd, &status))
		return -errno;
	if (!S_ISREG(status.st_mode) || status.st_size > (off_t)PEM_BYTES_MAX)
		return -EFBIG;
	size = (size_t)status.st_size;
	ret_pem->bytes = malloc(size + 1);
	ret_pem->len = (unsigned int)size;
	if (!ret_pem->bytes)
		return -ENOMEM;
	while (len < size && (got = read(fd, ret_pem->bytes + len, size - len)) > 0)
		len += (size_t)got;
	ret_pem->len = (unsigned int)len;
	return 0;
}

/* The text, or what the file holds. */
static int load(const char *key, const char *text, const char *path,
		struct pem *ret_pem, char *error)
{
	AUTO_CLOSE int fd = -1;
	int err;

	if (!path)
		return copy_text(text, ret_pem) ? fail(error, "out of memory") : 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	err = fd < 0 ? -errno : read_fd(fd, ret_pem);
	return err ? fail(error, "'%s' '%s' cannot be read: %s", key, path,
			  strerror(-err))
		   : 0;
}

/* Imported one by one: gnutls_certificate_set_x509_key_mem2 (3.7.9) leaks what it
 * had of a chain that is broken. */
struct chain {
	gnutls_x509_crt_t *certificates;
	unsigned int count;
	gnutls_x509_privkey_t key;
};

static void chain_free(struct chain *chain)
{
	for (unsigned int i = 0; i < chain->count; i++)
		gnutls_x509_crt_deinit(chain->certificates[i]);
	gnutls_free(chain->certificates);
	if (chain->key)
		gnutls_x509_privkey_deinit(chain->key);
}

static int import_chain(const struct pem *cert, const struct pem *key,
			struct chain *chain)
{
	gnutls_datum_t cert_datum = datum(cert), key_datum = datum(key);
	int err = gnutls_x509_crt_list_import2(&chain->certificates, &chain->count,
					       &cert_datum, GNUTLS_X509_FMT_PEM, 0);

	if (!err)
		err = gnutls_x509_privkey_init(&chain->key);
	return err ? err
		   : gnutls_x509_privkey_import2(chain->key, &key_datum,
						 GNUTLS_X509_FMT_PEM, NULL, 0);
}

static bool is_rsa(gnutls_x509_crt_t certificate)
{
	int algorithm = gnutls_x509_crt_get_pk_algorithm(certificate, NULL);

	return algorithm == GNUTLS_PK_RSA || algorithm == GNUTLS_PK_RSA_PSS;
}

static int use_chain(struct web_tls *tls, const struct pem *cert, const struct pem *key)
{
	CLEANUP(chain_free) struct chain chain = {0};
	int err = import_chain(cert, key, &chain);

	if (!err)
		err = gnutls_certificate_set_x509_key(
		    tls->credentials, chain.certificates, (int)chain.count, chain.key);
	if (err >= 0)
		tls->is_rsa = is_rsa(chain.certificates[0]);
	return err < 0 ? err : 0;
}

static int load_certificate(struct web_tls *tls, const struct config_web_tls *config,
			    char *error)
{
	CLEANUP(pem_free) struct pem cert = {0};
	CLEANUP(pem_free) struct pem key = {0};
	int err = load("cert_file", config->cert, config->cert_file, &cert, error);

	if (!err)
		err = load("key_file", config->key, config->key_file, &key, error);
	if (err)
		return err;
	err = use_chain(tls, &cert, &key);
	return err ? fail(error, "certificate and key cannot be used: %s",
			  gnutls_strerror(err))
		   : 0;
}

static bool verifies(enum config_client_auth auth)
{
	return auth == CONFIG_VERIFY_CLIENT_CERT_IF_GIVEN ||
	       auth == CONFIG_REQUIRE_AND_VERIFY_CLIENT_CERT;
}

/* Without a CA of its own, a server that verifies trusts the system's, as Go's. */
static int load_client_ca(struct web_tls *tls, const struct config_web_tls *config,
			  char *error)
{
	CLEANUP(pem_free) struct pem ca = {0};
	gnutls_datum_t ca_datum;
	int err, count;

	if (!config->client_ca && !config->client_ca_file) {
		if (verifies(config->client_auth))
			gnutls_certificate_set_x509_system_trust(tls->credentials);
		return 0;
	}
	err = load("client_ca_file", config->client_ca, config->client_ca_file, &ca,
		   error);
	if (err)
		return err;
	ca_datum = datum(&ca);
	count = gnutls_certificate_set_x509_trust_mem(tls->credentials, &ca_datum,
						      GNUTLS_X509_FMT_PEM);
	if (count < 0)
		return fail(error, "the client CA cannot be used: %s",
			    gnutls_strerror(count));
	return count ? 0 : fail(error, "the client CA holds no certificate");
}

/* --- what is offered -------------------------------------------------------------- */

static const char *const exchange_words[] = {
    [CONFIG_ECDHE_ECDSA] = "ECDHE-ECDSA",
    [CONFIG_ECDHE_RSA] = "ECDHE-RSA",
    [CONFIG_RSA] = "RSA",
};

static const char *const cipher_words[] = {
    [CONFIG_AES_128_GCM] = "AES-128-GCM",
    [CONFIG_AES_256_GCM] = "AES-256-GCM",
    [CONFIG_CHACHA20_POLY1305] = "CHACHA20-POLY1305",
    [CONFIG_AES_128_CBC] = "AES-128-CBC",
    [CONFIG_AES_256_CBC] = "AES-256-CBC",
};

static const char *const version_words[] = {
    [CONFIG_TLS10] = "VERS-TLS1.0",
    [CONFIG_TLS11] = "VERS-TLS1.1",
    [CONFIG_TLS12] = "VERS-TLS1.2",
    [CONFIG_TLS13] = "VERS-TLS1.3",
};

static const char *const curve_words[] = {
    [CONFIG_P256] = "GROUP-SECP256R1",
    [CONFIG_P384] = "GROUP-SECP384R1",
    [CONFIG_P521] = "GROUP-SECP521R1",
    [CONFIG_X25519] = "GROUP-X25519",
};

/* Each word once, in the order that they came: none is the beginning of another. */
static void add_word(struct buf *priority, const char *word)
{
	char item[64];
	int len = snprintf(item, sizeof(item), ":+%s", word);

	if (!memmem(priority->data, priority->len, item, (size_t)len))
		buf_string(priority, item);
}

/* What the list says of TLS 1.2 and before, as far as the key can do it. */
static bool counts(const struct config_suite *suite, bool is_rsa)
{
	return suite->exchange != CONFIG_ANY_EXCHANGE &&
	       is_rsa == (suite->exchange != CONFIG_ECDHE_ECDSA);
}

static bool has_suite(const struct config_web_tls *config,
		      enum config_key_exchange exchange, enum config_cipher cipher)
{
	for (size_t i = 0; i < config->suite_count; i++) {
		if (config->suites[i]->exchange == exchange &&
		    config->suites[i]->cipher == cipher)
			return true;
	}
	return false;
}

/* Every exchange with every cipher. */
static int check_product(const struct config_web_tls *config, bool is_rsa, char *error)
{
	for (size_t i = 0; i < config->suite_count; i++) {
		const struct config_suite *one = config->suites[i];

		for (size_t j = 0; j < config->suite_count; j++) {
			const struct config_suite *other = config->suites[j];

			if (!counts(one, is_rsa) || !counts(other, is_rsa) ||
			    has_suite(config, one->exchange, other->cipher))
				continue;
			return fail(error,
				    "'cipher_suites' cannot be offered: GnuTLS has no "
				    "%s and %s without the suite of %s with %s",
				    one->name, other->name,
				    exchange_words[one->exchange],
				    cipher_words[other->cipher]);
		}
	}
	return 0;
}

static size_t count_suites(const struct config_web_tls *config, bool is_rsa)
{
	size_t count = 0;

	for (size_t i = 0; i < config->suite_count; i++)
		count += counts(config->suites[i], is_rsa);
	return count;
}

/* TLS 1.3 has the same ciphers then. */
static void add_suites(struct buf *priority, const struct config_web_tls *config,
		       bool is_rsa)
{
	buf_string(priority, ":-KX-ALL:-CIPHER-ALL:-MAC-ALL:+AEAD:+SHA1");
	for (size_t i = 0; i < config->suite_count; i++) {
		const struct config_suite *suite = config->suites[i];

		if (!counts(suite, is_rsa))
			continue;
		add_word(priority, exchange_words[suite->exchange]);
		add_word(priority, cipher_words[suite->cipher]);
	}
}

static void add_versions(struct buf *priority, enum config_tls_version min,
			 enum config_tls_version max)
{
	buf_string(priority, ":-VERS-ALL");
	for (int version = (int)max; version >= (int)min; version--)
		add_word(priority, version_words[version]);
}

/* The newest for which the list has a cipher. */
static enum config_tls_version max_version(const struct config_web_tls *config,
					   bool is_rsa)
{
	for (size_t i = 0; i < config->suite_count; i++) {
		const struct config_suite *suite = config->suites[i];

		if (counts(suite, is_rsa) && suite->cipher != CONFIG_AES_128_CBC &&
		    suite->cipher != CONFIG_AES_256_CBC)
			return config->max_version;
	}
	return config->max_version < CONFIG_TLS12 ? config->max_version : CONFIG_TLS12;
}

/* GnuTLS' own choice, without key exchanges that keep no secret (RSA) or cost
 * much (DHE). */
static void write_priority(struct buf *priority, const struct config_web_tls *config,
			   bool is_rsa)
{
	/* As in Go: a list without any is none for TLS 1.2. */
	bool has_suites =
	    config->min_version < CONFIG_TLS13 && count_suites(config, is_rsa);
	enum config_tls_version min = config->min_version, max = config->max_version;

	if (has_suites)
		max = max_version(config, is_rsa);
	else if (config->suite_count)
		min = CONFIG_TLS13;
	buf_string(priority, "NORMAL");
	add_versions(priority, min, max);
	if (has_suites)
		add_suites(priority, config, is_rsa);
	else
		buf_string(priority, ":-RSA:-DHE-RSA");
	if (config->curve_count)
		buf_string(priority, ":-GROUP-ALL");
	for (size_t i = 0; i < config->curve_count; i++)
		add_word(priority, curve_words[config->curves[i]]);
	if (config->prefer_server_cipher_suites)
		buf_string(priority, ":%SERVER_PRECEDENCE");
	buf_append(priority, "", 1);
}

static int check_suites(const struct config_web_tls *config, bool is_rsa, char *error)
{
	if (config->suite_count && !count_suites(config, is_rsa) &&
	    config->max_version < CONFIG_TLS13)
		return fail(error,
			    "'cipher_suites' has none for this certificate's %s key",
			    is_rsa ? "RSA" : "ECDSA");
	return check_product(config, is_rsa, error);
}

static int make_priority(struct web_tls *tls, const struct config_web_tls *config,
			 char *error)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(PRIORITY_BYTES_MAX);
	int err = check_suites(config, tls->is_rsa, error);

	if (err)
		return err;
	write_priority(&text, config, tls->is_rsa);
	if (text.error)
		return fail(error, "out of memory");
	err = gnutls_priority_init2(&tls->priority, text.data, NULL, 0);
	return err < 0 ? fail(error, "GnuTLS does not take \"%s\": %s", text.data,
			      gnutls_strerror(err))
		       : 0;
}

/* --- whom it lets in -------------------------------------------------------------- */

/* As Go prints it. False: of a kind that is not compared. */
static bool san_text(int type, const char *value, size_t len,
		     char ret_text[SAN_BYTES_MAX])
{
	if (type == GNUTLS_SAN_IPADDRESS)
		return (len == 4 || len == 16) &&
		       inet_ntop(len == 4 ? AF_INET : AF_INET6, value, ret_text,
				 SAN_BYTES_MAX);
	if (type != GNUTLS_SAN_DNSNAME && type != GNUTLS_SAN_RFC822NAME &&
	    type != GNUTLS_SAN_URI)
		return false;
	if (memchr(value, '\0', len))
		return false;
	memcpy(ret_text, value, len);
	ret_text[len] = '\0';
	return true;
}

static bool is_allowed(const struct web_tls *tls, const char *san)
{
	for (size_t i = 0; i < tls->san_count; i++) {
		if (!strcmp(tls->sans[i], san))
			return true;
	}
	return false;
}

static bool has_allowed_san(const struct web_tls *tls, gnutls_x509_crt_t certificate)
{
	for (unsigned int i = 0;; i++) {
		char value[SAN_BYTES_MAX], text[SAN_BYTES_MAX];
		size_t len = sizeof(value) - 1;
		int type = gnutls_x509_crt_get_subject_alt_name(certificate, i, value,
								&len, NULL);

		if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue; /* longer than any that could be allowed */
		if (type < 0)
			return false;
		if (san_text(type, value, len, text) && is_allowed(tls, text))
			return true;
	}
}

static bool is_san_allowed(const struct web_tls *tls, const gnutls_datum_t *leaf)
{
	gnutls_x509_crt_t certificate;
	bool allowed;

	if (!tls->san_count)
		return true;
	if (gnutls_x509_crt_init(&certificate))
		return false;
	allowed = !gnutls_x509_crt_import(certificate, leaf, GNUTLS_X509_FMT_DER) &&
		  has_allowed_san(tls, certificate);
	gnutls_x509_crt_deinit(certificate);
	return allowed;
}

static bool is_trusted(gnutls_session_t session)
{
	gnutls_typed_vdata_st purpose = {
	    .type = GNUTLS_DT_KEY_PURPOSE_OID,
	    .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT,
	};
	unsigned int status = 0;

	return !gnutls_certificate_verify_peers(session, &purpose, 1, &status) &&
	       !status;
}

/* In the handshake. That there is a certificate where one is required GnuTLS has
 * seen to. */
static int verify_client(gnutls_session_t session)
{
	const struct web_tls *tls = gnutls_session_get_ptr(session);
	const gnutls_datum_t *chain;
	unsigned int count = 0;

	if (tls->client_auth <= CONFIG_NO_CLIENT_CERT)
		return 0;
	chain = gnutls_certificate_get_peers(session, &count);
	if (!chain || !count)
		return 0;
	if (verifies(tls->client_auth) && !is_trusted(session))
		return GNUTLS_E_CERTIFICATE_ERROR;
	return is_san_allowed(tls, &chain[0]) ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

/* --- together -----------------------------------------------------------------------
 */

static bool copy_sans(struct web_tls *tls, const struct config_strings *sans)
{
	tls->sans = calloc(sans->count + 1, sizeof(*tls->sans));
	if (!tls->sans)
		return false;
	for (; tls->san_count < sans->count; tls->san_count++) {
		tls->sans[tls->san_count] = strdup(sans->items[tls->san_count]);
		if (!tls->sans[tls->san_count])
			return false;
	}
	return true;
}

int web_tls_create(const struct config_web_tls *config, struct web_tls **ret_tls,
		   char ret_error[CONFIG_ERROR_LEN])
{
	CLEANUP(web_tls_put) struct web_tls *tls = calloc(1, sizeof(*tls));
	int err;

	if (!tls)
		return fail(ret_error, "out of memory");
	tls->references = 1;
	tls->client_auth = config->client_auth;
	if (gnutls_certificate_allocate_credentials(&tls->credentials) ||
	    !copy_sans(tls, &config->client_allowed_sans))
		return fail(ret_error, "out of memory");
	gnutls_certificate_set_verify_function(tls->credentials, verify_client);
	err = load_certificate(tls, config, ret_error);
	if (!err)
		err = load_client_ca(tls, config, ret_error);
	if (!err)
		err = make_priority(tls, config, ret_error);
	if (err)
		return err;
	*ret_tls = TAKE(tls);
	return 0;
}

struct web_tls *web_tls_get(struct web_tls *tls)
{
	tls->references++;
	return tls;
}

void web_tls_put(struct web_tls **tls)
{
	struct web_tls *mine = *tls;

	*tls = NULL;
	if (!mine || --mine->references)
		return;
	if (mine->priority)
		gnutls_priority_deinit(mine->priority);
	if (mine->credentials)
		gnutls_certificate_free_credentials(mine->credentials);
	for (size_t i = 0; i < mine->san_count; i++)
		free(mine->sans[i]);
	free(mine->sans);
	free(mine);
}

static gnutls_certificate_request_t request_of(enum config_client_auth auth)
{
	switch (auth) {
	case CONFIG_REQUIRE_ANY_CLIENT_CERT:
	case CONFIG_REQUIRE_AND_VERIFY_CLIENT_CERT:
		return GNUTLS_CERT_REQUIRE;
	case CONFIG_REQUEST_CLIENT_CERT:
	case CONFIG_VERIFY_CLIENT_CERT_IF_GIVEN:
		return GNUTLS_CERT_REQUEST;
	case CONFIG_NO_CLIENT_CERT:
	case CONFIG_CLIENT_CERT_UNSAID:
		break;
	}
	return GNUTLS_CERT_IGNORE;
}

int web_tls_begin(struct web_tls *tls, void *session)
{
	int err = gnutls_priority_set(session, tls->priority);

	if (!err)
		err = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE,
					     tls->credentials);
	if (err)
		return -ENOMEM;
	gnutls_session_set_ptr(session, tls);
	gnutls_certificate_server_set_request(session, request_of(tls->client_auth));
	/* Else a client whose certificate is of nobody there shows none. */
	gnutls_certificate_send_x509_rdn_sequence(session, !verifies(tls->client_auth));
	gnutls_handshake_set_max_packet_length(session, HANDSHAKE_BYTES_MAX);
	return 0;
}
