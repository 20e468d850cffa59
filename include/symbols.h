/* SPDX-License-Identifier: Apache-2.0 */
/* Strings, each kept once and known by its number: the symbols of a Remote-Write 2.0
 * request. The empty one is always there and is number 0. The first failure sticks
 * (error): a writer checks once, at its end. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "snapshot.h"

struct symbols {
	char **strings; /* owned, as they were added */
	uint32_t count;
	int error;               /* 0 or -ENOMEM */
	uint64_t seed;           /* of the hash: strangers write some of the strings */
	struct symbol *slots;    /* open addressing, at most half of them taken */
	uint32_t slot_count;     /* a power of two, or none yet */
	struct snapshot storage; /* of which only the arena is used */
};

void symbols_init(struct symbols *symbols, uint64_t seed);
/* Its number; 0 after a failure. The string is copied. */
uint32_t symbols_add(struct symbols *symbols, const char *string);
/* Frees all of them; what was init stays so. */
void symbols_clear(struct symbols *symbols);
