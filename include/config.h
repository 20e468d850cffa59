/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - what the user asked for: command line over file over defaults.
 * It only parses and judges; of the files that are named there it asks whether they
 * can be read.
 *
 * Every error is one line in ret_error: where (file:line:, or the option),
 * what (quoted), and what is allowed instead. ${env:NAME} in any value of the
 * file is replaced from the environment; unset is an error.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"
#include "capture.h"

#define CONFIG_ERROR_LEN 512
#define CONFIG_LIST_MAX 64
#define CONFIG_SERVICE_LEN_MAX 255

struct config_label {
	char *name;
	char *value;
};

struct config_labels {
	struct config_label *items;
	size_t count;
};

struct config_strings {
	char **items;
	size_t count;
};

struct config_authorization {
	char *type;             /* "Bearer" unless given; NULL: no authorization */
	char *credentials;      /* secret */
	char *credentials_file; /* re-read for every request */
};

struct config_basic_auth {
	char *username; /* NULL: none */
	char *password; /* secret */
	char *password_file;
};

struct config_tls {
	char *ca_file;
	char *cert_file;
	char *key_file;
	char *server_name;
	bool insecure_skip_verify;
};

struct config_queue {
	uint32_t capacity; /* samples waiting per endpoint */
	uint32_t max_samples_per_send;
	uint64_t min_backoff_ms;
	uint64_t max_backoff_ms;
	bool retry_on_http_429;
};

/* One `remote_write` entry in Prometheus' spelling. */
struct config_remote_write {
	char *name; /* label remote_name; the url without userinfo by default */
	char *url;
	uint64_t remote_timeout_ms;
	struct config_authorization authorization;
	struct config_basic_auth basic_auth;
	struct config_labels headers; /* reserved names were refused */
	struct config_tls tls;
	struct config_queue queue;
};

struct config {
	char *listen; /* ":9965" */
	uint32_t pids[CONFIG_LIST_MAX];
	size_t pid_count;
	struct config_strings exes; /* globs, fnmatch(3) with FNM_PATHNAME off */
	uint16_t ports[TALLY_PORTS_MAX];
	size_t port_count;
	char *service;
	enum capture capture;
	uint32_t max_series;         /* rows */
	uint32_t max_routes;         /* per service */
	uint64_t grace_ms;           /* how long an ended service stays visible */
	uint64_t scrape_interval_ms; /* of collections for remote_write */
	struct config_labels external_labels;
	struct config_remote_write *remote_writes;
	size_t remote_write_count;
	bool verbose;
};

enum config_action {
	CONFIG_RUN,
	CONFIG_CHECK, /* --check-config: judged, say so, exit */
	CONFIG_HELP,
	CONFIG_VERSION,
	CONFIG_DOCTOR, /* bpftally doctor */
};

/* Parses argv (and the file that --config names). 0, or -EINVAL with
 * ret_error filled; *config is then still to be freed. */
int config_load(int argc, char **argv, struct config *ret_config,
		enum config_action *ret_action, char ret_error[CONFIG_ERROR_LEN]);
void config_free(struct config *config);
/* The text of --help: grouped, one line an option. */
const char *config_help(void);
