/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * conversation.bpf.h - the rules of a conversation: recognises its protocol, pairs
 * responses with requests, hands the pairs to the tally, and says what is lost
 * when the pairing cannot hold. feed.bpf.h brings it the bytes.
 *
 * Times. A request read begins with the call that read its first byte, a
 * message written with the *start* of the send that carried its first byte: on
 * loopback the peer runs inside that send. It ends with the call that moved its
 * last byte.
 *
 * Out of step. Bytes nobody saw inside a head, or a message that breaks the
 * rules, put the direction into HTTP1_SEEK until a call begins with a message
 * start. Each request this costs is in the ledger once: at once for the request
 * we know of, by its response for those we never saw (`paid` keeps the account).
 */
#pragma once

#include "early.bpf.h"
#include "owner.bpf.h"
#include "parse/detect.h"

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct conversation);
} conversations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pipeline);
} pipelines SEC(".maps");

#define EMPTY_LINES_MAX 8 /* characters of them */

enum feed_result {
	FEED_AGAIN,
	FEED_DONE,           /* the segment, or the call, is used up */
	FEED_WANTS_PIPELINE, /* make one, then feed on */
	FEED_SKIP,           /* nothing in the rest of this call is for us */
};

/* --- the ends of messages ----------------------------------------------------- */

static __always_inline void response_end(struct conversation *c, struct direction *d,
					 struct pipeline *pipe, struct workspace *ws,
					 __u64 now_ns)
{
	if (d->orphan) {
		d->orphan = 0;
	} else {
		c->answer.end_ns = now_ns;
		c->answer.body_bytes = d->body_bytes;
		if (early_ends(c, pipe))
			early_pair(c, pipe, ws, false);
		else
			conversation_answered(c, pipe, ws, TALLY_ERROR_NONE);
	}
	note_refusal(c, requests_of(c));
	d->begun_ns = 0;
	d->body_bytes = 0;
}

static __always_inline void request_end(struct conversation *c, struct direction *d,
					struct pipeline *pipe)
{
	struct inflight *newest = queue_newest(c, pipe);

	if (newest && !newest->whole) {
		newest->body_bytes = d->body_bytes;
		newest->whole = 1;
	}
	d->begun_ns = 0;
	d->body_bytes = 0;
	d->answered = 0;
}

static __always_inline void message_end(struct conversation *c, struct direction *d,
					struct pipeline *pipe, struct workspace *ws,
					__u64 now_ns)
{
	if (d->http1.responses)
		response_end(c, d, pipe, ws, now_ns);
	else
		request_end(c, d, pipe);
}

/* Queues the request under way. False: make a pipeline and call again. What this,
 * request_end and response_end do, request_repeats and response_repeats do in one
 * step (repeat.bpf.h). */
static __always_inline bool request_push(struct conversation *c, struct direction *d,
					 struct pipeline *pipe)
{
	struct inflight *slot = queue_slot(c, pipe);
	bool lineless;

	if (!slot && !pipe && !c->overflow)
		return false;
	balance_begun(c);
	c->request_seen = 1;
	c->orphan_reason = 0;
	if (!slot) {
		missed(TALLY_MISSED_PIPELINE_FULL, 1);
		__sync_fetch_and_add(&c->overflow, 1);
		return true;
	}
	slot->service = service_of(c);
	slot->pid = c->pid;
	slot->start_ns = d->begun_ns;
	lineless =
	    d->http1.phase == HTTP1_START; /* answered before its line was whole */
	slot->route = lineless ? TALLY_ROUTE_NONE : c->route;
	slot->queue_ns = c->queue_ns;
	slot->method = lineless ? TALLY_METHOD_OTHER : d->http1.method;
	slot->body_bytes = 0;
	slot->whole = 0;
	if (slot == &c->ring[c->ring_ends.tail & (RING_SLOTS - 1)])
		__sync_fetch_and_add(&c->ring_ends.tail, 1);
	else
		__sync_fetch_and_add(&c->pipeline_ends.tail, 1);
	return true;
}

/* --- losing and finding step --------------------------------------------------- */

/* A body that was refused never came: what comes is the next request, or such a
 * body all the same. */
