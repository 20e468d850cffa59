/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push.h - delivers collections to every remote_write endpoint from the daemon's
 * loop; an endpoint never delays another (endpoint.h says how each one sends). What
 * was collected is in the spool before it is sent, and leaves it when it was taken.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "loop.h"
#include "sample.h"
#include "snapshot.h"

struct push;
struct spool;

/* loop and config outlive it. Errors are logged: -ENOMEM, -EINVAL (an option that
 * this libcurl refuses), those of spool_open, -errno. */
int push_create(struct loop *loop, const struct config *config, struct push **ret_push);
/* Encodes the snapshot and queues it for every endpoint. */
int push_collect(struct push *push, const struct snapshot *snapshot);
/* What was scraped. Samples go into a collection that is open for a second, or until
 * our own joins it; in one, no series may be twice: whose series are in the one of this
 * number already calls push_commit before it adds them again. A family lives until
 * the collection is committed. */
uint64_t push_collection(const struct push *push);
/* Now, as what is scraped is stamped: not before any time that was given out, but where
 * the clock was set back by hours (timeline.h). */
int64_t push_time_ms(struct push *push);
/* sample: with all its labels. stamp_ms: of push_time_ms, its own time may be another.
 * An error is logged when the collection is committed. */
void push_add(struct push *push, const struct sample *sample, int64_t stamp_ms);
/* Whether some receiver takes metrics whole, not their samples (OTLP): those get what
 * was scraped by this, and nothing by push_add. */
bool push_wants_metrics(const struct push *push);
void push_add_metric(struct push *push, const struct sample_metric *metric,
		     int64_t stamp_ms);
void push_commit(struct push *push);
/* What waits for receivers; NULL: there is none. Whoever puts something into it calls
 * push_commit before, and push_send after it. */
struct spool *push_spool(const struct push *push);
void push_send(struct push *push);
/* Appends bpftally_remote_write_* about itself, with strings of its own. */
void push_describe(const struct push *push, struct snapshot *snapshot);
/* Appends what a scraper adds: up, scrape_duration_seconds, scrape_samples_scraped.
 * Before snapshot_finish, after all else. */
void push_describe_collection(struct snapshot *snapshot, double duration_s);
/* Marks every series stale, then sends what is queued for at most deadline_ms,
 * running the loop itself, and no longer than anything can be sent: a
 * Retry-After is kept. What remains is logged, per endpoint. The end: later
 * collections are not taken, they would bring the series back. */
void push_flush(struct push *push, uint64_t deadline_ms);
void push_free(struct push **push);
