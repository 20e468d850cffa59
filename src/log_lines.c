/* SPDX-License-Identifier: Apache-2.0 */
#include "log_lines.h"

#include <string.h>

void log_lines_reset(struct log_lines *lines)
{
	buf_clear(&lines->kept);
	lines->pending = 0;
	lines->is_cut = false;
	lines->is_discarded = false;
}

void log_lines_free(struct log_lines *lines)
{
	buf_free(&lines->kept);
	log_lines_reset(lines);
}

/* Where a writer that does not append goes on after its file was emptied, there are
 * NULs before its next line. */
static void skip_nuls(const struct log_lines *lines, struct slice *piece)
{
	while (!lines->kept.len && piece->len && !*piece->text) {
		piece->text++;
		piece->len--;
	}
}

/* One byte more than a line may have: it may be the \r of one that just fits. */
static void keep(struct log_lines *lines, struct slice piece)
{
	size_t room = lines->line_max + 1 - lines->kept.len;

	if (piece.len > room) {
		piece.len = room;
		lines->is_cut = true;
	}
	lines->kept.ceiling = lines->line_max + 1;
	buf_append(&lines->kept, piece.text, piece.len);
	if (lines->kept.error)
		lines->is_cut = true;
}

static void tell(struct log_lines *lines, struct slice text, struct log_line *ret_line)
{
	bool is_cut = lines->is_cut || text.len > lines->line_max + 1;

	if (!is_cut && text.len && text.text[text.len - 1] == '\r')
		text.len--;
	if (text.len > lines->line_max) {
		text.len = lines->line_max;
		is_cut = true;
	}
	*ret_line = (struct log_line){
	    .text = text,
	    .len = lines->pending,
	    .is_cut = is_cut,
	    .is_discarded = lines->is_discarded,
	};
	lines->pending = 0;
	lines->is_cut = false;
	lines->is_discarded = false;
}

static void finish(struct log_lines *lines, struct slice rest,
		   struct log_line *ret_line)
{
	if (lines->kept.len) {
		keep(lines, rest);
		rest = (struct slice){lines->kept.data, lines->kept.len};
	}
	tell(lines, rest, ret_line);
}

/* What was told stays in the buffer until the next call. */
static void begin(struct log_lines *lines)
{
	if (!lines->pending)
		buf_clear(&lines->kept);
}

bool log_lines_next(struct log_lines *lines, struct slice *chunk,
		    struct log_line *ret_line)
{
	struct slice piece = *chunk;
	const char *end = chunk->len ? memchr(piece.text, '\n', piece.len) : NULL;

	if (!chunk->len)
		return false;
	if (end)
		piece.len = (size_t)(end - piece.text) + 1;
	begin(lines);
	lines->pending += piece.len;
	chunk->text += piece.len;
	chunk->len -= piece.len;
	piece.len -= end != NULL;
	skip_nuls(lines, &piece);
	if (end)
		finish(lines, piece, ret_line);
	else
		keep(lines, piece);
	return end != NULL;
}

bool log_lines_end(struct log_lines *lines, struct log_line *ret_line)
{
	if (!lines->pending)
		return false;
	finish(lines, (struct slice){"", 0}, ret_line);
	return true;
}

void log_lines_skip(struct log_lines *lines, uint64_t len)
{
	begin(lines);
	lines->pending += len;
	if (lines->kept.len)
		lines->is_cut = true;
}
