/* SPDX-License-Identifier: Apache-2.0 */
/*
 * samples.h - snapshots as samples, one after another: full label sets, and a stale
 * marker for each series that the last snapshot had and this one lacks. It knows no
 * format, no network and no clock.
 */
#pragma once

#include "config.h"
#include "sample.h"

/* What remembers the series of the last collection. */
struct samples;

/* `external` labels (copied) are added where absent. */
int samples_create(const struct config_labels *external, struct samples **ret_samples);
void samples_free(struct samples **samples);
/* Before the first walk: an earlier life got as far as this. */
void samples_continue(struct samples *samples, int64_t last_time_ms);

/* begin comes before the samples of each metric, with what that holds for the call.
 * An error of either ends the walk, which returns it. */
struct samples_sink {
	int (*begin)(void *context, const struct sample_metric *metric);
	int (*add)(void *context, const struct sample *sample);
	void *context;
};

/* The snapshot is finished; families are constants and remembered by address. An
 * empty one marks all series stale. A histogram with native counts is its classic
 * series, then one more, native, under the family's name.
 * time_ms: of all of them, after that of the walk before (timeline_after); it is that
 * of the snapshot but where the clock was set back.
 * What is cumulative starts at the snapshot's start_ms, or where it appeared later
 * at the collection before: it was zero then; or at the metric's own start_ms. A
 * start that is not before its sample is unknown.
 * Errors: -ENOMEM, the sink's, or the snapshot's own, with nothing handed out. What
 * was handed out before an error counts as sent, the rest is told next time. */
int samples_walk(struct samples *samples, const struct snapshot *snapshot,
		 int64_t time_ms, const struct samples_sink *sink);
