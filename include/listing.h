/* SPDX-License-Identifier: Apache-2.0 */
/* `bpftally functions EXE|PID [GLOB]`: what can be probed, and how. Reads files
 * only: it asks the kernel nothing and attaches nothing. */
#pragma once

#include <stdio.h>

/* A line a function, sorted by display name: name, size in bytes, cost of a probe at
 * its entry, how its latency would be had or why not; then a line a USDT probe. Digits
 * alone are a PID: its executable and the libraries it has mapped, each headed by its
 * path. glob (NULL: all) is for raw or demangled names, "provider:name" of USDT. 0, or
 * -errno with the error logged. */
int listing_print(FILE *out, const char *subject, const char *glob);
