/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "address.h"
#include "cleanup.h"
#include "config_internal.h"
#include "config_value.h"
#include "length.h"
#include "options.h"

#define DEFAULT_LISTEN ":9965"
#define DEFAULT_STATE_DIR "/var/lib/bpftally"
#define STATE_DIR_OFF "off"
#define STATE_DIR_MUST "an absolute path, or off"
#define SPOOL_BYTES_MIN (1ull << 20)
#define SPOOL_BYTES_MAX (1ull << 40)
#define YEAR_MS (365 * 86400000ull)

/* --- keys of the whole file ------------------------------------------------- */

static int add_pid(struct config_reader *reader, const struct config_node *node,
		   const struct config_field *field, void *target)
{
	struct config *config = target;
	uint32_t pid;
	int err = config_read_number(reader, node, field, &pid);

	if (!err)
		config->pids[config->pid_count++] = pid;
	return err;
}

static int add_port(struct config_reader *reader, const struct config_node *node,
		    const struct config_field *field, void *target)
{
	struct config *config = target;
	uint32_t port;
	int err = config_read_number(reader, node, field, &port);

	if (!err)
		config->ports[config->port_count++] = (uint16_t)port;
	return err;
}

static int add_exe(struct config_reader *reader, const struct config_node *node,
		   const struct config_field *field, void *target)
{
	struct config *config = target;
	AUTO_FREE char *glob = NULL;
	int err = config_scalar(reader, node, field->key, &glob);

	if (!err && !config_add_string(&config->exes, &glob))
		err = config_fail(reader, node, "out of memory");
	return err;
}

static int read_pids(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *config)
{
	return config_read_items(reader, node, field, CONFIG_LIST_MAX, add_pid, config);
}

static int read_ports(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *config)
{
	return config_read_items(reader, node, field, TALLY_PORTS_MAX, add_port,
				 config);
}

static int read_exes(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *config)
{
	return config_read_items(reader, node, field, CONFIG_LIST_MAX, add_exe, config);
}

static bool is_address(const char *text)
{
	struct sockaddr_storage address;
	socklen_t len;

	return !address_parse(text, &address, &len);
}

static int read_listen(struct config_reader *reader, const struct config_node *node,
		       const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (!is_address(text))
		return config_fail_value(reader, node, field->key,
					 "ADDR:PORT or :PORT");
	free(*(char **)target); /* the default */
	*(char **)target = TAKE(text);
	return 0;
}

static int read_service(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (strlen(text) > CONFIG_SERVICE_LEN_MAX)
		return config_fail(reader, node, "'%s' is longer than %d bytes",
				   field->key, CONFIG_SERVICE_LEN_MAX);
	*(char **)target = TAKE(text);
	return 0;
}

static bool is_state_dir(const char *text)
{
	return *text == '/' || !strcmp(text, STATE_DIR_OFF);
}

static int read_state_dir(struct config_reader *reader, const struct config_node *node,
			  const struct config_field *field, void *target)
{
	struct config_spool *spool = target;
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (!is_state_dir(text))
		return config_fail_value(reader, node, field->key, STATE_DIR_MUST);
	free(spool->directory);
	spool->directory = TAKE(text);
	spool->is_given = true;
	return 0;
}

static int read_capture(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (!err && !capture_parse(text, target))
		err = config_fail_value(reader, node, field->key, CAPTURE_NAMES);
	return err;
}

static int read_process_metrics(struct config_reader *reader,
				const struct config_node *node,
				const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (!err && !config_parse_process_metrics(text, target))
		err =
		    config_fail_value(reader, node, field->key, PROCESS_METRICS_NAMES);
	return err;
}

static const char *label_problem(const char *name, const char *value)
{
	(void)value;
	if (value_is_label_name(name))
		return NULL;
	return "is not a label name ([a-zA-Z_][a-zA-Z0-9_]*, not beginning with '__')";
}

static int read_external_labels(struct config_reader *reader,
				const struct config_node *node,
				const struct config_field *field, void *target)
{
	return config_read_pairs(reader, node, field->key, label_problem, target);
}

