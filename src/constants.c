/* SPDX-License-Identifier: Apache-2.0 */
#include "constants.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"

int constants_copy(const struct config_labels *labels, struct snapshot *arena,
		   struct label_set *ret_set)
{
	const size_t count = labels ? labels->count : 0;
	AUTO_FREE struct label *copies = calloc(count + 1, sizeof(*copies));
	struct label_set set;

	if (!copies)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		copies[i].name = snapshot_text(arena, labels->items[i].name);
		copies[i].value = snapshot_text(arena, labels->items[i].value);
	}
	set = snapshot_labels(arena, copies, count);
	if (!arena->error)
		*ret_set = set;
	return arena->error;
}
