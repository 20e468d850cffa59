/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "wire_draft.h"
#include "wire_native.h"
#include "wire_series.h"
#include "wire_v1.h"

/* A batch is closed by the first metric behind this many bytes of label text:
 * receivers refuse 32 MiB and more. In 2.0 too, where most of them are written
 * once: it may have to become 1.0. */
#define LABEL_BYTES_MAX ((size_t)4 << 20)
/* And, between samples that belong together, by this many, or bytes of its own. */
#define BATCH_BYTES_MAX ((size_t)16 << 20)

struct wire_writer {
	struct wire_format format;
	wire_emit emit;
	void *context;
	int error;       /* sticks until wire_finish */
	int64_t time_ms; /* of the last sample */
	struct wire_draft draft;
};

int wire_writer_create(const struct wire_format *format, wire_emit emit, void *context,
		       struct wire_writer **ret_writer)
{
	CLEANUP(wire_writer_free)
	struct wire_writer *writer = calloc(1, sizeof(*writer));
	int err;

	if (!writer)
		return -ENOMEM;
	writer->format = *format;
	writer->emit = emit;
	writer->context = context;
	err = wire_draft_init(&writer->draft, format->message);
	if (err)
		return err;
	*ret_writer = TAKE(writer);
	return 0;
}

void wire_writer_free(struct wire_writer **writer)
{
	if (!*writer)
		return;
	wire_draft_free(&(*writer)->draft);
	free(*writer);
	*writer = NULL;
}

static int emit_draft(struct wire_writer *writer)
{
	struct wire_batch *batch;
	int err;

	if (!wire_draft_count(&writer->draft))
		return 0;
	err = wire_draft_close(&writer->draft, writer->time_ms, &batch);
	if (err)
		return err;
	writer->emit(writer->context, batch);
	return 0;
}

int wire_begin(struct wire_writer *writer, size_t count)
{
	const struct wire_draft *draft = &writer->draft;

	if (!writer->error &&
	    (wire_draft_count(draft) + count > writer->format.samples_max ||
	     draft->label_bytes >= LABEL_BYTES_MAX))
		writer->error = emit_draft(writer);
	return writer->error;
}

/* --- samples ------------------------------------------------------------------ */

static struct wire_series series_of(const struct wire_writer *writer,
				    const struct sample *sample)
{
	return (struct wire_series){
	    .labels = sample->labels,
	    .label_count = sample->label_count,
	    .exemplar = writer->format.exemplars ? sample->exemplar : NULL,
	    .family = sample->family,
	};
}

/* In 1.0 nothing has a start. */
static int64_t start_of(const struct wire_writer *writer, const struct sample *sample)
{
	return writer->format.message == WIRE_V2 ? sample->start_ms : 0;
}

static int add_number(struct wire_writer *writer, const struct sample *sample)
{
	Prometheus__Sample message, *only = &message;
	struct wire_series series = series_of(writer, sample);

	wire_series_number(sample, start_of(writer, sample), &message);
	series.sample_count = 1;
	series.samples = &only;
	return wire_draft_add(&writer->draft, &series);
}

static int add_native(struct wire_writer *writer, const struct sample *sample)
{
	struct wire_native native;
	Prometheus__Histogram *only = &native.message;
	struct wire_series series = series_of(writer, sample);

	wire_native_fill(&native, sample, start_of(writer, sample));
	series.histogram_count = 1;
	series.histograms = &only;
	return wire_draft_add(&writer->draft, &series);
}

int wire_add(struct wire_writer *writer, const struct sample *sample)
{
	const struct wire_draft *draft = &writer->draft;

	if (writer->error || (sample->is_native && !writer->format.native))
		return writer->error;
	writer->error =
	    sample->is_native ? add_native(writer, sample) : add_number(writer, sample);
	if (writer->error)
		return writer->error;
	writer->time_ms = sample->time_ms;
	if (wire_draft_count(draft) >= writer->format.samples_max ||
	    draft->label_bytes >= BATCH_BYTES_MAX ||
	    draft->packed.len >= BATCH_BYTES_MAX)
		writer->error = emit_draft(writer);
	return writer->error;
}

int wire_finish(struct wire_writer *writer)
{
	int err = writer->error ? writer->error : emit_draft(writer);

	/* Between collections there is next to no memory in use. */
	wire_draft_reset(&writer->draft);
	writer->error = 0;
	return err;
}

/* --- metadata of 1.0 ---------------------------------------------------------- */

static int emit_metadata(struct wire_writer *writer, struct buf *packed)
{
	struct wire_batch *batch;
	int err;

	if (!packed->len)
		return 0;
	err = wire_compress(packed->data, packed->len, &batch);
	if (err)
		return err;
	batch->message = WIRE_V1;
	batch->is_metadata = true;
	batch->time_ms = writer->time_ms;
	buf_clear(packed);
	writer->emit(writer->context, batch);
	return 0;
}

int wire_metadata(struct wire_writer *writer, const struct family *const *families,
		  size_t count)
{
	CLEANUP(buf_free) struct buf packed = BUF_INIT(WIRE_BYTES_CEILING);
	int err = 0;

	if (writer->format.message != WIRE_V1)
		return 0;
	for (size_t i = 0; !err && i < count; i++) {
		err = wire_v1_add_family(families[i], &packed);
		if (!err && (i + 1) % writer->format.samples_max == 0)
			err = emit_metadata(writer, &packed);
	}
	return err ? err : emit_metadata(writer, &packed);
}
