/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scrape_case.h"
#include "scrape_report.h"

static void a_name_is_one_of_the_five_or_none(void **state)
{
	(void)state;
	assert_true(scrape_report_has("up"));
	assert_true(scrape_report_has("scrape_series_added"));
	assert_false(scrape_report_has("scrape_series"));
	assert_false(scrape_report_has("upp"));
	assert_false(scrape_report_has(""));
}

static void a_report_has_the_labels_of_the_target_and_no_others(void **state)
{
	struct config_label items[] = {{"job", "j"}};
	const struct config_labels labels = {items, 1};
	struct config_relabel rules[] = {drop_rule(".*")};
	const struct scrape_series_config config = {
	    .labels = &labels,
	    .relabels = rules,
	    .relabel_count = 1,
	    .label_limit = 1,
	};
	const struct scrape_series_result result = {
	    .scraped = 3, .relabeled = 2, .added = 1, .stale = 9};
	struct receiver receiver = {0};
	const struct scrape_series_sink sink = {receive, receive_again, &receiver};
	struct scrape_labels *maker;

	(void)state;
	assert_int_equal(scrape_labels_create(&config, &maker), 0);
	assert_int_equal(scrape_report_add(maker, &result, 0.25, NOW, &sink), 0);
	assert_string_equal(show(&receiver),
			    "scrape_duration_seconds{job=j} 0.25 @0\n"
			    "scrape_samples_post_metric_relabeling{job=j} 2 @0\n"
			    "scrape_samples_scraped{job=j} 3 @0\n"
			    "scrape_series_added{job=j} 1 @0\n"
			    "up{job=j} 0 @0");
	assert_int_equal(scrape_report_end(maker, NOW + 5, &sink), 0);
	assert_string_equal(show(&receiver),
			    "scrape_duration_seconds{job=j} stale @5\n"
			    "scrape_samples_post_metric_relabeling{job=j} stale @5\n"
			    "scrape_samples_scraped{job=j} stale @5\n"
			    "scrape_series_added{job=j} stale @5\n"
			    "up{job=j} stale @5");
	receiver.fail_at = 3;
	assert_int_equal(scrape_report_end(maker, NOW + 6, &sink), -ENOMEM);
	assert_int_equal(receiver.count, 2);
	scrape_labels_free(&maker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_name_is_one_of_the_five_or_none),
	    cmocka_unit_test(a_report_has_the_labels_of_the_target_and_no_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
