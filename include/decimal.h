/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decimal.h - the double nearest to a decimal text, to the last bit, whatever the
 * locale. What is taken is what Go's strconv.ParseFloat takes, as Prometheus parses
 * with that, less hexadecimal and underscores, which it refuses. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "slice.h"

/* As ParseFloat makes it. */
#define DECIMAL_NAN 0x7ff8000000000001ull

/* "1", "-.5e+3", "+Inf", "infinity", "NaN", in any case: the bits of the double. False:
 * something else, or beyond the largest double; what is too small is zero. */
bool decimal_parse(struct slice text, uint64_t *ret_bits);
