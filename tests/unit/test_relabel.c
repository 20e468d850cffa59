/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "length.h"
#include "relabel.h"

#define LABELS_MAX 300
#define FROM(...)                                                                      \
	.source_labels = {(char *[]){__VA_ARGS__},                                     \
			  sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)}
#define RULE(...) ((struct config_relabel){__VA_ARGS__})

struct labels {
	struct label items[LABELS_MAX];
	size_t count;
	char text[2048];
};

/* With the defaults of config_relabel.c; one at a time. */
static struct relabel *create(const struct config_relabel *rules, size_t count)
{
	static struct config_relabel filled[8];
	struct relabel *relabel = NULL;

	assert_in_range(count, 0, LENGTH(filled));
	for (size_t i = 0; i < count; i++) {
		struct config_relabel *rule = &filled[i];

		*rule = rules[i];
		rule->where = "a.yaml:1";
		rule->separator = rule->separator ? rule->separator : ";";
		rule->regex = rule->regex ? rule->regex : "(.*)";
		rule->replacement = rule->replacement ? rule->replacement : "$1";
	}
	assert_int_equal(relabel_create(filled, count, &relabel), 0);
	return relabel;
}

/* "a=1 b=2", sorted. */
static void parse(const char *text, struct labels *ret_labels)
{
	char *rest;

	ret_labels->count = 0;
	snprintf(ret_labels->text, sizeof(ret_labels->text), "%s", text);
	rest = ret_labels->text;
	while (*rest) {
		struct label *label = &ret_labels->items[ret_labels->count++];

		label->name = strsep(&rest, "=");
		label->value = strsep(&rest, " ");
		if (!rest)
			break;
	}
}

/* "dropped", or as parse has it. */
static void apply(struct relabel *relabel, const char *text, char *ret_text)
{
	const struct label *labels;
	struct labels given;
	size_t count;

	parse(text, &given);
	strcpy(ret_text, "dropped");
	if (!relabel_apply(relabel, given.items, given.count, &labels, &count))
		return;
	*ret_text = '\0';
	for (size_t i = 0; i < count; i++) {
		ret_text += sprintf(ret_text, "%s%s=%s", i ? " " : "", labels[i].name,
				    labels[i].value);
	}
}

static void assert_relabelled(const struct config_relabel *rules, size_t count,
			      const char *text, const char *expected)
{
	struct relabel *relabel = create(rules, count);
	char result[2048];

	apply(relabel, text, result);
	assert_string_equal(result, expected);
	assert_int_equal(relabel_failures(relabel), 0);
	relabel_free(&relabel);
	assert_null(relabel);
}

struct one {
	struct config_relabel rule;
	const char *text, *expected;
};

static void assert_each(const struct one *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_relabelled(&cases[i].rule, 1, cases[i].text, cases[i].expected);
}

static void no_rule_changes_nothing(void **state)
{
	(void)state;
	assert_relabelled(NULL, 0, "__name__=m a=1", "__name__=m a=1");
	assert_relabelled(NULL, 0, "", "dropped");
}

