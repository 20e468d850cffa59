/* SPDX-License-Identifier: Apache-2.0 */
#include "log_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* Whether any byte of the word is 0 (Mycroft 1987), or not ASCII. */
static bool is_special(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;

	return ((word - ones) & ~word & tops) || (word & tops);
}

/* Bytes of it that are right. */
static size_t right_len(struct slice raw)
{
	size_t at = 0;

	while (at < raw.len) {
		struct slice rest = {raw.text + at, raw.len - at};
		uint64_t word;
		size_t len;

		if (rest.len >= sizeof(word)) {
			memcpy(&word, rest.text, sizeof(word));
			if (!is_special(word)) {
				at += sizeof(word);
				continue;
			}
		}
		len = *rest.text ? slice_utf8_len(rest) : 0;
		if (!len)
			break;
		at += len;
	}
	return at;
}

/* Not in the middle of a character: what is there is valid. */
static size_t cut(struct slice text, size_t len_max)
{
	size_t len = text.len;

	if (len <= len_max)
		return len;
	len = len_max;
	while (len && ((unsigned char)text.text[len] & 0xc0) == 0x80)
		len--;
	return len;
}

struct slice log_text_valid(struct slice raw, size_t len_max, struct buf *scratch)
{
	size_t len = right_len(raw);

	if (len == raw.len)
		return (struct slice){raw.text, cut(raw, len_max)};
	buf_clear(scratch);
	while (raw.len && scratch->len <= len_max) {
		buf_append(scratch, raw.text, len);
		raw.text += len;
		raw.len -= len;
		if (!raw.len)
			break;
		buf_append(scratch, REPLACEMENT, strlen(REPLACEMENT));
		raw.text++;
		raw.len--;
		len = right_len(raw);
	}
	raw = (struct slice){scratch->data ? scratch->data : "", scratch->len};
	raw.len = cut(raw, len_max);
	return raw;
}

char *log_text_label(const char *raw, size_t len_max)
{
	size_t size = strlen(raw) + 1;
	char *label;

	if (size > len_max + 1)
		size = len_max + 1;
	label = malloc(size);
	if (label && !slice_to_label(slice_of(raw), label, size))
		*label = 0;
	return label;
}
