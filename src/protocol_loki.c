/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loki's push, of entries that loki.c has encoded. One request at a time: a stream is
 * in many of them, and is to arrive in order. It keeps nothing of its own.
 */
#include "protocol.h"

/* Nothing was stored, and nothing will be: ingestion is blocked for this tenant. */
#define STATUS_BLOCKED 260

/* Loki's clients retry these and nothing else. */
static enum protocol_verdict verdict_of(long status)
{
	if (!status || status == 429 || status / 100 == 5)
		return PROTOCOL_LATER;
	return status / 100 == 2 && status != STATUS_BLOCKED ? PROTOCOL_DELIVERED
							     : PROTOCOL_NEVER;
}

/* Of a 400 the valid part is stored, as with a 2xx all is; how much, nobody says. */
static void judge(void *state, const struct protocol_request *request,
		  const struct client_answer *answer,
		  struct protocol_judgement *judgement)
{
	(void)state;
	judgement->verdict = verdict_of(answer->status);
	if (judgement->verdict != PROTOCOL_DELIVERED)
		return;
	judgement->written = request->sent->samples;
	judgement->text = "";
}

static void head(const struct protocol_request *request, struct protocol_head *ret_head)
{
	(void)request;
	*ret_head = (struct protocol_head){
	    .lines = {"Content-Type: application/x-protobuf",
		      "Content-Encoding: snappy"},
	    .count = 2,
	};
}

const struct protocol protocol_loki = {
    .kind = "loki_write",
    .lane_prefix = CONFIG_LOKI_PREFIX,
    .thing = "entries",
    .one_thing = "entry",
    .requests_max = 1,
    .head = head,
    .judge = judge,
};
