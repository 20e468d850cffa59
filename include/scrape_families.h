/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_families.h - what TYPE, HELP and UNIT of one target say, from scrape to
 * scrape. Of a name there is one family at a time; where a body says something else,
 * there is a new one. What a body says holds when scrape_families_commit is called.
 *
 * Samples without a word about them are of scrape_families_unknown, which has no name.
 */
#pragma once

#include "snapshot.h"
#include "textparse.h"

/* More names of one target than this are as if nothing was said of them. */
#define SCRAPE_FAMILIES_MAX 50000

extern const struct family scrape_families_unknown;

struct scrape_families;

int scrape_families_create(struct scrape_families **ret_families);
void scrape_families_free(struct scrape_families **families);

/* A body begins: families that were replaced before the last one began are freed. */
void scrape_families_begin(struct scrape_families *families);
/* TYPE, HELP or UNIT of the body. The entry's text stays where it is until
 * scrape_families_commit. -ENOMEM. */
int scrape_families_note(struct scrape_families *families, enum textparse_format format,
			 enum textparse_kind kind, const struct textparse_entry *entry);
/* The body was good. What it did not name any more for ten scrapes is forgotten.
 * -ENOMEM: what is lacking is as if it was not said. */
int scrape_families_commit(struct scrape_families *families);
/* Changes when what scrape_families_find says of some name may have. */
uint64_t scrape_families_generation(const struct scrape_families *families);
/* Of the metric with this name: the family of that name, or the one whose histogram,
 * summary, counter or info it is a part of, by its suffix. */
const struct family *scrape_families_find(const struct scrape_families *families,
					  struct slice metric);

/* "_bucket", "_sum", "_count", "_total", "_created", ...: taken off the name of a
 * metric that may be a part of one; "": there is none. */
const char *scrape_families_strip(struct slice *metric);
