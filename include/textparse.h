/* SPDX-License-Identifier: Apache-2.0 */
/*
 * textparse.h - what a scraped body says, one entry at a time: Prometheus' text format
 * 0.0.4 and OpenMetrics 1.0. As lenient and as strict as Prometheus' own parsers, whose
 * storage is the judge (tests/e2e/test_textparse.py), not the specifications: of 2.42,
 * and where version 3 takes what 2.42 refuses (names in quotes, in OpenMetrics a comma
 * behind the last label and exemplars of any metric), as version 3. A NUL in a value is
 * refused, though, as labels end with one.
 *
 * It does not know what names and types go together, whether series come twice, or
 * what is done with any of it. Pure: no allocation, no locale, no clock; all it hands
 * out points into the body.
 */
#pragma once

#include <stdint.h>

#include "slice.h"

/* A line with more is invalid, as is one whose exemplar has more. */
#define TEXTPARSE_LABELS_MAX 256
#define TEXTPARSE_EXEMPLAR_LABELS_MAX 64

enum textparse_format {
	TEXTPARSE_PROMETHEUS,
	TEXTPARSE_OPENMETRICS,
};

enum textparse_kind {
	TEXTPARSE_END,     /* and again from then on, as with: */
	TEXTPARSE_INVALID, /* line and reason say where and why */
	TEXTPARSE_TYPE,    /* name, type */
	TEXTPARSE_HELP,    /* name, text */
	TEXTPARSE_UNIT,    /* likewise; OpenMetrics only */
	TEXTPARSE_SAMPLE,  /* name, series, labels, bits, time, exemplar */
};

enum textparse_type {
	TEXTPARSE_UNKNOWN, /* "untyped" in 0.0.4 */
	TEXTPARSE_COUNTER,
	TEXTPARSE_GAUGE,
	TEXTPARSE_HISTOGRAM,
	TEXTPARSE_GAUGE_HISTOGRAM, /* the rest: OpenMetrics only */
	TEXTPARSE_SUMMARY,
	TEXTPARSE_INFO,
	TEXTPARSE_STATE_SET,
};

/* As they stand, without quotes: textparse_unescape. In the order of the body, perhaps
 * twice the same name, values perhaps empty. */
struct textparse_label {
	struct slice name, value;
};

/* Its values are what Prometheus stores: escapes in them stay. */
struct textparse_exemplar {
	const struct textparse_label *labels;
	size_t label_count;
	uint64_t bits;
	bool has_time;
	int64_t time_ms;
};

struct textparse_entry {
	struct slice name; /* of the metric, or of the family; as a label's */
	bool is_quoted;    /* some name was in quotes: not of [a-zA-Z0-9_:] alone */
	union {
		struct {                     /* of a sample: */
			struct slice series; /* name and braces, as they stand */
			const struct textparse_label *labels; /* without the name */
			size_t label_count;
			uint64_t bits; /* of the double; NaN is 0x7ff8000000000001 */
			int64_t time_ms;
			bool has_time;
			bool has_exemplar;
			struct textparse_exemplar exemplar;
		};
		struct slice text; /* as it stands: textparse_unescape_help */
		enum textparse_type type;
		struct {
			size_t line; /* from 1 */
			const char *reason;
		};
	};
};

/* What is inside is the parser's own. */
struct textparse {
	enum textparse_format format;
	const char *body, *at, *end;
	const char *reason; /* it was invalid */
	bool is_ended;
	bool is_quoted;
	struct slice name; /* NULL: there was none yet */
	size_t label_count;
	struct textparse_label labels[TEXTPARSE_LABELS_MAX];
	struct textparse_label exemplar_labels[TEXTPARSE_EXEMPLAR_LABELS_MAX];
};

/* The body outlives it and is not changed. */
void textparse_init(struct textparse *parser, enum textparse_format format,
		    const char *body, size_t len);
/* An entry holds until the next call. */
enum textparse_kind textparse_next(struct textparse *parser,
				   struct textparse_entry *ret_entry);
/* Whether what comes next is a sample of this series, which is the text of one that was
 * handed out before, in the same format: then as textparse_next, but without labels,
 * and much faster. Else false, and nothing was taken. */
bool textparse_expect(struct textparse *parser, struct slice series,
		      enum textparse_kind *ret_kind, struct textparse_entry *ret_entry);
/* Of a name or a label value: \\ \" \n, everything else stays. ret_text has room for
 * raw.len bytes; the length is returned, there is no NUL. */
size_t textparse_unescape(struct slice raw, char *ret_text);
/* Of a HELP text: the same, but that 0.0.4 leaves \" as it is. */
size_t textparse_unescape_help(enum textparse_format format, struct slice raw,
			       char *ret_text);
