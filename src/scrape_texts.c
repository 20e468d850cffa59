/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_texts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

/* Texts that bodies may leave behind that came to nothing: scrape.go, iterDone. */
#define LEFT_OVER_FACTOR 2
#define LEFT_OVER_SPARE 1000

struct scrape_texts {
	struct scrape_texts_links links;
	struct registry all;
	struct scrape_text *first, *last; /* of the last body */
	size_t left_after;                /* texts after the last one that was good */
	uint32_t scrape;                  /* this one: */
	struct scrape_text *before, *expected;
	size_t followed; /* different ones */
};

int scrape_texts_create(const struct scrape_texts_links *links,
			struct scrape_texts **ret_texts)
{
	struct scrape_texts *texts = calloc(1, sizeof(*texts));

	if (!texts)
		return -ENOMEM;
	texts->links = *links;
	*ret_texts = texts;
	return 0;
}

static bool free_text(void *item, void *context)
{
	struct scrape_text *text = item;

	(void)context;
	if (text->known)
		text->known->users--;
	scrape_start_leave(text->start);
	free(text);
	return false;
}

void scrape_texts_free(struct scrape_texts **texts)
{
	if (!*texts)
		return;
	registry_sweep(&(*texts)->all, free_text, NULL);
	registry_free(&(*texts)->all);
	free(*texts);
	*texts = NULL;
}

size_t scrape_texts_count(const struct scrape_texts *texts)
{
	return texts->all.count;
}

void scrape_texts_begin(struct scrape_texts *texts, uint32_t scrape)
{
	texts->scrape = scrape;
	texts->before = NULL;
	texts->expected = texts->first;
	texts->followed = 0;
}

/* --- finding ------------------------------------------------------------------ */

static bool is_text(const void *item, const void *wanted)
{
	const struct scrape_text *text = item;
	const struct slice *other = wanted;

	return text->len == other->len && !memcmp(text->text, other->text, other->len);
}

static struct scrape_text *make_text(const struct textparse_entry *entry)
{
	struct scrape_text *text = calloc(1, sizeof(*text) + entry->series.len);

	if (!text)
		return NULL;
	memcpy(text->text, entry->series.text, entry->series.len);
	text->len = entry->series.len;
	text->name_at = (size_t)(entry->name.text - entry->series.text);
	text->name_len = entry->name.len;
	return text;
}

/* One that was not known. *ret NULL: it is invalid. */
static int learn(struct scrape_texts *texts, const struct textparse_entry *entry,
		 uint64_t hash, char *reason, struct scrape_text **ret_text)
{
	const struct scrape_texts_links *links = &texts->links;
	AUTO_FREE struct scrape_text *text = NULL;
	enum scrape_labels_verdict verdict;
	struct label_set set;
	int err = scrape_labels_make(links->labels, entry, &verdict, &set, reason);

	*ret_text = NULL;
	if (err || verdict == SCRAPE_LABELS_INVALID)
		return err;
	text = make_text(entry);
	if (!text)
		return -ENOMEM;
	if (verdict == SCRAPE_LABELS_GOOD)
		err = scrape_known_find(links->known, &set, &text->known);
	if (!err)
		err = scrape_starts_find(links->starts, entry, &text->start,
					 &text->is_created);
	if (!err)
		err = registry_add(&texts->all, hash, text);
	if (err)
		return err;
	if (text->known)
		text->known->users++;
	scrape_start_use(text->start);
	*ret_text = TAKE(text);
	return 0;
}

int scrape_texts_find(struct scrape_texts *texts, const struct textparse_entry *entry,
		      char *reason, struct scrape_text **ret_text, bool *ret_is_new)
{
	const struct slice wanted = entry->series;
	const uint64_t hash = registry_hash(texts->links.keys, wanted.text, wanted.len);

	*ret_text = registry_find(&texts->all, hash, is_text, &wanted);
	*ret_is_new = !*ret_text;
	return *ret_text ? 0 : learn(texts, entry, hash, reason, ret_text);
}

/* --- their order -------------------------------------------------------------- */

struct scrape_text *scrape_texts_expected(const struct scrape_texts *texts,
					  enum textparse_format format)
{
	struct scrape_text *expected = texts->expected;

	return expected && expected->format == format ? expected : NULL;
}

void scrape_texts_follow(struct scrape_texts *texts, struct scrape_text *text,
			 enum textparse_format format)
{
	struct scrape_text **place =
	    texts->before ? &texts->before->follower : &texts->first;

	if (*place != text)
		*place = text;
	texts->before = texts->last = text;
	texts->expected = text->follower;
	text->format = format;
	texts->followed += text->scrape != texts->scrape;
	text->scrape = texts->scrape;
}

/* --- forgetting --------------------------------------------------------------- */

static bool is_current(const struct scrape_texts *texts, const struct scrape_text *text)
{
	return text && text->scrape == texts->scrape;
}

static bool is_in_scrape(void *item, void *context)
{
	return is_current(context, item) || free_text(item, NULL);
}

/* Texts that were not in this scrape, and what they alone led to. Those that were have
 * one of them as a follower, but for the last one. */
static void forget(struct scrape_texts *texts)
{
	if (!is_current(texts, texts->first))
		texts->first = NULL;
	if (is_current(texts, texts->last))
		texts->last->follower = NULL;
	else
		texts->last = NULL;
	registry_sweep(&texts->all, is_in_scrape, texts);
	scrape_known_forget(texts->links.known);
	scrape_starts_forget(texts->links.starts);
}

void scrape_texts_settle(struct scrape_texts *texts)
{
	if (texts->followed < texts->all.count)
		forget(texts);
	texts->left_after = texts->all.count;
}

void scrape_texts_bound(struct scrape_texts *texts)
{
	if (texts->all.count <= texts->left_after * LEFT_OVER_FACTOR + LEFT_OVER_SPARE)
		return;
	forget(texts);
	texts->left_after = texts->all.count;
}
