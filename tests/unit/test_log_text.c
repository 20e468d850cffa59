/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "log_text.h"

#define BAD "\xef\xbf\xbd"

static void expect(const char *raw, size_t len, size_t len_max, const char *expected)
{
	CLEANUP(buf_free) struct buf scratch = BUF_INIT(2000);
	char *copy = malloc(len + 1); /* ends where the text does */
	struct slice valid;

	memcpy(copy, raw, len);
	copy = realloc(copy, len ? len : 1);
	valid = log_text_valid((struct slice){copy, len}, len_max, &scratch);
	assert_int_equal(valid.len, strlen(expected));
	assert_memory_equal(valid.text, expected, valid.len);
	free(copy);
}

static void what_is_right_stays(void **state)
{
	static const char *const texts[] = {
	    "",
	    "a",
	    "plain text of some length",
	    "t\xc3\xa4glich \xe2\x82\xac \xf0\x9f\x98\x80",
	    "\x1b[31mred\x1b[0m\ttab",
	    "12345678\xc3\xa4",
	    "1234567\xc3\xa4"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		expect(texts[i], strlen(texts[i]), 1000, texts[i]);
}

static void each_wrong_byte_is_replaced(void **state)
{
	(void)state;
	expect("a\0b", 3, 1000, "a" BAD "b");
	expect("\xff", 1, 1000, BAD);
	expect("12345678\xff\xfe rest", 15, 1000, "12345678" BAD BAD " rest");
	expect("\xc3", 1, 1000, BAD);                 /* cut off */
	expect("\xc0\x80", 2, 1000, BAD BAD);         /* overlong */
	expect("\xed\xa0\x80", 3, 1000, BAD BAD BAD); /* a surrogate */
	expect("\xf4\x90\x80\x80", 4, 1000, BAD BAD BAD BAD);
	expect("\xe2\x82(", 3, 1000, BAD BAD "(");
}

static void what_grew_is_cut_between_characters(void **state)
{
	(void)state;
	expect("\xff\xff\xff\xff", 4, 7, BAD BAD);
	expect("ab\xff", 3, 5, "ab" BAD);
	expect("ab\xff", 3, 4, "ab");
	expect("abc\xc3\xa4", 5, 4, "abc");
	expect("abc", 3, 0, "");
}

static void labels_are_printable_and_bounded(void **state)
{
	char *label = log_text_label("/var/log/a\nb\xff.log", 100);

	(void)state;
	assert_string_equal(label, "/var/log/a_b_.log");
	free(label);
	label = log_text_label("12345", 3);
	assert_string_equal(label, "123");
	free(label);
	label = log_text_label("  ", 3);
	assert_string_equal(label, "");
	free(label);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_right_stays),
	    cmocka_unit_test(each_wrong_byte_is_replaced),
	    cmocka_unit_test(what_grew_is_cut_between_characters),
	    cmocka_unit_test(labels_are_printable_and_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
