/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hash.h"

#define CAPACITY_MIN 64

void registry_keys_init(struct registry_keys *keys)
{
	uint64_t seed = 0;

	/* Before the kernel has entropy there is none: it works with any. */
	(void)!getrandom(&seed, sizeof(seed), GRND_NONBLOCK);
	for (uint32_t i = 0; i <= REGISTRY_KEYS; i++) {
		keys->words[i] = (unsigned __int128)hash_key(seed, 2 * i) << 64 |
				 hash_key(seed, 2 * i + 1);
	}
}

/* The upper half of a sum over at most REGISTRY_KEYS - 1 words and the one before. */
static uint64_t hash_piece(const struct registry_keys *keys, uint64_t before,
			   const char *data, size_t len)
{
	const unsigned __int128 *key = keys->words;
	unsigned __int128 sum = key[0] + key[1] * before;
	uint64_t word;

	key += 2;
	for (; len >= sizeof(word); data += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		sum += *key++ * word;
	}
	if (len) {
		word = 0;
		memcpy(&word, data, len);
		sum += *key * word;
	}
	return (uint64_t)(sum >> 64);
}

uint64_t registry_hash(const struct registry_keys *keys, const void *data, size_t len)
{
	const size_t piece = (REGISTRY_KEYS - 1) * sizeof(uint64_t);
	const char *at = data;
	/* Zeros at the end would else not count. */
	uint64_t hash = len;

	for (; len > piece; at += piece, len -= piece)
		hash = hash_piece(keys, hash, at, piece);
	return hash_piece(keys, hash, at, len);
}

void registry_free(struct registry *registry)
{
	free(registry->slots);
	*registry = (struct registry){0};
}

void *registry_find(const struct registry *registry, uint64_t hash, registry_same same,
		    const void *wanted)
{
	const size_t mask = registry->capacity - 1;
	const struct registry_slot *slots = registry->slots;

	if (!registry->capacity)
		return NULL;
	for (size_t i = hash & mask; slots[i].item; i = (i + 1) & mask)
		if (slots[i].hash == hash && same(slots[i].item, wanted))
			return slots[i].item;
	return NULL;
}

static void place(struct registry *registry, struct registry_slot slot)
{
	const size_t mask = registry->capacity - 1;
	size_t i = slot.hash & mask;

	while (registry->slots[i].item)
		i = (i + 1) & mask;
	registry->slots[i] = slot;
	registry->count++;
}

static int grow(struct registry *registry)
{
	struct registry wider = {
	    .capacity = registry->capacity ? registry->capacity * 2 : CAPACITY_MIN,
	};

	wider.slots = calloc(wider.capacity, sizeof(*wider.slots));
	if (!wider.slots)
		return -ENOMEM;
	for (size_t i = 0; i < registry->capacity; i++)
		if (registry->slots[i].item)
			place(&wider, registry->slots[i]);
	free(registry->slots);
	*registry = wider;
	return 0;
}

int registry_add(struct registry *registry, uint64_t hash, void *item)
{
	int err = 0;

	if (3 * (registry->count + 1) > 2 * registry->capacity)
		err = grow(registry);
	if (!err)
		place(registry, (struct registry_slot){hash, item});
	return err;
}

/* Where a search for the hash of a slot would end up, had it been added last. */
static void replace(struct registry *registry, size_t i)
{
	const struct registry_slot slot = registry->slots[i];

	registry->slots[i].item = NULL;
	registry->count--;
	place(registry, slot);
}

void registry_sweep(struct registry *registry, registry_stays stays, void *context)
{
	const size_t mask = registry->capacity - 1, before = registry->count;
	size_t start = 0;

	for (size_t i = 0; i < registry->capacity; i++) {
		struct registry_slot *slot = &registry->slots[i];

		if (slot->item && !stays(slot->item, context)) {
			slot->item = NULL;
			registry->count--;
		}
	}
	if (registry->count == before)
		return;
	/* From a free slot on, once around: what was behind a gap moves into it. */
	while (registry->slots[start].item)
		start++;
	for (size_t i = 1; i < registry->capacity; i++)
		if (registry->slots[(start + i) & mask].item)
			replace(registry, (start + i) & mask);
}
