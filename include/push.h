/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push.h - the only file that knows libcurl. Delivers batches to every
 * remote_write endpoint from the daemon's loop (curl multi, no thread), in
 * order, one request in flight per endpoint; an endpoint never delays another.
 *
 * Retries: network errors, timeouts, 5xx always; 429 if retry_on_http_429;
 * Retry-After (seconds or HTTP-date) replaces one backoff; never another 4xx.
 * Backoff doubles from min to max with upward jitter and never shrinks while
 * failing. A 3xx is a refusal: a token is not carried elsewhere. Secrets are read
 * per request and wiped; they appear in no message, not even in the part of a
 * refusal that is logged. An endpoint's trouble is logged once, then once a
 * minute, and its end once.
 */
#pragma once

#include "config.h"
#include "loop.h"
#include "snapshot.h"

struct push;

/* loop and config outlive it. Errors: -ENOMEM, -EINVAL (an option that this
 * libcurl refuses), -errno. */
int push_create(struct loop *loop, const struct config *config, struct push **ret_push);
/* Encodes the snapshot and queues it for every endpoint. */
int push_collect(struct push *push, const struct snapshot *snapshot);
/* Appends bpftally_remote_write_* about itself, with strings of its own. */
void push_describe(const struct push *push, struct snapshot *snapshot);
/* Marks every series stale, then sends what is queued for at most deadline_ms,
 * running the loop itself, and no longer than anything can be sent: a
 * Retry-After is kept. What remains is logged, per endpoint. The end: later
 * collections are not taken, they would bring the series back. */
void push_flush(struct push *push, uint64_t deadline_ms);
void push_free(struct push **push);
