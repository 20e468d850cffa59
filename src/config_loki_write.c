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
#include "config_value.h"
#include "length.h"

#define FIELD(type, member) .offset = offsetof(struct type, member)
#define HOUR_MS 3600000

enum { CHOICE_NONE, CHOICE_AUTHENTICATION };

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

static int check_queue(struct config_reader *reader, const struct config_node *node,
		       void *target)
{
	return config_check_backoff(reader, node, target);
}

static const struct config_field queue_fields[] = {
    {"min_backoff", config_read_duration, FIELD(config_queue, min_backoff_ms), 1,
     HOUR_MS},
    {"max_backoff", config_read_duration, FIELD(config_queue, max_backoff_ms), 1,
     HOUR_MS},
};
static const struct config_section queue_section = {"queue_config", queue_fields,
						    LENGTH(queue_fields), check_queue};

static const struct config_field endpoint_fields[] = {
    {"url", config_read_url, FIELD(config_loki_write, http.url), .required = true},
    {"name", config_read_text, FIELD(config_loki_write, name)},
    {"remote_timeout", config_read_duration, FIELD(config_loki_write, http.timeout_ms),
     1, HOUR_MS},
    {"headers", config_read_headers, FIELD(config_loki_write, http.headers)},
    {"authorization", config_read_section, FIELD(config_loki_write, http.authorization),
     .section = &config_authorization_section, .choice = CHOICE_AUTHENTICATION},
    {"basic_auth", config_read_section, FIELD(config_loki_write, http.basic_auth),
     .section = &config_basic_auth_section, .choice = CHOICE_AUTHENTICATION},
    {"bearer_token", config_read_credentials,
     FIELD(config_loki_write, http.authorization.credentials),
     .choice = CHOICE_AUTHENTICATION},
    {"bearer_token_file", config_read_file_path,
     FIELD(config_loki_write, http.authorization.credentials_file),
     .choice = CHOICE_AUTHENTICATION},
    {"tls_config", config_read_section, FIELD(config_loki_write, http.tls),
     .section = &config_tls_section},
    {"queue_config", config_read_section, FIELD(config_loki_write, queue),
     .section = &queue_section},
    {"follow_redirects", config_read_flag,
     FIELD(config_loki_write, http.follow_redirects)},
    {"enable_http2", config_read_only_false, CONFIG_NO_TARGET},
    {"proxy_url", config_read_proxy_url, FIELD(config_loki_write, http.proxy_url)},
    {"no_proxy", config_read_text, FIELD(config_loki_write, http.no_proxy)},
    {"proxy_from_environment", config_read_flag,
     FIELD(config_loki_write, http.proxy_from_environment)},
    {"proxy_connect_header", config_read_unsupported, CONFIG_NO_TARGET},
    {"http_headers", config_read_unsupported, .hint = "use headers"},
    {"oauth2", config_read_unsupported, .hint = "use authorization or basic_auth"},
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

static bool is_name_taken(const struct config *config, const char *name,
			  const struct config_loki_write *by_other_than)
{
	for (size_t i = 0; i < config->loki_write_count; i++) {
		const struct config_loki_write *other = &config->loki_writes[i];

		if (other != by_other_than && other->name && !strcmp(other->name, name))
			return true;
	}
	return false;
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
	int err;

	(void)field;
	if (!endpoint)
		return config_fail(reader, node, "out of memory");
	err = config_read_mapping(reader, node, &endpoint_section, endpoint);
	if (err)
		return err;
	if (endpoint->name && is_name_taken(config, endpoint->name, endpoint))
		return config_fail(reader, node,
				   "two loki_write entries have the same 'name'");
	return 0;
}

/* "URL", or "URL#2" and so on: one receiver with several tenants is usual. */
static char *free_name(const struct config *config, const char *url)
{
	AUTO_FREE char *base = value_url_name(url);

	if (!base || !is_name_taken(config, base, NULL))
		return TAKE(base);
	for (unsigned int number = 2;; number++) {
		char *name;

		if (asprintf(&name, "%s#%u", base, number) < 0)
			return NULL;
		if (!is_name_taken(config, name, NULL))
			return name;
		free(name);
	}
}

/* When all that have a name are known. */
static bool name_all(struct config *config)
{
	for (size_t i = 0; i < config->loki_write_count; i++) {
		struct config_loki_write *endpoint = &config->loki_writes[i];

		if (!endpoint->name)
			endpoint->name = free_name(config, endpoint->http.url);
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
