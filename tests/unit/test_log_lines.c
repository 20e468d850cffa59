/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log_lines.h"

/* What lines of `text`, cut into pieces of so many bytes, are: "[...]" each, "!" behind
 * one that was cut, "-" one that is not to be told, and the rest behind "|". */
static void expect(const char *text, size_t len, size_t line_max, const char *expected)
{
	for (size_t piece = 1; piece <= len + 1; piece++) {
		struct log_lines lines = {.line_max = line_max};
		char found[512] = "";
		struct log_line line;
		uint64_t told = 0;

		for (size_t at = 0; at < len; at += piece) {
			size_t rest = len - at;
			struct slice chunk = {NULL, rest < piece ? rest : piece};
			char *copy = malloc(chunk.len);

			memcpy(copy, text + at, chunk.len);
			chunk.text = copy;
			while (log_lines_next(&lines, &chunk, &line)) {
				sprintf(found + strlen(found), "[%.*s]%s",
					(int)line.text.len, line.text.text,
					line.is_cut ? "!" : "");
				told += line.len;
			}
			assert_int_equal(chunk.len, 0);
			free(copy);
		}
		assert_int_equal(told + lines.pending, len);
		if (log_lines_end(&lines, &line))
			sprintf(found + strlen(found), "|%.*s%s", (int)line.text.len,
				line.text.text, line.is_cut ? "!" : "");
		assert_false(log_lines_end(&lines, &line));
		assert_string_equal(found, expected);
		log_lines_free(&lines);
	}
}

static void lines_end_with_a_newline_however_they_are_cut(void **state)
{
	static const struct {
		const char *text;
		const char *expected;
	} cases[] = {
	    {"", ""},
	    {"\n", "[]"},
	    {"a", "|a"},
	    {"one\ntwo\n", "[one][two]"},
	    {"one\n\n\ntwo", "[one][][]|two"},
	    {"one\r\ntwo\r\n", "[one][two]"},
	    {"a\rb\n\r\n", "[a\rb][]"},
	    {"a\r\r\n", "[a\r]"},
	    {"a\r", "|a"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect(cases[i].text, strlen(cases[i].text), 100, cases[i].expected);
}

static void a_longer_line_is_cut_and_its_rest_skipped(void **state)
{
	static const struct {
		const char *text;
		const char *expected;
	} cases[] = {
	    {"1234\nx\n", "[1234][x]"},
	    {"1234\r\nx\n", "[1234][x]"},
	    {"12345\nx\n", "[1234]![x]"},
	    {"12345\r\nx\n", "[1234]![x]"},
	    {"123456789\nx\n", "[1234]![x]"},
	    {"123\r5\nx\n", "[123\r]![x]"},
	    {"12345", "|1234!"},
	    {"1234\r", "|1234"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect(cases[i].text, strlen(cases[i].text), 4, cases[i].expected);
}

static void nuls_before_a_line_are_left_out(void **state)
{
	static const char text[] = "one\n\0\0\0two\n\0\0\n\0\0\0\0\0\0\0three\n";
	static const char inside[] = "a\0b\n";
	struct log_lines lines = {.line_max = 4};
	struct slice chunk = {inside, 4};
	struct log_line line;

	(void)state;
	expect(text, sizeof(text) - 1, 5, "[one][two][][three]");
	assert_true(log_lines_next(&lines, &chunk, &line));
	assert_int_equal(line.text.len, 3);
	log_lines_free(&lines);
}

static void the_rest_of_a_line_that_began_before_is_not_told(void **state)
{
	struct log_lines lines = {.line_max = 100, .is_discarded = true};
	struct slice chunk = slice_of("rest\nline\n");
	struct log_line line;

	(void)state;
	assert_true(log_lines_next(&lines, &chunk, &line));
	assert_true(line.is_discarded);
	assert_int_equal(line.len, 5);
	assert_true(log_lines_next(&lines, &chunk, &line));
	assert_false(line.is_discarded);
	log_lines_free(&lines);
}

static void what_is_skipped_counts(void **state)
{
	struct log_lines lines = {.line_max = 100};
	struct slice chunk = slice_of("line\nbegun");
	struct log_line line;

	(void)state;
	log_lines_skip(&lines, 1000000);
	assert_true(log_lines_next(&lines, &chunk, &line));
	assert_true(slice_is(line.text, "line"));
	assert_false(line.is_cut);
	assert_int_equal(line.len, 1000005);
	assert_false(log_lines_next(&lines, &chunk, &line));
	log_lines_skip(&lines, 10);
	assert_true(log_lines_end(&lines, &line));
	assert_true(line.is_cut);
	assert_int_equal(line.len, 15);
	log_lines_free(&lines);
}

static void a_long_line_takes_no_more_memory_than_its_bound(void **state)
{
	static char text[65536];
	struct log_lines lines = {.line_max = 1000};
	struct log_line line;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 16; i++) {
		struct slice chunk = {text, sizeof(text)};

		assert_false(log_lines_next(&lines, &chunk, &line));
	}
	assert_in_range(lines.kept.capacity, 1, 2048);
	assert_int_equal(lines.pending, 16 * sizeof(text));
	log_lines_free(&lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_end_with_a_newline_however_they_are_cut),
	    cmocka_unit_test(a_longer_line_is_cut_and_its_rest_skipped),
	    cmocka_unit_test(nuls_before_a_line_are_left_out),
	    cmocka_unit_test(the_rest_of_a_line_that_began_before_is_not_told),
	    cmocka_unit_test(what_is_skipped_counts),
	    cmocka_unit_test(a_long_line_takes_no_more_memory_than_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
