/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "series_case.h"
#include "series_retired.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_settled_alias_leaves_the_kernel_and_stays_in_the_count),
	    TEST(a_retired_row_keeps_its_texts),
	    TEST(what_is_counted_while_a_row_is_taken_is_kept),
	    TEST(without_room_for_retired_rows_they_stay_in_the_kernel),
	    TEST(a_row_that_cannot_be_taken_is_shown_where_it_is),
	    TEST(a_row_whose_address_cannot_be_read_is_not_retired),
	    TEST(what_is_not_selected_is_not_shown_and_deleted_when_settled),
	    TEST(requests_of_whom_nobody_judged_are_counted_when_dropped),
	    TEST(requests_that_cannot_be_dropped_are_counted_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
