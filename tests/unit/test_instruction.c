/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "instruction.h"
#include "machine_code.h"

#define ALL 0xffff
#define BIT(number) (1u << (number))

/* Reads code that is one instruction, and more behind it if count says so. */
static struct instruction last_of(const uint8_t *code, size_t len, size_t count)
{
	struct instructions instructions;
	struct instruction last;

	assert_int_equal(instructions_read(NULL, code, len, 0x401000, &instructions),
			 0);
	assert_true(instructions.is_whole);
	assert_int_equal(instructions.count, count);
	last = instructions.row[count - 1];
	assert_ptr_equal(instructions_at(&instructions, last.offset),
			 &instructions.row[count - 1]);
	instructions_free(&instructions);
	return last;
}

#define LAST(name, count) last_of(name, CODE_LEN(name), count)
#define ONE(name) LAST(name, 1)

CODE(mov_argument, "mov dil, 1");
CODE(mov_memory, "mov [rdi + 8], rsi");
CODE(load, "mov r12, [rdi]");
CODE(compare, "cmp rdi, rsi");
CODE(endbr, "endbr64");
CODE(long_nop, "nop word ptr [rax + rax]");
CODE(vector, "movups [rsp - 24], xmm0");
CODE(divide, "div rcx");
CODE(strings, "rep stosq");
CODE(exchange, "xchg rax, rdi");
CODE(pop_argument, "pop rdi");

static void what_is_written_is_known_or_everything(void **state)
{
	(void)state;
	assert_int_equal(ONE(mov_argument).writes, BIT(7));
	assert_int_equal(ONE(mov_memory).writes, 0);
	assert_int_equal(ONE(load).writes, BIT(12));
	assert_int_equal(ONE(compare).writes, 0);
	assert_int_equal(ONE(endbr).writes, 0);
	assert_int_equal(ONE(long_nop).writes, 0);
	assert_int_equal(ONE(vector).writes, 0);
	assert_int_equal(ONE(divide).writes, ALL);
	assert_int_equal(ONE(strings).writes, ALL);
	assert_int_equal(ONE(exchange).writes, ALL);
	assert_int_equal(ONE(pop_argument).writes, BIT(7) | INSTRUCTION_RSP);
}

CODE(push, "push rbx");
CODE(push_high, "push r12");
CODE(push_number, "push 1");
CODE(push_memory, "push [rdi]");
CODE(push_word, "push bx");
CODE(nop, "nop");
CODE(nop_word, ".byte 0x66, 0x90");
CODE(exchange_r8, ".byte 0x41, 0x90");
CODE(near, "1: jmp 1b + 0x1000");
CODE(branch, "1: je 1b + 0x1000");
CODE(branch_short, "1: je 1b");
CODE(call, "1: call 1b + 0x1000");
CODE(ret, "ret");
CODE(subtract, "sub rsp, 24");

static void what_the_kernel_emulates_is_known(void **state)
{
	(void)state;
	assert_true(ONE(push).is_emulated);
	assert_true(ONE(push_high).is_emulated);
	assert_true(ONE(nop).is_emulated);
	assert_true(ONE(near).is_emulated);
	assert_true(ONE(branch).is_emulated);
	assert_true(ONE(branch_short).is_emulated);
	assert_true(ONE(call).is_emulated);
	assert_false(ONE(push_number).is_emulated);
	assert_false(ONE(push_memory).is_emulated);
	assert_false(ONE(push_word).is_emulated);
	assert_false(ONE(nop_word).is_emulated);
	assert_false(ONE(exchange_r8).is_emulated);
	assert_false(ONE(ret).is_emulated);
	assert_false(ONE(subtract).is_emulated);
	assert_false(ONE(endbr).is_emulated);
}

