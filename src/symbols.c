/* SPDX-License-Identifier: Apache-2.0 */
#include "symbols.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define SLOTS_MIN 256

struct symbol {
	uint32_t hash;
	uint32_t number; /* 0: a free slot, the empty string has none */
};

void symbols_init(struct symbols *symbols, uint64_t seed)
{
	*symbols = (struct symbols){.seed = seed};
}

void symbols_clear(struct symbols *symbols)
{
	snapshot_free(&symbols->storage);
	free(symbols->strings);
	free(symbols->slots);
	symbols_init(symbols, symbols->seed);
}

static uint32_t hash_of(const struct symbols *symbols, const char *string, size_t len)
{
	struct keyed_hash hash = {0};

	for (uint32_t i = 0; len; i++) {
		size_t bytes = len < 8 ? len : 8;
		uint64_t word = 0;

		memcpy(&word, string, bytes);
		hash_add(&hash, symbols->seed, i, word);
		string += bytes;
		len -= bytes;
	}
	return (uint32_t)(hash_value(&hash) >> 32);
}

/* Where a hash may be, or the first free slot behind. */
static uint32_t slot_after(const struct symbols *symbols, uint32_t slot)
{
	return (slot + 1) & (symbols->slot_count - 1);
}

static void enter(struct symbols *symbols, struct symbol symbol)
{
	uint32_t slot = symbol.hash & (symbols->slot_count - 1);

	while (symbols->slots[slot].number)
		slot = slot_after(symbols, slot);
	symbols->slots[slot] = symbol;
}

/* Also makes the first, with the empty string. */
static bool grow(struct symbols *symbols)
{
	struct symbol *slots = symbols->slots;
	uint32_t slot_count = symbols->slot_count;
	uint32_t more = slot_count ? slot_count * 2 : SLOTS_MIN;
	char **strings =
	    reallocarray(symbols->strings, more / 2, sizeof(*symbols->strings));

	if (!strings)
		return false;
	symbols->strings = strings;
	symbols->slots = calloc(more, sizeof(*slots));
	if (!symbols->slots) {
		symbols->slots = slots;
		return false;
	}
	symbols->slot_count = more;
	for (uint32_t i = 0; i < slot_count; i++)
		if (slots[i].number)
			enter(symbols, slots[i]);
	free(slots);
	if (!symbols->count)
		symbols->strings[symbols->count++] = "";
	return true;
}

static uint32_t find(const struct symbols *symbols, const char *string, uint32_t hash)
{
	uint32_t slot = hash & (symbols->slot_count - 1);

	for (; symbols->slots[slot].number; slot = slot_after(symbols, slot)) {
		const struct symbol *symbol = &symbols->slots[slot];

		if (symbol->hash == hash &&
		    !strcmp(symbols->strings[symbol->number], string))
			return symbol->number;
	}
	return 0;
}

uint32_t symbols_add(struct symbols *symbols, const char *string)
{
	size_t len = strlen(string);
	uint32_t hash = hash_of(symbols, string, len), number;
	char *copy;

	if (symbols->error)
		return 0;
	if (symbols->count >= symbols->slot_count / 2 && !grow(symbols)) {
		symbols->error = -ENOMEM;
		return 0;
	}
	number = len ? find(symbols, string, hash) : 0;
	if (number || !len)
		return number;
	copy = snapshot_alloc(&symbols->storage, len + 1);
	if (!copy) {
		symbols->error = -ENOMEM;
		return 0;
	}
	symbols->strings[symbols->count] = memcpy(copy, string, len);
	enter(symbols, (struct symbol){hash, symbols->count});
	return symbols->count++;
}
