/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_bpf.h"
#include "fake_proc.h"
#include "function_abi.h"
#include "goroutines.h"

#define CALLS 300u

static char proc[FAKE_ROOT_LEN];

static int set_up(void **state)
{
	(void)state;
	fake_proc_create(proc);
	fake_map_make(0, sizeof(struct tally_goroutine_key),
		      sizeof(struct tally_function_frame), CALLS);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_maps_free();
	fake_proc_remove(proc);
	return 0;
}

static void put_calls(uint32_t pid, unsigned int count)
{
	const struct tally_function_frame frame = {};

	for (unsigned int i = 0; i < count; i++) {
		const struct tally_goroutine_key key = {.pid = pid, .g = i};

		assert_int_equal(bpf_map_update_elem(FAKE_FD, &key, &frame, BPF_ANY),
				 0);
	}
}

static void calls_of_processes_that_are_no_more_are_taken_out(void **state)
{
	const struct fake_process alive = {.comm = "shop"};
	const struct fake_process dead = {.comm = "shop", .state = 'Z'};
	uint64_t taken = 9;

	(void)state;
	fake_proc_add(proc, 7, &alive);
	fake_proc_add(proc, 7 + 64, &dead);
	put_calls(7, 100);
	put_calls(7 + 64, 90);
	put_calls(7 + 128, 80);
	assert_int_equal(goroutines_sweep(FAKE_FD, proc, &taken), 0);
	assert_int_equal(taken, 90 + 80);
	assert_int_equal(fake_maps[0].count, 100);
	assert_int_equal(goroutines_sweep(FAKE_FD, proc, &taken), 0);
	assert_int_equal(taken, 0);
	fake_proc_end(proc, 7);
	assert_int_equal(goroutines_sweep(FAKE_FD, proc, &taken), 0);
	assert_int_equal(taken, 100);
	assert_int_equal(fake_maps[0].count, 0);
}

static void a_map_that_cannot_be_read_is_an_error(void **state)
{
	uint64_t taken = 9;

	(void)state;
	put_calls(7, 1);
	fake_maps[0].batch_err = -EPERM;
	assert_int_equal(goroutines_sweep(FAKE_FD, proc, &taken), -EPERM);
	assert_int_equal(taken, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		calls_of_processes_that_are_no_more_are_taken_out, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_map_that_cannot_be_read_is_an_error,
					    set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
