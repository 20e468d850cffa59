/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "length.h"
#include "template.h"

/* The pattern of all tests, and what it matched. */
static struct pattern *pattern;
static struct slice text;

static int match_once(void **state)
{
	char error[PATTERN_ERROR_LEN];

	(void)state;
	if (pattern_create("(?P<first>[a-z]+)-(?P<second>\\pL+)(?P<no_part>!)?",
			   &pattern, error))
		return -1;
	text = slice_of("one-zwölf");
	return pattern_match(pattern, text) == PATTERN_MATCH ? 0 : -1;
}

static int free_pattern(void **state)
{
	(void)state;
	pattern_free(&pattern);
	return 0;
}

static void templates_are_read_as_go_reads_them(void **state)
{
	static const struct {
		const char *template, *result;
	} cases[] = {
	    {"", ""},
	    {"plain", "plain"},
	    {"$1", "one"},
	    {"${2}", "zwölf"},
	    {"$0", "one-zwölf"},
	    {"$2$1", "zwölfone"},
	    {"a${1}b$2", "aoneb"
			 "zwölf"},
	    {"$first", "one"},
	    {"${second}s", "zwölfs"},
	    {"$seconds", ""}, /* the longest name */
	    {"$1x", ""},
	    {"$1é", ""},
	    {"$1-x", "one-x"},
	    {"$no_part", ""},
	    {"$3.$4.${5}.$none", "..."},
	    {"$01", ""},
	    {"$00", ""},
	    {"$99999999", ""},
	    {"$100000000", ""},
	    {"${99999999999999999999}", ""},
	    {"$$", "$"},
	    {"$$1", "$1"},
	    {"$$$1", "$one"},
	    {"$", "$"},
	    {"a$", "a$"},
	    {"$ $1", "$ one"},
	    {"$-", "$-"},
	    {"${", "${"},
	    {"${1", "${1"},
	    {"${}", "${}"},
	    {"${1 }$1", "${1 }one"},
	    {"${$1}", "${one}"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct template *template = template_create(cases[i].template, pattern);
		char result[64];
		size_t len;

		assert_non_null(template);
		len = template_expand(template, pattern, text, result, sizeof(result));
		assert_string_equal(result, cases[i].result);
		assert_int_equal(len, strlen(cases[i].result));
		template_free(&template);
		assert_null(template);
	}
}

static void a_name_longer_than_any_group_is_none(void **state)
{
	char long_name[300] = "[$";
	struct template *template;
	char result[8];

	(void)state;
	memset(long_name + 2, 'a', 200);
	strcpy(long_name + 202, "]");
	template = template_create(long_name, pattern);
	assert_non_null(template);
	template_expand(template, pattern, text, result, sizeof(result));
	assert_string_equal(result, "[]");
	template_free(&template);
}

static void a_template_without_groups_is_constant(void **state)
{
	struct template *plain = template_create("a$$b", pattern);
	struct template *with = template_create("a$none", pattern);

	(void)state;
	assert_string_equal(template_constant(plain), "a$b");
	assert_null(template_constant(with));
	template_free(&plain);
	template_free(&with);
}

static void no_byte_is_written_beyond_the_room(void **state)
{
	struct template *template = template_create("<$1|$2>", pattern);
	const size_t len = strlen("<one|zwölf>");

	(void)state;
	for (size_t room = 0; room <= len + 1; room++) {
		char *exact = malloc(room ? room : 1);

		assert_non_null(exact);
		assert_int_equal(template_expand(template, pattern, text, exact, room),
				 len);
		if (room > len)
			assert_string_equal(exact, "<one|zwölf>");
		free(exact);
	}
	template_free(&template);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(templates_are_read_as_go_reads_them),
	    cmocka_unit_test(a_name_longer_than_any_group_is_none),
	    cmocka_unit_test(a_template_without_groups_is_constant),
	    cmocka_unit_test(no_byte_is_written_beyond_the_room),
	};

	return cmocka_run_group_tests(tests, match_once, free_pattern);
}
