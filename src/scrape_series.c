/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body is read whole (scrape_body), which teaches new texts of series (scrape_texts)
 * to what they lead: labels are made once (scrape_labels), each series is known once
 * (scrape_known), and its metric may have a start (scrape_starts). Only then does any
 * of it go out, with markers for what is lacking.
 *
 * Where this differs from Prometheus 2.42: of a body that is bad in line n, it does not
 * mark those series stale that came before line n; we do, as for any scrape that fails.
 */
#include "scrape_series.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "scrape_body.h"
#include "scrape_exemplar.h"
#include "scrape_report.h"

/* === what goes out =========================================================== */

struct scrape_outlet {
	const struct scrape_series_config *config;
	struct scrape_families *families;
	struct scrape_known_set *known;
	struct scrape_exemplar *exemplars;
	uint32_t completed; /* the last scrape whose series are all told */
	size_t tracked;     /* series in it */
	uint32_t round;     /* series go out once in each */

	/* This scrape's: */
	const struct scrape_series_sink *sink;
	struct scrape_series_result *result;
	int64_t time_ms;
	uint32_t scrape;
	size_t now_tracked, still; /* of these, in the completed one */
	int error;
};

static void scrape_outlet_free(struct scrape_outlet **outlet)
{
	if (!*outlet)
		return;
	scrape_exemplar_free(&(*outlet)->exemplars);
	free(*outlet);
	*outlet = NULL;
}

static int scrape_outlet_create(const struct scrape_series_config *config,
				struct scrape_families *families,
				struct scrape_known_set *known,
				struct scrape_outlet **ret_outlet)
{
	CLEANUP(scrape_outlet_free)
	struct scrape_outlet *outlet = calloc(1, sizeof(*outlet));
	int err;

	if (!outlet)
		return -ENOMEM;
	outlet->config = config;
	outlet->families = families;
	outlet->known = known;
	err = scrape_exemplar_create(&outlet->exemplars);
	if (err)
		return err;
	*ret_outlet = TAKE(outlet);
	return 0;
}

static void scrape_outlet_begin(struct scrape_outlet *outlet, uint32_t scrape,
				int64_t time_ms, const struct scrape_series_sink *sink,
				struct scrape_series_result *result)
{
	outlet->round++;
	outlet->sink = sink;
	outlet->result = result;
	outlet->time_ms = time_ms;
	outlet->scrape = scrape;
	outlet->now_tracked = outlet->still = 0;
	outlet->error = 0;
}

/* --- what a sample has with it ------------------------------------------------ */

static const struct family *family_of(struct scrape_outlet *outlet,
				      struct scrape_text *of)
{
	const struct slice raw = {of->text + of->name_at, of->name_len};
	AUTO_FREE char *text = NULL;
	uint64_t generation = scrape_families_generation(outlet->families) + 1;

	if (of->family.generation == generation)
		return of->family.family;
	text = malloc(raw.len + 1);
	if (!text)
		return &scrape_families_unknown;
	of->family.family = scrape_families_find(
	    outlet->families, (struct slice){text, textparse_unescape(raw, text)});
	of->family.generation = generation;
	return of->family.family;
}

/* In ms; 0: none. What says when others began did not begin itself. */
static int64_t start_of(const struct scrape_outlet *outlet,
			const struct scrape_text *text, int64_t time_ms)
{
	const enum metric_type type = text->known->out.family->type;

	if (!text->start || text->is_created)
		return 0;
	return type == METRIC_COUNTER || type == METRIC_HISTOGRAM ||
		       type == METRIC_SUMMARY
		   ? scrape_start_ms(text->start, time_ms, outlet->scrape)
		   : 0;
}

static const struct exemplar *exemplar_of(struct scrape_outlet *outlet,
					  const struct scrape_pending *pending,
					  const char *end)
{
	struct scrape_exemplar_last *last;
	struct textparse parser;
	struct textparse_entry entry;

	if (!pending->exemplar)
		return NULL;
	last = scrape_last_exemplar(&pending->text->known->last);
	textparse_init(&parser, TEXTPARSE_OPENMETRICS, pending->exemplar,
		       (size_t)(end - pending->exemplar));
	if (!last || textparse_next(&parser, &entry) != TEXTPARSE_SAMPLE)
		return NULL;
	return scrape_exemplar_make(outlet->exemplars, &entry.exemplar,
				    pending->time_ms, last);
}

/* --- samples ------------------------------------------------------------------ */

static int hand_out(struct scrape_outlet *outlet, struct scrape_known *known,
		    const struct sample *sample)
{
	const struct scrape_series_sink *sink = outlet->sink;
	int err = 0;

	if (known->out.round == outlet->round) {
		err = sink->again ? sink->again(sink->context) : 0;
		outlet->round++;
	}
	if (err)
		return err;
	known->out.round = outlet->round;
	known->last.time_ms = sample->time_ms;
	known->last.bits = sample->bits;
	return sink->add(sink->context, sample);
}

