/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "length.h"
#include "textparse.h"

#define TEXT TEXTPARSE_PROMETHEUS
#define OPEN TEXTPARSE_OPENMETRICS
#define PAGE 4096
#define SHOWN 65536
/* A literal that may hold NULs. */
#define BODY(literal) literal, sizeof(literal) - 1
#define EOF_LINE "# EOF\n"

struct shown {
	char text[SHOWN];
	size_t len;
};

struct one {
	enum textparse_format format;
	const char *body;
	size_t len;
	const char *expected; /* what show() makes of it */
};

static void add(struct shown *shown, const char *text, size_t len)
{
	assert_true(shown->len + len < SHOWN);
	memcpy(shown->text + shown->len, text, len);
	shown->len += len;
	shown->text[shown->len] = '\0';
}

static void add_text(struct shown *shown, const char *text)
{
	add(shown, text, strlen(text));
}

static void add_number(struct shown *shown, uint64_t bits, bool has_time,
		       int64_t time_ms)
{
	char text[64];
	double value;

	memcpy(&value, &bits, sizeof(value));
	snprintf(text, sizeof(text), " %.17g", value);
	add_text(shown, text);
	if (has_time) {
		snprintf(text, sizeof(text), " @%" PRId64, time_ms);
		add_text(shown, text);
	}
}

static void add_string(struct shown *shown, struct slice raw)
{
	char *text = malloc(raw.len + 1);

	add(shown, text, textparse_unescape(raw, text));
	free(text);
}

static void add_labels(struct shown *shown, const struct textparse_label *labels,
		       size_t count)
{
	for (size_t i = 0; i < count; i++) {
		add_text(shown, i ? "," : "{");
		add_string(shown, labels[i].name);
		add_text(shown, "=");
		add_string(shown, labels[i].value);
	}
	if (count)
		add_text(shown, "}");
}

static void add_sample(struct shown *shown, const struct textparse_entry *entry)
{
	const struct textparse_exemplar *exemplar = &entry->exemplar;

	add_string(shown, entry->name);
	add_labels(shown, entry->labels, entry->label_count);
	add_number(shown, entry->bits, entry->has_time, entry->time_ms);
	if (entry->has_exemplar) {
		add_text(shown, " #");
		add_labels(shown, exemplar->labels, exemplar->label_count);
		add_number(shown, exemplar->bits, exemplar->has_time,
			   exemplar->time_ms);
	}
}

static void add_meta(struct shown *shown, enum textparse_format format,
		     enum textparse_kind kind, const struct textparse_entry *entry)
{
	static const char *const types[] = {"unknown",   "counter",        "gauge",
					    "histogram", "gaugehistogram", "summary",
					    "info",      "stateset"};
	char text[256];

	add_text(shown, kind == TEXTPARSE_TYPE   ? "TYPE "
			: kind == TEXTPARSE_HELP ? "HELP "
						 : "UNIT ");
	add_string(shown, entry->name);
	add_text(shown, " ");
	if (kind == TEXTPARSE_TYPE)
		add_text(shown, types[entry->type]);
	else if (kind == TEXTPARSE_HELP)
		add(shown, text, textparse_unescape_help(format, entry->text, text));
	else
		add(shown, entry->text.text, entry->text.len);
}

/* Entries, a line each; the last one is "end" or "LINE: REASON". */
static void show(enum textparse_format format, const char *body, size_t len,
		 struct shown *shown)
{
	static struct textparse parser;
	struct textparse_entry entry;
	enum textparse_kind kind;
	char line[16];

	shown->len = 0;
	textparse_init(&parser, format, body, len);
	while ((kind = textparse_next(&parser, &entry)) > TEXTPARSE_INVALID) {
		if (kind == TEXTPARSE_SAMPLE)
			add_sample(shown, &entry);
		else
			add_meta(shown, format, kind, &entry);
		add_text(shown, "\n");
	}
	assert_int_equal(textparse_next(&parser, &entry), kind);
	if (kind == TEXTPARSE_END) {
		add_text(shown, "end");
		return;
	}
	snprintf(line, sizeof(line), "%zu: ", entry.line);
	add_text(shown, line);
	add_text(shown, entry.reason);
}

