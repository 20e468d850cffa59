/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_labels.h - the labels of the series that is packed next, as its message has
 * them. Series come by family, so that most labels are those of the last one, at the
 * same place: each is made once for as long as it stays. What is made of it, and where
 * its texts are kept, is the version's (wire_v1.c, wire_v2.c).
 */
#pragma once

#include <stddef.h>

#include "buf.h"

struct label;

/* What was made of the last label at a place. */
struct wire_label {
	const char *name; /* NULL: nothing yet; the maker's, for as long as it holds */
	const char *value;
	size_t text_bytes;
	struct buf memory; /* the maker's, if it has no other for its texts */
};

struct wire_labels {
	struct wire_label *known;
	void *items; /* of the series, one a label */
	size_t item_bytes;
	size_t capacity;
};

/* Makes an item of a label, and says where its texts are. */
typedef int (*wire_labels_make)(void *context, const struct label *label,
				struct wire_label *known, void *item);

/* item_bytes: of what the message has of a label. */
void wire_labels_init(struct wire_labels *labels, size_t item_bytes);
/* Forgets all and gives its memory back: as init left it. */
void wire_labels_reset(struct wire_labels *labels);
/* The texts that were known are no more: each label is made anew. */
void wire_labels_forget(struct wire_labels *labels);
/* items[i] is of from[i] then. ret_text_bytes: of names and values. -ENOMEM, or what
 * the maker failed with: then that label is unknown. */
int wire_labels_set(struct wire_labels *labels, const struct label *from, size_t count,
		    wire_labels_make make, void *context, size_t *ret_text_bytes);
