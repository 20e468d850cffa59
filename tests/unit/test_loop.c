/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

/* What the callbacks of one test share. */
struct scene {
	struct loop *loop;
	struct loop_timer *timers[2];
	int pipes[2][2];
	unsigned int calls;
	unsigned int stop_at; /* stop the loop at that many calls */
	uint32_t events;
};

static int set_up(void **state)
{
	static struct scene scene;

	scene = (struct scene){.stop_at = 1};
	*state = &scene;
	return loop_create(&scene.loop) || pipe2(scene.pipes[0], O_CLOEXEC) ||
	       pipe2(scene.pipes[1], O_CLOEXEC);
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	for (int i = 0; i < 2; i++) {
		loop_timer_free(&scene->timers[i]);
		close(scene->pipes[i][0]);
		close(scene->pipes[i][1]);
	}
	loop_free(&scene->loop);
	return 0;
}

static void counted(struct scene *scene)
{
	if (++scene->calls == scene->stop_at)
		loop_stop(scene->loop);
}

static void on_events(void *context, uint32_t events)
{
	struct scene *scene = context;

	scene->events = events;
	counted(scene);
}

static void on_timeout(void *context)
{
	counted(context);
}

static void on_deadline(void *context)
{
	(void)context;
	fail_msg("the loop should have stopped before");
}

