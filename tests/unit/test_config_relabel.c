/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "config_case.h"
#include "config_internal.h"
#include "length.h"

#define RULES                                                                          \
	"remote_write:\n- url: http://a/\n  write_relabel_configs:\n" /* 3 lines */

static void nothing_given_has_prometheus_defaults(void **state)
{
	const struct config_relabel *rule;
	struct loaded loaded;

	(void)state;
	load_text(RULES "  - target_label: a\n", &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.remote_writes[0].relabel_count, 1);
	rule = loaded.config.remote_writes[0].relabels;
	assert_int_equal(rule->action, CONFIG_REPLACE);
	assert_int_equal(rule->source_labels.count, 0);
	assert_string_equal(rule->separator, ";");
	assert_string_equal(rule->target_label, "a");
	assert_string_equal(rule->regex, "(.*)");
	assert_int_equal(rule->modulus, 0);
	assert_string_equal(rule->replacement, "$1");
	assert_non_null(strstr(rule->where, ":4"));
	config_free(&loaded.config);
}

static void every_key_arrives(void **state)
{
	const struct config_relabel *rule;
	struct loaded loaded;

	(void)state;
	load_text(RULES "  - source_labels: [__name__, le]\n"
			"    separator: /\n"
			"    target_label: ${1}_x\n"
			"    regex: (a|b)/1?\n"
			"    modulus: 18446744073709551615\n"
			"    replacement: <$1>\n"
			"    action: Replace\n"
			"  - {action: drop, source_labels: [a]}\n"
			"- url: http://b/\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.remote_writes[0].relabel_count, 2);
	assert_int_equal(loaded.config.remote_writes[1].relabel_count, 0);
	rule = loaded.config.remote_writes[0].relabels;
	assert_int_equal(rule->source_labels.count, 2);
	assert_string_equal(rule->source_labels.items[0], "__name__");
	assert_string_equal(rule->source_labels.items[1], "le");
	assert_string_equal(rule->separator, "/");
	assert_string_equal(rule->target_label, "${1}_x");
	assert_string_equal(rule->regex, "(a|b)/1?");
	assert_true(rule->modulus == UINT64_MAX);
	assert_string_equal(rule->replacement, "<$1>");
	assert_int_equal(rule->action, CONFIG_REPLACE);
	assert_int_equal(rule[1].action, CONFIG_DROP);
	assert_null(rule[1].target_label);
	config_free(&loaded.config);
}

static void every_action_has_its_name(void **state)
{
	static const struct {
		const char *keys;
		enum config_relabel_action action;
	} cases[] = {
	    {"action: replace, target_label: a", CONFIG_REPLACE},
	    {"action: lowercase, target_label: a", CONFIG_LOWERCASE},
	    {"action: UPPERCASE, target_label: a", CONFIG_UPPERCASE},
	    {"action: keep", CONFIG_KEEP},
	    {"action: drop", CONFIG_DROP},
	    {"action: keepequal, target_label: a", CONFIG_KEEPEQUAL},
	    {"action: dropequal, target_label: a", CONFIG_DROPEQUAL},
	    {"action: hashmod, target_label: a, modulus: 1", CONFIG_HASHMOD},
	    {"action: LabelMap", CONFIG_LABELMAP},
	    {"action: labeldrop", CONFIG_LABELDROP},
	    {"action: labelkeep", CONFIG_LABELKEEP},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct loaded loaded;
		char yaml[256];

		snprintf(yaml, sizeof(yaml), RULES "  - {%s}\n", cases[i].keys);
		load_text(yaml, &loaded);
		assert_string_equal(loaded.error, "");
		assert_int_equal(loaded.config.remote_writes[0].relabels[0].action,
				 cases[i].action);
		config_free(&loaded.config);
	}
}

static void a_value_may_be_empty_where_that_says_something(void **state)
{
	const struct config_relabel *rule;
	struct loaded loaded;

	(void)state;
	load_text(RULES "  - {target_label: a, separator: '', regex: \"\",\n"
			"     replacement: '', source_labels: []}\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	rule = loaded.config.remote_writes[0].relabels;
	assert_string_equal(rule->separator, "");
	assert_string_equal(rule->regex, "");
	assert_string_equal(rule->replacement, "");
	config_free(&loaded.config);
}

static void an_empty_list_has_no_rules(void **state)
{
	(void)state;
	assert_accepted("remote_write: [{url: 'http://a/', "
			"write_relabel_configs: []}]\n");
	assert_accepted(RULES);
}

static void names_and_templates_of_names_are_targets(void **state)
{
	static const char *const targets[] = {"a",     "__a",     "a9_",  "$1",
					      "${1}",  "${1}_x",  "x_$1", "$1$2",
					      "$name", "a${b9}9", "_$1_x"};

	(void)state;
	for (size_t i = 0; i < LENGTH(targets); i++) {
		char yaml[256];

		snprintf(yaml, sizeof(yaml), RULES "  - {target_label: '%s'}\n",
			 targets[i]);
		assert_accepted(yaml);
		snprintf(yaml, sizeof(yaml),
			 RULES "  - {action: labelmap, replacement: '%s'}\n",
			 targets[i]);
		assert_accepted(yaml);
	}
}

static void what_names_no_label_is_no_target(void **state)
{
	static const char *const targets[] = {
	    "a-b", "9a",  "9$1",   "$", "a$", "$$",  "$-",     "${",
	    "${1", "${}", "${1 }", "é", "$é", "a b", "${a-b}", "${1-x"};

	(void)state;
	for (size_t i = 0; i < LENGTH(targets); i++) {
		char yaml[256];

		snprintf(yaml, sizeof(yaml), RULES "  - {target_label: '%s'}\n",
			 targets[i]);
		assert_refused(yaml, "4: 'target_label' of 'replace' must be a label "
				     "name, or like ${1}_total");
		snprintf(yaml, sizeof(yaml),
			 RULES "  - {action: labelmap, replacement: '%s'}\n",
			 targets[i]);
		assert_refused(yaml, "4: 'replacement' of 'labelmap' must be a label "
				     "name, or like $1");
	}
}

static const struct {
	const char *rule, *error;
} refusals[] = {
    {"{}", "4: 'replace' needs 'target_label'"},
    {"{action: lowercase}", "4: 'lowercase' needs 'target_label'"},
    {"{action: uppercase}", "4: 'uppercase' needs 'target_label'"},
    {"{action: keepequal}", "4: 'keepequal' needs 'target_label'"},
    {"{action: dropequal}", "4: 'dropequal' needs 'target_label'"},
    {"{action: hashmod, modulus: 1}", "4: 'hashmod' needs 'target_label'"},
    {"{action: hashmod, target_label: a}", "4: 'hashmod' needs 'modulus', above 0"},
    {"{action: hashmod, target_label: a, modulus: 0}",
     "4: 'hashmod' needs 'modulus', above 0"},
    {"{action: hashmod, target_label: $1, modulus: 1}",
     "4: 'target_label' of 'hashmod' must be a label name"},
    {"{action: lowercase, target_label: $1}",
     "4: 'target_label' of 'lowercase' must be a label name"},
    {"{action: keepequal, target_label: a-b}",
     "4: 'target_label' of 'keepequal' must be a label name"},
    {"{action: lowercase, target_label: a, replacement: b}",
     "4: 'lowercase' takes no 'replacement'"},
    {"{action: dropequal, target_label: a, replacement: b}",
     "4: 'dropequal' takes no 'replacement'"},
    {"{action: dropequal, target_label: a, regex: b}",
     "4: 'dropequal' takes no 'regex'"},
    {"{action: keepequal, target_label: a, separator: b}",
     "4: 'keepequal' takes no 'separator'"},
    {"{action: keepequal, target_label: a, modulus: 2}",
     "4: 'keepequal' takes no 'modulus'"},
    {"{action: labelmap, replacement: ''}",
     "4: 'replacement' of 'labelmap' must be a label name, or like $1"},
    {"{action: labeldrop, source_labels: [a]}",
     "4: 'labeldrop' takes no 'source_labels'"},
    {"{action: labeldrop, target_label: a}", "4: 'labeldrop' takes no 'target_label'"},
    {"{action: labelkeep, replacement: a}", "4: 'labelkeep' takes no 'replacement'"},
    {"{action: labelkeep, separator: a}", "4: 'labelkeep' takes no 'separator'"},
    {"{action: labelkeep, modulus: 1}", "4: 'labelkeep' takes no 'modulus'"},
    {"{action: remove}",
     "4: 'action' must be replace, lowercase, uppercase, keep, drop, keepequal, "
     "dropequal, hashmod, labelmap, labeldrop or labelkeep, not 'remove'"},
    {"{source_labels: a}", "4: 'source_labels' must be a list, not 'a'"},
    {"{source_labels: [a-b]}", "4: 'source_labels' must be names of labels, not 'a-b'"},
    {"{source_labels: ['']}", "4: 'source_labels' has no value"},
    {"{target_label: ''}", "4: 'target_label' has no value"},
    {"{separator: }", "4: 'separator' has no value"},
    {"{replacement: ~}", "4: 'replacement' has no value"},
    {"{modulus: -1}", "4: 'modulus' must be a whole number below 2^64, not '-1'"},
    {"{modulus: 18446744073709551616}", "4: 'modulus' must be a whole number below "
					"2^64, not '18446744073709551616'"},
    {"{regex: 'a(b'}", "4: 'regex' 'a(b' cannot be read: missing closing parenthesis "
		       "at offset 3"},
    {"{regex: ['a']}", "4: 'regex' must be a single value, not a list"},
    {"{regexp: a}", "4: unknown key 'regexp' in a relabelling rule (did you mean "
		    "'regex'?)"},
    {"a", "4: a relabelling rule must be a mapping (key: value), not a single value"},
};

static void what_prometheus_refuses_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(refusals); i++) {
		char yaml[256];

		snprintf(yaml, sizeof(yaml), RULES "  - %s\n", refusals[i].rule);
		assert_refused(yaml, refusals[i].error);
	}
	assert_refused("remote_write:\n- url: http://a/\n"
		       "  write_relabel_configs: {action: drop}\n",
		       "3: 'write_relabel_configs' must be a list, not a mapping");
}

