/* SPDX-License-Identifier: Apache-2.0 */
#include "observer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "drain.h"
#include "functions.h"
#include "ledger.h"
#include "log.h"
#include "probes.h"
#include "series.h"
#include "targets.h"

#define LIBRARIES_MS 500 /* time for a program to load its libraries */
#define NAMED_MAX 4096   /* processes named without a collection */
#define SUBJECT_LEN 512

struct observer {
	struct loop *loop;
	const struct config *config;
	struct targets *targets;
	struct processes *processes; /* the maker's */
	struct probes *probes;
	struct functions *functions; /* NULL: no rules */
	struct series *series;
	struct ledger *ledger;
	struct loop_timer *functions_timer;
	bool program_started;  /* whose libraries are to be looked for */
	bool awaits_libraries; /* the timer runs */
	uint32_t named;        /* processes, since the last collection */
	bool has_no_room;      /* for one more process, in this collection */
	bool room_warned;
	observer_visit named_visit; /* NULL: nobody asks */
	void *named_context;
	char subject[SUBJECT_LEN];
};

/* --- naming processes --------------------------------------------------------- */

/* The process may be gone by now: then there is nothing to write. */
static void update_process(struct observer *observer, uint32_t pid,
			   const struct tally_process *process)
{
	int err = probes_update_process(observer->probes, pid, process);

	if (err && err != -ENOENT)
		log_warning("cannot select process %u: %s", pid, strerror(-err));
}

static bool has_service(const struct observer *observer, uint32_t pid, uint32_t service)
{
	int fd = probes_map_fd(observer->probes, PROBES_PROCESSES);
	struct tally_process now;

	return !drain_process(fd, pid, &now) && now.service == service;
}

static bool is_still(void *context, const struct tally_process_event *event)
{
	return has_service(context, event->pid, event->service);
}

static void tell_named(const struct observer *observer, uint32_t pid,
		       const struct tally_process *process)
{
	const struct service *service =
	    targets_service(observer->targets, process->service);

	if (observer->named_visit && service &&
	    !(process->flags & TALLY_PROCESS_IGNORED))
		observer->named_visit(observer->named_context, pid, service);
}

/* One that is not judged keeps its provisional id, and what it does its rows: to be
 * asked again, or counted as lost when it has ended. */
static void name_process(void *context, const struct tally_process_event *event)
{
	struct observer *observer = context;
	struct tally_process process;
	int err = targets_name(observer->targets, event, is_still, observer,
			       clock_ms(CLOCK_BOOTTIME), &process);

	observer->named++;
	if (err)
		log_debug("cannot name process %u: %s", event->pid, strerror(-err));
	else if (!targets_unjudged(observer->targets, event->service) &&
		 is_still(observer, event)) {
		update_process(observer, event->pid, &process);
		tell_named(observer, event->pid, &process);
	}
}

/* What a descendant of a --pid executed, and is silent. Each exec takes the name out of
 * its entry; of one before the name was written nothing is left but what /proc says. */
static void name_followed(struct observer *observer, uint32_t pid,
			  const struct tally_process *unnamed)
{
	struct tally_process process;

	if (!processes_observes(observer->processes) ||
	    targets_select(observer->targets, pid, true, &process) ||
	    !has_service(observer, pid, unnamed->service))
		return;
	update_process(observer, pid, &process);
	if (targets_holds(observer->targets, pid, true, &process))
		tell_named(observer, pid, &process);
	else if (has_service(observer, pid, process.service))
		update_process(observer, pid, unnamed);
}

/* These entries still carry a provisional id: of processes whose event found no room
 * or left doubt, and of children forked before their parent had its name. Or no id at
 * all: of a program that a followed process executed. */
