/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "gzip.h"
#include "otlp_draft.h"
#include "otlp_resources.h"
#include "wire_batch.h"

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

int otlp_request_pack(struct otlp_draft *draft, bool gzip,
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
