/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "config_internal.h"
#include "config_value.h"
#include "length.h"
#include "secret.h"

#define PEM_BYTES_MAX ((size_t)1 << 20)

int config_read_text(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	return config_scalar(reader, node, field->key, target);
}

int config_read_text_or_empty(struct config_reader *reader,
			      const struct config_node *node,
			      const struct config_field *field, void *target)
{
	return config_scalar_or_empty(reader, node, field->key, target);
}

static int read_path(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, char **target)
{
	AUTO_FREE char *text = NULL;
	char *path;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	path = config_resolve_path(reader, text);
	if (!path)
		return config_fail(reader, node, "out of memory");
	*target = path;
	return 0;
}

const char *config_file_problem(const char *path)
{
	struct stat status;

	if (stat(path, &status) || faccessat(AT_FDCWD, path, R_OK, AT_EACCESS))
		return strerror(errno);
	return S_ISREG(status.st_mode) ? NULL : "not a regular file";
}

/* Never waits: there are regular files in /proc that would. */
static FILE *open_file(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

	if (file)
		fd = -1;
	return file;
}

/* Of the block that every PEM file has, the first line (RFC 7468): what it holds
 * is judged where it is used. */
static const char *pem_problem(const char *path)
{
	const char *problem = config_file_problem(path);
	AUTO_FCLOSE FILE *file = NULL;
	char line[128];
	size_t len = 0;

	if (problem)
		return problem;
	file = open_file(path);
	if (!file)
		return strerror(errno);
	while (len < PEM_BYTES_MAX && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "-----BEGIN ", 11))
			return NULL;
		len += strlen(line) + 1; /* a NUL may be all that was read */
	}
	return ferror(file) ? strerror(errno) : "no PEM file";
}

static int read_judged_path(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field,
			    const char *(*find_problem)(const char *path),
			    char **target)
{
	int err = read_path(reader, node, field, target);
	const char *problem = err ? NULL : find_problem(*target);

	if (problem)
		err = config_fail_path(reader, node, field->key, problem);
	return err;
}

int config_read_file_path(struct config_reader *reader, const struct config_node *node,
			  const struct config_field *field, void *target)
{
	return read_judged_path(reader, node, field, config_file_problem, target);
}

int config_read_pem_path(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *target)
{
	return read_judged_path(reader, node, field, pem_problem, target);
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

/* In a unit that needs no fraction. */
static void bytes_text(uint64_t bytes, char ret_text[24])
{
	static const char *const units[] = {"B", "KB", "MB"};
	unsigned int unit = 0;

	while (unit < LENGTH(units) - 1 && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	snprintf(ret_text, 24, "%llu%s", (unsigned long long)bytes, units[unit]);
}

int config_read_bytes(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	uint64_t bytes;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (!value_bytes(text, &bytes) || bytes < field->min || bytes > field->max) {
		char must[128], min[24], max[24];

		bytes_text(field->min, min);
		bytes_text(field->max, max);
		snprintf(must, sizeof(must), "from %s to %s (like %s)", min, max,
			 field->max > (512 << 20) ? "512MB" : max);
		return config_fail_value(reader, node, field->key, must);
	}
	*(uint64_t *)target = bytes;
	return 0;
}

int config_read_section(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	return config_read_mapping(reader, node, field->section, target);
}

int config_read_unused_text(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *target)
{
	AUTO_FREE char *unused = NULL;

	(void)target;
	return config_scalar(reader, node, field->key, &unused);
}

int config_read_unused_texts(struct config_reader *reader,
			     const struct config_node *node,
			     const struct config_field *field, void *target)
{
	return config_read_list(reader, node, field, CONFIG_LIST_MAX,
				config_read_unused_text, target);
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

int config_read_items(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, size_t max, config_read *add,
		      void *target)
{
	size_t count;
	int err = 0;

	if (!config_is_list(node))
		return add(reader, node, field, target);
	count = config_item_count(node);
	if (!count)
		return config_fail(reader, node, "'%s' is an empty list", field->key);
	if (count > max)
		return config_fail(reader, node,
				   "'%s' has %zu entries, at most %zu fit", field->key,
				   count, max);
	for (size_t i = 0; !err && i < count; i++)
		err = add(reader, config_item(reader, node, i), field, target);
	return err;
}

int config_read_list(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, size_t max, config_read *add,
		     void *target)
{
	if (config_is_null(node))
		return 0;
	if (!config_is_list(node))
		return config_fail_value(reader, node, field->key, "a list");
	if (!config_item_count(node))
		return 0;
	return config_read_items(reader, node, field, max, add, target);
}

bool config_parse_process_metrics(const char *text, enum config_process_metrics *ret_by)
{
	static const char *const names[] = {
	    [CONFIG_PROCESS_METRICS_PROCESS] = "process",
	    [CONFIG_PROCESS_METRICS_SERVICE] = "service",
	    [CONFIG_PROCESS_METRICS_OFF] = "off",
	};

	for (size_t i = 0; i < LENGTH(names); i++) {
		if (strcmp(text, names[i]) != 0)
			continue;
		*ret_by = (enum config_process_metrics)i;
		return true;
	}
	return false;
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

const char *config_label(const struct config_labels *labels, const char *name)
{
	for (size_t i = 0; i < labels->count; i++) {
		if (!strcmp(labels->items[i].name, name))
			return labels->items[i].value;
	}
	return NULL;
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

bool config_add_string(struct config_strings *strings, char **string)
{
	char **items;

	items = reallocarray(strings->items, strings->count + 1, sizeof(*items));
	if (!items)
		return false;
	items[strings->count++] = TAKE(*string);
	strings->items = items;
	return true;
}

void config_free_strings(struct config_strings *strings)
{
	for (size_t i = 0; i < strings->count; i++)
		free(strings->items[i]);
	free(strings->items);
	*strings = (struct config_strings){0};
}
