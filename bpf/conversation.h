/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * conversation.h - the state of one connection end, kept in socket storage: the
 * kernel frees it with the socket, so reuse of descriptors, dup, fork and
 * SCM_RIGHTS cannot confuse it.
 *
 * Who writes what. A direction (bytes read; bytes written) belongs to the thread
 * that moves its bytes. The request direction alone adds to the queues below.
 * From them take the response direction, who completes a pair (early.bpf.h), what
 * ends a connection (softirq) and what loses step, each by the exchange on `head`,
 * so that they need no lock, though all may run at once.
 *
 * Requests wait for their response in three queues, in this order: `ring` in
 * the conversation; `pipeline`, a second socket storage made only for those who
 * pipeline deeper; `overflow`, a mere count of requests already in the ledger,
 * so that later responses still find the right request.
 */
#pragma once

#include "parse/http1.h"

#define CARRY_BYTES 128 /* > HTTP1_LINE_MAX + 1, a multiple of 8 */
#define RING_SLOTS 4
#define PIPELINE_SLOTS 64
#define DETECT_TURNS 8 /* changes of direction before we give a stranger up */

enum conversation_state {
	CONVERSATION_UNKNOWN,
	CONVERSATION_CANDIDATE, /* request seen, no response yet */
	CONVERSATION_HTTP1,
	CONVERSATION_TUNNEL, /* was HTTP/1: what the client says next names it */
	/* from here on nobody looks at the bytes */
	CONVERSATION_OPAQUE,  /* not ours, or no longer: left alone for good */
	CONVERSATION_IGNORED, /* its process is not selected */
};

struct inflight {
	__u64 start_ns;
	__u64 route;
	__u64 body_bytes;
	__u64 queue_ns;
	__u8 method;
	__u8 whole; /* its body was seen to the end: body_bytes is final */
	__u8 reserved[2];
	__u32 service; /* who asked or was asked; its `route` is under that */
	__u32 pid;     /* whose service that is */
	__u32 reserved_2;
};

struct queue_ends {
	__u32 head; /* next to take */
	__u32 tail; /* next free */
};

struct pipeline {
	struct inflight slots[PIPELINE_SLOTS];
};

/* The last head, whose bytes are kept: many a connection says the same again and
 * again, and what it says is not parsed again. */
struct head {
	__u64 length;
	__u64 route;
	__u32 route_service;
	__u16 status;
	__u8 len; /* of the head, in bytes; 0: none is kept */
	__u8 method;
	__u8 framing;
	__u8 plain;   /* its body, if any, is `length` bytes and nothing else */
	__u8 misses;  /* how many to skip when the next one kept differs, too */
	__u8 skips;   /* how many heads are not kept from now on */
	__u8 counted; /* lowest byte of messages() when it was kept */
	__u8 repeat;  /* enum repeat, of the call under way */
	__u8 reserved[2];
};

struct direction {
	__u32 seq;  /* TCP: sequence number of the next byte to account for */
	__u32 busy; /* a thread is in here */
	union {
		struct {
			__u8 positioned; /* seq is valid */
			__u8 carry_len;
			__u8 answered;   /* before all of the request had come */
			__u8 malformed;  /* message under way broke the rules */
			__u8 wants_push; /* head complete, waits for the pipeline */
			__u8 orphan;     /* response under way answers no request */
			__u8 unseen;     /* calls went by; set by whom they were of */
			__u8 awaited;    /* another thread waits for it */
		};
		__u64 under_way; /* all of them at once */
	};
	__u64 begun_ns; /* first byte of the message under way; 0: none is */
	__u64 last_ns;  /* last byte so far */
	__u64 body_bytes;
	struct http1 http1;
	struct head head;
	union {
		__u8 carry[CARRY_BYTES]; /* start of a line whose end has not come */
		struct kept kept;        /* the last head, when carry_len is 0 */
	};
};

/* Where a send's bytes are: noted when it begins, used when its length is known. */
enum source_kind { SOURCE_NONE, SOURCE_BUFFER, SOURCE_USER_IOVEC, SOURCE_KERNEL_IOVEC };

