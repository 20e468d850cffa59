/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's one thread: epoll over descriptors and timerfds. Nothing here
 * wakes by itself; without a descriptor ready or a timer armed it sleeps. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_timer;

int loop_create(struct loop **ret_loop);
void loop_free(struct loop **loop);

/* Calls back with the epoll events; the descriptor stays the caller's. Watching
 * a watched fd changes its events and callback. Errors: -errno of epoll_ctl. */
typedef void (*loop_callback)(void *context, uint32_t events);
int loop_watch(struct loop *loop, int fd, uint32_t events, loop_callback callback,
	       void *context);
void loop_unwatch(struct loop *loop, int fd);

/* Timers on CLOCK_MONOTONIC, disarmed at birth. Arming replaces what was armed;
 * period 0 fires once. delay 0 fires at the next turn. */
typedef void (*loop_timeout)(void *context);
int loop_timer_create(struct loop *loop, loop_timeout timeout, void *context,
		      struct loop_timer **ret_timer);
int loop_timer_arm(struct loop_timer *timer, uint64_t delay_ms, uint64_t period_ms);
void loop_timer_disarm(struct loop_timer *timer);
void loop_timer_free(struct loop_timer **timer);

/* Runs until loop_stop, which before the run ends it at once. A callback may
 * call any function of this file but loop_free; timers are freed before it. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
