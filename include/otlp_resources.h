/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_resources.h - who is measured, of the metrics of one collection; which labels
 * say so and which attributes it has, otlp.h describes. Each is packed once. What a
 * request has of one is otlp_draft.h's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "otlp_attributes.h"
#include "snapshot.h"
#include "table.h"

struct config_labels;
struct otlp_group;

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

/* external (copied): with job and instance. -ENOMEM: it is to be freed all the same. */
int otlp_resources_init(struct otlp_resources *resources,
			const struct config_labels *external);
void otlp_resources_free(struct otlp_resources *resources);
/* The collection ended: there is none, and no memory of them. */
void otlp_resources_clear(struct otlp_resources *resources);
/* Of a metric, as long as the collection. Its strings are copied. The first one of a
 * resource says what that is: target_info, where there is one. -ENOMEM. */
int otlp_resources_find(struct otlp_resources *resources, const struct metric *metric,
			struct otlp_resource **ret_resource);
/* It says what its resource is, and is nothing else. */
bool otlp_is_target_info(const struct family *family);
/* A label of metrics of this family is of their resource, not of data points. */
bool otlp_resources_has(const struct family *family, const char *label);
