/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each series is packed as soon as it comes, as a request of one: protobuf messages
 * one behind the other are one message, with the lists of all. So there is no tree
 * of a batch, nothing is measured before it is packed, and a series costs what
 * differs from the one before: labels that are the same, at the same place, are
 * packed (1.0) or looked up (2.0) once.
 *
 * protobuf-c knows the format. A tree of label messages would take 1.0 three times
 * as long, which is why they are bytes in remote_write.proto.
 */
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "buf.h"
#include "cleanup.h"
#include "remote_write_v2.pb-c.h"
#include "symbols.h"
#include "wire_native.h"
#include "wire_series.h"

/* A batch is closed by the first metric behind this many bytes of label text:
 * receivers refuse 32 MiB and more. In 2.0 too, where most of them are written
 * once: it may have to become 1.0. */
#define LABEL_BYTES_MAX ((size_t)4 << 20)
/* And, between samples that belong together, by this many, or bytes of its own. */
#define BATCH_BYTES_MAX ((size_t)16 << 20)

/* A label of the last series, for the next one's. */
struct known_label {
	const char *name; /* NULL: none yet */
	const char *value;
	size_t text_bytes;
	struct buf memory; /* 1.0: name, NUL, value, NUL, packed label */
};

/* The batch that is being filled. */
struct draft {
	enum wire_message message;
	bool exemplars; /* are to be in it */
	uint32_t samples;
	uint32_t histograms;
	int64_t time_ms;
	size_t label_bytes;
	struct buf packed; /* all but the symbols */

	struct known_label *labels;
	ProtobufCBinaryData *packed_labels; /* 1.0: of the series */
	uint32_t *refs;                     /* 2.0: likewise, two a label */
	size_t label_capacity;

	struct symbols symbols;
	bool has_metadata; /* of the last series, for the next one's: */
	Prometheus__V2__Metadata metadata;
};

struct wire_writer {
	struct wire_format format;
	wire_emit emit;
	void *context;
	int error; /* sticks until wire_finish */
	int64_t time_ms;
	struct draft draft;
};

/* --- a draft becomes a batch -------------------------------------------------- */

static void draft_init(struct draft *draft, enum wire_message message)
{
	uint64_t seed = (uintptr_t)draft;

	/* Before the kernel has entropy, an address is the best there is. */
	(void)!getrandom(&seed, sizeof(seed), GRND_NONBLOCK);
	*draft = (struct draft){
	    .message = message,
	    .packed = BUF_INIT(WIRE_BYTES_CEILING),
	};
	symbols_init(&draft->symbols, seed);
}

/* Forgets what is in it, and what was known because it was. */
static void draft_clear(struct draft *draft)
{
	draft->samples = 0;
	draft->histograms = 0;
	draft->label_bytes = 0;
	draft->has_metadata = false;
	buf_clear(&draft->packed);
	if (draft->message == WIRE_V1)
		return;
	symbols_clear(&draft->symbols);
	for (size_t i = 0; i < draft->label_capacity; i++)
		draft->labels[i].name = NULL;
}

static void draft_free(struct draft *draft)
{
	draft_clear(draft);
	for (size_t i = 0; i < draft->label_capacity; i++)
		buf_free(&draft->labels[i].memory);
	free(draft->labels);
	free(draft->packed_labels);
	free(draft->refs);
	draft->labels = NULL;
	draft->packed_labels = NULL;
	draft->refs = NULL;
	draft->label_capacity = 0;
	buf_free(&draft->packed);
}

/* Symbols go first: a receiver may look them up while it reads the series. */
static int compress_with_symbols(const struct draft *draft,
				 struct wire_batch **ret_batch)
{
	Prometheus__V2__Request request = PROMETHEUS__V2__REQUEST__INIT;
	AUTO_FREE char *bytes = NULL;
	size_t len;

