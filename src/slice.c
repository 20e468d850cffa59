/* SPDX-License-Identifier: Apache-2.0 */
#include "slice.h"

#include <stdint.h>
#include <string.h>

struct slice slice_of(const char *string)
{
	return (struct slice){.text = string, .len = strlen(string)};
}

bool slice_is(struct slice slice, const char *string)
{
	return slice.len == strlen(string) && !memcmp(slice.text, string, slice.len);
}

bool slice_starts_with(struct slice slice, const char *prefix)
{
	size_t len = strlen(prefix);

	return slice.len >= len && !memcmp(slice.text, prefix, len);
}

bool slice_ends_with(struct slice slice, const char *suffix)
{
	size_t len = strlen(suffix);

	return slice.len >= len && !memcmp(slice.text + slice.len - len, suffix, len);
}

bool slice_in(struct slice slice, const char *const *strings)
{
	for (; strings && *strings; strings++) {
		if (slice_is(slice, *strings))
			return true;
	}
	return false;
}

bool slice_strip_suffix(struct slice *slice, const char *suffix)
{
	size_t len = strlen(suffix);

	if (slice->len == len || !slice_ends_with(*slice, suffix))
		return false;
	slice->len -= len;
	return true;
}

struct slice slice_split(struct slice *slice, char separator)
{
	const char *end = memchr(slice->text, separator, slice->len);
	struct slice piece = *slice;

	if (end)
		piece.len = (size_t)(end - slice->text);
	slice->text += piece.len + !!end;
	slice->len -= piece.len + !!end;
	return piece;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct slice slice_trimmed(struct slice slice)
{
	while (slice.len && is_blank(*slice.text)) {
		slice.text++;
		slice.len--;
	}
	while (slice.len && is_blank(slice.text[slice.len - 1]))
		slice.len--;
	return slice;
}

struct slice slice_base_name(struct slice path)
{
	size_t start;

	while (path.len > 1 && path.text[path.len - 1] == '/')
		path.len--;
	start = path.len;
	while (start && path.text[start - 1] != '/')
		start--;
	if (path.len == 1)
		start = 0;
	return (struct slice){.text = path.text + start, .len = path.len - start};
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int slice_hex_byte(struct slice slice)
{
	int high = slice.len >= 2 ? hex_digit(slice.text[0]) : -1;
	int low = slice.len >= 2 ? hex_digit(slice.text[1]) : -1;

	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

size_t slice_utf8_len(struct slice slice)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *text = (const unsigned char *)slice.text;
	unsigned char first = slice.len ? text[0] : 0xff;
	size_t needed = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	uint32_t code;

	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4 || slice.len < needed)
		return 0;
	code = first & (0x7fu >> needed);
	for (size_t i = 1; i < needed; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3fu);
	}
	if (code < smallest[needed] || code > 0x10ffff)
		return 0;
	return code >= 0xd800 && code <= 0xdfff ? 0 : needed;
}

size_t slice_printable_len(struct slice slice)
{
	const unsigned char *text = (const unsigned char *)slice.text;
	size_t len = slice_utf8_len(slice);

	if (len == 1 && (text[0] < 0x20 || text[0] == 0x7f))
		return 0;
	return len == 2 && text[0] == 0xc2 && text[1] < 0xa0 ? 0 : len;
}

bool slice_to_label(struct slice slice, char *ret_label, size_t size)
{
	struct slice rest = slice_trimmed(slice);
	size_t used = 0;

	if (!rest.len)
		return false;
	while (rest.len) {
		size_t valid = slice_printable_len(rest);
		size_t step = valid ? valid : 1;

		if (used + step >= size)
			break;
		memcpy(ret_label + used, valid ? rest.text : "_", step);
		used += step;
		rest.text += step;
		rest.len -= step;
	}
	ret_label[used] = '\0';
	return true;
}
