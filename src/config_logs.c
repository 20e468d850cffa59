/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `logs`: which files are followed, and what becomes of their lines. Labels may be
 * pasted from Promtail's static_configs: `__path__`, `__path_exclude__` and `job` among
 * them are the keys of those names.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_internal.h"
#include "config_rule.h"
#include "config_value.h"
#include "length.h"
#include "log_glob.h"
#include "loki.h"
#include "pattern.h"

#define FIELD(type, member) .offset = offsetof(struct type, member)
#define HOUR_MS 3600000
#define PATH_LABEL "__path__"
#define EXCLUDE_LABEL "__path_exclude__"

/* Waits and lines are Promtail's. */
static const struct config_log default_log = {
    .max_wait_ms = 3000,
    .max_lines = 128,
    .max_line_bytes = LOKI_LINE_BYTES_MAX,
};

/* --- paths -------------------------------------------------------------------- */

static int add_path(struct config_reader *reader, const struct config_node *node,
		    const char *key, const char *path, struct config_strings *paths)
{
	int err;

	if (*path != '/')
		return config_fail_value(reader, node, key, "an absolute path");
	err = log_glob_expand(path, CONFIG_LOG_PATHS_MAX, paths);
	if (err == -E2BIG)
		return config_fail(reader, node, "'%s' has more than %d paths", key,
				   CONFIG_LOG_PATHS_MAX);
	return err ? config_fail(reader, node, "out of memory") : 0;
}

static int read_path(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	AUTO_FREE char *path = NULL;
	int err = config_scalar(reader, node, field->key, &path);

	return err ? err : add_path(reader, node, field->key, path, target);
}

static int read_paths(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *target)
{
	return config_read_items(reader, node, field, CONFIG_LOG_PATHS_MAX, read_path,
				 target);
}

/* --- labels ------------------------------------------------------------------- */

static const char *label_problem(const char *name, const char *value)
{
	if (!value_is_label_name(name))
		return "is not a label name ([a-zA-Z_][a-zA-Z0-9_]*, not beginning "
		       "with '__')";
	if (!strcmp(name, "filename"))
		return "is set by the file's path";
	if (strlen(name) > LOKI_NAME_BYTES_MAX)
		return "is longer than 1024 bytes";
	if (strlen(value) > LOKI_VALUE_BYTES_MAX)
		return "has a value of more than 2048 bytes";
	return NULL;
}

static int set_job(struct config_reader *reader, const struct config_node *node,
		   const char *text, struct config_log *log)
{
	if (log->job)
		return config_fail(reader, node, "'job' is given twice");
	if (strlen(text) > LOKI_VALUE_BYTES_MAX)
		return config_fail(reader, node,
				   "'job' has a value of more than 2048 bytes");
	log->job = strdup(text);
	return log->job ? 0 : config_fail(reader, node, "out of memory");
}

static int read_job(struct config_reader *reader, const struct config_node *node,
		    const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	return err ? err : set_job(reader, node, text, target);
}

static int add_label(struct config_reader *reader, const struct config_node *key,
		     const char *name, const struct config_node *value, void *target)
{
	struct config_log *log = target;
	AUTO_FREE char *text = NULL;
	const char *problem;
	int err = config_scalar(reader, value, name, &text);

	if (err)
		return err;
	if (!strcmp(name, PATH_LABEL))
		return add_path(reader, value, name, text, &log->paths);
	if (!strcmp(name, EXCLUDE_LABEL))
		return add_path(reader, value, name, text, &log->excludes);
	if (!strcmp(name, "job"))
		return set_job(reader, value, text, log);
	problem = label_problem(name, text);
	if (problem)
		return config_fail(reader, key, "label '%.64s' %s", name, problem);
	return config_add_label(&log->labels, name, text)
		   ? 0
		   : config_fail(reader, key, "out of memory");
}

static int read_labels(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	return config_read_each(reader, node, field->key, CONFIG_LIST_MAX, add_label,
				target);
}

/* --- regexes ------------------------------------------------------------------ */

/* char * */
static int read_regex(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *target)
{
	CLEANUP(pattern_free) struct pattern *pattern = NULL;
	AUTO_FREE char *regex = NULL;
	char problem[PATTERN_ERROR_LEN];
	int err = config_scalar(reader, node, field->key, &regex);

	if (err)
		return err;
	err = pattern_create_search(regex, &pattern, problem);
	if (err == -EINVAL)
		return config_fail_path(reader, node, field->key, problem);
	if (err)
		return config_fail(reader, node, "out of memory");
	*(char **)target = TAKE(regex);
	return 0;
}

