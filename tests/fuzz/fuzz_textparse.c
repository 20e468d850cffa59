/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a scraped body: what comes out lies within it, and is what the header
 * says. The first byte chooses the format. */
#include <stdlib.h>
#include <string.h>

#include "textparse.h"

struct within {
	const char *start, *end;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int fact)
{
	if (!fact)
		abort();
}

static void check_slice(const struct within *body, struct slice slice)
{
	require(slice.text >= body->start && slice.text <= body->end);
	require(slice.len <= (size_t)(body->end - slice.text));
}

static void check_string(const struct within *body, struct slice raw)
{
	char *text = malloc(raw.len + 1);

	check_slice(body, raw);
	require(text && textparse_unescape(raw, text) <= raw.len);
	require(!memchr(raw.text, '\0', raw.len));
	free(text);
}

static void check_labels(const struct within *body,
			 const struct textparse_label *labels, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		check_string(body, labels[i].name);
		check_string(body, labels[i].value);
	}
}

static void check_bits(uint64_t bits)
{
	const bool is_nan = (bits & ~(1ull << 63)) > 0x7ff0000000000000ull;

	require(!is_nan || bits == 0x7ff8000000000001ull);
}

/* The text of a series alone is the series. */
static void check_again(enum textparse_format format,
			const struct textparse_entry *entry)
{
	static const char *const ends[] = {" 1\n", " 1\n# EOF\n"};
	static struct textparse again;
	struct textparse_entry alone;
	const size_t len = entry->series.len + strlen(ends[format]);
	char *body = malloc(len + 1);

	require(body != NULL);
	memcpy(body, entry->series.text, entry->series.len);
	strcpy(body + entry->series.len, ends[format]);
	textparse_init(&again, format, body, len);
	require(textparse_next(&again, &alone) == TEXTPARSE_SAMPLE);
	require(alone.series.len == entry->series.len);
	require(alone.label_count == entry->label_count && !alone.has_time);
	require(textparse_next(&again, &alone) == TEXTPARSE_END);
	free(body);
}

/* Whoever expects the series there finds the same sample, and the same end of it. */
static void check_expected(enum textparse_format format, const struct within *body,
			   const struct textparse *parser,
			   const struct textparse_entry *entry)
{
	static struct textparse again;
	struct textparse_entry found;
	enum textparse_kind kind;
	const char *start = entry->series.text;

	textparse_init(&again, format, start, (size_t)(body->end - start));
	require(textparse_expect(&again, entry->series, &kind, &found));
	require(kind == TEXTPARSE_SAMPLE && again.at == parser->at);
	require(found.series.text == start && found.series.len == entry->series.len);
	require(found.bits == entry->bits && found.has_time == entry->has_time);
	require(!found.has_time || found.time_ms == entry->time_ms);
	require(found.has_exemplar == entry->has_exemplar);
}

static void check_sample(const struct within *body, enum textparse_format format,
			 const struct textparse_entry *entry)
{
	const struct textparse_exemplar *exemplar = &entry->exemplar;

	check_slice(body, entry->series);
	check_labels(body, entry->labels, entry->label_count);
	check_bits(entry->bits);
	if (entry->has_exemplar) {
		check_labels(body, exemplar->labels, exemplar->label_count);
		check_bits(exemplar->bits);
	}
	check_again(format, entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const enum textparse_format format =
	    size && data[0] == 'o' ? TEXTPARSE_OPENMETRICS : TEXTPARSE_PROMETHEUS;
	const size_t len = size ? size - 1 : 0;
	char *bytes = malloc(len + !len);
	const struct within body = {bytes, bytes + len};
	static struct textparse parser;
	struct textparse_entry entry;
	enum textparse_kind kind;

	require(bytes != NULL);
	if (len)
		memcpy(bytes, data + 1, len);
	textparse_init(&parser, format, bytes, len);
	while ((kind = textparse_next(&parser, &entry)) > TEXTPARSE_INVALID) {
		check_string(&body, entry.name);
		if (kind == TEXTPARSE_SAMPLE) {
			check_expected(format, &body, &parser, &entry);
			check_sample(&body, format, &entry);
		} else if (kind == TEXTPARSE_TYPE)
			require(entry.type <= TEXTPARSE_STATE_SET);
		else
			check_slice(&body, entry.text);
	}
	if (kind == TEXTPARSE_INVALID)
		require(entry.line && entry.line <= len + 1 && entry.reason != NULL);
	free(bytes);
	return 0;
}
