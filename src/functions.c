/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rule is tried on every file that it names, and again on those that come: a file
 * has its probes before it runs when it is found on disk. A file that is written to
 * in place loses them (its code is not what the places were chosen for: a breakpoint in
 * it would end who runs it) and gets them anew: before the first byte is written where
 * the file system has leases, at once after it where it has none.
 */
#include "functions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "binaries.h"
#include "cleanup.h"
#include "families.h"
#include "function_series.h"
#include "goroutines.h"
#include "groups.h"
#include "lease.h"
#include "log.h"
#include "members.h"
#include "prober.h"
#include "rules.h"
#include "subjects.h"
#include "uprobes.h"
#include "watches.h"

#define ORDER_FUNCTIONS (GROUPS_ORDER_LAST + 100) /* behind what others show */
#define POINTS_SPARE 1024                         /* kinds of places of files to come */
#define NOT_JUDGED (-1)                           /* no size of a file */

/* A file with the probes of a subject's rules. */
struct attached {
	const struct subject *subject;
	struct binary_identity identity;
	struct timespec changed;
	off_t size;
	struct probed probed;
	int fd;      /* of the file, to read */
	int watch;   /* of the file itself: watches_add_file */
	bool leased; /* who is about to write to it waits for us */
	bool seen;   /* in the look under way */
	struct attached *next;
};

struct functions {
	const struct config *config;
	const char *proc_root;
	uint64_t seed; /* of every hash over a stranger's bytes */
	struct tally_function_rule *rules;
	struct families families;
	struct subjects subjects;
	struct uprobes *uprobes;
	struct members *members;
	struct function_series *series;
	struct prober prober;
	struct attached *attached;
	uint64_t swept; /* calls of goroutines that their processes took along */
	struct watches watches;
	int calls_fd; /* to give leases back */
	int epoll_fd; /* of these two and of events of programs */
};

/* --- files -------------------------------------------------------------------- */

static const struct config_function *rule_of(const struct functions *functions,
					     uint32_t rule)
{
	return &functions->config->functions[rule];
}

static struct attached *find_attached(const struct functions *functions,
				      const struct subject *subject,
				      const struct binary_identity *identity)
{
	struct attached *attached = functions->attached;

	while (attached && (attached->subject != subject ||
			    attached->identity.inode != identity->inode ||
			    attached->identity.device != identity->device))
		attached = attached->next;
	return attached;
}

static bool is_as_it_was(const struct attached *attached, const struct stat *status)
{
	return attached->size == status->st_size &&
	       attached->changed.tv_sec == status->st_mtim.tv_sec &&
	       attached->changed.tv_nsec == status->st_mtim.tv_nsec;
}

/* The process that it was found by ended meanwhile. */
static bool is_gone(const struct binary *binary)
{
	return access(binary->path, F_OK) && errno == ENOENT;
}

/* Takes fd. */
static struct attached *add_attached(struct functions *functions,
				     const struct subject *subject,
				     const struct binary *binary, int *fd)
{
	struct attached *attached = calloc(1, sizeof(*attached));

	if (!attached)
		return NULL;
	if (probed_create(subject->count, &attached->probed)) {
		free(attached);
		return NULL;
	}
	attached->subject = subject;
	attached->identity = binary->identity;
	attached->fd = *fd;
	*fd = -1;
	/* before it is read, so that no change of it is overlooked */
	attached->watch = watches_add_file(&functions->watches, attached->fd);
	attached->next = functions->attached;
	functions->attached = attached;
	return attached;
}

/* Nobody writes to it from here on unless we are told, where there are leases; where
 * there are none, we are told afterwards. False: somebody does already. */
static bool hold(struct attached *attached)
{
	int err = attached->leased ? 0 : lease_take(attached->fd);

	attached->leased = !err;
	return err != -EAGAIN;
}

