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
#define CONFIG_RELABELS_MAX 64 /* of one list */
#define CONFIG_SERVICE_LEN_MAX 255
#define CONFIG_FUNCTIONS_MAX 1024
#define CONFIG_FUNCTION_LABELS_MAX 16
#define CONFIG_OPERAND_LABELS_MAX 4 /* of those, not constant */
#define CONFIG_BOUNDS_MAX 32
#define CONFIG_QUANTILES_MAX 16
#define CONFIG_OTLP_PREFIX "otlp:" /* of names that no remote_write has */
#define CONFIG_LOKI_PREFIX "loki:" /* the same */

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
	uint32_t max_shards; /* requests under way at a time, at most */
	uint32_t max_samples_per_send;
	uint64_t min_backoff_ms;
	uint64_t max_backoff_ms;
	bool retry_on_http_429;
};

enum config_relabel_action {
	CONFIG_REPLACE,
	CONFIG_LOWERCASE,
	CONFIG_UPPERCASE,
	CONFIG_KEEP,
	CONFIG_DROP,
	CONFIG_KEEPEQUAL,
	CONFIG_DROPEQUAL,
	CONFIG_HASHMOD,
	CONFIG_LABELMAP,
	CONFIG_LABELDROP,
	CONFIG_LABELKEEP,
};

/* One entry of `write_relabel_configs`. What it says was judged: the regex
 * compiles, and the action has what it needs. */
struct config_relabel {
	char *where; /* "FILE:LINE", for messages */
	enum config_relabel_action action;
	struct config_strings source_labels;
	char *separator;    /* ";" unless given; may be empty */
	char *target_label; /* NULL: none; a template, where it replaces */
	char *regex;        /* "(.*)" unless given */
	uint64_t modulus;   /* of hashmod: never 0 */
	char *replacement;  /* "$1" unless given; may be empty */
};

/* Where requests go, and as whom: the keys that Prometheus' HTTP clients share. */
struct config_http {
	char *url;
	uint64_t timeout_ms;
	struct config_authorization authorization;
	struct config_basic_auth basic_auth;
	struct config_labels headers; /* reserved names were refused */
	struct config_tls tls;
	char *proxy_url; /* secret: may hold a password; NULL: none */
	char *no_proxy;
	bool proxy_from_environment;
	bool follow_redirects;
};

/* One `remote_write` entry in Prometheus' spelling. */
struct config_remote_write {
	char *name; /* label remote_name; the url without userinfo by default */
	struct config_http http;
	bool is_v2; /* io.prometheus.write.v2.Request */
	bool send_native_histograms;
	bool send_exemplars;
	bool send_metadata; /* of 1.0: in requests of its own */
	uint64_t metadata_interval_ms;
	struct config_queue queue;
	struct config_relabel *relabels; /* write_relabel_configs */
	size_t relabel_count;
};

/* One `otlp` entry: a receiver of OTLP/HTTP. */
struct config_otlp {
	char *name; /* the url without query by default */
	struct config_http http;
	bool gzip;
	bool exponential; /* histograms that have native buckets */
	struct config_queue queue;
};

struct config_param {
	char *name;
	struct config_strings values; /* may be none, or empty */
};

/* Targets that have labels in common: of `static_configs`, or of a file. */
struct config_target_group {
	struct config_strings targets; /* "host:port"; valid where they are static */
	struct config_labels labels;   /* may begin with "__"; may be empty */
};

/* Zeroed: none. */
struct config_groups {
	struct config_target_group *items;
	size_t count;
};

struct config_file_sd {
	struct config_strings files; /* the last component may be a glob */
	uint64_t refresh_ms;
};

/* What of an answer is too much, 0: nothing. */
struct config_scrape_limits {
	uint64_t body_bytes;
	uint32_t samples; /* after metric relabelling */
	uint32_t labels;  /* of one series, with those of its target */
	uint32_t label_name_bytes;
	uint32_t label_value_bytes;
	uint32_t targets; /* of the job */
};

enum config_exposition {
	CONFIG_EXPOSITION_TEXT, /* Prometheus' 0.0.4 */
	CONFIG_EXPOSITION_OPENMETRICS,
};

