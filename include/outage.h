/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outage.h - a receiver in trouble: how long to wait before the next attempt, and what
 * the log says of it. Pure: time (CLOCK_MONOTONIC, ms) and chance are passed in; it has
 * no timer, and writes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

#define OUTAGE_STATUSES_MAX 4

/* Zeroed at birth, but for the jitter. */
struct outage {
	bool is_failing;      /* something failed, and nothing was answered since */
	bool is_waiting;      /* until retry_at_ms */
	bool is_told_to_wait; /* by Retry-After */
	uint64_t retry_at_ms;
	uint64_t backoff_ms;
	uint32_t jitter; /* one random number for a whole outage */
	bool is_told;    /* in the log: its end is to be, too */
	struct {
		long status;
		uint64_t at_ms; /* 0: free */
	} told[OUTAGE_STATUSES_MAX];
	uint64_t failures; /* since it last worked */
};

/* Something failed, to be tried again; told_ms of Retry-After, or not above 0. Waits
 * double from min_backoff_ms to max_backoff_ms and never shrink while it fails. True:
 * the end of the wait has moved, to ret_wait_ms from now; of two waits the later holds.
 */
bool outage_wait(struct outage *outage, const struct config_queue *queue,
		 int64_t told_ms, uint64_t now_ms, uint64_t *ret_wait_ms);
void outage_stop_waiting(struct outage *outage);
/* It answers, and nothing is to be tried again. */
void outage_end(struct outage *outage, uint32_t jitter);
/* A failure: whether it is to be told. The first one of its HTTP status (0: no answer
 * came), then at most one a minute, whatever comes between; of many statuses so many
 * lines in all: what takes turns fills no log. */
bool outage_may_tell(struct outage *outage, long status, uint64_t now_ms);
/* It works. True: that is to be told, after so many failures. */
bool outage_is_over(struct outage *outage, uint64_t *ret_failures);
