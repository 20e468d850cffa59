/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two things are remembered: each text of a series, as it stands in the body, and each
 * series that comes out, which may have several texts (labels in another order). A text
 * leads to its series, so labels are made once; texts that rules drop lead nowhere.
 *
 * A body mostly has the texts of the last one, in the same order: after each text its
 * follower is expected, and where that comes, neither names nor labels are looked at,
 * nor is anything looked up.
 *
 * A body is read in one pass that hands out nothing, but keeps value and time of each
 * sample beside its text: 40 bytes a sample for as long as the call takes, where a
 * second pass over the text takes as long as the first one. Counts are of the first
 * pass: what Prometheus reports of a body that turns out bad half-way is what it read
 * until then.
 *
 * Series that were in the last scrape without a time of their own are tracked: they
 * become stale when one lacks them. `scrape` numbers the calls; `completed` is the last
 * one whose series are all told, so that an error in between loses no marker.
 *
 * Where this differs from Prometheus 2.42: of a body that is bad in line n, it does not
 * mark those series stale that came before line n; we do, as for any scrape that fails.
 */
#include "scrape_series.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "registry.h"
#include "scrape_exemplar.h"
#include "scrape_families.h"
#include "scrape_labels.h"
#include "scrape_last.h"
#include "scrape_report.h"
#include "scrape_starts.h"

/* Texts that bodies may leave behind that came to nothing: scrape.go, iterDone. */
#define LEFT_OVER_FACTOR 2
#define LEFT_OVER_SPARE 1000

struct series {
	size_t users; /* texts */
	struct scrape_last last;
	uint32_t tracked; /* the scrape it was in */
	uint32_t round;   /* it was handed out in */
	bool is_report;   /* one of the five that we add: the target's is not taken */
	const struct family *family;
	size_t text_len;
	size_t label_count;
	const char *text; /* names and values, a NUL behind each */
	struct label labels[];
};

struct known {
	struct known *follower;     /* NULL: not known yet */
	struct series *series;      /* NULL: dropped */
	struct scrape_start *start; /* NULL: it has none */
	const struct family *family;
	uint64_t generation; /* of families; 0: not looked for yet */
	uint32_t scrape;     /* the last one it was in */
	enum textparse_format format;
	bool is_created;          /* its value is that start */
	size_t name_at, name_len; /* of the metric, in the text */
	size_t len;
	char text[];
};

/* A sample that was read. */
struct pending {
	struct known *known;
	uint64_t bits;
	int64_t time_ms;
	const char *exemplar; /* the line that has one */
	bool has_time;
};

struct scrape_series {
	const struct scrape_series_config *config;
	struct registry_keys keys;
	struct scrape_labels *labels;
	struct scrape_families *families;
	struct scrape_exemplar *exemplars;
	struct scrape_starts *starts;
	struct registry texts, all;
	struct known *first, *last; /* of the last body */
	uint32_t scrape, completed;
	uint32_t round;
	size_t tracked;    /* series in the completed one */
	size_t left_after; /* texts after the last body that was good */
	bool has_reported;
	char *packed; /* labels of one series, as in struct series */
	size_t packed_capacity;
};

/* One body that is read. */
struct reading {
	struct scrape_series *series;
	struct textparse parser;
	enum textparse_format format;
	int64_t time_ms;
	struct scrape_series_result *result;
	bool is_invalid;
	struct known *before, *expected;
	size_t texts; /* different ones */
	struct pending *pending;
	size_t count, capacity;
};

/* What is handed out in one call. */
struct handing {
	struct scrape_series *series;
	const struct scrape_series_sink *sink;
	struct scrape_series_result *result;
	int64_t time_ms;
	uint32_t previous; /* the completed scrape */
	size_t tracked, still;
	int error;
};

/* --- life --------------------------------------------------------------------- */

static bool free_text(void *item, void *context)
{
	(void)context;
	free(item);
	return false;
}

