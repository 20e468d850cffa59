/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A metric becomes one series or, for a histogram and a summary, one per bucket
 * or quantile and two more. Its labels are merged and sorted once; the series of
 * a metric share the label messages and differ in pointers only. What a batch is
 * built of lives in a scratch arena that is dropped with each batch: a collection
 * of any size needs the memory of one.
 *
 * The metrics of the last collection are remembered in the order of snapshots.
 * Both lists are sorted alike, so one walk over the two finds what is new, what
 * stayed and what ended: no hash, and no copy of what stayed.
 */
#include "wire.h"

#include <errno.h>
#include <math.h>
#include <snappy-c.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "remote_write.pb-c.h"
#include "text.h"

typedef Prometheus__TimeSeries series_message;
typedef Prometheus__Label label_message;
typedef Prometheus__Sample sample_message;

#define STALE_MARKER 0x7ff0000000000002ull /* signalling: bits, never a double */
#define ORDINARY_NAN 0x7ff8000000000001ull
/* A batch is closed by the first metric behind this many bytes of label text:
 * receivers refuse 32 MiB and more. */
#define LABEL_BYTES_MAX ((size_t)4 << 20)

/* What tells the series of one metric apart: bounds of a histogram, quantiles of
 * a summary; none of other types. */
struct parts {
	const double *values;
	size_t count;
};

/* Each set of parts once: there are as many as kinds of metric that have some. */
struct part_set {
	struct part_set *next;
	size_t count;
	double values[];
};

/* A metric of the last collection: what is needed to write its series again. */
struct remembered {
	const struct family *family;
	const struct part_set *parts; /* NULL where its type has none */
	size_t label_count;
	char strings[]; /* name, NUL, value, NUL, ... */
};

struct memory {
	struct remembered **metrics; /* in the order of snapshots, unique */
	size_t count;
};

/* The labels of one metric, sorted. Each series puts its own in the slots. */
struct merged_labels {
	label_message **labels;
	size_t count;
	const label_message *name_slot;
	const label_message *part_slot; /* NULL where its type has none */
};

/* The `le` or `quantile` labels of the last metric that had some: a family shares
 * them. */
struct part_labels {
	const char *name;
	struct parts parts;
	label_message **labels; /* one a part, then +Inf for `le` */
};

/* The batch that is being filled. */
struct draft {
	struct snapshot scratch; /* of which only the arena is used */
	series_message **series; /* samples_max */
	uint32_t count;
	size_t label_bytes;
	struct part_labels part_labels;
};

struct wire_encoder {
	struct snapshot constants; /* arena of the external labels */
	struct label_set external;
	uint32_t samples_max;
	int64_t last_time_ms;
	struct part_set *part_sets;
	struct memory memory;
	struct draft draft;
};

/* One call of wire_encode. */
struct pass {
	struct wire_encoder *encoder;
	int64_t time_ms;
	wire_emit emit;
	void *context;
};

struct wire_batch *wire_batch_get(struct wire_batch *batch)
{
	batch->references++;
	return batch;
}

void wire_batch_put(struct wire_batch **batch)
{
	if (*batch && !--(*batch)->references)
		free(*batch);
	*batch = NULL;
}

/* --- a draft becomes a batch -------------------------------------------------- */

static void draft_clear(struct draft *draft)
{
	snapshot_free(&draft->scratch);
	draft->count = 0;
	draft->label_bytes = 0;
	draft->part_labels = (struct part_labels){0};
}

static int pack(const struct draft *draft, unsigned char **ret_bytes, size_t *ret_len)
{
	Prometheus__WriteRequest request = PROMETHEUS__WRITE_REQUEST__INIT;
	unsigned char *bytes;
	size_t len;

	request.n_timeseries = draft->count;
	request.timeseries = draft->series;
	len = prometheus__write_request__get_packed_size(&request);
	bytes = malloc(len);
	if (!bytes)
		return -ENOMEM;
	prometheus__write_request__pack(&request, bytes);
	*ret_bytes = bytes;
	*ret_len = len;
	return 0;
}

static int compress(const unsigned char *bytes, size_t len,
		    struct wire_batch **ret_batch)
{
	size_t compressed = snappy_max_compressed_length(len);
	AUTO_FREE struct wire_batch *batch = malloc(sizeof(*batch) + compressed);
	struct wire_batch *fitting;

	if (!batch)
		return -ENOMEM;
	*batch = (struct wire_batch){.references = 1};
	if (snappy_compress((const char *)bytes, len, (char *)batch->bytes,
			    &compressed) != SNAPPY_OK)
		return -EINVAL;
	batch->len = compressed;
	fitting = realloc(batch, sizeof(*batch) + compressed);
	if (fitting)
		batch = fitting;
	*ret_batch = TAKE(batch);
	return 0;
}

