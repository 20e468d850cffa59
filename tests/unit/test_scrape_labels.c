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
#include "scrape_labels.h"

#define SHOWN 8192

struct one {
	const char *series;
	const char *expected; /* "a=b c=d", "dropped", or the reason */
};

static struct config_label target_items[] = {{"instance", "host:1"}, {"job", "j"}};
static const struct config_labels target = {target_items, 2};

static void add_labels(char *text, const struct label_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		text += sprintf(text, "%s%s=%s", i ? " " : "", set->labels[i].name,
				set->labels[i].value);
}

/* The line is a sample of the series. */
static void make(struct scrape_labels *labels, const char *series, char *ret_text)
{
	static struct textparse parser;
	struct textparse_entry entry;
	enum scrape_labels_verdict verdict;
	struct label_set set;
	char body[SHOWN];

	snprintf(body, sizeof(body), "%s 1\n", series);
	textparse_init(&parser, TEXTPARSE_PROMETHEUS, body, strlen(body));
	assert_int_equal(textparse_next(&parser, &entry), TEXTPARSE_SAMPLE);
	assert_int_equal(scrape_labels_make(labels, &entry, &verdict, &set, ret_text),
			 0);
	if (verdict == SCRAPE_LABELS_DROPPED)
		strcpy(ret_text, "dropped");
	else if (verdict == SCRAPE_LABELS_GOOD)
		add_labels(ret_text, &set);
}

static void assert_each(const struct scrape_series_config *config,
			const struct one *cases, size_t count)
{
	struct scrape_labels *labels = NULL;
	char text[SHOWN];

	assert_int_equal(scrape_labels_create(config, &labels), 0);
	for (size_t i = 0; i < count; i++) {
		make(labels, cases[i].series, text);
		assert_string_equal(text, cases[i].expected);
	}
	scrape_labels_free(&labels);
	assert_null(labels);
}

/* Each as Prometheus 2.42 stored it. */
static void labels_of_the_target_win_and_others_are_exported(void **state)
{
	const struct scrape_series_config config = {.labels = &target};
	const struct one cases[] = {
	    {"a", "__name__=a instance=host:1 job=j"},
	    {"a{b=\"x\\ny\\\"\\\\z\\t\"}",
	     "__name__=a b=x\ny\"\\z\\t instance=host:1 job=j"},
	    {"a{Z=\"1\",_=\"2\"}", "Z=1 _=2 __name__=a instance=host:1 job=j"},
	    {"a{b=\"\"}", "__name__=a instance=host:1 job=j"},
	    {"a{b=\"\",b=\"x\"}", "__name__=a instance=host:1 job=j"},
	    {"a{job=\"x\"}", "__name__=a exported_job=x instance=host:1 job=j"},
	    {"a{job=\"\"}", "__name__=a instance=host:1 job=j"},
	    {"a{job=\"x\",exported_job=\"y\"}",
	     "__name__=a exported_exported_job=x exported_job=y instance=host:1 job=j"},
	    {"a{exported_job=\"1\",job=\"2\",exported_exported_job=\"3\"}",
	     "__name__=a exported_exported_exported_job=2 exported_exported_job=3 "
	     "exported_job=1 instance=host:1 job=j"},
	    {"a{job=\"x\",exported_job=\"\"}",
	     "__name__=a exported_job=x instance=host:1 job=j"},
	    {"a{instance=\"x\",job=\"y\"}",
	     "__name__=a exported_instance=x exported_job=y instance=host:1 job=j"},
	};

	(void)state;
	assert_each(&config, cases, LENGTH(cases));
}

static void an_exported_name_may_be_the_targets_own(void **state)
{
	struct config_label items[] = {{"exported_job", "own"}, {"job", "j"}};
	const struct config_labels labels = {items, 2};
	const struct scrape_series_config config = {.labels = &labels};
	const struct one cases[] = {
	    {"a{job=\"x\"}",
	     "__name__=a exported_exported_job=x exported_job=own job=j"},
	    {"a{job=\"x\",exported_job=\"y\"}",
	     "__name__=a exported_exported_exported_job=y exported_exported_job=x "
	     "exported_job=own job=j"},
	};

	(void)state;
	assert_each(&config, cases, LENGTH(cases));
}

