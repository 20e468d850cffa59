/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `scrape_configs` list in Prometheus' own spelling. As of `remote_write`, every
 * key that Prometheus 3 knows is known here: read, or judged and without meaning for
 * us, or refused by name. Ours are `headers`, as in `remote_write`, and
 * `observed_processes`.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "cleanup.h"
#include "config_http.h"
#include "config_targets.h"
#include "config_value.h"
#include "length.h"
#include "slice.h"

#define FIELD(type, member) .offset = offsetof(struct type, member)
#define DAY_MS 86400000ull
#define DEFAULT_TIMEOUT_MS 10000
#define DEFAULT_REFRESH_MS 300000
#define BODY_BYTES_MAX (1ull << 30)
#define PARAMS_MAX 64
#define FILE_SDS_MAX 64

enum { CHOICE_HEADERS = CONFIG_CHOICE_AUTHENTICATION + 1 };

/* --- protocols ------------------------------------------------------------------ */

#define ACCEPT "Accept: "
/* What Prometheus 2.42 sends, which knows no `scrape_protocols`. */
#define DEFAULT_ACCEPT                                                                 \
	ACCEPT                                                                         \
	"application/openmetrics-text;version=1.0.0,"                                  \
	"application/openmetrics-text;version=0.0.1;q=0.75,"                           \
	"text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
#define PROTOBUF "PrometheusProto"
#define PROTOCOL_NAMES                                                                 \
	"OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText1.0.0 or "          \
	"PrometheusText0.0.4"

static const struct {
	const char *name;
	const char *type;
	enum config_exposition exposition;
} protocols[] = {
    {"OpenMetricsText1.0.0", "application/openmetrics-text;version=1.0.0",
     CONFIG_EXPOSITION_OPENMETRICS},
    {"OpenMetricsText0.0.1", "application/openmetrics-text;version=0.0.1",
     CONFIG_EXPOSITION_OPENMETRICS},
    {"PrometheusText1.0.0", "text/plain;version=1.0.0", CONFIG_EXPOSITION_TEXT},
    {"PrometheusText0.0.4", "text/plain;version=0.0.4", CONFIG_EXPOSITION_TEXT},
};

static size_t find_protocol(const char *name)
{
	size_t i = 0;

	while (i < LENGTH(protocols) && strcmp(protocols[i].name, name) != 0)
		i++;
	return i;
}

static int read_fallback(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *target)
{
	AUTO_FREE char *name = NULL;
	int err = config_scalar(reader, node, field->key, &name);
	size_t found;

	if (err)
		return err;
	found = find_protocol(name);
	if (found == LENGTH(protocols))
		return config_fail_value(reader, node, field->key, PROTOCOL_NAMES);
	*(enum config_exposition *)target = protocols[found].exposition;
	return 0;
}

struct offers {
	const char *types[LENGTH(protocols)];
	size_t count;
};

/* Protobuf among others is passed over: a server has one of those, too. */
static int add_protocol(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	struct offers *offers = target;
	AUTO_FREE char *name = NULL;
	int err = config_scalar(reader, node, field->key, &name);
	size_t found;

	if (err)
		return err;
	found = find_protocol(name);
	if (found == LENGTH(protocols) && !strcmp(name, PROTOBUF))
		return 0;
	if (found == LENGTH(protocols))
		return config_fail_value(reader, node, field->key,
					 "of " PROTOCOL_NAMES);
	for (size_t i = 0; i < offers->count; i++) {
		if (offers->types[i] == protocols[found].type)
			return config_fail(reader, node, "'%s' has '%s' twice",
					   field->key, name);
	}
	offers->types[offers->count++] = protocols[found].type;
	return 0;
}

