/* SPDX-License-Identifier: Apache-2.0 */
/* The process_* families, with the names and texts of the Prometheus client
 * libraries: what one process, or the sum of several, is in a snapshot. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "snapshot.h"

/* Whose numbers they are. The strings live as long as the snapshot. */
struct process_owner {
	const char *service;
	const char *name_space; /* "": none */
	uint32_t pid;           /* 0: of all of the service */
};

/* What is not `has_` is left out. */
struct process_numbers {
	double cpu_s;
	double since_s; /* when that was 0, since the epoch; 0: unknown */
	uint64_t received_bytes, sent_bytes;
	uint64_t virtual_bytes, resident_bytes;
	uint64_t threads;
	double open_fds, max_fds;
	double start_s; /* since the epoch; 0: unknown */
	bool has_cpu;
	bool has_network;
	bool has_memory;
	bool has_threads;
	bool has_open_fds, has_max_fds;
};

void process_metrics_emit(struct snapshot *snapshot, const struct process_owner *owner,
			  const struct process_numbers *numbers);
