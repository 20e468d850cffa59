/* SPDX-License-Identifier: Apache-2.0 */
/*
 * protocol.h - where receivers differ: what samples become, which headers a request
 * has, and what an answer means. An endpoint has one of these, and its state; when to
 * send, and what to tell, is the endpoint's (endpoint.c).
 */
#pragma once

#include "endpoint.h"

/* The endpoint as its protocol sees it; outlives the state. */
struct protocol_host {
	const char *title;
	struct spool *spool;
	struct spool_lane *lane;
	struct endpoint_counters *counters;
};

struct protocol_request {
	const struct wire_batch *sent;
	bool is_other;        /* by the other message, see PROTOCOL_OTHERWISE */
	unsigned int attempt; /* of this batch, from 0 */
	const struct exchange *exchange;
};

#define PROTOCOL_HEADERS_MAX 4

struct protocol_head {
	const char *lines[PROTOCOL_HEADERS_MAX];
	size_t count;
	char attempt[32]; /* memory of a line */
};

enum protocol_verdict {
	PROTOCOL_DELIVERED,
	PROTOCOL_LATER,     /* to be tried again, after a wait */
	PROTOCOL_NEVER,     /* refused for good */
	PROTOCOL_OTHERWISE, /* at once, by the other message that there is */
};

struct protocol_judgement {
	enum protocol_verdict verdict;
	uint64_t written; /* of the request, where it is settled */
	const char *text; /* of the receiver; until the next judgement */
};

struct protocol {
	const char *kind;        /* as log lines begin */
	const char *lane_prefix; /* of the names of lanes */
	const char *thing;       /* what is counted: "samples", */
	const char *one_thing;   /* and "sample" */
	size_t requests_max;     /* under way at a time */
	size_t answer_max;       /* bytes of an answer that it reads; 0: as it is */

	/* -ENOMEM, -EINVAL. NULL, both: it has no state. */
	int (*create)(const struct endpoint_config *config,
		      const struct protocol_host *host, void **ret_state);
	void (*free)(void *state); /* not NULL */

	/* Of a collection, see endpoint.h; NULL: it takes no samples. */
	int (*begin)(void *state, const struct sample_metric *metric);
	int (*add)(void *state, const struct sample *sample);
	int (*add_metadata)(void *state, const struct family *const *families,
			    size_t count, int64_t time_ms);
	int (*finish)(void *state);

	/* What is sent for a batch, with a reference; NULL: the batch as it is. Nothing
	 * may be left of it: *ret_sent is NULL then. -ENOMEM; -EBADMSG, -E2BIG: it
	 * cannot ever be sent. */
	int (*choose)(void *state, struct wire_batch *taken, bool is_other,
		      struct wire_batch **ret_sent);
	void (*head)(const struct protocol_request *request,
		     struct protocol_head *ret_head);
	/* judgement has the answer's text in it. */
	void (*judge)(void *state, const struct protocol_request *request,
		      const struct client_answer *answer,
		      struct protocol_judgement *judgement);
};

extern const struct protocol protocol_write, protocol_otlp, protocol_loki;