	request.n_symbols = draft->symbols.count;
	request.symbols = draft->symbols.strings;
	len = prometheus__v2__request__get_packed_size(&request);
	bytes = malloc(len + draft->packed.len);
	if (!bytes)
		return -ENOMEM;
	prometheus__v2__request__pack(&request, (unsigned char *)bytes);
	memcpy(bytes + len, draft->packed.data, draft->packed.len);
	return wire_compress(bytes, len + draft->packed.len, ret_batch);
}

/* Of a draft that is not empty. */
static int draft_close(struct draft *draft, struct wire_batch **ret_batch)
{
	struct wire_batch *batch;
	int err;

	if (draft->message == WIRE_V2)
		err = compress_with_symbols(draft, &batch);
	else
		err = wire_compress(draft->packed.data, draft->packed.len, &batch);
	if (err)
		return err;
	batch->message = draft->message;
	batch->samples = draft->samples;
	batch->histograms = draft->histograms;
	batch->time_ms = draft->time_ms;
	draft_clear(draft);
	*ret_batch = batch;
	return 0;
}

static size_t series_count(const struct draft *draft)
{
	return (size_t)draft->samples + draft->histograms;
}

static int emit_draft(struct wire_writer *writer)
{
	struct wire_batch *batch;
	int err;

	if (!series_count(&writer->draft))
		return 0;
	err = draft_close(&writer->draft, &batch);
	if (err)
		return err;
	writer->emit(writer->context, batch);
	return 0;
}

/* --- labels ------------------------------------------------------------------- */

static int reserve_labels(struct draft *draft, size_t count)
{
	struct known_label *labels;
	ProtobufCBinaryData *packed;
	uint32_t *refs;

	if (count <= draft->label_capacity)
		return 0;
	packed = reallocarray(draft->packed_labels, count, sizeof(*packed));
	if (!packed)
		return -ENOMEM;
	draft->packed_labels = packed;
	refs = reallocarray(draft->refs, count, 2 * sizeof(*refs));
	if (!refs)
		return -ENOMEM;
	draft->refs = refs;
	labels = reallocarray(draft->labels, count, sizeof(*labels));
	if (!labels)
		return -ENOMEM;
	draft->labels = labels;
	for (; draft->label_capacity < count; draft->label_capacity++)
		labels[draft->label_capacity] = (struct known_label){
		    .memory = BUF_INIT(WIRE_BYTES_CEILING),
		};
	return 0;
}

static bool is_known(const struct known_label *known, const struct label *label)
{
	return known->name && !strcmp(known->value, label->value) &&
	       !strcmp(known->name, label->name);
}

/* protobuf-c has no const; it only reads what is packed. */
static int pack_label(struct draft *draft, size_t i, const struct label *label)
{
	struct known_label *known = &draft->labels[i];
	struct buf *memory = &known->memory;
	Prometheus__Label message = PROMETHEUS__LABEL__INIT;
	size_t name_len = strlen(label->name), value_len = strlen(label->value);
	size_t text_bytes = name_len + value_len, packed_len;
	char *at;

	known->name = NULL;
	message.name = (char *)label->name;
	message.value = (char *)label->value;
	buf_clear(memory);
	at = buf_reserve(memory, 2 * text_bytes + WIRE_LABEL_OVERHEAD);
	if (!at)
		return memory->error;
	memcpy(at, label->name, name_len + 1);
	memcpy(at + name_len + 1, label->value, value_len + 1);
	packed_len =
	    prometheus__label__pack(&message, (unsigned char *)at + text_bytes + 2);
	known->name = at;
	known->value = at + name_len + 1;
	known->text_bytes = text_bytes;
	draft->packed_labels[i] = (ProtobufCBinaryData){
	    packed_len,
	    (unsigned char *)at + text_bytes + 2,
	};
	return 0;
}

