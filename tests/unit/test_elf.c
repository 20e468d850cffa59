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

#define SHOP                                                                           \
	"namespace shop {\n"                                                           \
	"__attribute__((noinline)) int checkout(int n, const char *s)\n"               \
	"{ asm volatile(\"\"); return n + s[0]; }\n"                                   \
	"struct Cart { int n; __attribute__((noinline)) int total() const\n"           \
	"{ asm volatile(\"\"); return n; } };\n"                                       \
	"}\n"                                                                          \
	"extern \"C\" __attribute__((noinline)) int plain(int n)\n"                    \
	"{ asm volatile(\"\"); return n * 3; }\n"                                      \
	"extern \"C\" int plain_too(int n) __attribute__((alias(\"plain\")));\n"       \
	"int main(int argc, char **argv)\n"                                            \
	"{ shop::Cart cart = {argc}; return shop::checkout(argc, argv[0])\n"           \
	"  + cart.total() + plain(argc) + plain_too(1); }\n"

struct shop {
	char path[WORKSHOP_LEN];
	struct elf *elf;
};

static int set_up(void **state)
{
	struct shop *shop = calloc(1, sizeof(*shop));

	assert_non_null(shop);
	workshop_open(shop->path);
	workshop_source(shop->path, "shop.cc", SHOP);
	*state = shop;
	return 0;
}

static int tear_down(void **state)
{
	struct shop *shop = *state;

	elf_close(&shop->elf);
	workshop_close(shop->path);
	free(shop);
	return 0;
}

static int try_open(struct shop *shop, const char *name, char error[ELF_ERROR_LEN])
{
	char path[256];

	elf_close(&shop->elf);
	snprintf(path, sizeof(path), "%s/%s", shop->path, name);
	return elf_open(path, "", &shop->elf, error);
}

static void open_made(struct shop *shop, const char *command, const char *name)
{
	char error[ELF_ERROR_LEN] = "";

	workshop_run(shop->path, command);
	if (try_open(shop, name, error))
		fail_msg("%s", error);
}

static const struct elf_function *find(const struct shop *shop, const char *name)
{
	size_t count;
	const struct elf_function *functions = elf_functions(shop->elf, &count);

	for (size_t i = 0; i < count; i++)
		if (elf_function_is(&functions[i], name))
			return &functions[i];
	return NULL;
}

/* The bytes at its offset are those that objdump would show: those of the code. */
static void expect_bytes(struct shop *shop, const char *file, const char *name)
{
	const struct elf_function *function = find(shop, name);
	uint8_t bytes[256];
	const uint8_t *code;
	char path[256];
	size_t len;
	FILE *stream;

	assert_non_null(function);
	code = elf_code(shop->elf, function, &len);
	assert_non_null(code);
	assert_int_equal(len, function->size);
	assert_true(len < sizeof(bytes));
	snprintf(path, sizeof(path), "%s/%s", shop->path, file);
	stream = fopen(path, "r");
	assert_non_null(stream);
	assert_int_equal(fseek(stream, (long)function->offset, SEEK_SET), 0);
	assert_int_equal(fread(bytes, 1, len, stream), len);
	fclose(stream);
	assert_memory_equal(code, bytes, len);
	assert_int_equal(code[len - 1], 0xc3);
}

static void expect_shop(struct shop *shop, const char *file)
{
	const struct elf_function *plain, *too;

	assert_non_null(find(shop, "main"));
	assert_non_null(find(shop, "shop::checkout"));
	assert_string_equal(find(shop, "shop::checkout")->display,
			    "shop::checkout(int, char const*)");
	assert_ptr_equal(find(shop, "_ZN4shop8checkoutEiPKc"),
			 find(shop, "shop::checkout(int, char const*)"));
	assert_non_null(find(shop, "shop::Cart::total"));
	assert_null(find(shop, "checkout"));
	assert_null(find(shop, "shop::check"));
	plain = find(shop, "plain");
	too = find(shop, "plain_too");
	assert_true(plain && too && plain != too && plain->address == too->address);
	assert_ptr_equal(plain->display, plain->name);
	expect_bytes(shop, file, "shop::checkout");
	expect_bytes(shop, file, "plain");
}

