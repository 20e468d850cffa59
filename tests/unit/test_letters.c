/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "length.h"
#include "letters.h"

static void a_word_is_letters_digits_and_underscores(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {
	    {"", 0},
	    {"-", 0},
	    {"a", 1},
	    {"_", 1},
	    {"9", 1},
	    {"aZ_09-b", 5},
	    {"é", 2},
	    {"1é}", 3},
	    {"日本 語", 6},
	    {"٣x", 3},
	    {"a²", 1},
	    {"Ⅷ", 0},
	    {"a\xff"
	     "b",
	     1},
	    {"\xe6\x97", 0},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		assert_int_equal(letters_word_len(cases[i].text), cases[i].len);
}

/* As strings.ToLower and strings.ToUpper of Go have it. */
static void case_is_changed_character_by_character(void **state)
{
	static const struct {
		const char *text, *lower, *upper;
	} cases[] = {
	    {"", "", ""},
	    {"aB-1", "ab-1", "AB-1"},
	    {"Straße", "straße", "STRAßE"},
	    {"ÄÖü", "äöü", "ÄÖÜ"},
	    {"ǅ", "ǆ", "Ǆ"},
	    {"İ", "i", "İ"},
	    {"ıſ", "ıſ", "IS"},
	    {"ɐ", "ɐ", "Ɐ"},
	    {"Ⓐⅷ", "ⓐⅷ", "ⒶⅧ"},
	    {"日本", "日本", "日本"},
	    {"a\xff", "a\xef\xbf\xbd", "A\xef\xbf\xbd"},
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct slice from = slice_of(cases[i].text);

		assert_int_equal(letters_to_lower(from, text, sizeof(text)),
				 strlen(cases[i].lower));
		assert_string_equal(text, cases[i].lower);
		assert_int_equal(letters_to_upper(from, text, sizeof(text)),
				 strlen(cases[i].upper));
		assert_string_equal(text, cases[i].upper);
	}
}

static void no_byte_is_written_beyond_the_room(void **state)
{
	struct slice text = slice_of("aé日b"); /* 7 bytes */

	(void)state;
	for (size_t room = 0; room <= 8; room++) {
		char *exact = malloc(room ? room : 1);

		assert_non_null(exact);
		assert_int_equal(letters_to_upper(text, exact, room), 7);
		if (room == 8)
			assert_string_equal(exact, "AÉ日B");
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_word_is_letters_digits_and_underscores),
	    cmocka_unit_test(case_is_changed_character_by_character),
	    cmocka_unit_test(no_byte_is_written_beyond_the_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
