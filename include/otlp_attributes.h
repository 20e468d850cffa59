/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_attributes.h - attributes, as the messages of data points and resources have
 * them. Which labels are some, and under which keys, is for others to say
 * (otlp_names.h).
 *
 * protobuf-c has no const: what it packs is only read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "otlp.pb-c.h"

/* The attributes of one point or resource; the memory is used again and again. */
struct otlp_attributes {
	Otlp__KeyValue **list;
	Otlp__KeyValue *pairs;
	Otlp__AnyValue *values;
	size_t count;
	size_t capacity;
};

/* Empty again, with room for so many. -ENOMEM. */
int otlp_attributes_start(struct otlp_attributes *attributes, size_t count_max);
/* Of two with one key the first stays, an empty value is none. is_number: it is one if
 * it can be. The strings stay the caller's. */
void otlp_attributes_add(struct otlp_attributes *attributes, const char *key,
			 const char *value, bool is_number);
void otlp_attributes_free(struct otlp_attributes *attributes);
