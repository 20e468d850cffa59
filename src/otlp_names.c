/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp_names.h"

#include <stddef.h>
#include <string.h>

#include "length.h"

/* OpenTelemetry semantic conventions 1.44, "HTTP metrics"; what is not in there
 * (queue, time to first byte, quantiles, a server's connections) is named alike.
 * Without unit: that of the family. */
static const struct {
	const char *family;
	const char *name;
	const char *unit;
} metrics[] = {
    {"http_server_request_duration_seconds", "http.server.request.duration", NULL},
    {"http_client_request_duration_seconds", "http.client.request.duration", NULL},
    {"http_server_request_duration_quantiles_seconds",
     "http.server.request.duration.quantiles", NULL},
    {"http_client_request_duration_quantiles_seconds",
     "http.client.request.duration.quantiles", NULL},
    {"http_server_time_to_first_byte_seconds", "http.server.time_to_first_byte", NULL},
    {"http_client_time_to_first_byte_seconds", "http.client.time_to_first_byte", NULL},
    {"http_server_request_queue_seconds", "http.server.request.queue", NULL},
    {"http_server_request_body_size_bytes", "http.server.request.body.size", NULL},
    {"http_client_request_body_size_bytes", "http.client.request.body.size", NULL},
    {"http_server_response_body_size_bytes", "http.server.response.body.size", NULL},
    {"http_client_response_body_size_bytes", "http.client.response.body.size", NULL},
    {"http_server_active_requests", "http.server.active_requests", "{request}"},
    {"http_client_active_requests", "http.client.active_requests", "{request}"},
    {"http_server_open_connections", "http.server.open_connections", "{connection}"},
    {"http_client_open_connections", "http.client.open_connections", "{connection}"},
};

static const struct {
	const char *label;
	const char *name;
	bool is_number;
} attributes[] = {
    {"error_type", "error.type", false},
    {"http_request_method", "http.request.method", false},
    {"http_response_status_code", "http.response.status_code", true},
    {"http_route", "http.route", false},
    {"server_address", "server.address", false},
    {"server_port", "server.port", true},
    {"url_scheme", "url.scheme", false},
};

static const struct {
	const char *label;
	const char *name;
} resource_attributes[] = {
    {"host_name", "host.name"},
    {"os_type", "os.type"},
    {"service_name", "service.name"},
    {"service_namespace", "service.namespace"},
    {"telemetry_distro_name", "telemetry.distro.name"},
    {"telemetry_distro_version", "telemetry.distro.version"},
};

static const char *unit_of(const struct family *family)
{
	if (!strcmp(family->unit, "seconds"))
		return "s";
	return !strcmp(family->unit, "bytes") ? "By" : "";
}

/* An info is what the compatibility specification makes of it: a sum that is 1. */
struct otlp_name otlp_metric_name(const struct family *family)
{
	bool is_info = family->type == METRIC_INFO;

	/* What was scraped is what its target says, not what we would. */
	for (size_t i = 0; i < LENGTH(metrics) && family->order != FAMILY_SCRAPED;
	     i++) {
		if (strcmp(metrics[i].family, family->name) != 0)
			continue;
		return (struct otlp_name){
		    .name = metrics[i].name,
		    .suffix = "",
		    .unit = metrics[i].unit ? metrics[i].unit : unit_of(family),
		    .is_up_down = family->type == METRIC_GAUGE,
		    .is_convention = true,
		};
	}
	return (struct otlp_name){
	    .name = family->name,
	    .suffix = is_info ? family_suffix(family) : "",
	    .unit = unit_of(family),
	    .is_up_down = is_info,
	};
}

const char *otlp_attribute_name(const char *label, bool *ret_is_number)
{
	*ret_is_number = false;
	for (size_t i = 0; i < LENGTH(attributes); i++) {
		if (strcmp(attributes[i].label, label) != 0)
			continue;
		*ret_is_number = attributes[i].is_number;
		return attributes[i].name;
	}
	return label;
}

const char *otlp_resource_name(const char *label)
{
	for (size_t i = 0; i < LENGTH(resource_attributes); i++) {
		if (!strcmp(resource_attributes[i].label, label))
			return resource_attributes[i].name;
	}
	return label;
}
