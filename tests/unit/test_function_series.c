/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's maps are played by this file; what is checked is what a scraper would
 * get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "buf.h"
#include "fake_bpf.h"
#include "function_series.h"
#include "quantile.h"
#include "text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROWS 4096u
#define CALLS_MAX 8
#define SEED 0x1234567890abcdefull

/* --- the programs ------------------------------------------------------------- */

struct uprobes {
	struct tally_function_key calls[CALLS_MAX];
	size_t call_count;
	unsigned int visits;
	void (*meanwhile)(void); /* what the kernel does before calls are read */
	int err;
};

int uprobes_map_fd(const struct uprobes *uprobes, enum uprobes_map map)
{
	(void)uprobes;
	return FAKE_FD + (int)map;
}

int uprobes_each_call(const struct uprobes *uprobes, uprobes_visit_call visit,
		      void *context)
{
	((struct uprobes *)uprobes)->visits++;
	if (uprobes->meanwhile)
		uprobes->meanwhile();
	for (size_t i = 0; i < uprobes->call_count; i++)
		visit(context, &uprobes->calls[i]);
	return uprobes->err;
}

/* --- a scene ------------------------------------------------------------------ */

#define RULES 2

struct scene {
	struct config_function rules[RULES];
	struct config_function_label labels[RULES][4];
	struct family families[RULES];
	const struct family *family_of[RULES];
	struct uprobes uprobes;
	struct function_series *series;
	int64_t now_ms;
	struct buf text; /* of the last collection, NUL terminated */
};

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	fake_map_make(UPROBES_SINGLES, sizeof(uint32_t),
		      sizeof(struct tally_function_row), ROWS);
	fake_map_make(UPROBES_ROWS, sizeof(struct tally_function_key),
		      sizeof(struct tally_function_row), ROWS);
	fake_map_make(UPROBES_SUMMARIES, sizeof(struct tally_function_key),
		      sizeof(struct tally_function_summary), ROWS);
	fake_map_make(UPROBES_LABELS, sizeof(struct tally_function_labels_key),
		      sizeof(struct tally_function_labels), ROWS);
	fake_map_make(UPROBES_GOROUTINES, sizeof(struct tally_goroutine_key),
		      sizeof(struct tally_function_frame), ROWS);
	for (size_t i = 0; i < RULES; i++) {
		scene->rules[i].type = CONFIG_COUNTER;
		scene->rules[i].value = CONFIG_VALUE_COUNT;
		scene->rules[i].labels = scene->labels[i];
		scene->families[i] = (struct family){
		    .name = i ? "b" : "a",
		    .help = "h",
		    .unit = "",
		    .type = METRIC_COUNTER,
		    .order = (unsigned int)i,
		};
		scene->family_of[i] = &scene->families[i];
	}
	scene->text = (struct buf)BUF_INIT((size_t)16 << 20);
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	function_series_free(&scene->series);
	assert_null(scene->series);
	function_series_free(&scene->series);
	buf_free(&scene->text);
	fake_maps_free();
	free(scene);
	return 0;
}

static void be(struct scene *scene, enum config_metric_type type,
	       enum config_value_kind value)
{
	static const enum metric_type types[] = {
	    [CONFIG_HISTOGRAM] = METRIC_HISTOGRAM,
	    [CONFIG_COUNTER] = METRIC_COUNTER,
	    [CONFIG_GAUGE] = METRIC_GAUGE,
	    [CONFIG_SUMMARY] = METRIC_SUMMARY,
	};

	scene->rules[0].type = type;
	scene->rules[0].value = value;
	scene->families[0].type = types[type];
}

static struct config_function_label *add_label(struct scene *scene, size_t rule,
					       const char *name)
{
	struct config_function_label *label =
	    &scene->labels[rule][scene->rules[rule].label_count++];

	label->name = (char *)name;
	return label;
}

static struct config_function_label *add_argument(struct scene *scene, const char *name)
{
	struct config_function_label *label = add_label(scene, 0, name);

	label->operand.argument = 1;
	return label;
}

static struct config_function_label *add_result(struct scene *scene, const char *name)
{
	struct config_function_label *label = add_label(scene, 0, name);

	label->operand.is_return = true;
	return label;
}

static void put(const struct tally_function_key *key,
		const struct tally_function_row *row)
{
	assert_int_equal(bpf_map_update_elem(FAKE_FD + UPROBES_ROWS, key, row, 0), 0);
}

