/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_batch.h"

#include <errno.h>
#include <snappy-c.h>
#include <stdlib.h>

#include "cleanup.h"

/* What a batch of ours may be before it was compressed. */
#define UNPACKED_BYTES_MAX (2 * WIRE_BYTES_CEILING)

struct wire_batch *wire_batch_get(struct wire_batch *batch)
{
	batch->references++;
	return batch;
}

void wire_batch_put(struct wire_batch **batch)
{
	if (*batch && !--(*batch)->references)
		free(*batch);
	*batch = NULL;
}

int wire_compress(const void *bytes, size_t len, struct wire_batch **ret_batch)
{
	size_t compressed = snappy_max_compressed_length(len);
	AUTO_FREE struct wire_batch *batch = malloc(sizeof(*batch) + compressed);
	struct wire_batch *fitting;

	if (!batch)
		return -ENOMEM;
	*batch = (struct wire_batch){.references = 1};
	if (snappy_compress(bytes, len, (char *)batch->bytes, &compressed) != SNAPPY_OK)
		return -EINVAL;
	batch->len = compressed;
	fitting = realloc(batch, sizeof(*batch) + compressed);
	if (fitting)
		batch = fitting;
	*ret_batch = TAKE(batch);
	return 0;
}

int wire_uncompress(const struct wire_batch *batch, unsigned char **ret_bytes,
		    size_t *ret_len)
{
	const char *bytes = (const char *)batch->bytes;
	AUTO_FREE char *unpacked = NULL;
	size_t len;

	if (snappy_uncompressed_length(bytes, batch->len, &len) != SNAPPY_OK ||
	    len > UNPACKED_BYTES_MAX)
		return -EBADMSG;
	unpacked = malloc(len + 1);
	if (!unpacked)
		return -ENOMEM;
	if (snappy_uncompress(bytes, batch->len, unpacked, &len) != SNAPPY_OK)
		return -EBADMSG;
	*ret_bytes = (unsigned char *)TAKE(unpacked);
	*ret_len = len;
	return 0;
}
