/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remote-Write. What was encoded as 2.0 is sent as 1.0 to who takes nothing else: it
 * is rewritten when it is sent, as it may be on the disk for long; what comes then is
 * 1.0 from the start.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "protocol.h"
#include "relabel.h"
#include "retry.h"
#include "wire.h"
#include "wire_downgrade.h"

#define STRAYS_MAX 3
#define FACT_WANTS_V1 "wants_v1" /* in the spool */

struct state {
	const struct protocol_host *host;
	const struct config_remote_write *config;
	struct relabel *relabel; /* NULL: no rules */
	struct wire_writer *writer;
	bool is_open;        /* it has something of a collection */
	bool is_due;         /* another one is, when that is finished */
	int64_t metadata_ms; /* when it was put last */
	unsigned int strays; /* answers of a 1.0 receiver, in a row */
	bool takes_v2;       /* it has said so */
	bool wants_v1;       /* it takes nothing else */
};

/* --- which message the receiver takes -------------------------------------------- */

static void on_batch(void *context, struct wire_batch *batch)
{
	struct state *state = context;

	spool_put(state->host->lane, batch);
}

static bool is_v2(const struct state *state)
{
	return state->config->is_v2 && !state->wants_v1;
}

/* Between collections. On failure (-ENOMEM) it stays the one there was. */
static int replace_writer(struct state *state)
{
	const struct config_remote_write *config = state->config;
	const struct wire_format format = {
	    .message = is_v2(state) ? WIRE_V2 : WIRE_V1,
	    .native = is_v2(state) || config->send_native_histograms,
	    .samples_max = config->queue.max_samples_per_send,
	    .exemplars = config->send_exemplars,
	};
	struct wire_writer *writer;
	int err = wire_writer_create(&format, on_batch, state, &writer);

	if (err)
		return err;
	wire_writer_free(&state->writer);
	state->writer = writer;
	state->is_due = false;
	return 0;
}

static void remember_v1(struct state *state)
{
	const struct protocol_host *host = state->host;

	if (state->wants_v1)
		return;
	state->wants_v1 = true;
	log_warning("%s: the receiver does not take Remote-Write 2.0; it gets 1.0 from "
		    "now on",
		    host->title);
	spool_set(host->spool, host->lane, FACT_WANTS_V1, 1);
	state->is_due = true;
	if (!state->is_open)
		replace_writer(state);
}

/* One that has taken 2.0 is believed the third time in a row: a proxy, or one of
 * several servers behind one name, may have answered in its place. */
static void note_v1(struct state *state)
{
	state->strays++;
	if (!state->takes_v2 || state->strays >= STRAYS_MAX)
		remember_v1(state);
}

/* What it has found out about the receiver in an earlier life. */
static void recall(struct state *state)
{
	const struct protocol_host *host = state->host;
	int64_t wants_v1 = 0;

	if (state->config->is_v2 &&
	    spool_get(host->spool, host->lane, FACT_WANTS_V1, &wants_v1))
		state->wants_v1 = wants_v1;
	if (state->wants_v1)
		log_info("%s: the receiver did not take Remote-Write 2.0 before: it "
			 "gets 1.0 (another name asks it anew)",
			 host->title);
}

static int choose(void *context, struct wire_batch *taken, bool is_other,
		  struct wire_batch **ret_sent)
{
	const struct state *state = context;

	if (taken->message == WIRE_V2 && (state->wants_v1 || is_other))
		return wire_downgrade(taken, state->config->send_native_histograms,
				      ret_sent);
	*ret_sent = wire_batch_get(taken);
	return 0;
}

/* --- answers --------------------------------------------------------------------- */

/* What the receiver says that it has written; 2.0 has it say so. */
struct written {
	bool is_told;
	uint64_t samples; /* histograms among them */
};

static struct written read_written(const struct protocol_request *request)
{
	static const char *const headers[] = {
	    "X-Prometheus-Remote-Write-Samples-Written",
	    "X-Prometheus-Remote-Write-Histograms-Written",
	    "X-Prometheus-Remote-Write-Exemplars-Written",
	};
	struct written written = {0};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		int64_t number = exchange_number(request->exchange, headers[i]);

		if (number < 0)
			continue;
		written.is_told = true;
		written.samples += i < 2 ? (uint64_t)number : 0;
	}
	return written;
}

/* A 2.0 request was answered so: is 1.0 to be tried? A 1.0 receiver may take what it
 * does not understand for an empty request (2xx), or refuse it in its own way (400). */
static bool is_v1_due(const struct state *state, const struct protocol_request *request,
		      long status, const struct written *written)
{
	if (request->sent->message != WIRE_V2)
		return false;
	if (status == 415 || (status / 100 == 2 && !written->is_told))
		return true;
	return status == 400 && !state->takes_v2 && !written->is_told;
}

