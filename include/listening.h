/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listening.h - which TCP sockets of a network namespace are listened on, and which of
 * them a process has. Ours alone: a port of another namespace cannot be reached by its
 * number. The root is a parameter so that a directory can play /proc.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LISTENING_ADDRESS_LEN 64

struct listening_socket {
	uint64_t inode;
	uint16_t port;
	char address[LISTENING_ADDRESS_LEN]; /* to connect to: "127.0.0.1:80" */
};

/* Zeroed: none. */
struct listening {
	struct listening_socket *sockets; /* by inode */
	size_t count;
};

/* What there is now, at most so many. -errno, -ENOMEM; then there are none. */
#define LISTENING_SOCKETS_MAX 65536
int listening_read(const char *root, struct listening *ret_listening);
void listening_free(struct listening *listening);
/* Those that the process has open, by the order of its descriptors; false: enough. */
typedef bool (*listening_visit)(void *context, const struct listening_socket *socket,
				unsigned int fd);
/* Looks at so many descriptors, from *position (0: the first) on, which becomes the
 * next portion's. 1: there may be more; 0: no more; -errno: no descriptor left,
 * -ENOMEM. */
#define LISTENING_PORTION 1024
int listening_some(const struct listening *listening, const char *root, uint32_t pid,
		   long *position, listening_visit visit, void *context);
/* Whether a descriptor that was found still is that socket. */
bool listening_has(const char *root, uint32_t pid, unsigned int fd, uint64_t inode);
