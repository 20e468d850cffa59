/* SPDX-License-Identifier: Apache-2.0 */
/*
 * functions.h - the function metrics of the configuration: finds what each rule names,
 * attaches, and collects. A rule that cannot be had says why in the log and stops no
 * other. Owns the programs (uprobes.h) and the windows of summaries.
 */
#pragma once

#include <stdint.h>

#include "config.h"
#include "objects.h"
#include "snapshot.h"

#define FUNCTIONS_ERROR_LEN 512

struct functions;

/* The configuration must outlive it and have rules. proc_root: "/proc" outside tests.
 * -errno and one line in ret_error when the programs cannot be loaded at all. */
int functions_create(const struct config *config, const char *proc_root,
		     struct functions **ret_functions,
		     char ret_error[FUNCTIONS_ERROR_LEN]);
void functions_free(struct functions **functions);
/* Appends the families of the rules, and what was missed. now_ms: of CLOCK_BOOTTIME.
 * -errno of the first map that could not be read. */
int functions_collect(struct functions *functions, int64_t now_ms,
		      struct snapshot *snapshot);
/* Readable when there may be news. */
int functions_fd(const struct functions *functions);
/* Whether a file may have come that a rule names: a directory changed in which one
 * looks, or a program was started for the first time (ret_program), which loads its
 * libraries within the next moments. Then functions_look. */
bool functions_news(struct functions *functions, bool *ret_program);
/* Attaches to what came; takes probes out of what was written to. */
void functions_look(struct functions *functions);
/* The kernel's programs and maps for them, as objects.h; NULL: none. */
void functions_each_program(const struct functions *functions,
			    objects_visit_program visit, void *context);
uint64_t functions_map_bytes(const struct functions *functions);
/* For --check-config --probe: whether every rule finds its functions in the files
 * there are, a line each in the log; attaches nothing. */
bool functions_check(const struct config *config, const char *proc_root);
