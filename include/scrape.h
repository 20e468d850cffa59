/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape.h - scrapes the targets of `scrape_configs` from the daemon's loop, and hands
 * what they say to push. A target that hangs delays no other; none is asked twice at a
 * time. It does not know how targets are discovered in detail (scrape_discovery.h), nor
 * what a body means (scrape_series.h).
 */
#pragma once

#include "buf.h"
#include "config.h"
#include "loop.h"
#include "push.h"
#include "snapshot.h"

struct observer;
struct scrape;

/* All of it outlives the scraper. observer: NULL with --no-bpf. Errors are logged. */
int scrape_create(struct loop *loop, const struct config *config, struct push *push,
		  const struct observer *observer, struct scrape **ret_scrape);
/* No scrape begins any more, those under way are given up. Nothing is marked stale:
 * whoever scrapes on, perhaps we after a restart, goes on with the series. */
void scrape_stop(struct scrape *scrape);
/* After what push has taken was committed. */
void scrape_free(struct scrape **scrape);
/* Appends bpftally_scrape_* about itself, with strings that live as long as it. */
void scrape_describe(const struct scrape *scrape, struct snapshot *snapshot);

/* What people want to know of a target: strings live for the call. */
struct scrape_view {
	const char *job_name;
	const char *url;   /* without query, user and fragment */
	const char *state; /* "up", "down" or "unknown" */
	const char *error; /* of the last scrape; "" */
	double duration_s; /* of the last scrape */
	size_t series;
};
typedef void (*scrape_visit)(void *context, const struct scrape_view *view);
void scrape_each(const struct scrape *scrape, scrape_visit visit, void *context);
