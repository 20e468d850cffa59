/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As Prometheus' scrape/scrape.go and scrape/target.go (2.42) do it, oddities included:
 *
 * - A label that is given with an empty value anywhere is not there, whatever else the
 *   line says of it. With honor_labels it keeps the target's one away.
 * - Where the target has a label that the body gives, too, the body's becomes
 *   exported_NAME, or exported_exported_NAME, ..., the first that nobody has; shorter
 *   names first, as it may be one of these.
 * - Label names are checked for being there once only after that.
 */
#include "scrape_labels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "constants.h"
#include "relabel.h"

#define EXPORTED "exported_"
#define EXPORTED_LEN (sizeof(EXPORTED) - 1)
#define NAME "__name__"
#define NAME_SHOWN 100

struct scrape_labels {
	const struct scrape_series_config *config;
	struct snapshot constants; /* arena of the two below */
	struct label_set target, external;
	struct relabel *relabel; /* NULL: no rules */

	/* Of the series that is made: */
	struct label *labels;
	size_t count, capacity;
	char *strings;
	size_t string_len, string_capacity;
};

/* --- memory ------------------------------------------------------------------- */

static int reserve(struct scrape_labels *labels, size_t count, size_t string_len)
{
	if (count > labels->capacity) {
		struct label *items =
		    reallocarray(labels->labels, count, sizeof(*items));

		if (!items)
			return -ENOMEM;
		labels->labels = items;
		labels->capacity = count;
	}
	if (string_len > labels->string_capacity) {
		char *strings = realloc(labels->strings, string_len);

		if (!strings)
			return -ENOMEM;
		labels->strings = strings;
		labels->string_capacity = string_len;
	}
	labels->count = labels->string_len = 0;
	return 0;
}

/* What names that begin with EXPORTED may take: each label may be in the way once. */
static size_t exported_len(const struct scrape_labels *labels, size_t label_count)
{
	size_t len = 0;

	for (size_t i = 0; i < labels->target.count; i++)
		len += strlen(labels->target.labels[i].name) + 1 +
		       EXPORTED_LEN * (label_count + 2 * labels->target.count + 1);
	return len;
}

static int reserve_for(struct scrape_labels *labels,
		       const struct textparse_entry *entry)
{
	const size_t count =
	    entry->label_count + 1 + labels->target.count * 2 + labels->external.count;

	/* The texts of all labels are within that of the series, and not longer. */
	return reserve(labels, count,
		       entry->series.len + 2 * (entry->label_count + 1) +
			   exported_len(labels, entry->label_count));
}

static const char *keep(struct scrape_labels *labels, struct slice raw)
{
	char *text = labels->strings + labels->string_len;
	const size_t len = textparse_unescape(raw, text);

	text[len] = '\0';
	labels->string_len += len + 1;
	return text;
}

/* --- the set ------------------------------------------------------------------ */

static void push(struct scrape_labels *labels, const char *name, const char *value)
{
	labels->labels[labels->count++] = (struct label){name, value};
}

static const char *get(const struct label *set, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(set[i].name, name))
			return set[i].value;
	}
	return NULL;
}

static void drop(struct scrape_labels *labels, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < labels->count; i++) {
		if (strcmp(labels->labels[i].name, name) != 0)
			labels->labels[kept++] = labels->labels[i];
	}
	labels->count = kept;
}

