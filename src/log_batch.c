/* SPDX-License-Identifier: Apache-2.0 */
#include "log_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "hash.h"
#include "loki.h"

#define SLOTS_MIN 64u
#define ENTRIES_MIN 1024u
#define STREAMS_MIN 32u
#define ENTRIES_MAX (1u << 18)
#define ENTRY_COST 64 /* bytes that an empty line counts as */

struct entry {
	int64_t time_ns;
	uint32_t stream;
	uint32_t len;
	size_t at; /* of its text */
};

struct stream {
	char *labels;
	uint64_t hash;
	uint32_t count;
};

struct log_batch {
	size_t bytes_max;
	size_t cost;
	uint64_t number; /* of the current one; from 1 on */
	struct buf text;
	struct entry *entries;
	uint32_t entry_count, entry_room;
	struct stream *streams;
	uint32_t stream_count, stream_room;
	uint32_t *slots; /* 1 + index of a stream; a power of two, half of it free */
	uint32_t slot_count;
};

int log_batch_create(size_t bytes_max, struct log_batch **ret_batch)
{
	struct log_batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return -ENOMEM;
	batch->bytes_max = bytes_max;
	batch->number = 1;
	batch->text.ceiling = bytes_max * 2 + (1u << 20);
	*ret_batch = batch;
	return 0;
}

static void clear(struct log_batch *batch)
{
	for (uint32_t i = 0; i < batch->stream_count; i++)
		free(batch->streams[i].labels);
	if (batch->slots)
		memset(batch->slots, 0, batch->slot_count * sizeof(*batch->slots));
	batch->stream_count = 0;
	batch->entry_count = 0;
	batch->cost = 0;
	buf_clear(&batch->text);
	batch->number++;
}

void log_batch_free(struct log_batch **batch)
{
	if (!*batch)
		return;
	clear(*batch);
	buf_free(&(*batch)->text);
	free((*batch)->entries);
	free((*batch)->streams);
	free((*batch)->slots);
	free(*batch);
	*batch = NULL;
}

size_t log_batch_lines(const struct log_batch *batch)
{
	return batch->entry_count;
}

bool log_batch_has_room(const struct log_batch *batch, size_t len)
{
	return !batch->entry_count ||
	       (batch->cost + len + ENTRY_COST <= batch->bytes_max &&
		batch->entry_count < ENTRIES_MAX);
}

/* --- streams ------------------------------------------------------------------ */

static uint64_t hash_of(const char *labels)
{
	struct keyed_hash hash = {0};
	size_t len = strlen(labels);

	for (size_t at = 0; at < len; at += sizeof(uint64_t)) {
		uint64_t word = 0;

		memcpy(&word, labels + at,
		       len - at < sizeof(word) ? len - at : sizeof(word));
		hash_add(&hash, 0, (uint32_t)(at / sizeof(word)), word);
	}
	return hash_value(&hash);
}

/* The slot that has it, or the free one where it would be. */
static uint32_t *slot_of(const struct log_batch *batch, const char *labels,
			 uint64_t hash)
{
	uint32_t mask = batch->slot_count - 1, i = (uint32_t)hash & mask;

	while (batch->slots[i]) {
		const struct stream *stream = &batch->streams[batch->slots[i] - 1];

		if (stream->hash == hash && !strcmp(stream->labels, labels))
			break;
		i = (i + 1) & mask;
	}
	return &batch->slots[i];
}

static uint32_t *free_slot(const struct log_batch *batch, uint64_t hash)
{
	uint32_t mask = batch->slot_count - 1, i = (uint32_t)hash & mask;

	while (batch->slots[i])
		i = (i + 1) & mask;
	return &batch->slots[i];
}

