/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hot path is a histogram's bucket line: a scrape is made of them. Per
 * metric its labels are formatted once, per run of metrics with the same bounds
 * or quantiles the `le` or `quantile` values are, numbers rarely go through
 * printf, and a line is two pieces of memory and a number.
 */
#include "text.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

#define NUMBER_LEN 32
#define PARTS_MAX 64                 /* buckets of one histogram, +Inf included */
#define LABELS_MAX ((size_t)1 << 20) /* bytes of one metric's labels */
#define EXACT_INTEGER_MAX 9007199254740992.0 /* 2^53 */

struct text_writer {
	const struct snapshot *snapshot;
	size_t next; /* of its metrics */
	enum text_format format;
	struct buf *out;     /* of the piece being written */
	struct buf labels;   /* of the current metric: {a="b",c="d" without the } */
	struct buf start;    /* of the lines that follow: name and labels */
	const double *parts; /* those of `part`: bounds or quantiles */
	size_t part_count;
	const char *part_name;
	char part[PARTS_MAX][NUMBER_LEN + 16]; /* le="0.005"} and a blank */
	size_t part_len[PARTS_MAX];
};

static size_t print_integer(char *out, uint64_t value)
{
	char digits[20];
	size_t len = 0;

	do
		digits[len++] = (char)('0' + value % 10);
	while (value /= 10);
	for (size_t i = 0; i < len; i++)
		out[i] = digits[len - 1 - i];
	return len;
}

/* n * 10^-9 below 10^-4, as %.15g has it: 2.5e-05. */
static void print_few_nanoseconds(char ret_string[32], uint64_t n)
{
	char digits[20];
	const size_t digit_count = print_integer(digits, n);
	size_t shown = digit_count, len = 0;

	while (digits[shown - 1] == '0')
		shown--;
	ret_string[len++] = digits[0];
	if (shown > 1)
		ret_string[len++] = '.';
	for (size_t i = 1; i < shown; i++)
		ret_string[len++] = digits[i];
	strcpy(ret_string + len, "e-0");
	ret_string[len + 3] = (char)('0' + 10 - digit_count);
	ret_string[len + 4] = 0;
}

/* Durations are whole nanoseconds: with n < 10^15, n / 10^9 == value says that
 * the decimal n * 10^-9 reads back as value (both are the correctly rounded
 * quotient), and 15 digits name a double uniquely, so it is what %.15g prints. */
static bool print_nanoseconds(char ret_string[32], double value)
{
	uint64_t n, fraction;
	size_t len;

	if (!(value >= 1e-9 && value < 1e6))
		return false;
	n = (uint64_t)llrint(value * 1e9);
	if ((double)n / 1e9 != value)
		return false;
	if (value < 1e-4) {
		print_few_nanoseconds(ret_string, n);
		return true;
	}
	len = print_integer(ret_string, n / 1000000000);
	fraction = n % 1000000000;
	ret_string[len++] = '.';
	for (uint64_t digit = 100000000; fraction; digit /= 10) {
		ret_string[len++] = (char)('0' + fraction / digit);
		fraction %= digit;
	}
	ret_string[len] = 0;
	return true;
}

static bool print_special(char ret_string[32], double value)
{
	if (isnan(value))
		strcpy(ret_string, "NaN");
	else if (isinf(value))
		strcpy(ret_string, value > 0 ? "+Inf" : "-Inf");
	else
		return false;
	return true;
}

void text_number(char ret_string[32], double value)
{
	double magnitude = fabs(value);

	if (print_special(ret_string, value))
		return;
	if (magnitude < EXACT_INTEGER_MAX && magnitude == floor(magnitude)) {
		size_t sign = value < 0;

		ret_string[0] = '-';
		sign += print_integer(ret_string + sign, (uint64_t)magnitude);
		ret_string[sign] = 0;
		return;
	}
	if (print_nanoseconds(ret_string, value))
		return;
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(ret_string, NUMBER_LEN, "%.*g", digits, value);
		if (strtod(ret_string, NULL) == value)
			return;
	}
}

/* Go's strconv.FormatFloat(v, 'g', -1, 64), which Prometheus 3 and the
 * OpenMetrics specification call canonical: fewest digits, an exponent below
 * 1e-4 and from 1e6 on, which C's %g ties to the precision instead. */
void text_bound(char ret_string[32], double value)
{
	int digits = 0, exponent;

	if (print_special(ret_string, value))
		return;
	do
		snprintf(ret_string, NUMBER_LEN, "%.*e", digits, value);
	while (strtod(ret_string, NULL) != value && ++digits < 17);
	exponent = atoi(strchr(ret_string, 'e') + 1);
	if (exponent < -4 || exponent >= 6)
		return;
	snprintf(ret_string, NUMBER_LEN, "%.*f",
		 digits > exponent ? digits - exponent : 1, value);
}

