/* SPDX-License-Identifier: Apache-2.0 */
/* Any regex, templates and values as one rule and the labels that it sees: in
 * bounded time, within its buffers, and what comes out is a set of labels. Lines:
 * action and modulus (a byte each), regex, replacement, target, values. */
#include <stdlib.h>
#include <string.h>

#include "config_value.h"
#include "relabel.h"

#define LINES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int fact)
{
	if (!fact)
		abort();
}

/* Lines of text, which ends with a NUL; those that are not there are empty. */
static void split(char *text, char *ret_lines[LINES])
{
	for (size_t i = 0; i < LINES; i++) {
		char *end = strchr(text, '\n');

		ret_lines[i] = text;
		text += strlen(text);
		if (end && i + 1 < LINES) {
			*end = '\0';
			text = end + 1;
		}
	}
}

static bool is_utf8(const struct label *labels, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!value_is_utf8(labels[i].value))
			return false;
	}
	return true;
}

static void check_result(const struct label *labels, size_t count, bool is_text)
{
	require(count && count <= RELABEL_LABELS_MAX);
	require(!is_text || is_utf8(labels, count));
	for (size_t i = 0; i < count; i++) {
		require(value_is_metric_name(labels[i].name));
		require(*labels[i].value);
		require(!i || strcmp(labels[i - 1].name, labels[i].name) < 0);
	}
}

static void apply(struct relabel *relabel, char *const *values)
{
	static const char *const names[] = {"__name__", "a", "a1", "b"};
	struct label given[4];
	const struct label *labels;
	size_t given_count = 0, count;

	for (size_t i = 0; i < 4; i++) {
		if (*values[i])
			given[given_count++] = (struct label){names[i], values[i]};
	}
	if (relabel_apply(relabel, given, given_count, &labels, &count))
		check_result(labels, count, is_utf8(given, given_count));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = calloc(1, size + 1), *lines[LINES], *source[] = {"a", "b"};
	struct relabel *relabel = NULL;
	struct config_relabel rule = {
	    .where = "fuzz", .separator = ";", .source_labels = {source, 2}};

	require(text != NULL);
	memcpy(text, data, size);
	split(text, lines);
	rule.action = (unsigned char)lines[0][0] % (CONFIG_LABELKEEP + 1);
	rule.modulus = 1 + (uint64_t)(lines[0][0] ? (unsigned char)lines[0][1] : 0);
	rule.regex = lines[1];
	rule.replacement = lines[2];
	rule.target_label = lines[3];
	/* config_relabel.c has judged that a file is UTF-8, and what a target is. */
	if (value_is_utf8(lines[1]) && value_is_utf8(lines[2]) &&
	    (rule.action == CONFIG_REPLACE || value_is_metric_name(lines[3])) &&
	    !relabel_create(&rule, 1, &relabel))
		apply(relabel, &lines[4]);
	relabel_free(&relabel);
	free(text);
	return 0;
}
