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

#include "buckets.h"
#include "buf.h"
#include "cleanup.h"
#include "remote_write.pb-c.h"
#include "remote_write_v2.pb-c.h"
#include "symbols.h"

typedef Prometheus__Sample sample_message;
typedef Prometheus__Histogram histogram_message;
typedef Prometheus__BucketSpan span_message;

/* A batch is closed by the first metric behind this many bytes of label text:
 * receivers refuse 32 MiB and more. In 2.0 too, where most of them are written
 * once: it may have to become 1.0. */
#define LABEL_BYTES_MAX ((size_t)4 << 20)
/* And, between samples that belong together, by this many, or bytes of its own. */
#define BATCH_BYTES_MAX ((size_t)16 << 20)
/* Tags, lengths and numbers: of a series with a sample, of a label or ref in it. */
#define SERIES_OVERHEAD 128
#define LABEL_OVERHEAD 16
/* Shorter gaps between filled buckets cost less as empty buckets. */
#define SPAN_GAP_MIN 3

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

/* A histogram and all that it points to. */
struct native {
	histogram_message message;
	span_message *spans[NATIVE_BUCKETS];
	span_message span_storage[NATIVE_BUCKETS];
	int64_t deltas[NATIVE_BUCKETS];
	uint64_t last; /* what the last delta led to */
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
	at = buf_reserve(memory, 2 * text_bytes + LABEL_OVERHEAD);
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

static Prometheus__MetricType metric_type(const struct family *family)
{
	static const Prometheus__MetricType types[] = {
	    [METRIC_COUNTER] = PROMETHEUS__METRIC_TYPE__COUNTER,
	    [METRIC_GAUGE] = PROMETHEUS__METRIC_TYPE__GAUGE,
	    [METRIC_HISTOGRAM] = PROMETHEUS__METRIC_TYPE__HISTOGRAM,
	    [METRIC_SUMMARY] = PROMETHEUS__METRIC_TYPE__SUMMARY,
	    [METRIC_INFO] = PROMETHEUS__METRIC_TYPE__INFO,
	    [METRIC_UNKNOWN] = PROMETHEUS__METRIC_TYPE__UNKNOWN,
	    [METRIC_GAUGE_HISTOGRAM] = PROMETHEUS__METRIC_TYPE__GAUGEHISTOGRAM,
	    [METRIC_STATE_SET] = PROMETHEUS__METRIC_TYPE__STATESET,
	};

	return types[family->type];
}

/* Another family may be where the last one was. */
static bool is_set(const struct draft *draft, const struct family *family)
{
	const Prometheus__V2__Metadata *metadata = &draft->metadata;
	char **strings = draft->symbols.strings;

	return draft->has_metadata && metadata->type == metric_type(family) &&
	       !strcmp(strings[metadata->help_ref], family->help) &&
	       !strcmp(strings[metadata->unit_ref], family->unit);
}

static int set_metadata(struct draft *draft, const struct family *family)
{
	if (draft->message == WIRE_V1 || is_set(draft, family))
		return 0;
	prometheus__v2__metadata__init(&draft->metadata);
	draft->metadata.type = metric_type(family);
	draft->metadata.help_ref = symbols_add(&draft->symbols, family->help);
	draft->metadata.unit_ref = symbols_add(&draft->symbols, family->unit);
	draft->has_metadata = !draft->symbols.error;
	return draft->symbols.error;
}

/* --- series ------------------------------------------------------------------- */

/* What a series has of values; n of each. */
struct values {
	const struct exemplar *exemplar; /* NULL: none */
	size_t sample_count;
	sample_message **samples;
	size_t histogram_count;
	histogram_message **histograms;
};

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
	for (size_t i = 0; i < exemplar->label_count; i++)
		example->text_bytes += strlen(exemplar->labels[i].name) +
				       strlen(exemplar->labels[i].value);
	return draft->message == WIRE_V1 ? make_example_v1(example, exemplar)
					 : make_example_v2(draft, example, exemplar);
}

