// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * socket.bpf.c - the hooks, thin: what they tell is in socket.bpf.h and, of processes,
 * in process.bpf.h. There are two ways to be told of sends, receives and arrivals, and
 * the daemon loads one (src/capture.c): tracepoints, since Linux 6.3; the functions
 * themselves, where the kernel has its function tracer. They cost more, but say where
 * the bytes of every receive are. Splices and the ends of TCP connections come by
 * tracepoints that every kernel has.
 *
 * All that may have to hold preemption off is in this file: libbpf's linker (1.1) takes
 * no kernel function that two object files name.
 */
#include "socket.bpf.h"
#include "connections.bpf.h"
#include "preempt.bpf.h"
#include "process.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* --- tracepoints ----------------------------------------------------------------- */

SEC("tp_btf/sock_recv_length")
int BPF_PROG(sock_recv_length, struct sock *sk, int ret, int flags)
{
	return FIRST(TALLY_HOOK_RECEIVED, sk, received(sk, ret, flags, NULL));
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(sock_send_length, struct sock *sk, int ret)
{
	return FIRST(TALLY_HOOK_SENT, sk, sent(sk, ret));
}

SEC("tp_btf/sk_data_ready")
int BPF_PROG(sk_data_ready, struct sock *sk)
{
	return FIRST(TALLY_HOOK_ARRIVED, sk, arrived(sk));
}

/* Since 6.16; before, tcp_sendmsg_entry where it can be had. */
SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(tcp_sendmsg_locked, struct sock *sk, struct msghdr *msg)
{
	return FIRST(TALLY_HOOK_SEND_BEGINS, sk, send_begins(sk, msg));
}

/* --- the same again, where a program can be skipped ------------------------------- */

SEC("tp_btf/sock_recv_length")
int BPF_PROG(sock_recv_length_2, struct sock *sk, int ret, int flags)
{
	return AGAIN(TALLY_HOOK_RECEIVED, sk, TURN_SECOND,
		     received(sk, ret, flags, NULL));
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(sock_recv_length_3, struct sock *sk, int ret, int flags)
{
	return AGAIN(TALLY_HOOK_RECEIVED, sk, TURN_THIRD,
		     received(sk, ret, flags, NULL));
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(sock_send_length_2, struct sock *sk, int ret)
{
	return AGAIN(TALLY_HOOK_SENT, sk, TURN_SECOND, sent(sk, ret));
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(sock_send_length_3, struct sock *sk, int ret)
{
	return AGAIN(TALLY_HOOK_SENT, sk, TURN_THIRD, sent(sk, ret));
}

SEC("tp_btf/sk_data_ready")
int BPF_PROG(sk_data_ready_2, struct sock *sk)
{
	return AGAIN(TALLY_HOOK_ARRIVED, sk, TURN_SECOND, arrived(sk));
}

SEC("tp_btf/sk_data_ready")
int BPF_PROG(sk_data_ready_3, struct sock *sk)
{
	return AGAIN(TALLY_HOOK_ARRIVED, sk, TURN_THIRD, arrived(sk));
}

SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(tcp_sendmsg_locked_2, struct sock *sk, struct msghdr *msg)
{
	return AGAIN(TALLY_HOOK_SEND_BEGINS, sk, TURN_SECOND, send_begins(sk, msg));
}

SEC("tp_btf/tcp_sendmsg_locked")
int BPF_PROG(tcp_sendmsg_locked_3, struct sock *sk, struct msghdr *msg)
{
	return AGAIN(TALLY_HOOK_SEND_BEGINS, sk, TURN_THIRD, send_begins(sk, msg));
}

/* --- functions ------------------------------------------------------------------- */

SEC("fentry/tcp_sendmsg")
int BPF_PROG(tcp_sendmsg_entry, struct sock *sk, struct msghdr *msg)
{
	return WHOLE(send_begins(sk, msg));
}

SEC("fexit/tcp_sendmsg")
int BPF_PROG(tcp_sendmsg_exit, struct sock *sk, struct msghdr *msg, __u64 size, int ret)
{
	return WHOLE(sent(sk, ret));
}

/* sendfile and splice into a socket, until 6.5 (commit dc97391e6610). */
SEC("fexit/tcp_sendpage")
int BPF_PROG(tcp_sendpage_exit, struct sock *sk, void *page, int offset, __u64 size,
	     int flags, int ret)
{
	return WHOLE(sent(sk, ret));
}

/* sk, msg, len, flags; an `address_len` behind them in some versions, and a
 * `nonblock` before flags until 5.19 (commit ec095263a965); then the result. */
SEC("fexit/tcp_recvmsg")
int tcp_recvmsg_exit(__u64 *context)
{
	struct sock *sk = (void *)context[0];
	struct msghdr *msg = (void *)context[1];

	switch (config.recvmsg_arguments) {
	case 4:
		return WHOLE(received(sk, (int)context[4], (int)context[3], msg));
	case 5:
		return WHOLE(received(sk, (int)context[5], (int)context[3], msg));
	case 6:
		return WHOLE(received(sk, (int)context[6], (int)context[4], msg));
	default:
		return 0;
	}
}

SEC("fentry/unix_stream_sendmsg")
int BPF_PROG(unix_stream_sendmsg_entry, struct socket *socket, struct msghdr *msg)
{
	return WHOLE(send_begins(socket->sk, msg));
}

SEC("fexit/unix_stream_sendmsg")
int BPF_PROG(unix_stream_sendmsg_exit, struct socket *socket, struct msghdr *msg,
	     __u64 len, int ret)
{
	return WHOLE(sent(socket->sk, ret));
}

/* Until 6.5 (commit dc97391e6610). */
SEC("fexit/unix_stream_sendpage")
int BPF_PROG(unix_stream_sendpage_exit, struct socket *socket, void *page, int offset,
	     __u64 size, int flags, int ret)
{
	return WHOLE(sent(socket->sk, ret));
}

SEC("fexit/unix_stream_recvmsg")
int BPF_PROG(unix_stream_recvmsg_exit, struct socket *socket, struct msghdr *msg,
	     __u64 size, int flags, int ret)
{
	return WHOLE(received(socket->sk, ret, flags, msg));
}

/* What sk_data_ready points to, for TCP and Unix sockets alike. */
SEC("fentry/sock_def_readable")
int BPF_PROG(sock_def_readable_entry, struct sock *sk)
{
	return WHOLE(arrived(sk));
}

/* --- the same in turns, where functions are preempted ------------------------------
 */

TURNS_OF(TALLY_HOOK_SEND_BEGINS, tcp_sendmsg_entry, "fentry/tcp_sendmsg")
TURNS_OF(TALLY_HOOK_SENT, tcp_sendmsg_exit, "fexit/tcp_sendmsg")
TURNS_OF(TALLY_HOOK_PAGE_SENT, tcp_sendpage_exit, "fexit/tcp_sendpage")
TURNS_OF(TALLY_HOOK_RECEIVED, tcp_recvmsg_exit, "fexit/tcp_recvmsg")
TURNS_OF(TALLY_HOOK_UNIX_SEND_BEGINS, unix_stream_sendmsg_entry,
	 "fentry/unix_stream_sendmsg")
TURNS_OF(TALLY_HOOK_UNIX_SENT, unix_stream_sendmsg_exit, "fexit/unix_stream_sendmsg")
TURNS_OF(TALLY_HOOK_UNIX_PAGE_SENT, unix_stream_sendpage_exit,
	 "fexit/unix_stream_sendpage")
TURNS_OF(TALLY_HOOK_UNIX_RECEIVED, unix_stream_recvmsg_exit,
	 "fexit/unix_stream_recvmsg")
TURNS_OF(TALLY_HOOK_ARRIVED, sock_def_readable_entry, "fentry/sock_def_readable")

/* --- either way ------------------------------------------------------------------ */

/* All that takes bytes out of a TCP socket without a length. */
SEC("fexit/tcp_splice_read")
int BPF_PROG(tcp_splice_read_exit, struct socket *socket)
{
	return WHOLE(left_unseen(socket->sk));
}

SEC("fexit/tcp_getsockopt")
int BPF_PROG(tcp_getsockopt_exit, struct sock *sk, int level, int option)
{
	if (level != IPPROTO_TCP || option != TCP_ZEROCOPY_RECEIVE)
		return 0;
	return WHOLE(left_unseen(sk));
}

/* The same, where functions cannot tell or may be preempted: every read comes by. */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(tcp_rcv_space_adjust, struct sock *sk)
{
	return bytes_leave_unseen() ? WHOLE(left_unseen(sk)) : 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(inet_sock_set_state, struct sock *sk, int oldstate, int newstate)
{
	return WHOLE(state_changed(sk, newstate));
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(tcp_destroy_sock, struct sock *sk)
{
	struct conversation *c = find(sk);

	return c ? WHOLE(destroyed(c, sk)) : 0;
}

/* --- processes -------------------------------------------------------------------- */

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	return WHOLE(forked(parent, child));
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task)
{
	return WHOLE(executed(task));
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	return WHOLE(exited(task));
}

/* --- for the daemon ------------------------------------------------------------- */

SEC("iter/bpf_sk_storage_map")
int each_connection(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct conversation *c = ctx->value;
	struct sock *sk = ctx->sk;

	if (!c || !sk)
		return 0;
	carry_traffic(c, sk);
	if (connection_counts(c, sk))
		count_connection(c, ctx->meta->seq);
	return 0;
}
