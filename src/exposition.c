/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classic and native buckets of a histogram are counted one after the other in
 * the kernel, and read while it counts: a request may be in one and not yet in the
 * other. The message has one count for both, which must be what the native buckets
 * add up to; the bounds' cumulative counts are held at or below it, and catch up
 * with the next scrape.
 *
 * What is above the last native bucket has no upper bound that we know. It is in
 * the bucket of +Inf, as such values are among the classic ones: a quantile that
 * falls there is +Inf, and `sum` has the true values.
 */
#include "exposition.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buckets.h"
#include "cleanup.h"
#include "exposition.pb-c.h"
#include "text.h"

#define PARTS_MAX 63 /* bounds or quantiles; text.c has as many */
#define METRIC_BYTES_MAX (((size_t)1 << 20) + 8192) /* 1 MiB of labels */
#define METRIC_TAG 0x22                             /* field 4, with a length */
#define VARINT_LEN 10
/* 8192 ends with the largest double: the next one has what is above. */
#define INFINITY_BUCKET (1024 * (1 << NATIVE_SCHEMA) + 1)
/* As client_golang: up to so many empty buckets stay in a span, which is shorter
 * than a new one. */
#define GAP_MAX 2
#define SPANS_MAX (NATIVE_BUCKETS / (GAP_MAX + 2) + 2)

struct native_part {
	Exposition__BucketSpan spans[SPANS_MAX];
	Exposition__BucketSpan *span_list[SPANS_MAX];
	int64_t deltas[NATIVE_BUCKETS];
	size_t span_count, delta_count;
	int64_t last_count; /* of the bucket before */
	int32_t end;        /* the bucket behind the last span */
};

struct exposition_writer {
	const struct snapshot *snapshot;
	size_t next;       /* of its metrics */
	size_t family_end; /* the metrics of the family that has begun end before */
	struct buf *out;   /* of the piece being written */
	/* the message of one metric, and what it is made of */
	Exposition__Metric metric;
	Exposition__LabelPair *labels;
	Exposition__LabelPair **label_list;
	size_t label_capacity;
	Exposition__Gauge gauge;
	Exposition__Counter counter;
	Exposition__Summary summary;
	Exposition__Quantile quantiles[PARTS_MAX];
	Exposition__Quantile *quantile_list[PARTS_MAX];
	Exposition__Histogram histogram;
	Exposition__Bucket buckets[PARTS_MAX];
	Exposition__Bucket *bucket_list[PARTS_MAX];
	struct native_part native;
	Exposition__Timestamp start, own_start; /* of all; of one counter */
	int error;                              /* of the message */
};

const char *exposition_content_type(enum exposition_format format)
{
	if (format == EXPOSITION_PROTOBUF)
		return "application/vnd.google.protobuf; "
		       "proto=io.prometheus.client.MetricFamily; encoding=delimited";
	return text_content_type(format == EXPOSITION_OPENMETRICS
				     ? TEXT_OPENMETRICS_1_0
				     : TEXT_PROMETHEUS_0_0_4);
}

/* --- one metric as a message -------------------------------------------------- */

static bool reserve_labels(struct exposition_writer *writer, size_t count)
{
	Exposition__LabelPair *labels;
	Exposition__LabelPair **list;

	if (count <= writer->label_capacity)
		return true;
	labels = reallocarray(writer->labels, count, sizeof(*labels));
	if (labels)
		writer->labels = labels;
	list = reallocarray(writer->label_list, count, sizeof(Exposition__LabelPair *));
	if (list)
		writer->label_list = list;
	if (!labels || !list) {
		writer->error = -ENOMEM;
		return false;
	}
	writer->label_capacity = count;
	return true;
}

/* protobuf-c has no const; it only reads what is packed. */
static void set_labels(struct exposition_writer *writer, const struct label_set *set)
{
	if (!reserve_labels(writer, set->count))
		return;
	for (size_t i = 0; i < set->count; i++) {
		Exposition__LabelPair *label = &writer->labels[i];

		exposition__label_pair__init(label);
		label->name = (char *)set->labels[i].name;
		label->value = (char *)set->labels[i].value;
		writer->label_list[i] = label;
	}
	writer->metric.n_label = set->count;
	writer->metric.label = writer->label_list;
}

static void set_start(Exposition__Timestamp *start, int64_t time_ms)
{
	exposition__timestamp__init(start);
	start->has_seconds = start->has_nanos = time_ms > 0;
	start->seconds = time_ms / 1000;
	start->nanos = (int32_t)(time_ms % 1000) * 1000000;
}

/* Absent where the snapshot does not know it. */
static Exposition__Timestamp *start_of(struct exposition_writer *writer)
{
	return writer->start.has_seconds ? &writer->start : NULL;
}

static void set_value(struct exposition_writer *writer, const struct metric *metric,
		      bool is_counter)
{
	exposition__gauge__init(&writer->gauge);
	exposition__counter__init(&writer->counter);
	writer->gauge.has_value = writer->counter.has_value = true;
	writer->gauge.value = writer->counter.value = metric->value;
	writer->counter.start_timestamp = start_of(writer);
	if (metric->start_ms) {
		set_start(&writer->own_start, metric->start_ms);
		writer->counter.start_timestamp = &writer->own_start;
	}
	if (is_counter)
		writer->metric.counter = &writer->counter;
	else
		writer->metric.gauge = &writer->gauge;
}

