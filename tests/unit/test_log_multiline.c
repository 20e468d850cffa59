/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "log_multiline.h"

static void add(struct log_multiline *multiline, const char *line, char *found)
{
	const struct log_entry entry = {slice_of(line), strlen(line) + 1, false};
	struct log_entry whole;

	if (log_multiline_add(multiline, *line != ' ', &entry, &whole))
		sprintf(found + strlen(found), "[%.*s]%d%s", (int)whole.text.len,
			whole.text.text, (int)whole.len, whole.is_cut ? "!" : "");
}

static void expect(struct log_multiline *multiline, const char *const *lines,
		   const char *expected)
{
	struct log_entry whole;
	char found[512] = "";

	for (; *lines; lines++)
		add(multiline, *lines, found);
	if (log_multiline_end(multiline, &whole))
		sprintf(found + strlen(found), "|%.*s|%d%s", (int)whole.text.len,
			whole.text.text, (int)whole.len, whole.is_cut ? "!" : "");
	assert_string_equal(found, expected);
	assert_false(log_multiline_end(multiline, &whole));
	log_multiline_free(multiline);
}

static void an_entry_goes_up_to_the_next_first_line(void **state)
{
	struct log_multiline multiline = {.len_max = 100, .lines_max = 10};

	(void)state;
	expect(&multiline, (const char *[]){"a", " b", " c", "d", "e", " f", NULL},
	       "[a\n b\n c]8[d]2|e\n f|5");
}

static void lines_before_any_first_line_are_an_entry(void **state)
{
	struct log_multiline multiline = {.len_max = 100, .lines_max = 10};

	(void)state;
	expect(&multiline, (const char *[]){" a", " b", "c", NULL}, "[ a\n b]6|c|2");
}

static void it_has_no_more_lines_than_it_may(void **state)
{
	struct log_multiline multiline = {.len_max = 100, .lines_max = 2};

	(void)state;
	expect(&multiline, (const char *[]){"a", " b", " c", " d", " e", "f", NULL},
	       "[a\n b]5[ c\n d]6[ e]3|f|2");
}

static void it_is_no_longer_than_it_may(void **state)
{
	struct log_multiline multiline = {.len_max = 6, .lines_max = 10};

	(void)state;
	expect(&multiline, (const char *[]){"ab", " cdefg", " h", "i", NULL},
	       "[ab\n cd]13!|i|2");
}

static void it_is_cut_between_characters(void **state)
{
	struct log_multiline multiline = {.len_max = 6, .lines_max = 10};

	(void)state;
	expect(&multiline, (const char *[]){"ab", " \xe2\x82\xac", NULL}, "|ab\n |8!");
}

static void nothing_waits_after_a_reset(void **state)
{
	struct log_multiline multiline = {.len_max = 6, .lines_max = 10};
	char found[32] = "";

	(void)state;
	add(&multiline, "a", found);
	assert_int_equal(multiline.pending, 2);
	log_multiline_reset(&multiline);
	assert_int_equal(multiline.pending, 0);
	expect(&multiline, (const char *[]){"b", NULL}, "|b|2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_entry_goes_up_to_the_next_first_line),
	    cmocka_unit_test(lines_before_any_first_line_are_an_entry),
	    cmocka_unit_test(it_has_no_more_lines_than_it_may),
	    cmocka_unit_test(it_is_no_longer_than_it_may),
	    cmocka_unit_test(it_is_cut_between_characters),
	    cmocka_unit_test(nothing_waits_after_a_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
