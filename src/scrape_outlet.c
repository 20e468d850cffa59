/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_outlet.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "scrape_exemplar.h"

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

int scrape_outlet_create(const struct scrape_series_config *config,
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

void scrape_outlet_free(struct scrape_outlet **outlet)
{
	if (!*outlet)
		return;
	scrape_exemplar_free(&(*outlet)->exemplars);
	free(*outlet);
	*outlet = NULL;
}

void scrape_outlet_begin(struct scrape_outlet *outlet, uint32_t scrape, int64_t time_ms,
			 const struct scrape_series_sink *sink,
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

int scrape_outlet_add(struct scrape_outlet *outlet, const struct scrape_body *body)
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

int scrape_outlet_finish(struct scrape_outlet *outlet, int err)
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
