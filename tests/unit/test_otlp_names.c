/* SPDX-License-Identifier: Apache-2.0 */
/* That names translate back to ours is proved with whole metrics in test_otlp.c;
 * here, that they are those of the conventions (1.44), letter by letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "length.h"
#include "otlp_names.h"

static struct otlp_name named(const char *name, const char *unit, enum metric_type type)
{
	const struct family family = {name, "", unit, type, 1};

	return otlp_metric_name(&family);
}

static void check(const char *family, const char *unit, enum metric_type type,
		  const char *wanted, const char *wanted_unit, bool is_up_down)
{
	struct otlp_name name = named(family, unit, type);

	assert_string_equal(name.name, wanted);
	assert_string_equal(name.unit, wanted_unit);
	assert_string_equal(name.suffix, "");
	assert_int_equal(name.is_up_down, is_up_down);
	assert_true(name.is_convention);
}

static void http_has_the_names_of_the_conventions(void **state)
{
	(void)state;
	check("http_server_request_duration_seconds", "seconds", METRIC_HISTOGRAM,
	      "http.server.request.duration", "s", false);
	check("http_client_request_duration_seconds", "seconds", METRIC_HISTOGRAM,
	      "http.client.request.duration", "s", false);
	check("http_server_request_body_size_bytes", "bytes", METRIC_HISTOGRAM,
	      "http.server.request.body.size", "By", false);
	check("http_server_response_body_size_bytes", "bytes", METRIC_HISTOGRAM,
	      "http.server.response.body.size", "By", false);
	check("http_client_request_body_size_bytes", "bytes", METRIC_HISTOGRAM,
	      "http.client.request.body.size", "By", false);
	check("http_client_response_body_size_bytes", "bytes", METRIC_HISTOGRAM,
	      "http.client.response.body.size", "By", false);
	check("http_server_active_requests", "", METRIC_GAUGE,
	      "http.server.active_requests", "{request}", true);
	check("http_client_active_requests", "", METRIC_GAUGE,
	      "http.client.active_requests", "{request}", true);
	check("http_client_open_connections", "", METRIC_GAUGE,
	      "http.client.open_connections", "{connection}", true);
}

static void what_no_convention_names_is_named_alike(void **state)
{
	(void)state;
	check("http_server_time_to_first_byte_seconds", "seconds", METRIC_HISTOGRAM,
	      "http.server.time_to_first_byte", "s", false);
	check("http_client_time_to_first_byte_seconds", "seconds", METRIC_HISTOGRAM,
	      "http.client.time_to_first_byte", "s", false);
	check("http_server_request_queue_seconds", "seconds", METRIC_HISTOGRAM,
	      "http.server.request.queue", "s", false);
	check("http_server_open_connections", "", METRIC_GAUGE,
	      "http.server.open_connections", "{connection}", true);
	check("http_server_request_duration_quantiles_seconds", "seconds",
	      METRIC_SUMMARY, "http.server.request.duration.quantiles", "s", false);
	check("http_client_request_duration_quantiles_seconds", "seconds",
	      METRIC_SUMMARY, "http.client.request.duration.quantiles", "s", false);
}

static void all_else_keeps_its_name(void **state)
{
	struct otlp_name counter =
	    named("process_cpu_seconds", "seconds", METRIC_COUNTER);
	struct otlp_name gauge = named("bpftally_map_bytes", "bytes", METRIC_GAUGE);
	struct otlp_name other = named("http_of_a_stranger", "", METRIC_GAUGE);

	(void)state;
	assert_string_equal(counter.name, "process_cpu_seconds");
	assert_string_equal(counter.suffix, "");
	assert_string_equal(counter.unit, "s");
	assert_string_equal(gauge.name, "bpftally_map_bytes");
	assert_string_equal(gauge.unit, "By");
	assert_false(gauge.is_up_down);
	assert_string_equal(other.name, "http_of_a_stranger");
	assert_false(other.is_convention);
}

static void what_was_scraped_keeps_its_name(void **state)
{
	const struct family family = {"http_server_request_duration_seconds", "",
				      "seconds", METRIC_HISTOGRAM, FAMILY_SCRAPED};
	struct otlp_name name = otlp_metric_name(&family);

	(void)state;
	assert_string_equal(name.name, family.name);
	assert_string_equal(name.unit, "s");
	assert_false(name.is_convention);
}

static void an_info_keeps_its_suffix(void **state)
{
	struct otlp_name name = named("bpftally_build", "", METRIC_INFO);

	(void)state;
	assert_string_equal(name.name, "bpftally_build");
	assert_string_equal(name.suffix, "_info");
	assert_true(name.is_up_down);
	assert_false(name.is_convention);
}

static void attributes_have_the_names_of_the_conventions(void **state)
{
	static const struct {
		const char *label, *name;
		bool is_number;
	} cases[] = {
	    {"error_type", "error.type", false},
	    {"http_request_method", "http.request.method", false},
	    {"http_response_status_code", "http.response.status_code", true},
	    {"http_route", "http.route", false},
	    {"server_address", "server.address", false},
	    {"server_port", "server.port", true},
	    {"url_scheme", "url.scheme", false},
	    {"tenant", "tenant", false},
	};
	bool is_number;

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		is_number = !cases[i].is_number;
		assert_string_equal(otlp_attribute_name(cases[i].label, &is_number),
				    cases[i].name);
		assert_int_equal(is_number, cases[i].is_number);
	}
}

static void what_a_service_is_has_names_of_the_conventions(void **state)
{
	static const char *const cases[][2] = {
	    {"host_name", "host.name"},
	    {"os_type", "os.type"},
	    {"service_name", "service.name"},
	    {"service_namespace", "service.namespace"},
	    {"telemetry_distro_name", "telemetry.distro.name"},
	    {"telemetry_distro_version", "telemetry.distro.version"},
	    {"cluster", "cluster"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		assert_string_equal(otlp_resource_name(cases[i][0]), cases[i][1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(http_has_the_names_of_the_conventions),
	    cmocka_unit_test(what_no_convention_names_is_named_alike),
	    cmocka_unit_test(all_else_keeps_its_name),
	    cmocka_unit_test(what_was_scraped_keeps_its_name),
	    cmocka_unit_test(an_info_keeps_its_suffix),
	    cmocka_unit_test(attributes_have_the_names_of_the_conventions),
	    cmocka_unit_test(what_a_service_is_has_names_of_the_conventions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
