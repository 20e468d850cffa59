/* SPDX-License-Identifier: Apache-2.0 */
#include "relabel.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/md5.h>

#include "cleanup.h"
#include "config_value.h"
#include "letters.h"
#include "log.h"
#include "pattern.h"
#include "template.h"

#define TEXT_MAX ((size_t)4 * RELABEL_VALUE_MAX) /* of all that the rules write */
#define NOT_FOUND SIZE_MAX

struct rule {
	const struct config_relabel *config;
	struct pattern *pattern;
	struct template *target; /* CONFIG_REPLACE */
	struct template *replacement;
};

/* The set that rules work on is the caller's until the first change. From then on
 * it is `own`: what is left of the caller's in order, behind it what rules set, in
 * the order they did. labelmap goes through it in that order, as Prometheus does,
 * which says who wins when two labels come to one name. */
struct relabel {
	struct rule *rules;
	size_t rule_count;
	const struct label *labels;
	size_t count;
	size_t given; /* of them, the caller's */
	struct label own[RELABEL_LABELS_MAX];
	char *text; /* TEXT_MAX, of which the kernel backs what is used */
	size_t text_len;
	char *joined; /* RELABEL_VALUE_MAX and a NUL */
	const char *failure;
	uint64_t failures;
};

/* --- the set ------------------------------------------------------------------ */

static void fail(struct relabel *relabel, const char *why)
{
	if (!relabel->failure)
		relabel->failure = why;
}

static size_t find(const struct relabel *relabel, const char *name)
{
	for (size_t i = 0; i < relabel->count; i++) {
		if (!strcmp(relabel->labels[i].name, name))
			return i;
	}
	return NOT_FOUND;
}

/* A label that is not there is an empty one. */
static const char *value_of(const struct relabel *relabel, const char *name)
{
	size_t index = find(relabel, name);

	return index == NOT_FOUND ? "" : relabel->labels[index].value;
}

static bool make_own(struct relabel *relabel)
{
	if (relabel->labels == relabel->own)
		return true;
	if (relabel->count > RELABEL_LABELS_MAX) {
		fail(relabel, "too many labels");
		return false;
	}
	memcpy(relabel->own, relabel->labels, relabel->count * sizeof(*relabel->own));
	relabel->labels = relabel->own;
	return true;
}

static void delete_at(struct relabel *relabel, size_t index)
{
	memmove(&relabel->own[index], &relabel->own[index + 1],
		(relabel->count - index - 1) * sizeof(*relabel->own));
	relabel->count--;
	relabel->given -= index < relabel->given;
}

static void delete_label(struct relabel *relabel, const char *name)
{
	size_t index = find(relabel, name);

	if (index != NOT_FOUND && make_own(relabel))
		delete_at(relabel, index);
}

/* Both strings live as long as the result. */
static void set_label(struct relabel *relabel, const char *name, const char *value)
{
	size_t index = find(relabel, name);

	if (!*value) {
		delete_label(relabel, name);
		return;
	}
	if (!make_own(relabel))
		return;
	if (index != NOT_FOUND && index >= relabel->given) {
		relabel->own[index].value = value;
		return;
	}
	if (index != NOT_FOUND)
		delete_at(relabel, index);
	if (relabel->count == RELABEL_LABELS_MAX) {
		fail(relabel, "too many labels");
		return;
	}
	relabel->own[relabel->count++] = (struct label){.name = name, .value = value};
}

/* Few are out of their place: those that rules set. */
static void sort_labels(struct label *labels, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct label moved = labels[i];
		size_t to = i;

		for (; to && strcmp(labels[to - 1].name, moved.name) > 0; to--)
			labels[to] = labels[to - 1];
		labels[to] = moved;
	}
}

/* --- values ------------------------------------------------------------------- */

static char *text_end(const struct relabel *relabel)
{
	return relabel->text + relabel->text_len;
}

static size_t text_room(const struct relabel *relabel)
{
	size_t left = TEXT_MAX - relabel->text_len;

	return left < RELABEL_VALUE_MAX + 1 ? left : RELABEL_VALUE_MAX + 1;
}

/* What was just written at text_end, of so many bytes and a NUL. */
static const char *keep_text(struct relabel *relabel, size_t len)
{
	const char *kept = text_end(relabel);

	if (len >= text_room(relabel)) {
		fail(relabel, "a value that the rule makes is too long");
		return NULL;
	}
	relabel->text_len += len + 1;
	return kept;
}

