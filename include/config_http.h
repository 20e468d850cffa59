/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_http.h - readers of what everything that sends HTTP requests has in common
 * (struct config_http), shared by the files of its sections.
 */
#pragma once

#include "config_internal.h"

/* char * */
config_read config_read_url, config_read_proxy_url, config_read_server_name;
/* char *, a secret that goes into a header. */
config_read config_read_credentials;
/* struct config_labels, names that differ and are not ours to set; with Authorization
 * or without. */
config_read config_read_headers, config_read_any_headers;
/* The same, each as a mapping of `values` and `secrets`, as Prometheus spells it. */
config_read config_read_http_headers;
/* struct config_authorization; struct config_basic_auth */
extern const struct config_section config_authorization_section;
extern const struct config_section config_basic_auth_section;
/* struct config_tls, as Prometheus spells it */
extern const struct config_section config_tls_section;
/* Fields with this choice exclude each other; a file's own choices are above it. */
enum { CONFIG_CHOICE_NONE, CONFIG_CHOICE_AUTHENTICATION };
/* Keys that Prometheus has wherever it sends requests; offset: of the config_http in
 * what the section fills. */
#define CONFIG_HTTP_AT(offset_, member)                                                \
	.offset = (offset_) + offsetof(struct config_http, member)
#define CONFIG_HTTP_FIELDS(offset_)                                                    \
	{"authorization", config_read_section, CONFIG_HTTP_AT(offset_, authorization), \
	 .section = &config_authorization_section,                                     \
	 .choice = CONFIG_CHOICE_AUTHENTICATION},                                      \
	    {"basic_auth", config_read_section, CONFIG_HTTP_AT(offset_, basic_auth),   \
	     .section = &config_basic_auth_section,                                    \
	     .choice =                                                                 \
		 CONFIG_CHOICE_AUTHENTICATION}, /* Older than `authorization`, still   \
						   parsed by Prometheus. */            \
	    {"bearer_token", config_read_credentials,                                  \
	     CONFIG_HTTP_AT(offset_, authorization.credentials),                       \
	     .choice = CONFIG_CHOICE_AUTHENTICATION},                                  \
	    {"bearer_token_file", config_read_file_path,                               \
	     CONFIG_HTTP_AT(offset_, authorization.credentials_file),                  \
	     .choice = CONFIG_CHOICE_AUTHENTICATION},                                  \
	    {"tls_config", config_read_section, CONFIG_HTTP_AT(offset_, tls),          \
	     .section = &config_tls_section},                                          \
	    {"follow_redirects", config_read_flag,                                     \
	     CONFIG_HTTP_AT(offset_, follow_redirects)},                               \
	    {"proxy_url", config_read_proxy_url, CONFIG_HTTP_AT(offset_, proxy_url)},  \
	    {"no_proxy", config_read_text, CONFIG_HTTP_AT(offset_, no_proxy)},         \
	    {"proxy_from_environment", config_read_flag,                               \
	     CONFIG_HTTP_AT(offset_, proxy_from_environment)},                         \
	    {"proxy_connect_header", config_read_unsupported, CONFIG_NO_TARGET},       \
	{                                                                              \
		"oauth2", config_read_unsupported,                                     \
		    .hint = "use authorization or basic_auth"                          \
	}
/* A client certificate has a key; section: as the file calls it. */
int config_check_key_pair(struct config_reader *reader, const struct config_node *node,
			  const struct config_tls *tls, const char *section);
/* The check of a section: struct config_queue, with Prometheus' names of its keys. */
int config_check_backoff(struct config_reader *reader, const struct config_node *node,
			 void *target);
/* The whole: sets what has a default, judges what excludes what. */
int config_check_http(struct config_reader *reader, const struct config_node *node,
		      struct config_http *http);
void config_free_http(struct config_http *http);

/* A list of structs that begin with their name (char *), or NULL. */
struct config_names {
	const void *first;
	size_t count, size;
};
bool config_is_name_taken(const struct config_names *names, const char *name,
			  const void *by_other_than);
/* "URL" without query, or "URL#2" and so on: one receiver with several tenants is
 * usual. The caller frees. NULL: no memory. */
char *config_free_name(const struct config_names *names, const char *url);
