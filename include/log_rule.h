/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_rule.h - one entry of `logs`, ready to be carried out: which paths it is about,
 * where an entry begins, which ones are sent, under which labels, and what of it was
 * counted. A regex that cannot be carried out on a text changes nothing about it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "log_counters.h"
#include "slice.h"

struct log_totals {
	uint64_t lines; /* entries handed to receivers */
	uint64_t bytes; /* of their text */
	uint64_t cut;
	uint64_t dropped;  /* by drop and keep */
	uint64_t unjudged; /* regexes that could not be carried out */
};

struct pattern;

struct log_rule {
	const struct config_log *config;
	const struct config_labels *external;
	struct pattern *first_line; /* NULL: each line is an entry */
	struct pattern **drops, **keeps;
	struct log_counters *counters;
	struct log_totals totals;
	bool is_new; /* its paths were never looked at; the owner's business */
};

/* All that is passed outlives it. order: of its metrics in the output. -ENOMEM,
 * -EINVAL (a regex that was not judged). */
int log_rule_init(struct log_rule *rule, const struct config_log *config,
		  const struct config_labels *external, unsigned int order);
void log_rule_clear(struct log_rule *rule);

/* Whether it is left out by `exclude`, or by being compressed. */
bool log_rule_excludes(const struct log_rule *rule, const char *path);
bool log_rule_begins(struct log_rule *rule, struct slice line);
/* Counts it, and says whether it is sent. */
bool log_rule_takes(struct log_rule *rule, struct slice entry);
/* The labels of a file's stream. service: NULL or "" for none. NULL: no memory. The
 * caller frees. */
char *log_rule_labels(const struct log_rule *rule, const char *filename,
		      const char *service);
