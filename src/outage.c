/* SPDX-License-Identifier: Apache-2.0 */
#include "outage.h"

#include "retry.h"

#define TELL_PERIOD_MS 60000

/* The jitter is drawn once, and a short Retry-After does not reset what it replaces
 * (a long one counts as slept). */
static uint64_t next_wait_ms(struct outage *outage, const struct config_queue *queue,
			     int64_t told_ms)
{
	uint64_t backoff_ms = outage->backoff_ms, wait_ms;

	/* Requests that fail side by side are one failure. */
	if (!outage->is_waiting)
		backoff_ms = retry_backoff_ms(backoff_ms, queue->min_backoff_ms,
					      queue->max_backoff_ms);
	wait_ms = retry_jitter_ms(backoff_ms, outage->jitter);
	if (told_ms > 0) {
		wait_ms = (uint64_t)told_ms;
		if (wait_ms > backoff_ms)
			backoff_ms = wait_ms < queue->max_backoff_ms
					 ? wait_ms
					 : queue->max_backoff_ms;
	}
	outage->backoff_ms = backoff_ms;
	return wait_ms;
}

bool outage_wait(struct outage *outage, const struct config_queue *queue,
		 int64_t told_ms, uint64_t now_ms, uint64_t *ret_wait_ms)
{
	uint64_t wait_ms = next_wait_ms(outage, queue, told_ms);
	uint64_t retry_at_ms = now_ms + wait_ms;

	outage->is_failing = true;
	if (outage->is_waiting && outage->retry_at_ms >= retry_at_ms)
		return false;
	outage->is_waiting = true;
	outage->is_told_to_wait = told_ms > 0;
	outage->retry_at_ms = retry_at_ms;
	*ret_wait_ms = wait_ms;
	return true;
}

void outage_stop_waiting(struct outage *outage)
{
	outage->is_waiting = false;
	outage->is_told_to_wait = false;
}

void outage_end(struct outage *outage, uint32_t jitter)
{
	outage->is_failing = false;
	outage->backoff_ms = 0;
	outage->jitter = jitter;
}

/* The status' own place, or the one told longest ago. */
static size_t place_of(const struct outage *outage, long status)
{
	size_t oldest = 0;

	for (size_t i = 0; i < OUTAGE_STATUSES_MAX; i++) {
		if (outage->told[i].at_ms && outage->told[i].status == status)
			return i;
		if (outage->told[i].at_ms < outage->told[oldest].at_ms)
			oldest = i;
	}
	return oldest;
}

bool outage_may_tell(struct outage *outage, long status, uint64_t now_ms)
{
	size_t place = place_of(outage, status);
	uint64_t told_ms = outage->told[place].at_ms;

	outage->failures++;
	if (told_ms && now_ms - told_ms < TELL_PERIOD_MS)
		return false;
	outage->told[place].status = status;
	outage->told[place].at_ms = now_ms;
	outage->is_told = true;
	return true;
}

bool outage_is_over(struct outage *outage, uint64_t *ret_failures)
{
	bool is_told = outage->is_told;

	*ret_failures = outage->failures;
	outage->is_told = false;
	outage->failures = 0;
	return is_told;
}
