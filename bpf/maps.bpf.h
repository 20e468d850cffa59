/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * maps.bpf.h - what the program files share: the process map, the counters, the
 * configuration. Weak, so that each file includes it and the linker keeps one.
 * All hash maps allocate as they fill (with PREEMPT_RT: at load), up to a ceiling fixed
 * at load; none is per CPU; each says what happens when it is full.
 */
#pragma once

#include "../include/abi.h"
#include "insert.bpf.h"

#define SHARED __weak

/* Full: the process is counted under service 0 (`other`), in the ledger. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_PROCESS_ROWS);
	__type(key, __u32);
	__type(value, struct tally_process);
} processes SHARED SEC(".maps");

const volatile struct tally_config config SHARED = {};
/* Raised by the daemon when it changes a process's entry. 0: not all programs are
 * attached yet; a request seen by one and not the other would shift every pair. */
__u32 generation SHARED = 0;
struct tally_counters counters SHARED = {};

static __always_inline void missed(enum tally_missed reason, __u64 count)
{
	__u32 index = reason;

	asm volatile("" : "+r"(index)); /* keep the check where the verifier looks */
	if (index < TALLY_MISSED_COUNT)
		__sync_fetch_and_add(&counters.missed[index], count);
}
