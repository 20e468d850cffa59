/* SPDX-License-Identifier: Apache-2.0 */
/* Push requests as text, one line a stream and an entry: read with
 * protobuf_reader.h, not by the messages that they were made with. */
#pragma once

#include <inttypes.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protobuf_reader.h"
#include "wire_batch.h"

/* The next field, whose number is expected to be there; its content. */
static inline struct bytes loki_field(struct bytes *message, uint64_t tag)
{
	assert_int_equal(take_varint(message), tag);
	return take_message(message);
}

static inline char *loki_entry_text(struct bytes entry, char *out)
{
	struct bytes time = loki_field(&entry, 0x0a), line = {0};
	uint64_t seconds = 0, nanos = 0;

	if (time.at < time.end && *time.at == 0x08) {
		time.at++;
		seconds = take_varint(&time);
	}
	if (time.at < time.end && *time.at == 0x10) {
		time.at++;
		nanos = take_varint(&time);
	}
	assert_true(time.at == time.end);
	if (entry.at < entry.end)
		line = loki_field(&entry, 0x12);
	assert_true(entry.at == entry.end);
	out += sprintf(out, "  %" PRIu64 " ", seconds * 1000000000 + nanos);
	if (line.at) {
		memcpy(out, line.at, (size_t)(line.end - line.at));
		out += line.end - line.at;
	}
	*out++ = '\n';
	return out;
}

/* The caller frees. */
static inline char *loki_text(const struct wire_batch *batch)
{
	size_t len = 0;
	struct bytes all;
	char *bytes, *text, *out;

	assert_int_equal(batch->message, WIRE_LOKI);
	assert_int_equal(
	    snappy_uncompressed_length((const char *)batch->bytes, batch->len, &len),
	    SNAPPY_OK);
	bytes = malloc(len + 1);
	assert_int_equal(
	    snappy_uncompress((const char *)batch->bytes, batch->len, bytes, &len),
	    SNAPPY_OK);
	text = out = malloc(len * 8 + 64);
	all = (struct bytes){(unsigned char *)bytes, (unsigned char *)bytes + len};
	while (all.at < all.end) {
		struct bytes stream = loki_field(&all, 0x0a);
		struct bytes labels = loki_field(&stream, 0x0a);

		out += sprintf(out, "%.*s\n", (int)(labels.end - labels.at), labels.at);
		while (stream.at < stream.end)
			out = loki_entry_text(loki_field(&stream, 0x12), out);
	}
	*out = 0;
	free(bytes);
	return text;
}