static void drop_empty(struct scrape_labels *labels)
{
	for (size_t i = 0; i < labels->count;) {
		if (*labels->labels[i].value) {
			i++;
			continue;
		}
		drop(labels, labels->labels[i].name);
		i = 0;
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

/* NULL, or the name that is there twice. */
static const char *sort(struct scrape_labels *labels)
{
	const struct label *set = labels->labels;

	qsort(labels->labels, labels->count, sizeof(*set), compare_names);
	for (size_t i = 1; i < labels->count; i++) {
		if (!strcmp(set[i - 1].name, set[i].name))
			return set[i].name;
	}
	return NULL;
}

/* --- the target's labels ------------------------------------------------------ */

/* Before empty ones are dropped: they count. */
static void honor_scraped(struct scrape_labels *labels)
{
	const size_t scraped = labels->count;

	for (size_t i = 0; i < labels->target.count; i++) {
		const struct label *own = &labels->target.labels[i];

		if (!get(labels->labels, scraped, own->name))
			push(labels, own->name, own->value);
	}
	drop_empty(labels);
}

static void export(struct scrape_labels *labels, struct label conflict)
{
	char *name = labels->strings + labels->string_len;
	size_t len = 0;

	do {
		memcpy(name + len, EXPORTED, EXPORTED_LEN);
		len += EXPORTED_LEN;
		strcpy(name + len, conflict.name);
	} while (get(labels->labels, labels->count, name));
	labels->string_len += strlen(name) + 1;
	push(labels, name, conflict.value);
}

/* Stable; there are few. */
static void sort_by_length(struct label *conflicts, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		const struct label moved = conflicts[i];
		size_t at = i;

		for (; at && strlen(conflicts[at - 1].name) > strlen(moved.name); at--)
			conflicts[at] = conflicts[at - 1];
		conflicts[at] = moved;
	}
}

static int prefer_target(struct scrape_labels *labels)
{
	const struct label_set *target = &labels->target;
	AUTO_FREE struct label *conflicts =
	    calloc(target->count + 1, sizeof(*conflicts));
	size_t conflict_count = 0;

	if (!conflicts)
		return -ENOMEM;
	drop_empty(labels);
	for (size_t i = 0; i < target->count; i++) {
		const char *name = target->labels[i].name;
		const char *value = get(labels->labels, labels->count, name);

		if (!value)
			continue;
		conflicts[conflict_count++] = (struct label){name, value};
		drop(labels, name);
	}
	for (size_t i = 0; i < target->count; i++)
		push(labels, target->labels[i].name, target->labels[i].value);
	sort_by_length(conflicts, conflict_count);
	for (size_t i = 0; i < conflict_count; i++)
		export(labels, conflicts[i]);
	return 0;
}

/* --- what is good ------------------------------------------------------------- */

static bool is_name(const char *name, bool may_have_colon)
{
	if (*name >= '0' && *name <= '9')
		return false;
	for (const char *at = name; *at; at++) {
		if ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
		    (*at >= '0' && *at <= '9') || *at == '_')
			continue;
		if (*at != ':' || !may_have_colon)
			return false;
	}
	return *name != '\0';
}

/* A body that quotes names may have any; rules make none but those of old. */
static bool are_names_good(const struct label_set *set, const char *metric,
			   bool is_quoted, char *reason)
{
	if (!metric) {
		snprintf(reason, SCRAPE_SERIES_REASON_LEN,
			 "series without a name (label " NAME ")");
		return false;
	}
	for (size_t i = 0; i < set->count; i++) {
		const struct label *label = &set->labels[i];
		const bool is_metric = label->value == metric;

		if (is_quoted ? *label->name != '\0'
			      : is_name(label->name, false) &&
				    (!is_metric || is_name(metric, true)))
			continue;
		snprintf(reason, SCRAPE_SERIES_REASON_LEN,
			 "invalid name \"%.*s\" of %s", NAME_SHOWN,
			 is_metric ? metric : label->name,
			 is_metric ? "a metric" : "a label");
		return false;
	}
	return true;
}

static bool is_too_long(const char *text, uint64_t limit)
{
	return limit && strlen(text) > limit;
}

static bool are_limits_kept(const struct scrape_series_config *config,
			    const struct label_set *set, const char *metric,
			    char *reason)
{
	if (config->label_limit && set->count > config->label_limit) {
		snprintf(reason, SCRAPE_SERIES_REASON_LEN,
			 "label_limit exceeded (metric %.50s, %zu labels)", metric,
			 set->count);
		return false;
	}
	for (size_t i = 0; i < set->count; i++) {
		const struct label *label = &set->labels[i];
		const bool is_name_long =
		    is_too_long(label->name, config->label_name_length_limit);

		if (!is_name_long &&
		    !is_too_long(label->value, config->label_value_length_limit))
			continue;
		snprintf(reason, SCRAPE_SERIES_REASON_LEN,
			 "label_%s_length_limit exceeded (metric %.50s, label %.50s)",
			 is_name_long ? "name" : "value", metric, label->name);
		return false;
	}
	return true;
}

/* --- all of it ---------------------------------------------------------------- */

static int take_entry(struct scrape_labels *labels, const struct textparse_entry *entry)
{
	int err = reserve_for(labels, entry);

	if (err)
		return err;
	push(labels, NAME, keep(labels, entry->name));
	for (size_t i = 0; i < entry->label_count; i++) {
		const char *name = keep(labels, entry->labels[i].name);

		push(labels, name, keep(labels, entry->labels[i].value));
	}
	if (!labels->config->honor_labels)
		return prefer_target(labels);
	honor_scraped(labels);
	return 0;
}

