/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - snapshots as Remote-Write 1.0 bytes: protobuf (from
 * src/remote_write.proto by protobuf-c), snappy block format. Pure: bytes in
 * memory, no network, no clock.
 *
 * Rules obeyed (spec 1.0): labels sorted by byte order, unique, none empty;
 * __name__ first by that order; timestamps in ms; stale marker bits
 * 0x7ff0000000000002 moved as integers, never through a float register.
 */
#pragma once

#include <stdint.h>

#include "buf.h"
#include "config.h"
#include "snapshot.h"

/* One encoded WriteRequest, ready to be a request body. Reference counted:
 * several endpoints share one. */
struct wire_batch {
	unsigned int references;
	uint32_t samples;
	int64_t time_ms; /* of its newest sample */
	size_t len;
	unsigned char bytes[];
};

struct wire_batch *wire_batch_get(struct wire_batch *batch);
void wire_batch_put(struct wire_batch **batch);

/* Turns collections into batches and remembers which series the last one had,
 * so that one which ended gets its stale marker. */
struct wire_encoder;

/* `external` labels are added where absent. samples_max: per batch. */
int wire_encoder_create(const struct config_labels *external, uint32_t samples_max,
			struct wire_encoder **ret_encoder);
void wire_encoder_free(struct wire_encoder **encoder);

/* Hands each batch over (the callee puts it). Series of the previous snapshot
 * that this one lacks are marked stale at this one's time. An empty snapshot
 * marks all. Errors: -ENOMEM; what was emitted before stays emitted. */
typedef void (*wire_emit)(void *context, struct wire_batch *batch);
int wire_encode(struct wire_encoder *encoder, const struct snapshot *snapshot,
		wire_emit emit, void *context);
