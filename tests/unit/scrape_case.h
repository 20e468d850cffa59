/* SPDX-License-Identifier: Apache-2.0 */
/* One target, scraped with bodies as they stand in a test, and what went out, as text.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "length.h"
#include "scrape_series.h"

#define TEXT TEXTPARSE_PROMETHEUS
#define OPEN TEXTPARSE_OPENMETRICS
#define SHOWN 65536
#define NOW 100000000LL /* bodies have times in ms, and some are an hour old */
#define MINUTE 60000LL

/* What went out, a line each, those without labels of their own as "a 1 @0": times
 * are since NOW. */
struct receiver {
	char lines[512][128];
	size_t count;
	size_t fail_at; /* the n-th sample, from 1, is not taken */
	char shown[SHOWN];
	const struct family *family; /* of the last one */
	int64_t start_ms;
	bool shows_families;
};

struct scene {
	struct scrape_series *series;
	struct scrape_series_result result;
	struct receiver receiver;
};

static inline int receive(void *context, const struct sample *sample)
{
	struct receiver *receiver = context;
	char *line = receiver->lines[receiver->count];
	double value;

	if (receiver->fail_at && receiver->count + 1 == receiver->fail_at)
		return -ENOMEM;
	assert_true(receiver->count < LENGTH(receiver->lines));
	assert_non_null(sample->family);
	receiver->family = sample->family;
	receiver->start_ms = sample->start_ms;
	memcpy(&value, &sample->bits, sizeof(value));
	for (size_t i = 0; i < sample->label_count; i++) {
		const struct label *label = &sample->labels[i];

		assert_true(!i || strcmp(sample->labels[i - 1].name, label->name) < 0);
		if (!strcmp(label->name, "__name__"))
			line += sprintf(line, "%s", label->value);
		else
			line += sprintf(line, "{%s=%s}", label->name, label->value);
	}
	if (sample->bits == SAMPLE_STALE)
		line += sprintf(line, " stale");
	else
		line += sprintf(line, " %g", value);
	line += sprintf(line, " @%lld", (long long)(sample->time_ms - NOW));
	if (sample->start_ms)
		line +=
		    sprintf(line, " since %lld", (long long)(sample->start_ms - NOW));
	if (sample->exemplar)
		line += sprintf(line, " #%s", sample->exemplar->labels[0].value);
	if (receiver->shows_families)
		sprintf(line, " of %s", sample->family->name);
	receiver->count++;
	return 0;
}

static inline int receive_again(void *context)
{
	struct receiver *receiver = context;

	strcpy(receiver->lines[receiver->count++], "~");
	return 0;
}

static inline int compare_lines(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Sorted, as markers come in any order; those parted by "again" stay so. */
static const char *show(struct receiver *receiver)
{
	char *at = receiver->shown;
	size_t start = 0;

	*at = '\0';
	for (size_t i = 0; i <= receiver->count; i++) {
		if (i < receiver->count && strcmp(receiver->lines[i], "~") != 0)
			continue;
		qsort(receiver->lines[start], i - start, sizeof(receiver->lines[0]),
		      compare_lines);
		start = i + 1;
	}
	for (size_t i = 0; i < receiver->count; i++)
		at += sprintf(at, "%s%s", i ? "\n" : "", receiver->lines[i]);
	receiver->count = 0;
	return receiver->shown;
}

static inline void create(struct scene *scene,
			  const struct scrape_series_config *config)
{
	memset(scene, 0, sizeof(*scene));
	assert_int_equal(scrape_series_create(config, &scene->series), 0);
}

static inline void destroy(struct scene *scene)
{
	scrape_series_free(&scene->series);
	assert_null(scene->series);
}

static inline int try_body(struct scene *scene, enum textparse_format format,
			   const char *body, int64_t at_ms)
{
	const struct scrape_series_sink sink = {receive, receive_again,
						&scene->receiver};
	/* Without a NUL behind it, so that sanitizers see who reads that. */
	const size_t len = strlen(body);
	char *copy = malloc(len + !len);
	int err;

	memcpy(copy, body, len);
	scene->receiver.count = 0;
	err = scrape_series_body(scene->series, format, copy, len, NOW + at_ms, &sink,
				 &scene->result);
	free(copy);
	return err;
}

/* A scrape, and what goes out. */
static inline void assert_body(struct scene *scene, enum textparse_format format,
			       const char *body, int64_t at_ms, const char *expected)
{
	assert_int_equal(try_body(scene, format, body, at_ms), 0);
	assert_string_equal(show(&scene->receiver), expected);
}

static inline void assert_text(struct scene *scene, const char *body, int64_t at_ms,
			       const char *expected)
{
	assert_body(scene, TEXT, body, at_ms, expected);
}

static inline void assert_failed(struct scene *scene, int64_t at_ms,
				 const char *expected)
{
	const struct scrape_series_sink sink = {receive, receive_again,
						&scene->receiver};

	assert_int_equal(
	    scrape_series_failed(scene->series, NOW + at_ms, &sink, &scene->result), 0);
	assert_false(scene->result.is_up);
	assert_string_equal(show(&scene->receiver), expected);
}

static inline void assert_counts(const struct scene *scene, uint64_t scraped,
				 uint64_t relabeled, uint64_t added)
{
	assert_int_equal(scene->result.scraped, scraped);
	assert_int_equal(scene->result.relabeled, relabeled);
	assert_int_equal(scene->result.added, added);
}

static const struct scrape_series_config plain = {.honor_timestamps = true};

static inline struct config_relabel drop_rule(const char *regex)
{
	static char *names[] = {(char *)"__name__"};

	return (struct config_relabel){
	    .where = (char *)"a.yaml:1",
	    .action = CONFIG_DROP,
	    .source_labels = {names, 1},
	    .separator = (char *)";",
	    .regex = (char *)regex,
	    .replacement = (char *)"$1",
	};
}
