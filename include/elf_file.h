/* SPDX-License-Identifier: Apache-2.0 */
/* One ELF file as sections, segments, symbols and notes, shared by the elf*.c files
 * only. libelf stays behind elf_file.c. What comes out of here is in bounds: bytes
 * are there in full length, strings end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file;

struct elf_section {
	const char *name;
	size_t index;
	size_t link; /* index of the section of its strings */
	uint64_t address, size, offset;
	bool has_bytes; /* in the file, unlike .bss */
	bool is_symbols;
};

/* A loaded part, as far as it is in the file. */
struct elf_segment {
	uint64_t address, offset, size;
	bool executable, writable;
};

struct elf_symbol {
	const char *name;
	uint64_t address, size;
	bool is_function; /* defined here, no IFUNC resolver */
};

struct elf_note {
	uint32_t type;
	const char *name; /* ends with a NUL */
	const uint8_t *description;
	size_t len;
};

/* Takes the descriptor in any case. 0; -EINVAL and so on with why in *ret_why, to
 * be put behind the name of the file. */
int elf_file_open(int fd, struct elf_file **ret_file, const char **ret_why);
void elf_file_close(struct elf_file **file);

/* Loaded by programs, and not the program itself. */
bool elf_file_is_library(const struct elf_file *file);

/* The first of that name or NULL. */
const struct elf_section *elf_file_section(const struct elf_file *file,
					   const char *name);
const struct elf_section *elf_file_sections(const struct elf_file *file,
					    size_t *ret_count);
const struct elf_section *elf_file_linked(const struct elf_file *file,
					  const struct elf_section *section);
const struct elf_segment *elf_file_segments(const struct elf_file *file,
					    size_t *ret_count);
/* The segment that holds address, NULL: none, or not in the file. */
const struct elf_segment *elf_file_segment(const struct elf_file *file,
					   uint64_t address);
/* All bytes of a section, kept until the file is closed. NULL: not in the file, cut
 * off, or more than we are ready to read. section may be NULL. */
const uint8_t *elf_file_bytes(const struct elf_file *file,
			      const struct elf_section *section, size_t *ret_len);
/* The string at offset of a section of strings; NULL: there is none, or one that is
 * absurdly long. */
const char *elf_file_string(const struct elf_file *file,
			    const struct elf_section *section, uint64_t offset);
/* Symbol i of the table; false behind the last one. */
bool elf_file_symbol(const struct elf_file *file, const struct elf_section *section,
		     size_t i, struct elf_symbol *ret_symbol);
/* Whether len bytes at offset of the file could be read. */
bool elf_file_read(const struct elf_file *file, uint64_t offset, void *ret_bytes,
		   size_t len);
/* Its descriptor, to be read at offsets. */
int elf_file_fd(const struct elf_file *file);

/* The note at *position, which moves behind it; false: none left, or garbage. */
bool elf_note_next(const uint8_t *notes, size_t len, size_t *position,
		   struct elf_note *ret_note);
/* The string at *position, which moves behind its NUL; NULL: it does not end. */
const char *elf_string_next(const uint8_t *bytes, size_t len, size_t *position);
