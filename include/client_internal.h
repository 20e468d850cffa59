/* SPDX-License-Identifier: Apache-2.0 */
/* What client.c and exchange.c, the two behind client.h, know of each other. */
#pragma once

#include "client.h"

/* A curl handle whose private pointer is its exchange. -ENOMEM. */
int client_start(struct client *client, void *easy);
/* Also in the middle of its request. */
void client_stop(struct client *client, void *easy);
/* For so many more bytes of a body, of what client_limit gives; false: there is none.
 */
bool client_take_room(struct client *client, size_t len);
void client_give_room(struct client *client, size_t len);
/* With a CURLcode. */
void exchange_finish(struct exchange *exchange, int code);