static void set_summary(struct exposition_writer *writer, const struct summary *summary)
{
	Exposition__Summary *message = &writer->summary;

	if (summary->count > PARTS_MAX) {
		writer->error = -E2BIG;
		return;
	}
	exposition__summary__init(message);
	message->has_sample_count = message->has_sample_sum = true;
	message->sample_count = summary->observations;
	message->sample_sum = summary->sum;
	message->start_timestamp = start_of(writer);
	for (size_t i = 0; i < summary->count; i++) {
		Exposition__Quantile *quantile = &writer->quantiles[i];

		exposition__quantile__init(quantile);
		quantile->has_quantile = quantile->has_value = true;
		quantile->quantile = summary->quantiles[i];
		quantile->value = summary->values[i];
		writer->quantile_list[i] = quantile;
	}
	message->n_quantile = summary->count;
	message->quantile = writer->quantile_list;
	writer->metric.summary = message;
}

static uint64_t sum_of(const uint64_t *buckets, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += buckets[i];
	return sum;
}

static void add_delta(struct native_part *native, uint64_t count)
{
	Exposition__BucketSpan *span = &native->spans[native->span_count - 1];

	native->deltas[native->delta_count++] = (int64_t)count - native->last_count;
	native->last_count = (int64_t)count;
	native->end++;
	span->length++;
}

static void begin_span(struct native_part *native, int32_t bucket)
{
	Exposition__BucketSpan *span = &native->spans[native->span_count];

	exposition__bucket_span__init(span);
	span->has_offset = span->has_length = true;
	span->offset = bucket - native->end;
	native->span_list[native->span_count++] = span;
	native->end = bucket;
}

/* In ascending order; those without a count are left out. */
static void add_bucket(struct native_part *native, int32_t bucket, uint64_t count)
{
	if (!count)
		return;
	if (!native->span_count || bucket - native->end > GAP_MAX)
		begin_span(native, bucket);
	while (native->end < bucket)
		add_delta(native, 0);
	add_delta(native, count);
}

static void set_native(struct exposition_writer *writer, const uint64_t *buckets)
{
	Exposition__Histogram *message = &writer->histogram;
	struct native_part *native = &writer->native;

	native->span_count = native->delta_count = 0;
	native->last_count = native->end = 0;
	for (int32_t i = NATIVE_FIRST; i <= NATIVE_LAST; i++)
		add_bucket(native, i, buckets[i - NATIVE_FIRST + 1]);
	add_bucket(native, INFINITY_BUCKET, buckets[NATIVE_BUCKETS - 1]);
	message->has_schema = message->has_zero_threshold = true;
	message->has_zero_count = true;
	message->schema = NATIVE_SCHEMA;
	message->zero_threshold = NATIVE_ZERO_S;
	message->zero_count = buckets[0];
	message->n_positive_span = native->span_count;
	message->positive_span = native->span_list;
	message->n_positive_delta = native->delta_count;
	message->positive_delta = native->deltas;
}

/* The one of +Inf is the count: readers know. */
static void set_buckets(struct exposition_writer *writer,
			const struct histogram *histogram)
{
	Exposition__Histogram *message = &writer->histogram;
	uint64_t count = 0;

	for (size_t i = 0; i < histogram->bound_count; i++) {
		Exposition__Bucket *bucket = &writer->buckets[i];

		count += histogram->buckets[i];
		if (count > message->sample_count)
			count = message->sample_count;
		exposition__bucket__init(bucket);
		bucket->has_cumulative_count = bucket->has_upper_bound = true;
		bucket->cumulative_count = count;
		bucket->upper_bound = histogram->bounds[i];
		writer->bucket_list[i] = bucket;
	}
	message->n_bucket = histogram->bound_count;
	message->bucket = writer->bucket_list;
}

static void set_histogram(struct exposition_writer *writer,
			  const struct histogram *histogram)
{
	Exposition__Histogram *message = &writer->histogram;

	if (histogram->bound_count > PARTS_MAX) {
		writer->error = -E2BIG;
		return;
	}
	exposition__histogram__init(message);
	message->has_sample_count = message->has_sample_sum = true;
	message->sample_count =
	    histogram->native ? sum_of(histogram->native, NATIVE_BUCKETS)
			      : sum_of(histogram->buckets, histogram->bound_count + 1);
	message->sample_sum = histogram->sum;
	message->start_timestamp = start_of(writer);
	set_buckets(writer, histogram);
	if (histogram->native)
		set_native(writer, histogram->native);
	writer->metric.histogram = message;
}