static bool free_series(void *item, void *context)
{
	struct series *series = item;

	(void)context;
	scrape_last_free(&series->last);
	free(series);
	return false;
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
	err = scrape_labels_create(config, &series->labels);
	if (!err)
		err = scrape_families_create(&series->families);
	if (!err)
		err = scrape_starts_create(&series->keys, &series->starts);
	if (!err)
		err = scrape_exemplar_create(&series->exemplars);
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
	/* Texts have nothing else that is theirs alone. */
	registry_sweep(&gone->texts, free_text, NULL);
	registry_sweep(&gone->all, free_series, NULL);
	registry_free(&gone->texts);
	registry_free(&gone->all);
	scrape_starts_free(&gone->starts);
	scrape_labels_free(&gone->labels);
	scrape_families_free(&gone->families);
	scrape_exemplar_free(&gone->exemplars);
	free(gone->packed);
	free(gone);
	*series = NULL;
}

size_t scrape_series_count(const struct scrape_series *series)
{
	return series->texts.count;
}

uint64_t scrape_series_unrelabelled(const struct scrape_series *series)
{
	return scrape_labels_failures(series->labels);
}

/* --- series ------------------------------------------------------------------- */

static bool is_series(const void *item, const void *wanted)
{
	const struct series *series = item;
	const struct slice *text = wanted;

	return series->text_len == text->len &&
	       !memcmp(series->text, text->text, text->len);
}

/* Its names and values one behind the other. */
static int pack_labels(struct scrape_series *series, const struct label_set *set,
		       struct slice *ret_packed)
{
	size_t len = 0;
	char *at;

	for (size_t i = 0; i < set->count; i++)
		len += strlen(set->labels[i].name) + strlen(set->labels[i].value) + 2;
	if (len > series->packed_capacity) {
		at = realloc(series->packed, len);
		if (!at)
			return -ENOMEM;
		series->packed = at;
		series->packed_capacity = len;
	}
	at = series->packed;
	for (size_t i = 0; i < set->count; i++) {
		at = stpcpy(at, set->labels[i].name) + 1;
		at = stpcpy(at, set->labels[i].value) + 1;
	}
	*ret_packed = (struct slice){series->packed, len};
	return 0;
}

static struct series *make_series(struct slice packed, size_t label_count)
{
	const size_t labels = label_count * sizeof(struct label);
	struct series *made = calloc(1, sizeof(*made) + labels + packed.len);
	char *at;

	if (!made)
		return NULL;
	at = (char *)(made->labels + label_count);
	memcpy(at, packed.text, packed.len);
	made->text = at;
	made->text_len = packed.len;
	made->label_count = label_count;
	scrape_last_init(&made->last);
	for (size_t i = 0; i < label_count; i++) {
		made->labels[i].name = at;
		at += strlen(at) + 1;
		made->labels[i].value = at;
		at += strlen(at) + 1;
	}
	return made;
}

static const char *name_of(const struct series *series)
{
	for (size_t i = 0; i < series->label_count; i++)
		if (!strcmp(series->labels[i].name, "__name__"))
			return series->labels[i].value;
	return "";
}

/* Whether it has the labels of one that we add: then that is the only one, or a
 * receiver would be told two values at one time, and refuse what else is in the
 * request. */
static int judge_name(struct scrape_series *series, struct series *made)
{
	const char *name = name_of(made);
	struct label_set set;
	struct slice packed;
	int err;

	if (!scrape_report_has(name))
		return 0;
	err = scrape_labels_report(series->labels, name, &set);
	if (!err)
		err = pack_labels(series, &set, &packed);
	if (!err)
		made->is_report = is_series(made, &packed);
	return err;
}

static int find_series(struct scrape_series *series, const struct label_set *set,
		       struct series **ret_found)
{
	struct slice packed;
	struct series *found;
	uint64_t hash;
	int err = pack_labels(series, set, &packed);

	if (err)
		return err;
	hash = registry_hash(&series->keys, packed.text, packed.len);
	found = registry_find(&series->all, hash, is_series, &packed);
	if (!found) {
		found = make_series(packed, set->count);
		if (!found)
			return -ENOMEM;
		err = judge_name(series, found);
		if (!err)
			err = registry_add(&series->all, hash, found);
		if (err) {
			free(found);
			return err;
		}
	}
	*ret_found = found;
	return 0;
}