static void name_leftover(void *context, uint32_t pid,
			  const struct tally_process *process)
{
	struct observer *observer = context;
	const struct service *service =
	    targets_service(observer->targets, process->service);
	struct tally_process_event event = {.pid = pid, .service = process->service};
	struct tally_process entry = {.flags = process->flags &
					       ~(uint32_t)TALLY_PROCESS_UNNAMED};

	if (process->flags & TALLY_PROCESS_UNNAMED && !process->service)
		return name_followed(observer, pid, process);
	if (!(process->service & TALLY_SERVICE_PROVISIONAL))
		return;
	if (service)
		entry.service = service->id;
	else if (targets_ignored(observer->targets, process->service) &&
		 !targets_unjudged(observer->targets, process->service))
		entry.flags |= TALLY_PROCESS_IGNORED;
	else
		return name_process(observer, &event);
	update_process(observer, pid, &entry);
}

/* --- what says nothing ---------------------------------------------------------- */

static void give_up_entering(struct observer *observer, uint32_t pid, int err)
{
	observer->has_no_room = true;
	if (err != -E2BIG)
		log_warning("cannot select process %u: %s", pid, strerror(-err));
	else if (!observer->room_warned)
		log_warning("the table of processes is full (%d): %u and others that "
			    "--exe selects have no process metrics",
			    TALLY_PROCESS_ROWS, pid);
	observer->room_warned |= err == -E2BIG;
}

/* What the process does meanwhile: of an exec or an end before there was an entry the
 * kernel had nothing to take out; one that comes later takes the entry with it. */
static void enter_process(struct observer *observer, uint32_t pid)
{
	struct tally_process process;
	int err = targets_select(observer->targets, pid, false, &process);

	if (err)
		return;
	err = probes_add_process(observer->probes, pid, &process);
	if (err == -EEXIST)
		return;
	if (err)
		give_up_entering(observer, pid, err);
	else if (targets_holds(observer->targets, pid, false, &process))
		tell_named(observer, pid, &process);
	else
		probes_remove_process(observer->probes, pid, &process);
}

static void see_match(void *context, uint32_t pid)
{
	struct observer *observer = context;
	int fd = probes_map_fd(observer->probes, PROBES_PROCESSES);
	struct tally_process known;

	if (!observer->has_no_room && pid != (uint32_t)getpid() &&
	    drain_process(fd, pid, &known) == -ENOENT)
		enter_process(observer, pid);
}

/* What --exe selects has its process metrics though it speaks no protocol. The kernel
 * does not tell of each program that starts: /proc is looked over for them. */
static void find_silent(struct observer *observer)
{
	observer->has_no_room = false;
	if (processes_observes(observer->processes))
		targets_each_match(observer->targets, see_match, observer);
}

/* --- one collection ----------------------------------------------------------- */

/* What of them could not be read is missing; the rest is true all the same. */
static void collect_functions(struct observer *observer, struct snapshot *snapshot)
{
	int err =
	    functions_collect(observer->functions, clock_ms(CLOCK_BOOTTIME), snapshot);

	if (err)
		log_error("cannot read the function rules' maps: %s", strerror(-err));
}

int observer_collect(struct observer *observer, struct snapshot *snapshot)
{
	int err;

	observer->named = 0;
	probes_poll(observer->probes, name_process, observer);
	drain_processes(probes_map_fd(observer->probes, PROBES_PROCESSES),
			name_leftover, observer);
	find_silent(observer);
	err = series_collect(observer->series, observer->probes, observer->targets,
			     clock_ms(CLOCK_BOOTTIME), snapshot);
	ledger_set_unjudged(observer->ledger, series_unjudged(observer->series));
	if (!err)
		err = ledger_collect(observer->ledger, observer->probes,
				     observer->functions, snapshot);
	if (!err)
		err = processes_collect(observer->processes, observer->probes,
					observer->targets, snapshot);
	if (!err && observer->functions)
		collect_functions(observer, snapshot);
	return err;
}

/* Names are forgotten, and rows of processes long gone taken out of the kernel,
 * by collections. Where nobody asks for one, many processes do. */