/* Hands out what was drafted. The scratch stays: the rest of a metric that is
 * larger than a batch still needs its labels. */
static int emit_draft(const struct pass *pass)
{
	struct draft *draft = &pass->encoder->draft;
	AUTO_FREE unsigned char *packed = NULL;
	struct wire_batch *batch;
	size_t len;
	int err;

	if (draft->scratch.error)
		return draft->scratch.error;
	if (!draft->count)
		return 0;
	err = pack(draft, &packed, &len);
	if (!err)
		err = compress(packed, len, &batch);
	if (err)
		return err;
	batch->samples = draft->count;
	batch->time_ms = pass->time_ms;
	draft->count = 0;
	draft->label_bytes = 0;
	pass->emit(pass->context, batch);
	return 0;
}

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

/* _sum and _count, and of a histogram what is above all bounds. */
static size_t series_count(const struct family *family, size_t part_count)
{
	if (family->type == METRIC_HISTOGRAM)
		return part_count + 3;
	return family->type == METRIC_SUMMARY ? part_count + 2 : 1;
}

/* A metric's series go into one batch where one can hold them: a receiver then
 * has all buckets of a histogram or none, and so on. */
static int make_room(const struct pass *pass, const struct family *family,
		     size_t part_count)
{
	struct draft *draft = &pass->encoder->draft;
	size_t needed = series_count(family, part_count);
	int err;

	/* An empty draft may have the scratch of the one before. */
	if (draft->count && draft->count + needed <= pass->encoder->samples_max &&
	    draft->label_bytes < LABEL_BYTES_MAX)
		return 0;
	err = emit_draft(pass);
	if (!err)
		draft_clear(draft);
	return err;
}

/* --- labels ------------------------------------------------------------------ */

/* protobuf-c has no const; it only reads what is packed. */
static void set_label(label_message *label, const char *name, const char *value)
{
	prometheus__label__init(label);
	label->name = (char *)name;
	label->value = (char *)value;
}

/* In byte order of names; of two that are equal the one that came first stays. */
static void insert_label(struct merged_labels *merged, label_message *label)
{
	size_t i = merged->count;
	int order = -1;

	while (i && (order = strcmp(merged->labels[i - 1]->name, label->name)) > 0)
		i--;
	if (i && !order)
		return;
	memmove(&merged->labels[i + 1], &merged->labels[i],
		(merged->count - i) * sizeof(*merged->labels));
	merged->labels[i] = label;
	merged->count++;
}

static void insert_labels(struct merged_labels *merged, label_message *messages,
			  const struct label_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		set_label(&messages[i], set->labels[i].name, set->labels[i].value);
		insert_label(merged, &messages[i]);
	}
}

/* Whoever comes first wins: a metric's label over an external one. */
static int merge_labels(struct wire_encoder *encoder, const struct metric *metric,
			struct merged_labels *ret_merged)
{
	struct snapshot *scratch = &encoder->draft.scratch;
	size_t count = metric->labels.count + encoder->external.count + 2;
	label_message *messages = snapshot_alloc(scratch, count * sizeof(*messages));
	const char *part = part_name(metric->family);
	struct merged_labels merged = {
	    .labels = snapshot_alloc(scratch, count * sizeof(*merged.labels)),
	    .name_slot = messages,
	};

	if (!messages || !merged.labels)
		return scratch->error;
	set_label(messages, "__name__", "");
	insert_label(&merged, messages++);
	if (part) {
		merged.part_slot = messages;
		set_label(messages, part, "");
		insert_label(&merged, messages++);
	}
	insert_labels(&merged, messages, &metric->labels);
	insert_labels(&merged, messages + metric->labels.count, &encoder->external);
	*ret_merged = merged;
	return 0;
}

static label_message *name_label(struct snapshot *scratch, const struct family *family,
				 const char *suffix)
{
	size_t len = strlen(family->name), suffix_len = strlen(suffix);
	char *name = snapshot_alloc(scratch, len + suffix_len + 1);
	label_message *label = snapshot_alloc(scratch, sizeof(*label));

	if (!name || !label)
		return NULL;
	memcpy(name, family->name, len);
	memcpy(name + len, suffix, suffix_len);
	set_label(label, "__name__", name);
	return label;
}

