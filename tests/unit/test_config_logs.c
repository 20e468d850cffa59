/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_case.h"

#define RECEIVER "loki_write: [{url: 'http://h/loki/api/v1/push'}]\n"

static void what_is_left_out_has_a_default(void **state)
{
	struct loaded loaded;
	const struct config_log *log;

	(void)state;
	load_text(RECEIVER "logs: [{paths: /var/log/*.log}]\n", &loaded);
	assert_int_equal(loaded.err, 0);
	assert_int_equal(loaded.config.log_count, 1);
	log = &loaded.config.logs[0];
	assert_string_equal(log->job, "bpftally");
	assert_int_equal(log->paths.count, 1);
	assert_string_equal(log->paths.items[0], "/var/log/*.log");
	assert_null(log->first_line);
	assert_int_equal(log->max_wait_ms, 3000);
	assert_int_equal(log->max_lines, 128);
	assert_int_equal(log->max_line_bytes, 262144);
	assert_false(log->from_end || log->is_auto);
	config_free(&loaded.config);
}

static void everything_can_be_said(void **state)
{
	struct loaded loaded;
	const struct config_log *log;

	(void)state;
	load_text(RECEIVER "logs:\n"
			   "- job: nginx\n"
			   "  paths: ['/var/log/{a,b}/**/*.log', /srv/x.log]\n"
			   "  exclude: ['/var/log/a/old*']\n"
			   "  labels: {env: prod}\n"
			   "  multiline: {firstline: '^\\d', max_wait_time: 5s, "
			   "max_lines: 7}\n"
			   "  drop: [healthz, '^DEBUG']\n"
			   "  keep: GET\n"
			   "  max_line_size: 16KB\n"
			   "  start_at: end\n"
			   "  auto: true\n"
			   "  metrics:\n"
			   "  - {name: answers_total, help: Answers., regex: "
			   "'(?P<status>\\d+)', max_values: 9}\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.err, 0);
	log = &loaded.config.logs[0];
	assert_string_equal(log->job, "nginx");
	assert_int_equal(log->paths.count, 3);
	assert_string_equal(log->paths.items[1], "/var/log/b/**/*.log");
	assert_string_equal(log->excludes.items[0], "/var/log/a/old*");
	assert_string_equal(log->labels.items[0].value, "prod");
	assert_string_equal(log->first_line, "^\\d");
	assert_int_equal(log->max_wait_ms, 5000);
	assert_int_equal(log->max_lines, 7);
	assert_int_equal(log->drops.count, 2);
	assert_string_equal(log->keeps.items[0], "GET");
	assert_int_equal(log->max_line_bytes, 16384);
	assert_true(log->from_end && log->is_auto);
	assert_string_equal(log->metrics[0].name, "answers");
	assert_string_equal(log->metrics[0].help, "Answers.");
	assert_int_equal(log->metrics[0].max_values, 9);
	config_free(&loaded.config);
}

static void labels_may_be_pasted_from_promtail(void **state)
{
	struct loaded loaded;

	(void)state;
	load_text(RECEIVER "logs:\n"
			   "- labels:\n"
			   "    job: varlogs\n"
			   "    __path__: /var/log/*log\n"
			   "    __path_exclude__: /var/log/y*\n"
			   "    host: h\n",
		  &loaded);
	assert_int_equal(loaded.err, 0);
	assert_string_equal(loaded.config.logs[0].job, "varlogs");
	assert_string_equal(loaded.config.logs[0].paths.items[0], "/var/log/*log");
	assert_string_equal(loaded.config.logs[0].excludes.items[0], "/var/log/y*");
	assert_int_equal(loaded.config.logs[0].labels.count, 1);
	config_free(&loaded.config);
}

static void what_makes_no_sense_is_refused(void **state)
{
	static const struct {
		const char *yaml;
		const char *error;
	} cases[] = {
	    {"logs: {paths: /x}\n", "2: 'logs' must be a list, not a mapping"},
	    {"logs: [{job: x}]\n",
	     "2: an entry of logs needs 'paths', or 'auto: true'"},
	    {"logs: [{paths: var/log/x}]\n",
	     "2: 'paths' must be an absolute path, not 'var/log/x'"},
	    {"logs: [{paths: /x, drop: '('}]\n",
	     "2: 'drop' '(' cannot be read: missing closing parenthesis at offset 1"},
	    {"logs: [{paths: /x, multiline: {max_lines: 3}}]\n",
	     "2: multiline needs 'firstline'"},
	    {"logs: [{paths: /x, labels: {filename: y}}]\n",
	     "2: label 'filename' is set by the file's path"},
	    {"logs: [{paths: /x, labels: {a-b: y}}]\n",
	     "2: label 'a-b' is not a label name ([a-zA-Z_][a-zA-Z0-9_]*, not "
	     "beginning with '__')"},
	    {"logs: [{paths: /x, labels: {__x__: y}}]\n",
	     "2: label '__x__' is not a label name ([a-zA-Z_][a-zA-Z0-9_]*, not "
	     "beginning with '__')"},
	    {"logs: [{paths: /x, job: a, labels: {job: b}}]\n",
	     "2: 'job' is given twice"},
	    {"logs: [{paths: /x, start_at: middle}]\n",
	     "2: 'start_at' must be beginning or end, not 'middle'"},
	    {"logs: [{paths: /x, encoding: utf-16}]\n",
	     "2: unknown key 'encoding' in an entry of logs"},
	    {"logs: [{paths: /x, max_line_size: 1MB}]\n",
	     "2: 'max_line_size' must be from 64B to 256KB (like 256KB), not '1MB'"},
	    {"logs: [{paths: /x, metrics: [{name: http_x, regex: x}]}]\n",
	     "2: 'name' 'http_x' begins with http_, bpftally_, process_ or scrape_, "
	     "which are taken"},
	    {"logs: [{paths: /x, metrics: [{name: 1a, regex: x}]}]\n",
	     "2: 'name' '1a' is not a metric name ([a-zA-Z_][a-zA-Z0-9_]*)"},
	    {"logs: [{paths: /x, metrics: [{name: up, regex: x}]}]\n",
	     "2: 'name' 'up' is taken: every target has one"},
	    {"logs: [{paths: /x, metrics: [{name: a, regex: '(?<le>x)'}]}]\n",
	     "2: group 'le' is reserved: histograms and summaries have it"},
	    {"logs: [{paths: /x, metrics: [{name: a, regex: x}, {name: a_total, "
	     "regex: y}]}]\n",
	     "2: a metric of that name is at "},
	    {"logs: [{paths: /x, labels: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, "
	     "h: 1, i: 1, j: 1, k: 1, l: 1, m: 1, n: 1}}]\n",
	     "2: more than 15 labels, with job, filename and external_labels"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct loaded loaded;
		char yaml[1024];

		snprintf(yaml, sizeof(yaml), RECEIVER "%s", cases[i].yaml);
		load_text(yaml, &loaded);
		assert_int_equal(loaded.err, -EINVAL);
		if (strncmp(loaded.error, cases[i].error, strlen(cases[i].error)) != 0)
			assert_string_equal(loaded.error, cases[i].error);
		assert_null(strchr(loaded.error, '\n'));
		config_free(&loaded.config);
	}
}

static void logs_need_a_receiver(void **state)
{
	(void)state;
	assert_refused("logs: [{paths: /x}]\n",
		       "1: logs need a receiver: 'loki_write' is missing");
	assert_accepted("logs: []\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_left_out_has_a_default),
	    cmocka_unit_test(everything_can_be_said),
	    cmocka_unit_test(labels_may_be_pasted_from_promtail),
	    cmocka_unit_test(what_makes_no_sense_is_refused),
	    cmocka_unit_test(logs_need_a_receiver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
