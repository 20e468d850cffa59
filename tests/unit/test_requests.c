/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "requests.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct requests_names all_names = {
    .service = "shop",
    .name_space = "eu",
    .route = "/cart/*",
    .address = "10.0.0.1",
};

static const struct requests_names few_names = {
    .service = "shop", .name_space = "", .route = "", .address = ""};

static void check_label(const struct label_set *set, const char *name,
			const char *wanted)
{
	const char *value = "";

	for (size_t i = 0; i < set->count; i++)
		if (!strcmp(set->labels[i].name, name))
			value = set->labels[i].value;
	assert_string_equal(value, wanted);
}

static void all_labels_are_there(void **state)
{
	static const struct label wanted[] = {
	    {"error_type", "503"},
	    {"http_request_method", "POST"},
	    {"http_response_status_code", "503"},
	    {"http_route", "/cart/*"},
	    {"server_address", "10.0.0.1"},
	    {"server_port", "65535"},
	    {"service_name", "shop"},
	    {"service_namespace", "eu"},
	    {"url_scheme", "http"},
	};
	const struct tally_series_key key = {
	    .port = 65535,
	    .status = 503,
	    .role = TALLY_ROLE_SERVER,
	    .method = TALLY_METHOD_POST,
	};
	struct snapshot snapshot;
	struct label_set set;

	(void)state;
	snapshot_init(&snapshot, 0);
	set = requests_labels(&snapshot, &all_names, &key);
	assert_int_equal(set.count, COUNT(wanted));
	for (size_t i = 0; i < COUNT(wanted); i++) {
		assert_string_equal(set.labels[i].name, wanted[i].name);
		assert_string_equal(set.labels[i].value, wanted[i].value);
	}
	snapshot_free(&snapshot);
}

static void what_is_not_known_has_no_label(void **state)
{
	const struct tally_series_key key = {
	    .role = TALLY_ROLE_SERVER,
	    .method = TALLY_METHOD_GET,
	};
	struct snapshot snapshot;
	struct label_set set;

	(void)state;
	snapshot_init(&snapshot, 0);
	set = requests_labels(&snapshot, &few_names, &key);
	assert_int_equal(set.count, 3);
	check_label(&set, "http_request_method", "GET");
	check_label(&set, "service_name", "shop");
	check_label(&set, "url_scheme", "http");
	snapshot_free(&snapshot);
}

static void an_error_is_one_by_status_end_and_close(void **state)
{
	static const struct {
		enum tally_role role;
		uint16_t status;
		enum tally_error error;
		const char *wanted;
	} cases[] = {
	    {TALLY_ROLE_SERVER, 200, TALLY_ERROR_NONE, ""},
	    {TALLY_ROLE_SERVER, 399, TALLY_ERROR_NONE, ""},
	    {TALLY_ROLE_SERVER, 404, TALLY_ERROR_NONE, ""},
	    {TALLY_ROLE_SERVER, 499, TALLY_ERROR_NONE, ""},
	    {TALLY_ROLE_SERVER, 500, TALLY_ERROR_NONE, "500"},
	    {TALLY_ROLE_SERVER, 599, TALLY_ERROR_NONE, "599"},
	    {TALLY_ROLE_SERVER, 0, TALLY_ERROR_CLOSED, "connection_closed"},
	    {TALLY_ROLE_SERVER, 500, TALLY_ERROR_CLOSED, "connection_closed"},
	    {TALLY_ROLE_CLIENT, 200, TALLY_ERROR_NONE, ""},
	    {TALLY_ROLE_CLIENT, 399, TALLY_ERROR_NONE, ""},
	    {TALLY_ROLE_CLIENT, 400, TALLY_ERROR_NONE, "400"},
	    {TALLY_ROLE_CLIENT, 500, TALLY_ERROR_NONE, "500"},
	    {TALLY_ROLE_CLIENT, 0, TALLY_ERROR_NONE, ""},
	    {TALLY_ROLE_CLIENT, 200, TALLY_ERROR_CLOSED, "connection_closed"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct tally_series_key key = {
		    .role = (uint8_t)cases[i].role,
		    .status = cases[i].status,
		    .error = (uint8_t)cases[i].error,
		};
		struct snapshot snapshot;
		struct label_set set;

		snapshot_init(&snapshot, 0);
		set = requests_labels(&snapshot, &few_names, &key);
		check_label(&set, "error_type", cases[i].wanted);
		snapshot_free(&snapshot);
	}
}

static void methods_have_their_names(void **state)
{
	static const struct {
		uint8_t method;
		const char *wanted;
	} cases[] = {
	    {TALLY_METHOD_OTHER, "_OTHER"},    {TALLY_METHOD_GET, "GET"},
	    {TALLY_METHOD_HEAD, "HEAD"},       {TALLY_METHOD_POST, "POST"},
	    {TALLY_METHOD_PUT, "PUT"},         {TALLY_METHOD_DELETE, "DELETE"},
	    {TALLY_METHOD_CONNECT, "CONNECT"}, {TALLY_METHOD_OPTIONS, "OPTIONS"},
	    {TALLY_METHOD_TRACE, "TRACE"},     {TALLY_METHOD_PATCH, "PATCH"},
	    {TALLY_METHOD_COUNT, "_OTHER"},    {255, "_OTHER"},
	};

	(void)state;
	assert_int_equal(COUNT(cases), TALLY_METHOD_COUNT + 2);
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct tally_series_key key = {.method = cases[i].method};
		struct snapshot snapshot;
		struct label_set set;

		snapshot_init(&snapshot, 0);
		set = requests_labels(&snapshot, &few_names, &key);
		check_label(&set, "http_request_method", cases[i].wanted);
		snapshot_free(&snapshot);
	}
}

