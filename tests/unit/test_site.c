/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "elf.h"
#include "machine_code.h"
#include "site.h"
#include "workshop.h"

#define ADDRESS 0x401000

static const struct site_wish count = {0};
static const struct site_wish latency = {.latency = true};
static const struct site_wish exits = {.latency = true, .no_return_probe = true};
static const struct site_wish go_count = {.go = true};
static const struct site_wish go_latency = {.go = true, .latency = true};

static struct site chosen(const uint8_t *code, size_t len, const struct site_wish *wish)
{
	struct site site;
	const char *why;

	if (site_choose(code, len, ADDRESS, wish, &site, &why))
		fail_msg("%s", why);
	return site;
}

static void expect_entry_of(const uint8_t *code, size_t len,
			    const struct site_wish *wish, uint32_t entry, bool is_cheap)
{
	struct site site = chosen(code, len, wish);

	assert_int_equal(site.entry, entry);
	assert_int_equal(site.is_cheap, is_cheap);
	assert_int_equal(site.return_probe,
			 wish->latency && !wish->go && !wish->no_return_probe);
}

static void expect_why_of(const uint8_t *code, size_t len, const struct site_wish *wish,
			  const char *expected)
{
	struct site site = {.entry = 4711};
	const char *why = NULL;

	assert_int_equal(site_choose(code, len, ADDRESS, wish, &site, &why),
			 -EOPNOTSUPP);
	assert_string_equal(why, expected);
	assert_int_equal(site.entry, 4711);
}

#define ENTRY(code, wish, entry, is_cheap)                                             \
	expect_entry_of(code, CODE_LEN(code), wish, entry, is_cheap)
#define WHY(code, wish, why) expect_why_of(code, CODE_LEN(code), wish, why)

#define RETURNS(code, wish, ...)                                                       \
	do {                                                                           \
		const uint32_t expected[] = {__VA_ARGS__};                             \
		struct site site = chosen(code, CODE_LEN(code), wish);                 \
                                                                                       \
		assert_false(site.return_probe);                                       \
		assert_int_equal(site.return_count,                                    \
				 sizeof(expected) / sizeof(expected[0]));              \
		for (size_t i = 0; i < site.return_count; i++)                         \
			assert_int_equal(site.returns[i], expected[i]);                \
	} while (0)

/* ---- entry ---- */

CODE(push_first, "push rbp; mov rbp, rsp; pop rbp; ret");
CODE(push_second, "endbr64; push r15; pop r15; ret");
CODE(push_late, "endbr64; mov r12, rdi; xor eax, eax; lea r11, [rdi + rdi]; "
		"test rdi, rdi; je 1f; push rbx; pop rbx; 1: ret");
CODE(argument_first, "mov rdi, rsi; push rbx; pop rbx; ret");
CODE(argument_part_first, "mov sil, 1; push rbx; pop rbx; ret");
CODE(stack_first, "sub rsp, 24; test rdi, rdi; js 1f; add rsp, 24; 1: ret");
CODE(nothing_cheap, "mov rax, rdi; ret");
CODE(unknown_first, "cpuid; push rbx; pop rbx; ret");
CODE(return_first, "ret");
CODE(nop_first, "nop; mov rax, rdi; ret");
CODE(far_push, ".rept 16; test rdi, rdi; .endr; push rbx; pop rbx; ret");
CODE(near_push, ".rept 15; test rdi, rdi; .endr; push rbx; pop rbx; ret");

static void the_first_emulated_instruction_with_arguments_in_place(void **state)
{
	(void)state;
	ENTRY(push_first, &latency, 0, true);
	ENTRY(push_second, &latency, 4, true);
	ENTRY(push_late, &latency, 16, true);
	ENTRY(argument_first, &latency, 0, false);
	ENTRY(argument_part_first, &count, 0, false);
	ENTRY(nothing_cheap, &latency, 0, false);
	ENTRY(unknown_first, &count, 0, false);
	ENTRY(return_first, &count, 0, false);
	ENTRY(nop_first, &count, 0, true);
	ENTRY(far_push, &count, 0, false);
	ENTRY(near_push, &count, 45, true);
}

