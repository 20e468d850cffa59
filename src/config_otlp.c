/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `otlp`: one receiver, or a list of them, in the spelling of the OpenTelemetry
 * Collector's exporter; what that leaves to extensions (authorization) is in
 * Prometheus'.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "config_http.h"
#include "config_value.h"
#include "length.h"

#define FIELD(type, member) .offset = offsetof(struct type, member)
#define HOUR_MS 3600000
#define METRICS_PATH "/v1/metrics"

enum { CHOICE_NONE, CHOICE_ENDPOINT, CHOICE_AUTHENTICATION };

/* Intervals and timeout are the Collector's. */
static const struct config_otlp default_otlp = {
    /* Its keys are in headers, which would go along. */
    .http = {.timeout_ms = 30000, .follow_redirects = false},
    .gzip = true,
    .queue =
	{
	    .max_shards = 50,
	    .max_samples_per_send = 2000,
	    .min_backoff_ms = 5000,
	    .max_backoff_ms = 30000,
	    .retry_on_http_429 = true,
	},
};

/* --- its keys ------------------------------------------------------------------ */

/* OTLP/HTTP: the path of metrics is appended to what is the base of all signals. */
static int read_endpoint(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *target)
{
	AUTO_FREE char *base = NULL;
	size_t len, path_len = strlen(METRICS_PATH);
	char *url;
	int err = config_read_url(reader, node, field, &base);

	if (err)
		return err;
	if (strpbrk(base, "?#"))
		return config_fail(
		    reader, node, "'%s' has a query: use metrics_endpoint", field->key);
	len = strlen(base);
	while (base[len - 1] == '/')
		len--;
	base[len] = 0;
	if (len > path_len && !strcmp(base + len - path_len, METRICS_PATH))
		return config_fail(reader, node,
				   "'%s' ends in " METRICS_PATH
				   ", which is appended to it: use metrics_endpoint",
				   field->key);
	if (asprintf(&url, "%s" METRICS_PATH, base) < 0)
		return config_fail(reader, node, "out of memory");
	*(char **)target = url;
	return 0;
}

static int read_compression(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (strcmp(text, "gzip") != 0 && strcmp(text, "none") != 0)
		return config_fail_value(reader, node, field->key, "gzip or none");
	*(bool *)target = *text == 'g';
	return 0;
}

static int read_histograms(struct config_reader *reader, const struct config_node *node,
			   const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (strcmp(text, "explicit") != 0 && strcmp(text, "exponential") != 0)
		return config_fail_value(reader, node, field->key,
					 "explicit or exponential");
	*(bool *)target = !strcmp(text, "exponential");
	return 0;
}

static int check_tls(struct config_reader *reader, const struct config_node *node,
		     void *target)
{
	return config_check_key_pair(reader, node, target, "tls");
}

static const struct config_field tls_fields[] = {
    {"ca_file", config_read_pem_path, FIELD(config_tls, ca_file)},
    {"cert_file", config_read_pem_path, FIELD(config_tls, cert_file)},
    {"key_file", config_read_pem_path, FIELD(config_tls, key_file)},
    {"server_name_override", config_read_server_name, FIELD(config_tls, server_name)},
    {"insecure_skip_verify", config_read_flag, FIELD(config_tls, insecure_skip_verify)},
    /* Of gRPC; here the URL says it. */
    {"insecure", config_read_unused_flag, CONFIG_NO_TARGET},
};
static const struct config_section tls_section = {"tls", tls_fields, LENGTH(tls_fields),
						  check_tls};

static int check_retry(struct config_reader *reader, const struct config_node *node,
		       void *target)
{
	const struct config_queue *queue = target;

	if (queue->min_backoff_ms <= queue->max_backoff_ms)
		return 0;
	return config_fail(reader, node,
			   "'initial_interval' (%llums) is above 'max_interval' "
			   "(%llums)",
			   (unsigned long long)queue->min_backoff_ms,
			   (unsigned long long)queue->max_backoff_ms);
}

static const struct config_field retry_fields[] = {
    {"initial_interval", config_read_duration, FIELD(config_queue, min_backoff_ms), 1,
     HOUR_MS},
    {"max_interval", config_read_duration, FIELD(config_queue, max_backoff_ms), 1,
     HOUR_MS},
};
static const struct config_section retry_section = {"retry_on_failure", retry_fields,
						    LENGTH(retry_fields), check_retry};