const char *text_content_type(enum text_format format)
{
	if (format == TEXT_OPENMETRICS_1_0)
		return "application/openmetrics-text; version=1.0.0; charset=utf-8";
	return "text/plain; version=0.0.4; charset=utf-8";
}

static void append_escaped(struct buf *out, const char *text, bool quotes)
{
	for (;;) {
		size_t plain = strcspn(text, quotes ? "\\\n\"" : "\\\n");

		buf_append(out, text, plain);
		text += plain;
		if (!*text)
			return;
		buf_append(out, "\\", 1);
		buf_append(out, *text == '\n' ? "n" : text, 1);
		text++;
	}
}

static const char *type_name(enum metric_type type, bool openmetrics)
{
	switch (type) {
	case METRIC_COUNTER:
		return "counter";
	case METRIC_HISTOGRAM:
		return "histogram";
	case METRIC_SUMMARY:
		return "summary";
	case METRIC_INFO:
		return openmetrics ? "info" : "gauge";
	case METRIC_STATE_SET:
		return openmetrics ? "stateset" : "gauge";
	case METRIC_UNKNOWN:
		return openmetrics ? "unknown" : "untyped";
	case METRIC_GAUGE_HISTOGRAM: /* a single value: there are no buckets here */
	case METRIC_GAUGE:
		break;
	}
	return "gauge";
}

static void write_about(struct text_writer *writer, const char *keyword,
			const struct family *family, const char *ending)
{
	buf_string(writer->out, keyword);
	buf_string(writer->out, family->name);
	buf_string(writer->out, ending);
	buf_append(writer->out, " ", 1);
}

/* Two formats, two ideas of a family's name: OpenMetrics leaves the suffix to the
 * samples, 0.0.4 does not know it. */
static void write_header(struct text_writer *writer, const struct family *family)
{
	bool openmetrics = writer->format == TEXT_OPENMETRICS_1_0;
	const char *ending = openmetrics ? "" : family_suffix(family);

	write_about(writer, "# TYPE ", family, ending);
	buf_string(writer->out, type_name(family->type, openmetrics));
	if (openmetrics && *family->unit) {
		write_about(writer, "\n# UNIT ", family, "");
		buf_string(writer->out, family->unit);
	}
	write_about(writer, "\n# HELP ", family, ending);
	append_escaped(writer->out, family->help, openmetrics);
	buf_append(writer->out, "\n", 1);
}

static void fail(struct text_writer *writer, int err)
{
	if (err && !writer->out->error)
		writer->out->error = err;
}

static void format_labels(struct text_writer *writer, const struct label_set *set)
{
	struct buf *labels = &writer->labels;

	buf_clear(labels);
	for (size_t i = 0; i < set->count; i++) {
		buf_append(labels, i ? "," : "{", 1);
		buf_string(labels, set->labels[i].name);
		buf_append(labels, "=\"", 2);
		append_escaped(labels, set->labels[i].value, true);
		buf_append(labels, "\"", 1);
	}
	fail(writer, labels->error);
}

/* Of the parts and of what is above them all. False: there are too many. */
static bool format_parts(struct text_writer *writer, const char *name,
			 const double *parts, size_t count)
{
	if (count >= PARTS_MAX) {
		fail(writer, -E2BIG);
		return false;
	}
	if (writer->part_name == name && writer->part_count == count &&
	    (!count || !memcmp(writer->parts, parts, count * sizeof(*parts))))
		return true;
	writer->parts = parts;
	writer->part_count = count;
	writer->part_name = name;
	for (size_t i = 0; i <= count; i++) {
		char number[NUMBER_LEN];

		text_bound(number, i < count ? parts[i] : INFINITY);
		writer->part_len[i] =
		    (size_t)snprintf(writer->part[i], sizeof(writer->part[i]),
				     "%s=\"%s\"} ", name, number);
	}
	return true;
}

/* The name and the labels as formatted; behind: what is between them and the part or
 * the value. */
static void begin_lines(struct text_writer *writer, const struct family *family,
			const char *ending, const char *behind)
{
	struct buf *start = &writer->start;

	buf_clear(start);
	buf_string(start, family->name);
	buf_string(start, ending);
	buf_append(start, writer->labels.data, writer->labels.len);
	buf_string(start, behind);
	fail(writer, start->error);
}

static void begin_line(struct text_writer *writer, const struct family *family,
		       const char *ending)
{
	begin_lines(writer, family, ending, writer->labels.len ? "} " : " ");
}

/* The same with a part's label among them. */
static void begin_part_lines(struct text_writer *writer, const struct family *family,
			     const char *ending)
{
	begin_lines(writer, family, ending, writer->labels.len ? "," : "{");
}

/* A line's start and its part, if there is one; where its value goes, up to NUMBER_LEN
 * bytes and the end of the line. NULL: there is no room. */
