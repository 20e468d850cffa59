/* SPDX-License-Identifier: Apache-2.0 */
/* Names of C++ and Rust (both manglings) as their source spells them. libiberty
 * stays behind demangle.c. Hostile names, whose text grows with a power of their
 * length, are left as they are. */
#pragma once

#include <stddef.h>

/* "shop::checkout(int)", "core::fmt::Formatter::pad"; to be freed. NULL: not a
 * mangled name, too long, or no memory. */
char *demangle(const char *name);
/* The length of a demangled name up to its parameter list; all of it, if it has
 * none. */
size_t demangle_base_len(const char *display);
