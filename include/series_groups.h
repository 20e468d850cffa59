/* SPDX-License-Identifier: Apache-2.0 */
/* series_groups.h - the rows of a collection, in the kernel and retired, under the
 * names that they are shown with, each into the group (groups.h) of its labels. */
#pragma once

struct series_collection;

void series_groups_add_rows(struct series_collection *collection);
void series_groups_add_retired(struct series_collection *collection);
/* Before it, no owner is known to have a connection. -errno: some are missing. */
int series_groups_add_connections(struct series_collection *collection);
