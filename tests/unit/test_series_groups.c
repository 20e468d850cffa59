/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "series_case.h"
#include "series_groups.h"

static void a_row_is_shown_in_every_family_of_its_end(void **state)
{
	static const char *const families[] = {
	    "request_duration_seconds", "time_to_first_byte_seconds",
	    "request_queue_seconds",    "request_body_size_bytes",
	    "response_body_size_bytes",
	};
	const struct tally_address address = {AF_INET, 4, {127, 0, 0, 1}};
	struct tally_series_key key = server_key(1);
	struct scene *scene = *state;

	key.status = 503;
	key.port = 8080;
	key.method = TALLY_METHOD_POST;
	key.route = 77;
	key.address = 99;
	put_route(77, 1, "/cart/*");
	put_address(99, &address);
	count(&key, 3);
	collect_well(scene, NOW);
	for (size_t i = 0; i < COUNT(families); i++) {
		char line[512];

		snprintf(
		    line, sizeof(line),
		    "http_server_%s_count{error_type=\"503\","
		    "http_request_method=\"POST\",http_response_status_code=\"503\","
		    "http_route=\"/cart/*\",server_address=\"127.0.0.1\","
		    "server_port=\"8080\"," WEB ",url_scheme=\"http\"} 3",
		    families[i]);
		check_line(scene, line);
	}
	check_absent(scene, "http_client_");
}

static void a_client_has_its_own_families(void **state)
{
	struct scene *scene = *state;
	struct tally_series_key key = server_key(2);

	key.role = TALLY_ROLE_CLIENT;
	count(&key, 2);
	collect_well(scene, NOW);
	check_line(scene,
		   "http_client_request_duration_seconds_count{"
		   "http_request_method=\"GET\",http_response_status_code=\"200\","
		   "service_name=\"db\",url_scheme=\"http\"} 2");
	check_absent(scene, "http_server_");
	check_absent(scene, "queue");
}

static void nothing_seen_is_nothing_shown(void **state)
{
	struct scene *scene = *state;

	collect_well(scene, NOW);
	check_absent(scene, "http_");
	check_absent(scene, "target_info");
	check_line(scene, "bpftally_services 0");
	check_line(scene, "bpftally_series 0");
	check_line(scene, "bpftally_series_limit 64");
}

static void rows_with_the_same_labels_are_added(void **state)
{
	const struct tally_address v4 = {AF_INET, 4, {127, 0, 0, 1}};
	const struct tally_address mapped = {
	    AF_INET6, 16, {[10] = 255, [11] = 255, [12] = 127, [15] = 1}};
	struct tally_series_key key = server_key(1);
	struct scene *scene = *state;

	put_address(5, &v4);
	put_address(6, &mapped);
	key.address = 5;
	count(&key, 3);
	key.address = 6;
	count(&key, 4);
	collect_well(scene, NOW);
	check_line(scene,
		   "http_server_request_duration_seconds_count{"
		   "http_request_method=\"GET\",http_response_status_code=\"200\","
		   "server_address=\"127.0.0.1\"," WEB ",url_scheme=\"http\"} 7");
	check_line(scene,
		   "http_server_request_duration_seconds_sum{"
		   "http_request_method=\"GET\",http_response_status_code=\"200\","
		   "server_address=\"127.0.0.1\"," WEB ",url_scheme=\"http\"} 0.007");
	check_line(scene, "bpftally_series 2");
}

static void the_two_ends_are_apart_with_the_same_labels(void **state)
{
	struct tally_series_key key = server_key(2);
	struct scene *scene = *state;

	count(&key, 3);
	key.role = TALLY_ROLE_CLIENT;
	count(&key, 4);
	collect_well(scene, NOW);
	check_plain(scene, "service_name=\"db\"", 3);
	check_line(scene,
		   "http_client_request_duration_seconds_count{"
		   "http_request_method=\"GET\",http_response_status_code=\"200\","
		   "service_name=\"db\",url_scheme=\"http\"} 4");
}

