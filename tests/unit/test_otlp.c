/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buckets.h"
#include "length.h"
#include "otlp_case.h"
#include "requests.h"
#include "text.h"

/* --- collections -------------------------------------------------------------- */

static void a_collection_of_target_info_only_is_no_request(void **state)
{
	const struct metric info = value_of(&target, target_labels, 6, 1);
	struct received received;

	(void)state;
	start(&received, &plain, &external);
	add(&received, &info, false);
	finish(&received);
	finish(&received);
	assert_int_equal(received.batch_count, 0);
	end(&received);
}

/* The memory of a family may be that of another one by then. */
static void the_next_collection_has_families_of_its_own(void **state)
{
	struct family family = missed;
	const struct metric metric = value_of(&family, NULL, 0, 5);
	struct received received;

	(void)state;
	start(&received, &plain, &two_external);
	add(&received, &metric, false);
	finish(&received);
	family = build;
	family.type = METRIC_COUNTER;
	add(&received, &metric, false);
	finish(&received);
	assert_string_equal(received.points[0].name, "bpftally_missed");
	assert_string_equal(received.points[1].name, "bpftally_build");
	end(&received);
}

static void the_next_collection_starts_anew(void **state)
{
	const struct metric info = value_of(&target, target_labels, 6, 1);
	const struct metric metric = value_of(&active, service, 2, 3);
	const struct metric agent = value_of(&missed, NULL, 0, 3);
	struct received received;

	(void)state;
	start(&received, &plain, &two_external);
	add(&received, &info, false);
	add(&received, &metric, false);
	finish(&received);
	add(&received, &metric, false);
	add(&received, &agent, false);
	finish(&received);
	assert_int_equal(received.batch_count, 2);
	assert_string_equal(received.points[1].resource, SHOP);
	assert_string_equal(received.points[2].resource, AGENT);
	end(&received);
}

static void what_is_no_number_stays_a_text(void **state)
{
	static const struct label labels[] = {
	    {"http_response_status_code", "2xx"},
	    {"server_port", "1234567890123456789"},
	};
	const struct metric metric = {
	    .family = &duration,
	    .labels = {labels, 2},
	    .histogram = {two_bounds, 2, three_counts, 9.5, NULL},
	};
	struct received received;

	(void)state;
	start(&received, &plain, &external);
	add(&received, &metric, false);
	finish(&received);
	assert_string_equal(received.points[0].attributes,
			    " http.response.status_code=2xx"
			    " server.port=1234567890123456789");
	end(&received);
}

static void labels_of_other_metrics_keep_their_names(void **state)
{
	static const struct label labels[] = {
	    {"http_route", "/x"},
	    {"server_port", "80"},
	};
	const struct metric metric = value_of(&missed, labels, 2, 1);

	(void)state;
	check_only(
	    &metric, false, &plain,
	    "bpftally_missed [] sum 2 monotonic: http_route=/x server_port=80" TIMES
	    " value=1");
}

/* --- bounds of requests ------------------------------------------------------- */

static void a_request_has_no_more_points_than_the_format_says(void **state)
{
	const struct otlp_format format = {.points_max = 10, .bytes_max = 1 << 20};
	struct received received;

	(void)state;
	start(&received, &format, &external);
	add_many(&received, 25);
	finish(&received);
	assert_int_equal(received.batch_count, 3);
	assert_int_equal(received.batch_points[0], 10);
	assert_int_equal(received.batch_points[1], 10);
	assert_int_equal(received.batch_points[2], 5);
	for (size_t i = 0; i < 25; i++)
		assert_true(received.points[i].value == (double)i);
	end(&received);
}

static void a_point_that_is_too_large_goes_alone(void **state)
{
	const struct otlp_format format = {.points_max = 1000, .bytes_max = 500};
	struct received received;
	char text[2000];
	const struct label label = {"reason", text};
	const struct metric large = value_of(&missed, &label, 1, 42);

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	start(&received, &format, &external);
	add_many(&received, 2);
	add(&received, &large, false);
	add_many(&received, 2);
	finish(&received);
	assert_int_equal(received.batch_count, 3);
	assert_int_equal(received.batch_points[1], 1);
	assert_true(received.points[2].value == 42);
	end(&received);
}

/* --- translated back ---------------------------------------------------------- */

