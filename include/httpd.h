/* SPDX-License-Identifier: Apache-2.0 */
/*
 * httpd.h - the only file that knows libmicrohttpd. Serves /metrics, /, and
 * /-/healthy, /-/ready with GET and HEAD from the daemon's loop; knows no
 * metric. Other paths are 404, other methods 405 with Allow. Bounded: at most
 * 64 connections (more wait in the backlog), 10 s idle, 20 s for a request, 60 s
 * for its response, 16 kB of headers, 64 kB of a request's body (discarded; more
 * ends the connection), 256 MiB of response bodies in flight together (503).
 */
#pragma once

#include <stdbool.h>

#include "buf.h"
#include "loop.h"
#include "text.h"

struct httpd;

struct httpd_pages {
	/* Writes the body; non-zero is a 500 with that errno's name. ret_body is
	 * empty and has a ceiling: its error counts like the return value. */
	int (*metrics)(void *context, enum text_format format, struct buf *ret_body);
	int (*status)(void *context, struct buf *ret_html);
	bool (*ready)(void *context);
	void *context;
};

/* listen_address: "ADDR:PORT", ":PORT", "[v6]:PORT". ":PORT" is every address,
 * IPv6 and IPv4. Errors: -EINVAL (cannot parse), -EADDRINUSE and other errno of
 * bind. Pages are copied. */
int httpd_start(struct loop *loop, const char *listen_address,
		const struct httpd_pages *pages, struct httpd **ret_httpd);
/* The port it listens on (for :0). */
unsigned int httpd_port(const struct httpd *httpd);
void httpd_stop(struct httpd **httpd);
