/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of label messages would take three times as long, which is why labels are
 * bytes in remote_write.proto: each is packed once for as long as it stays the same, at
 * the same place.
 */
#include "wire_v1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "wire_batch.h"
#include "wire_series.h"

/* A label of the last series, for the next one's. */
struct known_label {
	const char *name; /* NULL: none yet */
	const char *value;
	size_t text_bytes;
	struct buf memory; /* name, NUL, value, NUL, packed label */
};

struct wire_v1 {
	struct known_label *labels;
	ProtobufCBinaryData *packed; /* of the series */
	size_t capacity;
};

int wire_v1_create(struct wire_v1 **ret_v1)
{
	struct wire_v1 *v1 = calloc(1, sizeof(*v1));

	if (!v1)
		return -ENOMEM;
	*ret_v1 = v1;
	return 0;
}

void wire_v1_free(struct wire_v1 **v1)
{
	if (!*v1)
		return;
	wire_v1_reset(*v1);
	free(*v1);
	*v1 = NULL;
}

void wire_v1_reset(struct wire_v1 *v1)
{
	for (size_t i = 0; i < v1->capacity; i++)
		buf_free(&v1->labels[i].memory);
	free(v1->labels);
	free(v1->packed);
	*v1 = (struct wire_v1){0};
}

/* --- labels ------------------------------------------------------------------- */

static int reserve_labels(struct wire_v1 *v1, size_t count)
{
	struct known_label *labels;
	ProtobufCBinaryData *packed;

	if (count <= v1->capacity)
		return 0;
	packed = reallocarray(v1->packed, count, sizeof(*packed));
	if (!packed)
		return -ENOMEM;
	v1->packed = packed;
	labels = reallocarray(v1->labels, count, sizeof(*labels));
	if (!labels)
		return -ENOMEM;
	v1->labels = labels;
	for (; v1->capacity < count; v1->capacity++)
		labels[v1->capacity] = (struct known_label){
		    .memory = BUF_INIT(WIRE_BYTES_CEILING),
		};
	return 0;
}

static bool is_known(const struct known_label *known, const struct label *label)
{
	return known->name && !strcmp(known->value, label->value) &&
	       !strcmp(known->name, label->name);
}

static int pack_label(struct wire_v1 *v1, size_t i, const struct label *label)
{
	struct known_label *known = &v1->labels[i];
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
	v1->packed[i] = (ProtobufCBinaryData){
	    packed_len,
	    (unsigned char *)at + text_bytes + 2,
	};
	return 0;
}

/* For the series that is packed next. */
static int set_labels(struct wire_v1 *v1, const struct wire_series *series,
		      size_t *ret_text_bytes)
{
	int err = reserve_labels(v1, series->label_count);
	size_t text_bytes = 0;

	for (size_t i = 0; !err && i < series->label_count; i++) {
		if (!is_known(&v1->labels[i], &series->labels[i]))
			err = pack_label(v1, i, &series->labels[i]);
		text_bytes += v1->labels[i].text_bytes;
	}
	*ret_text_bytes = text_bytes;
	return err;
}

/* --- series ------------------------------------------------------------------- */

/* An exemplar's message and all that it points to. */
struct example {
	Prometheus__Exemplar message, *only;
	Prometheus__Label *labels, **list;
	size_t text_bytes;
};

static void free_example(struct example *example)
{
	free(example->labels);
	free(example->list);
}

static int make_example(struct example *example, const struct exemplar *exemplar)
{
	size_t count = exemplar->label_count;

	example->labels = calloc(count + 1, sizeof(*example->labels));
	example->list = calloc(count + 1, sizeof(Prometheus__Label *));
	if (!example->labels || !example->list)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		prometheus__label__init(&example->labels[i]);
		example->labels[i].name = (char *)exemplar->labels[i].name;
		example->labels[i].value = (char *)exemplar->labels[i].value;
		example->list[i] = &example->labels[i];
	}
	prometheus__exemplar__init(&example->message);
	example->message.n_labels = count;
	example->message.labels = example->list;
	example->message.timestamp = exemplar->time_ms;
	memcpy(&example->message.value, &exemplar->bits, sizeof(exemplar->bits));
	example->only = &example->message;
	example->text_bytes = wire_series_text_bytes(exemplar->labels, count);
	return 0;
}

static size_t pack(struct wire_v1 *v1, const struct wire_series *from,
		   struct example *example, unsigned char *to)
{
	Prometheus__WriteRequest request = PROMETHEUS__WRITE_REQUEST__INIT;
	Prometheus__TimeSeries series = PROMETHEUS__TIME_SERIES__INIT;
	Prometheus__TimeSeries *only = &series;

	series.n_labels = from->label_count;
	series.labels = v1->packed;
	series.n_samples = from->sample_count;
	series.samples = from->samples;
	series.n_histograms = from->histogram_count;
	series.histograms = from->histograms;
	series.n_exemplars = from->exemplar ? 1 : 0;
	series.exemplars = &example->only;
	request.n_timeseries = 1;
	request.timeseries = &only;
	return prometheus__write_request__pack(&request, to);
}

int wire_v1_add(struct wire_v1 *v1, const struct wire_series *series,
		struct buf *packed, size_t *ret_text_bytes)
{
	CLEANUP(free_example) struct example example = {0};
	size_t text_bytes, example_bytes = 0;
	unsigned char *to;
	int err = set_labels(v1, series, &text_bytes);

	if (!err && series->exemplar)
		err = make_example(&example, series->exemplar);
	if (err)
		return err;
	if (series->exemplar)
		example_bytes = prometheus__exemplar__get_packed_size(&example.message);
	to = (unsigned char *)buf_reserve(
	    packed, wire_series_bound(series, text_bytes, example_bytes));
	if (!to)
		return packed->error;
	packed->len += pack(v1, series, &example, to);
	*ret_text_bytes = text_bytes + example.text_bytes;
	return 0;
}

/* --- families ----------------------------------------------------------------- */

int wire_v1_add_family(const struct family *family, struct buf *packed)
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