CODE(locked, "lock inc qword ptr [rdi]");
CODE(trap, "int3");
CODE(system_call, "syscall");
CODE(save_flags, "pushfq");
CODE(copy_all, "rep movsb");
CODE(find_zero, "repne scasb");
CODE(copy_one, "movsb");
CODE(move_double, "movsd xmm0, qword ptr [rdi]");
CODE(plain_nop5, ".byte 0x0f, 0x1f, 0x44, 0, 0");

static void what_the_kernel_refuses_is_known(void **state)
{
	(void)state;
	assert_true(ONE(locked).is_refused);
	assert_true(ONE(trap).is_refused);
	/* it takes these, but steps them wrongly */
	assert_true(ONE(system_call).is_refused);
	assert_true(ONE(save_flags).is_refused);
	assert_true(ONE(copy_all).is_refused);
	assert_true(ONE(find_zero).is_refused);
	assert_false(ONE(copy_one).is_refused);
	assert_false(ONE(move_double).is_refused);
	assert_false(ONE(push).is_refused);
	assert_false(ONE(endbr).is_refused);
	assert_true(ONE(plain_nop5).is_nop5);
	assert_false(ONE(long_nop).is_nop5);
}

CODE(notrack, "notrack jmp rax");
CODE(by_register, "jmp rax");
CODE(by_table, "jmp [rax * 8 + 0x400000]");
CODE(by_pointer, "jmp [rax + 16]");
CODE(by_got, "jmp [rip + 16]");
CODE(by_sum, "add rax, rdx; jmp rax");
CODE(by_old_sum, "add rax, rdx; mov rbx, rcx; notrack jmp rax");
CODE(by_no_sum, "add rax, rdx; mov rax, rcx; jmp rax");
CODE(by_load, "mov rax, [rdi + 8]; test rax, rax; je 1f; jmp rax; 1:");
CODE(by_load_and_leave, "mov rax, [rdi]; leave; jmp rax");
CODE(by_old_load, "mov rax, [rdi + 8]; call 1f; 1: jmp rax");
CODE(by_indexed_load, "mov rax, [rdi + rsi * 8]; jmp rax");
CODE(bounded_ret, "bnd ret");
CODE(ret_some, "ret 8");
CODE(undefined, "ud2");
CODE(if_zero, "1: jrcxz 1b");
CODE(call_register, "call rax");

static void where_control_goes_is_known(void **state)
{
	(void)state;
	assert_int_equal(ONE(push).kind, INSTRUCTION_PLAIN);
	assert_int_equal(ONE(near).kind, INSTRUCTION_JUMP);
	assert_int_equal(ONE(near).target, 0x1000);
	assert_int_equal(ONE(branch).kind, INSTRUCTION_BRANCH);
	assert_int_equal(ONE(branch).target, 0x1000);
	assert_int_equal(ONE(branch_short).target, 0);
	assert_int_equal(ONE(if_zero).kind, INSTRUCTION_BRANCH);
	assert_int_equal(ONE(call).kind, INSTRUCTION_CALL);
	assert_int_equal(ONE(call_register).kind, INSTRUCTION_CALL);
	assert_int_equal(ONE(notrack).kind, INSTRUCTION_REGISTER);
	assert_int_equal(ONE(by_register).kind, INSTRUCTION_REGISTER);
	assert_int_equal(ONE(by_table).kind, INSTRUCTION_TABLE);
	assert_int_equal(ONE(by_pointer).kind, INSTRUCTION_POINTER);
	assert_int_equal(ONE(by_got).kind, INSTRUCTION_POINTER);
	assert_int_equal(LAST(by_sum, 2).kind, INSTRUCTION_TABLE);
	assert_int_equal(LAST(by_old_sum, 3).kind, INSTRUCTION_TABLE);
	assert_int_equal(LAST(by_no_sum, 3).kind, INSTRUCTION_REGISTER);
	assert_int_equal(LAST(by_load, 4).kind, INSTRUCTION_POINTER);
	assert_int_equal(LAST(by_load_and_leave, 3).kind, INSTRUCTION_POINTER);
	assert_int_equal(LAST(by_old_load, 3).kind, INSTRUCTION_REGISTER);
	assert_int_equal(LAST(by_indexed_load, 2).kind, INSTRUCTION_REGISTER);
	assert_int_equal(ONE(ret).kind, INSTRUCTION_RETURN);
	assert_int_equal(ONE(bounded_ret).kind, INSTRUCTION_RETURN);
	assert_int_equal(ONE(ret_some).kind, INSTRUCTION_RETURN);
	assert_int_equal(ONE(undefined).kind, INSTRUCTION_STOP);
	assert_int_equal(ONE(trap).kind, INSTRUCTION_STOP);
}