static void note_delivered(struct state *state, const struct protocol_request *request)
{
	if (request->sent->message == WIRE_V2) {
		state->takes_v2 = true;
		state->strays = 0;
	} else if (request->is_other && !state->takes_v2) {
		remember_v1(state);
	}
}

static enum protocol_verdict verdict_of(const struct state *state, long status)
{
	switch (retry_judge(status, state->config->queue.retry_on_http_429)) {
	case RETRY_DELIVERED:
		return PROTOCOL_DELIVERED;
	case RETRY_LATER:
		return PROTOCOL_LATER;
	case RETRY_NEVER:
		break;
	}
	return PROTOCOL_NEVER;
}

static void judge(void *context, const struct protocol_request *request,
		  const struct client_answer *answer,
		  struct protocol_judgement *judgement)
{
	struct state *state = context;
	struct written written = {0};

	if (answer->status)
		written = read_written(request);
	if (is_v1_due(state, request, answer->status, &written)) {
		if (answer->status != 400)
			note_v1(state);
		judgement->verdict = PROTOCOL_OTHERWISE;
		return;
	}
	judgement->verdict = verdict_of(state, answer->status);
	judgement->written = written.samples;
	if (judgement->verdict != PROTOCOL_DELIVERED)
		return;
	judgement->text = ""; /* to be ignored */
	/* What a 1.0 receiver would say of it is not specified. */
	if (request->sent->message == WIRE_V1)
		judgement->written = UINT64_MAX;
	note_delivered(state, request);
}

static void head(const struct protocol_request *request, struct protocol_head *ret_head)
{
	bool is_message_v2 = request->sent->message == WIRE_V2;

	*ret_head = (struct protocol_head){
	    .lines =
		{
		    "Content-Encoding: snappy",
		    is_message_v2 ? "Content-Type: application/x-protobuf;"
				    "proto=io.prometheus.write.v2.Request"
				  : "Content-Type: application/x-protobuf",
		    is_message_v2 ? "X-Prometheus-Remote-Write-Version: 2.0.0"
				  : "X-Prometheus-Remote-Write-Version: 0.1.0",
		},
	    .count = 3,
	};
	if (!request->attempt)
		return;
	/* Mimir computes its Retry-After from it. */
	snprintf(ret_head->attempt, sizeof(ret_head->attempt), "Retry-Attempt: %u",
		 request->attempt);
	ret_head->lines[ret_head->count++] = ret_head->attempt;
}

/* --- collecting ------------------------------------------------------------------ */

static int begin(void *context, const struct sample_metric *metric)
{
	struct state *state = context;

	state->is_open = true;
	return wire_begin(state->writer, metric->sample_count);
}

static int add(void *context, const struct sample *sample)
{
	struct state *state = context;
	struct sample relabelled = *sample;

	if (state->relabel &&
	    !relabel_apply(state->relabel, sample->labels, sample->label_count,
			   &relabelled.labels, &relabelled.label_count)) {
		state->host->counters->unrelabelled = relabel_failures(state->relabel);
		return 0;
	}
	state->is_open = true;
	return wire_add(state->writer, &relabelled);
}

static int add_metadata(void *context, const struct family *const *families,
			size_t count, int64_t time_ms)
{
	struct state *state = context;
	const struct config_remote_write *config = state->config;
	int64_t age_ms = time_ms - state->metadata_ms;

	if (is_v2(state) || state->is_due || !config->send_metadata ||
	    (age_ms >= 0 && age_ms < (int64_t)config->metadata_interval_ms))
		return 0;
	state->metadata_ms = time_ms;
	return wire_metadata(state->writer, families, count);
}

static int finish(void *context)
{
	struct state *state = context;
	int err = wire_finish(state->writer);

	state->is_open = false;
	if (state->is_due)
		replace_writer(state);
	return err;
}

/* --- making ---------------------------------------------------------------------- */

static void free_state(void *context)
{
	struct state *state = context;

	wire_writer_free(&state->writer);
	relabel_free(&state->relabel);
	free(state);
}

static int create(const struct endpoint_config *config,
		  const struct protocol_host *host, void **ret_state)
{
	const struct config_remote_write *write = config->remote_write;
	struct state *state = calloc(1, sizeof(*state));
	int err;

	if (!state)
		return -ENOMEM;
	state->host = host;
	state->config = write;
	recall(state);
	err = replace_writer(state);
	if (!err && write->relabel_count)
		err = relabel_create(write->relabels, write->relabel_count,
				     &state->relabel);
	if (err)
		free_state(state);
	else
		*ret_state = state;
	return err;
}

const struct protocol protocol_write = {
    .kind = "remote_write",
    .lane_prefix = "",
    .thing = "samples",
    .one_thing = "sample",
    .requests_max = ENDPOINT_REQUESTS_MAX,
    .create = create,
    .free = free_state,
    .begin = begin,
    .add = add,
    .add_metadata = add_metadata,
    .finish = finish,
    .choose = choose,
    .head = head,
    .judge = judge,
};
