/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint_metrics.h - what bpftally says of its own endpoints: the same of each kind,
 * under names that say what it sends. */
#pragma once

#include "endpoint.h"
#include "snapshot.h"

/* Appends bpftally_remote_write_*, bpftally_otlp_* or bpftally_loki_write_*; errors are
 * the snapshot's. The endpoint outlives it. */
void endpoint_describe(const struct endpoint *endpoint, struct snapshot *snapshot);
