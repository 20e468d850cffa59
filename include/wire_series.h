/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_series.h - one series on its way into a request: what those who read samples
 * (wire.c) or requests (wire_downgrade.c) hand to those who pack them (wire_v1.c,
 * wire_v2.c). Samples, histograms and types are the same messages in both versions, so
 * they are made here; labels and exemplars are not.
 *
 * protobuf-c has no const: what it packs is only read.
 */
#pragma once

#include <stdint.h>

#include "remote_write.pb-c.h"
#include "sample.h"

/* Tag and lengths of a label, at most. */
#define WIRE_LABEL_OVERHEAD 16

/* Owns nothing; values: n of each. */
struct wire_series {
	const struct label *labels; /* as of a sample */
	size_t label_count;
	const struct exemplar *exemplar; /* NULL: none */
	const struct family *family;     /* 1.0 does not look at it */
	size_t sample_count;
	Prometheus__Sample **samples;
	size_t histogram_count;
	Prometheus__Histogram **histograms;
};

/* The number of a sample. start_ms: 0: none is sent. */
void wire_series_number(const struct sample *sample, int64_t start_ms,
			Prometheus__Sample *ret_message);
Prometheus__MetricType wire_series_type(const struct family *family);
size_t wire_series_text_bytes(const struct label *labels, size_t count);
/* Bytes of it, packed as a request of one, and never less than it will be.
 * exemplar_bytes: of its message, 0 without one. */
size_t wire_series_bound(const struct wire_series *series, size_t text_bytes,
			 size_t exemplar_bytes);
