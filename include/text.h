/* SPDX-License-Identifier: Apache-2.0 */
/* A finished snapshot as Prometheus text 0.0.4 or OpenMetrics 1.0. Histograms
 * are classic (native ones need the protobuf format). Numbers read back
 * as the same double; `le` and `quantile` are canonical ("1.0") in both formats. */
#pragma once

#include <stdbool.h>

#include "buf.h"
#include "snapshot.h"

enum text_format { TEXT_PROMETHEUS_0_0_4, TEXT_OPENMETRICS_1_0 };

struct text_writer;

/* The snapshot stays the caller's and outlives the writer. */
int text_writer_create(const struct snapshot *snapshot, enum text_format format,
		       struct text_writer **ret_writer);
/* Appends whole metrics until out holds enough bytes. False: that was the rest,
 * there is no more to call for. Errors stick to out; a metric of 64 bounds or
 * quantiles or more, and one with over 1 MiB of labels, is -E2BIG. */
bool text_writer_next(struct text_writer *writer, struct buf *out, size_t enough);
void text_writer_free(struct text_writer **writer);
/* All of it at once. */
void text_write(struct buf *out, const struct snapshot *snapshot,
		enum text_format format);
/* "text/plain; version=0.0.4; charset=utf-8" and so on. */
const char *text_content_type(enum text_format format);
/* A decimal that strtod reads back as value: integers below 2^53 in full, else
 * the first of 15, 16, 17 significant digits that does; "+Inf", "-Inf", "NaN". */
void text_number(char ret_string[32], double value);
/* The canonical form of a bound or a quantile (OpenMetrics, Go's %g and ".0"):
 * fewest digits, "0.005", "10.0", "65536.0", "1.048576e+06", "+Inf". */
void text_bound(char ret_string[32], double value);
