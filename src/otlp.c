/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics come by family; requests have them by resource, then by family. So a data
 * point is packed at once into the arena of the request that is being filled (its
 * draft), and hung up there under its resource and family. The draft is dropped with
 * the request: a collection of any size needs the memory of one.
 *
 * Resources live as long as the collection, because what they are is known only from
 * target_info, which comes first; a draft has those that it has points of.
 */
#include "otlp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cleanup.h"
#include "gzip.h"
#include "otlp_attributes.h"
#include "otlp_names.h"
#include "otlp_point.h"
#include "table.h"

/* Tags and lengths (of up to 4 bytes: 256 MiB) around a data point; a metric and its
 * texts; a resource and the scope that is all it has. */
#define POINT_OVERHEAD 5
#define METRIC_OVERHEAD (2 * 5 + 3 * 3 + 2 * 2)
#define RESOURCE_OVERHEAD (3 * 5 + 6 + sizeof("bpftally") + sizeof(BPFTALLY_VERSION))

/* One data point, packed. */
struct otlp_packed {
	struct otlp_packed *next;
	size_t len;
	uint8_t bytes[];
};

/* What data points are of. */
struct otlp_metric {
	const struct family *family;
	struct otlp_name name;
	enum otlp_kind kind;
};

/* A metric of one resource in the draft. */
struct otlp_group {
	struct otlp_group *next;
	struct otlp_metric metric;
	struct otlp_packed *points, **end;
	size_t count;
};

struct otlp_resource {
	const char *service, *name_space;
	const char *instance; /* of what was scraped; "": ours */
	ProtobufCBinaryData packed;
	/* in the draft: */
	bool is_drafted;
	struct otlp_resource *next;
	struct otlp_group *groups, *last;
	size_t group_count;
};

/* All that are known in this collection. */
struct otlp_resources {
	struct snapshot constants; /* arena of the external labels */
	struct label_set external;
	struct snapshot collection; /* arena of the resources */
	struct table table;
	uint64_t seed;
	struct otlp_attributes attributes;
};

/* The request that is being filled. */
struct otlp_draft {
	struct snapshot scratch; /* of which only the arena is used */
	struct otlp_resource *resources, **end;
	size_t resource_count;
	uint32_t points;
	size_t bytes; /* at least what the request will have */
	int64_t time_ms;
};

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

/* --- resources ---------------------------------------------------------------- */

static bool is_of_service(const char *label)
{
	return !strcmp(label, "service_name") || !strcmp(label, "service_namespace");
}

static bool is_of_target(const char *label)
{
	return !strcmp(label, "job") || !strcmp(label, "instance");
}

/* Of a family that is only on its way through. */
static bool is_scraped(const struct family *family)
{
	return family->order == FAMILY_SCRAPED;
}

static bool otlp_is_target_info(const struct family *family)
{
	return family->type == METRIC_INFO && !is_scraped(family) &&
	       !strcmp(family->name, "target");
}

static bool otlp_resources_has(const struct family *family, const char *label)
{
	return is_scraped(family) ? is_of_target(label) : is_of_service(label);
}

static const char *label_value(const struct label_set *labels, const char *name)
{
	for (size_t i = 0; i < labels->count; i++) {
		if (!strcmp(labels->labels[i].name, name))
			return labels->labels[i].value;
	}
	return "";
}

static bool is_same_resource(const void *item, const void *wanted)
{
	const struct otlp_resource *a = item, *b = wanted;

	return !strcmp(a->service, b->service) &&
	       !strcmp(a->name_space, b->name_space) &&
	       !strcmp(a->instance, b->instance);
}

static uint64_t hash_resource(const struct otlp_resources *resources,
			      const struct otlp_resource *resource)
{
	uint64_t hash = table_hash(resources->seed, resource->service,
				   strlen(resource->service) + 1);

	hash = table_hash(hash, resource->name_space, strlen(resource->name_space) + 1);
	return table_hash(hash, resource->instance, strlen(resource->instance));
}

