/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * socket.bpf.h - what happens on a socket, whichever hook told: bytes arrived,
 * a send began, a send or receive is over, the connection ends. Keeps the stream
 * position honest and feeds the bytes to the conversation.
 *
 * For TCP, copied_seq and write_seq are the truth about how far the application
 * has read and written: a step other than `ret` is bytes that went by unseen.
 */
#pragma once

#include "endpoint.bpf.h"
#include "feed.bpf.h"

#define EPIPE 32
#define ECONNRESET 104

/* --- stream position ------------------------------------------------------------ */

/* What says where a call's bytes are: the saved registers; the msghdr; what its
 * conversation noted when the send began. */
enum told_by { BY_REGISTERS, BY_MESSAGE, BY_SENDING };

/* What a call moved, and where the stream stands since. */
struct move {
	const struct tcp_sock *tp; /* NULL for a Unix socket, which does not say */
	__u32 seq;
	__u32 len;
	__u32 direction;
	struct task_struct *task; /* whose call it was */
	__u32 thread;             /* its id */
	struct msghdr *msg;       /* BY_MESSAGE */
	bool in_memory;           /* the caller's: it was not thrown away */
	enum told_by told_by;
	__u64 now_ns;
	__u64 began_ns; /* the send's start, or now */
	__u64 queue_ns; /* how long the bytes had waited, for reads */
};

struct step {
	__u32 gap;      /* bytes before these that nobody saw */
	bool moved;     /* false: a peek */
	bool overtaken; /* by another thread's call: whose bytes are whose? */
	bool encrypted; /* kernel TLS: what moves is not what is read */
};

/* The end of the stream counts as one byte once it is read. */
static __always_inline bool read_to_the_end(const struct sock *sk,
					    const struct tcp_sock *tp)
{
	return (sk->sk_shutdown & RCV_SHUTDOWN) && tp->copied_seq == tp->rcv_nxt;
}

