/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process_stat.h - what /proc says of one process in numbers, as the client libraries
 * of Prometheus read it. The root is a parameter so that a directory can play /proc.
 * It knows no service and keeps nothing of a process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct process_reader;

/* Of one moment, or nearly; never of two processes that had one pid. */
struct process_stat {
	uint64_t start_ticks; /* since boot: which process of that pid it is */
	uint64_t cpu_ticks;   /* user and system, of all threads */
	uint64_t threads;
	uint64_t virtual_bytes;
	uint64_t resident_bytes;
	uint64_t open_fds;
	uint64_t max_fds; /* UINT64_MAX: unlimited */
	bool has_memory;  /* false: its first thread has ended, or it is ending */
	bool has_open_fds;
	bool has_max_fds;
};

/* root: "/proc" outside tests; kept open. Asks once how long a tick is, when the
 * machine was booted and how descriptors are counted. -errno of opening it. */
int process_reader_create(const char *root, struct process_reader **ret_reader);
void process_reader_free(struct process_reader **reader);

/* start_ticks: of the process that it was last time, 0 where it is a new one; if it is
 * another one now, that is read all the same. -ESRCH: there is none, or a zombie;
 * -EPROTO: not understood; else what reading /proc/PID/stat failed with. What else may
 * not be read is left out. */
int process_read(const struct process_reader *reader, uint32_t pid,
		 uint64_t start_ticks, struct process_stat *ret_stat);
/* The limit of a process of which that has none: by its file, which takes twice the
 * time of all the rest. False: it may not be read. */
bool process_read_limit(const struct process_reader *reader, uint32_t pid,
			uint64_t *ret_max_fds);

double process_ticks_s(const struct process_reader *reader, uint64_t ticks);
/* Since the Unix epoch; 0 when the time of boot is not known. As the libraries have
 * it: boot time in whole seconds (btime of /proc/stat), which later steps of the wall
 * clock do not move. */
double process_start_s(const struct process_reader *reader, uint64_t start_ticks);
