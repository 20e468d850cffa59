/* SPDX-License-Identifier: Apache-2.0 */
/* Which instructions of a function to probe: the cheapest one that every call runs
 * exactly once with its arguments still in place, and, where no uretprobe may be
 * used, every instruction by which it returns. Pure: it judges bytes (x86-64) and
 * attaches nothing. Capstone stays behind instruction.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SITE_RETURNS_MAX 64

struct elf;
struct elf_function;
struct decoder;

struct site_wish {
	struct decoder *decoder; /* as instructions_read has it */
	bool go;      /* register ABI: after the stack check; never a return probe */
	bool latency; /* needs the moment of return */
	bool
	    no_return_probe; /* exceptions may pass, or the kernel/process forbids it */
	bool callees_unwind; /* they may pass, if what it calls throws them */
	/* What gcc moved out of the function, NAME.cold, if anything (elf_cold()). */
	const uint8_t *cold;
	size_t cold_len;
	uint64_t cold_address;
};

struct site {
	uint32_t entry;    /* bytes from the function's start */
	bool is_cheap;     /* the kernel emulates the instruction there */
	bool return_probe; /* put a uretprobe at entry; else, if latency: */
	uint16_t return_count;
	/* ret instructions and jumps out of the function, bytes from its start; the
	 * stack pointer there is that at entry. Ascending. */
	uint32_t returns[SITE_RETURNS_MAX];
};

/* The arguments are in place at entry, and with wish->latency the stack pointer is
 * the caller's, too. len 0, a size that is not known, is a stepped probe of the
 * first byte. 0; -EOPNOTSUPP and *ret_why ("it jumps to an address it computes", to
 * be put behind the name) when no correct site exists; -ENOMEM and why. */
int site_choose(const uint8_t *code, size_t len, uint64_t address,
		const struct site_wish *wish, struct site *ret_site,
		const char **ret_why);
/* The same for a function of a file: its code and cold part, in Go as Go wants it, and
 * without a return probe where exceptions may pass. */
int site_find(struct elf *elf, const struct elf_function *function, bool latency,
	      bool no_return_probe, struct site *ret_site, const char **ret_why);
