/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "config_case.h"
#include "length.h"

#define MIB (1024 * 1024)

static bool poll_times_out;

/* Found before libc's: time that the test does not have. */
int poll(struct pollfd *descriptors, nfds_t count, int timeout_ms)
{
	struct timespec timeout = {.tv_sec = timeout_ms / 1000,
				   .tv_nsec = timeout_ms % 1000 * 1000000L};

	if (poll_times_out)
		return 0;
	return ppoll(descriptors, count, &timeout, NULL);
}

static void files_without_content_are_the_defaults(void **state)
{
	(void)state;
	assert_accepted("");
	assert_accepted("# nothing\n");
	assert_accepted("---\n");
	assert_accepted("---\n# nothing\n...\n");
	assert_accepted("~\n");
	assert_accepted("{}\n");
}

static void a_byte_order_mark_is_skipped(void **state)
{
	(void)state;
	assert_accepted("\xef\xbb\xbf");
	assert_accepted("\xef\xbb\xbfport: 80\n");
	assert_accepted("\xef\xbb\xbfport: 80\nservice: a\n");
	assert_accepted("\xef\xbb\xbf---\nport: 80\n");
	assert_accepted("\xef\xbb\xbf# comment\nport: 80\nservice: a\n");
	assert_refused("\xef\xbb\xbfport: 80\nport: 81\n",
		       "2: key 'port' is given twice");
	assert_refused("\xef\xbb",
		       "1: not UTF-8 text: incomplete UTF-8 octet sequence");
}

static void broken_yaml_names_its_line(void **state)
{
	(void)state;
	assert_refused(
	    "port: 80\nservice: [a\n",
	    "3: not valid YAML: did not find expected ',' or ']' while parsing "
	    "a flow sequence");
	assert_refused(
	    "port: 80\nservice: a: b\n",
	    "2: not valid YAML: mapping values are not allowed in this context");
	assert_refused("port: 80\nservice: *a\n",
		       "2: not valid YAML: found undefined alias");
	assert_refused("global:\n\tx: y\n",
		       "2: not valid YAML: found character that cannot start any token "
		       "while scanning for the next token");
	assert_refused(
	    "service: 'a\n",
	    "2: not valid YAML: found unexpected end of stream while scanning a "
	    "quoted scalar");
	assert_refused("port: 80\n---\nport: 81\n",
		       "2: a second document ('---') is not read");
	assert_refused(
	    "port: &a 80\nservice: &a x\n",
	    "2: not valid YAML: second occurrence found duplicate anchor; first "
	    "occurrence");
}

static void bytes_that_are_not_utf8_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *error;
	} cases[] = {
	    {"a\xff", 2, "1: not UTF-8 text: invalid leading UTF-8 octet"},
	    {"port: 80\n# \xc3(\n", 14,
	     "2: not UTF-8 text: invalid trailing UTF-8 octet"},
	    {"port: 80\n\n\xc3", 11,
	     "3: not UTF-8 text: incomplete UTF-8 octet sequence"},
	    {"\xff\xfep\0", 4, "1: not UTF-8 text: invalid leading UTF-8 octet"},
	    {"port: 80\0", 9, "1: not UTF-8 text: control characters are not allowed"},
	    {"service: \x1b[1m\n", 14,
	     "1: not UTF-8 text: control characters are not allowed"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct loaded loaded;

		load_bytes(cases[i].bytes, cases[i].len, NULL, &loaded);
		assert_int_equal(loaded.err, -EINVAL);
		assert_string_equal(loaded.error, cases[i].error);
		config_free(&loaded.config);
	}
}

