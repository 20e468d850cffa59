/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog.h"

#include <stddef.h>
#include <stdlib.h>

#include "cleanup.h"

#define ALLOCATOR_BYTES 32 /* of two blocks */

struct backlog_item *backlog_make(struct wire_batch *batch)
{
	struct backlog_item *item = calloc(1, sizeof(*item));

	if (item)
		item->public.batch = batch;
	else
		wire_batch_put(&batch);
	return item;
}

void backlog_item_free(struct backlog_item **item)
{
	if (!*item)
		return;
	wire_batch_put(&(*item)->public.batch);
	free(*item);
	*item = NULL;
}

uint32_t backlog_item_samples(const struct backlog_item *item)
{
	return item->public.batch->samples + item->public.batch->histograms;
}

uint64_t backlog_item_bytes(const struct backlog_item *item)
{
	return item->public.batch->len + sizeof(*item) + sizeof(struct wire_batch) +
	       ALLOCATOR_BYTES;
}

static void count(struct backlog *backlog, const struct backlog_item *item, bool is_in)
{
	const uint64_t sign = is_in ? 1 : UINT64_MAX;

	backlog->count += sign;
	backlog->samples += sign * backlog_item_samples(item);
	backlog->bytes += sign * backlog_item_bytes(item);
}

void backlog_append(struct backlog *backlog, struct backlog_item *item)
{
	item->next = NULL;
	if (backlog->last)
		backlog->last->next = item;
	else
		backlog->first = item;
	backlog->last = item;
	count(backlog, item, true);
}

void backlog_move(struct backlog *backlog, struct backlog *more)
{
	struct backlog_item *item;

	while ((item = more->first)) {
		backlog_remove(more, item);
		backlog_append(backlog, item);
	}
}

struct backlog_item *backlog_find(const struct backlog *backlog, int64_t id)
{
	struct backlog_item *item = backlog->first;

	while (item && item->public.id != id)
		item = item->next;
	return item;
}

void backlog_remove(struct backlog *backlog, struct backlog_item *item)
{
	struct backlog_item **link = &backlog->first, *before = NULL;

	while (*link != item) {
		before = *link;
		link = &before->next;
	}
	*link = item->next;
	if (backlog->last == item)
		backlog->last = before;
	count(backlog, item, false);
}

uint64_t backlog_drop_oldest(struct backlog *backlog)
{
	int64_t collection = backlog->first ? backlog->first->public.collection : 0;
	uint64_t samples = backlog->samples;

	while (backlog->first && backlog->first->public.collection == collection) {
		struct backlog_item *item = backlog->first;

		backlog_remove(backlog, item);
		backlog_item_free(&item);
	}
	return samples - backlog->samples;
}

void backlog_clear(struct backlog *backlog)
{
	while (backlog->first)
		backlog_drop_oldest(backlog);
}
