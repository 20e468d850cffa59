/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assemble.h"
#include "length.h"
#include "scrape_series.h"

#define NOW 100000000LL
#define SHOWN 16384

/* Bodies of one target, and what becomes of them: a line each metric. */
struct scene {
	struct scrape_series *series;
	struct assemble *assemble;
	char shown[SHOWN];
	size_t len;
	size_t count;
	const struct family *family; /* of the last metric */
};

static int take(void *context, const struct sample *sample)
{
	struct scene *scene = context;

	return assemble_add(scene->assemble, sample);
}

static void say(struct scene *scene, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	scene->len += (size_t)vsnprintf(scene->shown + scene->len, SHOWN - scene->len,
					format, arguments);
	va_end(arguments);
	assert_true(scene->len < SHOWN);
}

static void say_histogram(struct scene *scene, const struct sample_metric *metric)
{
	const struct histogram *histogram = &metric->metric->histogram;

	for (size_t i = 0; i <= histogram->bound_count; i++) {
		if (i < histogram->bound_count)
			say(scene, " %g:", histogram->bounds[i]);
		else
			say(scene, " inf:");
		if (!metric->is_stale)
			say(scene, "%llu", (unsigned long long)histogram->buckets[i]);
	}
	if (!metric->is_stale)
		say(scene, " sum %g", histogram->sum);
}

static void say_summary(struct scene *scene, const struct sample_metric *metric)
{
	const struct summary *summary = &metric->metric->summary;

	for (size_t i = 0; i < summary->count; i++) {
		say(scene, " %g:", summary->quantiles[i]);
		if (!metric->is_stale)
			say(scene, "%g", summary->values[i]);
	}
	if (!metric->is_stale)
		say(scene, " sum %g count %llu", summary->sum,
		    (unsigned long long)summary->observations);
}

static void show(void *context, const struct sample_metric *metric)
{
	static const char *const types[] = {[METRIC_COUNTER] = "counter",
					    [METRIC_GAUGE] = "gauge",
					    [METRIC_HISTOGRAM] = "histogram",
					    [METRIC_SUMMARY] = "summary"};
	struct scene *scene = context;
	const struct metric *of = metric->metric;

	say(scene, "%s%s %s", scene->len ? "\n" : "", types[of->family->type],
	    of->family->name);
	for (size_t i = 0; i < of->labels.count; i++)
		say(scene, "{%s=%s}", of->labels.labels[i].name,
		    of->labels.labels[i].value);
	if (of->family->type == METRIC_HISTOGRAM)
		say_histogram(scene, metric);
	else if (of->family->type == METRIC_SUMMARY)
		say_summary(scene, metric);
	else if (!metric->is_stale)
		say(scene, " %g", of->value);
	if (metric->is_stale)
		say(scene, " stale");
	if (metric->start_ms)
		say(scene, " since %lld", (long long)(metric->start_ms - NOW));
	assert_int_equal(of->family->order, FAMILY_SCRAPED);
	scene->family = of->family;
	scene->count += metric->sample_count;
}

static void create(struct scene *scene, const struct config_relabel *rules,
		   size_t count)
{
	static struct scrape_series_config config;

	config = (struct scrape_series_config){
	    .honor_timestamps = true,
	    .relabels = rules,
	    .relabel_count = count,
	};
	memset(scene, 0, sizeof(*scene));
	assert_int_equal(scrape_series_create(&config, &scene->series), 0);
	assert_int_equal(assemble_create(&scene->assemble), 0);
}

static void destroy(struct scene *scene)
{
	scrape_series_free(&scene->series);
	assemble_free(&scene->assemble);
	assert_null(scene->assemble);
}

static void assert_metrics(struct scene *scene, const char *body, int64_t at_ms,
			   const char *expected)
{
	const struct scrape_series_sink sink = {take, NULL, scene};
	struct scrape_series_result result;
	const enum textparse_format format =
	    strstr(body, "# EOF") ? TEXTPARSE_OPENMETRICS : TEXTPARSE_PROMETHEUS;

	scene->len = scene->count = 0;
	*scene->shown = '\0';
	assert_int_equal(scrape_series_body(scene->series, format, body, strlen(body),
					    NOW + at_ms, &sink, &result),
			 0);
	assert_true(result.is_up);
	assert_int_equal(assemble_finish(scene->assemble, show, scene), 0);
	assert_string_equal(scene->shown, expected);
}

