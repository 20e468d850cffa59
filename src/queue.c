/* SPDX-License-Identifier: Apache-2.0 */
#include "queue.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "cleanup.h"

#define SLOTS_MIN 16

/* A ring that grows: its slots follow what waits, not what might. */
struct queue {
	struct wire_batch **slots;
	size_t slot_count; /* a power of two */
	size_t first;
	size_t count;
	uint32_t samples;
	uint32_t capacity_samples;
	bool is_peeked; /* the oldest is in its sender's hands: it must not fall out */
};

int queue_create(uint32_t capacity_samples, struct queue **ret_queue)
{
	AUTO_FREE struct queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	queue->slots = calloc(SLOTS_MIN, sizeof(*queue->slots));
	if (!queue->slots)
		return -ENOMEM;
	queue->slot_count = SLOTS_MIN;
	queue->capacity_samples = capacity_samples;
	*ret_queue = TAKE(queue);
	return 0;
}

void queue_free(struct queue **queue)
{
	if (!*queue)
		return;
	while (queue_peek(*queue))
		queue_acknowledge(*queue);
	free((*queue)->slots);
	free(*queue);
	*queue = NULL;
}

static struct wire_batch **slot(const struct queue *queue, size_t index)
{
	return &queue->slots[(queue->first + index) & (queue->slot_count - 1)];
}

static bool grow(struct queue *queue)
{
	size_t slot_count = queue->slot_count * 2;
	struct wire_batch **slots = calloc(slot_count, sizeof(*slots));

	if (!slots)
		return false;
	for (size_t i = 0; i < queue->count; i++)
		slots[i] = *slot(queue, i);
	free(queue->slots);
	queue->slots = slots;
	queue->slot_count = slot_count;
	queue->first = 0;
	return true;
}

/* The oldest that nobody is sending. Returns its samples. */
static uint32_t drop_oldest(struct queue *queue)
{
	size_t victim = queue->is_peeked ? 1 : 0;
	struct wire_batch *batch = *slot(queue, victim);
	uint32_t samples = batch->samples;

	if (victim)
		*slot(queue, victim) = *slot(queue, 0);
	queue->first = (queue->first + 1) & (queue->slot_count - 1);
	queue->count--;
	queue->samples -= samples;
	wire_batch_put(&batch);
	return samples;
}

uint32_t queue_put(struct queue *queue, struct wire_batch *batch)
{
	uint32_t kept = queue->is_peeked ? (*slot(queue, 0))->samples : 0;
	uint32_t dropped = 0;

	/* It would push out everything, and then itself. */
	if (batch->samples > queue->capacity_samples - kept) {
		dropped = batch->samples;
		wire_batch_put(&batch);
		return dropped;
	}
	while (batch->samples > queue->capacity_samples - queue->samples)
		dropped += drop_oldest(queue);
	/* No memory for more slots: what there are have room for the newest. */
	if (queue->count == queue->slot_count && !grow(queue))
		dropped += drop_oldest(queue);
	*slot(queue, queue->count) = batch;
	queue->count++;
	queue->samples += batch->samples;
	return dropped;
}

struct wire_batch *queue_peek(struct queue *queue)
{
	if (!queue->count)
		return NULL;
	queue->is_peeked = true;
	return *slot(queue, 0);
}

void queue_acknowledge(struct queue *queue)
{
	if (!queue->is_peeked)
		return;
	queue->is_peeked = false;
	drop_oldest(queue);
}

uint32_t queue_samples(const struct queue *queue)
{
	return queue->samples;
}