static void latency_needs_the_stack_pointer_of_the_caller(void **state)
{
	(void)state;
	ENTRY(stack_first, &latency, 0, false);
	ENTRY(stack_first, &exits, 0, false);
	ENTRY(stack_first, &count, 7, true);
}

CODE(loop_to_site, "mov r11, rdi; 1: push rbx; pop rbx; dec rdi; jne 1b; ret");
CODE(loop_behind_start, "endbr64; 1: mov r11, rdi; push rbx; pop rbx; jmp 1b");
CODE(loop_behind_site, "mov r11, rdi; push rbx; 1: dec rdi; jne 1b; pop rbx; ret");
CODE(loop_to_start, "1: mov r11, rdi; push rbx; pop rbx; dec rdi; jne 1b; ret");

static void a_site_that_one_call_runs_again_is_not_taken(void **state)
{
	(void)state;
	ENTRY(loop_to_site, &count, 0, false);
	ENTRY(loop_behind_start, &count, 0, false);
	ENTRY(loop_behind_site, &count, 3, true);
	/* There the first byte is no better. */
	ENTRY(loop_to_start, &count, 3, true);
}

CODE(nop5_first, ".byte 0x0f, 0x1f, 0x44, 0, 0; mov rdi, rsi; ret");
CODE(nop5_then_push, ".byte 0x0f, 0x1f, 0x44, 0, 0; push rbx; pop rbx; ret");
CODE(nop5_second, "mov r11, rsi; .byte 0x0f, 0x1f, 0x44, 0, 0; mov rdi, rsi; ret");
CODE(go_nop5, "cmp rsp, [r14 + 16]; jbe 1f; .byte 0x0f, 0x1f, 0x44, 0, 0; ret; "
	      "1: jmp 1b");

/* From Linux 6.18 on a probe there is a call that writes below the stack pointer. */
static void a_nop5_is_probed_at_the_first_byte_only(void **state)
{
	(void)state;
	ENTRY(nop5_first, &count, 0, false);
	ENTRY(nop5_then_push, &count, 5, true);
	ENTRY(nop5_second, &count, 0, false);
	WHY(go_nop5, &go_count, "the kernel cannot probe where it begins");
}

CODE(call_first, "test rdi, rdi; call 1f; 1: ret");

/* Kernels have emulated it without the shadow stack. */
static void a_call_is_not_a_site(void **state)
{
	(void)state;
	ENTRY(call_first, &count, 0, false);
}

CODE(lock_first, "lock inc qword ptr [rdi]; ret");
CODE(lock_then_push, "test rdi, rdi; lock inc qword ptr [rdi]; push rbx; ret");
CODE(garbage_first, ".byte 0x06; ret");
CODE(garbage_later, "mov r11, rdi; push rbx; .byte 0x06; ret");

static void what_the_kernel_would_refuse_is_refused(void **state)
{
	(void)state;
	WHY(lock_first, &count, "the kernel cannot probe where it begins");
	ENTRY(lock_then_push, &count, 7, true);
	WHY(garbage_first, &count, "its code cannot be decoded");
	/* What follows may jump to the push. */
	ENTRY(garbage_later, &count, 0, false);
}

static void without_a_size_only_the_first_byte_is_probed(void **state)
{
	(void)state;
	expect_entry_of(NULL, 0, &count, 0, false);
	expect_entry_of(NULL, 0, &latency, 0, false);
	expect_why_of(NULL, 0, &exits, "its size is not known");
	expect_why_of(NULL, 0, &go_latency, "its size is not known");
}

/* ---- Go ---- */

CODE(go_small, "cmp rsp, [r14 + 16]; jbe 1f; push rbp; mov rbp, rsp; pop rbp; ret; "
	       "1: mov [rsp + 8], rax; call 2f; mov rax, [rsp + 8]; jmp go_small; "
	       "2: nop");
