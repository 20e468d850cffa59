/* SPDX-License-Identifier: Apache-2.0 */
#include "config_rule.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buckets.h"
#include "config_value.h"
#include "length.h"

#define OFFSET_DIGITS_MAX 16
#define SECONDS_MAX 1e9 /* of a bound of a latency: 31 years */
#define NUMBERS "argN, return or a difference of two"

#define HISTOGRAM (1u << CONFIG_HISTOGRAM)
#define COUNTER (1u << CONFIG_COUNTER)
#define GAUGE (1u << CONFIG_GAUGE)
#define SUMMARY (1u << CONFIG_SUMMARY)

/* What goes together. A USDT is a moment: it takes no time and returns nothing.
 * A call in progress has not returned yet: what it will is not known where it
 * begins to count. */
static const struct {
	const char *name;
	unsigned int types;
	bool of_usdt;
	bool knows_return; /* `returns`, and labels of it */
} kinds[] = {
    [CONFIG_VALUE_LATENCY] = {"latency", HISTOGRAM | SUMMARY, false, true},
    [CONFIG_VALUE_COUNT] = {"count", COUNTER, true, true},
    [CONFIG_VALUE_NUMBER] = {"a number", HISTOGRAM | COUNTER | GAUGE | SUMMARY, true,
			     true},
    [CONFIG_VALUE_IN_PROGRESS] = {"in_progress", GAUGE, false, false},
};

static const struct {
	const char *name;
	const char *values;                   /* the column of the above */
	enum config_value_kind default_value; /* RULE_VALUE_DEFAULT: none */
	const char *suffixes[4]; /* of its samples, the family's name aside */
} types[] = {
    [CONFIG_HISTOGRAM] = {"histogram",
			  "latency, " NUMBERS,
			  CONFIG_VALUE_LATENCY,
			  {"_bucket", "_count", "_sum"}},
    [CONFIG_COUNTER] = {"counter", "count, " NUMBERS, CONFIG_VALUE_COUNT, {"_total"}},
    [CONFIG_GAUGE] = {"gauge", "in_progress, " NUMBERS, RULE_VALUE_DEFAULT, {NULL}},
    [CONFIG_SUMMARY] = {"summary",
			"latency, " NUMBERS,
			CONFIG_VALUE_LATENCY,
			{"_count", "_sum"}},
};

static const struct {
	const char *name;
	enum config_number number;
} numbers[] = {
    {"int", CONFIG_INT32},           {"long", CONFIG_INT64},
    {"unsigned int", CONFIG_UINT32}, {"unsigned long", CONFIG_UINT64},
    {"int32", CONFIG_INT32},         {"int64", CONFIG_INT64},
    {"uint32", CONFIG_UINT32},       {"uint64", CONFIG_UINT64},
    {"bool", CONFIG_BOOL},
};

/* --- parts of the spelling ---------------------------------------------------- */

bool rule_parse_type(const char *text, enum config_metric_type *ret_type)
{
	for (size_t i = 0; i < LENGTH(types); i++) {
		if (strcmp(types[i].name, text) != 0)
			continue;
		*ret_type = (enum config_metric_type)i;
		return true;
	}
	return false;
}

bool rule_parse_number(const char *text, enum config_number *ret_number)
{
	for (size_t i = 0; i < LENGTH(numbers); i++) {
		if (strcmp(numbers[i].name, text) != 0)
			continue;
		*ret_number = numbers[i].number;
		return true;
	}
	return false;
}

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " ");
}

/* Takes "argN" or "return" at *text, and the blanks after it. */
static bool take_operand(const char **text, struct config_operand *ret_operand)
{
	const char *at = *text;
	unsigned int number = 0;

	if (!strncmp(at, "return", 6)) {
		*text = skip_blanks(at + 6);
		*ret_operand = (struct config_operand){.is_return = true};
		return true;
	}
	if (strncmp(at, "arg", 3) != 0 || at[3] < '1' || at[3] > '9')
		return false;
	for (at += 3; *at >= '0' && *at <= '9' && number < 100; at++)
		number = number * 10 + (unsigned int)(*at - '0');
	if (number > RULE_USDT_ARGUMENTS_MAX)
		return false;
	*text = skip_blanks(at);
	*ret_operand = (struct config_operand){.argument = (uint8_t)number};
	return true;
}

/* Takes the character at *text, and the blanks after it. */
static bool take_sign(const char **text, char sign)
{
	if (**text != sign)
		return false;
	*text = skip_blanks(*text + 1);
	return true;
}