static void functions_of_every_kind_of_program_are_found(void **state)
{
	static const char *const flags[] = {
	    "-O2 -fPIE -pie",  "-O2 -no-pie", "-O2 -static",
	    "-O2 -static-pie", "-O0 -pie -g", "-O2 -fPIC -shared",
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		char command[256];

		snprintf(command, sizeof(command), "g++ %s -o shop shop.cc", flags[i]);
		open_made(*state, command, "shop");
		expect_shop(*state, "shop");
	}
}

static void exports_of_a_stripped_library_are_found(void **state)
{
	open_made(*state, "g++ -O2 -fPIC -shared -s -o shop shop.cc", "shop");
	assert_non_null(find(*state, "plain"));
	assert_non_null(find(*state, "shop::checkout"));
	expect_bytes(*state, "shop", "plain");
}

static void functions_are_sorted_and_none_is_there_twice(void **state)
{
	struct shop *shop = *state;
	const struct elf_function *functions;
	size_t count;

	open_made(shop, "g++ -O2 -fPIC -shared -o shop shop.cc", "shop");
	functions = elf_functions(shop->elf, &count);
	assert_true(count > 4);
	for (size_t i = 1; i < count; i++) {
		const struct elf_function *last = &functions[i - 1];

		assert_true(last->address < functions[i].address ||
			    (last->address == functions[i].address &&
			     strcmp(last->name, functions[i].name) < 0));
	}
}

static void imports_and_resolvers_are_not_functions(void **state)
{
	struct shop *shop = *state;

	workshop_source(shop->path, "other.c",
			"#include <stdio.h>\n"
			"static int one(void) { return 1; }\n"
			"static int (*choose(void))(void) { return one; }\n"
			"int chosen(void) __attribute__((ifunc(\"choose\")));\n"
			"int (*volatile say)(const char *) = puts;\n"
			"int main(void) { return say(\"x\") + chosen(); }\n");
	open_made(shop, "cc -O0 -no-pie -fno-pic -o other other.c", "other");
	assert_non_null(find(shop, "main"));
	assert_non_null(find(shop, "one"));
	assert_null(find(shop, "puts"));
	assert_null(find(shop, "chosen"));
}

static void globs_match_every_spelling(void **state)
{
	static const struct elf_function function = {.name = "_ZN4shop8checkoutEi",
						     .display = "shop::checkout(int)"};
	static const struct elf_function method = {.name = "main.(*Shop).Run",
						   .display = "main.(*Shop).Run"};

	(void)state;
	assert_true(elf_function_matches(&function, "shop::*"));
	assert_true(elf_function_matches(&function, "*::checkout"));
	assert_true(elf_function_matches(&function, "*checkout(int)"));
	assert_true(elf_function_matches(&function, "_ZN4shop*"));
	assert_false(elf_function_matches(&function, "shop::check"));
	assert_true(elf_function_is(&function, "shop::checkout"));
	assert_false(elf_function_is(&function, "shop::*"));
	assert_false(elf_function_is(&function, "shop::checkout("));
	assert_false(elf_function_is(&function, ""));
	assert_true(elf_function_matches(&method, "main.*"));
	assert_true(elf_function_is(&method, "main.(*Shop).Run"));
	assert_false(elf_function_is(&method, "main."));
}