CODE(go_large, "2: lea r12, [rsp - 0x88]; cmp r12, [r14 + 16]; jbe 1f; push rbp; "
	       "mov rbp, rsp; sub rsp, 0x100; add rsp, 0x100; pop rbp; ret; "
	       "1: call 1b; jmp 2b");
CODE(go_huge, "2: mov r12, rsp; sub r12, 0x11000; jb 1f; cmp r12, [r14 + 16]; jbe 1f; "
	      "sub rsp, 0x100; add rsp, 0x100; ret; 1: call 1b; jmp 2b");
CODE(go_leaf, "lea rcx, [rax + rbx]; mov rax, rcx; ret");
CODE(go_leaf_push, "test rax, rax; push rbp; mov rbp, rsp; pop rbp; ret");
CODE(go_writes_rbx, "mov rbx, rax; push rbp; pop rbp; ret");
CODE(go_several, "2: cmp rsp, [r14 + 16]; jbe 1f; push rbp; mov rbp, rsp; "
		 "test rax, rax; je 3f; pop rbp; ret; 3: xor eax, eax; pop rbp; ret; "
		 "1: call 1b; jmp 2b; int3; int3");

static void go_is_probed_behind_the_check_of_its_stack(void **state)
{
	(void)state;
	ENTRY(go_small, &go_count, 6, true);
	ENTRY(go_large, &go_count, 14, true);
	/* sub rsp is stepped, and passed for a count. */
	ENTRY(go_huge, &go_latency, 18, false);
	ENTRY(go_leaf, &go_count, 0, false);
	ENTRY(go_leaf_push, &go_count, 3, true);
	/* rbx is an argument in Go, in C it is not. */
	ENTRY(go_writes_rbx, &go_count, 0, false);
	ENTRY(go_writes_rbx, &count, 3, true);
}

static void go_returns_by_its_own_instructions(void **state)
{
	(void)state;
	RETURNS(go_several, &go_latency, 16, 20);
	RETURNS(go_leaf, &go_latency, 7);
	RETURNS(go_large, &go_latency, 33);
}

/* ---- return ---- */

CODE(two_returns, "test rdi, rdi; je 1f; ret; 1: push rbx; pop rbx; repz ret");
CODE(tail_jump, "push rbx; test rdi, rdi; je 1f; pop rbx; jmp tail_jump_end; "
		"1: pop rbx; ret");
CODE(frame_tail_jump, "push rbp; mov rbp, rsp; push rbx; and rsp, -32; "
		      "lea rsp, [rbp - 8]; pop rbx; pop rbp; jmp 1f + 0x1000; 1:");
CODE(leave_tail_jump, "push rbp; mov rbp, rsp; sub rsp, 64; leave; "
		      "jmp 1f + 0x1000; 1:");
CODE(virtual_tail_jump, "mov rax, [rdi]; jmp [rax + 16]");
CODE(got_tail_jump, "jmp [rip + 0x1000]");
CODE(pointer_tail_jump, "mov rax, [rdi + 8]; test rax, rax; je 1f; jmp rax; 1: ret");

static void ways_out_are_returns_and_tail_jumps(void **state)
{
	(void)state;
	RETURNS(push_first, &exits, 5);
	RETURNS(two_returns, &exits, 5, 8);
	RETURNS(tail_jump, &exits, 7, 10);
	RETURNS(frame_tail_jump, &exits, 15);
	RETURNS(leave_tail_jump, &exits, 9);
	RETURNS(virtual_tail_jump, &exits, 3);
	RETURNS(got_tail_jump, &exits, 0);
	RETURNS(pointer_tail_jump, &exits, 9, 11);
}