static void replace_sets_what_the_groups_hold(void **state)
{
	const struct one cases[] = {
	    {RULE(FROM("a"), .target_label = "b"), "a=1", "a=1 b=1"},
	    {RULE(FROM("a"), .target_label = "a", .replacement = "x"), "a=1", "a=x"},
	    {RULE(FROM("a"), .target_label = "Z"), "a=1", "Z=1 a=1"},
	    {RULE(FROM("b", "a"), .target_label = "c"), "a=1 b=2", "a=1 b=2 c=2;1"},
	    {RULE(FROM("a", "b"), .target_label = "c", .separator = ""), "a=1 b=2",
	     "a=1 b=2 c=12"},
	    {RULE(FROM("x", "a", "y"), .target_label = "c"), "a=1", "a=1 c=;1;"},
	    {RULE(FROM("a"), .target_label = "c", .regex = "2"), "a=1", "a=1"},
	    {RULE(FROM("a"), .target_label = "c", .regex = "(1)|(2)",
		  .replacement = "[$1$2]"),
	     "a=2", "a=2 c=[2]"},
	    {RULE(FROM("a"), .regex = "(.)(.)", .target_label = "${2}_x",
		  .replacement = "$1"),
	     "a=ab", "a=ab b_x=a"},
	    {RULE(.target_label = "c", .replacement = "x"), "a=1", "a=1 c=x"},
	    {RULE(FROM("a"), .target_label = "__tmp"), "a=1", "__tmp=1 a=1"},
	    {RULE(FROM("a"), .target_label = "__name__"), "__name__=m a=n",
	     "__name__=n a=n"},
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

static void an_empty_value_removes_the_label(void **state)
{
	const struct one cases[] = {
	    {RULE(.target_label = "a", .replacement = ""), "a=1 b=2", "b=2"},
	    {RULE(FROM("x"), .target_label = "a"), "a=1 b=2", "b=2"},
	    {RULE(.target_label = "x", .replacement = ""), "a=1", "a=1"},
	    {RULE(FROM("x"), .action = CONFIG_LOWERCASE, .target_label = "a"),
	     "a=1 b=2", "b=2"},
	    {RULE(.target_label = "a", .replacement = ""), "a=1", "dropped"},
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

static void a_name_that_is_none_is_not_set(void **state)
{
	const struct one cases[] = {
	    {RULE(FROM("a"), .target_label = "$1", .replacement = "x"), "a=1b", "a=1b"},
	    {RULE(FROM("a"), .target_label = "$1", .replacement = "x"), "a=b-c",
	     "a=b-c"},
	    {RULE(FROM("b"), .target_label = "$1", .replacement = "x"), "a=1", "a=1"},
	    {RULE(FROM("a"), .target_label = "$1", .replacement = "x"), "a=b",
	     "a=b b=x"},
	    {RULE(.action = CONFIG_LABELMAP, .regex = "a(.*)"), "a=1 a1=2 ab=3",
	     "a=1 a1=2 ab=3 b=3"},
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

static void letters_change_their_case(void **state)
{
	const struct one cases[] = {
	    {RULE(FROM("a"), .action = CONFIG_LOWERCASE, .target_label = "a"), "a=GeÄ",
	     "a=geä"},
	    {RULE(FROM("a", "b"), .action = CONFIG_UPPERCASE, .target_label = "c"),
	     "a=x b=é", "a=x b=é c=X;É"},
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

static void keep_and_drop_judge_the_whole_value(void **state)
{
	const struct one cases[] = {
	    {RULE(FROM("a"), .action = CONFIG_KEEP, .regex = "1"), "a=1", "a=1"},
	    {RULE(FROM("a"), .action = CONFIG_KEEP, .regex = "1"), "a=12", "dropped"},
	    {RULE(FROM("b"), .action = CONFIG_KEEP, .regex = ""), "a=1", "a=1"},
	    {RULE(FROM("b"), .action = CONFIG_KEEP, .regex = ".+"), "a=1", "dropped"},
	    {RULE(FROM("a"), .action = CONFIG_DROP, .regex = "1"), "a=1", "dropped"},
	    {RULE(FROM("a"), .action = CONFIG_DROP, .regex = "1"), "a=12", "a=12"},
	    {RULE(FROM("a", "b"), .action = CONFIG_DROP, .regex = "1;2"), "a=1 b=2",
	     "dropped"},
	    {RULE(.action = CONFIG_DROP), "a=1", "dropped"},
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

static void keepequal_and_dropequal_compare_labels(void **state)
{
	const struct config_relabel keep = RULE(FROM("a"), .action = CONFIG_KEEPEQUAL,
						.target_label = "b"),
				    drop = RULE(FROM("a"), .action = CONFIG_DROPEQUAL,
						.target_label = "b"),
				    both =
					RULE(FROM("a", "c"), .action = CONFIG_KEEPEQUAL,
					     .target_label = "b");
	const struct one cases[] = {
	    {keep, "a=1 b=1", "a=1 b=1"},
	    {keep, "a=1 b=12", "dropped"},
	    {keep, "a=1", "dropped"},
	    {keep, "c=1", "c=1"},
	    {drop, "a=1 b=1", "dropped"},
	    {drop, "a=1 b=12", "a=1 b=12"},
	    {drop, "a=1", "a=1"},
	    {drop, "c=1", "dropped"},
	    {both, "a=1 b=1;2 c=2", "a=1 b=1;2 c=2"},
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

/* What `printf %s VALUE | md5sum` says, its last 16 digits. */
static void hashmod_is_of_the_last_half_of_md5(void **state)
{
	const struct one cases[] = {
	    /* 900150983cd24fb0 d6963f7d28e17f72 */
	    {RULE(FROM("a"), .action = CONFIG_HASHMOD, .target_label = "h",
		  .modulus = UINT64_MAX),
	     "a=abc", "a=abc h=15462616177412505458"},
	    {RULE(FROM("a"), .action = CONFIG_HASHMOD, .target_label = "h",
		  .modulus = 1000),
	     "a=abc", "a=abc h=458"},
	    {RULE(FROM("a"), .action = CONFIG_HASHMOD, .target_label = "h",
		  .modulus = 1),
	     "a=abc", "a=abc h=0"},
	    /* d41d8cd98f00b204 e9800998ecf8427e */
	    {RULE(.action = CONFIG_HASHMOD, .target_label = "h", .modulus = 10),
	     "a=abc", "a=abc h=8"},
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

static void labelmap_copies_under_other_names(void **state)
{
	const struct one cases[] = {
	    {RULE(.action = CONFIG_LABELMAP, .regex = "__x_(.+)"),
	     "__x_a=1 __x_b=2 c=3", "__x_a=1 __x_b=2 a=1 b=2 c=3"},
	    {RULE(.action = CONFIG_LABELMAP, .regex = "a|b",
		  .replacement = "to_${0}_x"),
	     "a=1 b=2 c=3", "a=1 b=2 c=3 to_a_x=1 to_b_x=2"},
	    /* The last one wins; what it sets is not looked at. */
	    {RULE(.action = CONFIG_LABELMAP, .regex = ".*", .replacement = "c"),
	     "a=1 b=2", "a=1 b=2 c=2"},
	    {RULE(.action = CONFIG_LABELMAP, .regex = "(.)x?", .replacement = "${1}x"),
	     "a=1", "a=1 ax=1"},
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

static void a_label_that_a_rule_set_is_mapped_last(void **state)
{
	const struct config_relabel rules[] = {
	    RULE(.target_label = "b", .replacement = "new"),
	    RULE(.action = CONFIG_LABELMAP, .regex = "[a-z]", .replacement = "to"),
	};
	const struct config_relabel again[] = {
	    rules[0],
	    RULE(.target_label = "d", .replacement = "later"),
	    RULE(.target_label = "b", .replacement = "newer"),
	    rules[1],
	};

	(void)state;
	assert_relabelled(rules, 2, "a=1 b=2 c=3", "a=1 b=new c=3 to=new");
	assert_relabelled(again, 4, "a=1 b=2", "a=1 b=newer d=later to=later");
}

static void labeldrop_and_labelkeep_judge_names(void **state)
{
	const struct one cases[] = {
	    {RULE(.action = CONFIG_LABELDROP, .regex = "b.*"), "a=1 b=2 bb=3 c=4",
	     "a=1 c=4"},
	    {RULE(.action = CONFIG_LABELDROP, .regex = "x"), "a=1", "a=1"},
	    {RULE(.action = CONFIG_LABELDROP), "a=1 b=2", "dropped"},
	    {RULE(.action = CONFIG_LABELKEEP, .regex = "__name__|b"),
	     "__name__=m a=1 b=2 bb=3", "__name__=m b=2"},
	    {RULE(.action = CONFIG_LABELKEEP, .regex = "x"), "a=1", "dropped"},
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

static void rules_see_what_the_ones_before_left(void **state)
{
	const struct config_relabel rules[] = {
	    RULE(FROM("a"), .regex = "(.*)/.*", .target_label = "__tmp"),
	    RULE(FROM("__tmp"), .action = CONFIG_KEEP, .regex = "shop"),
	    RULE(FROM("__tmp"), .action = CONFIG_UPPERCASE, .target_label = "__tmp"),
	    RULE(FROM("__tmp"), .target_label = "B", .replacement = "<$1>"),
	    RULE(.action = CONFIG_LABELDROP, .regex = "__tmp|a"),
	};

	(void)state;
	assert_relabelled(rules, LENGTH(rules), "a=shop/x c=1", "B=<SHOP> c=1");
	assert_relabelled(rules, LENGTH(rules), "a=other/x c=1", "dropped");
}

/* Prometheus strips them from targets, but from nothing that it writes. */
static void temporary_labels_are_not_taken_away(void **state)
{
	const struct config_relabel rule = RULE(FROM("a"), .target_label = "__tmp");

	(void)state;
	assert_relabelled(&rule, 1, "__name__=m __x=1 a=2",
			  "__name__=m __tmp=2 __x=1 a=2");
}

static void one_call_leaves_nothing_to_the_next(void **state)
{
	const struct config_relabel rules[] = {
	    RULE(FROM("a"), .target_label = "b", .replacement = "<$1>"),
	    RULE(FROM("c"), .action = CONFIG_DROP, .regex = ".+"),
	};
	struct relabel *relabel = create(rules, LENGTH(rules));
	char result[256];

	(void)state;
	for (size_t i = 0; i < 100000; i++) { /* more than any buffer */
		apply(relabel, "a=1", result);
		assert_string_equal(result, "a=1 b=<1>");
	}
	apply(relabel, "a=2 c=3", result);
	assert_string_equal(result, "dropped");
	apply(relabel, "d=4", result);
	assert_string_equal(result, "b=<> d=4");
	relabel_free(&relabel);
}

/* A label of so many bytes, and what becomes of it. */
static bool is_kept(const struct config_relabel *rule, size_t len, size_t failures)
{
	char *value = malloc(len + 1);
	struct label label = {"a", value};
	const struct label *labels;
	struct relabel *relabel = create(rule, 1);
	size_t count;
	bool kept;

	assert_non_null(value);
	memset(value, 'x', len);
	value[len] = '\0';
	kept = relabel_apply(relabel, &label, 1, &labels, &count);
	assert_int_equal(relabel_failures(relabel), failures);
	relabel_free(&relabel);
	free(value);
	return kept;
}

static void a_value_beyond_its_bound_drops_the_series(void **state)
{
	const struct config_relabel copy = RULE(FROM("a"), .target_label = "b"),
				    longer = RULE(FROM("a"), .target_label = "b",
						  .replacement = "${1}y"),
				    joined = RULE(FROM("a", "b"), .target_label = "c",
						  .replacement = "c"),
				    upper = RULE(FROM("a"), .action = CONFIG_UPPERCASE,
						 .target_label = "b"),
				    judged = RULE(FROM("a"), .action = CONFIG_KEEP),
				    other = RULE(FROM("b"), .target_label = "c",
						 .replacement = "c");

	(void)state;
	assert_true(is_kept(&copy, RELABEL_VALUE_MAX, 0));
	assert_false(is_kept(&copy, RELABEL_VALUE_MAX + 1, 1));
	assert_true(is_kept(&longer, RELABEL_VALUE_MAX - 1, 0));
	assert_false(is_kept(&longer, RELABEL_VALUE_MAX, 1));
	assert_true(is_kept(&joined, RELABEL_VALUE_MAX - 1, 0));
	assert_false(is_kept(&joined, RELABEL_VALUE_MAX, 1));
	assert_true(is_kept(&upper, RELABEL_VALUE_MAX, 0));
	assert_false(is_kept(&upper, RELABEL_VALUE_MAX + 1, 1));
	assert_true(is_kept(&judged, RELABEL_VALUE_MAX, 0));
	assert_false(is_kept(&judged, RELABEL_VALUE_MAX + 1, 1));
	assert_true(is_kept(&other, 10 * RELABEL_VALUE_MAX, 0)); /* not looked at */
}

static void what_rules_write_is_bounded_together(void **state)
{
	char *source[] = {"a"};
	struct config_relabel rules[6];
	char value[RELABEL_VALUE_MAX + 1], names[6][4];
	struct label label = {"a", value};
	const struct label *labels;
	size_t count;

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (size_t i = 0; i < LENGTH(rules); i++) {
		snprintf(names[i], sizeof(names[i]), "b%zu", i);
		rules[i] = RULE(.source_labels = {source, 1}, .target_label = names[i]);
	}
	for (size_t rule_count = 1; rule_count <= LENGTH(rules); rule_count++) {
		bool fits = rule_count <= 3; /* of four, their NULs are too much */
		struct relabel *relabel = create(rules, rule_count);

		assert_int_equal(relabel_apply(relabel, &label, 1, &labels, &count),
				 fits);
		assert_int_equal(relabel_failures(relabel), !fits);
		relabel_free(&relabel);
	}
}

static void too_many_labels_drop_the_series(void **state)
{
	const struct config_relabel rules[] = {
	    RULE(.action = CONFIG_LABELMAP, .regex = "(b.*)", .replacement = "c_$1")};
	struct relabel *relabel = create(rules, 1);
	struct label given[RELABEL_LABELS_MAX + 1];
	char names[RELABEL_LABELS_MAX + 1][8];
	const struct label *labels;
	size_t count;

	(void)state;
	for (size_t i = 0; i < LENGTH(given); i++) {
		snprintf(names[i], sizeof(names[i]), "%s%03zu", i < 100 ? "a" : "b", i);
		given[i] = (struct label){names[i], "1"};
	}
	assert_true(relabel_apply(relabel, given, 178, &labels, &count));
	assert_int_equal(count, 256);
	assert_string_equal(labels[255].name, "c_b177");
	assert_false(relabel_apply(relabel, given, 179, &labels, &count));
	assert_false(relabel_apply(relabel, given, 257, &labels, &count));
	assert_int_equal(relabel_failures(relabel), 2);
	relabel_free(&relabel);
}

static void a_regex_that_gives_up_drops_the_series(void **state)
{
	static const enum config_relabel_action actions[] = {CONFIG_REPLACE,
							     CONFIG_KEEP, CONFIG_DROP};
	const char *hostile = "a=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabc";

	(void)state;
	for (size_t i = 0; i < LENGTH(actions); i++) {
		struct config_relabel rule =
		    RULE(FROM("a"), .regex = "(a|a)*b", .target_label = "b",
			 .action = actions[i]);
		struct relabel *relabel = create(&rule, 1);
		char result[128];

		apply(relabel, hostile, result);
		assert_string_equal(result, "dropped");
		apply(relabel, "a=\xff", result);
		assert_string_equal(result, "dropped");
		assert_int_equal(relabel_failures(relabel), 2);
		apply(relabel, "a=x", result); /* not for ever */
		assert_string_equal(result,
				    actions[i] == CONFIG_KEEP ? "dropped" : "a=x");
		assert_int_equal(relabel_failures(relabel), 2);
		relabel_free(&relabel);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_rule_changes_nothing),
	    cmocka_unit_test(replace_sets_what_the_groups_hold),
	    cmocka_unit_test(an_empty_value_removes_the_label),
	    cmocka_unit_test(a_name_that_is_none_is_not_set),
	    cmocka_unit_test(letters_change_their_case),
	    cmocka_unit_test(keep_and_drop_judge_the_whole_value),
	    cmocka_unit_test(keepequal_and_dropequal_compare_labels),
	    cmocka_unit_test(hashmod_is_of_the_last_half_of_md5),
	    cmocka_unit_test(labelmap_copies_under_other_names),
	    cmocka_unit_test(a_label_that_a_rule_set_is_mapped_last),
	    cmocka_unit_test(labeldrop_and_labelkeep_judge_names),
	    cmocka_unit_test(rules_see_what_the_ones_before_left),
	    cmocka_unit_test(temporary_labels_are_not_taken_away),
	    cmocka_unit_test(one_call_leaves_nothing_to_the_next),
	    cmocka_unit_test(a_value_beyond_its_bound_drops_the_series),
	    cmocka_unit_test(what_rules_write_is_bounded_together),
	    cmocka_unit_test(too_many_labels_drop_the_series),
	    cmocka_unit_test(a_regex_that_gives_up_drops_the_series),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
