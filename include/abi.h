/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * abi.h - everything the kernel programs and the daemon say to each other.
 *
 * One copy, included by both sides; sizes are asserted, so a change that only
 * one side would notice does not compile. What is *not* here: connection state
 * (conversation.h), which never leaves the kernel.
 */
#pragma once

#include "buckets.h"
#include "types.h"

#define TALLY_COMM_LEN 16
#define TALLY_EXE_LEN 64       /* name of the executable's file */
#define TALLY_ARGS_LEN 256     /* start of a process's argv, NUL separated */
#define TALLY_ROUTE_LEN 96     /* normalised route, without the final NUL */
#define TALLY_ADDRESS_LEN 112  /* 16 address bytes, or a Unix path (108) */
#define TALLY_ROUTE_OTHER 1ull /* hash reserved for "no room: other" */
#define TALLY_ROUTE_NONE 0ull  /* hash reserved for "no route known" */
#define TALLY_SERVICE_OTHER 0u /* series of services that found no room */

/* Service ids: the daemon numbers from 1; the kernel, for a process that the
 * daemon has not named yet, takes the next number with this bit set. */
#define TALLY_SERVICE_PROVISIONAL 0x80000000u

enum tally_role {
	TALLY_ROLE_UNKNOWN,
	TALLY_ROLE_SERVER, /* this end reads requests */
	TALLY_ROLE_CLIENT, /* this end writes requests */
};

enum tally_protocol {
	TALLY_PROTOCOL_UNKNOWN,
	TALLY_PROTOCOL_HTTP1,
};

enum tally_method {
	TALLY_METHOD_OTHER,
	TALLY_METHOD_GET,
	TALLY_METHOD_HEAD,
	TALLY_METHOD_POST,
	TALLY_METHOD_PUT,
	TALLY_METHOD_DELETE,
	TALLY_METHOD_CONNECT,
	TALLY_METHOD_OPTIONS,
	TALLY_METHOD_TRACE,
	TALLY_METHOD_PATCH,
	TALLY_METHOD_COUNT,
};

/* Why a request ended without a full response. A 5xx (server) or 4xx/5xx
 * (client) status is an error too; the daemon derives that from the status. */
enum tally_error {
	TALLY_ERROR_NONE,
	TALLY_ERROR_CLOSED, /* connection ended before the response did */
};

/* Every way to lose a request; docs/metrics.md explains each for users. The
 * order is the order of the names in ledger.c. */
enum tally_missed {
	TALLY_MISSED_JOINED_MIDWAY,   /* response whose request predates us */
	TALLY_MISSED_LOST_SYNC,       /* bytes went by unseen inside a message */
	TALLY_MISSED_NO_REQUEST,      /* response that answers nothing we saw */
	TALLY_MISSED_MALFORMED,       /* message that breaks RFC 9112 framing */
	TALLY_MISSED_IO_URING,        /* message start read through io_uring */
	TALLY_MISSED_COMPAT,          /* message start in a 32-bit caller */
	TALLY_MISSED_NO_WINDOW,       /* message start with no user buffer */
	TALLY_MISSED_READ_FAULT,      /* user buffer could not be read */
	TALLY_MISSED_PIPELINE_FULL,   /* more requests in flight than we hold */
	TALLY_MISSED_WORK_LIMIT,      /* more messages in one call than we walk */
	TALLY_MISSED_CONCURRENT_IO,   /* two threads in one direction at once */
	TALLY_MISSED_HANDED_OVER,     /* answered by a process not selected */
	TALLY_MISSED_CONNECTION_FULL, /* no memory for a connection's state */
	TALLY_MISSED_PROCESS_FULL,    /* process table full */
	TALLY_MISSED_EVENT_FULL,      /* daemon told late of a new process */
	TALLY_MISSED_SERIES_FULL,     /* counted, but under `other` */
	TALLY_MISSED_ROUTE_FULL,      /* counted, but with route `other` */
	TALLY_MISSED_ADDRESS_FULL,    /* counted, but without server_address */
	TALLY_MISSED_TALLY_FAILED,    /* map update refused: not counted */
	TALLY_MISSED_TLS,             /* connection is encrypted */
	TALLY_MISSED_HTTP2,           /* connection speaks HTTP/2 */
	TALLY_MISSED_UNSEEN_CLOSE,    /* Unix socket closed with one in flight */
	TALLY_MISSED_UNJUDGED,        /* whose process ended before it was judged */
	TALLY_MISSED_COUNT,
};

struct tally_series_key {
	__u32 service;
	__u16 port;    /* of the server end, host order; 0 for Unix sockets */
	__u16 status;  /* 0: none was seen */
	__u64 route;   /* hash; text in the routes map */
	__u64 address; /* hash of the server end's address; addresses map */
	__u8 protocol;
	__u8 role;
	__u8 method;
	__u8 error;
	__u32 reserved;
};

/* All counters only grow. Buckets are not cumulative; `_count` is their sum. */
struct tally_series {
	__u64 duration[DURATION_BUCKETS];
	__u64 first_byte[DURATION_BUCKETS];
	__u64 queue[DURATION_BUCKETS]; /* servers only */
	__u64 request_size[SIZE_BUCKETS];
	__u64 response_size[SIZE_BUCKETS];
	__u64 native[NATIVE_BUCKETS]; /* of duration */
	__u64 duration_sum_ns;
	__u64 first_byte_sum_ns;
	__u64 queue_sum_ns;
	__u64 request_bytes;
	__u64 response_bytes;
};

/* In the series map under the hash of its key (series_key.h). */
struct tally_row {
	struct tally_series series;
	struct tally_series_key key; /* all 0 while the row is being made */
};

