/* SPDX-License-Identifier: Apache-2.0 */
/*
 * binaries.h - the files that a function rule names: on disk, so that they are probed
 * before they run, and as processes have them, in whatever mount namespace, deleted or
 * not. It opens them only to learn which they are and never looks into one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

/* A file as the kernel knows it: one, however many paths, containers and layers of an
 * overlay show it. device: major << 20 | minor. */
struct binary_identity {
	uint64_t inode;
	uint64_t device;
};

struct binary {
	char *path;  /* to open it by, now: it may lead through /proc */
	char *shown; /* for people */
	char *root;  /* of its separate debug files: "" or "/proc/PID/root" */
	struct binary_identity identity;
};

struct binaries {
	struct binary *items; /* by identity distinct */
	size_t count;
};

/* Processes, when only some are looked at. */
struct binaries_pids {
	uint32_t *items;
	size_t count;
};

/* Where the loader looks for a library when nothing else is said; NULL at the end. */
extern const char *const binaries_library_directories[];

/* The files to probe: executables, or the libraries if the rule names some. among:
 * only what these processes have, as with the rule's own pids; NULL: all, and what is
 * on disk. -errno. */
int binaries_find(const struct config_function *function,
		  const struct binaries_pids *among, const char *proc_root,
		  struct binaries *ret_binaries);
/* The executables whose processes a rule over libraries selects: as the kernel shows
 * them in its own mappings, and as stat(2) does. */
int binaries_find_exes(const struct config_function *function,
		       const struct binaries_pids *among, const char *proc_root,
		       struct binaries *ret_binaries);
void binaries_free(struct binaries *binaries);
