/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "log_rule.h"

static const struct config_labels none;

static void entries_are_sent_that_drop_leaves_and_keep_has(void **state)
{
	char *drops[] = {(char *)"healthz", (char *)"^DEBUG"};
	char *keeps[] = {(char *)"ERROR", (char *)"GET"};
	struct config_log config = {
	    .job = (char *)"j", .drops = {drops, 2}, .keeps = {keeps, 2}};
	struct log_rule rule;

	(void)state;
	assert_int_equal(log_rule_init(&rule, &config, &none, 1), 0);
	assert_true(log_rule_takes(&rule, slice_of("an ERROR")));
	assert_true(log_rule_takes(&rule, slice_of("GET /")));
	assert_false(log_rule_takes(&rule, slice_of("GET /healthz")));
	assert_false(log_rule_takes(&rule, slice_of("DEBUG ERROR")));
	assert_true(log_rule_takes(&rule, slice_of("ERROR DEBUG")));
	assert_false(log_rule_takes(&rule, slice_of("something else")));
	assert_int_equal(rule.totals.dropped, 3);
	assert_int_equal(rule.totals.unjudged, 0);
	log_rule_clear(&rule);
}

static void a_regex_that_is_given_up_changes_nothing(void **state)
{
	char *costly[] = {(char *)"(x+x+)+[yz]"};
	struct config_log config = {
	    .job = (char *)"j", .drops = {costly, 1}, .keeps = {costly, 1}};
	struct log_rule rule;
	char text[4001];

	(void)state;
	memset(text, 'x', 4000);
	assert_int_equal(log_rule_init(&rule, &config, &none, 1), 0);
	assert_true(log_rule_takes(&rule, (struct slice){text, 4000}));
	assert_int_equal(rule.totals.unjudged, 2);
	log_rule_clear(&rule);
}

static void entries_begin_where_the_regex_is_found(void **state)
{
	struct config_log config = {.job = (char *)"j",
				    .first_line = (char *)"^\\d{4}-"};
	struct log_rule rule;

	(void)state;
	assert_int_equal(log_rule_init(&rule, &config, &none, 1), 0);
	assert_true(log_rule_begins(&rule, slice_of("2024-01-01 x")));
	assert_false(log_rule_begins(&rule, slice_of(" 2024-01-01 x")));
	log_rule_clear(&rule);
}

static void what_is_compressed_or_excluded_is_left_out(void **state)
{
	char *excludes[] = {(char *)"/var/**/old*"};
	struct config_log config = {.job = (char *)"j", .excludes = {excludes, 1}};
	struct log_rule rule;

	(void)state;
	assert_int_equal(log_rule_init(&rule, &config, &none, 1), 0);
	assert_false(log_rule_excludes(&rule, "/var/log/a.log"));
	assert_false(log_rule_excludes(&rule, "/var/log/a.gz.log"));
	assert_true(log_rule_excludes(&rule, "/var/log/a.log.1.gz"));
	assert_true(log_rule_excludes(&rule, "/var/log/a.xz"));
	assert_true(log_rule_excludes(&rule, "/var/log/a.bz2"));
	assert_true(log_rule_excludes(&rule, "/var/log/a.zst"));
	assert_true(log_rule_excludes(&rule, "/var/log/older.log"));
	log_rule_clear(&rule);
}

static void a_stream_has_the_labels_of_its_file(void **state)
{
	struct config_label constants[] = {{(char *)"env", (char *)"pro\"d"}};
	struct config_label shared[] = {{(char *)"env", (char *)"other"},
					{(char *)"cluster", (char *)"c"},
					{(char *)"empty", (char *)""}};
	const struct config_labels external = {shared, 3};
	struct config_log config = {.job = (char *)"j", .labels = {constants, 1}};
	struct log_rule rule;
	char *labels;

	(void)state;
	assert_int_equal(log_rule_init(&rule, &config, &external, 1), 0);
	labels = log_rule_labels(&rule, "/a\\b", "shop");
	assert_string_equal(labels, "{cluster=\"c\", env=\"pro\\\"d\", "
				    "filename=\"/a\\\\b\", job=\"j\", "
				    "service_name=\"shop\"}");
	free(labels);
	labels = log_rule_labels(&rule, "/a", NULL);
	assert_string_equal(
	    labels, "{cluster=\"c\", env=\"pro\\\"d\", filename=\"/a\", job=\"j\"}");
	free(labels);
	log_rule_clear(&rule);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries_are_sent_that_drop_leaves_and_keep_has),
	    cmocka_unit_test(a_regex_that_is_given_up_changes_nothing),
	    cmocka_unit_test(entries_begin_where_the_regex_is_found),
	    cmocka_unit_test(what_is_compressed_or_excluded_is_left_out),
	    cmocka_unit_test(a_stream_has_the_labels_of_its_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
