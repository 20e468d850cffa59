/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_body.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct reading {
	struct scrape_body *body;
	struct scrape_series_result *result;
	struct textparse parser;
};

/* --- samples ------------------------------------------------------------------ */

/* Whether Prometheus counts it as added: it compares with earlier scrapes alone. */
static bool would_be_added(const struct scrape_pending *pending, int64_t now_ms)
{
	enum scrape_last_verdict verdict = scrape_last_judge(
	    &pending->text->known->last, pending->time_ms, pending->bits, now_ms);

	return verdict == SCRAPE_LAST_FOLLOWS || verdict == SCRAPE_LAST_SAME;
}

static int keep_sample(struct scrape_body *body, const struct scrape_pending *pending)
{
	if (body->count == body->capacity) {
		const size_t capacity = body->capacity ? body->capacity * 2 : 1024;
		struct scrape_pending *items =
		    reallocarray(body->pending, capacity, sizeof(*items));

		if (!items)
			return -ENOMEM;
		body->pending = items;
		body->capacity = capacity;
	}
	body->pending[body->count++] = *pending;
	return 0;
}

static int note_sample(struct reading *reading, struct scrape_text *text, bool is_new,
		       const struct textparse_entry *entry)
{
	struct scrape_body *body = reading->body;
	const struct scrape_series_config *config = body->config;
	struct scrape_series_result *result = reading->result;
	struct scrape_pending pending = {
	    .text = text,
	    .bits = entry->bits,
	    .time_ms = body->time_ms,
	    .has_time = entry->has_time && config->honor_timestamps,
	    .exemplar = entry->has_exemplar ? entry->series.text : NULL,
	};
	bool is_beyond;

	scrape_texts_follow(body->texts, text, body->format);
	if (text->is_created)
		scrape_start_note(text->start, entry->bits, body->time_ms,
				  body->scrape);
	if (!text->known)
		return 0;
	scrape_last_forget_future(&text->known->last, body->time_ms);
	if (pending.has_time)
		pending.time_ms = entry->time_ms;
	result->relabeled++;
	is_beyond = config->sample_limit && result->relabeled > config->sample_limit;
	result->added +=
	    is_new && !is_beyond && would_be_added(&pending, body->time_ms);
	return is_beyond ? 0 : keep_sample(body, &pending);
}

static void refuse_series(struct reading *reading, const char *reason)
{
	const struct textparse *parser = &reading->parser;
	size_t line = 1;

	/* The line of the entry that was read last, which ends before `at`. */
	for (const char *at = parser->body; at + 1 < parser->at; at++)
		line += *at == '\n';
	reading->body->is_invalid = true;
	snprintf(reading->result->reason, SCRAPE_SERIES_REASON_LEN, "line %zu: %.200s",
		 line, reason);
}

/* text: the one that was expected, or NULL. */
static int read_sample(struct reading *reading, struct scrape_text *text,
		       const struct textparse_entry *entry)
{
	char reason[SCRAPE_SERIES_REASON_LEN];
	bool is_new = false;
	int err = 0;

	reading->result->scraped++;
	if (!text) {
		err = scrape_texts_find(reading->body->texts, entry, reason, &text,
					&is_new);
		if (!err && !text)
			refuse_series(reading, reason);
	}
	return err || !text ? err : note_sample(reading, text, is_new, entry);
}

/* --- all of it ---------------------------------------------------------------- */

/* The text that was expected, if it came; else NULL. */
static struct scrape_text *next_entry(struct reading *reading,
				      enum textparse_kind *ret_kind,
				      struct textparse_entry *ret_entry)
{
	struct scrape_text *expected =
	    scrape_texts_expected(reading->body->texts, reading->body->format);

	if (expected && textparse_expect(&reading->parser,
					 (struct slice){expected->text, expected->len},
					 ret_kind, ret_entry))
		return expected;
	*ret_kind = textparse_next(&reading->parser, ret_entry);
	return NULL;
}

static void refuse_line(struct reading *reading, const struct textparse_entry *entry)
{
	reading->body->is_invalid = true;
	snprintf(reading->result->reason, SCRAPE_SERIES_REASON_LEN, "line %zu: %s",
		 entry->line, entry->reason);
}

static void judge_count(struct reading *reading)
{
	const uint64_t limit = reading->body->config->sample_limit;
	struct scrape_series_result *result = reading->result;

	if (!limit || result->relabeled <= limit)
		return;
	reading->body->is_invalid = true;
	snprintf(result->reason, SCRAPE_SERIES_REASON_LEN,
		 "sample_limit exceeded (%llu samples)",
		 (unsigned long long)result->relabeled);
}

int scrape_body_read(struct scrape_body *body, struct scrape_series_result *result)
{
	struct reading reading = {.body = body, .result = result};
	struct textparse_entry entry;
	enum textparse_kind kind;
	int err = 0;

	textparse_init(&reading.parser, body->format, body->bytes, body->len);
	for (;;) {
		struct scrape_text *text = next_entry(&reading, &kind, &entry);

		if (kind == TEXTPARSE_END)
			break;
		if (kind == TEXTPARSE_INVALID)
			refuse_line(&reading, &entry);
		else if (kind == TEXTPARSE_SAMPLE)
			err = read_sample(&reading, text, &entry);
		else
			err = scrape_families_note(body->families, body->format, kind,
						   &entry);
		if (err || body->is_invalid)
			return err;
	}
	judge_count(&reading);
	return 0;
}

void scrape_body_free(struct scrape_body *body)
{
	free(body->pending);
	body->pending = NULL;
	body->count = body->capacity = 0;
}
