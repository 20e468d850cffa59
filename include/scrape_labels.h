/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_labels.h - the labels that a scraped series has in the end: what the body
 * says, the target's own labels with the rules of honor_labels, metric_relabel_configs,
 * limits, external labels. It remembers no series (scrape_known.h).
 */
#pragma once

#include "scrape_terms.h"
#include "textparse.h"

struct scrape_labels;

enum scrape_labels_verdict {
	SCRAPE_LABELS_GOOD,
	SCRAPE_LABELS_DROPPED,
	SCRAPE_LABELS_INVALID, /* the scrape fails */
};

/* config outlives it, its labels aside. -ENOMEM, -EINVAL (relabel.h). */
int scrape_labels_create(const struct scrape_series_config *config,
			 struct scrape_labels **ret_labels);
void scrape_labels_free(struct scrape_labels **labels);

/* The labels hold until the next call; reason (SCRAPE_SERIES_REASON_LEN) says what is
 * invalid. -ENOMEM. */
int scrape_labels_make(struct scrape_labels *labels,
		       const struct textparse_entry *entry,
		       enum scrape_labels_verdict *ret_verdict,
		       struct label_set *ret_set, char *reason);
/* Of what is said about the scrape itself: the target's labels and a name, neither
 * relabelled nor limited. Likewise. */
int scrape_labels_report(struct scrape_labels *labels, const char *name,
			 struct label_set *ret_set);
/* Series dropped because the rules could not be carried out (relabel.h). */
uint64_t scrape_labels_failures(const struct scrape_labels *labels);