static int add_regex(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	char *regex;
	int err = read_regex(reader, node, field, &regex);

	if (err)
		return err;
	return config_add_string(target, &regex)
		   ? 0
		   : config_fail(reader, node, "out of memory");
}

static int read_regexes(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	return config_read_items(reader, node, field, CONFIG_LIST_MAX, add_regex,
				 target);
}

static int read_start(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (strcmp(text, "beginning") != 0 && strcmp(text, "end") != 0)
		return config_fail_value(reader, node, field->key, "beginning or end");
	*(bool *)target = *text == 'e';
	return 0;
}

/* --- metrics ------------------------------------------------------------------ */

static int read_metric_name(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *target)
{
	static const char suffix[] = "_total";
	AUTO_FREE char *text = NULL;
	const char *problem;
	size_t len;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	problem = rule_metric_problem(text);
	if (problem)
		return config_fail_quoted(reader, node, field->key, problem);
	len = strlen(text);
	if (len >= sizeof(suffix) && !strcmp(text + len - (sizeof(suffix) - 1), suffix))
		text[len - (sizeof(suffix) - 1)] = 0;
	*(char **)target = TAKE(text);
	return 0;
}

/* Its groups' names were not judged yet. */
static int check_metric(struct config_reader *reader, const struct config_node *node,
			void *target)
{
	const struct config_log_metric *metric = target;
	CLEANUP(pattern_free) struct pattern *pattern = NULL;
	char problem[PATTERN_ERROR_LEN];
	const char *name;
	int group;

	if (pattern_create_search(metric->regex, &pattern, problem))
		return config_fail(reader, node, "out of memory");
	for (size_t i = 0; (name = pattern_name(pattern, i, &group)); i++) {
		const char *wrong = rule_label_problem(name);

		if (wrong)
			return config_fail(reader, node, "group '%.64s' %s", name,
					   wrong);
		if (i >= CONFIG_FUNCTION_LABELS_MAX)
			return config_fail(reader, node,
					   "'regex' has more than %d named groups",
					   CONFIG_FUNCTION_LABELS_MAX);
	}
	return 0;
}

static const struct config_field metric_fields[] = {
    {"name", read_metric_name, FIELD(config_log_metric, name), .required = true},
    {"help", config_read_text, FIELD(config_log_metric, help)},
    {"regex", read_regex, FIELD(config_log_metric, regex), .required = true},
    {"max_values", config_read_number, FIELD(config_log_metric, max_values), 1, 1000},
};
static const struct config_section metric_section = {
    "an entry of metrics", metric_fields, LENGTH(metric_fields), check_metric};

static int add_metric(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *target)
{
	struct config_log *log = target;
	struct config_log_metric *metrics =
	    reallocarray(log->metrics, log->metric_count + 1, sizeof(*metrics));

	(void)field;
	if (!metrics)
		return config_fail(reader, node, "out of memory");
	log->metrics = metrics;
	metrics += log->metric_count++;
	*metrics = (struct config_log_metric){.max_values = 100};
	return config_read_mapping(reader, node, &metric_section, metrics);
}

static int read_metrics(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	return config_read_items(reader, node, field, CONFIG_LOG_METRICS_MAX,
				 add_metric, target);
}

/* --- an entry ----------------------------------------------------------------- */

static const struct config_field multiline_fields[] = {
    {"firstline", read_regex, FIELD(config_log, first_line), .required = true},
    {"max_wait_time", config_read_duration, FIELD(config_log, max_wait_ms), 1, HOUR_MS},
    {"max_lines", config_read_number, FIELD(config_log, max_lines), 1, 1000000},
};
static const struct config_section multiline_section = {"multiline", multiline_fields,
							LENGTH(multiline_fields), NULL};

static const struct config_field log_fields[] = {
    {"paths", read_paths, FIELD(config_log, paths)},
    {"exclude", read_paths, FIELD(config_log, excludes)},
    {"auto", config_read_flag, FIELD(config_log, is_auto)},
    {"job", read_job, CONFIG_NO_TARGET},
    {"labels", read_labels, CONFIG_NO_TARGET},
    {"multiline", config_read_section, .section = &multiline_section},
    {"drop", read_regexes, FIELD(config_log, drops)},
    {"keep", read_regexes, FIELD(config_log, keeps)},
    {"max_line_size", config_read_bytes, FIELD(config_log, max_line_bytes), 64,
     LOKI_LINE_BYTES_MAX},
    {"start_at", read_start, FIELD(config_log, from_end)},
    {"metrics", read_metrics, CONFIG_NO_TARGET},
};