/* Once a file as it is: what failed fails again until it changes. */
static int try_file(struct functions *functions, const struct subject *subject,
		    const struct binary *binary)
{
	AUTO_CLOSE int fd = open(binary->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct attached *attached =
	    find_attached(functions, subject, &binary->identity);
	struct stat status;

	if (fd < 0 || fstat(fd, &status))
		return 0;
	if (attached)
		attached->seen = true;
	if (attached && is_as_it_was(attached, &status))
		return 0;
	if (attached)
		prober_detach(&attached->probed);
	else
		attached = add_attached(functions, subject, binary, &fd);
	if (!attached)
		return -ENOMEM;
	attached->seen = true;
	attached->size = NOT_JUDGED;
	if (!hold(attached) || fstat(attached->fd, &status))
		return 0; /* when it is closed, it is tried again */
	if (prober_attach(&functions->prober, subject, binary, &attached->probed) &&
	    is_gone(binary))
		return 0;
	attached->changed = status.st_mtim;
	attached->size = status.st_size;
	return 0;
}

static void attached_free(struct attached *attached)
{
	probed_free(&attached->probed);
	close(attached->fd);
	free(attached);
}

/* Of files that have no name any more and that no process has: a link holds them, and
 * their blocks on the disk. */
static void let_go(struct functions *functions, const struct subject *subject)
{
	struct attached **at = &functions->attached;
	struct stat status;

	while (*at) {
		struct attached *attached = *at;

		if (attached->subject == subject && !attached->seen &&
		    !fstat(attached->fd, &status) && !status.st_nlink) {
			*at = attached->next;
			attached_free(attached);
			continue;
		}
		if (attached->subject == subject)
			attached->seen = false;
		at = &attached->next;
	}
}

static int select_exe(struct functions *functions, const struct subject *subject,
		      const struct binary *exe)
{
	int err = 0;

	for (size_t i = 0; i < subject->count && !err; i++) {
		const struct tally_function_selected who = {
		    .rule = subject->rules[i],
		    .inode = exe->identity.inode,
		    .device = exe->identity.device,
		};

		err = uprobes_select(functions->uprobes, &who);
	}
	return err;
}

static int select_exes(struct functions *functions, const struct subject *subject)
{
	CLEANUP(binaries_free) struct binaries exes = {};
	int err = binaries_find_exes(rule_of(functions, subject->rules[0]),
				     members_of(functions->members, subject),
				     functions->proc_root, &exes);

	for (size_t i = 0; i < exes.count && !err; i++)
		err = select_exe(functions, subject, &exes.items[i]);
	return err;
}

static int select_pids(struct functions *functions, uint32_t rule)
{
	const struct config_function *config = rule_of(functions, rule);
	int err = 0;

	for (size_t i = 0; i < config->pid_count && !err; i++) {
		const struct tally_function_selected who = {.rule = rule,
							    .pid = config->pids[i]};

		err = uprobes_select(functions->uprobes, &who);
	}
	return err;
}

static int try_subject(struct functions *functions, const struct subject *subject)
{
	CLEANUP(binaries_free) struct binaries binaries = {};
	const uint32_t first = subject->rules[0];
	int err = 0;

	if (functions->rules[first].selects & TALLY_SELECTS_EXE)
		err = select_exes(functions, subject);
	if (!err)
		err = binaries_find(rule_of(functions, first),
				    members_of(functions->members, subject),
				    functions->proc_root, &binaries);
	for (size_t i = 0; i < binaries.count && !err; i++)
		err = try_file(functions, subject, &binaries.items[i]);
	return err;
}

static bool is_tried(const struct functions *functions, const struct subject *subject)
{
	for (const struct attached *a = functions->attached; a; a = a->next)
		if (a->subject == subject)
			return true;
	return false;
}

static void say_waiting(const struct functions *functions,
			const struct subject *subject)
{
	for (size_t i = 0; i < subject->count; i++) {
		const struct config_function *config =
		    rule_of(functions, subject->rules[i]);

		log_info("%s: metric \"%s\": no such %s yet, waiting for one",
			 config->where, config->metric,
			 config->services.count ? "service" : "file");
	}
}

static void find_members(struct functions *functions, uint32_t pid)
{
	int err = pid ? members_find_one(functions->members, pid)
		      : members_find(functions->members);

	if (err)
		log_warning("cannot select processes by their service: %s",
			    strerror(-err));
}

static void try_rules(struct functions *functions, bool at_start)
{
	find_members(functions, 0);
	for (size_t i = 0; i < functions->subjects.count; i++) {
		const struct subject *subject = &functions->subjects.items[i];
		int err = try_subject(functions, subject);

		if (!err)
			let_go(functions, subject);
		if (err)
			prober_warn(&functions->prober, subject, strerror(-err));
		else if (at_start && !is_tried(functions, subject))
			say_waiting(functions, subject);
	}
}

/* Whether it is of a service that rules name; then what it runs is tried at once. */
static bool try_member(struct functions *functions, uint32_t pid)
{
	bool is_member = false;

	find_members(functions, pid);
	for (size_t i = 0; i < functions->subjects.count; i++) {
		const struct subject *subject = &functions->subjects.items[i];
		const struct binaries_pids *pids =
		    members_of(functions->members, subject);
		int err;

		if (!pids || !pids->count)
			continue;
		is_member = true;
		err = try_subject(functions, subject);
		if (err)
			prober_warn(&functions->prober, subject, strerror(-err));
	}
	return is_member;
}

/* --- watching --------------------------------------------------------------------- */

static int wait_also_for(const struct functions *functions, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(functions->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int watch(struct functions *functions)
{
	int err = watches_open(functions->config->functions, &functions->subjects,
			       &functions->watches);

	if (err)
		return err;
	functions->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (functions->epoll_fd < 0)
		return -errno;
	functions->calls_fd = lease_calls();
	if (functions->calls_fd < 0)
		return functions->calls_fd;
	err = wait_also_for(functions, functions->watches.fd);
	if (!err)
		err = wait_also_for(functions, functions->calls_fd);
	return err ? err
		   : wait_also_for(functions, uprobes_events_fd(functions->uprobes));
}

/* A file with probes is written to: they go at once, before the new code runs with the
 * places of the old. When it is closed, it is tried again. */
static void take_probes(void *context, int watch)
{
	const struct functions *functions = context;

	for (struct attached *a = functions->attached; a; a = a->next) {
		if (a->watch != watch)
			continue;
		prober_detach(&a->probed);
		a->size = NOT_JUDGED;
	}
}

/* Somebody is about to write to files with probes, and waits until these are gone. */
static void give_back(struct functions *functions)
{
	lease_forget_calls(functions->calls_fd);
	for (struct attached *a = functions->attached; a; a = a->next) {
		if (!a->leased || !lease_is_wanted(a->fd))
			continue;
		prober_detach(&a->probed);
		a->size = NOT_JUDGED;
		a->leased = false;
		lease_give(a->fd);
	}
}

/* What programs that were started mean. */
struct started {
	struct functions *functions;
	bool looks; /* all files are to be looked for again */
	bool any;   /* of their libraries may matter */
};

static void see_exec(void *context, const struct tally_function_exec *exec)
{
	struct started *started = context;

	if (try_member(started->functions, exec->pid))
		started->any = true;
	if (exec->is_new)
		started->looks = started->any = true;
}

int functions_fd(const struct functions *functions)
{
	return functions->epoll_fd;
}

bool functions_news(struct functions *functions, bool *ret_program)
{
	struct started started = {functions, false, false};
	bool changed;

	give_back(functions);
	changed = watches_take(&functions->watches, take_probes, functions);
	if (!uprobes_take_execs(functions->uprobes, see_exec, &started))
		started.looks = started.any = true;
	*ret_program = started.any;
	return changed || started.looks;
}

void functions_look(struct functions *functions)
{
	watches_look(&functions->watches);
	try_rules(functions, false);
}

/* --- building --------------------------------------------------------------------- */

static int compile_rules(struct functions *functions)
{
	const struct config_function *rules = functions->config->functions;
	const size_t count = functions->config->function_count;

	functions->rules = calloc(count, sizeof(*functions->rules));
	if (!functions->rules)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		struct tally_function_rule *rule = &functions->rules[i];

		rules_compile(&rules[i], rule);
		if (rules[i].pid_count)
			rule->selects |= TALLY_SELECTS_PID;
		if (rules[i].libs.count && rules[i].exes.count)
			rule->selects |= TALLY_SELECTS_EXE;
		if (rules[i].services.count)
			rule->selects |= TALLY_SELECTS_SERVICE;
	}
	return 0;
}

static int sort_rules(struct functions *functions)
{
	const struct config_function *rules = functions->config->functions;
	const size_t count = functions->config->function_count;
	int err = compile_rules(functions);

	if (!err)
		err = families_create(rules, count, ORDER_FUNCTIONS,
				      &functions->families);
	return err ? err : subjects_create(rules, count, &functions->subjects);
}

struct naming {
	struct functions *functions;
	int err;
};

static void name_number(void *context, const struct tally_function_enumerated *number)
{
	struct naming *naming = context;

	if (!naming->err)
		naming->err = uprobes_name(naming->functions->uprobes, number);
}

static int name_numbers(struct functions *functions, uint32_t rule)
{
	struct naming naming = {functions, 0};

	rules_each_enumerated(rule_of(functions, rule), rule, name_number, &naming);
	return naming.err;
}

static int load(struct functions *functions, char ret_error[FUNCTIONS_ERROR_LEN])
{
	const uint32_t count = (uint32_t)functions->config->function_count;
	int err;

	/* an entry, a return of either kind, in Go and in others */
	prober_init(&functions->prober, functions->config->functions,
		    6 * count + POINTS_SPARE);
	err = uprobes_open(functions->rules, count, functions->prober.points.max,
			   functions->seed, &functions->uprobes, ret_error);
	functions->prober.uprobes = functions->uprobes;
	for (uint32_t i = 0; i < count && !err; i++) {
		err = select_pids(functions, i);
		if (!err)
			err = name_numbers(functions, i);
	}
	return err ? err
		   : members_create(functions->config, functions->proc_root,
				    &functions->subjects, functions->uprobes,
				    &functions->members);
}

int functions_create(const struct config *config, const char *proc_root,
		     struct functions **ret_functions,
		     char ret_error[FUNCTIONS_ERROR_LEN])
{
	struct functions *functions = calloc(1, sizeof(*functions));
	int err;

	snprintf(ret_error, FUNCTIONS_ERROR_LEN, "cannot start function metrics");
	if (!functions)
		return -ENOMEM;
	functions->config = config;
	functions->proc_root = proc_root;
	functions->watches.fd = functions->calls_fd = functions->epoll_fd = -1;
	if (getrandom(&functions->seed, sizeof(functions->seed), 0) !=
	    sizeof(functions->seed))
		err = -EIO;
	else
		err = sort_rules(functions);
	if (!err)
		err = function_series_create(
		    config->functions, config->function_count,
		    (const struct family *const *)functions->families.items,
		    functions->seed, &functions->series);
	if (!err)
		err = load(functions, ret_error);
	if (!err)
		err = watch(functions);
	if (err) {
		functions_free(&functions);
		return err;
	}
	try_rules(functions, true);
	*ret_functions = functions;
	return 0;
}

static void free_attached(struct functions *functions)
{
	struct attached *next;

	for (struct attached *a = functions->attached; a; a = next) {
		next = a->next;
		attached_free(a);
	}
}

void functions_free(struct functions **functions)
{
	if (!*functions)
		return;
	free_attached(*functions);
	members_free(&(*functions)->members);
	uprobes_close(&(*functions)->uprobes);
	function_series_free(&(*functions)->series);
	families_free(&(*functions)->families);
	subjects_free(&(*functions)->subjects);
	watches_close(&(*functions)->watches);
	if ((*functions)->calls_fd >= 0)
		close((*functions)->calls_fd);
	if ((*functions)->epoll_fd >= 0)
		close((*functions)->epoll_fd);
	free((*functions)->rules);
	prober_free(&(*functions)->prober);
	free(*functions);
	*functions = NULL;
}

/* --- judging without attaching ---------------------------------------------------- */

static bool check_rule(const struct config_function *rule,
		       const struct binaries_pids *among, const char *proc_root)
{
	CLEANUP(binaries_free) struct binaries binaries = {};
	int err = binaries_find(rule, among, proc_root, &binaries);
	bool good = !err && binaries.count;

	if (err)
		log_error("%s: metric \"%s\": %s", rule->where, rule->metric,
			  strerror(-err));
	else if (among && !among->count)
		log_error("%s: metric \"%s\": no process is of such a service",
			  rule->where, rule->metric);
	else if (!binaries.count)
		log_error("%s: metric \"%s\": there is no such file", rule->where,
			  rule->metric);
	for (size_t i = 0; i < binaries.count; i++)
		good &= prober_check(rule, &binaries.items[i]);
	return good;
}

/* In the order of the rules, as they are written. */
static bool check_rules(const struct config *config, const char *proc_root,
			const struct subjects *subjects, const struct members *members)
{
	bool good = true;

	for (uint32_t i = 0; i < config->function_count; i++)
		good &= check_rule(&config->functions[i],
				   members_of(members, subjects_of_rule(subjects, i)),
				   proc_root);
	return good;
}

bool functions_check(const struct config *config, const char *proc_root)
{
	CLEANUP(subjects_free) struct subjects subjects = {};
	CLEANUP(members_free) struct members *members = NULL;
	int err = subjects_create(config->functions, config->function_count, &subjects);

	if (!err)
		err = members_create(config, proc_root, &subjects, NULL, &members);
	if (!err)
		err = members_find(members);
	if (err) {
		log_error("cannot check function metrics: %s", strerror(-err));
		return false;
	}
	return check_rules(config, proc_root, &subjects, members);
}

/* --- collecting ------------------------------------------------------------------- */

static const struct family missed_family = {
    .name = "bpftally_function_missed",
    .help = "Calls that are not counted as their rule says, by reason.",
    .unit = "",
    .type = METRIC_COUNTER,
    .order = ORDER_FUNCTIONS - 2,
};

static const struct family probed_family = {
    .name = "bpftally_function_probed",
    .help = "Functions that the rules of a metric have probes in.",
    .unit = "",
    .type = METRIC_GAUGE,
    .order = ORDER_FUNCTIONS - 1,
};

static const char *const reasons[TALLY_FUNCTION_MISSED_COUNT] = {
    [TALLY_FUNCTION_ABANDONED] = "abandoned",
    [TALLY_FUNCTION_UNENTERED] = "unentered",
    [TALLY_FUNCTION_TOO_DEEP] = "too_deep",
    [TALLY_FUNCTION_NO_MEMORY] = "no_memory",
    [TALLY_FUNCTION_FAULT] = "argument_fault",
    [TALLY_FUNCTION_LABELS_FULL] = "labels_full",
    [TALLY_FUNCTION_FALLING] = "negative",
};

static void collect_missed(const struct functions *functions, struct snapshot *snapshot)
{
	const struct tally_function_counters *counters =
	    uprobes_counters(functions->uprobes);

	for (size_t i = 0; i < TALLY_FUNCTION_MISSED_COUNT; i++) {
		const struct label reason = {"reason", reasons[i]};
		uint64_t count =
		    __atomic_load_n(&counters->missed[i], __ATOMIC_RELAXED);

		if (i == TALLY_FUNCTION_ABANDONED)
			count += functions->swept;
		snapshot_value(snapshot, &missed_family,
			       snapshot_labels(snapshot, &reason, 1), (double)count);
	}
}

static void count_probed(const struct functions *functions, size_t *counts)
{
	for (const struct attached *a = functions->attached; a; a = a->next)
		for (size_t i = 0; i < a->subject->count; i++)
			counts[functions->families.firsts[a->subject->rules[i]]] +=
			    a->probed.rules[i].functions;
}

static int collect_probed(const struct functions *functions, struct snapshot *snapshot)
{
	const size_t count = functions->config->function_count;
	AUTO_FREE size_t *counts = calloc(count, sizeof(*counts));

	if (!counts)
		return -ENOMEM;
	count_probed(functions, counts);
	for (uint32_t i = 0; i < count; i++) {
		const struct label metric = {"metric",
					     functions->families.items[i]->name};

		if (functions->families.firsts[i] == i)
			snapshot_value(snapshot, &probed_family,
				       snapshot_labels(snapshot, &metric, 1),
				       (double)counts[i]);
	}
	return 0;
}

int functions_collect(struct functions *functions, int64_t now_ms,
		      struct snapshot *snapshot)
{
	uint64_t taken;
	int err =
	    goroutines_sweep(uprobes_map_fd(functions->uprobes, UPROBES_GOROUTINES),
			     functions->proc_root, &taken);

	functions->swept += taken;
	collect_missed(functions, snapshot);
	if (!err)
		err = collect_probed(functions, snapshot);
	if (!err)
		err = function_series_collect(functions->series, functions->uprobes,
					      now_ms, snapshot);
	return err;
}

void functions_each_program(const struct functions *functions,
			    objects_visit_program visit, void *context)
{
	if (functions)
		uprobes_each_program(functions->uprobes, visit, context);
}

uint64_t functions_map_bytes(const struct functions *functions)
{
	return functions ? uprobes_map_bytes(functions->uprobes) : 0;
}
