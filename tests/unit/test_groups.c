/* SPDX-License-Identifier: Apache-2.0 */
/* What series.c hands over, as the lines that a scraper would get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "groups.h"
#include "length.h"
#include "text.h"

#define WEB "service_name=\"web\",service_namespace=\"eu\""

static const char *node_name = "host";

/* Wins over the C library's. */
int uname(struct utsname *name)
{
	*name = (struct utsname){0};
	snprintf(name->nodename, sizeof(name->nodename), "%s", node_name);
	return 0;
}

struct scene {
	struct snapshot snapshot;
	struct groups *groups;
	struct buf text; /* NUL terminated */
};

static const struct requests_names web = {"web", "eu", "/", "10.0.0.1"};
static const struct requests_names other = {"other", "", "other", ""};

static int open_scene(void **state)
{
	static struct scene scene;

	node_name = "host";
	snapshot_init(&scene.snapshot, 0);
	scene.text = (struct buf)BUF_INIT((size_t)1 << 20);
	scene.groups = groups_create(&scene.snapshot, 4711);
	assert_non_null(scene.groups);
	*state = &scene;
	return 0;
}

static int close_scene(void **state)
{
	struct scene *scene = *state;

	snapshot_free(&scene->snapshot);
	buf_free(&scene->text);
	return 0;
}

/* `requests` of 1 ns and 2 bytes each. */
static void add(struct scene *scene, const struct requests_names *names, bool is_target,
		uint8_t role, uint64_t requests)
{
	const struct tally_series_key key = {
	    .role = role, .method = TALLY_METHOD_GET, .status = 200, .port = 80};
	struct tally_series *value = snapshot_alloc(&scene->snapshot, sizeof(*value));

	value->duration[0] = requests;
	value->native[0] = requests;
	value->duration_sum_ns = requests;
	value->request_size[1] = requests;
	value->request_bytes = 2 * requests;
	groups_add(scene->groups, names, is_target, &key, value);
}

static void connect_to(struct scene *scene, const struct requests_names *names,
		       uint8_t role, uint64_t open, uint64_t in_flight)
{
	const struct tally_connections sum = {.open = open, .in_flight = in_flight};

	groups_add_connections(scene->groups, names, true, role, &sum);
}

static void emit(struct scene *scene, bool are_connections_known)
{
	groups_emit(scene->groups, are_connections_known);
	assert_int_equal(snapshot_finish(&scene->snapshot), 0);
	text_write(&scene->text, &scene->snapshot, TEXT_PROMETHEUS_0_0_4);
	buf_append(&scene->text, "", 1);
	assert_int_equal(scene->text.error, 0);
}

static bool has_line(const struct scene *scene, const char *line)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	return strstr(scene->text.data, whole);
}

static void check_line(const struct scene *scene, const char *line)
{
	if (!has_line(scene, line))
		fail_msg("no line '%s' in\n%s", line, scene->text.data);
}

static void check_absent(const struct scene *scene, const char *text)
{
	if (strstr(scene->text.data, text))
		fail_msg("'%s' is in\n%s", text, scene->text.data);
}

#define REQUEST                                                                        \
	"http_request_method=\"GET\",http_response_status_code=\"200\",http_route=\"/" \
	"\",server_address=\"10.0.0.1\",server_port=\"80\"," WEB                       \
	",url_scheme=\"http\""

static void equal_labels_are_added_and_the_two_ends_kept_apart(void **state)
{
	struct scene *scene = *state;

	add(scene, &web, true, TALLY_ROLE_SERVER, 3);
	add(scene, &web, true, TALLY_ROLE_SERVER, 4);
	add(scene, &web, true, TALLY_ROLE_CLIENT, 5);
	emit(scene, true);
	check_line(scene, "http_server_request_duration_seconds_count{" REQUEST "} 7");
	check_line(scene, "http_client_request_duration_seconds_count{" REQUEST "} 5");
	check_line(scene, "http_server_request_body_size_bytes_sum{" REQUEST "} 14");
}

static void a_service_is_one_whatever_its_labels_and_ends(void **state)
{
	struct requests_names route = web;
	struct scene *scene = *state;

	route.route = "/a";
	add(scene, &web, true, TALLY_ROLE_SERVER, 1);
	add(scene, &route, true, TALLY_ROLE_SERVER, 1);
	connect_to(scene, &web, TALLY_ROLE_CLIENT, 1, 0);
	emit(scene, true);
	check_line(scene, "bpftally_services 1");
	check_line(scene,
		   "target_info{host_name=\"host\",os_type=\"linux\"," WEB
		   ",telemetry_distro_name=\"bpftally\",telemetry_distro_version=\"" //
		   BPFTALLY_VERSION "\"} 1");
}

