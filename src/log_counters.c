/* SPDX-License-Identifier: Apache-2.0 */
#include "log_counters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "pattern.h"

#define GROUPS_MAX CONFIG_FUNCTION_LABELS_MAX
#define VALUE_SIZE 129 /* with its NUL */
#define OTHER "other"

struct row {
	uint64_t count;
	size_t len;
	char values[]; /* one after another, each with its NUL */
};

struct counter {
	struct family family;
	struct pattern *pattern;
	size_t group_count;
	const char *names[GROUPS_MAX]; /* the pattern's */
	int groups[GROUPS_MAX];
	size_t row_count, row_max;
	struct row **rows; /* and one more, `other` */
};

struct log_counters {
	size_t count;
	struct counter items[];
};

static void find_groups(struct counter *counter)
{
	const char *name;
	int group;

	while (counter->group_count < GROUPS_MAX &&
	       (name = pattern_name(counter->pattern, counter->group_count, &group))) {
		counter->names[counter->group_count] = name;
		counter->groups[counter->group_count++] = group;
	}
}

static int make(struct counter *counter, const struct config_log_metric *metric,
		unsigned int order)
{
	char error[PATTERN_ERROR_LEN];
	int err = pattern_create_search(metric->regex, &counter->pattern, error);

	if (err)
		return err;
	counter->family = (struct family){
	    .name = metric->name,
	    .help = metric->help ? metric->help : "",
	    .unit = "",
	    .type = METRIC_COUNTER,
	    .order = order,
	};
	find_groups(counter);
	counter->row_max = metric->max_values;
	counter->rows = calloc(counter->row_max + 1, sizeof(struct row *));
	return counter->rows ? 0 : -ENOMEM;
}

/* Without labels there is one series, and it is there from the beginning. */
static int add_only(struct counter *counter)
{
	if (counter->group_count)
		return 0;
	counter->rows[0] = calloc(1, sizeof(struct row) + 1);
	counter->row_count = 1;
	return counter->rows[0] ? 0 : -ENOMEM;
}

int log_counters_create(const struct config_log_metric *metrics, size_t count,
			unsigned int order, struct log_counters **ret_counters)
{
	CLEANUP(log_counters_free)
	struct log_counters *counters =
	    calloc(1, sizeof(*counters) + count * sizeof(*counters->items));
	int err = counters ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < count; i++) {
		counters->count++;
		err = make(&counters->items[i], &metrics[i], order + (unsigned int)i);
		if (!err)
			err = add_only(&counters->items[i]);
	}
	if (!err)
		*ret_counters = TAKE(counters);
	return err;
}

void log_counters_free(struct log_counters **counters)
{
	if (!*counters)
		return;
	for (size_t i = 0; i < (*counters)->count; i++) {
		struct counter *counter = &(*counters)->items[i];

		for (size_t j = 0; counter->rows && j < counter->row_count; j++)
			free(counter->rows[j]);
		free(counter->rows);
		pattern_free(&counter->pattern);
	}
	free(*counters);
	*counters = NULL;
}

/* --- counting ----------------------------------------------------------------- */

static struct row *find_row(const struct counter *counter, const char *values,
			    size_t len)
{
	for (size_t i = 0; i < counter->row_count; i++) {
		struct row *row = counter->rows[i];

		if (row->len == len && !memcmp(row->values, values, len))
			return row;
	}
	return NULL;
}

/* NULL: no memory. */
static struct row *add_row(struct counter *counter, const char *values, size_t len)
{
	struct row *row = calloc(1, sizeof(*row) + len);

	if (!row)
		return NULL;
	row->len = len;
	memcpy(row->values, values, len);
	counter->rows[counter->row_count++] = row;
	return row;
}

static size_t others(const struct counter *counter, char *ret_values)
{
	for (size_t i = 0; i < counter->group_count; i++)
		memcpy(ret_values + i * sizeof(OTHER), OTHER, sizeof(OTHER));
	return counter->group_count * sizeof(OTHER);
}

static size_t values_of(const struct counter *counter, struct slice text,
			char *ret_values)
{
	size_t len = 0;

	for (size_t i = 0; i < counter->group_count; i++) {
		struct slice span =
		    pattern_span(counter->pattern, text, counter->groups[i]);

		if (!slice_to_label(span, ret_values + len, VALUE_SIZE))
			ret_values[len] = 0;
		len += strlen(ret_values + len) + 1;
	}
	return len;
}

static void count_row(struct counter *counter, struct slice text)
{
	char values[GROUPS_MAX * VALUE_SIZE];
	size_t len = values_of(counter, text, values);
	struct row *row =
	    counter->group_count ? find_row(counter, values, len) : counter->rows[0];

	if (!row && counter->row_count < counter->row_max)
		row = add_row(counter, values, len);
	if (!row) {
		len = others(counter, values);
		row = find_row(counter, values, len);
		if (!row && counter->row_count <= counter->row_max)
			row = add_row(counter, values, len);
	}
	if (row)
		row->count++;
}

unsigned int log_counters_count(struct log_counters *counters, struct slice text)
{
	unsigned int failed = 0;

	for (size_t i = 0; i < counters->count; i++) {
		struct counter *counter = &counters->items[i];
		enum pattern_result result = pattern_match(counter->pattern, text);

		if (result == PATTERN_MATCH)
			count_row(counter, text);
		failed += result == PATTERN_FAILED;
	}
	return failed;
}

static void describe_row(const struct counter *counter, const struct row *row,
			 struct snapshot *snapshot)
{
	struct label labels[GROUPS_MAX];
	const char *value = row->values;

	for (size_t i = 0; i < counter->group_count; i++) {
		labels[i] = (struct label){counter->names[i], value};
		value += strlen(value) + 1;
	}
	snapshot_value(snapshot, &counter->family,
		       snapshot_labels(snapshot, labels, counter->group_count),
		       (double)row->count);
}

void log_counters_describe(const struct log_counters *counters,
			   struct snapshot *snapshot)
{
	for (size_t i = 0; i < counters->count; i++) {
		for (size_t j = 0; j < counters->items[i].row_count; j++)
			describe_row(&counters->items[i], counters->items[i].rows[j],
				     snapshot);
	}
}
