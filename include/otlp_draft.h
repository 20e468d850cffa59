/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_draft.h - the request that is being filled. Metrics come by family; requests
 * have them by resource, then by family. So a data point is packed at once into the
 * arena of the draft, and hung up there under its resource and metric. The draft is
 * dropped with the request: a collection of any size needs the memory of one.
 *
 * Resources live as long as the collection, because what they are is known only from
 * target_info, which comes first (otlp_resources.h); a draft has those that it has
 * points of. When it is full is the caller's to say.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "otlp_names.h"
#include "otlp_point.h"
#include "snapshot.h"

struct otlp_resource;

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

/* The request that is being filled. */
struct otlp_draft {
	struct snapshot scratch; /* of which only the arena is used */
	struct otlp_resource *resources, **end;
	size_t resource_count;
	uint32_t points;
	size_t bytes; /* at least what the request will have */
	int64_t time_ms;
};

/* Zeroed it is empty; this makes it so again, and gives its memory back. Its resources
 * are still there. */
void otlp_draft_clear(struct otlp_draft *draft);
/* What the request will have at the most with one point more, of len bytes. */
size_t otlp_draft_bytes_with(const struct otlp_draft *draft,
			     const struct otlp_resource *resource,
			     const struct otlp_metric *metric, size_t len);
/* Packs a data point, of len bytes. The metric is copied, its strings and its family
 * are not: they stay until the request is packed. -ENOMEM. */
int otlp_draft_add(struct otlp_draft *draft, struct otlp_resource *resource,
		   const struct otlp_metric *metric, const ProtobufCMessage *message,
		   size_t len);
