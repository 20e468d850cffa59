/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "length.h"
#include "pattern.h"

#ifndef PR_SET_MDWE /* Linux 6.3 */
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static struct pattern *compiled(const char *regex)
{
	char error[PATTERN_ERROR_LEN] = "";
	struct pattern *pattern = NULL;

	if (pattern_create(regex, &pattern, error))
		fail_msg("%s: %s", regex, error);
	return pattern;
}

static enum pattern_result result_of(const char *regex, const char *text)
{
	struct pattern *pattern = compiled(regex);
	enum pattern_result result = pattern_match(pattern, slice_of(text));

	pattern_free(&pattern);
	assert_null(pattern);
	return result;
}

static const struct {
	const char *regex, *text;
	enum pattern_result result;
} cases[] = {
    {"", "", PATTERN_MATCH},
    {"", "a", PATTERN_MISS},
    {"a", "a", PATTERN_MATCH},
    {"a", "ba", PATTERN_MISS},
    {"a", "ab", PATTERN_MISS},
    {"a", "a\n", PATTERN_MISS},
    {"a$", "a\n", PATTERN_MISS},
    {"a$\\n", "a\n", PATTERN_MISS}, /* the end alone, not a line's */
    {"^a$", "a", PATTERN_MATCH},
    {"a|ab", "ab", PATTERN_MATCH}, /* the end is part of what it looks for */
    {"a|b", "ab", PATTERN_MISS},
    {"a*?", "aaa", PATTERN_MATCH},
    {".*", "a\nb", PATTERN_MATCH},
    {"(?-s:a.b)", "a\nb", PATTERN_MISS},
    {"(?m)a$\\nb", "a\nb", PATTERN_MATCH},
    {".", "é", PATTERN_MATCH},
    {"(?i)É", "é", PATTERN_MATCH},
    {"\\pL+", "日本", PATTERN_MATCH},
    {"\\w", "é", PATTERN_MISS}, /* ASCII, as RE2's */
    {"\\Qa.b\\E", "a.b", PATTERN_MATCH},
};

static void a_pattern_matches_the_whole_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		if (result_of(cases[i].regex, cases[i].text) != cases[i].result)
			fail_msg("%s on '%s'", cases[i].regex, cases[i].text);
	}
}

static void what_is_no_expression_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *regex, *error;
	} refusals[] = {
	    {"a)", "unmatched closing parenthesis at offset 1"},
	    {"(a", "missing closing parenthesis at offset 2"},
	    {"*", "quantifier does not follow a repeatable item at offset 0"},
	    {"a)|(b", "unmatched closing parenthesis at offset 1"},
	    {"\\C", "using \\C is disabled by the application at offset 2"},
	    {"(*UTF)a", "nothing to repeat at offset 1"},
	    {"(*NO_JIT)a", "nothing to repeat at offset 1"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(refusals); i++) {
		char error[PATTERN_ERROR_LEN] = "";
		struct pattern *pattern = NULL;

		assert_int_equal(pattern_create(refusals[i].regex, &pattern, error),
				 -EINVAL);
		assert_string_equal(error, refusals[i].error);
		assert_null(pattern);
	}
}

static void groups_are_found_by_number_and_name(void **state)
{
	struct pattern *pattern = compiled("(a+)(?P<next>b)?(?<last>c)?(d)?");
	struct slice text = slice_of("aac"), span;

	(void)state;
	assert_int_equal(pattern_group(pattern, "next"), 2);
	assert_int_equal(pattern_group(pattern, "last"), 3);
	assert_int_equal(pattern_group(pattern, "none"), -1);
	assert_int_equal(pattern_match(pattern, text), PATTERN_MATCH);
	span = pattern_span(pattern, text, 0);
	assert_true(span.text == text.text && span.len == 3);
	span = pattern_span(pattern, text, 1);
	assert_true(span.text == text.text && span.len == 2);
	span = pattern_span(pattern, text, 3);
	assert_true(span.text == text.text + 2 && span.len == 1);
	assert_int_equal(pattern_span(pattern, text, 2).len, 0); /* took no part */
	assert_int_equal(pattern_span(pattern, text, 4).len, 0);
	assert_int_equal(pattern_span(pattern, text, 5).len, 0); /* is none */
	assert_int_equal(pattern_span(pattern, text, -1).len, 0);
	pattern_free(&pattern);
}

