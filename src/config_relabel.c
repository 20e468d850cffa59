/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of relabelling rules, `write_relabel_configs`, in Prometheus' own spelling
 * and with what its Config.Validate refuses (model/relabel/relabel.go). Names are
 * judged as its legacy scheme does, [a-zA-Z_][a-zA-Z0-9_]*: what we send has such.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "config_internal.h"
#include "config_value.h"
#include "length.h"
#include "pattern.h"

#define DEFAULT_SEPARATOR ";"
#define DEFAULT_REGEX "(.*)"
#define DEFAULT_REPLACEMENT "$1"

static const char *const action_names[] = {
    [CONFIG_REPLACE] = "replace",     [CONFIG_LOWERCASE] = "lowercase",
    [CONFIG_UPPERCASE] = "uppercase", [CONFIG_KEEP] = "keep",
    [CONFIG_DROP] = "drop",           [CONFIG_KEEPEQUAL] = "keepequal",
    [CONFIG_DROPEQUAL] = "dropequal", [CONFIG_HASHMOD] = "hashmod",
    [CONFIG_LABELMAP] = "labelmap",   [CONFIG_LABELDROP] = "labeldrop",
    [CONFIG_LABELKEEP] = "labelkeep",
};

/* --- one value each ----------------------------------------------------------- */

static int read_action(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	for (size_t i = 0; i < LENGTH(action_names); i++) {
		if (strcasecmp(text, action_names[i]) != 0)
			continue;
		*(enum config_relabel_action *)target = (enum config_relabel_action)i;
		return 0;
	}
	return config_fail_value(reader, node, field->key,
				 "replace, lowercase, uppercase, keep, drop, "
				 "keepequal, dropequal, hashmod, labelmap, labeldrop "
				 "or labelkeep");
}

static int add_source_label(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *labels)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (!value_is_metric_name(text))
		return config_fail_value(reader, node, field->key, "names of labels");
	if (!config_add_string(labels, &text))
		return config_fail(reader, node, "out of memory");
	return 0;
}

static int read_source_labels(struct config_reader *reader,
			      const struct config_node *node,
			      const struct config_field *field, void *target)
{
	return config_read_list(reader, node, field, CONFIG_LIST_MAX, add_source_label,
				target);
}

static int read_regex(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *target)
{
	CLEANUP(pattern_free) struct pattern *pattern = NULL;
	char problem[PATTERN_ERROR_LEN] = "out of memory";
	AUTO_FREE char *text = NULL;
	int err = config_scalar_or_empty(reader, node, field->key, &text);

	if (err)
		return err;
	if (pattern_create(text, &pattern, problem))
		return config_fail_path(reader, node, field->key, problem);
	*(char **)target = TAKE(text);
	return 0;
}

static int read_modulus(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (!err && !value_number(text, 0, UINT64_MAX, target))
		err = config_fail_value(reader, node, field->key,
					"a whole number below 2^64");
	return err;
}

/* --- what goes together ------------------------------------------------------- */

static bool needs_target(enum config_relabel_action action)
{
	return action <= CONFIG_UPPERCASE || action == CONFIG_HASHMOD ||
	       action == CONFIG_KEEPEQUAL || action == CONFIG_DROPEQUAL;
}

static bool is_word(char byte)
{
	return byte == '_' || isalnum((unsigned char)byte);
}

/* The length of a "$name" or "${name}" at text, 0 when it is neither. */
static size_t variable_len(const char *text)
{
	size_t brace = text[1] == '{', len = 0;

	while (is_word(text[1 + brace + len]))
		len++;
	if (!len || (brace && text[2 + len] != '}'))
		return 0;
	return 1 + len + 2 * brace;
}

/* A label's name, any part of which may be a group: what a group holds is judged
 * when it is known. */
static bool is_name_template(const char *text)
{
	if (!*text || isdigit((unsigned char)*text))
		return false;
	while (*text) {
		size_t len = *text == '$' ? variable_len(text) : is_word(*text);

		if (!len)
			return false;
		text += len;
	}
	return true;
}

/* The first key, beside source_labels, target_label and the action, with another
 * value than its default; NULL: none. */
static const char *find_extra(const struct config_relabel *rule)
{
	if (rule->modulus)
		return "modulus";
	if (rule->separator && strcmp(rule->separator, DEFAULT_SEPARATOR) != 0)
		return "separator";
	if (rule->replacement && strcmp(rule->replacement, DEFAULT_REPLACEMENT) != 0)
		return "replacement";
	return NULL;
}

/* A key that the action would leave without meaning, where that is most likely a
 * mistake; NULL: none. */
