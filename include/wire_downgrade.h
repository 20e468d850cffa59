/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_downgrade.h - a batch of Remote-Write 2.0 as one of 1.0, for a receiver that
 * turned out to be older than its batches, which waited on disk: nothing in them is
 * believed.
 */
#pragma once

#include "wire_batch.h"

/* The same series, values and times, without starts and families. *ret_v1 NULL: nothing
 * is left of it without its native histograms. -EBADMSG, -E2BIG: it is none of ours;
 * -ENOMEM. */
int wire_downgrade(const struct wire_batch *v2, bool native,
		   struct wire_batch **ret_v1);