static int refer_label(struct draft *draft, size_t i, const struct label *label)
{
	struct known_label *known = &draft->labels[i];
	struct symbols *symbols = &draft->symbols;
	uint32_t name = symbols_add(symbols, label->name);
	uint32_t value = symbols_add(symbols, label->value);

	known->name = NULL;
	if (symbols->error)
		return symbols->error;
	known->name = symbols->strings[name];
	known->value = symbols->strings[value];
	known->text_bytes = strlen(label->name) + strlen(label->value);
	draft->refs[2 * i] = name;
	draft->refs[2 * i + 1] = value;
	return 0;
}

/* For the series that is packed next. */
static int set_labels(struct draft *draft, const struct label *labels, size_t count,
		      size_t *ret_text_bytes)
{
	int err = reserve_labels(draft, count);
	size_t text_bytes = 0;

	for (size_t i = 0; !err && i < count; i++) {
		if (!is_known(&draft->labels[i], &labels[i]))
			err = draft->message == WIRE_V1
				  ? pack_label(draft, i, &labels[i])
				  : refer_label(draft, i, &labels[i]);
		text_bytes += draft->labels[i].text_bytes;
	}
	*ret_text_bytes = text_bytes;
	return err;
}

/* Another family may be where the last one was. */
static bool is_set(const struct draft *draft, const struct family *family)
{
	const Prometheus__V2__Metadata *metadata = &draft->metadata;
	char **strings = draft->symbols.strings;

	return draft->has_metadata && metadata->type == wire_series_type(family) &&
	       !strcmp(strings[metadata->help_ref], family->help) &&
	       !strcmp(strings[metadata->unit_ref], family->unit);
}

static int set_metadata(struct draft *draft, const struct family *family)
{
	if (draft->message == WIRE_V1 || is_set(draft, family))
		return 0;
	prometheus__v2__metadata__init(&draft->metadata);
	draft->metadata.type = wire_series_type(family);
	draft->metadata.help_ref = symbols_add(&draft->symbols, family->help);
	draft->metadata.unit_ref = symbols_add(&draft->symbols, family->unit);
	draft->has_metadata = !draft->symbols.error;
	return draft->symbols.error;
}

/* --- series ------------------------------------------------------------------- */

/* An exemplar, in the message that it goes into, and all that it points to. */
struct example {
	Prometheus__Exemplar v1, *only_v1;
	Prometheus__V2__Exemplar v2, *only_v2;
	Prometheus__Label *labels, **label_list;
	size_t count; /* 0: there is none */
	size_t text_bytes;
};

static void free_example(struct example *example)
{
	free(example->labels);
	free(example->label_list);
	free(example->v2.labels_refs);
}

static int make_example_v1(struct example *example, const struct exemplar *exemplar)
{
	size_t count = exemplar->label_count;

	example->labels = calloc(count + 1, sizeof(*example->labels));
	example->label_list = calloc(count + 1, sizeof(Prometheus__Label *));
	if (!example->labels || !example->label_list)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		prometheus__label__init(&example->labels[i]);
		example->labels[i].name = (char *)exemplar->labels[i].name;
		example->labels[i].value = (char *)exemplar->labels[i].value;
		example->label_list[i] = &example->labels[i];
	}
	example->v1.n_labels = count;
	example->v1.labels = example->label_list;
	example->v1.timestamp = exemplar->time_ms;
	memcpy(&example->v1.value, &exemplar->bits, sizeof(exemplar->bits));
	return 0;
}

static int make_example_v2(struct draft *draft, struct example *example,
			   const struct exemplar *exemplar)
{
	struct symbols *symbols = &draft->symbols;
	size_t count = exemplar->label_count;
	uint32_t *refs = calloc(2 * count + 1, sizeof(*refs));

	if (!refs)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		refs[2 * i] = symbols_add(symbols, exemplar->labels[i].name);
		refs[2 * i + 1] = symbols_add(symbols, exemplar->labels[i].value);
	}
	example->v2.n_labels_refs = 2 * count;
	example->v2.labels_refs = refs;
	example->v2.timestamp = exemplar->time_ms;
	memcpy(&example->v2.value, &exemplar->bits, sizeof(exemplar->bits));
	return symbols->error;
}

