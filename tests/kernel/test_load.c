/* SPDX-License-Identifier: Apache-2.0 */
/* At saturation nothing is lost: as many requests as the load made, by `==`. */
#include "talk.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#define CONNECTIONS 64
#define EACH 400 /* requests of a connection */
#define REQUEST "GET /load/%s HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n"
#define RESPONSE                                                                       \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n"    \
	"hello, world\n"
#define LEN(text) (sizeof(text) - 1)

/* As long as each other, so that one length serves all. */
static const char *const names[] = {"north", "south", "east1", "west1"};
#define REQUEST_LEN (LEN(REQUEST) - 2 + 5)

/* One end of one connection. */
struct station {
	int fd;
	size_t got;        /* bytes of the message under way */
	unsigned int left; /* messages to come */
	unsigned int next; /* request to send */
};

/* The ends of half of the connections, served by one thread. */
struct crew {
	struct station stations[CONNECTIONS];
	unsigned int count;
	size_t message_len;
	void (*reply)(struct station *station);
};

static void send_request(struct station *station)
{
	char request[128];

	if (!station->left)
		return;
	snprintf(request, sizeof(request), REQUEST, names[station->next++ % 4]);
	put(station->fd, request, REQUEST_LEN);
}

static void send_response(struct station *station)
{
	put(station->fd, RESPONSE, LEN(RESPONSE));
}

/* Returns false once the station has all its messages. */
static bool serve_station(struct crew *crew, struct station *station)
{
	char buf[512];
	ssize_t got = read(station->fd, buf, crew->message_len - station->got);

	REQUIRE(got > 0);
	station->got += (size_t)got;
	if (station->got < crew->message_len)
		return true;
	station->got = 0;
	station->left--;
	crew->reply(station);
	return station->left > 0;
}

static void *run_crew(void *context)
{
	struct crew *crew = context;
	int poll_fd = epoll_create1(EPOLL_CLOEXEC);
	unsigned int busy = crew->count;

	REQUIRE(poll_fd >= 0);
	for (unsigned int i = 0; i < crew->count; i++) {
		struct epoll_event event = {.events = EPOLLIN,
					    .data.ptr = &crew->stations[i]};

		REQUIRE(
		    !epoll_ctl(poll_fd, EPOLL_CTL_ADD, crew->stations[i].fd, &event));
	}
	if (crew->reply == send_request)
		for (unsigned int i = 0; i < crew->count; i++)
			send_request(&crew->stations[i]);
	while (busy) {
		struct epoll_event events[CONNECTIONS];
		int ready = epoll_wait(poll_fd, events, CONNECTIONS, 5000);

		REQUIRE(ready > 0);
		for (int i = 0; i < ready; i++)
			busy -= !serve_station(crew, events[i].data.ptr);
	}
	close(poll_fd);
	return NULL;
}

static void saturate(struct scene *scene, enum transport transport)
{
	struct endpoint *endpoint = endpoint_open(scene, transport);
	struct pair pairs[CONNECTIONS];
	static struct crew crews[4];
	pthread_t threads[4];
	struct expected rows[5] = {0};

	memset(crews, 0, sizeof(crews));
	for (int i = 0; i < 4; i++) {
		crews[i].reply = i < 2 ? send_response : send_request;
		crews[i].message_len = i < 2 ? REQUEST_LEN : LEN(RESPONSE);
		rows[i] =
		    (struct expected){.method = TALLY_METHOD_GET,
				      .status = 200,
				      .requests = CONNECTIONS * EACH / 4,
				      .response_bytes = 13 * CONNECTIONS * EACH / 4};
	}
	rows[0].route = "/load/north";
	rows[1].route = "/load/south";
	rows[2].route = "/load/*";
	rows[2].requests *= 2;
	rows[2].response_bytes *= 2;
	rows[3].requests = 0;
	for (int i = 0; i < CONNECTIONS; i++) {
		struct crew *server = &crews[i % 2], *client = &crews[2 + i / 32];

		pairs[i] = pair_open(endpoint);
		server->stations[server->count++] =
		    (struct station){.fd = pairs[i].fd[SERVER], .left = EACH};
		client->stations[client->count++] =
		    (struct station){.fd = pairs[i].fd[CLIENT], .left = EACH};
	}
	for (int i = 0; i < 4; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, run_crew, &crews[i]));
	for (int i = 0; i < 4; i++)
		REQUIRE(!pthread_join(threads[i], NULL));
	assert_rows(scene, endpoint, transport_name(transport), rows);
	for (int i = 0; i < CONNECTIONS; i++)
		pair_close(&pairs[i]);
}

