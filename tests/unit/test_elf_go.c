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

#define PROGRAM                                                                        \
	"package main\n"                                                               \
	"type Cart struct{ n int }\n"                                                  \
	"//go:noinline\n"                                                              \
	"func (c *Cart) Total(by int) int { return c.n * by }\n"                       \
	"//go:noinline\n"                                                              \
	"func checkout(n int, s string) int {\n"                                       \
	"	if n > 300 { panic(s) }\n"                                                   \
	"	return grow(n) + len(s)\n"                                                   \
	"}\n"                                                                          \
	"//go:noinline\n"                                                              \
	"func grow(n int) int { var a [512]int; a[n] = n; return a[n/2] + n }\n"       \
	"func main() { c := &Cart{3}; println(checkout(3, \"x\"), c.Total(2)) }\n"

#define WITH_C                                                                         \
	"package main\n"                                                               \
	"// static int twice(int n) { return n * 2; }\n"                               \
	"import \"C\"\n"                                                               \
	"func init() { println(int(C.twice(3))) }\n"

/* What the linkers of Go 1.16 to 1.26 write, in small: C first, then five functions. */
#define ASSEMBLY                                                                       \
	"	.section .go.buildinfo, \"a\"\n"                                             \
	"	.byte 0\n"                                                                   \
	"	.text\n"                                                                     \
	"	.globl _start\n"                                                             \
	"_start: ret\n"                                                                \
	"	.skip 200, 0xcc\n"                                                           \
	"	.p2align 5\n"                                                                \
	"go:\n"                                                                        \
	"f0:	.byte 0x49, 0x3b, 0x66, 0x10, 0x76, 0x01, 0xc3, 0xc3\n"                   \
	"	.p2align 5, 0xcc\n"                                                          \
	"f1:	.byte 0x4c, 0x8d, 0x64, 0x24, 0x80, 0x4d, 0x3b, 0x66, 0x10, 0xc3\n"       \
	"	.p2align 5, 0xcc\n"                                                          \
	"f2:	ret\n"                                                                    \
	"	.p2align 5, 0xcc\n"                                                          \
	"end:\n"                                                                       \
	"	.section .gopclntab, \"a\"\n"                                                \
	"	.p2align 5\n"                                                                \
	"table:	.long MAGIC\n"                                                         \
	"	.byte 0, 0, 1, 8\n"                                                          \
	"	.quad 3, 0\n"                                                                \
	"#ifdef OLD\n"                                                                 \
	"	.quad names - table, 0, 0, 0, functions - table\n"                           \
	"#else\n"                                                                      \
	"	.quad HEAD, names - table, 0, 0, 0, functions - table\n"                     \
	"#endif\n"                                                                     \
	"names:	.byte 0\n"                                                             \
	"n0:	.asciz \"main.main\"\n"                                                   \
	"n1:	.asciz \"main.(*Cart).Total\"\n"                                          \
	"n2:	.asciz \"main.leaf\"\n"                                                   \
	"	.p2align 3\n"                                                                \
	"functions:\n"                                                                 \
	"#ifdef OLD\n"                                                                 \
	"	.quad f0, d0 - functions, f1, d1 - functions, f2, d2 - functions\n"          \
	"	.quad end\n"                                                                 \
	"d0:	.quad f0\n"                                                               \
	"	.long n0 - names\n"                                                          \
	"d1:	.quad f1\n"                                                               \
	"	.long n1 - names\n"                                                          \
	"d2:	.quad f2\n"                                                               \
	"	.long n2 - names\n"                                                          \
	"#else\n"                                                                      \
	"	.long f0 - go, d0 - functions, f1 - go, d1 - functions\n"                    \
	"	.long f2 - go, d2 - functions, end - go\n"                                   \
	"d0:	.long f0 - go, n0 - names\n"                                              \
	"d1:	.long f1 - go, n1 - names\n"                                              \
	"d2:	.long f2 - go, n2 - names\n"                                              \
	"#endif\n"                                                                     \
	"	.section .noptrdata, \"aw\"\n"                                               \
	"	.p2align 3\n"                                                                \
	"	.quad 4711\n"                                                                \
	"#ifdef MODULE\n"                                                              \
	"	.quad table, 0\n"                                                            \
	"	.quad table, names\n"                                                        \
	"	.skip 160\n"                                                                 \
	"	.quad MODULE, end\n"                                                         \
	"#endif\n"

static int set_up(void **state)
{
	char *path = malloc(WORKSHOP_LEN);

	assert_non_null(path);
	workshop_open(path);
	workshop_source(path, "main.go", PROGRAM);
	workshop_source(path, "go.mod", "module shop\ngo 1.20\n");
	*state = path;
	return 0;
}

static int tear_down(void **state)
{
	workshop_close(*state);
	free(*state);
	return 0;
}

static struct elf *open_made(const char *path, const char *name)
{
	char file[256], error[ELF_ERROR_LEN];
	struct elf *elf = NULL;

	snprintf(file, sizeof(file), "%s/%s", path, name);
	if (elf_open(file, "", &elf, error))
		fail_msg("%s", error);
	assert_true(elf_is_go(elf));
	return elf;
}

static struct elf_function find(const struct elf *elf, const char *name)
{
	size_t count;
	const struct elf_function *functions = elf_functions(elf, &count);

	for (size_t i = 0; i < count; i++)
		if (elf_function_is(&functions[i], name))
			return functions[i];
	return (struct elf_function){0};
}

