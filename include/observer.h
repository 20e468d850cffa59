/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observer.h - all that sees processes through the kernel: its programs and maps
 * (probes), who is selected and what it is called (targets), what of it is counted
 * (series, functions), and what was missed (ledger). Wakes when a program starts or a
 * process first speaks; else it is asked. Without it (--no-bpf) the daemon scrapes,
 * reads logs and delivers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "loop.h"
#include "processes.h"
#include "snapshot.h"

struct observer;
struct service; /* targets.h */

/* Loads, attaches and selects. loop, config and processes, which collects with it,
 * outlive it. Errors are logged. */
int observer_create(struct loop *loop, const struct config *config,
		    struct processes *processes, struct observer **ret_observer);
void observer_free(struct observer **observer);
/* Looks for what --exe selects by now, and appends what is there to a snapshot that is
 * not finished. -errno of the first map that could not be read. */
int observer_collect(struct observer *observer, struct snapshot *snapshot);
/* Every process that has a service by now; it may be gone. */
typedef void (*observer_visit)(void *context, uint32_t pid,
			       const struct service *service);
void observer_each_process(const struct observer *observer, observer_visit visit,
			   void *context);
/* From now on called for each process that gets its service, from the loop. */
void observer_tell(struct observer *observer, observer_visit named, void *context);
/* Whether any request was counted. */
bool observer_saw_request(const struct observer *observer);
/* "every process", or "processes with pid 4242, exe \"/usr/sbin/nginx\", port 80":
 * what is observed, for people. Lives as long as the observer. */
const char *observer_subject(const struct observer *observer);