static void put_count(struct tally_function_key key, uint64_t count)
{
	put(&key, &(struct tally_function_row){.count = count});
}

/* Of a rule without labels of the call. */
static void put_single(uint32_t rule, const struct tally_function_row *row)
{
	assert_int_equal(bpf_map_update_elem(FAKE_FD + UPROBES_SINGLES, &rule, row, 0),
			 0);
}

static void put_single_count(uint32_t rule, uint64_t count)
{
	put_single(rule, &(struct tally_function_row){.count = count});
}

static void put_texts(uint64_t arguments, const struct tally_function_labels *texts)
{
	const struct tally_function_labels_key key = {.arguments = arguments};

	assert_int_equal(bpf_map_update_elem(FAKE_FD + UPROBES_LABELS, &key, texts, 0),
			 0);
}

static void put_text(uint64_t arguments, const char *text)
{
	struct tally_function_labels texts = {};

	memcpy(texts.text[0], text, strnlen(text, TALLY_FUNCTION_STRING));
	put_texts(arguments, &texts);
}

static void set_number(struct tally_function_labels *texts, size_t place,
		       int64_t number, bool is_other)
{
	memcpy(texts->text[place], &number, sizeof(number));
	texts->text[place][sizeof(number)] = is_other;
}

static void put_number(uint64_t arguments, int64_t number, bool is_other)
{
	struct tally_function_labels texts = {};

	set_number(&texts, 0, number, is_other);
	put_texts(arguments, &texts);
}

static int collect(struct scene *scene)
{
	struct snapshot snapshot;
	int err;

	if (!scene->series) /* the rules are as they will stay */
		assert_int_equal(function_series_create(scene->rules, RULES,
							scene->family_of, SEED,
							&scene->series),
				 0);
	snapshot_init(&snapshot, 0);
	err = function_series_collect(scene->series, &scene->uprobes, scene->now_ms,
				      &snapshot);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	buf_clear(&scene->text);
	text_write(&scene->text, &snapshot, TEXT_OPENMETRICS_1_0);
	buf_append(&scene->text, "", 1);
	assert_int_equal(scene->text.error, 0);
	snapshot_free(&snapshot);
	return err;
}

/* Its samples are these lines and no others. */
static void expect(struct scene *scene, const char *lines)
{
	char samples[4096] = "";

	assert_int_equal(collect(scene), 0);
	for (char *line = strtok(scene->text.data, "\n"); line;
	     line = strtok(NULL, "\n"))
		if (*line != '#') {
			strcat(samples, line);
			strcat(samples, "\n");
		}
	assert_string_equal(samples, lines);
}

/* --- counters ----------------------------------------------------------------- */

static void calls_are_counted_by_rule(void **state)
{
	struct scene *scene = *state;

	expect(scene, "");
	put_single_count(0, 0);
	put_single_count(1, 7);
	put_single_count(RULES, 8); /* none of ours */
	put_single_count(UINT32_MAX, 8);
	expect(scene, "a_total 0\n"
		      "b_total 7\n");
	put_single_count(0, 1ull << 53);
	expect(scene, "a_total 9007199254740992\n"
		      "b_total 7\n");
	assert_int_equal(scene->uprobes.visits, 0); /* nobody asked for calls */
}

/* The array has one for each rule, whether it is used or not. */
static void a_rule_without_labels_of_the_call_has_a_row_of_its_own(void **state)
{
	const struct tally_function_row row = {.count = 3};
	struct scene *scene = *state;

	for (uint32_t i = 0; i <= RULES; i++)
		assert_int_equal(
		    bpf_map_update_elem(FAKE_FD + UPROBES_SINGLES, &i, &row, 0), 0);
	add_label(scene, 1, "shop")->constant = (char *)"x";
	expect(scene, "a_total 3\n"
		      "b_total{shop=\"x\"} 3\n");
	add_argument(scene, "n");
	expect(scene, "b_total{shop=\"x\"} 3\n");
	be(scene, CONFIG_SUMMARY, CONFIG_VALUE_NUMBER);
	expect(scene, "b_total{shop=\"x\"} 3\n");
}

