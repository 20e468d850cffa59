/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config_case.h"
#include "length.h"
#include "options.h"

#define ARGUMENTS_MAX 80

/* Splits at blanks, in place: "--pid 1" is two arguments. */
static int parse(const char *line, struct options *ret_options,
		 char error[CONFIG_ERROR_LEN])
{
	static char words[2048];
	char *argv[ARGUMENTS_MAX + 2] = {"bpftally"}, *rest = words, *word;
	int argc = 1;

	snprintf(words, sizeof(words), "%s", line);
	while ((word = strsep(&rest, " ")) && argc <= ARGUMENTS_MAX)
		argv[argc++] = word;
	if (!*line)
		argc = 1;
	argv[argc] = NULL;
	*error = '\0';
	return options_parse(argc, argv, ret_options, error);
}

static void accept(const char *line, struct options *ret_options)
{
	char error[CONFIG_ERROR_LEN];

	if (parse(line, ret_options, error))
		fail_msg("'%s' gave '%s'", line, error);
}

static void nothing_given_is_marked_as_such(void **state)
{
	struct options options;

	(void)state;
	accept("", &options);
	assert_int_equal(options.action, CONFIG_RUN);
	assert_null(options.config_file);
	assert_null(options.listen);
	assert_null(options.web_config_file);
	assert_null(options.service);
	assert_null(options.remote_write_url);
	assert_int_equal(options.pid_count + options.exe_count + options.port_count, 0);
	assert_int_equal(options.function_count, 0);
	assert_true(options.max_series == OPTIONS_NOT_GIVEN);
	assert_true(options.max_routes == OPTIONS_NOT_GIVEN);
	assert_true(options.scrape_interval_ms == OPTIONS_NOT_GIVEN);
	assert_true(options.grace_ms == OPTIONS_NOT_GIVEN);
	assert_false(options.capture_given);
	assert_false(options.probe);
	assert_false(options.summaries);
	assert_false(options.process_metrics_given);
	assert_false(options.verbose);
}

static void every_option_arrives(void **state)
{
	struct options options;

	(void)state;
	accept("--pid 1 --pid=4194304 --exe /a* --exe /b --port 80 --port 65535 "
	       "--function /a:f --function=/b:g::h "
	       "--service shop --listen :1 --web.config.file w --config f "
	       "--remote-write http://a/b "
	       "--tenant t --token-file k --scrape-interval 500ms --grace 0 "
	       "--max-series 1000000 --max-routes 16384 --capture fentry --summaries "
	       "--process-metrics service --no-bpf --verbose",
	       &options);
	assert_int_equal(options.action, CONFIG_RUN);
	assert_int_equal(options.pid_count, 2);
	assert_int_equal(options.pids[0], 1);
	assert_int_equal(options.pids[1], 4194304);
	assert_int_equal(options.exe_count, 2);
	assert_string_equal(options.exes[0], "/a*");
	assert_string_equal(options.exes[1], "/b");
	assert_int_equal(options.port_count, 2);
	assert_int_equal(options.ports[0], 80);
	assert_int_equal(options.ports[1], 65535);
	assert_int_equal(options.function_count, 2);
	assert_string_equal(options.functions[0], "/a:f");
	assert_string_equal(options.functions[1], "/b:g::h");
	assert_string_equal(options.service, "shop");
	assert_string_equal(options.listen, ":1");
	assert_string_equal(options.web_config_file, "w");
	assert_string_equal(options.config_file, "f");
	assert_string_equal(options.remote_write_url, "http://a/b");
	assert_string_equal(options.tenant, "t");
	assert_string_equal(options.token_file, "k");
	assert_int_equal(options.scrape_interval_ms, 500);
	assert_int_equal(options.grace_ms, 0);
	assert_int_equal(options.max_series, 1000000);
	assert_int_equal(options.max_routes, 16384);
	assert_true(options.capture_given);
	assert_int_equal(options.capture, CAPTURE_FENTRY);
	assert_true(options.summaries);
	assert_true(options.no_bpf);
	assert_true(options.process_metrics_given);
	assert_int_equal(options.process_metrics, CONFIG_PROCESS_METRICS_SERVICE);
	assert_true(options.verbose);
}

