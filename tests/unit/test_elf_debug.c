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

#define SOURCE                                                                         \
	"static __attribute__((noinline)) int hidden(int n)\n"                         \
	"{ asm volatile(\"\"); return n * 3; }\n"                                      \
	"int main(int argc, char **argv)\n"                                            \
	"{ (void)argv; return hidden(argc); }\n"
#define BUILD "cc -O2 -Wl,--build-id=0xabcdef0123 -o shop shop.c && "
#define ANONYMOUS "cc -O2 -Wl,--build-id=none -o shop shop.c && "
#define SPLIT "objcopy --only-keep-debug shop shop.debug && "
#define BY_ID "usr/lib/debug/.build-id/ab"

static int set_up(void **state)
{
	char *path = malloc(WORKSHOP_LEN);

	assert_non_null(path);
	workshop_open(path);
	workshop_source(path, "shop.c", SOURCE);
	*state = path;
	return 0;
}

static int tear_down(void **state)
{
	workshop_close(*state);
	free(*state);
	return 0;
}

/* The address of hidden(), 0 when it is not found. */
static uint64_t find_hidden(const char *path, const char *name, const char *root)
{
	char file[256], error[ELF_ERROR_LEN];
	const struct elf_function *functions;
	struct elf *elf = NULL;
	uint64_t address = 0;
	size_t count, len;

	snprintf(file, sizeof(file), "%s/%s", path, name);
	if (elf_open(file, root, &elf, error))
		fail_msg("%s", error);
	functions = elf_functions(elf, &count);
	for (size_t i = 0; i < count; i++)
		if (elf_function_is(&functions[i], "hidden")) {
			address = functions[i].address;
			assert_non_null(elf_code(elf, &functions[i], &len));
		}
	elf_close(&elf);
	return address;
}

/* After command: found in root, at the address that the unstripped file has. */
static void expect_found(void **state, const char *command, const char *root)
{
	const char *path = *state;

	workshop_run(path, command);
	assert_int_not_equal(find_hidden(path, "whole", ""), 0);
	assert_int_equal(find_hidden(path, "shop", root),
			 find_hidden(path, "whole", ""));
}

static void expect_not_found(void **state, const char *command, const char *root)
{
	workshop_run(*state, command);
	assert_int_equal(find_hidden(*state, "shop", root), 0);
}

static void a_stripped_file_alone_has_no_names(void **state)
{
	expect_not_found(state, BUILD "strip shop", "");
}

static void a_debug_file_is_found_by_build_id(void **state)
{
	expect_found(state,
		     BUILD SPLIT "cp shop whole && strip shop && mkdir -p " BY_ID
				 " && mv shop.debug " BY_ID "/cdef0123.debug",
		     *state);
}

static void a_debug_file_of_another_build_is_not_taken(void **state)
{
	expect_not_found(state,
			 BUILD SPLIT
			 "strip shop && mkdir -p " BY_ID
			 " && cc -O2 -Wl,--build-id=0xabcdef0124 -o other shop.c"
			 " && mv other " BY_ID "/cdef0123.debug",
			 *state);
}

static void a_debug_file_is_found_by_its_link(void **state)
{
	const char *split = ANONYMOUS SPLIT
	    "cp shop whole && "
	    "objcopy --strip-all --add-gnu-debuglink=shop.debug whole shop";

	expect_found(state, split, "");
	workshop_run(*state, "mkdir .debug && mv shop.debug .debug");
	expect_found(state, "true", "");
	/* As a container has it: its root is not ours. */
	workshop_run(*state, "mkdir -p root/opt root/usr/lib/debug/opt && "
			     "mv .debug/shop.debug root/usr/lib/debug/opt && "
			     "cp shop root/opt");
	expect_not_found(state, "true", "");
}

static void a_container_has_its_own_debug_files(void **state)
{
	char root[256];

	workshop_run(*state, ANONYMOUS SPLIT
		     "mkdir -p root/opt root/usr/lib/debug/opt && cp shop whole && "
		     "objcopy --strip-all --add-gnu-debuglink=shop.debug whole "
		     "root/opt/shop && mv shop.debug root/usr/lib/debug/opt");
	snprintf(root, sizeof(root), "%s/root", (char *)*state);
	assert_int_equal(find_hidden(*state, "root/opt/shop", root),
			 find_hidden(*state, "whole", ""));
	/* A link to a path of the host leads nowhere within the container. */
	workshop_run(*state, "mv root/usr/lib/debug/opt/shop.debug . && "
			     "ln -s $PWD/shop.debug root/usr/lib/debug/opt/");
	assert_int_equal(find_hidden(*state, "root/opt/shop", root), 0);
	/* An absolute link is one to the container's own root. */
	workshop_run(*state, "rm root/usr/lib/debug/opt/shop.debug && "
			     "mv shop.debug root/real && "
			     "ln -s /real root/usr/lib/debug/opt/shop.debug");
	assert_int_not_equal(find_hidden(*state, "root/opt/shop", root), 0);
}

static void a_debug_file_with_another_checksum_is_not_taken(void **state)
{
	expect_not_found(state,
			 ANONYMOUS SPLIT "cp shop whole && objcopy --strip-all "
					 "--add-gnu-debuglink=shop.debug whole shop && "
					 "printf x >> shop.debug",
			 "");
}

static void a_pipe_in_its_place_is_not_waited_for(void **state)
{
	expect_not_found(state,
			 BUILD "strip shop && mkdir -p " BY_ID " && mkfifo " BY_ID
			       "/cdef0123.debug",
			 *state);
}

static void packed_symbols_are_unpacked(void **state)
{
	expect_found(state,
		     BUILD SPLIT
		     "cp shop whole && strip shop && objcopy -S "
		     "--remove-section=.gdb_index --keep-symbol=hidden shop.debug "
		     "mini && xz mini && "
		     "objcopy --add-section .gnu_debugdata=mini.xz shop",
		     *state);
}

static void damaged_packed_symbols_are_none(void **state)
{
	const char *path = *state;

	workshop_run(path, BUILD SPLIT "cp shop whole && strip shop && xz shop.debug");
	expect_not_found(state,
			 "head -c 200 shop.debug.xz > cut && "
			 "objcopy --add-section .gnu_debugdata=cut shop",
			 *state);
	expect_not_found(state,
			 "objcopy --remove-section .gnu_debugdata shop && "
			 "echo nonsense > cut && "
			 "objcopy --add-section .gnu_debugdata=cut shop",
			 *state);
	/* A bomb: 200 MB of zeros. */
	expect_not_found(state,
			 "objcopy --remove-section .gnu_debugdata shop && "
			 "head -c 200000000 /dev/zero | xz -0 > cut && "
			 "objcopy --add-section .gnu_debugdata=cut shop",
			 *state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_stripped_file_alone_has_no_names),
	    TEST(a_debug_file_is_found_by_build_id),
	    TEST(a_debug_file_of_another_build_is_not_taken),
	    TEST(a_debug_file_is_found_by_its_link),
	    TEST(a_container_has_its_own_debug_files),
	    TEST(a_debug_file_with_another_checksum_is_not_taken),
	    TEST(a_pipe_in_its_place_is_not_waited_for),
	    TEST(packed_symbols_are_unpacked),
	    TEST(damaged_packed_symbols_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
