/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs.h - follows log files from the daemon's loop, and puts what is in them into the
 * lanes of those who receive it, together with the positions in the files: both are on
 * disk, or neither is. A file is read as fast as the slowest receiver takes it
 * (log_room.h). It sleeps while nothing is written.
 */
#pragma once

#include "config.h"
#include "loop.h"
#include "snapshot.h"
#include "spool.h"

struct logs;

/* Those who are observed, called with the pid and the service of each. */
typedef void (*logs_visit)(void *context, uint32_t pid, const char *service);
struct logs_observed {
	void (*each)(void *observer, logs_visit visit, void *context);
	void *observer;
};

struct logs_config {
	const struct config *config;
	struct spool *spool;
	void (*begin)(void *context);     /* before a collection of ours begins */
	void (*committed)(void *context); /* there is something to send */
	void *context;
	struct logs_observed observed; /* each NULL: nobody is */
};

/* Begins to read in the loop. All that is passed outlives it; logs_config is copied.
 * Errors are logged: -ENOMEM, -errno. */
int logs_create(struct loop *loop, const struct logs_config *config,
		struct logs **ret_logs);
/* Puts what is complete into the lanes, and reads no more. */
void logs_stop(struct logs *logs);
void logs_free(struct logs **logs);
/* A process has got its name: what it writes may be wanted. */
void logs_see_process(struct logs *logs, uint32_t pid, const char *service);
/* Appends bpftally_log_* and the counters of `metrics`, with strings of its own. */
void logs_describe(const struct logs *logs, struct snapshot *snapshot);