static void honored_labels_win_even_where_they_are_empty(void **state)
{
	const struct scrape_series_config config = {.labels = &target,
						    .honor_labels = true};
	const struct one cases[] = {
	    {"a", "__name__=a instance=host:1 job=j"},
	    {"a{job=\"x\"}", "__name__=a instance=host:1 job=x"},
	    {"a{job=\"\"}", "__name__=a instance=host:1"},
	    {"a{job=\"x\",instance=\"\"}", "__name__=a job=x"},
	};

	(void)state;
	assert_each(&config, cases, LENGTH(cases));
}

static void a_label_given_twice_is_refused(void **state)
{
	const struct scrape_series_config config = {.labels = &target};
	const struct one cases[] = {
	    {"a{b=\"1\",b=\"2\"}", "label b twice in a series"},
	    {"a{b=\"1\",b=\"1\"}", "label b twice in a series"},
	    {"a{__name__=\"b\"}", "label __name__ twice in a series"},
	};

	(void)state;
	assert_each(&config, cases, LENGTH(cases));
}

static struct config_relabel rule(const char *regex, const char *label,
				  const char *replacement)
{
	static char *const name = (char *)"__name__";

	return (struct config_relabel){
	    .where = (char *)"a.yaml:1",
	    .action = label ? CONFIG_REPLACE : CONFIG_DROP,
	    .source_labels = {(char **)&name, 1},
	    .separator = (char *)";",
	    .target_label = (char *)label,
	    .regex = (char *)regex,
	    .replacement = (char *)(replacement ? replacement : "$1"),
	};
}

static void rules_see_all_labels_but_external_ones(void **state)
{
	struct config_label external_items[] = {{"job", "ours"}, {"zone", "z"}};
	const struct config_labels external = {external_items, 2};
	char *names[] = {(char *)"__name__", (char *)"job", (char *)"zone"};
	struct config_relabel rules[] = {
	    rule("a;j;", "seen", "no zone yet"), rule("dropped", NULL, NULL),
	    rule("nameless", "__name__", ""),    rule("bad", "__name__", "a b"),
	    rule("worse", "__name__", "0"),      rule("own", "zone", "own"),
	};
	const struct scrape_series_config config = {
	    .labels = &target,
	    .external = &external,
	    .relabels = rules,
	    .relabel_count = LENGTH(rules),
	};
	const struct one cases[] = {
	    {"a", "__name__=a instance=host:1 job=j seen=no zone yet zone=z"},
	    {"b{zone=\"y\"}", "__name__=b instance=host:1 job=j zone=y"},
	    {"dropped", "dropped"},
	    {"own", "__name__=own instance=host:1 job=j zone=own"},
	    {"nameless", "series without a name (label __name__)"},
	    {"bad", "invalid name \"a b\" of a metric"},
	    {"worse", "invalid name \"0\" of a metric"},
	};

	(void)state;
	rules[0].source_labels = (struct config_strings){names, 3};
	assert_each(&config, cases, LENGTH(cases));
}

static void names_in_quotes_may_be_any_but_empty(void **state)
{
	const struct scrape_series_config config = {.labels = &target};
	const struct one cases[] = {
	    {"{\"a.b\",\"c d\"=\"e\"}", "__name__=a.b c d=e instance=host:1 job=j"},
	    {"{\"a\\\\b\"}", "__name__=a\\b instance=host:1 job=j"},
	    {"{\"\"}", "series without a name (label __name__)"},
	    {"{\"a\",\"\"=\"b\"}", "invalid name \"\" of a label"},
	};

	(void)state;
	assert_each(&config, cases, LENGTH(cases));
}

