/* SPDX-License-Identifier: Apache-2.0 */
/* A finished snapshot as Prometheus text 0.0.4 or OpenMetrics 1.0. Histograms
 * are classic (native ones need the protobuf format). Numbers are the shortest
 * that read back the same; `le` is canonical ("1.0") in both formats. */
#pragma once

#include "buf.h"
#include "snapshot.h"

enum text_format { TEXT_PROMETHEUS_0_0_4, TEXT_OPENMETRICS_1_0 };

void text_write(struct buf *out, const struct snapshot *snapshot,
		enum text_format format);
/* "text/plain; version=0.0.4; charset=utf-8" and so on. */
const char *text_content_type(enum text_format format);
/* Shortest decimal that strtod reads back as value; "+Inf", "-Inf", "NaN". */
void text_number(char ret_string[32], double value);
/* The same as a label value: integral values end in ".0" (OpenMetrics). */
void text_bound(char ret_string[32], double value);
