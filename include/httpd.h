/* SPDX-License-Identifier: Apache-2.0 */
/*
 * httpd.h - the only file that knows libmicrohttpd. Serves /metrics, /, and
 * /-/healthy, /-/ready with GET and HEAD from the daemon's loop; knows no
 * metric. Other paths are 404, other methods 405 with Allow. Bounded: 64
 * connections, 10 s idle, 20 s for a request, 60 s for its response, 16 kB of
 * headers, 64 kB of a request's body (discarded; more ends the connection), 4 pages
 * being sent (503). For one connection more, the oldest goes that has not asked for
 * anything, else the one idle longest; never one that is being answered. /metrics
 * is written while it is sent: a page holds its snapshot and some 64 kB, whatever
 * its length. What --web.config.file says holds for all of it (web.h), and the
 * limits for TLS handshakes.
 */
#pragma once

#include "answer.h"
#include "loop.h"
#include "web.h"

struct httpd;

/* listen_address: "ADDR:PORT", ":PORT", "[v6]:PORT". ":PORT" is every address,
 * IPv6 and IPv4. web: TLS, passwords and headers; NULL: none; it stays the caller's
 * and outlives the server. Errors: -EINVAL (cannot parse), -EADDRINUSE and other
 * errno of bind. Pages are copied. */
int httpd_start(struct loop *loop, const char *listen_address, struct web *web,
		const struct answer_pages *pages, struct httpd **ret_httpd);
/* The port it listens on (for :0). */
unsigned int httpd_port(const struct httpd *httpd);
void httpd_stop(struct httpd **httpd);