/* As Prometheus 3 weighs them: from its five formats down. */
static int read_protocols(struct config_reader *reader, const struct config_node *node,
			  const struct config_field *field, void *target)
{
	struct buf accept = BUF_INIT(1024);
	struct offers offers = {0};
	unsigned int weight = LENGTH(protocols) + 2;
	int err = config_read_items(reader, node, field, LENGTH(protocols) + 1,
				    add_protocol, &offers);

	if (err)
		return err;
	if (!offers.count)
		return config_fail(reader, node,
				   "'%s' must have one of " PROTOCOL_NAMES, field->key);
	buf_string(&accept, ACCEPT);
	for (size_t i = 0; i < offers.count; i++)
		buf_printf(&accept, "%s;q=0.%u,", offers.types[i], weight--);
	buf_printf(&accept, "*/*;q=0.%u", weight);
	buf_append(&accept, "", 1);
	if (accept.error) {
		buf_free(&accept);
		return config_fail(reader, node, "out of memory");
	}
	*(char **)target = TAKE(accept.data);
	return 0;
}

/* --- one value each ------------------------------------------------------------- */

static int read_scheme(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (strcmp(text, "http") != 0 && strcmp(text, "https") != 0)
		return config_fail_value(reader, node, field->key, "http or https");
	*(char **)target = TAKE(text);
	return 0;
}

int config_read_body_size(struct config_reader *reader, const struct config_node *node,
			  const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	uint64_t bytes = 0;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (strcmp(text, "0") != 0 &&
	    (!value_bytes(text, &bytes) || bytes > BODY_BYTES_MAX))
		return config_fail_value(reader, node, field->key,
					 "0, or at most 1GB (like 10MB)");
	*(uint64_t *)target = bytes;
	return 0;
}

static int add_param_value(struct config_reader *reader, const struct config_node *node,
			   const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar_or_empty(reader, node, field->key, &text);

	if (!err && !config_add_string(target, &text))
		err = config_fail(reader, node, "out of memory");
	return err;
}

static int add_param(struct config_reader *reader, const struct config_node *key,
		     const char *name, const struct config_node *value, void *target)
{
	struct config_scrape *scrape = target;
	char quoted[VALUE_QUOTE_LEN];
	const struct config_field field = {.key = quoted};
	struct config_param *params;

	value_quote(name, quoted);
	params = reallocarray(scrape->params, scrape->param_count + 1, sizeof(*params));
	if (!params)
		return config_fail(reader, key, "out of memory");
	scrape->params = params;
	params += scrape->param_count++;
	*params = (struct config_param){.name = strdup(name)};
	if (!params->name)
		return config_fail(reader, key, "out of memory");
	return config_read_list(reader, value, &field, CONFIG_LIST_MAX, add_param_value,
				&params->values);
}

static int read_params(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	return config_read_each(reader, node, field->key, PARAMS_MAX, add_param,
				target);
}

static int read_relabels(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *target)
{
	struct config_scrape *scrape = target;

	return config_read_relabels(reader, node, field->key, &scrape->relabels,
				    &scrape->relabel_count);
}

static int read_metric_relabels(struct config_reader *reader,
				const struct config_node *node,
				const struct config_field *field, void *target)
{
	struct config_scrape *scrape = target;

	return config_read_relabels(reader, node, field->key, &scrape->metric_relabels,
				    &scrape->metric_relabel_count);
}

static const struct config_section observed_section = {.name = "observed_processes"};

static int read_observed(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *target)
{
	(void)field;
	*(bool *)target = true;
	return config_read_mapping(reader, node, &observed_section, target);
}

/* --- file_sd_configs ------------------------------------------------------------ */

/* Prometheus' pattern: a '*' in what follows the last slash only. */
static bool is_targets_file(const char *path)
{
	static const char *const endings[] = {".json", ".yml", ".yaml"};
	const char *slash = strrchr(path, '/');
	const char *star = strchr(path, '*');

	if (star && slash && star < slash)
		return false;
	for (size_t i = 0; i < LENGTH(endings); i++) {
		struct slice base = slice_of(slash ? slash + 1 : path);

		if (slice_strip_suffix(&base, endings[i]))
			return !memchr(base.text, '*', base.len) ||
			       strchr(star + 1, '*') == NULL;
	}
	return false;
}

static int add_file(struct config_reader *reader, const struct config_node *node,
		    const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL, *path = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (!is_targets_file(text))
		return config_fail_value(reader, node, field->key,
					 "paths that end in .json, .yml or .yaml, with "
					 "at most one '*', in the last part");
	path = config_resolve_path(reader, text);
	if (!path || !config_add_string(target, &path))
		return config_fail(reader, node, "out of memory");
	return 0;
}

