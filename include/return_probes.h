/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this kernel's return probes (uretprobes) do no harm. The first
 * function is pure. Where they may, returns are found in the function's own code. */
#pragma once

#include <stdbool.h>

/* release: as uname(2) has it. NULL: safe; else what is wrong, one line.
 * - 6.6 to 6.10 with shadow stacks (the processor has them): a return through the
 *   trampoline does not match the shadow stack (user shadow stacks came with 6.6, the
 *   update of theirs, commit 1713b63a07a2, with 6.11);
 * - 6.11 to 6.13: the trampoline is a system call (commit ff474a78cef5) that sandboxes
 *   kill for, until commit cf6cb56ef244 (6.14, 6.13.3, 6.12.14). */
const char *return_probes_danger(const char *release, bool has_shadow_stacks);
/* Whether /proc/cpuinfo below root ("" outside tests) has user shadow stacks. */
bool return_probes_shadow_stacks(const char *root);
/* The same of the running kernel. */
const char *return_probes_danger_here(void);
