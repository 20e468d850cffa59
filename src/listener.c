/* SPDX-License-Identifier: Apache-2.0 */
#include "listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "address.h"
#include "cleanup.h"

#define BACKLOG 128

static int enable(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

static int open_socket(const struct sockaddr_storage *address, socklen_t len,
		       int *ret_fd)
{
	AUTO_CLOSE int fd =
	    socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = enable(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!err && address->ss_family == AF_INET6)
		err = enable(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (err)
		return err;
	if (bind(fd, (const struct sockaddr *)address, len))
		return -errno;
	if (listen(fd, BACKLOG))
		return -errno;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* ":PORT" on a kernel without IPv6 is every IPv4 address. */
int listener_open(const char *address_text, int *ret_fd)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	struct sockaddr_storage address;
	socklen_t len;
	int err = address_parse(address_text, &address, &len);

	if (err)
		return err;
	err = open_socket(&address, len, ret_fd);
	if (err != -EAFNOSUPPORT || address_text[0] != ':')
		return err;
	ipv4.sin_port = ((const struct sockaddr_in6 *)&address)->sin6_port;
	memcpy(&address, &ipv4, sizeof(ipv4));
	return open_socket(&address, sizeof(ipv4), ret_fd);
}

int listener_port(int fd, unsigned int *ret_port)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len))
		return -errno;
	*ret_port = ntohs(address.ss_family == AF_INET
			      ? ((struct sockaddr_in *)&address)->sin_port
			      : ((struct sockaddr_in6 *)&address)->sin6_port);
	return 0;
}
