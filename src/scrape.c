/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "due.h"
#include "file_sd.h"
#include "length.h"
#include "log.h"
#include "observed.h"
#include "scrape_job.h"
#include "scrape_slots.h"
#include "table.h"

#define HOST_LEN 256

struct scrape {
	struct loop *loop;
	const struct config *config;
	struct push *push;
	struct scrape_slots *slots; /* NULL: stopped */
	struct loop_timer *timer;   /* of what is due next */
	struct loop_timer *sync_timer;
	struct due due;
	struct file_sd *files;      /* likewise */
	struct observed **observed; /* of each job; NULL: none */
	struct scrape_job *jobs;
	size_t job_count;
	uint64_t seed; /* of this host: several that scrape one target take turns */
	struct scraped_counters counters;
	struct scraped **ended; /* whose samples are to be committed yet */
	size_t ended_count;
	size_t ended_capacity;
};

/* --- what is due ------------------------------------------------------------------ */

static void arm(const struct scrape *scrape)
{
	const struct due_entry *first = due_first(&scrape->due);
	int64_t delay_ms;

	if (!first)
		return;
	delay_ms = first->at_ms - clock_ms(CLOCK_MONOTONIC);
	loop_timer_arm(scrape->timer, delay_ms > 0 ? (uint64_t)delay_ms : 0, 0);
}

/* Moments are of the wall clock, waiting is not: a clock that is set moves no scrape by
 * more than its interval. */
static int schedule(struct scrape *scrape, struct scraped *scraped, bool is_first)
{
	uint64_t delay_ms =
	    due_delay_ms(clock_ms(CLOCK_REALTIME), scraped->target->interval_ms,
			 scraped->target->hash ^ scrape->seed, is_first);

	return due_add(&scrape->due, &scraped->due,
		       clock_ms(CLOCK_MONOTONIC) + (int64_t)delay_ms);
}

static struct scraped *scraped_of(struct due_entry *entry)
{
	return (struct scraped *)((char *)entry - offsetof(struct scraped, due));
}

static const struct scrape_job *job_of(const struct scrape *scrape,
				       const struct scraped *scraped)
{
	return &scrape->jobs[scraped->config - scrape->config->scrapes];
}

static void refuse(struct scrape *scrape, struct scraped *scraped)
{
	const struct scraped_answer answer = {
	    .result = SCRAPED_NOT_ASKED,
	    .error = "the job has more targets than its target_limit",
	    .time_ms = scraped_time_ms(scraped, scrape->push),
	};

	scraped_take(scraped, &answer, scrape->push, &scrape->counters);
}

static void on_due(void *context)
{
	struct scrape *scrape = context;
	int64_t now_ms = clock_ms(CLOCK_MONOTONIC);
	struct due_entry *first;

	while ((first = due_first(&scrape->due)) && first->at_ms <= now_ms) {
		struct scraped *scraped = scraped_of(first);

		due_remove(&scrape->due, first);
		schedule(scrape, scraped, false); /* has room: one was taken out */
		if (!job_of(scrape, scraped)->is_over_limit)
			scrape_slots_add(scrape->slots, scraped);
		else if (scrape_slots_is_idle(scraped))
			refuse(scrape, scraped);
	}
	arm(scrape);
}

static void on_answer(void *context, struct scraped *scraped,
		      const struct scraped_answer *answer)
{
	struct scrape *scrape = context;

	scraped_take(scraped, answer, scrape->push, &scrape->counters);
}

/* --- which targets there are ------------------------------------------------------ */

static bool begin_target(void *context, struct scraped *scraped)
{
	return !schedule(context, scraped, true);
}

/* What push holds of its samples has their families: it is freed when that is out. */
static void end_target(void *context, struct scraped *scraped)
{
	struct scrape *scrape = context;
	struct scraped **ended = scrape->ended;

	due_remove(&scrape->due, &scraped->due);
	scrape_slots_remove(scrape->slots, scraped);
	scraped_end(scraped, scrape->push, &scrape->counters);
	if (scrape->ended_count == scrape->ended_capacity) {
		size_t capacity = scrape->ended_capacity * 2 + 16;

		ended = reallocarray(ended, capacity, sizeof(struct scraped *));
		if (!ended) {
			push_commit(scrape->push);
			scraped_free(&scraped);
			return;
		}
		scrape->ended = ended;
		scrape->ended_capacity = capacity;
	}
	ended[scrape->ended_count++] = scraped;
}

static void free_ended(struct scrape *scrape)
{
	if (scrape->ended_count)
		push_commit(scrape->push);
	while (scrape->ended_count)
		scraped_free(&scrape->ended[--scrape->ended_count]);
}

static int sync_jobs(struct scrape *scrape)
{
	const struct scrape_job_changes changes = {begin_target, end_target, scrape};
	int err = 0;

	for (size_t i = 0; !err && i < scrape->job_count; i++)
		err =
		    scrape_job_sync(&scrape->jobs[i], &scrape->config->external_labels,
				    scrape->files, scrape->observed[i], &changes);
	free_ended(scrape);
	arm(scrape);
	return err;
}

