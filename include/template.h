/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replacement texts as Go's regexp.Expand reads them: $1, ${1}, $name, ${name}
 * stand for what a group matched, $$ for a dollar. A name without braces is the
 * longest run of letters, digits and underscores ($1x is ${1x}); a group that does
 * not exist is empty; any other dollar stands for itself.
 */
#pragma once

#include "pattern.h"

struct template;

/* NULL when out of memory. The names are those of pattern, which is not kept. */
struct template *template_create(const char *text, const struct pattern *pattern);
void template_free(struct template **template);
/* Its text when it names no group, so that it is always the same; else NULL. */
const char *template_constant(const struct template *template);
/* Writes it for what pattern last matched, which was text, with a NUL. The length;
 * where that is not below `room`, ret_text is incomplete. */
size_t template_expand(const struct template *template, const struct pattern *pattern,
		       struct slice text, char *ret_text, size_t room);