/* The metric's own labels first, then those that it lacks. */
static int set_resource_attributes(struct otlp_resources *resources,
				   const struct label_set *labels)
{
	const struct label_set *external = &resources->external;
	struct otlp_attributes *attributes = &resources->attributes;
	int err =
	    otlp_attributes_start(attributes, labels->count + external->count + 2);

	if (err)
		return err;
	for (size_t i = 0; i < labels->count; i++)
		otlp_attributes_add(attributes,
				    otlp_resource_name(labels->labels[i].name),
				    labels->labels[i].value, false);
	otlp_attributes_add(attributes, "service.instance.id",
			    label_value(external, "instance"), false);
	for (size_t i = 0; i < external->count; i++) {
		const struct label *label = &external->labels[i];

		if (strcmp(label->name, "job") != 0 &&
		    strcmp(label->name, "instance") != 0)
			otlp_attributes_add(attributes, otlp_resource_name(label->name),
					    label->value, false);
	}
	otlp_attributes_add(attributes, "service.name", label_value(external, "job"),
			    false);
	return 0;
}

static int pack_resource(struct otlp_resources *resources,
			 struct otlp_resource *resource)
{
	Otlp__Resource message = OTLP__RESOURCE__INIT;
	size_t len;

	message.attributes = resources->attributes.list;
	message.n_attributes = resources->attributes.count;
	len = otlp__resource__get_packed_size(&message);
	resource->packed.data = snapshot_alloc(&resources->collection, len);
	if (!resource->packed.data)
		return -ENOMEM;
	resource->packed.len = otlp__resource__pack(&message, resource->packed.data);
	return 0;
}

static int add_resource(struct otlp_resources *resources,
			const struct otlp_resource *wanted,
			const struct label_set *labels,
			struct otlp_resource **ret_resource)
{
	struct snapshot *arena = &resources->collection;
	struct otlp_resource *resource = snapshot_alloc(arena, sizeof(*resource));
	int err = set_resource_attributes(resources, labels);

	if (err || !resource)
		return -ENOMEM;
	resource->service = snapshot_text(arena, wanted->service);
	resource->name_space = snapshot_text(arena, wanted->name_space);
	resource->instance = snapshot_text(arena, wanted->instance);
	if (arena->error || pack_resource(resources, resource) ||
	    !table_add(&resources->table, hash_resource(resources, wanted), resource,
		       arena))
		return -ENOMEM;
	*ret_resource = resource;
	return 0;
}

/* What has no service is the agent's, and `job` says what that is called: its own
 * processes name it. */
static const char *service_of(const struct otlp_resources *resources,
			      const struct label_set *labels)
{
	const char *service = label_value(labels, "service_name");

	return *service ? service : label_value(&resources->external, "job");
}

static int find_or_add_resource(struct otlp_resources *resources,
				const struct otlp_resource *wanted,
				const struct label_set *labels,
				struct otlp_resource **ret_resource)
{
	struct otlp_resource *found =
	    table_find(&resources->table, hash_resource(resources, wanted),
		       is_same_resource, wanted);

	if (!found)
		return add_resource(resources, wanted, labels, ret_resource);
	*ret_resource = found;
	return 0;
}

/* The one that the labels name. All of target_info's labels are its attributes; of
 * other metrics, those that say which service. */
static int find_service(struct otlp_resources *resources,
			const struct label_set *labels, bool is_target_info,
			struct otlp_resource **ret_resource)
{
	struct label named[] = {
	    {"service_name", label_value(labels, "service_name")},
	    {"service_namespace", label_value(labels, "service_namespace")},
	};
	const struct label_set own = {named, 2};
	const struct otlp_resource wanted = {
	    .service = service_of(resources, labels),
	    .name_space = named[1].value,
	    .instance = "",
	};

	return find_or_add_resource(resources, &wanted, is_target_info ? labels : &own,
				    ret_resource);
}

/* Whose job and instance the labels have: the compatibility specification makes
 * service.name and service.instance.id of them, receivers make labels of those again.
 */
static int find_target(struct otlp_resources *resources, const struct label_set *labels,
		       struct otlp_resource **ret_resource)
{
	struct label named[] = {
	    {"service.name", label_value(labels, "job")},
	    {"service.instance.id", label_value(labels, "instance")},
	};
	const struct label_set own = {named, 2};
	const struct otlp_resource wanted = {
	    .service = named[0].value,
	    .name_space = "",
	    .instance = named[1].value,
	};

	return find_or_add_resource(resources, &wanted, &own, ret_resource);
}

static int otlp_resources_find(struct otlp_resources *resources,
			       const struct metric *metric,
			       struct otlp_resource **ret_resource)
{
	const struct family *family = metric->family;

	if (is_scraped(family))
		return find_target(resources, &metric->labels, ret_resource);
	return find_service(resources, &metric->labels, otlp_is_target_info(family),
			    ret_resource);
}