static void repeated(char *text, size_t len, char byte, const char *end)
{
	memset(text, byte, len);
	strcpy(text + len, end);
}

static void what_takes_too_many_steps_is_given_up(void **state)
{
	char text[128];

	(void)state;
	repeated(text, 60, 'a', "bc");
	assert_int_equal(result_of("(a|a)*b", text), PATTERN_FAILED);
	assert_int_equal(result_of("(.*a){4}b", text), PATTERN_FAILED);
	repeated(text, 60, 'a', "b");
	assert_int_equal(result_of("(a|a)*b", text), PATTERN_MATCH);
	repeated(text, 96, 'a', "bc"); /* a square of the length is still judged */
	assert_int_equal(result_of(".*a.*b", text), PATTERN_MISS);
}

static void what_is_linear_is_judged_at_any_length(void **state)
{
	static const char *const regexes[] = {"(.*)b", ".*a[^x]*b", "(a|b)+", "(.*?)b",
					      "x.*|y.*|(.*)b"};
	const size_t len = 12000;
	char *text = malloc(len + 2);

	(void)state;
	assert_non_null(text);
	repeated(text, len, 'a', "b");
	for (size_t i = 0; i < LENGTH(regexes); i++)
		assert_int_equal(result_of(regexes[i], text), PATTERN_MATCH);
	text[0] = 'b'; /* back over all of it */
	assert_int_equal(result_of("(.*)b[^b]*b", text), PATTERN_MATCH);
	free(text);
}

static void a_text_that_is_not_utf8_is_not_judged(void **state)
{
	(void)state;
	assert_int_equal(result_of(".*", "a\xff"), PATTERN_FAILED);
	assert_int_equal(result_of("a", "\xe6\x97"), PATTERN_FAILED);
}

/* PCRE2 gets such memory from the kernel at once, or through a file (Debian). */
static void forbid_machine_code(void)
{
	const struct rlimit none = {0, 0};

	prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &none);
}

/* What the machine's stack bounds else is a heap then. */
static bool is_heap_bounded(void)
{
	static char text[16001];

	repeated(text, sizeof(text) - 1, 'a', "");
	return result_of("((a)|b)*", text) == PATTERN_FAILED &&
	       result_of("(.*)b|.*", text) == PATTERN_MATCH;
}

static int judge_without_machine_code(void)
{
	forbid_machine_code();
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char error[PATTERN_ERROR_LEN];
		struct pattern *pattern = NULL;

		if (pattern_create(cases[i].regex, &pattern, error) ||
		    pattern_match(pattern, slice_of(cases[i].text)) != cases[i].result)
			return 1;
		pattern_free(&pattern);
	}
	return is_heap_bounded() ? 0 : 2;
}

static void it_works_where_no_machine_code_may_be_made(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (!child)
		_exit(judge_without_machine_code());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_search_finds_it_anywhere(void **state)
{
	char error[PATTERN_ERROR_LEN];
	struct pattern *pattern;
	const char *name;
	int group = 0;

	(void)state;
	assert_int_equal(pattern_create_search("(?P<b>x)(y)(?<a>z)", &pattern, error),
			 0);
	assert_int_equal(pattern_match(pattern, slice_of("..xyz..")), PATTERN_MATCH);
	assert_int_equal(pattern_match(pattern, slice_of("..xz..")), PATTERN_MISS);
	name = pattern_name(pattern, 0, &group);
	assert_string_equal(name, "a");
	assert_int_equal(group, 3);
	name = pattern_name(pattern, 1, &group);
	assert_string_equal(name, "b");
	assert_int_equal(group, 1);
	assert_null(pattern_name(pattern, 2, &group));
	pattern_free(&pattern);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    /* First: PCRE2 keeps such memory once it has some. */
	    cmocka_unit_test(it_works_where_no_machine_code_may_be_made),
	    cmocka_unit_test(a_pattern_matches_the_whole_text),
	    cmocka_unit_test(what_is_no_expression_is_refused_with_its_place),
	    cmocka_unit_test(groups_are_found_by_number_and_name),
	    cmocka_unit_test(what_takes_too_many_steps_is_given_up),
	    cmocka_unit_test(what_is_linear_is_judged_at_any_length),
	    cmocka_unit_test(a_text_that_is_not_utf8_is_not_judged),
	    cmocka_unit_test(a_search_finds_it_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
