/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus' grammars are those of its scanners (model/textparse/promlex.l,
 * openmetricslex.l), which are more lenient than the formats in some places, and odd in
 * others: a value may stand right behind a name, a NUL where an entry would begin ends
 * the body of 0.0.4. What could be seen from outside is the same here; each oddity has
 * its comment.
 *
 * Functions that take something off the front of what is left return false when it is
 * not there or not good, with the reason set and `at` where it went wrong.
 */
#include "textparse.h"

#include <math.h>
#include <string.h>

#include "decimal.h"
#include "length.h"

enum {
	IS_NAME_START = 1, /* of a metric */
	IS_NAME = 2,
	IS_LABEL_START = 4,
	IS_LABEL = 8,
	IS_BLANK = 16,
	IS_SPECIAL = 32, /* in a string: not for itself */
	IS_DIGIT = 64,
};

#define LETTER (IS_NAME_START | IS_NAME | IS_LABEL_START | IS_LABEL)

static const unsigned char classes[256] = {
    ['a' ... 'z'] = LETTER,
    ['A' ... 'Z'] = LETTER,
    ['_'] = LETTER,
    [':'] = IS_NAME_START | IS_NAME,
    ['0' ... '9'] = IS_NAME | IS_LABEL | IS_DIGIT,
    [' '] = IS_BLANK,
    ['\t'] = IS_BLANK,
    ['"'] = IS_SPECIAL,
    ['\\'] = IS_SPECIAL,
    ['\n'] = IS_SPECIAL,
    [0] = IS_SPECIAL,
    [0x80 ... 0xff] = IS_SPECIAL,
};

/* A list of labels that is being read. */
struct label_list {
	struct textparse_label *labels;
	size_t count, capacity;
	bool is_exemplar;
};

void textparse_init(struct textparse *parser, enum textparse_format format,
		    const char *body, size_t len)
{
	parser->format = format;
	parser->body = parser->at = body;
	parser->end = body + len;
	parser->reason = NULL;
	parser->is_ended = false;
}

static bool is(char c, int class)
{
	return classes[(unsigned char)c] & class;
}

static bool is_open_metrics(const struct textparse *parser)
{
	return parser->format == TEXTPARSE_OPENMETRICS;
}

static bool refuse(struct textparse *parser, const char *reason)
{
	parser->reason = reason;
	return false;
}

static bool is_at(const struct textparse *parser, char c)
{
	return parser->at < parser->end && *parser->at == c;
}

static bool take(struct textparse *parser, char c)
{
	if (!is_at(parser, c))
		return false;
	parser->at++;
	return true;
}

static bool take_word(struct textparse *parser, const char *word)
{
	const size_t len = strlen(word);

	if ((size_t)(parser->end - parser->at) < len ||
	    memcmp(parser->at, word, len) != 0)
		return false;
	parser->at += len;
	return true;
}

static void skip(struct textparse *parser, int class)
{
	while (parser->at < parser->end && is(*parser->at, class))
		parser->at++;
}

/* Between tokens of 0.0.4. */
static void skip_blanks(struct textparse *parser)
{
	if (!is_open_metrics(parser))
		skip(parser, IS_BLANK);
}

static struct slice since(const struct textparse *parser, const char *start)
{
	return (struct slice){start, (size_t)(parser->at - start)};
}

/* The end of its line, without it; the end of the body where that comes first. */
static const char *line_end(const struct textparse *parser)
{
	const char *at = parser->at, *end = parser->end;
	const char *line = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;

	return line ? line : end;
}

/* --- strings ------------------------------------------------------------------ */

/* At a character that does not stand for itself. */
static bool take_special(struct textparse *parser)
{
	const char c = *parser->at;
	size_t len;

	if (!c)
		return refuse(parser, "NUL in a label");
	if (c == '\n' && is_open_metrics(parser))
		return refuse(parser, "end of line in a label");
	if (c == '\\') {
		parser->at++;
		if (parser->at == parser->end)
			return refuse(parser, "label without an end");
		if (*parser->at == '\n')
			return refuse(parser, "end of line in a label");
		parser->at += *parser->at == '"' || *parser->at == '\\';
		return true;
	}
	len = slice_utf8_len(
	    (struct slice){parser->at, (size_t)(parser->end - parser->at)});
	if (!len)
		return refuse(parser, "label that is not UTF-8");
	parser->at += len;
	return true;
}