/* --- texts -------------------------------------------------------------------- */

static bool is_known(const void *item, const void *wanted)
{
	const struct known *known = item;
	const struct slice *text = wanted;

	return known->len == text->len && !memcmp(known->text, text->text, text->len);
}

static int invalid(struct reading *reading, const char *reason)
{
	const struct textparse *parser = &reading->parser;
	size_t line = 1;

	/* The line of the entry that was read last, which ends before `at`. */
	for (const char *at = parser->body; at + 1 < parser->at; at++)
		line += *at == '\n';
	reading->is_invalid = true;
	snprintf(reading->result->reason, SCRAPE_SERIES_REASON_LEN, "line %zu: %.200s",
		 line, reason);
	return 0;
}

static struct known *make_known(struct reading *reading,
				const struct textparse_entry *entry)
{
	struct known *known = calloc(1, sizeof(*known) + entry->series.len);

	if (!known)
		return NULL;
	memcpy(known->text, entry->series.text, entry->series.len);
	known->len = entry->series.len;
	known->name_at = (size_t)(entry->name.text - entry->series.text);
	known->name_len = entry->name.len;
	known->format = reading->format;
	return known;
}

/* The text of a series that was not known. *ret NULL: it is invalid. */
static int learn(struct reading *reading, const struct textparse_entry *entry,
		 uint64_t hash, struct known **ret_known)
{
	struct scrape_series *series = reading->series;
	char reason[SCRAPE_SERIES_REASON_LEN];
	AUTO_FREE struct known *known = NULL;
	enum scrape_labels_verdict verdict;
	struct label_set set;
	int err = scrape_labels_make(series->labels, entry, &verdict, &set, reason);

	*ret_known = NULL;
	if (err)
		return err;
	if (verdict == SCRAPE_LABELS_INVALID)
		return invalid(reading, reason);
	known = make_known(reading, entry);
	if (!known)
		return -ENOMEM;
	if (verdict == SCRAPE_LABELS_GOOD)
		err = find_series(series, &set, &known->series);
	if (!err)
		err = scrape_starts_find(series->starts, entry, &known->start,
					 &known->is_created);
	if (!err)
		err = registry_add(&series->texts, hash, known);
	if (err)
		return err;
	if (known->series)
		known->series->users++;
	scrape_start_use(known->start);
	*ret_known = TAKE(known);
	return 0;
}

static int find_known(struct reading *reading, const struct textparse_entry *entry,
		      struct known **ret_known, bool *ret_is_new)
{
	struct scrape_series *series = reading->series;
	const struct slice text = entry->series;
	const uint64_t hash = registry_hash(&series->keys, text.text, text.len);

	*ret_known = registry_find(&series->texts, hash, is_known, &text);
	*ret_is_new = !*ret_known;
	return *ret_known ? 0 : learn(reading, entry, hash, ret_known);
}

/* --- reading ------------------------------------------------------------------ */

/* What the next body will expect. */
static void follow(struct reading *reading, struct known *known)
{
	struct known **place =
	    reading->before ? &reading->before->follower : &reading->series->first;

	if (*place != known)
		*place = known;
	reading->before = reading->series->last = known;
	reading->expected = known->follower;
	known->format = reading->format;
	reading->texts += known->scrape != reading->series->scrape;
	known->scrape = reading->series->scrape;
}

/* Whether Prometheus counts it as added: it compares with earlier scrapes alone. */
static bool would_be_added(const struct pending *pending, int64_t now_ms)
{
	enum scrape_last_verdict verdict = scrape_last_judge(
	    &pending->known->series->last, pending->time_ms, pending->bits, now_ms);

	return verdict == SCRAPE_LAST_FOLLOWS || verdict == SCRAPE_LAST_SAME;
}

static int keep_sample(struct reading *reading, const struct pending *pending)
{
	if (reading->count == reading->capacity) {
		const size_t capacity =
		    reading->capacity ? reading->capacity * 2 : 1024;
		struct pending *items =
		    reallocarray(reading->pending, capacity, sizeof(*items));

		if (!items)
			return -ENOMEM;
		reading->pending = items;
		reading->capacity = capacity;
	}
	reading->pending[reading->count++] = *pending;
	return 0;
}

