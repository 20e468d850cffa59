/* SPDX-License-Identifier: Apache-2.0 */
/*
 * processes.h - the process_* metrics of every observed process and of this one, read
 * when they are asked for: by process, or summed by service. Owns what must outlive a
 * process: the work of those that ended, so that no sum falls. Which processes are
 * observed the kernel's process map says, what their services are called, targets.h.
 */
#pragma once

#include <stdbool.h>

#include "config.h"
#include "probes.h"
#include "snapshot.h"
#include "targets.h"

struct processes;

/* proc_root: "/proc" outside tests. -errno of opening it. */
int processes_create(enum config_process_metrics by, const char *proc_root,
		     struct processes **ret_processes);
void processes_free(struct processes **processes);

/* Whether it asks for what processes move: not with `off`, nor where the kernel's pids
 * mean other processes (a pid namespace of our own). */
bool processes_observes(const struct processes *processes);

/* After the pass over all connections, which brings what they moved (series.h).
 * probes: NULL, no process is observed but this one. -errno of reading a map, -ENOMEM,
 * or the snapshot's own error. */
int processes_collect(struct processes *processes, const struct probes *probes,
		      const struct targets *targets, struct snapshot *snapshot);