static label_message *part_label(struct snapshot *scratch, const char *name,
				 double part)
{
	char *value = snapshot_alloc(scratch, 32);
	label_message *label = snapshot_alloc(scratch, sizeof(*label));

	if (!value || !label)
		return NULL;
	text_bound(value, part);
	set_label(label, name, value);
	return label;
}

static bool are_same_parts(struct parts a, struct parts b)
{
	return a.count == b.count &&
	       (!a.count || a.values == b.values ||
		!memcmp(a.values, b.values, a.count * sizeof(*a.values)));
}

static int prepare_part_labels(struct draft *draft, const struct metric *metric)
{
	const char *name = part_name(metric->family);
	struct parts parts = parts_of(metric);
	label_message **labels;

	if (draft->part_labels.labels && !strcmp(name, draft->part_labels.name) &&
	    are_same_parts(parts, draft->part_labels.parts))
		return 0;
	labels = snapshot_alloc(&draft->scratch, (parts.count + 1) * sizeof(*labels));
	if (!labels)
		return draft->scratch.error;
	for (size_t i = 0; i <= parts.count; i++)
		labels[i] = part_label(&draft->scratch, name,
				       i < parts.count ? parts.values[i] : INFINITY);
	draft->part_labels = (struct part_labels){name, parts, labels};
	return draft->scratch.error;
}

/* --- series ------------------------------------------------------------------ */