static void actions_are_told_apart(void **state)
{
	static const struct {
		const char *line;
		enum config_action action;
		const char *file;
	} cases[] = {
	    {"--help", CONFIG_HELP, NULL},
	    {"--version", CONFIG_VERSION, NULL},
	    {"--pid 1 --help --no-such", CONFIG_HELP, NULL},
	    {"doctor", CONFIG_DOCTOR, NULL},
	    {"--verbose doctor", CONFIG_DOCTOR, NULL},
	    {"doctor --config f", CONFIG_DOCTOR, "f"},
	    {"--check-config f", CONFIG_CHECK, "f"},
	    {"--check-config=f", CONFIG_CHECK, "f"},
	    {"--check-config --config f", CONFIG_CHECK, "f"},
	    {"--config f --check-config", CONFIG_CHECK, "f"},
	    {"--check-config doctor", CONFIG_CHECK, "doctor"},
	    {"--check-config -- --f", CONFIG_CHECK, "--f"},
	    {"--config doctor", CONFIG_RUN, "doctor"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct options options;

		accept(cases[i].line, &options);
		assert_int_equal(options.action, cases[i].action);
		if (cases[i].file)
			assert_string_equal(options.config_file, cases[i].file);
		else
			assert_null(options.config_file);
	}
}

static void functions_are_listed_of_a_subject(void **state)
{
	static const struct {
		const char *line, *subject, *glob;
	} cases[] = {
	    {"functions /bin/shop", "/bin/shop", NULL},
	    {"functions 4242 shop::*", "4242", "shop::*"},
	    {"functions doctor functions", "doctor", "functions"},
	    {"--verbose functions --config f ./shop -- --*", "./shop", "--*"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct options options;

		accept(cases[i].line, &options);
		assert_int_equal(options.action, CONFIG_FUNCTIONS);
		assert_string_equal(options.list_subject, cases[i].subject);
		assert_int_equal(!options.list_glob, !cases[i].glob);
		if (cases[i].glob)
			assert_string_equal(options.list_glob, cases[i].glob);
	}
}

static void a_check_looks_into_binaries_when_asked(void **state)
{
	static const char *const lines[] = {"--check-config f --probe",
					    "--probe --check-config f"};

	(void)state;
	for (size_t i = 0; i < LENGTH(lines); i++) {
		struct options options;

		accept(lines[i], &options);
		assert_int_equal(options.action, CONFIG_CHECK);
		assert_string_equal(options.config_file, "f");
		assert_true(options.probe);
	}
}

static const struct {
	const char *line, *error;
} mistakes[] = {
    {"--pid", "--pid needs a value"},
    {"--pid 1 --tenant", "--tenant needs a value"},
    {"--pid 0", "--pid must be a whole number from 1 to 4194304, not '0'"},
    {"--pid 4194305", "--pid must be a whole number from 1 to 4194304, not '4194305'"},
    {"--pid --port", "--pid must be a whole number from 1 to 4194304, not '--port'"},
    {"--port x", "--port must be a whole number from 1 to 65535, not 'x'"},
    {"--port 65536", "--port must be a whole number from 1 to 65535, not '65536'"},
    {"--exe=", "--exe has no value"},
    {"--function=", "--function has no value"},
    {"--service=", "--service has no value"},
    {"--service=\xff", "--service is not UTF-8"},
    {"--listen=", "--listen has no value"},
    {"--config=", "--config has no value"},
    {"--config a --config b", "two configuration files are given"},
    {"--check-config a --config b", "two configuration files are given"},
    {"--check-config a b", "two configuration files are given"},
    {"--check-config", "--check-config needs a file"},
    {"--scrape-interval 99ms",
     "--scrape-interval must be a duration from 100ms to 1d (like 1m30s), not "
     "'99ms'"},
    {"--scrape-interval 15", "--scrape-interval must be a duration from 100ms "
			     "to 1d (like 1m30s), not '15'"},
    {"--state-dir=", "--state-dir has no value"},
    {"--grace 8d", "--grace must be a duration from 0s to 1w (like 1m30s), not '8d'"},
    {"--max-series 0",
     "--max-series must be a whole number from 1 to 1000000, not '0'"},
    {"--max-routes 16385",
     "--max-routes must be a whole number from 1 to 16384, not '16385'"},
    {"--process-metrics pid",
     "--process-metrics must be process, service or off, not 'pid'"},
    {"--capture kprobe", "--capture must be auto, tracepoint or fentry, not 'kprobe'"},
    {"--remote-write ftp://a", "--remote-write must begin with http:// or https://"},
    {"--remote-write http://u:geheim@a",
     "--remote-write must not hold user or password; use basic_auth"},
    {"--remote-write http://a --remote-write http://b",
     "--remote-write is given twice; list several in the file"},
    {"--tenant a", "--tenant belongs to --remote-write, which is missing; in the "
		   "file, use headers"},
    {"--token-file a", "--token-file belongs to --remote-write, which is missing; "
		       "in the file, use authorization"},
    {"--remote-write http://a --tenant=",
     "--tenant is empty, or holds what a header cannot carry"},
    {"--remote-write http://a --tenant=a\nb",
     "--tenant is empty, or holds what a header cannot carry"},
    {"--verbose=1", "--verbose takes no value"},
    {"--probe", "--probe belongs to --check-config, which is missing"},
    {"--config f --probe", "--probe belongs to --check-config, which is missing"},
    {"--summaries=true", "--summaries takes no value"},
    {"--no-bpf=true", "--no-bpf takes no value"},
    {"--prot 80", "unknown option '--prot' (did you mean '--port'?)"},
    {"--remote-wirte=http://u:geheim@a",
     "unknown option '--remote-wirte' (did you mean '--remote-write'?)"},
    {"--zzzzzzz", "unknown option '--zzzzzzz' (see --help)"},
    {"-p 80", "unknown option '-p' (see --help)"},
    {"doc", "unexpected argument 'doc' (see --help)"},
    {"doctor doctor", "unexpected argument 'doctor' (see --help)"},
    {"doctor --check-config f", "doctor and --check-config exclude each other"},
    {"functions", "functions needs an executable, a library or a process: bpftally "
		  "functions EXE|PID [GLOB]"},
    {"functions a b c", "unexpected argument 'c' (see --help)"},
    {"functions ", "unexpected argument '' (see --help)"},
    {"doctor functions", "unexpected argument 'functions' (see --help)"},
    {"functions a --check-config f", "functions and --check-config exclude each other"},
    {"-- \x1b[1m", "unexpected argument '?[1m' (see --help)"},
};

static void each_mistake_is_one_clear_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(mistakes); i++) {
		struct options options = {.service = "untouched"};
		char error[CONFIG_ERROR_LEN];

		assert_int_equal(parse(mistakes[i].line, &options, error), -EINVAL);
		assert_string_equal(error, mistakes[i].error);
		assert_string_equal(options.service, "untouched");
	}
}

