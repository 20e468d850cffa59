/* SPDX-License-Identifier: Apache-2.0 */
/*
 * holders.h - which of some processes has each socket that is listened on: of several,
 * the oldest. Descriptors are read when there is a reason to only (a new socket, a new
 * process, a holder that has gone), and LISTENING_PORTION of one process at a time: one
 * may have many thousands. It neither waits nor knows the loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct holders;
struct listening_socket;

/* root: "/proc"; it outlives this. -ENOMEM. */
int holders_create(const char *root, struct holders **ret_holders);
void holders_free(struct holders **holders);
/* A look: it begins, each process there is is added (at most HOLDERS_PROCESSES_MAX; the
 * name is copied), then it goes on until false. -errno, -ENOMEM: it has not begun. */
#define HOLDERS_PROCESSES_MAX 65536
int holders_begin(struct holders *holders);
void holders_add(struct holders *holders, uint32_t pid, const char *service);
bool holders_go_on(struct holders *holders);

/* Who was found by the last look that ended. */
struct holder {
	uint32_t pid;
	uint64_t start_ticks; /* with the pid, a process that is never another */
	const char *service;
};
typedef void (*holders_visit)(void *context, const struct listening_socket *socket,
			      const struct holder *holder);
void holders_each(const struct holders *holders, holders_visit visit, void *context);
