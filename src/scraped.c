/* SPDX-License-Identifier: Apache-2.0 */
#include "scraped.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "client.h"
#include "log.h"
#include "slice.h"
#include "timeline.h"

#define SLOW_S 1.0
#define NO_COLLECTION UINT64_MAX

/* --- samples to push ----------------------------------------------------------------
 */

struct hand_over {
	struct push *push;
	struct scraped *scraped;
	struct scraped_counters *counters;
	int64_t time_ms;
};

static int add(void *context, const struct sample *sample)
{
	struct hand_over *to = context;

	push_add(to->push, sample, to->time_ms);
	to->counters->samples++;
	return to->scraped->assemble ? assemble_add(to->scraped->assemble, sample) : 0;
}

static void add_metric(void *context, const struct sample_metric *metric)
{
	struct hand_over *to = context;

	push_add_metric(to->push, metric, to->time_ms);
}

/* From the first scrape on that somebody wants metrics of. */
static int begin_metrics(struct scraped *scraped, const struct push *push)
{
	if (scraped->assemble || !push_wants_metrics(push))
		return 0;
	return assemble_create(&scraped->assemble);
}

static int hand_over_metrics(struct hand_over *to)
{
	struct assemble *assemble = to->scraped->assemble;

	return assemble ? assemble_finish(assemble, add_metric, to) : 0;
}

static int again(void *context)
{
	struct hand_over *to = context;

	push_commit(to->push);
	return 0;
}

static struct scrape_series_sink sink_to(struct hand_over *to)
{
	return (struct scrape_series_sink){.add = add, .again = again, .context = to};
}

/* A series is once in a collection. */
static void open_collection(struct scraped *scraped, struct push *push)
{
	if (scraped->collection == push_collection(push))
		push_commit(push);
}

static void close_collection(struct scraped *scraped, struct push *push)
{
	scraped->collection = push_collection(push);
}

int64_t scraped_time_ms(const struct scraped *scraped, struct push *push)
{
	int64_t now_ms = push_time_ms(push);

	if (now_ms > scraped->last_ms ||
	    scraped->last_ms - now_ms > TIMELINE_FOLLOWED_MS)
		return now_ms;
	return scraped->last_ms + 1;
}

/* --- what came -------------------------------------------------------------------- */

static bool is_type(const char *content_type, const char *type)
{
	size_t len = strlen(type);

	return !strncasecmp(content_type, type, len) &&
	       strchr("; \t", content_type[len]);
}

/* As Prometheus 2.42, which reads what it does not know as text. */
enum textparse_format scraped_format(const struct config_scrape *config,
				     const char *content_type)
{
	enum config_exposition exposition = config->fallback;

	if (content_type && is_type(content_type, "application/openmetrics-text"))
		exposition = CONFIG_EXPOSITION_OPENMETRICS;
	else if (content_type && is_type(content_type, "text/plain"))
		exposition = CONFIG_EXPOSITION_TEXT;
	return exposition == CONFIG_EXPOSITION_OPENMETRICS ? TEXTPARSE_OPENMETRICS
							   : TEXTPARSE_PROMETHEUS;
}

static int take_body(struct scraped *scraped, const struct scraped_answer *answer,
		     const struct scrape_series_sink *sink,
		     struct scrape_series_result *ret_result)
{
	if (answer->result != SCRAPED_OK)
		return scrape_series_failed(scraped->series, answer->time_ms, sink,
					    ret_result);
	return scrape_series_body(
	    scraped->series, scraped_format(scraped->config, answer->content_type),
	    answer->body, answer->len, answer->time_ms, sink, ret_result);
}

static void count(struct scraped_counters *counters, enum scraped_result result,
		  const struct scrape_series_result *series, size_t body_len)
{
	counters->results[result]++;
	counters->duplicates += series->duplicates;
	counters->out_of_order += series->out_of_order;
	counters->out_of_bounds += series->out_of_bounds;
	counters->body_bytes += body_len;
}

static void count_unrelabelled(struct scraped *scraped,
			       struct scraped_counters *counters)
{
	uint64_t now = scrape_series_unrelabelled(scraped->series);

	counters->unrelabelled += now - scraped->unrelabelled;
	scraped->unrelabelled = now;
}

/* Its URL may hold a password. */
static void tell_error(const struct scraped *scraped, const char *what, int err)
{
	AUTO_FREE char *url = client_shown_url(scraped->target->url);

	log_error("cannot %s \"%s\": %s", what, url ? url : "", strerror(-err));
}

