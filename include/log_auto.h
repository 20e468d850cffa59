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

/* path: how it can be opened here; name: how the process calls it. */
typedef void (*log_auto_call)(void *context, const char *path, const char *name);
/* root: "/proc". What cannot be read is left out. */
void log_auto_each(const char *root, uint32_t pid, log_auto_call call, void *context);
bool log_auto_is_log(const char *name, bool appends);
