/* SPDX-License-Identifier: Apache-2.0 */
/*
 * series.h - rows of the kernel maps to labelled metrics. One collection:
 * rows are read (drain), put under their service's name (targets), rows of
 * aliases and of earlier, deleted rows are added to those of the same labels,
 * and metrics are appended to a snapshot.
 *
 * Truth kept here: a counter never falls while its labels are exposed. A row
 * under an alias is deleted from the kernel only after its writers are gone
 * (alias older than SERIES_SETTLE_MS); its value is carried on in a table of
 * retired rows, bounded by the rows the kernel map may hold; what finds no room
 * there stays in the kernel.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "probes.h"
#include "snapshot.h"
#include "targets.h"

#define SERIES_SETTLE_MS 2000

struct series;

/* has_summaries: of request durations, with a window (quantile.h) for each label
 * set: no more than rows in the kernel and retired ones together. */
int series_create(uint32_t retired_max, bool has_summaries, struct series **ret_series);
void series_free(struct series **series);

/* Appends http_server_*, http_client_*, the gauges and target_info; retires and
 * expires on the way. now_ms: CLOCK_BOOTTIME milliseconds, passed in. -errno of
 * the first map that could not be read; what could be is in the snapshot. */
int series_collect(struct series *series, const struct probes *probes,
		   struct targets *targets, int64_t now_ms, struct snapshot *snapshot);
/* Requests in rows dropped so far of which it never came out whether they are of a
 * selected process. */
uint64_t series_unjudged(const struct series *series);
