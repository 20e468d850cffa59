/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uprobes.h - the only file that knows the skeleton of the function programs: loads
 * them, attaches them to places in files, owns their maps and links. It does not know
 * why a place was chosen. Closing it leaves nothing in the kernel.
 *
 * All places of a file are one link where the kernel has uprobe sessions, in which an
 * entry decides whether its return is wanted (6.13, commit d920179b3d48); one for
 * entries and one for returns where it has uprobe_multi (6.6, commit 89ae89f53d20);
 * else a perf event each. No kernel has them apart for processes: who is not meant is
 * left at once by the program.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "function_abi.h"
#include "objects.h"

#define UPROBES_ERROR_LEN 512

struct uprobes;

enum uprobes_map {
	UPROBES_SINGLES,   /* rule's number -> tally_function_row, of TALLY_PLACE_… */
	UPROBES_ROWS,      /* tally_function_key -> tally_function_row */
	UPROBES_SUMMARIES, /* tally_function_key -> tally_function_summary */
	UPROBES_LABELS,    /* tally_function_labels_key -> tally_function_labels */
	UPROBES_GOROUTINES, /* tally_goroutine_key -> tally_function_frame */
};

/* rules: of what the cookies' points speak; copied. point_max: as many may be set.
 * 0, or -errno with one line in ret_error. Nothing is attached yet. */
int uprobes_open(const struct tally_function_rule *rules, uint32_t rule_count,
		 uint32_t point_max, uint64_t seed, struct uprobes **ret_uprobes,
		 char ret_error[UPROBES_ERROR_LEN]);
void uprobes_close(struct uprobes **uprobes);

int uprobes_set_point(struct uprobes *uprobes, uint32_t number,
		      const struct tally_function_point *point);

struct uprobes_place {
	uint64_t offset;    /* in the file, of an instruction's first byte */
	uint64_t semaphore; /* in the file, of a USDT probe's counter; 0: none */
	uint32_t point;
	uint32_t return_point; /* when the function returns to its caller */
	uint32_t function;     /* tells functions of one rule in one file apart */
	bool has_return;       /* return_point is one */
};

/* Probes of one file. */
struct uprobes_link;

/* All or none: -errno and nothing attached. path: of the file, for the kernel to open
 * now; the link holds the file itself, whatever becomes of its name. Detach before
 * uprobes_close. */
int uprobes_attach(struct uprobes *uprobes, const char *path,
		   const struct uprobes_place *places, size_t count,
		   struct uprobes_link **ret_link);
void uprobes_detach(struct uprobes_link **link);

/* One more number that an enumeration of a rule has a name for. */
int uprobes_name(struct uprobes *uprobes,
		 const struct tally_function_enumerated *number);
/* One more process, or program, of a rule that selects. */
int uprobes_select(struct uprobes *uprobes, const struct tally_function_selected *who);

/* Which rules' services a process has, by its pidfd; NULL: none. -errno, -ESRCH when it
 * has ended. Children inherit it, another program does not. */
int uprobes_set_member(struct uprobes *uprobes, int pidfd,
		       const struct tally_function_member *member);

int uprobes_map_fd(const struct uprobes *uprobes, enum uprobes_map map);
/* Mapped: they change under the reader. */
const struct tally_function_counters *uprobes_counters(const struct uprobes *uprobes);
/* Readable when there are programs to take. */
int uprobes_events_fd(const struct uprobes *uprobes);
/* Visits processes that became another program, each once: new programs, or all
 * processes where a rule selects by service. False: there were more than could be
 * told, or a child could not be given what its parent is. */
typedef void (*uprobes_visit_exec)(void *context,
				   const struct tally_function_exec *exec);
bool uprobes_take_execs(struct uprobes *uprobes, uprobes_visit_exec visit,
			void *context);
/* Calls under way in threads (not goroutines), one by one. -errno. */
typedef void (*uprobes_visit_call)(void *context, const struct tally_function_key *key);
int uprobes_each_call(const struct uprobes *uprobes, uprobes_visit_call visit,
		      void *context);
/* As objects.h. */
void uprobes_each_program(const struct uprobes *uprobes, objects_visit_program visit,
			  void *context);
uint64_t uprobes_map_bytes(const struct uprobes *uprobes);
