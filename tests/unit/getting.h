/* SPDX-License-Identifier: Apache-2.0 */
/* GETs of one exchange, answered by the server of receiving.h. */
#pragma once

#include "client.h"
#include "receiving.h"

struct get {
	struct client *client;
	struct exchange *exchange;
	struct scene *scene;
	unsigned int answers;
	long status;
	char text[CLIENT_TEXT_MAX + 1];
	char type[64];
	char *body;
	size_t body_len;
};

static inline void on_answer(void *context, const struct client_answer *answer)
{
	struct get *get = context;
	const char *type = exchange_content_type(get->exchange);
	const char *body = exchange_body(get->exchange, &get->body_len);

	get->answers++;
	get->status = answer->status;
	snprintf(get->text, sizeof(get->text), "%s", answer->text);
	snprintf(get->type, sizeof(get->type), "%s", type ? type : "none");
	free(get->body);
	get->body = malloc(get->body_len + 1);
	memcpy(get->body, body, get->body_len + 1);
	loop_stop(get->scene->loop);
}

static inline void get_create(struct get *get, struct scene *scene,
			      const char *const *answers)
{
	scene->servers[0]->answers = answers;
	server_listen(scene->servers[0]);
	*get = (struct get){.scene = scene};
	assert_int_equal(client_create(scene->loop, &get->client), 0);
	assert_int_equal(exchange_create(get->client, &scene->endpoints[0].http,
					 on_answer, get, &get->exchange),
			 0);
}

static inline void get_free(struct get *get)
{
	exchange_free(&get->exchange);
	client_free(&get->client);
	free(get->body);
}

static inline void get_start(struct get *get, size_t body_max)
{
	static const char *const headers[] = {"Accept: text/plain;q=0.5"};
	struct client_answer answer;

	assert_int_equal(exchange_get(get->exchange, headers, 1, body_max, &answer), 0);
}

static inline void get_run(struct get *get, size_t body_max)
{
	unsigned int answers = get->answers;

	get_start(get, body_max);
	assert_int_equal(loop_run(get->scene->loop), 0);
	assert_int_equal(get->answers, answers + 1);
}
