/* SPDX-License-Identifier: Apache-2.0 */
/* A writer of OTLP requests, metrics for it, and what it handed over, as otlp_decoder.h
 * has read it: each data point as a line of text. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "otlp.h"
#include "otlp_decoder.h"

#define TIME_MS 1700000000123
#define START_MS 1690000000456
#define TIMES " start=1690000000456000000 time=1700000000123000000"

static char label_job[] = "job", label_instance[] = "instance", label_zone[] = "zone";
static char job[] = "bpftally", instance[] = "web1", zone[] = "eu";
static struct config_label external_items[] = {
    {label_job, job},
    {label_instance, instance},
    {label_zone, zone},
};
static const struct config_labels external = {external_items, 3};
static const struct config_labels two_external = {external_items, 2};

#define SHOP " service.name=shop service.namespace=eu service.instance.id=web1"
#define AGENT " service.instance.id=web1 service.name=bpftally"

static const struct otlp_format plain = {
    .points_max = OTLP_POINTS_MAX,
    .bytes_max = (size_t)4 << 20,
};

static inline void start(struct received *received, const struct otlp_format *format,
			 const struct config_labels *labels)
{
	*received = (struct received){
	    .points = calloc(POINTS_MAX, sizeof(*received->points)),
	};
	assert_non_null(received->points);
	assert_int_equal(
	    otlp_writer_create(format, labels, on_batch, received, &received->writer),
	    0);
}

static inline void end(struct received *received)
{
	for (size_t i = 0; i < received->count; i++) {
		free(received->points[i].resource);
		free(received->points[i].name);
		free(received->points[i].unit);
		free(received->points[i].help);
		free(received->points[i].attributes);
	}
	free(received->points);
	otlp_writer_free(&received->writer);
}

static inline void add(struct received *received, const struct metric *metric,
		       bool is_stale)
{
	const struct sample_metric item = {
	    .metric = metric,
	    .time_ms = TIME_MS,
	    .start_ms = START_MS,
	    .is_stale = is_stale,
	    .has_native =
		metric->family->type == METRIC_HISTOGRAM && metric->histogram.native,
	};

	assert_int_equal(otlp_add(received->writer, &item), 0);
}

static inline void add_all(struct received *received, const struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->count; i++)
		add(received, &snapshot->metrics[i], false);
}

static inline void finish(struct received *received)
{
	assert_int_equal(otlp_finish(received->writer), 0);
	if (received->batch_count)
		assert_int_equal(received->batch_time_ms, TIME_MS);
}

static const struct family target = {"target", "Target.", "", METRIC_INFO, 0};
static const struct family build = {"bpftally_build", "Build.", "", METRIC_INFO, 90};
static const struct family missed = {"bpftally_missed", "Missed.", "", METRIC_COUNTER,
				     91};
static const struct family cpu = {"process_cpu_seconds", "CPU.", "seconds",
				  METRIC_COUNTER, 92};
static const struct family memory = {"process_resident_memory_bytes", "Memory.",
				     "bytes", METRIC_GAUGE, 93};
static const struct family active = {"http_server_active_requests", "Active.", "",
				     METRIC_GAUGE, 20};
static const struct family duration = {"http_server_request_duration_seconds",
				       "Duration.", "seconds", METRIC_HISTOGRAM, 1};
static const struct family quantiles = {
    "http_server_request_duration_quantiles_seconds", "Quantiles.", "seconds",
    METRIC_SUMMARY, 3};

static const struct label service[] = {
    {"service_name", "shop"},
    {"service_namespace", "eu"},
};
static const struct label request[] = {
    {"http_response_status_code", "200"},
    {"http_route", "/cart/*"},
    {"server_port", "80"},
    {"service_name", "shop"},
    {"service_namespace", "eu"},
};

static const struct label target_labels[] = {
    {"host_name", "web1"},
    {"os_type", "linux"},
    {"service_name", "shop"},
    {"service_namespace", "eu"},
    {"telemetry_distro_name", "bpftally"},
    {"telemetry_distro_version", "1"},
};

#define SHOP_TARGET                                                                    \
	" host.name=web1 os.type=linux service.name=shop service.namespace=eu"         \
	" telemetry.distro.name=bpftally telemetry.distro.version=1"                   \
	" service.instance.id=web1"

static const double two_bounds[] = {0.1, 1};
static const uint64_t three_counts[] = {4, 0, 2};

static inline struct metric value_of(const struct family *family,
				     const struct label *labels, size_t count,
				     double value)
{
	return (struct metric){
	    .family = family,
	    .labels = {labels, count},
	    .value = value,
	};
}

static inline void add_many(struct received *received, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char text[24];
		const struct label label = {"reason", text};
		const struct metric metric = value_of(&missed, &label, 1, (double)i);

		snprintf(text, sizeof(text), "%zu", i);
		add(received, &metric, false);
	}
}

/* --- as text ------------------------------------------------------------------ */

static inline void print_doubles(FILE *text, const char *name, const struct list *list)
{
	for (size_t i = 0; i < list->count; i++)
		fprintf(text, "%s%.17g", i ? "," : name, double_of(list->items[i]));
}

static inline void print_counts(FILE *text, const char *name, const struct list *list)
{
	for (size_t i = 0; i < list->count; i++)
		fprintf(text, "%s%llu", i ? "," : name,
			(unsigned long long)list->items[i]);
}

static inline const char *data_name(enum data data)
{
	switch (data) {
	case D_GAUGE:
		return "gauge";
	case D_SUM:
		return "sum";
	case D_HISTOGRAM:
		return "histogram";
	case D_EXPONENTIAL:
		return "exponential";
	case D_SUMMARY:
		return "summary";
	}
	return "nothing";
}

static inline void print_point(FILE *text, const struct point *point)
{
	fprintf(text, "%s [%s] %s %llu%s:%s", point->name, point->unit,
		data_name(point->data), (unsigned long long)point->temporality,
		point->is_monotonic ? " monotonic" : "", point->attributes);
	if (point->start)
		fprintf(text, " start=%llu", (unsigned long long)point->start);
	fprintf(text, " time=%llu", (unsigned long long)point->time);
	if (point->flags)
		fprintf(text, " flags=%llu", (unsigned long long)point->flags);
	if (point->has_value)
		fprintf(text, " value=%.17g", point->value);
	if (point->data != D_GAUGE && point->data != D_SUM)
		fprintf(text, " count=%llu", (unsigned long long)point->count);
	if (point->has_sum)
		fprintf(text, " sum=%.17g", point->sum);
	if (point->data == D_EXPONENTIAL)
		fprintf(text, " scale=%lld zero=%llu threshold=%a offset=%lld",
			(long long)point->scale, (unsigned long long)point->zero_count,
			point->threshold, (long long)point->offset);
	print_counts(text, " counts=", &point->counts);
	print_doubles(text, " bounds=", &point->bounds);
	print_doubles(text, " quantiles=", &point->quantiles);
	print_doubles(text, " values=", &point->values);
}

static inline void check_point(const struct received *received, size_t i,
			       const char *wanted)
{
	char *got;
	size_t size;
	FILE *text = open_memstream(&got, &size);

	assert_true(i < received->count);
	print_point(text, &received->points[i]);
	fclose(text);
	assert_string_equal(got, wanted);
	free(got);
}

static inline void check_only(const struct metric *metric, bool is_stale,
			      const struct otlp_format *format, const char *wanted)
{
	struct received received;

	start(&received, format, &external);
	add(&received, metric, is_stale);
	finish(&received);
	assert_int_equal(received.count, 1);
	check_point(&received, 0, wanted);
	end(&received);
}
