/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, judged but not yet combined with the file (config.c does).
 * Strings point into argv. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

#define OPTIONS_NOT_GIVEN UINT64_MAX

struct options {
	enum config_action action;
	const char *config_file; /* like every string here, NULL: not given */
	const char *listen;
	const char *web_config_file;
	uint32_t pids[CONFIG_LIST_MAX];
	size_t pid_count;
	const char *exes[CONFIG_LIST_MAX];
	size_t exe_count;
	uint16_t ports[TALLY_PORTS_MAX];
	size_t port_count;
	const char *functions[CONFIG_LIST_MAX];
	size_t function_count;
	const char *service;
	const char *remote_write_url;
	const char *tenant;
	const char *token_file;
	const char *state_dir;
	uint64_t max_series; /* like every number here, OPTIONS_NOT_GIVEN */
	uint64_t max_routes;
	uint64_t scrape_interval_ms;
	uint64_t grace_ms;
	bool capture_given;
	enum capture capture;
	bool no_bpf;
	bool process_metrics_given;
	enum config_process_metrics process_metrics;
	bool probe;
	bool summaries;
	const char *list_subject;
	const char *list_glob;
	bool verbose;
};

/* 0, or -EINVAL with one line in ret_error. Not for two threads: getopt(3). */
int options_parse(int argc, char **argv, struct options *ret_options,
		  char ret_error[CONFIG_ERROR_LEN]);
