/* SPDX-License-Identifier: Apache-2.0 */
/* bpftally doctor: what this kernel and these privileges allow, a line each, to
 * stdout. Returns true when bpftally can run here. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

bool doctor_run(FILE *out);
/* The same questions as one line for an error message: the first requirement
 * that fails, what to do; false when none does. */
bool doctor_first_failure(char *ret_line, size_t size);
