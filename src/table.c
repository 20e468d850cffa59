/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <string.h>

#define CAPACITY_MIN 64

void *table_find(const struct table *table, uint64_t hash, table_same same,
		 const void *wanted)
{
	size_t mask = table->capacity - 1;

	if (!table->capacity)
		return NULL;
	for (size_t i = hash & mask; table->slots[i].item; i = (i + 1) & mask)
		if (table->slots[i].hash == hash && same(table->slots[i].item, wanted))
			return table->slots[i].item;
	return NULL;
}

static void table_place(struct table *table, struct table_slot slot)
{
	size_t mask = table->capacity - 1;
	size_t i = slot.hash & mask;

	while (table->slots[i].item)
		i = (i + 1) & mask;
	table->slots[i] = slot;
	table->count++;
}

static bool table_grow(struct table *table, struct snapshot *snapshot)
{
	struct table wider = {
	    .capacity = table->capacity ? table->capacity * 2 : CAPACITY_MIN,
	};

	wider.slots = snapshot_alloc(snapshot, wider.capacity * sizeof(*wider.slots));
	if (!wider.slots)
		return false;
	for (size_t i = 0; i < table->capacity; i++)
		if (table->slots[i].item)
			table_place(&wider, table->slots[i]);
	*table = wider;
	return true;
}

bool table_add(struct table *table, uint64_t hash, void *item,
	       struct snapshot *snapshot)
{
	if (3 * (table->count + 1) > 2 * table->capacity &&
	    !table_grow(table, snapshot))
		return false;
	table_place(table, (struct table_slot){hash, item});
	return true;
}

/* FNV-1a. Its low bits, which choose the slot, get the high ones mixed in. */
uint64_t table_hash(uint64_t start, const void *data, size_t len)
{
	const unsigned char *bytes = data;
	uint64_t hash = start;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	return hash ^ hash >> 32;
}

uint64_t table_hash_labels(uint64_t start, const struct label_set *set)
{
	uint64_t hash = start;

	for (size_t i = 0; i < set->count; i++) {
		hash = table_hash(hash, set->labels[i].name,
				  strlen(set->labels[i].name) + 1);
		hash = table_hash(hash, set->labels[i].value,
				  strlen(set->labels[i].value) + 1);
	}
	return hash;
}
