/* SPDX-License-Identifier: Apache-2.0 */
/* Facts of one process from /proc, and the service name they amount to. The
 * root is a parameter so that a directory can play /proc in tests. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi.h"

/* As long as --service may be (CONFIG_SERVICE_LEN_MAX), and a NUL. */
#define PROC_NAME_LEN 256
#define PROC_EXE_LEN 4096

struct proc_facts {
	char exe[PROC_EXE_LEN];   /* as its mount namespace sees it; "" if unreadable;
				     without the kernel's " (deleted)" */
	char name[PROC_NAME_LEN]; /* service.name */
	char name_space[PROC_NAME_LEN]; /* service.namespace or "" */
	bool alive;                     /* /proc/PID was there */
};

/* Name, in this order: OTEL_SERVICE_NAME; service.name of
 * OTEL_RESOURCE_ATTRIBUTES; systemd unit or container, the deeper of the two in
 * the cgroup (cgroup.h); program (program.h). For a process that is gone, `event`
 * (may be NULL) stands in with its comm and argv. Names are made valid, bounded
 * labels and are never empty. */
void proc_read(const char *root, uint32_t pid, const struct tally_process_event *event,
	       struct proc_facts *ret_facts);
/* The executable alone, as in proc_facts; "" too when the process is gone. */
void proc_read_exe(const char *root, uint32_t pid, char ret_exe[PROC_EXE_LEN]);
/* Whether the process exists: no zombie, nor about to be one. */
bool proc_alive(const char *root, uint32_t pid);
/* Parent pid, 0 when unknown. */
uint32_t proc_parent(const char *root, uint32_t pid);
/* When it started, in clock ticks since boot; 0 when unknown. With the pid, a process
 * that is never another. */
uint64_t proc_start_ticks(const char *root, uint32_t pid);
/* Calls back for every process (not thread) under root. */
void proc_each(const char *root, void (*visit)(void *context, uint32_t pid),
	       void *context);