static bool was_in_completed(const struct scrape_outlet *outlet,
			     const struct scrape_known *known)
{
	return known->out.tracked == outlet->completed && outlet->completed;
}

static void track(struct scrape_outlet *outlet, struct scrape_known *known)
{
	outlet->still += was_in_completed(outlet, known);
	outlet->now_tracked += known->out.tracked != outlet->scrape;
	known->out.tracked = outlet->scrape;
}

/* Whether it may go out; if not, it is counted. */
static bool is_due(struct scrape_outlet *outlet, const struct scrape_pending *pending)
{
	struct scrape_series_result *result = outlet->result;

	switch (scrape_last_judge(&pending->text->known->last, pending->time_ms,
				  pending->bits, outlet->time_ms)) {
	case SCRAPE_LAST_FOLLOWS:
		return true;
	case SCRAPE_LAST_SAME:
		break;
	case SCRAPE_LAST_DUPLICATE:
		result->duplicates++;
		break;
	case SCRAPE_LAST_OLDER:
		result->out_of_order++;
		break;
	case SCRAPE_LAST_FAR:
		result->out_of_bounds++;
		break;
	}
	return false;
}

static int add_one(struct scrape_outlet *outlet, const struct scrape_pending *pending,
		   const char *end)
{
	struct scrape_text *text = pending->text;
	struct scrape_known *known = text->known;
	struct sample sample;

	if (known->is_report) {
		outlet->result->duplicates++;
		return 0;
	}
	known->out.family = family_of(outlet, text);
	if (!pending->has_time || outlet->config->track_timestamps_staleness)
		track(outlet, known);
	if (!is_due(outlet, pending))
		return 0;
	sample = (struct sample){
	    .labels = known->labels,
	    .label_count = known->label_count,
	    .family = known->out.family,
	    .time_ms = pending->time_ms,
	    .start_ms = start_of(outlet, text, pending->time_ms),
	    .bits = pending->bits,
	    .exemplar = exemplar_of(outlet, pending, end),
	};
	return hand_out(outlet, known, &sample);
}

static int scrape_outlet_add(struct scrape_outlet *outlet,
			     const struct scrape_body *body)
{
	int err = 0;

	for (size_t i = 0; i < body->count && !err; i++)
		err = add_one(outlet, &body->pending[i], body->bytes + body->len);
	return err;
}

/* --- markers ------------------------------------------------------------------ */

/* Of the completed scrape, and not in this one. */
static void mark_stale(void *context, struct scrape_known *known)
{
	struct scrape_outlet *outlet = context;
	const struct sample sample = {
	    .labels = known->labels,
	    .label_count = known->label_count,
	    .family = known->out.family,
	    .time_ms = outlet->time_ms,
	    .bits = SAMPLE_STALE,
	};

	if (outlet->error || !was_in_completed(outlet, known))
		return;
	scrape_last_forget_future(&known->last, outlet->time_ms);
	/* With a time of its own it may be ahead. */
	if (known->last.time_ms < outlet->time_ms) {
		outlet->error = hand_out(outlet, known, &sample);
		outlet->result->stale += !outlet->error;
	}
	if (!outlet->error)
		known->out.tracked = 0;
}

/* After an error: those of the completed scrape wait for the next one. */
static void carry_over(void *context, struct scrape_known *known)
{
	struct scrape_outlet *outlet = context;

	if (!was_in_completed(outlet, known))
		return;
	track(outlet, known);
	/* Its own is let go before it may be seen again. */
	known->out.family = &scrape_families_unknown;
}

static int scrape_outlet_finish(struct scrape_outlet *outlet, int err)
{
	outlet->error = err;
	if (!err && outlet->still < outlet->tracked)
		scrape_known_each(outlet->known, mark_stale, outlet);
	if (outlet->error)
		scrape_known_each(outlet->known, carry_over, outlet);
	outlet->completed = outlet->scrape;
	outlet->tracked = outlet->now_tracked;
	return outlet->error;
}

/* === all of it =============================================================== */

struct scrape_series {
	const struct scrape_series_config *config;
	struct registry_keys keys;
	struct scrape_labels *labels;
	struct scrape_families *families;
	struct scrape_starts *starts;
	struct scrape_known_set *known;
	struct scrape_texts *texts;
	struct scrape_outlet *outlet;
	uint32_t scrape; /* the number of the last call */
	bool has_reported;
};

/* --- life --------------------------------------------------------------------- */

