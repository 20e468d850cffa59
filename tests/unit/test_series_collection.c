/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "series_case.h"
#include "series_collection.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_map_that_cannot_be_read_is_an_error),
	    TEST(without_memory_the_error_is_the_snapshots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
