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