/* "..."; what is between the quotes. */
static bool take_string(struct textparse *parser, struct slice *ret_inside)
{
	const char *start = ++parser->at;

	for (;;) {
		while (parser->at < parser->end && !is(*parser->at, IS_SPECIAL))
			parser->at++;
		if (parser->at == parser->end)
			return refuse(parser, "label without an end");
		if (*parser->at == '"')
			break;
		if (!take_special(parser))
			return false;
	}
	*ret_inside = since(parser, start);
	parser->at++;
	return true;
}

static bool take_name(struct textparse *parser, int start_class, int class,
		      struct slice *ret_name)
{
	const char *start = parser->at;

	if (is_at(parser, '"')) {
		parser->is_quoted = true;
		return take_string(parser, ret_name);
	}
	if (parser->at == parser->end || !is(*parser->at, start_class))
		return refuse(parser, "no name where there must be one");
	skip(parser, class);
	*ret_name = since(parser, start);
	return true;
}

/* --- labels ------------------------------------------------------------------- */

/* A name in quotes that nothing is assigned to is the metric's. */
static bool take_metric_name(struct textparse *parser, const struct label_list *list,
			     struct slice name)
{
	if (list->is_exemplar || name.text[-1] != '"')
		return refuse(parser, "label without a value");
	if (parser->name.text)
		return refuse(parser, "two names of a metric");
	parser->name = name;
	return true;
}

static bool take_label(struct textparse *parser, struct label_list *list)
{
	struct textparse_label label;

	if (!take_name(parser, IS_LABEL_START, IS_LABEL, &label.name))
		return false;
	skip_blanks(parser);
	if (is_at(parser, ',') || is_at(parser, '}'))
		return take_metric_name(parser, list, label.name);
	if (!take(parser, '='))
		return refuse(parser, "no = after the name of a label");
	skip_blanks(parser);
	if (!is_at(parser, '"'))
		return refuse(parser, "label value without quotes");
	if (!take_string(parser, &label.value))
		return false;
	if (list->count == list->capacity)
		return refuse(parser, "too many labels");
	list->labels[list->count++] = label;
	return true;
}

/* Behind the opening brace; to the closing one. In 0.0.4 commas may be left out. */
static bool take_labels(struct textparse *parser, struct label_list *list)
{
	skip_blanks(parser);
	while (!take(parser, '}')) {
		if (!take_label(parser, list))
			return false;
		skip_blanks(parser);
		if (take(parser, ','))
			skip_blanks(parser);
		else if (is_open_metrics(parser) && !is_at(parser, '}'))
			return refuse(parser, "no comma between labels");
	}
	return true;
}

/* --- numbers ------------------------------------------------------------------ */

static bool take_number(struct textparse *parser, uint64_t *ret_bits)
{
	const char *start = parser->at;

	if (is_open_metrics(parser)) {
		while (parser->at < parser->end && *parser->at != ' ' &&
		       *parser->at != '\n')
			parser->at++;
	} else {
		while (parser->at < parser->end && !is(*parser->at, IS_BLANK) &&
		       *parser->at != '\n' && *parser->at != '{' && *parser->at)
			parser->at++;
	}
	if (parser->at == start)
		return refuse(parser, "no value");
	if (!decimal_parse(since(parser, start), ret_bits))
		return refuse(parser, "not a number");
	return true;
}

/* Seconds, of which Prometheus makes milliseconds in floating point. */
static bool take_seconds(struct textparse *parser, int64_t *ret_ms)
{
	uint64_t bits;
	double value;

	if (!take_number(parser, &bits))
		return false;
	memcpy(&value, &bits, sizeof(value));
	if (!isfinite(value))
		return refuse(parser, "not a time");
	value *= 1000;
	/* What does not fit becomes the lowest number, as amd64 converts it. */
	*ret_ms = value >= -0x1p63 && value < 0x1p63 ? (int64_t)value : INT64_MIN;
	return true;
}

static bool take_milliseconds(struct textparse *parser, int64_t *ret_ms)
{
	int64_t value = 0;

	for (; parser->at < parser->end && is(*parser->at, IS_DIGIT); parser->at++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *parser->at - '0', &value))
			return refuse(parser, "time out of range");
	}
	*ret_ms = value;
	return true;
}

/* --- samples ------------------------------------------------------------------ */

/* The rest of a line of 0.0.4, behind the value. */
static bool take_time_of_text(struct textparse *parser, struct textparse_entry *entry)
{
	skip_blanks(parser);
	entry->has_time = parser->at < parser->end && is(*parser->at, IS_DIGIT);
	if (entry->has_time && !take_milliseconds(parser, &entry->time_ms))
		return false;
	skip_blanks(parser);
	if (parser->at < parser->end && !take(parser, '\n'))
		return refuse(parser, entry->has_time ? "something behind the time"
						      : "no time where it may be");
	return true;
}

