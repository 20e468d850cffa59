/* SPDX-License-Identifier: Apache-2.0 */
/* A read lease (fcntl(2), F_SETLEASE): who opens the file to write waits until it is
 * given back, at most /proc/sys/fs/lease-break-time, by which the kernel takes it. It
 * owns no descriptor. File systems may have none: what needs it must do without. */
#pragma once

#include <stdbool.h>

/* Makes the calls to give back readable at a descriptor, which the caller closes:
 * blocks SIGIO, so threads are started after it. -errno. */
int lease_calls(void);
/* Forgets the calls so far; then ask of each file. */
void lease_forget_calls(int calls_fd);

/* fd: opened to read only. 0; -EAGAIN: it is open to write somewhere; or why there are
 * no leases on it. */
int lease_take(int fd);
/* Of a file with a lease: whether somebody waits for it. */
bool lease_is_wanted(int fd);
/* No harm without a lease. */
void lease_give(int fd);
