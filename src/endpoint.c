/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request slot is free, or has a batch: then it is sending, or waits for its next
 * attempt. All of them wait for one time, the endpoint's: what one learns of a
 * receiver in trouble holds for the others.
 */
#include "endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "cleanup.h"
#include "log.h"
#include "otlp.h"
#include "outage.h"
#include "relabel.h"
#include "retry.h"
#include "wire.h"

#define STRAYS_MAX 3
#define FACT_WANTS_V1 "wants_v1" /* in the spool */

struct slot {
	struct endpoint *endpoint;
	struct exchange *exchange;       /* NULL: not used so far */
	const struct spool_batch *taken; /* NULL: the slot is free */
	struct wire_batch *sent;         /* the same, or what it is in 1.0 */
	bool is_sending;
	bool is_v1;           /* 1.0 is tried, whatever was encoded */
	unsigned int attempt; /* of this batch, from 0 */
};

struct endpoint {
	struct client *client;
	struct spool *spool;
	struct spool_lane *lane;
	const struct config_remote_write *config; /* NULL: OTLP */
	const char *name;
	const struct config_http *http;
	const struct config_queue *queue;
	char *title; /* of log lines */
	char *shown_url;
	struct loop_timer *timer;
	struct relabel *relabel; /* NULL: no rules */
	struct wire_writer *writer;
	struct otlp_writer *otlp; /* one of the two */
	int64_t metadata_ms;      /* when it was put last */
	struct slot slots[ENDPOINT_REQUESTS_MAX];
	size_t slot_count;
	struct outage outage;
	unsigned int strays; /* answers of a 1.0 receiver, in a row */
	bool takes_v2;       /* it has said so */
	bool wants_v1;       /* it takes nothing else */
	struct endpoint_counters counters;
	endpoint_settled settled;
	void *context;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint32_t samples_of(const struct wire_batch *batch)
{
	return batch->samples + batch->histograms;
}

/* --- telling ------------------------------------------------------------------ */

static bool may_tell(struct endpoint *endpoint)
{
	return outage_may_tell(&endpoint->outage, now_ms());
}

static void tell_recovery(struct endpoint *endpoint)
{
	uint64_t failures;

	if (outage_is_over(&endpoint->outage, &failures))
		log_info("%s: works again, after %llu failed requests", endpoint->title,
			 (unsigned long long)failures);
}

static const char *redirect_hint(const struct endpoint *endpoint, long status)
{
	if (status / 100 != 3)
		return "";
	return endpoint->http->follow_redirects
		   ? " (a redirect that cannot be followed: correct the url)"
		   : " (redirects are not followed: correct the url)";
}

static void tell_failure(struct endpoint *endpoint, const struct client_answer *answer,
			 enum retry_verdict verdict, uint32_t samples)
{
	char text[CLIENT_TEXT_MAX + 128];

