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

/* --- all of them ------------------------------------------------------------------ */

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
enum line { LINE_SOCKET, LINE_CONNECTION, LINE_OTHER };

static enum line read_line(const char *line, struct listening_socket *ret_socket)
{
	struct listening_socket socket = {0};
	unsigned int port, state;
	unsigned long long inode;
	char hex[33];

	if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %llu", hex,
		   &port, &state, &inode) != 4)
		return LINE_OTHER;
	if (state != STATE_LISTEN)
		return LINE_CONNECTION;
	socket.inode = inode;
	socket.port = (uint16_t)port;
	if (!inode || !write_address(&socket, hex))
		return LINE_OTHER;
	*ret_socket = socket;
	return LINE_SOCKET;
}

/* What is listened on comes first (tcp_get_idx of net/ipv4/tcp_ipv4.c): of a hundred
 * thousand connections behind it no line is read. One that is not there is of a kernel
 * without IPv6. */
static int read_table(struct listening *listening, const char *root, const char *name)
{
	char path[PATH_LEN], line[LINE_LEN];
	AUTO_FCLOSE FILE *file = NULL;
	struct listening_socket socket;
	enum line kind = LINE_OTHER;

	snprintf(path, sizeof(path), "%s/self/net/%s", root, name);
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? 0 : -errno;
	while (kind != LINE_CONNECTION && fgets(line, sizeof(line), file)) {
		kind = read_line(line, &socket);
		if (kind == LINE_SOCKET && !add(listening, &socket))
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

/* --- those of a process ----------------------------------------------------------- */

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

bool listening_has(const char *root, uint32_t pid, unsigned int fd, uint64_t inode)
{
	char process[16], name[32], link[LINK_LEN];
	unsigned long long found;

	snprintf(process, sizeof(process), "%u", pid);
	snprintf(name, sizeof(name), "fd/%u", fd);
	return read_link(root, process, name, link) &&
	       sscanf(link, "socket:[%llu]", &found) == 1 && found == inode;
}

/* One that is gone, or may not be looked at, has none. */
static int open_descriptors(const char *root, const char *process, DIR **ret_directory)
{
	char path[PATH_LEN];
	int err;

	snprintf(path, sizeof(path), "%s/%s/fd", root, process);
	*ret_directory = opendir(path);
	err = *ret_directory ? 0 : errno;
	return err == EMFILE || err == ENFILE || err == ENOMEM ? -err : 0;
}

int listening_some(const struct listening *listening, const char *root, uint32_t pid,
		   long *position, listening_visit visit, void *context)
{
	CLEANUP(close_directory) DIR *directory = NULL;
	char process[16], link[LINK_LEN];
	const struct dirent *entry;
	int err;

	snprintf(process, sizeof(process), "%u", pid);
	if (!listening->count || !is_our_namespace(root, process))
		return 0;
	err = open_descriptors(root, process, &directory);
	if (err || !directory)
		return err;
	/* The kernel's position is a number of a descriptor: good for another opening
	 * (fs/proc/fd.c, proc_readfd_common). */
	if (*position)
		seekdir(directory, *position);
	for (unsigned int i = 0; i < LISTENING_PORTION; i++) {
		char name[sizeof("fd/") + sizeof(entry->d_name)];
		const struct listening_socket *socket;

		entry = readdir(directory);
		if (!entry)
			return 0;
		snprintf(name, sizeof(name), "fd/%s", entry->d_name);
		socket = read_link(root, process, name, link)
			     ? find_socket(listening, link)
			     : NULL;
		if (socket && !visit(context, socket,
				     (unsigned int)strtoul(entry->d_name, NULL, 10)))
			return 0;
	}
	*position = telldir(directory);
	return 1;
}
