/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "build_info.h"

static void the_build_is_an_info(void **state)
{
	struct snapshot snapshot;
	const struct label *labels;

	(void)state;
	snapshot_init(&snapshot, 0);
	build_info_collect(&snapshot);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	assert_int_equal(snapshot.count, 1);
	assert_string_equal(snapshot.metrics[0].family->name, "bpftally_build");
	assert_int_equal(snapshot.metrics[0].family->type, METRIC_INFO);
	assert_true(snapshot.metrics[0].value == 1);
	assert_int_equal(snapshot.metrics[0].labels.count, 3);
	labels = snapshot.metrics[0].labels.labels;
	assert_string_equal(labels[0].name, "arch");
	assert_string_equal(labels[1].name, "compiler");
	assert_string_equal(labels[2].name, "version");
	assert_string_equal(labels[2].value, BPFTALLY_VERSION);
	snapshot_free(&snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_build_is_an_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
