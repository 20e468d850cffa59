/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * preempt.bpf.h - keeps a program whole where the kernel may preempt it (Linux 7.0:
 * tracepoints run under SRCU). Until a preempted program goes on, the kernel skips it
 * for everybody else on that processor: its count of runs under way, prog->active, is
 * not zero. Two means against that; without config.preemptible they are dead code.
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
	__uint(max_entries, (MARKS * TALLY_HOOK_COUNT));
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

/* Where this thread's mark is, and what names the event there. The verifier takes a
 * difference of pointers as a number, but shifts no pointer. */
static __always_inline __u64 *mark_of(enum tally_hook hook, const struct sock *sk,
				      __u64 *ret_event)
{
	__u32 thread = (__u32)bpf_get_current_pid_tgid();
	__u32 index = (thread & (MARKS - 1)) + hook * MARKS;
	__u64 *mark = bpf_map_lookup_elem(&marks, &index);

	if (mark)
		*ret_event = mark_event((__u64)sk - (__u64)mark, thread);
	return mark;
}

static __always_inline void leave_mark(enum tally_hook hook, const struct sock *sk)
{
	__u64 event, *mark;

	if (!config.preemptible)
		return;
	mark = mark_of(hook, sk, &event);
	if (mark)
		*(volatile __u64 *)mark = event | TURNS;
}

static __always_inline bool is_done(enum tally_hook hook, const struct sock *sk,
				    enum turn turn)
{
	__u64 event, *mark = mark_of(hook, sk, &event);

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

#define FIRST(hook, sk, work) WHOLE((leave_mark(hook, sk), work))

#define AGAIN(hook, sk, turn, work) (is_done(hook, sk, turn) ? 0 : WHOLE(work))