static int check_log(struct config_reader *reader, const struct config_node *node,
		     void *target)
{
	struct config_log *log = target;

	if (!log->paths.count && !log->is_auto)
		return config_fail(reader, node,
				   "an entry of logs needs 'paths', or 'auto: true'");
	if (!log->job)
		log->job = strdup("bpftally");
	log->where = config_where(reader, node);
	return log->job && log->where ? 0 : config_fail(reader, node, "out of memory");
}

static const struct config_section log_section = {"an entry of logs", log_fields,
						  LENGTH(log_fields), check_log};

static int add_log(struct config_reader *reader, const struct config_node *node,
		   const struct config_field *field, void *target)
{
	struct config *config = target;
	struct config_log *logs =
	    reallocarray(config->logs, config->log_count + 1, sizeof(*logs));

	(void)field;
	if (!logs)
		return config_fail(reader, node, "out of memory");
	config->logs = logs;
	logs += config->log_count++;
	*logs = default_log;
	return config_read_mapping(reader, node, &log_section, logs);
}

int config_read_logs(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	return config_read_list(reader, node, field, CONFIG_LOGS_MAX, add_log, target);
}

/* --- together ----------------------------------------------------------------- */

/* Of a stream: with job, filename and, where it is not a constant, service_name. */
static size_t count_labels(const struct config_log *log,
			   const struct config_labels *external)
{
	size_t count = 2 + log->labels.count;

	count += log->is_auto && !config_label(&log->labels, "service_name");
	for (size_t i = 0; i < external->count; i++) {
		const char *name = external->items[i].name;

		count += strcmp(name, "job") != 0 && strcmp(name, "filename") != 0 &&
			 !config_label(&log->labels, name);
	}
	return count;
}

static const char *metric_owner(const struct config *config, size_t before,
				const char *name)
{
	for (size_t i = 0; i < config->function_count; i++) {
		if (!strcmp(config->functions[i].metric, name))
			return config->functions[i].where;
	}
	for (size_t i = 0; i < config->log_count; i++) {
		const struct config_log *log = &config->logs[i];

		for (size_t j = 0; j < log->metric_count; j++) {
			if (!before--)
				return NULL;
			if (!strcmp(log->metrics[j].name, name))
				return log->where;
		}
	}
	return NULL;
}

static int fail(char error[CONFIG_ERROR_LEN], const struct config_log *log,
		const char *what, const char *name)
{
	snprintf(error, CONFIG_ERROR_LEN, "%.200s: %s%.200s", log->where, what, name);
	return -EINVAL;
}

int config_check_logs(const struct config *config, char ret_error[CONFIG_ERROR_LEN])
{
	size_t metric = 0;

	for (size_t i = 0; i < config->log_count; i++) {
		const struct config_log *log = &config->logs[i];

		if (!config->loki_write_count)
			return fail(ret_error, log,
				    "logs need a receiver: 'loki_write' is missing",
				    "");
		if (count_labels(log, &config->external_labels) > LOKI_LABELS_MAX)
			return fail(ret_error, log,
				    "more than 15 labels, with job, filename and "
				    "external_labels",
				    "");
		for (size_t j = 0; j < log->metric_count; j++) {
			const char *owner =
			    metric_owner(config, metric++, log->metrics[j].name);

			if (owner)
				return fail(ret_error, log,
					    "a metric of that name is at ", owner);
		}
	}
	return 0;
}

static void free_log(struct config_log *log)
{
	free(log->where);
	free(log->job);
	free(log->first_line);
	config_free_strings(&log->paths);
	config_free_strings(&log->excludes);
	config_free_strings(&log->drops);
	config_free_strings(&log->keeps);
	config_free_labels(&log->labels);
	for (size_t i = 0; i < log->metric_count; i++) {
		free(log->metrics[i].name);
		free(log->metrics[i].help);
		free(log->metrics[i].regex);
	}
	free(log->metrics);
}

void config_free_logs(struct config *config)
{
	for (size_t i = 0; i < config->log_count; i++)
		free_log(&config->logs[i]);
	free(config->logs);
	config->logs = NULL;
	config->log_count = 0;
}