struct source {
	__u64 base;
	__u64 first[2]; /* SOURCE_KERNEL_IOVEC: base and length of its first segment */
	__u64 skip; /* bytes of the buffer or first segment that are not part of it */
	__u32 segments;
	__u8 kind;
	__u8 missing; /* enum tally_missed when kind is SOURCE_NONE */
	__u8 reserved[2];
};

struct sending {
	__u64 began_ns; /* 0: none in progress */
	struct source source;
	__u32 thread;
	__u8 known; /* source was filled in */
	__u8 reserved[3];
};

/* A response that was read before the send of its request was over (early.bpf.h): its
 * state; whether its request is presumed; which place that has (queue_place). */
enum early_state {
	EARLY_NONE,  /* and nothing else is set */
	EARLY_BEGUN, /* has no place yet */
	EARLY_DONE,
	EARLY_TAKEN, /* the pair is being counted */
	EARLY_LOST,
};

#define EARLY_STATE 7
#define EARLY_PRESUMED 8
#define EARLY_PLACE_SHIFT 4
_Static_assert(EARLY_LOST <= EARLY_STATE && EARLY_STATE < EARLY_PRESUMED &&
		   EARLY_PRESUMED < 1 << EARLY_PLACE_SHIFT,
	       "one word has all of it");

struct answer {
	__u64 first_ns;
	__u64 end_ns;
	__u64 body_bytes;
	__u32 early; /* changed by compare-and-swap */
	__u16 status;
	__u16 reserved;
};

/* A call of several messages (window.bpf.h): what it is known by, its next entry. */
struct mmsg {
	__u32 sign;
	__u32 index;
};

struct conversation {
	__u32 pid;        /* whose it was at the last event */
	__u32 generation; /* of the process table when that was looked up */
	__u32 service;    /* 0: not named yet */
	union {
		struct {
			__u8 state;
			__u8 refused; /* a request got its answer before its body */
		};
		__u16 state_refused; /* both at once */
	};
	__u8 role;
	__u8 turns;
	__u8 last_direction;
	__u8 identified;
	__u8 addressed;
	__u8 is_unix;
	__u8 flagged; /* this connection is in the ledger already */
	__u8 request_seen;
	__u16 local_port;
	__u16 remote_port;
	__u32 presumed_by;   /* reader of the response that presumes a request */
	__u64 address;       /* of the server end */
	__u64 ready_ns;      /* bytes wait unread since; 0: none do */
	__u64 ended_ns;      /* TCP: when it was over, though not yet closed */
	__u64 queue_ns;      /* of the request under way */
	__u64 route;         /* of the request under way */
	struct mmsg mmsg[2]; /* DIRECTION_READ, DIRECTION_WRITE */
	__u32 overflow;
	__u32 paid;          /* responses to come whose requests are in the ledger */
	__u32 orphan_reason; /* why requests are not seen; 0: no reason */
	__u32 route_service; /* under which `route` is in the routes map */
	__u64 received;      /* TCP: bytes that are in the traffic map already, */
	__u64 sent;          /* or moved before we came */
	struct queue_ends ring_ends;
	struct queue_ends pipeline_ends;
	struct sending sending;
	struct answer answer;
	struct direction directions[2]; /* DIRECTION_READ, DIRECTION_WRITE */
	struct inflight ring[RING_SLOTS];
};

enum { DIRECTION_READ, DIRECTION_WRITE };

_Static_assert(
    sizeof(struct conversation) <= 1024 - 80,
    "a page holds four, with what the kernel puts before a socket's storage");
_Static_assert(CARRY_BYTES > HTTP1_LINE_MAX + 1, "a line prefix must fit");
_Static_assert(CARRY_BYTES * 2 <= WINDOW_BYTES,
	       "a window holds a line that was carried");
_Static_assert(CARRY_BYTES <= WINDOW_KEPT, "one memory for both");
_Static_assert(CARRY_BYTES % 8 == 0, "copied by words");
_Static_assert(WINDOW_KEPT <= 255, "head.len is a byte");
