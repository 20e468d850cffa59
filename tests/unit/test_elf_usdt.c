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

/* What the macros of <sys/sdt.h> expand to, which few machines have. BASE is what the
 * base was when it was linked: off by it is what prelink moved. */
#define ASSEMBLY                                                                       \
	"	.macro note address, semaphore, text, type=3\n"                              \
	"	.pushsection .note.stapsdt, \"\", \"note\"\n"                                \
	"	.p2align 2\n"                                                                \
	"	.long 2f - 1f, 4f - 3f, \\type\n"                                            \
	"1:	.asciz \"stapsdt\"\n"                                                      \
	"2:	.p2align 2\n"                                                              \
	"3:	.quad \\address - MOVED, base - MOVED, \\semaphore\n"                      \
	"	.ascii \"\\text\"\n"                                                         \
	"4:	.p2align 2\n"                                                              \
	"	.popsection\n"                                                               \
	"	.endm\n"                                                                     \
	"	.section .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n"       \
	"base:	.byte 0\n"                                                              \
	"	.section .probes, \"aw\", \"progbits\"\n"                                    \
	"	.skip 6\n"                                                                   \
	"counter: .short 0\n"                                                          \
	"	.bss\n"                                                                      \
	"zeros:	.skip 2\n"                                                             \
	"	.text\n"                                                                     \
	"	.globl _start\n"                                                             \
	"_start: ret\n"                                                                \
	"here:	nop\n"                                                                  \
	"	ret\n"                                                                       \
	"there:	nop\n"                                                                 \
	"	note here, 0, \"shop\\0sold\\0-4@%eax 8@-24(%rbp)\\0\"\n"                    \
	"	note there, counter-MOVED, \"shop\\0counted\\0\\0\"\n"                       \
	"	note there, 0, \"shop\\0sold\\0\\0\"\n"                                      \
	"#ifdef GARBAGE\n"                                                             \
	"	note counter, 0, \"shop\\0data\\0\\0\"\n"                                    \
	"	note here, here, \"shop\\0code\\0\\0\"\n"                                    \
	"	note here, zeros, \"shop\\0bss\\0\\0\"\n"                                    \
	"	note 0x7fffffffffff, 0, \"shop\\0far\\0\\0\"\n"                              \
	"	note here, 0, \"\\0provider\\0\\0\"\n"                                       \
	"	note here, 0, \"shop\\0\\0\\0\"\n"                                           \
	"	note here, 0, \"shop\\0endless\\0argument\"\n"                               \
	"	note here, 0, \"shop\"\n"                                                    \
	"	note here, 0, \"shop\\0type\\0\\0\", 4\n"                                    \
	"	note here, 0, \"shop\\0last\\0\\0\"\n"                                       \
	"#endif\n"

struct shop {
	char path[WORKSHOP_LEN];
	struct elf *elf;
	const struct elf_usdt *usdts;
	size_t count;
};

static int set_up(void **state)
{
	struct shop *shop = calloc(1, sizeof(*shop));

	assert_non_null(shop);
	workshop_open(shop->path);
	workshop_source(shop->path, "shop.S", ASSEMBLY);
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

static void open_made(struct shop *shop, const char *command)
{
	char path[256], error[ELF_ERROR_LEN];

	elf_close(&shop->elf);
	workshop_run(shop->path, command);
	snprintf(path, sizeof(path), "%s/shop", shop->path);
	if (elf_open(path, "", &shop->elf, error))
		fail_msg("%s", error);
	shop->usdts = elf_usdts(shop->elf, &shop->count);
}

static uint64_t word_at(const struct shop *shop, uint64_t offset, size_t size)
{
	char path[256];
	uint64_t word = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/shop", shop->path);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
	assert_int_equal(fread(&word, size, 1, file), 1);
	fclose(file);
	return word;
}

static void expect_probe(const struct shop *shop, size_t i, const char *name,
			 const char *arguments)
{
	assert_string_equal(shop->usdts[i].provider, "shop");
	assert_string_equal(shop->usdts[i].name, name);
	assert_string_equal(shop->usdts[i].arguments, arguments);
	assert_int_equal(word_at(shop, shop->usdts[i].offset, 1), 0x90);
}

static void expect_probes(const struct shop *shop)
{
	expect_probe(shop, 0, "sold", "-4@%eax 8@-24(%rbp)");
	expect_probe(shop, 1, "counted", "");
	expect_probe(shop, 2, "sold", "");
	assert_int_not_equal(shop->usdts[0].offset, shop->usdts[2].offset);
	assert_int_equal(shop->usdts[1].offset, shop->usdts[2].offset);
	assert_int_equal(shop->usdts[0].semaphore_offset, 0);
	assert_int_equal(shop->usdts[2].semaphore_offset, 0);
}

/* Found by what nothing else in the file is. */
static void expect_semaphore(const struct shop *shop)
{
	uint64_t offset = shop->usdts[1].semaphore_offset;

	assert_int_not_equal(offset, 0);
	assert_int_equal(word_at(shop, offset, 2), 0);
}

static void probes_are_found_with_their_semaphores(void **state)
{
	static const char *const flags[] = {"-static", "-pie", "-shared", "-static -s"};
	struct shop *shop = *state;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		char command[256];

		snprintf(command, sizeof(command),
			 "cc -nostdlib %s -DMOVED=0 -o shop shop.S", flags[i]);
		open_made(shop, command);
		assert_int_equal(shop->count, 3);
		expect_probes(shop);
		expect_semaphore(shop);
	}
}

static void what_prelink_moved_is_where_it_is_now(void **state)
{
	struct shop *shop = *state;
	uint64_t semaphore;

	open_made(shop, "cc -nostdlib -static -DMOVED=0 -o shop shop.S");
	semaphore = shop->usdts[1].semaphore_offset;
	open_made(shop, "cc -nostdlib -static -DMOVED=0x100000 -o shop shop.S");
	assert_int_equal(shop->count, 3);
	expect_probes(shop);
	assert_int_equal(shop->usdts[1].semaphore_offset, semaphore);
}

static void notes_that_name_no_probe_are_left_out(void **state)
{
	struct shop *shop = *state;

	open_made(shop, "cc -nostdlib -static -DMOVED=0 -DGARBAGE -o shop shop.S");
	assert_int_equal(shop->count, 4);
	expect_probes(shop);
	expect_probe(shop, 3, "last", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(probes_are_found_with_their_semaphores),
	    TEST(what_prelink_moved_is_where_it_is_now),
	    TEST(notes_that_name_no_probe_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
