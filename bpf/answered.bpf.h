/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* answered.bpf.h - the end of a request: it leaves the queue, the sample of it goes to
 * the tally. */
#pragma once

#include "direction.bpf.h"
#include "queue.bpf.h"
#include "tally.bpf.h"

static __always_inline __u64 since(__u64 now_ns, __u64 then_ns)
{
	return then_ns && now_ns > then_ns ? now_ns - then_ns : 0;
}

/* The request is over: the tally's sample of it. error: it got no full response. */
static __always_inline void sample_take(const struct conversation *c,
					const struct inflight *request,
					const struct answer *answer,
					__u64 request_bytes, struct sample *sample,
					__u32 error)
{
	/* who asked, or was asked; its own name, if it is still there to know it */
	sample->key.service =
	    c->service && c->pid == request->pid ? c->service : request->service;
	sample->key.port =
	    c->role == TALLY_ROLE_SERVER ? c->local_port : c->remote_port;
	sample->key.status = answer->status;
	sample->key.route = request->route;
	sample->key.address = c->address;
	sample->key.protocol = TALLY_PROTOCOL_HTTP1;
	sample->key.role = c->role;
	sample->key.method = request->method;
	sample->key.error = (__u8)error;
	sample->key.reserved = 0;
	sample->duration_ns = since(answer->end_ns, request->start_ns);
	sample->queue_ns = request->queue_ns;
	sample->request_bytes = request_bytes;
	sample->route_service = request->service;
	sample->answered = answer->first_ns != 0;
	sample->first_byte_ns = since(answer->first_ns, request->start_ns);
	sample->response_bytes = answer->body_bytes;
}

/* The last request was answered: if before its body, that may never come. */
static __always_inline void note_refusal(struct conversation *c,
					 const struct direction *requests)
{
	if (http1_awaits_continue(&requests->http1) && !waiting(c))
		c->refused = 1;
}

/* The response is complete (or failed): this request leaves the queue of ends at head,
 * to be counted by the caller's conversation_settle. requests: their direction. False:
 * another thread was first. */
static __always_inline bool request_answered(struct conversation *c,
					     const struct direction *requests,
					     const struct inflight *request,
					     struct queue_ends *ends, __u32 head,
					     struct workspace *ws, __u32 error)
{
	/* first: request_end makes it whole, then empties the direction */
	__u64 bytes = *(const volatile __u64 *)&requests->body_bytes;

	if (*(const volatile __u8 *)&request->whole)
		bytes = request->body_bytes;
	sample_take(c, request, &c->answer, bytes, &ws->sample, error);
	if (!queue_take(ends, head))
		return false;
	ws->finished = 1;
	return true;
}

/* The same of the oldest request. */
__noinline int conversation_answered(struct conversation *c, struct pipeline *pipe,
				     struct workspace *ws, __u32 error)
{
	struct inflight *oldest;
	struct queue_ends *ends;
	__u32 head;

	if (!c || !ws)
		return 0;
	oldest = queue_look(c, pipe, &ends, &head);
	if (oldest &&
	    request_answered(c, requests_of(c), oldest, ends, head, ws, error))
		return 1;
	if (!queued(&c->ring_ends) && !queued(&c->pipeline_ends) && c->overflow) {
		__sync_fetch_and_add(&c->overflow, -1);
		balance_ended(c, 1);
	}
	return 0;
}

/* Counts the request that the last step finished, if it did. Apart from that step,
 * so that the depths of the two do not add up. */
static __always_inline void conversation_settle(const struct conversation *c,
						struct workspace *ws)
{
	if (!ws->finished)
		return;
	ws->finished = 0;
	if (ws->sample.key.service == TALLY_SERVICE_OTHER)
		missed(TALLY_MISSED_PROCESS_FULL, 1);
	tally_count(&ws->sample);
	balance_ended(c, 1);
}
