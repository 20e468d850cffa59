/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* direction.bpf.h - the two directions of a conversation, what they carry, and whose
 * they are: one thread's at a time, another one waits for it. */
#pragma once

#include "conversation.h"
#include "maps.bpf.h"

/* The longest that a thread waits for another one. The verifier wants a bound that is
 * no time: 16 times 8 looks, 24 readings of the clock between two, are 3,200 readings,
 * which take longer where one takes 16 ns or more (45 in a virtual machine). */
#define AWAIT_NS 50000
#define AWAIT_WATCHES 16
#define WATCH_LOOKS 8
#define PAUSE 24 /* readings of the clock: some 0.4 us, 1.1 in a virtual machine */

static __always_inline bool carries_requests(const struct conversation *c,
					     __u32 direction)
{
	return (c->role == TALLY_ROLE_SERVER) == (direction == DIRECTION_READ);
}

static __always_inline struct direction *direction_of(struct conversation *c,
						      __u32 direction)
{
	return &c->directions[direction & 1];
}

static __always_inline struct direction *requests_of(struct conversation *c)
{
	return &c->directions[c->role == TALLY_ROLE_SERVER ? DIRECTION_READ
							   : DIRECTION_WRITE];
}

/* Not before all that was written in it. An x86 processor keeps that order, so that it
 * is only the compiler who must. */
static __always_inline void direction_give(struct direction *d)
{
	barrier();
	*(volatile __u32 *)&d->busy = 0;
}

static __always_inline bool direction_is_busy(const struct direction *d)
{
	return *(const volatile __u32 *)&d->busy != 0;
}

/* Whether it is the caller's now. */
static __always_inline bool direction_take(struct direction *d)
{
	return !__sync_lock_test_and_set(&d->busy, 1);
}

/* Reading the clock is what a program can do to let time pass. */
static __always_inline void let_time_pass(void)
{
#pragma unroll
	for (__u32 i = 0; i < PAUSE; i++)
		bpf_ktime_get_ns();
}

/* Until nobody is in this direction, or it is until_ns, or for a part of the time up to
 * then. */
__noinline int direction_watch(struct direction *d, __u64 until_ns)
{
	if (!d)
		return 0;
	for (__u32 i = 0; i < WATCH_LOOKS; i++) {
		if (!direction_is_busy(d) || bpf_ktime_get_ns() > until_ns)
			break;
		let_time_pass();
	}
	return 0;
}

/* Another thread is in this direction, for some thousand instructions: waited for, of
 * two calls one is looked at after the other. Which was first nobody says; but who
 * moves a part of a message does so alone, or it would be none. False: it takes too
 * long, for that thread's processor is a virtual one that does not run now, or has
 * interrupts to see to, or it was preempted (preempt.bpf.h: where that cannot be kept
 * from it). */
__noinline int direction_await(struct direction *d)
{
	const __u64 until_ns = bpf_ktime_get_ns() + AWAIT_NS;
	bool taken = false;

	if (!d)
		return 0;
	*(volatile __u8 *)&d->awaited = 1; /* a gap for the other may be these bytes */
	for (__u32 i = 0; i < AWAIT_WATCHES && !config.no_waiting; i++) {
		direction_watch(d, until_ns);
		taken = direction_take(d);
		if (taken || bpf_ktime_get_ns() > until_ns)
			break;
	}
	*(volatile __u8 *)&d->awaited = 0;
	if (!taken)
		*(volatile __u8 *)&d->unseen = 1;
	return taken;
}

/* False for a thread that waited in vain for another one in its direction, which is
 * left to the next to come (`unseen`): it changes nothing in what is another's. */
static __always_inline bool enter(struct direction *d)
{
	return direction_take(d) || direction_await(d);
}
