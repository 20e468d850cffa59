/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP/HTTP, which has a message for a metric, not for its samples, and whose receiver
 * says in the body of a 2xx what it did not take. */
#include <errno.h>
#include <stdlib.h>

#include "otlp.h"
#include "otlp_answer.h"
#include "protocol.h"
#include "retry.h"

#define REQUEST_BYTES_MAX ((size_t)4 << 20) /* before it is compressed */

/* Of an answer; what is longer is not to be retried (OTLP/HTTP). */
#define ANSWER_BYTES_MAX ((size_t)4 << 20)

struct state {
	const struct protocol_host *host;
	struct otlp_writer *writer;
	struct otlp_answer answer; /* the last one */
};

static void on_batch(void *context, struct wire_batch *batch)
{
	struct state *state = context;

	spool_put(state->host->lane, batch);
}

static int begin(void *context, const struct sample_metric *metric)
{
	struct state *state = context;

	return otlp_add(state->writer, metric);
}

static int finish(void *context)
{
	struct state *state = context;

	return otlp_finish(state->writer);
}

static void head(const struct protocol_request *request, struct protocol_head *ret_head)
{
	*ret_head = (struct protocol_head){
	    .lines = {"Content-Type: application/x-protobuf", "Content-Encoding: gzip"},
	    .count = request->sent->message == WIRE_OTLP_GZIP ? 2 : 1,
	};
}

static enum protocol_verdict verdict_of(long status)
{
	switch (retry_judge_otlp(status)) {
	case RETRY_DELIVERED:
		return PROTOCOL_DELIVERED;
	case RETRY_LATER:
		return PROTOCOL_LATER;
	case RETRY_NEVER:
		break;
	}
	return PROTOCOL_NEVER;
}

/* The message is the answer's text then. */
static void read_answer(struct state *state, const struct protocol_request *request,
			long status, struct protocol_judgement *judgement)
{
	size_t len;
	const void *body = exchange_body(request->exchange, &len);

	state->answer = otlp_read_answer(status, body, len);
	exchange_hide(request->exchange, state->answer.message);
	if (*state->answer.message || status / 100 == 2)
		judgement->text = state->answer.message;
}

static void judge(void *context, const struct protocol_request *request,
		  const struct client_answer *answer,
		  struct protocol_judgement *judgement)
{
	uint64_t points = request->sent->samples + request->sent->histograms;
	struct state *state = context;
	uint64_t rejected;

	judgement->verdict = verdict_of(answer->status);
	if (answer->status)
		read_answer(state, request, answer->status, judgement);
	if (judgement->verdict != PROTOCOL_DELIVERED)
		return;
	/* What it took would be at its end, for all we know. */
	if (exchange_is_cut(request->exchange)) {
		judgement->verdict = PROTOCOL_NEVER;
		judgement->text = "an answer of more than 4 MiB";
		return;
	}
	rejected = state->answer.rejected;
	judgement->written = points - (rejected < points ? rejected : points);
}

static void free_state(void *context)
{
	struct state *state = context;

	otlp_writer_free(&state->writer);
	free(state);
}

static int create(const struct endpoint_config *config,
		  const struct protocol_host *host, void **ret_state)
{
	const struct otlp_format format = {
	    .exponential = config->otlp->exponential,
	    .gzip = config->otlp->gzip,
	    .points_max = config->otlp->queue.max_samples_per_send,
	    .bytes_max = REQUEST_BYTES_MAX,
	};
	struct state *state = calloc(1, sizeof(*state));
	int err;

	if (!state)
		return -ENOMEM;
	state->host = host;
	err = otlp_writer_create(&format, config->labels, on_batch, state,
				 &state->writer);
	if (err)
		free_state(state);
	else
		*ret_state = state;
	return err;
}

const struct protocol protocol_otlp = {
    .kind = "otlp",
    .lane_prefix = CONFIG_OTLP_PREFIX,
    .thing = "data points",
    .one_thing = "data point",
    .requests_max = ENDPOINT_REQUESTS_MAX,
    .answer_max = ANSWER_BYTES_MAX,
    .create = create,
    .free = free_state,
    .begin = begin,
    .finish = finish,
    .head = head,
    .judge = judge,
};
