/* SPDX-License-Identifier: Apache-2.0 */
/* What elf.c puts together, and the sources of it in the other elf_*.c files. */
#pragma once

#include "elf.h"
#include "elf_file.h"

/* Chrome has half a million. */
#define ELF_FUNCTIONS_MAX (1u << 21)

/* Functions as they are found, not sorted; names belong to a file that is kept. */
struct elf_table {
	struct elf_function *functions;
	size_t count, capacity;
};

/* The offset of a byte of code; false: nothing that is executed is there. */
bool elf_code_offset(const struct elf_file *file, uint64_t address,
		     uint64_t *ret_offset);
/* 0, -ENOMEM, or -E2BIG. What is no code of file is left out. */
int elf_table_add(struct elf_table *table, const struct elf_file *file,
		  const char *name, uint64_t address, uint64_t size);

/* ---- elf_go.c: Go's own table of functions ---- */

bool elf_go_is(const struct elf_file *file);
/* Adds what .gopclntab has; nothing when it is older than Go 1.16's, damaged, or does
 * not fit the code. 0, -ENOMEM or -E2BIG. */
int elf_go_functions(const struct elf_file *file, struct elf_table *table);

/* ---- elf_usdt.c: notes of <sys/sdt.h> ---- */

#define ELF_USDTS_MAX 65536

/* The probes, to be freed; names belong to file. What is no code of it is left out.
 * 0 or -ENOMEM. */
int elf_usdt_read(const struct elf_file *file, struct elf_usdt **ret_usdts,
		  size_t *ret_count);

/* ---- elf_debug.c: symbols that lie elsewhere ---- */

/* The file of symbols that belongs to file: a separate one under debug_root, by build
 * id or .gnu_debuglink, else what is packed in .gnu_debugdata. NULL: none. path: that
 * of file, as elf_open() had it. */
struct elf_file *elf_debug_open(const struct elf_file *file, const char *path,
				const char *debug_root);

/* ---- elf_unwind.c: languages with exceptions ---- */

/* A symbol that only they have, defined or imported. */
bool elf_unwind_is_name(const struct elf_section *section, const char *name);
/* It needs the library of such a language, or could have it built in. */
bool elf_unwind_has_runtime(const struct elf_file *file);
