/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>

#include "config_case.h"
#include "length.h"

#define EXAMPLES "docs/examples/" /* tests run in the root of the repository */

static void nothing_given_is_the_documented_defaults(void **state)
{
	char *argv[] = {"bpftally", NULL};
	struct loaded loaded;
	const struct config *config = &loaded.config;

	(void)state;
	load_arguments(argv, &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.action, CONFIG_RUN);
	assert_string_equal(config->listen, ":9965");
	assert_int_equal(config->pid_count + config->exes.count + config->port_count,
			 0);
	assert_null(config->service);
	assert_int_equal(config->capture, CAPTURE_AUTO);
	assert_int_equal(config->max_series, 8192);
	assert_int_equal(config->max_routes, 256);
	assert_int_equal(config->grace_ms, 300000);
	assert_string_equal(config->spool.directory, "/var/lib/bpftally");
	assert_false(config->spool.is_given);
	assert_int_equal(config->spool.bytes_max, 512 << 20);
	assert_int_equal(config->spool.age_max_ms, 86400000);
	assert_int_equal(config->scrape_interval_ms, 15000);
	assert_int_equal(config->external_labels.count, 0);
	assert_int_equal(config->remote_write_count, 0);
	assert_int_equal(config->function_count, 0);
	assert_false(config->check_probes);
	assert_false(config->summaries);
	assert_int_equal(config->process_metrics, CONFIG_PROCESS_METRICS_PROCESS);
	assert_false(config->verbose);
	config_free(&loaded.config);
}

static const char whole_file[] = "listen: 127.0.0.1:80\n"
				 "web_config_file: /proc/version\n"
				 "pid: [1, 2]\n"
				 "exe: [/a, /b]\n"
				 "port: [80, 81]\n"
				 "service: file\n"
				 "capture: fentry\n"
				 "grace_period: 0s\n"
				 "state_dir: /s\n"
				 "spool: {max_bytes: 1MB, max_age: 1m}\n"
				 "limits: {series: 10, routes_per_service: 20}\n"
				 "summaries: true\n"
				 "process_metrics: off\n"
				 "global:\n"
				 "  scrape_interval: 1m\n"
				 "  external_labels: {z: 1, a: two}\n"
				 "remote_write:\n"
				 "- url: http://a/\n"
				 "- url: http://b/\n";

static void every_key_of_the_file_arrives(void **state)
{
	struct loaded loaded;
	const struct config *config = &loaded.config;

	(void)state;
	load_text(whole_file, &loaded);
	assert_string_equal(loaded.error, "");
	assert_string_equal(config->listen, "127.0.0.1:80");
	assert_string_equal(config->web_config_file, "/proc/version");
	assert_int_equal(config->pid_count, 2);
	assert_int_equal(config->pids[1], 2);
	assert_int_equal(config->exes.count, 2);
	assert_string_equal(config->exes.items[1], "/b");
	assert_int_equal(config->port_count, 2);
	assert_int_equal(config->ports[1], 81);
	assert_string_equal(config->service, "file");
	assert_int_equal(config->grace_ms, 0);
	assert_string_equal(config->spool.directory, "/s");
	assert_true(config->spool.is_given);
	assert_int_equal(config->spool.bytes_max, 1 << 20);
	assert_int_equal(config->spool.age_max_ms, 60000);
	assert_true(config->summaries);
	assert_int_equal(config->process_metrics, CONFIG_PROCESS_METRICS_OFF);
	assert_int_equal(config->capture, CAPTURE_FENTRY);
	assert_int_equal(config->max_series, 10);
	assert_int_equal(config->max_routes, 20);
	assert_int_equal(config->scrape_interval_ms, 60000);
	assert_int_equal(config->external_labels.count, 2);
	assert_string_equal(config->external_labels.items[0].name, "z");
	assert_string_equal(config->external_labels.items[1].value, "two");
	assert_int_equal(config->remote_write_count, 2);
	config_free(&loaded.config);
}

