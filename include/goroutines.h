/* SPDX-License-Identifier: Apache-2.0 */
/* goroutines.h - calls of goroutines under way: the kernel keeps them in a map, and
 * sees no goroutine end. Those of processes that are no more are taken out here. */
#pragma once

#include <stdint.h>

/* map_fd: tally_goroutine_key -> tally_function_frame. ret_taken: calls that their
 * processes took along. -errno of the map. */
int goroutines_sweep(int map_fd, const char *proc_root, uint64_t *ret_taken);
