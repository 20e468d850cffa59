/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a fake /proc (fake_proc.h) that hold numbers. */
#pragma once

#include <inttypes.h>

#include "fake_proc.h"

struct fake_stat {
	const char *name; /* NULL: "x" */
	char state;       /* 0: 'S' */
	uint64_t user_ticks, system_ticks, threads, start_ticks;
	uint64_t virtual_bytes, resident_pages;
	const char *soft_limit; /* NULL: no file limits */
	unsigned int open_fds;
};

static inline void fake_stat_boot(const char *root, uint64_t boot_s)
{
	char path[FAKE_ROOT_LEN + 32];
	FILE *file;

	snprintf(path, sizeof(path), "%s/stat", root);
	file = fopen(path, "we");
	assert_non_null(file);
	fprintf(file,
		"cpu  1 2 3 4\ncpu0 1 2 3 4\nintr 9 0 0\nctxt 1\nbtime %" PRIu64 "\n",
		boot_s);
	fclose(file);
}

static inline void fake_stat_write_limits(const char *root, uint32_t pid,
					  const char *soft_limit)
{
	char text[512];
	int len =
	    snprintf(text, sizeof(text),
		     "Limit                     Soft Limit           Hard Limit        "
		     "   Units\n"
		     "Max cpu time              unlimited            unlimited         "
		     "   seconds\n"
		     "Max open files            %-20s 524288               files     \n"
		     "Max locked memory         8388608              8388608           "
		     "   bytes\n",
		     soft_limit);

	fake_proc_write(root, pid, "limits", text, (size_t)len);
}

static inline void fake_stat_write_fds(const char *root, uint32_t pid,
				       unsigned int count)
{
	char path[FAKE_ROOT_LEN + 32];

	snprintf(path, sizeof(path), "%s/%u/fd", root, pid);
	assert_int_equal(mkdir(path, 0700), 0);
	for (unsigned int i = 0; i < count; i++) {
		char name[32];

		snprintf(name, sizeof(name), "fd/%u", i);
		fake_proc_write(root, pid, name, "", 0);
	}
}

/* Adds the process, or changes it. */
static inline void fake_stat_add(const char *root, uint32_t pid,
				 const struct fake_stat *stat)
{
	char path[FAKE_ROOT_LEN + 32], text[512];
	int len;

	snprintf(path, sizeof(path), "%s/%u", root, pid);
	if (!access(path, F_OK))
		fake_proc_remove(path);
	assert_int_equal(mkdir(path, 0700), 0);
	len = snprintf(
	    text, sizeof(text),
	    "%u (%s) %c 1 7 7 0 -1 4194560 100 200 3 4 %" PRIu64 " %" PRIu64
	    " 55 66 20 0 %" PRIu64 " 0 %" PRIu64 " %" PRIu64 " %" PRIu64
	    " 18446744073709551615 94 95 96 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0\n",
	    pid, stat->name ? stat->name : "x", stat->state ? stat->state : 'S',
	    stat->user_ticks, stat->system_ticks, stat->threads, stat->start_ticks,
	    stat->virtual_bytes, stat->resident_pages);
	fake_proc_write(root, pid, "stat", text, (size_t)len);
	if (stat->soft_limit)
		fake_stat_write_limits(root, pid, stat->soft_limit);
	fake_stat_write_fds(root, pid, stat->open_fds);
}
