/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_rule.h"
#include "length.h"

static void a_value_is_a_word_or_numbers(void **state)
{
	static const struct {
		const char *text;
		enum config_value_kind kind;
		struct config_operand operand, minus;
	} cases[] = {
	    {"latency", CONFIG_VALUE_LATENCY, {0}, {0}},
	    {"count", CONFIG_VALUE_COUNT, {0}, {0}},
	    {"in_progress", CONFIG_VALUE_IN_PROGRESS, {0}, {0}},
	    {"return", CONFIG_VALUE_NUMBER, {.is_return = true}, {0}},
	    {"arg1", CONFIG_VALUE_NUMBER, {.argument = 1}, {0}},
	    {"arg12", CONFIG_VALUE_NUMBER, {.argument = 12}, {0}},
	    {"(arg2 - arg1)", CONFIG_VALUE_NUMBER, {.argument = 2}, {.argument = 1}},
	    {"( arg2-arg1 )", CONFIG_VALUE_NUMBER, {.argument = 2}, {.argument = 1}},
	    {"(return - arg1)",
	     CONFIG_VALUE_NUMBER,
	     {.is_return = true},
	     {.argument = 1}},
	    {"(arg1 - return)",
	     CONFIG_VALUE_NUMBER,
	     {.argument = 1},
	     {.is_return = true}},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct config_function function = {.value = RULE_VALUE_DEFAULT};

		if (!rule_parse_value(cases[i].text, &function))
			fail_msg("'%s' is refused", cases[i].text);
		assert_int_equal(function.value, cases[i].kind);
		assert_int_equal(function.operand.argument, cases[i].operand.argument);
		assert_int_equal(function.operand.is_return,
				 cases[i].operand.is_return);
		assert_int_equal(function.minus.argument, cases[i].minus.argument);
		assert_int_equal(function.minus.is_return, cases[i].minus.is_return);
	}
}

static void any_other_value_is_none(void **state)
{
	static const char *const cases[] = {
	    "",
	    "Latency",
	    "latency ",
	    "arg",
	    "arg0",
	    "arg01",
	    "arg13",
	    "arg99999999999999999999",
	    "arg1x",
	    "return1",
	    "arg2 - arg1",
	    "(arg2 - arg1",
	    "(arg2)",
	    "(arg2 -)",
	    "(- arg1)",
	    "(arg2 + arg1)",
	    "(arg2 - arg1))",
	    "(arg3 - arg2 - arg1)",
	    "((arg2 - arg1))",
	    "()",
	    "(",
	    "(latency - arg1)",
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct config_function function = {.value = RULE_VALUE_DEFAULT};

		if (rule_parse_value(cases[i], &function))
			fail_msg("'%s' is taken", cases[i]);
		assert_int_equal(function.value, RULE_VALUE_DEFAULT);
		assert_int_equal(function.operand.argument, 0);
	}
}

