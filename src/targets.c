/* SPDX-License-Identifier: Apache-2.0 */
/*
 * targets.c - services are few and live long: a list in the order of their ids,
 * each on its own so that a pointer to one stays good while others come and go.
 */
#include "targets.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aliases.h"
#include "cleanup.h"
#include "log.h"
#include "proc.h"

_Static_assert(PROC_NAME_LEN == CONFIG_SERVICE_LEN_MAX + 1, "one bound for both");

#define SERVICES_MAX 4096
#define CAPACITY_MIN 64
/* A chain of parents ends at pid 1 or 0; this ends one that changes under us. */
#define ANCESTORS_MAX 4096

struct target {
	struct service service; /* first: callers are given it */
	bool seen;              /* in the pass over the process map */
};

struct targets {
	const struct config *config;
	char *proc_root;

	struct target **services; /* ascending ids */
	size_t service_count;
	size_t service_capacity;
	uint32_t last_service;
	struct service other; /* TALLY_SERVICE_OTHER: those there is no room for */
	bool other_warned;

	struct aliases *aliases;
};

static void free_target(struct target **target)
{
	if (!*target)
		return;
	free((*target)->service.name);
	free((*target)->service.name_space);
	free(*target);
	*target = NULL;
}

void targets_free(struct targets **targets)
{
	struct targets *all = *targets;

	if (!all)
		return;
	for (size_t i = 0; i < all->service_count; i++)
		free_target(&all->services[i]);
	free(all->services);
	aliases_free(&all->aliases);
	free(all->other.name);
	free(all->other.name_space);
	free(all->proc_root);
	free(all);
	*targets = NULL;
}

int targets_create(const struct config *config, const char *proc_root,
		   struct targets **ret_targets)
{
	CLEANUP(targets_free) struct targets *targets = calloc(1, sizeof(*targets));

	if (!targets)
		return -ENOMEM;
	targets->config = config;
	targets->proc_root = strdup(proc_root);
	targets->other.id = TALLY_SERVICE_OTHER;
	targets->other.name = strdup("other");
	targets->other.name_space = strdup("");
	if (!targets->proc_root || !targets->other.name || !targets->other.name_space ||
	    aliases_create(&targets->aliases))
		return -ENOMEM;
	*ret_targets = TAKE(targets);
	return 0;
}

/* ---- rules ---- */

/* The kernel follows who descends from a --pid: also one whose parent has ended,
 * or that has ended itself, of which /proc can no longer tell. */
bool targets_ignore_unknown(const struct targets *targets)
{
	return targets->config->pid_count;
}

static uint32_t selection_flags(const struct targets *targets, bool is_selected)
{
	return (targets->config->pid_count ? TALLY_PROCESS_PINNED : 0) |
	       (is_selected ? 0 : TALLY_PROCESS_IGNORED);
}

static bool is_listed_pid(const struct config *config, uint32_t pid)
{
	for (size_t i = 0; i < config->pid_count; i++) {
		if (config->pids[i] == pid)
			return true;
	}
	return false;
}

/* Whether the process or one of its ancestors is given by --pid. */
static bool descends_from_pids(const struct targets *targets, uint32_t pid)
{
	for (int i = 0; pid && i < ANCESTORS_MAX; i++) {
		if (is_listed_pid(targets->config, pid))
			return true;
		pid = proc_parent(targets->proc_root, pid);
	}
	return false;
}

/* In the order of their weight: the best of several globs counts. */
enum verdict {
	VERDICT_NO,
	VERDICT_DOUBT,
	VERDICT_YES,
};

/* "/name", or "" when the event does not know it, or not the whole of it. */
static void copy_exe(const struct tally_process_event *event,
		     char ret_name[TALLY_EXE_LEN + 1])
{
	size_t len = strnlen(event->exe, TALLY_EXE_LEN);

	*ret_name = '\0';
	if (len && len < TALLY_EXE_LEN - 1)
		snprintf(ret_name, TALLY_EXE_LEN + 1, "/%.*s", (int)len, event->exe);
}

