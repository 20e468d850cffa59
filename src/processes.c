/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three lists in the order of their pids are gone through side by side: `members`, what
 * the kernel's process map has now; `known`, what the last collection found; `rows`,
 * bytes that the kernel added up. A process is its pid and when it started.
 *
 * By service, counters are sums over processes that come, go, and execute something
 * that is of another service. So of each process `given` says how much of its work is
 * in the sum of a service that it is of no longer; what one has given stays there.
 *
 * What a process did between the last collection and its end is not known, but for
 * bytes, which the kernel keeps. One that ended before any collection has only those.
 */
#include "processes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "drain.h"
#include "log.h"
#include "process_metrics.h"
#include "process_stat.h"

#define SELF_NAME "bpftally"
/* No id of a service is that large: the daemon counts up from 1, provisional ones from
 * the other half. */
#define SERVICE_NONE UINT32_MAX
#define SERVICE_SELF (UINT32_MAX - 1)
#define PID_NONE UINT64_MAX
#define CAPACITY_MIN 64
#define LIMIT_EVERY 16                    /* collections */
#define INITIAL_PID_NAMESPACE 0xEFFFFFFCu /* its inode, on every kernel */

/* That only grows while a process lives. */
struct work {
	uint64_t cpu_ticks;
	uint64_t received, sent;
};

struct member {
	uint32_t pid;
	uint32_t service; /* SERVICE_NONE: not named, not selected */
};

struct row {
	uint32_t pid;
	struct tally_traffic traffic;
};

struct known {
	uint32_t pid;
	uint32_t service;
	uint64_t start_ticks;
	struct work done;   /* as of the last collection that could read it */
	struct work given;  /* of that, in the sum of an earlier service */
	struct work before; /* of the pid's row: of an earlier process */
	uint64_t max_fds;   /* of another user's */
	bool has_max_fds;
	unsigned char limit_age; /* collections since that was read */
};

/* A service, with the agent among them. */
struct sum {
	uint32_t service;
	struct work ended; /* of those that are of it no longer */
	double start_s;    /* of the oldest process when it was made */
	bool is_new;
	struct work running;            /* of this collection, and */
	struct process_numbers numbers; /* all but counters */
};

#define LIST(type)                                                                     \
	struct {                                                                       \
		type *items;                                                           \
		size_t count, capacity;                                                \
	}

struct processes {
	enum config_process_metrics by;
	struct process_reader *reader;
	bool is_foreign; /* pids of the kernel are not those of /proc */
	LIST(struct known) known;
	LIST(struct known) next;
	LIST(struct member) members;
	LIST(struct row) rows;
	LIST(struct sum) sums; /* in the order of their ids */
};

/* One collection. */
struct pass {
	struct processes *processes;
	const struct probes *probes;
	const struct targets *targets;
	struct snapshot *snapshot;
	size_t member, known, row; /* where each list is */
	int err;
};

/* What the lists have of one pid; NULL: nothing. */
struct seen {
	uint32_t pid;
	const struct member *member;
	const struct known *known;
	const struct row *row;
};

/* --- lists --------------------------------------------------------------------- */

static bool reserve(void **items, size_t count, size_t *capacity, size_t size)
{
	size_t more = *capacity ? *capacity * 2 : CAPACITY_MIN;
	void *moved;

	if (count < *capacity)
		return true;
	moved = reallocarray(*items, more, size);
	if (!moved)
		return false;
	*items = moved;
	*capacity = more;
	return true;
}

/* A new item at the end; NULL when memory ran out. */
#define ADD(list)                                                                      \
	(reserve((void **)&(list)->items, (list)->count, &(list)->capacity,            \
		 sizeof(*(list)->items))                                               \
	     ? &(list)->items[(list)->count++]                                         \
	     : NULL)

