/* SPDX-License-Identifier: Apache-2.0 */
#include "pattern.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "cleanup.h"

/* A step back over one character is a step here: 2 to 20 ns. What is linear takes
 * up to three for a byte, `.*a.*b` on a text of 100 bytes that ends in no b 5,000,
 * and what grows with a power of the length ends here, after some 50 us. */
#define STEPS_BASE 10000u
#define STEPS_PER_BYTE 4u
#define TEXT_MAX_BYTES ((size_t)1 << 20) /* keeps the product in 32 bits */
#define HEAP_MAX_KB 1024                 /* without the compiler */
#define STACK_MIN_BYTES ((size_t)32 << 10)
#define STACK_MAX_BYTES ((size_t)512 << 10) /* mapped, not used until it is */

struct pattern {
	pcre2_code *code;
	pcre2_match_data *match;
	pcre2_match_context *limits;
	pcre2_jit_stack *stack;
};

void pattern_free(struct pattern **pattern)
{
	struct pattern *freed = *pattern;

	if (!freed)
		return;
	pcre2_jit_stack_free(freed->stack);
	pcre2_match_context_free(freed->limits);
	pcre2_match_data_free(freed->match);
	pcre2_code_free(freed->code);
	free(freed);
	*pattern = NULL;
}

#define OPTIONS (PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C)
#define OPTIONS_WHOLE (OPTIONS | PCRE2_DOTALL | PCRE2_ANCHORED | PCRE2_ENDANCHORED)

static int compile(struct pattern *pattern, const char *regex, uint32_t options,
		   pcre2_compile_context *context, char ret_error[PATTERN_ERROR_LEN])
{
	PCRE2_UCHAR message[PATTERN_ERROR_LEN / 2];
	PCRE2_SIZE offset;
	int code;

	/* Switches of the library, none of them an expression. */
	if (!strncmp(regex, "(*", 2)) {
		snprintf(ret_error, PATTERN_ERROR_LEN, "nothing to repeat at offset 1");
		return -EINVAL;
	}
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	pattern->code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, options,
				      &code, &offset, context);
	if (pattern->code)
		return 0;
	if (code == PCRE2_ERROR_HEAP_FAILED)
		return -ENOMEM;
	pcre2_get_error_message(code, message, sizeof(message));
	snprintf(ret_error, PATTERN_ERROR_LEN, "%s at offset %zu",
		 (const char *)message, offset);
	return -EINVAL;
}

/* Where machine code may not be made, PCRE2 interprets. */
static int prepare(struct pattern *pattern)
{
	pattern->match = pcre2_match_data_create_from_pattern(pattern->code, NULL);
	pattern->limits = pcre2_match_context_create(NULL);
	if (!pattern->match || !pattern->limits)
		return -ENOMEM;
	pcre2_set_heap_limit(pattern->limits, HEAP_MAX_KB);
	if (pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE))
		return 0;
	pattern->stack = pcre2_jit_stack_create(STACK_MIN_BYTES, STACK_MAX_BYTES, NULL);
	if (!pattern->stack)
		return -ENOMEM;
	pcre2_jit_stack_assign(pattern->limits, NULL, pattern->stack);
	return 0;
}

static int create(const char *regex, uint32_t options, struct pattern **ret_pattern,
		  char ret_error[PATTERN_ERROR_LEN])
{
	CLEANUP(pattern_free) struct pattern *pattern = calloc(1, sizeof(*pattern));
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	int err = pattern && context ? 0 : -ENOMEM;

	if (!err)
		err = compile(pattern, regex, options, context, ret_error);
	pcre2_compile_context_free(context);
	if (!err)
		err = prepare(pattern);
	if (!err)
		*ret_pattern = TAKE(pattern);
	return err;
}

int pattern_create(const char *regex, struct pattern **ret_pattern,
		   char ret_error[PATTERN_ERROR_LEN])
{
	return create(regex, OPTIONS_WHOLE, ret_pattern, ret_error);
}

int pattern_create_search(const char *regex, struct pattern **ret_pattern,
			  char ret_error[PATTERN_ERROR_LEN])
{
	return create(regex, OPTIONS, ret_pattern, ret_error);
}

enum pattern_result pattern_match(struct pattern *pattern, struct slice text)
{
	int count;

	if (text.len > TEXT_MAX_BYTES)
		return PATTERN_FAILED;
	pcre2_set_match_limit(pattern->limits,
			      STEPS_BASE + STEPS_PER_BYTE * (uint32_t)text.len);
	count = pcre2_match(pattern->code, (PCRE2_SPTR)text.text, text.len, 0, 0,
			    pattern->match, pattern->limits);
	if (count >= 0)
		return PATTERN_MATCH;
	return count == PCRE2_ERROR_NOMATCH ? PATTERN_MISS : PATTERN_FAILED;
}

int pattern_group(const struct pattern *pattern, const char *name)
{
	int number = pcre2_substring_number_from_name(pattern->code, (PCRE2_SPTR)name);

	return number > 0 ? number : -1;
}

const char *pattern_name(const struct pattern *pattern, size_t index, int *ret_group)
{
	uint32_t count = 0, size = 0;
	PCRE2_SPTR table = NULL;

	pcre2_pattern_info(pattern->code, PCRE2_INFO_NAMECOUNT, &count);
	pcre2_pattern_info(pattern->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
	pcre2_pattern_info(pattern->code, PCRE2_INFO_NAMETABLE, &table);
	if (index >= count)
		return NULL;
	table += index * size; /* pcre2api(3): two bytes of number, then the name */
	*ret_group = table[0] << 8 | table[1];
	return (const char *)table + 2;
}

struct slice pattern_span(const struct pattern *pattern, struct slice text, int group)
{
	const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(pattern->match);
	struct slice span = {.text = text.text};

	if (group < 0 || (uint32_t)group >= pcre2_get_ovector_count(pattern->match) ||
	    offsets[2 * group] == PCRE2_UNSET)
		return span;
	span.text += offsets[2 * group];
	span.len = offsets[2 * group + 1] - offsets[2 * group];
	return span;
}
