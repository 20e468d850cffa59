/* SPDX-License-Identifier: Apache-2.0 */
/* A directory that plays /proc. Includers have included cmocka.h. */
#pragma once

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAKE_ROOT_LEN 64

/* What is NULL is not there, as for a process that may not be read. Lengths
 * that are 0 are those of the string with its NUL. */
struct fake_process {
	const char *exe;
	const char *cmdline;
	size_t cmdline_len;
	const char *environ;
	size_t environ_len;
	const char *cgroup;
	const char *comm;
	uint32_t parent;
	char state; /* 0: 'S' */
};

static inline void fake_proc_create(char ret_root[FAKE_ROOT_LEN])
{
	strcpy(ret_root, "/tmp/bpftally-proc-XXXXXX");
	assert_non_null(mkdtemp(ret_root));
}

static inline int fake_proc_remove_entry(const char *path, const struct stat *status,
					 int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

static inline void fake_proc_remove(const char *root)
{
	assert_int_equal(nftw(root, fake_proc_remove_entry, 8, FTW_DEPTH | FTW_PHYS),
			 0);
}

static inline void fake_proc_write(const char *root, uint32_t pid, const char *name,
				   const void *data, size_t len)
{
	char path[FAKE_ROOT_LEN + 32];
	int fd;

	snprintf(path, sizeof(path), "%s/%u/%s", root, pid, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static inline void fake_proc_end(const char *root, uint32_t pid)
{
	char path[FAKE_ROOT_LEN + 32];

	snprintf(path, sizeof(path), "%s/%u", root, pid);
	fake_proc_remove(path);
}

/* Adds the process, or changes it: exec is a second call. */
static inline void fake_proc_add(const char *root, uint32_t pid,
				 const struct fake_process *process)
{
	char path[FAKE_ROOT_LEN + 32], stat[128];
	size_t cmdline_len = process->cmdline_len, environ_len = process->environ_len;

	snprintf(path, sizeof(path), "%s/%u", root, pid);
	if (!access(path, F_OK))
		fake_proc_remove(path);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%u/exe", root, pid);
	if (process->exe)
		assert_int_equal(symlink(process->exe, path), 0);
	if (process->cmdline && !cmdline_len)
		cmdline_len = strlen(process->cmdline) + 1;
	if (process->environ && !environ_len)
		environ_len = strlen(process->environ) + 1;
	if (process->cmdline)
		fake_proc_write(root, pid, "cmdline", process->cmdline, cmdline_len);
	if (process->environ)
		fake_proc_write(root, pid, "environ", process->environ, environ_len);
	if (process->cgroup)
		fake_proc_write(root, pid, "cgroup", process->cgroup,
				strlen(process->cgroup));
	if (process->comm)
		fake_proc_write(root, pid, "comm", process->comm,
				strlen(process->comm));
	snprintf(stat, sizeof(stat), "%u (%s) %c %u 1 1 0 -1 4194560 100 0\n", pid,
		 process->comm ? process->comm : "x",
		 process->state ? process->state : 'S', process->parent);
	fake_proc_write(root, pid, "stat", stat, strlen(stat));
}
