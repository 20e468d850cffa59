/* SPDX-License-Identifier: Apache-2.0 */
#include "assemble.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "decimal.h"
#include "registry.h"
#include "slice.h"
#include "table.h"

#define NAME "__name__"
#define INTEGER_MAX 0x1p53 /* above it a double has gaps */
#define SCRAPES_KEPT 2

enum role {
	VALUE, /* the metric itself */
	BUCKET,
	QUANTILE,
	SUM,
	COUNT,
	CREATED,
};

/* A sample of the scrape. */
struct kept {
	struct kept *next;
	enum role role;
	const char *name;
	const char *part; /* le or quantile, of BUCKET and QUANTILE */
	uint64_t bits;
	int64_t start_ms;
	struct label_set labels; /* but for the name */
};

/* What becomes one metric, if it is whole. */
struct group {
	struct group *next;
	enum metric_type type; /* COUNTER, HISTOGRAM, SUMMARY, else GAUGE */
	const struct family *source;
	struct slice name; /* of the metric, in the first sample's */
	struct label_set labels;
	int64_t time_ms;
	bool is_stale;
	uint64_t living; /* hash of the same one, were it not stale */
	struct kept *first, *last;
	size_t count; /* of samples */
};

/* What a group is found by. */
struct identity {
	const struct sample *sample;
	enum metric_type type;
	enum role role;
	struct slice name;
	const char *part;      /* likewise: the label of this name is not one of it */
	const char *part_name; /* NULL: there is none */
	bool is_stale;
};

struct owned_family {
	struct family family;
	uint32_t scrape;
	char strings[];
};

struct assemble {
	struct registry_keys keys;
	struct snapshot scratch; /* arena of a scrape */
	struct table groups;
	struct group *first, *last;
	struct registry families;
	uint32_t scrape;
};

/* --- what a sample is --------------------------------------------------------- */

static const char *label_value(const struct sample *sample, const char *name)
{
	for (size_t i = 0; i < sample->label_count; i++) {
		if (!strcmp(sample->labels[i].name, name))
			return sample->labels[i].value;
	}
	return NULL;
}

/* Of a histogram or summary: which of its series this is. False: none. */
static bool find_role(const struct sample *sample, const char *suffix,
		      struct identity *identity)
{
	const bool is_histogram = sample->family->type == METRIC_HISTOGRAM;
	const char *part_name = is_histogram ? "le" : "quantile";

	if (!strcmp(suffix, "_sum"))
		identity->role = SUM;
	else if (!strcmp(suffix, "_count"))
		identity->role = COUNT;
	else if (!strcmp(suffix, "_created"))
		identity->role = CREATED;
	else if (!strcmp(suffix, is_histogram ? "_bucket" : "")) {
		identity->role = is_histogram ? BUCKET : QUANTILE;
		identity->part_name = part_name;
		identity->part = label_value(sample, part_name);
		return identity->part != NULL;
	} else
		return false;
	return true;
}

static bool find_counter_role(const char *suffix, struct identity *identity)
{
	if (!strcmp(suffix, "_created"))
		identity->role = CREATED;
	return !*suffix || !strcmp(suffix, "_total") || identity->role == CREATED;
}

/* By its family, of which its name must still remind. */
static struct identity identify(const struct sample *sample)
{
	const char *name = label_value(sample, NAME);
	const struct family *family = sample->family;
	const struct slice base = slice_of(family->name);
	struct identity found = {
	    .sample = sample,
	    .type = METRIC_GAUGE,
	    .name = slice_of(name ? name : ""),
	    .is_stale = sample->bits == SAMPLE_STALE,
	};
	struct identity whole = found;
	bool is_part;

	if (!base.len || !slice_starts_with(found.name, family->name))
		return found;
	if (family->type == METRIC_COUNTER)
		is_part = find_counter_role(found.name.text + base.len, &whole);
	else if (family->type == METRIC_HISTOGRAM || family->type == METRIC_SUMMARY)
		is_part = find_role(sample, found.name.text + base.len, &whole);
	else
		return found;
	if (!is_part)
		return found;
	whole.type = family->type;
	whole.name.len = base.len;
	/* Whoever translates it back adds that again. */
	if (family->type == METRIC_COUNTER)
		slice_strip_suffix(&whole.name, "_total");
	return whole;
}

/* --- groups ------------------------------------------------------------------- */

static bool is_own(const struct identity *identity, const char *label)
{
	return strcmp(label, NAME) != 0 &&
	       (!identity->part_name || strcmp(label, identity->part_name) != 0);
}

