/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes are read from the oldest on, so that the first one found with a socket is
 * its holder, and reading ends when none is wanted any more. A socket that nobody has
 * (of a process that is not among them) is wanted once from all, then from processes
 * that are new only: one gets a socket by inheritance, before it is one of these.
 */
#include "holders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "listening.h"
#include "proc.h"

#define PORTIONS_MAX 64 /* of a process: 65,536 descriptors */

struct process {
	uint64_t start_ticks;
	uint32_t pid;
	bool is_new;
	char service[PROC_NAME_LEN];
};

struct crowd {
	struct process *items; /* sorted when it is searched */
	size_t count, capacity;
};

/* Of the socket at the same index. */
struct found {
	uint64_t start_ticks;
	uint32_t pid; /* 0: nobody */
	unsigned int fd;
	bool is_searched; /* all had been asked */
};

struct holders {
	const char *root;
	struct listening listening;
	struct found *found;
	struct crowd now, before;
	size_t wanted; /* sockets that all are searched for */
	bool is_sorted;
	bool is_whole; /* all could be read that had to be */
	/* Where the search is. */
	size_t next;
	long position;
	unsigned int portions;
};

/* --- processes ---------------------------------------------------------------- */

static int by_age(const void *a, const void *b)
{
	const struct process *left = a, *right = b;

	if (left->start_ticks != right->start_ticks)
		return left->start_ticks < right->start_ticks ? -1 : 1;
	return (left->pid > right->pid) - (left->pid < right->pid);
}

static const struct process *find_process(const struct crowd *crowd, uint32_t pid,
					  uint64_t start_ticks)
{
	struct process wanted = {.start_ticks = start_ticks, .pid = pid};

	if (!crowd->count)
		return NULL;
	return bsearch(&wanted, crowd->items, crowd->count, sizeof(wanted), by_age);
}

static bool make_room(struct crowd *crowd)
{
	size_t capacity = crowd->capacity ? 2 * crowd->capacity : 64;
	struct process *items;

	if (crowd->count < crowd->capacity)
		return true;
	if (crowd->count == HOLDERS_PROCESSES_MAX)
		return false;
	items = reallocarray(crowd->items, capacity, sizeof(*items));
	if (!items)
		return false;
	crowd->items = items;
	crowd->capacity = capacity;
	return true;
}

void holders_add(struct holders *holders, uint32_t pid, const char *service)
{
	struct crowd *crowd = &holders->now;
	uint64_t start_ticks = proc_start_ticks(holders->root, pid);
	struct process *process;

	if (!start_ticks || !make_room(crowd))
		return;
	process = &crowd->items[crowd->count++];
	process->start_ticks = start_ticks;
	process->pid = pid;
	snprintf(process->service, sizeof(process->service), "%s", service);
}

/* --- sockets ------------------------------------------------------------------ */

/* Both are sorted by inode. */
static void carry_over(const struct holders *holders, const struct listening *listening,
		       struct found *found)
{
	const struct listening *old = &holders->listening;
	size_t from = 0;

	for (size_t i = 0; i < listening->count; i++) {
		uint64_t inode = listening->sockets[i].inode;

		while (from < old->count && old->sockets[from].inode < inode)
			from++;
		if (from < old->count && old->sockets[from].inode == inode)
			found[i] = holders->found[from];
	}
}

int holders_begin(struct holders *holders)
{
	CLEANUP(listening_free) struct listening listening = {0};
	struct crowd before = holders->before;
	struct found *found;
	int err = listening_read(holders->root, &listening);

	if (err)
		return err;
	found = calloc(listening.count + 1, sizeof(*found));
	if (!found)
		return -ENOMEM;
	carry_over(holders, &listening, found);
	free(holders->found);
	holders->found = found;
	listening_free(&holders->listening);
	holders->listening = listening;
	listening = (struct listening){0};
	holders->before = holders->now;
	holders->now = before;
	holders->now.count = 0;
	holders->is_sorted = false;
	return 0;
}

/* --- the search --------------------------------------------------------------- */

static void want(struct holders *holders, size_t index)
{
	struct found *found = &holders->found[index];

	if (found->pid &&
	    (!find_process(&holders->now, found->pid, found->start_ticks) ||
	     !listening_has(holders->root, found->pid, found->fd,
			    holders->listening.sockets[index].inode)))
		*found = (struct found){0};
	holders->wanted += !found->pid && !found->is_searched;
}

static void sort(struct holders *holders)
{
	struct crowd *now = &holders->now;

	if (now->count)
		qsort(now->items, now->count, sizeof(*now->items), by_age);
	for (size_t i = 0; i < now->count; i++)
		now->items[i].is_new = !find_process(
		    &holders->before, now->items[i].pid, now->items[i].start_ticks);
	holders->wanted = 0;
	for (size_t i = 0; i < holders->listening.count; i++)
		want(holders, i);
	holders->is_sorted = true;
	holders->is_whole = true;
	holders->next = 0;
	holders->position = 0;
	holders->portions = 0;
}

static bool see_socket(void *context, const struct listening_socket *socket,
		       unsigned int fd)
{
	struct holders *holders = context;
	const struct process *process = &holders->now.items[holders->next];
	struct found *found = &holders->found[socket - holders->listening.sockets];
	const struct process holder = {.start_ticks = found->start_ticks,
				       .pid = found->pid};

	if (!found->pid || by_age(process, &holder) < 0) {
		holders->wanted -= !found->pid && !found->is_searched;
		found->start_ticks = process->start_ticks;
		found->pid = process->pid;
		found->fd = fd;
	}
	return process->is_new || holders->wanted;
}

/* Whether there may be more of the process. */
static bool read_some(struct holders *holders)
{
	int more = listening_some(&holders->listening, holders->root,
				  holders->now.items[holders->next].pid,
				  &holders->position, see_socket, holders);

	if (more < 0)
		holders->is_whole = false;
	return more > 0 && ++holders->portions < PORTIONS_MAX;
}

/* What could not be searched everywhere is wanted again. */
static void finish(struct holders *holders)
{
	for (size_t i = 0; i < holders->listening.count; i++)
		holders->found[i].is_searched = holders->is_whole;
}

bool holders_go_on(struct holders *holders)
{
	if (!holders->is_sorted)
		sort(holders);
	while (holders->next < holders->now.count && !holders->wanted &&
	       !holders->now.items[holders->next].is_new)
		holders->next++;
	if (holders->next == holders->now.count) {
		finish(holders);
		return false;
	}
	if (!read_some(holders)) {
		holders->next++;
		holders->position = 0;
		holders->portions = 0;
	}
	return true;
}

void holders_each(const struct holders *holders, holders_visit visit, void *context)
{
	for (size_t i = 0; i < holders->listening.count; i++) {
		const struct found *found = &holders->found[i];
		const struct process *process =
		    found->pid
			? find_process(&holders->now, found->pid, found->start_ticks)
			: NULL;
		struct holder holder;

		if (!process)
			continue;
		holder = (struct holder){process->pid, process->start_ticks,
					 process->service};
		visit(context, &holders->listening.sockets[i], &holder);
	}
}

/* --- life --------------------------------------------------------------------- */

int holders_create(const char *root, struct holders **ret_holders)
{
	struct holders *holders = calloc(1, sizeof(*holders));

	if (!holders)
		return -ENOMEM;
	holders->root = root;
	*ret_holders = holders;
	return 0;
}

void holders_free(struct holders **holders)
{
	if (!*holders)
		return;
	listening_free(&(*holders)->listening);
	free((*holders)->found);
	free((*holders)->now.items);
	free((*holders)->before.items);
	free(*holders);
	*holders = NULL;
}
