/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exposition.h - a finished snapshot as Prometheus' protobuf exposition: each
 * family one MetricFamily of io.prometheus.client (src/exposition.proto) behind
 * its length. The only format that carries native histograms: one message has
 * them and the classic buckets.
 *
 * A family's length stands before it: its metrics are measured, then written, one
 * at a time. Memory does not grow with the family.
 */
#pragma once

#include <stdbool.h>

#include "buf.h"
#include "snapshot.h"

/* What a scraper can have. */
enum exposition_format {
	EXPOSITION_TEXT,        /* text.h, Prometheus 0.0.4 */
	EXPOSITION_OPENMETRICS, /* text.h, 1.0 */
	EXPOSITION_PROTOBUF,
};

/* "text/plain; version=0.0.4; charset=utf-8" and so on. */
const char *exposition_content_type(enum exposition_format format);

struct exposition_writer;

/* Of protobuf. The snapshot stays the caller's and outlives the writer. */
int exposition_writer_create(const struct snapshot *snapshot,
			     struct exposition_writer **ret_writer);
/* Appends whole metrics until out holds enough bytes. False: that was the rest,
 * there is no more to call for. Errors stick to out; a metric of 64 bounds or
 * quantiles or more, and one with over 1 MiB of labels, is -E2BIG. */
bool exposition_writer_next(struct exposition_writer *writer, struct buf *out,
			    size_t enough);
void exposition_writer_free(struct exposition_writer **writer);
