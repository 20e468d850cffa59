/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page is made of the snapshot alone, as a scraper would see it: the metrics
 * of a service and role are added up into one row. It is plain HTML, because it
 * must render in whatever an operator has at hand, under any content policy.
 */
#include "status.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buckets.h"
#include "cleanup.h"
#include "ledger.h"
#include "quantile.h"
#include "scrape.h"

#define NS_PER_S 1e9
#define NAME_LEN 256 /* of what is remembered; longer names are compared cut */

enum role { SERVER, CLIENT, ROLES };

static const char *const role_names[ROLES] = {"server", "client"};

static const char *const duration_names[ROLES] = {
    "http_server_request_duration_seconds",
    "http_client_request_duration_seconds",
};
static const char *const active_names[ROLES] = {
    "http_server_active_requests",
    "http_client_active_requests",
};
static const char *const open_names[ROLES] = {
    "http_server_open_connections",
    "http_client_open_connections",
};

/* One line of the table of services. */
struct line {
	enum role role;
	const char *name;
	const char *name_space;
	uint64_t requests;
	uint64_t errors;
	uint64_t in_flight;
	uint64_t connections;
	uint64_t native[NATIVE_BUCKETS];
};

struct page {
	struct line *lines; /* STATUS_ROWS_MAX */
	size_t count;
	size_t left_out; /* metrics of services for which there is no line */
};

/* A line of the last page. */
struct seen {
	enum role role;
	char name[NAME_LEN];
	char name_space[NAME_LEN];
	uint64_t requests;
};

struct status {
	bool viewed;
	double viewed_at_s; /* uptime */
	size_t count;
	struct seen seen[STATUS_ROWS_MAX];
};

int status_create(struct status **ret_status)
{
	struct status *status = calloc(1, sizeof(*status));

	if (!status)
		return -ENOMEM;
	*ret_status = status;
	return 0;
}

void status_free(struct status **status)
{
	free(*status);
	*status = NULL;
}

/* --- adding up ---------------------------------------------------------------- */

static const char *label_value(const struct label_set *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++)
		if (!strcmp(set->labels[i].name, name))
			return set->labels[i].value;
	return "";
}

static struct line *line_of(struct page *page, enum role role,
			    const struct label_set *labels)
{
	const char *name = label_value(labels, "service_name");
	const char *name_space = label_value(labels, "service_namespace");

	for (size_t i = 0; i < page->count; i++) {
		struct line *line = &page->lines[i];

		if (line->role == role && !strcmp(line->name, name) &&
		    !strcmp(line->name_space, name_space))
			return line;
	}
	if (page->count == STATUS_ROWS_MAX) {
		page->left_out++;
		return NULL;
	}
	page->lines[page->count] = (struct line){
	    .role = role,
	    .name = name,
	    .name_space = name_space,
	};
	return &page->lines[page->count++];
}

static void add_duration(struct line *line, const struct metric *metric)
{
	const struct histogram *histogram = &metric->histogram;
	uint64_t count = 0;

	for (size_t i = 0; i <= histogram->bound_count; i++)
		count += histogram->buckets[i];
	line->requests += count;
	if (*label_value(&metric->labels, "error_type"))
		line->errors += count;
	for (size_t i = 0; histogram->native && i < NATIVE_BUCKETS; i++)
		line->native[i] += histogram->native[i];
}

static void add_metric(struct page *page, enum role role, const struct metric *metric)
{
	const char *family = metric->family->name;
	bool duration = !strcmp(family, duration_names[role]);
	bool active = !strcmp(family, active_names[role]);
	bool open = !strcmp(family, open_names[role]);
	struct line *line;

	if (!duration && !active && !open)
		return;
	line = line_of(page, role, &metric->labels);
	if (!line)
		return;
	if (duration)
		add_duration(line, metric);
	else if (active)
		line->in_flight += (uint64_t)metric->value;
	else
		line->connections += (uint64_t)metric->value;
}

static int compare_lines(const void *left, const void *right)
{
	const struct line *a = left, *b = right;
	int order = strcmp(a->name_space, b->name_space);

	if (!order)
		order = strcmp(a->name, b->name);
	return order ? order : (int)a->role - (int)b->role;
}

static void add_up(struct page *page, const struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->count; i++) {
		add_metric(page, SERVER, &snapshot->metrics[i]);
		add_metric(page, CLIENT, &snapshot->metrics[i]);
	}
	if (page->count)
		qsort(page->lines, page->count, sizeof(*page->lines), compare_lines);
}

/* --- since the last page ------------------------------------------------------- */

static bool is_seen(const struct seen *seen, const struct line *line)
{
	return seen->role == line->role &&
	       !strncmp(seen->name, line->name, NAME_LEN - 1) &&
	       !strncmp(seen->name_space, line->name_space, NAME_LEN - 1);
}

