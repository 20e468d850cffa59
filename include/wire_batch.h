/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_batch.h - one request, ready to be a body: bytes, and what is to be known of
 * them without reading them. What they say is its maker's (wire.h, otlp.h, loki.h).
 * Snappy's block format is behind this file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What our requests of Remote-Write may be before they are compressed: receivers
 * refuse 32 MiB and more. */
#define WIRE_BYTES_CEILING ((size_t)32 << 20)

/* prometheus.WriteRequest (1.0), io.prometheus.write.v2.Request (2.0-rc.4), and what
 * otlp.h and loki.h make. Batches on disk have these numbers. */
enum wire_message { WIRE_V1, WIRE_V2, WIRE_OTLP, WIRE_OTLP_GZIP, WIRE_LOKI };

/* Reference counted. */
struct wire_batch {
	unsigned int references;
	enum wire_message message;
	bool is_metadata;    /* of families, and nothing else: has no samples */
	uint32_t samples;    /* numbers; stale markers are some; or lines */
	uint32_t histograms; /* native ones, beside them */
	int64_t time_ms; /* of its newest sample; metadata: of the last one before */
	size_t len;
	unsigned char bytes[];
};

/* Hands each batch over; the callee puts it. */
typedef void (*wire_emit)(void *context, struct wire_batch *batch);

struct wire_batch *wire_batch_get(struct wire_batch *batch);
void wire_batch_put(struct wire_batch **batch);
/* A batch of a message, which the caller sets, with its numbers. -ENOMEM. */
int wire_compress(const void *bytes, size_t len, struct wire_batch **ret_batch);
/* The message of a batch that was compressed; the caller frees it. -ENOMEM; -EBADMSG:
 * none that we compressed. */
int wire_uncompress(const struct wire_batch *batch, unsigned char **ret_bytes,
		    size_t *ret_len);
