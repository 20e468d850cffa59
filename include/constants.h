/* SPDX-License-Identifier: Apache-2.0 */
/* Labels that the configuration gives, as those of metrics. */
#pragma once

#include "config.h"
#include "snapshot.h"

/* NULL is none. Names and values too are the arena's then; ret_set is written on
 * success only. Errors: -ENOMEM, and what the arena already failed with. */
int constants_copy(const struct config_labels *labels, struct snapshot *arena,
		   struct label_set *ret_set);
