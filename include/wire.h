/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - samples as Remote-Write requests, 1.0 or 2.0: protobuf
 * (src/remote_write.proto and remote_write_v2.proto by protobuf-c), compressed
 * (wire_batch.h). Pure: bytes in memory, no network, no clock.
 */
#pragma once

#include "sample.h"
#include "wire_batch.h"

struct wire_format {
	enum wire_message message;
	bool native;          /* send native histograms too; else they are ignored */
	uint32_t samples_max; /* numbers and histograms in a batch, at least 1 */
	bool exemplars;       /* send them too, beside their samples */
};

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
