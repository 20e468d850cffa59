/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_auto.h - which files of a process are logs: regular files that it has open for
 * writing, and that either it appends to (O_APPEND) or are named like one: *.log,
 * *.out, *.err, or in a directory log or logs. Never what databases append to, nor
 * what was deleted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct log_auto;

/* root: "/proc"; it outlives this. -ENOMEM. */
int log_auto_create(const char *root, struct log_auto **ret_walk);
void log_auto_free(struct log_auto **walk);
/* One more process is to be looked at; its name is copied. What is beyond this many, or
 * the memory, is left out: it is for the next time. */
#define LOG_AUTO_PROCESSES_MAX 65536
void log_auto_add(struct log_auto *walk, uint32_t pid, const char *service);
bool log_auto_is_idle(const struct log_auto *walk);
/* path: how it can be opened here; name: how the process calls it. */
typedef void (*log_auto_call)(void *context, const char *path, const char *name,
			      const char *service);
/* Looks at so many descriptors of one process, from which add must not be called;
 * false: that was the last. What cannot be read is left out. */
#define LOG_AUTO_PORTION 512
bool log_auto_go_on(struct log_auto *walk, log_auto_call call, void *context);
bool log_auto_is_log(const char *name, bool appends);
