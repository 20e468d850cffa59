/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_targets.h - lists of target groups, as they are in `static_configs` and in
 * the files of `file_sd_configs`. Addresses are not judged: relabelling may make
 * something else of them.
 */
#pragma once

#include "config_internal.h"

#define CONFIG_TARGETS_MAX 10000 /* of a group */
#define CONFIG_GROUPS_MAX 10000  /* of a list */

config_read config_read_groups; /* struct config_groups, appends */
/* The file (JSON or YAML) anew; -EINVAL with the error, and nothing returned. */
int config_read_groups_file(const char *path, struct config_groups *ret_groups,
			    char ret_error[CONFIG_ERROR_LEN]);
void config_free_groups(struct config_groups *groups);
/* Why no scrape can have this address; NULL: it can (Prometheus' CheckTargetAddress,
 * and what a URL takes). */
const char *config_address_problem(const char *address);