static int create_parts(struct scrape_series *series)
{
	struct scrape_texts_links links = {.keys = &series->keys};
	int err = scrape_labels_create(series->config, &series->labels);

	if (!err)
		err = scrape_families_create(&series->families);
	if (!err)
		err = scrape_starts_create(&series->keys, &series->starts);
	if (!err)
		err =
		    scrape_known_create(&series->keys, series->labels, &series->known);
	if (err)
		return err;
	links.labels = series->labels;
	links.known = series->known;
	links.starts = series->starts;
	err = scrape_texts_create(&links, &series->texts);
	if (!err)
		err = scrape_outlet_create(series->config, series->families,
					   series->known, &series->outlet);
	return err;
}

int scrape_series_create(const struct scrape_series_config *config,
			 struct scrape_series **ret_series)
{
	CLEANUP(scrape_series_free)
	struct scrape_series *series = calloc(1, sizeof(*series));
	int err;

	if (!series)
		return -ENOMEM;
	series->config = config;
	registry_keys_init(&series->keys);
	err = create_parts(series);
	if (err)
		return err;
	*ret_series = TAKE(series);
	return 0;
}

void scrape_series_free(struct scrape_series **series)
{
	struct scrape_series *gone = *series;

	if (!gone)
		return;
	scrape_outlet_free(&gone->outlet);
	scrape_texts_free(&gone->texts);
	scrape_known_free(&gone->known);
	scrape_starts_free(&gone->starts);
	scrape_families_free(&gone->families);
	scrape_labels_free(&gone->labels);
	free(gone);
	*series = NULL;
}

size_t scrape_series_count(const struct scrape_series *series)
{
	return scrape_texts_count(series->texts);
}

uint64_t scrape_series_unrelabelled(const struct scrape_series *series)
{
	return scrape_labels_failures(series->labels);
}

/* --- scrapes ------------------------------------------------------------------ */

static void begin(struct scrape_series *series, int64_t time_ms,
		  const struct scrape_series_sink *sink,
		  struct scrape_series_result *ret_result)
{
	*ret_result = (struct scrape_series_result){0};
	series->scrape++;
	scrape_texts_begin(series->texts, series->scrape);
	scrape_outlet_begin(series->outlet, series->scrape, time_ms, sink, ret_result);
}

/* Nothing that was read goes out. */
static int fail(struct scrape_series *series)
{
	int err = scrape_outlet_finish(series->outlet, 0);

	if (!err)
		scrape_texts_bound(series->texts);
	return err;
}

static int succeed(struct scrape_series *series, const struct scrape_body *body,
		   struct scrape_series_result *result)
{
	int err = scrape_families_commit(series->families);

	if (!err)
		err = scrape_outlet_add(series->outlet, body);
	err = scrape_outlet_finish(series->outlet, err);
	if (err)
		return err;
	/* An empty body is no reason to forget: Prometheus does not, either. */
	if (body->len)
		scrape_texts_settle(series->texts);
	result->is_up = true;
	return 0;
}

int scrape_series_body(struct scrape_series *series, enum textparse_format format,
		       const char *body, size_t len, int64_t time_ms,
		       const struct scrape_series_sink *sink,
		       struct scrape_series_result *ret_result)
{
	CLEANUP(scrape_body_free)
	struct scrape_body read = {
	    .config = series->config,
	    .families = series->families,
	    .texts = series->texts,
	    .format = format,
	    .bytes = body,
	    .len = len,
	    .time_ms = time_ms,
	};
	int err;

	begin(series, time_ms, sink, ret_result);
	read.scrape = series->scrape;
	scrape_families_begin(series->families);
	err = scrape_body_read(&read, ret_result);
	if (err)
		return err;
	return read.is_invalid ? fail(series) : succeed(series, &read, ret_result);
}

int scrape_series_failed(struct scrape_series *series, int64_t time_ms,
			 const struct scrape_series_sink *sink,
			 struct scrape_series_result *ret_result)
{
	begin(series, time_ms, sink, ret_result);
	return fail(series);
}

/* --- the end of a scrape ------------------------------------------------------- */

int scrape_series_report(struct scrape_series *series,
			 const struct scrape_series_result *result, double duration_s,
			 int64_t time_ms, const struct scrape_series_sink *sink)
{
	series->has_reported = true;
	return scrape_report_add(series->labels, result, duration_s, time_ms, sink);
}

int scrape_series_end(struct scrape_series *series, int64_t time_ms,
		      const struct scrape_series_sink *sink)
{
	struct scrape_series_result result;
	int err = scrape_series_failed(series, time_ms, sink, &result);

	if (err || !series->has_reported)
		return err;
	series->has_reported = false;
	return scrape_report_end(series->labels, time_ms, sink);
}