static __always_inline void request_refused(struct conversation *c, struct direction *d,
					    struct pipeline *pipe)
{
	c->refused = 0;
	if (d->body_bytes || !http1_awaits_continue(&d->http1))
		return;
	request_end(c, d, pipe);
	d->http1.phase = HTTP1_SEEK;
}

/* Whether the request of this place was answered, though not yet counted: no response
 * to it is to come. */
static __always_inline bool is_answered(__u32 early, __u32 place)
{
	return (early_is(early, EARLY_DONE) || early_is(early, EARLY_TAKEN)) &&
	       early_stands_at(early, place);
}

/* Every request in flight is lost for `reason`; what is to answer them is paid for. */
__noinline int drop_waiting(struct conversation *c, __u32 reason)
{
	__u32 kept, early, place;
	bool answered;

	if (!c)
		return 0;
	early = early_of(c);
	place = queue_place(c);
	kept = queue_empty(&c->ring_ends) + queue_empty(&c->pipeline_ends);
	answered = kept && is_answered(early, place);
	if (answered)
		early_leave(c, early);
	c->paid += kept + c->overflow - answered;
	balance_ended(c, kept + c->overflow);
	c->overflow = 0;
	if (reason < TALLY_MISSED_COUNT)
		missed(reason, kept);
	return 0;
}

static __always_inline int give_up(struct conversation *c, __u32 reason)
{
	drop_waiting(c, TALLY_MISSED_LOST_SYNC); /* what was asked ahead */
	early_disown(c, early_of(c), TALLY_MISSED_NO_REQUEST);
	if (reason < TALLY_MISSED_COUNT)
		missed(reason, 1);
	c->state = CONVERSATION_OPAQUE;
	return FEED_SKIP;
}

/* It passes from an observed process to one that is not, or back. */
static __always_inline void conversation_forget(struct conversation *c, __u32 state,
						__u32 reason)
{
	drop_waiting(c, reason);
	early_disown(c, early_of(c), reason);
	c->paid = 0;
	c->role = TALLY_ROLE_UNKNOWN;
	c->addressed = 0;
	c->turns = 0;
	c->state = (__u8)state;
	for (__u32 i = 0; i < 2; i++) {
		struct direction *d = &c->directions[i];

		d->positioned = 0;
		d->http1.phase = HTTP1_SEEK;
		d->http1.skip_line = 0;
		d->carry_len = 0;
		d->begun_ns = 0;
		d->body_bytes = 0;
		d->head.len = 0;
		d->orphan = d->answered = d->malformed = d->wants_push = 0;
	}
}

/* Looks the process up; true when it is observed. */
__noinline int conversation_claim(struct conversation *c, __u32 pid,
				  __u32 now_generation)
{
	struct tally_process *entry;
	bool ignored, other;

	if (!c)
		return 0;
	other = c->pid != pid; /* else it was judged meanwhile: nothing is lost */
	entry = bpf_map_lookup_elem(&processes, &pid);
	ignored = entry ? entry->flags & TALLY_PROCESS_IGNORED : config.ignore_unknown;
	c->pid = pid;
	c->generation = now_generation;
	c->service = entry ? entry->service : 0;
	if (pid == config.self_pid)
		ignored = true;
	if (ignored)
		c->ready_ns = 0;
	if (ignored && c->state != CONVERSATION_IGNORED)
		conversation_forget(c, CONVERSATION_IGNORED,
				    other ? TALLY_MISSED_HANDED_OVER
					  : TALLY_MISSED_COUNT);
	else if (!ignored && c->state == CONVERSATION_IGNORED)
		conversation_forget(c, CONVERSATION_UNKNOWN, TALLY_MISSED_COUNT);
	return !ignored;
}

