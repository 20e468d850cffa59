/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One collection, over memory of the snapshot's arena:
 *
 *   rows -> rows
 *   calls under way -> calls   for gauges of calls in progress
 *   label texts -> texts       by rule and hash; those of every row and call that was
 *                              read are there, because they were before it
 *   rows, calls -> groups      under their labels in words: what an enumeration does
 *                              not name, or has no room, is `other` and added up
 *   groups -> metrics
 */
#include "function_series.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drain.h"
#include "rules.h"
#include "slice.h"
#include "summaries.h"
#include "table.h"

#define NS_PER_SECOND 1e9
#define LABELS_MAX 16
#define NUMBER_LEN 24
#define OTHER "other"

/* What the rules may have rows, texts and calls in: a hash is walked by its buckets,
 * and those of an empty one take as long. */
struct needed {
	bool rows, summaries, texts, calls;
};

struct function_series {
	uint64_t seed;
	const struct config_function *rules;
	size_t rule_count;
	struct needed needed;
	const struct family *const *families;
	struct summary_kind *kinds; /* of rules that are summaries */
	struct summaries *summaries;
};

struct text {
	struct tally_function_labels_key key;
	struct tally_function_labels value;
};

/* The value comes last: of it only the row is there where there is no more. */
struct row {
	struct tally_function_key key;
	struct row *next;
	struct tally_function_summary value;
};

struct group_key {
	const struct family *family;
	struct label_set labels;
};

struct call {
	struct tally_function_key key;
	struct call *next;
};

/* All rows of one family with equal labels. */
struct group {
	struct group_key key;
	const struct config_function *rule; /* the first; those of a family are alike */
	const struct summary_kind *kind;
	struct row *sum; /* the first row, and the others added; NULL: calls only */
	uint64_t calls;  /* under way */
	struct group *next;
};

struct collection {
	struct function_series *series;
	struct snapshot *snapshot;
	struct row *rows;
	struct call *calls;
	struct table texts, groups;
	struct group *all_groups;
};

/* --- label texts ------------------------------------------------------------------ */

static bool same_text(const void *item, const void *wanted)
{
	return !memcmp(&((const struct text *)item)->key, wanted,
		       sizeof(struct tally_function_labels_key));
}

static void see_text(void *context, const void *key, const void *value)
{
	struct collection *collection = context;
	struct text *text = snapshot_alloc(collection->snapshot, sizeof(*text));

	if (!text)
		return;
	memcpy(&text->key, key, sizeof(text->key));
	memcpy(&text->value, value, sizeof(text->value));
	table_add(&collection->texts,
		  table_hash(collection->series->seed, key, sizeof(text->key)), text,
		  collection->snapshot);
}

static const struct tally_function_labels *
find_text(const struct collection *collection, const struct tally_function_key *key)
{
	const struct tally_function_labels_key wanted = {
	    .rule = key->rule,
	    .arguments = key->arguments,
	};
	const struct text *text =
	    table_find(&collection->texts,
		       table_hash(collection->series->seed, &wanted, sizeof(wanted)),
		       same_text, &wanted);

	return text ? &text->value : NULL;
}

/* --- labels in words -------------------------------------------------------------- */

static const char *number_in_words(struct collection *collection,
				   const struct config_function_label *label,
				   int64_t number)
{
	char *text;

	for (size_t i = 0; i < label->value_count; i++)
		if (label->values[i].number == number)
			return label->values[i].text;
	if (label->value_count)
		return OTHER;
	text = snapshot_alloc(collection->snapshot, NUMBER_LEN);
	if (!text)
		return OTHER;
	if (label->number == CONFIG_UINT64)
		snprintf(text, NUMBER_LEN, "%" PRIu64, (uint64_t)number);
	else
		snprintf(text, NUMBER_LEN, "%" PRId64, number);
	return text;
}

static const char *string_in_words(struct collection *collection, const char *string)
{
	const size_t len = strnlen(string, TALLY_FUNCTION_STRING);
	char *text = snapshot_alloc(collection->snapshot, TALLY_FUNCTION_STRING + 1);

	/* an empty one is no label; bytes that are no text become '_' */
	if (!text || !slice_to_label((struct slice){string, len}, text,
				     TALLY_FUNCTION_STRING + 1))
		return "";
	return text;
}