static int make_example(struct draft *draft, const struct exemplar *exemplar,
			struct example *example)
{
	prometheus__exemplar__init(&example->v1);
	prometheus__v2__exemplar__init(&example->v2);
	if (!exemplar)
		return 0;
	example->only_v1 = &example->v1;
	example->only_v2 = &example->v2;
	example->count = 1;
	example->text_bytes =
	    wire_series_text_bytes(exemplar->labels, exemplar->label_count);
	return draft->message == WIRE_V1 ? make_example_v1(example, exemplar)
					 : make_example_v2(draft, example, exemplar);
}

static size_t pack_v1(struct draft *draft, const struct wire_series *from,
		      struct example *example, unsigned char *to)
{
	Prometheus__WriteRequest request = PROMETHEUS__WRITE_REQUEST__INIT;
	Prometheus__TimeSeries series = PROMETHEUS__TIME_SERIES__INIT;
	Prometheus__TimeSeries *only = &series;

	series.n_labels = from->label_count;
	series.labels = draft->packed_labels;
	series.n_samples = from->sample_count;
	series.samples = from->samples;
	series.n_histograms = from->histogram_count;
	series.histograms = from->histograms;
	series.n_exemplars = example->count;
	series.exemplars = &example->only_v1;
	request.n_timeseries = 1;
	request.timeseries = &only;
	return prometheus__write_request__pack(&request, to);
}

static size_t pack_v2(struct draft *draft, const struct wire_series *from,
		      struct example *example, unsigned char *to)
{
	Prometheus__V2__Request request = PROMETHEUS__V2__REQUEST__INIT;
	Prometheus__V2__TimeSeries series = PROMETHEUS__V2__TIME_SERIES__INIT;
	Prometheus__V2__TimeSeries *only = &series;

	series.n_labels_refs = 2 * from->label_count;
	series.labels_refs = draft->refs;
	series.n_samples = from->sample_count;
	series.samples = from->samples;
	series.n_histograms = from->histogram_count;
	series.histograms = from->histograms;
	series.n_exemplars = example->count;
	series.exemplars = &example->only_v2;
	series.metadata = &draft->metadata;
	request.n_timeseries = 1;
	request.timeseries = &only;
	return prometheus__v2__request__pack(&request, to);
}

static int add_series(struct draft *draft, const struct wire_series *series)
{
	CLEANUP(free_example) struct example example = {0};
	struct buf *packed = &draft->packed;
	unsigned char *to;
	size_t text_bytes, example_bytes;
	int err = set_labels(draft, series->labels, series->label_count, &text_bytes);

	if (!err)
		err = make_example(draft, series->exemplar, &example);
	if (err)
		return err;
	example_bytes = prometheus__exemplar__get_packed_size(&example.v1) +
			prometheus__v2__exemplar__get_packed_size(&example.v2);
	to = (unsigned char *)buf_reserve(
	    packed, wire_series_bound(series, text_bytes, example_bytes));
	if (!to)
		return packed->error;
	packed->len += draft->message == WIRE_V1 ? pack_v1(draft, series, &example, to)
						 : pack_v2(draft, series, &example, to);
	draft->samples += (uint32_t)series->sample_count;
	draft->histograms += (uint32_t)series->histogram_count;
	draft->label_bytes += text_bytes + example.text_bytes;
	return 0;
}

static struct wire_series series_of(const struct draft *draft,
				    const struct sample *sample)
{
	return (struct wire_series){
	    .labels = sample->labels,
	    .label_count = sample->label_count,
	    .exemplar = draft->exemplars ? sample->exemplar : NULL,
	    .family = sample->family,
	};
}

/* In 1.0 nothing has a start. */
static int64_t start_of(const struct draft *draft, const struct sample *sample)
{
	return draft->message == WIRE_V2 ? sample->start_ms : 0;
}