CODE(keeps_return, "mov rdx, [rsp]; mov [rdi], rdx; xor eax, eax; ret");
CODE(pops_return, "pop rdi; mov eax, 58; syscall; push rdi; ret");
CODE(frame_return, "push rbp; mov rbp, rsp; mov rax, [rbp + 8]; pop rbp; ret");
CODE(stack_argument, "push rbx; mov rbx, [rsp + 16]; mov rax, [rsp]; pop rbx; ret");
CODE(stack_address, "lea rax, [rsp]; ret");

static void who_looks_at_its_return_address_has_no_return_probe(void **state)
{
	(void)state;
	RETURNS(keeps_return, &latency, 9);
	RETURNS(pops_return, &latency, 9);
	RETURNS(frame_return, &latency, 9);
	ENTRY(stack_argument, &latency, 0, true);
	ENTRY(stack_address, &latency, 0, false);
}

CODE(to_part, "push rbx; test rdi, rdi; jmp to_part_end");
CODE(to_part_if, "push rbx; test rdi, rdi; je 1f + 0x1000; pop rbx; ret; 1:");
CODE(tail_if, "test rdi, rdi; je 1f + 0x1000; ret; 1:");
CODE(lost_depth, "and rsp, -32; jmp 1f + 0x1000; 1:");
CODE(two_depths, "test rdi, rdi; je 1f; push rbx; 1: jmp 2f + 0x1000; 2:");

static void jumps_out_that_are_no_tail_jumps_are_not_guessed(void **state)
{
	(void)state;
	WHY(to_part, &exits, "a part of it lies elsewhere");
	WHY(to_part_if, &exits, "a conditional jump leaves it");
	WHY(tail_if, &exits, "a conditional jump leaves it");
	WHY(lost_depth, &exits, "a part of it lies elsewhere");
	WHY(two_depths, &exits, "a part of it lies elsewhere");
	/* A uretprobe does not care. */
	ENTRY(to_part_if, &latency, 0, true);
}

CODE(register_jump, "jmp rax");
CODE(register_switch, "push rbx; jmp rax; pop rbx; ret");
CODE(old_switch, "jmp [rax * 8 + 0x400000]; mov eax, 1; ret; xor eax, eax; ret");
CODE(new_switch, "lea rdx, [rip]; movsxd rax, dword ptr [rdx + rdi * 4]; "
		 "add rax, rdx; notrack jmp rax; xor eax, eax; ret; mov eax, 1; ret");
CODE(switch_and_tail, "push rbx; jmp [rax * 8 + 0x400000]; pop rbx; "
		      "jmp 1f + 0x1000; pop rbx; ret; 1:");
CODE(switch_and_part, "push rbx; jmp [rax * 8 + 0x400000]; "
		      "jmp 1f + 0x1000; pop rbx; ret; 1:");

static void a_computed_jump_is_a_switch_or_not_guessed(void **state)
{
	(void)state;
	WHY(register_jump, &exits, "it jumps to an address it computes");
	RETURNS(register_switch, &exits, 4);
	RETURNS(old_switch, &exits, 12, 15);
	RETURNS(new_switch, &exits, 19, 25);
	/* Cases begin with the stack that their switch had. */
	RETURNS(switch_and_tail, &exits, 9, 15);
	WHY(switch_and_part, &exits, "a part of it lies elsewhere");
}

/* A landing pad is reached by the unwinder, from where no jump leads. */
CODE(landing_pad, "push rbx; call 1f; 2: pop rbx; jmp 1f + 0x1000; "
		  "mov rbx, rax; call 1f; jmp 2b; 1:");

static void where_a_path_begins_unseen_does_not_spoil_the_others(void **state)
{
	(void)state;
	RETURNS(landing_pad, &exits, 7);
}

CODE(endless, "1: jmp 1b");
CODE(runs_on, "test rdi, rdi; je 1f; ret; 1: mov rax, rdi");
CODE(aborts_in_go, "test rdi, rdi; je 1f; ret; 1: call 1b; nop");
CODE(aborts, "test rdi, rdi; je 1f; ret; 1: call 1b");
CODE(into_the_middle, "test rdi, rdi; je 1f + 1; ret; 1: mov eax, 0; ret");
CODE(many, ".rept 64; ret; .endr");
CODE(too_many, ".rept 65; ret; .endr");

