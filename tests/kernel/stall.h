/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stall.h - lets a thread stand still in the midst of our programs, as an interrupt
 * does, or a virtual processor that does not run: a timer of the thread's own time
 * fires, and its program spins where that time was spent in a BPF program. Such a loop
 * takes Linux 6.9.
 */
#pragma once

#include "gate.h"

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#define STALL_NS 100000       /* longer than one thread waits for another */
#define STALL_PERIOD_NS 11000 /* of the thread's time */
#define STALL_FROM 0xc0000000 /* lower half: programs and modules, above the kernel */
#define STALL_IP (16 * 8)     /* in struct pt_regs */

static inline int stall_program(void)
{
	const struct bpf_insn program[] = {
	    GATE_LOAD(7, 1, STALL_IP),
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, /* the upper half is all ones */
	     .dst_reg = BPF_REG_8,
	     .imm = (int32_t)STALL_FROM},
	    GATE_JUMP(BPF_JLT, 7, 8, 7),
	    GATE_CALL(BPF_FUNC_ktime_get_ns),
	    GATE_MOVE(BPF_ALU64, 6, 0),
	    GATE_ADD(6, STALL_NS),
	    GATE_CALL(BPF_FUNC_ktime_get_ns), /* the loop */
	    GATE_JUMP(BPF_JGT, 0, 6, 2),
	    GATE_MAY_GO_ON(1),
	    {.code = BPF_JMP | BPF_JA, .off = -4},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
	    {.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_PERF_EVENT, "stall", "GPL", program,
			     sizeof(program) / sizeof(program[0]), NULL);
}

/* The calling thread, from now on until the descriptor is closed. -1: not here. */
static inline int stall_me(void)
{
	struct perf_event_attr attr = {
	    .type = PERF_TYPE_SOFTWARE,
	    .size = sizeof(attr),
	    .config = PERF_COUNT_SW_CPU_CLOCK,
	    .sample_period = STALL_PERIOD_NS,
	};
	int program = stall_program(), event;

	if (program < 0)
		return -1;
	event =
	    (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (event >= 0)
		REQUIRE(!ioctl(event, PERF_EVENT_IOC_SET_BPF, program));
	close(program);
	return event;
}

static inline bool stall_works(void)
{
	const int event = stall_me();

	if (event >= 0)
		close(event);
	return event >= 0;
}
