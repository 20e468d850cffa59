/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which file a path is, the kernel says best in /proc/self/maps, once the file is
 * mapped: there it names the inode that a uprobe sits on, below every overlay. What
 * stat(2) says of a file on an overlay or a subvolume is another's business.
 */
#include "binaries.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "proc.h"
#include "slice.h"

#define DEVICE(major_number, minor_number)                                             \
	((uint64_t)(major_number) << 20 | (uint64_t)(minor_number))
#define DELETED " (deleted)"
#define BINARIES_MAX 4096 /* of one rule */

/* As ld.so(8) has it, on the distributions. */
const char *const binaries_library_directories[] = {
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/lib",
    "/usr/lib",
    NULL,
};

/* --- identity --------------------------------------------------------------------- */

/* A line of /proc/PID/maps; its path is not looked at. */
struct mapping {
	uint64_t start, end;
	bool executable;
	struct binary_identity identity;
	int path_at; /* index in the line */
};

static bool parse_mapping(const char *line, struct mapping *ret_mapping)
{
	unsigned long start, end, inode;
	unsigned int major_number, minor_number;
	char rights[5];
	int path_at = 0;

	if (sscanf(line, "%lx-%lx %4s %*x %x:%x %lu %n", &start, &end, rights,
		   &major_number, &minor_number, &inode, &path_at) != 6)
		return false;
	*ret_mapping = (struct mapping){
	    .start = start,
	    .end = end,
	    .executable = rights[2] == 'x',
	    .identity = {inode, DEVICE(major_number, minor_number)},
	    .path_at = path_at,
	};
	return inode && path_at;
}

static int identity_of_address(const void *address,
			       struct binary_identity *ret_identity)
{
	AUTO_FCLOSE FILE *maps = fopen("/proc/self/maps", "re");
	AUTO_FREE char *line = NULL;
	size_t size = 0;
	struct mapping mapping;

	if (!maps)
		return -errno;
	while (getline(&line, &size, maps) > 0) {
		if (!parse_mapping(line, &mapping) ||
		    (uintptr_t)address < mapping.start ||
		    (uintptr_t)address >= mapping.end)
			continue;
		*ret_identity = mapping.identity;
		return 0;
	}
	return -ENOENT;
}

/* Of a regular file only. */
static int identify(const char *path, struct binary_identity *ret_identity,
		    struct stat *ret_stat)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	void *address;
	int err;

	if (fd < 0 || fstat(fd, ret_stat))
		return -errno;
	if (!S_ISREG(ret_stat->st_mode) || !ret_stat->st_size)
		return -ENOEXEC;
	address = mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0);
	if (address == MAP_FAILED)
		return -errno;
	err = identity_of_address(address, ret_identity);
	munmap(address, 1);
	return err;
}

/* --- the list --------------------------------------------------------------------- */

void binaries_free(struct binaries *binaries)
{
	for (size_t i = 0; i < binaries->count; i++) {
		free(binaries->items[i].path);
		free(binaries->items[i].shown);
		free(binaries->items[i].root);
	}
	free(binaries->items);
	*binaries = (struct binaries){};
}

static bool has(const struct binaries *binaries, const struct binary_identity *identity)
{
	for (size_t i = 0; i < binaries->count; i++)
		if (binaries->items[i].identity.inode == identity->inode &&
		    binaries->items[i].identity.device == identity->device)
			return true;
	return false;
}

