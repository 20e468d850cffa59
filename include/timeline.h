/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timeline.h - times of samples: the wall clock's, but they never go back. Reads no
 * clock. Says in the log when it leaves the wall clock, and when it is back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How far the wall clock may go back before times follow it. */
#define TIMELINE_STEP_MAX_MS (2LL * 60 * 60 * 1000)
/* Times that go back by more did follow it (less what passed since the last one). */
#define TIMELINE_FOLLOWED_MS (TIMELINE_STEP_MAX_MS / 2)

/* Zeroed: nothing was before. */
struct timeline {
	bool has_time; /* the two below */
	bool is_behind;
	int64_t time_ms; /* the last one given out */
	int64_t boot_ms; /* CLOCK_BOOTTIME then; 0: unknown */
};

/* An earlier life got as far as this. */
void timeline_continue(struct timeline *timeline, int64_t last_time_ms);
/* The time of what is collected now, not before any given out: that of the wall clock,
 * or where this went back, 7/8 of the boot clock's speed until it has caught up, so
 * that distances stay true to an eighth. Only a step of more than TIMELINE_STEP_MAX_MS
 * is followed: the time before was wrong then. */
int64_t timeline_next(struct timeline *timeline, int64_t wall_ms, int64_t boot_ms);
/* The same, but a millisecond after any given out where it would be equal. */
int64_t timeline_after(struct timeline *timeline, int64_t wall_ms, int64_t boot_ms);
