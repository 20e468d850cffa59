/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape_target.h - what a job makes of an address that was discovered: the URL to
 * ask, and the labels of all that is found there. As Prometheus 3's PopulateLabels
 * (scrape/target.go): no port is added to an address that has none.
 */
#pragma once

#include "config.h"
#include "relabel.h"

#define SCRAPE_TARGET_ERROR_LEN 256

struct scrape_target {
	char *url;
	struct config_labels labels; /* by name, none begins with "__" */
	uint64_t interval_ms;
	uint64_t timeout_ms;
	uint64_t hash; /* of all that */
};

/* An address, with the labels of its group, and what else is known of it, which is a
 * label where the group has none of that name. */
struct scrape_discovered {
	const char *address;
	const struct config_labels *labels; /* NULL: none */
	struct label more[3];               /* name NULL: none */
};

/* relabel: of the job's rules. 0, and *ret_target NULL where a rule drops it; -ENOMEM;
 * -EINVAL: it cannot be asked, ret_error says why. */
int scrape_target_create(const struct config_scrape *job, struct relabel *relabel,
			 const struct scrape_discovered *discovered,
			 struct scrape_target **ret_target,
			 char ret_error[SCRAPE_TARGET_ERROR_LEN]);
void scrape_target_free(struct scrape_target **target);
/* By hash, then by what it is of; 0: they are one. */
int scrape_target_compare(const struct scrape_target *a, const struct scrape_target *b);
