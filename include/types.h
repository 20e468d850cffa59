/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Fixed-width names that mean the same in BPF, in the daemon and in host
 * tests. linux/types.h is a UAPI header, so it is there for all three. */
#pragma once

#include <linux/types.h>
#ifndef __bpf__
#include <stdbool.h>
#include <stddef.h>
#else
#define bool _Bool
#define true 1
#define false 0
#define NULL ((void *)0)
#endif

/* Of the headers that both sides and the tests compile. */
#define PURE_INLINE static inline __attribute__((always_inline))
