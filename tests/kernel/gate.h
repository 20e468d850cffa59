/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate.h - holds a thread inside its send, as when the processor is taken away there,
 * but for as long as a case needs. Its bytes can be read already, and
 *   GATE_WAKE: they are in the queue of a Unix socket, whose owner was not woken yet;
 *   GATE_SENT: all is done, but the programs that tell of the end did not run yet.
 *
 * They are programs on the same tracepoints as ours, attached before, so that they run
 * first. They spin in the thread that the gate names, until it names none or GATE_NS
 * are over. Such a loop takes Linux 6.9; without, nobody is held.
 */
#pragma once

#include "require.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

#define GATE_NS 200000000 /* the kernel ends such a loop after 250 ms (6.16) */

enum gate_place { GATE_WAKE, GATE_SENT, GATE_PLACES };

struct gate {
	int map, program[GATE_PLACES], link[GATE_PLACES];
	/* Shared with the programs. */
	volatile struct {
		uint64_t thread[GATE_PLACES]; /* that is to be held; 0: none */
		uint64_t expired;             /* how often it took too long */
	} * state;
};

#define GATE_REGISTERS(to, from) .dst_reg = BPF_REG_##to, .src_reg = BPF_REG_##from
#define GATE_CALL(helper)                                                              \
	{                                                                              \
		.code = BPF_JMP | BPF_CALL, .imm = (helper)                            \
	}
#define GATE_LOAD(to, from, offset)                                                    \
	{                                                                              \
		.code = BPF_LDX | BPF_MEM | BPF_DW, GATE_REGISTERS(to, from),          \
		.off = (offset)                                                        \
	}
#define GATE_MOVE(width, to, from)                                                     \
	{                                                                              \
		.code = (width) | BPF_MOV | BPF_X, GATE_REGISTERS(to, from)            \
	}
#define GATE_ADD(to, value)                                                            \
	{                                                                              \
		.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_##to,          \
		.imm = (value)                                                         \
	}
#define GATE_JUMP(condition, left, right, offset)                                      \
	{                                                                              \
		.code = BPF_JMP | (condition) | BPF_X, GATE_REGISTERS(left, right),    \
		.off = (offset)                                                        \
	}
/* BPF_JCOND, BPF_MAY_GOTO: on, but not for ever (Linux 6.9). */
#define GATE_MAY_GO_ON(offset)                                                         \
	{                                                                              \
		.code = BPF_JMP | 0xe0, .off = (offset)                                \
	}

static inline int gate_program(int map, enum gate_place place)
{
	const struct bpf_insn program[] = {
	    {.code = BPF_LD | BPF_IMM | BPF_DW,
	     .dst_reg = BPF_REG_6,
	     .src_reg = BPF_PSEUDO_MAP_VALUE,
	     .imm = map},
	    {0},
	    GATE_CALL(BPF_FUNC_get_current_pid_tgid),
	    GATE_MOVE(BPF_ALU, 7, 0), /* the thread: its lower half */
	    GATE_CALL(BPF_FUNC_ktime_get_ns),
	    GATE_MOVE(BPF_ALU64, 8, 0),
	    GATE_ADD(8, GATE_NS),
	    GATE_LOAD(1, 6, (int16_t)(8 * place)), /* the loop */
	    GATE_JUMP(BPF_JNE, 1, 7, 7),
	    GATE_CALL(BPF_FUNC_ktime_get_ns),
	    GATE_JUMP(BPF_JGT, 0, 8, 2),
	    GATE_MAY_GO_ON(1),
	    {.code = BPF_JMP | BPF_JA, .off = -6},
	    GATE_LOAD(1, 6, 8 * GATE_PLACES), /* too long */
	    GATE_ADD(1, 1),
	    {.code = BPF_STX | BPF_MEM | BPF_DW,
	     GATE_REGISTERS(6, 1),
	     .off = 8 * GATE_PLACES},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
	    {.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "gate", "GPL", program,
			     sizeof(program) / sizeof(program[0]), NULL);
}

static inline struct gate gate_open(void)
{
	static const char *const tracepoints[] = {"sk_data_ready", "sock_send_length"};
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	struct gate gate;

	gate.map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "gate", sizeof(uint32_t),
				  sizeof(*gate.state), 1, &options);
	REQUIRE(gate.map >= 0);
	gate.state = mmap(NULL, sizeof(*gate.state), PROT_READ | PROT_WRITE, MAP_SHARED,
			  gate.map, 0);
	REQUIRE(gate.state != MAP_FAILED);
	for (enum gate_place place = 0; place < GATE_PLACES; place++) {
		int program = gate_program(gate.map, place);

		gate.program[place] = program;
		gate.link[place] =
		    program < 0 ? -1
				: bpf_raw_tracepoint_open(tracepoints[place], program);
	}
	return gate;
}

static inline bool gate_works(const struct gate *gate)
{
	return gate->link[GATE_WAKE] >= 0 && gate->link[GATE_SENT] >= 0;
}

static inline void gate_close(struct gate *gate)
{
	for (enum gate_place place = 0; place < GATE_PLACES; place++) {
		if (gate->link[place] >= 0)
			close(gate->link[place]);
		if (gate->program[place] >= 0)
			close(gate->program[place]);
	}
	REQUIRE(!munmap((void *)gate->state, sizeof(*gate->state)));
	close(gate->map);
}

/* The calling thread, in its next send. */
static inline void gate_hold_me(struct gate *gate, enum gate_place place)
{
	__atomic_store_n(&gate->state->thread[place], (uint64_t)gettid(),
			 __ATOMIC_RELEASE);
}

static inline void gate_let_go(struct gate *gate)
{
	for (enum gate_place place = 0; place < GATE_PLACES; place++)
		__atomic_store_n(&gate->state->thread[place], 0, __ATOMIC_RELEASE);
}
