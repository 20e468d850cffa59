/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what the parser of scraped bodies makes of each body on its input, for tests
 * that compare it with other parsers. A body is a line "prometheus LENGTH" or
 * "openmetrics LENGTH" and that many bytes. Strings are printed in hex.
 *
 *     sample BITS TIME NAME NAME=VALUE...
 *     exemplar BITS TIME NAME=VALUE...
 *     type NAME NUMBER, help NAME TEXT, unit NAME TEXT
 *     end, or invalid LINE REASON
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "textparse.h"

#define BODY_MAX (64u << 20)

static void print_hex(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", (unsigned char)text[i]);
}

static void print_string(struct slice raw)
{
	char *text = malloc(raw.len + 1);

	if (text)
		print_hex(text, textparse_unescape(raw, text));
	free(text);
}

/* An exemplar's values stay as they are. */
static void print_labels(const struct textparse_label *labels, size_t count,
			 bool is_exemplar)
{
	for (size_t i = 0; i < count; i++) {
		putchar(' ');
		print_string(labels[i].name);
		putchar('=');
		if (is_exemplar)
			print_hex(labels[i].value.text, labels[i].value.len);
		else
			print_string(labels[i].value);
	}
	putchar('\n');
}

static void print_number(const char *what, uint64_t bits, bool has_time,
			 int64_t time_ms)
{
	printf("%s %016" PRIx64, what, bits);
	if (has_time)
		printf(" %" PRId64, time_ms);
	else
		printf(" -");
}

static void print_sample(const struct textparse_entry *entry)
{
	const struct textparse_exemplar *exemplar = &entry->exemplar;

	print_number("sample", entry->bits, entry->has_time, entry->time_ms);
	putchar(' ');
	print_string(entry->name);
	print_labels(entry->labels, entry->label_count, false);
	if (!entry->has_exemplar)
		return;
	print_number("exemplar", exemplar->bits, exemplar->has_time, exemplar->time_ms);
	print_labels(exemplar->labels, exemplar->label_count, true);
}

static void print_help(enum textparse_format format,
		       const struct textparse_entry *entry)
{
	char *text = malloc(entry->text.len + 1);

	if (text)
		print_hex(text, textparse_unescape_help(format, entry->text, text));
	free(text);
	putchar('\n');
}

static void print_meta(enum textparse_format format, enum textparse_kind kind,
		       const struct textparse_entry *entry)
{
	printf("%s ", kind == TEXTPARSE_TYPE   ? "type"
		      : kind == TEXTPARSE_HELP ? "help"
					       : "unit");
	print_string(entry->name);
	putchar(' ');
	if (kind == TEXTPARSE_TYPE)
		printf("%d\n", (int)entry->type);
	else if (kind == TEXTPARSE_HELP)
		print_help(format, entry);
	else {
		print_hex(entry->text.text, entry->text.len);
		putchar('\n');
	}
}

static void print_body(enum textparse_format format, const char *body, size_t len)
{
	static struct textparse parser;
	struct textparse_entry entry;
	enum textparse_kind kind;

	textparse_init(&parser, format, body, len);
	while ((kind = textparse_next(&parser, &entry)) > TEXTPARSE_INVALID) {
		if (kind == TEXTPARSE_SAMPLE)
			print_sample(&entry);
		else
			print_meta(format, kind, &entry);
	}
	if (kind == TEXTPARSE_END)
		puts("end");
	else
		printf("invalid %zu %s\n", entry.line, entry.reason);
}

int main(void)
{
	char format[16];
	size_t len;

	while (scanf("%15s %zu", format, &len) == 2 && getchar() == '\n') {
		char *body = len <= BODY_MAX ? malloc(len + 1) : NULL;

		if (!body || fread(body, 1, len, stdin) != len) {
			free(body);
			return EXIT_FAILURE;
		}
		print_body(strcmp(format, "openmetrics") ? TEXTPARSE_PROMETHEUS
							 : TEXTPARSE_OPENMETRICS,
			   body, len);
		free(body);
	}
	return feof(stdin) ? EXIT_SUCCESS : EXIT_FAILURE;
}
