/* SPDX-License-Identifier: Apache-2.0 */
/*
 * series_retired.h - rows of settled owners on their way out of the kernel (series.c
 * has why): those of a service are kept in a table of retired rows, those of nobody are
 * dropped. What finds no room there stays in the kernel.
 */
#pragma once

#include <stdint.h>

#include "abi.h"
#include "address.h"

struct series;
struct series_collection;

/* A row that left the kernel; its key has the service's own id. */
struct series_retired {
	struct tally_series_key key;
	struct tally_series value;
	char route[TALLY_ROUTE_LEN + 4];
	char address[ADDRESS_TEXT_LEN];
};

/* All rows whose owners are settled. */
void series_retire(struct series_collection *collection);
/* The retired rows of a service. */
void series_retired_drop(struct series *series, uint32_t service);