static bool take_line_end(struct textparse *parser)
{
	if (parser->at == parser->end)
		return refuse(parser, "no # EOF at the end");
	if (!take(parser, '\n'))
		return refuse(parser, "something behind the end of an entry");
	return true;
}

/* Behind " # {". */
static bool take_exemplar(struct textparse *parser, struct textparse_exemplar *exemplar)
{
	struct label_list list = {parser->exemplar_labels, 0,
				  TEXTPARSE_EXEMPLAR_LABELS_MAX, true};

	if (!take_labels(parser, &list))
		return false;
	exemplar->labels = parser->exemplar_labels;
	exemplar->label_count = list.count;
	if (!take(parser, ' '))
		return refuse(parser, "no value");
	if (!take_number(parser, &exemplar->bits))
		return false;
	exemplar->has_time = take(parser, ' ');
	if (exemplar->has_time && !take_seconds(parser, &exemplar->time_ms))
		return false;
	return take_line_end(parser);
}

/* The rest of a line of OpenMetrics, behind the value. */
static bool take_rest_of_open_metrics(struct textparse *parser,
				      struct textparse_entry *entry)
{
	entry->has_exemplar = take_word(parser, " # {");
	if (entry->has_exemplar)
		return take_exemplar(parser, &entry->exemplar);
	entry->has_time = take(parser, ' ');
	if (!entry->has_time)
		return take_line_end(parser);
	if (!take_seconds(parser, &entry->time_ms))
		return false;
	entry->has_exemplar = take_word(parser, " # {");
	return entry->has_exemplar ? take_exemplar(parser, &entry->exemplar)
				   : take_line_end(parser);
}

static bool take_series(struct textparse *parser, struct textparse_entry *entry)
{
	struct label_list list = {parser->labels, 0, TEXTPARSE_LABELS_MAX, false};
	const char *start = parser->at, *name_end;

	parser->name = (struct slice){NULL, 0};
	if (is_at(parser, '"'))
		return refuse(parser, "name in quotes without braces");
	if (!is_at(parser, '{') &&
	    !take_name(parser, IS_NAME_START, IS_NAME, &parser->name))
		return false;
	name_end = parser->at;
	skip_blanks(parser);
	if (!take(parser, '{'))
		parser->at = name_end;
	else if (!take_labels(parser, &list))
		return false;
	if (!parser->name.text)
		return refuse(parser, "metric without a name");
	entry->name = parser->name;
	entry->series = since(parser, start);
	entry->labels = parser->labels;
	entry->label_count = list.count;
	return true;
}

/* Behind the series. */
static bool take_rest_of_sample(struct textparse *parser, struct textparse_entry *entry)
{
	entry->has_time = entry->has_exemplar = false;
	if (is_open_metrics(parser)) {
		if (!take(parser, ' '))
			return refuse(parser, "no value");
		return take_number(parser, &entry->bits) &&
		       take_rest_of_open_metrics(parser, entry);
	}
	skip_blanks(parser);
	return take_number(parser, &entry->bits) && take_time_of_text(parser, entry);
}

static bool take_sample(struct textparse *parser, struct textparse_entry *entry)
{
	return take_series(parser, entry) && take_rest_of_sample(parser, entry);
}

/* --- TYPE, HELP, UNIT --------------------------------------------------------- */

static bool is_utf8(struct slice text)
{
	while (text.len) {
		size_t len = slice_utf8_len(text);

		if (!len)
			return false;
		text.text += len;
		text.len -= len;
	}
	return true;
}

/* The rest of the line, less the character that parts it from the name. */
static bool take_text(struct textparse *parser, struct slice *ret_text)
{
	const char *start = parser->at, *end = line_end(parser);

	if (is_open_metrics(parser) && !is_at(parser, ' '))
		return refuse(parser, "no text behind a name");
	if (is_open_metrics(parser) && end == parser->end)
		return refuse(parser, "no # EOF at the end");
	skip_blanks(parser);
	/* Nothing but blanks is nothing. */
	if (parser->at == end)
		start = end;
	parser->at = end;
	*ret_text = since(parser, start);
	if (ret_text->len) {
		ret_text->text++;
		ret_text->len--;
	}
	take(parser, '\n');
	return true;
}

