/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scraped.h - one target, from scrape to scrape: what it answered becomes samples for
 * push, with the report that Prometheus adds. When it is asked, and through which
 * connection, is scrape.c's.
 */
#pragma once

#include "assemble.h"
#include "due.h"
#include "push.h"
#include "scrape_series.h"
#include "scrape_target.h"

#define SCRAPED_ERROR_LEN 256

enum scraped_state { SCRAPED_IDLE, SCRAPED_WAITING, SCRAPED_RUNNING };

/* What became of scrapes, in the order of bpftally_scrapes_total's results. */
enum scraped_result {
	SCRAPED_OK,
	SCRAPED_NO_ANSWER,  /* also a timeout, or a body that was too long */
	SCRAPED_BAD_STATUS, /* not 200 */
	SCRAPED_BAD_BODY,   /* not an exposition, or beyond a limit */
	SCRAPED_NOT_ASKED,  /* target_limit, or a token that cannot be read */
	SCRAPED_RESULTS
};

struct scraped_counters {
	uint64_t results[SCRAPED_RESULTS];
	uint64_t samples; /* handed to push */
	uint64_t duplicates, out_of_order, out_of_bounds;
	uint64_t unrelabelled; /* series (scrape_series.h) */
	uint64_t body_bytes;
};

struct scrape_slot;

/* Whether it is asked. Of scrape_slots.c alone; others ask scrape_slots_is_idle. */
struct scraped_turn {
	enum scraped_state state;
	bool is_due_again;        /* while it is running */
	struct scraped *next;     /* of those that wait */
	struct scrape_slot *slot; /* while it is running */
};

/* What came of the last scrape. scraped.c writes, who wants reads. */
struct scraped_outcome {
	bool was_asked; /* there was one */
	bool is_up;
	bool is_slow; /* it took long, or had no answer */
	double duration_s;
	char error[SCRAPED_ERROR_LEN]; /* "": none */
};

struct scraped {
	struct due_entry due;     /* scrape.c's; in no heap at first */
	struct scraped_turn turn; /* scrape_slots.c's; zeroed: idle */
	struct scraped_outcome outcome;
	const struct config_scrape *config; /* these two stay as they were given */
	struct scrape_target *target;       /* owned */
	/* What follows is of scraped.c alone: */
	struct scrape_series_config series_config;
	struct scrape_series *series; /* owned; may be counted by others */
	struct assemble *assemble;    /* owned; NULL: nobody takes metrics whole */
	uint64_t collection;          /* of push, that its samples are in */
	int64_t last_ms;              /* of its last samples */
	uint64_t unrelabelled;        /* that counters have already */
};

/* What came of a request, or did not. */
struct scraped_answer {
	enum scraped_result result; /* as far as it is known */
	const char *error;          /* unless it is SCRAPED_OK */
	const char *content_type;   /* NULL: none */
	const char *body;
	size_t len;
	double duration_s;
	int64_t time_ms; /* when it was asked, of scraped_time_ms */
};

/* Takes the target over. -ENOMEM. */
int scraped_create(const struct config_scrape *config, /* outlives it */
		   const struct config_labels *external, struct scrape_target **target,
		   struct scraped **ret_scraped);
/* The collection that has samples of it is committed. */
void scraped_free(struct scraped **scraped);
/* Now, later than its last samples, but where push's times went back by hours. */
int64_t scraped_time_ms(const struct scraped *scraped, struct push *push);
void scraped_take(struct scraped *scraped, const struct scraped_answer *answer,
		  struct push *push, struct scraped_counters *counters);
/* How a body of that type is read (NULL: none was named). */
enum textparse_format scraped_format(const struct config_scrape *config,
				     const char *content_type);
/* It went: all its series are stale. */
void scraped_end(struct scraped *scraped, struct push *push,
		 struct scraped_counters *counters);