/* argv[0] if it is a path, else "". */
static void copy_path(const struct tally_process_event *event,
		      char ret_path[TALLY_ARGS_LEN + 1])
{
	size_t len =
	    event->args_len < TALLY_ARGS_LEN ? event->args_len : TALLY_ARGS_LEN;

	*ret_path = '\0';
	if (len && *event->args == '/')
		snprintf(ret_path, TALLY_ARGS_LEN + 1, "%.*s", (int)len, event->args);
}

/* Whether there is a path with this end that matches. Wildcards take '/' too, so
 * that any part of the glob may be what meets the end. */
static bool may_match(const char *glob, const char *end)
{
	for (; *glob; glob++) {
		if (!fnmatch(glob, end, 0))
			return true;
	}
	return false;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && !strcmp(text + len - end_len, end);
}

/* Without a path of the executable: the name of its file is true, argv[0] is what
 * its caller says. Whether a name alone is in the right directory nobody knows: a
 * glob that spells the name selects at least one called so. */
static enum verdict judge_event(const char *glob,
				const struct tally_process_event *event)
{
	char name[TALLY_EXE_LEN + 1], path[TALLY_ARGS_LEN + 1];

	copy_exe(event, name);
	copy_path(event, path);
	if (*name && !may_match(glob, name))
		return VERDICT_NO;
	if (!strcmp(glob, "*") || (*path && !fnmatch(glob, path, 0)))
		return VERDICT_YES;
	if (*name && *glob == '*' && !fnmatch(glob, name, 0))
		return VERDICT_YES; /* in whatever directory */
	return *name && !*path && ends_with(glob, name) ? VERDICT_YES : VERDICT_DOUBT;
}

static enum verdict judge_exe(const char *glob, const struct proc_facts *facts,
			      const struct tally_process_event *event)
{
	if (*facts->exe)
		return fnmatch(glob, facts->exe, 0) ? VERDICT_NO : VERDICT_YES;
	return event ? judge_event(glob, event) : VERDICT_NO;
}

static enum verdict judge(const struct targets *targets, const struct proc_facts *facts,
			  const struct tally_process_event *event)
{
	const struct config *config = targets->config;
	enum verdict best = config->exes.count ? VERDICT_NO : VERDICT_YES;

	for (size_t i = 0; i < config->exes.count; i++) {
		enum verdict verdict = judge_exe(config->exes.items[i], facts, event);

		if (verdict > best)
			best = verdict;
	}
	return best;
}

static bool is_selected(const struct targets *targets, uint32_t pid,
			const struct proc_facts *facts)
{
	return judge(targets, facts, NULL) == VERDICT_YES &&
	       (!targets->config->pid_count || descends_from_pids(targets, pid));
}

/* An exec shows in /proc some time before the kernel tells of it. */
static bool is_file_of(const struct tally_process_event *event,
		       const struct proc_facts *facts)
{
	char name[TALLY_EXE_LEN + 1];

	copy_exe(event, name);
	return !*facts->exe || ends_with(facts->exe, name);
}

/* Of the program that the event tells of; /proc may change while it is read. */
static void read_facts(const struct targets *targets,
		       const struct tally_process_event *event, targets_still still,
		       void *context, struct proc_facts *ret_facts)
{
	bool was = still(context, event);

	/* no process is 0 */
	proc_read(targets->proc_root, was ? event->pid : 0, event, ret_facts);
	if (was && !(is_file_of(event, ret_facts) && still(context, event)))
		proc_read(targets->proc_root, 0, event, ret_facts);
}

/* ---- services ---- */

