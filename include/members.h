/* SPDX-License-Identifier: Apache-2.0 */
/*
 * members.h - the processes that rules select by the name of their service: found,
 * told to the kernel, and listed for each subject until the next search. A name is
 * read once for all rules. It does not know what is probed.
 */
#pragma once

#include <stdint.h>

#include "binaries.h"
#include "config.h"
#include "subjects.h"
#include "uprobes.h"

struct members;

/* All that is given must outlive it. uprobes NULL: no kernel is told. -ENOMEM. */
int members_create(const struct config *config, const char *proc_root,
		   const struct subjects *subjects, struct uprobes *uprobes,
		   struct members **ret_members);
void members_free(struct members **members);
/* Among all processes; asks none when no rule names a service. -ENOMEM, or why the
 * kernel could not be told. */
int members_find(struct members *members);
/* Only whether this one is: the lists are of it alone. */
int members_find_one(struct members *members, uint32_t pid);
/* NULL: the subject's rules name no service, so every process may have its files. */
const struct binaries_pids *members_of(const struct members *members,
				       const struct subject *subject);
