/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aliases.c - many and short-lived: one array in the order of their ids, which the
 * kernel hands out ascending, so that a new one goes to its end; those that are
 * dropped stay as marks until half of it is marks.
 */
#include "aliases.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 64

struct entry {
	struct alias alias;
	bool dropped;
};

struct aliases {
	struct entry *entries; /* ascending ids */
	size_t count;
	size_t capacity;
	size_t dropped;
};

int aliases_create(struct aliases **ret_aliases)
{
	struct aliases *aliases = calloc(1, sizeof(*aliases));

	if (!aliases)
		return -ENOMEM;
	*ret_aliases = aliases;
	return 0;
}

void aliases_free(struct aliases **aliases)
{
	if (!*aliases)
		return;
	free((*aliases)->entries);
	free(*aliases);
	*aliases = NULL;
}

/* Index of the id's entry, or of the first with a larger id. */
static size_t position_of(const struct aliases *aliases, uint32_t id)
{
	size_t low = 0, high = aliases->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (aliases->entries[middle].alias.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Its entry, though it may be dropped. */
static struct entry *find_entry(const struct aliases *aliases, uint32_t id)
{
	size_t position = position_of(aliases, id);

	if (position == aliases->count || aliases->entries[position].alias.id != id)
		return NULL;
	return &aliases->entries[position];
}

static void compact(struct aliases *aliases)
{
	size_t kept = 0;

	for (size_t i = 0; i < aliases->count; i++) {
		if (!aliases->entries[i].dropped)
			aliases->entries[kept++] = aliases->entries[i];
	}
	aliases->count = kept;
	aliases->dropped = 0;
}

static int make_room(struct aliases *aliases)
{
	size_t capacity = aliases->capacity ? aliases->capacity * 2 : CAPACITY_MIN;
	struct entry *entries;

	if (aliases->count == ALIASES_MAX)
		compact(aliases);
	if (aliases->count == ALIASES_MAX)
		return -ENOMEM;
	if (aliases->count < aliases->capacity)
		return 0;
	entries = reallocarray(aliases->entries, capacity, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	aliases->entries = entries;
	aliases->capacity = capacity;
	return 0;
}

static int insert(struct aliases *aliases, const struct alias *alias)
{
	int err = make_room(aliases);
	struct entry *at;

	if (err)
		return err;
	at = &aliases->entries[position_of(aliases, alias->id)];
	memmove(at + 1, at,
		(size_t)(aliases->entries + aliases->count - at) * sizeof(*at));
	*at = (struct entry){.alias = *alias};
	aliases->count++;
	return 0;
}

int aliases_put(struct aliases *aliases, const struct alias *alias)
{
	struct entry *entry = find_entry(aliases, alias->id);

	if (!entry)
		return insert(aliases, alias);
	if (entry->dropped)
		aliases->dropped--;
	*entry = (struct entry){.alias = *alias};
	return 0;
}

const struct alias *aliases_find(const struct aliases *aliases, uint32_t id)
{
	const struct entry *entry = find_entry(aliases, id);

	return entry && !entry->dropped ? &entry->alias : NULL;
}

uint32_t aliases_after(const struct aliases *aliases, uint32_t id)
{
	if (id == UINT32_MAX)
		return 0;
	for (size_t i = position_of(aliases, id + 1); i < aliases->count; i++)
		if (!aliases->entries[i].dropped)
			return aliases->entries[i].alias.id;
	return 0;
}

static void drop(struct aliases *aliases, struct entry *entry)
{
	entry->dropped = true;
	aliases->dropped++;
}

static void compact_if_worth(struct aliases *aliases)
{
	if (aliases->dropped > aliases->count / 2)
		compact(aliases);
}

void aliases_drop(struct aliases *aliases, uint32_t id)
{
	struct entry *entry = find_entry(aliases, id);

	if (!entry || entry->dropped)
		return;
	drop(aliases, entry);
	compact_if_worth(aliases);
}

void aliases_drop_service(struct aliases *aliases, uint32_t service)
{
	for (size_t i = 0; i < aliases->count; i++) {
		struct entry *entry = &aliases->entries[i];

		if (!entry->dropped && !entry->alias.ignored &&
		    entry->alias.service == service)
			drop(aliases, entry);
	}
	compact_if_worth(aliases);
}
