/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `remote_write` list in Prometheus' own spelling. Every key that
 * Prometheus 3 knows is known here: read, or judged and without meaning for us,
 * or refused by name. None is skipped: a block that is taken does what it says.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_http.h"
#include "config_value.h"
#include "length.h"

#define HOUR_MS 3600000
#define DAY_MS (24ull * HOUR_MS)

static const struct config_queue default_queue = {
    .max_shards = 50,
    .max_samples_per_send = 2000,
    .min_backoff_ms = 30,
    .max_backoff_ms = 5000,
};

static int read_message(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);
	bool is_v2;

	if (err)
		return err;
	is_v2 = !strcmp(text, "io.prometheus.write.v2.Request");
	if (!is_v2 && strcmp(text, "prometheus.WriteRequest"))
		return config_fail_value(reader, node, field->key,
					 "prometheus.WriteRequest or "
					 "io.prometheus.write.v2.Request");
	*(bool *)target = is_v2;
	return 0;
}

#define FIELD(type, member) .offset = offsetof(struct type, member)

static const struct config_field queue_fields[] = {
    /* Of memory: what waits is in the spool, which has bounds of its own. */
    {"capacity", config_read_unused_number, .min = 1, .max = UINT32_MAX},
    {"max_shards", config_read_number, FIELD(config_queue, max_shards), 1, 10000},
    {"min_shards", config_read_unused_number, .min = 1, .max = 10000},
    {"max_samples_per_send", config_read_number,
     FIELD(config_queue, max_samples_per_send), 1, 50000},
    {"batch_send_deadline", config_read_unused_duration, .min = 1, .max = HOUR_MS},
    {"min_backoff", config_read_duration, FIELD(config_queue, min_backoff_ms), 1,
     HOUR_MS},
    {"max_backoff", config_read_duration, FIELD(config_queue, max_backoff_ms), 1,
     HOUR_MS},
    {"retry_on_http_429", config_read_flag, FIELD(config_queue, retry_on_http_429)},
    {"sample_age_limit", config_read_only_zero, .max = 365 * DAY_MS},
};

static const struct config_section queue_section = {
    "queue_config", queue_fields, LENGTH(queue_fields), config_check_backoff};

static int read_relabels(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *target)
{
	struct config_remote_write *endpoint = target;

	return config_read_relabels(reader, node, field->key, &endpoint->relabels,
				    &endpoint->relabel_count);
}

static const struct config_field metadata_fields[] = {
    {"send", config_read_flag, FIELD(config_remote_write, send_metadata)},
    {"send_interval", config_read_duration,
     FIELD(config_remote_write, metadata_interval_ms), 1, DAY_MS},
    {"max_samples_per_send", config_read_unused_number, .max = UINT32_MAX},
};
static const struct config_section metadata_section = {
    "metadata_config", metadata_fields, LENGTH(metadata_fields), NULL};

static const struct config_field endpoint_fields[] = {
    {"url", config_read_url, FIELD(config_remote_write, http.url), .required = true},
    {"name", config_read_text, FIELD(config_remote_write, name)},
    {"remote_timeout", config_read_duration,
     FIELD(config_remote_write, http.timeout_ms), 1, HOUR_MS},
    {"headers", config_read_headers, FIELD(config_remote_write, http.headers)},
    CONFIG_HTTP_FIELDS(offsetof(struct config_remote_write, http)),
    {"queue_config", config_read_section, FIELD(config_remote_write, queue),
     .section = &queue_section},
    {"protobuf_message", read_message, FIELD(config_remote_write, is_v2)},
    {"metadata_config", config_read_section, .section = &metadata_section},
    {"enable_http2", config_read_only_false, CONFIG_NO_TARGET},
    {"send_exemplars", config_read_flag, FIELD(config_remote_write, send_exemplars)},
    {"send_native_histograms", config_read_flag,
     FIELD(config_remote_write, send_native_histograms)},
    {"round_robin_dns", config_read_only_false, CONFIG_NO_TARGET},
    {"write_relabel_configs", read_relabels, CONFIG_NO_TARGET},
    {"http_headers", config_read_unsupported, .hint = "use headers"},
    {"sigv4", config_read_unsupported, .hint = "use authorization or basic_auth"},
    {"azuread", config_read_unsupported, .hint = "use authorization or basic_auth"},
    {"google_iam", config_read_unsupported, .hint = "use authorization or basic_auth"},
    {"failed_request_logging", config_read_unsupported, CONFIG_NO_TARGET},
};

static int check_endpoint(struct config_reader *reader, const struct config_node *node,
			  void *target)
{
	static const char *const prefixes[] = {CONFIG_OTLP_PREFIX, CONFIG_LOKI_PREFIX};
	struct config_remote_write *endpoint = target;

	/* In the spool those are the queues of `otlp` and `loki_write`. */
	for (size_t i = 0; endpoint->name && i < LENGTH(prefixes); i++) {
		if (!strncmp(endpoint->name, prefixes[i], strlen(prefixes[i])))
			return config_fail(
			    reader, node, "'name' must not begin with %s", prefixes[i]);
	}
	return config_check_http(reader, node, &endpoint->http);
}

static const struct config_section endpoint_section = {
    "a remote_write entry", endpoint_fields, LENGTH(endpoint_fields), check_endpoint};

static struct config_names names_of(const struct config *config)
{
	return (struct config_names){
	    .first = config->remote_writes,
	    .count = config->remote_write_count,
	    .size = sizeof(*config->remote_writes),
	};
}

static int read_endpoint(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *config)
{
	struct config_remote_write *endpoint = config_add_remote_write(config);
	const struct config_names names = names_of(config);
	int err;

	(void)field;
	if (!endpoint)
		return config_fail(reader, node, "out of memory");
	err = config_read_mapping(reader, node, &endpoint_section, endpoint);
	if (err)
		return err;
	if (endpoint->name && config_is_name_taken(&names, endpoint->name, endpoint))
		return config_fail(reader, node,
				   "two remote_write entries have the same 'name'");
	return 0;
}

int config_read_remote_writes(struct config_reader *reader,
			      const struct config_node *node,
			      const struct config_field *field, void *config)
{
	return config_read_list(reader, node, field, CONFIG_REMOTE_WRITES_MAX,
				read_endpoint, config);
}

struct config_remote_write *config_add_remote_write(struct config *config)
{
	struct config_remote_write *all;

	all = reallocarray(config->remote_writes, config->remote_write_count + 1,
			   sizeof(*all));
	if (!all)
		return NULL;
	config->remote_writes = all;
	all += config->remote_write_count++;
	*all = (struct config_remote_write){
	    .http = {.timeout_ms = 30000, .follow_redirects = true},
	    .send_metadata = true,
	    .metadata_interval_ms = 60000,
	    .queue = default_queue,
	};
	return all;
}

bool config_name_remote_writes(struct config *config)
{
	const struct config_names names = names_of(config);

	for (size_t i = 0; i < config->remote_write_count; i++) {
		struct config_remote_write *endpoint = &config->remote_writes[i];

		if (!endpoint->name)
			endpoint->name = config_free_name(&names, endpoint->http.url);
		if (!endpoint->name)
			return false;
	}
	return true;
}

void config_free_remote_writes(struct config *config)
{
	for (size_t i = 0; i < config->remote_write_count; i++) {
		struct config_remote_write *endpoint = &config->remote_writes[i];

		free(endpoint->name);
		config_free_http(&endpoint->http);
		config_free_relabels(&endpoint->relabels, &endpoint->relabel_count);
	}
	free(config->remote_writes);
	config->remote_writes = NULL;
	config->remote_write_count = 0;
}
