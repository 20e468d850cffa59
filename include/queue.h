/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded FIFO of encoded batches for one endpoint. In memory for now; the
 * durable spool takes this file's place with the same five verbs. Bounded in
 * samples; when full the oldest goes and is counted by the caller. */
#pragma once

#include <stdint.h>

#include "wire.h"

struct queue;

int queue_create(uint32_t capacity_samples, struct queue **ret_queue);
void queue_free(struct queue **queue);
/* Takes the batch; returns how many samples fell out: the oldest ones, but never
 * the batch that was peeked (it may be on its way), and the new batch itself
 * where it does not fit beside that one. */
uint32_t queue_put(struct queue *queue, struct wire_batch *batch);
/* The oldest batch, still the queue's and kept until acknowledged; NULL when
 * empty. */
struct wire_batch *queue_peek(struct queue *queue);
/* The batch that queue_peek gave was delivered or given up. */
void queue_acknowledge(struct queue *queue);
uint32_t queue_samples(const struct queue *queue);