/* 64 x 400 requests over each, from two threads to two threads. */
static void assert_saturated(struct scene *scene, enum transport transport)
{
	uint64_t start_ns = now_ns();

	scene_mark(scene);
	saturate(scene, transport);
	print_message("measured: %u requests over %s in %lu ms\n", CONNECTIONS * EACH,
		      transport_name(transport), (now_ns() - start_ns) / 1000000);
	assert_missed(scene, transport_name(transport), nothing_missed);
	assert_none_skipped(scene);
}

static void saturated_connections_over_ipv4_lose_nothing(void **state)
{
	assert_saturated(*state, IPV4);
}

static void saturated_connections_over_ipv6_lose_nothing(void **state)
{
	assert_saturated(*state, IPV6);
}

static void saturated_connections_over_unix_lose_nothing(void **state)
{
	assert_saturated(*state, UNIX);
}

struct watch {
	const struct scene *scene;
	bool stop;
};

/* The reader of the maps is no less busy than the connections. */
static void *read_rows_meanwhile(void *context)
{
	struct watch *watch = context;

	while (!__atomic_load_n(&watch->stop, __ATOMIC_ACQUIRE))
		free(rows_read(watch->scene, NULL));
	return NULL;
}

static void reading_the_maps_meanwhile_loses_nothing(void **state)
{
	struct scene *scene = *state;
	struct watch watch = {scene, false};
	pthread_t reader;

	scene_mark(scene);
	REQUIRE(!pthread_create(&reader, NULL, read_rows_meanwhile, &watch));
	saturate(scene, IPV4);
	__atomic_store_n(&watch.stop, true, __ATOMIC_RELEASE);
	REQUIRE(!pthread_join(reader, NULL));
	assert_missed(scene, "read meanwhile", nothing_missed);
	assert_none_skipped(scene);
}

/* --- processes that come and go --------------------------------------------- */

#define CHILDREN 8
#define SHORT 250 /* connections of a child */
#define SHORT_REQUEST "GET /short HTTP/1.1\r\nConnection: close\r\n\r\n"
#define SHORT_RESPONSE                                                                 \
	"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"

static void serve_short(const struct endpoint *endpoint)
{
	for (int i = 0; i < SHORT; i++) {
		int fd = endpoint_accept(endpoint);

		take_text(fd, SHORT_REQUEST);
		put_text(fd, SHORT_RESPONSE);
		close(fd);
	}
	_exit(0);
}

static void ask_short(const struct endpoint *endpoint)
{
	for (int i = 0; i < SHORT; i++) {
		int fd = endpoint_connect(endpoint);

		put_text(fd, SHORT_REQUEST);
		take_text(fd, SHORT_RESPONSE);
		take_end(fd);
		close(fd);
	}
	_exit(0);
}

static void short_connections_between_processes_lose_nothing(void **state)
{
	static const struct expected rows[] = {{.method = TALLY_METHOD_GET,
						.status = 200,
						.route = "/short",
						.requests = CHILDREN * SHORT,
						.response_bytes = 2 * CHILDREN * SHORT},
					       {0}};
	struct scene *scene = *state;

	for (enum transport transport = 0; transport < TRANSPORTS; transport++) {
		struct endpoint *endpoint = endpoint_open(scene, transport);
		pid_t children[2 * CHILDREN];

		scene_mark(scene);
		for (int i = 0; i < 2 * CHILDREN; i++) {
			children[i] = fork();
			if (children[i] == 0 && i % 2)
				ask_short(endpoint);
			if (children[i] == 0)
				serve_short(endpoint);
		}
		for (int i = 0; i < 2 * CHILDREN; i++) {
			int status;

			REQUIRE(waitpid(children[i], &status, 0) == children[i]);
			REQUIRE(status == 0);
		}
		assert_rows(scene, endpoint, transport_name(transport), rows);
		assert_missed(scene, transport_name(transport), nothing_missed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(saturated_connections_over_ipv4_lose_nothing),
	    cmocka_unit_test(saturated_connections_over_ipv6_lose_nothing),
	    cmocka_unit_test(saturated_connections_over_unix_lose_nothing),
	    cmocka_unit_test(reading_the_maps_meanwhile_loses_nothing),
	    cmocka_unit_test(short_connections_between_processes_lose_nothing),
	    cmocka_unit_test(no_case_is_counted_again_later),
	};

	return cmocka_run_group_tests(tests, scene_set_up, scene_tear_down);
}
