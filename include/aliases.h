/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aliases.h - which service a provisional id of the kernel turned out to be. It knows
 * no service and no process: ids in, ids out.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ALIASES_MAX 65536

struct aliases;

struct alias {
	uint32_t id;
	uint32_t service;
	bool ignored; /* of no service */
	int64_t since_ms;
	bool unjudged; /* ignored, though it may have been of one */
};

int aliases_create(struct aliases **ret_aliases);
void aliases_free(struct aliases **aliases);

/* One more, or another one for that id. -ENOMEM, also beyond ALIASES_MAX. */
int aliases_put(struct aliases *aliases, const struct alias *alias);
/* Good until the next change; NULL when there is none. */
const struct alias *aliases_find(const struct aliases *aliases, uint32_t id);
/* The next id above this one, 0 when there is none: 0 asks for the first. */
uint32_t aliases_after(const struct aliases *aliases, uint32_t id);
void aliases_drop(struct aliases *aliases, uint32_t id);
/* All that lead to this service. */
void aliases_drop_service(struct aliases *aliases, uint32_t service);
