/* SPDX-License-Identifier: Apache-2.0 */
/* The page at /: services, request rates since the page was last asked for and
 * since start, p50/p95/p99 from the native buckets, the miss ledger. Plain HTML
 * without scripts; everything that came from outside is escaped. */
#pragma once

#include "buf.h"
#include "snapshot.h"

/* Remembers the counts of the last page, of STATUS_ROWS_MAX rows at most. */
struct status;
struct scrape;

#define STATUS_ROWS_MAX 512 /* rows of the table of services; more are only counted */

int status_create(struct status **ret_status);
void status_free(struct status **status);

/* uptime_s: since the agent attached. subject: what is observed, one line. scrape:
 * whose targets are shown, STATUS_ROWS_MAX of them; NULL: none. */
void status_write(struct status *status, struct buf *out,
		  const struct snapshot *snapshot, const struct scrape *scrape,
		  const char *subject, double uptime_s);