static void stop_loop(void *context)
{
	loop_stop(((struct scene *)context)->loop);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void put_byte(int fd)
{
	assert_int_equal(write(fd, "x", 1), 1);
}

/* Runs for 20 ms, in which everything that is ready has its turn. */
static void run_ready(struct scene *scene)
{
	struct loop_timer *timer;

	assert_int_equal(loop_timer_create(scene->loop, stop_loop, scene, &timer), 0);
	assert_int_equal(loop_timer_arm(timer, 20, 0), 0);
	assert_int_equal(loop_run(scene->loop), 0);
	loop_timer_free(&timer);
}

static void a_ready_descriptor_calls_back_with_its_events(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(
	    loop_watch(scene->loop, scene->pipes[0][0], EPOLLIN, on_events, scene), 0);
	put_byte(scene->pipes[0][1]);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_int_equal(scene->calls, 1);
	assert_int_equal(scene->events, EPOLLIN);
}

static void a_closed_peer_is_reported_without_being_asked_for(void **state)
{
	struct scene *scene = *state;

	loop_watch(scene->loop, scene->pipes[0][0], EPOLLIN, on_events, scene);
	close(scene->pipes[0][1]);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_int_equal(scene->events, EPOLLHUP);
	scene->pipes[0][1] = -1;
}

static void watching_again_changes_events_and_callback(void **state)
{
	struct scene *scene = *state, other = {.loop = scene->loop, .stop_at = 1};
	int writable = scene->pipes[0][1];

	loop_watch(scene->loop, writable, EPOLLIN, on_events, scene);
	assert_int_equal(loop_watch(scene->loop, writable, EPOLLOUT, on_events, &other),
			 0);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_int_equal(scene->calls, 0);
	assert_int_equal(other.calls, 1);
	assert_int_equal(other.events, EPOLLOUT);
}

static void an_unwatched_descriptor_is_silent(void **state)
{
	struct scene *scene = *state;

	loop_watch(scene->loop, scene->pipes[0][0], EPOLLIN, on_events, scene);
	put_byte(scene->pipes[0][1]);
	loop_unwatch(scene->loop, scene->pipes[0][0]);
	run_ready(scene);
	assert_int_equal(scene->calls, 0);
}

static void unwatching_what_is_not_watched_does_nothing(void **state)
{
	struct scene *scene = *state;

	loop_unwatch(scene->loop, -1);
	loop_unwatch(scene->loop, scene->pipes[0][0]);
	loop_unwatch(scene->loop, 1000000);
	loop_watch(scene->loop, scene->pipes[0][0], EPOLLIN, on_events, scene);
	loop_unwatch(scene->loop, scene->pipes[0][0]);
	loop_unwatch(scene->loop, scene->pipes[0][0]);
}

static void close_and_unwatch_the_other(void *context, uint32_t events)
{
	struct scene *scene = context;

	(void)events;
	for (int i = 0; i < 2; i++)
		loop_unwatch(scene->loop, scene->pipes[i][0]);
	counted(scene);
}

static void of_two_ready_descriptors_the_first_can_silence_the_second(void **state)
{
	struct scene *scene = *state;

	scene->stop_at = 0;
	for (int i = 0; i < 2; i++) {
		put_byte(scene->pipes[i][1]);
		loop_watch(scene->loop, scene->pipes[i][0], EPOLLIN,
			   close_and_unwatch_the_other, scene);
	}
	run_ready(scene);
	assert_int_equal(scene->calls, 1);
}

static void a_number_that_was_closed_and_came_back_can_be_watched(void **state)
{
	struct scene *scene = *state;
	int fd = scene->pipes[0][0];

	loop_watch(scene->loop, fd, EPOLLIN, on_events, scene);
	close(fd);
	assert_int_equal(dup2(scene->pipes[1][0], fd), fd);
	assert_int_equal(loop_watch(scene->loop, fd, EPOLLIN, on_events, scene), 0);
	put_byte(scene->pipes[1][1]);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_int_equal(scene->calls, 1);
}

/* epoll goes on as long as some duplicate of the descriptor is open. */
static void an_event_of_a_descriptor_closed_before_its_unwatch_is_ignored(void **state)
{
	struct scene *scene = *state;
	int fd = fcntl(scene->pipes[0][0], F_DUPFD_CLOEXEC, 0);

	loop_watch(scene->loop, fd, EPOLLIN, on_events, scene);
	close(fd);
	loop_unwatch(scene->loop, fd);
	put_byte(scene->pipes[0][1]);
	run_ready(scene);
	assert_int_equal(scene->calls, 0);
}

static void two_always_ready_descriptors_take_turns(void **state)
{
	struct scene *scene = *state, other = {.loop = scene->loop};

	scene->stop_at = 50;
	put_byte(scene->pipes[0][1]);
	put_byte(scene->pipes[1][1]);
	loop_watch(scene->loop, scene->pipes[0][0], EPOLLIN, on_events, scene);
	loop_watch(scene->loop, scene->pipes[1][0], EPOLLIN, on_events, &other);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_in_range(other.calls, 49, 50);
}

static void many_descriptors_each_reach_their_own_callback(void **state)
{
	struct scene *scene = *state, others[100];
	int fds[100];

	for (int i = 0; i < 100; i++) {
		others[i] = (struct scene){.loop = scene->loop};
		fds[i] = dup(scene->pipes[0][0]);
		assert_int_equal(loop_watch(scene->loop, fds[i], EPOLLIN | EPOLLONESHOT,
					    on_events, &others[i]),
				 0);
	}
	put_byte(scene->pipes[0][1]);
	run_ready(scene);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(others[i].calls, 1);
		loop_unwatch(scene->loop, fds[i]);
		close(fds[i]);
	}
}

static void what_epoll_refuses_is_returned_and_not_watched(void **state)
{
	struct scene *scene = *state;
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_int_equal(loop_watch(scene->loop, -1, EPOLLIN, on_events, scene),
			 -EBADF);
	assert_int_equal(loop_watch(scene->loop, 999, EPOLLIN, on_events, scene),
			 -EBADF);
	assert_int_equal(loop_watch(scene->loop, file, EPOLLIN, on_events, scene),
			 -EPERM);
	close(file);
}

