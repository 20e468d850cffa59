/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h - libcurl is behind it (client.c, exchange.c, exchange_route.c). HTTP
 * requests from the daemon's loop (curl's multi interface, no thread of ours); an
 * exchange has one request at a time, a client any number of exchanges, which share
 * connections.
 *
 * Secrets and certificates are read per request, secrets wiped after it; what an
 * answer's text quotes of them is starred. A redirect is followed as what it was, at
 * most ten times, never from https to http, and without `authorization` and
 * `basic_auth` to another host; `headers` go along. It decides nothing about retries,
 * and does not log.
 */
#pragma once

#include "config.h"
#include "loop.h"

struct client;
struct exchange;

/* The loop outlives it. -ENOMEM, -EINVAL (a libcurl that lacks something). */
int client_create(struct loop *loop, struct client **ret_client);
/* How many connections stay open at most, and how many bytes the bodies that GETs are
 * being answered with have together: one for which there is no room has the status 0.
 * Without it, curl's number (four a request under way), and no bound. */
void client_limit(struct client *client, unsigned int connections, size_t bodies_bytes);
/* After its exchanges. */
void client_free(struct client **client);

/* What came back; it and its text live until the next request of the exchange. */
struct client_answer {
	long status;            /* 0: none came, text says why */
	int64_t retry_after_ms; /* from Retry-After, RFC 9110 10.2.3; -1: none */
	double duration_s;
	const char *text; /* the body's beginning, at most CLIENT_TEXT_MAX bytes,
			   * without the line end behind it */
};

#define CLIENT_TEXT_MAX 1024

/* Called from the loop, never from exchange_post or exchange_get; may call these, but
 * not exchange_free. */
typedef void (*client_done)(void *context, const struct client_answer *answer);

/* config outlives it; without a url in it, exchange_set_url comes before a request.
 * -ENOMEM, -EINVAL (an option that this libcurl refuses). */
int exchange_create(struct client *client, const struct config_http *config,
		    client_done done, void *context, struct exchange **ret_exchange);
/* A request under way is given up. */
void exchange_free(struct exchange **exchange);
/* Starts a POST; headers are "Name: value", besides those of the config. The body is
 * the caller's and stays until done. On failure (a token that cannot be read) done is
 * not called, and ret_answer says why. */
int exchange_post(struct exchange *exchange, const char *const *headers,
		  size_t header_count, const void *body, size_t len,
		  struct client_answer *ret_answer);
/* A number in a header of the answer, inside done; -1: not there, or no number. */
int64_t exchange_number(const struct exchange *exchange, const char *header);
/* Starts a GET that asks for gzip; otherwise as exchange_post. A 2xx whose body did not
 * come whole, or is longer than body_max bytes when it is decoded, has the status 0. */
int exchange_get(struct exchange *exchange, const char *const *headers,
		 size_t header_count, size_t body_max,
		 struct client_answer *ret_answer);
/* Of the next requests; copied. -EINVAL: it is none, -ENOMEM. */
int exchange_set_url(struct exchange *exchange, const char *url);
/* The answer's header inside done, as it came; NULL: none. */
const char *exchange_content_type(const struct exchange *exchange);
/* The answer's body inside done as it came, and a NUL; the callee may change it. Of a
 * POST no more than exchange_set_answer_max says, and 64 kB where it says nothing.
 * ret_len 0: none. */
char *exchange_body(const struct exchange *exchange, size_t *ret_len);
void exchange_set_answer_max(struct exchange *exchange, size_t answer_max);
/* Whether it was longer. */
bool exchange_is_cut(const struct exchange *exchange);
/* Stars what is secret in a text of the body, inside done. */
void exchange_hide(const struct exchange *exchange, char *text);
/* The url without user, query and fragment; the caller frees. NULL: no memory. */
char *client_shown_url(const char *url);
