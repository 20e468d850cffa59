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
struct point {
	struct point *next;
	size_t len;
	uint8_t bytes[];
};

/* A family of one resource in the draft. */
struct group {
	struct group *next;
	const struct family *family;
	struct otlp_name name;
	enum otlp_kind kind;
	struct point *points, **end;
	size_t count;
};

struct resource {
	const char *service, *name_space;
	const char *instance; /* of what was scraped; "": ours */
	ProtobufCBinaryData packed;
	/* in the draft: */
	bool is_drafted;
	struct resource *next;
	struct group *groups, *last;
	size_t group_count;
};

/* The request that is being filled. */
struct draft {
	struct snapshot scratch; /* of which only the arena is used */
	struct resource *resources, **end;
	size_t resource_count;
	uint32_t points;
	size_t bytes; /* at least what the request will have */
	int64_t time_ms;
};

struct otlp_writer {
	struct otlp_format format;
	wire_emit emit;
	void *context;
	struct snapshot constants; /* arena of the external labels */
	struct label_set external;
	struct snapshot collection; /* arena of the resources */
	struct table resources;
	uint64_t seed;
	struct draft draft;
	struct otlp_attributes attributes;
	const struct family *family; /* the last one, and: */
	struct otlp_name name;
	int error;
};

/* --- attributes --------------------------------------------------------------- */

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

/* What is left of the labels when the resource has got its own. */
static int set_point_attributes(struct otlp_writer *writer, const struct family *family,
				const struct label_set *labels)
{
	struct otlp_attributes *attributes = &writer->attributes;
	int err = otlp_attributes_start(attributes, labels->count);

	for (size_t i = 0; !err && i < labels->count; i++) {
		const struct label *label = &labels->labels[i];
		const char *key = label->name;
		bool is_number = false;

		if (is_scraped(family) ? is_of_target(label->name)
				       : is_of_service(label->name))
			continue;
		if (writer->name.is_convention)
			key = otlp_attribute_name(label->name, &is_number);
		otlp_attributes_add(attributes, key, label->value, is_number);
	}
	return err;
}

/* --- resources ---------------------------------------------------------------- */

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
	const struct resource *a = item, *b = wanted;

	return !strcmp(a->service, b->service) &&
	       !strcmp(a->name_space, b->name_space) &&
	       !strcmp(a->instance, b->instance);
}

static uint64_t hash_resource(const struct otlp_writer *writer,
			      const struct resource *resource)
{
	uint64_t hash =
	    table_hash(writer->seed, resource->service, strlen(resource->service) + 1);

	hash = table_hash(hash, resource->name_space, strlen(resource->name_space) + 1);
	return table_hash(hash, resource->instance, strlen(resource->instance));
}

