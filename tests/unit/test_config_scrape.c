/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "config_case.h"
#include "config_internal.h"
#include "length.h"

#define PEM "/proc/self/fd/100"
#define WRITE "remote_write: [{url: http://r}]\n"
#define JOB WRITE "scrape_configs:\n- job_name: a\n" /* three lines */

static int make_pem_file(void **state)
{
	static const char text[] = "-----BEGIN CERTIFICATE-----\n";
	int fd = memfd_create("pem", MFD_CLOEXEC);

	(void)state;
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return -1;
	return dup2(fd, 100) == 100 ? close(fd) : -1;
}

static void a_name_alone_has_prometheus_defaults(void **state)
{
	const struct config_scrape *job;
	struct loaded loaded;

	(void)state;
	load_text(JOB, &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.scrape_count, 1);
	job = loaded.config.scrapes;
	assert_string_equal(job->job_name, "a");
	assert_int_equal(job->interval_ms, 15000);
	assert_int_equal(job->timeout_ms, 10000);
	assert_int_equal(job->http.timeout_ms, 10000);
	assert_null(job->http.url);
	assert_string_equal(job->metrics_path, "/metrics");
	assert_string_equal(job->scheme, "http");
	assert_string_equal(job->accept,
			    "Accept: application/openmetrics-text;version=1.0.0,"
			    "application/openmetrics-text;version=0.0.1;q=0.75,"
			    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1");
	assert_int_equal(job->fallback, CONFIG_EXPOSITION_TEXT);
	assert_false(job->honor_labels);
	assert_true(job->honor_timestamps);
	assert_false(job->track_timestamps_staleness);
	assert_true(job->enable_compression);
	assert_true(job->http.follow_redirects);
	assert_false(job->observed_processes);
	assert_int_equal(job->groups.count, 0);
	assert_int_equal(job->limits.body_bytes, 0);
	assert_int_equal(job->limits.samples, 0);
	config_free(&loaded.config);
}

static const char every_key[] =
    JOB "  scrape_interval: 1m\n"
	"  scrape_timeout: 20s\n"
	"  metrics_path: /m\n"
	"  scheme: https\n"
	"  params: {module: [x, ''], none: []}\n"
	"  static_configs:\n"
	"  - targets: ['b:1', '[::1]:2']\n"
	"    labels: {zone: z, __param_x: y, empty: ''}\n"
	"  - {targets: []}\n"
	"  file_sd_configs:\n"
	"  - {files: [/t/*.json, /u.yaml], refresh_interval: 30s}\n"
	"  observed_processes: {}\n"
	"  honor_labels: true\n"
	"  honor_timestamps: false\n"
	"  track_timestamps_staleness: true\n"
	"  enable_compression: false\n"
	"  scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0,\n"
	"                     PrometheusText0.0.4]\n"
	"  fallback_scrape_protocol: OpenMetricsText1.0.0\n"
	"  relabel_configs: [{regex: x, action: labeldrop}]\n"
	"  metric_relabel_configs: [{regex: y, action: labeldrop},\n"
	"                           {regex: z, action: labelkeep}]\n"
	"  body_size_limit: 10MB\n"
	"  sample_limit: 1\n"
	"  label_limit: 2\n"
	"  label_name_length_limit: 3\n"
	"  label_value_length_limit: 4\n"
	"  target_limit: 5\n"
	"  basic_auth: {username: u, password: p}\n"
	"  http_headers: {X-A: {values: [1, 2], secrets: [3]}}\n"
	"  tls_config: {ca_file: " PEM ", insecure_skip_verify: true}\n"
	"  proxy_url: http://p\n"
	"  no_proxy: n\n"
	"  follow_redirects: false\n"
	"  enable_http2: true\n";

static void every_key_says_what_is_asked(void **state)
{
	const struct config_scrape *job;
	struct loaded loaded;

	(void)state;
	load_text(every_key, &loaded);
	assert_string_equal(loaded.error, "");
	job = loaded.config.scrapes;
	assert_int_equal(job->interval_ms, 60000);
	assert_int_equal(job->timeout_ms, 20000);
	assert_string_equal(job->metrics_path, "/m");
	assert_string_equal(job->scheme, "https");
	assert_int_equal(job->param_count, 2);
	assert_string_equal(job->params[0].name, "module");
	assert_int_equal(job->params[0].values.count, 2);
	assert_string_equal(job->params[0].values.items[1], "");
	assert_int_equal(job->params[1].values.count, 0);
	assert_int_equal(job->groups.count, 2);
	assert_int_equal(job->groups.items[0].targets.count, 2);
	assert_string_equal(job->groups.items[0].targets.items[1], "[::1]:2");
	assert_int_equal(job->groups.items[0].labels.count, 3);
	assert_string_equal(job->groups.items[0].labels.items[1].name, "__param_x");
	assert_int_equal(job->groups.items[1].targets.count, 0);
	assert_int_equal(job->file_sd_count, 1);
	assert_int_equal(job->file_sds[0].files.count, 2);
	assert_string_equal(job->file_sds[0].files.items[0], "/t/*.json");
	assert_int_equal(job->file_sds[0].refresh_ms, 30000);
	assert_true(job->observed_processes);
	config_free(&loaded.config);
}

static void every_key_says_how_it_is_asked(void **state)
{
	const struct config_scrape *job;
	struct loaded loaded;

	(void)state;
	load_text(every_key, &loaded);
	assert_string_equal(loaded.error, "");
	job = loaded.config.scrapes;
	assert_true(job->honor_labels);
	assert_false(job->honor_timestamps);
	assert_true(job->track_timestamps_staleness);
	assert_false(job->enable_compression);
	assert_string_equal(job->accept,
			    "Accept: application/openmetrics-text;version=1.0.0;"
			    "q=0.6,text/plain;version=0.0.4;q=0.5,"
			    "*/*;q=0.4");
	assert_int_equal(job->fallback, CONFIG_EXPOSITION_OPENMETRICS);
	assert_int_equal(job->relabel_count, 1);
	assert_int_equal(job->metric_relabel_count, 2);
	assert_int_equal(job->limits.body_bytes, 10 << 20);
	assert_int_equal(job->limits.samples, 1);
	assert_int_equal(job->limits.labels, 2);
	assert_int_equal(job->limits.label_name_bytes, 3);
	assert_int_equal(job->limits.label_value_bytes, 4);
	assert_int_equal(job->limits.targets, 5);
	assert_string_equal(job->http.basic_auth.username, "u");
	assert_int_equal(job->http.headers.count, 3);
	assert_string_equal(job->http.headers.items[2].name, "X-A");
	assert_string_equal(job->http.headers.items[2].value, "3");
	assert_string_equal(job->http.tls.ca_file, PEM);
	assert_string_equal(job->http.proxy_url, "http://p");
	assert_false(job->http.follow_redirects);
	config_free(&loaded.config);
}

static void what_a_job_leaves_out_is_global(void **state)
{
	static const char yaml[] =
	    "scrape_configs:\n"
	    "- {job_name: a}\n"
	    "- {job_name: b, scrape_interval: 2s}\n"
	    "- {job_name: c, sample_limit: 7, body_size_limit: "
	    "0}\n" WRITE "global: {scrape_interval: 20s, scrape_timeout: 5s,\n"
	    "         sample_limit: 1, label_limit: 2,\n"
	    "         label_name_length_limit: 3,\n"
	    "         label_value_length_limit: 4,\n"
	    "         target_limit: 5, body_size_limit: 6KB}\n";
	const struct config_scrape *jobs;
	struct loaded loaded;

	(void)state;
	load_text(yaml, &loaded);
	assert_string_equal(loaded.error, "");
	jobs = loaded.config.scrapes;
	assert_int_equal(jobs[0].interval_ms, 20000);
	assert_int_equal(jobs[0].timeout_ms, 5000);
	assert_int_equal(jobs[1].interval_ms, 2000);
	assert_int_equal(jobs[1].timeout_ms, 2000);
	assert_int_equal(jobs[0].limits.samples, 1);
	assert_int_equal(jobs[0].limits.labels, 2);
	assert_int_equal(jobs[0].limits.label_name_bytes, 3);
	assert_int_equal(jobs[0].limits.label_value_bytes, 4);
	assert_int_equal(jobs[0].limits.targets, 5);
	assert_int_equal(jobs[0].limits.body_bytes, 6144);
	assert_int_equal(jobs[2].limits.samples, 7);
	assert_int_equal(jobs[2].limits.body_bytes, 6144);
	config_free(&loaded.config);
}

static void the_interval_of_the_command_line_is_that_of_jobs(void **state)
{
	char *const more[] = {"--scrape-interval", "3s", NULL};
	struct loaded loaded;

	(void)state;
	load_bytes(JOB, strlen(JOB), more, &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(loaded.config.scrapes[0].interval_ms, 3000);
	assert_int_equal(loaded.config.scrapes[0].timeout_ms, 3000);
	config_free(&loaded.config);
}

static const struct {
	const char *keys;
	const char *error;
} bad_values[] = {
    {"scrape_interval: 1ms",
     "'scrape_interval' must be a duration from 100ms to 1d (like 1m30s), not "
     "'1ms'"},
    {"scheme: ftp", "'scheme' must be http or https, not 'ftp'"},
    {"params: {a: b}", "'a' must be a list, not 'b'"},
    {"static_configs: a", "'static_configs' must be a list, not 'a'"},
    {"static_configs: [{targets: a}]", "'targets' must be a list, not 'a'"},
    {"static_configs: [{target: [a]}]",
     "unknown key 'target' in a group of targets (did you mean 'targets'?)"},
    {"static_configs: [{labels: {a-b: c}}]",
     "'a-b' in labels is not a label name ([a-zA-Z_][a-zA-Z0-9_]*)"},
    {"file_sd_configs: [{}]", "a file_sd_configs entry needs 'files'"},
    {"file_sd_configs: [{files: [a.txt]}]",
     "'files' must be paths that end in .json, .yml or .yaml, with at most one "
     "'*', in the last part, not 'a.txt'"},
    {"file_sd_configs: [{files: [a*/b.yml]}]",
     "'files' must be paths that end in .json, .yml or .yaml, with at most one "
     "'*', in the last part, not 'a*/b.yml'"},
    {"file_sd_configs: [{files: [a*b*.yml]}]",
     "'files' must be paths that end in .json, .yml or .yaml, with at most one "
     "'*', in the last part, not 'a*b*.yml'"},
    {"scrape_protocols: [PrometheusProto]",
     "'scrape_protocols' must have one of OpenMetricsText1.0.0, "
     "OpenMetricsText0.0.1, PrometheusText1.0.0 or PrometheusText0.0.4"},
    {"scrape_protocols: [Text]",
     "'scrape_protocols' must be of OpenMetricsText1.0.0, "
     "OpenMetricsText0.0.1, PrometheusText1.0.0 or PrometheusText0.0.4, not "
     "'Text'"},
    {"scrape_protocols: [PrometheusText0.0.4, PrometheusText0.0.4]",
     "'scrape_protocols' has 'PrometheusText0.0.4' twice"},
    {"fallback_scrape_protocol: PrometheusProto",
     "'fallback_scrape_protocol' must be OpenMetricsText1.0.0, "
     "OpenMetricsText0.0.1, PrometheusText1.0.0 or PrometheusText0.0.4, not "
     "'PrometheusProto'"},
    {"body_size_limit: 10",
     "'body_size_limit' must be 0, or at most 1GB (like 10MB), not '10'"},
    {"body_size_limit: 2GB",
     "'body_size_limit' must be 0, or at most 1GB (like 10MB), not '2GB'"},
    {"observed_processes: {exe: a}", "unknown key 'exe' in observed_processes"},
    {"http_headers: {Authorization: {values: [s]}}",
     "header 'Authorization' is not set here; use authorization or basic_auth"},
    {"http_headers: {X: {files: [s]}}",
     "'files' is not supported; use values or secrets"},
    {"kubernetes_sd_configs: [{role: pod}]",
     "'kubernetes_sd_configs' is not supported; use static_configs or file_sd_configs"},
    {"dns_sd_configs: []",
     "'dns_sd_configs' is not supported; use static_configs or file_sd_configs"},
    {"oauth2: {}", "'oauth2' is not supported; use authorization or basic_auth"},
    {"scrape_failure_log_file: x", "'scrape_failure_log_file' is not supported"},
    {"extra_scrape_metrics: true", "'extra_scrape_metrics: true' is not supported"},
    {"target: [a]", "unknown key 'target' in a scrape_configs entry (did you mean "
		    "'target_limit'?)"},
};

static void bad_values_name_line_and_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(bad_values); i++) {
		char yaml[512], error[512];

		snprintf(yaml, sizeof(yaml), JOB "  %s\n", bad_values[i].keys);
		snprintf(error, sizeof(error), "4: %s", bad_values[i].error);
		assert_refused(yaml, error);
	}
	assert_refused(JOB "  headers: {accept: x}\n",
		       "3: header 'accept' is reserved: bpftally sets it itself");
}

