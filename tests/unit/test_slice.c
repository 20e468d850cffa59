/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "slice.h"

/* In memory of exactly its size, so that ASan sees a read past its end. */
static struct slice exact(const char *text, size_t len, char **ret_owned)
{
	*ret_owned = malloc(len ? len : 1);
	assert_non_null(*ret_owned);
	memcpy(*ret_owned, text, len);
	return (struct slice){.text = *ret_owned, .len = len};
}

static void expect_label(const char *text, size_t len, const char *expected)
{
	char label[16] = "unchanged", *owned;

	if (slice_to_label(exact(text, len, &owned), label, sizeof(label)) !=
	    !!expected)
		fail_msg("\"%s\"", text);
	assert_string_equal(label, expected ? expected : "unchanged");
	free(owned);
}

static void label_is_trimmed_printable_utf8(void **state)
{
	static const struct {
		const char *text, *label;
	} cases[] = {
	    {"nginx", "nginx"},
	    {" \t nginx\r\n", "nginx"},
	    {"a b", "a b"},
	    {"", NULL},
	    {" \n\t\r", NULL},
	    {"a\x01\x1f\x7f\nb", "a____b"},
	    {"\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9"},
	    {"\xe2\x82\xac", "\xe2\x82\xac"},
	    {"\xf0\x9f\x8d\xba", "\xf0\x9f\x8d\xba"},
	    {"\xc2\x85", "__"},           /* C1 control */
	    {"\xc2\xa0", "\xc2\xa0"},     /* first after C1 */
	    {"\xc0\xaf", "__"},           /* overlong */
	    {"\xe0\x9f\xbf", "___"},      /* overlong */
	    {"\xf0\x8f\xbf\xbf", "____"}, /* overlong */
	    {"\xed\xa0\x80", "___"},      /* surrogate */
	    {"\xed\x9f\xbf", "\xed\x9f\xbf"},
	    {"\xee\x80\x80", "\xee\x80\x80"},
	    {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
	    {"\xf4\x90\x80\x80", "____"}, /* above U+10FFFF */
	    {"\xf5\x80\x80\x80", "____"},
	    {"\x80", "_"},
	    {"\xc3", "_"},      /* cut */
	    {"\xe2\x82", "__"}, /* cut */
	    {"\xc3(", "_("},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_label(cases[i].text, strlen(cases[i].text), cases[i].label);
	expect_label("a\0b", 3, "a_b");
}

static void a_character_has_a_length_and_may_not_print(void **state)
{
	static const struct {
		const char *text;
		size_t utf8, printable;
	} cases[] = {
	    {"", 0, 0},
	    {"ab", 1, 1},
	    {"\n", 1, 0},
	    {"\x1f", 1, 0},
	    {" ", 1, 1},
	    {"~", 1, 1},
	    {"\x7f", 1, 0},
	    {"\x80", 0, 0},
	    {"\xc1\xbf", 0, 0},
	    {"\xc2\x80", 2, 0},
	    {"\xc2\x9f", 2, 0},
	    {"\xc2\xa0", 2, 2},
	    {"\xc2", 0, 0},
	    {"\xe0\xa0\x80z", 3, 3},
	    {"\xe0\xa0", 0, 0},
	    {"\xed\xa0\x80", 0, 0},
	    {"\xf4\x8f\xbf\xbf", 4, 4},
	    {"\xf4\x8f\xbf", 0, 0},
	    {"\xf4\x90\x80\x80", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *owned;
		struct slice text = exact(cases[i].text, strlen(cases[i].text), &owned);

		assert_int_equal(slice_utf8_len(text), cases[i].utf8);
		assert_int_equal(slice_printable_len(text), cases[i].printable);
		free(owned);
	}
}

static void label_that_is_too_long_is_cut_between_characters(void **state)
{
	(void)state;
	expect_label("0123456789abcde", 15, "0123456789abcde");
	expect_label("0123456789abcdef", 16, "0123456789abcde");
	expect_label("0123456789abcd\xc3\xa9", 16, "0123456789abcd");
	expect_label("0123456789abc\xc3\xa9", 15, "0123456789abc\xc3\xa9");
}

static void split_gives_every_piece_once(void **state)
{
	struct slice rest;
	char *owned;

	(void)state;
	rest = exact("a,,bc", 5, &owned);
	assert_true(slice_is(slice_split(&rest, ','), "a"));
	assert_true(slice_is(slice_split(&rest, ','), ""));
	assert_true(slice_is(slice_split(&rest, ','), "bc"));
	assert_int_equal(rest.len, 0);
	free(owned);
	rest = exact("a,", 2, &owned);
	assert_true(slice_is(slice_split(&rest, ','), "a"));
	assert_int_equal(rest.len, 0);
	free(owned);
}

static void base_name_is_the_last_component(void **state)
{
	static const struct {
		const char *path, *base;
	} cases[] = {
	    {"/usr/bin/nginx", "nginx"},
	    {"nginx", "nginx"},
	    {"./a.py", "a.py"},
	    {"/srv/app/", "app"},
	    {"/srv/app//", "app"},
	    {"/", "/"},
	    {"//", "/"},
	    {"", ""},
	    {"a/b", "b"},
	    {"x", "x"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *owned;
		struct slice base = slice_base_name(
		    exact(cases[i].path, strlen(cases[i].path), &owned));

		if (!slice_is(base, cases[i].base))
			fail_msg("\"%s\": %.*s", cases[i].path, (int)base.len,
				 base.text);
		free(owned);
	}
}

static void suffix_that_is_everything_stays(void **state)
{
	struct slice whole = slice_of(".py"), script = slice_of("a.py");

	(void)state;
	assert_false(slice_strip_suffix(&whole, ".py"));
	assert_true(slice_is(whole, ".py"));
	assert_true(slice_strip_suffix(&script, ".py"));
	assert_true(slice_is(script, "a"));
	assert_false(slice_strip_suffix(&script, ".py"));
	assert_true(slice_starts_with(slice_of("ab"), "ab"));
	assert_false(slice_starts_with(slice_of("a"), "ab"));
	assert_true(slice_ends_with(slice_of("ab"), "ab"));
	assert_false(slice_ends_with(slice_of("b"), "ab"));
}

static void hex_byte_needs_two_digits(void **state)
{
	static const struct {
		const char *text;
		int byte;
	} cases[] = {{"2d", 0x2d}, {"fF", 0xff}, {"00x", 0}, {"2", -1},
		     {"", -1},     {"g0", -1},   {"0g", -1}, {"-1", -1}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *owned;
		struct slice text = exact(cases[i].text, strlen(cases[i].text), &owned);

		assert_int_equal(slice_hex_byte(text), cases[i].byte);
		free(owned);
	}
}

static void list_lookup_compares_whole_strings(void **state)
{
	static const char *const list[] = {"ab", "c", NULL};

	(void)state;
	assert_true(slice_in(slice_of("c"), list));
	assert_false(slice_in(slice_of("a"), list));
	assert_false(slice_in(slice_of("abc"), list));
	assert_false(slice_in(slice_of("c"), NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(label_is_trimmed_printable_utf8),
	    cmocka_unit_test(a_character_has_a_length_and_may_not_print),
	    cmocka_unit_test(label_that_is_too_long_is_cut_between_characters),
	    cmocka_unit_test(split_gives_every_piece_once),
	    cmocka_unit_test(base_name_is_the_last_component),
	    cmocka_unit_test(suffix_that_is_everything_stays),
	    cmocka_unit_test(hex_byte_needs_two_digits),
	    cmocka_unit_test(list_lookup_compares_whole_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