static void a_counter_of_numbers_is_their_sum_in_units(void **state)
{
	struct scene *scene = *state;

	put_single(
	    0, &(struct tally_function_row){.count = 3, .sum = 1500000000, .last = 4});
	be(scene, CONFIG_COUNTER, CONFIG_VALUE_NUMBER);
	expect(scene, "a_total 1500000000\n");
	be(scene, CONFIG_COUNTER, CONFIG_VALUE_LATENCY);
	expect(scene, "a_total 1.5\n");
	be(scene, CONFIG_COUNTER, CONFIG_VALUE_NUMBER);
	put_single(0, &(struct tally_function_row){.count = 1, .sum = INT64_MIN});
	scene->rules[0].number = CONFIG_UINT64;
	expect(scene, "a_total 9.223372036854776e+18\n");
}

/* As two functions that feed one metric. */
static void rules_of_one_metric_are_one_family(void **state)
{
	struct scene *scene = *state;

	scene->family_of[1] = scene->family_of[0];
	put_single_count(0, 3);
	put_single_count(1, 4);
	expect(scene, "a_total 7\n");
	add_label(scene, 0, "of")->constant = (char *)"one";
	add_label(scene, 1, "of")->constant = (char *)"two";
	expect(scene, "a_total{of=\"one\"} 3\n"
		      "a_total{of=\"two\"} 4\n");
}

/* --- labels ------------------------------------------------------------------- */

static void labels_are_found_by_rule_and_hash(void **state)
{
	struct scene *scene = *state;
	const struct tally_function_labels_key of_another = {.rule = 1, .arguments = 5};
	const struct tally_function_labels wrong = {.text = {"wrong"}};

	add_argument(scene, "tier")->is_string = true;
	add_label(scene, 0, "shop")->constant = (char *)"x";
	assert_int_equal(
	    bpf_map_update_elem(FAKE_FD + UPROBES_LABELS, &of_another, &wrong, 0), 0);
	put_text(5, "gold");
	put_text(6, "tin");
	put_count((struct tally_function_key){.arguments = 5}, 1);
	put_count((struct tally_function_key){.arguments = 6}, 2);
	expect(scene, "a_total{shop=\"x\",tier=\"gold\"} 1\n"
		      "a_total{shop=\"x\",tier=\"tin\"} 2\n");
}

static void every_argument_has_its_place(void **state)
{
	struct scene *scene = *state;
	struct tally_function_labels texts = {.text = {"first", "", "third"}};

	add_label(scene, 0, "a")->constant = (char *)"x";
	add_argument(scene, "b")->is_string = true;
	add_argument(scene, "c");
	add_argument(scene, "d")->is_string = true;
	set_number(&texts, 1, -7, false);
	put_texts(9, &texts);
	put_count((struct tally_function_key){.arguments = 9}, 1);
	expect(scene, "a_total{a=\"x\",b=\"first\",c=\"-7\",d=\"third\"} 1\n");
}

static void strings_are_made_labels(void **state)
{
	static const struct {
		const char *string, *line;
	} cases[] = {
	    {"gold", "a_total{tier=\"gold\"} 1\n"},
	    {"two words ", "a_total{tier=\"two words\"} 1\n"},
	    {"\"\\\n", "a_total{tier=\"\\\"\\\\\"} 1\n"},
	    {"b\xffy\x01", "a_total{tier=\"b_y_\"} 1\n"},
	    {"h\xc3\xa9", "a_total{tier=\"h\xc3\xa9\"} 1\n"},
	    {"", "a_total 1\n"},
	    {" \t", "a_total 1\n"},
	    {"other", "a_total{tier=\"other\"} 1\n"},
	    /* 64 bytes without a NUL */
	    {"0123456789012345678901234567890123456789012345678901234567890123",
	     "a_total{tier=\"0123456789012345678901234567890123456789012345678901234567"
	     "890123\"} 1\n"},
	};
	struct scene *scene = *state;

	add_argument(scene, "tier")->is_string = true;
	put_count((struct tally_function_key){.arguments = 5}, 1);
	for (size_t i = 0; i < COUNT(cases); i++) {
		put_text(5, cases[i].string);
		expect(scene, cases[i].line);
	}
}