static __always_inline struct step step_to(struct direction *d, const struct sock *sk,
					   const struct move *m)
{
	struct step step = {.moved = true};
	__u32 advanced = m->seq - d->seq;

	if (!m->tp)
		return step;
	d->seq = m->seq;
	if (!d->positioned) {
		d->positioned = 1;
		return step;
	}
	if (advanced == m->len)
		return step;
	if (m->direction == DIRECTION_READ && advanced == m->len + 1 &&
	    read_to_the_end(sk, m->tp))
		advanced--;
	step.moved = advanced != 0;
	step.overtaken = advanced < m->len;
	step.gap = advanced - m->len;
	if (step.gap && m->tp->inet_conn.icsk_ulp_ops)
		step.encrypted = true;
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

/* Where no program sees a send begin, the position tells of one that is not over.
 * Looked at in the order that sent() leaves it: what it moves the position by is
 * queued before the direction is free again. */
static __always_inline bool is_writing(const struct conversation *c,
				       const struct tcp_sock *tp)
{
	const struct direction *d = &c->directions[DIRECTION_WRITE];

	if (!tp || !d->positioned)
		return false;
	return *(volatile __u32 *)&d->seq != tp->write_seq ||
	       *(volatile __u32 *)&d->busy;
}

/* Everything the call moved. */
static __always_inline void feed_call(struct conversation *c, struct sock *sk,
				      struct workspace *ws, const struct move *m)
{
	struct pipeline *pipe = pipeline_of(c, sk);
	struct call *call = &ws->call;
	int result = FEED_AGAIN;

	call->left = m->len;
	call->segment = 0;
	call->chunk.len = 0;
	call->chunk.direction = m->direction;
	call->chunk.now_ns = m->now_ns;
	call->chunk.began_ns = m->began_ns;
	call->chunk.queue_ns = m->queue_ns;
	call->chunk.is_writing = config.late_tcp_sends &&
				 m->direction == DIRECTION_READ && is_writing(c, m->tp);
	if (direction_of(c, m->direction)->head.repeat == REPEAT_HEAD) {
		result = feed_from_head(c, ws, pipe);
		conversation_settle(c, ws);
		if (result == FEED_DONE)
			return;
	}
	for (__u32 i = 0; i < ROUNDS; i++) {
		if (result == FEED_WANTS_PIPELINE)
			pipe = bpf_sk_storage_get(&pipelines, sk, NULL,
						  BPF_SK_STORAGE_GET_F_CREATE);
		else if (result != FEED_AGAIN)
			return;
		result = feed_steps(c, ws, pipe);
	}
	if (result == FEED_AGAIN)
		conversation_lose(c, m->direction, TALLY_MISSED_WORK_LIMIT);
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

/* len bytes that nobody can look at. */
static __always_inline void advance(struct conversation *c, struct sock *sk,
				    const struct move *m, __u32 len, __u32 reason)
{
	direction_of(c, m->direction)->last_ns = m->now_ns;
	conversation_advance(c, pipeline_of(c, sk), m->direction, len, reason);
}

/* Whether what was noted when the send began is of it still: another thread's may
 * begin now. */
static __always_inline bool is_of_this_send(const struct conversation *c,
					    const struct move *m)
{
	barrier();
	return *(const volatile __u32 *)&c->sending.thread == m->thread;
}

/* Puts down where the bytes are. */
static __always_inline void source_find(struct source *source, struct conversation *c,
					const struct move *m)
{
	if (m->told_by == BY_MESSAGE) {
		source_from_received(source, m->msg, m->len);
		return;
	}
	if (m->told_by == BY_SENDING) {
		*source = c->sending.source;
		if (is_of_this_send(c, m))
			return;
	}
	source_from_registers(source, c, m->task, m->len);
}

/* Where the first head_len bytes of a receive that is over are; 0: not to be said at
 * once. The verifier takes no pointer of a msghdr for a number on the stack, so it is
 * looked for in a workspace. */
static __noinline __u64 received_begins(const struct msghdr *msg, __u32 moved,
					__u32 head_len)
{
	struct workspace *ws = workspace_take();
	__u64 address;

	if (!ws)
		return 0;
	source_from_received(&ws->call.source, msg, moved);
	address = source_begins(&ws->call.source, head_len);
	workspace_give(ws);
	return address;
}

/* Where the head is that the bytes may begin with; 0: not to be said at once. */
static __always_inline __u64 head_address(const struct conversation *c,
					  const struct move *m, __u32 head_len)
{
	__u64 address;

	switch (m->told_by) {
	case BY_MESSAGE:
		return received_begins(m->msg, m->len, head_len);
	case BY_SENDING:
		address = source_begins(&c->sending.source, head_len);
		return is_of_this_send(c, m) ? address : 0;
	default:
		return buffer_from_registers(m->task);
	}
}

/* Whether the call is done with: it was the last message again, or is lost. What came
 * of it else is in head.repeat, where the verifier does not follow it. */
static __always_inline bool move_repeats(struct conversation *c, struct direction *d,
					 const struct move *m)
{
	__u64 address;

	if (!m->in_memory || !may_repeat(c, d, m->len))
		return false;
	address = head_address(c, m, d->head.len);
	if (!address)
		return false;
	if (m->direction == DIRECTION_READ)
		c->queue_ns = m->queue_ns;
	d->last_ns = m->now_ns;
	return repeat_try(c, d, address, m->len, m->began_ns);
}

/* Another thread waited in vain to tell its call; for TCP the position told. */
static __always_inline void unseen_lose(struct conversation *c, struct direction *d,
					const struct move *m)
{
	d->unseen = 0;
	if (!m->tp)
		conversation_lose_unknown(c, m->direction, TALLY_MISSED_CONCURRENT_IO);
}

/* What move_repeats did not do at once. */
static __always_inline void move_at_length(struct conversation *c, struct sock *sk,
					   const struct move *m)
{
	struct direction *d = direction_of(c, m->direction);
	struct workspace *ws;

	if (!m->in_memory || http1_skippable(&d->http1, m->len) == m->len) {
		if (m->told_by == BY_REGISTERS)
			mmsg_pass(c, m->len);
		advance(c, sk, m, m->len, TALLY_MISSED_NO_WINDOW);
		return;
	}
	ws = workspace_for(c, m->direction);
	if (!ws)
		return;
	source_find(&ws->call.source, c, m);
	if (ws->call.source.kind == SOURCE_NONE) {
		flag_unknown(c, ws->call.source.missing);
		advance(c, sk, m, m->len, ws->call.source.missing);
	} else {
		feed_call(c, sk, ws, m);
		name_server(c, sk);
	}
	workspace_give(ws);
}

/* Bytes moved in one direction. */
static __always_inline void moved(struct conversation *c, struct sock *sk,
				  const struct move *m)
{
	struct direction *d = direction_of(c, m->direction);
	struct step step = step_to(d, sk, m);

	if (!step.moved)
		return;
	if (step.encrypted) {
		give_up(c, TALLY_MISSED_TLS);
		return;
	}
	if (step.overtaken) { /* what came before was a gap, and is in the ledger */
		conversation_lose_unknown(c, m->direction, TALLY_MISSED_CONCURRENT_IO);
		return;
	}
	if (step.gap)
		advance(c, sk, m, step.gap, TALLY_MISSED_LOST_SYNC);
	if (move_repeats(c, d, m))
		return;
	/* not if it came after the last head was looked for: it is the next call's */
	if (d->unseen && d->head.repeat == REPEAT_UNTRIED)
		unseen_lose(c, d, m);
	if (c->refused && carries_requests(c, m->direction))
		request_refused(c, d, pipeline_of(c, sk));
	d->last_ns = m->now_ns;
	move_at_length(c, sk, m);
	d->head.repeat = REPEAT_UNTRIED;
}

/* A response that waits may be completed by who is done here. */
static __always_inline void see_to_early(struct conversation *c, struct sock *sk)
{
	if (early_is_there(c))
		early_look(c, pipeline_of(c, sk));
}

/* This thread is done with the bytes that it read. */
static __always_inline void leave(struct conversation *c, struct sock *sk,
				  struct direction *d)
{
	direction_give(d);
	see_to_early(c, sk);
}

/* The response that only closing ends is whole. */
static __always_inline void close_off(struct conversation *c, struct sock *sk,
				      __u32 direction, __u64 now_ns)
{
	struct direction *d = direction_of(c, direction);
	struct workspace *ws;

	if (d->http1.phase != HTTP1_UNTIL_CLOSE)
		return;
	ws = workspace_take();
	if (!ws) {
		conversation_lose(c, direction, TALLY_MISSED_CONCURRENT_IO);
		return;
	}
	end_until_close(c, d, pipeline_of(c, sk), ws, now_ns);
	workspace_give(ws);
}

/* What is in flight got no response, or half of one. */
static __always_inline void break_off(struct conversation *c, struct sock *sk,
				      __u64 now_ns)
{
	struct workspace *ws = waiting(c) ? workspace_take() : NULL;

	if (!ws)
		drop_waiting(c, TALLY_MISSED_CONCURRENT_IO);
	conversation_broken(c, pipeline_of(c, sk), ws, now_ns);
	if (ws)
		workspace_give(ws);
}

/* --- receiving ------------------------------------------------------------------ */

/* What was received, and whether more is there. The position is looked at by whom the
 * direction belongs to: another thread's call would move it on. */
static __always_inline bool receive_position(struct sock *sk, struct move *m)
{
	m->tp = bpf_skc_to_tcp_sock(sk);
	if (!m->tp)
		return sk->sk_receive_queue.qlen != 0;
	m->seq = m->tp->copied_seq;
	return m->tp->rcv_nxt != m->seq;
}

static __always_inline bool has_unread(struct sock *sk)
{
	struct move m;

	return receive_position(sk, &m);
}

/* How long what was read now had been there. What is left has waited at least
 * since now: when it came is not known. */
static __always_inline __u64 queue_wait(struct conversation *c, bool left, __u64 now_ns)
{
	__u64 wait = since(now_ns, c->ready_ns);

	c->ready_ns = left ? now_ns : 0;
	return wait;
}

/* NULL for TCP, and where the kernel lacks the helper (5.16). */
static __always_inline struct sock *unix_peer(struct sock *sk)
{
	struct unix_sock *u = NULL;

	if (sk->__sk_common.skc_family == AF_UNIX &&
	    bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_skc_to_unix_sock))
		u = bpf_skc_to_unix_sock(sk);
	return u ? u->peer : NULL;
}

/* A server on a Unix socket closes without a hook of ours; its client's end of
 * file tells. The peer's socket lives as long as the client holds on to it. */
static __always_inline void unix_peer_ended(struct sock *sk)
{
	struct sock *peer = unix_peer(sk);
	struct conversation *c;

	if (!peer)
		return;
	c = find(peer);
	if (!c || c->role != TALLY_ROLE_SERVER)
		return;
	close_off(c, peer, DIRECTION_WRITE, c->directions[DIRECTION_WRITE].last_ns);
}

static __always_inline void end_of_file(struct conversation *c, struct sock *sk)
{
	struct move m = {.tp = bpf_skc_to_tcp_sock(sk), .direction = DIRECTION_READ};
	__u64 now_ns = bpf_ktime_get_ns();

	if (!(sk->sk_shutdown & RCV_SHUTDOWN) ||
	    has_unread(sk)) /* a read of no bytes */
		return;
	if (m.tp) { /* a FIN counts as one */
		m.seq = m.tp->copied_seq;
		step_to(direction_of(c, DIRECTION_READ), sk, &m);
	}
	if (c->is_unix)
		unix_peer_ended(sk);
	if (c->role != TALLY_ROLE_CLIENT || c->state == CONVERSATION_OPAQUE)
		return;
	close_off(c, sk, DIRECTION_READ, now_ns);
	break_off(c, sk, now_ns);
}

static __always_inline void failed(struct conversation *c, struct sock *sk, int ret,
				   __u32 direction)
{
	if (c->mmsg[direction & 1].index && in_mmsg())
		c->mmsg[direction & 1].index = 0;
	if (c->is_unix && (ret == -EPIPE || ret == -ECONNRESET) && !has_unread(sk) &&
	    c->state != CONVERSATION_OPAQUE)
		break_off(c, sk, bpf_ktime_get_ns());
}

/* A call moved nothing: ret is 0, or -errno. Of several messages in one call the first
 * may be empty, and makes the conversation. by_registers: they say where it is. */
static __always_inline struct conversation *
moved_nothing(struct sock *sk, int ret, __u32 direction, bool by_registers)
{
	struct conversation *c;

	c = !ret && in_mmsg() ? find_or_make(sk, TALLY_MISSED_CONNECTION_FULL, 0, 0)
			      : find(sk);
	if (c && ret)
		failed(c, sk, ret, direction);
	else if (c && by_registers)
		mmsg_pass(c, 0);
	return c;
}

/* A receive is over: ret bytes, or an error. msg: where they went, NULL when only
 * the registers can tell. */
static __always_inline int received(struct sock *sk, int ret, int flags,
				    struct msghdr *msg)
{
	struct move m = {
	    .direction = DIRECTION_READ,
	    .len = (__u32)ret,
	    .in_memory = !(flags & MSG_TRUNC),
	    .told_by = msg ? BY_MESSAGE : BY_REGISTERS,
	    .msg = msg,
	};
	struct conversation *c;
	struct direction *d;

	if (flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB))
		return 0;
	if (ret <= 0) {
		c = moved_nothing(sk, ret, DIRECTION_READ, !msg);
		if (c && !ret)
			end_of_file(c, sk);
		return 0;
	}
	c = find_or_make(sk, TALLY_MISSED_CONNECTION_FULL, (__u32)ret, 0);
	if (!c)
		return 0;
	m.task = bpf_get_current_task_btf();
	if (!observed(c, sk, m.task->tgid))
		return 0;
	m.now_ns = m.began_ns = bpf_ktime_get_ns();
	d = direction_of(c, DIRECTION_READ);
	if (!enter(d))
		return 0;
	m.queue_ns = queue_wait(c, receive_position(sk, &m), m.now_ns);
	moved(c, sk, &m);
	leave(c, sk, d);
	return 0;
}