/* Ends right before a page that cannot be read. */
static char *guarded(const char *body, size_t len)
{
	static char *memory;
	const size_t room = 64 * PAGE;

	if (!memory) {
		memory = mmap(NULL, room + PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_ptr_not_equal(memory, MAP_FAILED);
		assert_int_equal(mprotect(memory + room, PAGE, PROT_NONE), 0);
	}
	assert_true(len <= room);
	return memcpy(memory + room - len, body, len);
}

static void assert_each(const struct one *cases, size_t count)
{
	static struct shown shown;

	for (size_t i = 0; i < count; i++) {
		const struct one *one = &cases[i];

		show(one->format, guarded(one->body, one->len), one->len, &shown);
		if (strcmp(shown.text, one->expected) != 0)
			fail_msg("%s\nis\n%s\nnot\n%s", one->body, shown.text,
				 one->expected);
	}
}

static void a_whole_body_of_text(void **state)
{
	const struct one cases[] = {
	    {TEXT,
	     BODY("# HELP jobs_total All jobs\\n\\\\ of \\\"all\\\" queues.\n"
		  "# TYPE jobs_total counter\n"
		  "jobs_total{queue=\"mail\",state=\"done\"} 1027 1395066363000\n"
		  "jobs_total{queue=\"\\\"a\\\\b\\n\",} 3\n"
		  "\n"
		  "# a comment\n"
		  "plain 12.47\n"
		  "# TYPE wait_seconds histogram\n"
		  "wait_seconds_bucket{le=\"+Inf\"} 144320\n"
		  "wait_seconds_sum 53423.5\n"),
	     "HELP jobs_total All jobs\n\\ of \\\"all\\\" queues.\n"
	     "TYPE jobs_total counter\n"
	     "jobs_total{queue=mail,state=done} 1027 @1395066363000\n"
	     "jobs_total{queue=\"a\\b\n} 3\n"
	     "plain 12.470000000000001\n"
	     "TYPE wait_seconds histogram\n"
	     "wait_seconds_bucket{le=+Inf} 144320\n"
	     "wait_seconds_sum 53423.5\n"
	     "end"},
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

static void a_whole_body_of_open_metrics(void **state)
{
	const struct one cases[] = {
	    {OPEN,
	     BODY("# TYPE wait_seconds histogram\n"
		  "# UNIT wait_seconds seconds\n"
		  "# HELP wait_seconds How long \\\"it\\\" took.\n"
		  "wait_seconds_bucket{le=\"0.5\"} 8 # {trace=\"a\\\\b\"} 0.25\n"
		  "wait_seconds_bucket{le=\"+Inf\"} 9 # {trace=\"c\",span=\"d\"} 2 "
		  "1520879607.789\n"
		  "wait_seconds_count 9\n"
		  "wait_seconds_created 1520430000.123\n"
		  "# TYPE up stateset\n"
		  "up{up=\"yes\"} 1 1520879607.5\n" EOF_LINE),
	     "TYPE wait_seconds histogram\n"
	     "UNIT wait_seconds seconds\n"
	     "HELP wait_seconds How long \"it\" took.\n"
	     "wait_seconds_bucket{le=0.5} 8 #{trace=a\\b} 0.25\n"
	     "wait_seconds_bucket{le=+Inf} 9 #{trace=c,span=d} 2 @1520879607789\n"
	     "wait_seconds_count 9\n"
	     "wait_seconds_created 1520430000.1229999\n"
	     "TYPE up stateset\n"
	     "up{up=yes} 1 @1520879607500\n"
	     "end"},
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

#define GOOD(body, shown)                                                              \
	{                                                                              \
		TEXT, BODY(body), shown "\nend"                                        \
	}
#define ENDS(body)                                                                     \
	{                                                                              \
		TEXT, BODY(body), "end"                                                \
	}
#define BAD(body, reason)                                                              \
	{                                                                              \
		TEXT, BODY(body), reason                                               \
	}

static void text_takes_what_prometheus_takes(void **state)
{
	const struct one cases[] = {
	    GOOD("a 1", "a 1"),
	    GOOD("a\t 1  \n", "a 1"),
	    GOOD("a{} 1\n", "a 1"),
	    GOOD("a { b = \"c\" , } 1\n", "a{b=c} 1"),
	    GOOD("a{b=\"c\"}1\n", "a{b=c} 1"),
	    /* A sign ends a name. */
	    GOOD("a-1 5\n", "a -1 @5"),
	    GOOD("a{b=\"c\" d=\"e\"} 1\n", "a{b=c,d=e} 1"),
	    GOOD("a{b=\"c\"d=\"e\"} 1\n", "a{b=c,d=e} 1"),
	    GOOD("a{b=\"x\ny\"} 1\n", "a{b=x\ny} 1"),
	    GOOD("a{b=\"x\\ty\\q\"} 1\n", "a{b=x\\ty\\q} 1"),
	    GOOD("a{b=\"}\"} 1\n", "a{b=}} 1"),
	    GOOD("a{b=\"\"} 1\n", "a{b=} 1"),
	    GOOD("a{b=\"1\",b=\"2\"} 1\n", "a{b=1,b=2} 1"),
	    GOOD("a{b=\"\xf0\x9f\x98\x80\"} 1\n", "a{b=\xf0\x9f\x98\x80} 1"),
	    GOOD("a{_=\"1\",__x=\"2\"} 1\n", "a{_=1,__x=2} 1"),
	    GOOD(": 1\n", ": 1"),
	    GOOD("a 1 0012 \n", "a 1 @12"),
	    GOOD("a 1 9223372036854775807\n", "a 1 @9223372036854775807"),
	    GOOD("{\"a.b\"} 1\n", "a.b 1"),
	    GOOD("{\"a.b\", \"c d\"=\"e\",f=\"g\"} 1\n", "a.b{c d=e,f=g} 1"),
	    GOOD("{f=\"g\",\"a\"} 1\n", "a{f=g} 1"),
	    GOOD("# HELP\ta x\n", "HELP a x"),
	    GOOD("  # HELP a x\n", "HELP a x"),
	    GOOD("# HELP a  x \n", "HELP a  x "),
	    GOOD("# HELP a\n", "HELP a "),
	    GOOD("# HELP a \t \n", "HELP a "),
	    GOOD("# HELP a{b=\"c\"} x", "HELP a b=\"c\"} x"),
	    GOOD("# HELP \"a.b\" x\n", "HELP a.b x"),
	    GOOD("# TYPE a\tgauge\n", "TYPE a gauge"),
	    GOOD("# TYPE a untyped", "TYPE a unknown"),
	    ENDS(""),
	    ENDS("\n \n\t"),
	    ENDS("#"),
	    ENDS("#\n# \n#x\n# HELP\n# TYPE\n#HELP a\n# HELPX a\n# UNIT a b\n# EOF\n"),
	    ENDS("# \xff\n"),
	    /* Nothing of what follows these is looked at. */
	    GOOD("a 1\n\0b", "a 1"),
	    GOOD("a 1\n \0b", "a 1"),
	    ENDS("#x\0\na 1\n"),
	    ENDS("# \0\na 1\n"),
	    GOOD("# x\0\na 1\n", "a 1"),
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

static void text_refuses_what_prometheus_refuses(void **state)
{
	const struct one cases[] = {
	    BAD("\n\n a 1\n", "3: blank before a name"),
	    BAD("\r\n", "1: no name where there must be one"),
	    BAD("1a 1\n", "1: no name where there must be one"),
	    BAD("\xef\xbb\xbf"
		"a 1\n",
		"1: no name where there must be one"),
	    BAD("\"a\" 1\n", "1: name in quotes without braces"),
	    BAD("a\n", "1: no value"),
	    BAD("a \nb 1\n", "1: no value"),
	    BAD("a 1\r\n", "1: not a number"),
	    BAD("a 1_0\n", "1: not a number"),
	    BAD("a 1{\n", "1: no time where it may be"),
	    BAD("a 1\0\n", "1: no time where it may be"),
	    BAD("a 1 -1\n", "1: no time where it may be"),
	    BAD("a 1 # {} 1\n", "1: no time where it may be"),
	    BAD("a 1 1.5\n", "1: something behind the time"),
	    BAD("a 1 2 3\n", "1: something behind the time"),
	    BAD("a 1 9223372036854775808\n", "1: time out of range"),
	    BAD("a{,} 1\n", "1: no name where there must be one"),
	    BAD("a{b=\"c\",,} 1\n", "1: no name where there must be one"),
	    BAD("a{\nb=\"c\"} 1\n", "1: no name where there must be one"),
	    BAD("a{b:c=\"d\"} 1\n", "1: no = after the name of a label"),
	    BAD("a{b} 1\n", "1: label without a value"),
	    BAD("a{b=c} 1\n", "1: label value without quotes"),
	    BAD("a{b=\"c", "1: label without an end"),
	    BAD("a{b=\"c\\", "1: label without an end"),
	    BAD("a{b=\"c\n\n\" 1\n", "3: no name where there must be one"),
	    BAD("a{b=\"\\\n\"} 1\n", "1: end of line in a label"),
	    BAD("a{b=\"\xff\"} 1\n", "1: label that is not UTF-8"),
	    BAD("a{b=\"\xed\xa0\x80\"} 1\n", "1: label that is not UTF-8"),
	    BAD("a{b=\"c\"}{d=\"e\"} 1\n", "1: no value"),
	    BAD("a{\"b\"} 1\n", "1: two names of a metric"),
	    BAD("{\"a\",\"b\"} 1\n", "1: two names of a metric"),
	    BAD("{} 1\n", "1: metric without a name"),
	    BAD("{a=\"b\"} 1\n", "1: metric without a name"),
	    BAD("# HELP ", "1: no name where there must be one"),
	    BAD("# HELP \na 1\n", "1: no name where there must be one"),
	    BAD("# HELP a \xff\n", "1: help that is not UTF-8"),
	    BAD("# TYPE a\n", "1: unknown type"),
	    BAD("# TYPE a gauge \n", "1: unknown type"),
	    BAD("# TYPE a  gauge\n", "1: unknown type"),
	    BAD("# TYPE a unknown\n", "1: unknown type"),
	    BAD("# TYPE a info\n", "1: unknown type"),
	    BAD("# TYPE a gauge\r\n", "1: unknown type"),
	    /* Prometheus takes it. */
	    BAD("a{b=\"x\0y\"} 1\n", "1: NUL in a label"),
	    BAD("a 1\nb 2\nc\n", "a 1\nb 2\n3: no value"),
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

#undef GOOD
#undef BAD
#define GOOD(body, shown)                                                              \
	{                                                                              \
		OPEN, BODY(body "\n" EOF_LINE), shown "\nend"                          \
	}
#define BAD(body, reason)                                                              \
	{                                                                              \
		OPEN, BODY(body "\n" EOF_LINE), "1: " reason                           \
	}

static void open_metrics_takes_what_prometheus_takes(void **state)
{
	const struct one cases[] = {
	    {OPEN, BODY("# EOF"), "end"},
	    {OPEN, BODY("# EOF\n"), "end"},
	    GOOD("a 1", "a 1"),
	    GOOD("a{} 1", "a 1"),
	    GOOD("a{b=\"c\",d=\"\\n\\\"\\\\\\x\"} 1", "a{b=c,d=\n\"\\\\x} 1"),
	    GOOD("a 1 1.0009", "a 1 @1000"),
	    GOOD("a 1 -1.0009", "a 1 @-1000"),
	    GOOD("a 1 +1.5e3", "a 1 @1500000"),
	    GOOD("a 1 1e300", "a 1 @-9223372036854775808"),
	    GOOD("a_total 1 # {} 1", "a_total 1 # 1"),
	    GOOD("a_total 1 # {b=\"}\"} 1 2", "a_total 1 #{b=}} 1 @2000"),
	    GOOD("a_total 1 3 # {b=\"c\"} NaN", "a_total 1 @3000 #{b=c} nan"),
	    GOOD("# HELP a ", "HELP a "),
	    GOOD("# HELP a  x", "HELP a  x"),
	    GOOD("# UNIT a_b b", "UNIT a_b b"),
	    GOOD("# UNIT _b b", "UNIT _b b"),
	    GOOD("# UNIT a_b ", "UNIT a_b "),
	    GOOD("# TYPE a unknown", "TYPE a unknown"),
	    GOOD("# TYPE a gaugehistogram", "TYPE a gaugehistogram"),
	    GOOD("# TYPE a info", "TYPE a info"),
	    /* As version 3 of Prometheus, not 2.42: */
	    GOOD("a{b=\"c\",} 1", "a{b=c} 1"),
	    GOOD("a 1 # {b=\"c\",} 1", "a 1 #{b=c} 1"),
	    GOOD("{\"a.b\",\"c d\"=\"e\"} 1", "a.b{c d=e} 1"),
	    GOOD("# TYPE \"a.b\" gauge", "TYPE a.b gauge"),
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

static void open_metrics_refuses_what_prometheus_refuses(void **state)
{
	const struct one cases[] = {
	    {OPEN, BODY(""), "1: no # EOF at the end"},
	    {OPEN, BODY("a 1\n"), "a 1\n2: no # EOF at the end"},
	    {OPEN, BODY("a 1"), "1: no # EOF at the end"},
	    {OPEN, BODY("# HELP a b"), "1: no # EOF at the end"},
	    {OPEN, BODY("# EOF\n\n"), "2: something behind # EOF"},
	    {OPEN, BODY("# EOF\r\n"), "1: something behind # EOF"},
	    {OPEN, BODY("# EOF\na 1\n"), "2: something behind # EOF"},
	    {OPEN, BODY("#EOF\n"), "1: no name where there must be one"},
	    BAD("", "no name where there must be one"),
	    BAD("# x", "comment that is none of HELP, TYPE, UNIT and EOF"),
	    BAD("#  EOF", "comment that is none of HELP, TYPE, UNIT and EOF"),
	    BAD("# HELP\ta x", "comment that is none of HELP, TYPE, UNIT and EOF"),
	    BAD("# HELP  a x", "no name where there must be one"),
	    BAD("# HELP a", "no text behind a name"),
	    BAD("# HELP a\tx", "no text behind a name"),
	    BAD("# HELP a \xff", "help that is not UTF-8"),
	    BAD("# TYPE a untyped", "unknown type"),
	    BAD("# TYPE a gauge ", "unknown type"),
	    BAD("# UNIT a b", "unit that the name does not end with"),
	    BAD("# UNIT b b", "unit that the name does not end with"),
	    BAD("# UNIT a_bb b", "unit that the name does not end with"),
	    BAD(" a 1", "no name where there must be one"),
	    BAD("a  1", "no value"),
	    BAD("a\t1", "no value"),
	    BAD("a 1 ", "no value"),
	    BAD("a 1\r", "not a number"),
	    BAD("a {} 1", "not a number"),
	    BAD("a{b=\"c\"}1", "no value"),
	    BAD("a{ b=\"c\"} 1", "no name where there must be one"),
	    BAD("a{b =\"c\"} 1", "no = after the name of a label"),
	    BAD("a{b= \"c\"} 1", "label value without quotes"),
	    BAD("a{b=\"c\" } 1", "no comma between labels"),
	    BAD("a{b=\"c\"d=\"e\"} 1", "no comma between labels"),
	    BAD("a{b=\"c\", d=\"e\"} 1", "no name where there must be one"),
	    BAD("a{,} 1", "no name where there must be one"),
	    BAD("a{b=\"x\ny\"} 1", "end of line in a label"),
	    BAD("a 1 2 3", "something behind the end of an entry"),
	    BAD("a 1 x", "not a number"),
	    BAD("a 1 NaN", "not a time"),
	    BAD("a 1 Inf", "not a time"),
	    BAD("a_total 1 #{} 1", "not a number"),
	    BAD("a_total 1 # {}", "no value"),
	    BAD("a_total 1 # {}  1", "no value"),
	    BAD("a_total 1 # {} 1 ", "no value"),
	    BAD("a_total 1 # {} x", "not a number"),
	    BAD("a_total 1 # {} 1 NaN", "not a time"),
	    BAD("a_total 1 # {} 1 2 3", "something behind the end of an entry"),
	    BAD("a_total 1 # {\"b\"} 1", "label without a value"),
	    BAD("a_total 1 # {b=\"\xff\"} 1", "label that is not UTF-8"),
	};

	(void)state;
	assert_each(cases, LENGTH(cases));
}

static void a_series_is_its_name_and_braces_as_they_stand(void **state)
{
	static const struct {
		const char *body, *series;
		bool is_quoted;
	} cases[] = {
	    {"a 1", "a", false},
	    {"a{} 1", "a{}", false},
	    {"a  { b=\"}\\\"\" , }  1", "a  { b=\"}\\\"\" , }", false},
	    {"{\"a\"} 1", "{\"a\"}", true},
	    {"a{\"b\"=\"c\"} 1", "a{\"b\"=\"c\"}", true},
	};
	static struct textparse parser;
	struct textparse_entry entry;

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		textparse_init(&parser, TEXT, cases[i].body, strlen(cases[i].body));
		assert_int_equal(textparse_next(&parser, &entry), TEXTPARSE_SAMPLE);
		assert_true(slice_is(entry.series, cases[i].series));
		assert_int_equal(entry.is_quoted, cases[i].is_quoted);
	}
}

struct expected {
	enum textparse_format format;
	const char *series, *body;
	bool comes;
	const char *rest; /* as show() makes it of the rest, where it comes */
};

static void assert_expected(const struct expected *expected)
{
	static struct textparse parser;
	static struct shown shown;
	const size_t len = strlen(expected->body);
	struct textparse_entry entry;
	enum textparse_kind kind = TEXTPARSE_END;
	bool comes;

	textparse_init(&parser, expected->format, guarded(expected->body, len), len);
	comes = textparse_expect(&parser, slice_of(expected->series), &kind, &entry);
	assert_int_equal(comes, expected->comes);
	if (!comes) {
		assert_ptr_equal(parser.at, parser.body);
		return;
	}
	if (kind == TEXTPARSE_INVALID) {
		assert_string_equal(entry.reason, expected->rest);
		return;
	}
	assert_int_equal(kind, TEXTPARSE_SAMPLE);
	assert_true(slice_is(entry.series, expected->series));
	assert_int_equal(entry.label_count, 0);
	shown.len = 0;
	add_number(&shown, entry.bits, entry.has_time, entry.time_ms);
	assert_string_equal(shown.text, expected->rest);
}

static void a_series_that_is_expected_is_taken_if_it_comes(void **state)
{
	static const struct expected cases[] = {
	    {TEXT, "a", "a 1", true, " 1"},
	    {TEXT, "a", "a\t1 5\n", true, " 1 @5"},
	    {TEXT, "a", "a-1\n", true, " -1"},
	    {TEXT, "a{b=\"c\"}", "a{b=\"c\"}1\n", true, " 1"},
	    {TEXT, "a", "a", true, "no value"},
	    {TEXT, "a", "a x\n", true, "not a number"},
	    {TEXT, "a{b=\"c\"}", "a{b=\"c\"} {", true, "no value"},
	    {OPEN, "a", "a 1 5\n", true, " 1 @5000"},
	    {OPEN, "a", "a 1", true, "no # EOF at the end"},
	    {OPEN, "a", "a\t1\n", true, "no value"},
	    {TEXT, "a", "ab 1\n", false, NULL},
	    {TEXT, "a", "a:b 1\n", false, NULL},
	    {TEXT, "a", "a9 1\n", false, NULL},
	    {TEXT, "a", "a{} 1\n", false, NULL},
	    {TEXT, "a", "a \t{b=\"c\"} 1\n", false, NULL},
	    {OPEN, "a", "a{b=\"c\"} 1\n", false, NULL},
	    {TEXT, "ab", "a 1\n", false, NULL},
	    {TEXT, "ab", "a", false, NULL},
	    {TEXT, "a", " a 1\n", false, NULL},
	    {TEXT, "a", "\na 1\n", false, NULL},
	    {TEXT, "a", "# a\n", false, NULL},
	    {TEXT, "a", "", false, NULL},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		assert_expected(&cases[i]);
}

static void nothing_is_expected_behind_the_end(void **state)
{
	static struct textparse parser;
	struct textparse_entry entry;
	enum textparse_kind kind;

	(void)state;
	textparse_init(&parser, TEXT, "x\na 1\n", 6);
	assert_int_equal(textparse_next(&parser, &entry), TEXTPARSE_INVALID);
	parser.at = parser.body + 2;
	assert_false(textparse_expect(&parser, slice_of("a"), &kind, &entry));
	textparse_init(&parser, TEXT, "\0a 1\n", 6);
	assert_int_equal(textparse_next(&parser, &entry), TEXTPARSE_END);
	parser.at = parser.body + 1;
	assert_false(textparse_expect(&parser, slice_of("a"), &kind, &entry));
}

static size_t write_labels(char *text, const char *before, size_t count,
			   const char *after)
{
	size_t len = (size_t)sprintf(text, "%s", before);

	for (size_t i = 0; i < count; i++)
		len += (size_t)sprintf(text + len, "%sl%zu=\"x\"", i ? "," : "", i);
	return len + (size_t)sprintf(text + len, "%s", after);
}

static void what_has_too_many_labels_is_refused(void **state)
{
	static char body[8192];
	static struct textparse parser;
	struct textparse_entry entry;
	size_t len = write_labels(body, "a{", TEXTPARSE_LABELS_MAX, "} 1\n");

	(void)state;
	textparse_init(&parser, TEXT, body, len);
	assert_int_equal(textparse_next(&parser, &entry), TEXTPARSE_SAMPLE);
	assert_int_equal(entry.label_count, TEXTPARSE_LABELS_MAX);
	len = write_labels(body, "a{", TEXTPARSE_LABELS_MAX + 1, "} 1\n");
	textparse_init(&parser, TEXT, body, len);
	assert_int_equal(textparse_next(&parser, &entry), TEXTPARSE_INVALID);
	assert_string_equal(entry.reason, "too many labels");
	len = write_labels(body, "a 1 # {", TEXTPARSE_EXEMPLAR_LABELS_MAX + 1, "} 1\n");
	textparse_init(&parser, OPEN, body, len);
	assert_int_equal(textparse_next(&parser, &entry), TEXTPARSE_INVALID);
	assert_string_equal(entry.reason, "too many labels");
}

static const char whole_text[] =
    "# HELP a_total b\\n\n# TYPE a_total "
    "counter\na_total{b=\"c\\\"\\\\\",d=\"\xc3\xa4\"}"
    " 1.5e3 1395066363000\n\n#x\n{\"e f\",\"g\"=\"h\"} NaN\nj { k = \"l\" , } -Inf\n";
static const char whole_open[] =
    "# TYPE a_s histogram\n# UNIT a_s s\n# HELP a_s "
    "b\na_s_bucket{le=\"1.0\",d=\"\xc3\xa4\""
    "} 1 123.5 # {t=\"\\\\\",u=\"v\"} 0.5 1.5\n{\"e f\"} 2 3\n# EOF\n";

static void no_prefix_reads_outside(void **state)
{
	static struct shown shown;

	(void)state;
	for (size_t len = 0; len < sizeof(whole_text); len++)
		show(TEXT, guarded(whole_text, len), len, &shown);
	assert_non_null(strstr(shown.text, "\nend"));
	for (size_t len = 0; len < sizeof(whole_open); len++)
		show(OPEN, guarded(whole_open, len), len, &shown);
	assert_non_null(strstr(shown.text, "\nend"));
}

static void of_open_metrics_no_part_but_the_whole_is_good(void **state)
{
	static struct shown shown;
	const size_t whole = sizeof(whole_open) - 1;

	(void)state;
	for (size_t len = 0; len <= whole; len++) {
		show(OPEN, guarded(whole_open, len), len, &shown);
		/* The end of the last line may be missing. */
		assert_int_equal(strstr(shown.text, "\nend") != NULL, len >= whole - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_whole_body_of_text),
	    cmocka_unit_test(a_whole_body_of_open_metrics),
	    cmocka_unit_test(text_takes_what_prometheus_takes),
	    cmocka_unit_test(text_refuses_what_prometheus_refuses),
	    cmocka_unit_test(open_metrics_takes_what_prometheus_takes),
	    cmocka_unit_test(open_metrics_refuses_what_prometheus_refuses),
	    cmocka_unit_test(a_series_is_its_name_and_braces_as_they_stand),
	    cmocka_unit_test(a_series_that_is_expected_is_taken_if_it_comes),
	    cmocka_unit_test(nothing_is_expected_behind_the_end),
	    cmocka_unit_test(what_has_too_many_labels_is_refused),
	    cmocka_unit_test(no_prefix_reads_outside),
	    cmocka_unit_test(of_open_metrics_no_part_but_the_whole_is_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