static void expect_stack(struct instruction instruction, enum instruction_stack stack,
			 int32_t by, enum instruction_frame frame, int32_t frame_by)
{
	assert_int_equal(instruction.stack, stack);
	assert_int_equal(instruction.stack_by, by);
	assert_int_equal(instruction.frame, frame);
	assert_int_equal(instruction.frame_by, frame_by);
}

CODE(pop_frame, "pop rbp");
CODE(add_stack, "add rsp, 0x1000");
CODE(lea_stack, "lea rsp, [rsp - 40]");
CODE(lea_frame, "lea rsp, [rbp - 40]");
CODE(mov_frame, "mov rsp, rbp");
CODE(set_frame, "mov rbp, rsp");
CODE(set_frame_above, "lea rbp, [rsp + 64]");
CODE(leave_frame, "leave");
CODE(align, "and rsp, -32");
CODE(realign, "lea rsp, [r10 - 8]");
CODE(pop_stack, "pop rsp");
CODE(exchange_stack, "xchg rax, rsp");
CODE(compare_stack, "cmp rsp, [r14 + 16]");
CODE(use_frame, "mov rbp, rdi");

static void the_stack_pointer_is_followed(void **state)
{
	(void)state;
	expect_stack(ONE(push), STACK_MOVES, -8, FRAME_STAYS, 0);
	expect_stack(ONE(push_word), STACK_MOVES, -2, FRAME_STAYS, 0);
	expect_stack(ONE(push_number), STACK_MOVES, -8, FRAME_STAYS, 0);
	expect_stack(ONE(pop_frame), STACK_MOVES, 8, FRAME_LOST, 0);
	expect_stack(ONE(subtract), STACK_MOVES, -24, FRAME_STAYS, 0);
	expect_stack(ONE(add_stack), STACK_MOVES, 0x1000, FRAME_STAYS, 0);
	expect_stack(ONE(lea_stack), STACK_MOVES, -40, FRAME_STAYS, 0);
	expect_stack(ONE(lea_frame), STACK_FRAME, -40, FRAME_STAYS, 0);
	expect_stack(ONE(mov_frame), STACK_FRAME, 0, FRAME_STAYS, 0);
	expect_stack(ONE(set_frame), STACK_MOVES, 0, FRAME_STACK, 0);
	expect_stack(ONE(set_frame_above), STACK_MOVES, 0, FRAME_STACK, 64);
	expect_stack(ONE(leave_frame), STACK_FRAME, 8, FRAME_LOST, 0);
	expect_stack(ONE(align), STACK_LOST, 0, FRAME_STAYS, 0);
	expect_stack(ONE(realign), STACK_LOST, 0, FRAME_STAYS, 0);
	expect_stack(ONE(pop_stack), STACK_LOST, 0, FRAME_STAYS, 0);
	expect_stack(ONE(exchange_stack), STACK_LOST, 0, FRAME_STAYS, 0);
	expect_stack(ONE(compare_stack), STACK_MOVES, 0, FRAME_STAYS, 0);
	expect_stack(ONE(call), STACK_MOVES, 0, FRAME_STAYS, 0);
	expect_stack(ONE(use_frame), STACK_MOVES, 0, FRAME_LOST, 0);
}

