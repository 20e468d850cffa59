/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body is read whole (scrape_body), which teaches new texts of series (scrape_texts)
 * to what they lead: labels are made once (scrape_labels), each series is known once
 * (scrape_known), and its metric may have a start (scrape_starts). Only then does any
 * of it go out, with markers for what is lacking (scrape_outlet).
 *
 * Where this differs from Prometheus 2.42: of a body that is bad in line n, it does not
 * mark those series stale that came before line n; we do, as for any scrape that fails.
 */
#include "scrape_series.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "scrape_outlet.h"
#include "scrape_report.h"

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
