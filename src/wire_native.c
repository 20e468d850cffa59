/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_native.h"

#include <string.h>

/* Shorter gaps between filled buckets cost less as empty buckets. */
#define SPAN_GAP_MIN 3

static void add_bucket(struct wire_native *native, uint64_t count)
{
	Prometheus__Histogram *message = &native->message;

	native->deltas[message->n_positive_deltas++] = (int64_t)(count - native->last);
	native->spans[message->n_positive_spans - 1]->length++;
	native->last = count;
}

static void add_span(struct wire_native *native, int32_t offset)
{
	size_t i = native->message.n_positive_spans++;

	native->spans[i] = &native->span_storage[i];
	prometheus__bucket_span__init(native->spans[i]);
	native->spans[i]->offset = offset;
}

/* counts[0] is the zero bucket; counts[i] is of bucket NATIVE_FIRST + i - 1. */
static void add_buckets(struct wire_native *native, const uint64_t *counts)
{
	int32_t next = 0; /* behind the last one in a span */

	for (int32_t i = 1; i < NATIVE_BUCKETS; i++) {
		if (!counts[i])
			continue;
		if (!next)
			add_span(native, NATIVE_FIRST + i - 1);
		else if (i - next >= SPAN_GAP_MIN)
			add_span(native, i - next);
		else
			for (; next < i; next++)
				add_bucket(native, 0);
		add_bucket(native, counts[i]);
		next = i + 1;
	}
}

void wire_native_fill(struct wire_native *native, const struct sample *sample,
		      int64_t start_ms)
{
	Prometheus__Histogram *message = &native->message;
	uint64_t count = 0;

	prometheus__histogram__init(message);
	message->count_case = PROMETHEUS__HISTOGRAM__COUNT_COUNT_INT;
	message->timestamp = sample->time_ms;
	message->start_timestamp = start_ms;
	memcpy(&message->sum, &sample->bits, sizeof(message->sum));
	if (sample->bits == SAMPLE_STALE)
		return;
	for (size_t i = 0; i < NATIVE_BUCKETS; i++)
		count += sample->native[i];
	message->count_int = count;
	message->sum = sample->sum;
	message->schema = NATIVE_SCHEMA;
	message->zero_threshold = NATIVE_ZERO_S;
	message->zero_count_case = PROMETHEUS__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT;
	message->zero_count_int = sample->native[0];
	message->positive_spans = native->spans;
	message->positive_deltas = native->deltas;
	native->last = 0;
	add_buckets(native, sample->native);
}
