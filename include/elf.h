/* SPDX-License-Identifier: Apache-2.0 */
/* What can be probed in an executable or library: its functions with the offset
 * where a uprobe goes, its USDT probes, its code. x86-64 only. It attaches nothing
 * and decides no site (site.h). The file is a stranger's: every offset in it is
 * checked, sizes and counts are bounded, and nothing of it is mapped, so a file
 * that is cut while it is read is an error, not a SIGBUS. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_ERROR_LEN 512

struct elf;
struct decoder;

struct elf_function {
	const char *name;    /* as the symbol table or .gopclntab spells it */
	const char *display; /* demangled (C++ with its parameters, Rust), else the
				same pointer */
	uint64_t address;    /* virtual, as linked */
	uint64_t offset;     /* of its first byte in the file: where a uprobe goes */
	uint64_t size;       /* 0: not known */
};

struct elf_usdt {
	const char *provider, *name;
	uint64_t offset;           /* of the nop in the file */
	uint64_t semaphore_offset; /* in the file, 0: none (ref_ctr_offset) */
	const char *arguments;     /* as the note has it: "-4@%eax 8@-24(%rbp)" */
};

/* path: of the file to read; debug_root: "" or "/proc/PID/root", where separate
 * debug files are looked for, and never outside of it. A file without functions is
 * no error. 0 or -errno and one line in ret_error. */
int elf_open(const char *path, const char *debug_root, struct elf **ret_elf,
	     char ret_error[ELF_ERROR_LEN]);
void elf_close(struct elf **elf);

bool elf_is_go(const struct elf *elf);
/* Exceptions of C++, Rust and the like may pass through its functions, or it changes
 * stacks, as coroutines do: no return probe gets through either alive. A C library
 * says no; see elf_is_library(). */
bool elf_unwinds(const struct elf *elf);
/* Who will load it is not known: a program of C++, too, and what that hands to it as a
 * callback may throw. */
bool elf_is_library(const struct elf *elf);

/* Sorted by address, then name; aliases stay. No imports, no IFUNC resolvers, no
 * .cold parts. Owned by elf, as all below. */
const struct elf_function *elf_functions(const struct elf *elf, size_t *ret_count);
/* In the order of the notes; a probe that was inlined is there once a place. */
const struct elf_usdt *elf_usdts(const struct elf *elf, size_t *ret_count);
/* The function's bytes, until the next call; NULL when its size is not known or
 * absurd, or they are not in the file. */
const uint8_t *elf_code(struct elf *elf, const struct elf_function *function,
			size_t *ret_len);

/* The same for what gcc moved out of it, NAME.cold, with its address. */
const uint8_t *elf_cold(struct elf *elf, const struct elf_function *function,
			uint64_t *ret_address, size_t *ret_len);
/* One for all that is read of its code (instruction.h); NULL: memory ran out. */
struct decoder *elf_decoder(struct elf *elf);

/* Whether name is how a user may call it: its raw name, its display name, or that
 * without the parameters ("shop::checkout"). */
bool elf_function_is(const struct elf_function *function, const char *name);
/* The same with a glob (fnmatch). Exact names come first: "main.(*T).Run" is one,
 * and a glob, too. */
bool elf_function_matches(const struct elf_function *function, const char *glob);