static size_t pack_v1(struct draft *draft, size_t label_count,
		      const struct values *values, struct example *example,
		      unsigned char *to)
{
	Prometheus__WriteRequest request = PROMETHEUS__WRITE_REQUEST__INIT;
	Prometheus__TimeSeries series = PROMETHEUS__TIME_SERIES__INIT;
	Prometheus__TimeSeries *only = &series;

	series.n_labels = label_count;
	series.labels = draft->packed_labels;
	series.n_samples = values->sample_count;
	series.samples = values->samples;
	series.n_histograms = values->histogram_count;
	series.histograms = values->histograms;
	series.n_exemplars = example->count;
	series.exemplars = &example->only_v1;
	request.n_timeseries = 1;
	request.timeseries = &only;
	return prometheus__write_request__pack(&request, to);
}

static size_t pack_v2(struct draft *draft, size_t label_count,
		      const struct values *values, struct example *example,
		      unsigned char *to)
{
	Prometheus__V2__Request request = PROMETHEUS__V2__REQUEST__INIT;
	Prometheus__V2__TimeSeries series = PROMETHEUS__V2__TIME_SERIES__INIT;
	Prometheus__V2__TimeSeries *only = &series;

	series.n_labels_refs = 2 * label_count;
	series.labels_refs = draft->refs;
	series.n_samples = values->sample_count;
	series.samples = values->samples;
	series.n_histograms = values->histogram_count;
	series.histograms = values->histograms;
	series.n_exemplars = example->count;
	series.exemplars = &example->only_v2;
	series.metadata = &draft->metadata;
	request.n_timeseries = 1;
	request.timeseries = &only;
	return prometheus__v2__request__pack(&request, to);
}

/* Never less than it will be. */
static size_t packed_bound(size_t label_count, size_t text_bytes,
			   const struct values *values, const struct example *example)
{
	size_t bound = text_bytes + label_count * LABEL_OVERHEAD +
		       (values->sample_count + 1) * SERIES_OVERHEAD;

	if (example->count)
		bound += prometheus__exemplar__get_packed_size(&example->v1) +
			 prometheus__v2__exemplar__get_packed_size(&example->v2) +
			 SERIES_OVERHEAD;

	for (size_t i = 0; i < values->histogram_count; i++)
		bound += prometheus__histogram__get_packed_size(values->histograms[i]) +
			 SERIES_OVERHEAD;
	return bound;
}

static int add_series(struct draft *draft, const struct label *labels,
		      size_t label_count, const struct values *values)
{
	CLEANUP(free_example) struct example example = {0};
	struct buf *packed = &draft->packed;
	unsigned char *to;
	size_t text_bytes;
	int err = set_labels(draft, labels, label_count, &text_bytes);

	if (!err)
		err = make_example(draft, values->exemplar, &example);
	if (err)
		return err;
	to = (unsigned char *)buf_reserve(
	    packed, packed_bound(label_count, text_bytes, values, &example));
	if (!to)
		return packed->error;
	packed->len += draft->message == WIRE_V1
			   ? pack_v1(draft, label_count, values, &example, to)
			   : pack_v2(draft, label_count, values, &example, to);
	draft->samples += (uint32_t)values->sample_count;
	draft->histograms += (uint32_t)values->histogram_count;
	draft->label_bytes += text_bytes + example.text_bytes;
	return 0;
}

/* In 1.0 nothing has a start. */
static int64_t start_of(const struct draft *draft, const struct sample *sample)
{
	return draft->message == WIRE_V2 ? sample->start_ms : 0;
}

static int add_number(struct draft *draft, const struct sample *sample)
{
	sample_message message = PROMETHEUS__SAMPLE__INIT, *only = &message;
	const struct values values = {
	    .exemplar = draft->exemplars ? sample->exemplar : NULL,
	    .sample_count = 1,
	    .samples = &only,
	};

	memcpy(&message.value, &sample->bits, sizeof(message.value));
	message.timestamp = sample->time_ms;
	message.start_timestamp = start_of(draft, sample);
	return add_series(draft, sample->labels, sample->label_count, &values);
}

