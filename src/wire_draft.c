/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each series is packed as soon as it comes, as a request of one: protobuf messages
 * one behind the other are one message, with the lists of all. So there is no tree
 * of a batch, nothing is measured before it is packed, and a series costs what
 * differs from the one before: labels that are the same, at the same place, are
 * packed (1.0) or looked up (2.0) once.
 */
#include "wire_draft.h"

#include "wire_series.h"
#include "wire_v1.h"
#include "wire_v2.h"

int wire_draft_init(struct wire_draft *draft, enum wire_message message)
{
	*draft = (struct wire_draft){
	    .message = message,
	    .packed = BUF_INIT(WIRE_BYTES_CEILING),
	};
	return message == WIRE_V1 ? wire_v1_create(&draft->v1)
				  : wire_v2_create(&draft->v2);
}

/* Forgets what is in it, and what was known because it was. */
static void clear(struct wire_draft *draft)
{
	draft->samples = 0;
	draft->histograms = 0;
	draft->label_bytes = 0;
	buf_clear(&draft->packed);
	if (draft->v2)
		wire_v2_clear(draft->v2);
}

void wire_draft_reset(struct wire_draft *draft)
{
	clear(draft);
	if (draft->v1)
		wire_v1_reset(draft->v1);
	if (draft->v2)
		wire_v2_reset(draft->v2);
	buf_free(&draft->packed);
}

void wire_draft_free(struct wire_draft *draft)
{
	wire_v1_free(&draft->v1);
	wire_v2_free(&draft->v2);
	buf_free(&draft->packed);
}

size_t wire_draft_count(const struct wire_draft *draft)
{
	return (size_t)draft->samples + draft->histograms;
}

int wire_draft_add(struct wire_draft *draft, const struct wire_series *series)
{
	size_t text_bytes;
	int err = draft->v1
		      ? wire_v1_add(draft->v1, series, &draft->packed, &text_bytes)
		      : wire_v2_add(draft->v2, series, &draft->packed, &text_bytes);

	if (err)
		return err;
	draft->samples += (uint32_t)series->sample_count;
	draft->histograms += (uint32_t)series->histogram_count;
	draft->label_bytes += text_bytes;
	return 0;
}

int wire_draft_close(struct wire_draft *draft, int64_t time_ms,
		     struct wire_batch **ret_batch)
{
	struct wire_batch *batch;
	int err = draft->v1
		      ? wire_compress(draft->packed.data, draft->packed.len, &batch)
		      : wire_v2_compress(draft->v2, &draft->packed, &batch);

	if (err)
		return err;
	batch->message = draft->message;
	batch->samples = draft->samples;
	batch->histograms = draft->histograms;
	batch->time_ms = time_ms;
	clear(draft);
	*ret_batch = batch;
	return 0;
}