	if (!may_tell(endpoint))
		return;
	if (answer->status)
		snprintf(text, sizeof(text), "status %ld%s%s%s", answer->status,
			 redirect_hint(endpoint, answer->status),
			 *answer->text ? ": " : "", answer->text);
	else
		snprintf(text, sizeof(text), "%s", answer->text);
	if (verdict == RETRY_LATER)
		log_warning("%s: cannot send, will retry: %s", endpoint->title, text);
	else
		log_warning("%s: refused %u samples, not retried: %s", endpoint->title,
			    samples, text);
}

/* --- waiting ------------------------------------------------------------------ */

static uint32_t draw_jitter(void)
{
	uint32_t random = 0;

	/* Before the kernel has entropy there is none: zero is a valid jitter. */
	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	return random;
}

static void wait_to_retry(struct endpoint *endpoint, int64_t told_ms)
{
	uint64_t wait_ms;

	if (outage_wait(&endpoint->outage, endpoint->queue, told_ms, now_ms(),
			&wait_ms))
		loop_timer_arm(endpoint->timer, wait_ms, 0);
}

static void stop_waiting(struct endpoint *endpoint)
{
	outage_stop_waiting(&endpoint->outage);
	loop_timer_disarm(endpoint->timer);
}

static void on_timer(void *context)
{
	struct endpoint *endpoint = context;

	stop_waiting(endpoint);
	endpoint_send(endpoint, false);
	endpoint->settled(endpoint->context);
}

/* Something that failed is to be tried again. */
static bool is_retrying(const struct endpoint *endpoint)
{
	for (size_t i = 0; i < endpoint->slot_count; i++) {
		if (endpoint->slots[i].taken && endpoint->slots[i].attempt)
			return true;
	}
	return false;
}

/* It answers: no reason to wait any longer, nor to send one at a time. */
static void end_failing(struct endpoint *endpoint)
{
	outage_end(&endpoint->outage, draw_jitter());
}

/* --- which message the receiver takes -------------------------------------------- */

static void on_batch(void *context, struct wire_batch *batch)
{
	struct endpoint *endpoint = context;

	spool_put(endpoint->lane, batch);
}

static bool is_v2(const struct endpoint *endpoint)
{
	return endpoint->config->is_v2 && !endpoint->wants_v1;
}

/* Between collections. On failure (-ENOMEM) it stays the one there was. */
static int replace_writer(struct endpoint *endpoint)
{
	const struct config_remote_write *config = endpoint->config;
	const struct wire_format format = {
	    .message = is_v2(endpoint) ? WIRE_V2 : WIRE_V1,
	    .native = is_v2(endpoint) || config->send_native_histograms,
	    .samples_max = config->queue.max_samples_per_send,
	    .exemplars = config->send_exemplars,
	};
	struct wire_writer *writer;
	int err = wire_writer_create(&format, on_batch, endpoint, &writer);

	if (err)
		return err;
	wire_writer_free(&endpoint->writer);
	endpoint->writer = writer;
	return 0;
}

/* What waits as 2.0 is rewritten when it is sent, what comes is 1.0 from the start. */
static void remember_v1(struct endpoint *endpoint)
{
	if (endpoint->wants_v1)
		return;
	endpoint->wants_v1 = true;
	log_warning("%s: the receiver does not take Remote-Write 2.0; it gets 1.0 from "
		    "now on",
		    endpoint->title);
	spool_set(endpoint->spool, endpoint->lane, FACT_WANTS_V1, 1);
	replace_writer(endpoint);
}

/* One that has taken 2.0 is believed the third time in a row: a proxy, or one of
 * several servers behind one name, may have answered in its place. */
static void note_v1(struct endpoint *endpoint)
{
	endpoint->strays++;
	if (!endpoint->takes_v2 || endpoint->strays >= STRAYS_MAX)
		remember_v1(endpoint);
}

static int choose_message(struct slot *slot)
{
	const struct endpoint *endpoint = slot->endpoint;
	struct wire_batch *batch = slot->taken->batch;
	bool as_v1 = endpoint->wants_v1 || slot->is_v1;

	wire_batch_put(&slot->sent);
	if (batch->message == WIRE_V2 && as_v1)
		return wire_downgrade(batch, endpoint->config->send_native_histograms,
				      &slot->sent);
	slot->sent = wire_batch_get(batch);
	return 0;
}

/* What the receiver says that it has written; 2.0 has it say so, and OTLP. */
struct written {
	bool is_told;
	uint64_t samples; /* histograms among them */
};

static struct written read_written(const struct slot *slot)
{
	static const char *const headers[] = {
	    "X-Prometheus-Remote-Write-Samples-Written",
	    "X-Prometheus-Remote-Write-Histograms-Written",
	    "X-Prometheus-Remote-Write-Exemplars-Written",
	};
	struct written written = {0};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		int64_t number = exchange_number(slot->exchange, headers[i]);

		if (number < 0)
			continue;
		written.is_told = true;
		written.samples += i < 2 ? (uint64_t)number : 0;
	}
	return written;
}

/* OTLP says what it did not take, and why: that is the answer's text then. */
static struct written read_rejected(const struct slot *slot,
				    struct client_answer *answer,
				    struct otlp_answer *text)
{
	uint64_t samples = samples_of(slot->sent);
	size_t len;
	const void *body = exchange_body(slot->exchange, &len);

	*text = otlp_read_answer(answer->status, body, len);
	exchange_hide(slot->exchange, text->message);
	if (*text->message)
		answer->text = text->message;
	if (answer->status / 100 != 2)
		return (struct written){0};
	return (struct written){
	    .is_told = true,
	    .samples = samples - (text->rejected < samples ? text->rejected : samples),
	};
}

