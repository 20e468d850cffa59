/* SPDX-License-Identifier: Apache-2.0 */
/*
 * targets.h - which processes are observed and what their service is called.
 * Owns the services: their names, their ids, the aliases (a provisional kernel
 * id that turned out to be a known service), and since when they are gone.
 * It reads /proc through proc.h and never touches a map: the caller writes the
 * entries it is given.
 *
 * Selection: rules of one kind are alternatives, kinds are combined (a process
 * must match --pid if any is given, and --exe if any is given). Ports are not a
 * property of a process; the kernel side judges them per connection. Without
 * --pid and --exe every process is selected. Descendants of a --pid process are
 * selected too, across exec. --service names all that is selected.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"
#include "config.h"

#define TARGETS_NAME_LEN (CONFIG_SERVICE_LEN_MAX + 1)

struct targets;

struct service {
	uint32_t id;
	char *name;
	char *name_space; /* "" if none */
	bool gone;        /* no process has it at the moment */
	int64_t gone_since_ms;
};

/* Config must outlive it. proc_root: "/proc" outside tests. */
int targets_create(const struct config *config, const char *proc_root,
		   struct targets **ret_targets);
void targets_free(struct targets **targets);

/* Whether a process that the daemon did not name is left alone unasked (only
 * --pid rules): a field of tally_config. */
bool targets_ignore_unknown(const struct targets *targets);

/* At start: every process that is selected by pid or exe now, with the entry to
 * write; with --pid, also its descendants that --exe leaves out. -ESRCH and the
 * pid in ret_missing_pid when a --pid does not exist. ret_count: how many are
 * selected. Without --pid and --exe visits nothing. */
typedef void (*targets_visit)(void *context, uint32_t pid,
			      const struct tally_process *process);
int targets_scan(struct targets *targets, targets_visit visit, void *context,
		 size_t *ret_count, uint32_t *ret_missing_pid);

/* Later: every process whose executable --exe selects now, one link read for each that
 * there is. Without --exe visits nothing. */
void targets_each_match(const struct targets *targets,
			void (*visit)(void *context, uint32_t pid), void *context);
/* Whether all rules select it by what /proc says now, and the entry to write: one link
 * read, and more only where --exe selects it. -ESRCH: they do not, or it is gone;
 * -ENOMEM. is_followed: the kernel has it as a descendant of a --pid, of which /proc
 * may tell no longer. */
int targets_select(struct targets *targets, uint32_t pid, bool is_followed,
		   struct tally_process *ret_process);
/* To be asked when the entry of targets_select() was made: whether it is true of the
 * program that runs now, and the kernel will take it out at the next one or at the
 * end. Of an exec or an end before there was an entry it has told nobody. */
bool targets_holds(struct targets *targets, uint32_t pid, bool is_followed,
		   const struct tally_process *process);

/* Whether it is still the program that the event tells of: it may have ended, or
 * become another, of which /proc would speak. */
typedef bool (*targets_still)(void *context, const struct tally_process_event *event);

/* The kernel saw an unnamed process: name it, select it. still is asked before and
 * after /proc is read; unless both say so the event alone is believed. The entry to
 * write: the service's id, or TALLY_PROCESS_IGNORED. Remembers event->service as an
 * alias of that service (or of none) since now_ms. -ENOMEM. */
int targets_name(struct targets *targets, const struct tally_process_event *event,
		 targets_still still, void *context, int64_t now_ms,
		 struct tally_process *ret_process);

/* Service of an id found in the kernel: its own or by alias. NULL: not known
 * (yet), or not selected: targets_ignored tells. */
const struct service *targets_service(const struct targets *targets, uint32_t id);
bool targets_ignored(const struct targets *targets, uint32_t id);
/* Ignored, but by doubt: /proc could not be asked, and what the event tells leaves
 * open whether --exe selects it. */
bool targets_unjudged(const struct targets *targets, uint32_t id);
/* Milliseconds since an alias was made, -1 when id is not an alias. */
int64_t targets_alias_age_ms(const struct targets *targets, uint32_t id,
			     int64_t now_ms);
/* The next alias above id, 0 when there is none: 0 asks for the first. */
uint32_t targets_alias_after(const struct targets *targets, uint32_t id);
/* The alias has no row left in the kernel. */
void targets_drop_alias(struct targets *targets, uint32_t id);

/* Around one pass over the process map: begin, one call per entry, end. After
 * end, services with no process are gone since the first such pass. */
void targets_live_begin(struct targets *targets);
void targets_live_seen(struct targets *targets, uint32_t id);
void targets_live_end(struct targets *targets, int64_t now_ms);
/* Next service gone for longer than config->grace_ms, else NULL; drop it with
 * targets_drop_service once its rows are gone. */
const struct service *targets_expired(const struct targets *targets, int64_t now_ms);
void targets_drop_service(struct targets *targets, uint32_t id);

/* What the service of a process is called, whether it speaks a protocol or not:
 * --service where it is selected, else as proc.h names it. False: it is gone. Asks
 * /proc alone, and keeps nothing. */
bool targets_name_of(const struct config *config, const char *proc_root, uint32_t pid,
		     char ret_name[TARGETS_NAME_LEN]);

/* How many distinct routes a service may have. */
uint32_t targets_routes_max(const struct targets *targets);
size_t targets_service_count(const struct targets *targets);