static int add_number(struct draft *draft, const struct sample *sample)
{
	Prometheus__Sample message, *only = &message;
	struct wire_series series = series_of(draft, sample);

	wire_series_number(sample, start_of(draft, sample), &message);
	series.sample_count = 1;
	series.samples = &only;
	return add_series(draft, &series);
}

static int add_native(struct draft *draft, const struct sample *sample)
{
	struct wire_native native;
	Prometheus__Histogram *only = &native.message;
	struct wire_series series = series_of(draft, sample);

	wire_native_fill(&native, sample, start_of(draft, sample));
	series.histogram_count = 1;
	series.histograms = &only;
	return add_series(draft, &series);
}

/* --- the writer --------------------------------------------------------------- */

int wire_writer_create(const struct wire_format *format, wire_emit emit, void *context,
		       struct wire_writer **ret_writer)
{
	struct wire_writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		return -ENOMEM;
	writer->format = *format;
	writer->emit = emit;
	writer->context = context;
	draft_init(&writer->draft, format->message);
	writer->draft.exemplars = format->exemplars;
	*ret_writer = writer;
	return 0;
}

void wire_writer_free(struct wire_writer **writer)
{
	if (!*writer)
		return;
	draft_free(&(*writer)->draft);
	free(*writer);
	*writer = NULL;
}

int wire_begin(struct wire_writer *writer, size_t count)
{
	const struct draft *draft = &writer->draft;

	if (!writer->error &&
	    (series_count(draft) + count > writer->format.samples_max ||
	     draft->label_bytes >= LABEL_BYTES_MAX))
		writer->error = emit_draft(writer);
	return writer->error;
}

int wire_add(struct wire_writer *writer, const struct sample *sample)
{
	struct draft *draft = &writer->draft;

	if (writer->error || (sample->is_native && !writer->format.native))
		return writer->error;
	writer->error = set_metadata(draft, sample->family);
	if (!writer->error)
		writer->error = sample->is_native ? add_native(draft, sample)
						  : add_number(draft, sample);
	if (writer->error)
		return writer->error;
	draft->time_ms = sample->time_ms;
	writer->time_ms = sample->time_ms;
	if (series_count(draft) >= writer->format.samples_max ||
	    draft->label_bytes >= BATCH_BYTES_MAX ||
	    draft->packed.len >= BATCH_BYTES_MAX)
		writer->error = emit_draft(writer);
	return writer->error;
}

int wire_finish(struct wire_writer *writer)
{
	int err = writer->error ? writer->error : emit_draft(writer);

	/* Between collections there is no memory in use. */
	draft_free(&writer->draft);
	writer->error = 0;
	return err;
}

/* --- metadata of 1.0 ---------------------------------------------------------- */

static int pack_metadata(struct buf *packed, const struct family *family)
{
	Prometheus__WriteRequest request = PROMETHEUS__WRITE_REQUEST__INIT;
	Prometheus__MetricMetadata metadata = PROMETHEUS__METRIC_METADATA__INIT;
	Prometheus__MetricMetadata *only = &metadata;
	AUTO_FREE char *name = NULL;
	char *to;

	if (asprintf(&name, "%s%s", family->name, family_suffix(family)) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	metadata.type = wire_series_type(family);
	metadata.metric_family_name = name;
	metadata.help = (char *)family->help;
	metadata.unit = (char *)family->unit;
	request.n_metadata = 1;
	request.metadata = &only;
	to = buf_reserve(packed, prometheus__write_request__get_packed_size(&request));
	if (!to)
		return packed->error;
	packed->len += prometheus__write_request__pack(&request, (unsigned char *)to);
	return 0;
}

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
		err = pack_metadata(&packed, families[i]);
		if (!err && (i + 1) % writer->format.samples_max == 0)
			err = emit_metadata(writer, &packed);
	}
	return err ? err : emit_metadata(writer, &packed);
}

/* --- 2.0 as 1.0 --------------------------------------------------------------- */

static void free_request(Prometheus__V2__Request **request)
{
	if (*request)
		prometheus__v2__request__free_unpacked(*request, NULL);
}