/* "(A - B)", blanks or not between them. */
static bool take_difference(const char **text, struct config_operand *ret_operand,
			    struct config_operand *ret_minus)
{
	return take_sign(text, '(') && take_operand(text, ret_operand) &&
	       take_sign(text, '-') && take_operand(text, ret_minus) &&
	       take_sign(text, ')');
}

bool rule_parse_value(const char *text, struct config_function *function)
{
	struct config_operand operand = {0}, minus = {0};
	enum config_value_kind kind = CONFIG_VALUE_NUMBER;

	if (!strcmp(text, "latency"))
		kind = CONFIG_VALUE_LATENCY;
	else if (!strcmp(text, "count"))
		kind = CONFIG_VALUE_COUNT;
	else if (!strcmp(text, "in_progress"))
		kind = CONFIG_VALUE_IN_PROGRESS;
	else if (!(take_operand(&text, &operand) ||
		   take_difference(&text, &operand, &minus)) ||
		 *text)
		return false;
	function->value = kind;
	function->operand = operand;
	function->minus = minus;
	return true;
}

static bool is_offset(const char *text)
{
	size_t len = strlen(text + 2);

	return len && len <= OFFSET_DIGITS_MAX &&
	       strspn(text + 2, "0123456789abcdefABCDEF") == len;
}

/* PROVIDER:NAME */
static int parse_usdt(const char *text, struct config_function *function)
{
	size_t len = strcspn(text, ":");

	if (!len || !text[len] || !text[len + 1] || strchr(text + len + 1, ':'))
		return -EINVAL;
	function->usdt_provider = strndup(text, len);
	function->usdt_name = strdup(text + len + 1);
	return function->usdt_provider && function->usdt_name ? 0 : -ENOMEM;
}

int rule_parse_target(const char *text, struct config_function *function)
{
	if (!strncmp(text, "usdt:", 5))
		return parse_usdt(text + 5, function);
	if (!*text || (!strncmp(text, "0x", 2) && !is_offset(text)))
		return -EINVAL;
	function->function = strdup(text);
	return function->function ? 0 : -ENOMEM;
}

/* The last ':' before end with no other beside it and no bracket around it. */
static const char *last_colon(const char *text, const char *end)
{
	size_t depth = 0;

	while (end-- > text) {
		if (*end == ']')
			depth++;
		else if (*end == '[' && depth)
			depth--;
		else if (*end == ':' && !depth && end[1] != ':' &&
			 (end == text || end[-1] != ':'))
			return end;
	}
	return NULL;
}

/* Only Go's names hold a '/', and then a '.' after it: "net/http.Get". */
static bool may_be_function(const char *name)
{
	const char *slash = strrchr(name, '/');

	return *name && (!slash || strchr(slash, '.'));
}

const char *rule_split(const char *text)
{
	const char *colon = strstr(text, ":usdt:");

	if (!colon) {
		colon = last_colon(text, text + strlen(text));
		if (colon && !may_be_function(colon + 1))
			return NULL;
	}
	return colon == text ? NULL : colon;
}

/* --- names -------------------------------------------------------------------- */

const char *rule_exe_problem(const char *exe)
{
	if (*exe == '/' || *exe == '*')
		return NULL;
	return "must be an absolute path, or a glob that begins with '*'";
}

const char *rule_lib_problem(const char *lib)
{
	return strchr(lib, '/') ? rule_exe_problem(lib) : NULL;
}

const char *rule_metric_problem(const char *metric)
{
	static const char *const prefixes[] = {"http_", "bpftally_", "process_",
					       "scrape_"};

	if (!value_is_metric_name(metric))
		return "is not a metric name ([a-zA-Z_][a-zA-Z0-9_]*)";
	if (strlen(metric) >= RULE_METRIC_LEN)
		return "is longer than 255 bytes";
	for (size_t i = 0; i < LENGTH(prefixes); i++) {
		if (!strncmp(metric, prefixes[i], strlen(prefixes[i])))
			return "begins with http_, bpftally_, process_ or scrape_, "
			       "which are taken";
	}
	if (!strcmp(metric, "target_info") || !strcmp(metric, "up"))
		return "is taken: every target has one";
	return NULL;
}

const char *rule_label_problem(const char *name)
{
	if (!value_is_label_name(name))
		return "is not a label name ([a-zA-Z_][a-zA-Z0-9_]*, not beginning "
		       "with '__')";
	if (!strcmp(name, "le") || !strcmp(name, "quantile"))
		return "is reserved: histograms and summaries have it";
	return NULL;
}

/* Where the last component begins: after the last ':', '.' or '/' outside of
 * brackets, which hold types and receivers. */