static char *write_start(struct text_writer *writer, const char *part, size_t part_len)
{
	const struct buf *start = &writer->start;
	char *at = buf_reserve(writer->out, start->len + part_len + NUMBER_LEN + 1);

	if (!at)
		return NULL;
	memcpy(at, start->data, start->len);
	memcpy(at + start->len, part, part_len);
	return at + start->len + part_len;
}

static void end_line(struct text_writer *writer, char *end)
{
	*end++ = '\n';
	writer->out->len = (size_t)(end - writer->out->data);
}

static void write_integer(struct text_writer *writer, const char *part, size_t part_len,
			  uint64_t value)
{
	char *at = write_start(writer, part, part_len);

	if (at)
		end_line(writer, at + print_integer(at, value));
}

static void write_double(struct text_writer *writer, const char *part, size_t part_len,
			 double value)
{
	char *at = write_start(writer, part, part_len);

	if (!at)
		return;
	text_number(at, value);
	end_line(writer, at + strlen(at));
}

static void write_sum_and_count(struct text_writer *writer, const struct family *family,
				double sum, uint64_t count)
{
	begin_line(writer, family, "_count");
	write_integer(writer, "", 0, count);
	begin_line(writer, family, "_sum");
	write_double(writer, "", 0, sum);
}

static void write_histogram(struct text_writer *writer, const struct metric *metric)
{
	static const char le[] = "le";
	const struct histogram *histogram = &metric->histogram;
	uint64_t count = 0;

	if (!format_parts(writer, le, histogram->bounds, histogram->bound_count))
		return;
	begin_part_lines(writer, metric->family, "_bucket");
	for (size_t i = 0; i <= histogram->bound_count; i++) {
		count += histogram->buckets[i];
		write_integer(writer, writer->part[i], writer->part_len[i], count);
	}
	write_sum_and_count(writer, metric->family, histogram->sum, count);
}

static void write_summary(struct text_writer *writer, const struct metric *metric)
{
	static const char quantile[] = "quantile";
	const struct summary *summary = &metric->summary;

	if (!format_parts(writer, quantile, summary->quantiles, summary->count))
		return;
	begin_part_lines(writer, metric->family, "");
	for (size_t i = 0; i < summary->count; i++)
		write_double(writer, writer->part[i], writer->part_len[i],
			     summary->values[i]);
	write_sum_and_count(writer, metric->family, summary->sum,
			    summary->observations);
}

static void write_metric(struct text_writer *writer, const struct metric *metric)
{
	format_labels(writer, &metric->labels);
	switch (metric->family->type) {
	case METRIC_HISTOGRAM:
		write_histogram(writer, metric);
		break;
	case METRIC_SUMMARY:
		write_summary(writer, metric);
		break;
	case METRIC_COUNTER:
	case METRIC_GAUGE:
	case METRIC_INFO:
	case METRIC_UNKNOWN:
	case METRIC_GAUGE_HISTOGRAM:
	case METRIC_STATE_SET:
		begin_line(writer, metric->family, family_suffix(metric->family));
		write_double(writer, "", 0, metric->value);
		break;
	}
}

int text_writer_create(const struct snapshot *snapshot, enum text_format format,
		       struct text_writer **ret_writer)
{
	struct text_writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		return -ENOMEM;
	writer->snapshot = snapshot;
	writer->format = format;
	writer->labels = (struct buf)BUF_INIT(LABELS_MAX);
	writer->start = (struct buf)BUF_INIT(2 * LABELS_MAX);
	*ret_writer = writer;
	return 0;
}

void text_writer_free(struct text_writer **writer)
{
	if (!*writer)
		return;
	buf_free(&(*writer)->labels);
	buf_free(&(*writer)->start);
	free(*writer);
	*writer = NULL;
}

static void write_next(struct text_writer *writer)
{
	const struct metric *metric = &writer->snapshot->metrics[writer->next];

	if (!writer->next || metric[-1].family != metric->family)
		write_header(writer, metric->family);
	write_metric(writer, metric);
	writer->next++;
}

bool text_writer_next(struct text_writer *writer, struct buf *out, size_t enough)
{
	writer->out = out;
	while (writer->next < writer->snapshot->count) {
		if (out->len >= enough || out->error)
			return true;
		write_next(writer);
	}
	if (writer->format == TEXT_OPENMETRICS_1_0)
		buf_string(out, "# EOF\n");
	return false;
}

void text_write(struct buf *out, const struct snapshot *snapshot,
		enum text_format format)
{
	CLEANUP(text_writer_free) struct text_writer *writer = NULL;
	int err = text_writer_create(snapshot, format, &writer);

	if (err)
		out->error = err;
	else
		text_writer_next(writer, out, SIZE_MAX);
}
