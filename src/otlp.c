/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "otlp_attributes.h"
#include "otlp_draft.h"
#include "otlp_names.h"
#include "otlp_point.h"
#include "otlp_request.h"
#include "otlp_resources.h"

struct otlp_writer {
	struct otlp_format format;
	wire_emit emit;
	void *context;
	struct otlp_resources resources;
	struct otlp_draft draft;
	struct otlp_attributes attributes; /* of a data point */
	struct otlp_metric metric;         /* the last one */
	int error;
};

static int emit_draft(struct otlp_writer *writer)
{
	struct otlp_draft *draft = &writer->draft;
	struct wire_batch *batch = NULL;
	int err = 0;

	if (draft->points)
		err = otlp_request_pack(draft, writer->format.gzip, &batch);
	otlp_draft_clear(draft);
	if (batch)
		writer->emit(writer->context, batch);
	return err;
}

static bool has_room(const struct otlp_writer *writer,
		     const struct otlp_resource *resource, size_t len)
{
	const struct otlp_format *format = &writer->format;
	const struct otlp_draft *draft = &writer->draft;
	size_t bytes = otlp_draft_bytes_with(draft, resource, &writer->metric, len);

	return !draft->points ||
	       (draft->points < format->points_max && bytes <= format->bytes_max);
}

static int add_point(struct otlp_writer *writer, const struct sample_metric *item,
		     struct otlp_resource *resource)
{
	CLEANUP(otlp_point_free) struct otlp_point point = {0};
	int err =
	    otlp_point_fill(&point, item, writer->metric.kind, &writer->attributes);
	size_t len;

	if (err)
		return err;
	len = protobuf_c_message_get_packed_size(&point.base);
	if (!has_room(writer, resource, len))
		err = emit_draft(writer);
	if (err)
		return err;
	writer->draft.time_ms = item->time_ms;
	return otlp_draft_add(&writer->draft, resource, &writer->metric, &point.base,
			      len);
}

/* What is left of the labels when the resource has got its own. */
static int set_attributes(struct otlp_writer *writer, const struct metric *metric)
{
	struct otlp_attributes *attributes = &writer->attributes;
	int err = otlp_attributes_start(attributes, metric->labels.count);

	for (size_t i = 0; !err && i < metric->labels.count; i++) {
		const struct label *label = &metric->labels.labels[i];
		const char *key = label->name;
		bool is_number = false;

		if (otlp_resources_has(metric->family, label->name))
			continue;
		if (writer->metric.name.is_convention)
			key = otlp_attribute_name(label->name, &is_number);
		otlp_attributes_add(attributes, key, label->value, is_number);
	}
	return err;
}

static enum otlp_kind kind_of(const struct otlp_writer *writer,
			      const struct sample_metric *item)
{
	switch (item->metric->family->type) {
	case METRIC_COUNTER:
		return OTLP_COUNTER;
	case METRIC_HISTOGRAM:
		return item->has_native && writer->format.exponential ? OTLP_EXPONENTIAL
								      : OTLP_HISTOGRAM;
	case METRIC_SUMMARY:
		return OTLP_SUMMARY;
	case METRIC_GAUGE:
	case METRIC_INFO:
	case METRIC_UNKNOWN:
	case METRIC_GAUGE_HISTOGRAM:
	case METRIC_STATE_SET:
		break;
	}
	return writer->metric.name.is_up_down ? OTLP_UP_DOWN : OTLP_GAUGE;
}

static void set_metric(struct otlp_writer *writer, const struct sample_metric *item)
{
	const struct family *family = item->metric->family;

	if (writer->metric.family != family) {
		writer->metric.family = family;
		writer->metric.name = otlp_metric_name(family);
	}
	writer->metric.kind = kind_of(writer, item);
}

static int add_metric(struct otlp_writer *writer, const struct sample_metric *item)
{
	struct otlp_resource *resource;
	int err = otlp_resources_find(&writer->resources, item->metric, &resource);

	if (err || otlp_is_target_info(item->metric->family))
		return err;
	set_metric(writer, item);
	err = set_attributes(writer, item->metric);
	return err ? err : add_point(writer, item, resource);
}

int otlp_add(struct otlp_writer *writer, const struct sample_metric *metric)
{
	if (!writer->error)
		writer->error = add_metric(writer, metric);
	return writer->error;
}

int otlp_finish(struct otlp_writer *writer)
{
	int err = writer->error ? writer->error : emit_draft(writer);

	/* Between collections there is no memory in use, of families neither. */
	writer->metric.family = NULL;
	otlp_draft_clear(&writer->draft);
	otlp_resources_clear(&writer->resources);
	writer->error = 0;
	return err;
}

int otlp_writer_create(const struct otlp_format *format,
		       const struct config_labels *external, wire_emit emit,
		       void *context, struct otlp_writer **ret_writer)
{
	CLEANUP(otlp_writer_free)
	struct otlp_writer *writer = calloc(1, sizeof(*writer));
	int err;

	if (!writer)
		return -ENOMEM;
	writer->format = *format;
	writer->emit = emit;
	writer->context = context;
	err = otlp_resources_init(&writer->resources, external);
	if (err)
		return err;
	*ret_writer = TAKE(writer);
	return 0;
}

void otlp_writer_free(struct otlp_writer **writer)
{
	if (!*writer)
		return;
	otlp_draft_clear(&(*writer)->draft);
	otlp_attributes_free(&(*writer)->attributes);
	otlp_resources_free(&(*writer)->resources);
	free(*writer);
	*writer = NULL;
}
