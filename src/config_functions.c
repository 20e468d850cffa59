/* SPDX-License-Identifier: Apache-2.0 */
/* The `functions` list and --function: how config_rule.h's rules are filled. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_internal.h"
#include "config_rule.h"
#include "config_value.h"
#include "length.h"

#define HELP_LEN_MAX 1000
#define PATH_LEN_MAX 4095
#define NAME_LEN_MAX 4095 /* of a function: C++ has long ones */
#define LABEL_VALUE_LEN_MAX 255
#define MAX_AGE_MIN_MS 1000
#define MAX_AGE_MAX_MS 86400000

enum { CHOICE_NONE, CHOICE_OPERAND, CHOICE_BOUND };

static void free_label(struct config_function_label *label)
{
	free(label->name);
	free(label->constant);
	for (size_t i = 0; i < label->value_count; i++)
		free(label->values[i].text);
	free(label->values);
}

static void free_function(struct config_function *function)
{
	free(function->where);
	free(function->metric);
	free(function->help);
	config_free_strings(&function->exes);
	config_free_strings(&function->libs);
	config_free_strings(&function->services);
	free(function->function);
	free(function->usdt_provider);
	free(function->usdt_name);
	for (size_t i = 0; i < function->label_count; i++)
		free_label(&function->labels[i]);
	free(function->labels);
	free(function->bounds);
	free(function->quantiles);
}

void config_free_functions(struct config *config)
{
	for (size_t i = 0; i < config->function_count; i++)
		free_function(&config->functions[i]);
	free(config->functions);
	config->functions = NULL;
	config->function_count = 0;
}

/* Nothing given. */
static const struct config_function blank = {
    .value = RULE_VALUE_DEFAULT,
    .number = RULE_NUMBER_DEFAULT,
    .condition_number = RULE_NUMBER_DEFAULT,
};

/* --- one value each ----------------------------------------------------------- */

/* Of at most field->max bytes. */
static int read_short_text(struct config_reader *reader, const struct config_node *node,
			   const struct config_field *field, char **ret_text)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (strlen(text) > field->max)
		return config_fail(reader, node, "'%s' is longer than %llu bytes",
				   field->key, (unsigned long long)field->max);
	*ret_text = TAKE(text);
	return 0;
}

static int read_text(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	return read_short_text(reader, node, field, target);
}

static int read_type(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (!err && !rule_parse_type(text, target))
		err = config_fail_value(reader, node, field->key, RULE_TYPE_NAMES);
	return err;
}

static int read_number_type(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (!err && !rule_parse_number(text, target))
		err = config_fail_value(reader, node, field->key, RULE_NUMBER_NAMES);
	return err;
}

static int read_value(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *function)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (!err && !rule_parse_value(text, function))
		err = config_fail_value(reader, node, field->key, RULE_VALUE_NAMES);
	return err;
}

static int read_target(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *function)
{
	AUTO_FREE char *text = NULL;
	int err = read_short_text(reader, node, field, &text);

	if (err)
		return err;
	err = rule_parse_target(text, function);
	if (err == -EINVAL)
		return config_fail_value(reader, node, field->key, RULE_TARGET_NAMES);
	return err ? config_fail(reader, node, "out of memory") : 0;
}

static int read_condition(struct config_reader *reader, const struct config_node *node,
			  const struct config_field *field, void *target)
{
	static const struct {
		const char *name;
		enum config_condition condition;
	} conditions[] = {{"negative", CONFIG_RETURN_NEGATIVE},
			  {"NULL", CONFIG_RETURN_NULL},
			  {"non-zero", CONFIG_RETURN_NONZERO}};
	AUTO_FREE char *text = NULL;
	int err;

	/* Without quotes, which nobody would think of, it is YAML's for nothing. */
	if (config_is_plain(node, "NULL"))
		text = strdup("NULL");
	err = text ? 0 : config_scalar(reader, node, field->key, &text);
	if (err)
		return err;
	for (size_t i = 0; i < LENGTH(conditions); i++) {
		if (strcmp(text, conditions[i].name) != 0)
			continue;
		*(enum config_condition *)target = conditions[i].condition;
		return 0;
	}
	return config_fail_value(reader, node, field->key,
				 "negative, NULL or non-zero");
}