static void what_has_one_series_is_a_metric(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, NULL, 0);
	assert_metrics(
	    &scene,
	    "# TYPE c counter\nc_total{a=\"b\"} 1\nc_created{a=\"b\"} 99999\n"
	    "# TYPE g gauge\ng 2\n"
	    "# TYPE i info\ni_info{v=\"1\"} 1\n"
	    "# TYPE s stateset\ns{s=\"on\"} 1\ns{s=\"off\"} 0\n"
	    "# TYPE u unknown\nu 3\nx 4\nx_bucket{le=\"1\"} 5\n"
	    "# TYPE gh gaugehistogram\ngh_bucket{le=\"+Inf\"} 6\ngh_gcount 6\n"
	    "# EOF\n",
	    0,
	    "counter c{a=b} 1 since -1000\n"
	    "gauge g 2\n"
	    "gauge i_info{v=1} 1\n"
	    "gauge s{s=on} 1\n"
	    "gauge s{s=off} 0\n"
	    "gauge u 3\n"
	    "gauge x 4\n"
	    "gauge x_bucket{le=1} 5\n"
	    "gauge gh_bucket{le=+Inf} 6\n"
	    "gauge gh_gcount 6");
	assert_int_equal(scene.count, 10);
	destroy(&scene);
}

static void a_counter_of_the_old_format_loses_its_total(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, NULL, 0);
	assert_metrics(&scene, "# HELP c_total d\n# TYPE c_total counter\nc_total 1\n",
		       0, "counter c 1");
	assert_string_equal(scene.family->help, "d");
	destroy(&scene);
}

static void a_histogram_is_put_together(void **state)
{
	struct scene scene;
	const char *body = "# TYPE h_seconds histogram\n# UNIT h_seconds seconds\n"
			   "h_seconds_bucket{a=\"1\",le=\"+Inf\"} 9\n"
			   "h_seconds_bucket{a=\"1\",le=\"0.5\"} 2\n"
			   "h_seconds_bucket{a=\"1\",le=\"1e1\"} 5\n"
			   "h_seconds_sum{a=\"1\"} 1.5\n"
			   "h_seconds_count{a=\"1\"} 9\n"
			   "h_seconds_created{a=\"1\"} 99998\n"
			   "h_seconds_bucket{a=\"2\",le=\"+Inf\"} 0\n"
			   "h_seconds_sum{a=\"2\"} 0\n"
			   "h_seconds_count{a=\"2\"} 0\n# EOF\n";

	(void)state;
	create(&scene, NULL, 0);
	assert_metrics(&scene, body, 0,
		       "histogram h_seconds{a=1} 0.5:2 10:3 inf:4 sum 1.5 since -2000\n"
		       "histogram h_seconds{a=2} inf:0 sum 0");
	assert_string_equal(scene.family->unit, "seconds");
	assert_metrics(&scene, strstr(body, "h_seconds_bucket{a=\"2\""), 1,
		       "histogram h_seconds{a=2} inf:0 sum 0\n"
		       "histogram h_seconds{a=1} 0.5: 10: inf: stale");
	destroy(&scene);
}

static void a_summary_is_put_together(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, NULL, 0);
	assert_metrics(
	    &scene,
	    "# TYPE s summary\ns{quantile=\"0.9\"} 4\ns{quantile=\"0.5\"} NaN\n"
	    "s_sum 7\ns_count 3\n"
	    "# TYPE t summary\nt_sum 1\nt_count 2\n",
	    0, "summary s 0.5:nan 0.9:4 sum 7 count 3\nsummary t sum 1 count 2");
	assert_int_equal(scene.count, 6);
	destroy(&scene);
}

static void what_is_not_whole_is_gauges(void **state)
{
	static const struct {
		const char *body, *expected;
	} cases[] = {
	    {"h_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
	     "gauge h_bucket{le=1} 1\ngauge h_sum 1\ngauge h_count 1"},
	    {"h_bucket{le=\"+Inf\"} 1\nh_count 1\n",
	     "gauge h_bucket{le=+Inf} 1\ngauge h_count 1"},
	    {"h_bucket{le=\"+Inf\"} 1\nh_sum 1\n",
	     "gauge h_bucket{le=+Inf} 1\ngauge h_sum 1"},
	    {"h_sum 1\nh_count 1\n", "gauge h_sum 1\ngauge h_count 1"},
	    {"h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
	     "gauge h_bucket{le=+Inf} 1\ngauge h_sum 1\ngauge h_count 2"},
	    {"h_bucket{le=\"+Inf\"} 1.5\nh_sum 1\nh_count 1.5\n",
	     "gauge h_bucket{le=+Inf} 1.5\ngauge h_sum 1\ngauge h_count 1.5"},
	    {"h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
	     "gauge h_bucket{le=1} 2\ngauge h_bucket{le=+Inf} 1\ngauge h_sum 1\n"
	     "gauge h_count 1"},
	    {"h_bucket{le=\"+Inf\"} -1\nh_sum 1\nh_count -1\n",
	     "gauge h_bucket{le=+Inf} -1\ngauge h_sum 1\ngauge h_count -1"},
	    {"h_bucket{le=\"x\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
	     "gauge h_bucket{le=x} 1\ngauge h_bucket{le=+Inf} 1\ngauge h_sum 1\n"
	     "gauge h_count 1"},
	    {"h_bucket{le=\"NaN\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
	     "gauge h_bucket{le=NaN} 1\ngauge h_bucket{le=+Inf} 1\ngauge h_sum 1\n"
	     "gauge h_count 1"},
	    {"h_bucket{le=\"+Inf\"} 1\nh_bucket{le=\"Inf\"} 1\nh_sum 1\nh_count 1\n",
	     "gauge h_bucket{le=+Inf} 1\ngauge h_bucket{le=Inf} 1\ngauge h_sum 1\n"
	     "gauge h_count 1"},
	    {"s{quantile=\"2\"} 1\ns_sum 1\ns_count 1\n",
	     "gauge s{quantile=2} 1\ngauge s_sum 1\ngauge s_count 1"},
	    {"s{quantile=\"0\"} 1\ns_sum 1\ns_count NaN\n",
	     "gauge s{quantile=0} 1\ngauge s_sum 1\ngauge s_count nan"},
	    {"s{quantile=\"0\"} 1\ns_count 1\n",
	     "gauge s{quantile=0} 1\ngauge s_count 1"},
	};
	char body[512];

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct scene scene;

		create(&scene, NULL, 0);
		snprintf(body, sizeof(body), "# TYPE h histogram\n# TYPE s summary\n%s",
			 cases[i].body);
		assert_metrics(&scene, body, 0, cases[i].expected);
		destroy(&scene);
	}
}

