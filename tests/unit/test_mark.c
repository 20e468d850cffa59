/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mark.h"

#define SOCKET 0xffff888012345680ull
#define NEIGHBOUR 0xffff8880123456c0ull
#define THREAD 4711

/* What the first program does; the others then take their turns. */
static __u64 leave(__u64 event)
{
	return event | TURNS;
}

static void who_finds_the_mark_of_its_event_takes_it_as_done(void **state)
{
	const __u64 event = mark_event(SOCKET, THREAD);
	__u64 mark = leave(event);

	(void)state;
	assert_true(mark_is_done(&mark, event, TURN_SECOND));
	assert_true(mark_is_done(&mark, event, TURN_THIRD));
}

/* Each turn is of one event: the next like it needs a mark of its own. */
static void a_mark_serves_each_once(void **state)
{
	const __u64 event = mark_event(SOCKET, THREAD);
	__u64 mark = leave(event);

	(void)state;
	assert_true(mark_is_done(&mark, event, TURN_SECOND));
	assert_true(mark_is_done(&mark, event, TURN_THIRD));
	assert_false(mark_is_done(&mark, event, TURN_SECOND));
	assert_true(mark_is_done(&mark, event, TURN_THIRD));
}

static void the_second_stands_in_and_tells_the_third(void **state)
{
	const __u64 event = mark_event(SOCKET, THREAD);
	__u64 mark = 0;

	(void)state;
	assert_false(mark_is_done(&mark, event, TURN_SECOND));
	assert_true(mark_is_done(&mark, event, TURN_THIRD));
}

static void the_third_stands_in_for_both(void **state)
{
	const __u64 event = mark_event(SOCKET, THREAD);
	__u64 mark = 0;

	(void)state;
	assert_false(mark_is_done(&mark, event, TURN_THIRD));
	/* and leaves nothing that a later event could take for its own */
	assert_false(mark_is_done(&mark, event, TURN_SECOND));
}

/* On functions. */
static void the_last_of_six_is_told_like_the_second(void **state)
{
	const __u64 event = mark_event(SOCKET, THREAD);
	__u64 mark = 0;

	(void)state;
	assert_false(mark_is_done(&mark, event, TURN_SECOND));
	for (__u32 turn = TURN_THIRD; turn <= TURN_SIXTH; turn *= 2)
		assert_true(mark_is_done(&mark, event, turn));
	assert_int_equal(mark, event);
}

static void another_sockets_mark_is_stale(void **state)
{
	const __u64 event = mark_event(SOCKET, THREAD);
	__u64 mark = leave(mark_event(NEIGHBOUR, THREAD));

	(void)state;
	assert_false(mark_is_done(&mark, event, TURN_SECOND));
	assert_true(mark_is_done(&mark, event, TURN_THIRD));
}

/* Two threads in one place: nothing is done twice, and neither's turns are lost. */
static void another_threads_mark_is_left_alone(void **state)
{
	const __u64 event = mark_event(SOCKET, THREAD);
	const __u64 other = mark_event(NEIGHBOUR, THREAD + MARKS);
	__u64 mark = leave(other);

	(void)state;
	assert_true(mark_is_done(&mark, event, TURN_SECOND));
	assert_true(mark_is_done(&mark, event, TURN_THIRD));
	assert_int_equal(mark, leave(other));
}

/* 4194304 is the kernel's PID_MAX_LIMIT. */
static void threads_of_one_place_are_told_apart(void **state)
{
	(void)state;
	for (__u32 thread = THREAD % MARKS + MARKS; thread < 4194304; thread += MARKS)
		assert_int_not_equal(mark_event(SOCKET, thread),
				     mark_event(SOCKET, THREAD % MARKS));
}

static void an_event_is_never_the_empty_mark(void **state)
{
	(void)state;
	assert_int_not_equal(mark_event(SOCKET, 0), 0);
	assert_int_equal(mark_event(SOCKET, THREAD) & TURNS, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_finds_the_mark_of_its_event_takes_it_as_done),
	    cmocka_unit_test(a_mark_serves_each_once),
	    cmocka_unit_test(the_second_stands_in_and_tells_the_third),
	    cmocka_unit_test(the_third_stands_in_for_both),
	    cmocka_unit_test(the_last_of_six_is_told_like_the_second),
	    cmocka_unit_test(another_sockets_mark_is_stale),
	    cmocka_unit_test(another_threads_mark_is_left_alone),
	    cmocka_unit_test(threads_of_one_place_are_told_apart),
	    cmocka_unit_test(an_event_is_never_the_empty_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