static void the_rows_of_what_found_no_room_are_shown_when_used(void **state)
{
	const struct tally_series empty = {0};
	struct tally_series_key key = {
	    .service = TALLY_SERVICE_OTHER,
	    .route = TALLY_ROUTE_OTHER,
	    .protocol = TALLY_PROTOCOL_HTTP1,
	    .role = TALLY_ROLE_CLIENT,
	};
	struct scene *scene = *state;

	fake_series_put(FAKE_FD + PROBES_SERIES, &key, &empty);
	collect_well(scene, NOW);
	check_absent(scene, "\"other\"");
	check_line(scene, "bpftally_services 0");
	count(&key, 5);
	collect_well(scene, NOW + 10 * SERIES_SETTLE_MS);
	check_line(scene, "http_client_request_duration_seconds_count{"
			  "http_request_method=\"_OTHER\",http_route=\"other\","
			  "service_name=\"other\",url_scheme=\"http\"} 5");
	assert_int_equal(kernel_rows(), 1);
}

static void connections_are_added_up_by_service_and_end(void **state)
{
	static const struct tally_connections_record connections[] = {
	    {{.service = 1, .role = TALLY_ROLE_SERVER}, {40, 2}},
	    {{.service = 1, .role = TALLY_ROLE_SERVER}, {1, 3}},
	    {{.service = PROVISIONAL(1), .role = TALLY_ROLE_SERVER}, {2, 1}},
	    {{.service = 1, .role = TALLY_ROLE_CLIENT}, {5000000000, 5}},
	    {{.service = 1, .role = TALLY_ROLE_UNKNOWN}, {9, 9}},
	    {{.service = PROVISIONAL(9), .role = TALLY_ROLE_SERVER}, {9, 9}},
	    {{.service = PROVISIONAL(2), .role = TALLY_ROLE_SERVER}, {9, 9}},
	};
	struct scene *scene = *state;

	name_alias(scene, PROVISIONAL(1), 1, NOW);
	name_alias(scene, PROVISIONAL(2), IGNORED, NOW);
	memcpy(scene->probes.connections, connections, sizeof(connections));
	scene->probes.connection_count = COUNT(connections);
	count_plain(2, 1);
	collect_well(scene, NOW);
	check_line(scene, "http_server_active_requests{" WEB "} 6");
	check_line(scene, "http_server_open_connections{" WEB "} 43");
	check_line(scene, "http_client_active_requests{" WEB "} 5");
	check_line(scene, "http_client_open_connections{" WEB "} 5000000000");
	check_line(scene, "http_server_active_requests{service_name=\"db\"} 0");
	check_line(scene, "http_server_open_connections{service_name=\"db\"} 0");
	check_absent(scene, "http_client_active_requests{service_name=\"db\"}");
	check_line(scene, "bpftally_services 2");
}

static void without_the_iterator_there_are_no_gauges(void **state)
{
	struct scene *scene = *state;

	count_plain(1, 3);
	scene->probes.connection_err = -EIO;
	collect(scene, NOW);
	assert_int_equal(scene->err, -EIO);
	check_plain(scene, WEB, 3);
	check_absent(scene, "active_requests");
	check_absent(scene, "open_connections");
}

static void each_named_service_has_a_target_info(void **state)
{
	struct scene *scene = *state;
	struct utsname system;
	char line[512];

	uname(&system);
	count_plain(1, 1);
	count_plain(TALLY_SERVICE_OTHER, 1);
	collect_well(scene, NOW);
	snprintf(line, sizeof(line),
		 "target_info{host_name=\"%s\",os_type=\"linux\"," WEB
		 ",telemetry_distro_name=\"bpftally\","
		 "telemetry_distro_version=\"" BPFTALLY_VERSION "\"} 1",
		 system.nodename);
	check_line(scene, line);
	check_plain(scene, "service_name=\"other\"", 1);
	assert_null(strstr(strstr(scene->text.data, "target_info") + 1, "target_info"));
	assert_true(!strncmp(scene->text.data, "# TYPE target info\n", 19));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_row_is_shown_in_every_family_of_its_end),
	    TEST(a_client_has_its_own_families),
	    TEST(nothing_seen_is_nothing_shown),
	    TEST(rows_with_the_same_labels_are_added),
	    TEST(the_two_ends_are_apart_with_the_same_labels),
	    TEST(the_rows_of_what_found_no_room_are_shown_when_used),
	    TEST(connections_are_added_up_by_service_and_end),
	    TEST(without_the_iterator_there_are_no_gauges),
	    TEST(each_named_service_has_a_target_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
