/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>

#include "documented.h"
#include "quantile.h"
#include "series_case.h"

/* --- rows --------------------------------------------------------------------- */

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

static void an_address_is_looked_up_once(void **state)
{
	const struct tally_address address = {AF_INET, 4, {10, 0, 0, 1}};
	struct tally_series_key key = server_key(1);
	struct scene *scene = *state;

	put_address(5, &address);
	key.address = 5;
	for (key.status = 200; key.status < 220; key.status++)
		count(&key, 1);
	collect_well(scene, NOW);
	assert_int_equal(fake_maps[PROBES_ADDRESSES].lookups, 1);
}

static void an_address_that_is_not_there_is_no_label(void **state)
{
	struct tally_series_key key = server_key(1);
	struct scene *scene = *state;

	key.address = 1234;
	count(&key, 1);
	collect_well(scene, NOW);
	check_plain(scene, WEB, 1);
}

static void routes_without_a_text_are_other(void **state)
{
	static const uint64_t hashes[] = {TALLY_ROUTE_OTHER, 4711};
	struct tally_series_key key = server_key(1);
	struct scene *scene = *state;

	for (size_t i = 0; i < COUNT(hashes); i++) {
		key.route = hashes[i];
		count(&key, 2);
	}
	collect_well(scene, NOW);
	check_line(scene,
		   "http_server_request_duration_seconds_count{"
		   "http_request_method=\"GET\",http_response_status_code=\"200\","
		   "http_route=\"other\"," WEB ",url_scheme=\"http\"} 4");
}

/* It began before its process was named and ended after. */
static void a_route_is_found_under_the_alias_it_was_put_under(void **state)
{
	struct tally_series_key key = server_key(1);
	struct scene *scene = *state;
	static const char line[] =
	    "http_server_request_duration_seconds_count{"
	    "http_request_method=\"GET\",http_response_status_code=\"200\","
	    "http_route=\"/a\"," WEB ",url_scheme=\"http\"} 1";

	name_alias(scene, PROVISIONAL(1), 1, NOW);
	put_route(77, PROVISIONAL(1), "/a");
	put_route_count(PROVISIONAL(1));
	put_route_count(1);
	key.route = 77;
	count(&key, 1);
	collect_well(scene, NOW);
	check_line(scene, line);
	assert_true(has_route(77, PROVISIONAL(1)));
	assert_true(has_route_count(PROVISIONAL(1)));
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	assert_false(has_route_count(PROVISIONAL(1)));
	assert_true(has_route_count(1));
	assert_int_equal(scene->targets.alias_count, 0);
	assert_false(has_route(77, PROVISIONAL(1)));
	assert_true(has_route(77, 1));
	collect_well(scene, NOW + SERIES_SETTLE_MS + 1);
	check_line(scene, line);
}

/* Many short-lived processes with a path each: the service's share is a bound. */
static void routes_of_aliases_beyond_the_services_share_are_other(void **state)
{
	struct scene *scene = *state;
	const uint32_t more = 3;
	char path[16];

	for (uint32_t i = 0; i < ROUTES_MAX + more; i++) {
		struct tally_series_key key = server_key(PROVISIONAL(i + 1));

		snprintf(path, sizeof(path), "/%u", i);
		key.route = 70 + i;
		name_alias(scene, PROVISIONAL(i + 1), 1, NOW);
		put_route(key.route, PROVISIONAL(i + 1), path);
		count(&key, 1);
	}
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	assert_int_equal(kernel_rows(), 0);
	assert_int_equal(fake_maps[PROBES_ROUTES].count, ROUTES_MAX);
	check_line(scene,
		   "http_server_request_duration_seconds_count{"
		   "http_request_method=\"GET\",http_response_status_code=\"200\","
		   "http_route=\"other\"," WEB ",url_scheme=\"http\"} 3");
}

/* Beyond the share it is other from the start, or the counter of the route would
 * fall when one of two aliases retires before the other. */
