/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * window.bpf.h - which user memory a call moved. A msghdr names it, where the hook
 * has one; the rest is found through the saved registers of the system call, which
 * still hold its arguments. An io_uring request may complete on the way out of any
 * other call of its thread: then those are not its arguments, and ax, which is
 * -ENOSYS inside a call, tells.
 */
#pragma once

#include "conversation.h"
#include "maps.bpf.h"

#define ENOSYS 38
#define IOV_MAX 1024 /* the kernel's UIO_MAXIOV */
#define REVERT_STEPS 128
#define MMSG_SEGMENTS 64

/* x86-64 system call numbers */
enum {
	NR_READ = 0,
	NR_WRITE = 1,
	NR_READV = 19,
	NR_WRITEV = 20,
	NR_SENDTO = 44,
	NR_RECVFROM = 45,
	NR_SENDMSG = 46,
	NR_RECVMSG = 47,
	NR_GETSOCKOPT = 55, /* TCP_ZEROCOPY_RECEIVE */
	NR_SPLICE = 275,
	NR_RECVMMSG = 299,
	NR_SENDMMSG = 307,
	NR_PREADV2 = 327,
	NR_PWRITEV2 = 328,
	NR_IO_URING_ENTER = 426,
};

/* The user's struct msghdr, struct mmsghdr (UAPI: stable) */
struct user_msghdr {
	__u64 name, namelen, iov, iovlen, control, controllen, flags;
};
#define USER_MMSGHDR_BYTES 64
#define USER_MMSGHDR_LEN 56 /* offset of msg_len */

static __always_inline void source_from_msghdr(struct source *s, __u64 address)
{
	struct user_msghdr header;

	if (bpf_probe_read_user(&header, sizeof(header), (void *)address)) {
		s->missing = TALLY_MISSED_READ_FAULT;
		return;
	}
	s->kind = SOURCE_USER_IOVEC;
	s->base = header.iov;
	s->segments = (__u32)header.iovlen;
}

/* An array and the length of the last entry in it, as one number. */
static __always_inline __u32 mmsg_sign(__u64 array, __u32 len)
{
	return (__u32)(array >> 3) + len * 0x9e3779b1;
}

/* Whether less was sent than an entry has, of whose segments MMSG_SEGMENTS are looked
 * at: the call is over then. */
__noinline int mmsg_is_cut(__u64 entry, __u32 moved)
{
	struct source s = {};
	__u64 segment[2], sum = 0;

	source_from_msghdr(&s, entry);
	for (__u32 i = 0; i < MMSG_SEGMENTS && i < s.segments; i++) {
		if (bpf_probe_read_user(segment, sizeof(segment),
					(void *)(s.base + i * sizeof(segment))))
			return 0;
		sum += segment[1];
		if (sum > moved)
			return 1;
	}
	return 0;
}

/* How many entries the call is to move at most: net/socket.c. */
static __always_inline __u32 mmsg_count(const struct pt_regs *regs)
{
	const __u32 count = (__u32)regs->dx;

	return regs->orig_ax == NR_SENDMMSG && count > IOV_MAX ? IOV_MAX : count;
}

/* recvmmsg and sendmmsg tell nobody which entry they are at. We count, those too that
 * move nothing or only a body: a call ends at vlen, with an error, or with an entry
 * that was sent in part, all of which we see; and the length that the kernel wrote into
 * the entry before must be the one we saw. A timeout would end it unseen: then there is
 * no telling, unless there is but one entry. Returns where this one is. */
static __always_inline __u64 mmsg_entry(struct conversation *c,
					const struct pt_regs *regs, __u32 moved)
{
	const bool sends = regs->orig_ax == NR_SENDMMSG;
	const __u32 count = mmsg_count(regs);
	struct mmsg *call = &c->mmsg[sends];
	const __u64 array = regs->si;
	__u32 index = call->index, before = 0;
	__u64 entry;

	if (index) {
		bpf_probe_read_user(&before, sizeof(before),
				    (void *)(array + (index - 1) * USER_MMSGHDR_BYTES +
					     USER_MMSGHDR_LEN));
		if (mmsg_sign(array, before) != call->sign || index >= count)
			index = 0;
	}
	entry = array + (__u64)index * USER_MMSGHDR_BYTES;
	call->sign = mmsg_sign(array, moved);
	index++;
	call->index =
	    index >= count || (sends && mmsg_is_cut(entry, moved)) ? 0 : index;
	return entry;
}

