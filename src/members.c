/* SPDX-License-Identifier: Apache-2.0 */
#include "members.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <sys/pidfd.h>

#include "cleanup.h"
#include "proc.h"
#include "targets.h"

#define PIDS_STEP 16

struct members {
	const struct config *config;
	const char *proc_root;
	const struct subjects *subjects;
	struct uprobes *uprobes;
	struct binaries_pids *pids; /* of each subject */
	bool any;                   /* rule names a service */
	int err;                    /* of the search under way */
};

static const struct config_strings *services_of(const struct members *members,
						const struct subject *subject)
{
	return &members->config->functions[subject->rules[0]].services;
}

int members_create(const struct config *config, const char *proc_root,
		   const struct subjects *subjects, struct uprobes *uprobes,
		   struct members **ret_members)
{
	struct members *members = calloc(1, sizeof(*members));

	if (!members)
		return -ENOMEM;
	members->config = config;
	members->proc_root = proc_root;
	members->subjects = subjects;
	members->uprobes = uprobes;
	members->pids = calloc(subjects->count, sizeof(*members->pids));
	if (!members->pids) {
		members_free(&members);
		return -ENOMEM;
	}
	for (size_t i = 0; i < subjects->count; i++)
		members->any |= services_of(members, &subjects->items[i])->count > 0;
	*ret_members = members;
	return 0;
}

void members_free(struct members **members)
{
	if (!*members)
		return;
	for (size_t i = 0; (*members)->pids && i < (*members)->subjects->count; i++)
		free((*members)->pids[i].items);
	free((*members)->pids);
	free(*members);
	*members = NULL;
}

static bool is_match(const struct config_strings *services, const char *name)
{
	for (size_t i = 0; i < services->count; i++)
		if (!fnmatch(services->items[i], name, 0))
			return true;
	return false;
}

static int append(struct binaries_pids *pids, uint32_t pid)
{
	uint32_t *items;

	if (pids->count % PIDS_STEP == 0) {
		items =
		    reallocarray(pids->items, pids->count + PIDS_STEP, sizeof(*items));
		if (!items)
			return -ENOMEM;
		pids->items = items;
	}
	pids->items[pids->count++] = pid;
	return 0;
}

/* Into the lists, and ret_member; whether it is in any. */
static bool take(struct members *members, uint32_t pid, const char *name,
		 struct tally_function_member *ret_member)
{
	bool is_any = false;

	for (size_t i = 0; i < members->subjects->count; i++) {
		const struct subject *subject = &members->subjects->items[i];

		if (!is_match(services_of(members, subject), name))
			continue;
		is_any = true;
		members->err = append(&members->pids[i], pid);
		for (size_t j = 0; j < subject->count; j++)
			ret_member->rules[subject->rules[j] / 64] |=
			    1ull << subject->rules[j] % 64;
	}
	return is_any;
}

/* The descriptor is older than the name: what is told is told of the process that has
 * it, or of none. */
static void see_process(void *context, uint32_t pid)
{
	struct members *members = context;
	struct tally_function_member member = {};
	AUTO_CLOSE int pidfd = -1;
	char name[TARGETS_NAME_LEN];
	bool is_any;
	int err;

	if (members->err)
		return;
	pidfd = pidfd_open((int)pid, 0);
	if (pidfd < 0 ||
	    !targets_name_of(members->config, members->proc_root, pid, name))
		return;
	is_any = take(members, pid, name, &member);
	if (members->err || !members->uprobes)
		return;
	err = uprobes_set_member(members->uprobes, pidfd, is_any ? &member : NULL);
	members->err = err == -ESRCH ? 0 : err;
}

static void begin(struct members *members)
{
	members->err = 0;
	for (size_t i = 0; i < members->subjects->count; i++)
		members->pids[i].count = 0;
}

int members_find(struct members *members)
{
	begin(members);
	if (members->any)
		proc_each(members->proc_root, see_process, members);
	return members->err;
}

int members_find_one(struct members *members, uint32_t pid)
{
	begin(members);
	if (members->any)
		see_process(members, pid);
	return members->err;
}

const struct binaries_pids *members_of(const struct members *members,
				       const struct subject *subject)
{
	if (!services_of(members, subject)->count)
		return NULL;
	return &members->pids[subject - members->subjects->items];
}
