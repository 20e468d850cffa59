/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * mark.h - what the first program of a hook leaves for those that stand in for it
 * (preempt.bpf.h): which event it saw to, a thread and a socket. A mark is one word,
 * and changed by exchange: threads that share a place see each other's marks whole.
 * Pure: tests/unit/test_mark.c shows what becomes of an event.
 */
#pragma once

#include "../include/types.h"

#define MARKS 8192 /* places of a hook: threads, by their lowest bits */

/* A bit each; the order is that in which they are called. The first has none, and on
 * functions there are three more. */
enum turn { TURN_SECOND = 1, TURN_THIRD = 2, TURN_SIXTH = 16, TURNS = 31 };

#define MARK_THREAD 0x3fe0ull /* the other bits of a thread's number, which has 22 */

/* An event of this thread, whose turns are none yet; 0 is no event's. socket: any
 * number of which the lower 50 bits tell one socket from others. */
PURE_INLINE __u64 mark_event(__u64 socket, __u32 thread)
{
	return socket << 14 | ((thread / MARKS << 5) & MARK_THREAD);
}

/* Whether the event was seen to; if not, it is on the caller, whose turn it is, and
 * those behind it are told. In doubt it was: another thread's mark hides it. */
PURE_INLINE bool mark_is_done(__u64 *mark, __u64 event, __u32 turn)
{
	const __u64 found = *(volatile __u64 *)mark;
	__u64 left = event | (TURNS & ~(2 * turn - 1));
	bool done = false;

	if (found && ((found ^ event) & MARK_THREAD))
		return true;
	if ((found & ~(__u64)TURNS) == event && (found & turn)) {
		left = found & ~(__u64)turn;
		done = true;
	}
	return __sync_val_compare_and_swap(mark, found, left) != found || done;
}