static void numbers_are_written_as_their_type(void **state)
{
	static const struct {
		enum config_number type;
		int64_t number;
		const char *line;
	} cases[] = {
	    {CONFIG_INT64, -1, "a_total{n=\"-1\"} 1\n"},
	    {CONFIG_INT32, INT32_MIN, "a_total{n=\"-2147483648\"} 1\n"},
	    {CONFIG_INT64, INT64_MIN, "a_total{n=\"-9223372036854775808\"} 1\n"},
	    {CONFIG_UINT64, -1, "a_total{n=\"18446744073709551615\"} 1\n"},
	    {CONFIG_UINT32, UINT32_MAX, "a_total{n=\"4294967295\"} 1\n"},
	    {CONFIG_BOOL, 1, "a_total{n=\"1\"} 1\n"},
	};
	struct scene *scene = *state;
	struct config_function_label *label = add_argument(scene, "n");

	put_count((struct tally_function_key){.arguments = 5}, 1);
	for (size_t i = 0; i < COUNT(cases); i++) {
		label->number = cases[i].type;
		put_number(5, cases[i].number, false);
		expect(scene, cases[i].line);
	}
}

static struct config_label_value names[] = {
    {0, (char *)"ok"}, {1, (char *)"again"}, {2, (char *)"ok"}, {-1, (char *)"error"}};

static void numbers_of_one_text_are_added_up(void **state)
{
	struct scene *scene = *state;
	struct config_function_label *label = add_result(scene, "result");

	label->values = names;
	label->value_count = COUNT(names);
	for (int64_t result = -1; result <= 2; result++)
		put_count((struct tally_function_key){.result = result}, 10 + result);
	expect(scene, "a_total{result=\"again\"} 11\n"
		      "a_total{result=\"error\"} 9\n"
		      "a_total{result=\"ok\"} 22\n");
	put_count((struct tally_function_key){.result = 3}, 5); /* not named */
	put_count((struct tally_function_key){.other_result = 1}, 6);
	expect(scene, "a_total{result=\"again\"} 11\n"
		      "a_total{result=\"error\"} 9\n"
		      "a_total{result=\"ok\"} 22\n"
		      "a_total{result=\"other\"} 11\n");
}

static void numbers_that_are_not_named_are_other(void **state)
{
	struct scene *scene = *state;
	struct config_function_label *label = add_argument(scene, "n");

	label->values = names;
	label->value_count = COUNT(names);
	put_number(5, 2, false);
	put_number(6, 0, true); /* the kernel says so, whatever the number */
	put_count((struct tally_function_key){.arguments = 5}, 1);
	put_count((struct tally_function_key){.arguments = 6}, 2);
	put_count((struct tally_function_key){.arguments = TALLY_ARGUMENTS_OTHER}, 4);
	expect(scene, "a_total{n=\"ok\"} 1\n"
		      "a_total{n=\"other\"} 6\n");
}

static void other_is_hidden_while_it_is_empty(void **state)
{
	struct scene *scene = *state;
	const struct tally_function_key others[] = {
	    {.other_result = 1, .arguments = TALLY_ARGUMENTS_OTHER},
	    {.arguments = TALLY_ARGUMENTS_OTHER},
	    {.other_result = 1, .arguments = 5},
	};

	add_argument(scene, "tier")->is_string = true;
	add_result(scene, "result");
	put_text(5, "gold");
	for (size_t i = 0; i < COUNT(others); i++)
		put_count(others[i], 0);
	expect(scene, "");
	put_count(others[0], 1);
	expect(scene, "a_total{result=\"other\",tier=\"other\"} 1\n");
	put_count(others[1], 2);
	put_count(others[2], 4);
	expect(scene, "a_total{result=\"0\",tier=\"other\"} 2\n"
		      "a_total{result=\"other\",tier=\"gold\"} 4\n"
		      "a_total{result=\"other\",tier=\"other\"} 1\n");
}

/* What a string says and what finds no room are told apart by nobody. */
static void a_string_that_says_other_is_added_up(void **state)
{
	struct scene *scene = *state;

	add_argument(scene, "tier")->is_string = true;
	put_text(5, "other");
	put_count((struct tally_function_key){.arguments = 5}, 1);
	put_count((struct tally_function_key){.arguments = TALLY_ARGUMENTS_OTHER}, 2);
	expect(scene, "a_total{tier=\"other\"} 3\n");
}

