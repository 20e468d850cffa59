/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h - the only file that knows libcurl. HTTP requests from the daemon's loop
 * (curl's multi interface, no thread of ours); an exchange has one request at a time,
 * a client any number of exchanges, which share connections.
 *
 * Secrets and certificates are read per request, secrets wiped after it; what an
 * answer's text quotes of them is starred. A redirect is followed as a POST, at most
 * ten times, never from https to http, and without `authorization` and `basic_auth`
 * to another host; `headers` go along. It
 * decides nothing about retries, and does not log.
 */
#pragma once

#include "config.h"
#include "loop.h"

struct client;
struct exchange;

/* The loop outlives it. -ENOMEM, -EINVAL (a libcurl that lacks something). */
int client_create(struct loop *loop, struct client **ret_client);
/* After its exchanges. */
void client_free(struct client **client);

/* What came back; it and its text live until the next exchange_post. */
struct client_answer {
	long status;            /* 0: none came, text says why */
	int64_t retry_after_ms; /* from Retry-After, RFC 9110 10.2.3; -1: none */
	double duration_s;
	const char *text; /* the body's beginning, at most CLIENT_TEXT_MAX bytes */
};

#define CLIENT_TEXT_MAX 1024

/* Called from the loop, never from exchange_post; may call that. */
typedef void (*client_done)(void *context, const struct client_answer *answer);

/* config outlives it. -ENOMEM, -EINVAL (an option that this libcurl refuses). */
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
/* The answer's body inside done, bytes as they came (with secrets starred), its first
 * 64 kB; ret_len 0: none. */
const void *exchange_body(const struct exchange *exchange, size_t *ret_len);
/* The url without user, query and fragment; the caller frees. NULL: no memory. */
char *client_shown_url(const char *url);