/* One `scrape_configs` entry in Prometheus' spelling. */
struct config_scrape {
	char *where; /* "FILE:LINE", for messages */
	char *job_name;
	uint64_t interval_ms; /* both never 0 */
	uint64_t timeout_ms;  /* at most the interval */
	char *metrics_path;
	char *scheme;
	struct config_param *params;
	size_t param_count;
	struct config_http http; /* url NULL: each target has its own */
	bool honor_labels;
	bool honor_timestamps;
	bool track_timestamps_staleness;
	bool enable_compression;
	char *accept;                    /* the header, whole */
	enum config_exposition fallback; /* of an answer whose type is unknown */
	struct config_groups groups;     /* static */
	struct config_file_sd *file_sds;
	size_t file_sd_count;
	bool observed_processes;
	struct config_relabel *relabels; /* of targets */
	size_t relabel_count;
	struct config_relabel *metric_relabels;
	size_t metric_relabel_count;
	struct config_scrape_limits limits;
};

/* One `loki_write` entry: a receiver of log lines. */
struct config_loki_write {
	char *name;
	struct config_http http;
	struct config_queue queue;
};

/* What is collected for receivers waits here until they have taken it. */
struct config_spool {
	char *directory; /* NULL: in memory */
	bool is_given;   /* not the default, which may be missing */
	uint64_t bytes_max;
	uint64_t age_max_ms;
};

enum config_metric_type {
	CONFIG_HISTOGRAM,
	CONFIG_COUNTER,
	CONFIG_GAUGE,
	CONFIG_SUMMARY,
};

enum config_value_kind {
	CONFIG_VALUE_LATENCY,
	CONFIG_VALUE_COUNT, /* of calls */
	CONFIG_VALUE_NUMBER,
	CONFIG_VALUE_IN_PROGRESS,
};

/* How the bits of a register or of memory are a number. */
enum config_number {
	CONFIG_INT64,
	CONFIG_INT32,
	CONFIG_UINT64,
	CONFIG_UINT32,
	CONFIG_BOOL, /* the lowest byte: the ABI leaves the others undefined */
};

/* Which calls count, by what they return. */
enum config_condition {
	CONFIG_ALWAYS,
	CONFIG_RETURN_NEGATIVE,
	CONFIG_RETURN_NULL, /* zero, of whatever type */
	CONFIG_RETURN_NONZERO,
};

struct config_operand {
	uint8_t argument; /* 1 to 6, of a USDT to 12; 0: see is_return */
	bool is_return;   /* false and no argument: none */
};

struct config_label_value {
	int64_t number;
	char *text;
};

struct config_function_label {
	char *name;
	char *constant; /* NULL: of the operand */
	struct config_operand operand;
	bool is_string; /* what an argument points at */
	enum config_number number;
	uint32_t max_values;               /* of what has no `values` */
	struct config_label_value *values; /* none: the number itself; not found
					      among them: "other"; a text may be
					      that of several numbers */
	size_t value_count;
};

/* One entry of `functions`, or one --function. What it says was judged: the
 * binaries are looked at elsewhere. Rules with one metric agree in all that the
 * exposition says of it, and in the names of their labels. */
struct config_function {
	char *where;  /* "FILE:LINE" or "--function": for messages */
	char *metric; /* valid, not of ours; a counter's without "_total" */
	char *help;   /* NULL: none */
	enum config_metric_type type;
	struct config_strings exes;     /* paths or globs; all selectors given hold */
	struct config_strings libs;     /* sonames, paths or globs */
	struct config_strings services; /* names or globs */
	uint32_t pids[CONFIG_LIST_MAX];
	size_t pid_count;
	char *function;      /* symbol, demangled name, glob or "0xOFFSET"; or: */
	char *usdt_provider; /* both, or NULL */
	char *usdt_name;
	enum config_value_kind value;
	struct config_operand operand; /* of a number: less `minus`, if there is one */
	struct config_operand minus;
	enum config_number number;
	enum config_condition condition;
	enum config_number condition_number; /* how it reads what is returned */
	struct config_function_label *labels;
	size_t label_count;
	double *bounds; /* of a histogram: always some, ascending */
	size_t bound_count;
	double *quantiles; /* of a summary: always some, ascending */
	size_t quantile_count;
	uint64_t max_age_ms;
	uint32_t age_buckets;
};

