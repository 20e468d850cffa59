/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_terms.h - what scrape_series.h and its parts (scrape_*.c) have in common: the
 * rules that a target's scrapes are read by, what is said of each of them, and where
 * its samples go. No code. Times are in ms of the wall clock.
 */
#pragma once

#include "config.h"
#include "sample.h"

#define SCRAPE_SERIES_REASON_LEN 256

/* All of it outlives what is made of it, labels aside, which are copied. */
struct scrape_series_config {
	const struct config_labels *labels;   /* of the target: job, instance, ... */
	const struct config_labels *external; /* added where absent; NULL: none */
	bool honor_labels;
	bool honor_timestamps;
	bool track_timestamps_staleness;
	const struct config_relabel *relabels; /* metric_relabel_configs */
	size_t relabel_count;
	uint64_t sample_limit; /* these: 0 is none */
	uint64_t label_limit;
	uint64_t label_name_length_limit;
	uint64_t label_value_length_limit;
};

/* Of one scrape, also of one that failed half-way, as Prometheus reports it. The last
 * three were not handed out: a time that the series already had, an older one, one too
 * old or too new for any. */
struct scrape_series_result {
	bool is_up; /* the body was good; if not: */
	char reason[SCRAPE_SERIES_REASON_LEN];
	uint64_t scraped;   /* scrape_samples_scraped */
	uint64_t relabeled; /* scrape_samples_post_metric_relabeling */
	uint64_t added;     /* scrape_series_added */
	uint64_t stale;     /* markers handed out */
	uint64_t duplicates;
	uint64_t out_of_order;
	uint64_t out_of_bounds;
};

/* Times do not fall from call to call, or by more than a sample may be ahead: then
 * series begin anew. An error of the sink ends the call, which returns it; what was
 * handed out counts as sent. */
struct scrape_series_sink {
	int (*add)(void *context, const struct sample *sample);
	/* Before a sample whose series has had one in this call: times of their own.
	 * Whoever takes a series once at a time, closes what was added. */
	int (*again)(void *context);
	void *context;
};
