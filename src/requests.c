/* SPDX-License-Identifier: Apache-2.0 */
#include "requests.h"

#include <stdio.h>

#include "length.h"

#define NUMBER_LEN 8 /* of 16 bits */
#define NS_PER_S 1e9

/* --- labels ------------------------------------------------------------------ */

enum requests_role requests_role(uint8_t tally_role)
{
	return tally_role == TALLY_ROLE_CLIENT ? REQUESTS_CLIENT : REQUESTS_SERVER;
}

static const char *const method_names[TALLY_METHOD_COUNT] = {
    [TALLY_METHOD_OTHER] = "_OTHER",    [TALLY_METHOD_GET] = "GET",
    [TALLY_METHOD_HEAD] = "HEAD",       [TALLY_METHOD_POST] = "POST",
    [TALLY_METHOD_PUT] = "PUT",         [TALLY_METHOD_DELETE] = "DELETE",
    [TALLY_METHOD_CONNECT] = "CONNECT", [TALLY_METHOD_OPTIONS] = "OPTIONS",
    [TALLY_METHOD_TRACE] = "TRACE",     [TALLY_METHOD_PATCH] = "PATCH",
};

static const char *method_name(uint8_t method)
{
	return method_names[method < TALLY_METHOD_COUNT ? method : TALLY_METHOD_OTHER];
}

static const char *number_text(struct snapshot *snapshot, uint16_t number)
{
	char *text;

	if (!number)
		return "";
	text = snapshot_alloc(snapshot, NUMBER_LEN);
	if (!text)
		return "";
	snprintf(text, NUMBER_LEN, "%u", number);
	return text;
}

/* OpenTelemetry HTTP conventions, error.type: a server's fault from 500 on, for
 * a client whatever is not success. */
static const char *error_type(const struct tally_series_key *key, const char *status)
{
	unsigned int first = key->role == TALLY_ROLE_CLIENT ? 400 : 500;

	if (key->error != TALLY_ERROR_NONE)
		return "connection_closed";
	return key->status >= first ? status : "";
}

/* In the order of their names, as the set wants them. */
struct label_set requests_labels(struct snapshot *snapshot,
				 const struct requests_names *names,
				 const struct tally_series_key *key)
{
	const char *status = number_text(snapshot, key->status);
	const struct label labels[] = {
	    {"error_type", error_type(key, status)},
	    {"http_request_method", method_name(key->method)},
	    {"http_response_status_code", status},
	    {"http_route", names->route},
	    {"server_address", names->address},
	    {"server_port", number_text(snapshot, key->port)},
	    {"service_name", names->service},
	    {"service_namespace", names->name_space},
	    {"url_scheme", "http"},
	};

	return snapshot_labels(snapshot, labels, LENGTH(labels));
}

/* --- families ---------------------------------------------------------------- */

enum {
	ORDER_DURATION = REQUESTS_ORDER_FIRST,
	ORDER_QUANTILES = ORDER_DURATION + REQUESTS_ROLES,
	ORDER_FIRST_BYTE = ORDER_QUANTILES + REQUESTS_ROLES,
	ORDER_QUEUE = ORDER_FIRST_BYTE + REQUESTS_ROLES,
	ORDER_BODY,
	ORDER_IN_FLIGHT = ORDER_BODY + 2 * REQUESTS_ROLES,
	ORDER_OPEN = ORDER_IN_FLIGHT + REQUESTS_ROLES,
	ORDER_END = ORDER_OPEN + REQUESTS_ROLES,
};

_Static_assert(ORDER_END <= REQUESTS_ORDER_LAST + 1, "others come after these");

#define HISTOGRAM(family_name, family_unit, position, text)                            \
	{                                                                              \
		.name = family_name, .help = text, .unit = family_unit,                \
		.type = METRIC_HISTOGRAM, .order = position,                           \
	}
#define SUMMARY(family_name, family_unit, position, text)                              \
	{                                                                              \
		.name = family_name, .help = text, .unit = family_unit,                \
		.type = METRIC_SUMMARY, .order = position,                             \
	}
#define GAUGE(family_name, position, text)                                             \
	{                                                                              \
		.name = family_name, .help = text, .unit = "", .type = METRIC_GAUGE,   \
		.order = position,                                                     \
	}

static const struct family duration[REQUESTS_ROLES] = {
    HISTOGRAM("http_server_request_duration_seconds", "seconds", ORDER_DURATION,
	      "Time from the first byte of the request read to the last byte of the "
	      "response accepted by the kernel."),
    HISTOGRAM("http_client_request_duration_seconds", "seconds", ORDER_DURATION + 1,
	      "Time from the first byte of the request sent to the last byte of the "
	      "response read."),
};

/* Not the histogram's name: a family has one type. */
static const struct family duration_quantiles[REQUESTS_ROLES] = {
    SUMMARY("http_server_request_duration_quantiles_seconds", "seconds",
	    ORDER_QUANTILES,
	    "Quantiles of http_server_request_duration_seconds of the last ten "
	    "minutes."),
    SUMMARY("http_client_request_duration_quantiles_seconds", "seconds",
	    ORDER_QUANTILES + 1,
	    "Quantiles of http_client_request_duration_seconds of the last ten "
	    "minutes."),
};

static const struct family first_byte[REQUESTS_ROLES] = {
    HISTOGRAM("http_server_time_to_first_byte_seconds", "seconds", ORDER_FIRST_BYTE,
	      "Time from the first byte of the request read to the first byte of the "
	      "response sent."),
    HISTOGRAM("http_client_time_to_first_byte_seconds", "seconds", ORDER_FIRST_BYTE + 1,
	      "Time from the first byte of the request sent to the first byte of the "
	      "response read."),
};