static void tidy(struct observer *observer)
{
	struct snapshot snapshot;
	int err;

	if (observer->named < NAMED_MAX)
		return;
	snapshot_init(&snapshot, 0);
	err = observer_collect(observer, &snapshot);
	if (err)
		log_error("cannot read the kernel's maps: %s", strerror(-err));
	snapshot_free(&snapshot);
}

/* --- events ------------------------------------------------------------------- */

static void on_process(void *context, uint32_t events)
{
	struct observer *observer = context;

	(void)events;
	probes_poll(observer->probes, name_process, observer);
	tidy(observer);
}

/* Where programs start all the time, no later than after the first. */
static void await_libraries(struct observer *observer)
{
	if (!observer->program_started || observer->awaits_libraries)
		return;
	observer->program_started = false;
	observer->awaits_libraries = true;
	loop_timer_arm(observer->functions_timer, LIBRARIES_MS, 0);
}

static void on_files(void *context, uint32_t events)
{
	struct observer *observer = context;
	bool program = false;

	(void)events;
	if (functions_news(observer->functions, &program))
		functions_look(observer->functions);
	observer->program_started |= program;
	await_libraries(observer);
}

static void on_libraries(void *context)
{
	struct observer *observer = context;

	observer->awaits_libraries = false;
	functions_look(observer->functions);
	await_libraries(observer); /* of what was started meanwhile */
}

static void see_requests(void *context, const struct tally_series_key *key,
			 const struct tally_series *value)
{
	bool *seen = context;

	(void)key;
	for (size_t i = 0; i < DURATION_BUCKETS; i++)
		*seen |= value->duration[i] != 0;
}

struct visit {
	const struct observer *observer;
	observer_visit visit;
	void *context;
};

static void visit_process(void *context, uint32_t pid,
			  const struct tally_process *process)
{
	const struct visit *visit = context;
	const struct service *service =
	    targets_service(visit->observer->targets, process->service);

	if (service && !(process->flags & TALLY_PROCESS_IGNORED))
		visit->visit(visit->context, pid, service);
}

void observer_each_process(const struct observer *observer, observer_visit visit,
			   void *context)
{
	struct visit each = {observer, visit, context};

	drain_processes(probes_map_fd(observer->probes, PROBES_PROCESSES),
			visit_process, &each);
}

void observer_tell(struct observer *observer, observer_visit named, void *context)
{
	observer->named_visit = named;
	observer->named_context = context;
}

bool observer_saw_request(const struct observer *observer)
{
	bool seen = false;

	drain_series(probes_series(observer->probes), see_requests, &seen);
	return seen;
}

const char *observer_subject(const struct observer *observer)
{
	return observer->subject;
}

/* --- for people ---------------------------------------------------------------- */

/* "processes with pid 4242, exe \"/usr/sbin/nginx\", port 80", or all. */
static void describe_subject(struct observer *observer)
{
	const struct config *config = observer->config;
	size_t len = sizeof(observer->subject);
	FILE *text = fmemopen(observer->subject, len, "w");

	if (!text)
		return;
	if (!config->pid_count && !config->exes.count && !config->port_count)
		fputs("every process", text);
	else
		fputs("processes with", text);
	for (size_t i = 0; i < config->pid_count; i++)
		fprintf(text, "%s %u", i ? " or" : " pid", config->pids[i]);
	for (size_t i = 0; i < config->exes.count; i++)
		fprintf(text, "%s \"%s\"",
			i                   ? " or"
			: config->pid_count ? ", exe"
					    : " exe",
			config->exes.items[i]);
	for (size_t i = 0; i < config->port_count; i++)
		fprintf(text, "%s %u",
			i                                        ? " or"
			: config->pid_count + config->exes.count ? ", port"
								 : " port",
			config->ports[i]);
	if (config->service)
		fprintf(text, ", as service \"%s\"", config->service);
	fclose(text);
	observer->subject[len - 1] = 0;
}