/* --- lists -------------------------------------------------------------------- */

static int add_string(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field,
		      const char *(*find_problem)(const char *text),
		      struct config_strings *strings)
{
	AUTO_FREE char *text = NULL;
	const char *problem;
	int err = read_short_text(reader, node, field, &text);

	if (err)
		return err;
	problem = find_problem ? find_problem(text) : NULL;
	if (problem)
		return config_fail(reader, node, "'%s' %s", field->key, problem);
	if (!config_add_string(strings, &text))
		return config_fail(reader, node, "out of memory");
	return 0;
}

static int add_exe(struct config_reader *reader, const struct config_node *node,
		   const struct config_field *field, void *exes)
{
	return add_string(reader, node, field, rule_exe_problem, exes);
}

static int add_lib(struct config_reader *reader, const struct config_node *node,
		   const struct config_field *field, void *libs)
{
	return add_string(reader, node, field, rule_lib_problem, libs);
}

static int add_service(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *services)
{
	return add_string(reader, node, field, NULL, services);
}

static int add_pid(struct config_reader *reader, const struct config_node *node,
		   const struct config_field *field, void *target)
{
	struct config_function *function = target;
	uint32_t pid;
	int err = config_read_number(reader, node, field, &pid);

	if (!err)
		function->pids[function->pid_count++] = pid;
	return err;
}

static int read_exes(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *exes)
{
	return config_read_items(reader, node, field, CONFIG_LIST_MAX, add_exe, exes);
}

static int read_libs(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *libs)
{
	return config_read_items(reader, node, field, CONFIG_LIST_MAX, add_lib, libs);
}

static int read_services(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *services)
{
	return config_read_items(reader, node, field, CONFIG_LIST_MAX, add_service,
				 services);
}

static int read_pids(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *function)
{
	return config_read_items(reader, node, field, CONFIG_LIST_MAX, add_pid,
				 function);
}

/* Ascending, within [low, high]. */
struct doubles {
	double items[CONFIG_BOUNDS_MAX];
	size_t count;
	double low, high;
	const char *must;
};

static int add_double(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *target)
{
	struct doubles *doubles = target;
	AUTO_FREE char *text = NULL;
	double number;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (!value_double(text, &number) || number < doubles->low ||
	    number > doubles->high)
		return config_fail_value(reader, node, field->key, doubles->must);
	if (doubles->count && number <= doubles->items[doubles->count - 1])
		return config_fail(reader, node, "'%s' must ascend", field->key);
	doubles->items[doubles->count++] = number;
	return 0;
}

static int read_doubles(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, struct doubles *doubles,
			double **ret_items, size_t *ret_count)
{
	size_t bytes;
	int err =
	    config_read_items(reader, node, field, field->max, add_double, doubles);

	if (err)
		return err;
	bytes = doubles->count * sizeof(**ret_items);
	*ret_items = malloc(bytes);
	if (!*ret_items)
		return config_fail(reader, node, "out of memory");
	memcpy(*ret_items, doubles->items, bytes);
	*ret_count = doubles->count;
	return 0;
}

static int read_bounds(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	struct config_function *function = target;
	struct doubles doubles = {
	    .low = -RULE_BOUND_MAX, .high = RULE_BOUND_MAX, .must = RULE_BOUNDS};

	return read_doubles(reader, node, field, &doubles, &function->bounds,
			    &function->bound_count);
}

static int read_quantiles(struct config_reader *reader, const struct config_node *node,
			  const struct config_field *field, void *target)
{
	struct config_function *function = target;
	struct doubles doubles = {.high = 1, .must = "numbers from 0 to 1"};

	return read_doubles(reader, node, field, &doubles, &function->quantiles,
			    &function->quantile_count);
}

