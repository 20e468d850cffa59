/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_job.h - which targets a job has: what was discovered, relabelled, each one
 * once; and what of them is new, or gone, since it was last asked. It scrapes nothing.
 */
#pragma once

#include "scrape_target.h"
#include "scraped.h"

struct file_sd;
struct observed;

struct scrape_job {
	const struct config_scrape *config;
	struct relabel *relabel;
	struct scraped **targets; /* in the order of scrape_target_compare */
	size_t count;
	bool is_over_limit; /* target_limit: none is asked */
};

/* -ENOMEM, -EINVAL (relabel.h). */
int scrape_job_init(struct scrape_job *job, const struct config_scrape *config);
/* Its targets, too. */
void scrape_job_free(struct scrape_job *job);

/* What is done with those that come and go. Of begin, false: it could not be begun, and
 * is freed. Who gets one in end owns it. */
struct scrape_job_changes {
	bool (*begin)(void *context, struct scraped *scraped);
	void (*end)(void *context, struct scraped *scraped);
	void *context;
};
/* files, observed: what they know now; NULL: nothing. Targets that are not valid are
 * logged, and left out. -ENOMEM: nothing has changed. */
int scrape_job_sync(struct scrape_job *job, const struct config_labels *external,
		    const struct file_sd *files, const struct observed *observed,
		    const struct scrape_job_changes *changes);