/* The position alone tells what was spliced out. A body moves on by it; a head
 * that went that way is lost. */
static __always_inline void catch_up(struct conversation *c, struct sock *sk)
{
	struct direction *d = direction_of(c, DIRECTION_READ);
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct move m = {.direction = DIRECTION_READ};
	__u32 gap;

	if (!tp || !d->positioned)
		return;
	m.now_ns = m.began_ns = bpf_ktime_get_ns();
	if (!enter(d))
		return;
	queue_wait(c, has_unread(sk), m.now_ns);
	gap = tp->copied_seq - d->seq;
	d->seq += gap;
	if (gap && read_to_the_end(sk, tp))
		gap--;
	if (gap)
		advance(c, sk, &m, gap, TALLY_MISSED_LOST_SYNC);
	leave(c, sk, d);
}

/* Bytes left by a way that says no length: splice, zero-copy receive. */
static __always_inline int left_unseen(struct sock *sk)
{
	struct conversation *c = find(sk);

	if (c && c->role && c->state != CONVERSATION_OPAQUE &&
	    c->state != CONVERSATION_IGNORED)
		catch_up(c, sk);
	return 0;
}

/* Bytes arrived. On a Unix socket its peer is sending right now: that send began
 * at the latest here. */
static __always_inline int arrived(struct sock *sk)
{
	struct conversation *c;
	struct sock *peer;

	if (sk->__sk_common.skc_state == TCP_LISTEN)
		return 0;
	c = find_or_make(sk, TALLY_MISSED_COUNT, 0, 0);
	if (!c || is_left_alone(c))
		return 0;
	if (!c->ready_ns && c->role != TALLY_ROLE_CLIENT)
		c->ready_ns = bpf_ktime_get_ns();
	peer = unix_peer(sk);
	if (!peer)
		return 0;
	c = find_or_make(peer, TALLY_MISSED_COUNT, 0, 0);
	if (c && !is_left_alone(c) && !c->sending.began_ns) {
		c->sending.began_ns = bpf_ktime_get_ns();
		c->sending.thread = (__u32)bpf_get_current_pid_tgid();
		c->sending.known = 0;
	}
	return 0;
}