static bool find_type(struct slice text, enum textparse_format format,
		      enum textparse_type *ret_type)
{
	static const struct {
		const char *name;
		enum textparse_type type;
		bool is_text, is_open_metrics;
	} types[] = {
	    {"counter", TEXTPARSE_COUNTER, true, true},
	    {"gauge", TEXTPARSE_GAUGE, true, true},
	    {"histogram", TEXTPARSE_HISTOGRAM, true, true},
	    {"summary", TEXTPARSE_SUMMARY, true, true},
	    {"untyped", TEXTPARSE_UNKNOWN, true, false},
	    {"unknown", TEXTPARSE_UNKNOWN, false, true},
	    {"info", TEXTPARSE_INFO, false, true},
	    {"stateset", TEXTPARSE_STATE_SET, false, true},
	    {"gaugehistogram", TEXTPARSE_GAUGE_HISTOGRAM, false, true},
	};

	for (size_t i = 0; i < LENGTH(types); i++) {
		if (slice_is(text, types[i].name) &&
		    (format == TEXTPARSE_OPENMETRICS ? types[i].is_open_metrics
						     : types[i].is_text)) {
			*ret_type = types[i].type;
			return true;
		}
	}
	return false;
}

/* "_unit" is the end of the name. */
static bool is_unit_of(struct slice unit, struct slice name)
{
	const char *end = name.text + name.len;

	return !unit.len ||
	       (unit.len < name.len && end[-(ptrdiff_t)unit.len - 1] == '_' &&
		!memcmp(end - unit.len, unit.text, unit.len));
}

/* Behind the keyword and its blank. */
static bool take_meta(struct textparse *parser, enum textparse_kind kind,
		      struct textparse_entry *entry)
{
	const char *behind;
	struct slice text;

	if (!take_name(parser, IS_NAME_START, IS_NAME, &entry->name) ||
	    !take_text(parser, &text))
		return false;
	behind = parser->at;
	parser->at = text.text;
	if (kind == TEXTPARSE_TYPE && !find_type(text, parser->format, &entry->type))
		return refuse(parser, "unknown type");
	if (kind == TEXTPARSE_HELP && !is_utf8(text))
		return refuse(parser, "help that is not UTF-8");
	if (kind == TEXTPARSE_UNIT && !is_unit_of(text, entry->name))
		return refuse(parser, "unit that the name does not end with");
	parser->at = behind;
	if (kind != TEXTPARSE_TYPE)
		entry->text = text;
	return true;
}

/* --- entries ------------------------------------------------------------------ */

/* Behind the '#' of 0.0.4. A word and a blank, else all of it is a comment. */
static enum textparse_kind comment_kind(struct textparse *parser)
{
	static const struct {
		const char *word;
		enum textparse_kind kind;
	} kinds[] = {{"HELP", TEXTPARSE_HELP}, {"TYPE", TEXTPARSE_TYPE}};

	for (size_t i = 0; i < 2; i++) {
		const char *start = parser->at;

		if (take_word(parser, kinds[i].word) && parser->at < parser->end &&
		    is(*parser->at, IS_BLANK)) {
			skip_blanks(parser);
			return kinds[i].kind;
		}
		parser->at = start;
	}
	return TEXTPARSE_END;
}

/* Its line, and what a NUL in it means: where no blank follows the '#', or right behind
 * that, the end of the body. */
static void skip_comment(struct textparse *parser, bool has_blank)
{
	const char *end = line_end(parser);
	const size_t judged = has_blank ? end > parser->at : (size_t)(end - parser->at);

	parser->is_ended = memchr(parser->at, '\0', judged) != NULL;
	parser->at = end;
	take(parser, '\n');
}

/* True: an entry or its reason. */
static bool next_of_text(struct textparse *parser, struct textparse_entry *entry,
			 enum textparse_kind *ret_kind)
{
	const char *start = parser->at;
	bool has_blank;

	skip_blanks(parser);
	if (take(parser, '\n'))
		return false;
	/* Whatever follows it is not looked at. */
	if (parser->at == parser->end || !*parser->at) {
		parser->is_ended = true;
		return false;
	}
	if (take(parser, '#')) {
		has_blank = parser->at < parser->end && is(*parser->at, IS_BLANK);
		skip_blanks(parser);
		*ret_kind = has_blank ? comment_kind(parser) : TEXTPARSE_END;
		if (*ret_kind == TEXTPARSE_END) {
			skip_comment(parser, has_blank);
			return false;
		}
		take_meta(parser, *ret_kind, entry);
		return true;
	}
	*ret_kind = TEXTPARSE_SAMPLE;
	/* They would be part of the name. */
	if (parser->at != start)
		refuse(parser, "blank before a name");
	else
		take_sample(parser, entry);
	return true;
}