static int grow_slots(struct log_batch *batch)
{
	uint32_t count = batch->slot_count ? batch->slot_count * 2 : SLOTS_MIN;
	uint32_t *slots = calloc(count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	free(batch->slots);
	batch->slots = slots;
	batch->slot_count = count;
	for (uint32_t i = 0; i < batch->stream_count; i++)
		*free_slot(batch, batch->streams[i].hash) = i + 1;
	return 0;
}

static int grow_streams(struct log_batch *batch)
{
	uint32_t room = batch->stream_room ? batch->stream_room * 2 : STREAMS_MIN;
	struct stream *streams = reallocarray(batch->streams, room, sizeof(*streams));

	if (!streams)
		return -ENOMEM;
	batch->streams = streams;
	batch->stream_room = room;
	return 0;
}

static int add_stream(struct log_batch *batch, const char *labels, uint64_t hash)
{
	char *copy = strdup(labels);

	if (!copy)
		return -ENOMEM;
	batch->cost += strlen(labels);
	batch->streams[batch->stream_count] =
	    (struct stream){.labels = copy, .hash = hash};
	*free_slot(batch, hash) = ++batch->stream_count;
	return 0;
}

static int find_stream(struct log_batch *batch, const char *labels,
		       struct log_batch_place *place)
{
	uint64_t hash;
	uint32_t found;
	int err = 0;

	if (place->batch == batch->number)
		return 0;
	if (batch->stream_count == batch->stream_room)
		err = grow_streams(batch);
	if (!err && batch->stream_count * 2 >= batch->slot_count)
		err = grow_slots(batch);
	if (err)
		return err;
	hash = hash_of(labels);
	found = *slot_of(batch, labels, hash);
	if (!found) {
		err = add_stream(batch, labels, hash);
		found = batch->stream_count;
	}
	if (!err)
		*place = (struct log_batch_place){batch->number, found - 1};
	return err;
}

/* --- entries ------------------------------------------------------------------ */

static int grow_entries(struct log_batch *batch)
{
	uint32_t room = batch->entry_room ? batch->entry_room * 2 : ENTRIES_MIN;
	struct entry *entries = reallocarray(batch->entries, room, sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	batch->entries = entries;
	batch->entry_room = room;
	return 0;
}

int log_batch_add(struct log_batch *batch, const char *labels,
		  struct log_batch_place *place, int64_t time_ns, struct slice line)
{
	const size_t at = batch->text.len;
	int err = batch->entry_count == batch->entry_room ? grow_entries(batch) : 0;

	if (!err)
		err = find_stream(batch, labels, place);
	if (err)
		return err;
	buf_append(&batch->text, line.text, line.len);
	if (batch->text.error) {
		batch->text.error = 0;
		return -ENOMEM;
	}
	batch->cost += line.len + ENTRY_COST;
	batch->streams[place->stream].count++;
	batch->entries[batch->entry_count++] = (struct entry){
	    .time_ns = time_ns,
	    .stream = place->stream,
	    .len = (uint32_t)line.len,
	    .at = at,
	};
	return 0;
}

/* Entries stream by stream, in the order they came. */
static void sort(const struct log_batch *batch, struct loki_stream *streams,
		 struct loki_entry *entries)
{
	size_t from = 0;

	for (uint32_t i = 0; i < batch->stream_count; i++) {
		streams[i] = (struct loki_stream){
		    .labels = batch->streams[i].labels,
		    .entries = entries + from,
		};
		from += batch->streams[i].count;
	}
	for (uint32_t i = 0; i < batch->entry_count; i++) {
		const struct entry *entry = &batch->entries[i];
		struct loki_stream *stream = &streams[entry->stream];

		entries[stream->entries - entries + (ptrdiff_t)stream->count++] =
		    (struct loki_entry){
			.time_ns = entry->time_ns,
			.line = {batch->text.data + entry->at, entry->len},
		    };
	}
}

int log_batch_finish(struct log_batch *batch, struct wire_batch **ret_wire)
{
	AUTO_FREE struct loki_stream *streams =
	    calloc(batch->stream_count + 1, sizeof(*streams));
	AUTO_FREE struct loki_entry *entries =
	    calloc(batch->entry_count + 1, sizeof(*entries));
	int err;

	if (!streams || !entries)
		return -ENOMEM;
	sort(batch, streams, entries);
	err = loki_encode(streams, batch->stream_count, ret_wire);
	if (!err)
		clear(batch);
	return err;
}