static int note_sample(struct reading *reading, struct known *known, bool is_new,
		       const struct textparse_entry *entry)
{
	const struct scrape_series_config *config = reading->series->config;
	struct scrape_series_result *result = reading->result;
	struct pending pending = {
	    .known = known,
	    .bits = entry->bits,
	    .time_ms = reading->time_ms,
	    .has_time = entry->has_time && config->honor_timestamps,
	    .exemplar = entry->has_exemplar ? entry->series.text : NULL,
	};
	bool is_beyond;

	follow(reading, known);
	if (known->is_created)
		scrape_start_note(known->start, entry->bits, reading->time_ms,
				  reading->series->scrape);
	if (!known->series)
		return 0;
	scrape_last_forget_future(&known->series->last, reading->time_ms);
	if (pending.has_time)
		pending.time_ms = entry->time_ms;
	result->relabeled++;
	is_beyond = config->sample_limit && result->relabeled > config->sample_limit;
	result->added +=
	    is_new && !is_beyond && would_be_added(&pending, reading->time_ms);
	return is_beyond ? 0 : keep_sample(reading, &pending);
}

static int read_sample(struct reading *reading, struct known *known,
		       const struct textparse_entry *entry)
{
	bool is_new = false;
	int err = 0;

	reading->result->scraped++;
	if (!known)
		err = find_known(reading, entry, &known, &is_new);
	return err || !known ? err : note_sample(reading, known, is_new, entry);
}

static bool take_expected(struct reading *reading, enum textparse_kind *ret_kind,
			  struct textparse_entry *ret_entry)
{
	const struct known *known = reading->expected;

	return known && known->format == reading->format &&
	       textparse_expect(&reading->parser,
				(struct slice){known->text, known->len}, ret_kind,
				ret_entry);
}

static void refuse_line(struct reading *reading, const struct textparse_entry *entry)
{
	reading->is_invalid = true;
	snprintf(reading->result->reason, SCRAPE_SERIES_REASON_LEN, "line %zu: %s",
		 entry->line, entry->reason);
}

/* All of it, or until something is wrong with it. */
static int read_body(struct reading *reading)
{
	const struct scrape_series_config *config = reading->series->config;
	struct scrape_series_result *result = reading->result;
	struct textparse_entry entry;
	enum textparse_kind kind;
	int err = 0;

	for (;;) {
		struct known *known = NULL;

		if (take_expected(reading, &kind, &entry))
			known = reading->expected;
		else
			kind = textparse_next(&reading->parser, &entry);
		if (kind == TEXTPARSE_END)
			break;
		if (kind == TEXTPARSE_INVALID)
			refuse_line(reading, &entry);
		else if (kind == TEXTPARSE_SAMPLE)
			err = read_sample(reading, known, &entry);
		else
			err = scrape_families_note(reading->series->families,
						   reading->format, kind, &entry);
		if (err || reading->is_invalid)
			return err;
	}
	if (!config->sample_limit || result->relabeled <= config->sample_limit)
		return 0;
	reading->is_invalid = true;
	snprintf(result->reason, SCRAPE_SERIES_REASON_LEN,
		 "sample_limit exceeded (%llu samples)",
		 (unsigned long long)result->relabeled);
	return 0;
}

/* --- handing out -------------------------------------------------------------- */

static const struct family *family_of(struct scrape_series *series, struct known *known)
{
	const struct slice raw = {known->text + known->name_at, known->name_len};
	AUTO_FREE char *text = NULL;
	uint64_t generation = scrape_families_generation(series->families) + 1;

	if (known->generation == generation)
		return known->family;
	text = malloc(raw.len + 1);
	if (!text)
		return &scrape_families_unknown;
	known->family = scrape_families_find(
	    series->families, (struct slice){text, textparse_unescape(raw, text)});
	known->generation = generation;
	return known->family;
}