/* Each array and sum of a row holds numbers that no other one has. */
static const struct tally_series value = {
    .duration = {[0] = 1, [19] = 2},
    .first_byte = {[1] = 3},
    .queue = {[2] = 4},
    .request_size = {[3] = 5},
    .response_size = {[14] = 6},
    .native = {[7] = 7},
    .duration_sum_ns = 1000000001,
    .first_byte_sum_ns = 2000000000,
    .queue_sum_ns = 3500000000,
    .request_bytes = 40,
    .response_bytes = 50,
};

struct wanted_family {
	const char *name;
	size_t bounds;
	size_t bucket;
	uint64_t count;
	double sum;
	bool native;
};

static void check_families(enum requests_role role, const struct wanted_family *wanted,
			   size_t count)
{
	const struct requests_bounds *bounds;
	struct snapshot snapshot;

	snapshot_init(&snapshot, 0);
	bounds = requests_bounds(&snapshot);
	requests_emit(&snapshot, bounds, role, (struct label_set){0}, &value);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	assert_int_equal(snapshot.count, count);
	for (size_t i = 0; i < count; i++) {
		const struct metric *metric = &snapshot.metrics[i];

		assert_string_equal(metric->family->name, wanted[i].name);
		assert_int_equal(metric->family->type, METRIC_HISTOGRAM);
		assert_int_equal(metric->histogram.bound_count, wanted[i].bounds);
		assert_int_equal(metric->histogram.buckets[wanted[i].bucket],
				 wanted[i].count);
		assert_true(metric->histogram.sum == wanted[i].sum);
		assert_ptr_equal(metric->histogram.native,
				 wanted[i].native ? value.native : NULL);
	}
	snapshot_free(&snapshot);
}

static void a_server_row_is_five_histograms(void **state)
{
	static const struct wanted_family wanted[] = {
	    {"http_server_request_duration_seconds", 19, 19, 2, 1.000000001, true},
	    {"http_server_time_to_first_byte_seconds", 19, 1, 3, 2, false},
	    {"http_server_request_queue_seconds", 19, 2, 4, 3.5, false},
	    {"http_server_request_body_size_bytes", 14, 3, 5, 40, false},
	    {"http_server_response_body_size_bytes", 14, 14, 6, 50, false},
	};

	(void)state;
	check_families(REQUESTS_SERVER, wanted, COUNT(wanted));
}

static void a_client_row_has_no_queue(void **state)
{
	static const struct wanted_family wanted[] = {
	    {"http_client_request_duration_seconds", 19, 0, 1, 1.000000001, true},
	    {"http_client_time_to_first_byte_seconds", 19, 1, 3, 2, false},
	    {"http_client_request_body_size_bytes", 14, 3, 5, 40, false},
	    {"http_client_response_body_size_bytes", 14, 14, 6, 50, false},
	};

	(void)state;
	check_families(REQUESTS_CLIENT, wanted, COUNT(wanted));
}