static int read_files(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *target)
{
	if (!config_is_list(node))
		return config_fail_value(reader, node, field->key, "a list");
	return config_read_items(reader, node, field, CONFIG_LIST_MAX, add_file,
				 target);
}

static const struct config_field file_sd_fields[] = {
    {"files", read_files, FIELD(config_file_sd, files), .required = true},
    {"refresh_interval", config_read_duration, FIELD(config_file_sd, refresh_ms), 1000,
     DAY_MS},
};
static const struct config_section file_sd_section = {.name = "a file_sd_configs entry",
						      .fields = file_sd_fields,
						      .count = LENGTH(file_sd_fields)};

static int add_file_sd(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	struct config_scrape *scrape = target;
	struct config_file_sd *all;

	(void)field;
	all = reallocarray(scrape->file_sds, scrape->file_sd_count + 1, sizeof(*all));
	if (!all)
		return config_fail(reader, node, "out of memory");
	scrape->file_sds = all;
	all += scrape->file_sd_count++;
	*all = (struct config_file_sd){.refresh_ms = DEFAULT_REFRESH_MS};
	return config_read_mapping(reader, node, &file_sd_section, all);
}

static int read_file_sds(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *target)
{
	return config_read_list(reader, node, field, FILE_SDS_MAX, add_file_sd, target);
}

/* --- the job -------------------------------------------------------------------- */

#define JOB(member) FIELD(config_scrape, member)

static const struct config_field job_fields[] = {
    {"job_name", config_read_text, JOB(job_name), .required = true},
    {"scrape_interval", config_read_duration, JOB(interval_ms), CONFIG_INTERVAL_MIN_MS,
     CONFIG_INTERVAL_MAX_MS},
    {"scrape_timeout", config_read_duration, JOB(timeout_ms), 1,
     CONFIG_INTERVAL_MAX_MS},
    {"metrics_path", config_read_text, JOB(metrics_path)},
    {"scheme", read_scheme, JOB(scheme)},
    {"params", read_params, CONFIG_NO_TARGET},
    {"static_configs", config_read_groups, JOB(groups)},
    {"file_sd_configs", read_file_sds, CONFIG_NO_TARGET},
    /* There are more than thirty by now. */
    {"*_sd_configs", config_read_unsupported,
     .hint = "use static_configs or file_sd_configs"},
    {"observed_processes", read_observed, JOB(observed_processes)},
    {"honor_labels", config_read_flag, JOB(honor_labels)},
    {"honor_timestamps", config_read_flag, JOB(honor_timestamps)},
    {"track_timestamps_staleness", config_read_flag, JOB(track_timestamps_staleness)},
    {"enable_compression", config_read_flag, JOB(enable_compression)},
    {"scrape_protocols", read_protocols, JOB(accept)},
    {"fallback_scrape_protocol", read_fallback, JOB(fallback)},
    {"relabel_configs", read_relabels, CONFIG_NO_TARGET},
    {"metric_relabel_configs", read_metric_relabels, CONFIG_NO_TARGET},
    {"body_size_limit", config_read_body_size, JOB(limits.body_bytes)},
    {"sample_limit", config_read_number, JOB(limits.samples), 0, UINT32_MAX},
    {"label_limit", config_read_number, JOB(limits.labels), 0, UINT32_MAX},
    {"label_name_length_limit", config_read_number, JOB(limits.label_name_bytes), 0,
     UINT32_MAX},
    {"label_value_length_limit", config_read_number, JOB(limits.label_value_bytes), 0,
     UINT32_MAX},
    {"target_limit", config_read_number, JOB(limits.targets), 0, UINT32_MAX},
    CONFIG_HTTP_FIELDS(offsetof(struct config_scrape, http)),
    {"headers", config_read_headers, JOB(http.headers), .choice = CHOICE_HEADERS},
    {"http_headers", config_read_http_headers, JOB(http.headers),
     .choice = CHOICE_HEADERS},
    /* HTTP/1.1 says the same, one answer after the other. */
    {"enable_http2", config_read_unused_flag, CONFIG_NO_TARGET},
    /* Of the page of dropped targets, and of native histograms, which come in
     * protobuf only. */
    {"keep_dropped_targets", config_read_unused_number, .max = UINT32_MAX},
    {"native_histogram_bucket_limit", config_read_unused_number, .max = UINT32_MAX},
    {"native_histogram_min_bucket_factor", config_read_unused_text, CONFIG_NO_TARGET},
    {"scrape_native_histograms", config_read_unused_flag, CONFIG_NO_TARGET},
    {"scrape_classic_histograms", config_read_unused_flag, CONFIG_NO_TARGET},
    {"always_scrape_classic_histograms", config_read_unused_flag, CONFIG_NO_TARGET},
    {"convert_classic_histograms_to_nhcb", config_read_only_false, CONFIG_NO_TARGET},
    {"metric_name_validation_scheme", config_read_unused_text, CONFIG_NO_TARGET},
    {"metric_name_escaping_scheme", config_read_unused_text, CONFIG_NO_TARGET},
    {"extra_scrape_metrics", config_read_only_false, CONFIG_NO_TARGET},
    {"scrape_failure_log_file", config_read_unsupported, CONFIG_NO_TARGET},
};

