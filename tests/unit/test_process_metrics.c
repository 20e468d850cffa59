/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "process_metrics.h"

#define START_MS 1700000000000

static const struct process_numbers all = {
    .cpu_s = 1,
    .since_s = 1700000100.25,
    .start_s = 1700000100.25,
    .has_cpu = true,
    .has_network = true,
    .has_memory = true,
    .has_threads = true,
    .has_open_fds = true,
    .has_max_fds = true,
};

static struct snapshot emitted(const struct process_owner *owner,
			       const struct process_numbers *numbers)
{
	struct snapshot snapshot;

	snapshot_init(&snapshot, 0);
	snapshot.start_ms = START_MS;
	process_metrics_emit(&snapshot, owner, numbers);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	return snapshot;
}

static void what_is_not_known_is_left_out(void **state)
{
	const struct process_owner owner = {"web", "", 7};
	const struct process_numbers nothing = {0};
	struct snapshot snapshot = emitted(&owner, &nothing);

	(void)state;
	assert_int_equal(snapshot.count, 0);
	snapshot_free(&snapshot);
	snapshot = emitted(&owner, &all);
	assert_int_equal(snapshot.count, 9);
	snapshot_free(&snapshot);
}

static void a_sum_has_no_pid(void **state)
{
	struct process_owner owner = {"web", "eu", 0};
	struct snapshot snapshot = emitted(&owner, &all);

	(void)state;
	for (size_t i = 0; i < snapshot.count; i++)
		assert_string_equal(snapshot.metrics[i].labels.labels[0].name,
				    "service_name");
	snapshot_free(&snapshot);
	owner.pid = UINT32_MAX;
	snapshot = emitted(&owner, &all);
	assert_string_equal(snapshot.metrics[0].labels.labels[0].name, "pid");
	assert_string_equal(snapshot.metrics[0].labels.labels[0].value, "4294967295");
	snapshot_free(&snapshot);
}

static int64_t start_of(const struct snapshot *snapshot, const char *name)
{
	for (size_t i = 0; i < snapshot->count; i++)
		if (!strcmp(snapshot->metrics[i].family->name, name))
			return snapshot->metrics[i].start_ms;
	return -1;
}

/* Processor time since the process runs, bytes since both do. */
static void counters_say_since_when(void **state)
{
	static const struct {
		double since_s;
		int64_t cpu_ms, bytes_ms;
	} cases[] = {
	    {1700000100.25, 1700000100250, 1700000100250},
	    {1600000000.5, 1600000000500, START_MS},
	    {0, 0, 0},
	};
	const struct process_owner owner = {"web", "", 7};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct process_numbers numbers = all;
		struct snapshot snapshot;

		numbers.since_s = cases[i].since_s;
		snapshot = emitted(&owner, &numbers);
		assert_int_equal(start_of(&snapshot, "process_cpu_seconds"),
				 cases[i].cpu_ms);
		assert_int_equal(start_of(&snapshot, "process_network_receive_bytes"),
				 cases[i].bytes_ms);
		assert_int_equal(start_of(&snapshot, "process_network_transmit_bytes"),
				 cases[i].bytes_ms);
		snapshot_free(&snapshot);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_not_known_is_left_out),
	    cmocka_unit_test(a_sum_has_no_pid),
	    cmocka_unit_test(counters_say_since_when),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
