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

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "outage.h"
#include "protocol.h"
#include "wire_batch.h"

/* Batches that are done with in one turn of the loop, without a request. */
#define SETTLED_MAX 64
/* Of no answer, but told like one. */
#define STATUS_UNREADABLE (-1)

struct slot {
	struct endpoint *endpoint;
	struct exchange *exchange;       /* NULL: not used so far */
	const struct spool_batch *taken; /* NULL: the slot is free */
	struct wire_batch *sent;         /* the same, or what is sent in its place */
	bool is_sending;
	bool is_other;        /* the protocol's other message is tried */
	unsigned int attempt; /* of this batch, from 0 */
};

struct endpoint {
	const struct protocol *protocol;
	void *state; /* the protocol's */
	struct protocol_host host;
	struct client *client;
	const char *name;
	const struct config_http *http;
	const struct config_queue *queue;
	char *title; /* of log lines */
	char *shown_url;
	struct loop_timer *timer;
	struct slot slots[ENDPOINT_REQUESTS_MAX];
	size_t slot_count;
	struct outage outage;
	bool is_yielding; /* until the timer */
	struct endpoint_counters counters;
	endpoint_settled settled;
	void *context;
};

static uint64_t now_ms(void)
{
	return (uint64_t)clock_ms(CLOCK_MONOTONIC);
}

static uint32_t samples_of(const struct wire_batch *batch)
{
	return batch->samples + batch->histograms;
}

static const char *thing_of(const struct protocol *protocol, uint64_t count)
{
	return count == 1 ? protocol->one_thing : protocol->thing;
}

/* --- telling ------------------------------------------------------------------ */

/* status: of HTTP; 0: none came. */
static bool may_tell(struct endpoint *endpoint, long status)
{
	return outage_may_tell(&endpoint->outage, status, now_ms());
}

static void tell_recovery(struct endpoint *endpoint)
{
	uint64_t failures;

	if (outage_is_over(&endpoint->outage, &failures))
		log_info("%s: works again, after %llu failed request%s",
			 endpoint->title, (unsigned long long)failures,
			 failures == 1 ? "" : "s");
}

static const char *redirect_hint(const struct endpoint *endpoint, long status)
{
	if (status / 100 != 3)
		return "";
	return endpoint->http->follow_redirects
		   ? " (a redirect that cannot be followed: correct the url)"
		   : " (redirects are not followed: correct the url)";
}

static void tell_failure(struct endpoint *endpoint, long status, const char *reason,
			 bool is_final, uint64_t count)
{
	char text[CLIENT_TEXT_MAX + 128], what[64] = "metadata";

	if (!may_tell(endpoint, status))
		return;
	if (count)
		snprintf(what, sizeof(what), "%llu %s", (unsigned long long)count,
			 thing_of(endpoint->protocol, count));
	if (status)
		snprintf(text, sizeof(text), "status %ld%s%s%s", status,
			 redirect_hint(endpoint, status), *reason ? ": " : "", reason);
	else
		snprintf(text, sizeof(text), "%s", reason);
	if (is_final)
		log_warning("%s: refused %s, not retried: %s", endpoint->title, what,
			    text);
	else
		log_warning("%s: cannot send, will retry: %s", endpoint->title, text);
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
			&wait_ms)) {
		endpoint->is_yielding = false;
		loop_timer_arm(endpoint->timer, wait_ms, 0);
	}
}

static void stop_waiting(struct endpoint *endpoint)
{
	outage_stop_waiting(&endpoint->outage);
	loop_timer_disarm(endpoint->timer);
}