static void errors_are_one_line_that_names_the_file(void **state)
{
	struct shop *shop = *state;
	char error[ELF_ERROR_LEN], expected[512];

	assert_int_equal(try_open(shop, "absent", error), -ENOENT);
	snprintf(expected, sizeof(expected),
		 "cannot open \"%s/absent\": No such file or directory", shop->path);
	assert_string_equal(error, expected);
	assert_int_equal(try_open(shop, "shop.cc", error), -EINVAL);
	snprintf(expected, sizeof(expected), "\"%s/shop.cc\" is not an ELF file",
		 shop->path);
	assert_string_equal(error, expected);
	workshop_run(shop->path, "mkfifo pipe");
	assert_int_equal(try_open(shop, "pipe", error), -EINVAL);
	assert_null(shop->elf);
}

static void code_that_is_not_all_there_is_none(void **state)
{
	struct shop *shop = *state;
	struct elf_function function;
	size_t len = 1;

	open_made(shop, "g++ -O2 -o shop shop.cc", "shop");
	function = *find(shop, "plain");
	function.size = 0;
	assert_null(elf_code(shop->elf, &function, &len));
	assert_int_equal(len, 0);
	function.size = 1 << 20;
	assert_null(elf_code(shop->elf, &function, &len));
	function.size = UINT64_MAX;
	assert_null(elf_code(shop->elf, &function, &len));
	function.size = 4;
	function.offset = UINT64_MAX;
	assert_null(elf_code(shop->elf, &function, &len));
}

static void expect_library(struct shop *shop, const char *command, bool is_library)
{
	open_made(shop, command, "shop");
	if (elf_is_library(shop->elf) != is_library)
		fail_msg("%s: %s", command, is_library ? "no library" : "a library");
	elf_close(&shop->elf);
}

static void programs_are_told_from_libraries(void **state)
{
	struct shop *shop = *state;

	workshop_source(shop->path, "plain.c", "int main(void) { return 0; }\n");
	expect_library(shop, "gcc -no-pie -o shop plain.c", false);
	expect_library(shop, "gcc -pie -fPIE -o shop plain.c", false);
	expect_library(shop, "gcc -static-pie -fPIE -s -o shop plain.c", false);
	expect_library(shop, "gcc -static -o shop plain.c", false);
	expect_library(shop, "gcc -shared -fPIC -o shop plain.c", true);
	/* libc.so.6 has a line to print, and is none the less a library */
	expect_library(shop,
		       "gcc -shared -fPIC -s -Wl,-dynamic-linker,/lib/ld.so "
		       "-o shop plain.c",
		       true);
}

static void cold_parts_are_found_with_their_function(void **state)
{
	struct shop *shop = *state;
	const struct elf_function *function;
	uint64_t address = 0;
	size_t len;

	workshop_source(shop->path, "cold.c",
			"#include <stdlib.h>\n"
			"__attribute__((noinline)) int warm(int n)\n"
			"{ if (__builtin_expect(n > 99, 0)) abort(); return n; }\n"
			"__attribute__((noinline)) int plain(int n)\n"
			"{ asm volatile(\"\"); return n; }\n"
			"int main(int n, char **v)\n"
			"{ (void)v; return warm(n) + plain(n); }\n");
	open_made(shop, "gcc -O2 -o shop cold.c", "shop");
	assert_null(find(shop, "warm.cold"));
	function = find(shop, "warm");
	assert_non_null(function);
	assert_non_null(elf_cold(shop->elf, function, &address, &len));
	assert_true(len > 0 && address != function->address);
	assert_null(elf_cold(shop->elf, find(shop, "plain"), &address, &len));
	assert_int_equal(len, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(functions_of_every_kind_of_program_are_found),
	    TEST(exports_of_a_stripped_library_are_found),
	    TEST(functions_are_sorted_and_none_is_there_twice),
	    TEST(imports_and_resolvers_are_not_functions),
	    TEST(globs_match_every_spelling),
	    TEST(errors_are_one_line_that_names_the_file),
	    TEST(programs_are_told_from_libraries),
	    TEST(cold_parts_are_found_with_their_function),
	    TEST(code_that_is_not_all_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
