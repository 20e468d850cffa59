/* SPDX-License-Identifier: Apache-2.0 */
/* An endpoint without push: what is in its lane is made by the test. */
#pragma once

#include "endpoint.h"
#include "receiving.h"

struct direct {
	struct client *client;
	struct spool *spool;
	struct spool_lane *lane;
	struct endpoint *endpoint;
};

static inline void on_direct_settled(void *context)
{
	(void)context;
}

/* A spool in memory, and the lane that the endpoint will have; the server takes all. */
static inline void direct_open(struct direct *direct, struct scene *scene,
			       const char *lane)
{
	const struct spool_config config = {
	    .bytes_max = 64 << 20, .memory_bytes_max = 64 << 20, .age_max_ms = 1000000};
	char error[SPOOL_ERROR_LEN];

	*direct = (struct direct){0};
	scene->servers[0]->answers = accept_all;
	server_listen(scene->servers[0]);
	assert_int_equal(client_create(scene->loop, &direct->client), 0);
	assert_int_equal(spool_open(&config, scene->time_ms, &direct->spool, error), 0);
	assert_int_equal(spool_lane(direct->spool, lane, &direct->lane), 0);
}

static inline void direct_endpoint(struct direct *direct, struct scene *scene,
				   const struct endpoint_config *config)
{
	assert_int_equal(endpoint_create(scene->loop, direct->client, direct->spool,
					 config, on_direct_settled, NULL,
					 &direct->endpoint),
			 0);
	forget_log(scene);
}

static inline void direct_end(struct direct *direct)
{
	endpoint_free(&direct->endpoint);
	client_free(&direct->client);
	spool_close(&direct->spool);
}

static inline struct spool_waiting waiting_of(const struct direct *direct)
{
	struct spool_waiting waiting;

	endpoint_waiting(direct->endpoint, &waiting);
	return waiting;
}
