/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * feed.bpf.h - brings the bytes of one call to the conversation, step by step.
 * They are segments of user memory (struct chunk). Body bytes are skipped by
 * count; only heads and chunk sizes are copied, WINDOW_BYTES at a time, into the
 * workspace's window. A line cut by the end of a call waits in `carry`.
 */
#pragma once

#include "conversation.bpf.h"

#define STEPS 64  /* parser steps and segments in one verified function ... */
#define ROUNDS 64 /* ... and how often it is entered for one call */

/* Fills the window: what was carried over, then bytes of the segment. */
static __always_inline bool window_load(struct direction *d, struct chunk *chunk,
					struct window *w)
{
	__u64 len = chunk->len;
	long err;

	w->pos = 0;
	if (d->carry_len) {
		__u32 carry = d->carry_len & (CARRY_BYTES - 1);

		for (__u32 i = 0; i < CARRY_BYTES / 8; i++)
			((__u64 *)w->bytes)[i] = ((__u64 *)d->carry)[i];
		if (len > CARRY_BYTES)
			len = CARRY_BYTES;
		err = bpf_probe_read_user(w->bytes + carry, (__u32)len,
					  (void *)chunk->base);
		w->len = carry + (__u32)len;
	} else {
		if (len > WINDOW_BYTES)
			len = WINDOW_BYTES;
		err = bpf_probe_read_user(w->bytes, (__u32)len, (void *)chunk->base);
		w->len = (__u32)len;
	}
	d->carry_len = 0;
	chunk->base += len;
	chunk->len -= len;
	return err == 0;
}

/* The line at pos is not complete: read on, or keep it for the next call. */
static __always_inline int line_unfinished(struct direction *d, struct chunk *chunk,
					   struct window *w)
{
	__u32 rest = w->len - w->pos;

	if (chunk->len) {
		window_return(w, chunk);
		return FEED_AGAIN;
	}
	d->head.len = 0;
	for (__u32 i = 0; i < CARRY_BYTES / 8; i++)
		((__u64 *)d->carry)[i] = window_word(w, w->pos + i * 8);
	d->carry_len = rest < CARRY_BYTES ? (__u8)rest : CARRY_BYTES - 1;
	w->pos = w->len;
	return FEED_DONE;
}

/* --- heads that were seen before -------------------------------------------------- */

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

/* --- lines ------------------------------------------------------------------------ */

static __always_inline int feed_head(struct conversation *c, struct direction *d,
				     struct workspace *ws, struct pipeline *pipe)
{
	if (d->http1.responses)
		response_head(c, d, ws, pipe);
	else if (!request_head(c, d, pipe, ws))
		return FEED_WANTS_PIPELINE;
	return c->state >= CONVERSATION_TUNNEL || d->http1.phase == HTTP1_SEEK
		   ? FEED_SKIP
		   : FEED_AGAIN;
}

__noinline int feed_line(struct conversation *c, struct workspace *ws,
			 struct pipeline *pipe)
{
	struct direction *d;
	struct chunk *chunk;
	struct window *w;
	int event;

	if (!c || !ws)
		return FEED_SKIP;
	chunk = &ws->call.chunk;
	w = &ws->window;
	d = direction_of(c, chunk->direction);
	if (d->http1.phase == HTTP1_START)
		message_begins(c, d, chunk);
	event = http1_line(w, &d->http1);
	switch (event) {
	case HTTP1_MORE:
		return line_unfinished(d, chunk, w);
	case HTTP1_AGAIN:
		if (d->http1.phase == HTTP1_START)
			d->begun_ns = 0; /* an empty line before the request line */
		return FEED_AGAIN;
	case HTTP1_START_LINE:
		if (d->http1.responses)
			status_line(c, chunk, pipe);
		else
			request_line(c, ws);
		return FEED_AGAIN;
	case HTTP1_HEAD:
		remember_head(c, d, ws);
		return feed_head(c, d, ws, pipe);
	case HTTP1_MESSAGE_END:
		d->http1.phase = HTTP1_START;
		message_end(c, d, pipe, ws, chunk->now_ns);
		return FEED_AGAIN;
	default:
		conversation_malformed(c, pipe, chunk->direction);
		return FEED_SKIP;
	}
}

static __always_inline int feed_skip(struct conversation *c, struct direction *d,
				     struct workspace *ws, struct pipeline *pipe,
				     __u64 skip)
{
	struct chunk *chunk = &ws->call.chunk;
	struct window *w = &ws->window;
	__u64 in_window = w->len - w->pos;

	if (in_window > skip)
		in_window = skip;
	w->pos += (__u32)in_window;
	chunk->base += skip - in_window;
	chunk->len -= skip - in_window;
	d->body_bytes += skip;
	if (http1_skip(&d->http1, skip))
		message_end(c, d, pipe, ws, chunk->now_ns);
	return FEED_AGAIN;
}

static __always_inline int feed_step(struct conversation *c, struct workspace *ws,
				     struct pipeline *pipe)
{
	struct chunk *chunk = &ws->call.chunk;
	struct window *w = &ws->window;
	struct direction *d = direction_of(c, chunk->direction);
	__u64 skip;

