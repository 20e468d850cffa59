/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A metric becomes one sample or, for a histogram and a summary, one per bucket or
 * quantile and two more. Its labels are merged and sorted once; the samples of a
 * metric share the array and differ in its slots for the name and the bound.
 *
 * The metrics of the last collection are remembered in the order of snapshots.
 * Both lists are sorted alike, so one walk over the two finds what is new, what
 * stayed and what ended: no hash, and no copy of what stayed.
 */
#include "samples.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "constants.h"
#include "log.h"
#include "text.h"

#define ORDINARY_NAN 0x7ff8000000000001ull
#define TEXT_BYTES 32 /* text_bound's */
#define SUFFIX_MAX sizeof("_bucket")

/* What tells the series of one metric apart: bounds of a histogram, quantiles of
 * a summary; none of other types. */
struct parts {
	const double *values;
	size_t count;
};

/* Each set of parts once, with its label values: there are as many as kinds of
 * metric that have some. */
struct part_set {
	struct part_set *next;
	size_t count;
	char (*texts)[TEXT_BYTES]; /* and then "+Inf" */
	double values[];
};

/* A metric of the last collection: what is needed to write its series again. */
struct remembered {
	const struct family *family;
	const struct part_set *parts; /* NULL where its type has none */
	int64_t start_ms;
	bool has_native;
	size_t label_count;
	char strings[]; /* name, NUL, value, NUL, ... */
};

struct memory {
	struct remembered **metrics; /* in the order of snapshots, unique */
	size_t count;
};

/* The labels of one metric, sorted. Each sample puts its own into the slots. */
struct merged {
	struct label *labels;
	size_t count;
	size_t name; /* the slot's place */
	size_t part; /* likewise; only in `whole` */
};

struct samples {
	struct snapshot constants; /* arena of the external labels */
	struct label_set external;
	struct part_set *part_sets;
	struct memory memory;

	struct merged whole, bare; /* with the slot for a part, without */
	size_t label_capacity;
	char *name;
	size_t name_capacity;

	bool is_continued;
	int64_t continued_ms;
	bool has_complete;   /* the one below */
	int64_t complete_ms; /* of the last collection of which all was handed out */
};

/* One call of samples_walk. */
struct pass {
	struct samples *samples;
	const struct samples_sink *sink;
	int64_t time_ms;
	int64_t start_ms; /* of what is new */
};

/* One metric of a pass, and what all its samples have in common. */
struct writing {
	const struct pass *pass;
	const struct metric *metric;
	const struct part_set *parts;
	int64_t start_ms;
	bool is_stale;
	bool has_native;
};

/* --- parts -------------------------------------------------------------------- */

static const char *part_name(const struct family *family)
{
	if (family->type == METRIC_HISTOGRAM)
		return "le";
	return family->type == METRIC_SUMMARY ? "quantile" : NULL;
}

static struct parts parts_of(const struct metric *metric)
{
	const struct histogram *histogram = &metric->histogram;
	const struct summary *summary = &metric->summary;

	if (metric->family->type == METRIC_HISTOGRAM)
		return (struct parts){histogram->bounds, histogram->bound_count};
	if (metric->family->type == METRIC_SUMMARY)
		return (struct parts){summary->quantiles, summary->count};
	return (struct parts){0};
}

static bool are_same_parts(const struct part_set *set, struct parts parts)
{
	return set->count == parts.count &&
	       (!parts.count || !memcmp(set->values, parts.values,
					parts.count * sizeof(*parts.values)));
}

static struct part_set *add_part_set(struct samples *samples, struct parts parts)
{
	size_t bytes = parts.count * sizeof(*parts.values);
	struct part_set *set =
	    malloc(sizeof(*set) + bytes + (parts.count + 1) * TEXT_BYTES);

	if (!set)
		return NULL;
	set->count = parts.count;
	set->texts = (char(*)[TEXT_BYTES])(set->values + parts.count);
	if (bytes)
		memcpy(set->values, parts.values, bytes);
	for (size_t i = 0; i < parts.count; i++)
		text_bound(set->texts[i], parts.values[i]);
	text_bound(set->texts[parts.count], INFINITY);
	set->next = samples->part_sets;
	samples->part_sets = set;
	return set;
}