static void a_timer_fires_once_and_not_before_its_delay(void **state)
{
	struct scene *scene = *state;
	uint64_t start_ms = now_ms();

	assert_int_equal(
	    loop_timer_create(scene->loop, on_timeout, scene, &scene->timers[0]), 0);
	assert_int_equal(loop_timer_arm(scene->timers[0], 30, 0), 0);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_true(now_ms() - start_ms >= 29); /* both ends are cut to 1 ms */
	run_ready(scene);
	assert_int_equal(scene->calls, 1);
}

static void a_period_repeats_after_the_first_delay(void **state)
{
	struct scene *scene = *state;
	uint64_t start_ms = now_ms();

	scene->stop_at = 4;
	loop_timer_create(scene->loop, on_timeout, scene, &scene->timers[0]);
	loop_timer_arm(scene->timers[0], 1, 10);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_int_equal(scene->calls, 4);
	assert_true(now_ms() - start_ms >= 29);
}

static void delay_zero_fires_at_the_next_turn(void **state)
{
	struct scene *scene = *state;

	loop_timer_create(scene->loop, on_timeout, scene, &scene->timers[0]);
	assert_int_equal(loop_timer_arm(scene->timers[0], 0, 0), 0);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_int_equal(scene->calls, 1);
}

static void a_timer_is_born_disarmed_and_disarming_takes_back_an_expiry(void **state)
{
	struct scene *scene = *state;
	struct timespec wait = {.tv_nsec = 2000000};

	loop_timer_create(scene->loop, on_timeout, scene, &scene->timers[0]);
	loop_timer_create(scene->loop, on_timeout, scene, &scene->timers[1]);
	loop_timer_arm(scene->timers[1], 0, 1);
	nanosleep(&wait, NULL); /* it has expired, unread */
	loop_timer_disarm(scene->timers[1]);
	run_ready(scene);
	assert_int_equal(scene->calls, 0);
}

static void arming_replaces_what_was_armed(void **state)
{
	struct scene *scene = *state;

	loop_timer_create(scene->loop, on_deadline, scene, &scene->timers[0]);
	loop_timer_create(scene->loop, on_timeout, scene, &scene->timers[1]);
	loop_timer_arm(scene->timers[0], 0, 1);
	loop_timer_arm(scene->timers[0], 3600 * 1000, 0);
	loop_timer_arm(scene->timers[1], 3600 * 1000, 0);
	loop_timer_arm(scene->timers[1], 5, 0);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_int_equal(scene->calls, 1);
}

static void free_own_timer(void *context)
{
	struct scene *scene = context;

	loop_timer_free(&scene->timers[0]);
	assert_null(scene->timers[0]);
	counted(scene);
}

static void a_timer_may_free_itself(void **state)
{
	struct scene *scene = *state;

	loop_timer_create(scene->loop, free_own_timer, scene, &scene->timers[0]);
	loop_timer_arm(scene->timers[0], 0, 1);
	assert_int_equal(loop_run(scene->loop), 0);
	run_ready(scene);
	assert_int_equal(scene->calls, 1);
}

static void watch_a_hundred_more(void *context, uint32_t events)
{
	struct scene *scene = context;

	for (int i = 0; i < 100; i++) {
		int fd = fcntl(scene->pipes[1][0], F_DUPFD_CLOEXEC, 200);

		loop_watch(scene->loop, fd, EPOLLIN, on_events, scene);
		loop_unwatch(scene->loop, fd);
		close(fd);
	}
	on_events(context, events);
}

static void a_callback_may_grow_the_table_it_was_called_from(void **state)
{
	struct scene *scene = *state;

	put_byte(scene->pipes[0][1]);
	loop_watch(scene->loop, scene->pipes[0][0], EPOLLIN, watch_a_hundred_more,
		   scene);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_int_equal(scene->calls, 1);
}

static void a_stop_before_the_run_is_not_lost(void **state)
{
	struct scene *scene = *state;

	loop_timer_create(scene->loop, on_deadline, scene, &scene->timers[0]);
	loop_timer_arm(scene->timers[0], 1000, 0);
	loop_stop(scene->loop);
	assert_int_equal(loop_run(scene->loop), 0);
}