/* --- labels ------------------------------------------------------------------- */

static int read_argument(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *target)
{
	struct config_operand *operand = target;
	uint32_t number;
	int err = config_read_number(reader, node, field, &number);

	if (!err)
		operand->argument = (uint8_t)number;
	return err;
}

static int read_return(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	struct config_operand *operand = target;
	int err = config_read_flag(reader, node, field, &operand->is_return);

	if (!err && !operand->is_return)
		err = config_fail_value(reader, node, field->key, "true");
	return err;
}

static int read_label_type(struct config_reader *reader, const struct config_node *node,
			   const struct config_field *field, void *target)
{
	struct config_function_label *label = target;
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	label->is_string = !strcmp(text, "string");
	if (!label->is_string && !rule_parse_number(text, &label->number))
		err = config_fail_value(reader, node, field->key,
					"string, " RULE_NUMBER_NAMES);
	return err;
}

static int add_label_value(struct config_reader *reader, const struct config_node *key,
			   const char *name, const struct config_node *node,
			   void *target)
{
	static const struct config_field text_field = {.key = "values",
						       .max = LABEL_VALUE_LEN_MAX};
	struct config_function_label *label = target;
	struct config_label_value *values, value;
	int err;

	if (!value_integer(name, &value.number))
		return config_fail(reader, key,
				   "a key of 'values' must be a whole number");
	for (size_t i = 0; i < label->value_count; i++) {
		if (label->values[i].number == value.number)
			return config_fail(reader, key, "'values' has %lld twice",
					   (long long)value.number);
	}
	err = read_short_text(reader, node, &text_field, &value.text);
	if (err)
		return err;
	values = reallocarray(label->values, label->value_count + 1, sizeof(*values));
	if (!values) {
		free(value.text);
		return config_fail(reader, key, "out of memory");
	}
	values[label->value_count++] = value;
	label->values = values;
	return 0;
}

static int read_label_values(struct config_reader *reader,
			     const struct config_node *node,
			     const struct config_field *field, void *target)
{
	struct config_function_label *label = target;
	int err = config_read_each(reader, node, "'values'", field->max,
				   add_label_value, label);

	if (!err && !label->value_count)
		err = config_fail(reader, node, "'values' has no entry");
	return err;
}

static int check_label(struct config_reader *reader, const struct config_node *node,
		       void *target)
{
	const struct config_function_label *label = target;
	const char *problem = NULL;

	if (!label->operand.argument && !label->operand.is_return)
		problem = "needs 'arg' or 'return'";
	else if (label->is_string && label->operand.is_return)
		problem = "of 'return' cannot be a string";
	else if (label->is_string && label->values)
		problem = "that is a string has no 'values'";
	if (problem)
		return config_fail(reader, node, "a label %s", problem);
	return 0;
}

#define LABEL_FIELD(member) .offset = offsetof(struct config_function_label, member)

static const struct config_field label_fields[] = {
    {"arg", read_argument, LABEL_FIELD(operand), 1, RULE_USDT_ARGUMENTS_MAX,
     .choice = CHOICE_OPERAND},
    {"return", read_return, LABEL_FIELD(operand), .choice = CHOICE_OPERAND},
    {"type", read_label_type, CONFIG_NO_TARGET},
    {"max_values", config_read_number, LABEL_FIELD(max_values), 1, 10000,
     .choice = CHOICE_BOUND},
    {"values", read_label_values, CONFIG_NO_TARGET, .max = CONFIG_LIST_MAX,
     .choice = CHOICE_BOUND},
};
static const struct config_section label_section = {"a label", label_fields,
						    LENGTH(label_fields), check_label};

static struct config_function_label *append_label(struct config_function *function,
						  const char *name)
{
	struct config_function_label *labels;

	labels =
	    reallocarray(function->labels, function->label_count + 1, sizeof(*labels));
	if (!labels)
		return NULL;
	function->labels = labels;
	labels += function->label_count++;
	*labels = (struct config_function_label){
	    .name = strdup(name),
	    .number = RULE_NUMBER_DEFAULT,
	    .max_values = 100,
	};
	return labels->name ? labels : NULL;
}