static void otlp_resources_clear(struct otlp_resources *resources)
{
	snapshot_free(&resources->collection);
	resources->table = (struct table){0};
}

static int copy_external(struct otlp_resources *resources,
			 const struct config_labels *external)
{
	struct snapshot *arena = &resources->constants;
	AUTO_FREE struct label *labels = calloc(external->count + 1, sizeof(*labels));

	if (!labels)
		return -ENOMEM;
	for (size_t i = 0; i < external->count; i++) {
		labels[i].name = snapshot_text(arena, external->items[i].name);
		labels[i].value = snapshot_text(arena, external->items[i].value);
	}
	if (!arena->error)
		resources->external = snapshot_labels(arena, labels, external->count);
	return arena->error;
}

static int otlp_resources_init(struct otlp_resources *resources,
			       const struct config_labels *external)
{
	*resources = (struct otlp_resources){0};
	/* Before the kernel has entropy there is none: the table works with any. */
	if (getrandom(&resources->seed, sizeof(resources->seed), GRND_NONBLOCK) < 0)
		resources->seed = 0;
	return copy_external(resources, external);
}

static void otlp_resources_free(struct otlp_resources *resources)
{
	otlp_attributes_free(&resources->attributes);
	snapshot_free(&resources->collection);
	snapshot_free(&resources->constants);
}

/* --- the draft ---------------------------------------------------------------- */

static void otlp_draft_clear(struct otlp_draft *draft)
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