static void keys_are_known_and_given_once(void **state)
{
	(void)state;
	assert_refused("port: 80\nremote_wirte: []\n",
		       "2: unknown key 'remote_wirte' in the file (did you mean "
		       "'remote_write'?)");
	assert_refused(
	    "grace: 5m\n",
	    "1: unknown key 'grace' in the file (did you mean 'grace_period'?)");
	assert_refused("global:\n  external_label: {}\n",
		       "2: unknown key 'external_label' in global (did you mean "
		       "'external_labels'?)");
	assert_refused("port: 80\nscrape_interval: 15s\n",
		       "2: unknown key 'scrape_interval' in the file; it belongs under "
		       "'global'");
	assert_refused("series: 10\n",
		       "1: unknown key 'series' in the file; it belongs under "
		       "'limits'");
	assert_refused("zzzz: 1\n", "1: unknown key 'zzzz' in the file");
	assert_refused("<<: {port: 80}\n", "1: unknown key '<<' in the file");
	assert_refused("\"po\\nrt\": 80\n",
		       "1: unknown key 'po?rt' in the file (did you mean 'port'?)");
	assert_refused("port: 80\nport: 81\n", "2: key 'port' is given twice");
	assert_refused("global:\n  external_labels:\n    a: b\n    a: c\n",
		       "4: key 'a' is given twice");
	assert_refused("? [port]\n: 80\n", "1: a key must be a word, not a list");
	assert_refused("\"port\\0x\": 80\n", "1: a key must be a word, not bytes");
}

static void values_have_the_kind_that_is_asked_for(void **state)
{
	(void)state;
	assert_refused("- port\n",
		       "1: the file must be a mapping (key: value), not a list");
	assert_refused(
	    "port\n", "1: the file must be a mapping (key: value), not a single value");
	assert_refused("global: 15s\n",
		       "1: global must be a mapping (key: value), not a single value");
	assert_refused("limits:\n- series: 1\n",
		       "2: limits must be a mapping (key: value), not a list");
	assert_refused("service: [a]\n",
		       "1: 'service' must be a single value, not a list");
	assert_refused("service: {a: b}\n",
		       "1: 'service' must be a single value, not a mapping");
	assert_refused("service: !secret a\n",
		       "1: 'service' has a tag ('!...'), which is not supported");
	assert_refused("service: \"a\\0b\"\n", "1: 'service' has a NUL byte");
	assert_refused("global:\n  external_labels: [a]\n",
		       "2: external_labels must be a mapping (key: value), not a list");
}

static void a_value_must_be_there(void **state)
{
	(void)state;
	assert_refused("port:\n", "1: 'port' has no value");
	assert_refused("service: ~\n", "1: 'service' has no value");
	assert_refused("service: null\n", "1: 'service' has no value");
	assert_refused("service: ''\n", "1: 'service' has no value");
	assert_accepted("service: 'null'\n");
	assert_accepted("global:\nlimits:\nremote_write:\n"); /* all commented out */
	assert_accepted("global:\n  external_labels:\n");
}

