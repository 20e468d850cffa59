/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - the samples of a collection as Remote-Write requests, 1.0 or 2.0: what of
 * them is sent, and where one request ends and the next begins. Messages are in
 * wire_v1.h and wire_v2.h (protobuf-c), compression in wire_batch.h. Pure: bytes in
 * memory, no network, no clock.
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
/* What 1.0 says of families: batches of their own, handed out at once. Nothing in 2.0,
 * which has it with each series. */
int wire_metadata(struct wire_writer *writer, const struct family *const *families,
		  size_t count);
