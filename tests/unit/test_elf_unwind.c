/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "elf.h"
#include "workshop.h"

static int set_up(void **state)
{
	char *path = malloc(WORKSHOP_LEN);

	assert_non_null(path);
	workshop_open(path);
	workshop_source(path, "shop.c",
			"int helper(int n) { return n * 2; }\n"
			"int main(int argc, char **argv)\n"
			"{ (void)argv; return helper(argc); }\n");
	workshop_source(path, "throws.cc",
			"int main(int n, char **) { try { if (n > 9) throw n; }\n"
			"catch (int m) { return m; } return 0; }\n");
	*state = path;
	return 0;
}

static int tear_down(void **state)
{
	workshop_close(*state);
	free(*state);
	return 0;
}

static void expect(void **state, const char *build, bool unwinds)
{
	char path[256], error[ELF_ERROR_LEN];
	struct elf *elf = NULL;

	workshop_run(*state, build);
	snprintf(path, sizeof(path), "%s/shop", (char *)*state);
	if (elf_open(path, "", &elf, error))
		fail_msg("%s", error);
	if (elf_unwinds(elf) != unwinds)
		fail_msg("%s: %s", build, unwinds ? "does not" : "does");
	elf_close(&elf);
}

static void exceptions_pass_through_cpp(void **state)
{
	expect(state, "g++ -O2 -o shop throws.cc", true);
	expect(state, "g++ -O2 -s -o shop throws.cc", true);
	expect(state, "g++ -O2 -static -o shop throws.cc", true);
	expect(state, "g++ -O2 -static -s -o shop throws.cc", true);
}

/* No library of C++ and no table of its own: still C++, and what it calls may throw. */
static void exceptions_pass_through_cpp_that_handles_none(void **state)
{
	workshop_source(*state, "pass.cc",
			"int thrower(int); int passes(int n)\n"
			"{ return thrower(n) + 1; }\n");
	expect(state,
	       "gcc -O2 -shared -fPIC -nostdlib -o shop pass.cc && "
	       "! readelf -SW shop | grep gcc_except_table",
	       true);
	expect(state, "strip shop", true);
}

static void exceptions_pass_through_other_languages(void **state)
{
	/* What rustc leaves in a program, and in a stripped one. */
	workshop_source(*state, "rust.c",
			"int rust_eh_personality(void) { return 0; }\n"
			"int main(void) { return 0; }\n");
	expect(state, "cc -O2 -o shop rust.c", true);
	workshop_source(*state, "table.S",
			"	.section .gcc_except_table, \"a\"\n"
			"	.byte 0\n"
			"	.section .note.GNU-stack\n");
	expect(state, "cc -O2 -s -o shop shop.c table.S -Wl,--no-as-needed -lgcc_s",
	       true);
}

static void coroutines_are_no_better(void **state)
{
	workshop_source(*state, "weave.c",
			"#include <ucontext.h>\n"
			"int main(void) { return setcontext(0); }\n");
	expect(state, "cc -O2 -o shop weave.c", true);
	expect(state, "cc -O2 -s -o shop weave.c", true);
	expect(state, "cc -O2 -static -o shop weave.c", true);
}

static void none_pass_through_c(void **state)
{
	expect(state, "cc -O2 -o shop shop.c", false);
	expect(state, "cc -O2 -s -o shop shop.c", false);
	expect(state, "cc -O2 -o shop shop.c -Wl,--no-as-needed -lgcc_s", false);
	/* glibc's cleanup has a table of its own. */
	expect(state, "cc -O2 -fexceptions -o shop shop.c", false);
	expect(state, "cc -O2 -static -o shop shop.c", false);
	/* Nothing tells what this was made of. */
	expect(state, "cc -O2 -static -s -o shop shop.c", true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(exceptions_pass_through_cpp),
	    TEST(exceptions_pass_through_cpp_that_handles_none),
	    TEST(exceptions_pass_through_other_languages),
	    TEST(coroutines_are_no_better),
	    TEST(none_pass_through_c),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
