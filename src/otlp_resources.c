/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp_resources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "constants.h"
#include "otlp_names.h"

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

bool otlp_is_target_info(const struct family *family)
{
	return family->type == METRIC_INFO && !is_scraped(family) &&
	       !strcmp(family->name, "target");
}

bool otlp_resources_has(const struct family *family, const char *label)
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

int otlp_resources_find(struct otlp_resources *resources, const struct metric *metric,
			struct otlp_resource **ret_resource)
{
	const struct family *family = metric->family;

	if (is_scraped(family))
		return find_target(resources, &metric->labels, ret_resource);
	return find_service(resources, &metric->labels, otlp_is_target_info(family),
			    ret_resource);
}

void otlp_resources_clear(struct otlp_resources *resources)
{
	snapshot_free(&resources->collection);
	resources->table = (struct table){0};
}

int otlp_resources_init(struct otlp_resources *resources,
			const struct config_labels *external)
{
	*resources = (struct otlp_resources){0};
	/* Before the kernel has entropy there is none: the table works with any. */
	if (getrandom(&resources->seed, sizeof(resources->seed), GRND_NONBLOCK) < 0)
		resources->seed = 0;
	return constants_copy(external, &resources->constants, &resources->external);
}

void otlp_resources_free(struct otlp_resources *resources)
{
	otlp_attributes_free(&resources->attributes);
	snapshot_free(&resources->collection);
	snapshot_free(&resources->constants);
}
