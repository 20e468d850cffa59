/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "families.h"
#include "length.h"

/* A rule counts the calls of checkout unless more is said. */
static struct config_function rule_of(const char *metric)
{
	return (struct config_function){
	    .metric = (char *)metric,
	    .type = CONFIG_COUNTER,
	    .value = CONFIG_VALUE_COUNT,
	    .function = (char *)"checkout",
	};
}

static void rules_of_one_metric_share_a_family(void **state)
{
	const struct config_function rules[] = {rule_of("a"), rule_of("b"),
						rule_of("a"), rule_of("c")};
	struct families families = {};

	(void)state;
	assert_int_equal(families_create(rules, 4, 100, &families), 0);
	assert_int_equal(families.count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		const uint32_t first = i == 2 ? 0 : i;

		assert_int_equal(families.firsts[i], first);
		assert_ptr_equal(families.items[i], families.items[first]);
		assert_string_equal(families.items[i]->name, rules[i].metric);
		assert_int_equal(families.items[i]->order, 100 + first);
	}
	families_free(&families);
	assert_null(families.items);
	families_free(&families);
}

static void help_that_was_not_given_says_what_it_is_of(void **state)
{
	static const struct {
		enum config_value_kind value;
		const char *provider, *help;
	} cases[] = {
	    {CONFIG_VALUE_LATENCY, NULL, "Duration of calls of checkout."},
	    {CONFIG_VALUE_COUNT, NULL, "Calls of checkout."},
	    {CONFIG_VALUE_NUMBER, NULL,
	     "A number that was passed to or returned by checkout."},
	    {CONFIG_VALUE_IN_PROGRESS, NULL, "Calls under way of checkout."},
	    {CONFIG_VALUE_COUNT, "shop", "Calls of the probe shop:sold."},
	};
	struct config_function rule = rule_of("x");
	struct families families = {};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		rule.value = cases[i].value;
		rule.usdt_provider = (char *)cases[i].provider;
		rule.usdt_name = (char *)(cases[i].provider ? "sold" : NULL);
		assert_int_equal(families_create(&rule, 1, 0, &families), 0);
		assert_string_equal(families.items[0]->help, cases[i].help);
		families_free(&families);
	}
	rule.help = (char *)"What was sold.";
	assert_int_equal(families_create(&rule, 1, 0, &families), 0);
	assert_string_equal(families.items[0]->help, "What was sold.");
	families_free(&families);
}

static void the_unit_is_the_end_of_the_name(void **state)
{
	static const struct {
		const char *metric, *unit;
	} cases[] = {
	    {"wait_seconds", "seconds"}, {"sent_bytes", "bytes"}, {"seconds", ""},
	    {"bytes_sent", ""},          {"calls", ""},
	};
	struct families families = {};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct config_function rule = rule_of(cases[i].metric);

		assert_int_equal(families_create(&rule, 1, 0, &families), 0);
		assert_string_equal(families.items[0]->unit, cases[i].unit);
		families_free(&families);
	}
}

static void the_type_is_the_rule_s(void **state)
{
	static const struct {
		enum config_metric_type type;
		enum metric_type wanted;
	} cases[] = {{CONFIG_COUNTER, METRIC_COUNTER},
		     {CONFIG_GAUGE, METRIC_GAUGE},
		     {CONFIG_HISTOGRAM, METRIC_HISTOGRAM},
		     {CONFIG_SUMMARY, METRIC_SUMMARY}};
	struct config_function rule = rule_of("x");
	struct families families = {};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		rule.type = cases[i].type;
		assert_int_equal(families_create(&rule, 1, 0, &families), 0);
		assert_int_equal(families.items[0]->type, cases[i].wanted);
		families_free(&families);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rules_of_one_metric_share_a_family),
	    cmocka_unit_test(help_that_was_not_given_says_what_it_is_of),
	    cmocka_unit_test(the_unit_is_the_end_of_the_name),
	    cmocka_unit_test(the_type_is_the_rule_s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
