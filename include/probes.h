/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probes.h - the only file that knows the skeleton: loads and attaches the
 * programs, owns their maps and links, says what could not be had. Closing it
 * leaves nothing in the kernel. It reads no counter and formats nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "abi.h"
#include "capture.h"
#include "drain.h"
#include "objects.h"

#define PROBES_ERROR_LEN 512

struct probes;

enum probes_map {
	PROBES_SERIES,       /* __u64 hash -> tally_row, see probes_series */
	PROBES_ROUTES,       /* tally_route_key -> tally_route */
	PROBES_ADDRESSES,    /* __u64 hash -> tally_address */
	PROBES_PROCESSES,    /* __u32 pid -> tally_process */
	PROBES_ROUTE_COUNTS, /* __u32 service -> __u32 distinct routes */
	PROBES_TRAFFIC,      /* __u32 pid -> tally_traffic */
};

/* wanted: CAPTURE_AUTO leaves the choice to what the kernel has. 0, or -errno with
 * one line in ret_error that says what, why and what to do; nothing stays attached
 * then. */
int probes_open(const struct tally_config *config, enum capture wanted,
		struct probes **ret_probes, char ret_error[PROBES_ERROR_LEN]);
void probes_close(struct probes **probes);

/* The way that was taken. */
enum capture probes_capture(const struct probes *probes);
int probes_map_fd(const struct probes *probes, enum probes_map map);
struct series_map probes_series(const struct probes *probes);
/* The programs' counters, mapped: they change under the reader. */
const struct tally_counters *probes_counters(const struct probes *probes);

/* Selection of one process; bumps the generation so that connections ask anew. */
int probes_set_process(struct probes *probes, uint32_t pid,
		       const struct tally_process *process);
/* The same for a process the kernel has an entry of; -ENOENT when it has none
 * (any more): the dead must not come back under a pid that will be reused. */
int probes_update_process(struct probes *probes, uint32_t pid,
			  const struct tally_process *process);
/* The same for a process the kernel has no entry of; -EEXIST when it has one by now. */
int probes_add_process(struct probes *probes, uint32_t pid,
		       const struct tally_process *process);
/* Takes this entry back; -ENOENT when there is none (any more), or another. */
int probes_remove_process(struct probes *probes, uint32_t pid,
			  const struct tally_process *process);

/* Readable when an event waits; then probes_poll. */
int probes_events_fd(const struct probes *probes);
int probes_poll(struct probes *probes,
		void (*seen)(void *context, const struct tally_process_event *event),
		void *context);

/* The live connections, by the socket storage iterator: those that are alike are
 * added up, but may come in more than one sum. */
typedef void (*probes_visit_connections)(void *context,
					 const struct tally_connections_key *key,
					 const struct tally_connections *sum);
int probes_count_connections(const struct probes *probes,
			     probes_visit_connections visit, void *context);

/* As objects.h; `skipped`: with no other that stood in. */
void probes_each_program(const struct probes *probes, objects_visit_program visit,
			 void *context);
uint64_t probes_map_bytes(const struct probes *probes);