/* A service that came since began at zero; one that went and came again, too. */
static uint64_t requests_since(const struct status *status, const struct line *line)
{
	for (size_t i = 0; i < status->count; i++)
		if (is_seen(&status->seen[i], line))
			return line->requests >= status->seen[i].requests
				   ? line->requests - status->seen[i].requests
				   : line->requests;
	return line->requests;
}

static void copy_name(char ret_name[NAME_LEN], const char *name)
{
	size_t len = strnlen(name, NAME_LEN - 1);

	memcpy(ret_name, name, len);
	ret_name[len] = 0;
}

static void remember(struct status *status, const struct page *page, double uptime_s)
{
	status->viewed = true;
	status->viewed_at_s = uptime_s;
	status->count = page->count;
	for (size_t i = 0; i < page->count; i++) {
		struct seen *seen = &status->seen[i];

		seen->role = page->lines[i].role;
		seen->requests = page->lines[i].requests;
		copy_name(seen->name, page->lines[i].name);
		copy_name(seen->name_space, page->lines[i].name_space);
	}
}

/* --- HTML --------------------------------------------------------------------- */

static void write_escaped(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '&')
			buf_string(out, "&amp;");
		else if (*text == '<')
			buf_string(out, "&lt;");
		else if (*text == '>')
			buf_string(out, "&gt;");
		else if (*text == '"')
			buf_string(out, "&quot;");
		else if (*text == '\'')
			buf_string(out, "&#39;");
		else
			buf_append(out, text, 1);
	}
}

static void write_head(struct buf *out, const char *subject, double uptime_s)
{
	buf_string(
	    out,
	    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width\">\n"
	    "<title>bpftally</title>\n<style>\n"
	    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:75em;"
	    "padding:0 1em;color:#222;background:#fff}\n"
	    "table{border-collapse:collapse;width:100%;margin:.5em 0 2em}\n"
	    "th,td{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:left}\n"
	    "th{font-weight:600}\n"
	    ".n{text-align:right;font-variant-numeric:tabular-nums}\n"
	    ".zero{color:#888}\n"
	    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}"
	    "th,td{border-color:#444}a{color:#8bf}}\n"
	    "</style>\n</head>\n<body>\n<h1>bpftally</h1>\n<p>" BPFTALLY_VERSION
	    ", observing ");
	write_escaped(out, subject);
	buf_printf(out,
		   ", for %.0f s. Metrics: <a href=\"/metrics\">/metrics</a>.</p>\n",
		   uptime_s);
}

/* Three digits are what the buckets are worth. */
static void write_duration(struct buf *out, double value_s)
{
	buf_string(out, "<td class=\"n\">");
	if (isnan(value_s))
		buf_string(out, "–");
	else if (value_s < 1e-3)
		buf_printf(out, "%.3g µs", value_s * 1e6);
	else if (value_s < 1)
		buf_printf(out, "%.3g ms", value_s * 1e3);
	else
		buf_printf(out, "%.3g s", value_s);
	buf_string(out, "</td>");
}

static void write_quantile(struct buf *out, const struct line *line, double q)
{
	write_duration(out,
		       quantile_of(&quantile_durations, line->native, q) / NS_PER_S);
}

static void write_count(struct buf *out, uint64_t count)
{
	buf_printf(out, "<td class=\"n\">%llu</td>", (unsigned long long)count);
}

static void write_rate(struct buf *out, uint64_t count, double seconds)
{
	if (seconds > 0)
		buf_printf(out, "<td class=\"n\">%.1f</td>", (double)count / seconds);
	else
		buf_string(out, "<td class=\"n\">–</td>");
}

static void write_line(struct buf *out, const struct status *status,
		       const struct line *line, double uptime_s)
{
	buf_string(out, "<tr><td>");
	if (*line->name_space) {
		write_escaped(out, line->name_space);
		buf_string(out, "/");
	}
	write_escaped(out, line->name);
	buf_printf(out, "</td><td>%s</td>", role_names[line->role]);
	write_count(out, line->requests);
	write_rate(out, requests_since(status, line),
		   status->viewed ? uptime_s - status->viewed_at_s : 0);
	write_rate(out, line->requests, uptime_s);
	write_count(out, line->errors);
	write_quantile(out, line, 0.5);
	write_quantile(out, line, 0.95);
	write_quantile(out, line, 0.99);
	write_count(out, line->in_flight);
	write_count(out, line->connections);
	buf_string(out, "</tr>\n");
}

