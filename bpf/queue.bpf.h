/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* queue.bpf.h - requests that wait for their responses, oldest first: the ring in
 * the conversation, then the pipeline, then a mere count (conversation.h). */
#pragma once

#include "conversation.h"
#include "maps.bpf.h"

#define QUEUE_TRIES 4 /* the other threads take one each meanwhile */

static __always_inline __u32 queued(const struct queue_ends *ends)
{
	return ends->tail - ends->head;
}

static __always_inline bool waiting(const struct conversation *c)
{
	return queued(&c->ring_ends) || queued(&c->pipeline_ends) || c->overflow;
}

static __always_inline void balance_begun(const struct conversation *c)
{
	if (c->is_unix)
		__sync_fetch_and_add(&counters.unix_balance.begun, 1);
}

static __always_inline void balance_ended(const struct conversation *c, __u64 count)
{
	if (c->is_unix && count)
		__sync_fetch_and_add(&counters.unix_balance.ended, count);
}

/* The slot for the next request, or NULL: wants a pipeline, or overflowed. */
static __always_inline struct inflight *queue_slot(struct conversation *c,
						   struct pipeline *pipe)
{
	if (c->overflow)
		return NULL;
	if (!queued(&c->pipeline_ends) && queued(&c->ring_ends) < RING_SLOTS)
		return &c->ring[c->ring_ends.tail & (RING_SLOTS - 1)];
	if (!pipe || queued(&c->pipeline_ends) >= PIPELINE_SLOTS)
		return NULL;
	return &pipe->slots[c->pipeline_ends.tail & (PIPELINE_SLOTS - 1)];
}

/* The newest request, or NULL. */
static __always_inline struct inflight *queue_newest(struct conversation *c,
						     struct pipeline *pipe)
{
	if (c->overflow)
		return NULL;
	if (queued(&c->pipeline_ends))
		return pipe ? &pipe->slots[(c->pipeline_ends.tail - 1) &
					   (PIPELINE_SLOTS - 1)]
			    : NULL;
	if (queued(&c->ring_ends))
		return &c->ring[(c->ring_ends.tail - 1) & (RING_SLOTS - 1)];
	return NULL;
}

/* The oldest request, in the queue of ret_ends at ret_head: of these queue_take takes
 * it. NULL when there is none or its slot was not kept. */
static __always_inline struct inflight *queue_look(struct conversation *c,
						   struct pipeline *pipe,
						   struct queue_ends **ret_ends,
						   __u32 *ret_head)
{
	bool in_ring = queued(&c->ring_ends) != 0;
	struct queue_ends *ends = in_ring ? &c->ring_ends : &c->pipeline_ends;
	__u32 head = *(volatile __u32 *)&ends->head; /* the one that is looked at */

	*ret_ends = ends;
	*ret_head = head;
	if (in_ring) /* not if another one took it meanwhile */
		return ends->tail != head ? &c->ring[head & (RING_SLOTS - 1)] : NULL;
	return pipe && ends->tail != head ? &pipe->slots[head & (PIPELINE_SLOTS - 1)]
					  : NULL;
}

/* The same, to be looked at only. */
static __always_inline struct inflight *queue_oldest(struct conversation *c,
						     struct pipeline *pipe)
{
	struct queue_ends *ends;
	__u32 head;

	return queue_look(c, pipe, &ends, &head);
}

/* How many were taken so far, or the lowest bits of that: the place of the oldest. */
static __always_inline __u32 queue_place(const struct conversation *c)
{
	return *(const volatile __u32 *)&c->ring_ends.head +
	       *(const volatile __u32 *)&c->pipeline_ends.head;
}

/* Takes all of one queue; returns how many. */
static __always_inline __u32 queue_empty(struct queue_ends *ends)
{
	for (__u32 i = 0; i < QUEUE_TRIES; i++) {
		const __u32 head = *(volatile __u32 *)&ends->head;
		const __u32 tail = *(volatile __u32 *)&ends->tail;

		if (__sync_val_compare_and_swap(&ends->head, head, tail) == head)
			return tail - head;
	}
	return 0;
}

/* The exchange makes it one taker's, even when the connection is being ended on
 * another processor. */
static __always_inline bool queue_take(struct queue_ends *ends, __u32 head)
{
	return __sync_val_compare_and_swap(&ends->head, head, head + 1) == head;
}