/* Of items that begin with their pid. */
static int compare_pids(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

#define SORT(list)                                                                     \
	do {                                                                           \
		if ((list)->count)                                                     \
			qsort((list)->items, (list)->count, sizeof(*(list)->items),    \
			      compare_pids);                                           \
	} while (0)

/* --- work ------------------------------------------------------------------------ */

static struct work work_plus(struct work a, struct work b)
{
	return (struct work){a.cpu_ticks + b.cpu_ticks, a.received + b.received,
			     a.sent + b.sent};
}

static struct work work_less(struct work a, struct work b)
{
	return (struct work){a.cpu_ticks - b.cpu_ticks, a.received - b.received,
			     a.sent - b.sent};
}

/* Counters that are read apart do not fall, whatever the kernel says. */
static void grow(uint64_t *value, uint64_t now)
{
	if (now > *value)
		*value = now;
}

static void grow_by_row(struct known *known, const struct tally_traffic *traffic)
{
	const struct work *before = &known->before;

	if (traffic->received > before->received)
		grow(&known->done.received, traffic->received - before->received);
	if (traffic->sent > before->sent)
		grow(&known->done.sent, traffic->sent - before->sent);
}

/* --- sums ------------------------------------------------------------------------ */

static uint32_t own_id(const struct pass *pass, uint32_t service)
{
	const struct service *found =
	    pass->targets ? targets_service(pass->targets, service) : NULL;

	return found ? found->id : SERVICE_NONE;
}

static bool is_summed(const struct pass *pass)
{
	return pass->processes->by == CONFIG_PROCESS_METRICS_SERVICE;
}

/* Made where it is missing; NULL for no service, and when memory ran out. */
static struct sum *sum_of(struct pass *pass, uint32_t service)
{
	struct processes *all = pass->processes;
	size_t low = 0, high = all->sums.count;
	struct sum *last;

	if (service == SERVICE_NONE)
		return NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (all->sums.items[middle].service < service)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < all->sums.count && all->sums.items[low].service == service)
		return &all->sums.items[low];
	last = ADD(&all->sums);
	if (!last) {
		pass->err = -ENOMEM;
		return NULL;
	}
	memmove(&all->sums.items[low + 1], &all->sums.items[low],
		(all->sums.count - 1 - low) * sizeof(struct sum));
	all->sums.items[low] = (struct sum){.service = service, .is_new = true};
	return &all->sums.items[low];
}

/* What is done for a service stays with it. */
static void give(struct pass *pass, uint32_t service, struct work work)
{
	struct sum *sum = is_summed(pass) ? sum_of(pass, service) : NULL;

	if (sum)
		sum->ended = work_plus(sum->ended, work);
}

/* 0: not known. */
static double earlier(double a, double b)
{
	return a > 0 && (a < b || b <= 0) ? a : b;
}

static void add_numbers(struct sum *sum, const struct process_numbers *numbers)
{
	struct process_numbers *all = &sum->numbers;

	all->virtual_bytes += numbers->virtual_bytes;
	all->resident_bytes += numbers->resident_bytes;
	all->threads += numbers->threads;
	all->open_fds += numbers->open_fds;
	all->max_fds += numbers->max_fds;
	all->has_memory |= numbers->has_memory;
	all->has_threads |= numbers->has_threads;
	all->has_open_fds |= numbers->has_open_fds;
	all->has_max_fds |= numbers->has_max_fds;
	all->start_s = earlier(all->start_s, numbers->start_s);
	if (sum->is_new)
		sum->start_s = earlier(sum->start_s, numbers->start_s);
}

/* --- showing ---------------------------------------------------------------------- */

static bool has_network(const struct pass *pass, uint32_t service)
{
	return pass->probes && service != SERVICE_SELF;
}

static void set_counters(const struct pass *pass, uint32_t service,
			 const struct work *work, struct process_numbers *numbers)
{
	numbers->has_cpu = true;
	numbers->cpu_s = process_ticks_s(pass->processes->reader, work->cpu_ticks);
	numbers->has_network = has_network(pass, service);
	numbers->received_bytes = work->received;
	numbers->sent_bytes = work->sent;
}

static struct process_numbers numbers_of(const struct pass *pass,
					 const struct process_stat *stat)
{
	double start_s = process_start_s(pass->processes->reader, stat->start_ticks);

	return (struct process_numbers){
	    .virtual_bytes = stat->virtual_bytes,
	    .resident_bytes = stat->resident_bytes,
	    .threads = stat->threads,
	    .open_fds = stat->has_open_fds ? (double)stat->open_fds : 0,
	    .max_fds = stat->has_max_fds ? (double)stat->max_fds : 0,
	    .start_s = start_s,
	    .since_s = start_s,
	    .has_memory = stat->has_memory,
	    .has_threads = true,
	    .has_open_fds = stat->has_open_fds,
	    .has_max_fds = stat->has_max_fds,
	};
}

/* The snapshot may live longer than the service. */
static struct process_owner owner_of(const struct pass *pass, uint32_t service)
{
	const struct service *found;