static void repeat(char *line, const char *option, size_t times)
{
	*line = '\0';
	for (size_t i = 0; i < times; i++) {
		strcat(line, i ? " " : "");
		strcat(line, option);
	}
}

static void lists_end_at_their_bound(void **state)
{
	static const struct {
		const char *option;
		size_t max;
		const char *error;
	} cases[] = {
	    {"--pid=1", CONFIG_LIST_MAX, "--pid is given more than 64 times"},
	    {"--exe=a", CONFIG_LIST_MAX, "--exe is given more than 64 times"},
	    {"--function=a", CONFIG_LIST_MAX, "--function is given more than 64 times"},
	    {"--port=1", TALLY_PORTS_MAX, "--port is given more than 16 times"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char line[1024], error[CONFIG_ERROR_LEN];
		struct options options;

		repeat(line, cases[i].option, cases[i].max);
		accept(line, &options);
		assert_int_equal(options.pid_count + options.exe_count +
				     options.port_count + options.function_count,
				 cases[i].max);
		repeat(line, cases[i].option, cases[i].max + 1);
		assert_int_equal(parse(line, &options, error), -EINVAL);
		assert_string_equal(error, cases[i].error);
	}
}

static void a_service_name_ends_at_its_bound(void **state)
{
	char line[300] = "--service=", error[CONFIG_ERROR_LEN];
	struct options options;

	(void)state;
	memset(line + 10, 'a', 255);
	accept(line, &options);
	line[10 + 255] = 'a';
	assert_int_equal(parse(line, &options, error), -EINVAL);
	assert_string_equal(error, "--service is longer than 255 bytes");
}

/* Every "--word" of the help is an option, and every option is in the help. */
static void help_and_document_name_exactly_the_options(void **state)
{
	static const char *const names[] = {"--pid",
					    "--exe",
					    "--port",
					    "--service",
					    "--listen",
					    "--state-dir",
					    "--grace",
					    "--max-series",
					    "--max-routes",
					    "--remote-write",
					    "--tenant",
					    "--token-file",
					    "--scrape-interval",
					    "--function",
					    "--config",
					    "--check-config",
					    "--probe",
					    "--capture",
					    "--summaries",
					    "--process-metrics",
					    "--verbose",
					    "--version",
					    "--web.config.file",
					    "--help"};
	const char *at = config_help();

	(void)state;
	for (size_t i = 0; i < LENGTH(names); i++) {
		char line[32];

		snprintf(line, sizeof(line), "\n  %s ", names[i]);
		if (!strstr(at, line))
			fail_msg("%s is not in the help", names[i]);
		assert_documented(names[i]);
	}
	while ((at = strstr(at, "--"))) {
		char word[32], error[CONFIG_ERROR_LEN];
		struct options options;
		size_t len = 2 + strspn(at + 2, "abcdefghijklmnopqrstuvwxyz-.");

		snprintf(word, sizeof(word), "%.*s", (int)len, at);
		if (parse(word, &options, error) && strstr(error, "unknown"))
			fail_msg("the help says %s, which is none", word);
		at += len;
	}
}

static void help_fits_a_terminal(void **state)
{
	const char *line = config_help();

	(void)state;
	while (*line) {
		size_t len = strcspn(line, "\n");

		assert_in_range(len, 0, 80);
		line += len + 1;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_given_is_marked_as_such),
	    cmocka_unit_test(every_option_arrives),
	    cmocka_unit_test(actions_are_told_apart),
	    cmocka_unit_test(functions_are_listed_of_a_subject),
	    cmocka_unit_test(a_check_looks_into_binaries_when_asked),
	    cmocka_unit_test(each_mistake_is_one_clear_line),
	    cmocka_unit_test(lists_end_at_their_bound),
	    cmocka_unit_test(a_service_name_ends_at_its_bound),
	    cmocka_unit_test(help_and_document_name_exactly_the_options),
	    cmocka_unit_test(help_fits_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
