/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_last.h - what went out last of a series, and whether a sample may follow it,
 * as Prometheus' storage judges: each is later than the one before, and none is far
 * from the time of its scrape. It hands nothing out, and counts nothing. Times are in
 * ms of the wall clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct scrape_exemplar_last;

struct scrape_last {
	int64_t time_ms;
	uint64_t bits;
	struct scrape_exemplar_last *exemplar; /* owned; NULL: it had none */
};

enum scrape_last_verdict {
	SCRAPE_LAST_FOLLOWS,   /* it may go out */
	SCRAPE_LAST_SAME,      /* it did */
	SCRAPE_LAST_DUPLICATE, /* another value at the same time */
	SCRAPE_LAST_OLDER,
	SCRAPE_LAST_FAR, /* from the scrape: over an hour older, ten minutes newer */
};

/* Of a series that had none. */
void scrape_last_init(struct scrape_last *last);
void scrape_last_free(struct scrape_last *last);

enum scrape_last_verdict scrape_last_judge(const struct scrape_last *last,
					   int64_t time_ms, uint64_t bits,
					   int64_t scrape_ms);
/* Of what is ahead of a scrape as no sample may be, as times went back: the series
 * begins anew. */
void scrape_last_forget_future(struct scrape_last *last, int64_t scrape_ms);
/* That of its last exemplar, made when it is first asked for; NULL: no memory. */
struct scrape_exemplar_last *scrape_last_exemplar(struct scrape_last *last);
