/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "file_sd.h"
#include "log.h"
#include "observed.h"

/* --- what is discovered ----------------------------------------------------------- */

struct found {
	const struct scrape_job *job;
	struct scrape_target **targets;
	size_t count;
	size_t capacity;
	int error;
};

static bool make_room(struct found *found)
{
	size_t capacity = found->capacity ? found->capacity * 2 : 16;
	struct scrape_target **targets;

	if (found->count < found->capacity)
		return true;
	targets = reallocarray(found->targets, capacity, sizeof(*targets));
	if (!targets)
		return false;
	found->targets = targets;
	found->capacity = capacity;
	return true;
}

static void add(struct found *found, const struct scrape_discovered *discovered)
{
	const struct scrape_job *job = found->job;
	char error[SCRAPE_TARGET_ERROR_LEN];
	struct scrape_target *target;
	int err = make_room(found) ? 0 : -ENOMEM;

	if (!err)
		err = scrape_target_create(job->config, job->relabel, discovered,
					   &target, error);
	if (err == -EINVAL)
		log_warning("job \"%s\": %s; this target is left out",
			    job->config->job_name, error);
	else if (err)
		found->error = err;
	else if (target)
		found->targets[found->count++] = target;
}

static void add_group(struct found *found, const struct config_target_group *group,
		      const char *path)
{
	struct scrape_discovered discovered = {.labels = &group->labels};

	if (path)
		discovered.more[0] = (struct label){"__meta_filepath", path};
	for (size_t i = 0; i < group->targets.count; i++) {
		discovered.address = group->targets.items[i];
		add(found, &discovered);
	}
}

static void add_file(void *context, const char *path,
		     const struct config_groups *groups)
{
	for (size_t i = 0; i < groups->count; i++)
		add_group(context, &groups->items[i], path);
}

static void add_process(void *context, const struct scrape_discovered *discovered)
{
	add(context, discovered);
}

static int by_target(const void *a, const void *b)
{
	return scrape_target_compare(*(struct scrape_target *const *)a,
				     *(struct scrape_target *const *)b);
}

static void free_found(struct found *found)
{
	for (size_t i = 0; i < found->count; i++)
		scrape_target_free(&found->targets[i]);
	free(found->targets);
}

static void leave_doubles_out(struct found *found)
{
	size_t kept = 0;

	if (found->count)
		qsort(found->targets, found->count, sizeof(struct scrape_target *),
		      by_target);
	for (size_t i = 0; i < found->count; i++) {
		struct scrape_target *target = found->targets[i];

		if (kept && !scrape_target_compare(found->targets[kept - 1], target))
			scrape_target_free(&target);
		else
			found->targets[kept++] = target;
	}
	found->count = kept;
}

static int discover(struct found *found, const struct file_sd *files,
		    const struct observed *observed)
{
	const struct config_scrape *config = found->job->config;

	for (size_t i = 0; i < config->groups.count; i++)
		add_group(found, &config->groups.items[i], NULL);
	for (size_t i = 0; files && i < config->file_sd_count; i++)
		file_sd_each(files, &config->file_sds[i], add_file, found);
	if (observed)
		observed_each(observed, add_process, found);
	leave_doubles_out(found);
	return found->error;
}

/* --- what is new ------------------------------------------------------------------ */

static void judge_count(struct scrape_job *job)
{
	uint32_t limit = job->config->limits.targets;
	bool is_over = limit && job->count > limit;

	if (is_over && !job->is_over_limit)
		log_warning("job \"%s\" has %zu targets, above its target_limit of %u: "
			    "none of them is scraped",
			    job->config->job_name, job->count, limit);
	job->is_over_limit = is_over;
}

static struct scraped *begin(const struct scrape_job *job,
			     const struct config_labels *external,
			     struct scrape_target **target,
			     const struct scrape_job_changes *changes)
{
	CLEANUP(scraped_free) struct scraped *scraped = NULL;

	if (scraped_create(job->config, external, target, &scraped) ||
	    !changes->begin(changes->context, scraped)) {
		log_error("job \"%s\": cannot begin with a target: out of memory",
			  job->config->job_name);
		return NULL;
	}
	return TAKE(scraped);
}

/* Both are in order: one walk tells who stays. */
static void merge(struct scrape_job *job, const struct config_labels *external,
		  struct found *found, struct scraped **kept,
		  const struct scrape_job_changes *changes)
{
	size_t count = 0, old = 0;

	for (size_t i = 0; i < found->count; i++) {
		struct scraped *scraped;
		int order = 1;

		while (old < job->count &&
		       (order = scrape_target_compare(job->targets[old]->target,
						      found->targets[i])) < 0)
			changes->end(changes->context, job->targets[old++]);
		if (old < job->count && !order)
			scraped = job->targets[old++];
		else
			scraped = begin(job, external, &found->targets[i], changes);
		if (scraped)
			kept[count++] = scraped;
	}
	while (old < job->count)
		changes->end(changes->context, job->targets[old++]);
	free(job->targets);
	job->targets = kept;
	job->count = count;
}

int scrape_job_sync(struct scrape_job *job, const struct config_labels *external,
		    const struct file_sd *files, const struct observed *observed,
		    const struct scrape_job_changes *changes)
{
	CLEANUP(free_found) struct found found = {.job = job};
	struct scraped **kept;
	int err = discover(&found, files, observed);

	if (err)
		return err;
	kept = calloc(found.count + 1, sizeof(struct scraped *));
	if (!kept)
		return -ENOMEM;
	merge(job, external, &found, kept, changes);
	judge_count(job);
	return 0;
}

/* --- life ------------------------------------------------------------------------- */

int scrape_job_init(struct scrape_job *job, const struct config_scrape *config)
{
	*job = (struct scrape_job){.config = config};
	return relabel_create(config->relabels, config->relabel_count, &job->relabel);
}

void scrape_job_free(struct scrape_job *job)
{
	for (size_t i = 0; i < job->count; i++)
		scraped_free(&job->targets[i]);
	free(job->targets);
	relabel_free(&job->relabel);
	*job = (struct scrape_job){0};
}
