/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_slots.h - requests to targets that are due: so many at a time, the others wait
 * in line. Those that were slow last, or did not answer, have a line of their own and
 * half of the places at most: however many hang, the others go on.
 */
#pragma once

#include "loop.h"
#include "scraped.h"

#define SCRAPE_SLOTS_MAX 256
#define SCRAPE_SLOW_SLOTS_MAX (SCRAPE_SLOTS_MAX / 2)
#define SCRAPE_BODY_BYTES_MAX ((size_t)64 << 20) /* where no limit is given */

struct scrape_slots;

/* Called from the loop; the answer lives for the call. Then it is idle again. */
typedef void (*scrape_slots_done)(void *context, struct scraped *scraped,
				  const struct scraped_answer *answer);

/* loop and push outlive it. -ENOMEM, -EINVAL (libcurl). */
int scrape_slots_create(struct loop *loop, struct push *push, scrape_slots_done done,
			void *context, struct scrape_slots **ret_slots);
/* Requests under way are given up. */
void scrape_slots_free(struct scrape_slots **slots);
/* Neither waiting nor running. */
bool scrape_slots_is_idle(const struct scraped *scraped);
/* It is due. One that runs is asked again when it has ended, one that waits once. */
void scrape_slots_add(struct scrape_slots *slots, struct scraped *scraped);
/* Waiting or running, it is idle then; not from inside done. */
void scrape_slots_remove(struct scrape_slots *slots, struct scraped *scraped);