static const struct part_set *keep_parts(struct samples *samples, struct parts parts)
{
	for (struct part_set *set = samples->part_sets; set; set = set->next) {
		if (are_same_parts(set, parts))
			return set;
	}
	return add_part_set(samples, parts);
}

static void free_part_sets(struct samples *samples)
{
	while (samples->part_sets) {
		struct part_set *next = samples->part_sets->next;

		free(samples->part_sets);
		samples->part_sets = next;
	}
}

/* _sum and _count, and of a histogram what is above all bounds. */
static size_t sample_count(const struct writing *writing)
{
	switch (writing->metric->family->type) {
	case METRIC_HISTOGRAM:
		return writing->parts->count + 3 + writing->has_native;
	case METRIC_SUMMARY:
		return writing->parts->count + 2;
	case METRIC_COUNTER:
	case METRIC_GAUGE:
	case METRIC_INFO:
	case METRIC_UNKNOWN:
	case METRIC_GAUGE_HISTOGRAM:
	case METRIC_STATE_SET:
		break;
	}
	return 1;
}

/* --- labels ------------------------------------------------------------------- */

static int reserve_labels(struct samples *samples, size_t count)
{
	struct label *labels;

	if (count <= samples->label_capacity)
		return 0;
	/* One array for both. */
	labels = reallocarray(samples->whole.labels, count, 2 * sizeof(*labels));
	if (!labels)
		return -ENOMEM;
	samples->whole.labels = labels;
	samples->bare.labels = labels + count;
	samples->label_capacity = count;
	return 0;
}

static int reserve_name(struct samples *samples, const struct family *family)
{
	size_t needed = strlen(family->name) + SUFFIX_MAX;
	char *name;

	if (needed <= samples->name_capacity)
		return 0;
	name = realloc(samples->name, needed);
	if (!name)
		return -ENOMEM;
	samples->name = name;
	samples->name_capacity = needed;
	return 0;
}

/* In byte order of names; of two that are equal the one that came first stays. */
static void insert_label(struct merged *merged, struct label label)
{
	struct label *labels = merged->labels;
	size_t i = merged->count;
	int order = -1;

	while (i && (order = strcmp(labels[i - 1].name, label.name)) > 0)
		i--;
	if (i && !order)
		return;
	memmove(&labels[i + 1], &labels[i], (merged->count - i) * sizeof(*labels));
	labels[i] = label;
	merged->count++;
}

static void insert_labels(struct merged *merged, const struct label_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		insert_label(merged, set->labels[i]);
}

/* Slots have no value yet. */
static void find_slots(struct samples *samples)
{
	struct merged *whole = &samples->whole, *bare = &samples->bare;

	bare->count = 0;
	for (size_t i = 0; i < whole->count; i++) {
		bool is_slot = !whole->labels[i].value;

		if (is_slot && strcmp(whole->labels[i].name, "__name__") != 0) {
			whole->part = i;
			continue;
		}
		if (is_slot) {
			whole->name = i;
			bare->name = bare->count;
		}
		bare->labels[bare->count++] = whole->labels[i];
	}
}

/* Whoever comes first wins: a metric's label over an external one. */
static int merge_labels(struct samples *samples, const struct metric *metric)
{
	struct merged *whole = &samples->whole;
	const char *part = part_name(metric->family);
	int err =
	    reserve_labels(samples, metric->labels.count + samples->external.count + 2);

	if (!err)
		err = reserve_name(samples, metric->family);
	if (err)
		return err;
	whole->count = 0;
	insert_label(whole, (struct label){"__name__", NULL});
	if (part)
		insert_label(whole, (struct label){part, NULL});
	insert_labels(whole, &metric->labels);
	insert_labels(whole, &samples->external);
	find_slots(samples);
	return 0;
}

/* --- samples ------------------------------------------------------------------ */

