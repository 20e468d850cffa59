/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table of pointers whose memory is a snapshot's arena: it lives as long
 * as a collection and is never freed by itself. It owns no item, deletes none,
 * and does not compare: the caller says which item of a hash is meant. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot.h"

struct table_slot {
	uint64_t hash;
	void *item;
};

struct table { /* zeroed: empty */
	struct table_slot *slots;
	size_t capacity; /* a power of two, at least a third of it free */
	size_t count;
};

typedef bool (*table_same)(const void *item, const void *wanted);

/* NULL when there is none. */
void *table_find(const struct table *table, uint64_t hash, table_same same,
		 const void *wanted);
/* The caller looked: the item is not in the table. False when memory ran out,
 * which the snapshot remembers. */
bool table_add(struct table *table, uint64_t hash, void *item,
	       struct snapshot *snapshot);
/* Start from a secret when strangers choose the bytes; may be chained. */
uint64_t table_hash(uint64_t start, const void *data, size_t len);
uint64_t table_hash_labels(uint64_t start, const struct label_set *set);
