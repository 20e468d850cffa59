/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_body.h - one body, read to its end or to what is wrong with it. It hands out
 * nothing: what it found waits, a sample beside its text, until all of it was good.
 *
 * That is 40 bytes a sample for as long as the call takes, where a second pass over the
 * body would take as long as the first one.
 */
#pragma once

#include "scrape_families.h"
#include "scrape_texts.h"

/* A sample that was read, of a text that leads to a series. */
struct scrape_pending {
	struct scrape_text *text;
	uint64_t bits;
	int64_t time_ms;
	const char *exemplar; /* the line that has one, in the body; NULL: none */
	bool has_time;
};

/* The first ones are the caller's, the others zeroed. */
struct scrape_body {
	const struct scrape_series_config *config;
	struct scrape_families *families;
	struct scrape_texts *texts;
	enum textparse_format format;
	const char *bytes; /* live as long as this */
	size_t len;
	int64_t time_ms; /* of the scrape */
	uint32_t scrape; /* which one */

	bool is_invalid; /* the result's reason says why */
	struct scrape_pending *pending;
	size_t count, capacity;
};

/* Counts in the result, also of a body that turns out bad half-way: what Prometheus
 * reports of one is what it read until then. -ENOMEM. */
int scrape_body_read(struct scrape_body *body, struct scrape_series_result *result);
void scrape_body_free(struct scrape_body *body);
