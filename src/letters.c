/* SPDX-License-Identifier: Apache-2.0 */
#include "letters.h"

#include <string.h>

#include <unicase.h>
#include <unictype.h>
#include <unistr.h>

#define CHARACTER_LEN_MAX 4

size_t letters_word_len(const char *text)
{
	const uint32_t word = UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_Nd;
	size_t len = 0;

	for (;;) {
		const uint8_t *at = (const uint8_t *)text + len;
		ucs4_t character;
		int step =
		    u8_mbtoucr(&character, at, strnlen(text + len, CHARACTER_LEN_MAX));

		if (step <= 0 || (character != '_' &&
				  !uc_is_general_category_withtable(character, word)))
			return len;
		len += (size_t)step;
	}
}

static size_t convert(struct slice text, ucs4_t (*convert_one)(ucs4_t character),
		      char *ret_text, size_t room)
{
	const uint8_t *at = (const uint8_t *)text.text, *end = at + text.len;
	size_t len = 0;

	while (at < end) {
		uint8_t bytes[CHARACTER_LEN_MAX];
		ucs4_t character;
		int step = u8_mbtoucr(&character, at, (size_t)(end - at));
		int count;

		if (step <= 0) {
			character = 0xfffd;
			step = 1;
		}
		count = u8_uctomb(bytes, convert_one(character), sizeof(bytes));
		if (len + (size_t)count < room)
			memcpy(ret_text + len, bytes, (size_t)count);
		len += (size_t)count;
		at += step;
	}
	if (len < room)
		ret_text[len] = '\0';
	return len;
}

size_t letters_to_lower(struct slice text, char *ret_text, size_t room)
{
	return convert(text, uc_tolower, ret_text, room);
}

size_t letters_to_upper(struct slice text, char *ret_text, size_t room)
{
	return convert(text, uc_toupper, ret_text, room);
}
