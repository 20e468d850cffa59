/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * workspace.bpf.h - the scratch memory of one running program: what it is fed, a
 * window on it, the request that it finished. Not on the stack, which has 512
 * bytes for all frames together before Linux 6.13, and not per CPU, because a
 * program may be preempted, or nested in softirq: a pool, in which a program
 * takes a place for itself and gives it back before it ends.
 */
#pragma once

#include "parse/route.h"
#include "window.bpf.h"

#define WORKSPACES 256    /* a power of two; one per program running at once */
#define WORKSPACE_TRIES 8 /* places to look at before giving up */

/* What is left of the segment being fed. */
struct chunk {
	__u64 base; /* user address of the next byte not in the window */
	__u64 len;  /* bytes from there on */
	__u64 now_ns;
	__u64 began_ns; /* of the call: the send's start, or now */
	__u64 queue_ns; /* how long the bytes had waited, for reads */
	__u32 direction;
	__u32 is_writing; /* more was written than was told (late_tcp_sends) */
};

/* One call's bytes: where they are, segment by segment. */
struct call {
	struct chunk chunk;
	struct source source;
	__u64 left;    /* bytes of the segments not yet begun */
	__u32 segment; /* next one */
	__u32 reserved;
};

/* A finished request, as the conversation saw it. */
struct sample {
	struct tally_series_key key;
	__u64 duration_ns;
	__u64 first_byte_ns;
	__u64 queue_ns;
	__u64 request_bytes;
	__u64 response_bytes;
	__u32 answered;      /* a response began: first_byte and its size count */
	__u32 route_service; /* under which the route's text was put down */
};

struct workspace {
	__u32 index; /* in the pool */
	__u32 busy;
	__u32 finished;   /* sample is a request to be counted */
	__u32 head_whole; /* the window began with the head under way */
	struct call call;
	struct sample sample;
	struct route route;
	struct window window;
};

/* Full: a call that must be parsed is lost, in the ledger. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WORKSPACES);
	__type(key, __u32);
	__type(value, struct workspace);
} workspaces SEC(".maps");

/* NULL: as many programs run. The window is empty; the call is what the last one left.
 */
static __always_inline struct workspace *workspace_take(void)
{
	const __u32 first = bpf_get_smp_processor_id();

	for (__u32 i = 0; i < WORKSPACE_TRIES; i++) {
		__u32 index =
		    (first + i * (WORKSPACES / WORKSPACE_TRIES)) & (WORKSPACES - 1);
		struct workspace *ws = bpf_map_lookup_elem(&workspaces, &index);

		if (!ws || __sync_lock_test_and_set(&ws->busy, 1))
			continue;
		ws->index = index;
		ws->window.pos = ws->window.len = 0;
		return ws;
	}
	return NULL;
}

static __always_inline void workspace_give(struct workspace *ws)
{
	__sync_lock_test_and_set(&ws->busy, 0);
}
