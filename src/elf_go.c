/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf_go.c - functions of Go programs that have no symbols.
 *
 * The runtime needs names and addresses itself (tracebacks), so `-ldflags -s` and
 * strip leave .gopclntab: a head, names, and a table of entries as offsets from the
 * start of Go's text. Layouts: Go's src/internal/abi/symtab.go (magic numbers) and
 * src/runtime/symtab.go (pcHeader, moduledata, _func) of 1.16, 1.18, 1.20 and 1.26.
 *
 * Where the text starts: the head said so until Go 1.25; in 1.26 it is zero, and in
 * what is relocated it always was. The runtime takes it from its moduledata, which
 * begins with the address of the table, and so do we; the section .text begins
 * earlier when there is C in the program. A wrong start would put probes in the
 * middle of instructions, so a start is only believed when Go's check of the stack
 * is found at many of the functions.
 */
#include <errno.h>
#include <string.h>

#include "elf_internal.h"

#define MAGIC_1_16 0xfffffffau
#define MAGIC_1_18 0xfffffff0u
#define MAGIC_1_20 0xfffffff1u
#define NAME_MAX_BYTES 16384
#define CANDIDATES_MAX 16
#define SAMPLES_MAX 256
#define RELOCATION_RELATIVE 8 /* R_X86_64_RELATIVE */
/* Of struct moduledata, the same since 1.16: one pointer, five slices with that of
 * the names first, the table, findfunctab, minpc and maxpc. */
#define MODULEDATA_NAMES 8
#define MODULEDATA_TEXT 176

struct relocation {
	uint64_t offset, info, addend;
};

struct pclntab {
	const struct elf_file *file;
	const uint8_t *bytes; /* from the head to the end of the section */
	size_t len;
	uint64_t address;
	bool is_1_16; /* entries are addresses, not offsets */
	uint64_t count, text, names, functions;
};

static const char *const table_sections[] = {
    ".gopclntab", ".data.rel.ro.gopclntab",
    /* where the system's linker puts the latter */
    ".data.rel.ro", NULL};
static const char *const moduledata_sections[] = {".go.module", ".noptrdata", ".data",
						  ".data.rel.ro", NULL};

bool elf_go_is(const struct elf_file *file)
{
	return elf_file_section(file, ".go.buildinfo") ||
	       elf_file_section(file, ".note.go.buildid") ||
	       elf_file_section(file, ".gopclntab");
}

/* Zero where there is nothing. */
static uint64_t word_at(const uint8_t *bytes, size_t len, uint64_t at, size_t size)
{
	uint64_t word = 0;

	if (at <= len && size <= len - at)
		memcpy(&word, bytes + at, size);
	return word;
}

/* ---- the table ---- */

/* Magic number, two zeros, size of the smallest instruction, size of a pointer. */
static bool is_head(const uint8_t *bytes, struct pclntab *table)
{
	static const uint8_t rest[] = {0, 0, 1, 8};
	uint32_t magic;

	memcpy(&magic, bytes, sizeof(magic));
	table->is_1_16 = magic == MAGIC_1_16;
	return (magic == MAGIC_1_16 || magic == MAGIC_1_18 || magic == MAGIC_1_20) &&
	       !memcmp(bytes + 4, rest, sizeof(rest));
}

static uint64_t head_word(const struct pclntab *table, uint64_t at)
{
	return word_at(table->bytes, table->len, at, 8);
}

/* 1.16 had no start of the text in its head. */
static bool read_head(struct pclntab *table)
{
	table->count = head_word(table, 8);
	table->text = table->is_1_16 ? 0 : head_word(table, 24);
	table->names = head_word(table, table->is_1_16 ? 24 : 32);
	table->functions = head_word(table, table->is_1_16 ? 56 : 64);
	return table->count && table->count < ELF_FUNCTIONS_MAX && table->names &&
	       table->names < table->len && table->functions &&
	       table->functions < table->len &&
	       table->count * (table->is_1_16 ? 16 : 8) <=
		   table->len - table->functions;
}

static bool find_table_in(const struct elf_file *file,
			  const struct elf_section *section, struct pclntab *ret_table)
{
	size_t len;
	const uint8_t *bytes = elf_file_bytes(file, section, &len);

	for (size_t at = 0; bytes && len >= 8 && at <= len - 8; at += 8) {
		struct pclntab table = {
		    .file = file,
		    .bytes = bytes + at,
		    .len = len - at,
		    .address = section->address + at,
		};

		if (!is_head(bytes + at, &table) || !read_head(&table))
			continue;
		*ret_table = table;
		return true;
	}
	return false;
}

static bool find_table(const struct elf_file *file, struct pclntab *ret_table)
{
	for (size_t i = 0; table_sections[i]; i++)
		if (find_table_in(file, elf_file_section(file, table_sections[i]),
				  ret_table))
			return true;
	return false;
}

/* Offset of entry i from the start of the text; that after the last one is the end. */
static uint64_t entry_offset(const struct pclntab *table, uint64_t i)
{
	if (table->is_1_16)
		return word_at(table->bytes, table->len, table->functions + i * 16, 8);
	return word_at(table->bytes, table->len, table->functions + i * 8, 4);
}

static const char *entry_name(const struct pclntab *table, uint64_t i)
{
	uint64_t width = table->is_1_16 ? 8 : 4, function, name;
	size_t position, end;

	function =
	    table->functions + word_at(table->bytes, table->len,
				       table->functions + i * 2 * width + width, width);
	name = table->names + word_at(table->bytes, table->len, function + width, 4);
	if (name >= table->len)
		return NULL;
	position = (size_t)name;
	end = table->len - position > NAME_MAX_BYTES ? position + NAME_MAX_BYTES
						     : table->len;
	return elf_string_next(table->bytes, end, &position);
}