static void next_of_open_metrics(struct textparse *parser,
				 struct textparse_entry *entry,
				 enum textparse_kind *ret_kind)
{
	*ret_kind = TEXTPARSE_SAMPLE;
	if (parser->at == parser->end) {
		refuse(parser, "no # EOF at the end");
		return;
	}
	if (!take_word(parser, "# ")) {
		take_sample(parser, entry);
		return;
	}
	if (take_word(parser, "EOF")) {
		take(parser, '\n');
		parser->is_ended = true;
		if (parser->at != parser->end)
			refuse(parser, "something behind # EOF");
		return;
	}
	if (take_word(parser, "HELP "))
		*ret_kind = TEXTPARSE_HELP;
	else if (take_word(parser, "TYPE "))
		*ret_kind = TEXTPARSE_TYPE;
	else if (take_word(parser, "UNIT "))
		*ret_kind = TEXTPARSE_UNIT;
	else
		refuse(parser, "comment that is none of HELP, TYPE, UNIT and EOF");
	if (!parser->reason)
		take_meta(parser, *ret_kind, entry);
}

static enum textparse_kind invalid(const struct textparse *parser,
				   struct textparse_entry *entry)
{
	const char *at = parser->body;

	entry->reason = parser->reason;
	entry->line = 1;
	while (at < parser->at &&
	       (at = memchr(at, '\n', (size_t)(parser->at - at))) != NULL) {
		entry->line++;
		at++;
	}
	return TEXTPARSE_INVALID;
}

enum textparse_kind textparse_next(struct textparse *parser,
				   struct textparse_entry *ret_entry)
{
	enum textparse_kind kind = TEXTPARSE_END;
	bool is_found = false;

	parser->is_quoted = false;
	while (!is_found && !parser->is_ended && !parser->reason) {
		if (is_open_metrics(parser))
			next_of_open_metrics(parser, ret_entry, &kind);
		is_found =
		    is_open_metrics(parser) || next_of_text(parser, ret_entry, &kind);
	}
	if (parser->reason)
		return invalid(parser, ret_entry);
	ret_entry->is_quoted = parser->is_quoted;
	return parser->is_ended ? TEXTPARSE_END : kind;
}

/* Whether a name that has come to its end could go on with braces, or as a name. */
static bool may_go_on(struct textparse *parser, struct slice series)
{
	const char *behind = parser->at;
	bool goes_on;

	if (series.text[series.len - 1] == '}')
		return false;
	goes_on = behind < parser->end && is(*behind, IS_NAME);
	skip_blanks(parser);
	goes_on |= is_at(parser, '{');
	parser->at = behind;
	return goes_on;
}

bool textparse_expect(struct textparse *parser, struct slice series,
		      enum textparse_kind *ret_kind, struct textparse_entry *ret_entry)
{
	const char *start = parser->at;

	if (parser->reason || parser->is_ended ||
	    (size_t)(parser->end - start) < series.len ||
	    memcmp(start, series.text, series.len) != 0)
		return false;
	parser->at += series.len;
	if (may_go_on(parser, series)) {
		parser->at = start;
		return false;
	}
	ret_entry->name = (struct slice){NULL, 0};
	ret_entry->is_quoted = false;
	ret_entry->series = (struct slice){start, series.len};
	ret_entry->labels = NULL;
	ret_entry->label_count = 0;
	*ret_kind = take_rest_of_sample(parser, ret_entry) ? TEXTPARSE_SAMPLE
							   : invalid(parser, ret_entry);
	return true;
}

/* --- escapes ------------------------------------------------------------------ */

static size_t unescape(struct slice raw, bool has_quotes, char *ret_text)
{
	const char *end = raw.text + raw.len;
	char *out = ret_text;

	for (const char *at = raw.text; at < end; at++) {
		const char next = at + 1 < end ? at[1] : '\0';

		if (*at == '\\' && (next == '\\' || (next == '"' && has_quotes))) {
			*out++ = next;
			at++;
		} else if (*at == '\\' && next == 'n') {
			*out++ = '\n';
			at++;
		} else {
			*out++ = *at;
		}
	}
	return (size_t)(out - ret_text);
}

size_t textparse_unescape(struct slice raw, char *ret_text)
{
	return unescape(raw, true, ret_text);
}

size_t textparse_unescape_help(enum textparse_format format, struct slice raw,
			       char *ret_text)
{
	return unescape(raw, format == TEXTPARSE_OPENMETRICS, ret_text);
}
