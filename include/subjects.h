/* SPDX-License-Identifier: Apache-2.0 */
/* subjects.h - function rules that name the same files, by the same words: these are
 * looked for once for all of them, and a file has the probes of all in one link,
 * because what a link costs is to end it: the kernel waits until nobody is in it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "config.h"

struct subject {
	uint32_t *rules; /* at least one, ascending */
	size_t count;
};

struct subjects {
	struct subject *items; /* in the order of their first rules; none is moved */
	size_t count;
};

/* -ENOMEM. */
int subjects_create(const struct config_function *rules, size_t rule_count,
		    struct subjects *ret_subjects);
/* The one that has the rule. */
const struct subject *subjects_of_rule(const struct subjects *subjects, uint32_t rule);
void subjects_free(struct subjects *subjects);
