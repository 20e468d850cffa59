/* SPDX-License-Identifier: Apache-2.0 */
#include "config_http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "config_value.h"
#include "length.h"
#include "secret.h"

#define FIELD(type, member) .offset = offsetof(struct type, member)

enum { CHOICE_NONE, CHOICE_SECRET };

static const char *const reserved_headers[] = {
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
    /* Not Prometheus' to refuse, but ours to send: see endpoint.c. */
    "retry-attempt",
    "transfer-encoding",
};

static const char *any_header_problem(const char *name, const char *value)
{
	if (!value_is_header_name(name))
		return "is not a header name";
	for (size_t i = 0; i < LENGTH(reserved_headers); i++) {
		if (!strcasecmp(name, reserved_headers[i]))
			return "is reserved: bpftally sets it itself";
	}
	if (!value_is_header_value(value))
		return "has a control character, or a blank at an end, in its value";
	return NULL;
}

static const char *header_problem(const char *name, const char *value)
{
	if (!strcasecmp(name, "authorization"))
		return "is not set here; use authorization or basic_auth";
	return any_header_problem(name, value);
}

static int read_headers(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, config_pair_problem *problem,
			struct config_labels *headers)
{
	int err = config_read_pairs(reader, node, field->key, problem, headers);

	if (err)
		return err;
	for (size_t i = 0; i < headers->count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (!strcasecmp(headers->items[i].name, headers->items[j].name))
				return config_fail(reader, node,
						   "header '%s' is given twice",
						   headers->items[j].name);
		}
	}
	return 0;
}

int config_read_headers(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target)
{
	return read_headers(reader, node, field, header_problem, target);
}

int config_read_any_headers(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *target)
{
	return read_headers(reader, node, field, any_header_problem, target);
}

/* --- http_headers --- */

struct http_header {
	const char *name;
	struct config_labels *headers;
};

/* Not quoted: it may be a secret. */
static int add_header_value(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *target)
{
	const struct http_header *header = target;
	AUTO_WIPE char *value = NULL;
	int err = config_scalar(reader, node, field->key, &value);
	const char *problem = err ? NULL : header_problem(header->name, value);

	if (problem)
		return config_fail(reader, node, "header '%s' %s", header->name,
				   problem);
	if (!err && !config_add_label(header->headers, header->name, value))
		err = config_fail(reader, node, "out of memory");
	return err;
}

static int read_header_values(struct config_reader *reader,
			      const struct config_node *node,
			      const struct config_field *field, void *target)
{
	if (!config_is_list(node))
		return config_fail_value(reader, node, field->key, "a list");
	return config_read_items(reader, node, field, CONFIG_LIST_MAX, add_header_value,
				 target);
}

static const struct config_field http_header_fields[] = {
    {"values", read_header_values, CONFIG_NO_TARGET},
    {"secrets", read_header_values, CONFIG_NO_TARGET},
    {"files", config_read_unsupported, .hint = "use values or secrets"},
};
static const struct config_section http_header_section = {
    .name = "a header of http_headers",
    .fields = http_header_fields,
    .count = LENGTH(http_header_fields)};

static int add_http_header(struct config_reader *reader, const struct config_node *key,
			   const char *name, const struct config_node *value,
			   void *target)
{
	struct http_header header = {name, target};

	(void)key;
	return config_read_mapping(reader, value, &http_header_section, &header);
}

int config_read_http_headers(struct config_reader *reader,
			     const struct config_node *node,
			     const struct config_field *field, void *target)
{
	return config_read_each(reader, node, field->key, CONFIG_LIST_MAX,
				add_http_header, target);
}

/* What goes into a header as it is: no line end may smuggle in another. */
int config_read_credentials(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *target)
{
	char *text;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (!value_is_header_value(text)) {
		secret_wipe(&text);
		return config_fail(reader, node,
				   "'%s' has a control character, or a blank at an end",
				   field->key);
	}
	*(char **)target = text;
	return 0;
}

