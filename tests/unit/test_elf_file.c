/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <sys/stat.h>

#include "elf_file.h"
#include "workshop.h"

/* A file of one table of symbols, laid out by hand so that each field can lie. */
struct tiny {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2];
	Elf64_Sym symbols[3];
	char strings[16], names[48];
	uint8_t code[64];
	Elf64_Shdr sections[5];
};

#define TINY_ADDRESS 0x401000

static struct tiny tiny(void)
{
	struct tiny tiny = {
	    .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
		       .e_type = ET_EXEC,
		       .e_machine = EM_X86_64,
		       .e_version = 1,
		       .e_phoff = offsetof(struct tiny, segments),
		       .e_shoff = offsetof(struct tiny, sections),
		       .e_ehsize = sizeof(Elf64_Ehdr),
		       .e_phentsize = sizeof(Elf64_Phdr),
		       .e_phnum = 2,
		       .e_shentsize = sizeof(Elf64_Shdr),
		       .e_shnum = 5,
		       .e_shstrndx = 4},
	    .segments = {{.p_type = PT_NOTE},
			 {.p_type = PT_LOAD,
			  .p_flags = PF_R | PF_X,
			  .p_offset = offsetof(struct tiny, code),
			  .p_vaddr = TINY_ADDRESS,
			  .p_filesz = sizeof(tiny.code),
			  .p_memsz = 2 * sizeof(tiny.code)}},
	    .symbols = {{0},
			{.st_name = 1,
			 .st_info = STT_FUNC,
			 .st_shndx = 3,
			 .st_value = TINY_ADDRESS + 16,
			 .st_size = 8},
			{.st_name = 7, .st_info = STT_GNU_IFUNC, .st_shndx = 3}},
	    .strings = "\0first\0second",
	    .names = "\0.symtab\0.strtab\0.text\0.shstrtab",
	    .sections = {{0},
			 {.sh_name = 1,
			  .sh_type = SHT_SYMTAB,
			  .sh_offset = offsetof(struct tiny, symbols),
			  .sh_size = sizeof(tiny.symbols),
			  .sh_link = 2,
			  .sh_entsize = sizeof(Elf64_Sym)},
			 {.sh_name = 9,
			  .sh_type = SHT_STRTAB,
			  .sh_offset = offsetof(struct tiny, strings),
			  .sh_size = sizeof(tiny.strings)},
			 {.sh_name = 17,
			  .sh_type = SHT_PROGBITS,
			  .sh_offset = offsetof(struct tiny, code),
			  .sh_size = sizeof(tiny.code)},
			 {.sh_name = 23,
			  .sh_type = SHT_STRTAB,
			  .sh_offset = offsetof(struct tiny, names),
			  .sh_size = sizeof(tiny.names)}},
	};

	return tiny;
}

static int open_bytes(const void *bytes, size_t len, struct elf_file **ret_file,
		      const char **ret_why)
{
	int fd = memfd_create("tiny", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	return elf_file_open(fd, ret_file, ret_why);
}

static struct elf_file *open_tiny(const struct tiny *tiny)
{
	struct elf_file *file = NULL;
	const char *why;

	assert_int_equal(open_bytes(tiny, sizeof(*tiny), &file, &why), 0);
	return file;
}

static void sections_segments_and_symbols_are_read(void **state)
{
	struct tiny made = tiny();
	struct elf_file *file = open_tiny(&made);
	const struct elf_section *section = elf_file_section(file, ".symtab");
	const struct elf_segment *segments;
	struct elf_symbol symbol;
	size_t count;

	(void)state;
	assert_non_null(section);
	assert_true(section->is_symbols);
	assert_true(elf_file_symbol(file, section, 1, &symbol));
	assert_string_equal(symbol.name, "first");
	assert_int_equal(symbol.address, TINY_ADDRESS + 16);
	assert_int_equal(symbol.size, 8);
	assert_true(symbol.is_function);
	assert_true(elf_file_symbol(file, section, 2, &symbol));
	assert_string_equal(symbol.name, "second");
	assert_false(symbol.is_function);
	assert_false(elf_file_symbol(file, section, 3, &symbol));
	segments = elf_file_segments(file, &count);
	assert_int_equal(count, 1);
	assert_true(segments[0].executable && !segments[0].writable);
	assert_ptr_equal(elf_file_segment(file, TINY_ADDRESS + 63), segments);
	/* What is in memory but not in the file cannot be probed. */
	assert_null(elf_file_segment(file, TINY_ADDRESS + 64));
	assert_null(elf_file_segment(file, TINY_ADDRESS - 1));
	assert_null(elf_file_section(file, ".data"));
	elf_file_close(&file);
	assert_null(file);
}

static void expect_refused(const void *bytes, size_t len, const char *expected)
{
	struct elf_file *file = NULL;
	const char *why = NULL;

	assert_int_equal(open_bytes(bytes, len, &file, &why), -EINVAL);
	assert_null(file);
	assert_string_equal(why, expected);
}

static void what_is_no_program_of_ours_is_refused(void **state)
{
	struct tiny made = tiny();

	(void)state;
	expect_refused("", 0, "is not an ELF file");
	expect_refused("#!/bin/sh\n", 10, "is not an ELF file");
	expect_refused(&made, 51, "is not an ELF file");
	made.header.e_ident[EI_CLASS] = ELFCLASS32;
	expect_refused(&made, 52, "is a 32-bit program, which is not supported");
	made = tiny();
	made.header.e_machine = EM_AARCH64;
	expect_refused(&made, sizeof(made),
		       "is for another machine: only x86-64 is supported");
	made = tiny();
	made.header.e_type = ET_REL;
	expect_refused(&made, sizeof(made), "is neither a program nor a library");
	made = tiny();
	made.header.e_shnum = 0;
	made.sections[0].sh_size = UINT64_MAX;
	expect_refused(&made, sizeof(made),
		       "has an absurd number of sections or segments");
}

static void what_is_no_regular_file_is_refused(void **state)
{
	struct elf_file *file = NULL;
	const char *why;

	(void)state;
	assert_int_equal(elf_file_open(open("/", O_RDONLY), &file, &why), -EINVAL);
	assert_string_equal(why, "is not a regular file");
	assert_int_equal(elf_file_open(open("/dev/zero", O_RDONLY), &file, &why),
			 -EINVAL);
	assert_null(file);
}

/* Everything there is to ask of a file; the sanitizers judge. */
static void ask_everything(const struct elf_file *file)
{
	size_t count, len;
	const struct elf_section *sections = elf_file_sections(file, &count);
	struct elf_symbol symbol;

	for (size_t i = 0; i < count; i++) {
		assert_true(strlen(sections[i].name) < sizeof(struct tiny));
		(void)elf_file_bytes(file, &sections[i], &len);
		for (size_t j = 0; elf_file_symbol(file, &sections[i], j, &symbol); j++)
			assert_true(strlen(symbol.name) < sizeof(struct tiny));
	}
	(void)elf_file_segment(file, TINY_ADDRESS);
}

static void every_prefix_of_a_file_is_survived(void **state)
{
	struct tiny made = tiny();

	(void)state;
	for (size_t len = 0; len <= sizeof(made); len++) {
		struct elf_file *file = NULL;
		const char *why;

		if (!open_bytes(&made, len, &file, &why))
			ask_everything(file);
		elf_file_close(&file);
	}
}

static void every_byte_may_be_any_extreme(void **state)
{
	static const uint8_t extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xff};

	(void)state;
	for (size_t i = 0; i < sizeof(struct tiny) * sizeof(extremes); i++) {
		struct tiny made = tiny();
		struct elf_file *file = NULL;
		const char *why;

		((uint8_t *)&made)[i / sizeof(extremes)] = extremes[i % 5];
		if (!open_bytes(&made, sizeof(made), &file, &why))
			ask_everything(file);
		elf_file_close(&file);
	}
}