/* place: of the label among those that are arguments. */
static const char *value_of(struct collection *collection,
			    const struct config_function_label *label,
			    const struct tally_function_key *key,
			    const struct tally_function_labels *texts, size_t place)
{
	int64_t number;

	if (label->constant)
		return label->constant;
	if (label->operand.is_return)
		return key->other_result
			   ? OTHER
			   : number_in_words(collection, label, key->result);
	if (!texts)
		return OTHER;
	if (label->is_string)
		return string_in_words(collection, texts->text[place]);
	memcpy(&number, texts->text[place], sizeof(number));
	return texts->text[place][sizeof(number)]
		   ? OTHER
		   : number_in_words(collection, label, number);
}

static struct label_set labels_of(struct collection *collection,
				  const struct config_function *rule,
				  const struct tally_function_key *key)
{
	const struct tally_function_labels *texts = find_text(collection, key);
	struct label labels[LABELS_MAX];
	size_t count = 0, place = 0;

	for (size_t i = 0; i < rule->label_count && count < LABELS_MAX; i++) {
		const struct config_function_label *label = &rule->labels[i];

		labels[count++] = (struct label){
		    label->name, value_of(collection, label, key, texts, place)};
		place += label->operand.argument != 0;
	}
	return snapshot_labels(collection->snapshot, labels, count);
}

/* --- groups ----------------------------------------------------------------------- */

static uint64_t hash_group(uint64_t seed, const struct group_key *key)
{
	const uint64_t start = table_hash(seed, &key->family, sizeof(key->family));

	return table_hash_labels(start, &key->labels);
}

static bool same_group(const void *item, const void *wanted)
{
	const struct group_key *a = &((const struct group *)item)->key, *b = wanted;

	return a->family == b->family && !label_set_compare(&a->labels, &b->labels);
}

/* NULL: memory ran out, which the snapshot remembers, or no rule of ours. */
static struct group *group_of(struct collection *collection,
			      const struct tally_function_key *key)
{
	const struct function_series *series = collection->series;
	const struct config_function *rule;
	struct group_key wanted = {};
	struct group *group;
	uint64_t hash;

	if (key->rule >= series->rule_count)
		return NULL;
	rule = &series->rules[key->rule];
	wanted.family = series->families[key->rule];
	wanted.labels = labels_of(collection, rule, key);
	hash = hash_group(series->seed, &wanted);
	group = table_find(&collection->groups, hash, same_group, &wanted);
	if (group)
		return group;
	group = snapshot_alloc(collection->snapshot, sizeof(*group));
	if (!group)
		return NULL;
	group->key = wanted;
	group->rule = rule;
	group->kind = &series->kinds[key->rule];
	group->next = collection->all_groups;
	collection->all_groups = group;
	table_add(&collection->groups, hash, group, collection->snapshot);
	return group;
}

/* The rows of `other` are made at start; they show once there is something in them. */
static bool is_spare(const struct tally_function_key *key,
		     const struct tally_function_row *row)
{
	return (key->other_result || key->arguments == TALLY_ARGUMENTS_OTHER) &&
	       !row->count;
}

/* What is not of such a rule has no more than a row either. */
static void take_row(struct collection *collection,
		     const struct tally_function_key *key, const void *value,
		     size_t bytes)
{
	struct row *row;

	if (is_spare(key, value) || key->rule >= collection->series->rule_count)
		return;
	row = snapshot_alloc(collection->snapshot, offsetof(struct row, value) + bytes);
	if (!row)
		return;
	row->key = *key;
	memcpy(&row->value, value, bytes);
	row->next = collection->rows;
	collection->rows = row;
}

static void see_row(void *context, const void *key, const void *value)
{
	take_row(context, key, value, sizeof(struct tally_function_row));
}

static void see_summary(void *context, const void *key, const void *value)
{
	take_row(context, key, value, sizeof(struct tally_function_summary));
}

/* Every rule has one, most use it. */
static void see_single(void *context, const void *key, const void *value)
{
	const struct collection *collection = context;
	const struct tally_function_key of_rule = {.rule = *(const uint32_t *)key};
	const struct function_series *series = collection->series;

	if (of_rule.rule < series->rule_count &&
	    rules_place(&series->rules[of_rule.rule]) == TALLY_PLACE_SINGLE)
		see_row(context, &of_rule, value);
}