static void on_timer(void *context)
{
	struct endpoint *endpoint = context;

	endpoint->is_yielding = false;
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

/* --- one request ----------------------------------------------------------------- */

static void free_slot(struct slot *slot)
{
	slot->taken = NULL;
	wire_batch_put(&slot->sent);
	slot->is_other = false;
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
	spool_acknowledge(endpoint->host.lane, slot->taken->id);
	free_slot(slot);
	if (!is_retrying(endpoint))
		end_failing(endpoint);
}

/* Unless it is too old for that by now. */
static void try_again(struct slot *slot, long status, const char *reason,
		      int64_t told_ms)
{
	struct endpoint *endpoint = slot->endpoint;
	uint32_t samples = samples_of(slot->taken->batch);

	tell_failure(endpoint, status, reason, false, samples);
	if (spool_give_up(endpoint->host.lane, slot->taken->id)) {
		free_slot(slot);
	} else {
		endpoint->counters.retried += samples;
		slot->attempt++;
	}
	wait_to_retry(endpoint, told_ms);
}

/* What was not written was refused: its number. */
static uint64_t count_written(struct slot *slot, uint64_t written)
{
	struct endpoint_counters *counters = &slot->endpoint->counters;
	uint64_t samples = samples_of(slot->sent);

	if (written > samples)
		written = samples;
	counters->samples += written;
	counters->failed += samples - written;
	if (written && slot->sent->time_ms > counters->highest_sent_ms)
		counters->highest_sent_ms = slot->sent->time_ms;
	return samples - written;
}

/* Also where nothing was refused: a warning. */
static void tell_partial(struct endpoint *endpoint, long status, uint64_t samples,
			 uint64_t refused, const char *text)
{
	if (!refused && *text)
		log_debug("%s: the receiver says: %s", endpoint->title, text);
	if (!refused || !may_tell(endpoint, status))
		return;
	log_warning("%s: of %llu %s in an accepted request %llu %s written%s%s",
		    endpoint->title, (unsigned long long)samples,
		    thing_of(endpoint->protocol, samples),
		    (unsigned long long)(samples - refused),
		    samples - refused == 1 ? "was" : "were", *text ? ": " : "", text);
}

static void settle_delivered(struct slot *slot, long status,
			     const struct protocol_judgement *judgement)
{
	struct endpoint *endpoint = slot->endpoint;
	uint64_t samples = samples_of(slot->sent);
	uint64_t refused = count_written(slot, judgement->written);

	endpoint->counters.bytes += slot->sent->len;
	slot->attempt = 0;
	if (!is_retrying(endpoint))
		tell_recovery(endpoint);
	tell_partial(endpoint, status, samples, refused, judgement->text);
	acknowledge(slot);
}

static void settle(struct slot *slot, const struct client_answer *answer,
		   const struct protocol_judgement *judgement)
{
	switch (judgement->verdict) {
	case PROTOCOL_DELIVERED:
		settle_delivered(slot, answer->status, judgement);
		break;
	case PROTOCOL_LATER:
		try_again(slot, answer->status, judgement->text,
			  answer->retry_after_ms);
		break;
	case PROTOCOL_NEVER:
		tell_failure(slot->endpoint, answer->status, judgement->text, true,
			     count_written(slot, judgement->written));
		acknowledge(slot);
		break;
	case PROTOCOL_OTHERWISE:
		slot->is_other = true;
		break;
	}
}

static struct protocol_request request_of(const struct slot *slot)
{
	return (struct protocol_request){
	    .sent = slot->sent,
	    .is_other = slot->is_other,
	    .attempt = slot->attempt,
	    .exchange = slot->exchange,
	};
}

static void on_done(void *context, const struct client_answer *answer)
{
	struct slot *slot = context;
	struct endpoint *endpoint = slot->endpoint;
	const struct protocol_request request = request_of(slot);
	struct protocol_judgement judgement = {.text = answer->text};

	slot->is_sending = false;
	endpoint->counters.last_duration_s = answer->duration_s;
	endpoint->protocol->judge(endpoint->state, &request, answer, &judgement);
	settle(slot, answer, &judgement);
	endpoint_send(endpoint, false);
	endpoint->settled(endpoint->context);
}

static int choose(struct slot *slot)
{
	struct wire_batch *batch = slot->taken->batch;
	const struct endpoint *endpoint = slot->endpoint;

	wire_batch_put(&slot->sent);
	if (endpoint->protocol->choose)
		return endpoint->protocol->choose(endpoint->state, batch,
						  slot->is_other, &slot->sent);
	slot->sent = wire_batch_get(batch);
	return 0;
}

static int post(struct slot *slot, struct client_answer *ret_answer)
{
	const struct protocol_request request = request_of(slot);
	struct protocol_head head;

	slot->endpoint->protocol->head(&request, &head);
	return exchange_post(slot->exchange, head.lines, head.count, slot->sent->bytes,
			     slot->sent->len, ret_answer);
}

static int make_exchange(struct slot *slot)
{
	const struct endpoint *endpoint = slot->endpoint;
	int err;

	if (slot->exchange)
		return 0;
	err = exchange_create(endpoint->client, endpoint->http, on_done, slot,
			      &slot->exchange);
	if (!err && endpoint->protocol->answer_max)
		exchange_set_answer_max(slot->exchange, endpoint->protocol->answer_max);
	return err;
}

/* It would be no better the next time. */
static void discard(struct slot *slot)
{
	struct endpoint *endpoint = slot->endpoint;
	const uint32_t samples = samples_of(slot->taken->batch);

	if (may_tell(endpoint, STATUS_UNREADABLE))
		log_warning("%s: %u %s that waited cannot be read, and %s dropped",
			    endpoint->title, samples,
			    thing_of(endpoint->protocol, samples),
			    samples == 1 ? "is" : "are");
	spool_discard(endpoint->host.lane, slot->taken->id);
	free_slot(slot);
	if (!is_retrying(endpoint))
		end_failing(endpoint);
}

/* Whether the batch is done with, without a request. */
static bool start(struct slot *slot)
{
	struct client_answer answer = {.retry_after_ms = -1, .text = "out of memory"};
	int err = make_exchange(slot);

	if (!err)
		err = choose(slot);
	if (err == -EBADMSG || err == -E2BIG) {
		discard(slot);
		return true;
	}
	/* Native histograms alone, and 1.0 without them: nothing is left to send. */
	if (!err && !slot->sent) {
		acknowledge(slot);
		return true;
	}
	if (!err && !post(slot, &answer)) {
		slot->is_sending = true;
		return false;
	}
	try_again(slot, answer.status, answer.text, answer.retry_after_ms);
	return false;
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

/* Others want the loop, too: this goes on in its next turn. */
static void yield(struct endpoint *endpoint)
{
	endpoint->is_yielding = true;
	loop_timer_arm(endpoint->timer, 0, 0);
}

void endpoint_send(struct endpoint *endpoint, bool hurry)
{
	size_t settled = 0;

	if (hurry && endpoint->outage.is_waiting && !endpoint->outage.is_told_to_wait)
		stop_waiting(endpoint);
	while (!endpoint->outage.is_waiting) {
		struct slot *slot = next_slot(endpoint);

		if (settled == SETTLED_MAX) {
			yield(endpoint);
			return;
		}

		if (!slot || (endpoint->outage.is_failing && count_sending(endpoint)))
			return;
		if (!slot->taken)
			slot->taken = spool_take(endpoint->host.lane);
		if (!slot->taken)
			return;
		settled += start(slot);
	}
}

bool endpoint_is_busy(const struct endpoint *endpoint, uint64_t until_ms)
{
	return count_sending(endpoint) || endpoint->is_yielding ||
	       (endpoint->outage.is_waiting && endpoint->outage.retry_at_ms < until_ms);
}

/* --- collecting ------------------------------------------------------------------ */

int endpoint_begin(struct endpoint *endpoint, const struct sample_metric *metric)
{
	const struct protocol *protocol = endpoint->protocol;

	return protocol->begin ? protocol->begin(endpoint->state, metric) : 0;
}

int endpoint_add(struct endpoint *endpoint, const struct sample *sample)
{
	const struct protocol *protocol = endpoint->protocol;

	return protocol->add ? protocol->add(endpoint->state, sample) : 0;
}

int endpoint_finish(struct endpoint *endpoint)
{
	const struct protocol *protocol = endpoint->protocol;

	return protocol->finish ? protocol->finish(endpoint->state) : 0;
}

int endpoint_add_metadata(struct endpoint *endpoint,
			  const struct family *const *families, size_t count,
			  int64_t time_ms)
{
	const struct protocol *protocol = endpoint->protocol;

	if (!protocol->add_metadata)
		return 0;
	return protocol->add_metadata(endpoint->state, families, count, time_ms);
}

/* --- making ---------------------------------------------------------------------- */

static void make_slots(struct endpoint *endpoint)
{
	size_t most = endpoint->protocol->requests_max;

	endpoint->slot_count =
	    endpoint->queue->max_shards < most ? endpoint->queue->max_shards : most;
	for (size_t i = 0; i < endpoint->slot_count; i++)
		endpoint->slots[i].endpoint = endpoint;
}

static int make_names(struct endpoint *endpoint)
{
	endpoint->shown_url = client_shown_url(endpoint->http->url);
	if (!endpoint->shown_url)
		return -ENOMEM;
	if (asprintf(&endpoint->title, "%s \"%s\"", endpoint->protocol->kind,
		     endpoint->name) < 0) {
		endpoint->title = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int find_lane(struct endpoint *endpoint, struct spool *spool)
{
	AUTO_FREE char *name = NULL;

	if (asprintf(&name, "%s%s", endpoint->protocol->lane_prefix, endpoint->name) <
	    0) {
		name = NULL;
		return -ENOMEM;
	}
	return spool_lane(spool, name, &endpoint->host.lane);
}

static void set_config(struct endpoint *endpoint, const struct endpoint_config *config)
{
	if (config->loki_write) {
		endpoint->protocol = &protocol_loki;
		endpoint->name = config->loki_write->name;
		endpoint->http = &config->loki_write->http;
		endpoint->queue = &config->loki_write->queue;
	} else if (config->otlp) {
		endpoint->protocol = &protocol_otlp;
		endpoint->name = config->otlp->name;
		endpoint->http = &config->otlp->http;
		endpoint->queue = &config->otlp->queue;
	} else {
		endpoint->protocol = &protocol_write;
		endpoint->name = config->remote_write->name;
		endpoint->http = &config->remote_write->http;
		endpoint->queue = &config->remote_write->queue;
	}
}

static int make_state(struct endpoint *endpoint, struct spool *spool,
		      const struct endpoint_config *config)
{
	endpoint->host.title = endpoint->title;
	endpoint->host.spool = spool;
	endpoint->host.counters = &endpoint->counters;
	if (!endpoint->protocol->create)
		return 0;
	return endpoint->protocol->create(config, &endpoint->host, &endpoint->state);
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
	endpoint->settled = settled;
	endpoint->context = context;
	set_config(endpoint, config);
	endpoint->outage.jitter = draw_jitter();
	make_slots(endpoint);
	err = make_names(endpoint);
	if (!err)
		err = loop_timer_create(loop, on_timer, endpoint, &endpoint->timer);
	if (!err)
		err = find_lane(endpoint, spool);
	if (!err)
		err = make_state(endpoint, spool, config);
	/* The first one now: what this libcurl refuses shows at the start. */
	if (!err)
		err = make_exchange(&endpoint->slots[0]);
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
	if ((*endpoint)->state)
		(*endpoint)->protocol->free((*endpoint)->state);
	loop_timer_free(&(*endpoint)->timer);
	free((*endpoint)->title);
	free((*endpoint)->shown_url);
	free(*endpoint);
	*endpoint = NULL;
}

bool endpoint_is_otlp(const struct endpoint *endpoint)
{
	return endpoint->protocol == &protocol_otlp;
}

const struct protocol *endpoint_protocol(const struct endpoint *endpoint)
{
	return endpoint->protocol;
}

const char *endpoint_thing(const struct endpoint *endpoint, uint64_t count)
{
	return thing_of(endpoint->protocol, count);
}

void endpoint_tell_orphan(void *context, const char *lane, uint64_t count)
{
	static const struct protocol *const prefixed[] = {&protocol_otlp,
							  &protocol_loki};
	const struct protocol *protocol = &protocol_write;

	(void)context;
	for (size_t i = 0; i < sizeof(prefixed) / sizeof(prefixed[0]); i++) {
		const char *prefix = prefixed[i]->lane_prefix;

		if (!strncmp(lane, prefix, strlen(prefix)))
			protocol = prefixed[i];
	}
	log_warning(
	    "%llu %s %s for %s \"%s\", which is not configured any more: %s too old",
	    (unsigned long long)count, thing_of(protocol, count),
	    count == 1 ? "waits" : "wait", protocol->kind,
	    lane + strlen(protocol->lane_prefix),
	    count == 1 ? "it goes when it is" : "they go when they are");
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
	spool_waiting(endpoint->host.lane, ret);
}

const struct endpoint_counters *endpoint_counters(const struct endpoint *endpoint)
{
	return &endpoint->counters;
}