static void strings_that_do_not_end_are_none(void **state)
{
	struct tiny made = tiny();
	struct elf_file *file;
	struct elf_symbol symbol;

	(void)state;
	memset(made.strings, 'x', sizeof(made.strings));
	file = open_tiny(&made);
	assert_true(
	    elf_file_symbol(file, elf_file_section(file, ".symtab"), 1, &symbol));
	assert_string_equal(symbol.name, "");
	elf_file_close(&file);
	made = tiny();
	made.symbols[1].st_name = sizeof(made.strings);
	file = open_tiny(&made);
	assert_true(
	    elf_file_symbol(file, elf_file_section(file, ".symtab"), 1, &symbol));
	assert_string_equal(symbol.name, "");
	elf_file_close(&file);
}

static void notes_are_walked_to_their_end_and_no_further(void **state)
{
	static const uint32_t notes[] = {
	    4, 5,          3,    0x00554e47 /* GNU */, 0x64636261, 0x65,
	    4, 0,          1,    0x00006f47 /* Go */,  4,          1,
	    1, 0x00006f47, 0x66,
	};
	size_t position = 0;
	struct elf_note note;

	(void)state;
	assert_true(
	    elf_note_next((const uint8_t *)notes, sizeof(notes), &position, &note));
	assert_int_equal(note.type, 3);
	assert_string_equal(note.name, "GNU");
	assert_int_equal(note.len, 5);
	assert_memory_equal(note.description, "abcde", 5);
	assert_true(
	    elf_note_next((const uint8_t *)notes, sizeof(notes), &position, &note));
	assert_int_equal(note.len, 0);
	/* The last one's padding may be cut off. */
	assert_true(
	    elf_note_next((const uint8_t *)notes, sizeof(notes) - 3, &position, &note));
	assert_string_equal(note.name, "Go");
	assert_memory_equal(note.description, "f", 1);
	assert_false(
	    elf_note_next((const uint8_t *)notes, sizeof(notes) - 3, &position, &note));
}

static void notes_that_lie_about_their_length_are_none(void **state)
{
	static const uint32_t lies[][6] = {
	    {0, 4, 3, 0, 0, 0},       {UINT32_MAX, 4, 3, 0, 0, 0},
	    {4, 9, 3, 0, 0, 0},       {4, UINT32_MAX, 3, 0, 0, 0},
	    {4, 4, 3, UINT32_MAX, 0}, {13, 0, 3, 0, 0, 0},
	};
	struct elf_note note;

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		size_t position = 0;

		assert_false(elf_note_next((const uint8_t *)lies[i], sizeof(lies[i]),
					   &position, &note));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sections_segments_and_symbols_are_read),
	    cmocka_unit_test(what_is_no_program_of_ours_is_refused),
	    cmocka_unit_test(what_is_no_regular_file_is_refused),
	    cmocka_unit_test(every_prefix_of_a_file_is_survived),
	    cmocka_unit_test(every_byte_may_be_any_extreme),
	    cmocka_unit_test(strings_that_do_not_end_are_none),
	    cmocka_unit_test(notes_are_walked_to_their_end_and_no_further),
	    cmocka_unit_test(notes_that_lie_about_their_length_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