static void add_row(struct tally_function_summary *sum,
		    const struct tally_function_summary *value, bool has_logs)
{
	sum->row.count += value->row.count;
	sum->row.sum += value->row.sum;
	if (value->row.count)
		sum->row.last = value->row.last;
	for (size_t i = 0; i <= TALLY_FUNCTION_BOUNDS; i++)
		sum->row.buckets[i] += value->row.buckets[i];
	for (size_t i = 0; has_logs && i < TALLY_FUNCTION_LOGS; i++)
		sum->logs[i] += value->logs[i];
}

static void group_row(struct collection *collection, struct row *row)
{
	struct group *group = group_of(collection, &row->key);

	if (!group)
		return;
	if (group->sum)
		add_row(&group->sum->value, &row->value,
			group->rule->type == CONFIG_SUMMARY);
	else
		group->sum = row;
}

static void see_call(void *context, const struct tally_function_key *key)
{
	struct collection *collection = context;
	const struct function_series *series = collection->series;
	struct call *call;

	if (key->rule >= series->rule_count ||
	    series->rules[key->rule].value != CONFIG_VALUE_IN_PROGRESS)
		return;
	call = snapshot_alloc(collection->snapshot, sizeof(*call));
	if (!call)
		return;
	*call = (struct call){*key, collection->calls};
	collection->calls = call;
}

static void group_call(struct collection *collection, const struct call *call)
{
	struct group *group = group_of(collection, &call->key);

	if (group)
		group->calls++;
}

static void see_goroutine(void *context, const void *key, const void *value)
{
	const struct tally_function_frame *frame = value;
	const struct tally_function_key call = {
	    .rule = frame->rule,
	    .arguments = frame->arguments,
	};

	(void)key;
	see_call(context, &call);
}

/* --- metrics ---------------------------------------------------------------------- */

static double in_units(const struct config_function *rule, int64_t number)
{
	if (rule->value == CONFIG_VALUE_LATENCY)
		return (double)number / NS_PER_SECOND;
	return rules_are_unsigned(rule) ? (double)(uint64_t)number : (double)number;
}

static double counter_value(const struct group *group)
{
	const struct tally_function_row *row = &group->sum->value.row;

	if (group->rule->value == CONFIG_VALUE_COUNT)
		return (double)row->count;
	return in_units(group->rule, row->sum);
}

static void emit_gauge(struct collection *collection, const struct group *group)
{
	double value = (double)group->calls;

	if (group->rule->value == CONFIG_VALUE_NUMBER) {
		if (!group->sum->value.row.count) /* no value was seen yet */
			return;
		value = in_units(group->rule, group->sum->value.row.last);
	}
	snapshot_value(collection->snapshot, group->key.family, group->key.labels,
		       value);
}

static void emit_histogram(struct collection *collection, const struct group *group)
{
	const struct tally_function_row *row = &group->sum->value.row;
	const struct histogram histogram = {
	    .bounds = group->rule->bounds,
	    .bound_count = group->rule->bound_count,
	    .buckets = (const uint64_t *)row->buckets,
	    .sum = in_units(group->rule, row->sum),
	};

	snapshot_histogram(collection->snapshot, group->key.family, group->key.labels,
			   &histogram);
}

static void emit_summary(struct collection *collection, const struct group *group)
{
	const struct tally_function_summary *value = &group->sum->value;

	summaries_add(collection->series->summaries, group->kind, group->key.labels,
		      (const uint64_t *)value->logs,
		      in_units(group->rule, value->row.sum));
}

static void emit(struct collection *collection, const struct group *group)
{
	switch (group->rule->type) {
	case CONFIG_COUNTER:
		snapshot_value(collection->snapshot, group->key.family,
			       group->key.labels, counter_value(group));
		break;
	case CONFIG_GAUGE:
		emit_gauge(collection, group);
		break;
	case CONFIG_HISTOGRAM:
		emit_histogram(collection, group);
		break;
	case CONFIG_SUMMARY:
		emit_summary(collection, group);
		break;
	}
}

/* --- reading ------------------------------------------------------------------- */

static int read_calls(struct collection *collection, const struct uprobes *uprobes)
{
	int err;

	if (!collection->series->needed.calls)
		return 0;
	err = uprobes_each_call(uprobes, see_call, collection);
	if (err)
		return err;
	return drain_each(uprobes_map_fd(uprobes, UPROBES_GOROUTINES),
			  sizeof(struct tally_goroutine_key),
			  sizeof(struct tally_function_frame), see_goroutine,
			  collection);
}