static void expect_same(const struct elf *elf, const struct elf *whole,
			const char *name)
{
	struct elf_function function = find(elf, name), expected = find(whole, name);

	assert_int_not_equal(expected.address, 0);
	assert_int_equal(function.address, expected.address);
	assert_int_equal(function.offset, expected.offset);
	/* Up to the next one: padding is part of it. */
	assert_in_range(function.size, expected.size, expected.size + 31);
	assert_ptr_equal(function.display, function.name);
}

/* The addresses that the symbols say, without the symbols. */
static void expect_stripped(const char *path, const char *build)
{
	char command[512];
	struct elf *elf, *whole;

	snprintf(command, sizeof(command),
		 "export GOFLAGS=-mod=mod GOPROXY=off && %s -o whole . && "
		 "strip -o stripped whole",
		 build);
	workshop_run(path, command);
	whole = open_made(path, "whole");
	elf = open_made(path, "stripped");
	expect_same(elf, whole, "main.checkout");
	expect_same(elf, whole, "main.(*Cart).Total");
	expect_same(elf, whole, "main.grow");
	expect_same(elf, whole, "runtime.mallocgc");
	elf_close(&whole);
	elf_close(&elf);
}

static void stripped_programs_have_the_functions_of_their_own_table(void **state)
{
	expect_stripped(*state, "go build");
	expect_stripped(*state, "go build -buildmode=pie");
}

/* There .text begins with C, and not with what the table counts from. */
static void stripped_programs_with_c_have_them_at_the_right_place(void **state)
{
	workshop_source(*state, "c.go", WITH_C);
	expect_stripped(*state, "CGO_ENABLED=1 go build -ldflags=-linkmode=external");
}

static void programs_linked_without_symbols_have_them(void **state)
{
	struct elf *elf;

	workshop_run(*state, "GOFLAGS=-mod=mod GOPROXY=off go build -ldflags '-s -w' "
			     "-o shop .");
	elf = open_made(*state, "shop");
	assert_int_not_equal(find(elf, "main.checkout").size, 0);
	elf_close(&elf);
}

/* ---- each layout, by hand ---- */

static void assemble(const char *path, const char *flags)
{
	char command[512];

	workshop_source(path, "table.S", ASSEMBLY);
	snprintf(command, sizeof(command), "cc -nostdlib %s -o table table.S", flags);
	workshop_run(path, command);
	workshop_run(path, "nm table | sed -n 's/^0*\\([0-9a-f]*\\) t go$/\\1/p' > go");
	workshop_run(path, "strip table");
}

static uint64_t start_of_go(const char *path)
{
	char name[256];
	uint64_t start = 0;
	FILE *file;

	snprintf(name, sizeof(name), "%s/go", path);
	file = fopen(name, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lx", &start), 1);
	fclose(file);
	return start;
}

static void expect_table(const char *path, const char *flags)
{
	struct elf *elf;
	uint64_t start;
	size_t count;

	assemble(path, flags);
	start = start_of_go(path);
	elf = open_made(path, "table");
	elf_functions(elf, &count);
	assert_int_equal(count, 3);
	assert_int_equal(find(elf, "main.main").address, start);
	assert_int_equal(find(elf, "main.(*Cart).Total").address, start + 32);
	assert_int_equal(find(elf, "main.leaf").address, start + 64);
	assert_int_equal(find(elf, "main.leaf").size, 32);
	elf_close(&elf);
}

static void expect_no_table(const char *path, const char *flags)
{
	struct elf *elf;
	size_t count;

	assemble(path, flags);
	elf = open_made(path, "table");
	elf_functions(elf, &count);
	assert_int_equal(count, 0);
	elf_close(&elf);
}

#define GO_1_16 "-static -DMAGIC=0xfffffffa -DOLD "
#define GO_1_18 "-static -DMAGIC=0xfffffff0 "
#define GO_1_20 "-static -DMAGIC=0xfffffff1 "

static void tables_of_all_versions_are_read(void **state)
{
	expect_table(*state, GO_1_16);
	expect_table(*state, GO_1_18 "-DHEAD=go");
	expect_table(*state, GO_1_20 "-DHEAD=go");
	/* Go 1.2 */
	expect_no_table(*state, "-static -DMAGIC=0xfffffffb -DHEAD=go");
	expect_no_table(*state, "-static -DMAGIC=0xfffffff2 -DHEAD=go");
}

static void the_start_is_that_of_the_moduledata(void **state)
{
	expect_table(*state, GO_1_20 "-DHEAD=0 -DMODULE=go");
	/* What is relocated is zero in the file. */
	expect_table(*state, "-pie -DMAGIC=0xfffffff1 -DHEAD=0 -DMODULE=go");
}

static void a_start_that_does_not_fit_the_code_is_not_believed(void **state)
{
	expect_no_table(*state, GO_1_20 "-DHEAD=0");
	expect_no_table(*state, GO_1_20 "-DHEAD=go+4");
	expect_no_table(*state, GO_1_20 "-DHEAD=0 -DMODULE=go+4");
	expect_no_table(*state, GO_1_20 "-DHEAD=0xffffffffffffff00");
	expect_table(*state, GO_1_20 "-DHEAD=go -DMODULE=go+4");
	expect_table(*state, GO_1_20 "-DHEAD=go+4 -DMODULE=go");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(stripped_programs_have_the_functions_of_their_own_table),
	    TEST(stripped_programs_with_c_have_them_at_the_right_place),
	    TEST(programs_linked_without_symbols_have_them),
	    TEST(tables_of_all_versions_are_read),
	    TEST(the_start_is_that_of_the_moduledata),
	    TEST(a_start_that_does_not_fit_the_code_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