static int64_t start_of(const struct scrape_series *series, const struct known *known,
			int64_t time_ms)
{
	const enum metric_type type = known->series->family->type;

	if (!known->start || known->is_created)
		return 0;
	return type == METRIC_COUNTER || type == METRIC_HISTOGRAM ||
		       type == METRIC_SUMMARY
		   ? scrape_start_ms(known->start, time_ms, series->scrape)
		   : 0;
}

static const struct exemplar *exemplar_of(struct scrape_series *series,
					  const struct pending *pending,
					  const char *end)
{
	struct scrape_exemplar_last *last;
	struct textparse parser;
	struct textparse_entry entry;

	if (!pending->exemplar)
		return NULL;
	last = scrape_last_exemplar(&pending->known->series->last);
	textparse_init(&parser, TEXTPARSE_OPENMETRICS, pending->exemplar,
		       (size_t)(end - pending->exemplar));
	if (!last || textparse_next(&parser, &entry) != TEXTPARSE_SAMPLE)
		return NULL;
	return scrape_exemplar_make(series->exemplars, &entry.exemplar,
				    pending->time_ms, last);
}

static int hand_out(struct handing *handing, struct series *series,
		    const struct sample *sample)
{
	struct scrape_series *all = handing->series;
	int err = 0;

	if (series->round == all->round) {
		err = handing->sink->again
			  ? handing->sink->again(handing->sink->context)
			  : 0;
		all->round++;
	}
	if (err)
		return err;
	series->round = all->round;
	series->last.time_ms = sample->time_ms;
	series->last.bits = sample->bits;
	return handing->sink->add(handing->sink->context, sample);
}

static void track(struct handing *handing, struct series *series)
{
	const uint32_t scrape = handing->series->scrape;

	handing->still += series->tracked == handing->previous && handing->previous;
	handing->tracked += series->tracked != scrape;
	series->tracked = scrape;
}