static int read_rows(struct collection *collection, const struct uprobes *uprobes)
{
	const struct needed *needed = &collection->series->needed;
	int err = drain_each(uprobes_map_fd(uprobes, UPROBES_SINGLES), sizeof(uint32_t),
			     sizeof(struct tally_function_row), see_single, collection);

	if (!err && needed->rows)
		err =
		    drain_each(uprobes_map_fd(uprobes, UPROBES_ROWS),
			       sizeof(struct tally_function_key),
			       sizeof(struct tally_function_row), see_row, collection);
	if (!err && needed->summaries)
		err = drain_each(uprobes_map_fd(uprobes, UPROBES_SUMMARIES),
				 sizeof(struct tally_function_key),
				 sizeof(struct tally_function_summary), see_summary,
				 collection);
	return err;
}

static int read_maps(struct collection *collection, const struct uprobes *uprobes)
{
	int err = read_rows(collection, uprobes);

	if (!err)
		err = read_calls(collection, uprobes);
	if (err || !collection->series->needed.texts)
		return err;
	return drain_each(uprobes_map_fd(uprobes, UPROBES_LABELS),
			  sizeof(struct tally_function_labels_key),
			  sizeof(struct tally_function_labels), see_text, collection);
}

static void make_groups(struct collection *collection)
{
	for (struct row *row = collection->rows; row; row = row->next)
		group_row(collection, row);
	for (const struct call *call = collection->calls; call; call = call->next)
		group_call(collection, call);
}

int function_series_collect(struct function_series *series,
			    const struct uprobes *uprobes, int64_t now_ms,
			    struct snapshot *snapshot)
{
	struct collection collection = {.series = series, .snapshot = snapshot};
	int err = read_maps(&collection, uprobes);

	if (err) /* windows of what was not read would be forgotten */
		return err;
	make_groups(&collection);
	summaries_begin(series->summaries, snapshot, now_ms);
	for (const struct group *group = collection.all_groups; group;
	     group = group->next)
		emit(&collection, group);
	summaries_end(series->summaries);
	return 0;
}

static struct summary_kind kind_of(const struct config_function *rule,
				   const struct family *family)
{
	const bool is_latency = rule->value == CONFIG_VALUE_LATENCY;

	return (struct summary_kind){
	    .family = family,
	    .scale = is_latency ? &quantile_durations : &quantile_values,
	    .unit = is_latency ? NS_PER_SECOND : 1,
	    .quantiles = rule->quantiles,
	    .quantile_count = rule->quantile_count,
	    .max_age_ms = rule->max_age_ms,
	    .age_buckets = rule->age_buckets,
	};
}

static void need(struct needed *needed, const struct config_function *rule)
{
	const enum tally_function_place place = rules_place(rule);

	needed->rows |= place == TALLY_PLACE_ROW;
	needed->summaries |= place == TALLY_PLACE_SUMMARY;
	needed->calls |= rule->value == CONFIG_VALUE_IN_PROGRESS;
	for (size_t i = 0; i < rule->label_count; i++)
		needed->texts |= rule->labels[i].operand.argument != 0;
}

int function_series_create(const struct config_function *rules, size_t rule_count,
			   const struct family *const *families, uint64_t seed,
			   struct function_series **ret_series)
{
	struct function_series *series = calloc(1, sizeof(*series));
	int err;

	if (!series)
		return -ENOMEM;
	series->rules = rules;
	series->rule_count = rule_count;
	series->families = families;
	series->seed = seed;
	series->kinds = calloc(rule_count, sizeof(*series->kinds));
	err = series->kinds ? summaries_create(seed, &series->summaries) : -ENOMEM;
	if (err) {
		function_series_free(&series);
		return err;
	}
	for (size_t i = 0; i < rule_count; i++) {
		series->kinds[i] = kind_of(&rules[i], families[i]);
		need(&series->needed, &rules[i]);
	}
	*ret_series = series;
	return 0;
}

void function_series_free(struct function_series **series)
{
	if (!*series)
		return;
	summaries_free(&(*series)->summaries);
	free((*series)->kinds);
	free(*series);
	*series = NULL;
}
