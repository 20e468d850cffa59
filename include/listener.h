/* SPDX-License-Identifier: Apache-2.0 */
/* The socket that /metrics is served on. */
#pragma once

/* "ADDR:PORT", "[v6]:PORT", or ":PORT", which is every address, IPv6 and IPv4. The
 * caller closes. Errors: -EINVAL (cannot parse), -EADDRINUSE and other errno of
 * bind. */
int listener_open(const char *address, int *ret_fd);
/* The port it has: for :0. -errno. */
int listener_port(int fd, unsigned int *ret_port);
