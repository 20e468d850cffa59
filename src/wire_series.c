/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_series.h"

#include <string.h>

/* Tags, lengths and numbers of a series with a sample. */
#define SERIES_OVERHEAD 128

void wire_series_number(const struct sample *sample, int64_t start_ms,
			Prometheus__Sample *ret_message)
{
	prometheus__sample__init(ret_message);
	memcpy(&ret_message->value, &sample->bits, sizeof(ret_message->value));
	ret_message->timestamp = sample->time_ms;
	ret_message->start_timestamp = start_ms;
}

Prometheus__MetricType wire_series_type(const struct family *family)
{
	static const Prometheus__MetricType types[] = {
	    [METRIC_COUNTER] = PROMETHEUS__METRIC_TYPE__COUNTER,
	    [METRIC_GAUGE] = PROMETHEUS__METRIC_TYPE__GAUGE,
	    [METRIC_HISTOGRAM] = PROMETHEUS__METRIC_TYPE__HISTOGRAM,
	    [METRIC_SUMMARY] = PROMETHEUS__METRIC_TYPE__SUMMARY,
	    [METRIC_INFO] = PROMETHEUS__METRIC_TYPE__INFO,
	    [METRIC_UNKNOWN] = PROMETHEUS__METRIC_TYPE__UNKNOWN,
	    [METRIC_GAUGE_HISTOGRAM] = PROMETHEUS__METRIC_TYPE__GAUGEHISTOGRAM,
	    [METRIC_STATE_SET] = PROMETHEUS__METRIC_TYPE__STATESET,
	};

	return types[family->type];
}

size_t wire_series_text_bytes(const struct label *labels, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += strlen(labels[i].name) + strlen(labels[i].value);
	return bytes;
}

size_t wire_series_bound(const struct wire_series *series, size_t text_bytes,
			 size_t exemplar_bytes)
{
	size_t bound = text_bytes + series->label_count * WIRE_LABEL_OVERHEAD +
		       (series->sample_count + 1) * SERIES_OVERHEAD;

	if (series->exemplar)
		bound += exemplar_bytes + SERIES_OVERHEAD;
	for (size_t i = 0; i < series->histogram_count; i++)
		bound += prometheus__histogram__get_packed_size(series->histograms[i]) +
			 SERIES_OVERHEAD;
	return bound;
}