	if (d->wants_push && !request_head(c, d, pipe, ws))
		return FEED_WANTS_PIPELINE;
	if (w->pos >= w->len && !chunk->len)
		return FEED_DONE;
	skip = http1_skippable(&d->http1, w->len - w->pos + chunk->len);
	if (skip)
		return feed_skip(c, d, ws, pipe, skip);
	if (w->pos >= w->len) {
		if (!window_load(d, chunk, w)) {
			conversation_lose(c, chunk->direction, TALLY_MISSED_READ_FAULT);
			return FEED_SKIP;
		}
		note_head(d, ws);
	}
	if (d->http1.phase == HTTP1_SEEK || c->state == CONVERSATION_TUNNEL) {
		int found = conversation_detect(c, ws);

		if (found != FEED_AGAIN)
			return found;
		if (d->http1.phase == HTTP1_SEEK)
			return line_unfinished(d, chunk, w);
	}
	return feed_line(c, ws, pipe);
}

/* Makes the next segment the chunk; its length may be 0. False: no more. */
static __always_inline bool call_next_segment(struct call *call)
{
	__u64 segment[2], len;

	if (call->source.kind == SOURCE_BUFFER) {
		call->chunk.base = call->source.base + call->source.skip;
		call->chunk.len = call->left;
		call->left = 0;
		return true;
	}
	if (call->segment >= call->source.segments ||
	    source_segment(&call->source, call->segment, segment))
		return false;
	call->segment++;
	len = segment[1] > call->source.skip ? segment[1] - call->source.skip : 0;
	call->chunk.base = segment[0] + call->source.skip;
	call->source.skip = 0;
	call->chunk.len = len < call->left ? len : call->left;
	call->left -= call->chunk.len;
	return true;
}

/* Where the rest of the call is body alone, its segments do not matter. */
static __always_inline bool skip_rest(struct conversation *c, struct workspace *ws,
				      struct pipeline *pipe)
{
	struct call *call = &ws->call;
	struct direction *d = direction_of(c, call->chunk.direction);
	__u64 rest = call->chunk.len + call->left;

	if (ws->window.pos < ws->window.len || http1_skippable(&d->http1, rest) < rest)
		return false;
	call->chunk.len = call->left = 0;
	d->body_bytes += rest;
	if (rest && http1_skip(&d->http1, rest))
		message_end(c, d, pipe, ws, call->chunk.now_ns);
	return true;
}

/* One step; at the end of a segment, on to the next. */
__noinline int feed_on(struct conversation *c, struct workspace *ws,
		       struct pipeline *pipe)
{
	struct call *call;
	int result;

	if (!c || !ws)
		return FEED_SKIP;
	call = &ws->call;
	result = feed_step(c, ws, pipe);
	if (result != FEED_DONE || !call->left)
		return result;
	if (skip_rest(c, ws, pipe))
		return FEED_DONE;
	if (call_next_segment(call))
		return FEED_AGAIN;
	conversation_lose(c, call->chunk.direction, TALLY_MISSED_READ_FAULT);
	return FEED_SKIP;
}

/* Up to STEPS steps over what the call moved; what was read ahead is put back. */
__noinline int feed_steps(struct conversation *c, struct workspace *ws,
			  struct pipeline *pipe)
{
	int result = FEED_AGAIN;

	if (!c || !ws)
		return FEED_SKIP;
	for (__u32 i = 0; i < STEPS; i++) {
		result = feed_on(c, ws, pipe);
		conversation_settle(c, ws);
		if (result != FEED_AGAIN)
			break;
	}
	if (result == FEED_AGAIN || result == FEED_WANTS_PIPELINE)
		window_return(&ws->window, &ws->call.chunk);
	return result;
}

/* --- the shortcut ------------------------------------------------------------------
 */

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
	early_settle(c, NULL, ws);
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

/* A message begins: with the last head? Then it is as good as parsed. If not, what
 * was read of it is in the window. */
__noinline int feed_same_head(struct conversation *c, struct workspace *ws,
			      struct pipeline *pipe)
{
	struct direction *d;
	struct call *call;
	__u64 here;
	__u32 len;
	bool same;

	if (!c || !ws)
		return FEED_SKIP;
	call = &ws->call;
	d = direction_of(c, call->chunk.direction);
	len = d->head.len;
	if (len > WINDOW_BYTES ||
	    bpf_probe_read_user(ws->window.bytes, len, (void *)call->chunk.base)) {
		conversation_lose(c, call->chunk.direction, TALLY_MISSED_READ_FAULT);
		return FEED_SKIP;
	}
	ws->window.len = len;
	same = window_begins_with(&ws->window, &d->kept, len);
	here = call->left - len;
	if (same && d->head.plain && here <= d->head.length &&
	    (d->http1.responses ? response_repeats(c, d, ws, here)
				: request_repeats(c, d, ws, here)))
		return FEED_DONE;
	call->left -= call->chunk.len;
	call->chunk.base += len;
	call->chunk.len -= len;
	if (!same) {
		note_head(d, ws);
		return FEED_AGAIN;
	}
	ws->head_whole = 0;
	ws->window.pos = len;
	message_begins(c, d, &call->chunk);
	d->http1.status = d->head.status;
	d->http1.method = d->head.method;
	d->http1.framing = d->head.framing;
	d->http1.length = d->head.length;
	d->http1.phase = HTTP1_HEADERS;
	if (d->http1.responses) {
		status_line(c, &call->chunk, pipe);
	} else {
		c->route = d->head.route;
		c->route_service = d->head.route_service;
	}
	return feed_head(c, d, ws, pipe);
}

/* After a head: what follows it in the call, if that can be said at once. */
static __always_inline int feed_shortcut(struct conversation *c, struct workspace *ws,
					 struct pipeline *pipe)
{
	int result = feed_same_head(c, ws, pipe);

	conversation_settle(c, ws);
	if (result == FEED_AGAIN && skip_rest(c, ws, pipe)) {
		conversation_settle(c, ws);
		return FEED_DONE;
	}
	return result;
}
