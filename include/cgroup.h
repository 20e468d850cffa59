/* SPDX-License-Identifier: Apache-2.0 */
/* The systemd unit or container that a process's cgroup says it belongs to. Pure:
 * it is given the text of /proc/PID/cgroup and opens nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "slice.h"

/* The unit without ".service" (a template keeps its instance), or 12 hex digits
 * of the container's id, or the name of an LXC container. False, and nothing
 * written: neither (scopes of sessions and desktop programs, user managers). */
bool cgroup_name(struct slice cgroup, char *ret_name, size_t size);
