/* SPDX-License-Identifier: Apache-2.0 */
/*
 * places.h - where in one file a rule is measured: its function looked up by name, a
 * site chosen for each (site.h), the operands put into points. Attaches nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "elf.h"
#include "function_abi.h"
#include "uprobes.h"

#define PLACES_ERROR_LEN 512

/* What the kernel is told for cookies; one for all places that are alike. */
struct points {
	struct tally_function_point *items;
	uint32_t count;
	uint32_t max;
};

struct elf;

struct places {
	struct uprobes_place *items;
	size_t count;
	size_t functions; /* that they are of; a probe of USDT is one, too */
	size_t stepped;   /* of these, entered at an instruction the kernel must step */
};

/* Appends the rule's places in this file. -ENOENT: no such function or probe, and in
 * ret_error what is nearest; -ENOTUNIQ: several have that name; -EOPNOTSUPP: none has
 * a place that is right; -EINVAL: a probe lacks an operand; -E2BIG, -ENOMEM. One line
 * in ret_error each time. Of a glob, functions without a right place are left out, in
 * *ret_error if that is all. */
int places_find(struct elf *elf, const struct config_function *function, uint32_t rule,
		bool no_return_probe, struct points *points, struct places *places,
		char ret_error[PLACES_ERROR_LEN]);
void places_free(struct places *places);
