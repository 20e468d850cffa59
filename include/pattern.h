/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions that a whole text must match, as Prometheus anchors its own:
 * ^(?s:...)$; or that are searched in it, as in the stages of log shippers. PCRE2 stays
 * behind pattern.c; what it reads otherwise than Go's RE2 is in docs/configuration.md.
 *
 * It goes back where RE2 does not, so each match has a limit of steps, by the
 * length of the text: whoever chooses the text cannot have more than it.
 */
#pragma once

#include "slice.h"

#define PATTERN_ERROR_LEN 160

struct pattern;

enum pattern_result {
	PATTERN_MISS,
	PATTERN_MATCH,
	PATTERN_FAILED, /* a limit was hit, or the text is not UTF-8: nobody knows */
};

/* 0, -ENOMEM, or -EINVAL with what is wrong at which offset in ret_error. */
int pattern_create(const char *regex, struct pattern **ret_pattern,
		   char ret_error[PATTERN_ERROR_LEN]);
/* The same, found anywhere; '.' is no newline. */
int pattern_create_search(const char *regex, struct pattern **ret_pattern,
			  char ret_error[PATTERN_ERROR_LEN]);
void pattern_free(struct pattern **pattern);
enum pattern_result pattern_match(struct pattern *pattern, struct slice text);
/* Number of the group of that name; -1: there is none. */
int pattern_group(const struct pattern *pattern, const char *name);
/* Its named groups, by name in byte order. NULL: no more. */
const char *pattern_name(const struct pattern *pattern, size_t index, int *ret_group);
/* What the group matched of text, which was the last to match; empty when it took
 * no part, or is none. 0 is the whole. */
struct slice pattern_span(const struct pattern *pattern, struct slice text, int group);