#define FIELD(member) .offset = offsetof(struct config, member)

static const struct config_field limits_fields[] = {
    {"series", config_read_number, FIELD(max_series), 1, CONFIG_SERIES_MAX},
    {"routes_per_service", config_read_number, FIELD(max_routes), 1, TALLY_ROUTE_ROWS},
};
static const struct config_section limits_section = {"limits", limits_fields,
						     LENGTH(limits_fields), NULL};

static const struct config_field spool_fields[] = {
    {"max_bytes", config_read_bytes, FIELD(spool.bytes_max), SPOOL_BYTES_MIN,
     SPOOL_BYTES_MAX},
    {"max_age", config_read_duration, FIELD(spool.age_max_ms), 60000, YEAR_MS},
};
static const struct config_section spool_section = {"spool", spool_fields,
						    LENGTH(spool_fields), NULL};

static const struct config_field global_fields[] = {
    {"external_labels", read_external_labels, FIELD(external_labels)},
    {"scrape_interval", config_read_duration, FIELD(scrape_interval_ms),
     CONFIG_INTERVAL_MIN_MS, CONFIG_INTERVAL_MAX_MS},
    {"scrape_timeout", config_read_duration, FIELD(scrape_timeout_ms), 0, YEAR_MS},
    {"body_size_limit", config_read_body_size, FIELD(scrape_limits.body_bytes)},
    {"sample_limit", config_read_number, FIELD(scrape_limits.samples), 0, UINT32_MAX},
    {"target_limit", config_read_number, FIELD(scrape_limits.targets), 0, UINT32_MAX},
    {"label_limit", config_read_number, FIELD(scrape_limits.labels), 0, UINT32_MAX},
    {"label_name_length_limit", config_read_number,
     FIELD(scrape_limits.label_name_bytes), 0, UINT32_MAX},
    {"label_value_length_limit", config_read_number,
     FIELD(scrape_limits.label_value_bytes), 0, UINT32_MAX},
    /* Of rules and queries: there are none; of native histograms, which come in
     * protobuf only. */
    {"evaluation_interval", config_read_unused_duration, .max = YEAR_MS},
    {"rule_query_offset", config_read_unused_duration, .max = YEAR_MS},
    {"query_log_file", config_read_unused_text, CONFIG_NO_TARGET},
    {"scrape_protocols", config_read_unused_texts, CONFIG_NO_TARGET},
    {"scrape_failure_log_file", config_read_unused_text, CONFIG_NO_TARGET},
    {"keep_dropped_targets", config_read_unused_number, .max = UINT32_MAX},
    {"metric_name_validation_scheme", config_read_unused_text, CONFIG_NO_TARGET},
    {"metric_name_escaping_scheme", config_read_unused_text, CONFIG_NO_TARGET},
    {"scrape_native_histograms", config_read_unused_flag, CONFIG_NO_TARGET},
    {"always_scrape_classic_histograms", config_read_unused_flag, CONFIG_NO_TARGET},
    {"convert_classic_histograms_to_nhcb", config_read_unused_flag, CONFIG_NO_TARGET},
    {"extra_scrape_metrics", config_read_unused_flag, CONFIG_NO_TARGET},
};
static const struct config_section global_section = {"global", global_fields,
						     LENGTH(global_fields), NULL};