	if (service == SERVICE_SELF)
		return (struct process_owner){.service = SELF_NAME, .name_space = ""};
	found = targets_service(pass->targets, service);
	return (struct process_owner){
	    .service = snapshot_text(pass->snapshot, found->name),
	    .name_space = snapshot_text(pass->snapshot, found->name_space),
	};
}

static void show_process(const struct pass *pass, const struct known *known,
			 const struct process_stat *stat)
{
	struct process_owner owner = owner_of(pass, known->service);
	struct process_numbers numbers = numbers_of(pass, stat);

	owner.pid = known->pid;
	set_counters(pass, known->service, &known->done, &numbers);
	process_metrics_emit(pass->snapshot, &owner, &numbers);
}

/* stat: NULL, it could not be read this time: its counters are as they were. */
static void add_process(struct pass *pass, const struct known *known,
			const struct process_stat *stat)
{
	struct sum *sum = sum_of(pass, known->service);
	struct process_numbers numbers;

	if (!sum)
		return;
	sum->running = work_plus(sum->running, work_less(known->done, known->given));
	if (!stat)
		return;
	numbers = numbers_of(pass, stat);
	add_numbers(sum, &numbers);
}

static void show(struct pass *pass, const struct known *known,
		 const struct process_stat *stat)
{
	if (known->service == SERVICE_NONE)
		return;
	if (is_summed(pass))
		add_process(pass, known, stat);
	else if (stat)
		show_process(pass, known, stat);
}

/* Another bpftally may be observed: one service, one series. */
static bool is_namesake(const struct pass *pass, const struct sum *sum)
{
	const struct service *found =
	    sum->service == SERVICE_SELF ? NULL
					 : targets_service(pass->targets, sum->service);

	return found && !strcmp(found->name, SELF_NAME) && !*found->name_space;
}

static void join_namesakes(struct pass *pass)
{
	struct processes *all = pass->processes;

	for (size_t i = 0; i < all->sums.count; i++) {
		const struct sum sum = all->sums.items[i];
		struct sum *self =
		    is_namesake(pass, &sum) ? sum_of(pass, SERVICE_SELF) : NULL;

		if (!self)
			continue;
		self->running =
		    work_plus(self->running, work_plus(sum.running, sum.ended));
		add_numbers(self, &sum.numbers);
		self->numbers.has_network = true;
	}
}

static void show_sums(struct pass *pass)
{
	struct processes *all = pass->processes;

	join_namesakes(pass);
	for (size_t i = 0; i < all->sums.count; i++) {
		struct sum *sum = &all->sums.items[i];
		struct work work = work_plus(sum->running, sum->ended);
		struct process_numbers numbers = sum->numbers;
		struct process_owner owner;

		sum->is_new = false;
		if (is_namesake(pass, sum))
			continue;
		owner = owner_of(pass, sum->service);
		set_counters(pass, sum->service, &work, &numbers);
		numbers.has_network |= sum->numbers.has_network;
		numbers.since_s = sum->start_s;
		process_metrics_emit(pass->snapshot, &owner, &numbers);
	}
}

/* Those of services that are no more go. */
static void begin_sums(struct pass *pass)
{
	struct processes *all = pass->processes;
	size_t kept = 0;

	for (size_t i = 0; i < all->sums.count; i++) {
		struct sum *sum = &all->sums.items[i];

		if (sum->service != SERVICE_SELF &&
		    own_id(pass, sum->service) != sum->service)
			continue;
		sum->running = (struct work){0};
		sum->numbers = (struct process_numbers){0};
		all->sums.items[kept++] = *sum;
	}
	all->sums.count = kept;
}

/* --- one process ------------------------------------------------------------------ */

static bool is_same(const struct known *known, const struct process_stat *stat)
{
	return known->start_ticks == stat->start_ticks;
}

static void keep(struct pass *pass, const struct known *known)
{
	struct known *next = ADD(&pass->processes->next);

	if (next)
		*next = *known;
	else
		pass->err = -ENOMEM;
}

/* The pid's row goes with it: exact, as nothing is added any more but by sockets that
 * close late, to a new row. */
static void end_row(struct pass *pass, const struct seen *seen,
		    struct tally_traffic *ret_traffic)
{
	struct tally_traffic traffic;
	int err;

	*ret_traffic = (struct tally_traffic){0};
	if (!seen->row)
		return;
	err = drain_take_traffic(probes_map_fd(pass->probes, PROBES_TRAFFIC), seen->pid,
				 &traffic);
	if (!err)
		*ret_traffic = traffic;
	else if (err != -ENOENT)
		pass->err = err;
}

