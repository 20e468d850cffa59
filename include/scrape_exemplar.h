/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_exemplar.h - which exemplars of a body Prometheus keeps, as it keeps them:
 * none whose labels have more than 128 characters, none that is the last one of its
 * series again, and none that is not later than that. Values keep their escapes.
 */
#pragma once

#include "sample.h"
#include "textparse.h"

#define SCRAPE_EXEMPLAR_CHARACTERS_MAX 128

/* The last one of a series. Zeroed: there was none. */
struct scrape_exemplar_last {
	bool is_set;
	bool has_time; /* of its own */
	int64_t time_ms;
	uint64_t bits;
	uint64_t hash; /* of its labels */
};

struct scrape_exemplar; /* one, and the room for it */

int scrape_exemplar_create(struct scrape_exemplar **ret_maker);
void scrape_exemplar_free(struct scrape_exemplar **maker);
/* NULL: none that is kept; else it holds until the next call, and is the last one. */
const struct exemplar *scrape_exemplar_make(struct scrape_exemplar *maker,
					    const struct textparse_exemplar *given,
					    int64_t sample_time_ms,
					    struct scrape_exemplar_last *last);
