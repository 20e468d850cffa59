/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_last.h"

#include <stdlib.h>

#include "scrape_exemplar.h"

#define NEWEST_MS (10LL * 60 * 1000) /* scrape.go: maxAheadTime */
#define OLDEST_MS (60LL * 60 * 1000) /* half of a block: tsdb/head_append.go */

void scrape_last_init(struct scrape_last *last)
{
	*last = (struct scrape_last){.time_ms = INT64_MIN};
}

void scrape_last_free(struct scrape_last *last)
{
	free(last->exemplar);
	last->exemplar = NULL;
}

enum scrape_last_verdict scrape_last_judge(const struct scrape_last *last,
					   int64_t time_ms, uint64_t bits,
					   int64_t scrape_ms)
{
	if (time_ms > scrape_ms + NEWEST_MS || time_ms < scrape_ms - OLDEST_MS)
		return SCRAPE_LAST_FAR;
	if (time_ms > last->time_ms)
		return SCRAPE_LAST_FOLLOWS;
	if (time_ms < last->time_ms)
		return SCRAPE_LAST_OLDER;
	return bits == last->bits ? SCRAPE_LAST_SAME : SCRAPE_LAST_DUPLICATE;
}

/* Nothing is that far ahead, but what went out before times went back. */
void scrape_last_forget_future(struct scrape_last *last, int64_t scrape_ms)
{
	if (last->time_ms <= scrape_ms + NEWEST_MS)
		return;
	last->time_ms = INT64_MIN;
	if (last->exemplar)
		*last->exemplar = (struct scrape_exemplar_last){0};
}

struct scrape_exemplar_last *scrape_last_exemplar(struct scrape_last *last)
{
	if (!last->exemplar)
		last->exemplar = calloc(1, sizeof(*last->exemplar));
	return last->exemplar;
}
