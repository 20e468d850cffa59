/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.h - a rule of the configuration in the kernel programs' terms: what to
 * measure, and where at a point the operands are. Pure: it reads no file and knows no
 * address.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "function_abi.h"

#define RULES_ERROR_LEN 256

/* Whether it needs the moment or the result of the return. */
bool rules_need_return(const struct config_function *function);
/* Whether its numbers are of 64 bits without a sign; else they are int64_t. */
bool rules_are_unsigned(const struct config_function *function);
/* Which map has its rows. */
enum tally_function_place rules_place(const struct config_function *function);
/* Without `selects`, which depends on what is found. */
void rules_compile(const struct config_function *function,
		   struct tally_function_rule *ret_rule);
/* Every number that a label's enumeration names. */
typedef void (*rules_visit_enumerated)(void *context,
				       const struct tally_function_enumerated *number);
void rules_each_enumerated(const struct config_function *function, uint32_t rule,
			   rules_visit_enumerated visit, void *context);
/* Operands by the calling convention: System V (AMD64 psABI 3.2.3), or Go's registers
 * (src/cmd/compile/abi-internal.md), where a string takes two. */
void rules_point(const struct config_function *function, uint32_t rule,
		 enum tally_point_role role, bool is_go,
		 struct tally_function_point *ret_point);
/* Operands as a USDT note names them ("-4@%eax 8@-24(%rbp)"): -EINVAL and one line in
 * ret_error when the rule asks for one that is not there, or that libbpf's forms (and
 * base, index and scale) do not cover. */
int rules_usdt_point(const struct config_function *function, uint32_t rule,
		     const char *arguments, struct tally_function_point *ret_point,
		     char ret_error[RULES_ERROR_LEN]);
