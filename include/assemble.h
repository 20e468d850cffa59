/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assemble.h - scraped samples put together as the metrics that they are the series of,
 * for receivers that take metrics whole (OTLP). Counters are counters, a histogram's or
 * summary's series one metric; all else is a gauge under the name of its series: info,
 * stateset, gauge histograms, what nothing is known of, and whatever rules have
 * renamed.
 *
 * So are the series of a histogram or summary that is not whole: no +Inf bucket, no sum
 * or count, counts that are no integers or fall, or another count than in +Inf,
 * quantiles outside 0 to 1, bounds twice or no numbers. As gauges, as a receiver would
 * change the name of a counter. What `_created` says is in start_ms, it is no metric.
 */
#pragma once

#include "sample.h"

struct assemble;

int assemble_create(struct assemble **ret_assemble);
/* Families that it handed out live until then, or until two more scrapes did not have
 * them. */
void assemble_free(struct assemble **assemble);

/* One of the samples of a scrape; copied. -ENOMEM: it is missing. */
int assemble_add(struct assemble *assemble, const struct sample *sample);
typedef void (*assemble_emit)(void *context, const struct sample_metric *metric);
/* The scrape is complete: its metrics, in the order of their first samples. A series
 * that ended is left out where its metric goes on without it. -ENOMEM: some are
 * missing. */
int assemble_finish(struct assemble *assemble, assemble_emit emit, void *context);
