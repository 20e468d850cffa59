/* SPDX-License-Identifier: Apache-2.0 */
/* Code that is looked at, not run: CODE(name, "push rbx; ret") is what the assembler
 * makes of it, in Intel's syntax, from name to name_end. */
#pragma once

#include <stdint.h>

#define CODE(name, text)                                                               \
	extern const uint8_t name[], name##_end[];                                     \
	asm(".pushsection .rodata\n"                                                   \
	    ".intel_syntax noprefix\n"                                                 \
	    ".globl " #name ", " #name "_end\n" #name ":\n" text "\n" #name            \
	    "_end:\n" /* Where jumps to other functions go. */                         \
	    ".nops 16\n"                                                               \
	    ".att_syntax prefix\n"                                                     \
	    ".popsection\n")
#define CODE_LEN(name) ((size_t)(name##_end - name))
