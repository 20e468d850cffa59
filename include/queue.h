/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded FIFO of encoded batches for one endpoint. In memory for now; the
 * durable spool takes this file's place with the same five verbs. Bounded in
 * samples; when full the oldest collection goes, whole, and is counted by the
 * caller. The newest never does: no collection is too large for a queue. */
#pragma once

#include <stdint.h>

#include "wire.h"

struct queue;

int queue_create(uint32_t capacity_samples, struct queue **ret_queue);
void queue_free(struct queue **queue);
/* Takes the batch; returns how many samples fell out: those of the oldest
 * collections, but never the batch that was peeked (it may be on its way), nor
 * one of this collection, whose number is not below that of any other. The new
 * batch itself only where there is no memory to keep it. */
uint32_t queue_put(struct queue *queue, uint64_t collection, struct wire_batch *batch);
/* The oldest batch, still the queue's and kept until acknowledged; NULL when
 * empty. */
struct wire_batch *queue_peek(struct queue *queue);
/* The batch that queue_peek gave was delivered or given up. */
void queue_acknowledge(struct queue *queue);
uint32_t queue_samples(const struct queue *queue);