/* Whether it may go out; if not, it is counted. */
static bool is_due(struct handing *handing, const struct pending *pending)
{
	struct scrape_series_result *result = handing->result;

	switch (scrape_last_judge(&pending->known->series->last, pending->time_ms,
				  pending->bits, handing->time_ms)) {
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

static int hand_out_pending(struct handing *handing, const struct pending *pending,
			    const char *end)
{
	struct scrape_series *all = handing->series;
	struct known *known = pending->known;
	struct series *series = known->series;
	struct sample sample;

	if (series->is_report) {
		handing->result->duplicates++;
		return 0;
	}
	series->family = family_of(all, known);
	if (!pending->has_time || all->config->track_timestamps_staleness)
		track(handing, series);
	if (!is_due(handing, pending))
		return 0;
	sample = (struct sample){
	    .labels = series->labels,
	    .label_count = series->label_count,
	    .family = series->family,
	    .time_ms = pending->time_ms,
	    .start_ms = start_of(all, known, pending->time_ms),
	    .bits = pending->bits,
	    .exemplar = exemplar_of(all, pending, end),
	};
	return hand_out(handing, series, &sample);
}

/* Of the previous scrape, and not in this one. */
static bool mark_stale(void *item, void *context)
{
	struct handing *handing = context;
	struct series *series = item;
	const struct sample sample = {
	    .labels = series->labels,
	    .label_count = series->label_count,
	    .family = series->family,
	    .time_ms = handing->time_ms,
	    .bits = SAMPLE_STALE,
	};

	if (handing->error || series->tracked != handing->previous ||
	    !handing->previous)
		return true;
	scrape_last_forget_future(&series->last, handing->time_ms);
	/* With a time of its own it may be ahead. */
	if (series->last.time_ms < handing->time_ms) {
		handing->error = hand_out(handing, series, &sample);
		handing->result->stale += !handing->error;
	}
	if (!handing->error)
		series->tracked = 0;
	return true;
}

/* After an error: those of the previous scrape wait for the next one. */
static bool carry_over(void *item, void *context)
{
	struct handing *handing = context;
	struct series *series = item;

	if (series->tracked && series->tracked == handing->previous) {
		track(handing, series);
		/* Its own is let go before it may be seen again. */
		series->family = &scrape_families_unknown;
	}
	return true;
}

static int complete(struct handing *handing)
{
	struct scrape_series *series = handing->series;

	if (!handing->error && handing->still < series->tracked)
		registry_sweep(&series->all, mark_stale, handing);
	if (handing->error)
		registry_sweep(&series->all, carry_over, handing);
	series->completed = series->scrape;
	series->tracked = handing->tracked;
	return handing->error;
}

static struct handing begin_handing(struct scrape_series *series, int64_t time_ms,
				    const struct scrape_series_sink *sink,
				    struct scrape_series_result *result)
{
	series->round++;
	return (struct handing){
	    .series = series,
	    .sink = sink,
	    .result = result,
	    .time_ms = time_ms,
	    .previous = series->completed,
	};
}

/* --- forgetting --------------------------------------------------------------- */

static bool is_current(const struct scrape_series *series, const struct known *known)
{
	return known && known->scrape == series->scrape;
}

static bool is_in_scrape(void *item, void *context)
{
	struct known *known = item;

	if (is_current(context, known))
		return true;
	if (known->series)
		known->series->users--;
	scrape_start_leave(known->start);
	free(known);
	return false;
}

static bool has_users(void *item, void *context)
{
	return ((const struct series *)item)->users || free_series(item, context);
}

/* Texts that were not in this scrape, and what they alone led to. Those that were have
 * one of them as a follower, but for the last one. */
static void forget(struct scrape_series *series)
{
	if (!is_current(series, series->first))
		series->first = NULL;
	if (is_current(series, series->last))
		series->last->follower = NULL;
	else
		series->last = NULL;
	registry_sweep(&series->texts, is_in_scrape, series);
	registry_sweep(&series->all, has_users, NULL);
	scrape_starts_forget(series->starts);
}

/* --- scrapes ------------------------------------------------------------------ */

/* Nothing that was read goes out. */
static int fail(struct scrape_series *series, int64_t time_ms,
		const struct scrape_series_sink *sink,
		struct scrape_series_result *result)
{
	struct handing handing = begin_handing(series, time_ms, sink, result);
	const size_t most = series->left_after * LEFT_OVER_FACTOR + LEFT_OVER_SPARE;

	if (complete(&handing))
		return handing.error;
	if (series->texts.count > most) {
		forget(series);
		series->left_after = series->texts.count;
	}
	return 0;
}

static int succeed(struct reading *reading, const struct scrape_series_sink *sink)
{
	struct scrape_series *series = reading->series;
	struct handing handing =
	    begin_handing(series, reading->time_ms, sink, reading->result);

	handing.error = scrape_families_commit(series->families);
	for (size_t i = 0; i < reading->count && !handing.error; i++)
		handing.error = hand_out_pending(&handing, &reading->pending[i],
						 reading->parser.end);
	if (complete(&handing))
		return handing.error;
	/* An empty body is no reason to forget: Prometheus does not, either. */
	if (reading->parser.end > reading->parser.body) {
		if (reading->texts < series->texts.count)
			forget(series);
		series->left_after = series->texts.count;
	}
	reading->result->is_up = true;
	return 0;
}

int scrape_series_body(struct scrape_series *series, enum textparse_format format,
		       const char *body, size_t len, int64_t time_ms,
		       const struct scrape_series_sink *sink,
		       struct scrape_series_result *ret_result)
{
	struct reading reading = {
	    .series = series,
	    .format = format,
	    .time_ms = time_ms,
	    .result = ret_result,
	    .expected = series->first,
	};
	int err;

	*ret_result = (struct scrape_series_result){0};
	series->scrape++;
	scrape_families_begin(series->families);
	textparse_init(&reading.parser, format, body, len);
	err = read_body(&reading);
	if (!err)
		err = reading.is_invalid ? fail(series, time_ms, sink, ret_result)
					 : succeed(&reading, sink);
	free(reading.pending);
	return err;
}

int scrape_series_failed(struct scrape_series *series, int64_t time_ms,
			 const struct scrape_series_sink *sink,
			 struct scrape_series_result *ret_result)
{
	*ret_result = (struct scrape_series_result){0};
	series->scrape++;
	return fail(series, time_ms, sink, ret_result);
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