static struct slice join(struct relabel *relabel, const struct config_relabel *config)
{
	const struct config_strings *names = &config->source_labels;
	struct slice separator = slice_of(config->separator);
	size_t len = 0;

	for (size_t i = 0; i < names->count; i++) {
		struct slice value = slice_of(value_of(relabel, names->items[i]));

		if (len + separator.len + value.len > RELABEL_VALUE_MAX) {
			fail(relabel, "the values of source_labels are too long");
			break;
		}
		if (i) {
			memcpy(relabel->joined + len, separator.text, separator.len);
			len += separator.len;
		}
		memcpy(relabel->joined + len, value.text, value.len);
		len += value.len;
	}
	return (struct slice){.text = relabel->joined, .len = len};
}

static struct slice source(struct relabel *relabel, const struct config_relabel *config)
{
	struct slice value = {.text = ""};

	if (config->source_labels.count > 1)
		return join(relabel, config);
	if (config->source_labels.count)
		value = slice_of(value_of(relabel, config->source_labels.items[0]));
	if (value.len > RELABEL_VALUE_MAX)
		fail(relabel, "the value of source_labels is too long");
	return value;
}

static bool matches(struct relabel *relabel, const struct rule *rule, struct slice text)
{
	enum pattern_result result = PATTERN_FAILED;

	if (!relabel->failure)
		result = pattern_match(rule->pattern, text);
	if (result == PATTERN_FAILED)
		fail(relabel,
		     "its regex gives up on a label (too many steps, or not UTF-8)");
	return result == PATTERN_MATCH;
}

/* Of a match with text; NULL when it is too long. */
static const char *expand(struct relabel *relabel, const struct rule *rule,
			  const struct template *template, struct slice text)
{
	const char *constant = template_constant(template);

	if (constant)
		return constant;
	return keep_text(relabel,
			 template_expand(template, rule->pattern, text,
					 text_end(relabel), text_room(relabel)));
}

/* --- actions ------------------------------------------------------------------ */

static void replace(struct relabel *relabel, const struct rule *rule, struct slice text)
{
	const char *target, *value;

	if (!matches(relabel, rule, text))
		return;
	target = expand(relabel, rule, rule->target, text);
	if (!target || !value_is_metric_name(target))
		return;
	value = expand(relabel, rule, rule->replacement, text);
	if (value)
		set_label(relabel, target, value);
}

static void set_made(struct relabel *relabel, const struct rule *rule, size_t len)
{
	const char *value = keep_text(relabel, len);

	if (value)
		set_label(relabel, rule->config->target_label, value);
}

static void set_case(struct relabel *relabel, const struct rule *rule,
		     struct slice text)
{
	bool is_lower = rule->config->action == CONFIG_LOWERCASE;

	set_made(relabel, rule,
		 (is_lower ? letters_to_lower : letters_to_upper)(
		     text, text_end(relabel), text_room(relabel)));
}

/* The last half of the MD5 sum, as a number. */
static uint64_t hash(struct slice text)
{
	uint8_t digest[MD5_DIGEST_SIZE];
	struct md5_ctx context;
	uint64_t number;

	md5_init(&context);
	md5_update(&context, text.len, (const uint8_t *)text.text);
	md5_digest(&context, sizeof(digest), digest);
	memcpy(&number, digest + sizeof(digest) - sizeof(number), sizeof(number));
	return be64toh(number);
}

static void set_hash(struct relabel *relabel, const struct rule *rule,
		     struct slice text)
{
	int len = snprintf(text_end(relabel), text_room(relabel), "%" PRIu64,
			   hash(text) % rule->config->modulus);

	set_made(relabel, rule, (size_t)len);
}

/* Prometheus would set an invalid name here. */
static void map_label(struct relabel *relabel, const struct rule *rule,
		      const struct label *label)
{
	const char *name =
	    expand(relabel, rule, rule->replacement, slice_of(label->name));

	if (name && value_is_metric_name(name))
		set_label(relabel, name, label->value);
}

/* Of the labels as they are before the rule. */
static void judge_names(struct relabel *relabel, const struct rule *rule)
{
	struct label before[RELABEL_LABELS_MAX];
	size_t count = relabel->count;

	if (count > RELABEL_LABELS_MAX) {
		fail(relabel, "too many labels");
		return;
	}
	memcpy(before, relabel->labels, count * sizeof(*before));
	for (size_t i = 0; i < count && !relabel->failure; i++) {
		bool is_match = matches(relabel, rule, slice_of(before[i].name));

		if (rule->config->action != CONFIG_LABELMAP) {
			if (is_match == (rule->config->action == CONFIG_LABELDROP))
				delete_label(relabel, before[i].name);
		} else if (is_match) {
			map_label(relabel, rule, &before[i]);
		}
	}
}