static void who_does_not_return_has_no_latency(void **state)
{
	(void)state;
	WHY(endless, &exits, "it never returns");
	WHY(runs_on, &exits, "it runs on into what follows it");
	RETURNS(aborts, &exits, 5);
	RETURNS(aborts_in_go, &exits, 5);
	WHY(into_the_middle, &exits, "its code cannot be decoded");
	WHY(garbage_later, &exits, "its code cannot be decoded");
	assert_int_equal(chosen(many, CODE_LEN(many), &exits).return_count, 64);
	WHY(too_many, &exits, "it returns in more than 64 places");
}

/* ---- .cold ---- */

/* The cold part lies 0x1000 behind the end of to_part_if. */
CODE(leaf_loop, "push rbx; 1: dec rdi; jne 1b; pop rbx; ret");
CODE(calls, "push rbx; call 1f + 0x1000; 1: pop rbx; ret");
CODE(jumps_away, "push rbx; pop rbx; jmp 1f + 0x1000; 1:");

static void what_calls_may_be_unwound_where_anyone_may_be_called(void **state)
{
	static const struct site_wish wish = {.latency = true, .callees_unwind = true};

	(void)state;
	assert_true(chosen(leaf_loop, CODE_LEN(leaf_loop), &wish).return_probe);
	assert_true(chosen(calls, CODE_LEN(calls), &latency).return_probe);
	RETURNS(calls, &wish, 7);
	RETURNS(jumps_away, &wish, 2);
	RETURNS(pointer_tail_jump, &wish, 9, 11);
	expect_why_of(calls, 0, &wish, "its size is not known");
}

CODE(cold_abort, "call 1f; 1: ud2");
CODE(cold_return, "pop rbx; ret");
CODE(cold_away, "pop rbx; jmp 1f + 0x2000; 1:");

static void expect_cold(const uint8_t *cold, size_t len, const char *why)
{
	struct site_wish wish = {
	    .latency = true,
	    .no_return_probe = true,
	    .cold = cold,
	    .cold_len = len,
	    .cold_address = ADDRESS + CODE_LEN(to_part_if) + 0x1000,
	};

	if (why)
		WHY(to_part_if, &wish, why);
	else
		RETURNS(to_part_if, &wish, 11);
}

#define COLD(code, why) expect_cold(code, CODE_LEN(code), why)

static void a_cold_part_that_does_not_return_is_no_way_out(void **state)
{
	(void)state;
	COLD(cold_abort, NULL);
	COLD(cold_return, "a conditional jump leaves it");
	COLD(cold_away, "a conditional jump leaves it");
	COLD(garbage_first, "a conditional jump leaves it");
}

static void a_cold_part_that_goes_back_is_no_way_out(void **state)
{
	/* jmp rel32 to one before the end of to_part_if: its ret */
	uint8_t back[] = {0x90, 0xe9, 0, 0, 0, 0};
	int32_t by = -0x1000 - 6 - 1;

	(void)state;
	memcpy(back + 2, &by, sizeof(by));
	expect_cold(back, sizeof(back), NULL);
	/* And one behind its end: elsewhere. */
	by = -0x1000 - 6;
	memcpy(back + 2, &by, sizeof(by));
	expect_cold(back, sizeof(back), "a conditional jump leaves it");
}

/* ---- of a file ---- */

#define SOURCE                                                                         \
	"#include <stdlib.h>\n"                                                        \
	"extern int other(int);\n"                                                     \
	"__attribute__((noinline)) int warm(int n)\n"                                  \
	"{ int a = other(n); if (__builtin_expect(a > 99, 0)) abort();\n"              \
	"  return other(a) + n; }\n"                                                   \
	"__attribute__((noinline)) int other(int n)\n"                                 \
	"{ asm volatile(\"\"); return n; }\n"                                          \
	"int main(int n, char **v) { (void)v; return warm(n); }\n"

