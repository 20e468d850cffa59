/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes, cut anywhere: lines and entries are the same as of all at once, no longer
 * than they may be, valid text, and their lengths add up to what was read. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log_lines.h"
#include "log_multiline.h"
#include "log_text.h"

#define LINE_MAX 40u
#define TOLD_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

struct reader {
	struct log_lines lines;
	struct log_multiline multiline;
	struct buf scratch;
	char told[TOLD_MAX];
	size_t told_len;
	uint64_t len;
};

static void tell(struct reader *reader, const struct log_entry *entry)
{
	struct slice text = entry->text;

	require(text.len <= LINE_MAX);
	while (text.len) {
		size_t len = slice_utf8_len(text);

		require(len && *text.text);
		text.text += len;
		text.len -= len;
	}
	reader->len += entry->len;
	require(reader->told_len + entry->text.len + 2 <= TOLD_MAX);
	memcpy(reader->told + reader->told_len, entry->text.text, entry->text.len);
	reader->told_len += entry->text.len;
	reader->told[reader->told_len++] = entry->is_cut ? '\1' : '\0';
}

static void take(struct reader *reader, const struct log_line *line)
{
	struct log_entry entry = {
	    .text = log_text_valid(line->text, LINE_MAX, &reader->scratch),
	    .len = line->len,
	    .is_cut = line->is_cut,
	};
	struct log_entry whole;
	bool is_first = entry.text.len && *entry.text.text != ' ';

	require(line->text.len <= LINE_MAX);
	if (log_multiline_add(&reader->multiline, is_first, &entry, &whole))
		tell(reader, &whole);
}

/* The pieces' lengths are taken from the input, or it is one piece. */
static void read_all(struct reader *reader, const uint8_t *data, size_t size,
		     bool in_pieces)
{
	struct log_entry whole;
	struct log_line line;

	reader->lines.line_max = LINE_MAX;
	reader->multiline.len_max = LINE_MAX;
	reader->multiline.lines_max = 3;
	reader->scratch.ceiling = 2 * LINE_MAX;
	for (size_t at = 0; at < size;) {
		size_t len = in_pieces ? data[at] % 7 + 1u : size;
		struct slice chunk = {(const char *)data + at,
				      len < size - at ? len : size - at};

		at += chunk.len;
		while (log_lines_next(&reader->lines, &chunk, &line))
			take(reader, &line);
		require(!chunk.len);
	}
	if (log_lines_end(&reader->lines, &line))
		take(reader, &line);
	if (log_multiline_end(&reader->multiline, &whole))
		tell(reader, &whole);
	require(reader->len == size);
	log_lines_free(&reader->lines);
	log_multiline_free(&reader->multiline);
	buf_free(&reader->scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reader whole, pieces;

	if (size > 8192)
		return 0;
	memset(&whole, 0, offsetof(struct reader, told));
	memset(&pieces, 0, offsetof(struct reader, told));
	whole.told_len = pieces.told_len = 0;
	whole.len = pieces.len = 0;
	read_all(&whole, data, size, false);
	read_all(&pieces, data, size, true);
	require(whole.told_len == pieces.told_len);
	require(!memcmp(whole.told, pieces.told, whole.told_len));
	return 0;
}