static uint64_t hash_identity(const struct assemble *assemble,
			      const struct identity *identity)
{
	const struct registry_keys *keys = &assemble->keys;
	const struct sample *sample = identity->sample;
	uint64_t parts[] = {
	    (uint64_t)sample->time_ms,
	    identity->is_stale,
	    registry_hash(keys, identity->name.text, identity->name.len),
	};
	uint64_t hash = registry_hash(keys, parts, sizeof(parts));

	for (size_t i = 0; i < sample->label_count; i++) {
		const struct label *label = &sample->labels[i];

		if (!is_own(identity, label->name))
			continue;
		parts[0] = hash;
		parts[1] = registry_hash(keys, label->name, strlen(label->name));
		parts[2] = registry_hash(keys, label->value, strlen(label->value));
		hash = registry_hash(keys, parts, sizeof(parts));
	}
	return hash;
}

static bool has_labels(const struct group *group, const struct identity *identity)
{
	const struct sample *sample = identity->sample;
	size_t at = 0;

	for (size_t i = 0; i < sample->label_count; i++) {
		const struct label *label = &sample->labels[i];

		if (!is_own(identity, label->name))
			continue;
		if (at == group->labels.count ||
		    strcmp(group->labels.labels[at].name, label->name) != 0 ||
		    strcmp(group->labels.labels[at].value, label->value) != 0)
			return false;
		at++;
	}
	return at == group->labels.count;
}

static bool is_group(const void *item, const void *wanted)
{
	const struct group *group = item;
	const struct identity *identity = wanted;

	return group->type == identity->type && group->is_stale == identity->is_stale &&
	       group->time_ms == identity->sample->time_ms &&
	       group->name.len == identity->name.len &&
	       !memcmp(group->name.text, identity->name.text, group->name.len) &&
	       has_labels(group, identity);
}

static const char *copy_string(struct assemble *assemble, const char *text)
{
	const size_t size = strlen(text) + 1;
	char *copy = snapshot_alloc(&assemble->scratch, size);

	return copy ? memcpy(copy, text, size) : NULL;
}

/* False: no memory, which the arena remembers. */
static bool copy_labels(struct assemble *assemble, const struct sample *sample,
			struct label_set *ret_set)
{
	struct label *labels = snapshot_alloc(
	    &assemble->scratch, (sample->label_count + 1) * sizeof(*labels));
	size_t count = 0;

	for (size_t i = 0; labels && i < sample->label_count; i++) {
		const struct label *label = &sample->labels[i];

		if (!strcmp(label->name, NAME))
			continue;
		labels[count].name = copy_string(assemble, label->name);
		labels[count++].value = copy_string(assemble, label->value);
	}
	*ret_set = (struct label_set){labels, count};
	return !assemble->scratch.error;
}

static struct kept *keep(struct assemble *assemble, const struct identity *identity)
{
	const struct sample *sample = identity->sample;
	struct kept *kept = snapshot_alloc(&assemble->scratch, sizeof(*kept));

	if (!kept || !copy_labels(assemble, sample, &kept->labels))
		return NULL;
	kept->role = identity->role;
	kept->name = copy_string(assemble, label_value(sample, NAME));
	kept->part = identity->part ? copy_string(assemble, identity->part) : NULL;
	kept->bits = sample->bits;
	kept->start_ms = sample->start_ms;
	return assemble->scratch.error ? NULL : kept;
}

/* The labels that all its samples have. */
static bool set_group_labels(struct assemble *assemble, struct group *group,
			     const struct identity *identity, const struct kept *kept)
{
	struct label *labels = snapshot_alloc(
	    &assemble->scratch, (kept->labels.count + 1) * sizeof(*labels));
	size_t count = 0;

	for (size_t i = 0; labels && i < kept->labels.count; i++) {
		if (is_own(identity, kept->labels.labels[i].name))
			labels[count++] = kept->labels.labels[i];
	}
	group->labels = (struct label_set){labels, count};
	return labels != NULL;
}

static struct group *add_group(struct assemble *assemble, uint64_t hash,
			       const struct identity *identity, const struct kept *kept)
{
	struct group *group = snapshot_alloc(&assemble->scratch, sizeof(*group));

	if (!group || !set_group_labels(assemble, group, identity, kept))
		return NULL;
	group->type = identity->type;
	group->source = identity->sample->family;
	group->name = (struct slice){kept->name, identity->name.len};
	group->time_ms = identity->sample->time_ms;
	group->is_stale = identity->is_stale;
	if (!table_add(&assemble->groups, hash, group, &assemble->scratch))
		return NULL;
	if (assemble->last)
		assemble->last->next = group;
	else
		assemble->first = group;
	assemble->last = group;
	return group;
}

