/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_report.h - the five series that a scrape itself is: up, how long it took
 * (seconds), and three counts. They have the target's labels, are not relabelled, and
 * it keeps nothing of them: when they are due is the caller's.
 */
#pragma once

#include "scrape_labels.h"

/* Whether a series of that name is one of them, if it has the target's labels alone. */
bool scrape_report_has(const char *name);
/* Hands them out. -ENOMEM, the sink's error. */
int scrape_report_add(struct scrape_labels *labels,
		      const struct scrape_series_result *result, double duration_s,
		      int64_t time_ms, const struct scrape_series_sink *sink);
/* Likewise, a marker of each. */
int scrape_report_end(struct scrape_labels *labels, int64_t time_ms,
		      const struct scrape_series_sink *sink);