static void a_part_without_its_label_is_a_gauge(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, NULL, 0);
	assert_metrics(&scene,
		       "# TYPE h histogram\nh_bucket 1\nh 2\n# TYPE s summary\ns 3\n",
		       0, "gauge h_bucket 1\ngauge h 2\ngauge s 3");
	destroy(&scene);
}

static void what_rules_rename_is_gauges(void **state)
{
	char *names[] = {(char *)"__name__"};
	struct config_relabel rules[] = {{
	    .where = (char *)"a.yaml:1",
	    .action = CONFIG_REPLACE,
	    .source_labels = {names, 1},
	    .separator = (char *)";",
	    .regex = (char *)"h_(.*)",
	    .target_label = (char *)"__name__",
	    .replacement = (char *)"k_$1",
	}};
	struct scene scene;

	(void)state;
	create(&scene, rules, 1);
	assert_metrics(
	    &scene, "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
	    0, "gauge k_bucket{le=+Inf} 1\ngauge k_sum 1\ngauge k_count 1");
	destroy(&scene);
}

static void a_bucket_that_goes_does_not_end_its_histogram(void **state)
{
	struct scene scene;

	(void)state;
	create(&scene, NULL, 0);
	assert_metrics(&scene,
		       "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n"
		       "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
		       0, "histogram h 1:1 inf:0 sum 1");
	assert_metrics(
	    &scene, "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n",
	    1, "histogram h inf:2 sum 1");
	assert_metrics(&scene, "\n", 2, "histogram h inf: stale");
	destroy(&scene);
}

static void several_times_are_several_points(void **state)
{
	struct scene scene;
	char body[256];

	(void)state;
	create(&scene, NULL, 0);
	sprintf(body, "# TYPE c counter\nc 1 %lld\nc 2 %lld\n", NOW - 2, NOW - 1);
	assert_metrics(&scene, body, 0, "counter c 1\ncounter c 2");
	destroy(&scene);
}

static void families_stay_while_they_are_used_and_two_scrapes_more(void **state)
{
	struct scene scene;
	const struct family *family;

	(void)state;
	create(&scene, NULL, 0);
	assert_metrics(&scene, "# HELP g h\n# TYPE g gauge\ng 1\n", 0, "gauge g 1");
	family = scene.family;
	for (int64_t i = 1; i < 9; i++) {
		assert_metrics(&scene, "# HELP g h\n# TYPE g gauge\ng 1\n", i,
			       "gauge g 1");
		assert_ptr_equal(scene.family, family);
	}
	assert_metrics(&scene, "# HELP g i\n# TYPE g gauge\ng 1\n", 10, "gauge g 1");
	assert_string_equal(scene.family->help, "i");
	assert_metrics(&scene, "g 1\n", 11, "gauge g 1");
	assert_string_equal(family->help, "h");
	destroy(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_has_one_series_is_a_metric),
	    cmocka_unit_test(a_counter_of_the_old_format_loses_its_total),
	    cmocka_unit_test(a_histogram_is_put_together),
	    cmocka_unit_test(a_summary_is_put_together),
	    cmocka_unit_test(what_is_not_whole_is_gauges),
	    cmocka_unit_test(a_part_without_its_label_is_a_gauge),
	    cmocka_unit_test(what_rules_rename_is_gauges),
	    cmocka_unit_test(a_bucket_that_goes_does_not_end_its_histogram),
	    cmocka_unit_test(several_times_are_several_points),
	    cmocka_unit_test(families_stay_while_they_are_used_and_two_scrapes_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