static void end_known(struct pass *pass, const struct seen *seen)
{
	struct known last = *seen->known;
	struct tally_traffic traffic;

	end_row(pass, seen, &traffic);
	if (seen->row)
		grow_by_row(&last, &traffic);
	give(pass, last.service, work_less(last.done, last.given));
}

/* It began and ended between two collections: bytes are all that is known of it. */
static void end_stranger(struct pass *pass, const struct seen *seen)
{
	struct tally_traffic traffic;

	end_row(pass, seen, &traffic);
	give(pass, own_id(pass, traffic.service),
	     (struct work){.received = traffic.received, .sent = traffic.sent});
}

/* A limit of another user's process is looked at now and then: it is set when a program
 * starts, as a rule, and reading it costs more than all else. */
static void find_limit(const struct pass *pass, struct known *known,
		       struct process_stat *stat)
{
	if (stat->has_max_fds)
		return;
	if (!known->limit_age)
		known->has_max_fds = process_read_limit(pass->processes->reader,
							known->pid, &known->max_fds);
	known->limit_age = (unsigned char)((known->limit_age + 1) % LIMIT_EVERY);
	stat->max_fds = known->max_fds;
	stat->has_max_fds = known->has_max_fds;
}

static void meet(struct pass *pass, const struct seen *seen, struct process_stat *stat)
{
	struct known known = {
	    .pid = seen->pid,
	    .service = seen->member->service,
	    .start_ticks = stat->start_ticks,
	    .done.cpu_ticks = stat->cpu_ticks,
	};

	if (seen->known) { /* an earlier process of that pid */
		known.before = work_plus(seen->known->done, seen->known->before);
		give(pass, seen->known->service,
		     work_less(seen->known->done, seen->known->given));
	}
	if (known.service == SERVICE_NONE)
		return;
	if (seen->row)
		grow_by_row(&known, &seen->row->traffic);
	find_limit(pass, &known, stat);
	keep(pass, &known);
	show(pass, &known, stat);
}

/* service: of what it executes now. What it did while it was of none is of that one:
 * only a program that was executed is not known yet. */
static void go_on(struct pass *pass, const struct seen *seen, struct process_stat *stat,
		  uint32_t service)
{
	struct known known = *seen->known;

	grow(&known.done.cpu_ticks, stat->cpu_ticks);
	if (seen->row)
		grow_by_row(&known, &seen->row->traffic);
	if (known.service != SERVICE_NONE && service != known.service) {
		give(pass, known.service, work_less(known.done, known.given));
		known.given = known.done;
	}
	known.service = service;
	if (service != SERVICE_NONE)
		find_limit(pass, &known, stat);
	keep(pass, &known);
	show(pass, &known, stat);
}

/* It is there, as the kernel has it, but not in /proc: about to end, or there was no
 * descriptor or memory to read it with. */
static void wait_for(struct pass *pass, const struct known *known)
{
	keep(pass, known);
	show(pass, known, NULL);
}

static void visit(struct pass *pass, const struct seen *seen)
{
	uint32_t service = seen->member ? seen->member->service : SERVICE_NONE;
	struct process_stat stat;
	int err = -ESRCH;

	if (seen->known || service != SERVICE_NONE)
		err = process_read(pass->processes->reader, seen->pid,
				   seen->known ? seen->known->start_ticks : 0, &stat);
	if (!err && seen->known && is_same(seen->known, &stat))
		go_on(pass, seen, &stat, service);
	else if (!err && seen->member)
		meet(pass, seen, &stat);
	else if (seen->known && (seen->member || (err && err != -ESRCH)))
		wait_for(pass, seen->known);
	else if (seen->known)
		end_known(pass, seen);
	else if (seen->row && !seen->member)
		end_stranger(pass, seen);
}

/* --- the pass --------------------------------------------------------------------- */

static void see_member(void *context, uint32_t pid, const struct tally_process *process)
{
	struct pass *pass = context;
	bool is_observed =
	    !(process->flags & (TALLY_PROCESS_IGNORED | TALLY_PROCESS_UNNAMED));
	struct member *member;

	if (pid == (uint32_t)getpid())
		return;
	member = ADD(&pass->processes->members);
	if (member)
		*member = (struct member){
		    .pid = pid,
		    .service =
			is_observed ? own_id(pass, process->service) : SERVICE_NONE,
		};
	else
		pass->err = -ENOMEM;
}

