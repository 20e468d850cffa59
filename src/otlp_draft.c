/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp_draft.h"

#include <errno.h>
#include <string.h>

#include "otlp_resources.h"

/* Tags and lengths (of up to 4 bytes: 256 MiB) around a data point; a metric and its
 * texts; a resource and the scope that is all it has. */
#define POINT_OVERHEAD 5
#define METRIC_OVERHEAD (2 * 5 + 3 * 3 + 2 * 2)
#define RESOURCE_OVERHEAD (3 * 5 + 6 + sizeof("bpftally") + sizeof(BPFTALLY_VERSION))

void otlp_draft_clear(struct otlp_draft *draft)
{
	for (struct otlp_resource *resource = draft->resources; resource;
	     resource = resource->next) {
		resource->is_drafted = false;
		resource->groups = NULL;
		resource->last = NULL;
		resource->group_count = 0;
	}
	snapshot_free(&draft->scratch);
	*draft = (struct otlp_draft){0};
}

static size_t resource_bytes(const struct otlp_resource *resource)
{
	return resource->packed.len + RESOURCE_OVERHEAD;
}

static void draft_resource(struct otlp_draft *draft, struct otlp_resource *resource)
{
	if (resource->is_drafted)
		return;
	resource->is_drafted = true;
	resource->next = NULL;
	if (!draft->resources)
		draft->end = &draft->resources;
	*draft->end = resource;
	draft->end = &resource->next;
	draft->resource_count++;
	draft->bytes += resource_bytes(resource);
}

static size_t metric_bytes(const struct otlp_metric *metric)
{
	const struct otlp_name *name = &metric->name;

	return strlen(name->name) + strlen(name->suffix) + strlen(name->unit) +
	       strlen(metric->family->help) + METRIC_OVERHEAD;
}

/* The families of a resource come one after the other: the last one, or none yet. */
static struct otlp_group *find_group(const struct otlp_resource *resource,
				     const struct otlp_metric *metric)
{
	struct otlp_group *group = resource->last;

	return group && group->metric.family == metric->family &&
		       group->metric.kind == metric->kind
		   ? group
		   : NULL;
}

static struct otlp_group *draft_group(struct otlp_draft *draft,
				      struct otlp_resource *resource,
				      const struct otlp_metric *metric)
{
	struct otlp_group *group = find_group(resource, metric);

	if (group)
		return group;
	group = snapshot_alloc(&draft->scratch, sizeof(*group));
	if (!group)
		return NULL;
	group->metric = *metric;
	group->end = &group->points;
	if (resource->last)
		resource->last->next = group;
	else
		resource->groups = group;
	resource->last = group;
	resource->group_count++;
	draft->bytes += metric_bytes(metric);
	return group;
}

static int draft_point(struct otlp_draft *draft, struct otlp_group *group,
		       const ProtobufCMessage *message, size_t len)
{
	struct otlp_packed *point =
	    snapshot_alloc(&draft->scratch, sizeof(*point) + len);

	if (!point)
		return -ENOMEM;
	point->len = protobuf_c_message_pack(message, point->bytes);
	*group->end = point;
	group->end = &point->next;
	group->count++;
	draft->points++;
	draft->bytes += len + POINT_OVERHEAD;
	return 0;
}

size_t otlp_draft_bytes_with(const struct otlp_draft *draft,
			     const struct otlp_resource *resource,
			     const struct otlp_metric *metric, size_t len)
{
	size_t bytes = draft->bytes + len + POINT_OVERHEAD;

	if (!resource->is_drafted)
		bytes += resource_bytes(resource);
	if (!find_group(resource, metric))
		bytes += metric_bytes(metric);
	return bytes;
}

int otlp_draft_add(struct otlp_draft *draft, struct otlp_resource *resource,
		   const struct otlp_metric *metric, const ProtobufCMessage *message,
		   size_t len)
{
	struct otlp_group *group;

	draft_resource(draft, resource);
	group = draft_group(draft, resource, metric);
	return group ? draft_point(draft, group, message, len) : -ENOMEM;
}