/* Bytes of this direction went by that we could not read, or not understand. */
__noinline int conversation_lose(struct conversation *c, __u32 direction, __u32 reason)
{
	struct direction *d;
	bool waits;
	__u32 early;

	if (!c)
		return 0;
	early = early_of(c);
	d = direction_of(c, direction);
	d->carry_len = 0;
	d->http1.skip_line = 0;
	if (c->state != CONVERSATION_HTTP1 && c->state != CONVERSATION_CANDIDATE)
		return 0;
	if (d->http1.phase == HTTP1_SEEK)
		return 0;
	waits = d->http1.phase > HTTP1_HEADERS; /* queued; its response counts it */
	d->http1.phase = HTTP1_SEEK;
	c->orphan_reason = reason;
	if (!d->http1.responses) {
		d->answered = 0;
		if (!waits) {
			missed(reason, 1);
			c->paid++;
		}
	} else if (d->orphan) {
		d->orphan = 0; /* is in the ledger already */
	} else if (early_is(early, EARLY_BEGUN) && !waiting(c)) {
		early_lose(c, early, reason);
	} else {
		if (early_is(early, EARLY_BEGUN)) /* its request was told meanwhile */
			early_leave(c, early);
		drop_waiting(c, reason);
		if (c->paid && d->begun_ns)
			c->paid--; /* the one under way has been seen */
	}
	d->begun_ns = 0;
	d->body_bytes = 0;
	return 0;
}

/* A call of this direction went by, or some of it, and nobody knows what began in it: a
 * message under way is lost; requests are counted by their responses, so that one which
 * may or may not be in it costs nothing now. Only for whom the direction belongs to. */
static __always_inline void conversation_lose_unknown(struct conversation *c,
						      __u32 direction, __u32 reason)
{
	struct direction *d = direction_of(c, direction);

	d->unseen = 0; /* first: another one may come */
	if (d->http1.phase == HTTP1_START && !d->http1.responses && !d->begun_ns) {
		d->http1.phase = HTTP1_SEEK;
		c->orphan_reason = reason;
	} else {
		conversation_lose(c, direction, reason);
	}
}

/* A workspace for a call of this direction, which is lost when as many programs run at
 * once as there are: NULL then. */
static __always_inline struct workspace *workspace_for(struct conversation *c,
						       __u32 direction)
{
	struct workspace *ws = workspace_take();

	if (!ws)
		conversation_lose(c, direction, TALLY_MISSED_CONCURRENT_IO);
	return ws;
}

/* The message under way broke the rules. A request may still be answered (400),
 * and is then counted with that status: the ledger waits for it. */
static __always_inline void
conversation_malformed(struct conversation *c, struct pipeline *pipe, __u32 direction)
{
	struct direction *d = direction_of(c, direction);

	if (c->state == CONVERSATION_CANDIDATE && d->http1.responses) {
		/* what looked like a request was not answered in HTTP */
		drop_waiting(c, TALLY_MISSED_COUNT);
		c->state = CONVERSATION_OPAQUE;
		return;
	}
	if (d->http1.responses) {
		conversation_lose(c, direction, TALLY_MISSED_MALFORMED);
		return;
	}
	d->carry_len = 0;
	d->http1.skip_line = 0;
	if (d->http1.phase > HTTP1_HEADERS) { /* in its body: it waits already */
		d->http1.phase = HTTP1_SEEK;
		request_end(c, d, pipe);
		return;
	}
	d->malformed = 1;
	if (d->http1.phase == HTTP1_START) {
		c->route = TALLY_ROUTE_NONE;
		d->http1.method = TALLY_METHOD_OTHER;
	}
	d->http1.phase = HTTP1_SEEK;
}

/* A part of a body went by, until d->last_ns. Only the end of a response takes a
 * workspace. */
static __always_inline void body_passed(struct conversation *c, struct direction *d,
					struct pipeline *pipe, __u32 direction,
					__u64 len)
{
	struct workspace *ws;

	d->body_bytes += len;
	if (!http1_skip(&d->http1, len))
		return;
	if (!d->http1.responses) {
		request_end(c, d, pipe);
		return;
	}
	ws = workspace_for(c, direction);
	if (!ws)
		return;
	response_end(c, d, pipe, ws, d->last_ns);
	conversation_settle(c, ws);
	workspace_give(ws);
}

/* Bytes of a known number but without a window, the last of them at last_ns of their
 * direction: bodies advance, heads are lost. */
__noinline int conversation_advance(struct conversation *c, struct pipeline *pipe,
				    __u32 direction, __u64 len, __u32 reason)
{
	struct direction *d;
	__u64 skip;

	if (!c)
		return 0;
	d = direction_of(c, direction);
	skip = http1_skippable(&d->http1, len);
	if (skip)
		body_passed(c, d, pipe, direction, skip);
	len -= skip;
	if (len && reason == TALLY_MISSED_LOST_SYNC && (d->unseen || d->awaited))
		conversation_lose_unknown(c, direction, TALLY_MISSED_CONCURRENT_IO);
	else if (len)
		conversation_lose(c, direction, reason);
	return 0;
}