/* Text is a constant, a mapping says what is read. */
static int add_label(struct config_reader *reader, const struct config_node *key,
		     const char *name, const struct config_node *node, void *target)
{
	const char *problem = rule_label_problem(name);
	struct config_function_label *label;
	char quoted[VALUE_QUOTE_LEN];
	struct config_field constant = {.key = quoted, .max = LABEL_VALUE_LEN_MAX};

	value_quote(name, quoted);
	if (problem)
		return config_fail(reader, key, "'%s' in labels %s", quoted, problem);
	label = append_label(target, name);
	if (!label)
		return config_fail(reader, key, "out of memory");
	if (config_is_mapping(node))
		return config_read_mapping(reader, node, &label_section, label);
	return read_short_text(reader, node, &constant, &label->constant);
}

static int read_labels(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *function)
{
	return config_read_each(reader, node, "'labels'", field->max, add_label,
				function);
}

/* --- one entry ---------------------------------------------------------------- */

/* The exposition gives a counter its "_total". */
static const char *name_metric(struct config_function *function)
{
	size_t len = strlen(function->metric);

	if (function->type == CONFIG_COUNTER && len > 6 &&
	    !strcmp(function->metric + len - 6, "_total"))
		function->metric[len - 6] = '\0';
	return rule_metric_problem(function->metric);
}

static int check_function(struct config_reader *reader, const struct config_node *node,
			  void *target)
{
	struct config_function *function = target;
	const char *wrong_name = name_metric(function);
	char problem[RULE_PROBLEM_LEN], quoted[VALUE_QUOTE_LEN];

	value_quote(function->metric, quoted);
	if (wrong_name)
		return config_fail(reader, node, "'metric' '%s' %s", quoted,
				   wrong_name);
	if (!rule_complete(function, problem))
		return config_fail(reader, node, "%s", problem);
	function->where = config_where(reader, node);
	return function->where ? 0 : config_fail(reader, node, "out of memory");
}

#define FIELD(member) .offset = offsetof(struct config_function, member)

static const struct config_field function_fields[] = {
    {"metric", read_text, FIELD(metric), .max = RULE_METRIC_LEN + 5, .required = true},
    {"help", read_text, FIELD(help), .max = HELP_LEN_MAX},
    {"type", read_type, FIELD(type)},
    {"exe", read_exes, FIELD(exes), .max = PATH_LEN_MAX},
    {"lib", read_libs, FIELD(libs), .max = PATH_LEN_MAX},
    {"pid", read_pids, CONFIG_NO_TARGET, 1, CONFIG_PID_MAX},
    {"service", read_services, FIELD(services), .max = CONFIG_SERVICE_LEN_MAX},
    {"function", read_target, CONFIG_NO_TARGET, .max = NAME_LEN_MAX, .required = true},
    {"value", read_value, CONFIG_NO_TARGET},
    {"value_type", read_number_type, FIELD(number)},
    {"returns", read_condition, FIELD(condition)},
    {"returns_type", read_number_type, FIELD(condition_number)},
    {"labels", read_labels, CONFIG_NO_TARGET, .max = CONFIG_FUNCTION_LABELS_MAX},
    {"buckets", read_bounds, CONFIG_NO_TARGET, .max = CONFIG_BOUNDS_MAX},
    {"quantiles", read_quantiles, CONFIG_NO_TARGET, .max = CONFIG_QUANTILES_MAX},
    {"max_age", config_read_duration, FIELD(max_age_ms), MAX_AGE_MIN_MS,
     MAX_AGE_MAX_MS},
    {"age_buckets", config_read_number, FIELD(age_buckets), 1, 20},
};
static const struct config_section function_section = {
    "a functions entry", function_fields, LENGTH(function_fields), check_function};

/* --- all of them -------------------------------------------------------------- */

