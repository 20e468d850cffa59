/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_rule.h - what a function metric may be: the parts of its spelling, and
 * what goes together. Pure: it knows neither lines nor options nor binaries.
 * A problem is what follows the key or the rule in a message.
 */
#pragma once

#include <stdbool.h>

#include "config.h"

#define RULE_PROBLEM_LEN 384
#define RULE_METRIC_LEN 256 /* with its NUL */
#define RULE_ARGUMENTS_MAX 6
#define RULE_USDT_ARGUMENTS_MAX 12
#define RULE_BOUND_MAX 1e18 /* the kernel's numbers have 64 bits */
#define RULE_BOUNDS "numbers from -1e18 to 1e18"
#define RULE_VALUE_NAMES "latency, count, in_progress, return, argN or (arg2 - arg1)"
#define RULE_NUMBER_NAMES                                                              \
	"int, long, unsigned int, unsigned long, int32, int64, uint32, uint64 or bool"
#define RULE_TYPE_NAMES "histogram, counter, gauge or summary"
#define RULE_TARGET_NAMES "a symbol, a glob, 0xOFFSET or usdt:PROVIDER:NAME"

/* Not given, until rule_complete. */
#define RULE_VALUE_DEFAULT ((enum config_value_kind)UINT8_MAX)
#define RULE_NUMBER_DEFAULT ((enum config_number)UINT8_MAX)

bool rule_parse_type(const char *text, enum config_metric_type *ret_type);
bool rule_parse_number(const char *text, enum config_number *ret_number);
/* RULE_VALUE_NAMES, into value, operand and minus. */
bool rule_parse_value(const char *text, struct config_function *function);
/* RULE_TARGET_NAMES, into function, or usdt_provider and usdt_name. 0, -EINVAL or
 * -ENOMEM. */
int rule_parse_target(const char *text, struct config_function *function);
/* The ':' between EXE and NAME, NULL: there is none. It is the last that stands
 * alone ("::" is C++'s and Rust's) outside of brackets ("[abi:cxx11]"), if what
 * follows may be a function; or that of ":usdt:". */
const char *rule_split(const char *text);

/* NULL: none. */
const char *rule_exe_problem(const char *exe);
const char *rule_lib_problem(const char *lib);
const char *rule_metric_problem(const char *metric);
const char *rule_label_problem(const char *name);

/* The name of what NAME calls, without its types, as part of a metric's name.
 * False when nothing of it can be one, or it is too long. */
bool rule_derive_metric(const char *name, bool is_usdt,
			char ret_metric[RULE_METRIC_LEN]);

/* Judges the whole, and gives what was not said its default. False with the
 * problem; also "out of memory". */
bool rule_complete(struct config_function *function,
		   char ret_problem[RULE_PROBLEM_LEN]);
/* Whether both can be exposed: they name different things, or differ in a label. */
bool rule_agrees(const struct config_function *function,
		 const struct config_function *earlier,
		 char ret_problem[RULE_PROBLEM_LEN]);