/* Why the saved registers are not the arguments of `call`, one that moves bytes of this
 * thread; TALLY_MISSED_COUNT: they are. */
static __always_inline __u32 registers_lack(const struct task_struct *task,
					    const struct pt_regs *regs,
					    unsigned long call)
{
	if (task->flags & (PF_IO_WORKER | PF_KTHREAD))
		return task->flags & PF_IO_WORKER ? TALLY_MISSED_IO_URING
						  : TALLY_MISSED_NO_WINDOW;
	if (regs->ax != (unsigned long)-ENOSYS) /* entry_64.S: until it returns */
		return TALLY_MISSED_IO_URING;
	if (task->thread_info.status & TS_COMPAT)
		return TALLY_MISSED_COMPAT;
	return call == NR_IO_URING_ENTER ? TALLY_MISSED_IO_URING : TALLY_MISSED_COUNT;
}

static __always_inline void source_from_registers(struct source *s,
						  struct conversation *c,
						  struct task_struct *task, __u32 moved)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	const unsigned long call = regs->orig_ax; /* each look is checked, so one */
	__u32 lack = registers_lack(task, regs, call);

	s->kind = SOURCE_NONE;
	s->skip = 0;
	s->missing = TALLY_MISSED_NO_WINDOW;
	if (lack != TALLY_MISSED_COUNT) {
		s->missing = (__u8)lack;
		return;
	}
	switch (call) {
	case NR_READ:
	case NR_WRITE:
	case NR_RECVFROM:
	case NR_SENDTO:
		s->kind = SOURCE_BUFFER;
		s->base = regs->si;
		break;
	case NR_READV:
	case NR_WRITEV:
	case NR_PREADV2:
	case NR_PWRITEV2:
		s->kind = SOURCE_USER_IOVEC;
		s->base = regs->si;
		s->segments = (__u32)regs->dx;
		break;
	case NR_RECVMSG:
	case NR_SENDMSG:
		source_from_msghdr(s, regs->si);
		break;
	case NR_RECVMMSG:
		if (regs->r8 && regs->dx > 1)
			break;
		/* fall through */
	case NR_SENDMMSG:
		source_from_msghdr(s, mmsg_entry(c, regs, moved));
		break;
	default:
		break;
	}
}

static __always_inline bool is_mmsg(unsigned long call)
{
	return call == NR_RECVMMSG || call == NR_SENDMMSG;
}

/* Whether this thread is in a call of several messages. */
static __always_inline bool in_mmsg(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	const unsigned long call = regs->orig_ax;

	return is_mmsg(call) && registers_lack(task, regs, call) == TALLY_MISSED_COUNT;
}

/* A message whose bytes nobody looks for is an entry all the same. A function of its
 * own: few come here. */
__noinline int mmsg_pass(struct conversation *c, __u32 moved)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	if (c && in_mmsg())
		mmsg_entry(c, regs, moved);
	return 0;
}

/* Where the bytes of a call of one buffer are; 0: it is of another kind, or has none.
 */
static __always_inline __u64 buffer_from_registers(struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	const unsigned long call = regs->orig_ax;

	if (call > NR_RECVFROM ||
	    !((1ull << NR_READ | 1ull << NR_WRITE | 1ull << NR_SENDTO |
	       1ull << NR_RECVFROM) >>
		  call &
	      1) ||
	    registers_lack(task, regs, call) != TALLY_MISSED_COUNT)
		return 0;
	return regs->si;
}

/* Where its first len bytes are; 0: not in one piece, or user memory says so. */
static __always_inline __u64 source_begins(const struct source *s, __u32 len)
{
	if (s->kind == SOURCE_BUFFER)
		return s->base + s->skip;
	if (s->kind == SOURCE_KERNEL_IOVEC && s->first[1] >= s->skip + len)
		return s->first[0] + s->skip;
	return 0;
}

/* Calls that take bytes out of a TCP socket without sock_recv_length. */
static __always_inline bool bytes_leave_unseen(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs;

	if (task->flags & (PF_KTHREAD | PF_IO_WORKER))
		return false;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	return regs->orig_ax == NR_SPLICE || regs->orig_ax == NR_GETSOCKOPT;
}

