/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/net/tcp has a line for each socket, /proc/PID/fd a link "socket:[INODE]" for
 * each that the process has open.
 */
#include "listening.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

#define STATE_LISTEN 0x0a /* TCP_LISTEN */
#define LINE_LEN 512
#define PATH_LEN 512
#define LINK_LEN 64
#define DESCRIPTORS_MAX 65536 /* of a process */
#define OWN_MAX 256           /* listening ones of a process */

/* --- all of them
 * -------------------------------------------------------------------------- */

static bool add(struct listening *listening, const struct listening_socket *socket)
{
	struct listening_socket *sockets;

	if (listening->count == LISTENING_SOCKETS_MAX)
		return true;
	/* Powers of two: few allocations, and no field for the capacity. */
	if (!(listening->count & (listening->count - 1))) {
		sockets = reallocarray(listening->sockets,
				       listening->count ? listening->count * 2 : 1,
				       sizeof(*sockets));
		if (!sockets)
			return false;
		listening->sockets = sockets;
	}
	listening->sockets[listening->count++] = *socket;
	return true;
}

/* The kernel prints an address as 32-bit words in this machine's order. */
static bool read_address(const char *hex, uint32_t *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (sscanf(hex + 8 * i, "%8x", &words[i]) != 1)
			return false;
	}
	return true;
}

/* What is bound to all addresses is asked at this host's own. */
static bool write_address(struct listening_socket *socket, const char *hex)
{
	bool is_v6 = strlen(hex) == 32;
	char text[INET6_ADDRSTRLEN];
	uint32_t words[4] = {0};

	if ((!is_v6 && strlen(hex) != 8) || !read_address(hex, words, is_v6 ? 4 : 1))
		return false;
	if (!words[0] && !words[1] && !words[2] && !words[3])
		words[is_v6 ? 3 : 0] = is_v6 ? htonl(1) : htonl(INADDR_LOOPBACK);
	if (!inet_ntop(is_v6 ? AF_INET6 : AF_INET, words, text, sizeof(text)))
		return false;
	snprintf(socket->address, sizeof(socket->address), is_v6 ? "[%s]:%u" : "%s:%u",
		 text, socket->port);
	return true;
}

/* "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ..." */
static bool read_line(const char *line, struct listening_socket *ret_socket)
{
	struct listening_socket socket = {0};
	unsigned int port, state;
	unsigned long long inode;
	char hex[33];

	if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %llu", hex,
		   &port, &state, &inode) != 4)
		return false;
	if (state != STATE_LISTEN || !inode)
		return false;
	socket.inode = inode;
	socket.port = (uint16_t)port;
	if (!write_address(&socket, hex))
		return false;
	*ret_socket = socket;
	return true;
}

/* One that is not there is of a kernel without IPv6. */
static int read_table(struct listening *listening, const char *root, const char *name)
{
	char path[PATH_LEN], line[LINE_LEN];
	AUTO_FCLOSE FILE *file = NULL;
	struct listening_socket socket;

	snprintf(path, sizeof(path), "%s/self/net/%s", root, name);
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? 0 : -errno;
	while (fgets(line, sizeof(line), file)) {
		if (read_line(line, &socket) && !add(listening, &socket))
			return -ENOMEM;
	}
	return 0;
}

static int by_inode(const void *a, const void *b)
{
	const struct listening_socket *left = a, *right = b;

	return (left->inode > right->inode) - (left->inode < right->inode);
}

int listening_read(const char *root, struct listening *ret_listening)
{
	CLEANUP(listening_free) struct listening listening = {0};
	int err = read_table(&listening, root, "tcp");

	if (!err)
		err = read_table(&listening, root, "tcp6");
	if (err)
		return err;
	if (listening.count)
		qsort(listening.sockets, listening.count, sizeof(*listening.sockets),
		      by_inode);
	*ret_listening = listening;
	listening = (struct listening){0};
	return 0;
}

void listening_free(struct listening *listening)
{
	free(listening->sockets);
	*listening = (struct listening){0};
}

/* --- those of a process
 * --------------------------------------------------------------------- */

static bool read_link(const char *root, const char *process, const char *name,
		      char ret_text[LINK_LEN])
{
	char path[PATH_LEN];
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%s/%s", root, process, name);
	len = readlink(path, ret_text, LINK_LEN - 1);
	if (len <= 0)
		return false;
	ret_text[len] = 0;
	return true;
}

static bool is_our_namespace(const char *root, const char *process)
{
	char ours[LINK_LEN], other[LINK_LEN];

	return read_link(root, "self", "ns/net", ours) &&
	       read_link(root, process, "ns/net", other) && !strcmp(ours, other);
}

static void close_directory(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

static const struct listening_socket *find_socket(const struct listening *listening,
						  const char *link)
{
	struct listening_socket wanted = {0};
	unsigned long long inode;

	if (sscanf(link, "socket:[%llu]", &inode) != 1)
		return NULL;
	wanted.inode = inode;
	return bsearch(&wanted, listening->sockets, listening->count, sizeof(wanted),
		       by_inode);
}

/* A descriptor may have been duplicated. */
static bool is_new(const struct listening_socket **own, size_t *count,
		   const struct listening_socket *socket)
{
	for (size_t i = 0; i < *count; i++) {
		if (own[i] == socket)
			return false;
	}
	if (*count == OWN_MAX)
		return false;
	own[(*count)++] = socket;
	return true;
}

void listening_each(const struct listening *listening, const char *root, uint32_t pid,
		    listening_visit visit, void *context)
{
	const struct listening_socket *own[OWN_MAX], *socket;
	CLEANUP(close_directory) DIR *directory = NULL;
	char process[16], path[PATH_LEN], link[LINK_LEN];
	const struct dirent *entry;
	size_t count = 0;

	snprintf(process, sizeof(process), "%u", pid);
	if (!listening->count || !is_our_namespace(root, process))
		return;
	snprintf(path, sizeof(path), "%s/%s/fd", root, process);
	directory = opendir(path);
	for (size_t i = 0; directory && i < DESCRIPTORS_MAX; i++) {
		char name[sizeof("fd/") + sizeof(entry->d_name)];

		entry = readdir(directory);
		if (!entry)
			break;
		snprintf(name, sizeof(name), "fd/%s", entry->d_name);
		if (!read_link(root, process, name, link))
			continue;
		socket = find_socket(listening, link);
		if (socket && is_new(own, &count, socket))
			visit(context, socket);
	}
}
