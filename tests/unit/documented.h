/* SPDX-License-Identifier: Apache-2.0 */
/*
 * documented.h - docs/metrics.md beside what the code exposes. The document has
 * one table a section; the first cell of a line is a name in backquotes. Tests
 * are run from the root of the repository.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot.h"

#define DOCUMENTED_MAX 128
#define DOCUMENTED_LEN 96

struct names {
	size_t count;
	char items[DOCUMENTED_MAX][DOCUMENTED_LEN];
};

static inline bool names_have(const struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (!strcmp(names->items[i], name))
			return true;
	return false;
}

static inline void names_add(struct names *names, const char *name)
{
	assert_true(names->count < DOCUMENTED_MAX);
	snprintf(names->items[names->count++], DOCUMENTED_LEN, "%s", name);
}

/* The names of the section under the heading "## heading". */
static inline void names_read(struct names *ret_names, const char *heading)
{
	FILE *file = fopen("docs/metrics.md", "re");
	char line[1024], name[DOCUMENTED_LEN];
	bool inside = false;

	assert_non_null(file);
	ret_names->count = 0;
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "## ", 3)) {
			line[strcspn(line, "\n")] = 0;
			inside = !strcmp(line + 3, heading);
		} else if (inside && sscanf(line, "| `%95[^`]` |", name) == 1) {
			assert_false(names_have(ret_names, name));
			names_add(ret_names, name);
		}
	}
	fclose(file);
	assert_true(ret_names->count > 0);
}

/* The families of a finished snapshot, as people look for them. */
static inline void names_of_snapshot(struct names *ret_names,
				     const struct snapshot *snapshot)
{
	const struct family *last = NULL;

	ret_names->count = 0;
	for (size_t i = 0; i < snapshot->count; i++) {
		const struct family *family = snapshot->metrics[i].family;
		char name[DOCUMENTED_LEN];

		if (family == last)
			continue;
		last = family;
		snprintf(name, sizeof(name), "%s%s", family->name,
			 family->type == METRIC_COUNTER ? "_total"
			 : family->type == METRIC_INFO  ? "_info"
							: "");
		names_add(ret_names, name);
	}
}

static inline void names_check_same(const struct names *documented,
				    const struct names *exposed)
{
	for (size_t i = 0; i < exposed->count; i++)
		if (!names_have(documented, exposed->items[i]))
			fail_msg("%s is not in docs/metrics.md", exposed->items[i]);
	for (size_t i = 0; i < documented->count; i++)
		if (!names_have(exposed, documented->items[i]))
			fail_msg("%s is only in docs/metrics.md", documented->items[i]);
}
