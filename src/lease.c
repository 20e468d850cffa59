/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

int lease_calls(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* Of several at once there is one signal. */
void lease_forget_calls(int calls_fd)
{
	struct signalfd_siginfo info;

	while (read(calls_fd, &info, sizeof(info)) > 0)
		;
}

int lease_take(int fd)
{
	return fcntl(fd, F_SETLEASE, F_RDLCK) ? -errno : 0;
}

/* While somebody waits, the kernel names what the lease is to become. */
bool lease_is_wanted(int fd)
{
	return fcntl(fd, F_GETLEASE) == F_UNLCK;
}

void lease_give(int fd)
{
	fcntl(fd, F_SETLEASE, F_UNLCK);
}
