/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_texts.h - each text of a series, as it stands in the bodies of one target, and
 * what it leads to: a series, of which there may be several texts (labels in another
 * order), or nothing, where rules drop it. Values are not its concern.
 *
 * A body mostly has the texts of the last one, in the same order: after each text its
 * follower is expected, and where that comes, neither names nor labels are looked at,
 * nor is anything looked up.
 */
#pragma once

#include "scrape_known.h"
#include "scrape_starts.h"
#include "textparse.h"

/* Of scrape_outlet.c alone: the family of its metric. */
struct scrape_text_family {
	const struct family *family;
	uint64_t generation; /* of families; 0: not looked for yet */
};

/* But for `family`, only scrape_texts.c writes. */
struct scrape_text {
	struct scrape_text_family family;
	struct scrape_known *known; /* its series; NULL: dropped */
	struct scrape_start *start; /* of its metric; NULL: it has none */
	bool is_created;            /* its value is that start */
	enum textparse_format format;
	struct scrape_text *follower; /* NULL: not known yet */
	uint32_t scrape;              /* the last one it was in */
	size_t name_at, name_len;     /* of the metric, in the text */
	size_t len;
	char text[];
};

struct scrape_texts;

/* What texts lead to. All of it outlives them. */
struct scrape_texts_links {
	const struct registry_keys *keys;
	struct scrape_labels *labels;
	struct scrape_known_set *known;
	struct scrape_starts *starts;
};

/* -ENOMEM. */
int scrape_texts_create(const struct scrape_texts_links *links,
			struct scrape_texts **ret_texts);
/* Before what they lead to. */
void scrape_texts_free(struct scrape_texts **texts);
size_t scrape_texts_count(const struct scrape_texts *texts);

/* A scrape begins, also one without a body. Numbers rise, from 1. */
void scrape_texts_begin(struct scrape_texts *texts, uint32_t scrape);
/* The one that is expected next, in a body of that format; NULL: there is none. */
struct scrape_text *scrape_texts_expected(const struct scrape_texts *texts,
					  enum textparse_format format);
/* The text of a sample, which is learnt where it is new. *ret_text NULL: the series is
 * invalid, and reason (SCRAPE_SERIES_REASON_LEN) says why. -ENOMEM. */
int scrape_texts_find(struct scrape_texts *texts, const struct textparse_entry *entry,
		      char *reason, struct scrape_text **ret_text, bool *ret_is_new);
/* It was the next one: so it will be expected. */
void scrape_texts_follow(struct scrape_texts *texts, struct scrape_text *text,
			 enum textparse_format format);
/* The scrape was good: texts that were not in it go, with what they alone led to. */
void scrape_texts_settle(struct scrape_texts *texts);
/* It was not: likewise, but only when bad ones have left too many behind. */
void scrape_texts_bound(struct scrape_texts *texts);