static uint64_t value_bits(const struct writing *writing, double value)
{
	uint64_t bits;

	if (writing->is_stale)
		return SAMPLE_STALE;
	/* Whatever made it, it must not look like a stale marker. */
	if (isnan(value))
		return ORDINARY_NAN;
	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* For the samples that follow. */
static void set_name(const struct writing *writing, const char *suffix)
{
	char *name = writing->pass->samples->name;

	strcpy(stpcpy(name, writing->metric->family->name), suffix);
}

/* With the labels that the sample has. */
static int hand_out(const struct writing *writing, const struct merged *merged,
		    struct sample *sample)
{
	const struct pass *pass = writing->pass;

	merged->labels[merged->name].value = pass->samples->name;
	sample->labels = merged->labels;
	sample->label_count = merged->count;
	sample->family = writing->metric->family;
	sample->time_ms = pass->time_ms;
	return pass->sink->add(pass->sink->context, sample);
}

static int add_value(const struct writing *writing, double value, int64_t start_ms)
{
	struct sample sample = {
	    .bits = value_bits(writing, value),
	    .start_ms = start_ms,
	};

	return hand_out(writing, &writing->pass->samples->bare, &sample);
}

static int add_part(const struct writing *writing, size_t i, double value,
		    int64_t start_ms)
{
	const struct merged *whole = &writing->pass->samples->whole;
	struct sample sample = {
	    .bits = value_bits(writing, value),
	    .start_ms = start_ms,
	};

	whole->labels[whole->part].value = writing->parts->texts[i];
	return hand_out(writing, whole, &sample);
}

static int add_native(const struct writing *writing)
{
	const struct histogram *histogram = &writing->metric->histogram;
	struct sample sample = {
	    .is_native = true,
	    .native = histogram->native,
	    .sum = histogram->sum,
	    .bits = value_bits(writing, histogram->sum),
	    .start_ms = writing->start_ms,
	};

	set_name(writing, "");
	return hand_out(writing, &writing->pass->samples->bare, &sample);
}

static int add_sum_and_count(const struct writing *writing, double sum, uint64_t count)
{
	int err;

	set_name(writing, "_sum");
	err = add_value(writing, sum, writing->start_ms);
	if (err)
		return err;
	set_name(writing, "_count");
	return add_value(writing, (double)count, writing->start_ms);
}

static int add_histogram(const struct writing *writing)
{
	const struct histogram *histogram = &writing->metric->histogram;
	uint64_t count = 0;
	int err = 0;

	set_name(writing, "_bucket");
	for (size_t i = 0; !err && i <= histogram->bound_count; i++) {
		if (!writing->is_stale)
			count += histogram->buckets[i];
		err = add_part(writing, i, (double)count, writing->start_ms);
	}
	if (!err)
		err = add_sum_and_count(writing, histogram->sum, count);
	return err || !writing->has_native ? err : add_native(writing);
}

static int add_summary(const struct writing *writing)
{
	const struct summary *summary = &writing->metric->summary;
	int err = 0;

	set_name(writing, "");
	for (size_t i = 0; !err && i < summary->count; i++)
		err = add_part(writing, i, writing->is_stale ? NAN : summary->values[i],
			       0);
	return err ? err
		   : add_sum_and_count(writing, summary->sum, summary->observations);
}

static int add_metric(const struct writing *writing)
{
	const struct metric *metric = writing->metric;

	switch (metric->family->type) {
	case METRIC_HISTOGRAM:
		return add_histogram(writing);
	case METRIC_SUMMARY:
		return add_summary(writing);
	case METRIC_COUNTER:
	case METRIC_GAUGE:
	case METRIC_INFO:
	case METRIC_UNKNOWN:
	case METRIC_GAUGE_HISTOGRAM:
	case METRIC_STATE_SET:
		break;
	}
	set_name(writing, family_suffix(metric->family));
	return add_value(writing, metric->value,
			 metric->family->type == METRIC_COUNTER ? writing->start_ms
								: 0);
}

static int write_metric(const struct writing *writing)
{
	const struct pass *pass = writing->pass;
	const struct sample_metric metric = {
	    .metric = writing->metric,
	    .time_ms = pass->time_ms,
	    .start_ms = writing->start_ms,
	    .is_stale = writing->is_stale,
	    .has_native = writing->has_native,
	    .sample_count = sample_count(writing),
	};
	int err = merge_labels(pass->samples, writing->metric);

	if (!err)
		err = pass->sink->begin(pass->sink->context, &metric);
	return err ? err : add_metric(writing);
}

/* --- what the last collection had --------------------------------------------- */

static struct remembered *remember(const struct pass *pass, const struct metric *metric)
{
	bool has_parts = part_name(metric->family);
	const struct part_set *parts =
	    has_parts ? keep_parts(pass->samples, parts_of(metric)) : NULL;
	const struct label *labels = metric->labels.labels;
	struct remembered *remembered;
	size_t bytes = 0;
	char *at;

	for (size_t i = 0; i < metric->labels.count; i++)
		bytes += strlen(labels[i].name) + strlen(labels[i].value) + 2;
	if (has_parts && !parts)
		return NULL;
	remembered = malloc(sizeof(*remembered) + bytes);
	if (!remembered)
		return NULL;
	*remembered = (struct remembered){
	    .family = metric->family,
	    .parts = parts,
	    .start_ms = metric->start_ms ? metric->start_ms : pass->start_ms,
	    .label_count = metric->labels.count,
	};
	at = remembered->strings;
	for (size_t i = 0; i < metric->labels.count; i++) {
		at = stpcpy(at, labels[i].name) + 1;
		at = stpcpy(at, labels[i].value) + 1;
	}
	return remembered;
}

/* The metric without its values; its strings stay those of remembered. */
static void recall(const struct remembered *remembered, struct label *labels,
		   struct metric *ret_metric)
{
	const struct part_set *set = remembered->parts;
	const char *at = remembered->strings;

	for (size_t i = 0; i < remembered->label_count; i++) {
		labels[i].name = at;
		at += strlen(at) + 1;
		labels[i].value = at;
		at += strlen(at) + 1;
	}
	*ret_metric = (struct metric){
	    .family = remembered->family,
	    .labels = {.labels = labels, .count = remembered->label_count},
	};
	if (remembered->family->type == METRIC_SUMMARY)
		ret_metric->summary = (struct summary){
		    .quantiles = set->values,
		    .count = set->count,
		};
	else if (remembered->family->type == METRIC_HISTOGRAM)
		ret_metric->histogram = (struct histogram){
		    .bounds = set->values,
		    .bound_count = set->count,
		};
}

static int mark_stale(const struct pass *pass, const struct remembered *remembered)
{
	AUTO_FREE struct label *labels =
	    calloc(remembered->label_count + 1, sizeof(*labels));
	struct metric metric;
	const struct writing writing = {
	    .pass = pass,
	    .metric = &metric,
	    .parts = remembered->parts,
	    .is_stale = true,
	    .has_native = remembered->has_native,
	};

	if (!labels)
		return -ENOMEM;
	recall(remembered, labels, &metric);
	return write_metric(&writing);
}

/* As snapshot_finish sorts. */
static int compare_families(const struct family *a, const struct family *b)
{
	if (a == b)
		return 0;
	if (a->order != b->order)
		return a->order < b->order ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int compare_labels(const struct remembered *remembered,
			  const struct label_set *set)
{
	const char *at = remembered->strings;

	for (size_t i = 0; i < remembered->label_count && i < set->count; i++) {
		int order = strcmp(at, set->labels[i].name);

		at += strlen(at) + 1;
		if (!order)
			order = strcmp(at, set->labels[i].value);
		if (order)
			return order;
		at += strlen(at) + 1;
	}
	return (remembered->label_count > set->count) -
	       (remembered->label_count < set->count);
}

static int compare_with(const struct remembered *remembered,
			const struct metric *metric)
{
	int order = compare_families(remembered->family, metric->family);

	return order ? order : compare_labels(remembered, &metric->labels);
}

static bool is_repeated(const struct metric *metrics, size_t i)
{
	return i && !compare_families(metrics[i - 1].family, metrics[i].family) &&
	       !label_set_compare(&metrics[i - 1].labels, &metrics[i].labels);
}

/* A metric that stayed may have other parts than before, and a clock that went far
 * back leaves starts behind that nobody knows any more. */
static int update(const struct pass *pass, const struct metric *metric,
		  struct remembered *remembered)
{
	struct parts parts = parts_of(metric);
	const struct part_set *kept;

	if (metric->start_ms) /* of a pid, another process's may follow */
		remembered->start_ms = metric->start_ms;
	if (remembered->start_ms > pass->time_ms)
		remembered->start_ms = 0;
	remembered->has_native =
	    metric->family->type == METRIC_HISTOGRAM && metric->histogram.native;
	if (!remembered->parts || are_same_parts(remembered->parts, parts))
		return 0;
	kept = keep_parts(pass->samples, parts);
	if (!kept)
		return -ENOMEM;
	remembered->parts = kept;
	return 0;
}

/* Writes a metric and moves or makes its entry in `next`. */
static int keep(const struct pass *pass, const struct metric *metric,
		struct remembered **known, struct memory *next)
{
	struct remembered *remembered = known ? TAKE(*known) : remember(pass, metric);
	struct writing writing = {.pass = pass, .metric = metric};
	int err;

	if (!remembered)
		return -ENOMEM;
	next->metrics[next->count++] = remembered;
	err = update(pass, metric, remembered);
	if (err)
		return err;
	writing.parts = remembered->parts;
	writing.has_native = remembered->has_native;
	if (remembered->start_ms < pass->time_ms)
		writing.start_ms = remembered->start_ms;
	return write_metric(&writing);
}

/* Below zero: old metric i has ended. Zero: metric j is it. Above: j is new. */
static int compare_at(const struct memory *old, size_t i,
		      const struct snapshot *snapshot, size_t j)
{
	if (i == old->count)
		return 1;
	if (j == snapshot->count)
		return -1;
	return compare_with(old->metrics[i], &snapshot->metrics[j]);
}

/* After it, and after an error too, `next` holds what may have been handed out and
 * what was not looked at, in order; `old` what ended. */
static int walk(const struct pass *pass, const struct snapshot *snapshot,
		struct memory *old, struct memory *next)
{
	size_t i = 0, j = 0;
	int err = 0;

	while (!err && (i < old->count || j < snapshot->count)) {
		int order = compare_at(old, i, snapshot, j);

		if (order < 0) {
			err = mark_stale(pass, old->metrics[i]);
			i += !err;
			continue;
		}
		if (!is_repeated(snapshot->metrics, j))
			err = keep(pass, &snapshot->metrics[j],
				   order ? NULL : &old->metrics[i], next);
		if (!order)
			i++;
		j++;
	}
	for (; i < old->count; i++)
		next->metrics[next->count++] = TAKE(old->metrics[i]);
	return err;
}

static void forget(struct memory *memory)
{
	for (size_t i = 0; i < memory->count; i++)
		free(memory->metrics[i]);
	free(memory->metrics);
	*memory = (struct memory){0};
}

/* --- time --------------------------------------------------------------------- */

/* When what this collection has and the one before lacked was zero. */
static int64_t new_start_ms(const struct samples *samples,
			    const struct snapshot *snapshot, int64_t time_ms)
{
	int64_t start_ms = snapshot->start_ms;

	if (samples->has_complete)
		return samples->complete_ms;
	/* The earlier life had ended before this one began, whatever the clock says. */
	if (start_ms && samples->is_continued && samples->continued_ms > start_ms &&
	    samples->continued_ms < time_ms)
		return samples->continued_ms;
	return start_ms;
}

/* --- all of it ---------------------------------------------------------------- */

int samples_create(const struct config_labels *external, struct samples **ret_samples)
{
	CLEANUP(samples_free) struct samples *samples = calloc(1, sizeof(*samples));
	int err;

	if (!samples)
		return -ENOMEM;
	err = constants_copy(external, &samples->constants, &samples->external);
	if (err)
		return err;
	*ret_samples = TAKE(samples);
	return 0;
}

void samples_free(struct samples **samples)
{
	if (!*samples)
		return;
	forget(&(*samples)->memory);
	free_part_sets(*samples);
	snapshot_free(&(*samples)->constants);
	free((*samples)->whole.labels);
	free((*samples)->name);
	free(*samples);
	*samples = NULL;
}

void samples_continue(struct samples *samples, int64_t last_time_ms)
{
	samples->is_continued = true;
	samples->continued_ms = last_time_ms;
}

int samples_walk(struct samples *samples, const struct snapshot *snapshot,
		 int64_t time_ms, const struct samples_sink *sink)
{
	struct memory *old = &samples->memory, next = {0};
	struct pass pass = {.samples = samples, .sink = sink, .time_ms = time_ms};
	int err;

	if (snapshot->error)
		return snapshot->error;
	next.metrics =
	    calloc(old->count + snapshot->count + 1, sizeof(struct remembered *));
	if (!next.metrics)
		return -ENOMEM;
	pass.start_ms = new_start_ms(samples, snapshot, time_ms);
	err = walk(&pass, snapshot, old, &next);
	forget(old);
	samples->memory = next;
	if (!err) {
		samples->complete_ms = time_ms;
		samples->has_complete = true;
	}
	return err;
}
