/* SPDX-License-Identifier: Apache-2.0 */
#include "loki.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "loki.pb-c.h"

#define NS_PER_S 1000000000
#define LABELS_TEXT_MAX ((size_t)256 << 10)

/* --- labels ------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	const struct config_label *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

/* As strconv.Unquote reads it. */
static void add_quoted(struct buf *out, const char *value)
{
	buf_append(out, "\"", 1);
	for (; *value; value++) {
		unsigned char byte = (unsigned char)*value;

		if (byte == '"' || byte == '\\')
			buf_printf(out, "\\%c", byte);
		else if (byte < ' ' || byte == 0x7f)
			buf_printf(out, "\\x%02x", byte);
		else
			buf_append(out, value, 1);
	}
	buf_append(out, "\"", 1);
}

char *loki_labels(const struct config_labels *labels)
{
	AUTO_FREE const struct config_label **sorted =
	    calloc(labels->count + 1, sizeof(*sorted));
	CLEANUP(buf_free) struct buf out = BUF_INIT(LABELS_TEXT_MAX);

	if (!sorted)
		return NULL;
	for (size_t i = 0; i < labels->count; i++)
		sorted[i] = &labels->items[i];
	qsort(sorted, labels->count, sizeof(struct config_label *), compare_names);
	for (size_t i = 0; i < labels->count; i++) {
		if (!*sorted[i]->value)
			continue;
		buf_printf(&out, "%s%s=", out.len ? ", " : "{", sorted[i]->name);
		add_quoted(&out, sorted[i]->value);
	}
	buf_string(&out, out.len ? "}" : "{}");
	buf_append(&out, "", 1);
	return out.error ? NULL : TAKE(out.data);
}

/* --- requests ----------------------------------------------------------------- */

/* Messages of all streams and entries, made in one piece each. */
struct draft {
	Loki__Stream *streams;
	Loki__Stream **stream_pointers;
	Loki__Entry *entries;
	Loki__Entry **entry_pointers;
	Loki__Timestamp *times;
};

static void draft_free(struct draft *draft)
{
	free(draft->streams);
	free(draft->stream_pointers);
	free(draft->entries);
	free(draft->entry_pointers);
	free(draft->times);
}

static int draft_make(struct draft *draft, size_t streams, size_t entries)
{
	draft->streams = calloc(streams + 1, sizeof(*draft->streams));
	draft->stream_pointers = calloc(streams + 1, sizeof(Loki__Stream *));
	draft->entries = calloc(entries + 1, sizeof(*draft->entries));
	draft->entry_pointers = calloc(entries + 1, sizeof(Loki__Entry *));
	draft->times = calloc(entries + 1, sizeof(*draft->times));
	return draft->streams && draft->stream_pointers && draft->entries &&
		       draft->entry_pointers && draft->times
		   ? 0
		   : -ENOMEM;
}

static ProtobufCBinaryData binary(const char *text, size_t len)
{
	return (ProtobufCBinaryData){len, (uint8_t *)text};
}

static void fill_entry(struct draft *draft, size_t at, const struct loki_entry *entry)
{
	loki__timestamp__init(&draft->times[at]);
	draft->times[at].seconds = entry->time_ns / NS_PER_S;
	draft->times[at].nanos = (int32_t)(entry->time_ns % NS_PER_S);
	loki__entry__init(&draft->entries[at]);
	draft->entries[at].timestamp = &draft->times[at];
	draft->entries[at].line = binary(entry->line.text, entry->line.len);
	draft->entry_pointers[at] = &draft->entries[at];
}

/* Returns the time of the newest entry. */
static int64_t fill(struct draft *draft, const struct loki_stream *streams,
		    size_t count)
{
	int64_t newest_ns = 0;
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		Loki__Stream *stream = &draft->streams[i];

		loki__stream__init(stream);
		stream->labels = binary(streams[i].labels, strlen(streams[i].labels));
		stream->n_entries = streams[i].count;
		stream->entries = draft->entry_pointers + at;
		draft->stream_pointers[i] = stream;
		for (size_t j = 0; j < streams[i].count; j++) {
			fill_entry(draft, at++, &streams[i].entries[j]);
			if (streams[i].entries[j].time_ns > newest_ns)
				newest_ns = streams[i].entries[j].time_ns;
		}
	}
	return newest_ns;
}

int loki_encode(const struct loki_stream *streams, size_t count,
		struct wire_batch **ret_batch)
{
	CLEANUP(draft_free) struct draft draft = {0};
	Loki__PushRequest request = LOKI__PUSH_REQUEST__INIT;
	AUTO_FREE unsigned char *packed = NULL;
	struct wire_batch *batch;
	size_t entries = 0, len;
	int64_t newest_ns;
	int err;

	for (size_t i = 0; i < count; i++)
		entries += streams[i].count;
	err = draft_make(&draft, count, entries);
	if (err)
		return err;
	newest_ns = fill(&draft, streams, count);
	request.n_streams = count;
	request.streams = draft.stream_pointers;
	len = loki__push_request__get_packed_size(&request);
	packed = malloc(len + 1);
	if (!packed)
		return -ENOMEM;
	loki__push_request__pack(&request, packed);
	err = wire_compress(packed, len, &batch);
	if (err)
		return err;
	batch->message = WIRE_LOKI;
	batch->samples = (uint32_t)entries;
	batch->time_ms = newest_ns / 1000000;
	*ret_batch = batch;
	return 0;
}