static void on_sync(void *context)
{
	int err = sync_jobs(context);

	if (err)
		log_error("cannot take new targets: %s", strerror(-err));
}

/* In a turn of its own: the news may come from inside a request's end. */
static void on_news(void *context)
{
	const struct scrape *scrape = context;

	loop_timer_arm(scrape->sync_timer, 0, 0);
}

/* --- about itself ----------------------------------------------------------------- */

enum {
	TARGETS,
	SCRAPES,
	SAMPLES,
	REFUSED,
	UNRELABELLED,
	SERIES,
	BODY_BYTES,
	BROKEN_FILES,
	FAMILIES
};

static const struct family families[FAMILIES] = {
    [TARGETS] = {"bpftally_scrape_targets", "Targets, by job and state.", "",
		 METRIC_GAUGE, 1080},
    [SCRAPES] = {"bpftally_scrapes", "Scrapes, by what came of them.", "",
		 METRIC_COUNTER, 1081},
    [SAMPLES] = {"bpftally_scrape_samples",
		 "Samples that scrapes handed on, with stale markers and reports.", "",
		 METRIC_COUNTER, 1082},
    [REFUSED] = {"bpftally_scrape_samples_dropped",
		 "Scraped samples that were not handed on for their time, by reason.",
		 "", METRIC_COUNTER, 1083},
    [UNRELABELLED] =
	{"bpftally_scrape_unrelabelled_series",
	 "Scraped series that are not handed on, as the rules could not be "
	 "carried out on them.",
	 "", METRIC_COUNTER, 1084},
    [SERIES] = {"bpftally_scrape_series", "Scraped series that are known.", "",
		METRIC_GAUGE, 1085},
    [BODY_BYTES] = {"bpftally_scrape_body_bytes",
		    "Bytes of bodies that were read, decoded.", "bytes", METRIC_COUNTER,
		    1086},
    [BROKEN_FILES] = {"bpftally_scrape_broken_files",
		      "Files of targets that cannot be read.", "", METRIC_GAUGE, 1087},
};

static const char *state_name(const struct scraped *scraped)
{
	if (!scraped->outcome.was_asked)
		return "unknown";
	return scraped->outcome.is_up ? "up" : "down";
}

static void describe_job(const struct scrape_job *job, struct snapshot *snapshot)
{
	static const char *const states[] = {"up", "down", "unknown"};

	for (size_t i = 0; i < LENGTH(states); i++) {
		const struct label labels[] = {{"scrape_job", job->config->job_name},
					       {"state", states[i]}};
		size_t count = 0;

		for (size_t j = 0; j < job->count; j++)
			count += !strcmp(state_name(job->targets[j]), states[i]);
		snapshot_value(snapshot, &families[TARGETS],
			       snapshot_labels(snapshot, labels, LENGTH(labels)),
			       (double)count);
	}
}

static void describe_by(struct snapshot *snapshot, const struct family *family,
			const char *name, const char *value, uint64_t number)
{
	const struct label label = {name, value};

	snapshot_value(snapshot, family, snapshot_labels(snapshot, &label, 1),
		       (double)number);
}

static size_t count_series(const struct scrape *scrape)
{
	size_t count = 0;

	for (size_t i = 0; i < scrape->job_count; i++) {
		for (size_t j = 0; j < scrape->jobs[i].count; j++)
			count +=
			    scrape_series_count(scrape->jobs[i].targets[j]->series);
	}
	return count;
}

void scrape_describe(const struct scrape *scrape, struct snapshot *snapshot)
{
	static const char *const results[SCRAPED_RESULTS] = {
	    [SCRAPED_OK] = "ok",
	    [SCRAPED_NO_ANSWER] = "no_answer",
	    [SCRAPED_BAD_STATUS] = "bad_status",
	    [SCRAPED_BAD_BODY] = "bad_body",
	    [SCRAPED_NOT_ASKED] = "not_asked"};
	const struct scraped_counters *counters = &scrape->counters;
	const struct label_set none = {0};

	for (size_t i = 0; i < scrape->job_count; i++)
		describe_job(&scrape->jobs[i], snapshot);
	for (size_t i = 0; i < LENGTH(results); i++)
		describe_by(snapshot, &families[SCRAPES], "result", results[i],
			    counters->results[i]);
	snapshot_value(snapshot, &families[SAMPLES], none, (double)counters->samples);
	describe_by(snapshot, &families[REFUSED], "reason", "duplicate",
		    counters->duplicates);
	describe_by(snapshot, &families[REFUSED], "reason", "out_of_order",
		    counters->out_of_order);
	describe_by(snapshot, &families[REFUSED], "reason", "out_of_bounds",
		    counters->out_of_bounds);
	snapshot_value(snapshot, &families[UNRELABELLED], none,
		       (double)counters->unrelabelled);
	snapshot_value(snapshot, &families[SERIES], none, (double)count_series(scrape));
	snapshot_value(snapshot, &families[BODY_BYTES], none,
		       (double)counters->body_bytes);
	if (scrape->files)
		snapshot_value(snapshot, &families[BROKEN_FILES], none,
			       (double)file_sd_broken(scrape->files));
}

