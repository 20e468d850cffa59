/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a Remote-Write 2.0 batch, as a broken disk might give it back: it is
 * refused, or becomes one of 1.0. First byte: 0: the rest is the message, and is
 * compressed first; else it is what is on the disk. */
#include <errno.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#include "wire_downgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct wire_batch *make_batch(const uint8_t *data, size_t size, bool compress)
{
	size_t len = snappy_max_compressed_length(size);
	struct wire_batch *batch = calloc(1, sizeof(*batch) + len);

	if (!batch)
		abort();
	batch->references = 1;
	batch->message = WIRE_V2;
	batch->len = compress ? len : size;
	if (!compress)
		memcpy(batch->bytes, data, size);
	else if (snappy_compress((const char *)data, size, (char *)batch->bytes,
				 &batch->len) != SNAPPY_OK)
		abort();
	return batch;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_batch *batch, *v1 = NULL;
	int err;

	if (!size)
		return 0;
	batch = make_batch(data + 1, size - 1, !data[0]);
	err = wire_downgrade(batch, true, &v1);
	if (err && ((err != -EBADMSG && err != -E2BIG) || v1))
		abort();
	if (v1 && !v1->samples && !v1->histograms)
		abort();
	wire_batch_put(&v1);
	wire_batch_put(&batch);
	return 0;
}