static void a_target_is_an_address(void **state)
{
	static const struct {
		const char *target;
		const char *problem;
	} cases[] = {
	    {"http://a:1", "must be a host and a port, without scheme or path"},
	    {"a:1/metrics", "must be a host and a port, without scheme or path"},
	    {"a:1?x", "must be a host and a port, without scheme or path"},
	    {"a:0", "has a port that is not 1 to 65535"},
	    {"a:x", "has a port that is not 1 to 65535"},
	    {"u@a:1", "must not hold user or password; use basic_auth"},
	    {":80", "has no valid host"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char yaml[256], error[256];

		snprintf(yaml, sizeof(yaml),
			 JOB "  static_configs: [{targets: ['%s']}]\n",
			 cases[i].target);
		snprintf(error, sizeof(error), "3: target '%s' %s", cases[i].target,
			 cases[i].problem);
		assert_refused(yaml, error);
		/* Rules make an address of it: the exporter's, with this as a
		 * parameter. */
		strcat(yaml, "  relabel_configs: [{regex: x, action: labeldrop}]\n");
		assert_accepted(yaml);
	}
}

static void jobs_have_names_of_their_own(void **state)
{
	(void)state;
	assert_refused(WRITE "scrape_configs:\n- {}\n",
		       "3: a scrape_configs entry needs 'job_name'");
	assert_refused(JOB "- job_name: a\n",
		       "4: two scrape_configs entries have the same 'job_name'");
	assert_accepted(JOB "- job_name: b\n");
	assert_accepted(WRITE "scrape_configs:\n");
	assert_accepted("scrape_configs: []\n");
}

static void what_is_scraped_goes_somewhere(void **state)
{
	(void)state;
	assert_refused(
	    "scrape_configs: [{job_name: a}]\n",
	    "1: scrape_configs without remote_write or otlp: what is scraped "
	    "has nowhere to go");
	assert_accepted(
	    "otlp: {endpoint: http://a}\nscrape_configs: [{job_name: a}]\n");
}

static void a_timeout_is_at_most_the_interval(void **state)
{
	(void)state;
	assert_refused(JOB "  scrape_timeout: 16s\n",
		       "3: 'scrape_timeout' (16000ms) is above 'scrape_interval' "
		       "(15000ms)");
	assert_refused(JOB "global: {scrape_timeout: 16s}\n",
		       "global.scrape_timeout (16000ms) is above scrape_interval "
		       "(15000ms)");
	assert_accepted(JOB "  scrape_timeout: 15s\n");
	/* Nothing is scraped with it. */
	assert_accepted("global: {scrape_timeout: 16s}\n");
}

static void every_key_is_documented(void **state)
{
	static const char *const keys[] = {"scrape_configs",
					   "job_name",
					   "scrape_interval",
					   "scrape_timeout",
					   "metrics_path",
					   "scheme",
					   "params",
					   "static_configs",
					   "file_sd_configs",
					   "observed_processes",
					   "honor_labels",
					   "honor_timestamps",
					   "track_timestamps_staleness",
					   "enable_compression",
					   "scrape_protocols",
					   "fallback_scrape_protocol",
					   "relabel_configs",
					   "metric_relabel_configs",
					   "body_size_limit",
					   "sample_limit",
					   "label_limit",
					   "label_name_length_limit",
					   "label_value_length_limit",
					   "target_limit",
					   "headers",
					   "http_headers",
					   "enable_http2",
					   "keep_dropped_targets",
					   "native_histogram_bucket_limit",
					   "native_histogram_min_bucket_factor",
					   "scrape_native_histograms",
					   "scrape_classic_histograms",
					   "always_scrape_classic_histograms",
					   "convert_classic_histograms_to_nhcb",
					   "metric_name_validation_scheme",
					   "metric_name_escaping_scheme",
					   "extra_scrape_metrics",
					   "scrape_failure_log_file",
					   "file_sd_configs",
					   "refresh_interval"};

	(void)state;
	for (size_t i = 0; i < LENGTH(keys); i++)
		assert_documented(keys[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_name_alone_has_prometheus_defaults),
	    cmocka_unit_test(every_key_says_what_is_asked),
	    cmocka_unit_test(every_key_says_how_it_is_asked),
	    cmocka_unit_test(what_a_job_leaves_out_is_global),
	    cmocka_unit_test(the_interval_of_the_command_line_is_that_of_jobs),
	    cmocka_unit_test(bad_values_name_line_and_key),
	    cmocka_unit_test(a_target_is_an_address),
	    cmocka_unit_test(jobs_have_names_of_their_own),
	    cmocka_unit_test(what_is_scraped_goes_somewhere),
	    cmocka_unit_test(a_timeout_is_at_most_the_interval),
	    cmocka_unit_test(every_key_is_documented),
	};

	return cmocka_run_group_tests(tests, make_pem_file, NULL);
}