static bool set_default(char **text, const char *value)
{
	if (!*text)
		*text = strdup(value);
	return *text;
}

/* Prometheus looks at them only where no rule makes something else of them. */
static int check_addresses(struct config_reader *reader, const struct config_node *node,
			   const struct config_strings *targets)
{
	for (size_t i = 0; i < targets->count; i++) {
		const char *problem = config_address_problem(targets->items[i]);
		char quoted[VALUE_QUOTE_LEN];

		if (!problem)
			continue;
		value_quote(targets->items[i], quoted);
		return config_fail(reader, node, "target '%s' %s", quoted, problem);
	}
	return 0;
}

/* What says who asks, for what and until when. */
static int check_headers(struct config_reader *reader, const struct config_node *node,
			 const struct config_labels *headers)
{
	static const char *const ours[] = {"accept",
					   "x-prometheus-scrape-timeout-seconds"};

	for (size_t i = 0; i < headers->count * LENGTH(ours); i++) {
		const char *name = headers->items[i / LENGTH(ours)].name;

		if (!strcasecmp(name, ours[i % LENGTH(ours)]))
			return config_fail(reader, node,
					   "header '%s' is reserved: bpftally sets it "
					   "itself",
					   name);
	}
	return 0;
}

static int check_job(struct config_reader *reader, const struct config_node *node,
		     void *target)
{
	struct config_scrape *scrape = target;
	int err = config_check_http(reader, node, &scrape->http);

	if (!err)
		err = check_headers(reader, node, &scrape->http.headers);
	for (size_t i = 0; !err && !scrape->relabel_count && i < scrape->groups.count;
	     i++)
		err = check_addresses(reader, node, &scrape->groups.items[i].targets);
	if (err)
		return err;
	scrape->where = config_where(reader, node);
	if (!scrape->where || !set_default(&scrape->metrics_path, "/metrics") ||
	    !set_default(&scrape->scheme, "http") ||
	    !set_default(&scrape->accept, DEFAULT_ACCEPT))
		return config_fail(reader, node, "out of memory");
	return 0;
}

static const struct config_section job_section = {.name = "a scrape_configs entry",
						  .fields = job_fields,
						  .count = LENGTH(job_fields),
						  .check = check_job};

static bool is_job_taken(const struct config *config, const struct config_scrape *by)
{
	for (const struct config_scrape *other = config->scrapes; other != by;
	     other++) {
		if (!strcmp(other->job_name, by->job_name))
			return true;
	}
	return false;
}

static int add_job(struct config_reader *reader, const struct config_node *node,
		   const struct config_field *field, void *target)
{
	struct config *config = target;
	struct config_scrape *all;
	int err;

	(void)field;
	all = reallocarray(config->scrapes, config->scrape_count + 1, sizeof(*all));
	if (!all)
		return config_fail(reader, node, "out of memory");
	config->scrapes = all;
	all += config->scrape_count++;
	*all = (struct config_scrape){
	    .honor_timestamps = true,
	    .enable_compression = true,
	    .http = {.follow_redirects = true},
	};
	err = config_read_mapping(reader, node, &job_section, all);
	if (!err && is_job_taken(config, all))
		err = config_fail(reader, node,
				  "two scrape_configs entries have the same "
				  "'job_name'");
	return err;
}

