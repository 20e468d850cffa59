/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp.h - metrics as OTLP requests (src/otlp.proto by protobuf-c); what the receiver
 * answers is otlp_answer.h's. Pure: bytes in memory, no network, no clock.
 *
 * Who is measured is a resource: service.name, service.namespace, what target_info
 * says, service.instance.id (the label `instance`, of whoever measures: one of them
 * has each service once) and the other external labels. What has no service is of
 * the agent, whose name is the label `job`. All else are attributes of data points.
 * What was scraped is of a resource by its labels job and instance (assemble.h).
 * Counts are cumulative, with the start that the metric came with. Data points
 * themselves are otlp_point.h's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "sample.h"
#include "wire_batch.h"

#define OTLP_POINTS_MAX 2000

struct otlp_format {
	bool exponential; /* histograms that have native counts, else explicit bounds */
	bool gzip;
	uint32_t points_max; /* data points in a request, at least 1 */
	size_t bytes_max;    /* of a request before gzip; one point may be larger */
};

/* What metrics of one collection after another become requests in. */
struct otlp_writer;

/* external (copied): with job and instance. emit as of wire_batch.h: WIRE_OTLP or
 * WIRE_OTLP_GZIP, samples are data points. */
int otlp_writer_create(const struct otlp_format *format,
		       const struct config_labels *external, wire_emit emit,
		       void *context, struct otlp_writer **ret_writer);
void otlp_writer_free(struct otlp_writer **writer);
/* Copies what it needs. Metrics come in the order of a snapshot, so the target_info
 * of a service before all else of it. */
int otlp_add(struct otlp_writer *writer, const struct sample_metric *metric);
/* Closes the last request, if there is one, and the collection. The first error of
 * both (-ENOMEM) is returned by all until then; its request is lost, those before
 * were handed out. */
int otlp_finish(struct otlp_writer *writer);