static void many_rows_are_all_there(void **state)
{
	struct scene *scene = *state;
	uint64_t sum = 0;
	size_t lines = 0;

	add_argument(scene, "n");
	for (unsigned int i = 0; i < 1000; i++) {
		put_number(100 + i, i, false);
		put_count((struct tally_function_key){.arguments = 100 + i}, i);
	}
	assert_int_equal(collect(scene), 0);
	for (char *line = strtok(scene->text.data, "\n"); line;
	     line = strtok(NULL, "\n"))
		if (*line != '#') {
			sum += strtoull(strchr(line, ' '), NULL, 10);
			lines++;
		}
	assert_int_equal(lines, 1000);
	assert_int_equal(sum, 1000 * 999 / 2);
}

/* --- gauges ------------------------------------------------------------------- */

static void a_gauge_has_the_last_number_once_there_is_one(void **state)
{
	struct scene *scene = *state;

	be(scene, CONFIG_GAUGE, CONFIG_VALUE_NUMBER);
	put_single_count(0, 0);
	expect(scene, "");
	put_single(0, &(struct tally_function_row){.count = 3, .sum = 99, .last = -5});
	expect(scene, "a -5\n");
	put_single(0, &(struct tally_function_row){.count = 4, .sum = 99, .last = 0});
	expect(scene, "a 0\n");
	scene->rules[0].number = CONFIG_UINT64;
	put_single(0, &(struct tally_function_row){.count = 4, .last = -1});
	expect(scene, "a 1.8446744073709552e+19\n");
}

static void a_row_without_a_number_does_not_hide_one(void **state)
{
	struct scene *scene = *state;
	struct config_function_label *label = add_result(scene, "result");

	be(scene, CONFIG_GAUGE, CONFIG_VALUE_NUMBER);
	label->values = names;
	label->value_count = COUNT(names);
	put_count((struct tally_function_key){.result = 0}, 0);
	put(&(struct tally_function_key){.result = 2},
	    &(struct tally_function_row){.count = 1, .last = 8});
	expect(scene, "a{result=\"ok\"} 8\n");
}

static void calls_under_way_are_counted_where_they_are(void **state)
{
	struct scene *scene = *state;

	be(scene, CONFIG_GAUGE, CONFIG_VALUE_IN_PROGRESS);
	put_single_count(0, 0);
	put_single_count(1, 3);
	expect(scene, "a 0\n"
		      "b_total 3\n");
	scene->uprobes.calls[0].rule = scene->uprobes.calls[1].rule = 0;
	scene->uprobes.calls[2].rule = 1;
	scene->uprobes.calls[3].rule = RULES;
	scene->uprobes.call_count = 4;
	expect(scene, "a 2\n"
		      "b_total 3\n");
	function_series_free(&scene->series);
	add_argument(scene, "tier")->is_string = true;
	put_text(5, "gold");
	scene->uprobes.calls[0].arguments = 5;
	scene->uprobes.calls[1].arguments = TALLY_ARGUMENTS_OTHER;
	put_count((struct tally_function_key){.arguments = 5}, 1);
	expect(scene, "a{tier=\"gold\"} 1\n"
		      "a{tier=\"other\"} 1\n"
		      "b_total 3\n");
	scene->uprobes.call_count = 0;
	expect(scene, "a{tier=\"gold\"} 0\n"
		      "b_total 3\n");
}

/* --- histograms --------------------------------------------------------------- */

static const double bounds[] = {0.005, 1, 2.5};

static void be_histogram(struct scene *scene, enum config_value_kind value)
{
	be(scene, CONFIG_HISTOGRAM, value);
	scene->rules[0].bounds = (double *)bounds;
	scene->rules[0].bound_count = COUNT(bounds);
}

static void a_histogram_has_its_bounds_and_sum_in_units(void **state)
{
	struct scene *scene = *state;
	const struct tally_function_row row = {
	    .count = 10, .sum = 12500000000, .buckets = {1, 2, 3, 4}};

	be_histogram(scene, CONFIG_VALUE_LATENCY);
	scene->families[0].name = "a_seconds";
	scene->families[0].unit = "seconds";
	put_single(0, &row);
	expect(scene, "a_seconds_bucket{le=\"0.005\"} 1\n"
		      "a_seconds_bucket{le=\"1.0\"} 3\n"
		      "a_seconds_bucket{le=\"2.5\"} 6\n"
		      "a_seconds_bucket{le=\"+Inf\"} 10\n"
		      "a_seconds_count 10\n"
		      "a_seconds_sum 12.5\n");
	scene->rules[0].value = CONFIG_VALUE_NUMBER;
	expect(scene, "a_seconds_bucket{le=\"0.005\"} 1\n"
		      "a_seconds_bucket{le=\"1.0\"} 3\n"
		      "a_seconds_bucket{le=\"2.5\"} 6\n"
		      "a_seconds_bucket{le=\"+Inf\"} 10\n"
		      "a_seconds_count 10\n"
		      "a_seconds_sum 12500000000\n");
}