static void what_is_no_service_has_metrics_but_is_no_target(void **state)
{
	struct scene *scene = *state;

	add(scene, &other, false, TALLY_ROLE_SERVER, 1);
	emit(scene, true);
	check_line(scene, "bpftally_services 1");
	check_line(scene, "http_server_active_requests{service_name=\"other\"} 0");
	check_absent(scene, "target_info{");
}

static void gauges_are_of_the_ends_that_were_seen(void **state)
{
	struct scene *scene = *state;

	add(scene, &web, true, TALLY_ROLE_SERVER, 1);
	connect_to(scene, &web, TALLY_ROLE_SERVER, 9, 2);
	connect_to(scene, &web, TALLY_ROLE_SERVER, 1, 3);
	connect_to(scene, &web, TALLY_ROLE_UNKNOWN, 7, 7);
	emit(scene, true);
	check_line(scene, "http_server_active_requests{" WEB "} 5");
	check_line(scene, "http_server_open_connections{" WEB "} 10");
	check_absent(scene, "http_client_");
}

static void a_connection_is_enough_for_a_service(void **state)
{
	struct scene *scene = *state;

	connect_to(scene, &web, TALLY_ROLE_CLIENT, 1, 1);
	emit(scene, true);
	check_line(scene, "http_client_active_requests{" WEB "} 1");
	check_line(scene, "http_client_open_connections{" WEB "} 1");
	check_line(scene, "bpftally_services 1");
}

static void without_all_connections_there_are_no_gauges(void **state)
{
	struct scene *scene = *state;

	add(scene, &web, true, TALLY_ROLE_SERVER, 1);
	connect_to(scene, &web, TALLY_ROLE_SERVER, 1, 2);
	emit(scene, false);
	check_line(scene, "http_server_request_duration_seconds_count{" REQUEST "} 1");
	check_absent(scene, "http_server_active_requests");
	check_absent(scene, "http_server_open_connections");
}

/* sethostname(2) takes any bytes; one that is not UTF-8 would make a scraper
 * refuse everything. */
static void a_host_name_of_any_bytes_is_a_label(void **state)
{
	struct scene *scene = *state;

	node_name = "caf\xe9\x01-1";
	add(scene, &web, true, TALLY_ROLE_SERVER, 1);
	emit(scene, true);
	check_line(scene,
		   "target_info{host_name=\"caf__-1\",os_type=\"linux\"," WEB
		   ",telemetry_distro_name=\"bpftally\",telemetry_distro_version=\"" //
		   BPFTALLY_VERSION "\"} 1");
}

static void summaries_are_of_what_was_added_up(void **state)
{
	struct scene *scene = *state;
	struct summaries *summaries;

	add(scene, &web, true, TALLY_ROLE_SERVER, 1);
	add(scene, &web, true, TALLY_ROLE_SERVER, 2);
	add(scene, &web, true, TALLY_ROLE_CLIENT, 4);
	add(scene, &other, false, TALLY_ROLE_SERVER, 8);
	assert_int_equal(summaries_create(0, &summaries), 0);
	groups_summarize(scene->groups, summaries, 0);
	emit(scene, true);
	check_line(scene,
		   "http_server_request_duration_quantiles_seconds_count{" REQUEST
		   "} 3");
	check_line(scene, "http_server_request_duration_quantiles_seconds_sum{" REQUEST
			  "} 3e-09");
	check_line(scene, "http_server_request_duration_quantiles_seconds{" REQUEST
			  ",quantile=\"0.99\"} 9.53e-07");
	check_line(scene,
		   "http_client_request_duration_quantiles_seconds_count{" REQUEST
		   "} 4");
	summaries_free(&summaries);
}

static void without_memory_the_snapshot_knows(void **state)
{
	struct scene *scene = *state;

	scene->snapshot.error = -ENOMEM;
	assert_null(groups_create(&scene->snapshot, 0));
	groups_add(scene->groups, &web, true,
		   &(struct tally_series_key){.role = TALLY_ROLE_SERVER},
		   &(struct tally_series){0});
	connect_to(scene, &web, TALLY_ROLE_SERVER, 1, 1);
	groups_emit(scene->groups, true);
	assert_int_equal(snapshot_finish(&scene->snapshot), -ENOMEM);
	assert_int_equal(scene->snapshot.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(equal_labels_are_added_and_the_two_ends_kept_apart),
	    TEST(a_service_is_one_whatever_its_labels_and_ends),
	    TEST(what_is_no_service_has_metrics_but_is_no_target),
	    TEST(gauges_are_of_the_ends_that_were_seen),
	    TEST(a_connection_is_enough_for_a_service),
	    TEST(without_all_connections_there_are_no_gauges),
	    TEST(a_host_name_of_any_bytes_is_a_label),
	    TEST(summaries_are_of_what_was_added_up),
	    TEST(without_memory_the_snapshot_knows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
