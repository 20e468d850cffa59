/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp_point.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "buckets.h"
#include "sample.h"

#define SCALE NATIVE_SCHEMA

static uint64_t nanoseconds(int64_t ms)
{
	return ms > 0 ? (uint64_t)ms * 1000000 : 0;
}

static uint32_t flags_of(const struct sample_metric *item)
{
	return item->is_stale ? OTLP__DATA_POINT_FLAGS__NO_RECORDED_VALUE : 0;
}

static void fill_number(struct otlp_point *point, const struct sample_metric *item,
			enum otlp_kind kind, const struct otlp_attributes *attributes)
{
	Otlp__NumberDataPoint *number = &point->number;

	otlp__number_data_point__init(number);
	if (kind != OTLP_GAUGE)
		number->start_time_unix_nano = nanoseconds(item->start_ms);
	number->time_unix_nano = nanoseconds(item->time_ms);
	number->flags = flags_of(item);
	number->attributes = attributes->list;
	number->n_attributes = attributes->count;
	if (item->is_stale)
		return;
	number->value_case = OTLP__NUMBER_DATA_POINT__VALUE_AS_DOUBLE;
	number->as_double = item->metric->value;
	/* Whatever made it, it must not look like a stale marker. */
	if (isnan(number->as_double))
		number->as_double = NAN;
}

static uint64_t total(const uint64_t *counts, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += counts[i];
	return sum;
}

/* One that ended has a sum and all its bounds: translated, each of its series ends. */
static int fill_histogram(struct otlp_point *point, const struct sample_metric *item,
			  const struct otlp_attributes *attributes)
{
	const struct histogram *from = &item->metric->histogram;
	Otlp__HistogramDataPoint *histogram = &point->histogram;
	size_t count = from->bound_count + 1;
	const uint64_t *counts = from->buckets;

	otlp__histogram_data_point__init(histogram);
	if (item->is_stale)
		counts = point->zeros = calloc(count, sizeof(*point->zeros));
	if (!counts)
		return -ENOMEM;
	histogram->start_time_unix_nano = nanoseconds(item->start_ms);
	histogram->time_unix_nano = nanoseconds(item->time_ms);
	histogram->flags = flags_of(item);
	histogram->attributes = attributes->list;
	histogram->n_attributes = attributes->count;
	histogram->has_sum_case = OTLP__HISTOGRAM_DATA_POINT__HAS_SUM_SUM;
	histogram->sum = from->sum;
	histogram->count = total(counts, count);
	histogram->bucket_counts = (uint64_t *)counts;
	histogram->n_bucket_counts = count;
	histogram->explicit_bounds = (double *)from->bounds;
	histogram->n_explicit_bounds = from->bound_count;
	return 0;
}

/* counts[0] is the zero bucket; counts[i] that of schema 3 with the index
 * NATIVE_FIRST + i - 1, which ends where the one of OTLP with an index one lower
 * does: there a bucket is named after its lower end. */
static void set_buckets(const uint64_t *counts, Otlp__Buckets *buckets)
{
	size_t first = 1, last = NATIVE_BUCKETS - 1;

	while (first < last && !counts[first])
		first++;
	while (last > first && !counts[last])
		last--;
	if (!counts[first])
		return;
	buckets->offset = NATIVE_FIRST + (int32_t)first - 2;
	buckets->bucket_counts = (uint64_t *)counts + first;
	buckets->n_bucket_counts = last - first + 1;
}

static void fill_exponential(struct otlp_point *point, const struct sample_metric *item,
			     const struct otlp_attributes *attributes)
{
	const struct histogram *from = &item->metric->histogram;
	Otlp__ExponentialHistogramDataPoint *exponential = &point->exponential;

	otlp__exponential_histogram_data_point__init(exponential);
	exponential->start_time_unix_nano = nanoseconds(item->start_ms);
	exponential->time_unix_nano = nanoseconds(item->time_ms);
	exponential->flags = flags_of(item);
	exponential->attributes = attributes->list;
	exponential->n_attributes = attributes->count;
	exponential->has_sum_case = OTLP__EXPONENTIAL_HISTOGRAM_DATA_POINT__HAS_SUM_SUM;
	exponential->sum = from->sum;
	exponential->scale = SCALE;
	exponential->zero_threshold = NATIVE_ZERO_S;
	if (item->is_stale)
		return;
	exponential->count = total(from->native, NATIVE_BUCKETS);
	exponential->zero_count = from->native[0];
	otlp__buckets__init(&point->buckets);
	set_buckets(from->native, &point->buckets);
	exponential->positive = &point->buckets;
}

static int fill_quantiles(struct otlp_point *point, const struct summary *from,
			  bool is_stale)
{
	point->values = calloc(from->count + 1, sizeof(*point->values));
	point->list = calloc(from->count + 1, sizeof(Otlp__ValueAtQuantile *));
	if (!point->values || !point->list)
		return -ENOMEM;
	for (size_t i = 0; i < from->count; i++) {
		Otlp__ValueAtQuantile *value = &point->values[i];

		otlp__value_at_quantile__init(value);
		value->quantile = from->quantiles[i];
		value->value = is_stale                 ? 0
			       : isnan(from->values[i]) ? NAN
							: from->values[i];
		point->list[i] = value;
	}
	return 0;
}

static int fill_summary(struct otlp_point *point, const struct sample_metric *item,
			const struct otlp_attributes *attributes)
{
	const struct summary *from = &item->metric->summary;
	Otlp__SummaryDataPoint *summary = &point->summary;

	otlp__summary_data_point__init(summary);
	summary->start_time_unix_nano = nanoseconds(item->start_ms);
	summary->time_unix_nano = nanoseconds(item->time_ms);
	summary->flags = flags_of(item);
	summary->attributes = attributes->list;
	summary->n_attributes = attributes->count;
	summary->count = from->observations;
	summary->sum = from->sum;
	summary->n_quantile_values = from->count;
	if (fill_quantiles(point, from, item->is_stale))
		return -ENOMEM;
	summary->quantile_values = point->list;
	return 0;
}

void otlp_point_free(struct otlp_point *point)
{
	free(point->zeros);
	free(point->values);
	free(point->list);
}

int otlp_point_fill(struct otlp_point *point, const struct sample_metric *item,
		    enum otlp_kind kind, const struct otlp_attributes *attributes)
{
	switch (kind) {
	case OTLP_HISTOGRAM:
		return fill_histogram(point, item, attributes);
	case OTLP_EXPONENTIAL:
		fill_exponential(point, item, attributes);
		return 0;
	case OTLP_SUMMARY:
		return fill_summary(point, item, attributes);
	case OTLP_GAUGE:
	case OTLP_UP_DOWN:
	case OTLP_COUNTER:
		break;
	}
	fill_number(point, item, kind, attributes);
	return 0;
}
