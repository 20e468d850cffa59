/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_point.h - one metric as an OTLP data point. Of a series that ended it is one
 * with NO_RECORDED_VALUE, in the shape that it had. Which metric it is a point of, and
 * of whom, is otlp.c's.
 *
 * An exponential histogram has scale 3, zero up to 2^-20. What is longer than the
 * last bucket of buckets.h is in the one after it: its lower end (64 s) is true, its
 * upper end (69.8 s) is not; count, sum and all below are.
 */
#pragma once

#include <stdint.h>

#include "otlp_attributes.h"

struct sample_metric;

/* What the data points of a metric are. */
enum otlp_kind {
	OTLP_GAUGE,
	OTLP_UP_DOWN,
	OTLP_COUNTER,
	OTLP_HISTOGRAM,
	OTLP_EXPONENTIAL,
	OTLP_SUMMARY,
};

/* A data point and all that it points to. */
struct otlp_point {
	union {
		ProtobufCMessage base;
		Otlp__NumberDataPoint number;
		Otlp__HistogramDataPoint histogram;
		Otlp__ExponentialHistogramDataPoint exponential;
		Otlp__SummaryDataPoint summary;
	};
	Otlp__Buckets buckets;
	uint64_t *zeros; /* counts of a histogram that ended */
	Otlp__ValueAtQuantile *values, **list;
};

/* Zeroed before; it stays where it was filled, and points to what the metric and the
 * attributes do. -ENOMEM. */
int otlp_point_fill(struct otlp_point *point, const struct sample_metric *item,
		    enum otlp_kind kind, const struct otlp_attributes *attributes);
void otlp_point_free(struct otlp_point *point);