static void a_target_is_a_function_or_a_usdt(void **state)
{
	static const struct {
		const char *text;
		int err;
		const char *function, *provider, *name;
	} cases[] = {
	    {"main", 0, "main", NULL, NULL},
	    {"shop::check*", 0, "shop::check*", NULL, NULL},
	    {"0x12aF", 0, "0x12aF", NULL, NULL},
	    {"0x0123456789abcdef", 0, "0x0123456789abcdef", NULL, NULL},
	    {"usdt:python:function__entry", 0, NULL, "python", "function__entry"},
	    {"usdt", 0, "usdt", NULL, NULL},
	    {"", -EINVAL, NULL, NULL, NULL},
	    {"0x", -EINVAL, NULL, NULL, NULL},
	    {"0x1g", -EINVAL, NULL, NULL, NULL},
	    {"0x10123456789abcdef", -EINVAL, NULL, NULL, NULL},
	    {"usdt:", -EINVAL, NULL, NULL, NULL},
	    {"usdt:a", -EINVAL, NULL, NULL, NULL},
	    {"usdt:a:", -EINVAL, NULL, NULL, NULL},
	    {"usdt::a", -EINVAL, NULL, NULL, NULL},
	    {"usdt:a:b:c", -EINVAL, NULL, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct config_function function = {0};

		assert_int_equal(rule_parse_target(cases[i].text, &function),
				 cases[i].err);
		assert_int_equal(!function.function, !cases[i].function);
		assert_int_equal(!function.usdt_provider, !cases[i].provider);
		assert_int_equal(!function.usdt_name, !cases[i].name);
		if (cases[i].function)
			assert_string_equal(function.function, cases[i].function);
		if (cases[i].provider)
			assert_string_equal(function.usdt_provider, cases[i].provider);
		if (cases[i].name)
			assert_string_equal(function.usdt_name, cases[i].name);
		free(function.function);
		free(function.usdt_provider);
		free(function.usdt_name);
	}
}

static void exe_and_name_part_at_the_last_colon_that_can_do_it(void **state)
{
	static const struct {
		const char *text, *name; /* NULL: does not part */
	} cases[] = {
	    {"/bin/shop:main", "main"},
	    {"/bin/shop:0x1234", "0x1234"},
	    {"/bin/shop:shop::checkout", "shop::checkout"},
	    {"/bin/shop:shop::*", "shop::*"},
	    {"/bin/shop:f[abi:cxx11](int)", "f[abi:cxx11](int)"},
	    {"/bin/shop:::checkout", NULL}, /* no name begins with "::" */
	    {"/bin/shop:main.(*Cart).Add", "main.(*Cart).Add"},
	    {"/bin/shop:net/http.HandlerFunc.ServeHTTP",
	     "net/http.HandlerFunc.ServeHTTP"},
	    {"/bin/shop:<a::B as c::D>::run", "<a::B as c::D>::run"},
	    {"/a:b/shop:main", "main"},
	    {"/a:b/shop:net/http.Get", "net/http.Get"},
	    {"/bin/shop:usdt:p:n", "usdt:p:n"},
	    {"/a:b/shop:usdt:p:n", "usdt:p:n"},
	    {"/bin/shop:usdt:p", "usdt:p"}, /* its name is refused later */
	    {"/bin/shop:", NULL},
	    {"/bin/shop:main:", NULL},
	    {"/bin/shop", NULL},
	    {"/a:b/shop", NULL}, /* b/shop can be no function */
	    {"/bin/shop::checkout", NULL},
	    {":main", NULL},
	    {":usdt:p:n", NULL},
	    {":", NULL},
	    {"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const char *colon = rule_split(cases[i].text);

		if (!cases[i].name != !colon)
			fail_msg("'%s' parts at '%s'", cases[i].text,
				 colon ? colon : "nothing");
		if (colon)
			assert_string_equal(colon + 1, cases[i].name);
	}
}

static void a_metric_is_named_after_the_last_part_of_a_name(void **state)
{
	static const struct {
		const char *name, *metric; /* NULL: cannot be */
		bool is_usdt;
	} cases[] = {
	    {"checkout", "checkout_duration_seconds", false},
	    {"shop::checkout", "checkout_duration_seconds", false},
	    {"shop::Cart<std::pair<a, b>>::add(std::string, int)",
	     "add_duration_seconds", false},
	    {"(anonymous namespace)::run()", "run_duration_seconds", false},
	    {"to_string[abi:cxx11](int)", "to_string_duration_seconds", false},
	    {"shop::Cart::~Cart()", "_Cart_duration_seconds", false},
	    {"shop::operator<<(a::b&)", "operator_duration_seconds", false},
	    {"<shop::Cart as shop::Sell>::sell", "sell_duration_seconds", false},
	    {"main.(*Cart).Add", "Add_duration_seconds", false},
	    {"net/http.HandlerFunc.ServeHTTP", "ServeHTTP_duration_seconds", false},
	    {"slices.Sort[go.shape.int]", "Sort_duration_seconds", false},
	    {"main.caf\xc3\xa9", "caf___duration_seconds", false},
	    {"get*", "get__duration_seconds", false},
	    {"a-b", "a_b_duration_seconds", false},
	    {"_start", "_start_duration_seconds", false},
	    {"0x1f", "_0x1f_duration_seconds", false},
	    {"query__start", "query__start_calls", true},
	    {"gc.start", "gc_start_calls", true},
	    {"shop::*", NULL, false},
	    {"shop.", NULL, false},
	    {"main.(*Cart)", NULL, false},
	    {"_", NULL, false},
	    {"*", NULL, true},
	};
	char metric[RULE_METRIC_LEN], name[RULE_METRIC_LEN] = "";

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		bool named =
		    rule_derive_metric(cases[i].name, cases[i].is_usdt, metric);

		if (named != (cases[i].metric != NULL))
			fail_msg("'%s' gave %d", cases[i].name, named);
		if (named)
			assert_string_equal(metric, cases[i].metric);
	}
	memset(name, 'a', RULE_METRIC_LEN - 1 - strlen("_duration_seconds"));
	assert_true(rule_derive_metric(name, false, metric));
	assert_int_equal(strlen(metric), RULE_METRIC_LEN - 1);
	strcat(name, "a");
	assert_false(rule_derive_metric(name, false, metric));
}

static void names_that_are_taken_or_none_are_refused(void **state)
{
	static const char *const taken[] = {
	    "begins with http_, bpftally_, process_ or scrape_, which are taken",
	    "is taken: every target has one",
	    "is not a metric name ([a-zA-Z_][a-zA-Z0-9_]*)",
	};
	static const struct {
		const char *metric, *problem;
	} cases[] = {
	    {"a", NULL},
	    {"_A_9", NULL},
	    {"__a", NULL},
	    {"https_total", NULL},
	    {"target_information", NULL},
	    {"upper", NULL},
	    {"http_calls", taken[0]},
	    {"bpftally_calls", taken[0]},
	    {"process_calls", taken[0]},
	    {"scrape_duration_seconds", taken[0]},
	    {"target_info", taken[1]},
	    {"up", taken[1]},
	    {"", taken[2]},
	    {"9a", taken[2]},
	    {"a:b", taken[2]},
	    {"a-b", taken[2]},
	    {"caf\xc3\xa9", taken[2]},
	};
	char metric[RULE_METRIC_LEN + 1] = "";

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const char *problem = rule_metric_problem(cases[i].metric);

		assert_int_equal(!problem, !cases[i].problem);
		if (problem)
			assert_string_equal(problem, cases[i].problem);
	}
	memset(metric, 'a', RULE_METRIC_LEN - 1);
	assert_null(rule_metric_problem(metric));
	strcat(metric, "a");
	assert_string_equal(rule_metric_problem(metric), "is longer than 255 bytes");
	assert_null(rule_label_problem("tier"));
	assert_non_null(rule_label_problem("le"));
	assert_non_null(rule_label_problem("quantile"));
	assert_non_null(rule_label_problem("__name__"));
	assert_non_null(rule_label_problem("a-b"));
	assert_null(rule_exe_problem("/a"));
	assert_null(rule_exe_problem("*/a"));
	assert_non_null(rule_exe_problem("./a"));
	assert_null(rule_lib_problem("libpq.so.5"));
	assert_null(rule_lib_problem("*/libpq*"));
	assert_non_null(rule_lib_problem("lib/libpq.so.5"));
}