static uint64_t value_bits(double value, bool is_stale)
{
	uint64_t bits;

	if (is_stale)
		return STALE_MARKER;
	/* Whatever made it, it must not look like a stale marker. */
	if (isnan(value))
		return ORDINARY_NAN;
	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static void fill_slots(series_message *series, const struct merged_labels *merged,
		       label_message *name, label_message *part, size_t *label_bytes)
{
	for (size_t i = 0; i < merged->count; i++) {
		label_message *label = merged->labels[i];

		if (label == merged->name_slot)
			label = name;
		else if (label == merged->part_slot)
			label = part;
		if (!label)
			continue;
		series->labels[series->n_labels++] = label;
		*label_bytes += strlen(label->name) + strlen(label->value);
	}
}

static int add_series(const struct pass *pass, const struct merged_labels *merged,
		      label_message *name, label_message *part, uint64_t bits)
{
	struct draft *draft = &pass->encoder->draft;
	struct snapshot *scratch = &draft->scratch;
	series_message *series = snapshot_alloc(scratch, sizeof(*series));
	sample_message *sample = snapshot_alloc(scratch, sizeof(*sample));
	label_message **labels =
	    snapshot_alloc(scratch, merged->count * sizeof(*labels));
	sample_message **samples = snapshot_alloc(scratch, sizeof(*samples));

	if (scratch->error)
		return scratch->error;
	prometheus__sample__init(sample);
	memcpy(&sample->value, &bits, sizeof(bits));
	sample->timestamp = pass->time_ms;
	*samples = sample;
	prometheus__time_series__init(series);
	series->labels = labels;
	series->samples = samples;
	series->n_samples = 1;
	fill_slots(series, merged, name, part, &draft->label_bytes);
	draft->series[draft->count++] = series;
	return draft->count == pass->encoder->samples_max ? emit_draft(pass) : 0;
}

static int write_value(const struct pass *pass, const struct metric *metric,
		       bool is_stale)
{
	struct wire_encoder *encoder = pass->encoder;
	uint64_t bits = value_bits(metric->value, is_stale);
	struct merged_labels merged;
	label_message *name;
	int err = merge_labels(encoder, metric, &merged);

	if (err)
		return err;
	name = name_label(&encoder->draft.scratch, metric->family,
			  family_suffix(metric->family));
	return add_series(pass, &merged, name, NULL, bits);
}

static int write_buckets(const struct pass *pass, const struct metric *metric,
			 const struct merged_labels *merged, bool is_stale,
			 uint64_t *ret_count)
{
	const struct histogram *histogram = &metric->histogram;
	struct draft *draft = &pass->encoder->draft;
	label_message *name = name_label(&draft->scratch, metric->family, "_bucket");
	uint64_t count = 0;
	int err = prepare_part_labels(draft, metric);

	for (size_t i = 0; !err && i <= histogram->bound_count; i++) {
		if (!is_stale)
			count += histogram->buckets[i];
		err = add_series(pass, merged, name, draft->part_labels.labels[i],
				 value_bits((double)count, is_stale));
	}
	*ret_count = count;
	return err;
}

static int write_quantiles(const struct pass *pass, const struct metric *metric,
			   const struct merged_labels *merged, bool is_stale)
{
	const struct summary *summary = &metric->summary;
	struct draft *draft = &pass->encoder->draft;
	label_message *name = name_label(&draft->scratch, metric->family, "");
	int err = prepare_part_labels(draft, metric);

	for (size_t i = 0; !err && i < summary->count; i++) {
		double value = is_stale ? NAN : summary->values[i];

		err = add_series(pass, merged, name, draft->part_labels.labels[i],
				 value_bits(value, is_stale));
	}
	return err;
}

static int write_sum_and_count(const struct pass *pass, const struct metric *metric,
			       const struct merged_labels *merged, bool is_stale,
			       double sum, uint64_t count)
{
	struct snapshot *scratch = &pass->encoder->draft.scratch;
	int err = add_series(pass, merged, name_label(scratch, metric->family, "_sum"),
			     NULL, value_bits(sum, is_stale));

	if (err)
		return err;
	return add_series(pass, merged, name_label(scratch, metric->family, "_count"),
			  NULL, value_bits((double)count, is_stale));
}

static int write_histogram(const struct pass *pass, const struct metric *metric,
			   bool is_stale)
{
	struct merged_labels merged;
	uint64_t count;
	int err = merge_labels(pass->encoder, metric, &merged);

	if (!err)
		err = write_buckets(pass, metric, &merged, is_stale, &count);
	if (err)
		return err;
	return write_sum_and_count(pass, metric, &merged, is_stale,
				   metric->histogram.sum, count);
}

static int write_summary(const struct pass *pass, const struct metric *metric,
			 bool is_stale)
{
	const struct summary *summary = &metric->summary;
	struct merged_labels merged;
	int err = merge_labels(pass->encoder, metric, &merged);

	if (!err)
		err = write_quantiles(pass, metric, &merged, is_stale);
	if (err)
		return err;
	return write_sum_and_count(pass, metric, &merged, is_stale, summary->sum,
				   summary->observations);
}

static int write_metric(const struct pass *pass, const struct metric *metric,
			bool is_stale)
{
	switch (metric->family->type) {
	case METRIC_HISTOGRAM:
		return write_histogram(pass, metric, is_stale);
	case METRIC_SUMMARY:
		return write_summary(pass, metric, is_stale);
	case METRIC_COUNTER:
	case METRIC_GAUGE:
	case METRIC_INFO:
		break;
	}
	return write_value(pass, metric, is_stale);
}

/* --- what the last collection had --------------------------------------------- */

static struct part_set *add_part_set(struct wire_encoder *encoder, struct parts parts)
{
	size_t bytes = parts.count * sizeof(*parts.values);
	struct part_set *set = malloc(sizeof(*set) + bytes);

	if (!set)
		return NULL;
	set->count = parts.count;
	if (bytes)
		memcpy(set->values, parts.values, bytes);
	set->next = encoder->part_sets;
	encoder->part_sets = set;
	return set;
}

static const struct part_set *keep_parts(struct wire_encoder *encoder,
					 struct parts parts)
{
	for (struct part_set *set = encoder->part_sets; set; set = set->next) {
		if (are_same_parts(parts, (struct parts){set->values, set->count}))
			return set;
	}
	return add_part_set(encoder, parts);
}

static void free_part_sets(struct wire_encoder *encoder)
{
	while (encoder->part_sets) {
		struct part_set *next = encoder->part_sets->next;

		free(encoder->part_sets);
		encoder->part_sets = next;
	}
}

static struct remembered *remember(struct wire_encoder *encoder,
				   const struct metric *metric)
{
	bool has_parts = part_name(metric->family);
	const struct part_set *parts =
	    has_parts ? keep_parts(encoder, parts_of(metric)) : NULL;
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
	    .label_count = metric->labels.count,
	};
	at = remembered->strings;
	for (size_t i = 0; i < metric->labels.count; i++) {
		at = stpcpy(at, labels[i].name) + 1;
		at = stpcpy(at, labels[i].value) + 1;
	}
	return remembered;
}

static void set_parts(struct metric *metric, const struct part_set *set)
{
	if (metric->family->type == METRIC_SUMMARY)
		metric->summary = (struct summary){
		    .quantiles = set->values,
		    .count = set->count,
		};
	else
		metric->histogram = (struct histogram){
		    .bounds = set->values,
		    .bound_count = set->count,
		};
}

/* The metric without its values; its strings stay those of remembered. */
static int recall(const struct remembered *remembered, struct snapshot *scratch,
		  struct metric *ret_metric)
{
	size_t count = remembered->label_count;
	struct label *labels = snapshot_alloc(scratch, count * sizeof(*labels));
	const char *at = remembered->strings;