static void variables_of_the_environment_are_replaced(void **state)
{
	struct loaded loaded;

	(void)state;
	setenv("BPFTALLY_TEST_A", "one", 1);
	setenv("BPFTALLY_TEST_PORT", "8080", 1);
	load_text("service: <${env:BPFTALLY_TEST_A}.${env:BPFTALLY_TEST_A}>$$\n"
		  "port: [80, \"${env:BPFTALLY_TEST_PORT}\"]\n"
		  "global: {external_labels: {a: \"${env:BPFTALLY_TEST_A}\"}}\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	assert_string_equal(loaded.config.service, "<one.one>$$");
	assert_int_equal(loaded.config.ports[1], 8080);
	assert_string_equal(loaded.config.external_labels.items[0].value, "one");
	config_free(&loaded.config);
}

static void variables_that_fail_are_named_but_never_shown(void **state)
{
	(void)state;
	unsetenv("BPFTALLY_TEST_UNSET");
	setenv("BPFTALLY_TEST_EMPTY", "", 1);
	setenv("BPFTALLY_TEST_BYTES", "a\xff", 1);
	setenv("BPFTALLY_TEST_SECRET", "geheim", 1);
	assert_refused("port: 80\nservice: a${env:BPFTALLY_TEST_UNSET}\n",
		       "2: 'service' needs the environment variable "
		       "'BPFTALLY_TEST_UNSET', which is not set");
	assert_refused("service: ${env:BPFTALLY_TEST_EMPTY}\n",
		       "1: 'service' has no value");
	assert_refused(
	    "service: ${env:BPFTALLY_TEST_BYTES}\n",
	    "1: 'service': the environment variable 'BPFTALLY_TEST_BYTES' is "
	    "not UTF-8");
	assert_refused("service: ${env:A B}\n",
		       "1: 'service' has '${env:' without a variable's name and '}'");
	assert_refused("port: ${env:BPFTALLY_TEST_SECRET}\n",
		       "1: 'port' must be a whole number from 1 to 65535, not "
		       "'${env:BPFTALLY_TEST_SECRET}'");
}

static void a_value_ends_at_its_bound(void **state)
{
	const size_t room = 64 * 1024 - 1;
	char *value = malloc(room + 2);

	(void)state;
	assert_non_null(value);
	memset(value, 'a', room + 1);
	value[room + 1] = '\0';
	setenv("BPFTALLY_TEST_LONG", value, 1);
	assert_refused("exe: ${env:BPFTALLY_TEST_LONG}\n",
		       "1: 'exe' is longer than 65536 bytes");
	value[room] = '\0';
	setenv("BPFTALLY_TEST_LONG", value, 1);
	assert_accepted("exe: ${env:BPFTALLY_TEST_LONG}\n");
	unsetenv("BPFTALLY_TEST_LONG");
	free(value);
}

static void aliases_are_read_where_they_stand(void **state)
{
	struct loaded loaded;

	(void)state;
	load_text("port: &p [80, 81]\n"
		  "remote_write:\n"
		  "- &e {url: 'http://a/', basic_auth: &b {username: u, password: p}}\n"
		  "- {url: 'http://b/', basic_auth: *b}\n"
		  "- *e\n",
		  &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.port_count, 2);
	assert_int_equal(loaded.config.remote_write_count, 3);
	assert_string_equal(loaded.config.remote_writes[1].http.basic_auth.password,
			    "p");
	assert_string_equal(loaded.config.remote_writes[2].http.url, "http://a/");
	config_free(&loaded.config);
}

/* A parent that holds itself, and the "billion laughs". */
static void aliases_cannot_make_it_run_away(void **state)
{
	(void)state;
	assert_refused("port: &p [*p]\n",
		       "1: 'port' must be a single value, not a list");
	assert_refused(
	    "remote_write: &r [*r]\n",
	    "1: a remote_write entry must be a mapping (key: value), not a list");
	assert_refused("global: &g {external_labels: *g}\n",
		       "1: 'external_labels' must be a single value, not a mapping");
	assert_refused("exe: &a [x, x, x, x, x, x, x, x, x]\n"
		       "port: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
		       "pid: [*b, *b, *b, *b, *b, *b, *b, *b, *b]\n",
		       "1: 'port' must be a single value, not a list");
}

/* Either takes libyaml minutes, unless it is stopped early. */
static void deep_nesting_and_many_anchors_end_early(void **state)
{
	char *bytes = malloc(MIB);
	struct loaded loaded;
	size_t len = 0;

	(void)state;
	assert_non_null(bytes);
	memset(bytes, '[', MIB);
	load_bytes(bytes, MIB, NULL, &loaded);
	assert_string_equal(loaded.error, "1: nested deeper than 16 levels");
	config_free(&loaded.config);

	while (len < MIB - 64)
		len += (size_t)sprintf(bytes + len, "- &a%zu x\n", len);
	load_bytes(bytes, len, NULL, &loaded);
	assert_string_equal(loaded.error, "65: more than 64 anchors ('&...')");
	config_free(&loaded.config);
	free(bytes);
}

static void a_file_ends_at_its_bound(void **state)
{
	char *bytes = malloc(MIB + 1);
	struct loaded loaded;

	(void)state;
	assert_non_null(bytes);
	memset(bytes, '#', MIB + 1);
	load_bytes(bytes, MIB, NULL, &loaded);
	assert_string_equal(loaded.error, "");
	config_free(&loaded.config);
	load_bytes(bytes, MIB + 1, NULL, &loaded);
	assert_int_equal(loaded.err, -EINVAL);
	assert_string_equal(loaded.error, " is larger than 1 MiB");
	config_free(&loaded.config);
	free(bytes);
}

static void files_that_cannot_be_read_are_named(void **state)
{
	char *missing[] = {"bpftally", "--config", "/nonexistent/a.yaml", NULL};
	char *folder[] = {"bpftally", "--config", "/", NULL};
	char *device[] = {"bpftally", "--config", "/dev/zero", NULL};
	struct loaded loaded;

	(void)state;
	load_arguments(missing, &loaded);
	assert_int_equal(loaded.err, -EINVAL);
	assert_string_equal(loaded.error,
			    "/nonexistent/a.yaml: cannot be opened: No such "
			    "file or directory");
	config_free(&loaded.config);
	load_arguments(folder, &loaded);
	assert_string_equal(loaded.error, "/: is not a regular file");
	config_free(&loaded.config);
	load_arguments(device, &loaded);
	assert_string_equal(loaded.error, "/dev/zero: is not a regular file");
	config_free(&loaded.config);
}

static void a_named_pipe_is_not_waited_for(void **state)
{
	char path[] = "/tmp/bpftally-pipe-XXXXXX/a";
	char *argv[] = {"bpftally", "--config", path, NULL};
	char *slash = strrchr(path, '/');
	struct loaded loaded;

	(void)state;
	*slash = '\0';
	assert_non_null(mkdtemp(path));
	*slash = '/';
	assert_int_equal(mkfifo(path, 0600), 0);
	load_arguments(argv, &loaded);
	unlink(path);
	*slash = '\0';
	rmdir(path);
	*slash = '/';
	assert_int_equal(loaded.err, -EINVAL);
	assert_string_equal(loaded.error + strlen(path), ": is not a regular file");
	config_free(&loaded.config);
}

/* The writer's pieces come when it has them; its end is the file's. */
static void what_a_pipe_of_ours_brings_is_read_to_its_end(void **state)
{
	char path[64], *argv[] = {"bpftally", "--config", path, NULL};
	struct loaded loaded;
	int ends[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		usleep(50000);
		dprintf(ends[1], "port: 8");
		usleep(50000);
		dprintf(ends[1], "0\n");
		_exit(0);
	}
	close(ends[1]);
	snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
	load_arguments(argv, &loaded);
	waitpid(pid, NULL, 0);
	close(ends[0]);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.ports[0], 80);
	config_free(&loaded.config);
}