int assemble_add(struct assemble *assemble, const struct sample *sample)
{
	struct identity identity = identify(sample);
	uint64_t hash;
	struct group *group;
	struct kept *kept;

	if (!identity.name.len)
		return 0;
	hash = hash_identity(assemble, &identity);
	group = table_find(&assemble->groups, hash, is_group, &identity);
	kept = keep(assemble, &identity);
	if (kept && !group)
		group = add_group(assemble, hash, &identity, kept);
	if (!kept || !group)
		return -ENOMEM;
	identity.is_stale = false;
	group->living = group->is_stale ? hash_identity(assemble, &identity) : hash;
	if (group->last)
		group->last->next = kept;
	else
		group->first = kept;
	group->last = kept;
	group->count++;
	return 0;
}

/* --- families ----------------------------------------------------------------- */

struct wanted_family {
	struct slice name;
	const struct family *source;
	enum metric_type type;
};

static bool is_family(const void *item, const void *context)
{
	const struct family *family = &((const struct owned_family *)item)->family;
	const struct wanted_family *wanted = context;

	return family->type == wanted->type && slice_is(wanted->name, family->name) &&
	       !strcmp(family->help, wanted->source->help) &&
	       !strcmp(family->unit, wanted->source->unit);
}

static struct owned_family *make_family(const struct wanted_family *wanted)
{
	const struct family *source = wanted->source;
	const size_t room =
	    wanted->name.len + strlen(source->help) + strlen(source->unit) + 3;
	struct owned_family *owned = calloc(1, sizeof(*owned) + room);
	char *help, *unit;

	if (!owned)
		return NULL;
	memcpy(owned->strings, wanted->name.text, wanted->name.len);
	help = owned->strings + wanted->name.len + 1;
	unit = stpcpy(help, source->help) + 1;
	strcpy(unit, source->unit);
	owned->family = (struct family){
	    .name = owned->strings,
	    .help = help,
	    .unit = unit,
	    .type = wanted->type,
	    .order = FAMILY_SCRAPED,
	};
	return owned;
}

/* NULL: no memory. */
static const struct family *find_family(struct assemble *assemble, struct slice name,
					const struct family *source,
					enum metric_type type)
{
	const struct wanted_family wanted = {name, source, type};
	const uint64_t hash =
	    registry_hash(&assemble->keys, name.text, name.len) + (uint64_t)type;
	struct owned_family *owned =
	    registry_find(&assemble->families, hash, is_family, &wanted);

	if (!owned) {
		owned = make_family(&wanted);
		if (owned && registry_add(&assemble->families, hash, owned)) {
			free(owned);
			return NULL;
		}
	}
	if (!owned)
		return NULL;
	owned->scrape = assemble->scrape;
	return &owned->family;
}

static bool is_recent(void *item, void *context)
{
	const struct assemble *assemble = context;
	struct owned_family *owned = item;

	if (assemble->scrape - owned->scrape <= SCRAPES_KEPT)
		return true;
	free(owned);
	return false;
}

/* --- histograms and summaries ------------------------------------------------- */

struct part {
	double bound; /* or quantile */
	double value;
};

/* A group as it is put together. */
struct assembly {
	struct part *parts;
	size_t part_count;
	double sum, count;
	bool has_sum, has_count;
	int64_t start_ms;
};

