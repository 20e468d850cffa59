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
/* A client certificate has a key; section: as the file calls it. */
int config_check_key_pair(struct config_reader *reader, const struct config_node *node,
			  const struct config_tls *tls, const char *section);
/* struct config_queue, with Prometheus' names of its keys. */
int config_check_backoff(struct config_reader *reader, const struct config_node *node,
			 const struct config_queue *queue);
/* The whole: sets what has a default, judges what excludes what. */
int config_check_http(struct config_reader *reader, const struct config_node *node,
		      struct config_http *http);
void config_free_http(struct config_http *http);