struct tally_route_key {
	__u64 hash;
	__u32 service;
	__u32 reserved;
};

struct tally_route {
	__u32 len;
	char text[TALLY_ROUTE_LEN + 4]; /* printable ASCII, NUL terminated */
};

struct tally_address {
	__u16 family; /* AF_INET, AF_INET6, AF_UNIX */
	__u16 len;
	__u8 bytes[TALLY_ADDRESS_LEN]; /* abstract Unix names start with NUL */
};

enum tally_process_flags {
	TALLY_PROCESS_IGNORED = 1, /* not selected: leave its sockets alone */
	TALLY_PROCESS_PINNED = 2,  /* descends from a --pid: does so across exec */
	TALLY_PROCESS_UNNAMED = 4, /* pinned, and a program without a name as yet */
};

struct tally_process {
	__u32 service;
	__u32 flags;
};

/* Payload over TCP by one process, since we attached. `service`: the last one that it
 * was known under, for when the process has ended. */
struct tally_traffic {
	__u64 received;
	__u64 sent; /* not counted again when it had to be sent again */
	__u32 service;
	__u32 reserved;
};

/* Ring buffer record: a process that the daemon has not named spoke a
 * protocol we know. `pid` is the thread group id in the initial namespace. */
struct tally_process_event {
	__u32 pid;
	__u32 service; /* provisional id its series are under until named */
	char comm[TALLY_COMM_LEN];
	char exe[TALLY_EXE_LEN]; /* the last part of its path, "": not known */
	__u32 args_len;
	char args[TALLY_ARGS_LEN];
	__u32 reserved;
};

#define TALLY_CONNECTION_UNIX 0x80 /* flag in tally_connections_key.protocol */

/* The live connections that we follow, those that are alike added up by the
 * iterator; one for which its map has no room is a record on its own. */
struct tally_connections_key {
	__u32 service;
	__u8 role;
	__u8 protocol;
	__u16 reserved;
};

struct tally_connections {
	__u64 open;
	__u64 in_flight;
};

struct tally_connections_record {
	struct tally_connections_key key;
	struct tally_connections sum;
};

/* Conservation of requests on Unix sockets, which close without a hook: what
 * began, less what ended, less what the iterator finds in flight, vanished. */
struct tally_unix_balance {
	__u64 begun;
	__u64 ended;
};

/* Stored whole into the skeleton's read-only data before load: what is off
 * costs nothing. */
#define TALLY_PORTS_MAX 16
struct tally_config {
	__u64 seed;     /* of every hash over a stranger's bytes */
	__u32 self_pid; /* never observe the agent */
	__u32 routes_per_service;
	__u32 series_max; /* rows of the series map, overflow not counted */
	__u32 port_count; /* 0: every port */
	__u16 ports[TALLY_PORTS_MAX];
	__u8 ignore_unknown;    /* processes not in the map are not selected */
	__u8 recvmsg_arguments; /* this kernel's tcp_recvmsg has so many */
	__u8 no_shortcuts;      /* parse every head (for tests) */
	__u8 preemptible;       /* this kernel may preempt a program */
	__u8 counts_traffic;    /* by process */
	__u8 late_tcp_sends;    /* no program sees that a send begins, only its end */
	__u8 late_unix_sends;   /* none before its bytes can be read */
	__u8 no_waiting;        /* of a thread for another's program (for tests) */
};

/* Hooks that several programs are attached to where one may be preempted. */
enum tally_hook {
	TALLY_HOOK_RECEIVED,
	TALLY_HOOK_SENT,
	TALLY_HOOK_ARRIVED,
	TALLY_HOOK_SEND_BEGINS,
	TALLY_HOOK_KINDS, /* of functions, more are of the same kinds */
	TALLY_HOOK_UNIX_RECEIVED = TALLY_HOOK_KINDS,
	TALLY_HOOK_UNIX_SENT,
	TALLY_HOOK_UNIX_SEND_BEGINS,
	TALLY_HOOK_PAGE_SENT,
	TALLY_HOOK_UNIX_PAGE_SENT,
	TALLY_HOOK_COUNT
};

/* Written by programs, read by the daemon through the .bss map. */
struct tally_counters {
	__u64 missed[TALLY_MISSED_COUNT];
	struct tally_unix_balance unix_balance;
	__u64 next_service; /* provisional ids handed out */
	__u64
	    stood_in[TALLY_HOOK_COUNT]; /* events that another than the first saw to */
};

#define TALLY_SERIES_MAX 8192  /* default rows; 2.6 kB each when used */
#define TALLY_ROUTES_MAX 256   /* default distinct routes a service */
#define TALLY_ROUTE_ROWS 16384 /* routes of all services */
#define TALLY_ADDRESS_ROWS 4096
#define TALLY_PROCESS_ROWS 16384
#define TALLY_CONNECTION_ROWS 1024 /* services, by end and transport */
#define TALLY_EVENT_BYTES (256 * 1024)

_Static_assert(sizeof(struct tally_series_key) == 32, "key layout");
_Static_assert(sizeof(struct tally_route_key) == 16, "key layout");
_Static_assert(sizeof(struct tally_process) == 8, "value layout");
_Static_assert(sizeof(struct tally_connections_key) == 8, "key layout");
_Static_assert(sizeof(struct tally_connections_record) == 24, "record layout");
_Static_assert(sizeof(struct tally_traffic) == 24, "value layout");
_Static_assert(sizeof(struct tally_series) % 8 == 0, "atomics need 8");
_Static_assert(sizeof(struct tally_row) == 2472, "value layout");
