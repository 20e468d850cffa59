/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * repeat.bpf.h - heads like the last one. Many a connection says the same again and
 * again: the bytes of a small head are kept with what they said, and a message that
 * begins with the same ones is not parsed again. It is no guess: all of its head is
 * read and compared. A whole plain message, its body counted by a length or none, is
 * queued or answered in one step; of other ones only the head is spared.
 *
 * Most calls are no more than this, so it takes no workspace. What a head is compared
 * with is read onto the stack: the kernel looks for longer at any other memory that it
 * copies user memory to (mm/usercopy.c).
 */
#pragma once

#include "conversation.bpf.h"

/* Of a window just loaded: does it begin with a head? Its bytes are kept, for when
 * it turns out where it ends. */
static __always_inline void note_head(struct direction *d, struct workspace *ws)
{
	d->head.len = 0;
	ws->head_whole = d->http1.phase == HTTP1_START;
	if (ws->head_whole && d->head.skips) {
		d->head.skips--;
		ws->head_whole = 0;
	}
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

/* How many messages of this direction went through the ring so far. */
static __always_inline __u32 messages(const struct conversation *c,
				      const struct direction *d)
{
	return d->http1.responses ? c->ring_ends.head : c->ring_ends.tail;
}

/* It is another head than the last one. Of heads that differ each time fewer and fewer
 * are kept to be looked for, down to every 16th. */
static __always_inline void head_differs(const struct conversation *c,
					 struct direction *d)
{
	struct head *head = &d->head;

	if ((__u8)(messages(c, d) - head->counted) > 1) /* others were the same */
		head->misses = 0;
	head->skips = head->misses;
	head->misses = (head->misses * 2 + 1) & 15;
}

/* A head ends at pos. */
static __always_inline void remember_head(const struct conversation *c,
					  struct direction *d, struct workspace *ws)
{
	struct head *head = &d->head;
	const bool whole = ws->head_whole;
	const __u32 len = ws->window.pos;

	ws->head_whole = 0; /* the next one does not begin the window */
	if (config.no_shortcuts || !whole || len < WINDOW_KEPT_LEAST ||
	    len > WINDOW_KEPT)
		return;
	if (!d->http1.responses && !c->route_service) /* its process found no room */
		return;
	kept_cut(&d->kept, len);
	head->len = (__u8)len;
	head->counted = (__u8)messages(c, d);
	head->status = d->http1.status;
	head->method = d->http1.method;
	head->framing = d->http1.framing;
	head->length = d->http1.framing & HTTP1_HAS_LENGTH ? d->http1.length : 0;
	head->plain = is_plain(&d->http1);
	head->route = c->route;
	head->route_service = c->route_service;
}

/* What looking for the last head came to. */
enum repeat {
	REPEAT_UNTRIED,
	REPEAT_NOT,  /* it is another one */
	REPEAT_HEAD, /* it is the same, but there is more to the message */
};

/* Whether a message begins here, between two others, and may have the last head. */
static __always_inline bool may_repeat(const struct conversation *c,
				       const struct direction *d, __u32 len)
{
	const __u32 head_len = d->head.len;

	/* of `under_way` only `positioned`, the lowest byte, may be set */
	return d->http1.phase == HTTP1_START && head_len && head_len <= len &&
	       !(d->under_way >> 8) && c->state_refused == CONVERSATION_HTTP1 &&
	       (d->http1.responses || d->head.route_service == c->service);
}

/* A plain message of whose body only `here` bytes came in this call. */
static __always_inline void body_is_to_come(struct direction *d, __u64 began_ns,
					    __u64 here)
{
	d->begun_ns = began_ns;
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
					    __u64 began_ns, __u64 here)
{
	const __u32 tail = c->ring_ends.tail;
	struct inflight *slot = &c->ring[tail & (RING_SLOTS - 1)];

	if (tail - c->ring_ends.head >= RING_SLOTS || queued(&c->pipeline_ends) ||
	    c->overflow)
		return false;
	balance_begun(c);
	c->orphan_reason = 0;
	slot->service = d->head.route_service;
	slot->pid = c->pid;
	slot->start_ns = began_ns;
	slot->route = d->head.route;
	slot->queue_ns = c->queue_ns;
	slot->method = d->head.method;
	slot->body_bytes = here;
	slot->whole = here == d->head.length;
	if (here < d->head.length)
		body_is_to_come(d, began_ns, here);
	__sync_fetch_and_add(&c->ring_ends.tail, 1);
	return true;
}

/* Counts the response to the request at the head of the ring, unless that is its
 * series' first one. */
static __always_inline bool response_counts(struct conversation *c, struct direction *d,
					    const struct inflight *request,
					    __u32 oldest, const struct answer *answer)
{
	struct tally_series *row;
	struct sample sample;

	sample_take(c, request, answer, request->body_bytes, &sample, TALLY_ERROR_NONE);
	row = series_find(&sample.key);
	if (!row)
		return false;
	/* who ends the connection meanwhile must see that a response is under way */
	d->begun_ns = answer->first_ns;
	c->answer.status = answer->status;
	c->answer.first_ns = answer->first_ns;
	if (queue_take(&c->ring_ends, oldest)) {
		series_add(row, &sample);
		balance_ended(c, 1);
	}
	d->begun_ns = 0;
	return true;
}

/* What status_line, response_head and response_end do, for a plain response to a
 * request in the ring that came whole. False: there is more to it. */
static __always_inline bool response_repeats(struct conversation *c,
					     struct direction *d, __u64 began_ns,
					     __u64 here)
{
	/* first: an early response takes its request, then it is over */
	const __u32 early = early_of(c);
	const __u32 oldest = *(volatile __u32 *)&c->ring_ends.head;
	const struct inflight *request = &c->ring[oldest & (RING_SLOTS - 1)];
	const struct answer answer = {
	    .first_ns = began_ns,
	    .end_ns = d->last_ns,
	    .body_bytes = here,
	    .status = d->head.status,
	};

	if (c->ring_ends.tail == oldest || !request->whole || !request->service ||
	    request->method == TALLY_METHOD_HEAD ||
	    request->method == TALLY_METHOD_CONNECT || early != EARLY_NONE)
		return false;
	if (here == d->head.length)
		return response_counts(c, d, request, oldest, &answer);
	d->begun_ns = began_ns; /* first, as in response_counts */
	c->answer.status = answer.status;
	c->answer.first_ns = began_ns;
	body_is_to_come(d, began_ns, here);
	return true;
}

/* A call of len bytes begins a message (may_repeat): the last one again? d:
 * direction_of it, whose last_ns and the conversation's queue_ns are this call's
 * already. address: of its first byte. began_ns: of the call. */
__noinline int repeat_try(struct conversation *c, struct direction *d, __u64 address,
			  __u32 len, __u64 began_ns)
{
	struct kept read = {};
	__u32 head_len;
	__u64 here;

	if (!c || !d)
		return 0;
	head_len = d->head.len;
	if (head_len > WINDOW_KEPT)
		return 0;
	if (bpf_probe_read_user(&read, head_len, (void *)address)) {
		conversation_lose(c, d == &c->directions[DIRECTION_WRITE],
				  TALLY_MISSED_READ_FAULT);
		return 1;
	}
	if (!kept_equal(&read, &d->kept, head_len)) {
		head_differs(c, d);
		d->head.repeat = REPEAT_NOT;
		return 0;
	}
	here = len - head_len;
	if (d->head.plain && here <= d->head.length &&
	    (d->http1.responses ? response_repeats(c, d, began_ns, here)
				: request_repeats(c, d, began_ns, here)))
		return 1;
	/* an early response may have to be counted before this one begins */
	d->head.repeat =
	    d->http1.responses && early_of(c) != EARLY_NONE ? REPEAT_NOT : REPEAT_HEAD;
	return 0;
}
