/* SPDX-License-Identifier: Apache-2.0 */
#include "timeline.h"

#include "log.h"

/* Two collections may share a millisecond: that is no step back. */
#define CLOCK_NOISE_MS 10

static void tell(struct timeline *timeline, int64_t wall_ms, int64_t time_ms)
{
	int64_t behind_ms = time_ms - wall_ms;

	if (timeline->has_time && time_ms < timeline->time_ms)
		log_warning("the wall clock went back by %lld s: the times of samples "
			    "follow it, receivers may refuse them as too old",
			    (long long)(timeline->time_ms - time_ms) / 1000);
	if (behind_ms > CLOCK_NOISE_MS && !timeline->is_behind) {
		log_warning("the wall clock went back: times of samples are ahead by "
			    "%lld ms, and go slower until it has caught up",
			    (long long)behind_ms);
		timeline->is_behind = true;
	} else if (!behind_ms && timeline->is_behind) {
		log_info("times of samples are those of the wall clock again");
		timeline->is_behind = false;
	}
}

static int64_t next_time_ms(const struct timeline *timeline, int64_t wall_ms,
			    int64_t boot_ms)
{
	int64_t elapsed_ms = 0, least_ms;

	if (!timeline->has_time)
		return wall_ms;
	if (timeline->boot_ms && boot_ms > timeline->boot_ms)
		elapsed_ms = boot_ms - timeline->boot_ms;
	least_ms = timeline->time_ms + elapsed_ms - elapsed_ms / 8;
	if (wall_ms >= least_ms ||
	    timeline->time_ms + elapsed_ms - wall_ms > TIMELINE_STEP_MAX_MS)
		return wall_ms;
	return least_ms;
}

void timeline_continue(struct timeline *timeline, int64_t last_time_ms)
{
	timeline->has_time = true;
	timeline->time_ms = last_time_ms;
}

int64_t timeline_next(struct timeline *timeline, int64_t wall_ms, int64_t boot_ms)
{
	int64_t time_ms = next_time_ms(timeline, wall_ms, boot_ms);

	tell(timeline, wall_ms, time_ms);
	timeline->time_ms = time_ms;
	timeline->boot_ms = boot_ms;
	timeline->has_time = true;
	return time_ms;
}

int64_t timeline_after(struct timeline *timeline, int64_t wall_ms, int64_t boot_ms)
{
	const struct timeline before = *timeline;

	timeline_next(timeline, wall_ms, boot_ms);
	if (before.has_time && timeline->time_ms == before.time_ms)
		timeline->time_ms++;
	return timeline->time_ms;
}