/* Which process_* metrics there are of those that are observed. */
enum config_process_metrics {
	CONFIG_PROCESS_METRICS_PROCESS,
	CONFIG_PROCESS_METRICS_SERVICE, /* summed */
	CONFIG_PROCESS_METRICS_OFF,     /* of bpftally alone */
};

/* A counter of entries that a regex is found in. */
struct config_log_metric {
	char *name;          /* without "_total"; valid, not of ours */
	char *help;          /* NULL: none */
	char *regex;         /* its named groups are labels */
	uint32_t max_values; /* of those, together; beyond, all are "other" */
};

/* One entry of `logs`. What it says was judged. */
struct config_log {
	char *where;                    /* "FILE:LINE", for messages */
	char *job;                      /* "bpftally" unless given */
	struct config_strings paths;    /* absolute, of log_glob.h, without braces */
	struct config_strings excludes; /* the same */
	bool is_auto;                   /* what observed processes write, too */
	struct config_labels labels;    /* constants, beside job */
	char *first_line;               /* regex; NULL: each line is an entry */
	uint64_t max_wait_ms;
	uint32_t max_lines;
	struct config_strings drops; /* regexes */
	struct config_strings keeps;
	uint64_t max_line_bytes;
	bool from_end; /* what is there at the very first start */
	struct config_log_metric *metrics;
	size_t metric_count;
};

struct config {
	char *listen;          /* ":9965" */
	char *web_config_file; /* config_web.h; NULL: none */
	uint32_t pids[CONFIG_LIST_MAX];
	size_t pid_count;
	struct config_strings exes; /* globs, fnmatch(3) with FNM_PATHNAME off */
	uint16_t ports[TALLY_PORTS_MAX];
	size_t port_count;
	char *service;
	bool no_bpf; /* nothing of the above, nor functions: observes no process */
	enum capture capture;
	uint32_t max_series; /* rows */
	uint32_t max_routes; /* per service */
	bool summaries;      /* of request durations, too */
	enum config_process_metrics process_metrics;
	uint64_t grace_ms;           /* how long an ended service stays visible */
	uint64_t scrape_interval_ms; /* of collections for receivers, and of jobs */
	uint64_t scrape_timeout_ms;  /* of jobs that do not say; 0: not given */
	struct config_scrape_limits scrape_limits; /* likewise */
	struct config_labels external_labels;
	struct config_spool spool;
	struct config_remote_write *remote_writes;
	size_t remote_write_count;
	struct config_otlp *otlps;
	size_t otlp_count;
	struct config_scrape *scrapes;
	size_t scrape_count;
	struct config_loki_write *loki_writes;
	size_t loki_write_count;
	struct config_function *functions;
	size_t function_count;
	struct config_log *logs;
	size_t log_count;
	bool check_probes;  /* --check-config is to look into the binaries, too */
	char *list_subject; /* CONFIG_FUNCTIONS: a path or a process */
	char *list_glob;    /* NULL: all */
	bool verbose;
};

enum config_action {
	CONFIG_RUN,
	CONFIG_CHECK, /* --check-config: judged, say so, exit */
	CONFIG_HELP,
	CONFIG_VERSION,
	CONFIG_DOCTOR,    /* bpftally doctor */
	CONFIG_FUNCTIONS, /* bpftally functions EXE|PID [GLOB] */
};

/* Parses argv (and the file that --config names). 0, or -EINVAL with
 * ret_error filled; *config is then still to be freed. */
int config_load(int argc, char **argv, struct config *ret_config,
		enum config_action *ret_action, char ret_error[CONFIG_ERROR_LEN]);
void config_free(struct config *config);
/* The value of that name; NULL: there is none. */
const char *config_label(const struct config_labels *labels, const char *name);
/* The text of --help: grouped, one line an option. */
const char *config_help(void);