static int unpack(const struct wire_batch *batch, Prometheus__V2__Request **ret_request)
{
	AUTO_FREE unsigned char *packed = NULL;
	size_t len;
	int err = batch->message == WIRE_V2 ? wire_uncompress(batch, &packed, &len)
					    : -EBADMSG;

	if (err)
		return err;
	*ret_request = prometheus__v2__request__unpack(NULL, len, packed);
	return *ret_request ? 0 : -EBADMSG;
}

/* What refs say; their number is twice the labels'. */
static int look_up(const Prometheus__V2__Request *request, const uint32_t *refs,
		   size_t ref_count, struct label **ret_labels)
{
	size_t count = ref_count / 2;
	AUTO_FREE struct label *labels = calloc(count + 1, sizeof(*labels));

	if (!labels)
		return -ENOMEM;
	if (ref_count % 2)
		return -EBADMSG;
	for (size_t i = 0; i < count; i++) {
		uint32_t name = refs[2 * i], value = refs[2 * i + 1];

		if (name >= request->n_symbols || value >= request->n_symbols)
			return -EBADMSG;
		labels[i].name = request->symbols[name];
		labels[i].value = request->symbols[value];
	}
	*ret_labels = TAKE(labels);
	return 0;
}

/* A series of ours has one at most. */
static int look_up_exemplar(const Prometheus__V2__Request *request,
			    const Prometheus__V2__TimeSeries *series,
			    struct label **ret_labels, struct exemplar *ret_exemplar)
{
	const Prometheus__V2__Exemplar *exemplar = series->exemplars[0];
	int err = look_up(request, exemplar->labels_refs, exemplar->n_labels_refs,
			  ret_labels);

	if (err)
		return err;
	ret_exemplar->labels = *ret_labels;
	ret_exemplar->label_count = exemplar->n_labels_refs / 2;
	ret_exemplar->time_ms = exemplar->timestamp;
	memcpy(&ret_exemplar->bits, &exemplar->value, sizeof(exemplar->value));
	return 0;
}

static int downgrade_series(struct draft *draft, const Prometheus__V2__Request *request,
			    const Prometheus__V2__TimeSeries *from, bool native)
{
	AUTO_FREE struct label *labels = NULL, *example_labels = NULL;
	struct exemplar exemplar;
	struct wire_series series = {
	    .label_count = from->n_labels_refs / 2,
	    .exemplar = from->n_exemplars ? &exemplar : NULL,
	    .sample_count = from->n_samples,
	    .samples = from->samples,
	    .histogram_count = native ? from->n_histograms : 0,
	    .histograms = from->histograms,
	};
	int err = 0;

	if (!series.sample_count && !series.histogram_count)
		return 0;
	for (size_t i = 0; i < series.sample_count; i++)
		series.samples[i]->start_timestamp = 0;
	for (size_t i = 0; i < series.histogram_count; i++)
		series.histograms[i]->start_timestamp = 0;
	if (series.exemplar)
		err = look_up_exemplar(request, from, &example_labels, &exemplar);
	if (!err)
		err = look_up(request, from->labels_refs, from->n_labels_refs, &labels);
	series.labels = labels;
	return err ? err : add_series(draft, &series);
}

int wire_downgrade(const struct wire_batch *v2, bool native, struct wire_batch **ret_v1)
{
	CLEANUP(free_request) Prometheus__V2__Request *request = NULL;
	CLEANUP(draft_free) struct draft draft;
	int err;

	draft_init(&draft, WIRE_V1);
	draft.time_ms = v2->time_ms;
	err = unpack(v2, &request);
	for (size_t i = 0; !err && i < request->n_timeseries; i++)
		err = downgrade_series(&draft, request, request->timeseries[i], native);
	if (err)
		return err;
	if (series_count(&draft))
		return draft_close(&draft, ret_v1);
	*ret_v1 = NULL;
	return 0;
}