/* A 2.0 request was answered so: is 1.0 to be tried? A 1.0 receiver may take what it
 * does not understand for an empty request (2xx), or refuse it in its own way (400). */
static bool is_v1_due(const struct slot *slot, long status,
		      const struct written *written)
{
	if (slot->sent->message != WIRE_V2)
		return false;
	if (status == 415 || (status / 100 == 2 && !written->is_told))
		return true;
	return status == 400 && !slot->endpoint->takes_v2 && !written->is_told;
}

/* --- one request ----------------------------------------------------------------- */

static void free_slot(struct slot *slot)
{
	slot->taken = NULL;
	wire_batch_put(&slot->sent);
	slot->is_v1 = false;
	slot->attempt = 0;
}

/* The batch is done with, one way or the other. Native histograms that 1.0 does not
 * have were not delivered. */
static void acknowledge(struct slot *slot)
{
	struct endpoint *endpoint = slot->endpoint;
	uint32_t taken = samples_of(slot->taken->batch);
	uint32_t sent = slot->sent ? samples_of(slot->sent) : 0;

	endpoint->counters.failed += taken > sent ? taken - sent : 0;
	spool_acknowledge(endpoint->lane, slot->taken->id);
	free_slot(slot);
	if (!is_retrying(endpoint))
		end_failing(endpoint);
}

/* Unless it is too old for that by now. */
static void try_again(struct slot *slot, const struct client_answer *answer)
{
	struct endpoint *endpoint = slot->endpoint;
	uint32_t samples = samples_of(slot->taken->batch);

	tell_failure(endpoint, answer, RETRY_LATER, samples);
	if (spool_give_up(endpoint->lane, slot->taken->id)) {
		free_slot(slot);
	} else {
		endpoint->counters.retried += samples;
		slot->attempt++;
	}
	wait_to_retry(endpoint, answer->retry_after_ms);
}

static void count_written(struct slot *slot, uint64_t written)
{
	struct endpoint_counters *counters = &slot->endpoint->counters;
	uint64_t samples = samples_of(slot->sent);

	if (written > samples)
		written = samples;
	counters->samples += written;
	counters->failed += samples - written;
	if (written && slot->sent->time_ms > counters->highest_sent_ms)
		counters->highest_sent_ms = slot->sent->time_ms;
}

/* Also where nothing was rejected: a warning. */
static void tell_partial(struct endpoint *endpoint, const struct wire_batch *sent,
			 const struct client_answer *answer,
			 const struct written *written)
{
	if (written->samples == samples_of(sent) && endpoint->otlp && *answer->text)
		log_debug("%s: the receiver says: %s", endpoint->title, answer->text);
	if (written->samples >= samples_of(sent) || !may_tell(endpoint))
		return;
	log_warning("%s: of %u samples in an accepted request %llu were written%s%s",
		    endpoint->title, samples_of(sent),
		    (unsigned long long)written->samples,
		    endpoint->otlp && *answer->text ? ": " : "",
		    endpoint->otlp ? answer->text : "");
}

static void settle_delivered(struct slot *slot, const struct client_answer *answer,
			     const struct written *written)
{
	struct endpoint *endpoint = slot->endpoint;
	const struct wire_batch *sent = slot->sent;
	/* What a 1.0 receiver would say of it is not specified. */
	bool is_told = sent->message != WIRE_V1;

	count_written(slot, is_told ? written->samples : samples_of(sent));
	endpoint->counters.bytes += sent->len;
	if (sent->message == WIRE_V2) {
		endpoint->takes_v2 = true;
		endpoint->strays = 0;
	} else if (slot->is_v1 && !endpoint->takes_v2) {
		remember_v1(endpoint);
	}
	slot->attempt = 0;
	if (!is_retrying(endpoint))
		tell_recovery(endpoint);
	if (is_told)
		tell_partial(endpoint, sent, answer, written);
	acknowledge(slot);
}

static enum retry_verdict judge(const struct endpoint *endpoint, long status)
{
	return endpoint->otlp ? retry_judge_otlp(status)
			      : retry_judge(status, endpoint->queue->retry_on_http_429);
}

