/* SPDX-License-Identifier: Apache-2.0 */
/* REQUIRE is for code that may run in any thread or child of a test: cmocka's
 * assertions jump, which only the test's own thread may do. Elsewhere a failure
 * says what it was and ends the process, which fails the test program. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef DEADLINE_NS
#define DEADLINE_NS 5000000000ull
#endif

static pid_t test_thread;

static inline __attribute__((constructor)) void remember_test_thread(void)
{
	test_thread = gettid();
}

static inline void require_failed(const char *condition, const char *file, int line)
{
	int err = errno;

	fprintf(stderr, "%s:%d: %s (errno: %s)\n", file, line, condition,
		strerrorname_np(err));
	if (gettid() == test_thread)
		_fail(file, line);
	abort();
}

#define REQUIRE(condition)                                                             \
	((condition) ? (void)0 : require_failed(#condition, __FILE__, __LINE__))

static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* For what a case is about (a slow server), never to wait for a result. */
static inline void take_time(uint64_t duration_ns)
{
	struct timespec rest = {(time_t)(duration_ns / 1000000000),
				(long)(duration_ns % 1000000000)};

	while (nanosleep(&rest, &rest) && errno == EINTR)
		;
}

/* One turn of a loop that waits for a condition; false once it is too late. */
static inline bool keep_waiting(uint64_t start_ns)
{
	take_time(1000000);
	return now_ns() - start_ns < DEADLINE_NS;
}