CODE(word_call, "push rbx; .byte 0x66, 0xe8, 0, 0, 0, 0");
CODE(word_branch, "push rbx; .byte 0x66, 0x0f, 0x85, 0, 0");
CODE(thread_local_call, ".byte 0x66, 0x66, 0x48, 0xe8, 0, 0, 0, 0");

/* Intel's processors and AMD's do not find the same next instruction. */
static void what_processors_do_not_agree_on_ends_the_row(void **state)
{
	struct instructions instructions;

	(void)state;
	assert_int_equal(
	    instructions_read(NULL, word_call, CODE_LEN(word_call), 0, &instructions),
	    0);
	assert_false(instructions.is_whole);
	assert_int_equal(instructions.count, 1);
	instructions_free(&instructions);
	assert_int_equal(instructions_read(NULL, word_branch, CODE_LEN(word_branch), 0,
					   &instructions),
			 0);
	assert_false(instructions.is_whole);
	assert_int_equal(instructions.count, 1);
	instructions_free(&instructions);
	assert_int_equal(ONE(thread_local_call).kind, INSTRUCTION_CALL);
}

CODE(compare_large, "lea r12, [rsp - 0x80]; cmp r12, [r14 + 16]");
CODE(compare_other, "cmp rsp, [r14 + 24]");

static void the_check_of_gos_stack_is_known(void **state)
{
	(void)state;
	assert_true(ONE(compare_stack).compares_g);
	assert_true(LAST(compare_large, 2).compares_g);
	assert_false(ONE(compare_other).compares_g);
	assert_false(ONE(compare).compares_g);
}

static void what_cannot_be_decoded_ends_the_row(void **state)
{
	/* push rbx, an opcode that 64-bit mode does not have, ret */
	static const uint8_t code[] = {0x53, 0x06, 0xc3};
	struct instructions instructions;

	(void)state;
	assert_int_equal(instructions_read(NULL, code, 3, 0, &instructions), 0);
	assert_false(instructions.is_whole);
	assert_int_equal(instructions.count, 1);
	assert_null(instructions_at(&instructions, 1));
	assert_null(instructions_at(&instructions, -1));
	assert_null(instructions_at(&instructions, 3));
	assert_null(instructions_at(&instructions, INT64_MIN));
	instructions_free(&instructions);
	assert_int_equal(instructions_read(NULL, code, 0, 0, &instructions), 0);
	assert_int_equal(instructions.count, 0);
	instructions_free(&instructions);
}

static void random_bytes_are_survived_and_never_overrun(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (size_t run = 0; run < 20000; run++) {
		/* Of the heap, of this very size: the sanitizer sees a step beyond. */
		size_t len = (size_t)rand_r(&seed) % 48;
		uint8_t *code = malloc(len + !len);
		struct instructions instructions;

		assert_non_null(code);
		for (size_t i = 0; i < len; i++)
			code[i] = (uint8_t)rand_r(&seed);
		assert_int_equal(
		    instructions_read(NULL, code, len, UINT64_MAX - 8, &instructions),
		    0);
		assert_true(instructions.count <= len);
		for (size_t i = 0; i < instructions.count; i++)
			assert_true(instructions.row[i].offset +
					instructions.row[i].len <=
				    len);
		instructions_free(&instructions);
		free(code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_written_is_known_or_everything),
	    cmocka_unit_test(what_the_kernel_emulates_is_known),
	    cmocka_unit_test(what_the_kernel_refuses_is_known),
	    cmocka_unit_test(where_control_goes_is_known),
	    cmocka_unit_test(the_stack_pointer_is_followed),
	    cmocka_unit_test(the_check_of_gos_stack_is_known),
	    cmocka_unit_test(what_cannot_be_decoded_ends_the_row),
	    cmocka_unit_test(what_processors_do_not_agree_on_ends_the_row),
	    cmocka_unit_test(random_bytes_are_survived_and_never_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
