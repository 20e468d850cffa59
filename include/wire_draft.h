/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_draft.h - the batch that is being filled with series, in either version of
 * Remote-Write, and what is in it so far. It is full at WIRE_BYTES_CEILING; when it is
 * to be closed before that is the caller's.
 */
#pragma once

#include "buf.h"
#include "wire_batch.h"

struct wire_series;

struct wire_draft {
	enum wire_message message; /* WIRE_V1, WIRE_V2 */
	uint32_t samples;
	uint32_t histograms;
	size_t label_bytes;
	struct buf packed;  /* all but the symbols */
	struct wire_v1 *v1; /* NULL: it is of the other version */
	struct wire_v2 *v2;
};

/* -ENOMEM. */
int wire_draft_init(struct wire_draft *draft, enum wire_message message);
void wire_draft_free(struct wire_draft *draft);
/* Forgets what is in it, and gives its memory back: it is as new. */
void wire_draft_reset(struct wire_draft *draft);
/* Samples and histograms. */
size_t wire_draft_count(const struct wire_draft *draft);
/* Copies what it needs. After an error only wire_draft_reset or free. -ENOMEM, -E2BIG.
 */
int wire_draft_add(struct wire_draft *draft, const struct wire_series *series);
/* Of one that is not empty, which is empty then. -ENOMEM: it is as it was. */
int wire_draft_close(struct wire_draft *draft, int64_t time_ms,
		     struct wire_batch **ret_batch);
