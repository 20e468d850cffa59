/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observed.h - processes that we observe and that serve metrics: each port that one
 * listens on is asked once, politely, while it lives; who answers with an exposition is
 * a target. One of these is of one job (`observed_processes`).
 */
#pragma once

#include "config.h"
#include "loop.h"
#include "scrape_target.h"

struct observed;
struct observer;

/* One more serves, or one has gone; from the loop. */
typedef void (*observed_changed)(void *context);
/* All but the callback outlives it. -ENOMEM, -EINVAL (libcurl). */
int observed_create(struct loop *loop, const struct config_scrape *job,
		    const struct observer *observer, observed_changed changed,
		    void *context, struct observed **ret_observed);
void observed_free(struct observed **observed);
/* Those that serve; what is shown lives for the call. */
typedef void (*observed_visit)(void *context,
			       const struct scrape_discovered *discovered);
void observed_each(const struct observed *observed, observed_visit visit,
		   void *context);