static const struct config_field otlp_fields[] = {
    {"endpoint", read_endpoint, FIELD(config_otlp, http.url),
     .choice = CHOICE_ENDPOINT},
    {"metrics_endpoint", config_read_url, FIELD(config_otlp, http.url),
     .choice = CHOICE_ENDPOINT},
    {"name", config_read_text, FIELD(config_otlp, name)},
    {"headers", config_read_any_headers, FIELD(config_otlp, http.headers)},
    {"authorization", config_read_section, FIELD(config_otlp, http.authorization),
     .section = &config_authorization_section, .choice = CHOICE_AUTHENTICATION},
    {"basic_auth", config_read_section, FIELD(config_otlp, http.basic_auth),
     .section = &config_basic_auth_section, .choice = CHOICE_AUTHENTICATION},
    {"compression", read_compression, FIELD(config_otlp, gzip)},
    {"timeout", config_read_duration, FIELD(config_otlp, http.timeout_ms), 1, HOUR_MS},
    {"tls", config_read_section, FIELD(config_otlp, http.tls), .section = &tls_section},
    {"proxy_url", config_read_proxy_url, FIELD(config_otlp, http.proxy_url)},
    {"no_proxy", config_read_text, FIELD(config_otlp, http.no_proxy)},
    {"proxy_from_environment", config_read_flag,
     FIELD(config_otlp, http.proxy_from_environment)},
    {"retry_on_failure", config_read_section, FIELD(config_otlp, queue),
     .section = &retry_section},
    {"histograms", read_histograms, FIELD(config_otlp, exponential)},
    /* There it is how others may send. */
    {"convert_histograms_to_nhcb", CONFIG_FOREIGN},
    {"ignore_resource_attributes", CONFIG_FOREIGN},
    {"keep_identifying_resource_attributes", CONFIG_FOREIGN},
    {"promote_all_resource_attributes", CONFIG_FOREIGN},
    {"promote_resource_attributes", CONFIG_FOREIGN},
    {"promote_scope_metadata", CONFIG_FOREIGN},
    {"translation_strategy", CONFIG_FOREIGN},
};

static bool has_header(const struct config_http *http, const char *name)
{
	for (size_t i = 0; i < http->headers.count; i++) {
		if (!strcasecmp(http->headers.items[i].name, name))
			return true;
	}
	return false;
}

static int check_otlp(struct config_reader *reader, const struct config_node *node,
		      void *target)
{
	struct config_otlp *otlp = target;
	struct config_http *http = &otlp->http;

	if (!http->url)
		return config_fail(reader, node,
				   "otlp needs 'endpoint' or 'metrics_endpoint'");
	if (has_header(http, "authorization") &&
	    (http->basic_auth.username || http->authorization.credentials ||
	     http->authorization.credentials_file))
		return config_fail(reader, node,
				   "'headers' has Authorization, beside "
				   "authorization or basic_auth");
	return config_check_http(reader, node, http);
}

static const struct config_section otlp_section = {"otlp", otlp_fields,
						   LENGTH(otlp_fields), check_otlp};

/* --- the list ------------------------------------------------------------------ */

static struct config_otlp *add_otlp(struct config *config)
{
	struct config_otlp *all =
	    reallocarray(config->otlps, config->otlp_count + 1, sizeof(*all));

	if (!all)
		return NULL;
	config->otlps = all;
	all += config->otlp_count++;
	*all = default_otlp;
	return all;
}

static int add_entry(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, void *target)
{
	struct config *config = target;
	struct config_otlp *otlp = add_otlp(config);
	const struct config_names names = {config->otlps, config->otlp_count,
					   sizeof(*otlp)};
	int err;

	(void)field;
	if (!otlp)
		return config_fail(reader, node, "out of memory");
	err = config_read_mapping(reader, node, &otlp_section, otlp);
	if (err)
		return err;
	if (!otlp->name)
		otlp->name = value_url_name(otlp->http.url);
	if (!otlp->name)
		return config_fail(reader, node, "out of memory");
	if (config_is_name_taken(&names, otlp->name, otlp))
		return config_fail(reader, node,
				   "two otlp entries have the same 'name' (without "
				   "one, the URL)");
	return 0;
}

int config_read_otlps(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, void *config)
{
	if (config_is_null(node))
		return 0;
	return config_read_items(reader, node, field, CONFIG_OTLPS_MAX, add_entry,
				 config);
}

void config_free_otlps(struct config *config)
{
	for (size_t i = 0; i < config->otlp_count; i++) {
		free(config->otlps[i].name);
		config_free_http(&config->otlps[i].http);
	}
	free(config->otlps);
	config->otlps = NULL;
	config->otlp_count = 0;
}