static void an_empty_histogram_is_shown(void **state)
{
	struct scene *scene = *state;

	be_histogram(scene, CONFIG_VALUE_LATENCY);
	put_single_count(0, 0);
	expect(scene, "a_bucket{le=\"0.005\"} 0\n"
		      "a_bucket{le=\"1.0\"} 0\n"
		      "a_bucket{le=\"2.5\"} 0\n"
		      "a_bucket{le=\"+Inf\"} 0\n"
		      "a_count 0\n"
		      "a_sum 0\n");
}

static void histograms_of_one_text_are_added_up(void **state)
{
	struct scene *scene = *state;
	struct config_function_label *label = add_result(scene, "result");

	be_histogram(scene, CONFIG_VALUE_NUMBER);
	label->values = names;
	label->value_count = COUNT(names);
	put(&(struct tally_function_key){.result = 0},
	    &(struct tally_function_row){.count = 2, .sum = -5, .buckets = {1, 0, 1}});
	put(&(struct tally_function_key){.result = 2},
	    &(struct tally_function_row){
		.count = 4, .sum = 9, .buckets = {1, 1, 1, 1}});
	expect(scene, "a_bucket{result=\"ok\",le=\"0.005\"} 2\n"
		      "a_bucket{result=\"ok\",le=\"1.0\"} 3\n"
		      "a_bucket{result=\"ok\",le=\"2.5\"} 5\n"
		      "a_bucket{result=\"ok\",le=\"+Inf\"} 6\n"
		      "a_count{result=\"ok\"} 6\n"
		      "a_sum{result=\"ok\"} 4\n");
}

static void all_bounds_that_may_be_are_shown(void **state)
{
	struct scene *scene = *state;
	double all[TALLY_FUNCTION_BOUNDS];
	struct tally_function_row row = {.count = TALLY_FUNCTION_BOUNDS + 1};

	be_histogram(scene, CONFIG_VALUE_NUMBER);
	scene->rules[0].bounds = all;
	scene->rules[0].bound_count = COUNT(all);
	for (size_t i = 0; i < COUNT(all); i++)
		all[i] = (double)i;
	for (size_t i = 0; i <= COUNT(all); i++)
		row.buckets[i] = 1;
	put_single(0, &row);
	assert_int_equal(collect(scene), 0);
	assert_non_null(strstr(scene->text.data, "a_bucket{le=\"31.0\"} 32\n"));
	assert_non_null(strstr(scene->text.data, "a_bucket{le=\"+Inf\"} 33\n"));
}

/* --- summaries ---------------------------------------------------------------- */

#define MAX_AGE_MS 10000

static void be_summary(struct scene *scene, enum config_value_kind value)
{
	static const double quantiles[] = {0.5};

	be(scene, CONFIG_SUMMARY, value);
	scene->rules[0].quantiles = (double *)quantiles;
	scene->rules[0].quantile_count = 1;
	scene->rules[0].max_age_ms = MAX_AGE_MS;
	scene->rules[0].age_buckets = 5;
}

/* `calls` calls more of one number, at that index of the logarithmic buckets. */
static void put_summary(const struct tally_function_key *key,
			const struct tally_function_summary *summary)
{
	assert_int_equal(
	    bpf_map_update_elem(FAKE_FD + UPROBES_SUMMARIES, key, summary, 0), 0);
}

static void observe(struct tally_function_summary *summary, uint32_t index,
		    uint64_t calls, int64_t number)
{
	summary->row.count += calls;
	summary->row.sum += (int64_t)calls * number;
	summary->logs[index] += calls;
	put_summary(&(struct tally_function_key){}, summary);
}

static void expect_summary(struct scene *scene, double median, const char *rest)
{
	char lines[512], number[32];

	text_number(number, median);
	snprintf(lines, sizeof(lines), "a{quantile=\"0.5\"} %s\n%s", number, rest);
	expect(scene, lines);
}

