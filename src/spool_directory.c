/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path is walked component by component from the root, each looked at through
 * the descriptor of the one before: what was judged is what is used. A directory is
 * safe if only root or we can write to it; in one that is sticky (/tmp) others can
 * add entries but not replace ours. SQLite gets the resolved path, which is safe all
 * along and so stays the same.
 */
#include "spool_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

#define FILE_NAME "spool.db"
#define LOG_SUFFIX "-wal"
#define SET_ASIDE FILE_NAME ".corrupt-"
#define NAME_LEN 64
#define COMPONENT_LEN (NAME_MAX + 2) /* what is longer stays too long */
#define LINKS_MAX 40                 /* as the kernel's */

struct spool_directory {
	int fd;
	dev_t device; /* of the file that was made or found last */
	ino_t inode;
	char file[PATH_MAX];
};

/* Where the walk along a path is. */
struct walk {
	int fd;
	unsigned int links;
	char resolved[PATH_MAX]; /* "" is the root */
	char rest[PATH_MAX];
	char *error;
	size_t error_len;
};

static bool is_ours(const struct stat *stat)
{
	return stat->st_uid == 0 || stat->st_uid == geteuid();
}

/* Whether others may add entries. */
static bool is_open_to_others(const struct stat *stat)
{
	bool own_group = stat->st_gid == 0 || stat->st_gid == getegid();

	return (stat->st_mode & S_IWOTH) || ((stat->st_mode & S_IWGRP) && !own_group);
}

static int refuse(struct walk *walk, int err, const char *name, const char *why)
{
	snprintf(walk->error, walk->error_len, "\"%s%s%s\" %s", walk->resolved,
		 *name || !*walk->resolved ? "/" : "", name, why);
	return err;
}

static int refuse_errno(struct walk *walk, int err, const char *name)
{
	return refuse(walk, err, name, strerror(-err));
}