/* --- sending -------------------------------------------------------------------- */

/* A send begins; of one that loops over its bytes, the first round counts. */
static __always_inline int send_begins(struct sock *sk, struct msghdr *msg)
{
	struct conversation *c = find(sk); /* all that come here are of streams */
	__u32 thread;

	if (!c && generation)
		c = find_or_make(sk, TALLY_MISSED_COUNT, 0, 0);
	if (!c || is_left_alone(c))
		return 0;
	thread = bpf_get_current_task_btf()->pid;
	if (c->sending.began_ns && c->sending.thread == thread)
		return 0;
	*(volatile __u32 *)&c->sending.thread = thread; /* first: is_of_this_send */
	barrier();
	source_from_message(&c->sending.source, msg);
	c->sending.known = 1;
	c->sending.began_ns = bpf_ktime_get_ns();
	return 0;
}

/* Whether a send of this thread is noted. */
static __always_inline bool is_sending_by(const struct conversation *c, __u32 thread)
{
	return c->sending.began_ns &&
	       *(const volatile __u32 *)&c->sending.thread == thread;
}

/* The end of a client's send ends no request: nobody asks for it, and a look at the
 * clock is spared. */
static __always_inline void send_times(const struct conversation *c, struct move *m,
				       bool is_noted)
{
	m->began_ns = is_noted ? c->sending.began_ns : 0;
	if (m->began_ns && c->role == TALLY_ROLE_CLIENT)
		m->now_ns = m->began_ns;
	else
		m->now_ns = bpf_ktime_get_ns();
	if (!m->began_ns)
		m->began_ns = m->now_ns;
}