static void the_command_line_wins_and_its_lists_replace(void **state)
{
	char *more[] = {"--listen",
			"[::1]:81",
			"--web.config.file=w",
			"--pid=7",
			"--exe=/c",
			"--port=90",
			"--service=line",
			"--grace=1m",
			"--state-dir=off",
			"--capture=tracepoint",
			"--process-metrics=service",
			"--max-series=30",
			"--max-routes=40",
			"--scrape-interval=1s",
			"--remote-write=http://c/",
			"--verbose",
			NULL};
	struct loaded loaded;
	const struct config *config = &loaded.config;

	(void)state;
	load_bytes(whole_file, strlen(whole_file), more, &loaded);
	assert_string_equal(loaded.error, "");
	assert_string_equal(config->listen, "[::1]:81");
	assert_string_equal(config->web_config_file, "w");
	assert_int_equal(config->pid_count, 1);
	assert_int_equal(config->pids[0], 7);
	assert_int_equal(config->exes.count, 1);
	assert_string_equal(config->exes.items[0], "/c");
	assert_int_equal(config->port_count, 1);
	assert_int_equal(config->ports[0], 90);
	assert_string_equal(config->service, "line");
	assert_int_equal(config->grace_ms, 60000);
	assert_null(config->spool.directory);
	assert_true(config->spool.is_given);
	assert_int_equal(config->capture, CAPTURE_TRACEPOINT);
	assert_int_equal(config->process_metrics, CONFIG_PROCESS_METRICS_SERVICE);
	assert_int_equal(config->max_series, 30);
	assert_int_equal(config->max_routes, 40);
	assert_int_equal(config->scrape_interval_ms, 1000);
	assert_int_equal(config->remote_write_count, 1);
	assert_string_equal(config->remote_writes[0].http.url, "http://c/");
	assert_string_equal(config->remote_writes[0].name, "http://c/");
	assert_int_equal(config->external_labels.count, 2); /* no option for these */
	assert_true(config->verbose);
	config_free(&loaded.config);
}

static void an_empty_command_line_leaves_the_file_alone(void **state)
{
	char *more[] = {"--verbose", NULL};
	struct loaded loaded;

	(void)state;
	load_bytes(whole_file, strlen(whole_file), more, &loaded);
	assert_string_equal(loaded.config.listen, "127.0.0.1:80");
	assert_int_equal(loaded.config.grace_ms, 0);
	assert_true(loaded.config.summaries);
	assert_int_equal(loaded.config.remote_write_count, 2);
	config_free(&loaded.config);
}

static void without_bpf_nothing_is_selected(void **state)
{
	static const char *const files[] = {
	    "pid: 1\n", "exe: /a\n", "port: 80\n", "service: shop\n",
	    "functions: [{exe: /a, function: f, metric: m}]\n"};
	char *more[] = {"--no-bpf", NULL};
	struct loaded loaded;

	(void)state;
	load_text("no_bpf: true\n", &loaded);
	assert_string_equal(loaded.error, "");
	assert_true(loaded.config.no_bpf);
	config_free(&loaded.config);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		load_bytes(files[i], strlen(files[i]), more, &loaded);
		assert_string_equal(loaded.error,
				    "no_bpf (--no-bpf) observes no process: it "
				    "excludes pid, exe, port, service and functions");
		config_free(&loaded.config);
	}
}

static void single_values_stand_for_lists(void **state)
{
	struct loaded loaded;

	(void)state;
	load_text("pid: 4194304\nexe: /a\nport: 65535\n", &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.pid_count, 1);
	assert_int_equal(loaded.config.pids[0], 4194304);
	assert_int_equal(loaded.config.exes.count, 1);
	assert_int_equal(loaded.config.port_count, 1);
	assert_int_equal(loaded.config.ports[0], 65535);
	config_free(&loaded.config);
}

/* From Prometheus' documentation, every key of it. */
static void a_global_block_of_prometheus_can_be_pasted(void **state)
{
	static const char *const keys[] = {"evaluation_interval: 1m",
					   "rule_query_offset: 0s",
					   "query_log_file: /var/log/queries",
					   "scrape_timeout: 10s",
					   "scrape_protocols: [PrometheusText0.0.4]",
					   "scrape_failure_log_file: failures",
					   "body_size_limit: 10MB",
					   "sample_limit: 0",
					   "target_limit: 5",
					   "label_limit: 30",
					   "label_name_length_limit: 200",
					   "label_value_length_limit: 200",
					   "keep_dropped_targets: 0",
					   "metric_name_validation_scheme: utf8",
					   "metric_name_escaping_scheme: underscores",
					   "scrape_native_histograms: false",
					   "always_scrape_classic_histograms: false",
					   "convert_classic_histograms_to_nhcb: false",
					   "extra_scrape_metrics: false"};
	char yaml[2048] = "global:\n  scrape_interval: 1m\n";

	(void)state;
	for (size_t i = 0; i < LENGTH(keys); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(keys[i], ":"),
			 keys[i]);
		assert_documented(name);
		strcat(strcat(strcat(yaml, "  "), keys[i]), "\n");
	}
	assert_accepted(yaml);
	assert_refused("global:\n  evaluation_interval: 1\n",
		       "2: 'evaluation_interval' must be a duration from 0s to 1y "
		       "(like 1m30s), not '1'");
	assert_refused("global:\n  sample_limit: many\n",
		       "2: 'sample_limit' must be a whole number from 0 to "
		       "4294967295, not 'many'");
}

