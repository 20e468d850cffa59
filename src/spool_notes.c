/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notes: what somebody wants to find again as it was when a collection was committed.
 * All are in memory, so that they survive the file, too; what changed goes into the
 * next transaction. A number is an index, and used again when its note is gone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spool_internal.h"

#define ROOM_MIN 64

static struct spool_note *make(const void *bytes, size_t len)
{
	struct spool_note *note = calloc(1, sizeof(*note) + len);

	if (!note)
		return NULL;
	note->len = len;
	if (len)
		memcpy(note->bytes, bytes, len);
	return note;
}

/* Room for numbers up to this one. */
static int make_room(struct spool_notes *notes, uint32_t id)
{
	uint32_t room = notes->room ? notes->room : ROOM_MIN;
	struct spool_note **items;

	if (id >= SPOOL_NOTES_MAX)
		return -ENOSPC;
	while (room <= id)
		room *= 2;
	if (room > notes->room) {
		items = reallocarray(notes->items, room, sizeof(struct spool_note *));
		if (!items)
			return -ENOMEM;
		memset(items + notes->room, 0,
		       (room - notes->room) * sizeof(struct spool_note *));
		notes->items = items;
		notes->room = room;
	}
	if (id >= notes->count)
		notes->count = id + 1;
	return 0;
}

/* In the place of what is there. */
static void place(struct spool_notes *notes, uint32_t id, struct spool_note *note)
{
	if (!notes->items[id] || notes->items[id]->is_stored)
		notes->unstored++;
	free(notes->items[id]);
	notes->items[id] = note;
}

int spool_note_add(struct spool *spool, const void *bytes, size_t len, uint32_t *ret_id)
{
	struct spool_notes *notes = &spool->notes;
	struct spool_note *note;
	uint32_t id = notes->free_from;
	int err;

	while (id < notes->count && notes->items[id])
		id++;
	err = make_room(notes, id);
	if (err)
		return err;
	note = make(bytes, len);
	if (!note)
		return -ENOMEM;
	place(notes, id, note);
	notes->free_from = id + 1;
	*ret_id = id;
	return 0;
}

int spool_note_change(struct spool *spool, uint32_t id, const void *bytes, size_t len)
{
	const struct spool_note *old = spool->notes.items[id];
	struct spool_note *note;

	if (old->len == len && !memcmp(old->bytes, bytes, len))
		return 0;
	note = make(bytes, len);
	if (!note)
		return -ENOMEM;
	place(&spool->notes, id, note);
	return 0;
}

void spool_note_remove(struct spool *spool, uint32_t id)
{
	struct spool_note *note = spool->notes.items[id];

	if (note->is_stored)
		spool->notes.unstored++;
	note->is_stored = false;
	note->is_gone = true;
}

void spool_each_note(const struct spool *spool, spool_note_call call, void *context)
{
	for (uint32_t id = 0; id < spool->notes.count; id++) {
		const struct spool_note *note = spool->notes.items[id];

		if (note && !note->is_gone)
			call(context, id, note->bytes, note->len);
	}
}

/* --- on disk ------------------------------------------------------------------ */

/* What is in memory is newer. */
static int on_note(void *context, uint32_t id, const void *bytes, size_t len)
{
	struct spool_notes *notes = context;
	int err = make_room(notes, id);

	if (err == -ENOSPC || (!err && notes->items[id]))
		return 0;
	if (err)
		return err;
	notes->items[id] = make(bytes, len);
	if (!notes->items[id])
		return -ENOMEM;
	notes->items[id]->is_stored = true;
	return 0;
}

int spool_notes_load(struct spool *spool)
{
	return store_notes(spool->store, on_note, &spool->notes);
}

int spool_notes_write(struct spool *spool)
{
	const struct spool_notes *notes = &spool->notes;
	uint32_t left = notes->unstored;
	int err = 0;

	for (uint32_t id = 0; !err && left && id < notes->count; id++) {
		const struct spool_note *note = notes->items[id];

		if (!note || note->is_stored)
			continue;
		left--;
		err = note->is_gone
			  ? store_delete_note(spool->store, id)
			  : store_put_note(spool->store, id, note->bytes, note->len);
	}
	return err;
}

void spool_notes_settle(struct spool *spool)
{
	struct spool_notes *notes = &spool->notes;

	for (uint32_t id = 0; notes->unstored && id < notes->count; id++) {
		struct spool_note *note = notes->items[id];

		if (!note || note->is_stored)
			continue;
		notes->unstored--;
		note->is_stored = true;
		if (!note->is_gone)
			continue;
		free(note);
		notes->items[id] = NULL;
		if (id < notes->free_from)
			notes->free_from = id;
	}
}

void spool_notes_unstore(struct spool *spool)
{
	struct spool_notes *notes = &spool->notes;

	notes->unstored = 0;
	for (uint32_t id = 0; id < notes->count; id++) {
		if (!notes->items[id])
			continue;
		notes->items[id]->is_stored = false;
		notes->unstored++;
	}
}

void spool_notes_free(struct spool *spool)
{
	for (uint32_t id = 0; id < spool->notes.count; id++)
		free(spool->notes.items[id]);
	free(spool->notes.items);
	spool->notes = (struct spool_notes){0};
}