static void write_services(struct buf *out, const struct status *status,
			   const struct page *page, double uptime_s)
{
	buf_string(out, "<h2>Services</h2>\n");
	if (!page->count) {
		buf_string(out, "<p>No HTTP request was seen yet.</p>\n");
		return;
	}
	buf_string(out, "<table>\n<tr><th>service</th><th>end</th>"
			"<th class=\"n\">requests</th>");
	if (status->viewed)
		buf_printf(out, "<th class=\"n\">/s, last %.0f s</th>",
			   uptime_s - status->viewed_at_s);
	else
		buf_string(out, "<th class=\"n\">/s since last view</th>");
	buf_string(out, "<th class=\"n\">/s since start</th><th class=\"n\">errors</th>"
			"<th class=\"n\">p50</th><th class=\"n\">p95</th>"
			"<th class=\"n\">p99</th><th class=\"n\">in flight</th>"
			"<th class=\"n\">connections</th></tr>\n");
	for (size_t i = 0; i < page->count; i++)
		write_line(out, status, &page->lines[i], uptime_s);
	buf_string(out, "</table>\n");
	if (page->left_out)
		buf_string(out, "<p>More services than this page shows: see "
				"<a href=\"/metrics\">/metrics</a> for all.</p>\n");
}

static const char *explain(const char *name)
{
	for (unsigned int reason = 0; reason < TALLY_MISSED_COUNT; reason++)
		if (!strcmp(ledger_reason(reason), name))
			return ledger_explain(reason);
	return "";
}

static void write_missed_lines(struct buf *out, const struct snapshot *snapshot,
			       bool zero)
{
	for (size_t i = 0; i < snapshot->count; i++) {
		const struct metric *metric = &snapshot->metrics[i];
		const char *reason;

		if (strcmp(metric->family->name, "bpftally_missed") != 0 ||
		    (metric->value > 0) == zero)
			continue;
		reason = label_value(&metric->labels, "reason");
		buf_printf(out, "<tr%s><td>", zero ? " class=\"zero\"" : "");
		write_escaped(out, reason);
		buf_printf(out, "</td><td class=\"n\">%.0f</td><td>", metric->value);
		write_escaped(out, explain(reason));
		buf_string(out, "</td></tr>\n");
	}
}

static void write_missed(struct buf *out, const struct snapshot *snapshot)
{
	buf_string(out, "<h2>What could not be counted</h2>\n<table>\n"
			"<tr><th>reason</th><th class=\"n\">count</th>"
			"<th>of what</th></tr>\n");
	write_missed_lines(out, snapshot, false);
	write_missed_lines(out, snapshot, true);
	buf_string(out, "</table>\n");
}

/* --- targets ------------------------------------------------------------------ */

struct targets {
	struct buf *out;
	size_t count;
};

static void write_cell(struct buf *out, const char *text)
{
	buf_string(out, "<td>");
	write_escaped(out, text);
	buf_string(out, "</td>");
}

static void write_target(void *context, const struct scrape_view *view)
{
	struct targets *targets = context;
	struct buf *out = targets->out;

	if (targets->count++ >= STATUS_ROWS_MAX)
		return;
	buf_string(out, "<tr>");
	write_cell(out, view->job_name);
	write_cell(out, view->url);
	write_cell(out, view->state);
	write_duration(out, view->duration_s > 0 ? view->duration_s : NAN);
	write_count(out, view->series);
	write_cell(out, view->error);
	buf_string(out, "</tr>\n");
}

static void write_targets(struct buf *out, const struct scrape *scrape)
{
	struct targets targets = {.out = out};

	buf_string(out, "<h2>Targets</h2>\n<table>\n<tr><th>job</th><th>target</th>"
			"<th>state</th><th class=\"n\">last scrape</th>"
			"<th class=\"n\">series</th><th>error</th></tr>\n");
	scrape_each(scrape, write_target, &targets);
	buf_string(out, "</table>\n");
	if (targets.count > STATUS_ROWS_MAX)
		buf_printf(out, "<p>and %zu more.</p>\n",
			   targets.count - STATUS_ROWS_MAX);
}

void status_write(struct status *status, struct buf *out,
		  const struct snapshot *snapshot, const struct scrape *scrape,
		  const char *subject, double uptime_s)
{
	AUTO_FREE struct line *lines = calloc(STATUS_ROWS_MAX, sizeof(*lines));
	struct page page = {.lines = lines};

	if (!lines) {
		out->error = -ENOMEM;
		return;
	}
	add_up(&page, snapshot);
	write_head(out, subject, uptime_s);
	write_services(out, status, &page, uptime_s);
	if (scrape)
		write_targets(out, scrape);
	write_missed(out, snapshot);
	buf_string(out, "</body>\n</html>\n");
	remember(status, &page, uptime_s);
}
