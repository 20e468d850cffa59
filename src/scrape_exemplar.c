/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_exemplar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "decimal.h"
#include "registry.h"

/* 128 characters, and a NUL behind each name and value. */
#define TEXT_MAX                                                                       \
	(4 * SCRAPE_EXEMPLAR_CHARACTERS_MAX + 2 * TEXTPARSE_EXEMPLAR_LABELS_MAX)

struct scrape_exemplar {
	struct registry_keys keys;
	struct exemplar exemplar;
	struct label labels[TEXTPARSE_EXEMPLAR_LABELS_MAX];
	char text[TEXT_MAX];
	size_t text_len;
};

int scrape_exemplar_create(struct scrape_exemplar **ret_maker)
{
	struct scrape_exemplar *maker = calloc(1, sizeof(*maker));

	if (!maker)
		return -ENOMEM;
	registry_keys_init(&maker->keys);
	*ret_maker = maker;
	return 0;
}

void scrape_exemplar_free(struct scrape_exemplar **maker)
{
	free(*maker);
	*maker = NULL;
}

/* Of UTF-8. */
static size_t characters(struct slice text)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += ((unsigned char)text.text[i] & 0xc0) != 0x80;
	return count;
}

static bool is_too_long(const struct textparse_exemplar *given)
{
	size_t count = 0;

	for (size_t i = 0; i < given->label_count; i++) {
		count += characters(given->labels[i].name);
		count += characters(given->labels[i].value);
	}
	return count > SCRAPE_EXEMPLAR_CHARACTERS_MAX;
}

static const char *keep(struct scrape_exemplar *maker, struct slice raw)
{
	char *text = maker->text + maker->text_len;

	memcpy(text, raw.text, raw.len);
	text[raw.len] = '\0';
	maker->text_len += raw.len + 1;
	return text;
}

/* In order of names. False: one is there twice. */
static bool insert(struct scrape_exemplar *maker, struct label label)
{
	size_t i = maker->exemplar.label_count;
	int order = -1;

	while (i && (order = strcmp(maker->labels[i - 1].name, label.name)) > 0)
		i--;
	if (i && !order)
		return false;
	memmove(&maker->labels[i + 1], &maker->labels[i],
		(maker->exemplar.label_count - i) * sizeof(label));
	maker->labels[i] = label;
	maker->exemplar.label_count++;
	return true;
}

static bool set_labels(struct scrape_exemplar *maker,
		       const struct textparse_exemplar *given)
{
	maker->text_len = 0;
	maker->exemplar.labels = maker->labels;
	maker->exemplar.label_count = 0;
	for (size_t i = 0; i < given->label_count; i++) {
		const struct textparse_label *label = &given->labels[i];
		const char *name;

		if (!label->value.len || !label->name.len)
			continue;
		name = keep(maker, label->name);
		if (!insert(maker, (struct label){name, keep(maker, label->value)}))
			return false;
	}
	return true;
}

static uint64_t hash_labels(const struct scrape_exemplar *maker)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < maker->exemplar.label_count; i++) {
		const struct label *label = &maker->labels[i];
		const uint64_t parts[] = {
		    hash, registry_hash(&maker->keys, label->name, strlen(label->name)),
		    registry_hash(&maker->keys, label->value, strlen(label->value))};

		hash = registry_hash(&maker->keys, parts, sizeof(parts));
	}
	return hash;
}

/* Prometheus compares times only where one of the two was given. */
static bool is_again(const struct scrape_exemplar_last *last,
		     const struct scrape_exemplar_last *now)
{
	if (last->hash != now->hash || last->bits != now->bits ||
	    now->bits == DECIMAL_NAN)
		return false;
	return (!last->has_time && !now->has_time) || last->time_ms == now->time_ms;
}

const struct exemplar *scrape_exemplar_make(struct scrape_exemplar *maker,
					    const struct textparse_exemplar *given,
					    int64_t sample_time_ms,
					    struct scrape_exemplar_last *last)
{
	struct scrape_exemplar_last now = {
	    .is_set = true,
	    .has_time = given->has_time,
	    .time_ms = given->has_time ? given->time_ms : sample_time_ms,
	    .bits = given->bits,
	};

	if (is_too_long(given) || !set_labels(maker, given))
		return NULL;
	now.hash = hash_labels(maker);
	if (last->is_set && (is_again(last, &now) || now.time_ms <= last->time_ms))
		return NULL;
	*last = now;
	maker->exemplar.time_ms = now.time_ms;
	maker->exemplar.bits = now.bits;
	return &maker->exemplar;
}
