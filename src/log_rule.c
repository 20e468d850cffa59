/* SPDX-License-Identifier: Apache-2.0 */
#include "log_rule.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "log_glob.h"
#include "log_text.h"
#include "loki.h"
#include "pattern.h"

static int compile(const struct config_strings *regexes, struct pattern ***ret_patterns)
{
	char error[PATTERN_ERROR_LEN];
	int err = 0;

	*ret_patterns = calloc(regexes->count + 1, sizeof(struct pattern *));
	if (!*ret_patterns)
		return -ENOMEM;
	for (size_t i = 0; !err && i < regexes->count; i++)
		err = pattern_create_search(regexes->items[i], &(*ret_patterns)[i],
					    error);
	return err;
}

int log_rule_init(struct log_rule *rule, const struct config_log *config,
		  const struct config_labels *external, unsigned int order)
{
	char error[PATTERN_ERROR_LEN];
	int err = 0;

	*rule = (struct log_rule){.config = config, .external = external};
	if (config->first_line)
		err =
		    pattern_create_search(config->first_line, &rule->first_line, error);
	if (!err)
		err = compile(&config->drops, &rule->drops);
	if (!err)
		err = compile(&config->keeps, &rule->keeps);
	if (!err)
		err = log_counters_create(config->metrics, config->metric_count, order,
					  &rule->counters);
	if (err)
		log_rule_clear(rule);
	return err;
}

static void free_patterns(struct pattern **patterns)
{
	for (size_t i = 0; patterns && patterns[i]; i++)
		pattern_free(&patterns[i]);
	free(patterns);
}

void log_rule_clear(struct log_rule *rule)
{
	pattern_free(&rule->first_line);
	free_patterns(rule->drops);
	free_patterns(rule->keeps);
	log_counters_free(&rule->counters);
	*rule = (struct log_rule){0};
}

/* Rotation leaves them behind: their lines were read before. */
static bool is_compressed(const char *path)
{
	static const char *const suffixes[] = {".gz",   ".xz", ".bz2", ".zst", ".lz4",
					       ".lzma", ".br", ".Z",   ".zip", NULL};
	struct slice slice = slice_of(path);

	for (size_t i = 0; suffixes[i]; i++) {
		if (slice_ends_with(slice, suffixes[i]))
			return true;
	}
	return false;
}

bool log_rule_excludes(const struct log_rule *rule, const char *path)
{
	const struct config_strings *excludes = &rule->config->excludes;

	for (size_t i = 0; i < excludes->count; i++) {
		if (log_glob_matches(excludes->items[i], path))
			return true;
	}
	return is_compressed(path);
}

static bool is_found(struct log_rule *rule, struct pattern *pattern, struct slice text,
		     bool if_unknown)
{
	enum pattern_result result = pattern_match(pattern, text);

	rule->totals.unjudged += result == PATTERN_FAILED;
	return result == PATTERN_FAILED ? if_unknown : result == PATTERN_MATCH;
}

bool log_rule_begins(struct log_rule *rule, struct slice line)
{
	return is_found(rule, rule->first_line, line, false);
}

static bool is_kept(struct log_rule *rule, struct slice entry)
{
	for (size_t i = 0; rule->drops[i]; i++) {
		if (is_found(rule, rule->drops[i], entry, false))
			return false;
	}
	for (size_t i = 0; rule->keeps[i]; i++) {
		if (is_found(rule, rule->keeps[i], entry, true))
			return true;
	}
	return !rule->keeps[0];
}

bool log_rule_takes(struct log_rule *rule, struct slice entry)
{
	rule->totals.unjudged += log_counters_count(rule->counters, entry);
	if (is_kept(rule, entry))
		return true;
	rule->totals.dropped++;
	return false;
}

/* --- labels ------------------------------------------------------------------- */

/* The first one of a name stays. */
static void add(struct config_labels *labels, const char *name, const char *value)
{
	if (value && *value && !config_label(labels, name))
		labels->items[labels->count++] =
		    (struct config_label){(char *)name, (char *)value};
}

char *log_rule_labels(const struct log_rule *rule, const char *filename,
		      const char *service)
{
	const struct config_labels *constants = &rule->config->labels;
	AUTO_FREE struct config_label *items =
	    calloc(constants->count + rule->external->count + 3, sizeof(*items));
	AUTO_FREE char *name = log_text_label(filename, LOKI_VALUE_BYTES_MAX);
	struct config_labels labels = {.items = items};

	if (!items || !name)
		return NULL;
	add(&labels, "job", rule->config->job);
	add(&labels, "filename", name);
	for (size_t i = 0; i < constants->count; i++)
		add(&labels, constants->items[i].name, constants->items[i].value);
	add(&labels, "service_name", service);
	for (size_t i = 0; i < rule->external->count; i++)
		add(&labels, rule->external->items[i].name,
		    rule->external->items[i].value);
	return loki_labels(&labels);
}
