/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_push.h - the functions of push.h that scraping calls, which are found before the
 * library's: samples are kept as text, "|" is where a collection was committed.
 */
#pragma once

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "push.h"

static char fake_pushed[64 * 1024];
static int64_t fake_now_ms;
static uint64_t fake_collection;
static bool fake_is_open;
static bool fake_wants_metrics;

uint64_t push_collection(const struct push *push)
{
	(void)push;
	return fake_collection;
}

int64_t push_time_ms(struct push *push)
{
	(void)push;
	return fake_now_ms;
}

void push_commit(struct push *push)
{
	(void)push;
	if (!fake_is_open)
		return;
	fake_is_open = false;
	fake_collection++;
	strcat(fake_pushed, "|");
}

/* "name{label=value,...} value@time " */
void push_add(struct push *push, const struct sample *sample, int64_t stamp_ms)
{
	char *at = fake_pushed + strlen(fake_pushed);
	size_t size = sizeof(fake_pushed) - strlen(fake_pushed);
	FILE *text = fmemopen(at, size, "w");
	double value;

	(void)push;
	(void)stamp_ms;
	fake_is_open = true;
	fprintf(text, "%s{", sample->labels[0].value);
	for (size_t i = 1; i < sample->label_count; i++)
		fprintf(text, "%s%s=%s", i > 1 ? "," : "", sample->labels[i].name,
			sample->labels[i].value);
	memcpy(&value, &sample->bits, sizeof(value));
	if (sample->bits == SAMPLE_STALE)
		fprintf(text, "} stale@%" PRId64 " ", sample->time_ms);
	else
		fprintf(text, "} %g@%" PRId64 " ", value, sample->time_ms);
	fclose(text);
}

bool push_wants_metrics(const struct push *push)
{
	(void)push;
	return fake_wants_metrics;
}

/* "<name labels> " */
void push_add_metric(struct push *push, const struct sample_metric *metric,
		     int64_t stamp_ms)
{
	(void)push;
	(void)stamp_ms;
	fake_is_open = true;
	sprintf(fake_pushed + strlen(fake_pushed), "<%s %zu%s> ",
		metric->metric->family->name, metric->metric->labels.count,
		metric->is_stale ? " stale" : "");
}

static inline void fake_push_forget(void)
{
	*fake_pushed = 0;
}