static void what_only_prometheus_has_is_named_at_once(void **state)
{
	(void)state;
	assert_refused(
	    "global: {scrape_interval: 1m}\nrule_files: [rules.yml]\n",
	    "2: 'rule_files': Prometheus' own, which bpftally does not have; "
	    "leave it out");
	assert_refused("global:\n  scrape_interval: 15s\n"
		       "# of another file\n"
		       "storage: {tsdb: {out_of_order_time_window: 30m}}\n"
		       "rule_files: []\n"
		       "scrape_configs:\n"
		       "  - {job_name: a}\n"
		       "alerting:\n  alertmanagers: [{static_configs: []}]\n"
		       "remote_read: []\nruntime: {gogc: 75}\n"
		       "tracing: {endpoint: a}\nscrape_config_files: [a]\n",
		       "4: 'alerting', 'remote_read', 'rule_files', 'runtime', "
		       "'scrape_config_files', 'storage', 'tracing': Prometheus' own, "
		       "which bpftally does not have; leave them out");
	assert_refused("otlp: {translation_strategy: NoTranslation}\n",
		       "1: 'translation_strategy': Prometheus' own, which bpftally "
		       "does not have; leave it out");
	/* Not where Prometheus would not have it either. */
	assert_refused("global: {rule_files: []}\n",
		       "1: unknown key 'rule_files' in global");
}

