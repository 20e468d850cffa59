/* SPDX-License-Identifier: Apache-2.0 */
/*
 * web_tls.h - the server's side of TLS, and the only file that knows GnuTLS: the
 * certificate, what is offered, whom it lets in. It moves no bytes: libmicrohttpd
 * does, with sessions of its own that are set up here.
 */
#pragma once

#include "config_web.h"

struct web_tls;

/* Reads the certificate, the key and the CA, and judges them. 0, or -EINVAL with
 * one line in ret_error. The config is not kept. */
int web_tls_create(const struct config_web_tls *config, struct web_tls **ret_tls,
		   char ret_error[CONFIG_ERROR_LEN]);
/* Counted: every session that began with it has one. */
struct web_tls *web_tls_get(struct web_tls *tls);
void web_tls_put(struct web_tls **tls);
/* Sets up a gnutls_session_t of a server before its handshake. -errno. It refers to
 * tls until it ends. */
int web_tls_begin(struct web_tls *tls, void *session);
