/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push.h - delivers collections to every remote_write endpoint from the daemon's
 * loop; an endpoint never delays another (endpoint.h says how each one sends). What
 * was collected is in the spool before it is sent, and leaves it when it was taken.
 */
#pragma once

#include "config.h"
#include "loop.h"
#include "snapshot.h"

struct push;

/* loop and config outlive it. Errors are logged: -ENOMEM, -EINVAL (an option that
 * this libcurl refuses), those of spool_open, -errno. */
int push_create(struct loop *loop, const struct config *config, struct push **ret_push);
/* Encodes the snapshot and queues it for every endpoint. */
int push_collect(struct push *push, const struct snapshot *snapshot);
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
