/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "buckets.h"
#include "config_case.h"
#include "config_internal.h"
#include "length.h"

#define REST "exe: /a, function: f" /* of an entry, the metric aside */
#define ENTRY(more) "functions:\n- {metric: m, " REST ",\n   " more "}\n"

static void a_metric_and_a_function_are_a_latency_histogram(void **state)
{
	struct loaded loaded;
	const struct config_function *function;

	(void)state;
	load_text("functions:\n- metric: m\n  exe: /a\n  function: b::c\n", &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.function_count, 1);
	function = loaded.config.functions;
	assert_string_equal(strrchr(function->where, ':'), ":2");
	assert_string_equal(function->metric, "m");
	assert_null(function->help);
	assert_int_equal(function->type, CONFIG_HISTOGRAM);
	assert_int_equal(function->exes.count, 1);
	assert_string_equal(function->exes.items[0], "/a");
	assert_int_equal(
	    function->libs.count + function->pid_count + function->services.count, 0);
	assert_string_equal(function->function, "b::c");
	assert_null(function->usdt_provider);
	assert_null(function->usdt_name);
	assert_int_equal(function->value, CONFIG_VALUE_LATENCY);
	assert_int_equal(function->operand.argument + function->operand.is_return, 0);
	assert_int_equal(function->minus.argument + function->minus.is_return, 0);
	assert_int_equal(function->condition, CONFIG_ALWAYS);
	assert_int_equal(function->label_count, 0);
	assert_int_equal(function->bound_count, DURATION_BOUNDS);
	for (size_t i = 0; i < DURATION_BOUNDS; i++)
		assert_true(llround(function->bounds[i] * 1e9) ==
			    (long long)duration_bounds_ns[i]);
	assert_int_equal(function->quantile_count, 0);
	assert_int_equal(function->max_age_ms + function->age_buckets, 0);
	config_free(&loaded.config);
}

