/* SPDX-License-Identifier: Apache-2.0 */
#include "queue.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define SLOTS_MIN 16

struct slot {
	struct wire_batch *batch;
	uint64_t collection;
};

/* A ring that grows: its slots follow what waits, not what might. */
struct queue {
	struct slot *slots;
	size_t slot_count; /* a power of two, or none yet */
	size_t first;
	size_t count;
	uint32_t samples;
	uint32_t capacity_samples;
	bool is_peeked; /* the oldest is in its sender's hands: it must not fall out */
};

int queue_create(uint32_t capacity_samples, struct queue **ret_queue)
{
	struct queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	queue->capacity_samples = capacity_samples;
	*ret_queue = queue;
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

static struct slot *slot(const struct queue *queue, size_t index)
{
	return &queue->slots[(queue->first + index) & (queue->slot_count - 1)];
}

static bool grow(struct queue *queue)
{
	size_t slot_count = queue->slot_count ? queue->slot_count * 2 : SLOTS_MIN;
	struct slot *slots = calloc(slot_count, sizeof(*slots));

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

/* The first that nobody is sending. */
static size_t first_victim(const struct queue *queue)
{
	return queue->is_peeked ? 1 : 0;
}

/* Returns its samples. */
static uint32_t drop(struct queue *queue, size_t victim)
{
	struct wire_batch *batch = slot(queue, victim)->batch;
	uint32_t samples = batch->samples;

	if (victim)
		*slot(queue, victim) = *slot(queue, 0);
	queue->first = (queue->first + 1) & (queue->slot_count - 1);
	queue->count--;
	queue->samples -= samples;
	wire_batch_put(&batch);
	return samples;
}

/* The oldest collection, all that waits of it. Returns its samples; 0: there is
 * none but the newest. */
static uint32_t drop_oldest(struct queue *queue, uint64_t newest)
{
	size_t victim = first_victim(queue);
	uint64_t oldest = newest;
	uint32_t dropped = 0;

	if (victim < queue->count)
		oldest = slot(queue, victim)->collection;
	if (oldest == newest)
		return 0;
	while (victim < queue->count && slot(queue, victim)->collection == oldest)
		dropped += drop(queue, victim);
	return dropped;
}

/* No memory for more slots: what there are have room for the newest. */
static bool has_slot(struct queue *queue, uint64_t newest, uint32_t *dropped)
{
	if (queue->count != queue->slot_count || grow(queue))
		return true;
	*dropped += drop_oldest(queue, newest);
	return queue->count != queue->slot_count;
}

uint32_t queue_put(struct queue *queue, uint64_t collection, struct wire_batch *batch)
{
	uint32_t dropped = 0, fallen = 1;

	while (fallen && queue->samples + batch->samples > queue->capacity_samples) {
		fallen = drop_oldest(queue, collection);
		dropped += fallen;
	}
	if (!has_slot(queue, collection, &dropped)) {
		dropped += batch->samples;
		wire_batch_put(&batch);
		return dropped;
	}
	*slot(queue, queue->count) = (struct slot){batch, collection};
	queue->count++;
	queue->samples += batch->samples;
	return dropped;
}

struct wire_batch *queue_peek(struct queue *queue)
{
	if (!queue->count)
		return NULL;
	queue->is_peeked = true;
	return slot(queue, 0)->batch;
}

void queue_acknowledge(struct queue *queue)
{
	if (!queue->is_peeked)
		return;
	queue->is_peeked = false;
	drop(queue, 0);
}

uint32_t queue_samples(const struct queue *queue)
{
	return queue->samples;
}
