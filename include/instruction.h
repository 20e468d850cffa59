/* SPDX-License-Identifier: Apache-2.0 */
/* A function's bytes as a row of instructions, reduced to what choosing a probe's
 * site takes: where control goes, which registers change, what becomes of the stack
 * pointer. Capstone stays behind instruction.c. What it does not know for sure it
 * gives as the worst case. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Registers are bits of their number in the instruction set: 0 rax, 1 rcx, 2 rdx,
 * 3 rbx, 4 rsp, 5 rbp, 6 rsi, 7 rdi, 8..15 r8..r15. */
#define INSTRUCTION_RSP (1u << 4)
#define INSTRUCTION_RBP (1u << 5)

enum instruction_kind {
	INSTRUCTION_PLAIN,
	INSTRUCTION_CALL,
	INSTRUCTION_JUMP,     /* always, to target */
	INSTRUCTION_BRANCH,   /* to target, or on */
	INSTRUCTION_TABLE,    /* jumps to a place that a table of the function has */
	INSTRUCTION_POINTER,  /* jumps to where a pointer that was in memory says */
	INSTRUCTION_REGISTER, /* jumps to an address that was computed somehow */
	INSTRUCTION_RETURN,
	INSTRUCTION_STOP, /* goes nowhere: ud2, int3, hlt */
};

enum instruction_stack {
	STACK_MOVES, /* rsp += stack_by; 0 for most */
	STACK_FRAME, /* rsp = rbp + stack_by */
	STACK_LOST,
};

enum instruction_frame {
	FRAME_STAYS,
	FRAME_STACK, /* rbp = rsp + frame_by */
	FRAME_LOST,
};

struct instruction {
	uint32_t offset;
	uint8_t len;
	enum instruction_kind kind : 8;
	enum instruction_stack stack : 8;
	enum instruction_frame frame : 8;
	int32_t stack_by, frame_by;
	bool uses_stack, uses_frame; /* memory at rsp + memory_at, rbp + memory_at */
	int32_t memory_at;
	int64_t target;   /* of jump, branch and call; from the first byte */
	uint16_t writes;  /* registers; all, when not known */
	bool is_emulated; /* by the kernel's uprobes: not single-stepped */
	bool is_refused;  /* by the kernel's uprobes */
	bool is_nop, is_nop5;
	bool compares_g; /* Go: with what r14 + 16 has, the end of the stack */
};

struct decoder;

struct instructions {
	struct instruction *row;
	size_t count;
	uint32_t *at; /* by byte: index in row + 1, 0: no instruction starts there */
	size_t len;
	bool is_whole; /* all bytes could be decoded */
};

/* What many functions are read with: making one takes longer than reading one. -ENOMEM,
 * or -ELIBACC, -ELIBBAD: there is no Capstone, or no good one. */
int decoder_create(struct decoder **ret_decoder);
void decoder_free(struct decoder **decoder);

/* As decoder_create, or -E2BIG for more than a MB. decoder: NULL, for one of its own.
 */
int instructions_read(struct decoder *decoder, const uint8_t *code, size_t len,
		      uint64_t address, struct instructions *ret_instructions);
void instructions_free(struct instructions *instructions);
/* The instruction that starts at offset; NULL: none does. */
const struct instruction *instructions_at(const struct instructions *instructions,
					  int64_t offset);