/* --- the head of a message ------------------------------------------------------ */

/* Puts what is left of the window back, so that it is read again. */
static __always_inline void window_return(struct window *w, struct chunk *chunk)
{
	__u32 rest = w->len - w->pos;

	if (rest <= WINDOW_BYTES) {
		chunk->base -= rest;
		chunk->len += rest;
	}
	w->len = w->pos = 0;
}

__noinline int request_line(struct conversation *c, struct workspace *ws)
{
	struct direction *d;
	struct chunk *chunk;
	struct window *w;
	__u32 len, service;
	__u64 hash;

	if (!c || !ws)
		return 0;
	chunk = &ws->call.chunk;
	w = &ws->window;
	d = direction_of(c, chunk->direction);
	d->http1.phase = HTTP1_HEADERS;
	if (d->http1.method == TALLY_METHOD_CONNECT) {
		c->route = TALLY_ROUTE_NONE;
		return 0;
	}
	len = route_normalise(w, &ws->route, d->http1.target_start, d->http1.target_end,
			      d->http1.target_cut);
	if (!len) { /* "http://host": RFC 9112 section 3.2.1 sends "/" */
		w->bytes[0] = '/';
		len = 1;
	}
	service = service_of(c);
	hash = route_hash(w, len, config.seed);
	if (hash == c->route && service == c->route_service)
		return 0;
	if (!route_known(service, hash)) {
		window_return(w, chunk);
		hash = route_insert(ws, len, service, hash);
		w->len = w->pos = 0;
	}
	c->route = hash;
	c->route_service = service;
	return 0;
}

static __always_inline bool is_sending(const struct conversation *c,
				       const struct chunk *chunk)
{
	if (c->role != TALLY_ROLE_CLIENT)
		return false;
	return *(volatile __u64 *)&c->sending.began_ns != 0 ||
	       (config.late_tcp_sends && chunk->is_writing);
}

/* Not before a first request, when it may answer one from before our time, nor where
 * one was lost that it may answer. */
static __always_inline bool may_be_sending(const struct conversation *c)
{
	return config.late_unix_sends && c->is_unix && c->role == TALLY_ROLE_CLIENT &&
	       c->request_seen && !c->paid && !c->orphan_reason &&
	       c->state == CONVERSATION_HTTP1;
}

/* A function of its own, so that the verifier need not follow each way it can go. */
__noinline int is_answerable(struct conversation *c, struct pipeline *pipe)
{
	return c && (c->overflow || queue_oldest(c, pipe));
}

/* A response begins: which request does it answer? Whether a send is under way is
 * looked at first: its end is marked after its request is queued, so that one of
 * the two shows. Likewise what ends the connection says so before it empties the
 * queues. */
static __always_inline void response_begins(struct conversation *c, struct direction *d,
					    struct workspace *ws, struct pipeline *pipe)
{
	struct direction *requests = requests_of(c);
	bool sending = is_sending(c, &ws->call.chunk);
	/* first: it is over when its request is taken */
	bool early = early_of(c) != EARLY_NONE;
	bool answerable = is_answerable(c, pipe);

	/* Was the early one's request told just now? Else, of two, whose is it? */
	if (early &&
	    (answerable || !early_disown(c, early_of(c), TALLY_MISSED_NO_REQUEST))) {
		early_pair(c, pipe, ws, true);
		answerable = is_answerable(c, pipe);
	}
	if (answerable)
		return;
	if (sending) {
		c->answer.early = EARLY_BEGUN;
		return;
	}
	if (requests->begun_ns && !requests->answered &&
	    requests->http1.phase <= HTTP1_HEADERS) {
		/* before its head was complete, or because it was no request */
		if (request_push(c, requests, pipe)) {
			requests->answered = 1;
			requests->malformed = 0;
			if (requests->http1.phase == HTTP1_SEEK)
				request_end(c, requests, pipe);
			return;
		}
	}
	if (may_be_sending(c)) {
		early_presume(c);
		return;
	}
	d->orphan = 1;
	barrier(); /* the state by now, not as it was read before the queues */
	if (c->state == CONVERSATION_OPAQUE) /* its request was counted just now */
		return;
	if (c->paid)
		c->paid--;
	else if (c->orphan_reason)
		missed(c->orphan_reason, 1);
	else
		missed(c->request_seen ? TALLY_MISSED_NO_REQUEST
				       : TALLY_MISSED_JOINED_MIDWAY,
		       1);
}

