/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * preempt.bpf.h - keeps a program whole where the kernel may preempt it: on tracepoints
 * since Linux 7.0, which runs them under SRCU; on functions wherever the kernel itself
 * is preemptible, as with PREEMPT_RT. Until a preempted program goes on, the kernel
 * skips it for everybody else on that processor: its count of runs under way,
 * prog->active, is not zero. Three means against that; without config.preemptible the
 * first two are dead code, and the last is not loaded where functions are not
 * preempted.
 *
 * WHOLE: no preemption while we work. What came due meanwhile must not happen where it
 * is allowed again either, for that is still inside. So it is allowed again with
 * interrupts off: preempt_enable() then leaves the matter alone (preemptible() is
 * false), turning them on does not look at it, and the next to look is behind us. What
 * remains are some 80 instructions around the work, of thousands.
 *
 * FIRST and AGAIN: three programs on one hook, called in turn for each event. The first
 * does the work and leaves a mark for the others; who finds none does what the first
 * was skipped for. A mark (mark.h) names the thread and the socket, so it is of this
 * event, or is stale: its program was skipped before it could take it. That costs an
 * event only if all programs before are skipped for the next one. Two threads may share
 * a place: who finds the other's mark takes the work as done. So no transfer is worked
 * on twice. An arrival may be, when another arrives in an interrupt between the turns
 * and leaves its mark in the place of the thread it interrupts: that changes nothing.
 *
 * TURNS: the same on a function, whose program cannot be kept from being preempted
 * before 6.14, so that it takes more of them. Each is a few instructions, and calls the
 * one program that does the work as its own tail: the kernel does not look whether that
 * is under way already. The one attached last is called first (hlist_add_head() in
 * bpf_trampoline_link_prog()), hence their order.
 */
#pragma once

#include "maps.bpf.h"
#include "mark.h"

extern void bpf_preempt_disable(void) __ksym __weak;              /* Linux 6.10 */
extern void bpf_preempt_enable(void) __ksym __weak;               /* Linux 6.10 */
extern void bpf_local_irq_save(unsigned long *) __ksym __weak;    /* Linux 6.14 */
extern void bpf_local_irq_restore(unsigned long *) __ksym __weak; /* Linux 6.14 */

/* Of one entry where no program can be preempted. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, (MARKS * TALLY_HOOK_KINDS));
	__type(key, __u32);
	__type(value, __u64);
} marks SEC(".maps");

static __always_inline void preempt_hold(void)
{
	if (config.preemptible)
		bpf_preempt_disable();
}

static __always_inline void preempt_release(void)
{
	unsigned long flags;

	if (!config.preemptible)
		return;
	bpf_local_irq_save(&flags);
	bpf_preempt_enable();
	bpf_local_irq_restore(&flags);
}

/* A thread is at one hook of a kind at a time: they share its place. */
static __always_inline __u32 kind_of(enum tally_hook hook)
{
	switch (hook) {
	case TALLY_HOOK_UNIX_RECEIVED:
		return TALLY_HOOK_RECEIVED;
	case TALLY_HOOK_UNIX_SENT:
	case TALLY_HOOK_PAGE_SENT:
	case TALLY_HOOK_UNIX_PAGE_SENT:
		return TALLY_HOOK_SENT;
	case TALLY_HOOK_UNIX_SEND_BEGINS:
		return TALLY_HOOK_SEND_BEGINS;
	default:
		return hook;
	}
}

/* Where this thread's mark is, and what names the event there. The verifier takes a
 * difference of pointers as a number, but shifts no pointer. */
static __always_inline __u64 *mark_of(enum tally_hook hook, const void *socket,
				      __u64 *ret_event)
{
	__u32 thread = (__u32)bpf_get_current_pid_tgid();
	__u32 index = (thread & (MARKS - 1)) + kind_of(hook) * MARKS;
	__u64 *mark = bpf_map_lookup_elem(&marks, &index);

	if (mark)
		*ret_event = mark_event((__u64)socket - (__u64)mark, thread);
	return mark;
}

static __always_inline void leave_mark(enum tally_hook hook, const void *socket)
{
	__u64 event, *mark = mark_of(hook, socket, &event);

	if (mark)
		*(volatile __u64 *)mark = event | TURNS;
}

static __always_inline bool is_done(enum tally_hook hook, const void *socket,
				    enum turn turn)
{
	__u64 event, *mark = mark_of(hook, socket, &event);

	if (!mark || mark_is_done(mark, event, turn))
		return true;
	__sync_fetch_and_add(&counters.stood_in[hook], 1);
	return false;
}

#define WHOLE(work)                                                                    \
	({                                                                             \
		preempt_hold();                                                        \
		work;                                                                  \
		preempt_release();                                                     \
		0;                                                                     \
	})

/* One look at the configuration for both: each takes instructions where all else that
 * depends on it is dead code. */
#define FIRST(hook, sk, work)                                                          \
	({                                                                             \
		if (config.preemptible) {                                              \
			bpf_preempt_disable();                                         \
			leave_mark(hook, sk);                                          \
		}                                                                      \
		work;                                                                  \
		preempt_release();                                                     \
		0;                                                                     \
	})

#define AGAIN(hook, sk, turn, work) (is_done(hook, sk, turn) ? 0 : WHOLE(work))

/* Whether the work is for this turn, the first of which is 1. */
static __always_inline bool is_turn(enum tally_hook hook, const void *socket,
				    __u32 turn)
{
	if (turn > 1)
		return !is_done(hook, socket, (enum turn)(1 << (turn - 2)));
	leave_mark(hook, socket);
	return true;
}

/* 0, but the verifier does not know: for an index that it knows the kernel patches each
 * call when the array is filled and emptied, and waits for RCU each time: more than
 * ten emulated seconds when the programs go. */
static __always_inline __u32 unknown_zero(void)
{
	return (__u32)bpf_get_current_pid_tgid() >> 31; /* a thread's id has 22 bits */
}

#define TURN(hook, program, section, turn)                                             \
	SEC(section) int program##_##turn(__u64 *context)                              \
	{                                                                              \
		if (is_turn(hook, (void *)context[0], turn))                           \
			bpf_tail_call(context, &program##_whole, unknown_zero());      \
		return 0;                                                              \
	}

/* Of a function whose first argument is the socket. */
#define TURNS_OF(hook, program, section)                                               \
	struct {                                                                       \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                 \
		__uint(max_entries, 1);                                                \
		__type(key, __u32);                                                    \
		__type(value, __u32);                                                  \
	} program##_whole SEC(".maps");                                                \
	TURN(hook, program, section, 6)                                                \
	TURN(hook, program, section, 5)                                                \
	TURN(hook, program, section, 4)                                                \
	TURN(hook, program, section, 3)                                                \
	TURN(hook, program, section, 2)                                                \
	TURN(hook, program, section, 1)
