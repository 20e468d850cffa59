/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_starts.h - when the counters, histograms and summaries of one target began:
 * what their `_created` line says in the scrape that is read. It does not know types:
 * what may have a start is told by the suffix of its name.
 *
 * A start is of a metric with one set of labels; it stays for as long as someone uses
 * it. Scrapes have numbers, that of the first one is not 0.
 */
#pragma once

#include "registry.h"
#include "textparse.h"

struct scrape_starts;
struct scrape_start;

/* keys outlive it. -ENOMEM. */
int scrape_starts_create(const struct registry_keys *keys,
			 struct scrape_starts **ret_starts);
void scrape_starts_free(struct scrape_starts **starts);

/* Of the metric that a sample is a part of. *ret_start NULL: by its name it has none.
 * is_created: its value is the start. -ENOMEM. */
int scrape_starts_find(struct scrape_starts *starts,
		       const struct textparse_entry *entry,
		       struct scrape_start **ret_start, bool *ret_is_created);
/* One more text leads to it, or one less. NULL: nothing. */
void scrape_start_use(struct scrape_start *start);
void scrape_start_leave(struct scrape_start *start);
/* Frees those that nobody uses. */
void scrape_starts_forget(struct scrape_starts *starts);

/* The value of a `_created` line: seconds, as bits of a double. What cannot be a time
 * before the scrape's is none. */
void scrape_start_note(struct scrape_start *start, uint64_t bits, int64_t time_ms,
		       uint32_t scrape);
/* In ms, what this scrape said, before time_ms; 0: nothing. */
int64_t scrape_start_ms(const struct scrape_start *start, int64_t time_ms,
			uint32_t scrape);