static double median_of(const struct quantile_scale *scale, uint32_t index)
{
	uint64_t counts[QUANTILE_BUCKETS_MAX] = {};

	counts[index] = 1;
	return quantile_of(scale, counts, 0.5);
}

static void a_summary_is_of_its_window(void **state)
{
	struct scene *scene = *state;
	struct tally_function_summary row = {};
	const uint32_t large = value_bucket(1000), small = value_bucket(7);

	be_summary(scene, CONFIG_VALUE_NUMBER);
	observe(&row, large, 0, 0);
	expect_summary(scene, __builtin_nan(""), "a_count 0\na_sum 0\n");
	observe(&row, large, 9, 1000);
	scene->now_ms += MAX_AGE_MS / 5;
	expect_summary(scene, median_of(&quantile_values, large),
		       "a_count 9\na_sum 9000\n");
	scene->now_ms += MAX_AGE_MS + 1;
	expect_summary(scene, __builtin_nan(""), "a_count 9\na_sum 9000\n");
	observe(&row, small, 1, 7);
	scene->now_ms += 1000;
	expect_summary(scene, median_of(&quantile_values, small),
		       "a_count 10\na_sum 9007\n");
}

static void a_summary_of_latency_is_in_seconds(void **state)
{
	struct scene *scene = *state;
	struct tally_function_summary row = {};
	const uint32_t index =
	    bucket_index(native_bounds_ns, NATIVE_BUCKETS - 1, 5000000);
	const double median = median_of(&quantile_durations, index) / 1e9;

	be_summary(scene, CONFIG_VALUE_LATENCY);
	observe(&row, index, 4, 5000000);
	expect_summary(scene, median, "a_count 4\na_sum 0.02\n");
	assert_true(median > 0.005 * 0.955 && median < 0.005 * 1.045);
}

static void summaries_of_one_text_are_added_up(void **state)
{
	struct scene *scene = *state;
	struct config_function_label *label = add_result(scene, "result");
	struct tally_function_summary row = {{.count = 1, .sum = 3}, {[3] = 1}};

	be_summary(scene, CONFIG_VALUE_NUMBER);
	label->values = names;
	label->value_count = COUNT(names);
	put_summary(&(struct tally_function_key){.result = 0}, &row);
	put_summary(&(struct tally_function_key){.result = 2}, &row);
	assert_int_equal(collect(scene), 0);
	assert_non_null(strstr(scene->text.data, "a_count{result=\"ok\"} 2\n"));
	assert_non_null(strstr(scene->text.data, "a_sum{result=\"ok\"} 6\n"));
}

static void a_failed_collection_forgets_no_window(void **state)
{
	struct scene *scene = *state;
	struct tally_function_summary row = {};
	const uint32_t large = value_bucket(1000), small = value_bucket(7);

	be_summary(scene, CONFIG_VALUE_NUMBER);
	observe(&row, large, 9, 1000);
	assert_int_equal(collect(scene), 0);
	scene->now_ms += MAX_AGE_MS + 1;
	assert_int_equal(collect(scene), 0);
	fake_maps[UPROBES_SUMMARIES].batch_err = -ENOMEM;
	assert_int_equal(collect(scene), -ENOMEM);
	fake_maps[UPROBES_SUMMARIES].batch_err = 0;
	observe(&row, small, 1, 7);
	expect_summary(scene, median_of(&quantile_values, small),
		       "a_count 10\na_sum 9007\n");
}

/* --- errors ------------------------------------------------------------------- */

static void a_map_that_cannot_be_read_is_said_so(void **state)
{
	struct scene *scene = *state;

	add_argument(scene, "tier")->is_string = true;
	scene->rules[1].type = CONFIG_SUMMARY;
	put_single_count(0, 1);
	for (int i = UPROBES_SINGLES; i <= UPROBES_LABELS; i++) {
		fake_maps[i].batch_err = -EPERM;
		assert_int_equal(collect(scene), -EPERM);
		/* labels that are not known are not `other` */
		assert_null(strstr(scene->text.data, "a_total"));
		fake_maps[i].batch_err = 0;
	}
	scene->uprobes.err = -EIO;
	assert_int_equal(collect(scene), 0);
	function_series_free(&scene->series);
	be(scene, CONFIG_GAUGE, CONFIG_VALUE_IN_PROGRESS);
	assert_int_equal(collect(scene), -EIO);
}