/* A send is over: ret bytes, or an error. */
static __always_inline int sent(struct sock *sk, int ret)
{
	struct move m = {
	    .direction = DIRECTION_WRITE,
	    .len = (__u32)ret,
	    .in_memory = true,
	    .task = bpf_get_current_task_btf(),
	};
	struct conversation *c;
	struct direction *d;

	m.thread = m.task->pid;
	if (ret > 0)
		c = find_or_make(sk, TALLY_MISSED_CONNECTION_FULL, 0, (__u32)ret);
	else
		c = moved_nothing(sk, ret, DIRECTION_WRITE, true);
	if (!c)
		return 0;
	d = direction_of(c, DIRECTION_WRITE);
	if (ret > 0 && observed(c, sk, m.task->tgid) && enter(d)) {
		const bool is_noted = is_sending_by(c, m.thread);

		send_times(c, &m, is_noted);
		m.tp = bpf_skc_to_tcp_sock(sk);
		if (m.tp)
			m.seq = m.tp->write_seq;
		if (is_noted && c->sending.known)
			m.told_by = BY_SENDING;
		moved(c, sk, &m);
		if (early_of(c) != EARLY_NONE)
			early_meets_send(c, m.began_ns);
		direction_give(d);
	}
	if (c->sending.thread == m.thread)
		c->sending.began_ns = 0;
	see_to_early(c, sk);
	return 0;
}

