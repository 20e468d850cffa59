/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * early.bpf.h - responses before their requests. A client of two threads may read a
 * response before the send of its request is over, which is when we are told of that
 * request, or of the rest of its body. The response waits then: `answer.early` says so,
 * and which place its request has among all of the connection.
 *
 * Nobody waits for another thread. Whoever comes across a pair that is whole begins to
 * count it (EARLY_TAKEN), and whoever comes across one that is being counted goes on
 * with it; the exchange on the queue's head says whose sample counts. Who has set
 * EARLY_DONE looks whether its request is being told, and who tells one looks for
 * EARLY_DONE when that is over: one of the two sees the other (early_look, beside the
 * ends of messages in conversation.bpf.h).
 *
 * Whether a send is under way is known where the kernel tells that one begins. Where
 * it does not, the position tells with TCP (is_writing in socket.bpf.h). On a Unix
 * socket nothing does before the peer is woken, and a peer that is awake may answer
 * before: there a response that nothing else explains presumes a request.
 *
 * It was wrong when the thread that read it is the one that sends next, for who is in
 * a send reads nothing; when the next send is much later; when another response comes
 * first, or the end of the connection. Then the response is in the ledger, as one
 * without a request. On Unix sockets, which end without a hook, it is a request in
 * flight until then, so that the balance has it.
 */
#pragma once

#include "answered.bpf.h"

/* A send that is told later than this after a response was not under way when that was
 * read. More than a thread waits for its processor: a quota's periods are of 100 ms. */
#define EARLY_MAX_NS 250000000
#define EARLY_REST_BYTES 1048576 /* servers refuse longer ones (nginx: by default) */

static __always_inline __u32 early_of(const struct conversation *c)
{
	return *(const volatile __u32 *)&c->answer.early;
}

static __always_inline bool early_is(__u32 early, enum early_state state)
{
	return (early & EARLY_STATE) == state;
}

/* False: another thread was first. */
static __always_inline bool early_change(struct conversation *c, __u32 from, __u32 to)
{
	return __sync_val_compare_and_swap(&c->answer.early, from, to) == from;
}

/* `early` in another state, of the response whose request takes place `at`. */
static __always_inline __u32 early_word(__u32 early, enum early_state state, __u32 at)
{
	return at << EARLY_PLACE_SHIFT | (early & EARLY_PRESUMED) | state;
}

/* Whether its request takes this place. */
static __always_inline bool early_stands_at(__u32 early, __u32 at)
{
	return !((early ^ at << EARLY_PLACE_SHIFT) >> EARLY_PLACE_SHIFT);
}

static __always_inline void early_presume(struct conversation *c)
{
	c->presumed_by = (__u32)bpf_get_current_pid_tgid();
	balance_begun(c);
	c->answer.early = EARLY_BEGUN | EARLY_PRESUMED;
}

/* Nothing is early any more, nor presumed. False: another thread was first. */
static __always_inline bool early_leave(struct conversation *c, __u32 early)
{
	if (!early_change(c, early, EARLY_NONE))
		return false;
	if (early & EARLY_PRESUMED)
		balance_ended(c, 1);
	return true;
}

static __always_inline bool early_was_wrong(const struct conversation *c, __u32 early,
					    __u64 send_ns)
{
	if (!(early & EARLY_PRESUMED))
		return false;
	if (c->presumed_by == (__u32)bpf_get_current_pid_tgid())
		return true;
	return early_is(early, EARLY_DONE) && send_ns > c->answer.end_ns + EARLY_MAX_NS;
}

/* The response that `early` says answers none of the requests to come. If one was lost
 * meanwhile, it was that one's, which is in the ledger. False: it is another by now. */
__noinline int early_disown(struct conversation *c, __u32 early, __u32 reason)
{
	if (!c)
		return 0;
	if (early == EARLY_NONE)
		return 1;
	if (!early_leave(c, early))
		return 0;
	if (early_is(early, EARLY_LOST) || early_is(early, EARLY_TAKEN))
		return 1;
	if (early_is(early, EARLY_BEGUN))
		c->directions[DIRECTION_READ].orphan = 1;
	if (c->paid)
		c->paid--;
	else if (reason < TALLY_MISSED_COUNT)
		missed(reason, 1);
	return 1;
}

/* The response under way is lost, and with it its request, which is still to come. */
static __always_inline void early_lose(struct conversation *c, __u32 early,
				       __u32 reason)
{
	if (early_change(c, early, early_word(early, EARLY_LOST, queue_place(c))))
		missed(reason, 1);
}

/* Whether a send of this client is being told, or is to be. */
static __always_inline bool is_being_told(const struct conversation *c)
{
	if (c->role != TALLY_ROLE_CLIENT)
		return false;
	return direction_is_busy(&c->directions[DIRECTION_WRITE]) ||
	       *(const volatile __u64 *)&c->sending.began_ns;
}

