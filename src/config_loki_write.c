/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `loki_write`: receivers of log lines, spelled like `remote_write`; of its keys those
 * that are about samples are unknown here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_http.h"
#include "length.h"

#define FIELD(type, member) .offset = offsetof(struct type, member)
#define HOUR_MS 3600000

/* Timeout and backoff are those of Loki's own clients. */
static const struct config_loki_write default_loki_write = {
    .http = {.timeout_ms = 10000, .follow_redirects = true},
    .queue =
	{
	    .max_shards = 1, /* a stream is in many requests */
	    .min_backoff_ms = 500,
	    .max_backoff_ms = 300000,
	    .retry_on_http_429 = true,
	},
};

/* --- its keys ------------------------------------------------------------------ */

static const struct config_field queue_fields[] = {
    {"min_backoff", config_read_duration, FIELD(config_queue, min_backoff_ms), 1,
     HOUR_MS},
    {"max_backoff", config_read_duration, FIELD(config_queue, max_backoff_ms), 1,
     HOUR_MS},
};
static const struct config_section queue_section = {
    "queue_config", queue_fields, LENGTH(queue_fields), config_check_backoff};

static const struct config_field endpoint_fields[] = {
    {"url", config_read_url, FIELD(config_loki_write, http.url), .required = true},
    {"name", config_read_text, FIELD(config_loki_write, name)},
    {"remote_timeout", config_read_duration, FIELD(config_loki_write, http.timeout_ms),
     1, HOUR_MS},
    {"headers", config_read_headers, FIELD(config_loki_write, http.headers)},
    CONFIG_HTTP_FIELDS(offsetof(struct config_loki_write, http)),
    {"queue_config", config_read_section, FIELD(config_loki_write, queue),
     .section = &queue_section},
    {"enable_http2", config_read_only_false, CONFIG_NO_TARGET},
    {"http_headers", config_read_unsupported, .hint = "use headers"},
};

static int check_endpoint(struct config_reader *reader, const struct config_node *node,
			  void *target)
{
	struct config_loki_write *endpoint = target;

	return config_check_http(reader, node, &endpoint->http);
}

static const struct config_section endpoint_section = {
    "a loki_write entry", endpoint_fields, LENGTH(endpoint_fields), check_endpoint};

/* --- the list ------------------------------------------------------------------ */

static struct config_names names_of(const struct config *config)
{
	return (struct config_names){
	    .first = config->loki_writes,
	    .count = config->loki_write_count,
	    .size = sizeof(*config->loki_writes),
	};
}

static struct config_loki_write *add_loki_write(struct config *config)
{
	struct config_loki_write *all = reallocarray(
	    config->loki_writes, config->loki_write_count + 1, sizeof(*all));

	if (!all)
		return NULL;
	config->loki_writes = all;
	all += config->loki_write_count++;
	*all = default_loki_write;
	return all;
}

static int add_entry(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	struct config *config = target;
	struct config_loki_write *endpoint = add_loki_write(config);
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
				   "two loki_write entries have the same 'name'");
	return 0;
}

/* When all that have a name are known. */
static bool name_all(struct config *config)
{
	const struct config_names names = names_of(config);

	for (size_t i = 0; i < config->loki_write_count; i++) {
		struct config_loki_write *endpoint = &config->loki_writes[i];

		if (!endpoint->name)
			endpoint->name = config_free_name(&names, endpoint->http.url);
		if (!endpoint->name)
			return false;
	}
	return true;
}

int config_read_loki_writes(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *config)
{
	int err;

	err = config_read_list(reader, node, field, CONFIG_LOKI_WRITES_MAX, add_entry,
			       config);
	if (err)
		return err;
	return name_all(config) ? 0 : config_fail(reader, node, "out of memory");
}

void config_free_loki_writes(struct config *config)
{
	for (size_t i = 0; i < config->loki_write_count; i++) {
		free(config->loki_writes[i].name);
		config_free_http(&config->loki_writes[i].http);
	}
	free(config->loki_writes);
	config->loki_writes = NULL;
	config->loki_write_count = 0;
}
