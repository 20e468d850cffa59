/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_internal.h - how a mapping of the file fills a struct, shared by the
 * config*.c files only. A section is a table of fields; a field names its key
 * and the reader of its value. The YAML library stays behind config_yaml.c: a node
 * here is opaque. Tables nest to a fixed depth and every list is bounded, so an
 * alias to its own parent, or a tree of aliases, is read no further than that.
 */
#pragma once

#include "config.h"

#define CONFIG_REMOTE_WRITES_MAX 16
#define CONFIG_OTLPS_MAX 16
#define CONFIG_LOKI_WRITES_MAX 16
#define CONFIG_SCRAPES_MAX 1024
#define CONFIG_LOGS_MAX 64
#define CONFIG_LOG_METRICS_MAX 64 /* of one entry */
#define CONFIG_LOG_PATHS_MAX 256
#define CONFIG_PID_MAX 4194304 /* PID_MAX_LIMIT of 64-bit kernels */
#define CAPTURE_NAMES "auto, tracepoint or fentry"
#define PROCESS_METRICS_NAMES "process, service or off"
#define CONFIG_SERIES_MAX 1000000
#define CONFIG_INTERVAL_MIN_MS 100
#define CONFIG_INTERVAL_MAX_MS 86400000ull    /* a day */
#define CONFIG_GRACE_MAX_MS (7 * 86400000ull) /* a week */

struct config_reader; /* the file being read, and where errors go */
struct config_node;   /* a value in it */
struct config_field;

/* Fills target from node; 0, or -EINVAL with the error written. */
typedef int config_read(struct config_reader *reader, const struct config_node *node,
			const struct config_field *field, void *target);

struct config_field {
	const char *key;   /* "*NAME": any other that ends so */
	config_read *read; /* NULL: CONFIG_FOREIGN */
	size_t offset;     /* of the target in what the section fills */
	uint64_t min;      /* of numbers, and of durations in ms */
	uint64_t max;
	const struct config_section *section; /* config_read_section */
	const char *hint;    /* config_read_unsupported: what to do instead */
	unsigned int choice; /* fields with the same one, if any, exclude each other */
	bool required;
};

#define CONFIG_NO_TARGET .offset = 0
/* In place of a reader: Prometheus has it there, and we do not. One line refuses, and
 * names, all of them that are given. */
#define CONFIG_FOREIGN NULL, CONFIG_NO_TARGET

struct config_section {
	const char *name;
	const struct config_field *fields;
	size_t count; /* at most 64 */
	int (*check)(struct config_reader *reader, const struct config_node *node,
		     void *target); /* judges the whole; may be NULL */
};

/* --- config_yaml.c --- */
int config_read_file(const char *path, const struct config_section *section,
		     void *target, char ret_error[CONFIG_ERROR_LEN]);
/* Another file, in which ${env:NAME} is text like any other: who writes it need not
 * be who configures us. `read` gets its root, and is not called where it is empty. */
int config_read_literal_file(const char *path, config_read *read, void *target,
			     char ret_error[CONFIG_ERROR_LEN]);
int config_fail(struct config_reader *reader, const struct config_node *node,
		const char *format, ...) __attribute__((format(printf, 3, 4)));
/* "'key' must be ..., not '...'": quotes the value as the file spells it, never
 * what a variable held. Not for secrets. */
int config_fail_value(struct config_reader *reader, const struct config_node *node,
		      const char *key, const char *must);
/* "'key' 'VALUE' ...": of a scalar that config_scalar took. Not for secrets. */
int config_fail_quoted(struct config_reader *reader, const struct config_node *node,
		       const char *key, const char *problem);
/* The same of a path or a regex: "... cannot be read: ...". */
int config_fail_path(struct config_reader *reader, const struct config_node *node,
		     const char *key, const char *problem);
bool config_is_null(const struct config_node *node);
bool config_is_list(const struct config_node *node);
bool config_is_mapping(const struct config_node *node);
/* Spelled so, without quotes: NULL is a word to some keys. */
bool config_is_plain(const struct config_node *node, const char *word);
size_t config_item_count(const struct config_node *list);
const struct config_node *config_item(struct config_reader *reader,
				      const struct config_node *list, size_t index);
/* A scalar with its variables replaced: UTF-8, not empty. The caller frees. */
int config_scalar(struct config_reader *reader, const struct config_node *node,
		  const char *key, char **ret_text);
/* The same, but "" in quotes is a value. */
int config_scalar_or_empty(struct config_reader *reader, const struct config_node *node,
			   const char *key, char **ret_text);
int config_read_mapping(struct config_reader *reader, const struct config_node *node,
			const struct config_section *section, void *target);
