/* SPDX-License-Identifier: Apache-2.0 */
#include "due.h"

#include <errno.h>
#include <stdlib.h>

#define CAPACITY_MIN 16

static void place(struct due *due, size_t index, struct due_entry *entry)
{
	due->entries[index] = entry;
	entry->index = index;
}

static void sift_up(struct due *due, struct due_entry *entry)
{
	size_t index = entry->index;

	while (index && due->entries[(index - 1) / 2]->at_ms > entry->at_ms) {
		place(due, index, due->entries[(index - 1) / 2]);
		index = (index - 1) / 2;
	}
	place(due, index, entry);
}

static void sift_down(struct due *due, struct due_entry *entry)
{
	size_t index = entry->index, child;

	while ((child = 2 * index + 1) < due->count) {
		if (child + 1 < due->count &&
		    due->entries[child + 1]->at_ms < due->entries[child]->at_ms)
			child++;
		if (due->entries[child]->at_ms >= entry->at_ms)
			break;
		place(due, index, due->entries[child]);
		index = child;
	}
	place(due, index, entry);
}

int due_add(struct due *due, struct due_entry *entry, int64_t at_ms)
{
	if (due->count == due->capacity) {
		size_t capacity = due->capacity ? due->capacity * 2 : CAPACITY_MIN;
		struct due_entry **entries =
		    reallocarray(due->entries, capacity, sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		due->entries = entries;
		due->capacity = capacity;
	}
	entry->at_ms = at_ms;
	place(due, due->count++, entry);
	sift_up(due, entry);
	return 0;
}

void due_remove(struct due *due, struct due_entry *entry)
{
	size_t index = entry->index;
	struct due_entry *last;

	if (index == DUE_NOT_IN)
		return;
	entry->index = DUE_NOT_IN;
	last = due->entries[--due->count];
	if (last == entry)
		return;
	place(due, index, last);
	sift_up(due, last);
	sift_down(due, last);
}

struct due_entry *due_first(const struct due *due)
{
	return due->count ? due->entries[0] : NULL;
}

void due_free(struct due *due)
{
	free(due->entries);
	*due = (struct due){0};
}

uint64_t due_delay_ms(int64_t now_ms, uint64_t period_ms, uint64_t hash, bool is_first)
{
	uint64_t phase = hash % period_ms;
	uint64_t past = ((uint64_t)now_ms - phase) % period_ms;
	uint64_t delay = period_ms - past;

	if (is_first)
		return delay % period_ms;
	return delay < period_ms / 4 ? delay + period_ms : delay;
}