static const struct config_field file_fields[] = {
    {"listen", read_listen, FIELD(listen)},
    {"web_config_file", config_read_file_path, FIELD(web_config_file)},
    {"pid", read_pids, .min = 1, .max = CONFIG_PID_MAX},
    {"exe", read_exes, CONFIG_NO_TARGET},
    {"port", read_ports, .min = 1, .max = UINT16_MAX},
    {"service", read_service, FIELD(service)},
    {"no_bpf", config_read_flag, FIELD(no_bpf)},
    {"capture", read_capture, FIELD(capture)},
    {"grace_period", config_read_duration, FIELD(grace_ms), 0, CONFIG_GRACE_MAX_MS},
    {"summaries", config_read_flag, FIELD(summaries)},
    {"process_metrics", read_process_metrics, FIELD(process_metrics)},
    {"limits", config_read_section, .section = &limits_section},
    {"global", config_read_section, .section = &global_section},
    {"state_dir", read_state_dir, FIELD(spool)},
    {"spool", config_read_section, .section = &spool_section},
    {"remote_write", config_read_remote_writes, CONFIG_NO_TARGET},
    {"otlp", config_read_otlps, CONFIG_NO_TARGET},
    {"loki_write", config_read_loki_writes, CONFIG_NO_TARGET},
    {"scrape_configs", config_read_scrapes, CONFIG_NO_TARGET},
    {"functions", config_read_functions, CONFIG_NO_TARGET},
    {"logs", config_read_logs, CONFIG_NO_TARGET},
    /* Of 2.42 to 3.x; what else Prometheus has at the top is above. */
    {"alerting", CONFIG_FOREIGN},
    {"remote_read", CONFIG_FOREIGN},
    {"rule_files", CONFIG_FOREIGN},
    {"runtime", CONFIG_FOREIGN},
    {"scrape_config_files", CONFIG_FOREIGN},
    {"storage", CONFIG_FOREIGN},
    {"tracing", CONFIG_FOREIGN},
};
static const struct config_section file_section = {"the file", file_fields,
						   LENGTH(file_fields), NULL};

/* --- together --------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static int fail(char *error, const char *format,
						      ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, CONFIG_ERROR_LEN, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static bool set_defaults(struct config *config)
{
	*config = (struct config){
	    .listen = strdup(DEFAULT_LISTEN),
	    .max_series = TALLY_SERIES_MAX,
	    .max_routes = TALLY_ROUTES_MAX,
	    .grace_ms = 300000,
	    .scrape_interval_ms = 15000,
	    .spool = {.directory = strdup(DEFAULT_STATE_DIR),
		      .bytes_max = 512ull << 20,
		      .age_max_ms = 86400000},
	};
	return config->listen && config->spool.directory;
}

static bool replace_string(char **string, const char *by)
{
	char *copy;

	if (!by)
		return true;
	copy = strdup(by);
	if (!copy)
		return false;
	free(*string);
	*string = copy;
	return true;
}

static bool apply_selection(const struct options *options, struct config *config)
{
	if (options->pid_count) {
		memcpy(config->pids, options->pids, sizeof(config->pids));
		config->pid_count = options->pid_count;
	}
	if (options->port_count) {
		memcpy(config->ports, options->ports, sizeof(config->ports));
		config->port_count = options->port_count;
	}
	if (options->exe_count)
		config_free_strings(&config->exes);
	for (size_t i = 0; i < options->exe_count; i++) {
		AUTO_FREE char *glob = strdup(options->exes[i]);

		if (!glob || !config_add_string(&config->exes, &glob))
			return false;
	}
	return replace_string(&config->service, options->service);
}

static void apply_numbers(const struct options *options, struct config *config)
{
	if (options->max_series != OPTIONS_NOT_GIVEN)
		config->max_series = (uint32_t)options->max_series;
	if (options->max_routes != OPTIONS_NOT_GIVEN)
		config->max_routes = (uint32_t)options->max_routes;
	if (options->scrape_interval_ms != OPTIONS_NOT_GIVEN)
		config->scrape_interval_ms = options->scrape_interval_ms;
	if (options->grace_ms != OPTIONS_NOT_GIVEN)
		config->grace_ms = options->grace_ms;
	if (options->capture_given)
		config->capture = options->capture;
	config->no_bpf |= options->no_bpf;
	if (options->process_metrics_given)
		config->process_metrics = options->process_metrics;
	config->check_probes = options->probe;
	if (options->summaries)
		config->summaries = true;
	config->verbose = options->verbose;
}

static bool apply_remote_write(const struct options *options, struct config *config)
{
	struct config_remote_write *endpoint;

	if (!options->remote_write_url)
		return true;
	config_free_remote_writes(config);
	endpoint = config_add_remote_write(config);
	if (!endpoint)
		return false;
	if (!replace_string(&endpoint->http.url, options->remote_write_url))
		return false;
	if (options->tenant && !config_add_label(&endpoint->http.headers,
						 "X-Scope-OrgID", options->tenant))
		return false;
	if (!options->token_file)
		return true;
	return replace_string(&endpoint->http.authorization.type, "Bearer") &&
	       replace_string(&endpoint->http.authorization.credentials_file,
			      options->token_file);
}

static int apply_functions(const struct options *options, struct config *config,
			   char *error)
{
	int err = 0;

	if (options->function_count)
		config_free_functions(config);
	for (size_t i = 0; !err && i < options->function_count; i++)
		err = config_add_function(config, options->functions[i], error);
	return err;
}

static int apply_options(const struct options *options, struct config *config,
			 char *error)
{
	const char *problem = NULL;
	char quoted[VALUE_QUOTE_LEN];

	if (options->listen && !is_address(options->listen)) {
		value_quote(options->listen, quoted);
		return fail(error, "--listen must be ADDR:PORT or :PORT, not '%s'",
			    quoted);
	}
	if (options->state_dir && !is_state_dir(options->state_dir)) {
		value_quote(options->state_dir, quoted);
		return fail(error, "--state-dir must be " STATE_DIR_MUST ", not '%s'",
			    quoted);
	}
	if (options->token_file)
		problem = config_file_problem(options->token_file);
	if (problem)
		return fail(error, "--token-file '%s' cannot be read: %s",
			    options->token_file, problem);
	apply_numbers(options, config);
	config->spool.is_given |= options->state_dir != NULL;
	if (!replace_string(&config->listen, options->listen) ||
	    !replace_string(&config->spool.directory, options->state_dir) ||
	    !replace_string(&config->web_config_file, options->web_config_file) ||
	    !replace_string(&config->list_subject, options->list_subject) ||
	    !replace_string(&config->list_glob, options->list_glob) ||
	    !apply_selection(options, config) || !apply_remote_write(options, config))
		return fail(error, "out of memory");
	return apply_functions(options, config, error);
}

/* What would be observed is not: rather refused than guessed. */
static int check_no_bpf(const struct config *config, char *error)
{
	if (!config->no_bpf ||
	    (!config->pid_count && !config->exes.count && !config->port_count &&
	     !config->service && !config->function_count))
		return 0;
	return fail(error, "no_bpf (--no-bpf) observes no process: it excludes pid, "
			   "exe, port, service and functions");
}

