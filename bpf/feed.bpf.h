/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * feed.bpf.h - brings the bytes of one call to the conversation, step by step. What a
 * message means is conversation.bpf.h's; here is how far one may look.
 *
 * The call is a list of segments of user memory; the one being fed is the chunk. Of it
 * the next WINDOW_BYTES are copied into the workspace's window, and the window is fed
 * line by line. Body bytes are skipped by count, in the window or before they are ever
 * in it: only heads and chunk sizes are copied. A line cut by the end of a window is
 * put back and read again with what follows it; cut by the end of the segment, it
 * waits in the direction's `carry`.
 *
 * A step (feed_on) is a line, a skip, or the next segment. The verifier walks a loop
 * once for each turn, so there are two, one in a function that it checks once:
 * feed_steps takes STEPS of them, and is entered ROUNDS times for a call
 * (socket.bpf.h). Between the two the window is put back, which also lets the caller
 * make the pipeline that a step may ask for (FEED_WANTS_PIPELINE): socket storage can
 * be made only where the socket is at hand.
 *
 * Most calls need none of it. They begin with a message, and its head is the last one
 * (repeat.bpf.h): what it says is known. If that is not all, feed_from_head goes on
 * from there, and is done when the rest of the call is that message's body.
 */
#pragma once

#include "repeat.bpf.h"

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
		if (len > WINDOW_BYTES - CARRY_BYTES)
			len = WINDOW_BYTES - CARRY_BYTES;
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

/* --- lines ------------------------------------------------------------------------ */

static __always_inline int feed_head(struct conversation *c, struct direction *d,
				     struct workspace *ws, struct pipeline *pipe)
{
	if (d->http1.responses)
		response_head(c, d, ws, pipe);
	else if (!request_head(c, d, pipe))
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
			status_line(c, ws, pipe);
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

	if (d->wants_push && !request_head(c, d, pipe))
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

/* --- the shortcut --------------------------------------------------------------- */

/* The head under way was read, and says what the last one said. */
static __always_inline int feed_last_head(struct conversation *c, struct direction *d,
					  struct workspace *ws, struct pipeline *pipe)
{
	struct chunk *chunk = &ws->call.chunk;

	ws->head_whole = 0;
	message_begins(c, d, chunk);
	d->http1.status = d->head.status;
	d->http1.method = d->head.method;
	d->http1.framing = d->head.framing;
	d->http1.length = d->head.length;
	d->http1.phase = HTTP1_HEADERS;
	if (d->http1.responses) {
		status_line(c, ws, pipe);
	} else {
		c->route = d->head.route;
		c->route_service = d->head.route_service;
	}
	return feed_head(c, d, ws, pipe);
}

/* A call begins with the last head again (repeat_try), which is done with here, and
 * maybe all of the rest. */
__noinline int feed_from_head(struct conversation *c, struct workspace *ws,
			      struct pipeline *pipe)
{
	struct direction *d;
	struct call *call;
	int result;

	if (!c || !ws)
		return FEED_SKIP;
	call = &ws->call;
	d = direction_of(c, call->chunk.direction);
	if (!call_next_segment(call) || call->chunk.len < d->head.len) {
		/* what says where it is was changed meanwhile */
		conversation_lose(c, call->chunk.direction, TALLY_MISSED_READ_FAULT);
		return FEED_SKIP;
	}
	call->chunk.base += d->head.len;
	call->chunk.len -= d->head.len;
	result = feed_last_head(c, d, ws, pipe);
	return result == FEED_AGAIN && skip_rest(c, ws, pipe) ? FEED_DONE : result;
}