/* Index of the service, or of the first with a larger id. */
static size_t service_position(const struct targets *targets, uint32_t id)
{
	size_t low = 0, high = targets->service_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (targets->services[middle]->service.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct target *find_service(const struct targets *targets, uint32_t id)
{
	size_t position = service_position(targets, id);

	if (position == targets->service_count ||
	    targets->services[position]->service.id != id)
		return NULL;
	return targets->services[position];
}

static struct target *find_service_by_name(const struct targets *targets,
					   const char *name, const char *name_space)
{
	for (size_t i = 0; i < targets->service_count; i++) {
		const struct service *service = &targets->services[i]->service;

		if (!strcmp(service->name, name) &&
		    !strcmp(service->name_space, name_space))
			return targets->services[i];
	}
	return NULL;
}

static int make_room(struct targets *targets)
{
	size_t capacity =
	    targets->service_capacity ? targets->service_capacity * 2 : CAPACITY_MIN;
	struct target **services;

	if (targets->service_count < targets->service_capacity)
		return 0;
	services = reallocarray(targets->services, capacity, sizeof(struct target *));
	if (!services)
		return -ENOMEM;
	targets->services = services;
	targets->service_capacity = capacity;
	return 0;
}

static int add_service(struct targets *targets, const char *name,
		       const char *name_space, uint32_t *ret_id)
{
	CLEANUP(free_target) struct target *target = calloc(1, sizeof(*target));

	if (!target)
		return -ENOMEM;
	target->service.name = strdup(name);
	target->service.name_space = strdup(name_space);
	if (!target->service.name || !target->service.name_space || make_room(targets))
		return -ENOMEM;
	target->service.id = ++targets->last_service;
	*ret_id = target->service.id;
	targets->services[targets->service_count++] = TAKE(target);
	return 0;
}

static void warn_of_other(struct targets *targets, const char *name)
{
	if (targets->other_warned)
		return;
	targets->other_warned = true;
	log_warning("more than %d services: \"%s\" and others to come are counted as "
		    "\"other\"; --service or --exe makes them fewer",
		    SERVICES_MAX, name);
}

/* The id of the service of that name; one that was gone is back. */
static int intern_service(struct targets *targets, const char *name,
			  const char *name_space, uint32_t *ret_id)
{
	struct target *target = find_service_by_name(targets, name, name_space);

	if (target) {
		target->service.gone = false;
		*ret_id = target->service.id;
		return 0;
	}
	if (targets->service_count == SERVICES_MAX) {
		warn_of_other(targets, name);
		*ret_id = TALLY_SERVICE_OTHER;
		return 0;
	}
	return add_service(targets, name, name_space, ret_id);
}

/* --service is one service, whatever namespaces its processes were given. */
static int name_process(struct targets *targets, const struct proc_facts *facts,
			struct tally_process *ret_process)
{
	const struct config *config = targets->config;
	uint32_t service;
	int err;

	err = config->service
		  ? intern_service(targets, config->service, "", &service)
		  : intern_service(targets, facts->name, facts->name_space, &service);
	if (err)
		return err;
	*ret_process = (struct tally_process){.service = service,
					      .flags = selection_flags(targets, true)};
	return 0;
}

/* An id that the daemon gave out itself stands for nothing but itself. */
static int remember_alias(struct targets *targets, uint32_t id,
			  const struct tally_process *process, bool unjudged,
			  int64_t now_ms)
{
	const struct alias alias = {.id = id,
				    .service = process->service,
				    .ignored = process->flags & TALLY_PROCESS_IGNORED,
				    .since_ms = now_ms,
				    .unjudged = unjudged};

	return id & TALLY_SERVICE_PROVISIONAL ? aliases_put(targets->aliases, &alias)
					      : 0;
}

/* ---- the contract ---- */

struct scan {
	struct targets *targets;
	targets_visit visit;
	void *context;
	uint64_t present; /* bit i: pids[i] was in the listing */
	size_t count;
	int err;
};

_Static_assert(CONFIG_LIST_MAX <= 64, "a bit for each --pid");

static void mark_present(void *context, uint32_t pid)
{
	struct scan *scan = context;
	const struct config *config = scan->targets->config;

	for (size_t i = 0; i < config->pid_count; i++) {
		if (config->pids[i] == pid)
			scan->present |= 1ull << i;
	}
}

/* A zombie does not count, nor a thread: /proc has it but does not list it. */
static bool all_pids_exist(struct scan *scan, uint32_t *ret_missing_pid)
{
	const struct config *config = scan->targets->config;

	if (!config->pid_count)
		return true;
	proc_each(scan->targets->proc_root, mark_present, scan);
	for (size_t i = 0; i < config->pid_count; i++) {
		if ((scan->present >> i & 1) &&
		    proc_alive(scan->targets->proc_root, config->pids[i]))
			continue;
		*ret_missing_pid = config->pids[i];
		return false;
	}
	return true;
}

/* A descendant of a --pid is followed though its program is not selected: it may
 * execute one that is. */
static void scan_process(void *context, uint32_t pid)
{
	struct scan *scan = context;
	const struct config *config = scan->targets->config;
	struct tally_process process = {.flags = selection_flags(scan->targets, false)};
	struct proc_facts facts;
	bool selected;

	if (scan->err || (config->pid_count && !descends_from_pids(scan->targets, pid)))
		return;
	proc_read(scan->targets->proc_root, pid, NULL, &facts);
	selected = judge(scan->targets, &facts, NULL) == VERDICT_YES;
	if (!facts.alive || (!selected && !config->pid_count))
		return;
	if (selected)
		scan->err = name_process(scan->targets, &facts, &process);
	if (scan->err)
		return;
	scan->visit(scan->context, pid, &process);
	scan->count += selected;
}

int targets_scan(struct targets *targets, targets_visit visit, void *context,
		 size_t *ret_count, uint32_t *ret_missing_pid)
{
	const struct config *config = targets->config;
	struct scan scan = {.targets = targets, .visit = visit, .context = context};

	if (!all_pids_exist(&scan, ret_missing_pid))
		return -ESRCH;
	if (config->pid_count || config->exes.count)
		proc_each(targets->proc_root, scan_process, &scan);
	if (!scan.err)
		*ret_count = scan.count;
	return scan.err;
}

struct match {
	const struct targets *targets;
	void (*visit)(void *context, uint32_t pid);
	void *context;
};

static bool matches(const struct targets *targets, uint32_t pid)
{
	struct proc_facts facts;

	proc_read_exe(targets->proc_root, pid, facts.exe);
	return judge(targets, &facts, NULL) == VERDICT_YES;
}

static void match_process(void *context, uint32_t pid)
{
	const struct match *match = context;

	if (matches(match->targets, pid))
		match->visit(match->context, pid);
}

void targets_each_match(const struct targets *targets,
			void (*visit)(void *context, uint32_t pid), void *context)
{
	struct match match = {targets, visit, context};

	if (targets->config->exes.count)
		proc_each(targets->proc_root, match_process, &match);
}

int targets_select(struct targets *targets, uint32_t pid, bool is_followed,
		   struct tally_process *ret_process)
{
	struct proc_facts facts;
	bool selected;

	if (!matches(targets, pid))
		return -ESRCH;
	proc_read(targets->proc_root, pid, NULL, &facts);
	selected = is_followed ? judge(targets, &facts, NULL) == VERDICT_YES
			       : is_selected(targets, pid, &facts);
	return facts.alive && selected ? name_process(targets, &facts, ret_process)
				       : -ESRCH;
}

/* First whether it lives: were it asked last, the answer might be of a next process of
 * that pid, and the executable of one whose end the kernel has seen. */
bool targets_holds(struct targets *targets, uint32_t pid, bool is_followed,
		   const struct tally_process *process)
{
	struct tally_process now;

	return proc_alive(targets->proc_root, pid) &&
	       !targets_select(targets, pid, is_followed, &now) &&
	       now.service == process->service && now.flags == process->flags;
}

int targets_name(struct targets *targets, const struct tally_process_event *event,
		 targets_still still, void *context, int64_t now_ms,
		 struct tally_process *ret_process)
{
	struct tally_process process = {.flags = selection_flags(targets, false)};
	struct proc_facts facts;
	enum verdict verdict;
	int err = 0;

	read_facts(targets, event, still, context, &facts);
	verdict = judge(targets, &facts, event);
	if (verdict == VERDICT_YES)
		err = name_process(targets, &facts, &process);
	if (!err)
		err = remember_alias(targets, event->service, &process,
				     verdict == VERDICT_DOUBT, now_ms);
	if (!err)
		*ret_process = process;
	return err;
}

bool targets_name_of(const struct config *config, const char *proc_root, uint32_t pid,
		     char ret_name[TARGETS_NAME_LEN])
{
	const struct targets targets = {
	    .config = config,
	    .proc_root = (char *)(uintptr_t)proc_root,
	};
	struct proc_facts facts;
	const char *name = facts.name;

	proc_read(proc_root, pid, NULL, &facts);
	if (!facts.alive)
		return false;
	if (config->service && is_selected(&targets, pid, &facts))
		name = config->service;
	snprintf(ret_name, TARGETS_NAME_LEN, "%s", name);
	return true;
}

/* The daemon's own id for one found in the kernel. */
static uint32_t resolve(const struct targets *targets, uint32_t id)
{
	const struct alias *alias = aliases_find(targets->aliases, id);

	return alias && !alias->ignored ? alias->service : id;
}

const struct service *targets_service(const struct targets *targets, uint32_t id)
{
	uint32_t own = resolve(targets, id);
	const struct target *target;

	if (own == TALLY_SERVICE_OTHER)
		return &targets->other;
	target = find_service(targets, own);
	return target ? &target->service : NULL;
}

bool targets_ignored(const struct targets *targets, uint32_t id)
{
	const struct alias *alias = aliases_find(targets->aliases, id);

	return alias && alias->ignored;
}

bool targets_unjudged(const struct targets *targets, uint32_t id)
{
	const struct alias *alias = aliases_find(targets->aliases, id);

	return alias && alias->unjudged;
}

int64_t targets_alias_age_ms(const struct targets *targets, uint32_t id, int64_t now_ms)
{
	const struct alias *alias = aliases_find(targets->aliases, id);

	return alias ? now_ms - alias->since_ms : -1;
}

uint32_t targets_alias_after(const struct targets *targets, uint32_t id)
{
	return aliases_after(targets->aliases, id);
}

void targets_drop_alias(struct targets *targets, uint32_t id)
{
	aliases_drop(targets->aliases, id);
}

void targets_live_begin(struct targets *targets)
{
	for (size_t i = 0; i < targets->service_count; i++)
		targets->services[i]->seen = false;
}

void targets_live_seen(struct targets *targets, uint32_t id)
{
	struct target *target = find_service(targets, resolve(targets, id));

	if (target)
		target->seen = true;
}

void targets_live_end(struct targets *targets, int64_t now_ms)
{
	for (size_t i = 0; i < targets->service_count; i++) {
		struct target *target = targets->services[i];

		if (!target->seen && !target->service.gone)
			target->service.gone_since_ms = now_ms;
		target->service.gone = !target->seen;
	}
}

const struct service *targets_expired(const struct targets *targets, int64_t now_ms)
{
	for (size_t i = 0; i < targets->service_count; i++) {
		const struct service *service = &targets->services[i]->service;
		int64_t gone_ms = now_ms - service->gone_since_ms;

		if (service->gone && gone_ms > 0 &&
		    (uint64_t)gone_ms > targets->config->grace_ms)
			return service;
	}
	return NULL;
}

/* With its aliases: an id that leads nowhere would look as if not known yet. */
void targets_drop_service(struct targets *targets, uint32_t id)
{
	struct target *target = find_service(targets, id);
	size_t position = service_position(targets, id);

	if (!target)
		return;
	aliases_drop_service(targets->aliases, id);
	free_target(&target);
	targets->service_count--;
	memmove(targets->services + position, targets->services + position + 1,
		(targets->service_count - position) * sizeof(struct target *));
}

uint32_t targets_routes_max(const struct targets *targets)
{
	return targets->config->max_routes;
}

size_t targets_service_count(const struct targets *targets)
{
	return targets->service_count;
}