int config_load(int argc, char **argv, struct config *ret_config,
		enum config_action *ret_action, char ret_error[CONFIG_ERROR_LEN])
{
	struct options options;
	int err;

	*ret_config = (struct config){0};
	err = options_parse(argc, argv, &options, ret_error);
	if (err)
		return err;
	if (options.action == CONFIG_HELP || options.action == CONFIG_VERSION) {
		*ret_action = options.action;
		return 0;
	}
	if (!set_defaults(ret_config))
		return fail(ret_error, "out of memory");
	if (options.config_file)
		err = config_read_file(options.config_file, &file_section, ret_config,
				       ret_error);
	if (!err)
		err = apply_options(&options, ret_config, ret_error);
	if (err)
		return err;
	err = check_no_bpf(ret_config, ret_error);
	if (err)
		return err;
	if (!strcmp(ret_config->spool.directory, STATE_DIR_OFF)) {
		free(ret_config->spool.directory);
		ret_config->spool.directory = NULL;
	}
	if (!config_name_remote_writes(ret_config))
		return fail(ret_error, "out of memory");
	err = config_finish_scrapes(ret_config, ret_error);
	if (!err)
		err = config_check_logs(ret_config, ret_error);
	if (err)
		return err;
	*ret_action = options.action;
	return 0;
}

void config_free(struct config *config)
{
	free(config->listen);
	free(config->web_config_file);
	config_free_strings(&config->exes);
	free(config->service);
	free(config->spool.directory);
	config_free_labels(&config->external_labels);
	config_free_remote_writes(config);
	config_free_otlps(config);
	config_free_loki_writes(config);
	config_free_scrapes(config);
	config_free_logs(config);
	config_free_functions(config);
	free(config->list_subject);
	free(config->list_glob);
	*config = (struct config){0};
}
