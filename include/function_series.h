/* SPDX-License-Identifier: Apache-2.0 */
/*
 * function_series.h - the rows of function rules as metrics: label values put into
 * words, rows that then have equal labels added up. Keeps the windows of summaries
 * from one collection to the next, nothing else.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "snapshot.h"
#include "uprobes.h"

struct function_series;

/* Both must outlive it. families: of the rules, in their order. seed: of hashes over
 * labels, which strangers choose. */
int function_series_create(const struct config_function *rules, size_t rule_count,
			   const struct family *const *families, uint64_t seed,
			   struct function_series **ret_series);
void function_series_free(struct function_series **series);
/* -errno of the first map that could not be read; now_ms of CLOCK_BOOTTIME. */
int function_series_collect(struct function_series *series,
			    const struct uprobes *uprobes, int64_t now_ms,
			    struct snapshot *snapshot);