static const struct family queue =
    HISTOGRAM("http_server_request_queue_seconds", "seconds", ORDER_QUEUE,
	      "Time a request waited in the socket before the server read it.");

static const struct family request_body[REQUESTS_ROLES] = {
    HISTOGRAM("http_server_request_body_size_bytes", "bytes", ORDER_BODY,
	      "Size of request bodies received by servers."),
    HISTOGRAM("http_client_request_body_size_bytes", "bytes", ORDER_BODY + 2,
	      "Size of request bodies sent by clients."),
};

static const struct family response_body[REQUESTS_ROLES] = {
    HISTOGRAM("http_server_response_body_size_bytes", "bytes", ORDER_BODY + 1,
	      "Size of response bodies sent by servers."),
    HISTOGRAM("http_client_response_body_size_bytes", "bytes", ORDER_BODY + 3,
	      "Size of response bodies received by clients."),
};

static const struct family active_requests[REQUESTS_ROLES] = {
    GAUGE("http_server_active_requests", ORDER_IN_FLIGHT,
	  "Requests that servers have begun to read and not finished answering."),
    GAUGE("http_client_active_requests", ORDER_IN_FLIGHT + 1,
	  "Requests that clients have begun to send and not got the whole answer to."),
};

static const struct family open_connections[REQUESTS_ROLES] = {
    GAUGE("http_server_open_connections", ORDER_OPEN,
	  "Open connections on which servers were asked over HTTP."),
    GAUGE("http_client_open_connections", ORDER_OPEN + 1,
	  "Open connections on which clients asked over HTTP."),
};

/* --- metrics ----------------------------------------------------------------- */

struct requests_bounds {
	double duration_s[DURATION_BOUNDS];
	double size_bytes[SIZE_BOUNDS];
};

const struct requests_bounds *requests_bounds(struct snapshot *snapshot)
{
	struct requests_bounds *bounds = snapshot_alloc(snapshot, sizeof(*bounds));

	if (!bounds)
		return NULL;
	for (size_t i = 0; i < DURATION_BOUNDS; i++)
		bounds->duration_s[i] = (double)duration_bounds_ns[i] / NS_PER_S;
	for (size_t i = 0; i < SIZE_BOUNDS; i++)
		bounds->size_bytes[i] = (double)size_bounds[i];
	return bounds;
}

_Static_assert(sizeof(__u64) == sizeof(uint64_t), "rows are used as they are");

/* The kernel's name and ours for 64 bits are two types of one shape. */
static const uint64_t *counts(const __u64 *buckets)
{
	return (const uint64_t *)buckets;
}

static void emit_durations(struct snapshot *snapshot,
			   const struct requests_bounds *bounds,
			   enum requests_role role, struct label_set labels,
			   const struct tally_series *value)
{
	struct histogram histogram = {
	    .bounds = bounds->duration_s,
	    .bound_count = DURATION_BOUNDS,
	};

	histogram.buckets = counts(value->first_byte);
	histogram.sum = (double)value->first_byte_sum_ns / NS_PER_S;
	snapshot_histogram(snapshot, &first_byte[role], labels, &histogram);
	if (role == REQUESTS_SERVER) {
		histogram.buckets = counts(value->queue);
		histogram.sum = (double)value->queue_sum_ns / NS_PER_S;
		snapshot_histogram(snapshot, &queue, labels, &histogram);
	}
	histogram.buckets = counts(value->duration);
	histogram.sum = (double)value->duration_sum_ns / NS_PER_S;
	histogram.native = counts(value->native);
	snapshot_histogram(snapshot, &duration[role], labels, &histogram);
}

static void emit_sizes(struct snapshot *snapshot, const struct requests_bounds *bounds,
		       enum requests_role role, struct label_set labels,
		       const struct tally_series *value)
{
	struct histogram histogram = {
	    .bounds = bounds->size_bytes,
	    .bound_count = SIZE_BOUNDS,
	};

	histogram.buckets = counts(value->request_size);
	histogram.sum = (double)value->request_bytes;
	snapshot_histogram(snapshot, &request_body[role], labels, &histogram);
	histogram.buckets = counts(value->response_size);
	histogram.sum = (double)value->response_bytes;
	snapshot_histogram(snapshot, &response_body[role], labels, &histogram);
}

void requests_emit(struct snapshot *snapshot, const struct requests_bounds *bounds,
		   enum requests_role role, struct label_set labels,
		   const struct tally_series *value)
{
	emit_durations(snapshot, bounds, role, labels, value);
	emit_sizes(snapshot, bounds, role, labels, value);
}

static const double quantiles[] = {0.5, 0.95, 0.99};

#define DURATION_SUMMARY(role)                                                         \
	{                                                                              \
		.family = &duration_quantiles[role], .scale = &quantile_durations,     \
		.unit = NS_PER_S, .quantiles = quantiles,                              \
		.quantile_count = LENGTH(quantiles), .max_age_ms = 600000,             \
		.age_buckets = 5,                                                      \
	}

static const struct summary_kind duration_summaries[REQUESTS_ROLES] = {
    DURATION_SUMMARY(REQUESTS_SERVER),
    DURATION_SUMMARY(REQUESTS_CLIENT),
};

void requests_summarize(struct summaries *summaries, enum requests_role role,
			struct label_set labels, const struct tally_series *value)
{
	summaries_add(summaries, &duration_summaries[role], labels,
		      counts(value->native), (double)value->duration_sum_ns / NS_PER_S);
}

void requests_emit_gauges(struct snapshot *snapshot, enum requests_role role,
			  struct label_set labels, uint64_t in_flight, uint64_t open)
{
	snapshot_value(snapshot, &active_requests[role], labels, (double)in_flight);
	snapshot_value(snapshot, &open_connections[role], labels, (double)open);
}