static void settle(struct slot *slot, const struct client_answer *answer,
		   const struct written *written)
{
	struct endpoint *endpoint = slot->endpoint;
	uint32_t samples = samples_of(slot->sent);
	enum retry_verdict verdict = judge(endpoint, answer->status);

	if (is_v1_due(slot, answer->status, written)) {
		slot->is_v1 = true;
		if (answer->status != 400)
			note_v1(endpoint);
		return;
	}
	switch (verdict) {
	case RETRY_DELIVERED:
		settle_delivered(slot, answer, written);
		break;
	case RETRY_LATER:
		try_again(slot, answer);
		break;
	case RETRY_NEVER:
		count_written(slot, written->samples);
		tell_failure(endpoint, answer, verdict,
			     samples - (uint32_t)(written->samples < samples
						      ? written->samples
						      : samples));
		acknowledge(slot);
		break;
	}
}

static void on_done(void *context, const struct client_answer *answer)
{
	struct slot *slot = context;
	struct endpoint *endpoint = slot->endpoint;
	struct client_answer readable = *answer;
	struct otlp_answer text;
	struct written written = {0};

	slot->is_sending = false;
	endpoint->counters.last_duration_s = answer->duration_s;
	if (answer->status && endpoint->otlp)
		written = read_rejected(slot, &readable, &text);
	else if (answer->status)
		written = read_written(slot);
	settle(slot, &readable, &written);
	endpoint_send(endpoint, false);
	endpoint->settled(endpoint->context);
}

#define HEADERS_MAX 4
#define ATTEMPT_LEN 32

static size_t write_headers(const struct slot *slot, char attempt[ATTEMPT_LEN],
			    const char *headers[HEADERS_MAX])
{
	bool is_v2 = slot->sent->message == WIRE_V2;
	size_t count = 0;

	headers[count++] = "Content-Encoding: snappy";
	headers[count++] = is_v2 ? "Content-Type: application/x-protobuf;"
				   "proto=io.prometheus.write.v2.Request"
				 : "Content-Type: application/x-protobuf";
	headers[count++] = is_v2 ? "X-Prometheus-Remote-Write-Version: 2.0.0"
				 : "X-Prometheus-Remote-Write-Version: 0.1.0";
	if (!slot->attempt)
		return count;
	/* Mimir computes its Retry-After from it. */
	snprintf(attempt, ATTEMPT_LEN, "Retry-Attempt: %u", slot->attempt);
	headers[count++] = attempt;
	return count;
}

static size_t otlp_headers(const struct slot *slot, const char *headers[HEADERS_MAX])
{
	headers[0] = "Content-Type: application/x-protobuf";
	headers[1] = "Content-Encoding: gzip";
	return slot->sent->message == WIRE_OTLP_GZIP ? 2 : 1;
}

static int post(struct slot *slot, struct client_answer *ret_answer)
{
	const struct wire_batch *batch = slot->sent;
	const char *headers[HEADERS_MAX];
	char attempt[ATTEMPT_LEN];
	size_t count = slot->endpoint->otlp ? otlp_headers(slot, headers)
					    : write_headers(slot, attempt, headers);

	return exchange_post(slot->exchange, headers, count, batch->bytes, batch->len,
			     ret_answer);
}

static int prepare(struct slot *slot)
{
	const struct endpoint *endpoint = slot->endpoint;
	int err = 0;

	if (!slot->exchange)
		err = exchange_create(endpoint->client, endpoint->http, on_done, slot,
				      &slot->exchange);
	return err ? err : choose_message(slot);
}

static void start(struct slot *slot)
{
	struct client_answer answer = {.retry_after_ms = -1, .text = "out of memory"};
	int err = prepare(slot);

	/* Native histograms alone, and 1.0 without them: nothing is left to send. */
	if (!err && !slot->sent) {
		acknowledge(slot);
		return;
	}
	if (!err && !post(slot, &answer)) {
		slot->is_sending = true;
		return;
	}
	try_again(slot, &answer);
}

static size_t count_sending(const struct endpoint *endpoint)
{
	size_t count = 0;

	for (size_t i = 0; i < endpoint->slot_count; i++)
		count += endpoint->slots[i].is_sending;
	return count;
}

/* With a batch that waits for another attempt, the one tried least, so that none that
 * always fails keeps the others; else a free one. */
static struct slot *next_slot(struct endpoint *endpoint)
{
	struct slot *next = NULL, *free_slot = NULL;