static void what_does_not_fit_names_line_and_key(void **state)
{
	static const struct {
		const char *yaml, *error;
	} cases[] = {
	    {"listen: 9965\n", "1: 'listen' must be ADDR:PORT or :PORT, not '9965'"},
	    {"listen: ':65536'\n",
	     "1: 'listen' must be ADDR:PORT or :PORT, not ':65536'"},
	    {"pid: 0\n", "1: 'pid' must be a whole number from 1 to 4194304, not '0'"},
	    {"pid: [1,\n  x]\n",
	     "2: 'pid' must be a whole number from 1 to 4194304, not "
	     "'x'"},
	    {"pid: -1\n",
	     "1: 'pid' must be a whole number from 1 to 4194304, not '-1'"},
	    {"pid: []\n", "1: 'pid' is an empty list"},
	    {"exe: []\n", "1: 'exe' is an empty list"},
	    {"exe: ['']\n", "1: 'exe' has no value"},
	    {"exe: {a: b}\n", "1: 'exe' must be a single value, not a mapping"},
	    {"port: 65536\n",
	     "1: 'port' must be a whole number from 1 to 65535, not '65536'"},
	    {"port: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]\n",
	     "1: 'port' has 17 entries, at most 16 fit"},
	    {"state_dir: var\n",
	     "1: 'state_dir' must be an absolute path, or off, not 'var'"},
	    {"spool: {max_bytes: 1KB}\n",
	     "1: 'max_bytes' must be from 1MB to 1048576MB (like 512MB), not '1KB'"},
	    {"grace_period: 8d\n", "1: 'grace_period' must be a duration from 0s to 1w "
				   "(like 1m30s), not '8d'"},
	    {"limits:\n  series: 0\n",
	     "2: 'series' must be a whole number from 1 to 1000000, not '0'"},
	    {"limits:\n  routes_per_service: 16385\n",
	     "2: 'routes_per_service' must be a whole number from 1 to 16384, not "
	     "'16385'"},
	    {"global:\n  scrape_interval: 15\n",
	     "2: 'scrape_interval' must be a duration from 100ms to 1d (like 1m30s), "
	     "not "
	     "'15'"},
	    {"global:\n  external_labels:\n    a-b: c\n",
	     "3: 'a-b' in external_labels is not a label name ([a-zA-Z_][a-zA-Z0-9_]*, "
	     "not beginning with '__')"},
	    {"global:\n  external_labels:\n    __name__: c\n",
	     "3: '__name__' in external_labels is not a label name "
	     "([a-zA-Z_][a-zA-Z0-9_]*, not beginning with '__')"},
	    {"global:\n  external_labels:\n    a:\n", "3: 'a' has no value"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		assert_refused(cases[i].yaml, cases[i].error);
}

static void lists_of_the_file_end_at_their_bound(void **state)
{
	static const struct {
		const char *head, *item, *tail, *error;
	} cases[] = {
	    {"pid: [", "1,", "]\n", "1: 'pid' has 65 entries, at most 64 fit"},
	    {"exe: [", "a,", "]\n", "1: 'exe' has 65 entries, at most 64 fit"},
	    {"global: {external_labels: {", "l%zu: a,", "}}\n",
	     "1: external_labels has more than 64 entries"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		for (size_t count = 64; count <= 65; count++) {
			char yaml[1024];
			size_t len = (size_t)sprintf(yaml, "%s", cases[i].head);

			for (size_t j = 0; j < count; j++)
				len += (size_t)sprintf(yaml + len, cases[i].item, j);
			strcpy(yaml + len, cases[i].tail);
			if (count == 64)
				assert_accepted(yaml);
			else
				assert_refused(yaml, cases[i].error);
		}
	}
}

static void a_service_name_of_the_file_ends_at_its_bound(void **state)
{
	char yaml[300] = "service: ";

	(void)state;
	memset(yaml + 9, 'a', 255);
	assert_accepted(yaml);
	yaml[9 + 255] = 'a';
	assert_refused(yaml, "1: 'service' is longer than 255 bytes");
}

static void one_line_pushes_to_a_tenant(void **state)
{
	char path[] = "/tmp/bpftally-token-XXXXXX", token[64];
	char *argv[] = {"bpftally", "--remote-write", "https://a/api/v1/push",
			"--tenant", "team-1",         token,
			NULL};
	const struct config_remote_write *endpoint;
	struct loaded loaded;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	snprintf(token, sizeof(token), "--token-file=%s", path);
	load_arguments(argv, &loaded);
	unlink(path);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.remote_write_count, 1);
	endpoint = loaded.config.remote_writes;
	assert_string_equal(endpoint->http.url, "https://a/api/v1/push");
	assert_int_equal(endpoint->http.headers.count, 1);
	assert_string_equal(endpoint->http.headers.items[0].name, "X-Scope-OrgID");
	assert_string_equal(endpoint->http.headers.items[0].value, "team-1");
	assert_string_equal(endpoint->http.authorization.type, "Bearer");
	assert_string_equal(endpoint->http.authorization.credentials_file, path);
	assert_null(endpoint->http.authorization.credentials);
	assert_int_equal(endpoint->http.timeout_ms, 30000);
	assert_int_equal(endpoint->queue.max_shards, 50);
	config_free(&loaded.config);
}

static void a_token_file_must_be_readable_at_the_start(void **state)
{
	char *missing[] = {"bpftally", "--remote-write=http://a", "--token-file",
			   "/nonexistent/token", NULL};
	char *folder[] = {"bpftally", "--remote-write=http://a", "--token-file", "/",
			  NULL};
	char path[] = "/tmp/bpftally-token-XXXXXX", want[128];
	char *forbidden[] = {"bpftally", "--remote-write=http://a", "--token-file",
			     path, NULL};
	struct loaded loaded;
	int fd = mkstemp(path);

	(void)state;
	load_arguments(missing, &loaded);
	assert_int_equal(loaded.err, -EINVAL);
	assert_string_equal(loaded.error, "--token-file '/nonexistent/token' cannot be "
					  "read: No such file or directory");
	config_free(&loaded.config);
	load_arguments(folder, &loaded);
	assert_string_equal(loaded.error,
			    "--token-file '/' cannot be read: not a regular file");
	config_free(&loaded.config);

	/* Root may read anything: judge as somebody else. */
	assert_true(fd >= 0 && !fchmod(fd, 0));
	close(fd);
	if (!geteuid())
		assert_int_equal(seteuid(65534), 0);
	load_arguments(forbidden, &loaded);
	if (!getuid())
		assert_int_equal(seteuid(0), 0);
	unlink(path);
	snprintf(want, sizeof(want),
		 "--token-file '%s' cannot be read: Permission denied", path);
	assert_string_equal(loaded.error, want);
	config_free(&loaded.config);
}

static void a_listen_address_must_be_one(void **state)
{
	char *argv[] = {"bpftally", "--listen", "localhost", NULL};
	struct loaded loaded;

	(void)state;
	load_arguments(argv, &loaded);
	assert_int_equal(loaded.err, -EINVAL);
	assert_string_equal(loaded.error,
			    "--listen must be ADDR:PORT or :PORT, not 'localhost'");
	config_free(&loaded.config);
}

static void checking_reads_the_file_and_help_does_not(void **state)
{
	char *check[] = {"--check-config", NULL};
	char *probe[] = {"--check-config", "--probe", NULL};
	char *wrong[] = {"bpftally", "--check-config", "/nonexistent/a", NULL};
	char *help[] = {"bpftally", "--config", "/nonexistent/a", "--help", NULL};
	struct loaded loaded;

	(void)state;
	load_bytes(whole_file, strlen(whole_file), check, &loaded);
	assert_int_equal(loaded.err, 0);
	assert_int_equal(loaded.action, CONFIG_CHECK);
	assert_false(loaded.config.check_probes);
	config_free(&loaded.config);
	load_bytes(whole_file, strlen(whole_file), probe, &loaded);
	assert_int_equal(loaded.err, 0);
	assert_int_equal(loaded.action, CONFIG_CHECK);
	assert_true(loaded.config.check_probes);
	config_free(&loaded.config);
	load_arguments(wrong, &loaded);
	assert_int_equal(loaded.err, -EINVAL);
	config_free(&loaded.config);
	load_arguments(help, &loaded);
	assert_int_equal(loaded.err, 0);
	assert_int_equal(loaded.action, CONFIG_HELP);
	config_free(&loaded.config);
}

static void what_is_to_be_listed_is_kept(void **state)
{
	char *all[] = {"bpftally", "functions", "/bin/shop", NULL};
	char *some[] = {"bpftally", "functions", "42", "shop::*", NULL};
	struct loaded loaded;

	(void)state;
	load_arguments(all, &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.action, CONFIG_FUNCTIONS);
	assert_string_equal(loaded.config.list_subject, "/bin/shop");
	assert_null(loaded.config.list_glob);
	config_free(&loaded.config);
	load_arguments(some, &loaded);
	assert_string_equal(loaded.error, "");
	assert_string_equal(loaded.config.list_subject, "42");
	assert_string_equal(loaded.config.list_glob, "shop::*");
	config_free(&loaded.config);
}

static void loading_again_starts_afresh(void **state)
{
	char *argv[] = {"bpftally", "--pid=1", "--service=a", NULL};
	struct loaded loaded;

	(void)state;
	for (int i = 0; i < 2; i++) {
		load_arguments(argv, &loaded);
		assert_string_equal(loaded.error, "");
		assert_int_equal(loaded.config.pid_count, 1);
		config_free(&loaded.config);
		config_free(&loaded.config); /* frees nothing twice */
	}
}

/* --- the examples, in a folder with every file that they name ----------------- */

static const char *const named_files[] = {
    "token", "password", "client.pem", "client.key", "ca-certificates.crt", "web.yml",
};

struct example {
	char folder[32];
	char path[64]; /* of the last file */
	struct loaded loaded;
};

static const char *path_in(struct example *example, const char *name)
{
	snprintf(example->path, sizeof(example->path), "%s/%s", example->folder, name);
	return example->path;
}

static void write_in(struct example *example, const char *name, const char *text)
{
	FILE *file = fopen(path_in(example, name), "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void cut_out(char *text, const char *word)
{
	size_t len = strlen(word);

	while ((text = strstr(text, word)))
		memmove(text, text + len, strlen(text + len) + 1);
}

static void load_example(const char *name, struct example *ret_example)
{
	static char text[16 * 1024];
	char *argv[] = {"bpftally", "--config", ret_example->path, NULL};
	FILE *file = fopen(name, "re");

	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	cut_out(text, "/etc/bpftally/");
	cut_out(text, "/etc/ssl/certs/");
	strcpy(ret_example->folder, "/tmp/bpftally-example-XXXXXX");
	assert_non_null(mkdtemp(ret_example->folder));
	for (size_t i = 0; i < LENGTH(named_files); i++)
		write_in(ret_example, named_files[i], "-----BEGIN CERTIFICATE-----\n");
	write_in(ret_example, "a.yaml", text);
	load_arguments(argv, &ret_example->loaded);
	unlink(ret_example->path);
	for (size_t i = 0; i < LENGTH(named_files); i++)
		unlink(path_in(ret_example, named_files[i]));
	rmdir(ret_example->folder);
}

static void the_whole_example_loads(void **state)
{
	const struct config_remote_write *endpoints;
	struct example example;

	(void)state;
	load_example(EXAMPLES "bpftally.yaml", &example);
	assert_string_equal(example.loaded.error, "");
	assert_int_equal(example.loaded.config.exes.count, 2);
	assert_int_equal(example.loaded.config.max_series, TALLY_SERIES_MAX);
	assert_int_equal(example.loaded.config.remote_write_count, 2);
	assert_int_equal(example.loaded.config.scrape_count, 3);
	assert_string_equal(
	    example.loaded.config.scrapes[1].http.authorization.credentials_file,
	    path_in(&example, "token"));
	assert_string_equal(example.loaded.config.web_config_file,
			    path_in(&example, "web.yml"));
	endpoints = example.loaded.config.remote_writes;
	assert_string_equal(endpoints[0].name, "hosted");
	assert_string_equal(endpoints[0].http.tls.key_file,
			    path_in(&example, "client.key"));
	assert_string_equal(endpoints[1].name, "http://127.0.0.1:9090/api/v1/write");
	assert_string_equal(endpoints[1].http.basic_auth.password_file,
			    path_in(&example, "password"));
	assert_int_equal(example.loaded.config.otlp_count, 2);
	assert_string_equal(example.loaded.config.otlps[0].name, "otel");
	assert_string_equal(example.loaded.config.otlps[1].http.url,
			    "http://127.0.0.1:9090/api/v1/otlp/v1/metrics");
	config_free(&example.loaded.config);
}

static void the_hosted_receiver_example_loads(void **state)
{
	const struct config_remote_write *endpoint;
	struct example example;

	(void)state;
	load_example(EXAMPLES "hosted-receiver.yaml", &example);
	assert_string_equal(example.loaded.error, "");
	assert_int_equal(example.loaded.config.external_labels.count, 2);
	assert_int_equal(example.loaded.config.remote_write_count, 1);
	endpoint = example.loaded.config.remote_writes;
	assert_string_equal(endpoint->http.url,
			    "https://metrics.example.com/api/v1/push");
	assert_string_equal(endpoint->http.authorization.type, "Bearer");
	assert_string_equal(endpoint->http.authorization.credentials_file,
			    path_in(&example, "token"));
	assert_string_equal(endpoint->http.headers.items[0].name, "X-Scope-OrgID");
	assert_string_equal(endpoint->http.headers.items[0].value, "my-tenant");
	config_free(&example.loaded.config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_given_is_the_documented_defaults),
	    cmocka_unit_test(every_key_of_the_file_arrives),
	    cmocka_unit_test(the_command_line_wins_and_its_lists_replace),
	    cmocka_unit_test(an_empty_command_line_leaves_the_file_alone),
	    cmocka_unit_test(without_bpf_nothing_is_selected),
	    cmocka_unit_test(single_values_stand_for_lists),
	    cmocka_unit_test(a_global_block_of_prometheus_can_be_pasted),
	    cmocka_unit_test(what_only_prometheus_has_is_named_at_once),
	    cmocka_unit_test(what_does_not_fit_names_line_and_key),
	    cmocka_unit_test(lists_of_the_file_end_at_their_bound),
	    cmocka_unit_test(a_service_name_of_the_file_ends_at_its_bound),
	    cmocka_unit_test(one_line_pushes_to_a_tenant),
	    cmocka_unit_test(a_token_file_must_be_readable_at_the_start),
	    cmocka_unit_test(a_listen_address_must_be_one),
	    cmocka_unit_test(checking_reads_the_file_and_help_does_not),
	    cmocka_unit_test(what_is_to_be_listed_is_kept),
	    cmocka_unit_test(loading_again_starts_afresh),
	    cmocka_unit_test(the_whole_example_loads),
	    cmocka_unit_test(the_hosted_receiver_example_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
