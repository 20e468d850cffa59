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

/* Clock steps back up to this far are waited out, see wire_encode. */
#define WIRE_CLOCK_STEP_MAX_MS (10 * 60 * 1000)

/* `external` labels (copied) are added where absent. samples_max: per batch, at
 * least 1. The series of a metric share a batch unless they are more than that. */
int wire_encoder_create(const struct config_labels *external, uint32_t samples_max,
			struct wire_encoder **ret_encoder);
void wire_encoder_free(struct wire_encoder **encoder);

/* Hands each batch over (the callee puts it). The snapshot is finished; families
 * are constants and remembered by address. Series of the previous snapshot that
 * this one lacks are marked stale at this one's time; an empty one marks all.
 * The time of a collection is at least a millisecond after the last one's,
 * whatever the clock did, because a series must not go back; only a step back of
 * more than WIRE_CLOCK_STEP_MAX_MS is followed: the time before was wrong then.
 * Errors: -ENOMEM, or the snapshot's own, with nothing emitted; what was emitted
 * before an error stays emitted. */
typedef void (*wire_emit)(void *context, struct wire_batch *batch);
int wire_encode(struct wire_encoder *encoder, const struct snapshot *snapshot,
		wire_emit emit, void *context);