/* --- building ----------------------------------------------------------------- */

static void select_process(void *context, uint32_t pid,
			   const struct tally_process *process)
{
	struct observer *observer = context;
	int err = probes_set_process(observer->probes, pid, process);

	if (err)
		log_warning("cannot select process %u: %s", pid, strerror(-err));
}

static int start_probes(struct observer *observer)
{
	char error[PROBES_ERROR_LEN];
	struct tally_config config = {
	    .self_pid = (uint32_t)getpid(),
	    .routes_per_service = observer->config->max_routes,
	    .series_max = observer->config->max_series,
	    .port_count = (uint32_t)observer->config->port_count,
	    .ignore_unknown = targets_ignore_unknown(observer->targets),
	    .counts_traffic = processes_observes(observer->processes),
	};
	int err;

	memcpy(config.ports, observer->config->ports, sizeof(config.ports));
	if (getrandom(&config.seed, sizeof(config.seed), 0) != sizeof(config.seed))
		return -EIO;
	err = probes_open(&config, observer->config->capture, &observer->probes, error);
	if (err) {
		log_error("%s", error);
		return err;
	}
	return loop_watch(observer->loop, probes_events_fd(observer->probes), EPOLLIN,
			  on_process, observer);
}

/* What --pid and --exe select among the processes there are. */
static int select_processes(struct observer *observer)
{
	uint32_t missing = 0;
	size_t count = 0;
	int err =
	    targets_scan(observer->targets, select_process, observer, &count, &missing);

	if (err == -ESRCH) {
		log_error("there is no process %u (--pid)", missing);
		return err;
	}
	if (!err && observer->config->exes.count && !count)
		log_info(
		    "no running process matches --exe yet: waiting for one to start");
	return err;
}

static int start_functions(struct observer *observer)
{
	char error[FUNCTIONS_ERROR_LEN];
	int err;

	if (!observer->config->function_count)
		return 0;
	err = functions_create(observer->config, "/proc", &observer->functions, error);
	if (err) {
		log_error("%s", error);
		return err;
	}
	err = loop_timer_create(observer->loop, on_libraries, observer,
				&observer->functions_timer);
	return err ? err
		   : loop_watch(observer->loop, functions_fd(observer->functions),
				EPOLLIN, on_files, observer);
}

static int start(struct observer *observer)
{
	const struct config *config = observer->config;
	int err = targets_create(config, "/proc", &observer->targets);

	if (!err)
		err = series_create(config->max_series, config->summaries,
				    &observer->series);
	if (!err)
		err = ledger_create(&observer->ledger);
	if (err) {
		log_error("cannot start: %s", strerror(-err));
		return err;
	}
	err = start_probes(observer);
	if (!err)
		err = select_processes(observer);
	if (!err)
		err = start_functions(observer);
	return err;
}

int observer_create(struct loop *loop, const struct config *config,
		    struct processes *processes, struct observer **ret_observer)
{
	CLEANUP(observer_free) struct observer *observer = calloc(1, sizeof(*observer));
	int err;

	if (!observer)
		return -ENOMEM;
	observer->loop = loop;
	observer->config = config;
	observer->processes = processes;
	describe_subject(observer);
	err = start(observer);
	if (err)
		return err;
	*ret_observer = TAKE(observer);
	return 0;
}

void observer_free(struct observer **observer)
{
	struct observer *freed = *observer;

	if (!freed)
		return;
	loop_timer_free(&freed->functions_timer);
	if (freed->probes)
		loop_unwatch(freed->loop, probes_events_fd(freed->probes));
	if (freed->functions)
		loop_unwatch(freed->loop, functions_fd(freed->functions));
	functions_free(&freed->functions);
	probes_close(&freed->probes);
	ledger_free(&freed->ledger);
	series_free(&freed->series);
	targets_free(&freed->targets);
	free(freed);
	*observer = NULL;
}
