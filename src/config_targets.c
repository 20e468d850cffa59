/* SPDX-License-Identifier: Apache-2.0 */
#include "config_targets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_value.h"
#include "length.h"

#define FIELD(member) .offset = offsetof(struct config_target_group, member)
#define SCHEME "http://"
#define ADDRESS_LEN_MAX 300 /* a host name has 253 at most */

const char *config_address_problem(const char *address)
{
	char url[sizeof(SCHEME) + ADDRESS_LEN_MAX] = SCHEME;

	if (!*address)
		return "is empty";
	if (strpbrk(address, "/?#"))
		return "must be a host and a port, without scheme or path";
	if (strlen(address) > ADDRESS_LEN_MAX)
		return "is too long";
	strcat(url, address);
	return value_url_problem(url);
}

static int add_target(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (!err && !config_add_string(target, &text))
		err = config_fail(reader, node, "out of memory");
	return err;
}

/* An empty list is what a file has whose last target went. */
static int read_targets(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	return config_read_list(reader, node, field, CONFIG_TARGETS_MAX, add_target,
				target);
}

static int add_label(struct config_reader *reader, const struct config_node *key,
		     const char *name, const struct config_node *value_node,
		     void *target)
{
	AUTO_FREE char *value = NULL;
	char quoted[VALUE_QUOTE_LEN];
	int err;

	value_quote(name, quoted);
	if (!value_is_metric_name(name))
		return config_fail(reader, key,
				   "'%s' in labels is not a label name "
				   "([a-zA-Z_][a-zA-Z0-9_]*)",
				   quoted);
	err = config_scalar_or_empty(reader, value_node, quoted, &value);
	if (!err && !config_add_label(target, name, value))
		err = config_fail(reader, key, "out of memory");
	return err;
}

static int read_labels(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	return config_read_each(reader, node, field->key, CONFIG_LIST_MAX, add_label,
				target);
}

static const struct config_field group_fields[] = {
    {"targets", read_targets, FIELD(targets)},
    {"labels", read_labels, FIELD(labels)},
};
static const struct config_section group_section = {.name = "a group of targets",
						    .fields = group_fields,
						    .count = LENGTH(group_fields)};

static int add_group(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	struct config_groups *groups = target;
	struct config_target_group *items;

	(void)field;
	items = reallocarray(groups->items, groups->count + 1, sizeof(*items));
	if (!items)
		return config_fail(reader, node, "out of memory");
	groups->items = items;
	items += groups->count++;
	*items = (struct config_target_group){0};
	return config_read_mapping(reader, node, &group_section, items);
}

int config_read_groups(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	return config_read_list(reader, node, field, CONFIG_GROUPS_MAX, add_group,
				target);
}

int config_read_groups_file(const char *path, struct config_groups *ret_groups,
			    char ret_error[CONFIG_ERROR_LEN])
{
	struct config_groups groups = {0};
	int err =
	    config_read_literal_file(path, config_read_groups, &groups, ret_error);

	if (err)
		config_free_groups(&groups);
	else
		*ret_groups = groups;
	return err;
}

void config_free_groups(struct config_groups *groups)
{
	for (size_t i = 0; i < groups->count; i++) {
		config_free_strings(&groups->items[i].targets);
		config_free_labels(&groups->items[i].labels);
	}
	free(groups->items);
	*groups = (struct config_groups){0};
}