static int read_authorization_type(struct config_reader *reader,
				   const struct config_node *node,
				   const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (!strcasecmp(text, "basic"))
		return config_fail(reader, node,
				   "'type' cannot be Basic; use basic_auth");
	if (!value_is_header_name(text))
		return config_fail(reader, node,
				   "'type' must be one word, like Bearer");
	*(char **)target = TAKE(text);
	return 0;
}

static int read_username(struct config_reader *reader, const struct config_node *node,
			 const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (strchr(text, ':')) /* RFC 7617 section 2 */
		return config_fail(reader, node, "'username' must not hold ':'");
	*(char **)target = TAKE(text);
	return 0;
}

int config_read_url(struct config_reader *reader, const struct config_node *node,
		    const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	const char *problem;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	problem = value_url_problem(text);
	if (problem)
		return config_fail(reader, node, "'%s' %s", field->key, problem);
	*(char **)target = TAKE(text);
	return 0;
}

int config_read_server_name(struct config_reader *reader,
			    const struct config_node *node,
			    const struct config_field *field, void *target)
{
	AUTO_FREE char *text = NULL;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	if (!value_is_host(text))
		return config_fail(
		    reader, node, "'%s' must be a host name or an address", field->key);
	*(char **)target = TAKE(text);
	return 0;
}

int config_read_proxy_url(struct config_reader *reader, const struct config_node *node,
			  const struct config_field *field, void *target)
{
	char *text;
	int err = config_scalar(reader, node, field->key, &text);

	if (err)
		return err;
	/* Not quoted: it may hold a password. */
	if (!value_is_proxy_url(text)) {
		secret_wipe(&text);
		return config_fail(reader, node,
				   "'%s' must be a http, https or socks5 URL",
				   field->key);
	}
	*(char **)target = text;
	return 0;
}

static int check_authorization(struct config_reader *reader,
			       const struct config_node *node, void *target)
{
	const struct config_authorization *authorization = target;

	if (authorization->credentials || authorization->credentials_file)
		return 0;
	return config_fail(reader, node,
			   "'authorization' needs 'credentials' or 'credentials_file'");
}

static const struct config_field authorization_fields[] = {
    {"type", read_authorization_type, FIELD(config_authorization, type)},
    {"credentials", config_read_credentials, FIELD(config_authorization, credentials),
     .choice = CHOICE_SECRET},
    {"credentials_file", config_read_file_path,
     FIELD(config_authorization, credentials_file), .choice = CHOICE_SECRET},
};
const struct config_section config_authorization_section = {
    "authorization", authorization_fields, LENGTH(authorization_fields),
    check_authorization};

static const struct config_field basic_auth_fields[] = {
    {"username", read_username, FIELD(config_basic_auth, username), .required = true},
    {"username_file", config_read_unsupported, .hint = "use username"},
    {"password", config_read_text, FIELD(config_basic_auth, password),
     .choice = CHOICE_SECRET},
    {"password_file", config_read_file_path, FIELD(config_basic_auth, password_file),
     .choice = CHOICE_SECRET},
};
const struct config_section config_basic_auth_section = {
    "basic_auth", basic_auth_fields, LENGTH(basic_auth_fields), NULL};

static bool set_default_type(struct config_authorization *authorization)
{
	if (authorization->type ||
	    (!authorization->credentials && !authorization->credentials_file))
		return true;
	authorization->type = strdup("Bearer");
	return authorization->type;
}

static int check_proxy(struct config_reader *reader, const struct config_node *node,
		       const struct config_http *http)
{
	if (http->proxy_from_environment && http->proxy_url)
		return config_fail(reader, node,
				   "'proxy_url' and 'proxy_from_environment' exclude "
				   "each other");
	if (http->no_proxy && !http->proxy_url)
		return config_fail(reader, node, "'no_proxy' needs 'proxy_url'");
	return 0;
}

