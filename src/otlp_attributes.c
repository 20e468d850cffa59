/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp_attributes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_DIGITS_MAX 18

int otlp_attributes_start(struct otlp_attributes *attributes, size_t count_max)
{
	attributes->count = 0;
	if (count_max <= attributes->capacity)
		return 0;
	free(attributes->list);
	free(attributes->pairs);
	free(attributes->values);
	attributes->list = calloc(count_max, sizeof(struct Otlp__KeyValue *));
	attributes->pairs = calloc(count_max, sizeof(*attributes->pairs));
	attributes->values = calloc(count_max, sizeof(*attributes->values));
	attributes->capacity = 0;
	if (!attributes->list || !attributes->pairs || !attributes->values)
		return -ENOMEM;
	attributes->capacity = count_max;
	return 0;
}

void otlp_attributes_free(struct otlp_attributes *attributes)
{
	free(attributes->list);
	free(attributes->pairs);
	free(attributes->values);
}

static bool has_attribute(const struct otlp_attributes *attributes, const char *key)
{
	for (size_t i = 0; i < attributes->count; i++) {
		if (!strcmp(attributes->list[i]->key, key))
			return true;
	}
	return false;
}

static bool is_integer(const char *value)
{
	size_t digits = strspn(value, "0123456789");

	return digits && digits <= NUMBER_DIGITS_MAX && !value[digits];
}

void otlp_attributes_add(struct otlp_attributes *attributes, const char *key,
			 const char *value, bool is_number)
{
	size_t i = attributes->count;

	if (!*value || has_attribute(attributes, key))
		return;
	otlp__any_value__init(&attributes->values[i]);
	if (is_number && is_integer(value)) {
		attributes->values[i].value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
		attributes->values[i].int_value = strtoll(value, NULL, 10);
	} else {
		attributes->values[i].value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
		attributes->values[i].string_value = (char *)value;
	}
	otlp__key_value__init(&attributes->pairs[i]);
	attributes->pairs[i].key = (char *)key;
	attributes->pairs[i].value = &attributes->values[i];
	attributes->list[i] = &attributes->pairs[i];
	attributes->count++;
}
