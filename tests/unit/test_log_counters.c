/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log_counters.h"

static void expect(const struct log_counters *counters, const char *expected)
{
	struct snapshot snapshot;
	char found[1024] = "";

	snapshot_init(&snapshot, 0);
	log_counters_describe(counters, &snapshot);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	for (size_t i = 0; i < snapshot.count; i++) {
		const struct metric *metric = &snapshot.metrics[i];

		sprintf(found + strlen(found), "%s", metric->family->name);
		for (size_t j = 0; j < metric->labels.count; j++)
			sprintf(found + strlen(found), ",%s=%s",
				metric->labels.labels[j].name,
				metric->labels.labels[j].value);
		sprintf(found + strlen(found), " %g\n", metric->value);
	}
	snapshot_free(&snapshot);
	assert_string_equal(found, expected);
}

static void entries_are_counted_by_what_groups_match(void **state)
{
	const struct config_log_metric metrics[] = {
	    {.name = (char *)"errors", .regex = (char *)"ERROR", .max_values = 5},
	    {.name = (char *)"answers",
	     .regex = (char *)"(?P<method>GET|PUT) \\S+ (?<status>\\d+)?",
	     .max_values = 5},
	};
	struct log_counters *counters;

	(void)state;
	assert_int_equal(log_counters_create(metrics, 2, 7, &counters), 0);
	expect(counters, "errors 0\n");
	log_counters_count(counters, slice_of("an ERROR in GET /a 200"));
	log_counters_count(counters, slice_of("GET /b 200"));
	log_counters_count(counters, slice_of("PUT /b 500"));
	log_counters_count(counters, slice_of("PUT /b none"));
	log_counters_count(counters, slice_of("nothing"));
	expect(counters, "errors 1\n"
			 "answers,method=GET,status=200 2\n"
			 "answers,method=PUT 1\n"
			 "answers,method=PUT,status=500 1\n");
	log_counters_free(&counters);
}

static void what_there_is_no_room_for_is_other(void **state)
{
	const struct config_log_metric metric = {
	    .name = (char *)"a", .regex = (char *)"x(?<b>.)(?<c>.)", .max_values = 2};
	struct log_counters *counters;

	(void)state;
	assert_int_equal(log_counters_create(&metric, 1, 7, &counters), 0);
	for (const char *text = "x11x22x33x44x11x33"; *text; text += 3)
		log_counters_count(counters, (struct slice){text, 3});
	expect(counters, "a,b=1,c=1 2\na,b=2,c=2 1\na,b=other,c=other 3\n");
	log_counters_free(&counters);
}

static void values_are_labels_whatever_is_written(void **state)
{
	const struct config_log_metric metric = {
	    .name = (char *)"a", .regex = (char *)"^(?<b>.*)$", .max_values = 9};
	struct log_counters *counters;
	char text[301];

	(void)state;
	memset(text, 'y', 300);
	text[300] = 0;
	assert_int_equal(log_counters_create(&metric, 1, 7, &counters), 0);
	log_counters_count(counters, slice_of("  a\tb\x1b[0m "));
	log_counters_count(counters, slice_of(text));
	text[128] = 0;
	{
		char expected[512];

		snprintf(expected, sizeof(expected), "a,b=a_b_[0m 1\na,b=%s 1\n", text);
		expect(counters, expected);
	}
	log_counters_free(&counters);
}

static void a_regex_that_is_given_up_is_told(void **state)
{
	const struct config_log_metric metric = {
	    .name = (char *)"a", .regex = (char *)"(x+x+)+[yz]", .max_values = 9};
	struct log_counters *counters;
	char text[4001];

	(void)state;
	memset(text, 'x', 4000);
	assert_int_equal(log_counters_create(&metric, 1, 7, &counters), 0);
	assert_int_equal(log_counters_count(counters, (struct slice){text, 4000}), 1);
	expect(counters, "a 0\n");
	log_counters_free(&counters);
}

static void a_regex_that_is_none_is_refused(void **state)
{
	const struct config_log_metric metric = {
	    .name = (char *)"a", .regex = (char *)"(", .max_values = 9};
	struct log_counters *counters = NULL;

	(void)state;
	assert_int_equal(log_counters_create(&metric, 1, 7, &counters), -EINVAL);
	assert_null(counters);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(entries_are_counted_by_what_groups_match),
	    cmocka_unit_test(what_there_is_no_room_for_is_other),
	    cmocka_unit_test(values_are_labels_whatever_is_written),
	    cmocka_unit_test(a_regex_that_is_given_up_is_told),
	    cmocka_unit_test(a_regex_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