int config_check_key_pair(struct config_reader *reader, const struct config_node *node,
			  const struct config_tls *tls, const char *section)
{
	if (!tls->cert_file == !tls->key_file)
		return 0;
	return config_fail(reader, node, "'%s' has '%s' without '%s'", section,
			   tls->cert_file ? "cert_file" : "key_file",
			   tls->cert_file ? "key_file" : "cert_file");
}

static int check_tls(struct config_reader *reader, const struct config_node *node,
		     void *target)
{
	return config_check_key_pair(reader, node, target, "tls_config");
}

static const struct config_field tls_fields[] = {
    {"ca", config_read_unsupported, .hint = "use ca_file"},
    {"cert", config_read_unsupported, .hint = "use cert_file"},
    {"key", config_read_unsupported, .hint = "use key_file"},
    {"ca_file", config_read_pem_path, FIELD(config_tls, ca_file)},
    {"cert_file", config_read_pem_path, FIELD(config_tls, cert_file)},
    {"key_file", config_read_pem_path, FIELD(config_tls, key_file)},
    {"server_name", config_read_server_name, FIELD(config_tls, server_name)},
    {"insecure_skip_verify", config_read_flag, FIELD(config_tls, insecure_skip_verify)},
    {"min_version", config_read_unsupported, CONFIG_NO_TARGET},
    {"max_version", config_read_unsupported, CONFIG_NO_TARGET},
};
const struct config_section config_tls_section = {"tls_config", tls_fields,
						  LENGTH(tls_fields), check_tls};

int config_check_backoff(struct config_reader *reader, const struct config_node *node,
			 void *target)
{
	const struct config_queue *queue = target;

	if (queue->min_backoff_ms <= queue->max_backoff_ms)
		return 0;
	return config_fail(reader, node,
			   "'min_backoff' (%llums) is above 'max_backoff' (%llums)",
			   (unsigned long long)queue->min_backoff_ms,
			   (unsigned long long)queue->max_backoff_ms);
}

int config_check_http(struct config_reader *reader, const struct config_node *node,
		      struct config_http *http)
{
	if (!set_default_type(&http->authorization))
		return config_fail(reader, node, "out of memory");
	return check_proxy(reader, node, http);
}

void config_free_http(struct config_http *http)
{
	secret_wipe(&http->url); /* its query may hold a key */
	free(http->authorization.type);
	secret_wipe(&http->authorization.credentials);
	free(http->authorization.credentials_file);
	free(http->basic_auth.username);
	secret_wipe(&http->basic_auth.password);
	free(http->basic_auth.password_file);
	config_free_labels(&http->headers);
	free(http->tls.ca_file);
	free(http->tls.cert_file);
	free(http->tls.key_file);
	free(http->tls.server_name);
	secret_wipe(&http->proxy_url);
	free(http->no_proxy);
}

/* --- names --------------------------------------------------------------------- */

_Static_assert(!offsetof(struct config_remote_write, name) &&
		   !offsetof(struct config_otlp, name) &&
		   !offsetof(struct config_loki_write, name),
	       "they begin with it");

bool config_is_name_taken(const struct config_names *names, const char *name,
			  const void *by_other_than)
{
	for (size_t i = 0; i < names->count; i++) {
		const void *item = (const char *)names->first + i * names->size;
		const char *taken = *(const char *const *)item;

		if (item != by_other_than && taken && !strcmp(taken, name))
			return true;
	}
	return false;
}

char *config_free_name(const struct config_names *names, const char *url)
{
	AUTO_FREE char *base = value_url_name(url);

	if (!base || !config_is_name_taken(names, base, NULL))
		return TAKE(base);
	for (unsigned int number = 2;; number++) {
		char *name;

		if (asprintf(&name, "%s#%u", base, number) < 0)
			return NULL;
		if (!config_is_name_taken(names, name, NULL))
			return name;
		free(name);
	}
}
