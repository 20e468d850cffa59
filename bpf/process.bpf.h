/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * process.bpf.h - the lives of processes that the process map knows. A child
 * is its parent's service before it runs (prefork servers need no /proc); a new
 * program is a stranger again, though it stays selected if that was by pid; the
 * dead leave, so that a reused pid inherits nothing.
 */
#pragma once

#include "maps.bpf.h"

static __always_inline int forked(const struct task_struct *parent,
				  const struct task_struct *child)
{
	__u32 pid = child->tgid, parent_pid = parent->tgid;
	struct tally_process *entry;
	struct tally_process copy;
	int err;

	if (pid == parent_pid) /* a thread */
		return 0;
	entry = bpf_map_lookup_elem(&processes, &parent_pid);
	if (!entry)
		return 0;
	copy = *entry;
	err = insert(&processes, &pid, &copy);
	if (err == -EEXIST) /* of one that died unseen */
		err = (int)bpf_map_update_elem(&processes, &pid, &copy, BPF_EXIST);
	if (err)
		missed(TALLY_MISSED_PROCESS_FULL, 1);
	return 0;
}

static __always_inline int executed(const struct task_struct *task)
{
	__u32 pid = task->tgid;
	struct tally_process *entry = bpf_map_lookup_elem(&processes, &pid);

	if (!entry)
		return 0;
	if (entry->flags & TALLY_PROCESS_PINNED) {
		entry->flags = TALLY_PROCESS_PINNED | TALLY_PROCESS_UNNAMED;
		entry->service = 0;
	} else {
		bpf_map_delete_elem(&processes, &pid);
	}
	/* its sockets may live on under the same pid: ask again */
	__sync_fetch_and_add(&generation, 1);
	return 0;
}

static __always_inline int exited(const struct task_struct *task)
{
	__u32 pid = task->tgid;

	if (task->signal->live.counter) /* threads are left */
		return 0;
	bpf_map_delete_elem(&processes, &pid);
	return 0;
}
