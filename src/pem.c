/* SPDX-License-Identifier: Apache-2.0 */
#include "pem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

#define PEM_LEN_MAX (4 << 20)

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* A file that changes while it is read fails here or where it is used. */
static int read_bytes(int fd, char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got = read(fd, bytes + done, len - done);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (!got)
			return -EAGAIN;
		done += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

static int read_all(int fd, size_t len, char **ret_bytes)
{
	char *bytes = malloc(len);
	int err = bytes ? read_bytes(fd, bytes, len) : -ENOMEM;

	if (err)
		pem_wipe(&bytes, len);
	else
		*ret_bytes = bytes;
	return err;
}

int pem_load(struct pem *pem, char **ret_bytes, size_t *ret_len)
{
	AUTO_CLOSE int fd = -1;
	struct stat status;
	int err;

	*ret_bytes = NULL;
	if (!pem->path)
		return 0;
	fd = open(pem->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &status))
		return -errno;
	if (pem->is_read && is_same_file(&status, &pem->status))
		return 0;
	if (!status.st_size || status.st_size > PEM_LEN_MAX)
		return status.st_size ? -EFBIG : -ENODATA;
	*ret_len = (size_t)status.st_size;
	err = read_all(fd, *ret_len, ret_bytes);
	pem->is_read = !err;
	pem->status = status;
	return err;
}

void pem_wipe(char **bytes, size_t len)
{
	if (*bytes)
		explicit_bzero(*bytes, len);
	free(*bytes);
	*bytes = NULL;
}
