/* SPDX-License-Identifier: Apache-2.0 */
/* An object of three programs, one of them not loaded, in libbpf's and the kernel's
 * place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

#include "objects.h"

struct bpf_program {
	const char *name;
	int fd;
	struct bpf_prog_info info;
};

static struct bpf_program programs[] = {
    {"first",
     7,
     {.run_cnt = 10, .run_time_ns = 500, .recursion_misses = 3, .verified_insns = 99}},
    {"left_out", -1, {.run_cnt = 1}},
    {"last", 8, {.verified_insns = 5}},
};

#define PROGRAMS (sizeof(programs) / sizeof(programs[0]))

struct bpf_program *bpf_object__next_program(const struct bpf_object *object,
					     struct bpf_program *program)
{
	(void)object;
	if (!program)
		return programs;
	return program == &programs[PROGRAMS - 1] ? NULL : program + 1;
}

const char *bpf_program__name(const struct bpf_program *program)
{
	return program->name;
}

int bpf_program__fd(const struct bpf_program *program)
{
	return program->fd;
}

int bpf_obj_get_info_by_fd(int fd, void *info, __u32 *info_len)
{
	for (size_t i = 0; i < PROGRAMS; i++)
		if (programs[i].fd == fd)
			memcpy(info, &programs[i].info, *info_len);
	return 0;
}

struct seen {
	size_t count;
	struct objects_program programs[PROGRAMS];
};

static void see(void *context, const struct objects_program *program)
{
	struct seen *seen = context;

	seen->programs[seen->count++] = *program;
}

static void programs_that_are_loaded_are_visited(void **state)
{
	struct seen seen = {};

	(void)state;
	objects_each_program(NULL, see, &seen);
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.programs[0].name, "first");
	assert_int_equal(seen.programs[0].runs, 10);
	assert_int_equal(seen.programs[0].run_ns, 500);
	assert_int_equal(seen.programs[0].skipped, 3);
	assert_int_equal(seen.programs[0].verified_instructions, 99);
	assert_string_equal(seen.programs[1].name, "last");
	assert_int_equal(seen.programs[1].runs, 0);
	assert_int_equal(seen.programs[1].verified_instructions, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(programs_that_are_loaded_are_visited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