static void every_key_of_an_entry_arrives(void **state)
{
	struct loaded loaded;
	const struct config_function *function;

	(void)state;
	load_text("functions:\n"
		  "- metric: shop_bytes\n"
		  "  help: Bytes of a basket.\n"
		  "  type: histogram\n"
		  "  exe: [/a, '*/b']\n"
		  "  lib: [libc.so.6, /c*]\n"
		  "  pid: [1, 4194304]\n"
		  "  service: [shop-*, till]\n"
		  "  function: 0x12\n"
		  "  value: (return - arg6)\n"
		  "  value_type: unsigned long\n"
		  "  returns: non-zero\n"
		  "  returns_type: uint32\n"
		  "  buckets: [-1, 0, 0.5, 1e3]\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	function = loaded.config.functions;
	assert_string_equal(function->metric, "shop_bytes");
	assert_string_equal(function->help, "Bytes of a basket.");
	assert_int_equal(function->exes.count, 2);
	assert_string_equal(function->exes.items[1], "*/b");
	assert_int_equal(function->libs.count, 2);
	assert_string_equal(function->libs.items[0], "libc.so.6");
	assert_int_equal(function->pid_count, 2);
	assert_int_equal(function->pids[1], 4194304);
	assert_int_equal(function->services.count, 2);
	assert_string_equal(function->services.items[0], "shop-*");
	assert_string_equal(function->function, "0x12");
	assert_int_equal(function->value, CONFIG_VALUE_NUMBER);
	assert_true(function->operand.is_return);
	assert_int_equal(function->minus.argument, 6);
	assert_int_equal(function->number, CONFIG_UINT64);
	assert_int_equal(function->condition, CONFIG_RETURN_NONZERO);
	assert_int_equal(function->condition_number, CONFIG_UINT32);
	assert_int_equal(function->bound_count, 4);
	assert_true(function->bounds[0] <= -1 && function->bounds[0] >= -1);
	assert_true(function->bounds[3] <= 1000 && function->bounds[3] >= 1000);
	config_free(&loaded.config);
}

static void labels_are_constants_arguments_or_the_return(void **state)
{
	struct loaded loaded;
	const struct config_function_label *labels;

	(void)state;
	load_text("functions:\n"
		  "- metric: m\n  exe: /a\n  function: f\n"
		  "  labels:\n"
		  "    tier: {arg: 2, type: string, max_values: 50}\n"
		  "    shop: main street\n"
		  "    size: {arg: 6, type: unsigned long}\n"
		  "    outcome:\n"
		  "      return: true\n"
		  "      values: {0: ok, -1: error, 7: error}\n"
		  "    level: {arg: 1}\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.functions->label_count, 5);
	labels = loaded.config.functions->labels;
	assert_string_equal(labels[0].name, "tier");
	assert_null(labels[0].constant);
	assert_int_equal(labels[0].operand.argument, 2);
	assert_true(labels[0].is_string);
	assert_int_equal(labels[0].max_values, 50);
	assert_string_equal(labels[1].constant, "main street");
	assert_int_equal(labels[1].operand.argument, 0);
	assert_int_equal(labels[2].number, CONFIG_UINT64);
	assert_int_equal(labels[2].max_values, 100);
	assert_true(labels[3].operand.is_return);
	assert_int_equal(labels[3].number, CONFIG_INT32);
	assert_int_equal(labels[3].value_count, 3);
	assert_int_equal(labels[3].values[1].number, -1);
	assert_string_equal(labels[3].values[2].text, "error");
	assert_false(labels[4].is_string);
	assert_int_equal(labels[4].value_count, 0);
	assert_int_equal(labels[4].number, CONFIG_INT32);
	config_free(&loaded.config);
}

/* What is not said is what the type, and the kind of the value, make of it. */
static void defaults_follow_type_and_value(void **state)
{
	static const struct {
		const char *more;
		enum config_value_kind value;
		enum config_number number, condition_number;
		size_t bounds, quantiles;
	} cases[] = {
	    {"type: counter", CONFIG_VALUE_COUNT, CONFIG_INT64, CONFIG_INT32, 0, 0},
	    {"type: counter, returns: negative", CONFIG_VALUE_COUNT, CONFIG_INT64,
	     CONFIG_INT32, 0, 0},
	    {"type: counter, returns: NULL", CONFIG_VALUE_COUNT, CONFIG_INT64,
	     CONFIG_INT64, 0, 0},
	    {"type: counter, returns: 'NULL', returns_type: bool", CONFIG_VALUE_COUNT,
	     CONFIG_INT64, CONFIG_BOOL, 0, 0},
	    {"type: gauge, value: return", CONFIG_VALUE_NUMBER, CONFIG_INT32,
	     CONFIG_INT32, 0, 0},
	    {"type: gauge, value: (return - arg1)", CONFIG_VALUE_NUMBER, CONFIG_INT64,
	     CONFIG_INT32, 0, 0},
	    {"type: gauge, value: arg1", CONFIG_VALUE_NUMBER, CONFIG_INT64,
	     CONFIG_INT32, 0, 0},
	    {"value: arg1", CONFIG_VALUE_NUMBER, CONFIG_INT64, CONFIG_INT32, 16, 0},
	    {"type: summary", CONFIG_VALUE_LATENCY, CONFIG_INT64, CONFIG_INT32, 0, 3},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct config_function *function;
		struct loaded loaded;
		char yaml[256];

		snprintf(yaml, sizeof(yaml), "functions: [{metric: m, " REST ", %s}]\n",
			 cases[i].more);
		load_text(yaml, &loaded);
		assert_string_equal(loaded.error, "");
		function = loaded.config.functions;
		assert_int_equal(function->value, cases[i].value);
		assert_int_equal(function->number, cases[i].number);
		assert_int_equal(function->condition_number, cases[i].condition_number);
		assert_int_equal(function->bound_count, cases[i].bounds);
		for (size_t j = 0; j < cases[i].bounds; j++)
			assert_true(llround(function->bounds[j]) == 1ll << (2 * j));
		assert_int_equal(function->quantile_count, cases[i].quantiles);
		config_free(&loaded.config);
	}
}

static void a_summary_has_quantiles_over_a_window(void **state)
{
	static const long long wanted[] = {500, 950, 990};
	struct loaded loaded;
	const struct config_function *function;

	(void)state;
	load_text(ENTRY("type: summary"), &loaded);
	assert_string_equal(loaded.error, "");
	function = loaded.config.functions;
	assert_int_equal(function->quantile_count, LENGTH(wanted));
	for (size_t i = 0; i < LENGTH(wanted); i++)
		assert_int_equal(llround(function->quantiles[i] * 1000), wanted[i]);
	assert_int_equal(function->max_age_ms, 600000);
	assert_int_equal(function->age_buckets, 5);
	config_free(&loaded.config);
	load_text(ENTRY("type: summary, quantiles: [0, 0.25, 1], max_age: 1s,"
			"age_buckets: 20"),
		  &loaded);
	assert_string_equal(loaded.error, "");
	function = loaded.config.functions;
	assert_int_equal(function->quantile_count, 3);
	assert_int_equal(llround(function->quantiles[1] * 1000), 250);
	assert_int_equal(function->max_age_ms, 1000);
	assert_int_equal(function->age_buckets, 20);
	config_free(&loaded.config);
}

static void a_usdt_is_a_provider_and_a_name(void **state)
{
	struct loaded loaded;
	const struct config_function *function;

	(void)state;
	load_text("functions:\n"
		  "- metric: m\n  type: counter\n  lib: libpython3.so\n"
		  "  function: usdt:python:gc__done\n"
		  "  value: arg12\n"
		  "  labels: {a: {arg: 7}}\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	function = loaded.config.functions;
	assert_null(function->function);
	assert_string_equal(function->usdt_provider, "python");
	assert_string_equal(function->usdt_name, "gc__done");
	assert_int_equal(function->operand.argument, 12);
	assert_int_equal(function->labels[0].number, CONFIG_INT64);
	config_free(&loaded.config);
}

static void a_counter_is_kept_without_total(void **state)
{
	static const struct {
		const char *type, *metric, *kept;
	} cases[] = {
	    {"counter", "m_total", "m"},
	    {"counter", "m", "m"},
	    {"counter", "m_total_total", "m_total"},
	    {"counter", "_total", "_total"},
	    {"histogram", "m_total", "m_total"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct loaded loaded;
		char yaml[128];

		snprintf(yaml, sizeof(yaml),
			 "functions: [{metric: %s, type: %s, " REST "}]\n",
			 cases[i].metric, cases[i].type);
		load_text(yaml, &loaded);
		assert_string_equal(loaded.error, "");
		assert_string_equal(loaded.config.functions->metric, cases[i].kept);
		config_free(&loaded.config);
	}
}

/* Behind ENTRY, on its second line; the rule as a whole is told by its first. */
static const struct {
	const char *more, *error;
} mistakes[] = {
    {"typ: counter",
     "3: unknown key 'typ' in a functions entry (did you mean 'type'?)"},
    {"port: 1", "3: unknown key 'port' in a functions entry"},
    {"type: meter",
     "3: 'type' must be histogram, counter, gauge or summary, not 'meter'"},
    {"help: []", "3: 'help' must be a single value, not a list"},
    {"lib: []", "3: 'lib' is an empty list"},
    {"lib: [lib/a.so]",
     "3: 'lib' must be an absolute path, or a glob that begins with '*'"},
    {"service: []", "3: 'service' is an empty list"},
    {"service: ''", "3: 'service' has no value"},
    {"service: {a: b}", "3: 'service' must be a single value, not a mapping"},
    {"pid: 0", "3: 'pid' must be a whole number from 1 to 4194304, not '0'"},
    {"value: args",
     "3: 'value' must be latency, count, in_progress, return, argN or (arg2 - arg1), "
     "not 'args'"},
    {"value_type: char",
     "3: 'value_type' must be int, long, unsigned int, unsigned long, int32, int64, "
     "uint32, uint64 or bool, not 'char'"},
    {"value_type: int",
     "2: 'value_type' belongs to a 'value' of argN, return or a difference of two"},
    {"returns: zero", "3: 'returns' must be negative, NULL or non-zero, not 'zero'"},
    {"returns: null", "3: 'returns' has no value"},
    {"returns_type: int", "2: 'returns_type' belongs to 'returns'"},
    {"returns: negative, returns_type: bool",
     "2: what is unsigned or bool ('returns_type') is never negative ('returns')"},
    {"type: gauge", "2: 'type: gauge' needs a 'value': in_progress, argN, return or a "
		    "difference of two"},
    {"type: gauge, value: latency",
     "2: 'type: gauge' has a 'value' of in_progress, argN, return or a difference of "
     "two, not latency"},
    {"type: counter, value: latency",
     "2: 'type: counter' has a 'value' of count, argN, return or a difference of two, "
     "not latency"},
    {"value: count", "2: 'type: histogram' has a 'value' of latency, argN, return or a "
		     "difference of two, not count"},
    {"type: summary, value: in_progress",
     "2: 'type: summary' has a 'value' of latency, argN, return or a difference of "
     "two, not in_progress"},
    {"type: gauge, value: in_progress, returns: negative",
     "2: 'value: in_progress' counts what has not returned yet, so there is no "
     "'returns'"},
    {"type: gauge, value: in_progress, labels: {a: {return: true}}",
     "2: 'value: in_progress' counts what has not returned yet, so label 'a' cannot "
     "be of that"},
    {"value: arg7", "2: 'value' is of argument 7, but only a USDT has more than 6"},
    {"labels: {a: {arg: 7}}",
     "2: label 'a' is of argument 7, but only a USDT has more than 6"},
    {"buckets: 0.5, type: counter", "2: 'buckets' belongs to 'type: histogram'"},
    {"buckets: []", "3: 'buckets' is an empty list"},
    {"buckets: [0.5, +Inf]",
     "3: 'buckets' must be numbers from -1e18 to 1e18, not '+Inf'"},
    {"buckets: [0.5, 1e19]",
     "3: 'buckets' must be numbers from -1e18 to 1e18, not '1e19'"},
    {"buckets: [0.5, 0.5]", "3: 'buckets' must ascend"},
    {"buckets: [0, 0.5]",
     "2: 'buckets' of a latency are seconds, above 0 and at most 1e9"},
    {"buckets: [1, 2e9]",
     "2: 'buckets' of a latency are seconds, above 0 and at most 1e9"},
    {"quantiles: 0.5", "2: 'quantiles' belongs to 'type: summary'"},
    {"max_age: 1m", "2: 'max_age' belongs to 'type: summary'"},
    {"age_buckets: 5", "2: 'age_buckets' belongs to 'type: summary'"},
    {"quantiles: [0.5, 1.1]", "3: 'quantiles' must be numbers from 0 to 1, not '1.1'"},
    {"quantiles: -0.1", "3: 'quantiles' must be numbers from 0 to 1, not '-0.1'"},
    {"quantiles: [0.5, 0.4]", "3: 'quantiles' must ascend"},
    {"max_age: 999ms",
     "3: 'max_age' must be a duration from 1s to 1d (like 1m30s), not '999ms'"},
    {"age_buckets: 21",
     "3: 'age_buckets' must be a whole number from 1 to 20, not '21'"},
    {"labels: [a]", "3: 'labels' must be a mapping (key: value), not a list"},
    {"labels: {a: b, a: c}", "3: key 'a' is given twice"},
    {"labels: {a: }", "3: 'a' has no value"},
    {"labels: {a: [b]}", "3: 'a' must be a single value, not a list"},
    {"labels: {a-b: c}",
     "3: 'a-b' in labels is not a label name ([a-zA-Z_][a-zA-Z0-9_]*, not beginning "
     "with '__')"},
    {"labels: {__name__: c}",
     "3: '__name__' in labels is not a label name ([a-zA-Z_][a-zA-Z0-9_]*, not "
     "beginning with '__')"},
    {"labels: {le: c}",
     "3: 'le' in labels is reserved: histograms and summaries have it"},
    {"labels: {quantile: c}",
     "3: 'quantile' in labels is reserved: histograms and summaries have it"},
    {"labels: {a: {}}", "3: a label needs 'arg' or 'return'"},
    {"labels: {a: {type: int}}", "3: a label needs 'arg' or 'return'"},
    {"labels: {a: {arg: 0}}", "3: 'arg' must be a whole number from 1 to 12, not '0'"},
    {"labels: {a: {arg: 13}}",
     "3: 'arg' must be a whole number from 1 to 12, not '13'"},
    {"labels: {a: {arg: 1, return: true}}", "3: 'arg' and 'return' exclude each other"},
    {"labels: {a: {return: false}}", "3: 'return' must be true, not 'false'"},
    {"labels: {a: {return: true, type: string}}",
     "3: a label of 'return' cannot be a string"},
    {"labels: {a: {arg: 1, type: text}}",
     "3: 'type' must be string, int, long, unsigned int, unsigned long, int32, int64, "
     "uint32, uint64 or bool, not 'text'"},
    {"labels: {a: {arg: 1, max_values: 10001}}",
     "3: 'max_values' must be a whole number from 1 to 10000, not '10001'"},
    {"labels: {a: {arg: 1, values: {0: b}, max_values: 1}}",
     "3: 'values' and 'max_values' exclude each other"},
    {"labels: {a: {arg: 1, type: string, values: {0: b}}}",
     "3: a label that is a string has no 'values'"},
    {"labels: {a: {arg: 1, values: {}}}", "3: 'values' has no entry"},
    {"labels: {a: {arg: 1, values: {b: c}}}",
     "3: a key of 'values' must be a whole number"},
    {"labels: {a: {arg: 1, values: {1: c, 01: d}}}", "3: 'values' has 1 twice"},
    {"labels: {a: {arg: 1, values: {1: }}}", "3: 'values' has no value"},
    {"labels: {a: {arg: 1, type: bool, values: {2: c}}}",
     "2: label 'a' can never be 2, by its 'type'"},
    {"labels: {a: {arg: 1, type: unsigned int, values: {-1: c}}}",
     "2: label 'a' can never be -1, by its 'type'"},
    {"labels: {a: {arg: 1, values: {2147483648: c}}}",
     "2: label 'a' can never be 2147483648, by its 'type'"},
    {"labels: {a: {arg: 1}, b: {arg: 1}, c: {arg: 1}, d: {arg: 1}, e: {arg: 1}}",
     "2: 5 labels are of arguments or the return, at most 4 can be"},
};

static void each_mistake_names_line_and_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(mistakes); i++) {
		char yaml[512];

		snprintf(yaml, sizeof(yaml), ENTRY("%s"), mistakes[i].more);
		assert_refused(yaml, mistakes[i].error);
	}
}

static void what_an_entry_needs_is_named(void **state)
{
	static const struct {
		const char *entry, *error;
	} cases[] = {
	    {"{" REST "}", "2: a functions entry needs 'metric'"},
	    {"{metric: m, exe: /a}", "2: a functions entry needs 'function'"},
	    {"{metric: m, function: f}", "2: a functions entry needs 'exe', 'lib', "
					 "'pid' or 'service'"},
	    {"f", "2: a functions entry must be a mapping (key: value), not a single "
		  "value"},
	    {"{metric: a:b, " REST "}",
	     "2: 'metric' 'a:b' is not a metric name ([a-zA-Z_][a-zA-Z0-9_]*)"},
	    {"{metric: http_a, " REST "}",
	     "2: 'metric' 'http_a' begins with http_, bpftally_, process_ or scrape_, "
	     "which are taken"},
	    {"{metric: target_info_total, type: counter, " REST "}",
	     "2: 'metric' 'target_info' is taken: every target has one"},
	    {"{metric: m, exe: a, function: f}",
	     "2: 'exe' must be an absolute path, or a glob that begins with '*'"},
	    {"{metric: m, exe: /a, function: 'usdt:a'}",
	     "2: 'function' must be a symbol, a glob, 0xOFFSET or usdt:PROVIDER:NAME, "
	     "not 'usdt:a'"},
	    {"{metric: m, exe: /a, function: 'usdt:a:b'}",
	     "2: a USDT does not return, so there is no 'value: latency'"},
	    {"{metric: m, exe: /a, function: 'usdt:a:b', value: return}",
	     "2: a USDT does not return, so 'value' cannot be of that"},
	    {"{metric: m, exe: /a, function: 'usdt:a:b', value: arg1,"
	     "returns: negative}",
	     "2: a USDT does not return, so there is no 'returns'"},
	    {"{metric: m, exe: /a, function: 'usdt:a:b', value: arg1,"
	     "labels: {a: {return: yes}}}",
	     "2: a USDT does not return, so label 'a' cannot be of that"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char yaml[256];

		snprintf(yaml, sizeof(yaml), "functions:\n- %s\n", cases[i].entry);
		assert_refused(yaml, cases[i].error);
	}
	assert_refused("functions: {metric: m}\n",
		       "1: 'functions' must be a list, not a mapping");
	assert_accepted("functions:\n");
	assert_accepted("functions: []\n");
}

/* `%zu` of item is its index. */
static void check_bound(const char *head, const char *item, const char *tail,
			size_t max, const char *error)
{
	static char yaml[128 * 1024];

	for (size_t count = max; count <= max + 1; count++) {
		size_t len = (size_t)sprintf(yaml, "%s", head);

		for (size_t i = 0; i < count; i++)
			len += (size_t)sprintf(yaml + len, item, i);
		strcpy(yaml + len, tail);
		if (count == max)
			assert_accepted(yaml);
		else
			assert_refused(yaml, error);
	}
}

static void lists_and_texts_end_at_their_bound(void **state)
{
	(void)state;
	check_bound("functions:\n", "- {metric: m%zu, " REST "}\n", "",
		    CONFIG_FUNCTIONS_MAX,
		    "2: 'functions' has 1025 entries, at most 1024 fit");
	check_bound("functions:\n- {metric: m, function: f, exe: [", "/a,", "]}\n", 64,
		    "2: 'exe' has 65 entries, at most 64 fit");
	check_bound("functions:\n- {metric: m, function: f, lib: [", "a,", "]}\n", 64,
		    "2: 'lib' has 65 entries, at most 64 fit");
	check_bound("functions:\n- {metric: m, function: f, pid: [", "1,", "]}\n", 64,
		    "2: 'pid' has 65 entries, at most 64 fit");
	check_bound("functions:\n- {metric: m, function: f, service: [", "a,", "]}\n",
		    64, "2: 'service' has 65 entries, at most 64 fit");
	check_bound("functions:\n- {metric: m, " REST ", buckets: [", "%zu.5,", "]}\n",
		    32, "2: 'buckets' has 33 entries, at most 32 fit");
	check_bound("functions:\n- {metric: m, " REST ", type: summary, quantiles: [",
		    "0.1%.2zu,", "]}\n", 16,
		    "2: 'quantiles' has 17 entries, at most 16 fit");
	check_bound("functions:\n- {metric: m, " REST ", labels: {", "l%zu: a,", "}}\n",
		    16, "2: 'labels' has more than 16 entries");
	check_bound("functions:\n- {metric: m, " REST
		    ", labels: {l: {arg: 1, values: {",
		    "%zu: a,", "}}}}\n", 64, "2: 'values' has more than 64 entries");
	check_bound("functions:\n- {" REST ", metric: ", "a", "}\n", 255,
		    "2: 'metric' 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...' is "
		    "longer than 255 bytes");
	check_bound("functions:\n- {" REST ", type: counter, metric: ", "a",
		    "_total}\n", 255, "2: 'metric' is longer than 261 bytes");
	check_bound("functions:\n- {metric: m, " REST ", help: ", "a", "}\n", 1000,
		    "2: 'help' is longer than 1000 bytes");
	check_bound("functions:\n- {metric: m, function: f, exe: /", "a", "}\n", 4094,
		    "2: 'exe' is longer than 4095 bytes");
	check_bound("functions:\n- {metric: m, exe: /a, function: ", "a", "}\n", 4095,
		    "2: 'function' is longer than 4095 bytes");
	check_bound("functions:\n- {metric: m, " REST ", labels: {l: ", "a", "}}\n",
		    255, "2: 'l' is longer than 255 bytes");
}

/* Of two entries; what is wrong, with %s for where the first is. */
static const struct {
	const char *first, *second, *error;
} beside[] = {
    {"metric: a", "metric: b", NULL},
    {"metric: m, labels: {k: v}", "metric: m, labels: {k: w}", NULL},
    {"metric: m, labels: {k: v, l: {arg: 1}}",
     "metric: m, labels: {l: {arg: 2, type: string}, k: w}", NULL},
    {"metric: m_total, type: counter, labels: {k: v}",
     "metric: m, type: counter, labels: {k: w}", NULL},
    {"metric: m, labels: {k: v}", "metric: m, type: summary, labels: {k: w}",
     "metric 'm' has another 'type' in %s"},
    {"metric: m, help: a, labels: {k: v}", "metric: m, help: b, labels: {k: w}",
     "metric 'm' has another 'help' in %s"},
    {"metric: m, help: a, labels: {k: v}", "metric: m, labels: {k: w}",
     "metric 'm' has another 'help' in %s"},
    {"metric: m, labels: {k: v}", "metric: m, value: arg1, labels: {k: w}",
     "metric 'm' has another 'value' in %s"},
    {"metric: m, labels: {k: v}", "metric: m, buckets: 1, labels: {k: w}",
     "metric 'm' has another 'buckets' in %s"},
    {"metric: m, buckets: 2, labels: {k: v}", "metric: m, buckets: 1, labels: {k: w}",
     "metric 'm' has another 'buckets' in %s"},
    {"metric: m, type: summary, labels: {k: v}",
     "metric: m, type: summary, quantiles: 0.5, labels: {k: w}",
     "metric 'm' has another 'quantiles' in %s"},
    {"metric: m, type: summary, labels: {k: v}",
     "metric: m, type: summary, max_age: 1m, labels: {k: w}",
     "metric 'm' has another 'max_age' in %s"},
    {"metric: m, type: summary, labels: {k: v}",
     "metric: m, type: summary, age_buckets: 2, labels: {k: w}",
     "metric 'm' has another 'age_buckets' in %s"},
    {"metric: m, labels: {k: v}", "metric: m, labels: {k: w, l: x}",
     "metric 'm' has another 'labels' in %s"},
    {"metric: m, labels: {k: v}", "metric: m, labels: {l: w}",
     "metric 'm' has another 'labels' in %s"},
    {"metric: m", "metric: m",
     "metric 'm' would have the series of %s; give both a constant label that "
     "differs"},
    {"metric: m, labels: {k: v}", "metric: m, labels: {k: v}",
     "metric 'm' would have the series of %s; give both a constant label that "
     "differs"},
    {"metric: m, labels: {k: v}", "metric: m, labels: {k: {arg: 1}}",
     "metric 'm' would have the series of %s; give both a constant label that "
     "differs"},
    {"metric: m", "metric: m_sum, type: gauge, value: arg1",
     "metric 'm_sum' has samples named like some of 'm' in %s"},
    {"metric: m_count, type: counter", "metric: m, type: summary",
     "metric 'm' has samples named like some of 'm_count' in %s"},
    {"metric: m_total", "metric: m, type: counter",
     "metric 'm' has samples named like some of 'm_total' in %s"},
    {"metric: m", "metric: m_total, type: gauge, value: arg1", NULL},
};

static void rules_of_one_metric_agree_and_can_be_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(beside); i++) {
		struct loaded loaded;
		char yaml[512], want[256] = "3: ";

		snprintf(yaml, sizeof(yaml),
			 "functions:\n- {" REST ", %s}\n- {" REST ", %s}\n",
			 beside[i].first, beside[i].second);
		load_text(yaml, &loaded);
		if (beside[i].error)
			snprintf(want + 3, sizeof(want) - 3, beside[i].error,
				 loaded.config.functions->where);
		if (strcmp(loaded.error, beside[i].error ? want : "") != 0)
			fail_msg("\n%s\n gave '%s'\n want '%s'", yaml, loaded.error,
				 want);
		config_free(&loaded.config);
	}
}

static void the_command_line_names_functions_and_replaces_the_files(void **state)
{
	char *more[] = {"--function=/bin/shop:shop::checkout",
			"--function=*/shop:usdt:shop:sold", NULL};
	struct loaded loaded;
	const struct config_function *function;

	(void)state;
	load_bytes(ENTRY("help: h"), strlen(ENTRY("help: h")), more, &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.function_count, 2);
	function = &loaded.config.functions[0];
	assert_string_equal(function->where, "--function '/bin/shop:shop::checkout'");
	assert_string_equal(function->metric, "checkout_duration_seconds");
	assert_int_equal(function->type, CONFIG_HISTOGRAM);
	assert_int_equal(function->value, CONFIG_VALUE_LATENCY);
	assert_int_equal(function->exes.count, 1);
	assert_string_equal(function->exes.items[0], "/bin/shop");
	assert_string_equal(function->function, "shop::checkout");
	assert_int_equal(function->bound_count, DURATION_BOUNDS);
	assert_int_equal(function->label_count, 0);
	function = &loaded.config.functions[1];
	assert_string_equal(function->metric, "sold_calls");
	assert_int_equal(function->type, CONFIG_COUNTER);
	assert_int_equal(function->value, CONFIG_VALUE_COUNT);
	assert_string_equal(function->exes.items[0], "*/shop");
	assert_null(function->function);
	assert_string_equal(function->usdt_provider, "shop");
	assert_string_equal(function->usdt_name, "sold");
	config_free(&loaded.config);
}

static void each_mistake_of_the_option_is_one_line(void **state)
{
	static const struct {
		const char *first, *second, *error;
	} cases[] = {
	    {"shop", NULL, "--function 'shop': must be EXE:NAME"},
	    {"shop:f", NULL,
	     "--function 'shop:f': the executable must be an absolute path, or a glob "
	     "that begins with '*'"},
	    {"/a:0xz", NULL,
	     "--function '/a:0xz': the name must be a symbol, a glob, 0xOFFSET or "
	     "usdt:PROVIDER:NAME"},
	    {"/a:usdt:b", NULL,
	     "--function '/a:usdt:b': the name must be a symbol, a glob, 0xOFFSET or "
	     "usdt:PROVIDER:NAME"},
	    {"/a:shop::*", NULL,
	     "--function '/a:shop::*': no metric can be named after it; name one in "
	     "the "
	     "file, under functions"},
	    {"/a:process_order", NULL,
	     "--function '/a:process_order': metric 'process_order_duration_seconds' "
	     "begins with http_, bpftally_, process_ or scrape_, which are taken; name "
	     "one in the file, under functions"},
	    {"/a:f", "/b:f",
	     "--function '/b:f': metric 'f_duration_seconds' would have the series of "
	     "--function '/a:f'; give both a constant label that differs"},
	    {"/a:\x1b[1m:", NULL, "--function '/a:?[1m:': must be EXE:NAME"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char *argv[] = {"bpftally",
				"--function",
				(char *)cases[i].first,
				cases[i].second ? "--function" : NULL,
				(char *)cases[i].second,
				NULL};
		struct loaded loaded;

		load_arguments(argv, &loaded);
		assert_int_equal(loaded.err, -EINVAL);
		assert_string_equal(loaded.error, cases[i].error);
		config_free(&loaded.config);
	}
}

static void every_key_is_documented(void **state)
{
	static const char *const keys[] = {
	    "functions",  "metric",     "help",         "type",     "exe",
	    "lib",        "pid",        "service",      "function", "value",
	    "value_type", "returns",    "returns_type", "labels",   "arg",
	    "return",     "max_values", "values",       "buckets",  "quantiles",
	    "max_age",    "age_buckets"};

	(void)state;
	for (size_t i = 0; i < LENGTH(keys); i++)
		assert_documented(keys[i]);
}

/* The block that is indented, from `functions:` on. */
static void the_documented_example_loads(void **state)
{
	FILE *file = fopen("docs/configuration.md", "re");
	char line[512], yaml[4096] = "";
	struct loaded loaded;

	(void)state;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, "    ", 4) != 0 && *yaml)
			break;
		if (*yaml || !strcmp(line, "    functions:\n"))
			strcat(yaml, line);
	}
	fclose(file);
	load_text(yaml, &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.function_count, 3);
	assert_string_equal(loaded.config.functions[1].metric, "queries_failed");
	config_free(&loaded.config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_metric_and_a_function_are_a_latency_histogram),
	    cmocka_unit_test(every_key_of_an_entry_arrives),
	    cmocka_unit_test(labels_are_constants_arguments_or_the_return),
	    cmocka_unit_test(defaults_follow_type_and_value),
	    cmocka_unit_test(a_summary_has_quantiles_over_a_window),
	    cmocka_unit_test(a_usdt_is_a_provider_and_a_name),
	    cmocka_unit_test(a_counter_is_kept_without_total),
	    cmocka_unit_test(each_mistake_names_line_and_key),
	    cmocka_unit_test(what_an_entry_needs_is_named),
	    cmocka_unit_test(lists_and_texts_end_at_their_bound),
	    cmocka_unit_test(rules_of_one_metric_agree_and_can_be_told_apart),
	    cmocka_unit_test(the_command_line_names_functions_and_replaces_the_files),
	    cmocka_unit_test(each_mistake_of_the_option_is_one_line),
	    cmocka_unit_test(every_key_is_documented),
	    cmocka_unit_test(the_documented_example_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