static const char *find_senseless(const struct config_relabel *rule)
{
	const char *extra = find_extra(rule);

	switch (rule->action) {
	case CONFIG_LABELDROP:
	case CONFIG_LABELKEEP:
		if (rule->source_labels.count)
			return "source_labels";
		return rule->target_label ? "target_label" : extra;
	case CONFIG_KEEPEQUAL:
	case CONFIG_DROPEQUAL:
		if (rule->regex && strcmp(rule->regex, DEFAULT_REGEX) != 0)
			return "regex";
		return extra;
	case CONFIG_LOWERCASE:
	case CONFIG_UPPERCASE:
		return extra && !strcmp(extra, "replacement") ? extra : NULL;
	default:
		return NULL;
	}
}

static int check_target(struct config_reader *reader, const struct config_node *node,
			const struct config_relabel *rule)
{
	const char *action = action_names[rule->action];

	if (!needs_target(rule->action))
		return 0;
	if (!rule->target_label)
		return config_fail(reader, node, "'%s' needs 'target_label'", action);
	if (rule->action == CONFIG_REPLACE ? is_name_template(rule->target_label)
					   : value_is_metric_name(rule->target_label))
		return 0;
	return config_fail(
	    reader, node, "'target_label' of '%s' must be a label name%s", action,
	    rule->action == CONFIG_REPLACE ? ", or like ${1}_total" : "");
}

static int check_rule(struct config_reader *reader, const struct config_node *node,
		      const struct config_relabel *rule)
{
	const char *action = action_names[rule->action];
	const char *senseless = find_senseless(rule);

	if (senseless)
		return config_fail(reader, node, "'%s' takes no '%s'", action,
				   senseless);
	if (rule->action == CONFIG_HASHMOD && !rule->modulus)
		return config_fail(reader, node, "'%s' needs 'modulus', above 0",
				   action);
	if (rule->action == CONFIG_LABELMAP && rule->replacement &&
	    !is_name_template(rule->replacement))
		return config_fail(reader, node,
				   "'replacement' of '%s' must be a label name, or "
				   "like $1",
				   action);
	return check_target(reader, node, rule);
}

static bool set_default(char **text, const char *value)
{
	if (!*text)
		*text = strdup(value);
	return *text;
}

static int finish_rule(struct config_reader *reader, const struct config_node *node,
		       void *target)
{
	struct config_relabel *rule = target;
	int err = check_rule(reader, node, rule);

	if (err)
		return err;
	rule->where = config_where(reader, node);
	if (!rule->where || !set_default(&rule->separator, DEFAULT_SEPARATOR) ||
	    !set_default(&rule->regex, DEFAULT_REGEX) ||
	    !set_default(&rule->replacement, DEFAULT_REPLACEMENT))
		return config_fail(reader, node, "out of memory");
	return 0;
}

/* --- the list ----------------------------------------------------------------- */

#define FIELD(member) .offset = offsetof(struct config_relabel, member)

static const struct config_field rule_fields[] = {
    {"source_labels", read_source_labels, FIELD(source_labels)},
    {"separator", config_read_text_or_empty, FIELD(separator)},
    {"target_label", config_read_text, FIELD(target_label)},
    {"regex", read_regex, FIELD(regex)},
    {"modulus", read_modulus, FIELD(modulus)},
    {"replacement", config_read_text_or_empty, FIELD(replacement)},
    {"action", read_action, FIELD(action)},
};
static const struct config_section rule_section = {"a relabelling rule", rule_fields,
						   LENGTH(rule_fields), finish_rule};

int config_read_relabels(struct config_reader *reader, const struct config_node *node,
			 const char *key, struct config_relabel **ret_relabels,
			 size_t *ret_count)
{
	size_t count;
	int err = 0;

	if (config_is_null(node))
		return 0;
	if (!config_is_list(node))
		return config_fail_value(reader, node, key, "a list");
	count = config_item_count(node);
	if (count > CONFIG_RELABELS_MAX)
		return config_fail(reader, node, "'%s' has %zu entries, at most %d fit",
				   key, count, CONFIG_RELABELS_MAX);
	*ret_relabels = calloc(count + 1, sizeof(**ret_relabels));
	if (!*ret_relabels)
		return config_fail(reader, node, "out of memory");
	while (!err && *ret_count < count) {
		size_t index = (*ret_count)++;

		err = config_read_mapping(reader, config_item(reader, node, index),
					  &rule_section, &(*ret_relabels)[index]);
	}
	return err;
}

void config_free_relabels(struct config_relabel **relabels, size_t *count)
{
	for (size_t i = 0; i < *count; i++) {
		struct config_relabel *rule = &(*relabels)[i];

		free(rule->where);
		config_free_strings(&rule->source_labels);
		free(rule->separator);
		free(rule->target_label);
		free(rule->regex);
		free(rule->replacement);
	}
	free(*relabels);
	*relabels = NULL;
	*count = 0;
}