static const char *last_component(const char *name)
{
	const char *start = name;
	size_t depth = 0;

	for (; *name; name++) {
		if (strchr("(<[{", *name))
			depth++;
		else if (strchr(")>]}", *name))
			depth -= depth ? 1 : 0;
		else if (!depth && strchr(":./", *name))
			start = name + 1;
	}
	return start;
}

bool rule_derive_metric(const char *name, bool is_usdt,
			char ret_metric[RULE_METRIC_LEN])
{
	const char *suffix = is_usdt ? "_calls" : "_duration_seconds";
	const char *component = is_usdt ? name : last_component(name);
	size_t len = is_usdt ? strlen(name) : strcspn(component, "(<[{");
	char first[2] = "";
	bool any = false;
	int written;

	for (size_t i = 0; i < len; i++)
		any |= isalnum((unsigned char)component[i]) != 0;
	if (!any)
		return false;
	if (isdigit((unsigned char)*component))
		*first = '_';
	written = snprintf(ret_metric, RULE_METRIC_LEN, "%s%.*s%s", first, (int)len,
			   component, suffix);
	for (char *at = ret_metric; *at; at++) {
		if (!isalnum((unsigned char)*at))
			*at = '_';
	}
	return written < RULE_METRIC_LEN;
}

/* --- the whole ---------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool disagree(char *problem,
							   const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(problem, RULE_PROBLEM_LEN, format, arguments);
	va_end(arguments);
	return false;
}

static bool is_usdt(const struct config_function *function)
{
	return function->usdt_name;
}

static bool judge_value(struct config_function *function, char *problem)
{
	if (function->value == RULE_VALUE_DEFAULT)
		function->value = types[function->type].default_value;
	if (function->value == RULE_VALUE_DEFAULT)
		return disagree(problem, "'type: %s' needs a 'value': %s",
				types[function->type].name,
				types[function->type].values);
	if (!(kinds[function->value].types & (1u << function->type)))
		return disagree(problem, "'type: %s' has a 'value' of %s, not %s",
				types[function->type].name,
				types[function->type].values,
				kinds[function->value].name);
	if (is_usdt(function) && !kinds[function->value].of_usdt)
		return disagree(problem,
				"a USDT does not return, so there is no 'value: %s'",
				kinds[function->value].name);
	if (function->number != RULE_NUMBER_DEFAULT &&
	    function->value != CONFIG_VALUE_NUMBER)
		return disagree(problem, "'value_type' belongs to a 'value' of %s",
				NUMBERS);
	return true;
}

static bool judge_condition(const struct config_function *function, char *problem)
{
	enum config_number number = function->condition_number;

	if (function->condition == CONFIG_ALWAYS)
		return number == RULE_NUMBER_DEFAULT ||
		       disagree(problem, "'returns_type' belongs to 'returns'");
	if (is_usdt(function))
		return disagree(problem, "a USDT does not return, so there is no "
					 "'returns'");
	if (!kinds[function->value].knows_return)
		return disagree(problem,
				"'value: %s' counts what has not returned yet, so "
				"there is no 'returns'",
				kinds[function->value].name);
	if (function->condition == CONFIG_RETURN_NEGATIVE &&
	    (number == CONFIG_UINT32 || number == CONFIG_UINT64 ||
	     number == CONFIG_BOOL))
		return disagree(problem, "what is unsigned or bool ('returns_type') is "
					 "never negative ('returns')");
	return true;
}

/* `of`: of what the operand is, as messages name it. */
static bool judge_operand(const struct config_function *function,
			  const struct config_operand *operand, const char *of,
			  char *problem)
{
	if (operand->is_return && is_usdt(function))
		return disagree(problem,
				"a USDT does not return, so %s cannot be of that", of);
	if (operand->is_return && !kinds[function->value].knows_return)
		return disagree(problem,
				"'value: %s' counts what has not returned yet, so %s "
				"cannot be of that",
				kinds[function->value].name, of);
	if (operand->argument > RULE_ARGUMENTS_MAX && !is_usdt(function))
		return disagree(problem,
				"%s is of argument %u, but only a USDT has more than "
				"%d",
				of, operand->argument, RULE_ARGUMENTS_MAX);
	return true;
}

