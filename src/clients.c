/* SPDX-License-Identifier: Apache-2.0 */
#include "clients.h"

#include <sys/socket.h>

struct client *clients_take(struct clients *clients, struct MHD_Connection *connection,
			    int fd, uint64_t now_ms)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &clients->places[i];

		if (client->connection)
			continue;
		*client = (struct client){
		    .connection = connection,
		    .fd = fd,
		    .deadline_ms = now_ms + CLIENTS_REQUEST_MS,
		    .waits_since = clients->waits++,
		};
		clients->count++;
		return client;
	}
	return NULL;
}

void clients_leave(struct clients *clients, struct client *client)
{
	client->connection = NULL;
	clients->count--;
}

void clients_asked(struct client *client, uint64_t now_ms)
{
	client->deadline_ms = now_ms + CLIENTS_RESPONSE_MS;
	client->has_asked = client->is_answered = true;
}

void clients_answered(struct clients *clients, struct client *client, uint64_t now_ms)
{
	client->deadline_ms = now_ms + CLIENTS_REQUEST_MS;
	client->waits_since = clients->waits++;
	client->is_answered = false;
}

void client_cut_off(struct client *client)
{
	client->deadline_ms = UINT64_MAX;
	shutdown(client->fd, SHUT_RDWR);
}

void clients_cut_off_late(struct clients *clients, uint64_t now_ms)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &clients->places[i];

		if (client->connection && client->deadline_ms <= now_ms)
			client_cut_off(client);
	}
}

static bool is_cut_off(const struct client *client)
{
	return client->connection && client->deadline_ms == UINT64_MAX;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Who came, or was answered, last has had no time to ask. */
static bool may_go(const struct clients *clients, const struct client *client)
{
	return client->connection && !client->is_answered &&
	       client->waits_since + 1 < clients->waits;
}

/* Those that never asked for anything before those that may ask again. */
static bool goes_before(const struct client *client, const struct client *other)
{
	if (client->has_asked != other->has_asked)
		return other->has_asked;
	return client->waits_since < other->waits_since;
}

/* Without it, connections that say nothing would keep a scraper out for as long
 * as they may be idle. When all are being answered, the next one waits in the
 * backlog. */
uint64_t clients_make_room(struct clients *clients, uint64_t now_ms)
{
	struct client *first = NULL;
	uint64_t later_ms = UINT64_MAX;

	if (clients->count < CLIENTS_MAX)
		return UINT64_MAX;
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &clients->places[i];

		if (is_cut_off(client))
			return UINT64_MAX; /* it leaves in the next turn */
		if (!may_go(clients, client))
			continue;
		if (client->stays_until_ms > now_ms)
			later_ms = earlier(later_ms, client->stays_until_ms);
		else if (!first || goes_before(client, first))
			first = client;
	}
	if (!first)
		return later_ms;
	client_cut_off(first);
	return UINT64_MAX;
}

uint64_t clients_deadline_ms(const struct clients *clients)
{
	uint64_t earliest = UINT64_MAX;

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		const struct client *client = &clients->places[i];

		if (client->connection)
			earliest = earlier(earliest, client->deadline_ms);
	}
	return earliest;
}