	if (!labels)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		labels[i].name = at;
		at += strlen(at) + 1;
		labels[i].value = at;
		at += strlen(at) + 1;
	}
	*ret_metric = (struct metric){
	    .family = remembered->family,
	    .labels = {.labels = labels, .count = count},
	};
	if (remembered->parts)
		set_parts(ret_metric, remembered->parts);
	return 0;
}

static int mark_stale(const struct pass *pass, const struct remembered *remembered)
{
	struct metric metric;
	int err = make_room(pass, remembered->family,
			    remembered->parts ? remembered->parts->count : 0);

	if (!err)
		err = recall(remembered, &pass->encoder->draft.scratch, &metric);
	return err ? err : write_metric(pass, &metric, true);
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

/* Writes a metric and moves or makes its entry in `next`. */
static int keep(const struct pass *pass, const struct metric *metric,
		struct remembered **known, struct memory *next)
{
	struct remembered *remembered =
	    known ? TAKE(*known) : remember(pass->encoder, metric);
	int err;

	if (!remembered)
		return -ENOMEM;
	next->metrics[next->count++] = remembered;
	err = make_room(pass, metric->family, parts_of(metric).count);
	return err ? err : write_metric(pass, metric, false);
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

/* After it, and after an error too, `next` holds what may have been written and
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
	return err ? err : emit_draft(pass);
}

static void forget(struct memory *memory)
{
	for (size_t i = 0; i < memory->count; i++)
		free(memory->metrics[i]);
	free(memory->metrics);
	*memory = (struct memory){0};
}

/* --- the encoder --------------------------------------------------------------- */

static char *copy_string(struct snapshot *arena, const char *string)
{
	size_t len = strlen(string);
	char *copy = snapshot_alloc(arena, len + 1);

	return copy ? memcpy(copy, string, len) : NULL;
}

static int copy_external(struct wire_encoder *encoder,
			 const struct config_labels *external)
{
	struct snapshot *arena = &encoder->constants;
	AUTO_FREE struct label *labels = calloc(external->count + 1, sizeof(*labels));

	if (!labels)
		return -ENOMEM;
	for (size_t i = 0; i < external->count; i++) {
		labels[i].name = copy_string(arena, external->items[i].name);
		labels[i].value = copy_string(arena, external->items[i].value);
	}
	if (!arena->error)
		encoder->external = snapshot_labels(arena, labels, external->count);
	return arena->error;
}

int wire_encoder_create(const struct config_labels *external, uint32_t samples_max,
			struct wire_encoder **ret_encoder)
{
	CLEANUP(wire_encoder_free)
	struct wire_encoder *encoder = calloc(1, sizeof(*encoder));
	int err;

	if (!encoder)
		return -ENOMEM;
	encoder->samples_max = samples_max;
	encoder->last_time_ms = INT64_MIN;
	encoder->draft.series = calloc(samples_max, sizeof(*encoder->draft.series));
	if (!encoder->draft.series)
		return -ENOMEM;
	err = copy_external(encoder, external);
	if (err)
		return err;
	*ret_encoder = TAKE(encoder);
	return 0;
}

void wire_encoder_free(struct wire_encoder **encoder)
{
	if (!*encoder)
		return;
	forget(&(*encoder)->memory);
	free_part_sets(*encoder);
	draft_clear(&(*encoder)->draft);
	free((*encoder)->draft.series);
	snapshot_free(&(*encoder)->constants);
	free(*encoder);
	*encoder = NULL;
}

static int64_t next_time_ms(const struct wire_encoder *encoder, int64_t time_ms)
{
	int64_t last = encoder->last_time_ms;

	if (time_ms > last || last - time_ms > WIRE_CLOCK_STEP_MAX_MS)
		return time_ms;
	return last + 1;
}

int wire_encode(struct wire_encoder *encoder, const struct snapshot *snapshot,
		wire_emit emit, void *context)
{
	struct memory *old = &encoder->memory, next = {0};
	struct pass pass = {
	    .encoder = encoder,
	    .time_ms = next_time_ms(encoder, snapshot->time_ms),
	    .emit = emit,
	    .context = context,
	};
	int err;

	if (snapshot->error)
		return snapshot->error;
	next.metrics =
	    calloc(old->count + snapshot->count + 1, sizeof(struct remembered *));
	if (!next.metrics)
		return -ENOMEM;
	err = walk(&pass, snapshot, old, &next);
	encoder->last_time_ms = pass.time_ms;
	/* Before `old`, whose strings it may point to. */
	draft_clear(&encoder->draft);
	forget(old);
	encoder->memory = next;
	return err;
}
