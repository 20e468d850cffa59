/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_labels.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot.h"
#include "wire_batch.h"

void wire_labels_init(struct wire_labels *labels, size_t item_bytes)
{
	*labels = (struct wire_labels){.item_bytes = item_bytes};
}

void wire_labels_reset(struct wire_labels *labels)
{
	for (size_t i = 0; i < labels->capacity; i++)
		buf_free(&labels->known[i].memory);
	free(labels->known);
	free(labels->items);
	wire_labels_init(labels, labels->item_bytes);
}

void wire_labels_forget(struct wire_labels *labels)
{
	for (size_t i = 0; i < labels->capacity; i++)
		labels->known[i].name = NULL;
}

static int reserve(struct wire_labels *labels, size_t count)
{
	struct wire_label *known;
	void *items;

	if (count <= labels->capacity)
		return 0;
	items = reallocarray(labels->items, count, labels->item_bytes);
	if (!items)
		return -ENOMEM;
	labels->items = items;
	known = reallocarray(labels->known, count, sizeof(*known));
	if (!known)
		return -ENOMEM;
	labels->known = known;
	for (; labels->capacity < count; labels->capacity++)
		known[labels->capacity] = (struct wire_label){
		    .memory = BUF_INIT(WIRE_BYTES_CEILING),
		};
	return 0;
}

static bool is_known(const struct wire_label *known, const struct label *label)
{
	return known->name && !strcmp(known->value, label->value) &&
	       !strcmp(known->name, label->name);
}

int wire_labels_set(struct wire_labels *labels, const struct label *from, size_t count,
		    wire_labels_make make, void *context, size_t *ret_text_bytes)
{
	int err = reserve(labels, count);
	size_t text_bytes = 0;

	for (size_t i = 0; !err && i < count; i++) {
		struct wire_label *known = &labels->known[i];

		if (!is_known(known, &from[i])) {
			known->name = NULL;
			err = make(context, &from[i], known,
				   (char *)labels->items + i * labels->item_bytes);
		}
		text_bytes += known->text_bytes;
	}
	*ret_text_bytes = text_bytes;
	return err;
}