static enum scrape_labels_verdict judge(struct scrape_labels *labels, bool is_quoted,
					struct label_set *set, char *reason)
{
	const char *twice = sort(labels), *metric;

	if (twice) {
		snprintf(reason, SCRAPE_SERIES_REASON_LEN,
			 "label %.*s twice in a series", NAME_SHOWN, twice);
		return SCRAPE_LABELS_INVALID;
	}
	if (labels->count > RELABEL_LABELS_MAX) {
		snprintf(reason, SCRAPE_SERIES_REASON_LEN, "series with %zu labels",
			 labels->count);
		return SCRAPE_LABELS_INVALID;
	}
	*set = (struct label_set){labels->labels, labels->count};
	if (!set->count ||
	    (labels->relabel && !relabel_apply(labels->relabel, set->labels, set->count,
					       &set->labels, &set->count)))
		return SCRAPE_LABELS_DROPPED;
	metric = get(set->labels, set->count, NAME);
	if (!are_names_good(set, metric, is_quoted, reason) ||
	    !are_limits_kept(labels->config, set, metric, reason))
		return SCRAPE_LABELS_INVALID;
	return SCRAPE_LABELS_GOOD;
}

/* Those of the set come from rules, or are our own already. */
static int add_external(struct scrape_labels *labels, struct label_set *set)
{
	const size_t needed = set->count + labels->external.count;
	struct label *items;

	if (!labels->external.count)
		return 0;
	items = reallocarray(NULL, needed, sizeof(*items));
	if (!items)
		return -ENOMEM;
	memcpy(items, set->labels, set->count * sizeof(*items));
	free(labels->labels);
	labels->labels = items;
	labels->capacity = needed;
	labels->count = set->count;
	for (size_t i = 0; i < labels->external.count; i++) {
		const struct label *label = &labels->external.labels[i];

		if (!get(items, set->count, label->name))
			push(labels, label->name, label->value);
	}
	sort(labels);
	*set = (struct label_set){labels->labels, labels->count};
	return 0;
}

int scrape_labels_make(struct scrape_labels *labels,
		       const struct textparse_entry *entry,
		       enum scrape_labels_verdict *ret_verdict,
		       struct label_set *ret_set, char *reason)
{
	enum scrape_labels_verdict verdict;
	struct label_set set;
	int err = take_entry(labels, entry);

	if (err)
		return err;
	verdict = judge(labels, entry->is_quoted, &set, reason);
	if (verdict == SCRAPE_LABELS_GOOD) {
		err = add_external(labels, &set);
		if (err)
			return err;
		*ret_set = set;
	}
	*ret_verdict = verdict;
	return 0;
}

int scrape_labels_report(struct scrape_labels *labels, const char *name,
			 struct label_set *ret_set)
{
	struct label_set set;
	int err = reserve(labels, labels->target.count + labels->external.count + 1, 0);

	if (err)
		return err;
	push(labels, NAME, name);
	for (size_t i = 0; i < labels->target.count; i++)
		push(labels, labels->target.labels[i].name,
		     labels->target.labels[i].value);
	sort(labels);
	set = (struct label_set){labels->labels, labels->count};
	err = add_external(labels, &set);
	if (!err)
		*ret_set = set;
	return err;
}

uint64_t scrape_labels_failures(const struct scrape_labels *labels)
{
	return labels->relabel ? relabel_failures(labels->relabel) : 0;
}

/* --- life --------------------------------------------------------------------- */

int scrape_labels_create(const struct scrape_series_config *config,
			 struct scrape_labels **ret_labels)
{
	CLEANUP(scrape_labels_free)
	struct scrape_labels *labels = calloc(1, sizeof(*labels));
	int err;

	if (!labels)
		return -ENOMEM;
	labels->config = config;
	snapshot_init(&labels->constants, 0);
	err = constants_copy(config->labels, &labels->constants, &labels->target);
	if (!err)
		err = constants_copy(config->external, &labels->constants,
				     &labels->external);
	if (!err && config->relabel_count)
		err = relabel_create(config->relabels, config->relabel_count,
				     &labels->relabel);
	if (err)
		return err;
	*ret_labels = TAKE(labels);
	return 0;
}

void scrape_labels_free(struct scrape_labels **labels)
{
	if (!*labels)
		return;
	relabel_free(&(*labels)->relabel);
	snapshot_free(&(*labels)->constants);
	free((*labels)->labels);
	free((*labels)->strings);
	free(*labels);
	*labels = NULL;
}