/* --- the end -------------------------------------------------------------------- */

/* What was in flight when the socket went had no response. Ended here and not
 * with the state: a reset often comes inside the very send it answers, and a
 * response may be read long after both ends are closed. */
static __always_inline void finish(struct conversation *c, struct sock *sk)
{
	__u32 responses =
	    c->role == TALLY_ROLE_SERVER ? DIRECTION_WRITE : DIRECTION_READ;

	if (!c->role || c->state == CONVERSATION_OPAQUE)
		return;
	if (!sk->sk_err)
		close_off(c, sk, responses, direction_of(c, responses)->last_ns);
	break_off(c, sk, c->ended_ns ? c->ended_ns : bpf_ktime_get_ns());
}

/* Its totals once more: inet_sock_set_state may have been skipped. */
static __always_inline void destroyed(struct conversation *c, struct sock *sk)
{
	carry_traffic(c, sk);
	finish(c, sk);
}

/* A TCP connection is being closed, or made anew. */
static __always_inline int state_changed(struct sock *sk, int state)
{
	struct conversation *c;

	if (state != TCP_FIN_WAIT1 && state != TCP_LAST_ACK && state != TCP_CLOSE &&
	    state != TCP_SYN_SENT)
		return 0;
	c = find(sk);
	if (!c)
		return 0;
	if (state == TCP_SYN_SENT) { /* disconnected, and connects anew */
		finish(c, sk);
		bpf_sk_storage_delete(&conversations, sk);
		return 0;
	}
	if (state == TCP_CLOSE) /* in the end, and before it is disconnected */
		carry_traffic(c, sk);
	if (state == TCP_CLOSE && sk->sk_protocol == IPPROTO_MPTCP) {
		finish(c, sk); /* tcp_destroy_sock is of its subflows */
		return 0;
	}
	/* both halves at once: the application closed it (tcp_close) */
	if ((state == TCP_CLOSE || sk->sk_shutdown == SHUTDOWN_MASK) && !c->ended_ns)
		c->ended_ns = bpf_ktime_get_ns();
	if (c->role == TALLY_ROLE_SERVER && c->state != CONVERSATION_OPAQUE &&
	    !sk->sk_err)
		close_off(c, sk, DIRECTION_WRITE,
			  direction_of(c, DIRECTION_WRITE)->last_ns);
	/* nothing can be read any more, though the peer may never say so */
	if (state != TCP_CLOSE && sk->sk_shutdown == SHUTDOWN_MASK && !has_unread(sk))
		finish(c, sk);
	return 0;
}