static const char *const type_names[] = {"histogram", "counter", "gauge", "summary"};

/* docs/configuration.md has this table. */
static const struct {
	const char *value;
	const char *function; /* first letters of the types that it goes with */
	const char *returns;  /* the same with `returns` */
	const char *usdt;
} together[] = {
    {NULL, "hcs", "hcs", "c"},
    {"latency", "hs", "hs", ""},
    {"count", "c", "c", "c"},
    {"in_progress", "g", "", ""},
    {"return", "hcgs", "hcgs", ""},
    {"arg6", "hcgs", "hcgs", "hcgs"},
    {"arg7", "", "", "hcgs"},
    {"(arg2 - arg1)", "hcgs", "hcgs", "hcgs"},
    {"(arg2 - arg7)", "", "", "hcgs"},
    {"(return - arg1)", "hcgs", "hcgs", ""},
    {"(arg1 - return)", "hcgs", "hcgs", ""},
};

static void check_together(size_t i, enum config_metric_type type, bool returns,
			   bool usdt, bool want)
{
	char *exe = "/a", *name = "n", problem[RULE_PROBLEM_LEN] = "";
	struct config_function function = {
	    .type = type,
	    .exes = {&exe, 1},
	    .usdt_name = usdt ? name : NULL,
	    .value = RULE_VALUE_DEFAULT,
	    .number = RULE_NUMBER_DEFAULT,
	    .condition_number = RULE_NUMBER_DEFAULT,
	    .condition = returns ? CONFIG_RETURN_NEGATIVE : CONFIG_ALWAYS,
	};
	bool taken;

	if (together[i].value)
		assert_true(rule_parse_value(together[i].value, &function));
	taken = rule_complete(&function, problem);
	if (taken != want)
		fail_msg("%s of %s, returns %d, usdt %d: %d '%s'", type_names[type],
			 together[i].value, returns, usdt, taken, problem);
	assert_int_equal(!*problem, taken);
	free(function.bounds);
	free(function.quantiles);
}

static void every_combination_is_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(together); i++) {
		for (size_t type = 0; type < LENGTH(type_names); type++) {
			char letter = *type_names[type];

			check_together(i, type, false, false,
				       strchr(together[i].function, letter));
			check_together(i, type, true, false,
				       strchr(together[i].returns, letter));
			check_together(i, type, false, true,
				       strchr(together[i].usdt, letter));
			check_together(i, type, true, true, false);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_value_is_a_word_or_numbers),
	    cmocka_unit_test(any_other_value_is_none),
	    cmocka_unit_test(a_target_is_a_function_or_a_usdt),
	    cmocka_unit_test(exe_and_name_part_at_the_last_colon_that_can_do_it),
	    cmocka_unit_test(a_metric_is_named_after_the_last_part_of_a_name),
	    cmocka_unit_test(names_that_are_taken_or_none_are_refused),
	    cmocka_unit_test(every_combination_is_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
