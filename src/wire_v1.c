/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of label messages would take three times as long, which is why labels are
 * bytes in remote_write.proto: each is packed once for as long as it stays the same
 * (wire_labels.h).
 */
#include "wire_v1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "wire_labels.h"
#include "wire_series.h"

struct wire_v1 {
	struct wire_labels labels; /* ProtobufCBinaryData, packed */
};

int wire_v1_create(struct wire_v1 **ret_v1)
{
	struct wire_v1 *v1 = calloc(1, sizeof(*v1));

	if (!v1)
		return -ENOMEM;
	wire_labels_init(&v1->labels, sizeof(ProtobufCBinaryData));
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
	wire_labels_reset(&v1->labels);
}

/* --- labels ------------------------------------------------------------------- */

/* Its memory: name, NUL, value, NUL, packed label. */
static int pack_label(void *context, const struct label *label,
		      struct wire_label *known, void *item)
{
	struct buf *memory = &known->memory;
	Prometheus__Label message = PROMETHEUS__LABEL__INIT;
	size_t name_len = strlen(label->name), value_len = strlen(label->value);
	size_t text_bytes = name_len + value_len;
	ProtobufCBinaryData *packed = item;
	char *at;

	(void)context;
	message.name = (char *)label->name;
	message.value = (char *)label->value;
	buf_clear(memory);
	at = buf_reserve(memory, 2 * text_bytes + WIRE_LABEL_OVERHEAD);
	if (!at)
		return memory->error;
	memcpy(at, label->name, name_len + 1);
	memcpy(at + name_len + 1, label->value, value_len + 1);
	known->name = at;
	known->value = at + name_len + 1;
	known->text_bytes = text_bytes;
	packed->data = (unsigned char *)at + text_bytes + 2;
	packed->len = prometheus__label__pack(&message, packed->data);
	return 0;
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
	series.labels = v1->labels.items;
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
	int err = wire_labels_set(&v1->labels, series->labels, series->label_count,
				  pack_label, NULL, &text_bytes);

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