__noinline int status_line(struct conversation *c, struct workspace *ws,
			   struct pipeline *pipe)
{
	struct direction *d;

	if (!c || !ws)
		return 0;
	d = direction_of(c, ws->call.chunk.direction);
	d->http1.phase = HTTP1_HEADERS;
	if (c->state == CONVERSATION_CANDIDATE)
		c->state = CONVERSATION_HTTP1;
	if (d->http1.status < 200 && d->http1.status != 101)
		return 0;
	response_begins(c, d, ws, pipe);
	if (!d->orphan) {
		c->answer.status = d->http1.status;
		c->answer.first_ns = d->begun_ns;
	}
	return 0;
}

static __always_inline void response_head(struct conversation *c, struct direction *d,
					  struct workspace *ws, struct pipeline *pipe)
{
	struct inflight *request = d->orphan ? NULL : queue_oldest(c, pipe);
	int body = http1_head(&d->http1, request ? request->method : TALLY_METHOD_GET);

	switch (body) {
	case HTTP1_BODY_INTERIM:
		d->begun_ns = 0;
		break;
	case HTTP1_BODY_TUNNEL:
		response_end(c, d, pipe, ws, ws->call.chunk.now_ns);
		early_pair(c, pipe, ws, true);
		drop_waiting(c, TALLY_MISSED_LOST_SYNC);
		c->state = CONVERSATION_TUNNEL;
		break;
	case HTTP1_BODY_NONE:
		response_end(c, d, pipe, ws, ws->call.chunk.now_ns);
		break;
	default:
		/* it may answer a HEAD we did not see, and have no body at all */
		if (d->orphan && !waiting(c) && d->http1.phase != HTTP1_UNTIL_CLOSE) {
			response_end(c, d, pipe, ws, ws->call.chunk.now_ns);
			d->http1.phase = HTTP1_SEEK;
		}
		break;
	}
}

/* False: wants a pipeline first. */
static __always_inline bool request_head(struct conversation *c, struct direction *d,
					 struct pipeline *pipe)
{
	if (!d->answered && !request_push(c, d, pipe)) {
		d->wants_push = 1;
		return false;
	}
	d->wants_push = 0;
	if (http1_head(&d->http1, TALLY_METHOD_OTHER) == HTTP1_BODY_NONE)
		request_end(c, d, pipe);
	return true;
}

/* The response under way is to a HEAD: it has no body, as one thought who did not know
 * that. Not while its reader is there, who may just learn it. */
__noinline int early_meets_head(struct conversation *c, struct pipeline *pipe,
				struct workspace *ws)
{
	struct direction *d;

	if (!c || !ws)
		return 0;
	d = &c->directions[DIRECTION_READ];
	if (!direction_take(d))
		return 0;
	if (early_is(early_of(c), EARLY_BEGUN) && d->begun_ns && !d->body_bytes &&
	    d->http1.phase > HTTP1_HEADERS) {
		d->http1.phase = HTTP1_START;
		response_end(c, d, pipe, ws, d->last_ns);
	}
	direction_give(d);
	return 0;
}

static __always_inline bool is_head(const struct inflight *request)
{
	return request && request->method == TALLY_METHOD_HEAD;
}

/* Completes the pair of a response that waits, if all is known of it. Without a
 * workspace that stays open, until the next send, response or end. */
__noinline int early_look(struct conversation *c, struct pipeline *pipe)
{
	struct workspace *ws;

	if (!c)
		return 0;
	if (!waiting(c)) {
		if (!is_being_told(c))
			early_meets_none(c);
		return 0;
	}
	ws = workspace_take();
	if (!ws)
		return 0;
	if (is_head(queue_oldest(c, pipe)))
		early_meets_head(c, pipe, ws);
	early_pair(c, pipe, ws, false);
	conversation_settle(c, ws);
	workspace_give(ws);
	return 0;
}

