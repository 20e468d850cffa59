/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* owner.bpf.h - whose connection it is: the process that moves its bytes, and the
 * service that process is counted under. Tells the daemon of a process that it has
 * not named yet. */
#pragma once

#include "conversation.h"
#include "maps.bpf.h"

/* Full: the daemon learns of the process at its next collection. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TALLY_EVENT_BYTES);
} events SEC(".maps");

/* None of a file that is itself mounted: /proc has the name of where it is. */
static __always_inline void read_exe(struct mm_struct *mm, char *ret_exe)
{
	struct file *file = mm ? mm->exe_file : NULL;

	ret_exe[0] = 0;
	if (file && file->f_path.dentry != file->f_path.mnt->mnt_root)
		bpf_probe_read_kernel_str(ret_exe, TALLY_EXE_LEN,
					  file->f_path.dentry->d_name.name);
}

static __always_inline void announce(__u32 pid, __u32 service)
{
	struct tally_process_event *event;
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;
	__u64 args_len;

	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		missed(TALLY_MISSED_EVENT_FULL, 1);
		return;
	}
	event->pid = pid;
	event->service = service;
	event->reserved = 0;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	read_exe(mm, event->exe);
	event->args_len = 0;
	args_len = mm ? mm->arg_end - mm->arg_start : 0;
	if (args_len > sizeof(event->args)) /* behind it lies the environment */
		args_len = sizeof(event->args);
	if (args_len &&
	    !bpf_probe_read_user(event->args, (__u32)args_len, (void *)mm->arg_start))
		event->args_len = (__u32)args_len;
	bpf_ringbuf_submit(event, 0);
}

/* The service of a process nobody has named: a provisional one. */
static __always_inline __u32 provisional_service(__u32 pid)
{
	struct tally_process entry = {}, *there;

	entry.service = TALLY_SERVICE_PROVISIONAL |
			(__u32)(__sync_fetch_and_add(&counters.next_service, 1) + 1);
	if (!insert(&processes, &pid, &entry)) {
		announce(pid, entry.service);
		return entry.service;
	}
	there = bpf_map_lookup_elem(&processes, &pid);
	if (!there)
		return TALLY_SERVICE_OTHER;
	if (!(there->flags & TALLY_PROCESS_UNNAMED) ||
	    __sync_val_compare_and_swap(&there->service, 0, entry.service))
		return there->service;
	announce(pid, entry.service);
	return entry.service;
}

/* Called by the process itself, when a request of it is recognised. */
static __always_inline __u32 service_of(struct conversation *c)
{
	if (!c->service)
		c->service = provisional_service(c->pid);
	return c->service;
}