/* The size of the message, which is made anew; 0 with the writer's error. */
static size_t make_message(struct exposition_writer *writer,
			   const struct metric *metric)
{
	size_t size;

	exposition__metric__init(&writer->metric);
	set_labels(writer, &metric->labels);
	switch (metric->family->type) {
	case METRIC_HISTOGRAM:
		set_histogram(writer, &metric->histogram);
		break;
	case METRIC_SUMMARY:
		set_summary(writer, &metric->summary);
		break;
	case METRIC_COUNTER:
	case METRIC_GAUGE:
	case METRIC_INFO:
	case METRIC_UNKNOWN:
	case METRIC_GAUGE_HISTOGRAM:
	case METRIC_STATE_SET:
		set_value(writer, metric, metric->family->type == METRIC_COUNTER);
		break;
	}
	if (writer->error)
		return 0;
	size = exposition__metric__get_packed_size(&writer->metric);
	if (size > METRIC_BYTES_MAX)
		writer->error = -E2BIG;
	return writer->error ? 0 : size;
}

/* --- the stream ---------------------------------------------------------------- */

static size_t put_varint(unsigned char ret_bytes[VARINT_LEN], uint64_t value)
{
	size_t len = 0;

	for (; value >= 0x80; value >>= 7)
		ret_bytes[len++] = (unsigned char)(value | 0x80);
	ret_bytes[len++] = (unsigned char)value;
	return len;
}

/* What protobuf-c writes to. */
struct sink {
	ProtobufCBuffer base;
	struct buf *out;
};

static void append(ProtobufCBuffer *buffer, size_t len, const uint8_t *data)
{
	buf_append(((struct sink *)buffer)->out, data, len);
}

static void write_metric(struct exposition_writer *writer, const struct metric *metric)
{
	struct sink sink = {.base.append = append, .out = writer->out};
	unsigned char head[1 + VARINT_LEN] = {METRIC_TAG};
	size_t size = make_message(writer, metric);

	if (!size)
		return;
	buf_append(writer->out, head, 1 + put_varint(head + 1, size));
	exposition__metric__pack_to_buffer(&writer->metric, &sink.base);
}

/* With its tag and length. */
static uint64_t measure_metric(struct exposition_writer *writer,
			       const struct metric *metric)
{
	unsigned char length[VARINT_LEN];
	size_t size = make_message(writer, metric);

	return 1 + put_varint(length, size) + size;
}

static Exposition__MetricType type_of(enum metric_type type)
{
	switch (type) {
	case METRIC_COUNTER:
		return EXPOSITION__METRIC_TYPE__COUNTER;
	case METRIC_HISTOGRAM:
		return EXPOSITION__METRIC_TYPE__HISTOGRAM;
	case METRIC_SUMMARY:
		return EXPOSITION__METRIC_TYPE__SUMMARY;
	case METRIC_GAUGE:
	case METRIC_INFO:
	case METRIC_UNKNOWN:
	case METRIC_GAUGE_HISTOGRAM:
	case METRIC_STATE_SET:
		break;
	}
	return EXPOSITION__METRIC_TYPE__GAUGE;
}

/* The length of the whole family, then what stands before its metrics. */
static void begin_family(struct exposition_writer *writer)
{
	const struct metric *metrics = writer->snapshot->metrics;
	const struct family *family = metrics[writer->next].family;
	Exposition__MetricFamily message = EXPOSITION__METRIC_FAMILY__INIT;
	struct sink sink = {.base.append = append, .out = writer->out};
	unsigned char length[VARINT_LEN];
	AUTO_FREE char *name = NULL;
	size_t end = writer->next;
	uint64_t size = 0;

	if (asprintf(&name, "%s%s", family->name, family_suffix(family)) < 0) {
		name = NULL;
		writer->error = -ENOMEM;
		return;
	}
	for (; end < writer->snapshot->count && metrics[end].family == family; end++)
		size += measure_metric(writer, &metrics[end]);
	if (writer->error)
		return;
	message.name = name;
	message.help = (char *)family->help;
	message.has_type = true;
	message.type = type_of(family->type);
	message.unit = *family->unit ? (char *)family->unit : NULL;
	size += exposition__metric_family__get_packed_size(&message);
	buf_append(writer->out, length, put_varint(length, size));
	exposition__metric_family__pack_to_buffer(&message, &sink.base);
	writer->family_end = end;
}

bool exposition_writer_next(struct exposition_writer *writer, struct buf *out,
			    size_t enough)
{
	const struct snapshot *snapshot = writer->snapshot;

	writer->out = out;
	while (writer->next < snapshot->count) {
		if (out->len >= enough || out->error)
			return true;
		if (writer->next == writer->family_end)
			begin_family(writer);
		if (!writer->error)
			write_metric(writer, &snapshot->metrics[writer->next]);
		if (writer->error && !out->error)
			out->error = writer->error;
		writer->next++;
	}
	return false;
}

int exposition_writer_create(const struct snapshot *snapshot,
			     struct exposition_writer **ret_writer)
{
	struct exposition_writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		return -ENOMEM;
	writer->snapshot = snapshot;
	set_start(&writer->start, snapshot->start_ms);
	*ret_writer = writer;
	return 0;
}

void exposition_writer_free(struct exposition_writer **writer)
{
	if (!*writer)
		return;
	free((*writer)->labels);
	free((*writer)->label_list);
	free(*writer);
	*writer = NULL;
}
