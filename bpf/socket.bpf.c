// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * socket.bpf.c - the socket hooks. Each finds the conversation of its socket and
 * the bytes that moved, keeps the stream position honest, and calls on.
 *
 *   sk_data_ready        bytes arrived: since when do they wait?
 *   tcp_sendmsg_locked   a send begins: when, and from which memory
 *   sock_send_length     a send is over: that many bytes went
 *   sock_recv_length     a receive is over: that many bytes came
 *   tcp_rcv_space_adjust bytes left by another way: splice, zero-copy receive
 *   inet_sock_set_state  a TCP connection is being closed, or made anew
 *   tcp_destroy_sock     a TCP connection is gone
 *
 * For TCP, copied_seq and write_seq are the truth about how far the application
 * has read and written: a step other than `ret` is bytes that went by unseen.
 */
#include "conversation.bpf.h"

#define EPIPE 32
#define ECONNRESET 104
char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Full: the series carry no server_address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_ADDRESS_ROWS);
	__type(key, __u64);
	__type(value, struct tally_address);
} addresses SEC(".maps");

/* --- finding the conversation -------------------------------------------------- */

static __always_inline bool is_stream(const struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	if (sk->sk_type != SOCK_STREAM)
		return false;
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

static __always_inline struct conversation *find_or_make(struct sock *sk)
{
	struct conversation *c;

	if (!is_stream(sk) || !may_be_selected(sk))
		return NULL;
	/* twice: of two processors that make it at once, one is refused (EAGAIN) */
	for (__u32 i = 0; i < 2; i++) {
		c = bpf_sk_storage_get(&conversations, sk, NULL,
				       BPF_SK_STORAGE_GET_F_CREATE);
		if (c)
			return c;
	}
	missed(TALLY_MISSED_CONNECTION_FULL, 1);
	return NULL;
}

/* --- whose address -------------------------------------------------------------- */

/* 0 is "none"; the text of an address is found by this in the addresses map. */
static __always_inline __u64 address_intern(struct tally_address *a)
{
	__u64 hash = config.seed ^ a->family;
	__u64 *words = (__u64 *)a;

	for (__u32 i = 0; i < sizeof(*a) / 8; i++) {
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 29;
	}
	hash |= 1;
	if (!bpf_map_lookup_elem(&addresses, &hash))
		bpf_map_update_elem(&addresses, &hash, a, BPF_NOEXIST);
	return hash;
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

/* Whether the current process's traffic on this connection is observed. */
static __always_inline bool observed(struct conversation *c, struct sock *sk)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	if (c->state == CONVERSATION_OPAQUE || !generation)
		return false;
	if (c->pid == pid && c->generation == generation)
		return c->state != CONVERSATION_IGNORED;
	if (!conversation_claim(c, pid, generation))
		return false;
	if (!c->identified)
		identify(c, sk);
	return true;
}

/* --- stream position ------------------------------------------------------------ */

struct step {
	__u32 gap;      /* bytes before these that nobody saw */
	bool moved;     /* false: a peek */
	bool encrypted; /* kernel TLS: what moves is not what is read */
};

/* The end of the stream counts as one byte once it is read. */
static __always_inline bool read_to_the_end(const struct sock *sk,
					    const struct tcp_sock *tp)
{
	return (sk->sk_shutdown & RCV_SHUTDOWN) && tp->copied_seq == tp->rcv_nxt;
}

static __always_inline struct step step_to(struct direction *d, struct sock *sk,
					   bool write, __u32 ret)
{
	struct step step = {.moved = true};
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	__u32 seq, advanced;

	if (!tp)
		return step;
	seq = write ? tp->write_seq : tp->copied_seq;
	advanced = seq - d->seq;
	if (!write && advanced == ret + 1 && read_to_the_end(sk, tp))
		advanced--;
	if (d->positioned) {
		step.moved = advanced != 0;
		step.gap = advanced - ret;
		if (step.gap && tp->inet_conn.icsk_ulp_ops)
			step.encrypted = true;
	}
	d->seq = seq;
	d->positioned = 1;
	return step;
}

/* --- feeding a call ------------------------------------------------------------- */

static __always_inline struct pipeline *pipeline_of(struct conversation *c,
						    struct sock *sk)
{
	if (!queued(&c->pipeline_ends))
		return NULL;
	return bpf_sk_storage_get(&pipelines, sk, NULL, 0);
}

/* Everything the call moved. */
static __always_inline void feed_call(struct conversation *c, struct sock *sk,
				      struct call *call)
{
	struct pipeline *pipe = pipeline_of(c, sk);

	for (__u32 i = 0; i < ROUNDS; i++) {
		int result = feed_steps(c, call, pipe);

		if (result == FEED_WANTS_PIPELINE)
			pipe = bpf_sk_storage_get(&pipelines, sk, NULL,
						  BPF_SK_STORAGE_GET_F_CREATE);
		else if (result != FEED_AGAIN)
			return;
	}
	conversation_lose(c, call->chunk.direction, TALLY_MISSED_WORK_LIMIT);
}

/* A message that io_uring or a 32-bit caller moved on a connection of which we
 * know nothing: say so once. */
static __always_inline void flag_unknown(struct conversation *c, __u32 reason)
{
	if (c->state != CONVERSATION_UNKNOWN || c->flagged)
		return;
	if (reason != TALLY_MISSED_IO_URING && reason != TALLY_MISSED_COMPAT)
		return;
	c->flagged = 1;
	c->paid++;
	missed(reason, 1);
}

static __always_inline void advance(struct conversation *c, struct sock *sk,
				    struct call *call, __u64 len, __u32 reason)
{
	call->chunk.len = len;
	conversation_advance(c, pipeline_of(c, sk), &call->chunk, reason);
}

/* ret bytes moved in one direction; call->chunk has the times, call->source the
 * memory unless it is to be found through the registers. */
static __always_inline void moved(struct conversation *c, struct sock *sk, __u32 ret,
				  struct call *call, bool in_memory)
{
	struct direction *d = direction_of(c, call->chunk.direction);
	bool write = call->chunk.direction == DIRECTION_WRITE;
	struct step step = step_to(d, sk, write, ret);

	if (!step.moved)
		return;
	if (step.encrypted) {
		give_up(c, TALLY_MISSED_TLS);
		return;
	}
	if (step.gap)
		advance(c, sk, call, step.gap, TALLY_MISSED_LOST_SYNC);
	d->last_ns = call->chunk.now_ns;
	if (!in_memory || http1_skippable(&d->http1, ret) == ret) {
		advance(c, sk, call, ret, TALLY_MISSED_NO_WINDOW);
		return;
	}
	if (call->source.kind == SOURCE_NONE && !call->source.missing)
		source_from_registers(&call->source, c, ret);
	if (call->source.kind == SOURCE_NONE) {
		flag_unknown(c, call->source.missing);
		advance(c, sk, call, ret, call->source.missing);
		return;
	}
	call->left = ret;
	feed_call(c, sk, call);
}

/* Two threads in one direction at once: whose bytes come first, nobody says. */
static __always_inline bool enter(struct conversation *c, __u32 direction)
{
	if (!__sync_lock_test_and_set(&direction_of(c, direction)->busy, 1))
		return true;
	conversation_lose(c, direction, TALLY_MISSED_CONCURRENT_IO);
	return false;
}

static __always_inline void leave(struct conversation *c, __u32 direction)
{
	direction_of(c, direction)->busy = 0;
}

/* --- receiving ------------------------------------------------------------------ */

static __always_inline bool has_unread(struct sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	if (tp)
		return tp->rcv_nxt != tp->copied_seq;
	return sk->sk_receive_queue.qlen != 0;
}

/* How long what was read now had been there. What is left has waited at least
 * since now: when it came is not known. */
static __always_inline __u64 queue_wait(struct conversation *c, struct sock *sk,
					__u64 now_ns)
{
	__u64 wait = since(now_ns, c->ready_ns);

	c->ready_ns = has_unread(sk) ? now_ns : 0;
	return wait;
}

/* A server on a Unix socket closes without a hook of ours; its client's end of
 * file tells. The peer's socket lives as long as the client holds on to it. */
static __always_inline void unix_peer_ended(struct sock *sk)
{
	struct unix_sock *u = bpf_skc_to_unix_sock(sk);
	struct conversation *c;
	struct sock *peer;

	if (!u)
		return;
	peer = u->peer;
	if (!peer)
		return;
	c = find(peer);
	if (!c || c->role != TALLY_ROLE_SERVER)
		return;
	end_until_close(c, direction_of(c, DIRECTION_WRITE), pipeline_of(c, peer),
			c->directions[DIRECTION_WRITE].last_ns);
}

static __always_inline void end_of_file(struct conversation *c, struct sock *sk)
{
	struct pipeline *pipe = pipeline_of(c, sk);
	__u64 now_ns = bpf_ktime_get_ns();

	if (!(sk->sk_shutdown & RCV_SHUTDOWN)) /* a read of no bytes */
		return;
	step_to(direction_of(c, DIRECTION_READ), sk, false,
		0); /* a FIN counts as one */
	if (c->is_unix)
		unix_peer_ended(sk);
	if (c->role != TALLY_ROLE_CLIENT || c->state == CONVERSATION_OPAQUE)
		return;
	end_until_close(c, direction_of(c, DIRECTION_READ), pipe, now_ns);
	conversation_broken(c, pipe, now_ns);
}

static __always_inline void failed(struct conversation *c, struct sock *sk, int ret)
{
	c->mmsg_index = 0;
	if (c->is_unix && (ret == -EPIPE || ret == -ECONNRESET) && !has_unread(sk) &&
	    c->state != CONVERSATION_OPAQUE)
		conversation_broken(c, pipeline_of(c, sk), bpf_ktime_get_ns());
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(sock_recv_length, struct sock *sk, int ret, int flags)
{
	struct conversation *c;
	struct call call = {};

	if (flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB))
		return 0;
	c = ret > 0 ? find_or_make(sk) : find(sk);
	if (!c)
		return 0;
	if (ret < 0)
		failed(c, sk, ret);
	else if (!ret)
		end_of_file(c, sk);
	if (ret <= 0 || !observed(c, sk) || !enter(c, DIRECTION_READ))
		return 0;
	call.chunk.direction = DIRECTION_READ;
	call.chunk.now_ns = bpf_ktime_get_ns();
	call.chunk.began_ns = call.chunk.now_ns;
	call.chunk.queue_ns = queue_wait(c, sk, call.chunk.now_ns);
	moved(c, sk, (__u32)ret, &call, !(flags & MSG_TRUNC));
	name_server(c, sk);
	leave(c, DIRECTION_READ);
	return 0;
}

/* The position alone tells what was spliced out. A body moves on by it; a head
 * that went that way is lost. */
static __always_inline void catch_up(struct conversation *c, struct sock *sk)
{
	struct direction *d = direction_of(c, DIRECTION_READ);
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct call call = {};
	__u32 gap;

	if (!tp || !d->positioned || !enter(c, DIRECTION_READ))
		return;
	gap = tp->copied_seq - d->seq;
	d->seq += gap;
	if (gap && read_to_the_end(sk, tp))
		gap--;
	call.chunk.direction = DIRECTION_READ;
	call.chunk.now_ns = bpf_ktime_get_ns();
	d->last_ns = call.chunk.now_ns;
	if (gap)
		advance(c, sk, &call, gap, TALLY_MISSED_LOST_SYNC);
	leave(c, DIRECTION_READ);
}

SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(tcp_rcv_space_adjust, struct sock *sk)
{
	struct conversation *c;

	if (!bytes_leave_unseen())
		return 0;
	c = find(sk);
	if (c && c->role && c->state != CONVERSATION_OPAQUE &&
	    c->state != CONVERSATION_IGNORED)
		catch_up(c, sk);
	return 0;
}

SEC("tp_btf/sk_data_ready")
int BPF_PROG(sk_data_ready, struct sock *sk)
{
	struct conversation *c;
	struct unix_sock *u;
	struct sock *peer;

	if (sk->__sk_common.skc_state == TCP_LISTEN)
		return 0;
	c = find_or_make(sk);
	if (!c || c->state == CONVERSATION_OPAQUE)
		return 0;
	if (!c->ready_ns && c->role != TALLY_ROLE_CLIENT)
		c->ready_ns = bpf_ktime_get_ns();
	u = bpf_skc_to_unix_sock(sk);
	if (!u)
		return 0;
	peer =
	    u->peer; /* who is sending right now: its send began at the latest here */
	if (!peer)
		return 0;
	c = find_or_make(peer);
	if (c && c->state != CONVERSATION_OPAQUE && !c->sending.began_ns) {
		c->sending.began_ns = bpf_ktime_get_ns();
		c->sending.thread = (__u32)bpf_get_current_pid_tgid();
		c->sending.known = 0;
	}
	return 0;
}

/* --- sending -------------------------------------------------------------------- */

SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(tcp_sendmsg_locked, struct sock *sk, struct msghdr *msg)
{
	__u32 thread = (__u32)bpf_get_current_pid_tgid();
	struct conversation *c = generation ? find_or_make(sk) : NULL;

	if (!c || c->state == CONVERSATION_OPAQUE)
		return 0;
	if (c->sending.began_ns && c->sending.thread == thread)
		return 0; /* a later round of the same send */
	source_from_message(&c->sending.source, msg);
	c->sending.thread = thread;
	c->sending.known = 1;
	c->sending.began_ns = bpf_ktime_get_ns();
	return 0;
}

/* What was noted when this send began, if it was this one. */
static __always_inline void sending_take(struct conversation *c, struct call *call)
{
	call->chunk.began_ns = call->chunk.now_ns;
	if (!c->sending.began_ns ||
	    c->sending.thread != (__u32)bpf_get_current_pid_tgid())
		return;
	call->chunk.began_ns = c->sending.began_ns;
	if (c->sending.known)
		call->source = c->sending.source;
}

static __always_inline void sending_done(struct conversation *c)
{
	if (c->sending.thread == (__u32)bpf_get_current_pid_tgid())
		c->sending.began_ns = 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(sock_send_length, struct sock *sk, int ret, int flags)
{
	struct conversation *c = ret > 0 ? find_or_make(sk) : find(sk);
	struct call call = {};

	if (!c)
		return 0;
	if (ret < 0)
		failed(c, sk, ret);
	if (ret > 0 && observed(c, sk) && enter(c, DIRECTION_WRITE)) {
		call.chunk.direction = DIRECTION_WRITE;
		call.chunk.now_ns = bpf_ktime_get_ns();
		sending_take(c, &call);
		moved(c, sk, (__u32)ret, &call, true);
		name_server(c, sk);
		leave(c, DIRECTION_WRITE);
	}
	sending_done(c);
	return 0;
}

/* --- the end -------------------------------------------------------------------- */

/* What was in flight when the socket went had no response. Ended here and not
 * with the state: a reset often comes inside the very send it answers, and a
 * response may be read long after both ends are closed. */
static __always_inline void finish(struct conversation *c, struct sock *sk)
{
	struct direction *responses = direction_of(
	    c, c->role == TALLY_ROLE_SERVER ? DIRECTION_WRITE : DIRECTION_READ);
	struct pipeline *pipe = pipeline_of(c, sk);

	if (!c->role || c->state == CONVERSATION_OPAQUE)
		return;
	if (!sk->sk_err)
		end_until_close(c, responses, pipe, responses->last_ns);
	conversation_broken(c, pipe, c->ended_ns ? c->ended_ns : bpf_ktime_get_ns());
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(inet_sock_set_state, struct sock *sk, int oldstate, int newstate)
{
	struct conversation *c;
	struct direction *d;

	if (newstate != TCP_FIN_WAIT1 && newstate != TCP_LAST_ACK &&
	    newstate != TCP_CLOSE && newstate != TCP_SYN_SENT)
		return 0;
	c = find(sk);
	if (!c)
		return 0;
	if (newstate == TCP_SYN_SENT) { /* disconnected, and connects anew */
		finish(c, sk);
		bpf_sk_storage_delete(&conversations, sk);
		return 0;
	}
	if (newstate == TCP_CLOSE && sk->sk_protocol == IPPROTO_MPTCP) {
		finish(c, sk); /* tcp_destroy_sock is of its subflows */
		return 0;
	}
	if (newstate == TCP_CLOSE && !c->ended_ns)
		c->ended_ns = bpf_ktime_get_ns();
	d = direction_of(c, DIRECTION_WRITE);
	if (c->role == TALLY_ROLE_SERVER && c->state != CONVERSATION_OPAQUE &&
	    !sk->sk_err)
		end_until_close(c, d, pipeline_of(c, sk), d->last_ns);
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(tcp_destroy_sock, struct sock *sk)
{
	struct conversation *c = find(sk);

	if (c)
		finish(c, sk);
	return 0;
}

/* --- for the daemon ------------------------------------------------------------- */

SEC("iter/bpf_sk_storage_map")
int each_connection(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct conversation *c = ctx->value;
	struct sock *sk = ctx->sk;
	struct tally_connection record = {};

	if (!c || !sk || !c->role)
		return 0;
	if (c->state != CONVERSATION_HTTP1 && c->state != CONVERSATION_CANDIDATE)
		return 0;
	if (c->is_unix && !sk->sk_socket) /* closed; its peer holds on to it */
		return 0;
	record.service = c->service;
	record.role = c->role;
	record.protocol =
	    TALLY_PROTOCOL_HTTP1 | (c->is_unix ? TALLY_CONNECTION_UNIX : 0);
	record.in_flight =
	    (__u16)(queued(&c->ring_ends) + queued(&c->pipeline_ends) + c->overflow);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}