/* --- recognising ----------------------------------------------------------------- */

static __always_inline bool port_selected(const struct conversation *c)
{
	__u16 port = c->role == TALLY_ROLE_SERVER ? c->local_port : c->remote_port;

	if (!config.port_count)
		return true;
	for (__u32 i = 0; i < TALLY_PORTS_MAX; i++)
		if (i < config.port_count && config.ports[i] == port)
			return true;
	return false;
}

/* The protocol is known, by a message in `direction`. */
static __always_inline void commit_role(struct conversation *c, __u32 role,
					__u32 direction)
{
	c->role = (__u8)role;
	for (__u32 i = 0; i < 2; i++) {
		struct direction *d = &c->directions[i];

		d->http1.phase = HTTP1_START;
		d->http1.skip_line = 0;
		d->http1.responses = !carries_requests(c, i);
		d->head.len = 0;
		if (i != direction) { /* what looked like a beginning there was none */
			d->carry_len = 0;
			d->begun_ns = 0;
		}
	}
}

/* reader: the role of the end that read such a message; who wrote it has the other. */
static __always_inline void commit(struct conversation *c, const struct chunk *chunk,
				   __u32 state, __u32 reader)
{
	const __u32 writer = TALLY_ROLE_SERVER + TALLY_ROLE_CLIENT - reader;

	c->state = (__u8)state;
	commit_role(c, chunk->direction == DIRECTION_READ ? reader : writer,
		    chunk->direction);
}

/* The first byte of a message. */
static __always_inline void message_begins(struct conversation *c, struct direction *d,
					   const struct chunk *chunk)
{
	if (d->begun_ns)
		return;
	d->begun_ns = chunk->began_ns;
	if (chunk->direction == DIRECTION_READ)
		c->queue_ns = chunk->queue_ns;
}

static __always_inline int not_recognised(struct conversation *c, struct direction *d,
					  __u32 direction)
{
	if (!d->malformed)
		d->begun_ns = 0;
	d->carry_len = 0;
	d->http1.phase = HTTP1_SEEK;
	if (c->state != CONVERSATION_UNKNOWN)
		return FEED_SKIP;
	if (!c->turns || c->last_direction != direction) {
		c->last_direction = (__u8)direction;
		if (++c->turns > DETECT_TURNS)
			c->state = CONVERSATION_OPAQUE;
	}
	return FEED_SKIP;
}

static __always_inline void skip_empty_lines(struct window *w)
{
	for (__u32 i = 0; i < EMPTY_LINES_MAX; i++) {
		__u8 c = window_byte(w, w->pos);

		if (c != '\r' && c != '\n')
			break;
		w->pos++;
	}
}

/* Behind an upgrade or CONNECT the client speaks first, in both of what we name. */
static __always_inline int tunnel_detect(struct conversation *c, struct direction *d,
					 const struct chunk *chunk,
					 const struct window *w)
{
	if (!carries_requests(c, chunk->direction))
		return FEED_SKIP;
	switch (detect(w, &d->http1)) {
	case DETECT_MORE:
		return FEED_AGAIN;
	case DETECT_TLS:
		return give_up(c, TALLY_MISSED_TLS);
	case DETECT_HTTP2:
		return give_up(c, TALLY_MISSED_HTTP2);
	default:
		return give_up(c, TALLY_MISSED_COUNT);
	}
}