/* A mapping of free keys, at most `max`, none twice: add is called in order. */
typedef int config_add_pair(struct config_reader *reader, const struct config_node *key,
			    const char *name, const struct config_node *value,
			    void *target);
int config_read_each(struct config_reader *reader, const struct config_node *node,
		     const char *key, size_t max, config_add_pair *add, void *target);
/* The same of single values, appended in order. `problem` says what is wrong with
 * a pair, NULL for nothing, and quotes no value. */
typedef const char *config_pair_problem(const char *name, const char *value);
int config_read_pairs(struct config_reader *reader, const struct config_node *node,
		      const char *key, config_pair_problem *problem,
		      struct config_labels *labels);
/* Prometheus takes a path as relative to the file that names it. */
char *config_resolve_path(const struct config_reader *reader, const char *path);
/* "FILE:LINE"; NULL when out of memory. */
char *config_where(const struct config_reader *reader, const struct config_node *node);

/* --- config_field.c: one value each --- */
config_read config_read_text, config_read_text_or_empty; /* char * */
/* char *, of a regular file that can be read; that holds PEM. */
config_read config_read_file_path, config_read_pem_path;
config_read config_read_flag, config_read_number; /* bool; uint32_t */
config_read config_read_duration;                 /* uint64_t, ms */
config_read config_read_bytes;                    /* uint64_t */
config_read config_read_section;
/* Judged, then dropped. */
config_read config_read_unused_flag, config_read_unused_number;
config_read config_read_unused_duration, config_read_unused_text;
config_read config_read_unused_texts; /* a list */
/* Known but refused: always; unless it is false; 0s. */
config_read config_read_unsupported, config_read_only_false, config_read_only_zero;
/* One value, or a list of at most `max`: add is called for each. An empty list
 * selects nothing, which is not what leaving the key out means: refused rather
 * than guessed. */
int config_read_items(struct config_reader *reader, const struct config_node *node,
		      const struct config_field *field, size_t max, config_read *add,
		      void *target);
/* A list of at most `max`, one value is none; nothing, and an empty one, are as good as
 * no key. */
int config_read_list(struct config_reader *reader, const struct config_node *node,
		     const struct config_field *field, size_t max, config_read *add,
		     void *target);
/* What is wrong with a file that is read again and again, so that a pipe would
 * serve once; NULL for nothing. */
const char *config_file_problem(const char *path);
/* One of PROCESS_METRICS_NAMES; false for what is none of them. */
bool config_parse_process_metrics(const char *text,
				  enum config_process_metrics *ret_by);
/* false when out of memory; the list has no bound of its own. */
bool config_add_label(struct config_labels *labels, const char *name,
		      const char *value);
void config_free_labels(struct config_labels *labels);
/* Takes the string over; false when out of memory. */
bool config_add_string(struct config_strings *strings, char **string);
void config_free_strings(struct config_strings *strings);

/* --- config_remote_write.c --- */
config_read config_read_remote_writes; /* struct config */
/* Appends one with Prometheus' defaults; NULL when out of memory. */
struct config_remote_write *config_add_remote_write(struct config *config);
/* Gives every endpoint without a name one that no other has. */
bool config_name_remote_writes(struct config *config);
void config_free_remote_writes(struct config *config);

/* --- config_relabel.c --- */
/* A list of rules, in Prometheus' spelling: what it fills is `relabels`, which
 * comes with `relabel_count`. */
int config_read_relabels(struct config_reader *reader, const struct config_node *node,
			 const char *key, struct config_relabel **ret_relabels,
			 size_t *ret_count);
void config_free_relabels(struct config_relabel **relabels, size_t *count);

/* --- config_otlp.c --- */
config_read config_read_otlps; /* struct config */
void config_free_otlps(struct config *config);

/* --- config_loki_write.c --- */
config_read config_read_loki_writes; /* struct config */
void config_free_loki_writes(struct config *config);

/* --- config_scrape.c --- */
config_read config_read_scrapes;   /* struct config */
config_read config_read_body_size; /* uint64_t; 0: no limit */
/* Once all else is known: sets what jobs leave to `global`, and judges it. */
int config_finish_scrapes(struct config *config, char ret_error[CONFIG_ERROR_LEN]);
void config_free_scrapes(struct config *config);
/* --- config_logs.c --- */
config_read config_read_logs; /* struct config */
/* What the whole file must have for them. 0, or -EINVAL with the error written. */
int config_check_logs(const struct config *config, char ret_error[CONFIG_ERROR_LEN]);
void config_free_logs(struct config *config);

/* --- config_functions.c --- */
config_read config_read_functions; /* struct config */
/* Appends the rule of --function EXE:NAME. 0, or -EINVAL with the error written. */
int config_add_function(struct config *config, const char *text,
			char ret_error[CONFIG_ERROR_LEN]);
void config_free_functions(struct config *config);