static size_t otlp_draft_bytes_with(const struct otlp_draft *draft,
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

static int otlp_draft_add(struct otlp_draft *draft, struct otlp_resource *resource,
			  const struct otlp_metric *metric,
			  const ProtobufCMessage *message, size_t len)
{
	struct otlp_group *group;

	draft_resource(draft, resource);
	group = draft_group(draft, resource, metric);
	return group ? draft_point(draft, group, message, len) : -ENOMEM;
}

/* --- a request ---------------------------------------------------------------- */

static char *metric_name(struct snapshot *scratch, const struct otlp_name *name)
{
	size_t len = strlen(name->name) + strlen(name->suffix) + 1;
	char *text = snapshot_alloc(scratch, len);

	if (text)
		strcpy(stpcpy(text, name->name), name->suffix);
	return text;
}

static int build_points(struct snapshot *scratch, const struct otlp_group *group,
			Otlp__Points *points)
{
	size_t i = 0;

	otlp__points__init(points);
	points->data_points =
	    snapshot_alloc(scratch, group->count * sizeof(*points->data_points));
	if (!points->data_points)
		return -ENOMEM;
	for (struct otlp_packed *point = group->points; point; point = point->next)
		points->data_points[i++] = (ProtobufCBinaryData){
		    .len = point->len,
		    .data = point->bytes,
		};
	points->n_data_points = i;
	if (group->metric.kind != OTLP_GAUGE && group->metric.kind != OTLP_SUMMARY)
		points->aggregation_temporality =
		    OTLP__AGGREGATION_TEMPORALITY__CUMULATIVE;
	points->is_monotonic = group->metric.kind == OTLP_COUNTER;
	return 0;
}

static Otlp__Metric *build_metric(struct snapshot *scratch,
				  const struct otlp_group *group)
{
	static const Otlp__Metric__DataCase cases[] = {
	    [OTLP_GAUGE] = OTLP__METRIC__DATA_GAUGE,
	    [OTLP_UP_DOWN] = OTLP__METRIC__DATA_SUM,
	    [OTLP_COUNTER] = OTLP__METRIC__DATA_SUM,
	    [OTLP_HISTOGRAM] = OTLP__METRIC__DATA_HISTOGRAM,
	    [OTLP_EXPONENTIAL] = OTLP__METRIC__DATA_EXPONENTIAL_HISTOGRAM,
	    [OTLP_SUMMARY] = OTLP__METRIC__DATA_SUMMARY,
	};
	Otlp__Metric *metric = snapshot_alloc(scratch, sizeof(*metric));
	Otlp__Points *points = snapshot_alloc(scratch, sizeof(*points));

	if (!metric || !points || build_points(scratch, group, points))
		return NULL;
	otlp__metric__init(metric);
	metric->name = metric_name(scratch, &group->metric.name);
	metric->description = (char *)group->metric.family->help;
	metric->unit = (char *)group->metric.name.unit;
	metric->data_case = cases[group->metric.kind];
	metric->gauge = points; /* of a union of pointers to this type */
	return metric;
}

static Otlp__InstrumentationScope *build_scope(struct snapshot *scratch)
{
	Otlp__InstrumentationScope *scope = snapshot_alloc(scratch, sizeof(*scope));

	if (!scope)
		return NULL;
	otlp__instrumentation_scope__init(scope);
	scope->name = (char *)"bpftally";
	scope->version = (char *)BPFTALLY_VERSION;
	return scope;
}

static int build_metrics(struct snapshot *scratch, const struct otlp_resource *resource,
			 Otlp__ScopeMetrics *metrics)
{
	otlp__scope_metrics__init(metrics);
	metrics->scope = build_scope(scratch);
	metrics->metrics =
	    snapshot_alloc(scratch, resource->group_count * sizeof(Otlp__Metric *));
	if (!metrics->metrics)
		return -ENOMEM;
	for (const struct otlp_group *group = resource->groups; group;
	     group = group->next)
		metrics->metrics[metrics->n_metrics++] = build_metric(scratch, group);
	return scratch->error;
}

static Otlp__ResourceMetrics *build_resource(struct snapshot *scratch,
					     const struct otlp_resource *resource)
{
	Otlp__ResourceMetrics *message = snapshot_alloc(scratch, sizeof(*message));
	Otlp__ScopeMetrics **scopes = snapshot_alloc(scratch, sizeof(*scopes));
	Otlp__ScopeMetrics *scope = snapshot_alloc(scratch, sizeof(*scope));

	if (scratch->error || build_metrics(scratch, resource, scope))
		return NULL;
	*scopes = scope;
	otlp__resource_metrics__init(message);
	message->resource = resource->packed;
	message->scope_metrics = scopes;
	message->n_scope_metrics = 1;
	return message;
}

static int build_request(struct otlp_draft *draft,
			 Otlp__ExportMetricsServiceRequest *request)
{
	struct snapshot *scratch = &draft->scratch;

	otlp__export_metrics_service_request__init(request);
	request->resource_metrics = snapshot_alloc(
	    scratch, draft->resource_count * sizeof(Otlp__ResourceMetrics *));
	if (!request->resource_metrics)
		return -ENOMEM;
	for (const struct otlp_resource *resource = draft->resources; resource;
	     resource = resource->next)
		request->resource_metrics[request->n_resource_metrics++] =
		    build_resource(scratch, resource);
	return scratch->error;
}

static struct wire_batch *make_batch(enum wire_message message, size_t len)
{
	struct wire_batch *batch = malloc(sizeof(*batch) + len);

	if (!batch)
		return NULL;
	*batch = (struct wire_batch){
	    .references = 1,
	    .message = message,
	    .len = len,
	};
	return batch;
}

/* Takes the plain one. */
static int compress_batch(struct wire_batch **plain, struct wire_batch **ret_batch)
{
	AUTO_FREE struct wire_batch *from = TAKE(*plain);
	size_t room = gzip_bound(from->len);
	AUTO_FREE struct wire_batch *to = make_batch(WIRE_OTLP_GZIP, room);
	struct wire_batch *shrunk;
	int err;

	if (!to)
		return -ENOMEM;
	to->samples = from->samples;
	to->time_ms = from->time_ms;
	err = gzip_whole(from->bytes, from->len, to->bytes, room, &to->len);
	if (err)
		return err;
	shrunk = realloc(to, sizeof(*to) + to->len);
	if (shrunk)
		to = shrunk;
	*ret_batch = TAKE(to);
	return 0;
}

static int otlp_request_pack(struct otlp_draft *draft, bool gzip,
			     struct wire_batch **ret_batch)
{
	Otlp__ExportMetricsServiceRequest request;
	AUTO_FREE struct wire_batch *batch = NULL;
	int err = build_request(draft, &request);

	if (err)
		return err;
	batch = make_batch(
	    WIRE_OTLP, otlp__export_metrics_service_request__get_packed_size(&request));
	if (!batch)
		return -ENOMEM;
	batch->samples = draft->points;
	batch->time_ms = draft->time_ms;
	otlp__export_metrics_service_request__pack(&request, batch->bytes);
	/* Compressed it needs no other memory than these two. */
	snapshot_free(&draft->scratch);
	if (gzip)
		return compress_batch(&batch, ret_batch);
	*ret_batch = TAKE(batch);
	return 0;
}

/* --- the writer --------------------------------------------------------------- */

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

/* --- what is added ------------------------------------------------------------ */

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