static void an_error_does_not_show_what_a_variable_held(void **state)
{
	(void)state;
	setenv("BPFTALLY_TEST_REGEX", "geheim(", 1);
	assert_refused(RULES "  - regex: ${env:BPFTALLY_TEST_REGEX}\n",
		       "4: 'regex' '${env:BPFTALLY_TEST_REGEX}' cannot be read: "
		       "missing closing parenthesis at offset 7");
	assert_refused(RULES "  - target_label: ${env:BPFTALLY_TEST_REGEX}\n",
		       "4: 'target_label' of 'replace' must be a label name, or like "
		       "${1}_total");
}

/* `count` times item, in what is given. */
static char *repeated(const char *before, const char *item, size_t count,
		      const char *after)
{
	char *text = malloc(strlen(before) + count * strlen(item) + strlen(after) + 1);
	char *at = text;

	assert_non_null(text);
	at += sprintf(at, "%s", before);
	while (count--)
		at += sprintf(at, "%s", item);
	sprintf(at, "%s", after);
	return text;
}

static void lists_are_bounded(void **state)
{
	char *most = repeated(RULES, "  - action: drop\n", 64, "");
	char *more = repeated(RULES, "  - action: drop\n", 65, "");
	char *most_labels =
	    repeated(RULES "  - {action: drop, source_labels: [", "a,", 64, "]}\n");
	char *more_labels =
	    repeated(RULES "  - {action: drop, source_labels: [", "a,", 65, "]}\n");

	(void)state;
	assert_accepted(most);
	assert_refused(more,
		       "4: 'write_relabel_configs' has 65 entries, at most 64 fit");
	assert_accepted(most_labels);
	assert_refused(more_labels,
		       "4: 'source_labels' has 65 entries, at most 64 fit");
	free(most);
	free(more);
	free(most_labels);
	free(more_labels);
}

static void every_key_is_documented(void **state)
{
	static const char *const names[] = {"write_relabel_configs",
					    "source_labels",
					    "separator",
					    "target_label",
					    "regex",
					    "modulus",
					    "replacement",
					    "action",
					    "replace",
					    "lowercase",
					    "uppercase",
					    "keep",
					    "drop",
					    "keepequal",
					    "dropequal",
					    "hashmod",
					    "labelmap",
					    "labeldrop",
					    "labelkeep"};

	(void)state;
	for (size_t i = 0; i < LENGTH(names); i++)
		assert_documented(names[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_given_has_prometheus_defaults),
	    cmocka_unit_test(every_key_arrives),
	    cmocka_unit_test(every_action_has_its_name),
	    cmocka_unit_test(a_value_may_be_empty_where_that_says_something),
	    cmocka_unit_test(an_empty_list_has_no_rules),
	    cmocka_unit_test(names_and_templates_of_names_are_targets),
	    cmocka_unit_test(what_names_no_label_is_no_target),
	    cmocka_unit_test(what_prometheus_refuses_is_refused),
	    cmocka_unit_test(an_error_does_not_show_what_a_variable_held),
	    cmocka_unit_test(lists_are_bounded),
	    cmocka_unit_test(every_key_is_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
