/* SPDX-License-Identifier: Apache-2.0 */
#include "subjects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool are_equal(const struct config_strings *a, const struct config_strings *b)
{
	for (size_t i = 0; i < a->count && i < b->count; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return a->count == b->count;
}

static bool name_the_same(const struct config_function *a,
			  const struct config_function *b)
{
	return are_equal(&a->exes, &b->exes) && are_equal(&a->libs, &b->libs) &&
	       are_equal(&a->services, &b->services) && a->pid_count == b->pid_count &&
	       !memcmp(a->pids, b->pids, a->pid_count * sizeof(a->pids[0]));
}

/* The one that it belongs to; behind the last: none yet. */
static struct subject *subject_of(struct subjects *subjects,
				  const struct config_function *rules, uint32_t rule)
{
	struct subject *subject = subjects->items;

	while (subject < subjects->items + subjects->count &&
	       !name_the_same(&rules[subject->rules[0]], &rules[rule]))
		subject++;
	return subject;
}

static int add(struct subjects *subjects, const struct config_function *rules,
	       uint32_t rule)
{
	struct subject *subject = subject_of(subjects, rules, rule);
	uint32_t *items =
	    reallocarray(subject->rules, subject->count + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	if (!subject->count)
		subjects->count++;
	subject->rules = items;
	items[subject->count++] = rule;
	return 0;
}

int subjects_create(const struct config_function *rules, size_t rule_count,
		    struct subjects *ret_subjects)
{
	struct subjects subjects = {.items =
					calloc(rule_count, sizeof(*subjects.items))};
	int err = subjects.items ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < rule_count && !err; i++)
		err = add(&subjects, rules, i);
	if (err)
		subjects_free(&subjects);
	else
		*ret_subjects = subjects;
	return err;
}

static bool has(const struct subject *subject, uint32_t rule)
{
	for (size_t i = 0; i < subject->count; i++)
		if (subject->rules[i] == rule)
			return true;
	return false;
}

const struct subject *subjects_of_rule(const struct subjects *subjects, uint32_t rule)
{
	const struct subject *subject = subjects->items;

	while (!has(subject, rule))
		subject++;
	return subject;
}

void subjects_free(struct subjects *subjects)
{
	for (size_t i = 0; i < subjects->count; i++)
		free(subjects->items[i].rules);
	free(subjects->items);
	*subjects = (struct subjects){};
}
