/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * repeat.bpf.h - heads like the last one. Many a connection says the same again and
 * again: the bytes of a small head are kept with what they said, and a message that
 * begins with the same ones is not parsed again. It is no guess: all of its head is
 * read and compared. A whole plain message, its body counted by a length or none, is
 * queued or answered in one step; of other ones only the head is spared.
 */
#pragma once

#include "conversation.bpf.h"

/* Of a window just loaded: does it begin with a head? Its bytes are kept, for when
 * it turns out where it ends. */
static __always_inline void note_head(struct direction *d, struct workspace *ws)
{
	d->head.len = 0;
	ws->head_whole = d->http1.phase == HTTP1_START;
	if (ws->head_whole)
		window_keep(&ws->window, &d->kept);
}

/* Whether the message that begins with this head has a body of `length` bytes or none,
 * unless it answers a HEAD or CONNECT: RFC 9112 section 6.3. */
static __always_inline bool is_plain(const struct http1 *p)
{
	if (p->framing & ~HTTP1_HAS_LENGTH)
		return false;
	if (!p->responses)
		return p->method != TALLY_METHOD_CONNECT;
	return p->status >= 200 && p->status != 204 && p->status != 304 &&
	       (p->framing & HTTP1_HAS_LENGTH);
}

/* A head ends at pos. */
static __always_inline void remember_head(const struct conversation *c,
					  struct direction *d, struct workspace *ws)
{
	struct head *head = &d->head;

	if (!ws->head_whole || ws->window.pos > WINDOW_KEPT)
		return;
	ws->head_whole = 0;
	head->len = (__u16)ws->window.pos;
	head->status = d->http1.status;
	head->method = d->http1.method;
	head->framing = d->http1.framing;
	head->length = d->http1.framing & HTTP1_HAS_LENGTH ? d->http1.length : 0;
	head->plain = is_plain(&d->http1);
	head->route = c->route;
	head->route_service = c->route_service;
}

/* The first segment as the chunk, when it can be known without asking the user's
 * memory and is long enough for a head like the last one. */
static __always_inline bool may_be_same_head(const struct conversation *c,
					     const struct direction *d,
					     struct call *call)
{
	const struct source *source = &call->source;
	__u64 base, len = call->left;

	if (config.no_shortcuts || !d->head.len || d->carry_len || d->wants_push ||
	    d->http1.phase != HTTP1_START || c->state != CONVERSATION_HTTP1)
		return false;
	if (!d->http1.responses && (!c->service || d->head.route_service != c->service))
		return false;
	if (source->kind == SOURCE_KERNEL_IOVEC && source->first[1] >= source->skip) {
		base = source->first[0];
		if (len > source->first[1] - source->skip)
			len = source->first[1] - source->skip;
	} else if (source->kind == SOURCE_BUFFER) {
		base = source->base;
	} else {
		return false;
	}
	call->chunk.base = base + source->skip;
	call->chunk.len = len;
	return len >= d->head.len;
}

/* A plain message of whose body only `here` bytes came in this call. */
static __always_inline void body_is_to_come(struct direction *d,
					    const struct chunk *chunk, __u64 here)
{
	d->begun_ns = chunk->began_ns;
	d->body_bytes = here;
	d->http1.status = d->head.status;
	d->http1.method = d->head.method;
	d->http1.framing = HTTP1_HAS_LENGTH;
	d->http1.length = d->head.length;
	d->http1.remaining = d->head.length - here;
	d->http1.phase = HTTP1_BODY;
}

/* What request_line, request_push and request_end do, for a plain request. False: there
 * is more to it. */
static __always_inline bool request_repeats(struct conversation *c, struct direction *d,
					    struct workspace *ws, __u64 here)
{
	struct inflight *slot = &c->ring[c->ring_ends.tail & (RING_SLOTS - 1)];

	if (queued(&c->ring_ends) >= RING_SLOTS || queued(&c->pipeline_ends) ||
	    c->overflow)
		return false;
	balance_begun(c);
	c->orphan_reason = 0;
	c->route = d->head.route;
	c->route_service = d->head.route_service;
	slot->service = c->service;
	slot->pid = c->pid;
	slot->start_ns = ws->call.chunk.began_ns;
	slot->route = d->head.route;
	slot->queue_ns = ws->call.chunk.queue_ns;
	slot->method = d->head.method;
	slot->body_bytes = here;
	slot->whole = here == d->head.length;
	if (here < d->head.length)
		body_is_to_come(d, &ws->call.chunk, here);
	__sync_fetch_and_add(&c->ring_ends.tail, 1);
	return true;
}

/* What status_line, response_head and response_end do, for a plain response to a
 * request in the ring. False: there is more to it. */
static __always_inline bool response_repeats(struct conversation *c,
					     struct direction *d, struct workspace *ws,
					     __u64 here)
{
	struct chunk *chunk = &ws->call.chunk;
	const __u8 method = c->ring[c->ring_ends.head & (RING_SLOTS - 1)].method;

	if (!queued(&c->ring_ends) || method == TALLY_METHOD_HEAD ||
	    method == TALLY_METHOD_CONNECT ||
	    http1_awaits_continue(&requests_of(c)->http1))
		return false;
	/* who ends the connection meanwhile must see that a response is under way */
	d->begun_ns = chunk->began_ns;
	c->answer.status = d->head.status;
	c->answer.first_ns = chunk->began_ns;
	if (here < d->head.length) {
		body_is_to_come(d, chunk, here);
		return true;
	}
	c->answer.end_ns = chunk->now_ns;
	c->answer.body_bytes = here;
	c->answer.early = EARLY_NONE;
	conversation_answered(c, NULL, ws, TALLY_ERROR_NONE);
	d->begun_ns = 0;
	return true;
}
