/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cleanup.h"

#define WATCHES_MIN 32

struct watch {
	loop_callback callback; /* NULL: not watched */
	void *context;
};

struct loop {
	int epoll_fd;
	bool stopped;
	struct watch *watches; /* indexed by descriptor: RLIMIT_NOFILE bounds it */
	size_t watch_count;
};

struct loop_timer {
	struct loop *loop;
	int fd;
	loop_timeout timeout;
	void *context;
};

int loop_create(struct loop **ret_loop)
{
	AUTO_FREE struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	*ret_loop = TAKE(loop);
	return 0;
}

void loop_free(struct loop **loop)
{
	if (!*loop)
		return;
	close((*loop)->epoll_fd);
	free((*loop)->watches);
	free(*loop);
	*loop = NULL;
}

static int make_room_for(struct loop *loop, int fd)
{
	size_t count = loop->watch_count ? loop->watch_count : WATCHES_MIN;
	struct watch *watches;

	while (count <= (size_t)fd)
		count *= 2;
	if (count == loop->watch_count)
		return 0;
	watches = reallocarray(loop->watches, count, sizeof(*watches));
	if (!watches)
		return -ENOMEM;
	for (size_t i = loop->watch_count; i < count; i++)
		watches[i] = (struct watch){0};
	loop->watches = watches;
	loop->watch_count = count;
	return 0;
}

/* The kernel forgets a descriptor that was closed while watched, and its number
 * may have come back since: so what epoll holds is asked, not remembered. */
static int epoll_set(struct loop *loop, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (!epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event))
		return 0;
	if (errno != ENOENT)
		return -errno;
	if (!epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return 0;
	return -errno;
}

int loop_watch(struct loop *loop, int fd, uint32_t events, loop_callback callback,
	       void *context)
{
	int err;

	if (fd < 0)
		return -EBADF;
	err = make_room_for(loop, fd);
	if (err)
		return err;
	err = epoll_set(loop, fd, events);
	if (err)
		return err;
	loop->watches[fd] = (struct watch){.callback = callback, .context = context};
	return 0;
}

void loop_unwatch(struct loop *loop, int fd)
{
	if (fd < 0 || (size_t)fd >= loop->watch_count || !loop->watches[fd].callback)
		return;
	loop->watches[fd] = (struct watch){0};
	/* Fails only where the descriptor was closed first, which did the work. */
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void timer_expired(void *context, uint32_t events)
{
	struct loop_timer *timer = context;
	uint64_t expirations;

	(void)events;
	if (read(timer->fd, &expirations, sizeof(expirations)) != sizeof(expirations))
		return;
	/* Last use of timer: the callback may free it. */
	timer->timeout(timer->context);
}

int loop_timer_create(struct loop *loop, loop_timeout timeout, void *context,
		      struct loop_timer **ret_timer)
{
	AUTO_FREE struct loop_timer *timer = calloc(1, sizeof(*timer));
	AUTO_CLOSE int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	int err = fd < 0 ? -errno : 0;

	if (!timer)
		return -ENOMEM;
	if (err)
		return err;
	err = loop_watch(loop, fd, EPOLLIN, timer_expired, timer);
	if (err)
		return err;
	*timer = (struct loop_timer){
	    .loop = loop,
	    .fd = fd,
	    .timeout = timeout,
	    .context = context,
	};
	fd = -1;
	*ret_timer = TAKE(timer);
	return 0;
}

static struct timespec milliseconds(uint64_t ms)
{
	return (struct timespec){
	    .tv_sec = (time_t)(ms / 1000),
	    .tv_nsec = (long)(ms % 1000) * 1000000,
	};
}

int loop_timer_arm(struct loop_timer *timer, uint64_t delay_ms, uint64_t period_ms)
{
	struct itimerspec when = {
	    .it_value = milliseconds(delay_ms),
	    .it_interval = milliseconds(period_ms),
	};

	if (!delay_ms)
		when.it_value.tv_nsec = 1; /* zero would disarm */
	return timerfd_settime(timer->fd, 0, &when, NULL) ? -errno : 0;
}

void loop_timer_disarm(struct loop_timer *timer)
{
	struct itimerspec never = {0};

	/* Also takes back an expiry that nobody has read yet. Cannot fail: the
	 * descriptor is a timerfd and the value is valid. */
	timerfd_settime(timer->fd, 0, &never, NULL);
}

void loop_timer_free(struct loop_timer **timer)
{
	if (!*timer)
		return;
	loop_unwatch((*timer)->loop, (*timer)->fd);
	close((*timer)->fd);
	free(*timer);
	*timer = NULL;
}

/* One event a wait: a callback may close, unwatch or re-use any descriptor, and
 * an event fetched with others before that would be about the past. epoll
 * rotates its ready list, so every ready descriptor gets its turn. */
static int run_once(struct loop *loop)
{
	struct epoll_event event;
	struct watch watch;
	int count = epoll_wait(loop->epoll_fd, &event, 1, -1);

	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	if (!count)
		return 0;
	watch = loop->watches[event.data.fd];
	if (watch.callback)
		watch.callback(watch.context, event.events);
	return 0;
}

int loop_run(struct loop *loop)
{
	int err = 0;

	while (!loop->stopped && !err)
		err = run_once(loop);
	loop->stopped = false;
	return err;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}