	for (size_t i = 0; i < endpoint->slot_count; i++) {
		struct slot *slot = &endpoint->slots[i];

		if (!slot->taken)
			free_slot = free_slot ? free_slot : slot;
		else if (!slot->is_sending && (!next || slot->attempt < next->attempt))
			next = slot;
	}
	return next ? next : free_slot;
}

void endpoint_send(struct endpoint *endpoint, bool hurry)
{
	if (hurry && endpoint->outage.is_waiting && !endpoint->outage.is_told_to_wait)
		stop_waiting(endpoint);
	while (!endpoint->outage.is_waiting) {
		struct slot *slot = next_slot(endpoint);

		if (!slot || (endpoint->outage.is_failing && count_sending(endpoint)))
			return;
		if (!slot->taken)
			slot->taken = spool_take(endpoint->lane);
		if (!slot->taken)
			return;
		start(slot);
	}
}

bool endpoint_is_busy(const struct endpoint *endpoint, uint64_t until_ms)
{
	return count_sending(endpoint) ||
	       (endpoint->outage.is_waiting && endpoint->outage.retry_at_ms < until_ms);
}

/* --- collecting ------------------------------------------------------------------ */

int endpoint_begin(struct endpoint *endpoint, const struct sample_metric *metric)
{
	return endpoint->otlp ? otlp_add(endpoint->otlp, metric)
			      : wire_begin(endpoint->writer, metric->sample_count);
}

int endpoint_add(struct endpoint *endpoint, const struct sample *sample)
{
	struct sample relabelled = *sample;

	/* The whole metric was taken when it began. */
	if (endpoint->otlp)
		return 0;
	if (endpoint->relabel &&
	    !relabel_apply(endpoint->relabel, sample->labels, sample->label_count,
			   &relabelled.labels, &relabelled.label_count)) {
		endpoint->counters.unrelabelled = relabel_failures(endpoint->relabel);
		return 0;
	}
	return wire_add(endpoint->writer, &relabelled);
}

int endpoint_finish(struct endpoint *endpoint)
{
	return endpoint->otlp ? otlp_finish(endpoint->otlp)
			      : wire_finish(endpoint->writer);
}

int endpoint_add_metadata(struct endpoint *endpoint,
			  const struct family *const *families, size_t count,
			  int64_t time_ms)
{
	const struct config_remote_write *config = endpoint->config;
	int64_t age_ms = time_ms - endpoint->metadata_ms;

	if (endpoint->otlp || is_v2(endpoint) || !config->send_metadata ||
	    (age_ms >= 0 && age_ms < (int64_t)config->metadata_interval_ms))
		return 0;
	endpoint->metadata_ms = time_ms;
	return wire_metadata(endpoint->writer, families, count);
}

/* --- making ---------------------------------------------------------------------- */

#define OTLP_BYTES_MAX ((size_t)4 << 20) /* of a request, before it is compressed */

static int make_otlp_writer(struct endpoint *endpoint,
			    const struct endpoint_config *config)
{
	const struct otlp_format format = {
	    .exponential = config->otlp->exponential,
	    .gzip = config->otlp->gzip,
	    .points_max = config->otlp->queue.max_samples_per_send,
	    .bytes_max = OTLP_BYTES_MAX,
	};

	return otlp_writer_create(&format, config->labels, on_batch, endpoint,
				  &endpoint->otlp);
}

static int make_wire_writer(struct endpoint *endpoint)
{
	const struct config_remote_write *config = endpoint->config;
	int err = replace_writer(endpoint);

	if (!err && config->relabel_count)
		err = relabel_create(config->relabels, config->relabel_count,
				     &endpoint->relabel);
	return err;
}

static int make_writer(struct endpoint *endpoint, const struct endpoint_config *config)
{
	return config->otlp ? make_otlp_writer(endpoint, config)
			    : make_wire_writer(endpoint);
}

static void make_slots(struct endpoint *endpoint)
{
	uint32_t most = endpoint->queue->max_shards;

	endpoint->slot_count =
	    most < ENDPOINT_REQUESTS_MAX ? most : ENDPOINT_REQUESTS_MAX;
	for (size_t i = 0; i < endpoint->slot_count; i++)
		endpoint->slots[i].endpoint = endpoint;
}