static void see_row(void *context, uint32_t pid, const struct tally_traffic *traffic)
{
	struct pass *pass = context;
	struct row *row = ADD(&pass->processes->rows);

	if (row)
		*row = (struct row){pid, *traffic};
	else
		pass->err = -ENOMEM;
}

static int read_maps(struct pass *pass)
{
	struct processes *all = pass->processes;
	struct member *self;
	int err = 0;

	all->members.count = all->rows.count = all->next.count = 0;
	self = ADD(&all->members);
	if (!self)
		return -ENOMEM;
	*self = (struct member){(uint32_t)getpid(), SERVICE_SELF};
	if (pass->probes)
		err = drain_processes(probes_map_fd(pass->probes, PROBES_PROCESSES),
				      see_member, pass);
	if (!err && pass->probes)
		err = drain_traffic(probes_map_fd(pass->probes, PROBES_TRAFFIC),
				    see_row, pass);
	SORT(&all->members);
	SORT(&all->rows);
	return err ? err : pass->err;
}

#define PID_AT(list, position)                                                         \
	((position) < (list)->count ? (list)->items[position].pid : PID_NONE)
#define TAKE_AT(list, position, wanted)                                                \
	(PID_AT(list, position) == (wanted) ? &(list)->items[(position)++] : NULL)

static bool next_pid(struct pass *pass, struct seen *ret_seen)
{
	struct processes *all = pass->processes;
	uint64_t pid = PID_AT(&all->members, pass->member);

	if (PID_AT(&all->known, pass->known) < pid)
		pid = PID_AT(&all->known, pass->known);
	if (PID_AT(&all->rows, pass->row) < pid)
		pid = PID_AT(&all->rows, pass->row);
	if (pid == PID_NONE)
		return false;
	*ret_seen = (struct seen){
	    .pid = (uint32_t)pid,
	    .member = TAKE_AT(&all->members, pass->member, pid),
	    .known = TAKE_AT(&all->known, pass->known, pid),
	    .row = TAKE_AT(&all->rows, pass->row, pid),
	};
	return true;
}

static void swap_known(struct processes *all)
{
	typeof(all->known) items = all->known;

	memcpy(&all->known, &all->next, sizeof(all->known));
	memcpy(&all->next, &items, sizeof(all->next));
}

bool processes_observes(const struct processes *processes)
{
	return processes->by != CONFIG_PROCESS_METRICS_OFF && !processes->is_foreign;
}

int processes_collect(struct processes *processes, const struct probes *probes,
		      const struct targets *targets, struct snapshot *snapshot)
{
	bool only_self = !processes_observes(processes);
	struct pass pass = {
	    .processes = processes,
	    .probes = only_self ? NULL : probes,
	    .targets = only_self ? NULL : targets,
	    .snapshot = snapshot,
	};
	struct seen seen;
	int err = read_maps(&pass);

	if (err)
		return err;
	begin_sums(&pass);
	while (next_pid(&pass, &seen))
		visit(&pass, &seen);
	swap_known(processes);
	if (is_summed(&pass))
		show_sums(&pass);
	return pass.err ? pass.err : snapshot->error;
}

/* --- the module ------------------------------------------------------------------- */

/* The kernel says pids of the initial namespace; elsewhere /proc shows others. */
static bool is_foreign(const char *proc_root)
{
	AUTO_FREE char *path = NULL;
	struct stat status;

	if (asprintf(&path, "%s/self/ns/pid", proc_root) < 0) {
		path = NULL;
		return false;
	}
	return !stat(path, &status) && status.st_ino != INITIAL_PID_NAMESPACE;
}

void processes_free(struct processes **processes)
{
	struct processes *all = *processes;

	if (!all)
		return;
	process_reader_free(&all->reader);
	free(all->known.items);
	free(all->next.items);
	free(all->members.items);
	free(all->rows.items);
	free(all->sums.items);
	free(all);
	*processes = NULL;
}

int processes_create(enum config_process_metrics by, const char *proc_root,
		     struct processes **ret_processes)
{
	CLEANUP(processes_free)
	struct processes *processes = calloc(1, sizeof(*processes));
	int err;

	if (!processes)
		return -ENOMEM;
	processes->by = by;
	processes->is_foreign = is_foreign(proc_root);
	err = process_reader_create(proc_root, &processes->reader);
	if (!err)
		*ret_processes = TAKE(processes);
	return err;
}
