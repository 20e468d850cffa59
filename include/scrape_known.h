/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_known.h - the series of one target, each once, by the labels that it has in
 * the end. What is known of one stays for as long as a text leads to it
 * (scrape_texts.h). Whether it is in a scrape, or stale, is scrape_outlet.h's.
 */
#pragma once

#include "registry.h"
#include "scrape_labels.h"
#include "scrape_last.h"

/* Of scrape_outlet.c alone. Zeroed: of no scrape yet. */
struct scrape_handed {
	uint32_t tracked; /* the scrape it was in */
	uint32_t round;   /* it was handed out in */
	const struct family *family;
};

struct scrape_known {
	size_t users;            /* texts: counts what scrape_texts.c has of it */
	bool is_report;          /* one of scrape_report.h: the target's is not taken */
	struct scrape_last last; /* read by many, set by scrape_outlet.c */
	struct scrape_handed out; /* the rest never changes: */
	size_t text_len;
	const char *text; /* of the labels: names and values, a NUL behind each */
	size_t label_count;
	struct label labels[];
};

struct scrape_known_set;

/* Both outlive it. -ENOMEM. */
int scrape_known_create(const struct registry_keys *keys, struct scrape_labels *labels,
			struct scrape_known_set **ret_set);
void scrape_known_free(struct scrape_known_set **set);

/* The one with these labels, which is made where there is none, without users. -ENOMEM.
 * Labels of scrape_labels_make hold no longer. */
int scrape_known_find(struct scrape_known_set *set, const struct label_set *labels,
		      struct scrape_known **ret_known);
/* In any order; nothing is added or forgotten meanwhile. */
void scrape_known_each(struct scrape_known_set *set,
		       void (*visit)(void *context, struct scrape_known *known),
		       void *context);
/* Frees those without users. */
void scrape_known_forget(struct scrape_known_set *set);