/* ---- where the text starts ---- */

static const struct relocation *relocations(const struct elf_file *file,
					    size_t *ret_count)
{
	const struct elf_section *section = elf_file_section(file, ".rela.dyn");
	const uint8_t *bytes;

	/* Go's own linker calls it by another name. */
	if (!section)
		section = elf_file_section(file, ".rela");
	bytes = elf_file_bytes(file, section, ret_count);

	*ret_count /= sizeof(struct relocation);
	return (const struct relocation *)(const void *)bytes;
}

static struct relocation relocation_at(const struct relocation *all, size_t i)
{
	struct relocation relocation;

	memcpy(&relocation, (const uint8_t *)all + i * sizeof(relocation),
	       sizeof(relocation));
	return relocation;
}

/* The pointer at an address, as the loader leaves it, but for where it loads. */
static uint64_t pointer_at(const struct elf_file *file, uint64_t address)
{
	size_t count;
	const struct relocation *all = relocations(file, &count);
	const struct elf_segment *segment = elf_file_segment(file, address);
	uint64_t pointer;

	for (size_t i = 0; i < count; i++) {
		struct relocation relocation = relocation_at(all, i);

		if (relocation.offset == address)
			return relocation.info == RELOCATION_RELATIVE
				   ? relocation.addend
				   : 0;
	}
	if (!segment ||
	    !elf_file_read(file, segment->offset + (address - segment->address),
			   &pointer, sizeof(pointer)))
		return 0;
	return pointer;
}

/* Go's check of the stack: cmp rsp, 16(r14), or of r12, which lea has set, for what
 * needs much of it. */
static bool begins_like_go(const struct pclntab *table, uint64_t address)
{
	static const uint8_t small[] = {0x49, 0x3b, 0x66, 0x10};
	static const uint8_t large[] = {0x4c, 0x8d};
	uint64_t offset;
	uint8_t code[4];

	return elf_code_offset(table->file, address, &offset) &&
	       elf_file_read(table->file, offset, code, sizeof(code)) &&
	       (!memcmp(code, small, sizeof(small)) ||
		(!memcmp(code, large, sizeof(large)) && code[3] == 0x24));
}

/* Two thirds of the functions begin with it; at a wrong start next to none do. */
static bool is_plausible(const struct pclntab *table, uint64_t text)
{
	uint64_t step = table->count / SAMPLES_MAX + 1, samples = 0, hits = 0;

	for (uint64_t i = 0; i < table->count; i += step) {
		samples++;
		hits += begins_like_go(table, text + entry_offset(table, i));
	}
	return hits * 4 >= samples;
}

/* True: there is a moduledata at address, and what it says is right. */
static bool try_moduledata(const struct pclntab *table, uint64_t address,
			   uint64_t *ret_text)
{
	uint64_t text;

	if (pointer_at(table->file, address + MODULEDATA_NAMES) !=
	    table->address + table->names)
		return false;
	text = pointer_at(table->file, address + MODULEDATA_TEXT);
	if (!is_plausible(table, text))
		return false;
	*ret_text = text;
	return true;
}

static bool search_section(const struct pclntab *table,
			   const struct elf_section *section, uint64_t *ret_text)
{
	size_t len, candidates = 0;
	const uint8_t *bytes = elf_file_bytes(table->file, section, &len);

	for (size_t at = 0; bytes && at + 8 <= len && candidates < CANDIDATES_MAX;
	     at += 8) {
		if (word_at(bytes, len, at, 8) != table->address)
			continue;
		candidates++;
		if (try_moduledata(table, section->address + at, ret_text))
			return true;
	}
	return false;
}

static bool search_relocations(const struct pclntab *table, uint64_t *ret_text)
{
	size_t count, candidates = 0;
	const struct relocation *all = relocations(table->file, &count);

	for (size_t i = 0; i < count && candidates < CANDIDATES_MAX; i++) {
		struct relocation relocation = relocation_at(all, i);

		if (relocation.info != RELOCATION_RELATIVE ||
		    relocation.addend != table->address)
			continue;
		candidates++;
		if (try_moduledata(table, relocation.offset, ret_text))
			return true;
	}
	return false;
}

static bool find_text(const struct pclntab *table, uint64_t *ret_text)
{
	const struct elf_section *section = elf_file_section(table->file, ".text");

	if (table->is_1_16) {
		*ret_text = 0;
		return is_plausible(table, 0);
	}
	for (size_t i = 0; moduledata_sections[i]; i++)
		if (search_section(
			table, elf_file_section(table->file, moduledata_sections[i]),
			ret_text))
			return true;
	if (search_relocations(table, ret_text))
		return true;
	*ret_text = table->text;
	if (*ret_text && is_plausible(table, *ret_text))
		return true;
	*ret_text = section ? section->address : 0;
	return section && is_plausible(table, *ret_text);
}

int elf_go_functions(const struct elf_file *file, struct elf_table *table)
{
	struct pclntab pclntab;
	uint64_t text;
	int err = 0;

	if (!find_table(file, &pclntab) || !find_text(&pclntab, &text))
		return 0;
	for (uint64_t i = 0; !err && i < pclntab.count; i++) {
		uint64_t entry = entry_offset(&pclntab, i);
		uint64_t next = entry_offset(&pclntab, i + 1);
		const char *name = entry_name(&pclntab, i);

		if (name)
			err = elf_table_add(table, file, name, text + entry,
					    next > entry ? next - entry : 0);
	}
	return err;
}
