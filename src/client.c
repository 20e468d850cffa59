/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curl says which descriptors it waits for and when it wants to be called: both go
 * to the loop. Idle, no timer is armed and no descriptor watched, though connections
 * stay open.
 */
#include "client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "cleanup.h"
#include "client_internal.h"

struct client {
	struct loop *loop;
	struct loop_timer *timer;
	CURLM *multi;
	bool has_curl;
	size_t bodies_bytes, bodies_bytes_max; /* of bodies that are being read */
};

/* A descriptor of curl's that the loop watches. */
struct watch {
	struct client *client;
	curl_socket_t fd;
};

/* After every call into curl. */
static void collect_finished(struct client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left))) {
		struct exchange *exchange;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
		exchange_finish(exchange, message->data.result);
	}
}

static void on_timer(void *context)
{
	struct client *client = context;
	int running;

	curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect_finished(client);
}

static void on_socket(void *context, uint32_t events)
{
	/* curl may end the watch meanwhile. */
	const struct watch watch = *(struct watch *)context;
	int action = 0, running;

	if (events & EPOLLIN)
		action |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		action |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		action |= CURL_CSELECT_ERR;
	curl_multi_socket_action(watch.client->multi, watch.fd, action, &running);
	collect_finished(watch.client);
}

static struct watch *make_watch(struct client *client, curl_socket_t fd)
{
	struct watch *watch = malloc(sizeof(*watch));

	if (!watch)
		return NULL;
	*watch = (struct watch){.client = client, .fd = fd};
	curl_multi_assign(client->multi, fd, watch);
	return watch;
}

/* A descriptor that cannot be watched is one that never becomes ready: its
 * request ends by remote_timeout and is retried. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *context,
			  void *socket_context)
{
	struct watch *watch = socket_context;
	struct client *client = context;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		loop_unwatch(client->loop, fd);
		free(watch);
		curl_multi_assign(client->multi, fd, NULL);
		return 0;
	}
	if (what != CURL_POLL_OUT)
		events |= EPOLLIN;
	if (what != CURL_POLL_IN)
		events |= EPOLLOUT;
	if (!watch)
		watch = make_watch(client, fd);
	if (watch)
		loop_watch(client->loop, fd, events, on_socket, watch);
	return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *context)
{
	struct client *client = context;

	(void)multi;
	if (timeout_ms < 0)
		loop_timer_disarm(client->timer);
	else
		loop_timer_arm(client->timer, (uint64_t)timeout_ms, 0);
	return 0;
}

int client_start(struct client *client, void *easy)
{
	return curl_multi_add_handle(client->multi, easy) ? -ENOMEM : 0;
}

void client_stop(struct client *client, void *easy)
{
	curl_multi_remove_handle(client->multi, easy);
}

void client_limit(struct client *client, unsigned int connections, size_t bodies_bytes)
{
	/* Cannot fail: it is a number of curl's own. */
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)connections);
	client->bodies_bytes_max = bodies_bytes;
}

bool client_take_room(struct client *client, size_t len)
{
	if (len > client->bodies_bytes_max - client->bodies_bytes)
		return false;
	client->bodies_bytes += len;
	return true;
}

void client_give_room(struct client *client, size_t len)
{
	client->bodies_bytes -= len;
}

/* --- its life ------------------------------------------------------------------ */

static int start_curl(struct client *client)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return -ENOMEM;
	client->has_curl = true;
	client->multi = curl_multi_init();
	if (!client->multi)
		return -ENOMEM;
	if (curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket) ||
	    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client) ||
	    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer) ||
	    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client))
		return -EINVAL;
	return 0;
}

int client_create(struct loop *loop, struct client **ret_client)
{
	CLEANUP(client_free) struct client *client = calloc(1, sizeof(*client));
	int err;

	if (!client)
		return -ENOMEM;
	client->loop = loop;
	client->bodies_bytes_max = SIZE_MAX;
	err = loop_timer_create(loop, on_timer, client, &client->timer);
	if (!err)
		err = start_curl(client);
	if (err)
		return err;
	*ret_client = TAKE(client);
	return 0;
}

void client_free(struct client **client)
{
	if (!*client)
		return;
	/* Takes back its sockets through on_curl_socket. */
	curl_multi_cleanup((*client)->multi);
	if ((*client)->has_curl)
		curl_global_cleanup();
	loop_timer_free(&(*client)->timer);
	free(*client);
	*client = NULL;
}