static void a_route_beyond_the_share_is_other_before_its_alias_retires(void **state)
{
	static const char line[] =
	    "http_server_request_duration_seconds_count{"
	    "http_request_method=\"GET\",http_response_status_code=\"200\","
	    "http_route=\"other\"," WEB ",url_scheme=\"http\"} 2";
	struct scene *scene = *state;
	char path[16];

	for (uint32_t i = 0; i < ROUTES_MAX; i++) {
		snprintf(path, sizeof(path), "/%u", i);
		put_route(100 + i, 1, path);
	}
	for (uint32_t i = 1; i <= 2; i++) {
		struct tally_series_key key = server_key(PROVISIONAL(i));

		key.route = 77;
		name_alias(scene, PROVISIONAL(i), 1,
			   i == 1 ? NOW : NOW + SERIES_SETTLE_MS - 1);
		put_route(77, PROVISIONAL(i), "/b");
		count(&key, 1);
	}
	collect_well(scene, NOW);
	check_line(scene, line);
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	assert_int_equal(kernel_rows(), 1);
	check_line(scene, line);
	check_absent(scene, "/b");
}

/* Its event was lost and it died before a request of it was over. */
static void routes_of_an_id_without_rows_or_name_go(void **state)
{
	struct scene *scene = *state;

	put_route(77, PROVISIONAL(1), "/a");
	put_route_count(PROVISIONAL(1));
	collect_well(scene, NOW);
	assert_true(has_route(77, PROVISIONAL(1)));
	collect_well(scene, NOW + 5001);
	assert_false(has_route(77, PROVISIONAL(1)));
	assert_false(has_route_count(PROVISIONAL(1)));
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

	bpf_map_update_elem(FAKE_FD + PROBES_SERIES, &key, &empty, 0);
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

/* --- aliases and retirement --------------------------------------------------- */

static void an_alias_counts_for_its_service(void **state)
{
	struct scene *scene = *state;

	name_alias(scene, PROVISIONAL(1), 1, NOW);
	count_plain(PROVISIONAL(1), 2);
	count_plain(1, 3);
	collect_well(scene, NOW);
	check_plain(scene, WEB, 5);
	assert_int_equal(kernel_rows(), 2);
}

static void a_settled_alias_leaves_the_kernel_and_stays_in_the_count(void **state)
{
	struct scene *scene = *state;

	name_alias(scene, PROVISIONAL(1), 1, NOW);
	name_alias(scene, PROVISIONAL(2), 1, NOW);
	count_plain(PROVISIONAL(1), 2);
	count_plain(PROVISIONAL(2), 4);
	collect_well(scene, NOW + SERIES_SETTLE_MS - 1);
	check_plain(scene, WEB, 6);
	assert_int_equal(kernel_rows(), 2);
	assert_int_equal(scene->targets.alias_count, 2);
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	check_plain(scene, WEB, 6);
	assert_int_equal(kernel_rows(), 0);
	assert_int_equal(scene->targets.alias_count, 0);
	count_plain(1, 10);
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	check_plain(scene, WEB, 16);
}

static void a_retired_row_keeps_its_texts(void **state)
{
	const struct tally_address address = {AF_INET, 4, {10, 0, 0, 1}};
	struct tally_series_key key = server_key(PROVISIONAL(1));
	__u64 hash = 99;
	struct scene *scene = *state;
	static const char line[] =
	    "http_server_request_duration_seconds_count{"
	    "http_request_method=\"GET\",http_response_status_code=\"200\","
	    "http_route=\"/a\",server_address=\"10.0.0.1\"," WEB
	    ",url_scheme=\"http\"} 3";

	name_alias(scene, PROVISIONAL(1), 1, NOW);
	key.route = 77;
	key.address = hash;
	put_route(77, PROVISIONAL(1), "/a");
	put_address(hash, &address);
	count(&key, 3);
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	check_line(scene, line);
	bpf_map_delete_elem(FAKE_FD + PROBES_ADDRESSES, &hash);
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	check_line(scene, line);
}

static void count_a_late_one(void)
{
	count_plain(PROVISIONAL(1), 1);
	fake_before_take = NULL;
}

static void what_is_counted_while_a_row_is_taken_is_kept(void **state)
{
	struct scene *scene = *state;

	name_alias(scene, PROVISIONAL(1), 1, NOW);
	count_plain(PROVISIONAL(1), 2);
	fake_before_take = count_a_late_one;
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	check_plain(scene, WEB, 3);
	assert_int_equal(kernel_rows(), 0);
}

/* A forked child has its parent's id until it is named itself. */
static void an_id_that_a_process_has_is_not_settled(void **state)
{
	struct scene *scene = *state;

	name_alias(scene, PROVISIONAL(1), 1, NOW);
	put_process(20, PROVISIONAL(1), 0);
	count_plain(PROVISIONAL(1), 2);
	collect_well(scene, NOW + 100 * SERIES_SETTLE_MS);
	check_plain(scene, WEB, 2);
	assert_int_equal(kernel_rows(), 1);
	assert_int_equal(scene->targets.alias_count, 1);
	assert_true(scene->targets.seen[1]);
	end_process(20);
	collect_well(scene, NOW + 100 * SERIES_SETTLE_MS);
	check_plain(scene, WEB, 2);
	assert_int_equal(kernel_rows(), 0);
	assert_int_equal(scene->targets.alias_count, 0);
	assert_false(scene->targets.seen[1]);
}

static void without_room_for_retired_rows_they_stay_in_the_kernel(void **state)
{
	struct scene *scene = *state;
	struct tally_series_key key = server_key(PROVISIONAL(1));

	series_free(&scene->series);
	assert_int_equal(series_create(1, false, &scene->series), 0);
	name_alias(scene, PROVISIONAL(1), 1, NOW);
	count(&key, 2);
	key.status = 404;
	count(&key, 3);
	for (int i = 0; i < 3; i++) {
		collect_well(scene, NOW + SERIES_SETTLE_MS);
		check_plain(scene, WEB, 2);
		check_line(
		    scene,
		    "http_server_request_duration_seconds_count{"
		    "http_request_method=\"GET\",http_response_status_code=\"404\"," WEB
		    ",url_scheme=\"http\"} 3");
		assert_int_equal(kernel_rows(), 1);
		assert_int_equal(scene->targets.alias_count, 1);
		check_absent(scene, "\"other\"");
	}
}

static void a_row_that_cannot_be_taken_is_shown_where_it_is(void **state)
{
	struct scene *scene = *state;

	name_alias(scene, PROVISIONAL(1), 1, NOW);
	count_plain(PROVISIONAL(1), 2);
	fake_maps[PROBES_SERIES].delete_err = -EPERM;
	collect(scene, NOW + SERIES_SETTLE_MS);
	assert_int_equal(scene->err, -EPERM);
	check_plain(scene, WEB, 2);
	assert_int_equal(kernel_rows(), 1);
	assert_int_equal(scene->targets.alias_count, 1);
}

/* Its labels would be others once it is retired. */
static void a_row_whose_address_cannot_be_read_is_not_retired(void **state)
{
	struct scene *scene = *state;
	struct tally_series_key key = server_key(PROVISIONAL(1));

	key.address = 5;
	name_alias(scene, PROVISIONAL(1), 1, NOW);
	count(&key, 2);
	fake_maps[PROBES_ADDRESSES].lookup_err = -EPERM;
	collect(scene, NOW + SERIES_SETTLE_MS);
	assert_int_equal(scene->err, -EPERM);
	assert_int_equal(kernel_rows(), 1);
}

static void an_alias_without_rows_is_dropped_when_settled(void **state)
{
	struct scene *scene = *state;

	name_alias(scene, PROVISIONAL(1), 1, NOW);
	name_alias(scene, PROVISIONAL(2), IGNORED, NOW);
	collect_well(scene, NOW + SERIES_SETTLE_MS - 1);
	assert_int_equal(scene->targets.alias_count, 2);
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	assert_int_equal(scene->targets.alias_count, 0);
}

static void an_alias_is_kept_while_a_connection_has_it(void **state)
{
	struct scene *scene = *state;

	name_alias(scene, PROVISIONAL(1), 1, NOW);
	scene->probes.connections[0] = (struct tally_connections_record){
	    {.service = PROVISIONAL(1), .role = TALLY_ROLE_SERVER}, {.open = 1}};
	scene->probes.connection_count = 1;
	collect_well(scene, NOW + 10 * SERIES_SETTLE_MS);
	assert_int_equal(scene->targets.alias_count, 1);
	check_line(scene, "http_server_open_connections{" WEB "} 1");
	scene->probes.connection_count = 0;
	collect_well(scene, NOW + 10 * SERIES_SETTLE_MS);
	assert_int_equal(scene->targets.alias_count, 0);
}

/* --- what is not selected, what has no name ------------------------------------ */

static void what_is_not_selected_is_not_shown_and_deleted_when_settled(void **state)
{
	struct scene *scene = *state;

	name_alias(scene, PROVISIONAL(1), IGNORED, NOW);
	put_route(77, PROVISIONAL(1), "/secret");
	count_plain(PROVISIONAL(1), 2);
	put_process(20, PROVISIONAL(1), TALLY_PROCESS_IGNORED);
	collect_well(scene, NOW);
	check_absent(scene, "http_");
	assert_int_equal(kernel_rows(), 1);
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	check_absent(scene, "http_");
	assert_int_equal(kernel_rows(), 0);
	assert_false(has_route(77, PROVISIONAL(1)));
	assert_int_equal(scene->targets.alias_count, 0);
}

static void count_before_take(void)
{
	fake_before_take = NULL;
	count_plain(PROVISIONAL(2), 1);
}

/* To the last request: one may be counted when the rows have been read. */
static void requests_of_whom_nobody_judged_are_counted_when_dropped(void **state)
{
	struct scene *scene = *state;
	struct tally_series_key key = server_key(PROVISIONAL(2));

	name_alias(scene, PROVISIONAL(1), IGNORED, NOW);
	name_alias(scene, PROVISIONAL(2), UNJUDGED, NOW);
	count_plain(PROVISIONAL(1), 100);
	count_plain(PROVISIONAL(2), 5);
	key.error = TALLY_ERROR_CLOSED;
	count(&key, 2);
	put_process(20, PROVISIONAL(2), 0);
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	assert_int_equal(series_unjudged(scene->series), 0);
	assert_int_equal(kernel_rows(), 2);
	end_process(20);
	fake_before_take = count_before_take;
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	check_absent(scene, "http_");
	assert_int_equal(kernel_rows(), 0);
	assert_int_equal(series_unjudged(scene->series), 8);
	assert_int_equal(scene->targets.alias_count, 0);
	collect_well(scene, NOW + 2 * SERIES_SETTLE_MS);
	assert_int_equal(series_unjudged(scene->series), 8);
}

static void requests_that_cannot_be_dropped_are_counted_once(void **state)
{
	struct scene *scene = *state;

	name_alias(scene, PROVISIONAL(1), UNJUDGED, NOW);
	count_plain(PROVISIONAL(1), 5);
	fake_maps[PROBES_SERIES].delete_err = -EPERM;
	collect(scene, NOW + SERIES_SETTLE_MS);
	assert_int_equal(scene->err, -EPERM);
	assert_int_equal(series_unjudged(scene->series), 0);
	fake_maps[PROBES_SERIES].delete_err = 0;
	collect_well(scene, NOW + SERIES_SETTLE_MS);
	assert_int_equal(series_unjudged(scene->series), 5);
}

static void a_row_waits_for_its_name(void **state)
{
	struct scene *scene = *state;

	put_process(20, PROVISIONAL(1), 0);
	count_plain(PROVISIONAL(1), 2);
	collect_well(scene, NOW);
	collect_well(scene, NOW + 5000);
	check_absent(scene, "http_");
	name_alias(scene, PROVISIONAL(1), 1, NOW + 5001);
	collect_well(scene, NOW + 5001);
	check_plain(scene, WEB, 2);
	check_absent(scene, "unknown");
}

static void the_wait_begins_with_the_first_row(void **state)
{
	struct scene *scene = *state;

	put_process(20, PROVISIONAL(1), 0);
	collect_well(scene, NOW);
	count_plain(PROVISIONAL(1), 2);
	collect_well(scene, NOW + 6000);
	check_absent(scene, "http_");
	collect_well(scene, NOW + 11001);
	check_plain(scene, "service_name=\"unknown\"", 2);
}

static void without_a_name_for_5_s_it_is_unknown_and_stays_it(void **state)
{
	struct scene *scene = *state;

	put_process(20, PROVISIONAL(1), 0);
	count_plain(PROVISIONAL(1), 2);
	collect_well(scene, NOW);
	collect_well(scene, NOW + 5001);
	check_plain(scene, "service_name=\"unknown\"", 2);
	name_alias(scene, PROVISIONAL(1), 1, NOW + 6000);
	put_process(20, 1, 0);
	count_plain(1, 3);
	collect_well(scene, NOW + 6001);
	check_plain(scene, "service_name=\"unknown\"", 2);
	check_plain(scene, WEB, 3);
	collect_well(scene, NOW + 20000);
	assert_int_equal(kernel_rows(), 1);
	assert_int_equal(scene->targets.alias_count, 0);
	collect_well(scene, NOW + 20001);
	check_plain(scene, "service_name=\"unknown\"", 2);
	check_plain(scene, WEB, 3);
	check_absent(scene, "target_info{service_name=\"unknown\"");
}

static void a_process_that_died_without_a_name_leaves_the_kernel(void **state)
{
	struct scene *scene = *state;

	count_plain(PROVISIONAL(1), 2);
	put_route(77, PROVISIONAL(1), "/a");
	collect_well(scene, NOW);
	assert_int_equal(kernel_rows(), 1);
	for (int i = 0; i < 2; i++) {
		collect_well(scene, NOW + 5001);
		check_plain(scene, "service_name=\"unknown\"", 2);
		assert_int_equal(kernel_rows(), 0);
		assert_false(has_route(77, PROVISIONAL(1)));
	}
}

/* --- expiry ------------------------------------------------------------------- */

static void an_expired_service_goes_with_everything(void **state)
{
	struct scene *scene = *state;

	name_alias(scene, PROVISIONAL(1), 1, NOW - 10 * SERIES_SETTLE_MS);
	name_alias(scene, PROVISIONAL(2), 1, NOW);
	count_plain(PROVISIONAL(1), 1);
	count_plain(PROVISIONAL(2), 2);
	count_plain(1, 4);
	count_plain(2, 8);
	put_route(77, 1, "/a");
	put_route_count(1);
	put_route_count(2);
	put_route(78, PROVISIONAL(2), "/b");
	put_route(79, 2, "/c");
	collect_well(scene, NOW);
	check_plain(scene, WEB, 7);
	assert_int_equal(kernel_rows(), 3);
	scene->targets.expired = 1;
	collect_well(scene, NOW);
	check_absent(scene, "web");
	check_plain(scene, "service_name=\"db\"", 8);
	assert_int_equal(scene->targets.expired, 0);
	assert_int_equal(scene->targets.alias_count, 0);
	assert_int_equal(kernel_rows(), 1);
	assert_false(has_route(77, 1));
	assert_false(has_route_count(1));
	assert_true(has_route_count(2));
	assert_false(has_route(78, PROVISIONAL(2)));
	assert_true(has_route(79, 2));
	scene->targets.services[0] =
	    (struct service){.id = 1, .name = "web", .name_space = "eu"};
	collect_well(scene, NOW); /* nothing of it was kept */
	check_absent(scene, "web");
}

static void a_service_whose_rows_cannot_be_deleted_is_not_dropped(void **state)
{
	struct scene *scene = *state;

	count_plain(1, 4);
	scene->targets.expired = 1;
	fake_maps[PROBES_SERIES].delete_err = -EPERM;
	collect(scene, NOW);
	assert_int_equal(scene->err, -EPERM);
	assert_int_equal(scene->targets.expired, 1);
	check_plain(scene, WEB, 4);
}

/* --- gauges and infos ---------------------------------------------------------- */

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

/* --- failures ------------------------------------------------------------------ */

static void a_map_that_cannot_be_read_is_an_error(void **state)
{
	static const enum probes_map maps[] = {PROBES_SERIES, PROBES_ROUTES,
					       PROBES_PROCESSES};
	struct scene *scene = *state;

	count_plain(1, 3);
	for (size_t i = 0; i < COUNT(maps); i++) {
		fake_maps[maps[i]].batch_err = -EPERM;
		collect(scene, NOW);
		assert_int_equal(scene->err, -EPERM);
		fake_maps[maps[i]].batch_err = 0;
	}
	collect_well(scene, NOW);
	check_plain(scene, WEB, 3);
}

static void without_memory_the_error_is_the_snapshots(void **state)
{
	struct scene *scene = *state;
	struct snapshot snapshot;

	name_alias(scene, PROVISIONAL(1), 1, NOW);
	count_plain(PROVISIONAL(1), 3);
	snapshot_init(&snapshot, 0);
	assert_null(snapshot_alloc(&snapshot, SIZE_MAX));
	assert_int_equal(series_collect(scene->series, &scene->probes, &scene->targets,
					NOW + SERIES_SETTLE_MS, &snapshot),
			 -ENOMEM);
	snapshot_free(&snapshot);
	assert_int_equal(kernel_rows(), 1);
}

/* --- any history --------------------------------------------------------------- */

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Requests shown in all, and those of each service. */
struct shown {
	uint64_t all, web, db, unknown;
};

static struct shown shown(const struct scene *scene)
{
	static const char family[] = "\nhttp_server_request_duration_seconds_count{";
	struct shown sums = {0};

	for (const char *line = strstr(scene->text.data, family); line;
	     line = strstr(line + 1, family)) {
		const char *end = strchr(line + 1, '\n'), *value = end;
		const char *service = strstr(line, "service_name=\"") + 14;
		uint64_t requests;

		while (value[-1] != ' ')
			value--;
		requests = strtoull(value, NULL, 10);
		sums.all += requests;
		if (!strncmp(service, "web\"", 4))
			sums.web += requests;
		if (!strncmp(service, "db\"", 3))
			sums.db += requests;
		if (!strncmp(service, "unknown\"", 8))
			sums.unknown += requests;
	}
	return sums;
}

struct history {
	uint64_t seed;
	int64_t now_ms;
	uint32_t next_id;
	uint64_t counted;
	struct {
		uint32_t kernel_id; /* what its connections count under */
		uint32_t provisional;
	} processes[16];
};

static void live_a_little(struct scene *scene, struct history *history)
{
	uint32_t pid = (uint32_t)(next_random(&history->seed) % 16);
	uint32_t id = history->processes[pid].kernel_id;
	uint64_t act = next_random(&history->seed) % 8;

	history->now_ms += (int64_t)(next_random(&history->seed) % 400);
	if (!id) {
		id = PROVISIONAL(++history->next_id);
		history->processes[pid].kernel_id = id;
		history->processes[pid].provisional = id;
		put_process(pid + 1, id, 0);
	}
	if (act < 5) {
		count_plain(id, act + 1);
		history->counted += act + 1;
	} else if (act == 5 && id & TALLY_SERVICE_PROVISIONAL &&
		   scene->targets.alias_count < ALIASES) {
		history->processes[pid].kernel_id = pid % 2 + 1;
		name_alias(scene, id, pid % 2 + 1, history->now_ms);
		put_process(pid + 1, pid % 2 + 1, 0);
	} else if (act == 6) {
		/* gone, and its event is handled after it */
		if (id & TALLY_SERVICE_PROVISIONAL && pid % 3)
			name_alias(scene, id, pid % 2 + 1, history->now_ms);
		history->processes[pid].kernel_id = 0;
		end_process(pid + 1);
	}
}

static void in_any_history_no_counter_falls_and_none_is_lost(void **state)
{
	struct history history = {.seed = (uint64_t)time(NULL) | 1, .now_ms = NOW};
	struct scene *scene = *state;
	struct shown last = {0};

	printf("seed %llu\n", (unsigned long long)history.seed);
	for (int i = 0; i < 3000; i++) {
		struct shown now;

		live_a_little(scene, &history);
		if (next_random(&history.seed) % 4)
			continue;
		collect_well(scene, history.now_ms);
		now = shown(scene);
		assert_true(now.all <= history.counted);
		assert_true(now.all >= last.all);
		assert_true(now.web >= last.web);
		assert_true(now.db >= last.db);
		assert_true(now.unknown >= last.unknown);
		last = now;
	}
	/* in the end all has a name, or has been without for long */
	for (uint32_t pid = 0; pid < 16; pid++)
		if (history.processes[pid].kernel_id)
			end_process(pid + 1);
	collect_well(scene, history.now_ms);
	for (int i = 0; i < 2; i++) {
		collect_well(scene, history.now_ms + 10000);
		assert_int_equal(shown(scene).all, history.counted);
	}
	assert_int_equal(scene->targets.alias_count, 0);
	assert_true(kernel_rows() <= 2);
}

/* --- summaries ------------------------------------------------------------------ */

static void summarize(struct scene *scene)
{
	series_free(&scene->series);
	assert_int_equal(series_create(ROWS, true, &scene->series), 0);
}

#define WEB_QUANTILES                                                                  \
	"http_server_request_duration_quantiles_seconds%s{http_request_method="        \
	"\"GET\","                                                                     \
	"http_response_status_code=\"200\"," WEB ",url_scheme=\"http\"%s} %s"

static void check_quantiles(const struct scene *scene, const char *count,
			    const char *median)
{
	char line[512];

	snprintf(line, sizeof(line), WEB_QUANTILES, "_count", "", count);
	check_line(scene, line);
	snprintf(line, sizeof(line), WEB_QUANTILES, "", ",quantile=\"0.5\"", median);
	check_line(scene, line);
}

static void without_the_switch_there_are_no_summaries(void **state)
{
	struct scene *scene = *state;

	count_plain(1, 1);
	collect_well(scene, NOW);
	check_absent(scene, "quantile");
}

/* Row, alias and what retired are one label set: its window goes on when a row moves
 * from the kernel to here, and there is nothing new then. */
static void a_window_outlives_the_rows_of_its_labels(void **state)
{
	const int64_t minute = 60000;
	const uint64_t recent[NATIVE_BUCKETS] = {[80] = 1}; /* as count() has it */
	struct scene *scene = *state;
	char median[32];

	text_number(median, quantile_of(&quantile_durations, recent, 0.5) / 1e9);
	summarize(scene);
	count_plain(1, 2);
	count_plain(PROVISIONAL(1), 3);
	put_process(10, PROVISIONAL(1), 0);
	name_alias(scene, PROVISIONAL(1), 1, NOW);
	collect_well(scene, NOW);
	check_quantiles(scene, "5", median);
	for (int64_t i = 1; i <= 11; i++)
		collect_well(scene, NOW + i * minute);
	check_quantiles(scene, "5", "NaN");
	end_process(10);
	collect_well(scene, NOW + 12 * minute);
	assert_int_equal(kernel_rows(), 1); /* the alias has retired */
	check_quantiles(scene, "5", "NaN");
	count_plain(1, 1);
	collect_well(scene, NOW + 13 * minute);
	check_quantiles(scene, "6", median);
}

/* --- the document -------------------------------------------------------------- */

static void the_document_names_exactly_these_metrics(void **state)
{
	static struct names documented, exposed;
	struct tally_series_key key = server_key(1);
	struct scene *scene = *state;
	struct snapshot snapshot;

	summarize(scene);
	count(&key, 1);
	key.role = TALLY_ROLE_CLIENT;
	count(&key, 1);
	snapshot_init(&snapshot, 0);
	assert_int_equal(series_collect(scene->series, &scene->probes, &scene->targets,
					NOW, &snapshot),
			 0);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	names_of_snapshot(&exposed, &snapshot);
	names_read(&documented, "Requests");
	names_check_same(&documented, &exposed);
	snapshot_free(&snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_row_is_shown_in_every_family_of_its_end),
	    TEST(a_client_has_its_own_families),
	    TEST(nothing_seen_is_nothing_shown),
	    TEST(rows_with_the_same_labels_are_added),
	    TEST(the_two_ends_are_apart_with_the_same_labels),
	    TEST(an_address_is_looked_up_once),
	    TEST(an_address_that_is_not_there_is_no_label),
	    TEST(routes_without_a_text_are_other),
	    TEST(a_route_is_found_under_the_alias_it_was_put_under),
	    TEST(routes_of_aliases_beyond_the_services_share_are_other),
	    TEST(a_route_beyond_the_share_is_other_before_its_alias_retires),
	    TEST(routes_of_an_id_without_rows_or_name_go),
	    TEST(the_rows_of_what_found_no_room_are_shown_when_used),
	    TEST(an_alias_counts_for_its_service),
	    TEST(a_settled_alias_leaves_the_kernel_and_stays_in_the_count),
	    TEST(a_retired_row_keeps_its_texts),
	    TEST(what_is_counted_while_a_row_is_taken_is_kept),
	    TEST(an_id_that_a_process_has_is_not_settled),
	    TEST(without_room_for_retired_rows_they_stay_in_the_kernel),
	    TEST(a_row_that_cannot_be_taken_is_shown_where_it_is),
	    TEST(a_row_whose_address_cannot_be_read_is_not_retired),
	    TEST(an_alias_without_rows_is_dropped_when_settled),
	    TEST(an_alias_is_kept_while_a_connection_has_it),
	    TEST(what_is_not_selected_is_not_shown_and_deleted_when_settled),
	    TEST(requests_of_whom_nobody_judged_are_counted_when_dropped),
	    TEST(requests_that_cannot_be_dropped_are_counted_once),
	    TEST(a_row_waits_for_its_name),
	    TEST(the_wait_begins_with_the_first_row),
	    TEST(without_a_name_for_5_s_it_is_unknown_and_stays_it),
	    TEST(a_process_that_died_without_a_name_leaves_the_kernel),
	    TEST(an_expired_service_goes_with_everything),
	    TEST(a_service_whose_rows_cannot_be_deleted_is_not_dropped),
	    TEST(connections_are_added_up_by_service_and_end),
	    TEST(without_the_iterator_there_are_no_gauges),
	    TEST(each_named_service_has_a_target_info),
	    TEST(a_map_that_cannot_be_read_is_an_error),
	    TEST(without_memory_the_error_is_the_snapshots),
	    TEST(in_any_history_no_counter_falls_and_none_is_lost),
	    TEST(without_the_switch_there_are_no_summaries),
	    TEST(a_window_outlives_the_rows_of_its_labels),
	    TEST(the_document_names_exactly_these_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
