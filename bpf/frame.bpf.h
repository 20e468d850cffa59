/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * frame.bpf.h - calls under way. A frame is what was known at the entry of a call
 * until its return comes; it is found by rule, function and stack pointer, never by
 * order: a thread may run on several stacks (coroutines, signal handlers). Those of a
 * thread go with the thread; those of goroutines the daemon sweeps when their process
 * is gone.
 */
#pragma once

#include "function.bpf.h"

struct thread_frames {
	__u32 count;
	__u32 reserved;
	struct tally_function_frame frames[TALLY_FUNCTION_FRAMES];
};

/* Goes with the thread. (A session's cookie has room for the start alone, and a latency
 * by it was no cheaper: 865 to 891 ns a call, with frames 873 to 893.) */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread_frames);
} thread_frames SEC(".maps");

/* Full: the call is in the ledger. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_GOROUTINE_FRAMES);
	__type(key, struct tally_goroutine_key);
	__type(value, struct tally_function_frame);
} goroutine_frames SEC(".maps");

static __always_inline struct tally_function_frame *
frame_at(struct thread_frames *frames, __u64 i)
{
	if (i >= TALLY_FUNCTION_FRAMES)
		return NULL;
	asm volatile("" : "+r"(i)); /* what is added is what was checked */
	return &frames->frames[i];
}

static __always_inline bool frame_is(const struct tally_function_frame *frame,
				     __u32 rule, __u32 function, __u64 sp)
{
	return frame->sp == sp && frame->rule == rule && frame->function == function;
}

/* Its index, TALLY_FUNCTION_FRAMES when there is none; the last ones first, which
 * return first. */
__noinline __u64 frame_find(struct thread_frames *frames, __u32 rule, __u32 function,
			    __u64 sp)
{
	__u64 index;

	if (!frames)
		return TALLY_FUNCTION_FRAMES;
	index = frames->count;
	for (__u32 i = 0; i < TALLY_FUNCTION_FRAMES; i++) {
		struct tally_function_frame *frame = frame_at(frames, --index);

		if (!frame)
			break;
		if (frame_is(frame, rule, function, sp))
			return index;
	}
	return TALLY_FUNCTION_FRAMES;
}

/* No room left: calls whose place the stack has left by now were abandoned. (On
 * another stack of this thread they may not be; then their returns find no frame, and
 * that is in the ledger too.) */
__noinline int frames_reclaim(struct thread_frames *frames, __u64 sp)
{
	if (!frames)
		return 0;
	for (__u32 i = 0; i < TALLY_FUNCTION_FRAMES; i++) {
		/* downwards: the last one, which fills the gap, was looked at */
		const __u32 index = TALLY_FUNCTION_FRAMES - 1 - i;
		struct tally_function_frame *frame = frame_at(frames, index);
		struct tally_function_frame *last =
		    frame_at(frames, (__u64)frames->count - 1);

		if (!frame || !last || index >= frames->count || frame->sp >= sp)
			continue;
		function_missed(TALLY_FUNCTION_ABANDONED);
		*frame = *last;
		frames->count--;
	}
	return 0;
}

/* False: it is not kept, and its return is of no use. */
static __always_inline bool thread_enter(const struct tally_function_frame *frame)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_frames *frames;
	struct tally_function_frame *to;
	__u64 index;

	frames = task_storage(&thread_frames, task, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!frames) {
		function_missed(TALLY_FUNCTION_NO_MEMORY);
		return false;
	}
	index = frame_find(frames, frame->rule, frame->function, frame->sp);
	to = frame_at(frames, index);
	if (to) { /* left by longjmp or an exception */
		function_missed(TALLY_FUNCTION_ABANDONED);
		*to = *frame;
		return true;
	}
	if (frames->count >= TALLY_FUNCTION_FRAMES)
		frames_reclaim(frames, frame->sp);
	to = frame_at(frames, frames->count);
	if (!to) {
		function_missed(TALLY_FUNCTION_TOO_DEEP);
		return false;
	}
	*to = *frame;
	frames->count++;
	return true;
}

/* Takes the frame out; false: there is none. */
static __always_inline bool thread_leave(__u32 rule, __u32 function, __u64 sp,
					 struct tally_function_frame *ret_frame)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_frames *frames = task_storage(&thread_frames, task, 0);
	struct tally_function_frame *frame, *last;

	if (!frames)
		return false;
	frame = frame_at(frames, frame_find(frames, rule, function, sp));
	last = frame_at(frames, (__u64)frames->count - 1);
	if (!frame || !last)
		return false;
	*ret_frame = *frame;
	if (frame != last)
		*frame = *last;
	frames->count--;
	return true;
}

/* Then the last calls are not held, and are in the ledger; they return first. */
static __always_inline bool thread_is_full(void)
{
	struct thread_frames *frames =
	    task_storage(&thread_frames, bpf_get_current_task_btf(), 0);

	return frames && frames->count >= TALLY_FUNCTION_FRAMES;
}

/* What a goroutine is known by when it changes threads, and its stack places. */
static __always_inline bool goroutine_key(struct pt_regs *regs, __u32 rule,
					  __u32 function,
					  struct tally_goroutine_key *ret_key)
{
	__u64 stack_end;

	/* struct g begins with its stack's bounds {lo, hi}, in every release */
	if (bpf_probe_read_user(&stack_end, sizeof(stack_end),
				(void *)(regs->r14 + 8))) {
		function_missed(TALLY_FUNCTION_FAULT);
		return false;
	}
	ret_key->pid = (__u32)(bpf_get_current_pid_tgid() >> 32);
	ret_key->rule = rule;
	ret_key->function = function;
	ret_key->reserved = 0;
	ret_key->g = regs->r14;
	ret_key->depth = stack_end - regs->sp;
	return true;
}

static __always_inline void goroutine_enter(struct pt_regs *regs,
					    const struct tally_function_frame *frame)
{
	struct tally_goroutine_key key;
	int err;

	if (!goroutine_key(regs, frame->rule, frame->function, &key))
		return;
	err = insert(&goroutine_frames, &key, frame);
	if (err == -EEXIST) { /* left by a panic, or the end of its goroutine */
		function_missed(TALLY_FUNCTION_ABANDONED);
		err = (int)bpf_map_update_elem(&goroutine_frames, &key, frame, BPF_ANY);
	}
	if (err)
		function_missed(err == -E2BIG ? TALLY_FUNCTION_TOO_DEEP
					      : TALLY_FUNCTION_NO_MEMORY);
}

static __always_inline bool goroutine_leave(struct pt_regs *regs, __u32 rule,
					    __u32 function,
					    struct tally_function_frame *ret_frame)
{
	struct tally_goroutine_key key;
	struct tally_function_frame *frame;

	if (!goroutine_key(regs, rule, function, &key))
		return false;
	frame = bpf_map_lookup_elem(&goroutine_frames, &key);
	if (!frame)
		return false;
	*ret_frame = *frame;
	bpf_map_delete_elem(&goroutine_frames, &key);
	return true;
}
