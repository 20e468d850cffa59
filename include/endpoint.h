/* SPDX-License-Identifier: Apache-2.0 */
/*
 * endpoint.h - one receiver: its own encoding, its lane of the spool, its requests.
 *
 * Up to ENDPOINT_REQUESTS_MAX requests are under way at a time, all of one
 * collection, in which a series is once: so each series arrives in order. While a
 * request fails there is one at a time. Retries: network errors, timeouts, 5xx
 * always; 429 if retry_on_http_429; Retry-After replaces one backoff; never another
 * 4xx, nor a 3xx that was not followed. Backoff doubles from min to max with upward
 * jitter and never shrinks while failing.
 *
 * To Loki go batches that others put into its lane: 429 and 5xx are tried again, and
 * there is one request at a time, as a stream is in many of them.
 *
 * With OTLP, which has a message for a metric, not for its samples: 429, 502, 503, 504
 * and nothing else; what a 2xx says was rejected counts as refused.
 *
 * A receiver that does not know Remote-Write 2.0 (415; 2xx without the Written
 * headers; 400 for the first request where 1.0 is then taken) gets 1.0 from then on,
 * also after a restart; one that has taken 2.0, after three such answers in a row.
 * Trouble is logged once, then once a minute, and its end once: each HTTP status, as
 * the remedy for one is not that for another.
 */
#pragma once

#include "client.h"
#include "sample.h"
#include "spool.h"

#define ENDPOINT_REQUESTS_MAX 8

struct endpoint;
struct protocol;

struct endpoint_counters {
	uint64_t samples; /* accepted; a native histogram is one, and a log entry */
	uint64_t failed;  /* refused for good */
	uint64_t retried;
	uint64_t bytes;        /* compressed, accepted */
	uint64_t unrelabelled; /* dropped: the rules could not be carried out on them */
	int64_t highest_sent_ms;
	double last_duration_s;
};

/* Of one of these: the others are NULL. labels: of whoever measures, with
 * job and instance; OTLP only, whose samples do not have them. */
struct endpoint_config {
	const struct config_remote_write *remote_write;
	const struct config_otlp *otlp;
	const struct config_loki_write *loki_write;
	const struct config_labels *labels;
};

/* Called from the loop when requests were settled, and others perhaps started. */
typedef void (*endpoint_settled)(void *context);

/* All that is passed outlives it, config itself and labels aside. -ENOMEM, -EINVAL,
 * -errno. */
int endpoint_create(struct loop *loop, struct client *client, struct spool *spool,
		    const struct endpoint_config *config, endpoint_settled settled,
		    void *context, struct endpoint **ret_endpoint);
void endpoint_free(struct endpoint **endpoint);

/* One collection, between spool_begin and spool_commit: each metric's samples are
 * announced, then added; they are relabelled, encoded and put into the lane.
 * -ENOMEM: something of it is missing. */
int endpoint_begin(struct endpoint *endpoint, const struct sample_metric *metric);
int endpoint_add(struct endpoint *endpoint, const struct sample *sample);
int endpoint_finish(struct endpoint *endpoint);
/* 1.0 has type, help and unit of metrics in requests of their own, when they are due;
 * nothing for 2.0. */
int endpoint_add_metadata(struct endpoint *endpoint,
			  const struct family *const *families, size_t count,
			  int64_t time_ms);

/* Starts what can be sent. hurry: who is in a backoff does not wait for its end; who
 * was told to wait by Retry-After does. */
void endpoint_send(struct endpoint *endpoint, bool hurry);
/* Whether anything is under way, or will be tried before then (CLOCK_MONOTONIC). */
bool endpoint_is_busy(const struct endpoint *endpoint, uint64_t until_ms);

bool endpoint_is_otlp(const struct endpoint *endpoint);
const struct protocol *endpoint_protocol(const struct endpoint *endpoint);
/* What it sends, as log lines call so many: "samples". */
const char *endpoint_thing(const struct endpoint *endpoint, uint64_t count);
/* A spool_orphan: logs whose it was. */
void endpoint_tell_orphan(void *context, const char *lane, uint64_t count);
const char *endpoint_name(const struct endpoint *endpoint);
/* As log lines begin: remote_write "NAME". */
const char *endpoint_title(const struct endpoint *endpoint);
const char *endpoint_shown_url(const struct endpoint *endpoint);
void endpoint_waiting(const struct endpoint *endpoint, struct spool_waiting *ret);
const struct endpoint_counters *endpoint_counters(const struct endpoint *endpoint);