static void remember(struct scraped *scraped, const struct scraped_answer *answer,
		     const struct scrape_series_result *result)
{
	const char *error =
	    answer->result == SCRAPED_OK ? result->reason : answer->error;

	scraped->outcome.was_asked = true;
	scraped->outcome.is_up = answer->result == SCRAPED_OK && result->is_up;
	scraped->outcome.is_slow =
	    answer->result == SCRAPED_NO_ANSWER || answer->duration_s > SLOW_S;
	scraped->outcome.duration_s = answer->duration_s;
	scraped->last_ms = answer->time_ms;
	snprintf(scraped->outcome.error, sizeof(scraped->outcome.error), "%s",
		 scraped->outcome.is_up ? "" : error);
	if (!scraped->outcome.is_up)
		log_debug("job \"%s\": a scrape failed: %s", scraped->config->job_name,
			  scraped->outcome.error);
}

void scraped_take(struct scraped *scraped, const struct scraped_answer *answer,
		  struct push *push, struct scraped_counters *counters)
{
	struct hand_over to = {push, scraped, counters, answer->time_ms};
	const struct scrape_series_sink sink = sink_to(&to);
	struct scrape_series_result result = {0};
	enum scraped_result became = answer->result;
	int err = begin_metrics(scraped, push), late;

	open_collection(scraped, push);
	if (!err)
		err = take_body(scraped, answer, &sink, &result);
	if (!err)
		err = scrape_series_report(scraped->series, &result, answer->duration_s,
					   answer->time_ms, &sink);
	late = hand_over_metrics(&to);
	close_collection(scraped, push);
	err = err ? err : late;
	if (became == SCRAPED_OK && !result.is_up)
		became = SCRAPED_BAD_BODY;
	count(counters, became, &result, answer->len);
	count_unrelabelled(scraped, counters);
	remember(scraped, answer, &result);
	if (err)
		tell_error(scraped, "take the answer of", err);
}

void scraped_end(struct scraped *scraped, struct push *push,
		 struct scraped_counters *counters)
{
	struct hand_over to = {push, scraped, counters, scraped_time_ms(scraped, push)};
	const struct scrape_series_sink sink = sink_to(&to);
	int err, late;

	open_collection(scraped, push);
	err = scrape_series_end(scraped->series, to.time_ms, &sink);
	late = hand_over_metrics(&to);
	close_collection(scraped, push);
	err = err ? err : late;
	if (err)
		tell_error(scraped, "end the series of", err);
}

/* --- life ------------------------------------------------------------------------- */

static void configure(struct scraped *scraped, const struct config_labels *external)
{
	const struct config_scrape *config = scraped->config;

	scraped->series_config = (struct scrape_series_config){
	    .labels = &scraped->target->labels,
	    .external = external,
	    .honor_labels = config->honor_labels,
	    .honor_timestamps = config->honor_timestamps,
	    .track_timestamps_staleness = config->track_timestamps_staleness,
	    .relabels = config->metric_relabels,
	    .relabel_count = config->metric_relabel_count,
	    .sample_limit = config->limits.samples,
	    .label_limit = config->limits.labels,
	    .label_name_length_limit = config->limits.label_name_bytes,
	    .label_value_length_limit = config->limits.label_value_bytes,
	};
}

int scraped_create(const struct config_scrape *config,
		   const struct config_labels *external, struct scrape_target **target,
		   struct scraped **ret_scraped)
{
	CLEANUP(scraped_free) struct scraped *scraped = calloc(1, sizeof(*scraped));
	int err;

	if (!scraped)
		return -ENOMEM;
	scraped->due.index = DUE_NOT_IN;
	scraped->collection = NO_COLLECTION;
	scraped->config = config;
	scraped->target = TAKE(*target);
	configure(scraped, external);
	err = scrape_series_create(&scraped->series_config, &scraped->series);
	if (err)
		return err;
	*ret_scraped = TAKE(scraped);
	return 0;
}

void scraped_free(struct scraped **scraped)
{
	if (!*scraped)
		return;
	scrape_series_free(&(*scraped)->series);
	assemble_free(&(*scraped)->assemble);
	scrape_target_free(&(*scraped)->target);
	free(*scraped);
	*scraped = NULL;
}