static bool judge_operands(const struct config_function *function, char *problem)
{
	size_t count = 0;

	if (!judge_operand(function, &function->operand, "'value'", problem) ||
	    !judge_operand(function, &function->minus, "'value'", problem))
		return false;
	for (size_t i = 0; i < function->label_count; i++) {
		const struct config_function_label *label = &function->labels[i];
		char quoted[VALUE_QUOTE_LEN], of[VALUE_QUOTE_LEN + sizeof("label ''")];

		value_quote(label->name, quoted);
		snprintf(of, sizeof(of), "label '%s'", quoted);
		if (!judge_operand(function, &label->operand, of, problem))
			return false;
		count += !label->constant;
	}
	if (count > CONFIG_OPERAND_LABELS_MAX)
		return disagree(problem,
				"%zu labels are of arguments or the return, at most "
				"%d can be",
				count, CONFIG_OPERAND_LABELS_MAX);
	return true;
}

static bool judge_bounds(const struct config_function *function, char *problem)
{
	bool is_latency = function->value == CONFIG_VALUE_LATENCY;

	if (function->bound_count && function->type != CONFIG_HISTOGRAM)
		return disagree(problem, "'buckets' belongs to 'type: histogram'");
	for (size_t i = 0; is_latency && i < function->bound_count; i++) {
		if (function->bounds[i] <= 0 || function->bounds[i] > SECONDS_MAX)
			return disagree(problem, "'buckets' of a latency are seconds, "
						 "above 0 and at most 1e9");
	}
	return true;
}

static bool judge_summary(const struct config_function *function, char *problem)
{
	const char *key = NULL;

	if (function->quantile_count)
		key = "quantiles";
	else if (function->max_age_ms)
		key = "max_age";
	else if (function->age_buckets)
		key = "age_buckets";
	if (key && function->type != CONFIG_SUMMARY)
		return disagree(problem, "'%s' belongs to 'type: summary'", key);
	return true;
}

static double *copy_doubles(const double *doubles, size_t count)
{
	double *copy = reallocarray(NULL, count, sizeof(*copy));

	if (copy)
		memcpy(copy, doubles, count * sizeof(*copy));
	return copy;
}

/* As buckets.h has them for durations; for other numbers powers of 4. */
static bool complete_bounds(struct config_function *function)
{
	bool is_latency = function->value == CONFIG_VALUE_LATENCY;
	double bounds[CONFIG_BOUNDS_MAX];
	size_t count = is_latency ? DURATION_BOUNDS : 16;

	if (function->type != CONFIG_HISTOGRAM || function->bound_count)
		return true;
	for (size_t i = 0; i < count; i++)
		bounds[i] = is_latency ? (double)duration_bounds_ns[i] / 1e9
				       : (double)(1ull << (2 * i));
	function->bounds = copy_doubles(bounds, count);
	function->bound_count = function->bounds ? count : 0;
	return function->bounds;
}

static bool complete_summary(struct config_function *function)
{
	static const double quantiles[] = {0.5, 0.95, 0.99};

	if (function->type != CONFIG_SUMMARY)
		return true;
	if (!function->max_age_ms)
		function->max_age_ms = 600000;
	if (!function->age_buckets)
		function->age_buckets = 5;
	if (function->quantile_count)
		return true;
	function->quantiles = copy_doubles(quantiles, LENGTH(quantiles));
	function->quantile_count = function->quantiles ? LENGTH(quantiles) : 0;
	return function->quantiles;
}

static void complete_number(enum config_number *number, enum config_number by)
{
	if (*number == RULE_NUMBER_DEFAULT)
		*number = by;
}

/* Most functions that return a number or an error return C's int, of which the
 * upper half of the register is anything. Arguments that are worth a sum or a
 * histogram are sizes. A USDT says of each argument what it is. */
static void complete_numbers(struct config_function *function)
{
	bool is_return = function->operand.is_return && !function->minus.argument &&
			 !function->minus.is_return;

	complete_number(&function->number, is_return ? CONFIG_INT32 : CONFIG_INT64);
	complete_number(&function->condition_number,
			function->condition == CONFIG_RETURN_NULL ? CONFIG_INT64
								  : CONFIG_INT32);
	for (size_t i = 0; i < function->label_count; i++)
		complete_number(&function->labels[i].number,
				is_usdt(function) ? CONFIG_INT64 : CONFIG_INT32);
}

static bool fits(int64_t number, enum config_number type)
{
	switch (type) {
	case CONFIG_INT32:
		return number >= INT32_MIN && number <= INT32_MAX;
	case CONFIG_UINT32:
		return number >= 0 && number <= UINT32_MAX;
	case CONFIG_UINT64:
		return number >= 0;
	case CONFIG_BOOL:
		return number == 0 || number == 1;
	case CONFIG_INT64:
		break;
	}
	return true;
}

