/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* endpoint.bpf.h - which conversation a socket has, and whether it is observed;
 * the address of its server end. Owns the addresses map. */
#pragma once

#include "../include/hash.h"
#include "conversation.bpf.h"
#include "traffic.bpf.h"

/* Full: the series of later connections carry no server_address, in the ledger. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_ADDRESS_ROWS);
	__type(key, __u64);
	__type(value, struct tally_address);
} addresses SEC(".maps");

/* --- finding the conversation -------------------------------------------------- */

/* Of a stream socket. */
static __always_inline bool is_tcp_or_unix(const struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	if (family == AF_UNIX)
		return true;
	return (family == AF_INET || family == AF_INET6) &&
	       (sk->sk_protocol == IPPROTO_TCP || sk->sk_protocol == IPPROTO_MPTCP);
}

/* With --port, sockets of other ports get no state at all. */
static __always_inline bool may_be_selected(const struct sock *sk)
{
	__u16 local = sk->__sk_common.skc_num;
	__u16 remote = bpf_ntohs(sk->__sk_common.skc_dport);

	if (!config.port_count)
		return true;
	if (sk->__sk_common.skc_family == AF_UNIX)
		return false;
	for (__u32 i = 0; i < TALLY_PORTS_MAX; i++)
		if (i < config.port_count &&
		    (config.ports[i] == local || config.ports[i] == remote))
			return true;
	return false;
}

static __always_inline struct conversation *find(struct sock *sk)
{
	return bpf_sk_storage_get(&conversations, sk, NULL, 0);
}

/* reason: of the ledger when there is no memory for one. TALLY_MISSED_COUNT where only
 * a time is lost: who moves the bytes asks again. Under PREEMPT_RT that is how it gets
 * it: there a processor has few pieces ready (one, when the programs are new), and
 * more are fetched by a thread, which cannot run before the program is over. read,
 * written: bytes that were just moved. */
static __always_inline struct conversation *find_or_make(struct sock *sk, __u32 reason,
							 __u32 read, __u32 written)
{
	struct conversation *c;

	if (sk->sk_type != SOCK_STREAM)
		return NULL;
	c = find(sk);
	if (c)
		return c;
	if (!is_tcp_or_unix(sk) || !may_be_selected(sk))
		return NULL;
	/* twice: of two processors that make it at once, one is refused (EAGAIN) */
	for (__u32 i = 0; i < 2; i++) {
		c = bpf_sk_storage_get(&conversations, sk, NULL,
				       BPF_SK_STORAGE_GET_F_CREATE);
		if (c) {
			traffic_begins(c, sk, read, written);
			return c;
		}
	}
	if (reason < TALLY_MISSED_COUNT)
		missed(reason, 1);
	return NULL;
}

/* --- whose address -------------------------------------------------------------- */

/* What is not zero in an IP address of 16 bytes, family and length before it. */
#define IP_WORDS ((__builtin_offsetof(struct tally_address, bytes) + 16 + 7) / 8)

/* 0 is "none"; the text of an address is found by this in the addresses map. */
static __always_inline __u64 address_intern(struct tally_address *a)
{
	struct keyed_hash keyed = {};
	__u64 *words = (__u64 *)a;
	__u64 hash;
	int err;

	/* zeros add nothing, but take four keys a word (volatile: or it is put aside
	 * on the stack) */
	for (__u32 i = 0; i < sizeof(*a) / 8; i++) {
		if (i == IP_WORDS && *(volatile __u16 *)&a->family != AF_UNIX)
			break;
		hash_add(&keyed, config.seed, i, words[i]);
	}
	hash = hash_value(&keyed) | 1;
	if (bpf_map_lookup_elem(&addresses, &hash))
		return hash;
	err = insert(&addresses, &hash, a);
	if (!err || err == -EEXIST)
		return hash;
	missed(TALLY_MISSED_ADDRESS_FULL, 1);
	return 0;
}

/* IPv4 in IPv6 is IPv4, so that both ends of a connection name it alike. */
static __always_inline void address_of_v6(struct tally_address *a,
					  const struct in6_addr *ip)
{
	__u32 words[4];

	for (__u32 i = 0; i < 4; i++)
		words[i] = BPF_CORE_READ(ip, in6_u.u6_addr32[i]);
	if (!words[0] && !words[1] && words[2] == bpf_htonl(0xffff)) {
		a->family = AF_INET;
		a->len = 4;
		__builtin_memcpy(a->bytes, &words[3], 4);
		return;
	}
	a->family = AF_INET6;
	a->len = 16;
	__builtin_memcpy(a->bytes, words, 16);
}

/* An accepted socket shares the listener's name, a connected one has it as its
 * peer's; a socketpair has none. */
static __always_inline void address_of_unix(struct tally_address *a,
					    const struct sock *sk)
{
	struct unix_address *name = BPF_CORE_READ((struct unix_sock *)sk, addr);
	int len;

	a->family = AF_UNIX;
	if (!name)
		return;
	len = BPF_CORE_READ(name, len) - 2; /* less sun_family */
	if (len <= 0)
		return;
	if (len > 108)
		len = 108;
	a->len = (__u16)len;
	bpf_probe_read_kernel(a->bytes, len & 127, &name->name[0].sun_path);
}

__noinline static __u64 address_of(struct sock *sk, bool remote)
{
	struct tally_address a = {};

	switch (sk->__sk_common.skc_family) {
	case AF_UNIX:
		if (remote)
			sk = BPF_CORE_READ((struct unix_sock *)sk, peer);
		if (sk)
			address_of_unix(&a, sk);
		if (!a.len)
			return 0;
		break;
	case AF_INET6:
		address_of_v6(&a, remote ? &sk->__sk_common.skc_v6_daddr
					 : &sk->__sk_common.skc_v6_rcv_saddr);
		break;
	default:
		a.family = AF_INET;
		a.len = 4;
		__builtin_memcpy(a.bytes,
				 remote ? &sk->__sk_common.skc_daddr
					: &sk->__sk_common.skc_rcv_saddr,
				 4);
	}
	return address_intern(&a);
}

static __always_inline void identify(struct conversation *c, struct sock *sk)
{
	c->identified = 1;
	c->is_unix = sk->__sk_common.skc_family == AF_UNIX;
	if (!c->is_unix) {
		c->local_port = sk->__sk_common.skc_num;
		c->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	}
}

/* Only of the server's end, or strangers' addresses would fill the map. */
static __always_inline void name_server(struct conversation *c, struct sock *sk)
{
	if (!c->role || c->addressed)
		return;
	c->addressed = 1;
	c->address = address_of(sk, c->role == TALLY_ROLE_CLIENT);
}

/* By all that we know so far. Of a socket that only changes hands, a first time is
 * lost: its send seems to begin, its bytes to arrive, when they are told to be over. */
static __always_inline bool is_left_alone(const struct conversation *c)
{
	return c->state == CONVERSATION_OPAQUE || is_ignored(c);
}

/* Whether traffic of pid, the current process, on this connection is observed. */
static __always_inline bool observed(struct conversation *c, struct sock *sk, __u32 pid)
{
	if (c->pid == pid && c->generation == generation)
		return c->state < CONVERSATION_OPAQUE;
	if (c->state == CONVERSATION_OPAQUE || !generation)
		return false;
	if (!conversation_claim(c, pid, generation))
		return false;
	if (!c->identified)
		identify(c, sk);
	return true;
}