/* A walk over a hash without rows takes as long as one over a full one's buckets. */
static void a_map_that_no_rule_needs_is_not_read(void **state)
{
	struct scene *scene = *state;

	put_single_count(0, 1);
	for (int i = UPROBES_ROWS; i <= UPROBES_GOROUTINES; i++)
		fake_maps[i].batch_err = -EPERM;
	expect(scene, "a_total 1\n");
	function_series_free(&scene->series);
	fake_maps[UPROBES_ROWS].batch_err = 0;
	add_result(scene, "result"); /* is no text */
	put_count((struct tally_function_key){.result = 7}, 2);
	put_count((struct tally_function_key){.rule = RULES}, 3); /* none of ours */
	expect(scene, "a_total{result=\"7\"} 2\n");
}

static void put_call_of_a_goroutine(uint64_t g, uint32_t rule, uint64_t arguments)
{
	const struct tally_goroutine_key key = {.pid = 1, .rule = rule, .g = g};
	const struct tally_function_frame frame = {.rule = rule,
						   .arguments = arguments};

	assert_int_equal(
	    bpf_map_update_elem(FAKE_FD + UPROBES_GOROUTINES, &key, &frame, 0), 0);
}

static void calls_of_goroutines_are_under_way_too(void **state)
{
	struct scene *scene = *state;

	be(scene, CONFIG_GAUGE, CONFIG_VALUE_IN_PROGRESS);
	add_argument(scene, "tier")->is_string = true;
	put_text(5, "gold");
	scene->uprobes.calls[0].arguments = 5;
	scene->uprobes.call_count = 1;
	put_call_of_a_goroutine(1, 0, 5);
	put_call_of_a_goroutine(2, 0, 5);
	put_call_of_a_goroutine(3, 0, TALLY_ARGUMENTS_OTHER);
	put_call_of_a_goroutine(4, 1, 0);
	put_call_of_a_goroutine(5, RULES, 0);
	expect(scene, "a{tier=\"gold\"} 3\n"
		      "a{tier=\"other\"} 1\n");
	fake_maps[UPROBES_GOROUTINES].batch_err = -EPERM;
	assert_int_equal(collect(scene), -EPERM);
}

static void put_gold(void)
{
	put_text(5, "gold");
}

static void a_call_that_began_just_now_has_its_labels(void **state)
{
	struct scene *scene = *state;

	be(scene, CONFIG_GAUGE, CONFIG_VALUE_IN_PROGRESS);
	add_argument(scene, "tier")->is_string = true;
	scene->uprobes.calls[0].arguments = 5;
	scene->uprobes.call_count = 1;
	scene->uprobes.meanwhile = put_gold;
	expect(scene, "a{tier=\"gold\"} 1\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(calls_are_counted_by_rule),
	    TEST(a_rule_without_labels_of_the_call_has_a_row_of_its_own),
	    TEST(a_counter_of_numbers_is_their_sum_in_units),
	    TEST(rules_of_one_metric_are_one_family),
	    TEST(labels_are_found_by_rule_and_hash),
	    TEST(every_argument_has_its_place),
	    TEST(strings_are_made_labels),
	    TEST(numbers_are_written_as_their_type),
	    TEST(numbers_of_one_text_are_added_up),
	    TEST(numbers_that_are_not_named_are_other),
	    TEST(other_is_hidden_while_it_is_empty),
	    TEST(a_string_that_says_other_is_added_up),
	    TEST(many_rows_are_all_there),
	    TEST(a_gauge_has_the_last_number_once_there_is_one),
	    TEST(a_row_without_a_number_does_not_hide_one),
	    TEST(calls_under_way_are_counted_where_they_are),
	    TEST(calls_of_goroutines_are_under_way_too),
	    TEST(a_call_that_began_just_now_has_its_labels),
	    TEST(a_histogram_has_its_bounds_and_sum_in_units),
	    TEST(an_empty_histogram_is_shown),
	    TEST(histograms_of_one_text_are_added_up),
	    TEST(all_bounds_that_may_be_are_shown),
	    TEST(a_summary_is_of_its_window),
	    TEST(a_summary_of_latency_is_in_seconds),
	    TEST(summaries_of_one_text_are_added_up),
	    TEST(a_failed_collection_forgets_no_window),
	    TEST(a_map_that_cannot_be_read_is_said_so),
	    TEST(a_map_that_no_rule_needs_is_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
