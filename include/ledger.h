/* SPDX-License-Identifier: Apache-2.0 */
/* The miss ledger and the agent's own metrics: bpftally_missed_total{reason},
 * bpftally_build_info, bpftally_probe_*, bpftally_map_bytes. */
#pragma once

#include "functions.h"
#include "probes.h"
#include "snapshot.h"

/* The label value of a reason: "joined_midway"; and one line for people. */
const char *ledger_reason(enum tally_missed reason);
const char *ledger_explain(enum tally_missed reason);

struct ledger;

/* It remembers the Unix balance, so that the ledger never falls. */
int ledger_create(struct ledger **ret_ledger);
void ledger_free(struct ledger **ledger);
/* Of series.h: of the next collection on. */
void ledger_set_unjudged(struct ledger *ledger, uint64_t requests);
/* functions: NULL, there are no rules. */
int ledger_collect(struct ledger *ledger, const struct probes *probes,
		   const struct functions *functions, struct snapshot *snapshot);