static int append(struct binaries *binaries, const char *path, const char *shown,
		  const char *root, const struct binary_identity *identity)
{
	struct binary *items;
	struct binary *item;

	if (has(binaries, identity))
		return 0;
	if (binaries->count == BINARIES_MAX)
		return -E2BIG;
	items = reallocarray(binaries->items, binaries->count + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	binaries->items = items;
	item = &items[binaries->count++];
	*item = (struct binary){
	    .path = strdup(path),
	    .shown = strdup(shown),
	    .root = strdup(root),
	    .identity = *identity,
	};
	return item->path && item->shown && item->root ? 0 : -ENOMEM;
}

/* What cannot be opened is not there for us. by_stat: as stat(2) sees it, too. */
static int add(struct binaries *binaries, const char *path, const char *shown,
	       const char *root, bool by_stat)
{
	struct binary_identity identity;
	struct stat status;
	int err;

	if (identify(path, &identity, &status))
		return 0;
	err = append(binaries, path, shown, root, &identity);
	if (err || !by_stat)
		return err;
	identity.inode = status.st_ino;
	identity.device = DEVICE(major(status.st_dev), minor(status.st_dev));
	return append(binaries, path, shown, root, &identity);
}

/* --- on disk ---------------------------------------------------------------------- */

/* Of what a glob matches the scripts beside a program are not meant. */
static bool is_elf(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char magic[4];

	return fd >= 0 && read(fd, magic, sizeof(magic)) == sizeof(magic) &&
	       !memcmp(magic, "\177ELF", sizeof(magic));
}

/* root: "", or of the mount namespace that pattern is of. */
static int add_glob(struct binaries *binaries, const char *root, const char *pattern,
		    bool by_stat)
{
	CLEANUP(globfree) glob_t found = {};
	AUTO_FREE char *there = NULL;
	int err = 0;

	if (asprintf(&there, "%s%s", root, pattern) < 0)
		return -ENOMEM;
	if (glob(there, GLOB_NOSORT, NULL, &found))
		return 0;
	for (size_t i = 0; i < found.gl_pathc && !err; i++)
		if (!strpbrk(pattern, "*?[") || is_elf(found.gl_pathv[i]))
			err = add(binaries, found.gl_pathv[i],
				  found.gl_pathv[i] + strlen(root), root, by_stat);
	return err;
}

static int add_library(struct binaries *binaries, const char *root, const char *pattern)
{
	int err = 0;

	if (strchr(pattern, '/'))
		return add_glob(binaries, root, pattern, false);
	for (const char *const *directory = binaries_library_directories;
	     *directory && !err; directory++) {
		AUTO_FREE char *path = NULL;

		if (asprintf(&path, "%s/%s", *directory, pattern) < 0)
			return -ENOMEM;
		err = add_glob(binaries, root, path, false);
	}
	return err;
}

static int add_libraries(struct binaries *binaries, const char *root,
			 const struct config_strings *patterns)
{
	int err = 0;

	for (size_t i = 0; i < patterns->count && !err; i++)
		err = add_library(binaries, root, patterns->items[i]);
	return err;
}

/* --- as processes have them ------------------------------------------------------- */

struct search {
	const struct config_function *function;
	const struct binaries_pids *among;
	const char *proc_root;
	bool exes_by_stat; /* for the kernel's look at a process's exe_file */
	struct binaries *binaries;
	int err;
};

static bool is_match(const struct config_strings *globs, const char *path)
{
	const char *base = strrchr(path, '/');

	for (size_t i = 0; i < globs->count; i++) {
		if (!fnmatch(globs->items[i], path, 0))
			return true;
		if (base && !strchr(globs->items[i], '/') &&
		    !fnmatch(globs->items[i], base + 1, 0))
			return true;
	}
	return false;
}

static bool names_pid(const struct config_function *function, uint32_t pid)
{
	for (size_t i = 0; i < function->pid_count; i++)
		if (function->pids[i] == pid)
			return true;
	return !function->pid_count;
}

/* Its executable's path as its mount namespace sees it; false: not selected. */
static bool selects(const struct search *search, uint32_t pid, char **ret_exe)
{
	AUTO_FREE char *link = NULL;
	char target[4096];
	ssize_t len;

	if (!names_pid(search->function, pid) ||
	    asprintf(&link, "%s/%u/exe", search->proc_root, pid) < 0)
		return false;
	len = readlink(link, target, sizeof(target) - 1);
	if (len <= 0)
		return false;
	target[len] = 0;
	if (slice_ends_with((struct slice){target, (size_t)len}, DELETED))
		target[(size_t)len - strlen(DELETED)] = 0;
	if (search->function->exes.count && !is_match(&search->function->exes, target))
		return false;
	*ret_exe = strdup(target);
	return *ret_exe != NULL;
}

static void see_exe(struct search *search, uint32_t pid, const char *exe)
{
	AUTO_FREE char *path = NULL, *root = NULL;

	if (asprintf(&path, "%s/%u/exe", search->proc_root, pid) < 0 ||
	    asprintf(&root, "%s/%u/root", search->proc_root, pid) < 0)
		search->err = -ENOMEM;
	else
		search->err =
		    add(search->binaries, path, exe, root, search->exes_by_stat);
}

/* In its mount namespace; by the mapping itself when the file has no name any more. */
static void see_library(struct search *search, uint32_t pid,
			const struct mapping *mapping, const char *shown)
{
	AUTO_FREE char *path = NULL, *root = NULL, *there = NULL;
	struct binary_identity identity;
	struct stat status;

	if (has(search->binaries, &mapping->identity))
		return;
	if (asprintf(&root, "%s/%u/root", search->proc_root, pid) < 0 ||
	    asprintf(&path, "%s%s", root, shown) < 0 ||
	    asprintf(&there, "%s/%u/map_files/%lx-%lx", search->proc_root, pid,
		     mapping->start, mapping->end) < 0) {
		search->err = -ENOMEM;
		return;
	}
	if (!identify(path, &identity, &status) &&
	    identity.inode == mapping->identity.inode &&
	    identity.device == mapping->identity.device)
		search->err = append(search->binaries, path, shown, root, &identity);
	else
		search->err =
		    append(search->binaries, there, shown, root, &mapping->identity);
}

/* The kernel shows the file that the link of that name leads to: "libpq.so.5.15", or,
 * of old, "libc-2.31.so". Without the link, deleted, the former is known still. */
static bool is_soname(const char *soname, const char *root, const char *path)
{
	const char *base = strrchr(path, '/') + 1;
	const size_t len = strlen(soname);
	AUTO_FREE char *link = NULL;
	char target[256];
	ssize_t target_len;

	if (!strncmp(base, soname, len) && base[len] == '.' &&
	    isdigit((unsigned char)base[len + 1]))
		return true;
	if (strchr(soname, '/') ||
	    asprintf(&link, "%s%.*s%s", root, (int)(base - path), path, soname) < 0)
		return false;
	target_len = readlink(link, target, sizeof(target));
	return target_len > 0 &&
	       slice_is((struct slice){target, (size_t)target_len}, base);
}

static bool is_library(const struct search *search, uint32_t pid, const char *path)
{
	const struct config_strings *libs = &search->function->libs;
	AUTO_FREE char *root = NULL;

	if (is_match(libs, path))
		return true;
	if (asprintf(&root, "%s/%u/root", search->proc_root, pid) < 0)
		return false;
	for (size_t i = 0; i < libs->count; i++)
		if (is_soname(libs->items[i], root, path))
			return true;
	return false;
}

static bool names_processes(const struct search *search)
{
	return search->among || search->function->pid_count;
}

static void see_mappings(struct search *search, uint32_t pid)
{
	AUTO_FREE char *path = NULL, *line = NULL;
	AUTO_FCLOSE FILE *maps = NULL;
	size_t size = 0;
	struct mapping mapping;

	if (asprintf(&path, "%s/%u/maps", search->proc_root, pid) < 0)
		return;
	maps = fopen(path, "re");
	while (maps && !search->err && getline(&line, &size, maps) > 0) {
		char *shown;

		if (!parse_mapping(line, &mapping) || !mapping.executable)
			continue;
		shown = line + mapping.path_at;
		shown[strcspn(shown, "\n")] = 0;
		if (slice_ends_with(slice_of(shown), DELETED))
			shown[strlen(shown) - strlen(DELETED)] = 0;
		if (*shown == '/' && is_library(search, pid, shown))
			see_library(search, pid, &mapping, shown);
	}
}

/* Those that it may yet load. */
static int add_libraries_of(struct search *search, uint32_t pid)
{
	AUTO_FREE char *root = NULL;

	if (asprintf(&root, "%s/%u/root", search->proc_root, pid) < 0)
		return -ENOMEM;
	return add_libraries(search->binaries, root, &search->function->libs);
}

static void see_process(void *context, uint32_t pid)
{
	struct search *search = context;
	AUTO_FREE char *exe = NULL;

	if (search->err || !selects(search, pid, &exe))
		return;
	if (!search->function->libs.count || search->exes_by_stat) {
		see_exe(search, pid, exe);
		return;
	}
	if (names_processes(search))
		search->err = add_libraries_of(search, pid);
	see_mappings(search, pid);
}

static void see_processes(struct search *search)
{
	if (!search->among)
		proc_each(search->proc_root, see_process, search);
	else
		for (size_t i = 0; i < search->among->count; i++)
			see_process(search, search->among->items[i]);
}

static int find_on_disk(struct search *search)
{
	const struct config_function *function = search->function;
	int err = 0;

	if (function->libs.count && !search->exes_by_stat)
		return add_libraries(search->binaries, "", &function->libs);
	for (size_t i = 0; i < function->exes.count && !err; i++)
		if (strchr(function->exes.items[i], '/'))
			err = add_glob(search->binaries, "", function->exes.items[i],
				       search->exes_by_stat);
	return err;
}

static int find(struct search *search)
{
	*search->binaries = (struct binaries){};
	if (!names_processes(search))
		search->err = find_on_disk(search);
	if (!search->err)
		see_processes(search);
	return search->err;
}

int binaries_find(const struct config_function *function,
		  const struct binaries_pids *among, const char *proc_root,
		  struct binaries *ret_binaries)
{
	struct search search = {
	    .function = function,
	    .among = among,
	    .proc_root = proc_root,
	    .binaries = ret_binaries,
	};

	return find(&search);
}

int binaries_find_exes(const struct config_function *function,
		       const struct binaries_pids *among, const char *proc_root,
		       struct binaries *ret_binaries)
{
	struct search search = {
	    .function = function,
	    .among = among,
	    .proc_root = proc_root,
	    .exes_by_stat = true,
	    .binaries = ret_binaries,
	};

	return find(&search);
}