/* Whether the series stays. */
static bool apply_rule(struct relabel *relabel, const struct rule *rule)
{
	const struct config_relabel *config = rule->config;
	struct slice text = source(relabel, config);

	switch (config->action) {
	case CONFIG_REPLACE:
		replace(relabel, rule, text);
		return true;
	case CONFIG_LOWERCASE:
	case CONFIG_UPPERCASE:
		set_case(relabel, rule, text);
		return true;
	case CONFIG_KEEP:
		return matches(relabel, rule, text);
	case CONFIG_DROP:
		return !matches(relabel, rule, text);
	case CONFIG_KEEPEQUAL:
	case CONFIG_DROPEQUAL:
		return slice_is(text, value_of(relabel, config->target_label)) ==
		       (config->action == CONFIG_KEEPEQUAL);
	case CONFIG_HASHMOD:
		set_hash(relabel, rule, text);
		return true;
	case CONFIG_LABELMAP:
	case CONFIG_LABELDROP:
	case CONFIG_LABELKEEP:
		judge_names(relabel, rule);
		return true;
	}
	return true;
}

/* --- the list ----------------------------------------------------------------- */

static void report(struct relabel *relabel, const struct rule *rule)
{
	if (!relabel->failures++)
		log_warning("relabelling, %s: %s; the series is not sent, nor are "
			    "others like it: they are counted from now on",
			    rule->config->where, relabel->failure);
}

bool relabel_apply(struct relabel *relabel, const struct label *labels, size_t count,
		   const struct label **ret_labels, size_t *ret_count)
{
	relabel->labels = labels;
	relabel->count = relabel->given = count;
	relabel->text_len = 0;
	relabel->failure = NULL;
	for (size_t i = 0; i < relabel->rule_count; i++) {
		bool stays = apply_rule(relabel, &relabel->rules[i]);

		if (relabel->failure)
			report(relabel, &relabel->rules[i]);
		if (!stays || relabel->failure)
			return false;
	}
	if (!relabel->count)
		return false;
	if (relabel->labels == relabel->own)
		sort_labels(relabel->own, relabel->count);
	*ret_labels = relabel->labels;
	*ret_count = relabel->count;
	return true;
}

uint64_t relabel_failures(const struct relabel *relabel)
{
	return relabel->failures;
}

static bool has_regex(enum config_relabel_action action)
{
	return action == CONFIG_REPLACE || action == CONFIG_KEEP ||
	       action == CONFIG_DROP || action >= CONFIG_LABELMAP;
}

static int compile(const struct config_relabel *config, struct rule *rule)
{
	char problem[PATTERN_ERROR_LEN];
	int err;

	rule->config = config;
	if (!has_regex(config->action))
		return 0;
	err = pattern_create(config->regex, &rule->pattern, problem);
	if (err)
		return err;
	rule->replacement = template_create(config->replacement, rule->pattern);
	if (config->action == CONFIG_REPLACE)
		rule->target = template_create(config->target_label, rule->pattern);
	if (!rule->replacement || (config->action == CONFIG_REPLACE && !rule->target))
		return -ENOMEM;
	return 0;
}

int relabel_create(const struct config_relabel *rules, size_t count,
		   struct relabel **ret_relabel)
{
	CLEANUP(relabel_free) struct relabel *relabel = calloc(1, sizeof(*relabel));
	int err = 0;

	if (!relabel)
		return -ENOMEM;
	relabel->rules = calloc(count + 1, sizeof(*relabel->rules));
	relabel->text = malloc(TEXT_MAX);
	relabel->joined = malloc(RELABEL_VALUE_MAX + 1);
	if (!relabel->rules || !relabel->text || !relabel->joined)
		return -ENOMEM;
	while (!err && relabel->rule_count < count) {
		size_t index = relabel->rule_count++;

		err = compile(&rules[index], &relabel->rules[index]);
	}
	if (!err)
		*ret_relabel = TAKE(relabel);
	return err;
}

void relabel_free(struct relabel **relabel)
{
	struct relabel *freed = *relabel;

	if (!freed)
		return;
	for (size_t i = 0; freed->rules && i < freed->rule_count; i++) {
		pattern_free(&freed->rules[i].pattern);
		template_free(&freed->rules[i].target);
		template_free(&freed->rules[i].replacement);
	}
	free(freed->rules);
	free(freed->text);
	free(freed->joined);
	free(freed);
	*relabel = NULL;
}
