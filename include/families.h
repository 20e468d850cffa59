/* SPDX-License-Identifier: Apache-2.0 */
/* families.h - what the exposition says of the metrics of function rules: a family for
 * each metric, which all rules that feed it share. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "snapshot.h"

struct families {
	struct family **items; /* of each rule */
	uint32_t *firsts;      /* of each rule: the first one with its metric */
	size_t count;
};

/* Names are the rules', which must outlive it. order: of the first rule's family, the
 * others follow. -ENOMEM. */
int families_create(const struct config_function *rules, size_t rule_count,
		    unsigned int order, struct families *ret_families);
void families_free(struct families *families);