static void view(const struct scraped *scraped, scrape_visit visit, void *context)
{
	AUTO_FREE char *url = client_shown_url(scraped->target->url);
	const struct scrape_view seen = {
	    .job_name = scraped->config->job_name,
	    .url = url ? url : "",
	    .state = state_name(scraped),
	    .error = scraped->outcome.error,
	    .duration_s = scraped->outcome.duration_s,
	    .series = scrape_series_count(scraped->series),
	};

	visit(context, &seen);
}

void scrape_each(const struct scrape *scrape, scrape_visit visit, void *context)
{
	for (size_t i = 0; i < scrape->job_count; i++) {
		for (size_t j = 0; j < scrape->jobs[i].count; j++)
			view(scrape->jobs[i].targets[j], visit, context);
	}
}

/* --- life ------------------------------------------------------------------------- */

static int make_jobs(struct scrape *scrape)
{
	const struct config *config = scrape->config;
	int err = 0;

	scrape->jobs = calloc(config->scrape_count, sizeof(*scrape->jobs));
	scrape->observed = calloc(config->scrape_count, sizeof(*scrape->observed));
	if (!scrape->jobs || !scrape->observed)
		return -ENOMEM;
	for (size_t i = 0; !err && i < config->scrape_count; i++) {
		const struct config_scrape *job = &config->scrapes[i];

		err = scrape_job_init(&scrape->jobs[i], job);
		scrape->job_count++;
		for (size_t j = 0; !err && j < job->file_sd_count; j++)
			err = file_sd_add(scrape->files, &job->file_sds[j]);
	}
	return err;
}

static int observe_processes(struct scrape *scrape, const struct observer *observer)
{
	const struct config *config = scrape->config;
	int err = 0;

	for (size_t i = 0; !err && i < config->scrape_count; i++) {
		const struct config_scrape *job = &config->scrapes[i];

		if (job->observed_processes && observer)
			err = observed_create(scrape->loop, job, observer, on_news,
					      scrape, &scrape->observed[i]);
	}
	return err;
}

static void make_seed(struct scrape *scrape)
{
	char host[HOST_LEN] = "";

	/* A name that cannot be read is as good as none. */
	if (gethostname(host, sizeof(host) - 1))
		*host = 0;
	scrape->seed = table_hash(0, host, strlen(host));
}

static int start(struct scrape *scrape, const struct observer *observer)
{
	struct loop *loop = scrape->loop;
	int err = loop_timer_create(loop, on_due, scrape, &scrape->timer);

	if (!err)
		err = loop_timer_create(loop, on_sync, scrape, &scrape->sync_timer);
	if (!err)
		err = scrape_slots_create(loop, scrape->push, on_answer, scrape,
					  &scrape->slots);
	if (!err)
		err = file_sd_create(loop, on_news, scrape, &scrape->files);
	if (!err)
		err = make_jobs(scrape);
	if (!err)
		err = observe_processes(scrape, observer);
	return err ? err : sync_jobs(scrape);
}

int scrape_create(struct loop *loop, const struct config *config, struct push *push,
		  const struct observer *observer, struct scrape **ret_scrape)
{
	CLEANUP(scrape_free) struct scrape *scrape = calloc(1, sizeof(*scrape));
	int err;

	if (!scrape)
		return -ENOMEM;
	scrape->loop = loop;
	scrape->config = config;
	scrape->push = push;
	make_seed(scrape);
	err = start(scrape, observer);
	if (err) {
		log_error("cannot start scraping: %s", strerror(-err));
		return err;
	}
	*ret_scrape = TAKE(scrape);
	return 0;
}

void scrape_stop(struct scrape *scrape)
{
	for (size_t i = 0; i < scrape->job_count; i++)
		observed_free(&scrape->observed[i]);
	file_sd_free(&scrape->files);
	scrape_slots_free(&scrape->slots);
	loop_timer_free(&scrape->timer);
	loop_timer_free(&scrape->sync_timer);
}

void scrape_free(struct scrape **scrape)
{
	if (!*scrape)
		return;
	scrape_stop(*scrape);
	for (size_t i = 0; i < (*scrape)->job_count; i++)
		scrape_job_free(&(*scrape)->jobs[i]);
	free((*scrape)->jobs);
	free((*scrape)->observed);
	due_free(&(*scrape)->due);
	free((*scrape)->ended);
	free(*scrape);
	*scrape = NULL;
}