/* The metric's own labels first, then those that it lacks. */
static int set_resource_attributes(struct otlp_writer *writer,
				   const struct label_set *labels)
{
	const struct label_set *external = &writer->external;
	struct otlp_attributes *attributes = &writer->attributes;
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

static int pack_resource(struct otlp_writer *writer, struct resource *resource)
{
	Otlp__Resource message = OTLP__RESOURCE__INIT;
	size_t len;

	message.attributes = writer->attributes.list;
	message.n_attributes = writer->attributes.count;
	len = otlp__resource__get_packed_size(&message);
	resource->packed.data = snapshot_alloc(&writer->collection, len);
	if (!resource->packed.data)
		return -ENOMEM;
	resource->packed.len = otlp__resource__pack(&message, resource->packed.data);
	return 0;
}

static int add_resource(struct otlp_writer *writer, const struct resource *wanted,
			const struct label_set *labels, struct resource **ret_resource)
{
	struct snapshot *arena = &writer->collection;
	struct resource *resource = snapshot_alloc(arena, sizeof(*resource));
	int err = set_resource_attributes(writer, labels);

	if (err || !resource)
		return -ENOMEM;
	resource->service = snapshot_text(arena, wanted->service);
	resource->name_space = snapshot_text(arena, wanted->name_space);
	resource->instance = snapshot_text(arena, wanted->instance);
	if (arena->error || pack_resource(writer, resource) ||
	    !table_add(&writer->resources, hash_resource(writer, wanted), resource,
		       arena))
		return -ENOMEM;
	*ret_resource = resource;
	return 0;
}

/* What has no service is the agent's, and `job` says what that is called: its own
 * processes name it. */
static const char *service_of(const struct otlp_writer *writer,
			      const struct label_set *labels)
{
	const char *service = label_value(labels, "service_name");

	return *service ? service : label_value(&writer->external, "job");
}

static int find_or_add_resource(struct otlp_writer *writer,
				const struct resource *wanted,
				const struct label_set *labels,
				struct resource **ret_resource)
{
	struct resource *found =
	    table_find(&writer->resources, hash_resource(writer, wanted),
		       is_same_resource, wanted);

	if (!found)
		return add_resource(writer, wanted, labels, ret_resource);
	*ret_resource = found;
	return 0;
}

/* The one that the labels name. All of target_info's labels are its attributes; of
 * other metrics, those that say which service. */
static int find_resource(struct otlp_writer *writer, const struct label_set *labels,
			 bool is_target_info, struct resource **ret_resource)
{
	struct label named[] = {
	    {"service_name", label_value(labels, "service_name")},
	    {"service_namespace", label_value(labels, "service_namespace")},
	};
	const struct label_set own = {named, 2};
	const struct resource wanted = {
	    .service = service_of(writer, labels),
	    .name_space = named[1].value,
	    .instance = "",
	};

	return find_or_add_resource(writer, &wanted, is_target_info ? labels : &own,
				    ret_resource);
}

/* Whose job and instance the labels have: the compatibility specification makes
 * service.name and service.instance.id of them, receivers make labels of those again.
 */
static int find_target(struct otlp_writer *writer, const struct label_set *labels,
		       struct resource **ret_resource)
{
	struct label named[] = {
	    {"service.name", label_value(labels, "job")},
	    {"service.instance.id", label_value(labels, "instance")},
	};
	const struct label_set own = {named, 2};
	const struct resource wanted = {
	    .service = named[0].value,
	    .name_space = "",
	    .instance = named[1].value,
	};

	return find_or_add_resource(writer, &wanted, &own, ret_resource);
}

/* --- the draft ---------------------------------------------------------------- */

static void clear_draft(struct draft *draft)
{
	for (struct resource *resource = draft->resources; resource;
	     resource = resource->next) {
		resource->is_drafted = false;
		resource->groups = NULL;
		resource->last = NULL;
		resource->group_count = 0;
	}
	snapshot_free(&draft->scratch);
	*draft = (struct draft){0};
}

static size_t resource_bytes(const struct resource *resource)
{
	return resource->packed.len + RESOURCE_OVERHEAD;
}

static void draft_resource(struct draft *draft, struct resource *resource)
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

/* Of the family that is being added. */
static size_t group_bytes(const struct otlp_writer *writer)
{
	const struct otlp_name *name = &writer->name;

	return strlen(name->name) + strlen(name->suffix) + strlen(name->unit) +
	       strlen(writer->family->help) + METRIC_OVERHEAD;
}

/* The families of a resource come one after the other: the last one, or none yet. */
static struct group *find_group(const struct otlp_writer *writer,
				const struct resource *resource, enum otlp_kind kind)
{
	struct group *group = resource->last;

	return group && group->family == writer->family && group->kind == kind ? group
									       : NULL;
}

static struct group *draft_group(struct otlp_writer *writer, struct resource *resource,
				 enum otlp_kind kind)
{
	struct draft *draft = &writer->draft;
	struct group *group = find_group(writer, resource, kind);

	if (group)
		return group;
	group = snapshot_alloc(&draft->scratch, sizeof(*group));
	if (!group)
		return NULL;
	group->family = writer->family;
	group->name = writer->name;
	group->kind = kind;
	group->end = &group->points;
	if (resource->last)
		resource->last->next = group;
	else
		resource->groups = group;
	resource->last = group;
	resource->group_count++;
	draft->bytes += group_bytes(writer);
	return group;
}

static int draft_point(struct draft *draft, struct group *group,
		       const ProtobufCMessage *message, size_t len)
{
	struct point *point = snapshot_alloc(&draft->scratch, sizeof(*point) + len);

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

/* --- a request ---------------------------------------------------------------- */

static char *metric_name(struct snapshot *scratch, const struct otlp_name *name)
{
	size_t len = strlen(name->name) + strlen(name->suffix) + 1;
	char *text = snapshot_alloc(scratch, len);

	if (text)
		strcpy(stpcpy(text, name->name), name->suffix);
	return text;
}

static int build_points(struct snapshot *scratch, const struct group *group,
			Otlp__Points *points)
{
	size_t i = 0;

	otlp__points__init(points);
	points->data_points =
	    snapshot_alloc(scratch, group->count * sizeof(*points->data_points));
	if (!points->data_points)
		return -ENOMEM;
	for (struct point *point = group->points; point; point = point->next)
		points->data_points[i++] = (ProtobufCBinaryData){
		    .len = point->len,
		    .data = point->bytes,
		};
	points->n_data_points = i;
	if (group->kind != OTLP_GAUGE && group->kind != OTLP_SUMMARY)
		points->aggregation_temporality =
		    OTLP__AGGREGATION_TEMPORALITY__CUMULATIVE;
	points->is_monotonic = group->kind == OTLP_COUNTER;
	return 0;
}

static Otlp__Metric *build_metric(struct snapshot *scratch, const struct group *group)
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
	metric->name = metric_name(scratch, &group->name);
	metric->description = (char *)group->family->help;
	metric->unit = (char *)group->name.unit;
	metric->data_case = cases[group->kind];
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

static int build_metrics(struct snapshot *scratch, const struct resource *resource,
			 Otlp__ScopeMetrics *metrics)
{
	otlp__scope_metrics__init(metrics);
	metrics->scope = build_scope(scratch);
	metrics->metrics =
	    snapshot_alloc(scratch, resource->group_count * sizeof(Otlp__Metric *));
	if (!metrics->metrics)
		return -ENOMEM;
	for (const struct group *group = resource->groups; group; group = group->next)
		metrics->metrics[metrics->n_metrics++] = build_metric(scratch, group);
	return scratch->error;
}

static Otlp__ResourceMetrics *build_resource(struct snapshot *scratch,
					     const struct resource *resource)
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

static int build_request(struct draft *draft,
			 Otlp__ExportMetricsServiceRequest *request)
{
	struct snapshot *scratch = &draft->scratch;

	otlp__export_metrics_service_request__init(request);
	request->resource_metrics = snapshot_alloc(
	    scratch, draft->resource_count * sizeof(Otlp__ResourceMetrics *));
	if (!request->resource_metrics)
		return -ENOMEM;
	for (const struct resource *resource = draft->resources; resource;
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
	err = gzip_whole(from->bytes, from->len, to->bytes, room, &to->len);
	if (err)
		return err;
	shrunk = realloc(to, sizeof(*to) + to->len);
	if (shrunk)
		to = shrunk;
	*ret_batch = TAKE(to);
	return 0;
}

static int pack_draft(struct otlp_writer *writer, struct wire_batch **ret_batch)
{
	Otlp__ExportMetricsServiceRequest request;
	AUTO_FREE struct wire_batch *batch = NULL;
	int err = build_request(&writer->draft, &request);

	if (err)
		return err;
	batch = make_batch(
	    WIRE_OTLP, otlp__export_metrics_service_request__get_packed_size(&request));
	if (!batch)
		return -ENOMEM;
	otlp__export_metrics_service_request__pack(&request, batch->bytes);
	/* Compressed it needs no other memory than these two. */
	snapshot_free(&writer->draft.scratch);
	if (writer->format.gzip)
		return compress_batch(&batch, ret_batch);
	*ret_batch = TAKE(batch);
	return 0;
}

static int emit_draft(struct otlp_writer *writer)
{
	struct draft *draft = &writer->draft;
	struct wire_batch *batch = NULL;
	int err;

	if (!draft->points) {
		clear_draft(draft);
		return 0;
	}
	err = pack_draft(writer, &batch);
	if (!err) {
		batch->samples = draft->points;
		batch->time_ms = draft->time_ms;
	}
	clear_draft(draft);
	if (!err)
		writer->emit(writer->context, batch);
	return err;
}

/* --- the writer --------------------------------------------------------------- */

/* The kind is of the family that is being added. */
static bool has_room(const struct otlp_writer *writer, const struct resource *resource,
		     enum otlp_kind kind, size_t len)
{
	const struct draft *draft = &writer->draft;
	size_t bytes = draft->bytes + len + POINT_OVERHEAD;

	if (!resource->is_drafted)
		bytes += resource_bytes(resource);
	if (!find_group(writer, resource, kind))
		bytes += group_bytes(writer);
	return !draft->points || (draft->points < writer->format.points_max &&
				  bytes <= writer->format.bytes_max);
}

static int add_point(struct otlp_writer *writer, const struct sample_metric *item,
		     struct resource *resource, enum otlp_kind kind)
{
	CLEANUP(otlp_point_free) struct otlp_point point = {0};
	int err = otlp_point_fill(&point, item, kind, &writer->attributes);
	struct group *group;
	size_t len;

	if (err)
		return err;
	len = protobuf_c_message_get_packed_size(&point.base);
	if (!has_room(writer, resource, kind, len))
		err = emit_draft(writer);
	if (err)
		return err;
	draft_resource(&writer->draft, resource);
	writer->draft.time_ms = item->time_ms;
	group = draft_group(writer, resource, kind);
	return group ? draft_point(&writer->draft, group, &point.base, len) : -ENOMEM;
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
	return writer->name.is_up_down ? OTLP_UP_DOWN : OTLP_GAUGE;
}

static void set_family(struct otlp_writer *writer, const struct family *family)
{
	if (writer->family == family)
		return;
	writer->family = family;
	writer->name = otlp_metric_name(family);
}

static bool is_target_info(const struct family *family)
{
	return family->type == METRIC_INFO && !is_scraped(family) &&
	       !strcmp(family->name, "target");
}

static int add_metric(struct otlp_writer *writer, const struct sample_metric *item)
{
	const struct metric *metric = item->metric;
	struct resource *resource;
	bool is_info = is_target_info(metric->family);
	int err = is_scraped(metric->family)
		      ? find_target(writer, &metric->labels, &resource)
		      : find_resource(writer, &metric->labels, is_info, &resource);

	if (err || is_info)
		return err;
	set_family(writer, metric->family);
	err = set_point_attributes(writer, metric->family, &metric->labels);
	return err ? err : add_point(writer, item, resource, kind_of(writer, item));
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
	writer->family = NULL;
	clear_draft(&writer->draft);
	snapshot_free(&writer->collection);
	writer->resources = (struct table){0};
	writer->error = 0;
	return err;
}

static int copy_external(struct otlp_writer *writer,
			 const struct config_labels *external)
{
	struct snapshot *arena = &writer->constants;
	AUTO_FREE struct label *labels = calloc(external->count + 1, sizeof(*labels));

	if (!labels)
		return -ENOMEM;
	for (size_t i = 0; i < external->count; i++) {
		labels[i].name = snapshot_text(arena, external->items[i].name);
		labels[i].value = snapshot_text(arena, external->items[i].value);
	}
	if (!arena->error)
		writer->external = snapshot_labels(arena, labels, external->count);
	return arena->error;
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
	/* Before the kernel has entropy there is none: the table works with any. */
	if (getrandom(&writer->seed, sizeof(writer->seed), GRND_NONBLOCK) < 0)
		writer->seed = 0;
	err = copy_external(writer, external);
	if (err)
		return err;
	*ret_writer = TAKE(writer);
	return 0;
}

void otlp_writer_free(struct otlp_writer **writer)
{
	if (!*writer)
		return;
	clear_draft(&(*writer)->draft);
	otlp_attributes_free(&(*writer)->attributes);
	snapshot_free(&(*writer)->collection);
	snapshot_free(&(*writer)->constants);
	free(*writer);
	*writer = NULL;
}