/* --- native histograms -------------------------------------------------------- */

static void add_bucket(struct native *native, uint64_t count)
{
	histogram_message *message = &native->message;

	native->deltas[message->n_positive_deltas++] = (int64_t)(count - native->last);
	native->spans[message->n_positive_spans - 1]->length++;
	native->last = count;
}

static void add_span(struct native *native, int32_t offset)
{
	size_t i = native->message.n_positive_spans++;

	native->spans[i] = &native->span_storage[i];
	prometheus__bucket_span__init(native->spans[i]);
	native->spans[i]->offset = offset;
}

/* counts[0] is the zero bucket; counts[i] is of bucket NATIVE_FIRST + i - 1. */
static void add_buckets(struct native *native, const uint64_t *counts)
{
	int32_t next = 0; /* behind the last one in a span */

	for (int32_t i = 1; i < NATIVE_BUCKETS; i++) {
		if (!counts[i])
			continue;
		if (!next)
			add_span(native, NATIVE_FIRST + i - 1);
		else if (i - next >= SPAN_GAP_MIN)
			add_span(native, i - next);
		else
			for (; next < i; next++)
				add_bucket(native, 0);
		add_bucket(native, counts[i]);
		next = i + 1;
	}
}

static void fill_native(struct native *native, const struct sample *sample)
{
	histogram_message *message = &native->message;
	uint64_t count = 0;

	prometheus__histogram__init(message);
	message->count_case = PROMETHEUS__HISTOGRAM__COUNT_COUNT_INT;
	message->timestamp = sample->time_ms;
	memcpy(&message->sum, &sample->bits, sizeof(message->sum));
	if (sample->bits == SAMPLE_STALE)
		return;
	for (size_t i = 0; i < NATIVE_BUCKETS; i++)
		count += sample->native[i];
	message->count_int = count;
	message->sum = sample->sum;
	message->schema = NATIVE_SCHEMA;
	message->zero_threshold = NATIVE_ZERO_S;
	message->zero_count_case = PROMETHEUS__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT;
	message->zero_count_int = sample->native[0];
	message->positive_spans = native->spans;
	message->positive_deltas = native->deltas;
	native->last = 0;
	add_buckets(native, sample->native);
}

static int add_native(struct draft *draft, const struct sample *sample)
{
	struct native native;
	histogram_message *only = &native.message;
	const struct values values = {
	    .exemplar = draft->exemplars ? sample->exemplar : NULL,
	    .histogram_count = 1,
	    .histograms = &only,
	};

	fill_native(&native, sample);
	native.message.start_timestamp = start_of(draft, sample);
	return add_series(draft, sample->labels, sample->label_count, &values);
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
	metadata.type = metric_type(family);
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
			    const Prometheus__V2__TimeSeries *series, bool native)
{
	AUTO_FREE struct label *labels = NULL, *example_labels = NULL;
	struct exemplar exemplar;
	const struct values values = {
	    .exemplar = series->n_exemplars ? &exemplar : NULL,
	    .sample_count = series->n_samples,
	    .samples = series->samples,
	    .histogram_count = native ? series->n_histograms : 0,
	    .histograms = series->histograms,
	};
	int err = 0;

	if (!values.sample_count && !values.histogram_count)
		return 0;
	for (size_t i = 0; i < values.sample_count; i++)
		values.samples[i]->start_timestamp = 0;
	for (size_t i = 0; i < values.histogram_count; i++)
		values.histograms[i]->start_timestamp = 0;
	if (values.exemplar)
		err = look_up_exemplar(request, series, &example_labels, &exemplar);
	if (!err)
		err = look_up(request, series->labels_refs, series->n_labels_refs,
			      &labels);
	return err ? err
		   : add_series(draft, labels, series->n_labels_refs / 2, &values);
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