/* Takes the rule over. False with the problem, also "out of memory". */
static bool append_function(struct config *config, struct config_function *function,
			    char problem[RULE_PROBLEM_LEN])
{
	struct config_function *all;

	for (size_t i = 0; i < config->function_count; i++) {
		if (!rule_agrees(function, &config->functions[i], problem))
			return false;
	}
	all = reallocarray(config->functions, config->function_count + 1, sizeof(*all));
	if (!all) {
		snprintf(problem, RULE_PROBLEM_LEN, "out of memory");
		return false;
	}
	all[config->function_count++] = *function;
	config->functions = all;
	*function = blank;
	return true;
}

static int read_function(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *config)
{
	CLEANUP(free_function) struct config_function function = blank;
	char problem[RULE_PROBLEM_LEN];
	int err = config_read_mapping(reader, node, &function_section, &function);

	(void)field;
	if (!err && !append_function(config, &function, problem))
		err = config_fail(reader, node, "%s", problem);
	return err;
}

int config_read_functions(struct config_reader *reader, const struct config_node *node,
			  const struct config_field *field, void *config)
{
	return config_read_list(reader, node, field, CONFIG_FUNCTIONS_MAX,
				read_function, config);
}

/* --- the command line --------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int
fail_option(const char *text, char *error, const char *format, ...)
{
	char quoted[VALUE_QUOTE_LEN];
	va_list arguments;
	int len;

	value_quote(text, quoted);
	len = snprintf(error, CONFIG_ERROR_LEN, "--function '%s': ", quoted);
	va_start(arguments, format);
	vsnprintf(error + len, CONFIG_ERROR_LEN - (size_t)len, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* EXE:NAME, apart. */
static int split_option(const char *text, struct config_function *function, char *error)
{
	const char *colon = rule_split(text), *problem;
	AUTO_FREE char *exe = NULL;
	int err;

	if (!colon)
		return fail_option(text, error, "must be EXE:NAME");
	exe = strndup(text, (size_t)(colon - text));
	if (!exe)
		return fail_option(text, error, "out of memory");
	problem = rule_exe_problem(exe);
	if (problem)
		return fail_option(text, error, "the executable %s", problem);
	err = rule_parse_target(colon + 1, function);
	if (err == -EINVAL)
		return fail_option(text, error, "the name must be " RULE_TARGET_NAMES);
	if (err || !config_add_string(&function->exes, &exe))
		return fail_option(text, error, "out of memory");
	return 0;
}

/* A USDT takes no time, so what is left of it is that it was passed. */
static int name_option(const char *text, struct config_function *function, char *error)
{
	const char *name = function->function, *problem;
	char metric[RULE_METRIC_LEN], quoted[VALUE_QUOTE_LEN];

	if (function->usdt_name) {
		function->type = CONFIG_COUNTER;
		name = function->usdt_name;
	}
	if (!rule_derive_metric(name, function->usdt_name, metric))
		return fail_option(text, error,
				   "no metric can be named after it; name one in the "
				   "file, under functions");
	value_quote(metric, quoted);
	problem = rule_metric_problem(metric);
	if (problem)
		return fail_option(text, error,
				   "metric '%s' %s; name one in the file, under "
				   "functions",
				   quoted, problem);
	function->metric = strdup(metric);
	value_quote(text, quoted);
	if (!function->metric ||
	    asprintf(&function->where, "--function '%s'", quoted) < 0) {
		function->where = NULL;
		return fail_option(text, error, "out of memory");
	}
	return 0;
}

int config_add_function(struct config *config, const char *text,
			char ret_error[CONFIG_ERROR_LEN])
{
	CLEANUP(free_function) struct config_function function = blank;
	char problem[RULE_PROBLEM_LEN];
	int err = split_option(text, &function, ret_error);

	if (!err)
		err = name_option(text, &function, ret_error);
	if (!err && (!rule_complete(&function, problem) ||
		     !append_function(config, &function, problem)))
		err = fail_option(text, ret_error, "%s", problem);
	return err;
}
