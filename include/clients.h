/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.h - the connections of the HTTP server: how many there may be, how long
 * each may take, and who goes when there is one more. Knows no HTTP: the owner
 * tells it what happens. Times are of one clock, in ms.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One of them is the newcomer for whom another has to go. */
#define CLIENTS_MAX 65
/* The idle limit of the server starts anew with every byte; these do not, so a
 * client that trickles cannot keep its place. A request has its ten seconds after
 * a connection sat idle for as long as it may. */
#define CLIENTS_REQUEST_MS 20000
#define CLIENTS_RESPONSE_MS 60000

struct MHD_Connection;
struct web_tls;

/* What is known of its credentials, for the request that it makes. */
enum client_check { CLIENT_NOT_CHECKED, CLIENT_IS_RIGHT, CLIENT_IS_WRONG };

struct client {
	struct MHD_Connection *connection; /* NULL: place is free */
	int fd;
	uint64_t deadline_ms;    /* UINT64_MAX: has been cut off */
	uint64_t stays_until_ms; /* at least, whoever wants its place */
	uint64_t waits_since;    /* clients.waits when it came or was last answered */
	struct web_tls *tls;     /* its session's; NULL: plain */
	size_t upload_bytes;
	enum client_check check;
	bool is_suspended; /* until its credentials are checked */
	bool has_asked;    /* a request was complete */
	bool is_answered;  /* the response is on its way */
};

struct clients {
	struct client places[CLIENTS_MAX];
	unsigned int count;
	uint64_t waits; /* counted: a clock has ties in a crowd */
};

/* NULL when all places are taken. */
struct client *clients_take(struct clients *clients, struct MHD_Connection *connection,
			    int fd, uint64_t now_ms);
void clients_leave(struct clients *clients, struct client *client);
/* Its request is complete: the response begins. */
void clients_asked(struct client *client, uint64_t now_ms);
/* The response is sent: it may ask again. */
void clients_answered(struct clients *clients, struct client *client, uint64_t now_ms);
/* Shuts the socket down: its owner finds the end of the stream and closes. */
void client_cut_off(struct client *client);
/* Those whose time is over. */
void clients_cut_off_late(struct clients *clients, uint64_t now_ms);
/* When all places are taken, cuts off the oldest that has not asked for anything,
 * else the one idle longest; never one that is being answered. When to try again, as
 * those that could go may stay so long; else UINT64_MAX. */
uint64_t clients_make_room(struct clients *clients, uint64_t now_ms);
/* Of all clients; UINT64_MAX: there is none to wait for. */
uint64_t clients_deadline_ms(const struct clients *clients);
