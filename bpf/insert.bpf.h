/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* insert.bpf.h - a new row in a hash map that allocates as it fills. */
#pragma once

#include "kernel.h"

#define E2BIG 7
#define ENOMEM 12
#define EBUSY 16
#define EEXIST 17
#define INSERT_TRIES 8

/* A new row: 0 or -errno, an int: before 6.4 (commit d7ba4cc900bf) the upper half of
 * what the call returns is not of its sign. Rows are allocated from a few kept ready
 * on each processor; when these are used up, an interrupt that fetches more comes as
 * soon as this one is refused. With PREEMPT_RT it is a thread, too late for a program
 * that cannot be preempted: there they are all allocated at load (src/probes.c). */
static __always_inline int insert(void *map, const void *key, const void *value)
{
	int err = 0;

	for (__u32 i = 0; i < INSERT_TRIES; i++) {
		err = (int)bpf_map_update_elem(map, key, value, BPF_NOEXIST);
		if (err != -ENOMEM && err != -EBUSY)
			break;
	}
	return err;
}