static int enter(struct walk *walk, const char *name)
{
	size_t len = strlen(walk->resolved);
	int fd = openat(walk->fd, *name ? name : "/",
			O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return refuse_errno(walk, -errno, name);
	if (walk->fd >= 0)
		close(walk->fd);
	walk->fd = fd;
	if (!strcmp(name, ".."))
		*(strrchr(walk->resolved, '/') ?: walk->resolved) = 0;
	else if (*name && (size_t)snprintf(walk->resolved + len, PATH_MAX - len, "/%s",
					   name) >= PATH_MAX - len)
		return refuse_errno(walk, -ENAMETOOLONG, "");
	return 0;
}

static int enter_root(struct walk *walk)
{
	walk->resolved[0] = 0;
	return enter(walk, "");
}

static int follow(struct walk *walk, const char *name)
{
	char target[PATH_MAX], rest[PATH_MAX];
	ssize_t len = readlinkat(walk->fd, name, target, sizeof(target) - 1);

	if (len < 0)
		return refuse_errno(walk, -errno, name);
	target[len] = 0;
	if (++walk->links > LINKS_MAX)
		return refuse_errno(walk, -ELOOP, name);
	if ((size_t)snprintf(rest, sizeof(rest), "%s/%s", target, walk->rest) >=
	    sizeof(rest))
		return refuse_errno(walk, -ENAMETOOLONG, name);
	memcpy(walk->rest, rest, sizeof(rest));
	return *target == '/' ? enter_root(walk) : 0;
}

/* The next component, cut off the rest; "" at the end. */
static void cut(struct walk *walk, char name[COMPONENT_LEN])
{
	char *start = walk->rest + strspn(walk->rest, "/");
	size_t len = strcspn(start, "/"),
	       kept = len < COMPONENT_LEN ? len : COMPONENT_LEN - 1;

	memcpy(name, start, kept);
	name[kept] = 0;
	memmove(walk->rest, start + len, strlen(start + len) + 1);
}

static bool is_last(const struct walk *walk)
{
	return !walk->rest[strspn(walk->rest, "/")];
}

static int make(struct walk *walk, const char *name)
{
	if (!is_last(walk) || mkdirat(walk->fd, name, 0700))
		return refuse_errno(walk, is_last(walk) ? -errno : -ENOENT, name);
	return enter(walk, name);
}

static int step(struct walk *walk, const char *name)
{
	struct stat here, next;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return name[1] ? enter(walk, name) : 0;
	if (fstat(walk->fd, &here))
		return refuse_errno(walk, -errno, "");
	if (!is_ours(&here) || (is_open_to_others(&here) && !(here.st_mode & S_ISVTX)))
		return refuse(walk, -EPERM, "", "can be changed by other users");
	if (fstatat(walk->fd, name, &next, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? make(walk, name)
				       : refuse_errno(walk, -errno, name);
	if (!is_ours(&next))
		return refuse(walk, -EPERM, name, "belongs to another user");
	if (S_ISLNK(next.st_mode))
		return follow(walk, name);
	return enter(walk, name);
}

static int check_end(struct walk *walk)
{
	struct stat here;

	if (fstat(walk->fd, &here))
		return refuse_errno(walk, -errno, "");
	if (here.st_uid != geteuid())
		return refuse(walk, -EPERM, "", "belongs to another user");
	if (is_open_to_others(&here))
		return refuse(walk, -EPERM, "", "can be changed by other users");
	return 0;
}

static int walk_along(struct walk *walk, const char *path)
{
	char name[COMPONENT_LEN], here[PATH_MAX] = "";
	int err;

	if (*path != '/' && !getcwd(here, sizeof(here)))
		return refuse_errno(walk, -errno, path);
	if ((size_t)snprintf(walk->rest, PATH_MAX, "%s/%s", here, path) >= PATH_MAX)
		return refuse_errno(walk, -ENAMETOOLONG, "");
	err = enter_root(walk);
	for (cut(walk, name); !err && *name; cut(walk, name))
		err = step(walk, name);
	return err ? err : check_end(walk);
}

/* The directory itself is locked: that takes no room on a disk that is full. Where
 * directories cannot be locked (NFS), SQLite's lock of the file is left. */
static int lock(struct walk *walk, struct spool_directory *directory)
{
	directory->fd = openat(walk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory->fd < 0)
		return refuse_errno(walk, -errno, "");
	if (flock(directory->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
		return refuse(walk, -EBUSY, "", "is in use by another process");
	if ((size_t)snprintf(directory->file, PATH_MAX, "%s/" FILE_NAME,
			     walk->resolved) >= PATH_MAX - NAME_LEN)
		return refuse_errno(walk, -ENAMETOOLONG, "");
	return 0;
}

int spool_directory_open(const char *path, struct spool_directory **ret_directory,
			 char *error, size_t error_len)
{
	CLEANUP(spool_directory_close)
	struct spool_directory *directory = calloc(1, sizeof(*directory));
	AUTO_FREE struct walk *walk = calloc(1, sizeof(*walk));
	int err;

	if (!directory || !walk) {
		snprintf(error, error_len, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	*walk = (struct walk){.fd = -1, .error = error, .error_len = error_len};
	directory->fd = -1;
	err = walk_along(walk, path);
	if (!err)
		err = lock(walk, directory);
	if (walk->fd >= 0)
		close(walk->fd);
	if (!err)
		*ret_directory = TAKE(directory);
	return err;
}

void spool_directory_close(struct spool_directory **directory)
{
	if (!*directory)
		return;
	if ((*directory)->fd >= 0)
		close((*directory)->fd);
	free(*directory);
	*directory = NULL;
}

const char *spool_directory_file(const struct spool_directory *directory)
{
	return directory->file;
}

/* --- the files in it ---------------------------------------------------------- */

static uint64_t size_of(const struct spool_directory *directory, const char *name)
{
	struct stat stat;

	if (fstatat(directory->fd, name, &stat, AT_SYMLINK_NOFOLLOW) ||
	    stat.st_size < 0)
		return 0;
	return (uint64_t)stat.st_size;
}

/* Its descriptor is closed before SQLite opens the file: closing any of them ends
 * all locks that a process has on it (fcntl(2)). */
int spool_directory_make_file(struct spool_directory *directory)
{
	AUTO_CLOSE int fd =
	    openat(directory->fd, FILE_NAME,
		   O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat stat;

	if (fd < 0)
		return errno == ELOOP ? -EPERM : -errno;
	if (fstat(fd, &stat))
		return -errno;
	if (!S_ISREG(stat.st_mode) || stat.st_uid != geteuid() || stat.st_nlink != 1)
		return -EPERM;
	directory->device = stat.st_dev;
	directory->inode = stat.st_ino;
	if ((stat.st_mode & 077) && fchmod(fd, 0600))
		return -errno;
	if (stat.st_size)
		return 0;
	if (size_of(directory, FILE_NAME LOG_SUFFIX))
		return -EUCLEAN;
	return fsync(directory->fd) ? -errno : 0;
}

bool spool_directory_has_file(const struct spool_directory *directory)
{
	struct stat stat;

	return !fstatat(directory->fd, FILE_NAME, &stat, AT_SYMLINK_NOFOLLOW) &&
	       stat.st_dev == directory->device && stat.st_ino == directory->inode;
}

/* What is there of files that were set aside. */
struct set_aside {
	unsigned int count;
	uint64_t bytes;
	int64_t oldest;
};

static void remove_set_aside(const struct spool_directory *directory, int64_t time)
{
	char name[NAME_LEN];

	snprintf(name, sizeof(name), SET_ASIDE "%" PRId64 LOG_SUFFIX, time);
	unlinkat(directory->fd, name, 0);
	name[strlen(name) - strlen(LOG_SUFFIX)] = 0;
	unlinkat(directory->fd, name, 0);
}

static void add_set_aside(const struct spool_directory *directory, const char *name,
			  struct set_aside *found)
{
	const char *number = name + strlen(SET_ASIDE);
	char *end;
	int64_t time;

	if (strncmp(name, SET_ASIDE, strlen(SET_ASIDE)) != 0)
		return;
	time = strtoll(number, &end, 10);
	if (end == number || (*end && strcmp(end, LOG_SUFFIX) != 0))
		return;
	found->bytes += size_of(directory, name);
	found->count += !*end;
	if (time < found->oldest)
		found->oldest = time;
}

static void close_listing(DIR **listing)
{
	if (*listing)
		closedir(*listing);
}

static int look_at_set_aside(const struct spool_directory *directory,
			     struct set_aside *ret_found)
{
	int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_listing) DIR *listing = fd < 0 ? NULL : fdopendir(fd);
	struct set_aside found = {.oldest = INT64_MAX};

	if (!listing) {
		int err = -errno;

		if (fd >= 0)
			close(fd);
		return err;
	}
	for (struct dirent *entry; (entry = readdir(listing));)
		add_set_aside(directory, entry->d_name, &found);
	*ret_found = found;
	return 0;
}

static int prune(const struct spool_directory *directory, uint64_t bytes_max)
{
	struct set_aside found = {0}, before = {.count = UINT_MAX};

	for (;;) {
		int err = look_at_set_aside(directory, &found);

		if (err ||
		    (found.count <= SPOOL_SET_ASIDE_MAX && found.bytes <= bytes_max))
			return err;
		/* None could be removed: there is no point in going on. */
		if (found.count == before.count && found.bytes == before.bytes)
			return -EIO;
		remove_set_aside(directory, found.oldest);
		before = found;
	}
}

static bool exists(const struct spool_directory *directory, const char *name)
{
	return !faccessat(directory->fd, name, F_OK, AT_SYMLINK_NOFOLLOW);
}

int spool_directory_set_aside(const struct spool_directory *directory, int64_t now_ms,
			      uint64_t bytes_max, char *ret_name, size_t name_len)
{
	char name[NAME_LEN], log[NAME_LEN + sizeof(LOG_SUFFIX)];
	int fd = directory->fd;

	do {
		snprintf(name, sizeof(name), SET_ASIDE "%" PRId64, now_ms++);
	} while (exists(directory, name));
	snprintf(log, sizeof(log), "%s" LOG_SUFFIX, name);
	/* The log first: alone it would be taken for that of the next file. */
	if (renameat(fd, FILE_NAME LOG_SUFFIX, fd, log) && errno != ENOENT)
		return -errno;
	if (renameat(fd, FILE_NAME, fd, name) && errno != ENOENT)
		return -errno;
	snprintf(ret_name, name_len, "%s", name);
	return prune(directory, bytes_max);
}