static void a_pipe_without_end_is_given_up(void **state)
{
	char path[64], *argv[] = {"bpftally", "--config", path, NULL};
	struct loaded loaded;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "port: 80\n", 9), 9);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
	poll_times_out = true;
	load_arguments(argv, &loaded);
	poll_times_out = false;
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(loaded.err, -EINVAL);
	assert_string_equal(loaded.error + strlen(path),
			    ": has no end after 10 seconds");
	config_free(&loaded.config);
}

static void a_long_path_leaves_room_for_the_reason(void **state)
{
	char path[1001], *argv[] = {"bpftally", "--config", path, NULL};
	struct loaded loaded;

	(void)state;
	memset(path, 'a', sizeof(path));
	for (size_t i = 0; i < 1000; i += 100)
		path[i] = '/';
	path[1000] = '\0';
	load_arguments(argv, &loaded);
	assert_string_equal(loaded.error + 200,
			    ": cannot be opened: No such file or directory");
	config_free(&loaded.config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(files_without_content_are_the_defaults),
	    cmocka_unit_test(a_byte_order_mark_is_skipped),
	    cmocka_unit_test(broken_yaml_names_its_line),
	    cmocka_unit_test(bytes_that_are_not_utf8_are_refused),
	    cmocka_unit_test(keys_are_known_and_given_once),
	    cmocka_unit_test(values_have_the_kind_that_is_asked_for),
	    cmocka_unit_test(a_value_must_be_there),
	    cmocka_unit_test(variables_of_the_environment_are_replaced),
	    cmocka_unit_test(variables_that_fail_are_named_but_never_shown),
	    cmocka_unit_test(a_value_ends_at_its_bound),
	    cmocka_unit_test(aliases_are_read_where_they_stand),
	    cmocka_unit_test(aliases_cannot_make_it_run_away),
	    cmocka_unit_test(deep_nesting_and_many_anchors_end_early),
	    cmocka_unit_test(a_file_ends_at_its_bound),
	    cmocka_unit_test(files_that_cannot_be_read_are_named),
	    cmocka_unit_test(a_named_pipe_is_not_waited_for),
	    cmocka_unit_test(what_a_pipe_of_ours_brings_is_read_to_its_end),
	    cmocka_unit_test(a_pipe_without_end_is_given_up),
	    cmocka_unit_test(a_long_path_leaves_room_for_the_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
