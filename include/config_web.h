/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_web.h - the file of --web.config.file: the web.config.yml of Prometheus'
 * exporter-toolkit. It parses and judges what the file says; certificates are
 * judged by web_tls.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config.h"

#define CONFIG_WEB_SUITES_MAX 64
#define CONFIG_WEB_CURVES_MAX 16
#define CONFIG_WEB_USERS_MAX 1024
/* Of a password's hash: half a second of one processor at the first request. */
#define CONFIG_WEB_COST_MAX 12

enum config_client_auth {
	CONFIG_CLIENT_CERT_UNSAID, /* as the next */
	CONFIG_NO_CLIENT_CERT,
	CONFIG_REQUEST_CLIENT_CERT,
	CONFIG_REQUIRE_ANY_CLIENT_CERT,
	CONFIG_VERIFY_CLIENT_CERT_IF_GIVEN,
	CONFIG_REQUIRE_AND_VERIFY_CLIENT_CERT,
};

enum config_tls_version { CONFIG_TLS10, CONFIG_TLS11, CONFIG_TLS12, CONFIG_TLS13 };

enum config_key_exchange {
	CONFIG_ECDHE_ECDSA,
	CONFIG_ECDHE_RSA,
	CONFIG_RSA,
	CONFIG_ANY_EXCHANGE, /* TLS 1.3 */
};

enum config_cipher {
	CONFIG_AES_128_GCM,
	CONFIG_AES_256_GCM,
	CONFIG_CHACHA20_POLY1305,
	CONFIG_AES_128_CBC,
	CONFIG_AES_256_CBC,
};

struct config_suite {
	const char *name; /* Go's, a constant */
	enum config_key_exchange exchange;
	enum config_cipher cipher;
};

enum config_curve { CONFIG_P256, CONFIG_P384, CONFIG_P521, CONFIG_X25519 };

/* Of cert and cert_file one is given, or neither: no TLS then. So it is with key
 * and key_file, which are there when the certificate is. */
struct config_web_tls {
	char *cert; /* PEM */
	char *key;  /* PEM, secret */
	char *client_ca;
	char *cert_file;
	char *key_file;
	char *client_ca_file;
	enum config_client_auth client_auth;
	struct config_strings client_allowed_sans; /* none: any */
	enum config_tls_version min_version, max_version;
	const struct config_suite *suites[CONFIG_WEB_SUITES_MAX]; /* none: ours */
	size_t suite_count;
	enum config_curve curves[CONFIG_WEB_CURVES_MAX]; /* none: ours */
	size_t curve_count;
	bool prefer_server_cipher_suites;
};

struct config_web {
	struct config_web_tls tls;
	bool http2; /* we speak HTTP/1.1 all the same */
	struct config_labels headers;
	struct config_labels users; /* name, bcrypt hash; none: everybody may */
};

bool config_web_has_tls(const struct config_web *web);
/* 0, or -EINVAL with one line in ret_error; to be freed in either case. */
int config_web_read(const char *path, struct config_web *ret_web,
		    char ret_error[CONFIG_ERROR_LEN]);
void config_web_free(struct config_web *web);