/* What it has found out about the receiver in an earlier life. */
static void recall(struct endpoint *endpoint)
{
	int64_t wants_v1 = 0;

	if (endpoint->config && endpoint->config->is_v2 &&
	    spool_get(endpoint->spool, endpoint->lane, FACT_WANTS_V1, &wants_v1))
		endpoint->wants_v1 = wants_v1;
	if (endpoint->wants_v1)
		log_info("%s: the receiver did not take Remote-Write 2.0 before: it "
			 "gets 1.0 (another name asks it anew)",
			 endpoint->title);
}

static int make_names(struct endpoint *endpoint, const struct endpoint_config *config)
{
	const char *kind = config->otlp ? "otlp" : "remote_write";

	endpoint->shown_url = client_shown_url(endpoint->http->url);
	if (!endpoint->shown_url)
		return -ENOMEM;
	if (asprintf(&endpoint->title, "%s \"%s\"", kind, endpoint->name) < 0) {
		endpoint->title = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int find_lane(struct endpoint *endpoint, const struct endpoint_config *config)
{
	const char *prefix = config->otlp ? CONFIG_OTLP_PREFIX : "";
	AUTO_FREE char *name = NULL;

	if (asprintf(&name, "%s%s", prefix, endpoint->name) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	return spool_lane(endpoint->spool, name, &endpoint->lane);
}

static void set_config(struct endpoint *endpoint, const struct endpoint_config *config)
{
	endpoint->config = config->remote_write;
	if (config->otlp) {
		endpoint->name = config->otlp->name;
		endpoint->http = &config->otlp->http;
		endpoint->queue = &config->otlp->queue;
	} else {
		endpoint->name = config->remote_write->name;
		endpoint->http = &config->remote_write->http;
		endpoint->queue = &config->remote_write->queue;
	}
}

int endpoint_create(struct loop *loop, struct client *client, struct spool *spool,
		    const struct endpoint_config *config, endpoint_settled settled,
		    void *context, struct endpoint **ret_endpoint)
{
	CLEANUP(endpoint_free) struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
	int err;

	if (!endpoint)
		return -ENOMEM;
	endpoint->client = client;
	endpoint->spool = spool;
	endpoint->settled = settled;
	endpoint->context = context;
	set_config(endpoint, config);
	endpoint->outage.jitter = draw_jitter();
	make_slots(endpoint);
	err = make_names(endpoint, config);
	if (!err)
		err = loop_timer_create(loop, on_timer, endpoint, &endpoint->timer);
	if (!err)
		err = find_lane(endpoint, config);
	if (!err)
		recall(endpoint);
	if (!err)
		err = make_writer(endpoint, config);
	/* The first one now: what this libcurl refuses shows at the start. */
	if (!err)
		err =
		    exchange_create(client, endpoint->http, on_done,
				    &endpoint->slots[0], &endpoint->slots[0].exchange);
	if (err)
		return err;
	*ret_endpoint = TAKE(endpoint);
	return 0;
}

void endpoint_free(struct endpoint **endpoint)
{
	if (!*endpoint)
		return;
	for (size_t i = 0; i < (*endpoint)->slot_count; i++) {
		exchange_free(&(*endpoint)->slots[i].exchange);
		wire_batch_put(&(*endpoint)->slots[i].sent);
	}
	wire_writer_free(&(*endpoint)->writer);
	otlp_writer_free(&(*endpoint)->otlp);
	relabel_free(&(*endpoint)->relabel);
	loop_timer_free(&(*endpoint)->timer);
	free((*endpoint)->title);
	free((*endpoint)->shown_url);
	free(*endpoint);
	*endpoint = NULL;
}

bool endpoint_is_otlp(const struct endpoint *endpoint)
{
	return endpoint->otlp;
}

const char *endpoint_name(const struct endpoint *endpoint)
{
	return endpoint->name;
}

const char *endpoint_title(const struct endpoint *endpoint)
{
	return endpoint->title;
}

const char *endpoint_shown_url(const struct endpoint *endpoint)
{
	return endpoint->shown_url;
}

void endpoint_waiting(const struct endpoint *endpoint, struct spool_waiting *ret)
{
	spool_waiting(endpoint->lane, ret);
}

const struct endpoint_counters *endpoint_counters(const struct endpoint *endpoint)
{
	return &endpoint->counters;
}
