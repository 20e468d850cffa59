/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "series_case.h"
#include "series_owners.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_alias_counts_for_its_service),
	    TEST(an_id_that_a_process_has_is_not_settled),
	    TEST(an_alias_without_rows_is_dropped_when_settled),
	    TEST(an_alias_is_kept_while_a_connection_has_it),
	    TEST(a_row_waits_for_its_name),
	    TEST(the_wait_begins_with_the_first_row),
	    TEST(without_a_name_for_5_s_it_is_unknown_and_stays_it),
	    TEST(a_process_that_died_without_a_name_leaves_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