/* Whether the rest of this request, the last one, is known soon: not where so much is
 * to be sent that the send may block. */
static __always_inline bool is_in_part(const struct conversation *c,
				       const struct inflight *request)
{
	const struct direction *d = &c->directions[DIRECTION_WRITE];

	if (request->whole || !is_being_told(c))
		return false;
	return direction_is_busy(d) ||
	       (d->http1.phase == HTTP1_BODY && d->http1.remaining <= EARLY_REST_BYTES);
}

/* Begins to count this pair, or goes on with it. Returns what `early` says meanwhile;
 * 0: the rest of the request is to come, or another thread is done with it. */
static __always_inline __u32 early_take(struct conversation *c, __u32 early,
					const struct inflight *request, __u32 place,
					bool at_once)
{
	const __u32 taken = early_word(early, EARLY_TAKEN, place);

	if (early_is(early, EARLY_DONE)) {
		if (!at_once && is_in_part(c, request))
			return 0;
		if (!early_change(c, early, taken) && early_of(c) != taken)
			return 0;
	}
	return taken;
}

/* Completes the pair of a response that waits, to be counted by the caller's
 * conversation_settle, if its request is told. at_once: the next response is here, or
 * the end of the connection; else the rest of that request is waited for. */
__noinline int early_pair(struct conversation *c, struct pipeline *pipe,
			  struct workspace *ws, bool at_once)
{
	const struct direction *requests;
	const struct inflight *request;
	struct queue_ends *ends;
	__u32 early, head, place;

	if (!c || !ws)
		return 0;
	requests = &c->directions[DIRECTION_WRITE]; /* a client's */
	early = early_of(c); /* first: whoever takes its request leaves it afterwards */
	if (early == EARLY_NONE || early_is(early, EARLY_BEGUN))
		return 0;
	request = queue_look(c, pipe, &ends, &head);
	place = queue_place(c); /* then: who took one before that is seen */
	if (early_stands_at(early, place)) {
		if (!request)
			return 0;
		if (early_is(early, EARLY_LOST)) {
			balance_ended(c, queue_take(ends, head));
		} else {
			early = early_take(c, early, request, place, at_once);
			if (!early)
				return 0;
			request_answered(c, requests, request, ends, head, ws,
					 TALLY_ERROR_NONE);
			note_refusal(c, requests);
		}
	}
	early_leave(c, early);
	return 0;
}

/* A response is complete: whether it is early_pair's, or nobody's any more, for it
 * was disowned just now. False: it answers the oldest request. */
__noinline int early_ends(struct conversation *c, struct pipeline *pipe)
{
	const struct inflight *request;
	__u32 early, place;

	if (!c)
		return 0;
	early = early_of(c);
	place = queue_place(c);
	request = queue_oldest(c, pipe);
	if (early_is(early, EARLY_BEGUN)) {
		/* or it is in a pipeline that this call has not seen yet */
		if (!request && !c->overflow) {
			early_change(c, early, early_word(early, EARLY_DONE, place));
			return true;
		}
		if (!early_leave(c, early)) /* else its request was told meanwhile */
			return true;
	}
	if (!request || !is_in_part(c, request))
		return false;
	__sync_lock_test_and_set(&c->answer.early, early_word(0, EARLY_DONE, place));
	return true;
}

/* Nothing in the send counts as a request: the answer to what it said instead. */
static __always_inline void early_meets_none(struct conversation *c)
{
	struct direction *requests = requests_of(c);
	const __u32 early = early_of(c);

	if (!early_is(early, EARLY_DONE))
		return;
	if (requests->malformed) {
		requests->malformed = 0;
		requests->begun_ns = 0;
		early_disown(c, early, TALLY_MISSED_MALFORMED);
	} else if (c->paid) {
		early_disown(c, early, TALLY_MISSED_COUNT);
	}
}

/* A send that began at began_ns is over, and it is known what is in it: is it what was
 * answered before? */
static __always_inline void early_meets_send(struct conversation *c, __u64 began_ns)
{
	const __u32 early = early_of(c);

	if (early_was_wrong(c, early, began_ns))
		early_disown(c, early, TALLY_MISSED_NO_REQUEST);
	else if (!waiting(c))
		early_meets_none(c);
}

/* Whether a response waits, for whoever is done with a direction: what it gave is seen
 * by all before this looks. */
static __always_inline bool early_is_there(struct conversation *c)
{
	return c->role == TALLY_ROLE_CLIENT &&
	       __sync_fetch_and_add(&c->answer.early, 0) != EARLY_NONE;
}