int config_read_scrapes(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *config)
{
	return config_read_list(reader, node, field, CONFIG_SCRAPES_MAX, add_job,
				config);
}

/* --- with what is global -------------------------------------------------------- */

static void set_limits(struct config_scrape_limits *limits,
		       const struct config_scrape_limits *global)
{
	if (!limits->body_bytes)
		limits->body_bytes = global->body_bytes;
	if (!limits->samples)
		limits->samples = global->samples;
	if (!limits->labels)
		limits->labels = global->labels;
	if (!limits->label_name_bytes)
		limits->label_name_bytes = global->label_name_bytes;
	if (!limits->label_value_bytes)
		limits->label_value_bytes = global->label_value_bytes;
	if (!limits->targets)
		limits->targets = global->targets;
}

/* A timeout that the job does not give shrinks to its interval. */
static int set_times(const struct config *config, struct config_scrape *scrape,
		     char *error)
{
	uint64_t timeout =
	    config->scrape_timeout_ms ? config->scrape_timeout_ms : DEFAULT_TIMEOUT_MS;

	if (!scrape->interval_ms)
		scrape->interval_ms = config->scrape_interval_ms;
	if (!scrape->timeout_ms)
		scrape->timeout_ms =
		    timeout < scrape->interval_ms ? timeout : scrape->interval_ms;
	scrape->http.timeout_ms = scrape->timeout_ms;
	if (scrape->timeout_ms <= scrape->interval_ms)
		return 0;
	snprintf(error, CONFIG_ERROR_LEN,
		 "%s: 'scrape_timeout' (%llums) is above 'scrape_interval' (%llums)",
		 scrape->where, (unsigned long long)scrape->timeout_ms,
		 (unsigned long long)scrape->interval_ms);
	return -EINVAL;
}

int config_finish_scrapes(struct config *config, char ret_error[CONFIG_ERROR_LEN])
{
	int err = 0;

	if (!config->scrape_count)
		return 0;
	if (!config->remote_write_count && !config->otlp_count) {
		snprintf(ret_error, CONFIG_ERROR_LEN,
			 "%s: scrape_configs without remote_write or otlp: what is "
			 "scraped has nowhere to go",
			 config->scrapes->where);
		return -EINVAL;
	}
	if (config->scrape_timeout_ms > config->scrape_interval_ms) {
		snprintf(ret_error, CONFIG_ERROR_LEN,
			 "global.scrape_timeout (%llums) is above scrape_interval "
			 "(%llums)",
			 (unsigned long long)config->scrape_timeout_ms,
			 (unsigned long long)config->scrape_interval_ms);
		return -EINVAL;
	}
	for (size_t i = 0; !err && i < config->scrape_count; i++) {
		err = set_times(config, &config->scrapes[i], ret_error);
		set_limits(&config->scrapes[i].limits, &config->scrape_limits);
	}
	return err;
}

static void free_job(struct config_scrape *scrape)
{
	free(scrape->where);
	free(scrape->job_name);
	free(scrape->metrics_path);
	free(scrape->scheme);
	free(scrape->accept);
	for (size_t i = 0; i < scrape->param_count; i++) {
		free(scrape->params[i].name);
		config_free_strings(&scrape->params[i].values);
	}
	free(scrape->params);
	config_free_http(&scrape->http);
	config_free_groups(&scrape->groups);
	for (size_t i = 0; i < scrape->file_sd_count; i++)
		config_free_strings(&scrape->file_sds[i].files);
	free(scrape->file_sds);
	config_free_relabels(&scrape->relabels, &scrape->relabel_count);
	config_free_relabels(&scrape->metric_relabels, &scrape->metric_relabel_count);
}

void config_free_scrapes(struct config *config)
{
	for (size_t i = 0; i < config->scrape_count; i++)
		free_job(&config->scrapes[i]);
	free(config->scrapes);
	config->scrapes = NULL;
	config->scrape_count = 0;
}
