/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * early.bpf.h - responses before their requests. A client of two threads may read a
 * response before the send of its request is over, which is when we are told of that
 * request. The response waits then (EARLY_DONE), and whoever of the two threads is
 * second completes the pair (early_settle, early_meets_send in conversation.bpf.h).
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

#include "queue.bpf.h"

/* A send that is told later than this after a response was not under way when that was
 * read. More than a thread waits for its processor: a quota's periods are of 100 ms. */
#define EARLY_MAX_NS 250000000
#define EARLY_AWAIT_TURNS 8
#define PAUSE 24 /* readings of the clock: some 0.4 us, 1.1 in a virtual machine */

/* Reading the clock is what a program can do to let time pass. */
static __always_inline void let_time_pass(void)
{
#pragma unroll
	for (__u32 i = 0; i < PAUSE; i++)
		bpf_ktime_get_ns();
}

static __always_inline void early_presume(struct conversation *c)
{
	c->presumed_by = (__u32)bpf_get_current_pid_tgid();
	balance_begun(c);
	c->answer.early = EARLY_BEGUN;
}

/* Nothing is presumed any more. */
static __always_inline void early_over(struct conversation *c)
{
	if (!c->presumed_by)
		return;
	c->presumed_by = 0;
	balance_ended(c, 1);
}

static __always_inline bool early_was_wrong(const struct conversation *c, __u64 send_ns)
{
	if (!c->presumed_by)
		return false;
	if (c->presumed_by == (__u32)bpf_get_current_pid_tgid())
		return true;
	return c->answer.early == EARLY_DONE &&
	       send_ns > c->answer.end_ns + EARLY_MAX_NS;
}

/* A response that waits for its request, or the pair of which is being counted. */
static __always_inline bool early_is_whole(const struct conversation *c)
{
	__u32 early = *(const volatile __u32 *)&c->answer.early;

	return early == EARLY_DONE || early == EARLY_TAKEN;
}

/* Until the pair is counted, by the thread that sent: some hundred instructions, and an
 * interrupt may come between. */
__noinline int early_await(const struct conversation *c)
{
	if (!c)
		return 0;
	for (__u32 i = 0; i < EARLY_AWAIT_TURNS; i++) {
		if (*(const volatile __u32 *)&c->answer.early != EARLY_TAKEN)
			break;
		let_time_pass();
	}
	return 0;
}

/* The response answers none of the requests to come. If one was lost meanwhile, it was
 * that one's, which is in the ledger. */
__noinline int early_disown(struct conversation *c, __u32 reason)
{
	__u32 early;

	if (!c)
		return 0;
	early = *(volatile __u32 *)&c->answer.early;
	if (early == EARLY_NONE || early == EARLY_TAKEN ||
	    __sync_val_compare_and_swap(&c->answer.early, early, EARLY_NONE) != early)
		return 0;
	early_over(c);
	if (early == EARLY_LOST)
		return 0;
	if (early == EARLY_BEGUN)
		c->directions[DIRECTION_READ].orphan = 1;
	if (c->paid)
		c->paid--;
	else if (reason < TALLY_MISSED_COUNT)
		missed(reason, 1);
	return 0;
}

/* The response under way is lost, and with it its request, which is still to come. */
static __always_inline void early_lose(struct conversation *c, __u32 reason)
{
	c->answer.early = EARLY_LOST;
	missed(reason, 1);
}
