/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_series.h - the series of one target, from scrape to scrape: what a body says
 * becomes samples as Prometheus (2.42) stores them. It keeps, by the text of a series
 * as it stands in the body, the labels that it has in the end, so that a known series
 * costs one look-up, and which ones the last scrape had, for stale markers.
 *
 * A body is judged whole before a sample of it is handed out: of one that does not
 * parse, or breaks a limit, nothing goes out but stale markers. Samples with a time of
 * their own that are older than their series' last one, or more than an hour older or
 * ten minutes newer than the scrape, are not handed out, but counted. It knows no
 * network and no clock.
 */
#pragma once

#include "scrape_terms.h"
#include "textparse.h"

struct scrape_series;

/* -ENOMEM, -EINVAL (relabel.h). */
int scrape_series_create(const struct scrape_series_config *config,
			 struct scrape_series **ret_series);
/* Families of samples live until then, or until the second next scrape (of either
 * kind) where their HELP, TYPE or UNIT has changed: samples have been encoded by then.
 */
void scrape_series_free(struct scrape_series **series);

/* A body that came. -ENOMEM, the sink's error; a bad body is no error. */
int scrape_series_body(struct scrape_series *series, enum textparse_format format,
		       const char *body, size_t len, int64_t time_ms,
		       const struct scrape_series_sink *sink,
		       struct scrape_series_result *ret_result);
/* None came: every series is stale. The result has reason ("" : the caller knows) and
 * counts of an empty scrape. */
int scrape_series_failed(struct scrape_series *series, int64_t time_ms,
			 const struct scrape_series_sink *sink,
			 struct scrape_series_result *ret_result);
/* up, scrape_duration_seconds and the three counts, with the target's labels; not
 * relabelled. */
int scrape_series_report(struct scrape_series *series,
			 const struct scrape_series_result *result, double duration_s,
			 int64_t time_ms, const struct scrape_series_sink *sink);
/* The target goes: what is above, and these five, are stale. */
int scrape_series_end(struct scrape_series *series, int64_t time_ms,
		      const struct scrape_series_sink *sink);

/* Texts of series that are remembered. */
size_t scrape_series_count(const struct scrape_series *series);
/* Series dropped because metric_relabel_configs could not be carried out (relabel.h).
 */
uint64_t scrape_series_unrelabelled(const struct scrape_series *series);
