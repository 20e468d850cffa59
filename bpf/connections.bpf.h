/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * connections.bpf.h - the connections that are open and their requests in flight,
 * added up in one pass. Owns the map of the sums; the daemon empties it before the
 * pass and takes them after: one thread, so one pass at a time.
 *
 * What the kernel's iterator returns to its reader is only what found no room here.
 * Between two reads it has but its place in a bucket, a number: it walks there from
 * the bucket's start, and counts wrong when connections came or went meanwhile
 * (bpf_sk_storage_map_seq_find_next). A pass that writes nothing is one read.
 */
#pragma once

#include "queue.bpf.h"

/* Full, or no memory for a row: a record for each connection without one, which the
 * daemon adds up. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_CONNECTION_ROWS);
	__type(key, struct tally_connections_key);
	__type(value, struct tally_connections);
} connections SEC(".maps");

static __always_inline bool connection_counts(const struct conversation *c,
					      const struct sock *sk)
{
	if (!c->role)
		return false;
	if (c->state != CONVERSATION_HTTP1 && c->state != CONVERSATION_CANDIDATE)
		return false;
	/* a Unix socket without one is closed; its peer holds on to it */
	return !c->is_unix || sk->sk_socket;
}

static __always_inline int add_to_sum(const struct tally_connections_record *record)
{
	struct tally_connections *sum = bpf_map_lookup_elem(&connections, &record->key);

	if (!sum)
		return insert(&connections, &record->key, &record->sum);
	__sync_fetch_and_add(&sum->open, record->sum.open);
	__sync_fetch_and_add(&sum->in_flight, record->sum.in_flight);
	return 0;
}

/* In the map or in the buffer, never both: a connection whose record finds the buffer
 * full is shown to us again, and the record is thrown away (bpf_seq_read). */
static __always_inline void count_connection(const struct conversation *c,
					     struct seq_file *seq)
{
	struct tally_connections_record record = {
	    .key = {.service = c->service,
		    .role = c->role,
		    .protocol = TALLY_PROTOCOL_HTTP1 |
				(c->is_unix ? TALLY_CONNECTION_UNIX : 0)},
	    .sum = {.open = 1,
		    .in_flight = queued(&c->ring_ends) + queued(&c->pipeline_ends) +
				 c->overflow + (c->presumed_by != 0)},
	};

	if (add_to_sum(&record))
		bpf_seq_write(seq, &record, sizeof(record));
}
