/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and certificates for tests, made when they are needed. PEM, NUL terminated;
 * the caller frees. */
#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct identity {
	char *key;
	char *cert;
};

static inline char *pem_text(gnutls_datum_t pem)
{
	char *text = strndup((const char *)pem.data, pem.size);

	gnutls_free(pem.data);
	return text;
}

static inline gnutls_datum_t pem_datum(const char *text)
{
	return (gnutls_datum_t){(unsigned char *)text, (unsigned int)strlen(text)};
}

static inline gnutls_x509_privkey_t import_key(const char *text)
{
	gnutls_datum_t datum = pem_datum(text);
	gnutls_x509_privkey_t key;

	assert_int_equal(gnutls_x509_privkey_init(&key), 0);
	assert_int_equal(gnutls_x509_privkey_import(key, &datum, GNUTLS_X509_FMT_PEM),
			 0);
	return key;
}

static inline gnutls_x509_crt_t import_cert(const char *text)
{
	gnutls_datum_t datum = pem_datum(text);
	gnutls_x509_crt_t cert;

	assert_int_equal(gnutls_x509_crt_init(&cert), 0);
	assert_int_equal(gnutls_x509_crt_import(cert, &datum, GNUTLS_X509_FMT_PEM), 0);
	return cert;
}

static inline char *make_key(gnutls_pk_algorithm_t algorithm)
{
	unsigned int bits = algorithm == GNUTLS_PK_RSA
				? 2048
				: GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);
	gnutls_x509_privkey_t key;
	gnutls_datum_t pem;

	assert_int_equal(gnutls_x509_privkey_init(&key), 0);
	assert_int_equal(gnutls_x509_privkey_generate(key, algorithm, bits, 0), 0);
	assert_int_equal(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem),
			 0);
	gnutls_x509_privkey_deinit(key);
	return pem_text(pem);
}

static inline void set_names(gnutls_x509_crt_t cert, const char *name)
{
	static const unsigned char address[] = {127, 0, 0, 1};

	assert_int_equal(gnutls_x509_crt_set_dn_by_oid(
			     cert, GNUTLS_OID_X520_COMMON_NAME, 0, name, strlen(name)),
			 0);
	assert_int_equal(gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_DNSNAME,
							      name, strlen(name),
							      GNUTLS_FSAN_SET),
			 0);
	assert_int_equal(
	    gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_IPADDRESS, address,
						 sizeof(address), GNUTLS_FSAN_APPEND),
	    0);
	assert_int_equal(gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_URI,
							      "spiffe://a/b", 12,
							      GNUTLS_FSAN_APPEND),
			 0);
}

/* Signed by itself, and fit to sign others, where there is no issuer. */
static inline struct identity make_identity(const char *name,
					    gnutls_pk_algorithm_t algorithm,
					    const struct identity *issuer)
{
	struct identity identity = {.key = make_key(algorithm)};
	gnutls_x509_privkey_t key = import_key(identity.key);
	gnutls_x509_privkey_t issuer_key =
	    import_key(issuer ? issuer->key : identity.key);
	gnutls_x509_crt_t cert, issuer_cert;
	gnutls_datum_t pem;

	assert_int_equal(gnutls_x509_crt_init(&cert), 0);
	set_names(cert, name);
	gnutls_x509_crt_set_version(cert, 3);
	gnutls_x509_crt_set_serial(cert, "\1\2\3", 3);
	gnutls_x509_crt_set_activation_time(cert, time(NULL) - 3600);
	gnutls_x509_crt_set_expiration_time(cert, time(NULL) + 86400);
	gnutls_x509_crt_set_basic_constraints(cert, !issuer, -1);
	assert_int_equal(gnutls_x509_crt_set_key(cert, key), 0);
	issuer_cert = issuer ? import_cert(issuer->cert) : cert;
	assert_int_equal(
	    gnutls_x509_crt_sign2(cert, issuer_cert, issuer_key, GNUTLS_DIG_SHA256, 0),
	    0);
	assert_int_equal(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &pem), 0);
	identity.cert = pem_text(pem);
	if (issuer)
		gnutls_x509_crt_deinit(issuer_cert);
	gnutls_x509_crt_deinit(cert);
	gnutls_x509_privkey_deinit(key);
	gnutls_x509_privkey_deinit(issuer_key);
	return identity;
}

static inline void identity_free(struct identity *identity)
{
	free(identity->key);
	free(identity->cert);
}
