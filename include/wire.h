/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - samples as Remote-Write requests, 1.0 or 2.0: protobuf
 * (src/remote_write.proto and remote_write_v2.proto by protobuf-c), snappy block
 * format. Pure: bytes in memory, no network, no clock.
 *
 * Native histograms are of schema 3, their zero bucket ends at 2^-20. What is longer
 * than the last bucket of buckets.h is in the one after it: its lower end (64 s) is
 * true, its upper end (69.8 s) is not; count, sum and all below are. Count is the
 * sum of the buckets. A stale one has the marker as its sum, and no bucket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sample.h"

/* prometheus.WriteRequest (1.0), io.prometheus.write.v2.Request (2.0-rc.4), and what
 * otlp.h and loki.h make. Batches on disk have these numbers. */
enum wire_message { WIRE_V1, WIRE_V2, WIRE_OTLP, WIRE_OTLP_GZIP, WIRE_LOKI };

/* One request, ready to be a body. Reference counted. */
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

struct wire_batch *wire_batch_get(struct wire_batch *batch);
void wire_batch_put(struct wire_batch **batch);
/* A batch of a message, which the caller sets, with its numbers. -ENOMEM. */
int wire_compress(const void *bytes, size_t len, struct wire_batch **ret_batch);

struct wire_format {
	enum wire_message message;
	bool native;          /* send native histograms too; else they are ignored */
	uint32_t samples_max; /* numbers and histograms in a batch, at least 1 */
	bool exemplars;       /* send them too, beside their samples */
};

/* Hands each batch over; the callee puts it. */
typedef void (*wire_emit)(void *context, struct wire_batch *batch);

/* What samples of one collection after another become batches in. */
struct wire_writer;

int wire_writer_create(const struct wire_format *format, wire_emit emit, void *context,
		       struct wire_writer **ret_writer);
void wire_writer_free(struct wire_writer **writer);
/* The next `count` samples, or fewer, belong in one batch: the open one is closed if
 * it has no room for them. They are cut only where no batch can hold them. */
int wire_begin(struct wire_writer *writer, size_t count);
/* Copies what it needs, of the family too. 2.0 gets that with each series, and
 * start_ms. */
int wire_add(struct wire_writer *writer, const struct sample *sample);
/* Closes the last batch, if there is one. After it the writer is as new.
 * The first error of the three (-ENOMEM, -E2BIG: a series of some 30 MB) is
 * returned by all until then; its batch is lost, those before were handed out. */
int wire_finish(struct wire_writer *writer);
/* What 1.0 says of families: batches of their own, handed out at once, under the
 * name that their samples have (with _total, _info). Nothing in 2.0. */
int wire_metadata(struct wire_writer *writer, const struct family *const *families,
		  size_t count);
/* A batch of 2.0 as one of 1.0: the same series, values and times. NULL: nothing is
 * left of it without its native histograms. -EBADMSG, -E2BIG: it is none of ours. */
int wire_downgrade(const struct wire_batch *v2, bool native,
		   struct wire_batch **ret_v1);
