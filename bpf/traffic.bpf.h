/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * traffic.bpf.h - bytes that processes move over TCP, whatever they say. TCP counts
 * them itself: nothing is added up while they move, a socket's totals are carried over
 * when it ends, and in the daemon's pass over all sockets. Owns the map of the sums.
 *
 * What a socket moved since it was looked at last is of the process that moved its
 * bytes last; of one that is not ours (encrypted, say), of the first that did.
 */
#pragma once

#include "conversation.h"
#include "maps.bpf.h"

#define CARRY_TRIES 4 /* at the same socket at once: its end, and the daemon's pass */

/* Full: a socket keeps what it has, and is asked again; one that ends is lost. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_PROCESS_ROWS);
	__type(key, __u32);
	__type(value, struct tally_traffic);
} traffic SEC(".maps");

/* TCP takes a FIN for a byte. */
static __always_inline __u64 bytes_received(const struct sock *sk,
					    const struct tcp_sock *tp)
{
	return tp->bytes_received - (sk->__sk_common.skc_flags >> SOCK_DONE & 1);
}

static __always_inline __u64 bytes_sent(const struct tcp_sock *tp)
{
	return tp->bytes_sent - tp->bytes_retrans;
}

/* A conversation is made: what is before these bytes, which its first event moved or
 * found, was before us, or is nothing. Totals are read before positions: where TCP
 * moves on in between, a new socket's come out below zero, and are that. */
static __always_inline void traffic_begins(struct conversation *c, struct sock *sk,
					   __u32 read, __u32 written)
{
	const struct tcp_sock *tp;
	__s64 received, sent;

	tp = config.counts_traffic ? bpf_skc_to_tcp_sock(sk) : NULL;
	if (!tp)
		return;
	received = (__s64) * (volatile __u64 *)&tp->bytes_received - read;
	sent = (__s64) * (volatile __u64 *)&tp->bytes_sent - (__s64)tp->bytes_retrans -
	       written;
	barrier();
	received -= (__u32)(tp->rcv_nxt - tp->copied_seq);
	sent += (__u32)(tp->write_seq - tp->snd_nxt);
	c->received = received > 0 ? (__u64)received : 0;
	c->sent = sent > 0 ? (__u64)sent : 0;
}

/* What is new of a total, for one of those who ask at once. Less than before: the
 * socket was disconnected, all had been carried over. */
static __always_inline __u64 take_new(__u64 *carried, __u64 total)
{
	for (__u32 i = 0; i < CARRY_TRIES; i++) {
		__u64 before = *(volatile __u64 *)carried;

		if (total <= before)
			return 0;
		if (__sync_val_compare_and_swap(carried, before, total) == before)
			return total - before;
	}
	return 0;
}

/* Its process was not selected when it moved bytes last, and no process was judged anew
 * since. */
static __always_inline bool is_ignored(const struct conversation *c)
{
	return c->state == CONVERSATION_IGNORED && c->generation == generation;
}

/* The service of the process that the conversation is of. Once it has ended it is
 * what it was when its bytes moved. False: of no service, or not selected. */
static __always_inline bool traffic_counts(const struct conversation *c,
					   __u32 *ret_service)
{
	const struct tally_process *entry;
	__u32 pid = c->pid;

	if (!pid)
		return false;
	entry = bpf_map_lookup_elem(&processes, &pid);
	*ret_service = entry ? entry->service : c->service;
	if (entry)
		return !(entry->flags &
			 (TALLY_PROCESS_IGNORED | TALLY_PROCESS_UNNAMED));
	return c->service && c->state != CONVERSATION_IGNORED;
}

static __always_inline struct tally_traffic *traffic_row(__u32 pid)
{
	struct tally_traffic none = {}, *row = bpf_map_lookup_elem(&traffic, &pid);

	if (row)
		return row;
	insert(&traffic, &pid, &none);
	return bpf_map_lookup_elem(&traffic, &pid);
}

/* A function of its own: the verifier walks what comes behind it for fewer states. */
static __noinline void carry_traffic(struct conversation *c, struct sock *sk)
{
	const struct tcp_sock *tp;
	struct tally_traffic *row;
	__u64 received, sent;
	__u32 service;

	tp = config.counts_traffic && !is_ignored(c) ? bpf_skc_to_tcp_sock(sk) : NULL;
	if (!tp)
		return;
	received = bytes_received(sk, tp);
	sent = bytes_sent(tp);
	if (received <= c->received && sent <= c->sent)
		return;
	if (!traffic_counts(c, &service))
		return;
	row = traffic_row(c->pid);
	if (!row)
		return;
	row->service = service;
	__sync_fetch_and_add(&row->received, take_new(&c->received, received));
	__sync_fetch_and_add(&row->sent, take_new(&c->sent, sent));
}
