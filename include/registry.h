/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h - a hash table of items that come and go, found by bytes that strangers
 * choose. It does not compare, and owns no item: the caller says which item of a hash
 * is meant, and frees what it forgets. (table.h is for what lives as long as an arena.)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGISTRY_KEYS 64

/* Multilinear (hash.h) over words of 64 bits, keys of 128 made beforehand: whoever does
 * not know the seed finds no two texts that share a hash but by luck. */
struct registry_keys {
	unsigned __int128 words[REGISTRY_KEYS + 1];
};

/* With a seed of its own, never the same one. */
void registry_keys_init(struct registry_keys *keys);
uint64_t registry_hash(const struct registry_keys *keys, const void *data, size_t len);

struct registry_slot {
	uint64_t hash;
	void *item;
};

struct registry { /* zeroed: empty */
	struct registry_slot *slots;
	size_t capacity; /* a power of two, at least a third of it free */
	size_t count;
};

typedef bool (*registry_same)(const void *item, const void *wanted);
/* False: the item is to go, and the callee has freed it. */
typedef bool (*registry_stays)(void *item, void *context);

/* The slots, not the items. */
void registry_free(struct registry *registry);
/* NULL when there is none. */
void *registry_find(const struct registry *registry, uint64_t hash, registry_same same,
		    const void *wanted);
/* The caller looked: the item is not there. -ENOMEM: nothing has changed. */
int registry_add(struct registry *registry, uint64_t hash, void *item);
/* Asks for each item once. Nothing is allocated. */
void registry_sweep(struct registry *registry, registry_stays stays, void *context);
