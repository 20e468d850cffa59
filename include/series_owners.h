/* SPDX-License-Identifier: Apache-2.0 */
/*
 * series_owners.h - the services of the ids that rows, routes, connections and
 * processes have in the kernel; each owner is one id. A service may have several: its
 * own and those that its processes had before they were named (aliases). What is known
 * of ids without a name stays from one collection to the next.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct series_collection;

/* Ours, never the kernel's: provisional ids count up from 0x80000001. */
#define SERIES_UNKNOWN UINT32_MAX

enum series_owner_state {
	SERIES_SHOWN,
	SERIES_WAITING, /* for its name */
	SERIES_IGNORED, /* not selected */
};

struct series_owner {
	uint32_t id;      /* in the kernel */
	uint32_t service; /* its own id, TALLY_SERVICE_OTHER or SERIES_UNKNOWN */
	enum series_owner_state state;
	const char *name;
	const char *name_space;
	int64_t since_ms; /* without a name */
	bool live;        /* a process has this id */
	bool connected;   /* a connection has */
	bool settled;     /* see is_settled */
	bool expired;
	uint32_t rows;   /* in the kernel */
	uint32_t routes; /* in the kernel, under this very id */
	struct series_owner *next;
};

/* NULL: nothing had the id so far. */
struct series_owner *series_owner_find(struct series_collection *collection,
				       uint32_t id);
/* NULL only when memory ran out, which the snapshot remembers. */
struct series_owner *series_owner_get(struct series_collection *collection,
				      uint32_t id);
/* Of retired rows, which are the service's own. Likewise. */
struct series_owner *series_owner_of_service(struct series_collection *collection,
					     uint32_t service);
bool series_owner_is_alias(const struct series_collection *collection,
			   const struct series_owner *owner);
/* Shown as this service. */
bool series_owner_is_of(const struct series_owner *owner, uint32_t service);
/* A service with a name. */
bool series_owner_is_target(const struct series_owner *owner);
/* No rows, and none to come. */
bool series_owner_is_finished(const struct series_owner *owner);
/* When all is read: which ones nobody writes to any more. Aliases without
 * rows come in here: to be dropped like the others. */
void series_owners_settle(struct series_collection *collection);
/* Of those that are finished. A connection that was idle since before its process was
 * named still has the old id, and is found under its service by the alias. */
void series_owners_drop_aliases(struct series_collection *collection);
/* The ids without a name, for the next collection. */
void series_owners_remember(struct series_collection *collection);
