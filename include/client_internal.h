/* SPDX-License-Identifier: Apache-2.0 */
/* What client.c and exchange.c, the two behind client.h, know of each other. */
#pragma once

#include "client.h"

/* A curl handle whose private pointer is its exchange. -ENOMEM. */
int client_start(struct client *client, void *easy);
/* Also in the middle of its request. */
void client_stop(struct client *client, void *easy);
/* With a CURLcode. */
void exchange_finish(struct exchange *exchange, int code);
