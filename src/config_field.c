/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_internal.h"
#include "config_value.h"
#include "secret.h"

int config_read_text(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	return config_scalar(reader, node, field->key, target);
}

int config_read_path(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	char *path;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	path = config_resolve_path(reader, text);
	if (!path)
		return config_fail(reader, node, "out of memory");
	*(char **)target = path;
	return 0;
}

int config_read_flag(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (!value_flag(text, target))
		return config_fail_value(reader, node, field->key, "true or false");
	return 0;
}

int config_read_number(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	uint64_t number;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (!value_number(text, field->min, field->max, &number)) {
		char must[64];

		snprintf(must, sizeof(must), "a whole number from %llu to %llu",
			 (unsigned long long)field->min,
			 (unsigned long long)field->max);
		return config_fail_value(reader, node, field->key, must);
	}
	*(uint32_t *)target = (uint32_t)number;
	return 0;
}

int config_read_duration(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	uint64_t ms;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (!value_duration_ms(text, &ms) || ms < field->min || ms > field->max) {
		char min[VALUE_DURATION_LEN], max[VALUE_DURATION_LEN], must[128];

		value_duration_text(field->min, min);
		value_duration_text(field->max, max);
		snprintf(must, sizeof(must), "a duration from %s to %s (like 1m30s)",
			 min, max);
		return config_fail_value(reader, node, field->key, must);
	}
	*(uint64_t *)target = ms;
	return 0;
}

int config_read_section(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	return config_read_mapping(reader, node, field->section, target);
}

int config_read_unused_flag(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *target)
{
	bool unused;

	(void)target;
	return config_read_flag(reader, node, field, &unused);
}

int config_read_unused_number(struct config_reader *reader,
			      const struct config_node *node,
			      const struct config_field *field, void *target)
{
	uint32_t unused;

	(void)target;
	return config_read_number(reader, node, field, &unused);
}

int config_read_unused_duration(struct config_reader *reader,
				const struct config_node *node,
				const struct config_field *field, void *target)
{
	uint64_t unused;

	(void)target;
	return config_read_duration(reader, node, field, &unused);
}

int config_read_unsupported(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *target)
{
	(void)target;
	return config_fail(reader, node, "'%s' is not supported%s%s", field->key,
			   field->hint ? "; " : "", field->hint ? field->hint : "");
}

int config_read_only_false(struct config_reader *reader, const struct config_node *node,
			   const struct config_field *field, void *target)
{
	bool flag = false;
	int err = config_read_flag(reader, node, field, &flag);

	(void)target;
	if (!err && flag)
		return config_fail(reader, node, "'%s: true' is not supported",
				   field->key);
	return err;
}

int config_read_only_zero(struct config_reader *reader, const struct config_node *node,
			  const struct config_field *field, void *target)
{
	uint64_t ms = 0;
	int err = config_read_duration(reader, node, field, &ms);

	(void)target;
	if (!err && ms)
		return config_fail(reader, node, "'%s' other than 0s is not supported",
				   field->key);
	return err;
}

int config_read_only_empty(struct config_reader *reader, const struct config_node *node,
			   const struct config_field *field, void *target)
{
	if (config_is_null(node) || (config_is_list(node) && !config_item_count(node)))
		return 0;
	return config_read_unsupported(reader, node, field, target);
}

bool config_add_label(struct config_labels *labels, const char *name, const char *value)
{
	struct config_label *items;

	items = reallocarray(labels->items, labels->count + 1, sizeof(*items));
	if (!items)
		return false;
	labels->items = items;
	items += labels->count;
	items->name = strdup(name);
	items->value = strdup(value);
	labels->count++;
	return items->name && items->value;
}

void config_free_labels(struct config_labels *labels)
{
	for (size_t i = 0; i < labels->count; i++) {
		free(labels->items[i].name);
		secret_wipe(&labels->items[i].value);
	}
	free(labels->items);
	*labels = (struct config_labels){0};
}
