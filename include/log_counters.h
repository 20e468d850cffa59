/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_counters.h - how many entries a regex was found in, by what its named groups
 * matched. Its rows are bounded; what there is no room for is `other`.
 */
#pragma once

#include "config.h"
#include "slice.h"
#include "snapshot.h"

struct log_counters;

/* metrics outlive it. order: of the first family in the output. -ENOMEM. */
int log_counters_create(const struct config_log_metric *metrics, size_t count,
			unsigned int order, struct log_counters **ret_counters);
void log_counters_free(struct log_counters **counters);
/* Returns how many of the regexes could not be carried out on it. */
unsigned int log_counters_count(struct log_counters *counters, struct slice text);
/* Appends them, with strings of its own. */
void log_counters_describe(const struct log_counters *counters,
			   struct snapshot *snapshot);