static void durations_have_three_quantiles_of_ten_minutes(void **state)
{
	static const double quantiles[] = {0.5, 0.95, 0.99};
	static const char *const names[REQUESTS_ROLES] = {
	    "http_server_request_duration_quantiles_seconds",
	    "http_client_request_duration_quantiles_seconds",
	};
	struct tally_series row = {.duration_sum_ns = 1500000000};
	struct summaries *summaries;

	(void)state;
	row.native[bucket_index(native_bounds_ns, NATIVE_BUCKETS - 1, 50000000)] = 3;
	assert_int_equal(summaries_create(0, &summaries), 0);
	for (int64_t now_ms = 0; now_ms <= 615000; now_ms += 15000) {
		struct snapshot snapshot;

		snapshot_init(&snapshot, 0);
		summaries_begin(summaries, &snapshot, now_ms);
		requests_summarize(summaries, REQUESTS_CLIENT, (struct label_set){0},
				   &row);
		requests_summarize(summaries, REQUESTS_SERVER, (struct label_set){0},
				   &row);
		summaries_end(summaries);
		assert_int_equal(snapshot_finish(&snapshot), 0);
		assert_int_equal(snapshot.count, REQUESTS_ROLES);
		for (size_t role = 0; role < REQUESTS_ROLES; role++) {
			const struct summary *summary = &snapshot.metrics[role].summary;

			assert_string_equal(snapshot.metrics[role].family->name,
					    names[role]);
			assert_int_equal(summary->observations, 3);
			assert_true(summary->sum == 1.5);
			assert_int_equal(summary->count, COUNT(quantiles));
			for (size_t i = 0; i < COUNT(quantiles); i++) {
				assert_true(summary->quantiles[i] == quantiles[i]);
				if (now_ms <= 600000)
					assert_true(fabs(summary->values[i] / 0.05 -
							 1) < 0.045);
				else
					assert_true(isnan(summary->values[i]));
			}
		}
		snapshot_free(&snapshot);
	}
	summaries_free(&summaries);
}

static void bounds_are_those_of_the_kernel_in_base_units(void **state)
{
	const struct histogram *histogram;
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	requests_emit(&snapshot, requests_bounds(&snapshot), REQUESTS_SERVER,
		      (struct label_set){0}, &value);
	snapshot_finish(&snapshot);
	histogram = &snapshot.metrics[0].histogram;
	for (size_t i = 0; i < DURATION_BOUNDS; i++)
		assert_true(histogram->bounds[i] ==
			    (double)duration_bounds_ns[i] / 1e9);
	histogram = &snapshot.metrics[3].histogram;
	for (size_t i = 0; i < SIZE_BOUNDS; i++)
		assert_true(histogram->bounds[i] == (double)size_bounds[i]);
	snapshot_free(&snapshot);
}

static void gauges_are_of_their_role(void **state)
{
	static const double wanted[] = {1, 3, 2, 4};
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	requests_emit_gauges(&snapshot, REQUESTS_CLIENT, (struct label_set){0}, 3, 4);
	requests_emit_gauges(&snapshot, REQUESTS_SERVER, (struct label_set){0}, 1, 2);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	assert_string_equal(snapshot.metrics[0].family->name,
			    "http_server_active_requests");
	assert_string_equal(snapshot.metrics[1].family->name,
			    "http_client_active_requests");
	assert_string_equal(snapshot.metrics[2].family->name,
			    "http_server_open_connections");
	assert_string_equal(snapshot.metrics[3].family->name,
			    "http_client_open_connections");
	for (int i = 0; i < 4; i++)
		assert_true(snapshot.metrics[i].value == wanted[i]);
	snapshot_free(&snapshot);
}

static void without_memory_there_are_no_bounds(void **state)
{
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	assert_null(snapshot_alloc(&snapshot, SIZE_MAX));
	assert_null(requests_bounds(&snapshot));
	snapshot_free(&snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_labels_are_there),
	    cmocka_unit_test(what_is_not_known_has_no_label),
	    cmocka_unit_test(an_error_is_one_by_status_end_and_close),
	    cmocka_unit_test(methods_have_their_names),
	    cmocka_unit_test(a_server_row_is_five_histograms),
	    cmocka_unit_test(a_client_row_has_no_queue),
	    cmocka_unit_test(durations_have_three_quantiles_of_ten_minutes),
	    cmocka_unit_test(bounds_are_those_of_the_kernel_in_base_units),
	    cmocka_unit_test(gauges_are_of_their_role),
	    cmocka_unit_test(without_memory_there_are_no_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
