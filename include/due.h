/* SPDX-License-Identifier: Apache-2.0 */
/*
 * due.h - what is due when: a heap of entries that their owner embeds, so that one
 * timer serves any number of them, and the moments of a period that a hash spreads
 * them over. It knows no clock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DUE_NOT_IN SIZE_MAX

struct due_entry {
	int64_t at_ms;
	size_t index; /* DUE_NOT_IN: in no heap */
};

/* Zeroed: empty. */
struct due {
	struct due_entry **entries; /* a heap, the earliest first */
	size_t count;
	size_t capacity;
};

/* The entry is in no heap. -ENOMEM. */
int due_add(struct due *due, struct due_entry *entry, int64_t at_ms);
/* In whichever place; does nothing where it is in none. */
void due_remove(struct due *due, struct due_entry *entry);
/* The earliest; NULL: none. */
struct due_entry *due_first(const struct due *due);
/* The entries stay their owners'. */
void due_free(struct due *due);
/* How long after `now_ms` (wall clock) the next moment is that is `hash` into a period:
 * the same after a restart. At least a quarter of the period: one that came late, or a
 * little early, is not followed by another at once. is_first: as soon as it is. */
uint64_t due_delay_ms(int64_t now_ms, uint64_t period_ms, uint64_t hash, bool is_first);