/* The first bytes of a call while out of step. FEED_AGAIN: in step now. */
__noinline int conversation_detect(struct conversation *c, struct workspace *ws)
{
	struct direction *d;
	struct chunk *chunk;
	struct window *w;
	bool known, requests;
	int result;

	if (!c || !ws)
		return FEED_SKIP;
	chunk = &ws->call.chunk;
	w = &ws->window;
	d = direction_of(c, chunk->direction);
	d->http1.phase = HTTP1_SEEK;
	if (c->state == CONVERSATION_TUNNEL)
		return tunnel_detect(c, d, chunk, w);
	known = c->state != CONVERSATION_UNKNOWN;
	requests = known && carries_requests(c, chunk->direction);
	if (!known) {
		detect_skip_proxy(w);
		skip_empty_lines(w); /* RFC 9112 section 2.2: before a request */
	}
	if (w->pos >= w->len)
		return FEED_AGAIN;
	result =
	    known && !requests ? detect_response(w, &d->http1) : detect(w, &d->http1);
	d->http1.responses = known && !requests;
	switch (result) {
	case DETECT_MORE:
		message_begins(c, d, chunk);
		return FEED_AGAIN;
	case DETECT_REQUEST:
		if (known && !requests)
			return not_recognised(c, d, chunk->direction);
		if (!known)
			commit(c, chunk, CONVERSATION_CANDIDATE, TALLY_ROLE_SERVER);
		break;
	case DETECT_RESPONSE:
		if (known && requests)
			return not_recognised(c, d, chunk->direction);
		if (!known)
			commit(c, chunk, CONVERSATION_HTTP1, TALLY_ROLE_CLIENT);
		break;
	case DETECT_TLS:
		return known ? not_recognised(c, d, chunk->direction)
			     : give_up(c, TALLY_MISSED_TLS);
	case DETECT_HTTP2:
		return known ? not_recognised(c, d, chunk->direction)
			     : give_up(c, TALLY_MISSED_HTTP2);
	default:
		return not_recognised(c, d, chunk->direction);
	}
	d->http1.phase = HTTP1_START;
	if (d->malformed) { /* the one before was never answered */
		d->malformed = 0;
		d->begun_ns = 0;
		missed(TALLY_MISSED_MALFORMED, 1);
	}
	return port_selected(c) ? FEED_AGAIN : give_up(c, TALLY_MISSED_COUNT);
}

/* --- the end of a connection -------------------------------------------------- */

/* A response that only closing ends is complete, unless the connection broke. */
static __always_inline void end_until_close(struct conversation *c, struct direction *d,
					    struct pipeline *pipe, struct workspace *ws,
					    __u64 now_ns)
{
	if (d->http1.phase != HTTP1_UNTIL_CLOSE || !d->begun_ns)
		return;
	d->http1.phase = HTTP1_SEEK;
	response_end(c, d, pipe, ws, now_ns);
	conversation_settle(c, ws);
}

static __always_inline void no_answer(struct conversation *c)
{
	c->answer.status = 0;
	c->answer.first_ns = 0;
	c->answer.body_bytes = 0;
}

/* The oldest request in flight ends with its connection; the next one has no answer at
 * all. False: there is none. A function of its own, for the verifier walks the loop. */
__noinline int request_broken(struct conversation *c, struct pipeline *pipe,
			      struct workspace *ws)
{
	if (!c || !ws || !conversation_answered(c, pipe, ws, TALLY_ERROR_CLOSED))
		return 0;
	conversation_settle(c, ws);
	no_answer(c);
	return 1;
}

/* Everything in flight ends here, without (or with half) a response. ws: NULL when
 * nothing is. */
__noinline int conversation_broken(struct conversation *c, struct pipeline *pipe,
				   struct workspace *ws, __u64 now_ns)
{
	struct direction *requests, *responses;
	bool followed;
	__u32 early;

	if (!c || !c->role)
		return 0;
	followed = c->state == CONVERSATION_CANDIDATE || c->state == CONVERSATION_HTTP1;
	c->state = CONVERSATION_OPAQUE; /* first: response_begins */
	requests = requests_of(c);
	responses =
	    requests == &c->directions[0] ? &c->directions[1] : &c->directions[0];
	if (ws) {
		early_pair(c, pipe, ws, true);
		conversation_settle(c, ws);
		early = early_of(c);
		if (early_is(early, EARLY_BEGUN)) /* half of the oldest one's */
			early_leave(c, early);
	}
	c->answer.end_ns = now_ns;
	if (responses->begun_ns && !responses->orphan) {
		c->answer.body_bytes = responses->body_bytes;
	} else {
		no_answer(c);
	}
	if (ws && followed)
		for (__u32 i = 0; i < RING_SLOTS + PIPELINE_SLOTS; i++)
			if (!request_broken(c, pipe, ws))
				break;
	if (early_is(early_of(c), EARLY_DONE) || !ws)
		early_disown(c, early_of(c), TALLY_MISSED_NO_REQUEST);
	if (requests->malformed)
		missed(TALLY_MISSED_MALFORMED, 1);
	balance_ended(c, c->overflow);
	c->overflow = 0;
	return 0;
}
