/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_outlet.h - what goes out of the scrapes of one target: samples that may follow
 * what their series had, and a marker for each series that the last scrape had and this
 * one has not.
 *
 * Series that were in a scrape without a time of their own are tracked, all of them
 * where track_timestamps_staleness says so: they become stale when a scrape lacks them.
 * An error in between loses no marker: those of the last scrape whose series are all
 * told wait for the next one.
 */
#pragma once

#include "scrape_body.h"
#include "scrape_known.h"

struct scrape_outlet;

/* All of it outlives it. -ENOMEM. */
int scrape_outlet_create(const struct scrape_series_config *config,
			 struct scrape_families *families,
			 struct scrape_known_set *known,
			 struct scrape_outlet **ret_outlet);
void scrape_outlet_free(struct scrape_outlet **outlet);

/* A scrape, and where its samples go until scrape_outlet_finish; counts in the result.
 */
void scrape_outlet_begin(struct scrape_outlet *outlet, uint32_t scrape, int64_t time_ms,
			 const struct scrape_series_sink *sink,
			 struct scrape_series_result *result);
/* A body that was good, after scrape_families_commit. The sink's error. */
int scrape_outlet_add(struct scrape_outlet *outlet, const struct scrape_body *body);
/* The markers, unless there was an error already, which is returned; the sink's. */
int scrape_outlet_finish(struct scrape_outlet *outlet, int err);