static void limits_are_of_what_rules_leave(void **state)
{
	struct config_relabel rules[] = {rule("few", "b", ""), rule("short", "b", "x")};
	const struct scrape_series_config config = {
	    .labels = &target,
	    .relabels = rules,
	    .relabel_count = LENGTH(rules),
	    .label_limit = 4,
	    .label_name_length_limit = 8,
	    .label_value_length_limit = 6,
	};
	const struct one cases[] = {
	    {"a{b=\"1\"}", "__name__=a b=1 instance=host:1 job=j"},
	    {"few{b=\"1\",c=\"2\"}", "__name__=few c=2 instance=host:1 job=j"},
	    {"a{b=\"1\",c=\"2\"}", "label_limit exceeded (metric a, 5 labels)"},
	    {"a{b=\"123456\"}", "__name__=a b=123456 instance=host:1 job=j"},
	    {"a{b=\"1234567\"}",
	     "label_value_length_limit exceeded (metric a, label b)"},
	    {"short{b=\"1234567\"}", "__name__=short b=x instance=host:1 job=j"},
	    {"a{bcdefghi=\"1\"}", "__name__=a bcdefghi=1 instance=host:1 job=j"},
	    {"a{bcdefghij=\"1\"}",
	     "label_name_length_limit exceeded (metric a, label bcdefghij)"},
	    /* The name's length is one of a value. */
	    {"a234567", "label_value_length_limit exceeded (metric a234567, label "
			"__name__)"},
	};

	(void)state;
	assert_each(&config, cases, LENGTH(cases));
}

static void there_are_no_more_labels_than_rules_can_take(void **state)
{
	const struct scrape_series_config config = {.labels = &target};
	char series[SHOWN];
	size_t len = (size_t)sprintf(series, "a{");
	char text[SHOWN];
	struct scrape_labels *labels = NULL;

	(void)state;
	for (int i = 0; i < RELABEL_LABELS_MAX - 2; i++)
		len += (size_t)sprintf(series + len, "l%d=\"x\",", i);
	strcpy(series + len, "}");
	assert_int_equal(scrape_labels_create(&config, &labels), 0);
	make(labels, series, text);
	assert_string_equal(text, "series with 257 labels");
	scrape_labels_free(&labels);
}

static void what_is_said_of_the_scrape_has_the_targets_labels(void **state)
{
	struct config_label external_items[] = {{"job", "ours"}, {"zone", "z"}};
	const struct config_labels external = {external_items, 2};
	struct config_relabel rules[] = {rule("up", NULL, NULL)};
	const struct scrape_series_config config = {
	    .labels = &target,
	    .external = &external,
	    .relabels = rules,
	    .relabel_count = 1,
	    .label_limit = 1,
	};
	struct scrape_labels *labels = NULL;
	struct label_set set;
	char text[SHOWN];

	(void)state;
	assert_int_equal(scrape_labels_create(&config, &labels), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(scrape_labels_report(labels, "up", &set), 0);
		add_labels(text, &set);
		assert_string_equal(text, "__name__=up instance=host:1 job=j zone=z");
	}
	assert_int_equal(scrape_labels_failures(labels), 0);
	scrape_labels_free(&labels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(labels_of_the_target_win_and_others_are_exported),
	    cmocka_unit_test(an_exported_name_may_be_the_targets_own),
	    cmocka_unit_test(honored_labels_win_even_where_they_are_empty),
	    cmocka_unit_test(a_label_given_twice_is_refused),
	    cmocka_unit_test(rules_see_all_labels_but_external_ones),
	    cmocka_unit_test(names_in_quotes_may_be_any_but_empty),
	    cmocka_unit_test(limits_are_of_what_rules_leave),
	    cmocka_unit_test(there_are_no_more_labels_than_rules_can_take),
	    cmocka_unit_test(what_is_said_of_the_scrape_has_the_targets_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
