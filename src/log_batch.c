/* SPDX-License-Identifier: Apache-2.0 */
#include "log_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "loki.h"
#include "registry.h"

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
	uint32_t index; /* in the order they came */
	uint32_t count;
	char labels[];
};

struct log_batch {
	size_t bytes_max;
	size_t cost;
	uint64_t number; /* of the current one; from 1 on */
	struct buf text;
	struct entry *entries;
	uint32_t entry_count, entry_room;
	struct registry_keys keys;
	struct registry by_labels;
	struct stream **streams;
	uint32_t stream_count, stream_room;
};

int log_batch_create(size_t bytes_max, struct log_batch **ret_batch)
{
	struct log_batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return -ENOMEM;
	registry_keys_init(&batch->keys);
	batch->bytes_max = bytes_max;
	batch->number = 1;
	batch->text.ceiling = bytes_max * 2 + (1u << 20);
	*ret_batch = batch;
	return 0;
}

static bool goes(void *item, void *context)
{
	(void)context;
	free(item);
	return false;
}

static void clear(struct log_batch *batch)
{
	registry_sweep(&batch->by_labels, goes, NULL);
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
	registry_free(&(*batch)->by_labels);
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

static bool is_stream(const void *item, const void *wanted)
{
	const struct stream *stream = item;

	return !strcmp(stream->labels, wanted);
}

static int grow_streams(struct log_batch *batch)
{
	uint32_t room = batch->stream_room ? batch->stream_room * 2 : STREAMS_MIN;
	struct stream **streams =
	    reallocarray(batch->streams, room, sizeof(struct stream *));

	if (!streams)
		return -ENOMEM;
	batch->streams = streams;
	batch->stream_room = room;
	return 0;
}

static int add_stream(struct log_batch *batch, const char *labels, uint64_t hash,
		      struct stream **ret_stream)
{
	size_t len = strlen(labels);
	AUTO_FREE struct stream *stream = malloc(sizeof(*stream) + len + 1);

	if (!stream)
		return -ENOMEM;
	*stream = (struct stream){.index = batch->stream_count};
	memcpy(stream->labels, labels, len + 1);
	if ((batch->stream_count == batch->stream_room && grow_streams(batch)) ||
	    registry_add(&batch->by_labels, hash, stream))
		return -ENOMEM;
	batch->cost += len;
	*ret_stream = batch->streams[batch->stream_count++] = TAKE(stream);
	return 0;
}

static int find_stream(struct log_batch *batch, const char *labels,
		       struct log_batch_place *place)
{
	struct stream *stream;
	uint64_t hash;
	int err = 0;

	if (place->batch == batch->number)
		return 0;
	hash = registry_hash(&batch->keys, labels, strlen(labels));
	stream = registry_find(&batch->by_labels, hash, is_stream, labels);
	if (!stream)
		err = add_stream(batch, labels, hash, &stream);
	if (!err)
		*place = (struct log_batch_place){batch->number, stream->index};
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
	batch->streams[place->stream]->count++;
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
		    .labels = batch->streams[i]->labels,
		    .entries = entries + from,
		};
		from += batch->streams[i]->count;
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
