/* SPDX-License-Identifier: Apache-2.0 */
#include "log_multiline.h"

void log_multiline_reset(struct log_multiline *multiline)
{
	buf_clear(&multiline->texts[multiline->current]);
	multiline->lines = 0;
	multiline->pending = 0;
	multiline->is_cut = false;
}

void log_multiline_free(struct log_multiline *multiline)
{
	buf_free(&multiline->texts[0]);
	buf_free(&multiline->texts[1]);
	log_multiline_reset(multiline);
}

static void append(struct log_multiline *multiline, struct slice text)
{
	struct buf *buf = &multiline->texts[multiline->current];
	size_t room;

	buf->ceiling = multiline->len_max;
	if (multiline->lines && buf->len < multiline->len_max)
		buf_append(buf, "\n", 1);
	room = multiline->len_max - buf->len;
	if (text.len > room) {
		/* Not in the middle of a character. */
		while (room && ((unsigned char)text.text[room] & 0xc0) == 0x80)
			room--;
		text.len = room;
		multiline->is_cut = true;
	}
	buf_append(buf, text.text, text.len);
	if (buf->error)
		multiline->is_cut = true;
}

static void add(struct log_multiline *multiline, const struct log_entry *line)
{
	append(multiline, line->text);
	multiline->lines++;
	multiline->pending += line->len;
	multiline->is_cut |= line->is_cut;
}

bool log_multiline_end(struct log_multiline *multiline, struct log_entry *ret_entry)
{
	const struct buf *buf = &multiline->texts[multiline->current];

	if (!multiline->lines)
		return false;
	*ret_entry = (struct log_entry){
	    .text = {buf->data ? buf->data : "", buf->len},
	    .len = multiline->pending,
	    .is_cut = multiline->is_cut,
	};
	multiline->current ^= 1; /* the text stays until the next end */
	log_multiline_reset(multiline);
	return true;
}

bool log_multiline_add(struct log_multiline *multiline, bool is_first,
		       const struct log_entry *line, struct log_entry *ret_entry)
{
	bool is_complete = is_first && log_multiline_end(multiline, ret_entry);

	add(multiline, line);
	if (!is_complete && multiline->lines >= multiline->lines_max)
		is_complete = log_multiline_end(multiline, ret_entry);
	return is_complete;
}