static struct site found(const char *path, const char *symbol)
{
	char file[256], error[ELF_ERROR_LEN];
	const struct elf_function *functions;
	struct elf *elf = NULL;
	struct site site = {0};
	const char *why;
	size_t count;

	snprintf(file, sizeof(file), "%s/shop", path);
	if (elf_open(file, "", &elf, error))
		fail_msg("%s", error);
	functions = elf_functions(elf, &count);
	for (size_t i = 0; i < count; i++)
		if (elf_function_is(&functions[i], symbol) &&
		    site_find(elf, &functions[i], true, false, &site, &why))
			fail_msg("%s: %s", symbol, why);
	elf_close(&elf);
	return site;
}

static void a_function_of_a_file_is_judged_by_its_language(void **state)
{
	char path[WORKSHOP_LEN];
	struct site site;

	(void)state;
	workshop_open(path);
	workshop_source(path, "shop.c", SOURCE);
	workshop_run(path, "gcc -O2 -o shop shop.c");
	site = found(path, "warm");
	assert_true(site.return_probe);
	/* Here exceptions may pass, and warm.cold is no way out. */
	workshop_run(path, "g++ -O2 -o shop shop.c");
	site = found(path, "warm");
	assert_false(site.return_probe);
	assert_int_equal(site.return_count, 1);
	workshop_close(path);
}

static void random_bytes_are_survived(void **state)
{
	static const struct site_wish *const wishes[] = {&count, &latency, &exits,
							 &go_count, &go_latency};
	unsigned int seed = 1;

	(void)state;
	for (size_t run = 0; run < 20000; run++) {
		size_t len = (size_t)rand_r(&seed) % 64;
		uint8_t *code = malloc(len + !len);
		struct site site = {0};
		const char *why = NULL;

		assert_non_null(code);
		for (size_t i = 0; i < len; i++)
			code[i] = (uint8_t)rand_r(&seed);
		if (site_choose(code, len, ADDRESS, wishes[run % 5], &site, &why))
			assert_non_null(why);
		assert_true(!len || site.entry < len);
		assert_true(site.return_count <= SITE_RETURNS_MAX);
		for (size_t i = 0; i < site.return_count; i++)
			assert_true(site.returns[i] < len);
		free(code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_emulated_instruction_with_arguments_in_place),
	    cmocka_unit_test(latency_needs_the_stack_pointer_of_the_caller),
	    cmocka_unit_test(a_site_that_one_call_runs_again_is_not_taken),
	    cmocka_unit_test(a_nop5_is_probed_at_the_first_byte_only),
	    cmocka_unit_test(a_call_is_not_a_site),
	    cmocka_unit_test(what_the_kernel_would_refuse_is_refused),
	    cmocka_unit_test(without_a_size_only_the_first_byte_is_probed),
	    cmocka_unit_test(go_is_probed_behind_the_check_of_its_stack),
	    cmocka_unit_test(go_returns_by_its_own_instructions),
	    cmocka_unit_test(ways_out_are_returns_and_tail_jumps),
	    cmocka_unit_test(who_looks_at_its_return_address_has_no_return_probe),
	    cmocka_unit_test(jumps_out_that_are_no_tail_jumps_are_not_guessed),
	    cmocka_unit_test(a_computed_jump_is_a_switch_or_not_guessed),
	    cmocka_unit_test(where_a_path_begins_unseen_does_not_spoil_the_others),
	    cmocka_unit_test(who_does_not_return_has_no_latency),
	    cmocka_unit_test(what_calls_may_be_unwound_where_anyone_may_be_called),
	    cmocka_unit_test(a_cold_part_that_does_not_return_is_no_way_out),
	    cmocka_unit_test(a_cold_part_that_goes_back_is_no_way_out),
	    cmocka_unit_test(a_function_of_a_file_is_judged_by_its_language),
	    cmocka_unit_test(random_bytes_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