static double double_of(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static bool is_whole_number(double value)
{
	return value >= 0 && value <= INTEGER_MAX && floor(value) == value;
}

static int compare_parts(const void *a, const void *b)
{
	const double left = ((const struct part *)a)->bound;
	const double right = ((const struct part *)b)->bound;

	return (left > right) - (left < right);
}

/* False: one of its samples is twice, or no number where there must be one. */
static bool take_sample(struct assembly *assembly, const struct kept *kept,
			bool is_stale)
{
	/* A marker is not moved as a double. */
	const double value = is_stale ? 0 : double_of(kept->bits);
	uint64_t bits;
	bool is_twice;

	switch (kept->role) {
	case SUM:
		is_twice = assembly->has_sum;
		assembly->sum = value;
		assembly->has_sum = true;
		break;
	case COUNT:
		is_twice = assembly->has_count;
		assembly->count = value;
		assembly->has_count = true;
		break;
	case BUCKET:
	case QUANTILE:
		if (!decimal_parse(slice_of(kept->part), &bits))
			return false;
		assembly->parts[assembly->part_count++] =
		    (struct part){double_of(bits), value};
		is_twice = false;
		break;
	case VALUE:
	case CREATED:
	default:
		return true;
	}
	if (kept->start_ms)
		assembly->start_ms = kept->start_ms;
	return !is_twice;
}

static bool are_bounds_good(const struct assembly *assembly)
{
	for (size_t i = 0; i < assembly->part_count; i++) {
		if (isnan(assembly->parts[i].bound) ||
		    (i && assembly->parts[i].bound == assembly->parts[i - 1].bound))
			return false;
	}
	return true;
}

static bool is_histogram_whole(const struct assembly *assembly, bool is_stale)
{
	const struct part *parts = assembly->parts;
	const size_t count = assembly->part_count;

	if (!count || parts[count - 1].bound != INFINITY)
		return false;
	for (size_t i = 0; i < count && !is_stale; i++) {
		if (!is_whole_number(parts[i].value) ||
		    (i && parts[i].value < parts[i - 1].value))
			return false;
	}
	return is_stale || parts[count - 1].value == assembly->count;
}

static bool is_summary_whole(const struct assembly *assembly, bool is_stale)
{
	const struct part *parts = assembly->parts;
	const size_t count = assembly->part_count;

	return (!count || (parts[0].bound >= 0 && parts[count - 1].bound <= 1)) &&
	       (is_stale || is_whole_number(assembly->count));
}

/* False: the group is not whole. */
static bool put_together(struct assemble *assemble, const struct group *group,
			 struct assembly *assembly)
{
	*assembly = (struct assembly){
	    .parts =
		snapshot_alloc(&assemble->scratch, group->count * sizeof(struct part)),
	};
	if (!assembly->parts)
		return false;
	for (const struct kept *kept = group->first; kept; kept = kept->next) {
		if (!take_sample(assembly, kept, group->is_stale))
			return false;
	}
	qsort(assembly->parts, assembly->part_count, sizeof(struct part),
	      compare_parts);
	if (!assembly->has_sum || !assembly->has_count || !are_bounds_good(assembly))
		return false;
	return group->type == METRIC_HISTOGRAM
		   ? is_histogram_whole(assembly, group->is_stale)
		   : is_summary_whole(assembly, group->is_stale);
}

static bool fill_histogram(struct assemble *assemble, const struct assembly *assembly,
			   struct histogram *histogram)
{
	const size_t count = assembly->part_count;
	double *bounds = snapshot_alloc(&assemble->scratch, count * sizeof(*bounds));
	uint64_t *buckets =
	    snapshot_alloc(&assemble->scratch, count * sizeof(*buckets));
	double before = 0;

	for (size_t i = 0; bounds && buckets && i < count; i++) {
		bounds[i] = assembly->parts[i].bound;
		buckets[i] = (uint64_t)(assembly->parts[i].value - before);
		before = assembly->parts[i].value;
	}
	*histogram = (struct histogram){
	    .bounds = bounds,
	    .bound_count = count - 1,
	    .buckets = buckets,
	    .sum = assembly->sum,
	};
	return bounds && buckets;
}

static bool fill_summary(struct assemble *assemble, const struct assembly *assembly,
			 struct summary *summary)
{
	const size_t bytes = (assembly->part_count + 1) * sizeof(double);
	double *quantiles = snapshot_alloc(&assemble->scratch, bytes);
	double *values = snapshot_alloc(&assemble->scratch, bytes);

	for (size_t i = 0; quantiles && values && i < assembly->part_count; i++) {
		quantiles[i] = assembly->parts[i].bound;
		values[i] = assembly->parts[i].value;
	}
	*summary = (struct summary){
	    .quantiles = quantiles,
	    .values = values,
	    .count = assembly->part_count,
	    .observations = (uint64_t)assembly->count,
	    .sum = assembly->sum,
	};
	return quantiles && values;
}

/* --- metrics ------------------------------------------------------------------ */

struct emitting {
	struct assemble *assemble;
	assemble_emit emit;
	void *context;
	int error;
};

static void emit(struct emitting *emitting, const struct group *group,
		 struct metric *metric, struct slice name, enum metric_type type,
		 int64_t start_ms, size_t sample_count)
{
	const struct sample_metric whole = {
	    .metric = metric,
	    .time_ms = group->time_ms,
	    .start_ms = start_ms,
	    .is_stale = group->is_stale,
	    .sample_count = sample_count,
	};

	metric->family = find_family(emitting->assemble, name, group->source, type);
	if (metric->family)
		emitting->emit(emitting->context, &whole);
	else
		emitting->error = -ENOMEM;
}

static void emit_flat(struct emitting *emitting, const struct group *group)
{
	for (const struct kept *kept = group->first; kept; kept = kept->next) {
		struct metric metric = {
		    .labels = kept->labels,
		    .value = group->is_stale ? 0 : double_of(kept->bits),
		};

		if (kept->role != CREATED)
			emit(emitting, group, &metric, slice_of(kept->name),
			     METRIC_GAUGE, 0, 1);
	}
}

static void emit_counter(struct emitting *emitting, const struct group *group)
{
	for (const struct kept *kept = group->first; kept; kept = kept->next) {
		struct metric metric = {
		    .labels = kept->labels,
		    .value = group->is_stale ? 0 : double_of(kept->bits),
		};

		if (kept->role != CREATED)
			emit(emitting, group, &metric, group->name, METRIC_COUNTER,
			     kept->start_ms, 1);
	}
}

static bool has_only_created(const struct group *group)
{
	for (const struct kept *kept = group->first; kept; kept = kept->next) {
		if (kept->role != CREATED)
			return false;
	}
	return true;
}

static void emit_whole(struct emitting *emitting, const struct group *group)
{
	struct assemble *assemble = emitting->assemble;
	struct metric metric = {.labels = group->labels};
	struct assembly assembly;
	bool is_filled;

	if (has_only_created(group))
		return;
	if (!put_together(assemble, group, &assembly)) {
		emit_flat(emitting, group);
		return;
	}
	is_filled = group->type == METRIC_HISTOGRAM
			? fill_histogram(assemble, &assembly, &metric.histogram)
			: fill_summary(assemble, &assembly, &metric.summary);
	if (is_filled)
		emit(emitting, group, &metric, group->name, group->type,
		     assembly.start_ms, group->count);
	else
		emitting->error = -ENOMEM;
}

static bool is_living(const void *item, const void *wanted)
{
	const struct group *group = item, *ended = wanted;

	return !group->is_stale && group->type == ended->type &&
	       group->name.len == ended->name.len &&
	       !memcmp(group->name.text, ended->name.text, ended->name.len) &&
	       !label_set_compare(&group->labels, &ended->labels);
}

/* Whether it has ended in part only: others of its series are there. */
static bool goes_on(const struct assemble *assemble, const struct group *group)
{
	return group->is_stale &&
	       table_find(&assemble->groups, group->living, is_living, group);
}

static void emit_group(struct emitting *emitting, const struct group *group)
{
	switch (group->type) {
	case METRIC_COUNTER:
		emit_counter(emitting, group);
		return;
	case METRIC_HISTOGRAM:
	case METRIC_SUMMARY:
		if (!goes_on(emitting->assemble, group))
			emit_whole(emitting, group);
		return;
	case METRIC_GAUGE:
	case METRIC_INFO:
	case METRIC_UNKNOWN:
	case METRIC_GAUGE_HISTOGRAM:
	case METRIC_STATE_SET:
		break;
	}
	emit_flat(emitting, group);
}

int assemble_finish(struct assemble *assemble, assemble_emit emit_metric, void *context)
{
	struct emitting emitting = {assemble, emit_metric, context, 0};

	assemble->scrape++;
	for (const struct group *group = assemble->first; group; group = group->next)
		emit_group(&emitting, group);
	if (!emitting.error)
		emitting.error = assemble->scratch.error;
	snapshot_free(&assemble->scratch);
	assemble->groups = (struct table){0};
	assemble->first = assemble->last = NULL;
	registry_sweep(&assemble->families, is_recent, assemble);
	return emitting.error;
}

/* --- life --------------------------------------------------------------------- */

int assemble_create(struct assemble **ret_assemble)
{
	struct assemble *assemble = calloc(1, sizeof(*assemble));

	if (!assemble)
		return -ENOMEM;
	registry_keys_init(&assemble->keys);
	snapshot_init(&assemble->scratch, 0);
	*ret_assemble = assemble;
	return 0;
}

static bool free_family(void *item, void *context)
{
	(void)context;
	free(item);
	return false;
}

void assemble_free(struct assemble **assemble)
{
	if (!*assemble)
		return;
	registry_sweep(&(*assemble)->families, free_family, NULL);
	registry_free(&(*assemble)->families);
	snapshot_free(&(*assemble)->scratch);
	free(*assemble);
	*assemble = NULL;
}