static void a_stop_ends_one_run_and_not_the_next(void **state)
{
	struct scene *scene = *state;

	loop_stop(scene->loop);
	assert_int_equal(loop_run(scene->loop), 0);
	loop_timer_create(scene->loop, on_timeout, scene, &scene->timers[0]);
	loop_timer_arm(scene->timers[0], 5, 0);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_int_equal(scene->calls, 1);
}

static volatile sig_atomic_t signals;

static void ignore_signal(int number)
{
	(void)number;
	signals++;
}

static void a_signal_does_not_end_the_run(void **state)
{
	struct sigaction action = {.sa_handler = ignore_signal};
	struct sigevent event = {
	    .sigev_notify = SIGEV_SIGNAL,
	    .sigev_signo = SIGUSR1,
	};
	struct itimerspec soon = {.it_value.tv_nsec = 5000000};
	struct scene *scene = *state;
	timer_t timer;

	sigaction(SIGUSR1, &action, NULL);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &soon, NULL);
	loop_timer_create(scene->loop, on_timeout, scene, &scene->timers[0]);
	loop_timer_arm(scene->timers[0], 40, 0);
	assert_int_equal(loop_run(scene->loop), 0);
	assert_int_equal(scene->calls, 1);
	assert_int_equal(signals, 1);
	timer_delete(timer);
}

/* One wake-up ends the wait; a loop that polled would switch thousands of
 * times, or burn the 200 ms. */
static void a_waiting_loop_does_not_wake(void **state)
{
	struct scene *scene = *state;
	struct rusage before, after;

	loop_watch(scene->loop, scene->pipes[0][0], EPOLLIN, on_events, scene);
	loop_timer_create(scene->loop, on_timeout, scene, &scene->timers[0]);
	loop_timer_arm(scene->timers[0], 200, 0);
	getrusage(RUSAGE_SELF, &before);
	assert_int_equal(loop_run(scene->loop), 0);
	getrusage(RUSAGE_SELF, &after);
	assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 1, 3);
}

static void destructors_accept_nothing(void **state)
{
	struct loop *loop = NULL;
	struct loop_timer *timer = NULL;

	(void)state;
	loop_free(&loop);
	loop_timer_free(&timer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_ready_descriptor_calls_back_with_its_events),
	    TEST(a_closed_peer_is_reported_without_being_asked_for),
	    TEST(watching_again_changes_events_and_callback),
	    TEST(an_unwatched_descriptor_is_silent),
	    TEST(unwatching_what_is_not_watched_does_nothing),
	    TEST(of_two_ready_descriptors_the_first_can_silence_the_second),
	    TEST(a_number_that_was_closed_and_came_back_can_be_watched),
	    TEST(an_event_of_a_descriptor_closed_before_its_unwatch_is_ignored),
	    TEST(two_always_ready_descriptors_take_turns),
	    TEST(many_descriptors_each_reach_their_own_callback),
	    TEST(what_epoll_refuses_is_returned_and_not_watched),
	    TEST(a_timer_fires_once_and_not_before_its_delay),
	    TEST(a_period_repeats_after_the_first_delay),
	    TEST(delay_zero_fires_at_the_next_turn),
	    TEST(a_timer_is_born_disarmed_and_disarming_takes_back_an_expiry),
	    TEST(arming_replaces_what_was_armed),
	    TEST(a_timer_may_free_itself),
	    TEST(a_callback_may_grow_the_table_it_was_called_from),
	    TEST(a_stop_before_the_run_is_not_lost),
	    TEST(a_stop_ends_one_run_and_not_the_next),
	    TEST(a_signal_does_not_end_the_run),
	    TEST(a_waiting_loop_does_not_wake),
	    cmocka_unit_test(destructors_accept_nothing),
	};

	alarm(30); /* a loop that never ends is a failure too */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
