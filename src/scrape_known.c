/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_known.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scrape_report.h"
#include "slice.h"

struct scrape_known_set {
	const struct registry_keys *keys;
	struct scrape_labels *labels;
	struct registry all;
	char *packed; /* labels of one series, as in struct scrape_known */
	size_t packed_capacity;
};

int scrape_known_create(const struct registry_keys *keys, struct scrape_labels *labels,
			struct scrape_known_set **ret_set)
{
	struct scrape_known_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	set->keys = keys;
	set->labels = labels;
	*ret_set = set;
	return 0;
}

static bool free_known(void *item, void *context)
{
	struct scrape_known *known = item;

	(void)context;
	scrape_last_free(&known->last);
	free(known);
	return false;
}

void scrape_known_free(struct scrape_known_set **set)
{
	if (!*set)
		return;
	registry_sweep(&(*set)->all, free_known, NULL);
	registry_free(&(*set)->all);
	free((*set)->packed);
	free(*set);
	*set = NULL;
}

/* --- one of them -------------------------------------------------------------- */

static bool is_known(const void *item, const void *wanted)
{
	const struct scrape_known *known = item;
	const struct slice *text = wanted;

	return known->text_len == text->len &&
	       !memcmp(known->text, text->text, text->len);
}

/* Its names and values one behind the other. */
static int pack_labels(struct scrape_known_set *set, const struct label_set *labels,
		       struct slice *ret_packed)
{
	size_t len = 0;
	char *at;

	for (size_t i = 0; i < labels->count; i++)
		len += strlen(labels->labels[i].name) +
		       strlen(labels->labels[i].value) + 2;
	if (len > set->packed_capacity) {
		at = realloc(set->packed, len);
		if (!at)
			return -ENOMEM;
		set->packed = at;
		set->packed_capacity = len;
	}
	at = set->packed;
	for (size_t i = 0; i < labels->count; i++) {
		at = stpcpy(at, labels->labels[i].name) + 1;
		at = stpcpy(at, labels->labels[i].value) + 1;
	}
	*ret_packed = (struct slice){set->packed, len};
	return 0;
}

static struct scrape_known *make_known(struct slice packed, size_t label_count)
{
	const size_t labels = label_count * sizeof(struct label);
	struct scrape_known *made = calloc(1, sizeof(*made) + labels + packed.len);
	char *at;

	if (!made)
		return NULL;
	at = (char *)(made->labels + label_count);
	memcpy(at, packed.text, packed.len);
	made->text = at;
	made->text_len = packed.len;
	made->label_count = label_count;
	scrape_last_init(&made->last);
	for (size_t i = 0; i < label_count; i++) {
		made->labels[i].name = at;
		at += strlen(at) + 1;
		made->labels[i].value = at;
		at += strlen(at) + 1;
	}
	return made;
}

static const char *name_of(const struct scrape_known *known)
{
	for (size_t i = 0; i < known->label_count; i++)
		if (!strcmp(known->labels[i].name, "__name__"))
			return known->labels[i].value;
	return "";
}

/* Whether it has the labels of one that we add: then that is the only one, or a
 * receiver would be told two values at one time, and refuse what else is in the
 * request. */
static int judge_name(struct scrape_known_set *set, struct scrape_known *made)
{
	const char *name = name_of(made);
	struct label_set labels;
	struct slice packed;
	int err;

	if (!scrape_report_has(name))
		return 0;
	err = scrape_labels_report(set->labels, name, &labels);
	if (!err)
		err = pack_labels(set, &labels, &packed);
	if (!err)
		made->is_report = is_known(made, &packed);
	return err;
}

int scrape_known_find(struct scrape_known_set *set, const struct label_set *labels,
		      struct scrape_known **ret_known)
{
	struct slice packed;
	struct scrape_known *found;
	uint64_t hash;
	int err = pack_labels(set, labels, &packed);

	if (err)
		return err;
	hash = registry_hash(set->keys, packed.text, packed.len);
	found = registry_find(&set->all, hash, is_known, &packed);
	if (!found) {
		found = make_known(packed, labels->count);
		if (!found)
			return -ENOMEM;
		err = judge_name(set, found);
		if (!err)
			err = registry_add(&set->all, hash, found);
		if (err) {
			free(found);
			return err;
		}
	}
	*ret_known = found;
	return 0;
}

/* --- all of them -------------------------------------------------------------- */

struct visiting {
	void (*visit)(void *context, struct scrape_known *known);
	void *context;
};

static bool visit_one(void *item, void *context)
{
	const struct visiting *visiting = context;

	visiting->visit(visiting->context, item);
	return true;
}

void scrape_known_each(struct scrape_known_set *set,
		       void (*visit)(void *context, struct scrape_known *known),
		       void *context)
{
	struct visiting visiting = {visit, context};

	registry_sweep(&set->all, visit_one, &visiting);
}

static bool has_users(void *item, void *context)
{
	return ((const struct scrape_known *)item)->users || free_known(item, context);
}

void scrape_known_forget(struct scrape_known_set *set)
{
	registry_sweep(&set->all, has_users, NULL);
}