static bool judge_label_values(const struct config_function *function, char *problem)
{
	for (size_t i = 0; i < function->label_count; i++) {
		const struct config_function_label *label = &function->labels[i];
		char quoted[VALUE_QUOTE_LEN];

		value_quote(label->name, quoted);
		for (size_t j = 0; j < label->value_count; j++) {
			if (!fits(label->values[j].number, label->number))
				return disagree(problem,
						"label '%s' can never be %lld, by its "
						"'type'",
						quoted,
						(long long)label->values[j].number);
		}
	}
	return true;
}

bool rule_complete(struct config_function *function, char ret_problem[RULE_PROBLEM_LEN])
{
	if (!function->exes.count && !function->libs.count && !function->pid_count &&
	    !function->services.count)
		return disagree(
		    ret_problem,
		    "a functions entry needs 'exe', 'lib', 'pid' or 'service'");
	if (!judge_value(function, ret_problem) ||
	    !judge_condition(function, ret_problem) ||
	    !judge_operands(function, ret_problem) ||
	    !judge_bounds(function, ret_problem) ||
	    !judge_summary(function, ret_problem))
		return false;
	complete_numbers(function);
	if (!judge_label_values(function, ret_problem))
		return false;
	if (!complete_bounds(function) || !complete_summary(function))
		return disagree(ret_problem, "out of memory");
	return true;
}

/* --- rules beside each other -------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_doubles(const double *a, size_t a_count, const double *b,
			 size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++) {
		if (a[i] < b[i] || a[i] > b[i])
			return false;
	}
	return true;
}

static const struct config_function_label *
find_label(const struct config_function *function, const char *name)
{
	for (size_t i = 0; i < function->label_count; i++) {
		if (!strcmp(function->labels[i].name, name))
			return &function->labels[i];
	}
	return NULL;
}

static bool same_label_names(const struct config_function *a,
			     const struct config_function *b)
{
	if (a->label_count != b->label_count)
		return false;
	for (size_t i = 0; i < a->label_count; i++) {
		if (!find_label(b, a->labels[i].name))
			return false;
	}
	return true;
}

/* The key in which they differ, of those that describe the family. */
static const char *differing_key(const struct config_function *a,
				 const struct config_function *b)
{
	if (a->type != b->type)
		return "type";
	if (!same_text(a->help, b->help))
		return "help";
	if (a->value != b->value)
		return "value";
	if (!same_doubles(a->bounds, a->bound_count, b->bounds, b->bound_count))
		return "buckets";
	if (!same_doubles(a->quantiles, a->quantile_count, b->quantiles,
			  b->quantile_count))
		return "quantiles";
	if (a->max_age_ms != b->max_age_ms)
		return "max_age";
	if (a->age_buckets != b->age_buckets)
		return "age_buckets";
	return same_label_names(a, b) ? NULL : "labels";
}

/* A label that both have as a constant keeps their series apart for good; what is
 * read from an argument may be anything. */
static bool can_be_told_apart(const struct config_function *a,
			      const struct config_function *b)
{
	for (size_t i = 0; i < a->label_count; i++) {
		const struct config_function_label *label = &a->labels[i];
		const struct config_function_label *other = find_label(b, label->name);

		if (label->constant && other && other->constant &&
		    strcmp(label->constant, other->constant) != 0)
			return true;
	}
	return false;
}

/* Whether `name` is that of samples of the metric: "x_sum" beside a histogram x. */
static bool is_sample_of(const char *name, const struct config_function *function)
{
	size_t len = strlen(function->metric);

	if (strncmp(name, function->metric, len) != 0)
		return false;
	for (size_t i = 0; types[function->type].suffixes[i]; i++) {
		if (!strcmp(name + len, types[function->type].suffixes[i]))
			return true;
	}
	return false;
}

bool rule_agrees(const struct config_function *function,
		 const struct config_function *earlier,
		 char ret_problem[RULE_PROBLEM_LEN])
{
	char metric[VALUE_QUOTE_LEN], other[VALUE_QUOTE_LEN];
	const char *key;

	value_quote(function->metric, metric);
	value_quote(earlier->metric, other);
	if (is_sample_of(function->metric, earlier) ||
	    is_sample_of(earlier->metric, function))
		return disagree(ret_problem,
				"metric '%s' has samples named like some of '%s' in %s",
				metric, other, earlier->where);
	if (strcmp(function->metric, earlier->metric) != 0)
		return true;
	key = differing_key(function, earlier);
	if (key)
		return disagree(ret_problem, "metric '%s' has another '%s' in %s",
				metric, key, earlier->where);
	if (!can_be_told_apart(function, earlier))
		return disagree(ret_problem,
				"metric '%s' would have the series of %s; give both a "
				"constant label that differs",
				metric, earlier->where);
	return true;
}