/* Since 6.0; before, one buffer is an array of one. */
static __always_inline bool is_buffer(__u8 type)
{
	return bpf_core_enum_value_exists(enum iter_type, ITER_UBUF) &&
	       type == bpf_core_enum_value(enum iter_type, ITER_UBUF);
}

static __always_inline bool is_array(__u8 type)
{
	return type == bpf_core_enum_value(enum iter_type, ITER_IOVEC);
}

static __always_inline const struct iovec *iter_array(const struct msghdr *msg)
{
	const struct iov_iter___before_6_4 *old = (const void *)&msg->msg_iter;

	if (bpf_core_field_exists(msg->msg_iter.__iov))
		return msg->msg_iter.__iov;
	return old->iov;
}

/* Since 6.2 (commit a35b9af4ec2c); with it, plain loads instead of a call. */
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

static __always_inline void first_segment(const struct iovec *array,
					  __u64 ret_segment[2])
{
	const struct iovec *first;

	if (!bpf_rdonly_cast) {
		bpf_probe_read_kernel(ret_segment, 16, array);
		return;
	}
	first = bpf_rdonly_cast(array, bpf_core_type_id_kernel(struct iovec));
	ret_segment[0] = (__u64)first->iov_base;
	ret_segment[1] = first->iov_len;
}

/* At the start of a send: for every caller, io_uring and 32-bit ones too. The
 * array is kernel memory and outlives the send (net/socket.c frees it after
 * sock_send_length), though the iterator itself moves on. */
static __always_inline void source_from_message(struct source *s,
						const struct msghdr *msg)
{
	const __u8 type = msg->msg_iter.iter_type; /* each look is checked, so one */

	s->kind = SOURCE_NONE;
	s->missing = TALLY_MISSED_NO_WINDOW;
	s->skip = msg->msg_iter.iov_offset;
	if (is_buffer(type)) {
		s->kind = SOURCE_BUFFER;
		s->base = (__u64)msg->msg_iter.ubuf;
	} else if (is_array(type)) {
		const struct iovec *array = iter_array(msg);

		s->kind = SOURCE_KERNEL_IOVEC;
		s->base = (__u64)array;
		first_segment(array, s->first);
		s->segments = (__u32)msg->msg_iter.nr_segs;
	}
}

/* s stands behind `moved` bytes: back towards the first of them, as lib/iov_iter.c's
 * iov_iter_revert() goes, by at most REVERT_STEPS segments. Returns the bytes that
 * are still to go back from there. The array is kernel memory. */
__noinline __u32 source_revert(struct source *s, __u32 moved)
{
	__u64 len = 0;

	if (!s)
		return moved;
	for (__u32 i = 0; i < REVERT_STEPS && moved > s->skip; i++) {
		moved -= (__u32)s->skip;
		s->base -= sizeof(struct iovec);
		if (bpf_probe_read_kernel(&len, sizeof(len),
					  (void *)(s->base + sizeof(len))))
			break;
		s->skip = len;
		s->segments++;
	}
	return moved;
}

/* At the end of a receive: the iterator stands behind what came. A function of its own,
 * or what it holds adds to the stack of all that the hook calls. */
static __noinline void source_from_received(struct source *s, const struct msghdr *msg,
					    __u32 moved)
{
	source_from_message(s, msg);
	if (s->kind == SOURCE_KERNEL_IOVEC) {
		for (__u32 i = 0; i < IOV_MAX / REVERT_STEPS && moved > s->skip; i++)
			moved = source_revert(s, moved);
		first_segment((const struct iovec *)s->base, s->first);
	}
	s->skip -= moved;
}

/* Segment i of an iovec array. */
static __always_inline int source_segment(const struct source *s, __u32 i,
					  __u64 ret_segment[2])
{
	void *at = (void *)(s->base + (__u64)i * 16);

	if (!i && s->kind == SOURCE_KERNEL_IOVEC) {
		ret_segment[0] = s->first[0];
		ret_segment[1] = s->first[1];
		return 0;
	}
	if (s->kind == SOURCE_KERNEL_IOVEC)
		return (int)bpf_probe_read_kernel(ret_segment, 16, at);
	return (int)bpf_probe_read_user(ret_segment, 16, at);
}
