/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_client.h - the functions of client.h, which are found before the library's, for
 * tests of what asks: requests are kept as they were made, and end when the test says.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define FAKE_EXCHANGES_MAX 600

struct exchange {
	const struct config_http *config;
	client_done done;
	void *context;
	bool is_sending;
	char url[256];
	char headers[512]; /* each with a line end */
	size_t body_max;
	char *body; /* of the answer */
	size_t len;
	const char *content_type;
};

static struct exchange *fake_exchanges[FAKE_EXCHANGES_MAX]; /* NULL: freed */
static size_t fake_made;                                    /* ever */
static bool fake_refuses; /* requests cannot be begun */

int client_create(struct loop *loop, struct client **ret_client)
{
	(void)loop;
	*ret_client = malloc(1);
	return *ret_client ? 0 : -1;
}

void client_free(struct client **client)
{
	free(*client);
	*client = NULL;
}

void client_limit(struct client *client, unsigned int connections, size_t bodies_bytes)
{
	(void)client;
	(void)connections;
	(void)bodies_bytes;
}

int exchange_create(struct client *client, const struct config_http *config,
		    client_done done, void *context, struct exchange **ret_exchange)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));
	size_t i = 0;

	(void)client;
	while (fake_exchanges[i])
		assert(++i < FAKE_EXCHANGES_MAX);
	exchange->config = config;
	exchange->done = done;
	exchange->context = context;
	fake_exchanges[i] = exchange;
	fake_made++;
	*ret_exchange = exchange;
	return 0;
}

void exchange_free(struct exchange **exchange)
{
	for (size_t i = 0; i < FAKE_EXCHANGES_MAX; i++) {
		if (fake_exchanges[i] == *exchange)
			fake_exchanges[i] = NULL;
	}
	free(*exchange);
	*exchange = NULL;
}

int exchange_set_url(struct exchange *exchange, const char *url)
{
	snprintf(exchange->url, sizeof(exchange->url), "%s", url);
	return 0;
}

int exchange_get(struct exchange *exchange, const char *const *headers, size_t count,
		 size_t body_max, struct client_answer *ret_answer)
{
	assert(!exchange->is_sending);
	if (fake_refuses) {
		*ret_answer = (struct client_answer){.text = "no token"};
		return -22;
	}
	*exchange->headers = 0;
	for (size_t i = 0; i < count; i++)
		strcat(strcat(exchange->headers, headers[i]), "\n");
	exchange->body_max = body_max;
	exchange->is_sending = true;
	return 0;
}

const char *exchange_content_type(const struct exchange *exchange)
{
	return exchange->content_type;
}

char *exchange_body(const struct exchange *exchange, size_t *ret_len)
{
	*ret_len = exchange->len;
	return exchange->body;
}

char *client_shown_url(const char *url)
{
	return strndup(url, strcspn(url, "?"));
}

/* --- for the test -------------------------------------------------------------------
 */

static inline size_t fake_sending(void)
{
	size_t count = 0;

	for (size_t i = 0; i < FAKE_EXCHANGES_MAX; i++)
		count += fake_exchanges[i] && fake_exchanges[i]->is_sending;
	return count;
}

/* The request to that URL; NULL: there is none under way. */
static inline struct exchange *fake_find(const char *url)
{
	for (size_t i = 0; i < FAKE_EXCHANGES_MAX; i++) {
		if (fake_exchanges[i] && fake_exchanges[i]->is_sending &&
		    !strcmp(fake_exchanges[i]->url, url))
			return fake_exchanges[i];
	}
	return NULL;
}

/* status 0: none came, and body says why. */
static inline void fake_answer(struct exchange *exchange, long status, const char *type,
			       const char *body)
{
	const struct client_answer answer = {
	    .status = status,
	    .retry_after_ms = -1,
	    .duration_s = 0.25,
	    .text = body,
	};

	assert(exchange && exchange->is_sending);
	exchange->is_sending = false;
	exchange->content_type = type;
	exchange->body = strdup(body);
	exchange->len = strlen(body);
	exchange->done(exchange->context, &answer);
	/* It may have gone meanwhile, but not from inside. */
	free(exchange->body);
	exchange->body = NULL;
}
