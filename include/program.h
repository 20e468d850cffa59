/* SPDX-License-Identifier: Apache-2.0 */
/* What a program is called, from its executable and command line. Pure: it opens
 * none of the files that it is told of. */
#pragma once

#include <stddef.h>

#include "slice.h"

/* The script or module of an interpreter, the jar or main class of java, else the
 * basename of exe, else of argv[0], else comm, else "unknown"; always a label.
 * exe and comm may be "". args: argv, each word ended by a NUL (the last one
 * too); in doubt about the script the interpreter's own name. */
void program_name(const char *exe, struct slice args, const char *comm, char *ret_name,
		  size_t size);