/* "OTLP Metric points to Prometheus", UnderscoreEscapingWithSuffixes, with what is
 * needed of it here. */
static void prometheus_name(const struct point *point, char *ret_name, size_t size)
{
	static const struct {
		const char *unit, *word;
	} units[] = {{"s", "seconds"}, {"By", "bytes"}};
	const char *word = "";
	size_t len = 0;

	for (const char *at = point->name; *at && len < size - 1; at++) {
		bool is_kept = strchr("abcdefghijklmnopqrstuvwxyz0123456789", *at);

		if (is_kept || (len && ret_name[len - 1] != '_'))
			ret_name[len++] = is_kept ? *at : '_';
	}
	ret_name[len] = 0;
	for (size_t i = 0; i < LENGTH(units); i++)
		if (!strcmp(units[i].unit, point->unit))
			word = units[i].word;
	if (*word && !strstr(ret_name, word))
		snprintf(ret_name + len, size - len, "_%s", word);
	if (point->is_monotonic)
		strcat(ret_name, "_total");
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The labels that /metrics shows: of the resource those of the service. */
static char *prometheus_labels(const struct point *point)
{
	char *labels[32], *result, *all;
	size_t count = 0, size;
	FILE *text = open_memstream(&result, &size);

	assert_true(asprintf(&all, "%s%s", point->resource, point->attributes) >= 0);
	for (char *at = strtok(all, " "); at; at = strtok(NULL, " ")) {
		char *value = strchr(at, '=');

		*value++ = 0;
		if (*value == '#')
			value++;
		for (char *dot = at; (dot = strchr(dot, '.')); *dot = '_')
			;
		if (!strcmp(at, "service_instance_id") || !strcmp(at, "zone"))
			continue;
		if (!strcmp(at, "service_name") && !strcmp(value, "bpftally"))
			continue;
		assert_true(asprintf(&labels[count++], "%s=\"%s\"", at, value) >= 0);
	}
	qsort(labels, count, sizeof(*labels), compare_texts);
	for (size_t i = 0; i < count; i++) {
		fprintf(text, "%s%s", i ? "," : "", labels[i]);
		free(labels[i]);
	}
	fclose(text);
	free(all);
	return result;
}

static void add_line(char **lines, size_t *count, const char *name, const char *suffix,
		     const char *labels, const char *extra, double value)
{
	const char *comma = *labels && *extra ? "," : "";
	bool has_labels = *labels || *extra;
	char number[32];

	text_number(number, value);
	assert_true(asprintf(&lines[(*count)++], "%s%s%s%s%s%s%s %s", name, suffix,
			     has_labels ? "{" : "", labels, comma, extra,
			     has_labels ? "}" : "", number) >= 0);
}

static void translate_histogram(const struct point *point, char **lines, size_t *count,
				const char *name, const char *labels)
{
	uint64_t cumulative = 0;

	assert_int_equal(point->counts.count, point->bounds.count + 1);
	for (size_t i = 0; i < point->counts.count; i++) {
		char bound[32], extra[48];

		text_bound(bound, i < point->bounds.count
				      ? double_of(point->bounds.items[i])
				      : INFINITY);
		snprintf(extra, sizeof(extra), "le=\"%s\"", bound);
		cumulative += point->counts.items[i];
		add_line(lines, count, name, "_bucket", labels, extra,
			 (double)cumulative);
	}
	assert_int_equal(cumulative, point->count);
}

static void translate(const struct point *point, char **lines, size_t *count)
{
	char *labels = prometheus_labels(point), name[128];

	prometheus_name(point, name, sizeof(name));
	if (point->data == D_HISTOGRAM)
		translate_histogram(point, lines, count, name, labels);
	for (size_t i = 0; i < point->quantiles.count; i++) {
		char quantile[32], extra[48];

		text_bound(quantile, double_of(point->quantiles.items[i]));
		snprintf(extra, sizeof(extra), "quantile=\"%s\"", quantile);
		add_line(lines, count, name, "", labels, extra,
			 double_of(point->values.items[i]));
	}
	if (point->has_value) {
		add_line(lines, count, name, "", labels, "", point->value);
	} else {
		add_line(lines, count, name, "_sum", labels, "", point->sum);
		add_line(lines, count, name, "_count", labels, "",
			 (double)point->count);
	}
	free(labels);
}

static size_t text_lines(const struct snapshot *snapshot, char **lines)
{
	struct buf text = BUF_INIT(1 << 20);
	size_t count = 0;

	text_write(&text, snapshot, TEXT_PROMETHEUS_0_0_4);
	buf_append(&text, "", 1);
	assert_int_equal(text.error, 0);
	for (char *at = strtok(text.data, "\n"); at; at = strtok(NULL, "\n"))
		if (*at != '#' && strncmp(at, "target_info", 11) != 0)
			lines[count++] = strdup(at);
	buf_free(&text);
	return count;
}

/* Every HTTP family at both ends, summaries and gauges, and some of the agent's. */
static void build_snapshot(struct snapshot *snapshot, struct summaries *summaries)
{
	static const struct requests_names names = {"shop", "eu", "/cart/*",
						    "10.0.0.1"};
	static const struct tally_series value = {
	    .duration = {1, 2, 3},
	    .duration_sum_ns = 12345678901,
	    .native = {1, 2, 3},
	    .first_byte = {6},
	    .queue = {0, 6},
	    .request_size = {6},
	    .response_size = {0, 0, 5, 1},
	    .request_bytes = 77,
	};
	const struct requests_bounds *bounds = requests_bounds(snapshot);

	summaries_begin(summaries, snapshot, TIME_MS);
	for (unsigned int role = 0; role < REQUESTS_ROLES; role++) {
		const struct tally_series_key key = {
		    .port = 80,
		    .status = 503,
		    .role =
			role == REQUESTS_CLIENT ? TALLY_ROLE_CLIENT : TALLY_ROLE_SERVER,
		    .method = TALLY_METHOD_GET,
		};
		struct label_set labels = requests_labels(snapshot, &names, &key);

		requests_emit(snapshot, bounds, role, labels, &value);
		requests_summarize(summaries, role, labels, &value);
		requests_emit_gauges(snapshot, role,
				     snapshot_labels(snapshot, service, 2), 3, 4);
	}
	summaries_end(summaries);
	snapshot_value(snapshot, &target, snapshot_labels(snapshot, service, 2), 1);
	snapshot_value(snapshot, &missed, (struct label_set){0}, 12);
	snapshot_value(snapshot, &cpu, (struct label_set){0}, 0.25);
	snapshot_value(snapshot, &memory, (struct label_set){0}, 4096);
	snapshot_value(snapshot, &build, (struct label_set){0}, 1);
	assert_int_equal(snapshot_finish(snapshot), 0);
}

static void translated_back_it_is_what_metrics_shows(void **state)
{
	char *wanted[512], *got[512];
	size_t wanted_count, got_count = 0;
	struct summaries *summaries = NULL;
	struct received received;
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, TIME_MS);
	assert_int_equal(summaries_create(1, &summaries), 0);
	build_snapshot(&snapshot, summaries);
	wanted_count = text_lines(&snapshot, wanted);
	start(&received, &plain, &external);
	add_all(&received, &snapshot);
	finish(&received);
	for (size_t i = 0; i < received.count; i++)
		translate(&received.points[i], got, &got_count);
	qsort(wanted, wanted_count, sizeof(*wanted), compare_texts);
	qsort(got, got_count, sizeof(*got), compare_texts);
	assert_int_equal(wanted_count, 196);
	for (size_t i = 0; i < wanted_count && i < got_count; i++)
		assert_string_equal(got[i], wanted[i]);
	assert_int_equal(got_count, wanted_count);
	for (size_t i = 0; i < wanted_count; i++) {
		free(wanted[i]);
		free(got[i]);
	}
	end(&received);
	summaries_free(&summaries);
	snapshot_free(&snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_collection_of_target_info_only_is_no_request),
	    cmocka_unit_test(the_next_collection_has_families_of_its_own),
	    cmocka_unit_test(the_next_collection_starts_anew),
	    cmocka_unit_test(what_is_no_number_stays_a_text),
	    cmocka_unit_test(labels_of_other_metrics_keep_their_names),
	    cmocka_unit_test(a_request_has_no_more_points_than_the_format_says),
	    cmocka_unit_test(a_point_that_is_too_large_goes_alone),
	    cmocka_unit_test(translated_back_it_is_what_metrics_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
